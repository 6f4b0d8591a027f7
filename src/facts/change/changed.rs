//! A module that takes part: the versions of it, and its processes.

use std::sync::{Arc, OnceLock};

use crate::facts::beam::BeamFacts;
use crate::facts::beam::code::effects::{Bodies, loops};
use crate::facts::beam::debug::{self, RecordDefinition, RecordDefinitions};
use crate::facts::node::processes::ModuleProcesses;
use crate::facts::node::queries::RunningVersion;
use crate::name::{App, FunctionArity, Mfa};

/// A beam: its bytes, its path, what it says.
#[derive(Clone, Debug)]
pub struct Beam {
    /// The bytes as they are.
    pub bytes: Arc<[u8]>,
    /// The file name that `code:which/1` shall answer.
    pub file: String,
    /// Its facts.
    pub facts: BeamFacts,
    /// What its debug information says of records, once it was asked for: decoding it takes a while.
    records: Arc<OnceLock<Option<RecordDefinitions>>>,
    /// What its functions do, once it was asked for.
    bodies: Arc<OnceLock<Bodies>>,
}

impl Beam {
    /// A beam with its facts.
    pub fn new(bytes: impl Into<Arc<[u8]>>, file: String, facts: BeamFacts) -> Self {
        Self {
            bytes: bytes.into(),
            file,
            facts,
            records: Arc::default(),
            bodies: Arc::default(),
        }
    }

    /// What its functions do by themselves.
    pub fn bodies(&self) -> &Bodies {
        self.bodies.get_or_init(|| Bodies::read(&self.bytes))
    }

    /// The records that its debug information knows and uses; `None` where it has none, or none that can be read.
    pub fn records_in_use(&self) -> Option<&RecordDefinitions> {
        let read = || debug::records_in_use(&self.bytes).ok().flatten();
        self.records.get_or_init(read).as_ref()
    }

    /// The definitions alone; none where there is no debug information.
    pub fn records(&self) -> &[RecordDefinition] {
        self.records_in_use()
            .map_or(&[], |records| &records.defined)
    }
}

/// A module that takes part.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The running version; `None` for a new module (or one not loaded).
    pub loaded: Option<RunningVersion>,
    /// The new version; `None` for a module to delete.
    pub new: Option<Beam>,
    /// A copy of the running version, proven by MD5, to go back to.
    pub old: Option<Beam>,
    /// Of a module that is not loaded: the version that the node would load by itself.
    pub unloaded: Option<Beam>,
    /// The application whose `modules` name it, if any.
    pub app: Option<App>,
    /// How many processes run it.
    pub processes: usize,
    /// Those processes, by how they were found.
    pub module_processes: ModuleProcesses,
}

impl Changed {
    /// Facts of the running version, when a copy of it was found.
    pub fn old_facts(&self) -> Option<&BeamFacts> {
        self.old.as_ref().map(|beam| &beam.facts)
    }

    /// Whether this is a gen_statem whose callback mode differs, as far as exports show: `handle_event/4` is exported
    /// by one version only.
    pub fn turns_callback_mode(&self) -> bool {
        let (Some(old), Some(new)) = (&self.old, &self.new) else {
            return false;
        };
        let is_statem = |facts: &BeamFacts| {
            let behaviours = &facts.behaviours;
            behaviours.iter().any(|b| b.as_str() == "gen_statem")
        };
        let by_event = |facts: &BeamFacts| facts.exports("handle_event", 4);
        is_statem(&old.facts)
            && is_statem(&new.facts)
            && by_event(&old.facts) != by_event(&new.facts)
    }

    /// Whether an undo needs the old `code_change/4`: gen_statem asks for the callback mode only after it.
    pub fn undo_asks_code_change(&self) -> bool {
        let old = self.old.as_ref();
        self.turns_callback_mode() && old.is_some_and(|old| old.facts.exports("code_change", 4))
    }

    /// Facts of the version before: the running one, or that which the node would load.
    pub fn former_facts(&self) -> Option<&BeamFacts> {
        let former = self.old.as_ref().or(self.unloaded.as_ref());
        former.map(|beam| &beam.facts)
    }

    /// Whether the version before exports a function.
    pub fn had(&self, function: &Mfa) -> bool {
        let name = function.function_arity();
        match &self.loaded {
            Some(loaded) => loaded.exports.contains(&name),
            None => self
                .unloaded
                .as_ref()
                .is_some_and(|beam| beam.facts.exports.contains(&name)),
        }
    }

    /// Whether the new version exports a function.
    pub fn has(&self, function: &Mfa) -> bool {
        self.new
            .as_ref()
            .is_some_and(|n| n.facts.exports.contains(&function.function_arity()))
    }

    /// Whether the module is not loaded yet, known to the node or not.
    pub fn is_new(&self) -> bool {
        self.loaded.is_none()
    }

    /// The loops of special processes of a module that runs, by the running version as far as there is a copy of it.
    pub fn loops(&self) -> Vec<FunctionArity> {
        let beams = [&self.old, &self.new].into_iter().flatten();
        let special = |beam: &&Beam| {
            beam.facts.exports("system_code_change", 4) || beam.facts.exports("system_continue", 3)
        };
        let beam = beams
            .into_iter()
            .find(special)
            .filter(|_| self.loaded.is_some());
        beam.map_or_else(Vec::new, |beam| loops(beam.bodies()))
    }
}
