%% Twins: new versions loaded beside what runs, and gone whenever a run is over. Part of agent_tests.erl, which runs them.
%% What makes their beams is not the agent's business: here they are compiled under the names that they have.
-module(twins_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/2, job/3, window/2, server/2, start/2, ask/1, clean/0, boot/1, run/1,
                      settle/0, upgrade/1, is_now/1, interpreted/1, wait/2]).

tests() -> [twins_beside, twins_with_a_window, twins_end_with_the_run, twins_refused, twins_in_use, twins_executor_killed,
            twins_guardian_killed, twins_all_killed, twins_client_gone, twins_left_by_nobody, twins_full, twins_interpreted].

%% Two modules that call each other, as twins: {Name, Twin, Beam}.
made() ->
    [{t_tw, 't_tw@updo', compile("-module('t_tw@updo'). -export([v/0,other/0,wait/0]). v() -> 2. other() -> 't_tx@updo':v(). "
                                 "wait() -> receive go -> ok end, F = fun() -> v() end, F().")},
     {t_tx, 't_tx@updo', compile("-module('t_tx@updo'). -export([v/0]). v() -> 3.")}].

twins() -> [#{name => M, twin => N, new => B, funs => 1} || {M, N, {_, B}} <- made()].

names() -> ['t_tw@updo', 't_tx@updo'].
there() -> [N || N <- names(), erlang:module_loaded(N) orelse erlang:check_old_code(N)].
gone() -> wait(fun() -> there() =:= [] end, there()).

%% Loads twins, waits for the hook, goes on.
trial(More) -> trial(More, [{1, {twins_load, [t_tw, t_tx]}}, {2, {hook, 10000, trial}}]).
trial(More, Steps) -> job([], Steps, More#{twins => twins()}).

hooked() -> {Id, _} = hooked([]), Id.

%% With the events before it.
hooked(Es) ->
    receive
        {updo, _, _, {hook, Id}} -> {Id, Es};
        {updo, _, _, E} -> hooked([E | Es])
    after 10000 -> error({no_hook, Es})
    end.

go_on(Id) -> whereis(updo_run) ! {updo_hook, Id, true}.
over(Es) ->
    receive
        {updo, _, _, {finished, O, Info}} -> {O, Info, lists:reverse(Es)};
        {updo, _, _, E} -> over([E | Es])
    after 10000 -> error({not_over, Es})
    end.

%% Next to the running version, unnoticed by its callers; gone after the step that says so.
twins_beside() ->
    load(server(t_tw, 1)),
    P = start(t_tw, 1),
    Steps = [{1, {twins_load, [t_tw, t_tx]}}, {2, {hook, 10000, a}}, {3, {twins_drop, [t_tw, t_tx]}}, {4, {hook, 10000, b}}],
    {ok, _} = boot(trial(#{}, Steps)),
    {2, Loaded} = hooked([]),
    [#{twins := 2}] = [Info || {step_finished, 1, _, Info} <- Loaded],
    {1, 2, 3, 3} = {t_tw:v(), 't_tw@updo':v(), 't_tx@updo':v(), 't_tw@updo':other()},
    {1, 1} = ask(P),
    go_on(2),
    {4, Dropped} = hooked([]),
    [#{twins := 2, left := []}] = [Info || {step_finished, 3, _, Info} <- Dropped],
    [] = there(),
    go_on(4),
    {new, _, _} = over([]),
    settle().

%% Tried, then upgraded: two versions and a twin at a time.
twins_with_a_window() ->
    {V1, V2} = {server(t_tw, 1), server(t_tw, 2)},
    load(V1),
    P = start(t_tw, 1),
    [{Id0, Suspend} | Rest] = window([t_tw], []),
    Steps = [{11, {twins_load, [t_tw]}}, {Id0, Suspend}, {12, {twins_drop, [t_tw]}} | Rest],
    {new, _, _} = upgrade(job([module(V2, V1)], Steps, #{twins => twins()})),
    {2, 1, _} = ask(P),
    is_now(V2),
    gone().

%% No step drops them: new, old and refused runs.
twins_end_with_the_run() ->
    {ok, _} = boot(trial(#{})),
    go_on(hooked()),
    {new, _, _} = over([]),
    gone(),
    settle(),
    clean(),
    {ok, _} = boot(trial(#{})),
    Id = hooked(),
    ['t_tw@updo', 't_tx@updo'] = there(),
    whereis(updo_run) ! {updo_hook, Id, false},
    {old, #{reason := {hook_failed, Id}}, _} = over([]),
    gone(),
    settle(),
    clean(),
    {ok, _} = boot(trial(#{})),
    hooked(),
    whereis(updo_run) ! updo_abort,
    {old, #{reason := {aborted, 2}}, _} = over([]),
    gone(),
    settle().

%% All or none.
twins_refused() ->
    [One, Two] = twins(),
    Load = [{1, {twins_load, [t_tw, t_tx]}}],
    {old, #{reason := {twins_not_loadable, [{'t_tx@updo', badfile}]}}, _} =
        upgrade(job([], Load, #{twins => [One, Two#{new := <<"no beam">>}]})),
    [] = there(),
    %% The beam of another module.
    {old, #{reason := {twins_not_loadable, [{'t_tx@updo', badfile}]}}, _} =
        upgrade(job([], Load, #{twins => [One, Two#{new := maps:get(new, One)}]})),
    [] = there(),
    {old, #{reason := {not_in_job, t_tx}}, _} = upgrade(job([], Load, #{twins => [One]})),
    [] = there().

%% A process that has come into a twin is left alone, said, and in the way of the next run only.
twins_in_use() ->
    {ok, _} = boot(trial(#{})),
    Id = hooked(),
    P = spawn('t_tw@updo', wait, []),
    wait(fun() -> process_info(P, current_function) =:= {current_function, {'t_tw@updo', wait, 0}} end, not_in_twin),
    go_on(Id),
    {new, _, _} = over([]),
    receive {updo, _, _, {twins_left, ['t_tw@updo']}} -> ok after 5000 -> error(not_told) end,
    true = is_process_alive(P),
    ['t_tw@updo'] = there(),
    settle(),
    clean(),
    {old, #{reason := {twins_in_use, ['t_tw@updo']}}, _} = upgrade(trial(#{})),
    true = is_process_alive(P),
    exit(P, kill),
    %% What an earlier run has left, current or old, makes room.
    load(element(3, hd(made()))),
    {ok, _} = boot(trial(#{})),
    go_on(hooked()),
    {new, _, _} = over([]),
    gone(),
    settle().

killed(Who) ->
    {ok, G} = boot(trial(#{})),
    {Id, Es} = hooked([]),
    [Exec] = [E || {started, #{executor := E}} <- Es],
    ['t_tw@updo', 't_tx@updo'] = there(),
    [exit(P, kill) || {Which, P} <- [{guardian, G}, {executor, Exec}], lists:member(Which, Who)],
    Id.

twins_executor_killed() ->
    killed([executor]),
    {old, _, _} = over([]),
    gone(),
    settle().

twins_guardian_killed() ->
    Id = killed([guardian]),
    receive {updo, _, _, {guardian_replaced, _}} -> ok after 5000 -> error(no_guardian) end,
    go_on(Id),
    {new, _, _} = over([]),
    gone(),
    settle().

twins_all_killed() ->
    killed([guardian, executor]),
    gone(),
    watchdog_tests:over(),
    %% A watchdog that has come later knows it from the log.
    {ok, G} = boot(trial(#{})),
    {_, Es} = hooked([]),
    [Exec] = [E || {started, #{executor := E}} <- Es],
    [Dog] = watchdog_tests:watchdogs(),
    exit(Dog, kill),
    wait(fun() -> case watchdog_tests:watchdogs() of [New] when is_pid(New) -> New =/= Dog; _ -> false end end, no_watchdog),
    timer:sleep(20),
    ['t_tw@updo', 't_tx@updo'] = there(),
    [exit(P, kill) || P <- [G, Exec]],
    gone(),
    watchdog_tests:over().

%% The client dies in the trial: no answer comes, nothing stays.
twins_client_gone() ->
    Me = self(),
    {Client, Mon} = spawn_monitor(fun() -> {ok, G} = boot((trial(#{}))#{watcher := self()}), Me ! {guardian, G}, hooked(), Me ! hooked,
                                           receive never -> ok end end),
    receive {guardian, _} -> ok end,
    receive hooked -> ok end,
    ['t_tw@updo', 't_tx@updo'] = there(),
    exit(Client, kill),
    receive {'DOWN', Mon, _, _, _} -> ok end,
    wait(fun() -> there() =:= [] end, there),
    %% The hook waits for a client to attach; none does.
    wait(fun() -> case whereis(updo_run) of undefined -> true; G -> G ! updo_settle, false end end, kept).

%% Dropping what is not there is nothing.
twins_left_by_nobody() ->
    {new, _, Es} = upgrade(trial(#{}, [{1, {twins_drop, [t_tw, t_tx]}}])),
    [#{twins := 2, left := []}] = [Info || {step_finished, 1, _, Info} <- Es].

%% From OTP 29 on the table of funs has an end: refused in good time.
twins_full() ->
    Job = trial(#{}, [{1, {twins_load, [t_tw]}}]),
    Result = upgrade(Job#{twins := [T#{funs := 1 bsl 30} || T <- twins()]}),
    case list_to_integer(erlang:system_info(otp_release)) >= 29 of
        true ->
            {old, #{reason := {fun_table_full, #{entries := N, limit := Limit, funs := _}}}, _} = Result,
            true = N > 100 andalso N < Limit;
        false -> {new, _, _} = Result
    end,
    gone().

twins_interpreted() -> interpreted(fun() -> twins_end_with_the_run(), clean(), twins_in_use(), clean(), twins_all_killed() end).
