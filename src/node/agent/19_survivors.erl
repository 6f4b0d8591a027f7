%% Survivors: every process that a run suspends is monitored, from before the pause until the run
%% is settled. A crash after the resume is an event; how many live is asked at the end.
%%
%% The monitors belong to a process of their own: it outlives an executor, and setting a hundred
%% thousand monitors is no part of the pause.

%% -------------------------------------------------------------------------------------------------
%% The process that monitors

%% waiting: monitors of processes that no resume has reached; those that die there are reported by
%% the steps. watched: those resumed. Ended: how many of them do not live any more; crashed: how
%% many of these by a crash.
survivors(Exec, Mon, S) ->
    #{waiting := Waiting, watched := Watched, seen := Seen} = S,
    receive
        {watch, To, Ref, New} ->
            Fresh = [{P, M} || {M, Ps} <- New, P <- Ps, not is_map_key(P, Seen)],
            More = lists:foldl(fun({P, M}, Acc) -> Acc#{monitor(process, P) => M} end, Waiting,
                               Fresh),
            To ! {Ref, ok},
            Also = maps:from_list([{P, true} || {P, _} <- Fresh]),
            survivors(Exec, Mon, S#{waiting := More, seen := maps:merge(Seen, Also)});
        resumed ->
            survivors(Exec, Mon, S#{waiting := #{}, watched := maps:merge(Watched, Waiting)});
        {survey, To, Ref} ->
            To ! {Ref, survivor_counts(S)},
            survivors(Exec, Mon, S);
        {executor, Next} ->
            demonitor(Mon, [flush]),
            survivors(Next, monitor(process, Next), S);
        {'DOWN', Mon, process, _, _} ->
            case next_executor() of
                none -> ok;
                Next -> survivors(Next, monitor(process, Next), S)
            end;
        {'DOWN', M, process, P, Why} when is_map_key(M, Watched) ->
            Rest = S#{watched := maps:remove(M, Watched)},
            survivors(Exec, Mon, survivor_died(Exec, P, maps:get(M, Watched), Why, Rest));
        {'DOWN', M, process, _, _} when is_map_key(M, Waiting) ->
            survivors(Exec, Mon, S#{waiting := maps:remove(M, Waiting)});
        stop -> ok;
        _ -> survivors(Exec, Mon, S)
    end.

%% A dead executor has a successor as long as there is a guardian, and that says so at once. Without
%% a guardian it has one only if that was just started: for the watchdog all is over then in half a
%% second, and this process must not keep the agent's module from being removed.
next_executor() ->
    {Mon, Ms} = case whereis(updo_run) of
        undefined -> {none, 1000};
        Guardian -> {monitor(process, Guardian), 10000}
    end,
    Next = receive
        {executor, P} -> P;
        {'DOWN', Mon, process, _, _} -> receive {executor, P} -> P after 1000 -> none end
        after Ms -> none
    end,
    is_reference(Mon) andalso demonitor(Mon, [flush]),
    Next.

%% => died()
survivor_died(Exec, P, M, Why, #{ended := Ended, crashed := Crashed, died := Died} = S) ->
    case is_crash(Why) of
        false -> S#{ended := Ended + 1};
        true when Crashed < 20 ->
            One = #{pid => P, module => M, reason => why({'EXIT', Why})},
            Exec ! {died, One},
            S#{ended := Ended + 1, crashed := Crashed + 1, died := [One | Died]};
        true -> S#{ended := Ended + 1, crashed := Crashed + 1}
    end.

%% A process that is killed did not fail by its code: supervisors and people end processes so. It
%% only does not live.
is_crash(normal) -> false;
is_crash(shutdown) -> false;
is_crash({shutdown, _}) -> false;
is_crash(killed) -> false;
is_crash(noproc) -> false;
is_crash(noconnection) -> false;
is_crash(_) -> true.

%% => survivor_counts()
survivor_counts(#{watched := Watched, ended := Ended, crashed := Crashed, died := Died}) ->
    Live = map_size(Watched),
    #{watched => Live + Ended, live => Live, crashed => Crashed, died => lists:reverse(Died)}.

%% -------------------------------------------------------------------------------------------------
%% Executor: what it asks of that process

%% The first time before the pause, which waits for the monitors then.
watch_survivors(Found, Wait) ->
    P = survivors_pid(),
    Mon = monitor(process, P),
    P ! {watch, case Wait of true -> self(); false -> get(dead_pid) end, Mon,
         survivors_of(maps:to_list(Found))},
    Killed = case Wait of
        true ->
            receive {Mon, ok} -> false; {'DOWN', Mon, process, _, _} -> true after 5000 -> false
            end;
        false -> false
    end,
    demonitor(Mon, [flush]),
    Killed andalso watch_survivors(Found, Wait).

survivors_of(All) -> [{M, lists:append(tuple_to_list(Parts))} || {M, Parts} <- All].

%% One that was killed is followed by another, which begins with those of closed windows.
survivors_pid() ->
    case maps:get(survivors, get(log), none) of
        none -> survivors_new();
        P ->
            case is_process_alive(P) of
                true -> P;
                false ->
                    Next = survivors_new(),
                    Next ! {watch, get(dead_pid), make_ref(), survivors_of(log_get(converted))},
                    Next ! resumed,
                    Next
            end
    end.

survivors_new() ->
    Exec = self(),
    Empty = #{waiting => #{}, watched => #{}, seen => #{}, ended => 0, crashed => 0, died => []},
    P = spawned(fun() -> survivors(Exec, monitor(process, Exec), Empty) end, []),
    log({set, survivors, P}),
    P.

%% What is to be said to it; nothing when no process was ever suspended.
tell_survivors(What) ->
    case maps:get(survivors, get(log), none) of
        none -> ok;
        P -> P ! What, ok
    end.

%% #{watched, live, crashed, died}; empty when nothing was suspended, or when it cannot be known.
survivors() ->
    case maps:get(survivors, get(log), none) of
        none -> #{};
        P ->
            Mon = monitor(process, P),
            P ! {survey, self(), Mon},
            receive
                {Mon, Reported} -> demonitor(Mon, [flush]), Reported;
                {'DOWN', Mon, process, _, _} -> #{}
            after 10000 -> demonitor(Mon, [flush]), #{}
            end
    end.

%% => survey(), cleaned_up()
%% At the end of a run: which processes live, and which modules something else has loaded since.
survey() -> #{survivors => survivors(), replaced => replaced()}.

%% -------------------------------------------------------------------------------------------------
%% Step: soak

%% => soaked()
%% Everything runs again, so there is only one way: neither the deadline nor a request to stop
%% undoes anything; the deadline ends the waiting.
soak(Id, Ms) ->
    log({set, resuming, true}),
    check_guardian(),
    Since = now_ms(),
    Until = min(Since + Ms, case log_get(until) of infinity -> Since + Ms; U -> U end),
    case survivors() of
        #{watched := N} when N > 0 -> soaking(Id, Since, Until, Since + 500);
        _ -> ok
    end,
    Reported = survivors(),
    #{processes => maps:get(watched, Reported, 0), live => maps:get(live, Reported, 0),
      crashed => maps:get(crashed, Reported, 0)}.

%% Its progress is the time: milliseconds done, and in all.
soaking(Id, Since, Until, Next) ->
    GMon = get(gmon),
    receive
        {died, One} -> event({died, One}), soaking(Id, Since, Until, Next);
        {updo_watchers, Ws} -> put(watchers, Ws), soaking(Id, Since, Until, Next);
        {'DOWN', GMon, process, _, _} -> new_guardian(), soaking(Id, Since, Until, Next)
    after max(0, min(Until, Next) - now_ms()) ->
        case now_ms() of
            Now when Now >= Until -> report_deaths();
            Now ->
                event({step_progress, Id, Now - Since, Until - Since}),
                soaking(Id, Since, Until, Now + 500)
        end
    end.

%% Deaths that were reported and have not become events yet.
report_deaths() ->
    receive {died, One} -> event({died, One}), report_deaths() after 0 -> ok end.

%% -------------------------------------------------------------------------------------------------
%% Code that something else has loaded

expected_md5(M) ->
    case get({expected, M}) of
        undefined -> #{new := New} = module_map(M), md5(New);
        Md5 -> Md5
    end.

%% Modules that are not what this run has made of them: after a success what it has loaded, after an
%% undo what was there before; of a mix that cannot be said.
replaced() ->
    #{outcome := Outcome, before := Before, loaded := Loaded, switching := S, on_load := O} =
        get(log),
    Goal = job(goal, new),
    Expected = case Outcome of
        _ when Outcome =:= undefined; Outcome =:= Goal ->
            [{M, expected_md5(M)} || M <- lists:usort(Loaded ++ S ++ O),
                                     #{new := New} <- [module_map(M)], is_binary(New)];
        mixed -> [];
        _ ->
            [{M, Md5} || #{name := M} <- job(modules, []), #{M := #{md5 := Md5}} <- [Before],
             Md5 =/= none]
    end,
    [M || {M, Md5} <- Expected, current_md5(M) =/= Md5].

%% Right before modules are loaded: code that was loaded since the run began is not overwritten.
unchanged(Ms) ->
    Before = log_get(before),
    Other = [M || M <- Ms, #{M := #{md5 := Was}} <- [Before], Is <- [current_md5(M)],
                  Is =/= Was, Is =/= expected_md5(M)],
    Other =:= [] orelse fail({replaced, Other}).
