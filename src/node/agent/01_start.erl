%% updo_agent: runs one upgrade as a transaction, from inside the node that is upgraded. One module;
%% its text is the numbered files of this folder, one after the other.
%%
%% Takes a job (a map, see PROTOCOL.md), gives events to a watcher. Whatever happens, the node ends
%% fully new or fully old, no process stays suspended, or the last event says `mixed` and what to do
%% by hand.
%%
%% Four kinds of processes, none linked to the connection:
%%   guardian   holds the lock (the name updo_run) and a copy of the log; starts a new executor when
%%              one dies
%%   executor   takes the decisions; starts a new guardian when that one dies
%%   watchdog   resumes all that are suspended when both of the others are killed at once
%%              (22_watchdog.erl)
%%   workers    one per scheduler, linked to the executor; every process of the node belongs to one
%%              worker (by phash2), so that all system messages to it have one sender and arrive in
%%              the order of decision
%%
%% Every step is reported to the guardian before it is taken; signals between two processes keep
%% their order, so when the guardian learns of the executor's death it already knows how far that
%% one can have come.
%%
%% This text is compiled on the node or, without a compiler, interpreted by erl_eval. Therefore: no
%% macros, no records, no `fun name/arity`, no comprehension newer than OTP 23, only documented
%% functions of kernel and stdlib (but for bytes/1 in 23_shapes.erl and live_kept/3 in 26_live.erl).
%%
%% Registered names: updo_run (the lock: the guardian, later the process that keeps the result) and
%% updo_watchdog_<run>.
%%
%% Keys of the process dictionary of the guardian:
%%   updo_info                     run, owner, since, state: what another run and `updo status` see
%% of the executor:
%%   job, log                      what was asked for; what is known, as the guardian has it
%%   guardian, gmon                the guardian, and the monitor on it
%%   workers, watchers             the workers; the clients that get events
%%   phase                         running, idle or settling
%%   dead_pid, pass                a process that has ended, as sender of what needs no answer; what
%%                                 an answer of this executor is known by
%%   recovered                     true in one that has succeeded another
%%   want, seen, to_find, looked   which processes to suspend: modules, processes decided already,
%%                                 modules not looked for yet, when it was looked last
%%   limits, waiting, began        ms per module; what was waited for in this attempt; when it began
%%   held                          all that this window has found, by pid, until the next look
%%   doing                         progress of the step: id, done, total, since, last report
%%   spawn_watch, existing,        the tracer of births, the processes that were there before it,
%%   pending                       how many are not decided yet
%%   prepared, prepared_old        code that is ready to be loaded: the new, and the old
%%   purge_at_load                 modules whose old code is purged when they are loaded
%%   end_at_load                   the same, and what executes it is ended then
%%   {expected, Module}            the MD5 that a module has to have
%%   no_twins                      true when those of this run could not be loaded
%%   {switches, Module}            whether its gen_statem changes the callback mode
%%   {asked, Pid}, {unasked, Pid}  processes that confirmed their resume, or could not be asked
%%   unconverted                   what failed in the conversion that is going on
%%   bounds, {other_loop, Module}  what is known of twins and of servers before states are computed
%%   early, early_off,             how many compute as soon as they are suspended, by module; true
%%   early_keeper                  when that does not count; the process that counts them
%%   computed                      modules whose processes have all computed a state that lasts
%%   converting_now,               modules whose conversion has begun, and has ended, in this window
%%   converted_now
%%   serve, waiting_outside,       who answers conversions while it is suspended (25_serve.erl);
%%   done_ahead                    conversions interrupted, and those that came first for them
%%   stragglers, straggling        calls that are still inside something, with monitors; why
%%   done_with, early              children that are done; processes resumed before the window ends
%%   trier, rehearse_found         the process that tries conversions, those whose states it tries
%%   twins_since                   when loading twins or taking them away has rested last
%%   live_inside                   processes that were waited for in the version before
%%   live_looked                   what was found a moment ago where no other window comes first
%%   live_waiting                  processes that wait for the old version on the way back
%%   latest                        when the run has to end (in the process that changes children)
%%   loop_pattern                  the regular expression of `loops`, compiled
%%   loop_marks                    where that begins in a backtrace, two compiled patterns
%%   {hosts, Module}               servers that the behaviours of a module have
%% of a worker:
%%   reported                      when it last reported progress
%% of a process that is upgraded, gone before the end:
%%   '$updo_saved'                 the state before
%%   '$updo_asking', '$updo_asked' a code_change is under way, has returned
%%   '$updo_computed'              the new state, computed before the switch
%%   '$updo_old',                  a supervisor's specifications before
%%   '$updo_old_dynamic'
%%   '$updo_live', updo_live_<run>, 26_live.erl
%%   updo_live_<run>_back
%% and what stays there, for a way back later:
%%   {updo, specifications},       what a supervisor had before, and has got
%%   {updo, listed}
%%
%% Messages to the guardian:
%%   from clients (PROTOCOL.md)    updo_attach, updo_abort, updo_run, updo_settle, updo_survey,
%%                                 updo_hook, updo_together; from a later run updo_give_way
%%   from nodes of the group       updo_together_ask, updo_together_serve (29)
%%   from the executor             updo_log, updo_workers, updo_idle, updo_settled
%% to the executor:
%%   from the guardian             updo_run, updo_settle, updo_survey, updo_watchers, updo_together,
%%                                 updo_together_serve
%%   from workers                  done, failed, late, slow, progress, synced, unasked
%%   from upgraded processes       asked, unserved, not_installed, live; updo_unlive (26) by way
%%                                 of the guardian
%%   from helpers                  died (19), init_again (15), begun, checks, back, again, dead,
%%                                 busy (06)
%% to upgraded processes           updo_unlive_ends (27)
%% to a worker                     dispatch, cast, again, stop, sync
%% to helpers                      go (13), tell (12), watch, resumed, survey (19), trial, try_it,
%%                                 done (06, 24), in_running (24)
%% to clients                      updo
-module(updo_agent).
-export([start/1, undefined_function/3, undefined_lambda/3]).
-export([live/3, live/4, live/5, live/6, revived/3]).

%% -------------------------------------------------------------------------------------------------
%% Constants

%% ms without any answer after which a worker stops to count the unanswered ones
quiet() -> 5.
patience() -> 25.           % ms after which the executor looks at those that have not answered
%% ms for which processes stay suspended at most because another one does not answer
budget() -> 100.
grace() -> 5000.            % ms that an undo waits for processes that are still inside code_change
%% ms that processes have to leave old code before a way back, with no process suspended
leave() -> 5000.
keep() -> 300000.           % ms that an unseen result is kept
named() -> 20.              % processes described one by one in a reason
max_text() -> 4000.         % characters of a text in an event
max_restarts() -> 5.           % executors that a guardian starts before it gives up

%% -------------------------------------------------------------------------------------------------
%% Start

%% {ok, Guardian} | {error, {locked, Info}}. The caller gets no link and no monitor.
start(Job) -> start(Job, 5).

start(_Job, 0) -> {error, {locked, #{}}};
start(Job, Tries) ->
    Me = self(),
    Ref = make_ref(),
    {G, Mon} = spawn_monitor(fun() -> guardian_init(Me, Ref, Job) end),
    receive
        {Ref, started} ->
            demonitor(Mon, [flush]),
            {ok, G};
        {Ref, locked} ->
            demonitor(Mon, [flush]),
            case holder() of
                free -> start(Job, Tries - 1);
                Info -> {error, {locked, Info}}
            end;
        {'DOWN', Mon, process, _, Why} -> {error, {guardian_died, text(Why)}}
    end.

%% => locked()
%% The holder of the lock. One that only keeps a result that can be fetched gives way.
holder() ->
    case whereis(updo_run) of
        undefined -> free;
        Pid ->
            Dict = case process_info(Pid, dictionary) of {dictionary, D} -> D; undefined -> [] end,
            case lists:keyfind(updo_info, 1, Dict) of
                {_, #{state := kept}} ->
                    Mon = monitor(process, Pid),
                    Pid ! updo_give_way,
                    receive {'DOWN', Mon, _, _, _} -> free
                        after 1000 -> demonitor(Mon, [flush]), free end;
                {_, Info} -> Info#{guardian => Pid};
                false -> case is_process_alive(Pid) of true -> #{guardian => Pid}; false -> free end
            end
    end.

lock() -> try register(updo_run, self()) catch error:badarg -> false end.

lock(0) -> false;
lock(N) ->
    case lock() of
        true -> true;
        false -> receive after 2 -> lock(N - 1) end
    end.

%% => run_info()
set_lock_info(Job, State) ->
    put(updo_info, #{run => maps:get(run, Job), owner => maps:get(owner, Job, undefined),
                     since => maps:get(since, Job), state => State}).

%% -------------------------------------------------------------------------------------------------
%% The log: what both guardian and executor know. A new one of either starts from it.

new_log(Job) ->
    Until = case maps:get(deadline, Job, infinity) of infinity -> infinity; Ms -> now_ms() + Ms end,
    #{seq => 0, events => [], until => Until,
      nworkers => max(1, erlang:system_info(schedulers_online)),
      runs => 1, outcome => undefined, converted => [], twins => [], loaded => [], way => there,
      forward => [], held => [], called_off => 0, decided => none}.

%% What belongs to one window (suspend .. resume); `done` are the steps finished in earlier windows.
new_window(Log) ->
    maps:merge(Log, #{found => [], switching => [], on_load => [], converting => [], reversed => [],
                      changed => [], resuming => false,
                      undoing => false, stays => false, wdone => [], resumed => [], left => [],
                      precomputed => [], early => [], at_resume => []}).

new_run(Log) ->
    new_window(Log#{done => [], applied => [], live => none, windows => 0, stood => 0,
                    t0 => undefined, t1 => undefined, before => #{},
                    step => undefined, release_handler => undefined, unsure => [],
                    not_installed => [], children_done => [], unchildren => [], effects => []}).

log_entry({event, E}, #{seq := Seq, events := Es} = L) ->
    L#{seq := Seq + 1, events := [{Seq + 1, E} | Es]};
%% One entry: an executor that dies behind it has reported the end, one that dies before it leaves
%% that to the next.
log_entry({finished, Outcome, _} = E, L) -> log_entry({event, E}, L#{outcome => Outcome});
log_entry({set, K, V}, L) -> L#{K => V};
log_entry({add, K, V}, L) -> L#{K => [V | maps:get(K, L, [])]};
%% What the run before has loaded this one has not, though it has the same modules; in the end it is
%% settled all the same.
log_entry(new_run, #{runs := N, loaded := Loaded, forward := Forward} = L) ->
    new_run(L#{outcome := undefined, runs := N + 1, way := there, env => [], paths => [],
               called_off => 0,
               loaded := [], forward := lists:usort(Loaded ++ Forward)});
%% The windows that are closed are gone through again, the last first, backwards.
log_entry({turn_back, Why}, #{runs := N, windows := Windows, loaded := Loaded, stood := Us} = L) ->
    (new_run(L#{runs := N + 1, way := {back, Windows, Why}, forward := Loaded,
                loaded := []}))#{stood := Us};
log_entry({live_done, Id, Ms}, #{done := D, windows := N, loaded := Ld} = L) ->
    L#{live := none, done := [Id | D], windows := N + 1, loaded := lists:usort(Ms ++ Ld)};
log_entry(window_undone, L) -> new_window(L);
log_entry(window_closed, #{wdone := W, done := D, windows := N, switching := S, loaded := Ld,
                           on_load := O,
                           converting := C, found := Found, converted := Conv} = L) ->
    new_window(L#{done := W ++ D, windows := N + 1, loaded := lists:usort(O ++ S ++ Ld),
                  stood := stood(L), t0 := undefined,
                  converted := [{M, P} || F <- Found, M <- C, #{M := P} <- [F]] ++ Conv}).

%% us for which processes were suspended, in all windows.
stood(#{stood := Us, t0 := T0, t1 := T1}) when is_integer(T0), is_integer(T1),
T1 >= T0 -> Us + T1 - T0;
stood(#{stood := Us}) -> Us.

%% A process is started when the node's table of processes has room for it: one that fails for that
%% leaves others suspended.
spawned(What, Options) -> spawned(What, Options, 500).

spawned(What, Options, Tries) ->
    try
        case What of {M, F, Args} -> spawn_opt(M, F, Args, Options); Fun -> spawn_opt(Fun, Options)
        end
    catch error:system_limit when Tries > 0 ->
        receive after 20 -> spawned(What, Options, Tries - 1) end
    end.

now_ms() -> erlang:monotonic_time(millisecond).
now_us() -> erlang:monotonic_time(microsecond).
