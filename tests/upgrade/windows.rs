//! Several windows: one set of modules after the other, as a plan wants it or as OTP would. Whatever fails in whichever
//! window, the whole node ends old or new, and what was done in between is not lost.

use crate::bank::nothing_left;
use crate::support::apps::{Deployed, mill, witness};
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

/// What a mill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// Version 1 in code and states.
    Old,
    /// Version 2 in code and states.
    New,
}

/// A plan that replaces the mill in several windows: the stone first, then the front, which calls it.
pub fn plan(desk: &Desk, window: &str, front: &str, stone: &str, more: &str) -> String {
    let text = format!(
        "plan \"Mill 2\".
        code on_disk. old from {:?}.
        window {window}.
        module mill_front #{{change => {{advanced, {front}}}}} because \"the tests say so\".
        module mill_stone #{{change => {{advanced, {stone}}}}} because \"the tests say so\".
        {more}\n",
        mill().one
    );
    desk.write("mill.updo", &text).display().to_string()
}

/// A mill with version 2 on its disk, that has ground one sack.
pub fn replaced() -> Deployed {
    let deployed = Deployed::mill();
    deployed.replace(&mill().two);
    let first = deployed.node.eval_text("mill_front:sack(100)");
    assert_eq!(first, "{1,1,{1,100,1},1}");
    deployed
}

pub fn pids_of(node: &TestNode) -> String {
    node.eval_text("witness:who(\"mill_\")")
}

/// Grinds one more sack: the states are those of before, in the form of the version.
#[track_caller]
pub fn is(node: &TestNode, wanted: Is, sacks: u32, pids: &str) {
    nothing_left(node);
    assert_eq!(pids_of(node), pids, "the same processes");
    let worn = 100 * sacks;
    let text = match wanted {
        Is::Old => format!("{{1,{sacks},{{1,{worn},1}},1}}"),
        Is::New => format!("{{2,{sacks},{{2,{worn},2}},10}}"),
    };
    assert_eq!(node.eval_text("mill_front:sack(100)"), text);
    let toll = node.eval("erlang:module_loaded(mill_toll)").is_atom("true");
    assert_eq!(toll, wanted == Is::New, "the new module");
}

/// The words of the steps that went well.
pub fn steps(desk: &Desk) -> Vec<String> {
    let events = desk.read("events.jsonl");
    let lines = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    lines
        .filter(|line| line["type"] == "step.finished" && line["ok"] == true)
        .filter_map(|line| line["step"].as_str().map(str::to_owned))
        .collect()
}

/// The steps of two windows: the plain modules need none, and are switched with what comes next.
const TWO: [&str; 10] = [
    "prepare", "load", "suspend", "load", "convert", "resume", "suspend", "compute", "load",
    "convert",
];

#[test]
fn one_after_the_other() {
    for window in ["minimal", "otp"] {
        let deployed = replaced();
        let node = &deployed.node;
        let (desk, pids) = (Desk::new(), pids_of(node));
        let plan = plan(&desk, window, "fine", "fine", "");
        desk.on(node, &["preview", &plan]).run().exits(0).prints(&[
            &format!("window   {window}: 2 windows"),
            "1 load mill_rate; suspend mill_stone (1 process); load mill_stone\n",
            "2 suspend mill_front (1 process); load mill_toll, mill_front\n",
            "converted back by code_change",
        ]);
        is(node, Is::Old, 2, &pids);
        desk.on(node, &["run", &plan, "--yes", "--events", "events.jsonl"])
            .run()
            .exits(0)
            .says(&["2 processes suspended", "2 states converted"]);
        let mut taken = steps(&desk);
        assert_eq!(taken.pop().as_deref(), Some("resume"));
        assert_eq!(taken, TWO, "window {window}");
        is(node, Is::New, 3, &pids);
        // The recorded way back goes through both.
        desk.on(node, &["rollback", "--yes"]).run().exits(0);
        is(node, Is::Old, 4, &pids);
    }
}

#[test]
fn a_failure_in_the_second_window_undoes_both() {
    for (window, desk) in [
        ("minimal", Desk::new()),
        ("minimal", Desk::converting_after_the_switch()),
        ("otp", Desk::converting_after_the_switch()),
    ] {
        let deployed = replaced();
        let node = &deployed.node;
        let pids = pids_of(node);
        let failing = plan(&desk, window, "{fail, up}", "fine", "");
        let ran = desk.on(node, &["run", &failing, "--yes"]).run().exits(20);
        let ran = ran.says(&["E604", "mill_front", "stuck", "undo ok", "is as before"]);
        assert!(!ran.stderr.contains("E609"), "{ran}");
        // The first window was new for a moment.
        assert!(!ran.stderr.contains("nothing was changed"), "{ran}");
        is(node, Is::Old, 2, &pids);
        // The node is none the worse for it.
        let good = plan(&desk, window, "fine", "fine", "");
        desk.on(node, &["run", &good, "--yes"]).run().exits(0);
        is(node, Is::New, 3, &pids);
    }
}

#[test]
fn the_second_fails_and_so_does_the_way_back() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = plan(&desk, "minimal", "{fail, up}", "{fail, down}", "");
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(21);
    ran.says(&[
        "E604",
        "mill_front",
        "mill_stone",
        "E609",
        "no process is suspended",
    ]);
    nothing_left(node);
    assert_eq!(pids_of(node), pids);
    // Neither old nor new, but all processes answer: the new stone works with the old front.
    assert_eq!(node.eval_text("mill_front:sack(100)"), "{1,2,{2,200,2},2}");

    // The next command reports what the node is, and what to do.
    let half = [
        "W619",
        "has left this node half done",
        "mill_stone is new",
        "mill_front is old",
        "updo replay ",
    ];
    let looked = desk.on(node, &["preview", &plan]).run().exits(0);
    looked.says(&half);
    let status = desk.on(node, &["status", &plan]).run().exits(0);
    status.says(&half);
    let doctor = desk.on(node, &["doctor", node.name()]).run().exits(0);
    doctor.prints(&["has left this node half done"]).says(&half);

    // A run that changes nothing has put nothing right.
    let refused = self::plan(&desk, "minimal", "fine", "fine", "require \"no\" -> false.");
    let ran = desk.on(node, &["run", &refused, "--yes"]).run().exits(11);
    ran.says(&["W619"]);
    let doctor = desk.on(node, &["doctor", node.name()]).run().exits(0);
    doctor.prints(&["has left this node half done"]).says(&half);

    // What is still old is upgraded, and nothing is left of it.
    let good = self::plan(&desk, "minimal", "fine", "fine", "");
    desk.on(node, &["run", &good, "--yes"]).run().exits(0);
    let doctor = desk.on(node, &["doctor", node.name()]).run().exits(0);
    let doctor = doctor.prints(&["nothing left half done"]);
    assert!(!doctor.stderr.contains("W619"), "{doctor}");
}

/// All its processes were born with the code that it has now.
#[test]
fn a_node_that_has_restarted_is_not_half_done() {
    let deployed = replaced();
    let desk = Desk::new();
    let plan = plan(&desk, "minimal", "{fail, up}", "{fail, down}", "");
    desk.on(&deployed.node, &["run", &plan, "--yes"])
        .run()
        .exits(21);
    let status = desk.on(&deployed.node, &["status", &plan]).run().exits(0);
    status.says(&["W619"]);
    // A record of an earlier version does not know the node's creation.
    let runs = desk.path().join("state/runs");
    let meta = std::fs::read_dir(runs).expect("runs").next();
    let meta = meta
        .expect("one")
        .expect("readable")
        .path()
        .join("meta.json");
    let text = std::fs::read_to_string(&meta).expect("a record");
    let lines = text.lines().filter(|line| !line.contains("\"creation\""));
    let without: Vec<&str> = lines.collect();
    assert_eq!(without.len() + 1, text.lines().count());
    std::fs::write(&meta, without.join("\n")).expect("can write");
    let status = desk.on(&deployed.node, &["status", &plan]).run().exits(0);
    status.says(&["W619"]);
    std::fs::write(&meta, text).expect("can write");
    let name = deployed.node.name().to_owned();
    deployed.node.kill();
    let options = Options {
        name: Some(name),
        ..Options::default()
    };
    let node = options.path(&deployed.ebin).path(witness()).start();
    let status = desk.on(&node, &["status", &plan]).run();
    assert!(!status.to_string().contains("W619"), "{status}");
}

const NEVER: &str = "verify \"never\" -> 3 = mill_rate:rate().\n";

#[test]
fn not_good_after_both() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan_of = |front: &str, stone: &str| plan(&desk, "minimal", front, stone, NEVER);
    let ran = desk
        .on(node, &["run", &plan_of("fine", "fine"), "--yes"])
        .run()
        .exits(20);
    ran.says(&["E606", "undo ok", "is as before"]);
    is(node, Is::Old, 2, &pids);

    // The first window of the way back goes well, the second fails: forward again.
    let ran = desk
        .on(node, &["run", &plan_of("fine", "{fail, down}"), "--yes"])
        .run();
    ran.says(&["E606", "E604", "mill_stone"]);
    is(node, Is::New, 3, &pids);
}

#[test]
fn otp_has_no_word_for_a_conversion_by_another_module() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let text = std::fs::read_to_string(plan(&desk, "otp", "fine", "fine", "")).expect("a plan");
    let text = text.replace("{advanced, fine}", "{convert, fun mill_toll:toll/1}");
    desk.write("mill.updo", &text);
    for command in [
        &["preview", "mill.updo"][..],
        &["run", "mill.updo", "--yes"],
    ] {
        desk.on(node, command).run().exits(1).says(&[
            "E401",
            "an appup has no word for",
            "asked for here",
        ]);
    }
    is(node, Is::Old, 2, &pids);
}

/// `preview --appup` and `--relup` of any plan, and `--low` of one with `window otp`, are OTP's own: asked on the node.
#[test]
fn the_same_terms_as_otp() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let print = |window: &str, flag: &str| {
        let plan = plan(&desk, window, "{term, \"ünï\", 1.5}", "fine", "");
        let ran = desk.on(node, &["preview", &plan, flag]).run().exits(0);
        let file = desk.write(&format!("{window}{flag}"), &ran.stdout);
        format!("element(2, file:consult({:?}))", file.display().to_string())
    };
    // As in sasl/src/systools.hrl; `optional` since OTP 24.
    let script = format!(
        "Optional = case list_to_integer(erlang:system_info(otp_release)) of N when N >= 24 -> [[]]; _ -> [] end,
        App = list_to_tuple([application, mill, permanent, \"2.0.0\", \"\", \"\",
                             [mill_front, mill_rate, mill_stone, mill_toll], []] ++ Optional
                            ++ [[], [], [], infinity, infinity, [], undefined, \"\"]),
        [Appup] = {appup}, [Terms] = {terms}, [Relup] = {relup}, [Low] = {low}, [Minimal] = {minimal},
        {{ok, Otp}} = systools_rc:translate_scripts(up, [Appup], [App], [App]),
        {{ok, Otp}} = systools_rc:translate_scripts(up, [Terms], [App], [App]),
        {{Relup =:= Otp, Low =:= Otp, Minimal =:= Otp, hd(Low), length(Appup)}}",
        appup = print("single", "--appup"),
        terms = print("minimal", "--terms"),
        relup = print("minimal", "--relup"),
        low = print("otp", "--low"),
        minimal = print("minimal", "--low"),
    );
    assert_eq!(
        node.eval_text(&script),
        "{true,true,false,{load_object_code,{mill,\"2.0.0\",[mill_rate,mill_stone,mill_front,mill_toll]}},4}"
    );
    is(node, Is::Old, 2, &pids);
}

/// A conversion by a function has no way back once its window is closed: reported before, and so is the end.
#[test]
fn a_conversion_without_a_way_back() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let text =
        std::fs::read_to_string(plan(&desk, "minimal", "{fail, up}", "fine", "")).expect("a plan");
    let text = text.replace("{advanced, fine}", "{convert, fun mill_stone:as_map/1}");
    desk.write("mill.updo", &text);
    desk.on(node, &["preview", "mill.updo"])
        .run()
        .exits(0)
        .prints(&["impossible behind that of mill_stone"]);
    let ran = desk
        .on(node, &["run", "mill.updo", "--yes"])
        .run()
        .exits(21);
    ran.says(&["E604", "E609", "mill_stone", "no process is suspended"]);
    nothing_left(node);
    assert_eq!(pids_of(node), pids);
    assert_eq!(node.eval_text("mill_front:sack(100)"), "{1,2,{2,200,2},2}");
}
