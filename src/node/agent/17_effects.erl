%% Conversions that write outside of their state: tables, files, other processes. Putting the state
%% back does not undo that, so before the undo puts states back, those that have been converted are
%% asked to convert the other way.

%% -------------------------------------------------------------------------------------------------
%% Effects of conversions

%% `acts` of a module in the job: `both` when code_change acts and may know `{down, _}`, `one_way`
%% when it cannot.
acts(M) ->
    case [A || #{name := N, acts := A} <- job(modules, []), N =:= M] of [A | _] -> A; [] -> no end.

%% Mode: upwards conversions are asked back before the old code is loaded, downwards ones after it.
%% States are put back afterwards, whatever comes of this.
effects(Mode) ->
    Ms = [{M, Acts, Extra} || M <- lists:usort(log_get(converting)), Acts <- [acts(M)], Acts =/= no,
                              {How, {advanced, Extra}} <- [how(M)], How =:= Mode],
    Left = lists:append([effects(Mode, M, Acts, Extra) || {M, Acts, Extra} <- Ms]),
    Left =:= [] orelse log({set, effects, Left ++ maps:get(effects, get(log), [])}).

%% => effect()
effects(Mode, M, Acts, Extra) ->
    Asked = [parts_without(kept_state(M), Parts) || Parts <- parts_of(M)],
    All = [P || Parts <- Asked, Part <- tuple_to_list(Parts), P <- Part, is_process_alive(P)],
    {Failed, Done} = case {lists:member(M, maps:get(changed, get(log), [])), get(unconverted)} of
        {true, _} -> {[], All};
        {false, {M, Bad}} -> {Bad, [P || P <- All, not lists:keymember(P, 1, Bad), begun(P)]};
        {false, _} -> {[], [P || P <- All, begun(P)]}
    end,
    Half = [#{pid => P, module => M, why => text_of("its conversion failed half way: ~ts", [Why])}
            || {P, Why} <- Failed, not untouched(M, Why)],
    Half ++ case Acts of
        one_way ->
            [#{pid => P, module => M, why => <<"its code_change has no clause for {down, _}">>}
             || P <- Done];
        both ->
            Vsn = case {Mode, log_get(before), old_vsn(down, M)} of
                {up, #{M := #{vsn := V}}, _} -> {down, V};
                {up, _, _} -> {down, undefined};
                {down, _, {down, V}} -> V
            end,
            Op = {change, M, Vsn, Extra, fun(S) -> S end, get(dead_pid)},
            Until = now_ms() + job(grace, grace()),
            [#{pid => P, module => M, why => Why} || P <- Done,
             {error, Why} <- [asked_back(P, Op, Until)]]
    end.

%% The failing process cannot have done anything when no clause of code_change was for it.
untouched(M, Why) ->
    Prefix = text_of("error:function_clause in ~tw:code_change/", [M]),
    is_binary(Why) andalso binary:longest_common_prefix([Prefix, Why]) =:= byte_size(Prefix).

%% Whether its conversion was asked for: its state was put aside.
begun(P) ->
    Stamp = stamp(),
    case process_info(P, dictionary) of
        {dictionary, D} ->
            [x || {'$updo_saved', {S, _, _}} <- D, S =:= Stamp] ++
                [x || {{'$updo_saved', _, _}, {S, _, _}} <- D, S =:= Stamp] =/= [];
        undefined -> false
    end.

asked_back(P, Op, Until) ->
    case now_ms() < Until of
        false -> {error, <<"there was no time left to ask it">>};
        true ->
            Ref = make_ref(),
            case dispatch(Ref, undo, Op, parts([P]), 1) of
                {_, [], []} -> ok;
                {_, _, [{_, Why} | _]} -> {error, Why};
                {_, Slow, []} ->
                    case wait_late(Ref, maps:from_list([{Q, true} || Q <- Slow]), Until, 0,
                                   first) of
                        {_, [], []} -> ok;
                        {_, [{_, Why} | _], _} -> {error, Why};
                        {_, [], _} -> {error, <<"no answer">>}
                    end
            end
    end.

%% -------------------------------------------------------------------------------------------------
%% What is left of a run that has gone back: then the node is not "as before".

%% => run()
%% {Outcome, Info} as they are reported.
remains(Outcome, Info) ->
    %% A way back through closed windows has steps of its own for the children.
    Undone = case Outcome =:= other(job(goal, new)) of true -> children_back(); false -> [] end,
    Children = Undone ++ case Outcome of old -> maps:get(unchildren, get(log), []); _ -> [] end,
    Effects = maps:get(effects, get(log), []),
    More = filled(#{children => Children, effects => lists:sublist(Effects, named())}),
    case map_size(More) of
        0 -> {Outcome, Info};
        _ -> {mixed, maps:merge(maps:merge(#{by_hand => [], code => Outcome}, Info), More)}
    end.
