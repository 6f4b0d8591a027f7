//! Files and regular expressions, whole and damaged, against `systools_lib:read_term/1` and PCRE in `erl`.

use std::fs;

use updo::release::consult::{ConsultErrorKind, consult};
use updo::release::regexp::is_whole_match;
use updo::term::{Term, pretty};

use crate::oracle::Oracle;
use crate::random::{Random, setting};

const PIECES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    "|",
    ".",
    ". ",
    "%",
    "% x\n",
    "\n",
    "'",
    "\"",
    "\\",
    "$a",
    "$\\n",
    "<<",
    ">>",
    "#{",
    "=>",
    "a",
    "A",
    "_",
    "é",
    "日",
    "1",
    "-",
    "+",
    "16#ff",
    "1_000",
    "1.5",
    "1.0e3",
    "fun",
    "m:f/1",
    "'\\x{e5}'",
    "\"\\^a\\101\"",
    "begin",
    "(",
    ")",
    ":",
];

fn text(random: &mut Random) -> String {
    let term = loop {
        let term = random.term(3);
        let shown = term.to_string();
        // What has no written form, and binaries that do not end at a byte.
        if !["#Port", "#Ref", "#Fun", "<0.", ":"]
            .iter()
            .any(|odd| shown.contains(odd))
        {
            break term;
        }
    };
    let mut text = format!("{}.\n", pretty(&term, 80));
    if random.chance(60) {
        for _ in 0..1 + random.below(3) {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let at = *random.pick(&places);
            match random.below(3) {
                0 => text.insert_str(at, random.pick::<&str>(&PIECES)),
                1 => drop(text.remove(at)),
                _ => text.truncate(at),
            }
            if text.is_empty() {
                break;
            }
        }
    }
    if random.chance(5) {
        text = format!("%% -*- coding: latin-1 -*-\n{text}");
    }
    text
}

#[test]
fn files_are_read_as_systools_reads_them() {
    let (seed, count) = (setting("UPDO_SEED", 1), setting("UPDO_COUNT", 1500));
    let mut oracle = Oracle::start();
    let mut random = Random::new(seed ^ 0x7ead);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    let (mut good, mut read, mut parse, mut own) = (0, 0, 0, 0);
    for round in 0..count {
        let text = text(&mut random);
        fs::write(&file, &text).expect("a file");
        let path = Term::string(file.to_str().expect("UTF-8"));
        let theirs = oracle.ask(&Term::tuple([Term::atom("read"), path]));
        let ours = consult(&file);
        let context =
            || format!("seed {seed} round {round}\n{text}\nerl: {theirs}\nours: {ours:?}");
        match (theirs.as_tuple(), &ours) {
            (Some([ok, term]), Ok(found)) if ok.is_atom("ok") => {
                good += 1;
                assert_eq!(found.term, *term, "{}", context());
            }
            // Segments of binaries that resource files do not have are refused, and said so.
            (Some([ok, _]), Err(failure)) if ok.is_atom("ok") => {
                own += 1;
                assert!(failure.what.contains("in a binary"), "{}", context());
            }
            (Some([_, why]), Err(failure)) => {
                let kind = match failure.kind {
                    ConsultErrorKind::Open => "open",
                    ConsultErrorKind::Read => "read",
                    ConsultErrorKind::Parse => "parse",
                };
                assert!(why.is_atom(kind), "{}", context());
                *(if kind == "read" {
                    &mut read
                } else {
                    &mut parse
                }) += 1;
            }
            _ => panic!("{}", context()),
        }
    }
    println!(
        "systools_lib:read_term: {count} files: {good} terms, {read} unreadable, {parse} no terms, \
         {own} refused by updo alone; 0 disagreements (seed {seed})"
    );
    assert!(good * 4 > count && (read + parse) * 10 > count && own * 50 <= count);
}

const ATOMS: [&str; 34] = [
    "1",
    "0",
    "2",
    "\\.",
    ".",
    "[0-9]",
    "\\d",
    "\\w",
    "[^.]",
    "[.]",
    "(1)",
    "(?:1|1\\.0)",
    "(1|1.0)",
    "1.0|1",
    "|",
    "^",
    "$",
    "\\A",
    "\\z",
    "\\Z",
    "\\b",
    "(?=1)",
    "(?!2)",
    "(?<=1)",
    "(?i)",
    "\\1",
    "[[:digit:]]",
    "[]1]",
    "[a&&1]",
    "\\Q1.0\\E",
    "-rc",
    "{",
    "(?>1|1\\.)",
    "[[1]",
];
const REPEATS: [&str; 10] = ["", "", "", "", "*", "+", "?", "*?", "{1,2}", "{2}"];

#[test]
fn expressions_match_as_in_erl() {
    let (seed, count) = (setting("UPDO_SEED", 1), setting("UPDO_COUNT", 1500));
    let mut oracle = Oracle::start();
    let mut random = Random::new(seed ^ 0x9c9e);
    let (mut matching, mut not, mut bad, mut unsupported, mut defects) = (0, 0, 0, 0, 0);
    for round in 0..count {
        let mut pattern = String::new();
        for _ in 0..1 + random.below(5) {
            let atom = *random.pick::<&str>(&ATOMS);
            pattern += atom;
            // Hardly anything about places can be repeated.
            let place = [
                "|", "^", "$", "\\A", "\\z", "\\Z", "\\b", "(?=", "(?!", "(?<", "(?i", "{",
            ];
            if !place.iter().any(|p| atom.starts_with(p)) || random.chance(10) {
                pattern += *random.pick::<&str>(&REPEATS);
            }
        }
        let vsn = *random.pick(&["1", "1.0", "10.2.1", "1.0-rc1", "2.10", "a1", "[1", ""]);
        let theirs = oracle.ask(&Term::tuple([
            Term::atom("regexp"),
            Term::string(vsn),
            Term::binary(&pattern),
        ]));
        let ours = is_whole_match(pattern.as_bytes(), vsn);
        let context =
            format!("seed {seed} round {round}: {pattern} on {vsn:?}: {theirs}, {ours:?}");
        match &ours {
            Ok(_) if theirs.is_atom("defect") => defects += 1,
            Ok(matched) => {
                *(if *matched { &mut matching } else { &mut not }) += 1;
                assert!(
                    theirs.is_atom(if *matched { "true" } else { "false" }),
                    "{context}"
                );
            }
            Err(_) if theirs.is_atom("bad") => bad += 1,
            Err(_) => unsupported += 1,
        }
    }
    println!(
        "re: {count} expressions: {matching} match, {not} do not, {bad} are none, {unsupported} refused by \
         updo alone, {defects} defects of PCRE; 0 disagreements (seed {seed})"
    );
    assert!(matching * 40 > count && unsupported * 20 < count);
}
