//! A step as the agent's term, and back: the one encoder and the one decoder of `{Id, Step}` in
//! `src/node/agent/PROTOCOL.md`.
//!
//! A job has encoded steps; what is recorded of it is decoded again when a client rejoins a run or goes back. What
//! [`decode`] does not know is `None`: a record of something else.

mod children;
mod trial;
mod values;

use self::children::{child, child_term};
use self::trial::{trial, trial_term};
pub(super) use self::values::millis;
use self::values::{all, duration, list, module, module_term};
use super::barrier::{Barrier, BarrierKind, BarrierName};
use super::step::{Action, ConfigChange, PathMove, Step};
use crate::facts::change::EnvChange;
use crate::name::{App, Module};
use crate::rules::{Change, StateForm, Timeout};
use crate::script::instruction::{Call, Direction, Instruction};
use crate::script::lower::Library;
use crate::script::read;
use crate::term::{Atom, Term};

/// The steps as the agent's list.
pub fn steps_term(steps: &[Step]) -> Term {
    let step = |step: &Step| Term::tuple([Term::Int(i64::from(step.id)), encode(&step.action)]);
    Term::list(steps.iter().map(step))
}

/// Steps from the agent's list.
pub fn read_steps(list: &Term) -> Option<Vec<Step>> {
    let step = |step: &Term| {
        let [id, action] = step.as_tuple()? else {
            return None;
        };
        let id = u32::try_from(id.as_i64()?).ok()?;
        Some(Step::new(usize::try_from(id).ok()?, decode(action)?))
    };
    list.as_list()?.iter().map(step).collect()
}

/// The agent's term of a step, without its number.
pub fn encode(action: &Action) -> Term {
    let tagged =
        |word: &str, parts: Vec<Term>| Term::tuple(std::iter::once(Term::atom(word)).chain(parts));
    match action {
        Action::Suspend(ranks) => {
            let rank = |rank: &Vec<(Module, Timeout)>| list(rank, suspended_term);
            tagged("suspend", vec![list(ranks, rank)])
        }
        Action::Load(modules) => tagged("load", vec![list(modules, module_term)]),
        Action::Delete(modules) => tagged("delete", vec![list(modules, module_term)]),
        Action::CodeChange { direction, modules } => tagged(
            "code_change",
            vec![direction.to_term(), list(modules, conversion_term)],
        ),
        Action::Precompute(modules) => tagged("precompute", vec![list(modules, precomputed_term)]),
        Action::Live { convert, modules } => tagged(
            "live",
            vec![list(convert, module_term), list(modules, module_term)],
        ),
        Action::Resume(modules) => tagged("resume", vec![list(modules, module_term)]),
        Action::Ahead(modules) => tagged("ahead", vec![list(modules, module_term)]),
        Action::Apply(call) => tagged("apply", vec![call.to_term()]),
        Action::Children(all) => tagged("children", vec![list(all, child_term)]),
        Action::Env(keys) => tagged("env", vec![list(keys, key_term)]),
        Action::Paths(paths) => tagged("paths", vec![list(paths, path_term)]),
        Action::ConfigChange(all) => tagged("config_change", vec![list(all, config_term)]),
        Action::Soak(time) => tagged("soak", vec![millis(*time)]),
        Action::Hook {
            timeout,
            number,
            name,
        } => {
            let number = Term::Int(i64::try_from(*number).unwrap_or(i64::MAX));
            let which = Term::tuple([number, Term::binary(name)]);
            tagged("hook", vec![millis(*timeout), which])
        }
        Action::Barrier(barrier) => {
            let kind = Term::atom(barrier.kind.word());
            let name = barrier.name.to_term();
            tagged("barrier", vec![name, millis(barrier.hold), kind])
        }
        Action::ReleaseHandler { script, libraries } => tagged(
            "release_handler",
            vec![
                list(script, Instruction::to_term),
                list(libraries, library_term),
            ],
        ),
        Action::TwinsLoad(modules) => tagged("twins_load", vec![list(modules, module_term)]),
        Action::TwinsDrop(modules) => tagged("twins_drop", vec![list(modules, module_term)]),
        Action::Rehearse(trial, limits) => tagged("rehearse", vec![trial_term(trial, limits)]),
    }
}

/// A step from the agent's term.
pub fn decode(term: &Term) -> Option<Action> {
    let [word, parts @ ..] = term.as_tuple()? else {
        return None;
    };
    Some(match (word.as_atom()?.as_str(), parts) {
        ("suspend", [ranks]) => Action::Suspend(all(ranks, |rank| all(rank, suspended))?),
        ("load", [modules]) => Action::Load(all(modules, module)?),
        ("delete", [modules]) => Action::Delete(all(modules, module)?),
        ("code_change", [direction, modules]) => Action::CodeChange {
            direction: match direction.as_atom()?.as_str() {
                "up" => Direction::Up,
                "down" => Direction::Down,
                _ => return None,
            },
            modules: all(modules, conversion)?,
        },
        ("precompute", [modules]) => Action::Precompute(all(modules, precomputed)?),
        ("live", [convert, modules]) => Action::Live {
            convert: all(convert, module)?,
            modules: all(modules, module)?,
        },
        ("resume", [modules]) => Action::Resume(all(modules, module)?),
        ("ahead", [modules]) => Action::Ahead(all(modules, module)?),
        ("apply", [mfa]) => match mfa.as_tuple()? {
            [module, function, args] => Action::Apply(Call {
                module: module.as_atom()?.clone(),
                function: function.as_atom()?.clone(),
                args: args.clone(),
            }),
            _ => return None,
        },
        ("children", [steps]) => Action::Children(all(steps, child)?),
        ("env", [keys]) => Action::Env(all(keys, key)?),
        ("paths", [paths]) => Action::Paths(all(paths, path)?),
        ("config_change", [changes]) => Action::ConfigChange(all(changes, config)?),
        ("soak", [ms]) => Action::Soak(duration(ms)?),
        ("hook", [ms, which]) => match which.as_tuple()? {
            [number, name] => Action::Hook {
                timeout: duration(ms)?,
                number: usize::try_from(number.as_i64()?).ok()?,
                name: name.to_text()?,
            },
            _ => return None,
        },
        ("barrier", [name, ms, kind]) => Action::Barrier(Barrier {
            name: BarrierName::read(name)?,
            hold: duration(ms)?,
            kind: BarrierKind::read(kind)?,
        }),
        ("release_handler", [script, libraries]) => Action::ReleaseHandler {
            script: all(script, |one| read::instruction(one).ok())?,
            libraries: all(libraries, library)?,
        },
        ("twins_load", [modules]) => Action::TwinsLoad(all(modules, module)?),
        ("twins_drop", [modules]) => Action::TwinsDrop(all(modules, module)?),
        ("rehearse", [what]) => {
            let (trial, limits) = trial(what)?;
            Action::Rehearse(trial, limits)
        }
        _ => return None,
    })
}

/// `{M, Ms or infinity or default}`.
fn suspended_term((module, timeout): &(Module, Timeout)) -> Term {
    let timeout = match timeout {
        Timeout::Default => Term::atom("default"),
        Timeout::Infinity => Term::atom("infinity"),
        Timeout::After(time) => millis(*time),
        Timeout::Beyond(time) => Term::integer(time.clone()),
    };
    Term::tuple([module_term(module), timeout])
}

fn suspended(term: &Term) -> Option<(Module, Timeout)> {
    let [name, timeout] = term.as_tuple()? else {
        return None;
    };
    let timeout = match timeout {
        Term::Atom(word) if word == "default" => Timeout::Default,
        Term::Atom(word) if word == "infinity" => Timeout::Infinity,
        Term::Big(time) => Timeout::Beyond((**time).clone()),
        ms => Timeout::After(duration(ms)?),
    };
    Some((module(name)?, timeout))
}

/// `{M, soft or {advanced, Extra} or {convert, {Mod, Fun}}}`.
fn conversion_term((module, change): &(Module, Change)) -> Term {
    let change = match change {
        Change::Soft => Term::atom("soft"),
        Change::Advanced(extra) => Term::tuple([Term::atom("advanced"), extra.clone()]),
        Change::Convert { module, function } => {
            let target = Term::tuple([module_term(module), Term::Atom(function.clone())]);
            Term::tuple([Term::atom("convert"), target])
        }
    };
    Term::tuple([module_term(module), change])
}

fn conversion(term: &Term) -> Option<(Module, Change)> {
    let [name, change] = term.as_tuple()? else {
        return None;
    };
    let change = match change.as_tuple() {
        None if change.is_atom("soft") => Change::Soft,
        Some([word, extra]) if word.is_atom("advanced") => Change::Advanced(extra.clone()),
        Some([word, target]) if word.is_atom("convert") => match target.as_tuple()? {
            [target, function] => Change::Convert {
                module: module(target)?,
                function: function.as_atom()?.clone(),
            },
            _ => return None,
        },
        _ => return None,
    };
    Some((module(name)?, change))
}

/// `{M, server or statem or event or special, Extra}`.
fn precomputed_term((module, form, extra): &(Module, StateForm, Term)) -> Term {
    let form = match form {
        StateForm::Server => "server",
        StateForm::StateMachine => "statem",
        StateForm::Handler => "event",
        StateForm::Special => "special",
    };
    Term::tuple([module_term(module), Term::atom(form), extra.clone()])
}

fn precomputed(term: &Term) -> Option<(Module, StateForm, Term)> {
    let [name, form, extra] = term.as_tuple()? else {
        return None;
    };
    let form = match form.as_atom()?.as_str() {
        "server" => StateForm::Server,
        "statem" => StateForm::StateMachine,
        "event" => StateForm::Handler,
        "special" => StateForm::Special,
        _ => return None,
    };
    Some((module(name)?, form, extra.clone()))
}

/// `{App, Key, Value}`, `{App, Key}` or `{App, Key, Was, Value}`.
fn key_term((app, change): &(App, EnvChange)) -> Term {
    let (app, key) = (Term::atom(app.as_str()), Term::Atom(change.key.clone()));
    match (&change.was, &change.new) {
        (_, None) => Term::tuple([app, key]),
        (None, Some(new)) => Term::tuple([app, key, new.clone()]),
        (Some(was), Some(new)) => Term::tuple([app, key, was.clone(), new.clone()]),
    }
}

fn key(term: &Term) -> Option<(App, EnvChange)> {
    let [app, key, values @ ..] = term.as_tuple()? else {
        return None;
    };
    let (was, new) = match values {
        [] => (None, None),
        [new] => (None, Some(new.clone())),
        [was, new] => (Some(was.clone()), Some(new.clone())),
        _ => return None,
    };
    let key = key.as_atom()?.clone();
    Some((
        App::new(app.as_atom()?.as_str()),
        EnvChange { key, was, new },
    ))
}

/// `{Name, Was, Dir}`.
fn path_term(path: &PathMove) -> Term {
    Term::tuple([
        Term::atom(&path.name),
        Term::string(&path.was),
        Term::string(&path.folder),
    ])
}

fn path(term: &Term) -> Option<PathMove> {
    let [name, was, folder] = term.as_tuple()? else {
        return None;
    };
    Some(PathMove {
        name: name.as_atom()?.as_str().to_owned(),
        was: was.to_text()?,
        folder: folder.to_text()?,
    })
}

/// `{Mod, Changed, New, Removed}`.
fn config_term(change: &ConfigChange) -> Term {
    let pair = |(key, value): &(Atom, Term)| Term::tuple([Term::Atom(key.clone()), value.clone()]);
    Term::tuple([
        module_term(&change.callback),
        list(&change.changed, pair),
        list(&change.added, pair),
        list(&change.removed, |key| Term::Atom(key.clone())),
    ])
}

fn config(term: &Term) -> Option<ConfigChange> {
    let [callback, changed, added, removed] = term.as_tuple()? else {
        return None;
    };
    let pair = |pair: &Term| match pair.as_tuple()? {
        [key, value] => Some((key.as_atom()?.clone(), value.clone())),
        _ => None,
    };
    Some(ConfigChange {
        callback: module(callback)?,
        changed: all(changed, pair)?,
        added: all(added, pair)?,
        removed: all(removed, |key| key.as_atom().cloned())?,
    })
}

/// `{Lib, Vsn, Dir}`.
fn library_term(library: &Library) -> Term {
    Term::tuple([
        Term::atom(library.app.as_str()),
        Term::string(&library.vsn),
        Term::string(&library.folder),
    ])
}

fn library(term: &Term) -> Option<Library> {
    let [app, vsn, folder] = term.as_tuple()? else {
        return None;
    };
    Some(Library {
        app: App::new(app.as_atom()?.as_str()),
        vsn: vsn.to_text()?,
        folder: folder.to_text()?,
    })
}

#[cfg(test)]
mod tests;
