//! The command of a `gate`, between two stages, and why it does not let the next one begin.

use super::command::{self, BoundedCommand, CommandRun};
use crate::diag::{Code, Diagnostic};
use crate::exec::Interrupt;
use crate::plan::{Gate, Plan};

/// So many lines of its output are shown.
const LINES: usize = 10;

/// Runs the command of a gate, in the folder of the plan's file.
pub(super) fn run(
    gate: &Gate,
    plan: &Plan,
    id: &str,
    variables: Vec<(&str, String)>,
    interrupt: &Interrupt,
) -> CommandRun {
    let what = BoundedCommand {
        text: &gate.command,
        folder: gate.folder.clone(),
        within: gate.within,
        id: id.to_owned(),
        variables,
        without: &[],
    };
    command::run(&what, plan, interrupt, interrupt.count(), &mut |_| {})
}

/// E646: why the next stage is not begun.
pub(super) fn refusal(gate: &Gate, run: &CommandRun, before: &str) -> Diagnostic {
    let why = run.why(gate.within);
    let shown = run.lines.len().saturating_sub(LINES);
    let title = format!(
        "the gate `{}` does not let {before} begin: {why}",
        gate.name
    );
    let mut diagnostic = Diagnostic::new(Code::E646, title).label(gate.span, "this command");
    diagnostic.notes = match run.lines.is_empty() {
        true => vec!["it wrote nothing".to_owned()],
        false => std::iter::once("its last lines:".to_owned())
            .chain(run.lines[shown..].iter().map(|line| format!("  {line}")))
            .collect(),
    };
    diagnostic.notes.extend(run.left_in_words());
    let folder = match gate.folder.to_str() {
        Some(".") => "the folder of the plan".to_owned(),
        _ => gate.folder.display().to_string(),
    };
    diagnostic.help(format!("run it by hand, with `sh -c`, in {folder}"))
}
