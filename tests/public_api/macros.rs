//! Expands the macros that define public items (`name!`, `codes!`): enough of `macro_rules!` for them.
//!
//! Takes the rules and an invocation, gives the tokens. What it cannot do it refuses, so that nothing goes missing.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What a variable of a pattern stands for.
#[derive(Clone, Debug)]
enum Bound {
    Tokens(TokenStream),
    Repeated(Vec<Bindings>),
}

type Bindings = BTreeMap<String, Bound>;

/// A part of a pattern or of a body.
enum Part {
    Token(TokenTree),
    Group(Delimiter, Vec<Part>),
    /// `$name:fragment`; in a body without a fragment.
    Variable(String, String),
    /// `$( … ) separator operator`
    Repetition(Vec<Part>, Option<char>),
}

/// The tokens of an invocation; `None` when no rule fits, or one needs more than is known here.
pub fn expand(rules: &TokenStream, input: &TokenStream) -> Option<TokenStream> {
    let rules: Vec<TokenTree> = rules.clone().into_iter().collect();
    let input: Vec<TokenTree> = input.clone().into_iter().collect();
    for rule in rules.split(|token| is(token, ';')) {
        let [TokenTree::Group(pattern), .., TokenTree::Group(body)] = rule else {
            continue;
        };
        let pattern = parts(pattern.stream(), true)?;
        let body = parts(body.stream(), false)?;
        if let Some((bindings, end)) = matched(&pattern, &input, 0)
            && end == input.len()
        {
            return transcribed(&body, &bindings);
        }
    }
    None
}

fn is(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

fn parts(stream: TokenStream, pattern: bool) -> Option<Vec<Part>> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        match (token, tokens.get(at)) {
            (token, Some(TokenTree::Ident(name))) if is(token, '$') && *name != "crate" => {
                at += 1;
                let mut fragment = String::new();
                if pattern {
                    fragment = tokens.get(at + 1)?.to_string();
                    at += 2;
                }
                found.push(Part::Variable(name.to_string(), fragment));
            }
            (token, Some(TokenTree::Group(group))) if is(token, '$') => {
                at += 1;
                let operator = |token: &TokenTree| "*+?".chars().any(|char| is(token, char));
                let mut separator = None;
                if let Some(TokenTree::Punct(punct)) = tokens.get(at).filter(|t| !operator(t)) {
                    separator = Some(punct.as_char());
                    at += 1;
                }
                tokens.get(at).filter(|token| operator(token))?;
                at += 1;
                found.push(Part::Repetition(parts(group.stream(), pattern)?, separator));
            }
            (TokenTree::Group(group), _) => {
                let inner = parts(group.stream(), pattern)?;
                found.push(Part::Group(group.delimiter(), inner));
            }
            (token, _) => found.push(Part::Token(token.clone())),
        }
    }
    Some(found)
}

/// Fits a pattern to the input from `at`; gives where it ends.
fn matched(pattern: &[Part], input: &[TokenTree], mut at: usize) -> Option<(Bindings, usize)> {
    let mut bindings = Bindings::new();
    for part in pattern {
        match part {
            Part::Token(wanted) => {
                let token = input.get(at)?;
                (token.to_string() == wanted.to_string()).then_some(())?;
                at += 1;
            }
            Part::Group(delimiter, inner) => {
                let TokenTree::Group(group) = input.get(at)? else {
                    return None;
                };
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                let (more, end) = matched(inner, &tokens, 0)?;
                (group.delimiter() == *delimiter && end == tokens.len()).then_some(())?;
                bindings.extend(more);
                at += 1;
            }
            Part::Variable(name, fragment) => {
                let end = fragment_end(fragment, input, at)?;
                let tokens = input[at..end].iter().cloned().collect();
                bindings.insert(name.clone(), Bound::Tokens(tokens));
                at = end;
            }
            Part::Repetition(inner, separator) => {
                let mut rounds = Vec::new();
                while let Some((more, end)) = matched(inner, input, at).filter(|(_, end)| *end > at)
                {
                    rounds.push(more);
                    at = end;
                    let Some(separator) = separator else { continue };
                    match input.get(at) {
                        Some(token) if is(token, *separator) => at += 1,
                        _ => break,
                    }
                }
                for name in names(inner) {
                    bindings.insert(name, Bound::Repeated(rounds.clone()));
                }
            }
        }
    }
    Some((bindings, at))
}

fn fragment_end(fragment: &str, input: &[TokenTree], at: usize) -> Option<usize> {
    let first = input.get(at)?;
    let fits = match fragment {
        "ident" => matches!(first, TokenTree::Ident(_)),
        "literal" => matches!(first, TokenTree::Literal(_)),
        "tt" => true,
        // Up to what may follow them; angle brackets hold no `;` or `=>`, and commas only inside.
        "ty" | "expr" | "path" => {
            let (mut end, mut depth) = (at, 0);
            while let Some(token) = input.get(end) {
                match token {
                    token if is(token, '<') => depth += 1,
                    token if is(token, '>') && depth > 0 => depth -= 1,
                    token if depth == 0 && ",;=".chars().any(|char| is(token, char)) => break,
                    _ => {}
                }
                end += 1;
            }
            return (end > at).then_some(end);
        }
        _ => false,
    };
    fits.then_some(at + 1)
}

fn names(parts: &[Part]) -> Vec<String> {
    let of = |part: &Part| match part {
        Part::Token(_) => Vec::new(),
        Part::Variable(name, _) => vec![name.clone()],
        Part::Group(_, inner) | Part::Repetition(inner, _) => names(inner),
    };
    parts.iter().flat_map(of).collect()
}

fn transcribed(body: &[Part], bindings: &Bindings) -> Option<TokenStream> {
    let mut out = TokenStream::new();
    for part in body {
        match part {
            Part::Token(token) => out.extend([token.clone()]),
            Part::Group(delimiter, inner) => {
                let group = Group::new(*delimiter, transcribed(inner, bindings)?);
                out.extend([TokenTree::Group(group)]);
            }
            Part::Variable(name, _) => match bindings.get(name)? {
                Bound::Tokens(tokens) => out.extend(tokens.clone()),
                Bound::Repeated(_) => return None,
            },
            Part::Repetition(inner, separator) => {
                let repeated =
                    names(inner)
                        .into_iter()
                        .find_map(|name| match bindings.get(&name)? {
                            Bound::Repeated(rounds) => Some(rounds.clone()),
                            Bound::Tokens(_) => None,
                        })?;
                for (at, round) in repeated.into_iter().enumerate() {
                    let mut inside = bindings.clone();
                    inside.extend(round);
                    if let Some(separator) = separator.filter(|_| at > 0) {
                        let punct = proc_macro2::Punct::new(separator, proc_macro2::Spacing::Alone);
                        out.extend([TokenTree::Punct(punct)]);
                    }
                    out.extend(transcribed(inner, &inside)?);
                }
            }
        }
    }
    Some(out)
}
