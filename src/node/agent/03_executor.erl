%% The executor: its life, one run step by step, and what it does when it succeeds a dead one.

%% -------------------------------------------------------------------------------------------------
%% Executor: its life

executor(G, Job, Log, Watchers, Mode) ->
    put(log, Log),
    put(job, Job),
    put(watchers, Watchers),
    put(phase, running),
    put(guardian, G),
    put(gmon, monitor(process, G)),
    watchdog_tell({updo_watch, self()}),
    put(dead_pid, dead_pid()),
    put(pass, make_ref()),
    Me = self(),
    Workers = [spawned(fun() -> worker(Me, #{}) end, [link])
               || _ <- lists:seq(1, maps:get(nworkers, Log))],
    put(workers, Workers),
    G ! {updo_workers, self(), Workers},
    tell_survivors({executor, self()}),
    case Mode of
        run -> first_run(Job);
        {recover, Why} -> recover(Why)
    end,
    idle().

%% A pid that is certainly dead: answers sent to it are not even copied.
dead_pid() ->
    {P, Mon} = spawned(fun() -> ok end, [monitor]),
    receive {'DOWN', Mon, process, P, _} -> P end.

first_run(Job) ->
    event({started, #{guardian => get(guardian), executor => self(),
                      workers => length(get(workers)),
                      otp => list_to_binary(erlang:system_info(otp_release)),
                      agent => maps:get(agent, Job, undefined)}}),
    run(once).

%% Finished. Only now the client can ask for more steps, or for the end.
idle() ->
    twins_end(),
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
        Settle when Settle =:= updo_settle; Settle =:= {updo_settle, persist} ->
            put(phase, settling),
            settle(Settle =/= updo_settle),
            tell_survivors(stop),
            get(guardian) ! {updo_settled, self()},
            wait_stragglers(),
            lists:foreach(fun(W) -> unlink(W), exit(W, kill) end, get(workers)),
            last_watch(get(gmon));
        updo_survey -> report_deaths(), event({surveyed, survey()}), idle_loop();
        {died, One} -> event({died, One}), idle_loop();
        {late, Ref, Pid, _} -> straggler(Ref, Pid), idle_loop();
        {updo_watchers, Ws} -> put(watchers, Ws), idle_loop();
        {'DOWN', GMon, process, _, _} ->
            new_guardian(), get(guardian) ! {updo_idle, self()}, idle_loop();
        {'DOWN', Mon, process, _, _} -> straggler_down(Mon), idle_loop();
        {unasked, P, Why} -> put({unasked, P}, Why), idle_loop();
        {asked, P} -> put({asked, P}, true), idle_loop();
        _ -> idle_loop()
    end.

%% The lock is free by now. Only a process that may still enter this module keeps it loaded.
wait_stragglers() ->
    GMon = get(gmon),
    case map_size(stragglers()) of
        0 -> ok;
        _ ->
            receive
                {late, Ref, Pid, _} ->
                    put(stragglers, maps:remove({Ref, Pid}, stragglers())), wait_stragglers();
                %% That the guardian has gone is for last_watch/1.
                {'DOWN', Mon, process, _, _} when Mon =/= GMon ->
                    put(stragglers, maps:filter(fun(_, M) -> M =/= Mon end, stragglers())),
                    wait_stragglers()
            end
    end.

%% Should the guardian be killed while it keeps the result, another process must take the code away.
last_watch(GMon) ->
    receive
        {'DOWN', GMon, process, _, normal} -> ok;
        {'DOWN', GMon, process, _, _} -> 
            watchdog_tell(updo_done),
            cleaner(get(job), get(log), [self()])
    end.

%% The guardian is dead: make another, which gets lock and log. A run that took the lock in between
%% has a right to find no process suspended: then undo what can be undone.
new_guardian() ->
    decisions_heard(),
    {Exec, Ref, Job, Log, Workers, Ws, Phase} =
        {self(), make_ref(), get(job), get(log), get(workers), get(watchers), get(phase)},
    {G, Mon} = spawned(fun() -> guardian_again(Exec, Ref, Job, Log, Workers, Ws, Phase) end,
                       [monitor]),
    put(guardian, G),
    put(gmon, Mon),
    receive
        {Ref, true} ->
            event({guardian_replaced, #{guardian => G}});
        {Ref, false} ->
            case Log of
                #{undoing := false, resuming := false, windows := 0, release_handler := undefined}
                    when Phase =:= running -> fail({lock_lost, holder()});
                _ -> ok
            end;
        {'DOWN', Mon, process, _, _} -> new_guardian()
    end.

check_guardian() ->
    GMon = get(gmon),
    receive {'DOWN', GMon, process, _, _} -> new_guardian() after 0 -> ok end.

log(Entry) ->
    put(log, log_entry(Entry, get(log))),
    watchdog_receives(Entry),
    get(guardian) ! {updo_log, self(), Entry},
    ok.

log_get(K) -> maps:get(K, get(log)).
event(E) -> log({event, E}), check_guardian().
fail(Reason) -> throw({updo_fail, Reason}).

%% What the job says; on the way back through closed windows everything is the other way round.
job(K, Default) ->
    case get(log) of
        #{way := there} -> maps:get(K, get(job), Default);
        #{way := {back, N, _}, forward := New} -> reversed(K, Default, get(job), N, New)
    end.

reversed(steps, _, Job, N, _) ->
    lists:append(lists:reverse(lists:sublist(maps:get(back, Job, []), N)));
reversed(leave, _, Job, _, _) -> maps:get(leave, Job, leave());
reversed(goal, _, Job, _, _) -> other(maps:get(goal, Job, new));
reversed(modules, _, Job, _, New) ->
    [(maps:remove(was, M))#{new := O, old := N, loaded := is_binary(N)}
     || #{name := Name, new := N, old := O} = M <- maps:get(modules, Job, []),
     lists:member(Name, New)];
reversed(K, Default, Job, _, _) -> maps:get(K, Job, Default).

%% -------------------------------------------------------------------------------------------------
%% Executor: one run

%% => run()
%% How: once | again (after the death of an executor: steps already done are not repeated).
run(How) ->
    try
        prepare(How),
        log_get(runs) > 1 orelse How =:= again orelse attended(),
        steps(job(steps, []), How),
        end_window(),
        Because = case log_get(way) of {back, _, Why} -> #{reason => Why}; there -> #{} end,
        case {replaced(), log_get(not_installed)} of
            {[], []} -> finished_new(job(goal, new), Because);
            {[], Left} -> finished(mixed, half_installed(Left));
            {Other, _} ->
                finished(mixed, #{reason => {replaced, Other}, replaced => Other, by_hand => []})
        end
    catch
        throw:{updo_fail, Reason} -> failed(Reason);
        Class:Reason:Stack -> failed({agent_error, text({Class, Reason, no_args(Stack)})})
    end.

%% A client that went away while the agent was still being brought to life wanted nothing to be
%% touched any more, as far as it could know. Later it does not matter: then the run goes on to its
%% end.
attended() ->
    case job(watcher, none) of
        W when is_pid(W), node(W) =/= node() ->
            lists:member(node(W), nodes(connected)) orelse fail(unattended);
        _ -> true
    end.

%% New, unless it is unknown what some of the processes are that were born meanwhile.
finished_new(Outcome, Info) ->
    case [P || P <- log_get(unsure), is_process_alive(P)] of
        [] -> finished(Outcome, Info);
        Pids -> finished(mixed, Info#{unsure => lists:sublist(Pids, named()), goal => Outcome,
                                      by_hand => [text_of("sys:get_state(~s).", [pid_text(P)])
                                                  || P <- lists:sublist(Pids, named())]})
    end.

finished(Outcome, Info) ->
    %% Keys and paths that this run has set are of no use to the version that it began with, and not
    %% its own.
    Outcome =:= other(maps:get(goal, get(job), new)) andalso settings_back(),
    {Reported, More} = remains(Outcome, Info),
    log({finished, Reported, More#{suspended_us => stood(get(log)),
                               called_off => log_get(called_off)}}),
    check_guardian().

settings_back() ->
    lists:foreach(fun({A, K}) -> application:unset_env(A, K);
                     ({A, K, Was}) -> application:set_env(A, K, Was)
                  end, maps:get(env, get(log), [])),
    lists:foreach(fun({Name, Was}) -> code:replace_path(Name, Was) end,
                  maps:get(paths, get(log), [])).

steps([], _) -> ok;
steps([{Id, Step} | Rest], How) ->
    case How =:= again andalso skip(Id, Step) of
        true ->
            %% One died between the last resume and the end of its window.
            case Step of {resume, _} -> lists:member(Id, log_get(wdone)) andalso end_window();
                _ -> ok end;
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

%% Repeating is harmless for suspend (a suspended process answers again), load (md5 decides) and
%% code_change (starts from the saved state), but not once a process is resumed, and never for an
%% apply.
skip(Id, Step) ->
    #{done := Done, wdone := WDone, applied := Applied, resuming := Resuming} = get(log),
    case {lists:member(Id, Done), lists:member(Id, WDone), Step} of
        {true, _, _} -> true;
        {_, true, _} when element(1, Step) =:= barrier -> true;
        _ when element(1, Step) =:= apply; element(1, Step) =:= hook;
        element(1, Step) =:= config_change; element(1, Step) =:= release_handler ->
            lists:member(Id, Applied);
        {_, true, _} when Resuming -> true;
        _ -> false
    end.

%% The window is closed when no process is suspended any more.
end_window() ->
    case get(log) of
        #{found := [], switching := [], on_load := []} -> ok;
        _ ->
            resume_all([]),
            spawn_watch_off(),
            put(want, undefined),
            conversions_forgotten(),
            log(window_closed)
    end.

%% Something went wrong and this executor is alive: back to old.
failed(Reason) ->
    log({set, undoing, true}),
    case log_get(step) of
        undefined -> ok;
        Id -> event({step_failed, Id, step_failure(Reason)})
    end,
    stop_workers(),
    serving_ends(),
    conversions_forgotten(),
    back(Reason).

conversions_forgotten() ->
    early_ends(),
    lists:foreach(fun(K) -> erase(K) end, [converting_now, converted_now, done_ahead, computed]).

%% => step_failure()
step_failure(Reason) -> #{reason => Reason}.

%% The executor before this one died.
recover(Why) ->
    put(recovered, true),
    switcher_ended(),
    event({executor_replaced, #{executor => self(), why => Why}}),
    #{outcome := Outcome, undoing := Undoing, windows := N, resuming := Resuming, switching := S,
      on_load := O, way := Way, decided := Decided,
      release_handler := Foreign} = get(log),
    code_server_idle(),
    release(),
    spawn_watch_forgotten([M || {_, {suspend, Ranks}} <- job(steps, []), Rank <- Ranks,
                           {M, _} <- Rank]),
    Late = is_tuple(Why) andalso element(1, Why) =:= deadline,
    CalledOff = is_tuple(Why) andalso lists:member(element(1, Why), [deadline, aborted]),
    Live = log_get(live) =/= none,
    Turns = Live andalso CalledOff andalso not live_is_settled(),
    if
        Outcome =/= undefined -> ok;
        Foreign =/= undefined -> release_handler_again(Foreign);
        Undoing -> back(Why);
        Turns -> log({set, undoing, true}), back(live_why(Why));
        Live -> run(again);
        Resuming -> run(again);
        %% The other nodes go on.
        Decided =:= go, Way =:= there -> run(again);
        Way =/= there -> again_back(S ++ O);
        N > 0, not Late -> run(again);
        S =:= [], O =:= [] -> log({set, undoing, true}), back(Why);
        true ->
            case cannot_undo() of
                [] -> log({set, undoing, true}), back(Why);
                _ -> run(again)
            end
    end.

%% On the way back the version that converts is the one that goes. Where it has gone already the
%% window begins anew.
again_back([]) -> run(again);
again_back(_) ->
    case reload_old() of
        {_, []} ->
            resume_everybody(back_op()),
            log(window_undone),
            run(again);
        {Killed, Those} ->
            {back, _, Why} = log_get(way),
            Lost = case Killed of stuck -> [{M, old_code_in_use} || M <- Those]; _ -> Those end,
            mixed(Why, #{not_restored => Lost}, log_get(forward) -- log_get(loaded))
    end.

%% Whatever the dead one had asked of the code server is finished when the code server answers
%% again.
code_server_idle() -> code:delete(updo_run), ok.

back(Why) ->
    release(),
    spawn_watch_off(),
    try
        #{switching := S, on_load := O, windows := N, release_handler := Foreign, live := Live} =
            get(log),
        case {S ++ O, cannot_undo()} of
            _ when Foreign =/= undefined -> half_way(Why, Foreign);
            {[], _} when Live =/= none -> live_undone(Why, N);
            {[], _} -> abort(Why, N);
            {_, []} -> undo(Why, N);
            {_, Ms} -> give_up(Why, Ms)
        end
    catch
        Class:R:Stack ->
            finished(mixed, #{reason => Why, undo_failed => text({Class, R, no_args(Stack)}),
                              by_hand => by_hand_resume()})
    end.

%% Before the switch: resume all. States that were computed are forgotten.
abort(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    effects(down),
    {Count, Late} = resume_everybody(back_op()),
    event({undo_finished, now_us() - T, #{processes => Count}}),
    Inside = case log_get(precomputed) of
        [] -> [One || log_get(early) =/= [], {_, P} = One <- Late, executes_twin(P)];
        _ -> Late
    end,
    case Inside of
        [] -> finished_old(Why, N, #{});
        _ -> finished_late(Why, N, Inside)
    end.

%% This window is old again. Something has become new in earlier ones: they are gone through
%% backwards, with code_change, for their processes have run since. Where that cannot be, it is a
%% mix.
finished_old(Why, N, Info) ->
    case {log_get(way), N} of
        {there, 0} -> finished_new(other(job(goal, new)), Info#{reason => Why});
        {there, _} ->
            case can_turn(N) of
                true ->
                    log({turn_back, Why}),
                    event({turning_back, #{windows => N}}),
                    run(once);
                false -> mixed(Why, Info, log_get(loaded))
            end;
        _ -> mixed(Why, Info, log_get(forward) -- log_get(loaded))
    end.

mixed(Why, Info, New) ->
    finished(mixed, Info#{reason => Why, new => New, by_hand => maps:get(by_hand, Info, [])}).

can_turn(N) ->
    Back = job(back, []),
    Old = fun(#{loaded := false}) -> true; (#{old := B}) -> is_binary(B) end,
    length(Back) >= N andalso lists:all(fun(Steps) -> is_list(Steps) end, lists:sublist(Back, N))
        andalso
        lists:all(Old, [M || #{name := Name} = M <- job(modules, []),
                        lists:member(Name, log_get(loaded))]).

other(new) -> old;
other(old) -> new.

%% -------------------------------------------------------------------------------------------------
%% Steps

%% => switched()
step(Id, {suspend, Ranks}) -> suspend(Id, Ranks);
step(Id, {load, Ms}) -> load(Id, Ms);
step(_, {delete, Ms}) ->
    purge_at_load(Ms),
    log({set, switching, Ms ++ log_get(switching)}),
    Kept = [M || M <- Ms, erlang:module_loaded(M), not code:delete(M)],
    Kept =:= [] orelse fail({delete_failed, Kept}),
    #{modules => length(Ms)};
step(Id, {code_change, Mode, Changes}) -> code_change(Id, Mode, Changes);
step(Id, {precompute, Changes}) -> precompute(Id, Changes);
step(_, {resume, Ms}) -> with_early(resume_all(Ms));
step(_, {ahead, Ms}) -> ahead(Ms);
step(Id, {apply, {M, F, A}}) ->
    log({add, applied, Id}),
    try apply(M, F, A) of
        {error, {already_started, _}} -> #{};
        %% OTP's own runs do not look at what this answers, and go on without the application.
        {error, Why} when M =:= application, F =:= start ->
            fail({apply_failed, #{mfa => {M, F, length(A)}, reason => text(no_args(Why))}});
        _ -> #{}
    catch
        Class:Reason:Stack ->
            fail({apply_failed, #{mfa => {M, F, length(A)},
                                  reason => text({Class, Reason, no_args(Stack)})}})
    end;
step(_, {env, Keys}) ->
    lists:foreach(fun(Key) -> env(Key, application:get_env(element(1, Key), element(2, Key))) end,
                  Keys),
    #{};
step(_, {paths, Moves}) ->
    lists:foreach(fun({Name, Was, Dir}) ->
                      log({add, paths, {Name, Was}}),
                      case code:replace_path(Name, Dir) of
                          true -> ok;
                          {error, Why} ->
                              fail({path_failed, #{folder => unicode:characters_to_binary(Dir),
                                                   reason => text(Why)}})
                      end
                  end, Moves),
    #{};
step(Id, {config_change, Reported}) ->
    log({add, applied, Id}),
    lists:foreach(fun(One) -> config_change(One) end, Reported),
    #{};
step(Id, {release_handler, Script, Libs}) -> release_handler(Id, Script, Libs);
step(_, {twins_load, Ms}) -> twins_load(Ms);
step(_, {twins_drop, Ms}) -> twins_drop(Ms);
step(Id, {rehearse, What}) -> rehearse(Id, What);
step(_, {children, Ops}) -> children(Ops);
step(Id, {live, Convert, Ms}) -> live_window(Id, Convert, Ms);
step(Id, {soak, Ms}) -> soak(Id, Ms);
step(Id, {barrier, _, Ms, How}) -> barrier(Id, Ms, How), #{};
step(Id, {hook, Ms, _}) ->
    log({add, applied, Id}),
    event({hook, Id}),
    answered(Id, now_ms() + Ms);
step(_, Other) -> fail({unknown_step, text(Other)}).

%% What something else has set in the meantime stays.
env({A, K}, {ok, Was}) -> log({add, env, {A, K, Was}}), application:unset_env(A, K);
env({A, K, V}, undefined) -> log({add, env, {A, K}}), application:set_env(A, K, V);
env({A, K, Was, V}, {ok, Was}) -> log({add, env, {A, K, Was}}), application:set_env(A, K, V);
env(_, _) -> ok.

%% As OTP's application controller does it, but what goes wrong is not swallowed.
config_change({M, Changed, New, Removed}) ->
    code:ensure_loaded(M),
    case erlang:function_exported(M, config_change, 3) of
        false -> ok;
        true ->
            try M:config_change(Changed, New, Removed) of
                ok -> ok;
                Other ->
                    fail({apply_failed, #{mfa => {M, config_change, 3}, reason => text(Other)}})
            catch
                throw:{updo_fail, _} = Fail -> throw(Fail);
                Class:Reason:Stack ->
                    fail({apply_failed, #{mfa => {M, config_change, 3},
                                          reason => text({Class, Reason, no_args(Stack)})}})
            end
    end.

%% A hook of the plan is evaluated by a client. When none is there to answer, the safe answer
%% is no.
answered(Id, Until) ->
    GMon = get(gmon),
    get(watchers) =:= [] andalso fail({hook_unattended, Id}),
    receive
        {updo_hook, Id, true} -> #{};
        {updo_hook, Id, _} -> fail({hook_failed, Id});
        {updo_watchers, Ws} -> put(watchers, Ws), answered(Id, Until);
        {'DOWN', GMon, process, _, _} -> new_guardian(), answered(Id, Until)
    after max(0, Until - now_ms()) -> fail({hook_unattended, Id})
    end.
