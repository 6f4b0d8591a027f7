//! Questions that look at all processes, as compiled modules: kept in the state folder like the agent, and sent as a beam.
//!
//! `erl_eval` takes a few thousand reductions for each small step of a question. A compiled one costs the node a
//! hundredth, once it is there; to compile it costs as much as to evaluate it a few times. So the first node of a release
//! compiles it, at low priority, and all others get what it has made.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::agent::Compiling;
use super::evaluate::{Parsed, evaluate_parsed};
use super::{CallError, Session};
use crate::state::agents;
use crate::term::Term;

/// `compiled.erlexpr`, parsed.
static ASK: LazyLock<Option<Parsed>> = LazyLock::new(|| Parsed::of(include_bytes!("compiled.etf")));

/// How the module is called, behind [`agents::PREFIX`]: no hexadecimal digits, as the name of a run has.
const NAME: &str = "find";

/// The answer to a question, a list of expressions in the abstract format with values for their variables; `None` when
/// it has to be evaluated: the node has no compiler, or no folder is known for what it compiles.
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
    let digest: String = question
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let place = place.with_file_name(format!("{name}-{digest}"));
    let otp = session.otp().to_string();
    if let Some(beam) = agents::load(&place, &otp, NAME) {
        match asked(session, &Term::binary(&beam), &none(), args, timeout)? {
            Answer::Is(answer, _) => return Ok(Some(answer)),
            // It is no beam, or one of another patch of this release: made anew.
            Answer::Refused => {}
            Answer::Uncompiled | Answer::None => return Ok(None),
        }
        return compiled(session, (&place, &otp), exprs, args, timeout);
    }
    if session.compiles_slowly() {
        return Ok(None);
    }
    // Of several nodes one compiles it, and the others get what it has made.
    let compiling = Compiling::begin(&place, &otp);
    if let Some(beam) = agents::load(&place, &otp, NAME) {
        drop(compiling);
        return match asked(session, &Term::binary(&beam), &none(), args, timeout)? {
            Answer::Is(answer, _) => Ok(Some(answer)),
            _ => Ok(None),
        };
    }
    compiled(session, (&place, &otp), exprs, args, timeout)
}

/// Has the node compile the question, and keeps what it has made.
fn compiled(
    session: &Session,
    (place, otp): (&Path, &str),
    exprs: &Term,
    args: &Term,
    timeout: Duration,
) -> Result<Option<Term>, CallError> {
    match asked(session, &none(), exprs, args, timeout)? {
        Answer::Is(answer, made) => {
            if let Some(made) = made {
                agents::keep(place, otp, &made);
            }
            Ok(Some(answer))
        }
        Answer::Uncompiled => {
            session.compiles_slowly_from_now_on();
            Ok(None)
        }
        Answer::Refused | Answer::None => Ok(None),
    }
}

/// What a node says to a compiled question.
enum Answer {
    /// The answer, and the beam that the node has made for it.
    Is(Term, Option<Vec<u8>>),
    /// It does not load the beam.
    Refused,
    /// It has no compiler, or takes too long.
    Uncompiled,
    /// It is better evaluated this time.
    None,
}

fn none() -> Term {
    Term::atom("none")
}

fn asked(
    session: &Session,
    beam: &Term,
    exprs: &Term,
    args: &Term,
    timeout: Duration,
) -> Result<Answer, CallError> {
    let bindings = vec![
        ("Name", Term::atom(format!("{}{NAME}", agents::PREFIX))),
        ("Beam", beam.clone()),
        ("Exprs", exprs.clone()),
        ("Args", args.clone()),
    ];
    let answer = evaluate_parsed(session, ASK.as_ref(), bindings, timeout)?;
    Ok(match answer.as_tuple() {
        Some([ok, answer, made]) if ok.is_atom("ok") => {
            Answer::Is(answer.clone(), made.as_bytes().map(<[u8]>::to_vec))
        }
        Some([_, why]) if why.is_atom("refused") => Answer::Refused,
        Some([_, why]) if why.is_atom("uncompiled") => Answer::Uncompiled,
        _ => Answer::None,
    })
}
