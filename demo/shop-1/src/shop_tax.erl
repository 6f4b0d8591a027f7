%% Tax. Which module computes it is configured: `tax_module` in the application's environment.
-module(shop_tax).
-vsn("1").
-export([version/0, tax/1]).

version() ->
    1.

%% The tax on a net price, in cents, rounded down.
tax(Net) ->
    Net * 19 div 100.
