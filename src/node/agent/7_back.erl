%% Resuming, going back, and what is left to do when nobody is suspended any more.

%% ---------------------------------------------------------------------------------------------------------------
%% Resume

%% From the first resume on there is only one way: forward.
resume_all(Order) ->
    %% Code that is neither the old nor the new one: the window can still be undone.
    log_get(resuming) orelse replaced() =:= [] orelse fail({replaced, replaced()}),
    log({set, resuming, true}),
    check_guardian(),
    tell_survivors(resumed),
    Ms = [M || M <- Order ++ (found_modules() -- Order), not lists:member(M, log_get(resumed))],
    Sums = [begin R = resume(M, resume), log({add, resumed, M}), R end || M <- Ms],
    Late = lists:append([S || {_, S} <- Sums]),
    {Dead, _, Unsure} = wait_lates(Late, now_ms() + 1000),
    log({set, t1, now_us()}),
    #{processes => lists:sum([N || {N, _} <- Sums]), dead => Dead, unconfirmed => length(Unsure)}.

%% {number of processes, [{Ref, Pid} who have not answered yet]}
resume(M, Op) ->
    lists:foldl(fun(Parts, {N, Acc}) ->
                    Ref = make_ref(),
                    {Mine, Left} = without_left(Parts),
                    {_, Slow, _} = do(Ref, resume, Op, Mine, parts_size(Mine)),
                    stay_suspended(Op, Left),
                    {N + parts_size(Mine), [{Ref, P} || P <- Slow] ++ Acc}
                end, {0, []}, parts_of(M)).

%% Processes that were suspended before the run get their states back and stay suspended.
stay_suspended({restore, _, Portable, Nobody, Ask}, Left) when is_tuple(Left) ->
    Ref = make_ref(),
    Later = case Ask of {M, Vsn, _, Then} -> {M, Vsn, Then, Then}; none -> none end,
    {_, Slow, _} = do(Ref, resume, {stay, {restore, Portable, Portable, Nobody, Later}}, Left, parts_size(Left)),
    wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), now_ms() + job(grace, grace()), 0, all);
stay_suspended(_, _) -> ok.

wait_lates(Late, Until) ->
    ByRef = lists:foldl(fun({Ref, P}, Acc) -> Acc#{Ref => [P | maps:get(Ref, Acc, [])]} end, #{}, Late),
    maps:fold(fun(Ref, Ps, {D, F, T}) ->
                  {D1, F1, T1} = wait_late(Ref, maps:from_list([{P, true} || P <- Ps]), Until, 0, all),
                  {D + D1, F1 ++ F, [{Ref, P} || P <- T1] ++ T}
              end, {0, [], []}, ByRef).

%% ---------------------------------------------------------------------------------------------------------------
%% Children of supervisors, which run again. What cannot be done is told and no reason to fail: the switch is behind us.

children({What, Sup, Id}) ->
    Pids = lists:usort([P || {M, Parts} <- log_get(converted), M =:= Sup, Part <- tuple_to_list(Parts), P <- Part,
                             is_process_alive(P)]),
    Failed = case Pids of
        [] -> [<<"no process of it was converted">>];
        _ -> [text(Why) || P <- Pids, {error, Why} <- [child(What, P, Id)]]
    end,
    [#{what => What, supervisor => Sup, child => Id, reason => Why} || Why <- Failed].

%% In a process of its own: a child that hangs in its init must not take the executor along.
child(What, Sup, Id) ->
    {Pid, Mon} = spawn_monitor(fun() -> exit({done, child_done(What, Sup, Id)}) end),
    receive
        {'DOWN', Mon, process, _, {done, Answer}} -> Answer;
        {'DOWN', Mon, process, _, Why} -> {error, no_args(Why)}
    after 30000 ->
        demonitor(Mon, [flush]),
        exit(Pid, kill),
        {error, no_answer}
    end.

%% Repeating does no harm.
child_done(start, Sup, Id) ->
    case supervisor:restart_child(Sup, Id) of
        {error, running} -> ok;
        {error, _} = Error -> Error;
        _ -> ok
    end;
child_done(stop, Sup, Id) ->
    case supervisor:terminate_child(Sup, Id) of
        ok ->
            case supervisor:delete_child(Sup, Id) of
                {error, not_found} -> ok;
                Answer -> Answer
            end;
        {error, not_found} -> ok;
        Error -> Error
    end.

%% On the way back: everybody, also those who have not yet answered the suspend; then look whether they really run.
%% {processes, [{Ref, Pid} still inside something]}
resume_everybody(Op) ->
    Order = lists:append([Ms || {_, {resume, Ms}} <- job(steps, [])]),
    Found = found_modules(),
    Ms = [M || M <- Order, lists:member(M, Found)] ++ (Found -- Order),
    Wait = case Op of resume -> 50; _ -> job(grace, grace()) end,
    tell_survivors(resumed),
    Sums = [resume(M, back_op(M, Op)) || M <- Ms],
    {_, _, Late} = wait_lates(lists:append([S || {_, S} <- Sums]), now_ms() + Wait),
    log({set, t1, now_us()}),
    still_suspended(maps:keys(maps:without([P || {_, P} <- Late] ++ log_get(left), all_found())), 50),
    {lists:sum([N || {N, _} <- Sums]), [L || {_, P} = L <- Late, is_process_alive(P)]}.

%% Signals of a dead worker might in theory arrive after those of its successor.
still_suspended(_, 0) -> ok;
still_suspended(Pids, N) ->
    case [P || P <- Pids, {_, {sys, _, _}} <- [process_info(P, current_function)]] of
        [] -> ok;
        Again ->
            lists:foreach(fun(P) -> owner(P) ! {cast, resume, P} end, Again),
            receive after 10 -> still_suspended(Again, N - 1) end
    end.

%% ---------------------------------------------------------------------------------------------------------------
%% Undo

undo(Why, N) ->
    event({undo_started, Why}),
    T = now_us(),
    Newborn = newborn(),
    {Killed, Lost} = reload_old(),
    {Ended, Unsure} = newborn_after(Newborn),
    release(),
    log({set, unsure, Unsure}),
    {Count, Late} = resume_everybody(case Lost of [] -> back_op(); _ -> resume end),
    event({undo_finished, now_us() - T, #{processes => Count, killed => Killed, late => [P || {_, P} <- Late], lost => [M || {M, _} <- Lost],
                                                    ended => [#{module => M, pid => P} || {M, P} <- Ended]}}),
    case {Lost, Late} of
        {[], []} -> unasked(Why, N, #{killed => Killed});
        {[], _} ->
            put(stragglers, maps:from_list([{L, monitor(process, P)} || {_, P} = L <- Late])),
            put(straggling, {Why, N}),
            finished(mixed, #{reason => Why, late => [describe(P, #{}) || {_, P} <- lists:sublist(Late, named())],
                              by_hand => [text_of("exit(~s, kill).", [pid_text(P)]) || {_, P} <- lists:sublist(Late, named())]});
        _ ->
            finished(mixed, #{reason => Why, not_restored => Lost,
                              by_hand => [text_of("code:load_file(~p).", [M]) || {M, _} <- Lost]})
    end.

%% Old, unless somebody could not be asked for the callback mode of the old version.
unasked(Why, N, Info) ->
    case asked_in_vain() of
        [] -> finished_old(Why, N, Info);
        Unasked ->
            Shown = lists:sublist(Unasked, named()),
            finished(mixed, Info#{reason => Why, unasked => [(describe(P, #{}))#{why => W} || {P, W} <- Shown],
                                  by_hand => [text_of("exit(~s, kill).", [pid_text(P)]) || {P, _} <- Shown]})
    end.

back_op() ->
    case log_get(converting) of
        [] -> resume;
        _ ->
            restore_op(false, none)
    end.

%% Asks: whether the callback mode is asked for as well.
restore_op(Asks, Ask) ->
    Portable = portable_restore_fun(stamp(), handlers(), Asks),
    %% Of those whom a dead executor asked for something nobody knows who hangs.
    Fun = case get(recovered) of true -> Portable; _ -> restore_fun(stamp(), handlers(), Asks) end,
    {restore, Fun, Portable, get(nobody), Ask}.

%% {killed processes, [{Module, Why not}]}. The slot needed for the old code is the one that the old code itself
%% still occupies; whoever executes it cannot survive.
reload_old() ->
    #{switching := S, on_load := O, before := Before} = get(log),
    Md5 = fun(M) -> maps:get(md5, maps:get(M, Before, #{}), none) end,
    Changed = [M || M <- lists:usort(S ++ O), lists:member(M, O) orelse current_md5(M) =/= Md5(M)],
    {Gone, Back} = lists:partition(fun(M) -> Md5(M) =:= none end, Changed),
    Killed = lists:append([free_old_slot(M) || M <- Changed]),
    lists:foreach(fun(M) -> code:delete(M), code:purge(M) end, Gone),
    {Names, Prepared, OnLoad} = case get(prepared_old) of
        {Known, _, _} = Ready when Known =:= Back -> Ready;
        _ -> prepare_old(Back)
    end,
    Lost1 = case Prepared =:= none orelse code:finish_loading(Prepared) of
        true -> [];
        ok -> [];
        {error, Errors} -> Errors ++ [{M, not_loaded} || M <- Names, not lists:keymember(M, 1, Errors)]
    end,
    Lost2 = [{M, What} || M <- OnLoad, lists:member(M, Back),
                          {error, What} <- [code:load_binary(M, old_file(module_map(M)), maps:get(old, module_map(M)))]],
    {Killed, Lost1 ++ Lost2}.

free_old_slot(M) ->
    case erlang:check_old_code(M) andalso not code:soft_purge(M) of
        false -> [];
        true ->
            Users = users_of_old(M),
            code:purge(M),
            [{M, Users}]
    end.

%% Switched, failed, and no old binaries: leave nobody suspended and say what is left to do.
give_up(Why, Ms) ->
    event({undo_started, Why}),
    T = now_us(),
    Todo = by_hand_convert(Why),
    {Count, _} = resume_everybody(resume),
    event({undo_finished, now_us() - T, #{processes => Count, lost => Ms}}),
    finished(mixed, #{reason => Why, no_old_code => Ms, by_hand => Todo}).

by_hand_convert({conversion_failed, #{pid := P}}) -> [text_of("exit(~s, kill).", [pid_text(P)])];
by_hand_convert(_) -> [].

by_hand_resume() ->
    [text_of("sys:resume(~s).", [pid_text(P)]) || P <- lists:sublist(maps:keys(maps:without(log_get(left), all_found())), 1000), is_process_alive(P),
                                        {_, {sys, _, _}} <- [process_info(P, current_function)]].

%% One who was inside code_change during the undo has come out, restored itself and runs on, or has died.
straggler(Ref, Pid) ->
    Left = maps:remove({Ref, Pid}, stragglers()),
    case maps:size(stragglers()) > 0 andalso maps:size(Left) =:= 0 of
        true ->
            put(stragglers, Left),
            {Why, N} = get(straggling),
            case N of
                0 -> unasked(Why, N, #{});
                %% The client was told already that it is a mix.
                _ -> mixed(Why, #{}, log_get(loaded))
            end;
        false -> put(stragglers, Left)
    end.

stragglers() -> case get(stragglers) of undefined -> #{}; S -> S end.

straggler_down(Mon) ->
    lists:foreach(fun({{Ref, P}, M}) when M =:= Mon -> straggler(Ref, P); (_) -> ok end, maps:to_list(stragglers())).

%% ---------------------------------------------------------------------------------------------------------------
%% Settle: after everything, with nobody suspended

settle(Persist) ->
    told_deaths(),
    Survey = survey(),
    #{converted := Converted, loaded := Loaded, forward := Forward, switching := S, on_load := O} = get(log),
    Erase = {erase, erase_fun(), get(nobody)},
    lists:foreach(fun({_, Parts}) -> do(make_ref(), settle, Erase, Parts, 0) end, Converted),
    Mine = lists:usort(Loaded ++ Forward ++ S ++ O),
    Policies = maps:from_list([{M, P} || #{name := M, purge := P} <- job(modules, [])]),
    Policy = fun(M) -> maps:get(M, Policies, soft) end,
    Stay = [M || M <- Mine, erlang:check_old_code(M), not purged({M, Policy(M)}, now_ms())],
    event({settled, maps:merge(Survey, (persist(Persist))#{lingering => lingering(Stay)})}).

lingering([]) -> [];
lingering(Ms) ->
    Users = [{M, P} || P <- processes(), P =/= self(), M <- Ms, erlang:check_process_code(P, M)],
    [#{module => M, pid => P, initial_call => initial_call(P),
       stack => case process_info(P, current_stacktrace) of {_, S} -> stack_text(S); undefined -> <<>> end}
     || {M, P} <- lists:sublist(Users, 100)].
