%% Asks OTP's own systools. Connects back to the port in `-oracle Port` and answers one question a frame,
%% both in the external term format, until its input ends.
-module(oracle).
-export([main/0]).

%% As in sasl/src/systools.hrl since OTP 24.
-record(application,
        {name, type = permanent, vsn = "", id = "", description = "", modules = [], uses = [],
         optional = [], includes = [], regs = [], env = [], maxT = infinity, maxP = infinity,
         mod = [], start_phases, dir = ""}).

main() ->
    {ok, [[Number]]} = init:get_argument(oracle),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, list_to_integer(Number),
                                   [binary, {packet, 4}, {nodelay, true}, {active, false}]),
    loop(Socket).

loop(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Data} ->
            Reply = try answer(binary_to_term(Data)) catch C:R:S -> {oracle_failed, C, R, S} end,
            ok = gen_tcp:send(Socket, term_to_binary(Reply, [{minor_version, 2}])),
            loop(Socket);
        _ ->
            halt()
    end.

answer({translate, Mode, Scripts, To, From}) ->
    translate(Mode, Scripts, To, From);
answer({time, Mode, Scripts, To, From}) ->
    {Micros, {ok, _}} = timer:tc(fun() -> translate(Mode, Scripts, To, From) end),
    Micros;
answer({relup, Top, Ups, Downs, Opts}) ->
    try systools:make_relup(Top, Ups, Downs, [silent, noexec | Opts]) of
        {ok, Relup, Module, Warnings} ->
            {ok, Relup, [text(Module:format_warning(W)) || W <- Warnings]};
        {error, Module, Reason} ->
            reason(Module, Reason);
        Other ->
            {other, Other}
    catch _:R:S -> {crash, text(io_lib:format("~tp ~tp", [R, S]))}
    end;
answer({check, Script, LibDirs, Path}) ->
    ok = code:add_pathsa(Path),
    try release_handler_1:check_script(Script, LibDirs)
    after [code:del_path(Dir) || Dir <- Path]
    end;
answer({read, File}) ->
    case systools_lib:read_term(File) of
        {ok, Term} -> {ok, Term};
        {error, Why} when is_tuple(Why) -> {error, element(1, Why)}
    end;
answer({regexp, Vsn, Regexp}) ->
    try systools_relup:appup_search_for_version(Vsn, [{Regexp, []}]) of
        {ok, []} -> true;
        error ->
            %% A defect of PCRE 8: with its optimisations `(?=1)1*1` does not match "1".
            case re:run(Vsn, Regexp, [no_start_optimize, unicode]) =:= re:run(Vsn, Regexp, [unicode]) of
                true -> false;
                false -> defect
            end
    catch error:_ -> bad
    end;
answer(path) ->
    code:get_path().

translate(Mode, Scripts, To, From) ->
    try systools_rc:translate_scripts(Mode, Scripts, apps(To), apps(From)) of
        {ok, Script} -> {ok, Script};
        {error, Module, Reason} -> reason(Module, Reason)
    catch _:_ -> crash
    end.

apps(Apps) ->
    Known = case list_to_integer(erlang:system_info(otp_release)) of
        Otp when Otp >= 24 -> fun(App) -> App end;
        _ -> fun(App) -> erlang:delete_element(#application.optional, App) end
    end,
    [Known(#application{name = N, vsn = V, type = T, modules = Ms}) || {N, V, T, Ms} <- Apps].

reason(_, {'EXIT', _}) -> crash;
reason(Module, {Class, [{_, _, _, _} | _]} = Reason) ->
    %% A stack trace, or an instruction that looks like one.
    case is_atom(Class) andalso lists:prefix("bad_", atom_to_list(Class)) of
        true -> error(Module, Reason);
        false -> crash
    end;
reason(Module, Reason) ->
    error(Module, Reason).

error(Module, Reason) ->
    Text = try text(Module:format_error(Reason)) catch _:_ -> none end,
    {error, Module, Reason, Text}.

text(Chars) ->
    unicode:characters_to_binary(Chars).
