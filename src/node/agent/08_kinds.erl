%% Which module a process belongs to. Its initial call says where it began, which any process may
%% have written over (Elixir's Agent and Task do) and which enter_loop leaves behind. The loop in
%% which it is says what runs it: so the initial call counts as far as the loop does not contradict
%% it, and a process in the loop of another callback module belongs to that one.
%%
%% The callback module is an argument of the loops of gen_server and gen_statem, and shown by a
%% backtrace only. A hibernating process has no stack: there the initial call is all that is known.
%% All processes of one initial call run the same code: of many only the first are looked at, as
%% long as these agree.

%% {#{Initial call => [Pid]}, those without one, those that are being born}
begun([], _, Calls, Bare, Unborn) -> {Calls, Bare, Unborn};
begun([P | Ps], Fast, Calls, Bare, Unborn) ->
    case in_dictionary('$initial_call', look(P, Fast)) of
        {_, _, _} = Call ->
            begun(Ps, Fast, Calls#{Call => [P | maps:get(Call, Calls, [])]}, Bare, Unborn);
        _ ->
            case process_info(P, initial_call) of
                {initial_call, {proc_lib, init_p, _}} -> begun(Ps, Fast, Calls, Bare, [P | Unborn]);
                _ -> begun(Ps, Fast, Calls, [P | Bare], Unborn)
            end
    end.

%% [{Module, behaviour | special | other, Pid}], of the modules that are wanted.
owned({Sup, M, 1}, Ps, Want) when Sup =:= supervisor; Sup =:= supervisor_bridge ->
    [{M, behaviour, P} || is_map_key(M, Want), P <- Ps];
owned({I, _, _} = Call, Ps, Want) ->
    First = lists:sublist(lists:sort(Ps), case is_map_key(I, Want) of true -> 200; false -> 20 end),
    case lists:usort([S || P <- First, S <- [loop_module(P)], S =/= unknown]) of
        [] -> [{M, Kind, P} || P <- Ps, {M, Kind} <- by_initial_call(Call, P, Want)];
        [S] ->
            M = callback_module(Call, S, Want),
            [{M, behaviour, P} || is_map_key(M, Want), P <- Ps];
        _ ->
            lists:append([case loop_module(P) of
                              unknown ->
                                  [{M, Kind, P} || {M, Kind} <- by_initial_call(Call, P, Want)];
                              S ->
                                  [{M, behaviour, P} || M <- [callback_module(Call, S, Want)],
                                                        is_map_key(M, Want)]
                          end || P <- Ps])
    end.

%% Special processes among those that nothing of proc_lib has started.
owned_bare(Ps, Want) ->
    [{M, special, P} || special_modules(Want) =/= #{}, P <- Ps, M <- special(P, Want)].

%% The module that a process with this initial call in the loop of module S belongs to. A
%% behaviour that runs its callback modules in a server of its own may say so in the initial
%% call, whatever function it names there (join/3 of a Phoenix channel, mount/3 of a LiveView):
%% that server converts by the callback module. Where that module takes no part the process is
%% the server's.
callback_module({I, _, _}, I, _) -> I;
callback_module({I, _, _}, S, Want) ->
    case is_map_key(I, Want) andalso declares(I, S) of true -> I; false -> S end.

declares(I, S) ->
    Name = atom_to_list(S),
    lists:any(fun(B) -> B =:= S orelse lists:prefix(atom_to_list(B) ++ ".", Name) end,
              behaviours_of(I)).

behaviours_of(I) ->
    try I:module_info(attributes) of
        As -> lists:append([Bs || {K, Bs} <- As, K =:= behaviour orelse K =:= behavior])
    catch _:_ -> []
    end.

%% A fun is no function of a server: an Agent's or a Task's, when no loop says anything else.
by_initial_call({I, F, A}, P, Want) ->
    case special(P, Want) of
        [M | _] -> [{M, special}];
        [] when F =:= init, A =:= 1 -> [{I, behaviour} || is_map_key(I, Want)];
        [] ->
            case [M || M <- hosted(I, Want), is_asleep(P)] of
                [] -> [{I, other} || is_map_key(I, Want),
                                     hd(atom_to_list(F)) =/= $- orelse is_special_process(I),
                                     executes(P, I)];
                [M | _] -> [{M, behaviour}]
            end
    end.

%% What hibernates is in no loop. Where the initial call is no init/1, and a behaviour of the module
%% has a server of its own (B.Server), it is that server which has written it.
is_asleep(P) -> process_info(P, current_stacktrace) =:= {current_stacktrace, []}.

hosted(I, Want) ->
    case hosts(I) of
        [_ | _] when is_map_key(I, Want) -> [I];
        Hosts -> [S || S <- Hosts, is_map_key(S, Want)]
    end.

hosts(I) ->
    case get({hosts, I}) of
        undefined ->
            Parts = [atom_to_list(B) ++ "." || B <- behaviours_of(I)],
            Hosts = [S || Parts =/= [], {S, _} <- code:all_loaded(),
                          erlang:function_exported(S, code_change, 3),
                          erlang:function_exported(S, handle_info, 2),
                          Name <- [atom_to_list(S)],
                          lists:any(fun(Part) -> lists:prefix(Part, Name) end, Parts)],
            put({hosts, I}, Hosts),
            Hosts;
        Hosts -> Hosts
    end.

%% A process that executes functions of another module, and none of this one below them, is not this
%% one's: a task's.
executes(P, I) ->
    case process_info(P, current_stacktrace) of
        {_, Stack} when length(Stack) < 8 ->
            case [M || {M, _, _, _} <- Stack, M =/= proc_lib] of
                [] -> true;
                Ms ->
                    lists:member(lists:last(Ms), [I, sys, gen_server, gen_statem, gen_event,
                                                  gen_fsm, erlang])
            end;
        _ -> true
    end.

%% A special process belongs to the module whose loop it executes: the functions from which that
%% calls sys:handle_system_msg/6. The outermost counts; whatever a behaviour calls is not a loop.
special(P, Want) ->
    case special_modules(Want) of
        Loops when map_size(Loops) =:= 0 -> [];
        Loops ->
            Stack = case process_info(P, current_stacktrace) of {_, S} -> S; undefined -> [] end,
            In = [M || {M, F, A, _} <- Stack, lists:member({F, A}, maps:get(M, Loops, []))],
            %% Calls of servers are functions that they export; what runs callbacks is not.
            Serving = [F || {B, F, A, _} <- Stack, lists:member(B,
                [gen_server, gen_statem, gen_event]),
                            not erlang:function_exported(B, F, A)],
            [lists:last(In) || In =/= [], Serving =:= []]
    end.

special_modules(Want) -> maps:with(maps:keys(Want), maps:from_list(job(special, []))).

%% The callback module in whose loop a process is, or unknown.
loop_module(P) ->
    case {loop_pattern(), process_info(P, total_heap_size)} of
        {none, _} -> unknown;
        {Pattern, {_, Words}} when Words < 100000 ->
            Text = case process_info(P, backtrace) of {_, T} -> T; undefined -> <<>> end,
            case re:run(loop_frame(Text), Pattern, [{capture, all_but_first, binary}]) of
                {match, [Name]} -> atom_of(Name);
                _ -> unknown
            end;
        _ -> unknown
    end.

%% The part of a backtrace that the pattern begins with.
loop_frame(Text) ->
    {Data, Loops} = loop_marks(),
    case binary:match(Text, Data) of
        {At, _} -> binary:part(Text, At, min(byte_size(Text) - At, 2000));
        nomatch ->
            case binary:match(Text, Loops) of
                {At, _} -> binary:part(Text, At, byte_size(Text) - At);
                nomatch -> <<>>
            end
    end.

%% Compiled once: that takes longer than the search.
loop_marks() ->
    case get(loop_marks) of
        undefined ->
            Marks = {binary:compile_pattern([<<"{server_data,">>, <<"{callback_cache,">>,
                                             <<"{params,">>]),
                     binary:compile_pattern([<<"gen_server:loop/">>, <<"gen_server:handle_msg/">>,
                                             <<"sys:suspend_loop/">>])},
            put(loop_marks, Marks),
            Marks;
        Marks -> Marks
    end.

loop_pattern() ->
    case get(loop_pattern) of
        undefined ->
            Pattern = case job(loops, none) of
                none -> none;
                Text -> {ok, Compiled} = re:compile(Text), Compiled
            end,
            put(loop_pattern, Pattern),
            Pattern;
        Pattern -> Pattern
    end.

atom_of(Name) ->
    Bare = case Name of
        <<$', Rest/binary>> -> binary:part(Rest, 0, byte_size(Rest) - 1);
        _ -> Name
    end,
    try binary_to_existing_atom(Bare, utf8) catch error:badarg -> unknown end.
