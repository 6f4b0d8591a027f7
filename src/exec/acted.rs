//! What hooks of a run have done, and whether the way back has undone it.
//!
//! Takes the events of a run, live or from its record. Code and states go back exactly, but a hook may have done
//! anything: only the plan knows how to undo that (`on rollback`), so without it nothing claims "as before".

use super::event::{EventKind, StepKind};
use crate::diag::{Code, Diagnostic};
use crate::plan::When;

/// The hooks of a run that have acted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    names: Vec<String>,
    /// Whether the hooks `on rollback` ran through; `None`: there was none.
    back: Option<bool>,
}

impl Acted {
    /// The next event. A hook that failed may have acted before it did.
    pub fn event(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Hook { name, ok, .. } if *name == When::Rollback.words() => {
                self.back = Some(*ok && self.back != Some(false));
            }
            EventKind::Hook { name, .. }
                if [When::Before, When::After].map(When::words).contains(name) =>
            {
                self.add(name);
            }
            EventKind::StepFinished {
                step: StepKind::Hook,
                what,
                ..
            } => self.add(what),
            _ => {}
        }
    }

    fn add(&mut self, name: &str) {
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
    }

    /// The hooks whose effects have not been undone.
    pub fn left(&self) -> &[String] {
        match self.back {
            Some(true) => &[],
            Some(false) | None => &self.names,
        }
    }

    /// Whether nothing is left of any hook.
    pub fn is_undone(&self) -> bool {
        self.back != Some(false) && self.left().is_empty()
    }

    /// What is left, in words for the last line; `None` when everything is as before.
    pub fn words(&self) -> Option<String> {
        if self.is_undone() {
            return None;
        }
        if self.names.is_empty() {
            return Some("the hook `on rollback` failed".to_owned());
        }
        let names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        let hooks = if names.len() == 1 { "hook" } else { "hooks" };
        Some(format!(
            "not undone: what the {hooks} {} did",
            names.join(", ")
        ))
    }

    /// W621: the old code is back, and effects of hooks are not undone. A hook `on rollback` that failed has been told.
    pub fn warning(&self) -> Option<Diagnostic> {
        if self.back.is_some() || self.names.is_empty() {
            return None;
        }
        let title = "what hooks of the run did is not undone";
        let mut diagnostic = Diagnostic::new(Code::W621, title);
        for name in &self.names {
            diagnostic = diagnostic.note(format!("hook `{name}`"));
        }
        Some(diagnostic.help(
            "a hook `on rollback -> …` in the plan is run when the old code and states are back",
        ))
    }
}
