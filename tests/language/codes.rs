//! Every diagnostic code has a page, and something that shows it: a plan in tests/fixtures/codes that says itself
//! what is wrong with it, or a test elsewhere.
//!
//! In a plan, `%%   ^^^ E101 text` expects that code at the marked columns of the line above and the text in title,
//! label, help or notes; `%%<^^^` marks from column 1; `%% E101 text` expects a diagnostic without a place. The first
//! line may be `% upgrade` (the plan meets the modules of [`shop`]) or `% --set Name=value …`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use updo::diag::{Code, Diagnostic, SourceMap};
use updo::facts::change::{RemovalCause, RemovedModule, SkipReason};
use updo::name::Module;

use super::synthetic::{Given, World, calls};

/// Codes that need a node, a file or a flag, and the test that brings each about.
const ELSEWHERE: &[(&str, &str)] = &[
    ("E213", "tests/language/codes.rs"),
    ("E214", "tests/upgrade/conversion.rs"),
    ("E215", "src/facts/app/app_file.rs"),
    ("W216", "tests/language/targets.rs"),
    ("E217", "tests/upgrade/seed.rs"),
    ("W314", "tests/facts/one_way.rs"),
    ("W315", "tests/language/codes.rs"),
    ("E317", "tests/upgrade/no_undo.rs"),
    ("E425", "tests/upgrade/live.rs"),
    ("W317", "tests/upgrade/no_undo.rs"),
    ("W319", "tests/language/codes.rs"),
    ("E338", "tests/upgrade/behaviour.rs"),
    ("W339", "tests/upgrade/behaviour.rs"),
    ("E340", "tests/upgrade/behaviour.rs"),
    ("W341", "tests/upgrade/behaviour.rs"),
    ("W320", "tests/language/codes.rs"),
    ("E401", "tests/language/codes.rs"),
    ("E402", "tests/language/codes.rs"),
    ("E403", "tests/upgrade/insert.rs"),
    ("W403", "tests/upgrade/insert.rs"),
    ("E404", "tests/language/codes.rs"),
    ("W406", "tests/facts/one_way.rs"),
    ("E501", "tests/session/connect.rs"),
    ("E502", "tests/session/connect.rs"),
    ("E503", "tests/session/tls.rs"),
    ("E504", "tests/session/connect.rs"),
    ("E505", "tests/upgrade/lock.rs"),
    ("E506", "tests/session/hostile.rs"),
    ("E507", "tests/cli/connect.rs"),
    ("E508", "tests/session/loss.rs"),
    ("E509", "tests/session/tls.rs"),
    ("E510", "tests/upgrade/unreadable.rs"),
    ("E511", "tests/reach/through_ssh.rs"),
    ("E512", "tests/reach/seeds.rs"),
    ("W344", "tests/upgrade/persist.rs"),
    ("W345", "tests/facts/one_way.rs"),
    ("W346", "tests/upgrade/removal.rs"),
    ("W347", "tests/upgrade/removal.rs"),
    ("E418", "tests/upgrade/release_handler.rs"),
    ("W419", "tests/upgrade/release_handler.rs"),
    ("E615", "tests/upgrade/release_handler.rs"),
    ("E601", "tests/upgrade/policy.rs"),
    ("E602", "tests/upgrade/rollback.rs"),
    ("E603", "tests/upgrade/suspend.rs"),
    ("E604", "tests/upgrade/conversion.rs"),
    ("E605", "tests/language/plans.rs"),
    ("E606", "tests/upgrade/policy.rs"),
    ("E607", "tests/upgrade/policy.rs"),
    ("E608", "tests/upgrade/conversion.rs"),
    ("E609", "tests/upgrade/policy.rs"),
    ("E610", "tests/upgrade/children.rs"),
    ("E624", "tests/upgrade/effects.rs"),
    ("W624", "tests/upgrade/effects.rs"),
    ("W625", "tests/upgrade/effects.rs"),
    ("W343", "tests/upgrade/inferred_children.rs"),
    ("W420", "tests/upgrade/inferred_children.rs"),
    ("W421", "tests/upgrade/inferred_children.rs"),
    ("W422", "tests/relup/command.rs"),
    ("W423", "tests/upgrade/inferred_children.rs"),
    ("W424", "tests/upgrade/listed_children.rs"),
    ("E629", "tests/upgrade/listed_children.rs"),
    ("W628", "tests/upgrade/listed_children.rs"),
    ("E614", "tests/upgrade/persist.rs"),
    ("E626", "tests/upgrade/old_code.rs"),
    ("W629", "tests/upgrade/old_code.rs"),
    ("W630", "tests/upgrade/old_code.rs"),
    ("W631", "tests/upgrade/old_code.rs"),
    ("W632", "tests/upgrade/old_code.rs"),
    ("W633", "tests/upgrade/old_code.rs"),
    ("E634", "tests/upgrade/rehearsal.rs"),
    ("E353", "tests/upgrade/init_argument.rs"),
    ("E638", "tests/upgrade/predicted.rs"),
    ("E639", "tests/upgrade/predicted.rs"),
    ("E640", "tests/upgrade/restarts.rs"),
    ("W641", "tests/upgrade/old_sources.rs"),
    ("W642", "tests/upgrade/restarts.rs"),
    ("E805", "tests/upgrade/old_sources.rs"),
    ("E806", "tests/upgrade/old_sources.rs"),
    ("E645", "tests/rollout/holds.rs"),
    ("E646", "tests/rollout/gates.rs"),
    ("E647", "tests/rollout/holds.rs"),
    ("E648", "tests/rollout/all_back.rs"),
    ("E657", "tests/rollout/together.rs"),
    ("E658", "tests/rollout/together.rs"),
    ("E659", "tests/rollout/together.rs"),
    ("E649", "tests/rollout/drift.rs"),
    ("E650", "tests/rollout/drift.rs"),
    ("W654", "tests/rollout/drift.rs"),
    ("W655", "tests/rollout/drift.rs"),
    ("W656", "tests/rollout/drift.rs"),
    ("W660", "tests/rollout/crossing.rs"),
    ("W661", "tests/facts/crossing.rs"),
    ("W662", "tests/rollout/crossing.rs"),
    ("E635", "tests/upgrade/states.rs"),
    ("W635", "tests/upgrade/states.rs"),
    ("E636", "tests/upgrade/rehearsal_checks.rs"),
    ("W636", "tests/upgrade/rehearsal_checks.rs"),
    ("W637", "tests/upgrade/waiting.rs"),
    ("W651", "tests/upgrade/rehearsal_back.rs"),
    ("W652", "tests/upgrade/rehearsal_children.rs"),
    ("W653", "tests/upgrade/live_mixed.rs"),
    ("W613", "tests/upgrade/births.rs"),
    ("E617", "tests/upgrade/births.rs"),
    ("W618", "tests/upgrade/births.rs"),
    ("E618", "tests/upgrade/survive.rs"),
    ("E619", "tests/upgrade/survive.rs"),
    ("W626", "tests/upgrade/survive.rs"),
    ("W627", "tests/upgrade/survive.rs"),
    ("W619", "tests/upgrade/windows.rs"),
    ("W615", "tests/upgrade/rollback.rs"),
    ("E612", "tests/upgrade/killed.rs"),
    ("W621", "tests/upgrade/going_back.rs"),
    ("W622", "tests/upgrade/going_back.rs"),
    ("E627", "tests/upgrade/going_back.rs"),
    ("E628", "tests/upgrade/going_back.rs"),
    ("E622", "tests/upgrade/dead.rs"),
    ("E623", "tests/upgrade/dead.rs"),
    ("W623", "tests/upgrade/dead.rs"),
    ("E620", "tests/rollout/failures.rs"),
    ("E621", "tests/rollout/pauses.rs"),
    ("W616", "tests/upgrade/conversion.rs"),
    ("W620", "tests/cli/bounded.rs"),
    ("E611", "tests/upgrade/interrupt.rs"),
    ("E701", "src/eval/tests/diagnostics.rs"),
    ("E703", "src/eval/tests/diagnostics.rs"),
    ("E704", "src/eval/tests/diagnostics.rs"),
    ("E705", "src/eval/tests/limits.rs"),
    ("E706", "src/eval/tests/checks.rs"),
    ("E707", "src/eval/tests/diagnostics.rs"),
    ("E348", "src/eval/tests/diagnostics.rs"),
    ("E801", "tests/cli/eval.rs"),
    ("E802", "tests/language/codes.rs"),
    ("E803", "tests/cli/bounded.rs"),
    ("E900", "tests/syntax/robust.rs"),
    ("A338", "tests/facts/changes.rs"),
    ("A339", "tests/facts/changes.rs"),
    ("A340", "tests/facts/changes.rs"),
    ("A341", "tests/facts/processes.rs"),
    ("E330", "tests/facts/changes.rs"),
    ("E411", "tests/relup/command.rs"),
    ("E412", "tests/relup/command.rs"),
    ("E413", "tests/relup/command.rs"),
    ("E414", "tests/relup/command.rs"),
    ("E415", "tests/relup/command.rs"),
    ("E602", "tests/upgrade/rollback.rs"),
    ("W316", "tests/facts/processes.rs"),
    ("W318", "tests/facts/changes.rs"),
    ("W321", "tests/offline/node.rs"),
    ("W322", "tests/upgrade/releases.rs"),
    ("W323", "tests/facts/embedded.rs"),
    ("W324", "tests/facts/embedded.rs"),
    ("W325", "tests/upgrade/releases.rs"),
    ("W326", "tests/upgrade/releases.rs"),
    ("E327", "tests/facts/toolchain.rs"),
    ("W328", "tests/facts/toolchain.rs"),
    ("W329", "src/node/cookie.rs"),
    ("W331", "tests/facts/paths.rs"),
    ("W332", "tests/facts/apps.rs"),
    ("W333", "tests/facts/paths.rs"),
    ("W334", "tests/facts/classes.rs"),
    ("W335", "tests/facts/processes.rs"),
    ("W336", "tests/facts/processes.rs"),
    ("W337", "tests/facts/elixir.rs"),
    ("W342", "tests/facts/classes.rs"),
    ("W416", "tests/relup/command.rs"),
    ("W417", "tests/relup/command.rs"),
];

/// Codes that are reserved: nothing in the sources reports them yet. One that is reported must leave this list.
const RESERVED: &[&str] = &[];

/// `shop_a` calls `shop_b` calls `shop_c`; `shop_x` and `shop_y` call each other; `shop_s` is a server;
/// `shop_user` needs a function that is new in `shop_new`.
fn shop() -> World {
    let server = Given {
        behaviours: vec!["gen_server"],
        exports: vec![("code_change", 3)],
        ..Given::default()
    };
    let (new, mut given) = calls("shop_new", &[]);
    given.had = Some(Vec::new());
    World(vec![
        calls("shop_a", &["shop_b"]),
        calls("shop_b", &["shop_c"]),
        calls("shop_c", &[]),
        calls("shop_d", &[]),
        calls("shop_x", &["shop_y"]),
        calls("shop_y", &["shop_x"]),
        ("shop_s", server),
        (new, given),
        calls("shop_user", &["shop_new"]),
    ])
}

/// Line, column and length (all 0 without a place), code, text.
type Expectation = (usize, usize, usize, String, String);

fn expectations(text: &str) -> Vec<Expectation> {
    let mut line = 0;
    let mut found = Vec::new();
    for (number, content) in text.lines().enumerate() {
        let Some(note) = content.strip_prefix("%%") else {
            line = number + 1;
            continue;
        };
        let length = note.matches('^').count();
        let column = match (length, note.starts_with('<')) {
            (0, _) => 0,
            (_, true) => 1,
            _ => content.find('^').unwrap_or(0) + 1,
        };
        let words = note.trim_start_matches([' ', '<', '^']);
        let (code, rest) = words.split_once(' ').unwrap_or((words, ""));
        let at = if length == 0 { 0 } else { line };
        found.push((at, column, length, code.to_owned(), rest.trim().to_owned()));
    }
    found
}

/// Everything said about a fixture.
fn printed(path: &Path, text: &str) -> (Vec<Diagnostic>, SourceMap) {
    let first = text.lines().next().unwrap_or_default();
    let sets: BTreeMap<String, String> = first
        .strip_prefix("% --set ")
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|set| set.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let loaded = updo::plan::load(path, &sets);
    let mut all = loaded.diagnostics;
    if first == "% upgrade" {
        let plan = loaded
            .plan
            .unwrap_or_else(|| panic!("{}: {all:#?}", path.display()));
        all.extend(shop().decide(&plan).diagnostics);
        // The shop has this cycle in every fixture; the one about it says so.
        let mentioned = text.contains("W307");
        all.retain(|d| d.code != Code::W307 || mentioned);
    }
    // Overrides need no reason where something else is shown.
    let mentioned = text.contains("A311");
    all.retain(|d| d.code != Code::A311 || mentioned);
    (all, loaded.sources)
}

fn check(path: &Path) -> BTreeSet<Code> {
    let text = std::fs::read_to_string(path).expect("a readable fixture");
    let (printed, sources) = printed(path, &text);
    let actual: Vec<Expectation> = printed
        .iter()
        .map(|d| {
            let label = d.labels.first();
            let place = label.and_then(|l| sources.place(l.span));
            let (line, column) = place.map_or((0, 0), |p| (p.line, p.column));
            let length = label
                .and_then(|l| sources.text(l.span))
                .map_or(0, |t| t.chars().count());
            let mut words = vec![d.title.clone()];
            words.extend(d.labels.iter().map(|l| l.text.clone()));
            words.extend(d.help.clone());
            words.extend(d.notes.iter().cloned());
            (line, column, length, d.code.to_string(), words.join(" / "))
        })
        .collect();
    let fits = |a: &Expectation, e: &Expectation| {
        (a.0, a.1, a.2, &a.3) == (e.0, e.1, e.2, &e.3) && a.4.contains(&e.4)
    };
    let expected = expectations(&text);
    let missing = expected
        .iter()
        .filter(|e| !actual.iter().any(|a| fits(a, e)));
    let surplus = actual
        .iter()
        .filter(|a| !expected.iter().any(|e| fits(a, e)));
    let wrong: Vec<String> = missing
        .map(|m| format!("missing {m:?}"))
        .chain(surplus.map(|s| format!("surplus {s:?}")))
        .collect();
    assert!(wrong.is_empty(), "{}\n{}", path.display(), wrong.join("\n"));
    assert_eq!(
        actual.len(),
        expected.len(),
        "{}: one told twice",
        path.display()
    );
    printed.iter().map(|d| d.code).collect()
}

fn fixtures() -> BTreeMap<String, BTreeSet<Code>> {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    for entry in std::fs::read_dir("tests/fixtures/codes").expect("the folder of fixtures") {
        let path = entry.expect("readable").path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match std::panic::catch_unwind(|| check(&path)) {
            Ok(codes) => {
                found.insert(name, codes);
            }
            Err(problem) => problems.push(
                problem
                    .downcast_ref::<String>()
                    .cloned()
                    .unwrap_or_default(),
            ),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    found
}

#[test]
fn every_code_is_shown_and_has_a_page() {
    let fixtures = fixtures();
    for (name, codes) in &fixtures {
        let code =
            Code::parse(name).unwrap_or_else(|| panic!("{name}.updo is named after no code"));
        assert!(codes.contains(&code), "{name}.updo does not show {name}");
    }
    for code in Code::ALL {
        let name = code.as_str();
        let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == name);
        if let Some((_, file)) = elsewhere {
            let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(text.contains(name), "{file} does not mention {name}");
        }
        let shown = fixtures.contains_key(name) || elsewhere.is_some() || RESERVED.contains(&name);
        assert!(shown, "{name} has no fixture and no test");
        let page = code.page();
        assert!(page.trim().len() > 40, "{name} has no page");
        assert!(
            page.is_ascii() || page.chars().all(|c| !c.is_control() || c == '\n'),
            "{name}"
        );
    }
}

#[test]
fn reserved_codes_are_never_emitted() {
    fn visit(folder: &Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs")
                && !path.ends_with("diag/code.rs")
                && !path.ends_with("cli/exit.rs")
            {
                found.push_str(&std::fs::read_to_string(&path).expect("readable"));
            }
        }
    }
    let mut sources = String::new();
    visit(Path::new("src"), &mut sources);
    for code in Code::ALL {
        let reported = sources.contains(&format!("Code::{code}"));
        let reserved = RESERVED.contains(&code.as_str());
        assert!(
            reported != reserved,
            "{code}: reported {reported}, reserved {reserved}"
        );
    }
}

#[test]
fn pages_explain_show_and_help() {
    for code in Code::ALL {
        let page = code.page();
        for part in ["\n## Example\n", "\n## What to do\n"] {
            assert!(page.contains(part), "the page of {code} lacks {part:?}");
        }
        assert!(
            page.starts_with(&format!("# {code}: ")),
            "the page of {code} has no title"
        );
        for line in page.lines() {
            assert!(line.chars().count() <= 110, "{code}: {line}");
        }
    }
}

#[test]
fn no_two_codes_mean_the_same() {
    let titles: BTreeSet<&str> = Code::ALL
        .iter()
        .filter_map(|code| code.page().lines().next())
        .collect();
    assert_eq!(titles.len(), Code::ALL.len());
}

#[test]
fn what_differs_and_is_left_alone() {
    let (plan, _) = super::synthetic::read("");
    let world = shop();
    let mut changes = world.changes();
    changes
        .untouched
        .push((Module::new("shop_odd"), SkipReason::Sticky));
    changes.gone.push(RemovedModule {
        module: Module::new("shop_gone"),
        how: RemovalCause::File("ebin/shop_gone.beam".to_owned()),
        callers: Vec::new(),
    });
    if let Some(new) = changes
        .modules
        .get_mut("shop_a")
        .and_then(|c| c.new.as_mut())
    {
        new.facts
            .code
            .dynamic_calls
            .push(updo::facts::beam::DynamicCall {
                from: updo::facts::beam::Function {
                    name: "f".into(),
                    arity: 0,
                    line: Some(3),
                },
                function: None,
                or_field: false,
            });
    }
    let facts = world.decide(&plan).facts;
    let node = updo::name::NodeName::new("shop@host");
    let upgrade = updo::engine::decide(
        &plan,
        &node,
        "",
        facts,
        changes,
        &updo::engine::Settings::default(),
    );
    let codes: BTreeSet<Code> = upgrade.diagnostics.iter().map(|d| d.code).collect();
    // W315, W319, W320
    for code in [Code::W315, Code::W319, Code::W320] {
        assert!(codes.contains(&code), "{code}: {codes:?}");
    }
}

#[test]
fn scripts_obey_the_law() {
    use updo::script::instruction::Instruction;
    let (plan, _) = super::synthetic::read("");
    let good = shop().decide(&plan).script;
    let codes = |change: &dyn Fn(&mut Vec<Instruction>)| -> Vec<Code> {
        let mut script = good.clone();
        change(&mut script.low);
        updo::script::check::check(&script)
            .into_iter()
            .map(|d| d.code)
            .collect()
    };
    assert!(codes(&|_| {}).is_empty());
    // E401, E402, E404
    assert!(codes(&|low| low.push(Instruction::PointOfNoReturn)).contains(&Code::E401));
    assert!(
        codes(&|low| low.retain(|i| !matches!(i, Instruction::Resume(_)))).contains(&Code::E402)
    );
    assert!(
        codes(&|low| {
            let at = low
                .iter()
                .position(|i| matches!(i, Instruction::Suspend(_)))
                .expect("a server is suspended");
            let suspend = low.remove(at);
            low.insert(0, suspend);
        })
        .contains(&Code::E404)
    );
}

#[test]
fn nothing_to_push_and_nowhere_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let nothing =
        updo::facts::local::files::beams_of(&["nowhere/*"], folder.path()).expect_err("nothing");
    assert_eq!(nothing.diagnostic().code, Code::E213);
    // A file without a name cannot be replaced: E802.
    let plan = folder.path().join("plan.updo");
    std::fs::write(&plan, "exclude   a.\n").expect("written");
    let script = "exec 3<\"$1\"; rm \"$1\"; exec \"$0\" fmt /proc/self/fd/3";
    let out = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_updo")])
        .arg(&plan)
        .output()
        .expect("sh runs");
    let reported = String::from_utf8_lossy(&out.stderr);
    assert!(reported.contains("E802"), "{reported}");
    assert_eq!(out.status.code(), Some(2));
}
