%% The switch of all modules, and the conversion of states.

%% -------------------------------------------------------------------------------------------------
%% Step: load

%% => loaded()
%% The point of no return. Everything slow has been done before.
load(Id, Ms) ->
    {Prepared, OnLoad} = maps:get(Id, get(prepared)),
    within_budget(Id, fun() -> last_look(Id) end,
                  fun(Began) -> suspend_again(Id, Began), last_look(Id) end),
    unchanged(Ms),
    within_pause(),
    switch(Ms, Ms -- OnLoad, Prepared),
    %% What runs when a module is loaded may need its supervisor.
    OnLoad =:= [] orelse begin release(), log_reversed(Ms -- OnLoad), serving(behind) end,
    lists:foreach(fun(M) -> load_on_load(M) end, OnLoad),
    Served = serving_ends(),
    Turned = log_reversed(Ms),
    {Unsure, Ended, Taken} = born_meanwhile(Id),
    release(),
    log({set, unsure, Unsure ++ log_get(unsure)}),
    %% A process that code_change reaches in a later step is asked by that.
    Later = [M || {_, {code_change, up, L}} <- job(steps, []), {M, How} <- L, How =/= soft],
    lists:foreach(fun(M) -> ask_mode(Id, M) end, Turned -- Later),
    with_served(Served,
                #{modules => length(Ms), born => lists:sublist(Unsure, named()), taken => Taken,
                  ended => [#{module => M, pid => P} || {M, P} <- Ended]}).

log_reversed(Ms) ->
    Turned = reversed(Ms),
    log({set, reversed, lists:usort(Turned ++ log_get(reversed))}),
    Turned.

%% Funs of what comes back fail from the purge of their module to its load. A process of its own
%% does both: with an agent that is killed in between they would fail for ever.
switch(Ms, Names, Prepared) ->
    Before = log_get(switching),
    log({set, switching, lists:usort(Names ++ Before)}),
    check_guardian(),
    end_at_load(Ms),
    Answer = case due_at_load(Ms) of
        [] -> finish_loading(Prepared);
        Due ->
            Me = self(),
            {Pid, Mon} = spawned(fun() -> switcher(Me, Due, Prepared) end, [monitor]),
            log({set, switcher, Pid}),
            Pid ! {go, Me},
            receive
                {'DOWN', Mon, process, _, {updo_done, Done}} -> Done;
                {'DOWN', Mon, process, _, Why} -> {error, [{M, Why} || M <- Due]}
            end
    end,
    case Answer of
        ok -> ok;
        {error, What} -> fail({load_failed, What});
        {stuck, Stuck} ->
            log({set, switching, Before}),
            stuck(Stuck)
    end.

switcher(Exec, Due, Prepared) ->
    Mon = monitor(process, Exec),
    receive
        {go, Exec} ->
            exit({updo_done, case purge_all(Due) of [] -> finish_loading(Prepared);
                Stuck -> {stuck, Stuck} end});
        {'DOWN', Mon, process, _, _} -> ok
    end.

finish_loading(none) -> ok;
finish_loading(Prepared) -> code:finish_loading(Prepared).

%% The one of a dead executor has ended when this returns: what is switched is known then.
switcher_ended() ->
    case maps:get(switcher, get(log), none) of
        none -> ok;
        Pid ->
            Mon = monitor(process, Pid),
            receive {'DOWN', Mon, process, _, _} -> ok end
    end.

%% One by one, after the others; the VM runs the module's on_load function in a process of its own.
load_on_load(M) ->
    #{file := File, new := B} = module_map(M),
    log({add, on_load, M}),
    {_, Mon} = spawned(fun() -> exit({loaded, code:load_binary(M, File, B)}) end, [monitor]),
    try on_load_ended(Mon) of
        {loaded, {module, M}} -> ok;
        {loaded, {error, What}} -> fail({load_failed, [{M, What}]});
        Why -> fail({load_failed, [{M, Why}]})
    catch
        throw:{updo_blocked, P, By} ->
            %% Nothing that it does may come behind the undo.
            exit(P, kill),
            receive {'DOWN', Mon, process, _, _} -> ok end,
            fail({on_load_blocked, on_load_blocked(M, By)})
    end.

%% => blocked_on_load()
on_load_blocked(M, By) -> #{module => M, by => By}.

%% The function may call servers that are suspended.
on_load_ended(Mon) ->
    GMon = get(gmon),
    receive
        {'DOWN', Mon, process, _, Why} -> Why;
        {unserved, Q, P, Why} -> unserved(Q, P, Why), on_load_ended(Mon);
        {updo_watchers, Ws} -> put(watchers, Ws), on_load_ended(Mon);
        {'DOWN', GMon, process, _, _} -> new_guardian(), on_load_ended(Mon)
    after patience() ->
        serve(maps:from_list([{P, true} || P <- on_load_processes()])),
        on_load_ended(Mon)
    end.

%% The code server monitors the process in which it runs such a function.
on_load_processes() ->
    case process_info(whereis(code_server), monitors) of
        {_, Ms} -> [P || {process, P} <- Ms, is_pid(P), node(P) =:= node()];
        undefined -> []
    end.

%% -------------------------------------------------------------------------------------------------
%% Step: code_change

%% => converted()
code_change(Id, Mode, Changes) ->
    serving(case Mode of up -> behind; down -> before end),
    Sums = [change_in_turn(Id, M, How, Mode) || {M, How} <- Changes, How =/= soft],
    Served = serving_ends(),
    Again = init_again(),
    with_served(Served, maps:merge(#{processes => lists:sum([T || {T, _} <- Sums]),
                                     dead => lists:sum([D || {_, D} <- Sums])},
                                   filled(#{init_again => lists:sublist(Again, named())}))).

%% => converted(), loaded()
with_served(0, Info) -> Info;
with_served(N, Info) -> Info#{served => N}.

%% One that others waited for has been converted already.
change_in_turn(Id, M, How, Mode) ->
    case lists:keytake(M, 1, done_ahead()) of
        {value, {_, Sum}, Rest} -> put(done_ahead, Rest), Sum;
        false ->
            case installs_at_resume(Id, M, How, Mode) of
                none -> change(Id, M, How, old_vsn(Mode, M));
                Computed -> install_at_resume(Id, M, Computed)
            end
    end.

old_vsn(up, M) ->
    case log_get(before) of
        #{M := #{vsn := V}} -> V;
        _ -> undefined
    end;
old_vsn(down, M) ->
    case [B || #{name := N, new := B} <- job(modules, []), N =:= M, is_binary(B)] of
        [B] -> {down, binary_vsn(B)};
        [] -> {down, undefined}
    end.

change(Id, M, How, Vsn) ->
    log({add, converting, M}),
    put(converting_now, [M | converting_now()]),
    Sum = change(Id, M, How, Vsn, [parts_without(kept_state(M), Parts) || Parts <- parts_of(M)]),
    put(converting_now, converting_now() -- [M]),
    put(converted_now, [M | converted_now()]),
    log({add, changed, M}),
    Sum.

%% Processes whose state an earlier run has left as the version before it made it: on the way back
%% from that run it is what the code that comes back expects.
kept_state(M) ->
    ordsets:from_list(lists:append([Pids || {N, Pids} <- job(unconverted, []), N =:= M])).

parts_without([], Parts) -> Parts;
parts_without(Those, Parts) ->
    list_to_tuple([[P || P <- Part, not ordsets:is_element(P, Those)]
                   || Part <- tuple_to_list(Parts)]).

change(Id, M, How, Vsn, All) ->
    Handler = is_map_key(M, handlers()),
    Save = save_fun(stamp(), get(pass), Handler),
    Op = case How of
        {advanced, Extra} -> {change, M, Vsn, Extra, Save, get(dead_pid)};
        {convert, {Mod, Fun}} -> {convert, M, Mod, Fun, Save, Handler, get(dead_pid)}
    end,
    Sum = case How of
        {advanced, Arg} ->
            {Sups, Others} = by_kind(M, All),
            {T1, D1} = case Sups of [] -> {0, 0}; _ ->
                for_all(Id, M, renew_op(M, Vsn, Arg, Save), How, Vsn, Sups) end,
            Install = install_op(M, Arg, Vsn, Op),
            {T2, D2} = for_all(Id, M, Install, How, Vsn, Others),
            {T1 + T2, D1 + D2};
        _ -> for_all(Id, M, Op, How, Vsn, All)
    end,
    case How of
        {convert, _} -> lists:member(M, log_get(reversed)) andalso ask_mode(Id, M);
        _ -> ok
    end,
    Sum.

%% One operation that may fail, for all processes of a module: {processes, dead among them}.
for_all(Id, M, Op, How, Vsn, All) ->
    serving_stops(M),
    Ref = make_ref(),
    T0 = now_ms(),
    {Totals, Dead, Slow, Failed} = lists:foldl(
        fun(Parts, {T, D, S, []}) ->
                {D1, S1, F1} = dispatch(Ref, Id, Op, Parts, parts_size(Parts)),
                within_pause(),
                {T + parts_size(Parts), D + D1, S1 ++ S, F1};
           (_, Acc) -> Acc
        end, {0, 0, [], []}, All),
    %% One that computes before the switch first tries it on a copy, which has a limit of its own.
    Until = case {limit(M), element(1, Op)} of
        {infinity, _} -> infinity;
        {Ms, precompute} -> now_ms() + 500 + 2 * Ms;
        {Ms, _} -> T0 + Ms
    end,
    {Dead1, Failed1, TimedOut} = case Failed of
        [] -> wait_late(Ref, maps:from_list([{P, true} || P <- Slow]), Until, 0, first);
        _ -> {0, Failed, []}
    end,
    put(unconverted, {M, Failed1 ++ [{P, <<"no answer">>} || P <- TimedOut]}),
    case {Failed1, TimedOut} of
        {[], []} -> {Totals, Dead + Dead1};
        {[{P, Why} | _], _} ->
            let_through(Slow -- [P], now_ms() + 500),
            fail({conversion_failed, failure(P, M, Vsn, How, Why, length(Failed1))});
        {[], [P | _]} ->
            Why = text_of("no answer after ~p ms", [now_ms() - T0]),
            Map = failure(P, M, Vsn, How, Why, length(TimedOut)),
            #{current_function := Where, stack := Stack} = describe(P, #{}),
            fail({conversion_failed, Map#{current_function => Where, stack => Stack}})
    end.

%% => failed_conversion()
failure(P, M, Vsn, How, Why, N) ->
    #{pid => P, module => M, vsn => text(Vsn), extra => extra_text(How), reason => Why, failed => N,
      running => Why =:= was_running()}.

%% The third argument of code_change; empty where a function of the plan converts, which has none.
extra_text({advanced, Extra}) -> text(Extra);
extra_text({convert, _}) -> <<>>;
extra_text(How) -> text(How).

%% Processes that something else has resumed have converted nothing and have gone on with their
%% work: the state that was put aside is out of date.
forget_running() ->
    Running = case get(unconverted) of
        {_, Failed} -> [P || {P, Why} <- Failed, Why =:= was_running()];
        undefined -> []
    end,
    lists:foreach(fun(P) -> worker_of(P) ! {cast, {erase, erase_fun(), none, get(dead_pid)}, P} end,
                  Running).

handlers() -> maps:from_list([{M, true} || M <- job(handlers, [])]).
stamp() -> {job(run, <<>>), log_get(runs)}.

%% Runs inside the process, right before its conversion: the old state stays where it is. A later
%% executor, which has another Pass, gets the process back to the saved state by the same function.
save_fun(Stamp, Pass, Handler) ->
    fun(S) -> saved(S, Stamp, Pass, Handler) end.

saved(S, Stamp, Pass, Handler) ->
    K = case S of {H, I, _} when Handler -> {'$updo_saved', H, I}; _ -> '$updo_saved' end,
    case get(K) of
        {Stamp, Pass, _} -> S;
        {Stamp, _, Old} -> put(K, {Stamp, Pass, Old}), Old;
        _ -> put(K, {Stamp, Pass, S}), S
    end.

%% {convert, {Mod, Fun}}: a function of the plan instead of code_change. Answers by itself, for the
%% answer of replace_state would carry the state.
convert_fun(From, M, Mod, Fun, Handler) ->
    fun(S) ->
        case S of
            {H, _, _} when Handler, H =/= M -> S;
            _ ->
                try
                    New = case S of {H, I, HS} when Handler -> {H, I, Mod:Fun(HS)}; _ -> Mod:Fun(S)
                    end,
                    tell(From, ok),
                    New
                catch
                    Class:Reason:Stack -> tell(From, {error, {Class, Reason, no_args(Stack)}}), S
                end
        end
    end.

tell({Pid, Tag}, Answer) -> Pid ! {Tag, Answer}.

%% Puts the saved state back. Asks: whether the callback mode will be asked for again.
restore_fun(Stamp, Handlers, Asks) ->
    fun(S0) ->
        forget_kept(),
        forget_computed(),
        S = case erase('$updo_asking') of
            {Before, none} -> Before;
            {Before, H0} -> process_flag(error_handler, H0), Before;
            undefined -> S0
        end,
        K = case S of
            {H, I, _} when is_map_key(H, Handlers) ->
                case get({'$updo_saved', H, I}) of undefined -> '$updo_saved';
                    _ -> {'$updo_saved', H, I} end;
            _ -> '$updo_saved'
        end,
        case get(K) of {Stamp, _, Old} -> erase(K), Asks andalso put('$updo_asked', Stamp), Old;
            _ -> S end
    end.

%% The same for one that hangs in code_change: it may get there long after the agent's module is
%% gone.
portable_restore_fun(Stamp, Handlers, Asks) ->
    portable("fun(S0) -> " ++ portable_forget_kept() ++ portable_forget_computed() ++
             "S = case erase('$updo_asking') of {B, none} -> B; {B, E} -> "
             "process_flag(error_handler, E), B; undefined -> S0 end, "
             "K = case S of {H, I, _} -> case maps:is_key(H, Handlers) andalso "
             "get({'$updo_saved', H, I}) of"
             "      {Stamp, _, _} -> {'$updo_saved', H, I}; _ -> '$updo_saved' end;"
             "    _ -> '$updo_saved' end, "
             "case get(K) of {Stamp, _, Old} -> erase(K), Asks andalso put('$updo_asked', Stamp), "
             "Old; _ -> S end end.",
             [{'Stamp', Stamp}, {'Handlers', Handlers}, {'Asks', Asks}]).

erase_fun() ->
    fun(S) ->
        forget_kept(),
        forget_computed(),
        lists:foreach(fun('$updo_saved' = K) -> erase(K); ('$updo_asked' = K) -> erase(K);
                         ({'$updo_saved', _, _} = K) -> erase(K); (_) -> ok end, get_keys()),
        S
    end.

%% The same for one that is busy when a run ends: it may get there when the agent's module is gone.
portable_erase_fun() ->
    portable("fun(S) -> " ++ portable_forget_kept() ++ portable_forget_computed() ++
             "lists:foreach(fun('$updo_saved' = K) -> erase(K); ('$updo_asked' = K) -> erase(K); "
             "                 ({'$updo_saved', _, _} = K) -> erase(K); (_) -> ok end, "
             "get_keys()), S end.", []).

portable(Text, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    Bs = lists:foldl(fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end, erl_eval:new_bindings(),
                     Bindings),
    {value, Fun, _} = erl_eval:exprs(Exprs, Bs),
    Fun.

%% -------------------------------------------------------------------------------------------------
%% Everything at once by OTP's own release handler: no window of ours, no undo. It runs in a process
%% of its own, which neither executor nor guardian take along, and says by its exit reason how it
%% ended.

release_handler(Id, Script, Libs) ->
    log({add, applied, Id}),
    Me = self(),
    Stood = standing(),
    Counts = concerned(Script),
    {Pid, Mon} = spawned(fun() -> release_handler_init(Me, Script, Libs) end, [monitor]),
    log({set, release_handler, {Pid, Id, Stood}}),
    check_guardian(),
    %% At most so long processes were suspended.
    Stand = maps:get(processes, Counts) > 0,
    Stand andalso log({set, t0, now_us()}),
    Pid ! {go, Me},
    How = await_foreign(Mon),
    Stand andalso log({set, t1, now_us()}),
    tell_survivors(resumed),
    maps:merge(release_handler_ended(How, Id, Stood), Counts).

%% => script_done()
%% How many processes the script is about, as this agent finds them: OTP tells nothing.
concerned(Script) ->
    Modules = fun(L) -> [case X of {M, _} -> M; M -> M end || X <- L] end,
    Want = maps:from_list([{M, true} || {suspend, L} <- Script, M <- Modules(L)]),
    {Found, _} = find(Want, []),
    watch_survivors(Found, true),
    Convert = [M || {code_change, _, L} <- Script, M <- Modules(L)],
    #{processes => found_size(Found), converted => found_size(maps:with(Convert, Found))}.

release_handler_init(Exec, Script, Libs) ->
    Mon = monitor(process, Exec),
    receive
        {go, Exec} ->
            demonitor(Mon, [flush]),
            exit({updo_done, eval_script(Script, Libs)});
        {'DOWN', Mon, process, _, _} -> exit({updo_done, {refused, <<"it was not begun">>}})
    end.

eval_script(Script, Libs) ->
    try release_handler_1:eval_script(Script, [], Libs, [], []) of
        {ok, _} -> ok;
        {error, Why} -> {refused, text(no_args(Why))};
        {'EXIT', Why} -> {half, text(no_args(Why))};
        Other -> {half, text(no_args(Other))}
    catch
        Class:Why:Stack -> {half, text({Class, Why, no_args(Stack)})}
    end.

await_foreign(Mon) ->
    GMon = get(gmon),
    receive
        {'DOWN', Mon, process, _, {updo_done, How}} -> How;
        {'DOWN', Mon, process, _, Why} -> {half, text(Why)};
        {updo_watchers, Ws} -> put(watchers, Ws), await_foreign(Mon);
        {'DOWN', GMon, process, _, _} -> new_guardian(), await_foreign(Mon)
    end.

%% The executor before this one died. A process that had ended before could not say how: the
%% code tells no more than what is loaded, so that is not called a success.
release_handler_again({done, Id, Stood, How}) -> release_handler_on(How, Id, Stood);
release_handler_again({Pid, Id, Stood}) ->
    Mon = monitor(process, Pid),
    release_handler_on(await_foreign(Mon), Id, Stood).

release_handler_on(How, Id, Stood) ->
    try release_handler_ended(How, Id, Stood) of
        Info ->
            lists:member(Id, log_get(wdone)) orelse
                begin log({add, wdone, Id}), event({step_finished, Id, 0, Info}) end,
            run(again)
    catch
        throw:{updo_fail, Reason} -> failed(Reason)
    end.

%% => switched(), script_done()
release_handler_ended({refused, Why}, _, _) ->
    log({set, release_handler, undefined}),
    fail({release_handler_refused, Why});
release_handler_ended(How, Id, Stood) ->
    log({set, release_handler, {done, Id, Stood, How}}),
    Ms = [M || #{name := M} <- job(modules, [])],
    case {How, [M || #{name := M} = Map <- job(modules, []), not is_new(Map)]} of
        {ok, []} -> log({set, loaded, Ms}), #{modules => length(Ms)};
        {ok, Other} ->
            fail({release_handler_failed, text_of("it loaded other code than was shown: ~tp",
                                                  [Other])});
        {{half, Why}, _} -> fail({release_handler_failed, Why})
    end.

%% What is left behind, and how to get everything going.
half_way(Why, Foreign) ->
    Stood = element(3, Foreign),
    Stay = standing() -- Stood,
    Shown = lists:sublist(Stay, 5 * named()),
    More = case length(Stay) - length(Shown) of
        0 -> [];
        N -> [text_of("% and ~b more: [sys:resume(P) || P <- processes(), {_, {sys, _, _}} <- "
                      "[process_info(P, current_function)]].", [N])]
    end,
    New = [M || #{name := M} = Map <- job(modules, []), is_new(Map)],
    finished(mixed, #{reason => Why, switched => New, suspended => length(Stay),
                      by_hand => [text_of("sys:resume(~s).", [pid_text(P)]) || P <- Shown] ++
                          More}).

%% All processes that are suspended. One that hibernates as well is asked, when it is a process of
%% the job's modules.
standing() ->
    Ms = [M || #{name := M} <- job(modules, [])],
    [P || P <- processes(), P =/= self(), stands(process_info(P, [current_function, dictionary]), P,
                                                 Ms)].

stands([{current_function, {sys, _, _}} | _], _, _) -> true;
stands([{current_function, {erlang, hibernate, 3}}, {dictionary, D}], P, Ms) ->
    case lists:keyfind('$initial_call', 1, D) of
        {_, {M, _, _}} ->
            lists:member(M, Ms) andalso
                try sys:get_status(P, 500) of
                    {status, _, _, [_, suspended | _]} -> true;
                    _ -> false
                catch _:_ -> false
                end;
        _ -> false
    end;
stands(_, _, _) -> false.
