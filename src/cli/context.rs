//! What every command has: the screen, the flags, the configuration.

use std::path::Path;

use super::args::{Global, PushArgs};
use super::config::Config;
use super::env_flags::Given;
use super::exit::Exit;
use super::standard_input::{STDIN, from_stdin};
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::engine::{Engine, OpenedPlan, Settings};
use crate::facts::local::globs;
use crate::plan::load::{absolute, plan_of_nodes};
use crate::ui::{Ui, announce};

/// What every command has.
pub(crate) struct Context<'a> {
    pub ui: Ui,
    pub global: &'a Global,
    /// Where each flag came from.
    pub given: Given,
    pub config: Config,
}

impl Context<'_> {
    /// Settings from flags over environment.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::from_env();
        for set in &self.global.set {
            let (name, value) = set.split_once('=').unwrap_or((set, ""));
            settings
                .sets
                .insert(name.trim().to_owned(), value.to_owned());
        }
        settings.cookie_file.clone_from(&self.global.cookie_file);
        settings.cookie_default.clone_from(&self.config.cookie_file);
        settings.runs = self.config.runs;
        settings.announce = (!self.ui.quiet).then_some(announce as fn(&str));
        if self.global.name.is_some() {
            settings.local_name.clone_from(&self.global.name);
        }
        settings
    }

    /// Settings of a command that takes `--push`, which goes with a node that is named in place of a plan. The patterns are
    /// then those of the current folder wherever the plan is read again: by a saved script, by a rollback.
    ///
    /// # Errors
    /// The exit code of wrong usage.
    pub fn settings_for(&self, plan: Option<&Path>, push: &PushArgs) -> Result<Settings, Exit> {
        let mut settings = self.settings();
        if push.globs.is_empty() {
            return Ok(settings);
        }
        match plan {
            Some(plan) if plan_of_nodes(plan, &[]).is_some() => {}
            _ => {
                let title = "--push goes with a node in place of a plan";
                let help = "in a plan the new beams are said so: code push [\"PATH/*.beam\"].";
                return Err(self.usage(title, help));
            }
        }
        let here = absolute(Path::new("."));
        let globs = push.globs.iter();
        settings.push = globs.map(|glob| globs::absolute(glob, &here)).collect();
        Ok(settings)
    }

    /// Opens a plan, `-` for standard input, and says what there is to say; `None` when it has errors.
    pub fn open(&self, plan: &Path, settings: Settings) -> Option<Engine> {
        let opened = self.opened(plan, settings);
        self.ui.diagnostics(&opened.diagnostics, &opened.sources);
        opened.engine
    }

    /// The same, and says nothing.
    pub fn opened(&self, plan: &Path, settings: Settings) -> OpenedPlan {
        if plan != Path::new(STDIN) {
            return Engine::open(plan, settings);
        }
        match from_stdin() {
            Ok(text) => Engine::open_as(plan, &text, settings),
            Err(why) => OpenedPlan {
                engine: None,
                diagnostics: vec![
                    Diagnostic::new(Code::E109, "cannot read standard input").note(why),
                ],
                sources: SourceMap::default(),
            },
        }
    }

    /// Shows one diagnostic and gives its exit code.
    pub fn fail(&self, diagnostic: Diagnostic, sources: &SourceMap) -> Exit {
        let exit = Exit::of(diagnostic.code);
        self.ui.diagnostics(&[diagnostic], sources);
        exit
    }

    /// A usage error with the sentence to add.
    pub fn usage(&self, title: &str, help: &str) -> Exit {
        self.fail(
            Diagnostic::new(Code::E801, title).help(help),
            &SourceMap::default(),
        )
    }
}
