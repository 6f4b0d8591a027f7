#!/usr/bin/env escript
%% Makes beams out of the chunks of real ones (left out, doubled, in another order, with chunks of this and other
%% releases) and writes each with what `beam_lib` and the loader say its MD5 is: terms, each behind its size.
-mode(compile).

main([Out]) ->
    Otp = list_to_integer(erlang:system_info(otp_release)),
    rand:seed(exsss, {29, 11, Otp}),
    {ok, File} = file:open(Out, [write, raw, delayed_write]),
    Bases = bases(Otp),
    [put_term(File, made(Otp, chunks(Base))) || _ <- lists:seq(1, 400), Base <- Bases],
    [put_term(File, said(Otp, Base)) || Base <- Bases],
    ok = file:close(File).

put_term(File, Term) ->
    Bin = term_to_binary(Term),
    ok = file:write(File, [<<(byte_size(Bin)):32>>, Bin]).

bases(Otp) ->
    Plain = "-module(m). -export([f/1, g/0]). g() -> <<\"one\">>.
             f(X) -> lists:map(fun(Y) -> {Y, X, \"two\", <<X:8, \"three\">>} end, [X]).",
    Records = "-module(r). -export([f/1]). -export_record([st]). -record #st{n = 0}. f(X) -> #st{n = X}.",
    [compiled(Plain, [debug_info])] ++
        [compiled(Plain, [beam_debug_info]) || Otp >= 28] ++
        [compiled(Records, Options) || Otp >= 29, Options <- [[debug_info], [debug_info, beam_debug_info]]].

compiled(Text, Options) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, _, Beam} = compile:forms(forms(Tokens, []), Options),
    Beam.

forms([], []) -> [];
forms([{dot, _} = Dot | Rest], Form) ->
    {ok, Parsed} = erl_parse:parse_form(lists:reverse([Dot | Form])),
    [Parsed | forms(Rest, [])];
forms([Token | Rest], Form) -> forms(Rest, [Token | Form]).

chunks(Beam) ->
    {ok, _, Chunks} = beam_lib:all_chunks(Beam),
    Chunks.

made(Otp, Chunks) ->
    Kept = [Chunk || Chunk <- Chunks, rand:uniform(12) > 1],
    Doubled = [{Id, twin(Id, Data)} || {Id, Data} <- Chunks, rand:uniform(12) =:= 1],
    New = [{Id, list_to_binary([rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(9))])} || Id <- ["Meta", "DbgB", "Recs", "Type", "Xyzw"], not lists:keymember(Id, 1, Chunks),
                                                rand:uniform(2) =:= 1],
    Old = [{"Atom", Data} || {"AtU8", Data} <- Chunks, rand:uniform(12) =:= 1],
    Order = [Chunk || {_, Chunk} <- lists:sort([{rand:uniform(), Chunk} || Chunk <- Kept ++ Doubled ++ New ++ Old])],
    {ok, Beam} = beam_lib:build_module(Order),
    said(Otp, Beam).

%% Another chunk of the same kind, that can be read where the reader looks into it.
twin("StrT", Data) -> <<Data/binary, "more">>;
twin("Meta", Data) -> <<Data/binary, "more">>;
twin("DbgB", Data) -> <<Data/binary, "more">>;
twin(_, Data) -> Data.

said(Otp, Beam) ->
    Lib = case beam_lib:md5(Beam) of
        {ok, {_, Md5}} -> Md5;
        _ -> none
    end,
    {Otp, Beam, Lib, code:module_md5(Beam)}.
