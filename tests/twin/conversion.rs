//! What conversions do, from compiled examples: the verdict, and the place that decides it.

use std::collections::BTreeMap;
use std::fs;

use updo::facts::beam::code::effects::Bodies;
use updo::name::Module;
use updo::twin::conversion::{Conversion, Effect, Kind};

use super::room::Room;

/// Modules compiled together, and what their conversions do.
struct World(BTreeMap<Module, Bodies>);

impl World {
    fn new<S: AsRef<str>>(sources: &[(S, S)]) -> Self {
        let room = Room::new();
        let text = |(module, text): &(S, S)| (module.as_ref().to_owned(), text.as_ref().to_owned());
        let sources: Vec<(String, String)> = sources.iter().map(text).collect();
        for (module, text) in &sources {
            let head = format!("-module({module}).\n-compile([export_all, nowarn_export_all]).");
            let file = room.path().join(format!("{module}.erl"));
            fs::write(file, format!("{head}\n{text}")).expect("written");
        }
        assert!(room.run("all_compiled", &[]).is_atom("ok"));
        let beam = |module: &str| fs::read(room.path().join(format!("{module}.beam")));
        let beams = sources.iter().map(|(module, _)| {
            let beam = beam(module).expect("compiled");
            (Module::new(module), Bodies::read(&beam))
        });
        Self(beams.collect())
    }

    fn of(&self, module: &str, kind: Kind) -> Conversion {
        let world = |module: &Module| self.0.get(module);
        Conversion::of(&Module::new(module), kind, &world)
    }
}

fn places<'a>(
    places: impl Iterator<Item = &'a updo::facts::beam::code::effects::EffectSite>,
) -> Vec<String> {
    places.map(ToString::to_string).collect()
}

/// What `code_change/3` does with each of these bodies for the state `S`, in a module with these other functions.
fn servers(cases: &[(&str, &str)]) -> Vec<Conversion> {
    let source = |(number, (body, more)): (usize, &(&str, &str))| {
        let text = format!("code_change(_, S, _) -> {body}.\n{more}");
        (format!("server{number}"), text)
    };
    let sources: Vec<_> = cases.iter().enumerate().map(source).collect();
    let world = World::new(&sources);
    let of = |(module, _): &(String, String)| world.of(module, Kind::Server);
    sources.iter().map(of).collect()
}

/// Places as text, whatever the number of the module is.
fn shown<'a>(
    all: impl Iterator<Item = &'a updo::facts::beam::code::effects::EffectSite>,
) -> Vec<String> {
    let name = |text: String| {
        let mut parts = text.split("server");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            text + "server" + part.trim_start_matches(|c: char| c.is_ascii_digit())
        })
    };
    places(all).into_iter().map(name).collect()
}

#[test]
fn conversions_that_compute() {
    let cases = [
        ("{ok, S}", ""),
        ("{ok, {S, #{}}}", ""),
        ("{ok, maps:map(fun(_, V) -> {V, 0} end, S)}", ""),
        ("{ok, [X * 2 || X <- S, X > 1]}", ""),
        ("{ok, lists:foldl(fun add/2, 0, S)}", "add(A, B) -> A + B."),
        ("{ok, lists:map(fun erlang:phash2/1, S)}", ""),
        ("F = fun(X) -> X + 1 end, {ok, F(S)}", ""),
        (
            "try {ok, helper(S)} catch _:_ -> {error, S} end",
            "helper({a, X}) -> error(X); helper(X) -> X.",
        ),
        ("{ok, lists:keysort(1, S)}", ""),
    ];
    for ((body, _), found) in cases.iter().zip(servers(&cases)) {
        assert_eq!(found.effect, Effect::Pure, "{body}: {:?}", found.places);
        assert!(
            found.places.is_empty() && found.by_name.is_empty(),
            "{body}"
        );
        assert!(found.can_be_tried());
    }
}

#[test]
fn conversions_that_read() {
    let cases = [
        (
            "{ok, ets:lookup(t, S)}",
            "ets:lookup/2 in server:code_change/3, line 3",
        ),
        (
            "{ok, persistent_term:get(S)}",
            "persistent_term:get/1 in server:code_change/3, line 3",
        ),
        (
            "{ok, application:get_env(a, S)}",
            "application:get_env/2 in server:code_change/3, line 3",
        ),
        (
            "{ok, {whereis(S), S}}",
            "erlang:whereis/1 in server:code_change/3, line 3",
        ),
        (
            "{ok, {erlang:system_time(), S}}",
            "erlang:system_time/0 in server:code_change/3, line 3",
        ),
        // A function that the compiler makes an instruction of.
        (
            "{ok, {node(), S}}",
            "erlang:node/0 in server:code_change/3, line 3",
        ),
        (
            "{ok, {get(S), S}}",
            "erlang:get/1 in server:code_change/3, line 3",
        ),
        ("{ok, [ets:lookup(t, X) || X <- S]}", "ets:lookup/2"),
        ("{ok, lists:map(fun os:getenv/1, S)}", "os:getenv/1"),
    ];
    let sources = cases.map(|(body, _)| (body, ""));
    for ((body, place), found) in cases.iter().zip(servers(&sources)) {
        assert_eq!(found.effect, Effect::Reads, "{body}: {:?}", found.places);
        let all = shown(found.reading());
        assert!(
            all.iter().any(|one| one.starts_with(place)),
            "{body}: {all:?}"
        );
        assert_eq!(found.acting().count(), 0, "{body}");
        assert!(found.can_be_tried());
    }
}

#[test]
fn conversions_that_act_or_cannot_be_known() {
    let cases = [
        (
            "S ! new, {ok, S}",
            "sends a message in server:code_change/3",
        ),
        (
            "{ok, gen_server:call(S, get)}",
            "gen_server:call/2 in server:code_change/3, line 3",
        ),
        ("ets:insert(t, {S}), {ok, S}", "ets:insert/2"),
        ("file:write_file(S, []), {ok, S}", "file:write_file/2"),
        ("spawn(fun() -> S end), {ok, S}", "erlang:spawn/1"),
        ("receive X -> {ok, X} end", "receives a message"),
        ("put(a, S), {ok, S}", "erlang:put/2"),
        (
            "{ok, S:convert()}",
            "calls a function of a module in a variable",
        ),
        ("{ok, S(1)}", "calls a fun"),
        (
            "{ok, lists:map(S, [1])}",
            "calls a fun that it is given, by lists:map/2",
        ),
        (
            "{ok, maps:fold(S, 0, #{a => 1})}",
            "calls a fun that it is given, by maps:fold/3",
        ),
        (
            "{ok, lists:sort(S, [2, 1])}",
            "calls a fun that it is given, by lists:sort/2",
        ),
        (
            "{ok, lists:foreach(fun application:stop/1, S)}",
            "application:stop/1",
        ),
        ("{ok, unknown:convert(S)}", "unknown:convert/1"),
        ("{ok, apply(S, [])}", "calls a fun"),
        (
            "{ok, deep(S)}",
            "erlang:send_after/3 in server:deeper/1, line 5",
        ),
    ];
    let more = "deep(X) -> {deeper(X), 1}.\ndeeper(X) -> erlang:send_after(1, self(), X).";
    let sources = cases.map(|(body, _)| (body, more));
    for ((body, place), found) in cases.iter().zip(servers(&sources)) {
        assert_eq!(found.effect, Effect::Acts, "{body}: {:?}", found.places);
        let all = shown(found.acting());
        assert!(
            all.iter().any(|one| one.starts_with(place)),
            "{body}: {all:?}"
        );
        assert!(!found.can_be_tried());
    }
}

#[test]
fn each_kind_begins_where_its_processes_are_converted() {
    let world = World::new(&[
        (
            "kinds",
            "code_change(_, S, D, _) -> {ok, S, ets:info(D)}.\n\
         init(_) -> helper:children().\n\
         system_code_change(M, _, _, _) -> self() ! M, {ok, M}.",
        ),
        (
            "helper",
            "children() -> {ok, {#{}, [child(N) || N <- [1, 2]]}}.\nchild(N) -> #{id => N, start => {kinds, start, []}}.",
        ),
    ]);
    let effect = |kind| world.of("kinds", kind).effect;
    assert_eq!(effect(Kind::Server), Effect::Reads);
    assert_eq!(effect(Kind::Supervisor), Effect::Pure);
    assert_eq!(effect(Kind::Special), Effect::Acts);
    // Without the helper's beam it is unknown.
    let alone = World::new(&[("kinds", "init(_) -> helper:children().")]);
    let found = alone.of("kinds", Kind::Supervisor);
    assert_eq!(found.effect, Effect::Acts);
    assert_eq!(
        places(found.acting()),
        ["helper:children/0 in kinds:init/1, line 3"]
    );
    // No conversion is no effect.
    assert_eq!(alone.of("kinds", Kind::Server).effect, Effect::Pure);
    assert_eq!(Effect::Reads.to_string(), "reads");
}

/// What a twin calls by a name that is data is the version that runs.
#[test]
fn calls_by_name_are_told() {
    let body = "{ok, lists:map(fun ?MODULE:one/1, lists:map(fun other:two/1, S))}";
    let found = &servers(&[(body, "one(X) -> {X, 1}.")])[0];
    assert_eq!(
        shown(found.by_name.iter()),
        ["fun server:one/1 in server:code_change/3, line 3"]
    );
    // The module that is not given may do anything; the own one was looked at.
    assert_eq!(
        shown(found.acting()),
        ["other:two/1 in server:code_change/3, line 3"]
    );
}
