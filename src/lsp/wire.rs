//! Messages on a stream: a header with a length, then JSON.
//!
//! Takes bytes from an editor and gives messages whose parameters are still text; takes values and writes them. Lengths
//! are believed only as far as bytes come, so nothing is reserved for what a header promises. What is no JSON costs that
//! message and no other; only a header that cannot be read ends the conversation, because it is unknown where the
//! next message begins.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The longest message that is read: a plan of the largest size, with room for JSON's escapes.
const MAX_MESSAGE: u64 = 32 << 20;

/// The longest message that is skipped; beyond it the length is a lie.
const MAX_SKIPPED: u64 = 4 << 30;

/// The longest header.
const MAX_HEADER: u64 = 8 << 10;

/// Messages that wait for the editor to read them; then the server waits.
const WAITING: usize = 256;

/// How long the editor may take for the rest when the conversation is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// JSON-RPC: the message is no JSON.
pub(super) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: it is JSON and no message, or not one for this moment.
pub(super) const INVALID_REQUEST: i32 = -32600;
/// JSON-RPC: the method is unknown.
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
/// JSON-RPC: the method does not take these parameters.
pub(super) const INVALID_PARAMS: i32 = -32602;
/// LSP: the first request must be `initialize`.
pub(super) const NOT_INITIALIZED: i32 = -32002;
/// LSP: understood, and it cannot be done.
pub(super) const REQUEST_FAILED: i32 = -32803;

/// What came from the editor.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A request, with its id as it came.
    Request(Value, String, Option<Box<RawValue>>),
    /// A notification.
    Notification(String, Option<Box<RawValue>>),
    /// An answer to a request of ours.
    Response,
    /// Something else, with the code and the words to answer it with.
    Malformed(i32, String),
    /// The stream cannot be understood any further.
    Broken(String),
    /// The editor is gone.
    Closed,
}

/// The next message.
pub(super) fn read(input: &mut impl BufRead) -> Incoming {
    let length = match length(input) {
        Ok(Some(length)) => length,
        Ok(None) => return Incoming::Closed,
        Err(why) => return Incoming::Broken(why),
    };
    if length > MAX_SKIPPED {
        return Incoming::Broken(format!("a message of {length} bytes is announced"));
    }
    let mut body = input.take(length);
    if length > MAX_MESSAGE {
        let skipped = std::io::copy(&mut body, &mut std::io::sink());
        return match skipped {
            Ok(skipped) if skipped == length => Incoming::Malformed(
                INVALID_REQUEST,
                format!("a message of {length} bytes is skipped: at most {MAX_MESSAGE} are read"),
            ),
            _ => Incoming::Closed,
        };
    }
    let mut bytes = Vec::new();
    match body.read_to_end(&mut bytes) {
        Ok(got) if got as u64 == length => message(&bytes),
        _ => Incoming::Closed,
    }
}

/// The length in the header; nothing at the end of the stream.
fn length(input: &mut impl BufRead) -> Result<Option<u64>, String> {
    let mut header = input.take(MAX_HEADER);
    let mut length = None;
    let mut first = true;
    loop {
        let mut line = Vec::new();
        match header.read_until(b'\n', &mut line) {
            Ok(0) if first => return Ok(None),
            Ok(_) if line.ends_with(b"\n") => {}
            Ok(_) if header.limit() == 0 => return Err("the header is too long".to_owned()),
            // The stream ends in the middle of a header: the writer has gone.
            Ok(_) | Err(_) => return Ok(None),
        }
        first = false;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if line.is_empty() {
            return match length {
                Some(length) => Ok(Some(length)),
                None => Err("a header without Content-Length".to_owned()),
            };
        }
        let Some((name, value)) = line.split_once(':') else {
            let start: String = line.chars().take(40).collect();
            return Err(format!("`{start}` is no header"));
        };
        if name.trim().eq_ignore_ascii_case("Content-Length") {
            let Ok(value) = value.trim().parse() else {
                return Err("Content-Length is no number".to_owned());
            };
            length = Some(value);
        }
    }
}

fn message(bytes: &[u8]) -> Incoming {
    let fields: BTreeMap<String, Box<RawValue>> = match serde_json::from_slice(bytes) {
        Ok(fields) => fields,
        Err(why) if why.is_data() => {
            return Incoming::Malformed(INVALID_REQUEST, "a message is a JSON object".to_owned());
        }
        Err(why) => return Incoming::Malformed(PARSE_ERROR, format!("no JSON: {why}")),
    };
    let mut fields = fields;
    let method = fields.remove("method");
    let id = fields.remove("id");
    let Some(method) = method else {
        return match id {
            Some(_) if fields.contains_key("result") || fields.contains_key("error") => {
                Incoming::Response
            }
            _ => Incoming::Malformed(INVALID_REQUEST, "a message without a method".to_owned()),
        };
    };
    let Ok(method) = serde_json::from_str::<String>(method.get()) else {
        return Incoming::Malformed(INVALID_REQUEST, "a method is a string".to_owned());
    };
    let params = fields.remove("params").filter(|raw| raw.get() != "null");
    let Some(id) = id else {
        return Incoming::Notification(method, params);
    };
    match serde_json::from_str::<Value>(id.get()) {
        Ok(id @ (Value::Number(_) | Value::String(_))) => Incoming::Request(id, method, params),
        _ => Incoming::Malformed(INVALID_REQUEST, "an id is a number or a string".to_owned()),
    }
}

/// What goes to the editor, in the order in which it is said. A thread writes it, so that an editor that is writing
/// itself does not wait for us while we wait for it.
pub(super) struct Outgoing {
    queue: Option<SyncSender<Vec<u8>>>,
    done: Receiver<()>,
    /// Whether the editor cannot be reached any more.
    pub gone: bool,
    next: i64,
}

impl Outgoing {
    /// Starts the thread.
    pub fn new(mut output: impl Write + Send + 'static) -> Self {
        let (queue, messages) = sync_channel::<Vec<u8>>(WAITING);
        let (over, done) = sync_channel(1);
        std::thread::spawn(move || {
            for message in messages {
                let header = format!("Content-Length: {}\r\n\r\n", message.len());
                let written = output
                    .write_all(header.as_bytes())
                    .and_then(|()| output.write_all(&message))
                    .and_then(|()| output.flush());
                if written.is_err() {
                    break;
                }
            }
            let _ = over.send(());
        });
        Self {
            queue: Some(queue),
            done,
            gone: false,
            next: 0,
        }
    }

    /// The answer to a request.
    pub fn answer(&mut self, id: Value, result: Result<Value, (i32, String)>) {
        self.send(&match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err((code, message)) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        });
    }

    /// A notification.
    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// A request whose answer does not matter.
    pub fn ask(&mut self, method: &str, params: Value) {
        self.next += 1;
        let id = format!("updo-{}", self.next);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    fn send(&mut self, message: &Value) {
        let text = message.to_string().into_bytes();
        self.gone |= self
            .queue
            .as_ref()
            .is_none_or(|queue| queue.send(text).is_err());
    }

    /// Writes what is left, as long as the editor reads it.
    pub fn finish(mut self) {
        self.queue = None;
        let _ = self.done.recv_timeout(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn all(text: &str) -> Vec<Incoming> {
        let mut input = Cursor::new(text.as_bytes().to_vec());
        let mut found = Vec::new();
        loop {
            let one = read(&mut input);
            let over = matches!(one, Incoming::Closed | Incoming::Broken(_));
            found.push(one);
            if over {
                return found;
            }
        }
    }

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn messages_of_all_kinds() {
        let text = [
            framed(r#"{"id":12345678901234,"method":"a","params":{"x":1}}"#),
            framed(r#"{"method":"b"}"#)
                .replace("Content-Length: ", "Content-Type: x\r\ncontent-length:"),
            framed(r#"{"id":"s","result":null}"#),
        ]
        .concat();
        let found = all(&text);
        assert!(
            matches!(&found[0], Incoming::Request(id, method, Some(_)) if *id == json!(12345678901234_i64) && method == "a"),
            "{found:?}"
        );
        assert!(matches!(&found[1], Incoming::Notification(method, None) if method == "b"));
        assert!(matches!(found[2], Incoming::Response));
        assert!(matches!(found[3], Incoming::Closed));
    }

    #[test]
    fn what_is_no_message_costs_only_itself() {
        let deep = "[".repeat(100_000);
        let bad = [
            "{",
            "",
            "[]",
            "3",
            "{}",
            r#"{"method":1}"#,
            r#"{"id":{},"method":"a"}"#,
            "\u{0}",
            &deep,
        ];
        let mut text: String = bad.iter().map(|body| framed(body)).collect();
        text += &framed(r#"{"method":"good"}"#);
        let found = all(&text);
        assert_eq!(found.len(), bad.len() + 2, "{found:?}");
        for one in &found[..bad.len()] {
            assert!(matches!(one, Incoming::Malformed(..)), "{one:?}");
        }
        assert!(matches!(found[bad.len()], Incoming::Notification(..)));
    }

    #[test]
    fn lengths_are_not_believed() {
        let ends = |text: &str| all(text).pop();
        assert!(matches!(
            ends("Content-Length: 30000000\r\n\r\n{}"),
            Some(Incoming::Closed)
        ));
        assert!(matches!(
            ends("Content-Length: 40000000\r\n\r\n{}"),
            Some(Incoming::Closed)
        ));
        for broken in [
            "Content-Length: 99999999999999\r\n\r\n{}",
            "Content-Length: -1\r\n\r\n{}",
            "Content-Length: x\r\n\r\n{}",
            "Content-Type: x\r\n\r\n{}",
            "{}\r\n\r\n",
            &format!("X: {}\r\n", "y".repeat(10_000)),
        ] {
            assert!(
                matches!(ends(broken), Some(Incoming::Broken(_))),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_long_message_is_skipped() {
        let long = format!("\"{}\"", "x".repeat(MAX_MESSAGE as usize));
        let found = all(&(framed(&long) + &framed(r#"{"method":"good"}"#)));
        assert!(matches!(found[0], Incoming::Malformed(..)));
        assert!(matches!(found[1], Incoming::Notification(..)));
    }
}
