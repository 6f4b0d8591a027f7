//! Versions as regular expressions: those of an appup, which are PCRE's.
//!
//! The matching is `fancy_regex`'s, which takes the leftmost alternative first as PCRE does. What the two
//! write differently is rewritten before; what only PCRE has is refused, never guessed. Patterns of at most
//! `LONGEST` bytes; matching is bounded by the crate's limit on backtracking.

/// Longest pattern, in bytes.
const LONGEST: usize = 16 * 1024;

/// Whether the first match of a pattern is the whole of a version.
///
/// # Errors
/// When the pattern is none, uses what only PCRE has, or takes too long.
pub fn is_whole_match(pattern: &[u8], vsn: &str) -> Result<bool, String> {
    if pattern.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    let pattern = std::str::from_utf8(pattern).map_err(|_| "not UTF-8".to_owned())?;
    let regex = fancy_regex::Regex::new(&rewritten(pattern)?).map_err(|why| why.to_string())?;
    match regex.find(vsn) {
        Ok(found) => Ok(found.is_some_and(|found| found.as_str() == vsn)),
        Err(why) => Err(why.to_string()),
    }
}

/// The pattern in the words of `fancy_regex`.
fn rewritten(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    // Whether there is something that a quantifier could repeat.
    let mut repeatable = false;
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        if matches!(c, '*' | '+' | '?') || c == '{' && is_quantifier(behind) {
            if !repeatable {
                return Err("there is nothing to repeat".to_owned());
            }
            rest = quantifier(rest, &mut out);
            continue;
        }
        repeatable = !matches!(c, '^' | '$' | '|' | '(');
        rest = match c {
            '\\' => {
                repeatable = !behind.starts_with(['A', 'b', 'B', 'z', 'Z', 'E']);
                escape(behind, &mut out)?
            }
            '[' => class(behind, &mut out)?,
            '(' => group(behind, &mut out)?,
            '{' => {
                out.push_str("\\{");
                behind
            }
            c => {
                out.push(c);
                behind
            }
        };
    }
    Ok(out)
}

/// A quantifier with its `?` or `+`.
fn quantifier<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let len = match rest.strip_prefix('{') {
        Some(inner) => inner.find('}').map_or(rest.len(), |at| at + 2),
        None => 1,
    };
    let len = len + usize::from(rest[len..].starts_with(['?', '+']));
    out.push_str(&rest[..len]);
    &rest[len..]
}

/// `{2}`, `{2,}`, `{2,3}`: all else in braces is text to PCRE.
fn is_quantifier(behind: &str) -> bool {
    let Some((inner, _)) = behind.split_once('}') else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    !least.is_empty() && digits(least) && digits(most)
}

/// The opening of a group, from behind its bracket, or a whole `(?i)`.
fn group<'a>(behind: &'a str, out: &mut String) -> Result<&'a str, String> {
    let only = |what: &str| Err(format!("{what} are not supported"));
    let len = match behind.strip_prefix('?') {
        None if behind.starts_with('*') => return only("control verbs `(*…)`"),
        None => 0,
        Some(inner) if inner.starts_with([':', '=', '!', '>']) => 2,
        Some(inner) if inner.starts_with("<=") || inner.starts_with("<!") => 3,
        Some(inner) if inner.starts_with('<') || inner.starts_with("P<") => {
            inner.find('>').map_or(behind.len(), |at| at + 2)
        }
        Some(inner) => {
            let flags = inner.find([':', ')']).unwrap_or(inner.len());
            if flags == inner.len() || inner[..flags].bytes().any(|b| !b"imsxU-".contains(&b)) {
                return only("recursions, conditions, callouts and branch resets");
            }
            flags + 2
        }
    };
    out.push('(');
    out.push_str(&behind[..len]);
    Ok(&behind[len..])
}

/// What is behind a backslash outside of a class.
fn escape<'a>(behind: &'a str, out: &mut String) -> Result<&'a str, String> {
    let Some(c) = behind.chars().next() else {
        return Err("ends in a backslash".to_owned());
    };
    let rest = &behind[c.len_utf8()..];
    match c {
        'Q' => {
            let (literal, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&fancy_regex::escape(literal));
            return Ok(rest);
        }
        'E' => {}
        'h' => out.push_str("[ \\t]"),
        'N' => out.push_str("[^\\n]"),
        'C' | 'X' | 'R' | 'G' | 'H' | 'v' | 'V' | 'c' | 'g' | 'o' | 'L' | 'l' | 'U' | 'u' => {
            return Err(format!("`\\{c}` is not supported"));
        }
        '0' => return Err("octal escapes are not supported".to_owned()),
        'Z' => out.push_str("\\z"), // a version ends in no newline
        c if c.is_ascii_alphanumeric() => {
            out.push('\\');
            out.push(c);
        }
        c => out.push_str(&fancy_regex::escape(c.encode_utf8(&mut [0; 4]))),
    }
    Ok(rest)
}

/// A class, from behind its bracket; `[`, `&&`, `--` and `~~` mean nothing special to PCRE.
fn class<'a>(behind: &'a str, out: &mut String) -> Result<&'a str, String> {
    out.push('[');
    let mut rest = behind;
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(']') {
        out.push_str("\\]");
        rest = behind;
    }
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            ']' => {
                out.push(']');
                return Ok(behind);
            }
            '[' if behind.starts_with(':') && behind.contains(":]") => {
                let end = behind.find(":]").map_or(0, |at| at + 2);
                out.push('[');
                out.push_str(&behind[..end]);
                &behind[end..]
            }
            '[' if behind.starts_with(['.', '=']) => {
                return Err("collating elements are not supported".to_owned());
            }
            '[' | '&' | '~' => {
                out.push('\\');
                out.push(c);
                behind
            }
            '-' if behind.starts_with('-') => {
                out.push_str("\\-");
                behind
            }
            '\\' => {
                let Some(c) = behind.chars().next() else {
                    return Err("ends in a backslash".to_owned());
                };
                if "QEhHvVRXNCcLlUu0123456789b".contains(c) {
                    return Err(format!("`\\{c}` in a class is not supported"));
                }
                out.push('\\');
                out.push(c);
                &behind[c.len_utf8()..]
            }
            c => {
                out.push(c);
                behind
            }
        };
    }
    Err("a class is never closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::is_whole_match;

    #[test]
    fn the_leftmost_alternative_wins_and_must_be_everything() {
        let matches = |pattern: &str| is_whole_match(pattern.as_bytes(), "1.0");
        assert_eq!(matches("1"), Ok(false));
        assert_eq!(matches("1|1\\.0"), Ok(false));
        assert_eq!(matches("1\\.0|1"), Ok(true));
        assert_eq!(matches("[0-9]+[.][[:digit:]]"), Ok(true));
        assert_eq!(matches("\\Q1.0\\E"), Ok(true));
        assert_eq!(matches("(\\d)\\.(?!1)0"), Ok(true));
        assert!(matches("(").is_err());
        assert!(matches("(?R)").is_err());
    }
}
