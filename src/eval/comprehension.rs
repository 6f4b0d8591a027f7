//! Comprehensions: lists, binaries and maps, over lists, binaries and maps.
//!
//! Variables of a generator's pattern are always new, and nothing bound inside leaves. A filter that is
//! a guard expression is false when it fails; any other must be `true` or `false`.

use std::collections::BTreeMap;

use super::binary::SegmentMatch;
use super::bindings::Bindings;
use super::bits::{BitView, Writer};
use super::evaluator::Evaluator;
use super::failure::{Failure, PrimitiveError};
use super::operator;
use super::show;
use crate::diag::{Code, Diagnostic, Span};
use crate::syntax::ast::{Expr, ExprKind, MapPair, Qualifier};
use crate::term::Term;

/// What a comprehension collects.
pub(super) enum Sink<'e> {
    List(&'e Expr, Vec<Term>),
    Binary(&'e Expr, Writer),
    Map(&'e MapPair, BTreeMap<Term, Term>),
}

impl Evaluator<'_> {
    /// The value of a whole comprehension.
    pub(super) fn comprehend(
        &mut self,
        mut sink: Sink<'_>,
        qualifiers: &[Qualifier],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let mark = bindings.len();
        let outcome = self.qualify(qualifiers, &mut sink, bindings);
        bindings.truncate(mark);
        outcome?;
        Ok(match sink {
            Sink::List(_, elements) => Term::List(elements),
            Sink::Binary(_, writer) => writer.finish(),
            Sink::Map(_, pairs) => Term::Map(pairs),
        })
    }

    fn qualify(
        &mut self,
        qualifiers: &[Qualifier],
        sink: &mut Sink<'_>,
        bindings: &mut Bindings,
    ) -> Result<(), Failure> {
        let Some((first, rest)) = qualifiers.split_first() else {
            return self.emit(sink, bindings);
        };
        match first {
            Qualifier::Filter(condition) => {
                if self.filter(condition, bindings)? {
                    self.qualify(rest, sink, bindings)?;
                }
                Ok(())
            }
            Qualifier::List(pattern, list) => {
                self.each_element(pattern, list, rest, sink, bindings)
            }
            Qualifier::Binary(pattern, binary) => {
                self.each_piece(pattern, binary, rest, sink, bindings)
            }
            Qualifier::Map(key, value, map) => {
                self.each_pair((key, value), map, rest, sink, bindings)
            }
        }
    }

    /// Evaluates a generator's source; what it binds stays inside.
    fn source(&mut self, source: &Expr, bindings: &mut Bindings) -> Result<Term, Failure> {
        let mark = bindings.len();
        let value = self.value(source, bindings)?;
        bindings.truncate(mark);
        Ok(value)
    }

    fn each_element(
        &mut self,
        pattern: &Expr,
        list: &Expr,
        rest: &[Qualifier],
        sink: &mut Sink<'_>,
        bindings: &mut Bindings,
    ) -> Result<(), Failure> {
        let (elements, end) = match self.source(list, bindings)? {
            Term::List(elements) => (elements, None),
            Term::Improper(elements, end) => (elements, Some(*end)),
            other => return Err(bad_generator(other, list.span)),
        };
        let mark = bindings.len();
        for element in &elements {
            self.step(pattern.span)?;
            if self.matches_anew(pattern, element, bindings, mark)? {
                self.qualify(rest, sink, bindings)?;
            }
            bindings.truncate(mark);
        }
        end.map_or(Ok(()), |end| Err(bad_generator(end, list.span)))
    }

    fn each_piece(
        &mut self,
        pattern: &Expr,
        binary: &Expr,
        rest: &[Qualifier],
        sink: &mut Sink<'_>,
        bindings: &mut Bindings,
    ) -> Result<(), Failure> {
        let value = self.source(binary, bindings)?;
        let Some(mut view) = BitView::of(&value) else {
            return Err(bad_generator(value, binary.span));
        };
        let mark = bindings.len();
        loop {
            // A pattern without bits would match for ever, in Erlang too: the steps end it.
            self.step(pattern.span)?;
            match self.next_piece(pattern, &mut view, bindings, mark)? {
                SegmentMatch::Short => return Ok(()),
                SegmentMatch::Match => self.qualify(rest, sink, bindings)?,
                SegmentMatch::Other => {}
            }
            bindings.truncate(mark);
        }
    }

    fn next_piece(
        &mut self,
        pattern: &Expr,
        view: &mut BitView,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<SegmentMatch, Failure> {
        match &pattern.kind {
            ExprKind::Binary(segments) => {
                self.match_segments(segments, view, bindings, floor, true)
            }
            ExprKind::Literal(literal) => match BitView::of(literal) {
                Some(wanted) => Ok(match view.piece(wanted.left()) {
                    Some(piece) if piece == *literal => SegmentMatch::Match,
                    Some(_) => SegmentMatch::Other,
                    None => SegmentMatch::Short,
                }),
                None => Ok(SegmentMatch::Short),
            },
            _ => Ok(SegmentMatch::Short),
        }
    }

    fn each_pair(
        &mut self,
        (key, value): (&Expr, &Expr),
        map: &Expr,
        rest: &[Qualifier],
        sink: &mut Sink<'_>,
        bindings: &mut Bindings,
    ) -> Result<(), Failure> {
        let pairs = match self.source(map, bindings)? {
            Term::Map(pairs) => pairs,
            other => return Err(bad_generator(other, map.span)),
        };
        let mark = bindings.len();
        for (k, v) in &pairs {
            self.step(key.span)?;
            if self.matches_anew(key, k, bindings, mark)?
                && self.matches_anew(value, v, bindings, mark)?
            {
                self.qualify(rest, sink, bindings)?;
            }
            bindings.truncate(mark);
        }
        Ok(())
    }

    fn filter(&mut self, condition: &Expr, bindings: &mut Bindings) -> Result<bool, Failure> {
        if self.is_guard(condition) {
            return self.guard_tests(std::slice::from_ref(condition), bindings);
        }
        let value = self.value(condition, bindings)?;
        operator::truth(&value).ok_or_else(|| {
            let shown = show::short(&value);
            let title = format!("this filter is neither `true` nor `false`, but `{shown}`");
            let diagnostic =
                Diagnostic::new(Code::E704, title).label(condition.span, "not a filter");
            let reason = Term::tuple([Term::atom("bad_filter"), value]);
            Failure::raised(reason, condition.span, diagnostic)
        })
    }

    fn emit(&mut self, sink: &mut Sink<'_>, bindings: &mut Bindings) -> Result<(), Failure> {
        let held = self.budget.held();
        match sink {
            Sink::List(body, elements) => {
                let element = self.value(body, bindings)?;
                self.budget.release(held);
                self.pay_for(&element, body.span)?;
                elements.push(element);
            }
            Sink::Binary(body, writer) => {
                let piece = self.value(body, bindings)?;
                let Some(mut view) = BitView::of(&piece) else {
                    return Err(self.fault(PrimitiveError::BadArg, "<<>>", &[&piece], body.span));
                };
                let count = view.left();
                self.budget.release(held);
                self.pay_bits(count as u64, body.span)?;
                if let Some(bytes) = view.take(count) {
                    writer.bits(&bytes, count);
                }
            }
            Sink::Map(pair, pairs) => {
                let mut both = self
                    .eval_apart(&[&pair.key, &pair.value], bindings)?
                    .into_iter();
                if let (Some(key), Some(value)) = (both.next(), both.next()) {
                    self.budget.release(held);
                    self.pay_for(&key, pair.key.span)?;
                    self.pay_for(&value, pair.value.span)?;
                    pairs.insert(key, value);
                }
            }
        }
        Ok(())
    }
}

fn bad_generator(value: Term, span: Span) -> Failure {
    let title = format!("a generator cannot go through `{}`", show::short(&value));
    let diagnostic = Diagnostic::new(Code::E704, title).label(span, "neither list, binary nor map");
    Failure::raised(
        Term::tuple([Term::atom("bad_generator"), value]),
        span,
        diagnostic,
    )
}
