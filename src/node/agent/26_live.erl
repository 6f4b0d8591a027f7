%% A live window: all modules are switched at one instant with no process suspended, and each
%% process converts its state when it first comes by a callback. For that the client has made
%% *shims*: the new version with functions before its callbacks, which call live/3..6 below in the
%% process. Those that are idle are asked by a system message, a few at a time. When all are through
%% and nothing executes the old version any more, the plain new version takes the shim's place; the
%% shim stays as old code, so that funs that it has made go on working.
%%
%% Until then there is a way back at any moment: the old version gets a shim that converts the
%% other way. What a conversion began with is kept as long as the process has had no event since;
%% otherwise the new version's code_change({down, _}, ...) is asked, by its twin.
%%
%% What a process knows of itself, in its dictionary:
%%   Key            true once it has had an event as a process of this version; born in it, too
%%   '$updo_live'   {Key, first or swept, From, To}: what it was converted from and to, until then;
%%                  {Key, converting} while it is; {Key, born} of one that was born in it
%% Key is the name of the run and of the direction. Nothing of it depends on a process of the agent:
%% with all of them killed, what runs goes on to convert.
%%
%% About, which shims have as a constant: {up or down, Key, the other direction's Key, Module, Vsn,
%% Extra, Twin, server or statem}. The state of a gen_statem is {Name, Data}, and only Data changes.

%% ------------------------------------------------------------------------------------------------
%% In the process, called by a shim: gives the argument of the callback that has the state

live(A, F, About) -> live_argument(F, [A], About).
live(A, B, F, About) -> live_argument(F, [A, B], About).
live(A, B, C, F, About) -> live_argument(F, [A, B, C], About).
live(A, B, C, D, F, About) -> live_argument(F, [A, B, C, D], About).

%% A callback that something else calls, in a process of its own or within another callback, is none
%% of the behaviour's.
live_argument(F, Args, {_, _, _, M, _, _, _, Kind} = About) ->
    S = live_given(Kind, F, Args),
    Mine = get('$initial_call') =:= {M, init, 1} andalso live_is_event(Kind, F, Args, M),
    New = case Mine of true -> live_callback(F, Args, S, About); false -> S end,
    case Kind =:= statem andalso F =/= init andalso F =/= format_status of
        true -> element(2, New);
        false -> New
    end.

%% What the callback has of the state: of a gen_statem {Name, Data}.
live_given(_, init, [Arg]) -> Arg;
live_given(_, format_status, Args) -> lists:last(Args);
live_given(server, code_change, [_, S, _]) -> S;
live_given(server, _, Args) -> lists:last(Args);
live_given(statem, code_change, [_, Name, Data, _]) -> {Name, Data};
live_given(statem, handle_event, [_, _, Name, Data]) -> {Name, Data};
live_given(statem, terminate, [_, Name, Data]) -> {Name, Data};
live_given(statem, Name, [_, _, Data]) -> {Name, Data}.

%% A module of a gen_statem may export functions of three arguments that are no states.
live_is_event(statem, F, [_, _, _], M) when F =/= terminate ->
    {_, Stack} = process_info(self(), current_stacktrace),
    Ours = fun({N, _, _, _}) -> N =:= erlang orelse is_agent(N) end,
    case lists:dropwhile(Ours, Stack) of
        [{M, _, _, _}, {gen_statem, _, _, _} | _] -> true;
        _ -> false
    end;
live_is_event(_, _, _, _) -> true.

live_callback(init, _, S, {_, Key, _, _, _, _, _, _}) ->
    put(Key, true),
    put('$updo_live', {Key, born}),
    S;
live_callback(terminate, _, S, About) -> live_seen(S, About);
live_callback(format_status, _, #{state := Name, data := Data} = Status, About) ->
    {_, New} = live_seen({Name, Data}, About),
    Status#{data := New};
live_callback(format_status, _, #{state := S} = Status, About) ->
    Status#{state := live_seen(S, About)};
live_callback(format_status, _, [Dictionary, S], About) -> [Dictionary, live_seen(S, About)];
live_callback(format_status, _, [Dictionary, Name, Data], About) ->
    {_, New} = live_seen({Name, Data}, About),
    [Dictionary, Name, New];
live_callback(format_status, _, Other, _) -> Other;
live_callback(code_change, Args, S, {up, _, _, _, _, _, _, _} = About) ->
    case live_mark(About) of
        %% Somebody converts this process by hand. What is thrown counts as what is returned.
        untouched -> throw(live_by_hand(Args, S, About));
        _ -> S
    end;
live_callback(code_change, _, S, _) -> S;
live_callback(F, Args, S, About) ->
    case live_come(S, About, first) of
        {ok, New} -> New;
        {failed, Why} -> live_wait(F, Args, Why, About)
    end.

%% converting | born | {first or swept, From, To} | through | {other, From, To} | other | untouched
live_mark({_, Key, Other, _, _, _, _, _}) ->
    case {get('$updo_live'), get(Key)} of
        {{Key, What}, _} -> What;
        {{Key, How, From, To}, _} -> {How, From, To};
        {_, true} -> through;
        {{Other, _, From, To}, _} -> {other, From, To};
        _ -> case get(Other) of true -> other; _ -> untouched end
    end.

%% {ok, State of this version} | {failed, Text}
live_come(S, {Direction, Key, Other, _, _, _, _, _} = About, How) ->
    case live_mark(About) of
        Mark when Mark =:= converting; Mark =:= born; Mark =:= through -> {ok, S};
        {Was, From, To} when Was =:= first; Was =:= swept ->
            case live_kept(S, From, About) of
                true -> {ok, To};
                %% The callback that converted it is through, or the first has come since it was
                %% asked.
                false -> put(Key, true), erase('$updo_live'), {ok, S}
            end;
        untouched when Direction =:= down -> put(Key, true), {ok, S};
        Mark ->
            case live_converted(S, About, Mark) of
                {ok, New} ->
                    erase(Other),
                    put('$updo_live', {Key, How, S, New}),
                    {ok, New};
                Failed -> Failed
            end
    end.

%% A gen_statem keeps what it had when a callback says keep_state_and_data: the very term that was
%% converted, and not one that is equal to it.
live_kept({_, Data}, {_, From}, {_, _, _, _, _, _, _, statem}) -> erts_debug:same(Data, From);
live_kept(_, _, _) -> false.

%% Back to what it was, when there was nothing between.
live_converted(S, {down, _, _, _, _, _, _, _}, {other, From, S}) -> {ok, From};
live_converted(S, {down, _, _, _, _, _, _, _} = About, {other, From, _}) ->
    case live_kept(S, From, About) of
        true -> {ok, S};
        false -> live_converted(S, About, other)
    end;
live_converted(S, {Direction, Key, _, M, Vsn, Extra, Twin, Kind}, _) ->
    Was = put('$updo_live', {Key, converting}),
    Args = case {Kind, S} of
        {server, _} -> [Vsn, S, Extra];
        {statem, {Name, Data}} -> [Vsn, Name, Data, Extra]
    end,
    Result = try
        case Direction of
            up -> apply(M, code_change, Args);
            down -> call_twin(Twin, code_change, Args)
        end
    of
        Answer -> live_result(Kind, S, Answer)
    catch
        throw:Answer -> live_result(Kind, S, Answer);
        Class:Why:Stack -> {failed, why({Class, Why, Stack})}
    end,
    case Was of undefined -> erase('$updo_live'); _ -> put('$updo_live', Was) end,
    Result.

live_result(server, _, {ok, New}) -> {ok, New};
live_result(statem, {Name, _}, {ok, Name, New}) -> {ok, {Name, New}};
live_result(statem, {Name, _}, {ok, Other, _}) ->
    {failed, text_of("it changes the name of the state, from ~tp to ~tp", [Name, Other])};
live_result(_, _, Other) -> {failed, why(Other)}.

%% For a callback that changes no state. When the first callback raises, terminate/2 gets what that
%% one got.
live_seen(S, {Direction, _, _, _, _, _, _, _} = About) ->
    case live_mark(About) of
        {first, S, New} -> New;
        untouched when Direction =:= down -> S;
        Mark when Mark =:= untouched; Mark =:= other; element(1, Mark) =:= other ->
            case live_converted(S, About, Mark) of {ok, New} -> New; _ -> S end;
        _ -> S
    end.

live_by_hand(Args, S, {_, Key, _, M, _, _, _, _}) ->
    put('$updo_live', {Key, converting}),
    Result = (catch apply(M, code_change, Args)),
    case Result of
        {ok, New} -> put('$updo_live', {Key, swept, S, New});
        {ok, Name, Data} -> put('$updo_live', {Key, swept, S, {Name, Data}});
        _ -> erase('$updo_live')
    end,
    Result.

%% It was rehearsed, so it is rare: the process waits until the version that it can run is back,
%% and has that one answer. What is thrown counts as what a callback returns. With no agent left it
%% ends, as with OTP.
live_wait(F, Args, Why, {up, _, _, M, _, _, _, _}) ->
    live_wait(F, Args, {M, Why}, current_md5(M), 100);
live_wait(_, _, Why, _) -> erlang:error({code_change, Why}).

live_wait(_, _, {_, Why}, _, 0) -> erlang:error({code_change, Why});
live_wait(F, Args, {M, Why} = What, Md5, N) ->
    Left = case whereis(updo_run) of
        undefined -> N - 1;
        Pid -> Pid ! {updo_unlive, self(), M, Why}, N
    end,
    receive after 50 -> ok end,
    case current_md5(M) of
        Md5 -> live_wait(F, Args, What, Md5, Left);
        _ -> throw(apply(M, F, Args))
    end.

%% What a process is asked by a system message. One that reads it late finds another version there.
live_fun(Exec, {_, _, _, M, _, _, _, _} = About, Md5) ->
    fun(S) ->
        {Answer, New} = try
            case {current_md5(M), get('$initial_call'), live_mark(About)} of
                {Md5, {M, init, 1}, Mark} when Mark =:= untouched; Mark =:= other;
                                               element(1, Mark) =:= other ->
                    case live_come(S, About, swept) of
                        {ok, Converted} -> {swept, Converted};
                        {failed, Why} -> {{failed, Why}, S}
                    end;
                {Md5, {M, init, 1}, {first, From, To}} ->
                    case live_kept(S, From, About) of
                        true ->
                            put('$updo_live', {element(2, About), swept, From, To}),
                            {swept, To};
                        false -> {through, S}
                    end;
                {_, {M, init, 1}, born} -> {born, S};
                {_, {M, init, 1}, _} -> {through, S};
                _ -> {foreign, S}
            end
        catch Class:Reason:Stack -> {{failed, why({Class, Reason, Stack})}, S}
        end,
        Exec ! {live, self(), Answer},
        New
    end.

%% Whether a state has funs of versions that go, #{Module => MD5}: they would fail.
live_look_fun(Exec, Md5s) ->
    fun(S) ->
        Exec ! {live, self(), try live_funs([S], Md5s, 300000) catch _:_ -> none end},
        S
    end.

live_funs([], _, _) -> none;
live_funs(_, _, 0) -> {failed, <<"its state is too large to be searched for funs">>};
live_funs([T | Rest], Ms, N) when is_list(T), T =/= [] ->
    live_funs([hd(T), tl(T) | Rest], Ms, N - 1);
live_funs([T | Rest], Ms, N) when is_tuple(T) -> live_funs(tuple_to_list(T) ++ Rest, Ms, N - 1);
live_funs([T | Rest], Ms, N) when is_map(T) ->
    live_funs(maps:keys(T) ++ maps:values(T) ++ Rest, Ms, N - 1);
live_funs([T | Rest], Ms, N) when is_function(T) ->
    {module, M} = erlang:fun_info(T, module),
    {env, Env} = erlang:fun_info(T, env),
    case {erlang:fun_info(T, new_uniq), Ms} of
        {{new_uniq, Md5}, #{M := Md5}} ->
            {failed, text_of("its state has a fun of ~tp, which goes with the old version", [M])};
        _ -> live_funs(Env ++ Rest, Ms, N - 1)
    end;
live_funs([_ | Rest], Ms, N) -> live_funs(Rest, Ms, N - 1).

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
