//! What the last rehearsal of an upgrade has measured: kept in the state folder, for previews.

use super::environment::now;
use super::rehearsal_back::goes_back;
use super::{Connection, Upgrade};
use crate::exec::pause::Pause;
use crate::report::preview::PauseShown;
use crate::script::lower::{Executor, processes};
use crate::state::rehearsals::{self, Figures};
use crate::term::etf;

impl Connection<'_> {
    /// Which upgrade it is that figures belong to: both versions of each module, and the steps with their conversions.
    fn known_as(&self, upgrade: &Upgrade) -> rehearsals::Rehearsed {
        let content = etf::encode(&upgrade.content());
        rehearsals::Rehearsed {
            creation: self.session.creation(),
            upgrade: <md5::Md5 as md5::Digest>::digest(content).into(),
        }
    }

    /// For previews. What cannot be written costs them a line, not this rehearsal.
    pub(super) fn keep_figures(&self, upgrade: &Upgrade, figures: &Figures) {
        let (state, node) = (&self.engine.settings.state_dir, self.session.node());
        let _ = rehearsals::keep(state, node, self.known_as(upgrade), figures.clone());
    }

    /// What a preview says of the pause: what follows from the last rehearsal of this very upgrade, for the processes
    /// of now; or with which command it is measured. `None` when nothing is suspended.
    pub(super) fn pause_shown(&self, upgrade: &Upgrade) -> Option<PauseShown> {
        let (changes, rules, script) = (&upgrade.changes, &upgrade.rules, &upgrade.script);
        let suspended = processes(changes, rules, script);
        if suspended == 0 || matches!(script.by, Executor::ReleaseHandler(_)) {
            return None;
        }
        let (state, node) = (&self.engine.settings.state_dir, self.session.node());
        let Some(mut figures) = rehearsals::load(state, node, &self.known_as(upgrade)) else {
            return Some(PauseShown::Unmeasured {
                suspended,
                command: self.rehearse_command(),
            });
        };
        // The plan, or the copies of what runs, may have changed since.
        if !goes_back(&self.engine.plan, upgrade) {
            for of in figures.modules.values_mut() {
                of.lost = 0;
            }
        }
        Some(PauseShown::Rehearsed {
            pause: Pause::predicted(changes, rules, script, &figures),
            ago: now().saturating_sub(figures.at),
            suspended,
            figures,
        })
    }

    /// As one would type it: for this node, with the parameters that this plan has been given.
    fn rehearse_command(&self) -> String {
        let (plan, settings) = (&self.engine.plan, &self.engine.settings);
        let mut command = format!("updo rehearse {}", plan.path.display());
        for (name, value) in settings.sets_of(plan) {
            command += &format!(" --set {name}={value}");
        }
        let is_its_only =
            matches!(plan.targets.as_slice(), [only] if only.has(self.session.node()));
        if !is_its_only {
            command += &format!(" -t {}", self.session.node());
        }
        command
    }
}
