%% Several nodes at one instant: barriers, where the run of a node waits for those of the others.
%%
%% A client counts the nodes that have come to a barrier, and lets all of them pass. One of the
%% barriers is the decision (`together` of the job names it): every node has switched and converted,
%% and no process has run on. Up to there each node may go back by itself, as exactly as in any
%% window; behind it none does. So that nodes whose client has gone decide alike, the decision is
%% taken once, by the guardian of one of them, the keeper: the client asks that one first, and a
%% node that hears nothing asks it before it goes back. To ask the keeper is to call the switch off,
%% unless it has decided already.

%% -------------------------------------------------------------------------------------------------
%% Step: barrier

%% How: `gather` goes back when nothing is heard for so long; `decide` asks the keeper then;
%% `onward`, on the way back, goes on.
barrier(Id, Ms, How) ->
    case How =:= decide andalso log_get(decided) of
        go -> ok;
        off -> fail({together_off, Id});
        _ -> barrier_waits(Id, now_ms() + Ms, Ms, How)
    end.

barrier_waits(Id, Until, Ms, How) ->
    GMon = get(gmon),
    case get(watchers) of
        [] when How =/= onward -> unheard(Id, How, {together_alone, Id});
        _ ->
            receive
                {updo_together, Id, go} -> passes(How);
                {updo_together, off} when How =/= onward -> is_off(Id);
                {updo_together_serve, Caller, Target} ->
                    serve_other(Caller, Target),
                    barrier_waits(Id, Until, Ms, How);
                {updo_watchers, Ws} -> put(watchers, Ws), barrier_waits(Id, Until, Ms, How);
                {'DOWN', GMon, process, _, _} -> new_guardian(), barrier_waits(Id, Until, Ms, How)
            after max(0, Until - now_ms()) ->
                How =:= onward orelse unheard(Id, How, {together_late, Id, Ms}),
                ok
            end
    end.

passes(decide) -> log({set, decided, go}), check_guardian();
passes(_) -> ok.

is_off(Id) -> log({set, decided, off}), fail({together_off, Id}).

%% Before the decision a node that hears nothing goes back: without it nothing is decided.
unheard(_, gather, Why) -> fail(Why);
unheard(Id, decide, Why) ->
    #{group := Group, keeper := Keeper, nodes := Nodes} = job(together, #{}),
    Mine = fun() -> decision_of(node(), Group, keep, 1000) end,
    D = case decision_of(Keeper, Group, keep, 1000) of
        unknown when Keeper =/= node() ->
            case [N || N <- Nodes -- [Keeper, node()], decision_of(N, Group, look, 200) =:= go] of
                [] -> Mine();
                _ -> go
            end;
        Decided -> Decided
    end,
    case D of
        go ->
            %% A node that asks this one hears it as well.
            get(guardian) ! {updo_together, Id, go},
            passes(decide);
        _ ->
            log({set, decided, off}),
            fail(Why)
    end.

%% go | off | none (not yet, and not called off by this question) | unknown. How: `keep` calls off
%% what is not decided.
decision_of(Node, Group, How, Ms) ->
    GMon = get(gmon),
    Ref = make_ref(),
    Ask = {updo_together_ask, self(), Ref, Group, How},
    case Node =:= node() of
        true -> get(guardian) ! Ask;
        false -> erlang:send({updo_run, Node}, Ask, [noconnect])
    end,
    receive
        {Ref, D} -> D;
        {'DOWN', GMon, process, _, _} when Node =:= node() ->
            new_guardian(),
            decision_of(Node, Group, How, Ms)
    after Ms -> unknown
    end.

%% What a guardian has decided and its executor has not read yet is not lost with the guardian.
decisions_heard() ->
    receive
        {updo_together, off} = Off ->
            log_get(decided) =:= go orelse put(log, log_entry({set, decided, off}, get(log))),
            decisions_heard(),
            self() ! Off;
        {updo_together, Id, go} = Go ->
            case job(together, #{}) of
                #{decides := Id} -> put(log, log_entry({set, decided, go}, get(log)));
                _ -> ok
            end,
            decisions_heard(),
            self() ! Go
    after 0 -> ok
    end.

%% -------------------------------------------------------------------------------------------------
%% Processes that wait for a suspended one of another node

%% What cannot be suspended because it waits for an answer of another node, where the process that
%% would give it is suspended already: that node is asked to let it answer.
ask_others(Slow) ->
    case job(together, none) of
        #{group := Group, nodes := Nodes} ->
            lists:foreach(fun({Caller, Target, Node}) ->
                              Ask = {updo_together_serve, Group, Caller, Target},
                              erlang:send({updo_run, Node}, Ask, [noconnect])
                          end,
                          lists:usort([Call || P <- lists:sublist(Slow, 100),
                                       {_, _, Node} = Call <- calls_elsewhere(P, 4),
                                       lists:member(Node, Nodes)]));
        none -> ok
    end.

%% [{Caller, Target, Node}]: followed through processes of this node that only wait (a task, the
%% process of a multi_call).
calls_elsewhere(_, 0) -> [];
calls_elsewhere(P, Depth) ->
    case process_info(P, [status, monitors]) of
        [{status, waiting}, {monitors, Ms}] ->
            lists:append([called_elsewhere(P, M, Depth) || M <- lists:sublist(Ms, 64)]);
        _ -> []
    end.

called_elsewhere(P, {process, {_, Node} = Target}, _) when Node =/= node() -> [{P, Target, Node}];
called_elsewhere(P, {process, Pid}, _) when is_pid(Pid), node(Pid) =/= node() ->
    [{P, Pid, node(Pid)}];
called_elsewhere(P, {process, Pid}, Depth) when is_pid(Pid), Pid =/= P ->
    calls_elsewhere(Pid, Depth - 1);
called_elsewhere(_, _, _) -> [].

%% One of ours answers it, in the version that has suspended it, and stays suspended. The state that
%% it has then is its state: the caller has the answer, so no undo takes it back.
serve_other(Caller, Target) ->
    Q = case Target of
        {Name, _} -> whereis(Name);
        _ -> Target
    end,
    #{switching := S, on_load := O, converting := C} = get(log),
    Still = S ++ O ++ C =:= [] andalso is_pid(Q),
    case Still andalso suspended_now() of
        #{Q := M} ->
            Server = served_module(Q, M),
            Kind = kind_of_server(Server),
            case Kind =/= none andalso asks(Caller, Q) of
                true ->
                    %% What it has computed is of the state before.
                    early_over(),
                    worker_of(Q) ! {cast, {serve, serve_other_fun({Kind, Server}, Caller),
                                           get(dead_pid)}, Q},
                    ok;
                false -> ok
            end;
        _ -> ok
    end.

serve_other_fun(Server, Caller) ->
    fun(S) ->
        receive
            {'$gen_call', {Caller, _} = From, Request} = Call ->
                case catch answered_by(Server, Request, From, S) of
                    {ok, New, Reply} -> forget_computed(), Reply(), New;
                    _ -> self() ! Call, S
                end
        after 0 -> S
        end
    end.

%% -------------------------------------------------------------------------------------------------
%% The guardian

%% A client lets this node pass a barrier.
together_go(Id, #{log := Log, job := Job, exec := Exec} = G) ->
    case {Job, Log} of
        {#{together := #{decides := Id}}, #{decided := off}} -> G;
        {#{together := #{decides := Id}}, #{runs := 1}} ->
            Exec ! {updo_together, Id, go},
            G#{log := log_entry({set, decided, go}, Log)};
        _ ->
            Exec ! {updo_together, Id, go},
            G
    end.

%% A client, or a node that asks its keeper, calls it off. What is switched already is undone by the
%% executor, when it comes to the barrier.
together_off(#{log := #{decided := none, runs := 1, outcome := undefined} = Log, exec := Exec} =
    G) ->
    Off = G#{log := log_entry({set, decided, off}, Log)},
    case Off of
        #{phase := running, late := undefined,
          log := #{undoing := false, resuming := false, switching := [], on_load := [],
                   live := none, windows := 0, way := there, release_handler := undefined,
                   step := Step}} ->
            exit(Exec, kill),
            Off#{late := {together_off, Step}};
        _ ->
            Exec ! {updo_together, off},
            Off
    end;
together_off(#{log := #{decided := none, runs := 1} = Log} = G) ->
    G#{log := log_entry({set, decided, off}, Log)};
together_off(G) -> G.

%% A process of another node waits for one that this run has suspended.
together_serves(Group, Caller, Target, #{job := Job, exec := Exec, log := Log} = G) ->
    case {Job, Log} of
        {#{together := #{group := Group}}, #{decided := none, undoing := false}} ->
            Exec ! {updo_together_serve, Caller, Target},
            G;
        _ -> G
    end.

%% Another node of the group, or an executor of this one, asks what is decided.
together_asked(From, Ref, Group, How, #{job := Job, exec := Exec} = G) ->
    case Job of
        #{together := #{group := Group}} ->
            Asked = case How of
                keep when From =:= Exec -> together_undecided(G);
                keep -> together_off(G);
                _ -> G
            end,
            From ! {Ref, map_get(decided, maps:get(log, Asked))},
            Asked;
        _ -> G
    end.

%% The executor goes back, or its successor will: from now on nothing else can be decided.
together_undecided(#{job := #{together := _}, log := #{decided := none} = Log} = G) ->
    G#{log := log_entry({set, decided, off}, Log)};
together_undecided(G) -> G.
