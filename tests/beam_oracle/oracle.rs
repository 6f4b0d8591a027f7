//! Runs the escript once for the whole test program and reads its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use updo::name::{Mfa, Module};
use updo::term::{Term, etf};

/// A function of the module itself.
pub type Local = (Arc<str>, u32);

/// What Erlang says about one beam.
pub struct Beam {
    pub path: PathBuf,
    pub module: String,
    pub md5: Vec<u8>,
    pub vsn: Term,
    pub imports: BTreeSet<Mfa>,
    pub exports: BTreeSet<Local>,
    pub attributes: BTreeMap<String, Vec<Term>>,
    pub compile_info: Term,
    pub call_sites: BTreeSet<(Local, Mfa)>,
    pub applies: BTreeMap<Local, usize>,
    pub on_load: bool,
    pub atoms: BTreeSet<String>,
    pub struct_fields: Option<BTreeSet<String>>,
}

/// What it says about all of them.
pub struct Answers {
    pub otp: u32,
    pub beams: Vec<Beam>,
    pub edges: BTreeSet<(String, String)>,
}

/// The answers, asked for once.
pub fn answers() -> &'static Answers {
    static ANSWERS: OnceLock<Answers> = OnceLock::new();
    ANSWERS.get_or_init(ask)
}

/// The folder of another OTP than the installed one, when the tests run against it (`scripts/otp.sh test`).
pub fn other_root() -> Option<PathBuf> {
    std::env::var_os("UPDO_OTP_ROOT").map(PathBuf::from)
}

/// The releases beside the installed one (`scripts/otp.sh build`).
pub fn roots() -> Vec<PathBuf> {
    let set = std::env::var_os("UPDO_OTP_DIR").map(PathBuf::from);
    let usual = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/updo/releases"));
    let releases = set.or_else(usual).map(std::fs::read_dir);
    let releases = releases.into_iter().flatten().flatten().flatten();
    releases
        .map(|release| release.path())
        .filter(|root| root.join("opt/updo/escript").exists())
        .collect()
}

/// The answers that a script writes: terms, each behind its size. The OTP is that of the folder, or the one on the path.
pub fn run(script: &str, root: Option<&Path>) -> Vec<Term> {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beam_oracle");
    let out = folder.path().join("answers");
    let escript = root.map_or("escript".into(), |root| root.join("opt/updo/escript"));
    let output = Command::new(escript)
        .arg(source.join(script))
        .arg(&out)
        .env("ERL_FLAGS", "+pc unicode")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("these tests need Erlang: escript is not on the path");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = std::fs::read(&out).expect("the script wrote its answers");
    let mut rest = bytes.as_slice();
    let mut answers = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let (term, after) = after.split_at(u32::from_be_bytes(*size) as usize);
        rest = after;
        answers.push(etf::decode(term).expect("a term"));
    }
    answers
}

fn ask() -> Answers {
    let mut answers = Answers {
        otp: 0,
        beams: Vec::new(),
        edges: BTreeSet::new(),
    };
    for term in run("oracle.erl", None) {
        match term.as_tuple().expect("a tuple") {
            [tag, otp, edges] if tag.is_atom("edges") => {
                answers.otp = number(otp);
                answers.edges = edges
                    .as_list()
                    .expect("edges")
                    .iter()
                    .map(|edge| match edge.as_tuple() {
                        Some([from, to]) => (text(from), text(to)),
                        _ => panic!("{edge:?}"),
                    })
                    .collect();
            }
            beam => answers.beams.push(read_beam(beam)),
        }
    }
    answers
}

fn read_beam(beam: &[Term]) -> Beam {
    let [
        _,
        path,
        module,
        md5,
        vsn,
        imports,
        exports,
        attributes,
        info,
        sites,
        applies,
        on_load,
        atoms,
        fields,
    ] = beam
    else {
        panic!("{beam:?}")
    };
    let vsn = vsn.as_list().expect("versions");
    Beam {
        path: PathBuf::from(path.to_text().expect("a path")),
        module: text(module),
        md5: md5.as_bytes().expect("bytes").to_vec(),
        vsn: if let [one] = vsn {
            one.clone()
        } else {
            Term::List(vsn.to_vec())
        },
        imports: list(imports).iter().map(mfa).collect(),
        exports: list(exports).iter().map(local).collect(),
        attributes: list(attributes)
            .iter()
            .map(|pair| {
                let [name, values] = pair.as_tuple().expect("a pair") else {
                    panic!("{pair:?}")
                };
                (text(name), list(values).to_vec())
            })
            // `-export_records([])`: an attribute without a value is no pair of name and value.
            .filter(|(_, values)| !values.is_empty())
            .collect(),
        compile_info: info.clone(),
        call_sites: list(sites)
            .iter()
            .map(|pair| {
                let [from, to] = pair.as_tuple().expect("a pair") else {
                    panic!("{pair:?}")
                };
                (local(from), mfa(to))
            })
            .collect(),
        applies: list(applies)
            .iter()
            .map(|pair| {
                let [from, count] = pair.as_tuple().expect("a pair") else {
                    panic!("{pair:?}")
                };
                (
                    local(from),
                    usize::try_from(count.as_i64().expect("a count")).expect("small"),
                )
            })
            .collect(),
        on_load: on_load.is_atom("true"),
        atoms: list(atoms).iter().map(text).collect(),
        struct_fields: fields
            .as_list()
            .map(|fields| fields.iter().map(text).collect()),
    }
}

fn list(term: &Term) -> &[Term] {
    term.as_list().expect("a list")
}

fn text(term: &Term) -> String {
    term.as_atom().expect("an atom").as_str().to_owned()
}

pub fn number(term: &Term) -> u32 {
    u32::try_from(term.as_i64().expect("a number")).expect("small")
}

fn local(term: &Term) -> Local {
    match term.as_tuple() {
        Some([name, arity]) => (Arc::from(text(name)), number(arity)),
        _ => panic!("{term:?}"),
    }
}

fn mfa(term: &Term) -> Mfa {
    match term.as_tuple() {
        Some([module, function, arity]) => Mfa {
            module: Module::new(text(module)),
            function: Arc::from(text(function)),
            arity: number(arity),
        },
        _ => panic!("{term:?}"),
    }
}
