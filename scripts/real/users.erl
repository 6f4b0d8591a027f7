%% Clients of an XMPP server: each logs in, and then asks the server and another client in turn, over one connection that it
%% never opens again. What comes is counted, and what a client waits for too long, or a connection that ends, is a failure.
-module(users).
-export([start/3, read/0, greets/2]).

start(Port, Number, Host) ->
    Table = ets:new(?MODULE, [named_table, public, {write_concurrency, true}]),
    ets:insert(Table, [{answers, 0}, {messages, 0}, {slowest, 0}]),
    Parent = self(),
    Owner = spawn(fun() -> receive stop -> ok end end),
    true = ets:give_away(Table, Owner, none),
    _ = [spawn(fun() -> client(Parent, Port, Host, I, Number) end) || I <- lists:seq(1, Number)],
    [receive {ready, I} -> ok after 20000 -> exit({no_login, I, read()}) end || I <- lists:seq(1, Number)],
    ok.

read() -> maps:from_list(ets:tab2list(?MODULE)).

client(Parent, Port, Host, I, Number) ->
    try
        Socket = login(Port, Host, I),
        Parent ! {ready, I},
        loop(Socket, Host, I, 1 + I rem Number, 1)
    catch
        _:Reason:Stack -> ets:insert(?MODULE, {{failed, I}, {Reason, Stack}})
    end.

%% A new connection is accepted and answered.
greets(Port, Host) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    _ = exchange(Socket, open(Host), <<"<stream:features>">>),
    gen_tcp:close(Socket).

open(Host) ->
    ["<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='", Host, "'>"].

name(I) -> ["user", integer_to_list(I)].

login(Port, Host, I) ->
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}, {nodelay, true}]),
    _ = exchange(Socket, open(Host), <<"</stream:features>">>),
    Plain = base64:encode(iolist_to_binary([0, name(I), 0, "secret"])),
    _ = exchange(Socket, ["<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>", Plain, "</auth>"], <<"<success">>),
    _ = exchange(Socket, open(Host), <<"</stream:features>">>),
    _ = exchange(Socket, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>", <<"</iq>">>),
    ok = gen_tcp:send(Socket, "<presence/>"),
    Socket.

loop(Socket, Host, I, Other, N) ->
    Id = integer_to_binary(N),
    Begun = erlang:monotonic_time(millisecond),
    _ = exchange(Socket, ["<iq type='get' to='", Host, "' id='p", Id, "'><ping xmlns='urn:xmpp:ping'/></iq>"], <<"id='p", Id/binary, "'">>),
    ets:update_counter(?MODULE, answers, 1),
    ok = gen_tcp:send(Socket, ["<message to='", name(Other), "@", Host, "/r' type='chat'><body>", Id, "</body></message>"]),
    Took = erlang:monotonic_time(millisecond) - Begun,
    ets:lookup_element(?MODULE, slowest, 2) < Took andalso ets:insert(?MODULE, {slowest, Took}),
    timer:sleep(20),
    loop(Socket, Host, I, Other, N + 1).

%% Sends, and reads until it is there.
exchange(Socket, Text, Expected) ->
    ok = gen_tcp:send(Socket, Text),
    until(Socket, Expected, <<>>).

until(Socket, Expected, Seen) ->
    case binary:match(Seen, Expected) of
        nomatch ->
            case gen_tcp:recv(Socket, 0, 20000) of
                {ok, More} ->
                    count(More),
                    Left = binary:part(Seen, byte_size(Seen), -min(byte_size(Seen), 4096)),
                    until(Socket, Expected, <<Left/binary, More/binary>>);
                {error, Reason} -> exit({Reason, Expected, Seen})
            end;
        _ -> binary:match(Seen, <<"type='error'">>) =:= nomatch orelse exit({error_stanza, Seen}), Seen
    end.

count(Bytes) ->
    case length(binary:matches(Bytes, <<"</body>">>)) of
        0 -> ok;
        N -> ets:update_counter(?MODULE, messages, N)
    end.
