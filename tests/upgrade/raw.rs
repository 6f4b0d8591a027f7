//! Text from outside never reaches a terminal, a log or a page raw, and what a run leaves behind is its owner's alone.

use std::os::unix::fs::PermissionsExt;

use crate::shop::plan;
use crate::support::apps::{Deployed, shop};
use crate::support::desk::{Desk, Ran, UPDO, Updo, walk};

/// What must not be raw, as a plan writes it: a title of the terminal, an erased screen, a colour, C1, bidi, a line.
const EVIL: &str = "\\e]0;PWN\\x{7}\\e[2J\\e[31mFORGED\\x{9b}2J\\x{85}\\x{7f}\\x{202e}r\\x{2066}t\\x{200f}l\\x{61c}\\x{2028}";

/// The same as bytes of a binary on the node.
const ON_NODE: &str = "<<27,\"]0;PWN\",7,27,\"[2J\",27,\"[31mFORGED\",16#9b/utf8,16#202e/utf8,16#2066/utf8,16#2028/utf8>>";

fn is_raw(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing raw but colours of updo's own.
fn is_clean(what: &str, text: &str, colours: bool) {
    assert!(!text.contains("\u{1b}[31mFORGED"), "{what}: {text:?}");
    let mut rest = text.to_owned();
    while let Some(at) = rest.find("\u{1b}[").filter(|_| colours) {
        let end = at + rest[at..].find('m').expect("a colour") + 1;
        let code = &rest[at + 2..end - 1];
        let is_colour = code.len() < 8 && code.chars().all(|c| c.is_ascii_digit() || c == ';');
        assert!(is_colour, "{what}: {code:?} in {text:?}");
        rest.replace_range(at..end, "");
    }
    if let Some(at) = rest.find(is_raw) {
        let near: String = rest[at..].chars().take(40).collect();
        panic!("{what}: raw {near:?} in {text}");
    }
}

fn both(what: &str, ran: &Ran, colours: bool) {
    is_clean(&format!("{what}, stdout"), &ran.stdout, colours);
    is_clean(&format!("{what}, stderr"), &ran.stderr, colours);
}

fn evil_plan() -> String {
    let text = plan("code on_disk.")
        .replace("plan \"", &format!("plan \"{EVIL} "))
        .replace("grew a field", &format!("grew {EVIL} a field"));
    format!(
        "{text}\nrequire \"r {EVIL}\" -> info(\"~ts\", [persistent_term:get(evil)]), true.\n\
         verify \"v {EVIL}\" -> warn(\"~ts\", [persistent_term:get(evil)]), true.\n\
         after upgrade -> info(\"hook {EVIL}\").\n"
    )
}

/// A run whose plan and node are hostile, in every form it is shown in; other users can read nothing of it.
#[test]
fn hostile_texts_and_rights_of_what_a_run_leaves() {
    let deployed = Deployed::shop(3);
    let node = &deployed.node;
    node.eval(&format!("persistent_term:put(evil, {ON_NODE})"));
    deployed.replace(&shop().two);
    let desk = Desk::new();
    // A comment raw, as an editor would hide it; and a name.
    let name = "p\u{1b}[2J\u{202e}.updo";
    desk.write(name, &format!("{}% \u{1b}[2J \u{202e} raw\n", evil_plan()));

    let paint = ["never", "always"];
    for colour in paint {
        for args in [
            &["check", name][..],
            &["preview", name],
            &["explain", name, "shop_cart_server"],
            &["status", name],
            &["graph", name],
            &["graph", name, "--format", "dot"],
            &["graph", name, "--format", "svg"],
            &["preview", name, "--json"],
            &["status", name, "--json"],
        ] {
            let ran = desk.on(node, args).arg("--color").arg(colour).run();
            assert!(matches!(ran.code, Some(0 | 3)), "{args:?}: {ran}");
            both(&format!("{args:?}"), &ran, colour == "always");
        }
    }

    // Whatever the umask is, what is written is the owner's.
    let run = [
        "run",
        name,
        "--yes",
        "--color",
        "always",
        "--json",
        "--events",
        "e.jsonl",
        "--report",
        "r.html",
        "--report-junit",
        "j.xml",
        "--log-file",
        "t.log",
    ];
    let mut command = desk.command("sh");
    command
        .args(["-c", "umask 0; exec \"$0\" \"$@\"", UPDO])
        .args(run);
    let ran = Updo::of(&desk, command)
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .env("UPDO_TARGET", node.name())
        .env("GITHUB_ACTIONS", "true")
        .env(
            "GITHUB_STEP_SUMMARY",
            &desk.path().join("s.md").display().to_string(),
        )
        .run()
        .exits(0);
    both("run", &ran, true);
    for line in ran.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        // JSON has the text as it was.
        if line["type"] == "plan" {
            assert!(
                line["title"]
                    .as_str()
                    .is_some_and(|title| title.contains('\u{202e}'))
            );
        }
    }
    for file in ["e.jsonl", "r.html", "j.xml", "t.log", "s.md"] {
        is_clean(file, &desk.read(file), false);
    }
    let mut files = Vec::new();
    walk(&desk.path().join("state"), &mut files);
    assert!(files.len() > 5, "{files:?}");
    for file in &files {
        if file.ends_with("events.jsonl") || file.ends_with("meta.json") {
            is_clean(
                "the record",
                &std::fs::read_to_string(file).expect("text"),
                false,
            );
        }
        for folder in file.ancestors().take_while(|at| *at != desk.path()).skip(1) {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
    }
    files
        .extend(["e.jsonl", "r.html", "j.xml", "t.log", "s.md"].map(|name| desk.path().join(name)));
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }

    for colour in paint {
        for args in [
            &["log"][..],
            &["log", "--json"],
            &["replay"],
            &["report"],
            &["attach"],
            &["doctor", name],
            &["rollback", "--yes"],
        ] {
            let ran = desk.on(node, args).arg("--color").arg(colour).run();
            both(&format!("{args:?}"), &ran, colour == "always");
        }
    }
}

fn mode(path: &std::path::Path) -> u32 {
    let known = std::fs::metadata(path).expect("it is there");
    known.permissions().mode() & 0o777
}

/// Values and exceptions of a node, wrong plans, names of files: in diagnostics and in answers.
#[test]
fn hostile_values_and_mistakes() {
    let (node, desk) = (crate::support::TestNode::shared(), Desk::new());
    let atom = "list_to_atom([97,16#202e,27,16#9b,16#2028])";
    let wrong = format!(
        "plan \"x\".\n\u{1b}]0;PWN\u{7}wrong \u{202e} statement\n{}",
        "% \u{9b}\n"
    );
    let name = "w\u{1b}[2J\u{202e}.updo";
    desk.write(name, &wrong);
    for colour in ["never", "always"] {
        let eval = |text: &str| desk.eval(&node, text).arg("--color").arg(colour).run();
        for text in [
            atom.to_owned(),
            format!("#{{{atom} => [{atom}]}}"),
            format!("fun {atom}:f/1").replace(atom, "lists"),
            format!("erlang:make_fun({atom}, {atom}, 1)"),
            ON_NODE.to_owned(),
            format!("erlang:error({atom})"),
            format!("erlang:error({ON_NODE})"),
            format!("{{ok, 1}} = {{{atom}, {ON_NODE}}}"),
            format!("fail({ON_NODE})"),
            "1 + \u{1b}[2J\u{202e} ]".to_owned(),
        ] {
            both(&text, &eval(&text), colour == "always");
        }
        let args = ["--color", colour, "check", name];
        both(
            "check",
            &desk.updo(&args).run().exits(1),
            colour == "always",
        );
        let args = ["--color", colour, "preview", "no\u{1b}[2J\u{202e}such.updo"];
        both("preview", &desk.updo(&args).run(), colour == "always");
        let input = format!("{atom}.\ninfo(\"~ts\", [{ON_NODE}]).\nA = {ON_NODE}.\n\u{202e}\n");
        let repl = desk.on(&node, &["--color", colour, "repl"]);
        let ran = repl.input(&input).run();
        both("repl", &ran, colour == "always");
        assert!(ran.stdout.contains("x{202e}"), "{ran}");
    }
    // What Erlang reads again is still Erlang.
    let ran = desk
        .eval(&node, "list_to_atom([97,16#202e])")
        .run()
        .exits(0);
    assert_eq!(ran.stdout, "'a\\x{202e}'\n");
}
