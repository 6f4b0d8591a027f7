//! Modules whose new version is the callback module of another behaviour than their processes run.
//!
//! A process keeps the behaviour that it was started with: what was a `gen_server` cannot become a supervisor. Its
//! process has to be started anew, by the supervisor that has it as a child; `node::parents` asks which one that is.

use std::collections::BTreeSet;

use crate::facts::beam::BeamFacts;
use crate::facts::change::{ChangeSet, Changed};
use crate::facts::node::behaviours::behaves;
use crate::facts::node::processes::{ModuleProcesses, Start};
use crate::facts::node::queries::BehaviourInfo;
use crate::name::Module;

/// What is known of a behaviour by its name.
type About<'a> = &'a dyn Fn(&Module) -> Option<BehaviourInfo>;

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
fn behaviours(about: About<'_>, facts: &BeamFacts) -> Option<BTreeSet<&'static str>> {
    let mut found = BTreeSet::new();
    let behaviours = facts.behaviours.iter();
    for behaviour in behaviours.filter(|behaviour| behaves(behaviour, about).is_some()) {
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
    between(
        &|name| changes.nature(name),
        changed,
        &changed.module_processes,
    )
}

/// The same before the change set is put together.
pub(super) fn between(
    about: About<'_>,
    changed: &Changed,
    processes: &ModuleProcesses,
) -> Option<BehaviourChange> {
    // They run the behaviour of the server that they are in, which is not this module's to change.
    if processes.wrapped_in.is_some() {
        return None;
    }
    let new = behaviours(about, &changed.new.as_ref()?.facts)?;
    let runs = processes.kinds.iter().filter_map(|(start, (_, shown))| {
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
