%% Executor, guardian and workers killed in the same instant: no process stays suspended, and what
%% the watchdog says of the node is true. Part of agent_tests.erl, which runs them.
-module(watchdog_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [load/1, module/2, job/2, job/3, window/2, server/2, server/3, start/2, ask/1, clean/0, boot_fast/1,
                      is_now/1, flush/0, wait/2, wait/3, suspended/0, interpreted/1]).

tests() -> [all_killed, all_killed_failing, all_killed_settings, all_killed_later, watchdog_replaced, all_killed_interpreted, all_killed_early, all_killed_first, nothing_stays_of_both_killed].

rounds() -> list_to_integer(os:getenv("UPDO_KILLS", "12")).

%% Everything with a frame of the agent's module.
agents() ->
    [P || P <- processes(), {_, Stack} <- [process_info(P, current_stacktrace)],
          lists:any(fun({M, _, _, _}) -> lists:prefix("updo_agent_", atom_to_list(M)) end, Stack)].

watchdogs() -> [whereis(N) || N <- registered(), lists:prefix("updo_watchdog_", atom_to_list(N))].

%% In one instant: with no other scheduler at work and at the highest priority, none of them runs
%% between the first signal and the last, so none can make a successor of another.
kill_all() -> together(fun() -> [exit(P, kill) || P <- agents()] end).

together(Kill) ->
    Was = process_flag(priority, max),
    erlang:system_flag(multi_scheduling, block),
    Kill(),
    erlang:system_flag(multi_scheduling, unblock),
    process_flag(priority, Was).

finished(Es) ->
    receive
        {updo, <<"7f2a">>, Seq, {finished, O, Info}} -> {O, Info, Seq, Es};
        {updo, <<"7f2a">>, _, E} -> finished([E | Es])
    after 10000 -> error({no_finish, Es})
    end.

%% A watchdog that takes the lock has neither name for a moment: hence looked at twice.
over() ->
    Gone = fun() ->
               case whereis(updo_run) of undefined -> ok; G -> G ! updo_settle end,
               watchdogs() =:= [] andalso agents() =:= [] andalso whereis(updo_run) =:= undefined
           end,
    wait(fun() -> Gone() andalso begin timer:sleep(20), Gone() end end, agent_left, 1000),
    clean(),
    flush().

keys(P) ->
    {_, D} = process_info(P, dictionary),
    [K || {K, _} <- D, case K of '$updo_saved' -> true; {'$updo_saved', _, _} -> true; '$updo_asking' -> true; _ -> false end].

%% At any moment of a run that goes well.
all_killed() -> outcomes(fun(V) -> server(t_wd, V) end, rounds()).

%% At any moment of one that is undone.
all_killed_failing() -> outcomes(fun(V) -> server(t_wf, V, "code_change(_,{1,25},_) -> error({no,good});") end, rounds()).

all_killed_interpreted() -> interpreted(fun() -> outcomes(fun(V) -> server(t_wi, V) end, 4) end).

outcomes(Make, Rounds) ->
    {{M, _} = V1, V2} = {Make(1), Make(2)},
    load(V1),
    Ps = [start(M, I) || I <- lists:seq(1, 300)],
    {ok, _} = boot_fast(job([module(V2, V1)], window([M], []))),
    {Us, _} = timer:tc(fun() -> finished([]) end),
    over(),
    [exit(P, kill) || P <- Ps],
    All = [killed_at(rand:uniform(Us), V1, V2) || _ <- lists:seq(1, Rounds)],
    io:format("        ~p~n", [[{O, length([x || X <- All, X =:= O])} || O <- lists:usort(All)]]).

killed_at(Us, {M, _} = V1, V2) ->
    load(V1),
    Ps = [start(M, I) || I <- lists:seq(1, 300)],
    {ok, _} = boot_fast(job([module(V2, V1)], window([M], []))),
    agent_tests:spin(Us),
    kill_all(),
    {O, Info, _, _} = finished([]),
    wait(fun() -> suspended() =:= [] end, suspended),
    case O of
        old ->
            is_now(V1),
            [{1, I} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 300), Ps)],
            [[] = keys(P) || P <- Ps];
        new ->
            is_now(V2),
            [{2, I, _} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 300), Ps)],
            %% One of them may have been born while the others were killed: then they go on as ever.
            [G ! updo_settle || maps:get(reason, Info, none) =/= agent_killed, G <- [whereis(updo_run)], is_pid(G)],
            wait(fun() -> lists:all(fun(P) -> keys(P) =:= [] end, Ps) end, keys);
        %% Switched, not all converted: what is said of the code is true, and a converted process
        %% has the key that shows it.
        mixed ->
            is_now(V2),
            #{switched_code := [M], former_code := [], left := 0} = Info,
            [case sys:get_state(P) of {2, _, _} -> ['$updo_saved'] = keys(P); {1, _} -> ok end || P <- Ps]
    end,
    over(),
    [exit(P, kill) || P <- Ps],
    O.

%% What the run has set before the switch is put back.
all_killed_settings() ->
    {V1, V2} = {server(t_ws, 1), server(t_ws, 2)},
    load(V1),
    P = start(t_ws, 1),
    application:set_env(kernel, updo_kept, 1),
    Steps = [{1, {env, [{kernel, updo_new, 2}, {kernel, updo_kept, 1, 3}]}}, {2, {suspend, [[{t_ws, default}]]}},
             {3, {apply, {timer, sleep, [5000]}}}, {4, {load, [t_ws]}}, {5, {resume, [t_ws]}}],
    {ok, _} = boot_fast(job([module(V2, V1)], Steps)),
    wait(fun() -> suspended() =:= [P] end, not_suspended),
    {ok, 3} = application:get_env(kernel, updo_kept),
    kill_all(),
    {old, #{resumed := 1, reason := agent_killed}, _, _} = finished([]),
    {1, 1} = ask(P),
    {undefined, {ok, 1}} = {application:get_env(kernel, updo_new), application:get_env(kernel, updo_kept)},
    over(),
    application:unset_env(kernel, updo_kept),
    exit(P, kill).

%% The process that monitors what was suspended outlives executor and guardian, but not for long: the agent's module goes.
nothing_stays_of_both_killed() ->
    {V1, V2} = {server(t_wb, 1), server(t_wb, 2)},
    load(V1),
    P = start(t_wb, 1),
    Steps = [{1, {suspend, [[{t_wb, default}]]}}, {2, {apply, {timer, sleep, [5000]}}}, {3, {load, [t_wb]}}, {4, {resume, [t_wb]}}],
    {ok, _} = boot_fast(job([module(V2, V1)], Steps)),
    {G, E} = receive {updo, _, _, {started, #{guardian := G0, executor := E0}}} -> {G0, E0} after 5000 -> error(not_started) end,
    wait(fun() -> suspended() =:= [P] end, not_suspended),
    together(fun() -> [exit(Q, kill) || Q <- [G, E]] end),
    T = erlang:monotonic_time(millisecond),
    {old, #{resumed := 1, reason := agent_killed}, _, _} = finished([]),
    {1, 1} = ask(P),
    Agents = fun() -> [M || {M, _} <- code:all_loaded(), lists:prefix("updo_agent_", atom_to_list(M))] end,
    wait(fun() -> agents() =:= [] andalso Agents() =:= [] end, agent_left, 2000),
    Ms = erlang:monotonic_time(millisecond) - T,
    io:format("        gone after ~p ms~n", [Ms]),
    {true, _} = {Ms < 4000, Ms},
    over(),
    exit(P, kill).

%% After the result is known and before it is settled: the keys go, the result can be had.
all_killed_later() ->
    {V1, V2} = {server(t_wl, 1), server(t_wl, 2)},
    load(V1),
    Ps = [start(t_wl, I) || I <- lists:seq(1, 50)],
    {ok, _} = boot_fast(job([module(V2, V1)], window([t_wl], []))),
    {new, _, First, _} = finished([]),
    kill_all(),
    {new, #{reason := agent_killed}, Second, _} = finished([]),
    true = Second > First,
    [{2, I, _} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 50), Ps)],
    wait(fun() -> lists:all(fun(P) -> keys(P) =:= [] end, Ps) end, keys),
    wait(fun() -> code:is_loaded(updo_agent_7f2a) =:= false end, module_left),
    flush(),
    updo_run ! {updo_attach, self()},
    {new, #{reason := agent_killed}, Second, []} = finished([]),
    receive {updo, _, _, {settled, #{killed := true}}} -> ok after 1000 -> error(no_settled) end,
    receive {updo, _, 0, {watchers, 0}} -> ok after 1000 -> error(no_watchers) end,
    over(),
    [exit(P, kill) || P <- Ps].

%% A watchdog that is killed alone is replaced by one that knows the same.
watchdog_replaced() ->
    {V1, V2} = {server(t_wr, 1), server(t_wr, 2)},
    load(V1),
    Ps = [start(t_wr, I) || I <- lists:seq(1, 50)],
    Steps = [{1, {suspend, [[{t_wr, default}]]}}, {2, {hook, 20000, wait}}, {3, {load, [t_wr]}}, {4, {resume, [t_wr]}}],
    {ok, G} = boot_fast(job([module(V2, V1)], Steps)),
    wait(fun() -> length(suspended()) =:= 50 end, not_suspended),
    [Dog] = watchdogs(),
    exit(Dog, kill),
    wait(fun() -> case watchdogs() of [Other] -> Other =/= Dog; [] -> false end end, not_replaced),
    %% A guardian that follows another is known to it as well.
    exit(G, kill),
    wait(fun() -> case whereis(updo_run) of undefined -> false; Other -> Other =/= G end end, no_guardian),
    timer:sleep(700),
    50 = length(suspended()),
    kill_all(),
    %% One of them may have been born while the others were killed: then it is an undo as ever.
    case finished([]) of
        {old, #{resumed := 50}, _, _} -> ok;
        {old, #{reason := {executor_died, _}}, _, _} -> agent_tests:settle()
    end,
    [] = suspended(),
    [{1, I} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 50), Ps)],
    over(),
    [exit(P, kill) || P <- Ps].

%% Before OTP 27, killed when breakpoints have been set and no process is known to be suspended yet:
%% they go all the same.
all_killed_early() ->
    {{M, _} = V1, V2} = {server(t_wk, 1), server(t_wk, 2)},
    load(V1),
    Ps = [start(M, I) || I <- lists:seq(1, 300)],
    {ok, _} = boot_fast(job([module(V2, V1)], window([M], []))),
    case list_to_integer(erlang:system_info(otp_release)) < 27 of
        true -> at_breakpoint(M, 20000);
        false -> ok
    end,
    kill_all(),
    {O, _, _, _} = finished([]),
    true = lists:member(O, [old, new, mixed]),
    wait(fun() -> erlang:trace_info({M, init, 1}, traced) =:= {traced, false} end, breakpoint),
    over(),
    [exit(P, kill) || P <- Ps].

at_breakpoint(M, N) when N > 0 ->
    case erlang:trace_info({M, init, 1}, traced) of
        {traced, false} -> erlang:yield(), at_breakpoint(M, N - 1);
        _ -> ok
    end;
at_breakpoint(_, _) -> ok.

%% Before anything is begun: the name of the lock is free again by itself, with no result to be fetched.
all_killed_first() ->
    {{M, _} = V1, V2} = {server(t_wo, 1), server(t_wo, 2)},
    load(V1),
    Ps = [start(M, I) || I <- lists:seq(1, 300)],
    Times = [killed_first(job([module(V2, V1)], window([M], []))) || _ <- lists:seq(1, 5)],
    true = lists:member(nothing, Times),
    [exit(P, kill) || P <- Ps].

killed_first(Job) ->
    {ok, _} = boot_fast(Job),
    kill_all(),
    case finished([]) of
        {old, #{resumed := 0}, _, _} ->
            wait(fun() -> whereis(updo_run) =:= undefined andalso watchdogs() =:= [] end, free, 100),
            over(),
            nothing;
        _ -> over(), begun
    end.
