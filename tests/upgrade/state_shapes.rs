//! What the analysis of states says of pairs of versions, from compiled examples: silence on every right upgrade, and
//! the callbacks that fail on a wrong one. Without a node: the state is what the old `init/1` makes.

use std::path::Path;

use tempfile::TempDir;

use updo::facts::beam::states::{Callbacks, Version, misfit};
use updo::name::Module;
use updo::term::Term;

use crate::inferred_children::elixir;
use crate::support::compiler::compile;

/// What is said.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Nothing,
    Fails(String),
    May(String),
}

fn said(old: &[u8], new: &[u8], module: &str, callbacks: Callbacks) -> Said {
    let module = Module::new(module);
    let read = |beam: &[u8]| Version::read(&module, beam).expect("readable code");
    let (mut old, mut new) = (read(old), read(new));
    let initial = old.initial(callbacks);
    assert!(!initial.is_empty(), "{module}: init/1 shows no state");
    for before in initial {
        let converted = new.converted(callbacks, &before, &Term::string("1"), &Term::list([]));
        for after in converted.unwrap_or_else(|| vec![before.clone()]) {
            let Some(found) = misfit(&mut new, Some(&mut old), callbacks, &before, &after) else {
                continue;
            };
            let names: Vec<String> = found
                .callbacks
                .iter()
                .map(|f| format!("{}/{}", f.name, f.arity))
                .collect();
            let wanted: Vec<String> = found.wanted.iter().map(ToString::to_string).collect();
            let text = format!("{}: {}", names.join(" "), wanted.join(" | "));
            return if found.certain {
                Said::Fails(text)
            } else {
                Said::May(text)
            };
        }
    }
    Said::Nothing
}

/// Both versions of each, compiled together.
fn pairs(cases: &[(&str, &str)], callbacks: Callbacks) -> Vec<Said> {
    let folder = TempDir::new().expect("a folder");
    let place = |version: &str| {
        let place = folder.path().join(version);
        std::fs::create_dir(&place).expect("a folder");
        place
    };
    let (one, two) = (place("one"), place("two"));
    let write = |place: &Path, number: usize, text: &str| {
        let head = format!(
            "-module(m{number}).\n-compile([export_all, nowarn_export_all, nowarn_unused_record, nowarn_unused_vars]).\n"
        );
        let file = place.join(format!("m{number}.erl"));
        std::fs::write(&file, head + text).expect("a source");
        file
    };
    let mut sources = (Vec::new(), Vec::new());
    for (number, (old, new)) in cases.iter().enumerate() {
        sources.0.push(write(&one, number, old));
        sources.1.push(write(&two, number, new));
    }
    compile(&one, &["debug_info"], &sources.0);
    compile(&two, &["debug_info"], &sources.1);
    let beam = |place: &Path, number: usize| {
        std::fs::read(place.join(format!("m{number}.beam"))).expect("a beam")
    };
    (0..cases.len())
        .map(|number| {
            let module = format!("m{number}");
            said(&beam(&one, number), &beam(&two, number), &module, callbacks)
        })
        .collect()
}

const ROW: &str = "-record(st, {a, b}).\ninit(_) -> {ok, #st{}}.\n\
                   handle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
                   handle_cast({put, A}, #st{} = S) -> {noreply, S#st{a = A}}.\n";

const MAP: &str = "init(_) -> {ok, #{a => 1, b => 2}}.\n\
                   handle_call(get, _, #{a := A} = S) -> {reply, A, S}.\nhandle_cast(_, S) -> {noreply, S}.\n";

#[test]
fn right_upgrades_of_servers_are_met_with_silence() {
    let cases = [
        // A record that grew, and its conversion.
        (
            ROW,
            "-record(st, {a, b, c = 0}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
               handle_cast({put, A}, #st{} = S) -> {noreply, S#st{a = A}}.\n\
               code_change(_, {st, A, B}, _) -> {ok, #st{a = A, b = B}}.",
        ),
        // The same by list functions, whose result is not followed.
        (
            ROW,
            "-record(st, {a, b, c = 0}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
               code_change(_, S, _) -> {ok, list_to_tuple(tuple_to_list(S) ++ [0])}.",
        ),
        // Clauses for both shapes, no conversion.
        (
            ROW,
            "-record(st, {a, b, c = 0}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(M, F, {st, A, B}) -> handle_call(M, F, #st{a = A, b = B});\n\
               handle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
               handle_cast(M, S) when tuple_size(S) =:= 3 -> handle_cast(M, grown(S));\n\
               handle_cast({put, A}, #st{} = S) -> {noreply, S#st{a = A}}.\n\
               grown({st, A, B}) -> #st{a = A, b = B}.",
        ),
        // Every callback makes a new state of an old one first.
        (
            ROW,
            "-record(st, {a, b, c = 0}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, S0) -> #st{a = A} = S = up(S0), {reply, A, S}.\n\
               handle_cast({put, A}, S) -> {noreply, (up(S))#st{a = A}}.\n\
               up(#st{} = S) -> S;\nup(S) -> erlang:append_element(S, 0).",
        ),
        // Taken apart by number.
        (
            ROW,
            "init(_) -> {ok, {st, 1, 2}}.\nhandle_call(get, _, S) -> {reply, element(2, S), S}.\n\
               handle_cast({put, A}, S) -> {noreply, setelement(2, S, A)}.",
        ),
        // A field of another name.
        (
            ROW,
            "-record(st, {first, b}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, #st{first = A} = S) -> {reply, A, S}.\n\
               handle_cast({put, A}, #st{} = S) -> {noreply, S#st{first = A}}.",
        ),
        // A guard on the record.
        (
            ROW,
            "-record(st, {a, b}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, S) when is_record(S, st) -> {reply, S#st.a, S};\n\
               handle_call(_, _, S) -> {reply, no, S}.\nhandle_cast(_, S) -> {noreply, S}.",
        ),
        (
            ROW,
            "-record(st, {a, b}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, S) when is_record(S, st, 3), S#st.a =/= x -> {reply, S#st.a, S}.\n\
               handle_cast(_, S) when is_tuple(S), tuple_size(S) >= 3 -> {noreply, S}.",
        ),
        // The state was wrapped, and is taken out.
        (
            ROW,
            "init(_) -> {ok, {v2, x}}.\nhandle_call(get, _, {v2, S}) -> {reply, S, {v2, S}}.\n\
               code_change(_, S, _) -> {ok, {v2, S}}.",
        ),
        // It was a record and is a map now.
        (
            ROW,
            "init(_) -> {ok, #{a => 1}}.\nhandle_call(get, _, #{a := A} = S) -> {reply, A, S}.\n\
               code_change(_, {st, A, B}, _) -> {ok, #{a => A, b => B}}.",
        ),
        // A conversion of which one clause fits.
        (
            ROW,
            "-record(st, {a, b, c}).\ninit(_) -> {ok, #st{}}.\nhandle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
               code_change(_, #st{} = S, _) -> {ok, S};\ncode_change(_, {st, A, B}, _) -> {ok, #st{a = A, b = B}}.",
        ),
        // Nothing but a call that stops.
        (
            ROW,
            "init(_) -> {ok, x}.\nhandle_call(_, _, S) -> {stop, normal, S}.\nhandle_cast(_, S) -> exit(bye).",
        ),
        // Both raise for what they do not know.
        (
            ROW,
            "-record(st, {a, b}).\ninit(_) -> {ok, #st{}}.\n\
               handle_call(get, _, #st{a = A} = S) -> {reply, A, S};\nhandle_call(M, _, _) -> error({unknown, M}).",
        ),
        // A callback that never returns, in either version.
        (
            ROW,
            "-record(st, {a, b}).\ninit(_) -> {ok, #st{}}.\nhandle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
               handle_cast(_, _) -> error(no_casts).",
        ),
        // What is new in a map is read with a default.
        (
            MAP,
            "init(_) -> {ok, #{a => 1, b => 2, c => 3}}.\n\
               handle_call(get, _, S) -> {reply, maps:get(c, S, 0), S};\n\
               handle_call(all, _, #{a := A, b := B} = S) -> {reply, {A, B}, S}.\nhandle_cast(_, S) -> {noreply, S}.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, #{c := C} = S) -> {reply, C, S};\n\
               handle_call(get, _, #{a := A} = S) -> {reply, A, S}.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S) -> \n\
               case S of #{c := C} -> {reply, C, S}; #{} -> {reply, none, S} end.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S) when is_map_key(c, S) -> {reply, map_get(c, S), S};\n\
               handle_call(get, _, S) -> {reply, none, S}.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S) ->\n\
               case maps:is_key(c, S) of true -> {reply, maps:get(c, S), S}; false -> {reply, none, S} end.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S) ->\n\
               try maps:get(c, S) of C -> {reply, C, S} catch error:{badkey, c} -> {reply, none, S} end.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S0) ->\n\
               S = maps:merge(#{c => 0}, S0), #{c := C} = S, {reply, C, S}.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S0) -> S = S0#{c => 0}, {reply, maps:get(c, S), S}.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, #{c := C} = S) -> {reply, C, S};\n\
               handle_call(get, F, S) -> handle_call(get, F, maps:put(c, 0, S)).",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 3}}.\nhandle_call(get, _, S) -> case maps:find(c, S) of {ok, C} -> {reply, C, S}; error -> {reply, none, S} end.",
        ),
        // Converted, by a helper.
        (
            MAP,
            "init(_) -> {ok, new()}.\nnew() -> #{a => 1, b => 2, c => 3}.\n\
               handle_call(get, _, #{c := C} = S) -> {reply, C, S}.\ncode_change(_, S, _) -> {ok, maps:merge(new(), S)}.",
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1}}.\nhandle_call(get, _, #{c := C} = S) -> {reply, C, S}.\n\
               code_change(_, S, _) -> {ok, S#{c => 3}}.",
        ),
        // A key that comes with an event, and is asked for after it.
        (
            MAP,
            "init(_) -> {ok, #{a => 1}}.\nhandle_call(get, _, #{a := A} = S) -> {reply, A, S};\n\
               handle_call({open, F}, _, S) -> {reply, ok, S#{file => F}};\n\
               handle_call(close, _, #{file := _} = S) -> {reply, ok, maps:remove(file, S)}.",
        ),
        // A state before its time: the former version had it as well.
        (
            "init(_) -> {ok, starting, {continue, go}}.\nhandle_continue(go, starting) -> {noreply, #{a => 1}}.\n\
          handle_call(get, _, #{a := A} = S) -> {reply, A, S}.",
            "init(_) -> {ok, starting, {continue, go}}.\nhandle_continue(go, starting) -> {noreply, #{a => 1, b => 2}}.\n\
          handle_call(get, _, #{a := A} = S) -> {reply, A, S};\nhandle_call(two, _, #{b := A} = S) -> {reply, A, S}.",
        ),
        // Lists, atoms, numbers.
        (
            "init(_) -> {ok, []}.\nhandle_call(X, _, S) -> {reply, ok, [X | S]}.",
            "init(_) -> {ok, []}.\nhandle_call(X, _, [_ | _] = S) -> {reply, ok, [X | S]};\nhandle_call(X, _, []) -> {reply, first, [X]}.",
        ),
        (
            "init(_) -> {ok, 0}.\nhandle_call(_, _, N) -> {reply, N, N + 1}.",
            "init(_) -> {ok, 0}.\nhandle_call(_, _, N) when is_integer(N), N < 10 -> {reply, N, N + 2};\nhandle_call(_, _, _) -> {reply, 0, 0}.",
        ),
        (
            "init(_) -> {ok, idle}.\nhandle_call(_, _, S) -> {reply, S, S}.",
            "init(_) -> {ok, idle}.\nhandle_call(go, _, idle) -> {reply, ok, busy};\nhandle_call(go, _, busy) -> {reply, no, busy}.",
        ),
        // A queue, and a tuple without a tag.
        (
            "init(_) -> {ok, {queue:new(), 0}}.\nhandle_call(X, _, {Q, N}) -> {reply, N, {queue:in(X, Q), N + 1}}.",
            "init(_) -> {ok, {queue:new(), 0}}.\nhandle_call(X, _, {Q, N}) -> {reply, queue:len(Q), {queue:in(X, Q), N}}.",
        ),
        // The state goes round a loop of the module's own.
        (
            MAP,
            "init(_) -> {ok, #{a => 1}}.\nhandle_call(get, _, S) -> {reply, ok, step(3, S)}.\n\
               step(0, S) -> S;\nstep(N, #{a := A} = S) -> step(N - 1, S#{a := A + 1}).",
        ),
        // Updates of what is there, in both versions.
        (
            MAP,
            "init(_) -> {ok, #{a => 1, b => 1}}.\nhandle_call(get, _, S) -> {reply, ok, S#{a := 2, b := 3}}.",
        ),
        // Handed to another module, of which nothing is known.
        (
            ROW,
            "init(_) -> {ok, other:new()}.\nhandle_call(M, _, S) -> {reply, other:do(M, S), S}.",
        ),
        // By a fun of the module.
        (
            MAP,
            "init(_) -> {ok, #{a => 1}}.\nhandle_call(get, _, S) -> F = fun(#{c := C}) -> C; (#{a := A}) -> A end, {reply, F(S), S}.",
        ),
    ];
    let said = pairs(&cases, Callbacks::Server);
    for ((_, new), said) in cases.iter().zip(&said) {
        assert_eq!(*said, Said::Nothing, "{new}");
    }
    assert!(cases.len() >= 35);
}

#[test]
fn states_that_servers_cannot_take() {
    let fails = |text: &str| Said::Fails(text.to_owned());
    let may = |text: &str| Said::May(text.to_owned());
    let grown = "-record(st, {a, b, c = 0}).\ninit(_) -> {ok, #st{}}.\n\
                 handle_call(get, _, #st{a = A} = S) -> {reply, A, S}.\n\
                 handle_cast({put, A}, S) -> {noreply, S#st{a = A}}.\n";
    let st4 = "{st, …} of 4 elements";
    let cases = [
        (
            ROW,
            grown.to_owned(),
            fails(&format!("handle_call/3 handle_cast/2: {st4}")),
        ),
        (
            ROW,
            format!("{grown}code_change(_, S, _) -> {{ok, S}}."),
            fails(&format!("handle_call/3 handle_cast/2: {st4}")),
        ),
        // What is returned is a part of the state, or an answer in an answer.
        (
            ROW,
            format!("{grown}code_change(_, {{st, A, B}}, _) -> {{ok, {{ok, #st{{a = A}}}}}}."),
            fails(&format!("handle_call/3 handle_cast/2: {st4}")),
        ),
        (
            ROW,
            format!("{grown}code_change(_, {{st, A, B}}, _) -> {{ok, #{{a => A}}}}."),
            fails(&format!("handle_call/3 handle_cast/2: {st4}")),
        ),
        (
            ROW,
            format!("{grown}code_change(_, {{st, A, B}}, _) -> {{ok, []}}."),
            fails(&format!("handle_call/3 handle_cast/2: {st4}")),
        ),
        // One callback of two.
        (
            ROW,
            "init(_) -> {ok, x}.\nhandle_call(_, _, {st, _, _, _} = S) -> {reply, ok, S}.\nhandle_cast(_, S) -> {noreply, S}."
                .to_owned(),
            fails(&format!("handle_call/3: {st4}")),
        ),
        // In a function that it calls.
        (
            ROW,
            "-record(st, {a, b, c}).\ninit(_) -> {ok, #st{}}.\nhandle_call(get, _, S) -> {reply, get_c(S), S}.\n\
             get_c(#st{c = C}) -> C.\nhandle_cast(_, S) -> {noreply, S}."
                .to_owned(),
            fails(&format!("handle_call/3: {st4}")),
        ),
        // Of several events one.
        (
            ROW,
            "-record(st, {a, b, c}).\ninit(_) -> {ok, #st{}}.\nhandle_call(c, _, #st{c = C} = S) -> {reply, C, S};\n\
             handle_call(get, _, S) -> {reply, element(2, S), S}.\nhandle_cast(_, S) -> {noreply, S}."
                .to_owned(),
            may(&format!("handle_call/3: {st4}")),
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 2}}.\nhandle_call(get, _, #{c := C} = S) -> {reply, C, S}.".to_owned(),
            fails("handle_call/3: a map with the key `c`"),
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 2}}.\nhandle_call(get, _, #{a := A} = S) -> {reply, A, S};\n\
             handle_call(c, _, S) -> {reply, maps:get(c, S), S}."
                .to_owned(),
            may("handle_call/3: a map with the key `c`"),
        ),
        (
            MAP,
            "init(_) -> {ok, #{a => 1, c => 2}}.\nhandle_call(get, _, S) -> {reply, ok, S#{c := 3}}.".to_owned(),
            fails("handle_call/3: a map with the key `c`"),
        ),
        // A message that may come only when the key is there.
        (
            MAP,
            "init(_) -> {ok, #{a => 1, timer => x}}.\nhandle_call(get, _, #{a := A} = S) -> {reply, A, S}.\n\
             handle_cast(tick, #{timer := T} = S) -> {noreply, S#{a := T}}."
                .to_owned(),
            may("handle_cast/2: a map with the key `timer`"),
        ),
        (
            MAP,
            "init(_) -> {ok, {st, 1}}.\nhandle_call(get, _, {st, A} = S) -> {reply, A, S}.".to_owned(),
            fails("handle_call/3: {st, …} of 2 elements"),
        ),
    ];
    let sources: Vec<(&str, &str)> = cases.iter().map(|(old, new, _)| (*old, &new[..])).collect();
    let said = pairs(&sources, Callbacks::Server);
    for ((_, new, wanted), said) in cases.iter().zip(&said) {
        assert_eq!(said, wanted, "{new}");
    }
}

#[test]
fn state_machines_handlers_and_special_processes() {
    let lamp = |data: &str, more: &str| {
        format!(
            "init(_) -> {{ok, off, {data}}}.\ncallback_mode() -> state_functions.\n\
             off(_, on, {data} = D) -> {{next_state, on, D}};\noff(_, _, _) -> keep_state_and_data.\n{more}"
        )
    };
    let events = |data: &str| {
        format!(
            "init(_) -> {{ok, off, {data}}}.\ncallback_mode() -> handle_event_function.\n\
             handle_event(_, on, off, {data} = D) -> {{next_state, on, D}};\nhandle_event(_, _, on, _) -> keep_state_and_data."
        )
    };
    let cases = [
        (lamp("{d, 1}", ""), lamp("{d, 1}", "off() -> ok.")),
        // Of `off` every event is taken, so it goes on.
        (lamp("{d, 1}", ""), lamp("{d, 1, 2}", "")),
        (
            events("{d, 1}"),
            events("{d, 1, 2}") + "\ncode_change(_, N, {d, A}, _) -> {ok, N, {d, A, 2}}.",
        ),
        // Only `on` takes it, and it is `off`.
        (events("{d, 1}"), events("{d, 1, 2}")),
    ];
    let sources: Vec<(&str, &str)> = cases
        .iter()
        .map(|(old, new)| (&old[..], &new[..]))
        .collect();
    let fails = Said::Fails("handle_event/4: {d, …} of 3 elements".to_owned());
    let none = Said::Nothing;
    assert_eq!(
        pairs(&sources, Callbacks::StateMachine),
        [none.clone(), none.clone(), none.clone(), fails]
    );
    let bell = |state: &str| {
        format!(
            "init(_) -> {{ok, {state}}}.\nhandle_event(_, {state} = S) -> {{ok, S}}.\nhandle_call(_, S) -> {{ok, S, S}}."
        )
    };
    let cases = [
        (bell("{b, 1}"), bell("{b, 1, 2}")),
        (bell("{b, 1}"), bell("{b, 1}")),
    ];
    let sources: Vec<(&str, &str)> = cases
        .iter()
        .map(|(old, new)| (&old[..], &new[..]))
        .collect();
    let fails = Said::Fails("handle_event/2: {b, …} of 3 elements".to_owned());
    assert_eq!(pairs(&sources, Callbacks::Handler), [fails, none]);
}

/// What Elixir's compiler makes of `state.field`, patterns, updates and `use GenServer`.
#[test]
fn servers_of_elixir() {
    let room = |fields: &str, body: &str| {
        format!(
            "  use GenServer\n  defstruct [{fields}]\n  def init(_), do: {{:ok, %__MODULE__{{}}}}\n{body}\n"
        )
    };
    let old = room(
        "name: 1, users: %{}",
        "  def handle_call(:count, _, s), do: {:reply, s.users, s}",
    );
    let (two, three) = ("name: 1, users: %{}", "name: 1, users: %{}, bonus: 1");
    let bonus = Said::Fails("handle_call/3: a map with the key `bonus`".to_owned());
    let cases = [
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, s.users, s}",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, %__MODULE__{users: u} = s), do: {:reply, u, s}",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, Map.get(s, :bonus, 0), s}",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, %{bonus: b} = s), do: {:reply, b, s}\n  def handle_call(:count, _, s), do: {:reply, 0, s}",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, s) do\n    s = Map.merge(%__MODULE__{}, s)\n    {:reply, s.bonus, s}\n  end",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, s.bonus, s}\n  def code_change(_, s, _), do: {:ok, Map.put(s, :bonus, 1)}",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, s.bonus, s}\n  def code_change(_, s, _), do: {:ok, struct(__MODULE__, Map.from_struct(s))}",
            Said::Nothing,
        ),
        (
            two,
            "  def handle_call(:count, _, s), do: {:reply, s.name, %{s | name: 2}}",
            Said::Nothing,
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, s.users + s.bonus, s}",
            bonus.clone(),
        ),
        (
            three,
            "  def handle_call(:count, _, %{bonus: b} = s), do: {:reply, b, s}",
            bonus.clone(),
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, 1, %{s | bonus: 2}}",
            bonus.clone(),
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, add(s), s}\n  defp add(s), do: s.users + s.bonus",
            bonus.clone(),
        ),
        (
            three,
            "  def handle_call(:count, _, s), do: {:reply, s.users, s}\n  def handle_call(:bonus, _, s), do: {:reply, s.bonus, s}",
            Said::May("handle_call/3: a map with the key `bonus`".to_owned()),
        ),
    ];
    let folder = TempDir::new().expect("a folder");
    let source = |texts: &[String]| {
        let modules = texts.iter().enumerate();
        let modules = modules.map(|(n, text)| format!("defmodule Room{n} do\n{text}end\n"));
        modules.collect::<String>()
    };
    let olds: Vec<String> = cases.iter().map(|_| old.clone()).collect();
    let news: Vec<String> = cases
        .iter()
        .map(|(fields, body, _)| room(fields, body))
        .collect();
    let one = elixir(&folder.path().join("one"), &source(&olds));
    let two = elixir(&folder.path().join("two"), &source(&news));
    for (n, (_, body, wanted)) in cases.iter().enumerate() {
        let beam = |place: &Path| {
            std::fs::read(place.join(format!("Elixir.Room{n}.beam"))).expect("a beam")
        };
        let module = format!("Elixir.Room{n}");
        let said = said(&beam(&one), &beam(&two), &module, Callbacks::Server);
        assert_eq!(said, *wanted, "{body}");
    }
}

/// Every server of this OTP and of Elixir takes the state that its own `init/1` makes.
#[test]
fn published_servers_take_their_own_states() {
    let run = std::process::Command::new("erl")
        .args([
            "-noshell",
            "-eval",
            "io:format(\"~ts~n\", [code:lib_dir()]), halt().",
        ])
        .output()
        .expect("erl starts");
    let root = String::from_utf8(run.stdout).expect("text");
    let apps = std::fs::read_dir(root.trim()).expect("a folder");
    let mut shapes = 0;
    for app in apps.flatten() {
        let beams = std::fs::read_dir(app.path().join("ebin"));
        for beam in beams.into_iter().flatten().flatten() {
            let Ok(bytes) = std::fs::read(beam.path()) else {
                continue;
            };
            let Ok(facts) = updo::facts::beam::BeamFacts::read(&bytes) else {
                continue;
            };
            let Some(callbacks) = updo::rules::states::callbacks(&facts) else {
                continue;
            };
            let read = |bytes: &[u8]| Version::read(&facts.module, bytes);
            let (Some(mut one), Some(mut two)) = (read(&bytes), read(&bytes)) else {
                continue;
            };
            for held in one.initial(callbacks) {
                shapes += 1;
                for old in [None, Some(&mut two)] {
                    let found = misfit(&mut one, old, callbacks, &held, &held);
                    assert_eq!(found, None, "{}: {}", facts.module, held.shape);
                }
            }
        }
    }
    assert!(shapes > 30, "{shapes}");
}
