%% Application and simple_one_for_one supervisor of the servers under load.
-module(pause_sup).
-behaviour(application).
-behaviour(supervisor).
-export([start/2, stop/1, init/1, many/1]).

start(_, _) -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).
stop(_) -> ok.

init([]) ->
    Child = #{id => srv, start => {pause_srv, start_link, []}, restart => temporary, modules => [pause_srv]},
    {ok, {#{strategy => simple_one_for_one}, [Child]}}.

many(Count) ->
    [element(2, {ok, _} = supervisor:start_child(?MODULE, [I])) || I <- lists:seq(1, Count)].
