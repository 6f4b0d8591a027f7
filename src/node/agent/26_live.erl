%% A live window: all modules are switched at one instant with no process suspended, and each
%% process converts its state when it first comes by a callback. For that the client has made
%% *shims*: the new version with functions before its callbacks, which call live/3..6 below in the
%% process. Those that are idle are asked by a system message. When all are through and nothing
%% executes the old version any more, the plain new version takes the shim's place
%% (27_live_window.erl); the shim stays as old code.
%%
%% Until then there is a way back at any moment: the old version gets a shim that converts the
%% other way. What a conversion began with is kept as long as the process has had no event since;
%% otherwise the new version's code_change({down, _}, ...) is asked, by its twin.
%%
%% What a process knows of itself, in its dictionary:
%%   Key            true once it has had an event as a process of this version; born in it, too
%%   '$updo_live'   {Key, first or swept, From, To}: what it was converted from and to, until then;
%%                  {Key, converting} while it is; {Key, born} of one that was born in it
%% Key is the name of the run and of the direction. Nothing of it depends on a process of the agent:
%% with all of them killed, what runs goes on to convert.
%%
%% About, which shims have as a constant, is about() of PROTOCOL.md. The state of a gen_statem is
%% {Name, Data} here, and only Data changes.

%% ------------------------------------------------------------------------------------------------
%% Called by a shim: gives the argument of the callback that has the state

live(A, F, About) -> live_argument(F, [A], About).
live(A, B, F, About) -> live_argument(F, [A, B], About).
live(A, B, C, F, About) -> live_argument(F, [A, B, C], About).
live(A, B, C, D, F, About) -> live_argument(F, [A, B, C, D], About).

live_argument(F, Args, #{kind := Kind} = About) ->
    What = live_what(Kind, F, length(Args)),
    S = live_given(Kind, What, F, Args),
    New = case live_is_called(What, Kind, About) of
        true -> live_callback(What, F, Args, S, About);
        false -> S
    end,
    case Kind =:= statem andalso What =/= birth andalso What =/= status of
        true -> element(2, New);
        false -> New
    end.

%% A gen_statem may have states that are called like other callbacks.
live_what(_, init, 1) -> birth;
live_what(_, format_status, N) when N < 3 -> status;
live_what(server, terminate, 2) -> ending;
live_what(statem, terminate, 3) -> ending;
live_what(server, code_change, 3) -> change;
live_what(statem, code_change, 4) -> change;
live_what(_, _, _) -> event.

live_given(_, birth, _, [Arg]) -> Arg;
live_given(_, status, _, Args) -> lists:last(Args);
live_given(server, change, _, [_, S, _]) -> S;
live_given(server, _, _, Args) -> lists:last(Args);
live_given(statem, change, _, [_, Name, Data, _]) -> {Name, Data};
live_given(statem, ending, _, [_, Name, Data]) -> {Name, Data};
live_given(statem, event, handle_event, [_, _, Name, Data]) -> {Name, Data};
live_given(statem, event, Name, [_, _, Data]) -> {Name, Data}.

%% Whether the behaviour calls it, for a process of the module: anything may call what is exported,
%% in another process as well, and a function of three arguments may be no state at all.
live_is_called(What, Kind, #{module := M}) ->
    get('$initial_call') =:= {M, init, 1} andalso
        (Kind =:= server orelse What =/= event orelse live_is_state(M)).

live_is_state(M) ->
    {_, Stack} = process_info(self(), current_stacktrace),
    Ours = fun({N, _, _, _}) -> N =:= erlang orelse is_agent(N) end,
    case lists:dropwhile(Ours, Stack) of
        [{M, _, _, _}, {gen_statem, _, _, _} | _] -> true;
        _ -> false
    end.

live_callback(birth, _, _, S, #{key := Key}) ->
    put(Key, true),
    put('$updo_live', {Key, born}),
    S;
live_callback(ending, _, _, S, About) -> live_seen(S, About);
live_callback(status, _, _, S, About) -> live_status(S, About);
live_callback(change, _, Args, S, #{way := up} = About) ->
    case live_mark(About) of
        %% This process is converted by hand. What is thrown counts as what is returned.
        untouched -> throw(live_by_hand(Args, S, About));
        _ -> S
    end;
live_callback(change, _, _, S, _) -> S;
live_callback(event, F, Args, S, About) ->
    case live_come(S, About, first) of
        {ok, New} -> New;
        {failed, Why} -> live_wait(F, Args, Why, About)
    end.

live_status(#{state := Name, data := Data} = Status, About) ->
    {_, New} = live_seen({Name, Data}, About),
    Status#{data := New};
live_status(#{state := S} = Status, About) -> Status#{state := live_seen(S, About)};
live_status([Dictionary, S], About) -> [Dictionary, live_seen(S, About)];
live_status([Dictionary, Name, Data], About) ->
    {_, New} = live_seen({Name, Data}, About),
    [Dictionary, Name, New];
live_status(Other, _) -> Other.

%% ------------------------------------------------------------------------------------------------
%% Converting

%% converting | born | {first or swept, From, To} | through | {other, From, To} | other | untouched
live_mark(#{key := Key, other := Other}) ->
    case {get('$updo_live'), get(Key)} of
        {{Key, What}, _} -> What;
        {{Key, How, From, To}, _} -> {How, From, To};
        {_, true} -> through;
        {{Other, _, From, To}, _} -> {other, From, To};
        _ -> case get(Other) of true -> other; _ -> untouched end
    end.

%% {ok, State of this version} | {failed, Text}
live_come(S, #{way := Way, key := Key, other := Other} = About, How) ->
    case live_mark(About) of
        Mark when Mark =:= converting; Mark =:= born; Mark =:= through -> {ok, S};
        {Was, From, To} when Was =:= first; Was =:= swept ->
            case live_kept(S, From, About) of
                true -> {ok, To};
                %% The callback that converted it is through, or the first has come since it was
                %% asked.
                false -> put(Key, true), erase('$updo_live'), {ok, S}
            end;
        untouched when Way =:= down -> put(Key, true), {ok, S};
        Mark ->
            case live_converted(S, About, Mark) of
                {ok, New} ->
                    erase(Other),
                    put('$updo_live', {Key, How, S, New}),
                    {ok, New};
                Failed -> Failed
            end
    end.

%% Whether the process still has what was converted: the very term, and not one that is equal to it.
%% A gen_statem keeps it when a callback says keep_state_and_data; a gen_server, when a callback of
%% the old version has called one of the new and dropped what that gave.
live_kept({_, Data}, {_, From}, #{kind := statem}) -> erts_debug:same(Data, From);
live_kept(S, From, #{kind := server}) ->
    (is_tuple(S) orelse is_map(S) orelse is_binary(S) orelse (is_list(S) andalso S =/= []))
        andalso erts_debug:same(S, From);
live_kept(_, _, _) -> false.

%% On the way back: what it was, when there was nothing between.
live_converted(S, #{way := down}, {other, From, S}) -> {ok, From};
live_converted(S, #{way := down} = About, {other, From, _}) ->
    case live_kept(S, From, About) of
        true -> {ok, S};
        false -> live_converted(S, About, other)
    end;
live_converted(S, About, _) ->
    #{way := Way, key := Key, module := M, vsn := Vsn, extra := Extra, kind := Kind} = About,
    Was = put('$updo_live', {Key, converting}),
    Args = case {Kind, S} of
        {server, _} -> [Vsn, S, Extra];
        {statem, {Name, Data}} -> [Vsn, Name, Data, Extra]
    end,
    Result = try
        case Way of
            up -> apply(M, code_change, Args);
            down -> call_twin(maps:get(twin, About), code_change, Args)
        end
    of
        Answer -> live_result(Kind, S, Answer)
    catch
        throw:Answer -> live_result(Kind, S, Answer);
        Class:Why:Stack -> {failed, why({Class, Why, Stack})}
    end,
    case Was of undefined -> erase('$updo_live'); _ -> put('$updo_live', Was) end,
    Result.

live_result(server, _, {ok, New}) -> {ok, New};
live_result(statem, {Name, _}, {ok, Name, New}) -> {ok, {Name, New}};
live_result(statem, {Name, _}, {ok, Other, _}) ->
    {failed, text_of("it changes the name of the state, from ~tp to ~tp", [Name, Other])};
live_result(_, _, Other) -> {failed, why(Other)}.

%% For a callback that changes no state. When the first callback raises, terminate gets what that
%% one got.
live_seen(S, #{way := Way} = About) ->
    case live_mark(About) of
        {first, S, New} -> New;
        untouched when Way =:= down -> S;
        Mark when Mark =:= untouched; Mark =:= other; element(1, Mark) =:= other ->
            case live_converted(S, About, Mark) of {ok, New} -> New; _ -> S end;
        _ -> S
    end.

live_by_hand(Args, S, #{key := Key, module := M}) ->
    put('$updo_live', {Key, converting}),
    Result = (catch apply(M, code_change, Args)),
    case Result of
        {ok, New} -> put('$updo_live', {Key, swept, S, New});
        {ok, Name, Data} -> put('$updo_live', {Key, swept, S, {Name, Data}});
        _ -> erase('$updo_live')
    end,
    Result.

%% It was rehearsed, so it is rare: the process waits until the version that it can run is back,
%% and has that one answer. What is thrown counts as what a callback returns. It ends, as with OTP,
%% when the agent says so, because the way back waits for one that waits for this process, or when
%% there is no agent any more.
live_wait(F, Args, Why, #{way := up, module := M, key := Key}) ->
    live_wait(F, Args, {M, Why}, Key, 100);
live_wait(_, _, Why, _) -> erlang:error({code_change, Why}).

live_wait(_, _, {_, Why}, _, 0) -> erlang:error({code_change, Why});
live_wait(F, Args, {M, Why} = What, Key, N) ->
    Left = case whereis(updo_run) of
        undefined -> N - 1;
        Pid -> Pid ! {updo_unlive, self(), M, Why}, N
    end,
    receive updo_unlive_ends -> erlang:error({code_change, Why}) after 50 -> ok end,
    case live_key(M) of
        Key -> live_wait(F, Args, What, Key, Left);
        _ -> throw(apply(M, F, Args))
    end.

%% Which shim is loaded now: not that which the process executes, when the way back was there before
%% its conversion had failed.
live_key(M) ->
    case current_md5(M) =/= none
        andalso lists:keyfind(updo_shim_key, 1, M:module_info(attributes)) of
        {_, [Key]} -> Key;
        _ -> none
    end.

%% ------------------------------------------------------------------------------------------------
%% Asked by a system message

%% Converts one that has not come by a callback. One that reads it late finds another version there.
live_fun({Exec, Ref}, #{module := M, key := Key} = About, Md5) ->
    fun(S) ->
        {Answer, New} = try
            case {current_md5(M), get('$initial_call'), live_mark(About)} of
                {Md5, {M, init, 1}, Mark} when Mark =:= untouched; Mark =:= other;
                                               element(1, Mark) =:= other ->
                    case live_come(S, About, swept) of
                        {ok, Converted} -> {swept, Converted};
                        {failed, Why} -> {{failed, Why}, S}
                    end;
                {Md5, {M, init, 1}, {first, From, To}} ->
                    case live_kept(S, From, About) of
                        true -> put('$updo_live', {Key, swept, From, To}), {swept, To};
                        false -> {through, S}
                    end;
                {_, {M, init, 1}, born} -> {born, S};
                {_, {M, init, 1}, _} -> {through, S};
                _ -> {foreign, S}
            end
        catch Class:Reason:Stack -> {{failed, why({Class, Reason, Stack})}, S}
        end,
        Exec ! {live, Ref, self(), Answer},
        New
    end.

%% Whether a state has funs of versions that go, #{Module => [MD5]}: they would fail, or keep the
%% next upgrade from taking their version away.
live_look_fun({Exec, Ref}, Md5s) ->
    fun(S) ->
        Exec ! {live, Ref, self(), try live_funs([S], Md5s, 300000) catch _:_ -> none end},
        S
    end.

live_funs([], _, _) -> none;
live_funs(_, _, 0) -> {failed, <<"its state is too large to be searched for funs">>};
live_funs([T | Rest], Ms, N) when is_list(T), T =/= [] ->
    live_funs([hd(T), tl(T) | Rest], Ms, N - 1);
live_funs([T | Rest], Ms, N) when is_tuple(T) -> live_funs(tuple_to_list(T) ++ Rest, Ms, N - 1);
live_funs([T | Rest], Ms, N) when is_map(T) ->
    live_funs(maps:keys(T) ++ maps:values(T) ++ Rest, Ms, N - 1);
live_funs([T | Rest], Ms, N) when is_function(T) ->
    {module, M} = erlang:fun_info(T, module),
    {env, Env} = erlang:fun_info(T, env),
    {new_uniq, Md5} = erlang:fun_info(T, new_uniq),
    case lists:member(Md5, maps:get(M, Ms, [])) of
        true -> {failed, text_of("its state has a fun of a version of ~tp that goes", [M])};
        false -> live_funs(Env ++ Rest, Ms, N - 1)
    end;
live_funs([_ | Rest], Ms, N) -> live_funs(Rest, Ms, N - 1).

%% Erases what a process keeps of the transition. One that is busy reads it when the agent's module
%% is gone.
live_forget_fun(Keys) ->
    portable("fun(S) -> erase('$updo_live'), lists:foreach(fun(K) -> erase(K) end, Keys), S end.",
             [{'Keys', Keys}]).
