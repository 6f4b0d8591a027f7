%% Rounding. New in version 2.
-module(shop_round).
-export([version/0, divide/3]).

version() ->
    2.

%% A quotient of two integers, not negative and positive, rounded `down` or `half_even`.
divide(A, B, down) ->
    A div B;
divide(A, B, half_even) ->
    Quotient = A div B,
    case 2 * (A rem B) of
        Twice when Twice > B; Twice =:= B, Quotient rem 2 =:= 1 -> Quotient + 1;
        _ -> Quotient
    end.
