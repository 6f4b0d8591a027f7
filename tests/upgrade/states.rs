//! States that the new version cannot take: found by a rehearsal on real nodes, before anything is touched.

use tempfile::TempDir;

use crate::inferred_children::elixir;
use crate::rehearsal::Stage;
use crate::support::apps::witness;
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

/// A server with a record as its state.
fn desk(version: u32, record: &str, more: &str) -> (String, String) {
    let text = format!(
        "-module(desk).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n-record(desk, {{{record}}}).\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2{}]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\ninit(N) -> {{ok, #desk{{owner = N}}}}.\n\
         handle_call(owner, _, #desk{{owner = O}} = S) -> {{reply, {{{version}, O}}, S}};\n\
         handle_call(what, _, #desk{{}} = S) -> {{reply, S, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n{more}\n",
        if more.contains("code_change") {
            ", code_change/3"
        } else {
            ""
        }
    );
    ("desk".to_owned(), text)
}

const START: &str =
    "persistent_term:put(tills, [desk:start(N) || N <- [471108154711, 4712, 4713]])";

/// A node with a version of Elixir modules, and a plan for another.
fn rooms(one: &str, two: &str, start: &str) -> (TempDir, TestNode, Desk, String) {
    let folder = TempDir::new().expect("a folder");
    let old = elixir(&folder.path().join("one"), one);
    let new = elixir(&folder.path().join("two"), two);
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let (node, desk) = (options.path(&old).path(witness()).start(), Desk::new());
    node.eval(start);
    let text = format!("plan \"Rooms\".\ncode push [{new:?}].\nold from {old:?}.\n");
    let plan = desk.write("rooms.updo", &text).display().to_string();
    (folder, node, desk, plan)
}

#[test]
fn a_record_that_grew_without_a_conversion() {
    let (one, two) = (desk(1, "owner", ""), desk(2, "owner, lamp = on", ""));
    let stage = Stage::new(&[one], &[two], START);
    let ran = stage.rehearse(&[]).exits(15).says(&[
        "E635",
        "the new `desk` cannot take 3 states: every event of `handle_call/3` fails",
        "the state, as it is: {desk, …} of 2 elements",
        "its code wants {desk, …} of 3 elements",
        "fields that the record has gained: `lamp`",
        "give the new `desk` a conversion: `code_change(_, {desk, Owner}, _) -> {ok, #desk{owner = Owner}}.`",
    ]);
    let ran = ran.prints(&[
        "desk                     3 states inspected, not converted",
        "fails  the next events of `desk` fail",
    ]);
    assert!(!ran.to_string().contains("471108154711"), "{ran}");
    let json = stage.rehearse(&["--json"]).exits(15);
    let shown: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let fit = &shown["fits"][0];
    assert_eq!(
        (&fit["code"], &fit["states"]),
        (&"E635".into(), &3.into()),
        "{json}"
    );
    assert_eq!(fit["wants"][0], "{desk, …} of 3 elements");
    // The clause that it names mends it, and the upgrade succeeds.
    let paste = fit["conversion"].as_str().expect("a conversion");
    let old = desk(1, "owner", "code_change(_, S, _) -> {ok, S}.");
    let mended = Stage::new(&[old], &[desk(2, "owner, lamp = on", paste)], START);
    mended
        .rehearse(&[])
        .exits(0)
        .prints(&["3 of 3 states convert"]);
    let plan = mended.plan.display().to_string();
    let run = mended.desk.on(&mended.node, &["run", &plan, "--yes"]).run();
    run.exits(0).says(&["3 states converted"]);
    let ask = "[gen_server:call(P, what) || P <- persistent_term:get(tills)]";
    assert_eq!(
        mended.node.eval_text(ask),
        "[{desk,471108154711,on},{desk,4712,on},{desk,4713,on}]"
    );
    // The preview knows it of a state that init/1 makes.
    let plan = stage.plan.display().to_string();
    let preview = stage.desk.on(&stage.node, &["preview", &plan]).run();
    preview.says(&[
        "W635",
        "the new `desk` cannot take the state: every event of `handle_call/3` fails",
    ]);
}

#[test]
fn a_conversion_that_is_right_and_one_that_is_not() {
    let old = desk(1, "owner", "code_change(_, S, _) -> {ok, S}.");
    let stage = |clause: &str| {
        Stage::new(
            std::slice::from_ref(&old),
            &[desk(2, "owner, lamp = on", clause)],
            START,
        )
    };
    let right = stage("code_change(_, {desk, O}, _) -> {ok, #desk{owner = O}}.");
    let ran = right.rehearse(&[]).exits(0);
    assert!(!ran.to_string().contains("635]"), "{ran}");
    // A part of the state in place of the state.
    let wrong = stage("code_change(_, {desk, O}, _) -> {ok, {ok, O}}.");
    wrong.rehearse(&[]).exits(15).says(&[
        "E635",
        "the state, what its conversion makes of the state: {ok, …} of 2 elements",
        "its code wants {desk, …} of 3 elements",
        "mend the conversion of the new `desk`",
    ]);
}

/// Only one of its events fails, and its key is in no live state.
#[test]
fn a_key_of_a_map_that_one_event_demands() {
    let server = |version: u32, map: &str, more: &str| {
        let text = format!(
            "-module(desk).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
             -export([start/1, init/1, handle_call/3, handle_cast/2]).\n\
             start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\ninit(N) -> {{ok, {map}}}.\n{more}\
             handle_call(_, _, #{{owner := O}} = S) -> {{reply, O, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n"
        );
        ("desk".to_owned(), text)
    };
    let lamp = "handle_call(lamp, _, S) -> {reply, maps:get(lamp, S), S};\n";
    let stage = Stage::new(
        &[server(1, "#{owner => N}", "")],
        &[server(2, "#{owner => N, lamp => on}", lamp)],
        START,
    );
    let ran = stage.rehearse(&[]).exits(0).says(&[
        "W635",
        "the new `desk` cannot always take 3 states: events of `handle_call/3` may fail",
        "the state, as it is: a map of {owner}",
        "its code wants a map with the key `lamp`",
        "`code_change(_, S, _) -> {ok, maps:merge(#{lamp => undefined}, S)}.`",
    ]);
    assert!(!ran.to_string().contains("471108154711"), "{ran}");
}

/// Records inside of states and in the rows of a table.
#[test]
fn records_inside_of_states_and_in_tables() {
    let server = |version: u32, item: &str, clause: &str| {
        let text = format!(
            "-module(desk).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n-record(item, {{{item}}}).\n\
             -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
             init(N) -> ets:new(items, [public, {{keypos, 2}}]), T = hd([T || T <- ets:all(), ets:info(T, owner) =:= self()]),\n\
             ets:insert(T, #item{{name = N}}), {{ok, #{{T => [#item{{name = N}}]}}}}.\n\
             handle_call(what, _, S) -> {{reply, S, S}};\n\
             handle_call(name, _, S) -> [[#item{{name = N}}]] = maps:values(S), {{reply, N, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n{clause}\n"
        );
        ("desk".to_owned(), text)
    };
    let old = server(1, "name", "code_change(_, S, _) -> {ok, S}.");
    let same = server(2, "name, price", "code_change(_, S, _) -> {ok, S}.");
    let stage = Stage::new(std::slice::from_ref(&old), &[same], START);
    let ran = stage.rehearse(&[]).exits(0).says(&[
        "W635",
        "3 states of `desk` hold {item, …} of 2 elements",
        "rows of the table `items` are {item, …} of 2 elements",
        "the new code knows `item` with 3 elements only",
    ]);
    assert!(!ran.to_string().contains("471108154711"), "{ran}");
    // Code that knows both is silent.
    let both = server(
        2,
        "name, price",
        "code_change(_, S, _) -> {ok, maps:map(fun(_, L) -> [#item{name = N} || {item, N} <- L] end, S)}.",
    );
    let stage = Stage::new(&[old], &[both], START);
    let ran = stage.rehearse(&[]).exits(0);
    assert!(!ran.to_string().contains("W635"), "{ran}");
}

#[test]
fn a_struct_that_grew() {
    let room = |vsn: u32, fields: &str, body: &str| {
        format!(
            "defmodule Room do\n  use GenServer\n  @vsn {vsn}\n  defstruct [{fields}]\n\
             \x20 def start(n), do: GenServer.start(__MODULE__, n)\n  def init(n), do: {{:ok, %__MODULE__{{name: n}}}}\n{body}end\n"
        )
    };
    let one = room(
        1,
        "name: 1",
        "  def handle_call(:name, _, s), do: {:reply, s.name, s}\n",
    );
    let two = room(
        2,
        "name: 1, bonus: 10",
        "  def handle_call(:name, _, s), do: {:reply, {s.name, s.bonus}, s}\n",
    );
    let start = "['Elixir.Room':start(N) || N <- [a, b]]";
    let (_folder, node, desk, plan) = rooms(&one, &two, start);
    desk.on(&node, &["rehearse", &plan]).run().exits(15).says(&[
        "E635",
        "cannot take 2 states: every event of `handle_call/3` fails",
        "%Elixir.Room{name}",
        "its code wants a struct with the key `bonus`",
        "`def code_change(_, state, _), do: {:ok, Map.merge(%Room{}, state)}`",
    ]);
    desk.on(&node, &["preview", &plan])
        .run()
        .says(&["W635", "its code wants a struct with the key `bonus`"]);
    // Pasted, it mends that. A twin that makes the struct by its name gets the running version's: nothing is said.
    for converted in [
        "Map.merge(%Room{}, state)",
        "struct(__MODULE__, Map.from_struct(state))",
    ] {
        let body = format!(
            "  def handle_call(:name, _, s), do: {{:reply, {{s.name, s.bonus}}, s}}\n\
             \x20 def code_change(_, state, _), do: {{:ok, {converted}}}\n"
        );
        let two = room(2, "name: 1, bonus: 10", &body);
        let (_folder, node, desk, plan) = rooms(&one, &two, start);
        let ran = desk.on(&node, &["rehearse", &plan]).run().exits(0);
        let ran = ran.prints(&["all convert"]);
        assert!(!ran.to_string().contains("635]"), "{ran}");
    }
}

/// A map of carts: only the struct inside has grown.
#[test]
fn structs_inside_of_states() {
    let shop = |vsn: u32, fields: &str, price: &str, change: &str| {
        format!(
            "defmodule Cart do\n  defstruct [{fields}]\n  def new(n), do: %__MODULE__{{sum: n}}\nend\n\
             defmodule Shop do\n  use GenServer\n  @vsn {vsn}\n\
             \x20 def start(n), do: GenServer.start(__MODULE__, n)\n  def init(n), do: {{:ok, %{{n => [Cart.new(n)]}}}}\n\
             \x20 def handle_call(:sum, _, s), do: {{:reply, Enum.map(s, fn {{_, [c]}} -> price(c) end), s}}\n\
             \x20 defp price({price}\n{change}end\n"
        )
    };
    let one = shop(1, "sum: 0", "c), do: c.sum", "");
    let start = "['Elixir.Shop':start(N) || N <- [1, 2, 3]]";
    let two = shop(2, "sum: 0, tax: 1", "c), do: c.sum + c.tax", "");
    let (_folder, node, desk, plan) = rooms(&one, &two, start);
    desk.on(&node, &["rehearse", &plan]).run().exits(0).says(&[
        "W635",
        "hold structs `%Elixir.Cart{}` without `tax`",
        "the new code demands that: `Elixir.Shop:price/1`",
    ]);
    // Read with a default, or converted.
    for (price, change) in [
        ("c), do: c.sum + Map.get(c, :tax, 0)", ""),
        (
            "c), do: c.sum + c.tax",
            "  def code_change(_, s, _), do: {:ok, Map.new(s, fn {n, cs} -> {n, Enum.map(cs, &struct(Cart, Map.from_struct(&1)))} end)}\n",
        ),
    ] {
        let two = shop(2, "sum: 0, tax: 1", price, change);
        let (_folder, node, desk, plan) = rooms(&one, &two, start);
        let ran = desk.on(&node, &["rehearse", &plan]).run().exits(0);
        assert!(!ran.to_string().contains("W635"), "{ran}");
    }
}

/// Tables of Mnesia: what their record is and how many rows there are.
#[test]
fn records_in_tables_of_mnesia() {
    let server = |version: u32, item: &str| {
        let text = format!(
            "-module(desk).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n-record(item, {{{item}}}).\n\
             -export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start() -> ok = mnesia:start(),\n\
             {{atomic, ok}} = mnesia:create_table(item, [{{attributes, record_info(fields, item)}}]),\n\
             {{atomic, ok}} = mnesia:create_table(stock, [{{record_name, item}}, {{attributes, record_info(fields, item)}}]),\n\
             {{atomic, ok}} = mnesia:create_table(other, []),\n\
             {{ok, P}} = gen_server:start(?MODULE, [], []), P.\n\
             init(N) -> {{ok, {{desk, N}}}}.\n\
             handle_call(Id, _, S) -> [#item{{name = N}}] = mnesia:dirty_read(item, Id), {{reply, N, S}}.\n\
             handle_cast(_, S) -> {{noreply, S}}.\ncode_change(_, S, _) -> {{ok, S}}.\n"
        );
        ("desk".to_owned(), text)
    };
    let (old, new) = (server(1, "name, owner"), server(2, "name, owner, price"));
    let stage = Stage::new(
        &[old],
        &[new],
        "application:load(mnesia), application:set_env(mnesia, schema_location, ram), desk:start(), \
         [ok = mnesia:dirty_write(T, {item, N, n}) || {T, N} <- [{item, 1}, {item, 2}, {stock, 471108154711}]]",
    );
    let ran = stage.rehearse(&[]).exits(0).says(&[
        "W635",
        "rows of the table `item` are {item, …} of 3 elements",
        "rows of the table `stock` are {item, …} of 3 elements",
        "the new code knows `item` with 4 elements only",
    ]);
    let text = ran.to_string();
    assert!(
        !text.contains("471108154711") && !text.contains("`other`"),
        "{ran}"
    );
}
