//! Documents as the editor has them, and what is said of them.

use serde_json::{Value, json};

use crate::client::{Editor, codes, uri};
use crate::support::desk::Desk;

/// A plan with a mistake behind characters that no two encodings count alike.
const MULTI: &str = "plan \"Größe 𝄞\". module 'ä𝄞' #{time_out => 3s} because \"x\".\n";

fn range(diagnostic: &Value) -> [u64; 4] {
    let at = |end: &str, what: &str| diagnostic["range"][end][what].as_u64().expect("a number");
    [
        at("start", "line"),
        at("start", "character"),
        at("end", "line"),
        at("end", "character"),
    ]
}

#[test]
fn columns_are_units_of_utf16_or_bytes() {
    let desk = Desk::new();
    let column = |counted: &dyn Fn(&str) -> usize| {
        let start = MULTI.find("time_out").expect("it stands there");
        let from = counted(&MULTI[..start]) as u64;
        [0, from, 0, from + 8]
    };
    let mut editor = Editor::new(&desk);
    let printed = editor.opened("untitled:Untitled-1", MULTI);
    assert_eq!(codes(&printed), ["E204"]);
    assert_eq!(
        range(&printed[0]),
        column(&|text| text.encode_utf16().count())
    );
    editor.leave();
    let offered = json!({"general": {"positionEncodings": ["utf-32", "utf-8", "utf-16"]}});
    let mut editor = Editor::with(&desk, &[], offered);
    let printed = editor.opened("untitled:Untitled-1", MULTI);
    assert_eq!(range(&printed[0]), column(&|text| text.len()));
    // The place of the change is counted in bytes as well: `time_out` loses its underscore.
    let at = MULTI.find("_out").expect("it stands there");
    let change = json!([{"range": {"start": {"line": 0, "character": at},
        "end": {"line": 0, "character": at + 1}}, "text": ""}]);
    editor.edit("untitled:Untitled-1", 2, change);
    assert_eq!(
        editor.diagnostics("untitled:Untitled-1", Some(2)),
        Vec::<Value>::new()
    );
    editor.leave();
}

#[test]
fn changes_are_followed_word_by_word() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let name = "file:///nowhere/x.updo";
    assert_eq!(codes(&editor.opened(name, MULTI)), ["E204"]);
    let units = |part: &str| {
        let at = MULTI.find(part).expect("it stands there");
        MULTI[..at].encode_utf16().count()
    };
    let changes = json!([
        {"range": {"start": {"line": 0, "character": units("_out")},
            "end": {"line": 0, "character": units("out =>")}}, "text": ""},
        {"range": {"start": {"line": 1, "character": 0}, "end": {"line": 1, "character": 0}},
            "text": "deadline \"soon\".\r\n"},
    ]);
    editor.edit(name, 2, changes);
    let printed = editor.diagnostics(name, Some(2));
    assert_eq!(codes(&printed), ["E205"]);
    assert_eq!(range(&printed[0]), [1, 9, 1, 15]);
    editor.change(name, 3, "deadline 2m.");
    assert!(editor.diagnostics(name, Some(3)).is_empty());
    editor.leave();
}

#[test]
fn diagnostics_equal_those_of_check() {
    let desk = Desk::new();
    let text = "plan \"One\".\nplan \"Two\".\nshop_a dependz on shop_b.\nmodule shop_c #{timeot => 1s}.\nX = Y.\n";
    let path = desk.write("x.updo", text);
    let checked = desk.updo(&["check", "--json", "x.updo"]).run().exits(1);
    let checked: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let checked = checked.as_array().expect("an array").clone();
    let mut editor = Editor::new(&desk);
    let printed = editor.opened(&uri(&path), text);
    assert_eq!(printed.len(), checked.len(), "{printed:#?} {checked:#?}");
    assert!(codes(&printed).contains(&"E101") && codes(&printed).contains(&"E209"));
    for (ours, theirs) in printed.iter().zip(&checked) {
        assert_eq!(ours["code"], theirs["code"]);
        let message = ours["message"].as_str().expect("a text");
        let title = theirs["title"].as_str().expect("a text");
        assert!(message.starts_with(title), "{message} / {theirs}");
        if let Some(help) = theirs["help"].as_str() {
            assert!(
                message.ends_with(&format!("help: {help}")),
                "{message} / {theirs}"
            );
        }
        let labels = theirs["labels"].as_array().expect("labels");
        assert_eq!(
            range(ours)[0] + 1,
            labels[0]["line"].as_u64().expect("a line")
        );
        assert_eq!(
            range(ours)[1] + 1,
            labels[0]["column"].as_u64().expect("a column")
        );
        let related = ours["relatedInformation"].as_array().map_or(0, Vec::len);
        assert_eq!(related, labels.len() - 1, "{ours}");
        assert_eq!(
            ours["data"]["explain"],
            format!("updo explain {}", ours["code"].as_str().unwrap_or(""))
        );
    }
    let twice = printed
        .iter()
        .find(|d| d["code"] == "E209")
        .expect("it was said");
    let first = &twice["relatedInformation"][0];
    assert_eq!(first["message"], "first here");
    assert_eq!(first["location"]["uri"], uri(&path));
    assert_eq!(first["location"]["range"]["start"]["line"], 0);
    let severities: Vec<_> = printed.iter().map(|d| d["severity"].as_i64()).collect();
    assert!(
        severities.contains(&Some(1)) && severities.contains(&Some(4)),
        "{printed:?}"
    );
    editor.leave();
}

#[test]
fn included_files_count_as_they_are_in_the_editor() {
    let desk = Desk::new();
    let plan = desk.write("plan.updo", "include \"common.updo\".\nX = Limit + 1.\n");
    let common = desk.write("common.updo", "Limit = 1.\n");
    let (plan, common) = (uri(&plan), uri(&common));
    let mut editor = Editor::new(&desk);
    assert!(editor.opened(&plan, &desk.read("plan.updo")).is_empty());
    // Opened and changed, not saved: the plan hears of it, and so does the file itself.
    assert!(editor.opened(&common, "Limit = 1.\n").is_empty());
    editor.change(&common, 2, "Limt = 1.\n");
    let printed = editor.diagnostics(&plan, Some(1));
    assert_eq!(codes(&printed), ["E206"]);
    assert!(
        printed[0]["message"]
            .as_str()
            .expect("a text")
            .contains("`Limit` is unbound")
    );
    // A name that the plan defines is no mistake in the file that it includes.
    editor.change(&common, 3, "Limit = 1.\nY = Z * 2.\n");
    assert_eq!(codes(&editor.diagnostics(&common, Some(3))), ["E206"]);
    editor.change(
        &plan,
        2,
        "include \"common.updo\".\nZ = 1.\nX = Limit + 1.\n",
    );
    assert!(editor.diagnostics(&plan, Some(2)).is_empty());
    assert!(editor.diagnostics(&common, Some(3)).is_empty());
    // A mistake in a file that is not open is shown there, and goes when it is gone.
    editor.change(
        &common,
        4,
        "Limit = 1. Y = Z * 2.\ninclude \"third.updo\".\n",
    );
    assert_eq!(codes(&editor.diagnostics(&common, Some(4))), ["E109"]);
    let third = desk.write("third.updo", "deadline soon.\n");
    editor.tell(
        "textDocument/didSave",
        json!({"textDocument": {"uri": common}}),
    );
    let third = uri(&third);
    assert_eq!(codes(&editor.diagnostics(&third, None)), ["E205"]);
    desk.write("third.updo", "deadline 1m.\n");
    editor.tell("workspace/didChangeWatchedFiles", json!({"changes": []}));
    assert!(editor.diagnostics(&third, None).is_empty());
    // Closed without being saved: the disk counts again.
    editor.change(&common, 5, "Limit = \"x\".\n");
    assert_eq!(codes(&editor.diagnostics(&plan, Some(2))), ["E704"]);
    editor.tell(
        "textDocument/didClose",
        json!({"textDocument": {"uri": common}}),
    );
    assert_eq!(
        codes(&editor.diagnostics(&plan, Some(2))),
        Vec::<&str>::new()
    );
    editor.leave();
}

#[test]
fn an_already_old_version_is_not_inspected() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    // Long enough that changes come faster than it can be read.
    let body: String = (0..3000)
        .map(|n| format!("m{n} depends on n{n} because \"x\".\n"))
        .collect();
    let name = "untitled:long";
    editor.opened(name, &body);
    let last = 400;
    for version in 2..=last {
        let at = json!({"line": 0, "character": 0});
        editor.edit(
            name,
            version,
            json!([{"range": {"start": at, "end": at}, "text": "% x\n"}]),
        );
    }
    editor.diagnostics(name, Some(last));
    let earlier = editor.drain(|message| message["method"] == "textDocument/publishDiagnostics");
    let versions: Vec<i64> = earlier
        .iter()
        .filter_map(|m| m["params"]["version"].as_i64())
        .collect();
    assert!(
        versions.len() < last as usize / 2,
        "{} of {last} were looked at",
        versions.len()
    );
    assert!(versions.is_sorted(), "{versions:?}");
    editor.leave();
}

#[test]
fn parameters_come_from_the_command_line() {
    let desk = Desk::new();
    let mut editor = Editor::with(&desk, &["-s", "Seed=a@b"], json!({}));
    assert!(
        editor
            .opened("untitled:a", "param Seed :: node.\n")
            .is_empty()
    );
    let printed = editor.opened("untitled:b", "param Other :: node.\nparam Seed :: node.\n");
    assert_eq!(codes(&printed), ["E207"]);
    editor.leave();
}

#[test]
fn a_file_opened_alone_is_part_of_the_plan_beside_it() {
    let desk = Desk::new();
    desk.write("a.updo", "% no plan of it: include \"common.updo\"\n");
    desk.write(
        "plan.updo",
        "include \"sub/common.updo\".\nLimit = 3.\ndeadline \"soon\".\n",
    );
    std::fs::create_dir(desk.path().join("sub")).expect("a folder");
    let common = desk.write("sub/common.updo", "X = Limit + 1.\n");
    let mut editor = Editor::new(&desk);
    let name = uri(&common);
    assert!(editor.opened(&name, "X = Limit + 1.\n").is_empty());
    editor.change(&name, 2, "X = Limt + 1.\n");
    assert_eq!(codes(&editor.diagnostics(&name, Some(2))), ["E206"]);
    // Mistakes of a plan that is not open are not shown; its names are known, and renamed with the others.
    let printed =
        editor.drain(|message| message["params"]["uri"] == uri(&desk.path().join("plan.updo")));
    assert!(printed.is_empty(), "{printed:?}");
    editor.change(&name, 3, "X = Limit + 1.\n");
    let place = json!({"textDocument": {"uri": name}, "position": {"line": 0, "character": 5}});
    let found = editor.ask("textDocument/definition", place.clone());
    assert_eq!(found[0]["uri"], uri(&desk.path().join("plan.updo")));
    let mut rename = place;
    rename["newName"] = "Most".into();
    let edits = editor.ask("textDocument/rename", rename);
    assert_eq!(
        edits["changes"].as_object().map(serde_json::Map::len),
        Some(2),
        "{edits}"
    );
    // Opened as well, the plan says what is wrong with it; closed again, it says it no more.
    let plan = uri(&desk.path().join("plan.updo"));
    assert_eq!(
        codes(&editor.opened(&plan, &desk.read("plan.updo"))),
        ["E205"]
    );
    editor.tell(
        "textDocument/didClose",
        json!({"textDocument": {"uri": plan}}),
    );
    assert!(editor.diagnostics(&plan, None).is_empty());
    editor.leave();
}

#[test]
fn mutual_includes_are_reported() {
    let desk = Desk::new();
    let one = desk.write("one.updo", "include \"two.updo\".\n");
    let two = desk.write("two.updo", "include \"one.updo\".\nX = Y.\n");
    let mut editor = Editor::new(&desk);
    for (path, name) in [(&two, "two.updo"), (&one, "one.updo")] {
        editor.opened(&uri(path), &desk.read(name));
    }
    editor.change(&uri(&two), 2, "include \"one.updo\".\nX = Z.\n");
    assert_eq!(
        codes(&editor.diagnostics(&uri(&two), Some(2))),
        ["E109", "E206"]
    );
    editor.change(&uri(&two), 3, "X = 1.\n");
    assert!(editor.diagnostics(&uri(&two), Some(3)).is_empty());
    editor.leave();
}
