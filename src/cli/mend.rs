//! `updo mend`: what runs have left on a node whose processes are dead: shown, asked about, put right.

use serde_json::json;

use super::args::MendArgs;
use super::context::Context;
use super::eval::connect;
use super::exit::Exit;
use crate::diag::SourceMap;
use crate::engine::leftovers;
use crate::name::NodeName;
use crate::node::agent;
use crate::report::style;

pub(super) fn run(context: &Context<'_>, args: &MendArgs) -> Exit {
    let ui = &context.ui;
    let none = SourceMap::default();
    let node = NodeName::new(&args.node);
    let session = match connect(context, &node) {
        Ok(session) => session,
        Err(diagnostic) => return context.fail(*diagnostic, &none),
    };
    let records = context.settings().records();
    let traces = match leftovers::inspect(&session, &records) {
        Ok(Some(traces)) => traces,
        Ok(None) => {
            let holder = agent::lock_holder(&session).ok().flatten();
            let locked = agent::locked(&session, holder.unwrap_or_default());
            return context.fail(locked, &none);
        }
        Err(diagnostic) => return context.fail(*diagnostic, &none),
    };
    let say = |mended: bool, left: &[String]| {
        if ui.json {
            let document = json!({ "node": node.as_str(), "mended": mended, "left": left });
            ui.data(&format!("{document:#}\n"));
        }
    };
    for line in traces.lines() {
        ui.status(&format!("  {line}"));
    }
    if traces.is_clean() {
        say(false, &[]);
        ui.error_line(&format!(
            "{} no run has left anything on {node}",
            style::mark(ui.style, true)
        ));
        return Exit::Done;
    }
    if args.yes {
        ui.status("(--yes)");
    } else {
        let question = match traces.is_only_states() {
            true => "Convert these processes once more, with the code that runs?",
            false => "Resume processes, restore or delete saved states, and remove the agent?",
        };
        match ui.confirm(question) {
            Some(true) => {}
            Some(false) => return Exit::Broken,
            None => {
                return context.usage(
                    "standard input is not a terminal: the question cannot be answered",
                    "add --yes",
                );
            }
        }
    }
    let after = match traces.mend(&session, &records) {
        Ok(after) => after,
        Err(diagnostic) => return context.fail(*diagnostic, &none),
    };
    let whole = after.is_clean() && after.unconverted.is_empty();
    let left = if whole { Vec::new() } else { after.lines() };
    say(true, &left);
    for line in &left {
        ui.error_line(&format!("  {line}"));
    }
    if let (false, Some(run)) = (whole, after.undoable(&records)) {
        ui.error_line(&format!("  back to the old version: updo rollback {run}"));
    }
    let words = if whole {
        "nothing is left of it"
    } else {
        "this is left: it needs manual repair"
    };
    ui.error_line(&format!("{} {node}: {words}", style::mark(ui.style, whole)));
    if whole { Exit::Done } else { Exit::Broken }
}
