//! A boot file (`start.boot`), as `script(4)` of sasl describes it: which modules it loads from which folders.
//!
//! Takes and gives bytes. Commands that are not understood pass through as they are; only `path`, `primLoad` and the
//! lists of modules and environments in `{application, load, [_]}` are read and changed.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::name::{App, Module};
use crate::syntax::parse_term;
use crate::term::etf::{decode, encode};
use crate::term::{Atom, Term};

/// The largest boot file that is read.
pub const MAX_BOOT: usize = 16 << 20;

/// The longest folders that all `primLoad` look through, in bytes together: hundreds of times those of a large release.
/// Each has those of the last `path`, so that a small file could describe a large multiple of itself.
const MAX_FOLDERS: usize = 8 << 20;

/// A boot file.
#[derive(Clone, Debug, PartialEq)]
pub struct BootFile {
    id: Term,
    commands: Vec<Term>,
}

/// A `primLoad` and the folders where it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadGroup {
    /// Which command it is.
    pub at: usize,
    /// As they are written, with `$ROOT` and other variables in them.
    pub folders: Vec<String>,
    /// The modules.
    pub modules: Vec<Module>,
}

/// A module, and whether a list is to name it.
pub type Listed<'a> = (&'a Module, bool);

impl BootFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BOOT {
            return Err(format!("more than {MAX_BOOT} bytes"));
        }
        let term = decode(bytes).map_err(|why| why.to_string())?;
        let read = Self::of(&term).ok_or("it is not {script, {Name, Vsn}, Commands}")?;
        match read.looks_through() > MAX_FOLDERS {
            true => Err("its modules are looked for in too many folders".to_owned()),
            false => Ok(read),
        }
    }

    /// Bytes of the folders of all [`LoadGroup`]s.
    fn looks_through(&self) -> usize {
        let (mut folders, mut all) = (0, 0_usize);
        for command in &self.commands {
            match command.as_tuple() {
                Some([word, list]) if word.is_atom("path") => {
                    folders = texts(list).iter().map(|folder| folder.len() + 1).sum();
                }
                Some([word, _]) if word.is_atom("primLoad") => {
                    all = all.saturating_add(folders);
                }
                _ => {}
            }
        }
        all
    }

    fn of(term: &Term) -> Option<Self> {
        let [tag, id, commands] = term.as_tuple()? else {
            return None;
        };
        let commands = commands.as_list()?.to_vec();
        tag.is_atom("script").then(|| Self {
            id: id.clone(),
            commands,
        })
    }

    /// The term in the file.
    pub fn term(&self) -> Term {
        let commands = Term::list(self.commands.iter().cloned());
        Term::tuple([Term::atom("script"), self.id.clone(), commands])
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        encode(&self.term())
    }

    /// The text of the `.script` beside it, which is this one's if `was` is the text of what it was before; with the
    /// comments at its top.
    pub fn script_text(&self, before: &Self, was: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(was).ok()?;
        if parse_term(text).ok()? != before.term() {
            return None;
        }
        let head = text.lines().take_while(|line| line.starts_with('%'));
        let mut new: String = head.flat_map(|line| [line, "\n"]).collect();
        new += "{script,\n    ";
        new += &self.id.to_string();
        let mut between = ",\n    [";
        for command in &self.commands {
            new += between;
            new += &command.to_string();
            between = ",\n     ";
        }
        new += "]}.\n";
        // What another reader would make of it is what was meant.
        let same = parse_term(&new).is_ok_and(|read| read == self.term());
        same.then(|| new.into_bytes())
    }

    /// What it loads, in order.
    pub fn groups(&self) -> Vec<LoadGroup> {
        let mut folders = Vec::new();
        let mut groups = Vec::new();
        for (at, command) in self.commands.iter().enumerate() {
            match command.as_tuple() {
                Some([word, list]) if word.is_atom("path") => folders = texts(list),
                Some([word, list]) if word.is_atom("primLoad") => {
                    let names = list.as_list().unwrap_or_default();
                    let names = names.iter().filter_map(Term::as_atom);
                    groups.push(LoadGroup {
                        at,
                        folders: folders.clone(),
                        modules: names.map(|name| Module::new(name.as_str())).collect(),
                    });
                }
                _ => {}
            }
        }
        groups
    }

    /// Puts modules behind the others of a [`LoadGroup`], or takes them out; each module either or.
    pub fn load(&mut self, at: usize, changes: &[Listed<'_>]) {
        if let Some(Term::Tuple(command)) = self.commands.get_mut(at)
            && let [_, Term::List(modules)] = &mut command[..]
        {
            list(modules, changes);
        }
    }

    /// The same for the lists in the specifications of applications that have one.
    pub fn specify(&mut self, changes: &BTreeMap<App, Vec<Listed<'_>>>) {
        for command in &mut self.commands {
            if let Some((app, keys)) = specification(command)
                && let Some(changes) = changes.get(app.as_str())
                && let Some(Term::List(modules)) = value(keys, "modules")
            {
                list(modules, changes);
            }
        }
    }

    /// Whether it starts an application.
    pub fn starts(&self, app: &App) -> bool {
        self.commands.iter().any(|command| {
            let Some([word, call]) = command.as_tuple() else {
                return false;
            };
            let Some([module, function, args]) = call.as_tuple() else {
                return false;
            };
            let first = args.as_list().and_then(|args| args.first());
            word.is_atom("apply")
                && module.is_atom("application")
                && (function.is_atom("start_boot") || function.is_atom("start"))
                && first.is_some_and(|first| first.is_atom(app.as_str()))
        })
    }

    /// Replaces the environment in the specification of an application, when it has one.
    pub fn configure(&mut self, app: &App, env: &Term) {
        for command in &mut self.commands {
            if let Some((name, keys)) = specification(command)
                && name.as_str() == app.as_str()
                && let Some(value) = value(keys, "env")
            {
                *value = env.clone();
            }
        }
    }

    /// The same file with other folders before some: `first` gives what is looked through before a folder.
    #[must_use]
    pub fn looking_first(&self, first: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut changed = self.clone();
        for command in &mut changed.commands {
            let folders = match command.as_tuple() {
                Some([word, list]) if word.is_atom("path") => texts(list),
                _ => continue,
            };
            let mut paths = Vec::new();
            for folder in folders {
                paths.extend(first(&folder));
                paths.push(folder);
            }
            let paths = Term::list(paths.iter().map(|path| Term::string(path)));
            *command = Term::tuple([Term::atom("path"), paths]);
        }
        changed
    }
}

/// A folder as the boot file writes it, with its variables replaced.
pub fn expanded(folder: &str, variables: &BTreeMap<String, String>) -> String {
    let Some(rest) = folder.strip_prefix('$') else {
        return plain(folder);
    };
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    match variables.get(name) {
        Some(value) => plain(&format!("{value}/{below}")),
        None => folder.to_owned(),
    }
}

/// A path without `.`, `..` and double slashes in it, by its text alone.
pub fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

fn texts(list: &Term) -> Vec<String> {
    let list = list.as_list().unwrap_or_default();
    list.iter().filter_map(Term::to_text).collect()
}

/// Application and keys of `{apply, {application, load, [{application, App, Keys}]}}`.
fn specification(command: &mut Term) -> Option<(&Atom, &mut Vec<Term>)> {
    match fields(command)? {
        [word, call] if word.is_atom("apply") => match fields(call)? {
            [module, function, Term::List(args)]
                if module.is_atom("application") && function.is_atom("load") =>
            {
                match fields(args.first_mut()?)? {
                    [_, Term::Atom(name), Term::List(keys)] => Some((name, keys)),
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    }
}

fn value<'t>(keys: &'t mut [Term], key: &str) -> Option<&'t mut Term> {
    keys.iter_mut().find_map(|pair| match fields(pair)? {
        [word, value] if word.is_atom(key) => Some(value),
        _ => None,
    })
}

fn fields(term: &mut Term) -> Option<&mut [Term]> {
    match term {
        Term::Tuple(fields) => Some(fields),
        _ => None,
    }
}

/// One pass over the list, however many the changes are. Of several changes of a module the last one counts.
fn list(modules: &mut Vec<Term>, changes: &[Listed<'_>]) {
    let changes = changes.iter();
    let wanted: HashMap<&str, bool> = changes
        .clone()
        .map(|(module, lists)| (module.as_str(), *lists))
        .collect();
    modules.retain(|term| {
        let name = term.as_atom().map(Atom::as_str);
        name.and_then(|name| wanted.get(name)) != Some(&false)
    });
    let names = modules.iter().filter_map(Term::as_atom);
    let mut listed: HashSet<&str> = names.map(Atom::as_str).collect();
    let new = changes
        .map(|(module, _)| module.as_str())
        .filter(|name| wanted.get(name) == Some(&true) && listed.insert(*name));
    let new: Vec<Term> = new.map(Term::atom).collect();
    modules.extend(new);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn boot() -> BootFile {
        let text = r#"{script,{"shop","1"},[{preLoaded,[init]},{progress,preloaded},
            {path,["$ROOT/lib/kernel-8/ebin"]},{primLoad,[code]},{kernel_load_completed},
            {path,["$RELEASE_LIB/../releases/1/consolidated","$RELEASE_LIB/shop-1/ebin"]},
            {primLoad,[shop,shop_a]},{unknown,[1,2.5,<<3>>]},
            {apply,{application,load,[{application,shop,[{vsn,"1"},{modules,[shop,shop_a]}]}]}},
            {progress,started}]}"#;
        BootFile::read(&encode(&parse_term(text).expect("a term"))).expect("a boot file")
    }

    #[test]
    fn modules_come_and_go_and_leave_no_trace() {
        let (before, mut after) = (boot(), boot());
        let (module, app) = (Module::new("shop_b"), App::new("shop"));
        let at = before.groups()[1].at;
        let specified = |lists| BTreeMap::from([(app.clone(), vec![(&module, lists)])]);
        after.load(at, &[(&module, true)]);
        after.load(at, &[(&module, true)]);
        after.specify(&specified(true));
        let text = after.term().to_string();
        assert_eq!(text.matches("shop_b").count(), 2, "{text}");
        assert_eq!(BootFile::read(&after.bytes()), Ok(after.clone()));
        let script =
            after.script_text(&before, format!("%% made\n{}.\n", before.term()).as_bytes());
        let script = String::from_utf8(script.expect("it was the same")).expect("UTF-8");
        assert!(script.starts_with("%% made\n{script,\n"), "{script}");
        assert_eq!(after.script_text(&before, b"{script,other,[]}."), None);
        after.load(at, &[(&module, false)]);
        after.specify(&specified(false));
        assert_eq!(after.bytes(), before.bytes());
    }

    proptest! {
        #[test]
        fn many_changes_are_made_as_if_one_by_one(
            begun in vec(0_u8..6, 0..5),
            changes in vec((0_u8..6, proptest::bool::ANY), 0..8),
        ) {
            let name = |number: &u8| Module::new(format!("m{number}"));
            let begun: Vec<Term> = begun.iter().map(|n| Term::atom(name(n).as_str())).collect();
            // A module is added or removed, never both: the first change of each.
            let mut seen = HashSet::new();
            let changes: Vec<(Module, bool)> = changes
                .iter()
                .map(|(n, lists)| (name(n), *lists))
                .filter(|(module, _)| seen.insert(module.clone()))
                .collect();
            let changes: Vec<Listed<'_>> = changes.iter().map(|(m, lists)| (m, *lists)).collect();
            let (mut at_once, mut by_one) = (begun.clone(), begun);
            list(&mut at_once, &changes);
            for (module, lists) in &changes {
                let is_this = |term: &Term| term.is_atom(module.as_str());
                match lists {
                    false => by_one.retain(|term| !is_this(term)),
                    true if by_one.iter().any(is_this) => {}
                    true => by_one.push(Term::atom(module.as_str())),
                }
            }
            prop_assert_eq!(at_once, by_one);
        }
    }

    #[test]
    fn what_it_starts_is_what_it_says() {
        let text = r#"{script,{"shop","1"},[{apply,{application,load,[{application,shop,[]}]}},
            {apply,{application,start_boot,[kernel,permanent]}},{apply,{application,start_boot,[shop]}}]}"#;
        let boot = BootFile::read(&encode(&parse_term(text).expect("a term"))).expect("a file");
        let starts = |name: &str| boot.starts(&App::new(name));
        assert!(starts("shop") && starts("kernel") && !starts("annex"));
        let loads = super::tests::boot();
        assert!(!loads.starts(&App::new("shop")), "it only loads it");
    }

    #[test]
    fn folders_are_found_by_their_variables() {
        let mut variables = BTreeMap::new();
        variables.insert("RELEASE_LIB".to_owned(), "/srv/shop/lib".to_owned());
        let folders = &boot().groups()[1].folders;
        let folders: Vec<String> = folders.iter().map(|f| expanded(f, &variables)).collect();
        assert_eq!(
            folders,
            [
                "/srv/shop/releases/1/consolidated",
                "/srv/shop/lib/shop-1/ebin"
            ]
        );
        assert_eq!(expanded("$ROOT/lib", &variables), "$ROOT/lib");
        let staged = boot().looking_first(&|folder| {
            folder
                .ends_with("shop-1/ebin")
                .then(|| format!("{folder}/.updo-abcd"))
        });
        let last = "$RELEASE_LIB/shop-1/ebin";
        assert_eq!(
            staged.groups()[1].folders[1..],
            [format!("{last}/.updo-abcd"), last.to_owned()]
        );
        assert_eq!(staged.groups()[0], boot().groups()[0]);
    }

    /// A file of 100 KB that would have taken more than a gigabyte.
    #[test]
    fn a_boot_file_that_unpacks_to_much_more_is_refused() {
        let of = |folders: u32, groups: u32| {
            let folders = (0..folders).map(|n| Term::string(&format!("/{n}")));
            let path = Term::tuple([Term::atom("path"), Term::list(folders)]);
            let load = Term::tuple([Term::atom("primLoad"), Term::list([])]);
            let loads = (0..groups).map(|_| load.clone());
            let commands = Term::list(std::iter::once(path).chain(loads));
            let file = encode(&Term::tuple([Term::atom("script"), Term::Int(1), commands]));
            assert!(file.len() < 200_000);
            BootFile::read(&file).map(|boot| boot.groups().len())
        };
        assert_eq!(of(500, 500), Ok(500));
        assert!(of(5000, 5000).is_err_and(|why| why.contains("folders")));
    }

    #[test]
    fn what_is_no_boot_file_is_said() {
        assert!(BootFile::read(b"").is_err());
        assert!(BootFile::read(&encode(&Term::atom("script"))).is_err());
        assert!(BootFile::read(&boot().bytes()[..40]).is_err());
    }
}
