//! Instructions that only compute, test and choose.

use std::rc::Rc;

use super::next::Next;
use super::unit::{Path, Unit};
use super::value::{SymbolicValue, known};
use crate::facts::beam::instructions::{BeamInstruction, Operand};
use crate::facts::beam::opcode as op;
use crate::term::Term;

pub(super) fn test(unit: &Unit, path: &Path, instruction: &BeamInstruction) -> Option<bool> {
    let value = |at: usize| path.value(unit, instruction.operand(at));
    let first = value(1);
    let term = |value: &SymbolicValue| match value {
        SymbolicValue::Known(term) => Some(Rc::clone(term)),
        _ => None,
    };
    let is = |test: &dyn Fn(&Term) -> bool| match &first {
        SymbolicValue::Unknown => None,
        SymbolicValue::Known(term) => Some(test(term)),
        _ => Some(false),
    };
    let equal = || match (first.term(), value(2).term()) {
        (Some(one), Some(other)) => Some(one == other),
        _ => match (term(&first), term(&value(2))) {
            // Of what is partly known only the shape can differ from an atom, a number or `[]`.
            (None, Some(other)) | (Some(other), None)
                if !matches!(first, SymbolicValue::Unknown)
                    && !matches!(value(2), SymbolicValue::Unknown)
                    && !matches!(&*other, Term::Tuple(_) | Term::Map(_))
                    && other.as_list().is_none_or(<[_]>::is_empty) =>
            {
                Some(false)
            }
            _ => None,
        },
    };
    match instruction.opcode {
        op::IS_EQ | op::IS_EQ_EXACT => equal(),
        op::IS_NE | op::IS_NE_EXACT => equal().map(|same| !same),
        op::IS_LT | op::IS_GE => {
            let (one, other) = (first.term()?.as_i64()?, value(2).term()?.as_i64()?);
            Some((one < other) == (instruction.opcode == op::IS_LT))
        }
        op::IS_INTEGER => is(&|term| matches!(term, Term::Int(_) | Term::Big(_))),
        op::IS_ATOM => is(&|term| term.as_atom().is_some()),
        op::IS_BOOLEAN => is(&|term| term.is_atom("true") || term.is_atom("false")),
        op::IS_BINARY | op::IS_BITSTR => is(&|term| term.as_bytes().is_some()),
        op::IS_NIL => is(&|term| term.as_list().is_some_and(<[Term]>::is_empty)),
        op::IS_LIST => match &first {
            SymbolicValue::Cell(..) => Some(true),
            _ => is(&|term| matches!(term, Term::List(_) | Term::Improper(..))),
        },
        op::IS_NONEMPTY_LIST => match &first {
            SymbolicValue::Cell(..) => Some(true),
            _ => is(&|term| match term {
                Term::List(list) => !list.is_empty(),
                Term::Improper(..) => true,
                _ => false,
            }),
        },
        op::IS_TUPLE => match &first {
            SymbolicValue::Unknown => None,
            value => Some(value.tuple().is_some()),
        },
        op::TEST_ARITY => {
            let arity = instruction.number(2)? as usize;
            match &first {
                SymbolicValue::Unknown => None,
                value => Some(value.tuple().is_some_and(|parts| parts.len() == arity)),
            }
        }
        op::IS_TAGGED_TUPLE => {
            let arity = instruction.number(2)? as usize;
            if matches!(first, SymbolicValue::Unknown) {
                return None;
            }
            let Some(parts) = first.tuple().filter(|parts| parts.len() == arity) else {
                return Some(false);
            };
            match (parts.first()?.term(), value(3).term()) {
                (Some(tag), Some(wanted)) => Some(tag == wanted),
                _ => None,
            }
        }
        op::IS_MAP => first.is_map(),
        op::HAS_MAP_FIELDS => {
            let mut all = true;
            for key in instruction.list(2) {
                let key = path.value(unit, *key).term()?;
                all &= first.get(&key).ok()?.is_some();
            }
            Some(all)
        }
        _ => None,
    }
}

pub(super) fn select(unit: &Unit, path: &Path, instruction: &BeamInstruction) -> Next {
    let Operand::Label(fail) = instruction.operand(1) else {
        return Next::Unknown;
    };
    let value = path.value(unit, instruction.operand(0));
    let pairs = instruction.list(2).chunks_exact(2);
    let chosen = match (instruction.opcode, &value) {
        (op::SELECT_TUPLE_ARITY, SymbolicValue::Unknown) => None,
        (op::SELECT_TUPLE_ARITY, _) => {
            let arity = value
                .tuple()
                .and_then(|parts| u32::try_from(parts.len()).ok());
            let fits =
                |key: &Operand| matches!((key, arity), (Operand::Number(n), Some(a)) if *n == a);
            Some(
                pairs
                    .clone()
                    .find(|pair| fits(&pair[0]))
                    .map(|pair| pair[1]),
            )
        }
        _ => value.term().map(|term| {
            let fits = |key: Operand| path.value(unit, key).term().is_some_and(|key| key == term);
            pairs.clone().find(|pair| fits(pair[0])).map(|pair| pair[1])
        }),
    };
    match chosen {
        Some(Some(Operand::Label(label))) => Next::Jump(label),
        Some(None) => Next::Jump(fail),
        _ => {
            let labels = pairs.map(|pair| pair[1]).chain([Operand::Label(fail)]);
            let labels = labels.filter_map(|label| match label {
                Operand::Label(label) => Some(label),
                _ => None,
            });
            Next::Ways(labels.collect())
        }
    }
}

pub(super) fn put_map(unit: &Unit, path: &Path, instruction: &BeamInstruction) -> SymbolicValue {
    let pairs = instruction.list(4).chunks_exact(2).map(|pair| {
        let key = path.value(unit, pair[0]).term()?;
        Some((key, path.value(unit, pair[1])))
    });
    let source = path.value(unit, instruction.operand(1));
    pairs
        .collect::<Option<Vec<_>>>()
        .map_or(SymbolicValue::Unknown, |pairs| source.with(pairs))
}

pub(super) fn get_map_elements(
    unit: &Unit,
    path: &mut Path,
    instruction: &BeamInstruction,
    fail: Option<u32>,
) -> Next {
    let map = path.value(unit, instruction.operand(1));
    let mut certain = true;
    let mut found = Vec::new();
    for pair in instruction.list(2).chunks_exact(2) {
        let got = path.value(unit, pair[0]).term().map(|key| map.get(&key));
        match got {
            Some(Ok(Some(value))) => found.push((pair[1], value)),
            Some(Ok(None)) => return fail.map_or(Next::Unknown, Next::Jump),
            _ => {
                certain = false;
                found.push((pair[1], SymbolicValue::Unknown));
            }
        }
    }
    for (to, value) in found {
        path.set(to, value);
    }
    match (certain, fail) {
        (false, Some(label)) => Next::Either(label),
        _ => Next::On,
    }
}

/// What a built-in function answers, for those few that specifications are made with.
pub(super) fn bif(
    unit: &Unit,
    path: &Path,
    instruction: &BeamInstruction,
) -> Option<SymbolicValue> {
    let (index, args): (usize, &[usize]) = match instruction.opcode {
        op::BIF0 => (0, &[]),
        op::BIF1 => (1, &[2]),
        op::BIF2 => (1, &[2, 3]),
        op::GC_BIF1 => (2, &[3]),
        op::GC_BIF2 => (2, &[3, 4]),
        _ => return None,
    };
    let function = unit.import(instruction.number(index))?;
    let value = |at: usize| path.value(unit, instruction.operand(args[at]));
    match (&*function.function, args.len()) {
        ("hd", 1) => value(0).cell().map(|(head, _)| head),
        ("tl", 1) => value(0).cell().map(|(_, tail)| tail),
        ("element", 2) => {
            let at = usize::try_from(value(0).term()?.as_i64()?).ok()?;
            value(1).tuple()?.get(at.checked_sub(1)?).cloned()
        }
        ("map_get", 2) => value(1).get(&value(0).term()?).ok()?,
        ("=:=" | "==", 2) => {
            let same = value(0).term()? == value(1).term()?;
            Some(known(&Term::boolean(same)))
        }
        ("not", 1) => match value(0).term()? {
            term if term.is_atom("true") => Some(SymbolicValue::atom("false")),
            term if term.is_atom("false") => Some(SymbolicValue::atom("true")),
            _ => None,
        },
        ("+" | "-", 2) => {
            let (one, other) = (value(0).term()?.as_i64()?, value(1).term()?.as_i64()?);
            let sum = match &*function.function {
                "+" => one.checked_add(other)?,
                _ => one.checked_sub(other)?,
            };
            Some(known(&Term::Int(sum)))
        }
        _ => None,
    }
}
