-module(shapes).
-behaviour(gen_server).
-behavior(supervisor).
-export([start/0, keyword/1, calls/1, funs/0, specs/1, send/1, dynamic/2, spawned/1, init/1]).
-export([handle_call/3, handle_cast/2, code_change/3]).

-record(plain, {id, name = "x"}).
-record(typed, {id :: integer(), list = [] :: [atom()]}).

start() ->
    gen_server:start_link({local, shapes_name}, shapes_server, [], []).

keyword(Name) ->
    register(plain_name, self()),
    supervisor:start_link({local, Name}, shapes_sup, []).

calls(X) ->
    gen_server:call(counter, {add, X}),
    gen_server:cast({remote, node()}, X),
    lists:map(fun(Y) -> Y end, X).

funs() ->
    [fun shapes_fun:call/2, {table, [{shapes_mfa, run, [1, 2]}]}].

specs(Arg) ->
    #{id => x, start => {shapes_child, start_link, [Arg]}, modules => [shapes_bare]}.

send(Message) ->
    mailbox ! Message,
    whereis(lookup).

dynamic(Mod, X) ->
    Mod:price(X),
    apply(Mod, X, [1]),
    ok.

spawned(Args) ->
    spawn(shapes_spawned, loop, [Args]),
    rpc:call(node(), shapes_rpc, ping, []),
    rpc:call(node(), Args, ping, []),
    apply(shapes_applied, run, Args).

init(_) -> {ok, {#plain{id = 1}, #typed{id = 2}}}.
handle_call(_, _, S) -> {reply, ok, S}.
handle_cast(_, S) -> {noreply, S}.
code_change(_, S, _) -> {ok, S}.
