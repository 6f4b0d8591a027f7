%% Children of supervisors in a rehearsal: what the new init/1 specifies, compared with what a
%% supervisor has.

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
                {#{old_init := true, reports_to := {Exec, Ref}}, [_ | _]} ->
                    Exec ! {Ref, {back, [], Unknown}},
                    Known = specified_by(M, element(tuple_size(S), S)),
                    distinguished(Known, Others, Differing, Unknown);
                _ -> Unknown
            end;
        _ -> Found
    end.

distinguished(unknown, _, _, Unknown) -> Unknown;
distinguished(Known, Others, Differing, Found) ->
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
%% Of all supervisors of a module

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
