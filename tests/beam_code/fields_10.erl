%% What Elixir 1.10 (`one`, `two`) and 1.14 (`later`) make of `x.net`, and what only looks like it.
-module(fields_10).
-export([one/1, two/1, call/1, another/1, later/1, is_module/1]).

one(X) ->
    case X of
        #{net := V} -> V;
        Y when is_map(Y) -> error({badkey, net, Y});
        Y -> Y:net()
    end.

two(X) ->
    A = case X of
        #{net := V} -> V;
        Y when is_map(Y) -> error({badkey, net, Y});
        Y -> Y:net()
    end,
    B = case X of
        #{tax := W} -> W;
        Z when is_map(Z) -> error({badkey, tax, Z});
        Z -> Z:tax()
    end,
    {A, B}.

call(X) -> X:net().

another(X) ->
    case X of
        #{net := V} -> V;
        Y when is_map(Y) -> error({badkey, net, Y});
        Y -> Y:tax()
    end.

later(X) ->
    case X of
        #{net := V} -> V;
        Y when is_atom(Y), Y =/= nil, Y =/= true, Y =/= false -> Y:net();
        Y -> error({badkey, net, Y})
    end.

%% A guard says that it is no map: `def is_module(x) when is_atom(x), do: x.net`.
is_module(X) when is_atom(X) ->
    case X of
        #{net := V} -> V;
        Y when is_atom(Y), Y =/= nil, Y =/= true, Y =/= false -> Y:net();
        Y -> error({badkey, net, Y})
    end.
