//! What the program does without a node: `graph --beams` against xref, `diff` of two versions, files that
//! are damaged, archives, pictures.

mod node;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn updo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_updo"))
        .args(["--color", "never", "--no-unicode", "--width", "100"])
        .args(arguments)
        .output()
        .expect("updo starts")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = updo(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    out(&output)
}

/// The `ebin` folders of OTP and Elixir on this machine.
fn ebins() -> Vec<PathBuf> {
    let root = Command::new("erl")
        .args(["-noinput", "-boot", "start_clean", "-eval"])
        .arg("io:put_chars(code:lib_dir()), halt().")
        .output()
        .expect("these tests need Erlang");
    let printed = |output: Output| PathBuf::from(&*String::from_utf8_lossy(&output.stdout));
    let mut libs = vec![printed(root)];
    let elixir = Command::new("elixir")
        .args(["-e", "IO.write(Path.dirname(:code.lib_dir(:elixir)))"])
        .output()
        .expect("these tests need Elixir");
    libs.push(printed(elixir));
    let mut found: Vec<PathBuf> = libs
        .iter()
        .flat_map(|lib| fs::read_dir(lib).expect("a folder of applications"))
        .map(|entry| entry.expect("an entry").path().join("ebin"))
        .filter(|ebin| ebin.is_dir())
        .collect();
    found.sort();
    found
}

fn texts(paths: &[PathBuf]) -> Vec<&str> {
    paths
        .iter()
        .map(|path| path.to_str().expect("UTF-8"))
        .collect()
}

fn beams(folders: &[PathBuf]) -> usize {
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    files
        .filter(|file| {
            let path = file.as_ref().expect("an entry").path();
            path.extension().is_some_and(|e| e == "beam")
        })
        .count()
}

#[test]
fn edges_of_all_beams_are_what_xref_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let answer = folder.path().join("edges");
    let ebins = ebins();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/xref.escript");
    let xref = Command::new("escript")
        .arg(script)
        .arg(&answer)
        .args(&ebins)
        .env("ERL_FLAGS", "+pc unicode")
        .output()
        .expect("escript starts");
    assert!(xref.status.success(), "{}", err(&xref));
    let otp = out(&xref);
    let mut arguments = vec!["graph", "--format", "edges", "--otp", &otp, "--beams"];
    arguments.extend(texts(&ebins));
    let ours = ok(&arguments);
    let theirs = fs::read_to_string(&answer).expect("xref wrote its edges");
    let difference = ours.lines().zip(theirs.lines()).find(|(a, b)| a != b);
    assert_eq!(difference, None);
    assert_eq!(ours.len(), theirs.len());
    let mut sorted: Vec<&str> = ours.lines().collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ours.lines().collect::<Vec<_>>(), "sorted");
    let edges = ours.lines().count();
    assert!(edges > 5_000, "only {edges} edges");
    println!(
        "{edges} edges among {} modules, as xref of OTP {otp} has them",
        beams(&ebins)
    );
}

#[test]
fn the_slow_reader_sees_the_same_edges_and_otp_matters() {
    let ebins = ebins();
    let all = texts(&ebins);
    let with = |more: &[&'static str]| {
        let mut arguments = vec!["graph"];
        arguments.extend(more);
        arguments.push("--beams");
        arguments.extend(&all);
        ok(&arguments)
    };
    let document: Value =
        serde_json::from_str(&with(&["--otp", "25", "--format", "json"])).expect("JSON");
    let listed = document["edges"].as_array().expect("edges").len();
    assert_eq!(
        listed,
        with(&["--otp", "25", "--format", "edges"]).lines().count()
    );
    // The lists of the releases differ, and so do the answers; without --otp it is the newest.
    let newest = with(&["--format", "edges"]);
    assert_eq!(newest, with(&["--otp", "29", "--format", "edges"]));
    assert_ne!(newest, with(&["--otp", "23", "--format", "edges"]));
}

/// Compiles sources into a folder.
fn compile(folder: &Path, options: &[&str], sources: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    for (name, text) in sources {
        fs::write(folder.join(name), text).expect("a source");
    }
    let names = sources.iter().map(|(name, _)| *name);
    let erl: Vec<&str> = names
        .clone()
        .filter(|name| name.ends_with(".erl"))
        .collect();
    let done = Command::new("erlc")
        .args(options)
        .args(&erl)
        .current_dir(folder)
        .output();
    let done = done.expect("erlc starts");
    assert!(done.status.success(), "{}{}", out(&done), err(&done));
    folder.to_owned()
}

/// a ──► b ──► c, d alone
fn chain(folder: &Path) -> PathBuf {
    compile(
        folder,
        &[],
        &[
            ("a.erl", "-module(a). -export([f/0]). f() -> b:f()."),
            ("b.erl", "-module(b). -export([f/0]). f() -> c:f()."),
            ("c.erl", "-module(c). -export([f/0]). f() -> ok."),
            ("d.erl", "-module('Odd-d'). -export([f/0]). f() -> ok.\n"),
        ]
        .map(|(name, text)| {
            if name == "d.erl" {
                ("Odd-d.erl", text)
            } else {
                (name, text)
            }
        }),
    )
}

fn temporary() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn around_takes_a_part_in_every_format() {
    let (_keep, folder) = temporary();
    let ebin = chain(&folder);
    let ebin = ebin.to_str().expect("UTF-8");
    let of = |more: &[&str]| ok(&[&["graph"], more, &["--beams", ebin]].concat());
    assert_eq!(of(&["--format", "edges"]), "a -> b\nb -> c\n");
    assert_eq!(of(&["--format", "edges", "--around", "c"]), "b -> c\n");
    let both = of(&["--format", "edges", "--around", "c", "--depth", "2"]);
    assert_eq!(both, "a -> b\nb -> c\n");
    let text = of(&["--around", "c"]);
    assert_eq!(text, "c\nb\n    calls c: b calls c:f/0\n");
    let dot = of(&["--format", "dot"]);
    assert!(
        dot.contains("\"Odd-d\";") && dot.contains("\"a\" -> \"b\""),
        "{dot}"
    );
    let mermaid = of(&["--format", "mermaid"]);
    assert!(
        mermaid.starts_with("graph LR\n") && mermaid.contains("-->"),
        "{mermaid}"
    );
    let json: Value = serde_json::from_str(&of(&["--format", "json"])).expect("JSON");
    assert_eq!(json["modules"].as_array().map(Vec::len), Some(4));
    let svg = of(&["--format", "svg", "--around", "a"]);
    assert!(svg.contains("2 modules, 1 dependency, no cycles"), "{svg}");

    let unknown = updo(&["graph", "--beams", ebin, "--around", "Odd-e"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        err(&unknown).contains("did you mean `'Odd-d'`?"),
        "{}",
        err(&unknown)
    );
    assert_eq!(of(&["--around", "Odd-d"]), "'Odd-d'\n");
}

#[test]
fn damaged_files_are_named_and_nothing_is_printed() {
    let (_keep, folder) = temporary();
    let ebin = chain(&folder);
    let whole = fs::read(ebin.join("b.beam")).expect("a beam");
    let bad: [(&str, &[u8]); 4] = [
        ("truncated", &whole[..whole.len() / 2]),
        ("not a beam", b"FOR2 is no beam"),
        ("not a beam", b""),
        (
            "inside is c",
            &fs::read(ebin.join("c.beam")).expect("a beam"),
        ),
    ];
    for (why, bytes) in bad {
        fs::write(ebin.join("b.beam"), bytes).expect("writable");
        for format in ["edges", "text", "svg", "json"] {
            let path = ebin.to_str().expect("UTF-8");
            let output = updo(&["graph", "--beams", path, "--format", format]);
            assert_eq!(output.status.code(), Some(1), "{why} {format}");
            assert_eq!(out(&output), "", "{why} {format}");
            let reported = err(&output);
            let reported: String = reported.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                reported.contains("E214") && reported.contains("b.beam"),
                "{reported}"
            );
            assert!(reported.contains(why), "{why}: {reported}");
        }
    }
    let output = updo(&["graph", "--beams", "no/such/folder"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("E213"), "{}", err(&output));
}

#[test]
fn mutated_files_never_bring_the_program_down() {
    let (_keep, folder) = temporary();
    let ebin = chain(&folder);
    let original = fs::read(ebin.join("b.beam")).expect("a beam");
    let (mut state, mut refused, mut read) = (0x2545_F491_4F6C_DD1D_u64, 0, 0);
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("small")
    };
    for round in 0..150 {
        let mut bytes = original.clone();
        match round % 3 {
            0 => bytes.truncate(random(original.len())),
            // Heads of chunks and tables are where it hurts.
            1 => bytes[random(120)] = random(256) as u8,
            _ => {
                for _ in 0..20 {
                    let at = random(bytes.len());
                    bytes[at] = random(256) as u8;
                }
            }
        }
        fs::write(ebin.join("b.beam"), bytes).expect("writable");
        let path = ebin.to_str().expect("UTF-8");
        let output = updo(&["graph", "--beams", path, "--format", "edges"]);
        match output.status.code() {
            Some(0) => read += 1,
            Some(1) => {
                assert!(err(&output).contains("b.beam"), "{}", err(&output));
                refused += 1;
            }
            other => panic!("{other:?}: {}", err(&output)),
        }
    }
    assert!(refused > 50 && read > 0, "{refused} refused, {read} read");
}

#[test]
fn a_module_in_two_folders_is_refused() {
    let (_keep, folder) = temporary();
    let (one, two) = (chain(&folder.join("one")), chain(&folder.join("two")));
    for format in ["edges", "text"] {
        let output = updo(&[
            "graph",
            "--format",
            format,
            "--beams",
            one.to_str().expect("UTF-8"),
            two.to_str().expect("UTF-8"),
        ]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            err(&output).contains("`a` is there twice"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn archives_are_read_as_the_code_server_reads_them() {
    let (_keep, folder) = temporary();
    let ebin = chain(&folder.join("shop-1.0/ebin"));
    let folder = folder.as_path();
    let pack = "{ok, _} = zip:create(\"shop-1.0.ez\", [\"shop-1.0\"], [{uncompress, []}]), halt().";
    let packed = Command::new("erl")
        .args(["-noinput", "-boot", "start_clean", "-eval", pack])
        .current_dir(folder)
        .output()
        .expect("erl starts");
    assert!(packed.status.success(), "{}", err(&packed));
    let plain = ok(&[
        "graph",
        "--format",
        "edges",
        "--beams",
        ebin.to_str().expect("UTF-8"),
    ]);
    let archive = folder.join("shop-1.0.ez");
    for source in [archive.as_path(), folder] {
        let source = source.to_str().expect("UTF-8");
        assert_eq!(
            ok(&["graph", "--format", "edges", "--beams", source]),
            plain
        );
        assert!(ok(&["graph", "--beams", source]).contains("a calls b:f/0"));
    }
    // Damage: every kind of cut is said, with the name of the archive.
    let whole = fs::read(&archive).expect("an archive");
    for size in [0, 10, whole.len() / 2, whole.len() - 3] {
        fs::write(&archive, &whole[..size]).expect("writable");
        let output = updo(&["graph", "--beams", archive.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(1), "{size}");
        assert!(err(&output).contains("shop-1.0.ez"), "{}", err(&output));
    }
}

/// A server, and its version with another state and other behaviours.
const OLD: &str = include_str!("../fixtures/offline/cart_1.erl");
const NEW: &str = include_str!("../fixtures/offline/cart_2.erl");

/// Two versions of an application: a server whose state changed, a module with other line numbers only,
/// one deleted, one new, one the same.
fn versions(folder: &Path) -> (String, String) {
    let app = |vsn: &str, modules: &str, env: &str| {
        format!(
            "{{application, shop, [{{vsn, \"{vsn}\"}}, {{modules, [{modules}]}}, {{applications, [kernel, \
             stdlib]}}, {{env, [{env}]}}]}}."
        )
    };
    let same = "-module(same). -export([f/0]). f() -> ok.\n";
    let (before, after) = (
        "-module(lines). -export([f/1]). f(X) -> 1 + length(X).\n",
        "%% a comment\n-module(lines). -export([f/1]). f(X) -> 1 + length(X).\n",
    );
    let (old, new) = (folder.join("old"), folder.join("new"));
    let options = ["+debug_info", "+deterministic"];
    compile(
        &old,
        &options,
        &[
            ("cart.erl", OLD),
            ("lines.erl", before),
            ("same.erl", same),
            (
                "old_one.erl",
                "-module(old_one). -export([f/0]). f() -> 1.\n",
            ),
        ],
    );
    compile(
        &new,
        &options,
        &[
            ("cart.erl", NEW),
            ("lines.erl", after),
            ("same.erl", same),
            (
                "new_one.erl",
                "-module(new_one). -export([f/0]). f() -> 1.\n",
            ),
        ],
    );
    let write = |folder: &Path, text: String| fs::write(folder.join("shop.app"), text);
    write(
        &old,
        app("1.0", "cart, lines, old_one, same", "{rate, 7}, {gone, 1}"),
    )
    .expect("writable");
    write(
        &new,
        app("1.1", "cart, lines, new_one, same", "{rate, 8}, {tax, vat}"),
    )
    .expect("writable");
    let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
    (text(old), text(new))
}

#[test]
fn diff_lists_what_an_upgrade_must_handle() {
    let (_keep, folder) = temporary();
    let (old, new) = versions(&folder);
    let text = ok(&["diff", "--old", &old, "--new", &new]);
    for line in [
        "shop.app  1.0 -> 1.1",
        "  modules     -old_one  +new_one",
        "  env         -gone: 1",
        "  env         +tax: vat",
        "  env         rate: 7 -> 8",
        "  exports     -total/1  +total/2",
        "  behaviours  +cart_api",
        "  vsn         \"1.0\" -> \"1.1\"",
        "  attribute   author: me -> you",
        "  state       #state{}  -total  +rounding  fields are in another order",
        "              the new version exports no code_change: running processes keep the old form",
        "only line numbers differ: lines",
        "5 modules: 1 changed, 1 new, 1 deleted, 1 with other line numbers only",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "missing {line:?} in\n{text}"
        );
    }
    assert!(text.contains("cart  changed  "), "{text}");
    assert!(
        text.contains("old_one  deleted") && text.contains("new_one  new"),
        "{text}"
    );
    assert!(
        !text.contains("#line") && !text.contains("same  unchanged"),
        "{text}"
    );
    let all = ok(&["diff", "--old", &old, "--new", &new, "--all"]);
    assert!(
        all.contains("same  unchanged") && all.contains("lines  only line numbers differ"),
        "{all}"
    );

    let json = ok(&["diff", "--json", "--old", &old, "--new", &new]);
    let document: Value = serde_json::from_str(&json).expect("JSON");
    let cart = &document["modules"][0];
    assert_eq!(cart["module"], "cart");
    assert_eq!(cart["records"].as_array().map(Vec::len), Some(1));
    assert_eq!(cart["records"][0]["state"], true);
    assert_eq!(cart["records"][0]["fields"]["added"][0], "rounding");
    assert_eq!(cart["records"][0]["fields"]["reordered"], true);
    assert_eq!(document["applications"][0]["env"]["added"]["tax"], "vat");

    let one = ok(&["diff", "lines", "--old", &old, "--new", &new]);
    assert!(one.starts_with("lines  only line numbers differ"), "{one}");
    let typo = updo(&["diff", "crat", "--old", &old, "--new", &new]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(
        err(&typo).contains("did you mean `cart`?"),
        "{}",
        err(&typo)
    );
}

#[test]
fn diff_reports_unknowns_and_refuses_damage() {
    let (_keep, folder) = temporary();
    let (old, new) = versions(&folder);
    compile(Path::new(&old), &[], &[("cart.erl", OLD)]);
    let text = ok(&["diff", "cart", "--old", &old, "--new", &new]);
    assert!(text.contains("records are not compared"), "{text}");

    fs::write(
        Path::new(&new).join("shop.app"),
        "{application, shop, [{vsn, one}]}.",
    )
    .expect("writable");
    let output = updo(&["diff", "--old", &old, "--new", &new]);
    assert_eq!(output.status.code(), Some(1));
    let reported = err(&output);
    assert!(
        reported.contains("E215") && reported.contains("shop.app") && reported.contains("a string"),
        "{reported}"
    );
    fs::write(Path::new(&new).join("shop.app"), "{application, shop, [}.").expect("writable");
    assert_eq!(
        updo(&["diff", "--old", &old, "--new", &new]).status.code(),
        Some(1)
    );
    fs::remove_file(Path::new(&new).join("shop.app")).expect("removable");

    let cart = Path::new(&new).join("cart.beam");
    let bytes = fs::read(&cart).expect("a beam");
    fs::write(&cart, &bytes[..bytes.len() - 40]).expect("writable");
    let output = updo(&["diff", "--old", &old, "--new", &new]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    assert!(err(&output).contains("truncated"), "{}", err(&output));
}

#[test]
fn diff_of_elixir_structs() {
    let (_keep, folder) = temporary();
    let build = |name: &str, source: &str| {
        let ebin = folder.join(name);
        fs::create_dir_all(&ebin).expect("a folder");
        fs::write(ebin.join("line.ex"), source).expect("writable");
        let done = Command::new("elixirc")
            .arg("line.ex")
            .current_dir(&ebin)
            .output();
        assert!(done.expect("elixirc starts").status.success());
        ebin.to_str().expect("UTF-8").to_owned()
    };
    let old = build(
        "old",
        "defmodule Shop.Line do\n  defstruct [:sku, :price]\nend\n",
    );
    let new = build(
        "new",
        "defmodule Shop.Line do\n  defstruct [:sku, :amount, :tax]\nend\n",
    );
    let text = ok(&["diff", "--old", &old, "--new", &new]);
    assert!(text.contains("Shop.Line  changed"), "{text}");
    assert!(
        text.contains("  struct      fields  -price  +amount  +tax\n"),
        "{text}"
    );
    let same = ok(&["diff", "--old", &old, "--new", &old]);
    assert_eq!(
        same,
        "1 module: 0 changed, 0 new, 0 deleted, 0 with other line numbers only\n"
    );
}

#[test]
fn application_files_of_otp_and_elixir_are_read() {
    let mut sources = updo::diag::SourceMap::default();
    let (mut read, mut modules) = (0, 0);
    for ebin in ebins() {
        for path in updo::facts::local::files::apps_in(&ebin) {
            let spec = updo::facts::app::AppSpec::read(&path, &mut sources)
                .unwrap_or_else(|reported| panic!("{}: {reported:?}", path.display()));
            assert!(!spec.vsn.is_empty(), "{}", path.display());
            (read, modules) = (read + 1, modules + spec.modules.len());
        }
    }
    assert!(
        read > 15 && modules > 400,
        "{read} files, {modules} modules"
    );
}

/// Asserts that a picture is well-formed XML, and gives how many modules it names.
fn well_formed(svg: &str) {
    let (mut open, mut rest) = (Vec::new(), svg);
    while let Some(at) = rest.find('<') {
        assert!(
            !rest[..at].contains('>') || open.last() == Some(&"style"),
            "a bare > before {at}"
        );
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..end];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "at {tag}");
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().expect("a name"));
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    let mut words = svg.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(
        !words.any(|word| word == "NaN" || word == "inf"),
        "a place is no number"
    );
}

#[test]
fn pictures_of_everything_are_well_formed() {
    let ebins = ebins();
    let all = texts(&ebins);
    let mut arguments = vec!["graph", "--format", "svg", "--beams"];
    arguments.extend(&all);
    let svg = ok(&arguments);
    well_formed(&svg);
    assert!(svg.contains("prefers-color-scheme: dark") && svg.contains(">stdlib  "));
    // Every application by itself: the other way of drawing.
    for ebin in all {
        if beams(&[PathBuf::from(ebin)]) > 0 {
            well_formed(&ok(&["graph", "--format", "svg", "--beams", ebin]));
        }
    }
}
