//! Behaviours: which kind of process runs the callback modules of one.
//!
//! Takes a behaviour's name and what is known about it, gives [`ProcessKind`], following behaviours that are built on
//! others. It knows OTP's and Elixir's own by name, and all others by what they declare and export. It never
//! guesses from names.

use std::collections::{BTreeMap, BTreeSet};

use super::node_facts::NodeFacts;
use super::queries::{BehaviourInfo, natures};
use crate::diag::Result;
use crate::name::{FunctionArity, Module};
use crate::node::Session;

/// Behaviours whose processes are supervisors.
const SUPERVISORS: &[&str] = &[
    "supervisor",
    "Elixir.Supervisor",
    "Elixir.DynamicSupervisor",
];

/// Behaviours whose processes are servers, and the arity of their `code_change`; 0 if they have none.
const SERVERS: &[(&str, u32)] = &[
    ("gen_server", 3),
    ("Elixir.GenServer", 3),
    ("gen_statem", 4),
    ("gen_event", 3),
    ("Elixir.GenEvent", 3),
    ("gen_fsm", 4),
    ("Elixir.GenStage", 3),
    ("supervisor_bridge", 0),
];

/// Those of them whose processes start in the behaviour itself and keep the callback module in their states.
const WRAPPERS: &[&str] = &["Elixir.GenStage"];

/// How many behaviours may stand on each other.
const DEPTH: usize = 5;

/// What a behaviour's processes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessKind {
    /// Supervisors.
    Supervisor,
    /// Servers whose module's `code_change` has this arity; 0 if none is ever called, `None` if it is not known.
    Server(Option<u32>),
}

/// What is known about a behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehaviourKind {
    /// Its processes.
    pub runs: ProcessKind,
    /// Whether processes start in the behaviour itself, and their code is the behaviour's first: a wrapper.
    pub wraps: bool,
}

/// What OTP's and Elixir's own behaviours are.
pub fn known(behaviour: &Module) -> Option<ProcessKind> {
    let name = behaviour.as_str();
    if SUPERVISORS.contains(&name) {
        return Some(ProcessKind::Supervisor);
    }
    let (_, arity) = SERVERS.iter().find(|(server, _)| *server == name)?;
    Some(ProcessKind::Server(Some(*arity)))
}

/// What any behaviour is, as far as can be known.
pub fn behaves(
    behaviour: &Module,
    about: &dyn Fn(&Module) -> Option<BehaviourInfo>,
) -> Option<BehaviourKind> {
    follow(behaviour, about, DEPTH)
}

fn follow(
    behaviour: &Module,
    about: &dyn Fn(&Module) -> Option<BehaviourInfo>,
    depth: usize,
) -> Option<BehaviourKind> {
    if let Some(runs) = known(behaviour) {
        let wraps = WRAPPERS.contains(&behaviour.as_str());
        return Some(BehaviourKind { runs, wraps });
    }
    let nature = about(behaviour).filter(|_| depth > 0)?;
    let exports = |name: &str, arity| nature.exports.contains(&FunctionArity::new(name, arity));
    let below = nature
        .behaviours
        .iter()
        .find_map(|other| follow(other, about, depth - 1));
    let special = exports("system_code_change", 4);
    if (below.is_some() || special) && exports("which_children", 1) && exports("start_child", 2) {
        let runs = ProcessKind::Supervisor;
        return Some(BehaviourKind { runs, wraps: true });
    }
    if special {
        // Like gen_server itself: its processes start in the callback module's init.
        let runs = ProcessKind::Server(None);
        return Some(BehaviourKind { runs, wraps: false });
    }
    below.map(|below| BehaviourKind {
        wraps: true,
        ..below
    })
}

/// Asks a node about behaviours that are not known by name, and those that they stand on.
///
/// # Errors
/// As [`natures`].
pub fn ask(
    session: &Session,
    facts: &NodeFacts,
    mut wanted: BTreeSet<Module>,
) -> Result<BTreeMap<Module, BehaviourInfo>> {
    let mut found: BTreeMap<Module, BehaviourInfo> = BTreeMap::new();
    for _ in 0..DEPTH {
        wanted.retain(|module| known(module).is_none() && !found.contains_key(module));
        let more = natures(session, facts, &wanted)?;
        if more.is_empty() {
            break;
        }
        wanted = more
            .values()
            .flat_map(|nature| nature.behaviours.iter().cloned())
            .collect();
        found.extend(more);
    }
    Ok(found)
}
