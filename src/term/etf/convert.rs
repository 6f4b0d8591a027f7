//! From the wire's terms to ours: one spelling for every value.
//!
//! Takes a decoded `eetf::Term`, gives a [`Term`]: strings become lists, integers their normal form, lists
//! of lists one list, maps Erlang's key order. Must never lose a pair of a map silently.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::EtfError;
use crate::term::{Atom, Closure, Fun, Pid, Port, Reference, Term};

/// Converts a term whose maps have `pairs` pairs in all.
pub(super) fn convert(wire: eetf::Term, pairs: u64) -> Result<Term, EtfError> {
    let mut seen = 0;
    let term = one(wire, &mut seen)?;
    if seen == pairs {
        Ok(term)
    } else {
        Err(EtfError::DuplicateKey)
    }
}

fn one(wire: eetf::Term, pairs: &mut u64) -> Result<Term, EtfError> {
    Ok(match wire {
        eetf::Term::Atom(x) => Term::Atom(Atom::from(x.name)),
        eetf::Term::FixInteger(x) => Term::Int(i64::from(x.value)),
        eetf::Term::BigInteger(x) => Term::integer(x.value),
        eetf::Term::Float(x) => Term::Float(x.value),
        eetf::Term::Pid(x) => Term::Pid(pid(x)),
        eetf::Term::Port(x) => Term::Port(Port {
            node: Atom::from(x.node.name),
            id: x.id,
            creation: x.creation,
        }),
        eetf::Term::Reference(x) => Term::Reference(Reference {
            node: Atom::from(x.node.name),
            creation: x.creation,
            words: x.id,
        }),
        eetf::Term::ExternalFun(x) => Term::Fun(Fun::External {
            module: Atom::from(x.module.name),
            name: Atom::from(x.function.name),
            arity: x.arity,
        }),
        eetf::Term::InternalFun(x) => closure(*x, pairs)?,
        eetf::Term::Binary(x) => Term::Binary(Arc::from(x.bytes)),
        eetf::Term::BitBinary(x) => bits(x),
        eetf::Term::ByteList(x) => Term::List(
            x.bytes
                .into_iter()
                .map(|b| Term::Int(i64::from(b)))
                .collect(),
        ),
        eetf::Term::List(x) => Term::List(all(x.elements, pairs)?),
        eetf::Term::ImproperList(x) => {
            let elements = all(x.elements, pairs)?;
            Term::cons(elements, one(*x.last, pairs)?)
        }
        eetf::Term::Tuple(x) => Term::Tuple(all(x.elements, pairs)?),
        eetf::Term::Map(x) => {
            *pairs += x.map.len() as u64;
            let mut map = BTreeMap::new();
            for (key, value) in x.map {
                let key = one(key, pairs)?;
                if map.insert(key, one(value, pairs)?).is_some() {
                    return Err(EtfError::DuplicateKey);
                }
            }
            Term::Map(map)
        }
    })
}

fn all(wire: Vec<eetf::Term>, pairs: &mut u64) -> Result<Vec<Term>, EtfError> {
    wire.into_iter().map(|e| one(e, pairs)).collect()
}

fn pid(x: eetf::Pid) -> Pid {
    Pid {
        node: Atom::from(x.node.name),
        id: x.id,
        serial: x.serial,
        creation: x.creation,
    }
}

/// `eetf` moves the used bits of the last byte down; here, as in Erlang, they are the upper ones.
fn bits(x: eetf::BitBinary) -> Term {
    let mut bytes = x.bytes;
    let unused = 8u32.saturating_sub(u32::from(x.tail_bits_size));
    if let Some(last) = bytes.last_mut() {
        *last = last.checked_shl(unused).unwrap_or(0);
    }
    if unused == 0 {
        Term::Binary(Arc::from(bytes))
    } else {
        Term::Bits(Arc::from(bytes), x.tail_bits_size)
    }
}

fn closure(x: eetf::InternalFun, pairs: &mut u64) -> Result<Term, EtfError> {
    match x {
        eetf::InternalFun::New {
            module,
            arity,
            pid: creator,
            free_vars,
            index,
            uniq,
            old_index,
            old_uniq,
        } => Ok(Term::Fun(Fun::Closure(Arc::new(Closure {
            module: Atom::from(module.name),
            arity,
            uniq,
            index,
            old_index,
            old_uniq,
            pid: pid(creator),
            free: all(free_vars, pairs)?,
        })))),
        // The scan lets none of these through.
        eetf::InternalFun::Old { .. } => Err(EtfError::Tag { tag: 117, at: 0 }),
    }
}
