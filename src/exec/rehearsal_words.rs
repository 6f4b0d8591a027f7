//! What a rehearsal reports of states and reasons, in words.

use crate::name::Module;
use crate::node::agent::protocol::{Codec, Shape};
use crate::term::Term;

/// A shape in words.
pub(super) fn shape_in_words(shape: &Shape) -> String {
    match shape {
        Shape::Tuple {
            size,
            first: Some(first),
        } => format!("{{{first}, …}} of {}", of(*size, "element")),
        Shape::Tuple { size, first: None } => format!("tuple of {}", of(*size, "element")),
        Shape::Struct { keys, name } => {
            let name = Module::new(name.as_str());
            format!("%{name}{{}} of {}", of(*keys, "key"))
        }
        Shape::Map { keys } => format!("map of {}", of(*keys, "key")),
        other => other.encode().to_string(),
    }
}

fn of(number: u64, what: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {what}{many}")
}

/// What should be a shape, in words.
fn value_in_words(value: &Term) -> String {
    Shape::decode(value).map_or_else(|_| value.to_string(), |shape| shape_in_words(&shape))
}

/// Why a state is not converted.
pub(super) fn conversion_in_words(text: &str) -> String {
    let words = reason_in_words(text);
    match words.starts_with("returns ") {
        true => words + ", not {ok, NewState}",
        false => words,
    }
}

/// A reason as the agent sends it, in words.
pub(super) fn reason_in_words(text: &str) -> String {
    let Ok(term) = crate::syntax::parse_term(text) else {
        return text.to_owned();
    };
    match term.as_tuple() {
        Some([class, reason, place]) => {
            let at = match place.as_tuple() {
                Some([m, f, a]) => format!(" in {m}:{f}/{a}"),
                _ => String::new(),
            };
            let reason = match reason.as_tuple() {
                Some([kind, value]) => format!("{kind} ({})", value_in_words(value)),
                _ => reason.to_string(),
            };
            match class.is_atom("error") {
                true => format!("{reason}{at}"),
                false => format!("{class} {reason}{at}"),
            }
        }
        Some([word, shape]) if word.is_atom("returns") => {
            format!("returns {}", value_in_words(shape))
        }
        Some([word, ms]) if word.is_atom("takes_longer_than") => {
            format!("takes longer than {ms} ms")
        }
        Some([word, number]) if word.is_atom("makes_atoms") => {
            format!("makes {number} new atoms, which a node never frees")
        }
        _ if term.is_atom("false") => "is false".to_owned(),
        _ if term.is_atom("no_clause") => "has no clause for it".to_owned(),
        _ if term.is_atom("unreadable") => "is not readable by this release of OTP".to_owned(),
        _ if term.is_atom("no_memory") => "needs more memory than it is given".to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_shapes_are_words() {
        let words = reason_in_words;
        assert_eq!(
            words("{error,{badmatch,{tuple,2,error}},{cart,code_change,3}}"),
            "badmatch ({error, …} of 2 elements) in cart:code_change/3"
        );
        assert_eq!(
            words("{error,function_clause,{cart,code_change,3}}"),
            "function_clause in cart:code_change/3"
        );
        assert_eq!(words("{throw,stop,unknown}"), "throw stop");
        assert_eq!(words("{returns,atom}"), "returns atom");
        assert_eq!(words("false"), "is false");
        assert_eq!(words("{takes_longer_than,150}"), "takes longer than 150 ms");
        assert_eq!(
            words("{makes_atoms,60000}"),
            "makes 60000 new atoms, which a node never frees"
        );
        assert_eq!(words("no_memory"), "needs more memory than it is given");
        assert_eq!(words("{{{"), "{{{");
        for (text, shape) in [
            ("{badmatch,{map,0}}", "badmatch (map of 0 keys)"),
            ("{badmatch,{map,1}}", "badmatch (map of 1 key)"),
            ("{badmatch,{map,2}}", "badmatch (map of 2 keys)"),
            ("{badmatch,{tuple,1}}", "badmatch (tuple of 1 element)"),
            ("{badmatch,{tuple,1,ok}}", "badmatch ({ok, …} of 1 element)"),
            (
                "{badmatch,{struct,1,'Elixir.Cart'}}",
                "badmatch (%Elixir.Cart{} of 1 key)",
            ),
        ] {
            assert_eq!(words(&format!("{{error,{text},unknown}}")), shape);
        }
    }
}
