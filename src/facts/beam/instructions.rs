//! Walking through generic BEAM code, one instruction at a time.
//!
//! Takes the `Code` chunk and gives instructions with decoded operands in two buffers that are used
//! again and again. It knows nothing of what instructions mean. An opcode or operand that it does not
//! know ends the walk with [`ReadStep::Unknown`]; it never reads beyond the chunk.

use super::cursor::{ByteCursor, Tag};
use super::opcode;

/// An operand. Numbers that do not fit are `Other`: nothing here needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A plain number.
    Number(u32),
    /// An integer constant, if it is a small one.
    Integer(Option<i64>),
    /// `[]`.
    Nil,
    /// An atom, by index.
    Atom(u32),
    /// An X register.
    X(u32),
    /// A Y register.
    Y(u32),
    /// A label.
    Label(u32),
    /// A literal, by index.
    Literal(u32),
    /// A list: this range of [`BeamInstruction::elements`].
    List(u32, u32),
    /// Anything else.
    Other,
}

/// One instruction.
#[derive(Clone, Debug, Default)]
pub(super) struct BeamInstruction {
    /// The opcode.
    pub(super) opcode: u8,
    /// The operands.
    pub(super) operands: Vec<Operand>,
    /// Elements of list operands.
    pub(super) elements: Vec<Operand>,
}

impl BeamInstruction {
    /// An operand by position; `Other` if there is none.
    pub(super) fn operand(&self, at: usize) -> Operand {
        self.operands.get(at).copied().unwrap_or(Operand::Other)
    }

    /// The number in an operand.
    pub(super) fn number(&self, at: usize) -> Option<u32> {
        match self.operand(at) {
            Operand::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The elements of a list operand.
    pub(super) fn list(&self, at: usize) -> &[Operand] {
        match self.operand(at) {
            Operand::List(start, end) => self
                .elements
                .get(start as usize..end as usize)
                .unwrap_or_default(),
            _ => &[],
        }
    }

    /// All operands, those in lists included.
    pub(super) fn all(&self) -> impl Iterator<Item = Operand> + '_ {
        self.operands.iter().chain(&self.elements).copied()
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadStep {
    /// An instruction was read.
    Instruction,
    /// The code ends here, as it should.
    End,
    /// Something unknown or cut off.
    Unknown,
}

/// A position in the code.
#[derive(Debug)]
pub(super) struct Walk<'a>(ByteCursor<'a>);

impl<'a> Walk<'a> {
    /// The start of the code in a `Code` chunk; `None` if its header is not one this reader knows.
    pub(super) fn new(chunk: &'a [u8]) -> Option<Self> {
        let mut header = ByteCursor::new(chunk);
        let size = usize::try_from(header.u32()?).ok()?;
        let mut fields = ByteCursor::new(header.take(size)?);
        let instruction_set = fields.u32()?;
        (instruction_set == 0).then_some(Self(header))
    }

    /// Reads the next instruction into `into`.
    #[inline]
    pub(super) fn step(&mut self, into: &mut BeamInstruction) -> ReadStep {
        into.operands.clear();
        into.elements.clear();
        let Some(found) = self.0.u8() else {
            return ReadStep::Unknown;
        };
        into.opcode = found;
        if found == opcode::INT_CODE_END {
            return ReadStep::End;
        }
        let Some(arity) = opcode::arity(found) else {
            return ReadStep::Unknown;
        };
        for _ in 0..arity {
            match self.operand(&mut into.elements) {
                Some(operand) => into.operands.push(operand),
                None => return ReadStep::Unknown,
            }
        }
        ReadStep::Instruction
    }

    fn operand(&mut self, elements: &mut Vec<Operand>) -> Option<Operand> {
        match self.0.compact()? {
            (Tag::Z, Some(1)) => self.list(elements),
            (Tag::Z, kind) => self.extended(kind?),
            plain => simple(plain),
        }
    }

    /// A list: its size, then operands that are no lists.
    fn list(&mut self, elements: &mut Vec<Operand>) -> Option<Operand> {
        let size = self.0.list_size()?;
        let start = u32::try_from(elements.len()).ok()?;
        for _ in 0..size {
            let element = match self.0.compact()? {
                (Tag::Z, Some(1)) => return None,
                (Tag::Z, kind) => self.extended(kind?)?,
                plain => simple(plain)?,
            };
            elements.push(element);
        }
        Some(Operand::List(start, u32::try_from(elements.len()).ok()?))
    }

    fn extended(&mut self, kind: i64) -> Option<Operand> {
        match kind {
            4 => self
                .0
                .number()
                .map(|index| u32::try_from(index).map_or(Operand::Other, Operand::Literal)),
            // A register and an index into the type table (OTP 25 and later).
            5 => {
                let register = simple(self.0.compact()?)?;
                self.0.number()?;
                matches!(register, Operand::X(_) | Operand::Y(_)).then_some(register)
            }
            other => self.0.pass_extended(other).map(|()| Operand::Other),
        }
    }
}

fn simple((tag, value): (Tag, Option<i64>)) -> Option<Operand> {
    let index = || u32::try_from(value?).ok();
    Some(match tag {
        Tag::U => index().map_or(Operand::Other, Operand::Number),
        Tag::I => Operand::Integer(value),
        Tag::A => match index()? {
            0 => Operand::Nil,
            atom => Operand::Atom(atom),
        },
        Tag::X => Operand::X(index()?),
        Tag::Y => Operand::Y(index()?),
        Tag::F => Operand::Label(index()?),
        Tag::H => Operand::Other,
        Tag::Z => return None,
    })
}
