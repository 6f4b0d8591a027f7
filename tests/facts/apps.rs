//! Specifications of applications beside new beams.

use std::fs;

use updo::diag::Code;
use updo::name::App;

use crate::world::{World, names, one, printed, spec};

fn running(world: &World) {
    let ebin = world.path("fx/ebin");
    world.have(&["fx_plain", "fx_lib", "fx_gone"]);
    spec(
        &ebin,
        "fx",
        "1",
        &["fx_plain", "fx_lib", "fx_gone"],
        ", {env, [{known, 1}]}",
    );
    world.node.eval(
        "ok = application:start(fx), ok = application:set_env(fx, by_hand, 1), [{module, M} = code:load_file(M) || M <- [fx_plain, fx_lib, fx_gone]]",
    );
}

const NEW: &str = ", {env, [{known, 2}, {by_hand, 2}, {discount, 10}]}";

#[test]
fn a_new_specification_on_disk_is_reported_key_by_key() {
    let world = World::new();
    running(&world);
    assert!(printed(&world.look(), Code::W332).is_empty());
    world.replace(&["fx_plain", "fx_new"]);
    let ebin = world.path("fx/ebin");
    spec(&ebin, "fx", "2", &["fx_plain", "fx_lib", "fx_new"], NEW);
    let upgrade = world.look();
    assert_eq!(names(&upgrade), ["fx_new", "fx_plain"]);
    let reported = one(&upgrade, Code::W332);
    for line in [
        "the new fx.app is not applied",
        "vsn: the running application keeps version 1, the file has 2",
        "modules added: `fx_new`",
        "modules removed: `fx_gone`",
        "env: `discount` is new (default 10); new code reads `undefined`",
        "OTP has no documented way",
        "`code on_disk #{env => true}.`",
    ] {
        assert!(reported.contains(line), "{line}: {reported}");
    }
    assert!(!reported.contains("known"), "{reported}");
    assert!(!reported.contains("by_hand"), "{reported}");
}

/// As Gleam's compiler leaves it: a build that compiles no Erlang again does not list any. Of a module whose file is gone
/// it is still said.
#[test]
fn a_specification_that_only_leaves_out_files_that_are_there_is_no_news() {
    let world = World::new();
    running(&world);
    let ebin = world.path("fx/ebin");
    let env = ", {env, [{known, 1}]}";
    spec(&ebin, "fx", "1", &["fx_plain", "fx_lib"], env);
    assert!(ebin.join("fx_gone.beam").exists());
    assert!(printed(&world.look(), Code::W332).is_empty());
    let pushed = format!("code push [{:?}].", crate::world::text(&ebin));
    let upgrade = world.prepare(&pushed).expect("facts");
    assert!(printed(&upgrade, Code::W332).is_empty());
    assert!(names(&upgrade).is_empty());
    // Beside something that is news.
    world.replace(&["fx_new"]);
    spec(&ebin, "fx", "1", &["fx_plain", "fx_lib", "fx_new"], env);
    let reported = one(&world.look(), Code::W332);
    assert!(reported.contains("modules added: `fx_new`"), "{reported}");
    assert!(!reported.contains("fx_gone"), "{reported}");

    spec(&ebin, "fx", "1", &["fx_plain", "fx_lib"], env);
    fs::remove_file(ebin.join("fx_gone.beam")).expect("it is there");
    let reported = one(&world.look(), Code::W332);
    assert!(
        reported.contains("modules removed: `fx_gone`"),
        "{reported}"
    );
}

#[test]
fn new_keys_are_set_by_the_plan_and_removed_with_the_new_version() {
    let world = World::new();
    running(&world);
    for module in ["fx_plain", "fx_lib", "fx_gone"] {
        crate::world::build(module, &[], &world.path("old"));
    }
    world.replace(&["fx_plain", "fx_new"]);
    let ebin = world.path("fx/ebin");
    spec(&ebin, "fx", "2", &["fx_plain", "fx_lib", "fx_new"], NEW);
    let plan = format!(
        "code on_disk #{{env => true}}. old from {:?}.",
        crate::world::text(&world.path("old"))
    );
    let reported = one(&world.prepare(&plan).expect("facts"), Code::W332);
    assert!(
        reported.starts_with("of the new fx.app only the configuration is applied"),
        "{reported}"
    );
    assert!(
        reported.contains("`discount` is new and will be set to 10, as the plan says"),
        "{reported}"
    );
    let keys = "[application:get_env(fx, K) || K <- [discount, known, by_hand]]";
    let before = world.node.eval_text(keys);
    assert!(before.starts_with("[undefined,"), "{before}");

    // Set before the new code runs, gone with it.
    let verified = format!(
        "{plan} verify \"the key is there, and that is not enough\" -> {{ok, 10}} = application:get_env(fx, discount), false."
    );
    let outcome = world.run(&verified);
    assert_eq!(outcome.state, updo::exec::NodeState::Old, "{outcome:?}");
    let wrong = format!("{:?}", outcome.errors);
    assert!(wrong.contains("false"), "{wrong}");
    assert_eq!(world.node.eval_text(keys), before);
    assert_eq!(world.node.eval_text("fx_plain:value()"), "one");

    assert_eq!(world.run(&plan).state, updo::exec::NodeState::New);
    let after = world.node.eval_text(keys);
    assert_eq!(after, before.replacen("undefined", "{ok,10}", 1));
    assert_eq!(world.node.eval_text("fx_plain:value()"), "two");
}

#[test]
fn a_pushed_specification_also_lists_what_is_deleted() {
    let world = World::new();
    running(&world);
    for module in ["fx_plain", "fx_lib"] {
        crate::world::build(module, &["V2"], &world.path("new"));
    }
    spec(&world.path("new"), "fx", "2", &["fx_plain", "fx_lib"], NEW);
    let upgrade = world.push("new");
    assert_eq!(names(&upgrade), ["fx_lib", "fx_plain"]);
    let reported = one(&upgrade, Code::W332);
    assert!(reported.contains("env: `discount` is new"), "{reported}");
    let gone = one(&upgrade, Code::W319);
    assert!(
        gone.starts_with("the new fx.app does not list `fx_gone` any more"),
        "{gone}"
    );
    assert!(
        gone.contains("fx_lib (in its new version) calls fx_gone:value/0"),
        "{gone}"
    );
    assert_eq!(upgrade.changes.specs[0].app, App::new("fx"));
}

#[test]
fn an_unreadable_specification_is_reported() {
    let world = World::new();
    running(&world);
    fs::write(world.path("fx/ebin/fx.app"), "{application, fx, [").expect("written");
    let reported = one(&world.look(), Code::W332);
    assert!(reported.contains("fx.app cannot be read"), "{reported}");
}

/// ExUnit in a shell of mix: loaded, not started, and no module of it is in use.
#[test]
fn an_application_that_is_not_in_use_has_no_new_modules() {
    let world = World::new();
    let ebin = world.path("fx/ebin");
    world.have(&["fx_plain", "fx_lib"]);
    spec(&ebin, "fx", "1", &["fx_plain", "fx_lib"], "");
    world.node.eval("ok = application:load(fx)");
    world.replace(&["fx_plain", "fx_new"]);
    spec(&ebin, "fx", "2", &["fx_plain", "fx_lib", "fx_new"], "");
    assert!(names(&world.look()).is_empty());
    // In use, it has one: the node loads the others when they are called.
    world.node.eval("{module, _} = code:load_file(fx_plain)");
    assert_eq!(names(&world.look()), ["fx_new"]);
}
