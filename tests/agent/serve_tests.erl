%% Conversions that call a process which is suspended in the same window: it answers that call. Part of agent_tests.erl,
%% which runs them.
-module(serve_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/3, clean/0, upgrade/1, is_now/1, interpreted/1, suspended/0, wait/2, flush/0]).

tests() -> [served_converted, served_before_its_turn, served_soft, served_undone, served_supervisor, served_statem, served_by_supervisor, served_nested, served_by_a_task,
            served_many, served_same_module, served_continue, served_on_load, served_down, served_down_from_aside, served_special_caller,
            blocked_circle, blocked_stop, blocked_time_out, blocked_raises, blocked_kind, blocked_on_load, served_no_false_circle, served_others_wait,
            served_executor_killed, served_guardian_killed, served_interpreted].

%% The called one: its state is {V, N, Calls}. Version 2 does not take states of version 1, and the other way round.
stock(V) -> stock(V, "").
stock(V, More) -> stock(t_stock, V, More).
stock(M, V, More) ->
    compile(io_lib:format("-module(~s). -vsn(\"~b\"). -export([init/1,handle_call/3,handle_cast/2,handle_continue/2,code_change/3,v/0]). v() -> ~b. "
        "init(N) -> {ok,{~b,N,0}}. ~s handle_call(state,_,{~b,_,_}=S) -> {reply,S,S}; "
        "handle_call(limit,_,{~b,N,C}) -> {reply,{limit,~b,N},{~b,N,C+1}}; handle_call(peek,_,{~b,N,_}=S) -> {reply,{peek,~b,N},S}. "
        "handle_cast(_,S) -> {noreply,S}. handle_continue(more,{V,N,C}) -> {noreply,{V,N,C+100}}. "
        "code_change({down,_},{2,N,C},_) -> {ok,{1,N,C}}; code_change(_,{1,N,C},_) -> {ok,{2,N,C}}.", [M, V, V, V, More, V, V, V, V, V, V])).

%% The caller: version 2 asks before it has its state.
till(V, Ask) -> till(t_till, V, Ask).
till(M, V, Ask) ->
    Change = case V of
        1 -> "";
        2 -> io_lib:format("code_change({down,_},{2,X,_},_) -> {ok,{1,X}}; code_change(_,{1,X},_) -> {ok,{2,X,~s}}.", [Ask])
    end,
    Export = case V of 1 -> "init/1,handle_call/3,handle_cast/2"; 2 -> "init/1,handle_call/3,handle_cast/2,code_change/3" end,
    compile(io_lib:format("-module(~s). -vsn(\"~b\"). -export([v/0,~s]). v() -> ~b. init(X) -> {ok,{1,X}}. "
        "handle_call(state,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}. ~s", [M, V, Export, V, Change])).

asks(What) -> "gen_server:call(t_front," ++ What ++ ")".

begin_stock(V1) -> load(V1), {ok, Q} = gen_server:start({local, t_front}, t_stock, 7, []), Q.
begin_tills(V1, N) -> load(V1), [begin {ok, P} = gen_server:start(t_till, I, []), P end || I <- lists:seq(1, N)].

state(P) -> gen_server:call(P, state).
over(Ps) -> [exit(P, kill) || P <- Ps], wait(fun() -> not lists:any(fun(P) -> is_process_alive(P) end, Ps) end, alive).

%% The window: first those of Suspend, callers first; Change in this order.
steps(Suspend, Load, Change) ->
    [{1, {suspend, [[{M, default}] || M <- Suspend]}}, {2, {load, Load}}, {3, {code_change, up, [{M, {advanced, extra}} || M <- Change]}},
     {4, {resume, lists:reverse(Suspend)}}].

traces(Ps) ->
    [[] = [K || {K, _} <- element(2, process_info(P, dictionary)), is_atom(K), lists:prefix("$updo", atom_to_list(K))] || P <- Ps],
    [] = suspended(),
    ok.

served(Id, Es) -> hd([maps:get(served, I, 0) || {step_finished, N, _, I} <- Es, N =:= Id]).

%% The called one is converted already.
served_converted() -> converted([t_stock, t_till]).
%% Its turn would come later.
served_before_its_turn() -> converted([t_till, t_stock]).

converted(Order) ->
    {S1, S2, T1, T2} = {stock(1), stock(2), till(1, ""), till(2, asks("limit"))},
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 3),
    {new, #{suspended_us := Us}, Es} = upgrade(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], Order), #{})),
    true = Us < 1000000,
    3 = served(3, Es),
    [#{processes := 4, dead := 0}] = [I || {step_finished, 3, _, I} <- Es],
    {2, 7, 3} = state(Q),
    [{2, 1, {limit, 2, 7}}, {2, 2, {limit, 2, 7}}, {2, 3, {limit, 2, 7}}] = [state(P) || P <- Ps],
    traces([Q | Ps]),
    over([Q | Ps]).

%% Suspended, not converted: of a module that does not take part, or only by its code.
served_soft() ->
    {S1, T1, T2} = {stock(1), till(1, ""), till(2, asks("limit"))},
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 2),
    {new, _, Es} = upgrade(job([module(T2, T1)], steps([t_till, t_stock], [t_till], [t_till]), #{})),
    2 = served(3, Es),
    {1, 7, 2} = state(Q),
    [{2, 1, {limit, 1, 7}}, {2, 2, {limit, 1, 7}}] = [state(P) || P <- Ps],
    traces([Q | Ps]),
    over([Q | Ps]).

%% What the call has changed is put back: of one that is converted, and of one that is not.
served_undone() ->
    [begin
        {S1, S2, T1} = {stock(1), stock(2), till(1, "")},
        T2 = till(2, "case {gen_server:call(t_front,limit),X} of {_,2} -> timer:sleep(100), error(torn); {L,_} -> L end"),
        Q = begin_stock(S1),
        Ps = begin_tills(T1, 3),
        {Modules, Load, Change} = case Converts of
            true -> {[module(S2, S1), module(T2, T1)], [t_stock, t_till], [t_stock, t_till]};
            false -> {[module(T2, T1)], [t_till], [t_till]}
        end,
        {old, #{reason := {conversion_failed, #{reason := Why}}}, _} = upgrade(job(Modules, steps([t_till, t_stock], Load, Change), #{})),
        {match, _} = re:run(Why, "torn"),
        {1, 7, 0} = state(Q),
        [{1, 1}, {1, 2}, {1, 3}] = [state(P) || P <- Ps],
        is_now(T1), is_now(S1),
        traces([Q | Ps]),
        over([Q | Ps])
     end || Converts <- [true, false]].

%% A supervisor's new init/1 asks one of its children.
served_supervisor() ->
    Sup = fun(V, Ask) -> compile(io_lib:format("-module(t_sup). -vsn(\"~b\"). -export([init/1,v/0]). v() -> ~b. "
        "init(_) -> ~s {ok,{{one_for_one,1,5},[{stock,{gen_server,start_link,[{local,t_front},t_stock,7,[]]},permanent,~b000,worker,[t_stock]}]}}.", [V, V, Ask, V])) end,
    {S1, S2, V1, V2} = {stock(1), stock(2), Sup(1, ""), Sup(2, "{limit,2,7} = gen_server:call(t_front,limit),")},
    load(S1), load(V1),
    {ok, P} = supervisor:start_link(t_sup, x),
    unlink(P),
    {new, _, Es} = upgrade(job([module(S2, S1), module(V2, V1)], steps([t_sup, t_stock], [t_stock, t_sup], [t_sup, t_stock]), #{supervisors => [t_sup]})),
    1 = served(3, Es),
    {2, 7, 1} = state(t_front),
    {ok, #{shutdown := 2000}} = supervisor:get_childspec(P, stock),
    traces([P, whereis(t_front)]),
    Front = whereis(t_front),
    over([P, Front]).

statem(V, Mode, Result) ->
    {X, Head} = case Mode of handle_event_function -> {"handle_event/4", "handle_event({call,F},limit,on,D)"}; _ -> {"on/3", "on({call,F},limit,D)"} end,
    compile(io_lib:format("-module(t_stm). -vsn(\"~b\"). -export([init/1,callback_mode/0,v/0,~s]). v() -> ~b. init(N) -> {ok,on,N}. callback_mode() -> ~s. "
        "~s -> ~s.", [V, X, V, Mode, Head, Result])).

served_statem() ->
    [begin
        {T1, T2} = {till(1, ""), till(2, asks("limit"))},
        V1 = statem(1, Mode, Result),
        load(V1),
        {ok, Q} = gen_statem:start({local, t_front}, t_stm, 7, []),
        Ps = begin_tills(T1, case Data of blocked -> 1; _ -> 2 end),
        {Outcome, Info, Es} = upgrade(job([module(T2, T1), module(V1, V1)], steps([t_till, t_stm], [t_till], [t_till]), #{})),
        case Data of
            blocked -> {old, #{reason := {conversion_failed, #{blocked_by := #{pid := Q, why := returned}}}}} = {Outcome, Info}, timer:sleep(20);
            _ -> {new, 2} = {Outcome, served(3, Es)}, [{2, 1, _}, {2, 2, _}] = [state(P) || P <- Ps], {on, Data} = sys:get_state(Q)
        end,
        traces([Q | Ps]),
        over([Q | Ps])
     end || {Mode, Result, Data} <- [{handle_event_function, "{keep_state_and_data,[{reply,F,D}]}", 7}, {state_functions, "{keep_state,D+1,{reply,F,D}}", 9},
                                     {handle_event_function, "{next_state,on,D+1,[{reply,F,D},hibernate]}", 9}, {handle_event_function, "{next_state,off,D,[{reply,F,D}]}", blocked},
                                     {state_functions, "{keep_state,D,[{reply,F,D},{state_timeout,50,x}]}", blocked}]].

%% The called one is a supervisor.
served_by_supervisor() ->
    Sup = compile("-module(t_sup). -vsn(\"1\"). -export([init/1]). init(_) -> {ok,{{one_for_one,1,5},[]}}."),
    {T1, T2} = {till(1, ""), till(2, "length(supervisor:which_children(t_front))")},
    load(Sup),
    {ok, Q} = supervisor:start_link({local, t_front}, t_sup, x),
    unlink(Q),
    Ps = begin_tills(T1, 2),
    {new, _, Es} = upgrade(job([module(T2, T1)], steps([t_till, t_sup], [t_till], [t_till]), #{supervisors => [t_sup]})),
    2 = served(3, Es),
    [{2, 1, 0}, {2, 2, 0}] = [state(P) || P <- Ps],
    traces([Q | Ps]),
    over([Q | Ps]).

%% To answer, it asks a third one, which is converted later.
served_nested() ->
    More = "handle_call(deep,_,{V,N,C}) -> {reply,{deep,gen_server:call(t_back,limit)},{V,N,C+1}};",
    {S1, S2, B1, B2} = {stock(1, More), stock(2, More), stock(t_bstock, 1, ""), stock(t_bstock, 2, "")},
    {T1, T2} = {till(1, ""), till(2, asks("deep"))},
    load(B1),
    {ok, B} = gen_server:start({local, t_back}, t_bstock, 8, []),
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 3),
    Ms = [t_till, t_stock, t_bstock],
    {new, _, Es} = upgrade(job([module(T2, T1), module(S2, S1), module(B2, B1)], steps(Ms, Ms, Ms), #{})),
    6 = served(3, Es),
    [{2, 1, {deep, {limit, 2, 8}}} | _] = [state(P) || P <- Ps],
    {2, 7, 3} = state(Q),
    {2, 8, 3} = state(B),
    traces([B, Q | Ps]),
    over([B, Q | Ps]).

%% A process between them.
served_by_a_task() ->
    Task = "begin {_,M} = spawn_monitor(fun() -> exit({is,gen_server:call(t_front,limit)}) end), receive {'DOWN',M,process,_,{is,L}} -> L end end",
    {S1, S2, T1, T2} = {stock(1), stock(2), till(1, ""), till(2, Task)},
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 3),
    {new, _, Es} = upgrade(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{})),
    3 = served(3, Es),
    [{2, 1, {limit, 2, 7}} | _] = [state(P) || P <- Ps],
    traces([Q | Ps]),
    over([Q | Ps]).

served_many() ->
    {S1, S2, T1, T2} = {stock(1), stock(2), till(1, ""), till(2, "{" ++ asks("limit") ++ "," ++ asks("peek") ++ "}")},
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 3000),
    {new, #{suspended_us := Us}, Es} = upgrade(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{suspend_timeout => 5000})),
    true = Us < 5000000,
    6000 = served(3, Es),
    {2, 7, 3000} = state(Q),
    [{2, _, {{limit, 2, 7}, {peek, 2, 7}}} = state(P) || P <- Ps],
    traces([Q | Ps]),
    over([Q | Ps]).

%% One of a module asks another of the same module.
served_same_module() ->
    Ask = "case X of 1 -> timer:sleep(40), {2,2,_} = gen_server:call(t_second,state); _ -> x end",
    {T1, T2} = {till(1, ""), till(2, Ask)},
    [P, Q] = begin_tills(T1, 2),
    register(t_second, Q),
    {new, _, Es} = upgrade(job([module(T2, T1)], steps([t_till], [t_till], [t_till]), #{})),
    1 = served(3, Es),
    {2, 1, {2, 2, x}} = state(P),
    {2, 2, x} = state(Q),
    traces([P, Q]),
    over([P, Q]).

served_continue() ->
    More = "handle_call(on,_,S) -> {reply,on,S,{continue,more}}; handle_call(later,F,S) -> spawn(fun() -> gen_server:reply(F,late) end), {noreply,S,hibernate};",
    {S1, S2, T1, T2} = {stock(1, More), stock(2, More), till(1, ""), till(2, "{" ++ asks("on") ++ "," ++ asks("later") ++ "}")},
    Q = begin_stock(S1),
    [P] = begin_tills(T1, 1),
    {new, _, _} = upgrade(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{})),
    {2, 1, {on, late}} = state(P),
    {2, 7, 100} = state(Q),
    traces([P, Q]),
    over([P, Q]).

on_load(V, Ask) ->
    compile(io_lib:format("-module(t_conf). -vsn(\"~b\"). -on_load(f/0). -export([v/0]). v() -> persistent_term:get(t_conf). f() -> ~s.", [V, Ask])).

%% The function asks one that is not converted yet.
served_on_load() ->
    {S1, S2} = {stock(1), stock(2)},
    {C1, C2} = {on_load(1, "persistent_term:put(t_conf,1)"), on_load(2, "persistent_term:put(t_conf,gen_server:call(t_front,limit))")},
    Q = begin_stock(S1),
    load(C1),
    Steps = steps([t_stock], [t_stock, t_conf], [t_stock]),
    {new, _, Es} = upgrade(job([module(S2, S1), (module(C2, C1))#{on_load => true}], Steps, #{})),
    1 = served(2, Es),
    [#{processes := 1}] = [I || {step_finished, 3, _, I} <- Es],
    {limit, 2, 7} = t_conf:v(),
    {2, 7, 1} = state(Q),
    traces([Q]),
    over([Q]).

down(Suspend, Load, Change) ->
    [{1, {suspend, [[{M, default}] || M <- Suspend]}}, {2, {code_change, down, [{M, {advanced, extra}} || M <- Change]}}, {3, {load, Load}},
     {4, {resume, lists:reverse(Suspend)}}].

%% On the way down nothing is switched yet: one that is not converted answers in the code that runs.
served_down() ->
    {S2, S1} = {stock(2), stock(1)},
    T2 = compile("-module(t_till). -vsn(\"2\"). -export([init/1,handle_call/3,code_change/3]). init(X) -> {ok,{2,X}}. handle_call(state,_,S) -> {reply,S,S}. "
                 "code_change({down,_},{2,X},_) -> {ok,{1,X,gen_server:call(t_front,limit)}}."),
    T1 = till(1, ""),
    Q = begin_stock(S2),
    [P] = begin_tills(T2, 1),
    {old, _, Es} = upgrade(job([module(S1, S2), module(T1, T2)], down([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{goal => old})),
    1 = served(2, Es),
    {1, 1, {limit, 2, 7}} = state(P),
    {1, 7, 1} = state(Q),
    traces([P, Q]),
    over([P, Q]).

%% One that is converted answers from the state before, when that stays as it is.
served_down_from_aside() ->
    [begin
        {S2, S1} = {stock(2), stock(1)},
        T2 = compile(["-module(t_till). -vsn(\"2\"). -export([init/1,handle_call/3,code_change/3]). init(X) -> {ok,{2,X}}. handle_call(state,_,S) -> {reply,S,S}. "
                      "code_change({down,_},{2,X},_) -> {ok,{1,X,", asks(What), "}}."]),
        T1 = till(1, ""),
        Q = begin_stock(S2),
        [P] = begin_tills(T2, 1),
        {Outcome, Info, _} = upgrade(job([module(S1, S2), module(T1, T2)], down([t_till, t_stock], [t_stock, t_till], [t_stock, t_till]), #{goal => old})),
        case What of
            "peek" -> old = Outcome, {1, 1, {peek, 2, 7}} = state(P), {1, 7, 0} = state(Q);
            "limit" ->
                {new, #{reason := {conversion_failed, #{blocked_by := #{why := returned}}}}} = {Outcome, Info},
                {2, 1} = state(P), {2, 7, 1} = state(Q)
        end,
        traces([P, Q]),
        over([P, Q])
     end || What <- ["peek", "limit"]].

%% A special process calls in system_code_change.
served_special_caller() ->
    Special = fun(V, Ask) -> compile(io_lib:format("-module(t_sp). -vsn(\"~b\"). -export([start/1,init/2,loop/2,system_continue/3,system_terminate/4,system_code_change/4,system_get_state/1,system_replace_state/2,v/0]). v() -> ~b. "
        "start(X) -> proc_lib:start(t_sp,init,[self(),X]). init(P,X) -> proc_lib:init_ack({ok,self()}), loop(P,X). "
        "loop(P,S) -> receive {system,F,R} -> sys:handle_system_msg(R,F,P,t_sp,[],S); {ask,A} -> A ! {is,S}, loop(P,S) end. system_continue(P,_,S) -> t_sp:loop(P,S). system_terminate(R,_,_,_) -> exit(R). "
        "system_get_state(S) -> {ok,S}. system_replace_state(F,S) -> N = F(S), {ok,N,N}. system_code_change(S,_,_,_) -> {ok,~s}.", [V, V, Ask])) end,
    {S1, S2, V1, V2} = {stock(1), stock(2), Special(1, "S"), Special(2, "{S,gen_server:call(t_front,limit)}")},
    Q = begin_stock(S1),
    load(V1),
    {ok, P} = t_sp:start(5),
    {new, _, Es} = upgrade(job([module(S2, S1), module(V2, V1)], steps([t_sp, t_stock], [t_stock, t_sp], [t_sp, t_stock]), #{})),
    1 = served(3, Es),
    P ! {ask, self()},
    {5, {limit, 2, 7}} = receive {is, S} -> S after 1000 -> none end,
    traces([P, Q]),
    over([P, Q]).

%% ---------------------------------------------------------------------------------------------------------------
%% What cannot be answered fails at once

fails_at_once(Job, Why) ->
    {old, #{suspended_us := Us, reason := {conversion_failed, #{blocked_by := #{why := Why}} = Failure}}, _} = upgrade(Job),
    %% Those of a circle are free when their calls give up.
    true = Us < 1000000 orelse Why =:= circle,
    Failure.

%% Two conversions that wait for each other.
blocked_circle() ->
    {A1, B1} = {till(t_ta, 1, ""), till(t_tb, 1, "")},
    {A2, B2} = {till(t_ta, 2, "gen_server:call(t_b,state)"), till(t_tb, 2, "gen_server:call(t_a,state)")},
    load(A1), load(B1),
    {ok, A} = gen_server:start({local, t_a}, t_ta, 1, []),
    {ok, B} = gen_server:start({local, t_b}, t_tb, 2, []),
    #{blocked_by := #{pid := By}, pid := P} =
        fails_at_once(job([module(A2, A1), module(B2, B1)], steps([t_ta, t_tb], [t_ta, t_tb], [t_ta, t_tb]), #{}), circle),
    [] = [A, B] -- [By, P],
    [{1, 1}, {1, 2}] = [state(X) || X <- [A, B]],
    is_now(A1), is_now(B1),
    traces([A, B]),
    over([A, B]).

blocked_by(More, Asks, Pattern) ->
    {S1, S2, T1, T2} = {stock(1, More), stock(2, More), till(1, ""), till(2, asks(Asks))},
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 2),
    #{reason := Why, blocked_by := #{pid := Q, module := t_stock}} =
        fails_at_once(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{}), returned),
    {match, _} = re:run(Why, Pattern),
    is_now(S1), is_now(T1),
    [{1, 1}, {1, 2}] = [state(P) || P <- Ps],
    {Q, Ps}.

%% The request stays, and the version that is back handles it.
blocked_stop() ->
    {Q, Ps} = blocked_by("handle_call(stop,_,S) -> {stop,normal,bye,S};", "stop", "`stop, _, _, _`"),
    wait(fun() -> not is_process_alive(Q) end, stopped),
    over(Ps).

blocked_time_out() ->
    {Q, Ps} = blocked_by("handle_call(soon,_,S) -> {reply,soon,S,5000};", "soon", "`reply, _, _, Time-out`"),
    {1, 7, 0} = state(Q),
    traces([Q | Ps]),
    over([Q | Ps]).

blocked_raises() ->
    {Q, Ps} = blocked_by("handle_call(odd,_,{2,_,_}) -> error(odd); handle_call(odd,_,S) -> {reply,odd,S};", "odd", "error:odd in t_stock:handle_call/3"),
    {1, 7, 0} = state(Q),
    traces([Q | Ps]),
    over([Q | Ps]).

%% A manager of event handlers does not answer one call alone.
blocked_kind() ->
    H = compile("-module(t_h). -export([init/1,handle_event/2,handle_call/2]). init(X) -> {ok,X}. handle_event(_,S) -> {ok,S}. handle_call(_,S) -> {ok,S,S}."),
    {T1, T2} = {till(1, ""), till(2, "gen_event:call(t_front,t_h,x)")},
    load(H),
    {ok, Q} = gen_event:start({local, t_front}),
    ok = gen_event:add_handler(Q, t_h, 3),
    Ps = begin_tills(T1, 2),
    #{blocked_by := #{pid := Q, module := t_h}} =
        fails_at_once(job([module(T2, T1)], steps([t_till, t_h], [t_till], [t_till]), #{handlers => [t_h]}), kind),
    3 = gen_event:call(Q, t_h, x),
    traces([Q | Ps]),
    over([Q | Ps]).

%% The function is ended before the undo, and nothing of it comes later.
blocked_on_load() ->
    More = "handle_call(stop,_,S) -> {stop,normal,bye,S};",
    {S1, S2} = {stock(1, More), stock(2, More)},
    {C1, C2} = {on_load(1, "persistent_term:put(t_conf,1)"), on_load(2, "persistent_term:put(t_conf,gen_server:call(t_front,stop))")},
    Q = begin_stock(S1),
    load(C1),
    {old, #{reason := {on_load_blocked, #{module := t_conf, by := #{pid := Q, why := returned, text := Why}}}}, _} =
        upgrade(job([module(S2, S1), (module(C2, C1))#{on_load => true}], steps([t_stock], [t_stock, t_conf], [t_stock]), #{})),
    {match, _} = re:run(Why, "`stop, _, _, _`"),
    1 = t_conf:v(),
    is_now(S1),
    wait(fun() -> not is_process_alive(Q) end, stopped).

%% Processes that monitor each other and only take their time.
served_no_false_circle() ->
    Watch = "begin erlang:monitor(process,case X of 1 -> t_b; _ -> t_a end), timer:sleep(150), x end",
    {T1, T2} = {till(1, ""), till(2, Watch)},
    [A, B] = begin_tills(T1, 2),
    register(t_a, A), register(t_b, B),
    {new, _, Es} = upgrade(job([module(T2, T1)], steps([t_till], [t_till], [t_till]), #{})),
    0 = served(3, Es),
    [{2, 1, x}, {2, 2, x}] = [state(X) || X <- [A, B]],
    traces([A, B]),
    over([A, B]).

%% Others that call it are answered behind the window, by the new version, in their order.
served_others_wait() ->
    {S1, S2, T1, T2} = {stock(1), stock(2), till(1, ""), till(2, asks("limit"))},
    Q = begin_stock(S1),
    Ps = begin_tills(T1, 3),
    sys:suspend(Q),
    Me = self(),
    [spawn(fun() -> Me ! {other, I, gen_server:call(t_front, limit, 10000)} end) || I <- [1, 2, 3]],
    timer:sleep(50),
    spawn(fun() -> timer:sleep(1), sys:resume(Q) end),
    timer:sleep(20),
    {new, _, Es} = upgrade(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{})),
    3 = served(3, Es),
    [receive {other, I, {limit, _, 7}} -> ok after 1000 -> error({lost, I}) end || I <- [1, 2, 3]],
    {2, 7, 6} = state(Q),
    traces([Q | Ps]),
    over([Q | Ps]).

%% ---------------------------------------------------------------------------------------------------------------
%% When a process of the agent dies

%% The slow till keeps the step open.
killed(Which) ->
    [begin
        {S1, S2, T1} = {stock(1), stock(2), till(1, "")},
        T2 = till(2, "begin L = gen_server:call(t_front,limit), timer:sleep(100), L end"),
        Q = begin_stock(S1),
        Ps = begin_tills(T1, 5),
        flush(),
        spawn(fun() ->
            wait(fun() -> whereis(updo_run) =/= undefined end, begun),
            G = whereis(updo_run),
            %% Until tills have new code.
            wait(fun() -> is_now_quiet(T2) end, switched),
            timer:sleep(Delay),
            P = case Which of guardian -> G; executor -> executor_of(G) end,
            is_pid(P) andalso exit(P, kill)
        end),
        {Outcome, _, _} = upgrade(job([module(S2, S1), module(T2, T1)], steps([t_till, t_stock], [t_stock, t_till], [t_till, t_stock]), #{})),
        case Outcome of
            new -> [{2, 1, {limit, 2, 7}} | _] = [state(P) || P <- Ps], {2, 7, N} = state(Q), {Delay, 5} = {Delay, N}, is_now(T2);
            %% Calls that were not answered yet reach the version that is back.
            old -> [{1, 1} | _] = [state(P) || P <- Ps], {1, 7, N} = state(Q), true = N =< 5, is_now(T1)
        end,
        traces([Q | Ps]),
        over([Q | Ps]),
        clean()
     end || Delay <- [0, 15, 30, 40, 60, 90, 120]].

is_now_quiet({M, _} = V) -> try agent_tests:md5(V) =:= M:module_info(md5) catch _:_ -> false end.

executor_of(G) ->
    case process_info(G, monitors) of
        {_, Ms} ->
            Local = [P || {process, P} <- Ms, is_pid(P), node(P) =:= node(), P =/= self()],
            case [P || P <- Local, {_, D} <- [process_info(P, dictionary)], lists:keymember(job, 1, D)] of [P | _] -> P; [] -> none end;
        undefined -> none
    end.

served_executor_killed() -> killed(executor).
served_guardian_killed() -> killed(guardian).

served_interpreted() -> interpreted(fun() -> served_before_its_turn(), served_undone(), blocked_stop(), blocked_circle() end).
