//! What may differ between a page and a screen.

use std::sync::OnceLock;

use fancy_regex::Regex;

/// What is replaced by what, in this order.
const FILTERS: &[(&str, &str)] = &[
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "DATE"),
    (r"\b\d\d:\d\d:\d\dZ?", "CLOCK"),
    (r"(#PID)?<\d+\.\d+\.\d+>", "<PID>"),
    (r"c:pid\(\d+,\d+,\d+\)", "c:pid(PID)"),
    (r"#Ref<[\d.]+>", "#Ref"),
    (r"\b\d+(\.\d+)?(ms|µs|us|s|m\d\ds)\b", "TIME"),
    (r"\b(run|rollout) [0-9a-f]{4}\b", "$1 RUN"),
    (r"(?m)^[0-9a-f]{4}\b(?=  )", "RUN"),
    (
        r"updo (attach|rollback|report|replay) [0-9a-f]{4}\b",
        "updo $1 RUN",
    ),
    (r"runs/[0-9a-f]{4}\b", "runs/RUN"),
    (r"\bmd5 [0-9a-f]{8}( -> [0-9a-f]{8})?", "md5"),
    (r"\b[0-9a-f]{32}\b", "MD5"),
    (r"\b\d{25,}\b", "VSN"),
    (r"\bOTP[ /]\d+( \[[^\n]*)?", "OTP"),
    (r"Eshell V\S+", "Eshell"),
    (r"Elixir \(?\d+\.\d+\.\d+\)?", "Elixir"),
    (r"erts-\d+(\.\d+)+", "ERTS"),
    (r"\d+ modules(?= compared)", "N modules"),
    (r"of \d+ modules", "of N modules"),
    (r"\d+ modules loaded", "N modules loaded"),
    (r"kept \d+ of \d+ beams", "kept N of N beams"),
    (r"\d+ modules, \d+ processes", "N modules, N processes"),
    (r"\d+ applications", "N applications"),
    (r"updo-\d+-[0-9a-z]+@[^\s,)]+", "updo@host"),
    (r"anna@[^\s,;:)]+", "anna@desk"),
    (r"\b127\.0\.0\.1:\d+", "ADDRESS"),
    (r"\bport \d+", "port PORT"),
    (r"-?\d+(\.\d+)? (bytes|kB|KiB|MiB|MB)", "SIZE"),
    // Where a line breaks depends on how long the numbers in it are. Paragraphs stay.
    (r"[ \t]*\n[ \t]*\n\s*", "\u{1}"),
    (r"\s+", " "),
    ("\u{1}", "\n\n"),
];

/// A text without what differs from run to run.
pub fn normal(text: &str) -> String {
    static ALL: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let compiled = FILTERS.iter().map(|(pattern, word)| {
            let regex = Regex::new(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            (regex, *word)
        });
        compiled.collect()
    });
    let text = all.iter().fold(text.to_owned(), |text, (regex, word)| {
        regex.replace_all(&text, *word).into_owned()
    });
    text.trim_end().to_owned()
}

/// Whether a screen is what the page shows; a line `…` of the page is any number of lines.
pub fn same(page: &[String], screen: &[String]) -> bool {
    let parts: Vec<String> = page
        .split(|line| line.trim() == "…")
        .map(|lines| normal(&lines.join("\n")).trim().to_owned())
        .collect();
    let shown = normal(&screen.join("\n")).trim().to_owned();
    let [first, middle @ .., last] = parts.as_slice() else {
        return parts.iter().all(|whole| *whole == shown);
    };
    let Some(mut rest) = shown.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part.as_str()) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last.as_str())
}

#[test]
fn a_page_may_leave_lines_out_and_times_may_differ() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let screen = lines("one\n  load ✓ 4ms     x\nthree <0.12.0>\nfour");
    assert!(same(&lines("one\n…\nfour"), &screen));
    assert!(same(&lines("one\n  load ✓ 11.5s x\n…"), &screen));
    assert!(same(
        &lines("one\n  load\n  ✓ 11.5s x\nthree <0.1.0>\nfour"),
        &screen
    ));
    assert!(same(&lines("…"), &screen) && same(&[], &[]));
    assert!(!same(&lines("one\n\n  load ✓ 11.5s x\n…"), &screen));
    assert!(!same(&lines("one\n…\nfour\nfive"), &screen));
    assert!(!same(&lines("one\n…\nthree <0.1.0>"), &screen));
    assert!(!same(&lines("one\n  load ✗ 4ms     x\n…"), &screen));
}
