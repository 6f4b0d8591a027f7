//! What one literal of a module says: functions it names, its shape, the atoms in it.
//!
//! Takes the external term format of a literal and gives a small [`LiteralSummary`]; the term itself is dropped
//! at once, so that a module with huge tables costs no more than its largest literal. A literal that
//! cannot be decoded (a native record of OTP 29, damage) says nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::code::Evidence;
use crate::term::{Atom, Fun, Term, etf};

/// More references than any sane literal holds; what comes after is not looked at.
const MAX_REFERENCES: usize = 4096;

/// A function named in a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionReference {
    pub(super) module: Atom,
    pub(super) function: Arc<str>,
    pub(super) arity: Option<u32>,
    pub(super) evidence: Evidence,
}

/// What a literal says.
#[derive(Clone, Debug, Default)]
pub(super) struct LiteralSummary {
    /// Functions named in it.
    pub(super) references: Vec<FunctionReference>,
    /// The names looked for that are in it as bare atoms.
    pub(super) wanted: BTreeSet<Atom>,
    /// The first two elements, for a tuple that starts with an atom.
    pub(super) tuple: Option<(Atom, Option<Atom>)>,
    /// The length, for a list.
    pub(super) length: Option<u32>,
    /// `Name` of `{name, Name}` in a keyword list.
    pub(super) keyword_name: Option<Atom>,
    /// Names of processes started by the Elixir child specs in it: `{Module, [name: Name]}`.
    pub(super) children: Vec<Atom>,
    /// The keys other than `__struct__`, for an Elixir struct.
    pub(super) struct_fields: Option<Vec<Atom>>,
}

/// Summarises a literal and adds all atoms in it to `atoms`.
pub(super) fn summary(
    encoded: &[u8],
    wanted: &dyn Fn(&str) -> bool,
    atoms: &mut BTreeSet<Atom>,
) -> LiteralSummary {
    let Ok(term) = etf::decode(encoded) else {
        return LiteralSummary::default();
    };
    let mut summary = shape(&term);
    let mut open = vec![&term];
    while let Some(term) = open.pop() {
        match term {
            Term::Atom(atom) => {
                if wanted(atom.as_str()) {
                    summary.wanted.insert(atom.clone());
                }
                if !atoms.contains(atom) {
                    atoms.insert(atom.clone());
                }
            }
            Term::Fun(Fun::External {
                module,
                name,
                arity,
            }) => {
                let (function, arity) = (Arc::from(name.as_str()), Some(u32::from(*arity)));
                note(
                    &mut summary,
                    FunctionReference {
                        module: module.clone(),
                        function,
                        arity,
                        evidence: Evidence::ExternalFun,
                    },
                );
            }
            Term::Tuple(elements) => {
                if let Some(reference) = mfa(elements) {
                    note(&mut summary, reference);
                }
                if let Some(name) = child(elements) {
                    summary.children.push(name);
                }
                open.extend(elements.iter().filter(|e| speaks(e)));
            }
            Term::List(elements) => open.extend(elements.iter().filter(|e| speaks(e))),
            Term::Improper(elements, tail) => {
                open.extend(elements.iter().chain([&**tail]).filter(|e| speaks(e)));
            }
            Term::Map(pairs) => {
                open.extend(pairs.iter().flat_map(|(k, v)| [k, v]).filter(|e| speaks(e)));
            }
            Term::Record(record) => {
                let values = record.fields.iter().map(|(_, value)| value);
                open.extend(values.filter(|e| speaks(e)));
            }
            _ => {}
        }
    }
    summary
}

fn note(summary: &mut LiteralSummary, reference: FunctionReference) {
    if summary.references.len() < MAX_REFERENCES {
        summary.references.push(reference);
    }
}

/// Whether a term can hold an atom at all.
fn speaks(term: &Term) -> bool {
    matches!(
        term,
        Term::Atom(_)
            | Term::Fun(_)
            | Term::Tuple(_)
            | Term::List(_)
            | Term::Improper(..)
            | Term::Map(_)
            | Term::Record(_)
    )
}

/// `{Module, Function, Args | Arity}`.
fn mfa(elements: &[Term]) -> Option<FunctionReference> {
    let [Term::Atom(module), Term::Atom(function), last] = elements else {
        return None;
    };
    let arity = match last {
        Term::List(arguments) => u32::try_from(arguments.len()).ok()?,
        Term::Int(arity) => u32::try_from(*arity).ok()?,
        _ => return None,
    };
    (arity <= 255).then(|| FunctionReference {
        module: module.clone(),
        function: Arc::from(function.as_str()),
        arity: Some(arity),
        evidence: Evidence::MfaLiteral,
    })
}

/// `{Elixir.Module, [{name, Name} | _]}`.
fn child(elements: &[Term]) -> Option<Atom> {
    match elements {
        [Term::Atom(module), Term::List(options)] if module.as_str().starts_with("Elixir.") => {
            keyword_name(options)
        }
        _ => None,
    }
}

fn keyword_name(options: &[Term]) -> Option<Atom> {
    options.iter().find_map(|option| match option.as_tuple() {
        Some([Term::Atom(key), Term::Atom(name)]) if key == "name" && name != "nil" => {
            Some(name.clone())
        }
        _ => None,
    })
}

fn shape(term: &Term) -> LiteralSummary {
    let mut summary = LiteralSummary::default();
    match term {
        Term::Tuple(elements) => {
            if let Some(Term::Atom(first)) = elements.first() {
                summary.tuple = Some((
                    first.clone(),
                    elements.get(1).and_then(Term::as_atom).cloned(),
                ));
            }
        }
        Term::List(elements) => {
            summary.length = u32::try_from(elements.len()).ok();
            summary.keyword_name = keyword_name(elements);
        }
        Term::Map(pairs) if pairs.contains_key(&Term::atom("__struct__")) => {
            let fields = pairs
                .keys()
                .filter_map(Term::as_atom)
                .filter(|key| *key != "__struct__");
            summary.struct_fields = Some(fields.cloned().collect());
        }
        _ => {}
    }
    summary
}
