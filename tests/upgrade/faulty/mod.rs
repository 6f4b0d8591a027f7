//! Conversions that are right and conversions that are wrong, made up by a seed, on real nodes: a run ends before its
//! window where a conversion is wrong, and not where it is right.
//!
//! `UPDO_SEED` is the first seed, `UPDO_FAULTY` how many wrong ones, twice as many right ones: `make sweep`.
//! `UPDO_CASE=f12` is one of them, with everything that it prints.

mod case;
mod elixir;
mod erlang;
mod forms;
mod others;
mod right;
mod wrong;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use crate::support::apps::witness;
use crate::support::compiler::compile;
use crate::support::desk::{Desk, Ran};
use crate::support::{Options, TestNode};
use crate::sweep::number;

use case::{Case, FAULTS};

/// How many are compiled together.
const BATCH: usize = 40;

/// What became of one.
#[derive(Debug, PartialEq)]
enum End {
    /// A wrong one that was refused before its window.
    Refused,
    /// A wrong one that was run, with a warning before its window.
    Warned,
    /// A wrong one that was run without a word.
    Missed(String),
    /// A wrong one that does the right thing: the generator is wrong.
    Harmless(String),
    /// A right one that was run without a word.
    Silent,
    /// A right one of which something was said, or that was not run.
    Alarmed(String),
}

/// What is said of states and conversions.
const SAID: [&str; 4] = ["E634", "E635", "W635", "W637"];

/// Sources of Elixir of one version, compiled together.
fn elixir_beams(folder: &Path, sources: &[&(String, String)]) -> PathBuf {
    let text: Vec<&str> = sources.iter().map(|(_, text)| text.as_str()).collect();
    crate::inferred_children::elixir(folder, &text.concat())
}

/// Compiles all of them: a folder for each version of each.
fn build(folder: &Path, cases: &[Case]) {
    for case in cases.iter().filter(|case| !case.elixir) {
        for (version, sources) in [("one", &case.one), ("two", &case.two)] {
            let place = folder.join(&case.name).join(version);
            std::fs::create_dir_all(&place).expect("a folder");
            let files: Vec<PathBuf> = sources
                .iter()
                .map(|(name, text)| {
                    let file = place.join(format!("{name}.erl"));
                    std::fs::write(&file, text).expect("a source");
                    file
                })
                .collect();
            compile(&place, &["debug_info"], &files);
        }
    }
    for (version, at) in [("one", 0), ("two", 1)] {
        let chosen: Vec<&Case> = cases.iter().filter(|case| case.elixir).collect();
        if chosen.is_empty() {
            continue;
        }
        let sources: Vec<&(String, String)> = chosen
            .iter()
            .flat_map(|case| if at == 0 { &case.one } else { &case.two })
            .collect();
        let all = elixir_beams(&folder.join(format!("elixir-{version}")), &sources);
        for case in chosen {
            let place = folder.join(&case.name).join(version);
            std::fs::create_dir_all(&place).expect("a folder");
            let begins = format!("Elixir.{}.", case.name.to_uppercase());
            for file in std::fs::read_dir(&all).expect("it is there").flatten() {
                let name = file.file_name();
                if name.to_string_lossy().starts_with(&begins) {
                    std::fs::rename(file.path(), place.join(name)).expect("it can be moved");
                }
            }
        }
    }
}

fn start_node() -> TestNode {
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let quiet = options.args(&["-kernel", "logger_level", "none"]);
    quiet.path(witness()).start()
}

struct Stage<'s> {
    node: &'s TestNode,
    desk: &'s Desk,
    folder: &'s Path,
    case: &'s Case,
}

impl Stage<'_> {
    fn beams(&self, version: &str) -> PathBuf {
        self.folder.join(&self.case.name).join(version)
    }

    /// Code and states, as they are.
    fn looks(&self) -> String {
        let code = format!(
            "lists:sort([{{M, erlang:get_module_info(M, md5)}} || {{M, F}} <- code:all_loaded(), is_list(F), lists:prefix({:?}, F)])",
            self.folder.join(&self.case.name)
        );
        self.node.eval_text(&format!(
            "{{{code}, [erlang:phash2(sys:get_state(P)) || P <- persistent_term:get(faulty)], witness:standing()}}"
        ))
    }

    /// Whether all answer so.
    fn answers(&self, wanted: &str) -> bool {
        let ask = &self.case.ask;
        let text = format!(
            "[try {ask} catch C:R -> {{C, R}} end || P <- persistent_term:get(faulty)] =:= {wanted}"
        );
        self.node.eval_text(&text) == "true"
    }

    fn run(&self, more: &[&str]) -> Ran {
        let plan = format!("{}.updo", self.case.name);
        let args = [&["run", &plan, "--yes"][..], more].concat();
        self.desk.on(self.node, &args).run()
    }

    fn tried(&self) -> End {
        let (case, node) = (self.case, self.node);
        let (one, two) = (self.beams("one"), self.beams("two"));
        node.eval(&format!(
            "[{{module, _}} = code:load_abs(filename:rootname(F)) || F <- filelib:wildcard({:?})]",
            one.join("*.beam")
        ));
        node.eval(&format!(
            "persistent_term:put(faulty, begin {} end)",
            case.start
        ));
        assert!(self.answers(&case.before), "before: {}", case.about);
        let plan = format!(
            "plan \"Case\".\ncode push [{two:?}].\nold from {one:?}.\n{}",
            case.plan
        );
        self.desk.write(&format!("{}.updo", case.name), &plan);
        let before = self.looks();
        let ran = self.run(&[]);
        let shown = std::env::var_os("UPDO_CASE").is_some();
        if shown {
            println!("{ran}");
        }
        let said: Vec<&str> = SAID
            .into_iter()
            .filter(|code| ran.stderr.contains(code))
            .collect();
        let is_after = ran.code == Some(0) && self.answers(&case.after);
        if case.fault.is_none() {
            return match is_after && said.is_empty() {
                true => End::Silent,
                false => End::Alarmed(format!(
                    "said {said:?}, answers {is_after}: {ran}\n{}",
                    node.eval_text(&format!(
                        "[try {} catch C:R -> {{C, R}} end || P <- persistent_term:get(faulty)]",
                        case.ask
                    ))
                )),
            };
        }
        if is_after {
            return End::Harmless(ran.to_string());
        }
        // Nothing of the node has met the new version, and no process was suspended.
        let window = ran.stderr.find("@localhost suspend ");
        let refused = ran.code.is_some_and(|code| (1..20).contains(&code)) && window.is_none();
        if refused {
            assert_eq!(self.looks(), before, "{}: {ran}", case.about);
            assert!(self.answers(&case.before), "{}: {ran}", case.about);
            if !case.heavy && number("UPDO_FAULTY").is_some() {
                let ran = self.run(&["--no-rehearsal"]);
                let right = ran.code == Some(0) && self.answers(&case.after);
                if right {
                    return End::Harmless(ran.to_string());
                }
            }
            return End::Refused;
        }
        let first = said.iter().filter_map(|code| ran.stderr.find(code)).min();
        match (first, window) {
            (Some(first), Some(window)) if first < window => End::Warned,
            _ => End::Missed(ran.to_string()),
        }
    }

    /// The node is as it was before.
    fn cleared(&self) {
        self.node.eval(&format!(
            "[exit(P, kill) || P <- persistent_term:get(faulty)], \
             [exit(P, kill) || N <- registered(), lists:prefix(\"{}_\", atom_to_list(N)), P <- [whereis(N)], is_pid(P)], \
             [begin code:purge(M), code:delete(M), code:purge(M) end || {{M, F}} <- code:all_loaded(), is_list(F), lists:prefix({:?}, F)]",
            self.case.name,
            self.folder.join(&self.case.name),
        ));
    }
}

/// Tries cases, and counts.
fn try_all(cases: &[Case]) -> Vec<(usize, End)> {
    let mut ends = Vec::new();
    let node = start_node();
    for (number, batch) in cases.chunks(BATCH).enumerate() {
        let folder = TempDir::new().expect("a folder");
        let desk = Desk::rehearsing();
        build(folder.path(), batch);
        for (at, case) in batch.iter().enumerate() {
            let stage = Stage {
                node: &node,
                desk: &desk,
                folder: folder.path(),
                case,
            };
            let began = Instant::now();
            let end = stage.tried();
            let word = match &end {
                End::Missed(ran) => format!("MISSED {ran}"),
                End::Harmless(ran) => format!("HARMLESS {ran}"),
                End::Alarmed(why) => format!("ALARM {why}"),
                other => format!("{other:?}"),
            };
            println!(
                "{:>5} ms  {}: {word}",
                began.elapsed().as_millis(),
                case.about
            );
            stage.cleared();
            ends.push((number * BATCH + at, end));
        }
    }
    ends
}

/// The figures of some.
fn figures(cases: &[Case], ends: &[(usize, End)]) -> (usize, usize) {
    let harmless = ends
        .iter()
        .filter(|(_, end)| matches!(end, End::Harmless(_)));
    assert_eq!(harmless.count(), 0, "faults that are none: see above");
    let (mut wrong, mut found, mut warned, mut alarms) = (0, 0, 0, 0);
    let mut missed: BTreeMap<&str, u32> = BTreeMap::new();
    for (at, end) in ends {
        match (cases[*at].fault, end) {
            (Some(_), End::Refused) => found += 1,
            (Some(_), End::Warned) => {
                found += 1;
                warned += 1;
            }
            (Some(fault), _) => *missed.entry(fault).or_default() += 1,
            (None, End::Silent) => {}
            (None, _) => alarms += 1,
        }
        wrong += usize::from(cases[*at].fault.is_some());
    }
    let kinds: Vec<String> = missed
        .iter()
        .map(|(kind, n)| format!("{n} x {kind}"))
        .collect();
    println!(
        "{wrong} faulty: {found} found before the window ({warned} of them by a warning), missed: [{}]; {} right: {alarms} false alarms",
        kinds.join(", "),
        ends.len() - wrong
    );
    (wrong - found, alarms)
}

/// Some of them in `make test`.
const SOME: usize = 6;

#[test]
fn conversions_made_up_by_a_seed() {
    let first = number("UPDO_SEED").unwrap_or(1);
    let count = number("UPDO_FAULTY");
    if let Ok(one) = std::env::var("UPDO_CASE") {
        let seed = one[1..].parse().expect("f12 or r12");
        let case = Case::new(seed, one.starts_with('f'));
        for (name, text) in case.one.iter().chain(&case.two) {
            println!("%%%% {name}\n{text}");
        }
        let cases = [case];
        let ends = try_all(&cases);
        assert_eq!(figures(&cases, &ends), (0, 0));
        return;
    }
    let faulty = count.unwrap_or(SOME as u64);
    let right = count.map_or(SOME as u64, |count| 2 * count);
    let wrong = (first..first + faulty).map(|seed| Case::new(seed, true));
    let right = (first..first + right).map(|seed| Case::new(seed, false));
    let cases: Vec<Case> = wrong.chain(right).collect();
    if count.is_some() {
        println!("{} kinds of faults", FAULTS.len());
    }
    let ends = try_all(&cases);
    let (missed, alarms) = figures(&cases, &ends);
    let wrong = cases.iter().filter(|case| case.fault.is_some()).count();
    assert!(
        missed * 20 <= wrong,
        "{missed} of {wrong} missed: see above"
    );
    assert_eq!(alarms, 0, "false alarms: see above");
}

/// Each was missed once, or reported without a reason.
#[test]
fn conversions_that_were_judged_wrongly_once() {
    let cases: Vec<Case> = ONCE
        .iter()
        .map(|(seed, faulty)| Case::new(*seed, *faulty))
        .collect();
    let ends = try_all(&cases);
    assert_eq!(figures(&cases, &ends), (0, 0));
}

/// By seed, and whether it has a fault: no clause for the state's name, a plan's function, `raise` in Elixir, a state
/// machine that returns what a server returns; a plan's function that is right, two sizes of a record, a guard for the
/// version, what is thrown.
const ONCE: [(u64, bool); 9] = [
    (2, false),
    (25, true),
    (27, true),
    (13, true),
    (24, true),
    (19, false),
    (25, false),
    (43, false),
    (58, false),
];
