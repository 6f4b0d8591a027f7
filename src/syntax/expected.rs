//! E101: what is there, what would have fitted, and what to do.
//!
//! It takes the place of a failure with the tokens the grammar would have taken, and says it in words: the
//! thirty ways to begin an expression are "an expression". The help is a word that was nearly right, or the
//! statement as it is written.

use super::error::{STATEMENTS, Site, VERB_WORDS, join};
use super::foreign_syntax;
use super::grammar::VERBS;
use super::lex::TokenKind;
use crate::diag::{Code, Diagnostic, suggest::suggest};

/// E101: what is there, and what would have fitted.
pub(super) fn unexpected(site: &Site<'_>) -> Diagnostic {
    let bad = site.word(site.bad);
    let expected = expected(site);
    let wanted = if expected.is_empty() {
        "this does not fit here".to_owned()
    } else {
        let words: Vec<&str> = expected.iter().map(String::as_str).collect();
        format!("expected {}", join(&words, "or"))
    };
    let diagnostic = match site.kind(site.bad) {
        None => Diagnostic::new(Code::E101, "unexpected end")
            .label(site.bad_span(), format!("{wanted} after this")),
        Some(TokenKind::Dot) => Diagnostic::new(Code::E101, "the statement ends too early")
            .label(site.bad_span(), wanted),
        Some(_) => Diagnostic::new(Code::E101, format!("unexpected `{}`", shorten(bad)))
            .label(site.bad_span(), wanted),
    };
    match hint(site, bad) {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// A help for E101.
fn hint(site: &Site<'_>, bad: &str) -> Option<String> {
    let before = site.bad.checked_sub(1).map_or("", |i| site.word(i));
    if foreign_syntax::is_reserved(bad) {
        let help =
            format!("`{bad}` is a reserved word of Erlang; as an atom it needs quotes: `'{bad}'`");
        return (bad != "end").then_some(help);
    }
    if bad == "." && before.contains('@') {
        let rest: String = (site.bad..site.tokens.len())
            .take_while(|i| site.is_adjacent(*i) && !matches!(site.word(*i), "," | "]" | "}" | ")"))
            .map(|i| site.word(i))
            .collect();
        return Some(format!("names of nodes need quotes: `'{before}{rest}'`"));
    }
    if let Some(word) = suggest(bad, site.failure.tokens.iter().filter(|t| is_word(t))) {
        let verb = VERB_WORDS.iter().find(|(w, _)| *w == word);
        // A word that is right by itself is only in the wrong place.
        if word != bad {
            return Some(format!(
                "did you mean `{}`?",
                verb.map_or(word, |(_, phrase)| phrase)
            ));
        }
    }
    let steps = [
        "load",
        "suspend",
        "code_change",
        "resume",
        "upgrade",
        "rollout",
    ];
    let placed = site.bad >= 2 && matches!(site.word(site.bad - 2), "before" | "after");
    if let Some(step) = suggest(before, steps).filter(|step| placed && *step != before) {
        return Some(format!("did you mean `{step}`, not `{before}`?"));
    }
    match bad {
        "<=" => return Some("Erlang writes `=<`".into()),
        "=" if site.failure.tokens.iter().any(|t| t == "=>") => {
            return Some(format!("write `{before} => …`"));
        }
        _ => {}
    }
    form(site.word(0)).map(|form| format!("the statement reads `{form}`"))
}

/// Whether an expected token is a word, not a sign.
fn is_word(token: &str) -> bool {
    token.len() > 1 && token.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// What would have fitted, in words, the most specific first.
fn expected(site: &Site<'_>) -> Vec<String> {
    let has = |t: &str| site.failure.tokens.iter().any(|x| x == t);
    let mut words: Vec<String> = Vec::new();
    // `on x` could still become `on depends on …`; that is not worth suggesting.
    let own_statement = STATEMENTS.contains(&site.word(0));
    let after_value = has("orelse");
    let subject = has("[") && has("(") && has("'") && !has("case");
    if has("case") {
        words.push("an expression".into());
    } else if subject {
        words.push("modules: `m`, `[m, n]`, `app(a)`, `glob(\"m_*\")`".into());
    } else {
        let glued = site.bad > 0 && site.is_adjacent(site.bad);
        for (token, name) in [("'", "an atom"), ("{", "a tuple"), ("\"", "a string")] {
            let again =
                token == "\"" && site.bad > 0 && site.kind(site.bad - 1) == Some(TokenKind::Str);
            if has(token) && !again {
                words.push(name.into());
            }
        }
        if has("_") && !has("'") && !glued {
            words.push("a variable".into());
        }
        let digits = site.failure.tokens.iter().any(|t| t == "0..9");
        if digits && !glued && words.is_empty() {
            words.push("a number".into());
        }
    }
    if has("depends") && !own_statement {
        return vec![VERBS.into()];
    }
    if after_value {
        words.push("an operator".into());
    }
    let verbs = |t: &str| matches!(t, "depends" | "does" | "loads");
    let structural = site
        .failure
        .tokens
        .iter()
        .filter(|t| is_structural(t, has("case"), after_value || subject) && !verbs(t))
        .filter(|t| !(*t == "(" && (has(".") || has("#{") || own_statement && site.bad == 1)));
    words.extend(structural.map(|t| format!("`{t}`")));
    if words.is_empty() {
        words.extend(site.failure.rules.iter().map(|r| (*r).to_owned()));
    }
    words.dedup();
    words.truncate(8);
    words
}

/// Whether an expected token is more specific than "an expression" or "an operator" does.
fn is_structural(token: &str, expression: bool, operator: bool) -> bool {
    match token {
        "_" | "@" | "'" | "\"" | "\"\"\"" | "$" | "~" | "ms" | "s" | "m" | "h" | "#" | "e"
        | "E" => false,
        "-" | "+" | "not" | "bnot" | "catch" | "fun" | "case" | "if" | "begin" | "<<" | "{" => {
            false
        }
        "[" | "(" => !expression && !operator,
        "#{" => !expression && !operator,
        "." => true,
        ":" | "++" | "--" | "=" if operator => false,
        ":" | "++" | "--" => false,
        _ if operator && super::foreign_syntax::is_operator(token) => false,
        _ if token.contains("..") => false,
        "BUILTIN_RULE" => false,
        _ => token.chars().all(|c| c.is_ascii_graphic()),
    }
}

/// How a statement is written, to be copied.
fn form(word: &str) -> Option<&'static str> {
    Some(match word {
        "plan" => "plan \"Title\" #{owner => \"team\"}.",
        "updo" => "updo \">= 0.1\".",
        "include" => "include \"common/shop.updo\".",
        "param" => "param Batch :: integer = 2.",
        "target" => "target shop #{nodes => ['shop@host'], cookie => env(\"COOKIE\")}.",
        "code" => "code on_disk.` or `code push [\"ebin\"].",
        "module" => "module shop_cart #{timeout => 30s} because \"…\".",
        "exclude" => "exclude [shop_debug] because \"…\".",
        "only" => "only app(shop).",
        "cycle" => "cycle [a, b]: together.` or `cycle [a, b]: break a -> b.",
        "window" => "window single.` or `window a then [b, c] then rest.",
        "engine" => "engine updo.",
        "old" => "old from \"previous/ebin\".",
        "insert" => "insert {apply, {m, f, []}} before load shop_cart.",
        "before" | "after" => "before upgrade -> shop_gate:close().",
        "on" => "on failure -> shop_pager:page(Reason).",
        "require" => "require \"text\" -> 0 = m:f().",
        "verify" => "verify \"text\" #{within => 10s} -> ok = m:f().",
        "hold" => "hold \"text\" #{for => 5m} -> 0 = m:f().",
        "gate" => "gate \"text\" #{within => 30s} -> cmd \"curl -fs …\".",
        "deadline" => "deadline 2m.",
        "soak" => "soak 10s.",
        "budget" => "budget 100ms.",
        "rollback" => "rollback automatic.",
        "rehearse" => "rehearse #{within => 10s}.",
        "rollout" => "rollout shop #{canary => 1, batch => 2}.",
        _ => return None,
    })
}

/// A token that fits into a title.
fn shorten(word: &str) -> String {
    let line: String = word
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(24)
        .collect();
    if line.len() < word.len() {
        format!("{line}…")
    } else {
        line
    }
}
