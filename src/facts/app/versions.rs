//! Versions of applications, and folders that are named after them.

/// Compares version texts as people number them: number by number, then as text.
pub fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |text: &str| -> Vec<(Option<u64>, String)> {
        text.split(['.', '-', '+', '_'])
            .map(|part| (part.parse().ok(), part.to_owned()))
            .collect()
    };
    parts(a).cmp(&parts(b))
}

/// `NAME-VSN` of a folder, as releases lay applications out.
pub fn versioned(folder: &str) -> Option<(&str, &str)> {
    let (name, vsn) = folder.rsplit_once('-')?;
    let starts = vsn.starts_with(|c: char| c.is_ascii_digit());
    (!name.is_empty() && starts).then_some((name, vsn))
}

/// The name of the application whose folder of beams this is: of `ROOT/NAME[-VSN]/ebin`.
pub fn name_of(ebin: &str) -> Option<&str> {
    let (_, folder) = ebin.strip_suffix("/ebin")?.rsplit_once('/')?;
    Some(versioned(folder).map_or(folder, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn versions_count_as_numbers() {
        for (a, b, order) in [
            ("1.9", "1.10", Ordering::Less),
            ("1.0", "1.0", Ordering::Equal),
            ("2", "1.9.9", Ordering::Greater),
            ("1.0", "1.0.1", Ordering::Less),
        ] {
            assert_eq!(compare_versions(a, b), order, "{a} {b}");
        }
        assert_eq!(versioned("shop-1.0"), Some(("shop", "1.0")));
        assert_eq!(versioned("my-shop"), None);
        assert_eq!(versioned("my-shop-2"), Some(("my-shop", "2")));
    }
}
