%% Conversions before the switch. While all processes of a window are suspended and nothing is
%% switched yet, each computes its new state with the twin of its module, in place, and keeps it in
%% its dictionary. When one fails, the new states are forgotten and all are resumed: no module was
%% switched, no process has met new code. When all have succeeded, the switch comes, and the new
%% state is installed: together with the message that resumes the process, where nothing can call
%% it before that, and otherwise by the step `code_change`.
%%
%% What is sent to a process may be read late: it looks whether the step is still going on (its
%% keeper lives), catches everything, answers by a message of its own and gives back what it got.

%% ------------------------------------------------------------------------------------------------
%% Before anything is suspended

%% The twins are loaded in time. Where they cannot be, states are converted after the switch only,
%% unless there is no way back from that: without an undo, and in a live window behind this one.
prepare_twins(Steps) ->
    Wanted = lists:usort([M || {_, {precompute, L}} <- Steps, {M, _, _} <- L]),
    Wanted =:= [] orelse put(bounds, bounds(job(twins, []))),
    Live = [Id || {Id, {live, [_ | _], _}} <- Steps],
    Suspends = [Id || {Id, {suspend, _}} <- Steps],
    Mixed = Live =/= [] andalso Suspends =/= [],
    case twins_missing([M || Mixed orelse Wanted =/= [], #{name := M} <- job(twins, [])]) of
        [] -> put(no_twins, false);
        Missing ->
            Exact = job(undo, none) =:= exact andalso not Mixed,
            try twins_load(Missing), put(no_twins, false)
            catch throw:{updo_fail, _} when Exact -> put(no_twins, true)
            end
    end.

twins_missing(Ms) ->
    Ms -- [M || #{name := M, twin := N} <- job(twins, []), lists:member(N, log_get(twins)),
                erlang:module_loaded(N)].

%% What is known before the pause: {bytes of constants, whether a state can have funs of a twin,
%% #{Twin => Module}}.
bounds(Twins) ->
    Code = [T || #{new := _} = T <- Twins],
    {lists:sum([literals(beam_lib:chunks(Beam, ["LitT"], [allow_missing_chunks]))
                || #{new := Beam} <- Code]),
     lists:any(fun(T) -> may_leave_funs(T) end, Code),
     maps:from_list([{N, M} || #{name := M, twin := N} <- Twins])}.

%% The same, when processes have been found and none is suspended yet.
note_loops(Found) ->
    lists:foreach(fun({M, Kind}) -> put({other_loop, M}, other_loop(M, Kind, Found)) end,
                  [{M, Kind} || {_, {precompute, L}} <- job(steps, []), {M, Kind, _} <- L,
                                is_map_key(M, Found), get({other_loop, M}) =:= undefined]).

%% A behaviour may run its callback modules in a server of its own, whose state is not theirs. Where
%% no loop is seen (they hibernate), an initial call other than M:init/1 may be one that such a
%% server has written.
other_loop(M, Kind, Found) when Kind =:= server; Kind =:= statem ->
    lists:any(fun(P) ->
                  case loop_module(P) of
                      M -> false;
                      unknown -> is_by_hosts(initial_call(P), M);
                      _ -> true
                  end
              end, lists:sublist(parts_pids(maps:get(M, Found)), 20));
other_loop(_, _, _) -> false.

is_by_hosts({M, F, A}, M) -> {F, A} =/= {init, 1};
is_by_hosts(_, _) -> false.

%% ------------------------------------------------------------------------------------------------
%% Together with the suspension

%% What depends on the state alone, and takes next to no time, is computed as soon as the process is
%% suspended: it is woken once instead of twice. None answers for that; a process of ours counts
%% them. Where not all of a module have computed, the step asks them all.

%% [M]: those of a rank.
computes_early(Ms) ->
    Ready = get(no_twins) =:= false andalso get(early_off) =/= true andalso
        own_handler() =/= none andalso log_get(switching) ++ log_get(on_load) =:= [],
    [M || Ready, M <- Ms, lists:member(M, job(early, [])), early_kind(M) =/= none,
          kept_state(M) =:= [], not lists:member(M, job(supervisors, [])),
          get({other_loop, M}) =:= false].

%% {Kind, Extra} | none
early_kind(M) ->
    Rest = rest_of_window(log_get(step)),
    case [{K, X} || {_, {precompute, L}} <- Rest, {N, K, X} <- L, N =:= M, K =/= event] of
        [One] -> One;
        _ -> none
    end.

%% What is sent behind the suspension of the processes of M.
early_op(M, N) ->
    {Kind, Extra} = early_kind(M),
    lists:member(M, log_get(early)) orelse log({add, early, M}),
    Known = case get(early) of undefined -> #{}; Early -> Early end,
    put(early, Known#{M => N + maps:get(M, Known, 0)}),
    {take, {Kind, M, twin_of(M), old_vsn(up, M), Extra},
     {lasts_when(N), {early_keeper(), mark()}}, get(dead_pid)}.

early_keeper() ->
    case get(early_keeper) of
        undefined ->
            Exec = self(),
            Keeper = spawned(fun() -> early_keeper(monitor(process, Exec), #{}) end, []),
            put(early_keeper, Keeper),
            Keeper;
        Keeper -> Keeper
    end.

early_keeper(Mon, Done) ->
    receive
        M when is_atom(M) -> early_keeper(Mon, Done#{M => maps:get(M, Done, 0) + 1});
        {done, From, M} -> tell(From, maps:get(M, Done, 0)), early_keeper(Mon, Done);
        {'DOWN', Mon, process, _, _} -> ok
    end.

early_fun({Kind, M, Twin, Vsn, Extra}, {Lasts, {Keeper, Mark}}) ->
    fun(S) ->
        try
            true = is_process_alive(Keeper),
            {ok, New} = converted(Kind, Twin, S, M, Vsn, Extra),
            true = lasts(New, Lasts),
            put('$updo_computed', {Mark, S, {new, New}}),
            Keeper ! M
        catch _:_ -> ok
        end,
        S
    end.

%% One that is late because its conversion hangs, and not because it is busy with something else.
executes_twin(P) ->
    Twins = [N || #{twin := N} <- job(twins, [])],
    case process_info(P, current_stacktrace) of
        {_, Stack} -> lists:any(fun(Frame) -> lists:member(element(1, Frame), Twins) end, Stack);
        undefined -> false
    end.

%% Processes were resumed, or asked once more: what they have computed may be out of date.
early_over() -> put(early_off, true).

early_ends() ->
    case erase(early_keeper) of undefined -> ok; Keeper -> exit(Keeper, kill) end,
    erase(early_off),
    erase(early).

%% Whether all of these processes have computed. The last ones may be about to.
computed_early(M, N, Tries) ->
    case {get(early_off), get(early), get(early_keeper)} of
        {undefined, #{M := N}, Keeper} ->
            Mon = monitor(process, Keeper),
            Keeper ! {done, {self(), Mon}, M},
            receive
                {Mon, N} -> demonitor(Mon, [flush]), true;
                {Mon, _} when Tries > 0 ->
                    demonitor(Mon, [flush]),
                    receive after 1 -> computed_early(M, N, Tries - 1) end;
                {Mon, _} -> demonitor(Mon, [flush]), false;
                {'DOWN', Mon, process, _, _} -> false
            end;
        _ -> false
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
    put(computed, []),
    {Exec, Names} = {self(), running_names()},
    Keeper = spawned(fun() -> process_flag(trap_exit, true), keeper(monitor(process, Exec), Names)
                     end, []),
    try
        Sums = [precompute_one(Id, M, Kind, Extra, Keeper) || {M, Kind, Extra} <- Due],
        #{processes => lists:sum([T || {T, _} <- Sums]), dead => lists:sum([D || {_, D} <- Sums])}
    after
        %% One that has answered a call meanwhile may have forgotten what it had computed.
        serving_ends() =:= 0 orelse put(computed, []),
        early_ends(),
        exit(Keeper, kill)
    end.

precompute_one(Id, M, Kind, Extra, Keeper) ->
    {Sups, All} = by_kind(M, [parts_without(kept_state(M), Parts) || Parts <- parts_of(M)]),
    Pids = lists:append([parts_pids(Parts) || Parts <- All]),
    Twins = [N || #{name := N} <- job(twins, []), N =:= M],
    Pids =:= [] orelse note_loops(#{M => list_to_tuple([Pids])}),
    case Pids =:= [] orelse Twins =:= [] orelse get({other_loop, M}) of
        true -> {0, 0};
        false ->
            log({add, precomputed, {M, Kind}}),
            case computed_early(M, length(Pids), 2) of
                true ->
                    computed(M, Kind, Extra),
                    {length(Pids), 0};
                false ->
                    Bounds = {lasts_when(length(Pids)), {Keeper, self(), mark()}},
                    Sum = precompute_all(Id, {Kind, M, twin_of(M), old_vsn(up, M), Extra}, Bounds,
                                         All),
                    Whole = not said_again(M, false) andalso Sups =:= [] andalso
                        Kind =/= event andalso kept_state(M) =:= [],
                    Whole andalso computed(M, Kind, Extra),
                    Sum
            end
    end.

precompute_all(Id, {_, M, _, Vsn, Extra} = How, Bounds, All) ->
    First = tried_first(lists:append([parts_pids(Parts) || Parts <- All])),
    %% What a rehearsal has tried a moment ago is not tried again.
    Limit = case lists:member(M, job(rehearsed, [])) of true -> none; _ -> limit(M) end,
    for_all(Id, M, {precompute, How, Bounds, First, Limit, get(dead_pid)}, {advanced, Extra}, Vsn,
            All).

computed(M, Kind, Extra) -> put(computed, [{M, Kind, Extra, parts_of(M)} | get(computed)]).

%% What lasts/2 has to look at, for so many processes.
lasts_when(N) ->
    {Literals, Funs, Twins} = get(bounds),
    case Literals * N =< most_literals() of
        false -> no;
        true when Funs -> {Twins, case own_handler() of none -> 200; _ -> 20000 end};
        true -> yes
    end.

%% Whether a process of M has said that it has to convert again behind the switch.
said_again(M, Is) -> receive {again, M} -> said_again(M, true) after 0 -> Is end.

%% By a name that is data a conversion reaches the running version of a module, or a new one that is
%% not there yet: what it raises there says nothing of the time after the switch. Without a way back
%% it has to be taken for a failure.
running_names() ->
    case job(undo, none) of
        exact -> maps:from_list([{M, true} || #{name := M} <- job(modules, [])]);
        _ -> #{}
    end.

%% Processes that are asked whether they are suspended, and whose conversion is tried on a copy
%% first: of very many that would take longer than the conversions. What something else has resumed
%% is known by its state otherwise, when the new one is installed.
tried_first(Pids) -> maps:from_list([{P, true} || P <- lists:sublist(Pids, 100)]).

%% Funs, and from OTP 29 on native records, belong to the version that has made them.
may_leave_funs(#{new := Beam} = Twin) ->
    maps:get(funs, Twin, 1) > 0 orelse binary:match(Beam, <<"Recs">>) =/= nomatch.

%% A state may share constants of the twin. When the twin goes, each process gets a copy of its own.
literals({ok, {_, [{"LitT", <<0:32, Plain/binary>>}]}}) -> byte_size(Plain);
literals({ok, {_, [{"LitT", <<Size:32, _/binary>>}]}}) -> Size;
literals(_) -> 0.

most_literals() -> 16 * 1024 * 1024.

%% Ends the trials that have not ended: with the step, with the executor. Knows which modules are
%% reached in their running version.
keeper(Mon, Names) ->
    receive
        {'DOWN', Mon, process, _, _} -> exit(shutdown);
        {in_running, From, Ms} ->
            tell(From, lists:any(fun(M) -> is_map_key(M, Names) end, Ms)),
            keeper(Mon, Names);
        _ -> keeper(Mon, Names)
    end.

%% ------------------------------------------------------------------------------------------------
%% In the process

%% The key under which a process, or one handler of a manager, keeps its new state. What is kept:
%% {Mark, Old, {new, New} or again}.
computed_key(event, {H, I, _}) -> {'$updo_computed', H, I};
computed_key(_, _) -> '$updo_computed'.

is_other_handler({event, M, _, _, _}, S) -> element(1, S) =/= M;
is_other_handler(_, _) -> false.

%% What an upgrade's states are known by: an atom, for what is sent to a process is copied.
mark() -> watchdog_name(get(job)).

%% Limit: ms for a trial on a copy, or none without one.
precompute_fun(From, {Kind, M, Twin, Vsn, Extra}, {Lasts, {Keeper, Exec, Mark}}, Limit) ->
    fun(S) ->
        How = {Kind, M, Twin, Vsn, Extra},
        case is_other_handler(How, S) orelse not is_process_alive(Keeper) of
            true -> ok;
            false ->
                try precomputed(From, S, How, Lasts, {Keeper, Exec, Mark}, Limit)
                catch _:Why -> tell(From, {error, Why})
                end
        end,
        S
    end.

precomputed(From, S, {Kind, M, Twin, _, _} = How, Lasts, {Keeper, Exec, Mark}, Limit) ->
    case Limit =:= none orelse ends(fun() -> converted(Twin, S, How) end, Keeper, Limit) of
        true ->
            Result = converted(Twin, S, How),
            Kept = case Result of
                {ok, New} -> case lasts(New, Lasts) of true -> {new, New}; false -> again end;
                {'EXIT', {_, [_ | _] = Stack}} ->
                    case in_running(Stack, Keeper) of true -> again; false -> failed end;
                _ -> failed
            end,
            case Kept of
                failed -> tell(From, {error, Result});
                _ ->
                    Kept =:= again andalso (Exec ! {again, M}),
                    Key = computed_key(Kind, S),
                    put(Key, {Mark, S, Kept}),
                    Kind =:= event orelse tell(From, ok)
            end;
        called_off -> ok;
        Why -> tell(From, {error, Why})
    end.

in_running(Stack, Keeper) ->
    Mon = monitor(process, Keeper),
    Keeper ! {in_running, {self(), Mon}, [element(1, F) || F <- Stack, is_tuple(F)]},
    receive
        {Mon, Is} -> demonitor(Mon, [flush]), Is;
        {'DOWN', Mon, process, _, _} -> false
    end.

%% As the behaviours call it: what is thrown counts as what is returned.
converted(Module, S, {Kind, M, _, Vsn, Extra}) ->
    converted(Kind, Module, S, M, Vsn, Extra).

converted(server, Module, S, _, Vsn, Extra) ->
    catch call_twin(Module, code_change, [Vsn, S, Extra]);
converted(statem, Module, {Name, Data}, _, Vsn, Extra) ->
    case catch call_twin(Module, code_change, [Vsn, Name, Data, Extra]) of
        {ok, NewName, NewData} -> {ok, {NewName, NewData}};
        {ok, _} = Other -> {returned, Other};
        Other -> Other
    end;
converted(event, Module, {H, I, S}, _, Vsn, Extra) ->
    case catch call_twin(Module, code_change, [Vsn, S, Extra]) of
        {ok, New} -> {ok, {H, I, New}};
        Other -> Other
    end;
converted(special, Module, S, M, Vsn, Extra) ->
    catch call_twin(Module, system_code_change, [S, M, Vsn, Extra]).

%% A conversion that never ends must not keep its process: it is tried on a copy first, which can be
%% ended. A large state is not copied.
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
                    {install, {Kind, M, M, Vsn, Extra}, {stamp(), get(pass), Handler, mark()},
                     get(dead_pid)}
            end;
        false -> Change
    end.

%% One whose state is not the one that was converted has run since. One that has computed nothing
%% (born since, or what it computed does not outlive the twin) converts by the new version itself.
install_fun(From, {Kind, M, _, _, _} = How, {Stamp, Pass, Handler, Mark}) ->
    fun(S) ->
        case is_other_handler(How, S) of
            true -> S;
            false ->
                Old = saved(S, Stamp, Pass, Handler),
                case erase(computed_key(Kind, S)) of
                    {Mark, Old, {new, New}} ->
                        Kind =:= event orelse tell(From, ok),
                        New;
                    {Mark, Other, _} when Other =/= Old ->
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
%% Together with the resume

%% A module whose processes have all computed a state that lasts, none of which is asked for
%% anything between now and its resume: {Kind, Extra, the parts that have computed} | none.
installs_at_resume(Id, M, {advanced, Extra}, up) ->
    Computed = case get(computed) of undefined -> []; Those -> Those end,
    case lists:keyfind(M, 1, Computed) of
        {M, Kind, Extra, Parts} ->
            Free = log_get(on_load) =:= [] andalso not lists:member(M, log_get(reversed)) andalso
                lists:all(fun(Step) -> passes_by(M, Step) end, rest_of_window(Id)),
            case Free of true -> {Kind, Extra, Parts}; false -> none end;
        _ -> none
    end;
installs_at_resume(_, _, _, _) -> none.

passes_by(M, {_, {children, Ops}}) -> not lists:any(fun(Op) -> element(2, Op) =:= M end, Ops);
passes_by(_, {_, {What, _, _}}) -> What =:= code_change;
passes_by(_, {_, {ahead, _}}) -> true;
passes_by(_, _) -> false.

%% => {processes, dead among them}
%% Those that have come since the others have computed are converted now.
install_at_resume(Id, M, {Kind, Extra, Computed}) ->
    {How, Vsn} = {{advanced, Extra}, old_vsn(up, M)},
    {Late, Dead} = case [Parts || Parts <- parts_of(M), not lists:member(Parts, Computed)] of
        [] -> {0, 0};
        Others ->
            log({add, converting, M}),
            for_all(Id, M, install_op(M, Extra, Vsn, none), How, Vsn, Others)
    end,
    case running(Computed) of
        [] -> ok;
        [P | _] = Running ->
            put(unconverted, {M, [{Q, was_running()} || Q <- Running]}),
            fail({conversion_failed, failure(P, M, Vsn, How, was_running(), length(Running))})
    end,
    log({add, at_resume, {M, Kind, Vsn, Extra}}),
    log({add, changed, M}),
    All = lists:append([parts_pids(Parts) || Parts <- Computed]),
    {Late + length(All), Dead + length([P || P <- All, not is_process_alive(P)])}.

%% Those that something else has resumed, among the first ones: looking at very many would take as
%% long as asking them.
running(All) ->
    [P || P <- lists:sublist(lists:append([parts_pids(Parts) || Parts <- All]), 200),
          runs_again(P, 5), is_process_alive(P)].

resume_op(M) ->
    case lists:keyfind(M, 1, log_get(at_resume)) of
        {M, Kind, Vsn, Extra} ->
            Fun = install_last_fun(self(), {Kind, M, M, Vsn, Extra}, mark()),
            {install_and_resume, Fun, get(dead_pid)};
        false -> resume
    end.

%% One that has nothing kept was resumed by an executor that has died since. One whose state is not
%% the one that was converted has run since it was looked at.
install_last_fun(Exec, {Kind, M, _, Vsn, Extra}, Mark) ->
    fun(S) ->
        case erase('$updo_computed') of
            {Mark, S, {new, New}} -> New;
            undefined -> S;
            _ ->
                case converted(Kind, M, S, M, Vsn, Extra) of
                    {ok, New} -> New;
                    Wrong -> Exec ! {not_installed, M, self(), why(Wrong)}, S
                end
        end
    end.

note_not_installed() ->
    receive
        {not_installed, M, P, Why} ->
            {M, _, Vsn, Extra} = lists:keyfind(M, 1, log_get(at_resume)),
            log({add, not_installed, {M, P, Why, Vsn, Extra}}),
            note_not_installed()
    after 0 -> ok
    end.

%% => run()
%% What is left as it was is named, and converted by hand or by `updo mend`.
half_installed(All) ->
    [{M, P, Why, Vsn, Extra} | _] = All,
    Left = [{N, Q, Text} || {N, Q, Text, _, _} <- All],
    Shown = lists:sublist(Left, named()),
    Answering = answering([Q || {_, Q, _} <- Shown]),
    #{reason => {conversion_failed, failure(P, M, Vsn, {advanced, Extra}, Why, length(Left))},
      no_old_code => [], new => log_get(loaded), by_hand => [],
      unconverted => [#{pid => Q, module => N, reason => Text,
                        answers => lists:member(Q, Answering)} || {N, Q, Text} <- Shown],
      old_states => old_states(Left),
      to_convert => [#{module => N, vsn => V, extra => X, pids => [Q || {O, Q, _} <- Left, O =:= N]}
                     || {N, V, X} <- lists:usort([{N, V, X} || {N, _, _, V, X} <- All])]}.

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
