//! Applications whose new version lies in another folder of the node: in `NAME-VSN` beside the running one, or in another
//! library folder.
//!
//! Takes what the plan wants and the node's listings, gives for each application where it runs and where the new version
//! is. Moves nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::compared_node::ComparedNode;
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::facts::app::versions::{compare_versions, name_of, versioned};
use crate::facts::change::{Notice, PathSwitch};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CORE, CodeOrigin, NodeFacts};
use crate::facts::node::node_files::OnDisk;
use crate::name::{App, Md5};

/// Which applications have their new version in another folder, as the plan says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    /// `newest`: the newest version installed beside the running one.
    pub newest: Option<Which>,
    /// `from`: another folder of applications on the node.
    pub from: Option<(String, Span)>,
    /// `update_paths`: also for applications without a difference.
    pub update_paths: bool,
}

/// All running applications, or some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// These, with their place in the plan.
    Apps(Vec<App>, Span),
}

/// Where an application runs: its folder of beams as `ROOT/NAME[-VSN]/ebin`.
struct Home<'a> {
    app: &'a App,
    ebin: &'a str,
    root: &'a str,
    folder: &'a str,
}

impl Home<'_> {
    fn name(&self) -> &str {
        versioned(self.folder).map_or(self.folder, |(name, _)| name)
    }
}

/// The applications to move.
///
/// # Errors
/// E213 when the plan names an application that does not run, or a folder that has none of those that run.
pub(super) fn moves(node: &mut ComparedNode<'_>, wanted: &Libraries) -> Result<Vec<PathSwitch>> {
    let homes = homes(node.facts);
    let mut found = match (&wanted.from, &wanted.newest) {
        (Some((root, span)), _) => elsewhere(node, &homes, root.trim_end_matches('/'), *span)?,
        (None, Some(which)) => newest(node, &homes, which)?,
        (None, None) => Vec::new(),
    };
    if wanted.from.is_some() && !wanted.update_paths {
        let differs = differing(node, &found)?;
        let mut differs = differs.into_iter();
        found.retain(|_| differs.next().unwrap_or(true));
    }
    Ok(found)
}

/// Where the running applications are.
fn homes(facts: &NodeFacts) -> Vec<Home<'_>> {
    let apps = facts.apps.keys();
    apps.filter(|app| !CORE.contains(&app.as_str()))
        .filter_map(|app| {
            let ebin = facts.folder_of_app(app)?;
            let (root, folder) = ebin.strip_suffix("/ebin")?.rsplit_once('/')?;
            Some(Home {
                app,
                ebin,
                root,
                folder,
            })
        })
        .collect()
}

/// The newest version beside the running one.
fn newest(
    node: &mut ComparedNode<'_>,
    homes: &[Home<'_>],
    which: &Which,
) -> Result<Vec<PathSwitch>> {
    if let Which::Apps(apps, span) = which
        && let Some(unknown) = apps.iter().find(|app| !node.facts.apps.contains_key(*app))
    {
        let title = format!("no application `{unknown}` runs on {}", node.session.node());
        let diagnostic = Diagnostic::new(Code::E213, title).label(*span, "named here");
        return Err(Box::new(
            diagnostic.help("`updo status` lists the applications of a node"),
        ));
    }
    let mut found = Vec::new();
    for (home, _, to) in newer_beside(node, homes)? {
        let chosen = match which {
            Which::All => true,
            Which::Apps(apps, _) => apps.contains(home.app),
        };
        if chosen {
            found.push(moved(home, to));
        }
    }
    Ok(found)
}

fn moved(home: &Home<'_>, to: String) -> PathSwitch {
    PathSwitch {
        app: home.app.clone(),
        name: home.name().to_owned(),
        from: home.ebin.to_owned(),
        to,
    }
}

/// For each application that has one: the newest of its versions beside it that has beams, newer than its own.
fn newer_beside<'h, 'a>(
    node: &mut ComparedNode<'_>,
    homes: &'h [Home<'a>],
) -> Result<Vec<(&'h Home<'a>, String, String)>> {
    let mut roots: BTreeMap<&str, Vec<&Home<'_>>> = BTreeMap::new();
    for home in homes.iter().filter(|home| versioned(home.folder).is_some()) {
        roots.entry(home.root).or_default().push(home);
    }
    let folders: Vec<String> = roots.keys().map(|root| (*root).to_owned()).collect();
    let mut found = Vec::new();
    for (names, (root, homes)) in node.disk.list(&folders)?.iter().zip(&roots) {
        for home in homes {
            let Some((name, vsn)) = versioned(home.folder) else {
                continue;
            };
            let newest = names
                .iter()
                .filter_map(|folder| versioned(folder))
                .filter(|(other, newer)| *other == name && compare_versions(newer, vsn).is_gt())
                .max_by(|(_, a), (_, b)| compare_versions(a, b));
            if let Some((_, newer)) = newest {
                found.push((
                    *home,
                    newer.to_owned(),
                    format!("{root}/{name}-{newer}/ebin"),
                ));
            }
        }
    }
    let folders: Vec<String> = found.iter().map(|(.., folder)| folder.clone()).collect();
    let listings = node.disk.list(&folders)?;
    let has_beams = |names: &Vec<String>| names.iter().any(|name| name.ends_with(".beam"));
    let both = found.into_iter().zip(listings);
    Ok(both
        .filter(|(_, names)| has_beams(names))
        .map(|(one, _)| one)
        .collect())
}

/// Running applications that do not move and have a newer version beside them.
pub(super) fn newer_versions(
    node: &mut ComparedNode<'_>,
    moves: &[PathSwitch],
) -> Result<Vec<Notice>> {
    let mut homes = homes(node.facts);
    homes.retain(|home| !moves.iter().any(|one| one.app == *home.app));
    let found = newer_beside(node, &homes)?;
    let notices = found
        .into_iter()
        .map(|(home, newer, folder)| Notice::NewerBeside {
            app: home.app.clone(),
            running: versioned(home.folder).map_or("", |(_, vsn)| vsn).to_owned(),
            newer,
            folder,
        });
    Ok(notices.collect())
}

/// The applications that another library folder has, each in its newest version there.
fn elsewhere(
    node: &mut ComparedNode<'_>,
    homes: &[Home<'_>],
    root: &str,
    span: Span,
) -> Result<Vec<PathSwitch>> {
    let listed = node.disk.list(&[root.to_owned()])?;
    let names = listed.into_iter().next().unwrap_or_default();
    let mut found = Vec::new();
    for home in homes {
        let versions = names.iter().filter(|folder| {
            *folder == home.name() || versioned(folder).is_some_and(|(name, _)| name == home.name())
        });
        let vsn = |folder: &str| versioned(folder).map_or("", |(_, vsn)| vsn).to_owned();
        let best = versions.max_by(|a, b| compare_versions(&vsn(a), &vsn(b)));
        if let Some(folder) = best {
            found.push(moved(home, format!("{root}/{folder}/ebin")));
        }
    }
    let folders: Vec<String> = found.iter().map(|one| one.to.clone()).collect();
    let mut listings = node.disk.list(&folders)?.into_iter();
    found.retain(|_| {
        let names = listings.next().unwrap_or_default();
        names
            .iter()
            .any(|name| name.ends_with(".beam") || name.ends_with(".app"))
    });
    if found.is_empty() {
        let title = format!(
            "`{root}` has none of the applications that run on {}",
            node.session.node()
        );
        let diagnostic = Diagnostic::new(Code::E213, title).label(span, "this folder of the node");
        return Err(Box::new(diagnostic.help(
            "it is the folder on the node that holds `NAME-VSN/ebin` or `NAME/ebin` for each application",
        )));
    }
    found.retain(|one| one.from != one.to);
    Ok(found)
}

/// For each: whether its folder says another version, or a loaded module has another file there.
fn differing(node: &mut ComparedNode<'_>, moves: &[PathSwitch]) -> Result<Vec<bool>> {
    let facts = node.facts;
    let mut files = Vec::new();
    let mut asked: Vec<(usize, Md5)> = Vec::new();
    for (at, one) in moves.iter().enumerate() {
        let modules = facts.apps.get(&one.app).map(|app| app.modules.as_slice());
        for module in modules.unwrap_or_default() {
            let Some(loaded) = facts.loaded.get(module) else {
                continue;
            };
            if matches!(loaded.origin, CodeOrigin::File(_)) {
                files.push(format!("{}/{}.beam", one.to, module.as_str()));
                asked.push((at, loaded.md5));
            }
        }
    }
    let base = |ebin: &str| -> Option<String> {
        let (_, folder) = ebin.strip_suffix("/ebin")?.rsplit_once('/')?;
        Some(folder.to_owned())
    };
    let mut differs: Vec<bool> = moves
        .iter()
        .map(|one| base(&one.from) != base(&one.to))
        .collect();
    for ((at, md5), found) in asked.into_iter().zip(node.disk.beams(&files)?) {
        let same = matches!(found, OnDisk::Beam(known) if known.md5 == md5);
        differs[at] |= !same;
    }
    Ok(differs)
}

/// Where the new version of the node's files is.
#[derive(Debug, Default)]
pub(super) struct NewFolders {
    /// The applications whose code path is switched.
    pub(super) moves: Vec<PathSwitch>,
    /// Folders whose files are not the ones to look at, with those that take their place: of applications that move, and
    /// what an earlier move has left in memory only.
    pub(super) left: BTreeMap<String, String>,
}

impl NewFolders {
    /// Where it is when these applications move.
    pub(super) fn new(facts: &NodeFacts, moves: Vec<PathSwitch>) -> Self {
        let left = left(facts, &moves);
        Self { moves, left }
    }

    /// Where the new version of a file is.
    pub(super) fn moved(&self, file: &str) -> String {
        let moved = folder_of(file).and_then(|folder| {
            let to = self.left.get(folder)?;
            Some(format!("{to}{}", &file[folder.len()..]))
        });
        moved.unwrap_or_else(|| file.to_owned())
    }

    /// The folder that an application's new beams are in.
    pub(super) fn of_app<'a>(&'a self, facts: &'a NodeFacts, app: &App) -> Option<&'a str> {
        let one = self.moves.iter().find(|one| one.app == *app);
        match one {
            Some(one) => Some(&one.to),
            None => facts.folder_of_app(app),
        }
    }
}

fn left(facts: &NodeFacts, moves: &[PathSwitch]) -> BTreeMap<String, String> {
    let mut left: BTreeMap<String, String> = BTreeMap::new();
    let path: BTreeSet<&str> = facts.path.iter().map(String::as_str).collect();
    for (app, running) in &facts.apps {
        let Some(home) = facts.folder_of_app(app) else {
            continue;
        };
        let to = moves.iter().find(|one| one.app == *app);
        let to = to.map_or(home, |one| one.to.as_str());
        let files = running
            .modules
            .iter()
            .filter_map(|module| facts.file_of(module));
        for folder in files.filter_map(folder_of) {
            let stale = !path.contains(folder) && name_of(folder) == name_of(home);
            if folder != to && (folder == home || stale) {
                left.insert(folder.to_owned(), to.to_owned());
            }
        }
        if home != to {
            left.insert(home.to_owned(), to.to_owned());
        }
    }
    left
}
