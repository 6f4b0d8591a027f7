//! Lines for a terminal that break at blanks, never inside of a name.
//!
//! Takes text with colours, gives the same text with more line ends. What is continued is indented as far as the text of
//! its line begins, so that a list stays a column.

/// The most that a continued line is indented.
const INDENT: usize = 16;

/// The text with no line longer than `width`, as far as its words allow.
pub fn wrapped(text: &str, width: usize) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| one(line, width)).collect();
    lines.join("\n")
}

fn one(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let indent = " ".repeat(indent(line));
    let lead = line.len() - line.trim_start_matches(' ').len();
    let mut out = line[..lead].to_owned();
    let mut at = lead;
    let mut fresh = true;
    for word in words(&line[lead..]) {
        let wide = columns(word.trim_end_matches(' '));
        if !fresh && at + wide > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out += &indent;
            at = indent.len();
            if word.trim().is_empty() {
                continue;
            }
        }
        out += word;
        at += columns(word);
        fresh = false;
    }
    out
}

/// What is kept together, with the blanks behind it: a number in parentheses stays with its name.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut from = 0;
    for (at, _) in line.match_indices(' ') {
        let next = &line[at + 1..];
        if !next.starts_with('(') {
            words.push(&line[from..=at]);
            from = at + 1;
        }
    }
    words.push(&line[from..]);
    words
}

/// Where the text begins: behind the blanks, or behind a word and the blanks that make it the head of a column.
fn indent(line: &str) -> usize {
    let lead = line.len() - line.trim_start_matches(' ').len();
    let head = line[lead..].find("  ").map(|end| {
        let rest = &line[lead + end..];
        lead + end + rest.len() - rest.trim_start_matches(' ').len()
    });
    match head {
        Some(column) if (lead + 1..=INDENT).contains(&column) => column,
        _ if lead < 7 => lead + 2,
        _ => lead.min(INDENT),
    }
}

/// Characters that a terminal shows: escape sequences take no room.
fn columns(text: &str) -> usize {
    let (mut count, mut inside) = (0, false);
    for c in text.chars() {
        match (inside, c) {
            (false, '\u{1b}') => inside = true,
            (true, c) => inside = !c.is_ascii_alphabetic(),
            (false, _) => count += 1,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_names_and_stay_in_their_column() {
        let line = "  window   suspend alpha, bravo, charlie, delta";
        assert_eq!(
            wrapped(line, 30),
            "  window   suspend alpha,\n           bravo, charlie,\n           delta"
        );
        let name = "a_name_longer_than_the_screen_is_wide";
        assert_eq!(wrapped(name, 10), name);
        assert_eq!(wrapped("short\nlines", 10), "short\nlines");
    }

    #[test]
    fn colours_take_no_room() {
        let line = "\u{1b}[36mabc\u{1b}[0m def";
        assert_eq!(wrapped(line, 7), line);
        assert_eq!(wrapped(line, 6), "\u{1b}[36mabc\u{1b}[0m\n  def");
    }
}
