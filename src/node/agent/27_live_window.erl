%% The executor's part of a live window: what cannot go live, the switch, the sweep through all
%% processes, the end of the transition, and the way back from it at any moment.
%%
%% The log has it under `live`: none | {Id, Phase, [M]}
%%   switching   the modules are being loaded: all of them are, or none
%%   there       they are loaded, those that convert as shims of the new version
%%   settled     the plain new version is loaded: there is no way back any more
%%   back        on the way back: shims of the old version are loaded

%% -------------------------------------------------------------------------------------------------
%% The step

%% => went_live()
live_window(Id, Convert, Ms) ->
    Lives = [live_map(M) || M <- Convert],
    live_here(Id, Lives, Ms),
    T = now_us(),
    put(live_inside, #{}),
    Counts = at_low_priority(fun() -> live_through(Id, Lives, Ms) end),
    log({live_done, Id, Ms}),
    [Swept, Through, Dead] = [maps:get(K, Counts, 0) || K <- [swept, through, dead]],
    #{modules => length(Ms), us => now_us() - T, processes => Swept + Through + Dead,
      swept => Swept, through => Through, inside => map_size(get(live_inside)), dead => Dead}.

live_through(Id, Lives, Ms) ->
    Counts = case log_get(live) of
        {_, there, _} -> live_settle(Id, Lives, Ms, live_sweep(Id, Lives, there, #{}));
        {_, settled, _} -> #{}
    end,
    live_forget(Lives),
    Counts.

%% Those of a transition that goes on.
live_modules() -> case log_get(live) of {_, _, Ms} -> Ms; none -> [] end.

%% An executor that has died may not have said so any more.
live_is_settled() ->
    case log_get(live) of
        {_, settled, _} -> true;
        {_, there, Ms} -> lists:all(fun(M) -> current_md5(M) =:= expected_md5(M) end, Ms);
        _ -> false
    end.

live_map(M) ->
    case [L || #{name := N} = L <- job(live, []), N =:= M] of
        [L] -> L;
        [] -> fail({not_in_job, M})
    end.

live_here(Id, Lives, Ms) ->
    case log_get(live) of
        none ->
            %% The window before is undone then, and no process has gone live for it.
            log_get(unchildren) =:= [] orelse fail({live_children, Id}),
            live_fit(Id, Lives, Ms),
            Convert = [M || #{name := M} <- Lives],
            Missing = twins_missing(Convert),
            Missing =:= [] orelse twins_load(Missing),
            live_modes(Lives),
            live_switch(Id, Lives, Ms);
        {Id, switching, _} ->
            case [M || M <- Ms, current_md5(M) =/= live_md5(there, M)] of
                [] -> live_switched(Id, Ms);
                _ -> live_switch(Id, Lives, Ms)
            end;
        _ -> ok
    end.

live_switch(Id, Lives, Ms) ->
    Prepared = prepare_all([{M, F, live_code(there, M, Lives, B)}
                            || M <- Ms, #{file := F, new := B} <- [module_map(M)]]),
    log({set, live, {Id, switching, Ms}}),
    check_guardian(),
    try unchanged(Ms) catch throw:Other -> log({set, live, none}), throw(Other) end,
    case finish_loading(Prepared) of
        ok -> live_switched(Id, Ms);
        {error, What} -> log({set, live, none}), fail({load_failed, What})
    end.

live_switched(Id, Ms) ->
    log({set, live, {Id, there, Ms}}),
    event({live_switched, Id}).

live_code(Phase, M, Lives, Plain) ->
    case {Phase, [L || #{name := N} = L <- Lives, N =:= M]} of
        {there, [#{shim := Shim}]} -> Shim;
        {back, [#{back := Shim}]} -> Shim;
        {_, []} -> Plain
    end.

%% The MD5 that a module has in a phase.
live_md5(Phase, M) ->
    Lives = job(live, []),
    #{new := New, old := Old} = module_map(M),
    md5(live_code(Phase, M, Lives, case Phase of there -> New; back -> Old end)).

%% -------------------------------------------------------------------------------------------------
%% Before anything is switched: what cannot go live

live_fit(Id, Lives, Ms) ->
    Found = case erase(live_looked) of
        {Id, Seen} -> Seen;
        _ -> live_looked(Id, Lives, Ms)
    end,
    watch_survivors(Found, true),
    tell_survivors(resumed).

%% What would refuse it is known before another window is opened, and while nothing is under way.
%% Where there is no other, that was a moment ago when it is opened.
live_ahead(Steps) ->
    Suspends = [Id || {Id, {suspend, _}} <- Steps],
    Seen = [{Id, live_looked(Id, [live_map(M) || M <- Convert], Ms)}
            || {Id, {live, Convert, Ms}} <- Steps],
    case Seen of
        [One] when Suspends =:= [] -> put(live_looked, One);
        _ -> ok
    end.

live_looked(Id, Lives, Ms) ->
    Compiled = case job(agent, none) of {module, _} -> true; _ -> Lives =:= [] end,
    Compiled orelse live_unfit([{M, none, <<"the node has no compiler">>}
                                || #{name := M} <- Lives]),
    Other = [M || #{name := M, about := #{vsn := Vsn}} <- Lives, loaded_vsn(M) =/= Vsn],
    Other =:= [] orelse fail({changed_meanwhile, Other}),
    {Found, _} = find(maps:from_list([{M, true} || #{name := M} <- Lives]), []),
    All = live_pids(Found),
    live_unfit([{M, P, Why} || {P, M} <- All, Why <- live_strange(P, M)]),
    live_unfit(live_bystanders(Lives, Ms, maps:from_list(All))),
    live_unfit(live_held(Id, Lives, All, now_ms() + 1000)),
    WithFuns = [M || #{name := M, funs := true} <- Lives],
    {Elsewhere, _} = at_low_priority(fun() -> held_funs_of_now(WithFuns) end),
    live_unfit(live_elsewhere(Elsewhere)),
    Found.

live_unfit([]) -> ok;
live_unfit(Found) -> fail({live_unfit, live_named(Found)}).

%% => unfit()
live_named(Found) ->
    [case P of none -> #{module => M, why => Why}; _ -> #{module => M, pid => P, why => Why} end
     || {M, P, Why} <- lists:sublist(Found, named())].

live_pids(Found) ->
    [{P, M} || {M, Parts} <- maps:to_list(Found), P <- parts_pids(Parts)].

%% Why a process of M would not convert by itself.
live_strange(P, M) ->
    Loops = [gen_server, gen_statem],
    case process_info(P, current_stacktrace) of
        undefined -> [];
        {_, Stack} ->
            Above = fun({N, F, _, _}) -> {lists:member(N, Loops), F} =/= {true, loop} end,
            Below = lists:dropwhile(Above, Stack),
            case {initial_call(P), lists:keymember(M, 1, Below)} of
                {{M, init, 1}, false} -> [];
                {{M, init, 1}, true} -> [<<"a callback has entered the loop and never returns">>];
                {undefined, _} -> [];
                _ -> [<<"it does not run as its initial call says">>]
            end
    end.

%% What executes these modules and is none of the processes that convert is in the way of what comes
%% later. Most are gone in a moment: of modules that do not convert in a longer one, for any process
%% may call them.
live_bystanders(Lives, Ms, Ours) ->
    Looks = fun(Those, Ps) ->
        [{M, P, text_of("it executes the version that goes, in ~ts", [whereabouts(P)])}
         || P <- Ps, not is_map_key(P, Ours), P =/= self(),
            {_, Stack} <- [process_info(P, current_stacktrace)],
            M <- lists:sublist([M || {M, _, _, _} <- Stack, lists:member(M, Those)], 1)]
    end,
    Again = fun(Those, Found, Ms1) ->
        case Found of
            [] -> [];
            _ -> live_pause(Ms1), Looks(Those, lists:usort([P || {_, P, _} <- Found]))
        end
    end,
    Half = Again(Ms, Looks(Ms, processes()), 500),
    Convert = [M || #{name := M} <- Lives],
    {Soon, Later} = lists:partition(fun({M, _, _}) -> lists:member(M, Convert) end, Half),
    Soon ++ Again(Ms, Later, 1500).

%% A process asks for the callback mode when it starts and when it is converted by a system message,
%% and not when it converts by itself.
live_modes(Lives) ->
    live_unfit([{M, none, <<"its callback mode changes">>}
                || #{name := M, back_about := #{kind := statem, twin := Twin}} <- Lives,
                   callback_mode(M) =/= callback_mode(Twin)]).

%% [{Module, Pid, Why}]: states with funs of the old version, or of the shim: a later purge of
%% either would break them. Those that do not answer in time are looked at again before that.
live_held(Id, Lives, All, Until) ->
    Md5s = maps:from_list([{M, [md5(Old), md5(Shim)]}
                           || #{name := M, funs := true, shim := Shim} <- Lives,
                              #{old := Old} <- [module_map(M)]]),
    To = {self(), make_ref()},
    Fun = live_look_fun(To, Md5s),
    Answer = fun(P, M, {failed, Why}, Acc) -> [{M, P, Why} | Acc]; (_, _, _, Acc) -> Acc end,
    Those = [One || {_, M} = One <- All, is_map_key(M, Md5s)],
    live_ask(Id, Those, {To, fun(_) -> Fun end, Answer, Until}, []).

%% In tables, in other processes.
live_elsewhere(Held) ->
    [{M, none, text_of("~tp of ~tp has a fun of the version that goes", [What, Where])}
     || {M, {What, Where}} <- Held].

%% -------------------------------------------------------------------------------------------------
%% The sweep

%% Asks all processes of these modules, until no other is found. Phase: there or back.
live_sweep(Id, Lives, Phase, Counts) ->
    To = {self(), make_ref()},
    Key = case Phase of there -> about; back -> back_about end,
    Funs = maps:from_list([{M, live_fun(To, About, live_md5(Phase, M))}
                           || #{name := M, Key := About} <- Lives]),
    live_round(Id, To, Funs, Phase, Counts, maps:get(seen, Counts, [])).

live_round(Id, To, Funs, Phase, Counts, Seen) ->
    {Found, Seen1} = find(maps:map(fun(_, _) -> true end, Funs), Seen),
    case {live_pids(Found), get(pending)} of
        {[], 0} -> Counts#{seen => Seen1};
        %% One that is just being started is known in a moment.
        {[], _} -> live_pause(5), live_round(Id, To, Funs, Phase, Counts, Seen1);
        {All, _} ->
            %% How many there are is known from the beginning.
            event({step_progress, Id, 0, length(All), []}),
            Ask = fun({_, M}) -> maps:get(M, Funs) end,
            Answer = fun(P, M, {failed, Why}, Acc) -> live_failed(P, M, Why, Phase, Acc);
                        (_, _, What, Acc) -> Acc#{What => maps:get(What, Acc, 0) + 1} end,
            Counts1 = live_ask(Id, All, {To, Ask, Answer, infinity}, Counts),
            live_round(Id, To, Funs, Phase, Counts1, Seen1)
    end.

%% Forwards, it turns the transition round. On the way back there is no other way: it is named.
live_failed(P, M, Why, there, _) ->
    #{about := #{vsn := Vsn, extra := Extra}} = live_map(M),
    fail({conversion_failed, failure(P, M, Vsn, {advanced, Extra}, Why, 1)});
live_failed(P, M, Why, back, Acc) -> Acc#{failed => [{M, P, Why} | maps:get(failed, Acc, [])]}.

live_at_once() -> 8.        % so many processes are asked at a time
live_patience() -> 20.      % ms after which one that has not answered is waited for apart

%% How: {To, Ask({Pid, Module}) => Fun, Answer(Pid, Module, What it answered, Acc) => Acc, Until}.
%% Those that are busy answer when they are not: no other waits for that.
live_ask(Id, All, How, Acc) ->
    N = length(All),
    put(doing, {Id, N, N, now_ms(), now_ms()}),
    live_ask(All, #{}, #{}, How, Acc).

live_ask([], Asked, Slow, _, Acc) when map_size(Asked) + map_size(Slow) =:= 0 -> Acc;
live_ask(All, Asked, Slow, {_, Ask, _, _} = How, Acc) ->
    case All =/= [] andalso map_size(Asked) < live_at_once() of
        true ->
            [{P, M} = One | Rest] = All,
            P ! {system, {get(dead_pid), make_ref()}, {replace_state, Ask(One)}},
            live_ask(Rest, Asked#{P => M}, Slow, How, Acc);
        false -> live_answer(All, Asked, Slow, How, Acc)
    end.

live_answer(Rest, Asked, Slow, {{_, Ref}, _, Answer, Until} = How, Acc) ->
    GMon = get(gmon),
    receive
        {live, Ref, P, What} when is_map_key(P, Asked) ->
            live_said(Rest, Asked, Slow),
            live_ask(Rest, maps:remove(P, Asked), Slow, How,
                     Answer(P, maps:get(P, Asked), What, Acc));
        {live, Ref, P, What} when is_map_key(P, Slow) ->
            live_said(Rest, Asked, Slow),
            live_ask(Rest, Asked, maps:remove(P, Slow), How,
                     Answer(P, maps:get(P, Slow), What, Acc));
        {live, _, _, _} -> live_ask(Rest, Asked, Slow, How, Acc);
        {updo_unlive, P, M, Why} ->
            live_waits(P, M, Why),
            live_ask(Rest, Asked, Slow, How, Acc);
        {updo_watchers, Ws} -> put(watchers, Ws), live_ask(Rest, Asked, Slow, How, Acc);
        {'DOWN', GMon, process, _, _} -> new_guardian(), live_ask(Rest, Asked, Slow, How, Acc)
    after live_patience() ->
        Waiting = maps:merge(Slow, Asked),
        live_said(Rest, #{}, Waiting),
        live_inside(Asked),
        Dead = [P || P <- maps:keys(Waiting), not is_process_alive(P)],
        Acc1 = lists:foldl(fun(P, A) -> Answer(P, maps:get(P, Waiting), dead, A) end, Acc, Dead),
        case Rest =:= [] andalso now_ms() >= Until of
            true -> Acc1;
            false -> live_ask(Rest, #{}, maps:without(Dead, Waiting), How, Acc1)
        end
    end.

%% Where none is busy, answers come all the time.
live_said(Rest, Asked, Slow) ->
    {Id, N, N, Since, Said} = get(doing),
    Left = fun() -> length(Rest) + map_size(Asked) end,
    case tell_live(Slow, Left, get(doing), Said) of
        Said -> ok;
        Now -> put(doing, {Id, N, N, Since, Now})
    end.

%% Which of those that are busy have not come out of the version before.
live_inside(Busy) ->
    Inside = maps:filter(fun(P, M) -> erlang:check_old_code(M) andalso check_code(P, M) end, Busy),
    case get(live_inside) of
        undefined -> ok;
        Known -> put(live_inside, maps:merge(Known, Inside))
    end.

%% Once a second: how many are done, and where three of those are that are waited for.
tell_live(Waiting, Left, {Id, N, _, Since, _}, Said) ->
    case now_ms() of
        Now when Now - Said >= 1000 ->
            event({step_progress, Id, max(0, N - Left() - map_size(Waiting)), N,
                   describe_slow(Waiting, Since, Now)}),
            Now;
        _ -> Said
    end.

%% -------------------------------------------------------------------------------------------------
%% The end of the transition

%% The plain version in the place of the shim: when nothing executes the version before both. A shim
%% that may have made funs stays as old code, so that they go on working. Any other goes: the next
%% upgrade, or the way back, would look through the states of all processes for funs of it.
live_settle(Id, Lives, Ms, Counts) ->
    Foreign = [M || M <- Ms, Is <- [current_md5(M)], Is =/= live_md5(there, M),
                    Is =/= expected_md5(M)],
    Foreign =:= [] orelse fail({replaced, Foreign}),
    Shims = [M || #{name := M} <- Lives, current_md5(M) =/= expected_md5(M)],
    {Found, _} = find(maps:from_list([{M, true} || M <- Shims]), []),
    live_none_held(live_held(Id, Lives, live_pids(Found), infinity)),
    {Elsewhere, _} = held_funs([M || #{name := M, funs := true} <- Lives, lists:member(M, Shims),
                                     erlang:check_old_code(M)]),
    live_none_held(live_elsewhere(Elsewhere)),
    live_free(Id, Shims),
    %% Those that were born by the old version meanwhile.
    Counts1 = live_sweep(Id, Lives, there, Counts),
    Prepared = prepare_all([{M, F, B} || M <- Shims, #{file := F, new := B} <- [module_map(M)]]),
    case finish_loading(Prepared) of
        ok ->
            log({set, live, {Id, settled, Ms}}),
            [code:soft_purge(M) || #{name := M, funs := false} <- Lives, lists:member(M, Shims)],
            Counts1;
        {error, What} -> fail({load_failed, What})
    end.

live_none_held([]) -> ok;
live_none_held(Held) -> fail({live_funs, live_named(Held)}).

%% Waits until nothing executes the old code of these modules, and purges it. No process is kept
%% from its work meanwhile, so there is no hurry: one is ended for it only where the plan says so.
live_free(Id, Ms) -> live_free(Id, Ms, now_ms() + max(leave(), job(leave, 0))).

live_free(Id, Ms, Until) ->
    case [M || M <- Ms, erlang:check_old_code(M), not code:soft_purge(M)] of
        [] -> ok;
        Left ->
            Users = [{P, M} || M <- Left, P <- all_users(M)],
            put(doing, {Id, length(Users), length(Users), now_ms(), now_ms()}),
            live_leave(Users, Until),
            live_free(Id, Left, Until)
    end.

live_leave([], _) -> ok;
live_leave(Users, Until) ->
    live_pause(20),
    Still = [One || {P, M} = One <- Users, check_code(P, M)],
    Pids = lists:usort([P || {P, _} <- Still]),
    live_unblock(Pids),
    {Id, N, N, Since, Said} = get(doing),
    Waiting = maps:from_list([{P, true} || P <- Pids]),
    Left = fun() -> 0 end,
    put(doing, {Id, N, N, Since, tell_live(Waiting, Left, get(doing), Said)}),
    Brutal = lists:usort([M || {_, M} <- Still, now_ms() > Until,
                               maps:get(purge, module_map(M), soft) =:= brutal]),
    [begin purging(M, all_users(M), []), code:purge(M) end || M <- Brutal],
    live_leave([One || {_, M} = One <- Still, not lists:member(M, Brutal)], Until).

%% A process that waits for the old version. Forwards, it turns the transition round.
live_waits(P, M, Why) ->
    case log_get(undoing) of
        false -> live_failed(P, M, Why, there, none);
        true -> put(live_waiting, (live_waiting())#{P => true})
    end.

live_waiting() -> case get(live_waiting) of undefined -> #{}; Those -> Those end.

%% One that executes the old version, and waits for a process that waits for that version, would
%% wait for ever: the second ends, as it would with OTP.
live_unblock(Users) ->
    Waiting = live_waiting(),
    Is = fun(P) -> is_map_key(P, Waiting) end,
    Ends = lists:usort([P || map_size(Waiting) > 0, U <- Users, P <- waits_for(U, Is, 8)]),
    lists:foreach(fun(P) -> P ! updo_unlive_ends end, Ends).

live_pause(Ms) ->
    GMon = get(gmon),
    receive
        {updo_watchers, Ws} -> put(watchers, Ws);
        {'DOWN', GMon, process, _, _} -> new_guardian();
        {live, _, _, _} -> ok;
        {updo_unlive, P, M, Why} -> live_waits(P, M, Why)
    after Ms -> ok
    end.

live_forget(Lives) ->
    Keys = lists:usort([K || #{about := #{key := Up, other := Down}} <- Lives, K <- [Up, Down]]),
    {Found, _} = find(maps:from_list([{M, true} || #{name := M} <- Lives]), []),
    live_tell([P || {P, _} <- live_pids(Found)], live_forget_fun(Keys), 0).

live_tell([], _, _) -> ok;
live_tell(Ps, Fun, 100) -> receive after 2 -> live_tell(Ps, Fun, 0) end;
live_tell([P | Ps], Fun, N) ->
    P ! {system, {get(dead_pid), make_ref()}, {replace_state, Fun}},
    live_tell(Ps, Fun, N + 1).

%% -------------------------------------------------------------------------------------------------
%% The way back, at any moment of the transition

%% => run()
live_undone(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    {Count, Failed} = at_low_priority(fun() -> live_back() end),
    event({undo_finished, now_us() - T, #{processes => Count}}),
    case Failed of
        [] -> finished_old(Why, N, #{});
        _ ->
            finished(mixed, #{reason => Why, by_hand => [],
                              kept_new => [#{pid => P, module => M, reason => Text}
                                           || {M, P, Text} <- lists:sublist(Failed, named())]})
    end.

%% {processes that were asked, [{Module, Pid, Why}] that have kept a state of the new version}
live_back() ->
    {Id, Phase, Ms} = log_get(live),
    {Id, {live, Convert, Ms}} = lists:keyfind(Id, 1, job(steps, [])),
    live_back(Id, Phase, [live_map(M) || M <- Convert], Ms).

live_back(Id, switching, Lives, Ms) ->
    case [M || M <- Ms, current_md5(M) =:= live_md5(there, M)] of
        [] -> log({set, live, none}), {0, []};
        _ -> live_switched(Id, Ms), live_back(Id, there, Lives, Ms)
    end;
live_back(Id, there, Lives, Ms) ->
    Before = log_get(before),
    {Gone, Back} = lists:partition(fun(M) -> maps:get(md5, maps:get(M, Before)) =:= none end, Ms),
    Mine = fun(M) ->
        [live_md5(there, M), expected_md5(M)] ++ [live_md5(back, M) || lists:member(M, Back)]
    end,
    Foreign = [M || M <- Ms, not lists:member(current_md5(M), Mine(M))],
    Foreign =:= [] orelse throw({updo_live, {replaced, Foreign}}),
    Prepared = prepare_all([{M, old_file(Map), live_code(back, M, Lives, B)}
                            || M <- Back, #{old := B} = Map <- [module_map(M)],
                               current_md5(M) =/= live_md5(back, M)]),
    live_free(Id, Ms),
    live_load_back(Prepared),
    lists:foreach(fun(M) -> code:delete(M), code:soft_purge(M) end, Gone),
    log({set, live, {Id, back, Ms}}),
    live_back(Id, back, Lives, Ms);
live_back(Id, back, Lives, _) ->
    Counts = live_sweep(Id, Lives, back, #{}),
    Shims = [M || #{name := M} <- Lives],
    live_free(Id, Shims),
    live_load_back(prepare_all([{M, old_file(Map), B}
                                || M <- Shims, #{old := B} = Map <- [module_map(M)],
                                   current_md5(M) =/= md5(B)])),
    live_forget(Lives),
    log({set, live, none}),
    {lists:sum([maps:get(K, Counts, 0) || K <- [swept, through, born]]),
     maps:get(failed, Counts, [])}.

live_load_back(Prepared) ->
    case finish_loading(Prepared) of
        ok -> ok;
        {error, What} -> throw({updo_live, What})
    end.

%% => reason()
live_why({aborted, Step}) -> {live_aborted, Step};
live_why(Why) -> Why.
