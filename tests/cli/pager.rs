//! Long texts go through a pager when a person sits there, and never otherwise.

use crate::support::desk::{Desk, UPDO};
use crate::support::terminal::Terminal;
use crate::waiting::{desk, waiting};

/// The screen of a long text, with these variables. 40 lines are the terminal's.
fn screen(desk: &Desk, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = desk.command(UPDO);
    command.args(args).envs(env.iter().copied());
    let mut terminal = Terminal::watch(command, "xterm-256color");
    assert!(terminal.end().ends_with(", 0)"), "{}", terminal.text());
    String::from_utf8_lossy(&terminal.raw).into_owned()
}

#[test]
fn precedence_of_pager_settings() {
    let (deployed, desk) = (waiting(), desk());
    let (port, name) = (
        deployed.node.epmd_port().to_string(),
        deployed.node.name().to_owned(),
    );
    let node = [
        ("UPDO_EPMD_PORT", port.as_str()),
        ("UPDO_TARGET", name.as_str()),
    ];
    let preview = |more: &[&str], env: &[(&str, &str)]| {
        let args = [&["preview", "shop.updo"], more].concat();
        screen(&desk, &args, &[&node, env].concat())
    };
    let ours = ("PAGER", "sed s/^/OURS:/");
    let paged = preview(&[], &[ours]);
    assert!(paged.contains("OURS:plan    "), "{paged}");
    assert!(paged.contains("OURS:  undo     "), "{paged}");
    assert!(
        paged.contains("exact as soon as 1 process has left"),
        "{paged}"
    );
    // Colours are the reader's wish too.
    assert!(paged.contains("\x1b["), "{paged}");
    // Another one counts more; none is a choice as well.
    let other = preview(&[], &[ours, ("UPDO_PAGER", "sed s/^/OTHER:/")]);
    assert!(
        other.contains("OTHER:plan") && !other.contains("OURS"),
        "{other}"
    );
    let none = [
        preview(&[], &[ours, ("UPDO_PAGER", "")]),
        preview(&[], &[ours, ("UPDO_PAGER", "cat")]),
        preview(&["--no-pager"], &[ours]),
    ];
    for plain in none {
        assert!(
            plain.contains("plan    ") && !plain.contains("OURS"),
            "{plain}"
        );
    }
    let dumb = preview(&["--json"], &[ours]);
    assert!(!dumb.contains("OURS"), "{dumb}");
    // One that does not exist loses nothing.
    let lost = preview(&[], &[("PAGER", "no-such-pager-here")]);
    assert!(lost.contains("undo     "), "{lost}");
    // A person's own setting.
    desk.write("own.toml", "pager = \"sed s/^/MINE:/\"\n");
    let mine = preview(&[], &[("UPDO_CONFIG", "own.toml")]);
    assert!(mine.contains("MINE:plan"), "{mine}");
    // What fits is simply written.
    let short = screen(&desk, &["explain", "E604"], &[ours]);
    assert!(short.contains("E604") && !short.contains("OURS"), "{short}");
    // A manual page is text there, and roff for a program.
    let page = screen(&desk, &["man", "run"], &[ours]);
    assert!(page.contains("OURS:") && page.contains("--yes"), "{page}");
    assert!(!page.contains(".TP") && !page.contains("\\fB"), "{page}");
    let roff = desk.updo(&["man", "run"]).run().exits(0);
    assert!(
        roff.stdout.contains(".TP\n") && !roff.stdout.contains("OURS"),
        "{roff}"
    );
    // No terminal, no pager.
    let ran = desk
        .on(&deployed.node, &["preview", "shop.updo"])
        .env("PAGER", "sed s/^/OURS:/")
        .run()
        .exits(0);
    assert!(!ran.stdout.contains("OURS"), "{ran}");
}
