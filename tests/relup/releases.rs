//! Random release folders (`.rel`, `.app`, `.appup`) against `systools:make_relup`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;
use updo::name::Module;
use updo::release::path::SearchPath;
use updo::release::relup::{Relup, Request, make, make_with};
use updo::script::translate::{Mode, Tie};
use updo::term::{Term, pretty};

use crate::compiler::compile;
use crate::oracle::Oracle;
use crate::random::{Random, setting};
use crate::scripts::places;

fn atom(text: &str) -> Term {
    Term::atom(text)
}

fn pair(key: &str, value: Term) -> Term {
    Term::tuple([atom(key), value])
}

fn atoms<S: AsRef<str>>(names: &[S]) -> Term {
    Term::list(names.iter().map(|name| Term::atom(name.as_ref())))
}

/// A term that can be written to a file and read again.
fn readable(random: &mut Random) -> Term {
    loop {
        let term = random.term(2);
        let text = term.to_string();
        if !["#Port", "#Ref", "#Fun", "<0.", ":"]
            .iter()
            .any(|odd| text.contains(odd))
        {
            return term;
        }
    }
}

/// One application in one version.
struct App {
    name: String,
    vsn: String,
    modules: Vec<String>,
    uses: Vec<String>,
    includes: Vec<String>,
}

fn write(folder: &Path, file: &str, text: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join(file), text).expect("a file");
}

fn dotted(term: &Term) -> String {
    format!("{}.\n", pretty(term, 80))
}

/// Writes the `.app` file, sometimes with something wrong in it.
fn write_app(random: &mut Random, root: &Path, app: &App, odd: bool) {
    let folder = root
        .join("lib")
        .join(format!("{}-{}", app.name, app.vsn))
        .join("ebin");
    let mut keys = vec![
        pair("description", Term::string("an application")),
        pair("vsn", Term::string(&app.vsn)),
        pair("modules", atoms(&app.modules)),
        pair("registered", atoms(&[format!("{}_sup", app.name)])),
        pair("applications", atoms(&app.uses)),
    ];
    if !app.includes.is_empty() {
        keys.push(pair("included_applications", atoms(&app.includes)));
    }
    if random.chance(30) {
        keys.push(pair("env", Term::list([pair("k", readable(random))])));
    }
    if random.chance(30) {
        let args = Term::List(vec![]);
        keys.push(pair("mod", Term::tuple([atom(&app.name), args])));
    }
    let mut name = app.name.as_str();
    let mut text = String::new();
    if odd {
        let at = random.below(keys.len());
        match random.below(8) {
            0 => {
                keys.remove(at);
            }
            1 => {
                let key = keys[at].as_tuple().expect("a pair")[0].clone();
                keys[at] = Term::tuple([key, readable(random)]);
            }
            2 => keys[3] = pair("registered", atoms(&["shared_name"])),
            3 => keys[2] = pair("modules", atoms(&["shared_module"])),
            4 => keys[4] = pair("applications", atoms(&["kernel", "nowhere"])),
            5 => name = "another",
            6 => keys.push(pair("optional_applications", atoms(&["nowhere"]))),
            _ => text = "{application, broken, [}.\n".to_owned(),
        }
    }
    random.shuffle(&mut keys);
    if text.is_empty() {
        let term = Term::tuple([atom("application"), atom(name), Term::List(keys)]);
        text = dotted(&term);
    }
    write(&folder, &format!("{}.app", app.name), &text);
    for module in &app.modules {
        let bytes = beam(module, &app.vsn);
        fs::write(folder.join(format!("{module}.beam")), bytes).expect("a file");
    }
}

/// The beam of a module in a version; all of them are compiled once.
fn beam(module: &str, vsn: &str) -> &'static [u8] {
    type Beams = BTreeMap<(String, String), Vec<u8>>;
    static BEAMS: OnceLock<Beams> = OnceLock::new();
    let compile = || {
        let root = tempfile::tempdir().expect("a folder");
        let mut beams = Beams::new();
        for vsn in ["1.1", "1.2", "2.0"] {
            let folder = root.path().join(vsn);
            fs::create_dir(&folder).expect("a folder");
            let names = (0..5).flat_map(|app| (0..4).map(move |m| format!("app{app}_m{m}")));
            let names: Vec<String> = names.collect();
            let source = |name: &String| {
                let file = folder.join(format!("{name}.erl"));
                let text = format!("-module({name}).\n-export([v/0]).\nv() -> \"{vsn}\".\n");
                fs::write(&file, text).expect("a file");
                file
            };
            let files: Vec<PathBuf> = names.iter().map(source).collect();
            compile(&folder, &[], &files);
            for name in names {
                let bytes = fs::read(folder.join(format!("{name}.beam"))).expect("a beam");
                beams.insert((name, vsn.to_owned()), bytes);
            }
        }
        beams
    };
    let beams = BEAMS.get_or_init(compile);
    &beams[&(module.to_owned(), vsn.to_owned())]
}

/// The same folder with its files made in another order.
fn shuffled(random: &mut Random, root: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() { &mut open } else { &mut files }.push(path);
        }
    }
    random.shuffle(&mut files);
    for file in files {
        let below = file.strip_prefix(root).expect("it is in there");
        let to = copy.path().join(below);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&file, to).expect("a file");
    }
    copy
}

fn instruction(random: &mut Random, app: &App, other: &App) -> Option<Term> {
    let module = app.modules.get(random.below(app.modules.len().max(1)))?;
    let m = atom(module);
    let deps = (0..random.below(4)).map(|_| atom(random.pick::<String>(&app.modules)));
    let deps = Term::list(deps.collect::<Vec<_>>());
    Some(match random.below(9) {
        0 => Term::tuple([atom("load_module"), m]),
        1 => Term::tuple([atom("load_module"), m, deps]),
        2 => Term::tuple([atom("update"), m, atom("supervisor")]),
        3 => Term::tuple([atom("update"), m, pair("advanced", readable(random)), deps]),
        4 => Term::tuple([atom("add_module"), m, deps]),
        5 => {
            let gone = other.modules.get(random.below(other.modules.len().max(1)));
            Term::tuple([atom("delete_module"), atom(gone?)])
        }
        6 => {
            let call = Term::tuple([atom("m"), atom("f"), Term::List(vec![])]);
            Term::tuple([atom("apply"), call])
        }
        7 if random.chance(5) => Term::tuple([atom("restart_application"), atom(&app.name)]),
        7 if random.chance(30) => atom("restart_new_emulator"),
        _ => Term::tuple([atom("update"), m, atom("soft"), deps]),
    })
}

/// A script for going from `from` to `to`: one instruction for a module.
fn script(random: &mut Random, to: &App, from: &App) -> Term {
    let mut seen: Vec<Term> = Vec::new();
    let mut out: Vec<Term> = Vec::new();
    for _ in 0..random.below(9) {
        let Some(found) = instruction(random, to, from) else {
            continue;
        };
        let about = found.as_tuple().and_then(|t| t.get(1)).cloned();
        if let Some(about) = about {
            if seen.contains(&about) && !random.chance(3) {
                continue;
            }
            seen.push(about);
        }
        out.push(found);
    }
    // Dependencies need an instruction each; nearly always.
    let have: Vec<Term> = out
        .iter()
        .filter_map(|i| i.as_tuple()?.get(1).cloned())
        .collect();
    if !random.chance(5) {
        for one in &mut out {
            if let Term::Tuple(elements) = one
                && let Some(Term::List(deps)) = elements.last_mut()
            {
                deps.retain(|dep| have.contains(dep));
            }
        }
    }
    Term::List(out)
}

fn key(random: &mut Random, vsn: &str) -> Term {
    match random.below(12) {
        0 => Term::binary("[0-9]+\\.[0-9]+"),
        1 => Term::binary(vsn.replace('.', "\\.")),
        2 if random.chance(40) => Term::binary(format!(
            "{}|{vsn}",
            vsn.split('.').next().unwrap_or_default()
        )),
        3 => Term::binary(".*"),
        4 if random.chance(20) => Term::binary("("),
        5 if random.chance(20) => Term::string("9.9"),
        _ => Term::string(vsn),
    }
}

fn write_appup(random: &mut Random, root: &Path, new: &App, olds: &[&App], odd: bool) {
    let folder = root
        .join("lib")
        .join(format!("{}-{}", new.name, new.vsn))
        .join("ebin");
    let mut ups = Vec::new();
    let mut downs = Vec::new();
    for old in olds {
        let up = script(random, new, old);
        let down = script(random, old, new);
        ups.push(Term::tuple([key(random, &old.vsn), up]));
        downs.push(Term::tuple([key(random, &old.vsn), down]));
    }
    if random.chance(20) {
        ups.insert(0, Term::tuple([Term::string("0.0.1"), Term::List(vec![])]));
    }
    let vsn = if random.chance(10) {
        "7.7"
    } else {
        new.vsn.as_str()
    };
    let mut term = Term::tuple([Term::string(vsn), Term::List(ups), Term::List(downs)]);
    let mut text = None;
    if odd {
        match random.below(4) {
            0 => term = Term::tuple([Term::string(vsn), Term::List(vec![])]),
            1 => text = Some("{\"1\", [], []".to_owned()),
            2 => text = Some("{\"1\", [], X}.".to_owned()),
            _ => return,
        }
    }
    let text = text.unwrap_or_else(|| dotted(&term));
    write(&folder, &format!("{}.appup", new.name), &text);
}

/// A folder with an old and a new release, or two old ones; the names of the old ones.
fn folder(random: &mut Random, root: &Path, mandatory: &[(String, String)]) -> Vec<String> {
    let odd_case = random.chance(35);
    let size = 1 + random.below(5);
    let olds = 1 + random.below(2);
    let names: Vec<String> = (0..size).map(|i| format!("app{i}")).collect();
    // versions[0] is the new release.
    let mut releases: Vec<Vec<App>> = (0..=olds).map(|_| Vec::new()).collect();
    for (i, name) in names.iter().enumerate() {
        let mut versions: Vec<App> = Vec::new();
        for release in 0..=olds {
            let changed = random.chance(60);
            let vsn = match release {
                0 => "2.0".to_owned(),
                _ if changed => format!("1.{release}"),
                _ => "2.0".to_owned(),
            };
            if let Some(same) = versions.iter().find(|v| v.vsn == vsn) {
                let same = App {
                    name: same.name.clone(),
                    vsn,
                    modules: same.modules.clone(),
                    uses: same.uses.clone(),
                    includes: same.includes.clone(),
                };
                versions.push(same);
                continue;
            }
            let modules = (0..4)
                .filter(|_| random.chance(75))
                .map(|m| format!("{name}_m{m}"));
            let modules = modules.collect();
            let mut uses = vec!["kernel".to_owned(), "stdlib".to_owned()];
            for other in &names[..i] {
                if random.chance(30) {
                    let at = random.below(uses.len() + 1);
                    uses.insert(at, other.clone());
                }
            }
            if odd_case && random.chance(10) {
                uses.push(random.pick(&names).clone());
            }
            let includes = if i > 0 && random.chance(8) {
                vec![names[random.below(i)].clone()]
            } else {
                vec![]
            };
            uses.retain(|used| !includes.contains(used));
            versions.push(App {
                name: name.clone(),
                vsn,
                modules,
                uses,
                includes,
            });
        }
        let optional = random.chance(8);
        for (release, version) in versions.into_iter().enumerate() {
            if !optional || random.chance(50) {
                releases[release].push(version);
            }
        }
    }
    let mut rels = Vec::new();
    for (number, apps) in releases.iter().enumerate() {
        for app in apps {
            let odd = odd_case && random.chance(6);
            write_app(random, root, app, odd);
        }
        let mut members: Vec<Term> = Vec::new();
        for (name, vsn) in mandatory {
            if odd_case && random.chance(2) {
                continue;
            }
            members.push(Term::tuple([atom(name), Term::string(vsn)]));
        }
        for app in apps {
            let (name, vsn) = (atom(&app.name), Term::string(&app.vsn));
            let starts = ["permanent", "transient", "temporary", "load", "none"];
            let start = atom(random.pick::<&str>(&starts));
            members.push(match random.below(6) {
                0 => Term::tuple([name, vsn, start]),
                1 if odd_case => Term::tuple([name, vsn, Term::List(vec![])]),
                2 if odd_case && random.chance(10) => Term::tuple([name, atom("v"), vsn]),
                3 if odd_case && random.chance(10) => Term::tuple([name, Term::string("6.6")]),
                4 if odd_case && random.chance(10) => {
                    Term::tuple([name, vsn, atom("load"), atoms(&["app0"])])
                }
                _ => Term::tuple([name, vsn]),
            });
        }
        if random.chance(50) {
            random.shuffle(&mut members);
        }
        let vsn = if number == 0 {
            "new".to_owned()
        } else {
            format!("old{number}")
        };
        let erts = if random.chance(10) { "99" } else { "13" };
        let mut term = Term::tuple([
            atom("release"),
            Term::tuple([Term::string("shop"), Term::string(&vsn)]),
            Term::tuple([atom("erts"), Term::string(erts)]),
            Term::List(members),
        ]);
        if odd_case && random.chance(3) {
            term = Term::tuple([atom("release"), atom("nonsense")]);
        }
        write(root, &format!("{vsn}.rel"), &dotted(&term));
        rels.push(vsn);
    }
    for app in &releases[0] {
        let mut others: Vec<&App> = Vec::new();
        for old in releases[1..].iter().flatten() {
            let same = old.name == app.name && old.vsn != app.vsn;
            if same && !others.iter().any(|other| other.vsn == old.vsn) {
                others.push(old);
            }
        }
        if !others.is_empty() {
            let odd = odd_case && random.chance(12);
            write_appup(random, root, app, &others, odd);
        }
    }
    rels.remove(0);
    rels
}

fn everything(root: &Path) -> String {
    let mut out = String::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none_or(|e| e != "beam") {
                let text = fs::read_to_string(&path).expect("a text");
                let _ = writeln!(out, "--- {}\n{text}", path.display());
            }
        }
    }
    out
}

/// kernel, stdlib and sasl of the node that is asked, and where they are.
fn otp(oracle: &mut Oracle) -> (Vec<(String, String)>, Vec<String>) {
    let path = oracle.ask(&atom("path"));
    let folders: Vec<String> = path
        .as_list()
        .expect("a path")
        .iter()
        .filter_map(Term::to_text)
        .filter(|folder| folder != ".")
        .collect();
    let versions = ["kernel", "stdlib", "sasl"].map(|app| {
        let start = format!("/{app}-");
        let folder = folders
            .iter()
            .find(|f| f.contains(&start))
            .expect("it is there");
        let (_, behind) = folder.rsplit_once(&start).expect("it is in there");
        let vsn = behind.split('/').next().expect("a version");
        (app.to_owned(), vsn.to_owned())
    });
    (versions.to_vec(), folders)
}

#[derive(Debug, Default)]
struct TransferStats {
    ok: usize,
    free: usize,
    warned: usize,
    crashed: usize,
    shuffled: usize,
    refused: BTreeMap<String, usize>,
}

#[test]
fn random_releases_give_the_relup_of_systools() {
    let seed = setting("UPDO_SEED", 1);
    let count = setting("UPDO_COUNT", 1500) / 8;
    let mut random = Random::new(seed ^ 0xabcd);
    let mut oracle = Oracle::start();
    let (mandatory, folders) = otp(&mut oracle);
    let mut tally = TransferStats::default();
    for round in 0..count {
        let root = tempfile::tempdir().expect("a folder");
        let olds = folder(&mut random, root.path(), &mandatory);
        let restart = random.chance(10);
        one(
            &mut tally,
            &mut oracle,
            root.path(),
            &olds,
            restart,
            &folders,
            &|| format!("seed {seed} round {round}\n{}", everything(root.path())),
        );
        if round % 4 == 0 {
            let made = |root: &Path| {
                let file = |name: &str| root.join(name).display().to_string();
                let bases: Vec<String> = olds.iter().map(|old| file(old)).collect();
                let pattern = file("lib/*/ebin");
                let path: Vec<&str> = std::iter::once(pattern.as_str())
                    .chain(folders.iter().map(String::as_str))
                    .collect();
                let request = Request {
                    new: &file("new"),
                    up: &bases,
                    down: &bases,
                    restart_emulator: restart,
                };
                let relup = make(&request, &SearchPath::new(&path).expect("a path"));
                let text = relup.map(|relup| relup.to_term().to_string());
                text.map_err(|refusal| refusal.error.to_string().replace(&file(""), ""))
            };
            let other = shuffled(&mut random, root.path());
            assert_eq!(
                made(root.path()),
                made(other.path()),
                "seed {seed} round {round}"
            );
            tally.shuffled += 1;
        }
    }
    let refused: usize = tally.refused.values().sum();
    println!(
        "systools:make_relup: {count} releases: {} ok ({} with a free order, {} with warnings), \
         {refused} refused, {} crashes of OTP; 0 disagreements (seed {seed})\n  \
         {} with their files in another order: the same bytes\n  refused as {:?}",
        tally.ok, tally.free, tally.warned, tally.crashed, tally.shuffled, tally.refused
    );
    assert!(
        tally.ok * 4 >= count as usize,
        "too few are valid: {tally:?}"
    );
    assert!(
        refused * 10 >= count as usize,
        "too few are broken: {tally:?}"
    );
}

fn one(
    tally: &mut TransferStats,
    oracle: &mut Oracle,
    root: &Path,
    olds: &[String],
    restart: bool,
    folders: &[String],
    context: &dyn Fn() -> String,
) {
    let root = root.to_str().expect("UTF-8");
    let file = |name: &str| format!("{root}/{name}");
    let bases: Vec<String> = olds.iter().map(|old| file(old)).collect();
    // OTP takes what a pattern matches in the order of the file system, so it gets the folders.
    let pattern = format!("{root}/lib/*/ebin");
    let own = SearchPath::new(std::slice::from_ref(&pattern)).expect("a path");
    let own: Vec<String> = own.folders().map(|f| f.display().to_string()).collect();
    let strings = |texts: &[String]| Term::list(texts.iter().map(|text| Term::string(text)));
    let mut options = vec![pair("path", strings(&own))];
    if restart {
        options.push(atom("restart_emulator"));
    }
    let theirs = oracle.ask(&Term::tuple([
        atom("relup"),
        Term::string(&file("new")),
        strings(&bases),
        strings(&bases),
        Term::List(options),
    ]));
    let path: Vec<&str> = std::iter::once(pattern.as_str())
        .chain(folders.iter().map(String::as_str))
        .collect();
    let path = SearchPath::new(&path).expect("a path");
    let request = Request {
        new: &file("new"),
        up: &bases,
        down: &bases,
        restart_emulator: restart,
    };
    let ours = make(&request, &path);
    match theirs.as_tuple() {
        Some([ok, relup, warnings]) if ok.is_atom("ok") => {
            tally.ok += 1;
            let ours = ours.unwrap_or_else(|e| panic!("OTP makes it: {}\n{}", e.error, context()));
            let opposite = make_with(&request, &path, &|_, _| Tie::Opposite).expect("as well");
            tally.free += usize::from(opposite != ours);
            let given = with_order_of(relup, &request, &path, olds.len());
            assert_eq!(given.to_term(), *relup, "with OTP's order\n{}", context());
            if opposite == ours {
                assert_eq!(ours.to_term(), *relup, "the only order\n{}", context());
            }
            let printed: Vec<String> = ours
                .warnings
                .iter()
                .map(|warning| format!("*WARNING* {warning}\n"))
                .collect();
            tally.warned += usize::from(!printed.is_empty());
            let expected: Vec<String> = warnings
                .as_list()
                .expect("warnings")
                .iter()
                .filter_map(Term::to_text)
                .collect();
            assert_eq!(printed, expected, "{}", context());
        }
        // Some values of a key make OTP's check of it raise; its stack trace is nothing to imitate.
        Some([error, _, _, text])
            if error.is_atom("error") && text.to_text().is_some_and(|t| t.contains("{'EXIT',")) =>
        {
            tally.crashed += 1;
            assert!(ours.is_err(), "OTP refuses: {theirs}\n{}", context());
        }
        Some([error, _, reason, text]) if error.is_atom("error") => {
            let ours = ours.expect_err(&format!("OTP refuses: {theirs}\n{}", context()));
            let word = word(reason);
            if let Some(bytes) = text.as_bytes() {
                let text = String::from_utf8(bytes.to_vec()).expect("text");
                same_text(&ours.error.to_string(), &text, &context());
            }
            *tally.refused.entry(word).or_default() += 1;
        }
        _ => {
            tally.crashed += 1;
            assert!(ours.is_err(), "OTP crashes: {theirs}\n{}", context());
        }
    }
}

/// Our relup with OTP's own order where it is free.
fn with_order_of(relup: &Term, request: &Request<'_>, path: &SearchPath, count: usize) -> Relup {
    let [_, up, down] = relup.as_tuple().expect("a relup") else {
        panic!("{relup} is no relup");
    };
    let sides: Vec<Vec<BTreeMap<Module, usize>>> = [(Mode::Up, up), (Mode::Down, down)]
        .into_iter()
        .map(|(mode, scripts)| {
            let scripts = scripts.as_list().expect("scripts").iter().rev();
            scripts
                .map(|script| places(mode, &script.as_tuple().expect("a script")[2]))
                .collect()
        })
        .collect();
    assert_eq!(sides[0].len(), count);
    make_with(request, path, &|mode, number| {
        Tie::Given(&sides[usize::from(mode == Mode::Down)][number])
    })
    .expect("as before")
}

/// The kind of an error, for the tally.
fn word(reason: &Term) -> String {
    match reason {
        Term::Atom(word) => word.to_string(),
        Term::Tuple(elements) => elements.first().map(word).unwrap_or_default(),
        Term::List(elements) => elements.first().map(word).unwrap_or_default(),
        _ => "other".to_owned(),
    }
}

/// The same text but for blanks, and for what a parser says in its own words.
fn same_text(ours: &str, theirs: &str, context: &str) {
    let bare = |text: &str| {
        let text = text.split("Error:").next().unwrap_or_default();
        text.split_whitespace().collect::<String>()
    };
    let (ours, theirs) = (bare(ours), bare(theirs));
    assert_eq!(ours, theirs, "{context}");
}
