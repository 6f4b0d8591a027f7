//! How rules of the plan meet what was inferred: layers, conflicts, cycles, order, selection, unused rules.

use std::collections::BTreeMap;

use updo::diag::Code;
use updo::name::Module;
use updo::rules::{Change, Class, Timeout};

use super::synthetic::{Given, World, calls, read};

/// `shop_a` calls `shop_b` calls `shop_c`; `shop_x` and `shop_y` call each other; `shop_s` is a server.
fn shop() -> World {
    let server = Given {
        behaviours: vec!["gen_server"],
        exports: vec![("code_change", 3)],
        ..Given::default()
    };
    World(vec![
        calls("shop_a", &["shop_b"]),
        calls("shop_b", &["shop_c"]),
        calls("shop_c", &[]),
        calls("shop_d", &[]),
        calls("shop_x", &["shop_y"]),
        calls("shop_y", &["shop_x"]),
        ("shop_s", server),
    ])
}

/// The codes of one plan, without the cycle that this shop always has.
fn codes(text: &str) -> Vec<&'static str> {
    let quiet = "cycle [shop_x, shop_y]: together because \"known\".\n";
    let reported = shop().codes(&format!("{quiet}{text}"));
    reported.iter().map(|code| code.as_str()).collect()
}

/// A behaviour whose own module is a supervisor's is none that runs its callback modules in supervisors, as ejabberd's
/// listener is: what runs them is what their processes are in.
#[test]
fn of_several_behaviours_the_one_counts_in_which_the_processes_are() {
    let given = |behaviours: &[&'static str], exports: &[(&'static str, u32)]| Given {
        behaviours: behaviours.to_vec(),
        exports: exports.to_vec(),
        ..Given::default()
    };
    let client = |runs_in| Given {
        runs_in,
        ..given(&["shop_listener", "shop_stream"], &[("code_change", 3)])
    };
    let world = World(vec![
        ("shop_loop", given(&[], &[("system_code_change", 4)])),
        ("shop_listener", given(&["supervisor"], &[("init", 1)])),
        ("shop_stream", given(&["shop_loop"], &[("init", 1)])),
        ("shop_client", client(Some("shop_stream"))),
        ("shop_other", client(Some("shop_listener"))),
        ("shop_idle", client(None)),
    ]);
    let (plan, _) = read("");
    let upgrade = world.decide(&plan);
    let class = |name: &str| upgrade.rules.modules[&Module::new(name)].class.value;
    assert_eq!(class("shop_client"), Class::Server);
    assert_eq!(class("shop_other"), Class::Supervisor);
    assert_eq!(class("shop_idle"), Class::Library);
}

#[test]
fn edges_are_added_and_taken_away() {
    assert!(codes("").is_empty());
    assert!(codes("shop_d depends on shop_c because \"x\".").is_empty());
    assert!(codes("shop_a does not depend on shop_b because \"x\".").is_empty());
    let (plan, _) = read("shop_a does not depend on shop_b. shop_c depends on shop_d.");
    let upgrade = shop().decide(&plan);
    let has = |a: &str, b: &str| {
        upgrade
            .rules
            .graph
            .edge(&Module::new(a), &Module::new(b))
            .is_some()
    };
    assert!(!has("shop_a", "shop_b") && has("shop_c", "shop_d") && has("shop_b", "shop_c"));
}

#[test]
fn both_added_and_removed() {
    let text = "shop_d depends on shop_c. shop_d does not depend on [shop_c].";
    assert!(codes(text).contains(&"E301"));
}

#[test]
fn known_edges_and_edges_that_are_not_there() {
    assert_eq!(codes("shop_a depends on shop_b."), ["A308"]);
    assert_eq!(codes("shop_a does not depend on shop_c."), ["W309"]);
}

#[test]
fn rules_without_effect() {
    assert_eq!(codes("shop_a depends on shop_same."), ["W310"]);
    assert_eq!(codes("exclude shop_same."), ["W310"]);
    assert_eq!(codes("module shop_same #{timeout => 1s}."), ["W310"]);
    assert_eq!(codes("exclude []."), ["W310"]);
    // Not decided here: no word about it.
    assert!(codes("exclude shop_same when otp() < 20.").is_empty());
}

#[test]
fn rules_of_included_files_may_do_nothing_and_lose_to_the_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write(
        "policy.updo",
        "exclude shop_same.\nmodule shop_s #{timeout => 1s}.\n",
    );
    write(
        "plan.updo",
        "include \"policy.updo\".\nmodule shop_s #{timeout => 2s}.\n",
    );
    let loaded = updo::plan::load(&folder.path().join("plan.updo"), &BTreeMap::new());
    let plan = loaded.plan.expect("no errors");
    let upgrade = shop().decide(&plan);
    let codes: Vec<Code> = upgrade.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::W307]);
    let rules = &upgrade.rules.modules[&Module::new("shop_s")];
    assert_eq!(
        rules.timeout.value,
        Timeout::After(std::time::Duration::from_secs(2))
    );
}

#[test]
fn a_name_beats_a_set_and_equal_ranks_must_agree() {
    let (plan, _) = read(
        "module behaviour(gen_server) #{timeout => 1s, class => plain}.\nmodule shop_s #{timeout => infinity}.",
    );
    let upgrade = shop().decide(&plan);
    let rules = &upgrade.rules.modules[&Module::new("shop_s")];
    assert_eq!(
        (rules.timeout.value.clone(), rules.class.value),
        (Timeout::Infinity, Class::Library)
    );
    // Another class takes the conversion that was inferred with the old one along.
    assert_eq!(rules.change.value, Change::Soft);
    assert_eq!(
        codes("module shop_s #{timeout => 1s}. module [shop_s] #{timeout => 2s}."),
        ["E302"]
    );
    assert!(
        codes("module shop_s #{timeout => 1s}. module shop_s #{timeout => 1000ms}.").is_empty()
    );
    assert!(
        codes("module app(shop) #{purge => soft}. module glob(\"shop_*\") #{purge => soft}.")
            .is_empty()
    );
}

#[test]
fn guards_that_exclude_each_other_do_not_conflict() {
    let text = "module shop_s #{timeout => 1s} when otp() < 25. module shop_s #{timeout => 2s} when otp() >= 25.";
    assert!(codes(text).is_empty());
    let both = "module shop_s #{timeout => 1s} when otp() > 20. module shop_s #{timeout => 2s} when otp() >= 25.";
    assert_eq!(codes(both), ["E302"]);
}

#[test]
fn orders_that_contradict() {
    let ring =
        "shop_a loads before shop_d. shop_d loads before shop_c. shop_c loads before shop_a.";
    assert!(codes(ring).contains(&"E303"));
    // Against an edge: shop_a calls shop_b.
    assert!(codes("shop_a loads before shop_c.").contains(&"E303"));
    assert!(codes("shop_c loads after shop_a.").contains(&"E303"));
    assert!(codes("shop_c loads before shop_a.").is_empty());
    // Without the edge it is possible.
    assert!(codes("shop_a loads before shop_b. shop_a does not depend on shop_b.").is_empty());
    // The cycle is shown.
    let (plan, _) = read("shop_a loads before shop_c.");
    let upgrade = shop().decide(&plan);
    let diagnostic = upgrade
        .diagnostics
        .iter()
        .find(|d| d.code == Code::E303)
        .expect("E303");
    assert_eq!(diagnostic.notes.len(), 2, "{diagnostic:?}");
}

#[test]
fn cycles_have_exactly_their_members() {
    let codes = |text: &str| -> Vec<&'static str> {
        shop()
            .codes(text)
            .iter()
            .map(|code| code.as_str())
            .collect()
    };
    assert_eq!(codes(""), ["W307"]);
    assert!(codes("cycle [shop_y, shop_x]: together.").is_empty());
    assert_eq!(codes("cycle [shop_x]: together."), ["E306"]);
    assert_eq!(codes("cycle [shop_x, shop_y, shop_a]: together."), ["E306"]);
    assert_eq!(codes("cycle [shop_a, shop_b]: together."), ["W305", "W307"]);
    assert_eq!(
        codes("cycle [shop_same, shop_b]: together."),
        ["W305", "W307"]
    );
    assert!(codes("cycle [shop_x, shop_y]: break shop_y -> shop_x.").is_empty());
    assert_eq!(
        codes("cycle [shop_x, shop_y]: break shop_x -> shop_a."),
        ["E304"]
    );
}

#[test]
fn a_broken_edge_no_longer_orders() {
    let (plan, _) = read("cycle [shop_x, shop_y]: break shop_y -> shop_x.");
    let upgrade = shop().decide(&plan);
    assert!(upgrade.rules.graph.cycles().is_empty());
    assert_eq!(upgrade.rules.cycles.len(), 1);
}

#[test]
fn strict_makes_an_undeclared_cycle_an_error() {
    let (plan, _) = read("");
    let world = shop();
    let node = updo::name::NodeName::new("shop@host");
    let facts = world.decide(&plan).facts;
    let strict = updo::engine::Settings {
        strict: true,
        ..Default::default()
    };
    let upgrade = updo::engine::decide(&plan, &node, "", facts, world.changes(), &strict);
    assert!(upgrade.is_refused());
}

#[test]
fn conversions_need_a_callback() {
    assert_eq!(
        codes("module shop_s #{change => soft}."),
        Vec::<&str>::new()
    );
    assert_eq!(
        codes("module shop_a #{class => server, change => {advanced, []}}."),
        ["E312"]
    );
    assert!(
        codes("module shop_a #{class => server, change => {convert, fun shop_b:f/1}}.").is_empty()
    );
}

#[test]
fn left_out_and_needed() {
    let mut world = shop();
    world.0.push(calls("shop_new", &[]));
    for (name, given) in &mut world.0 {
        if *name == "shop_new" {
            given.had = Some(Vec::new());
        }
        if *name == "shop_d" {
            given.calls.push(("shop_new", "f", 0));
        }
    }
    assert!(world.codes("exclude shop_new.").contains(&Code::E313));
    assert!(
        !world
            .codes("exclude [shop_new, shop_d].")
            .contains(&Code::E313)
    );
    assert!(
        world
            .codes("only changed() -- [shop_new].")
            .contains(&Code::E313)
    );
    // An old function is there in the old version too.
    assert!(!world.codes("exclude shop_c.").contains(&Code::E313));
}

#[test]
fn only_then_exclude() {
    let (plan, _) = read("only glob(\"shop_[abc]\"). exclude shop_c.");
    let upgrade = shop().decide(&plan);
    let names: Vec<&str> = upgrade.rules.modules.keys().map(Module::as_str).collect();
    assert_eq!(names, ["shop_a", "shop_b"]);
    assert_eq!(upgrade.rules.left_out.len(), 5);
}

#[test]
fn unknown_names_are_suggested() {
    let (plan, _) = read("shop_a depends on shop_bb. exclude app(shopp).");
    let upgrade = shop().decide(&plan);
    let help = |code| {
        let reported = upgrade.diagnostics.iter().find(|d| d.code == code);
        reported.and_then(|d| d.help.clone()).unwrap_or_default()
    };
    assert_eq!(help(Code::E202), "did you mean `shop_b`?");
    assert_eq!(help(Code::E203), "did you mean `shop`?");
}

#[test]
fn plan_functions_serve_guards_and_subjects() {
    let text = "mine() -> app(shop) -- [shop_a]. late(N) -> otp() > N.\nonly mine() when late(20).";
    let (plan, _) = read(text);
    let upgrade = shop().decide(&plan);
    assert_eq!(upgrade.rules.left_out.len(), 1, "{:?}", upgrade.diagnostics);
}
