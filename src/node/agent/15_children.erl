%% Supervisors: their children are started and stopped, and on the way back their specifications are
%% put back without asking init/1, which may act: it would create tables and start processes once
%% more.

%% -------------------------------------------------------------------------------------------------
%% Step: children

%% => children()
%% What cannot be done is said and no reason to fail. New children run before those that call them:
%% their supervisors have been resumed ahead. One that takes longer, perhaps because its init calls
%% a suspended process, is not waited for in the window: all are resumed, then it is.
children(Ops) ->
    %% Those of an application's list begin while all others are suspended.
    log_get(resuming) orelse found_modules() =:= [] orelse resume_these([]),
    Me = self(),
    Tag = make_ref(),
    Todo = [{Op, concerned_by(Op)} || Op <- Ops],
    Latest = maps:get(until, get(log)),
    {_, Mon} = spawned(fun() -> put(latest, Latest),
        lists:foreach(fun({Op, Pids}) -> Me ! {Tag, Op, change_all(Op, Pids)} end, Todo) end,
            [link, monitor]),
    Until = case log_get(resuming) andalso found_modules() -- log_get(resumed) of
        [_ | _] -> now_ms() + child_pause();
        _ -> infinity
    end,
    put(done_with, []),
    Failed = await_children(Tag, Mon, Ops, [], Until),
    Failed =:= [] orelse log({set, unchildren, Failed ++ maps:get(unchildren, get(log), [])}),
    maps:merge(#{failed => Failed}, done_with(Todo, erase(done_with))).

%% => children(), child()
%% What was inferred and done, and the children that run on though their supervisor's init/1 has
%% them no longer.
done_with(Todo, Done) ->
    Of = fun(Words) -> [#{supervisor => Sup, child => shown_id(Op)}
                        || {What, Sup, _, _} = Op <- lists:reverse(Done),
                        lists:member(What, Words)] end,
    Left = [#{supervisor => Sup, child => Id} || {{renewed, Sup, _}, Ps} <- Todo,
            {_, #{left := Ids}} <- Ps, Id <- Ids],
    Unfound = [M || {{listed, M, #{strict := false}}, []} <- Todo],
    filled(#{started => lists:sublist(Of([start, enlist]), named()),
             stopped => lists:sublist(Of([stop, halt, delist]), named()),
             left => lists:sublist(Left, named()), unfound => lists:sublist(Unfound, named())}).

shown_id({delist, _, {Id, _, _}, _}) -> Id;
shown_id({_, _, Id, _}) -> Id.

child_pause() -> 250.       % ms that new children may take while others are suspended

await_children(_, Mon, [], Failed, _) -> demonitor(Mon, [flush]), lists:reverse(Failed);
await_children(Tag, Mon, [Op | Ops] = All, Failed, Until) ->
    GMon = get(gmon),
    receive
        {Tag, Op, {Bad, Did}} ->
            lists:foreach(fun(One) -> log({add, children_done, One}) end, Did),
            put(done_with, lists:reverse([One || {_, _, _, _} = One <- Did]) ++ get(done_with)),
            await_children(Tag, Mon, Ops, lists:reverse(Bad) ++ Failed, Until);
        {updo_watchers, Ws} -> put(watchers, Ws), await_children(Tag, Mon, All, Failed, Until);
        {'DOWN', GMon, process, _, _} ->
            new_guardian(),
            await_children(Tag, Mon, All, Failed, Until);
        {'DOWN', Mon, process, _, Why} ->
            lists:reverse(Failed) ++
                lists:append([not_changed(O, [text(no_args(Why))]) || O <- All])
    after case Until of infinity -> infinity; _ -> max(0, Until - now_ms()) end ->
        put(early, resume_all([])),
        await_children(Tag, Mon, All, Failed, infinity)
    end.

%% What a resume step has resumed, with those that a slow child did not keep waiting.
with_early(Info) ->
    case erase(early) of
        undefined -> Info;
        Early ->
            maps:map(fun(K, V) when is_integer(V) -> V + maps:get(K, Early, 0); (_, V) -> V end,
                     Info)
    end.

%% A step that resumes some of the window's processes before the others.
ahead(Ms) ->
    resume_these([M || M <- Ms, lists:member(M, found_modules()),
                  not lists:member(M, log_get(resumed))]).

%% [Pid], for what is inferred [{Pid, What is to be done there}]: each supervisor knows what its
%% conversion has changed.
concerned_by({renewed, M, Wanted}) ->
    Md5 = case log_get(before) of #{M := #{md5 := Was}} -> [Was]; _ -> [] end,
    [{P, renewed(Wanted, Kept)} || P <- of_otp(M), #{ran := _} = Kept <- [kept(P, M, Md5)]];
concerned_by({revoked, M, Known}) ->
    [{P, #{halt => lists:reverse(case kept(P, M, returning(M)) of
                                     #{starts := Ids, moved := Moved} ->
                                         Ids ++ [Id || Id <- Moved, lists:member(Id,
                                             maps:get(restart, Known))];
                                     none -> maps:get(start, Known)
                                 end)}} || P <- of_otp(M)];
concerned_by({reinstated, M, Known}) ->
    [{P, case kept(P, M, returning(M)) of
             #{ran := Ids} ->
                 Ours = maps:get(stop, Known) ++ maps:get(restart, Known),
                 #{start => [Id || Id <- Ids, lists:member(Id, Ours)]};
             none -> #{again => maps:get(stop, Known)}
         end} || P <- of_otp(M)];
concerned_by({listed, M, Known}) ->
    Md5 = case log_get(before) of #{M := #{md5 := Was}} -> Was; _ -> none end,
    [{P, Md5} || P <- listing(M, Known)];
concerned_by({What, M, Known}) when What =:= unlisted; What =:= relisted ->
    [{P, kept_listed(P, M, returning(M)), returning(M)} || P <- listing(M, Known)];
%% In records of earlier versions: only where the upgrade that is gone back from has added the
%% child.
concerned_by({added, M, Id}) ->
    Md5s = returning(M),
    [P || P <- supervisors(M), {dictionary, D} <- [process_info(P, dictionary)],
     {{updo, specifications}, All} <- D,
          lists:any(fun({_, Md5, #{added := Ids}}) -> lists:member(Md5, Md5s)
              andalso lists:member(Id, Ids); (_) -> false end, All)];
concerned_by({_, M, _}) -> supervisors(M).

%% A fun of the module may be what another process began with, an Elixir agent for one.
of_otp(M) -> [P || P <- supervisors(M), {dictionary, D} <- [process_info(P, dictionary)],
                    {_, {supervisor, N, _}} <- [lists:keyfind('$initial_call', 1, D)], N =:= M].

returning(M) -> [md5(B) || #{name := N, new := B} <- job(modules, []), N =:= M, is_binary(B)].

%% What a supervisor has kept of the conversion that led away from one of these versions.
kept(P, M, Md5s) ->
    Of = fun(D) -> [K || {{updo, specifications}, All} <- D, {N, Md5, #{ran := _} = K} <- All,
                    N =:= M, lists:member(Md5, Md5s)] end,
    case process_info(P, dictionary) of
        {dictionary, D} -> case Of(D) of [K | _] -> K; [] -> none end;
        undefined -> none
    end.

%% Only what was shown is stopped; what a restart would start is started. What is `left` is said.
renewed(#{start := Start, stop := Stop, restart := Restart, tell := Tell},
        #{starts := New, drops := Dropped, moved := Moved, new_order := Order, ran := Ran}) ->
    Named = fun(Ids, Of) -> [Id || is_list(Of), Id <- Ids, lists:member(Id, Of)] end,
    Again = Named(Moved, Restart),
    Stopped = Named(Dropped, Stop),
    #{stop => Stopped, halt => Again,
      start => [Id || Id <- Order, lists:member(Id, Again) orelse Start =:= all
                andalso lists:member(Id, New)],
      %% Where all that the old init/1 has is known, the others were started by hand.
      left => [Id || Tell, is_list(Stop), Id <- Dropped -- Stopped, lists:member(Id, Ran)]
              ++ [Id || is_list(Restart), Id <- Moved -- Again]}.

%% Those of this run, converted; a way back begins with its children, before anything is suspended.
supervisors(M) ->
    Mine = [Parts || {N, Parts} <- log_get(converted), N =:= M] ++ parts_of(M),
    All = case Mine of
        [] -> {Found, _} = find(#{M => true}, []), maps:values(Found);
        _ -> Mine
    end,
    lists:usort([P || Parts <- All, Part <- tuple_to_list(Parts), P <- Part, is_process_alive(P)]).

%% {[What could not be done], [What was]}.
change_all({What, Sup, _}, Pids) when What =:= renewed; What =:= revoked; What =:= reinstated ->
    Did = [{Word, Sup, Id, P, change_child(Word, P, Id)}
           || {P, Todo} <- Pids, {Word, Ids} <- [{W, maps:get(W, Todo, [])}
                                                 || W <- [stop, halt, start, again]], Id <- Ids],
    {lists:append([not_changed({word(Word), Sup, Id}, [text(Why)])
                   || {Word, _, Id, _, {error, Why}} <- Did]),
     [{word(Word), Sup, Id, P} || {Word, _, Id, P, ok} <- Did]};
change_all({What, _, _} = Op, Pids) when What =:= listed; What =:= unlisted; What =:= relisted ->
    change_listed(Op, Pids);
change_all(Op, Pids) ->
    case change_children(Op, Pids) of
        [] -> {[], [Op]};
        Bad -> {Bad, []}
    end.

word(again) -> start;
word(Word) -> Word.

%% `ok` only for what was done: that is what is undone.
change_child(start, P, Id) ->
    case child(start_new, P, Id) of {error, running} -> running; Answer -> Answer end;
change_child(halt, P, Id) -> child(halt_running, P, Id);
%% A supervisor that has been restarted since may have been given other children.
change_child(again, P, Id) ->
    case child(start_new, P, Id) of {error, Why} when Why =:= running; Why =:= not_found -> Why;
        Answer -> Answer end;
change_child(Word, P, Id) -> child(Word, P, Id).

change_children({What, _, _} = Op, []) when What =:= start; What =:= stop ->
    not_changed(Op, [<<"no process of it was found">>]);
change_children({What, _, Id} = Op, Pids) ->
    not_changed(Op, [text(Why) || P <- Pids, {error, Why} <- [child(What, P, Id)]]).

%% => failed_child()
not_changed({What, Sup, Id}, Whys) ->
    [#{what => What, supervisor => Sup, child => Id, reason => Why} || Why <- Whys].

%% In a process of its own: a child that hangs in its init must not take the executor along, nor its
%% supervisor, which waits for it and answers nothing meanwhile: such a child is ended.
child(What, Sup, Id) ->
    Links = links(Sup),
    {Pid, Mon} = spawned(fun() -> exit({done, child_done(What, Sup, Id)}) end, [monitor]),
    receive
        {'DOWN', Mon, process, _, {done, Answer}} -> Answer;
        {'DOWN', Mon, process, _, Why} -> {error, no_args(Why)}
    after child_limit(What) ->
        [exit(P, kill) || lists:member(What, [start, start_new, restart, enlist, relist]),
         P <- links(Sup) -- Links, is_child_of(P, Sup)],
        receive {'DOWN', Mon, process, _, _} -> ok
        after 1000 -> demonitor(Mon, [flush]), exit(Pid, kill)
        end,
        {error, no_answer}
    end.

%% ms for one operation: up to the deadline of the run, but never less than a second: it is needed
%% behind the deadline too, on the way back. A question leaves time for what follows it.
child_limit(What) ->
    Latest = case get(latest) of undefined -> maps:get(until, get(log)); Known -> Known end,
    Left = case Latest of infinity -> 30000; _ -> max(1000, min(30000, Latest - now_ms())) end,
    case lists:member(What, [look, specs, asleep, identify]) of
        true -> max(1000, Left div 4); false -> Left end.

links(P) ->
    case process_info(P, links) of
        {links, All} -> [L || L <- All, is_pid(L), node(L) =:= node()];
        undefined -> []
    end.

is_child_of(P, Sup) ->
    case process_info(P, dictionary) of
        {dictionary, D} ->
            case lists:keyfind('$ancestors', 1, D) of
                {_, [Sup | _]} -> true;
                {_, [Name | _]} when is_atom(Name) -> whereis(Name) =:= Sup;
                _ -> false
            end;
        undefined -> false
    end.

%% Repeating does no harm.
child_done(start, Sup, Id) ->
    case child_done(start_new, Sup, Id) of
        {error, running} -> ok;
        Answer -> Answer
    end;
child_done(start_new, Sup, Id) ->
    case supervisor:restart_child(Sup, Id) of
        {error, _} = Error -> Error;
        _ -> ok
    end;
child_done(stop, Sup, Id) ->
    case child_done(halt, Sup, Id) of
        ok -> child_done(forget, Sup, Id);
        Error -> Error
    end;
%% The specification stays: started anew, or put back by the way back.
child_done(added, Sup, Id) -> child_done(halt, Sup, Id);
child_done(halt_running, Sup, Id) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Sup)) of
        {_, Pid, _, _} when is_pid(Pid) -> child_done(halt, Sup, Id);
        _ -> not_running
    end;
child_done(halt, Sup, Id) -> not_there(supervisor:terminate_child(Sup, Id));
child_done(forget, Sup, Id) -> not_there(supervisor:delete_child(Sup, Id));
child_done(What, Sup, One) -> listed_done(What, Sup, One).

not_there({error, not_found}) -> ok;
not_there(Answer) -> Answer.

%% The run has not ended as it was to: what it has done with children is undone, the last first.
%% What cannot be.
children_back() ->
    Ops = lists:append([case Op of
                            {halt, Sup, Id} -> [{{start, Sup, Id}, all}];
                            {added, Sup, Id} -> [{{start, Sup, Id}, all}];
                            {start, Sup, Id} -> [{{halt, Sup, Id}, all}];
                            {halt, Sup, Id, P} -> [{{start, Sup, Id}, P}];
                            {start, Sup, Id, P} -> [{{halt, Sup, Id}, P}];
                            {enlist, Sup, Id, P} -> [{{unlist, Sup, Id}, P}];
                            {delist, Sup, One, P} -> [{{relist, Sup, One}, P}];
                            {arrange, _, _, _} -> [{Op, element(4, Op)}];
                            _ -> []
                        end || Op <- maps:get(children_done, get(log), [])]),
    log({set, children_done, []}),
    lists:append([case P of
                      all -> change_children(Op, supervisors(element(2, Op)));
                      _ -> undo_child_op(Op, [P || is_process_alive(P)])
                  end || {Op, P} <- Ops]).

undo_child_op({relist, Sup, {Id, _, _} = One}, Ps) ->
    not_changed({start, Sup, Id}, [text(Why) || P <- Ps, {error, Why} <- [child(relist, P, One)]]);
undo_child_op({unlist, Sup, Id}, Ps) ->
    not_changed({stop, Sup, Id}, [text(Why) || P <- Ps, {error, Why} <- [child(unlist, P, Id)]]);
undo_child_op({arrange, _, Before, _}, Ps) ->
    lists:foreach(fun(P) -> child(arrange, P, Before) end, Ps), [];
undo_child_op(Op, Ps) -> change_children(Op, Ps).

%% -------------------------------------------------------------------------------------------------
%% Specifications

%% OTP renews them by the init/1 of the code that is loaded, on the way back too. So a conversion
%% upwards leaves in the supervisor's dictionary what it has changed in the state, for as long as
%% that version runs, and the way back puts that back: of the specifications only, for the children
%% are others by then. Where nothing is kept (the supervisor has been restarted since, or another
%% tool has upgraded it) init/1 runs again.
%%
%% {updo, specifications} => [{Module, Md5 of the version to which it leads back, Kept}], at most
%% three.
%%
%% OTP keeps specifications that the new init/1 does not have any more, and does not say which. So
%% while it renews them the old ones bear a mark behind their `modules`, which the new ones are
%% without.

%% {Parts of supervisors, parts of others}. Others than OTP's and Elixir's own are converted as
%% servers are.
by_kind(M, All) ->
    case lists:member(M, job(supervisors, [])) of
        false -> {[], All};
        true ->
            Fast = can_ask_for_one_key(),
            Is = fun(P) ->
                case in_dictionary('$initial_call', look(P, Fast)) of
                    {Sup, _, 1} -> Sup =:= supervisor orelse Sup =:= 'Elixir.DynamicSupervisor';
                    _ -> false
                end
            end,
            Pairs = [[lists:partition(Is, Part) || Part <- tuple_to_list(Parts)] || Parts <- All],
            Some = fun(L) -> [Parts || Parts <- L, parts_size(Parts) > 0] end,
            {Some([list_to_tuple([S || {S, _} <- Pair]) || Pair <- Pairs]),
             Some([list_to_tuple([O || {_, O} <- Pair]) || Pair <- Pairs])}
    end.

%% The conversion of supervisors, up or down.
renew_op(M, {down, _} = Vsn, Extra, Save) ->
    {revert, {M, current_md5(M), Vsn, Extra, self()}, Save, get(dead_pid)};
renew_op(M, Vsn, Extra, Save) ->
    #{M := #{md5 := Md5}} = log_get(before),
    Ops = lists:append([L || {_, {children, L}} <- job(steps, [])]),
    Stops = [Id || {stop, Sup, Id} <- Ops, Sup =:= M],
    Shown = lists:append([Ids || {renewed, Sup, #{stop := Ids}} <- Ops, Sup =:= M, is_list(Ids)]),
    {renew, M, Vsn, Extra, fun(S) -> marked(Save(S)) end, keep_fun(M, Md5, {Stops, Shown}),
     get(dead_pid)}.

%% OTP's {state, Name, Strategy, {Ids, #{Id => Child}}, ...}, whose children end in their `modules`.
marked(S) when is_tuple(S) ->
    with_children(S, fun(Mods) -> case is_marked(Mods) of true -> Mods; false -> mark(Mods) end
        end);
marked(S) -> S.

mark(Mods) when is_list(Mods) -> Mods ++ ['$updo_old'];
mark(dynamic) -> ['$updo_old_dynamic'];
mark(Other) -> Other.

is_marked(Mods) ->
    is_list(Mods) andalso (lists:member('$updo_old', Mods) orelse Mods =:= ['$updo_old_dynamic']).

unmark(['$updo_old_dynamic']) -> dynamic;
unmark(Mods) -> Mods -- ['$updo_old'].

%% {State, [Id] that were marked still}.
unmarked(S) when is_tuple(S) ->
    Marked = [Id || {_, Db} <- children_of(S), {Id, Child} <- maps:to_list(Db),
              is_marked(modules_of(Child))],
    {with_children(S, fun(Mods) -> case is_marked(Mods) of true -> unmark(Mods); false -> Mods end
        end), Marked};
unmarked(S) -> {S, []}.

children_of(S) ->
    [C || {Ids, Db} = C <- tuple_to_list(S), is_list(Ids), is_map(Db),
     are_children(maps:values(Db))].
are_children(Children) ->
    lists:all(fun(C) -> is_tuple(C) andalso element(1, C) =:= child end, Children).
modules_of(Child) -> element(tuple_size(Child), Child).

with_children(S, Fun) ->
    list_to_tuple([case lists:member(E, children_of(S)) of
                       true ->
                           {Ids, Db} = E,
                           {Ids, maps:map(fun(_, C) -> setelement(tuple_size(C), C,
                               Fun(modules_of(C))) end, Db)};
                       false -> E
                   end || E <- tuple_to_list(S)]).

%% Runs inside the supervisor, right after its conversion.
keep_fun(M, Md5, Stops) ->
    fun(Renewed) ->
        {S, Dropped} = unmarked(Renewed),
        Kept = case get('$updo_saved') of {_, _, Old} -> difference(Old, S, Stops, Dropped);
            _ -> none end,
        case get({updo, specifications}) of
            _ when Kept =:= none -> ok;
            undefined -> put({updo, specifications}, [{M, Md5, Kept}]);
            All ->
                put({updo, specifications}, lists:sublist([{M, Md5, Kept} | lists:keydelete(Md5, 2,
                    All)], 3))
        end,
        S
    end.

%% What a conversion has changed, without pids. Nothing but init/1 has changed the state of a
%% suspended process.
difference(Old, New, _, _) when is_map(Old), is_map(New) ->
    #{keys => [{K, V, maps:get(K, New)} || {K, V} <- maps:to_list(Old), is_map_key(K, New),
               maps:get(K, New) =/= V]};
difference(Old, New, {Stops, Shown}, Dropped) when is_tuple(Old), is_tuple(New),
tuple_size(Old) =:= tuple_size(New) ->
    Differ = [{I, element(I, Old), element(I, New)} || I <- lists:seq(1, tuple_size(Old))],
    case [{I, O, N} || {I, {L, O}, {K, N}} <- Differ, is_list(L), is_list(K), is_map(O),
          is_map(N)] of
        [{At, O, N}] ->
            {Order, _} = element(At, Old),
            {Ids, _} = element(At, New),
            Simple = lists:member(simple_one_for_one, tuple_to_list(Old) ++ tuple_to_list(New)),
            Starts = [Id || not Simple, Id <- lists:reverse(Ids), not is_map_key(Id, O)],
            Moved = [Id || not Simple, Id <- lists:reverse(Ids) -- Dropped, is_map_key(Id, O),
                     moved(maps:get(Id, O), maps:get(Id, N))],
            Drops = [Id || not Simple, Id <- Dropped],
            #{flags => [D || {I, A, B} = D <- Differ, I =/= At, A =/= B], at => At, order => Order,
              starts => Starts, moved => Moved, drops => Drops, new_order => lists:reverse(Ids),
              ran => [Id || Id <- lists:reverse(Order), lists:member(Id, Drops ++ Moved),
                            is_pid(element(2, maps:get(Id, O)))],
              added => [Id || Id <- Ids, not is_map_key(Id, O)],
              changed => [{Id, spec(A), spec(maps:get(Id, N))}
                          || {Id, A} <- maps:to_list(O), is_map_key(Id, N),
                          spec(A) =/= spec(maps:get(Id, N))],
              gone => [{Id, spec(A)} || {Id, A} <- maps:to_list(O),
                       not is_map_key(Id, N) orelse lists:member(Id, Stops)
                           orelse lists:member(Id, Drops) andalso lists:member(Id, Shown)]};
        _ -> none
    end;
difference(_, _, _, _) -> none.

%% The child of the same name is another one: its start and its `modules` are, and its process runs
%% none of these.
moved(Was, Is) ->
    {{M1, _, _}, {M2, _, _}} = {element(4, Was), element(4, Is)},
    {Old, New} = {modules_of(Was), modules_of(Is)},
    M1 =/= M2 andalso is_list(Old) andalso is_list(New) andalso Old -- New =:= Old andalso
        not lists:member(run_by(element(2, Was)), [M2 | New]).

run_by(P) when is_pid(P) ->
    case process_info(P, dictionary) of
        {dictionary, D} ->
            case lists:keyfind('$initial_call', 1, D) of
                {_, {supervisor, M, _}} -> M;
                {_, {M, _, _}} -> M;
                _ -> undefined
            end;
        undefined -> undefined
    end;
run_by(_) -> undefined.

%% A child without its process.
spec(Child) -> setelement(2, Child, undefined).

%% Only what is still as the conversion has left it.
put_back(S, #{keys := Keys}) ->
    lists:foldl(fun({K, O, N}, Acc) -> case Acc of
        #{K := Now} when Now =:= N -> Acc#{K := O}; _ -> Acc end end, S, Keys);
put_back(S, #{flags := Flags, at := At, order := Order, added := Added, changed := Changed,
              gone := Gone}) ->
    S1 = lists:foldl(fun({I, O, N}, Acc) -> case element(I, Acc) of
        N -> setelement(I, Acc, O); _ -> Acc end end, S, Flags),
    {Ids, Db} = element(At, S1),
    Ghosts = [Id || Id <- Added, is_map_key(Id, Db), spec(maps:get(Id, Db)) =:= maps:get(Id, Db)],
    Db1 = lists:foldl(fun({Id, O, N}, Acc) ->
                          case Acc of
                              #{Id := C} ->
                                  case spec(C) of N -> Acc#{Id := setelement(2, O, element(2, C))};
                                      _ -> Acc end;
                              _ -> Acc
                          end
                      end, maps:without(Ghosts, Db), Changed),
    Db2 = lists:foldl(fun({Id, O}, Acc) -> case is_map_key(Id, Acc) of
        true -> Acc; false -> Acc#{Id => O} end end, Db1, Gone),
    Known = maps:from_list([{Id, true} || Id <- Order]),
    setelement(At, S1, {[Id || Id <- Ids ++ Order, is_map_key(Id, Db2),
                         not is_map_key(Id, Known)] ++ [Id || Id <- Order, is_map_key(Id, Db2)],
                             Db2}).

%% Runs inside the supervisor, on the way back, in place of change_code.
revert_fun(From, {M, Md5, Vsn, Extra, Exec}) ->
    fun(S) ->
        try
            Kept = case get({updo, specifications}) of
                undefined -> false; All -> lists:keyfind(Md5, 2, All) end,
            New = case Kept of
                {M, Md5, What} -> put_back(S, What);
                _ ->
                    Exec ! {init_again, self()},
                    case (case S of #{'__struct__' := Sup} -> Sup; _ -> supervisor
                        end):code_change(Vsn, S, Extra) of
                        {ok, Other} -> Other;
                        {error, Why} -> throw({updo_refused, Why});
                        Why -> throw({updo_refused, Why})
                    end
            end,
            tell(From, ok),
            New
        catch
            throw:{updo_refused, No} -> tell(From, {error, No}), S;
            Class:Reason:Stack -> tell(From, {error, {Class, Reason, no_args(Stack)}}), S
        end
    end.

%% The supervisors whose init/1 had to run again.
init_again() -> init_again([]).
init_again(Ps) -> receive {init_again, P} -> init_again([P | Ps]) after 0 -> lists:usort(Ps) end.

%% Inside a supervisor: what leads back to the version that runs now is of no use any more.
forget_kept() ->
    case get({updo, specifications}) of
        undefined -> ok;
        All ->
            case [E || {M, Md5, _} = E <- All, current_md5(M) =/= Md5] of
                [] -> erase({updo, specifications});
                Left -> put({updo, specifications}, Left)
            end
    end.

portable_forget_kept() ->
    "case get({updo, specifications}) of undefined -> ok; Ks -> "
    "case [Kept || {KM, Md5, _} = Kept <- Ks, KM:module_info(md5) =/= Md5] of "
    "[] -> erase({updo, specifications}); Left -> put({updo, specifications}, Left) end end, ".
