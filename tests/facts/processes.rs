//! Which processes run a module: found by what they are and by child specifications, and compared.

use std::time::{Duration, Instant};

use updo::diag::Code;
use updo::facts::node::processes::{ProcessQuery, find_processes};
use updo::name::Module;

use crate::support::Options;
use crate::world::{World, changed, one, printed, spec};

const MODULES: [&str; 7] = [
    "fx_top",
    "fx_srv",
    "fx_starter",
    "fx_behind",
    "fx_pool",
    "fx_pool_sup",
    "fx_worker",
];

fn release(world: &World) -> u32 {
    let release = world
        .node
        .eval_text("list_to_integer(erlang:system_info(otp_release))");
    release.parse().expect("a number")
}

fn shop() -> World {
    let world = World::new();
    world.have(&MODULES);
    let ebin = world.path("fx/ebin");
    spec(&ebin, "fx", "1", &MODULES, ", {mod, {fx_top, []}}");
    world.node.eval("ok = application:start(fx)");
    world
}

#[test]
fn children_behind_a_wrapper_in_a_pool_and_outside_of_all_trees() {
    let world = shop();
    world.node.eval("{ok, _} = fx_srv:start()"); // outside of every tree
    world.replace(&["fx_srv", "fx_starter", "fx_behind", "fx_worker"]);
    let upgrade = world.look();
    assert_eq!(changed(&upgrade, "fx_srv").processes, 2);
    assert_eq!(changed(&upgrade, "fx_behind").processes, 1);
    assert_eq!(changed(&upgrade, "fx_worker").processes, 3);

    // One diagnostic for all of them.
    let diagnostic = one(&upgrade, Code::W316);
    assert!(
        diagnostic.starts_with("5 processes of 3 modules not named by any child specification"),
        "{diagnostic}"
    );
    for about in [
        "1 of `fx_srv`",
        "1 of `fx_behind`",
        "started by fx_top",
        "3 of `fx_worker`",
    ] {
        assert!(diagnostic.contains(about), "{about}: {diagnostic}");
    }
    // And the other way round: the specification names the starter, which runs nothing.
    let other = one(&upgrade, Code::A341);
    assert!(
        other.contains("child specifications name `fx_starter`, but 1 process runs `fx_behind`"),
        "{other}"
    );
}

/// What was started in a shell is not reported.
#[test]
fn what_a_shell_has_started_is_not_reported() {
    let world = shop();
    // A shell that reads its expressions from a process.
    world.node.eval(
        "Io = fun Io(Lines) ->
             receive
                 {io_request, From, As, {get_until, _, _, M, F, A}} when Lines =/= [] ->
                     {done, Answer, _} = apply(M, F, [[], hd(Lines) | A]),
                     From ! {io_reply, As, Answer},
                     Io(tl(Lines));
                 {io_request, _, _, {get_until, _, _, _, _, _}} -> Io([]);
                 {io_request, From, As, getopts} -> From ! {io_reply, As, [{encoding, unicode}]}, Io(Lines);
                 {io_request, From, As, _} -> From ! {io_reply, As, ok}, Io(Lines);
                 _ -> Io(Lines)
             end
         end,
         Group = spawn(fun() -> Io([\"{ok, P} = fx_srv:start().\\n\", \"register(by_hand, P).\\n\"]) end),
         spawn(fun() -> group_leader(Group, self()), shell:start() end),
         (fun Wait(0) -> error(no_shell); Wait(N) -> case whereis(by_hand) of undefined -> timer:sleep(20), Wait(N - 1); _ -> ok end end)(500)",
    );
    world.replace(&["fx_srv"]);
    let upgrade = world.look();
    assert_eq!(changed(&upgrade, "fx_srv").processes, 2);
    assert!(
        printed(&upgrade, Code::W316).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
}

#[test]
fn a_specification_that_names_another_server_is_a_warning() {
    let world = shop();
    world.node.eval(
        "{ok, _} = supervisor:start_child(fx_top, #{id => odd, start => {fx_worker, start_link, []}, modules => [fx_srv]})",
    );
    world.replace(&["fx_srv"]);
    let diagnostic = one(&world.look(), Code::W335);
    assert!(
        diagnostic
            .starts_with("child specifications name `fx_srv`, but 1 process runs `fx_worker`"),
        "{diagnostic}"
    );
    assert!(
        diagnostic.contains("they take part only if `fx_worker` does"),
        "{diagnostic}"
    );
}

#[test]
fn a_suspended_supervisor_costs_its_own_answer_only() {
    let world = shop();
    world.node.eval("ok = sys:suspend(whereis(fx_top))");
    world.replace(&["fx_srv", "fx_worker"]);
    let began = Instant::now();
    let upgrade = world.look();
    assert!(began.elapsed() < Duration::from_secs(10));
    let diagnostic = one(&upgrade, Code::W336);
    assert!(
        diagnostic.starts_with("fx_top did not return its children or handlers"),
        "{diagnostic}"
    );
    assert_eq!(changed(&upgrade, "fx_srv").processes, 1);
    assert_eq!(changed(&upgrade, "fx_worker").processes, 3);
    // No process is left that still waits for it.
    let waiting = "length([P || P <- processes(), {initial_call, {erlang, apply, 2}} <- [process_info(P, initial_call)], \
                   {_, [{gen, do_call, _, _} | _]} <- [process_info(P, current_stacktrace)]])";
    assert_eq!(world.node.eval_text(waiting), "0");
}

/// The question asks modules for their behaviours: it loads none for that, and an attribute may be anything.
#[test]
fn a_question_loads_no_module_and_bears_any_behaviour() {
    let world = shop();
    let file = world.path("fx/ebin/fx_odd.beam");
    // The compiler refuses such an attribute; other languages write what they like.
    world.node.eval(&format!(
        "{{ok, _, Even}} = compile:forms([{{attribute, 1, module, fx_odd}}, {{attribute, 1, export, [{{wait, 0}}]}},
             {{function, 1, wait, 0, [{{clause, 1, [], [], [{{'receive', 1, [{{clause, 1, [{{atom, 1, stop}}], [], [{{atom, 1, ok}}]}}]}}]}}]}}]),
         {{ok, fx_odd, Chunks}} = beam_lib:all_chunks(Even),
         Attributes = term_to_binary([{{behaviour, [\"no atom\"]}}]),
         {{ok, Odd}} = beam_lib:build_module([{{\"Attr\", Attributes}} | lists:keydelete(\"Attr\", 1, Chunks)]),
         ok = file:write_file(\"{}\", Odd),
         register(fx_odd, proc_lib:spawn(fx_odd, wait, []))",
        file.display()
    ));
    let question = ProcessQuery {
        modules: [Module::new("fx_odd"), Module::new("fx_srv")].into(),
        ..ProcessQuery::default()
    };
    let (session, release) = (world.node.connected(), release(&world));
    let asked = || find_processes(&session, release, &question).expect("an answer");
    assert_eq!(asked().by_module["fx_odd"].count(), 1);
    // It executes old code, and the next call would load what is on disk.
    world.node.eval("true = code:delete(fx_odd)");
    assert_eq!(asked().by_module["fx_odd"].count(), 1);
    assert_eq!(world.node.eval_text("code:is_loaded(fx_odd)"), "false");
}

/// What looks at all processes is compiled on a node that has many of them, and kept.
#[test]
fn a_compiled_question_is_answered_like_an_evaluated_one() {
    let world = shop();
    world.node.eval(
        "{ok, _} = fx_srv:start(), lists:foreach(fun(_) -> spawn(timer, sleep, [infinity]) end, lists:seq(1, 400)),
         {ok, Busy} = supervisor:start_link(fx_pool_sup, []), unlink(Busy), ok = sys:suspend(Busy)",
    );
    let question = ProcessQuery {
        modules: MODULES.iter().map(|name| Module::new(*name)).collect(),
        ..ProcessQuery::default()
    };
    let release = release(&world);
    let (evaluating, compiling) = (world.node.connected(), world.node.connected());
    let folder = tempfile::tempdir().expect("a folder");
    compiling.keep_agents(folder.path().join("agents").join("test"));
    let reductions = || -> i64 {
        let all = world
            .node
            .eval_text("element(1, statistics(exact_reductions))");
        all.parse().expect("a number")
    };
    let asked = |session| {
        let before = reductions();
        let answer = find_processes(session, release, &question).expect("an answer");
        (format!("{answer:?}"), reductions() - before)
    };
    let (expected, evaluated) = asked(&evaluating);
    assert!(expected.contains("fx_worker"), "{expected}");
    let kept = || {
        let files = std::fs::read_dir(folder.path().join("agents"));
        files.into_iter().flatten().count()
    };
    assert_eq!(kept(), 0);
    let (made, _) = asked(&compiling);
    assert_eq!((made == expected, kept()), (true, 1), "{made}\n{expected}");
    let (again, native) = asked(&compiling);
    assert!(again == expected, "{again}\n{expected}");
    println!("{evaluated} reductions evaluated, {native} compiled");
    assert!(native * 4 < evaluated, "{evaluated}, {native}");
    // Nothing of it stays, although a supervisor did not answer.
    let left = "[M || {M, _} <- code:all_loaded(), lists:prefix(\"updo_\", atom_to_list(M))]";
    world.node.await_true(&format!("{left} =:= []"));
    // Whatever kills the process that executes it, the question is answered, and nothing stays.
    world.node.eval(
        "Is = fun(P) -> case process_info(P, current_stacktrace) of {_, S} -> [] =/= [M || {M, _, _, _} <- S, lists:prefix(\"updo_\", atom_to_list(M))]; _ -> false end end, \
         Kill = fun Kill() -> [exit(P, kill) || P <- processes(), Is(P)], erlang:yield(), Kill() end, \
         register(fx_killer, spawn(Kill)), ok",
    );
    for _ in 0..5 {
        assert!(asked(&compiling).0 == expected);
    }
    world.node.eval("exit(whereis(fx_killer), kill)");
    world.node.await_true(&format!("{left} =:= []"));
    // One that was kept and is damaged is made anew.
    for file in std::fs::read_dir(folder.path().join("agents"))
        .expect("listed")
        .flatten()
    {
        std::fs::write(file.path(), b"FOR1").expect("written");
    }
    assert!(asked(&compiling).0 == expected);
}

/// Compiled questions have one name on a node: clients that ask at the same time take turns, what a killed one has left
/// is in no one's way, and a node that is asked often gets no more atoms.
#[test]
fn compiled_questions_of_several_clients_do_not_disturb_each_other() {
    let world = shop();
    world
        .node
        .eval("lists:foreach(fun(_) -> spawn(timer, sleep, [infinity]) end, lists:seq(1, 400))");
    let question = ProcessQuery {
        modules: MODULES.iter().map(|name| Module::new(*name)).collect(),
        ..ProcessQuery::default()
    };
    let release = release(&world);
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("agents").join("test");
    let session = || {
        let session = world.node.connected();
        session.keep_agents(place.clone());
        session
    };
    let asked = |session: &updo::node::Session| {
        let answer = find_processes(session, release, &question).expect("an answer");
        format!("{answer:?}")
    };
    let expected = asked(&world.node.connected());
    // All compile, and all at once.
    let clients: Vec<_> = (0..4).map(|_| session()).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(asked(client), expected)));
        }
    });
    let files = || -> Vec<_> {
        let files = std::fs::read_dir(folder.path().join("agents")).expect("listed");
        files.map(|file| file.expect("an entry").path()).collect()
    };
    assert_eq!(files().len(), 1);
    let atoms = || world.node.eval_text("erlang:system_info(atom_count)");
    let before = (atoms(), atoms()).1;
    (0..20).for_each(|_| assert_eq!(asked(&clients[0]), expected));
    assert_eq!(atoms(), before);
    // One that was killed has left the module, and a process that executes it.
    world.node.eval(
        "begin {ok, _, B} = compile:forms([{attribute, 1, module, updo_agent_find}, {attribute, 1, export, [{run, 0}]},
            {function, 1, run, 0, [{clause, 1, [], [], [{'receive', 1, [{clause, 1, [{atom, 1, stop}], [], [{atom, 1, ok}]}]}]}]}]),
         {module, _} = code:load_binary(updo_agent_find, \"updo\", B), register(fx_left, spawn(updo_agent_find, run, [])), ok end",
    );
    assert_eq!(asked(&clients[1]), expected);
    world.node.await_true("is_process_alive(whereis(fx_left))");
    world.node.eval("begin fx_left ! stop, ok end");
    world.node.await_true("whereis(fx_left) =:= undefined");
    assert_eq!(asked(&clients[1]), expected);
    world.node.await_true(
        "code:is_loaded(updo_agent_find) =:= false andalso whereis(updo_agent_find) =:= undefined",
    );
    // A whole file with something that the node does not load is made anew.
    let kept = files().remove(0);
    let good = std::fs::read(&kept).expect("read");
    let mut bad = good[..good.len() - 32].to_vec();
    let code = bad
        .windows(4)
        .position(|id| id == b"Code")
        .expect("a chunk");
    bad[code + 8..code + 40].fill(0xff);
    let otp = release.to_string();
    let base = kept
        .to_str()
        .expect("UTF-8")
        .replace(&format!(".otp{otp}.beam"), "");
    updo::state::agents::keep(std::path::Path::new(&base), &otp, &bad);
    assert_ne!(std::fs::read(&kept).expect("read"), good);
    assert_eq!(asked(&clients[2]), expected);
    assert_eq!(std::fs::read(&kept).expect("read"), good);
}

#[test]
fn a_hundred_thousand_processes_are_found_soon_and_without_a_message() {
    let world = World::with(Options::default().args(&["+P", "300000"]), &["fx/ebin"]);
    world.have(&["fx_srv"]);
    world
        .node
        .eval("lists:foreach(fun(_) -> {ok, _} = fx_srv:start() end, lists:seq(1, 100000))");
    let session = world.node.connected();
    let question = ProcessQuery {
        modules: [Module::new("fx_srv")].into(),
        ..ProcessQuery::default()
    };
    // The forms of bindings that the release takes.
    let release = release(&world);
    for otp in [23, 25].into_iter().filter(|otp| *otp <= release) {
        let answer = find_processes(&session, otp, &question).expect("an answer");
        assert_eq!(answer.by_module["fx_srv"].count(), 100_000);
    }
    // Every process is watched by a tracer that counts the messages they get.
    world.node.eval(
        "Count = fun Count(N) -> receive {trace, _, 'receive', _} -> Count(N + 1); {how_many, From} -> From ! {messages, N}, Count(N) end end, \
         register(fx_tracer, spawn(fun() -> Count(0) end)), \
         [erlang:trace(P, true, ['receive', {tracer, whereis(fx_tracer)}]) || P <- processes(), {fx_srv, init, 1} <- [proc_lib:translate_initial_call(P)]], ok",
    );
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let answer = find_processes(&session, release, &question).expect("an answer");
        best = best.min(began.elapsed());
        assert_eq!(answer.by_module["fx_srv"].count(), 100_000);
        assert_eq!(answer.by_module["fx_srv"].unnamed, 100_000);
    }
    let messages = "fx_tracer ! {how_many, self()}, receive {messages, N} -> N end";
    assert_eq!(world.node.eval_text(messages), "0");
    // The count can be another than that.
    world.node.eval(
        "[P | _] = [P || P <- processes(), {fx_srv, init, 1} <- [proc_lib:translate_initial_call(P)]], {one, _} = gen_server:call(P, x)",
    );
    assert_ne!(world.node.eval_text(messages), "0");
    println!("100,000 processes found in {best:?}");
    // Seconds are long on a busy machine: `make bench node` has the figure.
    assert!(best < Duration::from_secs(10), "{best:?}");
}
