//! The agent's reasons as diagnostics.

use std::time::Duration;

use super::old_code;
use crate::diag::{Code, Diagnostic};
use crate::name::Module;
use crate::node::agent::protocol::{
    Blocker, Blocking, Call, Codec, FailedConversion, Process, Reason, StepRef, UnfitProcess,
};
use crate::plan::Plan;
use crate::rules::{Origin, Ruleset};
use crate::term::{Atom, Pid, Term};

/// How many processes or modules a diagnostic names one by one.
const NAMED: usize = 8;

/// The diagnostic for a reason, pointing into the plan where a rule of it is concerned.
pub(super) fn diagnostic(reason: &Reason, rules: &Ruleset, plan: &Plan) -> Diagnostic {
    let diagnostic = of(reason);
    match reason {
        Reason::ConversionFailed { conversion } => {
            let decided = rules.modules.get(conversion.module.as_str());
            match decided.map(|decided| &decided.change.origin) {
                Some(Origin::Plan { span, .. }) => diagnostic.label(*span, "this conversion"),
                _ => diagnostic,
            }
        }
        Reason::Deadline { .. } => match plan.deadline {
            Some(time) => diagnostic.note(format!("deadline {time:?}")),
            None => diagnostic,
        },
        _ => diagnostic,
    }
}

/// The diagnostic for a reason in a rollback of a recorded run, which takes a flag and no line of a plan.
pub(super) fn of_rollback(reason: &Reason, run: &str) -> Diagnostic {
    let diagnostic = of(reason);
    match reason {
        Reason::ConversionFailed { .. } => diagnostic.help(
            "`code_change({down, Vsn}, …)` of the running version does not convert this state: correct it and \
             upgrade to the corrected version first: updo run PLAN",
        ),
        Reason::OldCodeInUse { .. } => diagnostic.note("nothing was changed").help(format!(
            "let them end and run it again, wait longer: `updo rollback {run} --purge 1m`,\n\
             or end them: `updo rollback {run} --purge brutal`"
        )),
        _ => diagnostic,
    }
}

/// The diagnostic for a reason.
pub(super) fn of(reason: &Reason) -> Diagnostic {
    match reason {
        Reason::NotSuspended { processes } => not_suspended(processes),
        Reason::ConversionFailed { conversion } => conversion_failed(conversion),
        Reason::NotLoadable { modules } => not_loadable("the new beam", modules),
        Reason::OldNotLoadable { modules } => {
            not_loadable("the kept copy of the running version", modules)
        }
        Reason::OldCodeInUse { users } => old_code_in_use(users),
        Reason::FunsHeld { funs } => old_code::funs_held(funs),
        Reason::Replaced { modules } => replaced(modules),
        Reason::Sticky { modules } => Diagnostic::new(
            Code::E605,
            format!("modules in a sticky directory: {}", modules.encode()),
        )
        .help("leave them out: `exclude M because \"…\".`"),
        Reason::ChangedMeanwhile { modules } => changed_meanwhile(modules),
        Reason::LoadFailed { modules } => not_switched(&modules.encode()),
        Reason::OverBudget { took } => {
            let budget = Duration::from_millis(took.budget);
            let lasted =
                Duration::from_millis(u64::try_from(took.us.0.as_millis()).unwrap_or(u64::MAX));
            let title = format!(
                "called off before the switch: processes had been suspended for {lasted:?}, and `budget` is {budget:?}"
            );
            Diagnostic::new(Code::E639, title)
                .note("nothing was changed: no module was switched, all processes were resumed")
                .help("allow more: `budget 1s.` or --budget 1s; or divide it: `window minimal.`")
        }
        Reason::LiveUnfit { unfit } => {
            let title = "no live window: something needs suspended processes";
            live_unfit(title, unfit).note("no module of it was switched")
        }
        Reason::LiveFuns { unfit } => {
            let title = "the live window cannot be closed: funs of versions that would go are kept";
            live_unfit(title, unfit)
        }
        Reason::LiveChildren { .. } => Diagnostic::new(
            Code::E610,
            "the live window was not opened: a child was not started or stopped in the window before it",
        )
        .help("correct the child, or its identifier in the plan"),
        Reason::LiveAborted { .. } => Diagnostic::new(
            Code::E611,
            "called off in the live window: all modules go back to the old version",
        )
        .note("processes that had an event since are converted back by `code_change({down, Vsn}, …)`"),
        Reason::OnLoadBlocked { blocked } => {
            let module = blocked.module.as_str();
            let title = format!("the on_load function of {module} waits for a suspended process");
            let diagnostic = Diagnostic::new(Code::E606, title);
            let by = &blocked.by;
            let text = by.text.as_deref().unwrap_or_default();
            blocked_by(diagnostic, module, by, text)
        }
        Reason::DeleteFailed { modules } => not_switched(&modules.encode()),
        Reason::ApplyFailed { call } => Diagnostic::new(Code::E703, "a call of the script raised")
            .note(call.encode().to_string()),
        Reason::PathFailed { path } => {
            Diagnostic::new(Code::E703, "the code path could not be switched")
                .note(path.encode().to_string())
        }
        Reason::HookUnattended { id } => {
            let title = format!("no client answered for the hook of step {id}");
            Diagnostic::new(Code::E608, title)
                .note("the client that evaluates the hooks of a plan must stay connected until they are done")
        }
        Reason::Deadline { step } => {
            let when = match step {
                StepRef::Step(id) => format!("at step {id}"),
                StepRef::Phase(phase) if phase.as_str() == "undefined" => {
                    "before the first step".to_owned()
                }
                StepRef::Phase(phase) => format!("at step {phase}"),
            };
            Diagnostic::new(Code::E607, format!("the deadline passed {when}"))
        }
        Reason::NotWritable { folders } => not_writable(folders),
        Reason::Aborted { .. } => Diagnostic::new(
            Code::E611,
            "aborted before any module was switched; all processes were resumed",
        ),
        Reason::Unattended {} => Diagnostic::new(
            Code::E611,
            "the client disconnected before the first step: nothing was begun",
        ),
        Reason::AgentKilled {} => Diagnostic::new(
            Code::E622,
            "all processes of the run were killed on the node at once",
        )
        .note("the watchdog has resumed all suspended processes"),
        Reason::ReleaseHandlerRefused { why } => Diagnostic::new(
            Code::E615,
            "the release handler refused the script before its point of no return",
        )
        .note(why)
        .note("no process was suspended and no code was loaded"),
        Reason::ReleaseHandlerFailed { why } => Diagnostic::new(
            Code::E615,
            "the release handler failed after its point of no return",
        )
        .note(why),
        Reason::ExecutorDied { why } => Diagnostic::new(
            Code::E612,
            "the process that ran the script died on the node",
        )
        .note(why),
        Reason::TogetherOff { .. } => Diagnostic::new(
            Code::E658,
            "called off: all nodes switch together, and one of them does not",
        ),
        Reason::TogetherLate { ms, .. } => {
            let waited = humantime::format_duration(Duration::from_millis(*ms));
            let title = format!(
                "the node has waited for the others for {waited}, heard nothing, and has gone back"
            );
            alone(title)
        }
        Reason::TogetherAlone { .. } => {
            alone("the client has left while the node waited for the others: it has gone back".to_owned())
        }
        Reason::TwinsNotLoadable { .. }
        | Reason::TwinsInUse { .. }
        | Reason::FunTableFull { .. }
        | Reason::HookFailed { .. }
        | Reason::LockLost { .. }
        | Reason::NotInJob { .. }
        | Reason::UnknownStep { .. }
        | Reason::AgentError { .. } => {
            let shown: String = reason.encode().to_string().chars().take(2_000).collect();
            Diagnostic::new(Code::E612, "the run failed on the node").note(shown)
        }
    }
}

/// E659: a node has decided by itself.
fn alone(title: String) -> Diagnostic {
    Diagnostic::new(Code::E659, title)
        .note("no process has run on since it was suspended; all were resumed as they were")
        .help("see what the other nodes run: updo status PLAN; then run the same command again")
}

fn not_switched(modules: &Term) -> Diagnostic {
    Diagnostic::new(Code::E605, "the node refused to switch the modules").note(modules.to_string())
}

fn not_writable(folders: &[(String, Atom)]) -> Diagnostic {
    let title = "the beams cannot be written to the node's disk";
    let mut diagnostic = Diagnostic::new(Code::E614, title);
    for (folder, why) in folders.iter().take(NAMED) {
        let why = match why.as_str() {
            "changed" => "it has been written since the node was compared".to_owned(),
            _ => why.to_string(),
        };
        diagnostic = diagnostic.note(format!("{folder}: {why}"));
    }
    diagnostic.help("nothing was changed; `persist => false` upgrades what runs and nothing else")
}

fn not_suspended(processes: &[Process]) -> Diagnostic {
    let number = match processes.len() {
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    };
    let mut diagnostic = Diagnostic::new(Code::E603, format!("{number} did not suspend in time"))
        .help(
            "raise `timeout` for the module, or `budget` when several are never free at the same time; or run again later",
        );
    for process in processes.iter().take(NAMED) {
        diagnostic = diagnostic.note(format!(
            "{} of {} is in {}, {} messages waiting",
            shown(&process.pid),
            process.module.as_str(),
            function(&process.current_function),
            process.queue
        ));
    }
    diagnostic
}

/// E425: each module or process, and what it needs.
fn live_unfit(title: &str, unfit: &[UnfitProcess]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(Code::E425, title);
    diagnostic.notes.extend(unfit_lines(unfit, NAMED));
    diagnostic.help("suspend them for a short time: `window single.`")
}

/// What cannot go live, a line each.
pub(super) fn unfit_lines(unfit: &[UnfitProcess], most: usize) -> impl Iterator<Item = String> {
    unfit.iter().take(most).map(|one| {
        let module = Term::Atom(one.module.clone());
        let why = &one.why;
        match &one.pid {
            Some(pid) => format!("`{module}`: {}: {why}", pid.encode()),
            None => format!("`{module}`: {why}"),
        }
    })
}

/// E602: what was compared is not what the run has found.
fn changed_meanwhile(modules: &[Atom]) -> Diagnostic {
    let title = format!(
        "modules are not in the version that was compared: {}",
        some_of(modules)
    );
    Diagnostic::new(Code::E602, title)
        .note("they were loaded between the comparison and the run, by a call or by another tool")
        .note("nothing was changed on this node")
        .help("run it again: the node is compared and shown again")
}

/// The first of the modules, and how many more there are.
fn some_of(modules: &[Atom]) -> String {
    let names: Vec<String> = modules.iter().take(NAMED).map(Atom::to_string).collect();
    match modules.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// E619: modules that are neither what they were nor what the run has made of them.
pub(super) fn replaced(modules: &[Atom]) -> Diagnostic {
    let title = format!(
        "something else has loaded other code during the run: {}",
        some_of(modules)
    );
    Diagnostic::new(Code::E619, title)
        .note("a compiler, a shell (`c:l(M)`) or another tool, between the first look and the end of the run")
        .note("if the run is undone, the version from before the run is loaded again and replaces the other one")
        .help("see what runs: updo status --target NODE; then run again")
}

fn function(call: &Call) -> String {
    call.name()
        .unwrap_or_else(|| "an unknown function".to_owned())
}

fn shown(pid: &Pid) -> String {
    Term::Pid(pid.clone()).to_string()
}

fn conversion_failed(about: &FailedConversion) -> Diagnostic {
    let (module, pid) = (about.module.as_str(), shown(&about.pid));
    if about.running {
        return resumed_by_others(module, &pid);
    }
    if let Some(by) = &about.blocked_by {
        let title = format!("the conversion of {module} in {pid} waits for a suspended process");
        let diagnostic = Diagnostic::new(Code::E604, title);
        let diagnostic = blocked_by(diagnostic, module, by, &about.reason);
        return match &about.stack {
            Some(stack) => diagnostic.note(format!("it waits in {stack}")),
            None => diagnostic,
        };
    }
    // A function of the plan has no extra argument.
    let by_plan = about.extra.is_empty();
    let title = match by_plan {
        false => format!("code_change of {module} failed in {pid}"),
        true => format!("the conversion of {module} by a function of the plan failed in {pid}"),
    };
    let mut diagnostic = Diagnostic::new(Code::E604, title);
    for line in about.reason.lines().take(20) {
        diagnostic = diagnostic.note(line);
    }
    // OTP's supervisors convert by running init/1 of the new version with what they were started with.
    let in_init = about.reason.contains(&format!(" in {module}:init/1 "))
        && !about.reason.contains("code_change");
    if in_init {
        diagnostic.title = format!("init/1 of {module} failed in {pid}, a supervisor");
        diagnostic = diagnostic
            .note("a supervisor renews its specifications by the new init/1, with the argument that it was started with")
            .help(format!(
                "correct init/1 and run again, or leave its specifications as they are: \
                 `module {module} #{{change => soft}} because \"…\".`"
            ));
    }
    diagnostic = diagnostic.note(match by_plan {
        false => format!("old vsn {}, extra {}", about.vsn, about.extra),
        true => format!("old vsn {}", about.vsn),
    });
    if about.failed > 1 {
        diagnostic = diagnostic.note(format!(
            "it was one of {}, until the others were stopped",
            about.failed
        ));
    }
    if in_init {
        return diagnostic;
    }
    let pid = pid.replace('.', ",");
    let pid = pid.trim_matches(['<', '>']);
    let what = match by_plan {
        false => "code_change",
        true => "the function",
    };
    diagnostic.help(format!(
        "correct {what} and run again; the old state, once it is back:\n\
         updo eval NODE 'sys:get_state(c:pid({pid}))'"
    ))
}

/// Why a suspended process did not answer a conversion of another, and what to write.
fn blocked_by(diagnostic: Diagnostic, module: &str, by: &Blocker, text: &str) -> Diagnostic {
    let (pid, other) = (shown(&by.pid), by.module.as_str());
    let diagnostic = diagnostic.note(format!("it calls {pid} of {other}, which is suspended"));
    let (note, help) = match by.why {
        Blocking::Circle => (
            format!("{pid} waits for it in turn: the two conversions wait for each other"),
            format!("let one of the two conversions do without the call to {other} or {module}"),
        ),
        Blocking::Kind => (
            "only a gen_server, a gen_statem or a supervisor can answer while it is suspended"
                .to_owned(),
            own_window(module, other),
        ),
        Blocking::Returned => (
            format!(
                "it could not answer while it is suspended: {}",
                text.trim_end()
            ),
            own_window(module, other),
        ),
    };
    diagnostic.note(note).help(help)
}

fn own_window(module: &str, other: &str) -> String {
    format!(
        "let the conversion do without the call, or switch {other} in an earlier window: \
         `window {} then rest because \"the conversion of {module} calls {other}\".`",
        Module::new(other)
    )
}

/// A process that something else resumed while the run had it suspended: its code_change was never run.
fn resumed_by_others(module: &str, pid: &str) -> Diagnostic {
    Diagnostic::new(
        Code::E604,
        format!("{pid} of {module} was not converted: something else resumed it during the run"),
    )
    .note("it was suspended for the switch, and ran again before its conversion: sys:resume/1 by a shell, a tool or another process")
    .help("find what calls sys:resume/1, then run again")
}

fn not_loadable(which: &str, modules: &[(Atom, Term)]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(Code::E605, format!("the node cannot load {which}"));
    for (module, what) in modules.iter().take(NAMED) {
        diagnostic = diagnostic.note(format!("{module}: {what}"));
    }
    diagnostic.help("was it built for a newer OTP than the node's?")
}

fn old_code_in_use(users: &[(Atom, Vec<Pid>)]) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(Code::E605, "processes still execute old code");
    for (module, pids) in users.iter().take(NAMED) {
        diagnostic = diagnostic.note(format!("{module}: {}", pids.encode()));
    }
    diagnostic.help(
        "let them end, or write `module M #{purge => brutal}.` to kill them, or `{wait, 10s}`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_conversion_names_what_it_was_called_with() {
        let failed = |extra: &str| FailedConversion {
            pid: Pid {
                node: Atom::new("a@b"),
                id: 17,
                serial: 0,
                creation: 1,
            },
            module: Atom::new("bank"),
            vsn: "1".to_owned(),
            extra: extra.to_owned(),
            reason: "error:boom".to_owned(),
            failed: 1,
            running: false,
            current_function: None,
            stack: None,
            blocked_by: None,
        };
        let by_callback = conversion_failed(&failed("{convert,twice}"));
        assert_eq!(by_callback.title, "code_change of bank failed in <0.17.0>");
        let note = "old vsn 1, extra {convert,twice}".to_owned();
        assert!(by_callback.notes.contains(&note), "{by_callback:?}");
        let by_plan = conversion_failed(&failed(""));
        assert!(by_plan.title.contains("by a function of the plan"));
        assert!(
            by_plan.notes.contains(&"old vsn 1".to_owned()),
            "{by_plan:?}"
        );
        assert!(!format!("{by_plan:?}").contains("code_change"));
    }
}
