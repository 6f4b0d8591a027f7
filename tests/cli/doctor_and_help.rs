//! Help for people: the doctor, completions, manual pages.

use std::process::{Command, Stdio};

use crate::support::desk::Desk;
use crate::support::{Options, TestNode};
use crate::waiting::{desk, untouched, waiting};

#[test]
fn the_doctor_goes_step_by_step() {
    let node = Options::default().start();
    let desk = Desk::new();
    let reported = desk.on(&node, &["doctor", node.name()]).run().exits(0);
    for step in [
        "settings",
        "name",
        "way",
        "host",
        "epmd",
        "port",
        "cookie",
        "handshake",
        "erpc",
        "permits",
        "node",
        "helpers",
        "lock",
        "last run",
        "left",
        "round trip",
    ] {
        let line = reported
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(step));
        let line = line.unwrap_or_else(|| panic!("{step}: {}", reported.stdout));
        assert!(line.contains('✓'), "{line}");
    }
    assert!(
        reported.stdout.contains("state folder")
            && reported.stdout.contains("(env UPDO_STATE_DIR)"),
        "{}",
        reported.stdout
    );
    assert!(
        reported.stdout.contains("interactive mode")
            && reported.stdout.contains("sasl does not run"),
        "{}",
        reported.stdout
    );

    let json = desk
        .on(&node, &["doctor", node.name(), "--json"])
        .run()
        .exits(0);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(document[0]["steps"].as_array().map(Vec::len), Some(17));
}

/// A node alone, and for machines.
#[test]
fn the_status_of_a_node() {
    let (deployed, desk) = (waiting(), desk());
    let node = deployed.node.name();
    let reported = desk.on(&deployed.node, &["status"]).run().exits(0);
    reported.prints(&[
        &format!("{node}: OTP "),
        "  lock     free\n",
        "  changed  shop_price  no way back\n",
        "  new      shop_round\n",
    ]);
    // With the plan there is a way back.
    let args = ["status", "shop.updo", "--json"];
    let reported = desk.on(&deployed.node, &args).run().exits(0).json();
    assert_eq!(reported[0]["lock"], "free");
    assert_eq!(reported[0]["last"], serde_json::Value::Null);
    let changes = reported[0]["changes"].as_array().expect("a list");
    assert_eq!(changes.len(), 9);
    assert!(
        changes.iter().all(|change| change["way_back"] == true),
        "{reported}"
    );
    desk.updo(&["status"])
        .run()
        .exits(2)
        .says(&["updo status -t NODE"]);
    untouched(&deployed);
}

#[test]
fn a_plan_alone_is_no_command() {
    let desk = desk();
    let ran = desk.updo(&["--width", "80", "shop.updo"]).run().exits(2);
    ran.says(&["E801", "updo preview shop.updo"]);
    desk.updo(&["shop.upd"])
        .run()
        .exits(2)
        .says(&["unrecognized"]);
    let version = desk.updo(&["version"]).run().exits(0);
    assert_eq!(
        version.stdout,
        concat!("updo ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let version = desk.updo(&["version", "--json"]).run().exits(0).json();
    assert_eq!(version["updo"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_doctor_stops_where_it_fails() {
    let node = TestNode::start();
    let desk = Desk::new();
    let unknown = node.name().replacen('x', "y", 1);
    let reported = desk.on(&node, &["doctor", &unknown]).run().exits(10);
    assert!(reported.stdout.contains("epmd  ✓"), "{}", reported.stdout);
    assert!(
        reported.stdout.contains("handshake  ✗"),
        "{}",
        reported.stdout
    );
    reported.says(&["E501", node.short()]);
    let no_host = desk.on(&node, &["doctor", "shop"]).run();
    no_host.exits(10);
}

/// What a shell would get: the words typed, the last one to be completed.
fn completed(desk: &Desk, words: &[&str]) -> Vec<String> {
    let out = Command::new(env!("CARGO_BIN_EXE_updo"))
        .args(["--", "updo"])
        .args(words)
        .current_dir(desk.path())
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .env("_CLAP_IFS", "\n")
        .env("UPDO_STATE_DIR", desk.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .expect("updo starts");
    assert!(out.status.success(), "{out:?}");
    assert!(out.stderr.is_empty(), "{out:?}");
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn shells_complete_plans_targets_parameters_and_codes() {
    let desk = Desk::new();
    desk.write(
        "shop.updo",
        "plan \"x\".\nparam Batch :: integer.\nparam Seed :: node.\n\
         target shop #{nodes => ['a@h']}.\ntarget chat #{nodes => ['b@h']}.\n",
    );
    desk.write("notes.txt", "");
    std::fs::create_dir(desk.path().join("sets")).expect("can be made");
    assert_eq!(completed(&desk, &["run", "s"]), ["sets/", "shop.updo"]);
    assert_eq!(completed(&desk, &["run", "n"]), Vec::<String>::new());
    assert_eq!(
        completed(&desk, &["run", "shop.updo", "--set", "B"]),
        ["Batch="]
    );
    assert_eq!(
        completed(&desk, &["run", "shop.updo", "-t", ""]),
        ["shop", "chat"]
    );
    assert_eq!(completed(&desk, &["explain", "E30"]).len(), 5);
    assert_eq!(completed(&desk, &["prev"]), ["preview"]);
}

#[test]
fn scripts_for_shells_are_printed() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let reported = desk.updo(&["completions", shell]).run().exits(0);
        assert!(
            reported.stdout.contains("updo"),
            "{shell}: {}",
            reported.stdout
        );
    }
    // Bash takes it.
    let script = desk.updo(&["completions", "bash"]).run().exits(0);
    desk.write("script", &script.stdout);
    let taken = Command::new("bash")
        .args(["-n", "script"])
        .current_dir(desk.path())
        .status()
        .expect("bash starts");
    assert!(taken.success());
}

#[test]
fn every_command_has_a_manual_page() {
    let desk = Desk::new();
    desk.updo(&["man", "--dir", "man"]).run().exits(0);
    let help = desk.updo(&["--help"]).run().exits(0);
    let commands = help
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let mut pages = 0;
    for command in commands {
        let page = desk.path().join(format!("man/updo-{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|e| panic!("{page:?}: {e}"));
        assert!(text.contains(".SH NAME"), "{text}");
        pages += 1;
    }
    assert!(pages >= 15, "{pages}");
    let plan = desk.updo(&["man", "plan"]).run().exits(0);
    assert!(plan.stdout.contains(".TH UPDO-PLAN 5"), "{}", plan.stdout);
    assert!(plan.stdout.contains("depends on"));
    desk.updo(&["man", "runn"])
        .run()
        .exits(2)
        .says(&["did you mean `updo man run`?"]);
}
