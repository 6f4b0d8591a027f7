%% Barriers: what a node does when it is let pass, called off, asked, or left alone; and when its processes are killed there.
%% The other nodes of the group are not there: this one keeps the decision. Part of agent_tests.erl, which runs them.
-module(together_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [load/1, module/2, job/3, server/2, start/2, ask/1, clean/0, boot_fast/1, settle_until_gone/0, flush/0,
                      suspended/0, until_finished/1, is_now/1, wait/2, interpreted/1]).

tests() ->
    [together_passes, together_called_off, together_alone, together_late, together_asked, together_decided_once,
     together_executor_killed, together_guardian_killed, together_back_goes_on, together_follows, together_interpreted].

-define(STANDING, 4).
-define(DECIDES, 7).

steps() ->
    [{1, {barrier, prepared, 60000, gather}},
     {2, {suspend, [[{t_tog, default}]]}},
     {3, {barrier, {suspended, 1}, 60000, gather}},
     {?STANDING, {barrier, {suspended, 0}, 60000, gather}},
     {5, {load, [t_tog]}},
     {6, {code_change, up, [{t_tog, {advanced, extra}}]}},
     {?DECIDES, {barrier, switched, 60000, decide}},
     {8, {resume, [t_tog]}}].

within(Ms) -> [case S of {Id, {barrier, Name, _, How}} when Id > 1 -> {Id, {barrier, Name, Ms, How}}; _ -> S end || S <- steps()].

job() -> job(steps()).
job(Steps) -> job(Steps, node()).
job(Steps, Keeper) ->
    job([module(server(t_tog, 2), server(t_tog, 1))], Steps,
        #{together => #{group => <<"aa01">>, keeper => Keeper, nodes => [node(), 'other@nowhere'], decides => ?DECIDES}}).

%% Runs it up to a barrier, letting it pass those before.
up_to(Id, Job) ->
    load(server(t_tog, 1)),
    Ps = [start(t_tog, I) || I <- lists:seq(1, 30)],
    {ok, G} = boot_fast(Job),
    come(Id),
    {G, Ps}.

come(Id) ->
    receive
        {updo, _, _, {step_started, Id}} -> ok;
        {updo, _, _, {step_started, N}} when N =:= 1; N =:= 3; N =:= ?STANDING -> whereis(updo_run) ! {updo_together, N, go}, come(Id);
        {updo, _, _, {finished, _, _} = F} -> error(F);
        {updo, _, _, _} -> come(Id)
    after 20000 -> error({not_there, Id})
    end.

is(O, Ps) -> is(O, Ps, fun(_) -> true end).
is(O, Ps, Why) ->
    {O, Info, _} = until_finished([]),
    O =:= new orelse Why(maps:get(reason, Info, none)) orelse error(Info),
    is_as(O, Ps).

is_as(O, Ps) ->
    {V, Size} = case O of new -> {2, 3}; old -> {1, 2} end,
    is_now(server(t_tog, V)),
    [] = suspended(),
    [{I, Size} = {element(2, S), tuple_size(S)} || {I, P} <- lists:zip(lists:seq(1, length(Ps)), Ps), S <- [ask(P)]],
    settle_until_gone(),
    clean(),
    flush(),
    [exit(P, kill) || P <- Ps],
    wait(fun() -> not lists:any(fun(P) -> is_process_alive(P) end, Ps) end, servers).

tell(Message) -> whereis(updo_run) ! Message.

together_passes() ->
    {_, Ps} = up_to(?DECIDES, job()),
    30 = length(suspended()),
    tell({updo_together, ?DECIDES, go}),
    is(new, Ps).

%% At each barrier; behind the switch the states are those that there were.
together_called_off() ->
    [begin
        {_, Ps} = up_to(Id, job()),
        tell({updo_together, off}),
        is(old, Ps, fun(Why) -> element(1, Why) =:= together_off end)
     end || Id <- [1, 3, ?STANDING, ?DECIDES]].

%% No client is left: found by the result that is kept.
together_alone() ->
    [begin
        Client = spawn(fun() -> client(Id) end),
        load(server(t_tog, 1)),
        Ps = [start(t_tog, I) || I <- lists:seq(1, 30)],
        {ok, _} = boot_fast((job())#{watcher => Client}),
        Mon = monitor(process, Client),
        receive {'DOWN', Mon, _, _, _} -> ok end,
        wait(fun() -> [] =:= suspended() end, suspended),
        wait(fun() -> {_, D} = process_info(whereis(updo_run), dictionary), #{state := S} = proplists:get_value(updo_info, D), S =:= kept end, kept),
        tell({updo_attach, self()}),
        is(old, Ps, fun(Why) -> Why =:= {together_alone, Id} end)
     end || Id <- [1, 3, ?STANDING, ?DECIDES]].

client(Id) ->
    receive
        {updo, _, _, {step_started, Id}} -> exit(gone);
        {updo, _, _, {step_started, N}} when N =:= 1; N =:= 3; N =:= ?STANDING -> whereis(updo_run) ! {updo_together, N, go}, client(Id);
        {updo, _, _, _} -> client(Id)
    end.

together_late() ->
    [begin
        {_, Ps} = up_to(Id, job(within(200))),
        is(old, Ps, fun(Why) -> Why =:= {together_late, Id, 200} end)
     end || Id <- [3, ?STANDING, ?DECIDES]].

decision(How) ->
    Ref = make_ref(),
    tell({updo_together_ask, self(), Ref, <<"aa01">>, How}),
    receive {Ref, D} -> D after 5000 -> none_at_all end.

%% To ask is to decide, in either direction; of another group nothing is said.
together_asked() ->
    {_, Ps} = up_to(?DECIDES, job()),
    none = decision(look),
    off = decision(keep),
    tell({updo_together, ?DECIDES, go}),
    is(old, Ps),
    {_, Qs} = up_to(?DECIDES, job()),
    Ref = make_ref(),
    tell({updo_together_ask, self(), Ref, <<"bb02">>, keep}),
    tell({updo_together, ?DECIDES, go}),
    {new, _, _} = until_finished([]),
    receive {Ref, _} -> error(of_another_group) after 0 -> ok end,
    go = decision(keep),
    go = decision(look),
    is_as(new, Qs).

%% Client and question at the same moment, again and again: what was answered is what is done.
together_decided_once() ->
    Outcomes = [begin
        {G, Ps} = up_to(?DECIDES, job()),
        Me = self(),
        Ref = make_ref(),
        spawn(fun() -> agent_tests:spin(rand:uniform(300)), G ! {updo_together, ?DECIDES, go} end),
        spawn(fun() -> agent_tests:spin(rand:uniform(300)), G ! {updo_together_ask, Me, Ref, <<"aa01">>, keep} end),
        D = receive {Ref, X} -> X end,
        is(case D of go -> new; off -> old end, Ps),
        D
     end || _ <- lists:seq(1, 30)],
    io:format("        ~p~n", [[{O, length([x || X <- Outcomes, X =:= O])} || O <- lists:usort(Outcomes)]]).

executor() -> hd([P || P <- processes(), P =/= self(), {_, D} <- [process_info(P, dictionary)], proplists:is_defined(gmon, D)]).

%% Before the decision back, and nothing else can be decided any more; behind it on.
together_executor_killed() ->
    [begin
        {_, Ps} = up_to(?DECIDES, job()),
        Exec = executor(),
        exit(Exec, kill),
        Order =:= late orelse wait(fun() -> not is_process_alive(Exec) end, exec),
        tell({updo_together, ?DECIDES, go}),
        D = decision(keep),
        is(case D of go -> new; off -> old end, Ps)
     end || Order <- [early, early, late, late]],
    [begin
        {_, Ps} = up_to(?DECIDES, job()),
        Exec = executor(),
        erlang:suspend_process(Exec),
        tell({updo_together, ?DECIDES, go}),
        go = decision(look),
        exit(Exec, kill),
        is(new, Ps)
     end || _ <- [1, 2]].

together_guardian_killed() ->
    [begin
        {G, Ps} = up_to(Id, job()),
        exit(G, kill),
        wait(fun() -> is_pid(whereis(updo_run)) andalso whereis(updo_run) =/= G end, guardian),
        tell({updo_together, Id, go}),
        Id =:= ?DECIDES orelse begin come(?DECIDES), tell({updo_together, ?DECIDES, go}) end,
        go = decision(look),
        is(new, Ps)
     end || Id <- [?STANDING, ?DECIDES]],
    %% With the decision in its hands, and not yet in the executor's.
    {G, Ps} = up_to(?DECIDES, job()),
    Exec = executor(),
    erlang:suspend_process(Exec),
    tell({updo_together, ?DECIDES, go}),
    go = decision(look),
    exit(G, kill),
    erlang:resume_process(Exec),
    is(new, Ps).

%% The keeper is not there, and no other node knows anything.
together_follows() ->
    {_, Ps} = up_to(?DECIDES, job(within(200), 'other@nowhere')),
    is(old, Ps, fun(Why) -> Why =:= {together_late, ?DECIDES, 200} end).

%% A way back waits for the others, and not for ever.
together_back_goes_on() ->
    {_, Ps} = up_to(?DECIDES, job()),
    tell({updo_together, ?DECIDES, go}),
    {new, _, _} = until_finished([]),
    Steps = [{20, {barrier, prepared, 100, onward}}, {21, {suspend, [[{t_tog, default}]]}},
             {22, {code_change, down, [{t_tog, {advanced, extra}}]}}, {23, {barrier, {suspended, 0}, 100, onward}},
             {24, {load, [t_tog]}}, {?DECIDES, {barrier, switched, 100, onward}}, {25, {resume, [t_tog]}}],
    tell({updo_run, #{modules => [module(server(t_tog, 1), server(t_tog, 2))], steps => Steps, goal => old, back => []}}),
    tell({updo_together, off}),
    is(old, Ps).

together_interpreted() ->
    interpreted(fun() -> together_passes(), clean(), together_called_off(), clean(), together_alone(), clean(), together_asked() end).
