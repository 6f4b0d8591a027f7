//! Whether the new version of each module can have the states that a rehearsal found, and the data in them.
//!
//! Takes a prepared upgrade and what a rehearsal reports of states (shapes, never values), gives what does not fit.

use std::collections::{BTreeMap, BTreeSet};

use super::Upgrade;
use crate::diag::{Code, Diagnostic};
use crate::exec::rehearsal::{Seek, Tried};
use crate::facts::beam::code::symbolic::{TupleUses, ValueKind};
use crate::facts::beam::states::{Held, Place, StateShape, Version, demands};
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::node::agent::protocol::{Form, HeldForms, PartForm};
use crate::parallel::computed;
use crate::rules::states::{Fit, Seen, Versions};
use crate::term::Atom;

/// How many functions or modules are named.
const NAMED: usize = 3;

/// Records and structs that only the running code knows in the form that it has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grown {
    /// Records: size of the tuple before and after.
    records: BTreeMap<Atom, (u32, u32)>,
    /// Structs: their new keys, in order.
    structs: BTreeMap<Atom, Vec<Atom>>,
}

impl Grown {
    /// What has grown in an upgrade.
    pub(super) fn of(changes: &ChangeSet) -> Self {
        let mut grown = Self::default();
        let mut spoiled = BTreeSet::new();
        for (module, changed) in &changes.modules {
            let (Some(old), Some(new)) = (&changed.old, &changed.new) else {
                continue;
            };
            if let Some(keys) = &new.facts.code.struct_fields {
                let mut keys = keys.clone();
                keys.sort();
                let former = old.facts.code.struct_fields.clone().unwrap_or_default();
                if !former.is_empty() && keys.iter().any(|key| !former.contains(key)) {
                    grown.structs.insert(Atom::new(module.as_str()), keys);
                }
            }
            let (before, after) = (old.records(), new.records());
            let size = |fields: usize| u32::try_from(fields + 1).unwrap_or(u32::MAX);
            for record in after {
                let former = before.iter().find(|former| former.name == record.name);
                let Some(former) = former else { continue };
                if former.fields.len() == record.fields.len() {
                    continue;
                }
                let sizes = (size(former.fields.len()), size(record.fields.len()));
                match grown.records.get(&record.name) {
                    Some(known) if *known != sizes => {
                        spoiled.insert(record.name.clone());
                    }
                    _ => {
                        grown.records.insert(record.name.clone(), sizes);
                    }
                }
            }
        }
        // Code that knows the former size as well converts, or reads both. And what no new code uses needs no size.
        let mut used = BTreeSet::new();
        for (module, changed) in &changes.modules {
            let Some(new) = changed.new.as_ref().filter(|_| !grown.records.is_empty()) else {
                continue;
            };
            match TupleUses::read(module, &new.bytes) {
                Some(uses) => {
                    for (tag, (before, after)) in &grown.records {
                        if uses.has(tag, *before) {
                            spoiled.insert(tag.clone());
                        }
                        if uses.has(tag, *after) {
                            used.insert(tag.clone());
                        }
                    }
                }
                None => spoiled.extend(grown.records.keys().cloned()),
            }
        }
        grown
            .records
            .retain(|tag, _| used.contains(tag) && !spoiled.contains(tag));
        grown
    }

    /// What a rehearsal looks for.
    pub(super) fn seek(&self) -> Seek {
        let records = self.records.iter();
        let structs = self.structs.iter();
        Seek {
            records: records
                .map(|(tag, (before, _))| (tag.clone(), *before))
                .collect(),
            structs: structs
                .map(|(name, keys)| (name.clone(), keys.clone()))
                .collect(),
        }
    }
}

/// A shape as the analysis has it.
fn shape(form: &Form) -> StateShape {
    let map = |size: u64, keys: &[Atom], name: Option<&Atom>| {
        let mut keys = keys.to_vec();
        keys.sort();
        let whole = keys.len() as u64 == size;
        StateShape::Map(keys, whole, name.cloned())
    };
    match form {
        Form::Tuple { size, first } => {
            StateShape::Tuple(u32::try_from(*size).unwrap_or(u32::MAX), first.clone())
        }
        Form::Struct { size, keys, name } => map(*size, keys, Some(name)),
        Form::Map { size, keys } => map(*size, keys, None),
        Form::List {} => StateShape::Kind(ValueKind::List),
        Form::Binary {} => StateShape::Kind(ValueKind::Binary),
        Form::Number {} => StateShape::Kind(ValueKind::Number),
        Form::Atom {} => StateShape::Kind(ValueKind::Atom),
        Form::Function {} => StateShape::Kind(ValueKind::Function),
        Form::Pid {} => StateShape::Kind(ValueKind::Pid),
        Form::Other {} => StateShape::Unknown,
    }
}

/// Parts whose places are known.
fn parts(all: &[PartForm]) -> Vec<(Place, StateShape)> {
    let part = |part: &PartForm| {
        let place = match (&part.key, part.element) {
            (Some(key), _) => Place::Key(key.clone()),
            (None, Some(at)) => Place::Element(u32::try_from(at).ok()?),
            (None, None) => return None,
        };
        Some((place, shape(&part.what)))
    };
    all.iter().filter_map(part).collect()
}

/// A state before and after its conversion.
fn both(held: &HeldForms) -> (Held, Held) {
    let before = Held {
        name: held.was.clone(),
        shape: shape(&held.from),
        parts: parts(&held.from_parts),
    };
    let after = Held {
        name: held.name.clone(),
        shape: shape(&held.to),
        parts: parts(&held.to_parts),
    };
    (before, after)
}

/// States that do not fit, of all modules.
pub(super) fn fits(upgrade: &Upgrade, tried: &[&Tried]) -> Vec<Fit> {
    let tried = tried.iter().filter(|tried| !tried.held.is_empty());
    let tried: Vec<&Tried> = tried.copied().collect();
    let of_one = |tried: &&Tried| -> Vec<Fit> {
        let Some(mut versions) = Versions::of(&upgrade.changes, &tried.module) else {
            return Vec::new();
        };
        let fit = |held: &HeldForms| {
            let (before, after) = both(held);
            versions.fit(Seen::Live(held.states), !tried.kept, &before, &after)
        };
        tried.held.iter().filter_map(fit).collect()
    };
    let mut found = Vec::new();
    for fit in computed(&tried, of_one).into_iter().flatten() {
        add(&mut found, fit);
    }
    found
}

/// Finds which states that a rollback would make the running version could not take.
pub(super) fn fits_back(upgrade: &Upgrade, tried: &mut Tried) {
    let Some(mut versions) = Versions::of(&upgrade.changes, &tried.module) else {
        return;
    };
    for other in &mut tried.back.others {
        let Some(held) = &other.held else { continue };
        let (before, after) = both(held);
        let found = versions.back(&before, &after).filter(|found| found.certain);
        other.fails = found.map(|found| found.callbacks).unwrap_or_default();
    }
}

/// Shapes of one module that fail in the same way are one finding, with the first of the shapes.
fn add(found: &mut Vec<Fit>, fit: Fit) {
    let same = found
        .iter_mut()
        .find(|other| other.module == fit.module && other.misfit == fit.misfit);
    match (same.map(|other| &mut other.seen), fit.seen) {
        (Some(Seen::Live(all)), Seen::Live(more)) => *all += more,
        _ => found.push(fit),
    }
}

/// W635 for each form of data that states and tables hold and that the new code knows otherwise.
pub(super) fn held_data(
    upgrade: &Upgrade,
    grown: &Grown,
    tried: &[&Tried],
    fits: &[Fit],
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut tables = BTreeSet::new();
    for tried in tried {
        for inside in &tried.inside {
            // The state itself was reported.
            let whole = shape(&inside.what);
            let is_whole = |fit: &Fit| fit.module == tried.module && fit.after.shape == whole;
            if fits.iter().any(is_whole) {
                continue;
            }
            let states = match inside.states {
                1 => "1 state".to_owned(),
                number => format!("{number} states"),
            };
            let place = format!("{states} of `{}`", tried.module);
            found.extend(diagnostic(
                upgrade,
                grown,
                &place,
                "hold",
                &shape(&inside.what),
            ));
        }
        for table in &tried.tables {
            if tables.insert(table.table.clone()) {
                let place = format!("rows of the table `{}`", table.table);
                found.extend(diagnostic(
                    upgrade,
                    grown,
                    &place,
                    "are",
                    &shape(&table.what),
                ));
            }
        }
    }
    found
}

fn diagnostic(
    upgrade: &Upgrade,
    grown: &Grown,
    place: &str,
    verb: &str,
    what: &StateShape,
) -> Option<Diagnostic> {
    match what {
        StateShape::Tuple(_, Some(tag)) => {
            let (_, after) = grown.records.get(tag)?;
            let title = format!("{place} {verb} {what}");
            let note = format!("the new code knows `{tag}` with {after} elements only");
            Some(
                Diagnostic::new(Code::W635, title).note(note).help(
                    "convert them, in `code_change` or a hook, or let the new code read both",
                ),
            )
        }
        StateShape::Map(former, true, Some(name)) => {
            let now = grown.structs.get(name)?;
            let mut functions = Vec::new();
            for (module, changed) in &upgrade.changes.modules {
                let Some(new) = &changed.new else { continue };
                let knows = now
                    .iter()
                    .any(|key| !former.contains(key) && new.facts.code.atoms.contains(key));
                let version = if knows {
                    Version::read(module, &new.bytes)
                } else {
                    None
                };
                let Some(mut version) = version else { continue };
                if version
                    .uses()
                    .put
                    .iter()
                    .any(|key| now.contains(key) && !former.contains(key))
                {
                    return None;
                }
                let demanding = demands(&mut version, name, former, now);
                functions.extend(
                    demanding
                        .into_iter()
                        .map(|f| format!("`{module}:{}/{}`", f.name, f.arity)),
                );
            }
            if functions.is_empty() {
                return None;
            }
            let lacks = now.iter().filter(|key| !former.contains(key));
            let lacks: Vec<String> = lacks.map(|key| format!("`{key}`")).collect();
            let name = Module::new(name.as_str());
            let title = format!(
                "{place} {verb} structs `%{name}{{}}` without {}",
                lacks.join(", ")
            );
            functions.truncate(NAMED);
            Some(
                Diagnostic::new(Code::W635, title)
                    .note(format!(
                        "the new code demands that: {}",
                        functions.join(", ")
                    ))
                    .help("convert them in `code_change`: merge each into the new defaults"),
            )
        }
        _ => None,
    }
}
