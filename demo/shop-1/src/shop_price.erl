%% Prices. Calls shop_promo and is called by it: the two change their mutual interface in version 2.
-module(shop_price).
-export([version/0, total/1, threshold/0]).

version() ->
    1.

%% The net price of the lines, in cents, after discount.
total(Lines) ->
    Sum = lists:sum([Quantity * cents(Sku) || {Sku, Quantity} <- Lines]),
    Sum - shop_promo:discount(Sum).

%% From which sum on there is a discount.
threshold() ->
    1000.

cents(apple) -> 45;
cents(pear) -> 60;
cents(_) -> 999.
