%% What leaves the node of a state: shapes, never values. Computed on the copy, in the process that
%% tries, within bounds of number and depth.

shape(T) when is_tuple(T), tuple_size(T) > 0, is_atom(element(1, T)) ->
    {tuple, tuple_size(T), element(1, T)};
shape(T) when is_tuple(T) -> {tuple, tuple_size(T)};
shape(#{'__struct__' := Name} = T) when is_atom(Name) -> {struct, map_size(T) - 1, Name};
shape(T) when is_map(T) -> {map, map_size(T)};
shape(T) when is_list(T) -> list;
shape(T) when is_binary(T) -> binary;
shape(T) when is_number(T) -> number;
shape(T) when is_atom(T) -> atom;
shape(T) when is_function(T) -> function;
shape(T) when is_pid(T) -> pid;
shape(_) -> other.

%% The same with the keys of a map that are atoms, as long as it has no more than these: a state has
%% few keys that code knows by name, a table of users has many.
form(T) when is_map(T), map_size(T) =< 64 ->
    Keys = lists:sort([K || K <- maps:keys(T), is_atom(K), K =/= '__struct__']),
    case T of
        #{'__struct__' := Name} when is_atom(Name) -> {struct, map_size(T) - 1, Keys, Name};
        _ -> {map, map_size(T), Keys}
    end;
form(T) when is_map(T) -> {map, map_size(T), []};
form(T) -> shape(T).

%% Tuples and structs that are parts of a state, without what could be a value in them.
%% => part_form()
parts_within(T) when is_tuple(T), tuple_size(T) =< 64 ->
    Parts = [#{element => I, what => part_within(element(I, T))}
             || I <- lists:seq(1, tuple_size(T)), is_part_within(element(I, T))],
    lists:sublist(Parts, 16);
parts_within(T) when is_map(T), map_size(T) =< 64 ->
    Keys = lists:sort([K || K <- maps:keys(T), is_atom(K), is_part_within(maps:get(K, T))]),
    [#{key => K, what => part_within(maps:get(K, T))} || K <- lists:sublist(Keys, 16)];
parts_within(_) -> [].

is_part_within(T) when is_tuple(T) -> true;
is_part_within(#{'__struct__' := Name}) -> is_atom(Name);
is_part_within(_) -> false.

part_within(T) when is_tuple(T) -> {tuple, tuple_size(T)};
part_within(T) -> form(T).

%% None of a supervisor.
%% => held_forms()
held(supervisor, _, _) -> none;
held(statem, {Was, D}, {Name, New}) when is_atom(Was), is_atom(Name) ->
    (both_forms(D, New))#{was => Was, name => Name};
held(statem, {_, D}, {_, New}) -> both_forms(D, New);
held(event, {_, _, S}, New) -> both_forms(S, New);
held(_, S, New) -> both_forms(S, New).

%% => held_forms()
both_forms(From, To) ->
    #{from => form(From), to => form(To), states => 1,
      from_parts => parts_within(From), to_parts => parts_within(To)}.

%% ------------------------------------------------------------------------------------------------
%% Inside of a state

%% Records and structs that are asked for, anywhere in it: records of a size that only the old code
%% knows, and structs whose keys are not those of the new version. Each once.
inside(_, #{seek := #{records := [], structs := []}}) -> [];
inside(T, #{seek := #{records := Records, structs := Structs}}) ->
    {Found, _} = inside([T], maps:from_list(Records), maps:from_list(Structs), #{}, 3000),
    maps:keys(Found);
inside(_, _) -> [].

inside([], _, _, Found, Left) -> {Found, Left};
inside(_, _, _, Found, 0) -> {Found, 0};
inside([T | Ts], Rs, Ss, Found, Left) when is_tuple(T), tuple_size(T) > 0 ->
    Found1 = case maps:get(element(1, T), Rs, none) =:= tuple_size(T) of
        true -> Found#{form(T) => true};
        false -> Found
    end,
    inside(first_of(tuple_to_list(T), Ts, Left), Rs, Ss, Found1, Left - 1);
inside([#{'__struct__' := Name} = T | Ts], Rs, Ss, Found, Left) ->
    Found1 = case {maps:get(Name, Ss, none), form(T)} of
        {none, _} -> Found;
        {Keys, {struct, _, Keys, _}} -> Found;
        {_, Form} -> Found#{Form => true}
    end,
    inside(values_of(T, Ts, Left), Rs, Ss, Found1, Left - 1);
inside([T | Ts], Rs, Ss, Found, Left) when is_map(T) ->
    inside(values_of(T, Ts, Left), Rs, Ss, Found, Left - 1);
inside([[H | T] | Ts], Rs, Ss, Found, Left) -> inside([H, T | Ts], Rs, Ss, Found, Left - 1);
inside([_ | Ts], Rs, Ss, Found, Left) -> inside(Ts, Rs, Ss, Found, Left - 1).

first_of(L, Ts, Left) -> lists:sublist(L, Left) ++ Ts.

values_of(T, Ts, Left) -> values_of_next(maps:next(maps:iterator(T)), Ts, min(Left, 200)).

values_of_next(none, Ts, _) -> Ts;
values_of_next(_, Ts, 0) -> Ts;
values_of_next({_, V, I}, Ts, Left) -> values_of_next(maps:next(I), [V | Ts], Left - 1).

%% ------------------------------------------------------------------------------------------------
%% Tables

%% Rows with a size that only the old code knows, in the tables of the application of these
%% processes, and in Mnesia's. The first hundred rows: of each the size and its first element, of
%% which only the atoms that are asked for leave this function.
tables_of(Pids, #{seek := #{records := [_ | _] = Records}}) ->
    Groups = lists:usort([G || P <- lists:sublist(Pids, 100), G <- group(P)]),
    Own = [T || T <- ets:all(), is_of(ets:info(T, owner), Pids, Groups)],
    Known = maps:from_list(Records),
    lists:sublist(lists:append([table_rows(T, Known) || T <- Own]) ++ mnesia_rows(Records), 20);
tables_of(_, _) -> [].

is_of(P, Pids, Groups) when is_pid(P) ->
    lists:member(P, Pids) orelse [] =/= [G || G <- group(P), lists:member(G, Groups)];
is_of(_, _, _) -> false.

%% The master of an application is the group leader of its processes; `user` is that of all others.
group(P) ->
    case process_info(P, group_leader) of
        {_, G} when G =/= P, node(G) =:= node() ->
            case application:get_application(G) of
                {ok, App} when App =/= kernel, App =/= stdlib -> [G];
                _ -> []
            end;
        _ -> []
    end.

%% => table_form()
table_rows(T, Known) ->
    Rows = try ets:select(T, [{'$1', [], [{{{element, 1, '$1'}, {size, '$1'}}}]}], 100) of
        {Some, _} -> Some;
        _ -> []
    catch
        _:_ -> []
    end,
    Old = [{tuple, Size, Tag} || {Tag, Size} <- Rows, is_map_key(Tag, Known),
                                 maps:get(Tag, Known) =:= Size],
    [#{table => table_name(T), what => What, rows => length([W || W <- Old, W =:= What])}
     || What <- lists:usort(Old)].

table_name(T) ->
    case ets:info(T, name) of
        Name when is_atom(Name) -> Name;
        _ -> table
    end.

%% => table_form()
mnesia_rows(Records) ->
    case whereis(mnesia_sup) of
        undefined -> [];
        _ ->
            Tables = try mnesia:system_info(tables) catch _:_ -> [] end,
            [#{table => T, what => {tuple, Size, Tag}, rows => mnesia_info(T, size)}
             || T <- Tables, {Tag, Size} <- Records, mnesia_info(T, record_name) =:= Tag,
                mnesia_info(T, arity) =:= Size]
    end.

mnesia_info(T, What) -> try mnesia:table_info(T, What) catch _:_ -> 0 end.

%% ------------------------------------------------------------------------------------------------
%% Children of a supervisor

%% How those that a supervisor has differ from what the new init/1 has specified: as OTP renews
%% specifications, so as a run will find it. Not of simple_one_for_one, whose children have no
%% identifiers. What only the supervisor has the init/1 of the version that runs has specified, or
%% they were added by start_child/2; where that may not be run it is not known.
children_compared(S, Specs, What, Found) when is_tuple(S), is_list(Specs) ->
    try children_differ(S, Specs, What, Found) catch _:_ -> Found end;
children_compared(_, _, _, Found) -> Found.

children_differ(S, Specs, #{module := M} = What, Found) ->
    case {lists:member(simple_one_for_one, tuple_to_list(S)), children_of(S)} of
        {false, [{Ids, Db} | _]} ->
            New = [child_of(Spec, Db) || Spec <- Specs],
            {Differing, Others} = differing(lists:reverse(Ids), Db, New),
            Unlisted = [child_is(unlisted, Id) || Id <- Others],
            Unknown = Found#{children => Unlisted ++ Differing, added => 0},
            case {What, Others} of
                {#{back := old, reports_to := {Exec, Ref}}, [_ | _]} ->
                    Exec ! {Ref, {back, [], Unknown}},
                    told_apart(specified_by(M, element(tuple_size(S), S)), Others, Differing,
                               Unknown);
                _ -> Unknown
            end;
        _ -> Found
    end.

told_apart(unknown, _, _, Unknown) -> Unknown;
told_apart(Known, Others, Differing, Found) ->
    Gone = [child_is(gone, Id) || Id <- Others, lists:member(Id, Known)],
    Found#{children := Gone ++ Differing, added := length(Others) - length(Gone)}.

specified_by(M, Args) ->
    try M:init(Args) of
        {ok, {_, Specs}} -> [id_of(Spec) || Spec <- Specs];
        _ -> unknown
    catch _:_ -> unknown
    end.

%% {What differs, identifiers that are not specified}
differing(Ids, Db, New) ->
    Known = maps:from_list(New),
    {lists:append([child_differs(Id, Is, Db) || {Id, Is} <- New]),
     [Id || Id <- Ids, not is_map_key(Id, Known)]}.

child_differs(Id, Is, Db) ->
    case Db of
        #{Id := Was} ->
            case {moved(Was, Is), spec_differs(spec(Was), Is)} of
                {true, _} ->
                    {{Before, _, _}, {After, _, _}} = {element(4, Was), element(4, Is)},
                    [child_is(moved, Id, [Before, After])];
                {false, []} -> [];
                {false, Keys} -> [child_is(changed, Id, Keys)]
            end;
        _ -> [child_is(new, Id)]
    end.

%% => child_difference()
child_is(What, Id) -> #{what => What, child => Id}.

%% => child_difference()
child_is(What, Id, Keys) -> (child_is(What, Id))#{keys => Keys}.

%% Of a temporary child a supervisor keeps no arguments.
spec_differs(Was, Is) when tuple_size(Was) =:= tuple_size(Is) ->
    {{M, F, _}, Keys} = {element(4, Is), spec_keys(tuple_size(Is))},
    Then = case element(4, Was) of {M, F, undefined} -> setelement(4, Was, element(4, Is));
        _ -> Was end,
    [Key || {Key, At} <- lists:zip(Keys, lists:seq(4, tuple_size(Is))),
     element(At, Then) =/= element(At, Is)];
spec_differs(_, _) -> [].

spec_keys(8) -> [start, restart, shutdown, type, modules];
spec_keys(9) -> [start, restart, significant, shutdown, type, modules].

%% {Id, as the supervisor would keep it}: its record has an element more from OTP 24 on.
child_of(Spec, Db) ->
    Map = case Spec of
        #{} -> Spec;
        {Id, Start, Restart, Shutdown, Type, Modules} ->
            #{id => Id, start => Start, restart => Restart, shutdown => Shutdown, type => Type,
              modules => Modules}
    end,
    #{id := Name, start := {M, _, _} = Starts} = Map,
    Worker = maps:get(type, Map, worker),
    Usual = case Worker of supervisor -> infinity; _ -> 5000 end,
    Size = case maps:values(Db) of
        [One | _] -> tuple_size(One);
        [] -> 9
    end,
    {Name, list_to_tuple([child, undefined, Name, Starts, maps:get(restart, Map, permanent)]
                         ++ [maps:get(significant, Map, false) || Size =:= 9]
                         ++ [maps:get(shutdown, Map, Usual), Worker, maps:get(modules, Map, [M])])}.

%% ------------------------------------------------------------------------------------------------
%% What a rehearsal counts

%% On the heap of a process, without large binaries. No documented function says it. `flat_size`
%% does not end for a term that shares much, and the other counts no literals: which a small state
%% may be as a whole.
bytes(T) ->
    Words = try
        case small(T, 200) of
            0 -> erts_debug:size_shared(T);
            _ -> erts_debug:flat_size(T)
        end
    catch _:_ -> 0 end,
    Words * erlang:system_info(wordsize).

%% How many of so many terms are left when all that it consists of have been counted.
small(_, Left) when Left =< 0 -> 0;
small([H | T], Left) -> small(T, small(H, Left - 1));
small(T, Left) when is_tuple(T), tuple_size(T) < Left ->
    lists:foldl(fun(E, N) -> small(E, N) end, Left - 1, tuple_to_list(T));
small(T, Left) when is_map(T), map_size(T) < Left ->
    lists:foldl(fun(E, N) -> small(E, N) end, Left - 1, maps:to_list(T));
small(T, _) when is_tuple(T); is_map(T); is_function(T) -> 0;
small(_, Left) -> Left - 1.

sized(P, #{bytes := Old, new_bytes := New}, #{largest := Most} = Acc) ->
    #{bytes := Olds, new_bytes := News} = Acc,
    Acc#{bytes := counted(Old, Olds), new_bytes := counted(New, News),
         largest := most(New, P, Most)};
sized(P, #{bytes := Old}, #{bytes := Olds, largest := Most} = Acc) ->
    Acc#{bytes := counted(Old, Olds), largest := most(Old, P, Most)};
sized(_, _, Acc) -> Acc.

%% => down_trial(), other_state(), rehearsal_failure()
counted_down(_, #{down := Kind}, Down) when is_atom(Kind) ->
    maps:update_with(Kind, fun(N) -> N + 1 end, Down);
counted_down(_, #{down := {other, Was, Is, Held}}, #{other := N, others := All} = Down) ->
    Form = case Held of
        none -> #{was => Was, is => Is, states => 1};
        _ -> #{was => Was, is => Is, held => Held, states => 1}
    end,
    Counted = count_form(Form, maps:remove(states, Form), All),
    Down#{other := N + 1, others := lists:sublist(Counted, named())};
counted_down(P, #{down := {failed, Reason, Shape}}, #{failed := N, failures := Named} = Down) ->
    One = #{pid => P, reason => text(Reason), shape => Shape},
    Down#{failed := N + 1,
          failures := case N < named() of true -> Named ++ [One]; false -> Named end};
counted_down(_, _, Down) -> Down.

%% What differs, each with its place in the order and a count: so many different ones.
counted_children(#{children := Found, added := N}, #{children := All, added := Added} = Acc) ->
    Count = fun(One, Counted) ->
        case Counted of
            #{One := {Place, Times}} -> Counted#{One := {Place, Times + 1}};
            _ when map_size(Counted) < 100 -> Counted#{One => {map_size(Counted), 1}};
            _ -> Counted
        end
    end,
    Acc#{children := lists:foldl(Count, All, Found), added := Added + N};
counted_children(_, Acc) -> Acc.

%% => child_difference()
in_order(Children) ->
    Sorted = lists:sort([{Place, N, One} || {One, {Place, N}} <- maps:to_list(Children)]),
    [One#{supervisors => N} || {_, N, One} <- Sorted].

%% So many different ones; a state whose shape is the value of its own key has as many as states.
count_held(none, All) -> All;
count_held(Held, All) -> count_form(Held, maps:remove(states, Held), All).

%% => inside_form()
count_inside(Forms, All) ->
    lists:foldl(fun(What, Acc) ->
                    Form = #{what => What, states => 1},
                    count_form(Form, maps:remove(states, Form), Acc)
                end, All, Forms).

count_form(Form, Key, [#{states := N} = Counted | All]) ->
    case maps:remove(states, Counted) of
        Key -> [Counted#{states := N + 1} | All];
        _ -> [Counted | count_form(Form, Key, All)]
    end;
count_form(Form, _, []) -> [Form].

unvalued(Reason) when is_atom(Reason) -> Reason;
unvalued({Kind, Value}) when is_atom(Kind) -> {Kind, shape(Value)};
unvalued(Reason) -> shape(Reason).
