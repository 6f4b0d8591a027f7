%% A till: a cart is scanned, then paid. Who comes while another pays waits in the queue.
-module(shop_checkout).
-behaviour(gen_statem).
-export([start_link/1, scan/2, pay/2, info/1]).
-export([init/1, callback_mode/0, open/3, paying/3, code_change/4]).

start_link(Name) ->
    gen_statem:start_link({local, Name}, ?MODULE, Name, []).

%% Asks the cart for its price and waits for the payment.
scan(Till, CartId) ->
    gen_statem:call(Till, {scan, CartId}, 5000).

%% Pays what was scanned.
pay(Till, Amount) ->
    gen_statem:call(Till, {pay, Amount}, 5000).

info(Till) ->
    gen_statem:call(Till, info, 5000).

callback_mode() ->
    state_functions.

init(Name) ->
    {ok, open, #{name => Name, pending => none, sold => 0, paid => 0}}.

open({call, From}, {scan, CartId}, Till) ->
    {ok, #{total := Total}} = shop_cart_server:quote(CartId),
    {next_state, paying, Till#{pending := {CartId, Total}}, [{reply, From, {ok, Total}}]};
open({call, From}, {pay, _Amount}, _Till) ->
    {keep_state_and_data, [{reply, From, {error, nothing_scanned}}]};
open({call, From}, info, Till) ->
    {keep_state_and_data, [{reply, From, about(open, Till)}]}.

paying({call, _From}, {scan, _CartId}, _Till) ->
    {keep_state_and_data, [postpone]};
paying({call, From}, {pay, Amount}, #{pending := {_, Total}, sold := Sold, paid := Paid} = Till) when Amount >= Total ->
    {ok, _} = shop_stock:take(apple, 1),
    Receipt = #{version => 2, change => Amount - Total},
    {next_state, open, Till#{pending := none, sold := Sold + 1, paid := Paid + Total}, [{reply, From, {ok, Receipt}}]};
paying({call, From}, {pay, _Amount}, _Till) ->
    {keep_state_and_data, [{reply, From, {error, not_enough}}]};
paying({call, From}, info, Till) ->
    {keep_state_and_data, [{reply, From, about(paying, Till)}]}.

about(State, #{name := Name, sold := Sold, paid := Paid}) ->
    #{version => 2, name => Name, state => State, sold => Sold, paid => Paid}.

%% The record of version 1 becomes a map that also knows the money. Whoever stands at the till stays there.
code_change({down, _OldVsn}, State, #{name := Name, pending := Pending, sold := Sold}, _Extra) ->
    {ok, State, {till, Name, Pending, Sold}};
code_change(_OldVsn, State, {till, Name, Pending, Sold}, _Extra) ->
    {ok, State, #{name => Name, pending => Pending, sold => Sold, paid => 0}}.
