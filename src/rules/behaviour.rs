//! Modules that change their behaviour: E338, and what `restart => true` means for them.

use std::collections::BTreeMap;

use super::lints::count;
use super::{ModuleRules, Origin};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::{ChangeSet, Changed};
use crate::facts::compare::behaviour::{BehaviourChange, behaviour_change};
use crate::facts::node::processes::ChildId;
use crate::name::Module;

/// The children that are terminated before the switch and started after it, in the order of the modules.
pub(super) fn restarts(
    changes: &ChangeSet,
    modules: &BTreeMap<Module, ModuleRules>,
) -> Vec<ChildId> {
    let mut found: Vec<ChildId> = Vec::new();
    for (module, decided) in modules {
        let changed = changes.modules.get(module);
        let Some(changed) = changed.filter(|_| decided.restart.value) else {
            continue;
        };
        for child in changed.crew.parents.iter().flatten() {
            if !found.contains(child) {
                found.push(child.clone());
            }
        }
    }
    found
}

/// What there is to say about the behaviour of a module.
pub(super) fn advice(
    changes: &ChangeSet,
    module: &Module,
    changed: &Changed,
    decided: &ModuleRules,
    out: &mut Vec<Diagnostic>,
) {
    let restart = decided.restart.value;
    let in_plan = |diagnostic: Diagnostic| match decided.restart.origin {
        Origin::Plan { span, .. } if restart => diagnostic.label(span, "in this statement"),
        _ => diagnostic,
    };
    let Some(turn) = behaviour_change(changes, changed) else {
        if restart {
            let title = format!("`restart` restarts nothing: `{module}` keeps its behaviour");
            out.push(in_plan(Diagnostic::new(Code::W341, title)));
        }
        return;
    };
    let parents = &changed.crew.parents;
    let children = parents.iter().flatten().count();
    let all = !parents.is_empty() && children == parents.len();
    match (restart, all) {
        (false, all) => out.push(refused(module, changed, &turn, all)),
        (true, false) => {
            let (without, verb) = match parents.len() - children {
                1 => (count(1, "process", "processes"), "is"),
                more => (count(more, "process", "processes"), "are"),
            };
            let title = format!("{without} of `{module}` {verb} not restarted by `restart`");
            out.push(in_plan(
                Diagnostic::new(Code::E340, title)
                    .note("their parent is no supervisor, did not answer, or has them as children without an identifier")
                    .help("end them first, or start them under a supervisor that gives them an identifier"),
            ));
        }
        (true, true) => out.push(in_plan(lost(module, parents.iter().flatten()))),
    }
}

/// E338.
fn refused(module: &Module, changed: &Changed, turn: &BehaviourChange, all: bool) -> Diagnostic {
    let to = match turn.to {
        Some(to) => format!("becomes a {to} module"),
        None => "has no behaviour any more".to_owned(),
    };
    let number = count(changed.processes, "process", "processes");
    let verb = if changed.processes == 1 {
        "runs"
    } else {
        "run"
    };
    let title = format!("`{module}` {to}, and {number} {verb} it as {}", turn.from);
    let diagnostic = Diagnostic::new(Code::E338, title)
        .note("a process keeps the behaviour that it was started with: it would call what the new version does not export");
    if all {
        return diagnostic.help(format!(
            "to have its supervisor restart it with the switch: `module {module} #{{restart => true}} because \"…\".`"
        ));
    }
    diagnostic
        .note("not all of these processes have a supervisor that can restart them by an identifier")
        .help(format!(
            "end them first, or leave the module as it is: `exclude {module} because \"…\".`"
        ))
}

/// W339.
fn lost<'a>(module: &Module, children: impl Iterator<Item = &'a ChildId>) -> Diagnostic {
    let children: Vec<String> = children
        .map(|(supervisor, id)| format!("child {id} of {supervisor}"))
        .collect();
    let number = count(children.len(), "process", "processes");
    let verb = if children.len() == 1 { "is" } else { "are" };
    Diagnostic::new(
        Code::W339,
        format!("{number} of `{module}` {verb} restarted, and their states are lost"),
    )
    .note(children.join(", "))
    .note("terminated before anything is suspended, started when all have resumed; an undo does the same")
}
