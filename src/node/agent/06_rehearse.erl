%% Rehearsal: conversions of new versions, run by their twins on copies of live states. Nothing in
%% the node changes.
%%
%% One process after the other is asked for its state: by a system message whose fun hands a copy to
%% a process of this agent and gives back what it got. The conversion runs in that process, which
%% has limits of time and heap; so one that never ends or eats memory harms nothing but itself. No
%% process is suspended. A process that does not read the message in time is busy: the fun then does
%% nothing when it is read.
%%
%% The node is at work meanwhile, and nothing here is urgent: all has low priority but for the
%% conversions, which have limits of time. What is computed for each state is kept small, for what a
%% rehearsal costs the node is mostly time of its processors: the fun is made once for many states,
%% and what is measured is counted, not listed, so that no heap grows with the number of processes.

%% ------------------------------------------------------------------------------------------------
%% The step

%% What: #{module, kind => server, statem, event, supervisor or special, extra,
%%         vsn => of the running version, which is asked for it otherwise,
%%         processes => [Pid] or all,
%%         ms => limit of a conversion, words => of its heap,
%%         wait => ms for a process to answer, most => words of its heap,
%%         at_most => processes, rate => of them a second, within => ms for all of them,
%%         keep => true: no conversion, states are what they were,
%%         by => {Mod, Fun} of the plan, in place of a conversion of the module; Mod has a twin,
%%         back => new or old: whose code converts downwards in a rollback,
%%         old_init => true: of a supervisor, the init/1 of the running version may be evaluated,
%%         seek => #{records => [{Tag, Size}], structs => [{Name, [Key]}]}: in tables and states,
%%         checks => [{Number, Text of a fun (Old, New), [{Variable, Value}], Named}]: of the plan;
%%         with Named a pair that no clause takes does not pass}
rehearse(Id, #{module := M} = Asked) ->
    Checks = [check_read(C) || C <- maps:get(checks, Asked, [])],
    Named = (with_twins(Asked, job(twins, [])))#{checks => Checks},
    What = case Asked of #{vsn := _} -> Named; _ -> Named#{vsn => loaded_vsn(M)} end,
    Pids = case What of
        #{processes := all} -> processes_of(M); #{processes := These} -> These end,
    Asks = case What of #{at_most := Most} -> lists:sublist(Pids, Most); _ -> Pids end,
    Now = now_ms(),
    Pace = {Now, case What of #{within := Ms} -> Now + Ms; _ -> infinity end,
            maps:get(rate, What, infinity)},
    None = (none_rehearsed(length(Asks), Checks))#{untried := length(Pids) - length(Asks)},
    at_low_priority(fun() ->
        Exec = self(),
        Keeper = spawned(fun() -> trials_keeper(monitor(process, Exec), none) end, []),
        try
            All = rehearse_each(Asks, 0, {Id, Keeper, Pace, Now}, What, None),
            (as_lists(All))#{asked_ns := asked_together(Id, Asks),
                             tables => try tables_of(Asks, What) catch _:_ -> [] end}
        after trier_ends(), Keeper ! done
        end
    end).

%% => rehearsed()
as_lists(#{us := Us, bytes := Bytes, new_bytes := New, children := Children} = All) ->
    List = fun(Counts) -> lists:sort(maps:to_list(Counts)) end,
    All#{us := List(Us), bytes := List(Bytes), new_bytes := List(New),
         children := in_order(Children)}.

%% Nothing is suspended while this is evaluated.
at_low_priority(Fun) ->
    Was = process_flag(priority, low),
    try Fun() after process_flag(priority, Was) end.

%% How often each time was measured: rounded to three digits, so that there are few of them, however
%% many processes there are.
counted(Us, Counts) ->
    Rounded = rounded(Us, 1),
    Counts#{Rounded => maps:get(Rounded, Counts, 0) + 1}.

rounded(Us, By) when Us < 1000 -> Us * By;
rounded(Us, By) -> rounded((Us + 5) div 10, By * 10).

%% The processes that try have no job.
with_twins(Asked, Twins) ->
    Named = Asked#{names => [N || #{name := N} <- Twins]},
    case Asked of
        #{keep := true} -> Named#{twin => none};
        #{by := {Mod, F}} -> Named#{by := {twin_of(Mod), F, Mod}, twin => none};
        #{module := M} -> Named#{twin => twin_of(M)}
    end.

%% All processes of the node are looked at once, for all modules that the steps ask about.
processes_of(M) ->
    Known = case get(rehearse_found) of
        #{M := _} = Found -> Found;
        _ ->
            All = [N || {_, {rehearse, #{module := N, processes := all}}} <- job(steps, [])],
            Found = processes_of_all(lists:usort([M | All])),
            put(rehearse_found, Found),
            Found
    end,
    put(rehearse_found, maps:remove(M, Known)),
    maps:get(M, Known).

%% By a process of its own: what it makes of all processes of the node is garbage that the executor
%% would carry along. It has room for that from the beginning, instead of copying it time and again.
processes_of_all(Ms) ->
    {Exec, Ref} = {self(), make_ref()},
    {Job, Log, Watchers} = {get(job), get(log), get(watchers)},
    Room = min(4000000, 30 * erlang:system_info(process_count)),
    {P, Mon} = spawned(fun() ->
                           [put(K, V) || {K, V} <- [{job, Job}, {log, Log}, {watchers, Watchers}]],
                           Want = maps:from_list([{M, 1000} || M <- Ms]),
                           {Found, _} = find(Want, [], brief),
                           Pids = fun(M) -> lists:sort(parts_pids(maps:get(M, Found, {}))) end,
                           Exec ! {Ref, maps:from_list([{M, Pids(M)} || M <- Ms])}
                       end, [monitor, {priority, low}, {min_heap_size, Room}]),
    receive
        {Ref, Pids} -> demonitor(Mon, [flush]), Pids;
        {'DOWN', Mon, process, P, Why} -> error(Why)
    end.

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
            Acc1 = rehearsed(P, rehearse_one(P, Keeper, What), Acc),
            rehearse_each(Ps, N + 1, {Id, Keeper, Pace, Told1}, What, Acc1)
    end.

%% => rehearsed()
none_rehearsed(N, Checks) ->
    #{processes => N, converted => 0, failed => 0, busy => 0, dead => 0, big => 0, untried => 0,
      unswitched => 0, asked_ns => 0, us => #{}, slowest => [],
      failures => [], shapes => #{}, held => [], inside => [], tables => [],
      bytes => #{}, new_bytes => #{}, largest => [], children => #{}, added => 0,
      down => #{same => 0, other => 0, failed => 0, unswitched => 0, others => [], failures => []},
      checks => [none_checked(C) || {C, _, _} <- Checks]}.

%% => state_checked()
none_checked(C) -> #{check => C, held => 0, failed => 0, other => 0}.

%% => rehearsal_failure()
rehearsed(P, {checked, Done, Verdict}, #{checks := Counts} = Acc) ->
    Counted = [case lists:keyfind(C, 1, Done) of
                   {_, How} -> maps:update_with(How, fun(N) -> N + 1 end, Count);
                   false -> Count
               end || #{check := C} = Count <- Counts],
    rehearsed(P, Verdict, Acc#{checks := Counted});
rehearsed(P, {converted, Found}, Acc) ->
    #{us := Us, shape := Shape, held := Held, inside := Inside} = Found,
    #{converted := N, us := All, shapes := Shapes, held := Helds, inside := Insides,
      slowest := Slowest, down := Down} = Acc,
    Counted = Shapes#{Shape => maps:get(Shape, Shapes, 0) + 1},
    sized(P, Found, counted_children(Found,
        Acc#{converted := N + 1, us := counted(Us, All), shapes := Counted,
             slowest := most(Us, P, Slowest), down := counted_down(P, Found, Down),
             held := lists:sublist(count_held(Held, Helds), 60),
             inside := lists:sublist(count_inside(Inside, Insides), 60)}));
rehearsed(P, {failed, Reason, Shape}, Acc) ->
    rehearsed_failed(#{pid => P, reason => text(Reason), shape => Shape}, Acc);
rehearsed(P, {unchecked, Check, Reason, Shape}, Acc) ->
    rehearsed_failed(#{pid => P, reason => text(Reason), shape => Shape, check => Check}, Acc);
rehearsed(_, Kind, Acc) -> maps:update_with(Kind, fun(N) -> N + 1 end, Acc).

rehearsed_failed(One, #{failed := N, failures := Named} = Acc) ->
    Some = case N < named() of true -> Named ++ [One]; false -> Named end,
    Acc#{failed := N + 1, failures := Some}.

most(N, _, [{Most, _}] = Known) when Most >= N -> Known;
most(N, P, _) -> [{N, P}].

%% Verdict: {converted, Found} | {failed, Reason, Shape} | unswitched | busy | dead | big |
%% {checked, [{Number, held, failed or other}], {converted, Found} or
%% {unchecked, Number, Reason, Shape}}
%% Found: #{us, shape, held, inside => of the new state, bytes => before, new_bytes => after,
%%          down => same, {other, Was, Is, Held}, {failed, Reason, Shape} or unswitched,
%%          children, added => of a supervisor}
rehearse_one(P, Keeper, #{wait := Wait, ms := Ms, words := Words, most := Most} = What) ->
    case process_info(P, total_heap_size) of
        undefined -> dead;
        {_, Size} when Size > Most -> big;
        _ ->
            {T, Mon, Ref} = trier(Keeper, What),
            Atoms = erlang:system_info(atom_count),
            T ! {Ref, try_it, P},
            case trial_begun(Ref, Mon, Wait + 1000, {T, Ms, Words, Atoms}) of
                {again, Verdict} -> Verdict;
                Verdict -> trier_ends(), Verdict
            end
    end.

%% The process that tries: the one of the trial before, as long as that has left nothing in it.
trier(Keeper, #{words := Words} = What) ->
    case get(trier) of
        undefined ->
            {Exec, Ref, DeadPid} = {self(), make_ref(), get(dead_pid)},
            Heap = #{size => Words, kill => true, error_logger => false},
            {T, Mon} = spawned(fun() -> trier_begins(Exec, Ref, DeadPid, What) end,
                               [monitor, {priority, low}, {max_heap_size, Heap}]),
            Keeper ! {trial, T},
            T ! {Ref, go},
            put(trier, {T, Mon, Ref}),
            {T, Mon, Ref};
        Known -> Known
    end.

trier_ends() ->
    case erase(trier) of
        {T, Mon, Ref} ->
            exit(T, kill),
            demonitor(Mon, [flush]),
            flush(Ref);
        undefined -> ok
    end.

flush(Ref) -> receive {Ref, _} -> flush(Ref) after 0 -> ok end.

trial_begun(Ref, Mon, Wait, {_, Ms, _, _} = Bounds) ->
    receive
        {Ref, {begun, Shape, Held}} ->
            Bounded = {Bounds, Held, none},
            trial_ended(Ref, Mon, 2, now_ms() + Ms, Bounded, Shape);
        {Ref, Verdict} -> Verdict;
        {'DOWN', Mon, process, _, killed} -> {failed, no_memory, unknown};
        {'DOWN', Mon, process, _, Why} -> {failed, no_args(Why), unknown}
    after Wait -> busy
    end.

%% The limit of a heap counts neither atoms, which are never freed, nor large binaries: one that
%% takes longer than most is looked at every few ms.
trial_ended(Ref, Mon, Next, Until, {{T, Ms, Words, Atoms}, Held, At} = Bounds, Shape) ->
    receive
        %% Each check has the time of a conversion, and so has the way back.
        {Ref, {checks, Check, Done}} ->
            Now = {{T, Ms, Words, Atoms}, Held, {Check, Done}},
            trial_ended(Ref, Mon, Next, now_ms() + Ms, Now, Shape);
        {Ref, {back, Done, Found}} ->
            Now = {{T, Ms, Words, Atoms}, Held, {back, Done, Found}},
            trial_ended(Ref, Mon, Next, now_ms() + Ms, Now, Shape);
        {Ref, Verdict} -> Verdict;
        {'DOWN', Mon, process, _, killed} -> trial_failed(At, no_memory, Shape);
        {'DOWN', Mon, process, _, Why} -> trial_failed(At, {exit, unvalued(Why)}, Shape)
    after Next ->
        Made = erlang:system_info(atom_count) - Atoms,
        Late = now_ms() >= Until,
        Large = erlang:memory(binary) > Words * 8 andalso held_by(T) - Held > Words * 8,
        if
            Made > 50000 -> trial_failed(At, {makes_atoms, Made}, Shape);
            Large -> trial_failed(At, no_memory, Shape);
            Late -> trial_failed(At, {takes_longer_than, Ms}, Shape);
            true -> trial_ended(Ref, Mon, 3, Until, Bounds, Shape)
        end
    end.

%% While it converts, on the way back, or in which check.
trial_failed(none, Reason, Shape) -> {failed, Reason, Shape};
trial_failed({back, Done, #{children := _} = Found}, _, _) -> {checked, Done, {converted, Found}};
trial_failed({back, Done, #{shape := New} = Found}, Reason, _) ->
    {checked, Done, {converted, Found#{down => {failed, Reason, New}}}};
trial_failed({Check, Done}, Reason, Shape) ->
    {checked, [{Check, failed} | Done], {unchecked, Check, Reason, Shape}}.

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
%% What one message to each costs

%% ns a process: by the workers, as in a window. To ask one process at a time says nothing of that:
%% then the schedulers sleep between two messages, and are woken for each. The messages are those of
%% a window that change nothing: a fun that gives back the state, and an empty change of debug
%% options. In four parts, of which the median counts: something else may happen on the node during
%% one. Without those that are busy: a window waits for them as well.
asked_together(Id, Pids) ->
    Was = process_flag(priority, normal),
    Some = lists:sublist(Pids, 1000),
    try
        Each = [asked_together(Id, Part, 3) || Part <- in_parts(Some, max(25, length(Some) div 4))],
        case lists:sort([Us / N || {N, Us} <- Each, N > 0]) of
            [] -> 0;
            Costs -> max(1, round(1000 * lists:nth((length(Costs) + 1) div 2, Costs)))
        end
    after process_flag(priority, Was) end.

in_parts(L, N) when length(L) < 2 * N -> [L];
in_parts(L, N) -> {One, More} = lists:split(N, L), [One | in_parts(More, N)].

%% {How many have answered, us in all}
asked_together(_, [], _) -> {0, 0};
asked_together(_, _, 0) -> {0, 0};
asked_together(Id, Pids, Tries) ->
    N = log_get(nworkers),
    Parts = [[P || P <- Pids, erlang:phash2(P, N) =:= I] || I <- lists:seq(0, N - 1)],
    Same = portable("fun(S) -> S end.", []),
    Op = {erase, Same, Same, get(dead_pid)},
    T = now_us(),
    case dispatch(make_ref(), Id, Op, list_to_tuple(Parts), length(Pids)) of
        {Dead, [], _} -> {length(Pids) - Dead, now_us() - T};
        {_, Slow, _} -> asked_together(Id, Pids -- Slow, Tries - 1)
    end.

%% ------------------------------------------------------------------------------------------------
%% The process that tries

trier_begins(Exec, Ref, DeadPid, What) ->
    ExecMon = monitor(process, Exec),
    receive {Ref, go} -> ok; {'DOWN', ExecMon, process, _, _} -> exit(normal) end,
    demonitor(ExecMon, [flush]),
    Fun = hands_over(Ref, What),
    trier(Exec, Ref, DeadPid, Fun, What, 200).

%% One process after the other, up to a number: {Ref, {again, Verdict}} says that the next may come.
trier(Exec, Ref, DeadPid, Fun, What, N) ->
    receive {Ref, try_it, P} -> ok end,
    case trial(Exec, Ref, P, DeadPid, Fun, What) of
        {again, _} = Again when N > 0 ->
            case as_new(What) of
                true -> Exec ! {Ref, Again}, trier(Exec, Ref, DeadPid, Fun, What, N - 1);
                false -> Exec ! {Ref, element(2, Again)}
            end;
        {again, Verdict} -> Exec ! {Ref, Verdict};
        Verdict -> Exec ! {Ref, Verdict}
    end.

%% The trial before has left nothing that the next could meet, and no heap that counts as its own. A
%% manager of events sends what all of its handlers have, late.
as_new(#{kind := event}) -> false;
as_new(#{words := Words}) ->
    [{_, Links}, {_, Monitors}, {_, Dict}, {_, Queue}, {_, Size}] =
        process_info(self(), [links, monitors, dictionary, message_queue_len, total_heap_size]),
    Links =:= [] andalso Monitors =:= [] andalso Dict =:= [] andalso Queue =:= 0
        andalso Size < Words div 100.

%% {again, Verdict} of what is over, whatever it came to.
trial(Exec, Ref, P, DeadPid, Fun, #{wait := Wait} = What) ->
    Mon = monitor(process, P),
    Message = {system, {DeadPid, Ref}, {replace_state, Fun}},
    P ! Message,
    %% Before the copy, which takes the longer the larger the state is.
    Left = receive
        {Ref, here} -> Wait;
        {'DOWN', Mon, process, _, _} -> 0
    after Wait -> 0
    end,
    receive
        {Ref, state, State} ->
            demonitor(Mon, [flush]),
            Exec ! {Ref, {begun, shape(State), held_by(self())}},
            process_flag(priority, normal),
            Verdict = tried(State, What#{reports_to => {Exec, Ref}}),
            process_flag(priority, low),
            {again, Verdict};
        {'DOWN', Mon, process, _, _} -> dead
    after Left -> case is_process_alive(P) of true -> busy; false -> dead end
    end.

%% It may be read when the agent has gone: evaluated text has no frame of its module. Whatever
%% happens in it, it gives back what it got. A manager of event handlers runs it for each. One that
%% is read too late finds that the process which would try has gone.
hands_over(Ref, What) ->
    Only = case What of #{kind := event, module := M} -> M; _ -> none end,
    portable("fun(S) -> "
             "(catch case erlang:is_process_alive(To) of "
             "     true when Only =:= none -> To ! {Ref, here}, To ! {Ref, state, S}; "
             "     true -> case S of "
             "                 {Only, _, _} -> To ! {Ref, here}, To ! {Ref, state, S}; "
             "                 _ -> other "
             "             end; "
             "     false -> late end), "
             "S end.",
             [{'To', self()}, {'Ref', Ref}, {'Only', Only}]).

tried(State, #{kind := Kind, keep := true} = What) ->
    {converted, found(0, State, state_of(Kind, State), What)};
tried(State, #{kind := Kind, twin := Twin, vsn := Vsn, extra := Extra, module := M} = What) ->
    T = now_us(),
    Is = case Kind of special -> {State, M}; _ -> State end,
    try tried(Kind, Twin, Is, Vsn, Extra, What) of
        {specified, Specs} ->
            Found = #{us => now_us() - T, shape => specified, held => none, inside => []},
            {converted, children_compared(State, Specs, What, Found)};
        {ok, New} ->
            Found = found(now_us() - T, State, New, What),
            checked(maps:get(checks, What), {State, New}, What, [], Found);
        {other, Other} -> {failed, {returns, shape(Other)}, shape(State)}
    catch
        Class:Reason:Stack ->
            case unswitched(Stack, What) of
                true -> unswitched;
                false ->
                    Why = {Class, unvalued(Reason), place(no_operator(Reason, Stack))},
                    {failed, Why, shape(State)}
            end
    end.

%% What a conversion gets of a state, and gives.
state_of(event, {_, _, S}) -> S;
state_of(_, S) -> S.

found(Us, State, New, #{kind := Kind} = What) ->
    {Held, Inside} = shapes(Kind, State, New, What),
    Found = #{us => Us, shape => shape(New), held => Held, inside => Inside,
              bytes => bytes(state_of(Kind, State))},
    case What of
        #{keep := true} -> Found;
        _ -> Found#{new_bytes => bytes(New)}
    end.

%% The plan's checks, in their order, up to the first that does not hold.
checked([], Pair, What, Done, Found) -> {checked, Done, {converted, back(Pair, What, Done, Found)}};
checked([{Check, Fun, Named} | More], {State, New} = Pair, What, Done, Found) ->
    #{reports_to := {Exec, Ref}, kind := Kind} = What,
    Exec ! {Ref, {checks, Check, Done}},
    Old = state_of(Kind, State),
    case check_holds(Fun, Old, New) of
        held -> checked(More, Pair, What, [{Check, held} | Done], Found);
        no_clause when not Named -> checked(More, Pair, What, [{Check, other} | Done], Found);
        Why -> {checked, [{Check, failed} | Done], {unchecked, Check, Why, shape(Old)}}
    end.

check_holds(unreadable, _, _) -> unreadable;
check_holds(Fun, Old, New) ->
    try Fun(Old, New) of
        true -> held;
        false -> false;
        '$updo_other' -> no_clause;
        Other -> {returns, shape(Other)}
    catch
        Class:Reason:Stack ->
            Place = case no_operator(Reason, Stack) of
                [{erl_eval, _, _, _} | _] -> unknown;
                Frames -> place(Frames)
            end,
            {Class, unvalued(Reason), Place}
    end.

%% What a rollback would do with the new state, as it does it: of a module that is converted before
%% the old code is there again the new version, else the one that runs now.
back({State, New}, #{kind := Kind, module := M, back := By, twin := Twin} = What, Done, Found) ->
    #{vsn := Vsn, extra := Extra, reports_to := {Exec, Ref}} = What,
    Exec ! {Ref, {back, Done, Found}},
    Code = case By of new -> Twin; old -> M end,
    Is = case Kind of event -> {M, none, New}; special -> {New, M}; _ -> New end,
    Old = state_of(Kind, State),
    Down = try tried(Kind, Code, Is, {down, Vsn}, Extra, What) of
        {ok, Back} when Back =:= Old -> same;
        {ok, Back} ->
            New1 = case Kind of event -> Is; _ -> New end,
            {other, shape(Old), shape(Back), try held(Kind, New1, Back) catch _:_ -> none end};
        {other, Other} -> {failed, {returns, shape(Other)}, shape(New)}
    catch
        Class:Reason:Stack ->
            case By =:= new andalso unswitched(Stack, What) of
                true -> unswitched;
                false ->
                    Why = {Class, unvalued(Reason), place(no_operator(Reason, Stack))},
                    {failed, Why, shape(New)}
            end
    end,
    Found#{down => Down};
back(_, _, _, Found) -> Found.

%% Text of an older or newer language than this node's is not readable. What the language does not
%% know as built in is a function of `erlang`.
check_read({Check, Text, Bindings, Named}) ->
    Fun = try
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
        {ok, Exprs} = erl_parse:parse_exprs(Tokens),
        Bs = lists:foldl(fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end,
                         erl_eval:new_bindings(), Bindings),
        Other = {value, fun(F, As) -> apply(erlang, F, As) end},
        {value, Read, _} = erl_eval:exprs(Exprs, Bs, Other),
        Read
    catch _:_ -> unreadable
    end,
    {Check, Fun, Named}.

%% By a name that is data (`struct!(Mod, Fields)` in Elixir) a conversion reaches the running
%% version of a module that changes, or a new one that is not there yet. What is raised there says
%% nothing of the time after the switch.
unswitched(Stack, #{names := Names}) ->
    lists:any(fun(Frame) -> lists:member(element(1, Frame), Names) end, Stack).

%% A state that cannot be described is none that cannot be converted.
shapes(Kind, State, New, What) ->
    try {held(Kind, State, New), inside(New, What)} catch _:_ -> {none, []} end.

%% A function of the plan in place of code_change; a state machine gives it its state and data.
tried(Kind, _, Is, _, _, #{by := {By, F, _}}) ->
    case {Kind, Is} of
        {event, {_, _, S}} -> {ok, By:F(S)};
        {special, {S, _}} -> {ok, By:F(S)};
        {statem, S} ->
            case By:F(S) of {_, _} = New -> {ok, New}; Other -> {other, Other} end;
        {_, S} -> {ok, By:F(S)}
    end;
%% gen_server, gen_statem and sys take what is thrown for what is returned, gen_event does not.
tried(server, Twin, S, Vsn, Extra, _) ->
    try taken_as(server, call_twin(Twin, code_change, [Vsn, S, Extra]))
    catch throw:{ok, _} = Thrown -> Thrown end;
tried(event, Twin, {_, _, S}, Vsn, Extra, _) ->
    taken_as(event, call_twin(Twin, code_change, [Vsn, S, Extra]));
tried(statem, Twin, {Name, Data}, Vsn, Extra, _) ->
    try taken_as(statem, call_twin(Twin, code_change, [Vsn, Name, Data, Extra]))
    catch throw:{ok, _, _} = Thrown -> taken_as(statem, Thrown) end;
%% A special process without system_replace_state/2 gives all that it keeps.
tried(special, Twin, {Misc, M}, Vsn, Extra, _) ->
    try taken_as(special, call_twin(Twin, system_code_change, [Misc, M, Vsn, Extra]))
    catch throw:{ok, _} = Thrown -> Thrown end;
%% Its conversion is the new init/1, with what it was started with: the last element of its state.
tried(supervisor, Twin, S, _, _, _) ->
    Args = case S of #{args := Known} -> Known; _ -> element(tuple_size(S), S) end,
    case call_twin(Twin, init, [Args]) of
        ignore -> {specified, none};
        {ok, Flags} when is_map(Flags), is_map(S) -> {specified, none};
        {ok, {Flags, Specs}} ->
            case {strategy_of(Flags), supervisor:check_childspecs(Specs)} of
                {none, _} -> {other, {no_supervisor_flags, Flags}};
                {simple_one_for_one, ok} when length(Specs) =/= 1 ->
                    {other, {no_child_specifications, Specs}};
                {simple_one_for_one, ok} -> {specified, none};
                {_, ok} -> {specified, Specs};
                _ -> {other, {no_child_specifications, Specs}}
            end;
        Other -> {other, Other}
    end.

taken_as(statem, {ok, Name, Data}) -> {ok, {Name, Data}};
taken_as(statem, Other) -> {other, Other};
taken_as(_, {ok, New}) -> {ok, New};
taken_as(_, Other) -> {other, Other}.

%% As supervisor:set_flags/2 takes them; `none` of what it refuses.
strategy_of({Strategy, Intensity, Period}) ->
    strategy_of(#{strategy => Strategy, intensity => Intensity, period => Period});
strategy_of(Flags) when is_map(Flags) ->
    Strategy = maps:get(strategy, Flags, one_for_one),
    Intensity = maps:get(intensity, Flags, 1),
    Period = maps:get(period, Flags, 5),
    Known = [one_for_one, one_for_all, rest_for_one, simple_one_for_one],
    case lists:member(Strategy, Known) andalso is_integer(Intensity) andalso Intensity >= 0
        andalso is_integer(Period) andalso Period > 0 of
        true -> Strategy;
        false -> none
    end;
strategy_of(_) -> none.

%% Where it was raised.
place([{_, _, _, _} = Frame | _]) ->
    case own_frame(Frame) of
        {M, F, A, _} when is_list(A) -> {M, F, length(A)};
        {M, F, A, _} -> {M, F, A}
    end;
place(_) -> unknown.
