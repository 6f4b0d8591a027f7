//! From facts to script: what is known and decided about the upgrade of one node.
//!
//! Takes the plan, a node's facts and its changes; infers, merges the plan's rules, compiles. Asks no node and
//! touches nothing: the same facts give the same upgrade.

use std::time::Duration;

use super::Settings;
use crate::diag::{Code, Diagnostic};
use crate::exec::no_undo::NoUndo;
use crate::exec::{job, persist, steps};
use crate::facts::change::ChangeSet;
use crate::facts::compare::persist_diff::UnpersistedFiles;
use crate::facts::node::node_facts::NodeFacts;
use crate::graph::Graph;
use crate::name::{Module, NodeName};
use crate::plan::{ExecutionEngine, Plan, WindowPolicy};
use crate::rules::node_view::NodeView;
use crate::rules::{
    AppEnvChange, Change, Precomputed, Ruleset, children, configuration, effects, lints, merge,
    resolve, shared_records, toolchain,
};
use crate::script::live::Unfit;
use crate::script::lower::{Script, processes};
use crate::script::precompute::Beside;
use crate::script::{
    check, high, insert, live, lower, precompute, release_handler, removed, waiting,
};
use crate::term::Term;

/// Everything known and decided about the upgrade of one node, at the moment of [`Connection::prepare`].
///
/// [`Connection::prepare`]: super::Connection::prepare
#[non_exhaustive]
#[derive(Debug)]
pub struct Upgrade {
    #[doc(hidden)]
    pub facts: NodeFacts,
    #[doc(hidden)]
    pub changes: ChangeSet,
    /// The inferred graph, before the plan's rules.
    #[doc(hidden)]
    pub inferred: Graph,
    #[doc(hidden)]
    pub rules: Ruleset,
    #[doc(hidden)]
    pub script: Script,
    /// What there is to say, errors first. [`Engine::sources`](super::Engine::sources) has the text that it points into.
    pub diagnostics: Vec<Diagnostic>,
    /// What can fail behind the switch while there is no copy of the running version.
    #[doc(hidden)]
    pub no_undo: Option<NoUndo>,
    /// What the plan wants on the node's disk, and is not there although it runs.
    #[doc(hidden)]
    pub unwritten: UnpersistedFiles,
    /// Whether a rehearsal has converted states of all modules that go live.
    #[doc(hidden)]
    pub tried_live: bool,
    /// What is computed before the switch if `window auto`, which would go live, suspends after all.
    #[doc(hidden)]
    pub suspending: Option<Box<Precomputed>>,
}

impl Upgrade {
    /// The modules that are loaded, updated or deleted, in the order of the script. Empty when there is nothing to do.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.script.modules()
    }

    /// The modules whose processes are suspended, in the order in which they are; a module comes again for every window
    /// that suspends it.
    pub fn suspended(&self) -> impl Iterator<Item = &Module> {
        self.script.suspended()
    }

    /// The instructions, one term each, in the words of `appup(4)` of OTP and, where that has none, of updo's own. A
    /// term's shape may change with a version; what OTP itself could carry out is `updo preview --appup`.
    pub fn instructions(&self) -> impl Iterator<Item = Term> {
        let high = self.script.high.iter();
        high.map(|step| step.instruction.to_term())
    }

    /// Whether a diagnostic is an error: then the upgrade must not be run.
    pub fn is_refused(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// What is to happen: the versions before and after, the steps, and what is written to the disk. For comparing two
    /// upgrades, of two nodes or of one node at two times; the term's shape is no promise.
    pub fn content(&self) -> Term {
        // How long is looked afterwards is no part of what happens.
        let soak = Duration::ZERO;
        let steps = steps::soaked(&self.script, &self.rules, soak);
        let steps = steps::every(&self.changes, &self.rules, &self.script, steps, 1);
        Term::tuple([
            job::begun_record(&self.changes, &self.rules, &steps),
            Term::list(persist::also(&self.unwritten.modules)),
            self.unwritten.restart.stages.term(),
        ])
    }

    /// Whether a run of it can be undone later: there are copies of all running versions, and every conversion has a
    /// way down.
    pub fn has_way_back(&self) -> bool {
        let mut modules = self.rules.modules.values();
        let one_way = modules.any(|rules| matches!(rules.change.value, Change::Convert { .. }));
        !one_way && self.changes.undo_is_exact(self.rules.modules.keys())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.has_steps() && self.unwritten.is_empty()
    }

    /// The codes of what says that something differs and is left as it is, each once: without any the node runs the new
    /// code already.
    pub fn left_alone(&self) -> Vec<Code> {
        const LEFT: [Code; 5] = [Code::W319, Code::W320, Code::W323, Code::W331, Code::W337];
        let applies = |code: &Code| {
            self.diagnostics
                .iter()
                .any(|diagnostic| diagnostic.code == *code)
        };
        LEFT.into_iter().filter(applies).collect()
    }

    /// Whether there is anything to do but writing files.
    pub fn has_steps(&self) -> bool {
        let rules = &self.rules;
        !self.script.is_empty() || !rules.env.is_empty() || !rules.moves.is_empty()
    }
}

/// From facts to script: infers, merges the plan, compiles. Asks no node.
pub fn decide(
    plan: &Plan,
    node: &NodeName,
    target: &str,
    facts: NodeFacts,
    changes: ChangeSet,
    settings: &Settings,
) -> Upgrade {
    let inferred = crate::graph::build::build(&changes);
    let view = NodeView {
        node,
        target,
        facts: &facts,
        changes: &changes,
    };
    let (manual, mut diagnostics) = resolve::resolve(plan, &view);
    let merged = merge::merge(&changes, &inferred, &manual);
    diagnostics.extend(merged.diagnostics);
    let mut rules = merged.rules;
    if plan.env {
        let changed = changes.specs.iter().filter(|spec| !spec.env.is_empty());
        let configured = changed.map(|spec| AppEnvChange {
            app: spec.app.clone(),
            callback: spec.callback.clone(),
            keys: spec.env.clone(),
        });
        rules.env = configured.collect();
    }
    let high = high::high(&changes, &rules);
    let is_auto = plan.windows == WindowPolicy::Auto;
    let suspends = if !is_auto {
        None
    } else if plan.rehearse.never || settings.no_rehearsal {
        // What goes live has been seen to convert.
        Some("conversions are not rehearsed")
    } else if plan.is_together(target) {
        // None of them may find out in the middle that it needs another window than the others.
        Some("nodes that switch together go through the same window")
    } else {
        None
    };
    let windows = match plan.engine {
        ExecutionEngine::Updo if suspends.is_some() => WindowPolicy::Single,
        ExecutionEngine::Updo => plan.windows,
        ExecutionEngine::ReleaseHandler(_) => WindowPolicy::Otp,
    };
    let script = lower::lower(&changes, &rules, high.clone(), windows);
    let mut script = script.unwrap_or_else(|refused| {
        diagnostics.push(*refused);
        lower::single(&changes, &rules, high)
    });
    if let Some(why) = suspends {
        let has_processes = processes(&changes, &rules, &script) > 0;
        let why = has_processes.then(|| Unfit {
            module: None,
            why: why.to_owned(),
        });
        script.chosen = Some(why.into_iter().collect());
    }
    diagnostics.extend(insert::insert(
        &mut script,
        &rules,
        &manual.insertions,
        plan.is_together(target),
    ));
    diagnostics.extend(removed::advice(&script, &facts));
    diagnostics.extend(release_handler::set(plan, &changes, &mut script));
    let how = (facts.otp, !settings.convert_after_switch);
    let computed = |script: &Script, rules: &Ruleset, beside: &Beside| {
        precompute::precomputed(&changes, rules, script, beside, how)
    };
    let mut suspending = None;
    let found = live::live(&changes, &rules, &script).and_then(|live| {
        // One excerpt serves what is computed before a switch and what leads back from the live window.
        let computed = computed(&script, &rules, &live.beside);
        let live = live.with(&computed.converters)?;
        Ok((live, computed))
    });
    match found {
        Ok((live, precomputed)) => {
            if script.is_live() {
                rules.live = live.modules;
                diagnostics.extend(live::held(&script.held));
                if script.chosen.is_some() {
                    let single = Script {
                        kind: WindowPolicy::Single,
                        ..script.clone()
                    };
                    let computed = computed(&single, &rules, &Beside::default());
                    suspending = Some(Box::new(computed));
                }
            }
            rules.precomputed = precomputed;
        }
        // What is shown then is what the refusal proposes.
        Err(unfit) => {
            match &mut script.chosen {
                Some(why) => *why = unfit,
                None => diagnostics.push(live::refusal(&unfit)),
            }
            script.kind = WindowPolicy::Single;
            rules.precomputed = computed(&script, &rules, &Beside::default());
        }
    }
    diagnostics.extend(check::check(&script));
    diagnostics.extend(waiting::advice(&changes, &rules, &script));
    diagnostics.extend(lints::advice(plan, &changes, &rules));
    let taken = steps::soaked(&script, &rules, plan.soak);
    let no_undo = NoUndo::of(plan, &changes, &rules, &taken, !settings.no_verify);
    diagnostics.extend(no_undo.as_ref().map(NoUndo::warning));
    diagnostics.extend(children::advice(&changes, &rules));
    diagnostics.extend(effects::advice(&changes, &rules));
    diagnostics.extend(shared_records::shared_records(&changes, &rules));
    diagnostics.extend(configuration::advice(plan, &changes, &rules));
    diagnostics.extend(toolchain::advice(&changes, &rules, &facts));
    if settings.strict {
        for cycle in diagnostics.iter_mut().filter(|d| d.code == Code::W307) {
            cycle.code = Code::E306;
        }
    }
    diagnostics.sort_by_key(|d| std::cmp::Reverse(d.severity()));
    Upgrade {
        facts,
        changes,
        inferred,
        rules,
        script,
        diagnostics,
        no_undo,
        unwritten: UnpersistedFiles::default(),
        tried_live: false,
        suspending,
    }
}
