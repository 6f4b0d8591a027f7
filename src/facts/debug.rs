//! Record definitions in the debug information of a beam.
//!
//! Takes the bytes of a file compiled with `debug_info` (`Dbgi`, or `Abst` of old compilers) and gives
//! the names and fields of its records. It decodes the whole abstract code, which is slow: ask only for
//! modules that take part in an upgrade. A beam without abstract code has no answer, which is no error.

use super::beam::BeamError;
use super::chunk::{Chunks, unpacked};
use crate::term::{Atom, Term, etf};

/// A record definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's name.
    pub name: Atom,
    /// Its fields, in order.
    pub fields: Vec<Atom>,
}

/// The records known to a module, those of header files included, in the order of the source.
///
/// `None` if the beam has no abstract code: stripped, encrypted, Elixir, or compiled without
/// `debug_info`. Errors as [`BeamFacts::read`](super::beam::BeamFacts::read) has them.
pub fn records(bytes: &[u8]) -> Result<Option<Vec<Record>>, BeamError> {
    let plain = unpacked(bytes)?;
    let chunks = Chunks::parse(&plain)?;
    let Some(forms) = forms(&chunks) else {
        return Ok(None);
    };
    Ok(Some(forms.iter().filter_map(record).collect()))
}

fn forms(chunks: &Chunks<'_>) -> Option<Vec<Term>> {
    if let Some(chunk) = chunks.get(b"Dbgi") {
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

/// `{attribute, _, record, {Name, Fields}}`.
fn record(form: &Term) -> Option<Record> {
    let [tag, _, kind, value] = form.as_tuple()? else {
        return None;
    };
    if !tag.is_atom("attribute") || !kind.is_atom("record") {
        return None;
    }
    let [name, fields] = value.as_tuple()? else {
        return None;
    };
    let fields = fields.as_list()?.iter().map(field).collect::<Option<_>>()?;
    Some(Record {
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
