%% A site of mochiweb's, started by a process that stays. It says what was asked for.
-module(site).
-export([start/1, answer/1]).

start(Port) ->
    Parent = self(),
    spawn(fun() ->
        {ok, _} = mochiweb_http:start([{name, ?MODULE}, {ip, "127.0.0.1"}, {port, Port}, {loop, {?MODULE, answer}}]),
        Parent ! started,
        receive stop -> ok end
    end),
    receive started -> ok end.

answer(Request) ->
    mochiweb_request:ok({"text/plain", ["asked for ", mochiweb_request:get(path, Request)]}, Request).
