%% What is on the shelves. Has no code_change: its state is the same in both versions.
-module(shop_stock).
%% Somebody once wrote this line and never touched it again: the version says nothing about the code.
-vsn("stock").
-behaviour(gen_server).
-export([start_link/0, level/1, take/2]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

level(Sku) ->
    gen_server:call(?MODULE, {level, Sku}).

%% Takes pieces from the shelf, which is refilled when it runs empty.
take(Sku, Quantity) ->
    gen_server:call(?MODULE, {take, Sku, Quantity}).

init([]) ->
    {ok, #{apple => 1000, pear => 1000, taken => 0}}.

handle_call({level, Sku}, _From, Shelves) ->
    {reply, {ok, #{version => 2, level => maps:get(Sku, Shelves, 0), taken => maps:get(taken, Shelves)}}, Shelves};
handle_call({take, Sku, Quantity}, _From, #{taken := Taken} = Shelves) ->
    Left = maps:get(Sku, Shelves, 0) - Quantity,
    Level = if Left > 0 -> Left; true -> 1000 end,
    {reply, {ok, #{version => 2, level => Level}}, Shelves#{Sku => Level, taken => Taken + Quantity}}.

handle_cast(_Message, Shelves) ->
    {noreply, Shelves}.
