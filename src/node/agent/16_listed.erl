%% Children that the start/2 of an application lists for its supervisor. No init/1 has them: start/2
%% runs when the application starts, and the supervisor keeps what it was given then. So they are
%% added and deleted one by one.

%% -------------------------------------------------------------------------------------------------
%% The supervisor

%% [Pid]: by a name that the lists give it, else the one at the top of the application that runs
%% this module.
listing(M, Known) ->
    Named = [P || N <- maps:get(names, Known), P <- [registered_as(N)], is_pid(P),
             node(P) =:= node(), is_otp_supervisor(P)],
    lists:sublist(Named ++ case Named of [] -> lists:append([top_of(App)
        || App <- run_by_module(M)]); _ -> [] end, 1).

registered_as({global, N}) -> global:whereis_name(N);
registered_as({via, Mod, N}) -> try Mod:whereis_name(N) catch _:_ -> undefined end;
registered_as(N) when is_atom(N) -> whereis(N);
registered_as(_) -> undefined.

is_otp_supervisor(P) ->
    case process_info(P, dictionary) of
        {dictionary, D} ->
            case lists:keyfind('$initial_call', 1, D) of
                {_, {supervisor, _, 1}} -> true; _ -> false end;
        undefined -> false
    end.

run_by_module(M) ->
    Running = try application:which_applications() catch _:_ -> [] end,
    [App || {App, _, _} <- Running, {ok, {Mod, _}} <- [application:get_key(App, mod)], Mod =:= M].

%% Before OTP 26: started by a process that has no ancestors itself.
top_of(App) ->
    Found = case erlang:function_exported(application, get_supervisor, 1) of
        true -> case application:get_supervisor(App) of {ok, P} -> [P]; _ -> [] end;
        false ->
            [P || P <- processes(), {dictionary, D} <- [process_info(P, dictionary)],
                  {_, [_]} <- [lists:keyfind('$ancestors', 1, D)],
                  application:get_application(P) =:= {ok, App}]
    end,
    case [S || S <- Found, is_otp_supervisor(S)] of [Top] -> [Top]; _ -> [] end.

%% -------------------------------------------------------------------------------------------------
%% What is done

%% {[What could not be done], [What was]}, as tend_all/2. An entry of a list is {exact or like, Id,
%% [Item]}: `like` has the usual identifier of such an item, and only its module can say which it
%% is.
tend_listed({listed, M, #{strict := true, start := Start, stop := Stop}}, []) ->
    Todo = [{start, E} || E <- Start] ++ [{stop, E} || E <- Stop],
    {lists:append([untended({What, M, Id}, [<<"no process of its supervisor was found">>])
                   || {What, {_, Id, _}} <- Todo]), []};
tend_listed(_, []) -> {[], []};
tend_listed({listed, M, #{start := Start, stop := Stop}} = Op, [{P, _}] = Pids) ->
    case child(look, P, all) of
        {ok, Before} -> tend_listed(Op, Pids, Before);
        {error, Why} ->
            Todo = [{start, Id} || {_, Id, _} <- Start] ++ [{stop, Id} || {_, Id, _} <- Stop],
            {silent(M, Todo, Why), []}
    end;
%% On the way back, in the code that they run.
tend_listed({unlisted, M, #{start := Start}}, [{P, Kept, _}]) ->
    Ids = case Kept of #{started := Started} -> Started; none -> identified(Start) end,
    case child(look, P, all) of
        {ok, Before} ->
            {Bad, Stopped} = delisted(M, P, specs(P, lists:reverse(Ids))),
            {Bad, done(M, P, Before, Stopped, [])};
        {error, Why} -> {silent(M, [{stop, Id} || Id <- Ids], Why), []}
    end;
%% And when the version before is there again. A supervisor that has been restarted since has kept
%% nothing.
tend_listed({relisted, M, #{stop := Stop}} = Op, [{P, Kept, _}] = Pids) ->
    case child(look, P, all) of
        {ok, Before} -> tend_listed(Op, Pids, Before);
        {error, Why} ->
            Ids = case Kept of #{stopped := Stopped} -> [Id || {Id, _, _} <- Stopped];
                none -> [Id || {_, Id, _} <- Stop] end,
            {silent(M, [{start, Id} || Id <- Ids], Why), []}
    end.

tend_listed({listed, M, #{start := Start, stop := Stop, order := Order}}, [{P, Md5}], Before) ->
    {New, All} = {identified(Start), identified(Order)},
    %% Which of them is the new one is not known before: what the new version lists stays.
    Goes = specs(P, lists:reverse((identified(Stop) -- (All -- New)) ++ asleep(P, New))),
    Comes = New -- (element(1, Before) -- [Id || {Id, _, _} <- Goes]),
    %% Kept before it is done: an executor that repeats it cannot see any more what there was. Kept
    %% also where nothing is to be done: what was there before stays on the way back.
    Kept = #{started => Comes, stopped => Goes, order => element(1, Before)},
    settled_in(P, [], [], {keep, M, Md5, Kept}),
    {Bad1, Stopped} = delisted(M, P, Goes),
    {Bad2, Started} = enlisted(M, P, Start),
    %% An executor that died has started some of them, and had no time to move them.
    Ours = case kept_listed(P, M, [Md5]) of #{started := Ids} -> Ids; none -> Started end,
    Moved = [Id || Id <- New, lists:member(Id, Ours)],
    settled_in(P, All, Moved, {keep, M, Md5, Kept#{started := Started}}),
    {Bad1 ++ Bad2, done(M, P, Before, Stopped, Started)};
tend_listed({relisted, M, #{stop := Stop, order := Order}}, [{P, Kept, Md5s}], Before) ->
    {{Bad, Started}, Was} = case Kept of
        #{stopped := Stopped, order := Ids} -> {relisted(M, P, lists:reverse(Stopped)), Ids};
        none -> {enlisted(M, P, Stop), identified(Order)}
    end,
    settled_in(P, Was, Started, {forget, M, Md5s}),
    {Bad, done(M, P, Before, [], Started)}.

%% Of a supervisor that does not answer, for one because it waits for a start function, nothing is
%% known.
silent(M, Todo, Why) ->
    Text = text_of("its supervisor does not answer (~ts)", [text(Why)]),
    lists:append([untended({What, M, Id}, [Text]) || {What, Id} <- Todo]).

%% Undone from the end: at last they are in the order in which they were.
done(M, P, Before, Stopped, Started) ->
    [{arrange, M, Before, P}] ++ [{delist, M, One, P} || One <- Stopped] ++
        [{enlist, M, Id, P} || Id <- Started].

delisted(M, P, Those) ->
    Answers = [{One, child(delist, P, One)} || One <- Those],
    {lists:append([untended({stop, M, Id}, [text(Why)]) || {{Id, _, _}, {error, Why}} <- Answers]),
     [One || {One, ok} <- Answers]}.

enlisted(M, P, Entries) ->
    Answers = [{Id, child(enlist, P, Item)} || {_, Id, [Item]} <- Entries],
    {lists:append([untended({start, M, Id}, [text(Why)]) || {Id, {error, Why}} <- Answers]),
     [Id || {_, {ok, Id}} <- Answers]}.

relisted(M, P, Kept) ->
    Answers = [{element(1, One), child(relist, P, One)} || One <- Kept],
    {lists:append([untended({start, M, Id}, [text(Why)]) || {Id, {error, Why}} <- Answers]),
     [Id || {Id, ok} <- Answers]}.

%% [{Id, Spec, run or [Record]}], each once, of those that it has. One that does not run has no
%% record where the state is not as it is known to be: then nothing leads back, and it is left
%% alone.
specs(P, Ids) -> case child(specs, P, Ids) of {ok, Found} -> Found; _ -> [] end.

asleep(P, Ids) -> case child(asleep, P, Ids) of {ok, Found} -> Found; _ -> [] end.

once(Ids) ->
    lists:reverse(lists:foldl(fun(Id, Acc) -> case lists:member(Id, Acc) of
        true -> Acc; false -> [Id | Acc] end end, [], Ids)).

%% As child_done/3, in a process of its own.
listed_done(specs, Sup, Ids) ->
    Children = supervisor:which_children(Sup),
    How = fun(Id) -> case lists:keyfind(Id, 1, Children) of
        {_, undefined, _, _} -> record_of(Sup, Id); _ -> [run] end end,
    {ok, [{Id, Spec, H} || Id <- once(Ids), {ok, Spec} <- [supervisor:get_childspec(Sup, Id)],
          H <- How(Id)]};
listed_done(asleep, Sup, Ids) ->
    {ok, [Id || {Id, undefined, _, _} <- supervisor:which_children(Sup), lists:member(Id, Ids)]};
%% One that does not run goes too: a supervisor that restarts all would start it.
listed_done(delist, Sup, {Id, _, _}) ->
    case not_there(supervisor:terminate_child(Sup, Id)) of
        ok -> not_there(supervisor:delete_child(Sup, Id));
        Error -> Error
    end;
listed_done(enlist, Sup, Item) ->
    Spec = spec_of(Item),
    Id = id_of(Spec),
    case supervisor:get_childspec(Sup, Id) of
        {ok, _} -> running;
        _ ->
            case supervisor:start_child(Sup, Spec) of
                {error, _} = Error -> Error;
                _ -> {ok, Id}
            end
    end;
listed_done(relist, Sup, {Id, Spec, run}) ->
    case supervisor:get_childspec(Sup, Id) of
        {ok, _} -> running;
        _ ->
            case supervisor:start_child(Sup, Spec) of
                {error, _} = Error -> Error;
                _ -> ok
            end
    end;
listed_done(relist, Sup, {Id, _, [Record]}) ->
    sys:replace_state(Sup, fun(S) -> with_record(S, Id, Record) end, 5000),
    ok;
listed_done(unlist, Sup, Id) -> listed_done(delist, Sup, {Id, none, none});
listed_done(arrange, Sup, {Ids, Kept}) ->
    settled_in(Sup, Ids, Ids, {as_it_was, Kept}),
    ok;
listed_done(look, Sup, _) -> {ok, looked(Sup)};
listed_done(identify, _, Item) -> {ok, id_of(spec_of(Item))}.

%% {Identifiers in the order in which they were started, what it keeps}.
looked(Sup) ->
    Kept = case process_info(Sup, dictionary) of
        {dictionary, D} -> [V || {{updo, listed}, V} <- D]; undefined -> [] end,
    {lists:reverse([Id || {Id, _, _, _} <- supervisor:which_children(Sup)]), Kept}.

identified(Entries) -> [one_identified(E) || E <- Entries].

one_identified({like, Id, [Item]}) ->
    case child(identify, self(), Item) of {ok, Is} -> Is; _ -> Id end;
one_identified({_, Id, _}) -> Id.

%% What Elixir makes of an element of a list of children.
spec_of(Mod) when is_atom(Mod) -> Mod:child_spec([]);
spec_of({Mod, Arg}) when is_atom(Mod) -> Mod:child_spec(Arg);
spec_of({'$child_spec', Item, Overrides}) ->
    apply('Elixir.Supervisor', child_spec, [Item, Overrides]);
spec_of(Spec) -> Spec.

id_of(#{id := Id}) -> Id;
id_of(Spec) -> element(1, Spec).

%% -------------------------------------------------------------------------------------------------
%% The supervisor's order, and what it keeps

%% OTP adds children at the end. Where its state is as it is known to be, those that are new are
%% moved to where a restart would have them: `rest_for_one` restarts those behind, and all are
%% terminated from the end. In its dictionary is kept what leads back: {updo, listed} => [{Module,
%% Md5 of the version to which it leads, Kept}].
settled_in(Sup, Order, Moved, Entry) ->
    try sys:replace_state(Sup, fun(S) -> keep_listed(Entry), arranged(S, Order, Moved) end, 5000) of
        _ -> ok catch _:_ -> ok end.

keep_listed({as_it_was, []}) -> erase({updo, listed});
keep_listed({as_it_was, [All]}) -> put({updo, listed}, All);
keep_listed({keep, M, Md5, #{started := Ids, stopped := Those} = New}) ->
    {Mine, Others} = lists:partition(fun({N, One, _}) -> {N, One} =:= {M, Md5} end, all_kept()),
    Kept = case Mine of
        [{_, _, #{started := Started, stopped := Stopped} = Was}] ->
            Was#{started := Started ++ (Ids -- Started),
                 stopped := Stopped ++ [One || One <- Those,
                                        not lists:keymember(element(1, One), 1, Stopped)]};
        [] -> New
    end,
    put({updo, listed}, lists:sublist([{M, Md5, Kept} | Others], 3));
keep_listed({forget, M, Md5s}) ->
    case [E || {N, Md5, _} = E <- all_kept(), N =/= M orelse not lists:member(Md5, Md5s)] of
        [] -> erase({updo, listed});
        Left -> put({updo, listed}, Left)
    end.

all_kept() -> case get({updo, listed}) of undefined -> []; All -> All end.

kept_listed(P, M, Md5s) ->
    case process_info(P, dictionary) of
        {dictionary, D} ->
            case [K || {{updo, listed}, All} <- D, {N, Md5, K} <- All, N =:= M,
                  lists:member(Md5, Md5s)] of [K | _] -> K; [] -> none end;
        undefined -> none
    end.

arranged(S, Order, Moved) when is_tuple(S) ->
    case children_of(S) of
        [{Ids, Db} = Children] ->
            Now = lists:reverse(Ids),
            Place = [Id || Id <- Order, lists:member(Id, Moved), lists:member(Id, Now)],
            New = lists:foldl(fun(Id, Acc) -> placed(Id, before(Id, Order), lists:delete(Id, Acc))
                end, Now, Place),
            replaced_children(S, Children, {lists:reverse(New), Db});
        _ -> S
    end;
arranged(S, _, _) -> S.

%% Those in front of it, the nearest first.
before(Id, Order) -> lists:reverse(lists:takewhile(fun(One) -> One =/= Id end, Order)).

placed(Id, [], Ids) -> [Id | Ids];
placed(Id, [After | More], Ids) ->
    case lists:splitwith(fun(One) -> One =/= After end, Ids) of
        {_, []} -> placed(Id, More, Ids);
        {Front, [After | Behind]} -> Front ++ [After, Id | Behind]
    end.

record_of(Sup, Id) ->
    [[spec(R)] || S <- [sys:get_state(Sup, 5000)], is_tuple(S), {_, Db} <- children_of(S),
     {One, R} <- maps:to_list(Db), One =:= Id].

with_record(S, Id, Record) ->
    case children_of(S) of
        [{Ids, Db} = Children] when not is_map_key(Id, Db) ->
            replaced_children(S, Children, {[Id | Ids], Db#{Id => Record}});
        _ -> S
    end.

replaced_children(S, Children, New) ->
    list_to_tuple([case E of Children -> New; _ -> E end || E <- tuple_to_list(S)]).
