//! What a rehearsal has proven, for the windows that stand on it: `live`, and `auto`, which is live where that is proven.
//!
//! Takes a prepared upgrade and what its rehearsal came to; asks no node. `live` is refused where nothing is known of a
//! conversion (E425). `auto` needs more, since who leaves it to updo must not lose by that: states that convert, and
//! become again what they were on the way back.

use super::Upgrade;
use super::rehearsal::Rehearsal;
use crate::diag::Diagnostic;
use crate::exec::pause::Pause;
use crate::exec::rehearsal::Tried;
use crate::name::Module;
use crate::plan::WindowPolicy;
use crate::rules::{Precomputed, Ruleset, StateForm};
use crate::script::live::{self, Unfit};
use crate::script::lower::Script;

/// What came of `window auto` in a rehearsal: that processes are suspended after all.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq)]
pub struct AfterAll {
    /// In words, with the reasons.
    pub line: String,
    /// For how long, where that was measured.
    pub pause: Option<Pause>,
}

impl Upgrade {
    /// E425: what a live window cannot be opened for, because a rehearsal has tried none of its states.
    #[doc(hidden)]
    pub fn unrehearsed(&self, done: &Rehearsal) -> Option<Diagnostic> {
        let unfit = self.untried(done);
        (!unfit.is_empty()).then(|| live::refusal(&unfit))
    }

    /// E425 for an upgrade that has had no rehearsal at all.
    pub(super) fn never_rehearsed(&self) -> Option<Diagnostic> {
        let unfit = self.never_tried();
        (!unfit.is_empty()).then(|| live::refusal(&unfit))
    }

    /// Keeps what a rehearsal right before the run has tried: for how long the processes of a window are suspended does
    /// not have to hold a second trial.
    ///
    /// Something when `window auto`, which would have gone live, suspends after all.
    #[doc(hidden)]
    #[must_use]
    pub fn rehearsed(&mut self, done: &Rehearsal) -> Option<AfterAll> {
        let mut after_all = None;
        let unproven = self.unproven(done);
        if self.is_left_to_us() && !unproven.is_empty() {
            let line = words(live::lines(&unproven));
            self.suspend_after_all(unproven);
            let (changes, rules, script) = (&self.changes, &self.rules, &self.script);
            after_all = Some(AfterAll {
                line,
                pause: Pause::predicted(changes, rules, script, &done.figures),
            });
        }
        self.tried_live = self.unrehearsed(done).is_none();
        keep(&mut self.rules.precomputed, done);
        if let Some(suspending) = &mut self.suspending {
            keep(suspending, done);
        }
        after_all
    }

    /// Whether it goes live because the plan leaves that to updo, which may suspend as well.
    pub(super) fn is_left_to_us(&self) -> bool {
        self.script.is_live() && self.suspending.is_some()
    }

    /// Suspends, where the plan leaves that to updo: why it is not live.
    pub(super) fn suspend_after_all(&mut self, why: Vec<Unfit>) {
        if let Some((rules, script)) = self.suspending(why) {
            (self.rules, self.script) = (rules, script);
            self.suspending = None;
        }
    }

    /// What is done instead where the plan leaves it to updo and the live window cannot be opened.
    pub(super) fn suspending(&self, why: Vec<Unfit>) -> Option<(Ruleset, Script)> {
        let precomputed = self.suspending.as_ref().filter(|_| self.is_left_to_us())?;
        let mut rules = self.rules.clone();
        rules.live.clear();
        rules.precomputed = Precomputed::clone(precomputed);
        let script = Script {
            kind: WindowPolicy::Single,
            chosen: Some(why),
            ..self.script.clone()
        };
        Some((rules, script))
    }

    /// The same upgrade with suspended processes, where it is left to us and there are these reasons.
    pub(super) fn suspended_instead(&self, why: Vec<Unfit>) -> Option<Self> {
        let (rules, script) = self.suspending(why.clone()).filter(|_| !why.is_empty())?;
        Some(Self {
            facts: self.facts.clone(),
            changes: self.changes.clone(),
            inferred: self.inferred.clone(),
            rules,
            script,
            diagnostics: self.diagnostics.clone(),
            no_undo: self.no_undo.clone(),
            unwritten: self.unwritten.clone(),
            tried_live: true,
            suspending: None,
        })
    }

    /// Modules of which nothing is known, because no rehearsal was.
    pub(super) fn never_tried(&self) -> Vec<Unfit> {
        match self.tried_live {
            true => Vec::new(),
            false => self.untried_but(|_| false),
        }
    }

    fn untried(&self, done: &Rehearsal) -> Vec<Unfit> {
        self.untried_but(|module| {
            let tried = done.tried.iter().find(|tried| tried.module == *module);
            tried.is_some_and(|tried| tried.processes == 0 || tried.converted > 0)
        })
    }

    fn untried_but(&self, tried: impl Fn(&Module) -> bool) -> Vec<Unfit> {
        let has_processes = |module: &Module| {
            let changed = self.changes.modules.get(module);
            changed.is_some_and(|changed| changed.processes > 0)
        };
        let modules = self.rules.live.keys();
        let unfit = modules.filter(|module| has_processes(module) && !tried(module));
        unfit
            .map(|module| of(module, "no conversion of it could be tried beforehand"))
            .collect()
    }

    /// What keeps the plan's `auto` from going live: as E425, and states that the way back would not give back. A
    /// window with suspended processes puts back what each process had; a live one does so only where no event came since.
    fn unproven(&self, done: &Rehearsal) -> Vec<Unfit> {
        let mut unproven = self.untried(done);
        let live = done.tried.iter();
        let live = live.filter(|tried| !tried.kept && self.rules.live.contains_key(&tried.module));
        let no_way_back = live.filter(|tried| tried.back.same < tried.converted);
        unproven.extend(no_way_back.map(|tried| {
            let why = match &tried.back.untried {
                Some(why) => format!("its way back was not tried: {why}"),
                None if tried.back.tried() == 0 => "its way back was not tried".to_owned(),
                None => format!(
                    "going back does not give back {} of {} states",
                    tried.converted - tried.back.same,
                    tried.converted
                ),
            };
            of(&tried.module, &why)
        }));
        unproven
    }
}

fn of(module: &Module, why: &str) -> Unfit {
    Unfit {
        module: Some(module.clone()),
        why: why.to_owned(),
    }
}

/// The line about it.
fn words(why: impl Iterator<Item = String>) -> String {
    let why: Vec<String> = why.collect();
    format!("{}: {}", live::AFTER_ALL, why.join("; "))
}

/// What was tried a moment ago does not have to be tried again while processes are suspended.
fn keep(computed: &mut Precomputed, done: &Rehearsal) {
    let handlers = &computed.modules;
    // Of a manager of event handlers one was tried.
    let all = |tried: &&Tried| {
        !tried.kept
            && tried.converted + tried.dead == tried.processes
            && tried.untried == 0
            && handlers.get(&tried.module) != Some(&StateForm::Handler)
    };
    let tried: Vec<&Tried> = done.tried.iter().filter(all).collect();
    let names = |tried: &[&Tried]| tried.iter().map(|one| one.module.clone()).collect();
    let is_early = |one: &&Tried| {
        let slowest = one.percentile(100);
        slowest.is_some_and(|slowest| computed.is_early(&one.module, slowest))
    };
    let early = tried.iter().copied().filter(is_early);
    let early = names(&early.collect::<Vec<_>>());
    (computed.rehearsed, computed.early) = (names(&tried), early);
}
