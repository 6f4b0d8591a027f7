%% The watchdog: a third process, for the case that executor and guardian are killed together. It
%% decides nothing. In a live window it starts both again, for what goes on there is in no need of
%% being stopped, and cannot be left to itself. Otherwise it knows which processes are suspended at
%% the moment, and when neither executor nor guardian is alive it resumes them, reports the state of
%% the node to the watchers, and keeps it as the result of the run.
%%
%% It has no frame of this module (its text is evaluated by erl_eval), so it survives whatever ends
%% the processes of this module, a purge included, and can take the module away.

%% -------------------------------------------------------------------------------------------------
%% What the agent sends it, by name: one that replaces a dead watchdog has the same one.

watchdog_name(Job) -> binary_to_atom(<<"updo_watchdog_", (maps:get(run, Job))/binary>>, utf8).

%% By the guardian, before anything else is started. A dead one is replaced, and learns what the log
%% knows.
watchdog(Job, Log, Exec) ->
    Name = watchdog_name(Job),
    case whereis(Name) of
        undefined ->
            Pid = watchdog_spawn(Job),
            (catch register(Name, Pid)) =:= true orelse exit(Pid, kill),
            [watchdog_tell(Job, Message) || Message <- watchdog_known(Job, Log)];
        _ -> ok
    end,
    [watchdog_tell(Job, {updo_watch, P}) || P <- [self(), Exec], is_pid(P)],
    case whereis(Name) of undefined -> none; Dog -> monitor(process, Dog) end.

watchdog_known(Job, #{found := Found, held := Held, before := Before, outcome := Outcome,
                      converted := Past} = Log) ->
    [{updo_modules, watchdog_modules(maps:get(modules, Job, []), Before), maps:get(goal, Job, new)},
     {updo_suspending, [{M, [P || {N, Parts} <- Past, N =:= M, P <- parts_pids(Parts)]}
                        || M <- lists:usort([N || {N, _} <- Past])]},
     updo_resumed,
     {updo_suspending, [{M, parts_pids(Parts) -- maps:get(left, Log, [])}
                        || F <- Found, {M, Parts} <- maps:to_list(F)]},
     {updo_suspending, [{undefined, Held}]},
     {updo_settings, maps:get(env, Log, []), maps:get(paths, Log, [])},
     {updo_twins, maps:get(twins, Log, [])},
     {updo_breakpoints, maps:get(breakpoints, Log, [])},
     {updo_transition, watchdog_transition(Job, Log)}] ++
        [{updo_ended, Outcome} || Outcome =/= undefined].

%% By the executor, with every entry of the log and before it does what the entry says. What was
%% suspended before the run is not resumed by it.
watchdog_receives({set, found, [New | _]}) ->
    watchdog_tell({updo_suspending, [{M, parts_pids(Parts) -- log_get(left)}
                                     || {M, Parts} <- maps:to_list(New)]});
watchdog_receives({set, held, [_ | _] = Held}) ->
    watchdog_tell({updo_suspending, [{undefined, Held}]});
watchdog_receives({set, before, Before}) ->
    watchdog_tell({updo_modules, watchdog_modules(job(modules, []), Before), job(goal, new)});
watchdog_receives({set, twins, Names}) -> watchdog_tell({updo_twins, Names});
watchdog_receives({set, Key, _}) when Key =:= live; Key =:= undoing ->
    watchdog_tell({updo_transition, watchdog_transition(get(job), get(log))});
watchdog_receives({live_done, _, _}) -> watchdog_tell({updo_transition, none});
watchdog_receives({set, breakpoints, Ms}) -> watchdog_tell({updo_breakpoints, Ms});
watchdog_receives({set, release_handler, {Pid, _, _}}) when is_pid(Pid) ->
    watchdog_tell({updo_watch, Pid});
watchdog_receives({add, Key, _}) when Key =:= env; Key =:= paths ->
    watchdog_tell({updo_settings, maps:get(env, get(log), []), maps:get(paths, get(log), [])});
watchdog_receives(Entry) when Entry =:= window_closed; Entry =:= window_undone ->
    watchdog_tell(updo_resumed);
watchdog_receives(new_run) -> watchdog_tell({updo_ended, undefined});
watchdog_receives({finished, Outcome, _}) -> watchdog_tell({updo_ended, Outcome});
watchdog_receives(_) -> ok.

watchdog_tell(Message) -> watchdog_tell(get(job), Message).

watchdog_tell(Job, Message) -> watchdog_tell(watchdog_name(Job), Message, 20).

%% While a dead one is being replaced there is none for a moment.
watchdog_tell(Name, Message, Tries) ->
    case whereis(Name) of
        undefined when Tries =:= 0 -> ok;
        undefined -> receive after 2 -> watchdog_tell(Name, Message, Tries - 1) end;
        Pid -> Pid ! Message, ok
    end.

%% What goes on by itself in a live window, and cannot be left to itself.
watchdog_transition(Job, #{live := {_, _, _}, events := Es} = Log) ->
    {Job, Log#{events := [One || {_, E} = One <- Es, element(1, E) =/= step_progress]}};
watchdog_transition(_, _) -> none.

parts_pids(Parts) -> lists:append(tuple_to_list(Parts)).

%% [{Module, MD5 before the run}] of those that the run switches.
watchdog_modules(Modules, Before) ->
    [{M, maps:get(md5, maps:get(M, Before), none)}
     || #{name := M} = Map <- Modules, maps:get(purge, Map, soft) =/= keep, is_map_key(M, Before)].

%% -------------------------------------------------------------------------------------------------
%% What it does

watchdog_spawn(Job) ->
    {ok, Tokens, _} = erl_scan:string(watchdog_text()),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    Handlers = maps:from_list([{M, true} || M <- maps:get(handlers, Job, [])]),
    Bs = lists:foldl(fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end, erl_eval:new_bindings(),
                     [{'Run', maps:get(run, Job)}, {'MyName', watchdog_name(Job)},
                      {'Owner', maps:get(owner, Job, undefined)},
                      {'Since', maps:get(since, Job, 0)}, {'Keep', maps:get(keep, Job, keep())},
                      {'Agent', maps:get(agent, Job, undefined)},
                      {'Restore', watchdog_state(true, Handlers)},
                      {'Erase', watchdog_state(false, Handlers)},
                      {'Install', portable(watchdog_install_text(), [])},
                      {'Watchers', [W || W <- [maps:get(watcher, Job, none)], is_pid(W)]}]),
    spawned({erl_eval, exprs, [Exprs, Bs]}, []).

%% Runs inside a process: a question for the callback mode that was broken off is taken back; then
%% the saved state is put back (Back), or forgotten.
watchdog_state(Back, Handlers) ->
    portable("fun(S0) -> "
             "S = case erase('$updo_asking') of {B, none} -> B; {B, E} -> "
             "process_flag(error_handler, E), B; undefined -> S0 end, "
             "erase('$updo_asked'), " ++ portable_forget_computed() ++
             "K = case S of {H, I, _} -> case maps:is_key(H, Handlers) andalso "
             "get({'$updo_saved', H, I}) of "
             "      {_, _, _} -> {'$updo_saved', H, I}; _ -> '$updo_saved' end; "
             "    _ -> '$updo_saved' end, "
             "case erase(K) of {_, _, Old} when Back -> Old; _ -> S end end.",
             [{'Back', Back}, {'Handlers', Handlers}]).

%% Behind the switch: a new state that was computed is the one that the code can have.
watchdog_install_text() ->
    "fun(S) -> case get('$updo_computed') of "
    "    {_, S, {new, New}} -> erase('$updo_computed'), New; _ -> S end end.".

%% => abandoned(), run_info()
watchdog_text() ->
    "Touched = fun(P) -> "
    "    case erlang:process_info(P, dictionary) of "
    "        {_, D} -> lists:any(fun({'$updo_saved', _}) -> true; ({{'$updo_saved', _, _}, _}) -> "
    "true; "
    "                               ({'$updo_asking', _}) -> true; ({'$updo_asked', _}) -> true; "
    "                               ({'$updo_computed', _}) -> true; "
    "                               ({{'$updo_computed', _, _}, _}) -> true; "
    "(_) -> false end, D); "
    "        undefined -> false "
    "    end "
    "end, "
    "Suspended = fun(Ps) -> [P || P <- Ps, {_, {sys, _, _}} <- [erlang:process_info(P, "
    "current_function)]] end, "
    %% Answers go to a process that is dead: this one's own past.
    "DeadPid = try erlang:spawn(erlang, self, []) catch error:system_limit -> erlang:self() end, "
    "Send = fun(P, Request) -> P ! {system, {DeadPid, erlang:make_ref()}, Request} end, "
    %% A process that has not come out of its last call obeys later: a suspend and this are in its
    %% queue in order.
    "Resume = fun Resume(Ps, N) -> "
    "    case Suspended(Ps) of "
    "        [] -> 0; "
    "        Left when N =:= 0 -> length(Left); "
    "        Left -> [Send(P, resume) || P <- Left], receive after 20 -> Resume(Left, N - 1) end "
    "    end "
    "end, "
    "Purge = fun Purge(N) -> "
    "    case Agent of "
    "        {module, Name} -> "
    "            erlang:check_old_code(Name) orelse code:delete(Name), "
    "            case code:soft_purge(Name) of "
    "                true -> ok; "
    "                false when N =:= 0 -> ok; "
    "                false -> receive after 100 -> Purge(N - 1) end "
    "            end; "
    "        {interpreted, Name} -> persistent_term:erase(Name); "
    "        _ -> ok "
    "    end "
    "end, "
    %% As twin_gone/2.
    "Gone = fun Gone(N, Tries) -> "
    "    case {code:soft_purge(N), erlang:module_loaded(N)} of "
    "        {true, true} -> code:delete(N), Gone(N, Tries); "
    "        {false, _} when Tries > 0 -> receive after 25 -> Gone(N, Tries - 1) end; "
    "        _ -> ok "
    "    end "
    "end, "
    "Kept = fun Kept(Say, Until) -> "
    "    receive "
    "        {updo_attach, P} when is_pid(P) -> Say(P), P ! {updo, Run, 0, {watchers, 0}}, "
    "Kept(Say, Until); "
    "        updo_settle -> ok; "
    "        updo_give_way -> ok; "
    "        _ -> Kept(Say, Until) "
    "    after max(0, Until - erlang:monotonic_time(millisecond)) -> ok "
    "    end "
    "end, "
    "Act = fun(#{now := Now, past := Past, modules := Modules, goal := Goal, ended := Ended, "
    "settings := {Env, Paths}, points := Points, "
    "            twins := Twins, watchers := Ws}) -> "
    "    Other = case Goal of new -> old; old -> new end, "
    "    Loaded = fun(M) -> case erlang:module_loaded(M) of true -> M:module_info(md5); false -> "
    "none end end, "
    "    Is = maps:from_list([{M, case Loaded(M) of Md5 -> before; _ -> switched end} || {M, Md5} "
    "<- Modules]), "
    "    Standing = lists:usort(lists:append([Ps || {_, Ps} <- Now])), "
    "    State = case lists:usort(maps:values(Is)) of "
    "        _ when Ended =/= undefined -> Ended; "
    "        [] -> Other; "
    "        [before] -> Other; "
    "        [switched] when Standing =:= [] -> Goal; "
    "        _ -> mixed "
    "    end, "
    "    Settle = fun({M, Ps}, Open) -> "
    "        How = case maps:get(M, Is, before) of before -> Restore; "
    "switched when Open -> Install; switched -> Erase end, "
    "        [Send(P, {replace_state, How}) || P <- Ps, Touched(P)] "
    "    end, "
    "    [Settle(One, false) || One <- Past], "
    "    [Settle(One, true) || One <- Now], "
    "    [Send(P, resume) || P <- Standing], "
    "    Left = Resume(Standing, 100), "
    %% Breakpoints outlive the tracer; trace sessions do not.
    "    Ended =:= undefined andalso "
    "        [erlang:trace_pattern({M, F, A}, false, [global]) || M <- Points, "
    "erlang:module_loaded(M), {F, A} <- [{init, 1}, {'_', '_'}]], "
    "    State =:= Other andalso "
    "        begin "
    "            [case One of {A, K} -> application:unset_env(A, K); {A, K, Was} -> "
    "application:set_env(A, K, Was) end || One <- Env], "
    "            [code:replace_path(N, Was) || {N, Was} <- Paths] "
    "        end, "
    "    Those = fun(Which) -> lists:sort([M || {M, W} <- maps:to_list(Is), W =:= Which]) end, "
    "    Info = #{reason => agent_killed, resumed => length(Standing), left => Left, "
    "             former_code => Those(before), switched_code => Those(switched)}, "
    "    Tell = fun(W) -> W ! {updo, Run, 1 bsl 50, {finished, State, Info}}, "
    "                     W ! {updo, Run, (1 bsl 50) + 1, {settled, #{lingering => [], killed => "
    "true}}} end, "
    "    erlang:put(updo_info, #{run => Run, owner => Owner, since => Since, state => kept}), "
    "    (catch erlang:unregister(MyName)), "
    "    Locked = (catch erlang:register(updo_run, erlang:self())) =:= true, "
    "    [Tell(W) || W <- Ws], "
    "    [Gone(T, 200) || T <- Twins], "
    "    Purge(50), "
    %% Killed before anything was begun: there is no result to be fetched.
    "    Begun = Ended =/= undefined orelse {Env, Paths} =/= {[], []} orelse "
    "lists:member(switched, maps:values(Is)) "
    "        orelse lists:any(fun({_, Ps}) -> Ps =/= [] end, Now ++ Past), "
    "    Locked andalso Begun andalso Kept(Tell, erlang:monotonic_time(millisecond) + Keep), "
    "    Purge(50) "
    "end, "
    "Watch = fun Watch(#{live := Live, now := Now, past := Past, open := Open, "
    "                    watchers := Ws} = S) -> "
    "    receive "
    "        {updo_watch, P} -> Watch(S#{live := Live#{erlang:monitor(process, P) => P}}); "
    "        {updo_suspending, New} -> Watch(S#{now := New ++ Now}); "
    "        updo_resumed -> Watch(S#{now := [], past := Now ++ Past}); "
    "        {updo_modules, Modules, Goal} -> Watch(S#{modules := Modules, goal := Goal}); "
    "        {updo_breakpoints, Points} -> Watch(S#{points := Points}); "
    "        {updo_twins, Names} -> Watch(S#{twins := Names}); "
    "        {updo_settings, Env, Paths} -> Watch(S#{settings := {Env, Paths}}); "
    "        {updo_watchers, Ws} -> Watch(S#{watchers := Ws}); "
    "        {updo_ended, undefined} -> Watch(S#{ended := undefined}); "
    "        {updo_ended, Outcome} -> Watch(S#{ended := Outcome, now := [], past := Now ++ Past}); "
    "        {updo_transition, Its} -> Watch(S#{open := Its}); "
    "        updo_done -> ok; "
    "        {'DOWN', Mon, process, _, _} -> Watch(S#{live := maps:remove(Mon, Live)}); "
    "        _ -> Watch(S) "
    %% A successor announces itself at once.
    "    after case map_size(Live) of 0 -> 500; _ -> infinity end -> "
    "        case {Open, Agent} of "
    "            {{Job, Log}, {module, Name}} -> (catch Name:revived(Job, Log, Ws)), Watch(S); "
    "            _ -> Act(S) end "
    "    end "
    "end, "
    "Watch(#{live => #{}, now => [], past => [], modules => [], goal => new, ended => undefined, "
    "settings => {[], []}, points => [], twins => [], open => none, watchers => Watchers}).".
