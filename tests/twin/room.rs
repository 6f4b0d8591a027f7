//! A folder that this process and an Erlang share, and the Erlang: of this machine, or of another root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use updo::facts::beam::BeamFacts;
use updo::facts::beam::chunk::{Atoms, Chunks, unpacked};
use updo::name::Module;
use updo::term::{Term, etf};
use updo::twin::excerpt::excerpt;
use updo::twin::shim::{NoShim, ShimFor, shim};
use updo::twin::{Entry, NoTwin, all};

/// A number of the environment.
pub fn setting(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => usual,
    }
}

/// Where OTP and Elixir are, and which release it is.
pub struct Installed {
    pub otp: u32,
    folders: Vec<PathBuf>,
}

pub fn installed() -> &'static Installed {
    static INSTALLED: OnceLock<Installed> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let room = Room::new();
        let printed = room.run("installed", &[]);
        let printed = printed.as_tuple().expect("a tuple");
        let text = |term: &Term| PathBuf::from(term.to_text().expect("a path"));
        Installed {
            otp: u32::try_from(printed[0].as_i64().expect("a number")).expect("small"),
            folders: printed[1]
                .as_list()
                .expect("a list")
                .iter()
                .map(text)
                .collect(),
        }
    })
}

/// The beams of an application, or of all (`*`): where they are, their modules and their bytes.
pub fn beams(application: &str) -> Vec<(PathBuf, Module, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in &installed().folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bare = name.split('-').next().unwrap_or_default();
            if application == "*" || application == bare {
                let ebin = entry.path().join("ebin");
                for beam in fs::read_dir(ebin).into_iter().flatten().flatten() {
                    let path = beam.path();
                    if path.extension().is_some_and(|e| e == "beam") {
                        let bytes = fs::read(&path).expect("readable");
                        found.push((path, module(&bytes), bytes));
                    }
                }
            }
        }
    }
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    found
}

fn module(beam: &[u8]) -> Module {
    let plain = unpacked(beam).expect("a beam");
    let chunks = Chunks::parse(&plain).expect("chunks");
    let atoms = Atoms::read(&chunks).expect("atoms");
    Module::new(atoms.text(1).expect("a name"))
}

/// A shared folder.
pub struct Room(TempDir);

impl Room {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes the twins of a set and writes them here, with a list of them (`twins`) for the script.
    pub fn twins(&self, beams: &[(PathBuf, Module, Vec<u8>)]) -> BTreeMap<Module, NoTwin> {
        let set = beams.iter().map(|(_, module, bytes)| (module, &bytes[..]));
        let twins = all(set, installed().otp);
        let refused: BTreeSet<&Module> = twins.refused.keys().collect();
        let paths: BTreeMap<_, _> = beams.iter().map(|(path, m, _)| (m, path)).collect();
        let mut list = String::new();
        for (number, twin) in twins.made.iter().enumerate() {
            assert!(!refused.contains(&twin.module));
            let file = self.path().join(format!("{number}.twin"));
            fs::write(&file, &twin.bytes).expect("written");
            list += &format!(
                "{{{}, {}, {}, {}}}.\n",
                Term::atom(twin.module.as_str()),
                Term::atom(twin.name.as_str()),
                text(&file),
                text(paths[&twin.module]),
            );
        }
        fs::write(self.path().join("twins"), list).expect("written");
        twins.refused
    }

    /// Makes the shims of a set and writes them here, with a list of them (`twins`) for the script.
    pub fn shims(&self, beams: &[(PathBuf, Module, Vec<u8>)]) -> BTreeMap<Module, NoShim> {
        let mut list = String::new();
        let mut refused = BTreeMap::new();
        for (number, (_, module, bytes)) in beams.iter().enumerate() {
            let what = ShimFor {
                agent: "updo_agent_shim",
                key: "updo_live_key",
                about: Term::tuple([Term::atom("about"), Term::atom(module.as_str())]),
            };
            let shim = match shim(bytes, &what) {
                Ok(shim) => shim,
                Err(why) => {
                    refused.insert(module.clone(), why);
                    continue;
                }
            };
            let file = self.path().join(format!("{number}.shim"));
            fs::write(&file, shim).expect("written");
            let (module, file) = (Term::atom(module.as_str()), text(&file));
            list += &format!("{{{module}, {file}}}.\n");
        }
        fs::write(self.path().join("twins"), list).expect("written");
        refused
    }

    /// Makes an excerpt of every exported function that can be in one. Gives how many, and of how many modules.
    pub fn excerpt(&self, beams: &[(PathBuf, Module, Vec<u8>)]) -> (usize, usize) {
        let bifs = updo::facts::beam::bifs::bifs(installed().otp);
        // What the emulator has itself is called there.
        let others = beams
            .iter()
            .filter(|(_, m, _)| bifs.of_module(m.as_str()).is_none());
        let set: BTreeMap<_, _> = others
            .map(|(_, module, bytes)| (module, &bytes[..]))
            .collect();
        let mut wanted: Vec<(&Module, &'static [Entry])> = Vec::new();
        let mut list = String::new();
        for (path, module, bytes) in beams {
            let exports = BeamFacts::read(bytes).expect("a beam").exports;
            for function in exports {
                let name: &'static str = String::leak(function.name.to_string());
                wanted.push((module, Vec::leak(vec![(name, function.arity)])));
            }
            let name = Term::atom(updo::twin::name(module).as_str());
            let (module, path) = (Term::atom(module.as_str()), text(path));
            list += &format!("{{{module}, {name}, none, {path}}}.\n");
        }
        let excerpt = excerpt(&set, wanted, installed().otp).expect("an excerpt");
        fs::write(self.path().join("excerpt.beam"), &excerpt.bytes).expect("written");
        fs::write(self.path().join("twins"), list).expect("written");
        let exported = BeamFacts::read(&excerpt.bytes).expect("a beam").exports;
        (exported.len(), excerpt.entries.len())
    }

    /// Runs a function of the script on this folder and gives its answer.
    pub fn run(&self, function: &str, args: &[String]) -> Term {
        self.run_with("", function, args)
    }

    /// The same, in a node with more flags.
    pub fn run_with(&self, flags: &str, function: &str, args: &[String]) -> Term {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twin");
        let script = self.path().join("beside.escript");
        fs::copy(source.join("beside.escript"), &script).expect("copied");
        let output = Command::new("escript")
            .args([&script, self.path()])
            .arg(function)
            .args(args)
            .env("ERL_FLAGS", format!("+pc unicode +fnu {flags}"))
            .env("LC_ALL", "C.UTF-8")
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .output()
            .expect("these tests need Erlang: escript is not on the path");
        assert!(
            output.status.success(),
            "{function}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let answer = fs::read(self.path().join("answer")).expect("the script answered");
        etf::decode(&answer).expect("a term")
    }
}

fn text(path: &Path) -> String {
    Term::string(path.to_str().expect("a name in UTF-8")).to_string()
}

/// The number of cases in an answer `{Cases, [Difference]}`, of which there may be none.
pub fn agreed(answer: &Term) -> i64 {
    let [cases, differences] = answer.as_tuple().expect("a pair") else {
        panic!("{answer}")
    };
    let differences = differences.as_list().expect("a list");
    let shown: Vec<String> = differences.iter().take(5).map(Term::to_string).collect();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        shown.join("\n")
    );
    cases.as_i64().expect("a number")
}
