//! `require`, `verify`, hooks and `rollback`: what a plan says around an upgrade.

use std::time::Duration;

use super::options::{constant, duration, known, value, wrong};
use super::resolve::{Resolver, choice};
use super::{Check, Hook, RollbackPolicy, RollbackTrigger, When, scope, vocabulary};
use crate::diag::{Code, Diagnostic, Span};
use crate::syntax::ast::{Expr, HookPoint, Options, Spanned, Tail};
use crate::term::{Atom, Term};

impl Resolver<'_> {
    pub(super) fn hook(
        &mut self,
        moment: &HookPoint,
        options: &Options,
        tail: &Tail,
        body: &[Expr],
        span: Span,
    ) {
        known(options, "before", &[], &mut self.diagnostics);
        let when = match moment {
            HookPoint::BeforeUpgrade => When::Before,
            HookPoint::AfterUpgrade => When::After,
            HookPoint::OnFailure => When::Failure,
            HookPoint::OnRollback => When::Rollback,
            HookPoint::BeforeRollout => When::BeforeRollout,
            HookPoint::AfterRollout => When::AfterRollout,
            HookPoint::Before(_) | HookPoint::After(_) => When::Step,
        };
        let given: &[&str] = if when == When::Failure {
            &["Reason"]
        } else {
            &[]
        };
        scope::hook(&self.names, body, given, &mut self.diagnostics);
        self.guard(tail);
        self.plan.hooks.push(Hook {
            when,
            body: body.to_vec(),
            tail: tail.clone(),
            span,
        });
    }

    pub(super) fn check(
        &mut self,
        verify: bool,
        name: &Spanned<String>,
        options: &Options,
        tail: &Tail,
        body: &[Expr],
        span: Span,
    ) {
        let word = if verify { "verify" } else { "require" };
        known(
            options,
            word,
            &vocabulary::words(vocabulary::CHECK),
            &mut self.diagnostics,
        );
        let mut rollout = false;
        if let Some(expr) = value(options, "each")
            && let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics)
        {
            rollout = term.is_atom("rollout");
            if !rollout && !term.is_atom("node") {
                self.diagnostics
                    .push(wrong("each", "`node` or `rollout`", expr, &term));
            }
        }
        scope::check(&self.names, body, &mut self.diagnostics);
        self.guard(tail);
        let mut time = |word: &str, default| match value(options, word) {
            Some(expr) => {
                duration(word, expr, &self.plan.constants, &mut self.diagnostics).unwrap_or(default)
            }
            None => default,
        };
        let check = Check {
            name: name.value.clone(),
            body: body.to_vec(),
            tail: tail.clone(),
            within: time("within", Duration::ZERO),
            every: time("every", Duration::from_millis(500)),
            after: time("after", Duration::ZERO),
            rollout,
            span,
        };
        if verify {
            self.plan.verifies.push(check)
        } else {
            self.plan.requires.push(check)
        }
    }

    /// `rollback Policy #{…}`
    pub(super) fn rollback(&mut self, policy: &Spanned<Atom>, options: &Options) {
        known(
            options,
            "rollback",
            &vocabulary::words(vocabulary::ROLLBACK),
            &mut self.diagnostics,
        );
        match policy.value.as_str() {
            "automatic" => self.plan.rollback = RollbackPolicy::Automatic,
            "manual" => self.plan.rollback = RollbackPolicy::Manual,
            "never" => self.plan.rollback = RollbackPolicy::Never,
            _ => {
                let words = ["automatic", "manual", "never"];
                self.diagnostics.push(choice("rollback", policy, &words));
            }
        }
        if let Some(expr) = value(options, "keep_old") {
            let time = duration(
                "keep_old",
                expr,
                &self.plan.constants,
                &mut self.diagnostics,
            );
            self.plan.keep_old = time.unwrap_or_default();
        }
        let Some(expr) = value(options, "on") else {
            return;
        };
        if self.plan.rollback != RollbackPolicy::Automatic {
            let title = format!(
                "`on` goes with `rollback automatic`, not `{}`",
                policy.value
            );
            let diagnostic = Diagnostic::new(Code::E205, title).label(expr.span, "never asked");
            return self.diagnostics.push(diagnostic);
        }
        let Some(term) = constant(expr, &self.plan.constants, &mut self.diagnostics) else {
            return;
        };
        let of = |word: &_| {
            RollbackTrigger::ALL
                .into_iter()
                .find(|f| Term::is_atom(word, f.word()))
        };
        let list = term.as_list().filter(|list| !list.is_empty());
        match list.and_then(|list| list.iter().map(of).collect::<Option<Vec<_>>>()) {
            Some(on) => self.plan.rollback_on = on,
            None => self.diagnostics.push(wrong(
                "on",
                "a list of `verify`, `after` and `rollout`",
                expr,
                &term,
            )),
        }
    }
}
