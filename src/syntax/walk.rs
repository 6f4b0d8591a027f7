//! The parts of an expression, for those that look for something in it and do not care what surrounds it.
//!
//! It takes a tree and calls back for each node below; it changes nothing and knows nothing of scopes.
//! Recurses as deep as the tree, which the parser has limited.

use super::ast::{
    Clause, Expr, ExprKind, HookPoint, InsertAnchor, MapPair, Qualifier, Segment, StatementKind,
    StepRef, Tail,
};

/// Calls `see` for each direct part of an expression, in the order of the text.
pub fn parts<'e>(expr: &'e Expr, see: &mut dyn FnMut(&'e Expr)) {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Duration(_) | ExprKind::Var(_) => {}
        ExprKind::Tuple(elements) | ExprKind::Block(elements) | ExprKind::Call(_, elements) => {
            elements.iter().for_each(see);
        }
        ExprKind::List(elements, tail) => {
            elements.iter().chain(tail.as_deref()).for_each(see);
        }
        ExprKind::ListComp(body, qualifiers) | ExprKind::BinComp(body, qualifiers) => {
            qualified(qualifiers, see);
            see(body);
        }
        ExprKind::MapComp(pair, qualifiers) => {
            qualified(qualifiers, see);
            pairs(std::slice::from_ref(pair), see);
        }
        ExprKind::Map(base, map) => {
            base.iter().for_each(|base| see(base));
            pairs(map, see);
        }
        ExprKind::Binary(segments) => segments.iter().for_each(|s| segment(s, see)),
        ExprKind::Remote {
            module,
            function,
            args,
        } => {
            see(module);
            see(function);
            args.iter().for_each(see);
        }
        ExprKind::Match(left, right) | ExprKind::Binop(_, left, right) => {
            see(left);
            see(right);
        }
        ExprKind::Unary(_, inner) | ExprKind::Catch(inner) => see(inner),
        ExprKind::Case(subject, clauses) => {
            see(subject);
            clauses.iter().for_each(|c| clause(c, see));
        }
        ExprKind::If(clauses) => clauses.iter().for_each(|c| clause(c, see)),
    }
}

/// Calls `see` for an expression and everything in it.
pub fn all<'e>(expr: &'e Expr, see: &mut dyn FnMut(&'e Expr)) {
    see(expr);
    parts(expr, &mut |part| all(part, see));
}

/// Calls `see` for each outermost expression of a statement: subjects, values of options, conditions,
/// patterns and bodies.
pub fn statement<'e>(kind: &'e StatementKind, see: &mut dyn FnMut(&'e Expr)) {
    let options = match kind {
        StatementKind::Plan { options, .. }
        | StatementKind::Target { options, .. }
        | StatementKind::Code { options, .. }
        | StatementKind::Module { options, .. }
        | StatementKind::Hook { options, .. }
        | StatementKind::Check { options, .. }
        | StatementKind::Hold { options, .. }
        | StatementKind::Gate { options, .. }
        | StatementKind::Rollback { options, .. }
        | StatementKind::Rehearse { options, .. }
        | StatementKind::Rollout { options, .. } => options.as_slice(),
        _ => &[],
    };
    match kind {
        StatementKind::Param { default, .. } => default.iter().for_each(&mut *see),
        StatementKind::Bind { value, .. } => see(value),
        StatementKind::Function { clauses, .. } => {
            for clause in clauses {
                let parts = clause.args.iter().chain(&clause.when).chain(&clause.body);
                parts.for_each(&mut *see);
            }
        }
        StatementKind::Relation { left, right, .. } => {
            see(left);
            see(right);
        }
        StatementKind::Cycle { members: one, .. }
        | StatementKind::Module { subject: one, .. }
        | StatementKind::Exclude { subject: one, .. }
        | StatementKind::Only { subject: one, .. }
        | StatementKind::Deadline(one)
        | StatementKind::Soak(one)
        | StatementKind::Budget(one) => see(one),
        StatementKind::OwnWindows { windows, .. } => windows.iter().for_each(&mut *see),
        StatementKind::Insert {
            instruction, place, ..
        } => {
            see(instruction);
            if let InsertAnchor::Before(StepRef { subject, .. })
            | InsertAnchor::After(StepRef { subject, .. }) = place
            {
                see(subject);
            }
        }
        StatementKind::Hook {
            moment: HookPoint::Before(step) | HookPoint::After(step),
            ..
        } => see(&step.subject),
        StatementKind::StateCheck { subject, .. } => subject.iter().for_each(&mut *see),
        _ => {}
    }
    options.iter().for_each(|pair| see(&pair.value));
    if let Some(tail) = tail(kind) {
        tail.when.iter().for_each(&mut *see);
    }
    match kind {
        StatementKind::Hook { body, .. }
        | StatementKind::Hold { body, .. }
        | StatementKind::Check { body, .. } => {
            body.iter().for_each(see);
        }
        StatementKind::StateCheck { clauses, .. } => {
            clauses.iter().for_each(|c| clause(c, &mut *see));
        }
        _ => {}
    }
}

/// The guard and reason of a statement, if its kind has them.
pub fn tail(kind: &StatementKind) -> Option<&Tail> {
    match kind {
        StatementKind::Include { tail, .. }
        | StatementKind::Code { tail, .. }
        | StatementKind::Relation { tail, .. }
        | StatementKind::Cycle { tail, .. }
        | StatementKind::Module { tail, .. }
        | StatementKind::Exclude { tail, .. }
        | StatementKind::Only { tail, .. }
        | StatementKind::OwnWindows { tail, .. }
        | StatementKind::OldFrom { tail, .. }
        | StatementKind::OldFromGit { tail, .. }
        | StatementKind::Insert { tail, .. }
        | StatementKind::Hook { tail, .. }
        | StatementKind::StateCheck { tail, .. }
        | StatementKind::Hold { tail, .. }
        | StatementKind::Gate { tail, .. }
        | StatementKind::Check { tail, .. } => Some(tail),
        _ => None,
    }
}

/// The names of all variables in an expression, bound there or not, each once, sorted.
pub fn variables(expr: &Expr) -> Vec<&str> {
    let mut names = Vec::new();
    all(expr, &mut |part| {
        if let ExprKind::Var(name) = &part.kind {
            names.push(name.as_str());
        }
    });
    names.sort_unstable();
    names.dedup();
    names
}

fn pairs<'e>(pairs: &'e [MapPair], see: &mut dyn FnMut(&'e Expr)) {
    for pair in pairs {
        see(&pair.key);
        see(&pair.value);
    }
}

fn segment<'e>(segment: &'e Segment, see: &mut dyn FnMut(&'e Expr)) {
    see(&segment.value);
    segment.size.iter().for_each(see);
}

fn clause<'e>(clause: &'e Clause, see: &mut dyn FnMut(&'e Expr)) {
    clause.pattern.iter().for_each(&mut *see);
    clause.guard.iter().flatten().for_each(&mut *see);
    clause.body.iter().for_each(see);
}

fn qualified<'e>(qualifiers: &'e [Qualifier], see: &mut dyn FnMut(&'e Expr)) {
    for qualifier in qualifiers {
        match qualifier {
            Qualifier::Filter(condition) => see(condition),
            Qualifier::List(pattern, source) | Qualifier::Binary(pattern, source) => {
                see(pattern);
                see(source);
            }
            Qualifier::Map(key, value, source) => {
                see(key);
                see(value);
                see(source);
            }
        }
    }
}
