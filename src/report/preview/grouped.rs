//! The instructions of a large upgrade, on one screen: what deserves a look first by name, everything by kind with
//! counts, applications and the first names.
//!
//! Takes what a preview shows, gives lines; every instruction with its reasons is what `--full` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::super::style::{attention, count, faint, hint, name};
use super::instruction::{child_lines, headline, update};
use super::{PreviewInput, place, some_of};
use crate::diag::render::Style;
use crate::diag::{Code, Severity};
use crate::name::Module;
use crate::rules::conversions::converted;
use crate::rules::{Change, Class, Origin};
use crate::script::high::HighStep;
use crate::script::instruction::Instruction;

/// So many instructions are listed one by one; more are grouped.
pub(super) const LISTED: usize = 12;

/// Instructions that are named before the groups.
const NOTED: usize = 6;

/// A warning that names more modules than these says nothing about one of them.
const SINGLED_OUT: usize = LISTED;

/// Lines about one of them.
const LINES: usize = 2;

/// What happens with a module, the unusual first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Supervisor,
    Converted,
    Suspended,
    Deleted,
    Added,
    Executed,
    Idle,
    Loaded,
}

/// The instructions of one kind.
struct Group<'a> {
    steps: Vec<&'a HighStep>,
    processes: usize,
    /// How many are of each application.
    apps: BTreeMap<&'a str, usize>,
}

/// The lines.
pub(super) fn instructions(out: &mut String, shown: &PreviewInput<'_>, style: Style) {
    noted(out, shown, style);
    let mut groups: BTreeMap<Kind, Group<'_>> = BTreeMap::new();
    for step in &shown.script.high {
        let changed = shown.changes.modules.get(&step.module);
        let group = groups.entry(kind(shown, step)).or_insert_with(|| Group {
            steps: Vec::new(),
            processes: 0,
            apps: BTreeMap::new(),
        });
        group.steps.push(step);
        group.processes += changed.map_or(0, |changed| changed.processes);
        let app = changed.and_then(|changed| changed.app.as_ref());
        let app = app.map_or("no application", |app| app.as_str());
        *group.apps.entry(app).or_default() += 1;
    }
    for (kind, group) in &groups {
        one(out, shown, *kind, group, style);
    }
    let all = format!("all instructions with their reasons: {}", shown.full);
    let _ = writeln!(out, "  {}", hint(style, &all));
}

fn one(out: &mut String, shown: &PreviewInput<'_>, kind: Kind, group: &Group<'_>, style: Style) {
    let modules = |one: &str, many: &str| count(group.steps.len(), one, many);
    let processes = count(group.processes, "process", "processes");
    let executes = match group.processes {
        1 => "1 process executes".to_owned(),
        _ => format!("{processes} execute"),
    };
    let (word, what) = match kind {
        Kind::Supervisor => (
            "update",
            format!(
                "{}, {processes}: the child specifications are renewed",
                modules("supervisor", "supervisors")
            ),
        ),
        Kind::Converted => (
            "update",
            format!(
                "{}, {processes}: suspended, states converted",
                modules("server", "servers")
            ),
        ),
        Kind::Suspended => (
            "update",
            format!(
                "{}, {processes}: suspended, states untouched",
                modules("server", "servers")
            ),
        ),
        Kind::Idle => (
            "update",
            format!("{}, no processes", modules("server", "servers")),
        ),
        Kind::Deleted => (
            "delete",
            modules("module is removed", "modules are removed"),
        ),
        Kind::Added => (
            "add",
            modules("module, not loaded yet", "modules, not loaded yet"),
        ),
        Kind::Executed => (
            "load",
            format!("{} that {executes}", modules("module", "modules")),
        ),
        Kind::Loaded => (
            "load",
            format!("{}, no processes", modules("module", "modules")),
        ),
    };
    let _ = writeln!(out, "     {word:<6}  {}", name(style, &what));
    let apps: Vec<String> = match group.apps.len() {
        1 => group.apps.keys().map(|app| (*app).to_owned()).collect(),
        _ => {
            let mut apps: Vec<_> = group.apps.iter().collect();
            apps.sort_by_key(|(app, number)| (std::cmp::Reverse(**number), **app));
            apps.iter()
                .map(|(app, number)| format!("{app} ({number})"))
                .collect()
        }
    };
    let apps = match group.apps.len() {
        1 => apps.join(""),
        many => format!("{many} applications: {}", some_of(&apps, LISTED, style)),
    };
    let _ = writeln!(out, "             of {apps}");
    let names: Vec<String> = group
        .steps
        .iter()
        .map(|step| step.module.to_string())
        .collect();
    let _ = writeln!(
        out,
        "             {}",
        faint(style, &some_of(&names, 6, style))
    );
    if kind == Kind::Converted {
        conversions(out, shown, &group.steps, style);
    }
}

/// What the conversions do, as counts; those that act are named.
fn conversions(out: &mut String, shown: &PreviewInput<'_>, steps: &[&HighStep], style: Style) {
    let mut by_word: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for step in steps {
        if let Some(does) = converted(shown.changes, shown.rules, &step.module) {
            let names = by_word.entry(does.word()).or_default();
            names.push(step.module.to_string());
        }
    }
    let mut words = Vec::new();
    for (word, sentence) in [
        ("acts", "act outside of their state"),
        ("function", "by a function of the plan"),
        ("reads", "read what is outside of their state"),
        ("pure", "pure"),
        ("none", "convert nothing"),
    ] {
        let Some(names) = by_word.get(word) else {
            continue;
        };
        let named = match word {
            "acts" | "function" => format!(" ({})", some_of(names, 4, style)),
            _ => String::new(),
        };
        words.push(format!("{} {sentence}{named}", names.len()));
    }
    if !words.is_empty() {
        let _ = writeln!(out, "             conversions: {}", words.join(", "));
    }
}

fn kind(shown: &PreviewInput<'_>, step: &HighStep) -> Kind {
    let rules = shown.rules.modules.get(&step.module);
    let class = rules.map_or(Class::Library, |rules| rules.class.value);
    let changed = shown.changes.modules.get(&step.module);
    let running = changed.is_some_and(|changed| changed.processes > 0);
    match &step.instruction {
        Instruction::DeleteModule { .. } => Kind::Deleted,
        Instruction::AddModule { .. } => Kind::Added,
        Instruction::Update { .. } if class == Class::Supervisor => Kind::Supervisor,
        Instruction::Update { .. } if !running => Kind::Idle,
        Instruction::Update { change, .. } if *change == Change::Soft => Kind::Suspended,
        Instruction::Update { .. } => Kind::Converted,
        _ if running => Kind::Executed,
        _ => Kind::Loaded,
    }
}

/// An instruction that is named before the groups, and why.
struct Noted<'a> {
    number: usize,
    step: &'a HighStep,
    codes: BTreeSet<&'static str>,
    lines: Vec<String>,
    order: (u8, Kind, usize),
}

/// What errors and warnings name, what the plan says something about, and supervisors whose children change.
fn noted(out: &mut String, shown: &PreviewInput<'_>, style: Style) {
    let codes = singled_out(shown);
    let mut all: Vec<Noted<'_>> = Vec::new();
    for (at, step) in shown.script.high.iter().enumerate() {
        let mut lines = Vec::new();
        let codes = codes.get(&step.module).cloned().unwrap_or_default();
        let planned = step.why.iter().find_map(|why| match &why.origin {
            Origin::Plan { span, because } => {
                let text = match because {
                    Some(because) => format!("because \"{because}\""),
                    None => why.text.clone(),
                };
                let place = hint(style, &place(shown.sources(), *span));
                Some(format!("{text}  {place}"))
            }
            _ => None,
        });
        let children = child_lines(shown, &step.module, style);
        let rank = match (codes.is_empty(), &planned, children.is_empty()) {
            (false, ..) => 0,
            (true, Some(_), _) => 1,
            (true, None, false) => 2,
            (true, None, true) => continue,
        };
        lines.extend(planned);
        let more = children.len().saturating_sub(LINES);
        lines.extend(children.into_iter().take(LINES));
        if more > 0 {
            let more = count(more, "more line", "more lines");
            lines.push(faint(style, &format!("and {more} about its children")));
        }
        all.push(Noted {
            number: at + 1,
            step,
            codes,
            lines,
            order: (rank, kind(shown, step), at),
        });
    }
    all.sort_by_key(|noted| noted.order);
    for noted in all.iter().take(NOTED) {
        let codes: Vec<&str> = noted.codes.iter().copied().collect();
        let see = match codes.as_slice() {
            [] => String::new(),
            codes => format!(
                "  {}",
                attention(style, &format!("see {}", codes.join(", ")))
            ),
        };
        let line = headline(shown, noted.number, noted.step, style);
        let _ = writeln!(out, "{line}{see}");
        if let Some(what) = update(&noted.step.instruction).filter(|_| !noted.lines.is_empty()) {
            let _ = writeln!(out, "       {}", faint(style, &what));
        }
        for line in &noted.lines {
            let _ = writeln!(out, "       {line}");
        }
    }
    if all.len() > NOTED {
        let more = count(
            all.len() - NOTED,
            "more module of which the plan, a warning or its children speak",
            "more modules of which the plan, a warning or their children speak",
        );
        let _ = writeln!(out, "       and {more}");
    }
    if !all.is_empty() {
        out.push('\n');
    }
}

/// The codes of errors and warnings that name a module, unless they name many.
fn singled_out(shown: &PreviewInput<'_>) -> BTreeMap<Module, BTreeSet<&'static str>> {
    let mut by_code: BTreeMap<&'static str, BTreeSet<Module>> = BTreeMap::new();
    for diagnostic in shown.diagnostics {
        if diagnostic.severity() == Severity::Advice {
            continue;
        }
        // A warning that counts the rest is about many, not about those that it names.
        if diagnostic.notes.iter().any(|note| note.starts_with("and ")) {
            continue;
        }
        let texts = std::iter::once(&diagnostic.title)
            .chain(&diagnostic.notes)
            .chain(diagnostic.labels.iter().map(|label| &label.text));
        let between = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@' | '.'));
        let words = texts.flat_map(|text| text.split(between));
        let modules = words
            .map(|word| Module::new(word.trim_matches('.')))
            .filter(|module| shown.rules.modules.contains_key(module));
        let code: Code = diagnostic.code;
        by_code.entry(code.as_str()).or_default().extend(modules);
    }
    let mut codes: BTreeMap<Module, BTreeSet<&'static str>> = BTreeMap::new();
    for (code, modules) in by_code {
        if modules.len() > SINGLED_OUT {
            continue;
        }
        for module in modules {
            codes.entry(module).or_default().insert(code);
        }
    }
    codes
}
