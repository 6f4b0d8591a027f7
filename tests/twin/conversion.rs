//! What conversions do, from compiled examples: the verdict, and the place that decides it.

use std::collections::BTreeMap;
use std::fs;

use updo::name::Module;
use updo::twin::conversion::{Conversion, Effect, Kind};

use super::room::Room;

/// Modules compiled together, and what their conversions do.
struct World(BTreeMap<Module, Vec<u8>>);

impl World {
    fn new(sources: &[(&str, &str)]) -> Self {
        let room = Room::new();
        let mut beams = BTreeMap::new();
        for (module, text) in sources {
            let file = format!("{module}.erl");
            let text =
                format!("-module({module}).\n-compile([export_all, nowarn_export_all]).\n{text}");
            fs::write(room.path().join(&file), text).expect("written");
            let to = format!("{module}.beam");
            let args = [file, to.clone(), "1".to_owned()];
            assert!(room.run("compiled", &args).is_atom("ok"));
            let beam = fs::read(room.path().join(to)).expect("compiled");
            beams.insert(Module::new(module), beam);
        }
        Self(beams)
    }

    fn of(&self, module: &str, kind: Kind) -> Conversion {
        let world = |module: &Module| self.0.get(module).map(|beam| &beam[..]);
        Conversion::of(&Module::new(module), kind, &world)
    }
}

fn places<'a>(places: impl Iterator<Item = &'a updo::facts::code::effects::Place>) -> Vec<String> {
    places.map(ToString::to_string).collect()
}

/// `code_change/3` with this body for the state `S`, in a module with these other functions.
fn server(body: &str, more: &str) -> Conversion {
    let text = format!("code_change(_, S, _) -> {body}.\n{more}");
    World::new(&[("server", &text)]).of("server", Kind::Server)
}

#[test]
fn conversions_that_compute() {
    for (body, more) in [
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
    ] {
        let found = server(body, more);
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
    for (body, place) in [
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
    ] {
        let found = server(body, "");
        assert_eq!(found.effect, Effect::Reads, "{body}: {:?}", found.places);
        let all = places(found.reading());
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
    for (body, place) in [
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
        ("{ok, apply(S, [])}", "erlang:apply/2"),
        (
            "{ok, deep(S)}",
            "erlang:send_after/3 in server:deeper/1, line 5",
        ),
    ] {
        let found = server(
            body,
            "deep(X) -> {deeper(X), 1}.\ndeeper(X) -> erlang:send_after(1, self(), X).",
        );
        assert_eq!(found.effect, Effect::Acts, "{body}: {:?}", found.places);
        let all = places(found.acting());
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
    // Without the helper's beam nobody knows.
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
    let found = server(
        "{ok, lists:map(fun ?MODULE:one/1, lists:map(fun other:two/1, S))}",
        "one(X) -> {X, 1}.",
    );
    assert_eq!(
        places(found.by_name.iter()),
        ["fun server:one/1 in server:code_change/3, line 3"]
    );
    // The module that is not given may do anything; the own one was looked at.
    assert_eq!(
        places(found.acting()),
        ["other:two/1 in server:code_change/3"].map(|one| format!("{one}, line 3"))
    );
}
