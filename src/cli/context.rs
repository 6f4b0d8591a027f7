//! What every command has: the screen, the flags, the configuration.

use std::path::Path;

use super::args::Global;
use super::config::Config;
use super::env_flags::Given;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::engine::{Engine, Settings};
use crate::ui::Ui;

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
        if self.global.name.is_some() {
            settings.local_name.clone_from(&self.global.name);
        }
        settings
    }

    /// Opens a plan and says what there is to say; `None` when it has errors.
    pub fn open(&self, plan: &Path, settings: Settings) -> Option<Engine> {
        let opened = Engine::open(plan, settings);
        self.ui.diagnostics(&opened.diagnostics, &opened.sources);
        opened.engine
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
