%% Applications of many modules in layers: of hundred modules each, every third one a server with a process, a supervisor
%% for each application.
-module(many).
-export([make/3, start/1, states/1]).

-define(APP, 100).

%% Folder/lib/APP-1/ebin with version 1, Folder/new with version 2 of Changed of them, spread evenly.
make(Folder, N, Changed) ->
    New = filename:join(Folder, "new"),
    ok = filelib:ensure_dir(filename:join(New, "x")),
    lists:foreach(fun(App) -> application(Folder, App, N) end, lists:seq(0, (N - 1) div ?APP)),
    Step = N div Changed,
    ok = pmap(fun(I) -> write(New, name(I), module(I, N, 2)) end, [I * Step || I <- lists:seq(0, Changed - 1)]),
    [name(I * Step) || I <- lists:seq(0, Changed - 1)].

application(Folder, App, N) ->
    Name = app(App),
    Ebin = filename:join([Folder, "lib", atom_to_list(Name) ++ "-1", "ebin"]),
    ok = filelib:ensure_dir(filename:join(Ebin, "x")),
    Numbers = [I || I <- lists:seq(App * ?APP, App * ?APP + ?APP - 1), I < N],
    ok = pmap(fun(I) -> write(Ebin, name(I), module(I, N, 1)) end, Numbers),
    Sup = sup(App),
    write(Ebin, Sup, supervisor(Sup, [name(I) || I <- Numbers, I rem 3 =:= 1])),
    Spec = {application, Name, [{vsn, "1"}, {modules, [Sup | [name(I) || I <- Numbers]]}, {registered, []},
                                {applications, [kernel, stdlib]}, {mod, {Sup, []}}]},
    ok = file:write_file(filename:join(Ebin, atom_to_list(Name) ++ ".app"), io_lib:format("~p.~n", [Spec])).

start(N) ->
    [{ok, _} = application:ensure_all_started(app(App)) || App <- lists:seq(0, (N - 1) div ?APP)],
    ok = code:ensure_modules_loaded([name(I) || I <- lists:seq(0, N - 1)]),
    length(supervised(N)).

%% #{version of the state => number of servers}
states(N) ->
    lists:foldl(fun(P, Acc) -> {V, _} = sys:get_state(P), Acc#{V => 1 + maps:get(V, Acc, 0)} end, #{}, supervised(N)).

supervised(N) -> [P || App <- lists:seq(0, (N - 1) div ?APP), {_, P, _, _} <- supervisor:which_children(sup(App))].

write(Ebin, Name, Text) ->
    {ok, Tokens, _} = erl_scan:string(lists:flatten(Text)),
    {ok, Name, Beam} = compile:forms(forms(Tokens, []), [debug_info]),
    ok = file:write_file(filename:join(Ebin, atom_to_list(Name) ++ ".beam"), Beam).

forms(Tokens, Acc) ->
    case lists:splitwith(fun({dot, _}) -> false; (_) -> true end, Tokens) of
        {[], []} -> lists:reverse(Acc);
        {Form, [Dot | Rest]} -> {ok, Parsed} = erl_parse:parse_form(Form ++ [Dot]), forms(Rest, [Parsed | Acc])
    end.

pmap(F, List) ->
    Me = self(),
    Half = lists:split(length(List) div 2, List),
    Pids = [spawn_link(fun() -> lists:foreach(F, L), Me ! {self(), done} end) || L <- tuple_to_list(Half)],
    [receive {P, done} -> ok end || P <- Pids],
    ok.

name(I) -> list_to_atom("many_" ++ integer_to_list(I)).
app(I) -> list_to_atom("many_app_" ++ integer_to_list(I)).
sup(I) -> list_to_atom("many_sup_" ++ integer_to_list(I)).

supervisor(Name, Children) ->
    io_lib:format("-module(~p). -behaviour(application). -behaviour(supervisor). -export([start/2,stop/1,init/1]). "
                  "start(_,_) -> supervisor:start_link({local,~p},~p,[]). stop(_) -> ok. "
                  "init(_) -> {ok,{#{},[#{id => M, start => {gen_server,start_link,[M,[],[]]}} || M <- ~p]}}.",
                  [Name, Name, Name, Children]).

%% Calls those behind it.
module(I, N, Vsn) ->
    Calls = [name(J) || J <- [I + 1, I + 5, I + 17], J < N],
    Server = case I rem 3 of 1 -> server(Vsn); _ -> "" end,
    io_lib:format("-module(~p). -vsn(\"~b\"). -export([v/0,f0/1,f1/1,f2/1,f3/1,f4/1,f5/1]). ~s v() -> ~b. ~s",
                  [name(I), Vsn, Server, Vsn, [function(K, I, Calls) || K <- lists:seq(0, 5)]]).

function(K, I, Calls) ->
    Called = case Calls of [] -> "X"; _ -> atom_to_list(lists:nth(K rem length(Calls) + 1, Calls)) ++ ":f" ++ integer_to_list((K + 1) rem 6) ++ "(X)" end,
    io_lib:format("f~b([{K,V}|T]) when is_atom(K) -> [#{key => K, value => V, from => ~b, text => \"some text ~b\"} | f~b(T)]; "
                  "f~b(X) when is_integer(X), X > 0 -> ~s; f~b(X) -> case X of {a,Y} -> {b,Y}; {b,Y} -> {c,[Y]}; _ -> {~b,X} end. ",
                  [K, I, K, K, K, Called, K, I]).

server(Vsn) ->
    Change = case Vsn of 1 -> "code_change(_,S,_) -> {ok,S}."; 2 -> "code_change({down,_},{2,S},_) -> {ok,{1,S}}; code_change(_,{1,S},_) -> {ok,{2,S}}." end,
    io_lib:format("-behaviour(gen_server). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). init(X) -> {ok,{~b,X}}. "
                  "handle_call(X,_,{_,_} = S) -> {reply,f0(X),S}. handle_cast(_,S) -> {noreply,S}. ~s", [Vsn, Change]).
