//! What a run has left on a node: suspended processes, saved states, breakpoints, the agent's module. And the way to
//! take it away.
//!
//! Takes the modules of the recorded run; one evaluation on the node each. The owner of a suspended process is shown
//! by a key in its dictionary, or by its module; the judgement is the caller's.

use std::time::Duration;

use crate::diag::{Code, Diagnostic, Result};
use crate::name::Module;
use crate::node::{Session, evaluate};
use crate::term::{Pid, Term};

const INSPECT: &str = include_str!("leftovers.erlexpr");
const MEND: &str = include_str!("mend.erlexpr");

/// A node with a hundred thousand processes takes a few seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A process that is suspended, or has a saved state.
#[derive(Clone, Debug, PartialEq)]
pub struct Touched {
    /// The process.
    pub pid: Pid,
    /// The module that it was started in.
    pub module: Option<Module>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The run that has saved its state, or has let it compute a new one.
    pub run: Option<String>,
    /// Whether the state before its conversion is saved: otherwise it was not converted.
    pub saved: bool,
}

/// What is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leftovers {
    /// Suspended processes, and those with a saved state.
    pub processes: Vec<Touched>,
    /// Those of them that are supervisors of processes of the run.
    pub parents: Vec<Pid>,
    /// Names of agents whose code is still there.
    pub agents: Vec<Module>,
    /// Modules that are loaded as shims of a live window, by a run that did not end it.
    pub shims: Vec<Module>,
    /// Names of watchdogs that are alive.
    pub watchdogs: Vec<String>,
    /// Modules of the run with a breakpoint on `init/1`.
    pub breakpoints: Vec<Module>,
}

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct Mending {
    /// Their saved states are put back.
    pub restore: Vec<Pid>,
    /// Their saved states are forgotten.
    pub forget: Vec<Pid>,
    /// They are resumed, after that.
    pub resume: Vec<Pid>,
    /// Agents whose code is taken away.
    pub agents: Vec<Module>,
    /// Modules whose breakpoints are taken away.
    pub breakpoints: Vec<Module>,
}

fn atoms(modules: &[Module]) -> Term {
    Term::list(modules.iter().map(|module| Term::atom(module.as_str())))
}

fn names(term: Option<&Term>) -> Vec<Module> {
    let list = term.and_then(Term::as_list).unwrap_or_default().iter();
    list.filter_map(Term::as_atom)
        .map(|name| Module::new(name.as_str()))
        .collect()
}

/// Looks. `mine` are the modules of the recorded run.
///
/// # Errors
/// E508 when the node does not answer.
pub fn inspect(session: &Session, mine: &[Module]) -> Result<Leftovers> {
    let answer = evaluate(session, INSPECT, &[("Mine", atoms(mine))], TIMEOUT)
        .map_err(|error| error.diagnostic("looking for what a run has left"))?;
    let process = |entry: &Term| {
        let [Term::Pid(pid), module, suspended, run, saved] = entry.as_tuple()? else {
            return None;
        };
        let named = module.as_atom().filter(|_| !module.is_atom("undefined"));
        let run = (!run.is_atom("undefined")).then(|| run.to_text().unwrap_or_default());
        Some(Touched {
            pid: pid.clone(),
            module: named.map(|name| Module::new(name.as_str())),
            suspended: suspended.is_atom("true"),
            run,
            saved: saved.is_atom("true"),
        })
    };
    let processes = answer.get("processes").and_then(Term::as_list);
    let processes = processes.ok_or_else(|| {
        Diagnostic::new(Code::E508, "the node gave no answer that makes sense")
            .note(answer.to_string())
    })?;
    Ok(Leftovers {
        processes: processes.iter().filter_map(process).collect(),
        parents: answer
            .get("parents")
            .and_then(Term::as_list)
            .unwrap_or_default()
            .iter()
            .filter_map(|term| match term {
                Term::Pid(pid) => Some(pid.clone()),
                _ => None,
            })
            .collect(),
        agents: names(answer.get("agents")),
        shims: names(answer.get("shims")),
        watchdogs: names(answer.get("names"))
            .iter()
            .map(ToString::to_string)
            .collect(),
        breakpoints: names(answer.get("breakpoints")),
    })
}

/// Does what is to be done, and waits a moment for it.
///
/// # Errors
/// E508 when the node does not answer.
pub fn mend(session: &Session, what: &Mending) -> Result<()> {
    let pids = |pids: &[Pid]| Term::list(pids.iter().cloned().map(Term::Pid));
    let bindings = [
        ("Restore", pids(&what.restore)),
        ("Forget", pids(&what.forget)),
        ("Resume", pids(&what.resume)),
        ("Agents", atoms(&what.agents)),
        ("Breakpoints", atoms(&what.breakpoints)),
    ];
    evaluate(session, MEND, &bindings, TIMEOUT)
        .map_err(|error| error.diagnostic("taking away what a run has left"))?;
    Ok(())
}
