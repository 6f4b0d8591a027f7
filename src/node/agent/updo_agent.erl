%% updo_agent: runs one upgrade as a transaction, from inside the node that is upgraded.
%%
%% Takes a job (a map, see PROTOCOL.md), gives events to a watcher. Whatever happens, the node ends fully new
%% or fully old, nobody stays suspended, or the last event says `mixed` and what to do by hand.
%%
%% Three kinds of processes, none linked to the connection:
%%   guardian   holds the lock (the name updo_run) and a copy of the log; starts a new executor when one dies
%%   executor   takes the decisions; starts a new guardian when that one dies
%%   workers    one per scheduler, linked to the executor; every process of the node belongs to one worker (by
%%              phash2), so that all system messages to it have one sender and arrive in the order of decision
%%
%% Every step is told to the guardian before it is taken; signals between two processes keep their order, so when
%% the guardian learns of the executor's death it already knows how far that one can have come.
%%
%% This text is compiled on the node or, without a compiler, interpreted by erl_eval. Therefore: no macros, no
%% records, no `fun name/arity`, no comprehension newer than OTP 23, only documented functions of kernel and stdlib.
-module(updo_agent).
-export([start/1]).

%% ---------------------------------------------------------------------------------------------------------------
%% Constants

quiet() -> 5.               % ms without any answer after which a worker stops to count the unanswered ones
patience() -> 25.           % ms after which the executor looks at those who have not answered
grace() -> 5000.            % ms that an undo waits for processes that are still inside code_change
keep() -> 300000.           % ms that the result is kept when nobody has seen it
named() -> 20.              % processes described one by one in a reason
max_text() -> 4000.         % characters of a text in an event
max_lives() -> 5.           % executors that a guardian starts before it gives up

%% ---------------------------------------------------------------------------------------------------------------
%% Start

%% {ok, Guardian} | {error, {locked, Info}}. The caller gets no link and no monitor.
start(Job) -> start(Job, 5).

start(_Job, 0) -> {error, {locked, #{}}};
start(Job, Tries) ->
    Me = self(),
    Ref = make_ref(),
    {G, Mon} = spawn_monitor(fun() -> guardian_init(Me, Ref, Job) end),
    receive
        {Ref, started} ->
            demonitor(Mon, [flush]),
            {ok, G};
        {Ref, locked} ->
            demonitor(Mon, [flush]),
            case holder() of
                free -> start(Job, Tries - 1);
                Info -> {error, {locked, Info}}
            end;
        {'DOWN', Mon, process, _, Why} -> {error, {guardian_died, text(Why)}}
    end.

%% Who holds the lock. One that only keeps a result for somebody to fetch gives way.
holder() ->
    case whereis(updo_run) of
        undefined -> free;
        Pid ->
            Dict = case process_info(Pid, dictionary) of {dictionary, D} -> D; undefined -> [] end,
            case lists:keyfind(updo_info, 1, Dict) of
                {_, #{state := kept}} ->
                    Mon = monitor(process, Pid),
                    Pid ! updo_give_way,
                    receive {'DOWN', Mon, _, _, _} -> free after 1000 -> demonitor(Mon, [flush]), free end;
                {_, Info} -> Info#{guardian => Pid};
                false -> case is_process_alive(Pid) of true -> #{guardian => Pid}; false -> free end
            end
    end.

lock() -> try register(updo_run, self()) catch error:badarg -> false end.

lock(0) -> false;
lock(N) ->
    case lock() of
        true -> true;
        false -> receive after 2 -> lock(N - 1) end
    end.

say_who(Job, State) ->
    put(updo_info, #{run => maps:get(run, Job), owner => maps:get(owner, Job, undefined),
                     since => maps:get(since, Job), state => State}).

%% ---------------------------------------------------------------------------------------------------------------
%% The log: what both guardian and executor know. A new one of either starts from it.

new_log(Job) ->
    Until = case maps:get(deadline, Job, infinity) of infinity -> infinity; Ms -> now_ms() + Ms end,
    #{seq => 0, events => [], until => Until,
      nworkers => max(1, erlang:system_info(schedulers_online)),
      runs => 1, outcome => undefined, converted => [], loaded => []}.

%% What belongs to one window (suspend .. resume); `done` are the steps finished in earlier windows.
new_window(Log) ->
    maps:merge(Log, #{found => [], switching => [], on_load => [], converting => [], resuming => false, undoing => false,
                      wdone => [], resumed => []}).

new_run(Log) ->
    new_window(Log#{done => [], applied => [], windows => 0, t0 => undefined, t1 => undefined, before => #{},
                    step => undefined}).

log_entry({event, E}, #{seq := Seq, events := Es} = L) -> L#{seq := Seq + 1, events := [{Seq + 1, E} | Es]};
log_entry({set, K, V}, L) -> L#{K => V};
log_entry({add, K, V}, L) -> L#{K => [V | maps:get(K, L, [])]};
log_entry(new_run, #{runs := N} = L) -> new_run(L#{outcome := undefined, runs := N + 1});
log_entry(window_closed, #{wdone := W, done := D, windows := N, switching := S, loaded := Ld, on_load := O,
                           converting := C, found := Found, converted := Conv} = L) ->
    new_window(L#{done := W ++ D, windows := N + 1, loaded := lists:usort(O ++ S ++ Ld),
                  converted := [{M, P} || F <- Found, M <- C, #{M := P} <- [F]] ++ Conv}).

now_ms() -> erlang:monotonic_time(millisecond).
now_us() -> erlang:monotonic_time(microsecond).

%% ---------------------------------------------------------------------------------------------------------------
%% Guardian

guardian_init(Starter, Ref, Job0) ->
    own_group_leader(),
    Job = Job0#{since => erlang:system_time(second)},
    say_who(Job, running),
    case lock() of
        false -> Starter ! {Ref, locked};
        true ->
            Starter ! {Ref, started},
            G = #{job => Job, log => new_run(new_log(Job)), watchers => #{}, workers => [], lives => max_lives(),
                  phase => running, late => undefined},
            guardian(set_deadline(start_executor(run, watch(maps:get(watcher, Job), G))))
    end.

%% Started by an executor whose guardian has died.
guardian_again(Exec, Ref, Job, Log, Workers, Watchers, Phase) ->
    own_group_leader(),
    say_who(Job, Phase),
    Got = lock(100),
    Exec ! {Ref, Got},
    G = #{job => Job, log => Log, watchers => #{}, workers => Workers, lives => max_lives(), phase => Phase,
          late => undefined, seen => Watchers =/= [], exec => Exec, exec_mon => monitor(process, Exec)},
    G1 = lists:foldl(fun(P, Acc) -> replay(P, Log, 0), watch(P, Acc) end, G, Watchers),
    guardian(set_deadline(G1)).

own_group_leader() ->
    case whereis(user) of
        undefined -> ok;
        User -> group_leader(User, self())
    end.

watch(Pid, #{watchers := Ws} = G) when is_pid(Pid) -> G#{watchers := Ws#{monitor(process, Pid) => Pid}};
watch(_, G) -> G.

set_deadline(#{log := #{until := infinity}} = G) -> G;
set_deadline(#{log := #{until := Until}} = G) ->
    erlang:send_after(max(0, Until - now_ms()), self(), updo_deadline),
    G.

start_executor(Mode, #{job := Job, log := Log, watchers := Ws} = G) ->
    Me = self(),
    {Exec, Mon} = spawn_monitor(fun() -> executor(Me, Job, Log, maps:values(Ws), Mode) end),
    G#{exec => Exec, exec_mon => Mon, workers := []}.

guardian(#{exec := Exec, exec_mon := ExecMon, phase := Phase, watchers := Ws, log := Log} = G) ->
    receive
        {updo_log, Exec, Entry} -> guardian(logged(Entry, G));
        {updo_workers, Exec, Workers} -> guardian(G#{workers := Workers});
        {updo_attach, Pid} when is_pid(Pid) ->
            replay(Pid, Log, 0),
            G1 = watch(Pid, G),
            Exec ! {updo_watchers, maps:values(maps:get(watchers, G1))},
            guardian(G1);
        {updo_run, Job2} when Phase =:= idle, is_map(Job2) ->
            Job = maps:merge(maps:get(job, G), Job2),
            Exec ! {updo_run, Job},
            guardian(G#{job := Job, phase := running});
        updo_settle when Phase =:= idle ->
            Exec ! updo_settle,
            guardian(G#{phase := settling, seen => true});
        {updo_idle, Exec} -> guardian(alone(G#{phase := idle}));
        {updo_settled, Exec} -> guardian_settled(G#{phase := settled});
        updo_deadline -> guardian(deadline(G));
        {'DOWN', ExecMon, process, _, Why} -> guardian(executor_down(Why, G));
        {'DOWN', Mon, process, _, _} when is_map_key(Mon, Ws) ->
            G1 = G#{watchers := maps:remove(Mon, Ws)},
            Exec ! {updo_watchers, maps:values(maps:get(watchers, G1))},
            guardian(alone(G1));
        _ -> guardian(G)
    end.

logged(Entry, #{log := Log, watchers := Ws, job := Job} = G) ->
    Log1 = log_entry(Entry, Log),
    case Entry of
        {event, E} ->
            Msg = {updo, maps:get(run, Job), maps:get(seq, Log1), E},
            lists:foreach(fun(W) -> W ! Msg end, maps:values(Ws));
        _ -> ok
    end,
    G#{log := Log1}.

replay(Pid, #{events := Es}, From) ->
    #{run := Run} = get(updo_info),
    lists:foreach(fun({Seq, E}) when Seq > From -> Pid ! {updo, Run, Seq, E}; (_) -> ok end, lists:reverse(Es)).

%% Finished and nobody there to decide anything: settle.
alone(#{phase := idle, watchers := Ws, exec := Exec} = G) when map_size(Ws) =:= 0 ->
    Exec ! updo_settle,
    G#{phase := settling, seen => false};
alone(G) -> G.

%% The time is up: whatever the executor is in (a hanging on_load, an apply), its successor undoes. What is already
%% being undone or resumed is left alone.
deadline(#{phase := running, log := #{undoing := false, resuming := false, step := Step}, exec := Exec} = G) ->
    exit(Exec, kill),
    G#{late := {deadline, Step}};
deadline(G) -> G.

executor_down(Why, #{workers := Workers, lives := Lives, late := Late, phase := Phase} = G) ->
    kill_all(Workers),
    Reason = case Late of undefined -> {executor_died, text(Why)}; _ -> Late end,
    if
        Phase =:= settling, Lives =< 1 -> guardian_settled(G);
        Lives =< 1 -> guardian_settled(last_resort(Reason, G));
        true ->
            G1 = start_executor({recover, Reason}, G#{lives := Lives - 1, late := undefined}),
            case Phase of
                settling -> maps:get(exec, G1) ! updo_settle, G1;
                _ -> G1
            end
    end.

%% Executors die as fast as they are made: at least nobody stays suspended.
last_resort(Reason, #{log := #{found := Found, switching := S, on_load := O, converting := C, outcome := Outcome}} = G) ->
    lists:foreach(fun(P) -> P ! {system, {self(), make_ref()}, resume} end,
                  [P || F <- Found, Parts <- maps:values(F), Part <- tuple_to_list(Parts), P <- Part]),
    if
        Outcome =/= undefined -> G;
        S =:= [], O =:= [], C =:= [] -> logged({event, {finished, old, #{reason => Reason, suspended_us => 0}}}, G);
        true ->
            Text = <<"% the executor died too often; everybody was resumed, but code and states may not fit">>,
            logged({event, {finished, mixed, #{reason => Reason, suspended_us => 0, by_hand => [Text]}}}, G)
    end.

kill_all(Pids) ->
    Mons = [begin exit(P, kill), monitor(process, P) end || P <- Pids],
    lists:foreach(fun(M) -> receive {'DOWN', M, process, _, _} -> ok end end, Mons).

%% Everything is done. When nobody has asked for the end, keep the result for a while.
guardian_settled(#{job := Job, log := Log} = G) ->
    case maps:get(seen, G, false) of
        true -> ok;
        false ->
            say_who(Job, kept),
            guardian_kept(Log, erlang:monotonic_time(millisecond) + maps:get(keep, Job, keep()))
    end,
    catch unregister(updo_run),
    cleaner(Job, [self(), maps:get(exec, G) | maps:get(workers, G)]),
    exit(normal).

guardian_kept(Log, Until) ->
    receive
        {updo_attach, Pid} when is_pid(Pid) -> replay(Pid, Log, 0), guardian_kept(Log, Until);
        updo_settle -> ok;
        updo_give_way -> ok;
        _ -> guardian_kept(Log, Until)
    after max(0, Until - now_ms()) -> ok
    end.

%% The last act: a process without a frame of this module waits for the others to end, then takes the code away.
cleaner(Job, Pids) ->
    Remove = case maps:get(agent, Job, undefined) of
        {module, _} -> "code:purge(Name), code:delete(Name), code:purge(Name).";
        {interpreted, _} -> "persistent_term:erase(Name).";
        _ -> "ok."
    end,
    Name = case maps:get(agent, Job, undefined) of {_, N} -> N; _ -> undefined end,
    Text = "lists:foreach(fun(P) -> R = erlang:monitor(process, P), receive {'DOWN', R, _, _, _} -> ok end end, Pids), ",
    {ok, Tokens, _} = erl_scan:string(Text ++ Remove),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    Bs = lists:foldl(fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end, erl_eval:new_bindings(),
                     [{'Name', Name}, {'Pids', Pids}]),
    spawn(erl_eval, exprs, [Exprs, Bs]).

%% ---------------------------------------------------------------------------------------------------------------
%% Executor: its life

executor(G, Job, Log, Watchers, Mode) ->
    put(log, Log),
    put(job, Job),
    put(watchers, Watchers),
    put(phase, running),
    put(guardian, G),
    put(gmon, monitor(process, G)),
    put(nobody, nobody()),
    put(pass, make_ref()),
    Me = self(),
    Workers = [spawn_opt(fun() -> worker(Me, #{}) end, [link]) || _ <- lists:seq(1, maps:get(nworkers, Log))],
    put(workers, Workers),
    G ! {updo_workers, self(), Workers},
    case Mode of
        run -> first_run(Job);
        {recover, Why} -> recover(Why)
    end,
    idle().

%% A pid that is certainly dead: answers sent to it are not even copied.
nobody() ->
    {P, Mon} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Mon, process, P, _} -> P end.

first_run(Job) ->
    event({started, #{guardian => get(guardian), executor => self(), workers => length(get(workers)),
                      otp => list_to_binary(erlang:system_info(otp_release)), agent => maps:get(agent, Job, undefined)}}),
    run(once).

%% Finished. Only now the client can ask for more steps, or for the end.
idle() ->
    put(phase, idle),
    get(guardian) ! {updo_idle, self()},
    idle_loop().

idle_loop() ->
    GMon = get(gmon),
    receive
        {updo_run, Job} ->
            put(job, Job),
            put(phase, running),
            log(new_run),
            event({started, #{guardian => get(guardian), executor => self()}}),
            run(once),
            idle();
        updo_settle ->
            put(phase, settling),
            settle(),
            get(guardian) ! {updo_settled, self()},
            wait_stragglers(),
            lists:foreach(fun(W) -> unlink(W), exit(W, kill) end, get(workers)),
            last_watch(get(gmon));
        {late, Ref, Pid, _} -> straggler(Ref, Pid), idle_loop();
        {updo_watchers, Ws} -> put(watchers, Ws), idle_loop();
        {'DOWN', GMon, process, _, _} -> new_guardian(), get(guardian) ! {updo_idle, self()}, idle_loop();
        {'DOWN', Mon, process, _, _} -> straggler_down(Mon), idle_loop();
        _ -> idle_loop()
    end.

%% The lock is free by now. Only who may still come by this module keeps it loaded.
wait_stragglers() ->
    case map_size(stragglers()) of
        0 -> ok;
        _ ->
            receive
                {late, Ref, Pid, _} -> put(stragglers, maps:remove({Ref, Pid}, stragglers())), wait_stragglers();
                {'DOWN', Mon, process, _, _} ->
                    put(stragglers, maps:filter(fun(_, M) -> M =/= Mon end, stragglers())),
                    wait_stragglers()
            end
    end.

%% Should the guardian be killed while it keeps the result, somebody must still take the code away.
last_watch(GMon) ->
    receive
        {'DOWN', GMon, process, _, normal} -> ok;
        {'DOWN', GMon, process, _, _} -> cleaner(get(job), [self()])
    end.

%% The guardian is dead: make another, which gets lock and log. Whoever took the lock in between has a right to
%% find nobody suspended: then undo what can be undone.
new_guardian() ->
    {Exec, Ref, Job, Log, Workers, Ws, Phase} =
        {self(), make_ref(), get(job), get(log), get(workers), get(watchers), get(phase)},
    {G, Mon} = spawn_monitor(fun() -> guardian_again(Exec, Ref, Job, Log, Workers, Ws, Phase) end),
    put(guardian, G),
    put(gmon, Mon),
    receive
        {Ref, true} ->
            event({guardian_replaced, #{guardian => G}});
        {Ref, false} ->
            case Log of
                #{undoing := false, resuming := false, windows := 0} when Phase =:= running -> fail({lock_lost, holder()});
                _ -> ok
            end;
        {'DOWN', Mon, process, _, _} -> new_guardian()
    end.

check_guardian() ->
    GMon = get(gmon),
    receive {'DOWN', GMon, process, _, _} -> new_guardian() after 0 -> ok end.

log(Entry) ->
    put(log, log_entry(Entry, get(log))),
    get(guardian) ! {updo_log, self(), Entry},
    ok.

log_get(K) -> maps:get(K, get(log)).
event(E) -> log({event, E}), check_guardian().
fail(Reason) -> throw({updo_fail, Reason}).
job(K, Default) -> maps:get(K, get(job), Default).

%% ---------------------------------------------------------------------------------------------------------------
%% Executor: one run

%% How: once | again (after the death of an executor: steps already done are not repeated).
run(How) ->
    try
        prepare(How),
        steps(job(steps, []), How),
        end_window(),
        finished(job(goal, new), #{})
    catch
        throw:{updo_fail, Reason} -> failed(Reason);
        Class:Reason:Stack -> failed({agent_error, text({Class, Reason, no_args(Stack)})})
    end.

finished(Outcome, Info) ->
    log({set, outcome, Outcome}),
    #{t0 := T0, t1 := T1} = get(log),
    Us = if is_integer(T0), is_integer(T1) -> T1 - T0; true -> 0 end,
    event({finished, Outcome, Info#{suspended_us => Us}}).

steps([], _) -> ok;
steps([{Id, Step} | Rest], How) ->
    case How =:= again andalso skip(Id, Step) of
        true -> ok;
        false ->
            log({set, step, Id}),
            event({step_started, Id}),
            T = now_us(),
            Info = step(Id, Step),
            log({add, wdone, Id}),
            event({step_finished, Id, now_us() - T, Info}),
            case Step of {resume, _} -> end_window(); _ -> ok end
    end,
    steps(Rest, How).

%% Repeating is harmless for suspend (who is suspended answers again), load (md5 decides) and code_change (starts from
%% the saved state), but not once somebody is resumed, and never for an apply.
skip(Id, Step) ->
    #{done := Done, wdone := WDone, applied := Applied, resuming := Resuming} = get(log),
    case {lists:member(Id, Done), lists:member(Id, WDone), Step} of
        {true, _, _} -> true;
        {_, _, {apply, _}} -> lists:member(Id, Applied);
        {_, true, _} when Resuming -> true;
        _ -> false
    end.

%% The window is closed when nobody is suspended any more.
end_window() ->
    case get(log) of
        #{found := [], switching := [], on_load := []} -> ok;
        _ ->
            resume_all([]),
            put(want, undefined),
            log(window_closed)
    end.

%% Something went wrong and this executor is alive: back to old.
failed(Reason) ->
    log({set, undoing, true}),
    case log_get(step) of
        undefined -> ok;
        Id -> event({step_failed, Id, as_map(Reason)})
    end,
    stop_workers(),
    back(Reason).

as_map(R) when is_map(R) -> R;
as_map(R) -> #{reason => R}.

%% The executor before this one died.
recover(Why) ->
    put(recovered, true),
    event({executor_replaced, #{executor => self(), why => Why}}),
    #{outcome := Outcome, undoing := Undoing, windows := N, resuming := Resuming, switching := S, on_load := O} = get(log),
    code_server_idle(),
    if
        Outcome =/= undefined -> ok;
        Undoing -> back(Why);
        Resuming; N > 0 -> run(again);
        S =:= [], O =:= [] -> log({set, undoing, true}), back(Why);
        true ->
            case cannot_undo() of
                [] -> log({set, undoing, true}), back(Why);
                _ -> run(again)
            end
    end.

%% Whatever the dead one had asked of the code server is finished when the code server answers again.
code_server_idle() -> code:delete(updo_run), ok.

back(Why) ->
    try
        #{switching := S, on_load := O, windows := N} = get(log),
        case {S ++ O, cannot_undo()} of
            {[], _} -> abort(Why, N);
            {_, []} -> undo(Why, N);
            {_, Ms} -> give_up(Why, Ms)
        end
    catch
        Class:R:Stack ->
            finished(mixed, #{reason => Why, undo_failed => text({Class, R, no_args(Stack)}), by_hand => by_hand_resume()})
    end.

%% Before the switch: resume everybody. In earlier windows something has become new already: then it is a mix.
abort(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    {Count, _} = resume_everybody(back_op()),
    event({undo_finished, now_us() - T, #{processes => Count}}),
    finished_old(Why, N, #{}).

finished_old(Why, 0, Info) -> finished(other(job(goal, new)), Info#{reason => Why});
finished_old(Why, _, Info) ->
    finished(mixed, Info#{reason => Why, new => log_get(loaded), by_hand => maps:get(by_hand, Info, [])}).

other(new) -> old;
other(old) -> new.

%% ---------------------------------------------------------------------------------------------------------------
%% Phase: prepare

prepare(How) ->
    T = now_us(),
    Ms = [M || M <- job(modules, []), is_map(M)],
    New = [M || #{new := B} = M <- Ms, is_binary(B)],
    sticky(Ms),
    named_right(New),
    Mine = [name(M) || M <- Ms],
    Steps = job(steps, []),
    Todo = case How of
        once -> Ms;
        again -> [M || M <- Ms, not lists:member(name(M), log_get(switching) ++ log_get(on_load) ++ log_get(loaded))]
    end,
    Todo =:= [] orelse purge_ahead(Todo),
    put(prepared, maps:from_list([{Id, prepare_load(Names, How)} || {Id, {load, Names}} <- Steps])),
    case How of
        once ->
            Conv = lists:usort([M || {_, {code_change, _, L}} <- Steps, {M, _} <- L]),
            Before = maps:from_list([{M, #{md5 => current_md5(M), vsn => loaded_vsn(M), file => current_file(M)}}
                                     || M <- lists:usort(Mine ++ Conv)]),
            log({set, before, Before});
        again -> ok
    end,
    put(prepared_old, case job(undo, none) of exact -> prepare_old(Mine); none -> none end),
    event({prepared, now_us() - T}).

name(#{name := M}) -> M.

sticky(Ms) ->
    case [M || #{name := M} <- Ms, code:is_sticky(M)] of
        [] -> ok;
        Bad -> fail({sticky, Bad})
    end.

named_right(New) ->
    Bad = [{M, What} || #{name := M, new := B} <- New, What <- bad_beam(M, B)],
    Bad =:= [] orelse fail({not_loadable, Bad}).

bad_beam(M, B) ->
    case beam_lib:md5(B) of
        {ok, {M, _}} -> [];
        {ok, {Other, _}} -> [{is_module, Other}];
        {error, beam_lib, {What, _}} -> [What];
        {error, beam_lib, Why} -> [text(Why)]
    end.

%% Two versions fit into the VM, so the old slot must be free before anything is loaded.
purge_ahead(Ms) ->
    Old = [{M, maps:get(purge, Map, soft)} || #{name := M} = Map <- Ms, erlang:check_old_code(M)],
    Stay = [M || {M, _} = Policy <- Old, not purged(Policy, now_ms())],
    Stay =:= [] orelse fail({old_code_in_use, [{M, users_of_old(M)} || M <- Stay]}).

purged({M, soft}, _) -> code:soft_purge(M);
purged({M, brutal}, _) ->
    case code:soft_purge(M) of
        true -> true;
        false ->
            event({purging, #{module => M, killed => users_of_old(M)}}),
            code:purge(M),
            true
    end;
purged({M, {wait, Ms}} = Policy, Since) ->
    case code:soft_purge(M) of
        true -> true;
        false ->
            case now_ms() - Since > Ms of
                true -> false;
                false -> receive after 50 -> purged(Policy, Since) end
            end
    end.

users_of_old(M) ->
    lists:sublist([P || P <- processes(), P =/= self(), erlang:check_process_code(P, M)], named()).

module_map(M) ->
    case [Map || #{name := N} = Map <- job(modules, []), N =:= M] of
        [Map | _] -> Map;
        [] -> fail({not_in_job, M})
    end.

%% {Prepared | none, [on_load modules]}; modules that are already new are left out when repeating.
prepare_load(Names, How) ->
    Maps = [module_map(M) || M <- Names],
    Wanted = [Map || Map <- Maps, How =:= once orelse not is_new(Map)],
    Plain = [{M, F, B} || #{name := M, file := F, new := B} = Map <- Wanted, not maps:get(on_load, Map, false)],
    OnLoad = [M || #{name := M} = Map <- Wanted, maps:get(on_load, Map, false)],
    {prepare_all(Plain), OnLoad}.

prepare_all([]) -> none;
prepare_all(Plain) ->
    case code:prepare_loading(Plain) of
        {ok, Prepared} -> Prepared;
        {error, What} -> fail({not_loadable, What})
    end.

is_new(#{name := M, new := B}) when is_binary(B) -> current_md5(M) =:= md5(B);
is_new(#{name := M}) -> current_md5(M) =:= none.

%% For undo: {Names, Prepared, on_load modules}. Proves that the old beams can be loaded before it matters.
prepare_old(Ms) ->
    prepare_old([{M, old_file(Map), B} || M <- lists:usort(Ms), #{old := B} = Map <- [module_map(M)], is_binary(B)], []).

prepare_old(Plain, OnLoad) ->
    Names = [M || {M, _, _} <- Plain],
    case Plain =:= [] orelse code:prepare_loading(Plain) of
        true -> {Names, none, OnLoad};
        {ok, Prepared} -> {Names, Prepared, OnLoad};
        {error, What} ->
            case [M || {M, on_load_not_allowed} <- What] of
                [] -> fail({old_not_loadable, What});
                More -> prepare_old([T || {M, _, _} = T <- Plain, not lists:member(M, More)], More ++ OnLoad)
            end
    end.

old_file(#{name := M} = Map) ->
    case log_get(before) of
        #{M := #{file := F}} when is_list(F) -> F;
        _ -> maps:get(file, Map)
    end.

%% Modules of this window that could not be brought back.
cannot_undo() ->
    #{switching := S, on_load := O} = get(log),
    case job(undo, none) of
        none -> S ++ O;
        exact -> [M || M <- S ++ O, #{loaded := true} = Map <- [module_map(M)], not is_binary(maps:get(old, Map, undefined))]
    end.

md5(B) -> {ok, {_, Md5}} = beam_lib:md5(B), Md5.

current_md5(M) ->
    case erlang:module_loaded(M) of
        true -> try M:module_info(md5) catch error:undef -> none end;
        false -> none
    end.

current_file(M) -> case code:is_loaded(M) of {file, F} when is_list(F) -> F; _ -> undefined end.

%% OldVsn as release_handler would give it, but from the loaded code, not from the file.
loaded_vsn(M) ->
    case erlang:module_loaded(M) of
        true ->
            Vsn = lists:append([V || {vsn, V} <- M:module_info(attributes), is_list(V)]),
            vsn_term(Vsn, fun() -> M:module_info(md5) end);
        false -> undefined
    end.

binary_vsn(B) ->
    case beam_lib:version(B) of
        {ok, {_, Vsn}} -> vsn_term(Vsn, fun() -> md5(B) end);
        _ -> binary:decode_unsigned(md5(B))
    end.

vsn_term([], Md5) -> binary:decode_unsigned(Md5());
vsn_term(Vsn, _) ->
    case lists:all(fun(C) -> is_integer(C) andalso C >= 32 andalso C =< 255 end, Vsn) of
        true -> Vsn;
        false -> case Vsn of [One] -> One; _ -> Vsn end
    end.

%% ---------------------------------------------------------------------------------------------------------------
%% Steps

step(Id, {suspend, Ranks}) -> suspend(Id, Ranks);
step(Id, {load, Ms}) -> load(Id, Ms);
step(_, {delete, Ms}) ->
    log({set, switching, Ms ++ log_get(switching)}),
    Kept = [M || M <- Ms, erlang:module_loaded(M), not code:delete(M)],
    Kept =:= [] orelse fail({delete_failed, Kept}),
    #{modules => length(Ms)};
step(Id, {code_change, Mode, Changes}) -> code_change(Id, Mode, Changes);
step(_, {resume, Ms}) ->
    resume_all(Ms);
step(Id, {apply, {M, F, A}}) ->
    log({add, applied, Id}),
    try apply(M, F, A) of
        _ -> #{}
    catch
        Class:Reason:Stack -> fail({apply_failed, #{mfa => {M, F, length(A)}, reason => text({Class, Reason, no_args(Stack)})}})
    end;
step(_, Other) -> fail({unknown_step, text(Other)}).

%% ---------------------------------------------------------------------------------------------------------------
%% Step: suspend

suspend(Id, Ranks) ->
    Limits = maps:from_list([{M, T} || Rank <- Ranks, {M, T} <- Rank]),
    Order = [[M || {M, _} <- Rank] || Rank <- Ranks],
    put(limits, maps:merge(case get(limits) of undefined -> #{}; L -> L end, Limits)),
    Want = maps:map(fun(_, _) -> true end, Limits),
    %% Found by an executor that died since: already logged, perhaps suspended.
    Known = [F || F <- [maps:with(maps:keys(Want), F) || F <- log_get(found)], map_size(F) > 0],
    KnownPids = lists:usort([P || F <- Known, Parts <- maps:values(F), Part <- tuple_to_list(Parts), P <- Part]),
    {Found, Seen} = find(Want, KnownPids),
    put(seen, ordsets:union(Seen, KnownPids)),
    put(want, Want),
    case log_get(t0) of undefined -> log({set, t0, now_us()}); _ -> ok end,
    lists:foreach(fun(F) -> suspend_ranks(Id, Order, F, now_ms()) end, Known),
    First = suspend_found(Id, Order, Found, now_ms()),
    sweep(Id, Order, Want, First, 1).

%% Again for those born meanwhile, until there are none.
sweep(_, _, _, Info, 20) -> Info#{sweeps => 20};
sweep(Id, Order, Want, Info, N) ->
    {Found, Seen} = find(Want, get(seen)),
    put(seen, Seen),
    case map_size(Found) of
        0 -> Info#{sweeps => N};
        _ ->
            More = suspend_found(Id, Order, Found, now_ms()),
            sweep(Id, Order, Want, maps:map(fun(K, V) -> V + maps:get(K, More, 0) end, Info), N + 1)
    end.

suspend_found(Id, Order, Found, T0) ->
    log({set, found, [Found | log_get(found)]}),
    suspend_ranks(Id, Order, Found, T0).

suspend_ranks(Id, Order, Found, T0) ->
    Total = found_size(Found),
    Sums = [suspend_rank(Id, [M || M <- Rank, is_map_key(M, Found)], Found, Total, T0) || Rank <- Order],
    #{processes => Total, dead => lists:sum([D || {D, _} <- Sums]), waited_for => lists:sum([S || {_, S} <- Sums])}.

suspend_rank(_, [], _, _, _) -> {0, 0};
suspend_rank(Id, Ms, Found, Total, T0) ->
    Ref = make_ref(),
    {Dead, Slow, Failed} = do(Ref, Id, suspend, merge_parts([maps:get(M, Found) || M <- Ms]), Total),
    Failed =:= [] orelse fail({not_suspended, [(describe(P, #{}))#{reason => Why} || {P, Why} <- Failed]}),
    More = wait_suspended(Ref, maps:from_list([{P, true} || P <- Slow]), #{}, T0),
    {Dead + More, length(Slow)}.

%% Those who have not answered: whom do they wait for? LetGo: processes of ours that run again for somebody's sake.
wait_suspended(_, Slow, _, _) when map_size(Slow) =:= 0 -> 0;
wait_suspended(Ref, Slow, LetGo, T0) ->
    case late(Ref) of
        {Pid, _} when is_map_key(Pid, Slow) ->
            {Back, LetGo1} = maps:fold(fun(Q, For, {B, Acc}) when For =:= Pid -> {[Q | B], maps:remove(Q, Acc)};
                                          (_, _, Acc) -> Acc end, {[], LetGo}, LetGo),
            lists:foreach(fun(Q) -> owner(Q) ! {again, Ref, suspend, Q} end, Back),
            Slow1 = maps:merge(maps:remove(Pid, Slow), maps:from_list([{Q, true} || Q <- Back])),
            wait_suspended(Ref, Slow1, LetGo1, T0);
        {_, _} -> wait_suspended(Ref, Slow, LetGo, T0);
        quiet ->
            Dead = [P || P <- maps:keys(Slow), not is_process_alive(P)],
            Slow1 = maps:without(Dead, Slow),
            {Freed, LetGo1} = maps:fold(fun(Q, For, {B, Acc}) ->
                                            case lists:member(For, Dead) of
                                                true -> {[Q | B], maps:remove(Q, Acc)};
                                                false -> {B, Acc}
                                            end
                                        end, {[], LetGo}, LetGo),
            lists:foreach(fun(Q) -> owner(Q) ! {again, Ref, suspend, Q} end, Freed),
            Slow2 = maps:merge(Slow1, maps:from_list([{Q, true} || Q <- Freed])),
            over_time(Slow2, LetGo1, T0),
            Held = held(Slow2, LetGo1),
            LetGo2 = lists:foldl(fun(P, Acc) -> let_go(P, Held, Acc) end, LetGo1,
                                 lists:sublist(maps:keys(Slow2), 100)),
            length(Dead) + wait_suspended(Ref, Slow2, LetGo2, T0)
    end.

%% Of all that were told to suspend those that did.
held(Slow, LetGo) ->
    All = case get(held) of
        {N, Map} -> case length(log_get(found)) of N -> Map; _ -> all_found() end;
        _ -> all_found()
    end,
    put(held, {length(log_get(found)), All}),
    fun(P) -> is_map_key(P, All) andalso not is_map_key(P, Slow) andalso not is_map_key(P, LetGo) end.

let_go(P, Held, LetGo) ->
    lists:foldl(fun(Q, Acc) when is_map_key(Q, Acc) -> Acc;
                   (Q, Acc) -> owner(Q) ! {cast, resume, Q}, Acc#{Q => P} end,
                LetGo, waits_for(P, Held, 8)).

%% gen:call leaves a monitor; follow the monitors through those who wait themselves.
waits_for(_, _, 0) -> [];
waits_for(P, Held, Depth) ->
    case process_info(P, [status, monitors]) of
        [{status, waiting}, {monitors, Ms}] ->
            Targets = lists:sublist(lists:usort([T || M <- Ms, T <- target(M), T =/= P]), 64),
            case [T || T <- Targets, Held(T)] of
                [] -> lists:usort(lists:append([waits_for(T, Held, Depth - 1) || T <- lists:sublist(Targets, 8)]));
                Ours -> Ours
            end;
        _ -> []
    end.

target({process, P}) when is_pid(P), node(P) =:= node() -> [P];
target({process, {Name, Node}}) when Node =:= node() -> case whereis(Name) of undefined -> []; P -> [P] end;
target(_) -> [].

over_time(Slow, LetGo, T0) ->
    Passed = now_ms() - T0,
    Late = maps:filter(fun(P, _) -> passed(Passed, limit(module_of(P))) end, Slow),
    case map_size(Late) of
        0 -> ok;
        _ -> fail({not_suspended, [describe(P, LetGo) || P <- lists:sublist(maps:keys(Late), named())]})
    end.

passed(_, infinity) -> false;
passed(Ms, Limit) -> Ms >= Limit.

limit(M) ->
    case maps:get(M, case get(limits) of undefined -> #{}; L -> L end, default) of
        default -> job(suspend_timeout, 5000);
        T -> T
    end.

describe(P, LetGo) ->
    Info = case process_info(P, [current_function, message_queue_len, current_stacktrace, monitors]) of
        undefined -> [];
        I -> I
    end,
    Get = fun(K, D) -> case lists:keyfind(K, 1, Info) of {_, V} -> V; false -> D end end,
    #{pid => P, module => module_of(P), initial_call => initial_call(P),
      current_function => Get(current_function, undefined), queue => Get(message_queue_len, 0),
      waits_for => lists:sublist(lists:append([target(M) || M <- Get(monitors, [])]), 5),
      let_go => [Q || {Q, For} <- maps:to_list(LetGo), For =:= P],
      stack => stack_text(Get(current_stacktrace, []))}.

%% ---------------------------------------------------------------------------------------------------------------
%% Finding the processes of modules

%% {#{Module => Parts}, all pids seen}. Parts: a tuple with the pids of each worker. Those already seen are not
%% looked at again, except the ones that were just being born.
find(Want, Seen) ->
    Pids = lists:sort(processes()),
    N = log_get(nworkers),
    Handlers = maps:with(job(handlers, []), Want),
    Empty = list_to_tuple(lists:duplicate(N, [])),
    Fast = can_ask_for_one_key(),
    {Found0, Unborn, Managers} = scan(ordsets:subtract(Pids, Seen), Want, Fast, N, Empty, #{}, [], []),
    Found1 = case map_size(Handlers) of
        0 -> Found0;
        _ -> lists:foldl(fun({M, P}, Acc) -> add_found(M, P, N, Empty, Acc) end, Found0,
                         handlers_of(Managers, Handlers))
    end,
    Extra = [{M, P} || {M, Ps} <- job(processes, []), is_map_key(M, Want), P <- Ps, is_process_alive(P),
                       not ordsets:is_element({extra, P}, Seen)],
    Found2 = lists:foldl(fun({M, P}, Acc) -> add_found(M, P, N, Empty, Acc) end, Found1, Extra),
    {Found2, ordsets:union(ordsets:subtract(Pids, lists:sort(Unborn)), lists:sort([{extra, P} || {_, P} <- Extra]))}.

scan([], _, _, _, _, Found, Unborn, Managers) -> {Found, Unborn, Managers};
scan([P | Ps], Want, Fast, N, Empty, Found, Unborn, Managers) ->
    case initial_module(P, Fast) of
        {M, Kind, Look} when is_map_key(M, Want) ->
            case may_suspend(P, M, Kind, Look) of
                true -> scan(Ps, Want, Fast, N, Empty, add_found(M, P, N, Empty, Found), Unborn, Managers);
                false -> scan(Ps, Want, Fast, N, Empty, Found, Unborn, Managers)
            end;
        {gen_event, _, _} -> scan(Ps, Want, Fast, N, Empty, Found, Unborn, [P | Managers]);
        unborn -> scan(Ps, Want, Fast, N, Empty, Found, [P | Unborn], Managers);
        _ -> scan(Ps, Want, Fast, N, Empty, Found, Unborn, Managers)
    end.

add_found(M, P, N, Empty, Found) ->
    Parts = maps:get(M, Found, Empty),
    I = erlang:phash2(P, N) + 1,
    Found#{M => setelement(I, Parts, [P | element(I, Parts)])}.

%% OTP 26.2 can give one key of a dictionary; before, the whole dictionary must be fetched.
can_ask_for_one_key() ->
    try process_info(self(), {dictionary, '$initial_call'}) of _ -> true catch error:badarg -> false end.

%% {Module, behaviour | other, Look} | unborn | none, like proc_lib:translate_initial_call but asking nobody.
%% Look: what is needed to see more of the dictionary.
initial_module(P, Fast) ->
    Look = look(P, Fast),
    case in_dictionary('$initial_call', Look) of
        {Sup, M, 1} when Sup =:= supervisor; Sup =:= supervisor_bridge -> {M, behaviour, Look};
        {gen_event, init_it, _} -> {gen_event, behaviour, Look};
        {M, init, 1} -> {M, behaviour, Look};
        {M, _, _} -> {M, other, Look};
        _ ->
            case process_info(P, initial_call) of
                {initial_call, {proc_lib, init_p, _}} -> unborn;
                _ -> none
            end
    end.

look(P, true) -> P;
look(P, false) -> case process_info(P, dictionary) of {_, Dict} -> Dict; undefined -> [] end.

in_dictionary(Key, P) when is_pid(P) ->
    case process_info(P, {dictionary, Key}) of {_, V} -> V; undefined -> undefined end;
in_dictionary(Key, Dict) ->
    case lists:keyfind(Key, 1, Dict) of {_, V} -> V; false -> undefined end.

initial_call(P) -> in_dictionary('$initial_call', look(P, can_ask_for_one_key())).

%% Not what kernel itself runs, not where our own output goes, and not a plain process that happens to have been
%% started in the module: it would never answer a system message.
may_suspend(P, M, Kind, Look) ->
    Ancestors = in_dictionary('$ancestors', Look),
    not (is_list(Ancestors) andalso lists:member(kernel_sup, Ancestors))
        andalso P =/= group_leader() andalso P =/= whereis(user)
        andalso (Kind =:= behaviour orelse speaks_sys(P, M)).

speaks_sys(P, M) ->
    erlang:function_exported(M, system_continue, 3) orelse erlang:function_exported(M, system_code_change, 4) orelse
    case process_info(P, current_stacktrace) of
        {_, Stack} -> lists:any(fun({Mod, _, _, _}) -> lists:member(Mod, [gen_server, gen_statem, gen_event, sys]) end, Stack);
        undefined -> false
    end.

%% Ask all event managers at once which handlers they have; one that does not answer in a second has none for us.
handlers_of(Managers, Handlers) ->
    Asked = [{P, spawn_monitor(fun() -> exit({handlers, gen_event:which_handlers(P)}) end)} || P <- Managers],
    Tag = make_ref(),
    Timer = erlang:send_after(1000, self(), Tag),
    Answers = lists:append([handler_answer(P, Pid, Mon, Tag) || {P, {Pid, Mon}} <- Asked]),
    erlang:cancel_timer(Timer),
    receive Tag -> ok after 0 -> ok end,
    lists:usort([{M, P} || {P, H} <- Answers, M <- [case H of {Mod, _} -> Mod; _ -> H end], is_map_key(M, Handlers)]).

handler_answer(P, Pid, Mon, Tag) ->
    receive
        {'DOWN', Mon, process, _, {handlers, Hs}} -> [{P, H} || H <- Hs];
        {'DOWN', Mon, process, _, _} -> [];
        Tag -> self() ! Tag, exit(Pid, kill), demonitor(Mon, [flush]), []
    end.

merge_parts([Parts]) -> Parts;
merge_parts([A, B | Rest]) ->
    merge_parts([list_to_tuple(lists:zipwith(fun(X, Y) -> X ++ Y end, tuple_to_list(A), tuple_to_list(B))) | Rest]).

parts_of(M) -> [Parts || Found <- log_get(found), #{M := Parts} <- [Found]].
parts_size(Parts) -> lists:sum([length(L) || L <- tuple_to_list(Parts)]).
found_size(Found) -> lists:sum([parts_size(P) || P <- maps:values(Found)]).
found_modules() -> lists:usort(lists:append([maps:keys(F) || F <- log_get(found)])).

all_found() ->
    maps:from_list([{P, M} || Found <- log_get(found), {M, Parts} <- maps:to_list(Found),
                              Part <- tuple_to_list(Parts), P <- Part]).

module_of(P) ->
    lists:foldl(fun(Found, none) -> maps:fold(fun(M, Parts, none) ->
                                                  Part = element(erlang:phash2(P, tuple_size(Parts)) + 1, Parts),
                                                  case lists:member(P, Part) of true -> M; false -> none end;
                                                 (_, _, M) -> M end, none, Found);
                   (_, M) -> M end, none, log_get(found)).

%% ---------------------------------------------------------------------------------------------------------------
%% Step: load

%% The point of no return. Everything slow has been done before.
load(Id, Ms) ->
    {Prepared, OnLoad} = maps:get(Id, get(prepared)),
    log({set, switching, lists:usort((Ms -- OnLoad) ++ log_get(switching))}),
    check_guardian(),
    case Prepared =:= none orelse code:finish_loading(Prepared) of
        true -> ok;
        ok -> ok;
        {error, What} -> fail({load_failed, What})
    end,
    lists:foreach(fun(M) -> load_on_load(M) end, OnLoad),
    #{modules => length(Ms), born => late_born(Id)}.

%% One by one, after the others; the VM runs the module's on_load function in a process of its own.
load_on_load(M) ->
    #{file := File, new := B} = module_map(M),
    log({add, on_load, M}),
    case code:load_binary(M, File, B) of
        {module, M} -> ok;
        {error, What} -> fail({load_failed, [{M, What}]})
    end.

%% Born between the last look and the switch. Who is still inside the old init has an old state for certain and is
%% taken along; for the others nobody can tell, they are named.
late_born(Id) ->
    case get(want) of
        undefined -> [];
        Want ->
            {Found, Seen} = find(Want, get(seen)),
            put(seen, Seen),
            All = [{M, P} || {M, Parts} <- maps:to_list(Found), Part <- tuple_to_list(Parts), P <- Part],
            N = log_get(nworkers),
            Empty = list_to_tuple(lists:duplicate(N, [])),
            Old = [{M, P} || {M, P} <- All, erlang:check_process_code(P, M)],
            Take = lists:foldl(fun({M, P}, Acc) -> add_found(M, P, N, Empty, Acc) end, #{}, Old),
            Old =:= [] orelse suspend_found(Id, [maps:keys(Take)], Take, now_ms()),
            lists:sublist([P || {_, P} <- All -- Old], named())
    end.

%% ---------------------------------------------------------------------------------------------------------------
%% Step: code_change

code_change(Id, Mode, Changes) ->
    Sums = [change(Id, M, How, old_vsn(Mode, M)) || {M, How} <- Changes, How =/= soft],
    #{processes => lists:sum([T || {T, _} <- Sums]), dead => lists:sum([D || {_, D} <- Sums])}.

old_vsn(up, M) ->
    case log_get(before) of
        #{M := #{vsn := V}} -> V;
        _ -> undefined
    end;
old_vsn(down, M) ->
    case [B || #{name := N, new := B} <- job(modules, []), N =:= M, is_binary(B)] of
        [B] -> {down, binary_vsn(B)};
        [] -> {down, undefined}
    end.

change(Id, M, How, Vsn) ->
    log({add, converting, M}),
    Handler = is_map_key(M, handlers()),
    Save = save_fun(stamp(), get(pass), Handler),
    Op = case How of
        {advanced, Extra} -> {change, M, Vsn, Extra, Save, get(nobody)};
        {convert, {Mod, Fun}} -> {convert, M, Mod, Fun, Save, Handler, get(nobody)}
    end,
    Ref = make_ref(),
    T0 = now_ms(),
    {Totals, Dead, Slow, Failed} = lists:foldl(
        fun(Parts, {T, D, S, []}) ->
                {D1, S1, F1} = do(Ref, Id, Op, Parts, parts_size(Parts)),
                {T + parts_size(Parts), D + D1, S1 ++ S, F1};
           (_, Acc) -> Acc
        end, {0, 0, [], []}, parts_of(M)),
    Until = case limit(M) of infinity -> infinity; Ms -> T0 + Ms end,
    {Dead1, Failed1, TimedOut} = case Failed of
        [] -> wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), Until, 0, first);
        _ -> {0, Failed, []}
    end,
    case {Failed1, TimedOut} of
        {[], []} -> {Totals, Dead + Dead1};
        {[{P, Why} | _], _} -> fail({conversion_failed, failure(P, M, Vsn, How, Why, length(Failed1))});
        {[], [P | _]} ->
            Why = text_of("no answer after ~p ms", [now_ms() - T0]),
            Map = failure(P, M, Vsn, How, Why, length(TimedOut)),
            fail({conversion_failed, maps:merge(maps:with([current_function, stack], describe(P, #{})), Map)})
    end.

failure(P, M, Vsn, How, Why, N) ->
    #{pid => P, module => M, vsn => text(Vsn), extra => text(How), reason => Why, failed => N}.

handlers() -> maps:from_list([{M, true} || M <- job(handlers, [])]).
stamp() -> {job(run, <<>>), log_get(runs)}.

%% Runs inside the process, right before its conversion: the old state stays where it is. A later executor, which has
%% another Pass, gets the process back to the saved state by the same function.
save_fun(Stamp, Pass, Handler) ->
    fun(S) ->
        K = case S of {H, I, _} when Handler -> {'$updo_saved', H, I}; _ -> '$updo_saved' end,
        case get(K) of
            {Stamp, Pass, _} -> S;
            {Stamp, _, Old} -> put(K, {Stamp, Pass, Old}), Old;
            _ -> put(K, {Stamp, Pass, S}), S
        end
    end.

%% {convert, {Mod, Fun}}: a function of the plan instead of code_change. Answers by itself, for the answer of
%% replace_state would carry the state.
convert_fun(From, M, Mod, Fun, Handler) ->
    fun(S) ->
        case S of
            {H, _, _} when Handler, H =/= M -> S;
            _ ->
                try
                    New = case S of {H, I, HS} when Handler -> {H, I, Mod:Fun(HS)}; _ -> Mod:Fun(S) end,
                    tell(From, ok),
                    New
                catch
                    Class:Reason:Stack -> tell(From, {error, {Class, Reason, no_args(Stack)}}), S
                end
        end
    end.

tell({Pid, Tag}, Answer) -> Pid ! {Tag, Answer}.

%% Puts the saved state back.
restore_fun(Stamp, Handlers) ->
    fun(S) ->
        K = case S of
            {H, I, _} when is_map_key(H, Handlers) -> case get({'$updo_saved', H, I}) of undefined -> '$updo_saved'; _ -> {'$updo_saved', H, I} end;
            _ -> '$updo_saved'
        end,
        case get(K) of {Stamp, _, Old} -> erase(K), Old; _ -> S end
    end.

%% The same for one that hangs in code_change: it may get there long after the agent's module is gone.
portable_restore_fun(Stamp, Handlers) ->
    portable("fun(S) -> "
             "K = case S of {H, I, _} -> case maps:is_key(H, Handlers) andalso get({'$updo_saved', H, I}) of"
             "      {Stamp, _, _} -> {'$updo_saved', H, I}; _ -> '$updo_saved' end;"
             "    _ -> '$updo_saved' end, "
             "case get(K) of {Stamp, _, Old} -> erase(K), Old; _ -> S end end.",
             [{'Stamp', Stamp}, {'Handlers', Handlers}]).

erase_fun() ->
    fun(S) ->
        lists:foreach(fun('$updo_saved' = K) -> erase(K); ({'$updo_saved', _, _} = K) -> erase(K); (_) -> ok end, get_keys()),
        S
    end.

portable(Text, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    Bs = lists:foldl(fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end, erl_eval:new_bindings(), Bindings),
    {value, Fun, _} = erl_eval:exprs(Exprs, Bs),
    Fun.

%% ---------------------------------------------------------------------------------------------------------------
%% Resume

%% From the first resume on there is only one way: forward.
resume_all(Order) ->
    log({set, resuming, true}),
    check_guardian(),
    Ms = [M || M <- Order ++ (found_modules() -- Order), not lists:member(M, log_get(resumed))],
    Sums = [begin R = resume(M, resume), log({add, resumed, M}), R end || M <- Ms],
    Late = lists:append([S || {_, S} <- Sums]),
    {Dead, _, Unsure} = wait_lates(Late, now_ms() + 1000),
    log({set, t1, now_us()}),
    #{processes => lists:sum([N || {N, _} <- Sums]), dead => Dead, unconfirmed => length(Unsure)}.

%% {number of processes, [{Ref, Pid} who have not answered yet]}
resume(M, Op) ->
    lists:foldl(fun(Parts, {N, Acc}) ->
                    Ref = make_ref(),
                    {_, Slow, _} = do(Ref, resume, Op, Parts, parts_size(Parts)),
                    {N + parts_size(Parts), [{Ref, P} || P <- Slow] ++ Acc}
                end, {0, []}, parts_of(M)).

wait_lates(Late, Until) ->
    ByRef = lists:foldl(fun({Ref, P}, Acc) -> Acc#{Ref => [P | maps:get(Ref, Acc, [])]} end, #{}, Late),
    maps:fold(fun(Ref, Ps, {D, F, T}) ->
                  {D1, F1, T1} = wait_late(Ref, maps:from_list([{P, true} || P <- Ps]), Until, 0, all),
                  {D + D1, F1 ++ F, [{Ref, P} || P <- T1] ++ T}
              end, {0, [], []}, ByRef).

%% On the way back: everybody, also those who have not yet answered the suspend; then look whether they really run.
%% {processes, [{Ref, Pid} still inside something]}
resume_everybody(Op) ->
    Order = lists:append([Ms || {_, {resume, Ms}} <- job(steps, [])]),
    Found = found_modules(),
    Ms = [M || M <- Order, lists:member(M, Found)] ++ (Found -- Order),
    Wait = case Op of resume -> 50; _ -> job(grace, grace()) end,
    Sums = [resume(M, Op) || M <- Ms],
    {_, _, Late} = wait_lates(lists:append([S || {_, S} <- Sums]), now_ms() + Wait),
    log({set, t1, now_us()}),
    still_suspended(maps:keys(maps:without([P || {_, P} <- Late], all_found())), 50),
    {lists:sum([N || {N, _} <- Sums]), [L || {_, P} = L <- Late, is_process_alive(P)]}.

%% Signals of a dead worker might in theory arrive after those of its successor.
still_suspended(_, 0) -> ok;
still_suspended(Pids, N) ->
    case [P || P <- Pids, {_, {sys, _, _}} <- [process_info(P, current_function)]] of
        [] -> ok;
        Again ->
            lists:foreach(fun(P) -> owner(P) ! {cast, resume, P} end, Again),
            receive after 10 -> still_suspended(Again, N - 1) end
    end.

%% ---------------------------------------------------------------------------------------------------------------
%% Undo

undo(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    {Killed, Lost} = reload_old(),
    {Count, Late} = resume_everybody(case Lost of [] -> back_op(); _ -> resume end),
    event({undo_finished, now_us() - T, #{processes => Count, killed => Killed, late => [P || {_, P} <- Late]}}),
    case {Lost, Late} of
        {[], []} -> finished_old(Why, N, #{killed => Killed});
        {[], _} ->
            put(stragglers, maps:from_list([{L, monitor(process, P)} || {_, P} = L <- Late])),
            put(straggling, {Why, N}),
            finished(mixed, #{reason => Why, late => [describe(P, #{}) || {_, P} <- lists:sublist(Late, named())],
                              by_hand => [text_of("exit(~s, kill).", [pid_text(P)]) || {_, P} <- lists:sublist(Late, named())]});
        _ ->
            finished(mixed, #{reason => Why, not_restored => Lost,
                              by_hand => [text_of("code:load_file(~p).", [M]) || {M, _} <- Lost]})
    end.

back_op() ->
    case log_get(converting) of
        [] -> resume;
        _ ->
            Portable = portable_restore_fun(stamp(), handlers()),
            %% Of those whom a dead executor asked for something nobody knows who hangs.
            Fun = case get(recovered) of true -> Portable; _ -> restore_fun(stamp(), handlers()) end,
            {restore, Fun, Portable, get(nobody)}
    end.

%% {killed processes, [{Module, Why not}]}. The slot needed for the old code is the one that the old code itself
%% still occupies; whoever executes it cannot survive.
reload_old() ->
    #{switching := S, on_load := O, before := Before} = get(log),
    Md5 = fun(M) -> maps:get(md5, maps:get(M, Before, #{}), none) end,
    Changed = [M || M <- lists:usort(S ++ O), lists:member(M, O) orelse current_md5(M) =/= Md5(M)],
    {Gone, Back} = lists:partition(fun(M) -> Md5(M) =:= none end, Changed),
    Killed = lists:append([free_old_slot(M) || M <- Changed]),
    lists:foreach(fun(M) -> code:delete(M), code:purge(M) end, Gone),
    {Names, Prepared, OnLoad} = case get(prepared_old) of
        {Known, _, _} = Ready when Known =:= Back -> Ready;
        _ -> prepare_old(Back)
    end,
    Lost1 = case Prepared =:= none orelse code:finish_loading(Prepared) of
        true -> [];
        ok -> [];
        {error, Errors} -> Errors ++ [{M, not_loaded} || M <- Names, not lists:keymember(M, 1, Errors)]
    end,
    Lost2 = [{M, What} || M <- OnLoad, lists:member(M, Back),
                          {error, What} <- [code:load_binary(M, old_file(module_map(M)), maps:get(old, module_map(M)))]],
    {Killed, Lost1 ++ Lost2}.

free_old_slot(M) ->
    case erlang:check_old_code(M) andalso not code:soft_purge(M) of
        false -> [];
        true ->
            Users = users_of_old(M),
            code:purge(M),
            [{M, Users}]
    end.

%% Switched, failed, and no old binaries: leave nobody suspended and say what is left to do.
give_up(Why, Ms) ->
    event({undo_started, Why}),
    T = now_us(),
    Todo = by_hand_convert(Why),
    {Count, _} = resume_everybody(resume),
    event({undo_finished, now_us() - T, #{processes => Count}}),
    finished(mixed, #{reason => Why, no_old_code => Ms, by_hand => Todo}).

by_hand_convert({conversion_failed, #{pid := P}}) -> [text_of("exit(~s, kill).", [pid_text(P)])];
by_hand_convert(_) -> [].

by_hand_resume() ->
    [text_of("sys:resume(~s).", [pid_text(P)]) || P <- lists:sublist(maps:keys(all_found()), 1000), is_process_alive(P),
                                        {_, {sys, _, _}} <- [process_info(P, current_function)]].

%% One who was inside code_change during the undo has come out, restored itself and runs on, or has died.
straggler(Ref, Pid) ->
    Left = maps:remove({Ref, Pid}, stragglers()),
    case maps:size(stragglers()) > 0 andalso maps:size(Left) =:= 0 of
        true ->
            put(stragglers, Left),
            {Why, N} = get(straggling),
            finished_old(Why, N, #{});
        false -> put(stragglers, Left)
    end.

stragglers() -> case get(stragglers) of undefined -> #{}; S -> S end.

straggler_down(Mon) ->
    lists:foreach(fun({{Ref, P}, M}) when M =:= Mon -> straggler(Ref, P); (_) -> ok end, maps:to_list(stragglers())).

%% ---------------------------------------------------------------------------------------------------------------
%% Settle: after everything, with nobody suspended

settle() ->
    #{converted := Converted, loaded := Loaded, switching := S, on_load := O} = get(log),
    Erase = {erase, erase_fun(), get(nobody)},
    lists:foreach(fun({_, Parts}) -> do(make_ref(), settle, Erase, Parts, 0) end, Converted),
    Mine = lists:usort(Loaded ++ S ++ O),
    Policies = maps:from_list([{M, P} || #{name := M, purge := P} <- job(modules, [])]),
    Policy = fun(M) -> maps:get(M, Policies, soft) end,
    Stay = [M || M <- Mine, erlang:check_old_code(M), not purged({M, Policy(M)}, now_ms())],
    event({settled, #{lingering => lingering(Stay)}}).

lingering([]) -> [];
lingering(Ms) ->
    Users = [{M, P} || P <- processes(), P =/= self(), M <- Ms, erlang:check_process_code(P, M)],
    [#{module => M, pid => P, initial_call => initial_call(P),
       stack => case process_info(P, current_stacktrace) of {_, S} -> stack_text(S); undefined -> <<>> end}
     || {M, P} <- lists:sublist(Users, 100)].

%% ---------------------------------------------------------------------------------------------------------------
%% Executor and workers

owner(P) ->
    Ws = get(workers),
    lists:nth(erlang:phash2(P, length(Ws)) + 1, Ws).

%% One operation for many processes. {dead, [Pid who has not answered yet], [{Pid, Why}]}
do(Ref, Id, Op, Parts, Total) ->
    Jobs = [{W, Ps} || {W, Ps} <- lists:zip(get(workers), tuple_to_list(Parts)), Ps =/= []],
    lists:foreach(fun({W, Ps}) -> W ! {do, Ref, Op, Ps} end, Jobs),
    collect(Ref, Id, length(Jobs), 0, [], [], {0, Total}).

collect(_, _, 0, Dead, Slow, Failed, _) -> {Dead, Slow, Failed};
collect(Ref, Id, N, Dead, Slow, Failed, {Done, Total}) ->
    GMon = get(gmon),
    receive
        {did, Ref, D, S} -> collect(Ref, Id, N - 1, Dead + D, S ++ Slow, Failed, {Done, Total});
        {failed, Ref, Pid, Why} ->
            lists:foreach(fun(W) -> W ! {stop, Ref} end, get(workers)),
            collect(Ref, Id, N, Dead, Slow, Failed ++ [{Pid, Why}], {Done, Total});
        {progress, Ref, K} ->
            event({step_progress, Id, Done + K, Total}),
            collect(Ref, Id, N, Dead, Slow, Failed, {Done + K, Total});
        {updo_watchers, Ws} ->
            put(watchers, Ws),
            collect(Ref, Id, N, Dead, Slow, Failed, {Done, Total});
        {'DOWN', GMon, process, _, _} ->
            new_guardian(),
            collect(Ref, Id, N, Dead, Slow, Failed, {Done, Total})
    end.

%% The next late answer: {Pid, ok | {error, Text}}, or quiet.
late(Ref) ->
    GMon = get(gmon),
    receive
        {late, Ref, Pid, Answer} -> {Pid, Answer};
        {updo_watchers, Ws} -> put(watchers, Ws), quiet;
        {'DOWN', GMon, process, _, _} -> new_guardian(), quiet
    after patience() -> quiet
    end.

%% {dead, failed, timed out}; What: `first` stops at the first failure.
wait_late(_, Slow, _, Dead, _) when map_size(Slow) =:= 0 -> {Dead, [], []};
wait_late(Ref, Slow, Until, Dead, What) ->
    case late(Ref) of
        {Pid, {error, Why}} when What =:= first -> {Dead, [{Pid, Why}], []};
        {Pid, _} -> wait_late(Ref, maps:remove(Pid, Slow), Until, Dead, What);
        quiet ->
            Gone = [P || P <- maps:keys(Slow), not is_process_alive(P)],
            Slow1 = maps:without(Gone, Slow),
            case Until =/= infinity andalso now_ms() >= Until of
                true -> {Dead + length(Gone), [], maps:keys(Slow1)};
                false -> wait_late(Ref, Slow1, Until, Dead + length(Gone), What)
            end
    end.

%% Nobody sends anything any more when this returns.
stop_workers() ->
    Ref = make_ref(),
    lists:foreach(fun(W) -> W ! stop, W ! {sync, Ref} end, get(workers)),
    lists:foreach(fun(_) -> receive {synced, Ref} -> ok end end, get(workers)).

%% ---------------------------------------------------------------------------------------------------------------
%% Worker

%% Slow: requests that were not answered quickly; their answers are passed on when they come.
worker(E, Slow) ->
    receive
        {do, Ref, {restore, _, Portable, Nobody} = Op, Pids} when map_size(Slow) > 0 ->
            Hanging = maps:from_list([{P, true} || {_, P} <- maps:keys(Slow)]),
            {Those, Others} = lists:partition(fun(P) -> is_map_key(P, Hanging) end, Pids),
            Special = {restore, Portable, Portable, Nobody},
            lists:foreach(fun(P) -> send(Special, {self(), {Ref, P}}, P) end, Those),
            Slow1 = maps:merge(Slow, maps:from_list([{{Ref, P}, true} || P <- Those])),
            pump(E, Ref, Op, Others, #{}, 0, Slow1, Those, 0);
        {do, Ref, Op, Pids} -> pump(E, Ref, Op, Pids, #{}, 0, Slow, [], 0);
        {again, Ref, Op, P} ->
            send(Op, {self(), {Ref, P}}, P),
            worker(E, Slow#{{Ref, P} => true});
        {cast, Op, P} ->
            send(Op, {self(), {nobody, P}}, P),
            worker(E, Slow);
        {sync, Ref} -> E ! {synced, Ref}, worker(E, Slow);
        {{Ref, P} = Tag, Answer} when is_map_key(Tag, Slow) ->
            E ! {late, Ref, P, answer(Answer)},
            worker(E, maps:remove(Tag, Slow));
        _ -> worker(E, Slow)
    end.

%% At most 16 unanswered requests (bursts are slower for everybody); after quiet() ms without an answer those waiting count as slow.
pump(E, Ref, _, [], Out, Dead, Slow, Late, _) when map_size(Out) =:= 0 ->
    E ! {did, Ref, Dead, Late},
    worker(E, Slow);
pump(E, Ref, Op, [P | Ps], Out, Dead, Slow, Late, K) when map_size(Out) < 16 ->
    case is_process_alive(P) of
        true ->
            send(Op, {self(), {Ref, P}}, P),
            pump(E, Ref, Op, Ps, Out#{P => true}, Dead, Slow, Late, K);
        false -> pump(E, Ref, Op, Ps, Out, Dead + 1, Slow, Late, K)
    end;
pump(E, Ref, Op, Ps, Out, Dead, Slow, Late, K) ->
    receive
        {{Ref, P}, Answer} when is_map_key(P, Out) ->
            Out1 = maps:remove(P, Out),
            K1 = progress(E, Ref, K + 1),
            case answer(Op, Answer) of
                ok -> pump(E, Ref, Op, Ps, Out1, Dead, Slow, Late, K1);
                {error, Why} ->
                    E ! {failed, Ref, P, Why},
                    pump(E, Ref, Op, [], Out1, Dead, Slow, Late, K1)
            end;
        {{R, P} = Tag, Answer} when is_map_key(Tag, Slow) ->
            E ! {late, R, P, answer(Answer)},
            pump(E, Ref, Op, Ps, Out, Dead, maps:remove(Tag, Slow), Late, K);
        {stop, Ref} -> pump(E, Ref, Op, [], Out, Dead, Slow, Late, K);
        stop -> pump(E, Ref, Op, [], Out, Dead, Slow, Late, K)
    after quiet() ->
        {Alive, Gone} = lists:partition(fun(P) -> is_process_alive(P) end, maps:keys(Out)),
        Slow1 = lists:foldl(fun(P, Acc) -> Acc#{{Ref, P} => true} end, Slow, Alive),
        pump(E, Ref, Op, Ps, #{}, Dead + length(Gone), Slow1, Alive ++ Late, K)
    end.

progress(E, Ref, 5000) -> E ! {progress, Ref, 5000}, 0;
progress(_, _, K) -> K.

%% On the way out there is no failure that could stop anything.
answer(suspend, Answer) -> answer(Answer);
answer(Op, Answer) when element(1, Op) =:= change; element(1, Op) =:= convert -> answer(Answer);
answer(_, _) -> ok.

answer(ok) -> ok;
answer({ok, _}) -> ok;
answer({error, Why}) -> {error, text(no_args(Why))};
answer(Other) -> {error, text(Other)}.

send(suspend, From, P) -> P ! {system, From, suspend};
send(resume, From, P) -> P ! {system, From, resume};
send({change, M, Vsn, Extra, Save, Nobody}, From, P) ->
    P ! {system, {Nobody, Nobody}, {replace_state, Save}},
    P ! {system, From, {change_code, M, Vsn, Extra}};
send({convert, M, Mod, Fun, Save, Handler, Nobody}, From, P) ->
    P ! {system, {Nobody, Nobody}, {replace_state, Save}},
    P ! {system, {Nobody, Nobody}, {replace_state, convert_fun(From, M, Mod, Fun, Handler)}};
send({restore, Restore, _, Nobody}, From, P) ->
    P ! {system, {Nobody, Nobody}, {replace_state, Restore}},
    P ! {system, From, resume};
%% The answer to an empty change of debug options says that the process has come past the erasing.
send({erase, Erase, Nobody}, From, P) ->
    P ! {system, {Nobody, Nobody}, {replace_state, Erase}},
    P ! {system, From, {debug, {remove, {updo_agent, none}}}}.

%% ---------------------------------------------------------------------------------------------------------------
%% Texts: bounded, and no arguments of functions, for those are the users' states

text(T) -> text_of("~tP", [T, 30]).

text_of(Format, Args) ->
    Chars = io_lib:format(Format, Args, [{chars_limit, max_text()}]),
    case unicode:characters_to_binary(string:slice(Chars, 0, max_text())) of
        B when is_binary(B) -> B;
        _ -> <<"(not printable)">>
    end.

%% As the shell takes it: pid(0,84,0).
pid_text(P) -> "pid(" ++ [case C of $. -> $,; _ -> C end || C <- pid_to_list(P), C =/= $<, C =/= $>] ++ ")".

stack_text(Stack) -> text(no_args(Stack)).

no_args([{M, F, A, Loc} | T]) when is_atom(M), is_atom(F), is_list(A) -> [{M, F, length(A), Loc} | no_args(T)];
no_args([H | T]) -> [no_args(H) | no_args(T)];
no_args(T) when is_tuple(T) -> list_to_tuple(no_args(tuple_to_list(T)));
no_args(T) -> T.
