//! Messages: which answer each gets.
//!
//! Two kinds of clients are spoken with, by what they say first. Up to revision 2025-11-25 a conversation begins with
//! `initialize`; since 2026-07-28 there is none, and each request names its revision in `_meta`. Both may be mixed in one
//! conversation, since nothing is remembered of it.

use serde_json::{Map, Value, json};

use super::call::Called;
use super::tools::{TOOLS, exit};

/// The revision in which each request says which it is.
const MODERN: &str = "2026-07-28";

/// Those before it, the newest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Where a request says its revision.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Where a result says who answers.
const SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// How long a client may keep the list of tools, in milliseconds: it is that of the binary.
const KEEPS: u64 = 3_600_000;

pub(super) const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
pub(super) const INVALID_PARAMS: i32 = -32602;
const UNSUPPORTED_VERSION: i32 = -32022;

/// What an assistant reads first.
const INSTRUCTIONS: &str = "updo upgrades the code of live Erlang and Elixir nodes. These tools look, compare and rehearse; \
    none of them upgrades. Begin with `preview`; a diagnostic code in an answer is explained by `explain` with `code`. \
    The upgrade itself (`updo run`) and the way back (`updo rollback`) are for a person at a terminal.";

/// What a message asks for.
pub(super) enum Asked {
    /// An answer that is known at once.
    Answer(Value),
    /// Nothing.
    Nothing,
    /// A call of a tool: its id, and what it is.
    Call(ToolCall),
    /// The end of a call, by its id.
    Cancel(Value),
}

/// A call of a tool.
pub(super) struct ToolCall {
    pub id: Value,
    pub tool: &'static super::tools::Tool,
    pub arguments: Map<String, Value>,
    pub is_modern: bool,
}

/// Reads a message. `rehearses`: whether there is a tool that executes new code on a node.
pub(super) fn read(line: &[u8], rehearses: bool) -> Asked {
    let message: Value = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(why) => return Asked::Answer(error(&Value::Null, PARSE_ERROR, &why.to_string())),
    };
    let id = message.get("id").cloned();
    let method = message.get("method").and_then(Value::as_str);
    let is_version = message.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
    let is_id = |id: &Value| id.is_string() || id.is_i64() || id.is_u64();
    let (method, id) = match (method, id) {
        (Some(method), None) if is_version => return notification(method, &message),
        (Some(method), Some(id)) if is_version && is_id(&id) => (method, id),
        // An answer to a question that was not asked.
        (None, Some(_)) if message.get("result").or(message.get("error")).is_some() => {
            return Asked::Nothing;
        }
        _ => {
            let why = "not a request: an object with `jsonrpc` 2.0, `id` and `method`";
            return Asked::Answer(error(&Value::Null, INVALID_REQUEST, why));
        }
    };
    let empty = Value::Object(Map::new());
    let params = message.get("params").unwrap_or(&empty);
    let version = params.get("_meta").and_then(|meta| meta.get(VERSION));
    if let Some(version) = version.filter(|version| version.as_str() != Some(MODERN)) {
        let data = json!({ "supported": versions(), "requested": version });
        let mut answer = error(&id, UNSUPPORTED_VERSION, "unsupported protocol version");
        answer["error"]["data"] = data;
        return Asked::Answer(answer);
    }
    let is_modern = version.is_some();
    let answer = match method {
        "initialize" => initialize(params),
        "server/discover" => finished(
            json!({
                "supportedVersions": versions(),
                "capabilities": { "tools": {} },
                "instructions": INSTRUCTIONS,
                "ttlMs": KEEPS,
                "cacheScope": "public",
            }),
            true,
        ),
        "ping" => json!({}),
        "tools/list" => {
            let tools: Vec<Value> = available(rehearses).map(|tool| tool.listed()).collect();
            let mut list = json!({ "tools": tools });
            if is_modern {
                list["ttlMs"] = json!(KEEPS);
                list["cacheScope"] = json!("public");
            }
            finished(list, is_modern)
        }
        "tools/call" => return call(id, params, is_modern, rehearses),
        _ => {
            let why = format!("there is no method `{}`", short(method));
            return Asked::Answer(error(&id, METHOD_NOT_FOUND, &why));
        }
    };
    Asked::Answer(result(&id, answer))
}

fn available(rehearses: bool) -> impl Iterator<Item = &'static super::tools::Tool> {
    TOOLS
        .iter()
        .filter(move |tool| rehearses || tool.name != "rehearse")
}

fn versions() -> Vec<&'static str> {
    [MODERN].into_iter().chain(LEGACY).collect()
}

fn notification(method: &str, message: &Value) -> Asked {
    let id = message.get("params").and_then(|it| it.get("requestId"));
    match (method, id) {
        ("notifications/cancelled", Some(id)) => Asked::Cancel(id.clone()),
        _ => Asked::Nothing,
    }
}

fn initialize(params: &Value) -> Value {
    let wanted = params.get("protocolVersion").and_then(Value::as_str);
    let version = LEGACY.iter().find(|known| Some(**known) == wanted);
    json!({
        "protocolVersion": version.unwrap_or(&LEGACY[0]),
        "capabilities": { "tools": {} },
        "serverInfo": server(),
        "instructions": INSTRUCTIONS,
    })
}

fn server() -> Value {
    json!({ "name": "updo", "version": env!("CARGO_PKG_VERSION") })
}

fn call(id: Value, params: &Value, is_modern: bool, rehearses: bool) -> Asked {
    let name = params
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(tool) = available(rehearses).find(|tool| tool.name == name) else {
        let why = format!("there is no tool `{}`", short(name));
        return Asked::Answer(error(&id, INVALID_PARAMS, &why));
    };
    let arguments = match params.get("arguments") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => {
            return Asked::Answer(error(&id, INVALID_PARAMS, "`arguments` is to be an object"));
        }
    };
    Asked::Call(ToolCall {
        id,
        tool,
        arguments,
        is_modern,
    })
}

/// As much of a name as is repeated.
fn short(name: &str) -> String {
    name.chars().take(80).collect()
}

/// What a client of the newer kind finds in every result.
fn finished(mut answer: Value, is_modern: bool) -> Value {
    if is_modern {
        answer["resultType"] = json!("complete");
        answer["_meta"] = json!({ SERVER: server() });
    }
    answer
}

pub(super) fn result(id: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

pub(super) fn error(id: &Value, code: i32, why: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": why } })
}

/// The answer to a call: what the command has printed, as text and, where it is JSON, as a value. What went wrong is for the
/// assistant to read, so it is a result as well.
pub(super) fn called(call: &ToolCall, ended: Result<Called, String>) -> Value {
    let mut texts = Vec::new();
    let mut value = None;
    let is_error = match ended {
        Err(why) => {
            texts.push(why);
            true
        }
        Ok(Called {
            code,
            is_ended,
            stdout,
            stderr,
            is_cut,
        }) => {
            value = serde_json::from_str::<Value>(&stdout).ok();
            // Only objects, before 2026-07-28.
            value = value.filter(|value| call.is_modern || value.is_object());
            let outputs = [stdout, stderr].map(|text| text.trim_end().to_owned());
            texts.extend(outputs.into_iter().filter(|text| !text.is_empty()));
            if is_cut {
                texts.push("the output is longer than what is passed on".to_owned());
            }
            match code {
                Some(0) => {}
                Some(code) => texts.push(format!("exit code {code}: {}", exit(code))),
                None if is_ended => texts.push("it took too long, and was ended".to_owned()),
                None => texts.push("it was killed from outside: there is no answer".to_owned()),
            }
            // That states would not convert is what a rehearsal is asked.
            !matches!(code, Some(0 | 3 | 15))
        }
    };
    let content: Vec<Value> = texts
        .into_iter()
        .map(|text| json!({ "type": "text", "text": text }))
        .collect();
    let mut answer = json!({ "content": content, "isError": is_error });
    if let Some(value) = value {
        answer["structuredContent"] = value;
    }
    result(&call.id, finished(answer, call.is_modern))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(message: &Value) -> Value {
        match read(message.to_string().as_bytes(), true) {
            Asked::Answer(answer) => answer,
            _ => panic!("no answer to {message}"),
        }
    }

    proptest::proptest! {
        /// Whatever comes: one answer at most, of the form that is promised, and with the id that was asked with.
        #[test]
        fn any_message_gets_one_answer_at_most(
            method in "(initialize|ping|tools/(list|call)|server/discover|[a-z/]{0,9})",
            params in "(\\{\\}|\\[\\]|null|1|\"a\"|\\{\"name\":(\"preview\"|\"run\"|3|null)\\}|\\{\"_meta\":(1|\\{\\})\\}|\\{\"arguments\":\\[\\]\\})",
            id in "(1|-7|\"x\"|null|1\\.5|1:|\\{\\}|true)",
            cut in 0_usize..200,
        ) {
            let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            for line in [&line[..], &line[..cut.min(line.len())]] {
                match read(line.as_bytes(), false) {
                    Asked::Answer(answer) => {
                        assert_eq!(answer["jsonrpc"], "2.0");
                        assert!(answer.get("result").is_some() != answer.get("error").is_some());
                        let asked = serde_json::from_str::<Value>(&id).ok();
                        assert!(answer["id"].is_null() || Some(&answer["id"]) == asked.as_ref());
                    }
                    Asked::Call(call) => assert_eq!(call.tool.name, "preview"),
                    Asked::Nothing | Asked::Cancel(_) => {}
                }
            }
        }
    }

    #[test]
    fn older_clients_initialize_and_get_the_revision_that_both_know() {
        for (asked, given) in [
            ("2025-06-18", "2025-06-18"),
            ("2024-11-05", "2024-11-05"),
            ("2026-07-28", "2025-11-25"),
            ("1999-01-01", "2025-11-25"),
        ] {
            let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": { "protocolVersion": asked, "capabilities": {} } });
            assert_eq!(answer(&message)["result"]["protocolVersion"], given);
        }
        let list = answer(&json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/list" }));
        assert_eq!(list["id"], "a");
        assert_eq!(list["result"]["resultType"], Value::Null);
    }

    #[test]
    fn newer_clients_say_their_revision_in_each_request() {
        let ask = |method: &str, version: &str| {
            answer(&json!({ "jsonrpc": "2.0", "id": 7, "method": method,
                "params": { "_meta": { VERSION: version } } }))
        };
        let found = ask("server/discover", MODERN);
        assert_eq!(found["result"]["resultType"], "complete");
        assert_eq!(found["result"]["supportedVersions"][0], MODERN);
        let list = ask("tools/list", MODERN);
        assert_eq!(list["result"]["cacheScope"], "public");
        assert_eq!(list["result"]["tools"].as_array().map(Vec::len), Some(6));
        let refused = ask("tools/list", "2031-01-01");
        assert_eq!(refused["error"]["code"], UNSUPPORTED_VERSION);
        assert_eq!(refused["error"]["data"]["requested"], "2031-01-01");
    }

    #[test]
    fn what_is_no_request_is_answered_with_an_error_and_nothing_else() {
        for (line, code) in [
            ("{", PARSE_ERROR),
            ("[]", INVALID_REQUEST),
            ("3", INVALID_REQUEST),
            (
                r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
                INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
                INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/frob"}"#,
                METHOD_NOT_FOUND,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
                INVALID_PARAMS,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run"}}"#,
                INVALID_PARAMS,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"preview","arguments":[]}}"#,
                INVALID_PARAMS,
            ),
        ] {
            match read(line.as_bytes(), true) {
                Asked::Answer(answer) => assert_eq!(answer["error"]["code"], code, "{line}"),
                _ => panic!("{line}"),
            }
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(read(deep.as_bytes(), true), Asked::Answer(_)));
        for line in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            assert!(matches!(read(line.as_bytes(), true), Asked::Nothing));
        }
    }
}
