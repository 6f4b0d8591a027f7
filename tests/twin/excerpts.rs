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

/// Modules of `-module(NAME). TEXT`, and for some of them which conversions are in an excerpt, which modules have twins,
/// and which have neither.
struct Made(BTreeMap<Module, Vec<u8>>);

impl Made {
    fn of(modules: &[(&str, &str)]) -> Self {
        let room = Room::new();
        for (name, text) in modules {
            let text = format!("-module({name}).\n{text}\n");
            fs::write(room.path().join(format!("{name}.erl")), text).expect("written");
        }
        assert!(room.run("all_compiled", &[]).is_atom("ok"));
        let beam = |name: &str| fs::read(room.path().join(format!("{name}.beam")));
        let beams = modules
            .iter()
            .map(|(name, _)| (Module::new(*name), beam(name).expect("compiled")));
        Self(beams.collect())
    }

    fn of_conversions(&self, names: &[&'static str]) -> [String; 3] {
        let set: BTreeMap<&Module, &[u8]> = self.0.iter().map(|(m, b)| (m, &b[..])).collect();
        let begins = &[("code_change", 3), ("code_change", 4)][..];
        let wanted = names
            .iter()
            .map(|name| set.get_key_value(&Module::new(*name)));
        let wanted: Vec<_> = wanted
            .map(|found| (*found.expect("it is there").0, begins))
            .collect();
        let made = Converters::of(&set, &wanted, &BTreeSet::new(), installed().otp);
        let of_excerpt = made.excerpt.iter().flat_map(|found| found.entries.keys());
        let names = |all: Vec<&Module>| -> String {
            let all: Vec<&str> = all.into_iter().map(Module::as_str).collect();
            all.join(" ")
        };
        [
            names(of_excerpt.collect()),
            names(made.twins.iter().map(|twin| &twin.module).collect()),
            names(made.refused.keys().collect()),
        ]
    }
}

/// A stub of a NIF fails where there is no library, and what `on_load` has set up is missing in a module of another name:
/// of such modules nothing is taken, whichever function is needed.
#[test]
fn of_modules_with_nifs_or_on_load_nothing_is_taken() {
    let made = Made::of(&[
        (
            "plain",
            "-export([code_change/3]). code_change(_, S, _) -> {ok, [S]}.",
        ),
        (
            "stubs",
            "-export([code_change/3, add/1, init/0]). code_change(_, S, _) -> {ok, add(S)}. \
             add(_) -> erlang:nif_error(not_loaded). init() -> erlang:load_nif(\"./stubs\", 0).",
        ),
        (
            "sets_up",
            "-export([code_change/3]). -on_load(init/0). code_change(_, S, _) -> {ok, [S]}. \
             init() -> persistent_term:put(k, 1), ok.",
        ),
        (
            "calls_stubs",
            "-export([code_change/3]). code_change(_, S, _) -> {ok, stubs:add(S)}.",
        ),
        (
            "calls_set_up",
            "-export([code_change/3]). code_change(V, S, E) -> sets_up:code_change(V, S, E).",
        ),
    ]);
    let all = ["plain", "stubs", "sets_up", "calls_stubs", "calls_set_up"];
    assert_eq!(
        made.of_conversions(&all),
        ["plain", "calls_set_up calls_stubs", "sets_up stubs"]
    );
}

/// A call of a function that its module does not export fails, in an excerpt as anywhere else.
#[test]
fn what_is_not_exported_is_not_called_from_outside() {
    let made = Made::of(&[
        (
            "plain",
            "-export([code_change/3]). code_change(_, S, _) -> {ok, help:f(S)}.",
        ),
        ("help", "-export([g/1]). f(S) -> [S]. g(S) -> f(S)."),
        (
            "itself",
            "-export([code_change/3, g/1]). code_change(_, S, _) -> {ok, ?MODULE:f(S)}. \
             f(S) -> [S]. g(S) -> f(S).",
        ),
        (
            "hidden",
            "-export([g/3]). code_change(_, S, _) -> {ok, S}. g(V, S, E) -> code_change(V, S, E).",
        ),
        (
            "one",
            "-export([code_change/3, g/4]). code_change(_, S, _) -> {ok, S}. \
             code_change(_, N, S, _) -> {ok, N, S}. g(V, N, S, E) -> code_change(V, N, S, E).",
        ),
    ]);
    assert_eq!(
        made.of_conversions(&["plain", "itself", "hidden", "one"]),
        ["one", "help hidden itself plain", ""]
    );
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
