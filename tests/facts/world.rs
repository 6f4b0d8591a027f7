//! A node with an application in two versions, and the engine pointed at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use updo::diag::{Code, Diagnostic, Result};
use updo::engine::{Engine, Settings, Upgrade};
use updo::exec::Outcome;
use updo::facts::change::Changed;
use updo::name::{Module, NodeName};
use updo::rules::{Change, Class};
use updo::term::Term;

use crate::support::{COOKIE, Options, TestNode, write_cookie};

/// A folder for code, and a node.
pub struct World {
    pub node: TestNode,
    pub dir: TempDir,
}

/// `path` as text.
pub fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/facts")
}

/// Compiles a fixture with macros (`V2`) into a folder.
pub fn build(module: &str, macros: &[&str], folder: &Path) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let source = text(&fixtures().join(format!("{module}.erl")));
    let mut options = vec![
        Term::atom("debug_info"),
        Term::atom("return_errors"),
        Term::atom("deterministic"),
        Term::tuple([Term::atom("outdir"), Term::string(&text(folder))]),
    ];
    let define = |name: &&str| Term::tuple([Term::atom("d"), Term::atom(name)]);
    options.extend(macros.iter().map(define));
    let args = vec![Term::string(&source), Term::list(options)];
    let built = TestNode::shared().call("compile", "file", args);
    assert!(built.to_string().starts_with("{ok"), "{module}: {built}");
}

/// Compiles Elixir fixtures into a folder.
pub fn elixir(files: &[&str], version: &str, folder: &Path, path: &[&Path]) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let mut command = Command::new("elixirc");
    command.env("FX_VERSION", version).env("LC_ALL", "C.UTF-8");
    command
        .args(["-o", &text(folder)])
        .stdin(std::process::Stdio::null());
    for path in path {
        command.args(["-pa", &text(path)]);
    }
    command.args(files.iter().map(|file| fixtures().join(file)));
    let out = command.output().expect("elixirc starts");
    let printed = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{printed}");
}

/// Writes an application's specification.
pub fn spec(folder: &Path, app: &str, vsn: &str, modules: &[&str], more: &str) {
    let text = format!(
        "%% a comment\n{{application, {app}, [{{description, \"x\"}}, {{vsn, \"{vsn}\"}}, {{modules, [{}]}},\n \
         {{registered, []}}, {{applications, [kernel, stdlib]}}{more}]}}.\n",
        modules.join(", ")
    );
    fs::create_dir_all(folder).expect("the folder can be made");
    fs::write(folder.join(format!("{app}.app")), text).expect("it can be written");
}

impl World {
    /// A node with one folder `fx/ebin` in its code path.
    pub fn new() -> Self {
        Self::with(Options::default(), &["fx/ebin"])
    }

    /// A node with options and folders in its code path.
    pub fn with(options: Options, path: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut options = options;
        for folder in path {
            fs::create_dir_all(dir.path().join(folder)).expect("the folder can be made");
            options = options.path(dir.path().join(folder));
        }
        let node = options.start();
        Self { node, dir }
    }

    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    /// Compiles version 1 of fixtures into `fx/ebin`.
    pub fn have(&self, modules: &[&str]) {
        for module in modules {
            build(module, &[], &self.path("fx/ebin"));
        }
    }

    /// Puts version 2 of fixtures there.
    pub fn replace(&self, modules: &[&str]) {
        for module in modules {
            build(module, &["V2"], &self.path("fx/ebin"));
        }
    }

    /// Everything that updo finds out and decides, by a plan.
    pub fn prepare(&self, plan: &str) -> Result<Upgrade> {
        let engine = self.engine(plan);
        let connection = engine.connect(&NodeName::new(self.node.name()))?;
        connection.prepare()
    }

    /// Carries a plan out.
    pub fn run(&self, plan: &str) -> Outcome {
        self.run_after(plan, "ok")
    }

    /// The same when something has happened since it was decided.
    pub fn run_after(&self, plan: &str, meanwhile: &str) -> Outcome {
        let engine = self.engine(plan);
        let connection = engine
            .connect(&NodeName::new(self.node.name()))
            .expect("a connection");
        let upgrade = connection.prepare().expect("facts");
        assert!(!upgrade.is_refused(), "{:?}", upgrade.diagnostics);
        self.node.eval(meanwhile);
        connection.run(&upgrade, &mut |_| ())
    }

    fn engine(&self, plan: &str) -> Engine {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = self.path(&format!("plan{number}.updo"));
        let text = format!("plan \"test\".\n{plan}\n");
        fs::write(&file, text).expect("the plan can be written");
        let cookie = self.path("cookie");
        if !cookie.exists() {
            write_cookie(&cookie, COOKIE);
        }
        let settings = Settings {
            cookie_file: Some(cookie),
            epmd_port: Some(self.node.epmd_port()),
            state_dir: self.path("state"),
            connect_timeout: Duration::from_secs(20),
            ..Settings::default()
        };
        let opened = Engine::open(&file, settings);
        opened
            .engine
            .unwrap_or_else(|| panic!("{:?}", opened.diagnostics))
    }

    /// The same, which must be possible, with the node's own files.
    pub fn look(&self) -> Upgrade {
        self.prepare("code on_disk.").expect("facts can be read")
    }

    /// The same with the beams of a folder.
    pub fn push(&self, folder: &str) -> Upgrade {
        let plan = format!("code push [{:?}].", text(&self.path(folder)));
        self.prepare(&plan).expect("facts can be read")
    }
}

/// The names of the modules that take part.
pub fn names(upgrade: &Upgrade) -> Vec<&str> {
    upgrade.changes.modules.keys().map(Module::as_str).collect()
}

/// The change of one module.
pub fn changed<'a>(upgrade: &'a Upgrade, module: &str) -> &'a Changed {
    upgrade
        .changes
        .modules
        .get(module)
        .unwrap_or_else(|| panic!("{module} is not among {:?}", names(upgrade)))
}

/// The class of a module, whether it is converted, and why it has that class.
pub fn class(upgrade: &Upgrade, module: &str) -> (Class, bool, String) {
    let rules = &upgrade.rules.modules[module];
    let converted = matches!(rules.change.value, Change::Advanced(_));
    (
        rules.class.value,
        converted,
        format!("{:?}", rules.class.origin),
    )
}

/// Diagnostics with a code, each as lines: title, notes, help.
pub fn printed(upgrade: &Upgrade, code: Code) -> Vec<String> {
    let lines = |d: &Diagnostic| {
        let mut lines = vec![d.title.clone()];
        lines.extend(d.notes.iter().cloned());
        lines.extend(d.help.iter().cloned());
        lines.join("\n")
    };
    let all = upgrade.diagnostics.iter();
    all.filter(|d| d.code == code).map(lines).collect()
}

/// The only diagnostic with a code.
pub fn one(upgrade: &Upgrade, code: Code) -> String {
    match printed(upgrade, code).as_slice() {
        [one] => one.clone(),
        other => panic!("{code}: {other:?} of {:?}", upgrade.diagnostics),
    }
}
