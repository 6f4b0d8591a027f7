//! Colours, marks and durations. Meaning is never in the colour alone.

use std::time::Duration;

use crate::diag::render::Style;
use crate::diag::safe::sgr;

/// Green: done.
pub fn good(style: Style, text: &str) -> String {
    coloured(style, "32", text)
}

/// Red: failed.
pub fn bad(style: Style, text: &str) -> String {
    coloured(style, "31", text)
}

/// Yellow: look.
pub fn attention(style: Style, text: &str) -> String {
    coloured(style, "33", text)
}

/// Cyan: paths and hints.
pub fn hint(style: Style, text: &str) -> String {
    coloured(style, "36", text)
}

/// Bold: names.
pub fn name(style: Style, text: &str) -> String {
    coloured(style, "1", text)
}

/// Faint: details.
pub fn faint(style: Style, text: &str) -> String {
    coloured(style, "2", text)
}

fn coloured(style: Style, code: &str, text: &str) -> String {
    if style.color && !text.is_empty() {
        format!("{}{text}{}", sgr(code), sgr("0"))
    } else {
        text.to_owned()
    }
}

/// `✓` or `ok`, `✗` or `FAIL`.
pub fn mark(style: Style, ok: bool) -> String {
    match (ok, style.unicode) {
        (true, true) => good(style, "✓"),
        (true, false) => good(style, "ok"),
        (false, true) => bad(style, "✗"),
        (false, false) => bad(style, "FAIL"),
    }
}

/// `38ms`, `1.8s`, `2m05s`.
pub fn time(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1_000.0;
    if ms < 1.0 {
        format!("{ms:.1}ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0}ms")
    } else if ms < 60_000.0 {
        format!("{:.1}s", ms / 1_000.0)
    } else {
        let seconds = duration.as_secs();
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

/// `312 B`, `1.2 kB`, `64 MB`; terabytes are the largest unit.
pub fn bytes(number: u64) -> String {
    let mut size = number as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 999.5 {
            return sized(size, unit);
        }
        size /= 1_000.0;
    }
    sized(size, "TB")
}

fn sized(size: f64, unit: &str) -> String {
    match unit == "B" || size >= 9.95 {
        true => format!("{size:.0} {unit}"),
        false => format!("{size:.1} {unit}"),
    }
}

/// `3 minutes ago`: in the largest unit of which there is one.
pub fn ago(seconds: u64) -> String {
    let units = [
        (24 * 3600, "day", "days"),
        (3600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ];
    let unit = units.into_iter().find(|(length, ..)| seconds >= *length);
    unit.map_or_else(
        || "just now".to_owned(),
        |(length, one, many)| {
            let number = usize::try_from(seconds / length).unwrap_or(usize::MAX);
            format!("{} ago", count(number, one, many))
        },
    )
}

/// A time as users write it: `30s`, `2m`, `1m30s`.
pub fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

/// `1 process`, `412 processes`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}

/// The same of what is counted on a node.
pub fn count_of(number: u64, one: &str, many: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one, many)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let shown: Vec<String> = [
            (312, "312 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_940, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (64_000_000, "64 MB"),
            (999_400_000_000, "999 GB"),
            (999_500_000_000, "1.0 TB"),
            (1_234_000_000_000, "1.2 TB"),
            (64_000_000_000_000, "64 TB"),
            (1_234_000_000_000_000, "1234 TB"),
        ]
        .into_iter()
        .filter(|(number, text)| bytes(*number) != *text)
        .map(|(number, text)| format!("{number}: {}, not {text}", bytes(number)))
        .collect();
        assert!(shown.is_empty(), "{shown:?}");
    }

    #[test]
    fn durations_read_well() {
        let shown: Vec<String> = [400, 38_000, 1_800_000, 125_000_000]
            .map(|us| time(Duration::from_micros(us)))
            .into();
        assert_eq!(shown, ["0.4ms", "38ms", "1.8s", "2m05s"]);
    }
}
