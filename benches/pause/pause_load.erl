%% 5,000 calls a second at random servers, each from a process of its own, each timed.
%%
%% The load is open: calls are made by the clock, whether or not earlier ones were answered. What a call waits for
%% is therefore what a client would have waited for. Times are microseconds of the monotonic clock.
-module(pause_load).
-export([start/1, mark/0, stop/2, during/2, timed/2, eval_script/4]).

start(Servers) ->
    ets:new(?MODULE, [named_table, public, duplicate_bag, {write_concurrency, true},
                      {heir, whereis(init), none}]),
    Pids = list_to_tuple(Servers),
    Loop = spawn(fun() ->
        register(?MODULE, self()),
        process_flag(priority, high),
        loop(Pids, now_us(), 0)
    end),
    Loop.

%% Five calls every millisecond; what the clock has run ahead is caught up with.
loop(Pids, Began, Made) ->
    Due = (now_us() - Began) div 200,
    calls(Pids, Due - Made),
    receive {stop, From} -> From ! {stopped, max(Due, Made)} after 1 -> loop(Pids, Began, max(Due, Made)) end.

calls(Pids, N) when N > 0 ->
    Pid = element(rand:uniform(tuple_size(Pids)), Pids),
    spawn(fun() ->
        From = now_us(),
        Answer = try gen_server:call(Pid, get, infinity) of
            {1, {one, _}} -> old;
            {2, {two, _}} -> new;
            Mixed -> {mixed, Mixed}
        catch
            Class:Reason -> {failed, Class, Reason}
        end,
        ets:insert(?MODULE, {From, now_us() - From, Answer})
    end),
    calls(Pids, N - 1);
calls(_, _) -> ok.

mark() -> now_us().

%% Ends the load, waits for all answers, and gives those of calls that were under way between two marks:
%% {calls, worst latency, mean latency, calls that failed or saw a mix of versions, calls made in all, the latency that
%% one of a thousand exceeds}.
stop(Since, Until) ->
    ?MODULE ! {stop, self()},
    Made = receive {stopped, N} -> N end,
    answered(Made, 600),
    All = ets:tab2list(?MODULE),
    During = [L || {F, L, _} <- All, F =< Until, F + L >= Since],
    Bad = [A || {_, _, A} <- All, A =/= old, A =/= new],
    ets:delete(?MODULE),
    {length(During), lists:max([0 | During]), lists:sum(During) div max(1, length(During)),
     length(Bad) + Made - length(All), length(All), permille(lists:sort(During), 999)}.

permille([], _) -> 0;
permille(Sorted, N) -> lists:nth(max(1, length(Sorted) * N div 1000), Sorted).

%% {calls, worst latency, mean latency} of those that were under way between two marks and are answered.
during(Since, Until) ->
    All = [L || {F, L, _} <- ets:tab2list(?MODULE), F =< Until, F + L >= Since],
    {length(All), lists:max([0 | All]), lists:sum(All) div max(1, length(All))}.

answered(_, 0) -> ok;
answered(Made, Tries) ->
    case ets:info(?MODULE, size) >= Made of
        true -> ok;
        false -> timer:sleep(100), answered(Made, Tries - 1)
    end.

%% What N calls take, made one after the other by one process at the servers in turn, microseconds.
timed(Servers, N) ->
    {Pid, Mon} = spawn_monitor(fun() ->
        garbage_collect(),
        lists:foreach(fun(P) -> _ = gen_server:call(P, get, infinity), garbage_collect(P) end, Servers),
        From = now_us(),
        call(Servers, Servers, N),
        exit({took, now_us() - From})
    end),
    receive {'DOWN', Mon, process, Pid, {took, Us}} -> Us end.

call(_, _, 0) -> ok;
call([], All, N) -> call(All, All, N);
call([P | Rest], All, N) ->
    _ = gen_server:call(P, get, infinity),
    call(Rest, All, N - 1).

%% The upgrade as OTP's release handler does it, from files in Dir/ebin; gives the marks before and after.
eval_script(Script, App, Vsn, Dir) ->
    T0 = now_us(),
    {ok, _} = release_handler_1:eval_script(Script, [], [{App, Vsn, Dir}], [], []),
    {T0, now_us()}.

now_us() -> erlang:monotonic_time(microsecond).
