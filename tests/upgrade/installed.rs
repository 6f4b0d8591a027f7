//! A release that is unpacked and started as a node, with all of its files to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::apps::{bank_release, unpacked, witness};
use crate::support::desk::walk;
use crate::support::{Options, TestNode, other_root};

/// A release that is unpacked somewhere, and how it is started.
pub(crate) struct Installed {
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    pub(crate) mode: &'static str,
    _folder: TempDir,
}

impl Installed {
    pub(crate) fn new(release: &Path) -> Self {
        let (folder, root, options) = unpacked(release);
        Self {
            root,
            options: options.path(witness()),
            mode: "embedded",
            _folder: folder,
        }
    }

    /// The bank; `None` where there is no rebar3.
    pub(crate) fn bank() -> Option<Self> {
        if let Some(root) = other_root() {
            println!(
                "no rebar3 in {}: releases of relx are not tested",
                root.display()
            );
            return None;
        }
        Some(Self::new(&bank_release()))
    }

    /// Starts it, always under the same name.
    pub(crate) fn start(&mut self) -> TestNode {
        let node = self.options.clone().start();
        self.options.name = Some(node.name().to_owned());
        assert_eq!(node.eval_text("code:get_mode()"), self.mode);
        assert_eq!(
            node.eval_text("code:load_file(witness)"),
            "{module,witness}"
        );
        node
    }

    /// Every file below `lib` and `releases` with its content, but for what each start writes.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = Vec::new();
        for part in ["lib", "releases"] {
            walk(&self.root.join(part), &mut files);
        }
        let named = files.into_iter().map(|file| {
            let name = file
                .strip_prefix(&self.root)
                .expect("it is below")
                .display()
                .to_string();
            (name, fs::read(&file).expect("a file can be read"))
        });
        named
            .filter(|(name, _)| !name.ends_with("vm.args"))
            .collect()
    }
}

/// The names of the files that are not the same, or in one of both only.
pub(crate) fn differing(
    a: &BTreeMap<String, Vec<u8>>,
    b: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let names = a.keys().chain(b.keys());
    let mut names: Vec<String> = names
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}
