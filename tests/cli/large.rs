//! Upgrades of many modules: what is to be read is one screen, and nothing is lost.

use std::fs;
use std::path::Path;

use crate::support::apps::copy_whole;
use crate::support::desk::{Desk, Ran, UPDO};
use crate::support::terminal::Terminal;
use crate::support::{Options, TestNode};

/// What fits on a screen.
const SCREEN: usize = 50;
const MODULES: usize = 200;
const CHANGED: usize = 50;
/// Of the changed ones.
const SERVERS: usize = 17;

struct Many {
    node: TestNode,
    desk: Desk,
    _folder: tempfile::TempDir,
}

/// A node with applications of many modules, and new versions of some of them on its disk.
fn many(plan: &str) -> Many {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (tools, lib) = (folder.path().join("tools"), folder.path().join("live"));
    fs::create_dir_all(&tools).expect("can be made");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/run/many");
    let maker = Options::default().path(&tools).start();
    let built = maker.eval_text(&format!(
        "compile:file({source:?}, [{{outdir, {tools:?}}}])"
    ));
    assert!(built.starts_with("{ok"), "{built}");
    maker.eval(&format!(
        "many:make({:?}, {MODULES}, {CHANGED}), ok",
        folder.path()
    ));
    copy_whole(&folder.path().join("lib"), &lib);
    let mut options = Options::default().path(&tools);
    let entries = fs::read_dir(&lib).expect("is there");
    let ebins = entries.map(|entry| entry.expect("an entry").path().join("ebin"));
    options.paths.extend(ebins);
    let node = options.start();
    node.eval(&format!(
        "begin ok = application:start(sasl), many:start({MODULES}) end"
    ));
    for entry in fs::read_dir(folder.path().join("new")).expect("is there") {
        let file = entry.expect("an entry").path();
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.strip_prefix("many_")?.parse::<usize>().ok());
        let app = format!("many_app_{}-1/ebin", number.expect("a number") / 100);
        let to = lib.join(app).join(file.file_name().expect("a name"));
        fs::copy(&file, to).expect("can be copied");
    }
    let desk = Desk::rehearsing();
    let old = folder.path().join("lib/*/ebin");
    desk.write(
        "plan.updo",
        &format!("plan \"many\".\ncode on_disk.\nold from {old:?}.\n{plan}"),
    );
    Many {
        node,
        desk,
        _folder: folder,
    }
}

impl Many {
    fn updo(&self, args: &[&str]) -> Ran {
        let ran = self.desk.on(&self.node, args).run();
        ran.exits(0)
    }
}

fn number(text: &str, what: &str) -> usize {
    text.lines().filter(|line| line.contains(what)).count()
}

#[test]
fn a_preview_of_many_modules_is_one_screen_and_full_shows_each() {
    let many = many("module many_4 #{timeout => 30s} because \"it is slow\".\n");
    let shown = many.updo(&["preview", "plan.updo"]).prints(&[
        // What the plan says something about is named, with its place.
        "update  many_4  ",
        "because \"it is slow\"  plan.updo:4",
        "timeout 30s",
        &format!("{SERVERS} servers, {SERVERS} processes: suspended, states converted"),
        &format!("{} modules, no processes", CHANGED - SERVERS),
        "of 2 applications: many_app_0 (",
        &format!("conversions: {SERVERS} pure"),
        "and 13 more",
        "all instructions with their reasons: --full",
        "undo     exact",
    ]);
    let lines = shown.stdout.lines().count();
    assert!(lines <= SCREEN, "{lines} lines: {shown}");
    assert_eq!(number(&shown.stdout, "code differs"), 0, "{shown}");

    let full = many.updo(&["preview", "plan.updo", "--full"]);
    assert_eq!(number(&full.stdout, "code differs"), CHANGED, "{full}");
    assert!(!full.stdout.contains("and 13 more"), "{full}");
    let document = many.updo(&["--json", "preview", "plan.updo"]).json();
    assert_eq!(document["modules"].as_array().map(Vec::len), Some(CHANGED));

    // The same before the question.
    let dry = many.updo(&["run", "plan.updo", "--dry-run"]);
    let lines = dry.stderr.lines().count();
    assert!(lines <= SCREEN + 20, "{lines} lines: {dry}");
    let full = many.updo(&["run", "plan.updo", "--dry-run", "--full"]);
    assert_eq!(number(&full.stderr, "code differs"), CHANGED, "{full}");

    // A warning about all of them names a few; none is singled out for it.
    assert!(!shown.stdout.contains("see W316"), "{shown}");
    // And one module says why it is there.
    many.updo(&["explain", "plan.updo", "many_8"])
        .prints(&["code differs"]);
}

/// On a terminal no line is longer than it is wide, and no name is divided; what is piped is one line each.
#[test]
fn lines_break_between_names_on_a_terminal_only() {
    let many = many("");
    let (port, name) = (many.node.epmd_port().to_string(), many.node.name());
    let args = [
        "preview",
        "plan.updo",
        "--full",
        "--no-pager",
        "--color=never",
    ];
    let mut command = many.desk.command(UPDO);
    command
        .args(args)
        .env("UPDO_EPMD_PORT", &port)
        .env("UPDO_TARGET", name);
    let mut terminal = Terminal::watch(command, "xterm-256color");
    terminal.end();
    let raw = String::from_utf8_lossy(&terminal.raw).replace('\r', "");
    let (shown, _) = raw.split_once("  same  ").expect("what is the same");
    let wide = |line: &&str| line.chars().count() > 100;
    assert_eq!(shown.lines().find(wide), None);
    let suspended: Vec<&str> = shown
        .lines()
        .skip_while(|line| !line.contains("  suspend "))
        .take_while(|line| !line.contains("  pause "))
        .collect();
    assert!(suspended.len() > 1, "{shown}");
    let names = suspended.join(" ");
    let names = names
        .split([',', ' '])
        .filter(|word| word.starts_with("many_"));
    assert_eq!(names.count(), SERVERS, "{suspended:?}");
    let piped = many.updo(&["preview", "plan.updo", "--full"]);
    let line = piped
        .stdout
        .lines()
        .find(|line| line.contains("  suspend "));
    assert_eq!(
        line.map(|line| line.matches("many_").count()),
        Some(SERVERS)
    );
}

#[test]
fn a_rehearsal_of_many_modules_names_the_slowest() {
    let many = many("");
    let shown = many.updo(&["rehearse", "plan.updo"]).prints(&[
        &format!("and {0} more modules with {0} states", SERVERS - 3),
        &format!("{SERVERS} states tried on copies, all convert"),
    ]);
    assert_eq!(number(&shown.stdout, "1 of 1 state convert"), 3, "{shown}");
    let full = many.updo(&["rehearse", "plan.updo", "--full"]);
    let each = number(&full.stdout, "1 of 1 state convert");
    assert_eq!(each, SERVERS, "{full}");
}
