//! From high-level to low-level instructions, in the windows that the plan wants.
//!
//! A window is what lies between suspending and resuming. A single one: all servers concerned are
//! suspended (callers first), *all* modules are switched at one instant, states are converted (as the
//! application boots: module `boot`), all are resumed (dependencies first). A cycle costs nothing, no
//! process ever sees a mix, and going back is exact, because no process has run in between. Modules that go are
//! deleted last of all, when all run the new code and none needs them any more. Several (`minimal`): the same for
//! each set of modules that must change together, one after the other; `own`: for each set that the plan names. `otp`: what `systools_rc` makes of the same
//! instructions ([`super::otp`]).

use std::collections::{BTreeMap, BTreeSet};

use super::Why;
use super::boot::BootOrder;
use super::high::HighStep;
use super::instruction::{Direction, Instruction};
use super::live::{Apart, MANY, Unfit, apart, few, loses};
use super::otp;
use crate::diag::Result;
use crate::facts::change::ChangeSet;
use crate::name::{App, Module};
use crate::plan::WindowPolicy;
use crate::rules::{Change, Class, Origin, Ruleset, Timeout};
use crate::term::Term;

/// What carries a script out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executor {
    /// The agent, as a transaction.
    Updo,
    /// OTP's `release_handler_1:eval_script/5`, which reads object code from these folders.
    ReleaseHandler(Vec<Library>),
}

/// A library as `eval_script` wants it: beams lie in `FOLDER/ebin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The application; `undefined` for modules outside of all.
    pub app: App,
    /// Its version after the upgrade.
    pub vsn: String,
    /// The folder on the node.
    pub folder: String,
}

/// A script ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The high-level instructions with their reasons.
    pub high: Vec<HighStep>,
    /// The low-level instructions, as a relup would have them.
    pub low: Vec<Instruction>,
    /// How they are grouped.
    pub kind: WindowPolicy,
    /// What carries them out.
    pub by: Executor,
    /// Those of the low-level instructions that the plan has inserted, with their statements.
    pub inserted: Vec<(Instruction, Origin)>,
    /// Of a live window: what is switched in a window of its own before it, and why.
    pub held: Vec<Unfit>,
    /// Of `window auto`: why it is no live window; empty when it is one, or when no process would be suspended.
    pub chosen: Option<Vec<Unfit>>,
}

impl Script {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.high.is_empty()
    }

    /// The applications that instructions of the plan start.
    pub fn started(&self) -> Vec<App> {
        let starts = self.low.iter().filter_map(|instruction| match instruction {
            Instruction::Apply(call) if call.module.as_str() == "application" => {
                (call.function.as_str() == "start").then_some(call.args.as_list()?.first()?)
            }
            _ => None,
        });
        let apps = starts.filter_map(Term::as_atom);
        apps.map(|app| App::new(app.as_str())).collect()
    }

    /// The modules that are switched or deleted, in order.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.high.iter().map(|step| &step.module)
    }

    /// The instructions behind the point of no return, window by window: each but perhaps the last ends when
    /// all processes have been resumed.
    pub fn windows(&self) -> Vec<&[Instruction]> {
        let point = self
            .low
            .iter()
            .position(|i| *i == Instruction::PointOfNoReturn);
        let rest = &self.low[point.map_or(0, |at| at + 1)..];
        // Resumes that follow each other end one window.
        let resumes = |i: &Instruction| matches!(i, Instruction::Resume(_));
        rest.chunk_by(|one, next| !resumes(one) || resumes(next))
            .collect()
    }

    /// The modules whose processes are suspended, in order: none of a live window.
    pub fn suspended(&self) -> impl Iterator<Item = &Module> {
        let held = self.live_from().unwrap_or(self.low.len());
        suspended(&self.low[..held])
    }

    /// Whether there are processes that would be suspended, and are not: each goes on in the new version.
    pub fn is_live(&self) -> bool {
        self.live_from().is_some()
    }

    /// Where the instructions of the live window begin: with the last that would suspend.
    pub fn live_from(&self) -> Option<usize> {
        let suspends = |i: &Instruction| matches!(i, Instruction::Suspend(_));
        match self.kind {
            WindowPolicy::Live => self.low.iter().rposition(suspends),
            _ => None,
        }
    }

    /// Which of the windows is the live one.
    pub fn live_window(&self) -> Option<usize> {
        let suspends = |window: &&[Instruction]| suspended(window).next().is_some();
        self.live_from()?;
        self.windows().iter().rposition(suspends)
    }

    /// The instructions of the live window and what follows it; empty when there is none.
    pub fn live_part(&self) -> &[Instruction] {
        &self.low[self.live_from().unwrap_or(self.low.len())..]
    }
}

/// The modules that some instructions suspend.
pub fn suspended(low: &[Instruction]) -> impl Iterator<Item = &Module> {
    let lists = low.iter().filter_map(|instruction| match instruction {
        Instruction::Suspend(modules) => Some(modules),
        _ => None,
    });
    lists.flatten().map(|(module, _)| module)
}

/// The modules that some instructions load, and those that they remove.
pub fn switched(low: &[Instruction]) -> (Vec<Module>, Vec<Module>) {
    let (mut loads, mut removes) = (Vec::new(), Vec::new());
    for instruction in low {
        match instruction {
            Instruction::Load { module, .. } => loads.push(module.clone()),
            Instruction::Remove { module, .. } => removes.push(module.clone()),
            _ => {}
        }
    }
    (loads, removes)
}

/// In which ranks modules are suspended: callers first, each rank at once. Found once for a script, because each
/// look at the graph costs as much as all of it.
#[derive(Debug, Default)]
pub struct SuspendOrder(BTreeMap<Module, usize>);

impl SuspendOrder {
    /// The ranks of some modules.
    pub fn new(rules: &Ruleset, modules: impl IntoIterator<Item = Module>) -> Self {
        let modules: BTreeSet<Module> = modules.into_iter().collect();
        let layers = rules.graph.layers(&modules);
        let numbered = layers.into_iter().enumerate();
        Self(
            numbered
                .flat_map(|(rank, layer)| layer.into_iter().map(move |module| (module, rank + 1)))
                .collect(),
        )
    }

    /// The ranks of the modules that a script suspends.
    pub fn of(rules: &Ruleset, script: &Script) -> Self {
        Self::new(rules, suspended(&script.low).cloned())
    }

    /// Modules in their ranks. Those that the upgrade does not change come first of all, for it is unknown what they
    /// call.
    pub fn split(&self, modules: impl IntoIterator<Item = Module>) -> Vec<Vec<Module>> {
        let mut ranks: BTreeMap<usize, BTreeSet<Module>> = BTreeMap::new();
        for module in modules {
            let rank = self.0.get(&module).copied().unwrap_or(0);
            ranks.entry(rank).or_default().insert(module);
        }
        let ranks = ranks.into_values();
        ranks.map(|rank| rank.into_iter().collect()).collect()
    }
}

/// The modules whose processes some instructions suspend.
fn servers<'a>(high: impl IntoIterator<Item = &'a HighStep>) -> impl Iterator<Item = Module> {
    high.into_iter()
        .filter(|step| matches!(step.instruction, Instruction::Update { .. }))
        .map(|step| step.module.clone())
}

/// The script in the windows that the plan wants.
///
/// # Errors
/// E401 and E414: for `otp`, when OTP has no word for an instruction or refuses the script.
pub fn lower(
    changes: &ChangeSet,
    rules: &Ruleset,
    mut high: Vec<HighStep>,
    kind: WindowPolicy,
) -> Result<Script> {
    let low = match kind {
        WindowPolicy::Single => return Ok(single(changes, rules, high)),
        // The same instructions: the way back through them is that of a window.
        WindowPolicy::Live => {
            let Apart { held, live, why } = apart(changes, rules, &high);
            if held.is_empty() || live.is_empty() {
                return Ok(Script {
                    kind,
                    ..single(changes, rules, high)
                });
            }
            let low = several(changes, rules, &mut high, &[held, live]);
            return Ok(Script {
                high,
                low,
                kind,
                by: Executor::Updo,
                inserted: Vec::new(),
                held: why,
                chosen: None,
            });
        }
        WindowPolicy::Auto => {
            let script = single(changes, rules, high);
            let why = match processes(changes, rules, &script) {
                0 => Vec::new(),
                number if number < MANY => vec![few(number)],
                _ => match apart(changes, rules, &script.high) {
                    Apart { held, why, .. } if !held.is_empty() => why,
                    _ => loses(changes, rules, &script.high),
                },
            };
            let kind = match why.is_empty() && processes(changes, rules, &script) > 0 {
                true => WindowPolicy::Live,
                false => WindowPolicy::Single,
            };
            return Ok(Script {
                kind,
                chosen: Some(why),
                ..script
            });
        }
        WindowPolicy::Minimal => several(changes, rules, &mut high, &rules.graph.sets()),
        // Where the guard of the statement does not hold there is none.
        WindowPolicy::Own => match &rules.windows {
            Some(own) => several(changes, rules, &mut high, &own.windows),
            None => return Ok(single(changes, rules, high)),
        },
        WindowPolicy::Otp => otp::low(changes, &high)?,
    };
    Ok(Script {
        high,
        low,
        kind,
        by: Executor::Updo,
        inserted: Vec::new(),
        held: Vec::new(),
        chosen: None,
    })
}

/// The script of a single window.
pub fn single(changes: &ChangeSet, rules: &Ruleset, mut high: Vec<HighStep>) -> Script {
    let mut low = object_code(changes, &high);
    low.push(Instruction::PointOfNoReturn);
    let order = Orders::new(changes, rules, &high);
    let whys = window(rules, &order, &high.iter().collect::<Vec<_>>(), &mut low);
    explain(&mut high, whys);
    removals(rules, &high, &mut low);
    Script {
        high,
        low,
        kind: WindowPolicy::Single,
        by: Executor::Updo,
        inserted: Vec::new(),
        held: Vec::new(),
        chosen: None,
    }
}

/// One window for each of some sets of modules, in their order; a set without processes needs none.
fn several(
    changes: &ChangeSet,
    rules: &Ruleset,
    high: &mut [HighStep],
    sets: &[Vec<Module>],
) -> Vec<Instruction> {
    let place: BTreeMap<&Module, usize> = high
        .iter()
        .enumerate()
        .map(|(at, step)| (&step.module, at))
        .collect();
    let mut low = object_code(changes, high);
    low.push(Instruction::PointOfNoReturn);
    let order = Orders::new(changes, rules, high);
    let mut whys = Vec::new();
    for set in sets {
        let mut places: Vec<usize> = set.iter().filter_map(|m| place.get(m).copied()).collect();
        places.sort_unstable();
        let steps: Vec<&HighStep> = places.into_iter().map(|at| &high[at]).collect();
        whys.extend(window(rules, &order, &steps, &mut low));
    }
    explain(high, whys);
    removals(rules, high, &mut low);
    low
}

/// What goes: with no process suspended, behind everything that might still need it.
fn removals(rules: &Ruleset, high: &[HighStep], low: &mut Vec<Instruction>) {
    for step in high {
        if let Instruction::DeleteModule { module, .. } = &step.instruction {
            let decided = &rules.modules[module];
            low.push(Instruction::Remove {
                module: module.clone(),
                pre: decided.pre_purge.value,
                post: decided.post_purge.value,
            });
        }
    }
}

/// How many instructions at the end of a script remove modules.
pub fn leaving(low: &[Instruction]) -> usize {
    let removes =
        |i: &&Instruction| matches!(i, Instruction::Remove { .. } | Instruction::Purge(_));
    low.iter().rev().take_while(removes).count()
}

/// In which order a script suspends, and in which it converts.
struct Orders<'a> {
    suspend: SuspendOrder,
    convert: Option<BootOrder<'a>>,
}

impl<'a> Orders<'a> {
    fn new(changes: &'a ChangeSet, rules: &'a Ruleset, high: &[HighStep]) -> Self {
        Self {
            suspend: SuspendOrder::new(rules, servers(high)),
            convert: BootOrder::new(changes, rules, high),
        }
    }
}

/// Puts reasons to the steps that they are about.
fn explain(high: &mut [HighStep], whys: Vec<(Module, Why)>) {
    let mut whys: BTreeMap<Module, Why> = whys.into_iter().collect();
    for step in high {
        step.why.extend(whys.remove(&step.module));
    }
}

/// Suspend, switch, convert, resume. Gives the modules that are converted where they are because of the tree of
/// supervisors.
fn window(
    rules: &Ruleset,
    order: &Orders<'_>,
    high: &[&HighStep],
    low: &mut Vec<Instruction>,
) -> Vec<(Module, Why)> {
    let suspended: Vec<_> = order
        .suspend
        .split(servers(high.iter().copied()))
        .into_iter()
        .flatten()
        .map(|module| {
            let timeout = rules.modules[&module].timeout.value.clone();
            let own = (timeout != Timeout::Default).then_some(timeout);
            (module, own)
        })
        .collect();
    if !suspended.is_empty() {
        low.push(Instruction::Suspend(suspended.clone()));
    }
    for step in high {
        let module = step.module.clone();
        let decided = &rules.modules[&module];
        let (pre, post) = (decided.pre_purge.value, decided.post_purge.value);
        if !matches!(step.instruction, Instruction::DeleteModule { .. }) {
            low.push(Instruction::Load { module, pre, post });
        }
    }
    let conversions = high.iter().filter_map(|step| match &step.instruction {
        Instruction::Update {
            change: Change::Soft,
            ..
        } => None,
        Instruction::Update { module, change, .. } => Some((module.clone(), change.clone())),
        _ => None,
    });
    // As the application boots: a supervisor's init/1, which may make what its children use, before these, and the
    // supervisor that starts another one first.
    let (mut conversions, others): (Vec<_>, Vec<_>) =
        conversions.partition(|(module, _)| rules.modules[module].renews());
    conversions.reverse();
    conversions.extend(others);
    let whys = match &order.convert {
        Some(boot) => by_boot(boot, &mut conversions),
        None => Vec::new(),
    };
    if !conversions.is_empty() {
        low.push(Instruction::CodeChange {
            direction: Some(Direction::Up),
            modules: conversions,
        });
    }
    if !suspended.is_empty() {
        let resumed = suspended.into_iter().rev().map(|(module, _)| module);
        low.push(Instruction::Resume(resumed.collect()));
    }
    whys
}

/// Conversions in the order in which the application starts; where that differs from the order before, with the reason.
fn by_boot(boot: &BootOrder<'_>, conversions: &mut [(Module, Change)]) -> Vec<(Module, Why)> {
    let modules = conversions.iter().map(|(module, _)| module.clone());
    let before: BTreeMap<Module, usize> = modules.zip(0..).collect();
    boot.sort(conversions);
    let pairs = conversions.windows(2).filter_map(|pair| {
        let [(one, _), (next, _)] = pair else {
            return None;
        };
        let moved = before.get(one) > before.get(next);
        moved.then(|| (next.clone(), boot.why(next, one)))
    });
    pairs.collect()
}

/// The application of a module: `undefined` for those outside of all.
pub(super) fn app_of(changes: &ChangeSet, module: &Module) -> App {
    let app = changes.modules.get(module).and_then(|c| c.app.clone());
    app.unwrap_or_else(|| App::new("undefined"))
}

/// `load_object_code`, one per application, in the order of first use, with the version after the upgrade.
fn object_code(changes: &ChangeSet, high: &[HighStep]) -> Vec<Instruction> {
    let mut order: Vec<App> = Vec::new();
    let mut by_app: BTreeMap<App, Vec<Module>> = BTreeMap::new();
    for step in high {
        if matches!(step.instruction, Instruction::DeleteModule { .. }) {
            continue;
        }
        let module = &step.module;
        let app = app_of(changes, module);
        if !by_app.contains_key(&app) {
            order.push(app.clone());
        }
        by_app.entry(app).or_default().push(module.clone());
    }
    order
        .into_iter()
        .map(|app| {
            let modules = by_app.remove(&app).unwrap_or_default();
            let vsn = Term::string(changes.new_vsn(&app));
            let lib = app;
            Instruction::LoadObjectCode { lib, vsn, modules }
        })
        .collect()
}

/// How many processes a script suspends, by the facts.
pub fn processes(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> usize {
    running(changes, rules, script.suspended())
}

/// How many processes run some modules, by the facts; plain modules count for nothing.
pub fn running<'a>(
    changes: &ChangeSet,
    rules: &Ruleset,
    modules: impl Iterator<Item = &'a Module>,
) -> usize {
    let modules: BTreeSet<&Module> = modules.collect();
    modules
        .into_iter()
        .filter(|module| {
            rules
                .modules
                .get(*module)
                .is_some_and(|r| r.class.value != Class::Library)
        })
        .filter_map(|module| changes.modules.get(module))
        .map(|changed| changed.processes)
        .sum()
}
