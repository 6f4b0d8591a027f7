//! Questions that look at all processes, as compiled modules: kept in the state folder like the agent, and sent as a beam.
//!
//! `erl_eval` takes a few thousand reductions for each small step of a question. A compiled one costs the node a
//! hundredth, once it is there; to compile it costs as much as to evaluate it for some hundred processes. So what a node
//! of few processes is asked is evaluated.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::evaluate::evaluate;
use super::{CallError, Session};
use crate::state::agents;
use crate::term::Term;

/// `compiled.erlexpr`.
const TEXT: &str = include_str!("compiled.erlexpr");

/// From so many processes on it is cheaper to compile a question than to evaluate it.
const MANY: i64 = 300;

/// The answer to a question, a list of expressions in the abstract format with values for their variables; `None` when
/// it has to be evaluated: the node has few processes, no compiler, or no folder is known for what it compiles.
///
/// # Errors
/// What the question raises, and what keeps the node from answering.
pub fn ask(
    session: &Session,
    exprs: &Term,
    args: &Term,
    timeout: Duration,
) -> Result<Option<Term>, CallError> {
    let Some(place) = session.agents() else {
        return Ok(None);
    };
    let question = Sha256::digest(crate::term::etf::encode(exprs));
    let digest: String = question[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let place = place.with_file_name(format!("{name}-{digest}"));
    let (otp, run) = (session.otp().to_string(), random());
    let beam = agents::load(&place, &otp, &run);
    if beam.is_none() {
        let asked = vec![Term::atom("process_count")];
        let count = session.call("erlang", "system_info", asked, timeout)?;
        if count.as_i64().is_none_or(|count| count < MANY) {
            return Ok(None);
        }
    }
    let none = || Term::atom("none");
    let sent = beam.as_ref().map_or_else(none, Term::binary);
    let exprs = if beam.is_some() {
        none()
    } else {
        exprs.clone()
    };
    let bindings = [
        ("Name", Term::atom(format!("{}{run}", agents::PREFIX))),
        ("Beam", sent),
        ("Exprs", exprs),
        ("Args", args.clone()),
    ];
    let answer = evaluate(session, TEXT, &bindings, timeout)?;
    match answer.as_tuple() {
        Some([ok, answer, compiled]) if ok.is_atom("ok") => {
            if let Some(compiled) = compiled.as_bytes() {
                agents::keep(&place, &otp, compiled);
            }
            Ok(Some(answer.clone()))
        }
        _ => Ok(None),
    }
}

/// Four hexadecimal digits.
fn random() -> String {
    let mut bytes = [0; 2];
    // Without randomness the process number has to do: one that is in use is not taken.
    if getrandom::fill(&mut bytes).is_err() {
        bytes.copy_from_slice(&std::process::id().to_le_bytes()[..2]);
    }
    format!("{:02x}{:02x}", bytes[0], bytes[1])
}
