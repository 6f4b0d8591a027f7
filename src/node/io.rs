//! Erlang's I/O protocol, as far as a called function needs it: what it prints is collected.
//!
//! Calls have our pid as their group leader, so `io:format/2` in a called function asks *us* to print.
//! Output is kept, bounded, until the session's user takes it; everything else is answered with
//! `{error, enotsup}`, because a process that gets no answer hangs. Follows "The Erlang I/O Protocol".

use super::control::{self, Payload};
use super::state::{PendingCall, Shared, Then, lock};
use crate::term::{Pid, Reference, Term};

/// Most bytes of output that are kept.
const MAX_OUTPUT: usize = 1 << 20;

/// Text that called functions printed.
#[derive(Default)]
pub(crate) struct Output {
    text: String,
    dropped: usize,
}

impl Output {
    fn push(&mut self, more: &str) {
        let mut room = MAX_OUTPUT.saturating_sub(self.text.len()).min(more.len());
        while !more.is_char_boundary(room) {
            room -= 1;
        }
        self.text.push_str(more.get(..room).unwrap_or_default());
        self.dropped += more.len() - room;
    }

    /// Takes it out, with a remark if there was too much.
    pub(crate) fn take(&mut self) -> String {
        let mut text = std::mem::take(&mut self.text);
        match std::mem::take(&mut self.dropped) {
            0 => {}
            bytes => text.push_str(&format!(
                "\n... {bytes} more bytes of output were dropped\n"
            )),
        }
        text
    }
}

/// A message to the pid in whose name calls are made.
pub(crate) fn on_message(shared: &Shared, message: Payload) {
    let Ok(Term::Tuple(fields)) = message.decode() else {
        return;
    };
    let Ok([tag, Term::Pid(from), reply_as, request]) = <[Term; 4]>::try_from(fields) else {
        return;
    };
    if !tag.is_atom("io_request") {
        return;
    }
    let Term::Tuple(request) = request else {
        return refuse(shared, &from, reply_as);
    };
    match &request[..] {
        [put, encoding, chars] if put.is_atom("put_chars") => {
            print(shared, chars, encoding.is_atom("latin1"), &from, reply_as);
        }
        [put, chars] if put.is_atom("put_chars") => print(shared, chars, true, &from, reply_as),
        [put, _, Term::Atom(_), Term::Atom(_), Term::List(_)]
        | [put, Term::Atom(_), Term::Atom(_), Term::List(_)]
            if put.is_atom("put_chars") =>
        {
            format(shared, request, from, reply_as);
        }
        _ => refuse(shared, &from, reply_as),
    }
}

/// Has the node itself make the text: `{put_chars, unicode, io_lib, format, Args}`.
fn format(shared: &Shared, mut request: Vec<Term>, from: Pid, reply_as: Term) {
    let (Some(Term::List(args)), Some(function), Some(module)) =
        (request.pop(), request.pop(), request.pop())
    else {
        return;
    };
    let (reference, result) = (shared.ids.reference(), shared.ids.reference());
    let Some(frame) = control::call(&shared.us, &reference, &result, (module, function, args))
    else {
        return refuse(shared, &from, reply_as);
    };
    if let Ok(mut state) = shared.state() {
        state.calls.insert(
            reference,
            PendingCall {
                result,
                then: Then::Print { from, reply_as },
                pid: None,
            },
        );
    }
    shared.post(&frame);
}

/// The node has made the text.
pub(crate) fn on_formatted(
    shared: &Shared,
    result: &Reference,
    reason: Payload,
    from: &Pid,
    reply_as: Term,
) {
    match super::rpc::interpret(reason, result) {
        Ok(chars) => print(shared, &chars, false, from, reply_as),
        Err(_) => refuse(shared, from, reply_as),
    }
}

fn print(shared: &Shared, chars: &Term, latin1: bool, from: &Pid, reply_as: Term) {
    let mut text = String::new();
    if flatten(chars, latin1, &mut text).is_none() {
        return refuse(shared, from, reply_as);
    }
    lock(&shared.output).push(&text);
    answer(shared, from, reply_as, Term::atom("ok"));
}

/// Says that we cannot do that.
pub(crate) fn refuse(shared: &Shared, from: &Pid, reply_as: Term) {
    answer(
        shared,
        from,
        reply_as,
        Term::tuple([Term::atom("error"), Term::atom("enotsup")]),
    );
}

fn answer(shared: &Shared, from: &Pid, reply_as: Term, result: Term) {
    if let Some(frame) = control::send(
        from,
        &Term::tuple([Term::atom("io_reply"), reply_as, result]),
    ) {
        shared.post(&frame);
    }
}

/// `unicode:chardata()` as text; `None` if it is something else. As deep as a decoded term may be.
fn flatten(chars: &Term, latin1: bool, out: &mut String) -> Option<()> {
    match chars {
        Term::Int(code) => out.push(char::from_u32(u32::try_from(*code).ok()?)?),
        Term::Binary(bytes) if latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
        Term::Binary(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Term::List(items) => items
            .iter()
            .try_for_each(|item| flatten(item, latin1, out))?,
        Term::Improper(items, tail) => {
            items
                .iter()
                .try_for_each(|item| flatten(item, latin1, out))?;
            flatten(tail, latin1, out)?;
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_and_marked() {
        let mut output = Output::default();
        output.push("abc");
        assert_eq!(output.take(), "abc");
        output.push(&"é".repeat(MAX_OUTPUT));
        let text = output.take();
        assert!(
            text.len() < MAX_OUTPUT + 100 && text.contains("more bytes of output were dropped")
        );
        assert_eq!(output.take(), "");
    }

    #[test]
    fn chardata_becomes_text() {
        let data = Term::list([
            Term::Int(104),
            Term::binary("é"),
            Term::list([Term::Int(0x263a)]),
        ]);
        let mut text = String::new();
        assert!(flatten(&data, false, &mut text).is_some());
        assert_eq!(text, "hé☺");
        assert!(flatten(&Term::Int(-1), false, &mut text).is_none());
        assert!(flatten(&Term::atom("x"), false, &mut text).is_none());
    }
}
