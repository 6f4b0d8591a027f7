//! `PROTOCOL.md`, the agent's Erlang and the types here against each other; and what the decoder makes of other terms.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::codec::{Codec, Definitions};
use super::erlang::{Agent, Types, keys_of, shape, split};
use super::event::AgentEvent;
use super::lock::{BootstrapAnswer, Refusal, RunInfo};
use super::reason::Reason;
use crate::node::agent::{BOOTSTRAP, LOAD, SOURCE};
use crate::term::{Atom, Pid, Term};

const DOCUMENT: &str = include_str!("../PROTOCOL.md");

/// Numbers that a generated value is made of.
pub struct Source(u64);

impl Source {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % limit.max(1)
    }

    pub fn number(&mut self) -> u64 {
        let bits = self.below(50);
        self.next() >> (14 + bits)
    }

    pub fn word(&mut self) -> String {
        ["", "shop_cart", "'odd' name", "zwölf\nlines"][self.below(4)].to_owned()
    }

    pub fn pid(&mut self) -> Pid {
        Pid {
            node: Atom::new("shop@127.0.0.1"),
            id: u32::try_from(self.below(1 << 20)).expect("20 bits"),
            serial: 0,
            creation: 1,
        }
    }
}

/// The named types: of events with reasons, of the bootstrap's answer, of a guardian's dictionary.
fn definitions() -> Definitions {
    let mut all = Definitions::new();
    AgentEvent::define(&mut all);
    BootstrapAnswer::define(&mut all);
    RunInfo::define(&mut all);
    all
}

// ---------------------------------------------------------------------------------------------------------------------
// The document

/// The code spans in the first cells of a section's table; with `two` also those in the second ones.
fn rows(document: &str, section: &str, two: bool) -> Vec<(String, String)> {
    let heading = format!("\n## {section}\n");
    let from = document
        .find(&heading)
        .map_or("", |at| &document[at + heading.len()..]);
    let until = from.find("\n## ").map_or(from, |at| &from[..at]);
    let lines = until.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<String> = line
                .replace("\\|", "\u{0}")
                .split('|')
                .map(|cell| cell.replace('\u{0}', "|"))
                .collect();
            let code = |cell: &String| cell.trim().trim_matches('`').to_owned();
            (
                code(&cells[1]),
                if two { code(&cells[2]) } else { String::new() },
            )
        })
        .collect()
}

/// Where the document differs from the types.
fn differences(document: &str, definitions: &Definitions) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |what: &str, written: Vec<String>, known: Vec<String>| {
        let (written, known): (BTreeSet<_>, BTreeSet<_>) =
            (written.into_iter().collect(), known.into_iter().collect());
        wrong.extend(
            written
                .difference(&known)
                .map(|row| format!("{what}, only in PROTOCOL.md: {row}")),
        );
        wrong.extend(
            known
                .difference(&written)
                .map(|row| format!("{what}, not in PROTOCOL.md: {row}")),
        );
    };
    let firsts = |section| {
        rows(document, section, false)
            .into_iter()
            .map(|(first, _)| first)
            .collect()
    };
    compare(
        "event",
        firsts("Events: `{updo, Run, Seq, Event}`"),
        AgentEvent::forms(),
    );
    compare("reason", firsts("Reasons"), Reason::forms());
    let both = |(name, definition): (String, String)| format!("{name}: {definition}");
    let known = definitions
        .iter()
        .filter(|(name, _)| !["event", "reason"].contains(name));
    compare(
        "type",
        rows(document, "Types", true)
            .into_iter()
            .map(both)
            .collect(),
        known
            .map(|(name, definition)| format!("{name}(): {definition}"))
            .collect(),
    );
    wrong
}

#[test]
fn the_document_has_the_types_that_are_read() {
    let wrong = differences(DOCUMENT, &definitions());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Types without a definition of their own are described in words.
#[test]
fn the_document_describes_the_plain_types() {
    let named: BTreeSet<String> = definitions()
        .into_values()
        .chain(AgentEvent::forms())
        .chain(Reason::forms())
        .flat_map(|definition| {
            let words =
                definition.split(|c: char| !(c.is_ascii_lowercase() || c == '_' || c == '('));
            let names = words.filter_map(|word| word.strip_suffix('(').map(str::to_owned));
            names.collect::<Vec<_>>()
        })
        .collect();
    let known = definitions();
    for name in named
        .iter()
        .filter(|name| !known.contains_key(name.as_str()))
    {
        assert!(
            DOCUMENT.contains(&format!("`{name}()`")),
            "{name}() is not described"
        );
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The agent's text

/// Where the agent's text differs from the types.
fn misunderstandings(agent: &Agent, definitions: &Definitions) -> Vec<String> {
    let types = Types::of(definitions);
    let sent = agent.sent(&types, &AgentEvent::forms(), &Reason::forms());
    let mut wrong = sent.wrong.clone();
    for form in AgentEvent::forms() {
        let shape = shape(&form);
        if !sent.events.contains(&shape) && !sent.tuples.contains(&shape) {
            wrong.push(format!("no event {form} is sent"));
        }
    }
    for form in Reason::forms() {
        if !sent.tuples.contains(&shape(&form)) {
            wrong.push(format!("no reason {form} is given"));
        }
    }
    for (name, definition) in definitions {
        let keys = keys_of(definition).unwrap_or_default();
        let unsent = keys
            .into_keys()
            .filter(|key| !sent.keys.contains(&((*name).to_owned(), key.clone())));
        wrong.extend(unsent.map(|key| format!("`{key}` of {name}() is never written")));
    }
    wrong
}

#[test]
fn the_agent_sends_the_types_that_are_read() {
    let wrong = misunderstandings(&Agent::read(SOURCE), &definitions());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_bootstrap_gives_what_is_read() {
    let types = Types::of(&definitions());
    let agent = Agent::read(&format!("{SOURCE}\n{BOOTSTRAP}\n{LOAD}"));
    let answers = [BootstrapAnswer::forms(), Refusal::forms()].concat();
    let reasons = [Reason::forms(), answers.clone()].concat();
    let sent = agent.sent(&types, &AgentEvent::forms(), &reasons);
    for form in answers {
        assert!(sent.tuples.contains(&shape(&form)), "{form}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// That the comparisons above see what they are there for

/// A key of a definition, misspelt.
fn misspelt(text: &str, key: &str, sign: &str) -> String {
    let written = format!("{key} {sign} ");
    let mut changed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&written) {
        let whole = !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        changed.push_str(&rest[..at]);
        changed.push_str(if whole { "mis" } else { "" });
        changed.push_str(&written);
        rest = &rest[at + written.len()..];
    }
    changed + rest
}

fn all_keys() -> BTreeMap<&'static str, BTreeSet<String>> {
    let each = definitions().into_iter().map(|(name, definition)| {
        (
            name,
            keys_of(&definition)
                .unwrap_or_default()
                .into_keys()
                .collect(),
        )
    });
    each.collect()
}

#[test]
fn a_misspelt_key_is_found_in_each_of_the_three() {
    let (known, agent) = (definitions(), Agent::read(SOURCE));
    for (name, keys) in all_keys() {
        for key in keys {
            // In the Erlang that sends.
            assert!(
                !misunderstandings(&agent.misspelt(&key, true), &known).is_empty(),
                "{key} of {name}() in the agent"
            );
            // In the Rust that reads: it differs from both others then.
            let mut wrong = known.clone();
            let definition = misspelt(&misspelt(&known[name], &key, ":="), &key, "=>");
            assert_ne!(definition, known[name], "{key} of {name}()");
            // In the document.
            let row = |definition: &str| format!("`{}`", definition.replace('|', "\\|"));
            let document = DOCUMENT.replace(&row(&known[name]), &row(&definition));
            assert!(
                !differences(&document, &known).is_empty(),
                "{key} of {name}() in the document"
            );
            wrong.insert(name, definition);
            assert!(
                !differences(DOCUMENT, &wrong).is_empty(),
                "{key} of {name}() against the document"
            );
            assert!(
                !misunderstandings(&agent, &wrong).is_empty(),
                "{key} of {name}() against the agent"
            );
        }
    }
}

#[test]
fn a_misspelt_event_or_reason_is_found() {
    let (known, agent) = (definitions(), Agent::read(SOURCE));
    for form in AgentEvent::forms().into_iter().chain(Reason::forms()) {
        let (tag, _) = shape(&form);
        assert!(
            !misunderstandings(&agent.misspelt(&tag, false), &known).is_empty(),
            "{form} in the agent"
        );
        let document =
            DOCUMENT.replace(&format!("| `{}`", form.replace('|', "\\|")), "| `misspelt`");
        assert!(
            !differences(&document, &known).is_empty(),
            "{form} in the document"
        );
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The decoder

/// Where a term has maps whose keys the decoder knows: the paths to them.
fn maps(term: &Term, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    let parts: Vec<&Term> = match term {
        Term::Tuple(parts) | Term::List(parts) => parts.iter().collect(),
        Term::Map(map) => {
            if map.keys().all(|key| matches!(key, Term::Atom(_))) && !map.is_empty() {
                found.push(path.clone());
            }
            map.values().collect()
        }
        _ => Vec::new(),
    };
    for (at, part) in parts.into_iter().enumerate() {
        path.push(at);
        maps(part, path, found);
        path.pop();
    }
}

/// The term with what is at a place changed.
fn changed(term: &Term, path: &[usize], change: &dyn Fn(&Term) -> Term) -> Term {
    let Some((first, rest)) = path.split_first() else {
        return change(term);
    };
    let part = |(at, part): (usize, &Term)| match at == *first {
        true => changed(part, rest, change),
        false => part.clone(),
    };
    match term {
        Term::Tuple(parts) => Term::tuple(parts.iter().enumerate().map(part)),
        Term::List(parts) => Term::list(parts.iter().enumerate().map(part)),
        Term::Map(map) => {
            let values = map.values().enumerate().map(part);
            Term::map(map.keys().cloned().zip(values))
        }
        other => other.clone(),
    }
}

fn any_term() -> impl Strategy<Value = Term> {
    let tags: Vec<String> = AgentEvent::forms()
        .iter()
        .chain(&Reason::forms())
        .map(|form| shape(form).0)
        .collect();
    let keys: Vec<String> = all_keys().into_values().flatten().collect();
    let atom = prop_oneof![
        proptest::sample::select(tags),
        proptest::sample::select(keys)
    ]
    .prop_map(Term::atom);
    let leaf = prop_oneof![
        atom.clone(),
        any::<i64>().prop_map(Term::Int),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Term::Float),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(Term::binary),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            (atom.clone(), proptest::collection::vec(inner.clone(), 0..4))
                .prop_map(|(tag, rest)| Term::tuple(std::iter::once(tag).chain(rest))),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Term::list),
            proptest::collection::vec((atom.clone(), inner), 0..4).prop_map(Term::map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_is_read_again(seed: u64) {
        let event = AgentEvent::sample(&mut Source(seed));
        prop_assert_eq!(AgentEvent::decode(&event.encode()), Ok(event));
        let answer = BootstrapAnswer::sample(&mut Source(seed));
        prop_assert_eq!(BootstrapAnswer::decode(&answer.encode()), Ok(answer));
        let info = RunInfo::sample(&mut Source(seed));
        prop_assert_eq!(RunInfo::decode(&info.encode()), Ok(info));
    }

    /// A key that is misspelt, missing or unknown, at any depth.
    #[test]
    fn a_wrong_key_is_an_error(seed: u64) {
        let mut source = Source(seed);
        // Some events have no map at all.
        let (term, all) = loop {
            let term = AgentEvent::sample(&mut source).encode();
            let mut all = Vec::new();
            maps(&term, &mut Vec::new(), &mut all);
            if !all.is_empty() {
                break (term, all);
            }
        };
        let path = &all[source.below(all.len())];
        let (which, how) = (source.next(), source.below(2));
        let wrong = changed(&term, path, &|map| {
            let mut map = map.as_map().expect("a map").clone();
            let keys: Vec<Term> = map.keys().cloned().collect();
            let key = keys[usize::try_from(which >> 33).expect("31 bits") % keys.len()].clone();
            let value = map.remove(&key).expect("it is there");
            if how == 0 {
                map.insert(key, value.clone());
            }
            map.insert(Term::atom("misspelt"), value);
            Term::Map(map)
        });
        let error = AgentEvent::decode(&wrong).expect_err("a key is wrong");
        prop_assert!(error.to_string().contains("misspelt"), "{}", error);
    }

    #[test]
    fn any_term_is_read_or_refused(term in any_term(), seed: u64) {
        let _ = AgentEvent::decode(&term);
        let _ = BootstrapAnswer::decode(&term);
        let _ = RunInfo::decode(&term);
        // In the middle of one that is right otherwise.
        let mut source = Source(seed);
        let event = AgentEvent::sample(&mut source).encode();
        let mut all = Vec::new();
        maps(&event, &mut Vec::new(), &mut all);
        let path = all.get(source.below(all.len())).cloned().unwrap_or_default();
        if let Err(error) = AgentEvent::decode(&changed(&event, &path, &|_| term.clone())) {
            prop_assert!(error.to_string().len() < 2_000);
        }
    }
}

/// No map fits two of the records between which only keys distinguish.
#[test]
fn alternatives_differ_in_their_keys() {
    let known = definitions();
    for definition in known.values() {
        let cases = split(definition, '|');
        let records: Vec<(&str, &String)> = cases
            .iter()
            .filter_map(|case| Some((*case, known.get(case.strip_suffix("()")?)?)))
            .collect();
        for (name, one) in &records {
            for (other_name, other) in records.iter().filter(|(other, _)| other != name) {
                let (Some(keys), Some(others)) = (keys_of(one), keys_of(other)) else {
                    continue;
                };
                let needed = other.split(", ").filter(|pair| pair.contains(" := "));
                let needed: BTreeSet<&str> = needed
                    .filter_map(|pair| pair.split(" := ").next())
                    .map(|key| key.trim_start_matches("#{"))
                    .collect();
                let may = |key: &&str| keys.contains_key(*key);
                let own = one.split(", ").filter(|pair| pair.contains(" := "));
                let mut own = own
                    .filter_map(|pair| pair.split(" := ").next())
                    .map(|key| key.trim_start_matches("#{"));
                assert!(
                    !needed.iter().all(may) || own.any(|key| !others.contains_key(key)),
                    "a map can be {name} and {other_name}"
                );
            }
        }
    }
}

/// An error says where it is.
#[test]
fn an_error_names_the_place() {
    let killed = Term::map([(Term::atom("pid"), Term::Int(1))]);
    let info = Term::map([
        (Term::atom("module"), Term::atom("m")),
        (Term::atom("processes"), Term::Int(1)),
        (Term::atom("killed"), Term::list([killed])),
        (Term::atom("funs"), Term::list([])),
    ]);
    let event = Term::tuple([Term::atom("purging"), info]);
    let error = AgentEvent::decode(&event).expect_err("a killed process has three keys");
    assert_eq!(
        error.to_string(),
        "`purging`, info, `killed`, element 1: keys of killed(): `initial_call` is missing, `at` is missing"
    );
}
