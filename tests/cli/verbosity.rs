//! How much is said, how wide and in which colours; and the trace of what goes over a connection.

use std::process::Command;

use crate::support::desk::{Desk, Ran, Updo};
use crate::support::terminal::Terminal;
use crate::support::{COOKIE, TestNode};

/// A plan with an override without a reason (advice) and one that is an error.
const ADVICE: &str = "code on_disk.\nmodule shop #{class => server}.\n";
const WRONG: &str = "code on_disk.\nfrobnicate the_whole_shop_and_everything_in_it because it is Tuesday and nobody objected.\n";

#[test]
fn quiet_and_verbose_choose_what_is_reported() {
    let desk = Desk::new();
    desk.write("p.updo", ADVICE);
    let reported = |args: &[&str]| {
        desk.updo(&[&["check", "p.updo"], args].concat())
            .run()
            .exits(0)
    };
    assert!(!reported(&[]).stderr.contains("A311"));
    assert!(reported(&["-v"]).stderr.contains("A311"));
    assert_eq!(reported(&["-q"]).stderr, "");
    // Errors are always reported.
    desk.write("w.updo", WRONG);
    desk.updo(&["check", "-q", "w.updo"])
        .run()
        .exits(1)
        .says(&["E10"]);
}

/// `-vv` and `--log-file`: connections, calls and answers; no value, no cookie.
#[test]
fn a_trace_has_calls_and_answers_but_no_values() {
    let node = TestNode::shared();
    let desk = Desk::new();
    let eval = |text: &str| desk.eval(&node, text);
    let loud = eval("lists:sum([471108154711, 471108154711]).")
        .arg("-vv")
        .run()
        .exits(0);
    assert_eq!(loud.stdout, "942216309422\n");
    let loud = loud.says(&[
        &format!("trace  connect {}", node.name()),
        &format!("trace  connected to {}", node.name()),
        "trace  call    lists:sum/1, ",
        "trace  answer  lists:sum/1: returned in ",
    ]);
    assert!(
        !loud.stderr.contains("471108154711") && !loud.stderr.contains("942216309422"),
        "{loud}"
    );
    let once = eval("1 + 1.").arg("-v").run().exits(0);
    assert!(!once.stderr.contains("trace"), "{once}");

    // The file is appended to, and has the time and the node.
    for _ in 0..2 {
        let ran = eval("lists:sum([471108154711]).")
            .arg("--log-file=t.log")
            .run()
            .exits(0);
        assert!(!ran.stderr.contains("trace"), "{ran}");
    }
    let log = desk.read("t.log");
    let calls = log
        .lines()
        .filter(|line| line.contains("] call    lists:sum/1"));
    assert_eq!(calls.count(), 2, "{log}");
    assert!(log.lines().all(|line| line.contains("Z [")), "{log}");
    assert!(
        !log.contains("471108154711") && !log.contains(COOKIE),
        "{log}"
    );
    // A wrong cookie is not in it either, and the refusal is.
    let path = desk.path().join("wrong");
    crate::support::write_cookie(&path, "some_other_cookie");
    let path = path.display().to_string();
    let args = ["--log-file=wrong.log", "--cookie-file", &path];
    let refused = args
        .iter()
        .fold(eval("1."), |updo, arg| updo.arg(arg))
        .run();
    refused.exits(10);
    let log = desk.read("wrong.log");
    assert!(log.contains("refused") && log.contains("E502"), "{log}");
    assert!(!log.contains("some_other_cookie"), "{log}");
    // One that cannot be written is reported before anything is done.
    let ran = eval("1.").arg("--log-file=no/such/folder").run().exits(2);
    ran.says(&["E802", "no/such/folder"]);
}

fn widest(ran: &Ran) -> usize {
    ran.stderr
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

#[test]
fn width_comes_from_flag_environment_and_terminal() {
    let desk = Desk::new();
    desk.write(
        "p.updo",
        "plan \"p\".\ncode on_disk.\nrequire \"a\" -> X.\nrequire \"a rather long name for a thing\" #{within => a_thing_that_is_no_time_at_all, evry => 1s} -> 1 = 1.\n",
    );
    let check = |args: &[&str]| desk.updo(&[&["check", "p.updo"], args].concat());
    let narrow = check(&["--width", "60"]).run().exits(1);
    let wide = check(&["--width", "200"]).run().exits(1);
    assert_ne!(narrow.stderr, wide.stderr);
    assert!(
        narrow.stderr.lines().count() >= wide.stderr.lines().count(),
        "{narrow}"
    );
    assert!(widest(&wide) >= widest(&narrow), "{wide}");
    // The flag is stronger than the environment, which is stronger than nothing.
    let by_env = check(&[]).env("COLUMNS", "60").run().exits(1);
    assert_eq!(by_env.stderr, narrow.stderr);
    let by_flag = check(&["--width", "200"])
        .env("COLUMNS", "60")
        .run()
        .exits(1);
    assert_eq!(by_flag.stderr, wide.stderr);
    // Nonsense is bounded.
    check(&["--width", "0"]).run().exits(1);
    check(&["--width", "99999999"]).run().exits(1);
}

#[test]
fn colours_follow_flag_and_environment() {
    let desk = Desk::new();
    desk.write("w.updo", WRONG);
    let coloured = |args: &[&str], env: &[(&str, &str)]| {
        let updo = desk.updo(&[&["check", "w.updo"], args].concat());
        let updo = env
            .iter()
            .fold(updo, |updo: Updo<'_>, (name, value)| updo.env(name, value));
        updo.run().exits(1).stderr.contains("\x1b[")
    };
    assert!(!coloured(&[], &[]));
    assert!(coloured(&["--color=always"], &[]));
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[], &[("CLICOLOR_FORCE", "0")]));
    assert!(!coloured(
        &[],
        &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]
    ));
    // An empty NO_COLOR is none (no-color.org).
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]));
    assert!(coloured(&["--color=always"], &[("NO_COLOR", "1")]));
    assert!(!coloured(&["--color=never"], &[("CLICOLOR_FORCE", "1")]));
    // In a terminal there are colours, unless they are turned off or it cannot.
    let in_terminal = |term: &str, env: &[(&str, &str)]| {
        let mut command: Command = desk.command(crate::support::desk::UPDO);
        command.args(["check", "w.updo"]).envs(env.iter().copied());
        let mut terminal = Terminal::watch(command, term);
        terminal.end();
        assert!(
            terminal.text().contains("frobnicate"),
            "{}",
            terminal.text()
        );
        terminal.raw.windows(2).any(|two| two == b"\x1b[")
    };
    assert!(in_terminal("xterm", &[]));
    assert!(!in_terminal("xterm", &[("NO_COLOR", "1")]));
    assert!(!in_terminal("dumb", &[]));
}
