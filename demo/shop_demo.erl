%% The eyes and hands of demo/run.sh: started anew for every step in a hidden node of its own, it asks the
%% shop node over the distribution, prints what it saw and ends with 0, or with 1 when a promise is broken.
%%
%%   erl -noinput -hidden -sname X -run shop_demo main NODE COMMAND [ARGUMENT…]
-module(shop_demo).
-export([main/1]).

-define(TILL, shop_till_4).

main([Node | Command]) ->
    Status =
        try run(list_to_atom(Node), Command) of
            ok -> 0;
            broken -> 1
        catch
            Class:Reason:Stack ->
                io:format(standard_error, "demo: ~ts failed: ~p:~p~n~p~n", [hd(Command), Class, Reason, Stack]),
                2
        end,
    erlang:halt(Status).

%% Waits until the node runs the shop, starts the load, leaves a customer at till 4.
run(Node, ["open", Callers]) ->
    wait_for(Node, 100),
    ok = call(Node, shop_load, start, [list_to_integer(Callers)]),
    {ok, _} = call(Node, shop_checkout, scan, [?TILL, 7]),
    ok;
run(Node, ["port"]) ->
    io:format("~b~n", [call(Node, shop_gate, port, [])]);
%% Writes down who lives, and what the shop says now.
run(Node, ["remember", File]) ->
    #{calls := Calls, failed := 0, worst_us := Worst} = call(Node, shop_load, read, []),
    Processes = processes_of_shop(Node),
    ok = file:write_file(File, term_to_binary(Processes)),
    1 = call(Node, shop_price, version, []),
    io:format("version 1 sells: ~b processes, ~b calls so far, 0 failed, worst ~s ms~n",
              [length(Processes), Calls, ms(Worst)]);
%% A new window of measurement.
run(Node, ["reset"]) ->
    call(Node, shop_load, reset, []);
run(Node, ["check", File, Milliseconds]) ->
    Load = call(Node, shop_load, read, []),
    {ok, Binary} = file:read_file(File),
    Results = [states(Node), tills(Node), same_processes(Node, binary_to_term(Binary)), all_run(Node),
               versions(Node), supervisor_renewed(Node), load(Load, list_to_integer(Milliseconds))],
    [io:format("  ~s ~ts~n", [mark(Ok), Text]) || {Ok, Text} <- Results],
    case lists:all(fun({Ok, _}) -> Ok end, Results) of
        true -> ok;
        false -> broken
    end;
run(Node, ["stop"]) ->
    erpc:cast(Node, init, stop, []),
    ok.

mark(true) -> "ok    ";
mark(false) -> "BROKEN".

wait_for(Node, 0) ->
    error({no_shop_at, Node});
wait_for(Node, Tries) ->
    Started = net_kernel:connect_node(Node) andalso
        try lists:keymember(shop, 1, call(Node, application, which_applications, []))
        catch _:_ -> false
        end,
    case Started of
        true -> ok;
        _ -> timer:sleep(100), wait_for(Node, Tries - 1)
    end.

states(Node) ->
    Carts = carts(Node),
    Infos = [call(Node, shop_cart_server, info, [Id]) || Id <- lists:seq(1, Carts)],
    New = length([new || #{version := 2, rounding := half_even} <- Infos]),
    {New =:= Carts, fmt("~b of ~b carts converted, the rounding of the plan in each", [New, Carts])}.

%% Till 4 stood in the middle of a sale during the whole upgrade.
tills(Node) ->
    #{version := Version, state := State} = call(Node, shop_checkout, info, [?TILL]),
    Paid = call(Node, shop_checkout, pay, [?TILL, 100000]),
    Others = [call(Node, shop_checkout, info, [Till]) || Till <- [shop_till_1, shop_till_2, shop_till_3]],
    Converted = length([new || #{version := 2, paid := _} <- Others]),
    Ok = {Version, State, Converted} =:= {2, paying, 3}
        andalso case Paid of {ok, #{version := 2}} -> true; _ -> false end,
    {Ok, fmt("~b of 3 tills converted, the customer who stood at the fourth could pay", [Converted])}.

same_processes(Node, Before) ->
    After = processes_of_shop(Node),
    {After =:= Before, fmt("~b of ~b processes have the same pid", [length(Before -- (Before -- After)), length(Before)])}.

%% Nobody was left suspended.
all_run(Node) ->
    Special = [Pid || {Name, Pid} <- processes_of_shop(Node), Name =/= shop_gate],
    Suspended = [Pid || Pid <- Special, system_state(Pid) =/= running],
    {Suspended =:= [], fmt("~b processes still suspended", [length(Suspended)])}.

system_state(Pid) ->
    {status, _, _, [_Dictionary, State | _]} = sys:get_status(Pid),
    State.

versions(Node) ->
    Two = [M || M <- [shop_sup, shop_price, shop_promo, shop_tax, shop_round], call(Node, M, version, []) =:= 2],
    {ok, #{version := Stock}} = call(Node, shop_stock, level, [apple]),
    Old = [M || {M, _} <- call(Node, code, all_loaded, []), lists:prefix("shop_", atom_to_list(M)),
                call(Node, erlang, check_old_code, [M])],
    {length(Two) =:= 5 andalso Stock =:= 2,
     fmt("all modules answer with version 2, shop_round is new; old code is left of: ~p", [Old])}.

supervisor_renewed(Node) ->
    {ok, #{shutdown := Shutdown}} = call(Node, supervisor, get_childspec, [shop_sup, shop_stock]),
    {Shutdown =:= 10000, "the supervisor has its new child specifications"}.

load(#{calls := Calls, failed := Failed, worst_us := Worst, failures := Failures}, Limit) ->
    [io:format("  failure: ~p~n", [Failure]) || Failure <- Failures],
    {Calls > 0 andalso Failed =:= 0 andalso Worst =< Limit * 1000,
     fmt("~b calls made during the upgrade, ~b failed, the slowest took ~s ms", [Calls, Failed, ms(Worst)])}.

carts(Node) ->
    {ok, Carts} = call(Node, application, get_env, [shop, carts]),
    Carts.

%% All processes of the shop with their registered names, carts included.
processes_of_shop(Node) ->
    Names = [Name || Name <- call(Node, erlang, registered, []), lists:prefix("shop_", atom_to_list(Name))],
    lists:sort([{Name, call(Node, erlang, whereis, [Name])} || Name <- Names]).

call(Node, Module, Function, Arguments) ->
    erpc:call(Node, Module, Function, Arguments, 10000).

ms(Microseconds) ->
    io_lib:format("~.1f", [Microseconds / 1000]).

fmt(Format, Arguments) ->
    lists:flatten(io_lib:format(Format, Arguments)).
