%% Discounts.
-module(shop_promo).
-export([version/0, discount/1]).

version() ->
    1.

discount(Sum) ->
    case Sum >= shop_price:threshold() of
        true -> Sum div 20;
        false -> 0
    end.
