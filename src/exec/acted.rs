//! What hooks and conversions of a run have done elsewhere, and whether the way back has undone it.
//!
//! Takes the events of a run, live or from its record. Code and states go back exactly, but a hook may have done
//! anything: only the plan knows how to undo that (`on rollback`), so without it nothing claims "as before". A
//! conversion that has acted outside of its state and has no way down is announced by a W625 when a run goes back.

use super::event::{EventKind, StepKind};
use crate::diag::{Code, Diagnostic};
use crate::name::Module;
use crate::plan::When;

/// How many modules a diagnostic names.
const NAMED: usize = 8;

/// The hooks of a run that have acted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    names: Vec<String>,
    /// Whether conversions have left something that no way back undoes.
    converted: bool,
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
            EventKind::Diagnostic(diagnostic) if diagnostic.code == Code::W625 => {
                self.converted = true;
            }
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

    /// Whether nothing is left of any hook or conversion.
    pub fn is_undone(&self) -> bool {
        self.back != Some(false) && self.left().is_empty() && !self.converted
    }

    /// What is left, in words for the last line; `None` when everything is as before.
    pub fn words(&self) -> Option<String> {
        if self.is_undone() {
            return None;
        }
        let conversions = self
            .converted
            .then(|| "conversions did outside of states".to_owned());
        if self.names.is_empty() && self.back == Some(false) {
            let failed = "the hook `on rollback` failed".to_owned();
            return Some(match conversions {
                Some(what) => format!("{failed}; not undone: what {what}"),
                None => failed,
            });
        }
        let names: Vec<String> = self.left().iter().map(|name| format!("`{name}`")).collect();
        let hooks = match names.len() {
            0 => None,
            1 => Some(format!("the hook {} did", names[0])),
            _ => Some(format!("the hooks {} did", names.join(", "))),
        };
        let all: Vec<String> = hooks.into_iter().chain(conversions).collect();
        Some(format!("not undone: what {}", all.join(", and what ")))
    }

    /// W625, for modules whose conversions have acted; `None` without any. Reported when a run goes back.
    pub fn conversions(modules: &[Module]) -> Option<Diagnostic> {
        let title = "what conversions did outside of states is not undone";
        let diagnostic = Diagnostic::new(Code::W625, title);
        let note = |module: &Module| {
            format!(
                "of `{module}`: its code_change has no clause for {{down, _}} that takes it back"
            )
        };
        let named = modules.iter().take(NAMED).map(note);
        let all = named.fold(diagnostic, Diagnostic::note);
        (!modules.is_empty()).then_some(all)
    }

    /// W621: the old code is back, and effects of hooks are not undone. A hook `on rollback` that failed has been
    /// reported.
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
