//! Statements that are decided per node: what can be said of them, their options and conditions before there is one.

use super::Rule;
use super::options::{attribute, unsupported, wrong};
use super::resolve::Resolver;
use crate::diag::{Code, Diagnostic};
use crate::syntax::ast::{Expr, OptionPair, Statement, StatementKind, Tail};
use crate::term::Term;

impl Resolver<'_> {
    /// Keeps a statement that is decided per node; an override without a reason is worth a word.
    pub(super) fn rule(&mut self, statement: Statement, layer: usize) {
        let (StatementKind::Relation { tail, .. }
        | StatementKind::Cycle { tail, .. }
        | StatementKind::Module { tail, .. }
        | StatementKind::OwnWindows { tail, .. }
        | StatementKind::Insert { tail, .. }
        | StatementKind::Hook { tail, .. }
        | StatementKind::Exclude { tail, .. }
        | StatementKind::Only { tail, .. }) = &statement.kind
        else {
            return;
        };
        if tail.because.is_none() {
            self.diagnostics.push(
                Diagnostic::new(Code::A311, "override without a reason")
                    .label(statement.span, "why?")
                    .help("add `because \"…\"`"),
            );
        }
        self.plan.rules.push(Rule { statement, layer });
    }

    /// A subject: what can be computed without a node must be a module or a list of modules.
    pub(super) fn subject(&mut self, expr: &Expr) {
        let Some(term) = self.early(expr) else { return };
        let is_modules = match &term {
            Term::Atom(_) => true,
            Term::List(list) => list.iter().all(|element| element.as_atom().is_some()),
            _ => false,
        };
        if !is_modules {
            let diagnostic =
                Diagnostic::new(Code::E205, format!("a subject wants modules, got `{term}`"))
                    .label(expr.span, "not a module or a list of modules");
            let quoted = term.as_list().is_some() && term.to_text().is_some();
            self.diagnostics.push(if quoted {
                diagnostic.help("remove the quotes; a pattern is `glob(\"…\")`")
            } else {
                diagnostic
            });
        }
    }

    /// An option of `module`, as far as it can be computed without a node.
    pub(super) fn attribute(&mut self, pair: &OptionPair) {
        if let Some(term) = self.early(&pair.value)
            && let Err(wants) = attribute(pair.key.value.as_str(), &term)
        {
            let word = pair.key.value.as_str();
            self.diagnostics
                .push(wrong(word, wants, &pair.value, &term));
        }
    }

    pub(super) fn guard(&mut self, tail: &Tail) {
        for condition in &tail.when {
            if let Some(value) = self.early(condition)
                && !value.is_atom("true")
                && !value.is_atom("false")
            {
                let title = format!("this condition is neither `true` nor `false`, but `{value}`");
                self.diagnostics.push(
                    Diagnostic::new(Code::E704, title).label(condition.span, "not a condition"),
                );
            }
        }
    }

    /// Puts the condition of `include … when` on a statement. What can be decided without a node is decided here;
    /// names are defined in any case, so that what they mean does not depend on a node.
    pub(super) fn applies(&mut self, statement: &mut Statement, condition: Expr) -> bool {
        if matches!(
            statement.kind,
            StatementKind::Include { .. }
                | StatementKind::Param { .. }
                | StatementKind::Bind { .. }
                | StatementKind::Function { .. }
        ) {
            return true;
        }
        // What is wrong with the condition is reported at its place.
        let before = self.diagnostics.len();
        let value = self.early(&condition);
        if self.diagnostics.len() > before {
            self.diagnostics.truncate(before);
            return true;
        }
        if let Some(value) = value {
            return value.is_atom("true");
        }
        match statement.kind.tail_mut() {
            Some(tail) => {
                tail.when.insert(0, condition);
                true
            }
            None => {
                let what = "this statement, in a file whose `include` has a guard about the node,";
                let diagnostic = unsupported(statement.span, what);
                self.diagnostics
                    .push(diagnostic.label(condition.span, "the guard"));
                false
            }
        }
    }
}
