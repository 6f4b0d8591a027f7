//! From grammar pairs to statements.
//!
//! It takes the pair of one statement and gives a [`StatementKind`] or one diagnostic. The closed words
//! (`window`, `engine`, `rollback`) are checked here, so that later stages may trust them.

use super::ast::{
    BreakEdge, Clause, Expr, ExprKind, FunClause, HookPoint, InsertAnchor, OptionPair, Options,
    Spanned, StatementKind, StepRef, Tail, Verb,
};
use super::expr::{Builder, P, inner, unexpected};
use super::grammar::Rule;
use super::{foreign_syntax, literal};
use crate::diag::{Result, Span};
use crate::term::{Atom, Term};

/// The words of `window`.
pub const WINDOWS: &[&str] = &["single", "live", "auto", "minimal", "otp"];

/// What most statements are made of, collected from their pairs whatever their order.
#[derive(Default)]
struct Parts {
    text: Option<Spanned<String>>,
    name: Option<Spanned<Atom>>,
    variable: Option<Spanned<String>>,
    globs: Option<Vec<Spanned<String>>>,
    options: Options,
    tail: Tail,
    exprs: Vec<Expr>,
    body: Vec<Expr>,
    place: Option<InsertAnchor>,
    step: Option<StepRef>,
    verb: Option<Spanned<Verb>>,
    breaks: Option<Vec<BreakEdge>>,
    kind: Option<Expr>,
    clauses: Vec<Clause>,
    command: Option<Spanned<String>>,
    words: Vec<Rule>,
}

impl Builder {
    /// Any statement pair.
    pub fn statement(self, pair: P<'_>) -> Result<StatementKind> {
        let rule = pair.as_rule();
        if rule == Rule::fun_stmt {
            return self.function(pair);
        }
        let whole = pair.clone();
        let mut parts = self.parts(pair)?;
        let kind = assemble(rule, &mut parts)?;
        kind.ok_or_else(|| unexpected(self, &whole))
    }

    fn parts(self, pair: P<'_>) -> Result<Parts> {
        let mut parts = Parts::default();
        for part in inner(pair) {
            match part.as_rule() {
                Rule::strings => parts.text = Some(self.text(part)?),
                Rule::variable if parts.variable.is_none() && parts.words != [Rule::kw_insert] => {
                    parts.variable = Some(Spanned {
                        value: part.as_str().to_owned(),
                        span: self.span(&part),
                    });
                }
                Rule::atom if parts.words != [Rule::kw_insert] => {
                    parts.name = Some(self.name(&part)?)
                }
                Rule::command => {
                    for text in inner(part) {
                        parts.command = Some(self.text(text)?);
                    }
                }
                Rule::globs => {
                    parts.globs = Some(inner(part).map(|p| self.text(p)).collect::<Result<_>>()?)
                }
                Rule::opts => {
                    parts.options = inner(part).map(|p| self.option(p)).collect::<Result<_>>()?
                }
                Rule::when => {
                    for conj in inner(part) {
                        parts.tail.when = self.many(conj)?;
                    }
                }
                Rule::because => {
                    for text in inner(part).filter(|p| p.as_rule() == Rule::strings) {
                        parts.tail.because = Some(self.text(text)?);
                    }
                }
                Rule::exprs => parts.body = self.many(part)?,
                Rule::subject => parts.exprs.push(self.subject(part)?),
                Rule::place => parts.place = Some(self.place(part)?),
                Rule::step => parts.step = Some(self.step(part)?),
                Rule::verb => parts.verb = Some(self.verb(part)?),
                Rule::breaks => parts.breaks = Some(self.breaks(part)?),
                Rule::state_fun => {
                    let clauses = inner(part).map(|p| self.state_clause(p));
                    parts.clauses = clauses.collect::<Result<_>>()?;
                }
                Rule::param_type => parts.kind = Some(self.param_type(part)?),
                Rule::expr
                | Rule::op_expr
                | Rule::list
                | Rule::tuple
                | Rule::variable
                | Rule::atom => {
                    parts.exprs.push(self.any(part)?);
                }
                word => parts.words.push(word),
            }
        }
        Ok(parts)
    }

    fn function(self, pair: P<'_>) -> Result<StatementKind> {
        let whole = pair.clone();
        let mut name: Option<Spanned<Atom>> = None;
        let mut clauses: Vec<FunClause> = Vec::new();
        for part in inner(pair) {
            let (clause_name, clause) = self.fun_clause(part)?;
            match (&name, clauses.first()) {
                (Some(first), Some(head))
                    if first.value != clause_name.value || head.args.len() != clause.args.len() =>
                {
                    let (before, after) = (head.args.len(), clause.args.len());
                    return Err(Box::new(foreign_syntax::head_mismatch(
                        first,
                        before,
                        &clause_name,
                        after,
                    )));
                }
                (None, _) => name = Some(clause_name),
                _ => {}
            }
            clauses.push(clause);
        }
        let name = name.ok_or_else(|| unexpected(self, &whole))?;
        Ok(StatementKind::Function { name, clauses })
    }

    fn fun_clause(self, pair: P<'_>) -> Result<(Spanned<Atom>, FunClause)> {
        let whole = pair.clone();
        let mut name = None;
        let mut clause = FunClause {
            name: self.span(&whole),
            args: Vec::new(),
            when: Vec::new(),
            body: Vec::new(),
        };
        for part in inner(pair) {
            match part.as_rule() {
                Rule::atom => {
                    clause.name = self.span(&part);
                    name = Some(self.name(&part)?);
                }
                Rule::call_args => clause.args = self.many(part)?,
                Rule::when => {
                    for conj in inner(part) {
                        clause.when = self.many(conj)?;
                    }
                }
                Rule::exprs => clause.body = self.many(part)?,
                _ => return Err(unexpected(self, &part)),
            }
        }
        Ok((name.ok_or_else(|| unexpected(self, &whole))?, clause))
    }

    /// `(Old, New) when … -> Body`: the pattern is the tuple of the arguments.
    fn state_clause(self, pair: P<'_>) -> Result<Clause> {
        let mut clause = Clause {
            pattern: None,
            guard: Vec::new(),
            body: Vec::new(),
        };
        for part in inner(pair) {
            match part.as_rule() {
                Rule::call_args => {
                    let span = self.span(&part);
                    let kind = ExprKind::Tuple(self.many(part)?);
                    clause.pattern = Some(Expr { kind, span });
                }
                Rule::guard => {
                    clause.guard = inner(part).map(|c| self.many(c)).collect::<Result<_>>()?;
                }
                Rule::exprs => clause.body = self.many(part)?,
                _ => return Err(unexpected(self, &part)),
            }
        }
        Ok(clause)
    }

    fn text(self, pair: P<'_>) -> Result<Spanned<String>> {
        let (codes, span) = self.codes(pair)?;
        Ok(Spanned {
            value: literal::to_text(&codes, span)?,
            span,
        })
    }

    fn name(self, pair: &P<'_>) -> Result<Spanned<Atom>> {
        Ok(Spanned {
            value: self.atom(pair)?,
            span: self.span(pair),
        })
    }

    fn option(self, pair: P<'_>) -> Result<OptionPair> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
            return Err(unexpected(self, &whole));
        };
        Ok(OptionPair {
            key: self.name(&key)?,
            value: self.any(value)?,
        })
    }

    /// A subject: an expression of calls, lists, names, `++` and `--` (right associative).
    fn subject(self, pair: P<'_>) -> Result<Expr> {
        let whole = pair.clone();
        let mut items = Vec::new();
        let mut signs = Vec::new();
        for part in inner(pair) {
            match part.as_rule() {
                Rule::list_op => signs.push(if part.as_str() == "++" { "++" } else { "--" }),
                Rule::subject => items.push(self.subject(part)?),
                Rule::subject_call => items.push(self.subject_call(part)?),
                _ => items.push(self.any(part)?),
            }
        }
        let mut right = items.pop().ok_or_else(|| unexpected(self, &whole))?;
        while let (Some(left), Some(sign)) = (items.pop(), signs.pop()) {
            let span = left.span.to(right.span);
            right = Expr {
                kind: ExprKind::Binop(sign, Box::new(left), Box::new(right)),
                span,
            };
        }
        Ok(right)
    }

    fn subject_call(self, pair: P<'_>) -> Result<Expr> {
        let whole = pair.clone();
        let span = self.span(&pair);
        let mut names = Vec::new();
        let mut args = Vec::new();
        for part in inner(pair) {
            match part.as_rule() {
                Rule::atom => names.push(self.name(&part)?),
                _ => args = self.many(part)?,
            }
        }
        let last = names.pop().ok_or_else(|| unexpected(self, &whole))?;
        let kind = match names.pop() {
            None => ExprKind::Call(last, args),
            Some(module) => ExprKind::Remote {
                module: Box::new(Expr::literal(Term::Atom(module.value), module.span)),
                function: Box::new(Expr::literal(Term::Atom(last.value), last.span)),
                args,
            },
        };
        Ok(Expr { kind, span })
    }

    fn place(self, pair: P<'_>) -> Result<InsertAnchor> {
        let whole = pair.clone();
        let (mut before, mut at) = (false, InsertAnchor::Start);
        for part in inner(pair) {
            match part.as_rule() {
                Rule::kw_before => before = true,
                Rule::step => {
                    let step = self.step(part)?;
                    return Ok(if before {
                        InsertAnchor::Before(step)
                    } else {
                        InsertAnchor::After(step)
                    });
                }
                Rule::kw_at | Rule::kw_after | Rule::kw_start => {}
                _ => return Err(unexpected(self, &part)),
            }
        }
        if whole.into_inner().any(|p| p.as_rule() == Rule::kw_end) {
            at = InsertAnchor::End;
        }
        Ok(at)
    }

    fn step(self, pair: P<'_>) -> Result<StepRef> {
        let whole = pair.clone();
        let (mut kind, mut subject) = (None, None);
        for part in inner(pair) {
            if part.as_rule() == Rule::subject {
                subject = Some(self.subject(part)?);
            } else {
                kind = Some(Spanned {
                    value: Atom::from(part.as_str()),
                    span: self.span(&part),
                });
            }
        }
        Ok(StepRef {
            kind,
            subject: subject.ok_or_else(|| unexpected(self, &whole))?,
        })
    }

    fn verb(self, pair: P<'_>) -> Result<Spanned<Verb>> {
        let whole = pair.clone();
        let Some(verb) = inner(pair).next() else {
            return Err(unexpected(self, &whole));
        };
        let value = match verb.as_rule() {
            Rule::depends_on => Verb::DependsOn,
            Rule::not_depends_on => Verb::DoesNotDependOn,
            Rule::loads_before => Verb::LoadsBefore,
            _ => Verb::LoadsAfter,
        };
        Ok(Spanned {
            value,
            span: self.span(&verb),
        })
    }

    fn breaks(self, pair: P<'_>) -> Result<Vec<BreakEdge>> {
        let mut edges = Vec::new();
        for edge in inner(pair).filter(|p| p.as_rule() == Rule::edge) {
            let whole = edge.clone();
            let mut ends = inner(edge);
            let (Some(from), Some(to)) = (ends.next(), ends.next()) else {
                return Err(unexpected(self, &whole));
            };
            edges.push(BreakEdge {
                from: self.name(&from)?,
                to: self.name(&to)?,
            });
        }
        Ok(edges)
    }

    /// `integer`, `[string]`.
    fn param_type(self, pair: P<'_>) -> Result<Expr> {
        let whole = pair.clone();
        let list = pair.as_str().starts_with('[');
        let Some(atom) = inner(pair).next() else {
            return Err(unexpected(self, &whole));
        };
        let name = Term::Atom(self.atom(&atom)?);
        Ok(if list {
            Expr::literal(Term::list([name]), self.span(&whole))
        } else {
            Expr::literal(name, self.span(&atom))
        })
    }
}

/// Puts the parts of a statement together; `None` when one is missing, which the grammar rules out.
fn assemble(rule: Rule, parts: &mut Parts) -> Result<Option<StatementKind>> {
    let options = std::mem::take(&mut parts.options);
    let tail = std::mem::take(&mut parts.tail);
    let body = std::mem::take(&mut parts.body);
    let mut exprs = std::mem::take(&mut parts.exprs).into_iter();
    let has = |word: Rule| parts.words.contains(&word);
    Ok(match rule {
        Rule::plan_stmt => parts
            .text
            .take()
            .map(|title| StatementKind::Plan { title, options }),
        Rule::updo_stmt => parts
            .text
            .take()
            .map(|version| StatementKind::Updo { version }),
        Rule::include_stmt => parts
            .text
            .take()
            .map(|path| StatementKind::Include { path, tail }),
        Rule::param_stmt => parts.variable.take().map(|name| StatementKind::Param {
            name,
            kind: parts.kind.take(),
            default: exprs.next(),
            tail,
        }),
        Rule::bind_stmt => parts
            .variable
            .take()
            .zip(exprs.next())
            .map(|(name, value)| StatementKind::Bind { name, value }),
        Rule::target_stmt => parts
            .name
            .take()
            .map(|name| StatementKind::Target { name, options }),
        Rule::code_stmt => Some(StatementKind::Code {
            push: parts.globs.take(),
            options,
            tail,
        }),
        Rule::module_stmt => exprs.next().map(|subject| StatementKind::Module {
            subject,
            options,
            tail,
        }),
        Rule::exclude_stmt => exprs
            .next()
            .map(|subject| StatementKind::Exclude { subject, tail }),
        Rule::only_stmt => exprs
            .next()
            .map(|subject| StatementKind::Only { subject, tail }),
        Rule::cycle_stmt => {
            let breaks = parts.breaks.take();
            exprs.next().map(|members| StatementKind::Cycle {
                members,
                breaks,
                tail,
            })
        }
        Rule::window_stmt if parts.name.is_none() => Some(StatementKind::OwnWindows {
            windows: exprs.collect(),
            tail,
        }),
        Rule::window_stmt => closed(parts.name.take(), WINDOWS)?.map(StatementKind::Window),
        Rule::engine_stmt => {
            closed(parts.name.take(), &["updo", "release_handler"])?.map(StatementKind::Engine)
        }
        Rule::old_stmt if has(Rule::kw_git) => {
            let revision = parts.text.take();
            revision.map(|revision| StatementKind::OldFromGit {
                revision,
                options,
                tail,
            })
        }
        Rule::old_stmt => parts
            .globs
            .take()
            .map(|patterns| StatementKind::OldFrom { patterns, tail }),
        Rule::insert_stmt => exprs
            .next()
            .zip(parts.place.take())
            .map(|(instruction, place)| StatementKind::Insert {
                instruction,
                place,
                tail,
            }),
        Rule::hook_stmt => {
            let moment = moment(&parts.words, parts.step.take());
            Some(StatementKind::Hook {
                moment,
                options,
                tail,
                body,
            })
        }
        Rule::check_stmt => {
            let verify = has(Rule::kw_verify);
            parts.text.take().map(|name| StatementKind::Check {
                verify,
                name,
                options,
                tail,
                body,
            })
        }
        Rule::hold_stmt => parts.text.take().map(|name| StatementKind::Hold {
            name,
            options,
            tail,
            body,
        }),
        Rule::gate_stmt => parts
            .text
            .take()
            .zip(parts.command.take())
            .map(|(name, command)| StatementKind::Gate {
                name,
                options,
                tail,
                command,
            }),
        Rule::deadline_stmt => exprs.next().map(StatementKind::Deadline),
        Rule::soak_stmt => exprs.next().map(StatementKind::Soak),
        Rule::budget_stmt => exprs.next().map(StatementKind::Budget),
        Rule::rollback_stmt => {
            closed(parts.name.take(), &["automatic", "manual", "never"])?.map(|policy| {
                StatementKind::Rollback {
                    policy,
                    options,
                    tail,
                }
            })
        }
        Rule::state_check_stmt => parts.text.take().map(|name| StatementKind::StateCheck {
            subject: exprs.next(),
            name,
            tail,
            clauses: std::mem::take(&mut parts.clauses),
        }),
        Rule::rehearse_stmt => {
            let word = closed(parts.name.take(), &["never"])?;
            Some(StatementKind::Rehearse {
                word,
                options,
                tail,
            })
        }
        Rule::rollout_stmt => Some(StatementKind::Rollout {
            target: parts.name.take(),
            options,
            tail,
        }),
        Rule::relation_stmt => {
            let sides = exprs.next().zip(exprs.next());
            parts
                .verb
                .take()
                .zip(sides)
                .map(|(verb, (left, right))| StatementKind::Relation {
                    left,
                    verb,
                    right,
                    tail,
                })
        }
        _ => None,
    })
}

/// The moment of a hook from its words and its step.
fn moment(words: &[Rule], step: Option<StepRef>) -> HookPoint {
    let has = |word: Rule| words.contains(&word);
    match (step, has(Rule::kw_before)) {
        (Some(step), true) => HookPoint::Before(step),
        (Some(step), false) => HookPoint::After(step),
        (None, _) if has(Rule::kw_failure) => HookPoint::OnFailure,
        (None, _) if has(Rule::kw_rollback) => HookPoint::OnRollback,
        (None, true) if has(Rule::kw_upgrade) => HookPoint::BeforeUpgrade,
        (None, false) if has(Rule::kw_upgrade) => HookPoint::AfterUpgrade,
        (None, true) => HookPoint::BeforeRollout,
        (None, false) => HookPoint::AfterRollout,
    }
}

/// A word out of a closed list, or E101 with the list.
fn closed(name: Option<Spanned<Atom>>, words: &[&'static str]) -> Result<Option<Spanned<Atom>>> {
    match name {
        Some(name) if !words.contains(&name.value.as_str()) => Err(Box::new(
            foreign_syntax::not_one_of(name.value.as_str(), name.span, words),
        )),
        other => Ok(other),
    }
}

/// The place of a span moved by an offset.
pub(super) fn shift(span: (usize, usize), base: usize) -> Span {
    Span::new(span.0 + base, span.1 + base)
}
