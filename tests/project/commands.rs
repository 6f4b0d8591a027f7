//! The commands of CONTRIBUTING.md's table: each is there, and CI runs it.

use super::{read, root};

/// What no CI runs: measurements, and tests that are as long as somebody wants.
const BY_HAND: &[&str] = &["bench", "sweep"];

/// The commands of the table, in backticks.
fn named() -> Vec<String> {
    let text = read("CONTRIBUTING.md");
    let table = text.split_once("| what | command |").expect("the table").1;
    let rows = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let commands = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    commands.map(str::to_owned).collect()
}

#[test]
fn commands_that_a_team_relies_on_are_there_and_run_by_ci() {
    let makefile = read("Makefile");
    let (ci, here) = (read(".github/workflows/ci.yml"), read(".ci/run"));
    let of_matrix = |target: &str| {
        ci.contains("make ${{ matrix.what }}")
            && ci
                .lines()
                .filter_map(|line| line.trim().strip_prefix("what: ["))
                .any(|list| {
                    list.trim_end_matches(']')
                        .split(", ")
                        .any(|one| one == target)
                })
    };
    let mut seen = 0;
    for command in named() {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["make", target, ..] => {
                let line = format!("\n{target}: ");
                assert!(makefile.contains(&line), "the Makefile has no {target}");
                let runs = |text: &str| {
                    let mut lines = text.lines();
                    lines.any(|line| {
                        line.ends_with(&format!("make {target}"))
                            || line.contains(&format!("make {target} "))
                    })
                };
                let is_run = runs(&ci) || runs(&here) || of_matrix(target);
                assert_eq!(is_run, !BY_HAND.contains(&target), "make {target} in CI");
            }
            ["cargo", "test", "--test", name] => {
                let folder = root().join("tests").join(name);
                let file = folder.with_extension("rs");
                assert!(folder.is_dir() || file.is_file(), "no tests/{name}");
            }
            _ => assert_eq!(command, ".ci/run", "an unknown command"),
        }
        seen += 1;
    }
    assert!(seen > 12, "{seen}");
}
