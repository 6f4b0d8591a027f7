//! A module's own name, as a name and as data; atom tables of every size and kind.

use std::fs;
use std::path::Path;

use updo::facts::beam::BeamFacts;
use updo::facts::beam::chunk::{Atoms, Chunks};
use updo::name::Module;
use updo::twin::{NoTwin, twin};

use super::room::{Room, agreed, installed};

/// A module of the tests.
fn source(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twin");
    fs::read_to_string(folder.join(name)).expect("readable")
}

/// A room in which version 1 of a module is ready to run, and a twin of version 2.
fn room(module: &str, source: &str) -> Room {
    compiled_by("compiled", module, source)
}

fn compiled_by(how: &str, module: &str, source: &str) -> Room {
    let room = Room::new();
    let file = format!("{module}.erl");
    fs::write(room.path().join(&file), source).expect("written");
    assert!(room.run(how, &[file]).is_atom("ok"));
    let path = room.path().join("new.beam");
    let new = fs::read(&path).expect("compiled");
    let refused = room.twins(&[(path, Module::new(module), new)]);
    assert!(refused.is_empty(), "{refused:?}");
    room
}

#[test]
fn the_own_name_as_data_means_the_running_module() {
    let facts = agreed(&room("own", &source("own.erl")).run("own", &[]));
    println!("twins: {facts} uses of a module's own name");
    assert!(facts > 25, "{facts}");
}

/// Compiled for a debugger and loaded by a node that was started for one: `scripts/matrix.sh` runs this on OTP 29.
#[test]
fn code_for_a_debugger_has_twins() {
    if installed().otp < 28 {
        return;
    }
    let room = compiled_by("compiled_to_debug", "own", &source("own.erl"));
    assert!(agreed(&room.run_with("+D", "own", &[])) > 25);
}

/// Names behind more than 2,048 atoms are operands of three bytes instead of one.
#[test]
fn operands_grow_in_a_module_of_many_atoms() {
    let mut source = source("own.erl");
    source += "\nmany(N) ->\n    case N of\n";
    for number in 0..2500 {
        source += &format!("        k{number} -> v{number};\n");
    }
    source += "        _ -> own\n    end.\n";
    let source = source.replace("-export([", "-export([many/1, ");
    let room = room("own", &source);
    assert!(agreed(&room.run("own", &[])) > 25);
    let new = fs::read(room.path().join("0.twin")).expect("a twin");
    let chunks = Chunks::parse(&new).expect("chunks");
    assert!(Atoms::read(&chunks).expect("atoms").len() > 5000);
}

#[test]
fn native_records_keep_their_names() {
    // OTP 29 is the first that has them: `scripts/matrix.sh` runs this there.
    if installed().otp < 29 {
        return;
    }
    let room = room("native", &source("native.erl"));
    assert_eq!(agreed(&room.run("native", &[])), 4);
}

/// A beam with nothing but a name, in one of the three kinds of atom table.
fn named(id: &[u8; 4], count: i32, size: &[u8], name: &[u8]) -> Vec<u8> {
    let atoms = [&count.to_be_bytes()[..], size, name].concat();
    let code = [&16u32.to_be_bytes()[..], &[0; 16], &[3]].concat();
    let mut body = b"BEAM".to_vec();
    for (id, data) in [(id, atoms), (b"Code", code)] {
        body.extend(id);
        body.extend(u32::try_from(data.len()).expect("small").to_be_bytes());
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let size = u32::try_from(body.len()).expect("small").to_be_bytes();
    [b"FOR1", &size[..], &body].concat()
}

#[test]
fn atom_tables_keep_their_kind() {
    let set = [].into();
    let long = "ä".repeat(120);
    for (id, count, size, text, name) in [
        (b"Atom", 1, &[3][..], &b"\xE5\xE4\xF6"[..], "åäö".to_owned()),
        (b"AtU8", 1, &[6], "åäö".as_bytes(), "åäö".to_owned()),
        (b"AtU8", -1, &[0x60], "åäö".as_bytes(), "åäö".to_owned()),
        // 240 bytes: since OTP 28 a compact number of two bytes.
        (b"AtU8", -1, &[0x08, 240], long.as_bytes(), long.clone()),
    ] {
        let beam = named(id, count, size, text);
        let made = twin(&beam, &set, 29).expect("a twin");
        assert_eq!(made.module.as_str(), name);
        assert_eq!(made.name.as_str(), format!("{name}@updo"));
        assert_eq!(
            BeamFacts::read(&made.bytes).expect("a beam").module,
            made.name
        );
        let chunks = Chunks::parse(&made.bytes).expect("chunks");
        let table = chunks.get(id).expect("the same kind of table");
        assert_eq!(
            i32::from_be_bytes(*table.first_chunk().expect("a count")),
            2 * count
        );
        assert_eq!(Atoms::read(&chunks).expect("atoms").text(2), Some(&*name));
    }
}

#[test]
fn a_name_needs_room_for_its_ending() {
    let set = [].into();
    let refused = |beam: &[u8]| twin(beam, &set, 29).expect_err("too long");
    let fits = "n".repeat(250);
    let made = twin(&named(b"AtU8", 1, &[250], fits.as_bytes()), &set, 29).expect("a twin");
    assert_eq!(made.name.as_str().len(), 255);
    let long = "n".repeat(251);
    assert_eq!(
        refused(&named(b"AtU8", 1, &[251], long.as_bytes())),
        NoTwin::LongName
    );
    // 126 characters are 252 bytes, and a table of before OTP 28 counts bytes.
    let wide = "ä".repeat(126);
    assert_eq!(
        refused(&named(b"AtU8", 1, &[252], wide.as_bytes())),
        NoTwin::LongName
    );
    let since_28 = named(b"AtU8", -1, &[0x08, 252], wide.as_bytes());
    assert!(twin(&since_28, &set, 29).is_ok());
}

/// What a twin calls when some of the set have none.
#[test]
fn a_module_without_a_twin_is_called_by_its_own_name() {
    let room = Room::new();
    let long = "n".repeat(251);
    let write = |module: &str, text: &str| {
        let file = room.path().join(format!("{module}.erl"));
        fs::write(file, text.replace("LONG", &long)).expect("written");
        module.to_owned()
    };
    let beams = [
        write("long", "-module(LONG). -export([f/0]). f() -> ok."),
        write(
            "a",
            "-module(a). -export([f/0]). f() -> [b:f(), n:f(), l:f(), LONG:f(), lists:max([1])].",
        ),
        write("b", "-module(b). -export([f/0]). f() -> a:f()."),
        write(
            "n",
            "-module(n). -export([f/0]). f() -> erlang:load_nif(\"x\", 0).",
        ),
        write("l", "-module(l). -on_load(f/0). -export([f/0]). f() -> ok."),
    ];
    assert!(room.run("all_compiled", &[]).is_atom("ok"));
    let beams = beams.map(|module| {
        let path = room.path().join(format!("{module}.beam"));
        let bytes = fs::read(&path).expect("compiled");
        let module = if module == "long" { &long } else { &module };
        (path, Module::new(module), bytes)
    });
    let refused = room.twins(&beams);
    assert_eq!(
        refused.into_iter().collect::<Vec<_>>(),
        [
            (Module::new("l"), NoTwin::OnLoad),
            (Module::new("n"), NoTwin::Nif),
            (Module::new(&*long), NoTwin::LongName),
        ]
    );
    let twin = fs::read(room.path().join("0.twin")).expect("the twin of a");
    let facts = BeamFacts::read(&twin).expect("a beam");
    let called: Vec<String> = facts.imports.iter().map(ToString::to_string).collect();
    for name in ["b@updo", "n", "l", "lists", &*long] {
        let start = format!("{}:", Module::new(name));
        assert!(
            called.iter().any(|to| to.starts_with(&start)),
            "{name} in {called:?}"
        );
    }
    assert_eq!(agreed(&room.run("loads", &[])), 2);
}
