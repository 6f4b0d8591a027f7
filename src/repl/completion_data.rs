//! What is known while a user types: of the session, of the plan, and of the node.
//!
//! Takes over what the session knows, and asks the node for the rest, with little patience and a memory of a few seconds.
//! A node that does not answer costs the candidates, nothing else. No question loads code: exports are asked of loaded
//! modules only.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::session::ReplSession;
use crate::name::Module;
use crate::node::Session as Node;
use crate::term::Term;

/// How long the node may take for an answer.
const TIMEOUT: Duration = Duration::from_millis(400);

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(10);

/// Function and arity; whether only the new version has it.
pub(super) type Export = (String, u32, bool);

/// What is known while a user types.
pub struct Knowledge {
    /// The node that is asked.
    pub node: Option<Node>,
    /// Modules that take part, as they are written.
    pub changed: BTreeSet<String>,
    /// Exports of new versions.
    pub new: BTreeMap<Module, BTreeSet<(String, u32)>>,
    /// Constants, parameters, variables.
    pub variables: BTreeSet<String>,
    pub(super) parameters: BTreeSet<String>,
    /// Length of the plan that they were read from.
    pub(super) read: Option<usize>,
    /// Functions of the plan.
    pub functions: BTreeSet<(String, usize)>,
    pub(super) apps: BTreeSet<String>,
    pub(super) nodes: BTreeSet<String>,
    /// Targets of the plan.
    pub targets: BTreeSet<String>,
    /// What paths are relative to.
    pub folder: PathBuf,
    /// In an editor names of the plan are offered in rules as well: a list can be narrowed there.
    pub in_editor: bool,
    pub(super) answers: RefCell<Answers>,
}

impl Default for Knowledge {
    fn default() -> Self {
        Self {
            node: None,
            changed: BTreeSet::new(),
            new: BTreeMap::new(),
            variables: BTreeSet::new(),
            parameters: BTreeSet::new(),
            read: None,
            functions: BTreeSet::new(),
            apps: BTreeSet::new(),
            nodes: BTreeSet::new(),
            targets: BTreeSet::new(),
            folder: PathBuf::from("."),
            in_editor: false,
            answers: RefCell::default(),
        }
    }
}

/// What the node has answered lately.
#[derive(Default)]
pub(super) struct Answers {
    modules: Option<(Instant, BTreeSet<Module>)>,
    exports: BTreeMap<Module, (Instant, Vec<(String, u32)>)>,
}

impl Knowledge {
    /// Takes over what the session knows now.
    pub fn refresh(&mut self, session: &ReplSession) {
        let node = session.node();
        if self
            .node
            .as_ref()
            .is_none_or(|known| known.local_name() != node.local_name())
        {
            self.answers = RefCell::default();
        }
        self.node = Some(node.clone());
        let plan = &session.engine().plan;
        self.variables = session
            .variables
            .iter()
            .chain(plan.constants.iter())
            .map(|(name, _)| name.to_owned())
            .collect();
        let length = plan.sources.sources().iter().map(|s| s.text.len()).sum();
        if self.read.replace(length) != Some(length) {
            let parameters = session.parameters().into_iter();
            self.parameters = parameters.map(|(name, _)| name).collect();
        }
        self.functions = plan.functions.keys().cloned().collect();
        let targets = plan.targets.iter().map(|target| target.name.clone());
        self.targets = targets.collect();
        let nodes = plan.targets.iter().flat_map(|target| {
            let seed = target.seed.as_ref().and_then(|seed| seed.node());
            target.nodes.iter().chain(seed)
        });
        self.nodes = nodes.map(|node| node.as_str().to_owned()).collect();
        let Some(upgrade) = &session.upgrade else {
            self.changed.clear();
            self.new.clear();
            return;
        };
        self.changed = upgrade
            .rules
            .modules
            .keys()
            .map(ToString::to_string)
            .collect();
        self.apps = upgrade
            .facts
            .apps
            .keys()
            .map(|app| app.as_str().to_owned())
            .collect();
        self.new = upgrade
            .changes
            .modules
            .iter()
            .filter_map(|(module, changed)| {
                let exports = &changed.new.as_ref()?.facts.exports;
                let exports = exports.iter().map(|f| (f.name.to_string(), f.arity));
                Some((module.clone(), exports.collect()))
            })
            .collect();
    }

    /// The modules that are loaded on the node.
    pub fn modules(&self) -> BTreeSet<Module> {
        let mut answers = self.answers.borrow_mut();
        if let Some((when, modules)) = &answers.modules
            && when.elapsed() < FRESH
        {
            return modules.clone();
        }
        let Some(node) = &self.node else {
            return BTreeSet::new();
        };
        let answer = node.call("erlang", "loaded", vec![], TIMEOUT);
        let modules: BTreeSet<Module> = answer
            .ok()
            .iter()
            .flat_map(|list| list.as_list().unwrap_or_default())
            .filter_map(|module| Some(Module::new(module.as_atom()?.as_str())))
            .collect();
        answers.modules = Some((Instant::now(), modules.clone()));
        modules
    }

    /// The exports of a module as it runs, and those that its new version adds.
    pub(super) fn exports(&self, module: &Module) -> Vec<Export> {
        let running = self.running_exports(module);
        let mut all: BTreeMap<(String, u32), bool> =
            running.into_iter().map(|export| (export, false)).collect();
        for export in self.new.get(module).into_iter().flatten() {
            all.entry(export.clone()).or_insert(true);
        }
        all.into_iter()
            .map(|((name, arity), new)| (name, arity, new))
            .collect()
    }

    fn running_exports(&self, module: &Module) -> Vec<(String, u32)> {
        if let Some((when, exports)) = self.answers.borrow().exports.get(module)
            && when.elapsed() < FRESH
        {
            return exports.clone();
        }
        if !self.modules().contains(module) {
            return Vec::new();
        }
        let Some(node) = &self.node else {
            return Vec::new();
        };
        let args = vec![Term::atom("exports")];
        let answer = node.call(module.as_str(), "module_info", args, TIMEOUT);
        let exports: Vec<(String, u32)> = answer
            .ok()
            .iter()
            .flat_map(|list| list.as_list().unwrap_or_default())
            .filter_map(|pair| match pair.as_tuple()? {
                [Term::Atom(name), arity] => Some((
                    name.as_str().to_owned(),
                    u32::try_from(arity.as_i64()?).ok()?,
                )),
                _ => None,
            })
            .collect();
        self.answers
            .borrow_mut()
            .exports
            .insert(module.clone(), (Instant::now(), exports.clone()));
        exports
    }
}
