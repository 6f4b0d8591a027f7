//! The machine: runs a function on values of which parts may be unknown, all its paths within bounds.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::next::Next;
use super::operations;
use super::unit::{Path, Unit};
use super::value::SymbolicValue;
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;
use crate::name::{Mfa, Module};

/// Instructions of one execution, all paths together.
const MAX_STEPS: usize = 100_000;

/// Paths of one call.
const MAX_PATHS: usize = 64;

/// Calls inside each other.
const MAX_DEPTH: usize = 48;

/// Runs functions of the beams that `world` has.
pub struct Machine<'w, 'b> {
    world: &'w dyn Fn(&Module) -> Option<&'b [u8]>,
    units: HashMap<Module, Option<Rc<Unit>>>,
    steps: usize,
    /// What Elixir's `Supervisor.start_link/2` was called with on the way: lists of children, and options.
    pub started: Vec<(Vec<SymbolicValue>, bool, SymbolicValue)>,
    /// Whether a specification was assumed to be the usual one, because the beams do not have its `child_spec/1`.
    pub assumed: bool,
}

impl<'w, 'b> Machine<'w, 'b> {
    /// A machine for these beams.
    pub fn new(world: &'w dyn Fn(&Module) -> Option<&'b [u8]>) -> Self {
        Self {
            world,
            units: HashMap::new(),
            steps: 0,
            started: Vec::new(),
            assumed: false,
        }
    }

    /// All that a function may answer; `None` when the beams do not have it.
    pub fn call(
        &mut self,
        module: &Module,
        name: &str,
        args: Vec<SymbolicValue>,
    ) -> Option<Vec<SymbolicValue>> {
        self.call_at(module, name, args, 0)
    }

    pub(super) fn unit(&mut self, module: &Module) -> Option<Rc<Unit>> {
        let world = self.world;
        let read = || Some(Rc::new(Unit::read(module, world(module)?)?));
        let unit = self.units.entry(module.clone()).or_insert_with(read);
        unit.clone()
    }

    pub(super) fn call_at(
        &mut self,
        module: &Module,
        name: &str,
        args: Vec<SymbolicValue>,
        depth: usize,
    ) -> Option<Vec<SymbolicValue>> {
        let unit = self.unit(module)?;
        let arity = u32::try_from(args.len()).ok()?;
        let label = *unit.functions.get(&(Arc::from(name), arity))?;
        Some(self.run(&unit, label, args, depth))
    }

    pub(super) fn run(
        &mut self,
        unit: &Rc<Unit>,
        label: u32,
        x: Vec<SymbolicValue>,
        depth: usize,
    ) -> Vec<SymbolicValue> {
        let Some(at) = unit
            .labels
            .get(&label)
            .copied()
            .filter(|_| depth < MAX_DEPTH)
        else {
            return vec![SymbolicValue::Unknown];
        };
        let y = Vec::new();
        let (mut open, mut answers, mut paths) = (vec![Path { at, x, y }], Vec::new(), 1);
        while let Some(mut path) = open.pop() {
            loop {
                self.steps += 1;
                let instruction = unit.code.get(path.at);
                let (Some(instruction), true) = (instruction, self.steps < MAX_STEPS) else {
                    answers.push(SymbolicValue::Unknown);
                    break;
                };
                path.at += 1;
                let next = self.step(unit, &mut path, instruction, depth);
                let guarded = matches!(next, Next::Guarded(_));
                let mut fork = |path: Path| {
                    paths += 1;
                    let fits = paths <= MAX_PATHS;
                    if fits {
                        open.push(path);
                    }
                    fits
                };
                let fits = match next {
                    Next::On => continue,
                    Next::Jump(label) => match unit.labels.get(&label) {
                        Some(at) => {
                            path.at = *at;
                            continue;
                        }
                        None => false,
                    },
                    Next::Ways(labels) => labels.iter().all(|label| {
                        let mut other = path.clone();
                        let at = unit.labels.get(label);
                        at.is_some_and(|at| {
                            other.at = *at;
                            fork(other)
                        })
                    }),
                    Next::Either(label) | Next::Guarded(label) => match unit.labels.get(&label) {
                        Some(at) => {
                            let mut other = path.clone();
                            other.at = *at;
                            if guarded {
                                other.x.clear();
                            }
                            if fork(other) {
                                continue;
                            }
                            false
                        }
                        None => false,
                    },
                    Next::Many(values) => values.into_iter().all(|value| {
                        let mut other = path.clone();
                        other.answered(value);
                        fork(other)
                    }),
                    Next::Answer(values) => {
                        answers.extend(values);
                        true
                    }
                    Next::Raises => true,
                    Next::Unknown => false,
                };
                if !fits || answers.len() > MAX_PATHS {
                    return vec![SymbolicValue::Unknown];
                }
                break;
            }
        }
        answers
    }

    fn step(
        &mut self,
        unit: &Rc<Unit>,
        path: &mut Path,
        instruction: &BeamInstruction,
        depth: usize,
    ) -> Next {
        let operand = |at| instruction.operand(at);
        let fails = |at: usize| label(instruction, at);
        match instruction.opcode {
            op::LABEL | op::LINE | op::TEST_HEAP | op::EXECUTABLE_LINE | op::DEBUG_LINE => Next::On,
            op::ALLOCATE..=op::ALLOCATE_HEAP_ZERO => {
                path.y.clear();
                Next::On
            }
            op::DEALLOCATE => {
                path.y.clear();
                Next::On
            }
            op::TRIM => {
                let gone = instruction.number(0).map_or(usize::MAX, |n| n as usize);
                path.y.drain(..gone.min(path.y.len()));
                Next::On
            }
            op::RETURN => Next::Answer(vec![path.x(0)]),
            op::FUNC_INFO | op::BADMATCH..=op::CASE_END | op::BADRECORD | op::RAISE => Next::Raises,
            op::CALL..=op::CALL_ONLY
            | op::CALL_EXT
            | op::CALL_EXT_LAST
            | op::CALL_EXT_ONLY
            | op::CALL_FUN
            | op::CALL_FUN2
            | op::APPLY
            | op::APPLY_LAST => self.called(unit, path, instruction, depth),
            op::JUMP => fails(0).map_or(Next::Unknown, Next::Jump),
            op::IS_LT..=op::TEST_ARITY
            | op::IS_FUNCTION
            | op::IS_BOOLEAN
            | op::IS_FUNCTION2
            | op::IS_BITSTR
            | op::IS_MAP
            | op::HAS_MAP_FIELDS
            | op::IS_TAGGED_TUPLE => {
                let Some(label) = fails(0) else {
                    return Next::Unknown;
                };
                match operations::test(unit, path, instruction) {
                    Some(true) => Next::On,
                    Some(false) => Next::Jump(label),
                    None => Next::Either(label),
                }
            }
            op::SELECT_VAL | op::SELECT_TUPLE_ARITY => operations::select(unit, path, instruction),
            op::MOVE
            | op::SWAP
            | op::GET_LIST
            | op::GET_HD
            | op::GET_TL
            | op::GET_TUPLE_ELEMENT
            | op::PUT_LIST
            | op::PUT_TUPLE2
            | op::PUT_MAP_ASSOC
            | op::PUT_MAP_EXACT
            | op::GET_MAP_ELEMENTS
            | op::MAKE_FUN2
            | op::MAKE_FUN3 => moved(unit, path, instruction),
            op::CATCH | op::TRY => match operand(1) {
                Operand::Label(label) => Next::Guarded(label),
                _ => Next::Unknown,
            },
            op::TRY_END | op::CATCH_END | op::TRY_CASE => Next::On,
            op::TRY_CASE_END | op::RAW_RAISE => Next::Raises,
            op::BIF0..=op::BIF2 | op::GC_BIF1 | op::GC_BIF2 | op::GC_BIF3 | op::BIF3 => {
                let answer = operations::bif(unit, path, instruction);
                if let Some(to) = instruction.operands.last() {
                    path.set(*to, answer.clone().unwrap_or(SymbolicValue::Unknown));
                }
                match (answer, fails(0)) {
                    (None, Some(label)) if instruction.opcode != op::BIF0 => Next::Either(label),
                    _ => Next::On,
                }
            }
            op::INIT_YREGS => Next::On,
            // Anything else makes what it touches unknown, and may go where it can.
            _ => match path.forget(instruction).as_slice() {
                [] => Next::On,
                [label] => Next::Either(*label),
                _ => Next::Unknown,
            },
        }
    }

    /// Calls of functions of the module and of others, of funs, of what is in registers.
    fn called(
        &mut self,
        unit: &Rc<Unit>,
        path: &mut Path,
        instruction: &BeamInstruction,
        depth: usize,
    ) -> Next {
        match instruction.opcode {
            op::CALL..=op::CALL_ONLY => {
                let (Some(arity), Operand::Label(label)) =
                    (instruction.number(0), instruction.operand(1))
                else {
                    return Next::Unknown;
                };
                if instruction.opcode == op::CALL_ONLY {
                    return Next::Jump(label);
                }
                let answers = self.run(unit, label, path.args(arity), depth + 1);
                after(path, answers, instruction.opcode != op::CALL)
            }
            op::CALL_EXT | op::CALL_EXT_LAST | op::CALL_EXT_ONLY => {
                let Some(to) = unit.import(instruction.number(1)).cloned() else {
                    return Next::Unknown;
                };
                let answers = self.remote(&to, path.args(to.arity), depth + 1);
                after(path, answers, instruction.opcode != op::CALL_EXT)
            }
            op::CALL_FUN | op::CALL_FUN2 => {
                let arity = instruction.number(usize::from(instruction.opcode == op::CALL_FUN2));
                let Some(arity) = arity else {
                    return Next::Unknown;
                };
                let fun = match instruction.opcode {
                    op::CALL_FUN => path.x(arity as usize),
                    _ => path.value(unit, instruction.operand(2)),
                };
                let answers = self.apply(&fun, path.args(arity), depth + 1);
                after(path, answers, false)
            }
            op::APPLY | op::APPLY_LAST => {
                let Some(arity) = instruction.number(0) else {
                    return Next::Unknown;
                };
                let name = |at: u32| path.x((arity + at) as usize).as_atom();
                let answers = match (name(0), name(1)) {
                    (Some(module), Some(function)) => {
                        let to = Mfa {
                            module: Module::new(module.as_str()),
                            function: Arc::from(function.as_str()),
                            arity,
                        };
                        self.remote(&to, path.args(arity), depth + 1)
                    }
                    _ => vec![SymbolicValue::Unknown],
                };
                after(path, answers, instruction.opcode == op::APPLY_LAST)
            }
            _ => Next::Unknown,
        }
    }
}

/// A label that an instruction has, unless it is none.
pub(super) fn label(instruction: &BeamInstruction, at: usize) -> Option<u32> {
    match instruction.operand(at) {
        Operand::Label(label) => Some(label).filter(|label| *label != 0),
        _ => None,
    }
}

/// What is moved, taken apart and put together.
pub(super) fn moved(unit: &Unit, path: &mut Path, instruction: &BeamInstruction) -> Next {
    let operand = |at| instruction.operand(at);
    let value = |path: &Path, at| path.value(unit, operand(at));
    match instruction.opcode {
        op::MOVE => {
            let moved = value(path, 0);
            path.set(operand(1), moved);
            Next::On
        }
        op::SWAP => {
            let (left, right) = (value(path, 0), value(path, 1));
            path.set(operand(0), right);
            path.set(operand(1), left);
            Next::On
        }
        op::GET_LIST | op::GET_HD | op::GET_TL => {
            let (head, tail) = value(path, 0)
                .cell()
                .unwrap_or((SymbolicValue::Unknown, SymbolicValue::Unknown));
            match instruction.opcode {
                op::GET_HD => path.set(operand(1), head),
                op::GET_TL => path.set(operand(1), tail),
                _ => {
                    path.set(operand(1), head);
                    path.set(operand(2), tail);
                }
            }
            Next::On
        }
        op::GET_TUPLE_ELEMENT => {
            let element = instruction.number(1).and_then(|at| {
                let parts = value(path, 0).tuple()?;
                parts.get(at as usize).cloned()
            });
            path.set(operand(2), element.unwrap_or(SymbolicValue::Unknown));
            Next::On
        }
        op::PUT_LIST => {
            let cell = SymbolicValue::cons(value(path, 0), value(path, 1));
            path.set(operand(2), cell);
            Next::On
        }
        op::PUT_TUPLE2 => {
            let parts = instruction.list(1).iter();
            let parts = parts.map(|part| path.value(unit, *part)).collect();
            path.set(operand(0), SymbolicValue::tuple_of(parts));
            Next::On
        }
        op::PUT_MAP_ASSOC | op::PUT_MAP_EXACT => {
            let map = operations::put_map(unit, path, instruction);
            path.set(operand(2), map);
            Next::On
        }
        op::GET_MAP_ELEMENTS => {
            operations::get_map_elements(unit, path, instruction, label(instruction, 0))
        }
        op::MAKE_FUN2 | op::MAKE_FUN3 => {
            let index = instruction.number(0);
            let Some((label, free)) = index.and_then(|at| unit.funs.get(at as usize)) else {
                return Next::Unknown;
            };
            let free: Vec<SymbolicValue> = match instruction.opcode {
                op::MAKE_FUN2 => path.args(*free),
                _ => {
                    let free = instruction.list(2).iter();
                    free.map(|one| path.value(unit, *one)).collect()
                }
            };
            let fun = SymbolicValue::fun(unit.module.clone(), *label, free);
            match instruction.opcode {
                op::MAKE_FUN2 => path.set(Operand::X(0), fun),
                _ => path.set(operand(1), fun),
            }
            Next::On
        }
        _ => Next::Unknown,
    }
}

/// What follows a call; `last` when its answer is the function's own.
fn after(path: &mut Path, mut answers: Vec<SymbolicValue>, last: bool) -> Next {
    match (last, answers.len()) {
        (_, 0) => Next::Raises,
        (true, _) => Next::Answer(answers),
        (false, 1) => {
            path.answered(answers.swap_remove(0));
            Next::On
        }
        _ => Next::Many(answers),
    }
}
