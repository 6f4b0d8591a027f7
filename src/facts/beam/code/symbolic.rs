//! What a function answers, as far as its code shows: symbolic execution of generic BEAM code.
//!
//! Takes beams and runs one function of them on values of which parts may be unknown, without a node and without
//! effects: a call that is not in the given beams answers something unknown, and what decides about an unknown value
//! goes both ways. So the answers are all that may come of it; what raises answers nothing. Where the bounds are
//! reached the answer is unknown, which is never wrong. [`SymbolicValue`] is what registers hold, `machine` walks
//! the code, `operations` has the instructions that only compute, `interfaces` the functions of OTP and Elixir that
//! are known. `acceptance` asks with them whether a function can take a state of a given shape, `sending` what functions
//! send to processes of other nodes.

mod acceptance;
mod accepted_calls;
mod accepted_tests;
mod interfaces;
mod machine;
mod next;
mod operations;
mod recording;
mod sending;
mod tuples;
mod unit;
mod value;

pub use acceptance::{Acceptance, Verdict, Wanted};
pub use interfaces::{UNSEEN, keyword};
pub use machine::Machine;
pub use recording::{Address, RemoteCall, RemoteFun, RequestKind, Sent, Started};
pub use tuples::TupleUses;
pub use value::{SymbolicValue, ValueKind};
