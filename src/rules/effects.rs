//! What conversions do beside their state: W624, W625, and what an undo has to ask of them.
//!
//! An undo puts code and states back. What a conversion wrote elsewhere (tables, files, other processes) it can only
//! ask `code_change` to take back, by `{down, _}`. A supervisor's conversion is its new `init/1`: what that does, it does
//! once more on every upgrade.

use super::lints::NAMED;
use super::{Change, Class, ModuleRules, Origin, Ruleset};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::code::effects::{Doing, Effects, verdict};
use crate::facts::change::{Beam, ChangeSet, Changed};
use crate::name::Module;

/// How a conversion that acts is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// It may know `{down, _}`, and is asked for that.
    Both,
    /// It has no clause for `{down, _}`.
    OneWay,
}

/// What is to be reported about conversions that act.
pub fn advice(changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (module, decided) in &rules.modules {
        let Some(changed) = converted(changes, module, decided) else {
            continue;
        };
        match decided.class.value {
            Class::Supervisor => {
                let found = found(changes, module, &[("init", 1)]);
                if found.doing == Doing::Acts {
                    diagnostics.push(init_acts(module, &found));
                }
            }
            Class::Server if code_change_is_one_way(changed) => {
                let found = conversion(changes, module);
                if found.doing == Doing::Acts {
                    diagnostics.push(stays(module, decided, &found));
                }
            }
            _ => {}
        }
    }
    diagnostics
}

/// Whether the conversion of a module's servers acts, and how that is undone.
pub fn acts(changes: &ChangeSet, rules: &Ruleset, module: &Module) -> Option<Acts> {
    let decided = rules.modules.get(module)?;
    let changed = converted(changes, module, decided)?;
    let acts =
        decided.class.value == Class::Server && conversion(changes, module).doing == Doing::Acts;
    acts.then(|| match code_change_is_one_way(changed) {
        true => Acts::OneWay,
        false => Acts::Both,
    })
}

fn code_change_is_one_way(changed: &Changed) -> bool {
    let new = changed.new.as_ref();
    new.is_some_and(|new| new.facts.code.one_way)
}

/// A module whose processes are converted by its own code.
fn converted<'a>(
    changes: &'a ChangeSet,
    module: &Module,
    decided: &ModuleRules,
) -> Option<&'a Changed> {
    let changed = changes.modules.get(module)?;
    let converts = matches!(decided.change.value, Change::Advanced(_));
    (converts && !changed.is_new() && changed.new.is_some()).then_some(changed)
}

fn conversion(changes: &ChangeSet, module: &Module) -> Effects {
    found(changes, module, &[("code_change", 3), ("code_change", 4)])
}

/// What the new version does in these functions, in those it calls, and in those of other modules of the upgrade.
fn found(changes: &ChangeSet, module: &Module, entries: &[(&str, u32)]) -> Effects {
    let host = |module: &Module| {
        let changed = changes.modules.get(module)?;
        changed.new.as_ref().map(Beam::bodies)
    };
    verdict(module, entries, &host)
}

fn places(diagnostic: Diagnostic, found: &Effects) -> Diagnostic {
    let more = found.acting().count().saturating_sub(NAMED);
    let diagnostic = found
        .acting()
        .take(NAMED)
        .fold(diagnostic, |diagnostic, place| {
            diagnostic.note(place.to_string())
        });
    match more {
        0 => diagnostic,
        more => diagnostic.note(format!("and {more} more")),
    }
}

/// W624: a supervisor's `init/1` that is no mere specification.
fn init_acts(module: &Module, found: &Effects) -> Diagnostic {
    let title =
        format!("`init/1` of the supervisor `{module}` acts, and this upgrade runs it again");
    let names = found
        .acting()
        .any(|place| matches!(place.what.as_str(), "ets:new/2" | "erlang:register/2"));
    let warning = places(Diagnostic::new(Code::W624, title), found);
    let warning = match names {
        true => warning.note(
            "a named table and a registered name are there already: making them again raises `badarg`, the conversion fails (E604), and the run is undone",
        ),
        false => warning,
    };
    warning
        .note("OTP renews child specifications by running the new `init/1` in the supervisor")
        .note("an undo and a rollback restore the specifications without it, unless the supervisor was restarted since")
        .help(format!(
            "make it safe to run twice, or leave the specifications as they are: `module {module} #{{change => soft}} because \"…\".`"
        ))
}

/// W625: a conversion whose effects nothing takes back.
fn stays(module: &Module, decided: &ModuleRules, found: &Effects) -> Diagnostic {
    let title =
        format!("what the conversion of `{module}` does outside of its state cannot be undone");
    let diagnostic = places(Diagnostic::new(Code::W625, title), found)
        .note("`code_change` has no clause for `{down, _}`: an undo restores code and states only")
        .help("add a clause for `{down, _}` that reverts it; an undo calls it before it restores the state");
    match decided.change.origin {
        Origin::Plan { span, .. } => diagnostic.label(span, "asks for the conversion"),
        _ => diagnostic,
    }
}
