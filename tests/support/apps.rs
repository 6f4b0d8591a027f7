//! The applications that tests upgrade: compiled once, kept under a name that follows
//! from their sources, and deployed on nodes of their own.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Options, TestNode};

/// The folders with the beams of two versions.
pub struct Versions {
    /// `ebin` of version 1.
    pub one: PathBuf,
    /// `ebin` of version 2.
    pub two: PathBuf,
}

/// The demonstration's shop.
pub fn shop() -> &'static Versions {
    static SHOP: OnceLock<Versions> = OnceLock::new();
    SHOP.get_or_init(|| {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        let version = |number: u32| {
            let folder = demo.join(format!("shop-{number}/src"));
            let app = folder.join("shop.app");
            erlang(
                "shop",
                &listed(&folder, "erl"),
                &[],
                Some((&app, "shop.app")),
            )
        };
        Versions {
            one: version(1),
            two: version(2),
        }
    })
}

/// A small bank: 8 accounts whose conversion does what the plan's Extra says.
pub fn bank() -> &'static Versions {
    static BANK: OnceLock<Versions> = OnceLock::new();
    BANK.get_or_init(|| {
        let folder = fixtures("bank");
        let all = listed(&folder, "erl");
        let first: Vec<PathBuf> = all
            .iter()
            .filter(|file| !file.ends_with("bank_fee.erl"))
            .cloned()
            .collect();
        let app = |number: u32| folder.join(format!("bank-{number}.app"));
        Versions {
            one: erlang("bank", &first, &[], Some((&app(1), "bank.app"))),
            two: erlang("bank", &all, &["-DTWO"], Some((&app(2), "bank.app"))),
        }
    })
}

/// A mill: two servers and two other modules that need not change at one instant.
pub fn mill() -> &'static Versions {
    static MILL: OnceLock<Versions> = OnceLock::new();
    MILL.get_or_init(|| {
        let folder = fixtures("mill");
        let all = listed(&folder, "erl");
        let first: Vec<PathBuf> = all
            .iter()
            .filter(|file| !file.ends_with("mill_toll.erl"))
            .cloned()
            .collect();
        let app = |number: u32| folder.join(format!("mill-{number}.app"));
        Versions {
            one: erlang("mill", &first, &[], Some((&app(1), "mill.app"))),
            two: erlang("mill", &all, &["-DTWO"], Some((&app(2), "mill.app"))),
        }
    })
}

/// A post office: the floors' supervisors change their children.
pub fn post() -> &'static Versions {
    static POST: OnceLock<Versions> = OnceLock::new();
    POST.get_or_init(|| {
        let folder = fixtures("post");
        let all = listed(&folder, "erl");
        let app = |number: u32| folder.join(format!("post-{number}.app"));
        Versions {
            one: erlang("post", &all, &[], Some((&app(1), "post.app"))),
            two: erlang("post", &all, &["-DTWO"], Some((&app(2), "post.app"))),
        }
    })
}

/// A depot: a server, a loop of its own, a server that version 2 does not have any more.
pub fn depot() -> &'static Versions {
    static DEPOT: OnceLock<Versions> = OnceLock::new();
    DEPOT.get_or_init(|| {
        let folder = fixtures("depot");
        let all = listed(&folder, "erl");
        let second: Vec<PathBuf> = all
            .iter()
            .filter(|file| !file.ends_with("depot_fax.erl"))
            .cloned()
            .collect();
        let app = |number: u32| folder.join(format!("depot-{number}.app"));
        Versions {
            one: erlang("depot", &all, &[], Some((&app(1), "depot.app"))),
            two: erlang("depot", &second, &["-DTWO"], Some((&app(2), "depot.app"))),
        }
    })
}

/// A fleet: a server and a module on each of several nodes.
pub fn fleet() -> &'static Versions {
    static FLEET: OnceLock<Versions> = OnceLock::new();
    FLEET.get_or_init(|| {
        let all = listed(&fixtures("fleet"), "erl");
        Versions {
            one: erlang("fleet", &all, &[], None),
            two: erlang("fleet", &all, &["-DTWO"], None),
        }
    })
}

/// A front and a back on each of several nodes, which call each other, in versions that do not know each other's messages.
pub fn relay() -> &'static Versions {
    static RELAY: OnceLock<Versions> = OnceLock::new();
    RELAY.get_or_init(|| {
        let all = listed(&fixtures("relay"), "erl");
        Versions {
            one: erlang("relay", &all, &[], None),
            two: erlang("relay", &all, &["-DTWO"], None),
        }
    })
}

/// Two modules whose processes on several nodes send each other requests.
pub fn parley() -> &'static Versions {
    static PARLEY: OnceLock<Versions> = OnceLock::new();
    PARLEY.get_or_init(|| {
        let all = listed(&fixtures("parley"), "erl");
        Versions {
            one: erlang("parley", &all, &[], None),
            two: erlang("parley", &all, &["-DTWO"], None),
        }
    })
}

/// Two versions of a GenServer in Elixir.
pub fn kiosk() -> &'static Versions {
    static KIOSK: OnceLock<Versions> = OnceLock::new();
    KIOSK.get_or_init(|| {
        let version = |number: u32| {
            let source = fixtures("kiosk").join(format!("{number}.ex"));
            built("kiosk", std::slice::from_ref(&source), &[], |ebin| {
                succeed(Command::new("elixirc").arg("-o").arg(ebin).arg(&source));
            })
        };
        Versions {
            one: version(1),
            two: version(2),
        }
    })
}

/// Two versions of an Elixir project as `mix release` makes them: whole releases, not folders of beams.
pub fn ferry() -> &'static Versions {
    static FERRY: OnceLock<Versions> = OnceLock::new();
    FERRY.get_or_init(|| Versions {
        one: mix_release("0.1.0", true),
        two: mix_release("0.2.0", true),
    })
}

/// The same, version 1, to be run by the Erlang that is installed.
pub fn ferry_without_erts() -> PathBuf {
    mix_release("0.1.0", false)
}

fn mix_release(vsn: &str, with_erts: bool) -> PathBuf {
    let folder = fixtures("ferry");
    let mut sources = Vec::new();
    super::desk::walk(&folder, &mut sources);
    sources.sort();
    let erts = if with_erts { "yes" } else { "no" };
    built("ferry", &sources, &[vsn, erts], |release| {
        let project = tempfile::tempdir().expect("a temporary folder");
        for source in &sources {
            let inside = source.strip_prefix(&folder).expect("it is below");
            let target = project.path().join(inside);
            fs::create_dir_all(target.parent().expect("it has one")).expect("a folder");
            fs::copy(source, target).expect("a file can be copied");
        }
        succeed(
            Command::new("mix")
                .args(["release", "--quiet", "--overwrite", "--path"])
                .arg(release)
                .current_dir(project.path())
                .env("HOME", project.path())
                .env("MIX_ENV", "prod")
                .env("LC_ALL", "C.UTF-8")
                .env("FERRY_VSN", vsn)
                .env("FERRY_ERTS", erts),
        );
    })
}

/// The bank, version 1, as a release that rebar3 makes with relx, to be run by the Erlang that is installed.
pub fn bank_release() -> PathBuf {
    let folder = fixtures("bank");
    let rebar = folder.join("rebar.config");
    let app = folder.join("bank-1.app");
    let mut sources = listed(&folder, "erl");
    sources.retain(|file| !file.ends_with("bank_fee.erl"));
    let mut read = sources.clone();
    read.extend([rebar.clone(), app.clone()]);
    built("bank_release", &read, &[], |release| {
        let project = tempfile::tempdir().expect("a temporary folder");
        let src = project.path().join("src");
        fs::create_dir(&src).expect("a folder");
        for source in &sources {
            let name = source.file_name().expect("a name");
            fs::copy(source, src.join(name)).expect("a file can be copied");
        }
        fs::copy(&app, src.join("bank.app.src")).expect("a file can be copied");
        fs::copy(&rebar, project.path().join("rebar.config")).expect("a file can be copied");
        succeed(
            Command::new("rebar3")
                .arg("release")
                .current_dir(project.path())
                .env("HOME", project.path())
                .env("LC_ALL", "C.UTF-8"),
        );
        copy_whole(&project.path().join("_build/default/rel/bank_rel"), release);
        // The same beams as everywhere else.
        for entry in fs::read_dir(&bank().one).expect("beams") {
            let file = entry.expect("an entry").path();
            if file.extension().is_some_and(|end| end == "beam") {
                let name = file.file_name().expect("a name");
                let there = release.join("lib/bank-1.0.0/ebin").join(name);
                fs::copy(&file, there).expect("a beam can be copied");
            }
        }
    })
}

/// A copy of a release, as `tar` would unpack it, and how it is started; gone with the folder.
pub fn unpacked(release: &Path) -> (TempDir, PathBuf, Options) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path().join("srv");
    fs::create_dir(&root).expect("a folder");
    copy_whole(release, &root);
    let options = Options {
        release: Some(root.clone()),
        ..Options::default()
    };
    (folder, root, options)
}

/// A copy of a folder with everything in it: files, folders, rights.
pub fn copy_whole(from: &Path, to: &Path) {
    succeed(Command::new("cp").arg("-a").arg(from.join(".")).arg(to));
}

/// A harbour with a process of every kind: its modules, and those of the tests that build, load, harm and check it.
pub fn harbour() -> &'static Versions {
    static HARBOUR: OnceLock<Versions> = OnceLock::new();
    HARBOUR.get_or_init(|| {
        let all = listed(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attack"),
            "erl",
        );
        // With another window than one that suspends, conversions that such a window is for.
        let live = std::env::var("UPDO_WINDOW").map_or(&[][..], |_| &["-DLIVE"][..]);
        Versions {
            one: erlang("harbour", &all, live, None),
            two: erlang("harbour", &all, &[&["-DTWO"], live].concat(), None),
        }
    })
}

/// The folder with the beam of the tests' eyes on a node.
pub fn witness() -> &'static Path {
    static WITNESS: OnceLock<PathBuf> = OnceLock::new();
    WITNESS.get_or_init(|| {
        erlang(
            "witness",
            &[fixtures("witness").join("witness.erl")],
            &[],
            None,
        )
    })
}

fn fixtures(app: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/apps")
        .join(app)
}

/// Files of a folder with an extension, sorted.
fn listed(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

fn erlang(name: &str, sources: &[PathBuf], flags: &[&str], app: Option<(&Path, &str)>) -> PathBuf {
    let mut read = sources.to_vec();
    read.extend(app.map(|(file, _)| file.to_owned()));
    built(name, &read, flags, |ebin| {
        let mut erlc = Command::new("erlc");
        succeed(
            // OTP 29 warns of every `catch`; loops of older programs have them, and so do the fixtures.
            erlc.args([
                "-Wall",
                "-Werror",
                "+nowarn_deprecated_catch",
                "+debug_info",
            ])
            .args(flags)
            .arg("-o")
            .arg(ebin)
            .args(sources),
        );
        if let Some((file, name)) = app {
            fs::copy(file, ebin.join(name)).expect("the .app file can be copied");
        }
    })
}

/// The folder that `build` fills, made anew only when a source has changed. Several test processes may want
/// it at once: each builds beside and renames, the first wins.
fn built(name: &str, sources: &[PathBuf], flags: &[&str], build: impl Fn(&Path)) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (flags, compiler()).hash(&mut hasher);
    for source in sources {
        source.hash(&mut hasher);
        fs::read(source)
            .expect("a source can be read")
            .hash(&mut hasher);
    }
    let apps = super::kept().join("apps");
    let whole = apps.join(format!("{name}-{:016x}", hasher.finish()));
    let ebin = whole.join("ebin");
    if ebin.exists() {
        return ebin;
    }
    fs::create_dir_all(&apps).expect("the folder of tests can be written");
    let beside = tempfile::tempdir_in(&apps).expect("a temporary folder");
    let place = beside.path().join("new");
    fs::create_dir_all(place.join("ebin")).expect("a folder");
    build(&place.join("ebin"));
    if let Err(why) = fs::rename(&place, &whole) {
        assert!(ebin.exists(), "{} cannot be made: {why}", whole.display());
    }
    ebin
}

/// Which compiler: where `erlc` really lies.
fn compiler() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("erlc"))
        .find(|file| file.exists())?;
    fs::canonicalize(found).ok()
}

fn succeed(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A node that runs version 1 from an `ebin` folder of its own.
pub struct Deployed {
    /// The node.
    pub node: TestNode,
    /// Where it loads its code from.
    pub ebin: PathBuf,
    _folder: TempDir,
}

impl Deployed {
    /// Copies a version, starts a node on it, and evaluates `start` there.
    pub fn new(version: &Path, mut options: Options, start: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ebin = folder.path().join("ebin");
        fs::create_dir(&ebin).expect("a folder");
        copy(version, &ebin);
        options.paths.extend([ebin.clone(), witness().to_owned()]);
        let node = options.start();
        // Otherwise a module that is first called after its file has been replaced is new from the beginning.
        node.eval(&format!(
            "[{{module, _}} = code:load_file(list_to_atom(filename:basename(F, \".beam\"))) || F <- [\"witness\" | filelib:wildcard({:?})]]",
            ebin.join("*.beam")
        ));
        node.eval(start);
        Self {
            node,
            ebin,
            _folder: folder,
        }
    }

    /// The bank, version 1.
    pub fn bank() -> Self {
        Self::new(
            &bank().one,
            Options::default(),
            "{ok, _} = application:ensure_all_started(bank)",
        )
    }

    /// The mill, version 1.
    pub fn mill() -> Self {
        Self::new(
            &mill().one,
            Options::default(),
            "{ok, _} = application:ensure_all_started(mill)",
        )
    }

    /// The shop, version 1, with so many carts.
    pub fn shop(carts: u32) -> Self {
        let options = Options::default().args(&["-shop", "carts", &carts.to_string()]);
        Self::new(
            &shop().one,
            options,
            "{ok, _} = application:ensure_all_started(shop)",
        )
    }

    /// Replaces the files, as an ordinary deployment does.
    pub fn replace(&self, version: &Path) {
        for file in fs::read_dir(&self.ebin).expect("the folder is there") {
            fs::remove_file(file.expect("an entry").path()).expect("a file can be removed");
        }
        copy(version, &self.ebin);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file can be copied");
    }
}
