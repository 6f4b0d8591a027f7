%% Conversions that are computed before the switch, by twins. Part of agent_tests.erl, which runs them.
%% What makes twins is not the agent's business: here they are compiled under the names that they have.
-module(precompute_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/3, server/2, server/3, start/2, ask/1, clean/0, run/1, settle/0, upgrade/1, is_now/1,
                      interpreted/1, wait/2, boot_fast/1, settle_until_gone/0, flush/0, spin/1, suspended/0, until_finished/1]).

tests() -> [computed_servers, computed_fails_for_one, computed_statem, computed_mode, computed_event, computed_special, computed_fun, computed_constants,
            computed_dies, computed_other_code, computed_two_handlers, computed_supervisor, computed_huge, computed_by_name, computed_rehearsed,
            computed_last_resort, computed_endless, computed_memory, computed_hanging, computed_undone, computed_resumed, computed_born, computed_wrapped, computed_without_twins,
            computed_over_budget, early_servers, early_fails, early_busy, early_dies, early_resumed, early_ranks, early_again, early_hangs, early_killed,
            computed_at_resume, computed_executor_killed, computed_guardian_killed, computed_all_killed, computed_forward, computed_interpreted,
            excerpt_computes, excerpt_fails, excerpt_rehearses].

twin(M) -> list_to_atom(atom_to_list(M) ++ "@updo").

%% The window: suspend, compute, load, convert, resume. Versions: [{New, Old, Twin, Kind}].
steps(All) ->
    Ms = [M || {{M, _}, _, _, _} <- All],
    [{1, {suspend, [[{M, default} || M <- Ms]]}}, {2, {precompute, [{M, Kind, extra} || {{M, _}, _, _, Kind} <- All]}}, {3, {load, Ms}},
     {4, {code_change, up, [{M, {advanced, extra}} || M <- Ms]}}, {5, {resume, Ms}}].

with_twins(All) -> with_twins(All, #{}).
with_twins(All, More) ->
    Twins = [#{name => M, twin => N, new => B, funs => 1} || {{M, _}, _, {N, B}, _} <- All],
    job([module(New, Old) || {New, Old, _, _} <- All], steps(All), maps:merge(#{twins => Twins}, More)).

servers(M, Bad) -> {server(M, 2, Bad), server(M, 1), server(twin(M), 2, Bad), server}.

begun(M, N, {_, Old, _, _}) -> load(Old), [start(M, I) || I <- lists:seq(1, N)].

%% A module loaded is the module that was there, at each look of a process that looks all the time.
watched({M, _}) ->
    Md5 = erlang:get_module_info(M, md5),
    spawn(fun W() -> case erlang:get_module_info(M, md5) of Md5 -> receive {seen, P} -> P ! unchanged after 0 -> W() end; _ -> receive {seen, P} -> P ! changed end end end).
unchanged(W) -> W ! {seen, self()}, receive unchanged -> ok; changed -> error(switched) end.

keys(P) -> [K || {K, _} <- element(2, process_info(P, dictionary)), is_updo(K)].
is_updo(K) when is_atom(K) -> lists:prefix("$updo", atom_to_list(K));
is_updo(K) when is_tuple(K) -> is_updo(element(1, K));
is_updo(_) -> false.
no_traces(M, Ps) ->
    [[] = keys(P) || P <- Ps],
    wait(fun() -> not erlang:module_loaded(twin(M)) andalso not erlang:check_old_code(twin(M)) end, twin),
    [] = suspended().

%% Not until it is true of a run that has ended: the twins go a moment later.
is_old(M, All, Ps) ->
    [{1, I} = ask(P) || {I, P} <- lists:zip(lists:seq(1, length(Ps)), Ps)],
    is_now(element(2, All)),
    no_traces(M, Ps).

step(N, Es) -> [I || {step_finished, Id, _, I} <- Es, Id =:= N].

computed_servers() ->
    All = servers(t_pc, "code_change(V,{1,X}=S,E) -> {ok,{2,X,{V,E,self(),get('$ancestors'),S}}};"),
    Ps = begun(t_pc, 200, All),
    {new, _, Es} = upgrade(with_twins([All])),
    [#{processes := 200, dead := 0}] = step(2, Es),
    [#{processes := 200, dead := 0}] = step(4, Es),
    %% Computed in the process itself.
    [{2, I, {"1.0", extra, P, [_ | _], {1, I}}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 200), Ps)],
    is_now(element(1, All)),
    no_traces(t_pc, Ps).

%% It raises, or returns something else: nothing is switched, and no state is another one.
computed_fails_for_one() ->
    [begin
        All = servers(t_po, "code_change(_,{1,150},_) -> " ++ Bad ++ ";"),
        Ps = begun(t_po, 200, All),
        W = watched(element(2, All)),
        {old, #{reason := {conversion_failed, #{pid := P, reason := Why, running := false}}}, Es} = upgrade(with_twins([All])),
        P = lists:nth(150, Ps),
        {match, _} = re:run(Why, Said),
        nomatch = re:run(Why, "@updo:"),
        [2] = [Id || {step_failed, Id, _} <- Es],
        [#{processes := 200}] = [I || {undo_finished, _, I} <- Es],
        unchanged(W),
        is_old(t_po, All, Ps),
        clean(),
        [exit(X, kill) || X <- Ps]
     end || {Bad, Said} <- [{"error(no)", "error:no in t_po:code_change/3"}, {"{error,no}", "{error,no}"}, {"exit(bye)", "bye"}, {"throw(away)", "away"},
                            {"ok", "ok"}]].

statem(M, Vsn, Mode, More) ->
    F = case Mode of
        handle_event_function -> "handle_event({call,F},_,S,D) -> {keep_state_and_data,[{reply,F,{" ++ Vsn ++ ",S,D}}]}.";
        state_functions -> "on({call,F},_,D) -> {keep_state_and_data,[{reply,F,{" ++ Vsn ++ ",on,D}}]}."
    end,
    X = case Mode of handle_event_function -> "handle_event/4"; _ -> "on/3" end,
    Export = case More of "" -> ""; _ -> "-export([code_change/4])." end,
    compile(io_lib:format("-module(~s). -vsn(~s). -export([init/1,callback_mode/0,~s]). ~s init(X) -> {ok,on,X}. callback_mode() -> ~s. ~s ~s", [M, Vsn, X, Export, Mode, F, More])).

statems(Old, New, More) ->
    {statem(t_ps, "b", New, More), statem(t_ps, "a", Old, ""), statem(t_ps@updo, "b", New, More), statem}.

computed_statem() ->
    All = statems(handle_event_function, handle_event_function, "code_change(V,on,D,E) when D < 9 -> {ok,{on,V},{D,E}}."),
    load(element(2, All)),
    Ps = [element(2, gen_statem:start(t_ps, X, [])) || X <- [7, 8]],
    {new, _, Es} = upgrade(with_twins([All])),
    [#{processes := 2}] = step(2, Es),
    [{b, {on, a}, {7, extra}}, {b, {on, a}, {8, extra}}] = [gen_statem:call(P, x) || P <- Ps],
    no_traces(t_ps, Ps),
    clean(),
    load(element(2, All)),
    Qs = [element(2, gen_statem:start(t_ps, X, [])) || X <- [7, 9]],
    W = watched(element(2, All)),
    {old, #{reason := {conversion_failed, _}}, _} = upgrade(with_twins([All])),
    unchanged(W),
    [{a, on, 7}, {a, on, 9}] = [gen_statem:call(P, x) || P <- Qs],
    no_traces(t_ps, Qs).

%% Computing takes longer than processes may be suspended: no further ones are asked, and all are as before.
computed_over_budget() ->
    All = servers(t_pb, "code_change(_,{1,X},_) -> timer:sleep(5), {ok,{2,X,slow}};"),
    Ps = begun(t_pb, 600, All),
    W = watched(element(2, All)),
    {old, #{reason := {over_budget, #{us := Us, budget := 50}}, suspended_us := Stood}, Es} = upgrade(with_twins([All], #{pause => 50, rehearsed => [t_pb]})),
    true = Us >= 50000,
    true = Stood < 2000000,
    [2] = [Id || {step_failed, Id, _} <- Es],
    unchanged(W),
    is_old(t_pb, All, Ps),
    clean(),
    {new, _, _} = upgrade(with_twins([All], #{pause => 60000, rehearsed => [t_pb]})),
    [exit(P, kill) || P <- Ps].

%% The callback mode is another one: then gen_statem has to ask for it.
computed_mode() ->
    All = statems(state_functions, handle_event_function, "code_change(V,on,D,E) -> {ok,{on,V},{D,E}}."),
    load(element(2, All)),
    {ok, P} = gen_statem:start(t_ps, 7, []),
    {new, _, _} = upgrade(with_twins([All])),
    {b, {on, a}, {7, extra}} = gen_statem:call(P, x),
    no_traces(t_ps, [P]).

handler(M, N, C) ->
    compile(io_lib:format("-module(~s). -vsn(~b). -export([init/1,handle_event/2,handle_call/2,code_change/3]). init(X) -> {ok,X}. handle_event(_,S) -> {ok,S}. "
                          "handle_call(_,S) -> {ok,{~b,S},S}. code_change(V,S,E) -> ~s.", [M, N, N, C])).

computed_event() ->
    load(server(t_pother, 1)),
    Other = handler(t_pe_other, 1, "{ok,S}"),
    load(Other),
    All = fun(C) -> {handler(t_pe, 2, C), handler(t_pe, 1, "{ok,S}"), handler(t_pe@updo, 2, C), event} end,
    V1 = element(2, All("{ok,S}")),
    load(V1),
    {ok, P} = gen_event:start(),
    {ok, Empty} = gen_event:start(),
    [ok = gen_event:add_handler(P, H, A) || {H, A} <- [{t_pe, one}, {{t_pe, x}, two}, {t_pe_other, three}]],
    ok = gen_event:add_handler(Empty, t_pe_other, three),
    W = watched(V1),
    {old, #{reason := {conversion_failed, #{pid := P}}}, _} = upgrade(with_twins([All("case S of two -> error({no,V,E}); _ -> {ok,{S,V,E}} end")], #{handlers => [t_pe]})),
    unchanged(W),
    Asked = fun() -> [gen_event:call(P, H, x) || H <- [t_pe, {t_pe, x}, t_pe_other]] end,
    [{1, one}, {1, two}, {1, three}] = Asked(),
    no_traces(t_pe, [P, Empty]),
    clean(),
    {new, _, Es} = upgrade(with_twins([All("{ok,{S,V,E}}")], #{handlers => [t_pe]})),
    [#{processes := 1}] = step(2, Es),
    [{2, {one, 1, extra}}, {2, {two, 1, extra}}, {1, three}] = Asked(),
    no_traces(t_pe, [P, Empty]),
    exit(P, kill), exit(Empty, kill).

special(M, N, C) ->
    compile(io_lib:format("-module(~s). -vsn(~b). -export([start/1,go/2,loop/2,system_continue/3,system_terminate/4,system_code_change/4]). "
        "start(X) -> proc_lib:start(t_pp,go,[self(),X]). go(P,X) -> proc_lib:init_ack({ok,self()}), loop(P,X). "
        "loop(P,X) -> receive {system,F,R} -> sys:handle_system_msg(R,F,P,t_pp,[],X); {ask,F} -> F ! {~b,X}, t_pp:loop(P,X) end. "
        "system_continue(P,_,X) -> t_pp:loop(P,X). system_terminate(R,_,_,_) -> exit(R). system_code_change(X,M,V,E) -> ~s.", [M, N, N, C])).

computed_special() ->
    All = fun(C) -> {special(t_pp, 2, C), special(t_pp, 1, "{ok,{X,M,V,E}}"), special(t_pp@updo, 2, C), special} end,
    load(element(2, All("{ok,{X,M,V,E}}"))),
    Ps = [element(2, t_pp:start(X)) || X <- [a, b]],
    Ask = fun() -> [begin X ! {ask, self()}, receive M -> M end end || X <- Ps] end,
    {old, _, _} = upgrade(with_twins([All("case X of b -> {error,M,V,E}; _ -> {ok,X} end")])),
    [{1, a}, {1, b}] = Ask(),
    no_traces(t_pp, Ps),
    clean(),
    {new, _, _} = upgrade(with_twins([All("{ok,{X,M,V,E}}")])),
    [{2, {a, t_pp, 1, extra}}, {2, {b, t_pp, 1, extra}}] = Ask(),
    no_traces(t_pp, Ps),
    [exit(P, kill) || P <- Ps].

%% What a twin has made must not stay: such a state is made again by the module itself.
computed_fun() ->
    [begin
        All = servers(t_pf, "code_change(_,{1,X},_) -> {ok,{2,X," ++ State ++ "}};"),
        Ps = begun(t_pf, 3, All),
        {new, _, _} = upgrade(with_twins([All])),
        [begin {2, I, Is} = ask(P), {Module, Value} = Look(Is), t_pf = Module, I = Value end || {I, P} <- lists:zip([1, 2, 3], Ps)],
        no_traces(t_pf, Ps),
        [{2, _, _} = ask(P) || P <- Ps],
        clean(),
        [exit(P, kill) || P <- Ps]
     end || {State, Look} <- [{"fun() -> X end", fun(F) -> {element(2, erlang:fun_info(F, module)), F()} end},
                              {"#{k => [1,{fun() -> X end}|x]}", fun(#{k := [1, {F} | x]}) -> {element(2, erlang:fun_info(F, module)), F()} end},
                              {"lists:seq(1,30000) ++ [fun() -> X end]", fun(L) -> F = lists:last(L), {element(2, erlang:fun_info(F, module)), F()} end}]].

%% Large constants of the twin would be copied into every process when it goes.
computed_constants() ->
    Big = lists:flatten(io_lib:format("~w", [lists:seq(1, 30000)])),
    All = servers(t_pk, "code_change(V,{1,X},_) -> {ok,{2,X,{V," ++ Big ++ "}}};"),
    Ps = begun(t_pk, 300, All),
    Heap = fun() -> erlang:garbage_collect(), lists:sum([begin erlang:garbage_collect(P), element(2, process_info(P, total_heap_size)) end || P <- Ps]) end,
    Before = Heap(),
    {new, _, _} = upgrade(with_twins([All])),
    {2, 7, {"1.0", [1 | _]}} = gen_server:call(lists:nth(7, Ps), state),
    true = Heap() - Before < 300 * 2 * 30000,
    no_traces(t_pk, Ps).

%% It dies when its new state lies in its dictionary: it counts as dead, the others are converted.
computed_dies() ->
    All = servers(t_pd, ""),
    [P | Ps] = begun(t_pd, 5, All),
    [A, B | More] = steps([All]),
    {new, _, Es} = upgrade((with_twins([All]))#{steps := [A, B, {9, {apply, {erlang, exit, [P, kill]}}} | More]}),
    [#{processes := 5, dead := 0}] = step(2, Es),
    [#{dead := 1}] = step(4, Es),
    [{2, I, {"1.0", extra}} = ask(Q) || {I, Q} <- lists:zip([2, 3, 4, 5], Ps)],
    no_traces(t_pd, Ps).

%% Another person loads something between the two: that is found at the switch, and nothing is switched.
computed_other_code() ->
    All = servers(t_pc2, ""),
    Ps = begun(t_pc2, 5, All),
    {_, Other} = compile("-module(t_pc2). -export([handle_call/3]). handle_call(_,_,S) -> {reply,S,S}."),
    [A, B | More] = steps([All]),
    Load = {9, {apply, {code, load_binary, [t_pc2, "other", Other]}}},
    {old, #{reason := Reason}, Es} = upgrade((with_twins([All]))#{steps := [A, B, Load | More]}),
    true = element(1, Reason) =/= conversion_failed,
    [] = step(3, Es),
    [{1, I} = ask(P) || {I, P} <- lists:zip([1, 2, 3, 4, 5], Ps)],
    true = erlang:get_module_info(t_pc2, md5) =:= agent_tests:md5({t_pc2, Other}),
    no_traces(t_pc2, Ps),
    clean(),
    %% And of another twin: what is computed is nothing that could not be computed again.
    load(element(2, All)),
    Drop = {9, {apply, {code, delete, [twin(t_pc2)]}}},
    {new, _, _} = upgrade((with_twins([All]))#{steps := [A, B, Drop | More]}),
    [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip([1, 2, 3, 4, 5], Ps)],
    no_traces(t_pc2, Ps).

%% Handlers of two modules in one manager: each has its own, and what fails in one is forgotten in both.
computed_two_handlers() ->
    All = fun(M, C) -> {handler(M, 2, C), handler(M, 1, "{ok,S}"), handler(twin(M), 2, C), event} end,
    [load(element(2, All(M, "{ok,S}"))) || M <- [t_ph1, t_ph2]],
    {ok, P} = gen_event:start(),
    [ok = gen_event:add_handler(P, H, A) || {H, A} <- [{t_ph1, one}, {t_ph2, two}, {{t_ph2, x}, three}]],
    Asked = fun() -> [gen_event:call(P, H, x) || H <- [t_ph1, t_ph2, {t_ph2, x}]] end,
    Good = "{ok,{S,V,E}}",
    Job = fun(Bad) -> with_twins([All(t_ph1, Good), All(t_ph2, Bad)], #{handlers => [t_ph1, t_ph2]}) end,
    {old, #{reason := {conversion_failed, #{module := t_ph2, pid := P}}}, _} = upgrade(Job("case S of three -> error({no,V,E}); _ -> {ok,S} end")),
    [{1, one}, {1, two}, {1, three}] = Asked(),
    [no_traces(M, [P]) || M <- [t_ph1, t_ph2]],
    clean(),
    {new, _, _} = upgrade(Job(Good)),
    [{2, {one, 1, extra}}, {2, {two, 1, extra}}, {2, {three, 1, extra}}] = Asked(),
    [no_traces(M, [P]) || M <- [t_ph1, t_ph2]],
    exit(P, kill).

%% A supervisor's new init/1 is run after the switch only, and once.
computed_supervisor() ->
    Sup = fun(N) -> compile(io_lib:format("-module(t_psup). -vsn(~b). -behaviour(supervisor). -export([init/1]). init([]) -> "
                                          "ets:update_counter(t_pruns,~b,1,{~b,0}), {ok,{#{intensity=>~b},[]}}.", [N, N, N, N])) end,
    Owner = spawn(fun() -> ets:new(t_pruns, [named_table, public]), receive stop -> ok end end),
    wait(fun() -> ets:info(t_pruns, size) =:= 0 end, table),
    load(Sup(1)),
    {ok, S} = supervisor:start_link(t_psup, []),
    unlink(S),
    Runs = fun() -> lists:sort(ets:tab2list(t_pruns)) end,
    With = fun(All) ->
        #{modules := Ms, steps := [{1, {suspend, _}}, B, {3, {load, L}}, {4, {code_change, up, C}}, {5, {resume, R}}]} = Job =
            with_twins([All], #{supervisors => [t_psup]}),
        Job#{modules := [module(Sup(2), Sup(1)) | Ms],
             steps := [{1, {suspend, [[{t_psup, default}, {t_pw, default}]]}}, B, {3, {load, [t_psup | L]}},
                       {4, {code_change, up, [{t_psup, {advanced, []}} | C]}}, {5, {resume, [t_psup | R]}}]}
    end,
    Bad = servers(t_pw, "code_change(_,{1,3},_) -> {error,no};"),
    Ps = begun(t_pw, 5, Bad),
    {old, #{reason := {conversion_failed, #{module := t_pw}}}, _} = upgrade(With(Bad)),
    [{1, 1}] = Runs(),
    is_old(t_pw, Bad, Ps),
    clean(),
    {new, _, _} = upgrade(With(servers(t_pw, ""))),
    [{1, 1}, {2, 1}] = Runs(),
    no_traces(t_pw, [S | Ps]),
    exit(S, kill), exit(Owner, kill).

%% 50 MB: in place, without a copy of it.
computed_huge() ->
    Convert = fun(Bad) -> servers(t_pg, "code_change(_,{1,[H|_]=L},_) -> case H of " ++ Bad ++ " -> error(no); _ -> {ok,{2,L,big}} end;") end,
    load(element(2, Convert("none"))),
    Ps = [start(t_pg, lists:seq(I, 3000000 + I)) || I <- [1, 2]],
    Heads = fun() -> [begin S = ask(P), {element(1, S), hd(element(2, S))} end || P <- Ps] end,
    W = watched(element(2, Convert("none"))),
    {old, #{reason := {conversion_failed, _}}, _} = upgrade(with_twins([Convert("2")])),
    unchanged(W),
    [{1, 1}, {1, 2}] = Heads(),
    no_traces(t_pg, Ps),
    clean(),
    {new, _, _} = upgrade(with_twins([Convert("none")])),
    [{2, 1}, {2, 2}] = Heads(),
    no_traces(t_pg, Ps),
    [exit(P, kill) || P <- Ps].

%% By a name that is data a conversion comes to the running version. What that raises is no failure: it is converted after the switch.
computed_by_name() ->
    Made = "made(X) -> {2,X,made}.",
    V = fun(M, N, C, More) ->
            compile(io_lib:format("-module(~s). -vsn(\"~b.0\"). -behaviour(gen_server). -export([init/1,handle_call/3,handle_cast/2,code_change/3,made/1]). "
                                  "init(X) -> {ok,{~b,X}}. handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}. code_change(_,S,_) -> ~s. ~s",
                                  [M, N, N, C, More]))
        end,
    C = "{1,X} = S, M = persistent_term:get(t_pname), {ok, M:made(X)}",
    persistent_term:put(t_pname, t_pn2),
    All = {V(t_pn2, 2, C, Made), V(t_pn2, 1, "{ok,S}", "made(X) -> error({old,X})."), V(t_pn2@updo, 2, C, Made), server},
    load(element(2, All)),
    Ps = [begin {ok, P} = gen_server:start(t_pn2, X, []), P end || X <- [1, 2, 3]],
    %% Without a way back it has to count as one.
    {old, #{reason := {conversion_failed, _}}, _} = upgrade(with_twins([All], #{undo => none})),
    [{1, 1}, {1, 2}, {1, 3}] = [gen_server:call(P, x) || P <- Ps],
    no_traces(t_pn2, Ps),
    clean(),
    {new, _, _} = upgrade(with_twins([All])),
    [{2, 1, made}, {2, 2, made}, {2, 3, made}] = [gen_server:call(P, x) || P <- Ps],
    no_traces(t_pn2, Ps),
    persistent_term:erase(t_pname).

%% What was rehearsed is not tried on copies again: each conversion runs once.
computed_rehearsed() ->
    [begin
        Owner = spawn(fun() -> ets:new(t_pcount, [named_table, public]), receive stop -> ok end end),
        wait(fun() -> ets:info(t_pcount, size) =:= 0 end, table),
        All = servers(t_pq, "code_change(_,{1,X},_) -> ets:update_counter(t_pcount,X,1,{X,0}), {ok,{2,X,done}};"),
        Ps = begun(t_pq, 3, All),
        {new, _, _} = upgrade(with_twins([All], #{rehearsed => Rehearsed})),
        Count = lists:duplicate(3, N),
        Count = [ets:lookup_element(t_pcount, X, 2) || X <- [1, 2, 3]],
        no_traces(t_pq, Ps),
        clean(),
        [exit(P, kill) || P <- [Owner | Ps]],
        wait(fun() -> ets:info(t_pcount) =:= undefined end, table)
     end || {Rehearsed, N} <- [{[t_pq], 1}, {[], 2}]].

%% Executors die as fast as they are made: all are resumed, and what was computed is forgotten.
computed_last_resort() ->
    All = servers(t_plr, "code_change(_,{1,2},_) -> timer:sleep(3000), {ok,{2,2}};"),
    Ps = begun(t_plr, 4, All),
    {ok, G} = boot_fast(with_twins([All])),
    receive {updo, _, _, {step_started, 2}} -> ok after 5000 -> error(no_step) end,
    wait(fun() -> [] =/= lists:append([keys(P) || P <- Ps]) end, computed),
    Me = self(),
    Kill = spawn(fun K() ->
        case process_info(G, monitors) of {_, Ms} -> [exit(P, kill) || {process, P} <- Ms, P =/= Me]; undefined -> ok end,
        K()
    end),
    {Outcome, _, _} = until_finished([]),
    exit(Kill, kill),
    old = Outcome,
    settle_until_gone(),
    wait(fun() -> suspended() =:= [] end, resumed),
    [{1, I} = ask(P) || {I, P} <- lists:zip([1, 2, 3, 4], Ps)],
    no_traces(t_plr, Ps).

%% The conversion runs on a copy first: its process is not lost.
computed_endless() ->
    All = servers(t_pl, "code_change(V,{1,30},E) -> code_change(V,{1,30},E);"),
    Ps = begun(t_pl, 60, All),
    W = watched(element(2, All)),
    {old, #{reason := {conversion_failed, #{pid := P, reason := <<"it takes longer than 300 ms">>}}}, _} = upgrade(with_twins([All], #{suspend_timeout => 300})),
    P = lists:nth(30, Ps),
    unchanged(W),
    is_old(t_pl, All, Ps),
    %% Something for a moment is no failure.
    clean(),
    Slow = servers(t_pl, "code_change(_,{1,30},_) -> timer:sleep(150), {ok,{2,30,slow}};"),
    {new, _, _} = upgrade(with_twins([Slow], #{suspend_timeout => 1000})),
    {2, 30, slow} = ask(P),
    no_traces(t_pl, Ps).

computed_memory() ->
    All = servers(t_pm, "code_change(V,{1,3},E) -> code_change(V,{1,3,lists:duplicate(100000,E)},E); code_change(V,{1,3,L},E) -> code_change(V,{1,3,[lists:duplicate(100000,E)|L]},E);"),
    Ps = begun(t_pm, 5, All),
    {old, #{reason := {conversion_failed, #{reason := <<"it ends its process, or needs more than 128 MB">>}}}, _} = upgrade(with_twins([All], #{suspend_timeout => 20000})),
    is_old(t_pm, All, Ps).

%% Of a large state there is no copy: a process that hangs is named, and the run ends as soon as it is through.
computed_hanging() ->
    All = servers(t_ph, "code_change(_,{1,L},_) when is_list(L) -> timer:sleep(1500), {ok,{2,L,late}};"),
    Ps = begun(t_ph, 3, All),
    P = start(t_ph, lists:seq(1, 200000)),
    W = watched(element(2, All)),
    {mixed, #{late := [#{pid := P}]}, _} = run(with_twins([All], #{suspend_timeout => 200, grace => 300})),
    [{1, 2}] = [ask(lists:nth(2, Ps))],
    {old, _, _} = until_finished([]),
    {1, [1 | _]} = ask(P),
    settle(),
    unchanged(W),
    wait(fun() -> not erlang:module_loaded(t_ph@updo) orelse not erlang:check_old_code(t_ph@updo) end, twin),
    [] = keys(P).

%% Something fails behind the switch: what was installed is taken back.
computed_undone() ->
    {A, B} = {servers(t_pu, ""), servers(t_pv, "code_change(_,_,_) -> {error,no};")},
    {Ps, Qs} = {begun(t_pu, 100, A), begun(t_pv, 3, B)},
    #{steps := [S, {2, {precompute, [One, _]}} | Rest]} = Job = with_twins([A, B]),
    {old, #{reason := {conversion_failed, #{module := t_pv}}}, _} = upgrade(Job#{steps := [S, {2, {precompute, [One]}} | Rest]}),
    is_old(t_pu, A, Ps),
    is_old(t_pv, B, Qs).

%% One that something else has resumed is not converted.
computed_resumed() ->
    All = servers(t_px, ""),
    Ps = begun(t_px, 3, All),
    [P | _] = Ps,
    [{1, S} | Rest] = steps([All]),
    Job = (with_twins([All]))#{steps := [{1, S}, {9, {apply, {sys, resume, [P]}}} | Rest]},
    {old, #{reason := {conversion_failed, #{pid := P, running := true}}}, _} = upgrade(Job),
    is_old(t_px, All, Ps),
    clean(),
    %% Between the two: its state is not the one that was converted any more.
    load(compile("-module(t_px_by). -export([f/1]). f(P) -> sys:resume(P), sys:replace_state(P, fun({1,X}) -> {1,X+1} end).")),
    [A, B | More] = steps([All]),
    {old, #{reason := {conversion_failed, #{pid := P, running := true}}}, _} = upgrade((with_twins([All]))#{steps := [A, B, {9, {apply, {t_px_by, f, [P]}}} | More]}),
    {1, 2} = ask(P),
    no_traces(t_px, Ps).

%% Born after the others have computed: converted by the module itself.
computed_born() ->
    All = servers(t_pb, ""),
    Ps = begun(t_pb, 3, All),
    load(compile("-module(t_pb_by). -export([f/0]). f() -> {ok,P} = gen_server:start(t_pb, 7, []), register(t_pb_new, P).")),
    [A, B | More] = steps([All]),
    {new, _, _} = upgrade((with_twins([All]))#{steps := [A, B, {9, {apply, {t_pb_by, f, []}}} | More]}),
    {2, 7, {"1.0", extra}} = ask(t_pb_new),
    [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip([1, 2, 3], Ps)],
    no_traces(t_pb, [whereis(t_pb_new) | Ps]),
    exit(whereis(t_pb_new), kill).

%% A behaviour with a server of its own keeps another state than its module converts.
computed_wrapped() ->
    load(compile("-module(t_pwb). -behaviour(gen_server). -export([start/2,init/1,handle_call/3,handle_cast/2,code_change/3]). "
                 "start(M,X) -> gen_server:start(t_pwb,{M,X},[]). init({M,X}) -> put('$initial_call',{M,init,1}), {ok,S} = M:init(X), {ok,{wrapped,M,S}}. handle_call(_,_,{_,_,S} = W) -> {reply,S,W}. handle_cast(_,W) -> {noreply,W}. "
                 "code_change(V,{wrapped,M,S},E) -> {ok,New} = M:code_change(V,S,E), {ok,{wrapped,M,New}}.")),
    Callback = fun(M, V) -> compile(io_lib:format("-module(~s). -vsn(~b). -behaviour(t_pwb). -export([init/1,code_change/3]). init(X) -> {ok,{~b,X}}. code_change(_,{1,X},_) -> {ok,{2,X}}.", [M, V, V])) end,
    All = {Callback(t_pwm, 2), Callback(t_pwm, 1), Callback(t_pwm@updo, 2), server},
    load(element(2, All)),
    {ok, P} = t_pwb:start(t_pwm, 5),
    {ok, Loops} = file:read_file(filename:join(persistent_term:get(agent_dir), "../../facts/node/loops.regex")),
    {new, _, Es} = upgrade(with_twins([All], #{loops => string:trim(Loops, trailing)})),
    [#{processes := 0}] = step(2, Es),
    {2, 5} = gen_server:call(P, x),
    exit(P, kill).

%% Where a twin cannot be loaded states are converted after the switch; without a way back nothing is begun.
computed_without_twins() ->
    All = servers(t_pn, ""),
    Ps = begun(t_pn, 3, All),
    Broken = fun(#{twins := [T]} = Job) -> Job#{twins := [T#{new := <<"no beam">>}]} end,
    {old, #{reason := {twins_not_loadable, _}}, Es} = upgrade(Broken(with_twins([All], #{undo => none}))),
    [] = [x || {step_started, _} <- Es],
    is_old(t_pn, All, Ps),
    clean(),
    {new, _, _} = upgrade(Broken(with_twins([All]))),
    [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip([1, 2, 3], Ps)],
    no_traces(t_pn, Ps).

%% ---------------------------------------------------------------------------------------------------------------
%% Computed together with the suspension, installed together with the resume.

early(All) -> early(All, #{}).
early(All, More) ->
    Ms = [M || {{M, _}, _, _, _} <- All],
    with_twins(All, maps:merge(#{rehearsed => Ms, early => Ms}, More)).

%% None is asked a second time: the step takes no time, whatever the number of processes is.
early_servers() ->
    All = servers(t_ea, "code_change(V,{1,X},E) -> {_,S} = process_info(self(),current_stacktrace), {ok,{2,X,{V,E,[F || {_,F,_,_} <- S]}}};"),
    Ps = begun(t_ea, 200, All),
    {new, _, Es} = upgrade(early([All])),
    [#{processes := 200, dead := 0}] = step(2, Es),
    [#{processes := 200, dead := 0}] = step(4, Es),
    [begin
        {2, I, {"1.0", extra, Functions}} = ask(P),
        true = lists:any(fun(F) -> lists:prefix("-early_fun", atom_to_list(F)) end, Functions)
     end || {I, P} <- lists:zip(lists:seq(1, 200), Ps)],
    is_now(element(1, All)),
    no_traces(t_ea, Ps).

%% It fails for one: asked once more, it says why. Nothing is switched.
early_fails() ->
    [begin
        All = servers(t_ef, "code_change(_,{1,150},_) -> " ++ Bad ++ ";"),
        Ps = begun(t_ef, 200, All),
        W = watched(element(2, All)),
        {old, #{reason := {conversion_failed, #{pid := P, reason := Why}}}, Es} = upgrade(early([All])),
        P = lists:nth(150, Ps),
        {match, _} = re:run(Why, Said),
        [2] = [Id || {step_failed, Id, _} <- Es],
        unchanged(W),
        is_old(t_ef, All, Ps),
        clean(),
        [exit(X, kill) || X <- Ps]
     end || {Bad, Said} <- [{"error(no)", "error:no in t_ef:code_change/3"}, {"{error,no}", "{error,no}"}, {"exit(bye)", "bye"}]].

%% One that is busy: all run again meanwhile, change their states, and compute from those.
early_busy() ->
    All = servers(t_eb, ""),
    [P | _] = Ps = begun(t_eb, 20, All),
    gen_server:cast(P, fun() -> timer:sleep(400) end),
    spawn(fun() -> timer:sleep(250), [sys:replace_state(Q, fun({1, X}) -> {1, X + 100} end) || Q <- tl(Ps)] end),
    {new, _, Es} = upgrade(early([All], #{budget => 50})),
    true = lists:any(fun(E) -> element(1, E) =:= suspend_postponed end, Es),
    {2, 1, {"1.0", extra}} = ask(P),
    [{2, J, {"1.0", extra}} = ask(Q) || {J, Q} <- lists:zip(lists:seq(102, 120), tl(Ps))],
    no_traces(t_eb, Ps),
    %% One that never answers: the others are as before.
    clean(),
    [exit(X, kill) || X <- Ps],
    [Q | _] = Qs = begun(t_eb, 20, All),
    gen_server:cast(Q, fun() -> timer:sleep(1500) end),
    {old, #{reason := {not_suspended, [#{pid := Q} | _]}}, _} = upgrade(early([All], #{suspend_timeout => 300})),
    clean(),
    timer:sleep(1300),
    is_old(t_eb, All, Qs).

%% Some end while all are suspended, before and after they have computed.
early_dies() ->
    All = servers(t_ed, ""),
    Ps = begun(t_ed, 20, All),
    [{1, S} | Rest] = steps([All]),
    [A, B | More] = Rest,
    load(compile("-module(t_ed_by). -export([f/1]). f(P) -> exit(P, kill), timer:sleep(20).")),
    Kill = fun(N) -> {apply, {t_ed_by, f, [lists:nth(N, Ps)]}} end,
    {new, _, _} = upgrade((early([All]))#{steps := [{1, S}, {9, Kill(3)}, A, {10, Kill(4)}, B | More]}),
    [false, false] = [is_process_alive(lists:nth(N, Ps)) || N <- [3, 4]],
    [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 20), Ps), is_process_alive(P)],
    no_traces(t_ed, [P || P <- Ps, is_process_alive(P)]).

%% One that something else has resumed in between, and that has gone on with its work: found before the switch, or
%% before it is resumed, or, where it happens later than any look, converted from the state that it has then.
early_resumed() ->
    All = servers(t_er, ""),
    Ps = begun(t_er, 300, All),
    P = lists:nth(300, Ps),
    load(compile("-module(t_er_by). -export([f/2,g/1]). f(P,N) -> sys:resume(P), sys:replace_state(P, fun({1,X}) -> {1,X+N} end). g(P) -> f(P,1), sys:suspend(P).")),
    [A, B, C | More] = steps([All]),
    %% It is suspended again, from another state.
    {new, _, _} = upgrade((early([All]))#{steps := [A, B, {9, {apply, {t_er_by, g, [P]}}}, C | More]}),
    {2, 301, {"1.0", extra}} = ask(P),
    [{2, I, {"1.0", extra}} = ask(Q) || {I, Q} <- lists:zip(lists:seq(1, 299), lists:droplast(Ps))],
    no_traces(t_er, Ps),
    %% And where that state cannot be converted, it is named.
    Bad = servers(t_er, "code_change(_,{1,X},_) when X > 900 -> error(high);"),
    clean(),
    [exit(Q, kill) || Q <- Ps],
    Qs = begun(t_er, 300, Bad),
    R = lists:nth(300, Qs),
    load(compile("-module(t_er_by). -export([h/1]). h(P) -> sys:resume(P), sys:replace_state(P, fun({1,X}) -> {1,X+900} end), sys:suspend(P).")),
    {mixed, #{no_old_code := [], unconverted := [#{pid := R, module := t_er, reason := Why, answers := true}], old_states := [{t_er, [R]}],
              to_convert := [#{module := t_er, pids := [R]}], reason := {conversion_failed, #{pid := R}}}, _} =
        upgrade((early([Bad]))#{steps := [A, B, {9, {apply, {t_er_by, h, [R]}}}, C | More]}),
    {match, _} = re:run(Why, "error:high in t_er:code_change/3"),
    {1, 1200} = sys:get_state(R),
    [{2, I, {"1.0", extra}} = ask(Q) || {I, Q} <- lists:zip(lists:seq(1, 299), lists:droplast(Qs))],
    clean(),
    no_traces(t_er, Qs).

%% Several modules in one rank, of which one is not computed early, and one calls another while it is suspended.
early_ranks() ->
    {A, B, C} = {servers(t_eg, ""), servers(t_eh, ""), servers(t_ei, "code_change(_,{1,X},_) -> {ok,{2,X,{late,gen_server:call(t_eg_one,x)}}};")},
    Ps = begun(t_eg, 5, A), Qs = begun(t_eh, 5, B), Rs = begun(t_ei, 1, C),
    register(t_eg_one, hd(Ps)),
    Ms = [t_eg, t_eh, t_ei],
    #{steps := [_, {2, {precompute, L}} | More]} = Job = early([A, B, C]),
    Rank = {1, {suspend, [[{M, default} || M <- Ms]]}},
    {new, _, Es} = upgrade(Job#{early := [t_eg, t_eh], steps := [Rank, {2, {precompute, lists:droplast(L)}} | More]}),
    [#{processes := 10}] = step(2, Es),
    [#{processes := 11, served := 1}] = step(4, Es),
    [{2, I, {"1.0", extra}} = ask(P) || Those <- [Ps, Qs], {I, P} <- lists:zip(lists:seq(1, 5), Those)],
    {2, 1, {late, {2, 1, {"1.0", extra}}}} = ask(hd(Rs)),
    no_traces(t_eg, Ps), no_traces(t_eh, Qs), no_traces(t_ei, Rs).

%% A state with a fun of the twin is no state that lasts.
early_again() ->
    All = servers(t_ew, "code_change(_,{1,2},_) -> {ok,{2,2,fun() -> t_ew end}};"),
    Ps = begun(t_ew, 3, All),
    {new, _, _} = upgrade(early([All])),
    {2, 2, F} = ask(lists:nth(2, Ps)),
    {module, t_ew} = erlang:fun_info(F, module),
    t_ew = F(),
    [{2, I, {"1.0", extra}} = ask(lists:nth(I, Ps)) || I <- [1, 3]],
    no_traces(t_ew, Ps).

%% A conversion that hangs after all: as one that hangs when all are suspended.
early_hangs() ->
    All = servers(t_ex, "code_change(_,{1,2},_) -> timer:sleep(700), {ok,{2,2,slow}};"),
    Ps = begun(t_ex, 3, All),
    {O, _, _} = upgrade(early([All], #{suspend_timeout => 200, grace => 2000})),
    old = O,
    clean(),
    timer:sleep(700),
    is_old(t_ex, All, Ps),
    [exit(P, kill) || P <- Ps],
    %% One that never comes back is named.
    Endless = servers(t_ey, "code_change(_,{1,2},_) -> receive never -> ok end;"),
    [_, Q | _] = Qs = begun(t_ey, 3, Endless),
    {mixed, #{late := [#{pid := Q}]}, _} = upgrade(early([Endless], #{suspend_timeout => 200, grace => 300})),
    [{1, I} = ask(lists:nth(I, Qs)) || I <- [1, 3]],
    Q ! never,
    {1, 2} = ask(Q),
    clean().

early_killed() ->
    Early = #{rehearsed => [t_eke], early => [t_eke]},
    Outcomes = killed(t_eke, executor, exact, "", [0, 150, 400, 900], Early),
    true = lists:member(old, Outcomes) andalso lists:member(new, Outcomes),
    [old] = lists:usort(killed(t_eke, executor, exact, "code_change(_,{1,50},_) -> error(no);", [0, 200], Early)),
    killed(t_eke, executor, none, "", [0, 150, 400], Early).

%% Born when the others have computed, and such as are asked for something before they are resumed: as ever.
computed_at_resume() ->
    All = servers(t_eq, ""),
    Ps = begun(t_eq, 10, All),
    [A, B, C, D | More] = steps([All]),
    Hook = fun() -> {apply, {t_eq_by, f, [Ps, self()]}} end,
    load(compile("-module(t_eq_by). -export([f/2]). f(Ps, To) -> To ! {states, [sys:get_state(P) || P <- Ps]}.")),
    {new, _, _} = upgrade((early([All]))#{steps := [A, B, C, D, {9, Hook()} | More]}),
    [{2, I, {"1.0", extra}} = S || {I, S} <- lists:zip(lists:seq(1, 10), receive {states, L} -> L after 1000 -> error(no_states) end)],
    no_traces(t_eq, Ps),
    clean(),
    [exit(P, kill) || P <- Ps],
    Qs = begun(t_eq, 3, All),
    load(compile("-module(t_eq_new). -export([f/0]). f() -> {ok,P} = gen_server:start(t_eq, 7, []), register(t_eq_born, P).")),
    {new, _, _} = upgrade((early([All]))#{steps := [A, B, {9, {apply, {t_eq_new, f, []}}}, C, D | More]}),
    {2, 7, {"1.0", extra}} = ask(t_eq_born),
    [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip([1, 2, 3], Qs)],
    no_traces(t_eq, [whereis(t_eq_born) | Qs]),
    exit(whereis(t_eq_born), kill).

%% ---------------------------------------------------------------------------------------------------------------
%% Something of the agent is killed at each of its events, at once or a little later.

%% Outcomes. Undo: what the job says; Bad: clauses.
killed(M, What, Undo, Bad, Delays) -> killed(M, What, Undo, Bad, Delays, #{}).
killed(M, What, Undo, Bad, Delays, More) ->
    All = servers(M, Bad),
    Outcomes = [begin
        Ps = begun(M, 100, All),
        {ok, G} = boot_fast(with_twins([All], More#{undo => Undo})),
        O = case killed_at(N, Delay, What, G, []) of
            {finished, Outcome} -> Outcome;
            killed -> agent_tests:wait(fun() -> whereis(updo_run) =/= undefined andalso suspended() =:= [] end, watchdog), killed_all(M, All)
        end,
        settle_until_gone(),
        wait(fun() -> not erlang:module_loaded(twin(M)) end, twin),
        Size = case O of new -> 3; old -> 2 end,
        is_now(element(case O of new -> 1; old -> 2 end, All)),
        [begin S = ask(P), true = Size =:= tuple_size(S), I = element(2, S) end || {I, P} <- lists:zip(lists:seq(1, 100), Ps)],
        no_traces(M, Ps),
        clean(),
        flush(),
        [exit(P, kill) || P <- Ps],
        O
     end || N <- lists:seq(1, 14), Delay <- Delays],
    io:format("        ~p ~p: ~p~n", [What, Undo, [{O, length([x || P <- Outcomes, P =:= O])} || O <- lists:usort(Outcomes)]]),
    Outcomes.

killed_all(M, All) -> case erlang:get_module_info(M, md5) =:= agent_tests:md5(element(1, All)) of true -> new; false -> old end.

killed_at(N, Delay, What, G, Exec) ->
    receive
        {updo, _, _, {started, #{executor := E}}} when N > 1 -> killed_at(N - 1, Delay, What, G, E);
        {updo, _, _, {finished, O, _}} -> {finished, O};
        {updo, _, _, {step_progress, _, _, _}} -> killed_at(N, Delay, What, G, Exec);
        {updo, _, _, Event} when N =:= 1 ->
            E = case Event of {started, #{executor := X}} -> X; _ -> Exec end,
            spin(Delay),
            [exit(P, kill) || {Which, P} <- [{executor, E}, {guardian, G}], Which =:= What orelse What =:= both],
            case What of both -> killed; _ -> killed_at(0, 0, What, G, E) end;
        {updo, _, _, _} -> killed_at(N - 1, Delay, What, G, Exec)
    after 20000 -> error({no_finish, N})
    end.

computed_executor_killed() ->
    Outcomes = killed(t_pke, executor, exact, "", [0, 150, 400, 900]),
    true = lists:member(old, Outcomes) andalso lists:member(new, Outcomes),
    [old] = lists:usort(killed(t_pkf, executor, exact, "code_change(_,{1,50},_) -> error(no);", [0, 200, 500])).

computed_guardian_killed() ->
    [new] = lists:usort(killed(t_pkg, guardian, exact, "", [0, 300])),
    [old] = lists:usort(killed(t_pkh, guardian, exact, "code_change(_,{1,50},_) -> error(no);", [0, 300])).

%% Before the switch the node is old then; behind it the watchdog says what it is. Only what is whole is looked at.
computed_all_killed() ->
    All = servers(t_pka, ""),
    [begin
        Ps = begun(t_pka, 200, All),
        Slow = servers(t_pka, "code_change(_,{1,X},_) -> timer:sleep(200), {ok,{2,X,slow}};"),
        {ok, G} = boot_fast(with_twins([Slow])),
        E = receive {updo, _, _, {started, #{executor := X}}} -> X after 5000 -> error(no_start) end,
        receive {updo, _, _, {step_started, 2}} -> ok after 5000 -> error(no_step) end,
        timer:sleep(Ms),
        watchdog_tests:together(fun() -> [exit(P, kill) || P <- [E, G]] end),
        receive {updo, _, _, {finished, old, #{reason := agent_killed}}} -> ok after 10000 -> error(no_watchdog) end,
        wait(fun() -> not erlang:module_loaded(t_pka@updo) end, twin),
        is_old(t_pka, All, Ps),
        watchdog_tests:over(),
        [exit(P, kill) || P <- Ps]
     end || Ms <- [0, 60]].

%% Without the old beams a successor goes forward behind the switch.
computed_forward() ->
    Outcomes = killed(t_pkn, executor, none, "", [0, 150, 400]),
    true = lists:member(old, Outcomes) andalso lists:member(new, Outcomes).

computed_interpreted() ->
    interpreted(fun() -> computed_servers(), clean(), computed_event(), clean(), computed_special(), clean(), computed_fun(), clean(), computed_endless() end).

%% ---------------------------------------------------------------------------------------------------------------
%% Conversions of several modules in one

%% Clauses: of the conversions of t_xa and t_xb.
excerpt(Clauses) ->
    {N, B} = compile("-module(updo@conversions). -export(['t_xa@updo:code_change'/3,'t_xb@updo:code_change'/3]). "
                     "'t_xa@updo:code_change'(V,{1,X},E) -> {ok,{2,X,{V,E}}}. " ++ Clauses ++
                     "helped(V,X,E) -> 't_xb@updo:other'(V,X,E). 't_xb@updo:other'(V,X,E) -> {ok,{2,X,{V,E}}}."),
    [#{twin => N, new => B, funs => 1}
     | [#{name => M, twin => N, entry => list_to_atom(atom_to_list(M) ++ "@updo:code_change")} || M <- [t_xa, t_xb]]].

excerpted(More) ->
    Job = with_twins([{server(M, 2), server(M, 1), server(twin(M), 2), server} || M <- [t_xa, t_xb]]),
    maps:merge(Job, More).

begun_both() ->
    [load(server(M, 1)) || M <- [t_xa, t_xb]],
    {[start(t_xa, I) || I <- lists:seq(1, 100)], [start(t_xb, I) || I <- lists:seq(1, 100)]}.

excerpt_computes() ->
    Plain = "'t_xb@updo:code_change'(V,{1,X},E) -> helped(V,X,E). ",
    Fun = "'t_xb@updo:code_change'(V,{1,X},E) -> {ok,{2,X,{V,fun() -> E end}}}. ",
    [begin
        {As, Bs} = begun_both(),
        {new, _, Es} = upgrade(excerpted(maps:merge(#{twins => excerpt(Clauses)}, More))),
        [#{processes := 200, dead := 0}] = step(2, Es),
        [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 100), As)],
        %% With a fun of the excerpt the module itself converts, behind the switch.
        [{2, I, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 100), Bs)],
        no_traces(t_xa, As ++ Bs),
        false = erlang:module_loaded(updo@conversions),
        [exit(P, kill) || P <- As ++ Bs],
        clean()
     end || Clauses <- [Plain, Fun], More <- [#{}, #{early => [t_xa, t_xb], rehearsed => [t_xa, t_xb]}]].

%% The failure goes by the names that the code has.
excerpt_fails() ->
    {As, Bs} = begun_both(),
    W = watched(server(t_xa, 1)),
    Clauses = "'t_xb@updo:code_change'(_,{1,50},_) -> error(no); 't_xb@updo:code_change'(V,{1,X},E) -> helped(V,X,E). ",
    {old, #{reason := {conversion_failed, #{pid := P, reason := Why}}}, _} = upgrade(excerpted(#{twins => excerpt(Clauses)})),
    P = lists:nth(50, Bs),
    {match, _} = re:run(Why, "t_xb:code_change/3"),
    nomatch = re:run(Why, "@updo:"),
    unchanged(W),
    [{1, I} = ask(Q) || Qs <- [As, Bs], {I, Q} <- lists:zip(lists:seq(1, 100), Qs)],
    no_traces(t_xa, As ++ Bs),
    false = erlang:module_loaded(updo@conversions),
    [exit(Q, kill) || Q <- As ++ Bs].

excerpt_rehearses() ->
    {As, Bs} = begun_both(),
    Clauses = "'t_xb@updo:code_change'(V,{1,50},_) -> helped(V,50,lists:nth(9,[V])); "
              "'t_xb@updo:code_change'(V,{1,X},E) -> helped(V,X,E). ",
    Try = fun(M) -> #{module => M, kind => server, extra => extra, processes => all, wait => 1000, ms => 1000, words => 1000000,
                      most => 1000000} end,
    Steps = [{1, {twins_load, [t_xa, t_xb]}}, {2, {rehearse, Try(t_xa)}}, {3, {rehearse, Try(t_xb)}}, {4, {twins_drop, [t_xa, t_xb]}}],
    {new, _, Es} = upgrade(job([], Steps, #{twins => excerpt(Clauses)})),
    [#{twins := 1}] = step(1, Es),
    [#{converted := 100, failed := 0}] = step(2, Es),
    [#{converted := 99, failed := 1, failures := [#{reason := Why}]}] = step(3, Es),
    {match, _} = re:run(Why, "t_xb,code_change,3|lists,nth"),
    nomatch = re:run(Why, "@updo"),
    [#{twins := 1, left := []}] = step(4, Es),
    [exit(Q, kill) || Q <- As ++ Bs].

%% Not one of tests(): how long a window is, beside one that converts after the switch.
computed_many() -> [computed_many(N) || N <- [1000, 10000]].
computed_many(N) ->
    All = servers(t_pmany, ""),
    Times = [begin
        Ps = begun(t_pmany, N, All),
        #{steps := [A, _ | More]} = Job = with_twins([All]),
        This = case How of
            early -> Job#{rehearsed => [t_pmany], early => [t_pmany]};
            before -> Job#{rehearsed => [t_pmany]};
            afterwards -> Job#{steps := [A | More], twins := []}
        end,
        {new, #{suspended_us := Us}, Es} = upgrade(This),
        clean(),
        [exit(P, kill) || P <- Ps],
        {How, Us div 1000, [{Id, T div 1000} || {step_finished, Id, T, _} <- Es]}
     end || _ <- [1, 2, 3], How <- [afterwards, before, early]],
    io:format("        ~b processes, ms: ~p~n", [N, Times]).
