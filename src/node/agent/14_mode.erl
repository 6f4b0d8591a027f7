%% What a gen_statem keeps of its module: the callback mode. It asks callback_mode/0 when it starts
%% and, in the system message change_code, right after Mod:code_change/4 (OTP 23: at its next
%% event); nowhere else. So neither a state that is put back nor new code alone changes it, and a
%% code_change downwards, which runs before the old code is loaded, gets the mode of the code that
%% goes.
%%
%% Therefore a module whose callback_mode/0 says another thing after a switch has its processes
%% asked again: a change_code from its own version to its own version, whose result is thrown away.
%% Where there is no code_change/4 the process calls ours, for as long as that message takes: its
%% error_handler is this module then.

%% -------------------------------------------------------------------------------------------------
%% Callback modes

callback_mode(M) ->
    case erlang:function_exported(M, callback_mode, 0) of
        true -> try {mode, M:callback_mode()} catch _:_ -> none end;
        false -> none
    end.

%% Of the modules just switched, those whose callback mode is another one now.
reversed(Ms) ->
    Before = log_get(before),
    [M || M <- Ms, #{M := #{mode := {mode, Old}}} <- [Before], {mode, New} <- [callback_mode(M)],
     Old =/= New].

%% Has all suspended processes of a module ask for its callback mode. Changes no state.
ask_mode(Id, M) ->
    case lists:append([tuple_to_list(Parts) || Parts <- parts_of(M)]) of
        [] -> ok;
        Pids ->
            log({add, converting, M}),
            Handler = own_handler(),
            Handler =:= none andalso not erlang:function_exported(M, code_change, 4) andalso
                fail({conversion_failed,
                      failure(hd(lists:append(Pids) ++ [self()]), M, loaded_vsn(M), callback_mode,
                              <<"there is no code_change/4, and without it "
                                "gen_statem does not ask for its callback mode">>, 1)}),
            Vsn = loaded_vsn(M),
            {Stash, Unstash} = ask_funs(Handler, stamp(), none),
            for_all(Id, M, {ask, M, Vsn, Stash, Unstash, get(dead_pid)}, callback_mode, Vsn,
                    parts_of(M))
    end.

%% The module to which calls of what does not exist go. Interpreted there is none.
own_handler() -> case job(agent, undefined) of {module, Name} -> Name; _ -> none end.

undefined_function(_, code_change, [_, State, Data, _]) -> {ok, State, Data};
undefined_function(M, F, A) -> error_handler:undefined_function(M, F, A).

undefined_lambda(M, F, A) -> error_handler:undefined_lambda(M, F, A).

%% Run inside the process, before and after. Tell: on the way back, the process that is informed
%% that the mode may have been another one.
ask_funs(Handler, Stamp, Tell) ->
    {fun(S0) ->
         {S, H} = case get('$updo_asking') of
             undefined ->
                 {S0, case Handler of none -> none; _ -> process_flag(error_handler, Handler) end};
             Kept -> Kept
         end,
         put('$updo_asking', {S, H}),
         S
     end,
     fun(S0) ->
         case erase('$updo_asked') of
             Stamp when Tell =/= none -> Tell ! {asked, self()};
             _ when Tell =/= none -> ok;
             _ -> put('$updo_asked', Stamp)
         end,
         case erase('$updo_asking') of
             {S, none} -> S;
             {S, H} -> process_flag(error_handler, H), S;
             undefined -> S0
         end
     end}.

%% The same for one that may get there long after the agent's module is gone.
portable_ask_funs(Handler, Stamp, Tell) ->
    {portable("fun(S0) -> "
              "{S, H} = case get('$updo_asking') of "
              "    undefined -> {S0, case Handler of none -> none; _ -> "
              "process_flag(error_handler, Handler) end}; K -> K end, "
              "put('$updo_asking', {S, H}), S end.", [{'Handler', Handler}]),
     portable("fun(S0) -> "
              "case erase('$updo_asked') of Stamp -> Tell ! {asked, self()}; _ -> ok end, "
              "case erase('$updo_asking') of {S, none} -> S; {S, H} -> "
              "process_flag(error_handler, H), S; undefined -> S0 end end.",
              [{'Stamp', Stamp}, {'Tell', Tell}])}.

%% On the way back, after the old code is there again and the state put back, right before the
%% resume.
back_op(M, Op) when element(1, Op) =:= restore ->
    case log_get(converting) =/= [] andalso lists:member(M, log_get(reversed)) of
        true ->
            {Handler, Stamp} = {own_handler(), stamp()},
            Later = portable_ask_funs(Handler, Stamp, self()),
            Now = case get(recovered) of true -> Later; _ -> ask_funs(Handler, Stamp, self()) end,
            restore_op(true, {M, loaded_vsn(M), Now, Later});
        false -> Op
    end;
back_op(_, Op) -> Op.

%% [{Pid, Why}]: had the new mode and still have it, for their old code_change/4 fails.
asked_in_vain() ->
    asked_in_vain([{P, Why} || {{unasked, P}, Why} <- get()], [P || {{asked, P}, _} <- get()]).

asked_in_vain(Failed, Asked) ->
    receive
        {unasked, P, Why} -> asked_in_vain([{P, Why} | Failed], Asked);
        {asked, P} -> asked_in_vain(Failed, [P | Asked])
    after 0 -> [{P, Why} || {P, Why} <- Failed, lists:member(P, Asked)]
    end.
