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
counted_down(P, #{down := {failed, Reason, Shape}}, Down) ->
    rehearsed_failed(#{pid => P, reason => text(Reason), shape => Shape}, Down);
counted_down(_, _, Down) -> Down.

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
