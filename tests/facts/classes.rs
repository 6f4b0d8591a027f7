//! What a module is, from its beams and from the processes that run.

use updo::diag::Code;
use updo::rules::Class;
use updo::term::Term;

use crate::world::{World, build, changed, class, one, printed, text};

/// Loads version 1 of a module, starts processes, puts version 2 in place.
fn upgraded(module: &str, start: &str) -> World {
    let world = World::new();
    world.have(&[module]);
    world.node.eval(start);
    world.replace(&[module]);
    world
}

#[test]
fn servers_of_every_kind() {
    for (module, start, converted) in [
        ("fx_srv", "{ok, _} = fx_srv:start()", true),
        ("fx_machine", "{ok, _} = fx_machine:start()", true),
        ("fx_special", "{ok, _} = fx_special:start()", true),
        ("fx_quiet", "{ok, _} = fx_quiet:start()", false),
    ] {
        let world = upgraded(module, start);
        let upgrade = world.look();
        let (found, advanced, why) = class(&upgrade, module);
        assert_eq!(found, Class::Server, "{module}");
        assert_eq!(advanced, converted, "{module}: {why}");
        assert_eq!(changed(&upgrade, module).processes, 1, "{module}");
        assert!(
            printed(&upgrade, Code::W334).is_empty(),
            "{:?}",
            upgrade.diagnostics
        );
        if module == "fx_quiet" {
            assert!(
                why.contains("its processes are servers, such as <"),
                "{why}"
            );
        }
    }
}

#[test]
fn a_server_that_drops_its_conversion_is_suspended_and_not_converted() {
    let world = World::new();
    world.have(&["fx_srv"]);
    world.node.eval("{ok, _} = fx_srv:start()");
    build("fx_srv", &["V2", "DROP"], &world.path("fx/ebin"));
    let (found, advanced, _) = class(&world.look(), "fx_srv");
    assert_eq!((found, advanced), (Class::Server, false));
}

#[test]
fn a_server_that_gets_a_conversion_is_converted() {
    let world = World::new();
    build("fx_srv", &["DROP"], &world.path("fx/ebin"));
    world.node.eval("{ok, _} = fx_srv:start()");
    world.replace(&["fx_srv"]);
    let (found, advanced, _) = class(&world.look(), "fx_srv");
    assert_eq!((found, advanced), (Class::Server, true));
}

#[test]
fn a_handler_is_found_in_its_manager_whatever_the_specification_says() {
    let world = upgraded(
        "fx_handler",
        "{ok, P} = gen_event:start({local, fx_events}), ok = gen_event:add_handler(P, fx_handler, []), \
         {ok, Q} = gen_event:start(), ok = gen_event:add_handler(Q, {fx_handler, 7}, [])",
    );
    let upgrade = world.look();
    let (found, advanced, _) = class(&upgrade, "fx_handler");
    assert_eq!((found, advanced), (Class::Server, true));
    assert_eq!(changed(&upgrade, "fx_handler").processes, 2);
    assert!(printed(&upgrade, Code::W316).is_empty());
}

#[test]
fn application_and_supervisor_in_one_module_is_a_supervisor() {
    let world = World::new();
    world.have(&[
        "fx_top",
        "fx_srv",
        "fx_starter",
        "fx_behind",
        "fx_pool",
        "fx_pool_sup",
        "fx_worker",
    ]);
    crate::world::spec(
        &world.path("fx/ebin"),
        "fx",
        "1",
        &["fx_top"],
        ", {mod, {fx_top, []}}",
    );
    world.node.eval("ok = application:start(fx)");
    world.replace(&["fx_top"]);
    let upgrade = world.look();
    let (found, advanced, _) = class(&upgrade, "fx_top");
    assert_eq!((found, advanced), (Class::Supervisor, true));
    assert_eq!(changed(&upgrade, "fx_top").processes, 1);
    // A child of no supervisor, as the top of every application.
    assert!(
        printed(&upgrade, Code::W316).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
}

#[test]
fn the_callback_module_of_a_wrapper_is_a_server_and_is_converted_through_it() {
    let world = World::new();
    world.have(&["fx_wrap", "fx_wrapped", "fx_sup"]);
    let start = "{ok, S} = fx_sup:start([{one, {fx_wrapped, start_link, []}}]), S";
    let sup = world.node.eval(start);
    world.replace(&["fx_wrapped"]);
    let upgrade = world.look();
    let (found, advanced, why) = class(&upgrade, "fx_wrapped");
    assert_eq!((found, advanced), (Class::Server, true), "{why}");
    assert!(why.contains("fx_wrap, which runs it in servers"), "{why}");
    let wrapped = changed(&upgrade, "fx_wrapped");
    assert_eq!(wrapped.processes, 1);
    let child = world.node.call("supervisor", "which_children", vec![sup]);
    let child = child
        .as_list()
        .and_then(|l| l[0].as_tuple())
        .expect("a child")[1]
        .clone();
    assert_eq!(Term::Pid(wrapped.module_processes.also[0].clone()), child);
    assert!(printed(&upgrade, Code::W342).is_empty());

    // And so it goes: the wrapper's process is suspended and converted.
    build("fx_wrapped", &[], &world.path("old"));
    let old = text(&world.path("old"));
    let outcome = world.run(&format!("code on_disk. old from {old:?}."));
    assert_eq!(outcome.state.to_string(), "new", "{:?}", outcome.errors);
    assert_eq!((outcome.processes, outcome.converted), (1, 1));
    let answer = world
        .node
        .call("gen_server", "call", vec![child, Term::atom("hello")]);
    assert_eq!(answer.to_string(), "{two,100}");
}

#[test]
fn a_wrapper_without_a_telling_specification_is_a_warning() {
    let world = World::new();
    world.have(&["fx_wrap", "fx_wrapped"]);
    world
        .node
        .eval("{ok, P} = fx_wrapped:start_link(), unlink(P)");
    world.replace(&["fx_wrapped"]);
    let upgrade = world.look();
    assert_eq!(class(&upgrade, "fx_wrapped").0, Class::Library);
    let reported = one(&upgrade, Code::W342);
    assert!(reported.contains("`fx_wrapped` may run in servers of its behaviour `fx_wrap`"));
}

#[test]
fn supervisors_of_another_kind_are_recognised_and_asked() {
    let world = World::new();
    world.have(&["fx_own_sup", "fx_own_top", "fx_worker", "fx_sup"]);
    world
        .node
        .eval("{ok, _} = fx_sup:start([{top, {fx_own_top, start_link, []}}])");
    world.replace(&["fx_own_top", "fx_worker"]);
    let upgrade = world.look();
    let (found, advanced, why) = class(&upgrade, "fx_own_top");
    assert_eq!((found, advanced), (Class::Supervisor, true), "{why}");
    assert_eq!(changed(&upgrade, "fx_own_top").processes, 1);
    // Its child is named by its answer.
    assert_eq!(changed(&upgrade, "fx_worker").processes, 1);
    assert!(
        printed(&upgrade, Code::W316).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
}

#[test]
fn processes_that_contradict_the_class_are_reported() {
    let world = upgraded("fx_loop", "[fx_loop:start() || _ <- [1, 2, 3]]");
    let upgrade = world.look();
    assert_eq!(class(&upgrade, "fx_loop").0, Class::Library);
    let reported = one(&upgrade, Code::W334);
    assert!(
        reported.starts_with(
            "`fx_loop` is taken as plain, yet its processes run loops of their own (3 processes)"
        ),
        "{reported}"
    );
    assert!(reported.contains("(fx_loop:loop/0)"), "{reported}");

    let world = upgraded(
        "fx_srv",
        "{ok, _} = fx_srv:start(), {ok, _} = fx_srv:start()",
    );
    let upgrade = world
        .prepare("code on_disk. module fx_srv #{class => plain} because \"wrong\".")
        .expect("facts");
    let reported = one(&upgrade, Code::W334);
    assert!(
        reported
            .starts_with("`fx_srv` is taken as plain, yet its processes are servers (2 processes)"),
        "{reported}"
    );
}
