//! Functions of many modules in one module compute what they compute in their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use updo::name::Module;
use updo::twin::{Converters, SUFFIX, excerpt};

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

/// A conversion that needs its module as a whole has a twin, and so has each module that a twin calls; all others are in
/// the excerpt.
#[test]
fn what_belongs_to_a_whole_module_needs_a_twin() {
    let room = Room::new();
    let beams: BTreeMap<Module, Vec<u8>> = [
        ("plain", "code_change(_, S, _) -> {ok, help:f(S)}."),
        ("help", "f(S) -> [S | other:f()]. g() -> module_info()."),
        ("other", "f() -> fun ?MODULE:f/0."),
        (
            "whole",
            "code_change(_, _, _) -> called:code_change(1, module_info(md5), 2).",
        ),
        ("called", "code_change(_, S, _) -> {ok, S}."),
        (
            "both",
            "code_change(_, S, _) -> {ok, S}. code_change(_, N, S, _) -> {ok, N, S}.",
        ),
        ("missing", "code_change(_, S, _) -> plain:nothing(S)."),
    ]
    .into_iter()
    .map(|(name, text)| {
        let text =
            format!("-module({name}).\n-compile([export_all, nowarn_export_all]).\n{text}\n");
        fs::write(room.path().join(format!("{name}.erl")), text).expect("written");
        (Module::new(name), Vec::new())
    })
    .collect();
    assert!(room.run("all_compiled", &[]).is_atom("ok"));
    let beams: BTreeMap<Module, Vec<u8>> = beams
        .into_keys()
        .map(|module| {
            let file = room.path().join(format!("{}.beam", module.as_str()));
            (module, fs::read(file).expect("compiled"))
        })
        .collect();
    let set: BTreeMap<&Module, &[u8]> = beams.iter().map(|(m, b)| (m, &b[..])).collect();
    let wanted = |names: &[&'static str]| -> Vec<_> {
        let found = names
            .iter()
            .map(|name| set.get_key_value(&Module::new(*name)));
        let found = found.map(|found| *found.expect("is there").0);
        found
            .map(|module| (module, &[("code_change", 3), ("code_change", 4)][..]))
            .collect()
    };
    let made = |names: &[&'static str], whole: &BTreeSet<Module>| {
        let made = Converters::of(&set, &wanted(names), whole, installed().otp);
        let entries = made
            .excerpt
            .iter()
            .flat_map(|excerpt| excerpt.entries.keys());
        let twins = made.twins.iter().map(|twin| twin.module.to_string());
        let entries: Vec<String> = entries.map(ToString::to_string).collect();
        (entries.join(" "), twins.collect::<Vec<_>>().join(" "))
    };
    let none = BTreeSet::new();
    let pair = |entries: &str, twins: &str| (entries.to_owned(), twins.to_owned());
    assert_eq!(made(&["plain"], &none), pair("plain", ""));
    assert_eq!(
        made(&["whole", "plain"], &none),
        pair("plain", "called whole")
    );
    assert_eq!(made(&["whole", "called"], &none), pair("", "called whole"));
    assert_eq!(made(&["both"], &none), pair("", "both"));
    // What it calls is not there in the new version: as the twin says it, when it is called.
    assert_eq!(
        made(&["missing"], &none),
        pair("", "help missing other plain")
    );
    // With a function of a plan.
    let by_plan = [Module::new("plain")].into();
    assert_eq!(
        made(&["plain", "called"], &by_plan),
        pair("called", "help other plain")
    );
    // No module has a twin with the name of an excerpt, not even one that is called like it.
    assert!(!excerpt::NAME.ends_with(SUFFIX));
    let found = excerpt::excerpt(&set, wanted(&["plain"]), installed().otp).expect("an excerpt");
    let names: Vec<String> = found.modules.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["help", "other", "plain"]);
    assert_eq!(
        found.entries[&Module::new("plain")],
        "plain@updo:code_change"
    );
}
