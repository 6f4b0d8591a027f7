//! What may be built into updo, held without the network and without cargo-deny: licences, sources, second versions and
//! crates that are refused, by the rules of `deny.toml`; and that no locked version was withdrawn, as far as cargo's own copy
//! of the registry's index knows. Advisories are a list of another host: `make deny` asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use super::{output, read};

/// A package that is built here, for updo or for its tests. `cargo metadata` also has those of features that are off.
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Where it is from, when that is not the registry.
    source: Option<String>,
}

fn packages() -> Vec<Package> {
    let tree = [
        "tree",
        "--locked",
        "--offline",
        "--edges=normal,build,dev",
        "--prefix=none",
        "--no-dedupe",
        "--format={p}|{l}",
    ];
    let lines = output(env!("CARGO"), &tree);
    let all: BTreeSet<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
    let all: Vec<Package> = all.into_iter().map(package).collect();
    assert!(all.len() > 200, "only {} packages", all.len());
    all
}

/// `serde v1.0.228 (proc-macro)|MIT OR Apache-2.0`
fn package(line: &str) -> Package {
    let (package, licence) = line.split_once('|').expect("a licence");
    let mut words = package.split(' ');
    let name = words.next().expect("a name").to_owned();
    let version = words.next().and_then(|word| word.strip_prefix('v'));
    let source: Vec<&str> = words.filter(|word| *word != "(proc-macro)").collect();
    Package {
        name,
        version: version.expect("a version").to_owned(),
        licence: licence.to_owned(),
        source: (!source.is_empty()).then(|| source.join(" ")),
    }
}

fn rules() -> toml::Table {
    read("deny.toml").parse().expect("TOML")
}

/// The texts of a list of `deny.toml`.
fn texts(rules: &toml::Table, section: &str, list: &str) -> BTreeSet<String> {
    let list = rules[section][list].as_array().expect("a list");
    let text = |item: &toml::Value| item.as_str().expect("a text").to_owned();
    list.iter().map(text).collect()
}

/// Whether an expression of SPDX is satisfied by what is allowed. `/` is what older crates write for `OR`.
fn allows(allowed: &BTreeSet<String>, used: &mut BTreeSet<String>, expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ")
        .replace(" WITH ", "+WITH+");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let met = either(allowed, used, &mut rest);
    assert!(rest.is_empty(), "{expression}: {rest:?} is left");
    met
}

fn either(allowed: &BTreeSet<String>, used: &mut BTreeSet<String>, rest: &mut &[&str]) -> bool {
    let mut met = both(allowed, used, rest);
    while let Some(("OR", tail)) = rest.split_first().map(|(word, tail)| (*word, tail)) {
        *rest = tail;
        met |= both(allowed, used, rest);
    }
    met
}

fn both(allowed: &BTreeSet<String>, used: &mut BTreeSet<String>, rest: &mut &[&str]) -> bool {
    let mut met = one(allowed, used, rest);
    while let Some(("AND", tail)) = rest.split_first().map(|(word, tail)| (*word, tail)) {
        *rest = tail;
        met &= one(allowed, used, rest);
    }
    met
}

fn one(allowed: &BTreeSet<String>, used: &mut BTreeSet<String>, rest: &mut &[&str]) -> bool {
    let (word, tail) = rest.split_first().expect("a licence");
    *rest = tail;
    if *word == "(" {
        let met = either(allowed, used, rest);
        let (end, tail) = rest.split_first().expect("an end");
        assert_eq!(*end, ")");
        *rest = tail;
        return met;
    }
    let licence = word.replace("+WITH+", " WITH ");
    let met = allowed.contains(&licence);
    if met {
        used.insert(licence);
    }
    met
}

#[test]
fn every_licence_is_one_that_deny_toml_allows() {
    let allowed = texts(&rules(), "licenses", "allow");
    let mut used = BTreeSet::new();
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| {
            package.licence.is_empty() || !allows(&allowed, &mut used, &package.licence)
        })
        .map(|package| format!("{}: {}", package.name, package.licence))
        .collect();
    assert_eq!(refused, [""; 0]);
    let unused: Vec<&String> = allowed.difference(&used).collect();
    assert!(unused.is_empty(), "needed by nothing: {unused:?}");
}

#[test]
fn licences_are_read_as_spdx_has_them() {
    let allowed = BTreeSet::from(["MIT", "ISC", "A WITH B"].map(str::to_owned));
    let met = |text: &str| allows(&allowed, &mut BTreeSet::new(), text);
    for text in [
        "MIT",
        "GPL-3.0 OR MIT",
        "MIT/GPL-3.0",
        "(GPL-3.0 OR MIT) AND ISC",
        "A WITH B",
        "MIT AND ISC",
    ] {
        assert!(met(text), "{text}");
    }
    for text in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "ISC AND (GPL-3.0 OR GPL-2.0)",
        "A",
        "A WITH C",
    ] {
        assert!(!met(text), "{text}");
    }
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let elsewhere: Vec<String> = packages()
        .into_iter()
        .filter(|package| package.name != "updo" && package.source.is_some())
        .map(|package| format!("{}: {:?}", package.name, package.source))
        .collect();
    assert_eq!(elsewhere, [""; 0]);
    // What another system would need counts too, and nothing may be taken without its checksum.
    let lock: toml::Table = read("Cargo.lock").parse().expect("TOML");
    let locked = lock["package"].as_array().expect("packages");
    assert!(locked.len() > 250, "only {}", locked.len());
    for package in locked {
        let is_own = package["name"].as_str() == Some("updo");
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        let source = package.get("source").and_then(|source| source.as_str());
        assert_eq!(source, (!is_own).then_some(registry), "{package:?}");
        assert_eq!(package.get("checksum").is_some(), !is_own, "{package:?}");
    }
}

#[test]
fn refused_crates_are_not_among_them() {
    let rules = rules();
    let refused = rules["bans"]["deny"].as_array().expect("a list");
    let refused: BTreeSet<&str> = refused
        .iter()
        .filter_map(|entry| entry["crate"].as_str())
        .collect();
    assert!(refused.contains("openssl-sys"), "{refused:?}");
    let lock: toml::Table = read("Cargo.lock").parse().expect("TOML");
    let locked = lock["package"].as_array().expect("packages").iter();
    let found: Vec<&str> = locked
        .filter_map(|package| package["name"].as_str())
        .filter(|name| refused.contains(name))
        .collect();
    assert_eq!(found, [""; 0]);
}

/// Whether `one` is a version that `deny.toml` names, by all or by the first of its numbers.
fn is_version(named: &str, one: &str) -> bool {
    one == named || one.starts_with(&format!("{named}."))
}

#[test]
fn a_second_version_has_its_reason() {
    let rules = rules();
    let mut skipped: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in rules["bans"]["skip"].as_array().expect("a list") {
        let named = entry["crate"].as_str().expect("a crate");
        assert!(entry["reason"].as_str().is_some_and(|why| why.len() > 5));
        let (name, version) = named.split_once('@').expect("NAME@VERSION");
        skipped.entry(name).or_default().push(version);
    }
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        versions
            .entry(package.name)
            .or_default()
            .insert(package.version);
    }
    for (name, all) in &versions {
        let named = skipped.remove(name.as_str()).unwrap_or_default();
        let others = all
            .iter()
            .filter(|one| !named.iter().any(|skip| is_version(skip, one)));
        assert!(
            others.count() <= 1,
            "{name} is built as {all:?}: deny.toml has a reason for {named:?} only"
        );
        for skip in named {
            let is_needed = all.len() > 1 && all.iter().any(|one| is_version(skip, one));
            assert!(is_needed, "deny.toml: {name}@{skip} is not needed any more");
        }
    }
    assert!(skipped.is_empty(), "deny.toml: not built: {skipped:?}");
}

/// Where cargo keeps what it has been answered about a crate.
fn index(name: &str) -> PathBuf {
    match name.len() {
        1 | 2 => PathBuf::from(format!("{}/{name}", name.len())),
        3 => PathBuf::from(format!("3/{}/{name}", &name[..1])),
        _ => PathBuf::from(format!("{}/{}/{name}", &name[..2], &name[2..4])),
    }
}

/// What a file of the index says of a version: `Some(true)` when it was withdrawn.
fn is_yanked(file: &[u8], version: &str) -> Option<bool> {
    file.split(|byte| *byte == 0)
        .filter_map(|piece| serde_json::from_slice::<Value>(piece).ok())
        .find(|entry| entry["vers"] == version)
        .and_then(|entry| entry["yanked"].as_bool())
}

#[test]
fn no_locked_version_was_withdrawn() {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cargo"),
        PathBuf::from,
    );
    let registries = std::fs::read_dir(home.join("registry/index"))
        .into_iter()
        .flatten();
    let caches: Vec<PathBuf> = registries
        .map(|entry| entry.expect("an entry").path().join(".cache"))
        .collect();
    let (mut known, mut unknown, mut yanked) = (0, Vec::new(), Vec::new());
    for Package { name, version, .. } in packages() {
        let said = caches.iter().find_map(|cache| {
            let file = std::fs::read(cache.join(index(&name.to_lowercase()))).ok()?;
            is_yanked(&file, &version)
        });
        match said {
            Some(true) => yanked.push(format!("{name} {version}")),
            Some(false) => known += 1,
            None => unknown.push(format!("{name} {version}")),
        }
    }
    assert_eq!(yanked, [""; 0], "withdrawn: `cargo update -p NAME`");
    println!(
        "{known} versions are not withdrawn; of {} the index here says nothing",
        unknown.len()
    );
    // Sources that were vendored have no index.
    assert!(known == 0 || unknown.len() < 10, "{unknown:?}");
    let two = b"\x03\x021.0.0\0{\"vers\":\"1.0.0\",\"yanked\":false}\x001.0.1\0{\"vers\":\"1.0.1\",\"yanked\":true}\0";
    let said = ["1.0.0", "1.0.1", "1.0.2"].map(|version| is_yanked(two, version));
    assert_eq!(said, [Some(false), Some(true), None]);
}
