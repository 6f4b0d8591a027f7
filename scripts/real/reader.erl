%% Processes that have Earmark read a text of Markdown again and again, and look at what comes.
-module(reader).
-export([start/1, read/0]).

start(Number) ->
    Parent = self(),
    spawn(fun() ->
        ets:new(?MODULE, [named_table, public, {write_concurrency, true}]),
        ets:insert(?MODULE, [{answers, 0}, {slowest, 0}]),
        Parent ! made,
        receive stop -> ok end
    end),
    receive made -> ok end,
    _ = [spawn(fun() -> reader(I) end) || I <- lists:seq(1, Number)],
    ok.

read() -> maps:from_list(ets:tab2list(?MODULE)).

reader(I) ->
    try loop(I, 1) catch _:Reason:Stack -> ets:insert(?MODULE, {{failed, I}, {Reason, Stack}}) end.

loop(I, N) ->
    Begun = erlang:monotonic_time(millisecond),
    Number = integer_to_binary(N),
    {ok, [{<<"h1">>, [], [Number], #{}}, {<<"ul">>, [], [_, _], #{}}], _} =
        'Elixir.EarmarkParser':as_ast(<<"# ", Number/binary, "\n\n* one\n* *two*\n">>),
    ets:update_counter(?MODULE, answers, 1),
    Took = erlang:monotonic_time(millisecond) - Begun,
    ets:lookup_element(?MODULE, slowest, 2) < Took andalso ets:insert(?MODULE, {slowest, Took}),
    timer:sleep(20),
    loop(I, N + 1).
