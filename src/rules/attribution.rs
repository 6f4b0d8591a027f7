//! Processes that only one of the two ways finds, by what they are or by child specifications: W316, W335, A341, W336.
//!
//! One diagnostic for each kind, however many modules and processes it is about.

use super::lints::{NAMED, count, example};
use super::{Class, Ruleset};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::{ChangeSet, Changed, Notice};
use crate::facts::node::processes::ModuleProcesses;
use crate::name::Module;
use crate::term::Term;

/// W316: processes that no child specification mentions.
pub(super) fn unnamed(changes: &ChangeSet, rules: &Ruleset, out: &mut Vec<Diagnostic>) {
    let taking_part = rules.modules.iter().filter_map(|(module, decided)| {
        let changed = changes.modules.get(module)?;
        // The supervisor of a server that runs the module for its behaviour names that server.
        let concerned = changed.new.is_some()
            && decided.class.value != Class::Library
            && changed.module_processes.wrapped_in.is_none();
        (concerned && changed.module_processes.unnamed > 0)
            .then_some((module, &changed.module_processes))
    });
    let found: Vec<(&Module, &ModuleProcesses)> = taking_part.collect();
    let Some((first, _)) = found.first() else {
        return;
    };
    let number: usize = found.iter().map(|(_, processes)| processes.unnamed).sum();
    let number = count(number, "process", "processes");
    let owner = match found.len() {
        1 => format!("`{first}`"),
        many => format!("{many} modules"),
    };
    let title = format!("{number} of {owner} not named by any child specification");
    let mut diagnostic = Diagnostic::new(Code::W316, title).note(
        "they take part: updo finds them by their callback module; OTP's release_handler would miss them",
    );
    for (module, processes) in found.iter().take(NAMED) {
        let Some(shown) = &processes.unnamed_example else {
            continue;
        };
        let shown = format!("{}, started by {}", example(shown), shown.parent);
        diagnostic = diagnostic.note(match found.len() {
            1 => shown,
            _ => format!("{} of `{module}`, such as {shown}", processes.unnamed),
        });
    }
    if found.len() > NAMED {
        diagnostic = diagnostic.note(format!("and {} more modules", found.len() - NAMED));
    }
    out.push(diagnostic);
}

/// W335, A341: processes that child specifications say are a module's, and that run another one.
pub(super) fn foreign(module: &Module, changed: &Changed, class: Class, out: &mut Vec<Diagnostic>) {
    for foreign in &changed.module_processes.foreign {
        let number = count(foreign.count, "process", "processes");
        let pid = Term::Pid(foreign.example.clone());
        let other = &foreign.started_in;
        let code = if class == Class::Library {
            Code::A341
        } else {
            Code::W335
        };
        let verb = if foreign.count == 1 { "runs" } else { "run" };
        out.push(
            Diagnostic::new(
                code,
                format!("child specifications name `{module}`, but {number} {verb} `{other}`"),
            )
            .note(format!("for instance {pid}"))
            .note(format!("they take part only if `{other}` does")),
        );
    }
}

/// W336: supervisors and event managers that did not answer in time.
pub(super) fn silent(changes: &ChangeSet, out: &mut Vec<Diagnostic>) {
    let names = changes.notices.iter().filter_map(|notice| match notice {
        Notice::Unresponsive { name } => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<&str> = names.collect();
    let title = match names.as_slice() {
        [] => return,
        [name] => format!("{name} did not return its children or handlers in time"),
        many => format!(
            "{} supervisors or event managers do not say which children or handlers they have",
            many.len()
        ),
    };
    let mut diagnostic = Diagnostic::new(Code::W336, title);
    if names.len() > 1 {
        let more = if names.len() > NAMED { ", …" } else { "" };
        let shown: Vec<&str> = names.iter().take(NAMED).copied().collect();
        diagnostic = diagnostic.note(format!("{}{more}", shown.join(", ")));
    }
    out.push(
        diagnostic
            .note("no answer came in time: busy, or suspended")
            .note("their processes were found by their callback module only"),
    );
}
