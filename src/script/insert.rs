//! Instructions that the plan puts into a script: where they go, and what they become.
//!
//! Takes a finished script and the plan's `insert` statements on this node, gives the script with them and what is wrong
//! with them. Nothing is moved to please OTP: whether the whole still obeys the laws says [`super::check`].

use super::error::ScriptError;
use super::instruction::{Call, Instruction, StartType};
use super::lower::{Script, leaving};
use super::{app_term, module_term, read};
use crate::diag::{Code, Diagnostic};
use crate::facts::node::node_facts::CORE;
use crate::name::{App, Module};
use crate::plan::Plan;
use crate::rules::plan_rules::{InsertPosition, Inserted, Insertion, StepWord};
use crate::rules::{Origin, Ruleset};
use crate::syntax::ast::StatementKind;
use crate::term::Term;

/// Puts instructions into a script, those of one place in the order of the text. `together`: whether all nodes of the
/// target go through it at the same time.
pub fn insert(
    script: &mut Script,
    rules: &Ruleset,
    insertions: &[Insertion],
    together: bool,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut placed: Vec<(usize, Vec<Instruction>, Origin)> = Vec::new();
    for insertion in insertions {
        let source = &insertion.source;
        let low = match &insertion.what {
            Inserted::Instruction(term, span) => match lowered(term, rules, together) {
                Ok(low) => low,
                Err(diagnostic) => {
                    diagnostics.push(diagnostic.label(*span, "this instruction"));
                    continue;
                }
            },
            Inserted::Hook(number) => vec![Instruction::Hook {
                number: *number,
                name: insertion.place.to_string(),
            }],
        };
        let Some(gap) = gap(&script.low, &insertion.place) else {
            let title = format!("there is no such step: `{}`", insertion.place);
            let code = if source.layer == 0 {
                Code::E403
            } else {
                Code::W403
            };
            diagnostics.push(
                Diagnostic::new(code, title)
                    .label(source.span, "refers to it")
                    .help("`updo preview --low` shows the steps of this upgrade"),
            );
            continue;
        };
        let origin = Origin::Plan {
            span: source.span,
            because: source.because.clone(),
        };
        placed.push((gap, low, origin));
    }
    placed.sort_by_key(|(gap, ..)| *gap);
    // From the end, so that the gaps in front stay where they are.
    for (gap, low, origin) in placed.into_iter().rev() {
        let inserted = low.iter().map(|low| (low.clone(), origin.clone()));
        script.inserted.splice(0..0, inserted.collect::<Vec<_>>());
        script.low.splice(gap..gap, low);
    }
    diagnostics
}

/// What can be reported about the `insert` statements of a plan without a node: instructions that are none.
pub fn check(plan: &Plan) -> Vec<Diagnostic> {
    let wrong = |rule: &crate::plan::Rule| match &rule.statement.kind {
        StatementKind::Insert { instruction, .. } => {
            let error = read::any_form(&instruction.as_literal()?).err()?;
            Some(malformed(&error).label(instruction.span, "this instruction"))
        }
        _ => None,
    };
    plan.rules.iter().filter_map(wrong).collect()
}

fn malformed(error: &ScriptError) -> Diagnostic {
    let text = error.to_string();
    let mut lines = text.lines();
    let mut diagnostic = Diagnostic::new(Code::E401, lines.next().unwrap_or_default());
    for line in lines {
        diagnostic = diagnostic.note(line);
    }
    diagnostic.help("instructions are those of OTP's appup(4) and relup(4)")
}

/// An instruction as steps of a run.
fn lowered(term: &Term, rules: &Ruleset, together: bool) -> Result<Vec<Instruction>, Diagnostic> {
    let instruction = read::any_form(term).map_err(|error| malformed(&error))?;
    let refuse = |title: String, help: &str| Err(Diagnostic::new(Code::E401, title).help(help));
    let takes_part = |module: &Module| match rules.modules.contains_key(module) {
        true => Ok(()),
        false => Err(Diagnostic::new(
            Code::E403,
            format!("`{module}` does not change in this upgrade"),
        )
        .help("to load or delete another module: `{apply, {code, …}}`")),
    };
    let word = instruction.word();
    match &instruction {
        Instruction::Update { module, .. }
        | Instruction::LoadModule { module, .. }
        | Instruction::AddModule { module, .. }
        | Instruction::DeleteModule { module, .. } => {
            takes_part(module)?;
            refuse(
                format!("`{module}` takes part already, `{word}` would say it twice"),
                "say how with `module … #{…}`, and when with `depends on` or `loads after`",
            )
        }
        Instruction::AddApplication { app, start } => {
            let explicit = term.as_tuple().is_some_and(|parts| parts.len() > 2);
            Ok(started(
                app,
                if explicit {
                    *start
                } else {
                    StartType::Temporary
                },
            ))
        }
        Instruction::RemoveApplication(app) if CORE.contains(&app.as_str()) => refuse(
            format!("{app} cannot be removed: the node needs it"),
            "take the statement out",
        ),
        Instruction::RemoveApplication(app) => Ok(vec![
            application("stop", vec![app_term(app)]),
            application("unload", vec![app_term(app)]),
        ]),
        Instruction::RestartApplication(app) => refuse(
            format!("stopping and starting {app} are two places in a run"),
            "insert `{apply, {application, stop, [A]}}` and `{apply, {application, start, [A]}}`",
        ),
        // A relup's purge is at once; the run's own waits until all processes run again.
        Instruction::Purge(modules) => Ok(modules.iter().map(purge).collect()),
        Instruction::Load { module, .. } | Instruction::Remove { module, .. } => {
            takes_part(module)?;
            Ok(vec![instruction])
        }
        Instruction::SyncNodes { .. } if together => Ok(vec![instruction]),
        Instruction::SyncNodes { .. } => refuse(
            format!("a run does not carry out `{word}`: nodes are upgraded one after the other"),
            "`rollout #{together => true}.` upgrades all of them at one instant",
        ),
        _ => match instruction.in_run() {
            Some(low) => Ok(vec![low]),
            None => refuse(
                format!("a run does not carry out `{word}`"),
                "`{apply, {supervisor, terminate_child, […]}}` and its kin do what `stop` and `start` do",
            ),
        },
    }
}

fn purge(module: &Module) -> Instruction {
    Instruction::Apply(Call {
        module: "code".into(),
        function: "purge".into(),
        args: Term::list([module_term(module)]),
    })
}

fn application(function: &str, args: Vec<Term>) -> Instruction {
    Instruction::Apply(Call::application(function, args))
}

/// The modules of an application that is new take part by themselves. Without a type it is started `temporary`, where OTP
/// says `permanent`: a permanent application that fails to start takes the whole node along.
fn started(app: &App, start: StartType) -> Vec<Instruction> {
    match start {
        StartType::None => Vec::new(),
        StartType::Load => vec![application("load", vec![app_term(app)])],
        start => vec![application("start", vec![app_term(app), start.to_term()])],
    }
}

/// Where in a script a place is: the number of the instruction that will come behind.
fn gap(low: &[Instruction], place: &InsertPosition) -> Option<usize> {
    let point = low
        .iter()
        .position(|i| matches!(i, Instruction::PointOfNoReturn));
    let (after, word, modules) = match place {
        InsertPosition::Start => return Some(point.unwrap_or(0)),
        // What goes is needed until then.
        InsertPosition::End => return Some(low.len() - leaving(low)),
        InsertPosition::Step {
            after,
            word,
            modules,
        } => (*after, *word, modules),
    };
    let concerns = |instruction: &Instruction| match (instruction, word) {
        (
            Instruction::Load { module, .. } | Instruction::Remove { module, .. },
            StepWord::Load | StepWord::Whole,
        ) => modules.contains(module),
        (Instruction::Suspend(list), StepWord::Suspend) => {
            list.iter().any(|(m, _)| modules.contains(m))
        }
        (Instruction::CodeChange { modules: list, .. }, StepWord::CodeChange) => {
            list.iter().any(|(m, _)| modules.contains(m))
        }
        (Instruction::Resume(list), StepWord::Resume) => list.iter().any(|m| modules.contains(m)),
        _ => false,
    };
    let found = match after {
        false => low.iter().position(concerns)?,
        true => low.iter().rposition(concerns)?,
    };
    let behind = usize::from(after);
    Some(match word {
        StepWord::Whole => whole(low, found, after),
        // All loads that follow each other are one step.
        StepWord::Load => edge(low, found, after, Instruction::is_switch),
        _ => found + behind,
    })
}

/// The gap before or behind all instructions of a kind around one.
fn edge(
    low: &[Instruction],
    found: usize,
    after: bool,
    is: impl Fn(&Instruction) -> bool,
) -> usize {
    match after {
        false => found - low[..found].iter().rev().take_while(|i| is(i)).count(),
        true => found + low[found..].iter().take_while(|i| is(i)).count(),
    }
}

/// The gap before or behind the window in which a module is switched: from the suspending to the resuming, or
/// where no process is suspended the switch alone.
fn whole(low: &[Instruction], found: usize, after: bool) -> usize {
    let inside = |i: &Instruction| {
        !matches!(
            i,
            Instruction::Suspend(_) | Instruction::Resume(_) | Instruction::PointOfNoReturn
        )
    };
    let (first, last) = (
        edge(low, found, false, inside),
        edge(low, found, true, inside),
    );
    let opened = first > 0 && matches!(low[first - 1], Instruction::Suspend(_));
    let closed = matches!(low.get(last), Some(Instruction::Resume(_)));
    match (opened && closed, after) {
        (true, false) => edge(low, first - 1, false, |i| {
            matches!(i, Instruction::Suspend(_))
        }),
        (true, true) => edge(low, last, true, |i| matches!(i, Instruction::Resume(_))),
        (false, _) => edge(low, found, after, Instruction::is_switch),
    }
}
