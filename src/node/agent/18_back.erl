%% Resuming, going back, and what is left to do when nothing is suspended any more.

%% -------------------------------------------------------------------------------------------------
%% Resume

%% From the first resume on there is only one way: forward.
resume_all(Order) ->
    resume_these([M || M <- Order ++ (found_modules() -- Order),
                  not lists:member(M, log_get(resumed))]).

%% => resumed()
resume_these(Ms) ->
    %% Code that is neither the old nor the new one: the window can still be undone.
    log_get(resuming) orelse replaced() =:= [] orelse fail({replaced, replaced()}),
    log({set, resuming, true}),
    check_guardian(),
    tell_survivors(resumed),
    Sums = [begin R = resume(M, resume_op(M)), log({add, resumed, M}), R end || M <- Ms],
    Late = lists:append([S || {_, S} <- Sums]),
    {Dead, _, Unsure} = wait_lates(Late, now_ms() + 1000),
    note_not_installed(),
    Ms =:= [] orelse log({set, t1, now_us()}),
    #{processes => lists:sum([N || {N, _} <- Sums]), dead => Dead, unconfirmed => length(Unsure)}.

%% {number of processes, [{Ref, Pid} that have not answered yet]}
resume(M, Op) ->
    lists:foldl(fun(Parts, {N, Acc}) ->
                    Ref = make_ref(),
                    {Mine, Left} = without_left(Parts),
                    {_, Slow, _} = dispatch(Ref, resume, Op, Mine, parts_size(Mine)),
                    stay_suspended(Op, Left),
                    {N + parts_size(Mine), [{Ref, P} || P <- Slow] ++ Acc}
                end, {0, []}, parts_of(M)).

%% Processes that were suspended before the run get their states back and stay suspended.
stay_suspended({restore, _, Portable, DeadPid, Ask}, Left) when is_tuple(Left) ->
    Ref = make_ref(),
    Later = case Ask of {M, Vsn, _, Then} -> {M, Vsn, Then, Then}; none -> none end,
    Stay = {stay, {restore, Portable, Portable, DeadPid, Later}},
    {_, Slow, _} = dispatch(Ref, resume, Stay, Left, parts_size(Left)),
    wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), now_ms() + job(grace, grace()), 0,
              all);
stay_suspended({install_and_resume, _, _} = Op, Left) when is_tuple(Left) ->
    Ref = make_ref(),
    {_, Slow, _} = dispatch(Ref, resume, {install_only, Op}, Left, parts_size(Left)),
    wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), now_ms() + 1000, 0, all);
stay_suspended(_, _) -> ok.

wait_lates(Late, Until) ->
    ByRef = lists:foldl(fun({Ref, P}, Acc) -> Acc#{Ref => [P | maps:get(Ref, Acc, [])]} end, #{},
                        Late),
    maps:fold(fun(Ref, Ps, {D, F, T}) ->
                  {D1, F1, T1} = wait_late(Ref, maps:from_list([{P, true} || P <- Ps]), Until, 0,
                                           all),
                  {D + D1, F1 ++ F, [{Ref, P} || P <- T1] ++ T}
              end, {0, [], []}, ByRef).

%% On the way back: all, also those that have not yet answered the suspend; then look whether
%% they really run. {processes, [{Ref, Pid} still inside something]}
resume_everybody(Op) ->
    Order = lists:append([Ms || {_, {resume, Ms}} <- job(steps, [])]),
    Found = found_modules(),
    Ms = [M || M <- Order, lists:member(M, Found)] ++ (Found -- Order),
    Wait = case Op =:= resume orelse only_early() of true -> 50; false -> job(grace, grace()) end,
    tell_survivors(resumed),
    Sums = [resume(M, back_op(M, Op)) || M <- Ms],
    {_, _, Late} = wait_lates(lists:append([S || {_, S} <- Sums]), now_ms() + Wait),
    log({set, t1, now_us()}),
    still_suspended(maps:keys(maps:without([P || {_, P} <- Late] ++ log_get(left), all_found())),
                    50),
    {lists:sum([N || {N, _} <- Sums]), [L || {_, P} = L <- Late, is_process_alive(P)]}.

%% Signals of a dead worker might in theory arrive after those of its successor.
still_suspended(_, 0) -> ok;
still_suspended(Pids, N) ->
    case [P || P <- Pids, {_, {sys, _, _}} <- [process_info(P, current_function)]] of
        [] -> ok;
        Again ->
            lists:foreach(fun(P) -> worker_of(P) ! {cast, resume, P} end, Again),
            receive after 10 -> still_suspended(Again, N - 1) end
    end.

%% -------------------------------------------------------------------------------------------------
%% Undo

undo(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    Stays = case log_get(stays) of
        false -> may_not_end(in_the_way(switched_now()));
        Known -> Known
    end,
    case map_size(Stays) of
        0 -> undo(Why, N, T);
        _ -> stay(Why, T, Stays)
    end.

undo(Why, N, T) ->
    effects(up),
    Newborn = newborn(),
    case reload_old() of
        {stuck, Stuck} ->
            log({set, unsure, newborn_stays(Newborn) ++ log_get(unsure)}),
            stay(Why, T, maps:from_list([{M, all_users(M)} || M <- Stuck]));
        {Killed, Lost} -> undone(Why, N, T, Newborn, Killed, Lost)
    end.

undone(Why, N, T, Newborn, Killed, Lost) ->
    effects(down),
    {Ended, Unsure} = newborn_after(Newborn),
    release(),
    log({set, unsure, Unsure}),
    Op = case Lost of [] -> back_op(); _ -> leave_op() end,
    {Count, Unanswered} = resume_everybody(Op),
    %% A process that was asked for nothing but a suspend finds that and the resume in its queue, in
    %% this order.
    Late = case Op of resume -> []; _ -> Unanswered end,
    event({undo_finished, now_us() - T, #{processes => Count, killed => Killed,
                                          late => [P || {_, P} <- Late],
                                          lost => [M || {M, _} <- Lost],
                                                    ended => [#{module => M, pid => P}
                                                        || {M, P} <- Ended]}}),
    case {Lost, Late} of
        {[], []} -> unasked(Why, N, #{killed => Killed});
        {[], _} -> finished_late(Why, N, Late);
        _ ->
            finished(mixed, #{reason => Why, not_restored => Lost,
                              by_hand => [text_of("code:load_file(~p).", [M]) || {M, _} <- Lost]})
    end.

%% => run()
%% Old as soon as those are through that are still inside of something.
finished_late(Why, N, Late) ->
    put(stragglers, maps:from_list([{L, monitor(process, P)} || {_, P} = L <- Late])),
    put(straggling, {Why, N}),
    Shown = [P || {_, P} <- lists:sublist(Late, named())],
    finished(mixed, #{reason => Why, late => [describe(P, #{}) || P <- Shown],
                      by_hand => [end_text(P) || P <- Shown -- answering(Shown)]}).

%% Old, unless a process could not be asked for the callback mode of the old version.
unasked(Why, N, Info) ->
    case asked_in_vain() of
        [] -> finished_old(Why, N, Info);
        Unasked ->
            Shown = lists:sublist(Unasked, named()),
            Answering = answering([P || {P, _} <- Shown]),
            finished(mixed, Info#{reason => Why, unasked => [(describe(P, #{}))#{why => W}
                || {P, W} <- Shown],
                                  by_hand => [case lists:member(P, Answering) of
                                      true ->
                                          text_of("sys:terminate(~s, callback_mode).",
                                                  [pid_text(P)]);
                                      false -> end_text(P)
                                  end || {P, _} <- Shown]})
    end.

%% Only for one that does not answer: any other can be asked for something better.
end_text(P) -> text_of("exit(~s, kill).", [pid_text(P)]).

%% Those of these that answer a system message now. It changes no debug options and copies no state.
answering(Ps) ->
    Ref = make_ref(),
    lists:foreach(fun(P) -> P ! {system, {self(), {Ref, P}}, {debug, {remove, {updo_agent, none}}}}
                  end, Ps),
    answering(Ref, Ps, [], now_ms() + 1000).

answering(_, [], Answering, _) -> Answering;
answering(Ref, Ps, Answering, Until) ->
    receive {{Ref, P}, _} -> answering(Ref, lists:delete(P, Ps), [P | Answering], Until)
    after max(0, Until - now_ms()) -> Answering
    end.

back_op() ->
    forget_running(),
    case log_get(converting) of
        [] -> leave_op();
        _ -> restore_op(false, none)
    end.

%% States stay what they are; what was computed before the switch is forgotten.
leave_op() -> case log_get(precomputed) ++ log_get(early) of [] -> resume; _ -> forget_op() end.

%% One that has not even confirmed its suspension finds the step over when it comes to compute.
only_early() -> log_get(converting) ++ log_get(precomputed) =:= [].

%% Asks: whether the callback mode is asked for as well.
restore_op(Asks, Ask) ->
    Portable = portable_restore_fun(stamp(), handlers(), Asks),
    %% Of those that a dead executor asked for something it is unknown which hang.
    Fun = case get(recovered) of true -> Portable; _ -> restore_fun(stamp(), handlers(), Asks) end,
    {restore, Fun, Portable, get(dead_pid), Ask}.

%% The modules of this window that are new now.
switched_now() ->
    #{switching := S, on_load := O, before := Before} = get(log),
    Md5 = fun(M) -> maps:get(md5, maps:get(M, Before, #{}), none) end,
    [M || M <- lists:usort(S ++ O), lists:member(M, O) orelse current_md5(M) =/= Md5(M)].

%% {killed processes, [{Module, Why not}]} | {stuck, [Module]}. The place needed for the old code is
%% the one that the old code itself still occupies; what executes it would have to be ended, and the
%% policy decides about that.
reload_old() ->
    Changed = switched_now(),
    {Gone, Back} = lists:partition(fun(M) -> maps:get(md5, maps:get(M, log_get(before), #{}),
                                                      none) =:= none end, Changed),
    %% From the freeing to the load funs of the old code fail: nothing else is done in between.
    {Names, Prepared, OnLoad} = case get(prepared_old) of
        {Known, _, _} = Ready when Known =:= Back -> Ready;
        _ -> prepare_old(Back)
    end,
    case free_old_slots(Changed) of
        {Killed, []} -> reload_old(Gone, Back, Names, Prepared, OnLoad, Killed);
        {_, Stuck} -> {stuck, Stuck}
    end.

reload_old(Gone, Back, Names, Prepared, OnLoad, Killed) ->
    Lost1 = case Prepared =:= none orelse code:finish_loading(Prepared) of
        true -> [];
        ok -> [];
        {error, Errors} ->
            Errors ++ [{M, not_loaded} || M <- Names, not lists:keymember(M, 1, Errors)]
    end,
    Lost2 = [{M, What} || M <- OnLoad, lists:member(M, Back),
                          {error, What} <- [code:load_binary(M, old_file(module_map(M)),
                              maps:get(old, module_map(M)))]],
    lists:foreach(fun(M) -> code:delete(M), code:soft_purge(M) end, Gone),
    {Killed, Lost1 ++ Lost2}.

%% -------------------------------------------------------------------------------------------------
%% Processes execute the old code and may not be ended: the new code stays

%% Every state that can be is converted, so that as little as possible does not fit; what could not
%% is named.
stay(Why, T, Stays) ->
    log({set, stays, Stays}),
    release(),
    spawn_watch_off(),
    Left = convert_rest(),
    {Count, _} = resume_everybody(resume),
    event({undo_finished, now_us() - T, #{processes => Count, killed => [], late => [], lost => [],
                                          ended => [],
                                          stays => maps:keys(Stays)}}),
    Pids = lists:usort(lists:append(maps:values(Stays))),
    finished(mixed, #{reason => Why, new => lists:usort(log_get(loaded) ++ switched_now()),
                      stays => #{processes => length(Pids), way_back => may_be_undone(),
                                 named => [(describe(P, #{}))#{module => M}
                                           || {M, Ps} <- maps:to_list(Stays),
                                           P <- lists:sublist(Ps, named())]},
                      unconverted => [#{pid => P, module => M, reason => Text}
                                      || {M, P, Text} <- lists:sublist(Left, named())],
                      old_states => old_states(Left),
                      by_hand => []}).

%% Whether a rollback can go back later, when nothing executes the old code any more.
may_be_undone() ->
    Back = job(back, []),
    maps:get(goal, get(job), new) =:= new andalso log_get(way) =:= there andalso Back =/= [] andalso
        lists:all(fun(Steps) -> is_list(Steps) end, Back).

%% [{M, Pid, Why}]: processes that keep a state of the version before. Each is tried once more, from
%% the state that was put aside, except where no more time is left: all wait for it.
convert_rest() -> convert_rest(to_convert()).

to_convert() ->
    [{M, How} || {_, {code_change, up, L}} <- job(steps, []), {M, How} <- L, How =/= soft].

convert_rest(Todo) ->
    stop_workers(),
    put(pass, make_ref()),
    Until = now_ms() + job(grace, grace()),
    lists:append([convert_rest(M, How, pids_of(M), Until) || {M, How} <- Todo]).

%% The processes of a module in this window.
pids_of(M) ->
    [P || Parts <- parts_of(M), P <- lists:append(tuple_to_list(Parts)), is_process_alive(P)].

convert_rest(M, How, Pids, Until) ->
    Handler = is_map_key(M, handlers()),
    Save = save_fun(stamp(), get(pass), Handler),
    Op = case How of
        {advanced, Extra} -> {change, M, old_vsn(up, M), Extra, Save, get(dead_pid)};
        {convert, {Mod, Fun}} -> {convert, M, Mod, Fun, Save, Handler, get(dead_pid)}
    end,
    Running = resumed_by_others(M),
    States = saved_states(M, Pids -- Running),
    [{M, P, was_running()} || P <- Running, is_process_alive(P)] ++
        [{M, P, Why} || P <- Pids -- Running, Why <- convert_rest_of(P, Op, States, Until)].

convert_rest_of(P, Op, States, Until) ->
    case {States, now_ms() < Until} of
        {#{P := converted}, _} -> [];
        %% A state that was put aside and is the same still is tried again.
        {#{P := not_converted}, true} -> convert_again(P, Op);
        {#{P := not_converted}, false} -> [<<"its conversion was not tried: no time was left">>];
        _ -> [text_of("it does not answer: it is in ~ts", [whereabouts(P)])]
    end.

convert_again(P, Op) ->
    Ref = make_ref(),
    Failed = fun(Why) -> [text_of("its conversion failed: ~ts", [Why])] end,
    case dispatch(Ref, undo, Op, parts([P]), 1) of
        {_, _, [{P, Why} | _]} -> Failed(Why);
        {_, [P], []} ->
            case wait_late(Ref, #{P => true}, now_ms() + 1000, 0, first) of
                {_, [{P, Why} | _], _} -> Failed(Why);
                {_, [], [P]} -> Failed(text_of("no answer from ~ts", [whereabouts(P)]));
                _ -> []
            end;
        _ -> []
    end.

%% These have gone on with their work: what was put aside is out of date.
resumed_by_others(M) ->
    Running = was_running(),
    case get(unconverted) of
        {M, Failed} -> [P || {P, Why} <- Failed, Why =:= Running];
        _ -> []
    end.

%% #{Pid => converted | not_converted}; without those that do not answer.
saved_states(M, Pids) ->
    {Ref, Me, Stamp, DeadPid} = {make_ref(), self(), stamp(), get(dead_pid)},
    Look = fun(Key, S) -> Me ! {Ref, self(), case get(Key) of
        {Stamp, _, Old} when Old =/= S -> converted; _ -> not_converted end}, S end,
    Fun = case is_map_key(M, handlers()) of
        true -> fun({H, I, _} = S) when H =:= M -> Look({'$updo_saved', H, I}, S); (S) -> S end;
        false -> fun(S) -> Look('$updo_saved', S) end
    end,
    lists:foreach(fun(P) -> P ! {system, {DeadPid, DeadPid}, {replace_state, Fun}} end, Pids),
    saved_states(Ref, length(Pids), #{}, now_ms() + 1000).

saved_states(_, N, Found, _) when map_size(Found) =:= N -> Found;
saved_states(Ref, N, Found, Until) ->
    receive {Ref, P, State} -> saved_states(Ref, N, Found#{P => State}, Until)
    after max(0, Until - now_ms()) -> Found
    end.

%% Switched, failed, and no old binaries: the new code stays. Every state that can be is converted,
%% so that as few as possible do not fit; what each process has is reported.
give_up(Why, Ms) ->
    event({undo_started, Why}),
    T = now_us(),
    %% What was put aside goes at the end, as that of a window that could not be undone.
    log({set, stays, #{}}),
    Switched = switched_now(),
    Todo = [{M, How} || {M, How} <- to_convert(), lists:member(M, Switched)],
    Tried = convert_rest(Todo),
    {Count, _} = resume_everybody(leave_op()),
    event({undo_finished, now_us() - T, #{processes => Count, lost => Ms}}),
    Left = [{M, P, Text} || {M, P, Text} <- Tried, is_process_alive(P)],
    Shown = lists:sublist(Left, named()),
    Answering = answering([P || {_, P, _} <- Shown]),
    finished(mixed, #{reason => Why, no_old_code => Ms,
                      new => lists:usort(log_get(loaded) ++ Switched),
                      new_states => [new_states(M, Left) || {M, _} <- Todo],
                      unconverted => [#{pid => P, module => M, reason => Text,
                                        answers => lists:member(P, Answering)}
                                      || {M, P, Text} <- Shown],
                      old_states => old_states(Left),
                      to_convert => [#{module => M, vsn => old_vsn(up, M), extra => Extra,
                                       pids => Pids}
                                     || {M, Pids} <- old_states(Left),
                                        not is_map_key(M, handlers()),
                                        {N, {advanced, Extra}} <- Todo, N =:= M],
                      by_hand => [end_text(P) || {_, P, _} <- Shown,
                                  not lists:member(P, Answering)]}).

%% => new_states()
new_states(M, Left) ->
    Old = maps:from_list([{P, true} || {N, P, _} <- Left, N =:= M]),
    Pids = [P || P <- pids_of(M), not is_map_key(P, Old)],
    #{module => M, processes => length(Pids), named => lists:sublist(Pids, named())}.

old_states(Left) ->
    [{M, [P || {N, P, _} <- Left, N =:= M]} || M <- lists:usort([N || {N, _, _} <- Left])].

by_hand_resume() ->
    [text_of("sys:resume(~s).", [pid_text(P)])
     || P <- lists:sublist(maps:keys(maps:without(log_get(left), all_found())), 1000),
     is_process_alive(P),
                                        {_, {sys, _, _}} <- [process_info(P, current_function)]].

%% One that was inside code_change during the undo has come out, restored itself and runs on, or has
%% died.
straggler(Ref, Pid) ->
    Left = maps:remove({Ref, Pid}, stragglers()),
    case maps:size(stragglers()) > 0 andalso maps:size(Left) =:= 0 of
        true ->
            put(stragglers, Left),
            {Why, N} = get(straggling),
            case N of
                0 -> unasked(Why, N, #{});
                %% The client knows already that it is a mix.
                _ -> mixed(Why, #{}, log_get(loaded))
            end;
        false -> put(stragglers, Left)
    end.

stragglers() -> case get(stragglers) of undefined -> #{}; S -> S end.

straggler_down(Mon) ->
    lists:foreach(fun({{Ref, P}, M}) when M =:= Mon -> straggler(Ref, P); (_) -> ok end,
                  maps:to_list(stragglers())).

%% -------------------------------------------------------------------------------------------------
%% Settle: after everything, with nothing suspended

settle(Persist) ->
    report_deaths(),
    Survey = survey(),
    #{converted := Converted, loaded := Loaded, forward := Forward, switching := S, on_load := O} =
        get(log),
    Erase = {erase, erase_fun(), portable_erase_fun(), get(dead_pid)},
    %% A window that could not be undone has not been closed either: its states are those that stay.
    Open = case log_get(stays) of false -> []; _ ->
        [One || F <- log_get(found), One <- maps:to_list(F)] end,
    lists:foreach(fun({_, Parts}) -> dispatch(make_ref(), settle, Erase, Parts, 0) end,
                  Open ++ Converted),
    Mine = lists:usort(Loaded ++ Forward ++ S ++ O),
    {Stay, Held} = purge_after(Mine),
    event({settled, maps:merge(Survey, (persist(Persist))#{lingering => lingering(Stay),
        held => lists:sublist(Held, named())})}).

%% => lingering()
%% Processes that execute old code of these modules, as far as their stacks show it.
lingering([]) -> [];
lingering(Ms) ->
    Users = [{M, P} || {M, Ps} <- maps:to_list(users_by_stack(Ms, fun(_) -> false end)), P <- Ps],
    [#{module => M, pid => P, initial_call => initial_call(P),
       stack => case process_info(P, current_stacktrace) of
           {_, S} -> stack_text(S); undefined -> <<>> end}
     || {M, P} <- lists:sublist(lists:sort(Users), 100)].
