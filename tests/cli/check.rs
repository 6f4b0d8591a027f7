//! `updo check`: good plans, broken plans, without any network.

use crate::support::desk::Desk;
use crate::waiting::{desk as beside_a_node, untouched, waiting};

fn plan(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_plan_without_mistakes_exits_with_0() {
    let desk = Desk::new();
    let ran = desk
        .updo(&["check", &plan("plans/demo.updo")])
        .run()
        .exits(0);
    assert_eq!(ran.stdout, "");
    ran.says(&["demo.updo is fine as far as that can be said without a node"]);
    let ran = desk
        .updo(&["check", "--json", &plan("plans/demo.updo")])
        .run()
        .exits(0);
    assert_eq!(ran.json().as_array().map(Vec::len), Some(0), "{ran}");
}

/// What is at the bottom of the screen is why it does not work.
#[test]
fn errors_come_after_warnings() {
    let desk = Desk::new();
    let text = "plan \"Broken\".\n\
                deadline \"30s\".\n\
                target shop #{nodes => ['shop@host'], cookie => \"s3cret\"}.\n\
                code on_disk.\n";
    desk.write("broken.updo", text);
    let ran = desk.updo(&["check", "broken.updo"]).run().exits(1);
    let at = |text: &str| {
        let found = ran.stderr.find(text);
        found.unwrap_or_else(|| panic!("does not say `{text}`: {ran}"))
    };
    assert!(at("W212") < at("deadline \"30s\""), "{ran}");
    assert!(at("warning[") < at("error["), "{ran}");
}

#[test]
fn a_broken_plan_reports_all_errors_at_once() {
    let desk = Desk::new();
    let text = "plan \"Broken\".\n\
                shop_cart dependz on shop_tax.\n\
                module shop_cart #{time_out => 3s}.\n\
                deadline \"30s\".\n\
                code on_disk.\n\
                code on_disk.\n";
    desk.write("broken.updo", text);
    let ran = desk.updo(&["check", "broken.updo"]).run().exits(1);
    assert_eq!(ran.stdout, "");
    ran.says(&[
        "E101",
        "did you mean `depends on`?",
        "broken.updo:2:11",
        "E204",
        "did you mean `timeout`?",
        "E205",
        "E209",
        "has 4 errors",
    ]);

    let ran = desk
        .updo(&["check", "--json", "broken.updo"])
        .run()
        .exits(1);
    let found = ran.json();
    let found = found.as_array().expect("an array");
    let codes: Vec<&str> = found.iter().filter_map(|d| d["code"].as_str()).collect();
    for code in ["E101", "E204", "E205", "E209"] {
        assert!(codes.contains(&code), "{code} is missing: {ran}");
    }
    let first = found.iter().find(|d| d["code"] == "E101").expect("E101");
    assert_eq!(first["severity"], "error");
    assert_eq!(
        (&first["labels"][0]["line"], &first["labels"][0]["column"]),
        (&2.into(), &11.into()),
        "{first}"
    );
    assert_eq!(first["labels"][0]["file"], "broken.updo");
}

#[test]
fn several_plans_and_strictness() {
    let desk = Desk::new();
    desk.write("good.updo", "plan \"Good\".\na depends on b.\n");
    desk.write("bad.updo", "plan \"Bad\"\n");
    desk.updo(&["check", "good.updo", "bad.updo"])
        .run()
        .exits(1)
        .says(&["good.updo is fine", "E103", "bad.updo has 1 error"]);
    desk.updo(&["check", "good.updo"]).run().exits(0);
    desk.updo(&["check", "good.updo", "-v"])
        .run()
        .exits(0)
        .says(&["A311"]);
    desk.updo(&["check", "--strict", "good.updo"])
        .run()
        .exits(1)
        .says(&["every override needs a reason", "good.updo:2:1"]);
}

#[test]
fn files_that_are_not_there() {
    let desk = Desk::new();
    desk.updo(&["check", "nowhere.updo"])
        .run()
        .exits(1)
        .says(&["E109", "cannot read `nowhere.updo`"]);
    desk.updo(&["check"]).run().exits(2).says(&["<PLAN>"]);
    desk.updo(&["chekc", "x"]).run().exits(2).says(&["chekc"]);
    desk.updo(&["--version"]).run().exits(0).prints(&["updo "]);
    desk.updo(&["--help"])
        .run()
        .exits(0)
        .prints(&["check", "preview", "Exit codes"]);
}

#[test]
fn parameters_come_from_flags_and_environment() {
    let desk = Desk::new();
    desk.write(
        "param.updo",
        "plan \"Parameters\".\nparam Wait :: duration.\ndeadline Wait.\n",
    );
    desk.updo(&["check", "param.updo"])
        .run()
        .exits(1)
        .says(&["E207", "--set Wait="]);
    desk.updo(&["check", "param.updo", "--set", "Wait=30s"])
        .run()
        .exits(0);
    desk.updo(&["check", "param.updo"])
        .env("UPDO_SET_Wait", "30s")
        .run()
        .exits(0);
    desk.updo(&["check", "param.updo", "--set", "Wait=maybe"])
        .run()
        .exits(1)
        .says(&["E208"]);
    desk.updo(&["check", "param.updo", "--set", "Wiat=30s"])
        .run()
        .exits(1)
        .says(&["E208", "did you mean `Wait`?"]);
    // In the environment capitals do too, a flag wins, and what is meant for other plans is left alone.
    let environment = |name: &str, value: &str| {
        desk.updo(&["check", "param.updo"])
            .env("UPDO_SET_OTHER", "1")
            .env(name, value)
            .run()
    };
    environment("UPDO_SET_WAIT", "30s").exits(0);
    environment("UPDO_SET_Wait", "maybe")
        .exits(1)
        .says(&["E208", "`UPDO_SET_Wait=maybe`"]);
    desk.updo(&["check", "param.updo", "--set", "Wait=30s"])
        .env("UPDO_SET_Wait", "maybe")
        .run()
        .exits(0);
}

#[test]
fn node_dependent_decisions_are_reported() {
    let desk = Desk::new();
    desk.write(
        "when.updo",
        "exclude shop_new when otp() < 26 because \"x\".\n\
         exclude shop_old when true, 1 < 2 because \"x\".\n\
         verify \"v\" when false, otp() > 20 -> ok = shop:ok().\n\
         rule(N) -> otp() > N.\n\
         require \"r\" when rule(25) ->\n    ok = shop:ok().\n",
    );
    let ran = desk.updo(&["check", "when.updo"]).run().exits(0);
    let ran = ran.says(&[
        "conditional: when.updo:1 when otp() < 26",
        "conditional: when.updo:5 when rule(25)",
        "names of modules and applications were not looked up",
    ]);
    assert_eq!(ran.stderr.matches("conditional").count(), 2, "{ran}");
    let ran = desk.updo(&["check", "--json", "when.updo"]).run().exits(0);
    assert_eq!(
        (ran.json().as_array().map(Vec::len), ran.stderr.as_str()),
        (Some(0), ""),
        "{ran}"
    );
}

#[test]
fn with_a_target_the_plan_meets_the_node() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let check = |args: &[&str]| {
        let args: Vec<&str> = ["check"].iter().chain(args).copied().collect();
        desk.on(&deployed.node, &args).run()
    };
    check(&["shop.updo"])
        .exits(0)
        .says(&[&format!("shop.updo is fine on {}", deployed.node.name())]);
    desk.write("typo.updo", "exclude shop_prcie because \"x\".\n");
    check(&["typo.updo"])
        .exits(1)
        .says(&["E202", "did you mean `shop_price`?", "has 1 error on"]);
    let ran = check(&["--json", "typo.updo"]).exits(1);
    let found = ran.json();
    let reported = found
        .as_array()
        .and_then(|all| all.iter().find(|d| d["code"] == "E202"));
    assert_eq!(
        reported.map(|d| d["node"].as_str()),
        Some(Some(deployed.node.name())),
        "{ran}"
    );
    // Offline no node is asked, whatever the target.
    check(&["--offline", "typo.updo"])
        .exits(0)
        .says(&["without a node"]);
    desk.updo(&[
        "check",
        "--offline",
        "-t",
        "nobody@nowhere.invalid",
        "typo.updo",
    ])
    .run()
    .exits(0);
    untouched(&deployed);
}

#[test]
fn rules_without_effect_in_included_files_are_reported_on_demand() {
    let (deployed, desk) = (waiting(), beside_a_node());
    desk.write(
        "policy.updo",
        "module lists #{timeout => 1s} because \"x\".\n",
    );
    desk.write("unused.updo", "include \"policy.updo\".\ncode on_disk.\n");
    let check = |args: &[&str]| {
        let args: Vec<&str> = ["check", "unused.updo"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        desk.on(&deployed.node, &args).run()
    };
    let quiet = check(&[]);
    assert!(!quiet.stderr.contains("W310"), "{quiet}");
    let quiet = check(&["--warn-unused", "plan"]);
    assert!(!quiet.stderr.contains("W310"), "{quiet}");
    check(&["--warn-unused=all"]).says(&["W310", "`lists` does not change here", "policy.updo:1"]);
    check(&["--warn-unused=some"]).exits(2);
}

#[test]
fn formatting_is_checked_for_others() {
    let desk = Desk::new();
    let bad = desk.write("bad.updo", "exclude   a  .");
    desk.write("good.updo", "exclude a.\n");
    desk.write("broken.updo", "exclude .\n");
    desk.updo(&["fmt", "--check", "good.updo"]).run().exits(0);
    desk.updo(&["fmt", "--check", "good.updo", "bad.updo"])
        .run()
        .exits(3)
        .says(&["bad.updo is not formatted"]);
    assert_eq!(
        std::fs::read_to_string(&bad).expect("there"),
        "exclude   a  ."
    );
    desk.updo(&["fmt", "--check", "bad.updo", "broken.updo"])
        .run()
        .exits(1)
        .says(&["E101"]);
    desk.updo(&["fmt", "bad.updo"]).run().exits(0);
    desk.updo(&["fmt", "--check", "bad.updo"]).run().exits(0);
    let ran = desk
        .updo(&["fmt", "-"])
        .input("a depends\n on b.")
        .run()
        .exits(0);
    assert_eq!(ran.stdout, "a depends on b.\n");
}
