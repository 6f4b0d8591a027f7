//! What a run finds that others have done: processes that are suspended already, functions that are traced; and
//! gen_statem processes whose callback module is another one than they began with.
//!
//! One expression, evaluated on the node (`disturbed.erlexpr`). The agent finds the same for itself when it begins; this
//! is for the preview, which must not differ from the run.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::ask::{TIMEOUT, call_failed, unexpected_reply};
use super::processes::LOOPS;
use super::queries::RunningVersion;
use crate::diag::Result;
use crate::name::Module;
use crate::node::{CallError, Parsed, Session, evaluate_parsed};
use crate::term::{Pid, Term};

/// The expression, parsed.
static INSPECT: LazyLock<Option<Parsed>> =
    LazyLock::new(|| Parsed::of(include_bytes!("disturbed.etf")));

/// So many processes are asked for their status at most: those that hibernate, and the gen_statems.
const MOST: i64 = 1_000;

/// How long that may take: milliseconds, in steps.
const WAITS: [i64; 10] = [1, 1, 2, 4, 8, 16, 32, 64, 128, 244];

/// What was found.
#[derive(Debug, Default)]
pub(in crate::facts) struct Disturbed {
    /// Processes that are suspended already, by the module that they run.
    pub(in crate::facts) suspended: BTreeMap<Module, Vec<String>>,
    /// Functions that are traced, or whose calls are counted, by their module: `quote/1`.
    pub(in crate::facts) traced: BTreeMap<Module, Vec<String>>,
    /// The gen_statems.
    pub(in crate::facts) moved: Vec<MovedProcess>,
}

/// A process that began in one callback module and runs another one.
#[derive(Debug)]
pub(in crate::facts) struct MovedProcess {
    /// The process.
    pub(in crate::facts) pid: Pid,
    /// The module that it began in.
    pub(in crate::facts) began: Module,
    /// The module that it runs.
    pub(in crate::facts) live: Module,
}

/// Looks at the processes and functions of modules that run.
///
/// # Errors
/// When the node answers something else than OTP would. A look that fails on the node, because a module went in the
/// meantime for instance, finds nothing.
pub(in crate::facts) fn inspect(
    session: &Session,
    loaded: &BTreeMap<&Module, &RunningVersion>,
) -> Result<Disturbed> {
    if loaded.is_empty() {
        return Ok(Disturbed::default());
    }
    let statem = loaded
        .values()
        .any(|loaded| loaded.exports.iter().any(|f| f.is("callback_mode", 0)));
    let wanted = loaded.keys();
    let wanted = wanted.map(|module| (Term::atom(module.as_str()), Term::boolean(true)));
    let bindings = vec![
        ("Wanted", Term::map(wanted)),
        ("Pattern", Term::binary(LOOPS.trim_end())),
        ("Statem", Term::boolean(statem)),
        ("Most", Term::Int(MOST)),
        ("Waits", Term::list(WAITS.map(Term::Int))),
    ];
    let answer = match evaluate_parsed(session, INSPECT.as_ref(), bindings, TIMEOUT) {
        Ok(answer) => answer,
        Err(CallError::Raised { .. }) => return Ok(Disturbed::default()),
        Err(error) => {
            return Err(call_failed("looking at the processes", error));
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
    let mut found = Disturbed::default();
    for one in moved {
        if let [Term::Atom(began), Term::Atom(live), Term::Pid(pid)] =
            one.as_tuple().unwrap_or_default()
        {
            found.moved.push(MovedProcess {
                pid: pid.clone(),
                began: Module::new(began.as_str()),
                live: Module::new(live.as_str()),
            });
        }
    }
    for one in suspended {
        if let [Term::Atom(module), pid] = one.as_tuple().unwrap_or_default() {
            let module = Module::new(module.as_str());
            let pids = found.suspended.entry(module).or_default();
            pids.push(pid.to_string());
        }
    }
    for one in traced {
        if let [Term::Atom(module), function, arity] = one.as_tuple().unwrap_or_default() {
            let module = Module::new(module.as_str());
            let functions = found.traced.entry(module).or_default();
            functions.push(format!("{function}/{arity}"));
        }
    }
    Ok(found)
}
