//! `updo preview`: what would happen, on every node of the target. Changes nothing.

use std::path::Path;

use super::args::PreviewArgs;
use super::context::Context;
use super::exit::Exit;
use super::pager;
use super::same::{self, PlannedNode};
use super::standard_input::STDIN;
use crate::diag::{Code, Result};
use crate::engine::saved_script::Saved;
use crate::engine::{Connection, Engine, Upgrade};
use crate::name::NodeName;
use crate::plan::load::absolute;
use crate::report::style::count;
use crate::report::{preview, rollout, wrap};
use crate::script::instruction::Instruction;
use crate::script::otp;
use crate::term::{Term, pretty};

pub(super) fn run(context: &Context<'_>, args: &PreviewArgs) -> Exit {
    let mut settings = match context.settings_for(Some(&args.plan), &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    settings.strict = args.strict;
    let Some(engine) = context.open(&args.plan, settings) else {
        return Exit::Plan;
    };
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    let mut failed = None;
    for node in &nodes {
        let prepared = engine.connect(node).and_then(|connection| {
            let upgrade = connection.prepare()?;
            Ok((connection, upgrade))
        });
        match prepared {
            Ok(prepared) => all.push(prepared),
            Err(diagnostic) => {
                failed = Some(diagnostic);
                break;
            }
        }
    }
    let planned = all.iter().map(|(connection, upgrade)| PlannedNode {
        connection,
        upgrade,
    });
    let planned: Vec<PlannedNode<'_>> = planned.collect();
    // Scripts and documents are about one node each.
    let is_screen = !(context.ui.json || args.low || args.terms || args.appup || args.relup);
    let blocks = match is_screen {
        true => same::blocks(&planned),
        false => planned.iter().map(|planned| vec![*planned]).collect(),
    };
    for block in &blocks {
        let printed = print(context, args, &engine, block);
        let upgrade = block[0].upgrade;
        if block.iter().any(|one| one.upgrade.is_refused()) || !printed {
            exit = Exit::Plan;
        } else if args.exit_code && !upgrade.is_empty() && exit == Exit::Done {
            exit = Exit::Pending;
        }
    }
    // What was seen before a node could not be reached is worth a look all the same.
    if let Some(diagnostic) = failed {
        return context.fail(*diagnostic, &engine.plan.sources);
    }
    let pending = planned.iter().filter(|planned| !planned.upgrade.is_empty());
    let pending: Vec<NodeName> = pending.map(|planned| planned.node().clone()).collect();
    let rollout = engine.rollout(context.global.target.as_deref(), &nodes);
    if is_screen && pending.len() > 1 {
        let pending = rollout.ordered(&pending);
        let stages = rollout.stages(&pending, nodes.len());
        let words = rollout::stages(&rollout, &stages, &pending, context.ui.out_style);
        context.ui.data(&format!("\n{words}\n"));
    }
    // Nodes that switch at one instant meet no other version.
    if nodes.len() > 1 && rollout.together.is_none() {
        let upgrades = planned.iter().map(|planned| planned.upgrade);
        let crossing = crate::engine::rollout::crossing(upgrades);
        context.ui.diagnostics(&crossing, &engine.plan.sources);
    }
    let all: Vec<(NodeName, &Upgrade)> = planned
        .iter()
        .map(|planned| (planned.node().clone(), planned.upgrade))
        .collect();
    match &args.output {
        Some(file) if exit != Exit::Plan => save(context, &engine, &all, file).unwrap_or(exit),
        _ => exit,
    }
}

/// Saves what was shown; an exit code when that cannot be.
fn save(
    context: &Context<'_>,
    engine: &Engine,
    all: &[(NodeName, &Upgrade)],
    file: &Path,
) -> Option<Exit> {
    if !Saved::is(file) {
        return Some(context.usage(
            "a saved script is called something.script",
            "-o upgrade.script",
        ));
    }
    let path = &engine.plan.path;
    if path == Path::new(STDIN) {
        let title =
            "a saved script names the file of its plan, and this one came from standard input";
        return Some(context.usage(title, "write the plan into a file"));
    }
    let print =
        |(node, upgrade): &(NodeName, &Upgrade)| (node.clone(), Saved::fingerprint(upgrade));
    let saved = Saved {
        plan: absolute(path),
        digest: Saved::digest(&engine.plan),
        sets: engine.settings.sets_of(&engine.plan),
        push: engine.settings.push.clone(),
        nodes: all.iter().map(print).collect(),
    };
    let upgrades: Vec<&Upgrade> = all.iter().map(|(_, upgrade)| *upgrade).collect();
    match super::report::write(file, &saved.text(&upgrades)) {
        Ok(()) => {
            context
                .ui
                .status(&format!("saved  updo run {}", file.display()));
            None
        }
        Err(diagnostic) => Some(context.fail(diagnostic, &engine.plan.sources)),
    }
}

/// Prints what was asked for; `false` when OTP has no words for it.
fn print(
    context: &Context<'_>,
    args: &PreviewArgs,
    engine: &Engine,
    block: &[PlannedNode<'_>],
) -> bool {
    let PlannedNode {
        connection,
        upgrade,
    } = block[0];
    let mut shown = connection.preview(upgrade);
    shown.others = block.iter().skip(1).map(PlannedNode::node).collect();
    let detail = match args.full {
        true => preview::Detail::Full,
        false => preview::Detail::Usual,
    };
    let ui = &context.ui;
    let mut printed = true;
    if ui.json {
        ui.json(&format!("{:#}\n", preview::json(&shown, detail)));
        return printed;
    }
    if args.appup || args.relup {
        match otp_script(upgrade, args.relup) {
            Ok(script) => ui.data(&format!("{}.\n", pretty(&script, 80))),
            Err(refused) => {
                ui.diagnostics(&[*refused], &engine.plan.sources);
                printed = false;
            }
        }
    } else if args.low {
        pager::show(context, &preview::low(&shown));
    } else if args.terms {
        let lines: Vec<String> = upgrade
            .script
            .high
            .iter()
            .map(|s| format!(" {}", s.instruction))
            .collect();
        let terms = format!("[{}].\n", lines.join(",\n").trim_start());
        pager::show(context, &terms);
    } else if upgrade.is_empty() {
        ui.data(&nothing(upgrade, connection));
    } else {
        let text = preview::text(&shown, ui.out_style, detail);
        match ui.out_terminal {
            true => pager::show(context, &wrap::wrapped(&text, ui.out_style.width)),
            false => pager::show(context, &text),
        }
    }
    ui.diagnostics(&same::diagnostics(block), &engine.plan.sources);
    printed
}

/// The instructions as OTP would have them: an appup's, or with `low` what it makes of them.
fn otp_script(upgrade: &Upgrade, low: bool) -> Result<Term> {
    let high = &upgrade.script.high;
    if !low {
        return otp::appup(high);
    }
    let script = otp::relup(&upgrade.changes, high)?;
    Ok(Term::list(script.iter().map(Instruction::to_term)))
}

/// The sentence for a node on which nothing is to be done: it runs the new code already, unless something was left alone.
pub(super) fn nothing(upgrade: &Upgrade, connection: &Connection<'_>) -> String {
    let node = connection.session.node();
    let compared = upgrade.changes.compared;
    let codes: Vec<&str> = upgrade.left_alone().into_iter().map(Code::as_str).collect();
    let left_out = match upgrade.rules.left_out.len() {
        0 => String::new(),
        number => format!(
            "; the plan leaves out {}",
            count(number, "module", "modules")
        ),
    };
    match codes.as_slice() {
        [] if left_out.is_empty() => {
            format!(
                "nothing to do: {node} runs the new code already ({compared} modules compared)\n"
            )
        }
        [] => format!("nothing to do on {node} ({compared} modules compared){left_out}\n"),
        codes => format!(
            "nothing to do on {node} ({compared} modules compared): what differs is left alone, see {}{left_out}\n",
            codes.join(", ")
        ),
    }
}
