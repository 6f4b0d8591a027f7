//! What Tab offers and what is hinted at behind the cursor.
//!
//! Takes the line, the place of the cursor and what is known (`completion_data`), gives candidates and hints. It asks no node
//! itself, and any text is survived.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Takes, WORDS, find};
use super::completion_data::Knowledge;
use super::files::entries;
use crate::diag::Code;
use crate::eval::{builtin_names, is_builtin};
use crate::name::Module;
use crate::plan::vocabulary::{Due, FUNCTIONS, STATEMENTS, TYPES, due};
use crate::syntax::token::{Sort, Token, tokens};
use crate::term::Term;

/// One thing that would fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// As it is listed.
    pub shown: String,
    /// What is put into the line.
    pub text: String,
    /// What it is.
    pub kind: CandidateKind,
    /// What there is to say about it.
    pub what: &'static str,
}

/// What a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateKind {
    /// A word of the language or of the REPL.
    Word,
    /// The key of an option.
    Key,
    /// One of few words.
    Value,
    /// A module.
    Module,
    /// A function.
    Function,
    /// A constant, a parameter, a variable.
    Variable,
    /// A name that the plan gives: a target.
    Name,
    /// A file or a folder.
    File,
}

impl Candidate {
    fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(CandidateKind::Word, text.clone(), text, "")
    }

    fn new(
        kind: CandidateKind,
        shown: impl Into<String>,
        text: String,
        what: &'static str,
    ) -> Self {
        Self {
            shown: shown.into(),
            text,
            kind,
            what,
        }
    }
}

impl Knowledge {
    /// Candidates for what ends at `at`, and where that begins.
    pub fn complete(&self, line: &str, at: usize) -> (usize, Vec<Candidate>) {
        let before = line.get(..at).unwrap_or(line);
        let trimmed = before.trim_start();
        if let Some(command) = trimmed.strip_prefix(':') {
            let start = before.len() - command.len();
            let Some((word, args)) = command.split_once(char::is_whitespace) else {
                let words = WORDS.iter().filter(|w| w.name.starts_with(command));
                let fits = words.map(|word| {
                    let gap = if word.args.is_empty() { "" } else { " " };
                    let shown = format!(":{} {}", word.name, word.args);
                    let text = format!("{}{gap}", word.name);
                    Candidate::new(CandidateKind::Word, shown.trim_end(), text, word.what)
                });
                return (start, fits.collect());
            };
            return match find(word) {
                Some(word) => self.argument(word.takes, word.name, before, args),
                None => (at, Vec::new()),
            };
        }
        self.expression(before)
    }

    /// What may follow a command.
    fn argument(
        &self,
        takes: Takes,
        name: &str,
        before: &str,
        args: &str,
    ) -> (usize, Vec<Candidate>) {
        let word = args.rsplit(char::is_whitespace).next().unwrap_or_default();
        let start = before.len() - word.len();
        let starting = |all: &mut dyn Iterator<Item = String>| {
            let fits = all.filter(|text| text.starts_with(word));
            (start, fits.map(Candidate::plain).collect())
        };
        let earlier = args.split_whitespace().count() - usize::from(!word.is_empty());
        match takes {
            Takes::Nothing => (start, Vec::new()),
            Takes::Changed if name == "why" && earlier == 1 => {
                starting(&mut ["before ".to_owned()].into_iter())
            }
            Takes::Changed => starting(&mut self.changed.iter().cloned()),
            Takes::Module => {
                let loaded = self.modules();
                let all: BTreeSet<String> = loaded.iter().map(ToString::to_string).collect();
                starting(&mut all.into_iter())
            }
            Takes::App => starting(&mut self.apps.iter().cloned()),
            Takes::Node => starting(&mut self.nodes.iter().cloned()),
            Takes::Parameter if earlier == 0 => {
                starting(&mut self.parameters.iter().map(|name| format!("{name} = ")))
            }
            Takes::Parameter => (start, Vec::new()),
            Takes::OneOf(words) => starting(&mut words.iter().map(|word| (*word).to_owned())),
            Takes::Topic => {
                let commands = WORDS.iter().map(|word| word.name);
                let statements = STATEMENTS.iter().map(|statement| statement.word);
                let codes = Code::ALL.iter().map(|code| code.as_str());
                let all: BTreeSet<&str> = commands.chain(statements).chain(codes).collect();
                starting(&mut all.into_iter().map(str::to_owned))
            }
            Takes::File => {
                let path = args.trim_start();
                (before.len() - path.len(), self.files(path))
            }
            Takes::Expression => self.expression(before),
        }
    }

    /// Candidates inside of an expression or a statement, whose text so far is `before`.
    pub fn expression(&self, before: &str) -> (usize, Vec<Candidate>) {
        let all = tokens(before);
        if let Some(open) = open_string(before, &all) {
            return (open, self.files(&before[open..]));
        }
        let start = word_start(before);
        let word = &before[start..];
        if let Some((module, prefix)) = word.rsplit_once(':') {
            let at = before.len() - prefix.len();
            return (at, self.functions_of(&Module::typed(module), prefix));
        }
        let earlier: Vec<&str> = all
            .iter()
            .filter(|token| token.range.end <= start)
            .map(|token| &before[token.range.clone()])
            .collect();
        let mut found = BTreeMap::new();
        let mut offer = |kind: CandidateKind, shown: &str, text: String, what: &'static str| {
            if shown.starts_with(word) {
                let candidate = Candidate::new(kind, shown, text, what);
                found.entry(shown.to_owned()).or_insert(candidate);
            }
        };
        match due(&earlier) {
            Some(Due::Key(options)) => {
                let fits = options
                    .iter()
                    .filter(|option| option.word.starts_with(word));
                let fits = fits.map(|option| {
                    let text = format!("{} => ", option.word);
                    Candidate::new(CandidateKind::Key, option.word, text, option.what)
                });
                return (start, fits.collect());
            }
            Some(Due::Value(option)) => {
                for value in option.values {
                    offer(
                        CandidateKind::Value,
                        value,
                        (*value).to_owned(),
                        option.what,
                    );
                }
            }
            None => {}
        }
        let statement = match earlier.as_slice() {
            [first] => STATEMENTS.iter().find(|known| known.word == *first),
            _ => None,
        };
        for next in statement.map_or(&[][..], |statement| statement.then) {
            offer(CandidateKind::Value, next, (*next).to_owned(), "");
        }
        let is_verb = |word: &str| matches!(word, "depends" | "depend" | "loads");
        let is_rule = earlier.iter().any(|word| is_verb(word))
            || matches!(earlier.first(), Some(&("module" | "exclude" | "only")));
        if let ["window", .., last] = earlier[..] {
            let own = earlier.contains(&"then");
            let words: &[(&str, &str)] = match (last, own) {
                ("then", _) => &[("rest", "what no window names")],
                (_, true) => &[
                    ("then", "the next window"),
                    ("because", "the reason"),
                    ("when", "a guard"),
                ],
                (_, false) => &[("then", "the next window")],
            };
            for (next, what) in words {
                let text = match *next {
                    "rest" => "rest".to_owned(),
                    "because" => "because \"".to_owned(),
                    _ => format!("{next} "),
                };
                offer(CandidateKind::Word, next, text, what);
            }
        }
        match earlier.len() {
            0 => {
                for statement in STATEMENTS.iter().filter(|s| !s.form.starts_with("S ")) {
                    let text = format!("{} ", statement.word);
                    offer(CandidateKind::Word, statement.word, text, statement.what);
                }
            }
            // A module of that name would need quotes there.
            1 if statement.is_none() => {
                for (verb, what) in VERBS {
                    offer(CandidateKind::Word, verb, format!("{verb} "), what);
                }
            }
            _ if is_rule => {
                offer(
                    CandidateKind::Word,
                    "because",
                    "because \"".to_owned(),
                    "the reason",
                );
                offer(CandidateKind::Word, "when", "when ".to_owned(), "a guard");
            }
            _ => {}
        }
        if earlier.first() == Some(&"param") && matches!(earlier[1..], [_, "::"] | [_, "::", "["]) {
            for kind in TYPES {
                offer(CandidateKind::Value, kind, (*kind).to_owned(), "a type");
            }
        }
        if earlier == ["rollout"] {
            for target in &self.targets {
                offer(CandidateKind::Name, target, target.clone(), "a target");
            }
        }
        for module in &self.changed {
            offer(
                CandidateKind::Module,
                module,
                module.clone(),
                "a module that changes",
            );
        }
        // Without a letter there would be too much of everything.
        if !word.is_empty() && (!is_rule || self.in_editor) {
            for name in &self.variables {
                offer(CandidateKind::Variable, name, name.clone(), "");
            }
            for (name, _) in &self.functions {
                offer(
                    CandidateKind::Function,
                    name,
                    format!("{name}("),
                    "a function of the plan",
                );
            }
            for (name, _, what) in FUNCTIONS {
                offer(CandidateKind::Function, name, format!("{name}("), what);
            }
            for name in builtin_names() {
                offer(CandidateKind::Function, name, format!("{name}("), "");
            }
        }
        if !word.is_empty() {
            for module in self.modules() {
                let name = module.to_string();
                offer(
                    CandidateKind::Module,
                    &name,
                    name.clone(),
                    "a module of the node",
                );
            }
        }
        (start, found.into_values().collect())
    }

    /// Files whose path begins so; folders end in a slash.
    fn files(&self, path: &str) -> Vec<Candidate> {
        const MOST: usize = 500;
        let (folder, name) = match path.rfind('/') {
            Some(at) => path.split_at(at + 1),
            None => ("", path),
        };
        let wanted = |file: &str| {
            file.starts_with(name) && (!file.starts_with('.') || name.starts_with('.'))
        };
        let mut found: Vec<Candidate> = entries(&self.folder.join(folder), MOST, wanted)
            .into_iter()
            .map(|(file, is_folder)| {
                let slash = if is_folder { "/" } else { "" };
                let (shown, text) = (format!("{file}{slash}"), format!("{folder}{file}{slash}"));
                Candidate::new(CandidateKind::File, shown, text, "")
            })
            .collect();
        found.sort_by(|a, b| a.shown.cmp(&b.shown));
        found
    }

    /// `total/1` and its like.
    fn functions_of(&self, module: &Module, prefix: &str) -> Vec<Candidate> {
        let fits = self.exports(module);
        let fits = fits
            .into_iter()
            .filter(|(name, ..)| name.starts_with(prefix));
        let mut found: Vec<Candidate> = fits
            .map(|(name, arity, new)| {
                let quoted = Term::atom(&name).to_string();
                let shown = format!("{quoted}/{arity}{}", if new { " (new)" } else { "" });
                let text = format!("{quoted}({}", if arity == 0 { ")" } else { "" });
                let what = if new { "only in the new version" } else { "" };
                Candidate::new(CandidateKind::Function, shown, text, what)
            })
            .collect();
        // `module_info` is everywhere and seldom wanted.
        if prefix.is_empty() {
            found.retain(|candidate| !candidate.shown.starts_with("module_info/"));
        }
        found
    }

    /// What is hinted at behind the cursor, and what of it the right arrow takes.
    pub fn hint(&self, line: &str, at: usize) -> Option<(String, bool)> {
        if at < line.len() || line.trim().is_empty() {
            return None;
        }
        if let Some(command) = line.trim_start().strip_prefix(':') {
            if command.contains(char::is_whitespace) || command.is_empty() {
                return None;
            }
            let mut fits = WORDS.iter().filter(|word| word.name.starts_with(command));
            let (word, None) = (fits.next()?, fits.next()) else {
                return None;
            };
            let rest = word.name.strip_prefix(command)?;
            if rest.is_empty() {
                return (!word.args.is_empty()).then(|| (format!(" {}", word.args), false));
            }
            return Some((rest.to_owned(), true));
        }
        let all = tokens(line);
        if open_string(line, &all).is_some() {
            return None;
        }
        if let Some(called) = line.strip_suffix('(') {
            return self.arities(&called[word_start(called)..], true);
        }
        let word = &line[word_start(line)..];
        let (module, prefix) = word.rsplit_once(':')?;
        if prefix.is_empty() {
            return None;
        }
        if let Some(hint) = self.arities(word, false) {
            return Some(hint);
        }
        let exports = self.exports(&Module::typed(module));
        let names: BTreeSet<&String> = exports
            .iter()
            .map(|(name, ..)| name)
            .filter(|name| name.starts_with(prefix))
            .collect();
        match names.into_iter().collect::<Vec<_>>().as_slice() {
            [only] => Some((only[prefix.len()..].to_owned(), true)),
            _ => None,
        }
    }

    /// The arities of a function that is written out.
    fn arities(&self, word: &str, called: bool) -> Option<(String, bool)> {
        let (name, arities): (&str, Vec<u32>) = match word.rsplit_once(':') {
            Some((module, name)) => {
                let exports = self.exports(&Module::typed(module));
                let of_name = exports.into_iter().filter(|(known, ..)| known == name);
                (name, of_name.map(|(_, arity, _)| arity).collect())
            }
            None => {
                let planned = self.functions.iter().filter(|(known, _)| known == word);
                let planned = planned.filter_map(|(_, arity)| u32::try_from(*arity).ok());
                let builtin = (0..5u32).filter(|arity| is_builtin(word, *arity as usize));
                (word, planned.chain(builtin).collect())
            }
        };
        if arities.is_empty() || name.is_empty() {
            return None;
        }
        let shown: Vec<String> = arities.iter().map(|arity| format!("/{arity}")).collect();
        let gap = if called { "  " } else { "" };
        let shown = if called {
            shown.iter().map(|arity| format!("{name}{arity}")).collect()
        } else {
            shown
        };
        Some((format!("{gap}{}", shown.join(", ")), false))
    }
}

/// Where the word that ends here begins: names, with module and alias in front.
fn word_start(before: &str) -> usize {
    before
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | ':' | '\'')))
        .map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        })
}

/// Where the text of a string begins that is still open.
fn open_string(before: &str, all: &[Token]) -> Option<usize> {
    let last = all.last().filter(|token| token.sort == Sort::Text)?;
    let text = &before[last.range.clone()];
    let is_open = text.starts_with('"') && (text.len() == 1 || !text.ends_with('"'));
    (is_open && last.range.end == before.len()).then_some(last.range.start + 1)
}

/// What is between two subjects.
const VERBS: [(&str, &str); 4] = [
    ("depends on", "the right side is loaded first"),
    ("does not depend on", "an inferred edge is false"),
    ("loads before", "an order without a dependency"),
    ("loads after", "an order without a dependency"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn knowledge() -> Knowledge {
        let text = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        let exports = [("total", 1), ("total", 2), ("version", 0)];
        let exports = exports.map(|(name, arity)| (name.to_owned(), arity));
        Knowledge {
            changed: text(&["shop_cart", "shop_cart_server", "Shop.Cart"]),
            new: [(Module::new("shop_cart"), exports.into())].into(),
            variables: text(&["Total", "Tax"]),
            parameters: text(&["Batch"]),
            ..Knowledge::default()
        }
    }

    fn offered(line: &str) -> Vec<String> {
        let (start, found) = knowledge().complete(line, line.len());
        let whole = |candidate: Candidate| format!("{}{}", &line[..start], candidate.text);
        found.into_iter().map(whole).collect()
    }

    #[test]
    fn commands_and_what_they_take() {
        assert_eq!(offered(":scr"), [":script "]);
        assert_eq!(offered(":script "), [":script low", ":script full"]);
        assert_eq!(
            offered(":why shop_cart"),
            [":why shop_cart", ":why shop_cart_server"]
        );
        assert_eq!(offered(":why shop_cart b"), [":why shop_cart before "]);
        assert_eq!(offered(":set B"), [":set Batch = "]);
        assert_eq!(
            offered(":help E30"),
            [
                ":help E301",
                ":help E302",
                ":help E303",
                ":help E304",
                ":help E306"
            ]
        );
        assert!(offered(":load src/repl/compl").contains(&":load src/repl/complete.rs".to_owned()));
    }

    #[test]
    fn expressions_are_completed() {
        assert_eq!(
            offered("X = shop_cart:tot"),
            ["X = shop_cart:total(", "X = shop_cart:total("]
        );
        assert_eq!(offered("shop_cart:v"), ["shop_cart:version()"]);
        assert_eq!(offered("1 + Tot"), ["1 + Total"]);
        assert_eq!(offered("{Shop.C"), ["{Shop.Cart"]);
        assert_eq!(offered("lists:nothing_known"), Vec::<String>::new());
    }

    #[test]
    fn statements_are_completed() {
        assert_eq!(offered("exc"), ["exclude "]);
        assert_eq!(offered("shop_cart dep"), ["shop_cart depends on "]);
        assert!(
            offered("shop_cart depends on ").contains(&"shop_cart depends on Shop.Cart".to_owned())
        );
        assert_eq!(
            offered("module shop_cart #{ti"),
            ["module shop_cart #{timeout => "]
        );
        assert_eq!(
            offered("module shop_cart #{timeout => 3s, pu"),
            ["module shop_cart #{timeout => 3s, purge => "]
        );
        assert_eq!(
            offered("target shop #{nodes => ['a@b'], tls => #{ca => x, ke"),
            ["target shop #{nodes => ['a@b'], tls => #{ca => x, key => "]
        );
        assert!(offered("target shop #{nodes => #{ke").is_empty());
        assert_eq!(
            offered("target shop #{tls => #{ca => x}, epm"),
            ["target shop #{tls => #{ca => x}, epmd_port => "]
        );
        assert!(offered("include \"src/re").contains(&"include \"src/repl/".to_owned()));
    }

    #[test]
    fn hints_tell_arities() {
        let hint = |line: &str| knowledge().hint(line, line.len());
        assert_eq!(hint("shop_cart:total"), Some(("/1, /2".to_owned(), false)));
        assert_eq!(
            hint("X = shop_cart:total("),
            Some(("  total/1, total/2".to_owned(), false))
        );
        assert_eq!(hint("shop_cart:ver"), Some(("sion".to_owned(), true)));
        assert_eq!(hint(":cyc"), Some(("les".to_owned(), true)));
        assert_eq!(hint(":why"), Some((" X [before Y]".to_owned(), false)));
        assert_eq!(hint("\"shop_cart:total"), None);
        assert_eq!(hint("length("), Some(("  length/1".to_owned(), false)));
    }

    #[test]
    fn any_text_is_survived() {
        let knowledge = knowledge();
        for line in [
            "", ":", "::", "é:", "\"", "'", "#{", "ü:ä(", "a:b:c", "(", ": :", "X\u{301}",
        ] {
            for at in 0..=line.len() {
                if line.is_char_boundary(at) {
                    knowledge.complete(line, at);
                    knowledge.hint(line, at);
                }
            }
        }
    }
}
