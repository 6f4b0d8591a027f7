//! The job: what the agent is given, as one Erlang term.
//!
//! `src/node/agent/PROTOCOL.md` says what each key means. Everything that can be prepared here is: the
//! agent looks for processes and runs the steps, it decides nothing about order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::StepKind;
use super::ways;
use crate::facts::change::{Beam, ChangeSet};
use crate::name::Module;
use crate::rules::{Change, Purge, Ruleset, Timeout};
use crate::script::low::Low;
use crate::script::lower::{By, Library, Ranks, Script, switched};
use crate::term::{Pid, Term};

/// Default patience of a suspension, as OTP's.
pub const SUSPEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the node keeps a result that nobody has seen, for `updo attach`.
pub const KEEP: Duration = Duration::from_secs(15 * 60);
/// How long a node waits for the answer to a hook before it goes back.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// One step as the agent gets it, and what it is to the screen.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number, from 1.
    pub id: u32,
    /// What it is.
    pub kind: StepKind,
    /// The modules concerned.
    pub modules: Vec<Module>,
    /// For a hook: its number among the plan's hooks, and its place in the plan's words.
    pub hook: Option<(usize, String)>,
    /// The agent's term, without the number.
    term: Term,
}

impl Step {
    /// The modules in words: all of them, or the first few and how many more.
    pub fn what(&self) -> String {
        const SHOWN: usize = 4;
        if let Some((_, name)) = &self.hook {
            return name.clone();
        }
        if let Some([_, Term::Tuple(call)]) = self.term.as_tuple()
            && let [module, function, args] = call.as_slice()
            && self.kind == StepKind::Apply
        {
            let arity = args.as_list().unwrap_or_default().len();
            return format!("{module}:{function}/{arity}");
        }
        let names: Vec<String> = self
            .modules
            .iter()
            .take(SHOWN)
            .map(ToString::to_string)
            .collect();
        match self.modules.len().saturating_sub(SHOWN) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// The steps of a script.
pub fn steps(script: &Script, rules: &Ruleset) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let is_switch = |i: &Low| matches!(i, Low::Load { .. } | Low::Remove { .. } | Low::Purge(_));
    let ranks = Ranks::of(rules, script);
    environment(&mut steps, rules, false);
    if let By::ReleaseHandler(libraries) = &script.by {
        let modules = script.modules().cloned().collect();
        push(
            &mut steps,
            StepKind::ReleaseHandler,
            modules,
            eval_script_term(script, libraries),
        );
        children(&mut steps, rules, false);
        return steps;
    }
    let mut rest = script.low.as_slice();
    while let Some((instruction, behind)) = rest.split_first() {
        let mut next = behind;
        match instruction {
            Low::LoadObjectCode { .. } | Low::PointOfNoReturn => {}
            Low::Suspend(modules) => {
                let names: Vec<Module> = modules.iter().map(|(m, _)| m.clone()).collect();
                let term = suspend_term(modules, &ranks);
                push(&mut steps, StepKind::Suspend, names, term);
            }
            // What follows each other is switched at one instant. Purging is for later, when everybody runs.
            Low::Load { .. } | Low::Remove { .. } | Low::Purge(_) => {
                let many = rest.iter().take_while(|i| is_switch(i)).count();
                let (loads, removes) = switched(&rest[..many]);
                switch(&mut steps, loads, removes);
                next = &rest[many..];
            }
            Low::CodeChange { down, modules } => {
                let names = modules.iter().map(|(module, _)| module.clone()).collect();
                push(
                    &mut steps,
                    StepKind::Convert,
                    names,
                    convert_term(*down, modules),
                );
            }
            // Those that follow each other end one window.
            Low::Resume(_) => {
                let resumed = |i: &Low| match i {
                    Low::Resume(modules) => Some(modules.clone()),
                    _ => None,
                };
                let lists: Vec<_> = rest.iter().map_while(resumed).collect();
                next = &rest[lists.len()..];
                let modules = lists.concat();
                let term = Term::tuple([Term::atom("resume"), atoms(&modules)]);
                push(&mut steps, StepKind::Resume, modules, term);
            }
            Low::Apply {
                module,
                function,
                args,
            } => {
                let mfa = Term::tuple([
                    Term::Atom(module.clone()),
                    Term::Atom(function.clone()),
                    Term::List(args.clone()),
                ]);
                let term = Term::tuple([Term::atom("apply"), mfa]);
                push(&mut steps, StepKind::Apply, Vec::new(), term);
            }
            Low::Hook { number, name } => {
                let which = Term::tuple([
                    Term::Int(i64::try_from(*number).unwrap_or(i64::MAX)),
                    Term::binary(name.as_str()),
                ]);
                let term = Term::tuple([Term::atom("hook"), millis(HOOK_TIMEOUT), which]);
                push(&mut steps, StepKind::Hook, Vec::new(), term);
                if let Some(step) = steps.last_mut() {
                    step.hook = Some((*number, name.clone()));
                }
            }
        }
        rest = next;
    }
    children(&mut steps, rules, false);
    steps
}

/// All of a script in the hands of OTP's release handler.
fn eval_script_term(script: &Script, libraries: &[Library]) -> Term {
    let instructions = script.low.iter().map(Low::to_term);
    let libraries = libraries.iter().map(|library| {
        Term::tuple([
            Term::atom(library.app.as_str()),
            Term::string(&library.vsn),
            Term::string(&library.folder),
        ])
    });
    Term::tuple([
        Term::atom("release_handler"),
        Term::list(instructions),
        Term::list(libraries),
    ])
}

/// Keys that are new in `.app` files: set before anything else, so that new code finds them; old code does not look.
/// `back` takes them away.
fn environment(steps: &mut Vec<Step>, rules: &Ruleset, back: bool) {
    let keys = rules.env.iter().map(|(app, key, value)| {
        let (app, key) = (Term::atom(app.as_str()), Term::Atom(key.clone()));
        if back {
            Term::tuple([app, key])
        } else {
            Term::tuple([app, key, value.clone()])
        }
    });
    let keys: Vec<Term> = keys.collect();
    if !keys.is_empty() {
        let term = Term::tuple([Term::atom("env"), Term::list(keys)]);
        push(steps, StepKind::Env, Vec::new(), term);
    }
}

/// Children of supervisors: after everybody has resumed, stopped first. `back` does the opposite in opposite order.
fn children(steps: &mut Vec<Step>, rules: &Ruleset, back: bool) {
    let mut supervisors = Vec::new();
    let mut all = Vec::new();
    for (module, decided) in &rules.modules {
        let children = &decided.children.value;
        if children.is_empty() {
            continue;
        }
        supervisors.push(module.clone());
        let (stop, start) = if back {
            ("start", "stop")
        } else {
            ("stop", "start")
        };
        for (word, ids) in [(stop, &children.stop), (start, &children.start)] {
            all.extend(ids.iter().map(|id| {
                Term::tuple([Term::atom(word), Term::atom(module.as_str()), id.clone()])
            }));
        }
    }
    if back {
        all.reverse();
    }
    if !all.is_empty() {
        let term = Term::tuple([Term::atom("children"), Term::list(all)]);
        push(steps, StepKind::Children, supervisors, term);
    }
}

pub(super) fn push(steps: &mut Vec<Step>, kind: StepKind, modules: Vec<Module>, term: Term) {
    let id = u32::try_from(steps.len() + 1).unwrap_or(u32::MAX);
    steps.push(Step {
        id,
        kind,
        modules,
        hook: None,
        term,
    });
}

/// All loads are one step, and so are all deletions.
pub(super) fn switch(steps: &mut Vec<Step>, loads: Vec<Module>, removes: Vec<Module>) {
    if !loads.is_empty() {
        let term = Term::tuple([Term::atom("load"), atoms(&loads)]);
        push(steps, StepKind::Load, loads, term);
    }
    if !removes.is_empty() {
        let term = Term::tuple([Term::atom("delete"), atoms(&removes)]);
        push(steps, StepKind::Delete, removes, term);
    }
}

/// Suspending in ranks, callers first.
pub(super) fn suspend_term(modules: &[(Module, Timeout)], ranks: &Ranks) -> Term {
    let patience: BTreeMap<&Module, Timeout> = modules.iter().map(|(m, t)| (m, *t)).collect();
    let rank = |modules: Vec<Module>| {
        Term::list(modules.into_iter().map(|module| {
            let timeout = patience.get(&module).copied().unwrap_or(Timeout::Default);
            Term::tuple([Term::atom(module.as_str()), timeout_term(timeout)])
        }))
    };
    let modules = modules.iter().map(|(module, _)| module.clone());
    Term::tuple([
        Term::atom("suspend"),
        Term::list(ranks.split(modules).into_iter().map(rank)),
    ])
}

pub(super) fn convert_term(down: bool, modules: &[(Module, Change)]) -> Term {
    let each = modules.iter().map(|(module, change)| {
        let change = match change {
            Change::Soft => Term::atom("soft"),
            Change::Advanced(extra) => Term::tuple([Term::atom("advanced"), extra.clone()]),
            Change::Convert { module, function } => {
                let target =
                    Term::tuple([Term::atom(module.as_str()), Term::Atom(function.clone())]);
                Term::tuple([Term::atom("convert"), target])
            }
        };
        Term::tuple([Term::atom(module.as_str()), change])
    });
    let direction = Term::atom(if down { "down" } else { "up" });
    Term::tuple([Term::atom("code_change"), direction, Term::list(each)])
}

fn timeout_term(timeout: Timeout) -> Term {
    match timeout {
        Timeout::Default => Term::atom("default"),
        Timeout::Infinity => Term::atom("infinity"),
        Timeout::After(time) => millis(time),
    }
}

fn millis(time: Duration) -> Term {
    Term::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn atoms(modules: &[Module]) -> Term {
    Term::list(modules.iter().map(|module| Term::atom(module.as_str())))
}

/// The steps of a script and of the ways back through its windows: all that the agent may tell about.
pub fn every(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Vec<Step> {
    let steps = steps(script, rules);
    let ways = ways::ways(changes, rules, script, steps.len() + 1);
    steps
        .into_iter()
        .chain(ways.into_iter().flatten().flatten())
        .collect()
}

/// The steps as the agent's list.
pub fn steps_term(steps: &[Step]) -> Term {
    Term::list(
        steps
            .iter()
            .map(|step| Term::tuple([Term::Int(i64::from(step.id)), step.term.clone()])),
    )
}

/// Whether the node writes the new beams to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persist {
    /// Never.
    No,
    /// When the client says that all is well; a node that is left alone does not know.
    Asked,
    /// Whenever the run has gone through: there is nothing else to ask.
    Always,
}

impl Persist {
    fn term(self) -> Term {
        Term::atom(match self {
            Self::No => "no",
            Self::Asked => "asked",
            Self::Always => "always",
        })
    }
}

/// Who runs, and how long it may take.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Four hexadecimal digits.
    pub run: &'a str,
    /// `user@host`, told to whoever finds the lock taken.
    pub owner: &'a str,
    /// Who gets the events; without one the node goes on alone from the beginning.
    pub watcher: Option<Pid>,
    /// From the first suspension to the last resumption.
    pub deadline: Option<Duration>,
    /// Whether the beams are written to the node's disk after success.
    pub persist: Persist,
    /// Modules that are only written ([`super::persist::also`]).
    pub also: Vec<Term>,
}

/// The whole job; `ways` are the ways back through its windows ([`ways::ways`]).
pub fn job(
    terms: &Terms<'_>,
    changes: &ChangeSet,
    rules: &Ruleset,
    steps: &[Step],
    ways: &[Option<Vec<Step>>],
) -> Term {
    let modules = rules.modules.iter().filter_map(|(module, decided)| {
        let changed = changes.modules.get(module)?;
        let new_on_load = changed
            .new
            .as_ref()
            .is_some_and(|beam| beam.facts.code.on_load);
        let old_on_load = changed
            .old
            .as_ref()
            .is_some_and(|beam| beam.facts.code.on_load);
        let file = changed
            .new
            .as_ref()
            .or(changed.old.as_ref())
            .map_or("", |beam| beam.file.as_str());
        Some(Term::map([
            key("name", Term::atom(module.as_str())),
            key("file", Term::string(file)),
            key("new", beam_term(changed.new.as_ref())),
            key("old", beam_term(changed.old.as_ref())),
            key("loaded", Term::boolean(changed.loaded.is_some())),
            key("on_load", Term::boolean(new_on_load || old_on_load)),
            key("purge", purge_term(decided.pre_purge.value)),
        ]))
    });
    let undo = if changes.undo_is_exact(rules.modules.keys()) {
        "exact"
    } else {
        "none"
    };
    Term::map([
        key("run", Term::binary(terms.run)),
        key("owner", Term::binary(terms.owner)),
        key("watcher", watcher_term(terms.watcher.clone())),
        key(
            "modules",
            Term::list(modules.chain(terms.also.iter().cloned())),
        ),
        key("handlers", handlers_term(changes, rules)),
        key("processes", processes_term(changes, rules)),
        key("steps", steps_term(steps)),
        key("back", ways::term(ways)),
        key("suspend_timeout", millis(SUSPEND_TIMEOUT)),
        key(
            "deadline",
            terms
                .deadline
                .map_or_else(|| Term::atom("infinity"), millis),
        ),
        key("undo", Term::atom(undo)),
        key("keep", millis(KEEP)),
        key("persist", terms.persist.term()),
    ])
}

/// What is recorded when a run begins, for whoever rejoins it: its steps, and per module the MD5 before and after.
pub fn begun_record(changes: &ChangeSet, rules: &Ruleset, steps: &[Step]) -> Term {
    let md5 = |md5: Option<[u8; 16]>| md5.map_or(Term::atom("undefined"), Term::binary);
    let modules = rules.modules.keys().filter_map(|module| {
        let changed = changes.modules.get(module)?;
        let old = changed.loaded.as_ref().map(|loaded| loaded.md5);
        let new = changed.new.as_ref().map(|beam| beam.facts.md5);
        Some(Term::tuple([
            Term::atom(module.as_str()),
            md5(old),
            md5(new),
        ]))
    });
    Term::map([
        key("steps", steps_term(steps)),
        key("modules", Term::list(modules)),
    ])
}

/// Modules that are handlers of events: their managers have to be asked.
fn handlers_term(changes: &ChangeSet, rules: &Ruleset) -> Term {
    let handlers = rules.modules.keys().filter(|module| {
        let new = changes
            .modules
            .get(*module)
            .and_then(|changed| changed.new.as_ref());
        new.is_some_and(|beam| {
            beam.facts
                .behaviours
                .iter()
                .any(|b| b.as_str() == "gen_event")
        })
    });
    Term::list(handlers.map(|module| Term::atom(module.as_str())))
}

/// Processes that the agent cannot find by their initial call: those of wrapping behaviours.
fn processes_term(changes: &ChangeSet, rules: &Ruleset) -> Term {
    let wrapped = rules.modules.keys().filter_map(|module| {
        let also = &changes.modules.get(module)?.crew.also;
        let pids = Term::list(also.iter().cloned().map(Term::Pid));
        (!also.is_empty()).then(|| Term::tuple([Term::atom(module.as_str()), pids]))
    });
    Term::list(wrapped)
}

fn watcher_term(watcher: Option<Pid>) -> Term {
    watcher.map_or_else(|| Term::atom("undefined"), Term::Pid)
}

fn key(name: &str, value: Term) -> (Term, Term) {
    (Term::atom(name), value)
}

fn beam_term(beam: Option<&Beam>) -> Term {
    beam.map_or_else(
        || Term::atom("undefined"),
        |beam| Term::Binary(beam.bytes.clone()),
    )
}

fn purge_term(purge: Purge) -> Term {
    match purge {
        Purge::Soft => Term::atom("soft"),
        Purge::Brutal => Term::atom("brutal"),
        Purge::Wait(time) => Term::tuple([Term::atom("wait"), millis(time)]),
    }
}

/// The way back after everybody has run on: a script of its own, because states have moved.
#[derive(Clone, Debug)]
pub struct Back {
    /// What the agent's `updo_run` message carries.
    pub term: Term,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl Back {
    /// The same, and the files of the way there are put back as well.
    #[must_use]
    pub fn persisting(mut self, persist: bool) -> Self {
        if let Term::Map(pairs) = &mut self.term {
            let word = if persist { Persist::Asked } else { Persist::No };
            pairs.extend([key("persist", word.term())]);
        }
        self
    }

    /// What is kept of a way back, for a rollback later: by then the deferred purge is over, so nobody is
    /// killed for it, and every module must still be what this run left.
    pub fn record(&self, changes: &ChangeSet, rules: &Ruleset) -> Term {
        let expected = rules.modules.keys().filter_map(|module| {
            let md5 = match &changes.modules.get(module)?.new {
                Some(beam) => Term::binary(beam.facts.md5),
                None => Term::atom("undefined"),
            };
            Some(Term::tuple([Term::atom(module.as_str()), md5]))
        });
        let way = rules.modules.keys().filter_map(|module| {
            let changed = changes.modules.get(module)?;
            let md5 = |md5: Option<[u8; 16]>| md5.map_or(Term::atom("undefined"), Term::binary);
            let now = changed.new.as_ref().map(|beam| beam.facts.md5);
            let then = changed.loaded.as_ref().map(|loaded| loaded.md5);
            Some(Term::tuple([
                Term::atom(module.as_str()),
                md5(now),
                md5(then),
            ]))
        });
        let begun = Term::map([
            key("steps", steps_term(&self.steps)),
            key("modules", Term::list(way)),
        ]);
        let mut job = self.term.clone();
        if let Term::Map(pairs) = &mut job
            && let Some(Term::List(modules)) = pairs.get_mut(&Term::atom("modules"))
        {
            for module in modules {
                if let Term::Map(module) = module {
                    module.insert(Term::atom("purge"), Term::atom("soft"));
                }
            }
        }
        Term::map([
            key("job", job),
            key("expected", Term::list(expected)),
            key("begun", begun),
        ])
    }
}

/// A recorded job with what is new at every run: its name, who runs it, who listens.
pub fn begun(job: &Term, run: &str, owner: &str, watcher: Option<Pid>) -> Term {
    let mut job = job.clone();
    if let Term::Map(pairs) = &mut job {
        pairs.extend([
            key("run", Term::binary(run)),
            key("owner", Term::binary(owner)),
            key("watcher", watcher_term(watcher)),
            key("keep", millis(KEEP)),
            key("suspend_timeout", millis(SUSPEND_TIMEOUT)),
            key("deadline", Term::atom("infinity")),
        ]);
    }
    job
}

/// Steps from the agent's list.
pub fn read_steps(list: &Term) -> Option<Vec<Step>> {
    let atom = |term: &Term| Some(Module::new(term.as_atom()?.as_str()));
    let first = |term: &Term| atom(term.as_tuple()?.first()?);
    let read = |step: &Term| {
        let [id, term] = step.as_tuple()? else {
            return None;
        };
        let parts = term.as_tuple()?;
        let (kind, modules): (StepKind, Vec<Module>) = match parts.first()?.as_atom()?.as_str() {
            "suspend" => {
                let ranks = parts.get(1)?.as_list()?.iter().filter_map(Term::as_list);
                (
                    StepKind::Suspend,
                    ranks.flatten().filter_map(first).collect(),
                )
            }
            "load" => (
                StepKind::Load,
                parts.get(1)?.as_list()?.iter().filter_map(atom).collect(),
            ),
            "delete" => (
                StepKind::Delete,
                parts.get(1)?.as_list()?.iter().filter_map(atom).collect(),
            ),
            "code_change" => (
                StepKind::Convert,
                parts.get(2)?.as_list()?.iter().filter_map(first).collect(),
            ),
            "resume" => (
                StepKind::Resume,
                parts.get(1)?.as_list()?.iter().filter_map(atom).collect(),
            ),
            "apply" => (StepKind::Apply, Vec::new()),
            "release_handler" => (StepKind::ReleaseHandler, Vec::new()),
            "hook" => (StepKind::Hook, Vec::new()),
            "env" => (StepKind::Env, Vec::new()),
            "children" => {
                let second = |term: &Term| atom(term.as_tuple()?.get(1)?);
                let mut names: Vec<Module> =
                    parts.get(1)?.as_list()?.iter().filter_map(second).collect();
                names.dedup();
                (StepKind::Children, names)
            }
            _ => return None,
        };
        let id = u32::try_from(id.as_i64()?).ok()?;
        let hook = match (kind, parts.get(2).and_then(Term::as_tuple)) {
            (StepKind::Hook, Some([number, name])) => {
                Some((usize::try_from(number.as_i64()?).ok()?, name.to_text()?))
            }
            _ => None,
        };
        Some(Step {
            id,
            kind,
            modules,
            hook,
            term: term.clone(),
        })
    };
    list.as_list()?.iter().map(read).collect()
}

/// The way back through all windows, for when everybody has run on; and what to do should that fail on the way:
/// forward again.
pub fn back(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Back {
    let mut steps = ways::whole(changes, rules, script);
    children(&mut steps, rules, true);
    environment(&mut steps, rules, true);
    let forward = forward(&self::steps(script, rules), steps.len() + 1);
    let modules = changes
        .modules
        .iter()
        .filter(|(module, _)| rules.modules.contains_key(*module));
    let modules = modules.map(|(module, changed)| {
        let beam = changed.old.as_ref().or(changed.new.as_ref());
        let on_load = [&changed.old, &changed.new]
            .into_iter()
            .flatten()
            .any(|beam| beam.facts.code.on_load);
        Term::map([
            key("name", Term::atom(module.as_str())),
            key(
                "file",
                Term::string(beam.map_or("", |beam| beam.file.as_str())),
            ),
            key("new", beam_term(changed.old.as_ref())),
            key("old", beam_term(changed.new.as_ref())),
            key("loaded", Term::boolean(changed.new.is_some())),
            key("on_load", Term::boolean(on_load)),
            key("purge", Term::atom("brutal")),
        ])
    });
    let term = Term::map([
        key("modules", Term::list(modules)),
        key("steps", steps_term(&steps)),
        key("back", ways::term(&forward)),
        // A recorded way back is all that a later rollback has.
        key("handlers", handlers_term(changes, rules)),
        key("processes", processes_term(changes, rules)),
        key("goal", Term::atom("old")),
        key("undo", Term::atom("exact")),
    ]);
    let steps = steps
        .into_iter()
        .chain(forward.into_iter().flatten().flatten())
        .collect();
    Back { term, steps }
}

/// The steps of a script window by window, the last window first, without calls, hooks and children: those are
/// not repeated.
fn forward(steps: &[Step], first: usize) -> Vec<Option<Vec<Step>>> {
    let ends = |step: &Step| step.kind == StepKind::Resume;
    let mut windows: Vec<Vec<Step>> = Vec::new();
    for window in steps.split_inclusive(ends) {
        use StepKind::{Apply, Children, Hook};
        let once = |step: &Step| matches!(step.kind, Apply | Children | Hook);
        let steps = window.iter().filter(|step| !once(step));
        let steps = steps.cloned();
        match windows.last_mut() {
            // On the way back what stands behind the last window belongs to it: nobody is resumed in between.
            Some(last) if !window.last().is_some_and(ends) => last.extend(steps),
            _ => windows.push(steps.collect()),
        }
    }
    windows.reverse();
    for (at, step) in windows.iter_mut().flatten().enumerate() {
        step.id = u32::try_from(first + at).unwrap_or(u32::MAX);
    }
    windows.into_iter().map(Some).collect()
}
