//! `updo log`: the recorded runs, the newest first.

use serde_json::{Value, json};

use super::args::LogArgs;
use super::context::Context;
use super::exit::Exit;
use super::time::time;
use crate::report::style;
use crate::state::runs::{RecordedRun, RunRecords};

pub(super) fn run(context: &Context<'_>, args: &LogArgs) -> Exit {
    let mut all = RunRecords::new(&context.settings().state_dir).all();
    all.reverse();
    let shown = &all[..args.last.unwrap_or(all.len()).min(all.len())];
    if context.ui.json {
        let lines: Vec<Value> = shown.iter().map(document).collect();
        context.ui.json(&format!("{:#}\n", Value::Array(lines)));
        return Exit::Done;
    }
    if shown.is_empty() {
        context.ui.status("no recorded runs");
    }
    let style = context.ui.out_style;
    for run in shown {
        let state = format!("{:<8}", run.state);
        let state = match run.state.as_str() {
            "new" => style::good(style, &state),
            "mixed" => style::bad(style, &state),
            _ => style::attention(style, &state),
        };
        let rollout = match &run.rollout {
            Some(rollout) => format!("  rollout {rollout}"),
            None => String::new(),
        };
        let note = match &run.note {
            Some(note) => format!("  {}", note.escape_debug()),
            None => String::new(),
        };
        let line = format!(
            "{}  {}  {state}  {}  {}  {}{rollout}{note}\n",
            run.run,
            time(run.began),
            run.node,
            run.title,
            run.owner
        );
        context.ui.data(&line);
    }
    Exit::Done
}

pub(super) fn document(run: &RecordedRun) -> Value {
    json!({
        "run": run.run,
        "rollout": run.rollout,
        "note": run.note,
        "node": run.node.as_str(),
        "title": run.title,
        "plan": run.plan.display().to_string(),
        "owner": run.owner,
        "began": run.began,
        "state": run.state,
    })
}
