//! Modules whose new version is the callback module of another behaviour than their processes run.
//!
//! A process keeps the behaviour that it was started with: what was a `gen_server` cannot become a supervisor. Its
//! process has to be started anew, by the supervisor that has it as a child; `parents` asks which one that is.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::Result;
use crate::facts::beam::BeamFacts;
use crate::facts::change::{ChangeSet, Changed};
use crate::facts::node::behaviours;
use crate::facts::node::node_facts::{TIMEOUT, call_failed, unexpected_reply};
use crate::facts::node::processes::Start;
use crate::name::Module;
use crate::node::{CallError, Session, evaluate};
use crate::term::Term;

/// The expression.
const PARENTS: &str = include_str!("parents.erlexpr");

/// How long a supervisor may take to say what children it has: milliseconds.
const WAIT: i64 = 500;

/// A child of a supervisor: the module of the supervisor, and the identifier of the child.
pub type ChildId = (Module, Term);

/// The behaviour that a module changes from, and the one that it changes to, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BehaviourChange {
    /// What its processes run.
    pub from: &'static str,
    /// What its new version is for.
    pub to: Option<&'static str>,
}

/// OTP's name of a behaviour of OTP or Elixir.
fn base(behaviour: &Module) -> Option<&'static str> {
    Some(match behaviour.as_str() {
        "supervisor" | "Elixir.Supervisor" => "supervisor",
        "Elixir.DynamicSupervisor" => "DynamicSupervisor",
        "gen_server" | "Elixir.GenServer" => "gen_server",
        "gen_statem" => "gen_statem",
        "gen_event" | "Elixir.GenEvent" => "gen_event",
        _ => return None,
    })
}

/// What a module declares, or exports the callbacks of; `None` when it may be anything.
fn behaviours(changes: &ChangeSet, facts: &BeamFacts) -> Option<BTreeSet<&'static str>> {
    let mut found = BTreeSet::new();
    for (behaviour, _) in behaviours::declared(facts, changes) {
        found.insert(base(behaviour)?);
    }
    if facts.exports("system_code_change", 4) || facts.exports("system_continue", 3) {
        return None;
    }
    if ["handle_call", "handle_cast", "handle_info"]
        .iter()
        .any(|name| facts.exports(name, 2) || facts.exports(name, 3))
        && found.is_empty()
    {
        found.extend(["gen_server", "gen_event"]);
    }
    if facts.exports("callback_mode", 0) {
        found.insert("gen_statem");
    }
    // Without a behaviour, a module with init/1 may be a supervisor's.
    if found.is_empty() && facts.exports("init", 1) {
        return None;
    }
    Some(found)
}

/// Whether the processes of a module run another behaviour than its new version is for.
pub fn behaviour_change(changes: &ChangeSet, changed: &Changed) -> Option<BehaviourChange> {
    let new = behaviours(changes, &changed.new.as_ref()?.facts)?;
    let runs = changed.crew.kinds.iter().filter_map(|(start, (_, shown))| {
        let of_server = ["gen_server", "gen_statem"];
        let declared = |of: &[&'static str]| {
            let behaviours = changed.old_facts()?.behaviours.iter();
            behaviours.filter_map(base).find(|name| of.contains(name))
        };
        match start {
            // Both sit in the loop of a gen_server: what its version declares.
            Start::Supervisor => declared(&["supervisor", "DynamicSupervisor"]),
            // The loop is what is outermost; further in it may be calling a server of another kind. One that hibernates
            // has nothing on its stack, and of a deep stack the node gives the inner part only.
            Start::Init | Start::Entered => {
                let bottom = shown.stack.last().map(Module::as_str);
                let mut frames = shown.stack.iter().rev();
                match bottom {
                    Some("proc_lib") => frames
                        .find_map(|frame| of_server.into_iter().find(|m| frame.as_str() == *m)),
                    _ if *start == Start::Init => declared(&of_server),
                    _ => None,
                }
            }
            Start::Handler => Some("gen_event"),
            _ => None,
        }
    });
    let from = runs.into_iter().find(|runs| !new.contains(runs))?;
    let to = new.into_iter().next();
    Some(BehaviourChange { from, to })
}

/// For modules that change their behaviour: which supervisors have their processes as children, an entry per process.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than the expression would.
pub(super) fn parents(
    session: &Session,
    changes: &ChangeSet,
) -> Result<BTreeMap<Module, Vec<Option<ChildId>>>> {
    let turned = changes
        .modules
        .iter()
        .filter(|(_, changed)| behaviour_change(changes, changed).is_some())
        .map(|(module, _)| (Term::atom(module.as_str()), Term::boolean(true)));
    let turned = Term::map(turned);
    let mut found: BTreeMap<Module, Vec<Option<ChildId>>> = BTreeMap::new();
    if matches!(&turned, Term::Map(pairs) if pairs.is_empty()) {
        return Ok(found);
    }
    let bindings = [("Wait", Term::Int(WAIT)), ("Wanted", turned)];
    let what = "looking for supervisors";
    let answer = match evaluate(session, PARENTS, &bindings, TIMEOUT) {
        Ok(answer) => answer,
        Err(CallError::Raised { .. }) => return Ok(found),
        Err(error) => return Err(call_failed(what, error)),
    };
    let Some(rows) = answer.as_list() else {
        return Err(unexpected_reply(what, &answer));
    };
    for row in rows {
        let Some([Term::Atom(module), child]) = row.as_tuple() else {
            return Err(unexpected_reply(what, &answer));
        };
        let child = match child.as_tuple() {
            Some([Term::Atom(supervisor), id]) => {
                Some((Module::new(supervisor.as_str()), id.clone()))
            }
            _ => None,
        };
        let module = Module::new(module.as_str());
        found.entry(module).or_default().push(child);
    }
    Ok(found)
}
