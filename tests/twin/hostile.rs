//! Damaged and hostile beams: a refusal or a twin, never a panic, never memory out of proportion.

use std::collections::BTreeSet;

use updo::facts::beam::BeamFacts;
use updo::facts::beam::chunk::{Chunks, MAX_BEAM};
use updo::name::Module;
use updo::twin::excerpt::excerpt;
use updo::twin::{Entry, NoTwin, name, twin};

use super::room::{beams, setting};

/// A small xorshift, seeded, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }
}

/// Where the data of the chunks that are read begins and ends.
fn places(beam: &[u8]) -> Vec<(usize, usize)> {
    let chunks = Chunks::parse(beam).expect("a beam");
    let ids = [b"AtU8", b"Code", b"ImpT", b"ExpT", b"FunT", b"Recs"];
    let start = beam.as_ptr() as usize;
    ids.iter()
        .filter_map(|id| chunks.get(id))
        .map(|data| {
            let at = data.as_ptr() as usize - start;
            (at, at + data.len())
        })
        .filter(|(from, to)| to > from)
        .collect()
}

fn mutated(original: &[u8], places: &[(usize, usize)], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let (from, to) = places[random.below(places.len())];
    let at = from + random.below(to - from);
    match random.below(8) {
        0 => bytes.truncate(random.below(original.len())),
        // Counts and sizes are four bytes at the start of a chunk, and before it.
        1 => {
            let at = from - 4 * random.below(2);
            for byte in &mut bytes[at..at + 4] {
                *byte = [0, 0xFF, 0x7F, 0x80][random.below(4)];
            }
        }
        2 => bytes[at] = random.byte(),
        3 => {
            // The long forms of compact terms, with sizes of their own.
            for (offset, byte) in [0xF8 | (random.byte() & 7), random.byte(), 0xFF]
                .into_iter()
                .enumerate()
            {
                if let Some(place) = bytes.get_mut(at + offset) {
                    *place = byte;
                }
            }
        }
        4 => {
            let piece = bytes[at..(at + random.below(64)).min(to)].to_vec();
            let end = at + piece.len();
            bytes.splice(at..end, piece.into_iter().rev());
        }
        _ => {
            for _ in 0..=random.below(6) {
                let at = from + random.below(to - from);
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
    bytes
}

#[test]
fn mutations_never_panic_and_stay_small() {
    let seed = setting("UPDO_SEED", 1);
    let each = setting("UPDO_COUNT", 0).div_ceil(500).max(15);
    let mut random = Random(0x5EED_7A1B_0000_0001 ^ seed << 16);
    let (mut made, mut refused) = (0, 0);
    let set: BTreeSet<Module> = beams("stdlib").into_iter().map(|(_, m, _)| m).collect();
    for (path, _, original) in beams("stdlib").into_iter().chain(beams("elixir")) {
        if original.len() > 40_000 {
            continue;
        }
        let places = places(&original);
        for _ in 0..each {
            let bytes = mutated(&original, &places, &mut random);
            match twin(&bytes, &set, 25) {
                Err(_) => refused += 1,
                Ok(twin) => {
                    made += 1;
                    // Five bytes for one of an operand is the most that anything grows.
                    assert!(
                        twin.bytes.len() < 6 * bytes.len() + 4096,
                        "{}",
                        path.display()
                    );
                    // What was made is a beam, whose own twin can be made again.
                    let facts = BeamFacts::read(&twin.bytes)
                        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    assert_eq!(facts.module, name(&twin.module));
                }
            }
        }
    }
    println!("twins: {made} made of mutated beams, {refused} refused (seed {seed})");
    assert!(
        made > 500 && refused > 500,
        "{made} made, {refused} refused"
    );
}

/// The same for excerpts of all functions of a mutated module that can be in one.
#[test]
fn excerpts_of_mutations_never_panic_and_stay_small() {
    let seed = setting("UPDO_SEED", 1);
    let each = setting("UPDO_COUNT", 0).div_ceil(500).max(15);
    let mut random = Random(0x5EED_EC5E_0000_0001 ^ seed << 16);
    let (mut made, mut none) = (0, 0);
    for (path, module, original) in beams("stdlib").into_iter().chain(beams("elixir")) {
        if original.len() > 40_000 {
            continue;
        }
        let exports = BeamFacts::read(&original).expect("a beam").exports;
        let functions = exports.iter().map(|f| -> &'static [Entry] {
            vec![(&*String::leak(f.name.to_string()), f.arity)].leak()
        });
        let functions: Vec<_> = functions.collect();
        let places = places(&original);
        for _ in 0..each {
            let bytes = mutated(&original, &places, &mut random);
            let set = [(&module, &bytes[..])].into();
            let wanted = functions.iter().map(|function| (&module, *function));
            match excerpt(&set, wanted, 25) {
                None => none += 1,
                Some(excerpt) => {
                    made += 1;
                    // A name that was one byte of an index is a text, once for each function.
                    let most = 16 * bytes.len() + (1 << 20);
                    assert!(excerpt.bytes.len() < most, "{}", path.display());
                    BeamFacts::read(&excerpt.bytes)
                        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                }
            }
        }
    }
    println!("excerpts: {made} made of mutated beams, {none} not (seed {seed})");
    assert!(made > 500 && none > 100, "{made} made, {none} not");
}

/// The same input gives the same bytes, and a compressed file those of the plain one.
#[test]
fn twins_are_reproducible() {
    use std::io::Write;
    let (_, module, bytes) = beams("stdlib")
        .into_iter()
        .find(|(_, module, _)| module.as_str() == "gen_server")
        .expect("gen_server");
    let set = [module].into();
    let plain = twin(&bytes, &set, 25).expect("a twin");
    assert_eq!(twin(&bytes, &set, 25).as_ref(), Ok(&plain));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&bytes).expect("in memory");
    let packed = packed.finish().expect("in memory");
    assert_eq!(twin(&packed, &set, 25), Ok(plain));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let set = BTreeSet::new();
    let (_, _, lists) = beams("stdlib")
        .into_iter()
        .find(|(_, module, _)| module.as_str() == "lists")
        .expect("lists");
    let big = vec![0; usize::try_from(MAX_BEAM).expect("fits") + 1];
    for bytes in [&b"no beam"[..], &[], &lists[..500], &big] {
        assert!(matches!(twin(bytes, &set, 25), Err(NoTwin::Beam(_))));
    }
    // An instruction of a release to come.
    let at = places(&lists)[1].0 + 20;
    let mut unknown = lists.clone();
    unknown[at] = 0xFE;
    assert_eq!(twin(&unknown, &set, 25), Err(NoTwin::Unknown));
    // Another set of instructions altogether.
    let mut other = lists;
    other[at - 16 + 3] = 1;
    assert_eq!(twin(&other, &set, 25), Err(NoTwin::Unknown));
}
