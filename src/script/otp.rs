//! `window otp`: the low-level instructions that `systools_rc` makes of a run's high-level ones.
//!
//! Takes the instructions and what is known of applications, has them translated ([`super::translate`]), and gives
//! them as a run's instructions. What OTP has no word for is an error, as is what OTP refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::high::HighStep;
use super::instruction::{Instruction, StartType};
use super::low::Low;
use super::lower::app_of;
use super::translate::{Application, Mode, translate};
use crate::diag::{Code, Diagnostic, Result};
use crate::facts::change::ChangeSet;
use crate::name::{App, Module};
use crate::rules::{Origin, Timeout};
use crate::term::Term;

/// What a suspension waits for a process when more is asked for than a node can count.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

/// The high-level instructions as an appup has them.
///
/// # Errors
/// E401 when an appup has no word for one.
pub fn appup(high: &[HighStep]) -> Result<Vec<Instruction>> {
    let instruction = |step: &HighStep| {
        Instruction::from_high(&step.instruction).ok_or_else(|| {
            let title = format!("an appup has no word for `{}`", step.instruction);
            let mut diagnostic = Diagnostic::new(Code::E401, title)
                .help("convert with `code_change` instead of a function of another module");
            let place = step.why.iter().find_map(|why| match why.origin {
                Origin::Plan { span, .. } => Some(span),
                _ => None,
            });
            if let Some(span) = place {
                diagnostic = diagnostic.label(span, "asked for here");
            }
            Box::new(diagnostic)
        })
    };
    high.iter().map(instruction).collect()
}

/// The instructions of a relup.
///
/// # Errors
/// E401 when an appup has no word for one of them, E414 when OTP would refuse them.
pub fn relup(changes: &ChangeSet, high: &[HighStep]) -> Result<Vec<Instruction>> {
    let script = Term::list(appup(high)?.iter().map(Instruction::to_term));
    let apps = applications(changes);
    translate(Mode::Up, &[script], &apps, &apps).map_err(|refused| {
        let help = "`updo preview --terms` shows the instructions";
        Box::new(Diagnostic::new(Code::E414, refused.error.to_string()).help(help))
    })
}

/// The same as instructions of a run.
pub(super) fn low(changes: &ChangeSet, high: &[HighStep]) -> Result<Vec<Low>> {
    let instructions = relup(changes, high)?;
    instructions
        .iter()
        .map(|instruction| {
            as_low(instruction).ok_or_else(|| {
                let title = format!("a run has no word for `{instruction}`");
                Box::new(Diagnostic::new(Code::E401, title))
            })
        })
        .collect()
}

/// To OTP every module has an application: `undefined` for those outside of all, as OTP itself says.
fn applications(changes: &ChangeSet) -> Vec<Application> {
    let mut apps: BTreeMap<App, Vec<Module>> = BTreeMap::new();
    for module in changes.modules.keys() {
        let app = app_of(changes, module);
        apps.entry(app).or_default().push(module.clone());
    }
    apps.into_iter()
        .map(|(name, modules)| Application {
            vsn: Term::string(changes.new_vsn(&name)),
            name,
            start: StartType::Permanent,
            modules,
        })
        .collect()
}

/// A relup's instruction as a run's; `None` for those that a run cannot carry out.
pub(super) fn as_low(instruction: &Instruction) -> Option<Low> {
    Some(match instruction {
        Instruction::LoadObjectCode { lib, vsn, modules } => Low::LoadObjectCode {
            app: lib.clone(),
            vsn: vsn.to_text()?,
            modules: modules.clone(),
        },
        Instruction::PointOfNoReturn => Low::PointOfNoReturn,
        Instruction::Suspend(list) => Low::Suspend(
            list.iter()
                .map(|(module, limit)| {
                    let timeout = match limit {
                        None => Timeout::Default,
                        Some(Timeout::Beyond(_)) => Timeout::After(LONGEST),
                        Some(timeout) => timeout.clone(),
                    };
                    (module.clone(), timeout)
                })
                .collect(),
        ),
        Instruction::Load { module, pre, post } => Low::Load {
            module: module.clone(),
            pre: *pre,
            post: *post,
        },
        Instruction::Remove { module, pre, post } => Low::Remove {
            module: module.clone(),
            pre: *pre,
            post: *post,
        },
        Instruction::Purge(modules) => Low::Purge(modules.clone()),
        Instruction::Resume(modules) => Low::Resume(modules.clone()),
        Instruction::CodeChange { direction, modules } => Low::CodeChange {
            down: *direction == Some(super::instruction::Direction::Down),
            modules: modules.clone(),
        },
        Instruction::Apply(call) => Low::Apply {
            module: call.module.clone(),
            function: call.function.clone(),
            args: call.args.as_list()?.to_vec(),
        },
        _ => return None,
    })
}
