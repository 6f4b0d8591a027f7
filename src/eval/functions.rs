//! The functions that a plan defines, as the evaluator finds them.
//!
//! Takes the clauses of functions and the constants that they see; gives them by name and arity. It evaluates nothing.

use std::collections::BTreeMap;

use super::bindings::Bindings;
use crate::syntax::ast::FunClause;
use crate::term::{Atom, Term};

/// The functions a plan defines, by name and arity, and the constants that they see.
#[derive(Clone, Debug, Default)]
pub struct Functions<'a> {
    table: BTreeMap<(Atom, usize), &'a [FunClause]>,
    constants: Option<&'a Bindings>,
}

impl<'a> Functions<'a> {
    /// No functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function; its arity is that of its first clause. Gives the clauses it replaces.
    pub fn insert(
        &mut self,
        name: impl AsRef<str>,
        clauses: &'a [FunClause],
    ) -> Option<&'a [FunClause]> {
        let arity = clauses.first()?.args.len();
        self.table.insert((Atom::new(name), arity), clauses)
    }

    /// The clauses of a function.
    pub fn get(&self, name: &Atom, arity: usize) -> Option<&'a [FunClause]> {
        self.table.get(&(name.clone(), arity)).copied()
    }

    /// Lets the functions see the plan's constants and parameters, behind their own variables.
    #[must_use]
    pub fn with_constants(mut self, constants: &'a Bindings) -> Self {
        self.constants = Some(constants);
        self
    }

    /// The value of a constant.
    pub(super) fn constant(&self, name: &str) -> Option<&'a Term> {
        self.constants.and_then(|constants| constants.get(name))
    }

    /// OwnNames and arities.
    pub fn names(&self) -> impl Iterator<Item = (&Atom, usize)> {
        self.table.keys().map(|(name, arity)| (name, *arity))
    }
}

/// What an evaluator without functions knows.
pub(super) static NOTHING: Functions<'static> = Functions {
    table: BTreeMap::new(),
    constants: None,
};
