//! `hold "text" #{for => D} -> Body` and `gate "text" -> cmd "…"`: what is asked between the stages of a rollout.
//!
//! It takes the statements and gives a [`Hold`] or a [`Gate`]. Nothing is evaluated and no command is run here, nor by
//! anything else that only reads a plan.

use std::path::PathBuf;
use std::time::Duration;

use super::options::{duration, known, value};
use super::resolve::Resolver;
use super::{RollbackPolicy, scope, vocabulary};
use crate::diag::{Code, Diagnostic, Span};
use crate::syntax::ast::{Expr, Options, Spanned, Tail};

/// How long to wait between two evaluations of a hold, where the plan does not say.
const EVERY: Duration = Duration::from_secs(1);

/// How long the command of a gate may take, where the plan does not say.
const WITHIN: Duration = Duration::from_secs(30);

/// `hold "text" #{for => D} -> Body`: what must hold all the time, for so long, on the nodes of a stage.
#[derive(Clone, Debug)]
pub struct Hold {
    /// What it is about, in words.
    pub name: String,
    /// The conditions.
    pub body: Vec<Expr>,
    /// When it applies.
    pub tail: Tail,
    /// How long it must hold in one piece; above zero.
    pub time: Duration,
    /// How long to wait between two evaluations; above zero.
    pub every: Duration,
    /// Until when it may begin anew; zero: the first time that it does not hold ends it.
    pub within: Duration,
    /// The statement.
    pub span: Span,
}

/// `gate "text" -> cmd "…"`: a command of the operator's machine that lets the next stage begin.
#[derive(Clone, Debug)]
pub struct Gate {
    /// What it asks, in words.
    pub name: String,
    /// What `sh -c` gets, as it is written.
    pub command: String,
    /// How long it may take; above zero.
    pub within: Duration,
    /// The folder of the plan's file, in which it runs.
    pub folder: PathBuf,
    /// The statement.
    pub span: Span,
}

impl Resolver<'_> {
    /// `hold "text" #{for => D} -> Body`
    pub(super) fn hold(
        &mut self,
        name: &Spanned<String>,
        options: &Options,
        tail: &Tail,
        body: &[Expr],
        span: Span,
    ) {
        let words = vocabulary::words(vocabulary::HOLD);
        known(options, "hold", &words, &mut self.diagnostics);
        scope::check(&self.names, body, &mut self.diagnostics);
        self.guard(tail);
        let before = self.diagnostics.len();
        let time = self.time(options, "for");
        let every = self.time(options, "every").unwrap_or(EVERY);
        let within = self.time(options, "within").unwrap_or_default();
        let place = |word: &str| value(options, word).map_or(name.span, |expr| expr.span);
        let wrong = match time {
            // What is wrong with a value has been said.
            _ if self.diagnostics.len() > before => return,
            None => Some((
                format!("`hold \"{}\"` does not say for how long", name.value),
                place("for"),
                "no `for`",
            )),
            Some(Duration::ZERO) => Some((
                "`for` wants a duration above zero".to_owned(),
                place("for"),
                "holds always",
            )),
            _ if every.is_zero() => Some((
                "`every` wants a duration above zero".to_owned(),
                place("every"),
                "without a rest",
            )),
            Some(time) if !within.is_zero() && within < time => Some((
                "`within` is shorter than `for`: it could never hold for so long".to_owned(),
                place("within"),
                "too short",
            )),
            Some(_) => None,
        };
        if let Some((title, span, label)) = wrong {
            let diagnostic = Diagnostic::new(Code::E356, title).label(span, label);
            let help = "write, for instance, `hold \"text\" #{for => 5m, every => 5s} -> …`";
            return self.diagnostics.push(diagnostic.help(help));
        }
        self.plan.holds.push(Hold {
            name: name.value.clone(),
            body: body.to_vec(),
            tail: tail.clone(),
            time: time.unwrap_or_default(),
            every,
            within,
            span,
        });
    }

    /// `gate "text" #{within => D} -> cmd "…"`
    pub(super) fn gate(
        &mut self,
        name: &Spanned<String>,
        options: &Options,
        command: &Spanned<String>,
        folder: PathBuf,
        span: Span,
    ) {
        let words = vocabulary::words(vocabulary::GATE);
        known(options, "gate", &words, &mut self.diagnostics);
        let within = self.time(options, "within").unwrap_or(WITHIN);
        let place = value(options, "within").map_or(name.span, |expr| expr.span);
        let wrong = if command.value.trim().is_empty() {
            Some(("the command is empty", command.span, "always exit code 0"))
        } else if command.value.contains('\0') {
            let title = "the command has a character 0 in it, which ends every argument";
            Some((title, command.span, "cannot be run"))
        } else if within.is_zero() {
            let title = "`within` wants a duration above zero";
            Some((title, place, "over before it begins"))
        } else {
            None
        };
        if let Some((title, span, label)) = wrong {
            let diagnostic = Diagnostic::new(Code::E357, title).label(span, label);
            let help =
                "write, for instance, `gate \"text\" #{within => 30s} -> cmd \"curl -fs URL\"`";
            return self.diagnostics.push(diagnostic.help(help));
        }
        self.plan.gates.push(Gate {
            name: name.value.clone(),
            command: command.value.clone(),
            within,
            // That of a plan in the current folder has no name.
            folder: match folder.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => folder,
            },
            span,
        });
    }

    fn time(&mut self, options: &Options, word: &str) -> Option<Duration> {
        let expr = value(options, word)?;
        duration(word, expr, &self.plan.constants, &mut self.diagnostics)
    }

    /// E355: all nodes are to go back after a failure, and the plan says that failures are not undone.
    pub(super) fn all_back(&mut self) {
        if self.plan.rollback == RollbackPolicy::Automatic {
            return;
        }
        let word = match self.plan.rollback {
            RollbackPolicy::Never => "never",
            _ => "manual",
        };
        let said = self.once.get("rollback").copied();
        for (rollout, span) in &self.plan.rollouts {
            if !rollout.all_back {
                continue;
            }
            let title = format!("`on_failure => all_back` does not go with `rollback {word}`");
            let mut diagnostic =
                Diagnostic::new(Code::E355, title).label(*span, "takes nodes back by itself");
            if let Some(said) = said {
                diagnostic = diagnostic.label(said, "nothing goes back by itself");
            }
            let help = "write `rollback automatic.`, or leave `on_failure` out";
            self.diagnostics.push(diagnostic.help(help));
        }
    }
}
