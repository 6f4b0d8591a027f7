//! The processes of the modules that take part: which run them, how they started, what others have done to them.
//!
//! Takes the modules with their versions, asks the node, gives the processes by module and what is worth a word about them.

use std::collections::{BTreeMap, BTreeSet};

use super::behaviour_change;
use crate::diag::Result;
use crate::facts::change::{Changed, Notice, nature};
use crate::facts::node::behaviours::{self, ProcessKind, behaves};
use crate::facts::node::disturbed::{self, MovedProcess};
use crate::facts::node::node_facts::NodeFacts;
use crate::facts::node::parents::parents;
use crate::facts::node::processes::{self, Example, ModuleProcesses, ProcessQuery, Start};
use crate::facts::node::queries::BehaviourInfo;
use crate::facts::node::started_with;
use crate::name::Module;
use crate::node::Session;

/// The modules that take part.
type Modules = BTreeMap<Module, Changed>;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct ProcessFindings {
    /// What the behaviours are that changed modules declare, and that do not take part themselves.
    pub(super) natures: BTreeMap<Module, BehaviourInfo>,
    /// The processes; without those modules that no process runs.
    pub(super) processes: BTreeMap<Module, ModuleProcesses>,
    /// Processes that do not answer, are suspended or traced.
    pub(super) notices: Vec<Notice>,
}

/// Finds the processes of the modules that take part.
pub(super) fn processes(
    session: &Session,
    facts: &NodeFacts,
    modules: &Modules,
) -> Result<ProcessFindings> {
    let declared = declared(modules);
    let unknown = declared.values().flatten().cloned().collect();
    let natures = behaviours::ask(session, facts, unknown)?;
    let about = |name: &Module| nature(modules, &natures, name);
    let query = query(modules, &declared, &about);
    let answer = processes::find_processes(session, facts.otp, &query)?;
    let mut found = answer.by_module;
    found.retain(|module, _| modules.contains_key(module));
    for (module, processes) in &mut found {
        let declared = declared.get(module).map(Vec::as_slice);
        processes.classify(declared.unwrap_or_default());
    }
    let silent = answer.silent.into_iter();
    let mut notices: Vec<Notice> = silent.map(|name| Notice::Unresponsive { name }).collect();

    let loaded = modules.iter();
    let loaded = loaded.filter_map(|(module, changed)| Some((module, changed.loaded.as_ref()?)));
    let disturbed = disturbed::inspect(session, &loaded.collect())?;
    for process in &disturbed.moved {
        found = moved(found, modules, process);
    }
    let suspended = disturbed.suspended.into_iter();
    notices.extend(suspended.map(|(module, pids)| Notice::SuspendedBefore { module, pids }));
    let traced = disturbed.traced.into_iter();
    notices.extend(traced.map(|(module, functions)| Notice::Traced { module, functions }));

    let mut arguments = started_with::ask(session, &supervisors(modules, &found))?;
    let turned = turned(modules, &found, &about);
    let mut parents = parents(session, &turned)?;
    for (module, processes) in &mut found {
        processes.started_with = arguments.remove(module);
        processes.parents = parents.remove(module).unwrap_or_default();
    }
    Ok(ProcessFindings {
        natures,
        processes: found,
        notices,
    })
}

/// The behaviours that both versions of the modules that run declare.
fn declared(modules: &Modules) -> BTreeMap<Module, Vec<Module>> {
    let running = modules
        .iter()
        .filter(|(_, changed)| changed.loaded.is_some());
    let declared = running.map(|(module, changed)| {
        let both = [&changed.old, &changed.new].into_iter().flatten();
        let behaviours = both.flat_map(|beam| beam.facts.behaviours.iter().cloned());
        (module.clone(), behaviours.collect())
    });
    declared.collect()
}

/// The question.
fn query(
    modules: &Modules,
    declared: &BTreeMap<Module, Vec<Module>>,
    about: &dyn Fn(&Module) -> Option<BehaviourInfo>,
) -> ProcessQuery {
    let loops = modules.iter();
    let loops = loops.map(|(module, changed)| (module.clone(), changed.loops()));
    let mut query = ProcessQuery {
        modules: declared.keys().cloned().collect(),
        loops: loops.filter(|(_, loops)| !loops.is_empty()).collect(),
        ..ProcessQuery::default()
    };
    for (module, behaviours) in declared {
        for behaviour in behaviours {
            if behaviour.as_str() == "gen_event" {
                query.handlers.insert(module.clone());
            }
            let Some(found) = behaves(behaviour, about).filter(|b| b.wraps) else {
                continue;
            };
            query.wrapped.insert(module.clone());
            if found.runs == ProcessKind::Supervisor {
                query.supervisors.insert(behaviour.clone());
            }
        }
    }
    query
}

/// A process that began in one callback module and runs another one counts as the latter's.
fn moved(
    mut processes: BTreeMap<Module, ModuleProcesses>,
    modules: &Modules,
    process: &MovedProcess,
) -> BTreeMap<Module, ModuleProcesses> {
    if let Some(began) = processes.get_mut(&process.began) {
        if let Some((count, _)) = began.kinds.get_mut(&Start::Init) {
            *count = count.saturating_sub(1);
        }
        began.kinds.retain(|_, (count, _)| *count > 0);
    }
    if modules.contains_key(&process.live) {
        let example = Example {
            pid: process.pid.clone(),
            call: format!("{}:init/1", process.began),
            in_fun: false,
            parent: "a gen_statem of another callback module".to_owned(),
            stack: vec![Module::new("gen_statem")],
            place: Vec::new(),
        };
        let live = processes.entry(process.live.clone()).or_default();
        let kind = live.kinds.entry(Start::Init);
        kind.or_insert((0, example)).0 += 1;
    }
    processes
}

/// A supervisor of each module that has a running and a new version.
fn supervisors<'a>(
    modules: &'a Modules,
    processes: &'a BTreeMap<Module, ModuleProcesses>,
) -> BTreeMap<&'a Module, &'a crate::term::Pid> {
    let both = modules
        .iter()
        .filter(|(_, changed)| changed.new.is_some() && changed.loaded.is_some());
    let supervisors = both.filter_map(|(module, _)| {
        let (_, example) = processes.get(module)?.kinds.get(&Start::Supervisor)?;
        Some((module, &example.pid))
    });
    supervisors.collect()
}

/// The modules whose new version is for another behaviour than their processes run.
fn turned(
    modules: &Modules,
    processes: &BTreeMap<Module, ModuleProcesses>,
    about: &dyn Fn(&Module) -> Option<BehaviourInfo>,
) -> BTreeSet<Module> {
    let turned = processes.iter().filter(|(module, processes)| {
        let changed = modules.get(*module);
        changed
            .is_some_and(|changed| behaviour_change::between(about, changed, processes).is_some())
    });
    turned.map(|(module, _)| module.clone()).collect()
}
