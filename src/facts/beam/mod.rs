//! One beam file: chunks, literals, code, calls, effects. Takes bytes, gives [`BeamFacts`]; asks no node.

mod beam_facts;
pub mod bifs;
pub mod children;
pub mod chunk;
pub mod code;
pub(crate) mod cursor;
pub mod debug;
pub mod digest;
mod error;
mod instructions;
mod known_calls;
mod literal;
pub(crate) mod opcode;
pub mod protocols;
mod registers;
pub mod requests;
pub mod states;
pub mod toolchain;

pub use beam_facts::BeamFacts;
pub use code::{CallSite, CodeFacts, DynamicCall, Evidence, Function, HiddenRef, ReadExtent};
pub use error::BeamError;
