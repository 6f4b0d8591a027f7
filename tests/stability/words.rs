//! No word of the plan language, no exit code, no diagnostic code, no flag and no variable vanishes.

use std::collections::BTreeSet;

use updo::diag::Code;
use updo::plan::vocabulary as words;

use crate::{text, versions};

/// Every word that a plan may have, with where it belongs.
pub fn all() -> Vec<String> {
    let mut all = BTreeSet::new();
    for statement in words::STATEMENTS {
        all.insert(format!("statement {}", statement.word));
        for then in statement.then {
            all.insert(format!("statement {} {then}", statement.word));
        }
        for option in statement.options {
            all.insert(format!("option {} {}", statement.word, option.word));
            for value in option.values {
                all.insert(format!("option {} {} {value}", statement.word, option.word));
            }
        }
    }
    for (name, ..) in words::FUNCTIONS {
        all.insert(format!("function {name}"));
    }
    for name in words::TYPES {
        all.insert(format!("type {name}"));
    }
    // Number and meaning: the first two columns.
    for line in include_str!("../../docs/exit-codes.md").lines() {
        let mut cells = line.split(" | ");
        if let (Some(first), Some(_)) = (cells.next(), cells.next())
            && let Some(number) = first.strip_prefix("| ")
            && number.parse::<u8>().is_ok()
        {
            all.insert(format!("exit {number}"));
        }
    }
    let mut command = String::new();
    for line in include_str!("../../docs/commands.md").lines() {
        if let Some(name) = line.strip_prefix("## updo ") {
            name.clone_into(&mut command);
        }
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        for word in words {
            let is_flag =
                line.trim_start().starts_with('-') && word.starts_with("--") && word.len() > 3;
            if is_flag {
                all.insert(format!("flag {command} {word}"));
            }
            if word.starts_with("UPDO_") && word.len() > 5 {
                all.insert(format!("variable {word}"));
            }
        }
    }
    all.into_iter().collect()
}

#[test]
fn no_word_vanishes() {
    let now: BTreeSet<String> = all().into_iter().collect();
    for version in versions() {
        let then = text(&version.join("words.txt"));
        assert!(then.lines().count() > 300, "{}", then.lines().count());
        for kind in [
            "statement ",
            "option ",
            "function ",
            "type ",
            "exit ",
            "flag run ",
            "variable ",
        ] {
            assert!(
                then.lines().filter(|line| line.starts_with(kind)).count() > 3,
                "{kind}"
            );
        }
        let gone: Vec<&str> = then.lines().filter(|line| !now.contains(*line)).collect();
        assert_eq!(gone, [""; 0], "{}", version.display());
    }
}

#[test]
fn no_diagnostic_code_vanishes() {
    let now: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for version in versions() {
        let then = text(&version.join("codes.txt"));
        let gone: Vec<&str> = then.lines().filter(|code| !now.contains(code)).collect();
        assert_eq!(gone, [""; 0], "{}", version.display());
    }
}
