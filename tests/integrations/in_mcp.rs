//! `updo mcp`: a whole conversation of an assistant with the binary, about a real node.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::apps::bank;
use crate::support::desk::{Desk, UPDO, copy_agents, shared_agents};
use crate::support::{COOKIE, Options, TestNode};

const MODERN: &str = "2026-07-28";

/// An assistant at the other end. Dropped, it closes its end, and the server must end.
struct Assistant {
    server: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Assistant {
    fn start(desk: &Desk, node: &TestNode, args: &[&str]) -> Self {
        Self::start_in(desk, node, args, "")
    }

    /// With a folder in UPDO_DIRECTORY, if any.
    fn start_in(desk: &Desk, node: &TestNode, args: &[&str], folder: &str) -> Self {
        copy_agents(&shared_agents(), &desk.agents());
        let mut command = desk.command(UPDO);
        if !folder.is_empty() {
            command.env("UPDO_DIRECTORY", folder);
        }
        let mut server = command
            .arg("mcp")
            .args(args)
            .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("updo starts");
        let input = server.stdin.take();
        let output = BufReader::new(server.stdout.take().expect("it is piped"));
        Self {
            server,
            input,
            output,
            last: 0,
        }
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{message}").expect("it is read");
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("UTF-8");
        assert!(!line.contains(COOKIE), "the cookie is in an answer");
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line:?}"))
    }

    /// A request of the newer kind, and its result.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut params = params;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let id = self.last;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let answer = self.receive();
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(answer["error"], Value::Null);
        assert_eq!(answer["result"]["resultType"], "complete");
        answer["result"].clone()
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.ask(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }
}

impl Drop for Assistant {
    fn drop(&mut self) {
        drop(self.input.take());
        let status = self.server.wait().expect("it ends");
        assert!(status.success() || std::thread::panicking(), "{status}");
    }
}

/// The texts of a result.
fn text(result: &Value) -> String {
    let content = result["content"].as_array().expect("content");
    let texts = content.iter().filter_map(|part| part["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}

/// A node with the bank of version 1, and where version 2 is.
fn node_with_bank() -> (TestNode, String) {
    let node = Options::default().path(&bank().one).start();
    assert_eq!(node.eval_text("application:start(bank)"), "ok");
    (node, bank().two.display().to_string())
}

#[test]
fn an_assistant_sees_everything_of_an_upgrade_and_changes_nothing() {
    let (node, two) = node_with_bank();
    let before = node.eval_text("{bank_account:module_info(md5), length(processes())}");
    let desk = Desk::new();
    let mut assistant = Assistant::start(&desk, &node, &[node.name()]);
    let found = assistant.ask("server/discover", json!({}));
    assert_eq!(found["supportedVersions"][0], MODERN);
    assert_eq!(
        found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "updo"
    );
    let listed = assistant.ask("tools/list", json!({}));
    let tools = listed["tools"].as_array().expect("tools");
    let names: Vec<&str> = tools
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["preview", "explain", "diff", "rehearse", "status", "graph"]
    );
    for tool in tools {
        let schema = jsonschema::meta::validate(&tool["inputSchema"]);
        assert!(schema.is_ok(), "{tool}");
        assert_eq!(tool["annotations"]["destructiveHint"], false);
    }

    let status = assistant.call("status", json!({}));
    assert_eq!(
        status["structuredContent"][0]["node"],
        node.name(),
        "{status}"
    );
    let push = json!([two]);
    let preview = assistant.call("preview", json!({ "push": push }));
    assert_eq!(preview["isError"], false, "{preview}");
    let document = &preview["structuredContent"];
    assert_eq!(document["schema"], "updo.preview/1.0");
    let modules = document["modules"].to_string();
    assert!(modules.contains("bank_account"), "{modules}");
    let again: Value = serde_json::from_str(preview["content"][0]["text"].as_str().expect("text"))
        .expect("the text is the same document");
    assert_eq!(again, *document);
    let diff = assistant.call("diff", json!({ "push": push, "modules": ["bank_account"] }));
    assert!(text(&diff).contains("bank_account"), "{diff}");
    let graph = assistant.call("graph", json!({ "push": push }));
    assert!(graph["structuredContent"]["order"].is_array(), "{graph}");
    let why = assistant.call("explain", json!({ "push": push, "what": "bank_account" }));
    assert!(text(&why).contains("code differs"), "{why}");
    let rehearsal = assistant.call("rehearse", json!({ "push": push }));
    assert_eq!(
        rehearsal["structuredContent"]["schema"],
        "updo.rehearsal/1.0"
    );

    // Codes, offline; and what goes wrong, in words that an assistant reads.
    let code = assistant.call("explain", json!({ "code": "E501" }));
    assert!(text(&code).contains("no such node"), "{code}");
    let refused = assistant.call("preview", json!({ "subject": "absent@localhost" }));
    assert_eq!(refused["isError"], true);
    assert!(text(&refused).contains("E501") && text(&refused).contains("exit code 10"));
    let refused = assistant.call("preview", json!({ "yes": true }));
    assert!(
        text(&refused).contains("has no parameter `yes`"),
        "{refused}"
    );
    drop(assistant);

    let after = node.eval_text("{bank_account:module_info(md5), length(processes())}");
    assert_eq!(before, after);
    assert_eq!(
        node.eval_text(
            "[M || {M, _} <- code:all_loaded(), lists:prefix(\"updo\", atom_to_list(M))]"
        ),
        "[]"
    );
}

/// The server goes into the folder of UPDO_DIRECTORY once, and what it calls stays there.
#[test]
fn calls_are_in_the_folder_of_the_server() {
    let (node, _) = node_with_bank();
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("shop")).expect("a folder");
    desk.write("shop/p.updo", "plan \"In a folder\".\n");
    let mut assistant = Assistant::start_in(&desk, &node, &[], "shop");
    let status = assistant.call(
        "status",
        json!({ "subject": "p.updo", "target": node.name() }),
    );
    assert_ne!(status["isError"], json!(true), "{status}");
}

#[test]
fn an_older_client_initializes_first_and_calls_go_on_side_by_side_until_they_are_cancelled() {
    let (node, two) = node_with_bank();
    let desk = Desk::new();
    let plan = format!(
        "code push [\"{two}\"].\ntarget shop #{{nodes => ['{}']}}.\n",
        node.name()
    );
    desk.write("bank.updo", &plan);
    let mut assistant = Assistant::start(&desk, &node, &["--no-rehearse", "-t", "shop"]);
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" } });
    assistant.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }));
    let answer = assistant.receive();
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(answer["result"]["serverInfo"]["name"], "updo");
    assistant.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    assistant.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }));
    let list = assistant.receive();
    assert!(!list.to_string().contains("\"rehearse\""), "{list}");

    // The node does not answer now: the call waits, others are answered, and a cancelled one is not.
    node.signal("-STOP");
    let call = |id: u64, name: &str, arguments: Value| {
        let params = json!({ "name": name, "arguments": arguments });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
    };
    assistant.send(&call(3, "preview", json!({ "subject": "bank.updo" })));
    assistant.send(&call(4, "explain", json!({ "code": "W317" })));
    assert_eq!(assistant.receive()["id"], 4);
    let cancelled = json!({ "requestId": 3, "reason": "enough" });
    assistant.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled }),
    );
    assistant.send(&json!({ "jsonrpc": "2.0", "id": 5, "method": "ping" }));
    assert_eq!(assistant.receive()["id"], 5);
    node.signal("-CONT");
    assistant.send(&call(6, "preview", json!({ "subject": "bank.updo" })));
    let preview = assistant.receive();
    assert_eq!(preview["id"], 6, "{preview}");
    assert_eq!(preview["result"]["isError"], false, "{preview}");
    assert_eq!(preview["result"]["structuredContent"]["node"], node.name());

    // The end of the input ends a call that goes on.
    node.signal("-STOP");
    assistant.send(&call(7, "preview", json!({ "subject": "bank.updo" })));
    drop(assistant);
    node.signal("-CONT");
}
