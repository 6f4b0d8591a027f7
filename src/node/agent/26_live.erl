%% A live window: all modules are switched at one instant with no process suspended, and each
%% process converts its state when it first comes by a callback. For that the client has made
%% *shims*: the new version with functions before its callbacks, which call live/3..6 below in the
%% process. Those that are idle are asked by a system message, a few at a time. When all are through
%% and nothing executes the old version any more, the plain new version takes the shim's place; the
%% shim stays as old code, so that funs that it has made go on working.
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
%% About, which shims have as a constant: {up or down, Key, the other direction's Key, Module, Vsn,
%% Extra, Twin, server or statem}. The state of a gen_statem is {Name, Data}, and only Data changes.

%% ------------------------------------------------------------------------------------------------
%% In the process, called by a shim: gives the argument of the callback that has the state

live(A, F, About) -> live_argument(F, [A], About).
live(A, B, F, About) -> live_argument(F, [A, B], About).
live(A, B, C, F, About) -> live_argument(F, [A, B, C], About).
live(A, B, C, D, F, About) -> live_argument(F, [A, B, C, D], About).

%% A callback that something else calls, in a process of its own or within another callback, is none
%% of the behaviour's.
live_argument(F, Args, {_, _, _, M, _, _, _, Kind} = About) ->
    S = live_given(Kind, F, Args),
    Mine = get('$initial_call') =:= {M, init, 1} andalso live_is_event(Kind, F, Args, M),
    New = case Mine of true -> live_callback(F, Args, S, About); false -> S end,
    case Kind =:= statem andalso F =/= init andalso F =/= format_status of
        true -> element(2, New);
        false -> New
    end.

%% What the callback has of the state: of a gen_statem {Name, Data}.
live_given(_, init, [Arg]) -> Arg;
live_given(_, format_status, Args) -> lists:last(Args);
live_given(server, code_change, [_, S, _]) -> S;
live_given(server, _, Args) -> lists:last(Args);
live_given(statem, code_change, [_, Name, Data, _]) -> {Name, Data};
live_given(statem, handle_event, [_, _, Name, Data]) -> {Name, Data};
live_given(statem, terminate, [_, Name, Data]) -> {Name, Data};
live_given(statem, Name, [_, _, Data]) -> {Name, Data}.

%% A module of a gen_statem may export functions of three arguments that are no states.
live_is_event(statem, F, [_, _, _], M) when F =/= terminate ->
    {_, Stack} = process_info(self(), current_stacktrace),
    Ours = fun({N, _, _, _}) -> N =:= erlang orelse is_agent(N) end,
    case lists:dropwhile(Ours, Stack) of
        [{M, _, _, _}, {gen_statem, _, _, _} | _] -> true;
        _ -> false
    end;
live_is_event(_, _, _, _) -> true.

live_callback(init, _, S, {_, Key, _, _, _, _, _, _}) ->
    put(Key, true),
    put('$updo_live', {Key, born}),
    S;
live_callback(terminate, _, S, About) -> live_seen(S, About);
live_callback(format_status, _, #{state := Name, data := Data} = Status, About) ->
    {_, New} = live_seen({Name, Data}, About),
    Status#{data := New};
live_callback(format_status, _, #{state := S} = Status, About) ->
    Status#{state := live_seen(S, About)};
live_callback(format_status, _, [Dictionary, S], About) -> [Dictionary, live_seen(S, About)];
live_callback(format_status, _, [Dictionary, Name, Data], About) ->
    {_, New} = live_seen({Name, Data}, About),
    [Dictionary, Name, New];
live_callback(format_status, _, Other, _) -> Other;
live_callback(code_change, Args, S, {up, _, _, _, _, _, _, _} = About) ->
    case live_mark(About) of
        %% Somebody converts this process by hand. What is thrown counts as what is returned.
        untouched -> throw(live_by_hand(Args, S, About));
        _ -> S
    end;
live_callback(code_change, _, S, _) -> S;
live_callback(F, Args, S, About) ->
    case live_come(S, About, first) of
        {ok, New} -> New;
        {failed, Why} -> live_wait(F, Args, Why, About)
    end.

%% converting | born | {first or swept, From, To} | through | {other, From, To} | other | untouched
live_mark({_, Key, Other, _, _, _, _, _}) ->
    case {get('$updo_live'), get(Key)} of
        {{Key, What}, _} -> What;
        {{Key, How, From, To}, _} -> {How, From, To};
        {_, true} -> through;
        {{Other, _, From, To}, _} -> {other, From, To};
        _ -> case get(Other) of true -> other; _ -> untouched end
    end.

%% {ok, State of this version} | {failed, Text}
live_come(S, {Direction, Key, Other, _, _, _, _, _} = About, How) ->
    case live_mark(About) of
        Mark when Mark =:= converting; Mark =:= born; Mark =:= through -> {ok, S};
        {Was, From, To} when Was =:= first; Was =:= swept ->
            case live_kept(S, From, About) of
                true -> {ok, To};
                %% The callback that converted it is through, or the first has come since it was
                %% asked.
                false -> put(Key, true), erase('$updo_live'), {ok, S}
            end;
        untouched when Direction =:= down -> put(Key, true), {ok, S};
        Mark ->
            case live_converted(S, About, Mark) of
                {ok, New} ->
                    erase(Other),
                    put('$updo_live', {Key, How, S, New}),
                    {ok, New};
                Failed -> Failed
            end
    end.

%% A gen_statem keeps what it had when a callback says keep_state_and_data: the very term that was
%% converted, and not one that is equal to it.
live_kept({_, Data}, {_, From}, {_, _, _, _, _, _, _, statem}) -> erts_debug:same(Data, From);
live_kept(_, _, _) -> false.

%% Back to what it was, when there was nothing between.
live_converted(S, {down, _, _, _, _, _, _, _}, {other, From, S}) -> {ok, From};
live_converted(S, {down, _, _, _, _, _, _, _} = About, {other, From, _}) ->
    case live_kept(S, From, About) of
        true -> {ok, S};
        false -> live_converted(S, About, other)
    end;
live_converted(S, {Direction, Key, _, M, Vsn, Extra, Twin, Kind}, _) ->
    Was = put('$updo_live', {Key, converting}),
    Args = case {Kind, S} of
        {server, _} -> [Vsn, S, Extra];
        {statem, {Name, Data}} -> [Vsn, Name, Data, Extra]
    end,
    Result = try
        case Direction of
            up -> apply(M, code_change, Args);
            down -> call_twin(Twin, code_change, Args)
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

%% For a callback that changes no state. When the first callback raises, terminate/2 gets what that
%% one got.
live_seen(S, {Direction, _, _, _, _, _, _, _} = About) ->
    case live_mark(About) of
        {first, S, New} -> New;
        untouched when Direction =:= down -> S;
        Mark when Mark =:= untouched; Mark =:= other; element(1, Mark) =:= other ->
            case live_converted(S, About, Mark) of {ok, New} -> New; _ -> S end;
        _ -> S
    end.

live_by_hand(Args, S, {_, Key, _, M, _, _, _, _}) ->
    put('$updo_live', {Key, converting}),
    Result = (catch apply(M, code_change, Args)),
    case Result of
        {ok, New} -> put('$updo_live', {Key, swept, S, New});
        {ok, Name, Data} -> put('$updo_live', {Key, swept, S, {Name, Data}});
        _ -> erase('$updo_live')
    end,
    Result.

%% It was rehearsed, so it is rare: the process waits until the version that it can run is back,
%% and has that one answer. What is thrown counts as what a callback returns. With no agent left it
%% ends, as with OTP.
live_wait(F, Args, Why, {up, _, _, M, _, _, _, _}) ->
    live_wait(F, Args, {M, Why}, current_md5(M), 100);
live_wait(_, _, Why, _) -> erlang:error({code_change, Why}).

live_wait(_, _, {_, Why}, _, 0) -> erlang:error({code_change, Why});
live_wait(F, Args, {M, Why} = What, Md5, N) ->
    Left = case whereis(updo_run) of
        undefined -> N - 1;
        Pid -> Pid ! {updo_unlive, self(), M, Why}, N
    end,
    receive after 50 -> ok end,
    case current_md5(M) of
        Md5 -> live_wait(F, Args, What, Md5, Left);
        _ -> throw(apply(M, F, Args))
    end.

%% What a process is asked by a system message. One that reads it late finds another version there.
live_fun(Exec, {_, _, _, M, _, _, _, _} = About, Md5) ->
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
                        true ->
                            put('$updo_live', {element(2, About), swept, From, To}),
                            {swept, To};
                        false -> {through, S}
                    end;
                {_, {M, init, 1}, born} -> {born, S};
                {_, {M, init, 1}, _} -> {through, S};
                _ -> {foreign, S}
            end
        catch Class:Reason:Stack -> {{failed, why({Class, Reason, Stack})}, S}
        end,
        Exec ! {live, self(), Answer},
        New
    end.

%% Whether a state has funs of versions that go, #{Module => MD5}: they would fail.
live_look_fun(Exec, Md5s) ->
    fun(S) ->
        Exec ! {live, self(), try live_funs([S], Md5s, 300000) catch _:_ -> none end},
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
    case {erlang:fun_info(T, new_uniq), Ms} of
        {{new_uniq, Md5}, #{M := Md5}} ->
            {failed, text_of("its state has a fun of ~tp, which goes with the old version", [M])};
        _ -> live_funs(Env ++ Rest, Ms, N - 1)
    end;
live_funs([_ | Rest], Ms, N) -> live_funs(Rest, Ms, N - 1).
