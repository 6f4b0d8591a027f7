//! Every screen as it is: command, plan, standard output, standard error and exit status, in `tests/screens`.
//!
//! What differs from run to run (times, process identifiers, names of nodes and runs, folders, the versions of OTP and of
//! compiled code) is replaced by words. `UPDO_BLESS=1` writes the screens anew; what changed is then seen in the diff.

use std::path::Path;

use fancy_regex::Regex;

use crate::bank::{Plan, await_standing, nothing_left, replaced};
use crate::support::TestNode;
use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Ran, UPDO};
use crate::support::terminal::Terminal;

/// What is replaced by what; in this order.
fn filters(desk: &Desk, deployed: &Deployed) -> Vec<(Regex, &'static str)> {
    let node = &deployed.node;
    let quoted = |text: &str| text.replace('.', r"\.");
    let path = |path: &Path| quoted(&path.display().to_string());
    let apps = bank()
        .one
        .parent()
        .and_then(Path::parent)
        .expect("a folder");
    [
        (path(desk.path()), "DESK"),
        (path(deployed.ebin.parent().expect("a folder")), "NODE"),
        (format!("{}/[^/ \"]+", path(apps)), "APPS"),
        (quoted(node.name()), "bank@host"),
        (format!(r"\b{}\b", quoted(node.short())), "bank"),
        (format!(r"\b{}\b", node.epmd_port()), "PORT"),
        (r"anna@[^\s,;:)]+".to_owned(), "anna@desk"),
        (
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z".to_owned(),
            "DATE",
        ),
        (r"\d\d:\d\d:\d\dZ".to_owned(), "CLOCK"),
        (r"<\d+\.\d+\.\d+>".to_owned(), "<PID>"),
        (
            r"\b\d+m\d\ds\b|\b\d+(\.\d+)?(ms|s)\b(?! of )( *(?=  ))?".to_owned(),
            "TIME",
        ),
        (r"\brun [0-9a-f]{4}\b".to_owned(), "run RUN"),
        (r"(?m)^[0-9a-f]{4}\b(?=  )".to_owned(), "RUN "),
        (
            r"updo (attach|rollback) [0-9a-f]{4}".to_owned(),
            "updo $1 RUN",
        ),
        (r"runs/[0-9a-f]{4}".to_owned(), "runs/RUN"),
        (
            r"\bmd5 [0-9a-f]{8}( -> [0-9a-f]{8})?".to_owned(),
            "md5 OLD -> NEW",
        ),
        (r"\b[0-9a-f]{32}\b".to_owned(), "MD5"),
        (r"\b\d{30,}\b".to_owned(), "VSN"),
        (r"OTP \d+".to_owned(), "OTP NN"),
        (
            r"\d+ modules, \d+ processes".to_owned(),
            "N modules, N processes",
        ),
        (r"\d+ modules(?= compared|:|,)".to_owned(), "N modules"),
        (r"for \d+ s\b".to_owned(), "for TIME"),
        (r"(?<=  )[0-9a-f]{8}(?=  )".to_owned(), "MD5"),
        (
            r"(\n  note: +\{(gen_server|sys|proc_lib|gen),[^\n]*(\n  note: +\[\{file[^\n]*)?)+"
                .to_owned(),
            "\n  note: OTP'S FRAMES",
        ),
        (r"of \d+ modules".to_owned(), "of N modules"),
        (r"\d+ applications?".to_owned(), "N applications"),
        (r"updo-\d+-[0-9a-z]+@[^\s,)]+".to_owned(), "updo-US@host"),
        (
            r"\b127\.0\.0\.1(:\d+)?|\[::1\](:\d+)?".to_owned(),
            "ADDRESS",
        ),
        (r"\bport \d+".to_owned(), "port PORT"),
        (r"\d+ bytes".to_owned(), "N bytes"),
        (r"\d+ -> \d+ bytes|[+-]\d+ bytes".to_owned(), "N bytes"),
    ]
    .into_iter()
    .map(|(pattern, word)| (Regex::new(&pattern).expect("a pattern"), word))
    .collect()
}

/// Screens that are not what they were.
struct Screens<'a> {
    desk: &'a Desk,
    node: &'a TestNode,
    filters: Vec<(Regex, &'static str)>,
    differing: Vec<String>,
}

impl Screens<'_> {
    fn filtered(&self, text: &str) -> String {
        let text = self
            .filters
            .iter()
            .fold(text.to_owned(), |text, (regex, word)| {
                regex.replace_all(&text, *word).into_owned()
            });
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Runs a command, and holds its screen against what is kept under a name.
    fn shows(&mut self, name: &str, args: &[&str], code: i32) -> Ran {
        let ran = self
            .desk
            .on(self.node, args)
            .env("COLUMNS", "100")
            .run()
            .exits(code);
        let text = format!(
            "$ updo {}\n--- plan\n{}\n--- standard output\n{}\n--- standard error\n{}\n--- exit {code}\n",
            self.filtered(&args.join(" ")),
            self.filtered(&self.desk.read("bank.updo")),
            self.filtered(&ran.stdout),
            self.filtered(&ran.stderr)
        );
        self.compare(name, &text);
        ran
    }

    fn compare(&mut self, name: &str, text: &str) {
        let file = format!("tests/screens/{name}.txt");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        if std::env::var_os("UPDO_BLESS").is_some() {
            std::fs::write(&path, text).expect("the screen can be written");
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        if kept != text {
            let (old, new): (Vec<_>, Vec<_>) = (kept.lines().collect(), text.lines().collect());
            let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
            self.differing.push(format!(
                "{file} line {}:\n  was {:?}\n  is  {:?}",
                same + 1,
                old.get(same),
                new.get(same)
            ));
        }
    }
}

#[test]
fn every_screen() {
    let deployed = replaced();
    let node = &deployed.node;
    let desk = Desk::new();
    let mut screens = Screens {
        desk: &desk,
        node,
        filters: filters(&desk, &deployed),
        differing: Vec::new(),
    };
    let plan = |extra: &str| {
        Plan::on_disk(extra)
            .with("deadline 2m.\nrequire \"rates\" -> 1 = bank_rate:rate().\nverify \"new rates\" -> 2 = bank_rate:rate().")
            .on(&desk);
    };
    plan("fine");
    screens.shows("doctor", &["doctor", node.name()], 0);
    screens.shows("status", &["status", "bank.updo"], 0);
    screens.shows("preview", &["preview", "bank.updo"], 0);
    screens.shows("diff", &["diff", "bank.updo"], 0);
    screens.shows("graph", &["graph", "bank.updo"], 0);
    screens.shows("explain", &["explain", "bank.updo", "bank_account"], 0);
    screens.shows(
        "explain-before",
        &[
            "explain",
            "bank.updo",
            "bank_rate",
            "before",
            "bank_account",
        ],
        0,
    );
    screens.shows("explain-code", &["explain", "E604"], 0);
    screens.shows("run-not-asked", &["run", "bank.updo"], 2);
    plan("{fail, 5, error}");
    screens.shows("run-failed", &["run", "bank.updo", "--yes"], 20);
    plan("{slow, 3000}");
    let slow = desk.on(node, &["run", "bank.updo", "--yes"]).start();
    await_standing(node);
    screens.shows("run-locked", &["run", "bank.updo", "--yes"], 13);
    slow.wait().exits(0);
    screens.shows("rollback", &["rollback", "--yes"], 0);
    plan("fine");
    screens.shows("run", &["run", "bank.updo", "--yes"], 0);
    screens.shows("run-nothing", &["run", "bank.updo", "--yes"], 0);
    screens.shows("log", &["log"], 0);
    screens.shows("replay", &["replay"], 0);
    // The same in a terminal.
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    let mut command = desk.command(UPDO);
    command
        .args(["run", "bank.updo", "--yes", "--color=never"])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
        .env("UPDO_TARGET", node.name());
    let mut terminal = Terminal::watch(command, "xterm-256color");
    terminal.end();
    let text = screens.filtered(&terminal.text());
    let steps = text.split("(--yes)\n").nth(1).expect("a question");
    screens.compare("run-terminal", &format!("{steps}\n"));
    nothing_left(node);

    desk.write(
        "bank.updo",
        "plan \"Bank 2\".\ntarget bank #{nodes => [bank]}.\ncode on_disc.\nmodule bank_account #{chnage => soft}.\nverify \"v\" -> ok = bank:f(.\n",
    );
    screens.shows("check", &["check", "bank.updo"], 1);
    assert!(
        screens.differing.is_empty(),
        "screens are not what they were (UPDO_BLESS=1 writes them anew):\n{}",
        screens.differing.join("\n")
    );
}
