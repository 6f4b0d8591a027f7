//! Trials of conversions, as terms and back.

use super::values::{all, duration, list, map, millis, module, module_term};
use crate::exec::trial::{BackBy, Limits, Seek, StateKind, Trial, TrialCheck};
use crate::term::{Atom, Term};

/// `#{module, kind, extra, processes => all, …}`: all processes, within these limits.
pub(super) fn trial_term(trial: &Trial, limits: &Limits) -> Term {
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
    let back = trial.back.map(|back| {
        let back = match back {
            BackBy::New => "new",
            BackBy::Old => "old",
        };
        ("back", Term::atom(back))
    });
    let all = [
        ("module", module_term(&trial.module)),
        ("kind", Term::atom(kind)),
        ("extra", trial.extra.clone()),
        ("keep", Term::boolean(trial.keep)),
        ("old_init", Term::boolean(trial.old_init)),
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
            .chain(back)
            .map(|(key, value)| (Term::atom(key), value)),
    )
}

pub(super) fn trial(term: &Term) -> Option<(Trial, Limits)> {
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
        back: match term.get("back") {
            None => None,
            Some(back) => match back.as_atom()?.as_str() {
                "new" => Some(BackBy::New),
                "old" => Some(BackBy::Old),
                _ => return None,
            },
        },
        old_init: term.get("old_init")?.is_atom("true"),
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
