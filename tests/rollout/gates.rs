//! `gate`: commands of the operator's machine between two stages.

use std::time::{Duration, Instant};

use crate::fleet::Fleet;

fn gated(fleet: &Fleet, more: &str, gate: &str) {
    fleet.plan(&format!(
        "rollout #{{canary => 1, batch => 1}}.\n{more}\n{gate}\n"
    ));
}

#[test]
fn a_gate_is_asked_before_each_next_stage() {
    let fleet = Fleet::new(3);
    let command = "env | grep -a ^UPDO_GATE >>asked; echo >>asked; env >>all; cat; pwd >>where";
    gated(
        &fleet,
        "",
        &format!("gate \"p99\" #{{within => 10s}} -> cmd \"{command}\"."),
    );
    // What only reads the plan shows it and does not run it.
    fleet.updo(&["check", "plan.updo"]).run().exits(0).says(&[
        "gate: p99 (`env | grep",
        "between two stages; not run by `updo check`",
    ]);
    fleet
        .updo(&["preview", "plan.updo"])
        .run()
        .exits(0)
        .prints(&["between  gate p99 (`env | grep"]);
    fleet
        .updo(&["run", "plan.updo", "--dry-run"])
        .run()
        .exits(0);
    fleet.updo(&["rehearse", "plan.updo"]).run();
    let repl = fleet
        .updo(&["repl", "plan.updo"])
        .input(":check\n:verify\n:require\n:preview\n:quit\n");
    repl.run();
    assert!(!fleet.desk.path().join("asked").exists(), "it was run");
    let ran = fleet
        .run(&["--report-junit", "junit.xml", "--report", "report.html"])
        .env("UPDO_COOKIE", &fleet.cookie())
        .env("RELEASE_COOKIE", &fleet.cookie())
        .env("ERL_FLAGS", &format!("-setcookie {}", fleet.cookie()));
    ran.run()
        .exits(0)
        .says(&["gate ok", "before=\"batch 1\" exit=0"]);
    assert_eq!(fleet.versions(), [2; 3]);
    let asked = fleet.desk.read("asked");
    let names: Vec<&str> = (0..3).map(|at| fleet.name(at)).collect();
    for (line, times) in [
        ("UPDO_GATE=p99".to_owned(), 2),
        ("UPDO_GATE_STAGE=canary".to_owned(), 1),
        ("UPDO_GATE_STAGE=batch 1".to_owned(), 1),
        ("UPDO_GATE_NEXT_STAGE=batch 2".to_owned(), 1),
        (format!("UPDO_GATE_NODES={}", names[1]), 1),
        (format!("UPDO_GATE_NEW_NODES={} {}", names[0], names[1]), 1),
        (format!("UPDO_GATE_NEXT_NODES={}", names[2]), 1),
    ] {
        let found = asked.lines().filter(|one| **one == *line).count();
        assert_eq!(found, times, "{line}: {asked}");
    }
    // Never the cookie, and in the plan's folder.
    assert!(!fleet.desk.read("all").contains(&fleet.cookie()));
    let folder = fleet.desk.path().canonicalize().expect("a folder");
    assert_eq!(fleet.desk.read("where").lines().next(), folder.to_str());
    let events = fleet.events(&["gate", "gate.started", "batch.started"]);
    let kinds: Vec<&str> = events
        .iter()
        .map(|e| e["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "batch.started",
            "gate.started",
            "gate",
            "batch.started",
            "gate.started",
            "gate",
            "batch.started"
        ]
    );
    for (name, report) in fleet.reports() {
        assert!(report.contains("p99 (before batch 1)"), "{name}");
        assert!(report.contains("p99 (before batch 2)"), "{name}");
    }
    assert!(
        fleet
            .desk
            .read("junit.xml")
            .contains("name=\"p99\" classname=\"gate\"")
    );
}

#[test]
fn a_gate_that_refuses_ends_the_rollout() {
    let fleet = Fleet::new(3);
    let gate =
        "gate \"p99\" -> cmd \"echo $UPDO_GATE_NODES is slow; echo 'p99 = 1.2s' >&2; exit 22\".";
    gated(&fleet, "", gate);
    let ran = fleet.run(&[]).run().exits(20);
    ran.says(&[
        "E646",
        "the gate `p99` does not let batch 1 begin: exit code 22",
        &format!("{} is slow", fleet.name(0)),
        "p99 = 1.2s",
        "a gate has refused: the nodes that are new go back",
        "0 of 3 nodes new · 1 undone · 2 not touched",
    ]);
    assert_eq!(fleet.versions(), [1; 3]);
    gated(&fleet, "rollback manual.", gate);
    fleet
        .run(&[])
        .run()
        .exits(21)
        .says(&["1 of 3 nodes new · 2 not touched"]);
    assert_eq!(fleet.versions(), [2, 1, 1]);
    // Nothing of the plan's text is anything else than what was written.
    gated(
        &fleet,
        "Url = \"$(touch hacked)\".",
        "gate \"no\" -> cmd \"test 'Url' = Url; nonexistent-command\".",
    );
    fleet
        .run(&[])
        .run()
        .exits(20)
        .says(&["exit code 127", "nonexistent-command"]);
}

/// Never ends, floods, forks: within its time, and nothing of it stays.
#[test]
fn hostile_commands_end_in_bounds() {
    let fleet = Fleet::new(2);
    for (command, says) in [
        ("sleep 1000", "it took longer than 1s and was ended"),
        (
            "trap '' TERM INT; while :; do sleep 1; done",
            "it took longer than 1s",
        ),
        ("yes flood", "flood"),
        (
            "(sleep 1000 &) ; setsid sleep 1000 & sleep 1000",
            "it took longer than 1s",
        ),
        (
            "for i in 1 2 3 4 5 6 7 8 9; do (while :; do sleep 0.1; done) & done; exit 1",
            "exit code 1",
        ),
        ("kill -SEGV $$", "ended by signal 11"),
    ] {
        gated(
            &fleet,
            "rollback manual.",
            &format!("gate \"g\" #{{within => 1s}} -> cmd \"{command}\"."),
        );
        let began = Instant::now();
        let ran = fleet.run(&[]).run().exits(21);
        let ran = ran.says(&["E646", says]);
        assert!(began.elapsed() < Duration::from_secs(20), "{command}");
        assert!(ran.stderr.len() < 20_000, "{command}");
        assert_eq!(fleet.versions(), [2, 1]);
        assert_eq!(children_of(&fleet), Vec::<String>::new(), "{command}");
        fleet.updo(&["rollback", "--yes"]).run().exits(0);
    }
}

#[test]
fn ctrl_c_ends_a_gate_and_its_children() {
    let fleet = Fleet::new(2);
    gated(
        &fleet,
        "",
        "gate \"g\" #{within => 10m} -> cmd \"touch begun; setsid sleep 1000 & sleep 1000\".",
    );
    let mut running = fleet.run(&[]).start();
    running.await_says("gate the gate g is asked");
    let begun = Instant::now();
    while !fleet.desk.path().join("begun").exists() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not begun");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.signal("-INT");
    let began = Instant::now();
    running
        .wait()
        .exits(22)
        .says(&["E620", "1 of 2 nodes new · 1 not touched"]);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(fleet.versions(), [2, 1]);
    assert_eq!(children_of(&fleet), Vec::<String>::new());
}

/// Processes that run in the folder of the desk: a gate's, if any.
fn children_of(fleet: &Fleet) -> Vec<String> {
    let folder = fleet.desk.path().canonicalize().expect("a folder");
    let entries = std::fs::read_dir("/proc").expect("a file system").flatten();
    let ours = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    });
    ours.map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
        .collect()
}

/// On a terminal: what runs, for how long, and how to end it; afterwards one line for each gate.
#[test]
fn a_terminal_shows_the_gate_that_runs() {
    let fleet = Fleet::new(2);
    gated(
        &fleet,
        "gate \"quick\" -> cmd \"true\".",
        "gate \"g\" #{within => 10m} -> cmd \"sleep 1000\".",
    );
    let mut command = fleet.desk.command(crate::support::desk::UPDO);
    command.args(["run", "plan.updo", "--yes"]).env(
        "UPDO_EPMD_PORT",
        fleet.nodes[0].node.epmd_port().to_string(),
    );
    let mut screen = crate::support::terminal::Terminal::watch(command, "xterm-256color");
    let text = screen.await_text("of 10m00s, before batch 1");
    assert!(text.contains("gate  g: "), "{text}");
    assert!(text.contains("quick (before batch 1)"), "{text}");
    assert!(text.contains("Ctrl-C=stop here"), "{text}");
    screen.keys(crate::support::terminal::CTRL_C);
    screen.await_text("1 of 2 nodes new · 1 not touched");
    let ended = screen.end();
    assert!(ended.contains("22"), "{ended}");
    assert_eq!(fleet.versions(), [2, 1]);
}
