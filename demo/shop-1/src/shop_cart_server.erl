%% One cart: who fills it, what it costs.
-module(shop_cart_server).
-behaviour(gen_server).
-export([start_link/1, add/3, quote/1, info/1, name/1]).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

-record(cart, {id, lines = []}).

start_link(Id) ->
    gen_server:start_link({local, name(Id)}, ?MODULE, Id, []).

%% Adds a line and answers with their number. A cart keeps its last five lines.
add(Id, Sku, Quantity) ->
    gen_server:call(name(Id), {add, Sku, Quantity}).

%% The price with tax, in cents, and the version that computed it.
quote(Id) ->
    gen_server:call(name(Id), quote).

%% What the cart knows about itself.
info(Id) ->
    gen_server:call(name(Id), info).

%% Carts are numbered 1 to a few hundred, so the atoms are bounded.
name(Id) ->
    list_to_atom("shop_cart_" ++ integer_to_list(Id)).

init(Id) ->
    {ok, #cart{id = Id, lines = [{apple, 1 + Id rem 3}]}}.

handle_call({add, Sku, Quantity}, _From, #cart{lines = Lines} = Cart) ->
    New = lists:sublist([{Sku, Quantity} | Lines], 5),
    {reply, {ok, length(New)}, Cart#cart{lines = New}};
handle_call(quote, _From, #cart{lines = Lines} = Cart) ->
    {ok, Tax} = application:get_env(shop, tax_module),
    Net = shop_price:total(Lines),
    {reply, {ok, #{version => 1, total => Net + Tax:tax(Net)}}, Cart};
handle_call(info, _From, #cart{id = Id, lines = Lines} = Cart) ->
    {reply, #{version => 1, id => Id, lines => length(Lines)}, Cart}.

handle_cast(_Message, Cart) ->
    {noreply, Cart}.

code_change(_OldVsn, Cart, _Extra) ->
    {ok, Cart}.
