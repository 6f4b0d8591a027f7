//! Files that are no beams of their module: the comparison stops, and nothing counts as unchanged.

use std::fs;

use updo::diag::{Code, Diagnostic};

use crate::world::{World, build, text};

fn refused(world: &World, plan: &str) -> Diagnostic {
    match world.prepare(plan) {
        Err(diagnostic) => *diagnostic,
        Ok(upgrade) => panic!("taken: {:?}", upgrade.diagnostics),
    }
}

/// Damages the file of `fx_plain` in both folders and asks both ways.
fn both(damage: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Diagnostic> {
    let world = World::new();
    world.have(&["fx_plain", "fx_lib"]);
    world
        .node
        .eval("[{module, M} = code:load_file(M) || M <- [fx_plain, fx_lib]]");
    // fx_lib changes as well: it must not go through alone.
    world.replace(&["fx_lib"]);
    let file = world.path("fx/ebin/fx_plain.beam");
    let bytes = fs::read(&file).expect("is there");
    fs::write(&file, damage(&bytes)).expect("can be written");
    let push = format!("code push [{:?}].", text(&world.path("fx/ebin")));
    vec![refused(&world, "code on_disk."), refused(&world, &push)]
}

#[test]
fn truncated_beams_stop() {
    // The last bytes belong to a chunk that the emulator does not need: still not the file that was built.
    for keep in [2, 4] {
        for diagnostic in both(|bytes| bytes[..bytes.len() * (keep - 1) / keep].to_vec()) {
            assert_eq!(diagnostic.code, Code::E214, "{diagnostic:?}");
            assert!(diagnostic.title.contains("fx_plain.beam"), "{diagnostic:?}");
        }
    }
    for diagnostic in both(|bytes| bytes[..bytes.len() - 8].to_vec()) {
        assert_eq!(diagnostic.code, Code::E214, "{diagnostic:?}");
    }
}

#[test]
fn files_that_are_no_beams_stop() {
    for diagnostic in both(|_| b"#!/bin/sh\necho no\n".to_vec()) {
        assert_eq!(diagnostic.code, Code::E214, "{diagnostic:?}");
    }
    for diagnostic in both(|_| Vec::new()) {
        assert_eq!(diagnostic.code, Code::E214, "{diagnostic:?}");
    }
}

#[test]
fn a_file_with_another_module_inside_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    build("fx_gone", &[], folder.path());
    let other = fs::read(folder.path().join("fx_gone.beam")).expect("is there");
    for diagnostic in both(|_| other.clone()) {
        assert_eq!(diagnostic.code, Code::E214, "{diagnostic:?}");
        let notes = diagnostic.notes.join("\n") + &diagnostic.title;
        assert!(notes.contains("fx_gone"), "{diagnostic:?}");
    }
}
