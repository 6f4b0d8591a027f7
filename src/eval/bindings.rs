//! Variables and their values: a stack, searched from its end.
//!
//! A scope ends by truncating to its mark; a generator's pattern shadows by pushing. There are few
//! variables in a plan, so a search is cheaper than a table.

use std::sync::Arc;

use crate::term::Term;

/// The variables that are bound, in the order in which they were.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    entries: Vec<(Arc<str>, Term)>,
}

impl Bindings {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Term> {
        self.find(name, 0)
    }

    /// Binds a variable, or gives it a new value.
    pub fn set(&mut self, name: &str, value: Term) {
        match self
            .entries
            .iter_mut()
            .rev()
            .find(|(known, _)| &**known == name)
        {
            Some(entry) => entry.1 = value,
            None => self.push(name, value),
        }
    }

    /// Forgets a variable, as `f(X)` does in Erlang's shell.
    pub fn remove(&mut self, name: &str) -> Option<Term> {
        let at = self
            .entries
            .iter()
            .rposition(|(known, _)| &**known == name)?;
        Some(self.entries.remove(at).1)
    }

    /// Those of these names that are bound: enough for an expression that mentions no other.
    #[must_use]
    pub fn only<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut few = Self::new();
        for name in names {
            if let Some(value) = self.get(name) {
                few.push(name, value.clone());
            }
        }
        few
    }

    /// OwnNames and values, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Term)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a variable bound at `floor` or later.
    pub(super) fn find(&self, name: &str, floor: usize) -> Option<&Term> {
        let scope = self.entries.get(floor..)?;
        scope
            .iter()
            .rev()
            .find(|(known, _)| &**known == name)
            .map(|(_, value)| value)
    }

    /// Binds a variable, hiding an older one of the same name.
    pub(super) fn push(&mut self, name: &str, value: Term) {
        self.entries.push((Arc::from(name), value));
    }

    /// Ends the scope that began at `mark`.
    pub(super) fn truncate(&mut self, mark: usize) {
        self.entries.truncate(mark);
    }

    /// Takes away what was bound since `mark`.
    pub(super) fn split_off(&mut self, mark: usize) -> Vec<(Arc<str>, Term)> {
        if self.entries.len() > mark {
            self.entries.split_off(mark)
        } else {
            Vec::new()
        }
    }

    /// The values bound since `mark`.
    pub(super) fn since(&self, mark: usize) -> impl Iterator<Item = &Term> {
        self.entries.iter().skip(mark).map(|(_, value)| value)
    }
}

impl FromIterator<(String, Term)> for Bindings {
    /// Where a name comes twice, the later value hides the earlier one.
    fn from_iter<I: IntoIterator<Item = (String, Term)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        Self {
            entries: entries.map(|(name, value)| (name.into(), value)).collect(),
        }
    }
}
