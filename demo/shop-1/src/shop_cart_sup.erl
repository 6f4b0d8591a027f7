%% One child per cart. The same in both versions.
-module(shop_cart_sup).
-behaviour(supervisor).
-export([start_link/0, open/1, init/1]).

start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% Opens carts 1 to N.
open(N) ->
    lists:foreach(fun(Id) -> {ok, _} = supervisor:start_child(?MODULE, [Id]) end, lists:seq(1, N)).

init([]) ->
    Cart = #{id => cart, start => {shop_cart_server, start_link, []}, modules => [shop_cart_server]},
    {ok, {#{strategy => simple_one_for_one, intensity => 3, period => 10}, [Cart]}}.
