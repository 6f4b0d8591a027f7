//! Random scripts: all instructions and short forms, cycles, applications, and every way to break them.

use std::fmt;

use updo::name::{App, Module};
use updo::script::instruction::StartType;
use updo::script::translate::Application;
use updo::term::Term;

use crate::random::Random;

/// Scripts and the applications on both sides.
pub struct Case {
    pub scripts: Term,
    pub to: Vec<Application>,
    pub from: Vec<Application>,
}

impl Case {
    pub fn term(&self) -> Term {
        self.scripts.clone()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "scripts {}", self.scripts)?;
        for (side, apps) in [("to", &self.to), ("from", &self.from)] {
            for app in apps {
                writeln!(f, "{side} {}", super::app_term(app))?;
            }
        }
        Ok(())
    }
}

const STARTS: [StartType; 5] = [
    StartType::Permanent,
    StartType::Transient,
    StartType::Temporary,
    StartType::Load,
    StartType::None,
];

fn atom(text: &str) -> Term {
    Term::atom(text)
}

fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::tuple(elements)
}

/// A random case: three of five are meant to be valid.
pub fn case(random: &mut Random) -> Case {
    let size = 1 + random.below(12);
    let names: Vec<Module> = (0..size)
        .map(|i| match random.below(30) {
            0 => Module::new(format!("Elixir.M{i}")),
            1 => Module::new(format!("größe{i}")),
            2 => Module::new(format!("日本{i}")),
            _ => Module::new(format!("m{i}")),
        })
        .collect();
    let (to, from) = applications(random, &names);
    let mut scripts = vec![Vec::new(); 1 + random.below(3)];
    for instruction in dependents(random, &names) {
        let at = random.below(scripts.len());
        scripts[at].push(instruction);
    }
    for _ in 0..random.below(4) {
        let extras = extras(random, &to, &from);
        let script = random.below(scripts.len());
        for extra in extras {
            let at = random.below(scripts[script].len() + 1);
            scripts[script].insert(at, extra);
        }
    }
    if random.chance(15) {
        let script = random.below(scripts.len());
        let at = if random.chance(80) {
            0
        } else {
            random.below(scripts[script].len() + 1)
        };
        scripts[script].insert(at, atom("point_of_no_return"));
        if random.chance(30) {
            let at = random.below(at + 1);
            let call = tuple([atom("m"), atom("f"), Term::List(vec![])]);
            scripts[script].insert(at, tuple([atom("apply"), call]));
        }
    }
    if random.chance(35) {
        for _ in 0..1 + random.below(2) {
            spoil(random, &mut scripts);
        }
    }
    let scripts = scripts.into_iter().map(|script| {
        if random.chance(1) {
            random.term(2)
        } else if random.chance(1) {
            Term::cons(script, atom("tail"))
        } else {
            Term::List(script)
        }
    });
    let scripts = Term::list(scripts);
    Case { scripts, to, from }
}

fn applications(random: &mut Random, names: &[Module]) -> (Vec<Application>, Vec<Application>) {
    let count = 1 + random.below(3);
    let app = |random: &mut Random, i: usize, vsn: &str| Application {
        name: App::new(format!("app{i}")),
        vsn: Term::string(vsn),
        start: *random.pick(&STARTS),
        modules: Vec::new(),
    };
    let mut to: Vec<_> = (0..count).map(|i| app(random, i, "2")).collect();
    let mut from: Vec<_> = (0..count).map(|i| app(random, i, "1")).collect();
    for module in names {
        let at = random.below(count);
        if !random.chance(1) {
            to[at].modules.push(module.clone());
        }
        if random.chance(70) {
            from[at].modules.push(module.clone());
        }
        if random.chance(2) {
            let at = random.below(count);
            to[at].modules.push(module.clone());
        }
    }
    // Some come, some go; their modules are theirs alone.
    for (side, name) in [(&mut to, "fresh"), (&mut from, "stale")] {
        if random.chance(30) {
            let mut new = app(random, 9, "1.0");
            new.name = App::new(name);
            let own = random.below(4);
            new.modules = (0..own)
                .map(|i| Module::new(format!("{name}{i}")))
                .collect();
            side.push(new);
        }
    }
    // One is in both, and has modules that no instruction names.
    for (side, modules) in [
        (&mut to, ["again1", "again2"]),
        (&mut from, ["again1", "again3"]),
    ] {
        let mut again = app(random, 8, "1.0");
        again.name = App::new("again");
        again.modules = modules.map(Module::new).to_vec();
        side.push(again);
    }
    if random.chance(3) {
        to.remove(0);
    }
    (to, from)
}

fn purge(random: &mut Random) -> Term {
    atom(if random.chance(50) {
        "soft_purge"
    } else {
        "brutal_purge"
    })
}

fn change(random: &mut Random) -> Term {
    if random.chance(40) {
        atom("soft")
    } else {
        let extra = if random.chance(70) {
            Term::List(vec![])
        } else {
            random.term(3)
        };
        tuple([atom("advanced"), extra])
    }
}

fn timeout(random: &mut Random) -> Term {
    match random.below(4) {
        0 => atom("infinity"),
        1 => Term::Int(1 + random.below(9000) as i64),
        _ => atom("default"),
    }
}

/// One instruction for most of the modules, with dependencies among them.
fn dependents(random: &mut Random, names: &[Module]) -> Vec<Term> {
    let density = random.below(4);
    let mut chosen: Vec<&Module> = names.iter().filter(|_| random.chance(85)).collect();
    random.shuffle(&mut chosen);
    if random.chance(2) && !chosen.is_empty() {
        chosen.push(chosen[0]);
    }
    let shape = random.below(4);
    let mut out = Vec::new();
    for (i, module) in chosen.iter().enumerate() {
        let mut deps: Vec<Term> = Vec::new();
        match shape {
            // a chain, sometimes closed to a ring
            0 if i > 0 => deps.push(atom(chosen[i - 1].as_str())),
            0 if random.chance(40) => deps.push(atom(chosen[chosen.len() - 1].as_str())),
            _ => {
                for _ in 0..random.below(density + 1) {
                    let all = if random.chance(99) {
                        &chosen[..]
                    } else {
                        &names.iter().collect::<Vec<_>>()[..]
                    };
                    deps.push(atom(random.pick(all).as_str()));
                }
            }
        }
        out.push(dependent(random, module, deps));
    }
    out
}

fn dependent(random: &mut Random, module: &Module, deps: Vec<Term>) -> Term {
    let m = atom(module.as_str());
    let none = deps.is_empty();
    let d = Term::List(deps);
    let advanced = |random: &mut Random| {
        let mut found = change(random);
        while found.is_atom("soft") {
            found = change(random);
        }
        found
    };
    match random.below(14) {
        0 if none => tuple([atom("load_module"), m]),
        0 | 1 => tuple([atom("load_module"), m, d]),
        2 => tuple([atom("load_module"), m, purge(random), purge(random), d]),
        3 if none => tuple([atom("update"), m]),
        3 | 4 => tuple([atom("update"), m, d]),
        5 if none => tuple([atom("update"), m, atom("supervisor")]),
        6 if none => {
            let change = change(random);
            tuple([atom("update"), m, change])
        }
        5 | 6 => {
            let change = advanced(random);
            tuple([atom("update"), m, change, d])
        }
        7 => {
            let change = change(random);
            tuple([atom("update"), m, change, purge(random), purge(random), d])
        }
        8 => {
            let (time, change) = (timeout(random), change(random));
            let (pre, post) = (purge(random), purge(random));
            tuple([atom("update"), m, time, change, pre, post, d])
        }
        9 | 10 => {
            let kind = atom(if random.chance(50) {
                "static"
            } else {
                "dynamic"
            });
            let (time, change) = (timeout(random), change(random));
            let (pre, post) = (purge(random), purge(random));
            tuple([atom("update"), m, kind, time, change, pre, post, d])
        }
        11 if none => tuple([atom("add_module"), m]),
        11 | 12 => tuple([atom("add_module"), m, d]),
        13 if none => tuple([atom("delete_module"), m]),
        _ => tuple([atom("delete_module"), m, d]),
    }
}

fn app_name(random: &mut Random, apps: &[Application], other: &str) -> Term {
    match apps {
        [] => atom(other),
        _ if random.chance(3) => atom(other),
        _ => {
            let app = random.pick(apps);
            atom(app.name.as_str())
        }
    }
}

fn has(apps: &[Application], name: &str) -> bool {
    apps.iter().any(|app| app.name.as_str() == name)
}

/// Instructions without dependencies, balanced where they must be.
fn extras(random: &mut Random, to: &[Application], from: &[Application]) -> Vec<Term> {
    let low = |random: &mut Random| atom(&format!("low{}", random.below(4)));
    match random.below(16) {
        0..=3 => {
            let args = Term::List(vec![random.term(2)]);
            let call = tuple([atom("mod"), atom("fun"), args]);
            vec![tuple([atom("apply"), call])]
        }
        4..=7 => {
            let start = random.pick(&STARTS).to_term();
            match random.below(12) {
                0 => vec![tuple([
                    atom("add_application"),
                    app_name(random, to, "unknown"),
                ])],
                1 => vec![tuple([
                    atom("remove_application"),
                    app_name(random, from, "unknown"),
                ])],
                2..=4 if has(to, "fresh") => vec![tuple([atom("add_application"), atom("fresh")])],
                5..=7 if has(to, "fresh") => {
                    vec![tuple([atom("add_application"), atom("fresh"), start])]
                }
                8.. if has(from, "stale") => {
                    vec![tuple([atom("remove_application"), atom("stale")])]
                }
                _ => Vec::new(),
            }
        }
        8 if random.chance(30) => {
            let app = app_name(random, to, "unknown");
            vec![tuple([atom("restart_application"), app])]
        }
        8 => vec![tuple([atom("restart_application"), atom("again")])],
        9 => vec![atom("restart_new_emulator")],
        10 => vec![atom("restart_emulator"); 1 + random.below(2)],
        11 => {
            let (a, b) = (low(random), low(random));
            let timed = tuple([b.clone(), timeout(random)]);
            let extra = random.term(2);
            let changes = Term::list([tuple([a.clone(), extra])]);
            let change = if random.chance(50) {
                tuple([atom("code_change"), changes])
            } else {
                tuple([atom("code_change"), atom("up"), changes])
            };
            vec![
                tuple([atom("suspend"), Term::list([a.clone(), timed])]),
                change,
                tuple([atom("resume"), Term::list([b, a])]),
            ]
        }
        12 => {
            let (a, b) = (low(random), low(random));
            vec![
                tuple([atom("stop"), Term::list([a.clone(), b.clone()])]),
                tuple([atom("start"), Term::list([b, a])]),
            ]
        }
        13 => {
            let mods = Term::list([low(random), low(random)]);
            let first = mods.as_list().expect("a list")[0].clone();
            let lib = *random.pick(&["app0", "app1", "other"]);
            let vsn = *random.pick(&["2", "2", "2", "3"]);
            let load = tuple([first, purge(random), purge(random)]);
            vec![
                tuple([
                    atom("load_object_code"),
                    tuple([atom(lib), Term::string(vsn), mods]),
                ]),
                tuple([atom("load"), load]),
            ]
        }
        14 => {
            let gone = low(random);
            let remove = tuple([gone.clone(), purge(random), purge(random)]);
            vec![
                tuple([atom("remove"), remove]),
                tuple([atom("purge"), Term::list([gone])]),
            ]
        }
        _ => {
            let nodes = if random.chance(50) {
                Term::list([atom("a@b"), atom("c@d")])
            } else {
                tuple([atom("m"), atom("f"), Term::List(vec![Term::Int(1)])])
            };
            let id = random.term(1);
            vec![tuple([atom("sync_nodes"), id, nodes])]
        }
    }
}

/// Breaks something.
fn spoil(random: &mut Random, scripts: &mut [Vec<Term>]) {
    let script = random.below(scripts.len());
    let script = &mut scripts[script];
    if script.is_empty() {
        let odd = odd(random);
        return script.push(odd);
    }
    let at = random.below(script.len());
    match random.below(9) {
        0 => {
            script.remove(at);
        }
        1 => {
            let again = script[at].clone();
            script.insert(at, again);
        }
        2 => {
            let odd = odd(random);
            script.insert(at, odd);
        }
        3 => {
            let nested = script.remove(at);
            let nested = match random.below(4) {
                0 => Term::list([nested.clone(), atom("restart_emulator")]),
                1 => Term::cons(vec![nested], atom("tail")),
                2 => Term::list([Term::list([nested])]),
                _ => Term::list([nested]),
            };
            script.insert(at, nested);
        }
        _ => {
            let mut depth = 1 + random.below(3);
            let spoiled = &mut script[at];
            bend(random, spoiled, &mut depth);
        }
    }
}

/// Replaces, adds or drops something inside a term.
fn bend(random: &mut Random, term: &mut Term, depth: &mut usize) {
    let is_list = matches!(term, Term::List(_));
    if is_list && random.chance(8) {
        if let Term::List(elements) = term {
            *term = Term::cons(elements.clone(), atom("tail"));
        }
        return;
    }
    let inner = match term {
        Term::Tuple(elements) | Term::List(elements) if !elements.is_empty() && *depth > 0 => {
            elements
        }
        _ => {
            *term = odd(random);
            return;
        }
    };
    *depth -= 1;
    let at = random.below(inner.len());
    match random.below(12) {
        0 => {
            inner.remove(at);
        }
        1 => {
            let odd = odd(random);
            inner.insert(at, odd);
        }
        3 => {
            inner[at] = Term::cons(vec![atom("m0"), atom("m1")], atom("tail"));
        }
        _ => bend(random, &mut inner[at], depth),
    }
}

fn odd(random: &mut Random) -> Term {
    match random.below(16) {
        0 => Term::string("abc"),
        1 => Term::Int(0),
        2 => Term::Int(-5),
        3 => atom("m0"),
        4 => Term::List(vec![]),
        5 => atom("supervisor"),
        6 => tuple([atom("advanced"), Term::Int(1)]),
        7 => tuple([atom("load_module"), atom("m0")]),
        8 => tuple([atom("add_module"), atom("m0")]),
        9 => atom("mnesia_backup"),
        10 => {
            (*random.pick(&[atom("restart"), atom("reboot"), atom("point_of_no_return")])).clone()
        }
        11 => Term::Tuple(vec![]),
        12 => tuple([atom("update"), atom("m1")]),
        13 => Term::List(vec![atom("m0"), atom("m1")]),
        _ => random.term(3),
    }
}
