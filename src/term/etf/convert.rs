//! From the wire's terms to ours: one spelling for every value.
//!
//! Takes a decoded `eetf::Term`, gives a [`Term`]: strings become lists, integers their normal form, lists
//! of lists one list, maps Erlang's key order. Must never lose a pair of a map silently.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::EtfError;
use super::scan::{LARGE_BINARY, NATIVE_RECORD, RecordHeader, Scan};
use crate::term::{Atom, Closure, Fun, Pid, Port, Record, Reference, Term};

/// Converts a term that was scanned; `large` are the binaries that have a stand-in.
pub(super) fn convert(wire: eetf::Term, scan: &Scan, large: &[&[u8]]) -> Result<Term, EtfError> {
    let mut converter = Converter {
        pairs: 0,
        atoms: HashMap::new(),
        large,
        records: &scan.records,
    };
    let term = converter.term(wire)?;
    if converter.pairs == scan.pairs {
        Ok(term)
    } else {
        Err(EtfError::DuplicateKey)
    }
}

struct Converter<'a> {
    pairs: u64,
    /// Atoms met so far: a large term repeats a few, and they need to be in memory only once.
    atoms: HashMap<String, Atom>,
    /// The bytes of binaries that were not handed to `eetf`.
    large: &'a [&'a [u8]],
    /// What native records are whose values have a stand-in.
    records: &'a [RecordHeader],
}

impl Converter<'_> {
    fn term(&mut self, wire: eetf::Term) -> Result<Term, EtfError> {
        Ok(match wire {
            eetf::Term::Atom(x) => Term::Atom(self.atom(x)),
            eetf::Term::FixInteger(x) => Term::Int(i64::from(x.value)),
            eetf::Term::BigInteger(x) => Term::integer(x.value),
            eetf::Term::Float(x) => Term::Float(x.value),
            eetf::Term::Pid(x) => Term::Pid(self.pid(x)),
            eetf::Term::Port(x) => Term::Port(Port {
                node: self.atom(x.node),
                id: x.id,
                creation: x.creation,
            }),
            eetf::Term::Reference(x) => Term::Reference(Reference {
                node: self.atom(x.node),
                creation: x.creation,
                words: x.id,
            }),
            eetf::Term::ExternalFun(x) => Term::Fun(Fun::External {
                module: self.atom(x.module),
                name: self.atom(x.function),
                arity: x.arity,
            }),
            eetf::Term::InternalFun(x) => self.closure(*x)?,
            eetf::Term::Binary(x) => Term::Binary(Arc::from(x.bytes)),
            eetf::Term::BitBinary(x) => bits(x),
            eetf::Term::ByteList(x) => {
                let bytes = x.bytes.into_iter();
                Term::List(bytes.map(|b| Term::Int(i64::from(b))).collect())
            }
            eetf::Term::List(x) => Term::List(self.terms(x.elements)?),
            eetf::Term::ImproperList(x) => {
                let elements = self.terms(x.elements)?;
                Term::cons(elements, self.term(*x.last)?)
            }
            eetf::Term::Tuple(x) => Term::Tuple(self.terms(x.elements)?),
            eetf::Term::Map(x) => self.map(x)?,
        })
    }

    fn terms(&mut self, wire: Vec<eetf::Term>) -> Result<Vec<Term>, EtfError> {
        wire.into_iter().map(|e| self.term(e)).collect()
    }

    #[expect(clippy::iter_over_hash_type, reason = "what comes out is sorted")]
    fn map(&mut self, x: eetf::Map) -> Result<Term, EtfError> {
        self.pairs += x.map.len() as u64;
        let mut map = BTreeMap::new();
        for (key, value) in x.map {
            let key = self.term(key)?;
            if map.insert(key, self.term(value)?).is_some() {
                return Err(EtfError::DuplicateKey);
            }
        }
        Ok(Term::Map(map))
    }

    fn atom(&mut self, x: eetf::Atom) -> Atom {
        if let Some(known) = self.atoms.get(&x.name) {
            return known.clone();
        }
        let atom = Atom::new(&x.name);
        self.atoms.insert(x.name, atom.clone());
        atom
    }

    fn pid(&mut self, x: eetf::Pid) -> Pid {
        Pid {
            node: self.atom(x.node),
            id: x.id,
            serial: x.serial,
            creation: x.creation,
        }
    }

    fn closure(&mut self, x: eetf::InternalFun) -> Result<Term, EtfError> {
        match x {
            eetf::InternalFun::New {
                module,
                arity,
                pid,
                free_vars,
                index,
                uniq,
                old_index,
                old_uniq,
            } => Ok(Term::Fun(Fun::Closure(Arc::new(Closure {
                module: self.atom(module),
                arity,
                uniq,
                index,
                old_index,
                old_uniq,
                pid: self.pid(pid),
                free: self.terms(free_vars)?,
            })))),
            // The scan lets none of these through; it makes them.
            eetf::InternalFun::Old {
                index,
                uniq,
                free_vars,
                ..
            } => {
                let number = usize::try_from(index).unwrap_or(usize::MAX);
                let found = match uniq {
                    LARGE_BINARY => {
                        let bytes = self.large.get(number).copied();
                        bytes.map(|bytes| Term::Binary(Arc::from(bytes)))
                    }
                    NATIVE_RECORD => match self.records.get(number) {
                        Some(head) => Some(self.record(head, free_vars)?),
                        None => None,
                    },
                    _ => None,
                };
                found.ok_or(EtfError::Tag { tag: 117, at: 0 })
            }
        }
    }

    fn record(&mut self, head: &RecordHeader, values: Vec<eetf::Term>) -> Result<Term, EtfError> {
        let values = self.terms(values)?;
        let names = head
            .fields
            .iter()
            .map(|name| self.atom(eetf::Atom::from(name.as_str())));
        let fields = names.zip(values).collect();
        Ok(Term::Record(Box::new(Record {
            module: self.atom(eetf::Atom::from(head.module.as_str())),
            name: self.atom(eetf::Atom::from(head.name.as_str())),
            exported: head.exported,
            fields,
        })))
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
