%% The callback mode of a gen_statem: it is that of the code that runs, whichever way that came to be loaded.
%% Part of agent_tests.erl, which runs them.
-module(mode_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/2, job/3, window/2, run/1, upgrade/1, settle/0, until_finished/1, is_now/1,
                      server/2, server/3, start/2, ask/1, clean/0, boot_fast/1, settle_until_gone/0, flush/0]).

tests() -> [mode_up, mode_undone, mode_undone_of_all, mode_not_asked, mode_unasked, mode_rollback, mode_convert, mode_turned_back,
            mode_killed, mode_interpreted].

%% V: 1 is state_functions, 2 handle_event_function. Change: clauses of code_change/4, none when empty.
statem(M, V, Change) ->
    Export = case Change of "" -> ""; _ -> "-export([code_change/4])." end,
    Mode = case V of
        1 -> "-export([on/3]). callback_mode() -> state_functions. on({call,F},_,D) -> {keep_state_and_data,[{reply,F,{one,D}}]}.";
        2 -> "-export([handle_event/4]). callback_mode() -> [handle_event_function,state_enter]. handle_event(enter,_,_,_) -> keep_state_and_data; "
             "handle_event({call,F},_,S,D) -> {keep_state_and_data,[{reply,F,{two,S,D}}]}."
    end,
    {Exports, Code} = case string:split(Mode, ". ") of [E, C] -> {E ++ ".", C} end,
    compile(io_lib:format("-module(~s). -vsn(\"~b\"). -export([init/1,callback_mode/0]). ~s ~s init(X) -> {ok,on,X}. ~s ~s",
                          [M, V, Export, Exports, Code, Change])).

sm(M, X) -> {ok, P} = gen_statem:start(M, X, []), P.
same() -> "code_change(_,S,D,_) -> {ok,S,D}.".
call(P) -> gen_statem:call(P, x, 5000).
no_traces(Ps) ->
    [[] = [K || {K, _} <- element(2, process_info(P, dictionary)), is_updo(K)] || P <- Ps],
    [{error_handler, error_handler} = process_info(P, error_handler) || P <- Ps].
is_updo(K) when is_atom(K) -> lists:prefix("$updo", atom_to_list(K));
is_updo(_) -> false.

%% Without a code_change/4, softly, and with one.
mode_up() ->
    [begin
        {V1, V2} = {statem(t_mu, 1, ""), statem(t_mu, 2, Change)},
        load(V1),
        Ps = [sm(t_mu, I) || I <- lists:seq(1, 20)],
        [S, L, _, R] = window([t_mu], []),
        {new, _, _} = upgrade(job([module(V2, V1)], [S, L, {3, {code_change, up, [{t_mu, How}]}}, R])),
        [{two, on, I} = call(P) || {I, P} <- lists:zip(lists:seq(1, 20), Ps)],
        no_traces(Ps),
        clean(),
        [exit(P, kill) || P <- Ps]
     end || {Change, How} <- [{"", soft}, {same(), {advanced, x}}, {same(), soft}]].

%% The conversion of another process fails after this one has converted.
mode_undone() ->
    [begin
        {V1, V2} = {statem(t_mn, 1, Old), statem(t_mn, 2, New)},
        {B1, B2} = {server(t_mo, 1), server(t_mo, 2, "code_change(_,_,_) -> {error,no};")},
        [load(X) || X <- [V1, B1]],
        Ps = [sm(t_mn, I) || I <- lists:seq(1, 20)],
        Q = start(t_mo, 7),
        [S, L, _, R] = window([t_mn, t_mo], []),
        Steps = [S, L, {3, {code_change, up, [{t_mn, How}, {t_mo, {advanced, x}}]}}, R],
        {old, #{reason := {conversion_failed, #{pid := Q}}}, _} = upgrade(job([module(V2, V1), module(B2, B1)], Steps)),
        is_now(V1), is_now(B1),
        [{one, I} = call(P) || {I, P} <- lists:zip(lists:seq(1, 20), Ps)],
        {1, 7} = ask(Q),
        no_traces(Ps),
        clean(),
        [exit(P, kill) || P <- [Q | Ps]]
     end || {Old, New, How} <- [{"", "", soft}, {same(), "", soft}, {"", same(), {advanced, x}}, {same(), same(), {advanced, x}},
                                %% what the old code makes of its own state is thrown away
                                {"code_change(_,S,D,_) -> {ok,{S,again},{D,again}}.", "code_change(_,S,D,_) -> {ok,S,{new,D}}.", {advanced, x}}]].

%% One of many gen_statem fails: some have been converted, some have not.
mode_undone_of_all() ->
    {V1, V2} = {statem(t_ma, 1, ""), statem(t_ma, 2, "code_change(_,_,30,_) -> error(no); code_change(_,S,D,_) -> {ok,S,{new,D}}.")},
    load(V1),
    Ps = [sm(t_ma, I) || I <- lists:seq(1, 60)],
    {old, #{reason := {conversion_failed, _}}, _} = upgrade(job([module(V2, V1)], window([t_ma], []))),
    [{one, I} = call(P) || {I, P} <- lists:zip(lists:seq(1, 60), Ps)],
    no_traces(Ps).

%% Where the mode stays the same the old code_change is not called.
mode_not_asked() ->
    {V1, V2} = {statem(t_mm, 1, "code_change(_,S,D,_) -> file:write_file(\"/nonexistent\", x), exit(D), {ok,S,D}."), statem(t_mm, 1, "code_change(_,_,_,_) -> error(no).")},
    load(V1),
    P = sm(t_mm, 1),
    {old, _, _} = upgrade(job([module(V2, V1)], window([t_mm], []))),
    {one, 1} = call(P).

%% An old code_change/4 that takes no state of its own version: that is reported, and no process stays suspended.
mode_unasked() ->
    {V1, V2} = {statem(t_mx, 1, "code_change(_,off,D,_) -> {ok,on,D}."), statem(t_mx, 2, "code_change(_,_,3,_) -> error(no); code_change(_,S,D,_) -> {ok,S,D}.")},
    load(V1),
    Ps = [sm(t_mx, I) || I <- lists:seq(1, 3)],
    Result = upgrade(job([module(V2, V1)], window([t_mx], []), #{undo => exact})),
    is_now(V1),
    no_traces(Ps),
    %% Those that had the new mode, and only those.
    {mixed, #{unasked := [_ | _] = L, by_hand := [_ | _]}, _} = Result,
    Named = [P || #{pid := P, why := Why} <- L, is_binary(Why)],
    [{one, I} = call(P) || {I, P} <- lists:zip(lists:seq(1, 3), Ps), not lists:member(P, Named)].

%% Downwards code_change runs in the code that goes.
mode_rollback() ->
    [begin
        {V1, V2} = {statem(t_mr, 1, Old), statem(t_mr, 2, New)},
        load(V1),
        Ps = [sm(t_mr, I) || I <- lists:seq(1, 20)],
        {new, _, _} = run(job([module(V2, V1)], window([t_mr], []))),
        [{two, on, _} = call(P) || P <- Ps],
        Down = [{1, {suspend, [[{t_mr, default}]]}}, {3, {code_change, down, [{t_mr, {advanced, x}}]}}, {2, {load, [t_mr]}}, {4, {resume, [t_mr]}}],
        get(guardian) ! {updo_run, #{modules => [module(V1, V2)], steps => Down, goal => old}},
        {old, _, _} = until_finished([]),
        settle(),
        is_now(V1),
        [{one, I} = call(P) || {I, P} <- lists:zip(lists:seq(1, 20), Ps)],
        no_traces(Ps),
        clean(),
        [exit(P, kill) || P <- Ps]
     end || {Old, New} <- [{"", same()}, {same(), same()}, {"code_change(_,S,D,_) -> {ok,{S,again},{D,again}}.", same()}]].

%% A function of the plan converts: that is no code_change, and the mode must be asked for all the same.
mode_convert() ->
    [begin
        {V1, V2} = {statem(t_mc, 1, ""), statem(t_mc, 2, Change)},
        load(V1),
        load(compile("-module(t_mc_by). -export([c/1]). c({S,D}) when D =/= bad -> {S,{conv,D}}.")),
        Ps = [sm(t_mc, X) || X <- [1, Last]],
        [S, L, _, R] = window([t_mc], []),
        {Outcome, _, _} = upgrade(job([module(V2, V1)], [S, L, {3, {code_change, up, [{t_mc, {convert, {t_mc_by, c}}}]}}, R])),
        Want = case Outcome of new -> [{two, on, {conv, 1}}, {two, on, {conv, Last}}]; old -> [{one, 1}, {one, Last}] end,
        Want = [call(P) || P <- Ps],
        no_traces(Ps),
        clean(),
        [exit(P, kill) || P <- Ps]
     end || Change <- ["", same()], {Last, Outcome} <- [{2, new}, {bad, old}]].

%% A second window fails, and the closed one is gone through backwards.
mode_turned_back() ->
    {V1, V2} = {statem(t_mt, 1, ""), statem(t_mt, 2, same())},
    {B1, B2} = {server(t_mtb, 1), server(t_mtb, 2, "code_change(_,_,_) -> {error,no};")},
    [load(X) || X <- [V1, B1]],
    {P, Q} = {sm(t_mt, 1), start(t_mtb, 1)},
    Steps = window([t_mt], []) ++ [{I + 10, S} || {I, S} <- window([t_mtb], [])],
    Back = [[{21, {suspend, [[{t_mt, default}]]}}, {22, {code_change, down, [{t_mt, {advanced, x}}]}}, {23, {load, [t_mt]}}, {25, {resume, [t_mt]}}], none],
    {old, _, _} = upgrade(job([module(V2, V1), module(B2, B1)], Steps, #{back => Back})),
    {one, 1} = call(P), {1, 1} = ask(Q),
    no_traces([P]).

%% Whenever the executor dies, the mode is that of the code.
mode_killed() ->
    {V1, V2} = {statem(t_mk, 1, ""), statem(t_mk, 2, same())},
    {B1, B2} = {server(t_mkb, 1), server(t_mkb, 2, "code_change(_,_,_) -> timer:sleep(20), {error,no};")},
    Seen = [begin
        [load(X) || X <- [V1, B1]],
        Ps = [sm(t_mk, I) || I <- lists:seq(1, 300)],
        Q = start(t_mkb, 1),
        [S, L, _, R] = window([t_mk, t_mkb], []),
        How = case Us rem 2 of 0 -> soft; _ -> {advanced, x} end,
        {ok, _} = boot_fast(job([module(V2, V1), module(B2, B1)], [S, L, {3, {code_change, up, [{t_mk, How}, {t_mkb, {advanced, x}}]}}, R])),
        E = receive {updo, _, _, {started, #{executor := X}}} -> X after 5000 -> error(not_started) end,
        receive {updo, _, _, {step_started, 2}} -> ok; {updo, _, _, {finished, _, _}} -> ok after 5000 -> error(not_loading) end,
        T = erlang:monotonic_time(microsecond) + Us * 150,
        Spin = fun F() -> case erlang:monotonic_time(microsecond) < T of true -> F(); false -> ok end end,
        Spin(),
        exit(E, kill),
        {Outcome, _, _} = until_finished([]),
        settle_until_gone(),
        Want = case Outcome of old -> one; new -> two end,
        Want = case t_mk:callback_mode() of state_functions -> one; _ -> two end,
        [Want = element(1, call(P)) || P <- Ps],
        no_traces(Ps),
        clean(),
        flush(),
        [exit(P, kill) || P <- [Q | Ps]],
        Outcome
     end || Us <- lists:seq(0, 39)],
    io:format("        ~b executors killed: ~b old, ~b new~n", [length(Seen), length([x || old <- Seen]), length([x || new <- Seen])]).

%% Without a compiler there is no module to turn to: an old version with a code_change/4 is asked,
%% one without is reported.
mode_interpreted() ->
    persistent_term:put(interpret, true),
    try
        mode_rollback_with(same()),
        {V1, V2} = {statem(t_mi, 1, ""), statem(t_mi, 2, "")},
        load(V1),
        P = sm(t_mi, 1),
        [S, L, _, R] = window([t_mi], []),
        {old, #{reason := {conversion_failed, #{pid := P}}}, _} = upgrade(job([module(V2, V1)], [S, L, {3, {code_change, up, [{t_mi, soft}]}}, R])),
        {one, 1} = call(P),
        no_traces([P])
    after persistent_term:erase(interpret)
    end.

mode_rollback_with(Old) ->
    {V1, V2} = {statem(t_mj, 1, Old), statem(t_mj, 2, "code_change(_,_,2,_) -> error(no); code_change(_,S,D,_) -> {ok,S,D}.")},
    load(V1),
    Ps = [sm(t_mj, I) || I <- [1, 2, 3]],
    {old, _, _} = upgrade(job([module(V2, V1)], window([t_mj], []))),
    [{one, _} = call(P) || P <- Ps],
    clean().
