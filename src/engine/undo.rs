//! Undoing a recorded run: what is looked at before anything is asked, and the run that goes back.
//!
//! Takes a record and a connection. Everything that a way back needs is checked first: the code that the node runs,
//! the beams that come back, folders of the code path, supervisors of children. What lacks is reported, and nothing is
//! touched.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::time::Duration;

use super::environment::{now, owner};
use super::{Engine, Settings, run_id};
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::barriers::{self, Barriers};
use crate::exec::rollback::{self, RollbackRequest, WayBack};
use crate::exec::side_effects::Acted;
use crate::exec::together::{Together, TogetherNode};
use crate::exec::{Event, NodeState, Outcome};
use crate::facts::beam::BeamFacts;
use crate::facts::change::ChangeSet;
use crate::facts::compare::OldBeamSources;
use crate::facts::compare::going_back::{GoingBack, going_back};
use crate::facts::compare::persist_diff::{UnpersistedFiles, unknown};
use crate::facts::compare::restart::{self, Listing, ModuleFile, Wanted};
use crate::facts::node::node_facts::{self, NodeFacts};
use crate::facts::node::node_files::Disk;
use crate::facts::node::requery;
use crate::name::Module;
use crate::node::{Session, agent, evaluate};
use crate::plan::When;
use crate::report::{json, replay};
use crate::rules::Purge;
use crate::rules::node_view::NodeView;
use crate::state::file_cache::Seen;
use crate::state::runs::{RecordedRun, RunPart, RunRecords};
use crate::term::Term;

/// How long processes may take to leave the code that has to go, by default.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// How many things are named one by one.
const NAMED: usize = 8;

/// How long a question about processes may take.
const QUESTION: Duration = Duration::from_secs(60);

/// Processes in the code that has to go before old code can come back.
const IN_OLD_CODE: &str = "[{M, P, case process_info(P, [current_function, registered_name]) of
    [{_, C}, {_, N}] -> {proc_lib:translate_initial_call(P), C, N}; _ -> gone end}
 || M <- Modules, erlang:check_old_code(M), P <- processes(), P =/= self(), erlang:check_process_code(P, M)].";

/// A recorded run that can be undone on a node as it is now.
pub struct Undo {
    /// The connection.
    pub session: Session,
    /// The run that is undone.
    pub summary: RecordedRun,
    /// The way back.
    pub way: WayBack,
    /// The node's facts.
    pub facts: NodeFacts,
    /// W344: what the disk of the node is like, where its files are put back.
    pub disk: Vec<Diagnostic>,
    /// What hooks of the run have done.
    pub acted: Acted,
    /// The plan as it was recorded, with its hooks `on rollback`; one without any when it cannot be read any more.
    pub engine: Engine,
    /// Whether it is the recorded plan.
    pub readable: bool,
}

impl Undo {
    /// Looks whether a node can go back: no other is at work, it is what the run has left, and everything that the
    /// way back needs is there. `changed` are title and help when the node is something else.
    ///
    /// # Errors
    /// E505 when a run is going on, E602 with the modules that differ, E627 with what lacks; E508 when the node does not
    /// answer.
    pub fn ready(
        settings: &Settings,
        session: Session,
        summary: RecordedRun,
        way: WayBack,
        changed: (String, &str),
    ) -> Result<Self> {
        let mut way = way;
        let records = settings.records();
        ensure_unlocked(&records, &session, &summary)?;
        let facts = node_facts::gather(&session)?;
        if summary.state == "mixed" {
            half_undone(&facts, &records, &summary, &mut way)?;
        }
        unchanged(&session, &facts, &way, changed)?;
        lacking(&session, &facts, &summary, &way)?;
        let modules: BTreeSet<Module> = way.expected.iter().map(|(m, _)| m.clone()).collect();
        way.processes(requery::wrapped(&session, &facts, &modules)?);
        way.purging(Purge::Wait(TIMEOUT));
        let mut disk = Vec::new();
        if way.is_persisting() {
            let found = written(settings, &session, &facts, &way)?;
            disk = found.diagnostics(&session, "this rollback");
            way.listing(found.restart);
        }
        let recorded = Engine::of_record(&summary, settings.clone());
        let readable = recorded.is_some();
        let bare = || Engine::open_text("plan \"without hooks\".", settings.clone()).engine;
        let engine = recorded
            .or_else(bare)
            .ok_or_else(|| Diagnostic::new(Code::E900, "a plan of one statement cannot be read"))?;
        Ok(Self {
            acted: acted(&records, &summary.run),
            disk,
            engine,
            readable,
            session,
            summary,
            way,
            facts,
        })
    }

    /// W621: hooks of the run whose effects will not be undone. Reported before anything is asked.
    pub fn warning(&self) -> Option<Diagnostic> {
        let warning = self.acted.warning()?;
        if !self.readable {
            let why =
                "the recorded plan cannot be read any more; a hook `on rollback` of it is not run";
            return Some(warning.note(why).help(
                "are its included files there? parameters without a value are given by --set Name=value",
            ));
        }
        let hooks = &self.engine.plan.hooks;
        let undone = hooks.iter().any(|hook| hook.when == When::Rollback);
        (!undone).then_some(warning)
    }

    /// What it will do to the node as it is: reported before anything is asked.
    ///
    /// # Errors
    /// E508 when the node does not answer.
    pub fn consequences(&self) -> Result<GoingBack> {
        let earlier: Vec<(Module, Option<&[u8]>)> = self
            .way
            .beams()
            .into_iter()
            .map(|(module, beam, _)| (module, beam))
            .collect();
        let old = OldBeamSources {
            patterns: &[],
            store: &self.engine.store,
        };
        going_back(&self.session, &self.facts, old, &earlier)
    }

    /// Processes that a brutal purge would end: each in words.
    ///
    /// # Errors
    /// E508 when the node does not answer.
    pub fn in_the_way(&self) -> Result<Vec<String>> {
        let modules = self.way.expected.iter();
        let modules = modules.map(|(module, _)| Term::atom(module.as_str()));
        let bindings = [("Modules", Term::list(modules))];
        let found = evaluate(&self.session, IN_OLD_CODE, &bindings, QUESTION)
            .map_err(|error| error.diagnostic("looking for processes in old code"))?;
        let words = |one: &Term| {
            let [module, pid, about] = one.as_tuple()? else {
                return None;
            };
            let mut text = format!("{pid} in old {module}");
            if let Some([started, at, name]) = about.as_tuple() {
                if name.as_atom().is_some() {
                    text = format!("{name} {text}");
                }
                text += &format!(", started in {}, now in {}", mfa(started), mfa(at));
            }
            Some(text)
        };
        let found = found.as_list().unwrap_or_default();
        Ok(found.iter().filter_map(words).collect())
    }

    /// Whether it went there at one instant with other nodes, and can go back like that.
    pub fn is_together(&self) -> bool {
        let target = self.engine.target_of(self.session.node());
        let target = target.map_or("", |target| target.name.as_str());
        self.engine.plan.is_together(target) && barriers::unfit(self.way.planned()).is_none()
    }

    /// All of these at one instant. What happened is given for each when all have ended.
    pub fn undo_together(all: &[Self], settings: &Settings) -> Vec<(Vec<Event>, String, Outcome)> {
        let plans = all.iter().map(|undo| &undo.engine.plan);
        let wait = plans.filter_map(|plan| plan.rollouts.iter().find_map(|(one, _)| one.together));
        let ranks = all.iter().map(|undo| barriers::ranks(undo.way.planned()));
        let barriers = Barriers {
            hold: wait.max().unwrap_or(TIMEOUT),
            ranks: ranks.max().unwrap_or(0),
        };
        let names = all.iter().map(|undo| undo.session.node().clone()).collect();
        let name = run_id(&settings.records());
        let group = &Together::new(&name, names, barriers, NodeState::Old);
        let one = |at: usize, undo: &Self| {
            let mut events = Vec::new();
            let (run, outcome) = undo.undo(settings, Some(group.node(at)), &mut |event| {
                events.push(event.clone());
            });
            (events, run, outcome)
        };
        let one = &one;
        std::thread::scope(|scope| {
            let all = all.iter().enumerate();
            let runs: Vec<_> = all
                .map(|(at, undo)| scope.spawn(move || one(at, undo)))
                .collect();
            let ends = runs.into_iter().map(|run| run.join());
            ends.map(|end| end.unwrap_or_else(|why| resume_unwind(why)))
                .collect()
        })
    }

    /// Goes back. A run of its own: recorded, and to be rejoined like any other.
    pub fn undo(
        &self,
        settings: &Settings,
        together: Option<TogetherNode<'_>>,
        sink: &mut dyn FnMut(&Event),
    ) -> (String, Outcome) {
        let way = match together {
            Some(node) => &self.way.clone().together(&node.barriers()),
            None => &self.way,
        };
        let records = settings.records();
        let run = run_id(&records);
        let this = RecordedRun {
            run: run.clone(),
            title: format!("rollback of run {}", self.summary.run),
            creation: Some(self.session.creation()),
            owner: owner(),
            began: now(),
            state: "running".to_owned(),
            goal: "old".to_owned(),
            rollout: None,
            keep: 0,
            note: None,
            part: RunPart::default(),
            ..self.summary.clone()
        };
        let text = records.plan(&self.summary.run).unwrap_or_default();
        let begun = Some(&way.begun);
        let mut record = records.begin(&this, &text, None, begun).ok();
        let plan = &self.engine.plan;
        let target = self.engine.target_of(self.session.node());
        let changes = ChangeSet::default();
        let going = RollbackRequest {
            session: &self.session,
            run: &run,
            owner: &owner(),
            undone: &self.summary.run,
            way,
            plan,
            view: NodeView {
                node: self.session.node(),
                target: target.map_or("", |target| target.name.as_str()),
                facts: &self.facts,
                changes: &changes,
            },
            acted: self.acted.clone(),
            interrupt: &settings.interrupt,
            together,
        };
        let outcome = rollback::roll_back(&going, &mut |event| {
            if let Some(record) = &mut record {
                record.event(&json::event(event, &plan.sources));
            }
            sink(event);
        });
        if let Some(record) = record {
            record.finish(&outcome.state.to_string());
        }
        if outcome.state == NodeState::Old
            && let Ok(undone) = records.resume(&self.summary)
        {
            undone.finish("undone");
        }
        (run, outcome)
    }
}

/// What hooks of a recorded run have done, by its events.
fn acted(records: &RunRecords, run: &str) -> Acted {
    let mut acted = Acted::default();
    let text = records.event_lines(run);
    for line in replay::lines(&text.unwrap_or_default()) {
        if let Some(event) = replay::read(&line) {
            acted.event(&event.kind);
        }
    }
    acted
}

/// No other run is at work on the node; not even the run itself, which may not have come there yet.
fn ensure_unlocked(records: &RunRecords, session: &Session, summary: &RecordedRun) -> Result<()> {
    let present =
        agent::present(session).map_err(|error| error.diagnostic("reading the lock holder"))?;
    if let Some(holder) = present.filter(|holder| !holder.kept) {
        return Err(Box::new(agent::locked(session, holder.words)));
    }
    if summary.state == "running" && records.is_written(summary) {
        let words = format!("run {} is still going on", summary.run);
        let diagnostic = agent::locked(session, words);
        return Err(Box::new(
            diagnostic.help(format!("wait for its end: updo attach {}", summary.run)),
        ));
    }
    Ok(())
}

/// A run that could not go back, or not through all of its windows: what is old already is left alone, and so are states
/// that are still those of the old code.
fn half_undone(
    facts: &NodeFacts,
    records: &RunRecords,
    summary: &RecordedRun,
    way: &mut WayBack,
) -> Result<()> {
    if let Some(kept) = records.old_states(&summary.run) {
        way.unconverted(kept);
    }
    let now = |module: &Module| facts.loaded.get(module).map(|loaded| loaded.md5);
    let returned = way.returned(&now);
    if returned.is_empty() {
        return Ok(());
    }
    if returned.len() == way.expected.len() {
        let title = format!(
            "{} runs the code of before run {} already",
            summary.node, summary.run
        );
        return Err(Box::new(
            Diagnostic::new(Code::E602, title)
                .note("nothing was changed")
                .help(format!(
                    "what is left to do by hand, if anything: updo replay {}",
                    summary.run
                )),
        ));
    }
    way.without(&returned);
    Ok(())
}

/// Whether the node still is what the run has left. What is not loaded is looked for on the node's disk: in
/// interactive mode a node that was restarted loads it from there.
fn unchanged(
    session: &Session,
    facts: &NodeFacts,
    way: &WayBack,
    (title, help): (String, &str),
) -> Result<()> {
    let asleep: Vec<Module> = way
        .expected
        .iter()
        .filter(|(module, md5)| md5.is_some() && !facts.loaded.contains_key(module))
        .map(|(module, _)| module.clone())
        .collect();
    let on_path = match facts.embedded {
        true => Default::default(),
        false => requery::on_path(session, &asleep)?,
    };
    let now = |module: &Module| {
        let loaded = facts.loaded.get(module).map(|loaded| loaded.md5);
        loaded.or_else(|| on_path.get(module).copied())
    };
    let differing = way.differing(&now);
    if differing.is_empty() {
        return Ok(());
    }
    let mut diagnostic = Diagnostic::new(Code::E602, title).help(help);
    diagnostic.notes = differing;
    Err(Box::new(diagnostic))
}

/// E627: what the way back needs and does not find.
fn lacking(
    session: &Session,
    facts: &NodeFacts,
    summary: &RecordedRun,
    way: &WayBack,
) -> Result<()> {
    let mut lacks = Vec::new();
    for (module, beam, md5) in way.beams() {
        let Some(beam) = beam else {
            if md5.is_some() {
                lacks.push(format!("{module}: the record has no copy of the old beam"));
            }
            continue;
        };
        match BeamFacts::read(beam) {
            Err(why) => lacks.push(format!("{module}: the recorded old beam: {why}")),
            Ok(old) if old.module != module => {
                lacks.push(format!(
                    "{module}: the recorded old beam is of {}",
                    old.module
                ));
            }
            Ok(old) if md5.is_some_and(|md5| md5 != old.digests.on(facts.otp)) => {
                lacks.push(format!(
                    "{module}: the recorded old beam is another version"
                ));
            }
            Ok(_) => {}
        }
    }
    for folder in way.folders() {
        let args = vec![Term::string(&folder)];
        let there = session
            .call("filelib", "is_dir", args, QUESTION)
            .map_err(|error| error.diagnostic("looking for folders of the code path"))?;
        if !there.is_atom("true") {
            lacks.push(format!(
                "the code path: {folder} is not a folder on the node"
            ));
        }
    }
    let supervisors = way.supervisors();
    let running = requery::running(session, facts, &supervisors)?;
    for supervisor in supervisors.iter().filter(|s| !running.contains_key(*s)) {
        lacks.push(format!(
            "children of {supervisor}: no process runs this supervisor"
        ));
    }
    if lacks.is_empty() {
        return Ok(());
    }
    let title = format!("run {} cannot be rolled back as recorded", summary.run);
    let mut diagnostic = Diagnostic::new(Code::E627, title);
    let more = lacks.len().saturating_sub(NAMED);
    lacks.truncate(NAMED);
    diagnostic.notes = lacks;
    if more > 0 {
        diagnostic.notes.push(format!("and {more} more"));
    }
    Err(Box::new(diagnostic.note("nothing was changed").help(
        "bring back what is missing and run it again, or correct the node forward: updo run PLAN",
    )))
}

/// The files that a restart reads: lists of modules as they have to be when the old files are back, what is left of
/// interrupted runs, and what runs otherwise than it will be on the disk.
fn written(
    settings: &Settings,
    session: &Session,
    facts: &NodeFacts,
    way: &WayBack,
) -> Result<UnpersistedFiles> {
    let files = way.files().into_iter().map(|(module, file, stays)| {
        let listing = match (stays, facts.loaded.contains_key(&module)) {
            (true, true) => Listing::Kept,
            (true, false) => Listing::New,
            (false, _) => Listing::Gone,
        };
        ModuleFile {
            file: facts.file_of(&module).map_or(file, str::to_owned),
            app: facts.app_of(&module).cloned(),
            module,
            listing,
        }
    });
    let wanted = Wanted {
        modules: files.collect(),
        env: Vec::new(),
        starts: Vec::new(),
        recorded: way.recorded(),
    };
    let files = restart::files(session, facts, &wanted.modules, &wanted.env)?;
    let mut seen = Seen::open(&settings.state_dir, session.node());
    let mut disk = Disk::new(session, facts.otp, &mut seen);
    let names: BTreeSet<&Module> = wanted.modules.iter().map(|file| &file.module).collect();
    let is_written = |module: &Module| names.contains(module);
    let unknown = unknown(
        &mut disk,
        facts,
        &files.stages,
        &wanted.modules,
        &is_written,
    )?;
    let mut restart = restart::restart(session, facts, files, &wanted)?;
    match restart.refused.take() {
        Some(refused) => Err(Box::new(refused)),
        None => Ok(UnpersistedFiles {
            unknown,
            restart,
            ..UnpersistedFiles::default()
        }),
    }
}

/// `m:f/a`.
fn mfa(term: &Term) -> String {
    match term.as_tuple() {
        Some([module, function, arity]) => format!("{module}:{function}/{arity}"),
        _ => term.to_string(),
    }
}
