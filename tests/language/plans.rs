//! The plans of plans/, each on a real node: preview, run, and what the node says afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::{Options, TestNode};

const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/plans_apps");

/// Both versions of an application, compiled once.
fn compiled(name: &str, version: u32) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        for app in ["till", "chat"] {
            for version in [1, 2] {
                let out = folder.path().join(format!("{app}-{version}/ebin"));
                std::fs::create_dir_all(&out).expect("created");
                compile(&Path::new(APPS).join(format!("{app}-{version}")), &out);
            }
        }
        folder
    });
    folder.path().join(format!("{name}-{version}/ebin"))
}

fn compile(sources: &Path, out: &Path) {
    for (ending, program) in [("erl", "erlc"), ("ex", "elixirc")] {
        let files: Vec<PathBuf> = files(sources)
            .into_iter()
            .filter(|f| f.extension().is_some_and(|e| e == ending))
            .collect();
        if files.is_empty() {
            continue;
        }
        let done = Command::new(program)
            .arg("-o")
            .arg(out)
            .args(files)
            .output()
            .expect("it runs");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("readable").path())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("created");
    for file in files(from) {
        let target = to.join(file.file_name().expect("a name"));
        if file.is_dir() {
            copy(&file, &target);
        } else {
            std::fs::copy(&file, target).expect("copied");
        }
    }
}

/// A folder as the plans expect it: `plans/`, `till-1/ebin`, and for each node the folder it loads from.
struct Site {
    folder: TempDir,
    nodes: Vec<TestNode>,
}

impl Site {
    /// Nodes that run version 1 of an application.
    fn start(app: &str, nodes: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/plans")),
            &folder.path().join("plans"),
        );
        for version in [1, 2] {
            copy(
                &compiled(app, version),
                &folder.path().join(format!("{app}-{version}/ebin")),
            );
        }
        let live = folder.path().join("live");
        copy(&compiled(app, 1), &live);
        let nodes = nodes
            .iter()
            .map(|prefix| {
                let options = Options {
                    prefix: Some((*prefix).to_owned()),
                    elixir: app == "chat",
                    ..Options::default()
                };
                let node = options.path(&live).start();
                for file in files(&live) {
                    let module = file
                        .file_stem()
                        .expect("a name")
                        .to_string_lossy()
                        .into_owned();
                    if file.extension().is_some_and(|e| e == "beam") {
                        node.eval(&format!("{{module, _}} = code:ensure_loaded('{module}')"));
                    }
                }
                node
            })
            .collect();
        Self { folder, nodes }
    }

    /// Puts the new version where the nodes load from.
    fn deploy(&self, app: &str) {
        copy(&compiled(app, 2), &self.folder.path().join("live"));
    }

    fn node(&self) -> &TestNode {
        &self.nodes[0]
    }

    fn updo(&self, args: &[&str]) -> Output {
        let names: Vec<&str> = self.nodes.iter().map(TestNode::name).collect();
        Command::new(env!("CARGO_BIN_EXE_updo"))
            .args(args)
            .current_dir(self.folder.path())
            .env("UPDO_TARGET", names.join(","))
            .env("UPDO_EPMD_PORT", self.node().epmd_port().to_string())
            .env(
                "UPDO_COOKIE_FILE",
                self.node().home().join(".erlang.cookie"),
            )
            .env("UPDO_STATE_DIR", self.folder.path().join("state"))
            .env("HOME", self.folder.path())
            .env_remove("UPDO_NAME")
            .output()
            .expect("updo runs")
    }

    /// Checks, previews and runs a plan; the preview changes nothing.
    fn upgrade(&self, plan: &str, more: &[&str]) -> String {
        let path = format!("plans/{plan}.updo");
        let mut printed = String::new();
        for words in [
            vec!["check", &path],
            vec!["preview", &path],
            vec!["run", "--yes", &path],
        ] {
            let args: Vec<&str> = words.iter().copied().chain(more.iter().copied()).collect();
            let out = self.updo(&args);
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            );
            assert!(out.status.success(), "{args:?}: {:?}\n{text}", out.status);
            assert!(
                !text.contains("W310"),
                "{args:?}: a rule has no effect\n{text}"
            );
            printed.push_str(&text);
        }
        printed
    }
}

fn till() -> Site {
    let site = Site::start("till", &["t"]);
    site.node().eval("{ok, _} = till_drawer:start()");
    site.deploy("till");
    site
}

#[test]
fn gap() {
    let site = till();
    assert_eq!(site.node().eval_text("till_price:total(100)"), "110");
    let printed = site.upgrade("gap", &[]);
    assert!(
        printed.contains("no cross reference sees that call"),
        "{printed}"
    );
    assert_eq!(site.node().eval_text("till_price:total(100)"), "120");
    assert_eq!(site.node().eval_text("till_gate:version()"), "1");
}

#[test]
fn cycle() {
    let site = till();
    let printed = site.upgrade("cycle", &[]);
    assert!(!printed.contains("W307"), "{printed}");
    assert_eq!(
        site.node().eval_text("till_menu:items()"),
        "[coffee,tea,pie]"
    );
}

#[test]
fn convert() {
    let site = till();
    let pid = site.node().eval_text("whereis(till_drawer)");
    site.upgrade("convert", &[]);
    assert_eq!(site.node().eval_text("till_drawer:info()"), "{2,100,euro}");
    assert_eq!(site.node().eval_text("whereis(till_drawer)"), pid);
}

#[test]
fn elixir() {
    let site = Site::start("chat", &["c"]);
    site.node().eval("{ok, _} = 'Elixir.Chat.Room':start()");
    site.upgrade("elixir", &[]);
    assert_eq!(
        site.node()
            .eval_text("element(1, 'Elixir.Chat.Room':info())"),
        "2"
    );
}

#[test]
fn cluster() {
    let site = Site::start("till", &["a", "b"]);
    site.deploy("till");
    site.upgrade("cluster", &[]);
    for node in &site.nodes {
        assert_eq!(
            node.eval_text("till_gate:version()"),
            "2",
            "{}",
            node.name()
        );
    }
}

#[test]
fn hooks() {
    let site = till();
    site.upgrade("hooks", &[]);
    assert_eq!(site.node().eval_text("till_gate:told()"), "[closed,opened]");
    assert_eq!(site.node().eval_text("till_price:version()"), "2");
}

#[test]
fn parameters() {
    let site = till();
    let out = site.updo(&[
        "run",
        "--yes",
        "plans/parameters.updo",
        "--set",
        "Least=500",
    ]);
    assert_eq!(
        out.status.code(),
        Some(11),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert_eq!(site.node().eval_text("till_drawer:info()"), "{1,100}");
    site.upgrade("parameters", &["--set", "Least=100"]);
    assert_eq!(site.node().eval_text("till_drawer:info()"), "{2,100,euro}");
}

#[test]
fn selection() {
    let site = till();
    site.upgrade("selection", &[]);
    let versions = "[M:version() || M <- [till_debug, till_price, till_gate]]";
    assert_eq!(site.node().eval_text(versions), "[1,1,2]");
    assert_eq!(site.node().eval_text("till_offer:left()"), "2");
}

#[test]
fn a_module_that_refuses_to_load_is_e605_and_changes_nothing() {
    let site = till();
    let plan = "target t #{nodes => ['t@localhost']}.\nold from \"../till-1/ebin\".\nonly [till_refused, till_price].\n";
    std::fs::write(site.folder.path().join("plans/refused.updo"), plan).expect("written");
    let out = site.updo(&["run", "--yes", "plans/refused.updo"]);
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(printed.contains("E605"), "{printed}");
    assert_eq!(
        site.node()
            .eval_text("[till_refused:version(), till_price:version()]"),
        "[1,1]"
    );
}

#[test]
fn every_plan_opens_with_three_lines_and_is_used_here() {
    let tests = include_str!("plans.rs");
    let mut count = 0;
    for path in files(Path::new("plans"))
        .into_iter()
        .chain(files(Path::new("plans/common")))
    {
        if path.extension().is_none_or(|e| e != "updo") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).expect("readable");
        let comments = text
            .lines()
            .take_while(|line| line.starts_with('%'))
            .count();
        assert!(comments >= 3, "{}", path.display());
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let used = tests.contains(&format!("upgrade(\"{name}\""))
            || ["demo", "till"].contains(&&*name)
            || [
                include_str!("../upgrade/insert.rs"),
                include_str!("../upgrade/libraries.rs"),
                include_str!("../upgrade/own_windows.rs"),
            ]
            .iter()
            .any(|test| test.contains(&format!("plans/{name}.updo")));
        assert!(used, "{} is used by no test", path.display());
    }
    assert!(count >= 9);
}

#[test]
fn a_starter_plan_names_what_is_in_doubt_and_is_valid() {
    let site = till();
    let out = site.updo(&["new", site.node().name(), "-o", "starter.updo"]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let path = site.folder.path().join("starter.updo");
    let text = std::fs::read_to_string(&path).expect("written");
    for expected in [
        "% till_price depends on till_tax",
        "% cycle [till_menu, till_offer]: together",
        "% old from",
        "% module till_drawer #{change => {advanced, []}",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(
        updo::syntax::fmt::format_plan(&text, 0).as_deref(),
        Ok(&*text)
    );
    // As it is, and with its comments taken at their word.
    assert!(
        site.updo(&["check", "--offline", "starter.updo"])
            .status
            .success()
    );
    let taken = text
        .replace("% cycle", "cycle")
        .replace("% module", "module");
    std::fs::write(&path, taken).expect("written");
    let out = site.updo(&["check", "--offline", "starter.updo"]);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    // It does not overwrite.
    assert_eq!(
        site.updo(&["new", site.node().name(), "-o", "starter.updo"])
            .status
            .code(),
        Some(2)
    );
}
