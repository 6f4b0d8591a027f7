%% A node whose table of processes is full. Part of agent_tests.erl, which runs them.
-module(limits_tests).
-compile([export_all, nowarn_export_all]).
-import(agent_tests, [job/2, boot/1, upgrade/1, clean/0]).

tests() -> [full_table].

%% On a small node of its own: half a million processes would take a gigabyte.
full_table() ->
    Dir = persistent_term:get(agent_dir),
    Here = filename:dirname(code:which(?MODULE)),
    Command = lists:flatten(io_lib:format("erl +P 1024 -noshell -noinput -pa ~ts -kernel logger_level none "
                                          "-eval 'agent_tests:main(\"~ts\", [full_table_inside]).' -s init stop", [Here, Dir])),
    Out = os:cmd(Command),
    {match, _} = re:run(Out, "1 passed, 0 failed").

%% No process can be made for the agent: that is an error, and nothing of the agent stays. The first run compiles it,
%% which needs processes.
full_table_inside() ->
    {new, _, _} = upgrade(job([], [])),
    clean(),
    [begin
         Filler = spawn(fun() -> keep_full([]) end),
         receive after 200 -> ok end,
         system_limit = try boot(maps:merge(job([], []), More)) catch error:Reason -> Reason end,
         Filler ! {empty, self()},
         receive emptied -> ok end,
         false = code:is_loaded(updo_agent_7f2a),
         none = persistent_term:get(updo_agent_7f2a, none)
     end || More <- [#{}, #{interpret => true}]].

%% Until it gets another message: processes end now and then.
keep_full(Pids) ->
    try spawn(fun() -> receive after infinity -> ok end end) of P -> keep_full([P | Pids])
    catch
        error:system_limit ->
            receive {empty, From} -> [exit(P, kill) || P <- Pids], From ! emptied
            after 0 -> erlang:yield(), keep_full(Pids)
            end
    end.
