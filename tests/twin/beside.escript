#!/usr/bin/env escript
%% Twins beside their originals, in one node. The first argument is a folder: `twins` lists what is there, the answer
%% of the function that the second names goes to `answer`.
-mode(compile).

main([Dir, Function | Args]) ->
    put(dir, Dir),
    [code:add_pathsz(filelib:wildcard(filename:join(Lib, "*/ebin"))) || Lib <- libs()],
    Answer = run(Function, Args),
    ok = file:write_file(in("answer"), term_to_binary(Answer)).

in(Name) -> filename:join(get(dir), Name).

libs() ->
    Elixir = ["/usr/lib/elixir/lib" || filelib:is_dir("/usr/lib/elixir/lib")],
    [filename:join(code:root_dir(), "lib") | Elixir].

run("installed", []) ->
    {list_to_integer(erlang:system_info(otp_release)), libs()};
run("loads", []) ->
    Done = [loads(T) || T <- twins()],
    {length([ok || ok <- Done]), [D || D <- Done, D =/= ok]};
run("refusals", []) ->
    {ok, Verdicts} = file:consult(in("verdicts")),
    {length(Verdicts), [{M, Said, Is} || {M, File, Said} <- Verdicts, Is <- [refusal(M, File)], Is =/= Said]};
run("compile", [Seed, Count]) ->
    load_all(),
    compiles(some_forms(list_to_integer(Seed), list_to_integer(Count)));
run("text", [Seed, Count]) ->
    load_all(),
    texts(some_forms(list_to_integer(Seed), list_to_integer(Count)));
run("functions", [Seed, Count]) ->
    load_all(),
    rand:seed(exsss, {list_to_integer(Seed), 1, 1}),
    functions(list_to_integer(Count));
run("elixir", [Seed, Count]) ->
    {ok, _} = application:ensure_all_started(elixir),
    load_all(),
    elixir(list_to_integer(Seed), list_to_integer(Count));
run("compiled", [Source]) ->
    versions(Source, []);
run("compiled_to_debug", [Source]) ->
    versions(Source, [beam_debug_info]);
run("all_compiled", []) ->
    [compiled(F, filename:rootname(F) ++ ".beam", []) || F <- filelib:wildcard(in("*.erl"))],
    ok;
run("own", []) ->
    own();
run("native", []) ->
    native();
run("shims", []) ->
    {ok, Shims} = file:consult(in("twins")),
    Done = [shim(M, File) || {M, File} <- Shims],
    {length([ok || ok <- Done]), [D || D <- Done, D =/= ok]};
run("shim_runs", []) ->
    shim_runs().

%% What the loader says, and what it does not look at: every export leads to the entry of a function of that name.
shim(M, File) ->
    {ok, Bin} = file:read_file(File),
    {beam_file, M, Exports, _, _, Code} = beam_disasm:file(Bin),
    Entries = maps:from_list([{{F, A, L}, true} || {function, F, A, L, _} <- Code]),
    case {[E || E <- Exports, not is_map_key(E, Entries)], code:prepare_loading([{M, File, Bin}])} of
        {[], {ok, _}} -> ok;
        Other -> {M, Other}
    end.

%% Every callback, before and after the process is through, with an agent that shows what it is given.
shim_runs() ->
    {ok, Agent, Beam} = compile:forms(
        [{attribute, 1, module, updo_agent_shim}, {attribute, 1, compile, [export_all]}] ++
        [agent_function(N) || N <- [1, 2, 3]], [nowarn_export_all]),
    {module, Agent} = code:load_binary(Agent, "agent", Beam),
    {module, server} = load(server, in("shim.beam")),
    Calls = [{init, [a]}, {handle_call, [r, f, s]}, {handle_cast, [m, s]}, {handle_info, [m, s]},
             {handle_continue, [m, s]}, {terminate, [why, s]}, {format_status, [s]},
             {format_status, [opt, [[], s]]}, {code_change, [v, s, x]}, {other, [o, s]}],
    Run = fun(How) -> [{How, F, length(A), apply(server, F, A)} || {F, A} <- Calls] end,
    Before = Run(before),
    put(updo_live_key, true),
    After = Run(behind),
    %% What it calls itself is the real one.
    Local = begin erase(updo_live_key), server:calls_local(s) end,
    {Before, After, Local, server:module_info(attributes)}.

agent_function(N) ->
    Args = [{var, 1, list_to_atom("A" ++ integer_to_list(I))} || I <- lists:seq(1, N)],
    Rest = [{var, 1, 'F'}, {var, 1, 'About'}],
    {function, 1, live, N + 2,
     [{clause, 1, Args ++ Rest, [],
       [{tuple, 1, [{atom, 1, given}, lists:foldr(fun(X, L) -> {cons, 1, X, L} end, {nil, 1}, Args) | Rest]}]}]}.

versions(Source, Options) ->
    compiled(in(Source), in("running.beam"), [{d, 'V', 1} | Options]),
    compiled(in(Source), in("new.beam"), [{d, 'V', 2} | Options]).

compiled(Source, To, Options) ->
    {ok, _, Beam} = compile:file(Source, [binary, return_errors | Options]),
    ok = file:write_file(To, Beam).

twins() ->
    {ok, Twins} = file:consult(in("twins")),
    Twins.

load(Name, File) ->
    {ok, Bin} = file:read_file(File),
    code:load_binary(Name, File, Bin).

%% Twins, or an excerpt of all of them with modules in front of it that are called like twins.
load_all() ->
    case filelib:is_file(in("excerpt.beam")) of
        false -> [{module, Name} = load(Name, File) || {_, Name, File, _} <- twins()];
        true ->
            {module, Excerpt} = load(updo@conversions, in("excerpt.beam")),
            Has = maps:from_list([{F, true} || F <- erlang:get_module_info(Excerpt, exports)]),
            [front(M, Name, Original, Excerpt, Has) || {M, Name, _, Original} <- twins()],
            true = code:delete(Excerpt),
            true = code:soft_purge(Excerpt),
            {module, Excerpt} = load(Excerpt, in("excerpt.beam")),
            Excerpt = Excerpt:module_info(module),
            {exports, [_ | _]} = lists:keyfind(exports, 1, Excerpt:module_info())
    end.

front(M, Name, Original, Excerpt, Has) ->
    {ok, {M, [{exports, Exports}]}} = beam_lib:chunks(Original, [exports]),
    Functions = [front_function(M, F, A, Excerpt, Has) || {F, A} <- Exports, F =/= module_info],
    Forms = [{attribute, 1, module, Name}, {attribute, 1, compile, [export_all, {no_auto_import, Exports}]} | Functions],
    {ok, Name, Beam} = compile:forms(Forms, [nowarn_export_all]),
    {module, Name} = code:load_binary(Name, "front", Beam).

front_function(M, F, A, Excerpt, Has) ->
    Args = [{var, 1, list_to_atom("A" ++ integer_to_list(N))} || N <- lists:seq(1, A)],
    In = list_to_atom(atom_to_list(M) ++ "@updo:" ++ atom_to_list(F)),
    {ToM, ToF} = case Has of #{{In, A} := true} -> {Excerpt, In}; _ -> {M, F} end,
    Call = {call, 1, {remote, 1, {atom, 1, ToM}, {atom, 1, ToF}}, Args},
    {function, 1, F, A, [{clause, 1, Args, [], [Call]}]}.

%% ------------------------------------------------------------------------------------------------ the loader

loads({Module, Name, File, Original}) ->
    case load(Name, File) of
        {module, Name} ->
            {ok, {Module, [{exports, Exports}]}} = beam_lib:chunks(Original, [exports]),
            Same = lists:sort(Exports) =:= lists:sort(erlang:get_module_info(Name, exports)),
            Itself = Name:module_info(module) =:= Name andalso
                Name:module_info(md5) =:= erlang:get_module_info(Name, md5),
            true = code:delete(Name),
            Gone = code:soft_purge(Name) andalso not erlang:module_loaded(Name),
            case {Same, Itself, Gone} of
                {true, true, true} -> ok;
                Not -> {Module, Not}
            end;
        Error ->
            {Module, Error}
    end.

refusal(Module, File) ->
    {ok, {Module, [{imports, Imports}]}} = beam_lib:chunks(File, [imports]),
    case lists:member({erlang, load_nif, 2}, Imports) of
        true -> nif;
        false ->
            {ok, Bin} = file:read_file(File),
            case code:prepare_loading([{Module, File, Bin}]) of
                {ok, _} -> plain;
                {error, [{Module, on_load_not_allowed}]} -> on_load;
                %% A module that the node does not let be loaded again may still have a twin.
                {error, [{Module, sticky_directory}]} -> plain
            end
    end.

%% -------------------------------------------------------------------------------------------------- inputs

%% The abstract code of modules of this installation, drawn by chance; big ones are left out.
some_forms(Seed, Count) ->
    Files = lists:append([filelib:wildcard(filename:join(Lib, "*/ebin/*.beam")) || Lib <- libs()]),
    Small = [F || F <- lists:sort(Files), filelib:file_size(F) < 60000],
    rand:seed(exsss, {Seed, 2, 3}),
    Drawn = [F || {_, F} <- lists:sort([{rand:uniform(), F} || F <- Small])],
    some_forms(Drawn, Count, []).

some_forms(_, 0, Acc) -> Acc;
some_forms([], _, Acc) -> Acc;
some_forms([File | Files], N, Acc) ->
    case beam_lib:chunks(File, [abstract_code]) of
        {ok, {M, [{abstract_code, {raw_abstract_v1, Forms}}]}} -> some_forms(Files, N - 1, [{M, Forms} | Acc]);
        _ -> some_forms(Files, N, Acc)
    end.

differs(What, Same, Same) when is_tuple(What) -> [];
differs(What, A, B) -> [{What, cut(A), cut(B)}].

cut(Term) -> unicode:characters_to_binary(io_lib:format("~0tP", [Term, 30])).

%% A value without what says where it was made: funs of the twin are not those of the original.
plain(F) when is_function(F) ->
    {env, Env} = erlang:fun_info(F, env),
    {a_fun, element(2, erlang:fun_info(F, arity)), plain(Env)};
plain([H | T]) -> [plain(H) | plain(T)];
plain(T) when is_tuple(T) -> list_to_tuple(plain(tuple_to_list(T)));
plain(M) when is_map(M) -> maps:from_list(plain(maps:to_list(M)));
plain(Other) -> Other.

twin(M) -> list_to_atom(atom_to_list(M) ++ "@updo").

%% What a call answers, or raises.
answer(M, F, Args) ->
    try plain(apply(M, F, Args)) of
        Value -> {value, Value}
    catch
        Class:Reason -> {Class, plain(Reason)}
    end.

both(M, F, Args) -> differs({M, F, length(Args)}, answer(M, F, Args), answer(twin(M), F, Args)).

%% ------------------------------------------------------------------------------------------------ the compiler

%% The compiler calls its passes by their names, which are data: the twin of the driver runs the real passes. So every
%% call of a pass is recorded while the original compiles, and made once more with the twin of the pass.
compiles(Forms) ->
    Passes = [M || {M, _, _, _} <- twins(), {module, M} =:= code:ensure_loaded(M),
                   erlang:function_exported(M, module, 2)],
    Each = [compiles(M, F, Passes) || {M, F} <- Forms],
    {lists:sum([N || {N, _} <- Each]), lists:append([D || {_, D} <- Each])}.

compiles(M, Forms, Passes) ->
    Options = [binary, deterministic, return, no_spawn_compiler_process],
    {Real, Calls} = traced(Passes, fun() -> compile:noenv_forms(Forms, Options) end),
    Twin = apply(twin(compile), noenv_forms, [Forms, Options]),
    Whole = differs({compile, M}, Real, Twin),
    {1 + length(Calls), Whole ++ lists:append([pass(P, Args, Result) || {P, Args, Result} <- Calls])}.

pass(P, Args, Result) ->
    differs({P, module, 2}, plain(Result), plain(apply(twin(P), module, Args))).

traced(Modules, Fun) ->
    Me = self(),
    Collector = spawn_link(fun() -> collect([], []) end),
    {Pid, Ref} = spawn_monitor(fun() ->
        receive go -> ok end,
        Value = Fun(),
        Me ! {value, self(), Value}
    end),
    erlang:trace(Pid, true, [call, {tracer, Collector}]),
    Match = [{'_', [], [{return_trace}]}],
    [erlang:trace_pattern({M, module, 2}, Match, []) || M <- Modules],
    Pid ! go,
    Value = receive {value, Pid, V} -> V; {'DOWN', Ref, _, _, Reason} -> exit(Reason) end,
    demonitor(Ref, [flush]),
    [erlang:trace_pattern({M, module, 2}, false, []) || M <- Modules],
    Delivered = erlang:trace_delivered(Pid),
    receive {trace_delivered, Pid, Delivered} -> ok end,
    Collector ! {all, Me},
    receive {calls, Calls} -> {Value, Calls} end.

collect(Open, Done) ->
    receive
        {trace, _, call, {M, _, Args}} -> collect([{M, Args} | Open], Done);
        {trace, _, return_from, {M, _, _}, Result} ->
            [{M, Args} | Rest] = Open,
            collect(Rest, [{M, Args, Result} | Done]);
        {all, From} -> From ! {calls, lists:reverse(Done)}
    end.

%% --------------------------------------------------------------------------------------- scanner, parser, printer

texts(Forms) ->
    Each = [text_of(M, F) || {M, F} <- Forms],
    {lists:sum([N || {N, _} <- Each]), lists:append([D || {_, D} <- Each])}.

text_of(_, Forms) ->
    Differences = [form(Form) || Form <- Forms, element(1, Form) =/= eof],
    {5 * length(Differences), lists:append(Differences)}.

form(Form) ->
    Text = lists:flatten(erl_pp:form(Form)),
    Printed = differs({erl_pp, form, 1}, Text, lists:flatten(erl_pp@updo:form(Form))),
    {ok, Tokens, _} = erl_scan:string(Text, {1, 1}, [text]),
    Scanned = both(erl_scan, string, [Text, {1, 1}, [text]]),
    Parsed = both(erl_parse, parse_form, [Tokens]),
    Shown = both(io_lib, format, ["~p ~200tp ~w~n~0p", [Form, Form, Form, Tokens]]),
    Broken = both(erl_parse, parse_form, [tl(Tokens)]),
    lists:append([Printed, Scanned, Parsed, Shown, Broken]).

%% ------------------------------------------------------------------------------------------ functions of stdlib

functions(Count) ->
    All = [(fun() -> {M, F, As} = drawn(), both(M, F, As) end)() || _ <- lists:seq(1, Count)],
    {Count, lists:append(All)}.

drawn() ->
    L = terms(), P = [{term(1), term(1)} || _ <- lists:seq(1, rand:uniform(12))],
    S = text(), B = unicode:characters_to_binary(S), I = rand:uniform(1000000),
    Is = [rand:uniform(50) || _ <- L],
    Some = [
        {lists, sort, [L]}, {lists, usort, [L]}, {lists, reverse, [L]}, {lists, reverse, [L, S]},
        {lists, keysort, [1, P]}, {lists, ukeysort, [2, P]}, {lists, keyfind, [element(1, hd(P)), 1, P]},
        {lists, flatten, [[L, [S | L]]]}, {lists, zip, [L, L]}, {lists, member, [term(1), L]},
        {lists, nthtail, [length(L) div 2, L]}, {lists, subtract, [L, L]}, {lists, seq, [1, length(L), 2]},
        {lists, map, [fun erlang:phash2/1, L]}, {lists, foldl, [fun(X, A) -> [A | X] end, [], L]},
        {lists, split, [I, L]}, {lists, merge, [lists:sort(L), lists:sort(Is)]},
        {maps, from_list, [P]}, {maps, merge, [maps:from_list(P), #{}]}, {maps, to_list, [maps:from_list(P)]},
        {maps, fold, [fun(K, V, A) -> [{K, V} | A] end, [], maps:from_list(P)]},
        {maps, filter, [fun(K, _) -> is_atom(K) end, maps:from_list(P)]}, {maps, get, [nothing, maps:from_list(P)]},
        {maps, map, [fun(K, V) -> {V, K} end, maps:from_list(P)]}, {maps, keys, [maps:from_list(P)]},
        {string, uppercase, [S]}, {string, split, [S, "a", all]}, {string, lexemes, [S, "ab"]},
        {string, pad, [S, 30, both]}, {string, trim, [S]}, {string, length, [B]}, {string, casefold, [B]},
        {string, to_integer, [integer_to_list(I) ++ S]}, {string, find, [S, "b", trailing]},
        {unicode, characters_to_binary, [S]}, {unicode, characters_to_list, [B]},
        {unicode, characters_to_nfd_list, [S]}, {unicode, characters_to_list, [<<B/binary, 255>>]},
        {re, run, [S, "[a-c]+(.)", [unicode, global]]}, {re, replace, [S, "b", "<&>", [global, unicode]]},
        {re, split, [S, "a|b", [unicode, {return, list}]]}, {re, run, [S, "(", [unicode]]},
        {binary, split, [B, <<"a">>, [global]]}, {binary, replace, [B, <<"b">>, <<"xx">>, [global]]},
        {binary, match, [B, [<<"c">>, <<"d">>]]}, {binary, copy, [B, 3]},
        {base64, encode, [B]}, {base64, decode, [base64:encode(B)]}, {base64, decode, [B]},
        {io_lib, format, ["~p~n~30tp ~w", [L, P, S]]}, {io_lib, write, [L]}, {io_lib, fread, ["~d ~s", S]},
        {io_lib, format, ["~.3f ~e ~b ~c", [I / 7, I / 3, I, $x]]}, {io_lib, format, ["~d", [a]]},
        {ordsets, from_list, [L]}, {ordsets, union, [ordsets:from_list(L), ordsets:from_list(Is)]},
        {sets, from_list, [L]}, {gb_sets, from_list, [L]}, {gb_trees, from_orddict, [orddict:from_list(P)]},
        {dict, from_list, [P]}, {orddict, from_list, [P]}, {array, from_list, [L]}, {queue, from_list, [L]},
        {proplists, get_all_values, [element(1, hd(P)), P]}, {proplists, to_map, [P]},
        {calendar, gregorian_days_to_date, [I]}, {calendar, system_time_to_rfc3339, [I * 1000]},
        {filename, join, [S, "x/../y"]}, {filename, basename, [S, ".erl"]}, {filename, split, [S]},
        {uri_string, parse, ["http://h:" ++ integer_to_list(I rem 65536) ++ "/" ++ S]},
        {uri_string, normalize, ["HTTP://h/a/../b?c=%41"]}, {erl_scan, string, [S]},
        {ets, test_ms, [{term(1), I}, [{{'_', '$1'}, [{'>', '$1', 500000}], ['$1']}]]},
        {erl_eval, exprs, [exprs("lists:sum([X * 2 || X <- lists:seq(1, 50)])."), []]},
        {rand, uniform_s, [I, rand:seed_s(exsss, {I, I, I})]}, {sofs, to_external, [sofs:relation([{1, I}])]},
        {erl_lint, module, [forms("-module(m). -export([f/0]). f() -> X. g(A) -> A.")]},
        {erl_expand_records, module, [forms("-module(m). -record(r, {a}). f(#r{a = X}) -> X."), []]}
    ],
    lists:nth(rand:uniform(length(Some)), Some).

exprs(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Exprs} = erl_parse:parse_exprs(Tokens),
    Exprs.

forms(Text) -> forms(Text, 1).

forms(Text, At) ->
    case erl_scan:tokens([], Text, At) of
        {done, {ok, Tokens, End}, Rest} when is_list(Rest) ->
            {ok, Form} = erl_parse:parse_form(Tokens),
            [Form | forms(Rest, End)];
        {more, More} ->
            case erl_scan:tokens(More, eof, At) of
                {done, {eof, _}, _} -> [];
                {done, {ok, Tokens, _}, _} -> {ok, Form} = erl_parse:parse_form(Tokens), [Form]
            end
    end.

terms() -> [term(3) || _ <- lists:seq(1, rand:uniform(20))].

term(0) -> rand:uniform(100);
term(Deep) ->
    case rand:uniform(9) of
        1 -> lists:nth(rand:uniform(4), [a, b, lists, 'a b']);
        2 -> rand:uniform() * 10;
        3 -> text();
        4 -> unicode:characters_to_binary(text());
        5 -> {term(Deep - 1), term(Deep - 1)};
        6 -> [term(Deep - 1) || _ <- lists:seq(1, rand:uniform(4))];
        7 -> #{term(Deep - 1) => term(Deep - 1)};
        8 -> 1 bsl rand:uniform(90);
        9 -> rand:uniform(10)
    end.

text() -> [lists:nth(rand:uniform(8), "abcd /é\x{20AC}") || _ <- lists:seq(1, rand:uniform(25))].

%% --------------------------------------------------------------------------------------------------------- Elixir

elixir(Seed, Count) ->
    Files = filelib:wildcard("/usr/lib/elixir/lib/*/ebin/*.beam"),
    rand:seed(exsss, {Seed, 5, 8}),
    Drawn = [F || {_, F} <- lists:sort([{rand:uniform(), F} || F <- Files])],
    Texts = elixir_texts(Drawn, Count, []),
    Each = [elixir_text(T) || T <- Texts],
    {5 * length(Each), lists:append(Each)}.

elixir_texts(_, 0, Acc) -> Acc;
elixir_texts([], _, Acc) -> Acc;
elixir_texts([File | Files], N, Acc) ->
    {ok, {_, [{debug_info, Info}]}} = beam_lib:chunks(File, [debug_info]),
    case Info of
        {debug_info_v1, elixir_erl, {elixir_v1, Map, _}} ->
            Functions = [definition(Kind, Name, Clause) ||
                {{Name, _}, Kind, _, Clauses} <- lists:sublist(maps:get(definitions, Map), 8), Clause <- Clauses],
            Module = ["defmodule Made do\n", lists:join("\n", Functions), "\nend\n"],
            elixir_texts(Files, N - 1, [unicode:characters_to_binary(Module) | Acc]);
        _ ->
            elixir_texts(Files, N, Acc)
    end.

definition(Kind, Name, {_, Args, _, Body}) ->
    'Elixir.Macro':to_string({Kind, [], [{Name, [], Args}, [{do, Body}]]}).

elixir_text(Text) ->
    List = unicode:characters_to_list(Text),
    Quoted = answer('Elixir.Code', string_to_quoted, [Text]),
    lists:append([
        both('Elixir.Code', string_to_quoted, [Text]),
        both('Elixir.Code', 'format_string!', [Text]),
        both('Elixir.Code', string_to_quoted, [binary:part(Text, 0, byte_size(Text) div 2)]),
        both(elixir_tokenizer, tokenize, [List, 1, 1, []]),
        both('Elixir.Macro', to_string, [Quoted]) ++ both('Elixir.Kernel', inspect, [Quoted])
    ]).

%% ------------------------------------------------------------------------------------------- its own name

%% The running version is 1, the twin is one of version 2.
running() ->
    [{Module, Name, File, _}] = twins(),
    {ok, Running} = file:read_file(in("running.beam")),
    {module, Module} = code:load_binary(Module, "running", Running),
    {module, Name} = load(Name, File),
    {Module, Name}.

own() ->
    {Module, Name} = running(),
    Expected = (Module:facts())#{local := 2, remote := 2, by_local_fun := 2, where := Name},
    Found = Name:facts(),
    Stack = try Name:fails(x) catch error:function_clause:Trace -> Trace end,
    Names = maps:keys(Expected),
    Wrong = [{N, maps:get(N, Expected), maps:get(N, Found)} || N <- Names, maps:get(N, Expected) =/= maps:get(N, Found)],
    {length(Names), Wrong ++ stack(Name, hd(Stack))}.

stack(Name, {Name, fails, [x], _}) -> [];
stack(_, Other) -> [Other].

native() ->
    {Module, Name} = running(),
    %% A record of the running version is known to the twin; one that the twin makes carries the twin's name.
    Old = Module:make(7),
    Cases = [{taken, {7, Module}, Name:taken(Old)}, {changed, {8, Module}, Module:taken(Name:changed(Old, 8))},
             {own, no, Module:taken(Name:make(1))}, {defaults, Module:defaults(Old), Name:defaults(Old)}],
    {length(Cases), [C || {_, Expected, Found} = C <- Cases, Expected =/= Found]}.
