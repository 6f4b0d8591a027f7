//! Child specifications that stand as constants in a supervisor's beam.
//!
//! Takes the bytes of a beam, gives the identifiers of the children it specifies. What `init/1` builds from variables
//! is not seen: this is evidence to warn by, nothing to act upon.

use std::collections::BTreeSet;

use super::chunk::{Chunks, Literals, unpacked};
use crate::term::{Term, etf};

/// More than any sane supervisor specifies.
const MAX_CHILDREN: usize = 4096;

/// The identifiers of the child specifications among the literals of a beam; none when it cannot be read.
pub fn specified(beam: &[u8]) -> BTreeSet<Term> {
    let mut found = BTreeSet::new();
    let Ok(plain) = unpacked(beam) else {
        return found;
    };
    let literals = Chunks::parse(&plain).and_then(|chunks| {
        Literals::read(&chunks).map(|l| {
            let terms: Vec<Term> = (0..l.len())
                .filter_map(|at| etf::decode(l.get(at)?).ok())
                .collect();
            terms
        })
    });
    let mut open = literals.unwrap_or_default();
    while let Some(term) = open.pop() {
        if found.len() >= MAX_CHILDREN {
            break;
        }
        if let Some(id) = child(&term) {
            found.insert(id.clone());
            continue;
        }
        match term {
            Term::List(list) => open.extend(list),
            Term::Tuple(fields) => open.extend(fields),
            _ => {}
        }
    }
    found
}

/// `#{id => Id, start => {M, F, A}, …}` or `{Id, {M, F, A}, Restart, Shutdown, Type, Modules}`.
fn child(term: &Term) -> Option<&Term> {
    let is_start = |start: &Term| {
        matches!(start.as_tuple(), Some([module, function, _])
            if module.as_atom().is_some() && function.as_atom().is_some())
    };
    if let (Some(id), Some(start)) = (term.get("id"), term.get("start")) {
        return is_start(start).then_some(id);
    }
    match term.as_tuple()? {
        [id, start, restart, _, kind, _] if is_start(start) => {
            let words = ["permanent", "transient", "temporary"];
            let fits = words.iter().any(|word| restart.is_atom(word))
                && (kind.is_atom("worker") || kind.is_atom("supervisor"));
            fits.then_some(id)
        }
        _ => None,
    }
}
