//! Excerpts: of many new modules the functions that their conversions need, in one module of its own.
//!
//! To load a twin for each module of a large upgrade costs a node more than the upgrade: each is loaded, and to take one
//! away asks all processes. Of most of that code a conversion needs a few functions. An excerpt has these functions, from
//! `code_change` on and whatever they call in modules of the upgrade, as `'m@updo:code_change'/3` in the one module
//! [`NAME`]: one beam to load and one to take away. What they compute is what twins would compute: names become others,
//! data stays, and a call through data reaches the version that runs (see the module above).
//!
//! Only a conversion of which every function can be taken is in an excerpt. What belongs to a module as a whole
//! (`module_info`, native records, functions that the emulator has itself) needs a twin. Of a module that can have no twin
//! (NIFs, `on_load`) nothing is taken: the stub of a NIF fails where there is no library, and what `on_load` sets up for
//! the new version is missing.

mod copy;
mod source;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::facts::beam::bifs::{Bifs, bifs};
use crate::facts::beam::chunk::unpacked;
use crate::name::Module;

use super::error::NoTwin;
use copy::Excerpted;
use source::{Source, text};

/// The name of the module that an excerpt is. It does not end as the names of twins do ([`super::SUFFIX`]), so that no
/// module of an upgrade can have a twin of this name.
pub const NAME: &str = "updo@conversions";

/// What is between the name of a module's twin and that of a function, in the names of an excerpt.
const MARK: &str = ":";

/// Functions that conversions need, ready to be loaded as a module of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The beam.
    pub bytes: Vec<u8>,
    /// How many funs it makes. From OTP 29 on a node keeps an entry for each of every version that it ever loaded.
    pub funs: usize,
    /// For each module that is converted, the function of the excerpt that does it.
    pub entries: BTreeMap<Module, String>,
    /// The modules of the upgrade that it has functions of.
    pub modules: BTreeSet<Module>,
}

/// The name of a function in an excerpt.
fn name(module: &str, function: &str) -> String {
    format!("{module}{}{MARK}{function}", super::SUFFIX)
}

/// A function: the module's place among the sources, and its own place there.
type Place = (usize, usize);

/// The conversions of an upgrade that an excerpt can have, each with one of the functions that begin it; for a node of an
/// OTP release. `None` when it can have none.
pub fn excerpt<'a>(
    beams: &BTreeMap<&'a Module, &'a [u8]>,
    wanted: impl IntoIterator<Item = (&'a Module, &'static [(&'static str, u32)])>,
    otp: u32,
) -> Option<Excerpt> {
    let plain: BTreeMap<&Module, Cow<'_, [u8]>> = beams
        .iter()
        .filter_map(|(module, beam)| Some((*module, unpacked(beam).ok()?)))
        .collect();
    let mut world = World {
        plain: &plain,
        built_in: bifs(otp),
        sources: Vec::new(),
        known: BTreeMap::new(),
        calls: HashMap::new(),
    };
    let mut taken = BTreeSet::new();
    let mut entries = BTreeMap::new();
    for (module, begins) in wanted {
        if let Some((entry, needed)) = world.conversion(module, begins, &taken) {
            taken.extend(needed);
            entries.insert(module.clone(), entry);
        }
    }
    if entries.is_empty() {
        return None;
    }
    let (bytes, funs) = Excerpted::of(&world, &taken).ok()?;
    let modules = taken
        .iter()
        .map(|(source, _)| world.sources[*source].0.clone());
    Some(Excerpt {
        bytes,
        funs,
        entries,
        modules: modules.collect(),
    })
}

/// The modules that have been read, as far as conversions have led to them.
struct World<'a, 'p> {
    plain: &'p BTreeMap<&'a Module, Cow<'a, [u8]>>,
    built_in: &'static Bifs,
    sources: Vec<(Module, Source<'p>)>,
    /// Where a module is among the sources; `None` when it cannot be taken from.
    known: BTreeMap<&'a Module, Option<usize>>,
    /// What functions call, as far as they have been looked at; `None` of one that cannot be taken.
    calls: HashMap<Place, Option<Vec<Place>>>,
}

impl World<'_, '_> {
    /// The function that a conversion begins with, and all that it needs beside what is taken for others.
    fn conversion(
        &mut self,
        module: &Module,
        begins: &[(&str, u32)],
        taken: &BTreeSet<Place>,
    ) -> Option<(String, BTreeSet<Place>)> {
        let source = self.source(module)?;
        let of = &self.sources[source].1;
        let mut found = begins.iter().filter_map(|(name, arity)| {
            of.exported(name, *arity).map(|function| (*name, function))
        });
        let (begin, function) = found.next()?;
        // With both the process decides which one it calls.
        if found.next().is_some() {
            return None;
        }
        let mut needed = BTreeSet::new();
        let mut open = vec![(source, function)];
        while let Some(place) = open.pop() {
            if !taken.contains(&place) && needed.insert(place) {
                open.extend(self.calls_of(place)?);
            }
        }
        Some((name(module.as_str(), begin), needed))
    }

    /// The place of a module among the sources, if functions can be taken from it.
    fn source(&mut self, module: &Module) -> Option<usize> {
        if let Some(known) = self.known.get(module) {
            return *known;
        }
        let (module, plain) = self.plain.get_key_value(module)?;
        // Functions of the emulator's own modules are stubs in their beams; and no two functions get the same name.
        let whole = self.built_in.of_module(module.as_str()).is_some()
            || module.as_str().contains(super::SUFFIX);
        let read = (!whole).then(|| Source::read(plain).ok()).flatten();
        let read = read.filter(|source| source.atoms.text(1) == Some(module.as_str()));
        let place = read.map(|source| {
            self.sources.push(((*module).clone(), source));
            self.sources.len() - 1
        });
        self.known.insert(module, place);
        place
    }

    fn calls_of(&mut self, place: Place) -> Option<&[Place]> {
        if !self.calls.contains_key(&place) {
            let calls = self.calls(place).ok();
            self.calls.insert(place, calls);
        }
        self.calls.get(&place)?.as_deref()
    }

    /// What a function calls in modules of the upgrade, its own included.
    fn calls(&mut self, (of, function): Place) -> Result<Vec<Place>, NoTwin> {
        let source = &self.sources[of].1;
        let here = &source.functions[function];
        if is_of_the_module(&text(source, here.name)?, here.arity) {
            return Err(NoTwin::Unknown);
        }
        let references = source.references(here)?;
        let mut calls: Vec<Place> = references.own.into_iter().map(|own| (of, own)).collect();
        let mut outside = Vec::new();
        for import in references.imports {
            let row = usize::try_from(import).ok();
            let [owner, function, arity] = *row
                .and_then(|row| source.imports.get(row))
                .ok_or(NoTwin::Unknown)?;
            let (owner, function) = (text(source, owner)?, text(source, function)?);
            if self.plain.contains_key(&Module::new(&*owner)) {
                outside.push((Module::new(&*owner), function.into_owned(), arity));
            }
        }
        for (owner, function, arity) in outside {
            let to = self.source(&owner).ok_or(NoTwin::Unknown)?;
            // What is not exported is not called from outside: the call fails, as it will after the switch.
            let function = self.sources[to].1.exported(&function, arity);
            calls.push((to, function.ok_or(NoTwin::Unknown)?));
        }
        Ok(calls)
    }

    /// Where a call of a function of the upgrade leads.
    fn called(&self, owner: &str, function: &str, arity: u32) -> Option<Place> {
        let source = (*self.known.get(&Module::new(owner))?)?;
        Some((source, self.sources[source].1.exported(function, arity)?))
    }
}

/// What answers for the module that it is in.
fn is_of_the_module(function: &str, arity: u32) -> bool {
    matches!(
        (function, arity),
        ("module_info", 0 | 1) | ("behaviour_info" | "__info__", 1)
    )
}
