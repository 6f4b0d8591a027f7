//! What a run finds that others have done: processes that are suspended already, functions that are traced; and
//! gen_statem processes whose callback module is another one than they began with.
//!
//! One expression, evaluated on the node (`disturbed.erlexpr`). The agent finds the same for itself when it begins; this
//! is for the preview, which must not differ from the run.

use std::collections::BTreeMap;

use super::node_facts::{TIMEOUT, unexpected_reply};
use super::processes::{Example, LOOPS, Start};
use crate::diag::Result;
use crate::facts::change::{Changed, Notice};
use crate::name::Module;
use crate::node::{CallError, Session, evaluate};
use crate::term::{Pid, Term};

/// The expression.
const INSPECT: &str = include_str!("disturbed.erlexpr");

/// So many processes are asked for their status at most: those that hibernate, and the gen_statems.
const MOST: i64 = 1_000;

/// How long that may take: milliseconds, in steps.
const WAITS: [i64; 10] = [1, 1, 2, 4, 8, 16, 32, 64, 128, 244];

/// Looks at the processes and functions of the modules that run.
///
/// # Errors
/// When the node answers something else than OTP would. A look that fails on the node, because a module went in the
/// meantime for instance, finds nothing.
pub(in crate::facts) fn inspect(
    session: &Session,
    modules: &mut BTreeMap<Module, Changed>,
) -> Result<Vec<Notice>> {
    let loaded = modules
        .iter()
        .filter_map(|(module, changed)| Some((module, changed.loaded.as_ref()?)));
    let loaded: Vec<_> = loaded.collect();
    if loaded.is_empty() {
        return Ok(Vec::new());
    }
    let is_statem = |(function, arity): &(std::sync::Arc<str>, u32)| {
        (function.as_ref(), *arity) == ("callback_mode", 0)
    };
    let statem = loaded
        .iter()
        .any(|(_, loaded)| loaded.exports.iter().any(is_statem));
    let wanted = loaded.iter();
    let wanted = wanted.map(|(module, _)| (Term::atom(module.as_str()), Term::boolean(true)));
    let bindings = [
        ("Wanted", Term::map(wanted)),
        ("Pattern", Term::binary(LOOPS.trim_end())),
        ("Statem", Term::boolean(statem)),
        ("Most", Term::Int(MOST)),
        ("Waits", Term::list(WAITS.map(Term::Int))),
    ];
    let answer = match evaluate(session, INSPECT, &bindings, TIMEOUT) {
        Ok(answer) => answer,
        Err(CallError::Raised { .. }) => return Ok(Vec::new()),
        Err(error) => {
            return Err(super::node_facts::call_failed(
                "looking at the processes",
                error,
            ));
        }
    };
    let parts = answer.as_tuple().and_then(|parts| match parts {
        [suspended, traced, moved] => {
            Some((suspended.as_list()?, traced.as_list()?, moved.as_list()?))
        }
        _ => None,
    });
    let Some((suspended, traced, moved)) = parts else {
        return Err(unexpected_reply("looking at the processes", &answer));
    };
    for one in moved {
        let [Term::Atom(began), Term::Atom(live), Term::Pid(pid)] =
            one.as_tuple().unwrap_or_default()
        else {
            continue;
        };
        move_process(modules, began.as_str(), live.as_str(), pid);
    }
    let mut notices = Vec::new();
    let mut by_module: BTreeMap<Module, Vec<String>> = BTreeMap::new();
    for one in suspended {
        if let [Term::Atom(module), pid] = one.as_tuple().unwrap_or_default() {
            let pids = by_module.entry(Module::new(module.as_str())).or_default();
            pids.push(pid.to_string());
        }
    }
    let found = std::mem::take(&mut by_module).into_iter();
    notices.extend(found.map(|(module, pids)| Notice::SuspendedBefore { module, pids }));
    for one in traced {
        if let [Term::Atom(module), function, arity] = one.as_tuple().unwrap_or_default() {
            let functions = by_module.entry(Module::new(module.as_str())).or_default();
            functions.push(format!("{function}/{arity}"));
        }
    }
    let found = by_module.into_iter();
    notices.extend(found.map(|(module, functions)| Notice::Traced { module, functions }));
    Ok(notices)
}

/// A process that began in one callback module and runs another one counts as the latter's.
fn move_process(modules: &mut BTreeMap<Module, Changed>, began: &str, live: &str, pid: &Pid) {
    if let Some(changed) = modules.get_mut(&Module::new(began)) {
        if let Some((count, _)) = changed.crew.kinds.get_mut(&Start::Init) {
            *count = count.saturating_sub(1);
        }
        changed.crew.kinds.retain(|_, (count, _)| *count > 0);
        changed.processes = changed.crew.count();
    }
    if let Some(changed) = modules.get_mut(&Module::new(live)) {
        let example = Example {
            pid: pid.clone(),
            call: format!("{began}:init/1"),
            in_fun: false,
            parent: "a gen_statem of another callback module".to_owned(),
            stack: vec![Module::new("gen_statem")],
        };
        let kind = changed.crew.kinds.entry(Start::Init);
        kind.or_insert((0, example)).0 += 1;
        changed.processes = changed.crew.count();
    }
}
