%% The switch with no process suspended. Part of agent_tests.erl, which runs them.
%% What makes shims is not the agent's business: here they are made from source, by names exchanged.
-module(live_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [load/1, module/2, job/3, start/2, ask/1, clean/0, run/1, settle/0, upgrade/1, is_now/1, wait/2, boot_fast/1,
                      until_finished/1, failure/1]).

tests() -> [live_servers, live_busy, live_progress, live_fails, live_fails_in_callback, live_fails_late, live_born, live_aborted, live_aborted_slowly, live_moved_on, live_terminates, live_by_hand,
            live_executor_killed, live_guardian_killed, live_all_killed, live_all_killed_going_back, live_killed_going_back, live_unfit, live_funs_elsewhere, live_funs_later, live_waits_for_another, live_settled, live_old_code, live_embedded].

%% Version 1 has the state {1, X, Events}, version 2 {2, X, Events, Vsn}.
text(M, 1) ->
    io_lib:format("-module(~s). -vsn(\"1.0\"). -export([init/1,handle_call/3,handle_cast/2,handle_info/2,terminate/2,v/0,loop/0,f/0]). v() -> 1. f() -> fun() -> 1 end. "
        "init(F) when is_function(F) -> {ok,{1,F(),0}}; init(X) -> {ok,{1,X,0}}. "
        "handle_call({eval,F},_,{1,X,N}) -> F(), {reply,{1,X,N+1},{1,X,N+1}}; handle_call(state,_,{1,_,_}=S) -> {reply,S,S}. "
        "handle_cast(die,{1,_,_}) -> exit(died); handle_cast({late,P,T},{1,X,N}) -> P ! inside, receive go -> ok end, ets:insert(T,{f,f()}), {noreply,{1,X,N+1}}; handle_cast(F,{1,X,N}) -> F(), {noreply,{1,X,N+1}}. handle_info({put,X},{1,_,N}) -> {noreply,{1,X,N}}. "
        "terminate(_,{1,X,_}=S) when is_pid(X) -> X ! {terminated,S}; terminate(_,_) -> ok. "
        "loop() -> receive stop -> ok; {call,P,X} -> P ! ~s:handle_call(state,x,X), loop() end.", [M, M]);
text(M, 2) -> text2(M, "");
text(M, {2, Bad}) -> text2(M, Bad).

text2(M, Bad) ->
    io_lib:format("-module(~s). -vsn(\"2.0\"). -export([init/1,handle_call/3,handle_cast/2,handle_info/2,terminate/2,code_change/3,v/0,loop/0]). v() -> 2. "
        "init(F) when is_function(F) -> {ok,{2,F(),0,born}}; init(X) -> {ok,{2,X,0,born}}. "
        "handle_call({eval,F},_,{2,X,N,V}) -> F(), {reply,{2,X,N+1,V},{2,X,N+1,V}}; handle_call(state,_,{2,_,_,_}=S) -> {reply,S,S}. "
        "handle_cast(die,{2,_,_,_}) -> exit(died); handle_cast(F,{2,X,N,V}) -> F(), {noreply,{2,X,N+1,V}}. handle_info({put,X},{2,_,N,V}) -> {noreply,{2,X,N,V}}. "
        "terminate(_,{2,X,_,_}=S) when is_pid(X) -> X ! {terminated,S}; terminate(_,_) -> ok. "
        "loop() -> receive stop -> ok end. "
        "~s code_change({down,_},{2,X,N,_},_) -> {ok,{1,X,N}}; code_change(V,{1,X,N},E) -> {ok,{2,X,N,{V,E}}}.", [M, Bad]).

forms(Text) ->
    {ok, Ts, _} = erl_scan:string(lists:flatten(Text)),
    [begin {ok, F} = erl_parse:parse_form(Part), F end || Part <- agent_tests:split(Ts, [], [])].

made(Forms) -> {ok, M, B} = compile:forms(Forms, [binary]), {M, B}.

version(M, V) -> made(forms(text(M, V))).
twin(M, V) -> made([case F of {attribute, 1, module, M} -> {attribute, 1, module, twin_name(M)}; _ -> F end || F <- forms(text(M, V))]).
twin_name(M) -> list_to_atom(atom_to_list(M) ++ "@updo").

%% {Function, Arity, place of the state}
callbacks() -> [{init, 1, 1}, {handle_call, 3, 3}, {handle_cast, 2, 2}, {handle_info, 2, 2}, {terminate, 2, 2}, {code_change, 3, 2}].

shim(M, V, About) ->
    Forms = forms(text(M, V)),
    Is = fun(F, A) -> [P || {G, B, P} <- callbacks(), G =:= F, B =:= A] end,
    {M, B} = made(lists:append([case Form of
        {function, L, F, A, Clauses} ->
            case Is(F, A) of
                [] -> [Form];
                [P] -> [{function, L, real(F), A, Clauses}, in_front(F, A, P, About)]
            end;
        {attribute, L, export, Es} -> [{attribute, L, export, Es}, {attribute, L, updo_shim_key, maps:get(key, About)}];
        {eof, _} -> [];
        _ -> [Form]
    end || Form <- Forms])),
    B.

real(F) -> list_to_atom("real " ++ atom_to_list(F)).

in_front(F, A, P, About) ->
    Vars = [{var, 1, list_to_atom("V" ++ integer_to_list(I))} || I <- lists:seq(1, A)],
    Key = erl_parse:abstract(maps:get(key, About)),
    State = {call, 1, {remote, 1, {atom, 1, updo_agent_7f2a}, {atom, 1, live}}, Vars ++ [{atom, 1, F}, erl_parse:abstract(About)]},
    Call = fun(Args) -> {call, 1, {atom, 1, real(F)}, Args} end,
    Replaced = lists:sublist(Vars, P - 1) ++ [{var, 1, 'S'}] ++ lists:nthtail(P, Vars),
    {function, 1, F, A, [{clause, 1, Vars, [], [
        {'case', 1, {call, 1, {atom, 1, get}, [Key]},
         [{clause, 1, [{atom, 1, true}], [], [Call(Vars)]},
          {clause, 1, [{var, 1, '_'}], [], [{match, 1, {var, 1, 'S'}, State}, Call(Replaced)]}]}]}]}.

about(M) -> #{way => up, key => updo_live_7f2a, other => updo_live_7f2a_back, module => M, vsn => "1.0", extra => extra, twin => none, kind => server}.
back_about(M) -> (about(M))#{way => down, key => updo_live_7f2a_back, other => updo_live_7f2a, vsn => {down, "1.0"}, twin => twin_name(M)}.

job_of(Ms) -> job_of(Ms, 2, #{}).
job_of(Ms, V, More) ->
    Lives = [#{name => M, shim => shim(M, V, about(M)), back => shim(M, 1, back_about(M)), about => about(M), back_about => back_about(M), funs => maps:get(old_funs, More, false)} || M <- Ms],
    Twins = [#{name => M, twin => twin_name(M), new => element(2, twin(M, V)), funs => 0} || M <- Ms],
    Steps = [{1, {live, Ms, Ms}}],
    Modules = [(module(version(M, V), version(M, 1)))#{old_funs => maps:get(old_funs, More, false)} || M <- Ms],
    job(Modules, Steps, maps:merge(#{live => Lives, twins => Twins, back => [none]}, More)).

old(M) -> load(version(M, 1)).

keys(P) ->
    {_, D} = process_info(P, dictionary),
    [K || {K, _} <- D, is_atom(K), lists:prefix("updo", atom_to_list(K)) orelse lists:prefix("$updo", atom_to_list(K))].

clean_keys(Ps) -> wait(fun() -> [K || P <- Ps, is_process_alive(P), K <- keys(P)] =:= [] end, keys_left).

is_old(M) ->
    {_, B} = version(M, 1),
    true = M:module_info(md5) =:= code:module_md5(B).

%% Calls that go on all the time: every one is answered, by one version or the other.
caller(Ps) ->
    Me = self(),
    spawn_link(fun() -> call_on(Ps, Me, 0) end).

call_on(Ps, Me, N) ->
    receive stop -> Me ! {called, N}
    after 0 ->
        [case gen_server:call(P, {eval, fun() -> ok end}) of {1, _, _} -> ok; {2, _, _, _} -> ok end || P <- Ps],
        call_on(Ps, Me, N + length(Ps))
    end.

stop(C) -> C ! stop, receive {called, N} -> N after 10000 -> error(caller) end.

live_servers() ->
    old(t_live),
    Ps = [start(t_live, I) || I <- lists:seq(1, 300)],
    C = caller(lists:sublist(Ps, 20)),
    {new, _, Es} = upgrade(job_of([t_live])),
    true = stop(C) > 0,
    is_now(version(t_live, 2)),
    [{2, I, _, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 300), Ps)],
    clean_keys(Ps),
    {step_finished, 1, _, #{processes := 300, swept := Swept, through := Through}} =
        lists:keyfind(1, 2, [E || E <- Es, element(1, E) =:= step_finished]),
    300 = Swept + Through,
    [] = [E || {step_started, S} = E <- Es, S > 1].

%% One that is in a callback for long ends it in the old version; what it calls by its full name is the new one.
live_busy() ->
    old(t_live),
    [A, B] = [start(t_live, I) || I <- [a, b]],
    Me = self(),
    gen_server:cast(A, fun() -> Me ! {in, t_live:v()}, receive go -> Me ! {out, t_live:v()} end end),
    receive {in, 1} -> ok end,
    {ok, _} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    {2, b, 1, {"1.0", extra}} = gen_server:call(B, {eval, fun() -> ok end}),
    timer:sleep(100),
    A ! go,
    receive {out, 2} -> ok end,
    {new, _, Es} = until_finished([]),
    settle(),
    {2, a, 1, {"1.0", extra}} = ask(A),
    clean_keys([A, B]),
    is_now(version(t_live, 2)),
    {step_finished, 1, _, #{processes := 2, inside := 1}} =
        lists:keyfind(1, 2, [E || E <- Es, element(1, E) =:= step_finished]).

%% Where none is busy, answers come all the time, and how far it is is said all the same.
live_progress() ->
    old(t_live),
    [start(t_live, I) || I <- lists:seq(1, 1000)],
    Slow = "code_change(V,{1,X,N},E) when V =/= x -> 0 = lists:foldl(fun(_, Z) -> Z end, 0, lists:seq(1, 100000)), {ok,{2,X,N,{V,E}}};",
    {new, _, Es} = upgrade(job_of([t_live], {2, Slow}, #{})),
    [_ | _] = [Done || {step_progress, 1, Done, 1000, []} <- Es, Done > 0, Done < 1000],
    {step_finished, 1, _, #{processes := 1000, inside := 0}} =
        lists:keyfind(1, 2, [E || E <- Es, element(1, E) =:= step_finished]).

%% Every process is as it was, those that were converted already as well.
live_fails() ->
    old(t_live),
    Ps = [start(t_live, I) || I <- lists:seq(1, 100)],
    C = caller(lists:sublist(Ps, 20)),
    Job = job_of([t_live], {2, "code_change(_,{1,70,_},_) -> error(no);"}, #{}),
    {old, #{reason := {conversion_failed, #{module := t_live, failed := 1}}}, _} = upgrade(Job),
    true = stop(C) > 0,
    is_old(t_live),
    [{1, I, _} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 100), Ps)],
    clean_keys(Ps).

%% The same by a callback: its caller waits for the old version, which answers.
live_fails_in_callback() ->
    old(t_live),
    [A, B] = [start(t_live, I) || I <- [1, 70]],
    Me = self(),
    gen_server:cast(A, fun() -> receive go -> ok end end),
    gen_server:cast(B, fun() -> receive go -> Me ! went end end),
    spawn_link(fun() -> Me ! {answer, gen_server:call(B, {eval, fun() -> ok end})} end),
    {ok, _} = boot_fast(job_of([t_live], {2, "code_change(_,{1,70,_},_) -> error(no);"}, #{})),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    timer:sleep(100),
    B ! go,
    timer:sleep(200),
    A ! go,
    {old, #{reason := {conversion_failed, #{pid := B}}}, _} = until_finished([]),
    settle(),
    receive {answer, {1, 70, 2}} -> ok after 5000 -> error(no_answer) end,
    {1, 1, 1} = ask(A),
    {1, 70, 2} = ask(B),
    is_old(t_live),
    clean_keys([A, B]).

%% One converts while another has failed already, and fails when the shim of the way back is there.
live_fails_late() ->
    old(t_live),
    [A, B] = [start(t_live, I) || I <- [70, 71]],
    Me = self(),
    gen_server:cast(A, fun() -> receive go -> ok end end),
    gen_server:cast(B, fun() -> receive go -> ok end end),
    %% Before what the agent asks.
    spawn_link(fun() -> Me ! {answer, gen_server:call(B, {eval, fun() -> ok end}, 20000)} end),
    wait(fun() -> {message_queue_len, 1} =:= process_info(B, message_queue_len) end, call),
    {ok, _} = boot_fast(job_of([t_live], {2, "code_change(_,{1,70,_},_) -> error(no); code_change(_,{1,71,_},_) -> t_late ! {converting,self()}, receive fail -> error(late) end;"}, #{})),
    register(t_late, Me),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    B ! go,
    receive {converting, B} -> ok end,
    A ! go,
    wait(fun() -> t_live:v() =:= 1 end, back),
    B ! fail,
    {old, #{reason := {conversion_failed, #{pid := A}}}, _} = until_finished([]),
    settle(),
    receive {answer, {1, 71, 2}} -> ok after 5000 -> error(no_answer) end,
    unregister(t_late),
    [{1, 70, 1}, {1, 71, 2}] = [ask(P) || P <- [A, B]],
    is_old(t_live),
    clean_keys([A, B]).

%% Before, during and after; one is still in the init of the old version.
live_born() ->
    old(t_live),
    Me = self(),
    Slow = spawn_link(fun() -> {ok, P} = gen_server:start(t_live, fun() -> Me ! {in, self()}, receive go -> slow end end, []), Me ! {slow, P}, receive stop -> ok end end),
    Born = receive {in, P0} -> P0 end,
    A = start(t_live, a),
    {ok, _} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    B = start(t_live, b),
    {2, b, 0, born} = ask(B),
    Born ! go,
    receive {slow, Born} -> ok end,
    {new, _, _} = until_finished([]),
    settle(),
    {2, slow, 0, {"1.0", extra}} = ask(Born),
    {2, a, 0, {"1.0", extra}} = ask(A),
    {2, b, 0, born} = ask(B),
    Slow ! stop,
    clean_keys([A, B, Born]),
    is_now(version(t_live, 2)).

%% Called off while one of them is still in the old version: what was converted is put back as it was.
live_aborted() ->
    {Ps, G} = held(50),
    G ! updo_abort,
    timer:sleep(200),
    went_back(Ps).

%% Who is left is said on the way back as well.
live_aborted_slowly() ->
    {[A | _] = Ps, G} = held(50),
    G ! updo_abort,
    timer:sleep(2500),
    Es = went_back(Ps),
    Text = list_to_binary(pid_to_list(A)),
    [_ | _] = [E || {step_progress, 1, 0, 1, [#{pid := P}]} = E <- tl(lists:dropwhile(fun(E) -> element(1, E) =/= undo_started end, Es)),
                    P =:= Text].

%% One that has had events since is taken back by code_change.
live_moved_on() ->
    old(t_live),
    [A, B, C] = [start(t_live, I) || I <- [a, b, c]],
    gen_server:cast(A, fun() -> receive go -> ok end end),
    {ok, G} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    [{2, b, N, _} = gen_server:call(B, {eval, fun() -> ok end}) || N <- [1, 2, 3]],
    D = start(t_live, d),
    {2, d, 1, born} = gen_server:call(D, {eval, fun() -> ok end}),
    G ! updo_abort,
    A ! go,
    {old, _, _} = until_finished([]),
    settle(),
    [{1, a, 1}, {1, b, 3}, {1, c, 0}, {1, d, 1}] = [ask(P) || P <- [A, B, C, D]],
    is_old(t_live),
    clean_keys([A, B, C, D]).

%% When the first callback ends it, terminate/2 of the new version gets a state of its own.
live_terminates() ->
    old(t_live),
    [A, B] = [start(t_live, X) || X <- [self(), b]],
    gen_server:cast(A, fun() -> receive go -> ok end end),
    gen_server:cast(A, die),
    {ok, _} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    A ! go,
    Me = self(),
    receive {terminated, {2, Me, 1, {"1.0", extra}}} -> ok after 5000 -> error(terminate) end,
    {new, _, _} = until_finished([]),
    settle(),
    {2, b, 0, {"1.0", extra}} = ask(B).

%% Processes are looked at, suspended and converted by hand meanwhile.
live_by_hand() ->
    old(t_live),
    [A, B, C] = [start(t_live, X) || X <- [a, b, c]],
    gen_server:cast(A, fun() -> receive go -> ok end end),
    ok = sys:suspend(C),
    {1, c, 0} = sys:get_state(C),
    {ok, _} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    %% Before it was asked: by a process that is one of the module's, as far as it can be seen.
    Me = self(),
    spawn_link(fun() ->
                   put('$initial_call', {t_live, init, 1}),
                   {ok, S} = (catch t_live:code_change("1.0", {1, x, 0}, by_hand)),
                   {reply, S, S} = t_live:handle_call(state, from, S),
                   {reply, S, S} = t_live:handle_call(state, from, S),
                   Me ! {by_hand, S, keys(self())}
               end),
    receive {by_hand, {2, x, 0, {"1.0", by_hand}}, [updo_live_7f2a]} -> ok after 5000 -> error(by_hand) end,
    ok = sys:suspend(B),
    wait(fun() -> sys:get_state(B) =:= {2, b, 0, {"1.0", extra}} end, swept),
    A ! go,
    {new, _, _} = until_finished([]),
    settle(),
    [ok = sys:resume(P) || P <- [B, C]],
    {2, a, 1, {"1.0", extra}} = ask(A),
    {2, b, 0, {"1.0", extra}} = ask(B),
    {2, c, 0, {"1.0", extra}} = ask(C),
    clean_keys([A, B, C]).

%% So many servers of version 1, the first of which stays in a callback: all others convert meanwhile.
held(N) ->
    old(t_live),
    Ps = [A | _] = [start(t_live, I) || I <- lists:seq(1, N)],
    gen_server:cast(A, fun() -> receive go -> ok end end),
    {ok, G} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    timer:sleep(50),
    {Ps, G}.

went_back([A | _] = Ps) ->
    A ! go,
    {old, _, Es} = until_finished([]),
    settle(),
    [{1, I, _} = ask(P) || {I, P} <- lists:zip(lists:seq(1, length(Ps)), Ps)],
    is_old(t_live),
    clean_keys(Ps),
    Es.

killed(Which) ->
    {[A | _] = Ps, G} = held(50),
    Which(G),
    timer:sleep(50),
    A ! go,
    {new, _, _} = until_finished([]),
    settle(),
    [{2, I, _, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 50), Ps)],
    is_now(version(t_live, 2)),
    clean_keys(Ps).

executor() ->
    receive {updo, _, _, {started, #{executor := E}}} -> E after 5000 -> error(no_executor) end.

live_executor_killed() -> killed(fun(_) -> exit(executor(), kill) end).
live_guardian_killed() -> killed(fun(G) -> exit(G, kill), wait(fun() -> is_pid(whereis(updo_run)) end, guardian) end).

%% Not the watchdog, which brings the others back; until then what runs converts by itself.
live_all_killed() ->
    killed(fun(G) -> exit(executor(), kill), exit(G, kill), wait(fun() -> whereis(updo_run) =:= undefined end, guardian) end).

%% The way back goes on, too.
live_killed_going_back() -> killed_going_back(fun(Next, _) -> [Next] end).
live_all_killed_going_back() -> killed_going_back(fun(Next, G) -> [Next, G] end).

killed_going_back(Which) ->
    {Ps, G} = held(50),
    G ! updo_abort,
    Next = receive {updo, _, _, {executor_replaced, #{executor := E}}} -> E after 5000 -> error(not_replaced) end,
    timer:sleep(50),
    [exit(P, kill) || P <- Which(Next, G)],
    timer:sleep(50),
    went_back(Ps).

%% What cannot go live is refused before anything is touched.
live_unfit() ->
    old(t_live),
    Unfit = fun(Job) ->
        {old, #{reason := {live_unfit, [#{module := t_live, why := Why} | _]}}, _} = upgrade(Job),
        is_old(t_live),
        binary_to_list(Why)
    end,
    L = spawn(t_live, loop, []),
    "it executes the version that goes, in t_live:loop/0" = Unfit(job_of([t_live])),
    L ! stop,
    F = start(t_live, t_live:f()),
    F ! {put, {[t_live:f()]}},
    "its state has a fun of a version of t_live that goes" = Unfit(job_of([t_live], 2, #{old_funs => true})),
    exit(F, kill),
    Loop = proc_lib:spawn(fun() -> gen_server:enter_loop(t_live, [], {1, x, 0}) end),
    timer:sleep(50),
    {ok, Loops} = file:read_file(filename:join(persistent_term:get(agent_dir), "../../facts/node/loops.regex")),
    "it does not run as its initial call says" = Unfit(job_of([t_live], 2, #{loops => string:trim(Loops, trailing)})),
    exit(Loop, kill),
    ok.

%% A fun of the old version in a table would fail for ever: nothing is switched.
live_funs_elsewhere() ->
    {T, Ps, Job} = with_table(),
    true = ets:insert(T, {f, t_live:f()}),
    {old, #{reason := {live_unfit, [#{module := t_live, why := Why}]}}, Es} = upgrade(Job),
    "ets of" ++ _ = binary_to_list(Why),
    [] = [E || {live_switched, _} = E <- Es],
    still_called(T, Ps).

%% One that comes to a table after the switch, from a callback of the old version: the transition is turned round.
live_funs_later() ->
    {T, [A | _] = Ps, Job} = with_table(),
    gen_server:cast(A, {late, self(), T}),
    receive inside -> ok end,
    {ok, _} = boot_fast(Job),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    A ! go,
    {old, #{reason := {live_funs, [#{module := t_live, why := Why}]}}, _} = until_finished([]),
    settle(),
    "ets of" ++ _ = binary_to_list(Why),
    still_called(T, Ps).

with_table() ->
    old(t_live),
    T = ets:new(t_funs, [public]),
    {ok, Text} = file:read_file(filename:join(persistent_term:get(agent_dir), "../../facts/node/old_code.erlexpr")),
    {T, [start(t_live, I) || I <- lists:seq(1, 20)], job_of([t_live], 2, #{old_funs => true, old_code => Text})}.

still_called(T, Ps) ->
    is_old(t_live),
    [{1, I, _} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 20), Ps)],
    [{f, F}] = ets:lookup(T, f),
    1 = F(),
    clean_keys(Ps).

%% One executes the old version and waits for one that waits for the old version to come back: the second ends, as it would
%% with a release handler, and all others are as they were.
live_waits_for_another() ->
    old(t_live),
    [A, B, C] = [start(t_live, I) || I <- [1, 70, 3]],
    Me = self(),
    gen_server:cast(A, fun() -> receive go -> Me ! {from_b, catch gen_server:call(B, {eval, fun() -> ok end}, 20000)} end end),
    gen_server:cast(B, fun() -> receive go -> ok end end),
    {ok, _} = boot_fast(job_of([t_live], {2, "code_change(_,{1,70,_},_) -> error(no);"}, #{})),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    A ! go,
    timer:sleep(100),
    B ! go,
    {old, #{reason := {conversion_failed, #{pid := B}}}, _} = until_finished([]),
    settle(),
    receive {from_b, {'EXIT', {{{code_change, _}, _}, _}}} -> ok after 5000 -> error(not_ended) end,
    false = is_process_alive(B),
    [{1, 1, 1}, {1, 3, 0}] = [ask(P) || P <- [A, C]],
    is_old(t_live),
    clean_keys([A, C]).

%% Called off when all is through: it is too late, and the run ends as it would have.
live_settled() ->
    old(t_live),
    Ps = [start(t_live, I) || I <- lists:seq(1, 50)],
    {ok, G} = boot_fast((job_of([t_live]))#{steps => [{1, {live, [t_live], [t_live]}}, {2, {apply, {timer, sleep, [300]}}}]}),
    wait(fun() -> t_live:v() =:= 2 andalso t_live:module_info(md5) =:= code:module_md5(element(2, version(t_live, 2))) end, settled),
    G ! updo_abort,
    {new, _, _} = until_finished([]),
    settle(),
    is_now(version(t_live, 2)),
    [{2, I, 0, {"1.0", extra}} = ask(P) || {I, P} <- lists:zip(lists:seq(1, 50), Ps)],
    clean_keys(Ps).

%% Something else executes the old version when all are through: the plain version waits for it.
live_old_code() ->
    old(t_live),
    A = start(t_live, a),
    Me = self(),
    gen_server:cast(A, fun() -> receive go -> ok end end),
    {ok, _} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    false = code:soft_purge(t_live),
    Me ! none, receive none -> ok end,
    A ! go,
    {new, _, _} = until_finished([]),
    settle(),
    is_now(version(t_live, 2)).

%% A callback that something else calls in a process of its own.
live_embedded() ->
    old(t_live),
    A = start(t_live, a),
    gen_server:cast(A, fun() -> receive go -> ok end end),
    {ok, _} = boot_fast(job_of([t_live])),
    wait(fun() -> t_live:v() =:= 2 end, switch),
    {reply, {2, mine, 0, x}, _} = t_live:handle_call(state, from, {2, mine, 0, x}),
    {'EXIT', {function_clause, _}} = (catch t_live:handle_call(state, from, {1, mine, 0})),
    [] = keys(self()),
    A ! go,
    {new, _, _} = until_finished([]),
    settle(),
    {2, a, 1, {"1.0", extra}} = ask(A).
