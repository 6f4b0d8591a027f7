//! Scripts of generated applications, with real beams, before a real `release_handler_1:check_script/2`: those of
//! the translation, up and down, and those of a run in each kind of window; `window otp` also against `systools_rc`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use updo::diag::SourceMap;
use updo::plan::WindowPolicy;
use updo::release::infer::{DependencyKinds, InferredAppup, appup};
use updo::script::instruction::{Instruction, StartType};
use updo::script::translate::{Application, Mode, Tie, translate, translate_with};
use updo::script::{high, lower};
use updo::term::Term;

use crate::compiler::compile;
use crate::oracle::Oracle;
use crate::random::{Random, setting};
use crate::scenarios::app;
use crate::scripts::{app_term, places};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Server,
    Soft,
    Supervisor,
}

const KINDS: [Kind; 4] = [Kind::Plain, Kind::Server, Kind::Soft, Kind::Supervisor];

fn source(name: &str, kind: Kind, version: usize, calls: &[String]) -> String {
    let mut text = format!("-module({name}).\n-export([f{version}/0, f/0]).\n");
    let callbacks = match kind {
        Kind::Plain => "",
        Kind::Server => {
            "-behaviour(gen_server).\n\
             -export([init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             init(S) -> {ok, S}.\nhandle_call(_, _, S) -> {reply, ok, S}.\n\
             handle_cast(_, S) -> {noreply, S}.\ncode_change(_, S, _) -> {ok, S}.\n"
        }
        Kind::Soft => {
            "-behaviour(gen_server).\n-export([init/1, handle_call/3, handle_cast/2]).\n\
             init(S) -> {ok, S}.\nhandle_call(_, _, S) -> {reply, ok, S}.\n\
             handle_cast(_, S) -> {noreply, S}.\n"
        }
        Kind::Supervisor => {
            "-behaviour(supervisor).\n-export([init/1]).\ninit(_) -> {ok, {#{}, []}}.\n"
        }
    };
    let calls = calls.join(", ");
    let _ = write!(
        text,
        "{callbacks}f{version}() -> {version}.\nf() -> [{calls}].\n"
    );
    text
}

/// Compiles both versions of an application; gives the number of modules.
fn build(random: &mut Random, root: &Path) -> usize {
    let count = 2 + random.below(10);
    let kinds: Vec<Kind> = (0..count).map(|_| *random.pick(&KINDS)).collect();
    let changed: Vec<bool> = (0..count).map(|_| random.chance(80)).collect();
    let gone: Vec<usize> = (0..count).map(|_| random.below(8)).collect();
    for version in [1, 2] {
        let ebin = root.join(format!("a-{version}/ebin"));
        fs::create_dir_all(&ebin).expect("a folder");
        let (mut modules, mut files) = (Vec::new(), Vec::new());
        for i in 0..count {
            // One in eight is new, one in eight is deleted.
            if gone[i] == version {
                continue;
            }
            let name = format!("m{i}");
            let own = if changed[i] { version } else { 1 };
            let mut calls = Vec::new();
            for other in 0..count {
                if changed[i] && random.chance(25) {
                    let function = if random.chance(50) {
                        format!("f{version}")
                    } else {
                        "f".into()
                    };
                    calls.push(format!("m{other}:{function}()"));
                }
            }
            let file = root.join(format!("{name}.erl"));
            fs::write(&file, source(&name, kinds[i], own, &calls)).expect("a file");
            files.push(file);
            modules.push(name);
        }
        compile(&ebin, &[], &files);
        let app = format!(
            "{{application,a,[{{description,\"\"}},{{vsn,\"{version}\"}},{{modules,[{}]}},\
             {{registered,[]}},{{applications,[]}}]}}.\n",
            modules.join(",")
        );
        fs::write(ebin.join("a.app"), app).expect("a file");
    }
    count
}

fn modules_of(ebin: &Path) -> String {
    let mut names: Vec<String> = fs::read_dir(ebin)
        .expect("a folder")
        .filter_map(|entry| {
            let name = entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8");
            Some(name.strip_suffix(".beam")?.to_owned())
        })
        .collect();
    names.sort();
    names.join(" ")
}

fn check(oracle: &mut Oracle, script: Term, vsn: &str, new: &Path, running: &Path) {
    let text = |path: &Path| Term::string(path.to_str().expect("UTF-8"));
    let folder = new.parent().expect("the application");
    let lib = Term::tuple([Term::atom("a"), Term::string(vsn), text(folder)]);
    let answer = oracle.ask(&Term::tuple([
        Term::atom("check"),
        script.clone(),
        Term::list([lib]),
        Term::list([text(running)]),
    ]));
    let ok = matches!(answer.as_tuple(), Some([ok, _]) if ok.is_atom("ok"));
    assert!(ok, "check_script: {answer}\n{script}");
}

fn terms(low: &[Instruction]) -> Term {
    Term::list(low.iter().map(Instruction::to_term))
}

fn windows(appup: &InferredAppup, kind: WindowPolicy) -> (Term, Term) {
    let high = high::high(&appup.changes, &appup.rules);
    let high_terms = Term::list(high.iter().map(|step| step.instruction.to_term()));
    let script = lower::lower(&appup.changes, &appup.rules, high, kind).expect("a script");
    assert_eq!(updo::script::check::check(&script), []);
    let low = script.low.iter().map(Instruction::to_term);
    (high_terms, Term::list(low))
}

/// Whether `window otp` is what `systools_rc` makes of the same high-level script: the same term where the order is
/// determined, the same in OTP's order where it is not. Gives whether it is free.
fn as_systools(oracle: &mut Oracle, high: &Term, low: &Term, apps: &[Application]) -> bool {
    let terms = Term::list(apps.iter().map(app_term));
    let question = [
        Term::atom("translate"),
        Term::atom("up"),
        Term::list([high.clone()]),
        terms.clone(),
        terms,
    ];
    let answer = oracle.ask(&Term::tuple(question));
    let Some([_, theirs]) = answer.as_tuple() else {
        panic!("OTP says {answer}\n{high}");
    };
    let scripts = std::slice::from_ref(high);
    let by = |tie: Tie<'_>| {
        self::terms(&translate_with(Mode::Up, scripts, apps, apps, tie).expect("a script"))
    };
    assert_eq!(by(Tie::Author), *low, "the author's order");
    let free = by(Tie::Opposite) != *low;
    let order = places(Mode::Up, theirs);
    assert_eq!(by(Tie::Given(&order)), *theirs, "OTP's order\n{high}");
    assert!(free || low == theirs, "{low}\n{theirs}\n{high}");
    free
}

#[test]
fn generated_applications_pass_the_check_of_release_handler() {
    let (seed, count) = (setting("UPDO_SEED", 1), setting("UPDO_COUNT", 1500) / 250);
    let mut oracle = Oracle::start();
    let (mut scripts, mut instructions, mut modules) = (0, 0, 0);
    let (mut otp, mut free) = (0, 0);
    for round in 0..count.max(1) {
        let mut random = Random::new(seed * 1000 + round);
        let root = tempfile::tempdir().expect("a folder");
        modules += build(&mut random, root.path());
        let ebin = [1, 2].map(|v| root.path().join(format!("a-{v}/ebin")));
        let apps = [1, 2].map(|v| {
            let modules = modules_of(&ebin[v - 1]);
            [app("a", &v.to_string(), StartType::Permanent, &modules)]
        });
        for deps in [DependencyKinds::Hard, DependencyKinds::Calls] {
            let mut sources = SourceMap::default();
            let found = appup(&ebin[0], &ebin[1], deps, &mut sources).expect("an appup");
            let terms_of = |script: &[Instruction]| [terms(script)];
            let up = translate(Mode::Up, &terms_of(&found.up), &apps[1], &apps[0]).expect("up");
            let down = translate(Mode::Down, &terms_of(&found.down), &apps[0], &apps[1]);
            let down = down.expect("down");
            instructions += up.len() + down.len();
            scripts += 5;
            check(&mut oracle, terms(&up), "2", &ebin[1], &ebin[0]);
            check(&mut oracle, terms(&down), "1", &ebin[0], &ebin[1]);
            for kind in [
                WindowPolicy::Single,
                WindowPolicy::Minimal,
                WindowPolicy::Otp,
            ] {
                let (high, low) = windows(&found, kind);
                if kind == WindowPolicy::Otp {
                    free += usize::from(as_systools(&mut oracle, &high, &low, &apps[1]));
                    otp += 1;
                }
                check(&mut oracle, low, "2", &ebin[1], &ebin[0]);
            }
        }
    }
    println!(
        "release_handler_1:check_script: {scripts} scripts of {} generated applications \
         ({modules} modules, {instructions} instructions) passed (seed {seed})",
        count.max(1)
    );
    println!(
        "window otp: {otp} scripts as systools_rc makes them ({free} free in order); 0 disagreements"
    );
}
