//! What one beam file says about its module.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::name::{Mfa, Module};
use crate::term::{Atom, Term};

/// The facts of one beam file.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamFacts {
    /// The module.
    pub module: Module,
    /// The module's MD5, as `beam_lib:md5/1` and `module_info(md5)` give it.
    pub md5: [u8; 16],
    /// MD5 of the chunks that the module MD5 leaves out and a stack trace shows (`Line`); zero if absent.
    pub line_md5: [u8; 16],
    /// The attributes chunk: `[{Name, [Value]}]` flattened to pairs, in order.
    pub attributes: Vec<(Atom, Term)>,
    /// Compile information, as it stands in the file.
    pub compile_info: Vec<(Atom, Term)>,
    /// Exported functions (name, arity).
    pub exports: BTreeSet<(Arc<str>, u32)>,
    /// Functions of other modules in the import table.
    pub imports: BTreeSet<Mfa>,
    /// `-behaviour`/`-behavior` modules, all of them, in order.
    pub behaviours: Vec<Module>,
    /// Whether the module has an `-on_load` function.
    pub on_load: bool,
    /// Whether it calls `erlang:load_nif/2`.
    pub nif: bool,
    /// Calls found in code and literals that the import table does not show, with evidence.
    pub hidden: Vec<HiddenRef>,
    /// Calls to imported functions with their place.
    pub call_sites: Vec<CallSite>,
    /// Calls whose module is not known before run time.
    pub dynamic_calls: Vec<DynamicCall>,
    /// Names given to `register`, `{local, Name}` in start calls.
    pub registers: BTreeSet<Atom>,
    /// Literal names that `gen_server:call` and the like, or `!`, send to, with the function that does.
    pub sends_to: Vec<(Atom, Function)>,
    /// Atoms in code operands and literals (the whole set, to look for names of changed modules).
    pub atoms: BTreeSet<Atom>,
    /// Record definitions of the debug information: name and field names.
    pub records: Vec<(Atom, Vec<Atom>)>,
    /// Fields of an Elixir struct defined by the module (`__struct__/0`), if it is one.
    pub struct_fields: Option<Vec<Atom>>,
    /// Size of the file in bytes.
    pub size: usize,
}

/// A function of the module itself and the line where something happens in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function {
    /// Name.
    pub name: Arc<str>,
    /// Arity.
    pub arity: u32,
    /// Line in the source, when the beam has line information.
    pub line: Option<u32>,
}

/// A call to an imported function, and where it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// The caller.
    pub from: Function,
    /// The callee.
    pub to: Mfa,
}

/// A reference to another module that the import table does not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HiddenRef {
    /// Where; `None` when it is in a literal that no function could be found for.
    pub from: Option<Function>,
    /// The module meant.
    pub module: Module,
    /// Function and arity where known.
    pub function: Option<(Arc<str>, Option<u32>)>,
    /// What was seen.
    pub evidence: Evidence,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Evidence {
    /// A literal `fun m:f/a`.
    ExternalFun,
    /// A literal `{m, f, Args | Arity}`.
    MfaLiteral,
    /// A constant module given to `spawn`, `apply`, `proc_lib`, `gen_*`, `supervisor`, `rpc`, `erpc`.
    StartCall,
    /// An atom in the code.
    AtomInCode,
    /// An atom in a literal.
    AtomInLiteral,
}

/// A call through a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicCall {
    /// Where.
    pub from: Function,
    /// The function, when it is constant: `Mod:price/1`.
    pub function: Option<(Arc<str>, Option<u32>)>,
}

impl BeamFacts {
    /// Whether the module exports a function.
    pub fn exports(&self, name: &str, arity: u32) -> bool {
        self.exports.contains(&(Arc::from(name), arity))
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
                &self.md5,
            )),
            Err(several) => Term::List(several),
        }
    }
}
