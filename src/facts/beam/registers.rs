//! What registers hold, as far as a straight line of code tells.
//!
//! Takes instructions in order and keeps constants that `move`, `put_list` and `put_tuple2` put into
//! registers. Knowledge ends at a label (it may be a jump target) and, for X registers, at a call. An
//! instruction that is not understood makes its operands unknown: never a wrong constant, often none.

use std::rc::Rc;

use super::instructions::{BeamInstruction, Operand};
use super::opcode as op;

/// Registers beyond this are not followed; the emulator has 1,024.
const MAX_REGISTERS: usize = 1024;

/// Longest tuple or list that is followed.
const MAX_WIDTH: usize = 16;

/// Deepest structure that is followed.
const MAX_DEPTH: u8 = 3;

/// A value, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(super) enum RegisterValue {
    /// Not known.
    #[default]
    Unknown,
    /// `[]`.
    Nil,
    /// An atom, by index.
    Atom(u32),
    /// A small integer.
    Integer(i64),
    /// A literal, by index.
    Literal(u32),
    /// A fun that is made here.
    Fun,
    /// A tuple built here, and how deep it is.
    Tuple(Rc<[RegisterValue]>, u8),
    /// List cells built here, the tail behind them, and how deep it is.
    List(Rc<[RegisterValue]>, ListTail, u8),
}

/// What comes after the cells of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListTail {
    /// Nothing.
    Nil,
    /// A literal list, by index.
    Literal(u32),
    /// Not known.
    Unknown,
}

impl RegisterValue {
    fn depth(&self) -> u8 {
        match self {
            Self::Tuple(_, depth) | Self::List(_, _, depth) => *depth,
            _ => 0,
        }
    }
}

/// The registers.
#[derive(Debug, Default)]
pub(super) struct Registers {
    x: Vec<RegisterValue>,
    y: Vec<RegisterValue>,
}

impl Registers {
    /// The value of an X register.
    pub(super) fn x(&self, register: usize) -> &RegisterValue {
        self.x.get(register).unwrap_or(&RegisterValue::Unknown)
    }

    /// The value of an operand.
    pub(super) fn value(&self, operand: Operand) -> RegisterValue {
        match operand {
            Operand::X(x) => self.x.get(x as usize).cloned().unwrap_or_default(),
            Operand::Y(y) => self.y.get(y as usize).cloned().unwrap_or_default(),
            Operand::Atom(atom) => RegisterValue::Atom(atom),
            Operand::Literal(literal) => RegisterValue::Literal(literal),
            Operand::Nil => RegisterValue::Nil,
            Operand::Integer(Some(integer)) => RegisterValue::Integer(integer),
            _ => RegisterValue::Unknown,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.x.clear();
        self.y.clear();
    }

    /// Takes an instruction into account. The caller has looked at it before.
    pub(super) fn step(&mut self, instruction: &BeamInstruction) {
        let operand = |at| instruction.operand(at);
        match instruction.opcode {
            op::LABEL | op::FUNC_INFO => self.clear(),
            op::MOVE => {
                let value = self.value(operand(0));
                self.set(operand(1), value);
            }
            op::SWAP => {
                let (left, right) = (self.value(operand(0)), self.value(operand(1)));
                self.set(operand(0), right);
                self.set(operand(1), left);
            }
            op::PUT_LIST => {
                let cell = cell(self.value(operand(0)), self.value(operand(1)));
                self.set(operand(2), cell);
            }
            op::PUT_TUPLE2 => {
                let tuple = self.tuple(instruction.list(1));
                self.set(operand(0), tuple);
            }
            op::MAKE_FUN2 => {
                self.x.clear();
                self.set(Operand::X(0), RegisterValue::Fun);
            }
            op::MAKE_FUN3 => self.set(operand(1), RegisterValue::Fun),
            op::ALLOCATE..=op::ALLOCATE_HEAP_ZERO | op::DEALLOCATE => self.y.clear(),
            op::TRIM => {
                let gone = instruction
                    .number(0)
                    .map_or(usize::MAX, |n| n as usize)
                    .min(self.y.len());
                self.y.drain(..gone);
            }
            opcode if clears_x(opcode) => self.x.clear(),
            opcode if only_reads(opcode) => {}
            opcode if writes_last(opcode) => {
                if let Some(last) = instruction.operands.last() {
                    self.set(*last, RegisterValue::Unknown);
                }
            }
            op::GET_LIST => {
                self.set(operand(1), RegisterValue::Unknown);
                self.set(operand(2), RegisterValue::Unknown);
            }
            _ => {
                for operand in instruction.all() {
                    self.set(operand, RegisterValue::Unknown);
                }
            }
        }
    }

    fn set(&mut self, operand: Operand, value: RegisterValue) {
        let (file, register) = match operand {
            Operand::X(x) => (&mut self.x, x as usize),
            Operand::Y(y) => (&mut self.y, y as usize),
            _ => return,
        };
        if let Some(place) = file.get_mut(register) {
            *place = value;
        } else if register < MAX_REGISTERS && !matches!(value, RegisterValue::Unknown) {
            file.resize(register, RegisterValue::Unknown);
            file.push(value);
        }
    }

    fn tuple(&self, elements: &[Operand]) -> RegisterValue {
        if elements.len() > MAX_WIDTH {
            return RegisterValue::Unknown;
        }
        let values: Rc<[RegisterValue]> = elements
            .iter()
            .map(|element| self.value(*element))
            .collect();
        match values.iter().map(RegisterValue::depth).max().unwrap_or(0) {
            MAX_DEPTH.. => RegisterValue::Unknown,
            depth => RegisterValue::Tuple(values, depth + 1),
        }
    }
}

fn cell(head: RegisterValue, tail: RegisterValue) -> RegisterValue {
    let depth = head.depth().max(tail.depth().saturating_sub(1));
    if depth >= MAX_DEPTH {
        return RegisterValue::Unknown;
    }
    let (rest, end): (&[RegisterValue], ListTail) = match &tail {
        RegisterValue::Nil => (&[], ListTail::Nil),
        RegisterValue::Literal(literal) => (&[], ListTail::Literal(*literal)),
        RegisterValue::List(cells, end, _) if cells.len() < MAX_WIDTH => (cells, *end),
        _ => (&[], ListTail::Unknown),
    };
    let cells = [head].into_iter().chain(rest.iter().cloned()).collect();
    RegisterValue::List(cells, end, depth + 1)
}

/// Calls, and instructions that put a result into `x0` without saying so.
fn clears_x(opcode: u8) -> bool {
    matches!(
        opcode,
        op::CALL
            ..=op::CALL_EXT_LAST
                | op::CALL_EXT_ONLY
                | op::CALL_FUN
                | op::CALL_FUN2
                | op::APPLY
                | op::APPLY_LAST
                | op::SEND
                | op::CATCH_END
                | op::TRY_CASE
                | op::BS_INIT_WRITABLE
                | op::BUILD_STACKTRACE
                | op::RAW_RAISE
    )
}

fn only_reads(opcode: u8) -> bool {
    matches!(
        opcode,
        op::TEST_HEAP
            | op::IS_LT..=op::TEST_ARITY
            | op::SELECT_VAL..=op::JUMP
            | op::BADMATCH..=op::CASE_END
            | op::IS_FUNCTION
            | op::TRY_CASE_END
            | op::RAISE
            | op::IS_BOOLEAN
            | op::IS_FUNCTION2
            | op::IS_BITSTR
            | op::LINE
            | op::IS_MAP
            | op::HAS_MAP_FIELDS
            | op::IS_TAGGED_TUPLE
            | op::BADRECORD
            | op::EXECUTABLE_LINE
            | op::DEBUG_LINE
    )
}

fn writes_last(opcode: u8) -> bool {
    matches!(
        opcode,
        op::BIF0
            ..=op::BIF2
                | op::GC_BIF1
                | op::GC_BIF2
                | op::GC_BIF3
                | op::BIF3
                | op::GET_TUPLE_ELEMENT
                | op::GET_HD
                | op::GET_TL
    )
}
