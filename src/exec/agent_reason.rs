//! The agent's reasons as diagnostics.

use super::old_code;
use crate::diag::{Code, Diagnostic};
use crate::plan::Plan;
use crate::rules::{Origin, Ruleset};
use crate::term::Term;

/// How many processes or modules a diagnostic names one by one.
const NAMED: usize = 8;

/// The diagnostic for a reason, pointing into the plan where a rule of it is concerned.
pub fn diagnostic(reason: &Term, rules: &Ruleset, plan: &Plan) -> Diagnostic {
    let (tag, about) = parts(reason);
    let diagnostic = of(reason);
    match tag.as_str() {
        "conversion_failed" | "conversion_timeout" => {
            let module = about.get("module").map(text).unwrap_or_default();
            match rules
                .modules
                .get(module.as_str())
                .map(|decided| &decided.change.origin)
            {
                Some(Origin::Plan { span, .. }) => diagnostic.label(*span, "this conversion"),
                _ => diagnostic,
            }
        }
        "deadline" => match plan.deadline {
            Some(time) => diagnostic.note(format!("deadline {time:?}")),
            None => diagnostic,
        },
        _ => diagnostic,
    }
}

/// The diagnostic for a reason in a rollback of a recorded run, which takes a flag and no line of a plan.
pub fn of_rollback(reason: &Term, run: &str) -> Diagnostic {
    let (tag, _) = parts(reason);
    let diagnostic = of(reason);
    if tag != "old_code_in_use" {
        return diagnostic;
    }
    diagnostic.note("nothing was changed").help(format!(
        "let them end and run it again, wait longer: `updo rollback {run} --purge 1m`,\n\
         or end them: `updo rollback {run} --purge brutal`"
    ))
}

/// A reason's tag and what it is about; no tag when the reason is a word by itself.
fn parts(reason: &Term) -> (String, Term) {
    let reason = reason.get("reason").unwrap_or(reason);
    match reason.as_tuple() {
        Some([tag, about]) => (tag.to_text().unwrap_or_default(), about.clone()),
        _ => (String::new(), reason.clone()),
    }
}

/// The diagnostic for a reason, as `src/node/agent/PROTOCOL.md` lists them.
pub fn of(reason: &Term) -> Diagnostic {
    let (tag, about) = parts(reason);
    match tag.as_str() {
        "not_suspended" => not_suspended(&about),
        "conversion_failed" => conversion_failed(&about),
        "conversion_timeout" => conversion_failed(&about).note("it did not answer in time"),
        "not_loadable" | "old_not_loadable" => not_loadable(&tag, &about),
        "old_code_in_use" => old_code_in_use(&about),
        "funs_held" => old_code::funs_held(&about),
        "replaced" => replaced(&about),
        "sticky" => Diagnostic::new(
            Code::E605,
            format!("modules in a sticky directory: {about}"),
        )
        .help("leave them out: `exclude M because \"…\".`"),
        "load_failed" | "delete_failed" | "on_load_failed" => {
            Diagnostic::new(Code::E605, "the node refused to switch the modules")
                .note(about.to_string())
        }
        "apply_failed" => {
            Diagnostic::new(Code::E703, "a call of the script raised").note(about.to_string())
        }
        "path_failed" => Diagnostic::new(Code::E703, "the code path could not be switched")
            .note(about.to_string()),
        "hook_unattended" => {
            let title = format!("no client answered for the hook of step {about}");
            Diagnostic::new(Code::E608, title)
                .note("the client that evaluates the hooks of a plan must stay connected until they are done")
        }
        "deadline" => Diagnostic::new(Code::E607, format!("the deadline passed at step {about}")),
        "not_writable" => {
            let title = "the beams cannot be written to the node's disk";
            let mut diagnostic = Diagnostic::new(Code::E614, title);
            for entry in about.as_list().unwrap_or_default().iter().take(NAMED) {
                if let Some([folder, why]) = entry.as_tuple() {
                    diagnostic = diagnostic.note(format!("{}: {why}", text(folder)));
                }
            }
            diagnostic
                .help("nothing was changed; `persist => false` upgrades what runs and nothing else")
        }
        "aborted" => Diagnostic::new(
            Code::E611,
            "aborted before the point of no return; all processes were resumed",
        ),
        "unattended" => Diagnostic::new(
            Code::E611,
            "the client had gone before the first step: nothing was begun",
        ),
        _ if about.is_atom("agent_killed") => Diagnostic::new(
            Code::E622,
            "all processes of the run were killed on the node at once",
        )
        .note("the watchdog has resumed whatever was suspended"),
        "release_handler_refused" => Diagnostic::new(
            Code::E615,
            "the release handler refused the script before its point of no return",
        )
        .note(text(&about))
        .note("no process was suspended and no code was loaded"),
        "release_handler_failed" => Diagnostic::new(
            Code::E615,
            "the release handler gave up behind its point of no return",
        )
        .note(text(&about)),
        "executor_died" => Diagnostic::new(
            Code::E612,
            "the process that ran the script died on the node",
        )
        .note(text(&about)),
        _ => Diagnostic::new(Code::E612, "the run failed on the node").note(shortened(reason)),
    }
}

fn text(term: &Term) -> String {
    term.to_text().unwrap_or_else(|| term.to_string())
}

fn shortened(term: &Term) -> String {
    term.to_string().chars().take(2_000).collect()
}

fn not_suspended(about: &Term) -> Diagnostic {
    let processes = about.as_list().unwrap_or_default();
    let number = match processes.len() {
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    };
    let mut diagnostic = Diagnostic::new(Code::E603, format!("{number} did not suspend in time"))
        .help(
            "raise `timeout` for the module, or `budget` when several are never free at the same time; or run again later",
        );
    for process in processes.iter().take(NAMED) {
        let show = |key: &str| process.get(key).map(text).unwrap_or_default();
        diagnostic = diagnostic.note(format!(
            "{} of {} is in {}, {} messages waiting",
            show("pid"),
            show("module"),
            function(process.get("current_function")),
            show("queue")
        ));
    }
    diagnostic
}

/// E619: modules that are neither what they were nor what the run has made of them.
pub(super) fn replaced(modules: &Term) -> Diagnostic {
    let names: Vec<String> = modules
        .as_list()
        .unwrap_or_default()
        .iter()
        .map(Term::to_string)
        .collect();
    let shown = names
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match names.len().saturating_sub(NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Diagnostic::new(Code::E619, format!("something else has loaded other code during the run: {shown}{more}"))
        .note("a compiler, a shell (`c:l(M)`) or another tool, between the first look and the end of the run")
        .note("where the run is undone, the version from before the run is loaded again, and the other one is gone")
        .help("see what runs: updo status --target NODE; then run again")
}

/// `{m,f,a}` as people read it.
fn function(term: Option<&Term>) -> String {
    match term.and_then(Term::as_tuple) {
        Some([module, name, arity]) => format!("{module}:{name}/{arity}"),
        _ => "an unknown function".to_owned(),
    }
}

fn conversion_failed(about: &Term) -> Diagnostic {
    let show = |key: &str| about.get(key).map(text).unwrap_or_default();
    let title = format!(
        "code_change of {} failed in {}",
        show("module"),
        show("pid")
    );
    if about
        .get("running")
        .is_some_and(|running| running.is_atom("true"))
    {
        return resumed_by_others(&show("module"), &show("pid"));
    }
    let mut diagnostic = Diagnostic::new(Code::E604, title);
    let reason = show("reason");
    for line in reason.lines().take(20) {
        diagnostic = diagnostic.note(line);
    }
    // OTP's supervisors convert by running init/1 of the new version with what they were started with.
    let module = show("module");
    let in_init =
        reason.contains(&format!(" in {module}:init/1 ")) && !reason.contains("code_change");
    if in_init {
        diagnostic.title = format!("init/1 of {module} failed in {}, a supervisor", show("pid"));
        diagnostic = diagnostic
            .note("a supervisor renews its specifications by the new init/1, with the argument that it was started with")
            .help(format!(
                "correct init/1 and run again, or leave its specifications as they are: \
                 `module {module} #{{change => soft}} because \"…\".`"
            ));
    }
    diagnostic = diagnostic.note(format!("old vsn {}, extra {}", show("vsn"), show("extra")));
    match about.get("failed").and_then(Term::as_i64) {
        Some(failed) if failed > 1 => {
            diagnostic = diagnostic.note(format!(
                "it was one of {failed}, until the others were stopped"
            ));
        }
        _ => {}
    }
    if in_init {
        return diagnostic;
    }
    let pid = show("pid").replace('.', ",");
    let pid = pid.trim_matches(['<', '>']);
    diagnostic.help(format!(
        "correct code_change and run again; the old state, once it is back:\n\
         updo eval NODE 'sys:get_state(c:pid({pid}))'"
    ))
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

fn not_loadable(tag: &str, about: &Term) -> Diagnostic {
    let which = if tag == "old_not_loadable" {
        "the kept copy of the running version"
    } else {
        "the new beam"
    };
    let mut diagnostic = Diagnostic::new(Code::E605, format!("the node cannot load {which}"));
    for entry in about.as_list().unwrap_or_default().iter().take(NAMED) {
        if let Some([module, what]) = entry.as_tuple() {
            diagnostic = diagnostic.note(format!("{module}: {what}"));
        }
    }
    diagnostic.help("was it built for a newer OTP than the node's?")
}

fn old_code_in_use(about: &Term) -> Diagnostic {
    let mut diagnostic = Diagnostic::new(
        Code::E605,
        "processes still run the version before the running one",
    );
    for entry in about.as_list().unwrap_or_default().iter().take(NAMED) {
        if let Some([module, pids]) = entry.as_tuple() {
            diagnostic = diagnostic.note(format!("{module}: {pids}"));
        }
    }
    diagnostic.help(
        "let them end, or write `module M #{purge => brutal}.` to kill them, or `{wait, 10s}`",
    )
}
