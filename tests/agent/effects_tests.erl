%% What conversions do beside their states, and supervisors: specifications put back without init/1, tables converted
%% back by the modules that converted them, children started before their callers and stopped before their module goes.
%% Part of agent_tests.erl, which runs them.
-module(effects_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/2, job/3, window/2, killing/5, server/2, start/2, ask/1, clean/0, boot/1, boot_fast/1,
                      settle/0, settle_until_gone/0, flush/0, suspended/0, interpreted/1, upgrade/1, run/1, wait/2, is_now/1]).

tests() -> [specs_undone_exactly, specs_put_back, specs_of_a_restarted_one, specs_twice_there_and_back, dynamic_flags_put_back, specs_interpreted,
            table_undone, table_not_undone, table_one_way, table_half_way, table_untouched, table_kept_on_the_way_back,
            child_before_its_callers, slow_child_keeps_nobody_waiting, child_restarted, child_stopped_in_its_own_code,
            inferred_children_there_and_back, inferred_of_one_restarted, inferred_undone, inferred_interpreted,
            stopped_child_is_started_again, child_that_stays_is_no_return, children_executor_killed].

%% ---------------------------------------------------------------------------------------------------------------
%% Supervisors. init/1 counts its runs in a table.

log() -> case ets:whereis(t_log) of undefined -> ets:new(t_log, [named_table, public]); _ -> ets:delete_all_objects(t_log) end.
count(K) -> case ets:lookup(t_log, K) of [{_, N}] -> N; [] -> 0 end.

child(I) -> io_lib:format("#{id => ~s,start => {gen_server,start_link,[t_w,~s,[]]}}", [I, I]).
child(I, More) -> io_lib:format("#{id => ~s,start => {gen_server,start_link,[t_w,~s,[]]},~s}", [I, I, More]).

sup(N, Flags, Children) ->
    compile(io_lib:format("-module(t_es). -vsn(~b). -export([init/1]). init(_) -> ets:update_counter(t_log, init, 1, {init, 0}), "
                          "{ok,{#{~s},[~s]}}.", [N, Flags, lists:join(",", Children)])).

begin_with(Sup) ->
    log(),
    load(server(t_w, 1)),
    load(Sup),
    {ok, S} = supervisor:start_link(t_es, x),
    S.

done_with(S) -> unlink(S), exit(S, kill), wait(fun() -> not is_process_alive(S) end, supervisor).

supervised(Modules, Steps) -> supervised(Modules, Steps, #{}).
supervised(Modules, Steps, More) -> job(Modules, Steps, More#{supervisors => [t_es]}).

%% Back through the usual window: the old code is loaded first, as for all supervisors.
back_window(More) ->
    [{1, {suspend, [[{t_es, default}]]}}, {2, {load, [t_es]}}, {3, {code_change, down, [{t_es, {advanced, extra}}]}}, {4, {resume, [t_es]}}] ++ More.

%% Without whether it hibernates, which OTP 29 keeps in it: it does after a second of rest.
state(S) -> list_to_tuple([E || E <- tuple_to_list(sys:get_state(S)), not is_boolean(E)]).

children(S) -> lists:sort([{Id, is_pid(P)} || {Id, P, _, _} <- supervisor:which_children(S)]).
pid(Id, S) -> hd([P || {I, P, _, _} <- supervisor:which_children(S), I =:= Id]).
kept(S) -> [V || {{updo, specifications}, V} <- element(2, process_info(S, dictionary))].

%% A later conversion fails: the state of the supervisor is what it was, bit for bit, and nothing is left in it.
specs_undone_exactly() ->
    V1 = sup(1, "intensity => 1", [child("a"), child("b")]),
    V2 = sup(2, "intensity => 7,strategy => one_for_all", [child("a", "shutdown => 77"), child("c")]),
    S = begin_with(V1),
    [load(X) || X <- [server(t_bad, 1)]],
    P = start(t_bad, 1),
    Bad = compile("-module(t_bad). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. "
                  "handle_cast(_,S) -> {noreply,S}. code_change(_,_,_) -> {error,no}."),
    {State, Dict} = {state(S), process_info(S, dictionary)},
    {old, #{reason := {conversion_failed, #{module := t_bad}}}, _} =
        upgrade(supervised([module(V2, V1), module(Bad, server(t_bad, 1))], window([t_es, t_bad], []))),
    State = state(S),
    Dict = process_info(S, dictionary),
    2 = count(init),
    exit(P, kill),
    done_with(S).

%% After the resume: flags, specifications and their order are the old ones, the processes those that live now.
specs_put_back() ->
    V1 = sup(1, "intensity => 1", [child("a"), child("b"), child("gone")]),
    V2 = sup(2, "intensity => 7,period => 9", [child("new"), child("b", "shutdown => 77"), child("a")]),
    S = begin_with(V1),
    {ok, _} = supervisor:start_child(S, #{id => by_hand, start => {gen_server, start_link, [t_w, by_hand, []]}}),
    {ok, Spec} = supervisor:get_childspec(S, b),
    Before = state(S),
    Ops = [{children, [{stop, t_es, gone}]}],
    {new, _, _} = upgrade(supervised([module(V2, V1)], window([t_es], []) ++ [{5, hd(Ops)}])),
    2 = count(init),
    [{a, true}, {b, true}, {by_hand, true}, {new, false}] = children(S),
    [[{t_es, _, _}]] = kept(S),
    %% Life goes on: one is started anew, one more is added by hand, another one goes.
    First = pid(a, S),
    exit(First, kill),
    wait(fun() -> P = pid(a, S), is_pid(P) andalso P =/= First end, restarted),
    {ok, _} = supervisor:start_child(S, #{id => later, start => {gen_server, start_link, [t_w, later, []]}}),
    ok = supervisor:terminate_child(S, by_hand),
    ok = supervisor:delete_child(S, by_hand),
    [A, B] = [pid(Id, S) || Id <- [a, b]],
    {old, _, Es} = upgrade(supervised([module(V1, V2)], back_window([{5, {children, [{start, t_es, gone}]}}]), #{goal => old})),
    [] = [I || {step_finished, 3, _, #{init_again := I}} <- Es],
    is_now(V1),
    2 = count(init),
    [{a, true}, {b, true}, {gone, true}, {later, true}] = children(S),
    [A, B] = [pid(Id, S) || Id <- [a, b]],
    {ok, Spec} = supervisor:get_childspec(S, b),
    %% All but children, restarts and (OTP 29) the number of these is as it was.
    Other = [element(I, Before) || I <- lists:seq(1, tuple_size(Before)), element(I, Before) =/= element(I, state(S))],
    {true, []} = {length(Other) =< 3, [N || N <- Other, is_integer(N), N > 0]},
    [] = kept(S),
    done_with(S).

%% It knows nothing of the version before, and says that init/1 has run.
specs_of_a_restarted_one() ->
    V1 = sup(1, "intensity => 1", [child("a")]),
    V2 = sup(2, "intensity => 7", [child("a")]),
    S = begin_with(V1),
    {new, _, _} = upgrade(supervised([module(V2, V1)], window([t_es], []))),
    done_with(S),
    {ok, T} = supervisor:start_link(t_es, x),
    N = count(init),
    {old, _, Es} = upgrade(supervised([module(V1, V2)], back_window([]), #{goal => old})),
    [[T]] = [I || {step_finished, 3, _, #{init_again := I}} <- Es],
    {true, true} = {count(init) =:= N + 1, children(T) =:= [{a, true}]},
    done_with(T).

%% Two upgrades, and back through both.
specs_twice_there_and_back() ->
    [V1, V2, V3] = [sup(N, io_lib:format("intensity => ~b", [N]), [child("a")]) || N <- [1, 2, 3]],
    S = begin_with(V1),
    State = state(S),
    {new, _, _} = upgrade(supervised([module(V2, V1)], window([t_es], []))),
    {new, _, _} = upgrade(supervised([module(V3, V2)], window([t_es], []))),
    3 = count(init),
    {old, _, _} = upgrade(supervised([module(V2, V3)], back_window([]), #{goal => old})),
    {old, _, _} = upgrade(supervised([module(V1, V2)], back_window([]), #{goal => old})),
    3 = count(init),
    State = state(S),
    [] = kept(S),
    done_with(S).

%% simple_one_for_one: the children have no specification of their own.
dynamic_flags_put_back() ->
    V1 = sup(1, "strategy => simple_one_for_one,intensity => 1", [child("a")]),
    V2 = sup(2, "strategy => simple_one_for_one,intensity => 7", [child("a", "shutdown => 99")]),
    S = begin_with(V1),
    [{ok, _} = supervisor:start_child(S, []) || _ <- [1, 2, 3]],
    {new, _, _} = upgrade(supervised([module(V2, V1)], window([t_es], []))),
    {ok, _} = supervisor:start_child(S, []),
    State = state(S),
    {old, _, _} = upgrade(supervised([module(V1, V2)], back_window([]), #{goal => old})),
    {ok, #{shutdown := 5000}} = supervisor:get_childspec(S, a),
    4 = length(supervisor:which_children(S)),
    true = State =/= state(S),
    2 = count(init),
    done_with(S).

specs_interpreted() ->
    interpreted(fun() -> specs_put_back(), clean(), specs_undone_exactly(), clean(), table_undone(), clean(), child_before_its_callers() end).

%% ---------------------------------------------------------------------------------------------------------------
%% Tables

table(N, Clauses) ->
    compile(io_lib:format("-module(t_tab). -vsn(~b). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). init(X) -> {ok,X}. "
                          "handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}. ~s", [N, Clauses])).
up() -> "code_change(V,S,_) when not is_tuple(V) -> ets:insert(t_log,{S,2}), {ok,S}.".

%% Servers that write a row each, then one of another module that fails.
tables(Down, Acts) -> tables(Down ++ up(), Acts, "code_change(_,_,_) -> {error,no}.").
tables(Clauses, Acts, Fails) ->
    log(),
    V1 = table(1, "code_change(_,S,_) -> {ok,S}."),
    load(V1),
    load(server(t_zed, 1)),
    Ps = [begin ets:insert(t_log, {I, 1}), start(t_tab, I) end || I <- lists:seq(1, 20)],
    Z = start(t_zed, 1),
    Bad = compile("-module(t_zed). -export([init/1,handle_call/3,handle_cast/2,code_change/3]). init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. "
                  "handle_cast(_,S) -> {noreply,S}. " ++ Fails),
    R = upgrade(job([(module(table(2, Clauses), V1))#{acts => Acts}, module(Bad, server(t_zed, 1))], window([t_tab, t_zed], []))),
    is_now(V1),
    [] = suspended(),
    true = [gen_server:call(P, x) || P <- Ps] =:= lists:seq(1, 20),
    [exit(P, kill) || P <- [Z | Ps]],
    R.

table_undone() ->
    {old, #{reason := {conversion_failed, #{module := t_zed}}}, _} = tables("code_change({down,1},S,extra) -> ets:insert(t_log,{S,1}), {ok,other}; ", both),
    20 = length([x || {I, 1} <- ets:tab2list(t_log), is_integer(I)]).

%% One of them cannot: it is named, all others are undone.
table_not_undone() ->
    {mixed, #{effects := [#{pid := P, module := t_tab, why := Why}], code := old}, _} =
        tables("code_change({down,_},7,_) -> exit(cannot); code_change({down,_},S,_) -> ets:insert(t_log,{S,1}), {ok,S}; ", both),
    {true, true} = {is_pid(P), binary:match(Why, <<"cannot">>) =/= nomatch},
    [{7, 2}] = [R || {I, 2} = R <- ets:tab2list(t_log), is_integer(I)].

table_one_way() ->
    {mixed, #{effects := [#{module := t_tab} | _]}, _} = tables("", one_way),
    20 = length([x || {I, 2} <- ets:tab2list(t_log), is_integer(I)]).

%% The one that acts fails itself: how far it has come is unknown.
table_half_way() ->
    Half = "code_change({down,_},S,_) -> ets:insert(t_log,{S,1}), {ok,S}; "
           "code_change(_,7,_) -> ets:insert(t_log,{7,2}), exit(full); code_change(_,S,_) -> ets:insert(t_log,{S,2}), {ok,S}.",
    {mixed, #{effects := [#{module := t_tab, why := <<"its conversion failed half way", _/binary>>}]}, _} = tables(Half, both, "code_change(_,S,_) -> {ok,S}."),
    [{7, 2}] = [R || {I, 2} = R <- ets:tab2list(t_log), is_integer(I)].

%% No clause is for it: it has done nothing, and everything is as before.
table_untouched() ->
    Guarded = "code_change({down,_},S,_) -> ets:insert(t_log,{S,1}), {ok,S}; code_change(_,S,_) when S =/= 7 -> ets:insert(t_log,{S,2}), {ok,S}.",
    {old, _, _} = tables(Guarded, both, "code_change(_,S,_) -> {ok,S}."),
    20 = length([x || {I, 1} <- ets:tab2list(t_log), is_integer(I)]).

%% The way back fails: those that have converted down are asked to convert up again.
table_kept_on_the_way_back() ->
    log(),
    {V1, V2} = {table(1, ""  "code_change(_,S,_) -> {ok,S}."), table(2, "code_change({down,_},S,_) -> ets:insert(t_log,{S,1}), {ok,S}; " ++ up())},
    load(V2),
    load(server(t_zed, 2)),
    Ps = [begin ets:insert(t_log, {I, 2}), start(t_tab, I) end || I <- [1, 2, 3]],
    Z = start(t_zed, 1),
    sys:replace_state(Z, fun(_) -> strange end),
    Steps = [{1, {suspend, [[{t_tab, default}, {t_zed, default}]]}},
             {2, {code_change, down, [{t_tab, {advanced, extra}}, {t_zed, {advanced, extra}}]}}, {3, {load, [t_tab, t_zed]}}, {4, {resume, [t_tab, t_zed]}}],
    {new, #{reason := {conversion_failed, #{module := t_zed}}}, _} =
        upgrade(job([(module(V1, V2))#{acts => both}, module(server(t_zed, 1), server(t_zed, 2))], Steps, #{goal => old})),
    is_now(V2),
    [{1, 2}, {2, 2}, {3, 2}] = lists:sort(ets:tab2list(t_log)),
    [exit(P, kill) || P <- [Z | Ps]].

%% ---------------------------------------------------------------------------------------------------------------
%% Children

%% A supervisor that gets a child, and a server whose first message after the resume calls that child.
calling(Init) ->
    V1 = sup(1, "intensity => 1", [child("a")]),
    V2 = sup(2, "intensity => 2", [child("a"), "#{id => n,start => {t_new,start_link,[]}}"]),
    New = compile("-module(t_new). -export([start_link/0,init/1,handle_call/3,handle_cast/2]). start_link() -> gen_server:start_link({local,t_new},t_new,[],[]). "
                  "init(_) -> " ++ Init ++ ", {ok,1}. handle_call(_,_,S) -> {reply,here,S}. handle_cast(_,S) -> {noreply,S}."),
    S = begin_with(V1),
    {C1, C2} = {server(t_call, 1), server(t_call, 2)},
    load(C1),
    {ok, C} = gen_server:start({local, t_call}, t_call, 1, []),
    Steps = [{1, {suspend, [[{t_es, default}, {t_call, default}]]}}, {2, {load, [t_es, t_call, t_new]}},
             {3, {code_change, up, [{t_es, {advanced, extra}}, {t_call, {advanced, extra}}]}},
             {4, {ahead, [t_es]}}, {5, {children, [{start, t_es, n}]}}, {6, {resume, [t_call]}}],
    Job = supervised([module(V2, V1), module(C2, C1), module(New, undefined)], Steps),
    {S, C, Job, {V1, V2}, {C1, C2}, New}.

%% Asks as soon as it runs again. The message waits while it is suspended.
eager(C) ->
    sys:suspend(C),
    C ! fun() -> ets:insert(t_log, {answer, catch gen_server:call(t_new, x)}) end,
    sys:resume(C).

child_before_its_callers() ->
    {S, C, Job, _, _, _} = calling("ok"),
    {ok, G} = boot(Job),
    put(guardian, G),
    receive {updo, _, _, {step_started, 2}} -> C ! fun() -> ets:insert(t_log, {answer, catch gen_server:call(t_new, x)}) end after 5000 -> error(no_load) end,
    {new, _, Es} = agent_tests:until_finished([]),
    settle(),
    wait(fun() -> ets:member(t_log, answer) end, answer),
    [{answer, here}] = ets:lookup(t_log, answer),
    %% Counted where they were resumed.
    [1, 1] = [N || {step_finished, Id, _, #{processes := N}} <- Es, lists:member(Id, [4, 6])],
    exit(C, kill),
    done_with(S).

%% Its init calls a server of the window, or takes its time: the others are resumed, then it comes up.
slow_child_keeps_nobody_waiting() ->
    {S, C, Job, _, _, _} = calling("gen_server:call(t_call,x), timer:sleep(1500)"),
    {new, #{suspended_us := Us}, Es} = run(Job),
    [#{failed := []}] = [I || {step_finished, 5, _, I} <- Es],
    [#{processes := 1}] = [I || {step_finished, 6, _, I} <- Es],
    true = Us < 1200000,
    settle(),
    [{a, true}, {n, true}] = children(S),
    exit(C, kill),
    done_with(S).

%% Stopped and started with its new specification, which stays.
child_restarted() ->
    V1 = sup(1, "intensity => 1", [child("a")]),
    V2 = sup(2, "intensity => 1", [child("a", "shutdown => 77")]),
    S = begin_with(V1),
    A = pid(a, S),
    Ops = {children, [{halt, t_es, a}, {start, t_es, a}]},
    {new, _, Es} = upgrade(supervised([module(V2, V1)], window([t_es], []) ++ [{5, Ops}])),
    [[]] = [F || {step_finished, 5, _, #{failed := F}} <- Es],
    {ok, #{shutdown := 77}} = supervisor:get_childspec(S, a),
    {true, [{a, true}]} = {pid(a, S) =/= A, children(S)},
    done_with(S).

%% Back: the new child ends in its terminate/2, by the code that it runs, before that is deleted.
child_stopped_in_its_own_code() ->
    {S, C, Job, {V1, V2}, {C1, C2}, {N, NewBeam}} = calling("process_flag(trap_exit,true)"),
    Terminates = compile("-module(t_new). -export([start_link/0,init/1,handle_call/3,handle_cast/2,terminate/2]). "
                         "start_link() -> gen_server:start_link({local,t_new},t_new,[],[]). init(_) -> process_flag(trap_exit,true), {ok,1}. "
                         "handle_call(_,_,S) -> {reply,here,S}. handle_cast(_,S) -> {noreply,S}. "
                         "terminate(shutdown,_) -> ets:insert(t_log,{ended,orderly})."),
    Modules = fun(A, B, D) -> [module(A, B), D] end,
    {new, _, _} = upgrade(Job#{modules => Modules(V2, V1, module(C2, C1)) ++ [module(Terminates, undefined)]}),
    Back = [{1, {children, [{halt, t_es, n}]}}, {2, {suspend, [[{t_es, default}, {t_call, default}]]}},
            {3, {code_change, down, [{t_call, {advanced, extra}}]}}, {4, {load, [t_es, t_call]}}, {5, {delete, [N]}},
            {6, {code_change, down, [{t_es, {advanced, extra}}]}}, {7, {resume, [t_es, t_call]}}, {8, {children, [{forget, t_es, n}]}}],
    Gone = module({N, undefined}, Terminates),
    {old, _, _} = upgrade(supervised(Modules(V1, V2, module(C1, C2)) ++ [Gone], Back, #{goal => old})),
    [{ended, orderly}] = ets:lookup(t_log, ended),
    {false, true} = {erlang:module_loaded(N), is_binary(NewBeam)},
    [{a, true}] = children(S),
    {1, 1} = ask(C),
    exit(C, kill),
    done_with(S).

%% What only the supervisor knows: children that are new in its specifications are started, those that the new init/1 is
%% without stopped where they were shown; another server of the same name is started anew. Back again all of it.
renewed(Stop, Restart) -> {children, [{renewed, t_es, #{start => all, stop => Stop, restart => Restart, tell => true}}]}.
known(Start, Stop) -> #{start => Start, stop => Stop, restart => [moved]}.

back_renewed(Start, Stop) ->
    [{1, {children, [{revoked, t_es, known(Start, Stop)}]}}, {2, {suspend, [[{t_es, default}]]}}, {3, {load, [t_es]}},
     {4, {code_change, down, [{t_es, {advanced, extra}}]}}, {5, {resume, [t_es]}}, {6, {children, [{reinstated, t_es, known(Start, Stop)}]}}].

other_server() ->
    load(compile("-module(t_x). -export([start_link/1,init/1,handle_call/3,handle_cast/2]). "
                 "start_link(X) -> gen_server:start_link(t_x,X,[]). init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}.")).

inferred() ->
    other_server(),
    {sup(1, "intensity => 1", [child("a", "modules => [t_w]"), child("gone", "modules => dynamic"), child("kept"),
                               "#{id => moved,start => {t_w,start,[m]}}"]),
     sup(2, "intensity => 2", ["#{id => n1,start => {t_x,start_link,[a]}}", child("a", "modules => [t_w]"),
                               "#{id => moved,start => {t_x,start_link,[m]}}", "#{id => n2,start => {t_x,start_link,[a]}}"])}.

inferred_there_and_back(More) ->
    {V1, V2} = inferred(),
    log(),
    load(compile("-module(t_w). -export([start/1,init/1,handle_call/3,handle_cast/2]). start(X) -> gen_server:start_link(t_w,X,[]). "
                 "init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}.")),
    load(V1),
    {ok, S} = supervisor:start_link(t_es, x),
    {ok, Hand} = supervisor:start_child(S, #{id => by_hand, start => {t_w, start, [by_hand]}}),
    {A, Kept, M} = {pid(a, S), pid(kept, S), pid(moved, S)},
    {State, Order} = {state(S), supervisor:which_children(S)},
    Steps = window([t_es], []) ++ [{5, renewed([gone, no_such_child], [moved])}],
    {new, _, Es} = upgrade(supervised([module(V2, V1)], Steps, More)),
    [#{failed := [], started := Started, stopped := Stopped, left := Left}] = [I || {step_finished, 5, _, I} <- Es],
    {[n1, moved, n2], [gone, moved]} = {[Id || #{child := Id} <- Started], [Id || #{child := Id} <- Stopped]},
    [by_hand, kept] = lists:sort([Id || #{child := Id} <- Left]),
    [{a, true}, {by_hand, true}, {kept, true}, {moved, true}, {n1, true}, {n2, true}] = children(S),
    {A, Hand, Kept, true} = {pid(a, S), pid(by_hand, S), pid(kept, S), pid(moved, S) =/= M},
    %% Nothing of ours is left in the specifications.
    {ok, #{modules := [t_w]}} = supervisor:get_childspec(S, a),
    {ok, #{modules := [t_w]}} = supervisor:get_childspec(S, by_hand),
    {2, [[gen_server], [t_w], [t_w], [t_x], [t_x], [t_x]]} =
        {count(init), lists:sort([Mods || {_, _, _, Mods} <- supervisor:which_children(S)])},
    {old, _, _} = upgrade(supervised([module(V1, V2)], back_renewed([n1, n2], [gone]), More#{goal => old})),
    Ids = [{Id, Mods} || {Id, _, _, Mods} <- Order],
    Ids = [{Id, Mods} || {Id, P, _, Mods} <- supervisor:which_children(S), is_pid(P)],
    {A, Hand, Kept, 2} = {pid(a, S), pid(by_hand, S), pid(kept, S), count(init)},
    true = setelement(4, State, x) =:= setelement(4, state(S), x),
    [] = kept(S),
    done_with(S).

inferred_there_and_back() -> inferred_there_and_back(#{}).
inferred_children_there_and_back() -> inferred_there_and_back().
inferred_interpreted() -> inferred_there_and_back(#{interpret => true}).

%% Restarted since: it has kept nothing, and what the client knows holds.
inferred_of_one_restarted() ->
    other_server(),
    {V1, V2} = {sup(1, "intensity => 1", [child("a"), child("gone")]), sup(2, "intensity => 2", [child("a"), child("n")])},
    S = begin_with(V2),
    {old, _, _} = upgrade(supervised([module(V1, V2)], back_renewed([n, other], [gone, another]), #{goal => old})),
    [{a, true}, {gone, true}, {n, false}] = children(S),
    done_with(S).

%% One that does not start is said; a later window fails: all is as it was.
inferred_undone() ->
    other_server(),
    V1 = sup(1, "intensity => 1", [child("a"), child("gone")]),
    V2 = sup(2, "intensity => 2", ["#{id => never,start => {t_nothing,start_link,[]}}", child("a"), child("n")]),
    S = begin_with(V1),
    {A, State} = {pid(a, S), state(S)},
    Steps = window([t_es], []) ++ [{5, renewed([gone], [])}, {6, {apply, {erlang, error, [no]}}}],
    {old, _, Es} = upgrade(supervised([module(V2, V1)], Steps, #{back => [[{Id + 10, Step} || {Id, Step} <- back_renewed([n, never], [gone])]]})),
    [[#{child := never, what := start}]] = [F || {step_finished, 5, _, #{failed := F}} <- Es],
    {[{a, true}, {gone, true}], A} = {children(S), pid(a, S)},
    true = setelement(4, State, x) =:= setelement(4, state(S), x),
    done_with(S).

%% The way back is given up before its switch: what it has stopped runs again.
stopped_child_is_started_again() ->
    V1 = sup(1, "intensity => 1", [child("a")]),
    V2 = sup(2, "intensity => 2", [child("a"), child("n")]),
    S = begin_with(V2),
    [{1, Suspend}, {2, Load}, {3, Change}, {4, Resume}] = back_window([]),
    Steps = [{1, {children, [{halt, t_es, n}]}}, {2, Suspend}, {3, {apply, {erlang, error, [no]}}}, {4, Load}, {5, Change}, {6, Resume}],
    {new, #{reason := {apply_failed, _}}, _} = upgrade(supervised([module(V1, V2)], Steps, #{goal => old})),
    [{a, true}, {n, true}] = children(S),
    is_now(V2),
    done_with(S).

%% A child that cannot be started again is said; then the node is not as it was.
child_that_stays_is_no_return() ->
    V1 = sup(1, "intensity => 1", [child("a"), "#{id => never,start => {t_nothing,start_link,[]}}"]),
    S = begin_with(sup(2, "intensity => 2", [child("a")])),
    {mixed, #{children := [#{child := never, what := start}], code := old}, _} =
        upgrade(supervised([module(V1, sup(2, "intensity => 2", [child("a")]))], back_window([{5, {children, [{start, t_es, never}]}}]), #{goal => old})),
    [] = suspended(),
    done_with(S).

%% Whenever the executor dies: all is new, the child runs; or all is old.
children_executor_killed() ->
    Outcomes = [begin
        {S, C, Job, {V1, V2}, _, _} = calling("ok"),
        {ok, _} = boot_fast(Job),
        {O, _, Es} = killing(N, Delay, executor, undefined, []),
        {O, Children} = {O, children(S)},
        case O of
            new -> is_now(V2), {[{a, true}, {n, true}], 2} = {Children, element(1, ask(C))};
            old -> is_now(V1), {[{a, true}], 1} = {Children, element(1, ask(C))};
            mixed -> error({N, Delay, Es})
        end,
        [] = suspended(),
        settle_until_gone(),
        clean(),
        wait(fun() -> code:is_loaded(updo_agent_7f2a) =:= false end, module),
        flush(),
        exit(C, kill),
        done_with(S),
        code:delete(t_new),
        code:purge(t_new),
        O
    end || N <- lists:seq(2, 16), Delay <- [0, 1]],
    io:format("        ~p~n", [[{O, length([x || P <- Outcomes, P =:= O])} || O <- lists:usort(Outcomes)]]).
