//! Ways that lead in one direction only: conversions that nothing turns round (W314), processes that a purge kills (W406).

use updo::diag::Code;

use crate::world::{World, build, one, printed};

/// Version 1 runs; version 2 of this kind lies in its place.
fn converting(kind: &str) -> World {
    let world = World::new();
    build("fx_way", &["SAME"], &world.path("fx/ebin"));
    world.node.eval("{ok, _} = fx_way:start()");
    build("fx_way", &["V2", kind], &world.path("fx/ebin"));
    world
}

#[test]
fn a_conversion_without_a_clause_for_down_is_reported() {
    for kind in ["UP", "MAPS"] {
        let reported = one(&converting(kind).look(), Code::W314);
        assert!(
            reported.contains("`fx_way` cannot be undone"),
            "{kind}: {reported}"
        );
    }
    // One that hands the state back, one that knows both ways, one that asks another module.
    for kind in ["SAME", "DOWN", "ASK"] {
        let upgrade = converting(kind).look();
        assert!(
            printed(&upgrade, Code::W314).is_empty(),
            "{kind}: {:?}",
            upgrade.diagnostics
        );
    }
}

#[test]
fn rollback_never_needs_no_rollback_policy() {
    let world = converting("UP");
    for plan in [
        "code on_disk. rollback never.",
        "code on_disk. module fx_way #{change => soft} because \"x\".",
    ] {
        let upgrade = world.prepare(plan).expect("facts");
        assert!(
            printed(&upgrade, Code::W314).is_empty(),
            "{plan}: {:?}",
            upgrade.diagnostics
        );
    }
}

#[test]
fn processes_killed_by_a_brutal_purge_are_listed() {
    let world = World::new();
    world.have(&["fx_loop", "fx_srv"]);
    world
        .node
        .eval("[fx_loop:start() || _ <- [1, 2, 3]], {ok, _} = fx_srv:start()");
    world.replace(&["fx_loop", "fx_srv"]);
    let with = |purge: &str| {
        let plan =
            format!("code on_disk. module [fx_loop, fx_srv] #{{purge => {purge}}} because \"x\".");
        world.prepare(&plan).expect("facts")
    };
    for purge in ["brutal", "{soft, brutal}"] {
        // The server is suspended in the loop of its behaviour: it lives.
        let reported = one(&with(purge), Code::W406);
        assert!(
            reported.starts_with("brutal purge will kill 3 processes"),
            "{reported}"
        );
        assert!(reported.contains("`fx_loop`"), "{reported}");
    }
    for purge in ["soft", "{brutal, soft}", "{soft, {wait, 1s}}"] {
        assert!(printed(&with(purge), Code::W406).is_empty(), "{purge}");
    }
}

#[test]
fn an_old_code_change_that_an_undo_would_call_is_reported() {
    let world = World::new();
    world.have(&["fx_mode", "fx_machine"]);
    build("fx_mode", &[], &world.path("old"));
    world.node.eval("{ok, _} = fx_mode:start()");
    world.replace(&["fx_mode"]);
    let plan = format!(
        "code on_disk. old from {:?}.",
        crate::world::text(&world.path("old"))
    );
    let upgrade = world.prepare(&plan).expect("facts");
    let reported = one(&upgrade, Code::W345);
    assert!(
        reported.starts_with("an undo would call `fx_mode:code_change/4` of the running version"),
        "{reported}"
    );
    // The way there is fine.
    assert_eq!(world.run(&plan).state, updo::exec::NodeState::New);
    let answer = "[gen_statem:call(P, x) || P <- processes(), {fx_mode, init, 1} =:= proc_lib:translate_initial_call(P)]";
    assert_eq!(world.node.eval_text(answer), "[{two,1}]");
}
