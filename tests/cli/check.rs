//! `updo check`: good plans, broken plans, without any network.

use crate::support::desk::Desk;

fn plan(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_good_plan() {
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

#[test]
fn a_broken_plan_says_everything_at_once() {
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
        .exits(1);
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
fn parameters() {
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
}
