//! What a release brings beside its beams: another configuration, another Elixir or run-time system.
//!
//! Applications of a release lie in `ROOT/lib`, what is true of the whole in `ROOT/releases/VSN`: `sys.config`,
//! `runtime.exs`, `NAME.rel`. A running node has read the former two when it booted; new code is loaded beside a
//! configuration that it may not have been written for. Takes the folders of the new beams, gives the differences.
//! The files are read as terms and never evaluated; of `runtime.exs` only what its lines begin with is reported.

#![expect(
    clippy::disallowed_methods,
    reason = "the applications of an unpacked release are folders"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::compared_node::ComparedNode;
use super::local_beams::small_file;
use crate::diag::Result;
use crate::facts::app::app_specs::MAX_SPEC;
use crate::facts::app::versions::compare_versions;
use crate::facts::change::{PathSwitch, ReleaseChange};
use crate::facts::node::queries;
use crate::name::App;
use crate::syntax::parse_term;
use crate::term::{Atom, Term};

/// Where the files of a new release are.
pub(super) enum ReleaseLocation {
    /// On the node.
    Node,
    /// On this machine.
    Here,
}

impl ReleaseLocation {
    fn list(&self, node: &mut ComparedNode<'_>, folder: &str) -> Result<Vec<String>> {
        match self {
            Self::Node => Ok(node
                .disk
                .list(&[folder.to_owned()])?
                .pop()
                .unwrap_or_default()),
            Self::Here => {
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                Ok(names.collect())
            }
        }
    }

    fn read(&self, node: &mut ComparedNode<'_>, files: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        match self {
            Self::Node => node.disk.read(files),
            Self::Here => {
                let read = |file: &String| small_file(std::path::Path::new(file));
                Ok(files.iter().map(read).collect())
            }
        }
    }
}

/// The `ROOT/releases` that a folder of beams belongs to: of `ROOT/lib/APP/ebin` or `ROOT/releases/VSN/consolidated`.
fn releases_of(folder: &str) -> Option<String> {
    if let Some(version) = folder.strip_suffix("/consolidated") {
        let (releases, _) = version.rsplit_once('/')?;
        return releases.ends_with("/releases").then(|| releases.to_owned());
    }
    let (lib, _) = folder.strip_suffix("/ebin")?.rsplit_once('/')?;
    Some(format!("{}/releases", lib.strip_suffix("/lib")?))
}

/// What the release brings that these folders of new beams belong to; `moves`: the applications whose code path is
/// switched with it.
pub(super) fn inspect(
    node: &mut ComparedNode<'_>,
    place: &ReleaseLocation,
    folders: &BTreeSet<String>,
    moves: &[PathSwitch],
) -> Result<Option<ReleaseChange>> {
    let roots: BTreeSet<String> = folders.iter().filter_map(|f| releases_of(f)).collect();
    for root in roots {
        let names = place.list(node, &root)?;
        if names.is_empty() {
            continue;
        }
        let running = queries::release_version(node.session)?;
        let started = place
            .read(node, &[format!("{root}/start_erl.data")])?
            .pop()
            .flatten();
        let started = started.and_then(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            text.split_whitespace().nth(1).map(str::to_owned)
        });
        let installed = started.filter(|vsn| names.contains(vsn));
        let newest = names.iter().filter(|name| {
            name.starts_with(|c: char| c.is_ascii_digit())
                && compare_versions(name, &running).is_gt()
        });
        let newest = newest.max_by(|a, b| compare_versions(a, b)).cloned();
        // What the node was started from is no news; the same version built again and pushed may be.
        let is_news = |vsn: &String| *vsn != running || matches!(place, ReleaseLocation::Here);
        let Some(vsn) = installed.filter(is_news).or(newest) else {
            continue;
        };
        let folder = format!("{root}/{vsn}");
        let change = compare(
            node,
            place,
            (vsn.as_str(), folder.as_str()),
            &running,
            moves,
        )?;
        if change.is_reconfigured() || !change.newer.is_empty() {
            return Ok(Some(change));
        }
    }
    Ok(None)
}

fn compare(
    node: &mut ComparedNode<'_>,
    place: &ReleaseLocation,
    (vsn, folder): (&str, &str),
    running: &str,
    moves: &[PathSwitch],
) -> Result<ReleaseChange> {
    let mut change = ReleaseChange {
        vsn: vsn.to_owned(),
        folder: folder.to_owned(),
        ..ReleaseChange::default()
    };
    let file = |folder: &str, name: &str| format!("{folder}/{name}");
    let both = |folder: &str| [file(folder, "sys.config"), file(folder, "runtime.exs")];
    let mut new = place.read(node, &both(folder))?.into_iter();
    let (config, runtime) = (new.next().flatten(), new.next().flatten());
    let before = before(node, running, folder)?;
    let mut old = match &before {
        Some(before) => node.disk.read(&both(before))?.into_iter(),
        None => Vec::new().into_iter(),
    };
    let (old_config, old_runtime) = (old.next().flatten(), old.next().flatten());
    if let Some(config) = config.filter(|config| old_config.as_ref() != Some(config)) {
        match self::config(&config) {
            Ok(new) => change.config = configured(node, &new, old_config.as_deref())?,
            Err(why) => change.unread = Some(why),
        }
    }
    if let (Some(runtime), true) = (&runtime, before.is_some())
        && old_runtime.as_ref() != Some(runtime)
    {
        change.runtime = Some(keys_of_script(runtime, &old_runtime.unwrap_or_default()));
    }
    let rel = place.list(node, folder)?;
    let rel = rel
        .iter()
        .find(|name| name.ends_with(".rel") && *name != "start.rel");
    if let Some(rel) = rel {
        let text = place.read(node, &[file(folder, rel)])?.pop().flatten();
        change.newer = newer(node, &text.unwrap_or_default(), moves)?;
    }
    Ok(change)
}

/// The folder of the release that runs, beside the applications of the node, if it is another one.
fn before(node: &mut ComparedNode<'_>, running: &str, folder: &str) -> Result<Option<String>> {
    let facts = node.facts;
    let own = facts.apps.keys().filter_map(|app| facts.folder_of_app(app));
    let roots: BTreeSet<String> = own.filter_map(releases_of).collect();
    for root in roots {
        if node
            .disk
            .list(std::slice::from_ref(&root))?
            .iter()
            .flatten()
            .any(|vsn| vsn == running)
        {
            let before = format!("{root}/{running}");
            return Ok((before != folder).then_some(before));
        }
    }
    Ok(None)
}

type Config = BTreeMap<App, BTreeMap<Atom, Term>>;

/// What `sys.config` says; names of other files in it are passed over.
fn config(text: &[u8]) -> std::result::Result<Config, String> {
    if text.len() > MAX_SPEC {
        return Err(format!("it has more than {MAX_SPEC} bytes"));
    }
    let text = String::from_utf8_lossy(text);
    let term = parse_term(&text).map_err(|why| why.title.clone())?;
    let wrong = || "it is no list of applications".to_owned();
    let mut config = Config::new();
    for entry in term.as_list().ok_or_else(wrong)? {
        let Some([Term::Atom(app), Term::List(keys)]) = entry.as_tuple() else {
            continue;
        };
        let of = config.entry(App::new(app.as_str())).or_default();
        for pair in keys {
            if let Some([Term::Atom(key), value]) = pair.as_tuple() {
                of.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(config)
}

/// The keys that differ. What runs already as the new file wants it does not.
fn configured(
    node: &ComparedNode<'_>,
    new: &Config,
    old: Option<&[u8]>,
) -> Result<BTreeMap<App, Vec<Atom>>> {
    let old = old.and_then(|old| config(old).ok());
    let running: Vec<App> = node.facts.apps.keys().cloned().collect();
    let environments = queries::environments(node.session, &running)?;
    let environments: Config = running.into_iter().zip(environments).collect();
    let none = BTreeMap::new();
    let mut found = BTreeMap::new();
    let mut apps: BTreeSet<&App> = new.keys().collect();
    apps.extend(old.iter().flat_map(BTreeMap::keys));
    for app in apps {
        let of = |config: &'_ Config| config.get(app).cloned().unwrap_or_default();
        let (wanted, had) = (of(new), old.as_ref().map(of));
        let runs = environments.get(app);
        if runs.is_none() && had.is_none() {
            continue;
        }
        let runs = runs.unwrap_or(&none);
        let mut keys: BTreeSet<&Atom> = wanted.keys().collect();
        keys.extend(had.iter().flat_map(BTreeMap::keys));
        let differing = keys.into_iter().filter(|key| {
            // How Elixir itself finds its configuration is another for each release.
            let own = app.as_str() == "elixir" && key.as_str().starts_with("config_provider");
            let (value, before) = (wanted.get(*key), had.as_ref().map(|had| had.get(*key)));
            let differs = before.map_or(value != runs.get(*key), |before| before != value);
            !own && differs && (value.is_none() || runs.get(*key) != value)
        });
        let differing: Vec<Atom> = differing.cloned().collect();
        if !differing.is_empty() {
            found.insert(app.clone(), differing);
        }
    }
    Ok(found)
}

/// What the lines of `runtime.exs` that only one of the versions has are about, as far as they say it: `depot: port` of
/// `config :depot, port: …`. Values stay where they are, for they may be secrets.
fn keys_of_script(new: &[u8], old: &[u8]) -> Vec<String> {
    let (new, old) = (String::from_utf8_lossy(new), String::from_utf8_lossy(old));
    let lines = |text: &'_ str| -> BTreeSet<String> {
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    let (new, old) = (lines(&new), lines(&old));
    let mut found: BTreeSet<String> = BTreeSet::new();
    for line in new.symmetric_difference(&old) {
        let rest = line
            .strip_prefix("config ")
            .or_else(|| line.strip_prefix("config("));
        let Some(rest) = rest.and_then(|rest| rest.trim_start().strip_prefix(':')) else {
            continue;
        };
        let word = |text: &str| -> String {
            let fits = |c: &char| c.is_alphanumeric() || "_.?!".contains(*c);
            text.chars().take_while(fits).collect()
        };
        let app = word(rest);
        let key = rest[app.len()..].trim_start_matches(',').trim_start();
        let key = word(key.trim_start_matches(':'));
        if !app.is_empty() {
            found.insert(match key.as_str() {
                "" => app,
                key => format!("{app}: {key}"),
            });
        }
    }
    found.into_iter().collect()
}

/// Elixir and the run-time system, where the release was made with a newer one than the node has and does not bring.
fn newer(
    node: &ComparedNode<'_>,
    rel: &[u8],
    moves: &[PathSwitch],
) -> Result<Vec<(String, String, String)>> {
    let mut found = Vec::new();
    let term = parse_term(&String::from_utf8_lossy(rel));
    let Ok(Term::Tuple(parts)) = term else {
        return Ok(found);
    };
    let [_, _, erts, apps] = parts.as_slice() else {
        return Ok(found);
    };
    // Patches of one minor version get along with each other.
    let line = |vsn: &str| -> String {
        let parts: Vec<&str> = vsn.split('.').take(2).collect();
        parts.join(".")
    };
    let mut compare = |name: &str, new: &str, runs: &str| {
        if !runs.is_empty() && compare_versions(&line(new), &line(runs)).is_gt() {
            found.push((name.to_owned(), new.to_owned(), runs.to_owned()));
        }
    };
    let moves = moves.iter().any(|one| one.app.as_str() == "elixir");
    for app in apps.as_list().unwrap_or_default() {
        let Some([name, vsn, ..]) = app.as_tuple() else {
            continue;
        };
        let elixir = node.facts.apps.get("elixir");
        let elixir = elixir.filter(|_| name.is_atom("elixir") && !moves);
        if let Some((runs, vsn)) = elixir.zip(vsn.to_text()) {
            compare("Elixir", &vsn, &runs.vsn);
        }
    }
    if let Some([_, vsn]) = erts.as_tuple()
        && let Some(vsn) = vsn.to_text()
    {
        compare("ERTS", &vsn, &queries::erts_version(node.session)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_a_folder() {
        for (folder, expected) in [
            ("/srv/lib/depot-0.2.0/ebin", Some("/srv/releases")),
            ("/srv/releases/0.2.0/consolidated", Some("/srv/releases")),
            (
                "/srv/lib/../releases/0.2.0/consolidated",
                Some("/srv/lib/../releases"),
            ),
            (
                "/home/anna/depot/_build/prod/lib/depot/ebin",
                Some("/home/anna/depot/_build/prod/releases"),
            ),
            ("/home/anna/depot/ebin", None),
            ("/home/anna/consolidated", None),
        ] {
            assert_eq!(releases_of(folder).as_deref(), expected, "{folder}");
        }
    }

    #[test]
    fn keys_of_a_script_and_never_values() {
        let old = b"import Config\nconfig :depot, port: 1\nconfig :depot, Depot.Repo, pool: 2\n";
        let new = b"import Config\nconfig :depot, port: 4000, secret: \"geheim\"\nconfig(:logger, level: :info)\n\
                    config :depot, Depot.Repo,\n  url: x\n  token: \"geheim\"\n";
        let keys = keys_of_script(new, old);
        assert_eq!(keys, ["depot: Depot.Repo", "depot: port", "logger: level"]);
    }

    #[test]
    fn configurations_of_releases() {
        let text = b"%% coding: utf-8\n%% RUNTIME_CONFIG=false\n[{depot,[{codec,'Elixir.Depot.Plain'},{a,1}]},\"more.config\"].\n";
        let read = config(text).expect("a configuration");
        assert_eq!(read["depot"][&Atom::new("a")], Term::Int(1));
        assert_eq!(read.len(), 1);
        assert!(config(b"[{depot,[{a,${PORT}}]}].").is_err());
        assert!(config(b"{depot, []}.").is_err());
    }
}
