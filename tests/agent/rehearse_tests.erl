%% Rehearsals: conversions tried on copies of live states. Part of agent_tests.erl, which runs them.
-module(rehearse_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, job/3, server/2, start/2, ask/1, clean/0, upgrade/1, boot/1, interpreted/1, wait/2]).

tests() -> [rehearsed_all, rehearsed_some_fail, rehearsed_endless, rehearsed_memory, rehearsed_busy, rehearsed_apart, rehearsed_counted, rehearsed_statem, rehearsed_event,
            rehearsed_found, rehearsed_bounded, rehearsed_unwatched, rehearsed_by_name, rehearsed_atoms, rehearsed_binaries, rehearsed_killed,
            rehearsed_kept, rehearsed_inside, rehearsed_checks, rehearsed_wide, rehearsed_tables, rehearsed_interpreted].

%% The twin of t_rh with these clauses of code_change.
twin(Clauses) ->
    {N, B} = compile("-module('t_rh@updo'). -export([code_change/3,code_change/4]). " ++ Clauses),
    #{name => t_rh, twin => N, new => B, funs => 0}.

ok3() -> "code_change(V,{1,X},E) -> {ok,{2,X,V,E}}. " ++ no4().
no4() -> "code_change(_,_,_,_) -> no. ".

limits() -> #{module => t_rh, twin => 't_rh@updo', kind => server, vsn => "1.0", extra => x, ms => 500, words => 1000000, wait => 200, most => 100000}.

rehearse(Twin, Pids) -> rehearse(Twin, Pids, #{}).
rehearse(Twin, Pids, More) -> rehearse_as(Twin, maps:merge((limits())#{processes => Pids}, More)).

rehearse_as(Twin, What) ->
    {Outcome, _, Es} = upgrade(job([], [{1, {twins_load, [t_rh]}}, {2, {rehearse, What}}], #{twins => [Twin]})),
    new = Outcome,
    [Info] = [I || {step_finished, 2, _, I} <- Es],
    false = erlang:module_loaded('t_rh@updo'),
    Info.

servers(N) ->
    load(server(t_rh, 1)),
    [start(t_rh, I) || I <- lists:seq(1, N)].

untouched(Ps) -> [{1, _} = ask(P) || P <- Ps], [] = agent_tests:suspended().

rehearsed_all() ->
    Ps = servers(50),
    #{processes := 50, converted := 50, failed := 0, busy := 0, dead := 0, us := Us, asked_ns := Asked, shapes := Shapes} = rehearse(twin(ok3()), Ps),
    50 = lists:sum([N || {_, N} <- Us]),
    #{{tuple, 4} := 50} = Shapes,
    true = Asked > 0 andalso Asked < 1000000000,
    untouched(Ps).

%% The agent finds the processes itself, and asks the running version for its vsn.
rehearsed_found() ->
    Ps = servers(30),
    What = maps:without([vsn], (limits())#{processes => all}),
    Twin = twin("code_change(V,{1,_},_) when V =/= undefined -> {ok,{2,V}}. " ++ no4()),
    #{processes := 30, converted := 30, untried := 0} = rehearse_as(Twin, What),
    #{processes := 7, converted := 7, untried := 23} = rehearse_as(Twin, What#{at_most => 7}),
    untouched(Ps).

%% So many a second, and no longer than that.
rehearsed_bounded() ->
    Ps = servers(60),
    What = (limits())#{processes => all},
    {Us, #{converted := 60}} = timer:tc(fun() -> rehearse_as(twin(ok3()), What#{rate => 100}) end),
    true = Us >= 550000,
    #{processes := N, converted := N, untried := Left} = rehearse_as(twin(ok3()), What#{rate => 100, within => 200}),
    true = N + Left =:= 60 andalso N > 2 andalso N < 40,
    untouched(Ps).

%% A client that is killed takes the rehearsal along: it would last for minutes, and keep the lock.
rehearsed_unwatched() ->
    Ps = servers(60),
    W = spawn(fun() -> receive stop -> ok end end),
    Steps = [{1, {twins_load, [t_rh]}}, {2, {rehearse, (limits())#{processes => Ps, rate => 1}}}],
    {ok, G} = boot((job([], Steps, #{twins => [twin(ok3())], keep => 0}))#{watcher := W}),
    Mon = monitor(process, G),
    wait(fun() -> erlang:module_loaded('t_rh@updo') end, loaded),
    exit(W, kill),
    receive {'DOWN', Mon, process, _, _} -> ok after 20000 -> error(still_there) end,
    wait(fun() -> not erlang:module_loaded('t_rh@updo') andalso whereis(updo_run) =:= undefined end, gone),
    untouched(Ps).

%% What is raised in a running version under its own name says nothing; what the twin itself raises does.
rehearsed_by_name() ->
    Ps = servers(4),
    Twin = twin("code_change(_,{1,2},_) -> N = list_to_atom(\"t_rh\"), {ok, N:not_yet()}; "
                "code_change(_,{1,3},_) -> {ok, hd([])}; code_change(_,{1,X},_) -> {ok,{2,X}}. " ++ no4()),
    #{converted := 2, failed := 1, unswitched := 1, untried := 0} = rehearse(Twin, Ps),
    untouched(Ps).

%% Which, why, and of what shape the state is; no value of it.
rehearsed_some_fail() ->
    Ps = servers(9),
    Dead = spawn(fun() -> ok end),
    Twin = twin("code_change(_,{1,3},_) -> {ok,hidden_secret} = {error,hidden_secret}; code_change(_,{1,5},_) -> other; "
                "code_change(_,{1,X},_) when X =/= 7 -> {ok,{2,X}}. " ++ no4()),
    #{converted := 6, failed := 3, dead := 1, failures := Failed} = Info = rehearse(Twin, [Dead | Ps]),
    [{A, <<"{error,{badmatch,{tuple,2,error}},{t_rh,code_change,3}}">>}, {B, <<"{returns,atom}">>},
     {C, <<"{error,function_clause,{t_rh,code_change,3}}">>}] = [{P, Why} || #{pid := P, reason := Why} <- Failed],
    [A, B, C] = [lists:nth(N, Ps) || N <- [3, 5, 7]],
    [{tuple, 2}] = lists:usort([S || #{shape := S} <- Failed]),
    nomatch = re:run(io_lib:format("~p", [Info]), "hidden_secret"),
    untouched(Ps).

rehearsed_endless() ->
    Ps = servers(3),
    Twin = twin("code_change(_,{1,2},_) -> loop(); code_change(_,S,_) -> {ok,S}. loop() -> receive never -> ok after 1 -> loop() end. " ++ no4()),
    #{converted := 2, failed := 1, failures := [#{reason := <<"{takes_longer_than,150}">>}]} = rehearse(Twin, Ps, #{ms => 150}),
    untouched(Ps).

rehearsed_memory() ->
    Ps = servers(3),
    Twin = twin("code_change(_,{1,2},_) -> grow([]); code_change(_,S,_) -> {ok,S}. grow(L) -> grow([make_ref()|L]). " ++ no4()),
    #{converted := 2, failed := 1, failures := [#{reason := <<"no_memory">>, shape := {tuple, 2}}]} = rehearse(Twin, Ps, #{ms => 20000}),
    %% A large state is not copied at all.
    Big = start(t_rh, lists:seq(1, 200000)),
    #{converted := 2, failed := 1, big := 1} = rehearse(Twin, [Big | Ps], #{ms => 20000}),
    untouched([Big | Ps]).

%% The plan's checks on a state and what it becomes: each in its order, with the limits of a conversion.
rehearsed_checks() ->
    Ps = servers(8),
    Fun = fun(Clauses) -> iolist_to_binary(["fun(A, B) -> case {A, B} of ", Clauses, "; _ -> '$updo_other' end end."]) end,
    Checks = [{4, Fun("{{1, X}, {2, X, _, _}} when X =/= Hidden -> X > Least"), [{'Least', 1}, {'Hidden', 7}], false},
              {7, Fun("{{1, 2}, _} -> odd; {{1, 3}, _} -> hd([]); {{1, 4}, _} -> erlang:element(3, {secret});"
                      "{{1, 5}, _} -> timer:sleep(100000); {{1, X}, _} when X < 8 -> true"), [], true}],
    #{converted := 2, failed := 6, checks := [First, Second], failures := Failed} =
        rehearse(twin(ok3()), Ps, #{checks => Checks, ms => 150}),
    {#{check := 4, held := 6, failed := 1, other := 1}, #{check := 7, held := 2, failed := 5, other := 0}} = {First, Second},
    [{4, <<"false">>}, {7, <<"{returns,atom}">>}, {7, <<"{error,badarg,{erlang,hd,1}}">>},
     {7, <<"{error,badarg,{erlang,element,2}}">>}, {7, <<"{takes_longer_than,150}">>}, {7, <<"no_clause">>}] =
        [{C, Why} || #{check := C, reason := Why} <- Failed],
    %% What the node's Erlang does not read; and of a conversion that fails nothing is checked.
    #{failed := 8, checks := [#{failed := 8}]} = rehearse(twin(ok3()), Ps, #{checks => [{1, <<"fun(">>, [], false}]}),
    #{failed := 8, checks := [#{check := 1, held := 0, failed := 0, other := 0}]} =
        rehearse(twin("code_change(_,_,_) -> no. " ++ no4()), Ps, #{checks => [{1, Fun("_ -> true"), [], false}]}),
    %% One that is called without its module, and memory.
    Memory = Fun("{{1, 1}, _} -> [] =/= lists:seq(1, 3000000); _ -> is_list(processes())"),
    #{converted := 7, failed := 1, failures := [#{check := 1, reason := <<"no_memory">>}]} =
        rehearse(twin(ok3()), Ps, #{checks => [{1, Memory, [], false}], ms => 5000}),
    untouched(Ps).

%% Neither counts as heap: a full table of atoms ends the node, and so does a machine without memory.
rehearsed_atoms() ->
    Ps = servers(3),
    Twin = twin("code_change(_,{1,2},_) -> make(1); code_change(_,S,_) -> {ok,S}. "
                "make(N) -> list_to_atom(\"t_rh_\" ++ integer_to_list(N)), make(N + 1). " ++ no4()),
    #{converted := 2, failed := 1, failures := [#{reason := <<"{makes_atoms,", _/binary>>}]} = rehearse(Twin, Ps, #{ms => 20000}),
    true = erlang:system_info(atom_count) < 600000,
    untouched(Ps).

rehearsed_binaries() ->
    Ps = servers(3),
    Twin = twin("code_change(_,{1,2},_) -> more([]); code_change(_,S,_) -> {ok,S}. "
                "more(L) -> more([binary:copy(<<0>>, 10000000) | L]). " ++ no4()),
    #{converted := 2, failed := 1, failures := [#{reason := <<"no_memory">>}]} = rehearse(Twin, Ps, #{ms => 20000}),
    true = erlang:memory(binary) < 1000000000,
    untouched(Ps).

%% Data, not failures; and the message that is read too late does nothing.
rehearsed_busy() ->
    [A, B] = servers(2),
    gen_server:cast(A, fun() -> receive go -> ok end end),
    Info = rehearse(twin(ok3()), [A, B]),
    #{converted := 1, failed := 0, busy := 1} = Info,
    A ! go,
    untouched([A, B]).

%% One process tries many states, but none that could meet what another conversion has left.
rehearsed_apart() ->
    Ps = servers(60),
    Twin = twin("code_change(_,{1,X},_) -> [] = get(), {links, []} = process_info(self(), links), "
                "{message_queue_len, 0} = process_info(self(), message_queue_len), left(X rem 4), {ok,{2,X}}. "
                "left(1) -> put(seen, true); left(2) -> self() ! seen; left(3) -> spawn_link(timer, sleep, [300]); left(_) -> ok. " ++ no4()),
    #{converted := 60, failed := 0, us := Us} = rehearse(Twin, Ps),
    60 = lists:sum([N || {_, N} <- Us]),
    %% Those that have ended and those that are busy are none of the next one's business.
    [B, D | _] = Ps,
    gen_server:cast(B, fun() -> receive go -> ok end end),
    exit(D, kill),
    #{converted := 58, failed := 0, busy := 1, dead := 1} = rehearse(Twin, Ps),
    B ! go,
    untouched(Ps -- [D]).

%% What is measured is counted: the answer does not grow with the processes.
rehearsed_counted() ->
    Ps = servers(5000),
    #{converted := 5000, us := Us, slowest := [{Most, P}]} = rehearse(twin(ok3()), Ps),
    5000 = lists:sum([N || {_, N} <- Us]),
    true = length(Us) < 1000 andalso lists:member(P, Ps),
    true = lists:sort(Us) =:= Us andalso abs(element(1, lists:last(Us)) - Most) * 100 =< Most,
    untouched(Ps).

rehearsed_statem() ->
    load(compile("-module(t_rh). -export([init/1,callback_mode/0,handle_event/4]). init(X) -> {ok,on,X}. callback_mode() -> handle_event_function. "
                 "handle_event({call,F},_,S,D) -> {keep_state_and_data,[{reply,F,{S,D}}]}.")),
    {ok, P} = gen_statem:start(t_rh, 7, []),
    Twin = twin("code_change(_,_,_) -> no. code_change(V,on,7,E) -> {ok,off,{V,E}}. "),
    #{converted := 1, shapes := #{{tuple, 2, off} := 1}} = rehearse(Twin, [P], #{kind => statem}),
    {on, 7} = gen_statem:call(P, x),
    exit(P, kill).

rehearsed_event() ->
    load(compile("-module(t_rh). -export([init/1,handle_event/2,handle_call/2]). init(X) -> {ok,X}. handle_event(_,S) -> {ok,S}. handle_call(_,S) -> {ok,S,S}.")),
    load(compile("-module(t_rh2). -export([init/1,handle_event/2,handle_call/2]). init(X) -> {ok,X}. handle_event(_,S) -> {ok,S}. handle_call(_,S) -> {ok,S,S}.")),
    {ok, P} = gen_event:start(),
    [ok = gen_event:add_handler(P, M, X) || {M, X} <- [{t_rh2, other}, {t_rh, 7}, {{t_rh2, 1}, other}]],
    Twin = twin("code_change(_,7,_) -> {ok,#{}}. " ++ no4()),
    #{converted := 1, shapes := #{{map, 0} := 1}} = rehearse(Twin, [P], #{kind => event}),
    [other, 7, other] = [gen_event:call(P, H, x) || H <- [t_rh2, t_rh, {t_rh2, 1}]],
    exit(P, kill).

%% Nothing is loaded and nothing runs: the shapes of states that stay as they are.
rehearsed_kept() ->
    load(server(t_rh, 1)),
    Ps = [start(t_rh, X) || X <- [#{name => hidden_secret, 1 => x}, #{name => other, 1 => y}, #{'__struct__' => t_rh, n => 1}]],
    What = (limits())#{processes => Ps, keep => true, kind => server},
    {new, _, Es} = upgrade(job([], [{1, {rehearse, What}}], #{})),
    [#{converted := 3, us := _, held := Held} = Info] = [I || {step_finished, 1, _, I} <- Es],
    %% Of what is in them the sizes of tuples and the keys of structs, apart from each other.
    [#{from := {tuple, 2}, to := {tuple, 2}, to_parts := [], states := 2},
     #{to_parts := [#{element := 2, what := {struct, 1, [n], t_rh}}], states := 1}] =
        lists:sort(fun(#{states := A}, #{states := B}) -> A >= B end, Held),
    nomatch = re:run(io_lib:format("~p", [Info]), "hidden_secret"),
    untouched(Ps).

%% Keys of maps, the same form counted once; records and structs anywhere inside, those of the new form not.
rehearsed_inside() ->
    Ps = servers(3),
    Twin = twin("code_change(_,{1,X},_) -> {ok,#{n => X, list => [{item, hidden_secret}, {item, 1, 2}, {other, 1}], "
                "carts => #{X => #{'__struct__' => cart, sum => 1}}, two => #{'__struct__' => cart, sum => 1, tax => 2}}}. " ++ no4()),
    Seek = #{records => [{item, 2}], structs => [{cart, [sum, tax]}]},
    #{held := [#{to := {map, 4, [carts, list, n, two]}, from := {tuple, 2}, states := 3}], inside := Inside, tables := []} = Info =
        rehearse(Twin, Ps, #{seek => Seek}),
    [#{what := {tuple, 2, item}, states := 3}, #{what := {struct, 1, [sum], cart}, states := 3}] = lists:sort(Inside),
    nomatch = re:run(io_lib:format("~p", [Info]), "hidden_secret"),
    #{inside := []} = rehearse(Twin, Ps, #{seek => #{records => [], structs => []}}),
    untouched(Ps).

%% A state of many different things: neither the answer nor the time grows with it.
rehearsed_wide() ->
    Ps = servers(100),
    Twin = twin("code_change(_,{1,X},_) -> {ok,{maps:from_list([{list_to_atom(\"t_rh_\" ++ integer_to_list(I)), I} || I <- lists:seq(1, X)]), "
                "lists:seq(1, 9000), maps:from_list([{I, [I, [I | I]]} || I <- lists:seq(1, 3000)])}}. " ++ no4()),
    Keyed = twin("code_change(_,{1,X},_) -> {ok,maps:from_list([{list_to_atom(\"t_rh_\" ++ integer_to_list(I)), I} || I <- lists:seq(1, X)])}. " ++ no4()),
    Seek = #{records => [{item, 2}], structs => [{cart, [sum]}]},
    #{converted := 100, held := [_], inside := []} = rehearse(Twin, Ps, #{seek => Seek}),
    #{converted := 100, held := Held} = rehearse(Keyed, Ps),
    60 = length(Held),
    untouched(Ps).

%% Rows of a size that only the old code knows, in tables of the processes; private ones cannot be read.
rehearsed_tables() ->
    [A | _] = Ps = servers(2),
    T = ets:new(t_rh_rows, [public, {keypos, 2}]),
    S = ets:new(t_rh_private, [private]),
    ets:insert(T, [{item, hidden_secret}, {item, 2}, {item, 3, x}, {other, 4}]),
    ets:insert(S, {item, 1}),
    [ets:give_away(X, A, gift) || X <- [T, S]],
    Seek = #{records => [{item, 2}], structs => []},
    #{tables := Tables} = Info = rehearse(twin(ok3()), Ps, #{seek => Seek}),
    [#{table := t_rh_rows, what := {tuple, 2, item}, rows := 2}] = Tables,
    nomatch = re:run(io_lib:format("~p", [Info]), "hidden_secret"),
    untouched(Ps).

%% The process that tries an endless conversion dies with the executor; the twin goes.
rehearsed_killed() ->
    Ps = servers(2),
    Twin = twin("code_change(_,_,_) -> loop(). loop() -> receive never -> ok after 1 -> loop() end. " ++ no4()),
    What = (limits())#{processes => Ps, ms => 60000},
    {ok, _} = boot(job([], [{1, {twins_load, [t_rh]}}, {2, {rehearse, What}}], #{twins => [Twin]})),
    Exec = receive {updo, _, _, {started, #{executor := E}}} -> E end,
    In = fun() -> [P || P <- processes(), {_, {'t_rh@updo', _, _}} <- [process_info(P, current_function)]] end,
    wait(fun() -> length(In()) =:= 1 end, none_tries),
    exit(Exec, kill),
    receive {updo, _, _, {finished, old, _}} -> ok after 10000 -> error(not_finished) end,
    %% Its keeper ends it when it hears of the death.
    wait(fun() -> In() =:= [] end, still_tries),
    wait(fun() -> not erlang:module_loaded('t_rh@updo') end, twin_left),
    agent_tests:settle(),
    untouched(Ps).

rehearsed_interpreted() -> interpreted(fun() -> rehearsed_some_fail(), clean(), rehearsed_endless(), clean(), rehearsed_memory() end).
