//! Sources with very long lines, cut for showing.
//!
//! Takes the labels of a diagnostic and the sources they point into; gives sources whose long lines have `…` where
//! nothing concerns a label, and the labels as they lie in those. Lines keep their numbers; the columns that the labels
//! really have are handed on. Without a long line nothing is copied. It must never move a label to another character.

use std::borrow::Cow;

use super::source::Source;
use super::{Label, SourceMap, Span};

/// A line of more bytes is cut.
const LONG: usize = 240;

/// Bytes shown before a label and at the beginning of a line without one; behind the beginning of a label; around its end.
const BEFORE: usize = 40;
const BEHIND: usize = 80;
const END: usize = 30;

/// What is shown.
pub(super) struct Cut<'a> {
    pub(super) sources: Cow<'a, SourceMap>,
    pub(super) labels: Vec<Label>,
    /// Where a label begins among the cut sources, and the column that is to be reported, counted from 0. Empty when
    /// nothing was cut.
    columns: Vec<(usize, usize)>,
}

impl<'a> Cut<'a> {
    /// Cuts what is too long; `marker` replaces the part that is left out.
    pub(super) fn new(labels: Vec<Label>, sources: &'a SourceMap, marker: &str) -> Self {
        let concerned = |source: &&Source| {
            let (from, to) = (source.base, source.base + source.text.len());
            labels.iter().any(|l| (from..=to).contains(&l.span.start))
        };
        let concerned: Vec<&Source> = sources.sources().iter().filter(concerned).collect();
        let long = |source: &&Source| source.text.lines().any(|line| line.len() > LONG);
        if !concerned.iter().any(long) {
            return Self {
                sources: Cow::Borrowed(sources),
                labels,
                columns: Vec::new(),
            };
        }
        let mut shown = SourceMap::default();
        let mut moved = labels.clone();
        let mut columns = Vec::new();
        for source in concerned {
            let end = source.base + source.text.len();
            let inside = |label: &Label| (source.base..=end).contains(&label.span.start);
            let spans: Vec<(usize, usize)> = labels
                .iter()
                .filter(|label| inside(label))
                .map(|label| (label.span.start, label.span.end.min(end)))
                .map(|(start, end)| (start - source.base, end - source.base))
                .collect();
            let (text, kept) = cut(&source.text, &spans, marker);
            let base = shown.add(source.name.clone(), text);
            for (label, moved) in labels.iter().zip(&mut moved) {
                if inside(label) {
                    let place = |at: usize| base + position(&kept, at.min(end) - source.base);
                    moved.span = Span::new(place(label.span.start), place(label.span.end));
                    let column = sources
                        .place(label.span)
                        .map_or(0, |place| place.column - 1);
                    columns.push((moved.span.start, column));
                }
            }
        }
        Self {
            sources: Cow::Owned(shown),
            labels: moved,
            columns,
        }
    }

    /// The column, counted from 0, that a label has in its source when the shown one differs.
    pub(super) fn column(&self, start: usize) -> Option<usize> {
        let found = self.columns.iter().find(|(label, _)| *label == start);
        found.map(|(_, column)| *column)
    }
}

/// A piece that stays: from where to where in the whole text, and where it begins in the cut one.
type Kept = (usize, usize, usize);

/// A text with its long lines cut around spans, and the pieces that stay.
fn cut(text: &str, spans: &[(usize, usize)], marker: &str) -> (String, Vec<Kept>) {
    let mut out = String::new();
    let mut kept: Vec<Kept> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let mut pieces = if line.len() > LONG {
            pieces(start, end, spans)
        } else {
            vec![(start, end)]
        };
        for (from, to) in &mut pieces {
            *from = floor(text, *from);
            *to = floor(text, *to);
        }
        pieces.sort_unstable();
        let mut at = start;
        for (from, to) in pieces {
            let from = from.max(at);
            if to < from {
                continue;
            }
            if from > at {
                out.push_str(marker);
            }
            kept.push((from, to, out.len()));
            out.push_str(&text[from..to]);
            at = to;
        }
        let body = start + line.trim_end_matches(['\n', '\r']).len();
        if at < body {
            out.push_str(marker);
        }
        // The end of the line is a piece of its own: what lies between stays with the marker.
        if at < end {
            let from = at.max(body);
            kept.push((from, end, out.len()));
            out.push_str(&text[from..end]);
        }
        start = end;
    }
    (out, kept)
}

/// What of a long line is worth showing, in any order.
fn pieces(start: usize, end: usize, spans: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let near = |at: usize, before: usize, behind: usize| {
        (start..=end)
            .contains(&at)
            .then(|| (at.saturating_sub(before).max(start), (at + behind).min(end)))
    };
    let mut found: Vec<(usize, usize)> = spans
        .iter()
        .flat_map(|(from, to)| [near(*from, BEFORE, BEHIND), near(*to, END, END)])
        .flatten()
        .collect();
    if found.is_empty() {
        found.push((start, (start + BEFORE + BEHIND).min(end)));
    }
    found
}

/// The character that holds a byte.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Where a byte of the whole text lies in the cut one; what was left out lies where its marker begins.
fn position(kept: &[Kept], at: usize) -> usize {
    let before = kept.partition_point(|(from, _, _)| *from <= at);
    match before.checked_sub(1).map(|last| kept[last]) {
        Some((from, to, new)) => new + at.min(to) - from,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(start: usize, end: usize) -> Label {
        Label {
            span: Span::new(start, end),
            text: "here".to_owned(),
        }
    }

    #[test]
    fn short_lines_are_left_alone() {
        let mut sources = SourceMap::default();
        sources.add("a", "one\ntwo\n");
        let cut = Cut::new(vec![label(4, 7)], &sources, "…");
        assert!(matches!(cut.sources, Cow::Borrowed(_)));
        assert_eq!((cut.labels, cut.columns), (vec![label(4, 7)], vec![]));
    }

    /// Wherever a label lies in a long line, its first and last character are the same ones afterwards.
    #[test]
    fn labels_stay_on_their_characters() {
        let text: String = (0..400)
            .map(|n| char::from_u32(0x3b1 + n % 24).expect("Greek"))
            .collect();
        let text = format!("short\n{text}\r\n{}\nshort", "x".repeat(2000));
        let mut sources = SourceMap::default();
        sources.add("other", "z");
        let base = sources.add("a", text.clone());
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for start in places.iter().step_by(7) {
            for length in [1, 2, 60, 400] {
                let end = floor(&text, (start + length).min(text.len()));
                let labels = vec![label(base + start, base + end), label(base, base + 5)];
                let cut = Cut::new(labels, &sources, "…");
                let shown = &cut.sources.sources()[0];
                assert_eq!(shown.text.lines().count(), 4);
                assert!(shown.text.lines().all(|line| line.len() < 400));
                let span = cut.labels[0].span;
                let first = |text: &str, at: usize| text[at..].chars().next();
                assert_eq!(
                    first(&shown.text, span.start),
                    first(&text, *start),
                    "{start}"
                );
                assert_eq!(
                    shown.text[..span.end].chars().next_back(),
                    text[..end].chars().next_back(),
                    "{start} {end}"
                );
                let place = sources
                    .place(Span::new(base + start, base + end))
                    .expect("inside");
                assert_eq!(cut.column(span.start), Some(place.column - 1));
                let line = cut.sources.place(span).expect("inside").line;
                assert_eq!(line, place.line);
                assert_eq!(cut.sources.text(cut.labels[1].span), Some("short"));
            }
        }
    }
}
