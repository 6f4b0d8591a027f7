%% Rehearsal: conversions of new versions, run by their twins on copies of live states. Nothing in
%% the node changes.
%%
%% One process after the other is asked for its state: by a system message whose fun hands a copy to
%% a process of this agent and gives back what it got. The conversion runs in that process, which
%% has limits of time and heap; so one that never ends or eats memory harms nothing but itself. No
%% process is suspended. A process that does not read the message in time is busy: the fun then does
%% nothing when it is read.

%% ------------------------------------------------------------------------------------------------
%% The step

%% What: #{module, twin, kind => server, statem, event, supervisor or special, extra,
%%         vsn => of the running version, which is asked for it otherwise,
%%         processes => [Pid] or all,
%%         ms => limit of a conversion, words => of its heap,
%%         wait => ms for a process to answer, most => words of its heap,
%%         at_most => processes, rate => of them a second, within => ms for all of them,
%%         keep => true: no conversion, states are what they were,
%%         seek => #{records => [{Tag, Size}], structs => [{Name, [Key]}]}: in tables and states}
rehearse(Id, #{module := M} = Asked) ->
    Named = Asked#{names => [N || #{name := N} <- job(twins, [])]},
    What = case Asked of #{vsn := _} -> Named; _ -> Named#{vsn => loaded_vsn(M)} end,
    Pids = case What of
        #{processes := all} -> processes_of(M); #{processes := These} -> These end,
    Exec = self(),
    Keeper = spawned(fun() -> trials_keeper(monitor(process, Exec), none) end, []),
    Asks = case What of #{at_most := Most} -> lists:sublist(Pids, Most); _ -> Pids end,
    Now = now_ms(),
    Pace = {Now, case What of #{within := Ms} -> Now + Ms; _ -> infinity end,
            maps:get(rate, What, infinity)},
    None = (none_rehearsed(length(Asks)))#{untried := length(Pids) - length(Asks)},
    All = try rehearse_each(Asks, 0, {Id, Keeper, Pace, Now}, What, None) after Keeper ! done end,
    #{asked_us := Times} = All,
    All#{asked_us := median(Times), tables => try tables_of(Asks, What) catch _:_ -> [] end}.

median([]) -> 0;
median(Times) -> lists:nth((length(Times) + 1) div 2, lists:sort(Times)).

processes_of(M) ->
    {Found, _} = find(#{M => 1000}, [], brief),
    lists:sort(parts_pids(maps:get(M, Found, {}))).

rehearse_each([], _, _, _, Acc) -> Acc;
rehearse_each([P | Ps] = All, N, {Id, Keeper, {Began, Until, Rate} = Pace, Told}, What, Acc) ->
    check_guardian(),
    receive {updo_watchers, Ws} -> put(watchers, Ws) after 0 -> ok end,
    Now = case get(watchers) of
        %% The client has gone: what is found would be lost, and the lock is wanted by others.
        [] -> infinity;
        _ -> now_ms()
    end,
    if
        Now >= Until ->
            %% `infinity` is greater than any number.
            #{processes := Total, untried := Untried} = Acc,
            Acc#{processes := Total - length(All), untried := Untried + length(All)};
        is_integer(Rate), N * 1000 > (Now - Began + 1) * Rate ->
            receive after 1 -> ok end,
            rehearse_each(All, N, {Id, Keeper, Pace, Told}, What, Acc);
        true ->
            Told1 = case Now - Told >= 1000 of
                true -> event({step_progress, Id, N, N + length(All)}), Now;
                false -> Told
            end,
            Acc1 = case rehearse_one(P, Keeper, What) of
                {asked, Us, Verdict} -> rehearsed(P, Verdict, asked(Us, Acc));
                Verdict -> rehearsed(P, Verdict, Acc)
            end,
            rehearse_each(Ps, N + 1, {Id, Keeper, Pace, Told1}, What, Acc1)
    end.

%% => rehearsed()
none_rehearsed(N) ->
    #{processes => N, converted => 0, failed => 0, busy => 0, dead => 0, big => 0, untried => 0,
      unswitched => 0, asked_us => [], us => [], failures => [], shapes => #{}, held => [],
      inside => [], tables => []}.

asked(Us, #{asked_us := All} = Acc) -> Acc#{asked_us := [Us | All]}.

%% => rehearsal_failure()
rehearsed(P, {converted, Us, Shape, Held, Inside}, Acc) ->
    #{converted := N, us := All, shapes := Shapes, held := Helds, inside := Insides} = Acc,
    Counted = Shapes#{Shape => maps:get(Shape, Shapes, 0) + 1},
    Acc#{converted := N + 1, us := [{Us, P} | All], shapes := Counted,
         held := lists:sublist(count_held(Held, Helds), 60),
         inside := lists:sublist(count_inside(Inside, Insides), 60)};
rehearsed(P, {failed, Reason, Shape}, #{failed := N, failures := Named} = Acc) ->
    One = #{pid => P, reason => text(Reason), shape => Shape},
    Some = case N < named() of true -> Named ++ [One]; false -> Named end,
    Acc#{failed := N + 1, failures := Some};
rehearsed(_, Kind, Acc) -> maps:update_with(Kind, fun(N) -> N + 1 end, Acc).

%% {asked, Us, Verdict} | Verdict; Us: until it had given its state.
%% Verdict: {converted, Us, Shape, Held, Inside} | {failed, Reason, Shape} | unswitched | busy |
%% dead | big
rehearse_one(P, Keeper, #{words := Words, wait := Wait, ms := Ms, most := Most} = What) ->
    case process_info(P, total_heap_size) of
        undefined -> dead;
        {_, Size} when Size > Most -> big;
        _ ->
            {Exec, Ref, Nobody} = {self(), make_ref(), get(nobody)},
            Heap = #{size => Words, kill => true, error_logger => false},
            {T, Mon} = spawned(fun() -> trial(Exec, Ref, P, Nobody, What) end,
                               [monitor, {max_heap_size, Heap}]),
            Keeper ! {trial, T},
            Atoms = erlang:system_info(atom_count),
            T ! {Ref, go},
            Verdict = trial_begun(Ref, Mon, Wait + 1000, {T, Ms, Words, Atoms}),
            exit(T, kill),
            demonitor(Mon, [flush]),
            receive {Ref, _} -> ok after 0 -> ok end,
            Verdict
    end.

trial_begun(Ref, Mon, Wait, {_, Ms, _, _} = Bounds) ->
    receive
        {Ref, {begun, Us, Shape, Held}} ->
            {asked, Us, trial_ended(Ref, Mon, 2, now_ms() + Ms, {Bounds, Held}, Shape)};
        {Ref, Verdict} -> Verdict;
        {'DOWN', Mon, process, _, killed} -> {failed, no_memory, unknown};
        {'DOWN', Mon, process, _, Why} -> {failed, no_args(Why), unknown}
    after Wait -> busy
    end.

%% The limit of a heap counts neither atoms, which are never freed, nor large binaries: one that
%% takes longer than most is looked at every few ms.
trial_ended(Ref, Mon, Next, Until, {{T, Ms, Words, Atoms}, Held} = Bounds, Shape) ->
    receive
        {Ref, Verdict} -> Verdict;
        {'DOWN', Mon, process, _, killed} -> {failed, no_memory, Shape};
        {'DOWN', Mon, process, _, Why} -> {failed, {exit, unvalued(Why)}, Shape}
    after Next ->
        Made = erlang:system_info(atom_count) - Atoms,
        Late = now_ms() >= Until,
        Large = erlang:memory(binary) > Words * 8 andalso held_by(T) - Held > Words * 8,
        if
            Made > 50000 -> {failed, {makes_atoms, Made}, Shape};
            Large -> {failed, no_memory, Shape};
            Late -> {failed, {takes_longer_than, Ms}, Shape};
            true -> trial_ended(Ref, Mon, 3, Until, Bounds, Shape)
        end
    end.

%% Bytes of the large binaries that a process refers to.
held_by(T) ->
    case process_info(T, binary) of
        {binary, All} -> lists:sum([Size || {_, Size, _} <- All]);
        undefined -> 0
    end.

%% A conversion that never ends does not outlive the process that would have ended it.
trials_keeper(Mon, Trial) ->
    receive
        {trial, T} -> trials_keeper(Mon, T);
        {'DOWN', Mon, process, _, _} -> is_pid(Trial) andalso exit(Trial, kill);
        done -> ok
    end.

%% ------------------------------------------------------------------------------------------------
%% The process that tries

trial(Exec, Ref, P, Nobody, #{wait := Wait} = What) ->
    ExecMon = monitor(process, Exec),
    receive {Ref, go} -> ok; {'DOWN', ExecMon, process, _, _} -> exit(normal) end,
    demonitor(ExecMon, [flush]),
    Mon = monitor(process, P),
    Message = {system, {Nobody, make_ref()}, {replace_state, hands_over(Ref, Wait, What)}},
    T = now_us(),
    P ! Message,
    %% Before the copy, which takes the longer the larger the state is.
    Us = receive
        {Ref, here} -> max(1, now_us() - T);
        {'DOWN', Mon, process, _, _} -> 0
    after Wait -> 0
    end,
    Left = case Us of 0 -> 0; _ -> Wait end,
    receive
        {Ref, state, State} ->
            Exec ! {Ref, {begun, Us, shape(State), held_by(self())}},
            Exec ! {Ref, tried(State, What)};
        {'DOWN', Mon, process, _, _} -> Exec ! {Ref, dead}
    after Left -> Exec ! {Ref, case is_process_alive(P) of true -> busy; false -> dead end}
    end.

%% It may be read when the agent has gone: evaluated text has no frame of its module. Whatever
%% happens in it, it gives back what it got. A manager of event handlers runs it for each.
hands_over(Ref, Wait, What) ->
    Only = case What of #{kind := event, module := M} -> M; _ -> none end,
    portable("fun(S) -> "
             "(catch case erlang:monotonic_time(millisecond) < Until "
             "     andalso erlang:is_process_alive(To) of "
             "     true when Only =:= none -> To ! {Ref, here}, To ! {Ref, state, S}; "
             "     true -> case S of "
             "                 {Only, _, _} -> To ! {Ref, here}, To ! {Ref, state, S}; "
             "                 _ -> other "
             "             end; "
             "     false -> late end), "
             "S end.",
             [{'To', self()}, {'Ref', Ref}, {'Until', now_ms() + Wait}, {'Only', Only}]).

tried(State, #{kind := Kind, keep := true} = What) ->
    New = case {Kind, State} of {event, {_, _, S}} -> S; _ -> State end,
    {Held, Inside} = shapes(Kind, State, New, What),
    {converted, 0, shape(New), Held, Inside};
tried(State, #{kind := Kind, twin := Twin, vsn := Vsn, extra := Extra, module := M} = What) ->
    T = now_us(),
    Is = case Kind of special -> {State, M}; _ -> State end,
    try tried(Kind, Twin, Is, Vsn, Extra) of
        specified -> {converted, now_us() - T, specified, none, []};
        {ok, New} when Kind =/= supervisor ->
            Us = now_us() - T,
            {Held, Inside} = shapes(Kind, State, New, What),
            {converted, Us, shape(New), Held, Inside};
        Other -> {failed, {returns, shape(Other)}, shape(State)}
    catch
        Class:Reason:Stack ->
            case unswitched(Stack, What) of
                true -> unswitched;
                false ->
                    Why = {Class, unvalued(Reason), place(Stack, Twin, M)},
                    {failed, Why, shape(State)}
            end
    end.

%% By a name that is data (`struct!(Mod, Fields)` in Elixir) a conversion reaches the running
%% version of a module that changes, or a new one that is not there yet. What is raised there says
%% nothing of the time after the switch.
unswitched(Stack, #{names := Names}) ->
    lists:any(fun(Frame) -> lists:member(element(1, Frame), Names) end, Stack).

%% A state that cannot be described is none that cannot be converted.
shapes(Kind, State, New, What) ->
    try {held(Kind, State, New), inside(New, What)} catch _:_ -> {none, []} end.

tried(server, Twin, S, Vsn, Extra) -> Twin:code_change(Vsn, S, Extra);
tried(event, Twin, {_, _, S}, Vsn, Extra) -> Twin:code_change(Vsn, S, Extra);
tried(statem, Twin, {Name, Data}, Vsn, Extra) ->
    case Twin:code_change(Vsn, Name, Data, Extra) of
        {ok, NewName, NewData} -> {ok, {NewName, NewData}};
        Other -> Other
    end;
%% A special process without system_replace_state/2 gives all that it keeps.
tried(special, Twin, {Misc, M}, Vsn, Extra) -> Twin:system_code_change(Misc, M, Vsn, Extra);
%% Its conversion is the new init/1, with what it was started with: the last element of its state.
tried(supervisor, Twin, S, _, _) ->
    Args = case S of #{args := Known} -> Known; _ -> element(tuple_size(S), S) end,
    case Twin:init(Args) of
        ignore -> specified;
        {ok, Flags} when is_map(Flags) -> specified;
        {ok, {_, Specs}} ->
            case supervisor:check_childspecs(Specs) of
                ok -> specified;
                _ -> {no_child_specifications, Specs}
            end;
        Other -> Other
    end.

%% Where it was raised; the twin goes by the name of its module.
place([{Twin, F, A, _} | _], Twin, M) -> place([{M, F, A, []}], none, M);
place([{M, F, A, _} | _], _, _) when is_list(A) -> {M, F, length(A)};
place([{M, F, A, _} | _], _, _) -> {M, F, A};
place(_, _, _) -> unknown.
