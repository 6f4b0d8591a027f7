//! A script that was saved does what was shown, or nothing; and what else `run` can be given.

use crate::fleet::Fleet;
use crate::support::apps::fleet as beams;

#[test]
fn a_saved_script_does_what_was_shown_or_nothing() {
    let fleet = Fleet::new(3);
    let more = "param Share :: integer = 1.\nparam Other :: string = \"x\".\n\
                rollout #{batch => Share}.\nverify \"v\" -> 2 = fleet_rate:version().";
    fleet.plan(more);
    let preview = [
        "preview",
        "plan.updo",
        "-s",
        "Share=3",
        "-o",
        "fleet.script",
    ];
    let saved = fleet.updo(&preview).env("UPDO_SET_SECRET", "hunter2");
    saved.run().exits(0).says(&["updo run fleet.script"]);
    let text = fleet.desk.read("fleet.script");
    for part in [
        "{load_module,fleet_rate,",
        "fingerprint",
        "\"Share\",\"3\"",
        fleet.name(2),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    let run = |args: &[&str]| {
        fleet
            .updo(&[&["run", "fleet.script", "--yes"], args].concat())
            .run()
    };
    // Its nodes and parameters are in it; as it was written, or not at all.
    run(&["-s", "Share=1"])
        .exits(2)
        .says(&["has its nodes and parameters"]);
    fleet.desk.write(
        "fleet.script",
        &text.replace(fleet.name(2), "elsewhere@localhost"),
    );
    run(&[])
        .exits(2)
        .says(&["E802", "changed after it was written"]);
    for wrong in [
        "",
        "{updo_script,1}.",
        "{updo_script,2,[],\"\"}.",
        "[1,2",
        "\u{0}",
    ] {
        fleet.desk.write("fleet.script", wrong);
        run(&[]).exits(2).says(&["E802", "is not a script"]);
    }
    fleet.desk.write("fleet.script", &text);
    // The plan is another one.
    fleet.plan(&format!("{more}\nverify \"more\" -> true."));
    run(&[]).exits(12).says(&["E602", "the plan has changed"]);
    fleet.plan(more);
    // A node is another one.
    fleet.load_rate(1, &beams().two);
    run(&[]).exits(12).says(&[
        "E602",
        &format!("{} is not what it was", fleet.name(1)),
        "nothing was changed",
    ]);
    assert_eq!(fleet.look(0), "{1,1,10}");
    fleet.load_rate(1, &beams().one);
    run(&[]).exits(0).says(&["batch 1   ", "3 of 3 nodes"]);
    assert_eq!(fleet.versions(), [2; 3]);
    // What is done is done.
    run(&[]).exits(0).says(&["nothing to do"]);
    fleet
        .updo(&["preview", "plan.updo", "-o", "fleet.txt"])
        .run()
        .exits(2);
}

#[test]
fn other_options_of_run() {
    let fleet = Fleet::new(1);
    fleet.plan("");
    let dry = fleet
        .updo(&["run", "plan.updo", "--dry-run"])
        .run()
        .exits(0);
    dry.says(&["2 of ", "fleet_ship", "suspend fleet_ship"]);
    assert_eq!(fleet.versions(), [1]);
    fleet.on(0, "{slow, 5000}");
    fleet
        .run(&["--deadline", "500ms"])
        .run()
        .exits(20)
        .says(&["E607"]);
    assert_eq!(fleet.versions(), [1]);
    // Another run holds the lock: refused, or waited for.
    fleet.on(0, "{slow, 2000}");
    let mut slow = fleet.run(&["--message", "ticket\n17"]).start();
    slow.await_says("suspend ok");
    let another = ["run", "plan.updo", "--yes"];
    fleet.updo(&another).run().exits(13).says(&["E505"]);
    let waiting = |time| fleet.updo(&another).arg("--lock-timeout").arg(time);
    waiting("100ms").run().exits(13).says(&["E505"]);
    let waits = waiting("50s").start();
    slow.wait().exits(0);
    waits.wait().exits(0).says(&["nothing to do"]);
    assert_eq!(fleet.versions(), [2]);
    let log = fleet.updo(&["log"]).run().exits(0);
    log.prints(&["ticket\\n17"]);
}
