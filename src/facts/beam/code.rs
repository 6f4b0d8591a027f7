//! What the code of a module shows beyond its import table.
//!
//! Takes the chunks of a beam and gives [`CodeFacts`]: where imported functions are called, which
//! modules are named as constants where a call or a start will use them, which calls cannot be known,
//! which names are registered and sent to. Everything carries the function and line it was seen in.
//! What a function of the module may do to the world is asked of [`effects`].
//! It must never fail because of code it does not understand: it then says [`ReadExtent::Partly`].

mod calls;
mod doing;
pub mod effects;
mod fields;
mod fun_callers;
mod known;
mod reader;
pub mod symbolic;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::name::{Mfa, Module};
use crate::term::Atom;

/// Most entries of each list of [`CodeFacts`]; a module that has more is [`ReadExtent::Partly`] known.
pub const MAX_ENTRIES: usize = 1 << 18;

/// What the code of a module shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodeFacts {
    /// How much of the code was read.
    pub walked: ReadExtent,
    /// The module's `-on_load` function.
    pub on_load: Option<Function>,
    /// References to other modules that the import table does not show, with evidence.
    ///
    /// [`Evidence::MfaLiteral`] is anything of that form, `{error, badarg, []}` included: whether the
    /// module exists and exports the function is for the reader to ask.
    pub hidden: Vec<HiddenRef>,
    /// Calls to imported functions with their place. Guard BIFs and operators are left out.
    pub call_sites: Vec<CallSite>,
    /// Calls whose module is not known before run time; Elixir's `map.field` is none.
    pub dynamic_calls: Vec<DynamicCall>,
    /// Names given to `register`, in `{local, Name}` of start calls, as `name: Name` in Elixir.
    pub registers: BTreeSet<Atom>,
    /// Literal names that `gen_server:call` and the like, `!` or `whereis` are given, with the function.
    pub sends_to: Vec<(Atom, Function)>,
    /// Functions that wait for the answer of a server and go on afterwards: a process inside of them executes this
    /// version until the server answers.
    pub waits: Vec<Function>,
    /// Atoms in code operands and literals (the whole set, to look for names of changed modules).
    pub atoms: BTreeSet<Atom>,
    /// Fields of an Elixir struct defined by the module (`__struct__/0`), if it is one.
    pub struct_fields: Option<Vec<Atom>>,
    /// Whether `code_change` does more than hand the state back while the atom `down` is nowhere in the module,
    /// so that no clause can be for `{down, Vsn}`. False when the code was not read whole, or when `code_change`
    /// calls another module that may know.
    pub one_way: bool,
}

/// How much of a module's code was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadExtent {
    /// Nothing: it was not asked for.
    #[default]
    Not,
    /// Not all: an instruction of a later OTP, damage, or more than `MAX_ENTRIES`. The rest of the
    /// module is known by its import table only.
    Partly,
    /// All of it.
    Whole,
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
    /// A literal `{m, f, Args | Arity}`, or one built with constant module and function.
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
    /// Whether it may as well be a field of a map (Elixir up to 1.12).
    pub or_field: bool,
}
