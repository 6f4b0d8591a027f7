//! Whatever comes, the server answers the next sensible message, or ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Editor;
use crate::support::desk::Desk;

/// It still works.
fn works(editor: &mut Editor, version: i32) {
    let name = format!("untitled:good{version}");
    editor.open(&name, version, "deadline soon.");
    assert_eq!(editor.diagnostics(&name, Some(version)).len(), 1);
}

/// Megabytes of memory that the server has had at most.
fn peak(editor: &Editor) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", editor.pid())).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("the peak");
    let kilobytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kilobytes / 1024
}

#[test]
fn messages_that_are_none() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let deep = "[".repeat(1_000_000);
    let nested = format!(
        r#"{{"id":"deep","method":"textDocument/hover","params":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let bad = [
        "{",
        "nonsense",
        "[]",
        "{}",
        "\u{0}",
        "\"text\"",
        &deep,
        r#"{"id":{},"method":"x"}"#,
    ];
    for body in bad {
        editor.body(body);
        let answer = editor.await_answer(&Value::Null);
        assert!(
            answer["error"]["code"]
                .as_i64()
                .is_some_and(|code| code < -32000),
            "{answer}"
        );
    }
    editor.raw(b"Content-Length: 3\r\n\r\n\xff\xfe\xfd");
    assert_eq!(editor.await_answer(&Value::Null)["error"]["code"], -32700);
    editor.body(&nested);
    assert!(editor.await_answer(&json!("deep"))["error"].is_object());
    works(&mut editor, 1);
    editor.leave();
}

#[test]
fn parameters_that_are_wrong() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let wrong = [
        json!(null),
        json!([]),
        json!("x"),
        json!({"textDocument": 1}),
        json!({"textDocument": {"uri": 3, "version": 1, "text": "", "languageId": ""}}),
        json!({"textDocument": {"uri": "::::", "version": 1, "text": "", "languageId": ""}}),
        json!({"textDocument": {"uri": "file:///x", "version": 1e300}, "contentChanges": 7}),
        json!({"textDocument": {"uri": "file:///never/opened.updo", "version": 1},
            "contentChanges": [{"text": "x"}], "position": {"line": 0, "character": 0}}),
        json!({"textDocument": {"uri": "untitled:good1", "version": 1},
            "position": {"line": 4_294_967_295_u32, "character": 4_294_967_295_u32}}),
        json!({"textDocument": {"uri": "untitled:good1", "version": 1},
            "position": {"line": -1, "character": 0}, "newName": {}, "options": 3,
            "range": {"start": {"line": 9, "character": 9}, "end": {"line": 0, "character": 0}},
            "context": {"diagnostics": [{"code": "E101"}]}}),
    ];
    works(&mut editor, 1);
    for method in [
        "textDocument/didOpen",
        "textDocument/didChange",
        "textDocument/didClose",
        "textDocument/didSave",
        "workspace/didChangeWatchedFiles",
        "$/cancelRequest",
        "initialized",
    ] {
        for params in &wrong {
            editor.tell(method, params.clone());
        }
    }
    for method in REQUESTS {
        for params in &wrong {
            // Answered, in whatever way.
            editor.request(method, params.clone());
        }
    }
    works(&mut editor, 2);
    editor.leave();
}

/// What editors ask.
const REQUESTS: &[&str] = &[
    "textDocument/hover",
    "textDocument/completion",
    "completionItem/resolve",
    "textDocument/definition",
    "textDocument/references",
    "textDocument/documentHighlight",
    "textDocument/documentSymbol",
    "textDocument/codeAction",
    "textDocument/codeLens",
    "textDocument/inlayHint",
    "textDocument/formatting",
    "textDocument/prepareRename",
    "textDocument/rename",
    "workspace/executeCommand",
];

#[test]
fn headers_that_lie() {
    let desk = Desk::new();
    for bytes in [
        &b"Content-Length: 18446744073709551615\r\n\r\n{}"[..],
        b"Content-Length: -5\r\n\r\n{}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00\x01\x02\x03\n",
    ] {
        let mut editor = Editor::new(&desk);
        editor.raw(bytes);
        assert_eq!(editor.exit_code(), 1, "{bytes:?}");
    }
    // More is promised than comes: nothing is reserved for it.
    let mut editor = Editor::new(&desk);
    editor.raw(b"Content-Length: 33000000\r\n\r\n{");
    std::thread::sleep(Duration::from_millis(200));
    assert!(peak(&editor) < 200, "{} MB", peak(&editor));
    editor.hang_up();
    assert_eq!(editor.exit_code(), 1);
}

#[test]
fn documents_that_are_too_much() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let began = Instant::now();
    // Larger than any plan may be: said, not read.
    let large = "a depends on b.\n".repeat((17 << 20) / 16);
    let printed = editor.opened("file:///nowhere/large.updo", &large);
    assert!(
        printed[0]["message"]
            .as_str()
            .is_some_and(|m| m.contains("larger than")),
        "{printed:?}"
    );
    editor.tell(
        "textDocument/didClose",
        json!({"textDocument": {"uri": "file:///nowhere/large.updo"}}),
    );
    // Larger than any message may be: skipped, and said.
    editor.body(&format!("\"{}\"", "x".repeat(40 << 20)));
    assert_eq!(editor.await_answer(&Value::Null)["error"]["code"], -32600);
    // Nested deeper than anything, one line of a megabyte, thousands of mistakes.
    let deep = format!("X = {}{}.", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(editor.opened("untitled:deep", &deep)[0]["code"], "E105");
    let line = format!("X = \"{}\". Y = Z.", "€".repeat(1 << 20));
    assert_eq!(
        editor.opened("untitled:line", &line)[0]["range"]["start"]["character"],
        (1 << 20) + 12
    );
    let many = "x depends on y.\n".repeat(4_000);
    assert_eq!(editor.opened("untitled:many", &many).len(), 500);
    let chain = format!("X = 1{}.", " + 1".repeat(50_000));
    editor.opened("untitled:chain", &chain);
    // And everything can be asked about each of them.
    for name in ["deep", "line", "many", "chain"] {
        for method in REQUESTS {
            let place = json!({"line": 0, "character": 7});
            let params = json!({
                "textDocument": {"uri": format!("untitled:{name}")},
                "position": place,
                "range": {"start": place, "end": place},
                "newName": "Y",
                "options": {"tabSize": 4, "insertSpaces": true},
                "context": {"diagnostics": [], "includeDeclaration": true},
            });
            editor.request(method, params);
        }
    }
    // A text that many changes at once would move for minutes.
    let some = "% comment\n".repeat(800_000);
    editor.opened("untitled:some", &some);
    let at = json!({"line": 0, "character": 0});
    let change = json!({"range": {"start": at, "end": at}, "text": "%"});
    editor.edit("untitled:some", 2, Value::Array(vec![change; 10_000]));
    let printed = editor.find(|message| {
        message["method"] == "window/logMessage"
            && message["params"]["message"]
                .as_str()
                .is_some_and(|m| m.contains("too many changes"))
    });
    assert!(printed.is_object());
    works(&mut editor, 1);
    assert!(peak(&editor) < 1500, "{} MB", peak(&editor));
    assert!(
        began.elapsed() < Duration::from_secs(120),
        "{:?}",
        began.elapsed()
    );
    editor.leave();
}

#[test]
fn a_flood_of_documents() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    for number in 0..1100 {
        editor.open(&format!("untitled:{number}"), 1, "deadline 1m.");
    }
    let refused = editor.find(|message| message["method"] == "window/logMessage");
    assert!(
        refused["params"]["message"]
            .as_str()
            .is_some_and(|m| m.contains("too much is open"))
    );
    editor.tell(
        "textDocument/didClose",
        json!({"textDocument": {"uri": "untitled:1"}}),
    );
    works(&mut editor, 1);
    editor.leave();
}

#[test]
fn an_editor_that_does_not_read_for_a_while() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    // Thousands of answers are under way before the first is taken.
    for id in 0..3000 {
        editor
            .body(&json!({"jsonrpc": "2.0", "id": format!("q{id}"), "method": "x/y"}).to_string());
    }
    for id in 0..3000 {
        let answer = editor.await_answer(&json!(format!("q{id}")));
        assert_eq!(answer["error"]["code"], -32601);
    }
    editor.leave();
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

#[test]
fn plans_that_are_cut_and_torn() {
    const PIECES: &[&str] = &[
        "",
        "\"",
        "'",
        "#{",
        "}",
        "(",
        "->",
        ".",
        ":",
        "𝄞",
        "\r",
        "%",
        "because ",
        " when ",
        "=> ",
        "~",
        "$",
        "[",
        "Ä",
        "0",
        "include \"\".",
        "E306",
        "`",
        "\u{0}",
        "depends on",
    ];
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    let mut dice = Dice(7);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut plans: Vec<String> = std::fs::read_dir(&folder)
        .expect("plans/ is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "updo"))
        .map(|path| std::fs::read_to_string(path).expect("readable"))
        .collect();
    plans.sort();
    assert!(plans.len() >= 5);
    let place = |text: &str, at: usize| {
        let before = &text[..at];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[start..].encode_utf16().count();
        json!({"line": before.matches('\n').count(), "character": column})
    };
    let mut version = 0;
    for plan in &plans {
        for _ in 0..25 {
            let mut text = plan.clone();
            let mut at = 0;
            for _ in 0..3 {
                let mut floor = |text: &str| {
                    let at = dice.below(text.len() + 1);
                    (0..=at)
                        .rev()
                        .find(|at| text.is_char_boundary(*at))
                        .unwrap_or(0)
                };
                let (one, other) = (floor(&text), floor(&text));
                let piece = PIECES[dice.below(PIECES.len())];
                let end = if dice.below(3) == 0 {
                    one.max(other)
                } else {
                    one
                };
                text.replace_range(one.min(end)..end, piece);
                at = one.min(end);
            }
            let at = (0..=at.min(text.len()))
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            version += 1;
            // As an edit of what was there before, so that following changes is tried as well.
            if version == 1 {
                editor.open("untitled:torn", version, &text);
            } else {
                let whole = json!({"start": {"line": 0, "character": 0}, "end": {"line": 100_000, "character": 0}});
                let (front, back) = text.split_at(at);
                let end = place(front, front.len());
                editor.edit(
                    "untitled:torn",
                    version,
                    json!([
                        {"range": whole, "text": front},
                        {"range": {"start": end, "end": end}, "text": back},
                    ]),
                );
            }
            let place = place(&text, at);
            for method in REQUESTS {
                let params = json!({
                    "textDocument": {"uri": "untitled:torn"},
                    "position": place,
                    "range": {"start": place, "end": place},
                    "newName": "Other",
                    "options": {"tabSize": 4, "insertSpaces": true},
                    "context": {"diagnostics": [], "includeDeclaration": true},
                    "command": "updo.why",
                    "arguments": ["untitled:torn", "m"],
                });
                editor.request(method, params);
            }
        }
    }
    // It is still there, and counts as before.
    editor.change("untitled:torn", version + 1, "% 𝄞\ndeadline soon.");
    let printed = editor.diagnostics("untitled:torn", Some(version + 1));
    assert_eq!(
        printed[0]["range"]["start"],
        json!({"line": 1, "character": 9})
    );
    editor.leave();
}
