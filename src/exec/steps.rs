//! The steps of a run: what the agent does, one after the other, each as its term and in the words of the screen.
//!
//! Takes a script and what was decided beside it (new keys, children), gives [`Step`]s. `src/node/agent/PROTOCOL.md`
//! says what each term means. Recorded steps are read again by whoever rejoins a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::StepKind;
use super::{children, listing, restarts, rollback_steps};
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::rules::{Change, Ruleset, Timeout};
use crate::script::instruction::{Call, Direction, Instruction};
use crate::script::lower::{Executor, Library, Script, SuspendOrder, leaving, switched};
use crate::term::Term;

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
    pub(super) term: Term,
}

impl Step {
    /// For a step about applications: their names, or what is called.
    fn named(&self) -> Option<String> {
        use StepKind::{Config, Env, Paths};
        let [_, list] = self.term.as_tuple()? else {
            return None;
        };
        if !matches!(self.kind, Config | Env | Paths) {
            return None;
        }
        let first = |each: &Term| each.as_tuple()?.first().cloned();
        let mut names: Vec<String> = Vec::new();
        for each in list.as_list()?.iter().filter_map(first) {
            let name = match self.kind {
                Config => format!("{each}:config_change/3"),
                _ => each.to_string(),
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names.join(", "))
    }

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
        if let (StepKind::Soak, Some([_, ms])) = (self.kind, self.term.as_tuple()) {
            let ms = ms.as_i64().and_then(|ms| u64::try_from(ms).ok());
            let time = Duration::from_millis(ms.unwrap_or(0));
            return format!("watched for {}", humantime::format_duration(time));
        }
        if let Some(named) = self.named() {
            return named;
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
    let ranks = SuspendOrder::of(rules, script);
    environment(&mut steps, rules, false);
    restarts::terminate(&mut steps, &rules.restarts);
    if let Executor::ReleaseHandler(libraries) = &script.by {
        let modules = script.modules().cloned().collect();
        push(
            &mut steps,
            StepKind::ReleaseHandler,
            modules,
            eval_script_term(script, libraries),
        );
        configured(&mut steps, rules, false);
        children::all(&mut steps, rules);
        listing::up(&mut steps, rules, script, true);
        listing::up(&mut steps, rules, script, false);
        restarts::start(&mut steps, &rules.restarts);
        return steps;
    }
    // Children that are stopped may run what goes.
    let (stay, go) = script.low.split_at(script.low.len() - leaving(&script.low));
    let mut rest = stay;
    while let Some((instruction, behind)) = rest.split_first() {
        let mut next = behind;
        match instruction {
            Instruction::LoadObjectCode { .. } | Instruction::PointOfNoReturn => {}
            Instruction::Suspend(modules) => {
                let names: Vec<Module> = modules.iter().map(|(m, _)| m.clone()).collect();
                let term = suspend_term(modules, &ranks);
                push(&mut steps, StepKind::Suspend, names, term);
            }
            // What follows each other is switched at one instant. Purging is for later, when everybody runs.
            Instruction::Load { .. } | Instruction::Remove { .. } | Instruction::Purge(_) => {
                let many = rest.iter().take_while(|i| i.is_switch()).count();
                let (loads, removes) = switched(&rest[..many]);
                switch(&mut steps, loads, removes);
                next = &rest[many..];
            }
            Instruction::CodeChange { direction, modules } => {
                let down = *direction == Some(Direction::Down);
                let names = modules.iter().map(|(module, _)| module.clone()).collect();
                push(
                    &mut steps,
                    StepKind::Convert,
                    names,
                    convert_term(down, modules),
                );
            }
            // Those that follow each other end one window.
            Instruction::Resume(_) => {
                let resumed = |i: &Instruction| match i {
                    Instruction::Resume(modules) => Some(modules.clone()),
                    _ => None,
                };
                let lists: Vec<_> = rest.iter().map_while(resumed).collect();
                next = &rest[lists.len()..];
                if listing::last_resume(next).is_none() {
                    listing::up(&mut steps, rules, script, true);
                }
                children::resume(&mut steps, lists.concat(), children::up(rules));
            }
            Instruction::Apply(call) => {
                let term = apply_term(call);
                push(&mut steps, StepKind::Apply, Vec::new(), term);
            }
            Instruction::Hook { number, name } => {
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
            // No script of a run has others (`Instruction::in_run`).
            _ => {}
        }
        rest = next;
    }
    configured(&mut steps, rules, false);
    children::outside(&mut steps, rules, script, false);
    listing::up(&mut steps, rules, script, false);
    restarts::start(&mut steps, &rules.restarts);
    let (loads, removes) = switched(go);
    switch(&mut steps, loads, removes);
    steps
}

/// The same, and what was suspended is watched for a while afterwards.
pub fn soaked(script: &Script, rules: &Ruleset, soak: Duration) -> Vec<Step> {
    let mut steps = steps(script, rules);
    let suspends = |step: &Step| matches!(step.kind, StepKind::Suspend | StepKind::ReleaseHandler);
    if !soak.is_zero() && steps.iter().any(suspends) {
        let term = Term::tuple([Term::atom("soak"), millis(soak)]);
        push(&mut steps, StepKind::Soak, Vec::new(), term);
    }
    steps
}

/// All of a script in the hands of OTP's release handler.
fn eval_script_term(script: &Script, libraries: &[Library]) -> Term {
    let instructions = script.low.iter().map(Instruction::to_term);
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

/// The configuration and the code path: before anything else, so that new code finds them; old code does not look.
/// `back` puts them back.
pub(super) fn environment(steps: &mut Vec<Step>, rules: &Ruleset, back: bool) {
    let keys = rules.env.iter().flat_map(|configured| {
        let app = Term::atom(configured.app.as_str());
        configured.keys.iter().map(move |change| {
            let key = Term::Atom(change.key.clone());
            let (was, new) = match back {
                false => (&change.was, &change.new),
                true => (&change.new, &change.was),
            };
            match (was, new) {
                (_, None) => Term::tuple([app.clone(), key]),
                (None, Some(new)) => Term::tuple([app.clone(), key, new.clone()]),
                (Some(was), Some(new)) => Term::tuple([app.clone(), key, was.clone(), new.clone()]),
            }
        })
    });
    let keys: Vec<Term> = keys.collect();
    if !keys.is_empty() {
        let term = Term::tuple([Term::atom("env"), Term::list(keys)]);
        push(steps, StepKind::Env, Vec::new(), term);
    }
    let paths = rules.moves.iter().map(|one| {
        let (from, to) = match back {
            false => (&one.from, &one.to),
            true => (&one.to, &one.from),
        };
        Term::tuple([
            Term::atom(one.name.as_str()),
            Term::string(from),
            Term::string(to),
        ])
    });
    let paths: Vec<Term> = paths.collect();
    if !paths.is_empty() {
        let term = Term::tuple([Term::atom("paths"), Term::list(paths)]);
        push(steps, StepKind::Paths, Vec::new(), term);
    }
}

/// Applications whose configuration has changed are notified, once, when all processes run again (OTP: application(3),
/// `Module:config_change/3`).
pub(super) fn configured(steps: &mut Vec<Step>, rules: &Ruleset, back: bool) {
    let entries = rules.env.iter().filter_map(|configured| {
        let callback = Term::atom(configured.callback.as_ref()?.as_str());
        let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for change in &configured.keys {
            let key = Term::Atom(change.key.clone());
            let (was, new) = match back {
                false => (&change.was, &change.new),
                true => (&change.new, &change.was),
            };
            match (was, new) {
                (_, None) => removed.push(key),
                (None, Some(new)) => added.push(Term::tuple([key, new.clone()])),
                (Some(_), Some(new)) => changed.push(Term::tuple([key, new.clone()])),
            }
        }
        let lists = [changed, added, removed].map(Term::List);
        let [changed, added, removed] = lists;
        Some(Term::tuple([callback, changed, added, removed]))
    });
    let entries: Vec<Term> = entries.collect();
    if !entries.is_empty() {
        let term = Term::tuple([Term::atom("config_change"), Term::list(entries)]);
        push(steps, StepKind::Config, Vec::new(), term);
    }
}

/// Applications that the plan starts or removes, the other way round. They are started `temporary`: one that is permanent
/// and fails to start takes the node along.
pub(super) fn applications_back(steps: &mut Vec<Step>, script: &Script) {
    let call = |function: &str, app: &Term, args: &[&str]| {
        let args = std::iter::once(app.clone()).chain(args.iter().copied().map(Term::atom));
        apply_term(&Call::application(function, args))
    };
    let mut terms = Vec::new();
    for instruction in script.low.iter().rev() {
        let Instruction::Apply(call) = instruction else {
            continue;
        };
        let Some((function, app)) = call.of_application() else {
            continue;
        };
        match function {
            "start" => terms.extend([call("stop", app, &[]), call("unload", app, &[])]),
            "load" => terms.push(call("unload", app, &[])),
            "stop" => terms.push(call("start", app, &["temporary"])),
            _ => {}
        }
    }
    for term in terms {
        push(steps, StepKind::Apply, Vec::new(), term);
    }
}

fn apply_term(call: &Call) -> Term {
    Term::tuple([Term::atom("apply"), call.to_term()])
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
pub(super) fn suspend_term(modules: &[(Module, Option<Timeout>)], ranks: &SuspendOrder) -> Term {
    let own = modules
        .iter()
        .filter_map(|(module, timeout)| Some((module, timeout.as_ref()?)));
    let timeouts: BTreeMap<&Module, &Timeout> = own.collect();
    let rank = |modules: Vec<Module>| {
        Term::list(modules.into_iter().map(|module| {
            let timeout = timeouts.get(&module).copied().unwrap_or(&Timeout::Default);
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

fn timeout_term(timeout: &Timeout) -> Term {
    match timeout {
        Timeout::Default => Term::atom("default"),
        Timeout::Infinity => Term::atom("infinity"),
        Timeout::After(time) => millis(*time),
        Timeout::Beyond(time) => Term::integer(time.clone()),
    }
}

pub(super) fn millis(time: Duration) -> Term {
    Term::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn atoms(modules: &[Module]) -> Term {
    Term::list(modules.iter().map(|module| Term::atom(module.as_str())))
}

/// The steps of a script and of the ways back through its windows: all that the agent may tell about.
pub fn every(changes: &ChangeSet, rules: &Ruleset, script: &Script, soak: Duration) -> Vec<Step> {
    let steps = soaked(script, rules, soak);
    let ways = rollback_steps::per_step(changes, rules, script, steps.len() + 1);
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
            "resume" | "ahead" => (
                StepKind::Resume,
                parts.get(1)?.as_list()?.iter().filter_map(atom).collect(),
            ),
            "apply" => (StepKind::Apply, Vec::new()),
            "release_handler" => (StepKind::ReleaseHandler, Vec::new()),
            "hook" => (StepKind::Hook, Vec::new()),
            "env" => (StepKind::Env, Vec::new()),
            "paths" => (StepKind::Paths, Vec::new()),
            "config_change" => (StepKind::Config, Vec::new()),
            "soak" => (StepKind::Soak, Vec::new()),
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

/// The steps of a script window by window, the last window first, without calls, hooks and children: those are
/// not repeated.
pub(super) fn forward(steps: &[Step], first: usize) -> Vec<Option<Vec<Step>>> {
    let is = |step: &Step, word| {
        let tag = step.term.as_tuple().and_then(<[Term]>::first);
        tag.is_some_and(|tag| tag.is_atom(word))
    };
    let ends = |step: &Step| is(step, "resume");
    let mut windows: Vec<Vec<Step>> = Vec::new();
    for window in steps.split_inclusive(ends) {
        use StepKind::{Apply, Children, Config, Hook, Soak};
        let once = |step: &Step| {
            matches!(step.kind, Apply | Children | Config | Hook | Soak) || is(step, "ahead")
        };
        let steps = window.iter().filter(|step| !once(step));
        let steps = steps.cloned();
        match windows.last_mut() {
            // On the way back what is behind the last window belongs to it: no process is resumed in between.
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
