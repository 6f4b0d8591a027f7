%% Before any process is suspended: everything slow, and everything that can be refused.

%% -------------------------------------------------------------------------------------------------
%% Phase: prepare

prepare(How) ->
    T = now_us(),
    Ms = [M || M <- job(modules, []), is_map(M)],
    New = [M || #{new := B} = M <- Ms, is_binary(B)],
    How =:= again orelse as_compared(Ms),
    sticky(Ms),
    named_right(New),
    How =:= again orelse can_persist(),
    Mine = [name(M) || M <- Ms],
    Steps = job(steps, []),
    Todo = case How of
        once -> Ms;
        again ->
            [M || M <- Ms, not lists:member(name(M),
                                            log_get(switching) ++ log_get(on_load) ++
                                                log_get(loaded) ++ live_modules())]
    end,
    Todo =:= [] orelse purge_ahead(Todo),
    put(prepared, maps:from_list([{Id, prepare_load(Names, How)} || {Id, {load, Names}} <- Steps])),
    case How of
        once ->
            Conv = lists:usort([M || {_, {code_change, _, L}} <- Steps, {M, _} <- L]),
            Before = maps:from_list([{M, #{md5 => current_md5(M), vsn => loaded_vsn(M),
                                           file => current_file(M), mode => callback_mode(M)}}
                                     || M <- lists:usort(Mine ++ Conv)]),
            log({set, before, Before}),
            live_ahead(Steps);
        again -> ok
    end,
    prepare_twins(Steps),
    put(prepared_old, case job(undo, none) of exact -> prepare_old(Mine); none -> none end),
    event({prepared, now_us() - T}).

%% Between the client's comparison and now a module may have been loaded by a call, or by something
%% else: what was decided for it (nothing to convert in what is not loaded) holds no longer.
as_compared(Ms) ->
    case [M || #{name := M, was := Was} = Map <- Ms, current_md5(M) =/= Was, not is_new(Map)] of
        [] -> ok;
        Other -> fail({changed_meanwhile, Other})
    end.

name(#{name := M}) -> M.

sticky(Ms) ->
    case [M || #{name := M} <- Ms, code:is_sticky(M)] of
        [] -> ok;
        Bad -> fail({sticky, Bad})
    end.

named_right(New) ->
    Bad = [{M, What} || #{name := M, new := B} <- New, What <- bad_beam(M, B)],
    Bad =:= [] orelse fail({not_loadable, Bad}).

%% The emulator's own digest: beam_lib:md5/1 takes as many reductions as all else in a run.
bad_beam(M, B) ->
    case beam_lib:chunks(B, ["Attr"], [allow_missing_chunks]) of
        {ok, {M, _}} ->
            case catch md5(B) of
                <<_:16/binary>> = Md5 -> put({expected, M}, Md5), [];
                _ -> [not_a_beam_file]
            end;
        {ok, {Other, _}} -> [{is_module, Other}];
        {error, beam_lib, {What, _}} -> [What];
        {error, beam_lib, Why} -> [text(Why)]
    end.

module_map(M) ->
    case [Map || #{name := N} = Map <- job(modules, []), N =:= M] of
        [Map | _] -> Map;
        [] -> fail({not_in_job, M})
    end.

%% {Prepared | none, [on_load modules]}; modules that are already new are left out when repeating.
prepare_load(Names, How) ->
    Maps = [module_map(M) || M <- Names],
    Wanted = [Map || Map <- Maps, How =:= once orelse not is_new(Map)],
    Plain = [{M, F, B} || #{name := M, file := F, new := B} = Map <- Wanted,
             not maps:get(on_load, Map, false)],
    OnLoad = [M || #{name := M} = Map <- Wanted, maps:get(on_load, Map, false)],
    {prepare_all(Plain), OnLoad}.

prepare_all([]) -> none;
prepare_all(Plain) ->
    case code:prepare_loading(Plain) of
        {ok, Prepared} -> Prepared;
        {error, What} -> fail({not_loadable, What})
    end.

is_new(#{name := M, new := B}) when is_binary(B) -> current_md5(M) =:= md5(B);
is_new(#{name := M}) -> current_md5(M) =:= none.

%% For undo: {Names, Prepared, on_load modules}. Proves that the old beams can be loaded before it
%% matters.
prepare_old(Ms) ->
    prepare_old([{M, old_file(Map), B} || M <- lists:usort(Ms),
                 #{old := B} = Map <- [module_map(M)], is_binary(B)], []).

prepare_old(Plain, OnLoad) ->
    Names = [M || {M, _, _} <- Plain],
    case Plain =:= [] orelse code:prepare_loading(Plain) of
        true -> {Names, none, OnLoad};
        {ok, Prepared} -> {Names, Prepared, OnLoad};
        {error, What} ->
            case [M || {M, on_load_not_allowed} <- What] of
                [] -> fail({old_not_loadable, What});
                More ->
                    prepare_old([T || {M, _, _} = T <- Plain, not lists:member(M, More)],
                                More ++ OnLoad)
            end
    end.

old_file(#{name := M} = Map) ->
    case log_get(before) of
        #{M := #{file := F}} when is_list(F) -> F;
        _ -> maps:get(file, Map)
    end.

%% Modules of this window that could not be brought back.
cannot_undo() ->
    #{switching := S, on_load := O} = get(log),
    case job(undo, none) of
        none -> S ++ O;
        exact ->
            [M || M <- S ++ O, #{loaded := true} = Map <- [module_map(M)],
             not is_binary(maps:get(old, Map, undefined))]
    end.

md5(B) -> code:module_md5(B).

current_md5(M) ->
    case erlang:module_loaded(M) of
        true -> try M:module_info(md5) catch error:undef -> none end;
        false -> none
    end.

current_file(M) -> case code:is_loaded(M) of {file, F} when is_list(F) -> F; _ -> undefined end.

%% OldVsn as release_handler would give it, but from the loaded code, not from the file.
loaded_vsn(M) ->
    case erlang:module_loaded(M) of
        true ->
            Vsn = lists:append([V || {vsn, V} <- M:module_info(attributes), is_list(V)]),
            vsn_term(Vsn, fun() -> M:module_info(md5) end);
        false -> undefined
    end.

binary_vsn(B) ->
    case beam_lib:version(B) of
        {ok, {_, Vsn}} -> vsn_term(Vsn, fun() -> md5(B) end);
        _ -> binary:decode_unsigned(md5(B))
    end.

vsn_term([], Md5) -> binary:decode_unsigned(Md5());
vsn_term(Vsn, _) ->
    case lists:all(fun(C) -> is_integer(C) andalso C >= 32 andalso C =< 255 end, Vsn) of
        true -> Vsn;
        false -> case Vsn of [One] -> One; _ -> Vsn end
    end.
