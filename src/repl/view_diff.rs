//! What has changed since the last look: `+` and `-` in front of the lines of a view.

use std::collections::HashMap;

use similar::{Algorithm, ChangeTag, capture_diff_slices};

use crate::diag::render::Style;
use crate::report::style;

/// A line of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// What makes it the same line as before.
    pub key: String,
    /// What is shown.
    pub text: String,
}

/// Lines beyond which nothing is compared.
const MOST: usize = 1_500;

/// What was shown last, by view.
#[derive(Debug, Default)]
pub(super) struct Views(HashMap<&'static str, Vec<Line>>);

impl Views {
    /// Forgets everything: another plan, another node.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes these lines for what was shown last, when there was no look yet: the state before a change.
    pub fn begin(&mut self, view: &'static str, lines: impl FnOnce() -> Vec<Line>) {
        self.0.entry(view).or_insert_with(lines);
    }

    /// The view as text; marked when it is another one than the last time.
    pub fn marked(&mut self, view: &'static str, lines: &[Line], style: Style) -> String {
        let before = self.0.insert(view, lines.to_vec());
        let plain = || lines.iter().map(|line| line.text.clone() + "\n").collect();
        let Some(before) = before else { return plain() };
        let same = before
            .iter()
            .map(|l| &l.key)
            .eq(lines.iter().map(|l| &l.key));
        if same || before.len() > MOST || lines.len() > MOST {
            return plain();
        }
        let mut out = String::new();
        for (mark, line) in compared(&before, lines) {
            let text = format!("{mark} {}", line.text);
            out += &match mark {
                '+' => style::good(style, &text),
                '-' => style::faint(style, &text),
                _ => text,
            };
            out.push('\n');
        }
        out
    }
}

/// The lines of both in one order; those that both have are marked ` `.
fn compared<'l>(before: &'l [Line], after: &'l [Line]) -> Vec<(char, &'l Line)> {
    let keys = |lines: &'l [Line]| lines.iter().map(|line| line.key.as_str()).collect();
    let (old, new): (Vec<&str>, Vec<&str>) = (keys(before), keys(after));
    let mut lines = Vec::new();
    for change in capture_diff_slices(Algorithm::Lcs, &old, &new)
        .iter()
        .flat_map(|piece| piece.iter_changes(&old, &new))
    {
        lines.push(
            match (change.tag(), change.old_index(), change.new_index()) {
                (ChangeTag::Delete, Some(at), _) => ('-', &before[at]),
                (ChangeTag::Insert, _, Some(at)) => ('+', &after[at]),
                (_, _, Some(at)) => (' ', &after[at]),
                (_, _, None) => continue,
            },
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        let line = |word: &str| Line {
            key: word.to_owned(),
            text: word.to_owned(),
        };
        text.split_whitespace().map(line).collect()
    }

    #[test]
    fn the_second_inspection_shows_what_moved() {
        let (mut views, style) = (Views::default(), Style::default());
        assert_eq!(views.marked("o", &lines("a b c"), style), "a\nb\nc\n");
        assert_eq!(views.marked("o", &lines("a b c"), style), "a\nb\nc\n");
        let moved = views.marked("o", &lines("b c a d"), style);
        assert_eq!(moved, "- a\n  b\n  c\n+ a\n+ d\n");
        // Another view has its own memory, and what was marked once is old news.
        assert_eq!(views.marked("s", &lines("x"), style), "x\n");
        assert_eq!(views.marked("o", &lines("b c a d"), style), "b\nc\na\nd\n");
    }
}
