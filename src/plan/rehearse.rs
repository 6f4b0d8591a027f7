//! `rehearse #{…}`, `rehearse never`: whether and within which bounds a run tries conversions on copies of live states
//! before it begins.

use std::time::Duration;

use super::options::{constant, duration, known, value, wrong};
use super::resolve::Resolver;
use super::vocabulary;
use crate::diag::Span;
use crate::syntax::ast::Options;

/// The statement; bounds that it does not name are the usual ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rehearse {
    /// `never`: a run does not rehearse.
    pub never: bool,
    /// Processes of one module that are asked for their state, at most; at least 1.
    pub at_most: Option<usize>,
    /// How many of them a second; at least 1.
    pub rate: Option<u32>,
    /// How long all of it may take.
    pub within: Option<Duration>,
}

impl Resolver<'_> {
    /// `rehearse #{…}`, `rehearse never`
    pub(super) fn rehearse(&mut self, never: bool, options: &Options, span: Span) {
        self.once("rehearse", span);
        known(
            options,
            "rehearse",
            &vocabulary::words(vocabulary::REHEARSE),
            &mut self.diagnostics,
        );
        let within = value(options, "within")
            .and_then(|expr| duration("within", expr, &self.plan.constants, &mut self.diagnostics));
        self.plan.rehearse = Rehearse {
            never,
            at_most: self.above_zero(options, "at_most"),
            rate: self
                .above_zero(options, "rate")
                .map(|rate| u32::try_from(rate).unwrap_or(u32::MAX)),
            within,
        };
    }

    /// The value of an option that is a number above zero.
    fn above_zero(&mut self, options: &Options, word: &str) -> Option<usize> {
        let expr = value(options, word)?;
        let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
        let number = term
            .as_i64()
            .and_then(|number| usize::try_from(number).ok());
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            let diagnostic = wrong(word, "a number above zero", expr, &term);
            self.diagnostics.push(diagnostic);
        }
        number
    }
}
