//! The functions that are built into the emulator, for each OTP release.
//!
//! xref leaves calls to them out of its graph (`erlang:is_builtin/3` of the node that analyses, and
//! `erts_debug:apply/4`), so updo does as well, without having that node. The lists are data, taken
//! from OTP 23, 25, 27 and 29; a release between two of them uses the list of the earlier one.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::name::Mfa;

/// The newest release whose list is here.
pub const NEWEST: u32 = 29;

/// The oldest release whose list is here.
pub const OLDEST: u32 = 23;

/// The built-in functions of one release.
#[derive(Debug)]
pub struct Bifs(HashMap<&'static str, HashSet<(&'static str, u32)>>);

static OTP_23: LazyLock<Bifs> = LazyLock::new(|| Bifs::parse(include_str!("data/bifs_otp23.txt")));
static OTP_25: LazyLock<Bifs> = LazyLock::new(|| Bifs::parse(include_str!("data/bifs_otp25.txt")));
static OTP_27: LazyLock<Bifs> = LazyLock::new(|| Bifs::parse(include_str!("data/bifs_otp27.txt")));
static OTP_29: LazyLock<Bifs> = LazyLock::new(|| Bifs::parse(include_str!("data/bifs_otp29.txt")));

/// The list that fits an OTP release number (`25` for OTP 25).
pub fn bifs(otp: u32) -> &'static Bifs {
    match otp {
        ..=24 => &OTP_23,
        25 | 26 => &OTP_25,
        27 | 28 => &OTP_27,
        29.. => &OTP_29,
    }
}

impl Bifs {
    /// One line for each module: its name, then `function/arity`, separated by blanks.
    fn parse(text: &'static str) -> Self {
        let mut found: HashMap<_, HashSet<_>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let Some(module) = words.next() else { continue };
            let functions = words.filter_map(|word| {
                let (name, arity) = word.rsplit_once('/')?;
                Some((name, arity.parse().ok()?))
            });
            found.entry(module).or_default().extend(functions);
        }
        Self(found)
    }

    /// The built-in functions of one module, if it has any.
    pub fn of_module(&self, module: &str) -> Option<&HashSet<(&'static str, u32)>> {
        self.0.get(module)
    }

    /// Whether a function is built in.
    pub fn contains(&self, function: &Mfa) -> bool {
        self.0
            .get(function.module.as_str())
            .is_some_and(|functions| functions.contains(&(&*function.function, function.arity)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }

    /// Whether there is none, which is never so.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::bifs;
    use crate::name::{Mfa, Module};

    #[test]
    fn the_lists_are_complete() {
        for (otp, size) in [
            (22, 504),
            (23, 504),
            (25, 509),
            (26, 509),
            (27, 526),
            (29, 557),
            (31, 557),
        ] {
            assert_eq!(bifs(otp).len(), size, "OTP {otp}");
        }
    }

    #[test]
    fn operators_and_their_kin_are_in() {
        let is = |module: &str, function: &str, arity| {
            bifs(25).contains(&Mfa {
                module: Module::new(module),
                function: function.into(),
                arity,
            })
        };
        assert!(is("erlang", "/", 2) && is("erlang", "!", 2) && is("lists", "member", 2));
        assert!(!is("lists", "map", 2) && !is("erlang", "halt", 7));
    }
}
