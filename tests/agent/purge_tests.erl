%% Old code that has to go, before loading, on the way back and after a run; and funs of it that are kept as data.
%% Part of agent_tests.erl, which runs them.
-module(purge_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, module/2, job/2, job/3, run/1, upgrade/1, settle/0, is_now/1, plain/2, server/2,
                      server/3, start/2, ask/1, window/2, clean/0, wait/2]).

tests() ->
    [deferred, purged_after, undo_waits, undo_ends_as_said, undo_stays, undo_stays_for_callers, back_after_it_stayed, back_waits,
     back_refused, held_state, held_kinds, held_brutal, held_after, held_by_closure_loop, funs_of_the_way_back, no_funs,
     funs_called_on_the_way_back, killed_on_the_way_back, many_in_use].

%% A library with a call that takes a while, and funs.
lib(M, V) ->
    compile(io_lib:format("-module(~s). -vsn(\"~b\"). -export([v/0,slow/1,f/1,ask/1,loop/1]). v() -> ~b. "
        "slow(Ms) -> timer:sleep(Ms), {done,v()}. f(X) -> fun() -> {X,v()} end. ask(P) -> {asked,gen_server:call(P,state,infinity)}. "
        "loop(S) -> receive {get,P} -> P ! {self(),S}, loop(S); stop -> ok end.", [M, V, V])).

job_text() -> {ok, B} = file:read_file(filename:join([persistent_term:get(agent_dir), "..", "..", "facts", "node", "old_code.erlexpr"])), B.

job_with(Modules, Steps, More) -> job(Modules, Steps, maps:merge(#{old_code => job_text()}, More)).

%% The old version stays until the next upgrade of the module, and its funs work as long.
deferred() ->
    [V1, V2] = [lib(t_df, V) || V <- [1, 2]],
    load(V1),
    F = t_df:f(x),
    {new, _, _} = upgrade(job_with([module(V2, V1)], [{1, {load, [t_df]}}], #{})),
    2 = t_df:v(),
    {x, 1} = F(),
    true = erlang:check_old_code(t_df).

%% Of many modules each process is looked at once: deep in a stack, in a name that begins like another one, with a large
%% heap, under a name that is printed in quotes or escaped, hibernating below.
many_in_use() ->
    %% So many that the backtrace of a small process costs less than to ask about each.
    Names = [t_mu, t_mu_1, t_mu_11, t_mu_2, 'Elixir.T.Mu', 't mu', 't_m\x{fc}', t_mu_3
             | [list_to_atom("t_mu_x" ++ integer_to_list(N)) || N <- lists:seq(1, 60)]],
    Of = fun(V) -> [compile(io_lib:format("-module(~tp). -export([v/0,deep/2,wait/0,big/1]). v() -> ~b. "
        "deep(0, G) -> receive stop -> G end; deep(N, G) -> [deep(N - 1, G)]. wait() -> receive stop -> ok end, v(). "
        "big(L) -> receive stop -> length(L) end, v().", [M, V])) || M <- Names] end,
    [V1, V2, V3] = [Of(V) || V <- [1, 2, 3]],
    [load(One) || One <- V1],
    Deep = spawn(fun() -> t_mu_11:deep(20, t_mu_1) end),
    Deeper = spawn(fun() -> t_mu_1:deep(5000, t_mu_2) end),
    Plain = spawn('Elixir.T.Mu', wait, []),
    Spaced = spawn('t mu', wait, []),
    Other = spawn('t_m\x{fc}', wait, []),
    Big = spawn(fun() -> t_mu_2:big([{N, <<"terms">>} || N <- lists:seq(1, 200000)]) end),
    %% On a loaded machine a process takes its time to come there.
    [wait(fun() -> {current_function, {M, F, A}} =:= process_info(P, current_function) end, {not_in, M})
     || {P, {M, F, A}} <- [{Deep, {t_mu_11, deep, 2}}, {Deeper, {t_mu_1, deep, 2}}, {Plain, {'Elixir.T.Mu', wait, 0}},
                           {Spaced, {'t mu', wait, 0}}, {Other, {'t_m\x{fc}', wait, 0}}, {Big, {t_mu_2, big, 1}}]],
    %% And to the end of its recursion.
    wait(fun() -> lists:all(fun(P) -> {status, waiting} =:= process_info(P, status) end, [Deep, Deeper, Big]) end, busy),
    [{_, Small}, {_, Large}] = [process_info(P, total_heap_size) || P <- [Deep, Deeper]],
    {true, true} = {Small < 600, Large > 700},
    [load(One) || One <- V2],
    %% In the new version.
    New = spawn(t_mu_3, wait, []),
    Job = fun(Policy) -> job([(module(B3, B2))#{purge => Policy} || {B3, B2} <- lists:zip(V3, V2)], [{1, {load, Names}}]) end,
    {old, #{reason := {old_code_in_use, Found}}, _} = upgrade(Job(soft)),
    Expected = [{t_mu_11, [Deep]}, {t_mu_1, [Deeper]}, {t_mu_2, [Big]}, {'Elixir.T.Mu', [Plain]}, {'t mu', [Spaced]}, {'t_m\x{fc}', [Other]}],
    {same, true, _} = {same, lists:sort(Found) =:= lists:sort(Expected), Found},
    [] = [M || M <- Names, not erlang:check_old_code(M)],
    clean(),
    [erlang:send_after(100, P, stop) || P <- [Deep, Deeper, Plain, Spaced, Other, Big]],
    {new, _, _} = upgrade(Job({wait, 3000})),
    3 = t_mu_11:v(),
    true = is_process_alive(New),
    New ! stop.

purged_after() ->
    [V1, V2] = [lib(t_pa, V) || V <- [1, 2]],
    load(V1),
    {new, _, _} = upgrade(job_with([(module(V2, V1))#{purge_after => soft}], [{1, {load, [t_pa]}}], #{})),
    false = erlang:check_old_code(t_pa).

%% A failing conversion: calls in the old code are waited for.
failing(M, Lib, Policy, More) ->
    [L1, L2] = [lib(Lib, V) || V <- [1, 2]],
    {V1, V2} = {server(M, 1), server(M, 2, "code_change(_,_,_) -> timer:sleep(100), {error,no};")},
    load(L1),
    load(V1),
    P = start(M, 1),
    Job = job_with([(module(L2, L1))#{purge => Policy}, module(V2, V1)], window([M], [Lib]), More),
    {P, L1, V1, L2, V2, Job}.

calls(Lib, Ms) ->
    Me = self(),
    [spawn_monitor(fun() -> Me ! {answer, Lib:slow(Ms)} end) || _ <- lists:seq(1, 20)].

undo_waits() ->
    {P, L1, V1, _, _, Job} = failing(t_uw, t_uw_lib, soft, #{}),
    Calls = calls(t_uw_lib, 500),
    {old, #{reason := {conversion_failed, _}}, Es} = upgrade(Job),
    [receive {'DOWN', Mon, process, Pid, Why} -> normal = Why end || {Pid, Mon} <- Calls],
    [] = [E || {purging, _} = E <- Es],
    is_now(L1),
    is_now(V1),
    {1, 1} = ask(P).

undo_ends_as_said() ->
    {P, L1, _, _, _, Job} = failing(t_ue, t_ue_lib, brutal, #{}),
    Calls = calls(t_ue_lib, 60000),
    {old, _, Es} = upgrade(Job),
    [receive {'DOWN', Mon, process, Pid, Why} -> killed = Why end || {Pid, Mon} <- Calls],
    [#{module := t_ue_lib, processes := 20, killed := Named}] = [I || {purging, I} <- Es],
    [] = [X || #{pid := X} <- Named] -- [Pid || {Pid, _} <- Calls],
    is_now(L1),
    {1, 1} = ask(P).

%% They do not leave and may not be ended: the new code stays, and what could not be converted is named.
undo_stays() ->
    {P, _, _, L2, V2, Job} = failing(t_us, t_us_lib, soft, #{}),
    Calls = calls(t_us_lib, 60000),
    {mixed, #{stays := #{processes := 20, named := [#{module := t_us_lib} | _]}, unconverted := [#{pid := P}], new := New}, _} = upgrade(Job),
    [t_us, t_us_lib] = New,
    [true = is_process_alive(Pid) || {Pid, _} <- Calls],
    is_now(L2),
    is_now(V2),
    [] = agent_tests:suspended(),
    agent_tests:wait(fun() -> not lists:keymember('$updo_saved', 1, element(2, process_info(P, dictionary))) end, saved_state),
    [exit(Pid, kill) || {Pid, _} <- Calls],
    exit(P, kill).

%% Callers of a suspended server, from code that changes: waiting any longer is of no use, for they wait for the server.
undo_stays_for_callers() ->
    {P, _, _, _, _, Job} = failing(t_uc, t_uc_lib, soft, #{}),
    Q = start(t_uc, 2),
    sys:suspend(Q),
    sys:resume(Q),
    Me = self(),
    Caller = spawn(fun() -> receive go -> ok end, Me ! {answer, t_uc_lib:ask(P)} end),
    spawn(fun() -> agent_tests:wait(fun() -> agent_tests:suspended() =/= [] end, suspended), Caller ! go end),
    {Outcome, _, _} = upgrade(Job),
    true = lists:member(Outcome, [old, mixed]),
    [exit(X, kill) || X <- [P, Q]],
    receive {answer, _} -> ok after 100 -> ok end.

%% What stayed new goes back later: converted states are converted down, and those that kept their state are not asked.
back_after_it_stayed() ->
    [L1, L2] = [lib(t_bs_lib, V) || V <- [1, 2]],
    {V1, V2} = {server(t_bs, 1), server(t_bs, 2, "code_change(_,{1,bad},_) -> timer:sleep(100), {error,no};")},
    load(L1),
    load(V1),
    [Fine, Bad, Third] = All = [start(t_bs, X) || X <- [fine, bad, third]],
    Calls = calls(t_bs_lib, 60000),
    Job = job_with([(module(L2, L1))#{purge => soft}, module(V2, V1)], window([t_bs], [t_bs_lib]), #{back => [[]]}),
    {mixed, #{stays := #{way_back := true}, old_states := [{t_bs, [Bad]}] = Kept}, _} = upgrade(Job),
    [is_now(V) || V <- [L2, V2]],
    [{2, X, _} = ask(P) || {P, X} <- [{Fine, fine}, {Third, third}]],
    [exit(Pid, kill) || {Pid, _} <- Calls],
    Steps = [{1, {suspend, [[{t_bs, default}]]}}, {2, {code_change, down, [{t_bs, {advanced, extra}}]}},
             {3, {load, [t_bs, t_bs_lib]}}, {4, {resume, [t_bs]}}],
    {old, Info, _} = upgrade(job_with([module(L1, L2), module(V1, V2)], Steps, #{goal => old, unconverted => Kept})),
    [] = [Info || is_map_key(reason, Info)],
    [is_now(V) || V <- [L1, V1]],
    [{1, fine}, {1, bad}, {1, third}] = [ask(P) || P <- All],
    [exit(P, kill) || P <- All].

%% The way back after the run: no process is suspended while processes leave.
back_job(M, V1, V2, Policy) ->
    #{modules => [(module(V1, V2))#{purge => Policy}], steps => [{11, {load, [M]}}], back => [], goal => old, leave => 700}.

back_waits() ->
    [V1, V2] = [lib(t_bw, V) || V <- [1, 2]],
    load(V1),
    Calls = calls(t_bw, 400),
    timer:sleep(20),
    {new, _, _} = run(job_with([module(V2, V1)], [{1, {load, [t_bw]}}], #{})),
    whereis(updo_run) ! {updo_run, back_job(t_bw, V1, V2, soft)},
    {old, Info, _} = agent_tests:until_finished([]),
    [] = [Info || maps:is_key(reason, Info)],
    settle(),
    is_now(V1),
    [receive {'DOWN', Mon, process, Pid, Why} -> normal = Why end || {Pid, Mon} <- Calls].

back_refused() ->
    [V1, V2] = [lib(t_br, V) || V <- [1, 2]],
    load(V1),
    Loop = spawn(fun() -> t_br:loop(x) end),
    timer:sleep(20),
    {new, _, _} = run(job_with([module(V2, V1)], [{1, {load, [t_br]}}], #{})),
    whereis(updo_run) ! {updo_run, back_job(t_br, V1, V2, soft)},
    {new, #{reason := {old_code_in_use, [{t_br, [Loop]}]}}, _} = agent_tests:until_finished([]),
    settle(),
    is_now(V2),
    true = is_process_alive(Loop),
    Loop ! stop.

%% Two upgrades; what the first version made is kept in different places.
second(M, Keep, Policy) ->
    [V1, V2, V3] = [lib(M, V) || V <- [1, 2, 3]],
    load(V1),
    Held = Keep(M:f(x)),
    load(V2),
    R = upgrade(job_with([(module(V3, V2))#{purge => Policy}], [{1, {load, [M]}}], #{})),
    clean(),
    {R, Held}.

held_state() ->
    Keep = fun(F) -> P = start_holder(t_hs_s, #{f => F}), P end,
    {{old, #{reason := {funs_held, #{holders := Holders}}}, _}, P} = second(t_hs, Keep, soft),
    [{t_hs, {state, P}}] = Holders,
    {x, 1} = (maps:get(f, sys:get_state(P)))(),
    exit(P, kill).

start_holder(M, State) ->
    load(compile(io_lib:format("-module(~s). -export([init/1,handle_call/3,handle_cast/2]). init(S) -> {ok,S}. "
                               "handle_call(_,_,S) -> {reply,ok,S}. handle_cast(_,S) -> {noreply,S,hibernate}.", [M]))),
    start(M, State).

held_kinds() ->
    Me = self(),
    Sleeper = fun() -> receive stop -> ok end end,
    Kinds =
        [{dictionary, fun(F) -> P = spawn(fun() -> put(k, [F]), Me ! ready, Sleeper() end), receive ready -> P end end},
         {messages, fun(F) -> P = spawn(Sleeper), P ! {later, F}, P end},
         {persistent_term, fun(F) -> persistent_term:put(t_hk_key, {F}), t_hk_key end},
         {ets, fun(F) -> P = spawn(fun() -> ets:new(t_hk_table, [named_table]), ets:insert(t_hk_table, {1, F}), Me ! ready, Sleeper() end),
                         receive ready -> put(owner, P), t_hk_table end end},
         {env, fun(F) -> application:load(sasl), application:set_env(sasl, t_hk, F), sasl end},
         {state, fun(F) -> P = start_holder(t_hk_s, F), gen_server:cast(P, x), timer:sleep(20), P end}],
    [begin
         M = list_to_atom("t_hk_" ++ atom_to_list(Kind)),
         {{old, #{reason := {funs_held, #{holders := Holders}}}, _}, Where} = second(M, Keep, soft),
         {Kind, [{M, {Kind, Where}}]} = {Kind, Holders}
     end || {Kind, Keep} <- Kinds],
    persistent_term:erase(t_hk_key),
    application:unset_env(sasl, t_hk),
    exit(get(owner), kill).

held_brutal() ->
    Keep = fun(F) -> persistent_term:put(t_hb_key, F), t_hb_key end,
    {{new, _, Es}, _} = second(t_hb, Keep, brutal),
    [#{module := t_hb, processes := 0, funs := [{persistent_term, t_hb_key}]}] = [I || {purging, I} <- Es],
    persistent_term:erase(t_hb_key).

%% After the switch `soft` keeps old code that funs need, and says so.
held_after() ->
    [V1, V2] = [lib(t_ha, V) || V <- [1, 2]],
    load(V1),
    persistent_term:put(t_ha_key, t_ha:f(x)),
    {new, _, _} = run(job_with([(module(V2, V1))#{purge_after => soft}], [{1, {load, [t_ha]}}], #{})),
    #{held := [{t_ha, {persistent_term, t_ha_key}}]} = settle(),
    {x, 1} = (persistent_term:get(t_ha_key))(),
    persistent_term:erase(t_ha_key).

%% An actor whose handler is a fun in the arguments of a loop of another module, as gleam_otp has them.
held_by_closure_loop() ->
    load(compile("-module(t_cl_actor). -export([start/1,loop/1]). start(H) -> spawn(t_cl_actor,loop,[{actor,H,0}]). "
                 "loop({actor,H,S}) -> receive {msg,P} -> P ! H(), loop({actor,H,S+1}); stop -> ok end.")),
    Keep = fun(F) -> P = t_cl_actor:start(F), timer:sleep(20), P end,
    {{old, #{reason := {funs_held, #{holders := [{t_cl, {state, P}}]}}}, _}, P} = second(t_cl, Keep, soft),
    P ! {msg, self()},
    receive {x, 1} -> ok after 1000 -> error(no_answer) end,
    P ! stop.

%% The version that comes back brings its funs with it: going back refuses none and breaks none.
funs_of_the_way_back() ->
    [V1, V2] = [lib(t_fw, V) || V <- [1, 2]],
    load(V1),
    F1 = t_fw:f(x),
    persistent_term:put(t_fw_key, F1),
    {new, _, _} = run(job_with([module(V2, V1)], [{1, {load, [t_fw]}}], #{})),
    F2 = t_fw:f(y),
    whereis(updo_run) ! {updo_run, back_job(t_fw, V1, V2, soft)},
    {old, _, _} = agent_tests:until_finished([]),
    settle(),
    {x, 1} = F1(),
    {y, 2} = F2(),
    persistent_term:erase(t_fw_key).

%% Names of modules in data are no funs, whatever lies before them.
no_funs() ->
    [V1, V2] = [lib(t_nf, V) || V <- [1, 2]],
    load(V1),
    load(V2),
    P = spawn(fun() -> [put({binary:copy(<<"p">>, N), t_nf, init}, 1) || N <- lists:seq(1, 60)], receive stop -> ok end end),
    {new, _, _} = upgrade(job_with([module(V1, V2)], [{1, {load, [t_nf]}}], #{})),
    is_now(V1),
    P ! stop.

%% A server that calls a fun of the version that comes back, all the time: it is suspended while that is loaded again.
funs_called_on_the_way_back() ->
    [V1, V2] = [lib(t_fc, V) || V <- [1, 2]],
    [S1, S2] = [compile(io_lib:format("-module(t_fcs). -vsn(~b). -export([init/1,handle_call/3,handle_cast/2,handle_info/2,code_change/3]). "
                                      "init(F) -> self() ! go, {ok,{~b,F}}. handle_call(_,_,S={V,_}) -> {reply,V,S}. handle_cast(_,S) -> {noreply,S}. "
                                      "handle_info(go,{_,F}=S) -> {x,_} = F(), self() ! go, {noreply,S}. "
                                      "code_change({down,_},{_,F},_) -> {ok,{1,F}}; code_change(_,{_,F},_) -> {ok,{~b,F}}.", [V, V, V]))
                || V <- [1, 2]],
    [load(X) || X <- [V1, S1]],
    {ok, P} = gen_server:start(t_fcs, t_fc:f(x), []),
    Mon = monitor(process, P),
    {new, _, _} = run(job_with([module(V2, V1), module(S2, S1)], window([t_fcs], [t_fc]), #{})),
    2 = gen_server:call(P, which),
    Busy = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, 5000)],
    whereis(updo_run) ! {updo_run, #{modules => [module(V1, V2), module(S1, S2)], goal => old, back => [],
                                     steps => [{11, {suspend, [[{t_fcs, default}]]}}, {12, {code_change, down, [{t_fcs, {advanced, x}}]}},
                                               {13, {load, [t_fc, t_fcs]}}, {14, {resume, [t_fcs]}}]}},
    {old, _, _} = agent_tests:until_finished([]),
    settle(),
    1 = gen_server:call(P, which),
    receive {'DOWN', Mon, process, P, Why} -> error(Why) after 0 -> ok end,
    [exit(X, kill) || X <- [P | Busy]].

%% The executor is killed while the version before is purged and loaded again: funs of it work whatever comes of the run.
killed_on_the_way_back() ->
    Busy = [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, 4000)],
    Libs = [list_to_atom("t_kb_lib" ++ integer_to_list(I)) || I <- lists:seq(1, 4)],
    Pairs = [{lib(L, 1), lib(L, 2)} || L <- Libs],
    Servers = {server(t_kb, 1), server(t_kb, 2)},
    All = [killed_on_the_way_back(N, Libs, Pairs, Servers) || N <- [6, 12, 18, 24]],
    io:format("        ~p~n", [[{O, length([x || X <- All, X =:= O])} || O <- lists:usort(All)]]),
    [exit(X, kill) || X <- Busy].

killed_on_the_way_back(N, Libs, Pairs, {V1, V2}) ->
    [load(X) || X <- [V1 | [L1 || {L1, _} <- Pairs]]],
    Funs = [L:f(x) || L <- Libs],
    P = start(t_kb, 1),
    {ok, _} = agent_tests:boot_fast(job_with([module(V2, V1) | [module(L2, L1) || {L1, L2} <- Pairs]], window([t_kb], Libs), #{})),
    {new, _, _} = agent_tests:until_finished([]),
    agent_tests:flush(),
    whereis(updo_run) ! {updo_run, #{modules => [module(V1, V2) | [module(L1, L2) || {L1, L2} <- Pairs]], goal => old, back => [],
                                     steps => [{11, {suspend, [[{t_kb, default}]]}}, {12, {code_change, down, [{t_kb, {advanced, x}}]}},
                                               {13, {load, [t_kb | Libs]}}, {14, {resume, [t_kb]}}]}},
    Exec = receive {updo, _, _, {started, #{executor := E}}} -> E end,
    receive {updo, _, _, {step_started, 13}} -> ok end,
    timer:sleep(N),
    exit(Exec, kill),
    {O, _, _} = agent_tests:until_finished([]),
    [{x, 1} = F() || F <- Funs],
    case O of
        old -> is_now(V1), {1, 1} = ask(P);
        new -> is_now(V2), {2, 1, _} = ask(P)
    end,
    settle(),
    exit(P, kill),
    clean(),
    O.
