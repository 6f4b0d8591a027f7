//! One instruction of a preview: what it does, and why it is there.

use std::fmt::Write;

use super::super::style::{count, duration_text, faint, hint, name};
use super::{Detail, PreviewInput, children, place};
use crate::diag::render::Style;
use crate::name::Module;
use crate::rules::conversions::converted;
use crate::rules::{Change, Class, Origin, Purge, Timeout};
use crate::script::high::HighStep;
use crate::script::instruction::Instruction;

/// Reasons that were found, for one instruction, until the rest is only counted. The plan's own are always shown.
const REASONS: usize = 8;

/// The number, the word, the module, its class and its processes.
pub(super) fn headline(
    shown: &PreviewInput<'_>,
    number: usize,
    step: &HighStep,
    style: Style,
) -> String {
    let module = &step.module;
    let word = step.instruction.word();
    let word = word.strip_suffix("_module").unwrap_or(word);
    let class = shown
        .rules
        .modules
        .get(module)
        .map_or(Class::Library, |rules| rules.class.value);
    let running = shown
        .changes
        .modules
        .get(module)
        .map_or(0, |changed| changed.processes);
    let runners = match running {
        0 => String::new(),
        n => format!("  {}", count(n, "process", "processes")),
    };
    let shown_name = format!("{:<28}", module.to_string());
    format!(
        "{number:>3}  {word:<6}  {}  {class}{runners}{}",
        name(style, shown_name.as_str()),
        purges(&step.instruction)
    )
}

/// What an update does with processes and states.
pub(super) fn update(instruction: &Instruction) -> Option<String> {
    let Instruction::Update {
        change,
        supervisor,
        timeout,
        ..
    } = instruction
    else {
        return None;
    };
    let what = match change {
        Change::Soft => "suspend and resume, states untouched".to_owned(),
        _ if *supervisor => "renew the child specifications".to_owned(),
        Change::Advanced(extra) => format!("convert states with {{advanced, {extra}}}"),
        Change::Convert { module, function } => {
            format!("convert states with fun {module}:{}/1", function.as_str())
        }
    };
    let within = match timeout {
        Timeout::Default => String::new(),
        Timeout::After(limit) => format!("  timeout {}", duration_text(*limit)),
        Timeout::Infinity | Timeout::Beyond(_) => "  no timeout".to_owned(),
    };
    Some(what + &within)
}

/// What becomes of a module's children, as lines.
pub(super) fn child_lines(shown: &PreviewInput<'_>, module: &Module, style: Style) -> Vec<String> {
    let mut lines = String::new();
    if let Some(rules) = shown.rules.modules.get(module) {
        children::children(&mut lines, rules, style);
    }
    lines.lines().map(|line| line.trim().to_owned()).collect()
}

/// One instruction, with what it does.
pub(super) fn instruction(
    out: &mut String,
    shown: &PreviewInput<'_>,
    number: usize,
    step: &HighStep,
    style: Style,
) {
    let module = &step.module;
    let _ = writeln!(out, "{}", headline(shown, number, step, style));
    if let Some(what) = update(&step.instruction) {
        let _ = writeln!(out, "       {what}");
    }
    if let Instruction::Update { change, .. } = &step.instruction
        && *change != Change::Soft
        && let Some(converted) = converted(shown.changes, shown.rules, module)
    {
        let _ = writeln!(out, "       conversion: {converted}");
    }
    if let Some(rules) = shown.rules.modules.get(module) {
        children::children(out, rules, style);
    }
}

/// What becomes of those that still run the old code, when it is not the usual.
fn purges(instruction: &Instruction) -> String {
    let (pre, post) = match instruction {
        Instruction::Update { pre, post, .. } | Instruction::LoadModule { pre, post, .. } => {
            (*pre, *post)
        }
        _ => return String::new(),
    };
    let words = |purge| match purge {
        Purge::Defer => "defer".to_owned(),
        Purge::Soft => "soft".to_owned(),
        Purge::Brutal => "brutal".to_owned(),
        Purge::Wait(limit) => format!("wait {}", duration_text(limit)),
    };
    match (words(pre), words(post)) {
        _ if (pre, post) == (Purge::Defer, Purge::Defer) => String::new(),
        (pre, post) if pre == post => format!("  purge {pre}"),
        (pre, post) => format!("  purge {pre} before, {post} after"),
    }
}

/// Why an instruction is there, and at its position.
pub(super) fn reasons(
    out: &mut String,
    shown: &PreviewInput<'_>,
    step: &HighStep,
    style: Style,
    detail: Detail,
) {
    let full = detail == Detail::Full;
    let mut found = 0;
    for why in &step.why {
        if !matches!(why.origin, Origin::Plan { .. }) {
            found += 1;
            if found > REASONS && !full {
                continue;
            }
        }
        let line = match &why.origin {
            Origin::Plan { span, because } => {
                let place = place(shown.sources(), *span);
                // An edge's text says after which modules.
                let after = why.text.split_once(": ").map(|(after, _)| after);
                let after = after.filter(|text| text.starts_with("after "));
                let after = after.map_or_else(String::new, |text| format!("{text} "));
                match because {
                    Some(because) => {
                        format!("{after}because \"{because}\"  {}", hint(style, &place))
                    }
                    None => format!("{}  {}", why.text, hint(style, &place)),
                }
            }
            _ => faint(style, &why.text),
        };
        let _ = writeln!(out, "       {line}");
    }
    let more = found.saturating_sub(REASONS);
    if more > 0 && !full {
        let more = count(more, "more reason", "more reasons");
        let _ = writeln!(out, "       and {more}: {}", hint(style, shown.full));
    }
    if full {
        evidence(out, shown, step, style);
    }
}

/// What else speaks for each edge.
fn evidence(out: &mut String, shown: &PreviewInput<'_>, step: &HighStep, style: Style) {
    let module = &step.module;
    for (to, edge) in shown.rules.graph.dependencies(module) {
        for reason in edge.reasons.iter().skip(1) {
            let line = format!("after {to}: {}", reason.sentence(module, to));
            let _ = writeln!(out, "       {}", faint(style, &line));
        }
    }
}
