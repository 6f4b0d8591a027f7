//! The job: what the agent is given, as one Erlang term.
//!
//! `src/node/agent/PROTOCOL.md` says what each key means, [`steps`](mod@super::steps) has the steps. Everything that can be
//! prepared here is: the agent looks for processes and runs the steps, it decides nothing about order.

use std::collections::BTreeSet;
use std::time::Duration;

use super::barriers::Barriers;
use super::converters::twins_term;
use super::rollback_steps;
use super::step::{Step, number};
use super::step_term::{millis, steps_term};
use super::steps::{self, applications_back, configured, environment, forward};
use super::{children, listed_children, live, restarts};
use crate::facts::change::{Beam, ChangeSet};
use crate::facts::compare::restart::{Restart, Rewrite};
use crate::facts::node::old_code;
use crate::facts::node::processes::LOOPS;
use crate::facts::node::stages;
use crate::name::{FunctionArity, Md5, Module};
use crate::plan::WindowPolicy;
use crate::rules::effects::{self, Acts};
use crate::rules::{Change, Class, Purge, Ruleset};
use crate::script::lower::Script;
use crate::term::{Pid, Term};

/// Default patience of a suspension, as OTP's.
pub const SUSPEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long processes have to leave old code before a way back; they run on meanwhile.
const LEAVE: Duration = Duration::from_secs(5);

/// How long the node keeps an unseen result, for `updo attach`.
pub const KEEP: Duration = Duration::from_secs(15 * 60);

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

/// The participants of a run, and its time limits.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Four hexadecimal digits.
    pub run: &'a str,
    /// `user@host`, reported to a client that finds the lock taken.
    pub owner: &'a str,
    /// The receiver of events; without one the node goes on alone from the beginning.
    pub watcher: Option<Pid>,
    /// From the first suspension to the last resumption.
    pub deadline: Option<Duration>,
    /// How long processes stay suspended because another one is busy; without one, as long as that takes.
    pub budget: Option<Duration>,
    /// How long processes stay suspended before the switch, whatever the reason is.
    pub pause: Option<Duration>,
    /// Whether the beams are written to the node's disk after success.
    pub persist: Persist,
    /// Modules that are only written ([`super::persist::also`]).
    pub also: Vec<Term>,
    /// The files that a restart reads: those with lists of modules are written with the beams.
    pub restart: &'a Restart,
    /// The group with which the node switches.
    pub together: Option<Term>,
}

/// The whole job; `per_step` are the ways back through its windows ([`rollback_steps::per_step`]), `in_window` the modules
/// whose conversions leave nothing that an undo would have to revert ([`crate::script::waiting::act_in_their_window`]).
pub fn job(
    terms: &Terms<'_>,
    changes: &ChangeSet,
    rules: &Ruleset,
    steps: &[Step],
    ways: &[Option<Vec<Step>>],
    in_window: &BTreeSet<Module>,
) -> Term {
    let modules = rules.modules.iter().filter_map(|(module, decided)| {
        let changed = changes.modules.get(module)?;
        let new_on_load = changed
            .new
            .as_ref()
            .is_some_and(|beam| beam.facts.code.on_load.is_some());
        let old_on_load = changed
            .old
            .as_ref()
            .is_some_and(|beam| beam.facts.code.on_load.is_some());
        let running = changed.loaded.as_ref().map(|loaded| loaded.file.as_str());
        let new = changed.new.as_ref().map(|beam| beam.file.as_str());
        let file = new.or(running).unwrap_or_default();
        let was = changed.loaded.as_ref();
        let was = was.map_or(Term::atom("none"), |loaded| {
            Term::binary(loaded.md5.as_bytes())
        });
        let pairs = [
            key("name", Term::atom(module.as_str())),
            key("file", Term::string(file)),
            key("new", beam_term(changed.new.as_ref())),
            key("old", beam_term(changed.old.as_ref())),
            key("was", was),
            key("loaded", Term::boolean(changed.loaded.is_some())),
            key("on_load", Term::boolean(new_on_load || old_on_load)),
            key("purge", purge_term(decided.pre_purge.value)),
            key("purge_after", purge_term(decided.post_purge.value)),
        ];
        let acts = match in_window.contains(module) {
            true => None,
            false => acts(changes, rules, module),
        };
        Some(Term::map(pairs.into_iter().chain(acts)))
    });
    let undo = if changes.undo_is_exact(rules.modules.keys()) {
        "exact"
    } else {
        "none"
    };
    Term::map(
        [
            key("run", Term::binary(terms.run)),
            key("owner", Term::binary(terms.owner)),
            key("watcher", watcher_term(terms.watcher.clone())),
            key(
                "modules",
                Term::list(modules.chain(terms.also.iter().cloned())),
            ),
            key("handlers", handlers_term(changes, rules)),
            key("processes", processes_term(changes, rules)),
            key("supervisors", supervisors_term(rules)),
            key("special", special_term(changes)),
            key("loops", Term::binary(LOOPS.trim_end())),
            key("steps", steps_term(steps)),
            key("twins", twins_term(&rules.precomputed.converters)),
            key("live", live::term(terms.run, changes, rules)),
            key("rehearsed", modules_term(&rules.precomputed.rehearsed)),
            key("early", modules_term(&rules.precomputed.early)),
            key("back", rollback_steps::term(ways)),
            key("suspend_timeout", millis(SUSPEND_TIMEOUT)),
            key(
                "deadline",
                terms
                    .deadline
                    .map_or_else(|| Term::atom("infinity"), millis),
            ),
            key("budget", budget_term(terms.budget)),
            key("pause", budget_term(terms.pause)),
            key("undo", Term::atom(undo)),
            key("keep", millis(KEEP)),
            key("persist", terms.persist.term()),
            key("lists", lists_term(&terms.restart.rewrites, terms.run)),
            key("stages", terms.restart.stages.term()),
            key("find_stages", Term::binary(stages::TEXT)),
            key("old_code", Term::binary(old_code::TEXT)),
        ]
        .into_iter()
        .chain(terms.together.clone().map(|group| key("together", group))),
    )
}

/// What is recorded when a run begins, for whoever rejoins it: its steps, and per module the MD5 before and after.
pub fn begun_record(changes: &ChangeSet, rules: &Ruleset, steps: &[Step]) -> Term {
    let modules = md5s(changes, rules);
    let modules = modules.map(|(module, was, will)| Term::tuple([module, was, will]));
    Term::map([
        key("steps", steps_term(steps)),
        key("modules", Term::list(modules)),
    ])
}

/// What is recorded besides, for whoever rejoins the run: how many of its steps are taken when all goes well, and the
/// deadline. Records of older versions are without.
pub fn with_outlook(begun: Term, taken: usize, deadline: Option<Duration>) -> Term {
    let mut begun = begun;
    if let Term::Map(pairs) = &mut begun {
        let taken = Term::Int(i64::try_from(taken).unwrap_or(i64::MAX));
        pairs.extend([key("taken", taken)]);
        pairs.extend(deadline.map(|deadline| key("deadline", millis(deadline))));
    }
    begun
}

/// The modules that take part, with the MD5 of the running version and of the new one.
fn md5s<'a>(
    changes: &'a ChangeSet,
    rules: &'a Ruleset,
) -> impl Iterator<Item = (Term, Term, Term)> + 'a {
    let md5 = |md5: Option<Md5>| md5.map_or(Term::atom("undefined"), Term::binary);
    rules.modules.keys().filter_map(move |module| {
        let changed = changes.modules.get(module)?;
        let was = changed.loaded.as_ref().map(|loaded| loaded.md5);
        let will = changed.new.as_ref().map(|beam| beam.facts.md5);
        Some((Term::atom(module.as_str()), md5(was), md5(will)))
    })
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

/// Whether a module's conversion acts outside of its state, and may be asked to take that back.
fn acts(changes: &ChangeSet, rules: &Ruleset, module: &Module) -> Option<(Term, Term)> {
    let word = match effects::acts(changes, rules, module)? {
        Acts::Both => "both",
        Acts::OneWay => "one_way",
    };
    Some(key("acts", Term::atom(word)))
}

/// Modules whose conversions have acted outside of states, which no way back undoes. The agent does not read it.
fn acted_term(changes: &ChangeSet, rules: &Ruleset) -> Term {
    let acted = rules.modules.keys().filter(|module| {
        let converted = changes
            .modules
            .get(*module)
            .is_some_and(|changed| changed.module_processes.count() > 0);
        converted && effects::acts(changes, rules, module) == Some(Acts::OneWay)
    });
    Term::list(acted.map(|module| Term::atom(module.as_str())))
}

/// Supervisors whose specifications are renewed, and put back on the way back.
fn supervisors_term(rules: &Ruleset) -> Term {
    let renewed = rules.modules.iter().filter(|(_, decided)| {
        decided.class.value == Class::Supervisor
            && matches!(decided.change.value, Change::Advanced(_))
    });
    Term::list(renewed.map(|(module, _)| Term::atom(module.as_str())))
}

/// Processes that the agent cannot find by their initial call: those of wrapping behaviours.
fn processes_term(changes: &ChangeSet, rules: &Ruleset) -> Term {
    let wrapped = rules.modules.keys().filter_map(|module| {
        let also = &changes.modules.get(module)?.module_processes.also;
        let pids = Term::list(also.iter().cloned().map(Term::Pid));
        (!also.is_empty()).then(|| Term::tuple([Term::atom(module.as_str()), pids]))
    });
    Term::list(wrapped)
}

/// The loops of special processes: those that started in another module are found by what they execute.
fn special_term(changes: &ChangeSet) -> Term {
    let functions = |found: Vec<FunctionArity>| {
        let pair =
            |f: FunctionArity| Term::tuple([Term::atom(&*f.name), Term::Int(i64::from(f.arity))]);
        Term::list(found.into_iter().map(pair))
    };
    let loops = changes.loops().into_iter();
    Term::list(loops.map(|(m, found)| Term::tuple([Term::atom(m.as_str()), functions(found)])))
}

/// Files with lists of modules: what each holds, will hold, and holds while files are put in their places.
pub(super) fn lists_term(rewrites: &[Rewrite], run: &str) -> Term {
    let one = |file: &Rewrite| {
        let meanwhile = file.meanwhile(run).map(Term::binary);
        Term::map([
            key("file", Term::string(&file.file)),
            key("was", Term::binary(file.digests().0.as_bytes())),
            key("will", Term::binary(&file.will)),
            key("meanwhile", meanwhile.unwrap_or(Term::atom("none"))),
        ])
    };
    Term::list(rewrites.iter().map(one))
}

/// What a way back records of them: the bytes that were there before, and the digest of what was made of them.
fn listed_before(rewrites: &[Rewrite]) -> Term {
    let changed = rewrites.iter().filter(|file| file.changes());
    let one = |file: &Rewrite| {
        let made = Term::binary(file.digests().1.as_bytes());
        Term::tuple([Term::string(&file.file), made, Term::binary(&file.was)])
    };
    Term::list(changed.map(one))
}

fn modules_term(modules: &BTreeSet<Module>) -> Term {
    Term::list(modules.iter().map(|module| Term::atom(module.as_str())))
}

fn watcher_term(watcher: Option<Pid>) -> Term {
    watcher.map_or_else(|| Term::atom("undefined"), Term::Pid)
}

fn key(name: &str, value: Term) -> (Term, Term) {
    (Term::atom(name), value)
}

pub(super) fn beam_term(beam: Option<&Beam>) -> Term {
    beam.map_or_else(
        || Term::atom("undefined"),
        |beam| Term::Binary(beam.bytes.clone()),
    )
}

pub(super) fn purge_term(purge: Purge) -> Term {
    match purge {
        Purge::Defer => Term::atom("defer"),
        Purge::Soft => Term::atom("soft"),
        Purge::Brutal => Term::atom("brutal"),
        Purge::Wait(time) => Term::tuple([Term::atom("wait"), millis(time)]),
    }
}

/// The way back after all processes have run on: a script of its own, because states have moved.
#[derive(Clone, Debug)]
pub struct Back {
    /// What the agent's `updo_run` message carries.
    pub term: Term,
    /// Its steps, and those that lead forward again should it fail in a later window.
    pub steps: Vec<Step>,
    /// How many of them are taken when all goes well.
    pub taken: usize,
}

impl Back {
    /// The same, and the files of the way there are put back as well.
    #[must_use]
    pub fn persisting(mut self, persist: bool) -> Self {
        if let Term::Map(pairs) = &mut self.term {
            let word = if persist { Persist::Asked } else { Persist::No };
            // The way there has put in order what was left.
            pairs.extend([key("persist", word.term()), key("stages", Term::list([]))]);
        }
        self
    }

    /// The same, at one instant with other nodes: what is suspended waits for them.
    #[must_use]
    pub fn together(mut self, barriers: &Barriers) -> Self {
        let behind = self.steps.split_off(self.taken);
        let own = self.steps.iter().chain(&behind);
        let next = own.map(|step| step.id).max().unwrap_or(0).saturating_add(1);
        self.steps = barriers.back(self.steps, next, true);
        self.taken = self.steps.len();
        if let Term::Map(pairs) = &mut self.term {
            pairs.extend([key("steps", steps_term(&self.steps))]);
        }
        self.steps.extend(behind);
        self
    }

    /// The plan's `budget` holds on the way back as well.
    #[must_use]
    pub fn within(mut self, budget: Option<Duration>) -> Self {
        if let Term::Map(pairs) = &mut self.term {
            pairs.extend([key("budget", budget_term(budget))]);
        }
        self
    }

    /// What is kept of a way back, for a rollback later: by then the deferred purge is over, so no process is killed
    /// for it, and every module must still be what this run left.
    pub fn record(&self, changes: &ChangeSet, rules: &Ruleset, rewrites: &[Rewrite]) -> Term {
        let expected = md5s(changes, rules).map(|(module, _, left)| Term::tuple([module, left]));
        let way = md5s(changes, rules).map(|(module, was, left)| Term::tuple([module, left, was]));
        let begun = Term::map([
            key("steps", steps_term(&self.steps)),
            key("modules", Term::list(way)),
        ]);
        let begun = with_outlook(begun, self.taken, None);
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
            key("lists", listed_before(rewrites)),
        ])
    }
}

pub(super) fn budget_term(budget: Option<Duration>) -> Term {
    budget.map_or_else(|| Term::atom("infinity"), millis)
}

/// A recorded job with what is new at every run: its name, its owner, its watcher.
pub fn begun(job: &Term, run: &str, owner: &str, watcher: Option<Pid>) -> Term {
    let mut job = job.clone();
    if let Term::Map(pairs) = &mut job {
        pairs.extend([
            key("run", Term::binary(run)),
            key("owner", Term::binary(owner)),
            key("watcher", watcher_term(watcher)),
            key("keep", millis(KEEP)),
            key("old_code", Term::binary(old_code::TEXT)),
            key("find_stages", Term::binary(stages::TEXT)),
            key("loops", Term::binary(LOOPS.trim_end())),
            key("suspend_timeout", millis(SUSPEND_TIMEOUT)),
            key("deadline", Term::atom("infinity")),
        ]);
    }
    job
}

/// The way back through all windows, for when all processes have run on; and what to do should that fail on the way:
/// forward again.
pub fn rollback_job(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Back {
    let mut steps = Vec::new();
    restarts::terminate(&mut steps, &rules.restarts);
    listed_children::stop_started(&mut steps, rules, script, false);
    steps.extend(rollback_steps::complete(changes, rules, script));
    number(&mut steps, 1);
    children::outside(&mut steps, rules, script, true);
    listed_children::start_stopped(&mut steps, rules, script, false);
    restarts::start(&mut steps, &rules.restarts);
    applications_back(&mut steps, script);
    environment(&mut steps, rules, true);
    configured(&mut steps, rules, true);
    // Forward again from there it is a window of the usual kind.
    let suspending = Script {
        kind: WindowPolicy::Single,
        ..script.clone()
    };
    let forward = forward(&steps::steps(&suspending, rules), steps.len() + 1);
    let modules = changes
        .modules
        .iter()
        .filter(|(module, _)| rules.modules.contains_key(*module));
    let modules = modules.map(|(module, changed)| {
        let beam = changed.old.as_ref().or(changed.new.as_ref());
        let on_load = [&changed.old, &changed.new]
            .into_iter()
            .flatten()
            .any(|beam| beam.facts.code.on_load.is_some());
        let pairs = [
            key("name", Term::atom(module.as_str())),
            key(
                "file",
                Term::string(beam.map_or("", |beam| beam.file.as_str())),
            ),
            key("new", beam_term(changed.old.as_ref())),
            key("old", beam_term(changed.new.as_ref())),
            key("loaded", Term::boolean(changed.new.is_some())),
            key("on_load", Term::boolean(on_load)),
            key("purge", purge_term(rules.modules[module].pre_purge.value)),
        ];
        Term::map(pairs.into_iter().chain(acts(changes, rules, module)))
    });
    let term = Term::map([
        key("modules", Term::list(modules)),
        key("steps", steps_term(&steps)),
        key("back", rollback_steps::term(&forward)),
        // A recorded way back is all that a later rollback has.
        key("handlers", handlers_term(changes, rules)),
        key("processes", processes_term(changes, rules)),
        key("special", special_term(changes)),
        key("leave", millis(LEAVE)),
        key("supervisors", supervisors_term(rules)),
        key("goal", Term::atom("old")),
        key("undo", Term::atom("exact")),
        key("acted", acted_term(changes, rules)),
    ]);
    let taken = steps.len();
    let steps = steps
        .into_iter()
        .chain(forward.into_iter().flatten().flatten())
        .collect();
    Back { term, steps, taken }
}
