%% Servers born while modules are switched. Nothing has suspended them, and which code made a state
%% cannot be seen in it. So no child is born by a supervisor in that moment, and of all others it is
%% known.
%%
%% Known: from the suspending on, a tracer receives each call of Mod:init/1 by a process younger
%% than that, in the code that is loaded then. New code has no such breakpoint. So a process born
%% meanwhile and has not called it has its state from the new code, for certain. OTP 27 has trace
%% sessions, which are in no one's way; before there is one tracer per node: when a foreign one is
%% there it is left alone, and then it is unknown.
%%
%% Held: the supervisors of suspended processes, suspended around the switch itself, for as long
%% as that takes; a child that is to be started waits for so long. One that is not
%% suspended at once is not waited for.

%% -------------------------------------------------------------------------------------------------
%% Watching births

spawn_watch_on(Ms) ->
    case get(spawn_watch) of
        {_, _, Watched} = Births ->
            spawn_watch_patterns(Births, Ms -- Watched),
            put(spawn_watch, setelement(3, Births, lists:usort(Ms ++ Watched)));
        _ ->
            T = spawned(fun() -> spawn_watch_tracer(#{}) end, [link]),
            case spawn_watch_session(T) of
                none -> unlink(T), exit(T, kill), put(spawn_watch, none);
                Session ->
                    Births = {Session, T, Ms},
                    put(spawn_watch, Births),
                    spawn_watch_patterns(Births, Ms),
                    %% Another tracer that was set meanwhile is left alone too.
                    spawn_watch_flags(Births) orelse
                        begin spawn_watch_forgotten(Ms), unlink(T), exit(T, kill),
                            put(spawn_watch, none) end
            end
    end.

spawn_watch_session(T) ->
    case list_to_integer(erlang:system_info(otp_release)) >= 27 of
        true -> try trace:session_create(updo_births, T, []) catch _:_ -> none end;
        false -> case erlang:trace_info(new_processes, tracer) of {tracer, []} -> all; _ -> none end
    end.

%% A special process begins anywhere in its module.
spawn_watch_patterns({Session, _, _}, Ms) ->
    %% These outlive all: known before they are there.
    Session =:= all andalso log({set, breakpoints,
                                 lists:usort(Ms ++ maps:get(breakpoints, get(log), []))}),
    lists:foreach(fun(M) ->
        spawn_watch_pattern(Session, {M, init, 1}, true),
        is_special_process(M) andalso spawn_watch_pattern(Session, {M, '_', '_'}, true)
    end, [M || M <- Ms, erlang:module_loaded(M)]).

is_special_process(M) ->
    erlang:function_exported(M, system_continue, 3)
        orelse erlang:function_exported(M, system_code_change, 4).

spawn_watch_pattern(all, Mfa, What) -> erlang:trace_pattern(Mfa, What, [global]);
spawn_watch_pattern(Session, Mfa, What) -> trace:function(Session, Mfa, What, []).

spawn_watch_flags({all, T, _}) ->
    erlang:trace_info(new_processes, tracer) =:= {tracer, []} andalso
        is_integer(erlang:trace(new_processes, true, [call, arity, {tracer, T}]));
spawn_watch_flags({Session, _, _}) ->
    is_integer(trace:process(Session, new_processes, true, [call, arity])).

spawn_watch_tracer(Old) ->
    receive
        {trace, P, call, _} -> spawn_watch_tracer(Old#{P => true});
        {tell, Ref, To} -> To ! {Ref, Old}, spawn_watch_tracer(Old);
        _ -> spawn_watch_tracer(Old)
    end.

%% {known, those that have called init in the code that was loaded} | unknown
spawn_watch_known() ->
    case spawn_watch_ours(get(spawn_watch)) andalso get(spawn_watch) of
        {Session, T, _} ->
            Ref = case Session of all -> erlang:trace_delivered(all);
                _ -> trace:delivered(Session, all) end,
            receive
                {trace_delivered, all, Ref} ->
                    Tag = make_ref(),
                    T ! {tell, Tag, self()},
                    receive {Tag, Old} -> {known, Old} end
            after 5000 -> unknown
            end;
        _ -> unknown
    end.

%% Before OTP 27 a tracer of new processes takes that from the one before.
spawn_watch_ours({all, T, _}) -> erlang:trace_info(new_processes, tracer) =:= {tracer, T};
spawn_watch_ours(_) -> true.

spawn_watch_off() ->
    case erase(spawn_watch) of
        {all, T, Ms} = Births ->
            spawn_watch_ours(Births) andalso erlang:trace(new_processes, false, [call, arity]),
            spawn_watch_forgotten(Ms),
            unlink(T),
            exit(T, kill);
        {Session, T, _} ->
            trace:session_destroy(Session),
            unlink(T),
            exit(T, kill);
        _ -> ok
    end.

%% A tracer that dies takes its flags along, not the breakpoints.
spawn_watch_forgotten(Ms) ->
    lists:foreach(fun(M) ->
        spawn_watch_pattern(all, {M, init, 1}, false),
        is_special_process(M) andalso spawn_watch_pattern(all, {M, '_', '_'}, false)
    end, [M || M <- Ms, erlang:module_loaded(M)]).

%% -------------------------------------------------------------------------------------------------
%% Holding supervisors

hold() ->
    case log_get(held) =:= [] andalso parents() of
        [_ | _] = Sups ->
            log({set, held, Sups}),
            Ref = make_ref(),
            {_, Slow, _} = dispatch(Ref, hold, suspend, parts(Sups), length(Sups)),
            wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), now_ms() + 2 * patience(), 0,
                      all),
            ok;
        _ -> ok
    end.

release() ->
    case log_get(held) of
        [] -> ok;
        Sups ->
            dispatch(make_ref(), release, resume, parts(Sups), length(Sups)),
            log({set, held, []})
    end.

%% A process that has to answer waits for one that is held: then none is held any more.
release_for(Pids) ->
    case log_get(held) of
        [] -> ok;
        Sups ->
            Held = fun(P) -> lists:member(P, Sups) end,
            lists:any(fun(P) -> waits_for(P, Held, 8) =/= [] end, lists:sublist(Pids, 100))
                andalso release(),
            ok
    end.

parts(Pids) ->
    N = log_get(nworkers),
    lists:foldl(fun(P, Acc) -> I = erlang:phash2(P, N) + 1,
        setelement(I, Acc, [P | element(I, Acc)]) end,
                list_to_tuple(lists:duplicate(N, [])), Pids).

%% Supervisors that have started processes that are suspended. A few of each module suffice: they
%% have few parents.
parents() ->
    Some = [P || Found <- log_get(found), Parts <- maps:values(Found), Part <- tuple_to_list(Parts),
            P <- lists:sublist(Part, 25)],
    Fast = can_ask_for_one_key(),
    Parents = lists:usort(lists:append([parent(P, Fast) || P <- Some])),
    Mine = all_found(),
    [S || S <- Parents, not is_map_key(S, Mine), may_hold(S, look(S, Fast))].

parent(P, Fast) ->
    case in_dictionary('$ancestors', look(P, Fast)) of
        [S | _] when is_pid(S), node(S) =:= node() -> [S];
        [Name | _] when is_atom(Name) -> case whereis(Name) of S when is_pid(S) -> [S]; _ -> [] end;
        _ -> []
    end.

%% Not what kernel runs, and not one that something else has suspended.
may_hold(S, Look) ->
    case {in_dictionary('$initial_call', Look), in_dictionary('$ancestors', Look),
          process_info(S, current_function)} of
        {_, _, {_, {sys, _, _}}} -> false;
        {{Sup, _, _}, [_ | _] = Ancestors, _} when Sup =:= supervisor;
        Sup =:= 'Elixir.DynamicSupervisor' ->
            S =/= whereis(kernel_sup) andalso not lists:member(kernel_sup, Ancestors);
        _ -> false
    end.

%% -------------------------------------------------------------------------------------------------
%% Around the switch

%% Right before it: what is found now is suspended as well. On the way down the others have
%% converted already.
last_look(Id) ->
    case get(want) of
        undefined -> ok;
        Want ->
            hold(),
            case now_ms() - get(looked) < 5 andalso log_get(held) =:= [] of
                true -> ok;
                %% On the way down a process that is not found now is lost.
                false -> last_look(Id, Want, case log_get(converting) of [] -> 3; _ -> 10 end)
            end,
            put(existing, get(seen))
    end.

last_look(_, _, 0) -> ok;
last_look(Id, Want, N) ->
    {Found, Seen} = find(Want, get(seen)),
    put(seen, Seen),
    case {map_size(Found), get(pending)} of
        {0, 0} -> ok;
        {0, _} -> receive after 1 -> last_look(Id, Want, N - 1) end;
        _ ->
            suspend_found(Id, [maps:keys(Found)], Found, now_ms()),
            [change(Id, M, How, old_vsn(down, M), [Parts])
             || {M, Parts} <- maps:to_list(Found), lists:member(M, log_get(converting)),
             {down, How} <- [how(M)], How =/= soft],
            last_look(Id, Want, N - 1)
    end.

%% What the steps do to the states of a module: {up | down, How}.
how(M) ->
    case [{Mode, How} || {_, {code_change, Mode, L}} <- job(steps, []), {N, How} <- L, N =:= M] of
        [First | _] -> First;
        [] -> {up, soft}
    end.

%% Right after it: what was born meanwhile with a state of the code that is gone? On the way there
%% they are taken along: code_change is still to come. On the way down it has run, in the code that
%% is gone: nothing can convert them any more. {those of which it is unknown, those that were ended,
%% number taken along}
born_meanwhile(Id) ->
    case get(want) of
        undefined -> {[], [], 0};
        Want ->
            Known = spawn_watch_known(),
            {Found, Seen} = find(Want, get(seen)),
            put(seen, Seen),
            spawn_watch_off(),
            All = [{M, P} || {M, Parts} <- maps:to_list(Found),
                   P <- lists:append(tuple_to_list(Parts))],
            Old = [{M, P} || {M, P} <- All, called(P, Known) orelse check_code(P, M)],
            {Late, Take} = lists:partition(fun({M, _}) -> lists:member(M, log_get(converting)) end,
                                           Old),
            take_along(Id, Take),
            end_them([P || {_, P} <- Late]),
            {case Known of unknown -> [P || {_, P} <- All -- Old]; _ -> [] end, Late, length(Take)}
    end.

called(P, {known, Old}) -> is_map_key(P, Old);
called(_, unknown) -> false.

check_code(P, M) -> try erlang:check_process_code(P, M) =:= true catch error:badarg -> false end.

take_along(_, []) -> ok;
take_along(Id, Take) ->
    Found = maps:from_list([{M, parts([P || {N, P} <- Take, N =:= M])} || {M, _} <- Take]),
    suspend_found(Id, [maps:keys(Found)], Found, now_ms()),
    ok.

%% Younger than the run, with a state that fits no code any more. Their supervisors start them anew.
end_them(Pids) ->
    Mons = [begin Mon = monitor(process, P), exit(P, kill), Mon end || P <- Pids],
    lists:foreach(fun(Mon) -> receive {'DOWN', Mon, process, _, _} -> ok end end, Mons).

%% -------------------------------------------------------------------------------------------------
%% Around an undo

%% Before the old code is loaded again: a process born since the switch has a state of the code that
%% goes, and that can still convert it downwards. {modules to look at, newborn that must be
%% converted once the other code is there}
newborn() ->
    Changed = [M || M <- lists:usort(log_get(switching) ++ log_get(on_load)),
               #{M := #{md5 := Md5}} <- [log_get(before)],
                    Md5 =/= none, current_md5(M) =/= Md5],
    Servers = [M || {_, {suspend, Ranks}} <- job(steps, []), Rank <- Ranks, {M, _} <- Rank],
    Handlers = job(handlers, []),
    case [M || M <- Changed, lists:member(M, Servers), not lists:member(M, Handlers)] of
        [] -> none;
        Ms ->
            spawn_watch_off(),
            spawn_watch_on(Ms),
            hold(),
            Vsns = maps:from_list([{M, loaded_vsn(M)} || M <- Ms]),
            Given = [{extra, P} || {_, Ps} <- job(processes, []), P <- Ps],
            Mine = ordsets:from_list(maps:keys(all_found()) ++ Given),
            Want = maps:from_list([{M, true} || M <- Ms]),
            case get(existing) of
                undefined ->
                    %% Only the executor that died knew what was born before the switch.
                    {Found, Seen} = find(Want, Mine),
                    {Ms, Vsns, Seen, [], [P || Parts <- maps:values(Found),
                                          P <- lists:append(tuple_to_list(Parts)),
                                          is_behaviour(P)]};
                Elders ->
                    {Left, Seen} = newborn(Want, ordsets:union(Elders, Mine), 10, []),
                    {Ms, Vsns, Seen, Left, []}
            end
    end.

is_behaviour(P) ->
    case initial_call(P) of {supervisor, _, 1} -> true; {_, init, 1} -> true; _ -> false end.

newborn(_, Seen, 0, Left) -> {Left, Seen};
newborn(Want, Seen, N, Left) ->
    {Found, Seen1} = find(Want, Seen),
    case {map_size(Found), get(pending)} of
        {0, 0} -> {Left, Seen1};
        {0, _} -> receive after 1 -> newborn(Want, Seen1, N - 1, Left) end;
        _ ->
            try_suspend(Found),
            More = [{M, P} || {M, Parts} <- maps:to_list(Found),
                    P <- lists:append(tuple_to_list(Parts)), not converted_down(M, P)],
            newborn(Want, Seen1, N - 1, More ++ Left)
    end.

%% Suspends what can be suspended within a second: this is a way out, and nothing on it may fail.
try_suspend(Found) ->
    log({set, found, [Found | log_get(found)]}),
    lists:foreach(fun({_, Parts}) ->
        Ref = make_ref(),
        {_, Slow, _} = dispatch(Ref, undo, suspend, Parts, parts_size(Parts)),
        wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), now_ms() + 1000, 0, all)
    end, maps:to_list(Found)).

converted_down(M, P) ->
    case how(M) of
        {_, soft} -> true;
        {up, {advanced, Extra}} ->
            #{M := #{vsn := Vsn}} = log_get(before),
            not makes_anew(P) andalso converted_one(P,
                                                    {change, M, {down, Vsn}, Extra, fun(S) -> S end,
                                                     get(dead_pid)});
        _ -> false
    end.

%% A supervisor's conversion is the init of the code that is loaded then.
makes_anew(P) ->
    case initial_call(P) of {supervisor, _, _} -> true; _ -> false end.

converted_one(P, Op) ->
    Ref = make_ref(),
    case dispatch(Ref, undo, Op, parts([P]), 1) of
        {0, [], []} -> true;
        {1, _, _} -> true;
        {_, [P], []} ->
            {_, Failed, TimedOut} = wait_late(Ref, #{P => true}, now_ms() + 1000, 0, first),
            Failed =:= [] andalso TimedOut =:= [];
        _ -> false
    end.

%% After the old code is there again: what is left, and what was born in between. [{M, P} that was
%% ended], [P of which it is unknown]
newborn_after(none) -> {[], []};
newborn_after({Ms, Vsns, Seen, Left, Unknown}) ->
    Known = spawn_watch_known(),
    {Found, _} = find(maps:from_list([{M, true} || M <- Ms]), Seen),
    spawn_watch_off(),
    All = [{M, P} || {M, Parts} <- maps:to_list(Found), P <- lists:append(tuple_to_list(Parts))],
    Gone = [{M, P} || {M, P} <- All, called(P, Known) orelse check_code(P, M)],
    Soft = fun(M) -> how(M) =:= {up, soft} andalso not lists:member(M, log_get(reversed)) end,
    Late = [{M, P} || {M, P} <- Gone, not Soft(M)],
    Late =:= [] orelse try_suspend(maps:from_list([{M, parts([P || {N, P} <- Late, N =:= M])}
                                                   || {M, _} <- Late])),
    Ended = [{M, P} || {M, P} <- Left ++ Late, not converted_after(M, P, maps:get(M, Vsns)),
             is_process_alive(P)],
    end_them([P || {_, P} <- Ended]),
    {Ended, Unknown ++ case Known of unknown -> [P || {M, P} <- All -- Gone, not Soft(M)]; _ -> []
        end}.

%% The old code does not come back: [P] of which it is not known what their states fit.
newborn_stays(none) -> [];
newborn_stays({_, _, _, Left, Unknown}) -> [P || {_, P} <- Left] ++ Unknown.

converted_after(M, P, Vsn) ->
    case how(M) of
        {_, {advanced, Extra}} = How ->
            (element(1, How) =:= down orelse makes_anew(P)) andalso
                converted_one(P, {change, M, Vsn, Extra, fun(S) -> S end, get(dead_pid)});
        {down, soft} -> true;
        _ -> false
    end.
