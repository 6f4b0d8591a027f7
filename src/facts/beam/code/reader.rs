//! The walk through a module's code: instruction by instruction, what is loaded, named and converted.
//!
//! Takes the chunks and gives [`CodeFacts`]. What calls mean is in `calls`. Damaged code is walked as far as it
//! goes.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::facts::beam::beam_facts::imports;
use crate::facts::beam::chunk::{Atoms, Chunks, LineTable, Literals};
use crate::facts::beam::error::BeamError;
use crate::facts::beam::instructions::{BeamInstruction, Operand, ReadStep, Walk};
use crate::facts::beam::known_calls::{Meaning, meaning};
use crate::facts::beam::literal::{LiteralSummary, summary};
use crate::facts::beam::opcode as op;
use crate::facts::beam::registers::Registers;
use crate::name::{Mfa, Module};
use crate::term::Atom;

use super::fields::Fields;
use super::{CodeFacts, Evidence, Function, HiddenRef, MAX_ENTRIES, ReadExtent};

impl CodeFacts {
    /// Walks the code. A damaged literal or import table is an error; damaged code is not.
    pub(in crate::facts) fn read(
        chunks: &Chunks<'_>,
        atoms: &Atoms<'_>,
        wanted: &BTreeSet<Module>,
    ) -> Result<Self, BeamError> {
        let imports = imports(chunks, atoms)?;
        let literals = Literals::read(chunks)?;
        let mut facts = Self::default();
        let is_wanted =
            |name: &str| wanted.contains(name) && atoms.text(1).is_none_or(|own| own != name);
        let literals: Vec<LiteralSummary> = (0..literals.len())
            .filter_map(|index| literals.get(index))
            .map(|encoded| summary(encoded, &is_wanted, &mut facts.atoms))
            .collect();
        facts.registers.extend(
            literals
                .iter()
                .flat_map(|literal| literal.children.iter().cloned()),
        );
        let mut reader = CodeReader {
            meanings: imports
                .iter()
                .map(|f| meaning(f.module.as_str(), &f.function, f.arity))
                .collect(),
            wanted: atoms.texts().map(is_wanted).collect(),
            named: vec![false; atoms.len()],
            used: vec![false; literals.len()],
            seen: HashSet::new(),
            lines: LineTable::read(chunks),
            registers: Registers::default(),
            function: None,
            conversion: ConversionFacts::default(),
            fields: Fields::default(),
            ordinal: 0,
            line: None,
            full: false,
            atoms,
            imports,
            literals: &literals,
            facts,
        };
        reader.walk(chunks.get(b"Code"));
        Ok(reader.finish())
    }
}

/// The walk through one module.
pub(super) struct CodeReader<'a> {
    pub(super) atoms: &'a Atoms<'a>,
    pub(super) imports: Vec<Mfa>,
    pub(super) meanings: Vec<Meaning>,
    pub(super) literals: &'a [LiteralSummary],
    pub(super) lines: LineTable,
    /// By atom index: whether it is looked for, and whether it is in code.
    pub(super) wanted: Vec<bool>,
    pub(super) named: Vec<bool>,
    /// By literal index: whether any function uses it.
    pub(super) used: Vec<bool>,
    /// Function ordinal, kind and index of what was already noted in this function.
    pub(super) seen: HashSet<(u32, bool, u32)>,
    pub(super) registers: Registers,
    pub(super) function: Option<(Arc<str>, u32)>,
    pub(super) conversion: ConversionFacts,
    pub(super) fields: Fields,
    pub(super) ordinal: u32,
    pub(super) line: Option<u32>,
    pub(super) full: bool,
    pub(super) facts: CodeFacts,
}

/// What is seen of `code_change`.
#[derive(Default)]
pub(super) struct ConversionFacts {
    /// Whether the walk is inside of it.
    here: bool,
    /// Tuples it builds: `{ok, State}` is one.
    tuples: usize,
    /// Whether it tests, takes apart, computes or calls.
    works: bool,
    /// Whether it calls a module that may look at the version.
    hands_on: bool,
}

/// Modules of OTP and Elixir that a conversion uses and that know nothing of versions.
const LIBRARY: &[&str] = &[
    "array",
    "binary",
    "dict",
    "erlang",
    "ets",
    "gb_sets",
    "gb_trees",
    "lists",
    "maps",
    "ordsets",
    "orddict",
    "proplists",
    "queue",
    "sets",
    "string",
    "Elixir.Enum",
    "Elixir.Keyword",
    "Elixir.Map",
    "Elixir.MapSet",
];

impl CodeReader<'_> {
    fn walk(&mut self, code: Option<&[u8]>) {
        self.facts.walked = ReadExtent::Partly;
        let Some(mut walk) = code.and_then(Walk::new) else {
            return;
        };
        let mut instruction = BeamInstruction::default();
        loop {
            match walk.step(&mut instruction) {
                ReadStep::Instruction => self.instruction(&instruction),
                ReadStep::End => break,
                ReadStep::Unknown => return,
            }
        }
        if !self.full {
            self.facts.walked = ReadExtent::Whole;
        }
    }

    fn finish(mut self) -> CodeFacts {
        for (index, literal) in self.literals.iter().enumerate() {
            if !self.used[index] {
                self.literal(literal, None);
            }
        }
        let named = self
            .atoms
            .texts()
            .zip(&self.named)
            .filter(|(_, named)| **named);
        self.facts
            .atoms
            .extend(named.map(|(atom, _)| Atom::new(atom)));
        if self.full {
            self.facts.walked = ReadExtent::Partly;
        }
        let (fields, doubtful) = self.fields.finish();
        for number in doubtful {
            self.facts.dynamic_calls[number].or_field = true;
        }
        let mut numbers = 0..;
        (self.facts.dynamic_calls).retain(|_| {
            numbers
                .next()
                .is_none_or(|n| fields.binary_search(&n).is_err())
        });
        let ConversionFacts {
            tuples,
            works,
            hands_on,
            ..
        } = self.conversion;
        self.facts.one_way = (works || tuples > 1)
            && !hands_on
            && self.facts.walked == ReadExtent::Whole
            && !self.facts.atoms.contains(&Atom::new("down"));
        self.facts
    }

    /// Notes what an instruction of `code_change` does.
    fn converts(&mut self, instruction: &BeamInstruction) {
        match instruction.opcode {
            op::LABEL | op::LINE | op::EXECUTABLE_LINE | op::DEBUG_LINE | op::RETURN => {}
            op::ALLOCATE..=op::DEALLOCATE | op::MOVE | op::SWAP | op::TRIM | op::FUNC_INFO => {}
            op::PUT_TUPLE2 => self.conversion.tuples += 1,
            op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => {
                let callee = instruction.number(1);
                let callee = callee.and_then(|index| self.imports.get(index as usize));
                let known = callee.is_some_and(|f| LIBRARY.contains(&f.module.as_str()));
                self.conversion.works = true;
                self.conversion.hands_on |= !known;
            }
            // A function that is chosen at run time may look at the version.
            op::APPLY | op::APPLY_LAST | op::CALL_FUN | op::CALL_FUN2 => {
                self.conversion.works = true;
                self.conversion.hands_on = true;
            }
            _ => self.conversion.works = true,
        }
    }

    fn instruction(&mut self, instruction: &BeamInstruction) {
        match instruction.opcode {
            op::FUNC_INFO => self.enter(instruction),
            op::LINE => {
                self.line = instruction
                    .number(0)
                    .and_then(|index| self.lines.get(index as usize));
            }
            op::ON_LOAD => self.facts.on_load = Some(self.here()),
            op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => self.external_call(instruction),
            op::APPLY | op::APPLY_LAST => self.apply(instruction),
            op::SEND => {
                let to = self.registers.x(0).clone();
                self.send(&to);
            }
            op::PUT_TUPLE2 => self.built_tuple(instruction.list(1)),
            _ => {}
        }
        if self.conversion.here {
            self.converts(instruction);
        }
        if instruction.opcode != op::FUNC_INFO {
            for operand in instruction.all() {
                self.constant(operand);
            }
        }
        self.fields.step(instruction, self.atoms);
        self.registers.step(instruction);
    }

    fn enter(&mut self, instruction: &BeamInstruction) {
        self.function = match (instruction.operand(1), instruction.number(2)) {
            (Operand::Atom(name), Some(arity)) => {
                self.atoms.get(name).map(|name| (name.clone(), arity))
            }
            _ => None,
        };
        // `code_change/3`; of a `gen_statem`, with data and state, /4.
        let function = self.function.as_ref();
        self.conversion.here = function
            .is_some_and(|(name, arity)| &**name == "code_change" && matches!(arity, 3 | 4));
        self.ordinal = self.ordinal.saturating_add(1);
        self.seen.clear();
    }

    /// The function and line of the current instruction; a nameless function if the code has none.
    pub(super) fn here(&self) -> Function {
        let (name, arity) = self.function.clone().unwrap_or_else(|| (Arc::from(""), 0));
        Function {
            name,
            arity,
            line: self.line,
        }
    }

    /// Notes an atom or literal operand, once for each function.
    fn constant(&mut self, operand: Operand) {
        let (is_atom, index) = match operand {
            Operand::Atom(index) => (true, index),
            Operand::Literal(index) => (false, index),
            _ => return,
        };
        if is_atom {
            let Some(named) = self.named.get_mut((index as usize).wrapping_sub(1)) else {
                return;
            };
            *named = true;
            if !self.wanted[index as usize - 1] || !self.seen.insert((self.ordinal, true, index)) {
                return;
            }
            let Some(atom) = self.atoms.get(index).cloned() else {
                return;
            };
            self.hide(
                Some(self.here()),
                Module::from(atom),
                None,
                Evidence::AtomInCode,
            );
        } else {
            let literals = self.literals;
            let Some(literal) = literals.get(index as usize) else {
                return;
            };
            self.used[index as usize] = true;
            if self.seen.insert((self.ordinal, false, index)) {
                self.literal(literal, Some(self.here()));
                let of_struct = self
                    .function
                    .as_ref()
                    .is_some_and(|(name, arity)| &**name == "__struct__" && *arity == 0);
                if of_struct && literal.struct_fields.is_some() {
                    self.facts.struct_fields.clone_from(&literal.struct_fields);
                }
            }
        }
    }

    fn literal(&mut self, literal: &LiteralSummary, from: Option<Function>) {
        for found in &literal.references {
            let function = Some((found.function.clone(), found.arity));
            self.hide(
                from.clone(),
                Module::new(found.module.as_str()),
                function,
                found.evidence,
            );
        }
        for atom in &literal.wanted {
            self.hide(
                from.clone(),
                Module::new(atom.as_str()),
                None,
                Evidence::AtomInLiteral,
            );
        }
    }

    pub(super) fn hide(
        &mut self,
        from: Option<Function>,
        module: Module,
        function: Option<(Arc<str>, Option<u32>)>,
        evidence: Evidence,
    ) {
        if self.atoms.text(1) == Some(module.as_str()) {
            return;
        }
        if self.facts.hidden.len() >= MAX_ENTRIES {
            self.full = true;
            return;
        }
        self.facts.hidden.push(HiddenRef {
            from,
            module,
            function,
            evidence,
        });
    }
}
