%% A module with a native record (OTP 29) that is called like it, as are one of its fields and a default.
-module(native).
-export([make/1, taken/1, changed/2, defaults/1]).
-record #native{native = native, other = ?MODULE}.
-export_record([native]).

make(X) -> #native{native = X}.

taken(#native{native = X, other = Y}) -> {X, Y};
taken(_) -> no.

changed(R, X) -> R#native{native = X}.

defaults(R) -> R#native.other.
