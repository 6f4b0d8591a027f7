%% Customers: a steady load on carts, tills and stock, and what they experienced. The same in both versions.
%%
%% Calls, failures and the worst latency are counted in an atomics array, so that counting costs nothing.
-module(shop_load).
-behaviour(gen_server).
-export([start_link/0, start/1, stop/0, reset/0, read/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(CALLS, 1).
-define(FAILED, 2).
-define(WORST, 3).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Starts this many callers in addition to those that run; each makes a call, then waits 2 ms.
start(Callers) ->
    gen_server:call(?MODULE, {start, Callers}).

stop() ->
    gen_server:call(?MODULE, stop).

%% Opens a new window: all numbers are zero again.
reset() ->
    gen_server:call(?MODULE, reset).

%% The numbers since the last reset: calls, failures (and the first few), worst latency in microseconds.
read() ->
    gen_server:call(?MODULE, read).

init([]) ->
    process_flag(trap_exit, true),
    {ok, #{numbers => atomics:new(3, []), callers => [], failures => []}}.

handle_call({start, Callers}, _From, #{numbers := Numbers, callers := Running} = State) ->
    {ok, Carts} = application:get_env(shop, carts),
    New = [spawn_link(fun() -> rand:seed(exsss, N), caller(Numbers, Carts) end) || N <- lists:seq(1, Callers)],
    {reply, ok, State#{callers := New ++ Running}};
handle_call(stop, _From, #{callers := Running} = State) ->
    [exit(Pid, kill) || Pid <- Running],
    {reply, ok, State#{callers := []}};
handle_call(reset, _From, #{numbers := Numbers} = State) ->
    [atomics:put(Numbers, Index, 0) || Index <- [?CALLS, ?FAILED, ?WORST]],
    {reply, ok, State#{failures := []}};
handle_call(read, _From, #{numbers := Numbers, callers := Running, failures := Failures} = State) ->
    {reply, #{callers => length(Running), calls => atomics:get(Numbers, ?CALLS),
              failed => atomics:get(Numbers, ?FAILED), worst_us => atomics:get(Numbers, ?WORST),
              failures => lists:reverse(Failures)}, State}.

handle_cast({failure, What}, #{failures := Failures} = State) when length(Failures) < 5 ->
    {noreply, State#{failures := [What | Failures]}};
handle_cast(_Message, State) ->
    {noreply, State}.

handle_info({'EXIT', Pid, _Reason}, #{callers := Running} = State) ->
    {noreply, State#{callers := lists:delete(Pid, Running)}}.

caller(Numbers, Carts) ->
    Id = rand:uniform(Carts),
    measured(Numbers, random_visit(rand:uniform(10), Id)),
    timer:sleep(2),
    caller(Numbers, Carts).

%% Till 4 is left to the demonstration: somebody stands there with an open purse during the upgrade.
random_visit(N, Id) when N =< 4 -> fun() -> {ok, #{total := _}} = shop_cart_server:quote(Id) end;
random_visit(N, Id) when N =< 7 -> fun() -> {ok, _} = shop_cart_server:add(Id, pear, 1 + N rem 3) end;
random_visit(8, _) -> fun() -> {ok, #{level := _}} = shop_stock:level(apple) end;
random_visit(N, Id) -> fun() -> sale(lists:nth(1 + (Id + N) rem 3, [shop_till_1, shop_till_2, shop_till_3]), Id) end.

sale(Till, Id) ->
    {ok, Total} = shop_checkout:scan(Till, Id),
    {ok, #{change := 0}} = shop_checkout:pay(Till, Total).

measured(Numbers, Visit) ->
    Start = erlang:monotonic_time(microsecond),
    try Visit()
    catch Class:Reason ->
        atomics:add(Numbers, ?FAILED, 1),
        gen_server:cast(?MODULE, {failure, {Class, Reason}})
    end,
    atomics:add(Numbers, ?CALLS, 1),
    worst(Numbers, erlang:monotonic_time(microsecond) - Start).

worst(Numbers, Took) ->
    case atomics:get(Numbers, ?WORST) of
        Before when Before >= Took -> ok;
        Before ->
            case atomics:compare_exchange(Numbers, ?WORST, Before, Took) of
                ok -> ok;
                _Other -> worst(Numbers, Took)
            end
    end.
