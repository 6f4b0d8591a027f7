//! "Did you mean": the candidate closest to a word.

/// The candidate most like `word`, if any is like it at all.
///
/// An exact match in another case wins; then the best Damerau–Levenshtein similarity of at least 0.6.
pub fn suggest<'a, S: AsRef<str> + ?Sized + 'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let candidate = candidate.as_ref();
        if candidate.eq_ignore_ascii_case(word) {
            return Some(candidate);
        }
        let score = strsim::normalized_damerau_levenshtein(word, candidate);
        if score >= 0.6 && best.is_none_or(|(top, _)| score > top) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn finds_the_closest_word() {
        let words = ["depends", "timeout", "rollback"];
        assert_eq!(suggest("dependz", words), Some("depends"));
        assert_eq!(suggest("TIMEOUT", words), Some("timeout"));
        assert_eq!(suggest("rolback", words), Some("rollback"));
        assert_eq!(suggest("zzz", words), None);
    }
}
