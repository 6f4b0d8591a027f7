//! Both versions of an application of many modules (`many.erl`), and nodes that run the first of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::apps::copy_whole;
use crate::support::{Options, TestNode};

/// What was written in the last seconds is not remembered.
pub const SETTLED: Duration = Duration::from_secs(4);

/// Both versions, compiled.
pub struct Code {
    folder: tempfile::TempDir,
    tools: PathBuf,
    modules: usize,
}

/// A node with version 1; its folder goes with it.
pub struct Deployed {
    pub node: TestNode,
    lib: PathBuf,
    _folder: tempfile::TempDir,
}

impl Code {
    /// Compiled on a node of its own.
    pub fn made(modules: usize, changed: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tools = folder.path().join("tools");
        fs::create_dir_all(&tools).expect("can be made");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/run");
        let node = Options::default().path(&tools).start();
        for module in ["many", "original"] {
            let built = node.eval_text(&format!(
                "compile:file({:?}, [{{outdir, {tools:?}}}])",
                here.join(module)
            ));
            assert!(built.starts_with("{ok"), "{module}: {built}");
        }
        node.eval(&format!(
            "many:make({:?}, {modules}, {changed}), ok",
            folder.path()
        ));
        Self {
            folder,
            tools,
            modules,
        }
    }

    /// Version 1, for `old from`.
    pub fn old(&self) -> PathBuf {
        self.folder.path().join("lib/*/ebin")
    }

    /// A fresh node with version 1; and how many servers it has.
    pub fn deployed(&self) -> (Deployed, i64) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lib = folder.path().join("lib");
        copy_whole(&self.folder.path().join("lib"), &lib);
        let mut options = Options::default().path(&self.tools);
        let entries = fs::read_dir(&lib).expect("is there");
        options
            .paths
            .extend(entries.map(|entry| entry.expect("an entry").path().join("ebin")));
        let node = options.start();
        let servers = node.eval(&format!(
            "begin ok = application:start(sasl), ok = code:ensure_modules_loaded([xref, systools_rc, systools_make, \
             release_handler_1, beam_lib]), N = many:start({}), garbage_collect(), N end",
            self.modules
        ));
        let deployed = Deployed {
            node,
            lib,
            _folder: folder,
        };
        (deployed, servers.as_i64().expect("a number"))
    }

    /// Version 2 of what changes, in its place on the disk of the node.
    pub fn replace(&self, deployed: &Deployed) {
        for entry in fs::read_dir(self.folder.path().join("new")).expect("is there") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().expect("a name");
            let number = file.file_stem().and_then(|stem| stem.to_str());
            let number: usize = number
                .and_then(|stem| stem.strip_prefix("many_")?.parse().ok())
                .expect("a number");
            let to = deployed
                .lib
                .join(format!("many_app_{}-1/ebin", number / 100));
            fs::copy(&file, to.join(name)).expect("can be copied");
        }
    }

    /// Every server of the node has a state of version 2, and the modules are version 2.
    pub fn is_new(&self, node: &TestNode) {
        let states = node.eval_text(&format!("many:states({})", self.modules));
        assert!(states.contains("2 =>"), "{states}");
        assert_eq!(node.eval_text("many_0:v()"), "2");
    }
}
