//! In which order states are converted, by the places of processes in the tree of supervisors.

use std::time::{Duration, Instant};

use updo::engine::{Settings, Upgrade, decide};
use updo::facts::node::processes::{Example, Start};
use updo::name::{Module, NodeName};
use updo::script::instruction::Instruction;
use updo::term::{Pid, Term};

use super::synthetic::{Given, World, calls, read};

fn server(name: &'static str, others: &[&'static str]) -> (&'static str, Given) {
    let (name, given) = calls(name, others);
    let exports = given.exports.into_iter().chain([("code_change", 3)]);
    let behaviours = vec!["gen_server"];
    (
        name,
        Given {
            behaviours,
            exports: exports.collect(),
            ..given
        },
    )
}

fn supervisor(name: &'static str, others: &[&'static str]) -> (&'static str, Given) {
    let (name, given) = calls(name, others);
    (
        name,
        Given {
            behaviours: vec!["supervisor"],
            ..given
        },
    )
}

/// With the places of some modules: `1.2` is the second child of the first child.
fn upgrade(world: &World, plan: &str, places: &[(&str, &str)]) -> Upgrade {
    let mut changes = world.changes();
    for (name, place) in places {
        let place = place.split('.').map(|part| match part {
            "last" => Term::atom("last"),
            number => Term::Int(number.parse().expect("a number")),
        });
        let example = Example {
            pid: Pid {
                node: "shop@host".into(),
                id: 1,
                serial: 0,
                creation: 1,
            },
            call: format!("{name}:init/1"),
            in_fun: false,
            parent: String::new(),
            stack: Vec::new(),
            place: place.collect(),
        };
        let changed = changes.modules.get_mut(*name).expect("takes part");
        changed.processes = 1;
        changed
            .module_processes
            .kinds
            .insert(Start::Init, (1, example));
    }
    let facts = world.decide(&read("").0).facts;
    let node = NodeName::new("shop@host");
    decide(
        &read(plan).0,
        &node,
        "",
        facts,
        changes,
        &Settings::default(),
    )
}

fn converted(upgrade: &Upgrade) -> String {
    let lists = upgrade.script.low.iter().filter_map(|low| match low {
        Instruction::CodeChange { modules, .. } => Some(modules),
        _ => None,
    });
    let names: Vec<&str> = lists.flatten().map(|(module, _)| module.as_str()).collect();
    names.join(" ")
}

fn order(world: &World, plan: &str, places: &[(&str, &str)]) -> String {
    converted(&upgrade(world, plan, places))
}

/// `z` starts `m`, the supervisor `g` with `c` below, and `a`.
const PLACES: [(&str, &str); 5] = [
    ("z", "1"),
    ("m", "1.1"),
    ("g", "1.2"),
    ("c", "1.2.1"),
    ("a", "1.3"),
];

fn tree(m: &[&'static str], a: &[&'static str], c: &[&'static str]) -> World {
    World(vec![
        supervisor("z", &["m", "g", "a"]),
        supervisor("g", &["c"]),
        server("m", m),
        server("a", a),
        server("c", c),
        calls("lib", &["a"]),
    ])
}

#[test]
fn the_tree_decides_among_what_no_call_orders() {
    let plain = tree(&[], &[], &[]);
    assert_eq!(order(&plain, "", &PLACES), "z m g c a");
    // Without places as before: supervisors, then by name.
    assert_eq!(order(&plain, "", &[]), "z g a c m");
    // Calls come first, through modules without a process as well.
    assert_eq!(order(&tree(&["a"], &[], &[]), "", &PLACES), "z g c a m");
    assert_eq!(order(&tree(&["lib"], &[], &[]), "", &PLACES), "z g c a m");
    // Those that call each other: the tree.
    assert_eq!(order(&tree(&["a"], &["m"], &[]), "", &PLACES), "z m g c a");
    // A call of the supervisor above is no reason to wait, nor for it.
    assert_eq!(
        order(&tree(&["z"], &["g"], &["z"]), "", &PLACES),
        "z m g c a"
    );
    // A place that is not known: behind.
    let four: Vec<_> = PLACES
        .into_iter()
        .filter(|(name, _)| *name != "a")
        .collect();
    assert_eq!(order(&plain, "", &four), "z m g c a");
    let last: Vec<_> = four.into_iter().chain([("a", "1.1.last")]).collect();
    assert_eq!(order(&plain, "", &last), "z m a g c");
}

#[test]
fn orders_of_the_plan_are_obeyed() {
    let plain = tree(&[], &[], &[]);
    let because = "because \"x\"";
    let rule = |text: &str| order(&plain, &format!("{text} {because}."), &PLACES);
    assert_eq!(rule("m loads after c"), "z g c m a");
    assert_eq!(rule("g depends on a"), "z m a g c");
    assert_eq!(rule("z depends on a"), "a z m g c");
    // In each window for itself.
    let windows = upgrade(
        &plain,
        &format!("window [a, m] then rest {because}."),
        &PLACES,
    );
    assert_eq!(converted(&windows), "m a z g c");
}

#[test]
fn the_reason_is_told_where_the_tree_decides() {
    let upgrade = upgrade(&tree(&[], &[], &[]), "", &PLACES);
    let why = |name: &str| -> Vec<String> {
        let step = upgrade
            .script
            .high
            .iter()
            .find(|step| step.module == Module::new(name));
        let why = step
            .expect("takes part")
            .why
            .iter()
            .map(|why| why.text.clone());
        why.filter(|text| text.starts_with("converted")).collect()
    };
    assert_eq!(
        why("g"),
        ["converted after m: their supervisor starts it later"]
    );
    assert_eq!(
        why("a"),
        ["converted after c: in the order in which they are started"]
    );
    assert!(why("z").is_empty() && why("m").is_empty() && why("c").is_empty());
}

#[test]
fn thousands_of_servers_with_places() {
    let names: Vec<&'static str> = (0..3_000)
        .map(|i| &*Box::leak(format!("shop_{i:05}").into_boxed_str()))
        .collect();
    let all = names.iter().enumerate().map(|(i, name)| match i % 3 {
        // A ring of two now and then, and chains.
        0 if i % 300 == 0 => server(name, &names[i + 1..i + 2]),
        1 => server(name, &names[i - 1..i]),
        0 => server(name, &[]),
        _ => server(name, &names[i - 2..i]),
    });
    let world = World(all.collect());
    let places: Vec<(&str, String)> = names
        .iter()
        .rev()
        .enumerate()
        .map(|(at, name)| (*name, format!("1.{at}")))
        .collect();
    let places: Vec<(&str, &str)> = places
        .iter()
        .map(|(name, place)| (*name, place.as_str()))
        .collect();
    let begin = Instant::now();
    order(&world, "", &[]);
    let without = begin.elapsed();
    let begin = Instant::now();
    let order = order(&world, "", &places);
    assert!(
        order.starts_with("shop_02997 shop_02998 shop_02999 shop_02994"),
        "{}",
        &order[..60]
    );
    let took = begin.elapsed();
    println!("with places in {took:?}, without in {without:?}");
    // Quadratic would be minutes more.
    assert!(took < without + Duration::from_secs(10), "{took:?}");
}
