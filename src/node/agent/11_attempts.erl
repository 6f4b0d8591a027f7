%% The pause budget: how long processes stay suspended because others do not answer their
%% suspension. When it is used up all of them are resumed, and the busy ones alone are waited for;
%% as soon as these are suspended, everything is suspended anew. So a busy process costs the others
%% one budget, and not all of the timeout.
%%
%% The request of a busy process stays in its message queue, with no resume behind it: its answer
%% says that the process is suspended now, and begins the next attempt. It is held for one budget at
%% most. What this executor waits for is the map Slow, #{Pid => Ref of the request}; an answer with
%% another reference belongs to a request that is over.
%%
%% `take/6` hands the requests of one rank to the workers.

%% -------------------------------------------------------------------------------------------------
%% Attempts

%% First suspends, and throws {updo_postponed, Slow, Named} when the budget is used up; Again(Began)
%% does the same with all processes of the window suspended anew, where Began is the ms when the
%% first attempt began. Where the window cannot be left for a while, there is no budget.
within_budget(Id, First, Again) ->
    case job(budget, budget()) of
        Ms when is_integer(Ms) ->
            case may_postpone(Id) of
                true ->
                    put(began, now_ms()),
                    attempt(Id, First, Again, #{budget => Ms, attempts => 1, busy => [],
                                                reported => none});
                false -> {First(), 1}
            end;
        _ -> {First(), 1}
    end.

%% Only while this window has suspended and done nothing else: what came in between relies on it.
may_postpone(Id) ->
    #{wdone := Done, switching := S, on_load := O, converting := C} = get(log),
    Before = lists:takewhile(fun({I, _}) -> I =/= Id end, job(steps, [])),
    Open = lists:dropwhile(fun({I, {suspend, _}}) -> not lists:member(I, Done); (_) -> true end,
                           Before),
    S =:= [] andalso O =:= [] andalso C =:= [] andalso lists:all(fun({_, {suspend, _}}) -> true;
        (_) -> false end, Open).

attempt(Id, Run, Again, #{budget := Ms, attempts := N} = S) ->
    put(waiting, {Ms, 0, idle}),
    Result = try {done, Run()} catch throw:{updo_postponed, Slow, Named} ->
        {postponed, Slow, Named} after erase(waiting) end,
    case Result of
        {done, Info} -> {Info, N};
        {postponed, Busy, Which} ->
            S1 = gather(Id, Busy, #{}, #{}, postpone(Id, Busy, Which, S)),
            note_left(S1),
            attempt(Id, fun() -> Again(maps:get(began, S1)) end, Again, S1#{attempts := N + 1})
    end.

%% Everything runs again, except what has not answered: its request stays. Named: the processes it
%% was postponed for.
postpone(Id, Slow, Named, #{attempts := N, busy := Busy} = S) ->
    early_over(),
    {Began, Reported} = {get(began), reported_at(Id)},
    Us = paused(),
    {Resumed, Unsure} = resume_without(maps:keys(Slow)),
    release(),
    spawn_watch_off(),
    log({set, called_off, log_get(called_off) + 1}),
    put(doing, {Id, 0, found_total(), Began, Reported}),
    report_postponed(Id, Named, {N, Us, Resumed},
                   S#{began => Began, busy := lists:usort(maps:keys(Slow) ++ Busy),
                      unsure => Unsure,
                      again => #{}, rest => now_ms() + Us div 1000}).

%% The first one, and later ones once a second.
report_postponed(Id, Slow, {N, Us, Resumed}, #{reported := Reported, began := Began} = S) ->
    case now_ms() of
        Now when Reported =:= none; Now - Reported >= 1000 ->
            event({suspend_postponed, Id, #{attempt => N, us => Us, processes => Resumed,
                                            waiting => map_size(Slow),
                                            busy => describe_slow(Slow, Began, Now)}}),
            S#{reported := Now};
        _ -> S
    end.

%% us since the first process of this attempt was suspended, which ends here. The window goes on in
%% the next one.
paused() ->
    case log_get(t0) of
        undefined -> 0;
        T0 ->
            Us = now_us() - T0,
            log({set, stood, Us + log_get(stood)}),
            log({set, t0, undefined}),
            Us
    end.

%% {number, [Pid that has not confirmed]}. A process that was suspended before the run stays so.
resume_without(Pids) ->
    Without = maps:from_list([{P, true} || P <- Pids ++ log_get(left)]),
    Parts = list_to_tuple([[P || P <- lists:usort(Part), not is_map_key(P, Without)]
                           || Part <- tuple_to_list(all_parts())]),
    {_, Slow, _} = dispatch(make_ref(), resume, resume, Parts, parts_size(Parts)),
    {parts_size(Parts), Slow}.

%% All that this window has found: the parts of all modules together, and by module.
all_parts() ->
    case maps:values(found_together()) of
        [] -> parts([]);
        All -> merge_parts(All)
    end.

found_together() ->
    lists:foldl(fun(Found, Acc) ->
                    maps:fold(fun(M, Parts, A) ->
                                  A#{M => case A of #{M := Others} -> merge_parts([Parts, Others]);
                                      _ -> Parts end}
                              end, Acc, Found)
                end, #{}, log_get(found)).

found_total() -> lists:sum([found_size(F) || F <- log_get(found)]).

%% The ranks of all suspensions of this window, up to this step.
window_order(Id) ->
    Done = log_get(wdone),
    [[M || {M, _} <- Rank] || {I, {suspend, Ranks}} <- job(steps, []),
     I =:= Id orelse lists:member(I, Done), Rank <- Ranks].

%% -------------------------------------------------------------------------------------------------
%% Waiting for the busy ones

%% Slow: not answered yet. Held: #{Pid => ms when it answered}: suspended, waiting for the others of
%% the busy ones. LetGo as in wait_suspended/3. The others of the busy ones are asked again when the
%% first one answers, and each of them has had as much time to run as it was held before; so has
%% everything else before it is suspended anew (`rest`).
gather(Id, Slow, Held, LetGo, S) ->
    tell_slow(Slow, get(doing)),
    Now = now_ms(),
    {Asked, Next} = ask_again(Now, Slow, Held, LetGo, S),
    Slow1 = maps:merge(Slow, Asked),
    Expires = maps:fold(fun(_, Since, Min) -> min(Since + maps:get(budget, S), Min) end,
                        Now + patience(), Held),
    if
        map_size(Slow1) =:= 0, Next =:= none, map_size(LetGo) =:= 0 ->
            case maps:get(rest, S) - Now of
                Rest when Rest > 0 -> late_within(Rest), gather(Id, Slow1, Held, LetGo, S);
                _ -> S
            end;
        Expires =< Now -> gather(Id, Slow1, #{}, #{}, not_together(Now, Held, S));
        true ->
            Wait = min(Expires, case Next of none -> Expires; _ -> Next end) - Now,
            case late_within(max(1, min(Wait, patience()))) of
                {late, P, Ref} when map_get(P, Slow1) =:= Ref ->
                    map_size(Held) =:= 0 andalso log_get(t0) =:= undefined
                        andalso log({set, t0, now_us()}),
                    {Back, LetGo1} = back_from([P], LetGo),
                    Again = maps:from_list([{Q, request(Q)} || Q <- Back]),
                    gather(Id, maps:merge(maps:remove(P, Slow1), Again), Held#{P => now_ms()},
                           LetGo1, S);
                {late, _, _} -> gather(Id, Slow1, Held, LetGo, S);
                quiet -> gather_quiet(Id, Slow1, Held, LetGo, S)
            end
    end.

gather_quiet(Id, Slow, Held, LetGo, #{busy := Busy, began := Began} = S) ->
    Alive = [P || P <- Busy, is_process_alive(P)],
    Slow1 = maps:with(Alive, Slow),
    late_ones(Slow1, Began) =:= [] orelse note_left(S),
    ask_others(maps:keys(Slow1)),
    over_time(Slow1, LetGo, Began),
    {Back, LetGo1} = back_from(maps:values(LetGo) -- Alive, LetGo),
    Slow2 = maps:merge(Slow1, maps:from_list([{Q, request(Q)} || Q <- Back])),
    Held1 = maps:with(Alive, Held),
    IsHeld = fun(P) -> is_map_key(P, Held1) end,
    LetGo2 = lists:foldl(fun(P, Acc) -> let_go(P, IsHeld, Acc) end, LetGo1,
                         lists:sublist(maps:keys(Slow2), 100)),
    gather(Id, Slow2, maps:without(maps:keys(LetGo2), Held1), LetGo2, S#{busy := Alive}).

%% {#{Pid => Ref} asked now, the time when the next of the others may be asked | none}
ask_again(Now, Slow, Held, LetGo, #{busy := Busy, again := Again}) ->
    case [P || P <- Busy, not is_map_key(P, Slow), not is_map_key(P, Held),
          not is_map_key(P, LetGo)] of
        [] -> {#{}, none};
        %% Nothing is held: the others run until the first one answers.
        _ when map_size(Held) =:= 0, map_size(Slow) > 0 -> {#{}, Now + patience()};
        Others ->
            {Ready, Later} = lists:partition(fun(P) -> maps:get(P, Again, 0) =< Now end, Others),
            {maps:from_list([{P, request(P)} || P <- Ready]),
             case Later of [] -> none; _ -> lists:min([maps:get(P, Again) || P <- Later]) end}
    end.

%% The budget of those that are held is used up before the others are there.
not_together(Now, Held, #{again := Again} = S) ->
    paused(),
    maps:fold(fun(P, _, _) -> worker_of(P) ! {cast, resume, P} end, ok, Held),
    S#{again := maps:merge(Again, maps:map(fun(_, Since) -> 2 * Now - Since end, Held))}.

request(P) ->
    early_over(),
    Ref = make_ref(),
    worker_of(P) ! {again, Ref, suspend, P},
    Ref.

%% {those that were let go for one of these, the others}
back_from(Pids, LetGo) ->
    Mine = [Q || {Q, For} <- maps:to_list(LetGo), lists:member(For, Pids)],
    {Mine, maps:without(Mine, LetGo)}.

%% Something else may have suspended processes while they were running: these are not the run's to
%% resume.
note_left(#{busy := Busy, unsure := Unsure}) ->
    Mine = maps:from_list([{P, true} || P <- Busy ++ Unsure ++ log_get(left)]),
    case [P || P <- lists:append(tuple_to_list(all_parts())), not is_map_key(P, Mine),
          in_suspend_loop(P, 5) =:= true] of
        [] -> ok;
        More -> log({set, left, lists:usort(More ++ log_get(left))})
    end.

%% -------------------------------------------------------------------------------------------------
%% The time that is waited in an attempt

%% It runs while one and the same process is waited for, and not while many processes are suspended
%% one after the other.
clock_starts(Since) ->
    case get(waiting) of
        {Ms, Spent, idle} -> put(waiting, {Ms, Spent, Since});
        _ -> ok
    end.

clock_stops() ->
    case get(waiting) of
        {Ms, Spent, Since} when is_integer(Since) ->
            put(waiting, {Ms, Spent + now_ms() - Since, idle});
        _ -> ok
    end.

%% While others are being suspended only the oldest of the requests counts.
clock_at(Since) ->
    case get(waiting) of
        {Ms, Spent, _} -> put(waiting, {Ms, Spent, Since});
        _ -> ok
    end.

%% ms of the budget that are left.
budget_left() ->
    case get(waiting) of
        {Ms, Spent, Since} when is_integer(Since) -> max(0, Ms - Spent - (now_ms() - Since));
        _ -> infinity
    end.

%% What the plan has given as `budget` limits the whole time until the switch, too: whatever takes
%% it up, the window is called off as long as nothing is switched. ms that are left.
pause_left() ->
    case {job(pause, infinity), get(log)} of
        {Ms, #{t0 := T0, switching := [], on_load := [], way := there}}
            when is_integer(Ms), is_integer(T0) -> max(0, Ms - (now_us() - T0) div 1000);
        _ -> infinity
    end.

within_pause() ->
    case pause_left() of
        0 -> fail({over_budget, over_budget(now_us() - log_get(t0), job(pause, 0))});
        _ -> ok
    end.

%% => over_budget()
over_budget(Us, Ms) -> #{us => Us, budget => Ms}.

reported_at(Id) -> case get(doing) of {Id, _, _, _, Reported} -> Reported; _ -> now_ms() end.

%% For questions that are asked while processes are suspended.
at_most(Ms) ->
    case {get(waiting), log_get(t0)} of
        {{Budget, _, _}, T0} when T0 =/= undefined -> min(Ms, Budget);
        _ -> Ms
    end.

%% Suspends the processes of all workers. Op: `take`, or with what is computed behind it (24).
%% {dead, #{Pid => Ref} that have not answered, [{Pid, Why}],
%% number of those that have been slow}. Ends early when the budget does, and then not all have been
%% asked.
take(Id, Op, Parts, Before, Total, Began) ->
    Ref = make_ref(),
    Jobs = [{W, Ps} || {W, Ps} <- lists:zip(get(workers), tuple_to_list(Parts)), Ps =/= []],
    lists:foreach(fun({W, Ps}) -> W ! {dispatch, Ref, Op, Ps} end, Jobs),
    put(doing, {Id, min(Total, Before + parts_size(Parts)), Total, Began, reported_at(Id)}),
    taking(Ref, Id, length(Jobs), {0, #{}, [], 0}, {Before, Total}, false).

taking(Ref, _, 0, {Dead, Slow, Failed, K}, _, Stopped) ->
    Asked = maps:map(fun(_, _) -> Ref end, Slow),
    Stopped =:= postponed andalso throw({updo_postponed, Asked, Asked}),
    {Dead, Asked, Failed, K};
taking(Ref, Id, N, {Dead, Slow, Failed, K} = Taken, {Done, Total}, Stopped) ->
    GMon = get(gmon),
    receive
        {done, Ref, D, _} ->
            taking(Ref, Id, N - 1, {Dead + D, Slow, Failed, K}, {Done, Total}, Stopped);
        {slow, Ref, Pids} ->
            Since = now_ms() - quiet(),
            Slow1 = maps:merge(Slow, maps:from_list([{P, Since} || P <- Pids])),
            clock_starts(Since),
            taking(Ref, Id, N, {Dead, Slow1, Failed, K + length(Pids)}, {Done, Total}, Stopped);
        {late, Ref, P, _} ->
            Slow1 = maps:remove(P, Slow),
            map_size(Slow1) =:= 0 andalso clock_at(idle),
            taking(Ref, Id, N, {Dead, Slow1, Failed, K}, {Done, Total}, Stopped);
        {failed, Ref, Pid, Why} ->
            stop_taking(Ref),
            taking(Ref, Id, N, {Dead, Slow, Failed ++ [{Pid, Why}], K}, {Done, Total}, true);
        {progress, Ref, More} ->
            event({step_progress, Id, Done + More, Total}),
            taking(Ref, Id, N, Taken, {Done + More, Total}, Stopped);
        {updo_watchers, Ws} -> put(watchers, Ws), taking(Ref, Id, N, Taken, {Done, Total}, Stopped);
        {'DOWN', GMon, process, _, _} ->
            new_guardian(), taking(Ref, Id, N, Taken, {Done, Total}, Stopped)
    after case Stopped of false -> budget_left(); _ -> infinity end ->
        %% The one that started the clock may have answered.
        clock_at(lists:min(maps:values(Slow))),
        case budget_left() of
            0 -> stop_taking(Ref), taking(Ref, Id, N, Taken, {Done, Total}, postponed);
            _ -> taking(Ref, Id, N, Taken, {Done, Total}, Stopped)
        end
    end.

stop_taking(Ref) -> lists:foreach(fun(W) -> W ! {stop, Ref} end, get(workers)).

%% The next answer to any suspension, or quiet.
late_within(Ms) ->
    GMon = get(gmon),
    receive
        {late, Ref, Pid, _} -> {late, Pid, Ref};
        {updo_together_serve, Caller, Target} -> serve_other(Caller, Target), quiet;
        {updo_watchers, Ws} -> put(watchers, Ws), quiet;
        {'DOWN', GMon, process, _, _} -> new_guardian(), quiet
    after Ms -> quiet
    end.
