//! An expression of Elixir as the Erlang to write instead, for the help of E108.
//!
//! Takes a text and the place where the expression begins, gives Erlang or nothing: what is not certain is not
//! translated. A variable of Elixir is an atom of Erlang, so an expression with one has no translation.

use crate::syntax::grammar::{self, Rule};
use crate::syntax::lex;
use crate::term::Atom;

/// How deep an expression may be.
const DEPTH: usize = 32;

/// How long the text of a help may be.
const LONGEST: usize = 160;

/// What a bracket holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Arguments: keys at the end are a list of pairs.
    Call,
    /// A list: keys are pairs.
    List,
    /// A tuple.
    Tuple,
    /// A map: `key: v` and `k => v`.
    Map,
}

/// The expression that begins at an offset, pipes included.
pub(super) fn from(text: &str, start: usize) -> Option<String> {
    let mut reader = Reader {
        text,
        at: start,
        depth: 0,
    };
    let erlang = reader.expression()?;
    let short = erlang.len() <= LONGEST && !erlang.contains('\n');
    // What stays as it is was not the mistake.
    let changed = text.get(start..reader.at) != Some(erlang.as_str());
    (short && changed && is_erlang(&erlang)).then_some(erlang)
}

/// What has become too long is not written on: each operator would copy it.
fn fits(erlang: &str) -> Option<()> {
    (erlang.len() <= LONGEST).then_some(())
}

fn is_erlang(text: &str) -> bool {
    let lexed = lex::lex(text, false);
    let whole = !lexed.open_quote && lexed.problems.is_empty();
    whole && grammar::parse(Rule::body, &lexed.mask(text)).is_ok()
}

/// Whether a text begins like a map or a struct of Elixir, which Erlang takes for a comment.
pub(in crate::syntax) fn is_percent_map(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('%') else {
        return false;
    };
    let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    match rest.split_at(name.unwrap_or(rest.len())) {
        ("", behind) => behind.starts_with('{'),
        (name, behind) => {
            name.starts_with(|c: char| c.is_ascii_uppercase()) && behind.starts_with('{')
        }
    }
}

/// A module as plans write it: with `Elixir.` where it would be a variable.
pub(super) fn module(alias: &str) -> String {
    match alias.contains('.') {
        true => alias.to_owned(),
        false => format!("Elixir.{alias}"),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Steps over a sign, if it is next.
    fn take(&mut self, sign: &str) -> bool {
        self.blanks();
        let next = self.rest().starts_with(sign);
        if next {
            self.at += sign.len();
        }
        next
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '@'))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// The name of a function: `ready?` needs quotes.
    fn function(&mut self) -> Option<String> {
        let start = self.at;
        if self.word().is_empty() {
            return None;
        }
        if self.rest().starts_with(['?', '!']) && !self.rest().starts_with("!=") {
            self.at += 1;
        }
        Some(Atom::new(self.text.get(start..self.at)?).to_string())
    }

    /// `A.B.C`, without a function behind it.
    fn alias(&mut self) -> &'a str {
        let start = self.at;
        self.word();
        while let Some(next) = self.rest().strip_prefix('.')
            && next.starts_with(|c: char| c.is_ascii_uppercase())
        {
            self.at += 1;
            self.word();
        }
        &self.text[start..self.at]
    }

    fn expression(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let mut erlang = self.operands()?;
        while self.take("|>") {
            self.blanks();
            let call = self.primary(false)?;
            let (name, arguments) = call.split_once('(')?;
            let comma = if arguments == ")" { "" } else { ", " };
            erlang = format!("{name}({erlang}{comma}{arguments}");
            fits(&erlang)?;
        }
        self.depth -= 1;
        Some(erlang)
    }

    fn operands(&mut self) -> Option<String> {
        /// Elixir's operators and Erlang's, longer ones first.
        const OPERATORS: [(&str, &str); 17] = [
            ("===", "=:="),
            ("!==", "=/="),
            ("==", "=="),
            ("!=", "/="),
            ("<=", "=<"),
            (">=", ">="),
            ("&&", "andalso"),
            ("++", "++"),
            ("--", "--"),
            ("+", "+"),
            ("-", "-"),
            ("*", "*"),
            ("/", "/"),
            (">", ">"),
            ("<", "<"),
            ("and ", "andalso"),
            ("or ", "orelse"),
        ];
        let mut erlang = self.primary(true)?;
        'more: loop {
            let before = self.at;
            self.blanks();
            let rest = self.rest();
            if rest.starts_with("<>") || rest.starts_with("<<") || rest.starts_with("->") {
                self.at = before;
                return (!rest.starts_with("<>")).then_some(erlang);
            }
            for (theirs, ours) in OPERATORS {
                // `/1` behind the name of a function is its arity, which has been read.
                if rest.starts_with(theirs) {
                    self.at += theirs.len();
                    self.blanks();
                    erlang = format!("{erlang} {ours} {}", self.primary(true)?);
                    fits(&erlang)?;
                    continue 'more;
                }
            }
            self.at = before;
            return Some(erlang);
        }
    }

    /// An operand. Without `values`, only a call.
    fn primary(&mut self, values: bool) -> Option<String> {
        self.blanks();
        let rest = self.rest();
        let first = rest.chars().next()?;
        if !(values || first.is_alphabetic() || first == ':') {
            return None;
        }
        match first {
            '0'..='9' => Some(self.number().to_owned()),
            '"' => self.string().map(|text| match text.is_ascii() {
                true => format!("<<{text}>>"),
                false => format!("<<{text}/utf8>>"),
            }),
            '~' if rest.starts_with("~c\"") => {
                self.at += 2;
                self.string()
            }
            '<' if rest.starts_with("<<\"") => {
                self.at += 2;
                let text = self.string()?;
                let utf8 = if self.take("/utf8") { "/utf8" } else { "" };
                self.take(">>").then(|| format!("<<{text}{utf8}>>"))
            }
            ':' => self.colon(),
            '&' => {
                self.at += 1;
                self.capture()
            }
            '%' => {
                self.at += 1;
                let alias = self.alias();
                self.take("{").then_some(())?;
                let named = match alias {
                    "" => String::new(),
                    alias => format!("'__struct__' => {}", module(alias)),
                };
                let fields = self.inside(Inside::Map, "}")?;
                let comma = if named.is_empty() || fields.is_empty() {
                    ""
                } else {
                    ", "
                };
                Some(format!("#{{{named}{comma}{fields}}}"))
            }
            '#' if rest.starts_with("#{") => {
                self.at += 2;
                Some(format!("#{{{}}}", self.inside(Inside::Map, "}")?))
            }
            '[' => {
                self.at += 1;
                Some(format!("[{}]", self.inside(Inside::List, "]")?))
            }
            '{' => {
                self.at += 1;
                Some(format!("{{{}}}", self.inside(Inside::Tuple, "}")?))
            }
            '(' => {
                self.at += 1;
                let inner = self.expression()?;
                self.take(")").then(|| format!("({inner})"))
            }
            'A'..='Z' => self.named_module(),
            _ if first.is_alphabetic() || first == '_' => self.name(),
            _ => None,
        }
    }

    fn number(&mut self) -> &'a str {
        let start = self.at;
        self.word();
        if self
            .rest()
            .strip_prefix('.')
            .is_some_and(|next| next.starts_with(|c: char| c.is_ascii_digit()))
        {
            self.at += 1;
            self.word();
        }
        &self.text[start..self.at]
    }

    /// A string without interpolation, its quotes included.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '"' if !escaped => {
                    self.at += at + 1;
                    let text = &self.text[start..self.at];
                    return (!text.contains("#{")).then(|| text.to_owned());
                }
                _ => escaped = c == '\\' && !escaped,
            }
        }
        None
    }

    /// `:atom`, `:"an atom"`, `:lists.sum(…)`.
    fn colon(&mut self) -> Option<String> {
        self.at += 1;
        let atom = match self.rest().starts_with('"') {
            true => {
                let text = self.string()?;
                Atom::new(text.trim_matches('"')).to_string()
            }
            false => self.function()?,
        };
        match self.rest().strip_prefix('.') {
            Some(next) if next.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') => {
                self.at += 1;
                self.called(&atom)
            }
            _ => Some(atom),
        }
    }

    /// `f(…)` of a module; without parentheses it is a call without arguments.
    fn called(&mut self, module: &str) -> Option<String> {
        let function = self.function()?;
        if self.rest().starts_with('(') {
            self.at += 1;
            let arguments = self.inside(Inside::Call, ")")?;
            return Some(format!("{module}:{function}({arguments})"));
        }
        Some(format!("{module}:{function}()"))
    }

    /// A module and what is called of it; a module alone may be a variable of Erlang, and stays what it is.
    fn named_module(&mut self) -> Option<String> {
        let alias = self.alias();
        let next = self.rest();
        let lower = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        match next.chars().next() {
            Some('.' | ':') if lower(&next[1..]) => {
                self.at += 1;
                self.called(&module(alias))
            }
            _ => Some(alias.to_owned()),
        }
    }

    /// A name in lower case: a call, a constant, `fun m:f/1`. A variable of Elixir cannot be translated.
    fn name(&mut self) -> Option<String> {
        let start = self.at;
        let name = self.function()?;
        match (name.as_str(), self.rest().chars().next()) {
            ("true" | "false" | "nil", _) => Some(name),
            ("'fun'", Some(' ')) => {
                self.blanks();
                self.capture()
            }
            ("'not'", Some(' ')) => {
                self.blanks();
                Some(format!("not {}", self.primary(true)?))
            }
            (_, Some('(')) => {
                self.at += 1;
                Some(format!("{name}({})", self.inside(Inside::Call, ")")?))
            }
            (_, Some(':')) => {
                self.at += 1;
                self.called(&name).filter(|_| self.at > start)
            }
            _ => None,
        }
    }

    /// `Mod.fun/1` behind `&` or `fun`.
    fn capture(&mut self) -> Option<String> {
        self.take(":");
        let of = match self.rest().starts_with(|c: char| c.is_ascii_uppercase()) {
            true => module(self.alias()),
            false => self.function()?,
        };
        (self.take(".") || self.take(":")).then_some(())?;
        let function = self.function()?;
        self.take("/").then_some(())?;
        let arity = self.number();
        (!arity.is_empty()).then(|| format!("fun {of}:{function}/{arity}"))
    }

    /// `key:` or `"key":`, when that is next.
    fn key(&mut self) -> Option<String> {
        let before = self.at;
        self.blanks();
        let key = match self.rest().starts_with('"') {
            true => self
                .string()
                .map(|text| Atom::new(text.trim_matches('"')).to_string()),
            false => self.function(),
        };
        let behind = self.rest();
        match key {
            Some(key) if behind.starts_with(':') && behind[1..].starts_with([' ', '\n']) => {
                self.at += 1;
                Some(key)
            }
            _ => {
                self.at = before;
                None
            }
        }
    }

    /// What is between brackets, and the closing one.
    fn inside(&mut self, inside: Inside, close: &str) -> Option<String> {
        let (mut parts, mut keys) = (Vec::new(), Vec::new());
        if self.take(close) {
            return Some(String::new());
        }
        loop {
            match self.key() {
                Some(key) => {
                    let value = self.expression()?;
                    match inside {
                        Inside::Map => parts.push(format!("{key} => {value}")),
                        Inside::List => parts.push(format!("{{{key}, {value}}}")),
                        Inside::Call | Inside::Tuple => keys.push(format!("{{{key}, {value}}}")),
                    }
                }
                None if !keys.is_empty() => return None,
                None => {
                    let part = self.expression()?;
                    if inside == Inside::Map {
                        self.take("=>").then_some(())?;
                        parts.push(format!("{part} => {}", self.expression()?));
                    } else {
                        parts.push(part);
                    }
                }
            }
            if self.take(close) {
                break;
            }
            if inside == Inside::List && self.take("|") {
                let tail = self.expression()?;
                return self
                    .take(close)
                    .then(|| format!("{} | {tail}", parts.join(", ")));
            }
            self.take(",").then_some(())?;
            if self.take(close) {
                break;
            }
        }
        if !keys.is_empty() {
            parts.push(format!("[{}]", keys.join(", ")));
        }
        Some(parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certain_is_translated() {
        for (elixir, erlang) in [
            ("%{a: 1}", "#{a => 1}"),
            ("%{\"a\" => :b, 1 => nil}", "#{<<\"a\">> => b, 1 => nil}"),
            ("%{}", "#{}"),
            ("%Shop.Cart{id: 1}", "#{'__struct__' => Shop.Cart, id => 1}"),
            ("%Cart{}", "#{'__struct__' => Elixir.Cart}"),
            (
                "Enum.map([1], &Integer.to_string/1)",
                "Elixir.Enum:map([1], fun Elixir.Integer:to_string/1)",
            ),
            ("Shop.Cart.ready?(1)", "Shop.Cart:'ready?'(1)"),
            ("Shop.Cart:load!(1)", "Shop.Cart:'load!'(1)"),
            ("m:ready?()", "m:'ready?'()"),
            ("ready?()", "'ready?'()"),
            (":lists.sum([1, 2]) + 1", "lists:sum([1, 2]) + 1"),
            ("{:ok, \"é\", ~c\"abc\"}", "{ok, <<\"é\"/utf8>>, \"abc\"}"),
            ("[a: 1, b: [c: 2]]", "[{a, 1}, {b, [{c, 2}]}]"),
            ("[:a, 2 | [3]]", "[a, 2 | [3]]"),
            (
                "String.split(\"a b\", \" \", trim: true)",
                "Elixir.String:split(<<\"a b\">>, <<\" \">>, [{trim, true}])",
            ),
            (
                "[1, 2] |> Enum.map(&m.f/1) |> Enum.sum()",
                "Elixir.Enum:sum(Elixir.Enum:map([1, 2], fun m:f/1))",
            ),
            ("X |> lists:nth([1])", "lists:nth(X, [1])"),
            ("Enum.count([1]) <= 2", "Elixir.Enum:count([1]) =< 2"),
            ("Mix.env", "Elixir.Mix:env()"),
            ("fun Integer:to_string/1", "fun Elixir.Integer:to_string/1"),
        ] {
            assert_eq!(from(elixir, 0).as_deref(), Some(erlang), "{elixir}");
        }
    }

    #[test]
    fn what_is_not_certain_is_left_alone() {
        let deep = "[".repeat(10_000);
        for elixir in [
            "Enum.map(list, &(&1 + 1))",
            "Enum.map([1], fn x -> x end)",
            "%{map | a: 1}",
            "\"a #{b}\"",
            "m:f(a: 1, 2)",
            "%{a: 1",
            "%{a: \"",
            "x |> y",
            "[1] |> ",
            "",
            "Enum.",
            &deep,
        ] {
            assert_eq!(from(elixir, 0), None, "{elixir}");
        }
    }

    #[test]
    fn structs_are_no_comments() {
        for text in ["%{a: 1}", "%Shop.Cart{}", "%{"] {
            assert!(is_percent_map(text), "{text}");
        }
        for text in ["% {a}", "%% x", "%a{", "%Shop is closed", "", "{}"] {
            assert!(!is_percent_map(text), "{text}");
        }
    }
}
