%% Clients of an HTTP server: each asks again and again over one connection, which it never opens again. A wrong answer, one
%% that takes too long, or a connection that ends is a failure.
-module(browsers).
-export([start/2, read/0]).

start(Port, Number) ->
    Parent = self(),
    Owner = spawn(fun() ->
        ets:new(?MODULE, [named_table, public, {write_concurrency, true}]),
        ets:insert(?MODULE, [{answers, 0}, {slowest, 0}]),
        Parent ! made,
        receive stop -> ok end
    end),
    receive made -> Owner end,
    _ = [spawn(fun() -> client(Parent, Port, I) end) || I <- lists:seq(1, Number)],
    [receive {ready, I} -> ok after 20000 -> exit({no_answer, I, read()}) end || I <- lists:seq(1, Number)],
    ok.

read() -> maps:from_list(ets:tab2list(?MODULE)).

client(Parent, Port, I) ->
    try
        {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}, {nodelay, true}, {packet, http_bin}]),
        ask(Socket, I, 0),
        Parent ! {ready, I},
        loop(Socket, I, 1)
    catch
        _:Reason:Stack -> ets:insert(?MODULE, {{failed, I}, {Reason, Stack}})
    end.

loop(Socket, I, N) ->
    Begun = erlang:monotonic_time(millisecond),
    ask(Socket, I, N),
    ets:update_counter(?MODULE, answers, 1),
    Took = erlang:monotonic_time(millisecond) - Begun,
    ets:lookup_element(?MODULE, slowest, 2) < Took andalso ets:insert(?MODULE, {slowest, Took}),
    timer:sleep(20),
    loop(Socket, I, N + 1).

ask(Socket, I, N) ->
    Path = iolist_to_binary(io_lib:format("/~b/~b", [I, N])),
    ok = gen_tcp:send(Socket, ["GET ", Path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"]),
    {ok, {http_response, _, 200, _}} = gen_tcp:recv(Socket, 0, 20000),
    Length = head(Socket, none),
    ok = inet:setopts(Socket, [{packet, raw}]),
    {ok, <<"asked for ", Path/binary>>} = gen_tcp:recv(Socket, Length, 20000),
    ok = inet:setopts(Socket, [{packet, http_bin}]).

head(Socket, Length) ->
    case gen_tcp:recv(Socket, 0, 20000) of
        {ok, http_eoh} -> Length;
        {ok, {http_header, _, 'Content-Length', _, Value}} -> head(Socket, binary_to_integer(Value));
        {ok, {http_header, _, _, _, _}} -> head(Socket, Length)
    end.
