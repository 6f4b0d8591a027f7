%% Supervisors: their children are started and stopped, and on the way back their specifications are put back without
%% asking init/1, which may act: it would create tables and start processes once more.

%% ---------------------------------------------------------------------------------------------------------------
%% Step: children

%% What cannot be done is said and no reason to fail. New children run before those who call them: their supervisors
%% have been resumed ahead. One that takes longer, perhaps because its init calls a suspended process, is not waited
%% for in the window: all are resumed, then it is.
children(Ops) ->
    Me = self(),
    Tag = make_ref(),
    Todo = [{Op, concerned_by(Op)} || Op <- Ops],
    {_, Mon} = spawn_opt(fun() -> lists:foreach(fun({Op, Pids}) -> Me ! {Tag, Op, tend(Op, Pids)} end, Todo) end, [link, monitor]),
    Until = case log_get(resuming) andalso found_modules() -- log_get(resumed) of
        [_ | _] -> now_ms() + child_pause();
        _ -> infinity
    end,
    Failed = tended(Tag, Mon, Ops, [], Until),
    Failed =:= [] orelse log({set, unchildren, Failed ++ maps:get(unchildren, get(log), [])}),
    #{failed => Failed}.

child_pause() -> 250.       % ms that new children may take while others are suspended

tended(_, Mon, [], Failed, _) -> demonitor(Mon, [flush]), lists:reverse(Failed);
tended(Tag, Mon, [Op | Ops] = All, Failed, Until) ->
    GMon = get(gmon),
    receive
        {Tag, Op, Bad} ->
            Bad =:= [] andalso log({add, tended, Op}),
            tended(Tag, Mon, Ops, lists:reverse(Bad) ++ Failed, Until);
        {updo_watchers, Ws} -> put(watchers, Ws), tended(Tag, Mon, All, Failed, Until);
        {'DOWN', GMon, process, _, _} -> new_guardian(), tended(Tag, Mon, All, Failed, Until);
        {'DOWN', Mon, process, _, Why} -> lists:reverse(Failed) ++ lists:append([untended(O, [text(no_args(Why))]) || O <- All])
    after case Until of infinity -> infinity; _ -> max(0, Until - now_ms()) end ->
        put(early, resume_all([])),
        tended(Tag, Mon, All, Failed, infinity)
    end.

%% What a resume step has resumed, with those that a slow child did not keep waiting.
with_early(Info) ->
    case erase(early) of
        undefined -> Info;
        Early -> maps:map(fun(K, V) when is_integer(V) -> V + maps:get(K, Early, 0); (_, V) -> V end, Info)
    end.

%% A step that resumes some of the window's processes before the others.
ahead(Ms) -> resume_these([M || M <- Ms, lists:member(M, found_modules()), not lists:member(M, log_get(resumed))]).

%% `added`: only where the upgrade that is gone back from has added the child.
concerned_by({added, M, Id}) ->
    Md5s = [md5(B) || #{name := N, new := B} <- job(modules, []), N =:= M, is_binary(B)],
    [P || P <- supervisors(M), {dictionary, D} <- [process_info(P, dictionary)], {{updo, specifications}, All} <- D,
          lists:any(fun({_, Md5, #{added := Ids}}) -> lists:member(Md5, Md5s) andalso lists:member(Id, Ids); (_) -> false end, All)];
concerned_by({_, M, _}) -> supervisors(M).

%% Those of this run, converted; a way back begins with its children, before anything is suspended.
supervisors(M) ->
    Mine = [Parts || {N, Parts} <- log_get(converted), N =:= M] ++ parts_of(M),
    All = case Mine of
        [] -> {Found, _} = find(#{M => true}, []), maps:values(Found);
        _ -> Mine
    end,
    lists:usort([P || Parts <- All, Part <- tuple_to_list(Parts), P <- Part, is_process_alive(P)]).

tend({What, _, _} = Op, []) when What =:= start; What =:= stop -> untended(Op, [<<"no process of it was found">>]);
tend({What, _, Id} = Op, Pids) -> untended(Op, [text(Why) || P <- Pids, {error, Why} <- [child(What, P, Id)]]).

untended({What, Sup, Id}, Whys) -> [#{what => What, supervisor => Sup, child => Id, reason => Why} || Why <- Whys].

%% In a process of its own: a child that hangs in its init must not take the executor along.
child(What, Sup, Id) ->
    {Pid, Mon} = spawn_monitor(fun() -> exit({done, child_done(What, Sup, Id)}) end),
    receive
        {'DOWN', Mon, process, _, {done, Answer}} -> Answer;
        {'DOWN', Mon, process, _, Why} -> {error, no_args(Why)}
    after 30000 ->
        demonitor(Mon, [flush]),
        exit(Pid, kill),
        {error, no_answer}
    end.

%% Repeating does no harm.
child_done(start, Sup, Id) ->
    case supervisor:restart_child(Sup, Id) of
        {error, running} -> ok;
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
child_done(halt, Sup, Id) -> not_there(supervisor:terminate_child(Sup, Id));
child_done(forget, Sup, Id) -> not_there(supervisor:delete_child(Sup, Id)).

not_there({error, not_found}) -> ok;
not_there(Answer) -> Answer.

%% The run has not ended as it was to: what it has done with children is undone, the last first. What cannot be.
children_back() ->
    Ops = lists:append([case Op of
                            {halt, Sup, Id} -> [{start, Sup, Id}];
                            {added, Sup, Id} -> [{start, Sup, Id}];
                            {start, Sup, Id} -> [{halt, Sup, Id}];
                            _ -> []
                        end || Op <- maps:get(tended, get(log), [])]),
    log({set, tended, []}),
    lists:append([tend(Op, supervisors(Sup)) || {_, Sup, _} = Op <- Ops]).

%% ---------------------------------------------------------------------------------------------------------------
%% Specifications

%% OTP renews them by the init/1 of the code that is loaded, on the way back too. So a conversion upwards leaves in the
%% supervisor's dictionary what it has changed in the state, for as long as that version runs, and the way back puts
%% that back: of the specifications only, for the children are others by then. Where nothing is kept (the supervisor has
%% been restarted since, or another tool has upgraded it) init/1 runs again.
%%
%% {updo, specifications} => [{Module, Md5 of the version to which it leads back, Kept}], at most three.

%% {Parts of supervisors, parts of others}. Others than OTP's and Elixir's own are converted as servers are.
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
            {Some([list_to_tuple([S || {S, _} <- Pair]) || Pair <- Pairs]), Some([list_to_tuple([O || {_, O} <- Pair]) || Pair <- Pairs])}
    end.

%% The conversion of supervisors, up or down.
renew_op(M, {down, _} = Vsn, Extra, Save) -> {revert, {M, current_md5(M), Vsn, Extra, self()}, Save, get(nobody)};
renew_op(M, Vsn, Extra, Save) ->
    #{M := #{md5 := Md5}} = log_get(before),
    Stops = [Id || {_, {children, Ops}} <- job(steps, []), {stop, Sup, Id} <- Ops, Sup =:= M],
    {renew, M, Vsn, Extra, Save, keep_fun(M, Md5, Stops), get(nobody)}.

%% Runs inside the supervisor, right after its conversion.
keep_fun(M, Md5, Stops) ->
    fun(S) ->
        Kept = case get('$updo_saved') of {_, _, Old} -> difference(Old, S, Stops); _ -> none end,
        case get({updo, specifications}) of
            _ when Kept =:= none -> ok;
            undefined -> put({updo, specifications}, [{M, Md5, Kept}]);
            All -> put({updo, specifications}, lists:sublist([{M, Md5, Kept} | lists:keydelete(Md5, 2, All)], 3))
        end,
        S
    end.

%% What a conversion has changed, without pids. Nobody but init/1 has changed the state of a suspended process.
difference(Old, New, _) when is_map(Old), is_map(New) ->
    #{keys => [{K, V, maps:get(K, New)} || {K, V} <- maps:to_list(Old), is_map_key(K, New), maps:get(K, New) =/= V]};
difference(Old, New, Stops) when is_tuple(Old), is_tuple(New), tuple_size(Old) =:= tuple_size(New) ->
    Differ = [{I, element(I, Old), element(I, New)} || I <- lists:seq(1, tuple_size(Old))],
    case [{I, O, N} || {I, {L, O}, {K, N}} <- Differ, is_list(L), is_list(K), is_map(O), is_map(N)] of
        [{At, O, N}] ->
            {Order, _} = element(At, Old),
            {Ids, _} = element(At, New),
            #{flags => [D || {I, A, B} = D <- Differ, I =/= At, A =/= B], at => At, order => Order,
              added => [Id || Id <- Ids, not is_map_key(Id, O)],
              changed => [{Id, spec(A), spec(maps:get(Id, N))}
                          || {Id, A} <- maps:to_list(O), is_map_key(Id, N), spec(A) =/= spec(maps:get(Id, N))],
              gone => [{Id, spec(A)} || {Id, A} <- maps:to_list(O), not is_map_key(Id, N) orelse lists:member(Id, Stops)]};
        _ -> none
    end;
difference(_, _, _) -> none.

%% A child without its process.
spec(Child) -> setelement(2, Child, undefined).

%% Only what is still as the conversion has left it.
put_back(S, #{keys := Keys}) ->
    lists:foldl(fun({K, O, N}, Acc) -> case Acc of #{K := Now} when Now =:= N -> Acc#{K := O}; _ -> Acc end end, S, Keys);
put_back(S, #{flags := Flags, at := At, order := Order, added := Added, changed := Changed, gone := Gone}) ->
    S1 = lists:foldl(fun({I, O, N}, Acc) -> case element(I, Acc) of N -> setelement(I, Acc, O); _ -> Acc end end, S, Flags),
    {Ids, Db} = element(At, S1),
    Ghosts = [Id || Id <- Added, is_map_key(Id, Db), spec(maps:get(Id, Db)) =:= maps:get(Id, Db)],
    Db1 = lists:foldl(fun({Id, O, N}, Acc) ->
                          case Acc of
                              #{Id := C} -> case spec(C) of N -> Acc#{Id := setelement(2, O, element(2, C))}; _ -> Acc end;
                              _ -> Acc
                          end
                      end, maps:without(Ghosts, Db), Changed),
    Db2 = lists:foldl(fun({Id, O}, Acc) -> case is_map_key(Id, Acc) of true -> Acc; false -> Acc#{Id => O} end end, Db1, Gone),
    Known = maps:from_list([{Id, true} || Id <- Order]),
    setelement(At, S1, {[Id || Id <- Ids ++ Order, is_map_key(Id, Db2), not is_map_key(Id, Known)] ++ [Id || Id <- Order, is_map_key(Id, Db2)], Db2}).

%% Runs inside the supervisor, on the way back, in place of change_code.
revert_fun(From, {M, Md5, Vsn, Extra, Exec}) ->
    fun(S) ->
        try
            Kept = case get({updo, specifications}) of undefined -> false; All -> lists:keyfind(Md5, 2, All) end,
            New = case Kept of
                {M, Md5, What} -> put_back(S, What);
                _ ->
                    Exec ! {init_again, self()},
                    case (case S of #{'__struct__' := Sup} -> Sup; _ -> supervisor end):code_change(Vsn, S, Extra) of
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
