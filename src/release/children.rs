//! Children of supervisors in an inferred appup: OTP's `update` of a supervisor starts and stops no child, so what a restart
//! would start and what it would no longer have is written as calls to `supervisor` around it, as OTP's own examples do.
//!
//! A call needs the registered name of the supervisor; what cannot be written is reported.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic};
use crate::facts::beam::children::{ListedChild, UNSEEN};
use crate::facts::change::{ChangeSet, Changed};
use crate::name::Module;
use crate::rules::app_children::Enlisted;
use crate::rules::children::{goes_on, list};
use crate::rules::{ModuleRules, Ruleset};
use crate::script::high::HighStep;
use crate::script::instruction::{Call, Instruction};
use crate::term::{Atom, Term};

use super::infer::reach;

/// What is called before an instruction, and behind it.
type Around = (Vec<Instruction>, Vec<Instruction>);

/// The calls around the update of a supervisor, there and back.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) up: Around,
    pub(super) down: Around,
}

/// Supervisors with new children as early as can be: behind what their own init/1 needs and what these children run, and
/// before everything else, which may call them. On the way down the order is the opposite.
pub(super) fn early(mut steps: Vec<HighStep>, rules: &Ruleset) -> Vec<HighStep> {
    let starting = rules.modules.iter().filter_map(|(module, decided)| {
        let begun = match listed(decided) {
            Some(_) => decided.listing.as_ref().map(|l| &l.renewal.begun),
            None => decided.renews().then_some(&decided.renewal.begun),
        };
        begun
            .filter(|begun| !begun.is_empty())
            .map(|begun| (module, begun))
    });
    for (module, begun) in starting {
        let hard = rules
            .graph
            .dependencies(module)
            .filter(|(_, edge)| edge.is_hard());
        let mut needed: BTreeSet<Module> = hard.map(|(to, _)| to.clone()).collect();
        needed.extend(begun.iter().cloned());
        needed.extend(reach(&rules.graph, needed.clone()));
        let at = |module: &Module| {
            let mut modules = steps.iter().map(|step| &step.module);
            modules.position(|one| one == module)
        };
        let Some(now) = at(module) else { continue };
        let first = needed.iter().filter_map(at).map(|at| at + 1).max();
        let first = first.unwrap_or(0);
        if first < now {
            let step = steps.remove(now);
            steps.insert(first, step);
        }
    }
    steps
}

/// The calls around the instruction about a module: none, unless it is a supervisor whose children differ.
pub(super) fn calls(changes: &ChangeSet, rules: &Ruleset, module: &Module) -> Calls {
    if let Some(calls) = rules.modules.get(module).and_then(listed) {
        return calls;
    }
    let decided = rules.modules.get(module).filter(|decided| decided.renews());
    let name = changes.modules.get(module).and_then(registered);
    let (Some(decided), Some(name)) = (decided, name) else {
        return Calls::default();
    };
    let renewal = &decided.renewal;
    let call = |function: &str, id: &Term| {
        Instruction::Apply(Call {
            module: Atom::new("supervisor"),
            function: Atom::new(function),
            args: Term::list([Term::Atom(name.clone()), id.clone()]),
        })
    };
    let restart: Vec<&Term> = renewal.restart.iter().map(|(id, ..)| id).collect();
    let way = |gone: &[Term], new: &[Term]| -> Around {
        let mut before = Vec::new();
        for id in gone.iter().rev() {
            before.extend([call("terminate_child", id), call("delete_child", id)]);
        }
        before.extend(restart.iter().map(|id| call("terminate_child", id)));
        let after = restart.iter().copied().chain(new);
        let after = after.map(|id| call("restart_child", id));
        (before, after.collect())
    };
    Calls {
        up: way(&renewal.stop, &renewal.start),
        down: way(&renewal.start, &renewal.stop),
    }
}

/// The calls about the children that an application lists, when all of them can be written: its supervisor has a name, and
/// the code shows each identifier and each entry.
fn listed(decided: &ModuleRules) -> Option<Calls> {
    let (listing, children) = (decided.listing.as_ref()?, decided.listed_children()?);
    let [name] = listing.names.as_slice() else {
        return None;
    };
    name.as_atom()?;
    let seen = |one: &ListedChild| {
        let unseen = |item: &Term| {
            let parts = item.as_tuple().and_then(<[Term]>::first);
            parts.is_some_and(|word| word.is_atom(UNSEEN))
        };
        !one.guessed && one.item.as_ref().is_some_and(|item| !unseen(item))
    };
    if !children.start.iter().chain(&children.stop).all(seen) {
        return None;
    }
    let call = |module: &str, function: &str, argument: &Term| {
        Instruction::Apply(Call {
            module: Atom::new(module),
            function: Atom::new(function),
            args: Term::list([name.clone(), argument.clone()]),
        })
    };
    let way = |gone: &[ListedChild], new: &[ListedChild]| -> Around {
        let gone = gone.iter().rev().flat_map(|one| {
            let stop = |function| call("supervisor", function, &one.child.id);
            [stop("terminate_child"), stop("delete_child")]
        });
        // Elixir's own makes a specification of an entry.
        let items = new.iter().filter_map(|one| one.item.as_ref());
        let start = items.map(|item| call("Elixir.Supervisor", "start_child", item));
        (gone.collect(), start.collect())
    };
    Some(Calls {
        up: way(&children.stop, &children.start),
        down: way(&children.start, &children.stop),
    })
}

/// The name that a supervisor is registered with, when it is one.
fn registered(changed: &Changed) -> Option<Atom> {
    let names = |changed: &Changed| -> BTreeSet<Atom> {
        let versions = [&changed.old, &changed.new].into_iter().flatten();
        let names = versions.flat_map(|beam| beam.facts.code.registers.iter().cloned());
        names.collect()
    };
    let mut names = names(changed).into_iter();
    names.next().filter(|_| names.next().is_none())
}

/// What there is to say: what is not written, and what an author has to look at.
pub(super) fn advice(changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut ended: BTreeSet<&Module> = BTreeSet::new();
    for (module, decided) in rules.modules.iter().filter(|(_, d)| d.renews()) {
        let name = changes.modules.get(module).and_then(registered);
        if name.is_some() {
            ended.extend(&decided.renewal.ended);
        }
        diagnostics.extend(unwritten(module, decided, name.is_some()));
        let held: Vec<&Term> = decided.renewal.held.iter().collect();
        if !held.is_empty() {
            diagnostics.push(goes_on(module, &held));
        }
    }
    for (module, decided) in &rules.modules {
        let Some(listing) = decided.lists() else {
            continue;
        };
        if let Some(mut diagnostic) = listing.unread(module, &decided.children.value) {
            diagnostic.code = Code::W422;
            diagnostics.push(diagnostic.help(RESTART));
        }
        let Some(children) = decided.listed_children() else {
            continue;
        };
        match listed(decided) {
            Some(_) => ended.extend(&listing.renewal.ended),
            None => diagnostics.push(unlisted(module, &children)),
        }
        let held: Vec<&Term> = listing.renewal.held.iter().collect();
        if !held.is_empty() {
            diagnostics.push(goes_on(module, &held));
        }
    }
    for (module, changed) in &changes.modules {
        let (None, Some(old)) = (&changed.new, &changed.old) else {
            continue;
        };
        let runs = changes.declared(&old.facts).next().is_some()
            || old.facts.exports("system_code_change", 4);
        if runs && !ended.contains(module) {
            let title = format!("`{module}` is deleted, and nothing stops processes that run it");
            let help = format!(
                "stop them in front of `{{delete_module,{module}}}`: \
                 {{apply,{{supervisor,terminate_child,[Sup,Id]}}}} and {{apply,{{supervisor,delete_child,[Sup,Id]}}}}"
            );
            diagnostics.push(Diagnostic::new(Code::W422, title).help(help));
        }
    }
    diagnostics
}

/// What an author can do about children of an application.
const RESTART: &str = "call supervisor:terminate_child/2 and delete_child/2 in front of its module, \
     'Elixir.Supervisor':start_child/2 behind it, or restart the application";

/// W422: children of an application that no call could be written for.
fn unlisted(module: &Module, children: &Enlisted) -> Diagnostic {
    let title = format!("children that `{module}` lists are neither started nor stopped");
    let ids = |all: &[ListedChild]| {
        let ids: Vec<String> = all.iter().map(|one| one.child.id.to_string()).collect();
        ids.join(", ")
    };
    let mut diagnostic = Diagnostic::new(Code::W422, title);
    for (what, ids) in [
        ("new", ids(&children.start)),
        ("no longer there", ids(&children.stop)),
    ] {
        if !ids.is_empty() {
            diagnostic = diagnostic.note(format!("{what}: {ids}"));
        }
    }
    diagnostic
        .note("the name of their supervisor, their identifiers or their entries are not all seen in its start/2")
        .help(RESTART)
}

/// W422: children that no call could be written for.
fn unwritten(module: &Module, decided: &ModuleRules, named: bool) -> Option<Diagnostic> {
    let renewal = &decided.renewal;
    if renewal.is_empty() || named && renewal.exact {
        return None;
    }
    let title = match renewal.exact {
        true => format!("children of `{module}` are neither started nor stopped"),
        false => format!("which children `{module}` has cannot be seen in its code"),
    };
    let mut diagnostic = Diagnostic::new(Code::W422, title);
    let restart = || renewal.restart.iter().map(|(id, ..)| id);
    if !named {
        for (what, ids) in [
            ("new", list(&renewal.start)),
            ("no longer there", list(&renewal.stop)),
            ("other servers", list(restart())),
        ] {
            if !ids.is_empty() {
                diagnostic = diagnostic.note(format!("{what}: {ids}"));
            }
        }
        diagnostic = diagnostic
            .note("no name is seen that it is registered with: calls to it cannot be written");
    }
    Some(diagnostic.help(format!(
        "call supervisor:terminate_child/2, delete_child/2 and restart_child/2 around the update of `{module}`, \
         or restart the application"
    )))
}
