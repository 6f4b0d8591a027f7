%% One of many servers. Version 2 keeps its state in another form, and answers with its version.
-module(pause_srv).
-behaviour(gen_server).
-export([start_link/1, init/1, handle_call/3, handle_cast/2, code_change/3]).

start_link(I) -> gen_server:start_link(?MODULE, I, []).
handle_cast({busy, Ms}, S) -> timer:sleep(Ms), {noreply, S};
handle_cast(_, S) -> {noreply, S}.

-ifdef(V2).
init(I) -> {ok, #{version => 2, number => I, calls => 0, data => lists:seq(1, 20)}}.
handle_call(get, _, #{version := 2, number := I, calls := N} = S) ->
    {reply, {2, pause_lib_1:value(I)}, S#{calls := N + 1}}.
code_change(_, {1, I, N, Data}, _) -> {ok, #{version => 2, number => I, calls => N, data => Data}};
code_change({down, _}, #{number := I, calls := N, data := Data}, _) -> {ok, {1, I, N, Data}}.
-else.
init(I) -> {ok, {1, I, 0, lists:seq(1, 20)}}.
handle_call(get, _, {1, I, N, Data}) ->
    {reply, {1, pause_lib_1:value(I)}, {1, I, N + 1, Data}}.
code_change(_, S, _) -> {ok, S}.
-endif.
