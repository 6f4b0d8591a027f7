//! What a run looks like while it goes on: in a terminal, in a log, to GitHub Actions and as test cases.

use std::process::Command;

use crate::bank::{Is, Plan, await_standing, is, pids_of, replaced};
use crate::support::TestNode;
use crate::support::desk::{Desk, UPDO};
use crate::support::terminal::{CTRL_C, Terminal};

fn command(desk: &Desk, node: &TestNode, args: &[&str]) -> Command {
    let mut command = desk.command(UPDO);
    command
        .args(args)
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
        .env("UPDO_TARGET", node.name());
    command
}

/// The block shows the slow one, `s` shows more, a stalled step is reported, and nothing of it is left in the end.
#[test]
fn a_run_on_the_screen_of_a_terminal() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let slow = node.eval_text("whereis(bank_account_4)");
    let plan = Plan::on_disk("{slow, 4, 7000}")
        .account("timeout => 30s")
        .with("deadline 2m.\nverify \"rates\" -> 2 = bank_rate:rate().")
        .on(&desk);
    let mut command = command(&desk, node, &["run", &plan, "--yes"]);
    command.env("TERM_PROGRAM", "WezTerm");
    let mut terminal = Terminal::watch(command, "xterm-256color");
    let screen = terminal.await_text("7/8");
    let block: Vec<&str> = screen.trim_end().lines().rev().take(3).collect();
    assert!(block[2].contains("convert  ▸"), "{screen}");
    assert!(
        block[2].contains("bank_account  7/8  █████████████████▌··"),
        "{screen}"
    );
    assert!(block[1].contains(&format!("slowest {slow} ")), "{screen}");
    assert!(block[1].contains("in bank_account:slowly/2"), "{screen}");
    for part in [
        "step 4/5",
        "suspended",
        "deadline 1m5",
        "s=status",
        "Ctrl-C=stop",
    ] {
        assert!(block[0].contains(part), "{part}: {screen}");
    }
    terminal.keys("s");
    let screen = terminal.await_text("7 of 8 processes done");
    // What was typed is not shown, and the block is below what was reported.
    let diagnostic = screen.find("7 of 8").expect("told");
    assert!(screen[diagnostic..].contains("s=status"), "{screen}");
    terminal.await_text("no progress for 5");
    assert!(terminal.end().ends_with(", 0)"), "{}", terminal.text());
    let screen = terminal.text();
    for gone in ["▸", "s=status"] {
        assert!(!screen.contains(gone), "{gone}: {screen}");
    }
    for (first, second) in [
        ("prepare  ✓", "suspend  ✓"),
        ("convert  ✓", "resume  ✓"),
        ("verify  ✓", "done  Bank 2"),
    ] {
        assert!(
            screen
                .find(first)
                .is_some_and(|at| screen[at..].contains(second)),
            "{screen}"
        );
    }
    let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
    assert!(raw.contains("\x1b]9;4;1;") && raw.contains("\x1b]9;4;0;0\x1b\\"));
    is(node, Is::New, &pids);
}

/// A server that is busy while the suspension waits: named with what it does, in the block, to `s` and in the stream.
#[test]
fn a_suspension_that_waits() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let busy = node.eval_text("whereis(bank_account_3)");
    let plan = Plan::on_disk("fine").account("timeout => 30s").on(&desk);
    node.eval("bank_account:busy(3, 9000)");
    let args = [
        "run", &plan, "--yes", "--events", "e.jsonl", "--report", "r.html",
    ];
    let mut terminal = Terminal::watch(command(&desk, node, &args), "xterm-256color");
    let screen = terminal.await_text("slowest");
    let block: Vec<&str> = screen.trim_end().lines().rev().take(3).collect();
    assert!(block[2].contains("suspend  ▸"), "{screen}");
    assert!(block[2].contains("bank_account  0/8  "), "{screen}");
    assert!(block[1].contains(&format!("slowest {busy} ")), "{screen}");
    assert!(
        block[1].contains("in bank_account:count_coins/1"),
        "{screen}"
    );
    terminal.keys("s");
    let screen = terminal.await_text("0 of 8 processes done");
    let diagnostic = screen.find("0 of 8").expect("told");
    let named = format!("{busy} ");
    assert!(screen[diagnostic..].contains(&named), "{screen}");
    assert!(terminal.end().ends_with(", 0)"), "{}", terminal.text());
    let progress: Vec<serde_json::Value> = desk
        .read("e.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &serde_json::Value| line["type"] == "step.progress")
        .collect();
    // The report says it below its picture.
    let named = format!(
        "suspend waited for <code>&lt;{}&gt; ",
        busy.trim_matches(['<', '>'])
    );
    assert!(desk.read("r.html").contains(&named));
    // Between two attempts nothing is suspended. Once a second, in those seconds only in which it was waited for.
    assert!((1..=9).contains(&progress.len()), "{progress:?}");
    for (at, line) in progress.iter().enumerate() {
        assert_eq!((&line["done"], &line["total"]), (&0.into(), &8.into()));
        // The last second may end in the moment in which it answers.
        if at > 0 && at + 1 == progress.len() && line["slowest"][0].is_null() {
            continue;
        }
        assert_eq!(line["slowest"][0]["pid"], busy.as_str());
        assert_eq!(line["slowest"][0]["at"], "bank_account:count_coins/1");
        let message = line["message"].as_str().expect("text");
        assert!(
            message.contains(&format!("0 of 8, slowest {busy} ")),
            "{message}"
        );
    }
    is(node, Is::New, &pids);
}

/// The heartbeat of a log names it as well.
#[test]
fn a_suspension_that_waits_in_a_pipeline() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let busy = node.eval_text("whereis(bank_account_3)");
    let plan = Plan::on_disk("fine").account("timeout => 30s").on(&desk);
    node.eval("bank_account:busy(3, 16000)");
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    let beat = format!(
        " suspend running 10s bank_account 0/8 slowest={busy} in bank_account:count_coins/1\n"
    );
    assert!(ran.stderr.contains(&beat), "{ran}");
    is(node, Is::New, &pids);
}

/// Ctrl-C is still one, and the terminal is as it was before.
#[test]
fn interrupted_in_a_terminal() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine")
        .account("timeout => 30s")
        .with("budget infinity.\n")
        .on(&desk);
    node.eval("bank_account:busy(3, 60000)");
    let script = format!(
        "stty -g > before; {UPDO} run {plan} --yes; echo EXIT $?; stty -g > after; echo FINIS"
    );
    let mut command = desk.command("bash");
    command
        .args(["-c", &format!("trap '' INT; (trap - INT; {script})")])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
        .env("UPDO_TARGET", node.name());
    let mut terminal = Terminal::watch(command, "xterm-256color");
    terminal.await_text("suspend  ▸");
    await_standing(node);
    terminal.keys(CTRL_C);
    let screen = terminal.await_text("aborting");
    assert!(!screen.contains("^C"), "{screen}");
    let screen = terminal.await_text("FINIS");
    assert!(screen.contains("EXIT 14"), "{screen}");
    assert_eq!(desk.read("before"), desk.read("after"));
    node.eval("bank_account_3 ! enough");
    is(node, Is::Old, &pids);
}

/// Nothing is drawn anew with --quiet, and in a terminal that cannot go back.
#[test]
fn a_terminal_that_cannot_go_back_gets_lines() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::new();
    for (term, args) in [
        ("dumb", &[][..]),
        ("xterm-256color", &["--quiet", "--color=never"]),
    ] {
        let plan = Plan::on_disk("{slow, 4, 1200}").on(&desk);
        let args = [&["run", &plan, "--yes"], args].concat();
        let mut terminal = Terminal::watch(command(&desk, node, &args), term);
        terminal.end();
        let raw = String::from_utf8_lossy(&terminal.raw).into_owned();
        assert!(!raw.contains('\x1b') && !raw.contains('▸'), "{raw}");
        assert_eq!(raw.contains("convert  ✓"), term == "dumb", "{raw}");
        assert!(raw.contains("done  Bank 2"), "{raw}");
        desk.on(node, &["rollback", "--yes"]).run().exits(0);
    }
}

/// No terminal: a line per step, a heartbeat, groups and annotations for GitHub, test cases, a summary.
#[test]
fn a_run_in_a_pipeline() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let plan = Plan::on_disk("{slow, 4, 10500}")
        .account("timeout => 30s")
        .with("require \"a \\\"quoted\\\" <rate>\" -> 1 = bank_rate:rate().\n")
        .on(&desk);
    let args = [
        "run",
        &plan,
        "--yes",
        "--report-junit",
        "j.xml",
        "--events",
        "e.jsonl",
    ];
    let ran = desk
        .on(node, &args)
        .env("GITHUB_ACTIONS", "true")
        .arg("--log-file=t.log")
        .env(
            "GITHUB_STEP_SUMMARY",
            &desk.write("summary.md", "before\n").display().to_string(),
        )
        .run()
        .exits(0);
    assert!(!ran.stderr.contains('\x1b'), "{ran}");
    let name = node.name();
    let mut last = 0;
    for part in [
        format!("::group::{name}\n"),
        format!("Z {name} require ok 0."),
        " \"a \\\"quoted\\\" <rate>\"\n".to_owned(),
        format!("Z {name} suspend ok 0."),
        "s bank_account processes=8\n".to_owned(),
        format!("Z {name} convert running 10s bank_account 7/8 slowest=<"),
        " in bank_account:slowly/2\n".to_owned(),
        format!("Z {name} convert ok 10."),
        format!("Z {name} resume ok 0."),
        "::endgroup::\ndone  Bank 2".to_owned(),
    ] {
        let at = ran.stderr[last..].find(&part);
        last += at.unwrap_or_else(|| panic!("`{part}`: {ran}"));
    }
    let clock = ran
        .stderr
        .lines()
        .find(|line| line.contains(" suspend ok "));
    let clock: Vec<char> = clock.expect("a line").chars().take(9).collect();
    let shape: String = clock
        .iter()
        .map(|c| if c.is_ascii_digit() { '0' } else { *c })
        .collect();
    assert_eq!(shape, "00:00:00Z");
    // The trace has the messages, without what they say.
    let trace = desk.read("t.log");
    assert!(trace.contains("] message {updo,_,"), "{trace}");
    assert!(
        trace.contains("step_progress") && !trace.contains("slowly"),
        "{trace}"
    );
    // The slow one is in the stream as well.
    assert!(
        desk.read("e.jsonl")
            .contains("\"at\":\"bank_account:slowly/2\"")
    );

    let xml = desk.read("j.xml");
    well_formed(&desk, "j.xml");
    for part in [
        "failures=\"0\"",
        "name=\"a &quot;quoted&quot; &lt;rate&gt;\" classname=\"require\"",
        "name=\"convert bank_account\" classname=\"step\" time=\"10.",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    let summary = desk.read("summary.md");
    assert!(summary.starts_with("before\n### Bank 2\n"), "{summary}");
    assert!(summary.contains("| new | 10."), "{summary}");
    is(node, Is::New, &pids);
}

/// A failure is an annotation at its line of the plan, a failed case, and a row of the summary.
#[test]
fn a_failure_in_a_pipeline() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{fail, 5, error}").on(&desk);
    let args = ["run", &plan, "--yes", "--report-junit", "j.xml"];
    let ran = desk
        .on(node, &args)
        .env("GITHUB_ACTIONS", "true")
        .env(
            "GITHUB_STEP_SUMMARY",
            &desk.path().join("new.md").display().to_string(),
        )
        .run()
        .exits(20);
    let annotation = ran
        .stderr
        .lines()
        .find(|line| line.starts_with("::error file="));
    let annotation = annotation.unwrap_or_else(|| panic!("{ran}"));
    assert!(annotation.contains("bank.updo,line=3,col="), "{annotation}");
    assert!(annotation.contains(",title=E604::"), "{annotation}");
    well_formed(&desk, "j.xml");
    let xml = desk.read("j.xml");
    assert!(xml.contains("<failure message=\"E604: "), "{xml}");
    assert!(
        desk.read("new.md")
            .contains("exit 20: failed and undone completely")
    );
    is(node, Is::Old, &pids);
    // No node can be reached: there is a document all the same.
    let args = [
        "run",
        &plan,
        "--yes",
        "--report-junit",
        "j.xml",
        "--events",
        "e.jsonl",
        "-t",
        "nobody@127.0.0.1",
    ];
    desk.updo(&args)
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .run()
        .exits(10);
    well_formed(&desk, "j.xml");
    assert!(desk.read("j.xml").contains("exit 10: cannot connect"));
    assert!(desk.read("e.jsonl").contains("\"ok\":false,\"exit\":10,"));
    // Without --yes and a terminal there is no answer.
    desk.on(node, &["run", &plan])
        .run()
        .exits(2)
        .says(&["add --yes"]);
    // No UTF-8: not a character beyond ASCII.
    let ran = desk
        .on(node, &["run", &plan, "--yes"])
        .env("LC_ALL", "C")
        .run()
        .exits(20);
    assert!(ran.stderr.is_ascii(), "{ran}");
}

/// OTP's own parser reads it.
fn well_formed(desk: &Desk, name: &str) {
    let read = "{ok, _, _} = xmerl_sax_parser:file(hd(init:get_plain_arguments()), []), halt().";
    let status = Command::new("erl")
        .args(["-noinput", "-eval", read, "-extra", name])
        .current_dir(desk.path())
        .status();
    assert!(status.expect("erl starts").success(), "{}", desk.read(name));
}
