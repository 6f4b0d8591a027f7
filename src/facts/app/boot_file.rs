//! A boot file (`start.boot`), as `script(4)` of sasl describes it: which modules it loads from which folders.
//!
//! Takes and gives bytes. Commands that are not understood pass through as they are; only `path`, `primLoad` and the
//! lists of modules and environments in `{application, load, [_]}` are read and changed.

use std::collections::BTreeMap;

use crate::name::{App, Module};
use crate::syntax::parse_term;
use crate::term::Term;
use crate::term::etf::{decode, encode};

/// The largest boot file that is read.
pub const MAX_BOOT: usize = 16 << 20;

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
        Self::of(&term).ok_or_else(|| "it is not {script, {Name, Vsn}, Commands}".to_owned())
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

    /// Puts a module behind the others of a [`LoadGroup`], or takes it out.
    pub fn load(&mut self, at: usize, module: &Module, loads: bool) {
        if let Some(Term::Tuple(command)) = self.commands.get_mut(at)
            && let [_, Term::List(modules)] = &mut command[..]
        {
            list(modules, module, loads);
        }
    }

    /// The same for the list in the specification of an application, when it has one.
    pub fn specify(&mut self, app: &App, module: &Module, lists: bool) {
        for command in &mut self.commands {
            if let Some(Term::List(modules)) = specified(command, app, "modules") {
                list(modules, module, lists);
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
            if let Some(value) = specified(command, app, "env") {
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

/// The value of a key in `{apply, {application, load, [{application, App, Keys}]}}`.
fn specified<'t>(command: &'t mut Term, app: &App, key: &str) -> Option<&'t mut Term> {
    let keys = match fields(command)? {
        [word, call] if word.is_atom("apply") => match fields(call)? {
            [module, function, Term::List(args)]
                if module.is_atom("application") && function.is_atom("load") =>
            {
                match fields(args.first_mut()?)? {
                    [_, name, Term::List(keys)] if name.is_atom(app.as_str()) => keys,
                    _ => return None,
                }
            }
            _ => return None,
        },
        _ => return None,
    };
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

fn list(modules: &mut Vec<Term>, module: &Module, lists: bool) {
    let is_this = |term: &Term| term.is_atom(module.as_str());
    if !lists {
        modules.retain(|term| !is_this(term));
    } else if !modules.iter().any(is_this) {
        modules.push(Term::atom(module.as_str()));
    }
}

#[cfg(test)]
mod tests {
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
        after.load(at, &module, true);
        after.load(at, &module, true);
        after.specify(&app, &module, true);
        let text = after.term().to_string();
        assert_eq!(text.matches("shop_b").count(), 2, "{text}");
        assert_eq!(BootFile::read(&after.bytes()), Ok(after.clone()));
        let script =
            after.script_text(&before, format!("%% made\n{}.\n", before.term()).as_bytes());
        let script = String::from_utf8(script.expect("it was the same")).expect("UTF-8");
        assert!(script.starts_with("%% made\n{script,\n"), "{script}");
        assert_eq!(after.script_text(&before, b"{script,other,[]}."), None);
        after.load(at, &module, false);
        after.specify(&app, &module, false);
        assert_eq!(after.bytes(), before.bytes());
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

    #[test]
    fn what_is_no_boot_file_is_said() {
        assert!(BootFile::read(b"").is_err());
        assert!(BootFile::read(&encode(&Term::atom("script"))).is_err());
        assert!(BootFile::read(&boot().bytes()[..40]).is_err());
    }
}
