//! Between updo's instructions and OTP's: what is nearest to one in the other; an appup and a relup of a run; `window otp`,
//! the low-level instructions that `systools_rc` makes of a run's high-level ones.
//!
//! Takes the instructions and what is known of applications, has them translated ([`super::translate`]), and gives
//! them as a run's instructions. What OTP has no word for is an error, as is what OTP refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use super::high::HighStep;
use super::instruction::{Direction, Instruction, StartType};
use super::lower::app_of;
use super::translate::{Application, Mode, translate};
use crate::diag::{Code, Diagnostic, Result};
use crate::facts::change::ChangeSet;
use crate::name::{App, Module};
use crate::rules::{ModuleType, Origin, Purge, Timeout};
use crate::term::Term;

/// What a suspension waits for a process when more is asked for than a node can count.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

impl Instruction {
    /// The nearest that OTP has: a purge that waits or leaves old code there is a soft one, a supervisor is purged brutally
    /// as its short form says, and no limit is below 1 ms. Nothing is near to a conversion by a function.
    #[must_use]
    pub fn nearest_in_otp(mut self) -> Self {
        if let Self::Update {
            kind,
            timeout,
            pre,
            post,
            supervisor,
            ..
        } = &mut self
        {
            if std::mem::take(supervisor) {
                (*kind, *pre, *post) = (ModuleType::Static, Purge::Brutal, Purge::Brutal);
            }
            if let Timeout::After(time) = timeout {
                *time = (*time).max(Duration::from_millis(1));
            }
        }
        if let Self::Update { pre, post, .. }
        | Self::LoadModule { pre, post, .. }
        | Self::Load { pre, post, .. }
        | Self::Remove { pre, post, .. } = &mut self
        {
            for purge in [pre, post] {
                if *purge != Purge::Brutal {
                    *purge = Purge::Soft;
                }
            }
        }
        self
    }

    /// A relup's instruction as a run carries it out; `None` where it does not.
    pub(super) fn in_run(mut self) -> Option<Self> {
        match &mut self {
            Self::LoadObjectCode { vsn, .. } => *vsn = Term::string(&vsn.to_text()?),
            Self::Suspend(modules) => {
                for (_, timeout) in modules {
                    match timeout {
                        Some(Timeout::Default) => *timeout = None,
                        Some(Timeout::Beyond(_)) => *timeout = Some(Timeout::After(LONGEST)),
                        _ => {}
                    }
                }
            }
            Self::CodeChange { direction, .. } => {
                direction.get_or_insert(Direction::Up);
            }
            Self::Apply(call) => {
                call.args.as_list()?;
            }
            Self::PointOfNoReturn
            | Self::Load { .. }
            | Self::Remove { .. }
            | Self::Purge(_)
            | Self::Resume(_) => {}
            Self::Update { .. }
            | Self::LoadModule { .. }
            | Self::AddModule { .. }
            | Self::DeleteModule { .. }
            | Self::AddApplication { .. }
            | Self::RemoveApplication(_)
            | Self::RestartApplication(_)
            | Self::Stop(_)
            | Self::Start(_)
            | Self::SyncNodes { .. }
            | Self::RestartNewEmulator
            | Self::RestartEmulator
            | Self::Restart
            | Self::Reboot
            | Self::Hook { .. } => return None,
        }
        Some(self)
    }
}

/// The high-level instructions as an appup has them.
///
/// # Errors
/// E401 when an appup has no word for one.
pub fn appup(high: &[HighStep]) -> Result<Term> {
    let instruction = |step: &HighStep| {
        let nearest = step.instruction.clone().nearest_in_otp();
        nearest.to_appup().map_err(|_| {
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
    let script: Result<Vec<Term>> = high.iter().map(instruction).collect();
    script.map(Term::List)
}

/// The instructions of a relup.
///
/// # Errors
/// E401 when an appup has no word for one of them, E414 when OTP would refuse them.
pub fn relup(changes: &ChangeSet, high: &[HighStep]) -> Result<Vec<Instruction>> {
    let script = appup(high)?;
    let apps = applications(changes);
    translate(Mode::Up, &[script], &apps, &apps).map_err(|refused| {
        let help = "`updo preview --terms` shows the instructions";
        Box::new(Diagnostic::new(Code::E414, refused.error.to_string()).help(help))
    })
}

/// The same as instructions of a run.
pub(super) fn low(changes: &ChangeSet, high: &[HighStep]) -> Result<Vec<Instruction>> {
    let carried_out = |instruction: Instruction| {
        let title = format!("a run has no word for `{instruction}`");
        let refused = || Box::new(Diagnostic::new(Code::E401, title));
        instruction.in_run().ok_or_else(refused)
    };
    relup(changes, high)?.into_iter().map(carried_out).collect()
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
