//! Erlang's term order: `number < atom < reference < fun < port < pid < tuple <
//! native record < map < nil < list < bitstring`.
//!
//! Two orders, both of them Erlang's. [`Ord`] is the exact one, in which maps keep their keys
//! (`erts_internal:cmp_term/2`): every integer comes before every float, and equal means `=:=`.
//! [`compare_loose`] is the one of `<` and `==`, where `1 == 1.0`; only keys of maps stay exact.
//!
//! As up to OTP 26, `0.0` and `-0.0` are the same; OTP 27 tells them apart.
//!
//! Recurses as deep as the terms are.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_traits::FromPrimitive;

use super::{Atom, Closure, Fun, Pid, Port, Record, Reference, Term};

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Term {}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Term {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other, true)
    }
}

/// Compares as `<`, `==` and `lists:sort/1` do: numbers by value, so that `1` and `1.0` are equal, also
/// inside of tuples, lists and values of maps.
pub fn compare_loose(a: &Term, b: &Term) -> Ordering {
    compare(a, b, false)
}

fn compare(a: &Term, b: &Term, exact: bool) -> Ordering {
    match (a, b) {
        (Term::Int(x), Term::Int(y)) => x.cmp(y),
        (Term::Atom(x), Term::Atom(y)) => x.cmp(y),
        (Term::Float(x), Term::Float(y)) => floats(*x, *y),
        (Term::Tuple(x), Term::Tuple(y)) => x
            .len()
            .cmp(&y.len())
            .then_with(|| sequences(x.iter(), y.iter(), exact)),
        (Term::Binary(x), Term::Binary(y)) => x.cmp(y),
        (Term::Pid(x), Term::Pid(y)) => pids(x, y),
        (Term::Port(x), Term::Port(y)) => ports(x, y),
        (Term::Reference(x), Term::Reference(y)) => references(x, y),
        (Term::Fun(x), Term::Fun(y)) => funs(x, y, exact),
        (Term::Record(x), Term::Record(y)) => records(x, y, exact),
        (Term::Map(x), Term::Map(y)) => x
            .len()
            .cmp(&y.len())
            .then_with(|| sequences(x.keys(), y.keys(), true))
            .then_with(|| sequences(x.values(), y.values(), exact)),
        _ => match rank(a).cmp(&rank(b)) {
            Ordering::Equal => same_rank(a, b, exact),
            unequal => unequal,
        },
    }
}

/// What is left when two values of one rank are spelled by different variants.
fn same_rank(a: &Term, b: &Term, exact: bool) -> Ordering {
    match rank(a) {
        0 => numbers(a, b, exact),
        11 => bitstrings(a, b),
        _ => lists(a, b, exact),
    }
}

/// The ranks of `[]` and of other lists.
const NIL: u8 = 9;
const LIST: u8 = 10;

fn rank(term: &Term) -> u8 {
    match term {
        Term::Int(_) | Term::Big(_) | Term::Float(_) => 0,
        Term::Atom(_) => 1,
        Term::Reference(_) => 2,
        Term::Fun(_) => 3,
        Term::Port(_) => 4,
        Term::Pid(_) => 5,
        Term::Tuple(_) => 6,
        Term::Record(_) => 7,
        Term::Map(_) => 8,
        Term::List(elements) if elements.is_empty() => NIL,
        Term::List(_) | Term::Improper(..) => LIST,
        Term::Binary(_) | Term::Bits(..) => 11,
    }
}

fn sequences<'a>(
    a: impl Iterator<Item = &'a Term>,
    b: impl Iterator<Item = &'a Term>,
    exact: bool,
) -> Ordering {
    a.zip(b)
        .map(|(x, y)| compare(x, y, exact))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// What they are by definition comes before what they hold.
fn records(a: &Record, b: &Record, exact: bool) -> Ordering {
    let fields = || a.fields.iter().zip(&b.fields);
    let names = || fields().map(|((x, _), (y, _))| x.cmp(y));
    let values = || fields().map(|((_, x), (_, y))| compare(x, y, exact));
    (a.module.cmp(&b.module))
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| a.exported.cmp(&b.exported))
        .then_with(|| a.fields.len().cmp(&b.fields.len()))
        .then_with(|| {
            let mut orders = names().chain(values());
            orders
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
}

fn floats(a: f64, b: f64) -> Ordering {
    // Terms hold finite floats only; the second half keeps the order total if one does not.
    a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b))
}

fn numbers(a: &Term, b: &Term, exact: bool) -> Ordering {
    match (a, b) {
        (Term::Float(x), Term::Float(y)) => floats(*x, *y),
        (Term::Float(_), _) if exact => Ordering::Greater,
        (_, Term::Float(_)) if exact => Ordering::Less,
        (Term::Float(x), _) => integer_to_float(b, *x).reverse(),
        (_, Term::Float(y)) => integer_to_float(a, *y),
        (Term::Big(x), Term::Big(y)) => x.cmp(y),
        (Term::Big(x), _) => big_against_int(x),
        (_, Term::Big(y)) => big_against_int(y).reverse(),
        _ => Ordering::Equal,
    }
}

/// A [`Term::Big`] is outside of 64 bits, so its sign decides.
fn big_against_int(big: &BigInt) -> Ordering {
    match big.sign() {
        Sign::Minus => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// Compares by value without rounding, as Erlang does.
fn integer_to_float(integer: &Term, float: f64) -> Ordering {
    /// From here on every float is an integer.
    const LOSSLESS: f64 = 9_007_199_254_740_992.0;
    match integer {
        Term::Int(value) if float.abs() < LOSSLESS => {
            // Rounding keeps the order, and the floats that could be met are exact.
            floats(*value as f64, float)
        }
        Term::Big(value) if float.abs() < LOSSLESS => big_against_int(value),
        Term::Int(value) => BigInt::from_f64(float)
            .map_or(Ordering::Equal, |float| BigInt::from(*value).cmp(&float)),
        Term::Big(value) => {
            BigInt::from_f64(float).map_or(Ordering::Equal, |float| (**value).cmp(&float))
        }
        _ => Ordering::Equal,
    }
}

fn bitstrings(a: &Term, b: &Term) -> Ordering {
    let (x, x_bits) = bits(a);
    let (y, y_bits) = bits(b);
    let common = x_bits.min(y_bits);
    let whole = common / 8;
    let part = match common % 8 {
        0 => Ordering::Equal,
        used => (x[whole] >> (8 - used)).cmp(&(y[whole] >> (8 - used))),
    };
    x[..whole]
        .cmp(&y[..whole])
        .then(part)
        .then(x_bits.cmp(&y_bits))
}

/// Bytes and number of bits.
fn bits(term: &Term) -> (&[u8], usize) {
    match term {
        Term::Binary(bytes) => (bytes, bytes.len() * 8),
        Term::Bits(bytes, used) => (
            bytes,
            (bytes.len() * 8).saturating_sub(8 - usize::from(*used).min(8)),
        ),
        _ => (&[], 0),
    }
}

fn lists(a: &Term, b: &Term, exact: bool) -> Ordering {
    let (x, x_tail) = parts(a);
    let (y, y_tail) = parts(b);
    sequences(x.iter(), y.iter(), exact).then_with(|| match x.len().cmp(&y.len()) {
        Ordering::Equal => match (x_tail, y_tail) {
            (None, None) => Ordering::Equal,
            (Some(x), Some(y)) => compare(x, y, exact),
            (Some(x), None) => rank(x).cmp(&NIL),
            (None, Some(y)) => NIL.cmp(&rank(y)),
        },
        Ordering::Less => x_tail.map_or(NIL, rank).cmp(&LIST),
        Ordering::Greater => LIST.cmp(&y_tail.map_or(NIL, rank)),
    })
}

/// The elements of a list and its tail, which is nothing for `[]`.
fn parts(term: &Term) -> (&[Term], Option<&Term>) {
    match term {
        Term::List(elements) => (elements, None),
        Term::Improper(elements, tail) => (elements, Some(tail)),
        _ => (&[], None),
    }
}

fn nodes(a: (&Atom, u32), b: (&Atom, u32)) -> Ordering {
    a.0.cmp(b.0).then(a.1.cmp(&b.1))
}

fn pids(a: &Pid, b: &Pid) -> Ordering {
    a.serial
        .cmp(&b.serial)
        .then(a.id.cmp(&b.id))
        .then_with(|| nodes((&a.node, a.creation), (&b.node, b.creation)))
}

fn ports(a: &Port, b: &Port) -> Ordering {
    nodes((&a.node, a.creation), (&b.node, b.creation)).then(a.id.cmp(&b.id))
}

fn references(a: &Reference, b: &Reference) -> Ordering {
    let (x, y) = (words(a), words(b));
    nodes((&a.node, a.creation), (&b.node, b.creation))
        .then(x.len().cmp(&y.len()))
        .then_with(|| x.iter().rev().cmp(y.iter().rev()))
}

/// The words without the zeros that stand for nothing, the least significant first.
fn words(reference: &Reference) -> &[u32] {
    let words = &reference.words[..];
    let length = words.iter().rposition(|w| *w != 0).map_or(0, |i| i + 1);
    &words[..length]
}

/// Closures before `fun m:f/a`.
fn funs(a: &Fun, b: &Fun, exact: bool) -> Ordering {
    match (a, b) {
        (Fun::Closure(x), Fun::Closure(y)) => closures(x, y, exact),
        (Fun::Closure(_), Fun::External { .. }) => Ordering::Less,
        (Fun::External { .. }, Fun::Closure(_)) => Ordering::Greater,
        (
            Fun::External {
                module: m1,
                name: n1,
                arity: a1,
            },
            Fun::External {
                module: m2,
                name: n2,
                arity: a2,
            },
        ) => m1.cmp(m2).then_with(|| n1.cmp(n2)).then(a1.cmp(a2)),
    }
}

/// As OTP 25 does; the process that made a closure does not count. The full `uniq` and the old index say
/// nothing new about real closures, they only keep made-up ones apart.
fn closures(a: &Closure, b: &Closure, exact: bool) -> Ordering {
    a.module
        .cmp(&b.module)
        .then(a.index.cmp(&b.index))
        .then(a.old_uniq.cmp(&b.old_uniq))
        .then(a.free.len().cmp(&b.free.len()))
        .then_with(|| sequences(a.free.iter(), b.free.iter(), exact))
        .then(a.uniq.cmp(&b.uniq))
        .then(a.old_index.cmp(&b.old_index))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_TO_53: i64 = 1 << 53;

    fn record(name: &str, exported: bool, fields: &[(&str, Term)]) -> Term {
        let fields = fields.iter();
        Term::Record(Box::new(Record {
            module: Atom::new("m"),
            name: Atom::new(name),
            exported,
            fields: fields
                .map(|(name, value)| (Atom::new(name), value.clone()))
                .collect(),
        }))
    }

    #[test]
    fn one_and_one_point_zero() {
        let (int, float) = (Term::Int(1), Term::Float(1.0));
        assert!(int < float && Term::Int(2) < float);
        assert!(compare_loose(&int, &float).is_eq());
        assert!(compare_loose(&Term::Int(2), &float).is_gt());
        let inside = |t: &Term| Term::map([(Term::atom("k"), Term::list([t.clone()]))]);
        assert!(compare_loose(&inside(&int), &inside(&float)).is_eq());
        let key = |t: &Term| Term::map([(t.clone(), Term::atom("v"))]);
        assert!(compare_loose(&key(&int), &key(&float)).is_lt());
    }

    #[test]
    fn large_numbers_are_not_rounded() {
        let float = Term::Float(TWO_TO_53 as f64);
        assert!(compare_loose(&Term::Int(TWO_TO_53), &float).is_eq());
        assert!(compare_loose(&Term::Int(TWO_TO_53 + 1), &float).is_gt());
        let big = Term::integer(BigInt::from(1) << 200u32);
        let near = Term::integer((BigInt::from(1) << 200u32) + 1);
        let same = Term::Float(2f64.powi(200));
        assert!(compare_loose(&big, &same).is_eq());
        assert!(compare_loose(&near, &same).is_gt());
        assert!(compare_loose(&big, &Term::Float(f64::MAX)).is_lt());
        assert_eq!(Term::Float(0.0), Term::Float(-0.0));
    }

    #[test]
    fn kinds_in_their_order() {
        let ascending = [
            Term::integer(BigInt::from(1) << 70u32),
            Term::Float(0.5),
            Term::atom("z"),
            Term::tuple([]),
            record("a", true, &[("x", Term::Int(2))]),
            record("b", false, &[("y", Term::Int(2)), ("z", Term::Int(1))]),
            record("b", true, &[("z", Term::Int(9))]),
            record("b", true, &[("y", Term::Int(9)), ("x", Term::Int(0))]),
            record("b", true, &[("y", Term::Int(9)), ("x", Term::Int(1))]),
            Term::map([]),
            Term::list([]),
            Term::list([Term::Int(1)]),
            Term::cons(vec![Term::Int(2)], Term::Int(9)),
            Term::list([Term::Int(2)]),
            Term::list([Term::Int(2), Term::Int(0)]),
            Term::binary([]),
            Term::Bits([0b1000_0000].into(), 1),
            Term::binary([0b1000_0000]),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }
}
