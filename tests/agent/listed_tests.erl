%% Children that the start/2 of an application lists: started and stopped one by one at its supervisor, in the order of the
%% list, and back again with what the supervisor had. Part of agent_tests.erl, which runs them.
-module(listed_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [compile/1, load/1, plain/2, module/2, job/3, window/2, upgrade/1, suspended/0, is_now/1, server/2, ask/1, boot_fast/1,
                      killing/5, settle_until_gone/0, clean/0, flush/0, wait/2]).

tests() ->
    [listed_there_and_back, listed_interpreted, listed_undone, listed_that_was_there, listed_after_a_restart, listed_without_a_name,
     listed_way_back_undone, listed_of_no_supervisor, listed_executor_killed,
     listed_hangs_in_init, listed_blocks_its_supervisor].

%% A module with child_spec/1, as Elixir writes them; its identifier is not the one that the list suggests.
kid() ->
    compile("-module(t_kid). -export([child_spec/1,start_link/1,init/1,handle_call/3,handle_cast/2]). "
            "child_spec(never) -> #{id => never, start => {t_kid,no_such_function,[]}}; child_spec([]) -> child_spec(plain); "
            "child_spec(block) -> #{id => {kid,block}, start => {timer,sleep,[infinity]}}; "
            "child_spec(X) -> #{id => {kid,X}, start => {t_kid,start_link,[X]}}. start_link(X) -> gen_server:start_link(t_kid,X,[]). "
            "init(hang) -> timer:sleep(infinity); init(X) -> {ok,X}. handle_call(_,_,S) -> {reply,S,S}. handle_cast(_,S) -> {noreply,S}.").

%% What is given to the supervisor when it starts, as Elixir's Supervisor.start_link/2 does it.
begin_with(Ids) -> begin_with(Ids, {local, t_top}).
begin_with(Ids, Name) ->
    load(kid()),
    load(compile("-module(t_default). -export([init/1]). init(X) -> X.")),
    load(plain(t_app, 1)),
    Children = [#{id => {kid, Id}, start => {t_kid, start_link, [Id]}, restart => transient} || Id <- Ids],
    {ok, S} = supervisor:start_link(Name, t_default, {ok, {#{strategy => rest_for_one}, Children}}),
    S.

done_with(S) -> unlink(S), exit(S, kill), wait(fun() -> not is_process_alive(S) end, supervisor).

item(X) -> {exact, {kid, X}, [{t_kid, X}]}.
%% Only the module knows the identifier.
like(X) -> {like, t_kid, [{t_kid, X}]}.

up() -> #{names => [t_no_such_name, t_top], start => [item(new), like(last)], stop => [item(gone), item(asleep)], strict => false,
          order => [item(new), item(a), like(b), like(last)]}.
%% On the way back what comes and what goes is as it was on the way there.
back() -> (up())#{order => [item(a), item(gone), item(b), item(asleep)]}.

steps(Known) -> (window([t_call], [t_app]) -- [{4, {resume, [t_call]}}]) ++ [{4, {children, [{listed, t_app, Known}]}}, {5, {resume, [t_call]}}].
back_steps(Known) ->
    [{1, {children, [{unlisted, t_app, Known}]}}, {2, {suspend, [[{t_call, default}]]}}, {3, {code_change, down, [{t_call, {advanced, extra}}]}},
     {4, {load, [t_app, t_call]}}, {5, {children, [{relisted, t_app, Known}]}}, {6, {resume, [t_call]}}].

modules() -> [module(plain(t_app, 2), plain(t_app, 1)), module(server(t_call, 2), server(t_call, 1))].
modules_back() -> [module(plain(t_app, 1), plain(t_app, 2)), module(server(t_call, 1), server(t_call, 2))].

caller() ->
    load(server(t_call, 1)),
    {ok, C} = gen_server:start({local, t_call}, t_call, 1, []),
    C.

%% In the order in which they were started.
order(S) -> lists:reverse([{Id, is_pid(P)} || {{kid, Id}, P, _, _} <- supervisor:which_children(S)]).
pid(X, S) -> hd([P || {{kid, Id}, P, _, _} <- supervisor:which_children(S), Id =:= X]).
keeps(S) -> [V || {{updo, _}, V} <- element(2, process_info(S, dictionary))].

there_and_back(More) ->
    {S, C} = {begin_with([a, gone, b, asleep]), caller()},
    ok = supervisor:terminate_child(S, {kid, asleep}),
    {ok, Hand} = supervisor:start_child(S, {t_kid, {t_kid, start_link, [hand]}, permanent, 5000, worker, [t_kid]}),
    {A, B, State} = {pid(a, S), pid(b, S), supervisor:get_childspec(S, {kid, gone})},
    {new, _, Es} = upgrade(job(modules(), steps(up()), More)),
    [#{failed := [], started := Started, stopped := Stopped}] = [I || {step_finished, 4, _, I} <- Es],
    Ids = fun(L) -> lists:sort([Id || #{child := {kid, Id}} <- L]) end,
    {[last, new], [asleep, gone]} = {Ids(Started), Ids(Stopped)},
    [{new, true}, {a, true}, {b, true}, {last, true}] = order(S),
    {A, B, 2} = {pid(a, S), pid(b, S), element(1, ask(C))},
    %% The one by hand stays; what is behind the one that ends is restarted in the order of the list.
    New = pid(new, S),
    true = is_process_alive(Hand),
    exit(New, kill),
    wait(fun() -> [P || {_, P, _, _} <- supervisor:which_children(S), not is_pid(P)] =:= [] andalso pid(new, S) =/= New end, restarted),
    true = A =/= pid(a, S),
    {A2, B2} = {pid(a, S), pid(b, S)},
    {old, _, _} = upgrade(job(modules_back(), back_steps(back()), More#{goal => old})),
    [{a, true}, {gone, true}, {b, true}, {asleep, false}] = order(S),
    {A2, B2, State, []} = {pid(a, S), pid(b, S), supervisor:get_childspec(S, {kid, gone}), keeps(S)},
    exit(C, kill),
    done_with(S).

listed_there_and_back() -> there_and_back(#{}).
listed_interpreted() -> there_and_back(#{interpret => true}).

%% A call behind the window fails: the way back through it undoes what was done. One child does not start, which is said.
listed_undone() ->
    {S, C} = {begin_with([a, gone]), caller()},
    {A, State} = {pid(a, S), sys:get_state(S)},
    Known = (up())#{start => [item(new), {exact, never, [{t_kid, never}]}]},
    Steps = steps(Known) ++ [{6, {apply, {erlang, error, [no]}}}],
    Back = [[{Id + 10, Step} || {Id, Step} <- back_steps(Known#{order => [item(a), item(gone)]})]],
    {old, _, Es} = upgrade(job(modules(), Steps, #{back => Back})),
    [[#{child := never, what := start, supervisor := t_app}]] = [F || {step_finished, 4, _, #{failed := F}} <- Es],
    {[{a, true}, {gone, true}], A, []} = {order(S), pid(a, S), keeps(S)},
    true = setelement(4, State, x) =:= setelement(4, sys:get_state(S), x),
    exit(C, kill),
    done_with(S).

%% By hand, or listed already under an identifier that only the module knows: left alone, there and back.
listed_that_was_there() ->
    {S, C} = {begin_with([a, new]), caller()},
    {A, N} = {pid(a, S), pid(new, S)},
    Known = (up())#{start => [like(new), item([])], stop => [like(a)], order => [like(new), like(a), item([])]},
    {new, _, _} = upgrade(job(modules(), steps(Known), #{})),
    {A, N} = {pid(a, S), pid(new, S)},
    [{a, true}, {new, true}, {plain, true}] = lists:sort(order(S)),
    {old, _, _} = upgrade(job(modules_back(), back_steps(Known), #{goal => old})),
    {A, N, [{a, true}, {new, true}]} = {pid(a, S), pid(new, S), order(S)},
    exit(C, kill),
    done_with(S).

%% The application has been started again since: what the lists have counts.
listed_after_a_restart() ->
    {S, C} = {begin_with([new, a, b, last]), caller()},
    [load(V) || V <- [plain(t_app, 2), server(t_call, 2)]],
    exit(C, kill),
    A = pid(a, S),
    {old, _, _} = upgrade(job(modules_back(), back_steps(back()), #{goal => old})),
    {[{a, true}, {gone, true}, {b, true}, {asleep, true}], A} = {order(S), pid(a, S)},
    done_with(S).

%% The supervisor at the top of the application that runs this module.
listed_without_a_name() ->
    load(kid()),
    V = fun(N) -> compile(io_lib:format("-module(t_app). -vsn(~b). -export([start/2,stop/1,init/1]). start(_,_) -> supervisor:start_link(t_app,[]). stop(_) -> ok. "
                                        "init(_) -> {ok,{#{},[#{id => {kid,a},start => {t_kid,start_link,[a]}}]}}.", [N])) end,
    load(V(1)),
    ok = application:load({application, t_list, [{vsn, "1"}, {mod, {t_app, []}}, {applications, [kernel, stdlib]}]}),
    Known = (up())#{names => [], order => [item(new), item(a), item(last)]},
    Job = job([module(V(2), V(1))], [{1, {load, [t_app]}}, {2, {children, [{listed, t_app, Known}]}}], #{}),
    %% Loaded and not running: nothing is started, and that is no fault.
    {new, _, [_ | _] = Es} = upgrade(Job),
    [[]] = [F || {step_finished, 2, _, #{failed := F}} <- Es],
    load(V(1)),
    ok = application:start(t_list),
    [S] = [P || P <- processes(), {dictionary, D} <- [process_info(P, dictionary)], {_, {supervisor, t_app, 1}} <- [lists:keyfind('$initial_call', 1, D)]],
    {new, _, _} = upgrade(Job),
    [{new, true}, {a, true}, {last, true}] = order(S),
    ok = application:stop(t_list),
    ok = application:unload(t_list).

%% What the way back has stopped runs again, and the supervisor knows still what leads back.
listed_way_back_undone() ->
    {S, C} = {begin_with([a, gone, b]), caller()},
    {new, _, _} = upgrade(job(modules(), steps(up()), #{})),
    {Order, Keeps} = {order(S), keeps(S)},
    [One, Two | _] = back_steps(back()),
    Steps = [One, {2, {children, [{relisted, t_app, back()}]}}, {3, element(2, Two)}, {4, {apply, {erlang, error, [no]}}}],
    {new, #{reason := {apply_failed, _}}, _} = upgrade(job(modules_back(), Steps, #{goal => old})),
    {Order, Keeps} = {order(S), keeps(S)},
    {old, _, _} = upgrade(job(modules_back(), back_steps(back()), #{goal => old})),
    {[{a, true}, {gone, true}, {b, true}], []} = {order(S), keeps(S)},
    exit(C, kill),
    done_with(S).

%% Named by a plan, and nowhere to be done.
listed_of_no_supervisor() ->
    {S, C} = {begin_with([a], {local, t_other}), caller()},
    {new, _, Es} = upgrade(job(modules(), steps((up())#{strict => true}), #{})),
    [[{start, {kid, new}}, {start, t_kid}, {stop, {kid, gone}}, {stop, {kid, asleep}}]] =
        [[{W, Id} || #{what := W, child := Id} <- F] || {step_finished, 4, _, #{failed := F}} <- Es],
    exit(C, kill),
    done_with(S).

%% Whenever the executor dies: all is new, or all is old; and back.
listed_executor_killed() ->
    Outcomes = [begin
        {S, C} = {begin_with([a, gone]), caller()},
        {ok, _} = boot_fast(job(modules(), steps(up()), #{})),
        {O, _, _} = killing(N, Delay, executor, undefined, []),
        {O, Order} = {O, order(S)},
        case O of
            new -> {[{new, true}, {a, true}, {last, true}], 2} = {Order, element(1, ask(C))};
            old -> {[{a, true}, {gone, true}], 1} = {Order, element(1, ask(C))}
        end,
        [] = suspended(),
        settle_until_gone(),
        clean(),
        wait(fun() -> code:is_loaded(updo_agent_7f2a) =:= false end, module),
        flush(),
        case O of
            new ->
                {old, _, _} = upgrade(job(modules_back(), back_steps(back()), #{goal => old})),
                {[{a, true}, {gone, true}], []} = {order(S), keeps(S)};
            old -> []= keeps(S)
        end,
        exit(C, kill),
        done_with(S),
        O
    end || N <- lists:seq(2, 16), Delay <- [0, 1]],
    io:format("        ~p~n", [[{O, length([x || P <- Outcomes, P =:= O])} || O <- lists:usort(Outcomes)]]).

%% Its init never returns, and the supervisor waits for it: at the deadline the child is ended, and the supervisor answers.
listed_hangs_in_init() ->
    {S, C} = {begin_with([a]), caller()},
    Known = (up())#{start => [item(hang)], stop => [], order => [item(a), item(hang)]},
    {Us, {new, _, Es}} = timer:tc(fun() -> upgrade(job(modules(), steps(Known), #{deadline => 2000})) end),
    [[#{child := {kid, hang}}]] = [Bad || {step_finished, 4, _, #{failed := Bad}} <- Es],
    true = Us < 10000000,
    [{a, true}] = order(S),
    exit(C, kill),
    done_with(S).

%% Its start function never returns, in the supervisor itself: nothing frees that, and the way back says so.
listed_blocks_its_supervisor() ->
    {S, C} = {begin_with([a]), caller()},
    Known = (up())#{start => [item(block)], stop => [], order => [item(a), item(block)]},
    {new, _, _} = upgrade(job(modules(), steps(Known), #{deadline => 2000})),
    {mixed, #{children := [_ | _] = Left}, _} = upgrade(job(modules_back(), back_steps(Known), #{goal => old, deadline => 8000})),
    true = lists:any(fun(#{reason := Why}) -> binary:match(Why, <<"does not answer">>) =/= nomatch end, Left),
    exit(C, kill),
    done_with(S).
