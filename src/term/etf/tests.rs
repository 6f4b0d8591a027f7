//! Hostile and ordinary bytes; what a real node says is in `tests/term_oracle/main.rs`.

use super::*;
use crate::term::{Atom, BigInt, Fun, Record};

fn round(term: Term) {
    let bytes = encode(&term);
    assert_eq!(decode(&bytes).as_ref(), Ok(&term), "{bytes:?}");
}

#[test]
fn round_trip_of_ordinary_terms() {
    round(Term::list([]));
    round(Term::list([Term::Int(-1)]));
    round(Term::string("abc"));
    round(Term::list(vec![Term::Int(7); 70_000]));
    round(Term::Int(i64::MIN));
    round(Term::integer(BigInt::from(i64::MAX) * 1000));
    round(Term::integer(-(BigInt::from(1) << 4000u32)));
    round(Term::Bits([1, 0b1010_0000].into(), 3));
    round(Term::tuple(vec![Term::Float(1.5); 300]));
    round(Term::cons(vec![Term::Int(1)], Term::atom("a")));
    round(Term::map([(Term::Int(1), Term::Float(1.0))]));
    round(Term::Fun(Fun::External {
        module: "m".into(),
        name: "f".into(),
        arity: 255,
    }));
    round(native(
        "st",
        &[("n", Term::Int(7)), ("é", Term::string("abc"))],
    ));
    round(Term::list([
        native("empty", &[]),
        native("a", &[("b", native("c", &[]))]),
    ]));
    round(native(
        "large",
        &[("b", Term::binary(vec![7; 100_000])), ("m", Term::map([]))],
    ));
}

fn native(name: &str, fields: &[(&str, Term)]) -> Term {
    let fields = fields.iter();
    Term::Record(Box::new(Record {
        module: Atom::new("m"),
        name: Atom::new(name),
        exported: name == "st",
        fields: fields
            .map(|(name, value)| (Atom::new(name), value.clone()))
            .collect(),
    }))
}

#[test]
fn native_records_that_lie_are_refused() {
    let good = encode(&native("st", &[("n", Term::Int(7))]));
    for length in 2..good.len() {
        assert!(decode(&good[..length]).is_err(), "{length} bytes");
    }
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        decode(&bytes).expect_err("it is refused")
    };
    assert!(
        matches!(changed(2, 255), EtfError::Truncated { .. }),
        "four thousand million fields"
    );
    assert!(
        matches!(changed(6, 2), EtfError::Malformed { .. }),
        "unknown flags"
    );
    assert!(
        matches!(changed(7, 97), EtfError::Malformed { .. }),
        "a module that is a number"
    );
    // A Latin-1 name of a field, as old encodings have it.
    let mut latin = vec![131, 67, 0, 0, 0, 1, 1, 119, 1, b'm', 119, 2, b's', b't'];
    latin.extend_from_slice(&[100, 0, 1, 0xe9, 97, 7]);
    assert_eq!(decode(&latin), Ok(native("st", &[("é", Term::Int(7))])));
}

/// Long enough that nothing here can be accepted by a cut-off prefix of itself.
fn samples() -> Vec<Vec<u8>> {
    let node = [119, 1, b'n'];
    let mut fun = vec![131, 112, 0, 0, 0, 46, 1];
    fun.extend_from_slice(&[9; 16]);
    fun.extend_from_slice(&[
        0, 0, 0, 2, 0, 0, 0, 1, 119, 1, b'm', 97, 2, 98, 0, 1, 0, 0, 88,
    ]);
    fun.extend_from_slice(&node);
    fun.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 97, 7]);
    vec![
        fun,
        vec![
            131, 90, 0, 2, 119, 1, b'n', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3,
        ],
        vec![131, 120, 119, 1, b'n', 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1],
        vec![131, 89, 119, 1, b'n', 0, 0, 0, 9, 0, 0, 0, 1],
        vec![131, 102, 100, 0, 1, b'n', 0, 0, 0, 9, 1],
        vec![131, 88, 115, 1, b'n', 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1],
        vec![131, 103, 119, 1, b'n', 0, 0, 0, 9, 0, 0, 0, 0, 1],
        vec![131, 101, 119, 1, b'n', 0, 0, 0, 9, 1],
        vec![131, 114, 0, 1, 119, 1, b'n', 1, 0, 0, 0, 9],
        vec![131, 113, 119, 1, b'm', 119, 1, b'f', 97, 2],
        vec![131, 77, 0, 0, 0, 2, 3, 1, 0xa0],
        vec![131, 107, 0, 3, 1, 2, 3],
        vec![131, 108, 0, 0, 0, 2, 97, 1, 97, 2, 97, 3],
        vec![131, 105, 0, 0, 0, 1, 116, 0, 0, 0, 1, 97, 1, 106],
        vec![131, 111, 0, 0, 0, 9, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        vec![
            131, 104, 2, 70, 63, 240, 0, 0, 0, 0, 0, 0, 109, 0, 0, 0, 1, 5,
        ],
        [&[131, 99][..], b"1.50000000000000000000e+00\0\0\0\0\0"].concat(),
        compressed(&[104, 2, 107, 0, 2, 65, 66, 106]),
    ]
}

/// A compressed term whose stated size is right.
fn compressed(body: &[u8]) -> Vec<u8> {
    compressed_as(body, body.len() as u32)
}

fn compressed_as(body: &[u8], size: u32) -> Vec<u8> {
    use std::io::Write;
    let mut out = vec![131, 80];
    out.extend_from_slice(&size.to_be_bytes());
    let mut writer = flate2::write::ZlibEncoder::new(out, flate2::Compression::best());
    writer.write_all(body).expect("a vector takes everything");
    writer.finish().expect("a vector takes everything")
}

#[test]
fn every_kind_decodes_and_no_prefix_of_it() {
    for sample in samples() {
        let term = decode(&sample).unwrap_or_else(|e| panic!("{e}: {sample:?}"));
        assert_eq!(decode(&encode(&term)), Ok(term), "{sample:?}");
        for end in 0..sample.len() {
            assert!(decode(&sample[..end]).is_err(), "{end} of {sample:?}");
        }
    }
}

#[test]
fn prefix_returns_the_bytes_used() {
    for sample in samples() {
        let two = [sample.clone(), vec![131, 97, 5]].concat();
        let (first, used) = decode_prefix(&two).expect("the first is a term");
        assert_eq!((decode(&sample), used), (Ok(first), sample.len()));
        assert_eq!(decode_prefix(&two[used..]), Ok((Term::Int(5), 3)));
        assert_eq!(decode(&two), Err(EtfError::Trailing { bytes: 3 }));
    }
}

#[test]
fn what_eetf_would_read_wrongly() {
    let latin1 = [131, 104, 2, 100, 0, 2, 0xe5, b'a', 115, 2, 0xc3, 0xa9];
    let expected = Term::tuple([Term::atom("åa"), Term::atom("Ã©")]);
    assert_eq!(decode(&latin1), Ok(expected));
    let float = [&[131, 99][..], b"1.00000000000000005551e-01\0\0\0\0\0"].concat();
    assert_eq!(decode(&float), Ok(Term::Float(0.1)));
    let whole = [131, 77, 0, 0, 0, 1, 8, 0xff];
    assert_eq!(decode(&whole), Ok(Term::binary([0xff])));
    assert_eq!(
        decode(&[131, 77, 0, 0, 0, 1, 0, 0xff]),
        Err(EtfError::Malformed {
            what: "a bitstring with an impossible last byte",
            at: 1
        })
    );
    let nested = [131, 108, 0, 0, 0, 1, 97, 1, 107, 0, 1, 2];
    assert_eq!(
        decode(&nested),
        Ok(Term::list([Term::Int(1), Term::Int(2)]))
    );
}

#[test]
fn counts_that_promise_too_much() {
    for tag in [105, 108, 109, 111, 116] {
        let bytes = [131, tag, 0xff, 0xff, 0xff, 0xff, 0];
        assert!(decode(&bytes).is_err(), "{tag}");
    }
    let mut fun = samples().swap_remove(0);
    fun[27..31].copy_from_slice(&[0xff; 4]);
    assert!(matches!(decode(&fun), Err(EtfError::Truncated { .. })));
}

#[test]
fn depth_is_bounded_on_a_small_stack() {
    let mut fun = samples().swap_remove(0);
    fun.truncate(fun.len() - 2);
    fun[30] = 1;
    let list = [108, 0, 0, 0, 1];
    for wrapper in [&[104, 1][..], &list, &[116, 0, 0, 0, 1, 106], &fun[1..]] {
        let nest = |levels: usize| {
            let mut bytes = vec![131];
            for _ in 0..levels {
                bytes.extend_from_slice(wrapper);
            }
            bytes.push(106);
            if wrapper[0] == 108 {
                bytes.extend(std::iter::repeat_n(106, levels));
            }
            bytes
        };
        let deepest = decode(&nest(MAX_DEPTH)).expect("the limit itself is allowed");
        let copy = decode(&encode(&deepest)).expect("it comes back");
        assert_eq!(copy, deepest);
        assert_eq!(deepest.to_string(), deepest.clone().to_string());
        let unbroken = super::super::pretty(&deepest, 80).replace(['\n', ' '], "");
        assert_eq!(unbroken, deepest.to_string().replace(' ', ""));
        for levels in [MAX_DEPTH + 1, 10_000] {
            let result = decode(&nest(levels));
            assert!(
                matches!(result, Err(EtfError::TooDeep { .. })),
                "{result:?}"
            );
        }
    }
}

#[test]
fn compressed_bytes_are_bounded() {
    let liar = compressed_as(&[0; 1000], 10);
    assert_eq!(decode(&liar), Err(EtfError::Inflate));
    let modest = compressed_as(&[106], 10);
    assert_eq!(decode(&modest), Err(EtfError::Inflate));
    let huge = compressed_as(&[106], u32::MAX);
    assert_eq!(
        decode(&huge),
        Err(EtfError::InflatedTooLong {
            bytes: u32::MAX as usize
        })
    );
    let inner = compressed(&[106]);
    let nested = compressed(&inner[1..]);
    assert_eq!(decode(&nested), Err(EtfError::Tag { tag: 80, at: 1 }));
    // What one byte may become is bounded before anything is inflated: 20 MB of zeros in 20 kB.
    let mut body = vec![109];
    body.extend_from_slice(&20_000_000u32.to_be_bytes());
    body.resize(20_000_005, 0);
    let bomb = decode(&compressed(&body));
    assert!(
        matches!(
            bomb,
            Err(EtfError::InflatedTooMuch {
                bytes: 20_000_005,
                ..
            })
        ),
        "{bomb:?}"
    );
    // A little may be as regular as it likes.
    let zeros = [&[109, 0, 0, 1, 0][..], &[0; 256]].concat();
    assert_eq!(decode(&compressed(&zeros)), Ok(Term::binary([0; 256])));
}

/// Few bytes may not be many values: one that takes one byte on the wire takes a hundred here.
#[test]
fn values_are_bounded() {
    let nils = |count: u32| {
        let mut body = vec![131, 108];
        body.extend_from_slice(&count.to_be_bytes());
        body.extend(std::iter::repeat_n(106, count as usize + 1));
        body
    };
    assert!(decode(&nils(1_000_000)).is_ok());
    assert_eq!(
        decode(&nils(5_000_000)),
        Err(EtfError::TooManyValues {
            at: 6 + MAX_VALUES as usize
        })
    );
    let mut map = vec![131, 116];
    map.extend_from_slice(&2_200_000u32.to_be_bytes());
    map.resize(6_000_006, 106);
    assert!(matches!(
        decode(&map),
        Err(EtfError::TooManyValues { at: 6 })
    ));
}

/// Binaries that are long enough to be handed around the decoder come out as they are, in every place.
#[test]
fn long_binaries_stay_in_their_places() {
    let long = |byte: u8| Term::binary(vec![byte; 100_000]);
    round(long(1));
    round(Term::tuple([long(1), Term::Int(5), long(2), long(1)]));
    round(Term::cons(vec![long(3)], long(4)));
    round(Term::map([
        (long(1), long(2)),
        (long(2), Term::binary([0; 70_000])),
        (Term::atom("å"), Term::list([long(9), Term::Float(1.5)])),
    ]));
    let mut twice = encode(&Term::map([
        (long(1), Term::Int(1)),
        (long(2), Term::Int(2)),
    ]));
    // The second key's bytes, before `97, 2`.
    let at = twice.len() - 2 - 100_000;
    twice[at..at + 100_000].fill(1);
    assert_eq!(decode(&twice), Err(EtfError::DuplicateKey));
}

#[test]
fn refused_tags_are_named() {
    for tag in [68, 69, 82, 117, 121] {
        let error = decode(&[131, tag, 0, 0, 0, 0, 0, 0]).expect_err("it is refused");
        assert_eq!(error, EtfError::Tag { tag, at: 1 });
        assert!(error.to_string().contains("is not supported"), "{error}");
    }
    assert_eq!(
        decode(&[131, 7]).expect_err("no such tag").to_string(),
        "unknown tag 7 at byte 1"
    );
}

#[test]
fn maps_with_a_key_twice_are_refused() {
    let same = [131, 116, 0, 0, 0, 2, 97, 1, 106, 97, 1, 97, 2];
    assert_eq!(decode(&same), Err(EtfError::DuplicateKey));
    let spelled = [
        131, 116, 0, 0, 0, 2, 107, 0, 1, 1, 106, 108, 0, 0, 0, 1, 97, 1, 106, 106,
    ];
    assert_eq!(decode(&spelled), Err(EtfError::DuplicateKey));
    let different = [
        131, 116, 0, 0, 0, 2, 97, 1, 106, 70, 63, 240, 0, 0, 0, 0, 0, 0, 106,
    ];
    assert!(decode(&different).is_ok());
}

#[test]
fn mutations_never_panic() {
    let samples = samples();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % bound
    };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let mut bytes = samples[next(samples.len())].clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(5) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes[at] ^= 1 << next(8),
                2 => bytes.truncate(at.max(1)),
                3 => bytes.insert(at, next(256) as u8),
                _ => {
                    let other = &samples[next(samples.len())];
                    bytes.splice(at..at, other[1..].iter().copied());
                }
            }
        }
        match decode_prefix(&bytes) {
            Ok((term, used)) => {
                assert!(used <= bytes.len());
                assert_eq!(decode(&encode(&term)), Ok(term), "{bytes:?}");
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 5_000 && refused > 5_000, "{accepted}, {refused}");
}
