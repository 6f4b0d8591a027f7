//! Hello and goodbye.

use serde_json::{Value, json};

use crate::client::Editor;
use crate::support::desk::Desk;

#[test]
fn an_editor_comes_and_goes() {
    let desk = Desk::new();
    let mut editor = Editor::silent(&desk, &["--stdio"]);
    let result = editor.ask("initialize", json!({"capabilities": {}}));
    assert_eq!(result["serverInfo"]["name"], "updo");
    assert_eq!(result["capabilities"]["positionEncoding"], "utf-16");
    assert_eq!(result["capabilities"]["textDocumentSync"]["change"], 2);
    editor.tell("initialized", json!({}));
    editor.leave();
}

#[test]
fn leaving_without_a_word_is_exit_code_1() {
    let desk = Desk::new();
    let mut editor = Editor::new(&desk);
    editor.tell("exit", Value::Null);
    assert_eq!(editor.exit_code(), 1);
    // Before `initialize`, and by closing the stream, with and without `shutdown`.
    let mut editor = Editor::silent(&desk, &[]);
    editor.tell("exit", Value::Null);
    assert_eq!(editor.exit_code(), 1);
    let mut editor = Editor::new(&desk);
    editor.hang_up();
    assert_eq!(editor.exit_code(), 1);
    let mut editor = Editor::new(&desk);
    editor.ask("shutdown", Value::Null);
    editor.hang_up();
    assert_eq!(editor.exit_code(), 1);
}

#[test]
fn requests_obey_the_lifecycle() {
    let desk = Desk::new();
    let mut editor = Editor::silent(&desk, &[]);
    assert_eq!(editor.refused("textDocument/hover", json!({})), -32002);
    assert_eq!(editor.refused("shutdown", Value::Null), -32002);
    // Dropped: it was not initialized.
    editor.open("file:///early.updo", 1, "plan");
    editor.ask("initialize", json!({"capabilities": {}}));
    assert_eq!(
        editor.refused("initialize", json!({"capabilities": {}})),
        -32600
    );
    assert_eq!(editor.refused("workspace/noSuchThing", json!({})), -32601);
    assert_eq!(editor.refused("$/noSuchThing", json!({})), -32601);
    editor.tell("$/setTrace", json!({"value": "off"}));
    editor.ask("shutdown", Value::Null);
    assert_eq!(editor.refused("textDocument/hover", json!({})), -32600);
    assert_eq!(editor.refused("shutdown", Value::Null), -32600);
    let printed = editor.drain(|message| message["method"] == "textDocument/publishDiagnostics");
    assert!(printed.is_empty(), "{printed:?}");
    editor.tell("exit", Value::Null);
    assert_eq!(editor.exit_code(), 0);
}

#[test]
fn watched_files_are_registered_with_a_capable_editor() {
    let desk = Desk::new();
    let watch = json!({"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": true}}});
    let mut editor = Editor::with(&desk, &[], watch);
    let asked = editor.find(|message| message["method"] == "client/registerCapability");
    editor.body(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": null}).to_string());
    editor.leave();
}
