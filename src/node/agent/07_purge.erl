%% Old code that has to go: before anything is loaded (a node has place for two versions of a
%% module), after a switch when the plan wants that, and on the way back, where the place needed is
%% that of the old code itself.
%%
%% Policies: `defer` and `soft` never end a process and never break a fun that is kept as data;
%% `{wait, Ms}` gives the processes longer; `brutal` ends processes and breaks funs, and an event
%% says which. `defer` leaves the old code after a switch until the next upgrade of the module,
%% `soft` purges it then, if it is in nothing's way.

%% -------------------------------------------------------------------------------------------------
%% Before loading

purge_ahead(Ms) ->
    Old = [{M, maps:get(purge, Map, soft)}
           || #{name := M} = Map <- Ms, maps:get(purge, Map, soft) =/= keep,
           erlang:check_old_code(M)],
    Old =:= [] orelse purge_ahead(Old, left(Old, now_ms() + max(100, job(leave, 0)))).

%% Processes first: while they are there nothing is purged, so that a refusal leaves everything as
%% it was.
purge_ahead(Old, Users) ->
    Stay = [{M, Ps} || {M, Policy} <- Old, Policy =/= brutal, #{M := Ps} <- [Users]],
    Stay =:= [] orelse fail({old_code_in_use, [{M, lists:sublist(Ps, named())}
                                               || {M, Ps} <- Stay]}),
    {Held, Unsearched} = held_funs([M || {M, _} <- Old]),
    Safe = [H || {M, _} = H <- Held, lists:keyfind(M, 1, Old) =/= {M, brutal}],
    Safe =:= [] orelse fail({funs_held, #{holders => lists:sublist(Safe, named()),
                                          unsearched => Unsearched}}),
    %% Funs of what a way back loads fail from the purge to the load: that is done at once then,
    %% with everything suspended.
    Held0 = [M || {M, _} <- Held],
    AtLoad = [M || {M, _} <- Old, job(goal, new) =:= old, may_have_funs(M),
              not is_map_key(M, Users), not lists:member(M, Held0)],
    put(purge_at_load, AtLoad),
    %% A supervisor that runs starts again at once what is ended, in the version that goes: it would
    %% be ended once more after the load, which is once too often for the usual intensity of
    %% restarts. Suspended it starts it when it is resumed, in the version that comes back.
    Loads = lists:append([L || {_, {What, L}} <- job(steps, []),
                          What =:= load orelse What =:= delete]),
    AtEnd = [M || {M, brutal} <- Old, job(goal, new) =:= old, is_map_key(M, Users),
             not lists:member(M, Held0), lists:member(M, Loads)],
    put(end_at_load, AtEnd),
    stuck([M || {M, Policy} <- Old, not lists:member(M, AtLoad), not lists:member(M, AtEnd),
           not purge_now(M, Policy, Users, Held)]).

stuck([]) -> ok;
stuck(Ms) -> fail({old_code_in_use, [{M, users_of_old(M)} || M <- Ms]}).

%% Right before the load.
purge_at_load(Ms) ->
    stuck(purge_all(due_at_load(Ms))),
    end_at_load(Ms).

end_at_load(Ms) ->
    AtEnd = case get(end_at_load) of undefined -> []; All -> All end,
    {_, []} = free_old_slots([M || M <- Ms, lists:member(M, AtEnd)]),
    ok.

due_at_load(Ms) ->
    case get(purge_at_load) of
        undefined -> [];
        All -> [M || M <- Ms, lists:member(M, All), erlang:check_old_code(M)]
    end.

%% What could not be purged. One that stays is in the way of all: nothing is purged then.
purge_all([]) -> [];
purge_all(Ms) ->
    case all_left(Ms, 20) of
        [] -> [M || M <- Ms, not soft_purge(M, 20)];
        Stuck -> Stuck
    end.

%% A process that only calls a fun of it is through in a moment.
all_left(Ms, N) ->
    case maps:keys(users_by_stack(Ms, fun(_) -> false end)) of
        [_ | _] when N > 0 -> receive after 2 -> all_left(Ms, N - 1) end;
        Stuck -> Stuck
    end.

soft_purge(M, N) ->
    case code:soft_purge(M) of
        false when N > 0 -> receive after 2 -> soft_purge(M, N - 1) end;
        Purged -> Purged
    end.

purge_now(M, Policy, Users, Held) ->
    Broken = [What || {N, What} <- Held, N =:= M],
    case code:soft_purge(M) of
        true when Broken =:= [] -> true;
        true -> purging(M, [], Broken), true;
        false when Policy =:= brutal ->
            purging(M, maps:get(M, Users, []), Broken),
            code:purge(M),
            true;
        false -> false
    end.

%% Said before it is done: what of these still executes the module then is ended.
purging(M, Pids, Funs) ->
    event({purging, #{module => M, processes => length(Pids), funs => lists:sublist(Funs, named()),
                      killed => [#{pid => P, initial_call => initial_call(P), at => whereabouts(P)}
                                 || P <- lists:sublist(Pids, named())]}}).

%% #{M => [Pid]}: what executes old code once it has had its time to leave. No process is suspended
%% meanwhile. There is always a moment: a process that calls a fun again and again may be met in it,
%% and is out of it at the next look.
left(Old, Until) ->
    Users = users([M || {M, _} <- Old]),
    Longest = lists:max([Until | [now_ms() + Ms || {M, {wait, Ms}} <- Old, is_map_key(M, Users)]]),
    left(Old, Users, Longest, now_ms()).

left(_, Users, _, _) when map_size(Users) =:= 0 -> #{};
left(Old, Users, Until, Said) ->
    case now_ms() of
        Now when Now >= Until -> Users;
        Now ->
            N = length(lists:usort(lists:append(maps:values(Users)))),
            Now - Said >= 1000 andalso event({leaving, N}),
            receive after 20 -> ok end,
            %% Only those that were there are looked at again: what comes later comes by a fun, and
            %% soft_purge/1 sees it.
            Users1 = maps:filter(fun(_, Ps) -> Ps =/= [] end,
                                 maps:map(fun(M, Ps) -> [P || P <- Ps, check_code(P, M)] end,
                                          Users)),
            left(Old, Users1, Until, case Now - Said >= 1000 of true -> Now; false -> Said end)
    end.

all_users(M) -> [P || P <- processes(), P =/= self(), check_code(P, M)].

users_of_old(M) -> lists:sublist(all_users(M), named()).

%% #{M => [Pid]}: what executes old code of any of these. To ask every process about every module
%% takes a second for 500 modules and 1,000 processes. So each is looked at once where there are
%% many: its backtrace names every function that it is in or returns to, and only what is named
%% there is asked of the emulator, whose answer counts.
users(Ms) ->
    Pairs = case length(Ms) < 8 of
        true -> [{P, M} || M <- Ms, P <- all_users(M)];
        false -> users_by_backtrace(Ms)
    end,
    lists:foldl(fun({P, M}, Acc) -> Acc#{M => [P | maps:get(M, Acc, [])]} end, #{}, Pairs).

users_by_backtrace(Ms) ->
    %% A name that is printed as it is. Any other module is asked about.
    {Plain, Odd} = lists:partition(fun(M) -> re:run(atom_to_list(M), "^[a-zA-Z0-9_@.]+$",
                                                    [{capture, none}]) =:= match end, Ms),
    Names = maps:from_list([{atom_to_binary(M, latin1), M} || M <- Plain]),
    Pattern = case Plain of [] -> none; _ -> binary:compile_pattern(maps:keys(Names)) end,
    Most = 10 * length(Plain),
    [{P, M} || P <- processes(), P =/= self(),
               M <- in_backtrace(P, Pattern, Names, Plain, Most) ++ Odd, check_code(P, M)].

%% A backtrace has the terms of the stack as well: where those may take longer to print than the
%% questions take, all are asked.
in_backtrace(_, none, _, _, _) -> [];
in_backtrace(P, Pattern, Names, All, Most) ->
    case process_info(P, total_heap_size) of
        {_, Words} when Words < Most ->
            Text = case process_info(P, backtrace) of {_, T} -> T; undefined -> <<>> end,
            lists:usort([maps:get(binary:part(Text, At), Names)
                         || At <- binary:matches(Text, Pattern)]);
        {_, _} -> All;
        undefined -> []
    end.

%% -------------------------------------------------------------------------------------------------
%% Funs of old code that are kept as data

%% {[{Module, {What, Where}}], [{What, Number}] not searched}, by the expressions that the job
%% brings along.
held_funs(Ms) ->
    case {[M || M <- Ms, may_have_funs(M)], job(old_code, none)} of
        {[], _} -> {[], []};
        {_, none} -> {[], [{everything, 1}]};
        {Some, Text} ->
            {_, _, {_, Held}, _, Unsearched} = old_code(Text, Some, true, 1000000),
            {Held, Unsearched}
    end.

%% The same of the versions that run, which will go.
held_funs_of_now(Ms) ->
    case job(old_code, none) of
        Text when Text =/= none, Ms =/= [] ->
            {_, _, {_, Held}, _, Unsearched} = old_code(Text, [{now, M} || M <- Ms], true, 1000000),
            {Held, Unsearched};
        _ -> {[], []}
    end.

may_have_funs(M) -> maps:get(old_funs, module_map(M), true).

%% A version whose MD5 is loaded before or after goes on working: its funs come back with it.
old_code(Text, Purged, Ask, Most) ->
    Kept = fun(#{name := M, new := New}) ->
               Now = [current_md5(M) || not lists:member({now, M}, Purged)],
               {M, [Md5 || Md5 <- Now ++ [md5(New) || is_binary(New)], is_binary(Md5)]}
           end,
    Servers = [{M, true} || {_, {suspend, Ranks}} <- job(steps, []), Rank <- Ranks, {M, _} <- Rank],
    Bindings = [{'Ask', Ask}, {'ByLoop', #{}}, {'Changed',
                                                maps:from_list([Kept(Map)
                                                    || Map <- job(modules, [])])}, {'Most', Most},
                {'Purged', Purged}, {'Running', []}, {'Servers', maps:from_list(Servers)},
                {'Skip', [get(guardian) | get(workers)]}, {'Within', job(search, 3000)}],
    evaluate(Text, Bindings).

%% Expressions that the job brings along.
evaluate(Text, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    {value, Value, _} = erl_eval:exprs(Exprs, Bindings),
    Value.

%% -------------------------------------------------------------------------------------------------
%% On the way back, with the processes of the window suspended

%% #{M => [Pid]}: what executes the version that has to come back, and cannot be in its own way.
%% Waits for a moment, as most calls and loops leave within half a second. What waits for a
%% suspended process does not leave: no use in waiting.
in_the_way(Ms) ->
    Waits = [W || M <- Ms, {wait, W} <- [maps:get(purge, module_map(M), soft)]],
    Now = now_ms(),
    Limit = case maps:get(until, get(log)) of infinity -> Now + lists:max([0 | Waits]) + 1000;
        Until -> Until end,
    Ours = all_found(),
    in_the_way(Ms, fun(P) -> is_map_key(P, Ours) end,
               min(Limit, Now + lists:max([job(leave_window, 1000) | Waits])), 10).

in_the_way(Ms, Held, Until, Sure) ->
    Users = users_by_stack(Ms, Held),
    Blocked = fun(Ps) -> lists:all(fun(P) -> waits_for(P, Held, 8) =/= [] end, Ps) end,
    case now_ms() >= Until orelse Sure =:= 0 of
        _ when map_size(Users) =:= 0 -> #{};
        true -> Users;
        false ->
            receive after 20 -> ok end,
            in_the_way(Ms, Held, Until, case Blocked(lists:append(maps:values(Users))) of
                true -> Sure - 1; false -> 10 end)
    end.

%% By stack first: asking every process about every module takes too long with all of them
%% suspended.
users_by_stack(Ms, Held) ->
    Old = maps:from_list([{M, true} || M <- Ms, erlang:check_old_code(M)]),
    Pairs = [{P, M} || P <- processes(), P =/= self(), not Held(P),
                       {_, Stack} <- [process_info(P, current_stacktrace)],
                       M <- lists:usort([M || {M, _, _, _} <- Stack, is_map_key(M, Old)]),
                       check_code(P, M)],
    lists:foldl(fun({P, M}, Acc) -> Acc#{M => [P | maps:get(M, Acc, [])]} end, #{}, Pairs).

%% Those that are in the way and may not be ended by the policy of the module.
may_not_end(Users) ->
    maps:filter(fun(M, _) -> maps:get(purge, module_map(M), soft) =/= brutal end, Users).

%% The place of the old code is freed: {[{M, [Pid]}] that were ended, [M] that cannot be freed}.
free_old_slots(Ms) ->
    lists:foldl(fun(M, {Killed, Stuck}) ->
                    case erlang:check_old_code(M) andalso not code:soft_purge(M) of
                        false -> {Killed, Stuck};
                        true ->
                            free_by_policy(M, maps:get(purge, module_map(M), soft), Killed, Stuck)
                    end
                end, {[], []}, fun_modules_last(Ms)).

%% Funs of what is loaded next fail from here on until it is: that time is kept short.
fun_modules_last(Ms) ->
    Last = [M || M <- Ms, may_have_funs(M)],
    (Ms -- Last) ++ Last.

free_by_policy(M, brutal, Killed, Stuck) ->
    Pids = all_users(M),
    purging(M, Pids, []),
    code:purge(M),
    {[{M, Pids} || Pids =/= []] ++ Killed, Stuck};
free_by_policy(M, _, Killed, Stuck) -> {Killed, [M | Stuck]}.

%% -------------------------------------------------------------------------------------------------
%% After the run

%% A module that has gone has no next upgrade that would purge it.
policy_after(#{new := undefined} = Map) ->
    case maps:get(purge_after, Map, defer) of defer -> soft; Policy -> Policy end;
policy_after(Map) -> maps:get(purge_after, Map, defer).

%% {modules whose old code stays, [{Module, {What, Where}}] that keep it}.
purge_after(Mine) ->
    Policies = maps:from_list([{M, policy_after(Map)} || #{name := M} = Map <- job(modules, [])]),
    Due = [{M, Policy} || M <- Mine, Policy <- [maps:get(M, Policies, defer)], Policy =/= defer,
           Policy =/= keep, erlang:check_old_code(M)],
    {Held, _} = held_funs([M || {M, _} <- Due]),
    Free = [{M, Policy} || {M, Policy} <- Due, Policy =:= brutal
            orelse not lists:keymember(M, 1, Held)],
    Users = left(Free, now_ms()),
    lists:foreach(fun({M, Policy}) -> purge_now(M, Policy, Users, Held) end, Free),
    {[M || M <- Mine, erlang:check_old_code(M)],
     [H || {M, _} = H <- Held, lists:member(M, [D || {D, P} <- Due, P =/= brutal])]}.
