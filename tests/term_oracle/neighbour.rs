//! Terms that differ from others in one small thing, for the orders.

use std::sync::Arc;

use num_bigint::BigInt;
use updo::term::{Closure, Fun, Term};

use crate::generate::{Generator, OLD_UNIQS};

impl Generator {
    /// A term that differs from another in one small thing, or in nothing.
    pub fn neighbour(&mut self, term: &Term) -> Term {
        match term {
            Term::Int(value) => match self.below(4) {
                0 => Term::Float(*value as f64),
                1 => Term::Int(value.wrapping_add(1)),
                2 => Term::Int(*value),
                _ => Term::integer(BigInt::from(*value) * 2),
            },
            Term::Float(value) => match self.below(4) {
                0 if value.abs() < 9e18 => Term::Int(*value as i64),
                1 => Term::Float(-value),
                2 if value.abs() < 1e300 => Term::Float(f64::from_bits(value.to_bits() + 1)),
                _ => self.number(),
            },
            Term::Tuple(elements) => Term::Tuple(self.vary(elements)),
            Term::List(elements) => match self.below(4) {
                0 => {
                    let tail = self.term(1);
                    Term::cons(elements.clone(), tail)
                }
                _ => Term::List(self.vary(elements)),
            },
            Term::Improper(elements, tail) => match self.below(3) {
                0 => Term::List(elements.clone()),
                1 => Term::cons(self.vary(elements), (**tail).clone()),
                _ => {
                    let tail = self.neighbour(tail);
                    Term::cons(elements.clone(), tail)
                }
            },
            Term::Map(pairs) => {
                let chosen = self.below(pairs.len().max(1));
                let mut changed: Vec<(Term, Term)> = Vec::new();
                for (i, (key, value)) in pairs.iter().enumerate() {
                    changed.push(match self.below(2) {
                        _ if i != chosen => (key.clone(), value.clone()),
                        0 => (self.neighbour(key), value.clone()),
                        _ => (key.clone(), self.neighbour(value)),
                    });
                }
                Term::map(changed)
            }
            Term::Binary(bytes) if !bytes.is_empty() => {
                let mut bytes = bytes.to_vec();
                match self.below(3) {
                    0 => bytes.truncate(bytes.len() - 1),
                    1 => {
                        let used = 1 + self.below(7) as u8;
                        if let Some(last) = bytes.last_mut() {
                            *last &= 0xff << (8 - used);
                        }
                        return Term::Bits(Arc::from(bytes), used);
                    }
                    _ => {
                        let at = self.below(bytes.len());
                        bytes[at] ^= 1 << self.below(8);
                    }
                }
                Term::binary(bytes)
            }
            Term::Bits(bytes, _) => Term::binary(bytes),
            Term::Pid(_) => Term::Pid(self.pid()),
            Term::Port(_) | Term::Reference(_) => self.reference_or_port(),
            Term::Fun(Fun::Closure(closure)) => {
                let mut closure = Closure::clone(closure);
                match self.below(4) {
                    0 => closure.pid = self.pid(),
                    1 => {
                        closure.index ^= 1;
                        closure.old_index ^= 1;
                    }
                    2 => {
                        let version = self.below(4);
                        closure.uniq = [version as u8; 16];
                        closure.old_uniq = OLD_UNIQS[version];
                    }
                    _ => closure.free = self.vary(&closure.free),
                }
                Term::Fun(Fun::Closure(Arc::new(closure)))
            }
            Term::Fun(_) => self.fun(1),
            _ => self.term(0),
        }
    }

    fn vary(&mut self, elements: &[Term]) -> Vec<Term> {
        let mut elements = elements.to_vec();
        if elements.is_empty() || self.below(6) == 0 {
            elements.push(self.term(0));
        } else if self.below(5) == 0 {
            elements.pop();
        } else {
            let at = self.below(elements.len());
            elements[at] = self.neighbour(&elements[at]);
        }
        elements
    }
}
