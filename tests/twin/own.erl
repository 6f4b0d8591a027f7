%% A module that says its own name in every way: as a name, and as data.
-module(own).
-export([facts/0, fails/1, which/0, own/1, own/2, tell/1]).
-record(own, {own = own}).

which() -> ?V.

facts() ->
    #{local => which(),
      remote => ?MODULE:which(),
      by_local_fun => (hd([fun which/0 | opaque([])]))(),
      called_like_the_module => {own(1), ?MODULE:own(1), lists:map(fun own/1, [2]), lists:map(fun ?MODULE:own/1, [3])},
      fun_inside => own(opaque(x), y),
      by_name => apply(opaque(?MODULE), which, opaque([])),
      by_fun => opaque(fun ?MODULE:which/0),
      by_fun_called => (hd(opaque([fun ?MODULE:which/0])))(),
      spawned => spawned(),
      name => ?MODULE,
      name_in_literal => {?MODULE, start_link, [?MODULE]},
      name_in_tuple => {?MODULE, opaque(1)},
      name_in_list => [?MODULE | opaque([])],
      name_in_map => #{?MODULE => opaque(1)},
      key => key(opaque(#{own => 3, other => 4})),
      map_changed => (opaque(#{own => 1}))#{own := ?MODULE},
      record => record(opaque(#own{})),
      record_made => #own{own = opaque(own)},
      chosen => [chosen(opaque(N)) || N <- [own, 'own@updo', other, 5]],
      compared => {opaque(own) =:= ?MODULE, opaque(own) == own, opaque('own@updo') =:= ?MODULE},
      message => message(),
      registered => holds_its_name(),
      segment => <<(opaque(1)):8, "own">>,
      exported => erlang:function_exported(?MODULE, which, opaque(0)),
      guarded => guarded(opaque(own)),
      caught => (catch throw(?MODULE)),
      raised => (try error({?MODULE, opaque(1)}) catch error:{own, N} -> N end),
      where => module()}.

%% Not to be seen through by the compiler.
opaque(X) -> binary_to_term(term_to_binary(X)).

own(X) -> {own, X}.
own(X, Y) ->
    F = fun(Z) -> {own, X, Y, Z} end,
    F(own).

spawned() ->
    Pid = spawn(?MODULE, tell, [self()]),
    receive {own, Pid, Which} -> Which after 5000 -> nothing end.

tell(To) -> To ! {own, self(), which()}.

message() ->
    self() ! {?MODULE, opaque(1)},
    self() ! ?MODULE,
    receive own -> receive {own, N} -> N end end.

holds_its_name() ->
    true = register(?MODULE, self()),
    Found = whereis(own) =:= self(),
    true = unregister(own),
    Found.

key(#{own := Value}) -> Value.

record(#own{own = Value} = R) -> {Value, R#own{own = 1}}.

chosen(own) -> 1;
chosen('own@updo') -> 2;
chosen(other) -> 3;
chosen(_) -> 4.

guarded(X) when X =:= ?MODULE; X =:= nothing -> yes;
guarded(_) -> no.

module() -> ?MODULE:module_info(module).

fails(own) -> ok.
