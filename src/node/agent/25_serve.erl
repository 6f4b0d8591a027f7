%% Conversions that wait for a suspended process: code_change, a supervisor's init/1 or an on_load
%% function calls a server of the same window, and that one is suspended.
%%
%% The callee answers that call, and no other, while it stays suspended: a replace_state whose fun
%% takes the request out of the mailbox, has the module's callback answer it, and gives back the
%% state that the callback leaves. What the state was before is put aside first, as for a
%% conversion, so the undo stays exact.
%%
%% Its state has to be one that its loaded code can have. Behind the switch a callee whose own
%% conversion is still due is converted first. Before a switch (on the way down) it answers as long
%% as it is not converted; one that is answers from the state put aside, as long as that stays the
%% same.
%%
%% What cannot be answered (an event manager, a special process, a circle of conversions that wait
%% for each other, a callback that stops its server or wants a time-out) fails the conversion at
%% once, instead of after its time.
%%
%% Which callee: gen:call leaves a monitor in the caller. Monitors are followed through processes
%% that are not suspended (a task, a helper), and the request in the callee's mailbox decides.

%% ------------------------------------------------------------------------------------------------
%% In the executor

%% When: `behind` or `before` the switch.
serving(When) ->
    serving_ends(),
    put(serve, #{'when' => When, loops => #{}, served => counters:new(1, [])}).

%% How many calls were answered. The processes leave the loop in which they answer when its keeper
%% ends.
serving_ends() ->
    erase(waiting_outside),
    case erase(serve) of
        undefined -> 0;
        #{loops := Loops, served := Served} ->
            maps:fold(fun(_, {Keeper, _}, _) -> exit(Keeper, kill) end, ok, Loops),
            counters:get(Served, 1)
    end.

%% Processes of a module are about to be asked for something: none of them answers others then.
serving_stops(M) ->
    case get(serve) of
        #{loops := Loops} = Serve when map_size(Loops) > 0 ->
            Ours = suspended_now(),
            Stop = maps:filter(fun(Q, _) -> maps:get(Q, Ours, M) =:= M end, Loops),
            maps:fold(fun(_, {Keeper, _}, _) -> exit(Keeper, kill) end, ok, Stop),
            put(serve, Serve#{loops := maps:without(maps:keys(Stop), Loops)});
        _ -> ok
    end.

%% Slow: processes whose conversion has not answered.
serve(Slow) ->
    case get(serve) of
        undefined -> ok;
        _ ->
            Outside = waiting_outside(),
            Waiting = maps:merge(Outside, Slow),
            Some = lists:sublist(maps:keys(Slow) ++ maps:keys(Outside), 100),
            lists:foreach(fun(P) -> serve_for(P, Waiting, suspended_now(), [P]) end, Some)
    end.

%% Conversions that are under way when another one has failed are answered still: while a process is
%% in code_change it executes code that the undo would have to take away.
let_through(Pids, Until) ->
    Inside = [P || get(serve) =/= undefined, P <- Pids, is_process_alive(P),
                   in_suspend_loop(P, 0) =:= false],
    case Inside =/= [] andalso now_ms() < Until of
        true ->
            try serve(maps:from_list([{P, true} || P <- Inside]))
            catch throw:{updo_fail, _} -> serving_ends() end,
            receive after 5 -> let_through(Inside, Until) end;
        false -> ok
    end.

%% Those of conversions that have been interrupted for one that has to come first.
waiting_outside() -> case get(waiting_outside) of undefined -> #{}; Outside -> Outside end.

%% #{Pid => Module}
suspended_now() ->
    N = length(log_get(found)),
    All = case get(held) of {N, Map} -> Map; _ -> Map = all_found(), put(held, {N, Map}), Map end,
    maps:without(log_get(left), All).

%% Path: the process that waits, behind it those that wait for it.
serve_for(P, Waiting, Ours, Path) ->
    lists:foreach(fun({Caller, Q}) -> serve_call(Caller, Q, Waiting, Ours, Path) end,
                  calls_of(P, fun(Q) -> is_map_key(Q, Ours) end, 8)).

serve_call(Caller, Q, Waiting, Ours, Path) ->
    #{loops := Loops} = get(serve),
    M = maps:get(Q, Ours),
    case Loops of
        #{Q := {_, #{Caller := _}}} ->
            lists:member(Q, Path) orelse serve_for(Q, Waiting, Ours, [Q | Path]);
        _ ->
            case asks(Caller, Q) of
                false -> ok;
                true when is_map_key(Q, Waiting) ->
                    lists:member(Q, Path) andalso circle(Path, Ours),
                    serve_for(Q, Waiting, Ours, [Q | Path]);
                true -> serve_asked(Caller, Q, M, Waiting, Ours, Path)
            end
    end.

%% Named by the one that waits first, and the one that it calls.
circle(Path, Ours) ->
    Q = lists:nth(max(1, length(Path) - 1), Path),
    blocked(Path, Q, maps:get(Q, Ours), circle, Ours).

%% Whether the request of a caller is in a mailbox. One that is too long to look at may have it.
asks(Caller, Q) ->
    case process_info(Q, message_queue_len) of
        {_, N} when N =< 1000 ->
            case process_info(Q, messages) of
                {_, Messages} -> lists:any(fun(M) -> has_caller(M, Caller, 3) end, Messages);
                undefined -> false
            end;
        {_, _} -> true;
        undefined -> false
    end.

%% Requests have {Pid, Tag} in them, wherever their protocol puts it.
has_caller(_, _, 0) -> false;
has_caller({Caller, _}, Caller, _) -> true;
has_caller(T, Caller, Depth) when is_tuple(T), tuple_size(T) =< 6 ->
    lists:any(fun(E) -> E =:= Caller orelse has_caller(E, Caller, Depth - 1) end, tuple_to_list(T));
has_caller(_, _, _) -> false.

serve_asked(Caller, Q, M, Waiting, Ours, Path) ->
    case due_conversion(M) of
        none -> serve_begin(Caller, Q, M, Waiting, Ours, Path);
        {Mode, How} ->
            Interrupted = [{K, get(K)} || K <- [waiting_outside, doing, unconverted]],
            put(waiting_outside, Waiting),
            Sum = change(log_get(step), M, How, old_vsn(Mode, M)),
            lists:foreach(fun({K, V}) -> put(K, V) end, Interrupted),
            put(done_ahead, [{M, Sum} | done_ahead()])
    end.

done_ahead() -> case get(done_ahead) of undefined -> []; Done -> Done end.

%% A conversion that has to come first: {Mode, How} | none. Those in progress are through with this
%% process, for it does not wait itself.
due_conversion(M) ->
    #{'when' := When} = get(serve),
    Known = lists:member(M, converting_now()) orelse lists:member(M, converted_now()),
    case When =:= behind andalso not Known of
        true ->
            Due = [{up, How} || {_, {code_change, up, L}} <- rest_of_window(log_get(step)),
                   {N, How} <- L,
                   N =:= M, How =/= soft],
            case Due of [First | _] -> First; [] -> none end;
        false -> none
    end.

converting_now() -> case get(converting_now) of undefined -> []; Ms -> Ms end.
converted_now() -> case get(converted_now) of undefined -> []; Ms -> Ms end.

%% The steps from this one to the resume.
rest_of_window(Step) ->
    Rest = lists:dropwhile(fun({Id, _}) -> Id =/= Step end, job(steps, [])),
    lists:takewhile(fun({_, {resume, _}}) -> false; (_) -> true end, Rest).

%% All that convert now may call, and those that are known to wait. Where they are very many,
%% further ones are let in as they are found waiting.
serve_begin(Caller, Q, M, Waiting, Ours, Path) ->
    #{'when' := When, loops := Loops, served := Served} = Serve = get(serve),
    Server = served_module(Q, M),
    Kind = kind_of_server(Server),
    Kind =:= none andalso blocked(Path, Q, M, kind, Ours),
    Before = case Loops of
        #{Q := {Keeper, Callers}} -> exit(Keeper, kill), Callers;
        _ -> #{}
    end,
    Origin = lists:last(Path),
    Converting = lists:sublist([P || N <- converting_now(), Parts <- parts_of(N),
                                     P <- parts_pids(Parts)], 2000),
    All = maps:merge(Before, maps:from_list([{Caller, Origin} | [{P, P} || P <- Converting ++
                                             lists:sublist(maps:keys(Waiting), 2000), P =/= Q]])),
    Exec = self(),
    New = spawned(fun() -> loop_keeper(monitor(process, Exec)) end, []),
    State = case When =:= before andalso lists:member(M, converted_now()) of
        true -> put_aside; false -> current end,
    put(serve, Serve#{loops := Loops#{Q => {New, All}}}),
    %% Where only this is undone, the states are put back all the same.
    lists:member(M, log_get(converting)) orelse log({add, converting, M}),
    Fun = serving_fun({Exec, New, Served}, {Kind, Server}, All, {stamp(), get(pass)}, State),
    worker_of(Q) ! {cast, {serve, Fun, get(dead_pid)}, Q}.

loop_keeper(Mon) -> receive {'DOWN', Mon, process, _, _} -> ok end.

%% The module whose callbacks a process runs.
served_module(Q, M) ->
    case loop_module(Q) of
        unknown ->
            case initial_call(Q) of
                {Sup, _, 1} when Sup =:= supervisor; Sup =:= 'Elixir.DynamicSupervisor' -> Sup;
                _ -> M
            end;
        Loop -> Loop
    end.

kind_of_server(M) ->
    case {erlang:function_exported(M, handle_call, 3),
          erlang:function_exported(M, callback_mode, 0)} of
        {true, false} -> server;
        {false, true} -> case switches(M) of true -> none; false -> statem end;
        _ -> none
    end.

%% Fails the conversion of the process that began the path. A module's on_load function has none.
blocked(Path, Q, M, Why, Ours) -> blocked_by(lists:last(Path), Q, M, Why, Ours).

blocked_by(P, Q, M, Why, Ours) ->
    {Kind, Text} = case Why of {returned, What} -> {returned, What}; _ -> {Why, <<>>} end,
    By = blocker(Q, M, Kind),
    case Ours of
        #{P := Mod} ->
            Hows = [How || {_, {code_change, _, L}} <- rest_of_window(log_get(step)),
                    {N, How} <- L, N =:= Mod],
            How = case Hows of [First | _] -> First; [] -> none end,
            Vsn = case log_get(before) of #{Mod := #{vsn := V}} -> V; _ -> undefined end,
            #{current_function := Where, stack := Stack} = describe(P, #{}),
            Failure = failure(P, Mod, Vsn, How, Text, 1),
            fail({conversion_failed, Failure#{current_function => Where, stack => Stack,
                                              blocked_by => By}});
        _ -> throw({updo_blocked, P, blocker_text(By, Text)})
    end.

%% => blocker()
blocker(Q, M, Kind) -> #{pid => Q, module => M, why => Kind}.

%% => blocker()
blocker_text(By, Text) -> By#{text => Text}.

%% A callee could not answer for P's sake. One that says so late says it in vain.
unserved(Q, P, Why) ->
    case get(serve) of
        undefined -> ok;
        _ ->
            Ours = suspended_now(),
            blocked_by(P, Q, maps:get(Q, Ours, unknown), {returned, Why}, Ours)
    end.

%% ------------------------------------------------------------------------------------------------
%% In the process that answers

serving_fun({Exec, Keeper, Served}, Server, Callers, {Stamp, Pass}, Which) ->
    fun(S) ->
        try
            Mon = monitor(process, Keeper),
            From = case {Which, get('$updo_saved')} of
                {current, _} -> saved(S, Stamp, Pass, false);
                {put_aside, {Stamp, _, Old}} -> Old
            end,
            Tell = fun(C, Why) -> Exec ! {unserved, self(), maps:get(C, Callers), Why} end,
            New = serving_loop(Mon, Server, Callers, Which, {Tell, Served}, From),
            demonitor(Mon, [flush]),
            case Which of
                put_aside -> S;
                current -> New =:= S orelse forget_computed(), New
            end
        catch _:_ -> S
        end
    end.

serving_loop(Mon, Server, Callers, Which, {Tell, Served} = To, S) ->
    receive
        {'$gen_call', {C, _} = From, Request} = Call when is_map_key(C, Callers) ->
            case answered_by(Server, Request, From, S) of
                {ok, New, Reply} when Which =:= current; New =:= S ->
                    counters:add(Served, 1, 1),
                    Reply(),
                    serving_loop(Mon, Server, Callers, Which, To, New);
                {ok, _, _} -> self() ! Call, Tell(C, <<"a state that is converted already">>), S;
                {no, Why} -> self() ! Call, Tell(C, Why), S
            end;
        {'DOWN', Mon, process, _, _} -> S
    end.

%% {ok, State, fun that replies} | {no, Text}: what cannot be installed while it is suspended is not
%% answered, and the request stays.
answered_by({server, M}, Request, From, S) ->
    answered_server(M, From, try M:handle_call(Request, From, S) catch throw:R -> R;
                        Class:Why:Stack -> {raised, {Class, Why, no_args(Stack)}} end);
answered_by({statem, M}, Request, From, {Name, Data}) ->
    Event = {call, From},
    Result = try
        case M:callback_mode() of
            [handle_event_function | _] -> M:handle_event(Event, Request, Name, Data);
            handle_event_function -> M:handle_event(Event, Request, Name, Data);
            _ -> M:Name(Event, Request, Data)
        end
    catch
        throw:R -> R;
        Class:Why:Stack -> {raised, {Class, Why, no_args(Stack)}}
    end,
    answered_statem(Result, Name, Data).

answered_server(_, From, {reply, Reply, S}) -> replies(S, [{From, Reply}]);
answered_server(_, From, {reply, Reply, S, Then}) when Then =:= infinity; Then =:= hibernate ->
    replies(S, [{From, Reply}]);
%% From OTP 28 on a supervisor hibernates when nothing has come for a while: it may do that later.
answered_server(supervisor, From, {reply, Reply, S, {timeout, _, {hibernate, _}}}) ->
    replies(S, [{From, Reply}]);
answered_server(supervisor, _, {noreply, S, {timeout, _, {hibernate, _}}}) -> replies(S, []);
answered_server(M, From, {reply, Reply, S, {continue, Arg}}) ->
    continued(M, Arg, S, [{From, Reply}]);
%% The answer comes from elsewhere.
answered_server(_, _, {noreply, S}) -> replies(S, []);
answered_server(_, _, {noreply, S, Then}) when Then =:= infinity; Then =:= hibernate ->
    replies(S, []);
answered_server(M, _, {noreply, S, {continue, Arg}}) -> continued(M, Arg, S, []);
answered_server(_, _, Other) -> {no, not_installed(Other)}.

%% gen_server replies before it continues; here the reply is last, for what cannot be installed is
%% not answered.
continued(M, Arg, S, Replies) ->
    Result = try M:handle_continue(Arg, S) catch
        throw:R -> R;
        Class:Why:Stack -> {raised, {Class, Why, no_args(Stack)}}
    end,
    case Result of
        {noreply, New} -> replies(New, Replies);
        {noreply, New, Then} when Then =:= infinity; Then =:= hibernate -> replies(New, Replies);
        {noreply, New, {continue, Next}} -> continued(M, Next, New, Replies);
        Other -> {no, not_installed(Other)}
    end.

answered_statem(keep_state_and_data, Name, Data) -> replies({Name, Data}, []);
answered_statem({keep_state_and_data, Actions}, Name, Data) -> acted(Name, Data, Actions);
answered_statem({keep_state, New}, Name, _) -> replies({Name, New}, []);
answered_statem({keep_state, New, Actions}, Name, _) -> acted(Name, New, Actions);
answered_statem({next_state, Name, New}, Name, _) -> replies({Name, New}, []);
answered_statem({next_state, Name, New, Actions}, Name, _) -> acted(Name, New, Actions);
answered_statem(Other, _, _) -> {no, not_installed(Other)}.

%% Only actions that reply: time-outs, postponed and inserted events belong to its loop.
acted(Name, Data, Action) when not is_list(Action) -> acted(Name, Data, [Action]);
acted(Name, Data, Actions) ->
    case [A || A <- Actions, A =/= hibernate, A =/= {hibernate, true}, not is_reply(A)] of
        [] -> replies({Name, Data}, [{F, R} || {reply, F, R} <- Actions]);
        [A | _] -> {no, not_installed(A)}
    end.

is_reply({reply, _, _}) -> true;
is_reply(_) -> false.

replies(S, Replies) ->
    {ok, S, fun() -> lists:foreach(fun({From, R}) -> gen_server:reply(From, R) end, Replies) end}.

not_installed({raised, Why}) -> why(Why);
not_installed(Tuple) when is_tuple(Tuple), tuple_size(Tuple) > 0, is_atom(element(1, Tuple)) ->
    text_of("a result `~ts`, whose effect a suspended process cannot have",
            [lists:join(", ", [atom_to_list(element(1, Tuple))
                               | [case E of T when is_integer(T) -> "Time-out"; _ -> "_" end
                                  || E <- tl(tuple_to_list(Tuple))]])]);
not_installed(_) -> <<"a result that is none of its behaviour's">>.
