//! Whether a node can run a script by OTP's release handler: its module must be there, and the files that it will read
//! must be the ones that the preview shows.
//!
//! Takes a session and a script, gives E418. Asks only: `code:which/1` loads nothing, `beam_lib:md5/1` reads files.

use std::time::Duration;

use crate::diag::{Code, Diagnostic, Result};
use crate::facts::change::ChangeSet;
use crate::node::{CallError, Session};
use crate::plan::{ExecutionEngine, Plan};
use crate::script::lower::{Executor, Script};
use crate::script::release_handler::refused;
use crate::term::{Atom, Fun, Term};

/// How long the node may take to read the files.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How many modules a diagnostic names.
const NAMED: usize = 8;

/// What is missing for `engine release_handler`; nothing for the other engine.
///
/// # Errors
/// E508 when the node does not answer.
pub fn missing(
    session: &Session,
    plan: &Plan,
    changes: &ChangeSet,
    script: &Script,
) -> Result<Vec<Diagnostic>> {
    let (ExecutionEngine::ReleaseHandler(span), Executor::ReleaseHandler(libraries)) =
        (plan.engine, &script.by)
    else {
        return Ok(Vec::new());
    };
    let failed = |error: CallError| error.diagnostic("asking for the release handler");
    let name = Term::atom("release_handler_1");
    let which = session
        .call("code", "which", vec![name], TIMEOUT)
        .map_err(failed)?;
    if which.is_atom("non_existing") {
        let title = format!("{} has no release handler", session.node());
        return Ok(vec![
            refused(title, span)
                .note("`release_handler_1` belongs to SASL, which is not in the node's code path")
                .help("delete the `engine` statement: updo's own engine needs no SASL"),
        ]);
    }
    if libraries.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<_> = script
        .modules()
        .filter_map(|module| {
            let beam = changes.modules.get(module)?.new.as_ref()?;
            Some((module, beam.file.as_str(), beam.facts.md5))
        })
        .collect();
    let md5 = Term::Fun(Fun::External {
        module: Atom::new("beam_lib"),
        name: Atom::new("md5"),
        arity: 1,
    });
    let files = Term::list(wanted.iter().map(|(_, file, _)| Term::string(file)));
    let answers = session
        .call("lists", "map", vec![md5, files], TIMEOUT)
        .map_err(failed)?;
    let answers = answers.as_list().unwrap_or_default();
    let other: Vec<String> = wanted
        .iter()
        .enumerate()
        .filter(|(at, (_, _, md5))| {
            let found = answers.get(*at).and_then(Term::as_tuple);
            let found = found.and_then(|answer| answer.get(1)?.as_tuple()?.get(1)?.as_bytes());
            found != Some(md5.as_ref())
        })
        .map(|(_, (module, file, _))| format!("{module}: {file}"))
        .collect();
    if other.is_empty() {
        return Ok(Vec::new());
    }
    let title =
        "the release handler reads object code from the node's disk, and the new code is not there";
    let diagnostic = Diagnostic::new(Code::E418, title).label(span, "asked for here");
    let diagnostic = other.iter().take(NAMED).fold(diagnostic, Diagnostic::note);
    let diagnostic = diagnostic.help("copy the beams to the node's disk and write `code on_disk.`, or delete the `engine` statement");
    Ok(vec![diagnostic])
}
