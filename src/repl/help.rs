//! `:help`: commands by group; and topics: a command, a statement, a diagnostic code.

use std::fmt::Write;

use super::command::{Group, WORDS, Word, find};
use super::session::ReplError;
use crate::diag::Code;
use crate::diag::render::Style;
use crate::diag::suggest::suggest;
use crate::plan::vocabulary::STATEMENTS;
use crate::report::style;

/// The list, or what there is to say about a topic.
pub(super) fn help(topic: Option<&str>, style: Style) -> Result<String, ReplError> {
    let Some(topic) = topic else {
        return Ok(list(style));
    };
    let topic = topic.trim_start_matches(':').trim_end_matches('.');
    if let Some(code) = Code::parse(topic).or_else(|| Code::parse(&topic.to_uppercase())) {
        return Ok(code.page().to_owned());
    }
    let first = topic.split_whitespace().next().unwrap_or_default();
    let statement = STATEMENTS.iter().find(|known| known.word == first);
    let word = WORDS
        .iter()
        .find(|word| word.name == first || word.short.contains(&first));
    let mut out = String::new();
    if let Some(word) = word {
        out += &command(word, style);
    }
    if let Some(known) = statement {
        if word.is_some() {
            out.push('\n');
        }
        let _ = writeln!(
            out,
            "{}\n    {}",
            style::name(style, known.form),
            known.what
        );
        for option in known.options {
            let _ = writeln!(out, "    {:<11} {}", option.word, option.what);
        }
    }
    if out.is_empty()
        && let Some(word) = find(first)
    {
        out += &command(word, style);
    }
    if !out.is_empty() {
        return Ok(out);
    }
    let known = WORDS.iter().map(|word| word.name);
    let known = known.chain(STATEMENTS.iter().map(|statement| statement.word));
    Err(ReplError::usage(match suggest(first, known) {
        Some(close) => format!("nothing about `{topic}`; did you mean `:help {close}`?"),
        None => {
            format!("nothing about `{topic}`: a command, a statement word or a code such as E303")
        }
    }))
}

fn list(style: Style) -> String {
    let mut out = String::from(
        "An expression is evaluated on the node, a statement changes this session's plan. `it` is the last value.\n",
    );
    for group in Group::ALL {
        let _ = writeln!(out, "\n{}", style::name(style, group.title()));
        for word in WORDS.iter().filter(|word| word.group == group) {
            let form = format!(":{} {}", word.name, word.args);
            let short: Vec<String> = word.short.iter().map(|s| format!(":{s}")).collect();
            let _ = writeln!(out, "  {form:<20} {:<10} {}", short.join(" "), word.what);
        }
    }
    out.push_str("\n`:help depends`, `:help module`, `:help E303`: statements and codes");
    out
}

fn command(word: &Word, style: Style) -> String {
    let form = format!(":{} {}", word.name, word.args);
    let mut out = format!(
        "{}\n    {}\n",
        style::name(style, form.trim_end()),
        word.what
    );
    if !word.short.is_empty() {
        let short: Vec<String> = word.short.iter().map(|s| format!(":{s}")).collect();
        let _ = writeln!(out, "    short: {}", short.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help_text(topic: &str) -> String {
        help(Some(topic), Style::default()).expect("there is something to say")
    }

    #[test]
    fn topics_are_commands_statements_and_codes() {
        assert!(help_text("why").contains(":why X [before Y]"));
        assert!(help_text(":o").contains(":order"));
        assert!(help_text("depends on").contains("S depends on S"));
        // Both a command and a statement.
        let verify = help_text("verify");
        assert!(
            verify.contains(":verify [NAME]")
                && verify.contains("within ")
                && verify.contains("every ")
        );
        assert_eq!(help_text("e303"), Code::E303.page());
        let lost = help(Some("dependz"), Style::default()).expect_err("no such topic");
        assert!(
            lost.text.contains("did you mean `:help depends`?"),
            "{lost:?}"
        );
    }

    #[test]
    fn every_command_is_in_the_list() {
        let list = list(Style::default());
        for word in WORDS {
            assert!(list.contains(&format!("  :{}", word.name)), "{}", word.name);
        }
    }
}
