%% Writing the new beams to the node's disk, so that a restart keeps them, and with them the files
%% that list modules: application files, and the boot files by which a node in embedded mode knows
%% what to load. Only after the run has ended as it should.
%%
%% First everything is written and synced into a folder beside, DIR/.updo-RUN; any failure so far
%% leaves the disk as it was. Then a journal says what is about to be done, and files are renamed:
%%  1. boot files, to those that look into these folders first: from now on a restart loads the
%%     new version, all of it;
%%  2. beams, after those that must go were deleted;
%%  3. application files, and boot files as they stay.
%% Each file is old or new at any moment, never half. A run that finds a journal (the node went
%% down between two renames) finishes what it says, once something has been put in its place;
%% otherwise, or where a folder has no journal yet, what was written beside is taken away: a node
%% that starts then has loaded what was there before. The client has looked at the same before
%% (stages.erlexpr), as it has to know what files hold afterwards; the run refuses anything else.

%% -------------------------------------------------------------------------------------------------
%% Settle: persist

%% => cleaned_up()
%% Whether a settle of this kind writes: {persisted, Files} | {not_persisted, Text} | no.
persist(Asked) ->
    Wanted = case job(persist, no) of always -> true; asked -> Asked; no -> false end,
    case Wanted andalso log_get(outcome) =:= job(goal, new) of
        true ->
            %% One that was killed in the middle has left its journal.
            Done = case own_stages(persist_folders()) of
                [] -> persist_files();
                [Left | _] -> {error, Left}
            end,
            case Done of
                {ok, N} -> #{persisted => N};
                {error, {File, Why}} ->
                    #{persisted => 0, not_persisted => text_of("~ts: ~tp", [File, Why])}
            end;
        false -> #{}
    end.

%% {Module, File, New, Before}. Nothing for a file that has the right content already.
persist_todo(#{name := M, new := New} = Map) ->
    File = persist_file(Map),
    case {New, file:read_file(File)} of
        {New, {ok, New}} -> [];
        {undefined, {error, enoent}} -> [];
        {_, {ok, Before}} -> [{M, File, New, Before}];
        {_, {error, enoent}} -> [{M, File, New, none}];
        %% There is something: without it there is no way back to it.
        {_, {error, Why}} -> throw({persist, File, Why})
    end.

persist_file(#{name := M, file := File}) ->
    filename:absname(case current_file(M) of undefined -> File; Known -> in_place(Known) end).

%% A node that was started in the middle of a writing has loaded from the folder beside.
in_place(File) ->
    Dir = filename:dirname(File),
    case is_stage(filename:basename(Dir)) of
        true -> filename:join(filename:dirname(Dir), filename:basename(File));
        false -> File
    end.

persist_folders() ->
    Files = [persist_file(M) || M <- job(modules, [])] ++ [F || #{file := F} <- job(lists, [])],
    lists:usort([filename:dirname(F) || F <- Files]).

%% Before anything is touched: whether there is a place and room for each of them, and whether
%% lists are still those that the client has read.
can_persist() ->
    case job(persist, no) of
        no -> ok;
        _ ->
            Dirs = persist_folders(),
            writable([{Dir, Why} || Dir <- Dirs, Why <- cannot_write(Dir)]),
            writable(known_stages(Dirs)),
            writable([{F, changed} || #{file := F} = L <- job(lists, []), not is_as_read(L)]),
            writable(no_room(Dirs))
    end.

writable([]) -> ok;
writable(Bad) -> fail({not_writable, [{text_of("~ts", [D]), W} || {D, W} <- Bad]}).

is_as_read(#{file := File, was := Was, will := Will}) ->
    case file:read_file(File) of
        {ok, Will} -> true;
        {ok, Bytes} -> erlang:md5(Bytes) =:= Was;
        {error, _} -> false
    end.

%% As much as will be written is written, in all folders, and deleted again.
no_room(Dirs) ->
    Sizes = [{filename:dirname(persist_file(M)), New} || #{new := New} = M <- job(modules, []),
             is_binary(New)] ++
        [{filename:dirname(F), B} || #{file := F, will := W, meanwhile := D} <- job(lists, []),
         B <- [W, D], is_binary(B)],
    Bad = try [{Dir, Why} || Dir <- Dirs, Why <- has_room(Dir, [B || {D, B} <- Sizes, D =:= Dir])]
          after lists:foreach(fun(Dir) -> remove_stage(stage(Dir)) end, Dirs) end,
    Bad.

has_room(Dir, Bytes) ->
    try
        make_stage(stage(Dir)),
        write_synced(filename:join(stage(Dir), "room"), Bytes, none),
        []
    catch
        throw:{persist, _, Why} -> [Why]
    end.

%% {file_info, Size, Type, Access, ...}: the record of file:read_file_info/1.
cannot_write(Dir) ->
    case file:read_file_info(Dir) of
        {ok, Info} when element(3, Info) =:= directory, element(4, Info) =:= read_write -> [];
        {ok, Info} when element(3, Info) =:= directory -> [eacces];
        {ok, _} -> [enotdir];
        {error, Why} -> [Why]
    end.

%% The folder of this run beside a file, and the file in it.
stage(Dir) -> filename:join(Dir, ".updo-" ++ binary_to_list(job(run, <<"0000">>))).

beside(File) -> filename:join(stage(filename:dirname(File)), filename:basename(File)).

meanwhile(File) -> beside(File) ++ ".meanwhile".

is_stage(".updo-" ++ Run) -> length(Run) =:= 4;
is_stage(_) -> false.

make_stage(Stage) ->
    case file:make_dir(Stage) of
        {error, Why} when Why =/= eexist -> throw({persist, Stage, Why});
        _ -> ok
    end.

%% {ok, number of modules} | {error, {File, Why}}
persist_files() ->
    Stages = [stage(Dir) || Dir <- persist_folders()],
    try
        Todo = lists:append([persist_todo(M) || M <- job(modules, [])]),
        Lists = lists:append([persist_list(L, Todo) || L <- job(lists, [])]),
        case persist_files(Todo, Lists, Stages) of ok -> {ok, length(Todo)}; Error -> Error end
    catch
        throw:{persist, File, Why} ->
            remove_stages(Stages),
            {error, {File, Why}}
    end.

%% {File, Will, Meanwhile, Before}. A boot file changes for a moment although it stays as it is.
persist_list(#{file := File, will := Will, was := Was, meanwhile := Meanwhile}, Todo) ->
    Boots = is_binary(Meanwhile) andalso Todo =/= [],
    case file:read_file(File) of
        {ok, Will} when not Boots -> [];
        {ok, Will} -> [{File, Will, Meanwhile, Will}];
        {ok, Before} ->
            erlang:md5(Before) =:= Was orelse throw({persist, File, changed}),
            [{File, Will, case Boots of true -> Meanwhile; false -> none end, Before}];
        {error, Why} -> throw({persist, File, Why})
    end.

persist_files([], [], _) -> ok;
persist_files(Todo, Lists, Stages) ->
    lists:foreach(fun(Stage) -> make_stage(Stage) end, Stages),
    Beams = [{beside(File), File, New, Before} || {_, File, New, Before} <- Todo, is_binary(New)],
    Ends = [{beside(File), File, Will, Before} || {File, Will, _, Before} <- Lists],
    Boots = [{meanwhile(File), File, B, Before} || {File, _, B, Before} <- Lists, is_binary(B)],
    Gone = [{File, Before} || {_, File, undefined, Before} <- Todo],
    lists:foreach(fun({Beside, File, New, _}) -> write_synced(Beside, New, File) end,
                  Boots ++ Beams ++ Ends),
    Pairs = fun(Writes) -> [{Beside, File} || {Beside, File, _, _} <- Writes] end,
    Text = io_lib:format("~tp.~n", [{updo_persist, Stages, Pairs(Boots), [F || {F, _} <- Gone],
                                     Pairs(Beams ++ Ends)}]),
    Journal = unicode:characters_to_binary(Text),
    byte_size(Journal) =< journal_limit() orelse throw({persist, hd(Stages), efbig}),
    %% Each of the folders has one, as a later run may come to any of them first; they count when
    %% all are there.
    lists:foreach(fun(Stage) ->
                      New = filename:join(Stage, "journal.new"),
                      write_synced(New, Journal, none),
                      must(New, file:rename(New, filename:join(Stage, "journal")))
                  end, Stages),
    Ahead = fun([]) -> persist_rename(Beams ++ Ends, []);
               ([{File, Why} | _]) -> {failed, [], File, Why} end,
    case persist_rename(Boots, []) of
        {ok, _} ->
            case Ahead(deleted([File || {File, _} <- Gone])) of
                {ok, _} -> remove_stages(Stages);
                {failed, Done, File, Why} ->
                    %% A restart meanwhile still finds all that is new, in the folders beside; only
                    %% when all that was there before is back it may load that again.
                    Back = [file_back(F, B) || {_, F, B, _} <- Boots] ++
                        [persist_back(Write) || Write <- Done] ++
                        [file_back(F, B) || {F, B} <- Gone] ++
                        [file_back(F, B) || {_, F, _, B} = Write <- Ends,
                                            not lists:member(Write, Done)],
                    persist_failed(Back, Stages, {File, Why})
            end;
        {failed, Done, File, Why} ->
            Back = [file_back(F, B) || {_, F, _, B} <- Done],
            persist_failed(Back, Stages, {File, Why})
    end.

%% What could not be put back is finished by a later run: the journal stays for it.
persist_failed(Back, Stages, Why) ->
    lists:all(fun(Done) -> Done =:= ok end, Back) andalso remove_stages(Stages),
    {error, Why}.

%% [{File, Why}]: those that are still there.
deleted(Files) ->
    [{File, Why} || File <- Files, {error, Why} <- [file:delete(File)], Why =/= enoent].

persist_rename([], Done) -> {ok, Done};
persist_rename([{Beside, File, _, _} = Write | Rest], Done) ->
    case file:rename(Beside, File) of
        ok -> persist_rename(Rest, [Write | Done]);
        {error, Why} -> {failed, Done, File, Why}
    end.

persist_back({Beside, File, New, Before}) ->
    try write_synced(Beside, New, File) catch throw:_ -> ok end,
    file_back(File, Before).

%% => ok | {error, Why}
file_back(File, none) -> case deleted([File]) of [] -> ok; [{_, Why}] -> {error, Why} end;
file_back(File, Before) ->
    Beside = beside(File) ++ ".before",
    try write_synced(Beside, Before, File), file:rename(Beside, File)
    catch throw:{persist, _, Why} -> file:delete(Beside), {error, Why}
    end.

%% Bytes, of some twenty thousand modules; larger ones are not read either (stages.erlexpr).
journal_limit() -> 8 * 1024 * 1024.

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

%% [{File, Why}] that could not be put in order. What the client has found of earlier runs; what it
%% knows of files holds afterwards, and only if there is nothing else.
known_stages(Dirs) ->
    Known = job(stages, []),
    Found = find_stages(Dirs ++ [filename:dirname(element(1, Stage)) || Stage <- Known]),
    case lists:usort([element(1, Stage) || Stage <- (Found -- Known) ++ (Known -- Found)]) of
        [] -> finish_stages(Found);
        Other -> [{Stage, changed} || Stage <- Other]
    end.

%% The same of this run itself, by an executor that was killed.
own_stages(Dirs) ->
    Found = find_stages(Dirs),
    Own = filename:basename(stage("")),
    case [{Stage, changed} || Stage <- [element(1, One) || One <- Found],
                              filename:basename(Stage) =/= Own] of
        [] -> finish_stages(Found);
        Other -> Other
    end.

%% As stages.erlexpr says, which comes with the job.
find_stages(Dirs) ->
    case job(find_stages, none) of
        none -> [];
        Text -> evaluate(Text, [{'Folders', Dirs}])
    end.

finish_stages(Found) ->
    Bad = lists:usort(lists:append([finish_stage(Stage) || Stage <- Found])),
    %% What has no journal may belong to one that could not be carried out.
    Bad =:= [] andalso remove_stages([element(1, Stage) || Stage <- Found]),
    Bad.

finish_stage({_, _, finish, Stages, Boots, Gone, Rest, _}) ->
    %% The folders beside are all that is there of the new version until all is in place.
    Steps = [fun() -> rename(Boots) end, fun() -> deleted(Gone) end, fun() -> rename(Rest) end,
             fun() -> remove_stages(Stages), [] end],
    lists:foldl(fun(Step, []) -> Step(); (_, Bad) -> Bad end, [], Steps);
finish_stage({_, _, drop, Stages, _, _, _, _}) ->
    case drop_journals(Stages) of
        [] -> remove_stages(Stages), [];
        Bad -> Bad
    end;
finish_stage({Stage, _, {unreadable, Why}, _, _, _, _, _}) -> [{Stage, Why}];
finish_stage(_) -> [].

names(Dir) -> case file:list_dir(Dir) of {ok, L} -> lists:sort(L); {error, _} -> [] end.

rename(Pairs) ->
    [{File, Why} || {Beside, File} <- Pairs, {error, Why} <- [file:rename(Beside, File)]].

%% Journals first: as soon as one of them is gone the others do not count, and files may go one by
%% one.
remove_stages(Stages) ->
    drop_journals(Stages),
    lists:foreach(fun(Stage) -> remove_stage(Stage) end, Stages).

drop_journals(Stages) -> deleted([filename:join(Stage, "journal") || Stage <- Stages]).

remove_stage(Stage) ->
    lists:foreach(fun(Name) -> file:delete(filename:join(Stage, Name)) end, names(Stage)),
    file:del_dir(Stage).
