//! A person's own settings: `~/.config/updo/config.toml`, or the file that UPDO_CONFIG names.
//!
//! They count less than flags, the environment and the plan, and more than what is built in. What is wrong with the
//! file is reported before anything else is done: a setting that is silently ignored is worse than none. Nothing in
//! it is about a project (that is what plans are for) or is a secret (a cookie is named by its file).

#![expect(
    clippy::disallowed_methods,
    reason = "a person's own settings are a file"
)]

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Result};
use crate::regular_file;
use crate::ui::Colour;

/// A larger file is none that a person has written.
const MOST: u64 = 64 * 1024;

/// What may be in it.
const KEYS: [&str; 7] = [
    "color",
    "cookie_file",
    "history",
    "pager",
    "runs",
    "unicode",
    "width",
];

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// The file; `None` when there is none.
    pub path: Option<PathBuf>,
    /// `color = "auto" | "always" | "never"`
    pub color: Option<Colour>,
    /// `cookie_file = "PATH"`; `~/` is the home folder.
    pub cookie_file: Option<PathBuf>,
    /// `history = 5000`: lines of the REPL that are kept.
    pub history: Option<usize>,
    /// `pager = "less -R"`; `""` for none.
    pub pager: Option<String>,
    /// `runs = 200`: how many recorded runs are kept.
    pub runs: Option<usize>,
    /// `unicode = true`
    pub unicode: Option<bool>,
    /// `width = 100`: columns of the screen.
    pub width: Option<usize>,
}

impl Config {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// E802 when it cannot be read, or contains something that is not understood.
    pub(crate) fn read(env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let home = env("HOME").map(PathBuf::from);
        let usual = || {
            let base = env("XDG_CONFIG_HOME").map(PathBuf::from);
            Some(
                base.or_else(|| Some(home.clone()?.join(".config")))?
                    .join("updo/config.toml"),
            )
        };
        let named = env("UPDO_CONFIG").map(PathBuf::from);
        let Some(path) = named.clone().or_else(usual) else {
            return Ok(Self::default());
        };
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let text = text(&path).map_err(|why| wrong(&path, &why))?;
        Self::parse(&path, &text, home.as_deref())
    }

    /// The names of the settings that it gives.
    pub(crate) fn says(&self) -> Vec<&'static str> {
        let given = [
            self.color.is_some(),
            self.cookie_file.is_some(),
            self.history.is_some(),
            self.pager.is_some(),
            self.runs.is_some(),
            self.unicode.is_some(),
            self.width.is_some(),
        ];
        KEYS.into_iter()
            .zip(given)
            .filter(|(_, given)| *given)
            .map(|(key, _)| key)
            .collect()
    }

    fn parse(path: &Path, text: &str, home: Option<&Path>) -> Result<Self> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(0, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            wrong(path, &format!("line {line}: {}", error.message()))
        })?;
        let mut config = Self {
            path: Some(path.to_owned()),
            ..Self::default()
        };
        for (key, value) in &table {
            config.set(path, key, value, home)?;
        }
        Ok(config)
    }

    fn set(&mut self, path: &Path, key: &str, value: &Value, home: Option<&Path>) -> Result<()> {
        let wants = |what: &str| {
            wrong(
                path,
                &format!("`{key}` wants {what}, not this {}", value.type_str()),
            )
        };
        let number = |least: i64, most: i64| {
            let found = value.as_integer().filter(|n| (least..=most).contains(n));
            let found = found.and_then(|n| usize::try_from(n).ok());
            found.ok_or_else(|| wants(&format!("a number from {least} to {most}")))
        };
        match key {
            "color" => {
                self.color = Some(match value.as_str() {
                    Some("auto") => Colour::Auto,
                    Some("always") => Colour::Always,
                    Some("never") => Colour::Never,
                    _ => return Err(wants("\"auto\", \"always\" or \"never\"")),
                });
            }
            "cookie_file" => {
                let file = value.as_str().ok_or_else(|| wants("the name of a file"))?;
                self.cookie_file = Some(match (file.strip_prefix("~/"), home) {
                    (Some(rest), Some(home)) => home.join(rest),
                    _ => PathBuf::from(file),
                });
            }
            "history" => self.history = Some(number(0, 1_000_000)?),
            "pager" => {
                let pager = value.as_str().ok_or_else(|| wants("a command"))?;
                self.pager = Some(pager.to_owned());
            }
            "runs" => self.runs = Some(number(1, 100_000)?),
            "unicode" => {
                self.unicode = Some(value.as_bool().ok_or_else(|| wants("true or false"))?);
            }
            "width" => self.width = Some(number(40, 400)?),
            _ => {
                let diagnostic = wrong(path, &format!("there is no setting `{key}`"));
                return Err(match suggest(key, KEYS) {
                    Some(close) => Box::new((*diagnostic).help(format!("did you mean `{close}`?"))),
                    None => Box::new((*diagnostic).help(format!("settings: {}", KEYS.join(", ")))),
                });
            }
        }
        Ok(())
    }
}

fn wrong(path: &Path, what: &str) -> Box<Diagnostic> {
    let title = format!("the settings in `{}` cannot be used", path.display());
    Box::new(Diagnostic::new(Code::E802, title).note(what))
}

fn text(path: &Path) -> std::result::Result<String, String> {
    regular_file::read_text(path, MOST).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(Path::new("c.toml"), text, Some(Path::new("/home/anna")))
    }

    #[test]
    fn every_setting_is_read() {
        let text = "color = \"never\"\ncookie_file = \"~/.secrets/c\"\nhistory = 7\npager = \"less\"\nruns = 9\nunicode = false\nwidth = 80\n";
        let config = parse(text).expect("it is fine");
        assert_eq!(
            config,
            Config {
                path: Some("c.toml".into()),
                color: Some(Colour::Never),
                cookie_file: Some("/home/anna/.secrets/c".into()),
                history: Some(7),
                pager: Some("less".to_owned()),
                runs: Some(9),
                unicode: Some(false),
                width: Some(80),
            }
        );
        // Every listed key is one.
        for key in KEYS {
            assert!(text.contains(key), "{key}");
        }
    }

    #[test]
    fn errors_are_reported() {
        for (text, what) in [
            ("colour = \"never\"", "did you mean `color`?"),
            ("color = \"green\"", "`color` wants"),
            ("pager = true", "`pager` wants"),
            ("runs = 0", "a number from 1"),
            ("runs = \"many\"", "a number from 1"),
            ("width = 80\nwidth = 90", "line 2"),
            ("[cookie]\nvalue = 1", "no setting `cookie`"),
            ("a = = 1", "line 1"),
        ] {
            let diagnostic = parse(text).expect_err(text);
            let all = format!(
                "{} {:?} {:?}",
                diagnostic.title, diagnostic.notes, diagnostic.help
            );
            assert!(all.contains(what), "{text}: {all}");
        }
    }
}
