#!/usr/bin/env escript
%% Writes what Erlang says about every beam of OTP and Elixir: terms, each behind its size.
-mode(compile).

main([Out]) ->
    Otp = filename:join(code:root_dir(), "lib"),
    Roots = [Otp | elixir()],
    Find = fun(Root) -> filelib:fold_files(Root, "\\.beam$", true, fun(F, Fs) -> [F | Fs] end, []) end,
    Files = lists:sort(lists:append([Find(Root) || Root <- Roots])),
    ok = code:add_pathsz(lists:usort([filename:dirname(F) || F <- Files])),
    {ok, File} = file:open(Out, [write, raw, delayed_write]),
    [put_term(File, beam(F)) || F <- Files],
    put_term(File, {edges, list_to_integer(erlang:system_info(otp_release)), edges(Roots)}),
    ok = file:close(File).

put_term(File, Term) ->
    Bin = term_to_binary(Term),
    ok = file:write(File, [<<(byte_size(Bin)):32>>, Bin]).

elixir() ->
    case os:find_executable("elixir") of
        false -> [];
        _ -> [filename:dirname(os:cmd("elixir -e 'IO.write(:code.lib_dir(:elixir))'"))]
    end.

beam(File) ->
    {ok, {Module, Md5}} = beam_lib:md5(File),
    {ok, {Module, Version}} = beam_lib:version(File),
    {ok, {Module, [{imports, Is}, {exports, Es}, {attributes, As}, {compile_info, C}]}} =
        beam_lib:chunks(File, [imports, exports, attributes, compile_info]),
    {beam_file, Module, _, _, _, Code} = beam_disasm:file(File),
    Functions = [{{F, A}, Body} || {function, F, A, _, Body} <- Code],
    Sites = lists:usort([{F, M} || {F, Body} <- Functions, I <- Body, M <- called(I)]),
    %% Elixir's `map.field` is an apply without arguments beside an error {badkey, Field, _}, and no call for updo.
    Applies = [{F, N} || {F, Body} <- Functions, N <- [applies(without_fields(Body), Module, [], 0)], N > 0],
    OnLoad = lists:any(fun({_, Body}) -> lists:member(on_load, Body) end, Functions),
    Atoms = lists:usort(lists:append([atoms(I) || {_, Body} <- Functions, I <- Body])),
    {beam, unicode:characters_to_binary(File), Module, Md5, Version, Is, Es, As, C, Sites, Applies,
     OnLoad, Atoms, fields(Module, lists:member({'__struct__', 0}, Es))}.

called({call_ext, _, {extfunc, M, F, A}}) -> [{M, F, A}];
called({call_ext_last, _, {extfunc, M, F, A}, _}) -> [{M, F, A}];
called({call_ext_only, _, {extfunc, M, F, A}}) -> [{M, F, A}];
called(_) -> [].

%% Calls through registers, except those that are seen to call the module itself.
without_fields(Body) ->
    case [x || {put_tuple2, _, {list, [{atom, badkey}, {atom, _}, _]}} <- Body] of
        [] -> Body;
        _ -> [I || I <- Body, case I of {apply, 0} -> false; {apply_last, 0, _} -> false; _ -> true end]
    end.

applies([], _, _, N) -> N;
applies([{move, {atom, Own}, {x, X}} | Is], Own, Xs, N) -> applies(Is, Own, [X | Xs], N);
applies([{move, _, {x, X}} | Is], Own, Xs, N) -> applies(Is, Own, lists:delete(X, Xs), N);
applies([{label, _} | Is], Own, _, N) -> applies(Is, Own, [], N);
applies([{apply, A} | Is], Own, Xs, N) -> applies(Is, Own, [], N + foreign(A, Xs));
applies([{apply_last, A, _} | Is], Own, Xs, N) -> applies(Is, Own, [], N + foreign(A, Xs));
applies([_ | Is], Own, Xs, N) -> applies(Is, Own, Xs, N).

foreign(Arity, Xs) ->
    case lists:member(Arity, Xs) of
        true -> 0;
        false -> 1
    end.

atoms({func_info, _, _, _}) -> [];
atoms({atom, A}) when is_atom(A) -> [A];
atoms({literal, L}) -> literal(L);
atoms(T) when is_tuple(T) -> atoms(tuple_to_list(T));
atoms([H | T]) -> atoms(H) ++ atoms(T);
atoms(_) -> [].

literal([]) -> [];
literal(A) when is_atom(A) -> [A];
literal(T) when is_tuple(T) -> literal(tuple_to_list(T));
literal([H | T]) -> literal(H) ++ literal(T);
literal(M) when is_map(M) -> literal(maps:to_list(M));
literal(_) -> [].

fields(_, false) -> none;
fields(Module, true) ->
    %% Elixir's own structs: load the module and ask it.
    {module, Module} = code:ensure_loaded(Module),
    maps:keys(maps:remove('__struct__', Module:'__struct__'())).

edges(Roots) ->
    {ok, _} = xref:start(x, [{xref_mode, modules}]),
    ok = xref:set_default(x, [{warnings, false}, {verbose, false}]),
    [{ok, _} = xref:add_directory(x, R, [{recurse, true}]) || R <- Roots],
    {ok, Edges} = xref:q(x, "strict ME || AM"),
    Edges.
