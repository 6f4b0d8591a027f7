//! The preview: what will happen, line by line, with the reason for every line.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use super::style::{count, duration_text, faint, hint, name};
use crate::diag::render::Style;
use crate::diag::{Diagnostic, SourceMap, Span, safe};
use crate::exec::pause::Pause;
use crate::facts::change::{ChangeSet, Changed};
use crate::facts::compare::restart::Rewrite;
use crate::graph::Graph;
use crate::name::{Module, NodeName};
use crate::plan::{Check, Gate, Hold, Hook, Plan, RollbackPolicy, RollbackTrigger, When};
use crate::rules::{Origin, Ruleset};
use crate::script::instruction::Instruction;
use crate::script::lower::{Executor, Script};
use crate::state::rehearsals::Figures;

mod children;
mod document;
mod footer;
mod grouped;
mod instruction;
mod written;

pub use document::{json, low};
pub(super) use document::{undo_of, why_json};
pub use written::Written;

/// What a preview shows of one node's upgrade.
#[derive(Clone, Debug)]
pub struct PreviewInput<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// Its OTP release.
    pub otp: u32,
    /// The plan.
    pub plan: &'a Plan,
    /// What differs.
    pub changes: &'a ChangeSet,
    /// The graph before the plan's rules.
    pub inferred: &'a Graph,
    /// What is decided.
    pub rules: &'a Ruleset,
    /// The instructions.
    pub script: &'a Script,
    /// What there is to say.
    pub diagnostics: &'a [Diagnostic],
    /// For how long processes would be suspended; `None` when nothing is to be said of it.
    pub pause: Option<PauseShown>,
    /// What shows everything: a flag, or a command of the REPL.
    pub full: &'static str,
    /// Files with lists of modules, which are written with the beams.
    pub lists: &'a [Rewrite],
    /// The other nodes on which the same will happen.
    pub others: Vec<&'a NodeName>,
}

/// What is known of the pause before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PauseShown {
    /// The last rehearsal of this upgrade has measured it.
    Rehearsed {
        /// What follows from it for the processes of now; `None` when no process has answered.
        pause: Option<Pause>,
        /// Seconds since.
        ago: u64,
        /// How many processes would be suspended.
        suspended: usize,
        /// What was measured.
        figures: Figures,
    },
    /// There was no rehearsal.
    Unmeasured {
        /// How many processes would be suspended.
        suspended: usize,
        /// What measures it.
        command: String,
    },
}

impl<'a> PreviewInput<'a> {
    fn sources(&self) -> &'a SourceMap {
        &self.plan.sources
    }
}

/// How much is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// One screen: instructions one by one with the strongest evidence of each edge, as long as they are few; many are
    /// grouped.
    Usual,
    /// However many instructions there are, each with its strongest evidence.
    Each,
    /// All evidence, and which modules were compared and are the same.
    Full,
}

impl Detail {
    /// So many names or lines of one kind are shown.
    fn most(self) -> usize {
        match self {
            Self::Usual => grouped::LISTED,
            Self::Each | Self::Full => usize::MAX,
        }
    }
}

/// The screen.
pub fn text(shown: &PreviewInput<'_>, style: Style, detail: Detail) -> String {
    let mut out = String::new();
    head(&mut out, shown, style, detail);
    if detail == Detail::Usual && shown.script.high.len() > grouped::LISTED {
        grouped::instructions(&mut out, shown, style);
    } else {
        for (at, step) in shown.script.high.iter().enumerate() {
            instruction::instruction(&mut out, shown, at + 1, step, style);
            instruction::reasons(&mut out, shown, step, style, detail);
        }
    }
    tail(&mut out, shown, style, detail);
    if detail == Detail::Full {
        same(&mut out, shown, style);
    }
    out
}

fn head(out: &mut String, shown: &PreviewInput<'_>, style: Style, detail: Detail) {
    let dot = if style.unicode { "·" } else { "-" };
    let plan = shown.plan;
    let ticket = plan
        .metadata
        .iter()
        .find(|(key, _)| key == "ticket")
        .and_then(|(_, v)| v.to_text());
    let ticket = ticket.map(|t| format!("  {t}")).unwrap_or_default();
    let path = hint(style, &plan.path.display().to_string());
    let _ = writeln!(
        out,
        "plan    {}{ticket}    {path}",
        name(style, &plan.title)
    );
    let arrow = if style.unicode { "→" } else { "->" };
    let apps = apps(shown.changes, arrow);
    let apps = if apps.is_empty() {
        String::new()
    } else {
        format!(" {dot} {}", some_apps(apps, detail))
    };
    let code = match plan.code {
        crate::plan::CodeFrom::OnDisk => "on the node's disk",
        crate::plan::CodeFrom::Push(_) => "pushed from here",
    };
    let mut nodes = vec![name(style, shown.node.as_str())];
    nodes.extend(shown.others.iter().map(|node| name(style, node.as_str())));
    let several = nodes.len() > 1;
    let _ = writeln!(
        out,
        "target  {} {dot} OTP {}{apps}    code: {code}",
        some_of(&nodes, detail.most(), style),
        shown.otp
    );
    if several {
        let each = format!(
            "        the same on all {}; numbers of processes are those of {}",
            nodes.len(),
            shown.node
        );
        let _ = writeln!(out, "{}", faint(style, &each));
    }
    out.push('\n');
    let compared = count(shown.changes.compared, "module", "modules");
    let inferred = shown.inferred.edges().count();
    let graph = &shown.rules.graph;
    let added = graph.edges().filter(|(_, _, e)| {
        e.reasons
            .iter()
            .any(|r| matches!(r, crate::graph::Reason::Plan { .. }))
    });
    let _ = writeln!(
        out,
        "  {} of {compared} changed    {} inferred, plan adds {}, removes {}\n",
        shown.script.high.len(),
        count(inferred, "edge", "edges"),
        added.count(),
        graph.removed.len()
    );
}

/// Applications with changed modules, the versions that run and those to come.
fn apps(changes: &ChangeSet, arrow: &str) -> Vec<String> {
    let mut apps: Vec<String> = changes
        .modules
        .values()
        .filter_map(|changed| changed.app.as_ref())
        .map(|app| {
            let old = changes.app_vsn.get(app).map_or("", String::as_str);
            let new = changes.new_vsn(app);
            if old == new || new.is_empty() {
                format!("{app} {old}")
            } else {
                format!("{app} {old} {arrow} {new}")
            }
        })
        .collect();
    apps.sort();
    apps.dedup();
    apps
}

/// Applications of which many are a number.
fn some_apps(mut apps: Vec<String>, detail: Detail) -> String {
    /// So many are named when there are more.
    const NAMED: usize = 3;
    if detail == Detail::Usual && apps.len() > 2 * NAMED {
        let more = apps.len() - NAMED;
        apps.truncate(NAMED);
        return format!("{} and {more} more applications", apps.join(", "));
    }
    apps.join(", ")
}

/// Names, the first ones when there are more than `most`.
fn some_of(names: &[String], most: usize, style: Style) -> String {
    /// So many are named when there are more.
    const NAMED: usize = 4;
    if names.len() <= most {
        return names.join(", ");
    }
    let dots = if style.unicode { "…" } else { "..." };
    let more = names.len() - NAMED;
    format!("{}, {dots} and {more} more", names[..NAMED].join(", "))
}

/// The modules that were compared and are what they were.
fn unchanged<'a>(shown: &PreviewInput<'a>) -> BTreeSet<&'a str> {
    let same = shown.changes.same.iter();
    same.filter(|module| !shown.changes.modules.contains_key(*module))
        .map(Module::as_str)
        .collect()
}

/// The same for people.
fn same(out: &mut String, shown: &PreviewInput<'_>, style: Style) {
    let same = unchanged(shown);
    let number = count(same.len(), "module", "modules");
    let _ = writeln!(out, "\n  same     {number}");
    let names: Vec<String> = same.into_iter().map(str::to_owned).collect();
    listed(out, "           ", &names, style);
}

/// Names with commas between them, in as many lines as the width asks for; `head` is before the first.
/// `error rate (for 5m)`
pub fn hold_words(hold: &Hold) -> String {
    let within = match hold.within {
        Duration::ZERO => String::new(),
        within => format!(" within {}", duration_text(within)),
    };
    format!(
        "{} (for {}{within})",
        safe::line(&hold.name),
        duration_text(hold.time)
    )
}

/// ``p99 (`curl …`, within 30s)``
pub fn gate_words(gate: &Gate) -> String {
    /// So much of a command is shown.
    const SHOWN: usize = 60;
    let command = safe::line(&gate.command);
    let shown = match command.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.into_owned(),
    };
    format!(
        "{} (`{shown}`, within {})",
        safe::line(&gate.name),
        duration_text(gate.within)
    )
}

fn listed(out: &mut String, head: &str, names: &[String], style: Style) {
    let indent = " ".repeat(head.chars().count().min(style.width / 2));
    let mut line = head.to_owned();
    let mut fresh = true;
    for (at, name) in names.iter().enumerate() {
        let comma = if at + 1 < names.len() { "," } else { "" };
        let wide = line.chars().count() + 1 + name.chars().count() + comma.len();
        if !fresh && wide > style.width {
            let _ = writeln!(out, "{line}");
            line.clone_from(&indent);
            fresh = true;
        }
        if !fresh {
            line += " ";
        }
        line = line + name + comma;
        fresh = false;
    }
    if !names.is_empty() {
        let _ = writeln!(out, "{line}");
    }
}

/// Lines of one kind, the first ones when there are more than `most`.
fn some_lines(out: &mut String, lines: &[String], most: usize) {
    /// So many are shown when there are more.
    const SHOWN: usize = 4;
    let shown = if lines.len() <= most {
        lines.len()
    } else {
        SHOWN
    };
    for line in &lines[..shown] {
        let _ = writeln!(out, "{line}");
    }
    if shown < lines.len() {
        let _ = writeln!(out, "           and {} more", lines.len() - shown);
    }
}

/// `demo.updo:11`
fn place(sources: &SourceMap, span: Span) -> String {
    sources.place(span).map_or_else(String::new, |place| {
        let file = place.file.rsplit('/').next().unwrap_or_default().to_owned();
        format!("{file}:{}", place.line)
    })
}

fn tail(out: &mut String, shown: &PreviewInput<'_>, style: Style, detail: Detail) {
    let plan = shown.plan;
    let most = detail.most();
    out.push('\n');
    let cycles = shown
        .rules
        .cycles
        .iter()
        .filter(|cycle| cycle.declared.is_some());
    for cycle in cycles {
        let names: Vec<String> = cycle.members.iter().map(ToString::to_string).collect();
        let names = some_of(&names, most, style);
        let _ = writeln!(out, "  cycle    {names} (known to the plan)");
    }
    let removed = shown.rules.graph.removed.iter().map(|removed| {
        let because = removed
            .because
            .as_ref()
            .map(|b| format!(" because \"{b}\""))
            .unwrap_or_default();
        format!(
            "  removed  {} no longer waits for {}{because}",
            removed.from, removed.to
        )
    });
    some_lines(out, &removed.collect::<Vec<_>>(), most);
    let left_out = shown.rules.left_out.iter().map(|(module, origin)| {
        let place = match origin {
            Origin::Plan { span, .. } => place(shown.sources(), *span),
            _ => String::new(),
        };
        format!("  left out {module}  {}", hint(style, &place))
    });
    some_lines(out, &left_out.collect::<Vec<_>>(), most);
    footer::windows(out, shown, style, most);
    if let Some(pause) = &shown.pause {
        let line = match pause {
            PauseShown::Unmeasured { .. } => hint(style, &footer::pause(pause)),
            PauseShown::Rehearsed { .. } => footer::pause(pause),
        };
        let _ = writeln!(out, "  pause    {line}");
    }
    if let Executor::ReleaseHandler(libraries) = &shown.script.by {
        let folders: Vec<String> = libraries
            .iter()
            .map(|l| format!("{}/ebin", l.folder))
            .collect();
        let _ = writeln!(
            out,
            "  engine   release_handler: OTP's release_handler_1:eval_script/5 runs this on the node, with the beams in {}",
            folders.join(", ")
        );
    }
    some_lines(out, &footer::settings(shown.rules, style), most);
    let inserted = shown.script.inserted.iter().map(|(low, origin)| {
        let (line, because) = match origin {
            Origin::Plan { span, because } => (place(shown.sources(), *span), because.as_deref()),
            _ => (String::new(), None),
        };
        let because =
            because.map_or_else(String::new, |because| format!("  because \"{because}\""));
        let what = match low {
            Instruction::Hook { name, .. } => format!("hook     {name}"),
            other => format!("insert   {other}"),
        };
        format!("  {what}{because}  {}", hint(style, &line))
    });
    some_lines(out, &inserted.collect::<Vec<_>>(), most);
    let names = |checks: &[Check]| -> Vec<String> {
        let name = |check: &Check| match check.within {
            Duration::ZERO => check.name.clone(),
            within => format!("{} (within {})", check.name, duration_text(within)),
        };
        checks.iter().map(name).collect()
    };
    let rehearsed: Vec<String> = plan.state_checks.iter().map(|c| c.name.clone()).collect();
    listed(out, "  first    rehearse ", &rehearsed, style);
    listed(out, "  before   require ", &names(&plan.requires), style);
    listed(out, "  after    verify ", &names(&plan.verifies), style);
    let holds: Vec<String> = plan.holds.iter().map(hold_words).collect();
    listed(out, "  stages   hold ", &holds, style);
    let gates: Vec<String> = plan.gates.iter().map(gate_words).collect();
    listed(out, "  between  gate ", &gates, style);
    let hook = |hook: &Hook| {
        // A hook at a step is above, where the script has it.
        let when = (hook.when != When::Step).then(|| hook.when.words())?;
        let place = hint(style, &place(shown.sources(), hook.span));
        Some(format!("{when}  {place}"))
    };
    for (at, line) in plan.hooks.iter().filter_map(hook).enumerate() {
        let word = if at == 0 { "hooks" } else { "" };
        let _ = writeln!(out, "  {word:<8} {line}");
    }
    let _ = writeln!(out, "  on fail  {}", on_failure(plan, style));
    for line in Written::by_upgrade(shown)
        .iter()
        .flat_map(|written| written.lines(most, style))
    {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "  undo     {}", footer::undo(shown, style, most));
    for text in [footer::waiting(shown, style), footer::effects(shown, style)] {
        let Some(text) = text else { continue };
        let _ = writeln!(out, "           {text}");
    }
    let pause = shown.pause.as_ref();
    let lost = pause.and_then(|pause| footer::not_given_back(pause, style, most));
    if let Some(text) = lost {
        let _ = writeln!(out, "  rollback {text}");
    }
}

/// What happens when the new node is not as it should be, and when it takes too long.
fn on_failure(plan: &Plan, style: Style) -> String {
    let mut text = match plan.rollback {
        RollbackPolicy::Automatic if plan.rollback_on == RollbackTrigger::ALL => {
            "rollback automatic".to_owned()
        }
        RollbackPolicy::Automatic => {
            let words: Vec<&str> = plan.rollback_on.iter().map(|on| on.word()).collect();
            format!("rollback automatic on {}", words.join(", "))
        }
        RollbackPolicy::Manual => "rollback manual: on failure the new code stays".to_owned(),
        RollbackPolicy::Never => "rollback never: on failure the new code stays".to_owned(),
    };
    if let Some(deadline) = plan.deadline {
        let dot = if style.unicode { "·" } else { "-" };
        text += &format!(" {dot} deadline {}", duration_text(deadline));
    }
    text
}

fn is_one_way(changed: &Changed) -> bool {
    changed.loaded.is_some() && changed.old.is_none()
}
