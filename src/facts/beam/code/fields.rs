//! Elixir's `map.field` when the map is an argument: a field of a map, or a call of `Module.field()`.
//!
//! Up to 1.14 the compiler leaves both ways in the code, with an error for a map that lacks the field. It looks like
//! a call through a variable and nearly never is one; that its module is not known means little for an
//! upgrade. Later a function of Elixir's takes the second way, and there is no such call in the code.
//!
//! Takes the instructions of one function after the other, gives the calls that are such. Two forms, for a field `f`:
//!
//! - a value that is no such map is looked at: `false`, `nil` and `true` go to `{badkey, f, _}`, the rest to the call;
//!   `module.f()` has no such test;
//! - of the oldest, what is no map goes to the call, and a map without the field to `{badkey, f, _}`. The code of
//!   `module.f()` is the very same, so that these calls are in doubt.
//!
//! Everything else stays a call.

use crate::facts::beam::chunk::Atoms;
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;

/// What was seen of the function that is being walked.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The labels of the current block.
    block: Vec<u32>,
    /// Whether nothing but labels has been seen of it so far.
    begins: bool,
    /// Where the latest instruction, a test for a map, goes with what is none.
    no_map: Option<u32>,
    /// Blocks that build `{badkey, Field, _}`.
    errors: Vec<(u32, u32)>,
    /// Blocks in which `false`, `nil` and `true` are looked for, where these go, and where the rest goes.
    modules: Vec<(u32, u32, u32)>,
    /// Where goes what is no map, where a map goes that lacks a field, and the field.
    maps: Vec<(Option<u32>, u32, u32)>,
    /// Blocks that call a function of no arguments, the function, and the number of the call.
    calls: Vec<(u32, u32, usize)>,
    /// Numbers of the calls that are fields, and of those that may be.
    found: (Vec<usize>, Vec<usize>),
}

impl Fields {
    /// Takes an instruction into account.
    pub(super) fn step(&mut self, instruction: &BeamInstruction, atoms: &Atoms<'_>) {
        let no_map = self.no_map.take();
        let began = std::mem::replace(&mut self.begins, instruction.opcode == op::LABEL);
        let label = |at| match instruction.operand(at) {
            Operand::Label(label) => Some(label),
            _ => None,
        };
        match instruction.opcode {
            op::FUNC_INFO => self.end_of_function(),
            op::LABEL => {
                if !began {
                    self.block.clear();
                }
                self.block.extend(instruction.number(0));
            }
            op::IS_MAP => self.no_map = label(0),
            op::GET_MAP_ELEMENTS => {
                let [Operand::Atom(field), _] = instruction.list(2) else {
                    return;
                };
                if let Some(lacks) = label(0) {
                    self.maps.push((no_map, lacks, *field));
                }
            }
            op::SELECT_VAL => {
                if let (Some(rest), Some(these)) = (label(1), constants(instruction.list(2), atoms))
                {
                    let blocks = self.block.iter();
                    self.modules
                        .extend(blocks.map(|block| (*block, these, rest)));
                }
            }
            op::PUT_TUPLE2 => {
                if let [Operand::Atom(tag), Operand::Atom(field), _] = instruction.list(1)
                    && atoms.text(*tag) == Some("badkey")
                {
                    let blocks = self.block.iter();
                    self.errors.extend(blocks.map(|block| (*block, *field)));
                }
            }
            _ => {}
        }
    }

    /// Notes a call through a variable, of a function of no arguments.
    pub(super) fn call(&mut self, function: u32, number: usize) {
        let blocks = self.block.iter();
        self.calls
            .extend(blocks.map(|block| (*block, function, number)));
    }

    /// Decides about the calls of the function that ends here.
    fn end_of_function(&mut self) {
        let fails = |block: u32, field: u32| self.errors.contains(&(block, field));
        for (block, field, number) in &self.calls {
            let of_field = || self.maps.iter().filter(|(_, _, of)| of == field);
            let mut modules = self.modules.iter();
            let is_field = modules.any(|(from, these, rest)| {
                rest == block
                    && fails(*these, *field)
                    && of_field().any(|(no_map, lacks, _)| lacks == from || *no_map == Some(*from))
            });
            let may_be = |(no_map, lacks, _): &(Option<u32>, u32, u32)| {
                *no_map == Some(*block) && fails(*lacks, *field)
            };
            if is_field {
                self.found.0.push(*number);
            } else if of_field().any(may_be) {
                self.found.1.push(*number);
            }
        }
        self.block.clear();
        self.errors.clear();
        self.modules.clear();
        self.maps.clear();
        self.calls.clear();
    }

    /// The numbers of all calls that are fields, and of those that may be, in ascending order.
    pub(super) fn finish(mut self) -> (Vec<usize>, Vec<usize>) {
        self.end_of_function();
        for numbers in [&mut self.found.0, &mut self.found.1] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        self.found
    }
}

/// Where `false`, `nil` and `true` go, if these are distinguished and all go the same way.
fn constants(list: &[Operand], atoms: &Atoms<'_>) -> Option<u32> {
    let (pairs, rest) = list.as_chunks::<2>();
    let mut names = Vec::new();
    let mut way = None;
    for [value, label] in pairs {
        let (Operand::Atom(value), Operand::Label(label)) = (value, label) else {
            return None;
        };
        if way.is_some_and(|known| known != *label) {
            return None;
        }
        way = Some(*label);
        names.push(atoms.text(*value)?);
    }
    names.sort_unstable();
    let all = rest.is_empty() && names == ["false", "nil", "true"];
    way.filter(|_| all)
}
