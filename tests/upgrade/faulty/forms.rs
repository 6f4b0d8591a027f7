//! What processes in Erlang are, what their states are, and a module in one of its versions.

use std::fmt::Write as _;

use crate::support::invented::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    Server,
    /// `handle_event_function`.
    Machine,
    /// `state_functions`.
    States,
    Handler,
    Special,
}

pub(super) use Behaviour::{Handler, Machine, Server, Special, States};

/// What a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
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

pub(super) use Form::{ListOf, MapOf, Nested, Record, Tuple};

/// What version 2 has for `limit` where nothing else says so.
pub(super) const LIMIT: u32 = 10;

impl Form {
    pub(super) fn has_items(self) -> bool {
        matches!(self, ListOf | MapOf)
    }

    /// Records of a version.
    pub(super) fn records(self, version: u32) -> &'static str {
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
    pub(super) fn made(self, version: u32) -> String {
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
    pub(super) fn was(self) -> &'static str {
        match self {
            Record => "{st, O, I}",
            Self::Map | MapOf => "#{owner := O, items := I}",
            Tuple => "{O, I}",
            Nested => "{st, {O, I}, M}",
            ListOf => "#st{owner = O, items = I}",
        }
    }

    /// The state of version 2 of these parts.
    pub(super) fn built(self) -> &'static str {
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
    pub(super) fn answer(self) -> &'static str {
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
    pub(super) fn read(self, dice: &mut Dice) -> (&'static str, &'static str) {
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
    pub(super) fn fields(self) -> Option<&'static str> {
        match self {
            Record => Some("{2, S#st.owner, S#st.items, S#st.limit}"),
            Self::Map => Some("{2, maps:get(owner, S), maps:get(items, S), maps:get(limit, S)}"),
            Tuple => Some("{2, element(1, S), element(2, S), element(3, S)}"),
            _ => None,
        }
    }
}

impl Behaviour {
    pub(super) fn change(self) -> &'static str {
        match self {
            Server | Handler => "code_change/3",
            Machine | States => "code_change/4",
            Special => "system_code_change/4",
        }
    }

    /// A clause of the conversion.
    pub(super) fn clause(self, head: &Head, body: &str) -> String {
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
    pub(super) fn ok(self, state: &str) -> String {
        match self {
            Machine | States => format!("{{ok, Name, {state}}}"),
            _ => format!("{{ok, {state}}}"),
        }
    }

    /// How a process is asked.
    pub(super) fn ask(self, module: &str) -> String {
        match self {
            Server => "gen_server:call(P, what, 2000)".to_owned(),
            Machine | States => "gen_statem:call(P, what, 2000)".to_owned(),
            Handler => format!("gen_event:call(P, {module}, what, 2000)"),
            Special => format!("{module}:ask(P)"),
        }
    }
}

/// The arguments of a conversion.
pub(super) struct Head {
    pub(super) vsn: String,
    pub(super) state: String,
    pub(super) extra: String,
    pub(super) guard: String,
}

impl Head {
    pub(super) fn of(state: &str) -> Self {
        Self {
            vsn: "_".to_owned(),
            state: state.to_owned(),
            extra: "_".to_owned(),
            guard: String::new(),
        }
    }
}

/// A module in one version.
pub(super) struct Source<'c> {
    pub(super) module: &'c str,
    pub(super) behaviour: Behaviour,
    pub(super) version: u32,
    pub(super) vsn: bool,
    pub(super) records: &'c str,
    pub(super) made: &'c str,
    /// How `what` is answered: a pattern of the state and an expression.
    pub(super) what: (&'c str, &'c str),
    /// An event that does not look at the state.
    pub(super) ping: bool,
    pub(super) name: &'c str,
    pub(super) exports: &'c str,
    pub(super) more: &'c str,
}

impl Source<'_> {
    pub(super) fn text(&self) -> String {
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
