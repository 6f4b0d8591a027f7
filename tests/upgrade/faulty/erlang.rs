//! Servers, state machines, handlers of events and special processes in Erlang, and the ways in which their states
//! change.

use std::fmt::Write as _;

use crate::support::invented::Dice;

use super::case::Case;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Server,
    /// `handle_event_function`.
    Machine,
    /// `state_functions`.
    States,
    Handler,
    Special,
}

use Behaviour::{Handler, Machine, Server, Special, States};

/// What a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Record,
    Map,
    Tuple,
    /// A tuple in a tuple.
    Nested,
    /// Records in a list of a record.
    ListOf,
    /// Records in a map of a map.
    MapOf,
}

use Form::{ListOf, MapOf, Nested, Record, Tuple};

/// What version 2 has for `limit` where nothing else says so.
const LIMIT: u32 = 10;

impl Form {
    fn has_items(self) -> bool {
        matches!(self, ListOf | MapOf)
    }

    /// Records of a version.
    fn records(self, version: u32) -> &'static str {
        match (self, version) {
            (Record, 1) => "-record(st, {owner, items}).\n",
            (Record, _) => "-record(st, {owner, items, limit = 10}).\n",
            (ListOf, 1) => "-record(item, {name}).\n-record(st, {owner, items}).\n",
            (ListOf, _) => "-record(item, {name, price = 10}).\n-record(st, {owner, items}).\n",
            (MapOf, 1) => "-record(item, {name}).\n",
            (MapOf, _) => "-record(item, {name, price = 10}).\n",
            _ => "",
        }
    }

    /// The state of `init(N)`, and in version 2 that with `limit`.
    fn made(self, version: u32) -> String {
        let new = version == 2;
        match self {
            Record => "#st{owner = N, items = [N, N + 1]}".to_owned(),
            Self::Map if new => "#{owner => N, items => [N, N + 1], limit => 10}".to_owned(),
            Self::Map => "#{owner => N, items => [N, N + 1]}".to_owned(),
            Tuple if new => "{N, [N, N + 1], 10}".to_owned(),
            Tuple => "{N, [N, N + 1]}".to_owned(),
            Nested if new => "{st, {N, [N, N + 1], 10}, #{}}".to_owned(),
            Nested => "{st, {N, [N, N + 1]}, #{}}".to_owned(),
            ListOf => "#st{owner = N, items = [#item{name = X} || X <- [N, N + 1]]}".to_owned(),
            MapOf => {
                "#{owner => N, items => maps:from_list([{X, #item{name = X}} || X <- [N, N + 1]])}"
                    .to_owned()
            }
        }
    }

    /// A pattern of a state of version 1, in the source of version 2.
    fn was(self) -> &'static str {
        match self {
            Record => "{st, O, I}",
            Self::Map | MapOf => "#{owner := O, items := I}",
            Tuple => "{O, I}",
            Nested => "{st, {O, I}, M}",
            ListOf => "#st{owner = O, items = I}",
        }
    }

    /// The state of version 2 of these parts.
    fn built(self) -> &'static str {
        match self {
            Record => "#st{owner = O, items = I, limit = L}",
            Self::Map => "#{owner => O, items => I, limit => L}",
            Tuple => "{O, I, L}",
            Nested => "{st, {O, I, L}, M}",
            ListOf => "#st{owner = O, items = [#item{name = X, price = L} || {item, X} <- I]}",
            MapOf => {
                "#{owner => O, items => maps:map(fun(_, {item, X}) -> #item{name = X, price = L} end, I)}"
            }
        }
    }

    /// `answer(S)` of version 1: `{1, Owner, Items}`.
    fn answer(self) -> &'static str {
        match self {
            Record => "answer(#st{owner = O, items = I}) -> {1, O, I}",
            Self::Map => "answer(#{owner := O, items := I}) -> {1, O, I}",
            Tuple => "answer({O, I}) -> {1, O, I}",
            Nested => "answer({st, {O, I}, #{}}) -> {1, O, I}",
            ListOf => "answer(#st{owner = O, items = I}) -> {1, O, [X#item.name || X <- I]}",
            MapOf => {
                "answer(#{owner := O, items := I}) -> {1, O, lists:sort([X#item.name || X <- maps:values(I)])}"
            }
        }
    }

    /// What version 2 reads: a pattern of the state, and the answer made of that.
    fn read(self, dice: &mut Dice) -> (&'static str, &'static str) {
        match self {
            Record => ("#st{owner = O, items = I, limit = L}", "{2, O, I, L}"),
            Self::Map => ("#{owner := O, items := I, limit := L}", "{2, O, I, L}"),
            Tuple => ("{O, I, L}", "{2, O, I, L}"),
            Nested => ("{st, {O, I, L}, #{}}", "{2, O, I, L}"),
            ListOf if dice.chance(50) => (
                "#st{owner = O, items = I}",
                "{2, O, [X#item.name || X <- I], lists:sum([X#item.price || X <- I])}",
            ),
            ListOf => (
                "#st{owner = O, items = I}",
                "{2, O, [X || #item{name = X} <- I], lists:sum([P || #item{price = P} <- I])}",
            ),
            MapOf => (
                "#{owner := O, items := I}",
                "{2, O, lists:sort([X#item.name || X <- maps:values(I)]), lists:sum([X#item.price || X <- maps:values(I)])}",
            ),
        }
    }

    /// The same read by parts of the state.
    fn fields(self) -> Option<&'static str> {
        match self {
            Record => Some("{2, S#st.owner, S#st.items, S#st.limit}"),
            Self::Map => Some("{2, maps:get(owner, S), maps:get(items, S), maps:get(limit, S)}"),
            Tuple => Some("{2, element(1, S), element(2, S), element(3, S)}"),
            _ => None,
        }
    }
}

impl Behaviour {
    fn change(self) -> &'static str {
        match self {
            Server | Handler => "code_change/3",
            Machine | States => "code_change/4",
            Special => "system_code_change/4",
        }
    }

    /// A clause of the conversion.
    fn clause(self, head: &Head, body: &str) -> String {
        let Head {
            vsn,
            state,
            extra,
            guard,
        } = head;
        match self {
            Server | Handler => format!("code_change({vsn}, {state}, {extra}){guard} -> {body}"),
            Machine | States => {
                format!("code_change({vsn}, Name, {state}, {extra}){guard} -> {body}")
            }
            Special => format!("system_code_change({state}, _, {vsn}, {extra}){guard} -> {body}"),
        }
    }

    /// What a conversion returns.
    fn ok(self, state: &str) -> String {
        match self {
            Machine | States => format!("{{ok, Name, {state}}}"),
            _ => format!("{{ok, {state}}}"),
        }
    }

    /// How a process is asked.
    fn ask(self, module: &str) -> String {
        match self {
            Server => "gen_server:call(P, what, 2000)".to_owned(),
            Machine | States => "gen_statem:call(P, what, 2000)".to_owned(),
            Handler => format!("gen_event:call(P, {module}, what, 2000)"),
            Special => format!("{module}:ask(P)"),
        }
    }
}

/// The arguments of a conversion.
struct Head {
    vsn: String,
    state: String,
    extra: String,
    guard: String,
}

impl Head {
    fn of(state: &str) -> Self {
        Self {
            vsn: "_".to_owned(),
            state: state.to_owned(),
            extra: "_".to_owned(),
            guard: String::new(),
        }
    }
}

/// A module in one version.
struct Source<'c> {
    module: &'c str,
    behaviour: Behaviour,
    version: u32,
    vsn: bool,
    records: &'c str,
    made: &'c str,
    /// How `what` is answered: a pattern of the state and an expression.
    what: (&'c str, &'c str),
    /// An event that does not look at the state.
    ping: bool,
    name: &'c str,
    exports: &'c str,
    more: &'c str,
}

impl Source<'_> {
    fn text(&self) -> String {
        let Self {
            module,
            version,
            records,
            made,
            name,
            exports,
            more,
            ..
        } = self;
        let (state, answer) = self.what;
        let mut text = format!("-module({module}).\n");
        if self.vsn {
            let _ = writeln!(text, "-vsn(\"{version}\").");
        }
        let more_exports = match *exports {
            "" => String::new(),
            exports => format!(", {exports}"),
        };
        let ping = |clause: &str| {
            if self.ping {
                clause.to_owned()
            } else {
                String::new()
            }
        };
        text += &match self.behaviour {
            Server => format!(
                "-behaviour(gen_server).\n-export([start/1, init/1, handle_call/3, handle_cast/2, handle_info/2{more_exports}]).\n{records}\
                 start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\ninit(N) -> {{ok, {made}}}.\n{}\
                 handle_call(what, _, {state} = S) -> {{reply, {answer}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
                 handle_info(_, S) -> {{noreply, S}}.\n",
                ping("handle_call(ping, _, S) -> {reply, pong, S};\n")
            ),
            Machine => format!(
                "-behaviour(gen_statem).\n-export([start/1, init/1, callback_mode/0, handle_event/4{more_exports}]).\n{records}\
                 start(N) -> {{ok, P}} = gen_statem:start(?MODULE, N, []), P.\ninit(N) -> {{ok, {name}, {made}}}.\n\
                 callback_mode() -> handle_event_function.\n{}\
                 handle_event({{call, F}}, what, {name}, {state} = S) -> {{keep_state, S, [{{reply, F, {answer}}}]}};\n\
                 handle_event(info, _, _, S) -> {{keep_state, S}}.\n",
                ping(
                    "handle_event({call, F}, ping, _, S) -> {keep_state, S, [{reply, F, pong}]};\n"
                )
            ),
            States => format!(
                "-behaviour(gen_statem).\n-export([start/1, init/1, callback_mode/0, {name}/3{more_exports}]).\n{records}\
                 start(N) -> {{ok, P}} = gen_statem:start(?MODULE, N, []), P.\ninit(N) -> {{ok, {name}, {made}}}.\n\
                 callback_mode() -> state_functions.\n{}\
                 {name}({{call, F}}, what, {state} = S) -> {{keep_state, S, [{{reply, F, {answer}}}]}};\n\
                 {name}(info, _, S) -> {{keep_state, S}}.\n",
                ping(&format!(
                    "{name}({{call, F}}, ping, S) -> {{keep_state, S, [{{reply, F, pong}}]}};\n"
                ))
            ),
            Handler => format!(
                "-behaviour(gen_event).\n-export([start/1, init/1, handle_event/2, handle_call/2, handle_info/2{more_exports}]).\n{records}\
                 start(N) -> {{ok, P}} = gen_event:start(), ok = gen_event:add_handler(P, ?MODULE, N), P.\ninit(N) -> {{ok, {made}}}.\n\
                 handle_event(_, S) -> {{ok, S}}.\n{}handle_call(what, {state} = S) -> {{ok, {answer}, S}}.\nhandle_info(_, S) -> {{ok, S}}.\n",
                ping("handle_call(ping, S) -> {ok, pong, S};\n")
            ),
            Special => format!(
                "-export([start/1, ask/1, init/2, loop/2, system_continue/3, system_terminate/4{more_exports}]).\n{records}\
                 start(N) -> {{ok, P}} = proc_lib:start(?MODULE, init, [self(), N]), P.\n\
                 ask(P) -> M = monitor(process, P), P ! {{ask, self(), M}}, receive {{M, A}} -> A; {{'DOWN', M, _, _, W}} -> exit(W) \
                 after 2000 -> exit(timeout) end.\n\
                 init(Parent, N) -> proc_lib:init_ack(Parent, {{ok, self()}}), loop(Parent, {made}).\n\
                 loop(Parent, S) -> receive {{system, From, R}} -> sys:handle_system_msg(R, From, Parent, ?MODULE, [], S); \
                 {{ask, From, Ref}} -> From ! {{Ref, what(S)}}, loop(Parent, S); _ -> loop(Parent, S) end.\n\
                 what({state} = S) -> _ = S, {answer}.\n\
                 system_continue(Parent, _, S) -> loop(Parent, S).\nsystem_terminate(Why, _, _, _) -> exit(Why).\n"
            ),
        };
        text + more
    }
}

/// A server of the seed.
pub fn server(dice: &mut Dice, name: String, fault: Option<&'static str>) -> Case {
    let behaviour = match fault {
        Some("name of no state") => States,
        Some("return of another behaviour") => [Server, Machine, States][dice.below(3)],
        Some("plan's function") => Server,
        _ => [Server, Server, Server, Machine, States, Handler, Special][dice.below(7)],
    };
    let form = match fault {
        Some("outer only") => [ListOf, MapOf][dice.below(2)],
        Some("key renamed" | "badkey") => Form::Map,
        // Of a tuple without a tag the older state is one as well.
        Some("missing clause") => [Record, Form::Map, Nested, ListOf, MapOf][dice.below(5)],
        Some(
            "field forgotten" | "no conversion" | "wrong arity" | "not exported" | "same state",
        ) => [Record, Record, Form::Map, Tuple, Nested][dice.below(5)],
        _ => [
            Record,
            Record,
            Form::Map,
            Form::Map,
            Tuple,
            Nested,
            ListOf,
            MapOf,
        ][dice.below(8)],
    };
    Writer {
        dice,
        name,
        behaviour,
        form,
        fault,
    }
    .case()
}

struct Writer<'d> {
    dice: &'d mut Dice,
    name: String,
    behaviour: Behaviour,
    form: Form,
    fault: Option<&'static str>,
}

/// What is written of a conversion.
#[derive(Default)]
struct Conversion {
    style: String,
    clauses: Vec<String>,
    /// Other functions of the module.
    more: String,
    /// What is exported for it; the conversion when empty.
    exports: Option<String>,
    /// Another module in both versions.
    library: Option<(String, String)>,
    /// A module that is new.
    fresh: Option<String>,
    plan: String,
    limit: Option<u32>,
    lazy: bool,
    unchanged: bool,
    /// What the state becomes.
    target: Option<Form>,
    setup: String,
    renamed: bool,
}

impl Writer<'_> {
    fn case(mut self) -> Case {
        let one_in_many = matches!(self.fault, Some("slow for one" | "fails for one"));
        let processes = match one_in_many {
            true => [50, 200, 400, 1000][self.dice.below(4)],
            false => 3 + self.dice.below(23),
        };
        let chosen = 1 + self.dice.below(processes);
        let vsn = self.dice.chance(60) || self.fault == Some("vsn");
        let older = self.fault == Some("missing clause") || self.dice.chance(20);
        let older = older && self.fault.is_none_or(|f| f == "missing clause");
        let conversion = match self.fault {
            Some(fault) => self.faulty(fault, chosen),
            None => self.right(vsn),
        };
        let (behaviour, form, name) = (self.behaviour, self.form, self.name.clone());
        // States of an older form, which version 1 still takes.
        let make_one = match older {
            true => format!(
                "(case N rem 3 of 0 -> {{older, N}}; _ -> {} end)",
                form.made(1)
            ),
            false => form.made(1),
        };
        let mut answers = form.answer().to_owned();
        if older {
            answers = format!("answer({{older, O}}) -> {{1, O, []}};\n{answers}");
        }
        let ping = self.dice.chance(40);
        let one = Source {
            module: &name,
            behaviour,
            version: 1,
            vsn,
            records: form.records(1),
            made: &make_one,
            what: ("_", "answer(S)"),
            ping,
            name: "idle",
            exports: behaviour.change(),
            more: &format!(
                "{answers}.\n{}.\n",
                behaviour.clause(&Head::of("S"), &behaviour.ok("S"))
            ),
        }
        .text();
        let two = self.two(&conversion, vsn, older, ping);
        let limit = match form.has_items() {
            true => 2 * conversion.limit.unwrap_or(LIMIT),
            false => conversion.limit.unwrap_or(LIMIT),
        };
        let answer = |version: u32, more: &str| {
            let each = format!("{{{version}, N, [N, N + 1]{more}}}");
            match older {
                true => {
                    let none = if more.is_empty() || !form.has_items() {
                        more
                    } else {
                        ", 0"
                    };
                    format!(
                        "[case N rem 3 of 0 -> {{{version}, N, []{none}}}; _ -> {each} end || N <- lists:seq(1, {processes})]"
                    )
                }
                false => format!("[{each} || N <- lists:seq(1, {processes})]"),
            }
        };
        let after = match conversion.unchanged {
            true => answer(2, ""),
            false => answer(2, &format!(", {limit}")),
        };
        let mut modules = (vec![(name.clone(), one)], vec![(name.clone(), two)]);
        if let Some((one, two)) = &conversion.library {
            modules.0.push((format!("{name}_lib"), one.clone()));
            modules.1.push((format!("{name}_lib"), two.clone()));
        }
        if let Some(fresh) = &conversion.fresh {
            modules.1.push((format!("{name}_up"), fresh.clone()));
        }
        let setup = &conversion.setup;
        Case {
            about: format!(
                "{name}: {processes} x {behaviour:?} with {form:?}{}, {}",
                if older { " and older ones" } else { "" },
                conversion.style
            ),
            fault: self.fault,
            elixir: false,
            one: modules.0,
            two: modules.1,
            start: format!("{setup}[{name}:start(N) || N <- lists:seq(1, {processes})]"),
            plan: conversion.plan,
            ask: behaviour.ask(&name),
            before: answer(1, ""),
            after,
            heavy: matches!(self.fault, Some("endless" | "memory" | "slow for one")),
            name,
        }
    }

    /// The module of version 2.
    fn two(&mut self, conversion: &Conversion, vsn: bool, older: bool, ping: bool) -> String {
        let (behaviour, name) = (self.behaviour, self.name.clone());
        let form = conversion.target.unwrap_or(self.form);
        let (pattern, answer) = form.read(self.dice);
        let mut more = String::new();
        let fields = form.fields().filter(|_| self.dice.chance(30));
        let what = match (conversion.unchanged, conversion.lazy, fields) {
            (true, _, _) => {
                let answer = form.answer().replace("{1,", "{2,");
                let older = match older {
                    true => "answer({older, O}) -> {2, O, []};\n",
                    false => "",
                };
                let _ = writeln!(more, "{older}{answer}.");
                ("_", "answer(S)")
            }
            // Both forms are taken.
            (_, true, _) => {
                let old = if older {
                    "answer({older, O}) -> {2, O, [], 10};\n"
                } else {
                    ""
                };
                let was = form.was().replace(", M}", ", _}");
                let _ = match form {
                    Form::Map => writeln!(
                        more,
                        "{old}answer(#{{owner := O, items := I}} = S) -> {{2, O, I, maps:get(limit, S, 10)}}."
                    ),
                    _ => writeln!(
                        more,
                        "{old}answer({was}) -> {{2, O, I, 10}};\nanswer({pattern}) -> {answer}."
                    ),
                };
                ("_", "answer(S)")
            }
            (_, _, Some(fields)) => ("_", fields),
            _ if self.dice.chance(50) => {
                let _ = writeln!(more, "answer({pattern}) -> {answer}.");
                ("_", "answer(S)")
            }
            _ => (pattern, answer),
        };
        for clauses in [&conversion.clauses] {
            if !clauses.is_empty() {
                let _ = writeln!(more, "{}.", clauses.join(";\n"));
            }
        }
        more += &conversion.more;
        let unchanged = conversion.unchanged;
        Source {
            module: &name,
            behaviour,
            version: 2,
            vsn,
            records: form.records(if unchanged { 1 } else { 2 }),
            made: &form.made(if unchanged { 1 } else { 2 }),
            what,
            ping,
            name: if conversion.renamed { "ready" } else { "idle" },
            exports: match &conversion.exports {
                Some(exports) => exports,
                None => behaviour.change(),
            },
            more: &more,
        }
        .text()
    }

    /// A clause for states of an older form.
    fn of_older(&self) -> String {
        let form = self.form;
        let built = match form {
            MapOf => "#{owner => O, items => #{}}".to_owned(),
            ListOf => "#st{owner = O, items = []}".to_owned(),
            _ => form
                .built()
                .replace("I", "[]")
                .replace("L", "10")
                .replace("M}", "#{}}"),
        };
        self.behaviour
            .clause(&Head::of("{older, O}"), &self.behaviour.ok(&built))
    }

    fn right(&mut self, vsn: bool) -> Conversion {
        let (behaviour, form) = (self.behaviour, self.form);
        let (name, was, built) = (self.name.clone(), form.was(), form.built());
        let mut styles = vec![
            "pattern",
            "pattern",
            "vsn",
            "function",
            "library",
            "reads",
            "acts",
            "unchanged",
            "soft",
            "thrown",
            "caught",
            "extra",
            "fun",
        ];
        if !form.has_items() {
            styles.extend(["generic", "lazy"]);
        }
        if behaviour == Server {
            styles.push("plan");
        }
        if matches!(form, Record | Tuple | Form::Map) {
            styles.extend(["another form", "another form"]);
        }
        if matches!(behaviour, Machine | States) {
            styles.push("name");
        }
        let style = self.dice.pick(&styles);
        let set = |limit: &str, result: &str| format!("L = {limit}, {result}");
        let plain = |body: String| behaviour.clause(&Head::of(was), &body);
        let mut made = Conversion {
            style: style.to_owned(),
            ..Conversion::default()
        };
        let ok = behaviour.ok(built);
        let mut clauses = vec![self.of_older()];
        match style {
            "vsn" if vsn => {
                let up = Head {
                    vsn: "\"1\"".to_owned(),
                    ..Head::of(was)
                };
                let down = Head {
                    vsn: "{down, _}".to_owned(),
                    ..Head::of("S")
                };
                clauses.push(behaviour.clause(&up, &set("10", &ok)));
                clauses.push(behaviour.clause(&down, &behaviour.ok("S")));
            }
            "function" => {
                clauses.push(behaviour.clause(&Head::of("S"), &behaviour.ok("upgraded(S)")));
                made.more = format!("upgraded({was}) -> L = 10, {built}.\n");
            }
            "library" => {
                clauses.push(behaviour.clause(
                    &Head::of("S"),
                    &behaviour.ok(&format!("{name}_lib:upgraded(S)")),
                ));
                let records = form.records(2);
                made.library = Some((
                    format!("-module({name}_lib).\n-export([v/0]).\nv() -> 1.\n"),
                    format!(
                        "-module({name}_lib).\n-export([v/0, upgraded/1]).\n{records}v() -> 2.\nupgraded({was}) -> L = limit(), {built}.\nlimit() -> 5 + 5.\n"
                    ),
                ));
            }
            "reads" => {
                let (setup, read) = match self.dice.below(4) {
                    0 => (
                        format!("persistent_term:put({name}, 77), "),
                        format!("persistent_term:get({name})"),
                    ),
                    1 => (
                        format!("application:set_env(kernel, {name}, 77), "),
                        format!("application:get_env(kernel, {name}, 0)"),
                    ),
                    2 => (
                        format!(
                            "spawn(fun() -> ets:new({name}, [named_table, public]), receive stop -> ok end end), timer:sleep(20), ets:insert({name}, {{limit, 77}}), "
                        ),
                        format!("ets:lookup_element({name}, limit, 2)"),
                    ),
                    _ => (
                        String::new(),
                        "(is_pid(self()) andalso erlang:system_time() > 0 andalso 77)".to_owned(),
                    ),
                };
                made.setup = setup;
                made.limit = Some(77);
                clauses.push(plain(set(&read, &ok)));
            }
            "acts" => {
                let acts = self.dice.pick(&[
                    "put(upgraded, true), ",
                    "self() ! tick, ",
                    "erlang:send_after(5, self(), tick), ",
                    "spawn(fun() -> ok end), ",
                    "ets:new(own, [private]), ",
                ]);
                clauses.push(plain(set("10", &format!("{acts}{ok}"))));
            }
            "thrown" if behaviour != Handler => {
                clauses.push(plain(set("10", &format!("throw({ok})"))));
            }
            "another form" => {
                let target = match form {
                    Record => [Form::Map, Tuple],
                    Form::Map => [Record, Tuple],
                    _ => [Form::Map, Record],
                }[self.dice.below(2)];
                self.form = target;
                clauses = vec![self.of_older()];
                self.form = form;
                made.target = Some(target);
                clauses.push(plain(set("10", &behaviour.ok(target.built()))));
            }
            "caught" => {
                clauses.push(behaviour.clause(
                    &Head::of("S"),
                    &format!("try error(S) catch error:{was} -> L = 10, {ok} end"),
                ));
            }
            "extra" => {
                let head = Head {
                    extra: "{from, one}".to_owned(),
                    ..Head::of(was)
                };
                clauses.push(behaviour.clause(&head, &set("10", &ok)));
                clauses[0] = clauses[0].replace(", _) ->", ", {from, one}) ->");
                made.plan = format!(
                    "module {name} #{{change => {{advanced, {{from, one}}}}}} because \"so it is\".\n"
                );
            }
            "fun" => {
                clauses.push(plain(format!(
                    "F = fun(L) -> {ok} end, hd(lists:map(F, [10]))"
                )));
            }
            "unchanged" | "soft" => {
                made.unchanged = true;
                clauses = vec![behaviour.clause(&Head::of("S"), &behaviour.ok("S"))];
                if style == "soft" {
                    clauses.clear();
                    made.exports = Some(String::new());
                }
            }
            "generic" => {
                let state = match form {
                    Form::Map => [
                        "maps:merge(#{limit => 10}, S)",
                        "S#{limit => 10}",
                        "maps:put(limit, 10, S)",
                    ][self.dice.below(3)],
                    Nested => "setelement(2, S, erlang:append_element(element(2, S), 10))",
                    _ => [
                        "erlang:append_element(S, 10)",
                        "list_to_tuple(tuple_to_list(S) ++ [10])",
                    ][self.dice.below(2)],
                };
                clauses.push(behaviour.clause(&Head::of("S"), &behaviour.ok(state)));
            }
            "lazy" => {
                made.lazy = true;
                clauses = vec![behaviour.clause(&Head::of("S"), &behaviour.ok("S"))];
            }
            "plan" => {
                clauses.clear();
                made.exports = Some(String::new());
                let records = form.records(2);
                let older = self.of_older();
                let older = older
                    .rsplit_once("{ok, ")
                    .map_or("S", |(_, state)| &state[..state.len() - 1]);
                made.fresh = Some(format!(
                    "-module({name}_up).\n-export([state/1]).\n{records}state({{older, O}}) -> {older};\nstate({was}) -> L = 10, {built}.\n"
                ));
                made.plan = format!(
                    "module {name} #{{change => {{convert, fun {name}_up:state/1}}}} because \"it has no code_change\".\n"
                );
            }
            "name" => {
                made.renamed = true;
                clauses = clauses
                    .iter()
                    .map(|clause| clause.replace("{ok, Name, ", "{ok, ready, "))
                    .collect();
                clauses.push(plain(set("10", &ok)).replace("{ok, Name, ", "{ok, ready, "));
            }
            _ => clauses.push(plain(set("10", &ok))),
        }
        made.clauses = clauses;
        made
    }

    fn faulty(&mut self, fault: &'static str, chosen: usize) -> Conversion {
        let (behaviour, form) = (self.behaviour, self.form);
        let (name, was, built) = (self.name.clone(), form.was(), form.built());
        let ok = behaviour.ok(built);
        let plain = |body: &str| behaviour.clause(&Head::of(was), body);
        let right = plain(&format!("L = 10, {ok}"));
        let one = |body: &str| {
            let head = Head {
                guard: format!(" when O =:= {chosen}"),
                ..Head::of(was)
            };
            behaviour.clause(&head, body)
        };
        let mut made = Conversion {
            style: fault.to_owned(),
            ..Conversion::default()
        };
        let identity = behaviour.clause(&Head::of("S"), &behaviour.ok("S"));
        made.clauses = match fault {
            "bare state" => vec![plain(&format!("L = 10, {built}"))],
            "three elements" => {
                let longer = ok.strip_suffix('}').unwrap_or(&ok);
                vec![plain(&format!("L = 10, {longer}, extra}}"))]
            }
            "error returned" => vec![plain(self.dice.pick(&[
                "{error, not_supported}",
                "ok",
                "{stop, bad_state}",
            ]))],
            "missing clause" => vec![right],
            "badmatch" => {
                let fails = self.dice.pick(&[
                    "{ok, L} = application:get_env(kernel, no_such_limit)",
                    "[L] = [X || X <- [O], X < 0]",
                    "#{limit := L} = #{owner => O}",
                ]);
                vec![plain(&format!("{fails}, {ok}"))]
            }
            "field forgotten" | "outer only" => {
                let made = match form {
                    Record => "{st, O, I}",
                    Form::Map | MapOf => "#{owner => O, items => I}",
                    Tuple => "{O, I}",
                    Nested => "{st, {O, I}, M}",
                    ListOf => "#st{owner = O, items = lists:reverse(lists:reverse(I))}",
                };
                vec![plain(&behaviour.ok(made))]
            }
            "key renamed" => vec![plain(
                &behaviour.ok("#{owner => O, items => I, limt => 10}"),
            )],
            "no conversion" => {
                made.exports = Some(String::new());
                Vec::new()
            }
            "wrong arity" => {
                let (short, arity) = match behaviour {
                    Server | Handler => (
                        format!("code_change({was}, _) -> L = 10, {ok}"),
                        "code_change/2",
                    ),
                    Machine | States => (
                        format!("code_change(_, {was}, _) -> L = 10, {{ok, {built}}}"),
                        "code_change/3",
                    ),
                    Special => (
                        format!("system_code_change({was}, _, _) -> L = 10, {ok}"),
                        "system_code_change/3",
                    ),
                };
                made.exports = Some(arity.to_owned());
                vec![short]
            }
            "not exported" => {
                made.exports = Some(String::new());
                vec![right]
            }
            "endless" => {
                made.more = "forever(X) -> forever([X | []]).\n".to_owned();
                vec![plain(&format!("L = 10, forever(O), {ok}"))]
            }
            "memory" => {
                made.more = "grown(X) -> grown([X, X | lists:seq(1, 1000)]).\n".to_owned();
                vec![plain(&format!("L = 10, grown(O), {ok}"))]
            }
            "slow for one" => {
                made.more = "slow(0) -> ok;\nslow(N) -> slow(N - 1).\n".to_owned();
                let slow = self
                    .dice
                    .pick(&["timer:sleep(60000)", "slow(200000000000)"]);
                vec![one(&format!("{slow}, L = 10, {ok}")), right]
            }
            "fails for one" => {
                let fails = self.dice.pick(&[
                    "error(unlucky)",
                    "L0 = none, L = L0 + O",
                    "exit(unlucky)",
                    "L = hd(tl([O]))",
                ]);
                let body = if fails.contains("L = ") {
                    format!("{fails}, {ok}")
                } else {
                    fails.to_owned()
                };
                vec![one(&body), right]
            }
            "function gone" => {
                if self.dice.chance(60) {
                    made.library = Some((
                        format!(
                            "-module({name}_lib).\n-export([v/0, limit/0]).\nv() -> 1.\nlimit() -> 10.\n"
                        ),
                        format!("-module({name}_lib).\n-export([v/0]).\nv() -> 2.\n"),
                    ));
                    vec![plain(&format!("L = {name}_lib:limit(), {ok}"))]
                } else {
                    let gone = self.dice.pick(&[
                        "maps:mergee(#{}, #{})",
                        "lists:fold(O, I)",
                        "string:limit(O)",
                    ]);
                    vec![plain(&format!("L = {gone}, {ok}"))]
                }
            }
            "throws" => vec![plain("throw(cannot_convert)")],
            "exits" => vec![plain("exit({cannot_convert, O})")],
            "same state" if form.has_items() => vec![identity],
            "same state" => vec![identity],
            "vsn" => {
                let vsn = self.dice.pick(&["1", "\"0\"", "\"2\"", "{down, _}"]);
                let head = Head {
                    vsn: vsn.to_owned(),
                    ..Head::of(was)
                };
                vec![behaviour.clause(&head, &format!("L = 10, {ok}"))]
            }
            "extra" => {
                let extra = self.dice.pick(&["upgrade", "[upgrade]", "{from, one}"]);
                let head = Head {
                    extra: extra.to_owned(),
                    ..Head::of(was)
                };
                vec![behaviour.clause(&head, &format!("L = 10, {ok}"))]
            }
            "badarith" => vec![plain(&format!("L = limit(O), {ok}"))],
            "badkey" => vec![behaviour.clause(
                &Head::of("S"),
                &behaviour.ok("S#{limit => maps:get(size, S)}"),
            )],
            "return of another behaviour" => {
                let returned = match behaviour {
                    Machine | States => format!("{{ok, {built}}}"),
                    _ => ["{ok, idle, X}", "{noreply, X}", "{reply, ok, X}"][self.dice.below(3)]
                        .replace('X', built),
                };
                vec![plain(&format!("L = 10, {returned}"))]
            }
            "name of no state" => {
                made.renamed = true;
                vec![right]
            }
            "plan's function" => {
                made.exports = Some(String::new());
                let records = form.records(2);
                let body = match self.dice.below(4) {
                    0 => "error(cannot_convert)".to_owned(),
                    1 => format!("L = 10 + length(O), {built}"),
                    2 => format!("L = 10, {{ok, {built}}}"),
                    _ => format!("#{{limit := L}} = #{{owner => O}}, {built}"),
                };
                made.fresh = Some(format!(
                    "-module({name}_up).\n-export([state/1]).\n{records}state({was}) -> {body}.\n"
                ));
                made.plan = format!(
                    "module {name} #{{change => {{convert, fun {name}_up:state/1}}}} because \"it has no code_change\".\n"
                );
                Vec::new()
            }
            other => panic!("no such fault: {other}"),
        };
        if fault == "badarith" {
            made.more = "limit(O) -> case O of _ when O < 0 -> 0; _ -> 10 + limits(O) end.\nlimits(_) -> undefined.\n".to_owned();
        }
        made
    }
}
