//! What is below the instructions: which processes are suspended and when, and what undoing means.
//!
//! Takes what a preview shows, gives lines; judges nothing that is not in the script.

use std::fmt::Write;

use super::super::rehearsal::{about, measured};
use super::super::style::{ago as style_ago, attention, count};
use super::{PauseShown, PreviewInput, is_one_way, some_lines, some_of};
use crate::diag::render::Style;
use crate::facts::beam::code::Function;
use crate::facts::change::Changed;
use crate::name::Module;
use crate::plan::{When, WindowPolicy};
use crate::rules::effects::{self, Acts};
use crate::rules::{Change, Ruleset};
use crate::rules::{Origin, Purge};
use crate::script::instruction::Instruction;
use crate::script::live::{MANY, lines};
use crate::script::lower::{Executor, SuspendOrder, processes, running, suspended, switched};
use crate::script::waiting::act_in_their_window;
use crate::term::Term;

/// Functions with waiting callers that are named; the others are counted.
const WAITING: usize = 3;

/// Which processes are suspended, and when.
pub(super) fn windows(out: &mut String, shown: &PreviewInput<'_>, style: Style, most: usize) {
    let script = shown.script;
    let arrow = if style.unicode { " → " } else { " -> " };
    let ranks = SuspendOrder::of(shown.rules, script);
    let suspends = |window: &[Instruction]| -> Option<String> {
        let modules: Vec<_> = suspended(window).cloned().collect();
        let ranks = ranks
            .split(modules)
            .iter()
            .map(|rank| names(rank, most, style))
            .collect::<Vec<_>>();
        // What waits last for the others comes last, so the first and the last say most.
        let ranks = match ranks.as_slice() {
            [first, .., last] if ranks.len() > most => {
                let between = ranks.len() - 2;
                format!("{first}{arrow}{between} more ranks{arrow}{last}")
            }
            all => all.join(arrow),
        };
        (!ranks.is_empty()).then_some(ranks)
    };
    let count_of = |window: &[Instruction]| {
        let number = running(shown.changes, shown.rules, suspended(window));
        count(number, "process", "processes")
    };
    let changes = |module: &Module| shown.rules.modules.contains_key(module);
    let kind = match script.chosen {
        // What comes of that is said with the question.
        Some(_) if script.is_live() => "live if the rehearsal proves it".to_owned(),
        _ => script.kind.to_string(),
    };
    let windows = script.windows();
    if let Some(at) = script.live_window() {
        // Whatever is behind it: deletions.
        let (before, live) = windows.split_at(at);
        let alone = before.iter().all(|window| switched(window).0.is_empty());
        let then = match alone {
            true => "",
            false => "then ",
        };
        for window in before {
            let (loads, _) = switched(window);
            let stand = match suspends(window) {
                Some(ranks) => {
                    let number = running(shown.changes, shown.rules, suspended(window));
                    let verb = if number == 1 { "is" } else { "are" };
                    format!(
                        "{} {verb} suspended: {ranks}",
                        count(number, "process", "processes")
                    )
                }
                None => "no process is suspended".to_owned(),
            };
            let loads = names(&loads, most, style);
            let _ = writeln!(
                out,
                "  window   {kind}: first {loads} in a window of its own; {stand}"
            );
        }
        let lead = match alone {
            true => format!("  window   {kind}: "),
            false => "           ".to_owned(),
        };
        let (loads, _) = switched(&live.concat());
        let modules = match alone {
            true => "all modules".to_owned(),
            false => names(&loads, most, style),
        };
        let verb = if !alone && loads.len() == 1 {
            "switches"
        } else {
            "switch"
        };
        let _ = writeln!(
            out,
            "{lead}{then}no process is suspended; {modules} {verb} at one instant"
        );
        if !shown.rules.live.is_empty() {
            let processes = count(
                running(shown.changes, shown.rules, shown.rules.live.keys()),
                "process converts its state",
                "processes convert their states",
            );
            let modules: Vec<Module> = shown.rules.live.keys().cloned().collect();
            let _ = writeln!(
                out,
                "           {processes}, each before its next callback: {}",
                names(&modules, most, style)
            );
        }
        if script.chosen.is_some() {
            let _ = writeln!(
                out,
                "           otherwise single: they are suspended while all modules switch"
            );
        }
        return;
    }
    if matches!(script.kind, WindowPolicy::Single | WindowPolicy::Live) || windows.len() < 2 {
        let line = match suspends(&script.low) {
            None => "no process is suspended; all modules switch at one instant".to_owned(),
            Some(ranks) => format!(
                "{} while all modules switch at one instant\n           suspend {ranks}",
                count(
                    running(shown.changes, shown.rules, suspended(&script.low)),
                    "process is suspended",
                    "processes are suspended"
                )
            ),
        };
        let _ = writeln!(out, "  window   {kind}: {line}");
        let why = script.chosen.as_deref().unwrap_or_default();
        // Of few processes it says something only to who has asked for it.
        let asked =
            shown.plan.windows_said || processes(shown.changes, shown.rules, script) >= MANY;
        let why: Vec<String> = lines(why)
            .filter(|_| asked)
            .map(|why| format!("           not live: {why}"))
            .collect();
        some_lines(out, &why, most);
        return;
    }
    let number = windows.iter().filter(|w| suspends(w).is_some()).count();
    let number = count(number, "window", "windows");
    let _ = writeln!(
        out,
        "  window   {kind}: {number}, one after the other; in between processes see a mix"
    );
    if script.kind == WindowPolicy::Own
        && let Some(own) = &shown.rules.windows
        && let Origin::Plan {
            because: Some(because),
            ..
        } = &own.origin
    {
        let _ = writeln!(out, "           \"{because}\"");
    }
    let line = |(at, window): (usize, &&[Instruction])| {
        let mut what = Vec::new();
        for part in window.chunk_by(|one, next| one.is_switch() && next.is_switch()) {
            let (loads, removes) = switched(part);
            for (word, modules) in [("load", loads), ("delete", removes)] {
                if !modules.is_empty() {
                    what.push(format!("{word} {}", names(&modules, most, style)));
                }
            }
            match (suspends(part), part) {
                (Some(ranks), _) if suspended(part).all(changes) => {
                    what.push(format!("suspend {ranks} ({})", count_of(part)));
                }
                (Some(ranks), _) => what.push(format!("suspend {ranks}")),
                (None, [one]) => match one {
                    Instruction::Apply(_) => what.push(one.to_string()),
                    Instruction::Hook { name, .. } => what.push(format!("hook {name}")),
                    // Loads and deletions are named above; a window is known by what is suspended in it.
                    Instruction::Update { .. }
                    | Instruction::LoadModule { .. }
                    | Instruction::AddModule { .. }
                    | Instruction::DeleteModule { .. }
                    | Instruction::AddApplication { .. }
                    | Instruction::RemoveApplication(_)
                    | Instruction::RestartApplication(_)
                    | Instruction::LoadObjectCode { .. }
                    | Instruction::PointOfNoReturn
                    | Instruction::Load { .. }
                    | Instruction::Remove { .. }
                    | Instruction::Purge(_)
                    | Instruction::Suspend(_)
                    | Instruction::Resume(_)
                    | Instruction::CodeChange { .. }
                    | Instruction::Stop(_)
                    | Instruction::Start(_)
                    | Instruction::SyncNodes { .. }
                    | Instruction::RestartNewEmulator
                    | Instruction::RestartEmulator
                    | Instruction::Restart
                    | Instruction::Reboot => {}
                },
                (None, _) => {}
            }
        }
        format!("       {:>3} {}", at + 1, what.join("; "))
    };
    let lines: Vec<String> = windows.iter().enumerate().map(line).collect();
    some_lines(out, &lines, most);
}

/// For how long they are suspended, as far as that is known.
pub(super) fn pause(shown: &PauseShown) -> String {
    match shown {
        PauseShown::Unmeasured { suspended, command } => format!(
            "not known yet for {}; `{command}` measures it",
            count(*suspended, "process", "processes")
        ),
        PauseShown::Rehearsed {
            pause,
            ago,
            suspended,
            figures,
        } => {
            let about = pause.map_or_else(|| "not known".to_owned(), about);
            let ago = style_ago(*ago);
            let then = usize::try_from(figures.suspended).unwrap_or(usize::MAX);
            let scaled = match then == *suspended {
                true => String::new(),
                false => format!(
                    "; for {suspended} instead of {}",
                    count(then, "process", "processes")
                ),
            };
            format!("{about} (rehearsed {ago}: {}{scaled})", measured(figures))
        }
    }
}

/// What the last rehearsal says of a rollback: states that it would not give back.
pub(super) fn not_given_back(shown: &PauseShown, style: Style, most: usize) -> Option<String> {
    let PauseShown::Rehearsed { ago, figures, .. } = shown else {
        return None;
    };
    let lost = figures.lost().map(|(module, of)| {
        let all = usize::try_from(of.back).unwrap_or(usize::MAX);
        format!(
            "{} of {} of {module}",
            of.lost,
            count(all, "state", "states")
        )
    });
    let lost: Vec<String> = lost.collect();
    if lost.is_empty() {
        return None;
    }
    let text = format!(
        "would not give back {} (rehearsed {})",
        some_of(&lost, most, style),
        style_ago(*ago)
    );
    Some(attention(style, &text))
}

pub(super) fn names(modules: &[Module], most: usize, style: Style) -> String {
    let names: Vec<String> = modules.iter().map(ToString::to_string).collect();
    some_of(&names, most, style)
}

/// The modules whose conversion acts outside of its state, in one way.
fn outside(shown: &PreviewInput<'_>, how: Acts) -> Vec<String> {
    let modules = shown.rules.modules.keys();
    let in_window = act_in_their_window(shown.changes, shown.rules, shown.script);
    let acts = modules.filter(|m| {
        effects::acts(shown.changes, shown.rules, m) == Some(how) && !in_window.contains(*m)
    });
    acts.map(ToString::to_string).collect()
}

/// How exactly a failure is undone.
pub(super) fn undo(shown: &PreviewInput<'_>, style: Style, most: usize) -> String {
    if let Executor::ReleaseHandler(_) = shown.script.by {
        return attention(
            style,
            "none when it fails: the release handler leaves code and processes as they are then",
        );
    }
    let missing: Vec<String> = shown
        .rules
        .modules
        .keys()
        .filter(|m| shown.changes.modules.get(*m).is_some_and(is_one_way))
        .map(ToString::to_string)
        .collect();
    let turned = shown.rules.modules.keys().filter(|module| {
        let changed = shown.changes.modules.get(*module);
        changed.is_some_and(Changed::undo_asks_code_change)
    });
    let turned: Vec<String> = turned.map(ToString::to_string).collect();
    if !turned.is_empty() && missing.is_empty() {
        let text = format!(
            "exact if code_change/4 of the old {} takes its own states",
            some_of(&turned, most, style)
        );
        return attention(style, &text);
    }
    let staying: usize = shown
        .changes
        .old_code
        .current
        .iter()
        .filter(|executing| shown.rules.modules.contains_key(&executing.module))
        .map(|executing| executing.count)
        .sum();
    let whole = missing.is_empty() && shown.script.windows().len() < 2;
    if whole && staying > 0 {
        let number = count(staying, "process has", "processes have");
        return attention(
            style,
            &format!("exact as soon as {number} left the code that is replaced (W630)"),
        );
    }
    let never = outside(shown, Acts::OneWay);
    if whole && !never.is_empty() {
        let text = format!(
            "exact for code and states; what code_change of {} writes elsewhere stays (W625)",
            some_of(&never, most, style)
        );
        return attention(style, &text);
    }
    let asked = outside(shown, Acts::Both);
    if whole && !asked.is_empty() {
        let text = format!(
            "exact for code and states; what {} writes elsewhere is undone by code_change",
            some_of(&asked, most, style)
        );
        return attention(style, &text);
    }
    if missing.is_empty() && !shown.rules.live.is_empty() {
        let modules: Vec<String> = shown.rules.live.keys().map(ToString::to_string).collect();
        let before = match shown.script.suspended().next() {
            Some(_) => "; of the window before by code_change",
            None => "",
        };
        return format!(
            "old code; states exact, or by code_change down where an event came since: {}{before}",
            some_of(&modules, most, style)
        );
    }
    if missing.is_empty() && shown.script.windows().len() < 2 {
        return "exact: old code and old states of every process".to_owned();
    }
    // A closed window whose conversion has no way down.
    let windows = shown.script.windows();
    let closed = windows
        .split_last()
        .map_or(&windows[..], |(_, before)| before);
    let stuck: Vec<String> = closed
        .iter()
        .flat_map(|window| window.iter())
        .filter_map(|instruction| match instruction {
            Instruction::CodeChange { modules, .. } => Some(modules),
            _ => None,
        })
        .flatten()
        .filter(|(_, change)| matches!(change, Change::Convert { .. }))
        .map(|(module, _)| module.to_string())
        .collect();
    if missing.is_empty() && !stuck.is_empty() {
        return attention(
            style,
            &format!(
                "exact in the window that fails; impossible behind that of {}: converted by a function",
                some_of(&stuck, most, style)
            ),
        );
    }
    if missing.is_empty() {
        return "exact in the window that fails; closed ones are converted back by code_change"
            .to_owned();
    }
    attention(
        style,
        &format!(
            "impossible for {}: no copy of the running version",
            some_of(&missing, most, style)
        ),
    )
}

fn place(module: &Module, function: &Function) -> String {
    let line = function.line.map(|line| format!(" (line {line})"));
    format!(
        "{module}:{}/{}{}",
        function.name,
        function.arity,
        line.unwrap_or_default()
    )
}

/// Functions of code that is replaced in which callers wait for a server and go on afterwards. A caller that waits
/// there for a suspended process cannot leave, and code that is executed cannot be taken away to make room for the
/// old one.
pub(super) fn waiting(shown: &PreviewInput<'_>, style: Style) -> Option<String> {
    let handler = matches!(shown.script.by, Executor::ReleaseHandler(_));
    if handler || shown.script.suspended().next().is_none() {
        return None;
    }
    let replaced = shown.rules.modules.iter().filter_map(|(module, rules)| {
        let changed = shown.changes.modules.get(module)?;
        let old = changed.old_facts().filter(|_| changed.loaded.is_some())?;
        (rules.pre_purge.value != Purge::Brutal).then_some((module, &old.code.waits))
    });
    let all: Vec<String> = replaced
        .flat_map(|(module, waits)| waits.iter().map(move |f| place(module, f)))
        .collect();
    let shown = all.iter().take(WAITING).cloned().collect::<Vec<_>>();
    let more = all.len().saturating_sub(WAITING);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = format!(
        "not possible while a caller waits in {}{more} for a suspended process: then the node stays new (21)",
        shown.join(", ")
    );
    (!all.is_empty()).then(|| attention(style, &text))
}

/// Hooks whose effects no way back would undo: those that act, when the plan has no `on rollback`.
pub(super) fn effects(shown: &PreviewInput<'_>, style: Style) -> Option<String> {
    let hooks = &shown.plan.hooks;
    if hooks.iter().any(|hook| hook.when == When::Rollback) {
        return None;
    }
    let around = hooks
        .iter()
        .filter(|hook| matches!(hook.when, When::Before | When::After))
        .map(|hook| hook.when.words());
    let steps = shown
        .script
        .inserted
        .iter()
        .filter_map(|(low, _)| match low {
            Instruction::Hook { name, .. } => Some(name.as_str()),
            _ => None,
        });
    let mut names: Vec<&str> = Vec::new();
    for name in around.chain(steps) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let text = format!(
        "not undone: what hooks do ({}); the plan has no `on rollback`",
        names.join(", ")
    );
    (!names.is_empty()).then(|| attention(style, &text))
}

/// Where code and configuration will come from.
pub(super) fn settings(rules: &Ruleset, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let arrow = if style.unicode { "→" } else { "->" };
    for one in &rules.moves {
        lines.push(format!(
            "  paths    {}: {} {arrow} {}",
            one.app, one.from, one.to
        ));
    }
    for configured in &rules.env {
        let keys: Vec<String> = configured
            .keys
            .iter()
            .map(|change| {
                let key = Term::Atom(change.key.clone());
                match (&change.was, &change.new) {
                    (None, Some(new)) => format!("{key} = {new} (new)"),
                    (Some(was), Some(new)) => format!("{key} = {was} {arrow} {new}"),
                    (_, None) => format!("{key} goes"),
                }
            })
            .collect();
        lines.push(format!(
            "  env      {}: {}",
            configured.app,
            keys.join(", ")
        ));
    }
    lines
}
