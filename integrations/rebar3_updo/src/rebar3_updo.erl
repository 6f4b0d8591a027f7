%% `rebar3 updo COMMAND`: finds the build, the node and the cookie of a project, and runs updo with them.
%%
%% It decides nothing about an upgrade. What it adds to the binary: before it compiles, it lets updo keep
%% copies of what runs (a node cannot give back the code that it has loaded), and it knows where this
%% project's beams are. The question of a run is asked here, since a program that Erlang starts cannot read
%% the terminal; what is run then is the script that was shown, or nothing.
-module(rebar3_updo).
-behaviour(provider).
-export([init/1, do/1, format_error/1]).

-define(DESCRIPTION,
    "Hot code upgrades of the node that runs this project.\n\n"
    "  rebar3 updo keep       keep copies of what runs, for the way back\n"
    "  rebar3 updo preview    compile, compare, show the upgrade; changes nothing\n"
    "  rebar3 updo rehearse   compile, try conversions on copies of live states\n"
    "  rebar3 updo run        compile, show the upgrade, ask, do it\n"
    "  rebar3 updo check      check the plans of this project\n\n"
    "A plan or a node may follow. Everything behind -- goes to updo as it is. Where a command here is\n"
    "several of updo (copies, preview, run), each gets the flags that it has.\n"
    "The exit code is that of updo.\n").

%% Flags that go to updo as they are, without a value and with one.
-define(PLAIN, [
    {yes, $y, "do not ask"},
    {full, undefined, "every instruction with all evidence"},
    {json, undefined, "machine output"},
    {quiet, $q, "say less"},
    {strict, undefined, "undeclared cycles are errors"},
    {'exit-code', undefined, "preview: 3 when there is something to do"},
    {'no-rehearsal', undefined, "do not try conversions on copies of states first"},
    {'no-verify', undefined, "skip `verify` of the plan"}
]).
-define(VALUED, [
    {target, $t, "a node, or a target of the plan"},
    {set, $s, "NAME=VALUE: a parameter of the plan"},
    {'cookie-file', undefined, "the file of the cookie"},
    {name, undefined, "updo's own node name"},
    {message, undefined, "kept with the record of the run"}
]).

%% Which flags go where when one command here is several of updo. How a node is connected to: to all.
-define(CONNECTION, ["--cookie-file", "--name", "-C"]).
%% What is upgraded: to all but the run of a script, which has its nodes and parameters.
-define(SUBJECT, ["-t", "--target", "-s", "--set"]).
%% Of every command, but without a meaning for copies.
-define(OUTPUT, ["--color", "--no-unicode", "--width", "--no-pager", "--json", "-v", "--verbose",
    "--log-file", "--no-input"]).
%% Those that `updo run` has, and `updo preview` has not (a test compares); every other one is for the
%% preview, which refuses what it does not know before anything is asked.
-define(RUN_ONLY, ["--batch", "--budget", "--canary-only", "--deadline", "--detach", "--events", "--from",
    "--lock-timeout", "--message", "--no-rehearsal", "--no-undo", "--no-verify", "--only-node", "--pause",
    "--report", "--report-junit", "--soak"]).

-define(BUILDS, ["preview", "rehearse", "run"]).
-define(ALL, ["check", "keep", "preview", "rehearse", "run"]).

init(State) ->
    Plain = [{F, Short, atom_to_list(F), undefined, Help} || {F, Short, Help} <- ?PLAIN],
    Valued = [{F, Short, atom_to_list(F), string, Help} || {F, Short, Help} <- ?VALUED],
    Provider = providers:create([
        {name, updo},
        {module, ?MODULE},
        {bare, true},
        {deps, [{default, lock}]},
        {example, "rebar3 updo run"},
        {short_desc, "Hot code upgrades of the node that runs this project"},
        {desc, ?DESCRIPTION},
        {opts, Plain ++ Valued}
    ]),
    {ok, rebar_state:add_provider(State, Provider)}.

format_error(no_command) ->
    "say which: rebar3 updo " ++ lists:join($|, ?ALL);
format_error({unknown, Command}) ->
    io_lib:format("`~ts` is not one of ~ts; other commands of updo need no build: updo ~ts",
        [Command, lists:join(", ", ?ALL), Command]);
format_error(no_updo) ->
    "the binary `updo` is not in the path; name it: export UPDO=/path/to/updo, or "
    "{updo, [{executable, \"/path/to/updo\"}]} in rebar.config";
format_error(no_node) ->
    "no node is known. updo looks at -t, UPDO_TARGET, {updo, [{node, \"NAME@HOST\"}]} and "
    "{dist_node, [...]} of rebar.config, RELEASE_NODE, -name or -sname in the vm.args of relx, and "
    "for a node of the name of an application. Give it: rebar3 updo COMMAND -t NAME@HOST";
format_error({several_nodes, Names}) ->
    io_lib:format("several nodes could be meant: ~ts. Say which: -t NAME@HOST", [lists:join(", ", Names)]);
format_error(not_said_yes) ->
    "nothing was changed: the answer was not `yes` (without a terminal: --yes)";
format_error(Other) ->
    io_lib:format("~tp", [Other]).

do(State) ->
    {Parsed, Rest} = rebar_state:command_parsed_args(State),
    %% rebar3 takes the first word of any command for a `task`.
    Words = [Task || {task, Task} <- Parsed] ++ Rest,
    Flags = [flag(Flag) || Flag <- Parsed, not is_tuple(Flag) orelse element(1, Flag) =/= task],
    case {Words, executable(State)} of
        {[], _} -> fail(no_command);
        {_, false} -> fail(no_updo);
        {[Command | More], Updo} ->
            case lists:member(Command, ?ALL) of
                true -> do(Command, More, Flags, Updo, State);
                false -> fail({unknown, Command})
            end
    end.

fail(Why) -> {error, {?MODULE, Why}}.

do("check", Words, Flags, Updo, State) ->
    {Plans, More} = case named(Words) of
        {none, Rest} -> {plans(State), Rest};
        {Plan, Rest} -> {[Plan], Rest}
    end,
    case Plans of
        [] ->
            rebar_api:info("No plan here (plan.updo, plans/*.updo): nothing to check. "
                "What updo infers without one: rebar3 updo preview", []),
            {ok, State};
        _ ->
            ended(run(Updo, ["check" | Plans] ++ Flags ++ More, []), State)
    end;
do(Command, Words, Parsed, Updo, State) ->
    {Named, More} = named(Words),
    Flags = flags_of(Parsed ++ More),
    case subject(Named, Flags, Updo, State) of
        {error, Why} -> fail(Why);
        {ok, Subject, Node, Env} ->
            case lists:member(Command, ?BUILDS) of
                false ->
                    Args = ["status", Subject, "--save"] ++ lists:append(Flags),
                    ended(run(Updo, Args, Env), State);
                true ->
                    %% Before the files change.
                    keep(Updo, Subject, Flags, Env),
                    {ok, Built} = rebar_prv_compile:do(State),
                    Build = [Subject | push(Subject, Node, Flags, Updo, Env, Built)],
                    ended(upgrade(Command, Updo, Build, Flags, Env, Built), Built)
            end
    end.

%% Goes on without copies: the command itself says whether the upgrade then has a way back.
keep(Updo, Subject, Flags, Env) ->
    Args = ["status", Subject] ++ words(Flags, ?CONNECTION ++ ?SUBJECT) ++ ["--save", "--quiet"],
    case captured(Updo, Args, Env, "2>&1 >/dev/null") of
        {0, _} -> ok;
        {Code, Why} -> rebar_api:warn("No copies of what runs were kept (exit code ~b):~n~ts", [Code, Why])
    end.

%% The exit code of updo says what has become of the node: it is that of rebar3, too.
ended(0, State) -> {ok, State};
ended({error, _} = Error, _State) -> Error;
ended(Code, _State) -> halt(Code).

%% Shown is a script, asked is whether it shall run, run is that script or nothing. It lies with the
%% beams: who can write one can write the other.
upgrade("run", Updo, Build, Flags, Env, State) ->
    case words(Flags, ["-y", "--yes", "--dry-run"]) of
        [] -> asked(Updo, Build, Flags, Env, State);
        _ -> run(Updo, ["run" | Build] ++ lists:append(Flags), Env)
    end;
upgrade(Command, Updo, Build, Flags, Env, _State) ->
    run(Updo, [Command | Build] ++ lists:append(Flags), Env).

asked(Updo, Build, Flags, Env, State) ->
    Script = filename:join([rebar_dir:base_dir(State), "updo", "upgrade.script"]),
    ok = filelib:ensure_dir(Script),
    Shown = lists:append([Flag || Flag <- Flags, not lists:member(flag_name(Flag), ?RUN_ONLY)]),
    case run(Updo, ["preview" | Build] ++ Shown ++ ["-o", Script, "--exit-code"], Env) of
        %% 3: there is something to do.
        3 ->
            case yes(io:get_line("Run it? Type yes: ")) of
                true ->
                    More = words(Flags, ?CONNECTION ++ ?OUTPUT ++ ["--strict"] ++ ?RUN_ONLY),
                    %% A script has its nodes: updo refuses another target, of a variable as well.
                    Unset = lists:keystore("UPDO_TARGET", 1, Env, {"UPDO_TARGET", false}),
                    run(Updo, ["run", Script, "--yes", "--quiet"] ++ More, Unset);
                false -> fail(not_said_yes)
            end;
        Other -> Other
    end.

yes(Line) when is_list(Line) -> string:trim(Line) =:= "yes";
yes(_) -> false.

%% Each flag with its values: what follows it up to the next one, since no value of updo begins with `-`.
flags_of([]) -> [];
flags_of([Word | More]) ->
    {Values, Rest} = lists:splitwith(fun(Next) -> not lists:prefix("-", Next) end, More),
    case re:run(Word, "^-[qvy]{2,}$", [{capture, none}]) of
        %% `-qy` is `-q` and `-y`.
        match -> [[[$-, Letter]] || Letter <- tl(Word)] ++ flags_of(Values ++ Rest);
        nomatch -> [[Word | Values] | flags_of(Rest)]
    end.

%% The words of the flags with these names.
words(Flags, Names) ->
    lists:append([Flag || Flag <- Flags, lists:member(flag_name(Flag), Names)]).

flag_name(["--" ++ _ = Word | _]) -> hd(string:split(Word, "="));
flag_name(["-" ++ _ = Word | _]) -> lists:sublist(Word, 2);
flag_name([Word | _]) -> Word.

%% `-t NODE`, `--target NODE`, `--target=NODE`, `-tNODE`.
flag_value(Flags, Names) ->
    case [Flag || Flag <- Flags, lists:member(flag_name(Flag), Names)] of
        [] -> none;
        [[_, Value | _] | _] -> Value;
        [["--" ++ _ = Word] | _] -> lists:append(tl(string:split(Word, "=")));
        [[[_, _ | Value]] | _] -> string:trim(Value, leading, "=")
    end.

%% What the build changed goes to the node, unless the node's code path is this build.
push(Subject, Node, Flags, Updo, Env, State) when Subject =:= Node ->
    Apps = rebar_state:project_apps(State),
    case same_disk(Apps, Node, Flags, Updo, Env) of
        true -> [];
        false ->
            Folders = [rebar_app_info:ebin_dir(A) || A <- Apps ++ rebar_state:all_deps(State)],
            lists:append([["--push", F] || F <- lists:usort(Folders), filelib:is_dir(F)])
    end;
push(_Plan, _Node, _Flags, _Updo, _Env, _State) ->
    %% A plan says itself where new code is.
    [].

%% Whether the file of an application on the node's code path is, to the inode, that of this build.
same_disk(Apps, Node, Flags, Updo, Env) ->
    Atoms = [binary_to_atom(rebar_app_info:name(App), utf8) || App <- Apps],
    Names = lists:join(",", [io_lib:format("~tp", [Atom]) || Atom <- Atoms]),
    Asked = io_lib:format(
        "[case code:lib_dir(A) of {error, _} -> none; D -> "
        "F = filename:join([D, \"ebin\", atom_to_list(A) ++ \".app\"]), "
        "case file:read_file_info(F, [{time, posix}]) of "
        "{ok, I} -> {element(2, I), element(6, I), element(10, I), element(12, I)}; _ -> none end end "
        "|| A <- [~ts]]", [Names]),
    Here = [here(A) || A <- Apps],
    Args = ["eval", Node, unicode:characters_to_list(Asked), "--syntax", "erlang"],
    case captured(Updo, Args ++ words(Flags, ?CONNECTION), Env) of
        {0, Text} ->
            There = term(Text),
            is_list(There) andalso length(There) =:= length(Here)
                andalso lists:any(fun({A, B}) -> A =:= B end, lists:zip(There, Here));
        _ -> false
    end.

here(App) ->
    Name = binary_to_list(rebar_app_info:name(App)) ++ ".app",
    case file:read_file_info(filename:join(rebar_app_info:ebin_dir(App), Name), [{time, posix}]) of
        {ok, I} -> {element(2, I), element(6, I), element(10, I), element(12, I)};
        _ -> no_file
    end.

term(Text) ->
    case erl_scan:string(Text ++ ".") of
        {ok, Tokens, _} ->
            case erl_parse:parse_term(Tokens) of
                {ok, Term} -> Term;
                _ -> none
            end;
        _ -> none
    end.

%%% ---- what is meant: a plan or a node, and the cookie that goes with it

%% The first word, unless it is a flag: a plan or a node.
named([[$- | _] | _] = More) -> {none, More};
named([Word | More]) -> {Word, More};
named([]) -> {none, []}.

subject(none, Flags, Updo, State) ->
    case plans(State) of
        [Plan] ->
            case {given(Flags), has_target(Plan)} of
                {none, true} -> {ok, Plan, none, []};
                _ -> with_node(Plan, Flags, Updo, State)
            end;
        _ -> with_node(node, Flags, Updo, State)
    end;
subject(Named, Flags, Updo, State) ->
    case lists:suffix(".updo", Named) of
        true ->
            case {given(Flags), has_target(Named)} of
                {none, true} -> {ok, Named, none, []};
                _ -> with_node(Named, Flags, Updo, State)
            end;
        false -> {ok, Named, Named, cookie(Named, State)}
    end.

with_node(Subject, Flags, Updo, State) ->
    case node_of(Flags, Updo, State) of
        {ok, Node, Env} when Subject =:= node -> {ok, Node, Node, Env};
        %% The plan gets it as UPDO_TARGET would give it: a target of the plan, or a node.
        {ok, Node, Env} -> {ok, Subject, Node, [{"UPDO_TARGET", Node} | Env]};
        Error -> Error
    end.

given(Flags) ->
    case {flag_value(Flags, ["-t", "--target"]), os:getenv("UPDO_TARGET", "")} of
        {none, ""} -> none;
        {none, Node} -> Node;
        {Node, _} -> Node
    end.

node_of(Flags, Updo, State) ->
    Configured = config(node, State),
    case {given(Flags), Configured, os:getenv("RELEASE_NODE", "")} of
        {none, none, ""} -> found(named_nodes(State), Flags, Updo, State);
        {none, none, Release} ->
            Node = full(Release, short),
            {ok, Node, cookie(Node, State)};
        {none, _, _} -> {ok, text(Configured), cookie(text(Configured), State)};
        {Node, _, _} -> {ok, Node, cookie(Node, State)}
    end.

%% Of several names that one that is up; of names that nothing states, only one that is up.
found([{Node, _}], _Flags, _Updo, State) -> {ok, Node, cookie(Node, State)};
found([], Flags, Updo, State) ->
    Apps = [binary_to_list(rebar_app_info:name(A)) || A <- rebar_state:project_apps(State)],
    Guessed = [N || A <- Apps, N <- lists:usort([A ++ "@localhost", full(A, short)]),
        is_up(N, Flags, Updo, State)],
    case Guessed of
        [] -> {error, no_node};
        [Node] -> {ok, Node, cookie(Node, State)};
        _ -> {error, {several_nodes, Guessed}}
    end;
found(Named, Flags, Updo, State) ->
    Nodes = lists:usort([Node || {Node, _} <- Named]),
    case {Nodes, [Node || Node <- Nodes, is_up(Node, Flags, Updo, State)]} of
        {[Node], _} -> {ok, Node, cookie(Node, State)};
        {_, [Node]} -> {ok, Node, cookie(Node, State)};
        {_, []} -> {error, {several_nodes, Nodes}};
        {_, Up} -> {error, {several_nodes, Up}}
    end.

is_up(Node, Flags, Updo, State) ->
    Args = ["eval", Node, "ok", "--quiet"] ++ words(Flags, ?CONNECTION),
    {Code, _} = captured(Updo, Args, cookie(Node, State)),
    Code =:= 0.

%% What the files of the project state: [{Node, Cookie | none}].
named_nodes(State) ->
    shell_node(State) ++ lists:append([vm_args(File) || File <- vm_args_files(State)]).

%% {dist_node, [{sname, x}, {setcookie, y}]}: what `rebar3 shell` starts.
shell_node(State) ->
    Options = rebar_state:get(State, dist_node, []),
    Cookie = case proplists:get_value(setcookie, Options, none) of
        none -> none;
        Some -> text(Some)
    end,
    Names = [full(text(Name), Kind) || {Key, Kind} <- [{name, long}, {sname, short}],
        Name <- [proplists:get_value(Key, Options, none)], Name =/= none],
    [{Name, Cookie} || Name <- Names].

vm_args_files(State) ->
    Relx = rebar_state:get(State, relx, []),
    Named = [text(File) || {Key, File} <- proplists:unfold(Relx),
        Key =:= vm_args orelse Key =:= vm_args_src, is_list(File) orelse is_binary(File)],
    Usual = ["config/vm.args.src", "config/vm.args"],
    Root = rebar_state:dir(State),
    Files = [filename:join(Root, File) || File <- case Named of [] -> Usual; _ -> Named end],
    [File || File <- Files, filelib:is_regular(File)].

vm_args(File) ->
    {ok, Bytes} = file:read_file(File),
    Lines = string:split(unicode:characters_to_list(Bytes), "\n", all),
    Words = lists:append([string:lexemes(hd(string:split(Line, "#")), " \t\r") || Line <- Lines]),
    flags(Words, [], none).

flags(["-name", Name | More], Names, Cookie) -> flags(More, [{Name, long} | Names], Cookie);
flags(["-sname", Name | More], Names, Cookie) -> flags(More, [{Name, short} | Names], Cookie);
flags(["-setcookie", Cookie | More], Names, _) -> flags(More, Names, variables(Cookie));
flags([_ | More], Names, Cookie) -> flags(More, Names, Cookie);
flags([], Names, Cookie) ->
    [{full(Name, Kind), Cookie} || {Written, Kind} <- lists:reverse(Names),
        Name <- [variables(Written)], Name =/= none].

%% `${NAME}` and `${NAME:-default}`, as relx replaces them when a node starts; none when one is not set here.
variables(Text) ->
    case re:run(Text, "\\$\\{([A-Za-z0-9_]+)(?::-([^}]*))?\\}", [{capture, all, list}]) of
        nomatch -> Text;
        {match, [All, Name | Default]} ->
            case {os:getenv(Name), Default} of
                {false, []} -> none;
                {false, [Value]} -> variables(replaced(Text, All, Value));
                {Value, _} -> variables(replaced(Text, All, Value))
            end
    end.

replaced(Text, Part, By) -> lists:flatten(string:replace(Text, Part, By)).

%% As erl completes the name of a node.
full(Name, Kind) ->
    case {lists:member($@, Name), Kind} of
        {true, _} -> Name;
        {false, long} -> Name ++ "@" ++ net_adm:localhost();
        {false, short} ->
            {ok, Host} = inet:gethostname(),
            Name ++ "@" ++ Host
    end.

%% The cookie that a file of the project states beside the name of the node, for the environment of updo. What
%% the operator, or a plan, says counts more; without any updo takes ~/.erlang.cookie as erl does.
cookie(Node, State) ->
    case [Cookie || {Name, Cookie} <- named_nodes(State), Name =:= Node, Cookie =/= none] of
        [Cookie | _] ->
            case os:getenv("RELEASE_COOKIE", "") of
                "" -> [{"RELEASE_COOKIE", Cookie}];
                _ -> []
            end;
        [] -> []
    end.

plans(State) ->
    Root = rebar_state:dir(State),
    case config(plan, State) of
        none ->
            Folder = filelib:wildcard(filename:join(Root, "plans/*.updo")),
            Plans = [filename:join(Root, "plan.updo") | Folder],
            [Plan || Plan <- Plans, filelib:is_regular(Plan)];
        Plan -> [filename:absname(text(Plan), Root)]
    end.

has_target(Plan) ->
    case file:read_file(Plan) of
        {ok, Text} -> re:run(Text, "^\\s*target\\s", [multiline]) =/= nomatch;
        _ -> true
    end.

config(Key, State) -> proplists:get_value(Key, rebar_state:get(State, updo, []), none).

text(Atom) when is_atom(Atom) -> atom_to_list(Atom);
text(Text) -> unicode:characters_to_list(Text).

%%% ---- the binary

executable(State) ->
    case {os:getenv("UPDO", ""), config(executable, State)} of
        {"", none} -> os:find_executable("updo");
        {"", Path} -> os:find_executable(text(Path));
        {Path, _} -> os:find_executable(Path)
    end.

%% As updo takes it: in one word, whatever the value begins with.
flag(Flag) when is_atom(Flag) -> "--" ++ atom_to_list(Flag);
flag({Flag, Value}) -> "--" ++ atom_to_list(Flag) ++ "=" ++ Value.

%% On the terminal of rebar3.
run(Updo, Args, Env) ->
    Port = open_port({spawn_executable, Updo}, [nouse_stdio, exit_status, {args, Args}, {env, Env}]),
    receive {Port, {exit_status, Code}} -> Code end.

%% Without errors: what is wrong is said by the command that was asked for.
captured(Updo, Args, Env) -> captured(Updo, Args, Env, "2>/dev/null").

captured(Updo, Args, Env, Streams) ->
    Words = ["-c", "exec \"$0\" \"$@\" " ++ Streams, Updo | Args],
    Port = open_port({spawn_executable, os:find_executable("sh")},
        [exit_status, binary, {args, Words}, {env, Env}]),
    output(Port, <<>>).

output(Port, Seen) ->
    receive
        {Port, {data, More}} -> output(Port, <<Seen/binary, More/binary>>);
        {Port, {exit_status, Code}} -> {Code, unicode:characters_to_list(Seen)}
    end.
