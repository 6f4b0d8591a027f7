//! What goes over connections, for whoever wants to know: one sentence each, without contents.
//!
//! A program may name one listener. It is notified of connections, calls, answers and messages with names, numbers
//! and sizes; never an argument, a value, a cookie or a digest. Without a listener nothing is put together.

use std::sync::OnceLock;

use crate::term::Term;

type Listener = Box<dyn Fn(&str) + Send + Sync>;

static LISTENER: OnceLock<Listener> = OnceLock::new();

/// Names the listener, for as long as the program runs; `false` when there is one already.
pub fn listen(listener: impl Fn(&str) + Send + Sync + 'static) -> bool {
    LISTENER.set(Box::new(listener)).is_ok()
}

/// Whether anybody listens.
pub(crate) fn is_on() -> bool {
    LISTENER.get().is_some()
}

/// Tells the listener, if there is one.
pub(crate) fn tell(text: impl FnOnce() -> String) {
    if let Some(listener) = LISTENER.get() {
        listener(&text());
    }
}

/// What a message looks like: atoms and small numbers as they are, for everything else its place. Two levels deep.
pub(crate) fn shape(term: &Term) -> String {
    fn at(term: &Term, levels: u32) -> String {
        match term {
            Term::Atom(_) => term.to_string(),
            Term::Tuple(parts) if levels > 0 => {
                let parts: Vec<String> = parts.iter().map(|part| at(part, levels - 1)).collect();
                format!("{{{}}}", parts.join(","))
            }
            _ => match term.as_i64() {
                Some(number) => number.to_string(),
                None => "_".to_owned(),
            },
        }
    }
    at(term, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_no_contents() {
        let inner = Term::tuple([Term::atom("load"), Term::string("secret"), Term::list([])]);
        let deep = Term::tuple([Term::atom("updo"), Term::integer(7.into()), inner.clone()]);
        assert_eq!(shape(&deep), "{updo,7,{load,_,_}}");
        let deeper = Term::tuple([Term::tuple([inner])]);
        assert_eq!(shape(&deeper), "{{_}}");
        assert_eq!(shape(&Term::string("secret")), "_");
    }
}
