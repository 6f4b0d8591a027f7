%% The executor's part of a live window: what cannot go live, the switch, the sweep through all
%% processes, the end of the transition, and the way back from it at any moment.

%% ------------------------------------------------------------------------------------------------
%% The step

%% => went_live()
%% log `live`: none | {Id, Phase, Ms}: switching; there, with shims of the new version; back, with
%% shims of the old one.
live_window(Id, Convert, Ms) ->
    Lives = [live_map(M) || M <- Convert],
    live_here(Id, Lives, Ms),
    T = now_us(),
    Was = process_flag(priority, low),
    Counts = live_sweep(Id, [About || #{about := About} <- Lives], there, #{}),
    Counts1 = live_settle(Id, Lives, Ms, Counts),
    log({live_done, Id, Ms}),
    live_forget(Lives),
    process_flag(priority, Was),
    [Swept, Through, Dead] = [maps:get(K, Counts1, 0) || K <- [swept, through, dead]],
    #{modules => length(Ms), us => now_us() - T, processes => Swept + Through + Dead,
      swept => Swept, through => Through, dead => Dead}.

%% A process asks for the callback mode when it starts and when it is converted by a system message,
%% and not when it converts by itself.
live_modes(Lives) ->
    live_unfit([{M, none, <<"its callback mode changes">>}
                || #{name := M, back_about := {_, _, _, _, _, _, Twin, statem}} <- Lives,
                   callback_mode(M) =/= callback_mode(Twin)]).

%% Those of a transition that goes on.
live_modules() -> case log_get(live) of {_, _, Ms} -> Ms; none -> [] end.

live_map(M) ->
    case [L || #{name := N} = L <- job(live, []), N =:= M] of
        [L] -> L;
        [] -> fail({not_in_job, M})
    end.

live_here(Id, Lives, Ms) ->
    case log_get(live) of
        none ->
            live_fit(Lives),
            Convert = [M || #{name := M} <- Lives],
            Convert =:= [] orelse twins_load(Convert),
            live_modes(Lives),
            live_switch(Id, Lives, Ms);
        {Id, switching, _} ->
            case [M || M <- Ms, current_md5(M) =/= live_md5(there, M)] of
                [] -> log({set, live, {Id, there, Ms}});
                _ -> live_switch(Id, Lives, Ms)
            end;
        {Id, there, _} -> ok
    end.

live_switch(Id, Lives, Ms) ->
    Prepared = prepare_all([{M, F, live_code(there, M, Lives, B)}
                            || M <- Ms, #{file := F, new := B} <- [module_map(M)]]),
    log({set, live, {Id, switching, Ms}}),
    check_guardian(),
    try unchanged(Ms) catch throw:Other -> log({set, live, none}), throw(Other) end,
    case finish_loading(Prepared) of
        ok -> log({set, live, {Id, there, Ms}});
        {error, What} -> log({set, live, none}), fail({load_failed, What})
    end.

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

%% ------------------------------------------------------------------------------------------------
%% Before anything is switched: what cannot go live

live_fit(Lives) ->
    is_tuple(job(agent, none)) andalso element(1, job(agent, none)) =:= module
        orelse fail({live_unfit, [live_unfit(M, none, <<"the node has no compiler">>)
                                  || #{name := M} <- Lives]}),
    Ms = [M || #{name := M} <- Lives],
    Other = [M || #{name := M, about := About} <- Lives, loaded_vsn(M) =/= element(5, About)],
    Other =:= [] orelse fail({changed_meanwhile, Other}),
    {Found, _} = find(maps:from_list([{M, true} || M <- Ms]), []),
    All = live_pids(Found),
    live_unfit([{M, P, <<"it does not run as its initial call says">>}
                || {P, M} <- All, not live_is_own(P, M)]),
    Ours = maps:from_list(All),
    live_unfit(live_bystanders(Ms, Ours)),
    live_unfit(live_held(Lives, All, now_ms() + 1000)),
    watch_survivors(Found, true),
    tell_survivors(resumed).

%% [{Module, Pid, Why}]: states with funs of the versions that go. Those that do not answer in time
%% are looked at again before anything is purged.
live_held(Lives, All, Until) ->
    Md5s = maps:from_list([{M, md5(Old)} || #{name := M, funs := true} <- Lives,
                                            #{old := Old} <- [module_map(M)]]),
    Fun = live_look_fun(self(), Md5s),
    Answer = fun(P, M, {failed, Why}, Acc) -> [{M, P, Why} | Acc]; (_, _, _, Acc) -> Acc end,
    Those = [One || {_, M} = One <- All, is_map_key(M, Md5s)],
    live_ask(none, Those, {fun(_) -> Fun end, Answer, Until}, []).

live_unfit([]) -> ok;
live_unfit(Found) ->
    fail({live_unfit, [live_unfit(M, P, Why) || {M, P, Why} <- lists:sublist(Found, named())]}).

%% => unfit()
live_unfit(M, none, Why) -> #{module => M, why => Why};
live_unfit(M, P, Why) -> #{module => M, pid => P, why => Why}.

live_pids(Found) ->
    [{P, M} || {M, Parts} <- maps:to_list(Found), P <- parts_pids(Parts)].

live_is_own(P, M) ->
    case initial_call(P) of
        {M, init, 1} -> true;
        undefined -> not is_process_alive(P);
        _ -> false
    end.

%% What executes these modules and is none of their processes is in the way of what comes later: two
%% looks, for most are gone in a moment.
live_bystanders(Ms, Ours) ->
    Looks = fun(Ps) ->
        [{M, P, text_of("it executes the version that goes, in ~ts", [whereabouts(P)])}
         || P <- Ps, not is_map_key(P, Ours), P =/= self(),
            {_, Stack} <- [process_info(P, current_stacktrace)],
            M <- lists:sublist([M || {M, _, _, _} <- Stack, lists:member(M, Ms)], 1)]
    end,
    case Looks(processes()) of
        [] -> [];
        Some -> receive after 500 -> Looks([P || {_, P, _} <- Some]) end
    end.

%% ------------------------------------------------------------------------------------------------
%% The sweep

%% Asks all processes of these modules, until no other is found. Phase: there or back.
live_sweep(Id, Abouts, Phase, Counts) ->
    Funs = maps:from_list([{M, live_fun(self(), A, live_md5(Phase, M))}
                           || {_, _, _, M, _, _, _, _} = A <- Abouts]),
    live_round(Id, Funs, Phase, Counts, maps:get(seen, Counts, [])).

live_round(Id, Funs, Phase, Counts, Seen) ->
    {Found, Seen1} = find(maps:map(fun(_, _) -> true end, Funs), Seen),
    case {live_pids(Found), get(pending)} of
        {[], 0} -> Counts#{seen => Seen1};
        %% One that is just being started is known in a moment.
        {[], _} -> live_pause(5), live_round(Id, Funs, Phase, Counts, Seen1);
        {All, _} ->
            Ask = fun({_, M}) -> maps:get(M, Funs) end,
            Answer = fun(P, M, {failed, Why}, Acc) -> live_failed(P, M, Why, Phase, Acc);
                        (_, _, What, Acc) -> Acc#{What => maps:get(What, Acc, 0) + 1} end,
            Total = maps:get(processes, Counts, 0) + length(All),
            Counts1 = live_ask(Id, All, {Ask, Answer, infinity}, Counts#{processes => Total}),
            live_round(Id, Funs, Phase, Counts1, Seen1)
    end.

%% Forwards, it turns the transition round. On the way back there is no other way: it is named.
live_failed(P, M, Why, there, _) ->
    #{about := {_, _, _, M, Vsn, Extra, _, _}} = live_map(M),
    fail({conversion_failed, failure(P, M, Vsn, {advanced, Extra}, Why, 1)});
live_failed(P, M, Why, back, Acc) -> Acc#{failed => [{M, P, Why} | maps:get(failed, Acc, [])]}.

live_at_once() -> 8.        % so many processes are asked at a time
live_patience() -> 20.      % ms after which one that has not answered is waited for apart

%% How: {Ask({Pid, Module}) => Fun, Answer(Pid, Module, What it answered, Acc) => Acc, Until}. Those
%% that are busy answer when they are not: no other waits for that.
live_ask(Id, All, How, Acc) ->
    put(doing, {Id, length(All), length(All), now_ms(), now_ms()}),
    live_ask(All, #{}, #{}, How, Acc).

live_ask([], Asked, Slow, _, Acc) when map_size(Asked) + map_size(Slow) =:= 0 -> Acc;
live_ask(All, Asked, Slow, {Ask, Answer, _} = How, Acc) ->
    case All =/= [] andalso map_size(Asked) < live_at_once() of
        true ->
            [{P, M} = One | Rest] = All,
            P ! {system, {get(dead_pid), make_ref()}, {replace_state, Ask(One)}},
            live_ask(Rest, Asked#{P => M}, Slow, How, Acc);
        false -> live_answer(All, Asked, Slow, Answer, How, Acc)
    end.
live_answer(Rest, Asked, Slow, Answer, How, Acc) ->
    GMon = get(gmon),
    receive
        {live, P, What} when is_map_key(P, Asked) ->
            live_ask(Rest, maps:remove(P, Asked), Slow, How,
                     Answer(P, maps:get(P, Asked), What, Acc));
        {live, P, What} when is_map_key(P, Slow) ->
            live_ask(Rest, Asked, maps:remove(P, Slow), How,
                     Answer(P, maps:get(P, Slow), What, Acc));
        {live, _, _} -> live_ask(Rest, Asked, Slow, How, Acc);
        {updo_unlive, P, M, Why} ->
            live_ask(Rest, Asked, Slow, How, case log_get(undoing) of
                true -> Acc;
                false -> Answer(P, M, {failed, Why}, Acc)
            end);
        {updo_watchers, Ws} -> put(watchers, Ws), live_ask(Rest, Asked, Slow, How, Acc);
        {'DOWN', GMon, process, _, _} -> new_guardian(), live_ask(Rest, Asked, Slow, How, Acc)
    after live_patience() ->
        Waiting = maps:merge(Slow, Asked),
        tell_slow(Waiting, get(doing)),
        Dead = [P || P <- maps:keys(Waiting), not is_process_alive(P)],
        Acc1 = lists:foldl(fun(P, A) -> Answer(P, maps:get(P, Waiting), dead, A) end, Acc, Dead),
        case Rest =:= [] andalso now_ms() >= element(3, How) of
            true -> Acc1;
            false -> live_ask(Rest, #{}, maps:without(Dead, Waiting), How, Acc1)
        end
    end.

%% ------------------------------------------------------------------------------------------------
%% The end of the transition

%% The plain version in the place of the shim: when nothing executes the version before both.
live_settle(Id, Lives, Ms, Counts) ->
    Shims = [M || #{name := M} <- Lives, current_md5(M) =/= expected_md5(M)],
    {Found, _} = find(maps:from_list([{M, true} || M <- Shims]), []),
    live_none_held(live_held(Lives, live_pids(Found), infinity)),
    %% In tables, in other processes.
    {Elsewhere, _} = held_funs([M || #{name := M, funs := true} <- Lives,
                                     lists:member(M, Shims), erlang:check_old_code(M)]),
    live_none_held([{M, none, text_of("~tp of ~tp has a fun of the old version", [What, Where])}
                    || {M, {What, Where}} <- Elsewhere]),
    live_free(Shims),
    %% Those that were born by the old version meanwhile.
    Abouts = [About || #{about := About} <- Lives],
    Counts1 = live_sweep(Id, Abouts, there, Counts),
    Prepared = prepare_all([{M, F, B} || M <- Shims, #{file := F, new := B} <- [module_map(M)]]),
    case finish_loading(Prepared) of
        ok -> Counts1;
        {error, What} -> log({set, live, {Id, there, Ms}}), fail({load_failed, What})
    end.

live_none_held([]) -> ok;
live_none_held(Held) ->
    fail({live_funs, [live_unfit(M, P, Why) || {M, P, Why} <- lists:sublist(Held, named())]}).

%% Waits until nothing executes the old code of these modules, and purges it. No process is kept
%% from its work meanwhile, so there is no hurry: one is ended for it only where the plan says so.
live_free(Ms) -> live_free(Ms, now_ms() + max(leave(), job(leave, 0)), now_ms()).

live_free(Ms, Until, Said) ->
    case [M || M <- Ms, erlang:check_old_code(M), not code:soft_purge(M)] of
        [] -> ok;
        Left ->
            Brutal = [M || M <- Left, maps:get(purge, module_map(M), soft) =:= brutal],
            case now_ms() of
                Now when Now > Until, Brutal =/= [] ->
                    [begin purging(M, all_users(M), []), code:purge(M) end || M <- Brutal],
                    live_free(Left, Until, Said);
                Now when Now - Said >= 1000 ->
                    Users = lists:usort(lists:append([all_users(M) || M <- Left])),
                    event({leaving, length(Users)}),
                    live_pause(20),
                    live_free(Left, Until, Now);
                _ -> live_pause(20), live_free(Left, Until, Said)
            end
    end.

live_pause(Ms) ->
    GMon = get(gmon),
    receive
        {updo_watchers, Ws} -> put(watchers, Ws);
        {'DOWN', GMon, process, _, _} -> new_guardian();
        %% It waits for the version that comes back.
        {updo_unlive, _, _, _} -> ok
    after Ms -> ok
    end.

%% What processes keep of the transition. One that is busy reads it when the agent's module is gone.
live_forget(Lives) ->
    Keys = [K || #{about := {_, Up, Down, _, _, _, _, _}} <- Lives, K <- [Up, Down]],
    Fun = portable("fun(S) -> erase('$updo_live'), lists:foreach(fun(K) -> erase(K) end, Keys), S "
                   "end.", [{'Keys', lists:usort(Keys)}]),
    {Found, _} = find(maps:from_list([{M, true} || #{name := M} <- Lives]), []),
    live_tell([P || {P, _} <- live_pids(Found)], Fun, 0).

live_tell([], _, _) -> ok;
live_tell(Ps, Fun, 100) -> receive after 2 -> live_tell(Ps, Fun, 0) end;
live_tell([P | Ps], Fun, N) ->
    P ! {system, {get(dead_pid), make_ref()}, {replace_state, Fun}},
    live_tell(Ps, Fun, N + 1).

%% ------------------------------------------------------------------------------------------------
%% The way back, at any moment of the transition

%% {processes that were asked, [{Module, Pid, Why}] that have kept a state of the new version}
live_back() ->
    case log_get(live) of
        {Id, Phase, Ms} ->
            {Id, {live, Convert, Ms}} = lists:keyfind(Id, 1, job(steps, [])),
            Lives = [live_map(M) || M <- Convert],
            live_back(Id, Phase, Lives, Ms);
        none -> {0, []}
    end.

live_back(Id, switching, Lives, Ms) ->
    case [M || M <- Ms, current_md5(M) =:= live_md5(there, M)] of
        [] -> log({set, live, none}), {0, []};
        _ -> live_back(Id, there, Lives, Ms)
    end;
live_back(Id, there, Lives, Ms) ->
    {Back, Gone} = lists:partition(fun(M) -> is_binary(maps:get(old, module_map(M))) end, Ms),
    Prepared = prepare_all([{M, old_file(Map), live_code(back, M, Lives, B)}
                            || M <- Back, #{old := B} = Map <- [module_map(M)],
                               current_md5(M) =/= live_md5(back, M)]),
    live_free(Ms),
    case finish_loading(Prepared) of
        ok -> ok;
        {error, What} -> throw({updo_live, What})
    end,
    lists:foreach(fun(M) -> code:delete(M) end, Gone),
    log({set, live, {Id, back, Ms}}),
    live_back(Id, back, Lives, Ms);
live_back(Id, back, Lives, _) ->
    Abouts = [About || #{back_about := About} <- Lives],
    Counts = live_sweep(Id, Abouts, back, #{}),
    Shims = [M || #{name := M} <- Lives],
    live_free(Shims),
    Prepared = prepare_all([{M, old_file(Map), B}
                            || M <- Shims, #{old := B} = Map <- [module_map(M)],
                               current_md5(M) =/= md5(B)]),
    case finish_loading(Prepared) of
        ok -> ok;
        {error, What} -> throw({updo_live, What})
    end,
    live_forget(Lives),
    log({set, live, none}),
    {maps:get(processes, Counts, 0), maps:get(failed, Counts, [])}.

%% => run()
live_undone(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    process_flag(priority, low),
    {Count, Failed} = live_back(),
    process_flag(priority, normal),
    event({undo_finished, now_us() - T, #{processes => Count}}),
    case Failed of
        [] -> finished_old(Why, N, #{});
        _ ->
            finished(mixed, #{reason => Why, by_hand => [], new => [],
                              unconverted => [#{pid => P, module => M, reason => Text}
                                              || {M, P, Text} <- lists:sublist(Failed, named())],
                              old_states => old_states(Failed)})
    end.

%% => reason()
live_why({aborted, Step}) -> {live_aborted, Step};
live_why(Why) -> Why.
