//! What nodes run after a run, module by module: the version that a node which joins later is brought to.
//!
//! One file per version: `<state>/versions/<digest>.etf`, named by the SHA-256 of what is in it, so that nodes with the same
//! code share one, and one that was altered is taken for none. The record of a run names it. The beams themselves are
//! in [`beams`](super::beams). A file's time says when it was last wanted; the oldest go when there are many.

#![expect(
    clippy::disallowed_methods,
    reason = "what nodes run after a run is a file of the state folder, and those not wanted for long are removed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::atomic_file;
use crate::name::{App, Md5, Module};
use crate::regular_file;
use crate::term::{Term, etf};

/// First element of the stored tuple. Another one is another format, and read as nothing.
const FORMAT: i64 = 1;

/// The largest file that is read back, in bytes: a node with 100,000 modules has less.
const MAX_FILE: u64 = 16 << 20;

/// How many versions are kept: there are 200 records of runs, and more only while a large rollout goes on.
const KEPT: usize = 1_000;

/// How many bytes of the digest are the name of a file.
const NAME: usize = 16;

/// One module of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleVersion {
    /// Its digest, as nodes of [`CodeVersion::otp`] count it.
    pub md5: Md5,
    /// The application that lists it.
    pub app: Option<App>,
}

/// What a node runs: all modules that are not OTP's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeVersion {
    /// The OTP release of the node: digests of the same beam differ between some.
    pub otp: u32,
    /// The modules.
    pub modules: BTreeMap<Module, ModuleVersion>,
}

impl CodeVersion {
    fn term(&self) -> Term {
        let modules = self.modules.iter().map(|(module, version)| {
            let app = version.app.as_ref().map_or("", App::as_str);
            Term::tuple([
                Term::atom(module.as_str()),
                Term::binary(version.md5),
                Term::binary(app),
            ])
        });
        Term::tuple([
            Term::Int(FORMAT),
            Term::Int(i64::from(self.otp)),
            Term::list(modules),
        ])
    }

    fn read(term: &Term) -> Option<Self> {
        let [format, otp, modules] = term.as_tuple()? else {
            return None;
        };
        if format.as_i64()? != FORMAT {
            return None;
        }
        let module = |entry: &Term| {
            let [name, md5, app] = entry.as_tuple()? else {
                return None;
            };
            let app = std::str::from_utf8(app.as_bytes()?).ok()?;
            let version = ModuleVersion {
                md5: Md5::from_bytes(md5.as_bytes()?)?,
                app: (!app.is_empty()).then(|| App::new(app)),
            };
            Some((Module::new(name.as_atom()?.as_str()), version))
        };
        Some(Self {
            otp: u32::try_from(otp.as_i64()?).ok()?,
            modules: modules
                .as_list()?
                .iter()
                .map(module)
                .collect::<Option<_>>()?,
        })
    }
}

fn folder(state: &Path) -> PathBuf {
    state.join("versions")
}

fn file(state: &Path, name: &str) -> PathBuf {
    folder(state).join(format!("{name}.etf"))
}

fn name_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .take(NAME)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Keeps a version; its name.
///
/// # Errors
/// When the state folder cannot be written.
pub fn keep(state: &Path, version: &CodeVersion) -> std::io::Result<String> {
    let bytes = etf::encode(&version.term());
    let name = name_of(&bytes);
    if load(state, &name).is_none() {
        atomic_file::private_folders(&folder(state))?;
        atomic_file::replace_private(&file(state, &name), &bytes)?;
        forget(state, KEPT);
    }
    Ok(name)
}

/// A version by its name; `None` when it is not there, or not what it was. It counts as wanted now.
pub fn load(state: &Path, name: &str) -> Option<CodeVersion> {
    if name.len() != 2 * NAME || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let path = file(state, name);
    let bytes = regular_file::read(&path, MAX_FILE).ok()?;
    if name_of(&bytes) != name {
        return None;
    }
    if let Ok(kept) = regular_file::append(&path) {
        // One whose time cannot be set is there all the same.
        let _ = kept.set_modified(SystemTime::now());
    }
    CodeVersion::read(&etf::decode(&bytes).ok()?)
}

/// Removes those not wanted for the longest time, until so many are left. What cannot be removed stays.
fn forget(state: &Path, left: usize) {
    let entries = fs::read_dir(folder(state)).into_iter().flatten().flatten();
    let wanted = |path: &Path| fs::symlink_metadata(path).and_then(|about| about.modified());
    let mut all: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter_map(|path| Some((wanted(&path).ok()?, path)))
        .collect();
    all.sort_unstable();
    for (_, path) in all.iter().take(all.len().saturating_sub(left)) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u8) -> CodeVersion {
        let one = ModuleVersion {
            md5: Md5::from([number; 16]),
            app: Some(App::new("shop")),
        };
        let other = ModuleVersion {
            app: None,
            ..one.clone()
        };
        CodeVersion {
            otp: 25,
            modules: [
                (Module::new("shop_cart"), one),
                (Module::new("Elixir.Kärra"), other),
            ]
            .into(),
        }
    }

    #[test]
    fn a_version_is_found_by_its_digest() {
        let state = tempfile::tempdir().expect("a folder");
        let name = keep(state.path(), &version(1)).expect("can write");
        assert_eq!(keep(state.path(), &version(1)).expect("again"), name);
        let other = keep(state.path(), &version(2)).expect("can write");
        assert_ne!(name, other);
        assert_eq!(load(state.path(), &name), Some(version(1)));
        assert_eq!(load(state.path(), "../../etc/passwd"), None);
        assert_eq!(load(state.path(), &name.replace('a', "b")[1..]), None);
    }

    #[test]
    fn what_was_altered_or_is_torn_is_none() {
        let state = tempfile::tempdir().expect("a folder");
        let name = keep(state.path(), &version(1)).expect("can write");
        let path = file(state.path(), &name);
        let whole = fs::read(&path).expect("it is there");
        // Another version, and whole in itself, under this name.
        fs::write(&path, etf::encode(&version(2).term())).expect("can write");
        assert_eq!(load(state.path(), &name), None);
        for cut in [0, 1, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).expect("can write");
            assert_eq!(load(state.path(), &name), None, "{cut}");
        }
        // It is written again by what wants it.
        keep(state.path(), &version(1)).expect("can write");
        assert_eq!(load(state.path(), &name), Some(version(1)));
    }

    #[test]
    fn those_not_wanted_for_long_go_first() {
        let state = tempfile::tempdir().expect("a folder");
        let names: Vec<String> = (0..5)
            .map(|number| keep(state.path(), &version(number)).expect("can write"))
            .collect();
        for (age, name) in names.iter().enumerate() {
            let days = 10 - u64::try_from(age).expect("small");
            let old = SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
            let kept = fs::File::options()
                .append(true)
                .open(file(state.path(), name));
            kept.expect("it is there")
                .set_modified(old)
                .expect("a time");
        }
        assert!(load(state.path(), &names[0]).is_some());
        forget(state.path(), 2);
        let left = |name: &String| load(state.path(), name).is_some();
        let left: Vec<bool> = names.iter().map(left).collect();
        assert_eq!(left, [true, false, false, false, true]);
    }
}
