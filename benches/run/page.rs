//! What a bench has measured, as a table on the terminal and, with `UPDO_BLESS=1`, in docs/performance.md.

use std::fs;
use std::path::Path;

/// Prints a table; with `UPDO_BLESS=1` it takes the place of the one between `<!-- NAME -->` and `<!-- end -->`.
pub fn table(name: &str, titles: &[&str], rows: &[Vec<String>]) {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let mut text = line(&titles);
    text += &format!("|{}\n", "---|".repeat(titles.len()));
    text.extend(rows.iter().map(|row| line(row)));
    print!("{text}");
    if blesses() {
        write(name, &text);
    }
}

/// Whether the page is written.
pub fn blesses() -> bool {
    std::env::var_os("UPDO_BLESS").is_some_and(|value| value == "1")
}

fn write(name: &str, text: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let old = fs::read_to_string(&page).expect("docs/performance.md can be read");
    let (begin, end) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    // Not every table is kept.
    let Some((before, rest)) = old.split_once(&begin) else {
        return;
    };
    let (_, after) = rest.split_once(end).expect("the place has an end");
    let new = format!("{before}{begin}{text}{end}{after}");
    fs::write(&page, new).expect("docs/performance.md can be written");
}
