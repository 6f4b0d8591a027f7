//! `:help`: commands by group; and topics: a command, a statement, a diagnostic code.

use std::fmt::Write;

use super::command::{Group, WORDS, Word, find};
use super::session::Fault;
use crate::diag::Code;
use crate::diag::render::Style;
use crate::diag::suggest::suggest;
use crate::report::paint;

/// A statement: the word that begins it (or stands between its subjects), its form, its meaning, its options.
pub(super) struct Statement {
    pub word: &'static str,
    pub form: &'static str,
    pub what: &'static str,
    pub options: &'static [&'static str],
}

const fn statement(
    word: &'static str,
    form: &'static str,
    what: &'static str,
    options: &'static [&'static str],
) -> Statement {
    Statement {
        word,
        form,
        what,
        options,
    }
}

/// Options of `require` and `verify`.
const CHECK: &[&str] = &["within", "every", "each", "after"];

/// Every statement of the language.
#[rustfmt::skip]
pub(super) const STATEMENTS: &[Statement] = &[
    statement("depends", "S depends on S because \"…\"", "the right side is loaded first", &[]),
    statement("does", "S does not depend on S because \"…\"", "an inferred edge is false", &[]),
    statement("loads", "S loads before S, S loads after S", "an order without a dependency", &[]),
    statement("cycle", "cycle [M, …]: together, cycle [M, …]: break A -> B", "a ring of modules that is known", &[]),
    statement("module", "module S #{…} because \"…\"", "what is known of modules", &["class", "type", "change", "timeout", "purge", "children", "remove"]),
    statement("exclude", "exclude S", "changed modules that take no part", &[]),
    statement("only", "only S", "the only modules that take part", &[]),
    statement("require", "require \"text\" #{…} -> Body", "must hold before anything is touched", CHECK),
    statement("verify", "verify \"text\" #{within => 10s} -> Body", "must hold afterwards", CHECK),
    statement("before", "before upgrade -> Body, before load S -> Body", "runs on the node before the upgrade or a step of it", &[]),
    statement("after", "after upgrade -> Body, after load S -> Body", "runs on the node after the upgrade or a step of it", &[]),
    statement("on", "on failure -> Body", "runs after a failure; Reason and Step are bound", &[]),
    statement("plan", "plan \"Title\" #{ticket => …, owner => …, risk => high}", "the title", &["ticket", "owner", "risk"]),
    statement("updo", "updo \">= 0.1\"", "the version of updo that the plan needs", &[]),
    statement("include", "include \"path.updo\"", "statements of another file", &[]),
    statement("param", "param Name :: type = Default", "a value from outside: `:set Name = V`", &[]),
    statement("target", "target Name #{nodes => [N, …]}", "where", &["nodes", "seed", "match", "cookie", "tls", "name", "epmd_port", "hidden"]),
    statement("code", "code on_disk, code push [\"glob\", …]", "where the new code comes from", &["env", "from", "newest", "persist", "replace", "update_paths"]),
    statement("old", "old from \"glob\"", "where the beams of the running version are kept", &[]),
    statement("window", "window single | minimal | otp", "how the script is grouped", &[]),
    statement("engine", "engine updo | release_handler", "who executes it", &[]),
    statement("insert", "insert Instr at start | at end | before Step | after Step", "a raw instruction", &[]),
    statement("deadline", "deadline 2m", "from the first suspend to the last verify", &[]),
    statement("rollback", "rollback automatic | manual | never", "what happens after a failure", &["on", "keep_old"]),
    statement("rollout", "rollout #{…}", "the walk through the nodes", &["canary", "batch", "parallel", "pause", "abort_after", "order"]),
];

/// The list, or what there is to say about a topic.
pub(super) fn help(topic: Option<&str>, style: Style) -> Result<String, Fault> {
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
            paint::name(style, known.form),
            known.what
        );
        if !known.options.is_empty() {
            let _ = writeln!(out, "    options: {}", known.options.join(", "));
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
    Err(Fault::usage(match suggest(first, known) {
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
        let _ = writeln!(out, "\n{}", paint::name(style, group.title()));
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
        paint::name(style, form.trim_end()),
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

    fn told(topic: &str) -> String {
        help(Some(topic), Style::default()).expect("there is something to say")
    }

    #[test]
    fn topics_are_commands_statements_and_codes() {
        assert!(told("why").contains(":why X [before Y]"));
        assert!(told(":o").contains(":order"));
        assert!(told("depends on").contains("S depends on S"));
        // Both a command and a statement.
        let verify = told("verify");
        assert!(verify.contains(":verify [NAME]") && verify.contains("within, every"));
        assert_eq!(told("e303"), Code::E303.page());
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

    #[test]
    fn options_are_those_that_plans_know() {
        use crate::plan::load_text;
        for (word, text) in [
            ("module", "module m #{zzz => 1}."),
            ("require", "require \"x\" #{zzz => 1} -> true."),
            ("verify", "verify \"x\" #{zzz => 1} -> true."),
            ("rollback", "rollback automatic #{zzz => 1}."),
            ("code", "code push [\"x\"] #{zzz => 1}."),
            ("target", "target t #{nodes => [a@b], zzz => 1}."),
        ] {
            let said = load_text("p".as_ref(), text, &Default::default()).diagnostics;
            let told = said.iter().find(|d| d.code == Code::E204);
            let help = told.and_then(|told| told.help.as_deref()).unwrap_or("");
            let (_, known) = help.rsplit_once("ptions: ").unwrap_or(("", ""));
            let mut known: Vec<&str> = known.split(", ").collect();
            let statement = STATEMENTS.iter().find(|s| s.word == word);
            let mut ours = statement.map_or(Vec::new(), |s| s.options.to_vec());
            known.sort_unstable();
            ours.sort_unstable();
            assert_eq!(ours, known, "{word}: {said:?}");
        }
    }
}
