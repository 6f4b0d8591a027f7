//! The names that a plan gives and where they are used: constants, parameters, functions, targets.
//!
//! Takes the files of a plan, gives every place of every name. A variable that hides a constant (an argument, what a
//! generator binds) is none of its places; `=` and patterns match against it, so those are.

use std::collections::BTreeSet;

use super::workspace::PlanDocument;
use crate::diag::Span;
use crate::syntax::ast::{
    Expr, ExprKind, FunClause, HookPoint, Qualifier, Statement, StatementKind,
};
use crate::syntax::walk;

/// A name of the plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Symbol {
    /// A constant or a parameter.
    Value(String),
    /// A function with its number of arguments.
    Function(String, usize),
    /// A target.
    Target(String),
}

/// A place of a name.
#[derive(Clone, Debug)]
pub(super) struct Occurrence {
    /// The name.
    pub name: Symbol,
    /// Where.
    pub span: Span,
    /// Whether it gets its meaning here.
    pub defines: bool,
}

/// Every place of every name in a plan document.
pub(super) fn places(plan_document: &PlanDocument) -> Vec<Occurrence> {
    let statements = || {
        plan_document
            .files
            .iter()
            .flat_map(|file| file.statements())
    };
    let mut finder = Finder::default();
    for statement in statements() {
        finder.define(statement);
    }
    for statement in statements() {
        finder.statement(statement);
    }
    let mut places = finder.found;
    places.sort_by_key(|place| place.span);
    places
}

/// The name at a place among the sources.
pub(super) fn at(places: &[Occurrence], offset: usize) -> Option<&Occurrence> {
    let touches = |span: Span| span.start <= offset && offset <= span.end;
    places.iter().find(|place| touches(place.span))
}

/// Whether a variable or a function of this name occurs anywhere: then it cannot be given to something else.
pub(super) fn is_used(plan_document: &PlanDocument, name: &Symbol) -> bool {
    let mut used = places(plan_document)
        .iter()
        .any(|place| place.name == *name);
    for statement in plan_document
        .files
        .iter()
        .flat_map(|file| file.statements())
    {
        walk::statement(&statement.kind, &mut |expr| {
            walk::all(expr, &mut |part| {
                used |= match (&part.kind, name) {
                    (ExprKind::Var(text), Symbol::Value(wanted)) => text == wanted,
                    (ExprKind::Call(text, args), Symbol::Function(wanted, arity)) => {
                        text.value == wanted.as_str() && args.len() == *arity
                    }
                    _ => false,
                };
            });
        });
    }
    used
}

#[derive(Default)]
struct Finder {
    values: BTreeSet<String>,
    functions: BTreeSet<(String, usize)>,
    /// Variables that hide constants here.
    hidden: Vec<String>,
    found: Vec<Occurrence>,
}

impl Finder {
    fn push(&mut self, name: Symbol, span: Span, defines: bool) {
        self.found.push(Occurrence {
            name,
            span,
            defines,
        });
    }

    fn define(&mut self, statement: &Statement) {
        match &statement.kind {
            StatementKind::Param { name, .. } | StatementKind::Bind { name, .. } => {
                self.values.insert(name.value.clone());
                self.push(Symbol::Value(name.value.clone()), name.span, true);
            }
            StatementKind::Function { name, clauses } => {
                let name = name.value.as_str();
                for clause in clauses {
                    let function = Symbol::Function(name.to_owned(), clause.args.len());
                    self.functions.insert((name.to_owned(), clause.args.len()));
                    self.push(function, clause.name, true);
                }
            }
            StatementKind::Target { name, .. } => {
                let target = Symbol::Target(name.value.as_str().to_owned());
                self.push(target, name.span, true);
            }
            _ => {}
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match &statement.kind {
            StatementKind::Function { clauses, .. } => {
                clauses.iter().for_each(|clause| self.clause(clause));
                return;
            }
            StatementKind::Rollout {
                target: Some(target),
                ..
            } => {
                let name = Symbol::Target(target.value.as_str().to_owned());
                self.push(name, target.span, false);
            }
            StatementKind::Hook {
                moment: HookPoint::OnFailure,
                ..
            } => self.hidden.push("Reason".to_owned()),
            _ => {}
        }
        walk::statement(&statement.kind, &mut |expr| self.expr(expr));
        self.hidden.clear();
    }

    fn clause(&mut self, clause: &FunClause) {
        clause.args.iter().for_each(|arg| self.hide(arg));
        let parts = clause.args.iter().chain(&clause.when).chain(&clause.body);
        parts.for_each(|expr| self.expr(expr));
        self.hidden.clear();
    }

    /// The variables of a pattern that binds anew.
    fn hide(&mut self, pattern: &Expr) {
        let names = walk::variables(pattern).into_iter().map(str::to_owned);
        self.hidden.extend(names);
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Var(name) => {
                if self.values.contains(name) && !self.hidden.contains(name) {
                    self.push(Symbol::Value(name.clone()), expr.span, false);
                }
            }
            ExprKind::ListComp(body, qualifiers) | ExprKind::BinComp(body, qualifiers) => {
                let mark = self.hidden.len();
                self.qualifiers(qualifiers);
                self.expr(body);
                self.hidden.truncate(mark);
            }
            ExprKind::MapComp(pair, qualifiers) => {
                let mark = self.hidden.len();
                self.qualifiers(qualifiers);
                self.expr(&pair.key);
                self.expr(&pair.value);
                self.hidden.truncate(mark);
            }
            ExprKind::Call(name, args) => {
                let key = (name.value.as_str().to_owned(), args.len());
                if self.functions.contains(&key) {
                    self.push(Symbol::Function(key.0, key.1), name.span, false);
                }
                args.iter().for_each(|arg| self.expr(arg));
            }
            _ => walk::parts(expr, &mut |part| self.expr(part)),
        }
    }

    fn qualifiers(&mut self, qualifiers: &[Qualifier]) {
        for qualifier in qualifiers {
            match qualifier {
                Qualifier::Filter(condition) => self.expr(condition),
                Qualifier::List(pattern, source) | Qualifier::Binary(pattern, source) => {
                    self.expr(source);
                    self.hide(pattern);
                    self.expr(pattern);
                }
                Qualifier::Map(key, value, source) => {
                    self.expr(source);
                    self.hide(key);
                    self.hide(value);
                    self.expr(key);
                    self.expr(value);
                }
            }
        }
    }
}
