//! `updo run` asks before it does anything, and takes only the word `yes`.

use std::process::Stdio;

use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Ran, UPDO, Updo};
use crate::support::free_port;
use crate::waiting::{desk, untouched, waiting};

#[test]
fn without_a_terminal_no_connection_is_made() {
    let desk = desk();
    // Nothing listens at this port: had it tried to connect, it would have ended with 10.
    let port = free_port().to_string();
    for no_terminal in [None, Some("yes\n")] {
        let mut command = desk
            .updo(&["run", "shop.updo", "-t", "shop@localhost"])
            .env("UPDO_EPMD_PORT", &port);
        if let Some(text) = no_terminal {
            command = command.input(text);
        }
        command
            .run()
            .exits(2)
            .says(&["E801", "standard input is not a terminal", "--yes"]);
    }
}

/// Scripts say `1`, as everywhere.
#[test]
fn switches_of_the_environment_are_words_or_numbers() {
    let desk = desk();
    for (name, value) in [
        ("UPDO_NO_INPUT", "1"),
        ("UPDO_NO_INPUT", "0"),
        ("UPDO_YES", "1"),
    ] {
        desk.updo(&["check", "shop.updo"])
            .env(name, value)
            .run()
            .exits(0);
    }
    let port = free_port().to_string();
    desk.updo(&["run", "shop.updo", "-t", "shop@localhost"])
        .env("UPDO_EPMD_PORT", &port)
        .env("UPDO_YES", "1")
        .run()
        .exits(10);
}

#[test]
fn no_input_on_a_terminal() {
    let (deployed, desk) = (waiting(), desk());
    let ran = typed(&desk, &deployed, "run shop.updo --no-input", "yes\n").exits(2);
    ran.prints(&["standard input is not a terminal"]);
    untouched(&deployed);
}

/// Runs updo on a pseudo-terminal, made by util-linux's script(1), and types. All output is in `stdout`.
fn typed(desk: &Desk, deployed: &Deployed, arguments: &str, text: &str) -> Ran {
    let found = std::process::Command::new("script")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "util-linux's script(1) is needed for this test"
    );
    let mut command = desk.command("script");
    command
        .args([
            "-qec",
            &format!("{UPDO} {arguments} -t {}", deployed.node.name()),
            "/dev/null",
        ])
        .env("UPDO_EPMD_PORT", deployed.node.epmd_port().to_string())
        .env("TERM", "dumb");
    Updo::of(desk, command).input(text).run()
}

#[test]
fn anything_but_yes_is_a_no() {
    let (deployed, desk) = (waiting(), desk());
    for answer in ["no\n", "y\n", "Yes\n", "yes please\n", "\n"] {
        let ran = typed(&desk, &deployed, "run shop.updo", answer).exits(14);
        ran.prints(&["Run it? Type yes:", "not run", "nothing was changed"]);
        untouched(&deployed);
    }
}

#[test]
fn a_typed_yes_runs_the_plan() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let text = format!(
        "plan \"Bank 2\".\ncode push [{:?}].\nmodule bank_account #{{change => {{advanced, fine}}}} because \"it must be\".\n",
        bank().two
    );
    desk.write("bank.updo", &text);
    let ran = typed(&desk, &deployed, "run bank.updo", "yes\n").exits(0);
    ran.prints(&[
        "bank_account",
        "3 modules switched, 8 processes suspended. Run it? Type yes:",
        "done",
    ]);
    assert_eq!(
        deployed
            .node
            .eval_text("maps:get(version, bank_account:ask(3))"),
        "2"
    );
    assert_eq!(deployed.node.eval_text("witness:left_to(3000)"), "[]");
}

/// Quiet: the last line alone, enough for a chat message; an error is loud all the same.
#[test]
fn quiet_success_loud_failure() {
    let deployed = Deployed::bank();
    let desk = Desk::new();
    let plan = |extra: &str| {
        let text = format!(
            "plan \"Bank 2\".\ncode push [{:?}]. old from {:?}.\n\
             module bank_account #{{change => {{advanced, {extra}}}}} because \"it must be\".\n",
            bank().two,
            bank().one
        );
        desk.write("bank.updo", &text);
    };
    plan("{fail, 1, error}");
    let run = || {
        desk.on(&deployed.node, &["run", "bank.updo", "--yes", "-q"])
            .run()
    };
    run().exits(20).says(&["E604", "is as before"]);
    plan("fine");
    let ran = run().exits(0);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.trim().lines().count(), 1, "{ran}");
    assert!(ran.stderr.trim().starts_with("done  Bank 2 · "), "{ran}");
}
