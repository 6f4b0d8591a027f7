//! The conversation: one line a message, calls side by side, until the assistant closes its end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use serde_json::Value;

use super::call;
use super::protocol::{self, Asked, INVALID_REQUEST, ToolCall};

/// The longest message.
const MAX_MESSAGE: u64 = 4 << 20;

/// So many calls run at a time; others wait.
const AT_A_TIME: usize = 4;

/// So many may wait or run.
const AT_MOST: usize = 64;

/// How the tools are run.
pub struct ServerOptions {
    /// updo itself.
    pub program: PathBuf,
    /// Flags of every call: cookie file, name and the like.
    pub flags: Vec<String>,
    /// The plan or node of calls that name none.
    pub subject: Option<String>,
    /// The target of plans, where a call names none.
    pub target: Option<String>,
    /// Whether rehearsals may be asked for.
    pub rehearses: bool,
}

/// What the calls share.
struct Shared<W> {
    output: Mutex<W>,
    /// What stops each call, by its id as text.
    calls: Mutex<BTreeMap<String, Arc<AtomicBool>>>,
    free: (Mutex<usize>, Condvar),
}

/// A lock that a call which panicked has left: what it guards is whole after every statement.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<W: Write> Shared<W> {
    /// One message, one line. A client that has gone reads nothing: then the input ends, too.
    fn write(&self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        let mut output = locked(&self.output);
        let _ = output
            .write_all(line.as_bytes())
            .and_then(|()| output.flush());
    }
}

/// Serves until the input ends; calls that go on are ended then.
pub fn serve(input: impl Read, output: impl Write + Send, options: &ServerOptions) {
    let shared = Shared {
        output: Mutex::new(output),
        calls: Mutex::default(),
        free: (Mutex::new(AT_A_TIME), Condvar::new()),
    };
    let mut input = BufReader::new(input);
    thread::scope(|scope| {
        while let Some(line) = next(&mut input) {
            let asked = match line {
                Line::Whole(line) if line.trim_ascii().is_empty() => continue,
                Line::Whole(line) => protocol::read(&line, options.rehearses),
                Line::TooLong => Asked::Answer(protocol::error(
                    &Value::Null,
                    INVALID_REQUEST,
                    &format!("a message has at most {MAX_MESSAGE} bytes"),
                )),
            };
            match asked {
                Asked::Nothing => {}
                Asked::Answer(answer) => shared.write(&answer),
                Asked::Cancel(id) => {
                    if let Some(stop) = locked(&shared.calls).get(&id.to_string()) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Asked::Call(call) => match begun(&shared, &call.id) {
                    Ok(stop) => {
                        let shared = &shared;
                        scope.spawn(move || answer(shared, options, &call, &stop));
                    }
                    Err(why) => shared.write(&protocol::error(&call.id, INVALID_REQUEST, why)),
                },
            }
        }
        for stop in locked(&shared.calls).values() {
            stop.store(true, Ordering::Relaxed);
        }
    });
}

/// Notes a call; what stops it.
fn begun<W>(shared: &Shared<W>, id: &Value) -> Result<Arc<AtomicBool>, &'static str> {
    let mut calls = locked(&shared.calls);
    if calls.len() >= AT_MOST {
        return Err("too many calls at a time");
    }
    let stop = Arc::new(AtomicBool::new(false));
    match calls.entry(id.to_string()) {
        std::collections::btree_map::Entry::Occupied(_) => Err("a call with this id is going on"),
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(Arc::clone(&stop));
            Ok(stop)
        }
    }
}

fn answer<W: Write>(
    shared: &Shared<W>,
    options: &ServerOptions,
    call: &ToolCall,
    stop: &AtomicBool,
) {
    let (free, freed) = &shared.free;
    let mut places = locked(free);
    while *places == 0 {
        places = freed
            .wait(places)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    *places -= 1;
    drop(places);
    let ended = match stop.load(Ordering::Relaxed) {
        true => Err("cancelled".to_owned()),
        false => called(options, call, stop),
    };
    *locked(free) += 1;
    freed.notify_one();
    locked(&shared.calls).remove(&call.id.to_string());
    // Who has cancelled a call waits for no answer.
    if !stop.load(Ordering::Relaxed) {
        shared.write(&protocol::called(call, ended));
    }
}

fn called(
    options: &ServerOptions,
    call: &ToolCall,
    stop: &AtomicBool,
) -> Result<call::Called, String> {
    let arguments = call
        .tool
        .arguments(&call.arguments, options.subject.as_deref())?;
    let mut all = options.flags.clone();
    all.extend(["--json", "--no-input", "--color=never", "--width=120"].map(str::to_owned));
    // A node in place of a plan is its own target.
    let is_plan = arguments
        .iter()
        .skip_while(|argument| *argument != "--")
        .nth(1)
        .is_some_and(|subject| subject.ends_with(".updo"));
    let target = options.target.as_deref().filter(|_| is_plan);
    all.extend(arguments);
    call::run(&options.program, &all, target, stop)
        .map_err(|why| format!("updo cannot be started again: {why}"))
}

/// A line of the input.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line; nothing when the input is over.
fn next(input: &mut impl BufRead) -> Option<Line> {
    let mut line = Vec::new();
    let mut part = input.take(MAX_MESSAGE);
    match part.read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => return None,
        Ok(_) if line.ends_with(b"\n") => return Some(Line::Whole(line)),
        // Half a line is no message: the writer has gone.
        Ok(_) if part.limit() > 0 => return None,
        Ok(_) => {}
    }
    loop {
        let buffer = input.fill_buf().ok()?;
        let (end, length) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (true, end + 1),
            None => (false, buffer.len()),
        };
        if length == 0 {
            return None;
        }
        input.consume(length);
        if end {
            return Some(Line::TooLong);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answers(input: &[u8]) -> Vec<Value> {
        let options = ServerOptions {
            program: PathBuf::from("/nonexistent"),
            flags: Vec::new(),
            subject: Some("x@localhost".to_owned()),
            target: None,
            rehearses: false,
        };
        let mut output = Vec::new();
        serve(input, &mut output, &options);
        let lines = output.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect()
    }

    #[test]
    fn lines_are_messages_and_a_long_one_costs_itself_only() {
        let mut input = b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n".to_vec();
        input.extend(vec![b'x'; 5 << 20]);
        input.extend(b"\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n{\"jsonrpc\":");
        let answers = answers(&input);
        assert_eq!(
            answers[0],
            json!({ "jsonrpc": "2.0", "id": 1, "result": {} })
        );
        assert_eq!(answers[1]["error"]["code"], INVALID_REQUEST);
        assert_eq!(answers[2]["id"], 2);
        assert_eq!(answers.len(), 3);
    }

    #[test]
    fn without_rehearsals_there_is_no_such_tool() {
        let list = answers(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n");
        let text = list[0].to_string();
        assert!(text.contains("\"preview\"") && !text.contains("\"rehearse\""));
        let call = answers(
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"rehearse\"}}\n",
        );
        assert_eq!(call[0]["error"]["message"], "there is no tool `rehearse`");
    }
}
