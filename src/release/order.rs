//! Whether the applications of a release fit together, and in which order they are upgraded.
//!
//! The checks of `systools_make` in its order: what is used exists, names and modules have one owner, nothing
//! waits for itself. An application comes behind those it uses and includes; otherwise the order of the
//! `.rel` file holds.

use std::collections::{BTreeMap, BTreeSet};

use super::app::AppFile;
use super::error::{DuplicateOwners, Refusal, ReleaseError};
use super::path::SearchPath;
use super::rel::Release;
use crate::name::App;

/// A release with its applications, sorted.
#[derive(Clone, Debug)]
pub struct Complete {
    /// What the `.rel` file says.
    pub release: Release,
    /// Its applications.
    pub apps: Vec<AppFile>,
}

impl Complete {
    /// Reads a release and all its applications, checks and sorts them.
    ///
    /// # Errors
    /// The first that OTP would find.
    pub fn read(name: &str, path: &SearchPath) -> Result<Self, Refusal> {
        let release = Release::read(name, path)?;
        let mut apps = Vec::with_capacity(release.members.len());
        let mut wrong = Vec::new();
        for (number, member) in release.members.iter().enumerate() {
            match AppFile::find(member, path) {
                Ok(app) => apps.push(app),
                Err(why) => wrong.push((number, member.name.clone(), member.vsn.clone(), why)),
            }
        }
        let list = release.document.place.at(3);
        if let Some((number, ..)) = wrong.first() {
            let span = list.at(*number).span;
            let wrong = wrong.into_iter().rev();
            let wrong = wrong.map(|(_, app, vsn, why)| (app, vsn, why)).collect();
            return Err(ReleaseError::Applications(wrong).at(&release.document, span));
        }
        let apps = checked(&release, apps)
            .map_err(|refusal| refusal.or_at(&release.document, list.span))?;
        release.with_sasl().map(|release| Self { release, apps })
    }
}

fn checked(release: &Release, mut apps: Vec<AppFile>) -> Result<Vec<AppFile>, Refusal> {
    undefined(&apps)?;
    let registered = owners(&apps, |app| app.registered.clone());
    if !registered.is_empty() {
        return Err(ReleaseError::DuplicateRegister(registered).into());
    }
    let included = owners(&apps, |app| app.includes.clone());
    if !included.is_empty() {
        return Err(ReleaseError::DuplicateInclude(included).into());
    }
    use_top_apps(&mut apps);
    let place: BTreeMap<&App, usize> = release
        .members
        .iter()
        .enumerate()
        .rev() // the first of a name counts
        .map(|(number, member)| (&member.name, number))
        .collect();
    for app in &mut apps {
        // Optional ones that are not there come last.
        let key = |name: &App| place.get(name).copied().unwrap_or(usize::MAX);
        app.uses.sort_by_key(key);
        app.includes.sort_by_key(key);
    }
    let modules = owners(&apps, |app| app.modules.clone());
    if !modules.is_empty() {
        return Err(ReleaseError::DuplicateModules(modules).into());
    }
    sorted(apps)
}

fn undefined(apps: &[AppFile]) -> Result<(), Refusal> {
    let defined: BTreeSet<&App> = apps.iter().map(|app| &app.name).collect();
    let mut missing: Vec<App> = Vec::new();
    for app in apps {
        let uses = without(&app.uses, &app.optional);
        for name in uses.iter().chain(&app.includes) {
            if !defined.contains(name) && !missing.contains(name) {
                missing.push(name.clone());
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ReleaseError::UndefinedApplications(missing).into())
    }
}

/// `These -- Those`: each of those takes away its first occurrence.
fn without(these: &[App], those: &[App]) -> Vec<App> {
    let mut left = these.to_vec();
    for one in those {
        if let Some(at) = left.iter().position(|app| app == one) {
            left.remove(at);
        }
    }
    left
}

/// What has more than one owner, in OTP's order: the last first.
fn owners<T: Clone + AsText>(
    apps: &[AppFile],
    of: impl Fn(&AppFile) -> Vec<T>,
) -> DuplicateOwners<T> {
    let mut all: Vec<(T, &App)> = apps
        .iter()
        .flat_map(|app| of(app).into_iter().map(move |thing| (thing, &app.name)))
        .collect();
    all.sort_by(|(a, _), (b, _)| a.text().cmp(b.text()));
    let pairs = all.windows(2).rev();
    pairs
        .filter(|pair| pair[0].0.text() == pair[1].0.text())
        .map(|pair| (pair[0].0.clone(), pair[0].1.clone(), pair[1].1.clone()))
        .collect()
}

/// Names compare by their text, as atoms do.
trait AsText {
    fn text(&self) -> &str;
}

impl AsText for App {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl AsText for crate::name::Module {
    fn text(&self) -> &str {
        self.as_str()
    }
}

impl AsText for crate::term::Atom {
    fn text(&self) -> &str {
        self.as_str()
    }
}

/// An application that uses an included one waits for the topmost one that includes it, unless both are
/// included in the same one.
fn use_top_apps(apps: &mut [AppFile]) {
    let mut included_in: BTreeMap<App, App> = BTreeMap::new();
    for app in apps.iter() {
        for name in &app.includes {
            included_in.entry(name.clone()).or_insert(app.name.clone());
        }
    }
    let top = |name: &App| {
        let mut at = name;
        // A ring of inclusions would never end; no chain is longer than there are links.
        for _ in 0..included_in.len() {
            match included_in.get(at) {
                Some(above) => at = above,
                None => break,
            }
        }
        at.clone()
    };
    for app in apps {
        let own = top(&app.name);
        let mut uses = app.uses.clone();
        for used in &app.uses {
            if *used == own {
                uses = without(&uses, std::slice::from_ref(&own));
                continue;
            }
            let Some(above) = included_in.get(used) else {
                continue;
            };
            let above = top(above);
            if uses.contains(&above) {
                uses = without(&uses, std::slice::from_ref(used));
            } else if above != own {
                uses = without(&uses, std::slice::from_ref(used));
                uses.push(above);
            }
        }
        app.uses = uses;
    }
}

/// Each application behind those it uses, and those it includes.
fn sorted(apps: Vec<AppFile>) -> Result<Vec<AppFile>, Refusal> {
    let mut todo: Vec<usize> = (0..apps.len()).rev().collect(); // the next one is the last
    let mut visited: Vec<usize> = Vec::new();
    let mut circular: Vec<usize> = Vec::new();
    let mut missing: Vec<App> = Vec::new();
    let mut done = Vec::with_capacity(apps.len());
    while let Some(next) = todo.pop() {
        let mut find = |names: &[App]| find_all(&apps, next, names, &mut todo, &visited);
        let (mut first, unknown_used) = find(&apps[next].uses);
        let (included, unknown_included) = find(&apps[next].includes);
        first.extend(included);
        let mut unknown = without(&unknown_used, &apps[next].optional);
        unknown.extend(unknown_included);
        unknown.append(&mut missing);
        missing = unknown;
        if first.is_empty() {
            done.push(next);
            visited.push(next);
            continue;
        }
        let ring: Vec<usize> = first
            .iter()
            .copied()
            .filter(|app| visited.contains(app))
            .collect();
        todo.push(next);
        todo.extend(first.into_iter().rev());
        if !ring.is_empty() {
            todo.retain(|app| !ring.contains(app));
            let before = std::mem::take(&mut circular);
            circular = std::iter::once(next).chain(ring).chain(before).collect();
        }
        visited.push(next);
    }
    let mut seen = BTreeSet::new();
    circular.retain(|app| seen.insert(*app));
    if !circular.is_empty() {
        let name = |at: usize| (apps[at].name.clone(), apps[at].vsn.clone());
        let circular = circular.into_iter().map(name).collect();
        return Err(ReleaseError::CircularDependencies(circular).into());
    }
    if !missing.is_empty() {
        let mut seen = BTreeSet::new();
        missing.retain(|app| seen.insert(app.clone()));
        return Err(ReleaseError::UndefinedApplications(missing).into());
    }
    let mut apps: Vec<Option<AppFile>> = apps.into_iter().map(Some).collect();
    Ok(done.into_iter().filter_map(|at| apps[at].take()).collect())
}

/// Takes those of the names that are still to be done out of the list; and names that are nowhere.
fn find_all(
    apps: &[AppFile],
    checking: usize,
    names: &[App],
    todo: &mut Vec<usize>,
    visited: &[usize],
) -> (Vec<usize>, Vec<App>) {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    // OTP goes through the names from the last one and puts what it finds in front.
    for name in names.iter().rev() {
        let place = todo.iter().rposition(|at| apps[*at].name == *name);
        // It is fine for one to use the application that includes it.
        let inside = place.is_some_and(|at| apps[todo[at]].includes.contains(&apps[checking].name));
        match place {
            Some(at) if !inside => found.push(todo.remove(at)),
            _ if visited.iter().any(|at| apps[*at].name == *name) => {}
            _ => unknown.push(name.clone()),
        }
    }
    found.reverse();
    unknown.reverse();
    (found, unknown)
}
