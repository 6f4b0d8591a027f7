//! Every screen of one node as it is: `tests/screens`.

use crate::bank::{Plan, await_standing, nothing_left, replaced};
use crate::live::purse;
use crate::rehearsal::Stage;
use crate::support::TestNode;
use crate::support::desk::{Desk, UPDO};
use crate::support::screens::{Screens, quoted};
use crate::support::terminal::Terminal;

#[test]
fn every_screen_is_as_its_snapshot() {
    let deployed = replaced();
    let node = &deployed.node;
    let desk = Desk::new();
    let known = [
        (
            quoted(
                &deployed
                    .ebin
                    .parent()
                    .expect("a folder")
                    .display()
                    .to_string(),
            ),
            "NODE",
        ),
        (quoted(node.name()), "bank@host"),
        (format!(r"\b{}\b", quoted(node.short())), "bank"),
        (format!(r"\b{}\b", node.epmd_port()), "PORT"),
    ];
    let mut all = Screens::new(&desk, "bank.updo", &known);
    let screens = &mut all;
    fn shows(
        screens: &mut Screens<'_>,
        (desk, node): (&Desk, &TestNode),
        name: &str,
        args: &[&str],
        code: i32,
    ) {
        screens.shows(name, desk.on(node, args), args, code);
    }
    let on = (&desk, node);
    let plan = |extra: &str| {
        Plan::on_disk(extra)
            .with("deadline 2m.\nrequire \"rates\" -> 1 = bank_rate:rate().\nverify \"new rates\" -> 2 = bank_rate:rate().")
            .on(&desk);
    };
    plan("fine");
    shows(screens, on, "doctor", &["doctor", node.name()], 0);
    shows(screens, on, "status", &["status", "bank.updo"], 0);
    shows(screens, on, "preview", &["preview", "bank.updo"], 0);
    shows(screens, on, "diff", &["diff", "bank.updo"], 0);
    shows(screens, on, "graph", &["graph", "bank.updo"], 0);
    shows(
        screens,
        on,
        "explain",
        &["explain", "bank.updo", "bank_account"],
        0,
    );
    shows(
        screens,
        on,
        "explain-before",
        &[
            "explain",
            "bank.updo",
            "bank_rate",
            "before",
            "bank_account",
        ],
        0,
    );
    shows(screens, on, "explain-code", &["explain", "E604"], 0);
    shows(screens, on, "run-not-asked", &["run", "bank.updo"], 2);
    plan("{fail, 5, error}");
    shows(
        screens,
        on,
        "run-failed",
        &["run", "bank.updo", "--yes"],
        20,
    );
    plan("{slow, 3000}");
    let slow = desk.on(node, &["run", "bank.updo", "--yes"]).start();
    await_standing(node);
    shows(
        screens,
        on,
        "run-locked",
        &["run", "bank.updo", "--yes"],
        13,
    );
    slow.wait().exits(0);
    shows(screens, on, "rollback", &["rollback", "--yes"], 0);
    plan("fine");
    shows(screens, on, "run", &["run", "bank.updo", "--yes"], 0);
    shows(
        screens,
        on,
        "run-nothing",
        &["run", "bank.updo", "--yes"],
        0,
    );
    shows(screens, on, "log", &["log"], 0);
    shows(screens, on, "replay", &["replay"], 0);
    // The same in a terminal.
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    let mut command = desk.command(UPDO);
    command
        .args(["run", "bank.updo", "--yes", "--color=never"])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
        .env("UPDO_TARGET", node.name());
    let mut terminal = Terminal::watch(command, "xterm-256color");
    terminal.end();
    let text = screens.filtered(&terminal.text());
    let steps = text.split("(--yes)\n").nth(1).expect("a question");
    screens.compare("run-terminal", &format!("{steps}\n"));
    nothing_left(node);

    desk.write(
        "bank.updo",
        "plan \"Bank 2\".\ntarget bank #{nodes => [bank]}.\ncode on_disc.\nmodule bank_account #{chnage => soft}.\nverify \"v\" -> ok = bank:f(.\n",
    );
    shows(screens, on, "check", &["check", "bank.updo"], 1);
    all.end();
}

/// What only a stage knows.
fn on_stage(stage: &Stage) -> [(String, &'static str); 5] {
    [
        (quoted(&stage.folder().display().to_string()), "FOLDER"),
        (quoted(stage.node.name()), "shop@host"),
        (format!(r"\b{}\b", quoted(stage.node.short())), "shop"),
        (r"\b\d+(\.\d+)? (B|kB|KB)\b".to_owned(), "SIZE"),
        (r"at least about".to_owned(), "about"),
    ]
}

/// The screens of what is tried first, and of windows in which processes go on.
#[test]
fn every_screen_of_rehearsals_and_live_windows() {
    let start = "persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, 20)])";
    let torn = "code_change(_, {1, 7, _}, _) -> error(torn);";
    let stage = Stage::planned(&[purse(1, "")], &[purse(2, torn)], start, "");
    let (desk, node) = (&stage.desk, &stage.node);
    let folder = stage.folder().display().to_string();
    let mut screens = Screens::new(desk, "tills.updo", &on_stage(&stage));
    let mut shows = |name: &str, args: &[&str], code: i32| {
        screens.shows(name, desk.on(node, args), args, code);
    };
    let push = format!("{folder}/two/ebin/*.beam");
    shows("new", &["new", node.name(), "--push", &push], 0);
    shows("rehearse-failed", &["rehearse", "tills.updo"], 15);
    shows("run-rehearsal-failed", &["run", "tills.updo", "--yes"], 15);
    screens.end();
    drop(stage);

    let stage = Stage::planned(&[purse(1, "")], &[purse(2, "")], start, "window live.");
    let (desk, node) = (&stage.desk, &stage.node);
    let mut live = Screens::new(desk, "tills.updo", &on_stage(&stage));
    let mut shows = |name: &str, args: &[&str], code: i32| {
        live.shows(name, desk.on(node, args), args, code);
    };
    shows("rehearse", &["rehearse", "tills.updo"], 0);
    shows("run-live", &["run", "tills.updo", "--yes"], 0);
    live.end();
}
