//! What GitHub Actions understands: groups, annotations, the table of the step's summary.
//!
//! Takes diagnostics and how nodes ended, gives text. A workflow command is one line; what would end it or be read as
//! part of it is escaped as GitHub's toolkit does (`packages/core/src/command.ts`).

use crate::diag::{Diagnostic, Severity, SourceMap, safe};
use crate::exec::{Event, EventKind};
use crate::report::style::time;

/// Annotations of a diagnostic: one per place in a file, one without a place when it has none.
pub fn annotations(diagnostic: &Diagnostic, sources: &SourceMap) -> Vec<String> {
    let word = match diagnostic.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Advice => "notice",
    };
    let title = property(diagnostic.code.as_str());
    let mut lines = Vec::new();
    for label in &diagnostic.labels {
        let Some(place) = sources.place(label.span) else {
            continue;
        };
        let text = data(&format!("{}: {}", diagnostic.title, label.text));
        lines.push(format!(
            "::{word} file={},line={},col={},title={title}::{text}",
            property(&place.file),
            place.line,
            place.column
        ));
    }
    if lines.is_empty() {
        lines.push(format!(
            "::{word} title={title}::{}",
            data(&diagnostic.title)
        ));
    }
    lines
}

/// What is before a node's lines.
pub fn group(title: &str) -> String {
    format!("::group::{}", data(title))
}

/// The line after them.
pub const ENDGROUP: &str = "::endgroup::";

/// The summary: a table with a row per node that was reached. `ends` are the last events, with the run's name.
pub fn summary(title: &str, ends: &[(String, Event)], words: &str) -> String {
    let mut text = format!("### {}\n\n", cell(title));
    if !ends.is_empty() {
        text += "| node | state | suspended | processes | states converted | took | run |\n";
        text += "|---|---|---:|---:|---:|---:|---|\n";
    }
    for (run, event) in ends {
        let EventKind::Finished {
            state,
            suspended,
            processes,
            converted,
            ..
        } = &event.kind
        else {
            continue;
        };
        text += &format!(
            "| {} | {state} | {} | {processes} | {converted} | {} | {} |\n",
            cell(event.node.as_str()),
            suspended.map_or("unknown".to_owned(), time),
            time(event.at),
            cell(run)
        );
    }
    text + &format!("\n{words}\n")
}

/// Text that is neither markup nor the end of a cell.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in safe::text(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn data(text: &str) -> String {
    safe::text(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, Span};

    #[test]
    fn nothing_ends_a_command_early() {
        let mut sources = SourceMap::default();
        let at = sources.add("a,b:c.updo", "x.\ny.\n");
        let diagnostic = Diagnostic::new(Code::E604, "100%\n::set-env name=a::b")
            .label(Span::new(at + 3, at + 4), "here");
        assert_eq!(
            annotations(&diagnostic, &sources),
            [
                "::error file=a%2Cb%3Ac.updo,line=2,col=1,title=E604::100%25%0A::set-env name=a::b: here"
            ]
        );
        assert_eq!(
            annotations(&Diagnostic::new(Code::E604, "x"), &sources),
            ["::error title=E604::x"]
        );
        assert!(summary("a | <b>", &[], "fine").contains("a \\| &lt;b&gt;"));
    }
}
