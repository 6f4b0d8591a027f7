//! `require`, `verify` and hooks: bodies evaluated here, whose remote calls run on the node.

use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use crate::diag::{Code, Diagnostic};
use crate::eval::{Bindings, CheckResult, Evaluator, Functions, Phase, Remote, RemoteError};
use crate::node::{CallError, Session};
use crate::plan::{Check, Plan};
use crate::rules::node_view::{LogLine, NodeView};
use crate::syntax::ast::{Expr, Tail};
use crate::term::{Atom, Term};

/// The node as the evaluator sees it.
#[derive(Debug)]
pub struct OnNode<'a>(pub &'a Session);

impl Remote for OnNode<'_> {
    fn call(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        timeout: Duration,
    ) -> Result<Term, RemoteError> {
        let pending = self.0.start_call(module.as_str(), function.as_str(), args);
        let answer = pending.and_then(|mut pending| {
            // A call that is given up must not go on unseen on the node.
            pending.poll(timeout).unwrap_or_else(|| {
                pending.kill();
                Err(CallError::Timeout)
            })
        });
        answer.map_err(remote_error)
    }

    fn can_nest(&self) -> bool {
        true
    }
}

/// A call that gave no value, as the language sees it.
pub(crate) fn remote_error(error: CallError) -> RemoteError {
    match error {
        CallError::Raised {
            class,
            reason,
            stack,
        } => RemoteError::Raised {
            class,
            reason,
            stack,
        },
        CallError::Timeout => RemoteError::Timeout,
        CallError::Lost(why) => RemoteError::Lost(why),
        CallError::Undecodable(_) | CallError::TooLarge => {
            RemoteError::Unreadable(error.to_string())
        }
    }
}

/// Everything a body may use.
pub struct CheckContext<'a> {
    /// The plan: constants and functions.
    pub plan: &'a Plan,
    /// The node.
    pub session: &'a Session,
    /// Its facts.
    pub view: NodeView<'a>,
    functions: Functions<'a>,
}

/// How a check ended.
#[derive(Clone, Debug)]
pub struct CheckVerdict {
    /// How often it was tried.
    pub tries: u32,
    /// How long that took.
    pub took: Duration,
    /// Why it does not hold; `None` when it does.
    pub failure: Option<Box<Diagnostic>>,
    /// What `info` and `warn` said in the last try.
    pub log: Vec<LogLine>,
}

impl<'a> CheckContext<'a> {
    /// A scene for one node.
    pub fn new(plan: &'a Plan, session: &'a Session, view: NodeView<'a>) -> Self {
        Self {
            plan,
            session,
            view,
            functions: plan.scripts(),
        }
    }

    /// Whether a `when` holds on this node.
    ///
    /// # Errors
    /// As [`NodeView::holds`].
    pub fn holds(&self, tail: &Tail) -> crate::diag::Result<bool> {
        self.view.holds(self.plan, &self.functions, tail)
    }

    /// Runs a hook's body.
    ///
    /// # Errors
    /// The body's failure.
    pub fn hook(
        &self,
        body: &[Expr],
        more: &[(&str, Term)],
        log: &mut Vec<LogLine>,
    ) -> crate::diag::Result<Term> {
        let mut host = self.view.host();
        let mut remote = OnNode(self.session);
        let mut bindings = self.plan.constants.clone();
        for (name, value) in more {
            bindings.set(name, value.clone());
        }
        let result = Evaluator::new(Phase::Live, &self.functions)
            .with_names(&mut host)
            .with_remote(&mut remote)
            .hook(body, &mut bindings)
            .map_err(|failure| failure.diagnostic);
        *log = host.log;
        result
    }

    /// Evaluates conditions once, with these calls: why they do not hold, and what `info` and `warn` said.
    pub(super) fn attempt(
        &self,
        body: &[Expr],
        remote: &mut dyn Remote,
    ) -> (Option<Box<Diagnostic>>, Vec<LogLine>) {
        let mut host = self.view.host();
        let mut bindings: Bindings = self.plan.constants.clone();
        let result = Evaluator::new(Phase::Live, &self.functions)
            .with_names(&mut host)
            .with_remote(remote)
            .check(body, &mut bindings);
        let failure = match result {
            CheckResult::Passed => None,
            CheckResult::Failed(diagnostic) => Some(diagnostic),
        };
        (failure, host.log)
    }

    /// Decides a check: tries until it holds, its time is over, the connection is lost, or there have been
    /// `enough` requests to stop.
    pub fn decide(
        &self,
        check: &Check,
        until: Option<Instant>,
        interrupt: &Interrupt,
        enough: u32,
    ) -> CheckVerdict {
        let began = Instant::now();
        interrupt.sleep(check.after, enough);
        let mut tries = 0;
        loop {
            tries += 1;
            let (failure, log) = self.attempt(&check.body, &mut OnNode(self.session));
            let over = failure.is_none()
                || began.elapsed().saturating_add(check.every)
                    > check.within.saturating_add(check.after)
                || until.is_some_and(|until| {
                    let next = Instant::now().checked_add(check.every);
                    next.is_none_or(|next| next > until)
                })
                || self.session.is_lost().is_some()
                || interrupt.count() >= enough;
            if over {
                return CheckVerdict {
                    tries,
                    took: began.elapsed(),
                    failure,
                    log,
                };
            }
            interrupt.sleep(check.every, enough);
        }
    }
}

/// The diagnostic of a check that does not hold: the check's own line first, then what failed in it.
pub fn not_held(
    verify: bool,
    check: &Check,
    verdict: &CheckVerdict,
    cause: &Diagnostic,
) -> Diagnostic {
    let (code, title) = if verify {
        let tries = if verdict.tries == 1 {
            "1 try".to_owned()
        } else {
            format!("{} tries", verdict.tries)
        };
        (
            Code::E606,
            format!("verification failed after {tries}: {}", check.name),
        )
    } else {
        (Code::E601, format!("precondition failed: {}", check.name))
    };
    let mut diagnostic = Diagnostic::new(code, title);
    diagnostic.labels.clone_from(&cause.labels);
    if diagnostic.labels.is_empty() {
        diagnostic = diagnostic.label(check.span, "this check");
    }
    diagnostic = diagnostic.note(format!("{}: {}", cause.code, cause.title));
    diagnostic.notes.extend(cause.notes.iter().cloned());
    diagnostic.help = cause.help.clone();
    if !verify {
        diagnostic = diagnostic.note("nothing was changed");
    }
    diagnostic
}
