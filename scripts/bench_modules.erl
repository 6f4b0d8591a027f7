#!/usr/bin/env escript
%% Makes folders of generated modules for `make bench`: escript bench_modules.erl FOLDER COUNT...
%% Module number N of COUNT calls eight others, most of them with smaller numbers, so that there are
%% layers, a few cycles, and about eight edges a module. A folder that is there already is kept.
-mode(compile).

main([Folder | Counts]) ->
    [make(filename:join(Folder, Count), list_to_integer(Count)) || Count <- Counts].

make(Folder, Count) ->
    case filelib:is_dir(Folder) of
        true -> ok;
        false ->
            Partial = Folder ++ ".partial",
            ok = filelib:ensure_dir(filename:join(Partial, "x")),
            [ok = module(Partial, Count, N) || N <- lists:seq(1, Count)],
            ok = file:rename(Partial, Folder)
    end.

module(Folder, Count, N) ->
    Name = name(N),
    Calls = [{call, 5, {remote, 5, {atom, 5, name(callee(Count, N, K))}, {atom, 5, f}}, [{var, 5, 'X'}]}
             || K <- lists:seq(1, 8)],
    Forms = [{attribute, 1, file, {atom_to_list(Name) ++ ".erl", 1}},
             {attribute, 1, module, Name},
             {attribute, 2, export, [{f, 1}, {g, 2}]},
             {function, 5, f, 1, [{clause, 5, [{var, 5, 'X'}], [], [{tuple, 5, Calls}]}]},
             {function, 9, g, 2, [{clause, 9, [{var, 9, 'X'}, {var, 9, 'Y'}], [],
                                   [{op, 9, '+', {var, 9, 'X'}, {var, 9, 'Y'}}]}]}],
    {ok, Name, Beam} = compile:forms(Forms, [no_bool_opts, no_type_opt, no_copt]),
    file:write_file(filename:join(Folder, atom_to_list(Name) ++ ".beam"), Beam).

name(N) -> list_to_atom("bench_" ++ string:right(integer_to_list(N), 5, $0)).

%% A spread that is the same on every machine; one call in two hundred goes upwards, which makes cycles.
callee(Count, N, K) ->
    Spread = erlang:phash2({N, K}),
    case Spread rem 200 of
        0 -> 1 + Spread rem Count;
        _ when N > 1 -> 1 + Spread rem (N - 1);
        _ -> 1
    end.
