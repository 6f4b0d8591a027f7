//! E353: a supervisor's new `init/1` gets what the supervisor was started with, and has no way for it.

use super::{Change, Class, ModuleRules};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::code::symbolic::{Machine, SymbolicValue};
use crate::facts::change::{ChangeSet, Changed};
use crate::name::Module;
use crate::term::Term;

/// Runs the new `init/1` on the argument, as far as its code shows what becomes of that.
pub(super) fn advice(
    changes: &ChangeSet,
    module: &Module,
    changed: &Changed,
    decided: &ModuleRules,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let renews = decided.class.value == Class::Supervisor
        && matches!(decided.change.value, Change::Advanced(_));
    let Some((pid, argument)) = changed.crew.started_with.as_ref().filter(|_| renews) else {
        return;
    };
    let host = |module: &Module| {
        let changed = changes.modules.get(module)?;
        changed.new.as_ref().map(|new| &new.bytes[..])
    };
    let argument = SymbolicValue::Known(argument.clone().into());
    let answers = Machine::new(&host).call(module, "init", vec![argument]);
    // What raises answers nothing; of what is not known the answer is something.
    if answers.is_none_or(|answers| !answers.is_empty()) {
        return;
    }
    let pid = Term::Pid(pid.clone());
    let title = format!(
        "the new `init/1` of `{module}` raises an exception for the argument of the running supervisor"
    );
    diagnostics.push(
        Diagnostic::new(Code::E353, title)
            .note(format!("supervisor {pid}"))
            .note(
                "OTP renews child specifications by running the new `init/1` with that argument: the conversion would fail \
                 (E604) after the switch",
            )
            .help(format!(
                "let `init/1` take that argument as well, or leave the specifications as they are until a restart: \
                 `module {module} #{{change => soft}} because \"…\".`"
            )),
    );
}
