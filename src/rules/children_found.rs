//! The children of a supervisor as a rehearsal has found them: what the new `init/1` really specifies, beside what the
//! supervisor has, and what the upgrade does about each difference.
//!
//! [`super::children`] knows what constants in the code show. Here is known what comes out; what the steps would not do
//! is a finding, with the statement that makes them.

use super::ModuleRules;
use crate::diag::{Code, Diagnostic};
use crate::name::Module;
use crate::node::agent::protocol::{ChildDifference, ChildDiffers};
use crate::term::{Atom, Term};

/// One child, and how many supervisors of the module have it like that.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundChild {
    /// Its identifier.
    pub id: Term,
    /// How many supervisors.
    pub supervisors: u64,
    /// Which keys of its specification differ, or the modules of the servers before and after.
    pub keys: Vec<Atom>,
    /// Whether the upgrade does what a restart of the supervisor would lead to.
    pub done: bool,
}

/// The children of the supervisors of one module that differ from what its new `init/1` specifies.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildrenFound {
    /// The module.
    pub module: Module,
    /// How many supervisors there were.
    pub supervisors: u64,
    /// Only the new `init/1` has them: they are started, or not.
    pub new: Vec<FoundChild>,
    /// It has them no longer: they are terminated and deleted, or keep running.
    pub gone: Vec<FoundChild>,
    /// It does not have them either; whether the running `init/1` had them could not be asked.
    pub unlisted: Vec<FoundChild>,
    /// The same identifier for another server: it is restarted, or not.
    pub moved: Vec<FoundChild>,
    /// Specified in another way; that holds from their next start.
    pub changed: Vec<FoundChild>,
    /// How many neither `init/1` specifies (`start_child/2` has added them): they go on.
    pub added: u64,
    /// The statement by which the upgrade comes to what a restart would.
    pub paste: Option<String>,
}

/// What becomes of differing children. `known_only`: OTP's release handler does it, of which no step sees what it has
/// changed in a supervisor.
pub fn children_found(
    module: &Module,
    decided: &ModuleRules,
    found: &[ChildDifference],
    supervisors: u64,
    added: u64,
    known_only: bool,
) -> ChildrenFound {
    let plan = &decided.children.value;
    let wanted = decided.inferred_children().unwrap_or_default();
    let inferred_stop = wanted.stop.unwrap_or_default();
    let inferred_restart = wanted.restart.unwrap_or_default();
    let (started, stopped) = (plan.started(), plan.stopped());
    let done = |one: &ChildDifference| {
        let id = &one.child;
        match one.what {
            ChildDiffers::New => {
                let inferred = wanted.starts && (!known_only || wanted.start.contains(id));
                started.contains(id) || inferred
            }
            ChildDiffers::Gone | ChildDiffers::Unlisted => {
                stopped.contains(id) || inferred_stop.contains(id)
            }
            ChildDiffers::Moved => {
                let inferred = inferred_restart.iter().any(|(other, ..)| other == id);
                inferred || (started.contains(id) && stopped.contains(id))
            }
            ChildDiffers::Changed => true,
        }
    };
    let of = |what: ChildDiffers| {
        let these = found.iter().filter(|one| one.what == what);
        let child = |one: &ChildDifference| FoundChild {
            id: one.child.clone(),
            supervisors: one.supervisors,
            keys: one.keys.clone().unwrap_or_default(),
            done: done(one),
        };
        these.map(child).collect::<Vec<_>>()
    };
    let mut all = ChildrenFound {
        module: module.clone(),
        supervisors,
        new: of(ChildDiffers::New),
        gone: of(ChildDiffers::Gone),
        unlisted: of(ChildDiffers::Unlisted),
        moved: of(ChildDiffers::Moved),
        changed: of(ChildDiffers::Changed),
        added,
        paste: None,
    };
    // `none` says that it is meant.
    let meant = |said: &Option<Vec<Term>>| said.as_ref().is_some_and(Vec::is_empty);
    let late = |list: &[FoundChild]| list.iter().any(|child| !child.done);
    let (starts, stops) = (!meant(&plan.start), !meant(&plan.stop));
    let findings = [
        (starts, &all.new),
        (stops, &all.gone),
        (starts && stops, &all.moved),
    ];
    if findings.iter().any(|(asked, list)| *asked && late(list)) {
        all.paste = Some(statement(module, decided, &all));
    }
    all
}

/// Both keys as they would have to be: a statement overrules what is inferred.
fn statement(module: &Module, decided: &ModuleRules, found: &ChildrenFound) -> String {
    let plan = &decided.children.value;
    let wanted = decided.inferred_children().unwrap_or_default();
    let restart = wanted.restart.unwrap_or_default();
    let restart = restart.iter().map(|(id, ..)| id);
    let restart: Vec<&Term> = restart.chain(ids(&found.moved)).collect();
    let stop = plan.stopped().iter();
    let stop = stop.chain(wanted.stop.unwrap_or_default());
    let stop = stop.chain(ids(&found.gone)).chain(restart.iter().copied());
    let start = plan.started().iter().chain(wanted.start);
    let start = start.chain(ids(&found.new)).chain(restart.iter().copied());
    // Of what only the other key is about nothing has to be said, unless a child is restarted.
    let late = |all: &[FoundChild]| all.iter().any(|child| !child.done);
    let starts = late(&found.new) || !restart.is_empty() || plan.start.is_some();
    let stops = late(&found.gone) || !restart.is_empty() || plan.stop.is_some();
    let mut keys = Vec::new();
    for (key, ids, said, by_plan) in [
        ("start", start.collect::<Vec<_>>(), starts, &plan.start),
        ("stop", stop.collect(), stops, &plan.stop),
    ] {
        if said {
            let none = by_plan.as_ref().is_some_and(Vec::is_empty);
            let mut each: Vec<String> = Vec::new();
            for id in ids.iter().filter(|_| !none).map(ToString::to_string) {
                if !each.contains(&id) {
                    each.push(id);
                }
            }
            keys.push(match each.is_empty() {
                true => format!("{key} => none"),
                false => format!("{key} => [{}]", each.join(", ")),
            });
        }
    }
    format!(
        "module {module} #{{children => #{{{}}}}} because \"…\".",
        keys.join(", ")
    )
}

fn ids(all: &[FoundChild]) -> impl Iterator<Item = &Term> {
    all.iter().map(|child| &child.id)
}

impl ChildrenFound {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|(_, list)| list.is_empty()) && self.added == 0
    }

    /// The lists with their names.
    pub fn lists(&self) -> [(&'static str, &[FoundChild]); 5] {
        [
            ("new", &self.new),
            ("gone", &self.gone),
            ("unlisted", &self.unlisted),
            ("moved", &self.moved),
            ("changed", &self.changed),
        ]
    }

    /// `a, b (2 of 5 supervisors)`, and for what their list is, what becomes of them.
    pub fn lines(&self) -> Vec<(String, bool)> {
        let keeps = ["it keeps running", "they keep running"];
        // What they are, what is done with them or what becomes of one and of several otherwise, and what is between
        // the keys of each.
        let texts = [
            (
                &self.new,
                ["new child", "new children"],
                "started",
                ["not started"; 2],
                ", ",
            ),
            (
                &self.gone,
                [
                    "child that its new init/1 no longer has",
                    "children that its new init/1 no longer has",
                ],
                "terminated and deleted",
                keeps,
                ", ",
            ),
            (
                &self.unlisted,
                [
                    "child that its new init/1 does not have",
                    "children that its new init/1 does not have",
                ],
                "terminated and deleted",
                keeps,
                ", ",
            ),
            (
                &self.moved,
                ["child of another module", "children of another module"],
                "restarted",
                ["the old one keeps running", "the old ones keep running"],
                " -> ",
            ),
        ];
        let mut lines = Vec::new();
        for (list, what, done, late, between) in texts {
            for is_done in [true, false] {
                let these = list.iter().filter(|child| child.done == is_done);
                let these: Vec<&FoundChild> = these.collect();
                // One of two supervisors is two children.
                let number: u64 = these.iter().map(|child| child.supervisors).sum();
                let form = |[one, several]: [&'static str; 2]| match number {
                    1 => one,
                    _ => several,
                };
                if !these.is_empty() {
                    let becomes = if is_done { done } else { form(late) };
                    let names = self.named(&these, between);
                    lines.push((format!("{}: {names}: {becomes}", form(what)), is_done));
                }
            }
        }
        if !self.changed.is_empty() {
            let these: Vec<&FoundChild> = self.changed.iter().collect();
            let names = self.named(&these, ", ");
            lines.push((
                format!("specified in another way: {names}: holds from the next start"),
                true,
            ));
        }
        match self.added {
            0 => {}
            1 => lines.push((
                "1 child that neither init/1 specifies goes on (start_child/2)".to_owned(),
                true,
            )),
            more => lines.push((
                format!("{more} children that neither init/1 specifies go on (start_child/2)"),
                true,
            )),
        }
        lines
    }

    /// At most so many by name, with their keys.
    fn named(&self, these: &[&FoundChild], between: &str) -> String {
        const NAMED: usize = 8;
        let name = |child: &&FoundChild| {
            let mut about = Vec::new();
            if !child.keys.is_empty() {
                let keys: Vec<&str> = child.keys.iter().map(Atom::as_str).collect();
                about.push(keys.join(between));
            }
            if child.supervisors < self.supervisors {
                about.push(format!(
                    "in {} of {} supervisors",
                    child.supervisors, self.supervisors
                ));
            }
            match about.is_empty() {
                true => child.id.to_string(),
                false => format!("{} ({})", child.id, about.join("; ")),
            }
        };
        let mut names: Vec<String> = these.iter().take(NAMED).map(name).collect();
        if these.len() > NAMED {
            names.push(format!("{} more", these.len() - NAMED));
        }
        names.join(", ")
    }

    /// W652: what a restart of the supervisor would do and the upgrade does not.
    pub fn diagnostic(&self) -> Option<Diagnostic> {
        let paste = self.paste.as_ref()?;
        let title = format!(
            "the children of `{}` will not be those that its new `init/1` specifies",
            self.module
        );
        let lines = self.lines().into_iter().filter(|(_, done)| !done);
        let diagnostic = lines.fold(Diagnostic::new(Code::W652, title), |all, (line, _)| {
            all.note(line)
        });
        Some(
            diagnostic
                .note("a restart of the supervisor would have them; the plan can have the same now")
                .help(paste.clone()),
        )
    }
}
