%% Rehearsals: conversions tried on copies of live states. Part of agent_tests.erl, which runs them.
-module(rehearse_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, job/3, server/2, start/2, ask/1, clean/0, upgrade/1, boot/1, interpreted/1, wait/2]).

tests() -> [rehearsed_all, rehearsed_some_fail, rehearsed_endless, rehearsed_memory, rehearsed_busy, rehearsed_apart, rehearsed_counted, rehearsed_statem, rehearsed_event,
            rehearsed_found, rehearsed_bounded, rehearsed_unwatched, rehearsed_by_name, rehearsed_atoms, rehearsed_binaries, rehearsed_killed,
            rehearsed_kept, rehearsed_inside, rehearsed_checks, rehearsed_wide, rehearsed_tables,
            rehearsed_back, rehearsed_back_by_the_old_version, rehearsed_back_of_others, rehearsed_references, rehearsed_sizes,
            rehearsed_children, rehearsed_children_alike, rehearsed_interpreted].

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

%% Downwards as a rollback does it: with {down, Vsn}, the same Extra, on the new state.
rehearsed_back() ->
    Ps = servers(10),
    Twin = twin("code_change({down,\"1.0\"},{2,3},x) -> {ok,{1,3,more}}; code_change({down,_},{2,4},_) -> {ok,{1,-4}}; code_change({down,_},{2,5},_) -> hidden_secret; "
                "code_change({down,_},{2,6},_) -> {ok,hidden_secret} = {error,hidden_secret}; code_change({down,_},{2,7},_) -> loop(); code_change({down,_},{2,8},_) -> grow([]); "
                "code_change({down,_},{2,9},_) -> N = list_to_atom(\"t_rh\"), {ok, N:not_yet()}; code_change({down,_},{2,X},_) when X < 9 -> {ok,{1,X}}; "
                "code_change(_,{1,X},_) -> {ok,{2,X}}. "
                "loop() -> receive never -> ok after 1 -> loop() end. grow(L) -> grow([make_ref()|L]). " ++ no4()),
    #{converted := 10, failed := 0, down := Down} = Info = rehearse(Twin, Ps, #{back => new, ms => 150}),
    #{same := 2, other := 2, failed := 5, unswitched := 1, others := Others, failures := Failed} = Down,
    [#{was := {tuple, 2}, is := {tuple, 3}, states := 1}, #{was := {tuple, 2}, is := {tuple, 2}, states := 1}] = lists:reverse(lists:sort(
        fun(#{is := A}, #{is := B}) -> A =< B end, Others)),
    [{5, <<"{returns,atom}">>}, {6, <<"{error,{badmatch,{tuple,2,error}},{t_rh,code_change,3}}">>}, {7, <<"{takes_longer_than,150}">>},
     {8, Large}, {10, <<"{error,function_clause,{t_rh,code_change,3}}">>}] =
        lists:sort([{number(P, Ps), Why} || #{pid := P, reason := Why, shape := {tuple, 2}} <- Failed]),
    %% Whichever of the limits comes first.
    true = lists:member(Large, [<<"no_memory">>, <<"{takes_longer_than,150}">>]),
    nomatch = re:run(io_lib:format("~p", [Info]), "hidden_secret"),
    %% Where nothing is to be tried, nothing is.
    #{converted := 10, down := #{same := 0, other := 0, failed := 0, unswitched := 0}} = rehearse(Twin, Ps),
    untouched(Ps).

number(P, Ps) -> length(lists:takewhile(fun(Q) -> Q =/= P end, Ps)) + 1.

%% A module of the type static: the version that runs now is there again when states are converted.
rehearsed_back_by_the_old_version() ->
    {N, B} = compile("-module(t_rh). -vsn(\"1.0\"). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). init(X) -> {ok,{1,X}}. "
                     "handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}. code_change({down,\"1.0\"},{2,X},x) when X < 3 -> {ok,{1,X}}."),
    load({N, B}),
    Ps = [start(t_rh, X) || X <- [1, 2, 3]],
    Twin = twin("code_change({down,_},S,_) -> {ok,S}; code_change(_,{1,X},_) -> {ok,{2,X}}. " ++ no4()),
    #{converted := 3, down := #{same := 2, failed := 1, failures := [#{reason := <<"{error,function_clause,{t_rh,code_change,3}}">>}]}} =
        rehearse(Twin, Ps, #{back => old}),
    #{converted := 3, down := #{same := 0, other := 3}} = rehearse(Twin, Ps, #{back => new}),
    untouched(Ps).

%% gen_statem by code_change/4 with the name of the state, handlers of events without what belongs to the manager.
rehearsed_back_of_others() ->
    load(compile("-module(t_rh). -export([init/1,callback_mode/0,handle_event/4]). init(X) -> {ok,on,X}. callback_mode() -> handle_event_function. "
                 "handle_event({call,F},_,S,D) -> {keep_state_and_data,[{reply,F,{S,D}}]}.")),
    Ms = [begin {ok, P} = gen_statem:start(t_rh, X, []), P end || X <- [1, 2, 3]],
    Twin = twin("code_change(_,_,_) -> no. code_change({down,\"1.0\"},off,{1,x},x) -> {ok,on,1}; code_change({down,_},off,{2,_},_) -> {ok,off,2}; "
                "code_change({down,_},off,{3,_},_) -> throw({ok,on,3}); code_change(_,on,D,E) -> {ok,off,{D,E}}. "),
    #{converted := 3, down := #{same := 2, other := 1, others := [#{was := {tuple, 2, on}, is := {tuple, 2, off}}]}} =
        rehearse(Twin, Ms, #{kind => statem, back => new}),
    [exit(P, kill) || P <- Ms],
    load(compile("-module(t_rh). -export([init/1,handle_event/2,handle_call/2]). init(X) -> {ok,X}. handle_event(_,S) -> {ok,S}. handle_call(_,S) -> {ok,S,S}.")),
    {ok, M} = gen_event:start(),
    ok = gen_event:add_handler(M, t_rh, 7),
    Handler = twin("code_change({down,_},#{n := N},x) -> {ok,N}; code_change(_,N,_) -> {ok,#{n => N}}. " ++ no4()),
    #{converted := 1, down := #{same := 1}} = rehearse(Handler, [M], #{kind => event, back => new}),
    exit(M, kill).

%% References, processes, ports and funs are themselves in the copy; a fun that the new version makes is another one.
rehearsed_references() ->
    {ok, Socket} = gen_udp:open(0),
    Port = open_port({spawn, "cat"}, []),
    F = fun(X) -> X + 1 end,
    load(server(t_rh, 1)),
    Ps = [start(t_rh, X) || X <- [{ok, Socket}, {Port, self()}, make_ref(), atomics:new(1, []), ets:new(t, [public]), F, binary:copy(<<"x">>, 1000)]],
    Keep = twin("code_change({down,_},{2,X,_},_) -> {ok,{1,X}}; code_change(_,{1,X},_) -> {ok,{2,X,erlang:make_ref()}}. " ++ no4()),
    #{converted := 7, failed := 0, down := #{same := 7}} = rehearse(Keep, Ps, #{back => new}),
    Make = twin("code_change({down,_},{2,X},_) -> {ok,{1,fun(Y) -> {X, Y} end}}; code_change(_,{1,X},_) -> {ok,{2,X}}. " ++ no4()),
    #{converted := 7, down := #{other := 7}} = rehearse(Make, Ps, #{back => new}),
    untouched(Ps),
    gen_udp:close(Socket), port_close(Port).

%% Bytes of the heap, before and after: what is shared once, large binaries not, and in no more time for one that shares much.
rehearsed_sizes() ->
    load(server(t_rh, 1)),
    Ps = [start(t_rh, lists:seq(1, N)) || N <- [0, 10, 1000]],
    Twin = twin("code_change(_,{1,L},_) -> {ok,{2,L,lists:reverse(L)}}. " ++ no4()),
    W = erlang:system_info(wordsize),
    #{bytes := Old, new_bytes := New, largest := [{Most, P}]} = rehearse(Twin, Ps),
    [{A, 1}, {B, 1}, {C, 1}] = Old,
    {A, B} = {3 * W, 23 * W},
    true = abs(C - 2003 * W) < 2003 * W div 100,
    [{D, 1}, {E, 1}, _] = New,
    {D, E} = {4 * W, 44 * W},
    {Most, P} = {4004 * W, lists:last(Ps)},
    Doubles = twin("code_change(_,{1,_},_) -> {ok,lists:foldl(fun(_, X) -> {X, X} end, a, lists:seq(1, 100))}. " ++ no4()),
    Shared = 300 * W,
    %% Literals count in a small state: here it is one as a whole.
    Literal = twin("code_change(_,_,_) -> {ok,{2,[a,b,#{c=>\"d\"}]}}. " ++ no4()),
    Whole = erts_debug:flat_size({2,[a,b,#{c=>"d"}]}) * W,
    #{converted := 3, new_bytes := [{Whole, 3}]} = rehearse(Literal, Ps),
    #{converted := 3, new_bytes := [{Shared, 3}]} = rehearse(Doubles, Ps),
    %% Nothing is converted: what is there.
    What = (limits())#{processes => Ps, keep => true, kind => server},
    {new, _, Es} = upgrade(job([], [{1, {rehearse, What}}], #{})),
    [#{bytes := Old, new_bytes := [], largest := [{_, P}]}] = [I || {step_finished, 1, _, I} <- Es],
    untouched(Ps).

%% What the new init/1 specifies, compared with what the supervisor has: what is new, what goes, what is another server
%% under the same identifier, what is specified in another way. Children that start_child/2 has added do not go.
rehearsed_children() ->
    load(server(t_rh_w, 1)), load(server(t_rh_v, 1)),
    {N, B} = compile("-module(t_rh). -behaviour(supervisor). -export([init/1]). init(X) -> {ok,{#{},[w(a),w(b),w(c),(w(d))#{restart=>temporary},w(e)]++[w(Y)||Y<-X]}}. "
                     "w(N) -> #{id=>N,start=>{gen_server,start_link,[t_rh_w,N,[]]},modules=>[t_rh_w]}."),
    load({N, B}),
    Sups = [begin {ok, S} = supervisor:start_link(t_rh, X), unlink(S), S end || X <- [[], [x]]],
    Child = fun(Id) -> #{id => Id, start => {gen_server, start_link, [t_rh_w, Id, []]}} end,
    [{ok, _} = supervisor:start_child(S, Child(own)) || S <- Sups],
    ok = supervisor:terminate_child(hd(Sups), b), ok = supervisor:delete_child(hd(Sups), b),
    {_, T} = compile("-module('t_rh@updo'). -export([init/1]). init(X) -> {ok,{#{},[w(new),w(b),(w(c))#{shutdown=>1,start=>{gen_server,start_link,[t_rh_w,other,[]]}},"
                     "(w(d))#{restart=>temporary},(w(e))#{start=>{t_rh_v,start_link,[]},modules=>[t_rh_v]}] ++ [w(Y)||Y<-X]}}. "
                     "w(N) -> #{id=>N,start=>{gen_server,start_link,[t_rh_w,N,[]]},modules=>[t_rh_w]}."),
    Twin = #{name => t_rh, twin => 't_rh@updo', new => T, funs => 0},
    Before = [lists:sort(supervisor:which_children(S)) || S <- Sups],
    All = rehearse(Twin, Sups, #{kind => supervisor, old_init => true}),
    #{converted := 2, failed := 0, children := Children, added := 2, shapes := #{specified := 2}, bytes := []} = All,
    [{changed, c, 2, [start, shutdown]}, {gone, a, 2, []}, {moved, e, 2, [gen_server, t_rh_v]}, {new, b, 1, []}, {new, new, 2, []}] =
        lists:sort([{What, Id, How, maps:get(keys, C, [])} || #{what := What, child := Id, supervisors := How} = C <- Children]),
    %% Where the old init/1 may not be run it is not known who has added them; nor where it fails or does not end.
    #{children := Unknown, added := 0} = rehearse(Twin, Sups, #{kind => supervisor}),
    [{a, 2}, {own, 2}] = lists:sort([{Id, How} || #{what := unlisted, child := Id, supervisors := How} <- Unknown]),
    [begin
         load(compile("-module(t_rh). -export([init/1]). " ++ Init)),
         #{converted := 2, failed := 0, children := Unknown, added := 0} = rehearse(Twin, Sups, #{kind => supervisor, old_init => true, ms => 100})
     end || Init <- ["init(_) -> hd([]).", "init(_) -> receive never -> ok end."]],
    Before = [lists:sort(supervisor:which_children(S)) || S <- Sups],
    [exit(S, kill) || S <- Sups].

%% One identifier for all children; and a strategy that only the new version has.
rehearsed_children_alike() ->
    load(server(t_rh_w, 1)),
    Spec = "[#{id=>w,start=>{gen_server,start_link,[t_rh_w]}}]",
    load(compile("-module(t_rh). -behaviour(supervisor). -export([init/1]). init(_) -> {ok,{#{strategy=>simple_one_for_one}," ++ Spec ++ "}}.")),
    {ok, S} = supervisor:start_link(t_rh, x), unlink(S),
    {ok, _} = supervisor:start_child(S, [x, []]),
    Twin = fun(Init) ->
        {_, B} = compile("-module('t_rh@updo'). -export([init/1]). init(_) -> {ok,{" ++ Init ++ "}}."),
        #{name => t_rh, twin => 't_rh@updo', new => B, funs => 0} end,
    What = #{kind => supervisor, old_init => true},
    #{converted := 1, children := [], added := 0} = rehearse(Twin("#{strategy=>simple_one_for_one}," ++ Spec), [S], What),
    #{converted := 1, children := [], added := 0} = rehearse(Twin("#{},[]"), [S], What),
    [_] = supervisor:which_children(S),
    exit(S, kill).

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

rehearsed_interpreted() -> interpreted(fun() -> rehearsed_some_fail(), clean(), rehearsed_endless(), clean(), rehearsed_memory(), clean(), rehearsed_back(), clean(), rehearsed_children() end).
