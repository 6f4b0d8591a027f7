//! Damaged and hostile beams: never a panic, never memory out of proportion; and files in the formats
//! of other releases, made from beams of this one.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use updo::facts::beam::chunk::{Chunks, MAX_BEAM};
use updo::facts::beam::debug::records;
use updo::facts::beam::{BeamError, BeamFacts, ReadExtent};
use updo::facts::local::files::{FileError, beams_of, facts_of, read_beam_file};
use updo::name::Module;

/// Beams of the OTP that is installed here.
fn otp_beams(application: &str) -> Vec<PathBuf> {
    let output = Command::new("erl")
        .args(["-noshell", "-eval"])
        .arg(format!(
            "io:put_chars(code:lib_dir({application})), halt()."
        ))
        .output()
        .expect("these tests need Erlang: erl is not on the path");
    let folder = String::from_utf8(output.stdout).expect("UTF-8");
    beams_of(&[&format!("{folder}/ebin")], Path::new("/")).expect("beams")
}

fn lists() -> Vec<u8> {
    let path = otp_beams("stdlib")
        .into_iter()
        .find(|path| path.ends_with("lists.beam"))
        .expect("lists");
    std::fs::read(path).expect("readable")
}

/// A small xorshift, seeded, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits")
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() % limit.max(1)
    }
}

fn mutated(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    match random.below(6) {
        0 => bytes.truncate(random.below(original.len())),
        1 => {
            // A four-byte number somewhere becomes huge: counts and sizes are such numbers.
            let at = random.below(bytes.len() - 4) & !3;
            bytes[at..at + 4].copy_from_slice(
                &[[0xFF; 4], [0x7F, 0xFF, 0xFF, 0xFF], [0, 0xFF, 0, 0]][random.below(3)],
            );
        }
        2 => {
            // The same in the head of the file, where the tables are.
            let at = random.below(400.min(bytes.len()));
            bytes[at] = u8::try_from(random.below(256)).expect("a byte");
        }
        3 => {
            let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
            let piece = bytes[from..(from + random.below(64)).min(original.len())].to_vec();
            bytes.splice(to..to, piece);
        }
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
    }
    bytes
}

#[test]
fn mutations_never_panic_and_stay_small() {
    let mut random = Random(0x5EED_1DEA_C0DE_F00D);
    let wanted: BTreeSet<Module> = ["lists", "ok", "error"].map(Module::new).into();
    let (mut read, mut refused) = (0, 0);
    let mut beams = otp_beams("stdlib");
    beams.extend(otp_beams("kernel"));
    for path in beams {
        let original = std::fs::read(&path).expect("readable");
        if original.len() > 40_000 {
            continue;
        }
        for _ in 0..50 {
            let bytes = mutated(&original, &mut random);
            match BeamFacts::read_whole(&bytes, &wanted) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
        let _ = records(&mutated(&original, &mut random));
    }
    println!("{read} read, {refused} refused, peak {} KiB", peak_kib());
    assert!(
        read > 1000 && refused > 1000,
        "{read} read, {refused} refused"
    );
    assert!(peak_kib() < 1 << 20, "{} KiB", peak_kib());
}

/// The largest resident size of this process so far, as Linux reports it; 0 elsewhere.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn every_truncation_is_refused() {
    let original = lists();
    for length in (0..original.len()).step_by(37).chain([original.len() - 1]) {
        let error = BeamFacts::read(&original[..length]).expect_err("cut off");
        assert!(
            matches!(error, BeamError::NotABeam | BeamError::Truncated { .. }),
            "{length}: {error:?}"
        );
    }
}

/// A beam file from chunks.
fn beam(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"BEAM".to_vec();
    for (id, data) in chunks {
        body.extend(*id);
        body.extend(u32::try_from(data.len()).expect("small").to_be_bytes());
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut file = b"FOR1".to_vec();
    file.extend(u32::try_from(body.len()).expect("small").to_be_bytes());
    file.extend(body);
    file
}

fn chunks_of(bytes: &[u8]) -> Vec<(&'static [u8; 4], Vec<u8>)> {
    const ALL: [&[u8; 4]; 11] = [
        b"AtU8", b"Code", b"StrT", b"ImpT", b"ExpT", b"FunT", b"LitT", b"Meta", b"Attr", b"CInf",
        b"Line",
    ];
    let chunks = Chunks::parse(bytes).expect("a beam");
    ALL.iter()
        .filter_map(|id| Some((*id, chunks.get(id)?.to_vec())))
        .collect()
}

/// A number as `beam_asm` writes it, for numbers up to 2047.
fn compact(number: usize) -> Vec<u8> {
    if number < 16 {
        vec![u8::try_from(number << 4).expect("a byte")]
    } else {
        let high = u8::try_from((number >> 3) & 0b1110_0000).expect("a byte");
        vec![high | 0b1000, u8::try_from(number & 0xFF).expect("a byte")]
    }
}

#[test]
fn atoms_and_literals_of_otp_29() {
    let original = lists();
    let mut chunks = chunks_of(&original);
    for (id, data) in &mut chunks {
        match *id {
            b"AtU8" => {
                let count = i32::from_be_bytes(data[..4].try_into().expect("four"));
                let mut long = (-count).to_be_bytes().to_vec();
                let mut rest = &data[4..];
                while let Some((size, after)) = rest.split_first() {
                    let (text, after) = after.split_at(usize::from(*size));
                    long.extend(compact(usize::from(*size)));
                    long.extend(text);
                    rest = after;
                }
                *data = long;
            }
            b"LitT" => {
                let mut plain = vec![0; 4];
                let mut inflated = flate2::write::ZlibDecoder::new(&mut plain);
                inflated.write_all(&data[4..]).expect("zlib");
                inflated.finish().expect("zlib");
                *data = plain;
            }
            _ => {}
        }
    }
    let old = BeamFacts::read_whole(&original, &BTreeSet::new()).expect("a beam");
    let new = BeamFacts::read_whole(&beam(&chunks), &BTreeSet::new()).expect("a beam");
    assert_ne!(old.md5, new.md5);
    assert_eq!(new.code.walked, ReadExtent::Whole);
    assert!(new.code.call_sites.len() > 10 && new.code.atoms.len() > 10);
    assert_eq!(
        BeamFacts {
            size: old.size,
            md5: old.md5,
            digests: old.digests.clone(),
            ..new
        },
        old
    );
}

#[test]
fn latin_1_atoms() {
    let atoms = [&[0, 0, 0, 1, 2][..], b"\xE5m"].concat();
    let facts = BeamFacts::read(&beam(&[(b"Atom", atoms)])).expect("a beam");
    assert_eq!(facts.module.as_str(), "åm");
}

#[test]
fn chunks_may_be_missing() {
    let original = lists();
    let all = chunks_of(&original);
    for (gone, _) in &all {
        let rest: Vec<_> = all.iter().filter(|(id, _)| id != gone).cloned().collect();
        let read = BeamFacts::read_whole(&beam(&rest), &BTreeSet::new());
        match *gone {
            b"AtU8" => assert_eq!(read, Err(BeamError::MissingChunk("AtU8"))),
            b"Code" => assert_eq!(read.expect("a beam").code.walked, ReadExtent::Partly),
            _ => assert_eq!(
                read.expect("a beam").code.walked,
                ReadExtent::Whole,
                "{gone:?}"
            ),
        }
    }
}

#[test]
fn an_unknown_instruction_leaves_the_import_table() {
    let original = lists();
    let mut chunks = chunks_of(&original);
    for (id, data) in &mut chunks {
        if *id == b"Code" {
            let start =
                4 + usize::try_from(u32::from_be_bytes(data[..4].try_into().expect("four")))
                    .expect("small");
            data[start] = 0xFE;
        }
    }
    let facts = BeamFacts::read_whole(&beam(&chunks), &BTreeSet::new()).expect("a beam");
    assert_eq!(facts.code.walked, ReadExtent::Partly);
    assert!(facts.code.call_sites.is_empty());
    assert_eq!(
        facts.imports,
        BeamFacts::read(&original).expect("a beam").imports
    );
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; usize::try_from(MAX_BEAM).expect("fits") + 1];
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&zeros).expect("in memory");
    let packed = packed.finish().expect("in memory");
    assert!(packed.len() < 100_000);
    assert_eq!(
        BeamFacts::read(&packed),
        Err(BeamError::TooBig { limit: MAX_BEAM })
    );
    assert_eq!(BeamFacts::read(&packed[..1000]), Err(BeamError::BadGzip));
    assert_eq!(
        BeamFacts::read(&zeros),
        Err(BeamError::TooBig { limit: MAX_BEAM })
    );

    // A literal table that claims 100 bytes and unpacks to 64 MiB.
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&zeros).expect("in memory");
    let literals = [
        100u32.to_be_bytes().to_vec(),
        packed.finish().expect("in memory"),
    ]
    .concat();
    let original = lists();
    let mut chunks = chunks_of(&original)
        .into_iter()
        .filter(|(id, _)| *id != b"LitT")
        .collect::<Vec<_>>();
    chunks.push((b"LitT", literals));
    let file = beam(&chunks);
    assert_eq!(
        BeamFacts::read_whole(&file, &BTreeSet::new()),
        Err(BeamError::BadChunk("LitT"))
    );
    assert!(BeamFacts::read(&file).is_ok());
}

#[test]
fn files_and_patterns() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path();
    let ebin = base.join("lib/odd [name]-1.0/ebin");
    std::fs::create_dir_all(&ebin).expect("made");
    let bytes = lists();
    std::fs::write(ebin.join("lists.beam"), &bytes).expect("written");
    std::fs::write(ebin.join("other.beam"), &bytes).expect("written");
    std::fs::write(ebin.join("cut.beam"), &bytes[..500]).expect("written");
    std::fs::write(ebin.join("readme.txt"), b"no beam").expect("written");
    let names = |patterns: &[&str]| -> Vec<String> {
        let found = beams_of(patterns, base).expect("found");
        found
            .iter()
            .map(|p| {
                p.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    };
    let all = ["cut.beam", "lists.beam", "other.beam"];
    assert_eq!(names(&["lib/*/ebin"]), all);
    assert_eq!(names(&["**/*.beam"]), all);
    assert_eq!(
        names(&["lib/odd [name]-1.0/ebin", "lib/*/ebin/lists.beam"]),
        all
    );
    assert_eq!(names(&["lib/*/ebin/l*.beam"]), ["lists.beam"]);
    assert!(matches!(
        beams_of(&["lib/*/none"], base),
        Err(FileError::Nothing { .. })
    ));
    assert!(matches!(
        beams_of(&["lib/*/ebin/readme.txt"], base),
        Err(FileError::Nothing { .. })
    ));
    assert!(matches!(
        beams_of(&["a/***/b"], base),
        Err(FileError::Pattern { .. })
    ));

    let read = read_beam_file(&ebin.join("lists.beam")).expect("a beam");
    assert_eq!((read.facts.module.as_str(), read.bytes), ("lists", bytes));
    let facts = facts_of(&beams_of(&["lib/*/ebin"], base).expect("found"));
    assert!(matches!(
        &facts[0],
        Err(FileError::Beam {
            error: BeamError::Truncated { .. },
            ..
        })
    ));
    assert!(matches!(&facts[1], Ok(facts) if facts.module.as_str() == "lists"));
    assert!(
        matches!(&facts[2], Err(FileError::OtherModule { module, .. }) if module.as_str() == "lists")
    );
    assert!(matches!(read_beam_file(&ebin), Err(FileError::Io { .. })));
    assert!(matches!(
        read_beam_file(&ebin.join("none.beam")),
        Err(FileError::Io { .. })
    ));
}
