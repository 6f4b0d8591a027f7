//! Calls to a node: one round trip each, many questions at once by documented functions that call functions.

use std::time::Duration;

use crate::diag::{Code, Diagnostic, Result};
use crate::name::Module;
use crate::node::{CallError, Session};
use crate::term::{Atom, Fun, Term};

/// How long a question may take.
pub(in crate::facts) const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Ask<'a> {
    pub(super) session: &'a Session,
}

impl Ask<'_> {
    pub(super) fn call(&self, module: &str, function: &str, args: Vec<Term>) -> Result<Term> {
        let arity = args.len();
        self.session
            .call(module, function, args, TIMEOUT)
            .map_err(|error| call_failed(&format!("{module}:{function}/{arity}"), error))
    }

    /// `M:module_info(Item)` of many modules in one round trip.
    pub(super) fn module_info(&self, modules: &[&Module], item: &str) -> Result<Vec<Term>> {
        let names = Term::list(modules.iter().map(|m| Term::atom(m.as_str())));
        let each = |term: Term| Term::List(vec![term; modules.len()]);
        let args = vec![
            function("erlang", "apply", 3),
            names,
            each(Term::atom("module_info")),
            each(Term::list([Term::atom(item)])),
        ];
        match self.call("lists", "zipwith3", args)? {
            Term::List(answers) if answers.len() == modules.len() => Ok(answers),
            other => Err(unexpected_reply("module_info/1", &other)),
        }
    }
}

/// `fun m:f/a` as a term.
pub(in crate::facts) fn function(module: &str, name: &str, arity: u8) -> Term {
    Term::Fun(Fun::External {
        module: Atom::new(module),
        name: Atom::new(name),
        arity,
    })
}

pub(in crate::facts) fn call_failed(what: &str, error: CallError) -> Box<Diagnostic> {
    error.diagnostic(what)
}

pub(in crate::facts) fn unexpected_reply(what: &str, answer: &Term) -> Box<Diagnostic> {
    let text: String = answer.to_string().chars().take(200).collect();
    Box::new(
        Diagnostic::new(
            Code::E506,
            format!("{what} gave an answer that OTP does not give"),
        )
        .note(text),
    )
}
