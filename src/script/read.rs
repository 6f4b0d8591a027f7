//! From terms to instructions: OTP's short forms, and its syntax check with its errors.
//!
//! [`expand`] replaces the short forms by their shape alone; [`instruction`] checks one expanded instruction,
//! element by element in OTP's order, so that the first bad element is the one reported. Both follow
//! `systools_rc`; nothing here knows applications or order.

use std::time::Duration;

use super::error::ScriptError;
use super::instruction::{Call, Direction, Instruction, Nodes, StartType};
use crate::name::{App, Module};
use crate::rules::{Change, ModuleType, Purge, Timeout};
use crate::term::{Atom, BigInt, Term};

/// A short form replaced by what it means, by its shape alone; `None` if it is none.
pub fn expand(term: &Term) -> Option<Term> {
    let elements = term.as_tuple()?;
    let word = elements.first()?.as_atom()?.as_str();
    let brutal = || Term::atom("brutal_purge");
    let nil = || Term::List(Vec::new());
    let soft = || Term::atom("soft");
    let is_list = |term: &Term| matches!(term, Term::List(_) | Term::Improper(..));
    let is_change = |term: &Term| matches!(term, Term::Tuple(_)) || term.is_atom("soft");
    let update = |module: &Term, change: Term, deps: Term| {
        Term::tuple([
            Term::atom("update"),
            module.clone(),
            change,
            brutal(),
            brutal(),
            deps,
        ])
    };
    let load = |module: &Term, deps: Term| {
        Term::tuple([
            Term::atom("load_module"),
            module.clone(),
            brutal(),
            brutal(),
            deps,
        ])
    };
    Some(match (word, &elements[1..]) {
        ("load_module", [module]) => load(module, nil()),
        ("load_module", [module, deps]) if is_list(deps) => load(module, deps.clone()),
        ("update", [module]) => update(module, soft(), nil()),
        ("update", [module, how]) if how.is_atom("supervisor") => Term::tuple([
            Term::atom("update"),
            module.clone(),
            Term::atom("static"),
            Term::atom("default"),
            Term::tuple([Term::atom("advanced"), nil()]),
            brutal(),
            brutal(),
            nil(),
        ]),
        ("update", [module, change]) if is_change(change) => update(module, change.clone(), nil()),
        ("update", [module, deps]) if is_list(deps) => update(module, soft(), deps.clone()),
        ("update", [module, change, deps]) if is_change(change) && is_list(deps) => {
            update(module, change.clone(), deps.clone())
        }
        ("add_application", [app]) => Term::tuple([
            Term::atom("add_application"),
            app.clone(),
            Term::atom("permanent"),
        ]),
        _ => return None,
    })
}

/// Reads one instruction in any form, short ones included.
///
/// # Errors
/// The first bad element, as `systools_rc` names it.
pub fn any_form(term: &Term) -> Result<Instruction, ScriptError> {
    match expand(term) {
        Some(expanded) => instruction(&expanded),
        None => instruction(term),
    }
}

/// Reads one instruction that [`expand`] has seen.
///
/// # Errors
/// The first bad element, as `systools_rc` names it.
pub fn instruction(term: &Term) -> Result<Instruction, ScriptError> {
    let unknown = || ScriptError::BadInstruction(term.clone());
    match term {
        Term::Atom(word) => match word.as_str() {
            "mnesia_backup" => Err(ScriptError::NotYetImplemented(term.clone())),
            "point_of_no_return" => Ok(Instruction::PointOfNoReturn),
            "restart_new_emulator" => Ok(Instruction::RestartNewEmulator),
            "restart_emulator" => Ok(Instruction::RestartEmulator),
            "restart" => Ok(Instruction::Restart),
            "reboot" => Ok(Instruction::Reboot),
            _ => Err(unknown()),
        },
        Term::Tuple(elements) => {
            let word = elements.first().and_then(Term::as_atom);
            let word = word.ok_or_else(unknown)?.as_str();
            match high(word, &elements[1..])? {
                Some(found) => Ok(found),
                None => low(word, &elements[1..])?.ok_or_else(unknown),
            }
        }
        _ => Err(unknown()),
    }
}

type Found = Result<Option<Instruction>, ScriptError>;

fn high(word: &str, rest: &[Term]) -> Found {
    Ok(Some(match (word, rest) {
        ("update", [m, change, pre, post, deps]) => update(m, None, None, change, pre, post, deps)?,
        ("update", [m, time, change, pre, post, deps]) => {
            update(m, None, Some(time), change, pre, post, deps)?
        }
        ("update", [m, kind, time, change, pre, post, deps]) => {
            update(m, Some(kind), Some(time), change, pre, post, deps)?
        }
        ("load_module", [m, pre, post, deps]) => Instruction::LoadModule {
            module: module(m)?,
            pre: purging(pre)?,
            post: purging(post)?,
            deps: modules(deps)?,
        },
        ("add_module", [m]) => Instruction::AddModule {
            module: module(m)?,
            deps: Vec::new(),
        },
        ("add_module", [m, deps]) => Instruction::AddModule {
            module: module(m)?,
            deps: modules(deps)?,
        },
        ("delete_module", [m]) => Instruction::DeleteModule {
            module: module(m)?,
            deps: Vec::new(),
        },
        ("delete_module", [m, deps]) => Instruction::DeleteModule {
            module: module(m)?,
            deps: modules(deps)?,
        },
        ("add_application", [name, start]) => Instruction::AddApplication {
            app: app(name)?,
            start: start
                .as_atom()
                .and_then(|atom| StartType::parse(atom.as_str()))
                .ok_or_else(|| ScriptError::BadStartType(start.clone()))?,
        },
        ("remove_application", [name]) => Instruction::RemoveApplication(app(name)?),
        ("restart_application", [name]) => Instruction::RestartApplication(app(name)?),
        _ => return Ok(None),
    }))
}

fn update(
    name: &Term,
    kind: Option<&Term>,
    time: Option<&Term>,
    change: &Term,
    pre: &Term,
    post: &Term,
    deps: &Term,
) -> Result<Instruction, ScriptError> {
    Ok(Instruction::Update {
        module: module(name)?,
        kind: match kind {
            None => ModuleType::Dynamic,
            Some(kind) if kind.is_atom("dynamic") => ModuleType::Dynamic,
            Some(kind) if kind.is_atom("static") => ModuleType::Static,
            Some(other) => return Err(ScriptError::BadModType(other.clone())),
        },
        timeout: time.map_or(Ok(Timeout::Default), suspend_timeout)?,
        change: match change {
            Term::Atom(atom) if atom == "soft" => Change::Soft,
            Term::Tuple(pair) if pair.len() == 2 && pair[0].is_atom("advanced") => {
                Change::Advanced(pair[1].clone())
            }
            other => return Err(ScriptError::BadChange(other.clone())),
        },
        pre: purging(pre)?,
        post: purging(post)?,
        deps: modules(deps)?,
        supervisor: false,
    })
}

fn low(word: &str, rest: &[Term]) -> Found {
    Ok(Some(match (word, rest) {
        ("load_object_code", [Term::Tuple(of)]) if of.len() == 3 => Instruction::LoadObjectCode {
            lib: match &of[0] {
                Term::Atom(name) => App::new(name.as_str()),
                other => return Err(ScriptError::BadLib(other.clone())),
            },
            vsn: match &of[1] {
                list @ (Term::List(_) | Term::Improper(..)) => list.clone(),
                other => return Err(ScriptError::BadLibVsn(other.clone())),
            },
            modules: modules(&of[2])?,
        },
        ("load", [Term::Tuple(of)]) if of.len() == 3 => Instruction::Load {
            module: module(&of[0])?,
            pre: purging(&of[1])?,
            post: purging(&of[2])?,
        },
        ("remove", [Term::Tuple(of)]) if of.len() == 3 => Instruction::Remove {
            module: module(&of[0])?,
            pre: purging(&of[1])?,
            post: purging(&of[2])?,
        },
        ("purge", [list]) => Instruction::Purge(modules(list)?),
        ("resume", [list]) => Instruction::Resume(modules(list)?),
        ("stop", [list]) => Instruction::Stop(modules(list)?),
        ("start", [list]) => Instruction::Start(modules(list)?),
        ("suspend", [list]) => Instruction::Suspend(each(list, |one| match one {
            Term::Tuple(pair) if pair.len() == 2 => {
                Ok((module(&pair[0])?, Some(suspend_timeout(&pair[1])?)))
            }
            other => Ok((module(other)?, None)),
        })?),
        ("code_change", [list]) => Instruction::CodeChange {
            direction: None,
            modules: conversions(list)?,
        },
        ("code_change", [mode, list]) => {
            listed(list)?;
            let direction = match mode.as_atom().map(Atom::as_str) {
                Some("up") => Direction::Up,
                Some("down") => Direction::Down,
                _ => return Err(ScriptError::BadMode(mode.clone())),
            };
            Instruction::CodeChange {
                direction: Some(direction),
                modules: conversions(list)?,
            }
        }
        ("sync_nodes", [id, Term::Tuple(of)]) if of.len() == 3 => Instruction::SyncNodes {
            id: id.clone(),
            nodes: Nodes::Call(call(of)?),
        },
        ("sync_nodes", [id, list]) => Instruction::SyncNodes {
            id: id.clone(),
            nodes: Nodes::List(each(list, |node| match node {
                Term::Atom(name) => Ok(name.clone()),
                other => Err(ScriptError::BadNode(other.clone())),
            })?),
        },
        ("apply", [Term::Tuple(of)]) if of.len() == 3 => Instruction::Apply(call(of)?),
        _ => return Ok(None),
    }))
}

fn call(of: &[Term]) -> Result<Call, ScriptError> {
    let [m, f, args] = of else {
        return Err(ScriptError::Crash(
            "a call is {Module, Function, Arguments}",
        ));
    };
    Ok(Call {
        module: match m {
            Term::Atom(name) => name.clone(),
            other => return Err(ScriptError::BadModule(other.clone())),
        },
        function: match f {
            Term::Atom(name) => name.clone(),
            other => return Err(ScriptError::BadFunc(other.clone())),
        },
        args: match args {
            list @ (Term::List(_) | Term::Improper(..)) => list.clone(),
            other => return Err(ScriptError::BadArgsList(other.clone())),
        },
    })
}

fn conversions(list: &Term) -> Result<Vec<(Module, Change)>, ScriptError> {
    each(list, |one| match one {
        Term::Tuple(pair) if pair.len() == 2 => {
            Ok((module(&pair[0])?, Change::Advanced(pair[1].clone())))
        }
        other => Err(ScriptError::BadCodeChange(other.clone())),
    })
}

fn module(term: &Term) -> Result<Module, ScriptError> {
    match term {
        Term::Atom(name) => Ok(Module::new(name.as_str())),
        other => Err(ScriptError::BadModule(other.clone())),
    }
}

fn app(term: &Term) -> Result<App, ScriptError> {
    match term {
        Term::Atom(name) => Ok(App::new(name.as_str())),
        other => Err(ScriptError::BadApplication(other.clone())),
    }
}

fn purging(term: &Term) -> Result<Purge, ScriptError> {
    match term.as_atom().map(Atom::as_str) {
        Some("soft_purge") => Ok(Purge::Soft),
        Some("brutal_purge") => Ok(Purge::Brutal),
        _ => Err(ScriptError::BadPurgeMethod(term.clone())),
    }
}

fn suspend_timeout(term: &Term) -> Result<Timeout, ScriptError> {
    let number = match term {
        Term::Atom(atom) if atom == "default" => return Ok(Timeout::Default),
        Term::Atom(atom) if atom == "infinity" => return Ok(Timeout::Infinity),
        Term::Int(time) if *time > 0 => BigInt::from(*time),
        Term::Big(time) if **time > BigInt::from(0) => (**time).clone(),
        other => return Err(ScriptError::BadTimeout(other.clone())),
    };
    Ok(match u64::try_from(&number) {
        Ok(time) => Timeout::After(Duration::from_millis(time)),
        Err(_) => Timeout::Beyond(number),
    })
}

fn modules(list: &Term) -> Result<Vec<Module>, ScriptError> {
    each(list, module)
}

/// OTP's `is_list`, which an improper list passes.
fn listed(list: &Term) -> Result<(), ScriptError> {
    match list {
        Term::List(_) | Term::Improper(..) => Ok(()),
        other => Err(ScriptError::BadList(other.clone())),
    }
}

/// Checks the members of a list one after the other; only behind the last one OTP falls over a bad tail.
fn each<T>(
    list: &Term,
    check: impl Fn(&Term) -> Result<T, ScriptError>,
) -> Result<Vec<T>, ScriptError> {
    match list {
        Term::List(members) => members.iter().map(check).collect(),
        Term::Improper(members, _) => {
            members
                .iter()
                .try_for_each(|member| check(member).map(drop))?;
            Err(ScriptError::Crash("a list without a proper end"))
        }
        other => Err(ScriptError::BadList(other.clone())),
    }
}
