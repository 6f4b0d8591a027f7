//! What is left to itself: applications that are loaded and do not run, modules that nothing lists, on a node that never
//! loads code by being called; and functions that are not there.

use updo::diag::Code;

use crate::support::Options;
use crate::world::{World, build, names, one, printed, spec, text};

fn embedded(folders: &[&str]) -> World {
    World::with(Options::default().args(&["-mode", "embedded"]), folders)
}

/// `fx` runs with `fx_lib` and `fx_gone`; other folders may have more.
fn started(world: &World) {
    world.have(&["fx_lib", "fx_gone"]);
    spec(
        &world.path("fx/ebin"),
        "fx",
        "1",
        &["fx_lib", "fx_gone"],
        "",
    );
    world.node.eval(
        "ok = application:start(fx), [{module, M} = code:load_file(M) || M <- [fx_lib, fx_gone]]",
    );
}

#[test]
fn a_new_module_that_only_a_changed_one_calls_is_loaded_with_it() {
    let world = embedded(&["fx/ebin", "more/ebin"]);
    started(&world);
    // Its new version calls fx_new, which lies in a folder of its own and is listed nowhere.
    world.replace(&["fx_lib"]);
    build("fx_new", &[], &world.path("more/ebin"));
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_lib", "fx_new"]);
    let high = &upgrade.script.high;
    let step = high.iter().find(|step| step.module.as_str() == "fx_new");
    let why: Vec<&str> = step
        .expect("a step")
        .why
        .iter()
        .map(|why| why.text.as_str())
        .collect();
    assert!(
        why.contains(&"`fx_lib` calls it or names it, and no specification lists it"),
        "{why:?}"
    );
    assert!(
        printed(&upgrade, Code::W324).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
    assert_eq!(
        world.run("code on_disk. rollback never.").state,
        updo::exec::NodeState::New
    );
    assert_eq!(world.node.eval_text("fx_lib:value()"), "{two,new,gone}");
}

#[test]
fn undefined_functions_are_reported() {
    for world in [embedded(&["fx/ebin"]), World::new()] {
        started(&world);
        // The same module from this side, without what it calls.
        build("fx_lib", &["V2"], &world.path("new"));
        let diagnostic = one(&world.push("new"), Code::W324);
        assert!(
            diagnostic.starts_with(
                "`fx_lib` calls 1 function that the node does not have\nfx_new:value/0"
            ),
            "{diagnostic}"
        );
        build("fx_new", &[], &world.path("new"));
        assert!(printed(&world.push("new"), Code::W324).is_empty());
    }
    // A function of a module that runs and stays as it is.
    let world = World::new();
    world.have(&["fx_lib", "fx_gone", "fx_new", "fx_user"]);
    world
        .node
        .eval("[{module, M} = code:load_file(M) || M <- [fx_lib, fx_gone, fx_user]]");
    world.replace(&["fx_lib"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_lib"]);
    assert!(
        printed(&upgrade, Code::W324).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
}

#[test]
fn files_that_nothing_lists_or_calls_are_not_passed_over_in_silence() {
    let world = embedded(&["fx/ebin"]);
    started(&world);
    assert!(printed(&world.look(), Code::W323).is_empty());
    world.have(&["fx_plain"]);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    let diagnostic = one(&upgrade, Code::W323);
    assert!(
        diagnostic.starts_with("1 module on the disk stay unloaded\n`fx_plain`"),
        "{diagnostic}"
    );
    assert_eq!(upgrade.left_alone(), [Code::W323]);
    // Where code comes when it is called, nothing has to be said.
    let world = World::new();
    started(&world);
    world.have(&["fx_plain"]);
    assert!(world.look().left_alone().is_empty());
}

#[test]
fn an_application_that_is_loaded_only_takes_part() {
    let world = embedded(&["lib/fx-1/ebin"]);
    let ebin = world.path("lib/fx-1/ebin");
    for module in ["fx_plain", "fx_lib"] {
        build(module, &[], &ebin);
    }
    spec(
        &ebin,
        "fx",
        "1",
        &["fx_plain", "fx_lib"],
        ", {env, [{known, 1}]}",
    );
    world.node.eval(
        "ok = application:load(fx), [{module, _} = code:load_file(M) || M <- [fx_plain, fx_lib]]",
    );
    assert_eq!(
        world
            .node
            .eval_text("lists:keymember(fx, 1, application:which_applications())"),
        "false"
    );
    let beside = world.path("lib/fx-2/ebin");
    for module in ["fx_plain", "fx_lib", "fx_new", "fx_gone"] {
        build(module, &["V2"], &beside);
    }
    let modules = ["fx_plain", "fx_lib", "fx_new", "fx_gone"];
    spec(
        &beside,
        "fx",
        "2",
        &modules,
        ", {env, [{known, 1}, {more, 2}]}",
    );
    let diagnostic = one(&world.look(), Code::W331);
    assert!(
        diagnostic.starts_with("fx 2 is installed next to 1"),
        "{diagnostic}"
    );
    let plan = "code on_disk #{newest => [fx], env => true}.";
    let upgrade = world.prepare(plan).expect("facts");
    assert_eq!(names(&upgrade), ["fx_gone", "fx_lib", "fx_new", "fx_plain"]);
    let diagnostic = one(&upgrade, Code::W332);
    assert!(
        diagnostic.contains("`more` is new and will be set to 2"),
        "{diagnostic}"
    );
    assert_eq!(world.run(plan).state, updo::exec::NodeState::New);
    assert_eq!(world.node.eval_text("fx_lib:value()"), "{two,new,gone}");
    assert_eq!(
        world.node.eval_text("application:get_env(fx, more)"),
        "{ok,2}"
    );
    let which = world.node.eval_text("code:which(fx_new)");
    assert!(which.contains(&text(&beside)), "{which}");
}

#[test]
fn modules_of_no_application_take_part_wherever_they_are() {
    let world = embedded(&["fx/ebin", "tools"]);
    started(&world);
    build("fx_plain", &[], &world.path("tools"));
    world.node.eval("{module, _} = code:load_file(fx_plain)");
    build("fx_plain", &["V2"], &world.path("tools"));
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_plain"]);
    assert_eq!(upgrade.changes.modules["fx_plain"].app, None);
    assert_eq!(
        world.run("code on_disk. rollback never.").state,
        updo::exec::NodeState::New
    );
    assert_eq!(world.node.eval_text("fx_plain:value()"), "two");
}
