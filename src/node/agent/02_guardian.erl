%% The guardian: holds the lock, keeps the log, informs the watchers, starts a new executor when one
%% dies.

%% -------------------------------------------------------------------------------------------------
%% Guardian

guardian_init(Starter, Ref, Job0) ->
    own_group_leader(),
    Job = Job0#{since => erlang:system_time(second)},
    set_lock_info(Job, running),
    case lock() of
        false -> Starter ! {Ref, locked};
        true ->
            Log = new_run(new_log(Job)),
            Dog = watchdog(Job, Log, none),
            Starter ! {Ref, started},
            G = #{job => Job, log => Log, watchers => #{}, workers => [],
                  restarts_left => max_restarts(),
                  phase => running, late => undefined, dog => Dog},
            guardian(set_deadline(start_executor(run, watch(maps:get(watcher, Job), G))))
    end.

%% Started by an executor whose guardian has died.
guardian_again(Exec, Ref, Job, Log, Workers, Watchers, Phase) ->
    own_group_leader(),
    set_lock_info(Job, Phase),
    Got = lock(100),
    Exec ! {Ref, Got},
    G = #{job => Job, log => Log, watchers => #{}, workers => Workers,
          restarts_left => max_restarts(), phase => Phase,
          late => undefined, dog => watchdog(Job, Log, Exec), seen => Watchers =/= [], exec => Exec,
          exec_mon => monitor(process, Exec)},
    G1 = lists:foldl(fun(P, Acc) -> replay(P, Log, 0), watch(P, Acc) end, G, Watchers),
    guardian(set_deadline(G1)).

%% By the watchdog, when all others were killed in a live window: what goes on without them is
%% brought to its end. Entries of the log that it has not seen have taken numbers.
revived(Job, #{seq := Seq} = Log0, Watchers) ->
    Log = Log0#{seq := Seq + (1 bsl 20)},
    Me = self(),
    Ref = make_ref(),
    {_, Mon} = spawned(fun() ->
        own_group_leader(),
        set_lock_info(Job, running),
        lock(100) orelse exit(locked),
        Dog = watchdog(Job, Log, none),
        Me ! {Ref, started},
        G = #{job => Job, log => Log, watchers => #{}, workers => [],
              restarts_left => max_restarts(), phase => running, late => undefined, dog => Dog},
        Watched0 = lists:foldl(fun(P, Acc) -> watch(P, Acc) end, G, Watchers),
        Watched = logged({event, {guardian_replaced, #{guardian => self()}}}, Watched0),
        watchdog_tell(Job, {updo_transition, watchdog_transition(Job, maps:get(log, Watched))}),
        Why = {executor_died, <<"all processes of the run were killed at once">>},
        guardian(set_deadline(start_executor({recover, Why}, Watched)))
    end, [monitor]),
    receive {Ref, started} -> demonitor(Mon, [flush]); {'DOWN', Mon, _, _, _} -> ok end.

own_group_leader() ->
    case whereis(user) of
        undefined -> ok;
        User -> group_leader(User, self())
    end.

watch(Pid, #{watchers := Ws} = G) when is_pid(Pid) ->
    G#{watchers := Ws#{monitor(process, Pid) => Pid}};
watch(_, G) -> G.

set_deadline(#{log := #{until := infinity}} = G) -> G;
set_deadline(#{log := #{until := Until}} = G) ->
    erlang:send_after(max(0, Until - now_ms()), self(), updo_deadline),
    G.

start_executor(Mode, #{job := Job, log := Log, watchers := Ws} = G) ->
    Me = self(),
    {Exec, Mon} = spawned(fun() -> executor(Me, Job, Log, maps:values(Ws), Mode) end, [monitor]),
    G#{exec => Exec, exec_mon => Mon, workers := []}.

guardian(#{exec := Exec, exec_mon := ExecMon, phase := Phase, watchers := Ws, log := Log} = G) ->
    receive
        {updo_log, Exec, Entry} -> guardian(logged(Entry, G));
        {updo_workers, Exec, Workers} -> guardian(G#{workers := Workers});
        {updo_attach, Pid} when is_pid(Pid) ->
            replay(Pid, Log, 0),
            G1 = watch(Pid, G),
            tell_agents(G1),
            tell_watchers(G1),
            guardian(G1);
        updo_abort -> guardian(abort_run(G));
        {updo_unlive, _, _, _} = Failed when Phase =:= running ->
            Exec ! Failed,
            guardian(G);
        {updo_run, Job2} when Phase =:= idle, is_map(Job2) ->
            Job = maps:merge(maps:get(job, G), Job2),
            Exec ! {updo_run, Job},
            guardian(G#{job := Job, phase := running});
        {updo_hook, _, _} = Answer when Phase =:= running ->
            Exec ! Answer,
            guardian(G);
        {updo_together, Id, go} when Phase =:= running -> guardian(together_go(Id, G));
        {updo_together, off} -> guardian(together_off(G));
        {updo_together_ask, From, Ref, Group, How} when is_pid(From) ->
            guardian(together_asked(From, Ref, Group, How, G));
        {updo_together_serve, Group, Caller, Target} when Phase =:= running, is_pid(Caller) ->
            guardian(together_serves(Group, Caller, Target, G));
        updo_survey when Phase =:= idle ->
            Exec ! updo_survey,
            %% The one that asked before the executor was idle may have gone since.
            guardian(settle_if_unwatched(G));
        updo_settle when Phase =:= idle ->
            Exec ! updo_settle,
            guardian(G#{phase := settling, seen => true});
        {updo_settle, persist} when Phase =:= idle ->
            Exec ! {updo_settle, persist},
            guardian(G#{phase := settling, seen => true, persist => true});
        {updo_idle, Exec} ->
            %% A client that answered the end of the run at once is heard now.
            [self() ! Asked || {ok, Asked} <- [maps:find(asked, G)]],
            guardian(settle_unless_asked(maps:remove(asked, G#{phase := idle}), G));
        {updo_settled, Exec} -> guardian_settled(G#{phase := settled});
        updo_deadline -> guardian(deadline(G));
        {'DOWN', ExecMon, process, _, Why} -> guardian(executor_down(Why, G));
        {'DOWN', Dog, process, _, _} when Dog =:= map_get(dog, G) ->
            guardian(tell_agents(G#{dog := watchdog(maps:get(job, G), Log, Exec)}));
        {'DOWN', Mon, process, _, _} when is_map_key(Mon, Ws) ->
            G1 = G#{watchers := maps:remove(Mon, Ws)},
            tell_agents(G1),
            tell_watchers(G1),
            guardian(settle_if_unwatched(G1));
        Asked when Phase =:= running -> guardian(ended(Log, Asked, G));
        _ -> guardian(G)
    end.

%% It has ended, and the executor (or the next, if that one has just died) has not yet said that it
%% is idle.
ended(#{outcome := undefined}, _, G) -> G;
ended(_, Asked, G) when Asked =:= updo_settle;
Asked =:= {updo_settle, persist} -> G#{asked => Asked};
ended(_, updo_survey, G) -> G#{asked => updo_survey};
ended(_, {updo_run, Job} = Asked, G) when is_map(Job) -> G#{asked => Asked};
ended(_, _, G) -> G.

settle_unless_asked(G, #{asked := _}) -> G;
settle_unless_asked(G, _) -> settle_if_unwatched(G).

logged(Entry, #{log := Log, watchers := Ws, job := Job} = G) ->
    Log1 = log_entry(Entry, Log),
    Event = case Entry of {event, E} -> E; {finished, _, _} -> Entry; _ -> none end,
    Event =:= none orelse
        begin
            Msg = {updo, maps:get(run, Job), maps:get(seq, Log1), Event},
            lists:foreach(fun(W) -> W ! Msg end, maps:values(Ws))
        end,
    G#{log := Log1}.

replay(Pid, #{events := Es}, From) ->
    #{run := Run} = get(updo_info),
    lists:foreach(fun({Seq, E}) when Seq > From -> Pid ! {updo, Run, Seq, E}; (_) -> ok end,
                  lists:reverse(Es)).

%% The processes of the agent that send to the watchers themselves.
tell_agents(#{exec := Exec, job := Job, watchers := Ws} = G) ->
    Exec ! {updo_watchers, maps:values(Ws)},
    watchdog_tell(Job, {updo_watchers, maps:values(Ws)}),
    G.

%% A lone watcher must decide; one of several leaves it to the others. Not part of the log, hence 0.
tell_watchers(#{watchers := Ws}) ->
    #{run := Run} = get(updo_info),
    lists:foreach(fun(W) -> W ! {updo, Run, 0, {watchers, map_size(Ws)}} end, maps:values(Ws)).

%% Finished, and no client that could decide anything: settle.
settle_if_unwatched(#{phase := idle, watchers := Ws, exec := Exec} = G) when map_size(Ws) =:= 0 ->
    Exec ! updo_settle,
    G#{phase := settling, seen => false};
settle_if_unwatched(G) -> G.

%% The time is up: whatever the executor is in (a hanging on_load, an apply), its successor undoes.
%% What is already being undone or resumed is left alone.
deadline(#{phase := running, log := #{undoing := false, resuming := false, way := there,
                                      release_handler := undefined, step := Step, decided := D},
           exec := Exec} = G) when D =/= go ->
    exit(Exec, kill),
    G#{late := {deadline, Step}};
deadline(G) -> G.

%% A client wants it called off. Only while nothing is switched: later the run goes on to its end.
%% Should the executor be faster by one step, its successor undoes the switch: old in any case.
abort_run(#{phase := running, exec := Exec, late := undefined,
            log := #{undoing := false, resuming := false, switching := [], on_load := [],
                     windows := 0, way := there, release_handler := undefined, step := Step}} =
                         G) ->
    exit(Exec, kill),
    G#{late := {aborted, Step}};
abort_run(G) -> G.

executor_down(Why, #{workers := Workers, restarts_left := Lives, late := Late, phase := Phase} =
    G0) ->
    G = together_undecided(G0),
    kill_all(Workers),
    Reason = case Late of undefined -> {executor_died, text(Why)}; _ -> Late end,
    if
        Phase =:= settling, Lives =< 1 -> guardian_settled(G);
        Lives =< 1 -> guardian_settled(last_resort(Reason, G));
        true ->
            G1 = start_executor({recover, Reason}, G#{restarts_left := Lives - 1,
                                                      late := undefined}),
            case Phase of
                settling ->
                    maps:get(exec, G1) ! case maps:get(persist, G, false) of
                        true -> {updo_settle, persist}; false -> updo_settle end,
                    G1;
                _ -> G1
            end
    end.

%% Executors die as fast as they are made: at least no process stays suspended.
last_resort(Reason, #{log := #{found := Found, held := Held, left := Left, switching := S,
                               on_load := O, converting := C, outcome := Outcome,
                               release_handler := Foreign, precomputed := Computed,
                               live := Live}} = G) ->
    Forget = case Computed of [] -> none; _ -> portable_forget_fun() end,
    lists:foreach(fun(P) ->
                          Forget =:= none orelse
                              (P ! {system, {self(), make_ref()}, {replace_state, Forget}}),
                          P ! {system, {self(), make_ref()}, resume}
                  end,
                  Held ++ [P || F <- Found, Parts <- maps:values(F), Part <- tuple_to_list(Parts),
                           P <- Part, not ordsets:is_element(P, Left)]),
    if
        Outcome =/= undefined -> G;
        S =:= [], O =:= [], C =:= [], Foreign =:= undefined, Live =:= none ->
            logged({event, {finished, old, #{reason => Reason, suspended_us => 0}}}, G);
        Live =/= none ->
            Text = <<"% the executor died too often in a live window: processes go on to convert "
                     "by themselves, and may stay in either version">>,
            logged({event, {finished, mixed, #{reason => Reason, by_hand => [Text]}}}, G);
        true ->
            Text = <<"% the executor died too often; all processes were resumed, but code and "
                     "states may not fit">>,
            logged({event, {finished, mixed, #{reason => Reason, by_hand => [Text]}}}, G)
    end.

kill_all(Pids) ->
    Mons = [begin exit(P, kill), monitor(process, P) end || P <- Pids],
    lists:foreach(fun(M) -> receive {'DOWN', M, process, _, _} -> ok end end, Mons).

%% Everything is done. When no client has asked for the end, keep the result for a while.
guardian_settled(#{job := Job, log := Log} = G) ->
    twins_gone(maps:get(twins, Log, [])),
    case maps:get(seen, G, false) orelse nothing_to_tell(Log) of
        true -> ok;
        false ->
            set_lock_info(Job, kept),
            guardian_kept(G, erlang:monotonic_time(millisecond) + maps:get(keep, Job, keep()))
    end,
    catch unregister(updo_run),
    watchdog_tell(Job, updo_done),
    cleaner(Job, Log, [self(), maps:get(exec, G) | maps:get(workers, G)]),
    exit(normal).

%% No client was there from the beginning, so nothing was begun.
nothing_to_tell(#{events := Es}) ->
    lists:any(fun({_, {finished, _, #{reason := unattended}}}) -> true; (_) -> false end, Es).

guardian_kept(#{log := Log} = G, Until) ->
    receive
        {updo_attach, Pid} when is_pid(Pid) ->
            replay(Pid, Log, 0),
            #{run := Run} = get(updo_info),
            Pid ! {updo, Run, 0, {watchers, 0}},
            guardian_kept(G, Until);
        {updo_together_ask, From, Ref, Group, How} when is_pid(From) ->
            guardian_kept(together_asked(From, Ref, Group, How, G), Until);
        updo_settle -> ok;
        updo_give_way -> ok;
        _ -> guardian_kept(G, Until)
    after max(0, Until - now_ms()) -> ok
    end.

%% The last act: a process without a frame of this module waits for the others to end, then takes
%% the code away. After a rehearsal it keeps the code for `stay` ms, under the name of the module:
%% the client's next agent takes it over (load.erlexpr), unless its connection breaks.
cleaner(Job, #{live := Live}, Pids) ->
    Client = case maps:get(watcher, Job, none) of W when is_pid(W) -> node(W); _ -> node() end,
    Stay = if Client =:= node(); Live =/= none -> 0; true -> maps:get(stay, Job, 0) end,
    Gone = "code:purge(Name), code:delete(Name), code:purge(Name)",
    Remove = case maps:get(agent, Job, undefined) of
        %% The shims that are loaded call it.
        {module, _} when Live =/= none -> "ok.";
        {module, _} when Stay =:= 0 -> Gone ++ ".";
        {module, _} ->
            "case receive {updo_next, From, Ref} -> Mon = monitor(process, From), "
            "From ! {Ref, yours}, "
            "receive {Ref, taken} -> taken; {'DOWN', Mon, _, _, _} -> gone end; "
            "{nodedown, Client} -> gone after Stay -> gone end of "
            "taken -> ok; gone -> catch unregister(Name), " ++ Gone ++ " end.";
        {interpreted, _} -> "persistent_term:erase(Name).";
        _ -> "ok."
    end,
    Name = case maps:get(agent, Job, undefined) of {_, N} -> N; _ -> undefined end,
    Keep = case Stay of
        0 -> "";
        _ -> "catch register(Name, self()), catch erlang:monitor_node(Client, true), "
    end,
    Text = Keep ++ "lists:foreach(fun(P) -> R = erlang:monitor(process, P), "
                   "receive {'DOWN', R, _, _, _} -> ok end end, Pids), ",
    {ok, Tokens, _} = erl_scan:string(Text ++ Remove),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    Bs = lists:foldl(fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end, erl_eval:new_bindings(),
                     [{'Name', Name}, {'Pids', Pids}, {'Client', Client}, {'Stay', Stay}]),
    spawned({erl_eval, exprs, [Exprs, Bs]}, []).
