//! Twins: the new version of a module under a name of its own, loaded beside the version that runs.
//!
//! Takes the beam of a new version and the names of all modules of the upgrade, and gives a beam named `m@updo`, made
//! from the file alone: no compiler, no debug information, no node. Twins of one upgrade call each other; everything
//! else they call is what the node runs. So the new code can be tried on live states before anything is switched.
//!
//! What is a *name* changes, what is *data* stays: a `?MODULE` in a child specification, a `fun ?MODULE:f/1`, a module
//! given to `spawn` mean the real module, since they end in states and messages. A call through such data reaches the
//! version that runs. Literals are never touched. [`conversion`] says what a conversion does when it is tried.
//!
//! Where a conversion needs a few functions only, an [`excerpt`] has these of all modules, in one beam.
//!
//! A module with NIFs or `on_load` has no twin: its library or its function would really be run ([`NoTwin`]).

mod atoms;
mod chunks;
mod code;
pub mod conversion;
mod encode;
mod error;
pub mod excerpt;
pub mod shim;

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::beam::BeamError;
use crate::facts::beam::bifs::bifs;
use crate::facts::beam::chunk::{Atoms, Chunks, triples, unpacked};
use crate::name::Module;
use atoms::{NewAtoms, Table};
use chunks::{Builder, Rows};
use code::Renaming;

pub use error::NoTwin;
pub use excerpt::Excerpt;

/// What the name of a twin ends in.
pub const SUFFIX: &str = "@updo";

/// A twin, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// The module it is a twin of.
    pub module: Module,
    /// Its own name.
    pub name: Module,
    /// The beam.
    pub bytes: Vec<u8>,
    /// How many funs it makes. From OTP 29 on a node keeps an entry for each of every version that it ever loaded.
    pub funs: usize,
}

/// The name of a module's twin.
pub fn name(module: &Module) -> Module {
    Module::new(format!("{}{SUFFIX}", module.as_str()))
}

/// The module that a name is the twin of, if it is a twin's name: for stack traces and errors that say `m@updo`.
pub fn original(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)
        .filter(|module| !module.is_empty())
}

/// Twins of a whole upgrade, and why some modules have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    /// By module, in order.
    pub made: Vec<Twin>,
    /// The modules without a twin: the twins of the others call the version of these that runs.
    pub refused: BTreeMap<Module, NoTwin>,
}

/// What a node loads to run conversions of new versions beside the running ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converters {
    /// Where the functions are that convert, and what these need.
    pub excerpt: Option<Excerpt>,
    /// Modules of which an excerpt cannot have all that their conversions need, and what those call.
    pub twins: Vec<Twin>,
    /// The modules that have neither: twins call the version of these that runs.
    pub refused: BTreeMap<Module, NoTwin>,
}

/// A function that begins a conversion, and its arity.
pub type Entry = (&'static str, u32);

impl Converters {
    /// For the conversions `wanted`, each with the functions of which one begins it, out of the new beams of an upgrade.
    /// Those of `whole` have twins.
    pub fn of<'a>(
        beams: &BTreeMap<&'a Module, &'a [u8]>,
        wanted: &[(&'a Module, &'static [Entry])],
        whole: &BTreeSet<Module>,
        otp: u32,
    ) -> Self {
        let excerpt = |but: &BTreeSet<Module>| {
            let wanted = wanted.iter().filter(|(module, _)| !but.contains(*module));
            excerpt::excerpt(beams, wanted.copied(), otp)
        };
        let mut found = excerpt(whole);
        loop {
            let is_in = |module: &Module| {
                let entries = found.as_ref().map(|excerpt| &excerpt.entries);
                entries.is_some_and(|entries| entries.contains_key(module))
            };
            let others = wanted.iter().map(|(module, _)| *module);
            let others = others.filter(|module| !is_in(module)).chain(whole);
            let needed = imported(beams, others);
            // One module has one of both.
            if needed.iter().any(is_in) {
                let but = needed.iter().chain(whole).cloned().collect();
                found = excerpt(&but);
                continue;
            }
            let those = needed
                .iter()
                .filter_map(|module| beams.get_key_value(module));
            let Twins { made, refused } = all(those.map(|(module, beam)| (*module, *beam)), otp);
            return Self {
                excerpt: found,
                twins: made,
                refused,
            };
        }
    }

    /// The modules whose conversions the node can run with these, or whose functions those of others call.
    pub fn modules(&self) -> Vec<Module> {
        let entries = self
            .excerpt
            .iter()
            .flat_map(|excerpt| excerpt.entries.keys());
        let twins = self.twins.iter().map(|twin| &twin.module);
        entries.chain(twins).cloned().collect()
    }

    /// Whether a conversion can be run.
    pub fn has(&self, module: &Module) -> bool {
        let excerpt = self.excerpt.as_ref();
        excerpt.is_some_and(|excerpt| excerpt.entries.contains_key(module))
            || self.twins.iter().any(|twin| twin.module == *module)
    }
}

/// Modules, and those of the upgrade that they call, and those that these call.
fn imported<'a>(
    beams: &BTreeMap<&'a Module, &'a [u8]>,
    modules: impl IntoIterator<Item = &'a Module>,
) -> BTreeSet<Module> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<Module> = modules.into_iter().cloned().collect();
    while let Some(module) = open.pop() {
        let Some(beam) = beams.get(&module) else {
            continue;
        };
        if needed.insert(module) {
            open.extend(imports(beam).unwrap_or_default());
        }
    }
    needed
}

fn imports(beam: &[u8]) -> Result<Vec<Module>, BeamError> {
    let plain = unpacked(beam)?;
    let chunks = Chunks::parse(&plain)?;
    let atoms = Atoms::read(&chunks)?;
    let rows = triples(&chunks, "ImpT")?;
    let owners: BTreeSet<u32> = rows.iter().map(|[owner, ..]| *owner).collect();
    let names = owners.into_iter().filter_map(|owner| atoms.text(owner));
    Ok(names.map(Module::new).collect())
}

/// The twins of all modules of an upgrade, for a node of an OTP release.
pub fn all<'a>(beams: impl IntoIterator<Item = (&'a Module, &'a [u8])>, otp: u32) -> Twins {
    let beams: BTreeMap<&Module, &[u8]> = beams.into_iter().collect();
    let mut twins = Twins::default();
    // First alone: a module that has no twin for a reason of its own is none that others could fail for.
    for (module, beam) in &beams {
        if let Err(why) = twin(beam, &BTreeSet::new(), otp) {
            twins.refused.insert((*module).clone(), why);
        }
    }
    loop {
        let refused = twins.refused.len();
        let has_one = |module: &&&Module| !twins.refused.contains_key(**module);
        let set: BTreeSet<Module> = beams.keys().filter(has_one).map(|m| (*m).clone()).collect();
        twins.made.clear();
        for module in &set {
            match twin(beams[module], &set, otp) {
                Ok(made) => twins.made.push(made),
                Err(why) => {
                    twins.refused.insert(module.clone(), why);
                }
            }
        }
        // Twins of one round agree on which modules have one.
        if twins.refused.len() == refused {
            return twins;
        }
    }
}

/// The twin of a module, whose calls to modules of `set` go to their twins; for a node of an OTP release.
///
/// Functions that are built into the emulator have code in no beam: calls to them stay with the real module.
///
/// # Errors
/// When the module can have none ([`NoTwin`]). Damaged and hostile bytes are refused, or give a beam that the loader
/// judges; they never cost more than a few times their size.
pub fn twin(beam: &[u8], set: &BTreeSet<Module>, otp: u32) -> Result<Twin, NoTwin> {
    let plain = unpacked(beam)?;
    let chunks = Chunks::parse(&plain)?;
    let atoms = Atoms::read(&chunks)?;
    let table = Table::of(&chunks)?;
    let module = atoms.get(1).cloned().ok_or(BeamError::BadChunk("AtU8"))?;
    let module = Module::from(module);
    let twin_name = name(&module);
    let mut new = NewAtoms::new(&atoms, &twin_name)?;
    let built_in = bifs(otp).of_module(module.as_str());

    let mut imports = Rows::read(&chunks, "ImpT", 12)?;
    imports.each(|row| {
        let [owner, function, arity] = row else {
            return Err(BeamError::BadChunk("ImpT").into());
        };
        let owner_name = atoms.text(*owner).ok_or(BeamError::BadChunk("ImpT"))?;
        let function_name = atoms.text(*function).ok_or(BeamError::BadChunk("ImpT"))?;
        let own = owner_name == module.as_str();
        let real = bifs(otp)
            .of_module(owner_name)
            .is_some_and(|known| known.contains(&(function_name, *arity)));
        if function_name == "load_nif" && owner_name == "erlang" {
            return Err(NoTwin::Nif);
        }
        *owner = match (own, real) {
            (true, true) => new.own(),
            (true, false) => 1,
            (false, false) if set.contains(owner_name) => new.twin_of(*owner, owner_name)?,
            (false, _) => *owner,
        };
        *function = new.data(*function);
        Ok(())
    })?;

    // A function of this module that is built into the emulator is only a stub here: the twin's calls the real one.
    let mut stubs = BTreeMap::new();
    for [function, arity, _] in triples(&chunks, "ExpT")? {
        let text = atoms.text(function).unwrap_or_default();
        if built_in.is_some_and(|known| known.contains(&(text, arity))) {
            let index = imports.push([new.own(), new.data(function), arity])?;
            stubs.insert((function, arity), index);
        }
    }

    let renaming = Renaming {
        atoms: &atoms,
        own: new.own(),
        stubs: &stubs,
    };
    let code = chunks.get(b"Code").ok_or(BeamError::MissingChunk("Code"))?;
    let code = renaming.code(code)?;
    let records = match chunks.get(b"Recs") {
        Some(records) => Some(renaming.records(records)?),
        None => None,
    };
    let mut funs = 0;
    let named = |id: &'static str, size| {
        let mut rows = Rows::read(&chunks, id, size)?;
        rows.each(|row| {
            if atoms.text(row[0]).is_none() {
                return Err(BeamError::BadChunk(id).into());
            }
            row[0] = new.data(row[0]);
            Ok(())
        })?;
        Ok::<_, NoTwin>(rows)
    };
    let exports = named("ExpT", 12)?;
    let lambdas = named("FunT", 24)?;
    if lambdas.is_there() {
        funs = lambdas.len();
    }

    let mut built = Builder::default();
    built.chunk(table.id(), &new.encoded(table)?)?;
    built.chunk(b"Code", &code)?;
    // Without `DbgB` a node that was started for debugging (`+D`, OTP 28 and later) refuses the code that refers to it.
    for id in [
        b"StrT", b"LitT", b"Line", b"Type", b"Meta", b"Attr", b"CInf", b"DbgB",
    ] {
        if let Some(data) = chunks.get(id) {
            built.chunk(id, data)?;
        }
    }
    for rows in [imports, exports, lambdas] {
        if rows.is_there() {
            built.chunk(rows.id(), &rows.encoded())?;
        }
    }
    if let Some(records) = records {
        built.chunk(b"Recs", &records)?;
    }
    Ok(Twin {
        module,
        name: twin_name,
        bytes: built.file()?,
        funs,
    })
}
