//! What the agent reports about old code that has to go: processes that it waits for or ends, funs that are kept.

use crate::diag::{Code, Diagnostic};
use crate::facts::node::old_code::{holders_of, not_searched, place};
use crate::name::NodeName;
use crate::node::agent::protocol::{Call, FunPlace, FunsHeld, Purging, Run, Stays, Unconverted};
use crate::term::{Atom, Pid, Term};

/// How many processes or places a diagnostic names one by one.
const NAMED: usize = 8;

/// E626: purging would break funs that are kept as data.
pub(super) fn funs_held(funs: &FunsHeld) -> Diagnostic {
    let holders = holders_of(&funs.holders);
    let title = "funs of old code are kept as data: purging it would break them";
    let mut diagnostic = Diagnostic::new(Code::E626, title);
    let words = holders
        .iter()
        .map(|holder| format!("{}: {}", holder.module, holder.place));
    diagnostic.notes = words.take(NAMED).collect();
    if holders.len() > NAMED {
        diagnostic
            .notes
            .push(format!("and {} more", holders.len() - NAMED));
    }
    let unsearched = not_searched(&funs.unsearched);
    if !unsearched.is_empty() {
        diagnostic
            .notes
            .push(format!("not searched: {}", unsearched.join(", ")));
    }
    let module = holders.first().map_or("M", |holder| holder.module.as_str());
    diagnostic.note("nothing was changed").help(format!(
        "let new code replace these funs first, or give them up: `module {module} #{{purge => brutal}} because \"…\".`"
    ))
}

/// W632: what a `brutal` purge ended and broke.
pub(super) fn purged(info: &Purging) -> Diagnostic {
    let module = info.module.as_str();
    let title = match (info.processes, info.funs.len()) {
        (0, _) => format!("purging old `{module}` broke funs that are kept as data"),
        (1, _) => format!("purging old `{module}` ends 1 process"),
        (n, _) => format!("purging old `{module}` ends {n} processes"),
    };
    let mut diagnostic = Diagnostic::new(Code::W632, title);
    let words = info.killed.iter().map(|killed| {
        let call = killed.initial_call.name();
        let call = call.map(|call| format!(" ({call})")).unwrap_or_default();
        format!("{}{call} in {}", shown(&killed.pid), killed.at)
    });
    diagnostic.notes = words.take(NAMED).collect();
    let named = diagnostic.notes.len();
    if let Some(more) = usize::try_from(info.processes)
        .ok()
        .and_then(|n| n.checked_sub(named))
        && more > 0
    {
        diagnostic.notes.push(format!("and {more} more"));
    }
    for fun in info.funs.iter().take(NAMED).map(place) {
        diagnostic
            .notes
            .push(format!("a fun in {fun} raises `badfun` from now on"));
    }
    diagnostic.note("they executed the version that has to go; `purge => brutal` ends them")
}

/// What is waited for.
pub(super) fn leaving(number: u64) -> String {
    match number {
        1 => "waiting for 1 process to leave old code".to_owned(),
        n => format!("waiting for {n} processes to leave old code"),
    }
}

/// E609: the way back is occupied by processes that may not be ended.
pub(super) fn stays(stays: &Stays, unconverted: &[Unconverted], run: &str) -> Diagnostic {
    let (subject, verb) = match stays.processes {
        1 => ("1 process".to_owned(), "executes"),
        n => (format!("{n} processes"), "execute"),
    };
    let title = format!(
        "the new code stays: {subject} still {verb} the version that would have to come back"
    );
    let mut diagnostic = Diagnostic::new(Code::E609, title);
    for process in stays.named.iter().take(NAMED) {
        diagnostic.notes.push(format!(
            "{} executes old {}: {}",
            shown(&process.pid),
            process.module.as_str(),
            at(&process.current_function)
        ));
    }
    for process in unconverted.iter().take(NAMED) {
        diagnostic.notes.push(format!(
            "{} of {} has its old state: {}",
            shown(&process.pid),
            process.module.as_str(),
            process.reason
        ));
    }
    let diagnostic = diagnostic
        .note("all modules are new, no process is suspended, and none was ended; every state that could be was converted");
    let brutal = "To let an undo end such processes: `module M #{purge => brutal}.`";
    if stays.way_back {
        return diagnostic.help(format!(
            "updo rollback {run}\n\
             puts the old code back as soon as they have left it; converted states are converted down, old states stay as \
             they are.\n{brutal}"
        ));
    }
    diagnostic.help(format!(
        "processes with an old state fail at their next event: correct their state with `sys:replace_state/2`, or restart \
         them under their supervisor.\n{brutal}"
    ))
}

/// E609: there is no code to go back to. What each process has, and what mends it.
pub(super) fn no_way_back(end: &Run, node: &NodeName) -> Diagnostic {
    let missing = end.no_old_code.as_deref().unwrap_or_default();
    let names: Vec<String> = missing
        .iter()
        .take(NAMED)
        .map(|m| format!("`{m}`"))
        .collect();
    let more = if missing.len() > NAMED { ", …" } else { "" };
    let title = match names[..] {
        // Every other process has gone on with its new state by then.
        [] => "the new code stays: processes that something else has resumed before their time could not be \
               converted"
            .to_owned(),
        _ => format!(
            "the new code stays: there is no copy of the running version of {}{more}",
            names.join(", ")
        ),
    };
    let mut diagnostic = Diagnostic::new(Code::E609, title);
    let old = |module: &Atom| {
        let of_module = |one: &&(Atom, Vec<Pid>)| one.0 == *module;
        let found = end.old_states.iter().flatten().find(of_module);
        found.map_or(0, |(_, pids)| pids.len())
    };
    for module in end.new_states.iter().flatten() {
        let number = |n: u64| match n {
            0 => "no process has".to_owned(),
            1 => "1 process has".to_owned(),
            n => format!("{n} processes have"),
        };
        let left = old(&module.module);
        let name = module.module.as_str();
        diagnostic.notes.push(match left {
            0 => format!("{name}: {} the new state", number(module.processes)),
            _ => format!(
                "{name}: {} the new state, {} the old state under the new code",
                number(module.processes),
                number(left as u64)
            ),
        });
        if left > 0 {
            let named = module.named.iter().take(NAMED);
            diagnostic
                .notes
                .extend(named.map(|pid| format!("{} of {name}: the new state", shown(pid))));
        }
    }
    let unconverted = end.unconverted.as_deref().unwrap_or_default();
    for process in unconverted.iter().take(NAMED) {
        let (pid, module) = (shown(&process.pid), process.module.as_str());
        let answers = match process.answers {
            Some(false) => "; it does not answer",
            _ => "",
        };
        let mut lines = process.reason.lines();
        let reason = lines.next().unwrap_or_default();
        diagnostic.notes.push(format!(
            "{pid} of {module}: the old state under the new code: {reason}{answers}"
        ));
    }
    let diagnostic = diagnostic.note("no process is suspended, and none was ended");
    let retry = end.to_convert.iter().flatten().next().is_some();
    let left = end.old_states.iter().flatten().next().is_some();
    diagnostic.help(match (left, retry) {
        (true, true) => format!(
            "updo mend {node}\n\
             converts these once more, with the code that runs. Where `code_change` is wrong: correct it, with a clause for \
             the states that are new already, then: updo run PLAN"
        ),
        (true, false) => "they fail at their next event: correct their state with `sys:replace_state/2`, or restart them \
             under their supervisor"
            .to_owned(),
        (false, _) => "every state fits the new code; the steps behind the one that failed were not taken: correct what \
             has failed, then: updo run PLAN"
            .to_owned(),
    })
}

/// W631: old code that stays after the run, because funs of it are kept.
pub(super) fn kept(held: &[(Atom, FunPlace)]) -> Option<Diagnostic> {
    let holders = holders_of(held);
    if holders.is_empty() {
        return None;
    }
    let title = "old code was not purged: funs of it are kept as data";
    let mut diagnostic = Diagnostic::new(Code::W631, title);
    let words = holders
        .iter()
        .map(|holder| format!("{}: {}", holder.module, holder.place));
    diagnostic.notes = words.take(NAMED).collect();
    Some(diagnostic.note("they go on working; the next upgrade of the module needs its place"))
}

/// Where a process is.
fn at(function: &Call) -> String {
    match function.name() {
        Some(function) => format!("in {function}"),
        None => "somewhere".to_owned(),
    }
}

fn shown(pid: &Pid) -> String {
    Term::Pid(pid.clone()).to_string()
}
