//! The list of modules and the environment in the text of an application file: names come in and go out, the
//! environment is replaced, all else stays as it was written.
//!
//! Takes the bytes of a `.app` file, gives them with other names in `modules` or another `env`. A name that was added and
//! is taken out again leaves the bytes that were there before.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::app_specs::Spec;
use crate::name::Module;
use crate::syntax::parse_term;
use crate::syntax::token::{Sort, Token, tokens};
use crate::term::Term;

/// The bytes with modules added at the end of the list, and others taken out of it. Names that are there already, or
/// are not, change nothing.
///
/// # Errors
/// Why the list cannot be found or written.
pub fn with_modules(
    content: &[u8],
    add: &[&Module],
    remove: &[&Module],
) -> Result<Vec<u8>, String> {
    let (text, is_utf8) = characters(content);
    let changed = match add.is_empty() && remove.is_empty() {
        true => text,
        false => rewritten(&text, add, remove)?,
    };
    let changed = bytes(changed, is_utf8)?;
    let listed = Spec::read(&changed)?.modules.unwrap_or_default();
    let good = add.iter().all(|module| listed.contains(*module))
        && remove.iter().all(|module| !listed.contains(*module));
    good.then_some(changed)
        .ok_or_else(|| "its list of modules has an unusual form".to_owned())
}

/// The same of the text, in one pass however many the names are.
fn rewritten(text: &str, add: &[&Module], remove: &[&Module]) -> Result<String, String> {
    let List { inside, names } = list(text)?;
    let mut places: HashMap<&Module, usize> = HashMap::new();
    for (at, (name, _)) in names.iter().enumerate() {
        places.entry(name).or_insert(at);
    }
    let gone: HashSet<usize> = remove
        .iter()
        .filter_map(|module| places.remove(*module))
        .collect();
    let (mut new, mut upto, mut last_kept) = (String::new(), 0, None);
    for (at, (_, this)) in names.iter().enumerate() {
        let next = names.get(at + 1).map(|(_, next)| next.start);
        if !gone.contains(&at) {
            new.push_str(&text[upto..this.end]);
            upto = this.end;
            last_kept = Some(new.len());
        } else if last_kept.is_some() {
            // With the comma before it.
            upto = this.end;
        } else {
            new.push_str(&text[upto..this.start]);
            upto = next.unwrap_or(this.end);
        }
    }
    let mut added = String::new();
    let mut known: HashSet<&Module> = places.into_keys().collect();
    for module in add.iter().filter(|module| known.insert(**module)) {
        if last_kept.is_some() || !added.is_empty() {
            added.push(',');
        }
        added += &Term::atom(module.as_str()).to_string();
    }
    // Nothing before the first name has changed.
    let at = last_kept.unwrap_or(inside);
    new.push_str(&text[upto..]);
    new.insert_str(at, &added);
    Ok(new)
}

/// The bytes with another environment.
///
/// # Errors
/// Why it cannot be found or written.
pub fn with_env(content: &[u8], env: &Term) -> Result<Vec<u8>, String> {
    let (mut text, is_utf8) = characters(content);
    match place(&text, "env")? {
        Place::Value(value) => text.replace_range(value, &env.to_string()),
        Place::Missing { inside, is_empty } => {
            let comma = if is_empty { "" } else { "," };
            text.insert_str(inside, &format!("{{env,{env}}}{comma}"));
        }
    }
    let changed = bytes(text, is_utf8)?;
    let wanted = Spec::env_of(env);
    (Spec::read(&changed)?.env == wanted)
        .then_some(changed)
        .ok_or_else(|| "its environment has an unusual form".to_owned())
}

/// The text, and whether it is UTF-8. Files of old tools may be Latin-1, of which each byte is a character.
fn characters(content: &[u8]) -> (String, bool) {
    match std::str::from_utf8(content) {
        Ok(text) => (text.to_owned(), true),
        Err(_) => (
            content.iter().map(|byte| char::from(*byte)).collect(),
            false,
        ),
    }
}

fn bytes(text: String, is_utf8: bool) -> Result<Vec<u8>, String> {
    if is_utf8 {
        return Ok(text.into_bytes());
    }
    let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
    let bytes: Result<_, _> = bytes.collect();
    bytes.map_err(|_| "the file is Latin-1, what is new in it is not".to_owned())
}

/// Where the value of a key is in `{application, Name, [{Key, Value}]}`.
enum Place {
    /// From its first token to its last.
    Value(Range<usize>),
    /// Where the keys begin.
    Missing { inside: usize, is_empty: bool },
}

/// How deep the words are that are keys.
const DEPTH_OF_KEYS: usize = 3;

fn place(text: &str, key: &str) -> Result<Place, String> {
    let all = tokens(text);
    let all: Vec<&Token> = all.iter().filter(|t| t.sort != Sort::Comment).collect();
    let word = |at: usize| all.get(at).map(|token| &text[token.range.clone()]);
    let (mut depth, mut keys, mut value) = (0_usize, None, None);
    for (at, token) in all.iter().enumerate() {
        match token.sort {
            Sort::Open => {
                depth += 1;
                if depth + 1 == DEPTH_OF_KEYS && word(at) == Some("[") && keys.is_none() {
                    keys = Some((token.range.end, word(at + 1) == Some("]")));
                }
            }
            Sort::Close => {
                if let (Some(begin), DEPTH_OF_KEYS) = (value, depth) {
                    return Ok(Place::Value(begin..all[at - 1].range.end));
                }
                depth = depth.saturating_sub(1);
            }
            Sort::Word
                if depth == DEPTH_OF_KEYS
                    && word(at) == Some(key)
                    && at.checked_sub(1).and_then(word) == Some("{") =>
            {
                value = all.get(at + 2).map(|token| token.range.start);
            }
            _ => {}
        }
    }
    let (inside, is_empty) = keys.ok_or("it has no list of keys")?;
    Ok(Place::Missing { inside, is_empty })
}

/// The list in a text.
struct List {
    /// Where its first name is or would be.
    inside: usize,
    names: Vec<(Module, Range<usize>)>,
}

/// Finds `{modules, [` and reads the names up to the `]`.
fn list(text: &str) -> Result<List, String> {
    let Place::Value(place) = place(text, "modules")? else {
        return Err("it has no list of modules".to_owned());
    };
    let all = tokens(text);
    let inside = |token: &&Token| place.start <= token.range.start && token.range.end <= place.end;
    let mut all = all
        .iter()
        .filter(inside)
        .filter(|token| token.sort != Sort::Comment);
    let Some(first) = all.next().filter(|first| &text[first.range.clone()] == "[") else {
        return Err("its list of modules is no list".to_owned());
    };
    let mut names = Vec::new();
    for token in all {
        match token.sort {
            Sort::Close if token.range.end == place.end => {
                let inside = first.range.end;
                return Ok(List { inside, names });
            }
            Sort::Sign => {}
            Sort::Word | Sort::QuotedAtom => {
                let name = parse_term(&text[token.range.clone()]);
                let name = name.ok().and_then(|term| Some(term.as_atom()?.clone()));
                let name = name.ok_or("a name in its list of modules cannot be read")?;
                names.push((Module::new(name.as_str()), token.range.clone()));
            }
            _ => return Err("its list of modules has more than names in it".to_owned()),
        }
    }
    Err("its list of modules does not end".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed(text: &[u8], add: &[&str], remove: &[&str]) -> Result<Vec<u8>, String> {
        let names =
            |names: &[&str]| -> Vec<Module> { names.iter().map(|n| Module::new(*n)).collect() };
        let (add, remove) = (names(add), names(remove));
        let add: Vec<&Module> = add.iter().collect();
        let remove: Vec<&Module> = remove.iter().collect();
        with_modules(text, &add, &remove)
    }

    const TEXT: &[u8] = b"%% by hand: {modules,[x]}\n{application, shop,\n [{env,[{modules,[no]}]},\n  {modules, [shop_a,\n   'Elixir.Shop' % the last\n ]}]}.\n";

    #[test]
    fn what_is_added_can_be_taken_out_again_and_leaves_the_same_bytes() {
        let two = changed(TEXT, &["shop_b", "Elixir.Shop.Cart"], &[]).expect("a list");
        let text = String::from_utf8(two.clone()).expect("UTF-8");
        assert!(
            text.contains("'Elixir.Shop',shop_b,'Elixir.Shop.Cart' % the last"),
            "{text}"
        );
        let one = changed(&two, &[], &["shop_b", "Elixir.Shop.Cart"]).expect("a list");
        assert_eq!(one, TEXT);
        assert_eq!(
            changed(TEXT, &["shop_a"], &["shop_x"]).expect("a list"),
            TEXT
        );
    }

    proptest! {
        #[test]
        fn many_names_are_changed_as_if_one_by_one(
            listed in proptest::sample::subsequence(vec!["a", "b", "c", "d", "e", "f"], 0..6),
            add in proptest::sample::subsequence(vec!["a", "c", "g", "h"], 0..4),
            remove in proptest::sample::subsequence(vec!["b", "d", "e", "f", "x"], 0..5).prop_shuffle(),
            between in proptest::sample::select(vec![",", " , ", ",\n % more\n  "]),
        ) {
            let text = format!("{{application,s,[{{modules,[ {} ]}}]}}.", listed.join(between));
            let at_once = changed(text.as_bytes(), &add, &remove).expect("a list");
            let mut by_one = text.into_bytes();
            for name in &remove {
                by_one = changed(&by_one, &[], &[name]).expect("a list");
            }
            for name in &add {
                by_one = changed(&by_one, &[name], &[]).expect("a list");
            }
            prop_assert_eq!(String::from_utf8(at_once), String::from_utf8(by_one));
        }
    }

    #[test]
    fn the_environment_is_replaced_and_nothing_else() {
        let env = parse_term("[{carts,8},{name,\"gr\\x{fc}n\"},{modules,[x]}]").expect("a term");
        let new = with_env(TEXT, &env).expect("an environment");
        let text = String::from_utf8(new.clone()).expect("UTF-8");
        assert!(text.contains(" [{env,[{carts,8},{name,\"gr"), "{text}");
        let more = changed(&new, &["shop_b"], &[]).expect("a list");
        assert_eq!(changed(&more, &[], &["shop_b"]), Ok(new));
        let none = b"{application,s,[]}.";
        let env = parse_term("[{a,1}]").expect("a term");
        assert_eq!(
            with_env(none, &env),
            Ok(b"{application,s,[{env,[{a,1}]}]}.".to_vec())
        );
        let none = b"{application,s,[{vsn,\"1\"}]}.";
        let with = b"{application,s,[{env,[{a,1}]},{vsn,\"1\"}]}.";
        assert_eq!(with_env(none, &env), Ok(with.to_vec()));
        assert!(with_env(b"{application,s", &env).is_err());
    }

    #[test]
    fn the_first_the_last_and_the_only_name_go() {
        let text = |names: &str| format!("{{application,s,[{{modules,[{names}]}}]}}.").into_bytes();
        let without = |names: &str, name: &str| changed(&text(names), &[], &[name]);
        assert_eq!(without("a, b,c", "a"), Ok(text("b,c")));
        assert_eq!(without("a, b,c", "b"), Ok(text("a,c")));
        assert_eq!(without("a, b,c", "c"), Ok(text("a, b")));
        assert_eq!(without("a", "a"), Ok(text("")));
        assert_eq!(changed(&text(""), &["a"], &[]), Ok(text("a")));
    }

    #[test]
    fn latin_1_stays_latin_1_and_what_is_no_list_is_refused() {
        let text = b"{application,s,[{description,\"gr\xfcn\"},{modules,[a]}]}.";
        let two = changed(text, &["b"], &[]).expect("a list");
        assert!(two.contains(&0xfc), "{two:?}");
        assert_eq!(changed(&two, &[], &["b"]).expect("a list"), text);
        for bad in [
            &b"{application,s,[{modules,[{a,1}]}]}."[..],
            b"{application,s,[{vsn,\"1\"}]}.",
            b"{application,s,[{modules,[a",
            b"",
        ] {
            assert!(changed(bad, &["b"], &[]).is_err(), "{bad:?}");
        }
    }
}
