//! Many diagnostics of one code as one block: how many, and the first few.
//!
//! Takes diagnostics in the order in which they are shown, gives those that take their place.

use super::{Diagnostic, Severity};

/// So many of one code are shown one by one.
const SHOWN: usize = 3;

/// Titles in a block, the first included.
const TITLES: usize = 4;

/// Lines of notes about one warning.
const NOTES: usize = 8;

/// The blocks; with `full` everything, one by one. Errors are never folded: each is a reason why nothing happens.
pub(crate) fn folded(all: &[Diagnostic], full: bool) -> Vec<Diagnostic> {
    match full {
        true => all.to_vec(),
        false => blocks(all, "`--full`"),
    }
}

/// The same for each place: what is at different statements is not one. `how` is what shows everything.
pub(crate) fn folded_by_place(all: &[Diagnostic], how: &str) -> Vec<Diagnostic> {
    let place = |one: &Diagnostic| one.labels.first().map(|label| label.span);
    let mut places = Vec::new();
    for one in all {
        if !places.contains(&place(one)) {
            places.push(place(one));
        }
    }
    places
        .iter()
        .flat_map(|here| {
            let at_one = all.iter().filter(|one| place(one) == *here);
            let at_one: Vec<Diagnostic> = at_one.cloned().collect();
            let mut shown = blocks(&at_one, how);
            for block in shown.iter_mut().filter(|block| block.labels.is_empty()) {
                let first = at_one.iter().find(|one| one.code == block.code);
                block.labels = first.map_or_else(Vec::new, |first| first.labels.clone());
            }
            shown
        })
        .collect()
}

fn blocks(all: &[Diagnostic], how: &str) -> Vec<Diagnostic> {
    let mut blocks: Vec<Diagnostic> = Vec::new();
    for (at, diagnostic) in all.iter().enumerate() {
        if diagnostic.severity() == Severity::Error {
            blocks.push(diagnostic.clone());
            continue;
        }
        let same: Vec<&Diagnostic> = all.iter().filter(|d| d.code == diagnostic.code).collect();
        if same.len() <= SHOWN {
            blocks.push(shortened(diagnostic, how));
        } else if !all[..at].iter().any(|d| d.code == diagnostic.code) {
            blocks.push(block(&same, how));
        }
    }
    blocks
}

/// One block for all of a code.
fn block(same: &[&Diagnostic], how: &str) -> Diagnostic {
    let first = same[0];
    let others = same.len() - 1;
    let mut block = Diagnostic::new(
        first.code,
        format!("{}; and {others} more of this kind", first.title),
    );
    for other in same.iter().take(TITLES).skip(1) {
        block = block.note(&other.title);
    }
    if same.len() > TITLES {
        block = block.note(format!("and {} more", same.len() - TITLES));
    }
    let explain = format!("{how} shows each of them; `updo explain {}`", first.code);
    block.help(match &first.help {
        Some(help) if same.iter().all(|one| one.help.as_ref() == Some(help)) => {
            format!("{help}\n{explain}")
        }
        _ => explain,
    })
}

/// A warning whose notes are few.
fn shortened(diagnostic: &Diagnostic, how: &str) -> Diagnostic {
    let mut diagnostic = diagnostic.clone();
    if diagnostic.notes.len() > NOTES {
        let more = diagnostic.notes.len() - (NOTES - 1);
        diagnostic.notes.truncate(NOTES - 1);
        diagnostic
            .notes
            .push(format!("and {more} more notes: {how}"));
    }
    diagnostic
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    fn titles(all: &[Diagnostic]) -> Vec<&str> {
        all.iter().map(|one| one.title.as_str()).collect()
    }

    #[test]
    fn many_of_one_code_are_one_block_and_the_others_stay() {
        let mut all: Vec<Diagnostic> = (1..=6)
            .map(|n| Diagnostic::new(Code::W332, format!("a{n}.app")).help("restart"))
            .collect();
        all.insert(2, Diagnostic::new(Code::W316, "a process"));
        let shown = folded(&all, false);
        assert_eq!(
            titles(&shown),
            ["a1.app; and 5 more of this kind", "a process"]
        );
        assert_eq!(shown[0].notes, ["a2.app", "a3.app", "a4.app", "and 2 more"]);
        let help = shown[0].help.as_deref().expect("there is one");
        assert!(
            help.starts_with("restart\n") && help.contains("--full"),
            "{help}"
        );
        assert_eq!(folded(&all, true), all);
    }

    #[test]
    fn what_is_at_different_places_is_not_folded_together() {
        use crate::diag::Span;
        let at = |n: usize, place: usize| {
            let one = Diagnostic::new(Code::W332, format!("a{n}.app"));
            one.label(Span::new(place, place + 1), "")
        };
        let mut all: Vec<Diagnostic> = (1..=5).map(|n| at(n, 7)).collect();
        all.insert(1, at(9, 20));
        let shown = folded_by_place(&all, "`updo preview`");
        assert_eq!(
            titles(&shown),
            ["a1.app; and 4 more of this kind", "a9.app"]
        );
        assert_eq!(shown[0].labels, all[0].labels);
        let help = shown[0].help.as_deref().expect("there is one");
        assert!(help.starts_with("`updo preview` shows each"), "{help}");
    }

    #[test]
    fn a_warning_that_is_all_title_takes_one_line() {
        use crate::diag::render::{Style, is_bare, one_line};
        let bare = Diagnostic::new(Code::W332, "a.app is not applied");
        assert!(is_bare(&bare) && !is_bare(&bare.clone().help("do")));
        assert!(!is_bare(&Diagnostic::new(Code::E604, "it failed")));
        let line = one_line(&bare, Style::default());
        assert_eq!(line, "⚠ warning[W332]: a.app is not applied");
    }

    #[test]
    fn few_of_a_code_and_errors_are_shown_one_by_one() {
        let few: Vec<Diagnostic> = (0..SHOWN)
            .map(|_| Diagnostic::new(Code::W332, "a"))
            .collect();
        assert_eq!(folded(&few, false), few);
        let errors: Vec<Diagnostic> = (0..9).map(|_| Diagnostic::new(Code::E604, "b")).collect();
        assert_eq!(folded(&errors, false), errors);
    }

    #[test]
    fn a_warning_of_many_notes_says_how_many_there_are() {
        let mut long = Diagnostic::new(Code::W332, "a");
        long.notes = (0..20).map(|n| format!("note {n}")).collect();
        let shown = folded(std::slice::from_ref(&long), false);
        assert_eq!(shown[0].notes.len(), NOTES);
        assert_eq!(shown[0].notes[NOTES - 1], "and 13 more notes: `--full`");
    }
}
