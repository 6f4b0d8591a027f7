//! Sources with their unsafe characters escaped, for showing.
//!
//! Takes the labels of a diagnostic and the sources they point into; gives the same with escapes instead of what must not
//! be shown raw, and the labels around the same text. Lines keep their numbers. Where nothing has to be escaped nothing is
//! copied.

use std::borrow::Cow;

use super::source::Source;
use super::{Label, SourceMap, Span, safe};

/// What may be shown.
pub(super) fn safe(labels: Vec<Label>, sources: &SourceMap) -> (Vec<Label>, Cow<'_, SourceMap>) {
    let concerned = |source: &Source, label: &Label| {
        (source.base..=source.base + source.text.len()).contains(&label.span.start)
    };
    let is_safe = |source: &Source| {
        matches!(safe::text(&source.text), Cow::Borrowed(_))
            && matches!(safe::line(&source.name), Cow::Borrowed(_))
    };
    let used = |source: &&Source| labels.iter().any(|label| concerned(source, label));
    if sources.sources().iter().filter(used).all(is_safe) {
        return (labels, Cow::Borrowed(sources));
    }
    let mut shown = SourceMap::default();
    let mut moved = labels.clone();
    for source in sources.sources() {
        let base = shown.add(safe::line(&source.name), safe::text(&source.text));
        for (label, moved) in labels.iter().zip(&mut moved) {
            if concerned(source, label) {
                let place = |at: usize| {
                    let before = source.text.get(..at - source.base);
                    base + before.map_or(0, |text| safe::text(text).len())
                };
                let end = label.span.end.min(source.base + source.text.len());
                moved.span = Span::new(place(label.span.start), place(end));
            }
        }
    }
    (moved, Cow::Owned(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_around_their_text() {
        let mut sources = SourceMap::default();
        sources.add("a", "fine\n");
        let text = "plan \"\u{1b}[2J\u{202e}x\".\r\nwrong.\n";
        let base = sources.add("b\u{7}.updo", text);
        let of = |part: &str| {
            let start = base + text.find(part).expect("it is in the text");
            Label {
                span: Span::new(start, start + part.len()),
                text: String::new(),
            }
        };
        let labels = vec![of("wrong"), of("\u{1b}[2J\u{202e}x")];
        let (labels, shown) = safe(labels, &sources);
        assert_eq!(shown.text(labels[0].span), Some("wrong"));
        assert_eq!(shown.text(labels[1].span), Some("\\e[2J\\x{202e}x"));
        let place = shown.place(labels[0].span).expect("inside");
        assert_eq!(
            (place.file.as_str(), place.line, place.column),
            ("b\\x{7}.updo", 2, 1)
        );
        let (_, same) = safe(
            vec![Label {
                span: Span::new(0, 4),
                text: String::new(),
            }],
            &sources,
        );
        assert!(matches!(same, Cow::Borrowed(_)));
    }
}
