%% Starts the shop. The same in both versions.
-module(shop_app).
-behaviour(application).
-export([start/2, stop/1]).

start(_Type, _Args) ->
    {ok, Carts} = application:get_env(shop, carts),
    {ok, Sup} = shop_sup:start_link(),
    ok = shop_cart_sup:open(Carts),
    {ok, Sup}.

stop(_State) ->
    ok.
