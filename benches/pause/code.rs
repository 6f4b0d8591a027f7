//! The application of the benches that measure pauses: servers under load and libraries, in two versions.

use std::fs;
use std::path::Path;

use updo::engine::{Engine, Settings};

use super::support::{COOKIE, TestNode, write_cookie};

/// Both versions of everything, compiled.
pub struct Code {
    /// A folder for each version.
    pub dir: tempfile::TempDir,
}

impl Code {
    /// Compiled on a node of its own.
    pub fn compiled() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pause");
        let node = TestNode::start();
        for version in ["1", "2"] {
            let ebin = dir.path().join(version);
            fs::create_dir_all(&ebin).expect("can be made");
            let compile = |module: &str, macros: &str| {
                let built = node.eval_text(&format!(
                    "compile:file({:?}, [deterministic, {{outdir, {:?}}}{}{macros}])",
                    here.join(module),
                    ebin,
                    if version == "2" { ", {d, 'V2'}" } else { "" },
                ));
                assert!(built.starts_with("{ok"), "{module}: {built}");
            };
            for module in ["pause_sup", "pause_srv", "pause_load"] {
                compile(module, "");
            }
            for number in 1..=20 {
                // The file has to be called as the module.
                let name = format!("pause_lib_{number}");
                let text = fs::read_to_string(here.join("pause_lib.erl")).expect("is there");
                let text = text
                    .replace("?NAME", &name)
                    .replace("?NEXT", &format!("pause_lib_{}", number % 20 + 1));
                let file = dir.path().join(format!("{name}.erl"));
                fs::write(&file, text).expect("can be written");
                let built = node.eval_text(&format!(
                    "compile:file({file:?}, [deterministic, {{outdir, {ebin:?}}}{}])",
                    if version == "2" { ", {d, 'V2'}" } else { "" },
                ));
                assert!(built.starts_with("{ok"), "{name}: {built}");
            }
        }
        Self { dir }
    }

    /// A folder as a node has it: version 1, which is replaced later.
    pub fn deployed(&self) -> tempfile::TempDir {
        let to = tempfile::tempdir().expect("a temporary folder");
        let ebin = to.path().join("ebin");
        fs::create_dir_all(&ebin).expect("can be made");
        let modules: Vec<String> = (1..=20).map(|n| format!("pause_lib_{n}")).collect();
        for module in ["pause_sup", "pause_srv", "pause_load"]
            .into_iter()
            .chain(modules.iter().map(String::as_str))
        {
            self.copy("1", module, &ebin);
        }
        let spec = format!(
            "{{application, pause, [{{vsn, \"1\"}}, {{modules, [pause_sup, pause_srv, {}]}}, {{registered, []}}, \
             {{applications, [kernel, stdlib]}}, {{mod, {{pause_sup, []}}}}]}}.\n",
            modules.join(", ")
        );
        fs::write(ebin.join("pause.app"), spec).expect("can be written");
        to
    }

    /// One module's beam.
    pub fn copy(&self, version: &str, module: &str, ebin: &Path) {
        let file = format!("{module}.beam");
        let from = self.dir.path().join(version).join(&file);
        fs::copy(from, ebin.join(file)).expect("can be copied");
    }

    /// updo with a plan for what lies in the folder.
    pub fn engine(&self, node: &TestNode, folder: &Path, more: &str) -> Engine {
        let plan = folder.join("plan.updo");
        let old = self.dir.path().join("1/*");
        fs::write(
            &plan,
            format!("plan \"pause\".\ncode on_disk.\nold from {old:?}.\ndeadline 5m.\n{more}"),
        )
        .expect("can be written");
        let cookie = folder.join("cookie");
        write_cookie(&cookie, COOKIE);
        let settings = Settings {
            cookie_file: Some(cookie),
            epmd_port: Some(node.epmd_port()),
            state_dir: folder.join("state"),
            ..Settings::default()
        };
        let opened = Engine::open(&plan, settings);
        opened
            .engine
            .unwrap_or_else(|| panic!("{:?}", opened.diagnostics))
    }
}

/// The modules that change: the server and libraries.
pub fn changed(modules: usize) -> Vec<String> {
    let libraries = (1..modules).map(|n| format!("pause_lib_{n}"));
    std::iter::once("pause_srv".to_owned())
        .chain(libraries)
        .collect()
}

/// The clock of the node, µs.
pub fn mark(node: &TestNode) -> i64 {
    node.eval("pause_load:mark()").as_i64().expect("a time")
}
