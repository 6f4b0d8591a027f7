//! The order of the nodes, how many at a time, and what is checked once for the whole.

use crate::fleet::Fleet;
use crate::support::desk::UPDO;
use crate::support::terminal::Terminal;

#[test]
fn canary_batches_and_hooks_around_the_rollout() {
    let fleet = Fleet::new(5);
    fleet.plan(
        "rollout fleet #{canary => 1, batch => [1, \"60%\"], parallel => 2}.\n\
         require \"harbour is open\" #{each => rollout} -> true = fleet_ship:tell(required) =:= ok.\n\
         before rollout -> ok = fleet_ship:tell(begins).\n\
         before upgrade -> ok = fleet_ship:tell(before).\n\
         after upgrade -> ok = fleet_ship:tell('after').\n\
         after rollout -> ok = fleet_ship:tell(ends).\n\
         verify \"each\" -> 2 = fleet_rate:version().\n\
         verify \"all\" #{each => rollout} -> ok = fleet_ship:tell(verified).\n",
    );
    fleet.everywhere("{slow, 300}");
    let names: Vec<&str> = (0..5).map(|at| fleet.name(at)).collect();
    // Equal nodes are one block, with the stages below it.
    let preview = fleet.updo(&["preview", "plan.updo"]).run().exits(0);
    let preview = preview.prints(&[
        &format!("target  {} · OTP", names.join(", ")),
        &format!("rollout  canary    {}", names[0]),
        &format!("batch 2   {}", names[2..].join(", ")),
    ]);
    assert_eq!(preview.stdout.matches("plan    Fleet").count(), 1);
    let ran = fleet
        .run(&["--report", "report.html", "--report-junit", "junit.xml"])
        .run()
        .exits(0);
    ran.says(&[
        &format!("target  {} · OTP", names.join(", ")),
        &format!(
            "the same on all 5; numbers of processes are those of {}",
            names[0]
        ),
        &format!("rollout  canary    {}", names[0]),
        &format!("batch 2   {}", names[2..].join(", ")),
        "up to 2 nodes at a time, ends after 1 failed node",
        "rollout canary begins nodes=1",
        "rollout batch 2 begins nodes=3",
        "done  Fleet · 5 of 5 nodes · 2 modules · suspended",
        "roll back: updo rollback ",
    ]);
    assert_eq!(fleet.versions(), [2; 5]);
    // Checks of the whole run once, on the first node; the others on each node.
    let reported = |at: usize| fleet.nodes[at].node.eval_text("fleet_ship:told()");
    assert_eq!(
        reported(0),
        "[required,begins,before,'after',ends,verified]"
    );
    assert_eq!(
        (1..5).map(reported).collect::<Vec<_>>(),
        ["[before,'after']"; 4]
    );
    // Two at a time, and never a node of the next stage before the last one is over.
    let (mut running, mut most, mut stages) = (0, 0, Vec::new());
    for event in fleet.events(&[
        "batch.started",
        "batch.finished",
        "node.started",
        "node.finished",
    ]) {
        match event["type"].as_str().expect("a type") {
            "node.started" => running += 1,
            "node.finished" => running -= 1,
            _ => {
                assert_eq!(running, 0, "{event}");
                stages.push(event["name"].as_str().expect("a name").to_owned());
            }
        }
        most = most.max(running);
    }
    assert_eq!(most, 2);
    assert_eq!(
        stages,
        [
            "canary", "canary", "batch 1", "batch 1", "batch 2", "batch 2"
        ]
    );
    let end = fleet.events(&["run.finished"]).remove(0);
    assert_eq!(
        (&end["nodes"], &end["new"], &end["untouched"]),
        (&5.into(), &5.into(), &0.into())
    );
    assert_eq!((&end["exit"], &end["ok"]), (&0.into(), &true.into()));
    let report = fleet.desk.read("report.html");
    for name in &names {
        assert!(report.contains(name), "{name} is not in the report");
    }
    assert!(report.contains("all 5 nodes run the new version"));
    let junit = fleet.desk.read("junit.xml");
    assert_eq!(junit.matches("<testsuite ").count(), 6, "{junit}");
    assert_eq!(junit.matches("name=\"rollout\"").count(), 1, "{junit}");
    // Once more: nothing to do. Then all of it back, by the rollout's name, the last node first.
    fleet.run(&[]).run().exits(0).says(&["nothing to do"]);
    let rollout = end["rollout"].as_str().expect("a name");
    // The report and the replay of all of it, from the records.
    let args = ["report", rollout, "-o", "whole.html"];
    fleet.updo(&args).run().exits(0);
    let report = fleet.desk.read("whole.html");
    for part in names
        .iter()
        .copied()
        .chain(["all 5 nodes run the new version"])
    {
        assert!(report.contains(part), "{part} is not in the report");
    }
    // What nodes have in common is there once.
    assert_eq!(report.matches("<h2>Instructions</h2>").count(), 1);
    fleet
        .updo(&["replay", rollout])
        .run()
        .exits(0)
        .prints(&names);
    // The newest first, for people and machines.
    let log = fleet.updo(&["--json", "log"]).run().exits(0).json();
    let runs: Vec<&str> = log
        .as_array()
        .expect("a list")
        .iter()
        .map(|run| run["node"].as_str().expect("a node"))
        .collect();
    assert_eq!((runs.len(), runs[4]), (5, names[0]));
    let last = fleet.updo(&["log", "--last", "1"]).run().exits(0);
    assert!(last.stdout.contains(runs[0]) && last.stdout.lines().count() == 1);
    let back = fleet.updo(&["rollback", rollout, "--yes"]).run().exits(0);
    // What the hooks did is not undone, so nothing claims to be as it was.
    let place = |name: &str| {
        back.stderr
            .find(&format!("{name}: old code and states"))
            .expect("told")
    };
    assert!(place(names[4]) < place(names[0]), "{back}");
    assert_eq!(fleet.versions(), [1; 5]);
}

#[test]
fn flags_choose_nodes_and_stages() {
    let fleet = Fleet::new(4);
    fleet.plan("rollout #{canary => 1, batch => 1, order => name}.");
    let mut names: Vec<String> = (0..4).map(|at| fleet.name(at).to_owned()).collect();
    names.sort();
    let new = || {
        let versions = fleet.versions();
        let new = (0..4)
            .filter(|at| versions[*at] == 2)
            .map(|at| fleet.name(at).to_owned());
        let mut new: Vec<String> = new.collect();
        new.sort();
        new
    };
    fleet.run(&["--canary-only"]).run().exits(0).says(&[
        "3 nodes are left",
        &format!("updo run plan.updo --from {}", names[1]),
    ]);
    assert_eq!(new(), names[..1]);
    // Once more: the canary is new, and no other node is one.
    let again = fleet.run(&["--canary-only"]).run().exits(0);
    again.says(&["the canary is new already"]);
    assert_eq!(new(), names[..1]);
    fleet.run(&["--only-node", &names[3]]).run().exits(0);
    assert_eq!(new(), [names[0].clone(), names[3].clone()]);
    let reported = fleet.run(&["--only-node", "ship@nowhere"]).run().exits(1);
    reported.says(&["E211", "none of the target's nodes"]);
    fleet
        .run(&["--from", &names[2], "--batch", "100%", "--pause", "1ms"])
        .run()
        .exits(0);
    assert_eq!(
        new(),
        [names[0].clone(), names[2].clone(), names[3].clone()]
    );
    for wrong in [["--batch", "0"], ["--batch", "120%"], ["--pause", "soon"]] {
        fleet.run(&wrong).run().exits(2);
    }
    fleet.plan("");
    fleet
        .run(&["--canary-only"])
        .run()
        .exits(2)
        .says(&["has no canary"]);
    // Without the statement: one after the other.
    fleet.run(&[]).run().exits(0);
    assert_eq!(new(), names);
}

#[test]
fn on_a_terminal_every_node_has_a_line() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{canary => 1, batch => 2, pause => confirm}.\nverify \"v\" -> 2 = fleet_rate:version().\n");
    fleet.everywhere("{slow, 1500}");
    let mut command = fleet.desk.command(UPDO);
    command.args(["run", "plan.updo", "--width", "100"]).env(
        "UPDO_EPMD_PORT",
        fleet.nodes[0].node.epmd_port().to_string(),
    );
    let mut screen = Terminal::watch(command, "xterm-256color");
    screen.await_text("Type yes:");
    screen.keys("yes\r");
    screen.await_text("0 done · 1 running · 2 waiting · 0 failed");
    screen.await_text("convert 0/1");
    screen.await_text("go on with batch 1, 2 nodes? Type yes:");
    let text = screen.text();
    assert!(
        text.contains(&format!("    canary  {}", fleet.name(0))),
        "{text}"
    );
    assert!(text.contains("verified"), "{text}");
    screen.keys("yes\r");
    screen.await_text("1 done · 2 running · 0 waiting · 0 failed");
    let text = screen.await_text("done  Fleet · 3 of 3 nodes");
    assert!(!text.contains("running"), "{text}");
    assert_eq!(fleet.versions(), [2; 3]);
    screen.end();
}

/// A line for each of many nodes would hide the one that differs.
#[test]
fn rehearsals_of_equal_nodes_are_counted() {
    let fleet = Fleet::new(6);
    fleet.plan("rollout #{canary => 1}.");
    let ran = fleet
        .run(&["--only-node", fleet.name(0)])
        .env("UPDO_NO_REHEARSAL", "0");
    ran.run().exits(0).says(&["rehearsal: 1 state tried"]);
    let rest = fleet.run(&[]).env("UPDO_NO_REHEARSAL", "0").run().exits(0);
    let rest = rest.says(&["rehearsal on 1 more node: all states convert"]);
    let lines = rest.stderr.lines();
    let named = lines.filter(|line| line.starts_with("rehearsal on ") && line.contains('@'));
    assert_eq!(named.count(), 4, "{rest}");
    assert_eq!(fleet.versions(), [2; 6]);
}

/// The agent is compiled on one of several nodes, the question for processes on one, perhaps another, and all others get
/// what these have made.
#[test]
fn one_node_compiles_for_all() {
    let fleet = Fleet::new(4);
    fleet.plan("rollout #{batch => 4}.");
    fleet.run(&[]).run().exits(0).says(&["4 of 4 nodes"]);
    assert_eq!(fleet.versions(), [2; 4]);
    // A node loads its compiler when it needs it.
    let compiles = |at: usize| {
        fleet.nodes[at]
            .node
            .eval_text("erlang:module_loaded(beam_asm)")
    };
    let compiled = (0..4).filter(|at| compiles(*at) == "true").count();
    assert!((1..=2).contains(&compiled), "{compiled}");
}
