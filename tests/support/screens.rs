//! Every screen as it is: command, plan, standard output, standard error and exit status, in `tests/screens`.
//!
//! What differs from run to run (times, process identifiers, names of nodes and runs, folders, the versions of OTP and of
//! compiled code) is replaced by words. `UPDO_BLESS=1` writes the screens anew; what changed is then seen in the diff.

use std::path::Path;

use fancy_regex::Regex;

use super::apps::bank;
use super::desk::{Desk, Ran, Updo};

/// A pattern for a text as it is.
pub fn quoted(text: &str) -> String {
    text.replace('.', r"\.")
}

/// What is replaced by what, after what a test knows better; in this order.
fn filters(desk: &Desk, known: &[(String, &str)]) -> Vec<(Regex, String)> {
    let path = |path: &Path| quoted(&path.display().to_string());
    let apps = bank()
        .one
        .parent()
        .and_then(Path::parent)
        .expect("a folder");
    let ours = [(path(desk.path()), "DESK")];
    let more = [
        (format!("{}/[^/ \"]+", path(apps)), "APPS"),
        (r"anna@[^\s,;:)]+".to_owned(), "anna@desk"),
        (
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(),
            "DATE",
        ),
        (r"\d\d:\d\d:\d\dZ".to_owned(), "CLOCK"),
        (r"<\d+\.\d+\.\d+>".to_owned(), "<PID>"),
        (r"c:pid\(\d+,\d+,\d+\)".to_owned(), "c:pid(PID)"),
        (
            r"\b\d+m\d\ds\b|\b\d+(\.\d+)?(ms|s)\b(?! of )( *(?=  ))?".to_owned(),
            "TIME",
        ),
        (r"\brun [0-9a-f]{4}\b".to_owned(), "run RUN"),
        (r"(?m)^[0-9a-f]{4}\b(?=  )".to_owned(), "RUN "),
        (
            r"updo (attach|rollback|report) [0-9a-f]{4}\b".to_owned(),
            "updo $1 RUN",
        ),
        (r"runs/[0-9a-f]{4}".to_owned(), "runs/RUN"),
        (
            r"\bmd5 [0-9a-f]{8}( -> [0-9a-f]{8})?".to_owned(),
            "md5 OLD -> NEW",
        ),
        (r"\b[0-9a-f]{32}\b".to_owned(), "MD5"),
        (r"\b\d{30,}\b".to_owned(), "VSN"),
        (r"OTP \d+".to_owned(), "OTP NN"),
        (
            r"\d+ modules, \d+ processes".to_owned(),
            "N modules, N processes",
        ),
        (r"\d+ modules(?= compared|:|,)".to_owned(), "N modules"),
        (r"for \d+ s\b".to_owned(), "for TIME"),
        (r"(?<=  )[0-9a-f]{8}(?=  )".to_owned(), "MD5"),
        (r"of \d+ modules".to_owned(), "of N modules"),
        (r"\d+ applications?".to_owned(), "N applications"),
        (r"updo-\d+-[0-9a-z]+@[^\s,)]+".to_owned(), "updo-US@host"),
        (
            r"\b127\.0\.0\.1(:\d+)?|\[::1\](:\d+)?".to_owned(),
            "ADDRESS",
        ),
        (r"\bport \d+".to_owned(), "port PORT"),
        // Other tests' nodes are known to the same epmd.
        (r"knows [^;\n]*;".to_owned(), "knows NAMES;"),
        (r"\d+ bytes".to_owned(), "N bytes"),
        (r"\d+ -> \d+ bytes|[+-]\d+ bytes".to_owned(), "N bytes"),
    ];
    ours.into_iter()
        .chain(known.iter().cloned())
        .chain(more)
        .map(|(pattern, word)| (Regex::new(&pattern).expect("a pattern"), word.to_owned()))
        .collect()
}

/// Screens that are not what they were.
pub struct Screens<'a> {
    desk: &'a Desk,
    /// The file name of the plan.
    plan: &'a str,
    filters: Vec<(Regex, String)>,
    differing: Vec<String>,
}

impl<'a> Screens<'a> {
    /// Screens of a desk with a plan. `known`: patterns of what only this test knows, such as the names of nodes.
    pub fn new(desk: &'a Desk, plan: &'a str, known: &[(String, &str)]) -> Self {
        Self {
            desk,
            plan,
            filters: filters(desk, known),
            differing: Vec::new(),
        }
    }

    /// A text without what differs from run to run.
    pub fn filtered(&self, text: &str) -> String {
        let text = self
            .filters
            .iter()
            .fold(text.to_owned(), |text, (regex, word)| {
                regex.replace_all(&text, word.as_str()).into_owned()
            });
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Runs a command, and holds its screen against what is kept under a name.
    pub fn shows(&mut self, name: &str, updo: Updo<'_>, args: &[&str], code: i32) -> Ran {
        let ran = updo.env("COLUMNS", "100").run().exits(code);
        let text = format!(
            "$ updo {}\n--- plan\n{}\n--- standard output\n{}\n--- standard error\n{}\n--- exit {code}\n",
            self.filtered(&args.join(" ")),
            self.filtered(&self.desk.read(self.plan)),
            self.filtered(&ran.stdout),
            self.filtered(&ran.stderr)
        );
        self.compare(name, &text);
        ran
    }

    /// Holds a text against what is kept under a name.
    pub fn compare(&mut self, name: &str, text: &str) {
        let file = format!("tests/screens/{name}.txt");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        if std::env::var_os("UPDO_BLESS").is_some() {
            std::fs::write(&path, text).expect("the screen can be written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != text {
            let (old, new): (Vec<_>, Vec<_>) = (kept.lines().collect(), text.lines().collect());
            let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
            self.differing.push(format!(
                "{file} line {}:\n  was {:?}\n  is  {:?}",
                same + 1,
                old.get(same),
                new.get(same)
            ));
        }
    }

    /// Fails when a screen was not what it was.
    #[track_caller]
    pub fn end(self) {
        assert!(
            self.differing.is_empty(),
            "screens are not what they were (UPDO_BLESS=1 writes them anew):\n{}",
            self.differing.join("\n")
        );
    }
}
