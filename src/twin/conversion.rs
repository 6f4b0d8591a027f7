//! What a conversion may do when it is tried: compute, read, or act, and where.
//!
//! Takes the beams of an upgrade and gives a [`Conversion`]. A conversion that computes or reads can be tried on a copy
//! of a live state without harm; one that acts is tried only when the plan says so. What cannot be known (a fun of the
//! state, a module in a variable or one whose beam is not given) may act, so it is taken for that.

use std::fmt;

use crate::facts::beam::code::effects::{Bodies, Doing, EffectSite, Effects, verdict};
use crate::name::Module;

/// What a conversion may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It computes.
    Pure,
    /// It looks at tables, files, processes, the environment or the clock, or prints.
    Reads,
    /// It sends, calls processes, writes, starts or waits; or it cannot be known.
    Acts,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pure => "pure",
            Self::Reads => "reads",
            Self::Acts => "acts",
        })
    }
}

impl From<Doing> for Effect {
    fn from(doing: Doing) -> Self {
        match doing {
            Doing::Pure => Self::Pure,
            Doing::Reads => Self::Reads,
            Doing::Unknown | Doing::Acts => Self::Acts,
        }
    }
}

/// How processes of a module are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `code_change/3`, of a `gen_statem` `code_change/4`.
    Server,
    /// The new `init/1` of a supervisor.
    Supervisor,
    /// `system_code_change/4` of a special process.
    Special,
}

impl Kind {
    /// The functions that a conversion begins with.
    pub fn entries(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Server => &[("code_change", 3), ("code_change", 4)],
            Self::Supervisor => &[("init", 1)],
            Self::Special => &[("system_code_change", 4)],
        }
    }
}

/// What the conversion of one module does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// All of it in one word.
    pub effect: Effect,
    /// What is more than computing, in the order of modules, functions and lines.
    pub places: Vec<EffectSite>,
    /// Where a module of the upgrade is named as data: what is called by that name is the version that runs, also when
    /// a twin does it. So a trial that comes to such a place does not show what the new version will do there.
    pub by_name: Vec<EffectSite>,
}

impl Conversion {
    /// What the conversion of a module does. `world` has the new beams of the upgrade, and those of other modules as far
    /// as they are at hand.
    pub fn of<'a>(
        module: &Module,
        kind: Kind,
        world: &dyn Fn(&Module) -> Option<&'a Bodies>,
    ) -> Self {
        Self::from(verdict(module, kind.entries(), world))
    }

    /// The same of a function with which a plan converts: it gets the state.
    pub fn by<'a>(
        module: &Module,
        function: &str,
        world: &dyn Fn(&Module) -> Option<&'a Bodies>,
    ) -> Self {
        Self::from(verdict(module, &[(function, 1)], world))
    }

    /// The places that make it an acting one; none when it is not.
    pub fn acting(&self) -> impl Iterator<Item = &EffectSite> {
        self.with(Effect::Acts)
    }

    /// The places that read.
    pub fn reading(&self) -> impl Iterator<Item = &EffectSite> {
        self.with(Effect::Reads)
    }

    fn with(&self, effect: Effect) -> impl Iterator<Item = &EffectSite> {
        self.places
            .iter()
            .filter(move |place| Effect::from(place.doing) == effect)
    }

    /// Whether it can be tried on copies of live states unasked.
    pub fn can_be_tried(&self) -> bool {
        self.effect < Effect::Acts
    }
}

impl From<Effects> for Conversion {
    fn from(verdict: Effects) -> Self {
        Self {
            effect: verdict.doing.into(),
            places: verdict.places,
            by_name: verdict.by_name,
        }
    }
}
