//! Whole applications as twins compute what the originals compute: compilers, parsers, printers, libraries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use updo::name::Module;
use updo::twin::NoTwin;

use super::room::{Room, agreed, beams, installed, setting};

type Beam = (PathBuf, Module, Vec<u8>);

/// A room with the twins of these applications as one set.
fn twins_of(applications: &[&str]) -> (Room, usize, BTreeMap<Module, NoTwin>) {
    let all: Vec<Beam> = applications.iter().flat_map(|name| beams(name)).collect();
    let room = Room::new();
    let refused = room.twins(&all);
    (room, all.len() - refused.len(), refused)
}

fn args(usual: u64, divisor: u64) -> [String; 2] {
    let count = match setting("UPDO_COUNT", 0) {
        0 => usual,
        many => (many / divisor).max(1),
    };
    [setting("UPDO_SEED", 1).to_string(), count.to_string()]
}

#[test]
fn a_renamed_compiler_compiles_to_the_same_bytes() {
    let (room, modules, refused) = twins_of(&["compiler"]);
    assert!(refused.is_empty(), "{refused:?}");
    let cases = agreed(&room.run("compile", &args(2, 500)));
    println!(
        "twins: OTP {}: a compiler of {modules} twins: {cases} compilations and passes the same",
        installed().otp
    );
    assert!(modules > 50 && cases > 30, "{modules}, {cases}");
}

#[test]
fn a_renamed_stdlib_scans_parses_and_prints_the_same() {
    let (room, modules, _) = twins_of(&["stdlib"]);
    let cases = agreed(&room.run("text", &args(2, 500)));
    println!(
        "twins: OTP {}: a stdlib of {modules} twins: {cases} scans, parses and prints the same",
        installed().otp
    );
    assert!(modules > 80 && cases > 100, "{modules}, {cases}");
}

#[test]
fn a_renamed_stdlib_computes_the_same() {
    let (room, modules, _) = twins_of(&["stdlib"]);
    let cases = agreed(&room.run("functions", &args(1000, 1)));
    println!(
        "twins: OTP {}: a stdlib of {modules} twins: {cases} calls by chance the same",
        installed().otp
    );
    assert!(modules > 80 && cases > 0, "{modules}, {cases}");
}

#[test]
fn a_renamed_elixir_parses_and_formats_the_same() {
    let (room, modules, _) = twins_of(&["elixir"]);
    if modules == 0 {
        // OTP 23's chroot has no Elixir.
        assert!(installed().otp < 25);
        return;
    }
    let cases = agreed(&room.run("elixir", &args(2, 500)));
    println!(
        "twins: OTP {}: an Elixir of {modules} twins: {cases} parses and prints the same",
        installed().otp
    );
    assert!(modules > 150 && cases >= 10, "{modules}, {cases}");
}
