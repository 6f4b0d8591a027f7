//! The agent's text, read as far as it shows what is sent: a scanner for Erlang's tokens, and the maps in it against
//! the types of the protocol.
//!
//! A map is compared where it is part of an event (`event({…})`, `{finished, …}`), of a reason (`fail({…})`), or in
//! a function above which a comment names its type: `%% => process()`.

use std::collections::{BTreeMap, BTreeSet};

use super::codec::Definitions;

/// What names the type of a function's maps.
const NOTE: &str = "%% => ";

/// Functions that hand a map on to the end of a run.
const ENDINGS: &[&str] = &[
    "finished",
    "finished_new",
    "finished_old",
    "mixed",
    "unasked",
];

/// The keys of a record with the notations of their types.
type Keys = BTreeMap<String, String>;

/// The types by their names, as far as they are made of records.
pub struct Types {
    records: BTreeMap<String, Keys>,
    unions: BTreeMap<String, Vec<String>>,
}

impl Types {
    pub fn of(definitions: &Definitions) -> Self {
        let (mut records, mut unions) = (BTreeMap::new(), BTreeMap::new());
        for (name, definition) in definitions {
            if let Some(keys) = keys_of(definition) {
                records.insert((*name).to_owned(), keys);
            } else {
                let cases = split(definition, '|').into_iter().filter_map(name_of);
                unions.insert((*name).to_owned(), cases.collect());
            }
        }
        Self { records, unions }
    }

    /// The records of which a value of this type may consist, lists of them included.
    fn records_of(&self, notation: &str) -> Vec<String> {
        let notation = notation.trim();
        if let Some(inner) = notation.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            return self.records_of(inner);
        }
        let Some(name) = name_of(notation) else {
            return Vec::new();
        };
        match self.unions.get(&name) {
            Some(cases) => cases
                .iter()
                .flat_map(|case| self.records_of(&format!("{case}()")))
                .collect(),
            None if self.records.contains_key(&name) => vec![name],
            None => Vec::new(),
        }
    }
}

/// The keys of `#{a := T, b => T}`; `None` for another type.
pub fn keys_of(definition: &str) -> Option<Keys> {
    let inner = definition.strip_prefix("#{")?.strip_suffix('}')?;
    let pairs = split(inner, ',')
        .into_iter()
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair
                .split_once(" := ")
                .or_else(|| pair.split_once(" => "))?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// `name` of `name()`.
fn name_of(notation: &str) -> Option<String> {
    let name = notation.trim().strip_suffix("()")?;
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    plain.then(|| name.to_owned())
}

/// The parts between separators that are in no brackets.
pub fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth -= 1,
            c if c == separator && depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// An atom or a number.
    Word(String),
    Variable,
    Text(String),
    Sign(&'static str),
    /// The end of a form.
    End,
    /// Types of a comment that names some.
    Note(Vec<String>),
}

const SIGNS: &[&str] = &[
    "=>", ":=", "->", "<-", "||", "<<", ">>", "=:=", "=/=", "==", "/=", "=<", ">=", "++", "--",
    "(", ")", "[", "]", "{", "}", "#", ",", ";", ":", "|", "=", "+", "-", "*", "/", "<", ">", "!",
    "?", ".",
];

fn tokens(text: &str) -> Vec<Token> {
    let (mut rest, mut found) = (text, Vec::new());
    while let Some(c) = rest.chars().next() {
        let take = |wanted: fn(char) -> bool| rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@';
        let length = match c {
            '%' => {
                let end = rest.find('\n').unwrap_or(rest.len());
                if let Some(types) = rest[..end].strip_prefix(NOTE) {
                    let types = types.split(',').filter_map(name_of).collect();
                    found.push(Token::Note(types));
                }
                end
            }
            c if c.is_whitespace() => c.len_utf8(),
            '"' | '\'' => {
                let mut end = 1;
                while !rest[end..].starts_with(c) {
                    end += if rest[end..].starts_with('\\') { 2 } else { 1 };
                }
                let inner = rest[1..end].to_owned();
                found.push(if c == '"' {
                    Token::Text(inner)
                } else {
                    Token::Word(inner)
                });
                end + 1
            }
            '$' => {
                found.push(Token::Word("$".to_owned()));
                if rest[1..].starts_with('\\') { 3 } else { 2 }
            }
            c if c.is_ascii_uppercase() || c == '_' => {
                found.push(Token::Variable);
                take(is_word)
            }
            c if is_word(c) => {
                let end = take(is_word);
                found.push(Token::Word(rest[..end].to_owned()));
                end
            }
            '.' if rest[1..].chars().next().is_none_or(char::is_whitespace) => {
                found.push(Token::End);
                1
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign =
                    sign.unwrap_or_else(|| panic!("what is this? {}", &rest[..20.min(rest.len())]));
                found.push(Token::Sign(sign));
                sign.len()
            }
        };
        rest = &rest[length..];
    }
    found
}

fn is(token: Option<&Token>, sign: &str) -> bool {
    matches!(token, Some(Token::Sign(found)) if *found == sign)
}

fn word(token: Option<&Token>) -> Option<&str> {
    match token {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

/// The tokens in the bracket that opens at `at`, and where it closes.
fn inside(tokens: &[Token], at: usize) -> (&[Token], usize) {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Sign("(" | "[" | "{" | "<<") => depth += 1,
            Token::Sign(")" | "]" | "}" | ">>") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&tokens[at + 1..place], place);
        }
    }
    panic!(
        "a bracket that is not closed: {:?}",
        &tokens[at..tokens.len().min(at + 9)]
    );
}

/// The parts between commas that are in no brackets.
fn parts(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut at, mut from, mut found) = (0, 0, Vec::new());
    while at < tokens.len() {
        match &tokens[at] {
            Token::Sign("(" | "[" | "{" | "<<") => at = inside(tokens, at).1,
            Token::Sign(",") => {
                found.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if !tokens.is_empty() {
        found.push(&tokens[from..]);
    }
    found
}

/// What the agent's text sends.
#[derive(Default)]
pub struct Sent {
    /// `{tag, N parts}` of events.
    pub events: BTreeSet<(String, usize)>,
    /// Tags of reasons.
    pub reasons: BTreeSet<String>,
    /// Tuples with the tags of events and reasons, by the number of their parts; atoms of that name with 0.
    pub tuples: BTreeSet<(String, usize)>,
    /// The keys of each record that are written somewhere.
    pub keys: BTreeSet<(String, String)>,
    /// What is wrong.
    pub wrong: Vec<String>,
}

/// The agent's text in tokens: its forms, and the types that comments name for each.
#[derive(Clone)]
pub struct Agent(Vec<(Vec<Token>, Vec<String>)>);

impl Agent {
    pub fn read(text: &str) -> Self {
        let all = tokens(text);
        let forms = all.split(|token| *token == Token::End).map(|form| {
            let (mut code, mut notes) = (Vec::new(), Vec::new());
            for token in form {
                match token {
                    Token::Note(types) => notes.extend(types.iter().cloned()),
                    other => code.push(other.clone()),
                }
            }
            // The watchdog's code is a text that is evaluated.
            if word(code.first()) == Some("watchdog_text") {
                let texts = code.iter().filter_map(|token| match token {
                    Token::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                code = tokens(&texts.collect::<String>());
            }
            (code, notes)
        });
        Self(forms.collect())
    }

    /// With another name for a word, where it is the key of a map that is made (`=>`), or else everywhere.
    pub fn misspelt(&self, name: &str, keys: bool) -> Self {
        let mut changed = self.clone();
        for (code, _) in &mut changed.0 {
            for at in 0..code.len() {
                if word(code.get(at)) == Some(name) && (!keys || is(code.get(at + 1), "=>")) {
                    code[at] = Token::Word(format!("mis{name}"));
                }
            }
        }
        changed
    }

    /// What it sends. `events` and `reasons` are their forms.
    pub fn sent(&self, types: &Types, events: &[String], reasons: &[String]) -> Sent {
        let mut sent = Sent::default();
        let tags: BTreeSet<String> = events
            .iter()
            .chain(reasons)
            .map(|form| shape(form).0)
            .collect();
        for (code, notes) in &self.0 {
            for name in notes {
                if !types.records.contains_key(name) && !types.unions.contains_key(name) {
                    let problem = format!("a comment names {name}(), which is no type");
                    sent.wrong.push(problem);
                }
            }
            Form {
                types,
                events,
                reasons,
                tags: &tags,
                sent: &mut sent,
            }
            .read(code, notes);
        }
        sent
    }
}

struct Form<'a> {
    types: &'a Types,
    events: &'a [String],
    reasons: &'a [String],
    tags: &'a BTreeSet<String>,
    sent: &'a mut Sent,
}

impl Form<'_> {
    fn read(&mut self, code: &[Token], notes: &[String]) {
        let mut at = 0;
        // Up to here maps have been compared as parts of an event or a reason.
        let mut done = 0;
        while at < code.len() {
            let call = |name: &str| word(code.get(at)) == Some(name) && is(code.get(at + 1), "(");
            let qualified = at > 0 && is(code.get(at - 1), ":");
            if call("event") && !qualified && is(code.get(at + 2), "{") {
                self.event(inside(code, at + 2).0);
                done = done.max(inside(code, at + 1).1);
            } else if call("fail") && !qualified {
                let (arguments, end) = inside(code, at + 1);
                self.reason(arguments);
                done = done.max(end);
            } else if at >= done && !qualified && ENDINGS.iter().any(|name| call(name)) {
                let (arguments, end) = inside(code, at + 1);
                let run = self.types.records_of("run()");
                for argument in parts(arguments) {
                    self.maps(argument, &run);
                }
                done = done.max(end);
            } else if is(code.get(at), "{") && !(at > 0 && is(code.get(at - 1), "#")) {
                if let Some(tag) = word(code.get(at + 1)).filter(|tag| self.tags.contains(*tag)) {
                    let (inner, end) = inside(code, at);
                    let form = (tag.to_owned(), parts(inner).len() - 1);
                    if at >= done && matches!((tag, form.1), ("finished", 2) | ("settled", 1)) {
                        self.event(inner);
                        done = done.max(end);
                    }
                    self.sent.tuples.insert(form);
                }
            } else if let Some(atom) = word(code.get(at)).filter(|atom| self.tags.contains(*atom)) {
                self.sent.tuples.insert((atom.to_owned(), 0));
            }
            if at >= done && is(code.get(at), "#") && is(code.get(at + 1), "{") && !notes.is_empty()
            {
                let of: Vec<String> = notes
                    .iter()
                    .flat_map(|name| self.types.records_of(&format!("{name}()")))
                    .collect();
                let (inner, end) = inside(code, at + 1);
                // The watchdog is one text: it also makes the map that it keeps.
                let others = notes.iter().any(|name| name == "abandoned");
                if !others || self.is_about(inner, &of) {
                    self.map(inner, &of);
                }
                done = done.max(end);
            }
            at += 1;
        }
    }

    /// Whether a map has a key of one of these records.
    fn is_about(&self, inner: &[Token], of: &[String]) -> bool {
        let mut keys = parts(inner)
            .into_iter()
            .filter_map(|pair| word(pair.first()));
        keys.any(|key| {
            of.iter()
                .any(|name| self.types.records[name].contains_key(key))
        })
    }

    fn event(&mut self, inner: &[Token]) {
        let all = parts(inner);
        let Some(tag) = word(inner.first()) else {
            return;
        };
        self.sent.events.insert((tag.to_owned(), all.len() - 1));
        let form = self
            .events
            .iter()
            .find(|form| shape(form) == (tag.to_owned(), all.len() - 1));
        match form.cloned() {
            Some(form) => self.against(&form, &all),
            None => self.sent.wrong.push(format!(
                "event {tag} with {} parts is not known",
                all.len() - 1
            )),
        }
    }

    fn reason(&mut self, arguments: &[Token]) {
        let (tag, all) = match arguments {
            [Token::Word(tag)] => (tag.as_str(), Vec::new()),
            [Token::Sign("{"), Token::Word(tag), ..] => {
                (tag.as_str(), parts(inside(arguments, 0).0))
            }
            _ => return,
        };
        self.sent.reasons.insert(tag.to_owned());
        let form = self
            .reasons
            .iter()
            .find(|form| shape(form) == (tag.to_owned(), all.len().saturating_sub(1)));
        match form.cloned() {
            Some(form) => self.against(&form, &all),
            None => self.sent.wrong.push(format!("reason {tag} is not known")),
        }
    }

    /// The maps in the parts of a tuple against the parts of its form.
    fn against(&mut self, form: &str, all: &[&[Token]]) {
        let inner = form
            .strip_prefix('{')
            .and_then(|form| form.strip_suffix('}'));
        let types = split(inner.unwrap_or(form), ',');
        for (notation, part) in types.iter().zip(all).skip(1) {
            let of = self.types.records_of(notation);
            self.maps(part, &of);
        }
    }

    /// The outermost maps of an expression against one of these records.
    fn maps(&mut self, code: &[Token], of: &[String]) {
        let mut at = 0;
        while at < code.len() {
            if is(code.get(at), "#") && is(code.get(at + 1), "{") {
                let (inner, end) = inside(code, at + 1);
                self.map(inner, of);
                at = end;
            }
            at += 1;
        }
    }

    fn map(&mut self, inner: &[Token], of: &[String]) {
        let pairs: Vec<(String, &[Token])> = parts(inner)
            .into_iter()
            .filter(|pair| is(pair.get(1), "=>"))
            .filter_map(|pair| Some((word(pair.first())?.to_owned(), &pair[2..])))
            .collect();
        if pairs.is_empty() || of.is_empty() {
            return;
        }
        let fits = |name: &&String| {
            let keys = &self.types.records[*name];
            pairs.iter().all(|(key, _)| keys.contains_key(key))
        };
        let fitting: Vec<String> = of.iter().filter(fits).cloned().collect();
        if fitting.is_empty() {
            let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
            let problem = format!(
                "a map has the keys {}, which are not of {}",
                keys.join(", "),
                of.join(", ")
            );
            self.sent.wrong.push(problem);
            return;
        }
        for (key, value) in pairs {
            let mut inner = Vec::new();
            for name in &fitting {
                self.sent.keys.insert((name.clone(), key.clone()));
                inner.extend(self.types.records_of(&self.types.records[name][&key]));
            }
            self.maps(value, &inner);
        }
    }
}

/// The tag of a form and the number of its parts.
pub fn shape(form: &str) -> (String, usize) {
    let inner = form
        .strip_prefix('{')
        .and_then(|form| form.strip_suffix('}'));
    let all = split(inner.unwrap_or(form), ',');
    (all[0].to_owned(), all.len() - 1)
}
