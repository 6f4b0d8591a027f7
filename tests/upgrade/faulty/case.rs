//! One application in two versions, and what is known of it: which fault its conversion has, if any, and what its
//! processes answer before and after a right upgrade. Made from a seed, without looking at what updo says of it.

use crate::support::invented::Dice;

use super::{elixir, erlang, others};

/// What is tried.
pub struct Case {
    /// Its modules begin with this.
    pub name: String,
    /// How it was made, for a message.
    pub about: String,
    /// The fault of its conversion.
    pub fault: Option<&'static str>,
    /// Sources in Elixir.
    pub elixir: bool,
    /// Modules and sources of the running version.
    pub one: Vec<(String, String)>,
    /// Modules and sources of what is new.
    pub two: Vec<(String, String)>,
    /// An expression that starts processes and gives their list.
    pub start: String,
    /// More lines of the plan.
    pub plan: String,
    /// The answer of a process `P`.
    pub ask: String,
    /// All answers before the upgrade, an expression.
    pub before: String,
    /// All answers after a right one.
    pub after: String,
    /// Without a rehearsal the fault would take long or harm the node.
    pub heavy: bool,
}

/// Faults of conversions in Erlang and in Elixir.
pub const FAULTS: &[&str] = &[
    "bare state",
    "three elements",
    "error returned",
    "missing clause",
    "badmatch",
    "field forgotten",
    "key renamed",
    "no conversion",
    "wrong arity",
    "not exported",
    "endless",
    "memory",
    "slow for one",
    "fails for one",
    "asks a peer that asks it",
    "function gone",
    "throws",
    "exits",
    "same state",
    "outer only",
    "vsn",
    "extra",
    "badarith",
    "badkey",
    "return of another behaviour",
    "name of no state",
    "specification",
    "plan's function",
    "update of a missing key",
];

impl Case {
    /// The case of a seed, with a fault or without.
    pub fn new(seed: u64, faulty: bool) -> Self {
        let mut dice = Dice::new(mixed(seed.wrapping_mul(2).wrapping_add(u64::from(faulty))));
        let name = format!("{}{seed}", if faulty { "f" } else { "r" });
        if !faulty {
            return match dice.below(10) {
                0 => others::supervisor(&mut dice, name, None),
                1 => others::peers(&mut dice, name, None),
                2..=4 => elixir::server(&mut dice, name, None),
                _ => erlang::server(&mut dice, name, None),
            };
        }
        // Every kind as often as any other, the language and the rest by chance.
        let fault = FAULTS[(seed % FAULTS.len() as u64) as usize];
        match fault {
            "specification" => others::supervisor(&mut dice, name, Some(fault)),
            "asks a peer that asks it" => others::peers(&mut dice, name, Some(fault)),
            "update of a missing key" => elixir::server(&mut dice, name, Some(fault)),
            _ if elixir::writes(fault) && dice.chance(35) => {
                elixir::server(&mut dice, name, Some(fault))
            }
            _ => erlang::server(&mut dice, name, Some(fault)),
        }
    }
}

/// Seeds that follow each other would begin with the same numbers.
fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}
