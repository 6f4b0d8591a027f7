%% Writing the new beams to the node's disk, so that a restart keeps them. Only after the run has
%% ended as it should.
%%
%% First everything is written beside and synced; any failure so far leaves the disk as it was. Then
%% a journal says what is about to be done, files that must go are deleted and the others renamed.
%% Each file is old or new at any moment, never half. A node that finds a journal (the node went
%% down between two renames) finishes what it says; what was written beside without one goes.

%% -------------------------------------------------------------------------------------------------
%% Settle: persist

%% => cleaned_up()
%% Whether a settle of this kind writes: {persisted, Files} | {not_persisted, Text} | no.
persist(Asked) ->
    Wanted = case job(persist, no) of always -> true; asked -> Asked; no -> false end,
    case Wanted andalso log_get(outcome) =:= job(goal, new) of
        true ->
            Todo = lists:append([persist_todo(M) || M <- job(modules, [])]),
            case persist_files(Todo) of
                ok -> #{persisted => length(Todo)};
                {error, {File, Why}} ->
                    #{persisted => 0, not_persisted => text_of("~ts: ~tp", [File, Why])}
            end;
        false -> #{}
    end.

%% Nothing for a file that has the right content already.
persist_todo(#{name := M, new := New} = Map) ->
    File = persist_file(Map),
    case {New, file:read_file(File)} of
        {New, {ok, New}} -> [];
        {undefined, {error, enoent}} -> [];
        _ -> [{M, File, New}]
    end.

persist_file(#{name := M, file := File}) ->
    case current_file(M) of undefined -> File; Known -> Known end.

%% Before anything is touched: whether there is a place for each of them.
can_persist() ->
    case job(persist, no) of
        no -> ok;
        _ ->
            Dirs = lists:usort([filename:dirname(persist_file(M)) || M <- job(modules, [])]),
            Bad = [{Dir, Why} || Dir <- Dirs, Why <- cannot_write(Dir)],
            Bad =:= [] orelse fail({not_writable, [{text_of("~ts", [D]), W} || {D, W} <- Bad]}),
            lists:foreach(fun(Dir) -> persist_again(Dir) end, Dirs)
    end.

%% {file_info, Size, Type, Access, ...}: the record of file:read_file_info/1.
cannot_write(Dir) ->
    case file:read_file_info(Dir) of
        {ok, Info} when element(3, Info) =:= directory, element(4, Info) =:= read_write -> [];
        {ok, Info} when element(3, Info) =:= directory -> [eacces];
        {ok, _} -> [enotdir];
        {error, Why} -> [Why]
    end.

persist_files([]) -> ok;
persist_files([{_, First, _} | _] = Todo) ->
    Suffix = ".updo-" ++ binary_to_list(job(run, <<"0000">>)),
    Journal = filename:join(filename:dirname(First), Suffix),
    Writes = [{File ++ Suffix, M, File, New} || {M, File, New} <- Todo, is_binary(New)],
    Gone = [{M, File} || {M, File, undefined} <- Todo],
    try
        lists:foreach(fun({Beside, _, File, New}) -> write_synced(Beside, New, File) end, Writes),
        Text = io_lib:format("~tp.~n", [{updo_persist, [{B, F} || {B, _, F, _} <- Writes],
                                         [F || {_, F} <- Gone]}]),
        write_synced(Journal ++ ".new", unicode:characters_to_binary(Text), none),
        must(Journal, file:rename(Journal ++ ".new", Journal))
    of
        _ ->
            lists:foreach(fun({_, File}) -> file:delete(File) end, Gone),
            Result = persist_rename(Writes, [{File ++ Suffix, M, File, undefined}
                                             || {M, File} <- Gone]),
            file:delete(Journal),
            Result
    catch
        throw:{persist, File, Why} ->
            lists:foreach(fun({Beside, _, _, _}) -> file:delete(Beside) end, Writes),
            file:delete(Journal ++ ".new"),
            {error, {File, Why}}
    end.

persist_rename([], _) -> ok;
persist_rename([{Beside, _, File, _} = Write | Rest], Done) ->
    case file:rename(Beside, File) of
        ok -> persist_rename(Rest, [Write | Done]);
        {error, Why} ->
            lists:foreach(fun({B, _, _, _}) -> file:delete(B) end, [Write | Rest]),
            lists:foreach(fun(W) -> persist_back(W) end, Done),
            {error, {File, Why}}
    end.

%% What the file held before.
persist_back({Beside, M, File, _}) ->
    case module_map(M) of
        %% What it held is not known, and what it holds is what runs.
        #{purge := keep} -> ok;
        Map -> persist_back(Beside, File, maps:get(old, Map, undefined))
    end.

persist_back(Beside, File, Before) ->
    case Before of
        Old when is_binary(Old) ->
            try write_synced(Beside, Old, File), file:rename(Beside, File)
                catch throw:_ -> file:delete(Beside) end;
        _ -> file:delete(File)
    end.

%% With the rights of the file it will replace.
write_synced(Path, Bytes, Like) ->
    Fd = case file:open(Path, [write, raw, binary]) of
        {ok, F} -> F;
        {error, Why} -> throw({persist, Path, Why})
    end,
    try
        must(Path, file:write(Fd, Bytes)),
        must(Path, file:sync(Fd))
    after
        file:close(Fd)
    end,
    case Like =/= none andalso file:read_file_info(Like) of
        {ok, Info} -> file:change_mode(Path, element(8, Info));
        _ -> ok
    end.

must(_, ok) -> ok;
must(Path, {error, Why}) -> throw({persist, Path, Why}).

%% What an earlier run has left in a folder: its journal is carried out, what has none is removed.
persist_again(Dir) ->
    Names = case file:list_dir(Dir) of {ok, L} -> L; {error, _} -> [] end,
    lists:foreach(fun(Name) -> persist_journal(filename:join(Dir, Name)) end,
                  [N || ".updo-" ++ Run = N <- Names, length(Run) =:= 4]),
    lists:foreach(fun(Name) -> file:delete(filename:join(Dir, Name)) end,
                  [N || N <- Names, is_beside(N)]).

is_beside(Name) ->
    case string:split(Name, ".beam.updo-") of
        [_, Run] -> length(Run) =:= 4;
        _ -> lists:prefix(".updo-", Name) andalso lists:suffix(".new", Name)
    end.

persist_journal(Journal) ->
    case file:consult(Journal) of
        {ok, [{updo_persist, Pairs, Gone}]} when is_list(Pairs), is_list(Gone) ->
            Suffix = filename:basename(Journal),
            Left = [Pair || {Beside, File} = Pair <- Pairs, Beside =:= File ++ Suffix,
                    filelib:is_regular(Beside)],
            %% With nothing left to rename it was carried out before, and what is gone may have come
            %% back since.
            Left =:= [] orelse lists:foreach(fun(File) -> filename:extension(File) =:= ".beam"
                andalso file:delete(File) end, Gone),
            lists:foreach(fun({Beside, File}) -> file:rename(Beside, File) end, Left);
        _ -> ok
    end,
    file:delete(Journal).
