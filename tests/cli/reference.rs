//! docs/commands.md is what `--help` says, of every command. `UPDO_BLESS=1` writes it anew.

use std::path::Path;

use crate::support::desk::Desk;

#[test]
fn the_reference_equals_help() {
    let desk = Desk::new();
    let help = |args: &[&str]| {
        desk.updo(&[args, &["--help"]].concat())
            .run()
            .exits(0)
            .stdout
    };
    let all = help(&[]);
    let commands: Vec<&str> = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description that goes on in the next line is indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 20, "{commands:?}");
    let mut text = String::from(
        "# Commands\n\nWhat `--help` says. A test keeps this page true; `UPDO_BLESS=1 cargo test --test cli reference` writes it.\n",
    );
    let mut section = |name: &str, body: &str| {
        let lines: Vec<&str> = body.lines().map(str::trim_end).collect();
        text += &format!(
            "\n## {name}\n\n```text\n{}\n```\n",
            lines.join("\n").trim_end()
        );
    };
    section("updo", &all);
    for command in commands {
        section(&format!("updo {command}"), &help(&[command]));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    if std::env::var_os("UPDO_BLESS").is_some() {
        std::fs::write(&path, &text).expect("the page can be written");
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = page.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        page == text,
        "docs/commands.md is not what --help says, first at {differing:?}: run this test with UPDO_BLESS=1"
    );
}
