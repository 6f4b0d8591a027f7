//! What tests, choices and built-in functions say of a state of which only the shape is known.

use std::rc::Rc;

use super::acceptance::{Acceptance, Outcome, Step, Wanted, Way, miss, note, wanted_key};
use super::machine::label;
use super::next::Next;
use super::operations;
use super::recording::own_node;
use super::unit::Unit;
use super::value::{SymbolicValue, ValueKind};
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;
use crate::term::Term;

impl Acceptance {
    /// A key that a map does not have, or something that should be a map and is none.
    pub(super) fn lacking(
        &self,
        way: &mut Way,
        map: &SymbolicValue,
        key: &Term,
        fails: Option<u32>,
        outcome: &mut Outcome,
    ) -> Step {
        if self.is_state(map) {
            miss(outcome, way, wanted_key(map, key));
        }
        match fails {
            Some(label) => Step::Jump(label),
            None => {
                if self.is_state(map) {
                    note(outcome, way);
                }
                Step::Raises
            }
        }
    }

    pub(super) fn tested(
        &self,
        unit: &Unit,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
    ) -> Step {
        let Some(fails) = label(instruction, 0) else {
            return Step::GiveUp;
        };
        let (left, right) = (instruction.operand(1), instruction.operand(2));
        let first = way.path.value(unit, left);
        let result = match (&first, way.path.value(unit, right)) {
            (SymbolicValue::Typed(kind), second) => typed(*kind, &second, instruction.opcode),
            (_, SymbolicValue::Typed(_)) if is_comparison(instruction.opcode) => None,
            // Of a tuple in the code the size differs, or nothing is known.
            (SymbolicValue::Tuple(parts, _), SymbolicValue::Known(term))
                if instruction.opcode == op::IS_EQ_EXACT && term.as_tuple().is_some() =>
            {
                let size = term.as_tuple().map_or(0, <[Term]>::len);
                if size != parts.len() && self.is_state(&first) {
                    let tag = term.as_tuple().and_then(|parts| parts.first()?.as_atom());
                    let size = u32::try_from(size).ok();
                    miss(outcome, way, Some(Wanted::Tuple(tag.cloned(), size)));
                }
                (size != parts.len()).then_some(false)
            }
            _ => operations::test(unit, &way.path, instruction),
        };
        if self.is_state(&first) && !is_comparison(instruction.opcode) {
            match result {
                // That it is a map at all comes behind the lack of a key as well.
                Some(true) if matches!(instruction.opcode, op::IS_MAP | op::IS_TUPLE) => {}
                Some(true) => way.missed = None,
                Some(false) => {
                    let wanted = match instruction.opcode {
                        op::IS_TAGGED_TUPLE => {
                            let tag = way.path.value(unit, instruction.operand(3)).as_atom();
                            Some(Wanted::Tuple(tag, instruction.number(2)))
                        }
                        op::TEST_ARITY => Some(Wanted::Tuple(None, instruction.number(2))),
                        op::IS_TUPLE => Some(Wanted::Tuple(None, None)),
                        op::IS_MAP => Some(Wanted::Map),
                        op::HAS_MAP_FIELDS => {
                            let mut keys = instruction.list(2).iter();
                            keys.find_map(|key| {
                                let key = way.path.value(unit, *key).term()?;
                                let lacks = matches!(first.get(&key), Ok(None));
                                lacks.then(|| wanted_key(&first, &key)).flatten()
                            })
                        }
                        _ => None,
                    };
                    miss(outcome, way, wanted);
                }
                None => {}
            }
        }
        match result {
            Some(true) => Step::On,
            Some(false) => Step::Jump(fails),
            None => {
                // From here on it is what it was compared with.
                let second = way.path.value(unit, right);
                if instruction.opcode == op::IS_EQ_EXACT {
                    match (&first, &second) {
                        (SymbolicValue::Unknown, SymbolicValue::Known(_)) => {
                            return Step::EitherSet(fails, left, second);
                        }
                        (SymbolicValue::Known(_), SymbolicValue::Unknown) => {
                            return Step::EitherSet(fails, right, first);
                        }
                        _ => {}
                    }
                }
                Step::Either(fails)
            }
        }
    }

    pub(super) fn selected(
        &self,
        unit: &Unit,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
    ) -> Step {
        let operand = instruction.operand(0);
        let value = way.path.value(unit, operand);
        let Operand::Label(fails) = instruction.operand(1) else {
            return Step::GiveUp;
        };
        match operations::select(unit, &way.path, instruction) {
            Next::Jump(label) => {
                if label == fails
                    && self.is_state(&value)
                    && instruction.opcode == op::SELECT_TUPLE_ARITY
                {
                    miss(outcome, way, Some(Wanted::Tuple(None, None)));
                }
                Step::Jump(label)
            }
            Next::Ways(_) if instruction.opcode == op::SELECT_VAL => {
                let pairs: Vec<&[Operand]> = instruction.list(2).chunks_exact(2).collect();
                let is_unknown = matches!(value, SymbolicValue::Unknown);
                let ways = pairs.iter().filter_map(|pair| match pair[1] {
                    Operand::Label(label) => {
                        let shared = pairs.iter().filter(|other| other[1] == pair[1]).count() > 1;
                        let set = (operand, way.path.value(unit, pair[0]));
                        Some((label, (is_unknown && !shared).then_some(set)))
                    }
                    _ => None,
                });
                Step::Ways(ways.chain([(fails, None)]).collect())
            }
            Next::Ways(labels) => {
                Step::Ways(labels.into_iter().map(|label| (label, None)).collect())
            }
            _ => Step::GiveUp,
        }
    }

    pub(super) fn built_in(
        &self,
        unit: &Unit,
        way: &mut Way,
        instruction: &BeamInstruction,
        outcome: &mut Outcome,
    ) -> Step {
        let (index, args): (usize, &[usize]) = match instruction.opcode {
            op::BIF1 => (1, &[2]),
            op::BIF2 => (1, &[2, 3]),
            op::GC_BIF1 => (2, &[3]),
            op::GC_BIF2 => (2, &[3, 4]),
            _ => (0, &[]),
        };
        let fails = label(instruction, 0).filter(|_| instruction.opcode != op::BIF0);
        let value = |way: &Way, at: usize| way.path.value(unit, instruction.operand(args[at]));
        let function = unit.import(instruction.number(index));
        let name = function.map_or("", |f| &*f.function);
        let mut answer = None;
        match (name, args.len()) {
            ("map_get" | "is_map_key", 2) => {
                let (key, map) = (value(way, 0), value(way, 1));
                let found = key.term().map(|key| (map.get(&key), key));
                match (found, map.is_map(), name) {
                    (Some((Ok(None), key)), Some(_), "map_get") => {
                        return self.lacking(way, &map, &key, fails, outcome);
                    }
                    (Some((Ok(found), _)), Some(true), "is_map_key") => {
                        let found = if found.is_some() { "true" } else { "false" };
                        answer = Some(SymbolicValue::atom(found));
                    }
                    (_, Some(false), "is_map_key") => {
                        return fails.map_or(Step::Raises, Step::Jump);
                    }
                    (Some((Ok(Some(found)), _)), ..) => answer = Some(found),
                    _ => {}
                }
            }
            ("element", 2) => {
                let (at, tuple) = (value(way, 0).term(), value(way, 1));
                let at = at.and_then(|at| at.as_i64());
                let size = tuple.tuple().map(|parts| parts.len());
                let is_other = !matches!(tuple, SymbolicValue::Unknown) && size.is_none();
                let beyond = matches!((at, size), (Some(at), Some(size))
                    if at < 1 || usize::try_from(at).is_ok_and(|at| at > size));
                if is_other || beyond {
                    if self.is_state(&tuple) {
                        let size = at.and_then(|at| u32::try_from(at).ok());
                        miss(outcome, way, Some(Wanted::Tuple(None, size)));
                        if fails.is_none() {
                            note(outcome, way);
                        }
                    }
                    return fails.map_or(Step::Raises, Step::Jump);
                }
                answer = operations::bif(unit, &way.path, instruction);
            }
            ("tuple_size" | "map_size", 1) => {
                let whole = value(way, 0);
                let size = match (name, &whole) {
                    ("map_size", SymbolicValue::Map(pairs, true, _)) => Some(pairs.len()),
                    ("tuple_size", _) => whole.tuple().map(|parts| parts.len()),
                    _ => None,
                };
                let size = size.and_then(|size| i64::try_from(size).ok());
                answer = size.map(|size| SymbolicValue::Known(Rc::new(Term::Int(size))));
            }
            ("node", 0) if self.recording.is_some() => answer = Some(own_node()),
            _ => answer = operations::bif(unit, &way.path, instruction),
        }
        if let Some(to) = instruction.operands.last() {
            let answer = answer.clone().unwrap_or(SymbolicValue::Unknown);
            way.path.set(*to, answer);
        }
        match (answer, fails) {
            (None, Some(label)) => Step::Either(label),
            _ => Step::On,
        }
    }
}

fn is_comparison(opcode: u8) -> bool {
    matches!(opcode, op::IS_LT..=op::IS_NE_EXACT)
}

/// What a test says of a value of which only the kind is known.
fn typed(kind: ValueKind, second: &SymbolicValue, opcode: u8) -> Option<bool> {
    match opcode {
        op::IS_EQ_EXACT | op::IS_NE_EXACT => {
            let differs = match second {
                SymbolicValue::Known(term) => match kind {
                    ValueKind::Atom => term.as_atom().is_none(),
                    _ => term.as_atom().is_some(),
                },
                SymbolicValue::Map(..) | SymbolicValue::Tuple(..) => true,
                _ => false,
            };
            differs.then_some(opcode == op::IS_NE_EXACT)
        }
        op::IS_TUPLE | op::TEST_ARITY | op::IS_TAGGED_TUPLE | op::IS_MAP | op::HAS_MAP_FIELDS => {
            Some(false)
        }
        op::IS_ATOM => Some(kind == ValueKind::Atom),
        op::IS_LIST => Some(kind == ValueKind::List),
        op::IS_NIL | op::IS_NONEMPTY_LIST if kind != ValueKind::List => Some(false),
        _ => None,
    }
}
