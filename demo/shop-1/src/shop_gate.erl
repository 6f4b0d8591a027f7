%% The door: a line protocol over TCP on 127.0.0.1, at a port that the system chooses.
%%
%% `version`, `who`, `quote N`, `quit`. Each connection has its process. Both loops are fully qualified calls
%% with a timeout, so that an idle process is in new code half a second after it was loaded.
-module(shop_gate).
-export([start_link/0, port/0]).
-export([init/1, accept/1, connection/1, line/2]).

start_link() ->
    proc_lib:start_link(?MODULE, init, [self()]).

%% The port it listens on.
port() ->
    {ok, Port} = application:get_env(shop, gate_port),
    Port.

init(Parent) ->
    register(?MODULE, self()),
    {ok, Listen} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {packet, line}, {active, false},
                                      {reuseaddr, true}]),
    {ok, Port} = inet:port(Listen),
    ok = application:set_env(shop, gate_port, Port),
    proc_lib:init_ack(Parent, {ok, self()}),
    ?MODULE:accept(Listen).

accept(Listen) ->
    case gen_tcp:accept(Listen, 500) of
        {ok, Socket} ->
            Pid = spawn(?MODULE, connection, [Socket]),
            ok = gen_tcp:controlling_process(Socket, Pid),
            _ = inet:setopts(Socket, [{active, once}]),
            ?MODULE:accept(Listen);
        {error, timeout} ->
            ?MODULE:accept(Listen)
    end.

connection(Socket) ->
    receive
        {tcp, Socket, Line} -> ?MODULE:line(Socket, string:lexemes(Line, " \r\n"));
        {tcp_closed, Socket} -> ok;
        {tcp_error, Socket, _} -> ok
    after 500 ->
        ?MODULE:connection(Socket)
    end.

line(Socket, [<<"quit">>]) ->
    gen_tcp:close(Socket);
line(Socket, Words) ->
    ok = gen_tcp:send(Socket, [answer(Words), "\n"]),
    _ = inet:setopts(Socket, [{active, once}]),
    ?MODULE:connection(Socket).

answer([<<"version">>]) ->
    "shop 1";
answer([<<"who">>]) ->
    pid_to_list(self());
answer([<<"quote">>, Id]) ->
    {ok, #{version := Version, total := Total}} = shop_cart_server:quote(binary_to_integer(Id)),
    io_lib:format("~b cents, version ~b", [Total, Version]);
answer(_) ->
    "what?".
