//! The formatting of a document.

use serde_json::{Value, json};

use super::text::Encoding;
use super::workspace::PlanText;
use crate::syntax::fmt::format_plan;

/// The document as `updo fmt` writes it: one edit of what differs, none when nothing does or the plan is broken.
pub(super) fn formatting(file: &PlanText, encoding: Encoding) -> Value {
    let Ok(formatted) = format_plan(&file.text, 0) else {
        return Value::Null;
    };
    let old = &file.text;
    if formatted == *old {
        return json!([]);
    }
    // Only what differs, in whole lines: the cursor of the editor stays where it is.
    let common = |one: &mut dyn Iterator<Item = &str>, other: &mut dyn Iterator<Item = &str>| {
        one.zip(other)
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len())
            .sum::<usize>()
    };
    let start = common(
        &mut old.split_inclusive('\n'),
        &mut formatted.split_inclusive('\n'),
    );
    let (rest, new) = (&old[start..], &formatted[start..]);
    let end = common(
        &mut rest.split_inclusive('\n').rev(),
        &mut new.split_inclusive('\n').rev(),
    );
    let range = file.lines.range(old, start, old.len() - end, encoding);
    json!([{"range": range, "newText": &new[..new.len() - end]}])
}
