%% The pause budget: one busy process does not keep the others suspended.
-module(budget_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [server/2, server/3, load/1, is_now/1, start/2, ask/1, module/2, job/2, job/3, window/2, run/1, upgrade/1, settle/0, boot/1,
                      until_finished/1, wait/2, wait/3]).

tests() -> [others_go_on, never_free, busy_computing, budget_infinity, second_suspend, second_suspend_asks, hook_between, two_take_turns, long_queue, caller_first,
            busy_newborn, busy_dies, back_is_bounded, killed_between, guardian_killed_between, all_killed_between, aborted_between, deadline_between,
            suspended_between, suspended_between_and_failed, killed_in_attempts, busy_supervisor, busy_behind_a_load, interpreted_budget].

budget() -> 100.

%% A server that is in a callback for so long.
busy(P, Ms) -> gen_server:cast(P, fun() -> timer:sleep(Ms) end).

%% Calls servers all the time, each by a process of its own; and one that only sleeps, to know how long something waits on
%% this machine without any reason. Then: {the longest call, the longest delay}, in ms.
callers(Ps) ->
    Me = self(),
    Pids = [spawn(fun() -> calls(P, Me, 0) end) || P <- Ps],
    Clock = spawn(fun() -> ticks(Me, 0) end),
    timer:sleep(50),
    {Pids, Clock}.

calls(P, To, Max) ->
    {Us, _} = timer:tc(fun() -> gen_server:call(P, state, 60000) end),
    More = max(Us div 1000, Max),
    receive stop -> To ! {longest, self(), More} after 1 -> calls(P, To, More) end.

ticks(To, Max) ->
    {Us, _} = timer:tc(fun() -> receive stop -> self() ! stop after 1 -> ok end end),
    More = max(Us div 1000, Max),
    receive stop -> To ! {longest, self(), More} after 0 -> ticks(To, More) end.

longest({Pids, Clock}) ->
    All = [Clock | Pids],
    [P ! stop || P <- All],
    [Delay | Calls] = [receive {longest, P, Ms} -> Ms after 20000 -> error({no_answer, P}) end || P <- All],
    {lists:max(Calls), Delay}.

%% Twice the budget; the pause of the switch itself, and what the machine makes anything wait, come on top.
bounded(Callers) ->
    {Longest, Delay} = longest(Callers),
    Longest =< 2 * budget() + 60 + 2 * Delay orelse error({waited, Longest, Delay}),
    Longest.

job_of(Modules, Steps, More) -> job(Modules, Steps, maps:merge(#{budget => budget(), suspend_timeout => 20000}, More)).

suspended(Es) -> hd([Info || {step_finished, 1, _, Info} <- Es]).
postponed(Es) -> [Info || {suspend_postponed, _, Info} <- Es].

%% N servers of a module, in its first version.
some(M, N) ->
    %% Compiled before anything is busy.
    agent_tests:agent_binary(),
    {V1, V2} = {server(M, 1), server(M, 2)},
    load(V1),
    {V1, V2, [start(M, I) || I <- lists:seq(1, N)]}.

begun(Ms) -> receive {updo, _, _, {suspend_postponed, _, Info}} -> Info after Ms -> error(not_postponed) end.

others_go_on() -> others_go_on(2500).

others_go_on(BusyMs) ->
    {V1, V2, [B | Ps]} = some(t_bg, 40),
    Callers = callers(Ps),
    busy(B, BusyMs),
    {new, #{suspended_us := Us, called_off := Off}, Es} = upgrade(job_of([module(V2, V1)], window([t_bg], []), #{})),
    bounded(Callers),
    #{attempts := N} = suspended(Es),
    true = N >= 2 andalso N =< 4,
    Off = N - 1,
    [#{attempt := 1, us := Paused, processes := 39, waiting := 1, busy := [#{pid := Pid, at := <<"t_bg:handle_cast/2">>, ms := Ms}]} | _] = postponed(Es),
    Pid = list_to_binary(pid_to_list(B)),
    true = Paused >= 100000 andalso Ms >= 100,
    %% The time of the attempts is that of the pause, and not what lies in between.
    true = Us >= Paused andalso Us < 1500000,
    %% It is named once a second, and nothing is said to be suspended.
    [{0, 40, [#{pid := Pid}]} | _] = [{Done, Total, Who} || {step_progress, 1, Done, Total, Who} <- Es],
    is_now(V2),
    [{2, _, _} = ask(P) || P <- [B | Ps]].

never_free() ->
    {V1, V2, [B | Ps]} = some(t_nf, 40),
    Callers = callers(Ps),
    gen_server:cast(B, fun agent_tests:busy/0),
    {old, #{reason := {not_suspended, [#{pid := B, module := t_nf, current_function := {agent_tests, busy, 0}}]}, called_off := 1}, _} =
        run(job_of([module(V2, V1)], window([t_nf], []), #{suspend_timeout => 1500})),
    bounded(Callers),
    %% Its request is withdrawn: when it comes to it, it goes on at once.
    B ! go_on,
    {1, 1} = ask(B),
    settle(),
    is_now(V1),
    [{1, _} = ask(P) || P <- Ps].

%% Busy with computing, where looking at it takes a while.
busy_computing() ->
    {V1, V2, [B | Ps]} = some(t_nl, 20),
    Callers = callers(Ps),
    gen_server:cast(B, fun() -> loop(erlang:monotonic_time(millisecond) + 2000) end),
    {new, _, Es} = upgrade(job_of([module(V2, V1)], window([t_nl], []), #{})),
    bounded(Callers),
    [_ | _] = postponed(Es),
    [{2, _, _} = ask(P) || P <- [B | Ps]].

loop(Until) ->
    case erlang:monotonic_time(millisecond) < Until of
        true -> lists:seq(1, 20000), loop(Until);
        false -> ok
    end.

budget_infinity() ->
    {V1, V2, [B | Ps]} = some(t_bi, 5),
    Callers = callers(Ps),
    busy(B, 3000),
    {new, #{called_off := 0}, Es} = upgrade(job_of([module(V2, V1)], window([t_bi], []), #{budget => infinity})),
    {Longest, _} = longest(Callers),
    true = Longest > 500,
    #{attempts := 1} = suspended(Es),
    [] = postponed(Es).

%% Two suspensions, and then a window: with the second, the processes of the first are resumed as well.
second_suspend() ->
    {A1, A2, As} = some(t_s1, 20),
    {B1, B2, [B | Bs]} = some(t_s2, 20),
    Callers = callers(As ++ Bs),
    busy(B, 1500),
    Steps = [{0, {suspend, [[{t_s1, default}]]}}, {1, {suspend, [[{t_s2, default}]]}} | tl(window([t_s1, t_s2], []))],
    {new, _, Es} = upgrade(job_of([module(A2, A1), module(B2, B1)], Steps, #{})),
    bounded(Callers),
    [#{processes := 39} | _] = postponed(Es),
    [{2, _, _} = ask(P) || P <- [B | As ++ Bs]].

%% The processes of a second suspension have to be asked for their modules, while the first ones are suspended.
second_suspend_asks() ->
    {A1, A2, As} = some(t_m1, 20),
    H = fun(V) -> agent_tests:compile(io_lib:format(
        "-module(t_m2). -vsn(\"~b\"). -export([init/1, handle_event/2, handle_call/2, code_change/3]). init(X) -> {ok, X}. "
        "handle_event(Ms, S) -> timer:sleep(Ms), {ok, S}. handle_call(_, S) -> {ok, {~b, S}, S}. code_change(_, S, _) -> {ok, S + 1}.", [V, V])) end,
    {H1, H2} = {H(1), H(2)},
    load(H1),
    {ok, E} = gen_event:start(),
    ok = gen_event:add_handler(E, t_m2, 7),
    Callers = callers(As),
    gen_event:notify(E, 1500),
    Steps = [{0, {suspend, [[{t_m1, default}]]}}, {1, {suspend, [[{t_m2, default}]]}} | tl(window([t_m1, t_m2], []))],
    {new, _, Es} = upgrade(job_of([module(A2, A1), module(H2, H1)], Steps, #{handlers => [t_m2]})),
    bounded(Callers),
    [#{processes := 20, waiting := 1, busy := [_]} | _] = postponed(Es),
    {2, 8} = gen_event:call(E, t_m2, x),
    exit(E, kill),
    [{2, _, _} = ask(P) || P <- As].

%% What happens between two suspensions relies on the first one.
hook_between() ->
    {A1, A2, [A | _] = As} = some(t_h1, 5),
    {B1, B2, [B | Bs]} = some(t_h2, 5),
    busy(B, 800),
    Steps = [{0, {suspend, [[{t_h1, default}]]}}, {9, {apply, {?MODULE, must_be_suspended, [A]}}},
             {1, {suspend, [[{t_h2, default}]]}} | tl(window([t_h1, t_h2], []))],
    {new, #{called_off := 0}, Es} = upgrade(job_of([module(A2, A1), module(B2, B1)], Steps, #{})),
    #{attempts := 1} = suspended(Es),
    [{2, _, _} = ask(P) || P <- [B | As ++ Bs]].

must_be_suspended(P) -> {_, {sys, _, _}} = process_info(P, current_function), ok.

%% Two that are hardly ever free at the same time: they are gathered while the others run.
two_take_turns() ->
    {V1, V2, [A, B | Ps]} = some(t_tt, 40),
    Callers = callers(Ps),
    Feeders = [spawn(fun() -> feed(P, 150) end) || P <- [A, B]],
    {new, _, Es} = upgrade(job_of([module(V2, V1)], window([t_tt], []), #{})),
    [exit(F, kill) || F <- Feeders],
    bounded(Callers),
    true = length(postponed(Es)) =< maps:get(attempts, suspended(Es)),
    [{2, _, _} = ask(P) || P <- Ps].

feed(P, Ms) -> gen_server:call(P, {eval, fun() -> timer:sleep(Ms) end}, infinity), feed(P, Ms).

%% The request comes behind everything that is in the queue already.
long_queue() ->
    {V1, V2, [B | Ps]} = some(t_lq, 40),
    Callers = callers(Ps),
    Feeders = [spawn(fun() -> feed(B, 120) end) || _ <- lists:seq(1, 6)],
    timer:sleep(50),
    {new, _, Es} = upgrade(job_of([module(V2, V1)], window([t_lq], []), #{})),
    [exit(F, kill) || F <- Feeders],
    bounded(Callers),
    [_ | _] = postponed(Es).

%% One that calls the busy one all the time, and is suspended before it.
caller_first() ->
    [A1, A2, B1, B2] = [server(M, V) || M <- [t_cf, t_cb], V <- [1, 2]],
    [load(X) || X <- [A1, B1]],
    [A | As] = [start(t_cf, I) || I <- lists:seq(1, 20)],
    B = start(t_cb, 1),
    Callers = callers(As),
    Call = fun() -> gen_server:call(B, {eval, fun() -> timer:sleep(300) end}, infinity) end,
    Feeder = spawn(fun() -> calling(A, Call) end),
    timer:sleep(20),
    {new, _, _} = upgrade(job_of([module(A2, A1), module(B2, B1)], window([t_cf, t_cb], []), #{})),
    exit(Feeder, kill),
    bounded(Callers),
    [{2, _, _} = ask(P) || P <- [A, B | As]].

calling(A, F) -> gen_server:call(A, {eval, F}, infinity), calling(A, F).

%% Born while the others are being suspended, and busy at once.
busy_newborn() ->
    {V1, V2, [L | Ps]} = some(t_nb, 40),
    Callers = callers(Ps),
    Me = self(),
    spawn(fun() ->
        wait(fun() -> length(agent_tests:suspended()) > 5 end, not_suspended, 6000),
        P = start(t_nb, 41),
        busy(P, 1000),
        L ! go_on,
        Me ! {born, P}
    end),
    gen_server:cast(L, fun agent_tests:busy/0),
    {new, _, Es} = upgrade(job_of([module(V2, V1)], window([t_nb], []), #{})),
    [_ | _] = postponed(Es),
    bounded(Callers),
    receive {born, P} -> ok end,
    true = element(1, ask(P)) =:= 2.

busy_dies() ->
    {V1, V2, [A, B | Ps]} = some(t_bd, 20),
    Callers = callers(Ps),
    [gen_server:cast(P, fun agent_tests:busy/0) || P <- [A, B]],
    {ok, _} = boot(job_of([module(V2, V1)], window([t_bd], []), #{})),
    #{waiting := 2} = begun(20000),
    exit(A, kill),
    timer:sleep(50),
    exit(B, kill),
    {new, _, Es} = until_finished([]),
    settle(),
    bounded(Callers),
    #{dead := 2} = suspended(Es),
    [{2, _, _} = ask(P) || P <- Ps].

%% The second window fails; on the way back through the first one a server is busy.
back_is_bounded() ->
    {A1, A2, [A | As]} = some(t_ba, 40),
    {B1, B2} = {server(t_bb, 1), server(t_bb, 2, "code_change(_,{1,X},_) -> [P ! go || P <- [whereis(t_ba_busy)], is_pid(P)], timer:sleep(100), error(X);")},
    load(B1),
    start(t_bb, 1),
    Callers = callers(As),
    Steps = [{1, {suspend, [[{t_ba, default}]]}}, {2, {load, [t_ba]}}, {3, {code_change, up, [{t_ba, {advanced, x}}]}}, {4, {resume, [t_ba]}},
             {5, {suspend, [[{t_bb, default}]]}}, {6, {load, [t_bb]}}, {7, {code_change, up, [{t_bb, {advanced, x}}]}}, {8, {resume, [t_bb]}}],
    Back = [{11, {suspend, [[{t_ba, default}]]}}, {12, {code_change, down, [{t_ba, {advanced, x}}]}}, {13, {load, [t_ba]}}, {14, {resume, [t_ba]}}],
    Wait = spawn(fun() -> receive go -> busy(A, 1500) end end),
    register(t_ba_busy, Wait),
    {old, #{reason := {conversion_failed, _}}, Es} = upgrade(job_of([module(A2, A1), module(B2, B1)], Steps, #{back => [Back, none]})),
    bounded(Callers),
    [#{attempts := N}] = [Info || {step_finished, 11, _, Info} <- Es],
    true = N > 1,
    [{1, _} = ask(P) || P <- [A | As]].

%% ---------------------------------------------------------------------------------------------------------------
%% Between two attempts

%% {servers, versions, guardian, executor}: the first attempt is over, and one server busy until it gets `go_on`.
between(M, More) ->
    {V1, V2, [B | _] = Ps} = some(M, 30),
    gen_server:cast(B, fun agent_tests:busy/0),
    {ok, _} = boot(job_of([module(V2, V1)], window([M], []), More)),
    Exec = receive {updo, _, _, {started, #{executor := E}}} -> E end,
    begun(20000),
    wait(fun() -> agent_tests:suspended() =:= [] end, suspended),
    {Ps, {V1, V2}, whereis(updo_run), Exec}.

killed_between() ->
    {[B | Ps], {V1, _}, _, Exec} = between(t_kb, #{}),
    exit(Exec, kill),
    {old, #{reason := {executor_died, _}}, _} = until_finished([]),
    B ! go_on,
    settle(),
    is_now(V1),
    [{1, _} = ask(P) || P <- [B | Ps]].

guardian_killed_between() ->
    {[B | Ps], {_, V2}, Guardian, _} = between(t_gb, #{}),
    exit(Guardian, kill),
    B ! go_on,
    {new, _, _} = until_finished([]),
    settle(),
    is_now(V2),
    [{2, _, _} = ask(P) || P <- [B | Ps]].

%% The watchdog resumes all; the busy one finds both requests in its queue.
all_killed_between() ->
    {[B | Ps], {V1, _}, Guardian, Exec} = between(t_ab, #{}),
    true = lists:all(fun(P) -> is_process_alive(P) end, [Guardian, Exec]),
    watchdog_tests:kill_all(),
    receive {updo, _, _, {finished, old, #{reason := agent_killed}}} -> ok after 20000 -> error(no_finish) end,
    B ! go_on,
    is_now(V1),
    [{1, _} = ask(P) || P <- [B | Ps]],
    watchdog_tests:over().

aborted_between() ->
    {[B | Ps], {V1, _}, Guardian, _} = between(t_xb, #{}),
    Guardian ! updo_abort,
    {old, #{reason := {aborted, 1}}, _} = until_finished([]),
    B ! go_on,
    settle(),
    is_now(V1),
    [{1, _} = ask(P) || P <- [B | Ps]].

deadline_between() ->
    {[B | Ps], {V1, _}, _, _} = between(t_lb, #{deadline => 3000}),
    {old, #{reason := {deadline, 1}}, _} = until_finished([]),
    B ! go_on,
    settle(),
    is_now(V1),
    [{1, _} = ask(P) || P <- [B | Ps]].

%% By something else, while the run waits: it is converted, and stays suspended.
suspended_between() ->
    {[B, X | Ps], _, _, _} = between(t_sb, #{}),
    ok = sys:suspend(X),
    B ! go_on,
    {new, _, _} = until_finished([]),
    settle(),
    must_be_suspended(X),
    ok = sys:resume(X),
    [{2, _, _} = ask(P) || P <- [B, X | Ps]].

suspended_between_and_failed() ->
    {[B, X | Ps], _, _, _} = between(t_sf, #{suspend_timeout => 1000}),
    ok = sys:suspend(X),
    {old, _, _} = until_finished([]),
    must_be_suspended(X),
    ok = sys:resume(X),
    B ! go_on,
    settle(),
    [{1, _} = ask(P) || P <- [B, X | Ps]].

%% At any moment, while two servers are free by turns: wholly old or wholly new, and everything runs.
killed_in_attempts() ->
    All = [killed_in_attempts(Which, rand:uniform(150)) || _ <- lists:seq(1, 8), Which <- [executor, guardian, all]],
    io:format("        ~p~n", [[{O, length([x || X <- All, X =:= O])} || O <- lists:usort(All)]]).

killed_in_attempts(Which, Ms) ->
    {V1, V2, [A, B | _] = Ps} = some(t_ka, 30),
    Feeders = [spawn(fun() -> feed(P, 70) end) || P <- [A, B]],
    timer:sleep(30),
    {ok, _} = agent_tests:boot_fast(job_of([module(V2, V1)], window([t_ka], []), #{budget => 30})),
    Exec = receive {updo, _, _, {started, #{executor := E}}} -> E end,
    receive {updo, _, _, {step_started, 1}} -> ok end,
    timer:sleep(Ms),
    case Which of
        executor -> exit(Exec, kill);
        guardian -> [exit(G, kill) || G <- [whereis(updo_run)], is_pid(G)];
        all -> watchdog_tests:kill_all()
    end,
    {O, Info, _, _} = watchdog_tests:finished([]),
    [exit(F, kill) || F <- Feeders],
    wait(fun() -> agent_tests:suspended() =:= [] end, suspended),
    %% Killed between the switch and the resume, the watchdog does not undo.
    case O of
        old -> is_now(V1), [{1, _} = ask(P) || P <- Ps];
        new -> is_now(V2), [{2, _, _} = ask(P) || P <- Ps];
        mixed when Which =:= all -> #{reason := agent_killed} = Info
    end,
    %% A watchdog that was left alone keeps the result under the name of the lock.
    wait(fun() ->
             [L ! updo_settle || L <- [whereis(updo_run)], is_pid(L)],
             whereis(updo_run) =:= undefined andalso watchdog_tests:watchdogs() =:= []
         end, lock_left),
    watchdog_tests:over(),
    [exit(P, kill) || P <- Ps],
    O.

%% A supervisor that starts a child which takes long, and other supervisors of the same module.
busy_supervisor() ->
    V = fun(N) -> agent_tests:compile(io_lib:format(
        "-module(t_bsup). -vsn(\"~b\"). -behaviour(supervisor). -export([init/1, slow/1, v/0]). v() -> ~b. "
        "init(_) -> {ok, {{one_for_one, 1, 5}, []}}. "
        "slow(Ms) -> timer:sleep(Ms), {ok, spawn_link(fun() -> receive stop -> ok end end)}.", [N, N])) end,
    {V1, V2} = {V(1), V(2)},
    load(V1),
    [S | Sups] = [begin {ok, P} = supervisor:start_link(t_bsup, []), P end || _ <- lists:seq(1, 5)],
    Me = self(),
    Counts = fun Counts(P, Max) ->
        {Us, _} = timer:tc(fun() -> supervisor:count_children(P) end),
        receive stop -> Me ! {counted, max(Max, Us div 1000)} after 1 -> Counts(P, max(Max, Us div 1000)) end
    end,
    Counters = [spawn(fun() -> Counts(P, 0) end) || P <- Sups],
    Clock = callers([]),
    spawn(fun() -> supervisor:start_child(S, {c, {t_bsup, slow, [1500]}, temporary, 100, worker, []}) end),
    timer:sleep(50),
    {new, _, Es} = upgrade(job_of([module(V2, V1)], [{1, {suspend, [[{t_bsup, default}]]}} | tl(window([t_bsup], []))], #{supervisors => [t_bsup]})),
    [C ! stop || C <- Counters],
    Longest = lists:max([receive {counted, Ms} -> Ms end || _ <- Counters]),
    {_, {_, Delay}} = {Clock, longest_delay(Clock)},
    true = Longest =< 2 * budget() + 60 + 2 * Delay,
    [_ | _] = postponed(Es),
    is_now(V2),
    [begin unlink(P), exit(P, kill) end || P <- [S | Sups]].

longest_delay({[], Clock}) -> Clock ! stop, receive {longest, Clock, Ms} -> {0, Ms} end.

interpreted_budget() ->
    persistent_term:put(interpret, true),
    %% An interpreted agent comes to life more slowly.
    try others_go_on(6000) after persistent_term:put(interpret, false) end.

%% A library is new already when a server does not suspend: all is old again, for the server has been asked for nothing else.
busy_behind_a_load() ->
    {V1, V2, [B | _]} = some(t_bh, 3),
    [L1, L2] = [agent_tests:plain(t_bhl, V) || V <- [1, 2]],
    load(L1),
    busy(B, 2000),
    Steps = [{1, {load, [t_bhl]}}, {2, {suspend, [[{t_bh, 300}]]}}, {3, {load, [t_bh]}},
             {4, {code_change, up, [{t_bh, {advanced, extra}}]}}, {5, {resume, [t_bh]}}],
    {old, _, _} = run(job([module(L2, L1), module(V2, V1)], Steps, #{budget => infinity})),
    settle(),
    is_now(L1),
    is_now(V1),
    {1, 1} = ask(B).
