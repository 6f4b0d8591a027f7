%% A library module; compiled under as many names as needed (NAME, and NEXT: the one it calls).
-module(?NAME).
-export([value/1, next/1]).

-ifdef(V2).
value(X) -> {two, X}.
-else.
value(X) -> {one, X}.
-endif.
next(X) -> ?NEXT:value(X).
