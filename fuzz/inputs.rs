//! What each fuzz target does with its input: read it as updo would, and hold the laws of what could be read. A panic is a
//! finding, and so is an input that takes long or much memory.
//!
//! Used twice: by libFuzzer (`fuzz/targets`, `make fuzz`) and by `tests/fuzz`, which needs the stable compiler alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use updo::diag::render::{Style, render, to_json};
use updo::diag::{Code, SourceMap};
use updo::exec::attach::Begun;
use updo::exec::rollback::WayBack;
use updo::facts::beam::BeamFacts;
use updo::facts::beam::debug::records as record_definitions;
use updo::name::{Md5, Module, NodeName};
use updo::node::untrusted;
use updo::report::junit::Junit;
use updo::report::terminal::RunSummary;
use updo::report::{html, json, replay, terminal};
use updo::state::file_cache::{CachedBeam, Seen, Stat};
use updo::state::rehearsals;
use updo::state::runs::{RecordedRun, RunPart, RunRecords};
use updo::syntax::fmt::format_plan;
use updo::syntax::print::to_source;
use updo::syntax::{parse_expression, parse_input, parse_plan, parse_term};
use updo::term::etf;
use updo::twin::twin;

/// What tries an input.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("plan", plan),
    ("term", term),
    ("etf", external_terms),
    ("beam", beam),
    ("handshake", handshake),
    ("frames", frames),
    ("records", records),
];

/// Any text as a plan: parsing, the line of the REPL, resolving, rendering what is wrong, and the formatter's laws.
pub fn plan(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // What is included would depend on the machine.
    if text.contains("include") {
        return;
    }
    let loaded = updo::plan::load_text(Path::new("plan.updo"), text, &BTreeMap::new());
    for diagnostic in &loaded.diagnostics {
        assert_ne!(diagnostic.code, Code::E900, "{diagnostic:?}");
        for label in &diagnostic.labels {
            assert!(label.span.start <= label.span.end && label.span.end <= text.len());
        }
        render(diagnostic, &loaded.sources, Style::default());
        to_json(diagnostic, &loaded.sources);
    }
    let _ = parse_input(text, 0);
    let broken = parse_plan(text, 0).diagnostics.iter().any(|d| d.is_error());
    match format_plan(text, 0) {
        Ok(once) => assert_eq!(format_plan(&once, 0).as_deref(), Ok(&*once), "idempotent"),
        Err(refused) => assert!(broken, "{refused:?}"),
    }
}

/// Any text as a term or an expression: what can be read is printed, and what is printed is read back as the same.
pub fn term(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(term) = parse_term(text) {
        let printed = term.to_string();
        let again = parse_term(&printed).unwrap_or_else(|d| panic!("{printed}: {d:?}"));
        assert_eq!(format!("{again:?}"), format!("{term:?}"), "{printed}");
    }
    if let Ok(expr) = parse_expression(text, 0) {
        let printed = to_source(&expr);
        assert!(parse_expression(&printed, 0).is_ok(), "{printed}");
    }
}

/// Any bytes as external term format: refused or read; what is read is written and read back as the same term.
pub fn external_terms(bytes: &[u8]) {
    if let Ok(term) = etf::decode(bytes) {
        let _ = term.to_string();
        let again = etf::decode(&etf::encode(&term)).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{term:?}"));
        untrusted::answer(&term);
    }
}

/// Any bytes as a beam: its facts, its records, and its twin, which is a beam again.
pub fn beam(bytes: &[u8]) {
    let Ok(facts) = BeamFacts::read(bytes) else {
        return;
    };
    let wanted: BTreeSet<Module> = ["ok", "error", "lists"].map(Module::new).into();
    let _ = BeamFacts::read_whole(bytes, &wanted);
    let _ = record_definitions(bytes);
    for otp in [23, 29] {
        let set = BTreeSet::from([facts.module.clone()]);
        if let Ok(twin) = twin(bytes, &set, otp) {
            let again = BeamFacts::read(&twin.bytes).expect("a twin is a beam");
            assert_eq!(again.module, updo::twin::name(&twin.module));
        }
    }
}

/// Any bytes as what a peer answers in a handshake: connected only with the cookie proven, else a diagnostic.
pub fn handshake(bytes: &[u8]) {
    if let Err(diagnostic) = untrusted::handshake(bytes) {
        assert_ne!(diagnostic.code, Code::E900, "{diagnostic:?}");
        assert!(!format!("{diagnostic:?}").contains(untrusted::COOKIE));
        render(&diagnostic, &SourceMap::default(), Style::default());
    }
}

/// Any bytes as what a peer sends once it is connected: as they are, and as one frame whose length is right.
pub fn frames(bytes: &[u8]) {
    untrusted::frames(bytes);
    if let Some((_, frame)) = bytes.split_at_checked(4) {
        let length = u32::try_from(frame.len()).expect("short").to_be_bytes();
        untrusted::frames(&[&length, frame].concat());
    }
}

/// A state folder with one run, and where its files are.
struct State {
    _folder: tempfile::TempDir,
    records: RunRecords,
    state: PathBuf,
    run: PathBuf,
    figures: PathBuf,
    seen: PathBuf,
}

const RUN: &str = "7f2a";
const REHEARSED: rehearsals::Rehearsed = rehearsals::Rehearsed {
    creation: 7,
    upgrade: [1; 16],
};

fn node() -> NodeName {
    NodeName::new("shop@localhost")
}

/// The only file of a folder.
fn only(folder: &Path) -> PathBuf {
    let mut all = fs::read_dir(folder).expect("a folder");
    all.next().expect("a file").expect("an entry").path()
}

impl State {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let records = RunRecords::new(&state);
        let summary = RecordedRun {
            run: RUN.to_owned(),
            rollout: None,
            node: node(),
            creation: Some(7),
            title: "Taxes".to_owned(),
            plan: PathBuf::from("/plans/shop.updo"),
            owner: "anna@ops1".to_owned(),
            began: 7,
            state: "running".to_owned(),
            goal: "new".to_owned(),
            note: None,
            keep: 0,
            part: RunPart::default(),
        };
        let record = records.begin(&summary, "plan \"x\".\n", None, None);
        record.expect("written").finish("new");
        let figures = rehearsals::Figures {
            at: 1,
            schedulers: 1,
            suspended: 1,
            modules: BTreeMap::new(),
        };
        rehearsals::keep(&state, &node(), REHEARSED, figures).expect("written");
        let mut seen = Seen::open(&state, &node());
        seen.on(25);
        let stat = Stat {
            device: 1,
            inode: 2,
            size: 3,
            mtime: 4,
            ctime: 5,
        };
        let known = CachedBeam {
            module: Module::new("m"),
            md5: Md5::from([1; 16]),
            lines: Md5::from([2; 16]),
        };
        seen.put("/m.beam", stat, known, 1 << 40);
        seen.save().expect("written");
        Self {
            records,
            run: state.join("runs").join(RUN),
            figures: only(&state.join("rehearsals")),
            seen: only(&state.join("files")),
            state,
            _folder: folder,
        }
    }
}

/// The files about a node, of figures and of what was seen, as they are before anything is tried.
pub fn node_files() -> (Vec<u8>, Vec<u8>) {
    let state = State::new();
    let read = |path: &Path| fs::read(path).expect("readable");
    (read(&state.figures), read(&state.seen))
}

/// Any bytes as a file of the state folder. The first says which: `m`eta.json, `e`vents.jsonl, the terms of a run (`t`),
/// `f`igures of rehearsals, what was `s`een of files.
pub fn records(bytes: &[u8]) {
    static STATE: LazyLock<State> = LazyLock::new(State::new);
    let state = &*STATE;
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let put = |path: PathBuf| fs::write(path, bytes).expect("written");
    match kind {
        b'm' => {
            put(state.run.join("meta.json"));
            for run in state.records.all() {
                let _ = state.records.is_undoable(&run);
                let _ = format!("{run:?}");
            }
        }
        b'e' => {
            put(state.run.join("events.jsonl"));
            let text = state.records.event_lines(RUN);
            events(&text.unwrap_or_default());
        }
        b't' => {
            for name in ["script.etf", "back.etf", "states.etf"] {
                put(state.run.join(name));
            }
            let _ = state
                .records
                .script(RUN)
                .and_then(|term| Begun::read(&term));
            let way = state.records.rollback_term(RUN);
            if let Some(mut way) = way.and_then(|term| WayBack::read(&term)) {
                let _ = (way.beams().len(), way.folders(), way.supervisors());
                if let Some(kept) = state.records.old_states(RUN) {
                    way.unconverted(kept);
                }
            }
        }
        b'f' => {
            put(state.figures.clone());
            if let Some(figures) = rehearsals::load(&state.state, &node(), &REHEARSED) {
                let _ = (figures.converted(), figures.inspected(), figures.slowest());
                let _ = figures.lost().count();
            }
        }
        b's' => {
            put(state.seen.clone());
            let mut seen = Seen::open(&state.state, &node());
            seen.on(25);
        }
        _ => {}
    }
}

/// A stream of events as `updo replay`, `updo report` and `--report-junit` show it; what is read is written as it was.
fn events(text: &str) {
    let lines = replay::lines(text);
    let (style, sources) = (Style::default(), SourceMap::default());
    let (mut summary, mut junit) = (RunSummary::default(), Junit::default());
    for line in &lines {
        let Some(event) = replay::read(line) else {
            continue;
        };
        summary.event(&event);
        junit.event(&event, None);
        let _ = terminal::line(&event, &sources, style);
        let _ = terminal::last(&event, "Taxes", &summary, style);
        let written = json::event(&event, &sources);
        let again = replay::read(&written).unwrap_or_else(|| panic!("{written}"));
        assert_eq!(json::event(&again, &sources), written);
    }
    let _ = junit.document("Taxes", None);
    let _ = html::html(&lines);
}
