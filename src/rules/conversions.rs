//! How the processes of each module are converted, and what that does: the plan's function, the code of the new version
//! (pure, reads or acts, with places), or nothing and why.
//!
//! The one place that reads a conversion off an upgrade: `explain`, the preview, the REPL and editors show it, a
//! rehearsal decides by it.

use std::fmt;

use super::{Change, Class, ModuleRules, Origin, Ruleset, infer};
use crate::facts::change::{Beam, ChangeSet, Changed};
use crate::name::Module;
use crate::twin::conversion::{Conversion, Effect, Kind};

/// How the processes of one module are converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converted {
    /// Not at all; why.
    Not(String),
    /// By the plan's `{convert, fun m:f/1}`.
    Function(String),
    /// By the code of the new version.
    Code {
        /// Where it begins: `code_change/3`.
        entry: &'static str,
        /// What it does.
        conversion: Conversion,
        /// Whether the plan has it tried, or not tried (`module m #{rehearse => …}`).
        rehearse: Option<bool>,
    },
}

/// How a module of an upgrade is converted; `None` for one that takes no part.
pub fn converted(changes: &ChangeSet, rules: &Ruleset, module: &Module) -> Option<Converted> {
    let decided = rules.modules.get(module)?;
    let changed = changes.modules.get(module)?;
    if let Some(why) = not_converted(changes, changed, decided) {
        return Some(Converted::Not(why));
    }
    if let Change::Convert { module, function } = &decided.change.value {
        let function = format!("fun {module}:{}/1", function.as_str());
        return Some(Converted::Function(function));
    }
    let new = changed.new.as_ref()?;
    let entry = match decided.class.value {
        Class::Supervisor => "init/1",
        _ => infer::converter(changes, changed, &new.facts).unwrap_or("code_change/3"),
    };
    let kind = match entry {
        "init/1" => Kind::Supervisor,
        "system_code_change/4" => Kind::Special,
        _ => Kind::Server,
    };
    Some(Converted::Code {
        entry,
        conversion: effects(changes, module, kind),
        rehearse: decided.rehearse.value,
    })
}

/// What the code of a conversion does, as far as the beams of the upgrade show.
pub fn effects(changes: &ChangeSet, module: &Module, kind: Kind) -> Conversion {
    let world = |module: &Module| {
        let changed = changes.modules.get(module)?;
        changed.new.as_ref().map(Beam::bodies)
    };
    Conversion::of(module, kind, &world)
}

/// Why nothing is converted.
fn not_converted(changes: &ChangeSet, changed: &Changed, decided: &ModuleRules) -> Option<String> {
    if changed.is_new() {
        return Some("none: the module is new".to_owned());
    }
    let Some(new) = &changed.new else {
        return Some("none: the module is removed".to_owned());
    };
    if decided.class.value == Class::Library {
        return Some("none: it has no processes of its own".to_owned());
    }
    if decided.change.value != Change::Soft {
        return None;
    }
    Some(match &decided.change.origin {
        Origin::Plan { .. } => "none: the plan keeps the states as they are".to_owned(),
        _ if decided.restart.value => "none: its processes are restarted".to_owned(),
        Origin::Inferred(how) if infer::converter(changes, changed, &new.facts).is_none() => {
            format!("none: it {how}")
        }
        _ => "none: the states stay as they are".to_owned(),
    })
}

impl Converted {
    /// Whether there is one.
    pub fn is_any(&self) -> bool {
        !matches!(self, Self::Not(_))
    }

    /// `pure`, `reads`, `acts`; `function` for the plan's; `none`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Not(_) => "none",
            Self::Function(_) => "function",
            Self::Code { conversion, .. } => match conversion.effect {
                Effect::Pure => "pure",
                Effect::Reads => "reads",
                Effect::Acts => "acts",
            },
        }
    }

    /// Whether a rehearsal tries it, as far as what it does is concerned.
    pub fn is_tried(&self) -> bool {
        match self {
            Self::Code {
                conversion,
                rehearse,
                ..
            } => rehearse.unwrap_or_else(|| conversion.can_be_tried()),
            _ => false,
        }
    }

    /// What there is to add when it is tried although it acts, or not tried.
    pub fn tried_in_words(&self) -> &'static str {
        let Self::Code {
            conversion,
            rehearse,
            ..
        } = self
        else {
            return "";
        };
        match (conversion.can_be_tried(), rehearse) {
            (false, Some(true)) => "; tried beforehand, because the plan says so",
            (_, Some(false)) => "; not tried beforehand, because the plan says so",
            (false, None) => "; not tried beforehand",
            (true, _) => "",
        }
    }

    /// What is more than computing and decides the word, in words: `ets:lookup/2 in m:code_change/3, line 12`.
    pub fn places(&self) -> Vec<String> {
        let Self::Code { conversion, .. } = self else {
            return Vec::new();
        };
        match conversion.effect {
            Effect::Pure => Vec::new(),
            Effect::Reads => conversion.reading().map(ToString::to_string).collect(),
            Effect::Acts => conversion.acting().map(ToString::to_string).collect(),
        }
    }
}

/// One line, with the first place of several.
impl fmt::Display for Converted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conversion = match self {
            Self::Not(why) => return f.write_str(why),
            Self::Function(function) => {
                return write!(f, "the plan's {function}; not tried beforehand");
            }
            Self::Code { conversion, .. } => conversion,
        };
        let places = self.places();
        let first = places.first().map(String::as_str).unwrap_or_default();
        match conversion.effect {
            Effect::Pure => f.write_str("pure")?,
            Effect::Reads => write!(f, "reads: {first}")?,
            Effect::Acts => write!(f, "acts: {first}")?,
        }
        if places.len() > 1 {
            write!(f, " and {} more", places.len() - 1)?;
        }
        f.write_str(self.tried_in_words())
    }
}
