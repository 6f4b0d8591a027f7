//! What editors ask about a place: hover, completion, definitions, names, symbols, fixes, formatting.

use serde_json::{Value, json};

use crate::client::{Editor, codes, uri};
use crate::support::desk::Desk;

/// A text whose `‸` is the cursor: without it, and where that is, in units of UTF-16.
pub fn cursor(marked: &str) -> (String, Value) {
    let at = marked.find('‸').expect("the cursor is marked");
    let before = &marked[..at];
    let line = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].encode_utf16().count();
    (
        marked.replace('‸', ""),
        json!({"line": line, "character": column}),
    )
}

/// The answer to a question at the cursor.
fn at(editor: &mut Editor, name: &str, method: &str, marked: &str) -> Value {
    let (text, position) = cursor(marked);
    editor.open(name, 1, &text);
    let params = json!({
        "textDocument": {"uri": name},
        "position": position,
        "context": {"includeDeclaration": true},
    });
    editor.ask(&format!("textDocument/{method}"), params)
}

fn hover(editor: &mut Editor, marked: &str) -> String {
    let answer = at(editor, "untitled:hover", "hover", marked);
    answer["contents"]["value"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Labels, and the text as the first item would make it.
fn complete(editor: &mut Editor, name: &str, marked: &str) -> (Vec<String>, String) {
    let answer = at(editor, name, "completion", marked);
    let items = answer["items"].as_array().cloned().unwrap_or_default();
    let labels = items
        .iter()
        .map(|item| item["label"].as_str().expect("a label").to_owned())
        .collect();
    let (text, _) = cursor(marked);
    let done = items.first().map_or(String::new(), |item| {
        edited(&text, &[item["textEdit"].clone()])
    });
    (labels, done)
}

/// A text after edits, applied from its end so that places stay.
pub fn edited(text: &str, edits: &[Value]) -> String {
    let offset = |place: &Value| {
        let number = |what: &str| place[what].as_u64().expect("a number") as usize;
        let mut start = 0;
        for _ in 0..number("line") {
            start += text[start..].find('\n').expect("there is such a line") + 1;
        }
        let mut units = 0;
        let line = &text[start..];
        let column = line.char_indices().find(|(_, c)| {
            let here = units;
            units += c.len_utf16();
            here == number("character")
        });
        start + column.map_or(line.len(), |(at, _)| at)
    };
    let mut changes: Vec<(usize, usize, &str)> = edits
        .iter()
        .map(|edit| {
            let range = &edit["range"];
            let new = edit["newText"].as_str().expect("a text");
            (offset(&range["start"]), offset(&range["end"]), new)
        })
        .collect();
    changes.sort_unstable();
    let mut text = text.to_owned();
    for (from, to, new) in changes.into_iter().rev() {
        text.replace_range(from..to, new);
    }
    text
}

#[test]
fn hover_explains_words_names_and_codes() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let reported = hover(&mut editor, "modu‸le shop #{timeout => 3s} because \"x\".");
    assert!(
        reported.contains("module S #{…}") && reported.contains("`purge`"),
        "{reported}"
    );
    let reported = hover(&mut editor, "module shop #{time‸out => 3s} because \"x\".");
    assert!(reported.contains("the limit for suspending"), "{reported}");
    let reported = hover(&mut editor, "win‸dow a then rest because \"x\".");
    assert!(reported.contains("window S then S then rest"), "{reported}");
    let reported = hover(&mut editor, "window a th‸en rest because \"x\".");
    assert!(reported.contains("the next window"), "{reported}");
    let reported = hover(&mut editor, "module shop #{class => pl‸ain} because \"x\".");
    assert!(reported.contains("what its processes are"), "{reported}");
    let reported = hover(
        &mut editor,
        "a depends o‸n b be‸cause \"x\"."
            .replacen('‸', "", 1)
            .as_str(),
    );
    assert!(reported.contains("the reason"), "{reported}");
    let reported = hover(&mut editor, "a dep‸ends on b because \"x\".");
    assert!(reported.contains("loaded first"), "{reported}");
    let reported = hover(&mut editor, "exclude gl‸ob(\"x*\") because \"x\".");
    assert!(reported.contains("glob(\"shop_*\")"), "{reported}");
    let reported = hover(&mut editor, "Limit = 2 * 3.\nX = Lim‸it + 1.");
    assert!(reported.contains("Limit = 6"), "{reported}");
    let reported = hover(
        &mut editor,
        "param Batch :: integer = 4 because \"small\".\nX = Ba‸tch.",
    );
    assert!(
        reported.contains("param Batch :: integer = 4") && reported.contains("small"),
        "{reported}"
    );
    let reported = hover(
        &mut editor,
        "f(A, B) -> A + B.\nverify \"x\" -> 3 = f‸(1, 2).",
    );
    assert!(reported.contains("f(A, B)"), "{reported}");
    let reported = hover(
        &mut editor,
        "target t #{nodes => ['a@b']}.\nrollout t‸ #{canary => 1}.",
    );
    assert!(reported.contains("a@b"), "{reported}");
    // A mistake, and a code in a comment: their pages.
    let reported = hover(&mut editor, "module shop #{tim‸out => 3s} because \"x\".");
    assert!(reported.contains("E204"), "{reported}");
    let reported = hover(&mut editor, "% see E3‸06\ndeadline 2m.");
    assert!(reported.contains("E306"), "{reported}");
    assert_eq!(
        hover(&mut editor, "a depends on b because \"not‸hing\"."),
        ""
    );
    editor.leave();
}

#[test]
fn completion_knows_what_may_follow() {
    let desk = Desk::new();
    desk.write("common.updo", "Shared = 1.\n");
    let name = uri(&desk.path().join("plan.updo"));
    let mut editor = Editor::new(&desk);
    let mut offered = |marked: &str| complete(&mut editor, &name, marked);
    let (labels, done) = offered("deadline 2m.\n% note\nroll‸");
    assert_eq!(labels, ["rollback", "rollout"]);
    assert_eq!(done, "deadline 2m.\n% note\nrollback ");
    assert_eq!(offered("rollback m‸").1, "rollback manual");
    assert_eq!(
        offered("window ‸").0[..5],
        ["auto", "live", "minimal", "otp", "single"]
    );
    assert_eq!(offered("window a the‸").1, "window a then ");
    assert_eq!(offered("window a then res‸").1, "window a then rest");
    assert_eq!(
        offered("window a then [b] beca‸").1,
        "window a then [b] because \""
    );
    assert_eq!(offered("a dep‸").1, "a depends on ");
    assert_eq!(
        offered("module shop #{ti‸}.").1,
        "module shop #{timeout => }."
    );
    assert_eq!(
        offered("module shop #{class => se‸}.").1,
        "module shop #{class => server}."
    );
    assert_eq!(
        offered("% ä𝄞\nmodule '𝄞' #{class => plain, pu‸").1,
        "% ä𝄞\nmodule '𝄞' #{class => plain, purge => "
    );
    assert_eq!(
        offered("target t #{tls => #{ver‸").1,
        "target t #{tls => #{verify => "
    );
    assert_eq!(
        offered("target t #{tls => #{verify => verify_n‸").1,
        "target t #{tls => #{verify => verify_none"
    );
    assert_eq!(offered("param X :: int‸").1, "param X :: integer");
    assert_eq!(offered("param X :: [du‸").1, "param X :: [duration");
    // Names of the plan, of what it includes as well, behind or before the cursor.
    assert_eq!(
        offered("X = Sh‸.\ninclude \"common.updo\".").1,
        "X = Shared.\ninclude \"common.updo\"."
    );
    assert_eq!(
        offered("healthy(N) -> N > 1.\nverify \"x\" -> hea‸").1,
        "healthy(N) -> N > 1.\nverify \"x\" -> healthy("
    );
    assert_eq!(
        offered("target fleet #{nodes => ['a@b']}.\nrollout fl‸").1,
        "target fleet #{nodes => ['a@b']}.\nrollout fleet"
    );
    assert_eq!(offered("include \"com‸\".").1, "include \"common.updo\".");
    assert!(offered("exclude gl‸").0.contains(&"glob".to_owned()));
    // Nothing inside of comments and texts.
    assert!(offered("% roll‸").0.is_empty());
    assert!(offered("plan \"roll‸").0.is_empty());
    editor.leave();
}

#[test]
fn definitions_are_found_in_all_files() {
    let desk = Desk::new();
    let common = desk.write("common.updo", "Limit = 1.\nok(N) -> N > Limit.\n");
    let (plan, common) = (uri(&desk.path().join("plan.updo")), uri(&common));
    let mut editor = Editor::new(&desk);
    let lines = "include \"common.updo\".\ntarget t #{nodes => ['a@b']}.\n";
    let mut found = |marked: &str| {
        let answer = at(
            &mut editor,
            &plan,
            "definition",
            &format!("{lines}{marked}"),
        );
        let all = answer.as_array().expect("an array").clone();
        let place = |one: &Value| {
            let start = &one["range"]["start"];
            let number = |what: &str| start[what].as_u64().expect("a number");
            (
                one["uri"].as_str().expect("a URI").to_owned(),
                number("line"),
                number("character"),
            )
        };
        all.iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(found("X = Lim‸it + 1."), [(common.clone(), 0, 0)]);
    assert_eq!(found("verify \"x\" -> ok‸(3)."), [(common.clone(), 1, 0)]);
    assert_eq!(found("rollout ‸t #{canary => 1}."), [(plan.clone(), 1, 7)]);
    assert_eq!(found("f(Limit) -> Lim‸it."), []);
    assert_eq!(found("X = ‸1."), []);
    let (_, position) = cursor("include \"com‸mon.updo\".");
    let include = json!({"textDocument": {"uri": plan}, "position": position});
    let answer = editor.ask("textDocument/definition", include);
    assert_eq!(answer[0]["uri"], common);
    let marked = format!("{lines}X = Lim‸it + Limit.\nf(Limit) -> Limit.");
    let all = at(&mut editor, &plan, "references", &marked);
    assert_eq!(all.as_array().map(Vec::len), Some(4), "{all}");
    let all = at(&mut editor, &plan, "documentHighlight", &marked);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    editor.leave();
}

#[test]
fn renaming_follows_scopes_and_files() {
    let desk = Desk::new();
    let common = desk.write("common.updo", "param Limit :: integer = 1.\n% Limit\n");
    let (plan, common) = (uri(&desk.path().join("plan.updo")), uri(&common));
    let marked = "include \"common.updo\".\n\
        X = '𝄞', Y = Lim‸it.\n\
        ok(N) when N > Limit -> [N || N <- [1], N < Limit];\n\
        ok(Limit) -> Limit.\n\
        on_it() -> {[Limit || Limit <- [Limit]], ok(3)}.\n\
        verify \"Limit\" #{within => 1s} -> case f:g() of Limit -> ok(Limit) end.\n"
        .replace("X = '𝄞', Y", "Y");
    let mut editor = Editor::with(
        &desk,
        &[],
        json!({"workspace": {"workspaceEdit": {"documentChanges": true}}}),
    );
    let (text, position) = cursor(&marked);
    editor.open(&plan, 7, &text);
    let place = json!({"textDocument": {"uri": plan}, "position": position});
    let prepared = editor.ask("textDocument/prepareRename", place.clone());
    assert_eq!(prepared["placeholder"], "Limit");
    let mut rename = |name: &str| {
        let mut params = place.clone();
        params["newName"] = name.into();
        editor.request("textDocument/rename", params)
    };
    for bad in ["limit", "A B", "_", "", "1", "N", "Limit + 1"] {
        assert!(rename(bad)["error"]["code"].is_i64(), "{bad}");
    }
    let answer = rename("Größe");
    let documents = answer["result"]["documentChanges"]
        .as_array()
        .expect("changes");
    let of = |uri: &str| {
        documents
            .iter()
            .find(|d| d["textDocument"]["uri"] == uri)
            .expect("edits")
    };
    assert_eq!(of(&plan)["textDocument"]["version"], 7);
    assert_eq!(of(&common)["textDocument"]["version"], Value::Null);
    let edits = |uri: &str| of(uri)["edits"].as_array().expect("edits").clone();
    assert_eq!(
        edited(&desk.read("common.updo"), &edits(&common)),
        "param Größe :: integer = 1.\n% Limit\n"
    );
    let wanted = "include \"common.updo\".\n\
        Y = Größe.\n\
        ok(N) when N > Größe -> [N || N <- [1], N < Größe];\n\
        ok(Limit) -> Limit.\n\
        on_it() -> {[Limit || Limit <- [Größe]], ok(3)}.\n\
        verify \"Limit\" #{within => 1s} -> case f:g() of Größe -> ok(Größe) end.\n";
    assert_eq!(edited(&text, &edits(&plan)), wanted);
    // A function: every clause and every call, quoted where it must be.
    let (_, position) = cursor(&text.replacen("ok(3)", "o‸k(3)", 1));
    let params = json!({"textDocument": {"uri": plan}, "position": position, "newName": "'is ok'"});
    let answer = editor.ask("textDocument/rename", params);
    let edits = answer["documentChanges"][0]["edits"]
        .as_array()
        .expect("edits")
        .clone();
    let renamed = edited(&text, &edits);
    assert_eq!(
        renamed,
        text.replace(" ok(", " 'is ok'(")
            .replace("\nok(", "\n'is ok'(")
    );
    let params = json!({"textDocument": {"uri": plan}, "position": position, "newName": "hd"});
    assert_eq!(editor.refused("textDocument/rename", params), -32803);
    editor.leave();
}

#[test]
fn formatting_changes_what_differs() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let text = "plan   \"x\".\n% ä\n\n\n\na depends   on b because \"𝄞\".\ndeadline 2m.\n";
    editor.open("untitled:f", 1, text);
    let options = json!({"textDocument": {"uri": "untitled:f"}, "options": {"tabSize": 4, "insertSpaces": true}});
    let edits = editor.ask("textDocument/formatting", options.clone());
    let edits = edits.as_array().expect("edits").clone();
    assert_eq!(edits[0]["range"]["end"]["line"], 6, "{edits:?}");
    desk.write("f.updo", text);
    desk.updo(&["fmt", "f.updo"]).run().exits(0);
    let formatted = edited(text, &edits);
    assert_eq!(formatted, desk.read("f.updo"));
    editor.change("untitled:f", 2, &formatted);
    assert_eq!(
        editor.ask("textDocument/formatting", options.clone()),
        json!([])
    );
    // A plan that cannot be read is left alone.
    editor.change("untitled:f", 3, "a   dependz on b.");
    assert_eq!(editor.ask("textDocument/formatting", options), Value::Null);
    editor.leave();
}

#[test]
fn symbols_are_the_statements() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let text = "plan \"Cart\".\nLimit = 1.\nf(A) -> A.\nbroken broken.\ntarget t #{\n  nodes => ['a@b'],\n}.\n\
        verify \"it works\" -> f(true).\n";
    editor.open("untitled:s", 1, text);
    let answer = editor.ask(
        "textDocument/documentSymbol",
        json!({"textDocument": {"uri": "untitled:s"}}),
    );
    let names: Vec<&str> = answer
        .as_array()
        .expect("symbols")
        .iter()
        .filter_map(|s| s["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "Cart",
            "Limit",
            "f/1",
            "target t",
            "verify \"it works\" -> f(true)"
        ]
    );
    assert_eq!(
        answer[3]["range"]["end"],
        json!({"line": 6, "character": 1})
    );
    editor.leave();
}

#[test]
fn fixes_repair_what_they_name() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    for (before, after) in [
        (
            "a dependz on b because \"x\".",
            "a depends on b because \"x\".",
        ),
        ("rolback automatic.", "rollback automatic."),
        (
            "module a #{timeot => 1s} because \"x\".",
            "module a #{timeout => 1s} because \"x\".",
        ),
        (
            "module a #{timeout => \"30s\"} because \"x\".",
            "module a #{timeout => 30s} because \"x\".",
        ),
        (
            "Limit = 1.\nX = Limt.\nverify \"x\" -> Limt > 2.",
            "Limit = 1.\nX = Limt.\nverify \"x\" -> Limit > 2.",
        ),
        (
            "a depends on b.\nc depends on d because \"x\".",
            "a depends on b because \"…\".\nc depends on d because \"x\".",
        ),
        (
            "before load a -> ok = b:c().",
            "before load a because \"…\" -> ok = b:c().",
        ),
        (
            "deadline 2m\nwindow single.",
            "deadline 2m.\nwindow single.",
        ),
        (
            "target t #{nodes => [a@b.c]}.",
            "target t #{nodes => ['a@b.c']}.",
        ),
        ("window singel.", "window single."),
        ("param X :: intger = 1.", "param X :: integer = 1."),
        ("a depends on 'ä𝄞', b dependz on c.", ""),
    ] {
        editor.open("untitled:x", 1, before);
        let whole =
            json!({"start": {"line": 0, "character": 0}, "end": {"line": 9, "character": 0}});
        let params = json!({"textDocument": {"uri": "untitled:x"}, "range": whole,
            "context": {"diagnostics": []}});
        let actions = editor.ask("textDocument/codeAction", params);
        let results: Vec<String> = actions
            .as_array()
            .expect("actions")
            .iter()
            .map(|action| {
                assert_eq!(action["kind"], "quickfix");
                let edits = action["edit"]["changes"]["untitled:x"]
                    .as_array()
                    .expect("edits");
                edited(before, edits)
            })
            .collect();
        let wanted: Vec<&str> = Some(after)
            .filter(|after| !after.is_empty())
            .into_iter()
            .collect();
        assert!(
            wanted
                .iter()
                .all(|wanted| results.iter().any(|r| r == wanted)),
            "{before}: {results:?}"
        );
        if wanted.is_empty() {
            assert_eq!(results, wanted, "{before}");
        }
    }
    // What is offered mends: the diagnostic is gone.
    editor.open("untitled:y", 1, "window singel.");
    assert_eq!(codes(&editor.diagnostics("untitled:y", Some(1))), ["E101"]);
    editor.change("untitled:y", 2, "window single.");
    assert!(editor.diagnostics("untitled:y", Some(2)).is_empty());
    editor.leave();
}
