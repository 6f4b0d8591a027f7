//! What the plan's checks on states came to: E636 for those that do not hold, W636 for those that were asked of nothing.

use super::Upgrade;
use crate::diag::{Code, Diagnostic};
use crate::exec::rehearsal::{CheckedStates, FailedState, Tried};
use crate::name::Module;
use crate::plan::{AppliedCheck, Plan};
use crate::report::style::count;
use crate::rules::conversions::{Converted, converted};

/// How many states and modules are named.
const NAMED: usize = 3;

/// E636 for each check and module with states for which it does not hold.
pub(super) fn failed(plan: &Plan, tried: &[Tried]) -> Vec<Diagnostic> {
    let checks = tried.iter().flat_map(|tried| {
        let failed = tried.checks.iter().filter(|check| check.failed > 0);
        failed.map(move |check| (tried, check))
    });
    let checks = checks.map(|(tried, check)| not_held(plan, tried, check));
    checks.collect()
}

fn not_held(plan: &Plan, tried: &Tried, check: &CheckedStates) -> Diagnostic {
    let module = &tried.module;
    let all = usize::try_from(check.held + check.failed).unwrap_or(usize::MAX);
    let title = format!(
        "the check \"{}\" does not hold for {} of {} of `{module}`",
        check.name,
        check.failed,
        count(all, "state", "states")
    );
    let mut diagnostic = Diagnostic::new(Code::E636, title);
    if let Some(said) = plan.state_checks.get(check.number) {
        diagnostic = diagnostic.label(said.span, "this check");
    }
    let ours = |failed: &&FailedState| failed.check == Some(check.number);
    let named = tried.failures.iter().filter(ours).take(NAMED);
    let named: Vec<String> = named
        .map(|f| format!("{}: {}; its state: {}", f.pid, f.reason, f.shape))
        .collect();
    let more = check.failed.saturating_sub(named.len() as u64);
    diagnostic.notes.extend(named);
    if more > 0 {
        diagnostic = diagnostic.note(format!("and {more} more"));
    }
    diagnostic.help(format!(
        "correct `code_change` of the new `{module}`, or the check; it was evaluated on copies of live states, nothing was changed"
    ))
}

/// Why a conversion was not tried, in words.
pub(super) type WhyUntried<'a> = dyn Fn(&Module) -> Option<String> + 'a;

/// W636 for each check that was asked about no state.
pub(super) fn unasked(
    plan: &Plan,
    upgrade: &Upgrade,
    tried: &[Tried],
    untried: &WhyUntried<'_>,
) -> Vec<Diagnostic> {
    let asked = |check: &&AppliedCheck| {
        let counts = tried.iter().flat_map(|tried| &tried.checks);
        let mut counts = counts.filter(|counts| counts.number == check.number);
        counts.any(|counts| counts.held + counts.failed > 0)
    };
    let applied = upgrade.rules.state_checks.iter();
    let all = applied.filter(|check| !asked(check)).filter_map(|check| {
        let said = plan.state_checks.get(check.number)?;
        let title = format!("the check \"{}\" was evaluated for no state", said.name);
        let mut warning =
            Diagnostic::new(Code::W636, title).label(said.span, "checks nothing here");
        let modules = check.modules.iter().flatten();
        for module in modules.take(NAMED) {
            let why = why(upgrade, untried, module);
            warning = warning.note(format!("{module}: {why}"));
        }
        Some(warning)
    });
    all.collect()
}

/// Why there was no state of a module.
fn why(upgrade: &Upgrade, untried: &WhyUntried<'_>, module: &Module) -> String {
    if let Some(why) = untried(module) {
        return format!("not tried: {why}");
    }
    match converted(&upgrade.changes, &upgrade.rules, module) {
        None => "it takes no part".to_owned(),
        Some(Converted::Not(why)) => {
            let why = why.strip_prefix("none: ").unwrap_or(&why);
            format!("not converted: {why}")
        }
        Some(Converted::Code {
            entry: "init/1", ..
        }) => "the conversion of a supervisor, `init/1`, makes no state".to_owned(),
        Some(_) => "no process has a state that was tried".to_owned(),
    }
}
