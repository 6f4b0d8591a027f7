%% Twins: new versions under names of their own (`m@updo`), loaded beside what runs, so that the
%% new code can be tried before anything is switched; and an excerpt of several: one module with the
%% functions that conversions need, `'m@updo:code_change'/3`. The client makes the beams and chooses
%% their names; nothing here knows how.
%%
%% They are gone when the run ends, however it ends: a step drops them, the end of every run, the
%% guardian when executors die too often, and the watchdog when both are killed. Purged softly
%% only: a process that has come into a twin is not ended for that. What stays then goes when the
%% next run loads its own.

%% ------------------------------------------------------------------------------------------------
%% Steps

%% => twins_loaded()
%% All or none. The log has the names first: the successor of a dead executor knows what may be
%% there.
twins_load(Ms) ->
    Twins = [T || #{name := M} = T <- job(twins, []), lists:member(M, Ms)],
    Missing = Ms -- [M || #{name := M} <- Twins],
    Missing =:= [] orelse fail({not_in_job, hd(Missing)}),
    Names = lists:usort([N || #{twin := N} <- Twins]),
    Code = [{N, New, maps:get(funs, T, 0)} || #{twin := N, new := New} = T <- job(twins, []),
                                              lists:member(N, Names)],
    fun_table_has_room(lists:sum([Funs || {_, _, Funs} <- Code])),
    log({set, twins, lists:usort(Names ++ log_get(twins))}),
    InUse = twins_gone(Names),
    InUse =:= [] orelse fail({twins_in_use, InUse}),
    Load = fun() -> twins_load_each([{N, New} || {N, New, _} <- Code]) end,
    Us = case log_get(found) of [] -> at_low_priority(Load); _ -> Load() end,
    #{twins => length(Names), us => Us, schedulers => erlang:system_info(schedulers_online)}.

%% us that the loader took. One after the other: it takes its time for a module in one go, and for
%% several at once on as many schedulers. Many of them few at a time, for each time the schedulers
%% of the node meet.
twins_load_each(Twins) ->
    Number = length(Twins),
    All = [case code:prepare_loading([{N, atom_to_list(N), New} || {N, New} <- Some]) of
               {ok, Prepared} -> between_twins(Number), Prepared;
               {error, Why} -> fail({twins_not_loadable, Why})
           end || Some <- few_at_a_time(Twins, min(9, Number div many_twins()), 64 * 1024)],
    lists:sum([begin
                   T = now_us(),
                   case code:finish_loading(Prepared) of
                       ok -> ok;
                       {error, Why} ->
                           twins_gone([N || {N, _} <- Twins]),
                           fail({twins_not_loadable, Why})
                   end,
                   Us = now_us() - T,
                   between_twins(Number),
                   Us
               end || Prepared <- All]).

many_twins() -> 20.         % so many are worth hurrying

%% One and N more, of so many bytes together; larger ones alone.
few_at_a_time([], _, _) -> [];
few_at_a_time([One | Rest], N, Most) ->
    {Some, More} = few(Rest, N, Most - byte_size(element(2, One)), [One]),
    [Some | few_at_a_time(More, N, Most)].

few([{_, New} = One | Rest], N, Left, Some) when N > 0, byte_size(New) =< Left ->
    few(Rest, N - 1, Left - byte_size(New), [One | Some]);
few(Rest, _, _, Some) -> {Some, Rest}.

%% The node's own work goes first, unless processes are suspended: two ms of rest after each of a
%% few, and between many after three ms of work.
between_twins(Number) ->
    Now = now_us(),
    Since = case get(twins_since) of undefined -> Now; T -> T end,
    Rests = Number < many_twins() orelse Now - Since >= 3000,
    case log_get(found) =:= [] andalso Rests of
        true -> receive after 2 -> put(twins_since, now_us()) end;
        false -> put(twins_since, Since)
    end.

%% => twins_dropped()
twins_drop(Ms) ->
    Names = lists:usort([N || #{name := M, twin := N} <- job(twins, []), lists:member(M, Ms)]),
    Left = twins_gone_one_by_one(Names),
    log({set, twins, (log_get(twins) -- Names) ++ Left}),
    #{twins => length(Names) - length(Left), left => Left}.

%% At the end of a run.
twins_end() ->
    case log_get(twins) of
        [] -> ok;
        Names ->
            Left = twins_gone_one_by_one(Names),
            log({set, twins, Left}),
            Left =:= [] orelse event({twins_left, Left})
    end.

%% ------------------------------------------------------------------------------------------------
%% Calling

%% Twin | {Excerpt, Function}: what converts in place of M.
twin_of(M) ->
    [Twin] = [case T of #{entry := F} -> {N, F}; _ -> N end
              || #{name := Name, twin := N} = T <- job(twins, []), Name =:= M],
    Twin.

%% A callback of a twin, or of a module itself.
call_twin({Excerpt, F}, _, Args) -> apply(Excerpt, F, Args);
call_twin(Module, F, Args) -> apply(Module, F, Args).

%% A frame of a twin goes by the name of its module, one of an excerpt by the name of the function.
own_frame({M, F, A, Place}) ->
    case string:split(atom_to_list(F), "@updo:") of
        [[_ | _] = Name, [_ | _] = Function] ->
            {list_to_atom(Name), list_to_atom(Function), A, Place};
        _ -> {own_name(M), F, A, Place}
    end.

own_name(M) ->
    case string:split(atom_to_list(M), "@updo", trailing) of
        [[_ | _] = Name, []] -> list_to_atom(Name);
        _ -> M
    end.

%% ------------------------------------------------------------------------------------------------
%% Taking away

%% Those that cannot be, because a process executes them.
%% Each purge asks all processes of the node.
twins_gone(Names) -> [N || N <- Names, not twin_gone(N, 20)].

%% The same with the node's own work in between.
twins_gone_one_by_one(Names) ->
    [N || N <- Names,
          not begin Gone = twin_gone(N, 20), between_twins(length(Names)), Gone end].

%% What is current becomes old, and old code goes; there may be both of one that was left by an
%% earlier run.
twin_gone(N, Tries) ->
    case code:soft_purge(N) of
        true ->
            case erlang:module_loaded(N) of
                false -> true;
                true -> code:delete(N), twin_gone(N, Tries)
            end;
        false when Tries > 0 -> receive after 25 -> twin_gone(N, Tries - 1) end;
        false -> false
    end.

%% ------------------------------------------------------------------------------------------------
%% Room

%% From OTP 29 on a node keeps an entry for every fun of every version that it has ever loaded, in
%% a table that ends the node when it is full. A tenth of it is left to the node's own upgrades.
fun_table_has_room(Funs) ->
    case fun_table() of
        {Entries, Limit} when Entries + Funs > Limit - Limit div 10 ->
            fail({fun_table_full, #{entries => Entries, limit => Limit, funs => Funs}});
        _ -> ok
    end.

%% {Entries, Limit}, or none where the entries of what is purged are free again (before OTP 29).
%% The question stops the node's schedulers for an instant, so it is not asked where the answer is
%% known.
fun_table() -> fun_table(list_to_integer(erlang:system_info(otp_release))).

fun_table(Otp) when Otp < 28 -> none;
fun_table(_) ->
    Text = erlang:system_info(info),
    Pattern = "=index_table:fun\\w*\nsize: \\d+\nlimit: (\\d+)\nentries: (\\d+)",
    case re:run(Text, Pattern, [{capture, all_but_first, list}]) of
        {match, [Limit, Entries]} -> {list_to_integer(Entries), list_to_integer(Limit)};
        nomatch -> none
    end.
