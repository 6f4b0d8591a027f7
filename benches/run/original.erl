%% An upgrade as the 2012 original does it, in words of our own: what is loaded is compared with the files, xref finds
%% the calls between modules, systools_rc makes a script, release_handler_1 executes it. All of it on the node.
-module(original).
-export([run/0]).

run() ->
    Changed = changed(),
    {Us, {ok, _}} = timer:tc(fun() -> upgrade(Changed) end),
    {length(Changed), Us}.

%% Loaded modules whose file has another vsn.
changed() ->
    [{M, File} || {M, File} <- code:all_loaded(), is_list(File), filelib:is_regular(File), not code:is_sticky(M),
                  version(File) =/= proplists:get_value(vsn, M:module_info(attributes))].

version(File) ->
    case beam_lib:version(File) of
        {ok, {_, Vsn}} -> Vsn;
        _ -> none
    end.

upgrade(Changed) ->
    Calls = calls([File || {_, File} <- Changed]),
    Names = maps:from_list([{M, true} || {M, _} <- Changed]),
    Script = [instruction(M, [D || D <- maps:get(M, Calls, []), is_map_key(D, Names)]) || {M, _} <- Changed],
    Loaded = [{App, Vsn, code:lib_dir(App)} || {App, _, Vsn} <- application:loaded_applications()],
    Apps = [application(App, Vsn, Dir) || {App, Vsn, Dir} <- Loaded, is_list(Dir)],
    {ok, Low} = systools_rc:translate_scripts([Script], Apps, Apps),
    Libs = [Lib || {_, _, Dir} = Lib <- Loaded, is_list(Dir)],
    {ok, _} = release_handler_1:check_script(Low, Libs),
    {ok, _} = release_handler_1:eval_script(Low, [], Libs, Libs, []).

%% #{Module => [Module]}
calls(Files) ->
    {ok, _} = xref:start(?MODULE, [{xref_mode, modules}]),
    [{ok, _} = xref:add_module(?MODULE, F, [{builtins, false}]) || F <- Files],
    {ok, Edges} = xref:q(?MODULE, "ME"),
    xref:stop(?MODULE),
    lists:foldl(fun({A, A}, Acc) -> Acc; ({A, B}, Acc) -> Acc#{A => [B | maps:get(A, Acc, [])]} end, #{}, Edges).

instruction(M, Deps) ->
    Is = fun(B) -> lists:member(B, lists:append([L || {K, L} <- M:module_info(attributes), K =:= behaviour orelse K =:= behavior])) end,
    case {Is(supervisor), erlang:function_exported(M, code_change, 3)} of
        {true, _} -> {update, M, supervisor};
        {false, true} -> {update, M, {advanced, []}, Deps};
        {false, false} -> {load_module, M, Deps}
    end.

%% As systools.hrl has it: name, type, vsn, id, description, modules, uses, and what follows with its defaults.
application(App, Vsn, Dir) ->
    Modules = [list_to_atom(filename:basename(F, ".beam")) || F <- filelib:wildcard(filename:join([Dir, "ebin", "*.beam"]))],
    Empty = systools_application(),
    Set = [{2, App}, {4, Vsn}, {7, Modules}],
    lists:foldl(fun({At, Value}, Tuple) -> setelement(At, Tuple, Value) end, Empty, Set).

%% The record's size and defaults differ between releases: the one that systools itself makes of a file.
systools_application() ->
    {ok, Record} = systools_make:read_application("sasl", vsn(sasl), [filename:join(code:lib_dir(sasl), "ebin")], []),
    Record.

vsn(App) ->
    {_, _, Vsn} = lists:keyfind(App, 1, application:loaded_applications()),
    Vsn.
