//! With a node: what it says about a plan, and what it knows.

use serde_json::{Value, json};

use crate::client::{Editor, codes, uri};
use crate::requests::{cursor, edited};
use crate::support::apps::Deployed;
use crate::support::desk::Desk;
use crate::waiting::{desk as beside_a_node, untouched, waiting};

/// Hover, completion and their like at the cursor of a text that is put into a document.
fn at(editor: &mut Editor, name: &str, version: i32, method: &str, marked: &str) -> Value {
    let (text, position) = cursor(marked);
    editor.change(name, version, &text);
    let params = json!({"textDocument": {"uri": name}, "position": position});
    editor.ask(&format!("textDocument/{method}"), params)
}

fn labels(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .filter_map(|item| item["label"].as_str())
        .collect()
}

#[test]
fn node_diagnostics_equal_those_of_check() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let text = format!("{}\nexclude shop_gate.\n", desk.read("shop.updo"));
    let path = desk.write("shop.updo", &text);
    let checked = desk
        .on(&deployed.node, &["check", "--json", "shop.updo"])
        .run();
    let checked = checked.json();
    let mut expected = codes(checked.as_array().expect("an array"));
    expected.sort_unstable();
    let mut editor = Editor::on(&desk, &deployed.node, &[]);
    editor.open(&uri(&path), 1, &text);
    let enough = expected.len();
    let printed = editor.await_diagnostics(&uri(&path), |printed| printed.len() >= enough);
    let mut found = codes(&printed);
    found.sort_unstable();
    assert_eq!(found, expected, "{printed:#?}");
    assert!(
        found.iter().any(|code| *code != "A311"),
        "the node has nothing to say: {found:?}"
    );
    editor.leave();
    untouched(&deployed);
}

#[test]
fn what_a_node_says_is_at_the_statement_about_it() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let text = format!("% The first line.\n{}", desk.read("shop.updo"));
    let path = desk.write("shop.updo", &text);
    let mut editor = Editor::on(&desk, &deployed.node, &[]);
    editor.open(&uri(&path), 1, &text);
    editor.await_look();
    let printed = editor.await_diagnostics(&uri(&path), |printed| !printed.is_empty());
    for one in &printed {
        let (line, from) = (
            one["range"]["start"]["line"].as_u64(),
            one["range"]["start"]["character"].as_u64(),
        );
        println!("{} {line:?}:{from:?} {}", one["code"], one["message"]);
        // Nothing is at the comment that the file begins with, and every place is one or more characters wide.
        assert_ne!(line, Some(0), "{one}");
        assert_ne!(one["range"]["start"], one["range"]["end"], "{one}");
    }
    editor.leave();
}

#[test]
fn an_editor_beside_a_node_knows_its_modules() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let text = desk.read("shop.updo");
    let name = uri(&desk.path().join("shop.updo"));
    let mut editor = Editor::on(&desk, &deployed.node, &[]);
    editor.open(&name, 1, &text);
    editor.await_look();
    // Above statements, and behind names.
    let lenses = editor.ask(
        "textDocument/codeLens",
        json!({"textDocument": {"uri": name}}),
    );
    let first = &lenses[0]["command"];
    let title = first["title"]
        .as_str()
        .unwrap_or_else(|| panic!("{lenses}"));
    assert!(
        title.starts_with("order: ") && title.ends_with(" · why"),
        "{title}"
    );
    let asked = json!({"command": first["command"], "arguments": first["arguments"]});
    let why = editor.ask("workspace/executeCommand", asked);
    assert!(why.as_str().is_some_and(|why| why.contains("md5")), "{why}");
    let shown = editor.find(|message| message["method"] == "window/showMessage");
    assert_eq!(shown["params"]["message"], why);
    let range = json!({"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}});
    let asked = json!({"textDocument": {"uri": name}, "range": range});
    let hints = editor.ask("textDocument/inlayHint", asked);
    let hints: Vec<&str> = hints
        .as_array()
        .expect("hints")
        .iter()
        .filter_map(|h| h["label"].as_str())
        .collect();
    assert!(
        hints.contains(&": server") && hints.contains(&": plain"),
        "{hints:?}"
    );
    // A module: its class, its dependents, when that was seen.
    let reported = at(
        &mut editor,
        &name,
        2,
        "hover",
        &format!("{text}exclude shop_pri‸ce because \"x\".\n"),
    );
    let reported = reported["contents"]["value"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for part in [
        "`shop_price`: plain, inferred",
        "callers that wait for it: ",
        "md5",
        "conversion: none: it has no processes of its own",
        deployed.node.name(),
        "s ago",
    ] {
        assert!(reported.contains(part), "{part}: {reported}");
    }
    // Modules of the node that do not change, exports of the running and of the new version.
    let mut complete = |version: i32, more: &str| {
        at(
            &mut editor,
            &name,
            version,
            "completion",
            &format!("{text}{more}"),
        )
    };
    assert!(labels(&complete(3, "exclude shop_loa‸")).contains(&"shop_load"));
    assert!(
        labels(&complete(4, "verify \"x\" -> application_cont‸"))
            .contains(&"application_controller")
    );
    let found = complete(5, "verify \"x\" -> shop_stock:lev‸");
    assert_eq!(labels(&found), ["level/1"]);
    let (typed, _) = cursor("verify \"x\" -> shop_stock:lev‸");
    let edit = found["items"][0]["textEdit"].clone();
    assert!(edited(&format!("{text}{typed}"), &[edit]).ends_with("shop_stock:level("));
    assert_eq!(
        labels(&complete(6, "verify \"x\" -> shop_promo:disc‸")),
        ["discount/1", "discount/2 (new)"]
    );
    editor.leave();
    untouched(&deployed);
}

#[test]
fn a_mistake_stays_at_its_place_and_is_mended() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let name = uri(&desk.path().join("typo.updo"));
    let text = "deadline 1m.\nexclude shop_prcie because \"x\".\n";
    let mut editor = Editor::on(&desk, &deployed.node, &[]);
    let typo = |printed: &[Value]| printed.iter().any(|d| d["code"] == "E202");
    editor.open(&name, 1, text);
    editor.await_diagnostics(&name, typo);
    // Lines come above it: it goes with its statement, although the node was not queried again.
    let at = json!({"line": 0, "character": 0});
    editor.edit(
        &name,
        2,
        json!([{"range": {"start": at, "end": at}, "text": "% ä\n% b\n"}]),
    );
    let printed = editor.await_diagnostics(&name, typo);
    let reported = printed
        .iter()
        .find(|d| d["code"] == "E202")
        .expect("it was said");
    assert_eq!(
        reported["range"]["start"],
        json!({"line": 3, "character": 8})
    );
    let params = json!({"textDocument": {"uri": name}, "range": reported["range"], "context": {"diagnostics": []}});
    let actions = editor.ask("textDocument/codeAction", params);
    let edits = actions[0]["edit"]["changes"][&name]
        .as_array()
        .unwrap_or_else(|| panic!("{actions}"))
        .clone();
    let mended = edited(&format!("% ä\n% b\n{text}"), &edits);
    assert!(
        mended.ends_with("exclude shop_price because \"x\".\n"),
        "{mended}"
    );
    // Its place is edited: it is not reported any more, and the next query reports what is right then.
    editor.change(&name, 3, &mended);
    editor.await_diagnostics(&name, |printed| !typo(printed));
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": name}}),
    );
    editor.await_look();
    editor.await_look();
    // A rule that does nothing can go.
    let idle = format!("{mended}exclude shop_load\n    because \"y\".\nwindow single.\n");
    editor.change(&name, 4, &idle);
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": name}}),
    );
    let printed = editor.await_diagnostics(&name, |printed| codes(printed).contains(&"W310"));
    let reported = printed
        .iter()
        .find(|d| d["code"] == "W310")
        .expect("it was said");
    assert_eq!(reported["tags"], json!([1]));
    let params = json!({"textDocument": {"uri": name}, "range": reported["range"], "context": {"diagnostics": []}});
    let actions = editor.ask("textDocument/codeAction", params);
    let edits = actions
        .as_array()
        .and_then(|all| {
            all.iter()
                .find(|action| action["title"] == "delete the statement")
        })
        .unwrap_or_else(|| panic!("{actions}"))["edit"]["changes"][&name]
        .as_array()
        .expect("edits")
        .clone();
    assert_eq!(edited(&idle, &edits), format!("{mended}window single.\n"));
    editor.leave();
    untouched(&deployed);
}

#[test]
fn what_the_node_misses_is_written_for_you() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let name = uri(&desk.path().join("short.updo"));
    let text = format!("old from {:?}.", crate::support::apps::shop().one);
    let mut editor = Editor::on(&desk, &deployed.node, &[]);
    editor.open(&name, 1, &text);
    let printed = editor.await_diagnostics(&name, |printed| codes(printed).contains(&"W307"));
    let reported = printed
        .iter()
        .find(|d| d["code"] == "W307")
        .expect("it was said");
    let params = json!({"textDocument": {"uri": name}, "range": reported["range"], "context": {"diagnostics": []}});
    let actions = editor.ask("textDocument/codeAction", params);
    let action = actions
        .as_array()
        .and_then(|all| {
            all.iter()
                .find(|action| action["diagnostics"][0]["code"] == "W307")
        })
        .unwrap_or_else(|| panic!("{actions}"));
    let edits = action["edit"]["changes"][&name]
        .as_array()
        .expect("edits")
        .clone();
    let more = edited(&text, &edits);
    assert_eq!(
        more,
        format!("{text}\ncycle [shop_price, shop_promo]: together.\n")
    );
    editor.change(&name, 2, &more);
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": name}}),
    );
    editor.await_diagnostics(&name, |printed| !codes(printed).contains(&"W307"));
    editor.leave();
    untouched(&deployed);
}

#[test]
fn an_editor_does_not_wait_for_a_node() {
    let desk = Desk::new();
    let deployed = Deployed::bank();
    let name = uri(&desk.path().join("bank.updo"));
    let mut editor = Editor::on(&desk, &deployed.node, &["--patience", "2s"]);
    let late = |printed: &[Value]| printed.iter().any(|d| d["code"] == "E508");
    deployed.node.signal("-STOP");
    editor.open(&name, 1, "deadline 1m.\n");
    // Meanwhile it answers as ever.
    for version in 2..20 {
        editor.change(&name, version, &format!("deadline {version}m.\n"));
        let place = json!({"textDocument": {"uri": name}, "position": {"line": 0, "character": 2}});
        assert!(editor.ask("textDocument/hover", place)["contents"].is_object());
    }
    let printed = editor.await_diagnostics(&name, late);
    assert!(
        printed[0]["message"]
            .as_str()
            .is_some_and(|m| m.contains("no facts within 2 s")),
        "{printed:?}"
    );
    deployed.node.signal("-CONT");
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": name}}),
    );
    editor.await_diagnostics(&name, |printed| !late(printed));
    // A node that goes away is said, and so is that it came to nothing.
    deployed.node.kill();
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": name}}),
    );
    let printed = editor.await_diagnostics(&name, |printed| !printed.is_empty());
    assert!(codes(&printed)[0].starts_with("E50"), "{printed:?}");
    editor.leave();
}

#[test]
fn no_connection_without_a_target() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let mut command = desk.command(crate::support::desk::UPDO);
    command
        .args(["lsp", "--offline"])
        .env("UPDO_TARGET", deployed.node.name())
        .env("UPDO_EPMD_PORT", deployed.node.epmd_port().to_string());
    let mut editor = Editor::start(command);
    editor.ask("initialize", json!({"capabilities": {}}));
    let name = uri(&desk.path().join("typo.updo"));
    assert!(
        editor
            .opened(&name, "exclude shop_prcie because \"x\".\n")
            .is_empty()
    );
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": name}}),
    );
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let printed = editor.drain(|message| message["method"] == "textDocument/publishDiagnostics");
    assert!(printed.is_empty(), "{printed:?}");
    editor.leave();
}

/// Many warnings of one kind that the plan has no statement for are one, at the target; what has a statement is there.
#[test]
fn many_warnings_of_one_kind_are_one_where_the_plan_says_nothing_of_them() {
    let desk = Desk::new();
    let beams = |folder: &str, version: u32| {
        let ebin = desk.path().join(folder);
        std::fs::create_dir_all(&ebin).expect("a folder");
        let source = |at: u32| {
            desk.write(
                &format!("lone_{at}.erl"),
                &format!(
                    "-module(lone_{at}).\n-behaviour(gen_server).\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
                     start() -> gen_server:start({{local, ?MODULE}}, ?MODULE, [], []).\ninit(_) -> {{ok, []}}.\n\
                     handle_call(_, _, S) -> {{reply, {version}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
                     code_change(\"1\", S, _) -> {{ok, S}}.\n"
                ),
            )
        };
        let sources: Vec<_> = (1..=6).map(source).collect();
        crate::support::compiler::compile(&ebin, &["debug_info"], &sources);
        ebin
    };
    let old = beams("old", 1);
    beams("new", 2);
    let node = crate::support::Options::default().path(&old).start();
    node.eval(
        "[apply(list_to_atom(\"lone_\" ++ integer_to_list(N)), start, []) || N <- lists:seq(1, 6)]",
    );
    let text = format!(
        "plan \"Lone\".\ntarget t #{{nodes => ['{}']}}.\ncode push [\"new/*.beam\"].\n\
         module lone_6 #{{timeout => 9s}} because \"slow\".\n",
        node.name()
    );
    let path = desk.write("lone.updo", &text);
    let checked = desk
        .on(&node, &["check", "--json", "lone.updo"])
        .run()
        .json();
    let all = codes(checked.as_array().expect("an array"));
    assert_eq!(
        all.iter().filter(|code| **code == "W314").count(),
        6,
        "{all:?}"
    );
    let mut editor = Editor::on(&desk, &node, &[]);
    editor.open(&uri(&path), 1, &text);
    let printed = editor.await_diagnostics(&uri(&path), |printed| codes(printed).contains(&"W314"));
    let lone: Vec<&Value> = printed.iter().filter(|one| one["code"] == "W314").collect();
    assert_eq!(lone.len(), 2, "{printed:#?}");
    let at = |line: u64| {
        let found = lone
            .iter()
            .find(|one| one["range"]["start"]["line"] == line);
        let found = found.unwrap_or_else(|| panic!("none at line {line}: {lone:#?}"));
        found["message"].as_str().expect("a text").to_owned()
    };
    assert!(at(1).contains("and 4 more of this kind"), "{}", at(1));
    assert!(
        at(1).contains("`updo preview PLAN --full` shows each"),
        "{}",
        at(1)
    );
    assert!(at(3).contains("lone_6"), "{}", at(3));
    editor.leave();
}

/// A plan's build command is run when the plan is run, not when it is opened in an editor.
#[test]
fn an_editor_builds_no_old_code() {
    let (deployed, desk) = (waiting(), beside_a_node());
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=anna", "-c", "user.email=anna@example.net"];
        let done = desk.command("git").args(identity).args(args).status();
        assert!(done.is_ok_and(|done| done.success()), "git {args:?}");
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "one"]);
    let mark = desk.path().join("built");
    let text = format!(
        "plan \"Shop\".\ncode on_disk.\nold from git \"HEAD\" #{{build => \"touch {}\"}}.\n",
        mark.display()
    );
    let path = desk.write("old.updo", &text);
    let mut editor = Editor::on(&desk, &deployed.node, &[]);
    editor.open(&uri(&path), 1, &text);
    editor.await_look();
    editor.leave();
    assert!(!mark.exists(), "the editor has built it");
    let checked = desk.on(&deployed.node, &["check", "old.updo"]).run();
    assert!(mark.exists(), "copies were there already: {checked}");
    checked.says(&["W641"]);
    untouched(&deployed);
}
