//! What one beam file says about its module.
//!
//! Takes the bytes of a file and gives [`BeamFacts`]: quickly what the tables say ([`BeamFacts::read`]),
//! and, for modules that take part in an upgrade, also what the code shows ([`BeamFacts::read_whole`]).
//! It reads; it neither judges nor asks a node. A damaged file is a [`BeamError`], never a panic.

use std::collections::BTreeSet;

use md5::Digest;

use super::bifs::NEWEST;
use super::chunk::{Atoms, Chunks, triples, unpacked};
use super::code::CodeFacts;
use super::digest::Digests;
use super::error::BeamError;
use crate::name::{FunctionArity, Md5, Mfa, Module};
use crate::term::{Atom, Term, etf};

/// The facts of one beam file.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamFacts {
    /// The module.
    pub module: Module,
    /// The module's MD5, as `module_info(md5)` gives it on the newest OTP, or on the one of [`BeamFacts::on`].
    pub md5: Md5,
    /// The same for every release.
    pub digests: Digests,
    /// MD5 of what the module MD5 leaves out and a stack trace shows (`Line`); zero if absent.
    pub line_md5: Md5,
    /// The attributes chunk: `[{Name, [Value]}]` flattened to pairs, in order; one without values has none.
    pub attributes: Vec<(Atom, Term)>,
    /// Compile information (`CInf`) in the external term format; see [`BeamFacts::compile_info`].
    pub compile_info_etf: Box<[u8]>,
    /// Exported functions (name, arity).
    pub exports: BTreeSet<FunctionArity>,
    /// Functions of other modules in the import table.
    pub imports: BTreeSet<Mfa>,
    /// `-behaviour`/`-behavior` modules, all of them, in order.
    pub behaviours: Vec<Module>,
    /// Whether it calls `erlang:load_nif/2`.
    pub nif: bool,
    /// How many funs it makes that are not external ones.
    pub funs: usize,
    /// What the code shows; empty and [`ReadExtent::Not`](super::ReadExtent::Not) after [`BeamFacts::read`].
    pub code: CodeFacts,
    /// Size of the file in bytes.
    pub size: usize,
}

impl BeamFacts {
    /// Reads what the tables of a beam say, without looking at its code: fit for thousands of files.
    ///
    /// Errors when the bytes are no beam, are cut off, exceed [`MAX_BEAM`](super::chunk::MAX_BEAM), lack
    /// an atom table, or hold a table that contradicts itself. Attributes and compile information that
    /// cannot be decoded are taken for empty: nothing but comfort depends on them.
    pub fn read(bytes: &[u8]) -> Result<Self, BeamError> {
        let plain = unpacked(bytes)?;
        let chunks = Chunks::parse(&plain)?;
        let atoms = Atoms::read(&chunks)?;
        tables(&chunks, &atoms, bytes.len())
    }

    /// Reads the tables and the code. Names in `wanted` are also looked for as bare atoms in code and
    /// literals ([`AtomInCode`](super::Evidence::AtomInCode), [`AtomInLiteral`](super::Evidence::AtomInLiteral)).
    ///
    /// Code that this version of updo cannot read is no error: [`CodeFacts::walked`] says so.
    pub fn read_whole(bytes: &[u8], wanted: &BTreeSet<Module>) -> Result<Self, BeamError> {
        let plain = unpacked(bytes)?;
        let chunks = Chunks::parse(&plain)?;
        let atoms = Atoms::read(&chunks)?;
        let mut facts = tables(&chunks, &atoms, bytes.len())?;
        facts.code = CodeFacts::read(&chunks, &atoms, wanted)?;
        Ok(facts)
    }

    /// The facts on a node of an OTP release, which may count less in the MD5 than the newest.
    #[must_use]
    pub fn on(mut self, otp: u32) -> Self {
        self.md5 = self.digests.on(otp);
        self
    }

    /// Whether the module exports a function.
    pub fn exports(&self, name: &str, arity: u32) -> bool {
        self.exports.contains(&FunctionArity::new(name, arity))
    }

    /// Compile information: `version`, `options`, `source`. Decoded at each call; empty if damaged.
    pub fn compile_info(&self) -> Vec<(Atom, Term)> {
        pairs(Some(&self.compile_info_etf))
    }

    /// The version as `beam_lib:version/1` gives it: the `vsn` attribute, or the MD5 as a big integer.
    pub fn vsn(&self) -> Term {
        let values: Vec<Term> = self
            .attributes
            .iter()
            .filter(|(key, _)| key == "vsn")
            .map(|(_, v)| v.clone())
            .collect();
        match <[Term; 1]>::try_from(values) {
            Ok([one]) => one,
            Err(none) if none.is_empty() => Term::integer(crate::term::BigInt::from_bytes_be(
                num_bigint::Sign::Plus,
                self.md5.as_bytes(),
            )),
            Err(several) => Term::List(several),
        }
    }
}

fn tables(chunks: &Chunks<'_>, atoms: &Atoms<'_>, size: usize) -> Result<BeamFacts, BeamError> {
    let module = atoms.get(1).cloned().ok_or(BeamError::BadChunk("AtU8"))?;
    let imports = imports(chunks, atoms)?;
    let attributes = attributes(chunks);
    let digests = Digests::of(chunks);
    Ok(BeamFacts {
        module: Module::from(module),
        md5: digests.on(NEWEST),
        digests,
        line_md5: chunks.get(b"Line").map_or(Md5::default(), |line| {
            Md5::from(<[u8; 16]>::from(md5::Md5::digest(line)))
        }),
        behaviours: behaviours(&attributes),
        attributes,
        compile_info_etf: chunks.get(b"CInf").unwrap_or_default().into(),
        exports: exports(chunks, atoms)?,
        nif: imports
            .iter()
            .any(|f| f.module.as_str() == "erlang" && &*f.function == "load_nif" && f.arity == 2),
        imports: imports.into_iter().collect(),
        funs: chunks.get(b"FunT").map_or(0, count_of),
        code: CodeFacts::default(),
        size,
    })
}

/// The number of entries that a table begins with.
fn count_of(table: &[u8]) -> usize {
    let head = table.first_chunk::<4>();
    head.map_or(0, |head| u32::from_be_bytes(*head) as usize)
}

/// The import table in the order of the file, which is how `call_ext` counts.
pub(super) fn imports(chunks: &Chunks<'_>, atoms: &Atoms<'_>) -> Result<Vec<Mfa>, BeamError> {
    triples(chunks, "ImpT")?
        .into_iter()
        .map(|[module, function, arity]| {
            let (module, function) = (atoms.get(module)?.clone(), atoms.get(function)?.clone());
            Some(Mfa {
                module: Module::from(module),
                function,
                arity,
            })
        })
        .collect::<Option<_>>()
        .ok_or(BeamError::BadChunk("ImpT"))
}

fn exports(chunks: &Chunks<'_>, atoms: &Atoms<'_>) -> Result<BTreeSet<FunctionArity>, BeamError> {
    triples(chunks, "ExpT")?
        .into_iter()
        .map(|[function, arity, _label]| {
            Some(FunctionArity::new(atoms.get(function)?.clone(), arity))
        })
        .collect::<Option<_>>()
        .ok_or(BeamError::BadChunk("ExpT"))
}

/// `[{Name, [Value]}]` as pairs, one for each value.
fn attributes(chunks: &Chunks<'_>) -> Vec<(Atom, Term)> {
    let mut flat = Vec::new();
    for (name, values) in pairs(chunks.get(b"Attr")) {
        match values {
            Term::List(values) => {
                flat.extend(values.into_iter().map(|value| (name.clone(), value)))
            }
            one => flat.push((name, one)),
        }
    }
    flat
}

/// A chunk that holds the external term format of a list of pairs.
fn pairs(chunk: Option<&[u8]>) -> Vec<(Atom, Term)> {
    let Some(Ok(Term::List(elements))) = chunk.map(etf::decode) else {
        return Vec::new();
    };
    elements
        .into_iter()
        .filter_map(|element| match element {
            Term::Tuple(pair) => match <[Term; 2]>::try_from(pair) {
                Ok([Term::Atom(name), value]) => Some((name, value)),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn behaviours(attributes: &[(Atom, Term)]) -> Vec<Module> {
    let mut found: Vec<Module> = Vec::new();
    for (name, value) in attributes {
        let (Term::Atom(module), "behaviour" | "behavior") = (value, name.as_str()) else {
            continue;
        };
        if !found.iter().any(|known| known.as_str() == module.as_str()) {
            found.push(Module::new(module.as_str()));
        }
    }
    found
}
