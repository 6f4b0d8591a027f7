//! From grammar pairs to expressions and patterns.
//!
//! It takes pairs of `expr` and what is below, folds constants into terms, and gives an [`Expr`] or one diagnostic (E106, E107). Recursion follows the nesting of the text,
//! which `recover` has limited before.

use pest::iterators::Pair;

use super::ast::{Clause, Expr, ExprKind, MapPair, Qualifier, Spanned};
use super::grammar::Rule;
use super::operators::Row;
use super::{foreign_syntax, literal};
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::term::{Atom, Fun, Term};

/// A grammar pair.
pub(super) type P<'i> = Pair<'i, Rule>;

/// Builds tree nodes; knows where the text begins in the source map.
#[derive(Clone, Copy)]
pub(super) struct Builder {
    /// Offset of the parsed text.
    pub base: usize,
}

/// A grammar pair that cannot be: a bug, reported as one instead of a panic.
pub(super) fn unexpected(builder: Builder, pair: &P<'_>) -> Box<Diagnostic> {
    let title = format!(
        "the parser does not know what to do with {}",
        super::grammar::name(pair.as_rule())
    );
    Box::new(Diagnostic::new(Code::E900, title).label(builder.span(pair), "here"))
}

/// Whether a pair is punctuation or a keyword without meaning of its own.
pub(super) fn is_mark(rule: Rule) -> bool {
    use Rule::{
        bar, colon, dot, kw_begin, kw_case, kw_catch, kw_end, kw_fun, kw_if, kw_of, kw_when,
        match_op, slash,
    };
    matches!(
        rule,
        bar | colon
            | dot
            | slash
            | match_op
            | kw_begin
            | kw_case
            | kw_catch
            | kw_end
            | kw_fun
            | kw_if
            | kw_of
            | kw_when
            | Rule::EOI
    )
}

/// The pairs inside, without marks.
pub(super) fn inner<'i>(pair: P<'i>) -> impl Iterator<Item = P<'i>> {
    pair.into_inner().filter(|p| !is_mark(p.as_rule()))
}

impl Builder {
    /// The place of a pair.
    pub fn span(self, pair: &P<'_>) -> Span {
        let text = pair.as_span();
        Span::new(self.base + text.start(), self.base + text.end())
    }

    /// All expressions directly inside a pair.
    pub fn many(self, pair: P<'_>) -> Result<Vec<Expr>> {
        inner(pair).map(|p| self.any(p)).collect()
    }

    /// The single expression inside a pair.
    pub fn only(self, pair: P<'_>) -> Result<Expr> {
        let whole = pair.clone();
        match inner(pair).next() {
            Some(p) => self.any(p),
            None => Err(unexpected(self, &whole)),
        }
    }

    /// Any expression pair.
    pub fn any(self, pair: P<'_>) -> Result<Expr> {
        match pair.as_rule() {
            Rule::expr => self.expr(pair),
            Rule::op_expr => self.op_expr(pair),
            Rule::postfix => self.postfix(pair),
            _ => self.primary(pair),
        }
    }

    fn expr(self, pair: P<'_>) -> Result<Expr> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let Some(first) = parts.next() else {
            return Err(unexpected(self, &whole));
        };
        if first.as_rule() == Rule::catch_ {
            let start = self.span(&first);
            let body = self.only(first)?;
            let span = Span::new(start.start, body.span.end);
            return Ok(Expr {
                kind: ExprKind::Catch(Box::new(body)),
                span,
            });
        }
        let left = self.any(first)?;
        match parts.next() {
            None => Ok(left),
            Some(right) => {
                let right = self.any(right)?;
                let span = left.span.to(right.span);
                Ok(Expr {
                    kind: ExprKind::Match(Box::new(left), Box::new(right)),
                    span,
                })
            }
        }
    }

    fn op_expr(self, pair: P<'_>) -> Result<Expr> {
        Row::new(self, pair).level(0)
    }

    fn postfix(self, pair: P<'_>) -> Result<Expr> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let Some(first) = parts.next() else {
            return Err(unexpected(self, &whole));
        };
        let mut expr = self.any(first)?;
        for part in parts {
            let span = expr.span.to(self.span(&part));
            let kind = match part.as_rule() {
                Rule::call_args => self.call(expr, part)?,
                Rule::remote_call => self.remote(expr, part)?,
                Rule::update => {
                    let pairs = inner(part).map(|p| self.pair(p)).collect::<Result<_>>()?;
                    ExprKind::Map(Some(Box::new(expr)), pairs)
                }
                _ => return Err(unexpected(self, &part)),
            };
            expr = Expr { kind, span };
        }
        Ok(expr)
    }

    fn call(self, callee: Expr, args: P<'_>) -> Result<ExprKind> {
        match callee.kind {
            ExprKind::Literal(Term::Atom(name)) => Ok(ExprKind::Call(
                Spanned {
                    value: name,
                    span: callee.span,
                },
                self.many(args)?,
            )),
            _ => Err(Box::new(foreign_syntax::not_callable(&callee))),
        }
    }

    fn remote(self, module: Expr, pair: P<'_>) -> Result<ExprKind> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let (Some(function), Some(args)) = (parts.next(), parts.next()) else {
            return Err(unexpected(self, &whole));
        };
        Ok(ExprKind::Remote {
            module: Box::new(module),
            function: Box::new(self.any(function)?),
            args: self.many(args)?,
        })
    }

    /// Every primary expression: no operation and no call.
    fn primary(self, pair: P<'_>) -> Result<Expr> {
        let span = self.span(&pair);
        let text = pair.as_str();
        let kind = match pair.as_rule() {
            Rule::parens => return self.only(pair).map(|e| Expr { span: e.span, ..e }),
            Rule::variable => ExprKind::Var(text.to_owned()),
            Rule::atom => ExprKind::Literal(Term::Atom(self.atom(&pair)?)),
            Rule::integer => ExprKind::Literal(literal::integer(text, span)?),
            Rule::based => ExprKind::Literal(literal::based(text, span)?),
            Rule::float => ExprKind::Literal(literal::float(text, span)?),
            Rule::duration => ExprKind::Duration(literal::duration(text, span)?),
            Rule::char => ExprKind::Literal(literal::char(text, span)?),
            Rule::sigil => ExprKind::Literal(literal::sigil(text, span)?),
            Rule::strings => {
                let (codes, span) = self.codes(pair)?;
                return Ok(Expr::literal(literal::codes_to_list(&codes), span));
            }
            Rule::fun_ref => self.fun_ref(pair)?,
            Rule::list => self.list(pair)?,
            Rule::tuple => {
                let elements = self.many(pair)?;
                match literals(&elements) {
                    Some(terms) => ExprKind::Literal(Term::Tuple(terms)),
                    None => ExprKind::Tuple(elements),
                }
            }
            Rule::map => self.map(pair)?,
            Rule::binary => self.binary(pair)?,
            Rule::begin_ => ExprKind::Block(match inner(pair).next() {
                Some(body) => self.many(body)?,
                None => Vec::new(),
            }),
            Rule::case_ => self.case(pair)?,
            Rule::if_ => ExprKind::If(
                inner(pair)
                    .map(|p| self.clause(p, false))
                    .collect::<Result<_>>()?,
            ),
            _ => return Err(unexpected(self, &pair)),
        };
        Ok(Expr { kind, span })
    }

    /// An atom: bare, quoted, or an Elixir alias.
    pub fn atom(self, pair: &P<'_>) -> Result<Atom> {
        let text = pair.as_str();
        let span = self.span(pair);
        let name = if text.starts_with('\'') {
            literal::quoted_atom(text, span)?
        } else if text.starts_with(|c: char| c.is_ascii_uppercase()) && !text.starts_with("Elixir.")
        {
            literal::atom_text(&format!("Elixir.{text}"), span)?
        } else {
            literal::atom_text(text, span)?
        };
        Ok(Atom::from(name))
    }

    /// The code points of `"a" "b"` and their place.
    pub fn codes(self, pair: P<'_>) -> Result<(Vec<u32>, Span)> {
        let mut span: Option<Span> = None;
        let mut codes = Vec::new();
        for part in pair.into_inner() {
            let here = self.span(&part);
            codes.extend(literal::string(part.as_str(), here.start)?);
            span = Some(span.map_or(here, |s| s.to(here)));
        }
        Ok((codes, span.unwrap_or_default()))
    }

    fn fun_ref(self, pair: P<'_>) -> Result<ExprKind> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let (Some(module), Some(name), Some(arity)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(unexpected(self, &whole));
        };
        let span = self.span(&arity);
        let Ok(number) = arity.as_str().replace('_', "").parse::<u8>() else {
            return Err(literal::malformed(
                span,
                "an arity is 0 to 255",
                "too large",
                "",
            ));
        };
        let (module, name) = (self.atom(&module)?, self.atom(&name)?);
        Ok(ExprKind::Literal(Term::Fun(Fun::External {
            module,
            name,
            arity: number,
        })))
    }

    fn list(self, pair: P<'_>) -> Result<ExprKind> {
        let (mut elements, mut tail) = (Vec::new(), None);
        for part in inner(pair) {
            match part.as_rule() {
                Rule::tail => tail = Some(self.only(part)?),
                Rule::comprehension => {
                    let qualifiers = self.qualifiers(part)?;
                    if let Some(body) = elements.pop() {
                        return Ok(ExprKind::ListComp(Box::new(body), qualifiers));
                    }
                }
                _ => elements.push(self.any(part)?),
            }
        }
        let end = match &tail {
            None => Some(Term::List(Vec::new())),
            Some(tail) => tail.as_folded(),
        };
        Ok(match (literals(&elements), end) {
            (Some(terms), Some(end)) => ExprKind::Literal(Term::cons(terms, end)),
            _ => ExprKind::List(elements, tail.map(Box::new)),
        })
    }

    fn map(self, pair: P<'_>) -> Result<ExprKind> {
        let mut pairs: Vec<MapPair> = Vec::new();
        for part in inner(pair) {
            if part.as_rule() == Rule::comprehension {
                let qualifiers = self.qualifiers(part)?;
                if let Some(body) = pairs.pop() {
                    return Ok(ExprKind::MapComp(Box::new(body), qualifiers));
                }
            } else {
                pairs.push(self.pair(part)?);
            }
        }
        let constant = pairs
            .iter()
            .map(|p| {
                if p.exact {
                    None
                } else {
                    p.key.as_folded().zip(p.value.as_folded())
                }
            })
            .collect::<Option<Vec<_>>>()
            .filter(|pairs| all_different(pairs));
        Ok(match constant {
            Some(terms) => ExprKind::Literal(Term::map(terms)),
            None => ExprKind::Map(None, pairs),
        })
    }

    fn pair(self, pair: P<'_>) -> Result<MapPair> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let (Some(key), Some(sign), Some(value)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(unexpected(self, &whole));
        };
        Ok(MapPair {
            key: self.any(key)?,
            exact: sign.as_rule() == Rule::exact,
            value: self.any(value)?,
        })
    }

    pub fn qualifiers(self, pair: P<'_>) -> Result<Vec<Qualifier>> {
        inner(pair).map(|p| self.qualifier(p)).collect()
    }

    fn qualifier(self, pair: P<'_>) -> Result<Qualifier> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let Some(left) = parts.next() else {
            return Err(unexpected(self, &whole));
        };
        let left = self.any(left)?;
        let Some(source) = parts.next() else {
            return Ok(Qualifier::Filter(left));
        };
        let rule = source.as_rule();
        let mut sources = self.many(source)?.into_iter();
        match (rule, sources.next(), sources.next()) {
            (Rule::list_gen, Some(list), _) => Ok(Qualifier::List(left, list)),
            (Rule::bin_gen, Some(binary), _) => Ok(Qualifier::Binary(left, binary)),
            (Rule::map_gen, Some(value), Some(map)) => Ok(Qualifier::Map(left, value, map)),
            _ => Err(unexpected(self, &whole)),
        }
    }

    fn case(self, pair: P<'_>) -> Result<ExprKind> {
        let whole = pair.clone();
        let mut parts = inner(pair);
        let Some(subject) = parts.next() else {
            return Err(unexpected(self, &whole));
        };
        let subject = self.any(subject)?;
        let clauses = parts.map(|p| self.clause(p, true)).collect::<Result<_>>()?;
        Ok(ExprKind::Case(Box::new(subject), clauses))
    }

    fn clause(self, pair: P<'_>, has_pattern: bool) -> Result<Clause> {
        let (mut pattern, mut guard, mut body) = (None, Vec::new(), Vec::new());
        for part in inner(pair) {
            match part.as_rule() {
                Rule::guard => guard = inner(part).map(|c| self.many(c)).collect::<Result<_>>()?,
                Rule::exprs => body = self.many(part)?,
                _ if has_pattern => pattern = Some(self.any(part)?),
                _ => return Err(unexpected(self, &part)),
            }
        }
        Ok(Clause {
            pattern,
            guard,
            body,
        })
    }
}

/// The values, if all are constants.
fn literals(elements: &[Expr]) -> Option<Vec<Term>> {
    elements.iter().map(Expr::as_folded).collect()
}

fn all_different(pairs: &[(Term, Term)]) -> bool {
    let mut keys: Vec<&Term> = pairs.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.windows(2).all(|two| two[0] != two[1])
}
