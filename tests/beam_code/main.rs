//! What code shows: a module with one example of each kind of evidence, compiled here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use updo::facts::beam::code::effects::{Bodies, Doing, verdict};
use updo::facts::beam::debug::records;
use updo::facts::beam::{BeamFacts, Evidence, Function, ReadExtent};
use updo::name::Module;
use updo::term::Term;

fn compiled(compiler: &str, flags: &[&str], source: &str, beam: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let source: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/beam_code")
        .join(source);
    let output = Command::new(compiler)
        .args(flags)
        .arg("-o")
        .arg(folder.path())
        .arg(&source)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("these tests need {compiler}: {error}"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    std::fs::read(folder.path().join(beam)).expect("a beam")
}

fn shapes(flags: &[&str]) -> Vec<u8> {
    compiled("erlc", flags, "shapes.erl", "shapes.beam")
}

fn whole(bytes: &[u8], wanted: &[&str]) -> BeamFacts {
    let wanted: BTreeSet<Module> = wanted.iter().map(Module::new).collect();
    let facts = BeamFacts::read_whole(bytes, &wanted).expect("a beam");
    assert_eq!(facts.code.walked, ReadExtent::Whole);
    facts
}

fn place(from: &Function) -> String {
    format!("{}/{}", from.name, from.arity)
}

/// Hidden references as text: `from -> module[:function[/arity]] evidence`.
fn hidden(facts: &BeamFacts) -> BTreeSet<String> {
    let text = |hidden: &updo::facts::beam::HiddenRef| {
        let from = hidden.from.as_ref().map_or("-".to_owned(), place);
        let function = match &hidden.function {
            Some((name, Some(arity))) => format!(":{name}/{arity}"),
            Some((name, None)) => format!(":{name}"),
            None => String::new(),
        };
        format!(
            "{from} -> {}{function} {:?}",
            hidden.module.as_str(),
            hidden.evidence
        )
    };
    facts.code.hidden.iter().map(text).collect()
}

#[test]
fn hidden_references_of_every_kind() {
    let facts = whole(
        &shapes(&["+debug_info"]),
        &["shapes_bare", "shapes_child", "table"],
    );
    let found = hidden(&facts);
    for expected in [
        "start/0 -> shapes_server StartCall",
        "keyword/1 -> shapes_sup StartCall",
        "funs/0 -> shapes_fun:call/2 ExternalFun",
        "funs/0 -> shapes_mfa:run/2 MfaLiteral",
        "funs/0 -> table AtomInLiteral",
        "specs/1 -> shapes_child:start_link/1 MfaLiteral",
        "specs/1 -> shapes_child AtomInCode",
        "specs/1 -> shapes_bare AtomInLiteral",
        "spawned/1 -> shapes_spawned:loop/1 StartCall",
        "spawned/1 -> shapes_rpc:ping/0 StartCall",
        "spawned/1 -> shapes_applied:run StartCall",
    ] {
        assert!(found.contains(expected), "{expected} is not in {found:#?}");
    }
    assert!(
        !found.iter().any(|text| text.contains("> shapes ")),
        "itself: {found:#?}"
    );
    let bare = |e: &&updo::facts::beam::HiddenRef| {
        matches!(e.evidence, Evidence::AtomInCode | Evidence::AtomInLiteral)
    };
    assert!(
        facts
            .code
            .hidden
            .iter()
            .filter(bare)
            .all(|h| { ["shapes_bare", "shapes_child", "table"].contains(&h.module.as_str()) })
    );
}

#[test]
fn calls_through_variables() {
    let facts = whole(&shapes(&[]), &[]);
    let found: Vec<_> = facts
        .code
        .dynamic_calls
        .iter()
        .map(|call| {
            let function = call
                .function
                .as_ref()
                .map(|(name, arity)| (name.to_string(), *arity));
            (place(&call.from), function)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("dynamic/2".to_owned(), Some(("price".to_owned(), Some(1)))),
            ("dynamic/2".to_owned(), None),
            ("spawned/1".to_owned(), Some(("ping".to_owned(), Some(0)))),
        ]
    );
}

#[test]
fn names_registered_and_sent_to() {
    let facts = whole(&shapes(&[]), &[]);
    let names: Vec<_> = facts
        .code
        .registers
        .iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["plain_name", "shapes_name"]);
    let sent: Vec<_> = facts
        .code
        .sends_to
        .iter()
        .map(|(name, from)| format!("{} {}", place(from), name.as_str()))
        .collect();
    assert_eq!(
        sent,
        [
            "calls/1 counter",
            "calls/1 remote",
            "send/1 mailbox",
            "send/1 lookup"
        ]
    );
}

#[test]
fn lines_of_call_sites() {
    let source = include_str!("shapes.erl");
    let line = |text: &str| {
        let at = source
            .lines()
            .position(|line| line.contains(text))
            .expect("in the source");
        u32::try_from(at + 1).expect("small")
    };
    let facts = whole(&shapes(&[]), &[]);
    let site = |function: &str| {
        let mut sites = facts
            .code
            .call_sites
            .iter()
            .filter(|site| *site.to.function == *function);
        let (first, second) = (sites.next().expect("a call"), sites.next());
        assert!(second.is_none(), "{second:?}");
        first.from.line
    };
    assert_eq!(site("cast"), Some(line("gen_server:cast(")));
    assert_eq!(site("map"), Some(line("lists:map(")));
    assert_eq!(site("spawn"), Some(line("spawn(shapes_spawned")));
}

/// The Elixirs of this machine: the one on the path, and those of other releases (`scripts/otp.sh build`).
fn elixirs() -> Vec<PathBuf> {
    let set = std::env::var_os("UPDO_OTP_DIR").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/updo/releases"));
    let releases = set
        .or_else(usual)
        .and_then(|folder| std::fs::read_dir(folder).ok());
    let others = releases
        .into_iter()
        .flatten()
        .flatten()
        .map(|release| release.path().join("opt/updo/elixirc"))
        .filter(|elixirc| elixirc.exists());
    ["elixirc".into()].into_iter().chain(others).collect()
}

/// `map.field` is no call, whatever else is done with the map; `module.function()` is one.
#[test]
fn fields_of_maps_in_elixir() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beam_code/fields.ex");
    for root in elixirs() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(&root);
        command.arg("-o").arg(folder.path()).arg(&source);
        let output = command.env("LC_ALL", "C.UTF-8").output().expect("elixirc");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let beam = folder.path().join("Elixir.Shapes.Fields.beam");
        let beam = std::fs::read(beam).expect("a beam");
        let facts = whole(&beam, &[]);
        let calls = facts.code.dynamic_calls.iter();
        let (doubtful, calls): (Vec<_>, Vec<_>) = calls.partition(|call| call.or_field);
        let calls: Vec<_> = calls.iter().map(|call| place(&call.from)).collect();
        let bodies = Bodies::read(&beam);
        let does = |name: &str| {
            let module = Module::new("Elixir.Shapes.Fields");
            verdict(&module, &[(name, 1)], &|_| Some(&bodies)).doing
        };
        let fields = ["one", "sum", "nested", "each", "in_try"];
        if doubtful.is_empty() {
            let expected = [
                "call/1",
                "call_both/1",
                "call_given/2",
                "called_by_name/1",
                "with_arguments/2",
            ];
            assert_eq!(calls, expected, "{root:?}");
            // A conversion with fields computes, so that it is tried on live states.
            assert_eq!(fields.map(does), [Doing::Pure; 5], "{root:?}");
        } else {
            // Elixir 1.10, see below.
            assert_eq!(calls, ["called_by_name/1", "with_arguments/2"], "{root:?}");
            assert_eq!(fields.map(does), [Doing::Unknown; 5], "{root:?}");
        }
        for call in ["call", "call_both", "called_by_name"] {
            assert_eq!(does(call), Doing::Unknown, "{call}: {root:?}");
        }
        assert_eq!(does("kept"), Doing::Acts);
    }
}

/// Elixir 1.10 wrote the same code for `map.field` and `module.field()`: these are in doubt.
#[test]
fn fields_of_maps_in_older_elixir() {
    let beam = compiled("erlc", &[], "fields_10.erl", "fields_10.beam");
    let facts = whole(&beam, &[]);
    let calls = facts.code.dynamic_calls.iter();
    let calls: Vec<_> = calls
        .map(|call| (place(&call.from), call.or_field))
        .collect();
    let expected = [
        ("one/1", true),
        ("two/1", true),
        ("two/1", true),
        ("call/1", false),
        ("another/1", false),
        ("is_module/1", false),
    ];
    let expected = expected.map(|(place, doubt)| (place.to_owned(), doubt));
    assert_eq!(calls, expected);
}

#[test]
fn behaviours_in_both_spellings() {
    let facts = BeamFacts::read(&shapes(&[])).expect("a beam");
    let names: Vec<_> = facts.behaviours.iter().map(Module::as_str).collect();
    assert_eq!(names, ["gen_server", "supervisor"]);
    assert!(facts.exports("code_change", 3) && !facts.exports("code_change", 4));
    assert_eq!(facts.code.walked, ReadExtent::Not);
}

#[test]
fn compressed_stripped_and_plain_beams_give_the_same_facts() {
    let plain = whole(&shapes(&[]), &["table"]);
    let compressed = whole(&shapes(&["+compressed"]), &["table"]);
    assert_ne!(plain.size, compressed.size);
    // The compiler notes its options, so these differ; nothing else does.
    assert_ne!(plain.compile_info(), compressed.compile_info());
    let (size, compile_info_etf) = (plain.size, plain.compile_info_etf.clone());
    assert_eq!(
        plain,
        BeamFacts {
            size,
            compile_info_etf,
            ..compressed
        }
    );
    let debug = whole(&shapes(&["+debug_info"]), &["table"]);
    assert_eq!(plain.md5, debug.md5);
    assert_eq!(plain.code, debug.code);
}

#[test]
fn record_definitions() {
    let found = records(&shapes(&["+debug_info"]))
        .expect("a beam")
        .expect("debug information");
    let text: Vec<_> = found
        .iter()
        .map(|r| {
            format!(
                "{} {:?}",
                r.name.as_str(),
                r.fields.iter().map(|f| f.as_str()).collect::<Vec<_>>()
            )
        })
        .collect();
    assert_eq!(text, [r#"plain ["id", "name"]"#, r#"typed ["id", "list"]"#]);
    assert_eq!(records(&shapes(&[])).expect("a beam"), None);
}

#[test]
fn code_facts_of_an_elixir_module() {
    let bytes = compiled("elixirc", &[], "shapes.ex", "Elixir.Shapes.Counter.beam");
    let facts = whole(&bytes, &["Elixir.Shapes.Registry"]);
    let names: Vec<_> = facts
        .code
        .registers
        .iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Elixir.Shapes.Built",
            "Elixir.Shapes.Name",
            "Elixir.Shapes.Registry"
        ]
    );
    let sent: BTreeSet<_> = facts
        .code
        .sends_to
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(sent.into_iter().collect::<Vec<_>>(), ["Elixir.Shapes.Name"]);
    let mut fields: Vec<_> = facts
        .code
        .struct_fields
        .as_ref()
        .expect("a struct")
        .iter()
        .map(|f| f.as_str())
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, ["id", "name", "tags"]);
    let found = hidden(&facts);
    assert!(
        found.contains("start_other/1 -> Elixir.Shapes.Other StartCall"),
        "{found:#?}"
    );
    assert!(
        found.contains("children/1 -> Elixir.Shapes.Registry AtomInLiteral"),
        "{found:#?}"
    );
    assert!(
        matches!(facts.vsn(), Term::Int(_) | Term::Big(_)),
        "{:?}",
        facts.vsn()
    );
    assert_eq!(records(&bytes).expect("a beam"), None);
}
