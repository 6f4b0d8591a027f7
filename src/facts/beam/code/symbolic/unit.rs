//! The code of a module as it is executed, and the registers of one path through it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::value::{SymbolicValue, known};
use crate::facts::beam::beam_facts::imports;
use crate::facts::beam::chunk::{Atoms, Chunks, LineTable, Literals, unpacked};
use crate::facts::beam::code::Function;
use crate::facts::beam::cursor::ByteCursor;
use crate::facts::beam::instructions::{BeamInstruction, Operand, ReadStep, Walk};
use crate::facts::beam::opcode as op;
use crate::name::{Mfa, Module};
use crate::term::{Atom, Term, etf};

/// The code of one module.
pub(super) struct Unit {
    pub(super) module: Module,
    pub(super) code: Vec<BeamInstruction>,
    pub(super) labels: HashMap<u32, usize>,
    pub(super) functions: HashMap<(Arc<str>, u32), u32>,
    pub(super) funs: Vec<(u32, u32)>,
    literals: Vec<Option<Rc<Term>>>,
    pub(super) imports: Vec<Mfa>,
    atoms: Vec<Arc<str>>,
    lines: LineTable,
}

impl Unit {
    pub(super) fn read(module: &Module, beam: &[u8]) -> Option<Self> {
        let plain = unpacked(beam).ok()?;
        let chunks = Chunks::parse(&plain).ok()?;
        let atoms = Atoms::read(&chunks).ok()?;
        let literals = Literals::read(&chunks).ok()?;
        let mut unit = Self {
            module: module.clone(),
            code: Vec::new(),
            labels: HashMap::new(),
            functions: HashMap::new(),
            funs: funs_with_free(chunks.get(b"FunT")),
            literals: (0..literals.len())
                .map(|at| etf::decode(literals.get(at)?).ok().map(Rc::new))
                .collect(),
            imports: imports(&chunks, &atoms).ok()?,
            // The first is the module; index 0 is `[]`.
            atoms: (1..=u32::try_from(atoms.len()).ok()?)
                .map(|at| atoms.get(at).cloned().unwrap_or_else(|| Arc::from("")))
                .collect(),
            lines: LineTable::read(&chunks),
        };
        let mut walk = Walk::new(chunks.get(b"Code")?)?;
        let mut next = BeamInstruction::default();
        let mut entering = None;
        loop {
            match walk.step(&mut next) {
                ReadStep::Instruction => {}
                ReadStep::End => return Some(unit),
                ReadStep::Unknown => return None,
            }
            match next.opcode {
                op::FUNC_INFO => {
                    entering = match (next.operand(1), next.number(2)) {
                        (Operand::Atom(name), Some(arity)) => {
                            unit.atom(name).map(|name| (name, arity))
                        }
                        _ => None,
                    };
                }
                op::LABEL => {
                    if let Some(label) = next.number(0) {
                        unit.labels.insert(label, unit.code.len());
                        if let Some(function) = entering.take() {
                            unit.functions.insert(function, label);
                        }
                    }
                }
                _ => {}
            }
            unit.code.push(next.clone());
        }
    }

    fn atom(&self, index: u32) -> Option<Arc<str>> {
        self.atoms.get(index.checked_sub(1)? as usize).cloned()
    }

    /// The function and the line of an instruction.
    pub(super) fn place(&self, at: usize) -> Function {
        let before = self.code.get(..=at).unwrap_or_default();
        let (mut line, mut named) = (None, None);
        for instruction in before.iter().rev() {
            match instruction.opcode {
                op::LINE if line.is_none() => {
                    let index = instruction.number(0);
                    line = index.and_then(|index| self.lines.get(index as usize));
                }
                op::FUNC_INFO => match (instruction.operand(1), instruction.number(2)) {
                    (Operand::Atom(name), Some(arity)) => named = Some((name, arity)),
                    _ => break,
                },
                _ => {}
            }
            // The line of a function itself is in front of it.
            if named.is_some() && (line.is_some() || instruction.opcode == op::LABEL) {
                break;
            }
        }
        let (name, arity) = named.unwrap_or((0, 0));
        Function {
            name: self.atom(name).unwrap_or_else(|| Arc::from("")),
            arity,
            line,
        }
    }

    /// The literals.
    pub(super) fn constants(&self) -> impl Iterator<Item = &Term> {
        self.literals.iter().flatten().map(|term| &**term)
    }

    pub(super) fn import(&self, index: Option<u32>) -> Option<&Mfa> {
        self.imports.get(index? as usize)
    }
}

/// A place in the code with its registers.
#[derive(Clone, Default)]
pub(super) struct Path {
    pub(super) at: usize,
    pub(super) x: Vec<SymbolicValue>,
    pub(super) y: Vec<SymbolicValue>,
}

impl Path {
    /// Makes everything that an instruction touches unknown; gives the labels to which it may go.
    pub(super) fn forget(&mut self, instruction: &BeamInstruction) -> Vec<u32> {
        for operand in instruction.all() {
            self.set(operand, SymbolicValue::Unknown);
        }
        let labels = instruction.all().filter_map(|operand| match operand {
            Operand::Label(label) if label != 0 => Some(label),
            _ => None,
        });
        labels.collect()
    }

    pub(super) fn x(&self, register: usize) -> SymbolicValue {
        self.x
            .get(register)
            .cloned()
            .unwrap_or(SymbolicValue::Unknown)
    }

    pub(super) fn args(&self, arity: u32) -> Vec<SymbolicValue> {
        (0..arity as usize).map(|at| self.x(at)).collect()
    }

    pub(super) fn value(&self, unit: &Unit, operand: Operand) -> SymbolicValue {
        match operand {
            Operand::X(x) => self.x(x as usize),
            Operand::Y(y) => self
                .y
                .get(y as usize)
                .cloned()
                .unwrap_or(SymbolicValue::Unknown),
            Operand::Atom(index) => match unit.atom(index) {
                Some(text) => SymbolicValue::Known(Rc::new(Term::Atom(Atom::from(text)))),
                None => SymbolicValue::Unknown,
            },
            Operand::Literal(index) => match unit.literals.get(index as usize) {
                Some(Some(term)) => SymbolicValue::Known(Rc::clone(term)),
                _ => SymbolicValue::Unknown,
            },
            Operand::Nil => known(&Term::List(Vec::new())),
            Operand::Integer(Some(number)) => known(&Term::Int(number)),
            _ => SymbolicValue::Unknown,
        }
    }

    pub(super) fn set(&mut self, operand: Operand, value: SymbolicValue) {
        let (file, at) = match operand {
            Operand::X(x) => (&mut self.x, x as usize),
            Operand::Y(y) => (&mut self.y, y as usize),
            _ => return,
        };
        if at < 1024 {
            if file.len() <= at {
                file.resize(at + 1, SymbolicValue::Unknown);
            }
            file[at] = value;
        }
    }

    /// What a call leaves: its answer.
    pub(super) fn answered(&mut self, value: SymbolicValue) {
        self.x = vec![value];
    }
}

/// The funs of a module: entry label, and how many values each closes over.
fn funs_with_free(chunk: Option<&[u8]>) -> Vec<(u32, u32)> {
    let mut cursor = ByteCursor::new(chunk.unwrap_or_default());
    let count = cursor.u32().unwrap_or(0);
    let row = |cursor: &mut ByteCursor<'_>| {
        let mut row = [0; 6];
        for field in &mut row {
            *field = cursor.u32()?;
        }
        Some((row[2], row[4]))
    };
    (0..count).map_while(|_| row(&mut cursor)).collect()
}
