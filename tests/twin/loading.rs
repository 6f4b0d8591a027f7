//! Every beam of OTP and Elixir: accepted by the loader under another name, or refused for a reason that is true.

use std::collections::BTreeMap;

use updo::facts::beam::BeamFacts;
use updo::name::{Mfa, Module};
use updo::term::Term;
use updo::twin::{NoTwin, all, name, original};

use super::room::{Room, agreed, beams, installed, setting};

/// Every `step`-th beam, another one first for each seed.
fn drawn<T>(all: Vec<T>, usual: usize) -> Vec<T> {
    let most = usize::try_from(setting("UPDO_COUNT", usual as u64)).expect("small");
    let step = all.len().div_ceil(most.max(1)).max(1);
    let first = usize::try_from(setting("UPDO_SEED", 1)).expect("small") % step;
    all.into_iter().skip(first).step_by(step).collect()
}

#[test]
fn beams_of_otp_and_elixir_are_loaded_as_twins() {
    let all = beams("*");
    assert!(all.len() > 400, "only {} beams found", all.len());
    let drawn = drawn(all, 80);
    let room = Room::new();
    let refused = room.twins(&drawn);
    let answer = room.run("loads", &[]);
    let loaded = agreed(&answer);
    let (mut nifs, mut on_load) = (0, 0);
    for (module, reason) in &refused {
        let path = &drawn.iter().find(|(_, m, _)| m == module).expect("drawn").0;
        match reason {
            NoTwin::Nif => nifs += 1,
            NoTwin::OnLoad => on_load += 1,
            other => panic!("{}: {other}", path.display()),
        }
    }
    println!(
        "twins: OTP {}: {loaded} of {} beams loaded as twins, {nifs} have NIFs, {on_load} on_load",
        installed().otp,
        drawn.len(),
    );
    assert_eq!(
        usize::try_from(loaded).expect("a number") + nifs + on_load,
        drawn.len()
    );
}

/// What is refused is asked of the loader: it says `on_load_not_allowed` itself.
#[test]
fn refusals_are_those_of_the_loader() {
    let all = drawn(beams("*"), 80);
    let room = Room::new();
    let refused = room.twins(&all);
    let list: String = all
        .iter()
        .map(|(path, module, _)| {
            let path = Term::string(path.to_str().expect("UTF-8"));
            let verdict = match refused.get(module) {
                None => "plain",
                Some(NoTwin::Nif) => "nif",
                Some(NoTwin::OnLoad) => "on_load",
                Some(other) => panic!("{module}: {other}"),
            };
            let module = Term::atom(module.as_str());
            format!("{{{module}, {path}, {verdict}}}.\n")
        })
        .collect();
    std::fs::write(room.path().join("verdicts"), list).expect("written");
    assert_eq!(
        usize::try_from(agreed(&room.run("refusals", &[]))).expect("a number"),
        all.len()
    );
}

/// What this side's own reader says of a twin: the same functions, calls that go where they should.
#[test]
fn calls_go_to_twins_and_everything_else_stays() {
    for application in ["compiler", "kernel", "elixir"] {
        let beams = beams(application);
        if beams.is_empty() {
            assert!(installed().otp < 25, "no {application}");
            continue;
        }
        let set = beams.iter().map(|(_, module, bytes)| (module, &bytes[..]));
        let twins = all(set, installed().otp);
        let bytes: BTreeMap<&Module, &[u8]> = beams.iter().map(|(_, m, b)| (m, &b[..])).collect();
        let made: BTreeMap<&Module, &Module> =
            twins.made.iter().map(|t| (&t.module, &t.name)).collect();
        let bifs = updo::facts::beam::bifs::bifs(installed().otp);
        for twin in &twins.made {
            let old = BeamFacts::read(bytes[&twin.module]).expect("a beam");
            let new = BeamFacts::read(&twin.bytes).expect("a twin");
            assert_eq!(new.module, name(&twin.module));
            assert_eq!(original(new.module.as_str()), Some(twin.module.as_str()));
            assert_eq!(new.exports, old.exports, "{}", twin.module);
            assert_eq!(new.attributes, old.attributes, "{}", twin.module);
            assert_eq!(new.funs, old.funs);
            assert_eq!(new.funs, twin.funs);
            let expected = old.imports.iter().map(|to| Mfa {
                module: match made.get(&to.module) {
                    Some(twin) if !bifs.contains(to) => (*twin).clone(),
                    _ => to.module.clone(),
                },
                ..to.clone()
            });
            let expected: std::collections::BTreeSet<Mfa> = expected.collect();
            let more: Vec<_> = new.imports.difference(&expected).collect();
            assert!(
                more.iter()
                    .all(|to| to.module == twin.module && bifs.contains(to)),
                "{}: {more:?}",
                twin.module
            );
            assert!(new.imports.is_superset(&expected), "{}", twin.module);
        }
    }
}
