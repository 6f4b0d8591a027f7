#!/usr/bin/env escript
%% xref in modules mode over folders, for `make bench`: bench_xref.erl TIMES FOLDER...
%% Prints the edges as `updo graph --format edges` does; appends the milliseconds that xref itself took to TIMES.
-mode(compile).

main([Times | Folders]) ->
    Start = erlang:monotonic_time(microsecond),
    {ok, _} = xref:start(x, [{xref_mode, modules}]),
    ok = xref:set_default(x, [{verbose, false}, {warnings, false}]),
    [{ok, _} = xref:add_directory(x, Folder) || Folder <- Folders],
    {ok, Edges} = xref:q(x, "strict ME || AM"),
    End = erlang:monotonic_time(microsecond),
    ok = file:write_file(Times, io_lib:format("~.1f~n", [(End - Start) / 1000]), [append]),
    Lines = [io_lib:format("~tp -> ~tp~n", [A, B]) || {A, B} <- Edges],
    ok = file:write(standard_io, unicode:characters_to_binary(Lines)).
