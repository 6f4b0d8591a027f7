//! Which tagged tuples a module's code matches and builds, and which keys it puts into maps.

use std::collections::{BTreeMap, BTreeSet};

use super::unit::{Path, Unit};
use crate::facts::beam::instructions::Operand;
use crate::facts::beam::opcode as op;
use crate::name::Module;
use crate::term::{Atom, Term};

/// Most terms of the literals that are looked at.
const MAX_TERMS: usize = 100_000;

/// Tuples of one function that the code distinguishes by their sizes first: which tag belongs to which size is not followed.
#[derive(Default)]
struct Chosen {
    sizes: BTreeSet<u32>,
    tags: BTreeSet<Atom>,
}

impl Chosen {
    /// The function is read: every pair counts.
    fn end(&mut self, found: &mut TupleUses) {
        let (sizes, tags) = (
            std::mem::take(&mut self.sizes),
            std::mem::take(&mut self.tags),
        );
        for tag in tags.iter().filter(|_| !sizes.is_empty()) {
            for size in &sizes {
                found.insert(tag, *size as usize);
            }
        }
    }
}

/// Tagged tuples and keys in the code of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TupleUses {
    /// By first element: the sizes, in patterns, in what is built and in literals.
    pub sizes: BTreeMap<Atom, BTreeSet<u32>>,
    /// Keys that are put into maps whether they have them or not.
    pub put: BTreeSet<Atom>,
}

impl TupleUses {
    /// Reads a beam; `None` when its code cannot be read whole.
    pub fn read(module: &Module, beam: &[u8]) -> Option<Self> {
        Some(Self::of(&Unit::read(module, beam)?))
    }

    pub(super) fn of(unit: &Unit) -> Self {
        let mut found = Self::default();
        let path = Path::default();
        let (mut open, mut terms): (Vec<&Term>, usize) = (unit.constants().collect(), 0);
        while let Some(term) = open.pop() {
            terms += 1;
            if terms > MAX_TERMS {
                break;
            }
            match term {
                Term::Tuple(parts) => {
                    if let Some(tag) = parts.first().and_then(Term::as_atom) {
                        found.insert(tag, parts.len());
                    }
                    open.extend(parts);
                }
                Term::List(items) => open.extend(items),
                Term::Map(pairs) => open.extend(pairs.values()),
                _ => {}
            }
        }
        let mut chosen = Chosen::default();
        for instruction in &unit.code {
            match instruction.opcode {
                op::FUNC_INFO => chosen.end(&mut found),
                op::SELECT_TUPLE_ARITY => {
                    let sizes = instruction.list(2).chunks_exact(2);
                    chosen.sizes.extend(sizes.filter_map(|pair| match pair[0] {
                        Operand::Number(size) => Some(size),
                        _ => None,
                    }));
                }
                op::IS_EQ_EXACT => {
                    let atom = path.value(unit, instruction.operand(2)).as_atom();
                    chosen.tags.extend(atom);
                }
                op::SELECT_VAL => {
                    let values = instruction.list(2).chunks_exact(2);
                    let atoms = values.filter_map(|pair| path.value(unit, pair[0]).as_atom());
                    chosen.tags.extend(atoms);
                }
                op::IS_TAGGED_TUPLE => {
                    let tag = path.value(unit, instruction.operand(3)).as_atom();
                    if let (Some(tag), Some(size)) = (tag, instruction.number(2)) {
                        found.insert(&tag, size as usize);
                    }
                }
                op::PUT_TUPLE2 => {
                    let parts = instruction.list(1);
                    let tag = parts.first().filter(|tag| matches!(tag, Operand::Atom(_)));
                    let tag = tag.and_then(|tag| path.value(unit, *tag).as_atom());
                    if let Some(tag) = tag {
                        found.insert(&tag, parts.len());
                    }
                }
                op::PUT_MAP_ASSOC => {
                    // Onto a literal a new map is made.
                    if matches!(instruction.operand(1), Operand::Literal(_)) {
                        continue;
                    }
                    let keys = instruction.list(4).chunks_exact(2);
                    let keys = keys.filter_map(|pair| path.value(unit, pair[0]).as_atom());
                    found.put.extend(keys);
                }
                _ => {}
            }
        }
        chosen.end(&mut found);
        found
    }

    fn insert(&mut self, tag: &Atom, size: usize) {
        if let Ok(size) = u32::try_from(size) {
            self.sizes.entry(tag.clone()).or_default().insert(size);
        }
    }

    /// Whether a tuple of this size with this first element is anywhere in the code.
    pub fn has(&self, tag: &Atom, size: u32) -> bool {
        self.sizes
            .get(tag)
            .is_some_and(|sizes| sizes.contains(&size))
    }
}
