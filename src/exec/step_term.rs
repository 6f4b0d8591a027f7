//! A step as the agent's term, and back: the one encoder and the one decoder of `{Id, Step}` in
//! `src/node/agent/PROTOCOL.md`.
//!
//! A job has encoded steps; what is recorded of it is decoded again when a client rejoins a run or goes back. What
//! [`decode`] does not know is `None`: a record of something else.

use std::time::Duration;

use super::step::{
    Action, ChildAction, ChildStep, ConfigChange, KnownChildren, ListEntry, ListedChildren,
    PathMove, RenewedChildren, Step,
};
use super::trial::{BackBy, Limits, Seek, StateKind, Trial, TrialCheck};
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

fn list<T>(all: &[T], one: impl Fn(&T) -> Term) -> Term {
    Term::list(all.iter().map(one))
}

fn all<T>(list: &Term, one: impl Fn(&Term) -> Option<T>) -> Option<Vec<T>> {
    list.as_list()?.iter().map(one).collect()
}

/// Milliseconds, as the agent counts.
pub(super) fn millis(time: Duration) -> Term {
    Term::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn duration(ms: &Term) -> Option<Duration> {
    Some(Duration::from_millis(u64::try_from(ms.as_i64()?).ok()?))
}

fn module_term(module: &Module) -> Term {
    Term::atom(module.as_str())
}

fn module(term: &Term) -> Option<Module> {
    Some(Module::new(term.as_atom()?.as_str()))
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

/// `{What, Supervisor, ChildId or Known}`.
fn child_term(step: &ChildStep) -> Term {
    let (word, what) = match &step.action {
        ChildAction::Start(id) => ("start", id.clone()),
        ChildAction::Stop(id) => ("stop", id.clone()),
        ChildAction::Halt(id) => ("halt", id.clone()),
        ChildAction::Forget(id) => ("forget", id.clone()),
        ChildAction::Added(id) => ("added", id.clone()),
        ChildAction::Renewed(renewed) => ("renewed", renewed_term(renewed)),
        ChildAction::Revoked(known) => ("revoked", known_term(known)),
        ChildAction::Reinstated(known) => ("reinstated", known_term(known)),
        ChildAction::Listed(listed) => ("listed", listed_term(listed)),
        ChildAction::Unlisted(listed) => ("unlisted", listed_term(listed)),
        ChildAction::Relisted(listed) => ("relisted", listed_term(listed)),
    };
    Term::tuple([Term::atom(word), module_term(&step.supervisor), what])
}

fn child(term: &Term) -> Option<ChildStep> {
    let [word, supervisor, what] = term.as_tuple()? else {
        return None;
    };
    let action = match word.as_atom()?.as_str() {
        "start" => ChildAction::Start(what.clone()),
        "stop" => ChildAction::Stop(what.clone()),
        "halt" => ChildAction::Halt(what.clone()),
        "forget" => ChildAction::Forget(what.clone()),
        "added" => ChildAction::Added(what.clone()),
        "renewed" => ChildAction::Renewed(renewed(what)?),
        "revoked" => ChildAction::Revoked(known(what)?),
        "reinstated" => ChildAction::Reinstated(known(what)?),
        "listed" => ChildAction::Listed(listed(what)?),
        "unlisted" => ChildAction::Unlisted(listed(what)?),
        "relisted" => ChildAction::Relisted(listed(what)?),
        _ => return None,
    };
    let supervisor = module(supervisor)?;
    Some(ChildStep { supervisor, action })
}

fn map<const N: usize>(pairs: [(&str, Term); N]) -> Term {
    Term::map(pairs.map(|(key, value)| (Term::atom(key), value)))
}

fn boolean(term: &Term) -> Option<bool> {
    match term.as_atom()?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn terms(list: &Term) -> Option<Vec<Term>> {
    Some(list.as_list()?.to_vec())
}

/// `#{start => all | none, stop => [Id] | none, restart => [Id] | none, tell => boolean}`.
fn renewed_term(renewed: &RenewedChildren) -> Term {
    let ids = |ids: &Option<Vec<Term>>| ids.clone().map_or_else(|| Term::atom("none"), Term::List);
    map([
        (
            "start",
            Term::atom(if renewed.start { "all" } else { "none" }),
        ),
        ("stop", ids(&renewed.stop)),
        ("restart", ids(&renewed.restart)),
        ("tell", Term::boolean(renewed.tell)),
    ])
}

fn renewed(term: &Term) -> Option<RenewedChildren> {
    let ids = |key| match term.get(key)? {
        none if none.is_atom("none") => Some(None),
        ids => terms(ids).map(Some),
    };
    Some(RenewedChildren {
        start: match term.get("start")?.as_atom()?.as_str() {
            "all" => true,
            "none" => false,
            _ => return None,
        },
        stop: ids("stop")?,
        restart: ids("restart")?,
        tell: boolean(term.get("tell")?)?,
    })
}

/// `#{start => [Id], stop => [Id], restart => [Id]}`.
fn known_term(known: &KnownChildren) -> Term {
    map([
        ("start", Term::List(known.start.clone())),
        ("stop", Term::List(known.stop.clone())),
        ("restart", Term::List(known.restart.clone())),
    ])
}

fn known(term: &Term) -> Option<KnownChildren> {
    Some(KnownChildren {
        start: terms(term.get("start")?)?,
        stop: terms(term.get("stop")?)?,
        restart: terms(term.get("restart")?)?,
    })
}

/// `#{names => [Name], start => [Entry], stop => [Entry], order => [Entry], strict => boolean}`.
fn listed_term(listed: &ListedChildren) -> Term {
    map([
        ("names", Term::List(listed.names.clone())),
        ("start", list(&listed.start, entry_term)),
        ("stop", list(&listed.stop, entry_term)),
        ("order", list(&listed.order, entry_term)),
        ("strict", Term::boolean(listed.strict)),
    ])
}

fn listed(term: &Term) -> Option<ListedChildren> {
    Some(ListedChildren {
        names: terms(term.get("names")?)?,
        start: all(term.get("start")?, entry)?,
        stop: all(term.get("stop")?, entry)?,
        order: all(term.get("order")?, entry)?,
        strict: boolean(term.get("strict")?)?,
    })
}

/// `{exact | like, Id, [Item]}`.
fn entry_term(entry: &ListEntry) -> Term {
    Term::tuple([
        Term::atom(if entry.like { "like" } else { "exact" }),
        entry.id.clone(),
        Term::list(entry.item.iter().cloned()),
    ])
}

fn entry(term: &Term) -> Option<ListEntry> {
    let [word, id, item] = term.as_tuple()? else {
        return None;
    };
    Some(ListEntry {
        like: match word.as_atom()?.as_str() {
            "like" => true,
            "exact" => false,
            _ => return None,
        },
        id: id.clone(),
        item: match item.as_list()? {
            [] => None,
            [item] => Some(item.clone()),
            _ => return None,
        },
    })
}

/// `#{module, kind, extra, processes => all, …}`: all processes, within these limits.
fn trial_term(trial: &Trial, limits: &Limits) -> Term {
    let number = |n: usize| Term::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let kind = match trial.kind {
        StateKind::Server => "server",
        StateKind::StateMachine => "statem",
        StateKind::Handler => "event",
        StateKind::Supervisor => "supervisor",
        StateKind::Special => "special",
    };
    let by = trial.by.as_ref().map(|(module, function)| {
        let function = Term::Atom(function.clone());
        ("by", Term::tuple([module_term(module), function]))
    });
    let back = match trial.back {
        None => "none",
        Some(BackBy::New) => "new",
        Some(BackBy::Old) => "old",
    };
    let all = [
        ("module", module_term(&trial.module)),
        ("kind", Term::atom(kind)),
        ("extra", trial.extra.clone()),
        ("keep", Term::boolean(trial.keep)),
        ("back", Term::atom(back)),
        ("seek", seek_term(&trial.seek)),
        ("checks", list(&trial.checks, check_term)),
        ("processes", Term::atom("all")),
        ("ms", millis(limits.conversion)),
        ("words", number(limits.words)),
        ("wait", millis(limits.wait)),
        ("most", number(limits.most)),
        ("at_most", number(limits.at_most)),
        ("rate", Term::Int(i64::from(limits.rate.max(1)))),
        ("within", millis(limits.within)),
    ];
    Term::map(
        all.into_iter()
            .chain(by)
            .map(|(key, value)| (Term::atom(key), value)),
    )
}

fn trial(term: &Term) -> Option<(Trial, Limits)> {
    let number = |key| usize::try_from(term.get(key)?.as_i64()?).ok();
    let trial = Trial {
        module: module(term.get("module")?)?,
        kind: match term.get("kind")?.as_atom()?.as_str() {
            "server" => StateKind::Server,
            "statem" => StateKind::StateMachine,
            "event" => StateKind::Handler,
            "supervisor" => StateKind::Supervisor,
            "special" => StateKind::Special,
            _ => return None,
        },
        extra: term.get("extra")?.clone(),
        keep: term.get("keep")?.is_atom("true"),
        by: match term.get("by") {
            None => None,
            Some(by) => match by.as_tuple()? {
                [target, function] => Some((module(target)?, function.as_atom()?.clone())),
                _ => return None,
            },
        },
        back: match term.get("back")?.as_atom()?.as_str() {
            "none" => None,
            "new" => Some(BackBy::New),
            "old" => Some(BackBy::Old),
            _ => return None,
        },
        seek: seek(term.get("seek")?)?,
        checks: all(term.get("checks")?, check)?,
    };
    let limits = Limits {
        at_most: number("at_most")?,
        rate: u32::try_from(term.get("rate")?.as_i64()?).ok()?,
        within: duration(term.get("within")?)?,
        conversion: duration(term.get("ms")?)?,
        words: number("words")?,
        wait: duration(term.get("wait")?)?,
        most: number("most")?,
    };
    Some((trial, limits))
}

/// `{Number, Text, [{Variable, Value}], Named}`.
fn check_term(check: &TrialCheck) -> Term {
    let number = Term::Int(i64::try_from(check.number).unwrap_or(i64::MAX));
    let binding = |(name, value): &(String, Term)| Term::tuple([Term::atom(name), value.clone()]);
    Term::tuple([
        number,
        Term::binary(&check.text),
        list(&check.bindings, binding),
        Term::boolean(check.named),
    ])
}

fn check(term: &Term) -> Option<TrialCheck> {
    let [number, text, bindings, named] = term.as_tuple()? else {
        return None;
    };
    let binding = |term: &Term| match term.as_tuple()? {
        [name, value] => Some((name.as_atom()?.as_str().to_owned(), value.clone())),
        _ => None,
    };
    Some(TrialCheck {
        number: usize::try_from(number.as_i64()?).ok()?,
        text: text.to_text()?,
        bindings: all(bindings, binding)?,
        named: named.is_atom("true"),
    })
}

fn seek_term(seek: &Seek) -> Term {
    let record = |(tag, size): &(Atom, u32)| {
        Term::tuple([Term::Atom(tag.clone()), Term::Int(i64::from(*size))])
    };
    let keyed = |(name, keys): &(Atom, Vec<Atom>)| {
        let keys = list(keys, |key| Term::Atom(key.clone()));
        Term::tuple([Term::Atom(name.clone()), keys])
    };
    map([
        ("records", list(&seek.records, record)),
        ("structs", list(&seek.structs, keyed)),
    ])
}

fn seek(term: &Term) -> Option<Seek> {
    let record = |term: &Term| match term.as_tuple()? {
        [tag, size] => Some((tag.as_atom()?.clone(), u32::try_from(size.as_i64()?).ok()?)),
        _ => None,
    };
    let keyed = |term: &Term| match term.as_tuple()? {
        [name, keys] => Some((
            name.as_atom()?.clone(),
            all(keys, |key| key.as_atom().cloned())?,
        )),
        _ => None,
    };
    Some(Seek {
        records: all(term.get("records")?, record)?,
        structs: all(term.get("structs")?, keyed)?,
    })
}

#[cfg(test)]
mod tests;
