//! Records in the debug information of a beam.
//!
//! Takes the bytes of a file compiled with `debug_info` (`Dbgi`, or `Abst` of old compilers) and gives
//! the records it knows, those it uses, and those that its `init/1` makes. It decodes the whole abstract
//! code, which is slow: ask only for modules that take part in an upgrade. A beam without abstract code
//! has no answer, which is no error.

use std::collections::BTreeSet;

use super::chunk::{Chunks, unpacked};
use super::error::BeamError;
use crate::term::{Atom, Term, etf};

/// A record definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDefinition {
    /// The record's name.
    pub name: Atom,
    /// Its fields, in order.
    pub fields: Vec<Atom>,
}

/// What a module does with records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordDefinitions {
    /// The definitions, those of header files included, in the order of the source.
    pub defined: Vec<RecordDefinition>,
    /// Names that expressions or patterns of the module mention.
    pub used: BTreeSet<Atom>,
    /// Names that `init/1` makes: of a server, what its state is.
    pub made_by_init: BTreeSet<Atom>,
}

impl RecordDefinitions {
    /// The definition of a record.
    pub fn get(&self, name: &Atom) -> Option<&RecordDefinition> {
        self.defined.iter().find(|record| record.name == *name)
    }
}

/// The records known to a module, those of header files included, in the order of the source.
///
/// `None` if the beam has no abstract code: stripped, encrypted, Elixir, or compiled without
/// `debug_info`. Errors as [`BeamFacts::read`](super::BeamFacts::read) has them.
pub fn records(bytes: &[u8]) -> Result<Option<Vec<RecordDefinition>>, BeamError> {
    let forms = with_forms(bytes)?;
    Ok(forms.map(|forms| forms.iter().filter_map(record).collect()))
}

/// The same with what the functions do with them.
///
/// # Errors
/// As [`records`].
pub fn records_in_use(bytes: &[u8]) -> Result<Option<RecordDefinitions>, BeamError> {
    let Some(forms) = with_forms(bytes)? else {
        return Ok(None);
    };
    let mut found = RecordDefinitions {
        defined: forms.iter().filter_map(record).collect(),
        ..RecordDefinitions::default()
    };
    for form in &forms {
        let Some([tag, _, name, arity, clauses]) = form.as_tuple() else {
            continue;
        };
        if tag.is_atom("function") {
            let mut used = BTreeSet::new();
            mentions(clauses, false, &mut used);
            found.used.extend(used);
            if name.is_atom("init") && arity.as_i64() == Some(1) {
                mentions(clauses, true, &mut found.made_by_init);
            }
        }
    }
    Ok(Some(found))
}

fn with_forms(bytes: &[u8]) -> Result<Option<Vec<Term>>, BeamError> {
    let plain = unpacked(bytes)?;
    let chunks = Chunks::parse(&plain)?;
    Ok(forms(&chunks))
}

/// Whether there is abstract code that says nothing of records, as most modules' does not: then it is not decoded.
fn has_no_records(chunk: &[u8]) -> bool {
    // {debug_info_v1, erl_abstract_code, {[_ | _], Options}}, with atoms of either length field.
    const HEADS: [&[u8]; 2] = [
        b"\x83h\x03w\x0ddebug_info_v1w\x11erl_abstract_codeh\x02l",
        b"\x83h\x03d\x00\x0ddebug_info_v1d\x00\x11erl_abstract_codeh\x02l",
    ];
    let Ok(plain) = etf::plain(chunk) else {
        return false;
    };
    HEADS.iter().any(|head| plain.starts_with(head))
        && !plain.windows(6).any(|window| window == b"record")
}

/// Forms that may say something of records.
fn forms(chunks: &Chunks<'_>) -> Option<Vec<Term>> {
    if let Some(chunk) = chunks.get(b"Dbgi") {
        if has_no_records(chunk) {
            return Some(Vec::new());
        }
        // {debug_info_v1, erl_abstract_code, {Forms, Options}}
        let [tag, backend, data] = elements(etf::decode(chunk).ok()?)?;
        let known = tag.is_atom("debug_info_v1") && backend.is_atom("erl_abstract_code");
        let [forms, _options] = elements(data).filter(|_| known)?;
        return list(forms);
    }
    let [tag, forms] = elements(etf::decode(chunks.get(b"Abst")?).ok()?)?;
    tag.is_atom("raw_abstract_v1").then(|| list(forms))?
}

/// The elements of a tuple of `N`.
fn elements<const N: usize>(term: Term) -> Option<[Term; N]> {
    match term {
        Term::Tuple(elements) => elements.try_into().ok(),
        _ => None,
    }
}

fn list(term: Term) -> Option<Vec<Term>> {
    match term {
        Term::List(elements) => Some(elements),
        _ => None,
    }
}

/// Records that abstract code mentions: `#r{…}`, `R#r{…}`, `R#r.f`, `#r.f`; with `made` only the first,
/// and not in the heads of clauses.
fn mentions(code: &Term, made: bool, found: &mut BTreeSet<Atom>) {
    // A stack of its own: code may be nested deeper than a thread's stack likes.
    let mut open = vec![code];
    while let Some(term) = open.pop() {
        if let Some(elements) = term.as_list() {
            open.extend(elements);
            continue;
        }
        let Some(parts) = term.as_tuple() else {
            continue;
        };
        match parts {
            [tag, _, Term::Atom(name), _] if tag.is_atom("record") => {
                found.insert(name.clone());
            }
            [tag, _, Term::Atom(name), _] if tag.is_atom("record_index") && !made => {
                found.insert(name.clone());
            }
            [tag, _, _, Term::Atom(name), _]
                if (tag.is_atom("record") || tag.is_atom("record_field")) && !made =>
            {
                found.insert(name.clone());
            }
            [tag, _, _patterns, guards, body] if tag.is_atom("clause") && made => {
                open.extend([guards, body]);
                continue;
            }
            _ => {}
        }
        open.extend(parts);
    }
}

/// `{attribute, _, record, {Name, Fields}}`; `native_record` for one of OTP 29.
fn record(form: &Term) -> Option<RecordDefinition> {
    let [tag, _, kind, value] = form.as_tuple()? else {
        return None;
    };
    if !tag.is_atom("attribute") || !(kind.is_atom("record") || kind.is_atom("native_record")) {
        return None;
    }
    let [name, fields] = value.as_tuple()? else {
        return None;
    };
    let fields = fields.as_list()?.iter().map(field).collect::<Option<_>>()?;
    Some(RecordDefinition {
        name: name.as_atom()?.clone(),
        fields,
    })
}

/// `{record_field, _, {atom, _, Name}}`, with a default behind it, or inside of a `typed_record_field`.
fn field(field: &Term) -> Option<Atom> {
    let elements = field.as_tuple()?;
    if elements.first()?.is_atom("typed_record_field") {
        let inner = elements.get(1)?.as_tuple()?;
        return name(inner);
    }
    name(elements)
}

fn name(elements: &[Term]) -> Option<Atom> {
    if !elements.first()?.is_atom("record_field") {
        return None;
    }
    match elements.get(2)?.as_tuple()? {
        [tag, _, Term::Atom(name)] if tag.is_atom("atom") => Some(name.clone()),
        _ => None,
    }
}
