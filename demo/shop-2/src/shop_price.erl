%% Prices. Calls shop_promo and is called by it: the two changed their mutual interface in version 2, so
%% neither version of the one works with the other version of the other.
-module(shop_price).
-export([version/0, total/1, threshold/1]).

version() ->
    2.

%% The net price of the lines, in cents, after discount.
total(Lines) ->
    Sum = lists:sum([Quantity * cents(Sku) || {Sku, Quantity} <- Lines]),
    Sum - shop_promo:discount(Sum, length(Lines)).

%% From which sum on there is a discount, for a cart with so many lines.
threshold(Lines) when Lines >= 3 -> 800;
threshold(_) -> 1000.

cents(apple) -> 45;
cents(pear) -> 60;
cents(_) -> 999.
