//! What a value may take: received, decoded and printed within limits, whatever a node has to say.

use crate::support::TestNode;
use crate::support::desk::Desk;

/// Most bytes of text of one value, and what ends one that is cut.
const PRINTED: usize = 8 << 20;

/// Large values of every shape: the text ends at its limit, says so, and memory is that of the value, not of a page.
#[test]
fn large_values_are_printed_within_bounds() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    for (expression, begins, most) in [
        ("binary:copy(<<0>>, 104857600)", "<<0,0,0,", 320),
        ("binary:copy(<<200>>, 20971520)", "<<\"ÈÈÈ", 120),
        (
            "lists:duplicate(400, binary:copy(<<0>>, 100000))",
            "[<<0,0,",
            200,
        ),
        ("lists:duplicate(4400000, $a)", "", 400),
        ("lists:seq(1, 2000000)", "[1,2,3,", 700),
        (
            "maps:from_list(lists:zip(lists:seq(1, 900000), lists:duplicate(900000, {value, undefined})))",
            "",
            900,
        ),
    ] {
        let (ran, peak) = desk.eval(&node, expression).start().wait_with_peak();
        assert!(peak < most << 10, "{expression}: {peak} KiB");
        assert!(ran.stdout.len() <= PRINTED + 8, "{expression}");
        if begins.is_empty() {
            // More values than are decoded.
            assert_ne!(ran.code, Some(0), "{expression}");
            // A busy machine may have given up before.
            let refused = ["more than 4194304 values in one term", "E705"];
            let is_said = refused.iter().any(|text| ran.stderr.contains(text));
            assert!(is_said, "{ran}");
        } else {
            assert_eq!(ran.code, Some(0), "{expression}: {}", ran.stderr);
            assert!(ran.stdout.starts_with(begins) && ran.stdout.ends_with("...\n"));
            assert!(ran.stdout.len() > PRINTED - 8, "{expression}");
            assert!(ran.stderr.contains("W620"), "{}", ran.stderr);
        }
    }
    // What fits is whole.
    let whole = desk
        .eval(&node, "binary:copy(<<0>>, 1000000)")
        .run()
        .exits(0);
    assert!(whole.stdout.ends_with("0,0>>\n") && whole.stderr.is_empty());
}

/// The same where values are shown in passing: in a session, in an error.
#[test]
fn large_values_in_passing() {
    let (node, desk) = (TestNode::shared(), Desk::new());
    let lines = "X = binary:copy(<<0>>, 20971520)\nb()\nbyte_size(X)\n";
    let repl = desk.on(&node, &["repl"]).input(lines);
    let (ran, peak) = repl.start().wait_with_peak();
    assert!(peak < 220 << 10, "{peak} KiB");
    assert!(ran.stdout.contains("20971520"), "{}", ran.stderr);
    assert!(ran.stdout.len() < 2 * PRINTED);
    let raised = desk.eval(&node, "erlang:error(binary:copy(<<0>>, 20971520))");
    let (ran, peak) = raised.start().wait_with_peak();
    assert!(peak < 220 << 10 && ran.stderr.len() < 100_000, "{peak} KiB");
    assert!(ran.stderr.contains("E703"));
}

/// A state folder in which others may write is refused, by everything that believes it, with what mends it.
#[test]
fn a_state_folder_of_others_is_refused() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let (node, desk) = (TestNode::shared(), Desk::new());
    desk.write("p.updo", "code on_disk.\n");
    let runs = desk.path().join("state/runs");
    std::fs::create_dir_all(&runs).expect("a folder");
    let state = desk.path().join("state");
    for (folder, mode) in [(&state, 0o775), (&runs, 0o757)] {
        set_permissions(&state, Permissions::from_mode(0o755)).expect("ours");
        set_permissions(folder, Permissions::from_mode(mode)).expect("ours");
        let help = format!("chmod 700 {}", folder.display());
        for args in [
            &["log"][..],
            &["rollback"],
            &["attach", "7f2a"],
            &["replay"],
            &["report", "-o", "r.html"],
            &["preview", "p.updo"],
            &["run", "p.updo", "--yes"],
            &["status", "p.updo"],
            &["repl", "p.updo"],
        ] {
            let ran = desk.on(&node, args).run().exits(2);
            assert_eq!(ran.stdout, "");
            ran.says(&["E803", &help, "may be written by others"]);
        }
        // Said where a look is wanted, too; and nothing in it is needed for a value.
        desk.on(&node, &["doctor", "p.updo"]).run().says(&["E803"]);
        desk.eval(&node, "1 + 1").run().exits(0);
    }
    set_permissions(&runs, Permissions::from_mode(0o755)).expect("ours");
    desk.updo(&["log"]).run().exits(0);
}
