%% Everything of a run that is not the window itself: configuration, code path, config_change/3, a module that goes; with
%% the executor or the guardian killed at every event. All of it is new afterwards, or all of it is old.
%% Part of agent_tests.erl, which runs them.
-module(settings_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, boot/1, job/2, job/3, settle/0, until_finished/1, window/2, killing/5, server/2, plain/2, start/2, ask/1, clean/0, boot_fast/1,
                      settle_until_gone/0, flush/0, suspended/0, interpreted/1, upgrade/1, wait/2]).

tests() -> [settings_new, settings_old, settings_refused, settings_executor_killed, settings_guardian_killed, stays].

lib(V) ->
    filename:join([os:getenv("TMPDIR", "/tmp"), "updo-" ++ os:getpid(), "t_lib-" ++ V, "ebin"]).

begin_with() ->
    [ok = filelib:ensure_dir(filename:join(lib(V), "x")) || V <- ["1", "2"]],
    case code:replace_path(t_lib, lib("1")) of true -> ok; _ -> code:add_pathz(lib("1")) end,
    application:unload(t_lib),
    ok = application:load({application, t_lib, [{vsn, "1"}, {env, [{limit, 10}, {doors, 2}]}]}),
    persistent_term:erase(t_told),
    load(config()),
    [load(X) || X <- [server(t_set, 1), plain(t_goes, 1)]],
    [start(t_set, I) || I <- lists:seq(1, 20)].

config() ->
    compile("-module(t_cfg). -export([config_change/3]). config_change(C, N, R) -> "
            "persistent_term:put(t_told, [{C, N, R} | persistent_term:get(t_told, [])]), persistent_term:get(t_answer, ok).").

the_job() ->
    [S, L, C, R] = [element(2, Step) || Step <- window([t_set], [])],
    Steps = [{env, [{t_lib, doors}, {t_lib, limit, 10, 20}, {t_lib, shelves, 3}, {t_lib, untouched, 1, 2}]},
             {paths, [{t_lib, lib("1"), lib("2")}]}, S, L, C, R,
             {config_change, [{t_cfg, [{limit, 20}], [{shelves, 3}], [doors]}, {t_goes, [], [], []}]}, {delete, [t_goes]}],
    Back = [[{11, S}, {12, {code_change, down, [{t_set, {advanced, extra}}]}}, {13, {load, [t_set]}}, {14, R}], [{15, {load, [t_goes]}}]],
    Gone = module({t_goes, undefined}, plain(t_goes, 1)),
    job([module(server(t_set, 2), server(t_set, 1)), Gone], lists:zip(lists:seq(1, length(Steps)), Steps), #{back => Back}).

is(new, Ps) -> is(2, Ps, [{limit, 20}, {shelves, 3}], "2", false);
is(old, Ps) -> is(1, Ps, [{doors, 2}, {limit, 10}], "1", true).

is(V, Ps, Env, Lib, Goes) ->
    V = t_set:v(),
    [V = element(1, ask(P)) || P <- Ps],
    {Env, Env} = {lists:sort(application:get_all_env(t_lib)), Env},
    {true, Lib} = {lists:member(lib(Lib), code:get_path()), Lib},
    {false, Lib} = {lists:member(lib(case Lib of "1" -> "2"; "2" -> "1" end), code:get_path()), Lib},
    Goes = erlang:module_loaded(t_goes),
    [] = suspended().

settings_new() ->
    All = fun() ->
        Ps = begin_with(),
        {new, _, _} = upgrade(the_job()),
        is(new, Ps),
        [{[{limit, 20}], [{shelves, 3}], [doors]}] = persistent_term:get(t_told),
        [exit(P, kill) || P <- Ps]
    end,
    All(),
    clean(),
    interpreted(All).

%% A conversion fails: no process is informed, all is put back.
settings_old() ->
    Ps = begin_with(),
    [P | _] = Ps,
    sys:replace_state(P, fun(_) -> not_what_it_was end),
    {old, #{reason := {conversion_failed, _}}, _} = upgrade(the_job()),
    sys:replace_state(P, fun(_) -> {1, 1} end),
    is(old, Ps),
    [] = persistent_term:get(t_told, []).

%% What config_change/3 does not like is taken back through the window that is closed.
settings_refused() ->
    [begin
        Ps = begin_with(),
        persistent_term:put(t_answer, Answer),
        {old, #{reason := {apply_failed, #{mfa := {t_cfg, config_change, 3}}}}, _} = upgrade(the_job()),
        persistent_term:erase(t_answer),
        is(old, Ps),
        clean(),
        [exit(P, kill) || P <- Ps]
     end || Answer <- [{error, no}, nonsense]].

settings_executor_killed() -> killed(executor, [new, old], [0, 1, 2]).
settings_guardian_killed() -> killed(guardian, [new], [0, 1]).
settings_interpreted_killed() -> interpreted(fun() -> killed(executor, [new, old], [0, 3]) end).

killed(Whom, Allowed, Delays) ->
    Outcomes = [begin
        Ps = begin_with(),
        {ok, _} = boot_fast(the_job()),
        {O, Info, Es} = killing(N, Delay, Whom, undefined, []),
        lists:member(O, Allowed) orelse error({N, Delay, O, Info, Es}),
        try is(O, Ps) catch C:R:St -> error({N, Delay, O, {C, R, St}, Es}) end,
        length(persistent_term:get(t_told, [])) =< 1 orelse error({told_twice, N, Delay}),
        settle_until_gone(),
        clean(),
        wait(fun() -> code:is_loaded(updo_agent_7f2a) =:= false end, module),
        flush(),
        [exit(P, kill) || P <- Ps],
        O
    end || N <- lists:seq(1, 20), Delay <- Delays],
    io:format("        ~p~n", [[{O, length([x || P <- Outcomes, P =:= O])} || O <- lists:usort(Outcomes)]]).

%% ---------------------------------------------------------------------------------------------------------------
%% The module that a rehearsal leaves to the run after it

stays() ->
    %% A client that is gone: the run ends before it has begun, and the module stays for a while all the same.
    Gone = binary_to_term(<<131, 88, 119, 3, "x@y", 7:32, 0:32, 1:32>>),
    Left = fun(Ms) ->
        {ok, _} = boot(job([], [], #{watcher => Gone, stay => Ms})),
        wait(fun() -> whereis(updo_agent_7f2a) =/= undefined andalso whereis(updo_run) =:= undefined end, not_there),
        {file, _} = code:is_loaded(updo_agent_7f2a),
        whereis(updo_agent_7f2a)
    end,
    Next = fun() ->
        {value, V, _} = erl_eval:exprs(persistent_term:get(load), [{'Beam', stays}, {'Job', job([], [])}, {'Name', updo_agent_7f2a}]),
        V
    end,
    Here = fun() -> code:is_loaded(updo_agent_7f2a) =/= false end,
    %% The next agent takes it over, and takes it away at its end.
    Left(60000),
    {ok, _} = Next(),
    {new, _, _} = until_finished([]),
    settle(),
    clean(),
    %% One that does not start takes it away as well.
    Left(60000),
    register(updo_run, Other = spawn(fun() -> receive stop -> ok end end)),
    {error, {locked, _}} = Next(),
    Other ! stop,
    clean(),
    %% When its time is over it goes.
    Left(100),
    wait(fun() -> not Here() end, stays),
    {error, {gone, updo_agent_7f2a}} = Next(),
    %% Asked by a process that ends before it has taken it: it goes.
    Keeper = Left(60000),
    spawn(fun() -> Keeper ! {updo_next, self(), make_ref()} end),
    wait(fun() -> not Here() end, stays),
    %% What keeps it is killed: nothing is taken over.
    Killed = Left(60000),
    exit(Killed, kill),
    {error, {gone, updo_agent_7f2a}} = Next(),
    code:purge(updo_agent_7f2a), code:delete(updo_agent_7f2a), code:purge(updo_agent_7f2a),
    clean().
