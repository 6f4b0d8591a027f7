//! W626, W627: what others have done to processes and modules that take part, and what becomes of it.

use crate::diag::{Code, Diagnostic};
use crate::name::Module;

/// How many processes or functions are named one by one.
const NAMED: usize = 8;

/// W626: processes that are suspended already.
pub(super) fn suspended(module: &Module, pids: &[String]) -> Diagnostic {
    let (number, them) = match pids.len() {
        1 => ("1 process".to_owned(), "it is"),
        n => (format!("{n} processes"), "they are"),
    };
    let title = format!("{number} of `{module}` suspended already");
    Diagnostic::new(Code::W626, title)
        .note(some(pids))
        .note(format!(
            "{them} converted like the others, and suspended after the run as before it"
        ))
        .help("to let one run again: `sys:resume(c:pid(A,B,C)).` on the node")
}

/// W627: functions that are traced, or whose calls are counted.
pub(super) fn traced(module: &Module, functions: &[String]) -> Diagnostic {
    let title = format!("`{module}` is traced: loading it ends that");
    Diagnostic::new(Code::W627, title)
        .note(some(functions))
        .note("breakpoints and call counts belong to the loaded code; they are not set again")
        .help("set the trace patterns again after the run")
}

/// The first few, and how many more.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
