//! What a rehearsal says of states: their shapes with the names in them, never values.

use super::codec::{Codec, DecodeError, Parts, Record, optional, required, tagged};
use super::declare::{record, tagged_union};
use crate::term::{Atom, Term};

tagged_union! {
    /// The shape of a state, with the keys of a map that are atoms.
    Form as "form" {
        /// A tuple; one that begins with an atom has that too.
        Tuple = "tuple" { size: u64 } [first: Atom],
        /// An Elixir struct: keys in all, those that are atoms, its name.
        Struct = "struct" { size: u64, keys: Vec<Atom>, name: Atom },
        /// Another map: keys in all, and those that are atoms when they are not too many.
        Map = "map" { size: u64, keys: Vec<Atom> },
        /// A list.
        List = "list" {},
        /// A binary.
        Binary = "binary" {},
        /// A number.
        Number = "number" {},
        /// An atom.
        Atom = "atom" {},
        /// A fun.
        Function = "function" {},
        /// A process.
        Pid = "pid" {},
        /// Anything else.
        Other = "other" {},
    }
}

record! {
    /// A state before and after its conversion, and how many states are like that. `was` and `name`: the states of a
    /// state machine, of which the forms are the data.
    HeldForms as "held_forms" {
        /// What it is.
        from: Form,
        /// What it would be.
        to: Form,
        states: u64,
        ;
        was: Atom,
        name: Atom,
    }
}

record! {
    /// Something inside of states that the new code does not know like that.
    InsideForm as "inside_form" {
        what: Form,
        states: u64,
    }
}

record! {
    /// Rows of a table that the new code does not know like that.
    TableForm as "table_form" {
        table: Atom,
        what: Form,
        rows: u64,
    }
}
