#!/usr/bin/env escript
%% What xref in modules mode answers to "strict ME || AM", one "caller -> callee" a line as ~tp prints them.
main([Out | Folders]) ->
    {ok, _} = xref:start(x, [{xref_mode, modules}]),
    ok = xref:set_default(x, [{verbose, false}, {warnings, false}]),
    [{ok, _} = xref:add_directory(x, Folder) || Folder <- Folders],
    {ok, Edges} = xref:q(x, "strict ME || AM"),
    {ok, File} = file:open(Out, [write, {encoding, utf8}, delayed_write]),
    [io:format(File, "~tp -> ~tp~n", [A, B]) || {A, B} <- Edges],
    ok = file:close(File),
    io:format("~s", [erlang:system_info(otp_release)]).
