//! What the plan leaves out on purpose: warnings are about what takes part.

use updo::diag::Code;

use crate::world::{World, build, names, one, printed};

/// Version 1 of everything runs; in version 2 `fx_lib` has lost `old/0`, and its caller calls it no more.
fn world() -> World {
    let world = World::new();
    world.have(&["fx_lib", "fx_gone", "fx_new", "fx_user"]);
    build("fx_lib", &[], &world.path("old"));
    build("fx_user", &[], &world.path("old"));
    world
        .node
        .eval("[{module, M} = code:load_file(M) || M <- [fx_lib, fx_gone, fx_new, fx_user]]");
    world.replace(&["fx_lib", "fx_user"]);
    world
}

fn with(world: &World, plan: &str) -> updo::engine::Upgrade {
    let old = crate::world::text(&world.path("old"));
    let plan = format!("code on_disk. old from {old:?}. {plan}");
    world.prepare(&plan).expect("facts")
}

#[test]
fn a_caller_that_is_left_out_goes_on_calling_what_is_lost() {
    let world = world();
    let upgrade = with(&world, "");
    assert_eq!(names(&upgrade), ["fx_lib", "fx_user"]);
    assert!(
        printed(&upgrade, Code::W318).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
    for plan in [
        "exclude fx_user because \"x\".",
        "only fx_lib because \"x\".",
    ] {
        let diagnostic = one(&with(&world, plan), Code::W318);
        assert!(
            diagnostic.starts_with("`fx_lib` lost functions that are still called\n"),
            "{plan}: {diagnostic}"
        );
        assert!(
            diagnostic.contains("fx_user (left out) calls fx_lib:old/0"),
            "{plan}: {diagnostic}"
        );
    }
}

#[test]
fn a_module_that_is_left_out_loses_nothing() {
    let world = world();
    // Its caller is as it was.
    build("fx_user", &[], &world.path("fx/ebin"));
    let diagnostic = one(&with(&world, ""), Code::W318);
    assert!(
        diagnostic.contains("fx_user (unchanged) calls fx_lib:old/0"),
        "{diagnostic}"
    );
    let upgrade = with(&world, "exclude fx_lib because \"x\".");
    assert!(upgrade.is_empty());
    assert!(
        printed(&upgrade, Code::W318).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
}

#[test]
fn an_excluded_unloadable_module_needs_no_statement() {
    let world = world();
    world.have(&["fx_plain"]);
    let patch = crate::world::text(&world.path("old/fx_plain"));
    build("fx_plain", &["V2"], &world.path("old"));
    world
        .node
        .eval(&format!("{{module, _}} = code:load_abs({patch:?})"));
    assert!(one(&world.look(), Code::W320).starts_with("`fx_plain` differs"));
    let upgrade = with(&world, "exclude fx_plain because \"a patch of the night\".");
    for code in [Code::W320, Code::W310] {
        assert!(
            printed(&upgrade, code).is_empty(),
            "{:?}",
            upgrade.diagnostics
        );
    }
    assert!(
        upgrade
            .rules
            .left_out
            .iter()
            .any(|(module, _)| module.as_str() == "fx_plain")
    );
}

#[test]
fn callers_of_what_is_gone_are_those_that_stay() {
    let world = world();
    std::fs::remove_file(world.path("fx/ebin/fx_gone.beam")).expect("is there");
    let diagnostic = one(&with(&world, ""), Code::W319);
    assert!(
        diagnostic.contains("fx_lib (in its new version) calls fx_gone:value/0"),
        "{diagnostic}"
    );
    let diagnostic = one(&with(&world, "exclude fx_lib because \"x\"."), Code::W319);
    assert!(
        diagnostic.contains("fx_lib (left out) calls fx_gone:value/0"),
        "{diagnostic}"
    );
    assert!(
        !diagnostic.contains("in its new version) calls fx_lib"),
        "{diagnostic}"
    );
}
