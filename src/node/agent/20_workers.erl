%% The workers, which send all system messages, and the texts of events.

%% -------------------------------------------------------------------------------------------------
%% Executor and workers

%% The worker that sends all system messages to P.
worker_of(P) ->
    Ws = get(workers),
    lists:nth(erlang:phash2(P, length(Ws)) + 1, Ws).

%% One operation for many processes. {dead, [Pid that has not answered yet], [{Pid, Why}]}
dispatch(Ref, Id, Op, Parts, Total) -> dispatch(Ref, Id, Op, Parts, 0, Total).

%% Before: how many of Total were done before these.
dispatch(Ref, Id, Op, Parts, Before, Total) ->
    Jobs = [{W, Ps} || {W, Ps} <- lists:zip(get(workers), tuple_to_list(Parts)), Ps =/= []],
    lists:foreach(fun({W, Ps}) -> W ! {dispatch, Ref, Op, Ps} end, Jobs),
    put(doing, {Id, min(Total, Before + parts_size(Parts)), Total, now_ms(), now_ms()}),
    collect(Ref, Id, case is_tuple(Op) of true -> element(1, Op); false -> Op end,
            length(Jobs), 0, [], [], {Before, Total}).

collect(_, _, _, 0, Dead, Slow, Failed, _) -> {Dead, Slow, Failed};
collect(Ref, Id, Op, N, Dead, Slow, Failed, {Done, Total}) ->
    GMon = get(gmon),
    receive
        {done, Ref, D, S} ->
            collect(Ref, Id, Op, N - 1, Dead + D, S ++ Slow, Failed, {Done, Total});
        {failed, Ref, Pid, Why} ->
            lists:foreach(fun(W) -> W ! {stop, Ref} end, get(workers)),
            collect(Ref, Id, Op, N, Dead, Slow, Failed ++ [{Pid, Why}], {Done, Total});
        {progress, Ref, K} ->
            event({step_progress, Id, Done + K, Total}),
            collect(Ref, Id, Op, N, Dead, Slow, Failed, {Done + K, Total});
        {updo_watchers, Ws} ->
            put(watchers, Ws),
            collect(Ref, Id, Op, N, Dead, Slow, Failed, {Done, Total});
        {'DOWN', GMon, process, _, _} ->
            new_guardian(),
            collect(Ref, Id, Op, N, Dead, Slow, Failed, {Done, Total})
    after case Op of precompute -> pause_left(); _ -> infinity end ->
        %% No further ones are asked; for_all/6 calls the window off.
        lists:foreach(fun(W) -> W ! {stop, Ref} end, get(workers)),
        collect(Ref, Id, stopped, N, Dead, Slow, Failed, {Done, Total})
    end.

%% The next late answer: {Pid, ok | {error, Text}}, or quiet.
late(Ref) ->
    GMon = get(gmon),
    receive
        {late, Ref, Pid, Answer} -> {Pid, Answer};
        {unserved, Q, P, Why} -> unserved(Q, P, Why), quiet;
        {updo_watchers, Ws} -> put(watchers, Ws), quiet;
        {'DOWN', GMon, process, _, _} -> new_guardian(), quiet
    after patience() -> quiet
    end.

%% {dead, failed, timed out}; What: `first` stops at the first failure.
wait_late(_, Slow, _, Dead, _) when map_size(Slow) =:= 0 -> {Dead, [], []};
wait_late(Ref, Slow, Until, Dead, What) ->
    tell_slow(Slow, get(doing)),
    case late(Ref) of
        {Pid, {error, Why}} when What =:= first -> {Dead, [{Pid, Why}], []};
        {Pid, _} -> wait_late(Ref, maps:remove(Pid, Slow), Until, Dead, What);
        quiet ->
            Gone = [P || P <- maps:keys(Slow), not is_process_alive(P)],
            Slow1 = maps:without(Gone, Slow),
            release_for(maps:keys(Slow1)),
            What =:= first andalso begin serve(Slow1), within_pause() end,
            case Until =/= infinity andalso now_ms() >= Until of
                true -> {Dead + length(Gone), [], maps:keys(Slow1)};
                false -> wait_late(Ref, Slow1, Until, Dead + length(Gone), What)
            end
    end.

%% Once a second: how many are done, and where three of the others are. So many are done when none
%% is slow any more.
tell_slow(Slow, {Id, Most, Total, Since, Told}) when is_integer(Id) ->
    case now_ms() of
        Now when Now - Told >= 1000 ->
            put(doing, {Id, Most, Total, Since, Now}),
            event({step_progress, Id, max(0, Most - map_size(Slow)), Total,
                   describe_slow(Slow, Since, Now)});
        _ -> ok
    end;
tell_slow(_, _) -> ok.

%% => slow_process()
describe_slow(Slow, Since, Now) ->
    [#{pid => text(P), at => whereabouts(P), ms => Now - Since} || P <- slowest(Slow)].

%% Three; first those that others of them wait for, for these only wait.
slowest(Slow) ->
    Some = lists:sublist(maps:keys(Slow), 100),
    Busy = lists:usort([T || P <- Some, {monitors, Ms} <- [process_info(P, monitors)],
                             T <- lists:append([target(M) || M <- lists:sublist(Ms, 64)]), T =/= P,
                             is_map_key(T, Slow)]),
    lists:sublist(Busy ++ (Some -- Busy), 3).

%% The innermost function that is not OTP's own: timer:sleep/1 says nothing. Twins go by the name of
%% their module.
whereabouts(P) ->
    case process_info(P, current_stacktrace) of
        {_, [_ | _] = Stack} ->
            [Own | _] = [Frame || {M, _, _, _} = Frame <- Stack, not code:is_sticky(M)] ++ Stack,
            {M, F, A, _} = own_frame(Own),
            case F =:= ends andalso is_agent(M) of
                true -> <<"a trial of its conversion on a copy">>;
                false ->
                    text_of("~tp:~tp/~tp", [M, F, if is_list(A) -> length(A); true -> A end])
            end;
        _ -> <<"?">>
    end.

%% Nothing is sent any more when this returns.
stop_workers() ->
    Ref = make_ref(),
    lists:foreach(fun(W) -> W ! stop, W ! {sync, Ref} end, get(workers)),
    lists:foreach(fun(_) -> receive {synced, Ref} -> ok end end, get(workers)).

%% -------------------------------------------------------------------------------------------------
%% Worker

%% Slow: requests that were not answered quickly; their answers are passed on when they come.
worker(E, Slow) ->
    receive
        {dispatch, Ref, {restore, _, Portable, DeadPid, Ask} = Op, Pids} when map_size(Slow) > 0 ->
            Hanging = maps:from_list([{P, true} || {_, P} <- maps:keys(Slow)]),
            {Those, Others} = lists:partition(fun(P) -> is_map_key(P, Hanging) end, Pids),
            Special = {restore, Portable, Portable, DeadPid,
                       case Ask of {M, Vsn, _, Later} -> {M, Vsn, Later, Later}; none -> none end},
            lists:foreach(fun(P) -> send(Special, {self(), {Ref, P}}, P) end, Those),
            Slow1 = maps:merge(Slow, maps:from_list([{{Ref, P}, true} || P <- Those])),
            put(reported, now_ms()),
            pump(E, Ref, Op, Others, #{}, 0, Slow1, Those, 0);
        {dispatch, Ref, Op, Pids} ->
            put(reported, now_ms()),
            pump(E, Ref, Op, Pids, #{}, 0, Slow, [], 0);
        {again, Ref, Op, P} ->
            send(Op, {self(), {Ref, P}}, P),
            worker(E, Slow#{{Ref, P} => true});
        {cast, Op, P} ->
            send(Op, {self(), {dead_pid, P}}, P),
            worker(E, Slow);
        {sync, Ref} -> E ! {synced, Ref}, worker(E, Slow);
        {{ask, P}, Answer} -> unasked_one(E, P, Answer), worker(E, Slow);
        {{Ref, P} = Tag, Answer} when is_map_key(Tag, Slow) ->
            E ! {late, Ref, P, answer(Answer)},
            worker(E, maps:remove(Tag, Slow));
        _ -> worker(E, Slow)
    end.

%% At most 16 unanswered requests (bursts are slower for all); after quiet() ms without an
%% answer those waiting count as slow.
pump(E, Ref, _, [], Out, Dead, Slow, Late, _) when map_size(Out) =:= 0 ->
    E ! {done, Ref, Dead, Late},
    worker(E, Slow);
pump(E, Ref, Op, [P | Ps], Out, Dead, Slow, Late, K) when map_size(Out) < 16 ->
    case is_process_alive(P) of
        true ->
            send(Op, {self(), {Ref, P}}, P),
            pump(E, Ref, Op, Ps, Out#{P => true}, Dead, Slow, Late, K);
        false -> pump(E, Ref, Op, Ps, Out, Dead + 1, Slow, Late, K)
    end;
pump(E, Ref, Op, Ps, Out, Dead, Slow, Late, K) ->
    receive
        {{Ref, P}, Answer} when is_map_key(P, Out) ->
            Out1 = maps:remove(P, Out),
            K1 = progress(E, Ref, K + 1),
            case answer(Op, Answer) of
                ok -> pump(E, Ref, Op, Ps, Out1, Dead, Slow, Late, K1);
                {error, Why} ->
                    E ! {failed, Ref, P, Why},
                    pump(E, Ref, Op, [], Out1, Dead, Slow, Late, K1)
            end;
        {{R, P} = Tag, Answer} when is_map_key(Tag, Slow) ->
            E ! {late, R, P, answer(Answer)},
            pump(E, Ref, Op, Ps, Out, Dead, maps:remove(Tag, Slow), Late, K);
        {{ask, P}, Answer} ->
            unasked_one(E, P, Answer), pump(E, Ref, Op, Ps, Out, Dead, Slow, Late, K);
        {stop, Ref} -> pump(E, Ref, Op, [], Out, Dead, Slow, Late, K);
        stop -> pump(E, Ref, Op, [], Out, Dead, Slow, Late, K)
    after quiet() ->
        {Alive, Gone} = lists:partition(fun(P) -> is_process_alive(P) end, maps:keys(Out)),
        Slow1 = lists:foldl(fun(P, Acc) -> Acc#{{Ref, P} => true} end, Slow, Alive),
        outlast(Op, Alive),
        is_take(Op) andalso Alive =/= [] andalso (E ! {slow, Ref, Alive}),
        pump(E, Ref, Op, Ps, #{}, Dead + length(Gone), Slow1, Alive ++ Late, K)
    end.

%% A busy process may come to the last request of a run when the agent's module is gone; a fun of it
%% fails then.
outlast({erase, _, Portable, DeadPid}, Ps) ->
    lists:foreach(fun(P) -> P ! {system, {DeadPid, DeadPid}, {replace_state, Portable}} end, Ps);
outlast(_, _) -> ok.

unasked_one(E, P, Answer) ->
    case answer(Answer) of ok -> ok; {error, Why} -> E ! {unasked, P, Why} end.

%% Every 5000 answers, and after a second with fewer.
progress(E, Ref, K) ->
    Now = now_ms(),
    case K >= 5000 orelse Now - get(reported) >= 1000 of
        true -> put(reported, Now), E ! {progress, Ref, K}, 0;
        false -> K
    end.

%% On the way out there is no failure that could stop anything.
answer(Op, Answer) when Op =:= suspend; Op =:= take; element(1, Op) =:= take -> answer(Answer);
answer(Op, Answer) when element(1, Op) =:= change; element(1, Op) =:= convert;
element(1, Op) =:= ask; element(1, Op) =:= precompute; element(1, Op) =:= install;
                   element(1, Op) =:= renew; element(1, Op) =:= revert -> answer(Answer);
answer(_, _) -> ok.

answer(ok) -> ok;
answer({ok, _}) -> ok;
answer({error, {unknown_system_msg, _}}) -> {error, was_running()};
answer({error, {updo_text, Why}}) -> {error, Why};
answer({error, Why}) -> {error, why(Why)};
answer(Other) -> {error, text(Other)}.

%% What only a suspended process does was asked of one that runs.
was_running() -> <<"it was running: something else has resumed it">>.

%% What was raised, and where: `error:badarg in m:f/1 (m.erl, line 7)`, with its callers
%% below, OTP's own left out.
why({'EXIT', {Reason, [{_, _, _, _} | _] = Stack}}) -> raised(error, Reason, Stack);
why({'EXIT', Reason}) -> raised(exit, Reason, []);
why({Class, Reason, [{_, _, _, _} | _] = Stack}) when Class =:= error; Class =:= exit;
Class =:= throw -> raised(Class, Reason, Stack);
why(Other) -> text(no_args(Other)).

raised(Class, Reason, Stack) ->
    Ours = [own_frame(F) || {M, _, _, _} = F <- no_operator(Reason, Stack),
                            not code:is_sticky(M), not is_agent(M)],
    Where = case {Ours, Stack} of
        {[], []} -> [];
        {[], [F | _]} -> [" in ", frame(F)];
        {[F | Callers], _} ->
            [" in ", frame(F) | [["\ncalled by ", frame(C)] || C <- lists:sublist(Callers, 5)]]
    end,
    text_of("~w:~tP~ts", [Class, no_args(Reason), 30, Where]).

%% Later releases put a frame of the operator before that of the function that calculates.
no_operator(badarith, [{erlang, _, _, _} | [_ | _] = Stack]) -> Stack;
no_operator(_, Stack) -> Stack.

is_agent(M) -> lists:prefix("updo_agent", atom_to_list(M)).

frame({M, F, A, Place}) ->
    Line = case {proplists:get_value(file, Place), proplists:get_value(line, Place)} of
        {[_ | _] = File, N} when is_integer(N) ->
            io_lib:format(" (~ts, line ~b)", [filename:basename(File), N]);
        _ -> ""
    end,
    io_lib:format("~tw:~tw/~w~ts", [M, F, if is_list(A) -> length(A); true -> A end, Line]).

is_take({take, _, _, _}) -> true;
is_take(Op) -> Op =:= take.

%% `take` reports at once which processes are slow.
send(Op, From, P) when Op =:= suspend; Op =:= take -> P ! {system, From, suspend};
send({take, How, Bounds, DeadPid}, From, P) ->
    P ! {system, From, suspend},
    P ! {system, {DeadPid, DeadPid}, {replace_state, early_fun(How, Bounds)}};
send(resume, From, P) -> P ! {system, From, resume};
send({change, M, Vsn, Extra, Save, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Save}},
    P ! {system, From, {change_code, M, Vsn, Extra}};
send({renew, M, Vsn, Extra, Save, Keep, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Save}},
    P ! {system, From, {change_code, M, Vsn, Extra}},
    P ! {system, {DeadPid, DeadPid}, {replace_state, Keep}};
send({revert, What, Save, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Save}},
    P ! {system, {DeadPid, DeadPid}, {replace_state, revert_fun(From, What)}};
send({convert, M, Mod, Fun, Save, Handler, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Save}},
    P ! {system, {DeadPid, DeadPid}, {replace_state, convert_fun(From, M, Mod, Fun, Handler)}};
%% A process that something else has resumed would go on from another state than the one converted.
send({precompute, {Kind, _, _, _, _} = How, Bounds, First, Limit, DeadPid}, From, P) ->
    IsFirst = is_map_key(P, First),
    case IsFirst andalso runs_again(P, 5) of
        true -> tell(From, {error, {unknown_system_msg, precompute}});
        false ->
            Ms = case IsFirst of true -> Limit; false -> none end,
            Fun = precompute_fun(From, How, Bounds, Ms),
            P ! {system, {DeadPid, DeadPid}, {replace_state, Fun}},
            handlers_done(Kind, From, P)
    end;
send({install, {Kind, _, _, _, _} = How, Pass, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, install_fun(From, How, Pass)}},
    handlers_done(Kind, From, P);
send({serve, Fun, DeadPid}, _, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Fun}};
send({ask, M, Vsn, Stash, Unstash, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Stash}},
    P ! {system, From, {change_code, M, Vsn, callback_mode}},
    P ! {system, {DeadPid, DeadPid}, {replace_state, Unstash}};
send({restore, _, _, _, _} = Op, From, P) ->
    send_restore(Op, P),
    P ! {system, From, resume};
send({install_and_resume, Fun, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Fun}},
    P ! {system, From, resume};
send({install_only, {_, Fun, DeadPid}}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Fun}},
    P ! {system, From, {debug, {remove, {updo_agent, none}}}};
%% The answer to a change of debug options that changes none says that all before it is done.
send({stay, Op}, From, P) ->
    send_restore(Op, P),
    P ! {system, From, {debug, {remove, {updo_agent, none}}}};
send({erase, Erase, _, DeadPid}, From, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Erase}},
    P ! {system, From, {debug, {remove, {updo_agent, none}}}}.

%% A manager runs a fun once for each of its handlers: an answer of its own says that it is through.
handlers_done(event, From, P) ->
    P ! {system, From, {debug, {remove, {updo_agent, none}}}};
handlers_done(_, _, _) -> ok.

send_restore({restore, Restore, _, DeadPid, Ask}, P) ->
    P ! {system, {DeadPid, DeadPid}, {replace_state, Restore}},
    case Ask of
        {M, Vsn, {Stash, Unstash}, _} ->
            send({ask, M, Vsn, Stash, Unstash, DeadPid}, {self(), {ask, P}}, P);
        none -> ok
    end.

%% -------------------------------------------------------------------------------------------------
%% Texts: bounded, and no arguments of functions, for those are the users' states

text(T) -> text_of("~tP", [T, 30]).

text_of(Format, Args) ->
    Chars = io_lib:format(Format, Args, [{chars_limit, max_text()}]),
    case unicode:characters_to_binary(string:slice(Chars, 0, max_text())) of
        B when is_binary(B) -> B;
        _ -> <<"(not printable)">>
    end.

%% As the shell, `updo eval` and a remote call take it: c:pid(0,84,0).
pid_text(P) ->
    "c:pid(" ++ [case C of $. -> $,; _ -> C end || C <- pid_to_list(P), C =/= $<, C =/= $>] ++ ")".

stack_text(Stack) -> text(no_args(Stack)).

%% A key of an empty list is left out.
filled(Map) -> maps:filter(fun(_, V) -> V =/= [] end, Map).

no_args([{M, F, A, Loc} | T]) when is_atom(M), is_atom(F), is_list(A) ->
    [{M, F, length(A), Loc} | no_args(T)];
no_args([H | T]) -> [no_args(H) | no_args(T)];
no_args(T) when is_tuple(T) -> list_to_tuple(no_args(tuple_to_list(T)));
no_args(T) -> T.
