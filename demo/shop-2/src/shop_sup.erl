%% The top of the tree.
-module(shop_sup).
-behaviour(supervisor).
-export([start_link/0, version/0, init/1]).

start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

version() ->
    2.

init([]) ->
    Flags = #{strategy => one_for_one, intensity => 6, period => 10},
    Stock = #{id => shop_stock, start => {shop_stock, start_link, []}, shutdown => 10000},
    Carts = #{id => shop_cart_sup, start => {shop_cart_sup, start_link, []}, type => supervisor},
    Tills = [#{id => Till, start => {shop_checkout, start_link, [Till]}, modules => [shop_checkout]}
             || Till <- [shop_till_1, shop_till_2, shop_till_3, shop_till_4]],
    Gate = #{id => shop_gate, start => {shop_gate, start_link, []}},
    Load = #{id => shop_load, start => {shop_load, start_link, []}},
    {ok, {Flags, [Stock, Carts] ++ Tills ++ [Gate, Load]}}.
