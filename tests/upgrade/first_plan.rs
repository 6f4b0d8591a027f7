//! `updo new`: a first plan has what holds for this node and no noise, and is right wherever updo is started.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::rehearsal::till;
use crate::support::apps::{Deployed, bank, shop};
use crate::support::desk::Desk;

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";

/// Statements and comments that would be statements.
fn statements(plan: &str) -> Vec<&str> {
    let lines = plan.lines().map(|line| line.trim_start_matches("% "));
    lines.filter(|line| line.ends_with('.')).collect()
}

#[test]
fn what_is_new_or_has_no_process_is_no_state_to_convert() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let name = deployed.node.name().to_owned();
    let looked = desk.on(&deployed.node, &["new", &name]).run().exits(0);
    looked.says(&["nothing differs now"]);
    deployed.replace(&bank().two);
    let written = desk.on(&deployed.node, &["new", &name]).run().exits(0);
    let text = &written.stdout;
    assert!(text.contains("%   bank_account: 8 processes\n"), "{text}");
    assert!(!text.contains("bank_fee"), "{text}");
    // Copies were kept by the first look.
    assert!(!text.contains("old from"), "{text}");
    assert!(
        text.contains("% verify \"bank runs\" -> true = lists:keymember(bank, 1, application:which_applications())."),
        "{text}"
    );
    // Taken at its word it is a plan that runs.
    let taken = text.replace("% verify", "verify");
    desk.write("bank.updo", &taken);
    desk.on(&deployed.node, &["run", "bank.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["bank runs"]);
}

#[test]
fn a_call_that_cannot_be_followed_names_who_may_be_meant() {
    let deployed = Deployed::shop(3);
    let desk = Desk::new();
    let name = deployed.node.name().to_owned();
    deployed.replace(&shop().two);
    let written = desk.on(&deployed.node, &["new", &name]).run().exits(0);
    let text = &written.stdout;
    let all = statements(text);
    let meant = "shop_cart_server depends on shop_tax because \"REASON\".";
    assert!(all.contains(&meant), "{text}");
    assert!(!text.contains("MODULE"), "{text}");
    assert!(text.contains("1 process runs it"), "{text}");
    let twice = all
        .iter()
        .filter(|line| line.starts_with("module "))
        .count();
    assert!(twice <= 2, "{text}");
}

/// The plan is read from another folder than it was written from.
#[test]
fn patterns_hold_from_anywhere() {
    let folder = TempDir::new().expect("a folder");
    let node = node_with(&compiled(&folder.path().join("old"), &[till(1, SAME)]));
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
    let name = node.name().to_owned();
    let desk = Desk::new();
    for folder in ["plans", "elsewhere"] {
        fs::create_dir(desk.path().join(folder)).expect("a folder");
    }
    let right = "code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    compiled(&desk.path().join("build"), &[till(2, right)]);
    compiled(&desk.path().join("plans/build"), &[till(2, right)]);
    let new = |glob: &str, plan: &str| {
        desk.on(&node, &["new", &name, "--push", glob, "-o", plan])
            .run()
            .exits(0);
        desk.read(plan)
    };
    // Beside the plan: both may be moved. Elsewhere: from the root.
    let beside = new("plans/build/ebin/*.beam", "plans/beside.updo");
    assert!(
        beside.contains("code push [\"build/ebin/*.beam\"]."),
        "{beside}"
    );
    let other = new("./build/ebin/*.beam", "plans/other.updo");
    let whole = fs::canonicalize(desk.path()).expect("a folder");
    let whole = format!("code push [\"{}/build/ebin/*.beam\"].", whole.display());
    assert!(other.contains(&whole), "{other}");
    let printed = desk
        .on(&node, &["new", &name, "--push", "build/ebin/*.beam"])
        .run();
    assert!(printed.stdout.contains(&whole), "{printed}");
    // What a shell has expanded.
    let beam = "build/ebin/till.beam";
    let several = desk.on(&node, &["new", &name, "--push", beam, beam]).run();
    assert!(several.exits(0).stdout.contains("till.beam"));
    for plan in ["beside", "other"] {
        let plan = format!("../plans/{plan}.updo");
        let elsewhere = ["-C", "elsewhere", "preview", &plan];
        let shown = desk.on(&node, &elsewhere).run().exits(0);
        shown.prints(&["till", "5"]);
    }
}

/// A release whose new version lies beside the running one: `mill-1`, `mill-2`.
#[test]
fn a_newer_version_beside_is_what_is_meant() {
    let folder = TempDir::new().expect("a folder");
    let lib = folder.path().join("lib");
    let place = |vsn: &str, from: &Path| {
        let ebin = lib.join(format!("bank-{vsn}/ebin"));
        fs::create_dir_all(&ebin).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), ebin.join(entry.file_name())).expect("a copy");
        }
        ebin
    };
    let old = place("1", &bank().one);
    let node = node_with(&old);
    node.eval("{ok, _} = application:ensure_all_started(bank)");
    let desk = Desk::new();
    let name = node.name().to_owned();
    let here = desk.on(&node, &["new", &name]).run().exits(0);
    here.prints(&["code on_disk."]);
    place("2", &bank().two);
    desk.on(&node, &["new", &name, "-o", "bank.updo"])
        .run()
        .exits(0);
    let text = desk.read("bank.updo");
    assert!(text.contains("code on_disk #{newest => [bank]}."), "{text}");
    desk.on(&node, &["run", "bank.updo", "--yes"])
        .run()
        .exits(0);
    assert_eq!(node.eval_text("bank_rate:rate()"), "2");
}
