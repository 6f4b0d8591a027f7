//! What differs between two versions of a module, of an application, of a set.
//!
//! Takes the versions that a [`Changed`] holds, or two application files, and gives the differences that
//! people ask about before an upgrade: exports, behaviours, attributes, records, struct fields, size. It
//! compares and judges nothing; what cannot be compared (no copy of the old version, no debug information)
//! is said to be unknown, never "the same".

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::app::AppSpec;
use crate::facts::beam::BeamFacts;
use crate::facts::beam::debug::{RecordDefinition, RecordDefinitions};
use crate::facts::change::{Beam, ChangeSet, Changed};
use crate::name::{App, FunctionArity, Md5, Module};
use crate::term::{Atom, Term};

/// What was added and what was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta<T> {
    /// Only in the new version.
    pub added: Vec<T>,
    /// Only in the old version.
    pub removed: Vec<T>,
}

impl<T: Ord + Clone> Delta<T> {
    fn of<'a>(old: impl IntoIterator<Item = &'a T>, new: impl IntoIterator<Item = &'a T>) -> Self
    where
        T: 'a,
    {
        let (before, after): (BTreeSet<&T>, BTreeSet<&T>) =
            (old.into_iter().collect(), new.into_iter().collect());
        Self {
            added: after.difference(&before).copied().cloned().collect(),
            removed: before.difference(&after).copied().cloned().collect(),
        }
    }
}

impl<T> Delta<T> {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// How a module differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffKind {
    /// Only the new version has it.
    New,
    /// Only the old version has it.
    Deleted,
    /// The MD5 differs.
    Changed,
    /// The MD5 is equal and the line numbers in stack traces differ.
    Lines,
    /// Nothing differs that can be observed on a running node.
    Same,
}

/// An attribute whose values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeDiff {
    /// Its name.
    pub name: Atom,
    /// Values in the old version.
    pub old: Vec<Term>,
    /// Values in the new version.
    pub new: Vec<Term>,
}

/// Fields of a record or a struct in both versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldsDiff {
    /// Fields of the old version, in order.
    pub old: Vec<Atom>,
    /// Fields of the new version, in order.
    pub new: Vec<Atom>,
}

impl FieldsDiff {
    /// Fields added and removed.
    pub fn delta(&self) -> Delta<Atom> {
        Delta::of(&self.old, &self.new)
    }

    /// Whether fields that both versions have are in another order.
    pub fn reordered(&self) -> bool {
        let both = |these: &[Atom], others: &[Atom]| -> Vec<Atom> {
            let common = these.iter().filter(|field| others.contains(field));
            common.cloned().collect()
        };
        both(&self.old, &self.new) != both(&self.new, &self.old)
    }
}

/// A record that differs, is new, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordDiff {
    /// Its name.
    pub name: Atom,
    /// Its fields; an absent definition has none.
    pub fields: FieldsDiff,
    /// Whether both versions define it.
    pub in_both: bool,
    /// Whether it is what the server keeps as its state: made by `init/1`, or named `state` or `data`.
    pub state: bool,
}

/// The differences of one module.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleDiff {
    /// The module.
    pub module: Module,
    /// How it differs.
    pub kind: DiffKind,
    /// MD5 of both versions.
    pub md5: (Option<Md5>, Option<Md5>),
    /// Size of both files in bytes; `None` where there is no file or no copy of it.
    pub size: (Option<usize>, Option<usize>),
    /// `vsn` of both versions, when it differs.
    pub vsn: Option<(Option<Term>, Option<Term>)>,
    /// Exported functions.
    pub exports: Delta<FunctionArity>,
    /// Behaviours; `None` when the old version is known by its MD5 only.
    pub behaviours: Option<Delta<Module>>,
    /// Other attributes that differ.
    pub attributes: Vec<AttributeDiff>,
    /// Records that differ; `None` when a version has no debug information.
    pub records: Option<Vec<RecordDiff>>,
    /// Fields of the Elixir struct that the module defines, when they differ.
    pub struct_fields: Option<FieldsDiff>,
    /// Whether the new version exports `code_change/3` or `code_change/4`.
    pub converts: bool,
}

impl ModuleDiff {
    /// Compares the versions of one module.
    pub fn of(module: &Module, changed: &Changed) -> Self {
        let (old, new) = (
            changed.former_facts(),
            changed.new.as_ref().map(|beam| &beam.facts),
        );
        let unloaded = changed.unloaded.as_ref().map(|beam| &beam.facts);
        let loaded = changed.loaded.as_ref();
        let before = loaded.map(|loaded| loaded.md5);
        let before = before.or(unloaded.map(|facts| facts.md5));
        let md5 = (before, new.map(|facts| facts.md5));
        let none = BTreeSet::new();
        let before = unloaded.map_or(&none, |facts| &facts.exports);
        let before = loaded.map_or(before, |loaded| &loaded.exports);
        let after = new.map_or(&none, |facts| &facts.exports);
        let vsn = (
            match loaded {
                Some(loaded) => loaded.vsn.clone(),
                None => unloaded.map(BeamFacts::vsn),
            },
            new.map(BeamFacts::vsn),
        );
        let both = old.zip(new);
        let former = changed.old.as_ref().or(changed.unloaded.as_ref());
        let beams = former.zip(changed.new.as_ref());
        Self {
            module: module.clone(),
            kind: kind(md5, both),
            md5,
            size: (old.map(|facts| facts.size), new.map(|facts| facts.size)),
            vsn: Some(vsn).filter(|(old, new)| old != new),
            exports: Delta::of(before, after),
            behaviours: both.map(|(old, new)| Delta::of(&old.behaviours, &new.behaviours)),
            attributes: both.map_or_else(Vec::new, |(old, new)| attributes(old, new)),
            records: beams.and_then(|(old, new)| records(old, new)),
            struct_fields: both.and_then(|(old, new)| struct_fields(old, new)),
            converts: [3, 4]
                .iter()
                .any(|arity| new.is_some_and(|facts| facts.exports("code_change", *arity))),
        }
    }

    /// Whether anything but MD5, size and an automatic `vsn` differs.
    pub fn is_visible(&self) -> bool {
        !self.exports.is_empty()
            || self.behaviours.as_ref().is_some_and(|b| !b.is_empty())
            || !self.attributes.is_empty()
            || self.records.as_ref().is_some_and(|r| !r.is_empty())
            || self.struct_fields.is_some()
            || self.written_vsn().is_some()
    }

    /// `vsn` of both versions when it differs and was written by hand: without `-vsn` the compiler puts an
    /// MD5 there, which says nothing that [`ModuleDiff::md5`] does not say.
    pub fn written_vsn(&self) -> Option<(Option<&Term>, Option<&Term>)> {
        // An MD5 as a number has nearly 39 digits; versions written by people are shorter.
        let automatic = |vsn: &Option<Term>| {
            vsn.as_ref().is_none_or(|vsn| {
                let text = vsn.to_string();
                let digits = text.trim_matches(['[', ']']);
                digits.len() > 24 && digits.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        let (old, new) = self.vsn.as_ref()?;
        (!automatic(old) || !automatic(new)).then_some((old.as_ref(), new.as_ref()))
    }

    /// The state records whose fields differ.
    pub fn state_records(&self) -> impl Iterator<Item = &RecordDiff> {
        let records = self.records.iter().flatten();
        records.filter(|record| record.state && record.in_both)
    }
}

fn kind(md5: (Option<Md5>, Option<Md5>), both: Option<(&BeamFacts, &BeamFacts)>) -> DiffKind {
    match md5 {
        (None, _) => DiffKind::New,
        (_, None) => DiffKind::Deleted,
        (old, new) if old != new => DiffKind::Changed,
        _ if both.is_some_and(|(old, new)| old.line_md5 != new.line_md5) => DiffKind::Lines,
        _ => DiffKind::Same,
    }
}

fn attributes(old: &BeamFacts, new: &BeamFacts) -> Vec<AttributeDiff> {
    // Shown elsewhere.
    const OWN: [&str; 3] = ["vsn", "behaviour", "behavior"];
    let values = |facts: &BeamFacts| {
        let mut by_name: BTreeMap<Atom, Vec<Term>> = BTreeMap::new();
        for (name, value) in &facts.attributes {
            if !OWN.contains(&name.as_str()) {
                by_name.entry(name.clone()).or_default().push(value.clone());
            }
        }
        by_name
    };
    let (mut before, mut after) = (values(old), values(new));
    let names: BTreeSet<Atom> = before.keys().chain(after.keys()).cloned().collect();
    let differ = names.into_iter().map(|name| AttributeDiff {
        old: before.remove(&name).unwrap_or_default(),
        new: after.remove(&name).unwrap_or_default(),
        name,
    });
    differ.filter(|both| both.old != both.new).collect()
}

fn records(old: &Beam, new: &Beam) -> Option<Vec<RecordDiff>> {
    let (old, new) = (old.records_in_use()?, new.records_in_use()?);
    let mut names: Vec<&Atom> = Vec::new();
    for record in new.defined.iter().chain(&old.defined) {
        if !names.contains(&&record.name) {
            names.push(&record.name);
        }
    }
    let differ = names.into_iter().filter_map(|name| {
        let (before, after) = (old.get(name), new.get(name));
        let fields = |record: Option<&RecordDefinition>| {
            record.map(|r| r.fields.clone()).unwrap_or_default()
        };
        let fields = FieldsDiff {
            old: fields(before),
            new: fields(after),
        };
        (before != after).then(|| RecordDiff {
            name: name.clone(),
            fields,
            in_both: before.is_some() && after.is_some(),
            state: is_state(name, old, new),
        })
    });
    Some(differ.collect())
}

/// Whether a record is what a server keeps. Only `init/1` knows for certain; a name has to do when it
/// leaves the making to another function.
fn is_state(name: &Atom, old: &RecordDefinitions, new: &RecordDefinitions) -> bool {
    old.made_by_init.contains(name)
        || new.made_by_init.contains(name)
        || matches!(name.as_str(), "state" | "data" | "st")
}

fn struct_fields(old: &BeamFacts, new: &BeamFacts) -> Option<FieldsDiff> {
    let (before, after) = (&old.code.struct_fields, &new.code.struct_fields);
    let fields = FieldsDiff {
        old: before.clone().unwrap_or_default(),
        new: after.clone().unwrap_or_default(),
    };
    // Order means nothing in a struct, which is a map.
    (!fields.delta().is_empty()).then_some(fields)
}

/// A record that several changed modules use and whose fields differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRecord {
    /// Its name.
    pub name: Atom,
    /// Its fields in both versions.
    pub fields: FieldsDiff,
    /// The modules that use it in the new version, two or more, by name.
    pub modules: Vec<Module>,
}

/// The records that several modules of a set use and whose fields differ, as far as debug information
/// of both versions shows. Records of the same name with different fields are different records.
pub fn shared_records(set: &ChangeSet) -> Vec<SharedRecord> {
    let mut users: BTreeMap<(Atom, Vec<Atom>, Vec<Atom>), Vec<Module>> = BTreeMap::new();
    for (module, changed) in &set.modules {
        let Some((old, new)) = changed.old.as_ref().zip(changed.new.as_ref()) else {
            continue;
        };
        let Some((old, new)) = old.records_in_use().zip(new.records_in_use()) else {
            continue;
        };
        for record in new.defined.iter().filter(|r| new.used.contains(&r.name)) {
            let before = old.get(&record.name).filter(|b| b.fields != record.fields);
            if let Some(before) = before {
                let key = (
                    record.name.clone(),
                    before.fields.clone(),
                    record.fields.clone(),
                );
                users.entry(key).or_default().push(module.clone());
            }
        }
    }
    let shared = users.into_iter().filter(|(_, modules)| modules.len() > 1);
    shared
        .map(|((name, old, new), modules)| SharedRecord {
            name,
            fields: FieldsDiff { old, new },
            modules,
        })
        .collect()
}

/// The differences of an application's file.
#[derive(Clone, Debug, PartialEq)]
pub struct AppDiff {
    /// The application.
    pub name: App,
    /// Its version in both files; `None` where there is no file.
    pub vsn: (Option<String>, Option<String>),
    /// `modules`.
    pub modules: Delta<Module>,
    /// `applications` and `included_applications`.
    pub applications: Delta<App>,
    /// `registered`.
    pub registered: Delta<Atom>,
    /// Keys of `env` only in the new file, with their values.
    pub env_added: Vec<(Atom, Term)>,
    /// Keys of `env` only in the old file, with their values.
    pub env_removed: Vec<(Atom, Term)>,
    /// Keys of `env` with their old and new value.
    pub env_changed: Vec<(Atom, Term, Term)>,
    /// Whether `mod` differs.
    pub start_changed: bool,
}

impl AppDiff {
    /// Compares two files of one application; either may be missing.
    pub fn of(name: &App, old: Option<&AppSpec>, new: Option<&AppSpec>) -> Self {
        fn all<T>(spec: Option<&AppSpec>, pick: impl Fn(&AppSpec) -> Vec<T>) -> Vec<T> {
            spec.map(pick).unwrap_or_default()
        }
        fn delta<T: Ord + Clone>(old: Vec<T>, new: Vec<T>) -> Delta<T> {
            Delta::of(&old, &new)
        }
        let env = |spec: Option<&AppSpec>| spec.map(|s| s.env.clone()).unwrap_or_default();
        let (before, after) = (env(old), env(new));
        let only = |these: &BTreeMap<Atom, Term>, others: &BTreeMap<Atom, Term>| {
            let only = these.iter().filter(|(key, _)| !others.contains_key(*key));
            only.map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let needed = |s: &AppSpec| [s.applications.clone(), s.included.clone()].concat();
        Self {
            name: name.clone(),
            vsn: (old.map(|s| s.vsn.clone()), new.map(|s| s.vsn.clone())),
            modules: delta(
                all(old, |s| s.modules.clone()),
                all(new, |s| s.modules.clone()),
            ),
            applications: delta(all(old, needed), all(new, needed)),
            registered: delta(
                all(old, |s| s.registered.clone()),
                all(new, |s| s.registered.clone()),
            ),
            env_added: only(&after, &before),
            env_removed: only(&before, &after),
            env_changed: before
                .iter()
                .filter_map(|(key, old)| Some((key, old, after.get(key)?)))
                .filter(|(_, old, new)| old != new)
                .map(|(key, old, new)| (key.clone(), old.clone(), new.clone()))
                .collect(),
            start_changed: old.map(|s| &s.start) != new.map(|s| &s.start),
        }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.vsn.0 == self.vsn.1
            && self.modules.is_empty()
            && self.applications.is_empty()
            && self.registered.is_empty()
            && self.env_added.is_empty()
            && self.env_removed.is_empty()
            && self.env_changed.is_empty()
            && !self.start_changed
    }
}
