%% Tax. Which module computes it is configured: `tax_module` in the application's environment.
-module(shop_tax).
-vsn("1").
-export([version/0, tax/1, tax/2]).

version() ->
    2.

%% The tax on a net price, in cents, as version 1 computed it; for those who have not changed yet.
tax(Net) ->
    tax(Net, down).

%% The tax on a net price, in cents.
tax(Net, Rounding) ->
    shop_round:divide(Net * 19, 100, Rounding).
