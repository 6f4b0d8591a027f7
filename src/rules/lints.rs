//! What there is to say about an upgrade, beside the instructions: facts and rules as diagnostics.
//!
//! Takes what the earlier stages found, asks no node, changes nothing. Each function is about one matter.

use super::{
    Change, Class, ModuleRules, Origin, Purge, Ruleset, attribution, behaviour_restarts, disturbed,
    init_argument, old_code, removal, removed_functions, states, toolchain, unresolved,
};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::{
    ChangeSet, Changed, EnvChange, Notice, RemovalCause, RemovedModule, SkipReason, SpecChange,
};
use crate::facts::compare::behaviour_change::behaviour_change;
use crate::facts::node::processes::{Example, Start};
use crate::name::Module;
use crate::parallel::computed;
use crate::plan::{CodeFrom, Plan, RollbackPolicy};
use crate::term::Term;

/// How many modules or processes a diagnostic names one by one.
pub(super) const NAMED: usize = 5;

/// What this file and the files that it calls have to say, in no particular order. `children`, `effects`,
/// `configuration`, `toolchain` and `shared_records` are asked by `engine::prepare::decide` itself.
pub fn advice(plan: &Plan, changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    // What the plan leaves out on purpose needs no word.
    let left_out = |module: &Module| rules.left_out.iter().any(|(out, _)| out == module);
    let differs = changes.untouched.iter().filter(|(m, _)| !left_out(m));
    diagnostics.extend(differs.map(|(m, why)| untouched(m, why)));
    let stays = |gone: &&RemovedModule| !rules.modules.contains_key(&gone.module);
    let callers = |gone: &RemovedModule| removed_functions::of_gone(gone, changes, rules);
    diagnostics.extend(
        changes
            .gone
            .iter()
            .filter(stays)
            .map(|g| gone(g, &callers(g))),
    );
    removal::advice(plan, changes, rules, &mut diagnostics);
    let wanted = changes
        .notices
        .iter()
        .filter(|n| !n.module().is_some_and(left_out));
    diagnostics.extend(wanted.filter_map(notice));
    attribution::silent(changes, &mut diagnostics);
    removed_functions::advice(changes, rules, &mut diagnostics);
    let untaken = |spec: &&SpecChange| !removed_functions::is_left_out(spec, changes, rules);
    diagnostics.extend(
        changes
            .specs
            .iter()
            .filter(untaken)
            .map(|s| specification(plan, s)),
    );
    unresolved::advice(changes, rules, &mut diagnostics);
    attribution::unnamed(changes, rules, &mut diagnostics);
    let all: Vec<(&Module, &ModuleRules)> = rules.modules.iter().collect();
    let found = computed(&all, |(module, decided)| {
        of_module(plan, changes, module, decided)
    });
    diagnostics.extend(found.into_iter().flatten());
    old_code::advice(changes, rules, &mut diagnostics);
    diagnostics
}

/// What there is to say of one module. Where it is a server, both versions are executed symbolically.
fn of_module(
    plan: &Plan,
    changes: &ChangeSet,
    module: &Module,
    decided: &ModuleRules,
) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let Some(changed) = changes.modules.get(module) else {
        return diagnostics;
    };
    loading_acts(module, changed, &decided.class.origin, &mut diagnostics);
    callback_mode(module, changed, &mut diagnostics);
    killed(module, changes, changed, decided, &mut diagnostics);
    // How processes get along with the new version is no question of what goes.
    if changed.new.is_none() {
        return diagnostics;
    }
    behaviour_restarts::advice(changes, module, changed, decided, &mut diagnostics);
    init_argument::advice(changes, module, changed, decided, &mut diagnostics);
    states::advice(changes, module, changed, decided, &mut diagnostics);
    let class = decided.class.value;
    attribution::foreign(module, changed, class, &mut diagnostics);
    contradiction(changes, module, changed, class, &mut diagnostics);
    one_way(plan, module, changed, decided, &mut diagnostics);
    diagnostics
}

/// `1 process`, `3 processes`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn names<'a>(modules: impl IntoIterator<Item = &'a Module>) -> String {
    let all: Vec<String> = modules.into_iter().map(|m| format!("`{m}`")).collect();
    let more = if all.len() > NAMED { ", …" } else { "" };
    let shown: Vec<String> = all.into_iter().take(NAMED).collect();
    format!("{}{more}", shown.join(", "))
}

pub(super) fn example(example: &Example) -> String {
    format!("{} ({})", Term::Pid(example.pid.clone()), example.call)
}

/// W320: what differs and is left alone.
fn untouched(module: &Module, why: &SkipReason) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::W320, format!("`{module}` differs and is left alone"));
    match why {
        SkipReason::Sticky => diagnostic
            .note("it is in a sticky directory")
            .help("if it has to change: eval `code:unstick_mod(…)` or `code:unstick_dir(…)` on the node first"),
        SkipReason::Preloaded => diagnostic.note("it is preloaded into the emulator"),
        SkipReason::Cover => Diagnostic::new(
            Code::W320,
            format!("`{module}` is cover compiled and left alone"),
        )
        .note("its code is an instrumented copy: whether its file is newer is unknown")
        .help("stop the measurement first: `cover:stop()`"),
        SkipReason::NoFile => diagnostic.note("it was loaded from memory, not from a file"),
        SkipReason::NotFound(file) => Diagnostic::new(
            Code::W320,
            format!("`{module}` cannot be compared and is left alone"),
        )
        .note(format!("it was loaded from {file}, which is not below the current folder of the node"))
        .help("push its beam: `code push [\"…\"].`"),
        SkipReason::Elsewhere { loaded, path } => {
            let diagnostic = diagnostic
                .note(format!("it was loaded from {loaded}"))
                .note(format!("the code path has {path}, which the node would take after a restart"));
            // A protocol has both files by right, and a node without one of them does not boot or dispatch as before.
            if loaded.contains("/consolidated/") || path.contains("/consolidated/") {
                diagnostic.help("a protocol has one file in its application and a consolidated one; to take the latter: `code push [\"…/consolidated\"].`")
            } else {
                diagnostic.help("remove one of the two, or push the one you mean: `code push [\"…\"].`")
            }
        }
        SkipReason::Unconsolidated => diagnostic
            .note("it is an Elixir protocol that runs consolidated, and the beam offered is not")
            .help("push the consolidated beams too, in a release `releases/VSN/consolidated`, in a build `_build/prod/lib/APP/consolidated`"),
        SkipReason::Core => {
            diagnostic.note("it belongs to kernel or stdlib, which the upgrade itself needs")
        }
    }
}

/// W319: a module that the new version does not have.
fn gone(gone: &RemovedModule, callers: &[removed_functions::Remaining]) -> Diagnostic {
    let module = &gone.module;
    let title = match &gone.how {
        RemovalCause::File(_) => format!("the beam file of `{module}` does not exist"),
        RemovalCause::Unlisted(app) => {
            format!("the new {app}.app does not list `{module}` any more")
        }
        RemovalCause::Plan => format!("`{module}` is not removed"),
    };
    let mut diagnostic =
        Diagnostic::new(Code::W319, title).note("the module stays loaded and callable");
    if let RemovalCause::File(file) = &gone.how {
        diagnostic = diagnostic.note(format!("it was {file}"));
    }
    let remove = format!("to remove it: `module {module} #{{remove => true}} because \"…\".`");
    diagnostic = diagnostic.help(remove);
    if callers.is_empty() {
        return diagnostic.note("no loaded module calls it in its code");
    }
    for caller in callers.iter().take(NAMED) {
        diagnostic = diagnostic.note(caller.sentence());
    }
    diagnostic
}

/// What a notice says; those that are reported together elsewhere say nothing here.
fn notice(notice: &Notice) -> Option<Diagnostic> {
    Some(match notice {
        Notice::NewerBeside {
            app,
            running,
            newer,
            folder,
        } => Diagnostic::new(
            Code::W331,
            format!("{app} {newer} is installed next to {running}, which runs"),
        )
        .note(format!("it is in {folder}"))
        .note("`code on_disk` compares with the folder that the running code came from")
        .help(format!("to upgrade to it, code path and all: `code on_disk #{{newest => [{app}]}}.`")),
        Notice::SeveralInPath {
            module,
            taken,
            others,
        } => {
            let title = format!("the code path has several files of `{module}`");
            let diagnostic = Diagnostic::new(Code::W333, title).note(format!("taken: {taken}"));
            others
                .iter()
                .take(NAMED)
                .fold(diagnostic, |diagnostic, other| diagnostic.note(format!("hidden behind it: {other}")))
        }
        Notice::OnDemand { app, modules } => {
            let owner = app
                .as_ref()
                .map_or_else(String::new, |app| format!(" of {app}"));
            let number = count(modules.len(), "module", "modules");
            Diagnostic::new(
                Code::A338,
                format!("{number}{owner} are not loaded and need nothing"),
            )
            .note(names(modules))
            .note("this node loads code when it is called first: they will come from the disk as they are now, even before the upgrade")
        }
        Notice::LinesMoved { modules } => Diagnostic::new(
            Code::A339,
            format!("only line numbers changed in {}", names(modules)),
        )
        .note("the code is the same and is not loaded again; stack traces go on showing the old lines"),
        Notice::ImplementationUnseen { module, protocol } => Diagnostic::new(
            Code::W337,
            format!("the protocol `{protocol}` will not find its new implementation `{module}`"),
        )
        .note("it runs consolidated, and its consolidated beam does not take part in this upgrade")
        .help("push the consolidated beams too, in a release `releases/VSN/consolidated`, in a build `_build/prod/lib/APP/consolidated`"),
        Notice::Unlisted { modules } => {
            let number = count(modules.len(), "module", "modules");
            let title = format!("{number} on the disk stay unloaded");
            Diagnostic::new(Code::W323, title)
                .note(names(modules))
                .note("this node loads nothing when it is called first; no specification lists them, and no new version calls them")
                .help("list them in the `.app` file, or push them: `code push [\"…\"].`")
        }
        Notice::Missing { module, functions } => toolchain::missing(module, functions),
        // Its callers depend on what takes part.
        Notice::LostFunctions { .. } => return None,
        Notice::BadSpec { file, why } => {
            Diagnostic::new(Code::W332, format!("{file} cannot be read")).note(why.clone())
        }
        Notice::SuspendedBefore { module, pids } => disturbed::suspended(module, pids),
        Notice::Traced { module, functions } => disturbed::traced(module, functions),
        Notice::Unresponsive { .. } => return None,
    })
}

/// W332: a specification that differs from the running application.
fn specification(plan: &Plan, spec: &SpecChange) -> Diagnostic {
    let app = &spec.app;
    let title = if plan.env && !spec.env.is_empty() {
        format!("of the new {app}.app only the configuration is applied")
    } else {
        format!("the new {app}.app is not applied")
    };
    let mut diagnostic = Diagnostic::new(Code::W332, title).note(spec.file.clone());
    if let Some((old, new)) = &spec.vsn {
        diagnostic = diagnostic.note(format!(
            "vsn: the running application keeps version {old}, the file has {new}"
        ));
    }
    if !spec.added.is_empty() {
        diagnostic = diagnostic.note(format!("modules added: {}", names(&spec.added)));
    }
    if !spec.removed.is_empty() {
        diagnostic = diagnostic.note(format!("modules removed: {}", names(&spec.removed)));
    }
    for change in &spec.env {
        diagnostic = diagnostic.note(format!("env: {}", env_change(change, plan.env)));
    }
    diagnostic = diagnostic
        .note("OTP has no documented way to change the specification of a running application");
    if spec.env.is_empty() || plan.env {
        return diagnostic;
    }
    let code = match plan.code {
        CodeFrom::OnDisk => "code on_disk #{env => true}.",
        CodeFrom::Push(_) => "code push […] #{env => true}.",
    };
    diagnostic.help(format!(
        "to have the configuration follow before the new code reads it, and restored if it fails: `{code}`"
    ))
}

/// What becomes of a key, whether the plan wants it or not.
fn env_change(change: &EnvChange, wanted: bool) -> String {
    let key = Term::Atom(change.key.clone());
    match (&change.was, &change.new, wanted) {
        (None, Some(new), true) => {
            format!("`{key}` is new and will be set to {new}, as the plan says")
        }
        (None, Some(new), false) => {
            format!("`{key}` is new (default {new}); new code reads `undefined`")
        }
        (Some(was), Some(new), true) => {
            format!("the default of `{key}` is {new} now; {was} will be replaced, as the plan says")
        }
        (Some(was), Some(new), false) => {
            format!("the default of `{key}` is {new} now; new code reads {was}")
        }
        (_, None, true) => format!("`{key}` is removed and will be unset, as the plan says"),
        (_, None, false) => format!("`{key}` is removed; it stays set"),
    }
}

/// E330, A340: modules whose loading does more than loading.
fn loading_acts(
    module: &Module,
    changed: &Changed,
    class: &Origin,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(new) = &changed.new else { return };
    if new.facts.nif && !changed.is_new() && !matches!(class, Origin::Plan { .. }) {
        diagnostics.push(
            Diagnostic::new(
                Code::E330,
                format!("`{module}` loads a NIF library and is loaded already"),
            )
            .note("a library without an `upgrade` callback refuses the new module, one with a faulty callback stops the node")
            .help(format!(
                "if the library can be upgraded: `module {module} #{{class => plain}} because \"its library has an upgrade callback\".`\n\
                 to leave the module as it is: `exclude {module} because \"…\".`"
            )),
        );
    }
    if new.facts.code.on_load.is_some() {
        diagnostics.push(
            Diagnostic::new(
                Code::A340,
                format!("`{module}` has an on_load function, which runs at the switch"),
            )
            .note("it is loaded separately, after all others; if the function fails, the upgrade is undone"),
        );
    }
}

/// What becomes of processes in loops that answer no system message.
const STAYS: &str = "they stay in the old code until they call the module by its name; until then the next upgrade of the module is refused";

/// W334: processes that are not what the class says.
fn contradiction(
    changes: &ChangeSet,
    module: &Module,
    changed: &Changed,
    class: Class,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut say = |number: usize, shown: &Example, what: &str, then: &str| {
        let number = count(number, "process", "processes");
        diagnostics.push(
            Diagnostic::new(
                Code::W334,
                format!("`{module}` is taken as {class}, yet its processes {what} ({number})"),
            )
            .note(example(shown))
            .note(then),
        );
    };
    let new = changed.new.as_ref();
    let speaks_sys = new.is_some_and(|new| new.facts.exports("system_continue", 3));
    // Of a module that changes its behaviour that is all there is to say.
    let turns = behaviour_change(changes, changed).is_some();
    for (start, (number, shown)) in &changed.module_processes.kinds {
        let number = *number;
        match (class, start) {
            (_, start) if turns && *start != Start::Loop => {}
            (Class::Library, Start::Supervisor) => say(
                number,
                shown,
                "are supervisors",
                "they keep their old specifications",
            ),
            (Class::Library, Start::Init | Start::Bridge | Start::Entered)
                if shown.in_behaviour() =>
            {
                say(
                    number,
                    shown,
                    "are servers",
                    "they are not suspended: new code meets their state as it is",
                )
            }
            (Class::Library, Start::Init | Start::Other) if shown.is_inside(module) => {
                say(number, shown, "run loops of their own", STAYS);
            }
            (_, Start::Loop) => say(number, shown, "run loops of their own", STAYS),
            (Class::Library, Start::Other) if shown.in_behaviour() && !shown.in_fun => say(
                number,
                shown,
                "sit in the loop of a behaviour",
                "they are not suspended: new code meets their state as it is",
            ),
            (Class::Server, Start::Supervisor) => say(
                number,
                shown,
                "are supervisors",
                "a conversion makes them renew their specifications",
            ),
            (Class::Supervisor, Start::Init) if shown.in_behaviour() => say(
                number,
                shown,
                "are servers",
                "they are converted as its supervisors are",
            ),
            (Class::Server, Start::Other) if !shown.in_behaviour() && !speaks_sys => say(
                number,
                shown,
                "do not handle system messages",
                "they are not suspended",
            ),
            _ => {}
        }
    }
    wrapper(changes, module, changed, class, diagnostics);
}

/// W314: a conversion that nothing can turn round.
fn one_way(
    plan: &Plan,
    module: &Module,
    changed: &Changed,
    decided: &ModuleRules,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let converts = matches!(decided.change.value, Change::Advanced(_))
        && decided.class.value == Class::Server
        && !changed.is_new();
    let one_way = changed
        .new
        .as_ref()
        .is_some_and(|new| new.facts.code.one_way);
    if !converts || !one_way || plan.rollback == RollbackPolicy::Never {
        return;
    }
    let mut diagnostic = Diagnostic::new(
        Code::W314,
        format!("the conversion of `{module}` cannot be undone: `code_change` has no clause for `{{down, _}}`"),
    )
    .note("a run that fails restores the states exactly; a later `updo rollback` calls `code_change` with `{down, Vsn}`")
    .help("add a clause for `{down, _}`, or do without a rollback: `rollback never.`");
    if let Origin::Plan { span, .. } = decided.change.origin {
        diagnostic = diagnostic.label(span, "asks for the conversion");
    }
    diagnostics.push(diagnostic);
}

/// W406: processes that a brutal purge after the switch finds in the old code, however they were started.
fn killed(
    module: &Module,
    changes: &ChangeSet,
    changed: &Changed,
    decided: &ModuleRules,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if decided.post_purge.value != Purge::Brutal || changed.is_new() {
        return;
    }
    let mut current = changes.old_code.current.iter();
    let Some(executing) = current.find(|executing| executing.module == *module) else {
        return;
    };
    let processes = count(executing.count, "process", "processes");
    let mut diagnostic = Diagnostic::new(
        Code::W406,
        format!("brutal purge will kill {processes} that will still run old `{module}`"),
    )
    .note(old_code::pids(&executing.pids, executing.count))
    .note("they execute it now, and keep executing the old code until they return or make a fully qualified call")
    .help("use `purge => defer`, or give them time: `purge => {defer, {wait, 10s}}`");
    if let Origin::Plan { span, .. } = decided.post_purge.origin {
        diagnostic = diagnostic.label(span, "kills them");
    }
    diagnostics.push(diagnostic);
}

/// W342: a behaviour that runs servers itself, and nothing that says which of them run the module.
pub fn wrapper(
    changes: &ChangeSet,
    module: &Module,
    changed: &Changed,
    class: Class,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(new) = changed.new.as_ref().filter(|_| !changed.is_new()) else {
        return;
    };
    if class != Class::Library || changed.module_processes.wrapped_in.is_some() {
        return;
    }
    if let Some((behaviour, _)) = changes.declared(&new.facts).find(|(_, found)| found.wraps) {
        diagnostics.push(
            Diagnostic::new(
                Code::W342,
                format!("`{module}` may run in servers of its behaviour `{behaviour}`"),
            )
            .note("no child specification says which of them, so it is taken as plain: loaded, no process suspended")
            .help(format!("give the child specifications `modules => [{module}]`, and restart the supervisors that have them")),
        );
    }
}

/// W345: what an undo depends on.
fn callback_mode(module: &Module, changed: &Changed, diagnostics: &mut Vec<Diagnostic>) {
    if changed.undo_asks_code_change() {
        let title = format!("an undo would call `{module}:code_change/4` of the running version");
        diagnostics.push(
            Diagnostic::new(Code::W345, title)
                .note("the callback mode differs, and gen_statem asks for it after code_change/4 only; what that returns is thrown away")
                .note("one that does not take the states of its own version leaves its processes with the new mode: they would be named"),
        );
    }
}
