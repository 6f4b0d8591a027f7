%% Servers born while an upgrade is under way, as fast as they can be started: at the end every process of the module
%% has a state of the code that runs, no process stays suspended, and none was forgotten in silence.
%% Part of agent_tests.erl, which runs them.
-module(spawn_watch_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/2, job/3, window/2, run/1, upgrade/1, settle/0, until_finished/1, is_now/1,
                      server/2, server/3, server/4, start/2, ask/1, clean/0, boot_fast/1, settle_until_gone/0, flush/0, wait/2]).

tests() -> [births_up, births_undone, births_undone_no_way_down, births_down, births_soft, births_traced_by_another,
            births_tracer_comes_later, births_special, births_that_ask, births_killed, births_interpreted].

rounds() -> case os:getenv("UPDO_ROUNDS") of false -> 3; N -> list_to_integer(N) end.

%% ---------------------------------------------------------------------------------------------------------------
%% Spawners: two ask a supervisor, two start servers themselves; one of each speaks to the newborn at once, and so waits
%% still with it.

supervisor_of(M) ->
    Sup = list_to_atom(atom_to_list(M) ++ "_sup"),
    load(compile(io_lib:format("-module(~s). -export([init/1]). init(_) -> {ok,{#{strategy => simple_one_for_one,intensity => 1000000},"
                               "[#{id => x,start => {gen_server,start_link,[~s]},restart => temporary}]}}.", [Sup, M]))),
    {ok, S} = supervisor:start_link(Sup, x),
    unlink(S),
    S.

spawners(M, S) -> spawners(M, S, 300).
spawners(M, S, Keep) ->
    [spawn(fun() -> spawner(Start, {Speaks, Keep}, #{}, 0) end)
     || Start <- [fun(X) -> supervisor:start_child(S, [X, []]) end, fun(X) -> gen_server:start(M, X, []) end], Speaks <- [true, false]].

%% Keeps the latest only, so that the node is not full of them.
spawner(Start, {Speaks, Keep}, Ps, Odd) ->
    receive {stop, To} -> To ! {self(), maps:values(Ps), map_size(Ps), Odd}
    after 0 ->
        N = maps:get(n, Ps, 0) + 1,
        {ok, P} = Start(N),
        Odd1 = try Speaks andalso gen_server:call(P, state) of _ -> Odd catch _:_ -> Odd + 1 end,
        case Ps of #{N - Keep := Former} -> exit(Former, kill); _ -> ok end,
        spawner(Start, {Speaks, Keep}, maps:remove(N - Keep, Ps#{n => N, N => P}), Odd1)
    end.

stop(Spawners) ->
    Answers = [begin X ! {stop, self()}, receive {X, L, _, Odd} -> {[P || P <- L, is_pid(P)], Odd} end end || X <- Spawners],
    {lists:append([L || {L, _} <- Answers]), lists:sum([O || {_, O} <- Answers])}.

%% Every process of the module: {what its state looks like, how many}.
shapes(M) ->
    Ps = [P || P <- processes(), {_, D} <- [process_info(P, dictionary)], {'$initial_call', {N, init, 1}} <- D, N =:= M],
    lists:foldl(fun(P, Acc) ->
        try element(1, sys:get_state(P)) of V -> Acc#{V => maps:get(V, Acc, 0) + 1} catch exit:_ -> Acc end
    end, #{}, Ps).

no_trace_left(M) ->
    {flags, []} = erlang:trace_info(new_processes, flags),
    {traced, false} = erlang:trace_info({M, init, 1}, traced).

%% One round: {outcome, shapes, what was counted}. Do: runs the upgrade.
round(M, V1, Do) -> round(M, V1, Do, 300).

round(M, V1, Do, Keep) ->
    load(V1),
    S = supervisor_of(M),
    Old = [start(M, I) || I <- lists:seq(1, 50)],
    Spawners = spawners(M, S, Keep),
    timer:sleep(10),
    {Outcome, Es} = Do(),
    timer:sleep(5),
    {Ps, Odd} = stop(Spawners),
    Shapes = shapes(M),
    clean(),
    no_trace_left(M),
    %% The fifty that were there before are there still.
    50 = length([P || P <- Old, is_process_alive(P)]),
    [exit(P, kill) || P <- [S | Old ++ Ps]],
    flush(),
    Counts = [{K, N} || {step_finished, _, _, I} <- Es, is_map(I), {K, N} <- [{taken, maps:get(taken, I, 0)}, {ended, length(maps:get(ended, I, []))},
                                                                            {unsure, length(maps:get(born, I, []))}]]
        ++ [{ended, length(maps:get(ended, I, []))} || {undo_finished, _, I} <- Es] ++ [{odd, Odd}, {processes, lists:sum(maps:values(Shapes))}],
    {Outcome, Shapes, Counts}.

sum(What, Rounds) -> lists:sum([N || {_, _, Counts} <- Rounds, {K, N} <- Counts, K =:= What]).

told(Name, Rounds) ->
    io:format("        ~s: ~b rounds, ~b processes looked at, ~b born with the state of the code that went and converted, ~b ended, ~b undecided, ~b calls failed~n",
              [Name, length(Rounds), sum(processes, Rounds), sum(taken, Rounds), sum(ended, Rounds), sum(unsure, Rounds), sum(odd, Rounds)]).

up(V1, V2, Ms) -> up(V1, V2, Ms, window(Ms, [])).
up(V1, V2, _, Steps) ->
    {ok, _} = boot_fast(job([module(V2, V1)], Steps, #{suspend_timeout => 5000})),
    {O, _, Es} = until_finished([]),
    os:getenv("UPDO_TIMES") =/= false andalso io:format("~p~n", [[{I, Us div 1000, M} || {step_finished, I, Us, M} <- Es] ++ [{undo, Us div 1000} || {undo_finished, Us, _} <- Es]]),
    settle(),
    {O, Es}.

%% ---------------------------------------------------------------------------------------------------------------

births_up() ->
    {V1, V2} = {server(t_bu, 1), server(t_bu, 2)},
    Rounds = [round(t_bu, V1, fun() -> up(V1, V2, [t_bu]) end) || _ <- lists:seq(1, rounds())],
    told(up, Rounds),
    [new = O || {O, _, _} <- Rounds],
    [[2] = maps:keys(Shapes) || {_, Shapes, _} <- Rounds],
    0 = sum(unsure, Rounds),
    0 = sum(ended, Rounds).

%% The conversion of one process fails late; those born since the switch go down by code_change.
births_undone() ->
    {V1, V2} = {server(t_bd, 1), server(t_bd, 2, "code_change(_,{1,50},_) -> timer:sleep(30), {error,no};")},
    Rounds = [round(t_bd, V1, fun() -> up(V1, V2, [t_bd]) end) || _ <- lists:seq(1, rounds())],
    told(undo, Rounds),
    [old = O || {O, _, _} <- Rounds],
    [[1] = maps:keys(Shapes) || {_, Shapes, _} <- Rounds],
    0 = sum(unsure, Rounds).

%% The same where nothing converts downwards: they are ended, and counted.
births_undone_no_way_down() ->
    {V1, V2} = {server(t_bn, 1), server(t_bn, 2, "code_change(_,{1,50},_) -> timer:sleep(10), {error,no};", "code_change({down,_},_,_) -> error(never);")},
    %% By chance none may be born in the moment that counts: then once more.
    Rounds = until_ended(fun() -> round(t_bn, V1, fun() -> up(V1, V2, [t_bn]) end, 1500) end, 6, []),
    told('undo without a way down', Rounds),
    [old = O || {O, _, _} <- Rounds],
    %% Whether one was born in that moment is chance, from one round in three to one in thirty: how many is printed.
    [[1] = maps:keys(Shapes) || {_, Shapes, _} <- Rounds],
    0 = sum(unsure, Rounds).

until_ended(Round, N, Done) ->
    Rounds = [Round() | Done],
    case N =:= 1 orelse (length(Rounds) >= 2 andalso sum(ended, Rounds) > 0) of
        true -> Rounds;
        false -> until_ended(Round, N - 1, Rounds)
    end.

%% A rollback: code_change runs in the code that goes.
births_down() ->
    {V1, V2} = {server(t_bw, 1), server(t_bw, 2)},
    Down = [{1, {suspend, [[{t_bw, default}]]}}, {3, {code_change, down, [{t_bw, {advanced, x}}]}}, {2, {load, [t_bw]}}, {4, {resume, [t_bw]}}],
    Rounds = [round(t_bw, V2, fun() ->
                  {ok, _} = boot_fast(job([module(V1, V2)], Down, #{goal => old})),
                  {O, _, Es} = until_finished([]),
                  settle(),
                  {O, Es}
              end) || _ <- lists:seq(1, rounds())],
    told(down, Rounds),
    [old = O || {O, _, _} <- Rounds],
    [[1] = maps:keys(Shapes) || {_, Shapes, _} <- Rounds],
    0 = sum(unsure, Rounds).

%% Nothing to convert: new processes are as good as the others, there and back.
births_soft() ->
    V = fun(N) -> compile(io_lib:format("-module(t_bs). -vsn(~b). -export([init/1,handle_call/3,handle_cast/2]). init(X) -> {ok,{s,X}}. "
                                        "handle_call(_,_,S) -> {reply,~b,S}. handle_cast(_,S) -> {noreply,S}.", [N, N])) end,
    {V1, V2} = {V(1), V(2)},
    Steps = [{1, {suspend, [[{t_bs, default}]]}}, {2, {load, [t_bs]}}, {3, {code_change, up, [{t_bs, soft}]}}, {5, {apply, {erlang, error, [no]}}}, {4, {resume, [t_bs]}}],
    Rounds = [round(t_bs, V1, fun() -> up(V1, V2, [t_bs], S) end) || _ <- lists:seq(1, 5), S <- [Steps, lists:keydelete(5, 1, Steps)]],
    told(soft, Rounds),
    0 = sum(ended, Rounds),
    0 = sum(unsure, Rounds),
    0 = sum(odd, Rounds).

%% Before OTP 27 there is one tracer: where it belongs to others, births are unknown, and that is reported.
births_traced_by_another() ->
    {V1, V2} = {server(t_bt, 1), server(t_bt, 2)},
    case list_to_integer(erlang:system_info(otp_release)) >= 27 of
        true -> told('of its own session', [round(t_bt, V1, fun() -> up(V1, V2, [t_bt]) end)]);
        false ->
            T = spawn(fun() -> receive stop -> ok end end),
            erlang:trace(new_processes, true, [procs, {tracer, T}]),
            {Rounds, Wrong} = traced(V1, V2, 0, 30),
            {flags, [procs]} = erlang:trace_info(new_processes, flags),
            erlang:trace(new_processes, false, [procs]),
            exit(T, kill),
            io:format("        somebody else traces: undecided in round ~b, ~b of them with the old state, all named~n", [Rounds, Wrong])
    end.

%% A process that begins to trace in the middle of a run takes that from us, and keeps it.
births_tracer_comes_later() ->
    {V1, V2} = {server(t_bl, 1), server(t_bl, 2, "code_change(_,{1,X},_) -> timer:sleep(400), {ok,{2,X,x}};")},
    case list_to_integer(erlang:system_info(otp_release)) >= 27 of
        true -> ok;
        false ->
            load(V1),
            P = start(t_bl, 1),
            T = spawn(fun() -> receive stop -> ok end end),
            %% Watched from the suspension to the load: a moment, made longer.
            [Suspend | Rest] = window([t_bl], []),
            {ok, _} = boot_fast(job([module(V2, V1)], [Suspend, {9, {apply, {timer, sleep, [400]}}} | Rest])),
            agent_tests:wait(fun() -> erlang:trace_info({t_bl, init, 1}, traced) =/= {traced, false} end, watched),
            erlang:trace(new_processes, true, [procs, {tracer, T}]),
            {_, _, _} = until_finished([]),
            settle(),
            {tracer, T} = erlang:trace_info(new_processes, tracer),
            {flags, Flags} = erlang:trace_info(new_processes, flags),
            true = lists:member(procs, Flags),
            erlang:trace(new_processes, false, [all]),
            [exit(X, kill) || X <- [P, T]]
    end.

%% Until a process was started in that moment.
traced(V1, V2, N, Max) when N < Max ->
    load(V1),
    Spawners = [spawn(fun() -> slow_spawner([]) end) || _ <- [1, 2]],
    timer:sleep(10),
    {ok, _} = boot_fast(job([module(V2, V1)], window([t_bt], []))),
    {O, Info, _} = until_finished([]),
    settle(),
    Ps = lists:append([begin P ! {stop, self()}, receive {P, L} -> L end end || P <- Spawners]),
    Wrong = [P || P <- Ps, element(1, sys:get_state(P)) =/= 2],
    %% Processes that are not new are named.
    case O of
        new -> [] = Wrong;
        mixed -> #{unsure := L0, by_hand := [_ | _]} = Info, [] = Wrong -- L0
    end,
    [exit(P, kill) || P <- Ps],
    clean(),
    flush(),
    case O of mixed -> {N + 1, length(Wrong)}; new -> traced(V1, V2, N + 1, Max) end.

slow_spawner(Ps) ->
    receive {stop, To} -> To ! {self(), Ps}
    after 1 -> slow_spawner([start(t_bt, 1) | Ps])
    end.

%% A new process asks a supervisor that is held: it is let go, and no process waits until a limit has passed.
births_that_ask() ->
    V = fun(N) -> compile(io_lib:format("-module(t_bq). -vsn(~b). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). init(X) -> {ok,{~b,X,supervisor:count_children(t_bq_top)}}. "
                                        "handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}. code_change({down,_},S,_) -> _ = supervisor:count_children(t_bq_top), {ok,setelement(1,S,1)}; "
                                        "code_change(_,S,_) -> {ok,setelement(1,S,2)}.", [N, N])) end,
    {V1, V2} = {V(1), V(2)},
    load(compile("-module(t_bq_sup). -export([init/1]). init(_) -> {ok,{#{strategy => simple_one_for_one},[#{id => x,start => {gen_server,start_link,[t_bq]},restart => temporary}]}}.")),
    {ok, Top} = supervisor:start_link({local, t_bq_top}, t_bq_sup, x),
    unlink(Top),
    load(compile("-module(t_bq_old). -export([init/1,handle_call/3,handle_cast/2]). init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}.")),
    Down = [{1, {suspend, [[{t_bq, default}]]}}, {3, {code_change, down, [{t_bq, {advanced, x}}]}}, {2, {load, [t_bq]}}, {4, {resume, [t_bq]}}],
    [begin
        load(Before),
        %% One whose parent is the supervisor, though it is not its child.
        Old = proc_lib:spawn(fun() -> put('$ancestors', [t_bq_top]), put('$initial_call', {t_bq, init, 1}), gen_server:enter_loop(t_bq, [], {From, old, old}) end),
        Spawner = spawn(fun() -> asking_spawner([]) end),
        timer:sleep(10),
        {Us, {Outcome, _}} = timer:tc(fun() ->
            {ok, _} = boot_fast(job([module(After, Before)], Steps, #{goal => Goal})),
            {O, _, Es} = until_finished([]),
            settle(),
            {O, Es}
        end),
        Outcome = Goal,
        true = Us < 1500000,
        Spawner ! {stop, self()},
        Ps = receive {Spawner, L} -> L end,
        [To = element(1, sys:get_state(P)) || P <- [Old | Ps], is_process_alive(P)],
        clean(),
        flush(),
        [exit(P, kill) || P <- [Old | Ps]]
     end || {Before, After, Steps, Goal, From, To} <- [{V1, V2, window([t_bq], []), new, 1, 2}, {V2, V1, Down, old, 2, 1}], _ <- lists:seq(1, rounds())],
    exit(Top, kill).

asking_spawner(Ps) when length(Ps) > 2000 -> receive {stop, To} -> To ! {self(), Ps} end;
asking_spawner(Ps) ->
    receive {stop, To} -> To ! {self(), Ps}
    after 0 -> {ok, P} = gen_server:start(t_bq, 1, []), asking_spawner([P | Ps])
    end.

%% A process that speaks sys itself begins where it likes.
births_special() ->
    V = fun(N) -> compile(io_lib:format("-module(t_bx). -vsn(~b). -export([start/1,go/2,loop/2,system_continue/3,system_terminate/4,system_code_change/4,system_get_state/1,system_replace_state/2]). "
        "start(X) -> proc_lib:start(t_bx,go,[self(),X]). go(P,X) -> proc_lib:init_ack({ok,self()}), loop(P,{~b,X}). "
        "loop(P,X) -> receive {system,F,R} -> sys:handle_system_msg(R,F,P,t_bx,[],X); _ -> t_bx:loop(P,X) end. "
        "system_continue(P,_,X) -> t_bx:loop(P,X). system_terminate(R,_,_,_) -> exit(R). system_get_state(X) -> {ok,X}. system_replace_state(F,X) -> Y = F(X), {ok,Y,Y}. "
        "system_code_change({1,X},_,_,_) -> {ok,{2,X}}.", [N, N])) end,
    {V1, V2} = {V(1), V(2)},
    Seen = [begin
        load(V1),
        Spawner = spawn(fun() -> special_spawner([]) end),
        timer:sleep(5),
        {new, Es} = up(V1, V2, [t_bx]),
        timer:sleep(2),
        Spawner ! {stop, self()},
        Ps = receive {Spawner, L} -> L end,
        [{2, _} = sys:get_state(P) || P <- Ps],
        clean(),
        flush(),
        [exit(P, kill) || P <- Ps],
        {length(Ps), hd([T || {step_finished, 2, _, #{taken := T}} <- Es])}
     end || _ <- lists:seq(1, rounds())],
    io:format("        special: ~b processes, ~b of them taken along~n", [lists:sum([A || {A, _} <- Seen]), lists:sum([B || {_, B} <- Seen])]).

special_spawner(Ps) when length(Ps) > 3000 -> receive {stop, To} -> To ! {self(), Ps} end;
special_spawner(Ps) ->
    receive {stop, To} -> To ! {self(), Ps}
    after 0 -> {ok, P} = t_bx:start(x), special_spawner([P | Ps])
    end.

%% The executor dies at any moment of it: no supervisor stays held, nothing is traced, and what is called old or new is.
births_killed() ->
    {V1, V2} = {server(t_bk, 1), server(t_bk, 2)},
    Outcomes = [begin
        load(V1),
        S = supervisor_of(t_bk),
        Old = [start(t_bk, I) || I <- lists:seq(1, 50)],
        Spawners = spawners(t_bk, S),
        timer:sleep(5),
        {ok, _} = boot_fast(job([module(V2, V1)], window([t_bk], []))),
        E = receive {updo, _, _, {started, #{executor := X}}} -> X after 5000 -> error(not_started) end,
        receive {updo, _, _, {step_started, 1}} -> ok; {updo, _, _, {finished, _, _}} -> ok after 5000 -> error(not_begun) end,
        T = erlang:monotonic_time(microsecond) + Us * 1400,
        Spin = fun F() -> case erlang:monotonic_time(microsecond) < T of true -> F(); false -> ok end end,
        Spin(),
        exit(E, kill),
        {Outcome, Info, _} = until_finished([]),
        settle_until_gone(),
        {Ps, _} = stop(Spawners),
        [case {Outcome, element(1, sys:get_state(P))} of
             {old, 1} -> ok;
             {new, 2} -> ok;
             {mixed, _} -> true = map_size(maps:with([unsure, not_restored], Info)) > 0
         end || P <- Old ++ Ps, is_process_alive(P)],
        {ok, Q} = supervisor:start_child(S, [1, []]),
        exit(Q, kill),
        clean(),
        no_trace_left(t_bk),
        flush(),
        [exit(P, kill) || P <- [S | Old ++ Ps]],
        Outcome
     end || Us <- lists:seq(0, 29)],
    io:format("        ~b executors killed: ~p~n", [length(Outcomes), [{O, length([x || X <- Outcomes, X =:= O])} || O <- lists:usort(Outcomes)]]).

births_interpreted() ->
    persistent_term:put(interpret, true),
    try
        {V1, V2} = {server(t_bi, 1), server(t_bi, 2, "code_change(_,{1,50},bad) -> {error,no};")},
        [S, L, _, R] = window([t_bi], []),
        Rounds = [round(t_bi, V1, fun() -> up(V1, V2, [t_bi], [S, L, {3, {code_change, up, [{t_bi, {advanced, X}}]}}, R]) end) || X <- [fine, bad]],
        told(interpreted, Rounds),
        [case {O, maps:keys(Shapes)} of {new, [2]} -> ok; {old, [1]} -> ok end || {O, Shapes, _} <- Rounds]
    after persistent_term:erase(interpret)
    end.
