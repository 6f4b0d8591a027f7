//! The key `twins` of a job: what the agent loads to run conversions beside the running versions.

use crate::term::Term;
use crate::twin::{Converters, Twin, excerpt};

/// Twins with their beams; of an excerpt its beam, and for each module the function that converts
/// (`src/node/agent/PROTOCOL.md`).
pub(super) fn twins_term(converters: &Converters) -> Term {
    let excerpt = converters.excerpt.iter().flat_map(|excerpt| {
        let code = Term::map([
            key("twin", Term::atom(excerpt::NAME)),
            key("new", Term::binary(&excerpt.bytes)),
            key("funs", number(excerpt.funs)),
        ]);
        let entries = excerpt.entries.iter().map(|(module, entry)| {
            Term::map([
                key("name", Term::atom(module.as_str())),
                key("twin", Term::atom(excerpt::NAME)),
                key("entry", Term::atom(entry.as_str())),
            ])
        });
        std::iter::once(code).chain(entries)
    });
    let twin = |twin: &Twin| {
        Term::map([
            key("name", Term::atom(twin.module.as_str())),
            key("twin", Term::atom(twin.name.as_str())),
            key("new", Term::binary(&twin.bytes)),
            key("funs", number(twin.funs)),
        ])
    };
    Term::list(excerpt.chain(converters.twins.iter().map(twin)))
}

fn key(name: &str, value: Term) -> (Term, Term) {
    (Term::atom(name), value)
}

fn number(n: usize) -> Term {
    Term::Int(i64::try_from(n).unwrap_or(i64::MAX))
}
