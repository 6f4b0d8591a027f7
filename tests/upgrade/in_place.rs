//! The beams of a running node are overwritten in place, there is no copy of the old ones and no plan: a node's name is
//! enough for everything that looks, tries and upgrades.

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::rehearsal::till;
use crate::support::desk::Desk;

const STATES: &str = "[gen_server:call(P, what) || P <- persistent_term:get(tills)]";

#[test]
fn a_conversion_is_tried_before_it_matters() {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("ebin");
    let same = "code_change(_, S, _) -> {ok, S}.";
    let node = node_with(&compiled(&place, &[till(1, same)]));
    let desk = Desk::rehearsing();
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
    let name = node.name().to_owned();
    let before = node.eval_text(STATES);
    desk.on(&node, &["preview", &name])
        .run()
        .exits(0)
        .prints(&["nothing to do"]);

    // Wrong for one of five: found before anything is touched.
    let wrong = "code_change(_, {till, N}, _) when N =/= 4 -> {ok, {till, N, 0}};\ncode_change(_, {till, _}, _) -> error(torn).";
    compiled(&place, &[till(2, wrong)]);
    desk.on(&node, &["preview", &name])
        .run()
        .exits(0)
        .prints(&["till", "conversion: pure"]);
    desk.on(&node, &["diff", &name])
        .run()
        .exits(0)
        .prints(&["till"]);
    for command in [&["rehearse", &name][..], &["run", &name, "--yes"]] {
        let ran = desk.on(&node, command).run().exits(15);
        let ran = ran.to_string();
        assert!(
            ran.contains("1 of 5 states") && ran.contains("torn"),
            "{ran}"
        );
        assert_eq!(node.eval_text(STATES), before);
    }

    // Right: it is run.
    let right = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}};\ncode_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    compiled(&place, &[till(3, right)]);
    desk.on(&node, &["rehearse", &name]).run().exits(0);
    assert_eq!(node.eval_text(STATES), before);
    desk.on(&node, &["run", &name, "--yes"])
        .run()
        .exits(0)
        .says(&["5 states converted"]);
    let after: Vec<String> = (1..=5).map(|n| format!("{{3,{{till,{n},0}}}}")).collect();
    assert_eq!(node.eval_text(STATES), format!("[{}]", after.join(",")));
    desk.on(&node, &["preview", &name])
        .run()
        .exits(0)
        .prints(&["nothing to do"]);
}

/// A file is a plan, whatever its name is; what is neither is an error that shows both forms.
#[test]
fn a_node_and_a_plan_are_told_apart() {
    let desk = Desk::new();
    let node = node_with(&TempDir::new().expect("a folder").path().join("none"));
    desk.write("odd@name", "plan \"A file\".\nverify \"x\" -> 1 = 2.\n");
    let checked = desk.on(&node, &["check", "odd@name"]).run();
    checked.exits(0);
    let missing = desk.on(&node, &["preview", "nowhere"]).run();
    missing.exits(1).says(&["E109", "NAME@HOST"]);
    let wrong = desk.updo(&["preview", "nowhere@localhost"]).run();
    wrong.exits(10).says(&["E5"]);
    // The one that is named, and no other.
    let both = desk.on(&node, &["preview", "nowhere@localhost"]).run();
    both.exits(1).says(&["E211", "nowhere@localhost"]);
}
