//! What the last rehearsals on a node have measured, for previews, which measure nothing.
//!
//! One file per node in the state folder, in the external term format, written beside and renamed. An entry belongs to
//! one life of the node (its creation) and one upgrade (a digest of what it does: the MD5 of both versions of each
//! module, and the steps), so it says nothing about any other. Numbers and times only: no process, no state, no shape.
//! Losing the whole of it costs a rehearsal, nothing else: what cannot be read is taken for empty.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::node_file;
use crate::name::{Module, NodeName};
use crate::term::Term;

/// The largest file that is read back, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// So many upgrades of a node are remembered, those rehearsed last.
const MAX_UPGRADES: usize = 16;

/// First element of the stored tuple. Another one is another format, and read as nothing.
const FORMAT: i64 = 2;

/// What a rehearsal has measured of one module. No number is larger than the processes of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleFigures {
    /// What it takes, a process, to ask many for something as in a window; zero when none answered.
    pub message: Duration,
    /// How many states were converted.
    pub converted: u64,
    /// How long that took, for all of them.
    pub sum: Duration,
    /// The longest conversion.
    pub slowest: Duration,
    /// How many states were looked at without being converted.
    pub inspected: u64,
    /// Of how many states the way back was tried.
    pub back: u64,
    /// Of these, how many a rollback would not give back.
    pub lost: u64,
}

/// What a rehearsal has measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// When it was over, in seconds since 1970.
    pub at: u64,
    /// How many schedulers the node had.
    pub schedulers: u64,
    /// How many processes the upgrade would have suspended then.
    pub suspended: u64,
    /// Of each module whose processes were asked.
    pub modules: BTreeMap<Module, ModuleFigures>,
}

impl Figures {
    /// How many states were converted.
    pub fn converted(&self) -> u64 {
        self.modules.values().map(|of| of.converted).sum()
    }

    /// How many were looked at only.
    pub fn inspected(&self) -> u64 {
        self.modules.values().map(|of| of.inspected).sum()
    }

    /// The modules with states that a rollback would not give back.
    pub fn lost(&self) -> impl Iterator<Item = (&Module, &ModuleFigures)> {
        self.modules.iter().filter(|(_, of)| of.lost > 0)
    }

    /// The longest conversion of all; `None` when nothing was converted.
    pub fn slowest(&self) -> Option<Duration> {
        let converted = self.modules.values().filter(|of| of.converted > 0);
        converted.map(|of| of.slowest).max()
    }
}

/// One upgrade of a node in one of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// The node's creation.
    pub creation: u32,
    /// A digest of what the upgrade does.
    pub upgrade: [u8; 16],
}

type Entries = Vec<(Rehearsed, Figures)>;

fn file(state: &Path, node: &NodeName) -> PathBuf {
    node_file::path(state, "rehearsals", node, "figures")
}

/// What the last rehearsal of an upgrade has measured; `None` when there was none, or the node was started again since.
pub fn load(state: &Path, node: &NodeName, what: &Rehearsed) -> Option<Figures> {
    let mut entries = read(&file(state, node))?.into_iter();
    let found = entries.find(|(rehearsed, _)| rehearsed == what);
    found.map(|(_, figures)| figures)
}

/// Keeps what a rehearsal has measured, in place of what the one before had. What belongs to an earlier life of the node
/// is dropped.
///
/// # Errors
/// When the state folder cannot be written.
pub fn keep(
    state: &Path,
    node: &NodeName,
    what: Rehearsed,
    figures: Figures,
) -> std::io::Result<()> {
    let path = file(state, node);
    let mut entries = read(&path).unwrap_or_default();
    entries.retain(|(rehearsed, _)| rehearsed.creation == what.creation && *rehearsed != what);
    entries.insert(0, (what, figures));
    entries.truncate(MAX_UPGRADES);
    let entries = entries.iter().map(|(what, figures)| term(what, figures));
    let whole = Term::tuple([Term::Int(FORMAT), Term::list(entries)]);
    node_file::write(&path, &whole)
}

fn int(number: u64) -> Term {
    Term::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn nanos(time: Duration) -> Term {
    int(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn term(what: &Rehearsed, figures: &Figures) -> Term {
    let modules = figures.modules.iter().map(|(module, of)| {
        Term::tuple([
            Term::binary(module.as_str()),
            nanos(of.message),
            int(of.converted),
            nanos(of.sum),
            nanos(of.slowest),
            int(of.inspected),
            int(of.back),
            int(of.lost),
        ])
    });
    Term::tuple([
        Term::Int(i64::from(what.creation)),
        Term::binary(what.upgrade),
        int(figures.at),
        int(figures.schedulers),
        int(figures.suspended),
        Term::list(modules),
    ])
}

fn read(path: &Path) -> Option<Entries> {
    let whole = node_file::read(path, MAX_FILE)?;
    match whole.as_tuple()? {
        [Term::Int(FORMAT), Term::List(entries)] => entries.iter().map(entry).collect(),
        _ => None,
    }
}

fn number(term: &Term) -> Option<u64> {
    /// More than any node has of anything; sums of so many stay numbers.
    const MOST: u64 = 1 << 40;
    u64::try_from(term.as_i64()?).ok().filter(|n| *n <= MOST)
}

/// At most a day: a window that is predicted longer is not run.
fn time(term: &Term) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    let nanos = u64::try_from(term.as_i64()?).ok()?;
    Some(Duration::from_nanos(nanos)).filter(|time| *time <= LONGEST)
}

fn entry(term: &Term) -> Option<(Rehearsed, Figures)> {
    let [creation, upgrade, at, schedulers, suspended, modules] = term.as_tuple()? else {
        return None;
    };
    let modules: Option<BTreeMap<Module, ModuleFigures>> =
        modules.as_list()?.iter().map(module).collect();
    let what = Rehearsed {
        creation: u32::try_from(creation.as_i64()?).ok()?,
        upgrade: upgrade.as_bytes()?.try_into().ok()?,
    };
    let figures = Figures {
        at: number(at)?,
        schedulers: number(schedulers)?,
        suspended: number(suspended)?,
        modules: modules?,
    };
    Some((what, figures))
}

fn module(term: &Term) -> Option<(Module, ModuleFigures)> {
    let [
        name,
        message,
        converted,
        sum,
        slowest,
        inspected,
        back,
        lost,
    ] = term.as_tuple()?
    else {
        return None;
    };
    let figures = ModuleFigures {
        message: time(message)?,
        converted: number(converted)?,
        sum: time(sum)?,
        slowest: time(slowest)?,
        inspected: number(inspected)?,
        back: number(back)?,
        lost: number(lost)?,
    };
    Some((Module::new(name.to_text()?), figures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(upgrade: u8) -> Rehearsed {
        Rehearsed {
            creation: 7,
            upgrade: [upgrade; 16],
        }
    }

    fn figures(at: u64) -> Figures {
        let cart = ModuleFigures {
            message: Duration::from_nanos(3200),
            converted: 400,
            sum: Duration::from_micros(900),
            slowest: Duration::from_micros(300),
            inspected: 0,
            back: 399,
            lost: 17,
        };
        Figures {
            at,
            schedulers: 4,
            suspended: 412,
            modules: BTreeMap::from([(Module::new("cart"), cart)]),
        }
    }

    #[test]
    fn the_last_of_each_upgrade_in_this_life_of_the_node() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (state, node) = (folder.path(), NodeName::new("a@b"));
        let kept = |what, at| keep(state, &node, what, figures(at)).expect("can be written");
        assert_eq!(load(state, &node, &what(1)), None);
        kept(what(1), 1);
        kept(what(2), 2);
        kept(what(1), 3);
        assert_eq!(load(state, &node, &what(1)), Some(figures(3)));
        assert_eq!(load(state, &node, &what(2)), Some(figures(2)));
        assert_eq!(load(state, &NodeName::new("c@b"), &what(1)), None);
        let later = Rehearsed {
            creation: 8,
            ..what(1)
        };
        assert_eq!(load(state, &node, &later), None, "started again");
        kept(later, 4);
        assert_eq!(load(state, &node, &what(2)), None, "dropped");
        assert_eq!(load(state, &node, &later), Some(figures(4)));
    }

    #[test]
    fn no_more_than_so_many() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (state, node) = (folder.path(), NodeName::new("a@b"));
        for upgrade in 0..20 {
            keep(state, &node, what(upgrade), figures(1)).expect("can be written");
        }
        assert_eq!(load(state, &node, &what(3)), None);
        assert_eq!(load(state, &node, &what(4)), Some(figures(1)));
        let entries = read(&file(state, &node)).expect("readable");
        assert_eq!(entries.len(), MAX_UPGRADES);
    }

    #[test]
    fn what_cannot_be_is_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (state, node) = (folder.path(), NodeName::new("a@b"));
        keep(state, &node, what(1), figures(1)).expect("can be written");
        let path = file(state, &node);
        let whole = std::fs::read(&path).expect("is there");
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("can be written");
            assert_eq!(load(state, &node, &what(1)), None, "{cut}");
        }
        let mut odd = figures(1);
        odd.suspended = u64::MAX;
        keep(state, &node, what(1), odd).expect("can be written");
        assert_eq!(load(state, &node, &what(1)), None);
        // It can be written over.
        keep(state, &node, what(1), figures(2)).expect("can be written");
        assert_eq!(load(state, &node, &what(1)), Some(figures(2)));
    }
}
