%% Suspending, without deadlock, and finding the processes to suspend. The request itself: `take/6`
%% in 11_attempts.erl hands it to the workers, `send/3` in 20_workers.erl sends it.

%% -------------------------------------------------------------------------------------------------
%% Step: suspend

%% => suspended()
suspend(Id, Ranks) ->
    Limits = maps:from_list([{M, T} || Rank <- Ranks, {M, T} <- Rank]),
    put(limits, maps:merge(case get(limits) of undefined -> #{}; L -> L end, Limits)),
    Order = [[M || {M, _} <- Rank] || Rank <- Ranks],
    Want = maps:map(fun(_, _) -> true end, Limits),
    put(to_find, Want),
    {Info, N} = within_budget(Id, fun() -> suspend_once(Id, Order, Want) end,
                              fun(Began) -> suspend_again(Id, Began) end),
    within_pause(),
    Info#{attempts => N, us => now_us() - log_get(t0)}.

suspend_once(Id, Order, Want) ->
    spawn_watch_on(maps:keys(Want)),
    {Known, Found} = find_first(Want),
    note_found(Found, log_get(t0) =:= undefined),
    note_loops(Found),
    put(began, now_ms()),
    case log_get(t0) of undefined -> log({set, t0, now_us()}); _ -> ok end,
    lists:foreach(fun(F) -> suspend_ranks(Id, Order, F, now_ms()) end, Known),
    log({set, found, [Found | log_get(found)]}),
    First = suspend_ranks(Id, Order, Found, now_ms()),
    sweep(Id, Order, Want, First, 1).

%% {known before, found now} of the modules of a step.
find_first(Want) ->
    %% Found by an executor that died since: already logged, perhaps suspended.
    Known = [F || F <- [maps:with(maps:keys(Want), F) || F <- log_get(found)], map_size(F) > 0],
    KnownPids = lists:usort([P || F <- Known, Parts <- maps:values(F), Part <- tuple_to_list(Parts),
                             P <- Part]),
    {Found, Seen} = find(Want, KnownPids, patient),
    put(seen, ordsets:union(Seen, KnownPids)),
    put(want, maps:merge(case get(want) of undefined -> #{}; Others -> Others end, Want)),
    erase(to_find),
    {Known, Found}.

%% After all were resumed: everything that the window has suspended, and what has been born since.
suspend_again(Id, Began) ->
    Due = get(to_find),
    Mine = case Due of undefined -> #{}; _ -> Due end,
    spawn_watch_on(maps:keys(maps:merge(get(want), Mine))),
    Found = case Due of
        undefined ->
            {New, Seen} = find(get(want), get(seen)),
            put(seen, Seen),
            New;
        _ -> element(2, find_first(Due))
    end,
    {Order, Want} = {window_order(Id), get(want)},
    note_found(Found, false),
    case log_get(t0) of undefined -> log({set, t0, now_us()}); _ -> ok end,
    map_size(Found) =:= 0 orelse log({set, found, [Found | log_get(found)]}),
    First = suspend_ranks(Id, Order, found_together(), Began),
    sweep(Id, Order, Want, First, 1).

%% Again for those born meanwhile, until there are none. Where births are watched three times will
%% do: the few that are born later are known at the switch.
%% => suspended()
sweep(Id, Order, Want, Info, N) ->
    case N >= case get(spawn_watch) of none -> 20; _ -> 3 end of
        true -> Info#{sweeps => N};
        false -> sweep_once(Id, Order, Want, Info, N)
    end.

%% => suspended()
sweep_once(Id, Order, Want, Info, N) ->
    put(looked, now_ms()),
    {Found, Seen} = find(Want, get(seen)),
    put(seen, Seen),
    case map_size(Found) of
        0 -> Info#{sweeps => N};
        _ ->
            More = suspend_found(Id, Order, Found, now_ms()),
            sweep(Id, Order, Want, maps:map(fun(K, V) -> V + maps:get(K, More, 0) end, Info), N + 1)
    end.

suspend_found(Id, Order, Found, T0) ->
    note_found(Found, false),
    log({set, found, [Found | log_get(found)]}),
    suspend_ranks(Id, Order, Found, T0).

%% => suspended()
suspend_ranks(Id, Order, Found, T0) ->
    Total = found_size(Found),
    {Sums, _} = lists:mapfoldl(fun(Rank, Done) ->
                                   Ms = [M || M <- Rank, is_map_key(M, Found)],
                                   {Sum, Asked} = suspend_rank(Id, groups(Ms, Found), Done, Total,
                                                               T0),
                                   {Sum, Done + Asked}
                               end, 0, Order),
    #{processes => Total, dead => lists:sum([D || {D, _} <- Sums]),
      waited_for => lists:sum([S || {_, S} <- Sums])}.

%% [{Op, Parts}]: modules whose states are computed at once, each by its own twin, and the others
%% together.
groups(Ms, Found) ->
    Early = computes_early(Ms),
    Others = case [maps:get(M, Found) || M <- Ms, not lists:member(M, Early)] of
        [] -> [];
        All -> [{take, merge_parts(All)}]
    end,
    [{early_op(M, parts_size(Parts)), Parts} || M <- Early, #{M := Parts} <- [Found]] ++ Others.

%% All are asked before any is waited for: {{dead, slow}, asked}.
suspend_rank(Id, Groups, Done, Total, T0) ->
    {{Dead, Slow, N}, Asked} = lists:foldl(
        fun({Op, Parts}, {{D0, S0, N0}, K}) ->
            {D, S, Failed, More} = take(Id, Op, Parts, Done + K, Total, T0),
            Failed =:= [] orelse fail({not_suspended, [(describe(P, #{}))#{reason => Why}
                                                       || {P, Why} <- Failed]}),
            {{D0 + D, maps:merge(S0, S), N0 + More}, K + parts_size(Parts)}
        end, {{0, #{}, 0}, 0}, Groups),
    {{Dead + wait_suspended(Slow, #{}, T0), N}, Asked}.

%% Those that have not answered: what do they wait for? LetGo: processes of ours that run again for
%% another's sake.
wait_suspended(Slow, LetGo, T0) -> wait_suspended(map_size(Slow), Slow, LetGo, T0).

wait_suspended(0, _, _, _) -> clock_stops(), 0;
wait_suspended(_, Slow, LetGo, T0) ->
    tell_slow(Slow, get(doing)),
    %% `infinity` is greater than any number.
    case late_within(min(patience(), budget_left())) of
        {late, Pid, Ref} when map_get(Pid, Slow) =:= Ref ->
            {Back, LetGo1} = back_from([Pid], LetGo),
            Again = maps:from_list([{Q, request(Q)} || Q <- Back]),
            wait_suspended(maps:merge(maps:remove(Pid, Slow), Again), LetGo1, T0);
        {late, _, _} -> wait_suspended(Slow, LetGo, T0);
        quiet ->
            Dead = [P || P <- maps:keys(Slow), not is_process_alive(P)],
            {Freed, LetGo1} = back_from(Dead, LetGo),
            Slow1 = maps:merge(maps:without(Dead, Slow),
                               maps:from_list([{Q, request(Q)} || Q <- Freed])),
            release_for(maps:keys(Slow1)),
            ask_others(maps:keys(Slow1)),
            over_time(Slow1, LetGo1, T0),
            map_size(Slow1) > 0 andalso budget_left() =:= 0
                andalso throw({updo_postponed, Slow1, Slow1}),
            Held = held(Slow1, LetGo1),
            LetGo2 = lists:foldl(fun(P, Acc) -> let_go(P, Held, Acc) end, LetGo1,
                                 lists:sublist(maps:keys(Slow1), 100)),
            length(Dead) + wait_suspended(Slow1, LetGo2, T0)
    end.

%% Of all that were asked to suspend those that did.
held(Slow, LetGo) ->
    All = case get(held) of
        {N, Map} -> case length(log_get(found)) of N -> Map; _ -> all_found() end;
        _ -> all_found()
    end,
    put(held, {length(log_get(found)), All}),
    Left = log_get(left),
    fun(P) -> not ordsets:is_element(P, Left) andalso is_map_key(P, All)
        andalso not is_map_key(P, Slow) andalso not is_map_key(P, LetGo) end.

let_go(P, Held, LetGo) ->
    lists:foldl(fun(Q, Acc) when is_map_key(Q, Acc) -> Acc;
                   (Q, Acc) -> worker_of(Q) ! {cast, resume, Q}, Acc#{Q => P} end,
                LetGo, waits_for(P, Held, 8)).

waits_for(P, Held, Depth) -> lists:usort([Q || {_, Q} <- calls_of(P, Held, Depth)]).

%% [{Caller, Callee}], the callee one that Is says yes to. gen:call leaves a monitor; follow the
%% monitors through those that wait themselves.
calls_of(_, _, 0) -> [];
calls_of(P, Is, Depth) ->
    case process_info(P, [status, monitors]) of
        [{status, waiting}, {monitors, Ms}] ->
            Targets = lists:sublist(lists:usort([T || M <- Ms, T <- target(M), T =/= P]), 64),
            case [{P, T} || T <- Targets, Is(T)] of
                [] ->
                    lists:usort(lists:append([calls_of(T, Is, Depth - 1)
                                              || T <- lists:sublist(Targets, 8)]));
                Calls -> Calls
            end;
        _ -> []
    end.

target({process, P}) when is_pid(P), node(P) =:= node() -> [P];
target({process, {Name, Node}}) when Node =:= node() ->
    case whereis(Name) of undefined -> []; P -> [P] end;
target(_) -> [].

over_time(Slow, LetGo, T0) ->
    case late_ones(Slow, T0) of
        [] -> ok;
        Late -> fail({not_suspended, [describe(P, LetGo) || P <- lists:sublist(Late, named())]})
    end.

late_ones(Slow, T0) ->
    Passed = now_ms() - T0,
    [P || P <- maps:keys(Slow), passed(Passed, limit(module_of(P)))].

passed(_, infinity) -> false;
passed(Ms, Limit) -> Ms >= Limit.

limit(M) ->
    case maps:get(M, case get(limits) of undefined -> #{}; L -> L end, default) of
        default -> job(suspend_timeout, 5000);
        T -> T
    end.

%% => process()
describe(P, LetGo) ->
    Info = case process_info(P, [current_function, message_queue_len, current_stacktrace,
                                 monitors]) of
        undefined -> [];
        I -> I
    end,
    Get = fun(K, D) -> case lists:keyfind(K, 1, Info) of {_, V} -> V; false -> D end end,
    #{pid => P, module => module_of(P), initial_call => initial_call(P),
      current_function => Get(current_function, undefined), queue => Get(message_queue_len, 0),
      waits_for => lists:sublist(lists:append([target(M) || M <- Get(monitors, [])]), 5),
      let_go => [Q || {Q, For} <- maps:to_list(LetGo), For =:= P],
      stack => stack_text(Get(current_stacktrace, []))}.

%% -------------------------------------------------------------------------------------------------
%% Finding the processes of modules

%% {#{Module => Parts}, all pids seen}. Parts: a tuple with the pids of each worker. Those already
%% seen are not looked at again, except the ones that were just being born. How: `patient` waits for
%% those that have to be asked as long as for their suspension, and fails; otherwise a second.
find(Want, Seen) -> find(Want, Seen, brief).

find(Want, Seen, How) ->
    Pids = lists:sort(processes()),
    N = log_get(nworkers),
    Handlers = maps:with(job(handlers, []), Want),
    Empty = list_to_tuple(lists:duplicate(N, [])),
    Fast = can_ask_for_one_key(),
    Statems = lists:any(fun(M) -> erlang:function_exported(M, callback_mode, 0) end,
                        maps:keys(Want)),
    {Calls, Bare, Unborn} = begun(ordsets:subtract(Pids, Seen), Fast, #{}, [], []),
    {Found0, ToAsk} = maps:fold(fun(Call, Ps, Acc) ->
        scan(Call, Ps, {Want, Statems}, Fast, N, Empty, Acc) end,
                                {assign(owned_bare(Bare, Want), Fast, N, Empty, #{}), []}, Calls),
    put(pending, length(Unborn)),
    Found1 = lists:foldl(fun({M, P}, Acc) -> add_found(M, P, N, Empty, Acc) end, Found0,
                         asked(ToAsk, Want, Handlers, How)),
    Extra = [{M, P} || {M, Ps} <- job(processes, []), is_map_key(M, Want), P <- Ps,
             is_process_alive(P),
                       not ordsets:is_element({extra, P}, Seen)],
    Found2 = lists:foldl(fun({M, P}, Acc) -> add_found(M, P, N, Empty, Acc) end, Found1, Extra),
    %% A process that the job names is taken once, however often it is looked.
    Named = [E || {extra, _} = E <- Seen],
    {Found2, ordsets:union([ordsets:subtract(Pids, lists:sort(Unborn)), Named,
                            lists:usort([{extra, P} || {_, P} <- Extra])])}.

%% Those of one initial call.
scan({gen_event, init_it, _}, Ps, _, _, _, _, {Found, ToAsk}) ->
    {Found, [{gen_event, P} || P <- Ps] ++ ToAsk};
scan({M, init, 1} = Call, Ps, {Want, Statems}, Fast, N, Empty, {Found, ToAsk}) ->
    case Statems andalso switches(M) of
        true -> {Found, [{M, P} || P <- Ps, may_suspend(P, M, behaviour, look(P, Fast))] ++ ToAsk};
        false -> {assign(owned(Call, Ps, Want), Fast, N, Empty, Found), ToAsk}
    end;
scan(Call, Ps, {Want, _}, Fast, N, Empty, {Found, ToAsk}) ->
    {assign(owned(Call, Ps, Want), Fast, N, Empty, Found), ToAsk}.

assign(Owned, Fast, N, Empty, Found) ->
    lists:foldl(fun({M, Kind, P}, Acc) ->
                    case may_suspend(P, M, Kind, look(P, Fast)) of
                        true -> add_found(M, P, N, Empty, Acc);
                        false -> Acc
                    end
                end, Found, Owned).

%% What the managers of events and the gen_statems say of themselves: [{Module, Pid}].
asked(ToAsk, Want, Handlers, How) ->
    Questions = [{P, case M of gen_event -> fun(Q) -> handlers_of(Q) end;
        _ -> fun(Q) -> live_module(Q) end end}
                 || {M, P} <- ToAsk, M =/= gen_event orelse map_size(Handlers) > 0],
    Limit = case How of patient -> lists:max([limit(M) || M <- maps:keys(Want)]); brief -> 1000 end,
    Patience = at_most(Limit),
    {Answers, Silent} = ask_all(Questions, Patience),
    Began = maps:from_list([{P, M} || {M, P} <- ToAsk]),
    %% Processes are suspended already: they are resumed, and the answer is waited for.
    Silent =/= [] andalso How =:= patient andalso Patience < Limit andalso
        throw({updo_postponed, #{}, maps:from_list([{P, asked} || P <- Silent])}),
    Silent =:= [] orelse How =:= brief orelse
        fail({not_suspended, [(describe(P, #{}))#{module => maps:get(P, Began)}
                              || P <- lists:sublist(Silent, named())]}),
    lists:usort([{M, P} || {P, Ms} <- Answers, is_list(Ms), M <- Ms, is_map_key(M, Handlers)] ++
                [{M, P} || {P, Live} <- Answers, is_atom(Live),
                 M <- [case Live of none -> maps:get(P, Began); _ -> Live end],
                           is_map_key(M, Want)] ++
                [{M, P} || P <- Silent, M <- [maps:get(P, Began)], is_map_key(M, Want)]).

add_found(M, P, N, Empty, Found) ->
    Parts = maps:get(M, Found, Empty),
    I = erlang:phash2(P, N) + 1,
    Found#{M => setelement(I, Parts, [P | element(I, Parts)])}.

%% OTP 26.2 can give one key of a dictionary; before, the whole dictionary must be fetched.
can_ask_for_one_key() ->
    try process_info(self(), {dictionary, '$initial_call'}) of _ -> true
        catch error:badarg -> false end.

%% What is needed to see more of the dictionary.
look(P, true) -> P;
look(P, false) -> case process_info(P, dictionary) of {_, Dict} -> Dict; undefined -> [] end.

in_dictionary(Key, P) when is_pid(P) ->
    case process_info(P, {dictionary, Key}) of {_, V} -> V; undefined -> undefined end;
in_dictionary(Key, Dict) ->
    case lists:keyfind(Key, 1, Dict) of {_, V} -> V; false -> undefined end.

initial_call(P) -> in_dictionary('$initial_call', look(P, can_ask_for_one_key())).

%% Not what kernel itself runs, not where our own output goes, and not a plain process that happens
%% to have been started in the module: it would never answer a system message.
may_suspend(P, M, Kind, Look) ->
    Ancestors = in_dictionary('$ancestors', Look),
    not (is_list(Ancestors) andalso lists:member(kernel_sup, Ancestors))
        andalso P =/= group_leader() andalso P =/= whereis(user)
        andalso (Kind =/= other orelse speaks_sys(P, M)).

speaks_sys(P, M) ->
    erlang:function_exported(M, system_continue, 3)
        orelse erlang:function_exported(M, system_code_change, 4) orelse
    case process_info(P, current_stacktrace) of
        {_, Stack} ->
            lists:any(fun({Mod, _, _, _}) -> lists:member(Mod,
                                                          [gen_server, gen_statem, gen_event, sys])
                                                          end, Stack);
        undefined -> false
    end.

merge_parts([Parts]) -> Parts;
merge_parts([A, B | Rest]) ->
    merge_parts([list_to_tuple(lists:zipwith(fun(X, Y) -> X ++ Y end, tuple_to_list(A),
                                             tuple_to_list(B))) | Rest]).

parts_of(M) -> [Parts || Found <- log_get(found), #{M := Parts} <- [Found]].
parts_size(Parts) -> lists:sum([length(L) || L <- tuple_to_list(Parts)]).
found_size(Found) -> lists:sum([parts_size(P) || P <- maps:values(Found)]).
found_modules() -> lists:usort(lists:append([maps:keys(F) || F <- log_get(found)])).

all_found() ->
    maps:from_list([{P, M} || Found <- log_get(found), {M, Parts} <- maps:to_list(Found),
                              Part <- tuple_to_list(Parts), P <- Part]).

module_of(P) ->
    lists:foldl(fun(Found, none) -> maps:fold(fun(M, Parts, none) ->
                                                  Part = element(erlang:phash2(P,
                                                      tuple_size(Parts)) + 1, Parts),
                                                  case lists:member(P, Part) of
                                                      true -> M; false -> none end;
                                                 (_, _, M) -> M end, none, Found);
                   (_, M) -> M end, none, log_get(found)).
