//! What people write out of habit: Erlang that plans leave out (E107), Elixir (E108), and near misses.
//!
//! The first two functions take a statement that does not parse and recognise the habit at the place of the
//! failure; they never run on a plan that is fine. The rest are refusals the tree builder asks for.

mod translate;

use super::ast::{Expr, ExprKind, Spanned};
use super::error::{Site, list};
use super::lex::TokenKind;
use crate::diag::{Code, Diagnostic, Span, suggest::suggest};
use crate::term::Atom;

/// Erlang's reserved words.
const RESERVED: &[&str] = &[
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case",
    "catch", "cond", "div", "end", "fun", "if", "let", "not", "of", "or", "orelse", "receive",
    "rem", "try", "when", "xor",
];

pub(super) use translate::is_percent_map;

/// Whether a word is reserved in Erlang.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Whether a token is a binary operator.
pub(super) fn is_operator(token: &str) -> bool {
    matches!(
        token,
        "orelse"
            | "andalso"
            | "=="
            | "/="
            | "=<"
            | "<"
            | ">="
            | ">"
            | "=:="
            | "=/="
            | "++"
            | "--"
            | "+"
            | "-"
            | "bor"
            | "bxor"
            | "bsl"
            | "bsr"
            | "or"
            | "xor"
            | "*"
            | "/"
            | "div"
            | "rem"
            | "band"
            | "and"
            | "="
    )
}

fn elixir_at(span: Span, title: &str, label: &str, help: String) -> Option<Diagnostic> {
    Some(
        Diagnostic::new(Code::E108, title)
            .label(span, label)
            .help(help),
    )
}

fn erlang_at(span: Span, title: String, label: &str, help: &str) -> Option<Diagnostic> {
    Some(
        Diagnostic::new(Code::E107, title)
            .label(span, label)
            .help(help),
    )
}

/// Elixir where Erlang is meant.
pub(super) fn elixir(site: &Site<'_>) -> Option<Diagnostic> {
    percent_map(site)
        .or_else(|| (0..3).find_map(|back| elixir_token(site, site.bad.checked_sub(back)?, back)))
}

/// `%{…}`: to the lexer a comment.
fn percent_map(site: &Site<'_>) -> Option<Diagnostic> {
    let from = site.token(0)?.start;
    // What it hides on its line may be a bracket that is missed before.
    let to = site.token(site.bad).map_or(site.text.len(), |t| {
        let line = site.text[t.start..].find('\n');
        line.map_or(site.text.len(), |length| t.start + length)
    });
    let inside = site
        .comments
        .iter()
        .rev()
        .skip_while(|c| c.0 > to)
        .take_while(|c| c.0 >= from);
    percent_comment(site.text, inside.map(|c| c.0), site.base)
}

/// The first of the comments that is a map or a struct of Elixir.
pub(super) fn percent_comment(
    text: &str,
    mut starts: impl Iterator<Item = usize>,
    base: usize,
) -> Option<Diagnostic> {
    let start = starts.find(|start| is_percent_map(&text[*start..]))?;
    let (head, _) = text[start..].split_once('{')?;
    let span = Span::new(base + start, base + start + head.len() + 1);
    let what = if head == "%" { "map" } else { "struct" };
    let help = match translate::from(text, start) {
        Some(erlang) => format!("write `{erlang}`"),
        None if head == "%" => "write `#{key => value}`".to_owned(),
        None => {
            let module = translate::module(head.trim_start_matches('%'));
            format!("write `#{{'__struct__' => {module}, key => value}}`")
        }
    };
    elixir_at(
        span,
        &format!("`{head}{{` starts a comment, not a {what}"),
        "everything from here to the end of the line is ignored",
        help,
    )
}

/// The Erlang for the Elixir that begins at a token, or another help.
fn translated(site: &Site<'_>, index: usize, otherwise: impl FnOnce() -> String) -> String {
    let erlang = site
        .token(index)
        .and_then(|token| translate::from(site.text, token.start));
    match erlang {
        Some(erlang) => format!("write `{erlang}`"),
        None => otherwise(),
    }
}

/// Where the operand begins that ends before a token: behind a comma, an arrow, a match or an open bracket.
fn operand(site: &Site<'_>, index: usize) -> usize {
    let mut depth = 0_usize;
    for at in (0..index).rev() {
        match (site.kind(at), site.word(at)) {
            (Some(TokenKind::Close), _) => depth += 1,
            (Some(TokenKind::Open), _) if depth == 0 => return at + 1,
            (Some(TokenKind::Open), _) => depth -= 1,
            (Some(TokenKind::Dot), _) if depth == 0 => return at + 1,
            (_, "," | ";" | "->" | "=" | "=>" | "when" | "of") if depth == 0 => return at + 1,
            _ => {}
        }
    }
    0
}

/// The innermost bracket that is open before a token.
fn opener(site: &Site<'_>, index: usize) -> Option<usize> {
    let mut depth = 0_usize;
    (0..index).rev().find(|at| match site.kind(*at) {
        Some(TokenKind::Close) => {
            depth += 1;
            false
        }
        Some(TokenKind::Open) if depth == 0 => true,
        Some(TokenKind::Open) => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

/// `ready?(…)` and `load!(…)`: the sign belongs to the name.
fn marked_name(site: &Site<'_>, index: usize) -> Option<Diagnostic> {
    let name = index.checked_sub(1)?;
    let is_name = site.kind(name) == Some(TokenKind::Word)
        && site.is_adjacent(index)
        && site.is_adjacent(index + 1)
        && matches!(site.word(index + 1), "(" | "/");
    if !is_name {
        return None;
    }
    // `m:ready?(…)`, `Shop.Cart.ready?(…)`, `fun m:ready?/1`.
    let mut first = name;
    if name >= 2 && matches!(site.word(name - 1), ":" | ".") && site.is_adjacent(name) {
        first = name - 2;
    }
    if first > 0 && site.word(first - 1) == "fun" {
        first -= 1;
    }
    let (word, sign) = (site.word(name), site.word(index));
    let quoted = format!("'{word}{sign}'");
    elixir_at(
        site.span(name, index),
        &format!("a name with `{sign}` is written in quotes"),
        "a name of Elixir",
        translated(site, first, || format!("write `{quoted}`")),
    )
}

/// A habit at one token; `back` says how far before the failure it is.
fn elixir_token(site: &Site<'_>, index: usize, back: usize) -> Option<Diagnostic> {
    let (word, next, span) = (
        site.word(index),
        site.word(index + 1),
        site.span(index, index),
    );
    let two = site.span(index, index + 1);
    let instead = |erlang: &str| {
        let title = format!("`{word}` is an operator of Elixir");
        elixir_at(
            span,
            &title,
            "not an operator of Erlang",
            format!("write `{erlang}`"),
        )
    };
    let prev = index.checked_sub(1);
    let prev_kind = prev.and_then(|i| site.kind(i));
    match word {
        "?" | "!" => marked_name(site, index),
        ":" if !site.is_adjacent(index) && site.is_adjacent(index + 1)
            || matches!(prev_kind, Some(TokenKind::Op | TokenKind::Open)) =>
        {
            elixir_at(
                two,
                "an atom is written without a colon",
                "an atom of Elixir",
                translated(site, index, || format!("write `{next}`")),
            )
        }
        ":" if prev_kind == Some(TokenKind::Word)
            && site.is_adjacent(index)
            && !site.is_adjacent(index + 1)
            && site.is_bracketed(index) =>
        {
            let key = site.word(index - 1);
            let span = site.span(index - 1, index);
            let open = opener(site, index);
            let help = match open.map(|open| site.word(open)) {
                Some("[") => format!("write `{{{key}, …}}`"),
                Some("(") => format!("write `[{{{key}, …}}]`"),
                _ => format!("write `{key} => …`"),
            };
            // Between parentheses it is an argument: the line would be that of the whole call.
            let whole = open.filter(|open| matches!(site.word(*open), "[" | "#{"));
            elixir_at(
                span,
                "keyword lists are Elixir's",
                "a key of Elixir",
                translated(site, whole.unwrap_or(usize::MAX), || help),
            )
        }
        "." if matches!(prev_kind, Some(TokenKind::Alias | TokenKind::Var))
            && site.is_adjacent(index + 1) =>
        {
            let module = translate::module(site.word(index - 1));
            let mark = match site.word(index + 2) {
                mark @ ("?" | "!") if site.is_adjacent(index + 2) => mark,
                _ => "",
            };
            let function = Atom::new(format!("{next}{mark}"));
            let first = match index.checked_sub(2).map(|before| site.word(before)) {
                Some("&") => index - 2,
                _ => index - 1,
            };
            let help = translated(site, first, || format!("write `{module}:{function}`"));
            elixir_at(
                site.span(index - 1, index + 1),
                "a remote call is written with a colon",
                "a call of Elixir",
                help,
            )
        }
        "&" => elixir_at(
            span,
            "`&` does not make functions here",
            "a capture of Elixir",
            translated(site, index, || {
                "write `fun m:f/1`, the name of a function of a module".into()
            }),
        ),
        "fun" if site.kind(index + 1) == Some(TokenKind::Var) && site.word(index + 2) == ":" => {
            elixir_at(
                site.span(index + 1, index + 1),
                &format!("`{next}` is a variable here, not a module"),
                "a module of Elixir",
                translated(site, index, || format!("write `fun Elixir.{next}:f/1`")),
            )
        }
        _ if site.kind(index) == Some(TokenKind::Sigil) && word.starts_with("~c") => elixir_at(
            span,
            "a list of characters is written without `~c`",
            "a sigil of Elixir",
            translated(site, index, || "write `\"…\"`".into()),
        ),
        "&&" => instead("andalso"),
        "||" if back == 0 => instead("orelse"),
        "|>" => elixir_at(
            span,
            "`|>` is an operator of Elixir",
            "not an operator of Erlang",
            translated(site, operand(site, index), || "write `f(X)`".into()),
        ),
        "<>" => instead("++` for strings, `<<A/binary, B/binary>>` for binaries; to compare, `/="),
        "!=" => instead("/="),
        "===" => instead("=:="),
        "!==" => instead("=/="),
        "do" if back == 0 => elixir_at(
            span,
            "`do` blocks are Elixir's",
            "a block of Elixir",
            match block(site, index) {
                Some("case") => "write `case Value of Pattern -> …; Pattern -> … end`",
                Some("if") => "write `case Condition of true -> …; false -> … end`",
                _ => "write `-> …` and end with a dot",
            }
            .into(),
        ),
        "fn" if back > 0 && site.kind(index) == Some(TokenKind::Word) => erlang_at(
            span,
            "anonymous functions are not part of plans".into(),
            "they cannot travel to the node",
            "name a function of a module on the node: `fun m:f/1`",
        ),
        _ => None,
    }
}

/// The word that began the block of a `do`.
fn block<'a>(site: &Site<'a>, index: usize) -> Option<&'a str> {
    let before = (0..index).rev().map(|at| site.word(at));
    let mut words = before.filter(|word| matches!(*word, "case" | "if" | "end" | "do"));
    words.next().filter(|word| matches!(*word, "case" | "if"))
}

/// Erlang that plans leave out.
pub(super) fn erlang(site: &Site<'_>) -> Option<Diagnostic> {
    (0..3)
        .find_map(|back| erlang_token(site, site.bad.checked_sub(back)?, back))
        .or_else(|| guard_alternative(site))
}

fn erlang_token(site: &Site<'_>, index: usize, back: usize) -> Option<Diagnostic> {
    let (word, kind, span) = (site.word(index), site.kind(index)?, site.span(index, index));
    let next = index + 1;
    match (kind, word) {
        (TokenKind::Op, "!") if back == 0 => erlang_at(
            span,
            "`!` is not part of plans".into(),
            "sending is a side effect of the node",
            "write `erlang:send(Pid, Message)`",
        ),
        (TokenKind::Op, "?") if back < 2 && site.is_adjacent(next) => erlang_at(
            site.span(index, next),
            "macros are not part of plans".into(),
            "a macro",
            "write a constant: `Name = Expr.`",
        ),
        (TokenKind::Op, "#") if back < 2 && site.is_adjacent(next) => erlang_at(
            site.span(index, next),
            "records are not part of plans".into(),
            "a record",
            "write the tuple: `{name, Field, …}`, or call a function of the node",
        ),
        (TokenKind::Word, "receive") if back < 2 => erlang_at(
            span,
            "`receive` is not part of plans".into(),
            "a plan has no mailbox",
            "call a function of the node that waits, or use `verify \"…\" #{within => 10s} -> …`",
        ),
        (TokenKind::Word, "try") if back < 2 => erlang_at(
            span,
            "`try` is not part of plans yet".into(),
            "planned",
            "write `case catch Expr of {'EXIT', Reason} -> …; Value -> … end`",
        ),
        (TokenKind::Word, "maybe" | "else") if back < 2 => erlang_at(
            span,
            format!("`{word}` is not part of plans"),
            "a reserved word since OTP 27",
            "write `case … of … end`",
        ),
        (TokenKind::Word, "cond" | "let") if back < 2 => erlang_at(
            span,
            format!("`{word}` is not part of plans"),
            "a reserved word of Erlang",
            "as an atom it needs quotes",
        ),
        // A check on states has one: what is wrong is inside of it.
        (TokenKind::Word, "fun") if site.word(0) == "rehearse" && site.word(next) == "(" => None,
        (TokenKind::Word, "fun") if back > 0 => {
            let name = site.word(next);
            let local = site.kind(next) == Some(TokenKind::Word) && site.word(next + 1) == "/";
            let anonymous = site.word(next) == "(" || site.kind(next) == Some(TokenKind::Var);
            if local {
                let help = format!("say the module too: `fun m:{name}/{}`", site.word(next + 2));
                return Some(
                    Diagnostic::new(Code::E107, "a local fun is not part of plans")
                        .label(site.span(index, next), "no module is named")
                        .help(help),
                );
            }
            anonymous.then(|| {
                Diagnostic::new(Code::E107, "anonymous functions are not part of plans")
                    .label(span, "they cannot travel to the node")
                    .help("name a function of a module on the node: `fun m:f/1`")
                    .note("only a check on states has one: `rehearse m \"text\" -> fun (Old, New) -> … end`")
            })
        }
        _ => None,
    }
}

/// `when A; B` where only commas are allowed.
fn guard_alternative(site: &Site<'_>) -> Option<Diagnostic> {
    if site.word(site.bad) != ";" {
        return None;
    }
    let since = (0..site.bad).rev().take_while(|i| site.word(*i) != "->");
    since.into_iter().find(|i| site.word(*i) == "when")?;
    erlang_at(
        site.bad_span(),
        "`;` is not part of this guard".into(),
        "only `case` and `if` have alternatives in guards",
        "write `orelse`, or a clause of its own",
    )
}

/// A call of something that is no name.
pub(super) fn not_callable(callee: &Expr) -> Diagnostic {
    let (what, help) = match &callee.kind {
        ExprKind::Var(name) => (
            format!("the variable `{name}` cannot be called"),
            "write `m:f(…)`, or `erlang:apply(F, Args)`",
        ),
        _ => (
            "this cannot be called".to_owned(),
            "write `f(…)` or `m:f(…)`",
        ),
    };
    Diagnostic::new(Code::E107, what)
        .label(callee.span, "not the name of a function")
        .help(help)
}

/// `<<X:8 || …>>`.
pub(super) fn bare_segment(span: Span) -> Diagnostic {
    Diagnostic::new(
        Code::E101,
        "a binary comprehension needs a binary before `||`",
    )
    .label(span, "a segment, not a binary")
    .help("write `<< <<X:8>> || … >>`")
}

/// An unknown word behind the `/` of a binary segment.
pub(super) fn unknown_segment_type(word: &str, span: Span) -> Diagnostic {
    let words = [
        "integer",
        "float",
        "binary",
        "bytes",
        "bitstring",
        "bits",
        "utf8",
        "utf16",
        "utf32",
        "signed",
        "unsigned",
        "big",
        "little",
        "native",
        "unit",
    ];
    not_one_of(word, span, &words)
}

/// `A < B < C`.
pub(super) fn chained_comparison(left: &Expr, span: Span) -> Diagnostic {
    Diagnostic::new(Code::E107, "comparisons cannot be chained")
        .label(span, "a second comparison")
        .label(left.span, "this is a truth value already")
        .help("write `A < B andalso B < C`")
}

/// Clauses of one function with different names or numbers of arguments.
pub(super) fn head_mismatch(
    first: &Spanned<Atom>,
    before: usize,
    second: &Spanned<Atom>,
    after: usize,
) -> Diagnostic {
    let (a, b) = (first.value.as_str(), second.value.as_str());
    Diagnostic::new(
        Code::E101,
        format!("`{b}/{after}` is no clause of `{a}/{before}`"),
    )
    .label(second.span, "another function")
    .label(first.span, "the function begins here")
    .help("end the function before with `.`, not with `;`")
}

/// A word that is not in a closed list.
pub(super) fn not_one_of(word: &str, span: Span, words: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::E101, format!("unexpected `{word}`"))
        .label(span, format!("expected {}", list(words, "or")));
    match suggest(word, words.iter().copied()) {
        Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
        None => diagnostic,
    }
}
