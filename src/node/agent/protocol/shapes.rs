//! What a rehearsal reports of states, never values: [`Shape`] to count them, [`Form`] with the names in them.

use super::codec::{Codec, DecodeError, Parts, Record, optional, required, tagged};
use super::declare::{atoms, record, tagged_union};
use crate::term::{Atom, Pid, Term};

tagged_union! {
    /// The shape of a value with the keys of a map that are atoms, as it is compared with what code accepts. States are
    /// counted by a [`Shape`].
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
    /// A tuple or a struct that is a part of a state: which element of a tuple, or under which key of a map.
    PartForm as "part_form" {
        what: Form,
        ;
        element: u64,
        key: Atom,
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
        /// Tuples and structs in it.
        from_parts: Vec<PartForm>,
        /// In that.
        to_parts: Vec<PartForm>,
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

tagged_union! {
    /// The type of a state, by which states are counted: no value and no key of a map. With the keys, to compare them
    /// with what code accepts, it is a [`Form`].
    Shape as "shape" {
        /// A tuple; one that begins with an atom has that too.
        Tuple = "tuple" { size: u64 } [first: Atom],
        /// An Elixir struct.
        Struct = "struct" { keys: u64, name: Atom },
        /// Another map.
        Map = "map" { keys: u64 },
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
        /// Child specifications of a supervisor.
        Specified = "specified" {},
        /// The state was never seen.
        Unknown = "unknown" {},
    }
}

/// How many states have which shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Shapes(pub Vec<(Shape, u64)>);

impl Codec for Shapes {
    fn notation() -> String {
        format!("#{{{} => {}}}", Shape::notation(), u64::notation())
    }

    #[cfg(test)]
    fn define(definitions: &mut super::codec::Definitions) {
        Shape::define(definitions);
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        let map = term
            .as_map()
            .ok_or_else(|| DecodeError::expected(&Self::notation(), term))?;
        let each = map
            .iter()
            .map(|(shape, count)| Ok((Shape::decode(shape)?, u64::decode(count)?)));
        each.collect::<Result<_, _>>().map(Self)
    }

    fn encode(&self) -> Term {
        Term::map(
            self.0
                .iter()
                .map(|(shape, count)| (shape.encode(), count.encode())),
        )
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        let shape = Shape::sample(source);
        Self(vec![(shape, u64::sample(source))])
    }
}

record! {
    /// How a check of the plan came out for states and what they are converted to: it held, it did not (the state counts
    /// as failed), or no clause takes them.
    StateChecked as "state_checked" {
        check: u64,
        held: u64,
        failed: u64,
        other: u64,
    }
}

record! {
    /// States that the conversion downwards does not give back: what they were, what it makes of the new ones.
    OtherState as "other_state" {
        was: Shape,
        is: Shape,
        states: u64,
        ;
        /// What was converted, and what it became.
        held: HeldForms,
    }
}

record! {
    /// How the conversions downwards, on the states that were converted, came out.
    DownTrial as "down_trial" {
        /// They give back the state that there was.
        same: u64,
        /// They give another one.
        other: u64,
        /// They give none.
        failed: u64,
        /// They failed in a running version that they reached by name.
        unswitched: u64,
        /// At most 20 different ones.
        others: Vec<OtherState>,
        /// The first 20, with the shape of what was to be converted.
        failures: Vec<RehearsalFailure>,
    }
}

atoms! {
    /// How a child of a supervisor differs from what its new `init/1` specifies.
    ChildDiffers as "child_differs" {
        /// Only the new `init/1` has it.
        New = "new",
        /// The `init/1` that runs has it, the new one does not.
        Gone = "gone",
        /// The supervisor has it and the new `init/1` does not; that of the running version could not be asked.
        Unlisted = "unlisted",
        /// The same identifier for a server of another module.
        Moved = "moved",
        /// It is specified in another way.
        Changed = "changed",
    }
}

record! {
    /// A child of supervisors of one module, and of how many.
    ChildDifference as "child_difference" {
        what: ChildDiffers,
        child: Term,
        supervisors: u64,
        ;
        /// Of `changed`: which keys of its specification; of `moved`: the modules before and after.
        keys: Vec<Atom>,
    }
}

record! {
    /// A state that its new version cannot convert.
    RehearsalFailure as "rehearsal_failure" {
        pid: Pid,
        reason: String,
        shape: Shape,
        ;
        /// The check of the plan that does not hold.
        check: u64,
    }
}
