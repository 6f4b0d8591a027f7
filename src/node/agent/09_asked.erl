%% What a process alone can say, asked before anything is suspended: the handlers of an event
%% manager, the callback module of a gen_statem that may have changed it, whether a hibernating
%% process is suspended already.

%% -------------------------------------------------------------------------------------------------
%% Asking many at once

%% Each in a process of its own. {[{Pid, Answer}], [Pid without an answer in time]}; the dead are in
%% neither.
ask_all([], _) -> {[], []};
ask_all(Questions, Patience) ->
    Asked = [{P, spawned(fun() -> exit({answer, Ask(P)}) end, [monitor])} || {P, Ask} <- Questions],
    Tag = make_ref(),
    Timer = case Patience of infinity -> none; _ -> erlang:send_after(Patience, self(), Tag) end,
    Got = [{P, answer_of(Pid, Mon, Tag)} || {P, {Pid, Mon}} <- Asked],
    Timer =:= none orelse erlang:cancel_timer(Timer),
    receive Tag -> ok after 0 -> ok end,
    {[{P, Answer} || {P, {answer, Answer}} <- Got], [P || {P, silent} <- Got]}.

answer_of(Pid, Mon, Tag) ->
    receive
        {'DOWN', Mon, process, _, {answer, Answer}} -> {answer, Answer};
        {'DOWN', Mon, process, _, _} -> none;
        Tag -> self() ! Tag, exit(Pid, kill), demonitor(Mon, [flush]), silent
    end.

%% A suspended manager answers system messages only.
handlers_of(P) ->
    case process_info(P, current_function) of
        {_, {sys, _, _}} -> [M || {M, _, _} <- sys:get_state(P, infinity)];
        _ -> [case H of {M, _} -> M; M -> M end || H <- gen_event:which_handlers(P)]
    end.

%% -------------------------------------------------------------------------------------------------
%% gen_statem: the callback module of the live process

%% Whether the processes that began in a module may run another one by now: by the actions
%% change_callback_module and push_callback_module, whose names are then in the code of that module.
%% Code that cannot be read may do anything.
switches(M) ->
    case get({switches, M}) of
        undefined ->
            Is = erlang:function_exported(M, callback_mode, 0) andalso may_switch(M),
            put({switches, M}, Is),
            Is;
        Is -> Is
    end.

may_switch(M) ->
    Job = [B || #{name := N, new := New, old := Old} <- job(modules, []), N =:= M, B <- [New, Old],
           is_binary(B)],
    Beams = case {Job, code:which(M)} of
        {[], [_ | _] = File} -> [File];
        {[], _} -> [unknown];
        _ -> Job
    end,
    lists:any(fun(unknown) -> true;
                 (B) -> names_switch(beam_lib:chunks(B, ["AtU8", "LitT"], [allow_missing_chunks]))
              end, Beams).

%% An atom of a constant tuple is in the chunk of literals only, which is compressed before OTP 28.
names_switch({ok, {_, Chunks}}) ->
    Texts = [case Chunk of
                 {"LitT", <<0:32, Plain/binary>>} -> Plain;
                 {"LitT", <<_:32, Packed/binary>>} -> zlib:uncompress(Packed);
                 {_, missing_chunk} -> <<>>;
                 {_, Atoms} -> Atoms
             end || Chunk <- Chunks],
    Names = [<<"change_callback_module">>, <<"push_callback_module">>],
    lists:any(fun(T) -> binary:match(T, Names) =/= nomatch end, Texts);
names_switch(_) -> true.

%% The callback module as the process itself knows it; `none`: no gen_statem.
live_module(P) ->
    case sys:get_status(P, infinity) of
        {status, _, {module, gen_statem}, [_, _, _, _, Misc]} when is_list(Misc) ->
            case [M || {data, L} <- Misc, is_list(L), {"Modules", [M | _]} <- L] of
                [M | _] -> M;
                [] -> none
            end;
        _ -> none
    end.

%% -------------------------------------------------------------------------------------------------
%% Suspended before

%% Processes about to be suspended: what has to be known of them first. First: whether the pause has
%% not begun yet.
note_found(Found, First) ->
    Pids = [P || Parts <- maps:values(Found), Part <- tuple_to_list(Parts), P <- Part],
    Left = suspended_before(Pids),
    Left =:= [] orelse log({set, left, lists:usort(Left ++ log_get(left))}),
    watch_survivors(Found, First).

%% Suspended by something else: converted like the others, and never resumed by a run. One that
%% hibernates has to be asked for its status; where there are very many of these, none is.
suspended_before(Pids) ->
    {Left, Sleeping} = lists:foldl(
        fun(P, {L, S}) ->
            case in_suspend_loop(P, 5) of true -> {[P | L], S}; asleep -> {L, [P | S]};
                false -> {L, S} end
        end, {[], []}, Pids),
    case length(Sleeping) > most_asleep() of
        true -> Left;
        false ->
            Ask = fun(P) -> is_suspended(sys:get_status(P, infinity)) end,
            {Answers, _} = ask_all([{P, Ask} || P <- Sleeping], at_most(500)),
            [P || {P, true} <- Answers] ++ Left
    end.

most_asleep() -> 1000.

%% In a system message, or waiting for one in the loop of the suspended?
in_suspend_loop(P, N) ->
    case process_info(P, [current_function, status]) of
        [{_, {sys, _, _}}, {_, waiting}] -> true;
        [{_, {sys, _, _}}, _] when N > 0 -> receive after 1 -> in_suspend_loop(P, N - 1) end;
        [{_, {erlang, hibernate, _}}, _] -> asleep;
        _ -> false
    end.

%% Whether one that has confirmed its suspension runs. It confirms it (in gen:reply/2) before it is
%% in the loop of the suspended.
runs_again(P, N) ->
    case in_suspend_loop(P, 5) of
        false when N > 0 -> receive after 1 -> runs_again(P, N - 1) end;
        false -> true;
        _ -> false
    end.

is_suspended({status, _, _, [_, suspended | _]}) -> true;
is_suspended(_) -> false.

%% The processes of all workers without those that were suspended before, and these alone.
without_left(Parts) ->
    case log_get(left) of
        [] -> {Parts, none};
        Left ->
            IsMine = fun(P) -> not ordsets:is_element(P, Left) end,
            Split = [lists:partition(IsMine, Part) || Part <- tuple_to_list(Parts)],
            {list_to_tuple([Mine || {Mine, _} <- Split]),
             list_to_tuple([Theirs || {_, Theirs} <- Split])}
    end.
