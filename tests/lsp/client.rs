//! An editor, as a language server sees it: it starts `updo lsp`, speaks first and reads everything.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::desk::{Desk, UPDO};
use crate::support::{PATIENCE, TestNode};

/// An editor with one server.
pub struct Editor {
    server: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// Notifications that came while something else was waited for.
    kept: Vec<Value>,
    next: i64,
}

impl Editor {
    /// Starts the server and says nothing.
    pub fn start(mut command: Command) -> Self {
        let mut server = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("updo starts");
        let output = server.stdout.take().expect("stdout is piped");
        let (send, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if send.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            input: server.stdin.take(),
            server,
            messages,
            kept: Vec::new(),
            next: 0,
        }
    }

    /// Starts it at a desk.
    pub fn silent(desk: &Desk, args: &[&str]) -> Self {
        let mut command = desk.command(UPDO);
        command.arg("lsp").args(args);
        Self::start(command)
    }

    /// Starts it and introduces itself, with these capabilities.
    pub fn with(desk: &Desk, args: &[&str], capabilities: Value) -> Self {
        let mut editor = Self::silent(desk, args);
        let root = uri(desk.path());
        editor.ask(
            "initialize",
            json!({"processId": null, "rootUri": root, "capabilities": capabilities}),
        );
        editor.tell("initialized", json!({}));
        editor
    }

    /// Starts it aimed at a node, as an editor that draws everything anew when it is asked to.
    pub fn on(desk: &Desk, node: &TestNode, args: &[&str]) -> Self {
        let mut command = desk.command(UPDO);
        command
            .args(["lsp", "-t", node.name()])
            .args(args)
            .env("UPDO_EPMD_PORT", node.epmd_port().to_string());
        let mut editor = Self::start(command);
        let refresh = json!({"refreshSupport": true});
        let workspace = json!({"codeLens": refresh, "inlayHint": refresh});
        editor.ask(
            "initialize",
            json!({"capabilities": {"workspace": workspace}}),
        );
        editor.tell("initialized", json!({}));
        editor
    }

    /// Waits until a look at the node is over.
    pub fn await_look(&mut self) {
        self.find(|message| message["method"] == "workspace/codeLens/refresh");
    }

    /// The diagnostics of a document, as soon as they are as they should be.
    pub fn await_diagnostics(&mut self, uri: &str, good: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let is_ours = |message: &Value| {
            message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["uri"] == uri
        };
        let list = |message: &Value| {
            message["params"]["diagnostics"]
                .as_array()
                .expect("an array")
                .clone()
        };
        let message = self.find(|message| is_ours(message) && good(&list(message)));
        // What was shown before counts no more.
        let found = list(&message);
        self.kept.retain(|message| !is_ours(message));
        found
    }

    /// The same with none.
    pub fn new(desk: &Desk) -> Self {
        Self::with(desk, &[], json!({}))
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("not closed yet");
        // A server that has gone is noticed when something is expected of it.
        let _ = input.write_all(bytes).and_then(|()| input.flush());
    }

    /// A body with its header.
    pub fn body(&mut self, body: &str) {
        self.raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }

    /// A notification.
    pub fn tell(&mut self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.body(&message.to_string());
    }

    /// A request; its whole answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.body(&message.to_string());
        self.await_answer(&json!(id))
    }

    /// The answer with an id.
    pub fn await_answer(&mut self, id: &Value) -> Value {
        self.find(|message| message.get("id") == Some(id) && message.get("method").is_none())
    }

    /// A request; its result.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.request(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// A request that must fail; the code.
    pub fn refused(&mut self, method: &str, params: Value) -> i64 {
        let answer = self.request(method, params);
        answer["error"]["code"]
            .as_i64()
            .unwrap_or_else(|| panic!("{method}: {answer}"))
    }

    /// The first message that fits, whether it came already or comes now.
    pub fn find(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&fits) {
            return self.kept.remove(at);
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self
                .messages
                .recv_timeout(left)
                .unwrap_or_else(|why| panic!("nothing comes any more ({why}): {:?}", self.kept));
            if fits(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    /// Opens a document.
    pub fn open(&mut self, uri: &str, version: i32, text: &str) {
        self.tell(
            "textDocument/didOpen",
            json!({"textDocument": {"uri": uri, "languageId": "updo", "version": version, "text": text}}),
        );
    }

    /// Replaces a document's text.
    pub fn change(&mut self, uri: &str, version: i32, text: &str) {
        self.edit(uri, version, json!([{"text": text}]));
    }

    /// Changes a document.
    pub fn edit(&mut self, uri: &str, version: i32, changes: Value) {
        self.tell(
            "textDocument/didChange",
            json!({"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}),
        );
    }

    /// The diagnostics of a version of a document.
    pub fn diagnostics(&mut self, uri: &str, version: Option<i32>) -> Vec<Value> {
        let message = self.find(|message| {
            let params = &message["params"];
            message["method"] == "textDocument/publishDiagnostics"
                && params["uri"] == uri
                && version.is_none_or(|version| params["version"] == version)
        });
        message["params"]["diagnostics"]
            .as_array()
            .expect("an array")
            .clone()
    }

    /// Opens a document and gives what is said of it.
    pub fn opened(&mut self, uri: &str, text: &str) -> Vec<Value> {
        self.open(uri, 1, text);
        self.diagnostics(uri, Some(1))
    }

    /// All messages so far that fit; none of them is kept.
    pub fn drain(&mut self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.kept.extend(self.messages.try_iter());
        let (found, kept) = self.kept.drain(..).partition(|message| fits(message));
        self.kept = kept;
        found
    }

    /// Closes the server's input.
    pub fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for the server's end; its exit code.
    pub fn exit_code(&mut self) -> i32 {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.server.try_wait().expect("the server can be asked") {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Leaves as one should.
    pub fn leave(mut self) {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        assert_eq!(self.exit_code(), 0);
    }

    /// The process of the server.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The URI of a file.
pub fn uri(path: &Path) -> String {
    format!(
        "file://{}",
        path.canonicalize()
            .unwrap_or_else(|_| path.to_owned())
            .display()
    )
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        length = line
            .strip_prefix("Content-Length: ")
            .map(|n| n.parse().expect("a number"));
    }
    let mut body = vec![0; length.expect("a length")];
    output.read_exact(&mut body).ok()?;
    let message: Value = serde_json::from_slice(&body).expect("the server writes JSON");
    assert_eq!(message["jsonrpc"], "2.0");
    Some(message)
}

/// The codes of diagnostics.
pub fn codes(diagnostics: &[Value]) -> Vec<&str> {
    diagnostics
        .iter()
        .filter_map(|d| d["code"].as_str())
        .collect()
}
