//! The command of a `gate`, between two stages, and why it does not let the next one begin.

use super::command::{self, BoundedCommand, CommandEnd, CommandRun};
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
    let within = humantime::format_duration(gate.within);
    let why = match &run.end {
        CommandEnd::Exit(code) => format!("exit code {code}"),
        CommandEnd::Signal(signal) => format!("ended by signal {signal}"),
        CommandEnd::TooLong => format!("it took longer than {within} and was ended"),
        CommandEnd::Stopped => "it was ended on request".to_owned(),
        CommandEnd::NotStarted(why) => format!("it could not be started: {why}"),
    };
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
    if !run.left.is_empty() {
        let left: Vec<String> = run.left.iter().map(ToString::to_string).collect();
        let note = format!("processes that could not be ended: {}", left.join(", "));
        diagnostic.notes.push(note);
    }
    let folder = match gate.folder.to_str() {
        Some(".") => "the folder of the plan".to_owned(),
        _ => gate.folder.display().to_string(),
    };
    diagnostic.help(format!("run it by hand, with `sh -c`, in {folder}"))
}
