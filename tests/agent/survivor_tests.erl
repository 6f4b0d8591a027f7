%% What a run owes to processes and people beside its script: a death after the resume is reported, what was suspended
%% before stays so, code that is loaded by others meanwhile is noticed, no process is forgotten because it is slow.
%% Part of agent_tests.erl, which runs them.
-module(survivor_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/2, job/3, window/2, server/2, server/3, plain/2, start/2, ask/1, clean/0, run/1,
                      settle/0, upgrade/1, is_now/1, failure/1, interpreted/1, wait/2]).

tests() -> [crash_in_soak, crash_after_soak, crash_outlives_executor, left_suspended, left_suspended_undone, left_asleep, debug_options_kept,
            resumed_by_others, loaded_in_window, loaded_before_switch, loaded_after_resume, loaded_before_the_end, manager_is_waited_for, manager_silent,
            statem_moved, statem_moved_undone, back_in_two_windows, busy_at_the_end, monitor_killed].

%% Version 2 goes without a clause for the message of an old timer.
fragile(1) -> compile("-module(t_frag). -vsn(1). -export([init/1,handle_call/3,handle_cast/2,handle_info/2]). init(X) -> {ok,X}. "
                      "handle_call(_,_,S) -> {reply,S,S}. handle_cast(stop,S) -> {stop,normal,S}; handle_cast(_,S) -> {noreply,S}. handle_info(_,S) -> {noreply,S}.");
fragile(2) -> compile("-module(t_frag). -vsn(2). -export([init/1,handle_call/3,handle_cast/2,handle_info/2,code_change/3]). init(X) -> {ok,X}. "
                      "handle_call(_,_,S) -> {reply,S,S}. handle_cast(stop,S) -> {stop,normal,S}. handle_info({tick,secret},S) -> {noreply,S}. "
                      "code_change(_,S,_) -> {ok,S}.").

soaked(Ms) -> window([t_frag], []) ++ [{5, {soak, Ms}}].

crash_in_soak() ->
    Check = fun() ->
        load(fragile(1)),
        [A, B, C, D] = [start(t_frag, N) || N <- lists:seq(1, 4)],
        erlang:send_after(300, self(), now),
        Me = self(),
        spawn_link(fun() -> await_version(A), A ! {tick, my_secret}, gen_server:cast(B, stop), Me ! sent end),
        {new, _, Es} = run(job([module(fragile(2), fragile(1))], soaked(600))),
        receive sent -> ok end,
        [#{pid := A, module := t_frag, reason := Why}] = [Died || {died, Died} <- Es],
        {match, _} = re:run(Why, "^error:function_clause in t_frag:handle_info/2"),
        nomatch = re:run(Why, "my_secret"),
        [#{processes := 4, live := 2, crashed := 1}] = [Info || {step_finished, 5, _, Info} <- Es],
        #{survivors := #{watched := 4, live := 2, crashed := 1, died := [#{pid := A}]}, replaced := []} = settle(),
        [N || {N, P} <- [{3, C}, {4, D}], N =:= gen_server:call(P, x)] =:= [3, 4] orelse error(others),
        [exit(P, kill) || P <- [C, D]],
        clean()
    end,
    Check(),
    interpreted(Check).

await_version(P) ->
    case erlang:function_exported(t_frag, code_change, 3) andalso element(2, process_info(P, current_function)) of
        {gen_server, _, _} -> ok;
        _ -> timer:sleep(2), await_version(P)
    end.

%% While the client verifies: an event at once, and in the answer to its question.
crash_after_soak() ->
    load(fragile(1)),
    P = start(t_frag, 1),
    {new, _, _} = run(job([module(fragile(2), fragile(1))], window([t_frag], []))),
    P ! other,
    receive {updo, _, _, {died, #{pid := P}}} -> ok after 2000 -> error(not_told) end,
    whereis(updo_run) ! updo_survey,
    receive {updo, _, _, {surveyed, #{survivors := #{watched := 1, live := 0, crashed := 1}}}} -> ok after 2000 -> error(no_survey) end,
    settle().

crash_outlives_executor() ->
    load(fragile(1)),
    P = start(t_frag, 1),
    {ok, _} = agent_tests:boot(job([module(fragile(2), fragile(1))], soaked(800))),
    Exec = receive {updo, _, _, {started, #{executor := E}}} -> E end,
    receive {updo, _, _, {step_started, 5}} -> ok end,
    P ! other,
    wait(fun() -> not is_process_alive(P) end, alive),
    exit(Exec, kill),
    receive {updo, _, _, {finished, new, _}} -> ok after 10000 -> error(not_finished) end,
    #{survivors := #{watched := 1, live := 0, crashed := 1, died := [#{pid := P}]}} = settle().

suspended_now(P) -> {status, _, _, [_, S | _]} = sys:get_status(P), S =:= suspended.

left_suspended() ->
    {V1, V2} = {server(t_left, 1), server(t_left, 2)},
    load(V1),
    [A, B] = [start(t_left, N) || N <- [1, 2]],
    sys:suspend(A),
    {new, _, Es} = upgrade(job([module(V2, V1)], window([t_left], []))),
    [1] = [N || {step_finished, 4, _, #{processes := N}} <- Es],
    [2] = [N || {step_finished, 3, _, #{processes := N}} <- Es],
    true = suspended_now(A), false = suspended_now(B),
    {2, 1, _} = sys:get_state(A),
    {2, 2, _} = ask(B),
    sys:resume(A),
    {2, 1, _} = ask(A).

%% Called off, undone, and gone back through a closed window.
left_suspended_undone() ->
    {V1, V2, Bad} = {server(t_left, 1), server(t_left, 2), server(t_left, 2, "code_change(_,{1,2},_) -> exit(no);")},
    load(V1),
    [A, B] = [start(t_left, N) || N <- [1, 2]],
    sys:suspend(A),
    {old, #{reason := {conversion_failed, _}}, _} = upgrade(job([module(Bad, V1)], window([t_left], []))),
    true = suspended_now(A), {1, 1} = sys:get_state(A), {1, 2} = ask(B),
    clean_but([A]),
    load(server(t_left2, 1)),
    Slow = start(t_left2, 9),
    gen_server:cast(Slow, fun() -> receive go -> ok end end),
    Steps = [{1, {suspend, [[{t_left, default}, {t_left2, 300}]]}}, {2, {load, [t_left]}}, {3, {resume, [t_left]}}],
    {old, #{reason := {not_suspended, _}}, _} = upgrade(job([module(V2, V1)], Steps)),
    Slow ! go,
    true = suspended_now(A), false = suspended_now(B),
    sys:resume(A), {1, 1} = ask(A).

%% It comes to the last requests of the run when the agent has gone long ago: nothing stays in it all the same.
busy_at_the_end() ->
    Check = fun() ->
        {V1, V2} = {server(t_left, 1), server(t_left, 2)},
        load(V1),
        [A, B] = [start(t_left, N) || N <- [1, 2]],
        {new, _, _} = run(job([module(V2, V1)], window([t_left], []))),
        {_, [_ | _] = Kept} = process_info(A, dictionary),
        {_, _} = lists:keyfind('$updo_saved', 1, Kept),
        gen_server:cast(A, fun() -> receive go -> ok end end),
        settle(),
        clean(),
        A ! go,
        {2, 1, _} = ask(A),
        [false, false] = [lists:keymember('$updo_saved', 1, element(2, process_info(P, dictionary))) || P <- [A, B]],
        [exit(P, kill) || P <- [A, B]]
    end,
    Check(),
    interpreted(Check).

clean_but(Pids) ->
    wait(fun() -> whereis(updo_run) =:= undefined end, lock_left),
    wait(fun() -> agent_tests:suspended() -- Pids =:= [] end, suspended).

%% Suspended and hibernating, which looks like hibernating alone.
left_asleep() ->
    {V1, V2} = {server(t_slp, 1), server(t_slp, 2)},
    load(V1),
    [A, B] = [start(t_slp, N) || N <- [1, 2]],
    [sys:replace_state(P, fun(S) -> S end) || P <- [A, B]],
    Sleeper = compile("-module(t_slp). -vsn(\"0\"). -export([init/1,handle_call/3,handle_cast/2,handle_info/2]). init(X) -> {ok,{1,X},hibernate}. "
                      "handle_call(_,_,S) -> {reply,S,S,hibernate}. handle_cast(_,S) -> {noreply,S,hibernate}. handle_info(_,S) -> {noreply,S,hibernate}."),
    [exit(P, kill) || P <- [A, B]],
    load(Sleeper),
    [C, D] = [start(t_slp, N) || N <- [3, 4]],
    sys:suspend(C),
    wait(fun() -> {_, {erlang, hibernate, 3}} = process_info(C, current_function), true end, awake),
    {new, _, _} = upgrade(job([module(V2, Sleeper)], window([t_slp], []))),
    true = suspended_now(C), {2, 3, _} = sys:get_state(C),
    false = suspended_now(D), {2, 4, _} = ask(D),
    sys:resume(C).

%% Trace, statistics, log and functions of sys: after a conversion, and after an undo.
debug_options_kept() ->
    {V1, V2, Bad} = {server(t_dbg, 1), server(t_dbg, 2), server(t_dbg, 2, "code_change(_,_,_) -> exit(no);")},
    load(V1),
    P = start(t_dbg, 1),
    Me = self(),
    ok = sys:statistics(P, true),
    ok = sys:log(P, true),
    ok = sys:install(P, {mine, fun(N, {in, {'$gen_call', _, count}}, _) -> Me ! {seen, N}, N + 1; (N, _, _) -> N end, 1}),
    Options = fun() -> {status, _, _, [_, _, _, Dbg, _]} = sys:get_status(P), lists:sort([case D of {K, _} -> K; {F, _, _} -> F; T -> element(1, T) end || D <- Dbg]) end,
    Seen = fun(N) -> gen_server:call(P, count), receive {seen, N} -> ok after 1000 -> error({not_seen, N}) end end,
    Before = Options(),
    true = length(Before) >= 3,
    Seen(1),
    {old, _, _} = upgrade(job([module(Bad, V1)], window([t_dbg], []))),
    clean(),
    Before = Options(),
    Seen(2),
    {new, _, _} = upgrade(job([module(V2, V1)], window([t_dbg], []))),
    Before = Options(),
    Seen(3),
    {ok, Stats} = sys:statistics(P, get),
    {messages_in, 3} = lists:keyfind(messages_in, 1, Stats).

foreign(M, B) -> {apply, {code, load_binary, [M, atom_to_list(M) ++ ".beam", B]}}.

%% Two of three are resumed in the window by something else: these go on with their work, are not converted, and lose nothing of it.
resumed_by_others() ->
    [V1, V2] = [compile(io_lib:format("-module(t_ro). -vsn(~b). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). "
                                      "init(_) -> {ok,{~b,0}}. handle_call(bump,_,{V,N}) -> {reply,N+1,{V,N+1}}; handle_call(_,_,S) -> {reply,S,S}. "
                                      "handle_cast(_,S) -> {noreply,S}. "
                                      "code_change(_,{1,N},_) -> timer:sleep(100), {ok,{2,N}}.", [V, V])) || V <- [1, 2]],
    load(V1),
    [A, B, C] = Ps = [start(t_ro, x) || _ <- [1, 2, 3]],
    [{1, {suspend, _} = S}, L, Change, R] = window([t_ro], []),
    {ok, G} = agent_tests:boot(job([module(V2, V1)], [{1, S}, L, {h, {hook, 2000, {0, <<"h">>}}}, Change, R])),
    receive {updo, _, _, {hook, h}} -> ok end,
    [sys:resume(P) || P <- [A, B]],
    Me = self(),
    Callers = [spawn_link(fun() -> bump(P, Me, 0) end) || P <- [A, B]],
    timer:sleep(20),
    G ! {updo_hook, h, true},
    {old, #{reason := {conversion_failed, #{running := true}}}, _} = agent_tests:until_finished([]),
    settle(),
    timer:sleep(20),
    Counts = [begin K ! {stop, Me}, receive {K, P, N} -> {P, N} end end || K <- Callers],
    [{1, N} = ask(P) || {P, N} <- Counts],
    {1, 0} = ask(C),
    is_now(V1),
    [exit(P, kill) || P <- Ps].

bump(P, To, N) ->
    receive {stop, To} -> To ! {self(), P, N} after 0 -> bump(P, To, gen_server:call(P, bump)) end.

%% Between switch and resume: undone where that can be; where it cannot, said.
loaded_in_window() ->
    {V1, V2} = {server(t_frn, 1), server(t_frn, 2)},
    {t_frn, Other} = compile("-module(t_frn). -export([init/1,handle_call/3,handle_cast/2,other/0]). other() -> 1. init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}."),
    load(V1),
    P = start(t_frn, 1),
    [S, L, C, R] = window([t_frn], []),
    Steps = [S, L, C, {9, {apply, {code, purge, [t_frn]}}}, {10, foreign(t_frn, Other)}, R],
    {old, #{reason := {replaced, [t_frn]}}, _} = upgrade(job([module(V2, V1)], Steps)),
    is_now(V1), {1, 1} = ask(P),
    clean(),
    {mixed, #{reason := {replaced, [t_frn]}}, _} = upgrade(job([module(V2, V1)], Steps, #{undo => none})),
    exit(P, kill).

loaded_before_switch() ->
    {V1, V2} = {server(t_frn, 1), server(t_frn, 2)},
    Other = compile("-module(t_frn). -vsn(x). -export([init/1,handle_call/3,handle_cast/2]). init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,{other,S},S}. handle_cast(_,S) -> {noreply,S}."),
    load(V1),
    P = start(t_frn, 1),
    [S, L, C, R] = window([t_frn], []),
    {old, #{reason := {replaced, [t_frn]}}, _} = upgrade(job([module(V2, V1)], [S, {9, foreign(t_frn, element(2, Other))}, L, C, R])),
    is_now(Other), {other, {1, 1}} = ask(P),
    exit(P, kill).

loaded_after_resume() ->
    {V1, V2} = {server(t_frn, 1), server(t_frn, 2)},
    load(V1),
    P = start(t_frn, 1),
    Steps = window([t_frn], []) ++ [{9, {apply, {code, purge, [t_frn]}}}, {10, foreign(t_frn, element(2, V1))}],
    {mixed, #{reason := {replaced, [t_frn]}, replaced := [t_frn]}, _} = upgrade(job([module(V2, V1)], Steps)),
    exit(P, kill).

loaded_before_the_end() ->
    {V1, V2} = {server(t_frn, 1), server(t_frn, 2)},
    load(V1),
    {new, _, _} = run(job([module(V2, V1), module(plain(t_frp, 2), undefined)], window([t_frn], [t_frp]))),
    load(plain(t_frp, 3)),
    whereis(updo_run) ! updo_survey,
    receive {updo, _, _, {surveyed, #{replaced := [t_frp]}}} -> ok after 2000 -> error(no_survey) end,
    #{replaced := [t_frp]} = settle().

handler(V) ->
    compile(io_lib:format("-module(t_hdl). -vsn(~b). -export([init/1,handle_event/2,handle_call/2,code_change/3]). init(X) -> {ok,X}. handle_event(F,S) -> F(), {ok,S}. "
                          "handle_call(_,S) -> {ok,{~b,S},S}. code_change(V,S,E) -> {ok,{S,V,E}}.", [V, V])).

%% A manager that is busy for longer than a second still has its handlers converted.
manager_is_waited_for() ->
    load(handler(1)),
    {ok, P} = gen_event:start(),
    ok = gen_event:add_handler(P, t_hdl, a),
    gen_event:notify(P, fun() -> timer:sleep(4000) end),
    [_, L, C, R] = window([t_hdl], []),
    {new, _, Es} = upgrade(job([module(handler(2), handler(1))], [{1, {suspend, [[{t_hdl, 8000}]]}}, L, C, R], #{handlers => [t_hdl]})),
    [1] = [N || {step_finished, 1, _, #{processes := N}} <- Es],
    {2, {a, 1, extra}} = gen_event:call(P, t_hdl, x),
    clean(),
    %% one that others have suspended answers no which_handlers/1
    sys:suspend(P),
    {new, _, _} = upgrade(job([module(handler(3), handler(2))], window([t_hdl], []), #{handlers => [t_hdl]})),
    true = suspended_now(P),
    sys:resume(P),
    {3, {{a, 1, extra}, 2, extra}} = gen_event:call(P, t_hdl, x),
    gen_event:stop(P).

manager_silent() ->
    load(handler(1)),
    {ok, P} = gen_event:start(),
    ok = gen_event:add_handler(P, t_hdl, a),
    gen_event:notify(P, fun() -> receive go -> ok end end),
    [_, L, C, R] = window([t_hdl], []),
    {old, #{reason := {not_suspended, [#{pid := P}]}}, _} =
        upgrade(job([module(handler(2), handler(1))], [{1, {suspend, [[{t_hdl, 300}]]}}, L, C, R], #{handlers => [t_hdl]})),
    P ! go,
    {1, a} = gen_event:call(P, t_hdl, x).

%% t_ma begins, and hands over to t_mb.
statem(t_ma, V) ->
    compile(io_lib:format("-module(t_ma). -vsn(~b). -export([init/1,callback_mode/0,handle_event/4,code_change/4]). callback_mode() -> handle_event_function. init(X) -> {ok,on,X}. "
                          "handle_event({call,F},go,_,D) -> {keep_state,D,[{reply,F,ok},{change_callback_module,t_mb}]}; "
                          "handle_event({call,F},_,S,D) -> {keep_state,D,[{reply,F,{a,~b,S,D}}]}. code_change(_,S,D,_) -> {ok,S,{a~b,D}}.", [V, V, V]));
statem(t_mb, V) ->
    Bad = case V of 3 -> "code_change(_,_,_,_) -> exit(no)."; _ -> io_lib:format("code_change(_,S,D,_) -> {ok,S,{b~b,D}}.", [V]) end,
    compile(io_lib:format("-module(t_mb). -vsn(~b). -export([init/1,callback_mode/0,handle_event/4,code_change/4]). callback_mode() -> handle_event_function. init(X) -> {ok,on,X}. "
                          "handle_event({call,F},_,S,D) -> {keep_state,D,[{reply,F,{b,~b,S,D}}]}. ~s", [V, V, Bad])).

statem_moved() ->
    [load(statem(M, 1)) || M <- [t_ma, t_mb]],
    [P, Q] = [begin {ok, X} = gen_statem:start(t_ma, N, []), X end || N <- [1, 2]],
    ok = gen_statem:call(P, go),
    {b, 1, on, 1} = gen_statem:call(P, x),
    ModuleA = module(statem(t_ma, 2), statem(t_ma, 1)),
    {new, _, Es} = upgrade(job([ModuleA], window([t_ma], []))),
    [1] = [N || {step_finished, 1, _, #{processes := N}} <- Es],
    {b, 1, on, 1} = gen_statem:call(P, x),
    {a, 2, on, {a2, 2}} = gen_statem:call(Q, x),
    clean(),
    {new, _, _} = upgrade(job([module(statem(t_mb, 2), statem(t_mb, 1))], window([t_mb], []))),
    {b, 2, on, {b2, 1}} = gen_statem:call(P, x),
    {a, 2, on, {a2, 2}} = gen_statem:call(Q, x).

statem_moved_undone() ->
    [load(statem(M, 1)) || M <- [t_ma, t_mb]],
    {ok, P} = gen_statem:start(t_ma, 1, []),
    ok = gen_statem:call(P, go),
    {old, #{reason := {conversion_failed, #{pid := P, module := t_mb}}}, _} =
        upgrade(job([module(statem(t_mb, 3), statem(t_mb, 1))], window([t_mb], []))),
    {b, 1, on, 1} = gen_statem:call(P, x).

%% Going back window by window: what is still new when the first of them resumes was loaded by this run, not by others.
back_in_two_windows() ->
    [A1, A2, B1, B2] = [server(M, V) || M <- [t_bwa, t_bwb], V <- [1, 2]],
    [load(X) || X <- [A1, B1]],
    [A, B] = [start(M, 1) || M <- [t_bwa, t_bwb]],
    {new, _, _} = run(job([module(A2, A1), module(B2, B1)], window([t_bwa], []) ++ [{I + 10, S} || {I, S} <- window([t_bwb], [])])),
    Back = fun(M, I) ->
        [{I, {suspend, [[{M, default}]]}}, {I + 1, {code_change, down, [{M, {advanced, extra}}]}}, {I + 2, {load, [M]}}, {I + 3, {resume, [M]}}]
    end,
    whereis(updo_run) ! {updo_run, #{modules => [module(A1, A2), module(B1, B2)], steps => Back(t_bwb, 21) ++ Back(t_bwa, 31), goal => old}},
    {old, _, _} = agent_tests:until_finished([]),
    settle(),
    [is_now(X) || X <- [A1, B1]],
    [{1, 1} = ask(P) || P <- [A, B]].

%% The process that monitors is killed between two windows: another one takes over, with the processes of both, and the
%% second window does not wait for the one that is gone.
monitor_killed() ->
    {A1, A2, B1, B2} = {server(t_ma, 1), server(t_ma, 2), server(t_mb, 1), server(t_mb, 2)},
    load(A1), load(B1),
    Ps = [start(M, I) || M <- [t_ma, t_mb], I <- [1, 2]],
    [S, L, C, R] = [Step || {_, Step} <- window([t_mb], [])],
    Steps = window([t_ma], []) ++ [{h, {hook, 5000, {0, <<"h">>}}}, {5, S}, {6, L}, {7, C}, {8, R}],
    {ok, _} = agent_tests:boot_fast(job([module(A2, A1), module(B2, B1)], Steps)),
    agent_tests:await_event(fun({hook, _}) -> true; (_) -> false end, fun(_) -> none end, none),
    [Monitor] = [P || P <- processes(), {_, {_, survivors, 3}} <- [process_info(P, current_function)]],
    exit(Monitor, kill),
    T = erlang:monotonic_time(millisecond),
    whereis(updo_run) ! {updo_hook, h, true},
    {new, _, _} = agent_tests:until_finished([]),
    true = erlang:monotonic_time(millisecond) - T < 3000,
    #{survivors := #{watched := 4, live := 4, crashed := 0}} = settle(),
    [exit(P, kill) || P <- Ps],
    clean().
