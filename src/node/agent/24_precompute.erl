%% Conversions before the switch. While all processes of a window are suspended and nothing is
%% switched yet, each computes its new state with the twin of its module, in place, and keeps it in
%% its dictionary. When one fails, the new states are forgotten and all are resumed: no module was
%% switched, no process has met new code. When all have succeeded, the switch comes, and the step
%% `code_change` installs what was computed.
%%
%% What is sent to a process may be read late: it looks whether the step is still going on (its
%% keeper lives), catches everything, answers by a message of its own and gives back what it got.

%% ------------------------------------------------------------------------------------------------
%% Before anything is suspended

%% The twins are loaded in time. Where they cannot be, states are converted after the switch only,
%% unless there is no way back from that.
prepare_twins(Steps) ->
    Wanted = lists:usort([M || {_, {precompute, L}} <- Steps, {M, _, _} <- L]),
    Twins = [M || Wanted =/= [], #{name := M} <- job(twins, [])],
    Loaded = [M || #{name := M, twin := N} <- job(twins, []), lists:member(N, log_get(twins)),
                   erlang:module_loaded(N)],
    case Twins -- Loaded of
        [] -> put(no_twins, false);
        Missing ->
            Exact = job(undo, none) =:= exact,
            try twins_load(Missing), put(no_twins, false)
            catch throw:{updo_fail, _} when Exact -> put(no_twins, true)
            end
    end.

%% ------------------------------------------------------------------------------------------------
%% The step

%% => converted()
%% Behind a switch nothing is computed any more: a successor without a way back comes here again.
precompute(Id, Changes) ->
    Due = case {get(no_twins), log_get(switching) ++ log_get(on_load)} of
        {true, _} -> [];
        {_, []} -> Changes;
        _ -> []
    end,
    serving(before),
    Exec = self(),
    Keeper = spawned(fun() -> process_flag(trap_exit, true), keeper(monitor(process, Exec)) end,
                     []),
    try
        Sums = [precompute_one(Id, M, Kind, Extra, Keeper) || {M, Kind, Extra} <- Due],
        #{processes => lists:sum([T || {T, _} <- Sums]), dead => lists:sum([D || {_, D} <- Sums])}
    after
        serving_ends(),
        exit(Keeper, kill)
    end.

precompute_one(Id, M, Kind, Extra, Keeper) ->
    {_, All} = by_kind(M, [parts_without(kept_state(M), Parts) || Parts <- parts_of(M)]),
    Pids = lists:append([parts_pids(Parts) || Parts <- All]),
    Known = lists:any(fun(#{name := N}) -> N =:= M end, job(twins, [])),
    case Pids =:= [] orelse not Known orelse other_loop(M, Kind, Pids) of
        true -> {0, 0};
        false ->
            log({add, precomputed, {M, Kind}}),
            Vsn = old_vsn(up, M),
            Twins = job(twins, []),
            [Twin] = [N || #{name := Name, twin := N} <- Twins, Name =:= M],
            Lasts = case literals_fit(Twins, length(Pids)) of
                false -> no;
                true ->
                    case lists:any(fun(T) -> may_leave_funs(T) end, Twins) of
                        false -> yes;
                        true -> {twin_names(), case own_handler() of none -> 200; _ -> 20000 end}
                    end
            end,
            %% What a rehearsal has tried a moment ago is not tried again.
            Limit = case lists:member(M, job(rehearsed, [])) of true -> none; _ -> limit(M) end,
            Bounds = #{lasts => Lasts, keeper => Keeper, names => running_names()},
            Op = {precompute, {Kind, M, Twin, Vsn, Extra}, {stamp(), get(pass)}, Bounds,
                  tried_first(Pids), Limit, get(dead_pid)},
            for_all(Id, M, Op, {advanced, Extra}, Vsn, All)
    end.

%% By a name that is data a conversion reaches the running version of a module, or a new one that is
%% not there yet: what it raises there says nothing of the time after the switch. Without a way back
%% it has to be taken for a failure.
running_names() ->
    case job(undo, none) of
        exact -> maps:from_list([{M, true} || #{name := M} <- job(modules, [])]);
        _ -> #{}
    end.

%% A behaviour may run its callback modules in a server of its own, whose state is not theirs.
other_loop(M, Kind, Pids) when Kind =:= server; Kind =:= statem ->
    lists:any(fun(P) -> Loop = loop_module(P), Loop =/= unknown andalso Loop =/= M end,
              lists:sublist(Pids, 20));
other_loop(_, _, _) -> false.

twin_names() -> maps:from_list([{N, M} || #{name := M, twin := N} <- job(twins, [])]).

%% Processes that are asked whether they are suspended, and whose conversion is tried on a copy
%% first: of very many that would take longer than the conversions. What something else has resumed
%% is known by its state otherwise, when the new one is installed.
tried_first(Pids) -> maps:from_list([{P, true} || P <- lists:sublist(Pids, 100)]).

%% Funs, and from OTP 29 on native records, belong to the version that has made them.
may_leave_funs(#{new := Beam} = Twin) ->
    maps:get(funs, Twin, 1) > 0 orelse binary:match(Beam, <<"Recs">>) =/= nomatch.

%% A state may share constants of the twin. When the twin goes, each process gets a copy of its own.
literals_fit(Twins, N) ->
    lists:sum([literals(beam_lib:chunks(Beam, ["LitT"], [allow_missing_chunks]))
               || #{new := Beam} <- Twins]) * N =< most_literals().

literals({ok, {_, [{"LitT", <<0:32, Plain/binary>>}]}}) -> byte_size(Plain);
literals({ok, {_, [{"LitT", <<Size:32, _/binary>>}]}}) -> Size;
literals(_) -> 0.

most_literals() -> 16 * 1024 * 1024.

%% Ends the trials that have not ended: with the step, with the executor.
keeper(Mon) ->
    receive
        {'DOWN', Mon, process, _, _} -> exit(shutdown);
        _ -> keeper(Mon)
    end.

%% ------------------------------------------------------------------------------------------------
%% In the process

%% The key under which a process, or one handler of a manager, keeps its new state. What is kept:
%% {Stamp, Pass, {Old, {new, New} or again}}.
computed_key(event, {H, I, _}) -> {'$updo_computed', H, I};
computed_key(_, _) -> '$updo_computed'.

is_other_handler({event, M, _, _, _}, S) -> element(1, S) =/= M;
is_other_handler(_, _) -> false.

%% Limit: ms for a trial on a copy, or none without one.
precompute_fun(From, How, Pass, #{keeper := Keeper} = Bounds, Limit) ->
    fun(S) ->
        case is_other_handler(How, S) orelse not is_process_alive(Keeper) of
            true -> ok;
            false ->
                try precomputed(From, S, How, Pass, Bounds, Limit)
                catch _:Why -> tell(From, {error, Why})
                end
        end,
        S
    end.

precomputed(From, S, {Kind, _, Twin, _, _} = How, {Stamp, Pass}, Bounds, Limit) ->
    #{lasts := Lasts, keeper := Keeper, names := Names} = Bounds,
    case ends(fun() -> converted(Twin, S, How) end, Keeper, Limit) of
        true ->
            Result = converted(Twin, S, How),
            Kept = case Result of
                {ok, New} -> case lasts(New, Lasts) of true -> {new, New}; false -> again end;
                {'EXIT', {_, [_ | _] = Stack}} ->
                    case in_running(Stack, Names) of true -> again; false -> failed end;
                _ -> failed
            end,
            case Kept of
                failed -> tell(From, {error, Result});
                _ ->
                    Key = computed_key(Kind, S),
                    put(Key, {Stamp, Pass, {S, Kept}}),
                    Kind =:= event orelse tell(From, ok)
            end;
        called_off -> ok;
        Why -> tell(From, {error, Why})
    end.

in_running(Stack, Names) ->
    lists:any(fun(F) -> is_tuple(F) andalso is_map_key(element(1, F), Names) end, Stack).

%% As the behaviours call it: what is thrown counts as what is returned.
converted(Module, S, {Kind, M, _, Vsn, Extra}) ->
    converted(Kind, Module, S, M, Vsn, Extra).

converted(server, Module, S, _, Vsn, Extra) -> catch Module:code_change(Vsn, S, Extra);
converted(statem, Module, {Name, Data}, _, Vsn, Extra) ->
    case catch Module:code_change(Vsn, Name, Data, Extra) of
        {ok, NewName, NewData} -> {ok, {NewName, NewData}};
        {ok, _} = Other -> {returned, Other};
        Other -> Other
    end;
converted(event, Module, {H, I, S}, _, Vsn, Extra) ->
    case catch Module:code_change(Vsn, S, Extra) of
        {ok, New} -> {ok, {H, I, New}};
        Other -> Other
    end;
converted(special, Module, S, M, Vsn, Extra) -> catch Module:system_code_change(S, M, Vsn, Extra).

%% A conversion that never ends must not keep its process: it is tried on a copy first, which can be
%% ended. A large state is not copied.
ends(_, _, none) -> true;
ends(Convert, Keeper, Limit) ->
    {total_heap_size, Words} = process_info(self(), total_heap_size),
    case Words > 100000 of
        true -> true;
        false ->
            Heap = #{size => 16777216, kill => true, error_logger => false},
            Trial = fun() ->
                case catch link(Keeper) of true -> catch Convert(); _ -> ok end,
                exit(normal)
            end,
            case catch spawn_opt(Trial, [monitor, {max_heap_size, Heap}]) of
                {C, Mon} ->
                    receive
                        {'DOWN', Mon, process, _, killed} ->
                            case is_process_alive(Keeper) of
                                true ->
                                    {updo_text, <<"it ends its process, or needs more than "
                                                  "128 MB">>};
                                false -> called_off
                            end;
                        {'DOWN', Mon, process, _, _} ->
                            is_process_alive(Keeper) orelse called_off
                    after Limit ->
                        exit(C, kill),
                        demonitor(Mon, [flush]),
                        {updo_text, text_of("it takes longer than ~b ms", [Limit])}
                    end;
                _ -> true
            end
    end.

%% Whether a new state can outlive the twin. One of too many terms to look at all of them is taken
%% for one that cannot.
lasts(_, no) -> false;
lasts(_, yes) -> true;
lasts(New, {Twins, Most}) -> lasts([New], Twins, Most).

lasts([], _, _) -> true;
lasts(_, _, 0) -> false;
lasts([T | Rest], Twins, N) when is_atom(T) ->
    not is_map_key(T, Twins) andalso lasts(Rest, Twins, N - 1);
lasts([T | Rest], Twins, N) when is_number(T); is_bitstring(T); is_pid(T); is_reference(T);
                                 is_port(T); T =:= [] ->
    lasts(Rest, Twins, N - 1);
lasts([[H | T] | Rest], Twins, N) -> lasts([H, T | Rest], Twins, N - 1);
lasts([T | Rest], Twins, N) when is_tuple(T), tuple_size(T) < N ->
    lasts(tuple_to_list(T) ++ Rest, Twins, N - 1);
lasts([T | Rest], Twins, N) when is_map(T), map_size(T) < N ->
    lasts(maps:keys(T) ++ maps:values(T) ++ Rest, Twins, N - 1);
lasts([T | Rest], Twins, N) when is_function(T) ->
    {module, M} = erlang:fun_info(T, module),
    {env, Env} = erlang:fun_info(T, env),
    not is_map_key(M, Twins) andalso lasts([Env | Rest], Twins, N - 1);
lasts(_, _, _) -> false.

%% ------------------------------------------------------------------------------------------------
%% After the switch

%% How code_change converts: by installing what was computed, where that was done. A gen_statem
%% whose callback mode differs has to ask for it, which it does in a code_change only.
install_op(M, Extra, Vsn, Change) ->
    case lists:keyfind(M, 1, log_get(precomputed)) of
        {M, Kind} ->
            case Kind =:= statem andalso lists:member(M, log_get(reversed)) of
                true -> Change;
                false ->
                    Handler = is_map_key(M, handlers()),
                    {install, {Kind, M, M, Vsn, Extra}, {stamp(), get(pass), Handler},
                     get(dead_pid)}
            end;
        false -> Change
    end.

%% One whose state is not the one that was converted has run since. One that has computed nothing
%% (born since, or what it computed does not outlive the twin) converts by the new version itself.
install_fun(From, {Kind, M, _, _, _} = How, {Stamp, Pass, Handler}) ->
    fun(S) ->
        case is_other_handler(How, S) of
            true -> S;
            false ->
                Old = saved(S, Stamp, Pass, Handler),
                case erase(computed_key(Kind, S)) of
                    {Stamp, Pass, {Old, {new, New}}} ->
                        Kind =:= event orelse tell(From, ok),
                        New;
                    {Stamp, Pass, {Other, _}} when Other =/= Old ->
                        tell(From, {error, {unknown_system_msg, install}}),
                        S;
                    _ ->
                        case converted(M, Old, How) of
                            {ok, New} ->
                                Kind =:= event orelse tell(From, ok),
                                New;
                            Wrong -> tell(From, {error, Wrong}), Old
                        end
                end
        end
    end.

%% ------------------------------------------------------------------------------------------------
%% When nothing was switched

%% Forgets what was computed, right before the resume.
forget_op() ->
    Portable = portable_forget_fun(),
    Fun = case get(recovered) of
        true -> Portable;
        _ -> fun(S) -> forget_computed(), S end
    end,
    {restore, Fun, Portable, get(dead_pid), none}.

forget_computed() ->
    lists:foreach(fun('$updo_computed' = K) -> erase(K);
                     ({'$updo_computed', _, _} = K) -> erase(K);
                     (_) -> ok
                  end, get_keys()).

portable_forget_fun() -> portable("fun(S) -> " ++ portable_forget_computed() ++ "S end.", []).

portable_forget_computed() ->
    "lists:foreach(fun('$updo_computed' = K) -> erase(K); ({'$updo_computed', _, _} = K) -> "
    "erase(K); (_) -> ok end, get_keys()), ".
