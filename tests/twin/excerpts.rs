//! Functions of many modules in one module compute what they compute in their own.

use super::room::{Room, agreed, beams, installed, setting};

fn args(usual: u64, divisor: u64) -> [String; 2] {
    let count = match setting("UPDO_COUNT", 0) {
        0 => usual,
        many => (many / divisor).max(1),
    };
    [setting("UPDO_SEED", 1).to_string(), count.to_string()]
}

/// An excerpt of applications, and how many functions are in it.
fn excerpt_of(applications: &[&str]) -> (Room, usize) {
    let all: Vec<_> = applications.iter().flat_map(|name| beams(name)).collect();
    let room = Room::new();
    let (functions, modules) = room.excerpt(&all);
    let otp = installed().otp;
    println!(
        "excerpts: OTP {otp}: {functions} functions of {modules} of {} modules of {applications:?} in one",
        all.len()
    );
    (room, functions)
}

#[test]
fn a_compiler_in_one_module_compiles_to_the_same_bytes() {
    let (room, functions) = excerpt_of(&["compiler"]);
    let cases = agreed(&room.run("compile", &args(2, 500)));
    println!("excerpts: {cases} compilations and passes the same");
    assert!(functions > 4000 && cases > 30, "{functions}, {cases}");
}

#[test]
fn a_stdlib_in_one_module_scans_parses_and_prints_the_same() {
    let (room, functions) = excerpt_of(&["stdlib"]);
    let cases = agreed(&room.run("text", &args(2, 500)));
    println!("excerpts: {cases} scans, parses and prints the same");
    assert!(functions > 4000 && cases > 100, "{functions}, {cases}");
}

#[test]
fn a_stdlib_in_one_module_computes_the_same() {
    let (room, functions) = excerpt_of(&["stdlib"]);
    let cases = agreed(&room.run("functions", &args(1000, 1)));
    println!("excerpts: {cases} calls by chance the same");
    assert!(functions > 4000 && cases > 0, "{functions}, {cases}");
}

#[test]
fn an_elixir_in_one_module_parses_and_formats_the_same() {
    if beams("elixir").is_empty() {
        // OTP 23's chroot has no Elixir.
        assert!(installed().otp < 25);
        return;
    }
    let (room, functions) = excerpt_of(&["elixir"]);
    let cases = agreed(&room.run("elixir", &args(2, 500)));
    println!("excerpts: {cases} parses and prints the same");
    assert!(functions > 4000 && cases >= 10, "{functions}, {cases}");
}
