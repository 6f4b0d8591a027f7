//! The plan by which nodes are brought to a version that others run: that of the run which has made it, with the beams
//! that were kept, and with the target of the plan as it is now.
//!
//! Takes a [`History`], gives an [`Engine`]. What then happens is a rollout like any other.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::drift::History;
use super::milestone::Milestone;
use super::rollout::{AT_ONCE, PreparedNode};
use super::{Connection, Engine, Settings};
use crate::atomic_file;
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::facts::compare::library_versions::Libraries;
use crate::facts::node::node_facts::{self, NodeFacts};
use crate::facts::node::node_files::Disk;
use crate::name::{Module, NodeName};
use crate::parallel::in_parallel;
use crate::plan::load::{absolute, read_text};
use crate::plan::{CodeFrom, Patterns};

/// How many modules a diagnostic names.
const NAMED: usize = 8;

/// A plan that leads to a version, and the beams of it.
pub struct ToVersion {
    /// The engine of that plan.
    pub engine: Engine,
    /// What there is to say about it.
    pub diagnostics: Vec<Diagnostic>,
    /// The beams; they go with it.
    _beams: tempfile::TempDir,
}

impl Engine {
    #[doc(hidden)]
    /// The plan that leads to the version that a history means, for nodes of an OTP release: as it was recorded, with kept
    /// beams of these modules in place of its `code`. This engine's plan says which nodes there are and how they are reached.
    ///
    /// # Errors
    /// E649 when nothing leads there, E650 when a beam is not kept any more, or not as it was; what is wrong with the recorded
    /// plan.
    pub fn to_version(
        &self,
        history: &History,
        otp: u32,
        modules: &BTreeSet<Module>,
    ) -> std::result::Result<ToVersion, Vec<Diagnostic>> {
        let one = |diagnostic: Diagnostic| vec![diagnostic];
        let meant = history
            .meant()
            .ok_or_else(|| one(nothing_meant(self, history)))?;
        let version = history
            .version(otp)
            .ok_or_else(|| one(unknown_version(meant)))?;
        let beams = tempfile::Builder::new().prefix("updo-kept-").tempdir();
        let beams = beams.map_err(|why| one(unwritable(&why)))?;
        let mut lost = Vec::new();
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for module in modules {
            // What the version does not have is removed by the plan, if it says so.
            let Some(of) = version.modules.get(module) else {
                continue;
            };
            let bytes = self.store.get(&of.md5);
            let bytes = bytes.filter(|bytes| Disk::is_version(bytes, otp, &of.md5));
            let Some(bytes) = bytes else {
                lost.push(format!("{module}: {}", of.md5));
                continue;
            };
            // As a build has them: a new module belongs beside its neighbours.
            let app = of.app.as_ref().map_or("_", |app| app.as_str());
            let app = if app.contains('/') { "_" } else { app };
            let folder = beams.path().join(app).join("ebin");
            let file = folder.join(format!("{}.beam", module.as_str().replace('/', "_")));
            let written = atomic_file::private_folders(&folder)
                .and_then(|()| atomic_file::replace_private(&file, &bytes));
            written.map_err(|why| one(unwritable(&why)))?;
            folders.insert(folder);
        }
        if !lost.is_empty() {
            return Err(one(no_copies(meant, lost)));
        }
        let (mut engine, mut diagnostics) = recorded(&self.settings, meant)?;
        engine.plan.targets.clone_from(&self.plan.targets);
        let plan = &mut engine.plan;
        plan.persist = plan.persist && matches!(plan.code, CodeFrom::Push(_));
        plan.libraries = Libraries::default();
        let patterns = folders.iter().map(|folder| folder.display().to_string());
        plan.code = CodeFrom::Push(Patterns {
            patterns: patterns.map(|folder| (folder, Span::new(0, 0))).collect(),
            base: beams.path().to_owned(),
        });
        if std::mem::take(&mut plan.env) {
            let title = format!(
                "the environment of `.app` files of {} is not kept",
                meant.words()
            );
            let diagnostic = Diagnostic::new(Code::W656, title)
                .note("its plan has `env => true`; nodes that are brought to this version keep the environment that they have")
                .help("`application:set_env/3` in a hook `before upgrade` sets what the new code needs");
            diagnostics.push(diagnostic);
        }
        Ok(ToVersion {
            engine,
            diagnostics,
            _beams: beams,
        })
    }
}

/// The engine of the recorded plan, and W655 where the file says something else by now.
fn recorded(
    settings: &Settings,
    meant: &Milestone,
) -> std::result::Result<(Engine, Vec<Diagnostic>), Vec<Diagnostic>> {
    let text = meant
        .newest()
        .and_then(|run| settings.records().plan(&run.run));
    let text = text.ok_or_else(|| vec![unknown_version(meant)])?;
    let opened = Engine::open_as(meant.plan(), &text, settings.clone());
    let mut diagnostics = Vec::new();
    if let Ok(now) = read_text(meant.plan())
        && now != text
    {
        let name = meant.words();
        let title = format!("{} has changed since {name}", meant.plan().display());
        let diagnostic = Diagnostic::new(Code::W655, title)
            .note(format!(
                "nodes are brought to what {name} has left, by the plan as it was then"
            ))
            .help("what the plan says now: updo run PLAN");
        diagnostics.push(diagnostic);
    }
    match opened.engine {
        Some(engine) => Ok((engine, diagnostics)),
        None => {
            let words = meant.words();
            let wrong = opened.diagnostics.into_iter().filter(Diagnostic::is_error);
            Err(wrong
                .map(|mut one| {
                    // Its places are of a text that is not shown.
                    one.labels.clear();
                    one.note(format!("in the plan as {words} had it"))
                })
                .collect())
        }
    }
}

/// E649: no run has gone through on all nodes.
pub fn nothing_meant(engine: &Engine, history: &History) -> Diagnostic {
    let title =
        "no run of this plan has gone through on all nodes: there is no version to bring nodes to";
    let diagnostic = Diagnostic::new(Code::E649, title);
    let plan = absolute(&engine.plan.path);
    match (history.newest_of(&plan), history.last_through()) {
        (Some(newest), _) if !newest.is_undone() => diagnostic
            .note(format!("the newest is {}, on some nodes only", newest.words()))
            .help(format!(
                "upgrade the others: updo run PLAN\nor bring nodes to it all the same: updo reconcile PLAN --to {}",
                newest.name()
            )),
        (Some(newest), _) => diagnostic
            .note(format!("{} was rolled back", newest.words()))
            .help("updo run PLAN"),
        (None, Some(other)) => diagnostic
            .note(format!("its nodes were upgraded by another plan: {}, {}", other.words(), other.title()))
            .help(format!("updo reconcile {}", other.plan().display())),
        (None, None) => diagnostic
            .note(format!("in {}", engine.settings.state_dir.display()))
            .help("upgrade nodes first: updo run PLAN\nor name the state folder of the machine that has: UPDO_STATE_DIR"),
    }
}

/// E649: what a run has left is not recorded, or not whole.
pub fn unknown_version(meant: &Milestone) -> Diagnostic {
    let title = format!("what nodes ran after {} is not known", meant.words());
    Diagnostic::new(Code::E649, title)
        .note("its record is not whole, or was changed")
        .help("bring the nodes there with the beams themselves: updo run PLAN")
}

/// E649: the target was upgraded by another plan since.
pub fn other_plan(meant: &Milestone, newer: &Milestone) -> Diagnostic {
    let title = format!(
        "the nodes of this target were upgraded by another plan since: {}, {}",
        newer.words(),
        newer.title()
    );
    Diagnostic::new(Code::E649, title)
        .note(format!("the last run of this plan is {}", meant.words()))
        .help(format!(
            "bring nodes to the newer version: updo reconcile {}\nor to that of this plan: updo reconcile PLAN --to {}",
            newer.plan().display(),
            meant.name()
        ))
}

/// E650.
fn no_copies(meant: &Milestone, lost: Vec<String>) -> Diagnostic {
    let title = format!(
        "the beams of {} are not all kept as they were",
        meant.words()
    );
    let more = lost.len().saturating_sub(NAMED);
    let shown = lost.into_iter().take(NAMED);
    let diagnostic = shown.fold(Diagnostic::new(Code::E650, title), Diagnostic::note);
    let diagnostic = match more {
        0 => diagnostic,
        more => diagnostic.note(format!("and {more} more")),
    };
    diagnostic.help(
        "copies are made again from the disk of a node that runs them: updo status -t NODE --save\nor push the beams themselves: updo run PLAN",
    )
}

fn unwritable(why: &std::io::Error) -> Diagnostic {
    Diagnostic::new(
        Code::E802,
        "the beams cannot be written into a temporary folder",
    )
    .note(why.to_string())
}

/// A node as it was looked at.
pub struct LookedAt {
    /// The life of the node.
    pub creation: u32,
    /// What it has loaded.
    pub facts: NodeFacts,
}

impl LookedAt {
    /// Looks at a node.
    ///
    /// # Errors
    /// E508 when it does not answer.
    pub fn of(connection: &Connection<'_>) -> Result<Self> {
        Ok(Self {
            creation: connection.session.creation(),
            facts: node_facts::gather(&connection.session)?,
        })
    }
}

impl Engine {
    #[doc(hidden)]
    /// Looks at nodes, several at a time; in their order.
    pub fn look_at_all(&self, nodes: &[NodeName]) -> Vec<Result<LookedAt>> {
        let look = |(): &mut (), node: &NodeName| LookedAt::of(&self.connect(node)?);
        in_parallel(nodes, AT_ONCE, || (), look)
    }

    #[doc(hidden)]
    /// Prepares nodes, several at a time; in their order.
    pub fn prepare_each<'e>(&'e self, nodes: &[NodeName]) -> Vec<Result<PreparedNode<'e>>> {
        let prepare = |(): &mut (), node: &NodeName| PreparedNode::prepare(self, node);
        in_parallel(nodes, AT_ONCE, || (), prepare)
    }
}
