//! The crate's sources as a tree of modules, and what a path in one of them names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use quote::ToTokens;
use syn::{Attribute, Ident, Item, UseTree, Visibility};

use crate::macros;

/// A path of modules from the crate's root; the root's is empty.
pub type ModulePath = Vec<String>;

/// Where an item is defined: its module and its name.
pub type Definition = (ModulePath, String);

/// What a path names.
#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    /// An item of this crate.
    Item(Definition),
    /// A module of this crate.
    Module(ModulePath),
    /// Something of another crate: its path as it was written.
    Foreign(String),
}

/// A module: its items, those of macros among them.
pub struct Module {
    pub items: Vec<Item>,
    /// The macros of which it is not known what they define.
    pub unknown: Vec<String>,
}

/// All modules by their paths.
pub struct Sources {
    pub modules: BTreeMap<ModulePath, Module>,
}

/// Whether an item is marked `#[cfg(test)]`.
fn only_in_tests(attributes: &[Attribute]) -> bool {
    let is = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    };
    attributes.iter().any(is)
}

impl Sources {
    /// Reads `src/lib.rs` and everything below it.
    pub fn read(root: &Path) -> Self {
        let mut sources = Self {
            modules: BTreeMap::new(),
        };
        let folder = root.join("src");
        let items = parsed(&folder.join("lib.rs"));
        sources.add(Vec::new(), items, &folder, &mut BTreeMap::new());
        sources
    }

    /// `folder` is where the files of the module's own modules are; `rules` are the macros in scope.
    fn add(
        &mut self,
        path: ModulePath,
        items: Vec<Item>,
        folder: &Path,
        rules: &mut BTreeMap<String, proc_macro2::TokenStream>,
    ) {
        let mut module = Module {
            items: Vec::new(),
            unknown: Vec::new(),
        };
        for item in items {
            match item {
                Item::Macro(definition) if definition.ident.is_some() => {
                    let name = definition.ident.map(|name| name.to_string());
                    rules.insert(name.unwrap_or_default(), definition.mac.tokens);
                }
                Item::Macro(invocation) => {
                    let name = invocation.mac.path.to_token_stream().to_string();
                    let tokens = rules
                        .get(&name)
                        .and_then(|rules| macros::expand(rules, &invocation.mac.tokens));
                    match tokens.and_then(|tokens| syn::parse2::<syn::File>(tokens).ok()) {
                        Some(file) => module.items.extend(file.items),
                        None => module.unknown.push(name),
                    }
                }
                Item::Mod(inner) if only_in_tests(&inner.attrs) => {}
                Item::Mod(mut inner) => {
                    let name = inner.ident.to_string();
                    let mut below = path.clone();
                    below.push(name.clone());
                    let into = folder.join(&name);
                    let items = match inner.content.take() {
                        Some((_, items)) => items,
                        None => {
                            let beside = folder.join(format!("{name}.rs"));
                            parsed(
                                &[beside, into.join("mod.rs")]
                                    .into_iter()
                                    .find(|f| f.exists())
                                    .unwrap_or_else(|| {
                                        panic!("no file for the module {}", below.join("::"))
                                    }),
                            )
                        }
                    };
                    module.items.push(Item::Mod(inner));
                    self.add(below, items, &into, &mut rules.clone());
                }
                item => module.items.push(item),
            }
        }
        self.modules.insert(path, module);
    }

    /// What `path` names in the module `from`; `None` for what the prelude has.
    pub fn resolve(&self, from: &[String], path: &[String]) -> Option<Named> {
        self.step(from, path, 0)
    }

    fn step(&self, from: &[String], path: &[String], depth: usize) -> Option<Named> {
        assert!(depth < 30, "`use`s go in a circle at {from:?} {path:?}");
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => return self.within(&[], rest, depth),
            "self" => return self.within(from, rest, depth),
            "super" => return self.step_super(from, rest, depth),
            _ => {}
        }
        let found = self.member(from, first, depth + 1)?;
        self.continued(found, rest, depth)
    }

    fn step_super(&self, from: &[String], rest: &[String], depth: usize) -> Option<Named> {
        let (_, above) = from.split_last()?;
        match rest.split_first() {
            Some((first, rest)) if first == "super" => self.step_super(above, rest, depth),
            _ => self.within(above, rest, depth),
        }
    }

    fn within(&self, module: &[String], rest: &[String], depth: usize) -> Option<Named> {
        self.continued(Named::Module(module.to_vec()), rest, depth)
    }

    fn continued(&self, found: Named, rest: &[String], depth: usize) -> Option<Named> {
        let Some((next, after)) = rest.split_first() else {
            return Some(found);
        };
        match found {
            Named::Module(module) => {
                let found = self.member(&module, next, depth + 1)?;
                self.continued(found, after, depth)
            }
            // `Enum::Variant`, `Type::CONSTANT`: the type is what matters.
            Named::Item(item) => Some(Named::Item(item)),
            Named::Foreign(path) => Some(Named::Foreign(format!("{path}::{}", rest.join("::")))),
        }
    }

    /// A name that a module defines or imports.
    fn member(&self, module: &[String], name: &str, depth: usize) -> Option<Named> {
        let items = &self.modules.get(module)?.items;
        for item in items {
            match item {
                Item::Mod(inner) if inner.ident == name => {
                    let path = [module, &[name.to_owned()]].concat();
                    return Some(Named::Module(path));
                }
                item if ident(item).is_some_and(|found| found == name) => {
                    return Some(Named::Item((module.to_vec(), name.to_owned())));
                }
                _ => {}
            }
        }
        let mut globs = Vec::new();
        for item in items {
            let Item::Use(import) = item else { continue };
            for leaf in leaves(&import.tree) {
                match leaf.name {
                    Some(found) if found == name => {
                        let is_itself = leaf.path.len() == 1 && leaf.path[0] == name;
                        let found = match is_itself {
                            true => None,
                            false => self.step(module, &leaf.path, depth + 1),
                        };
                        return Some(found.unwrap_or(Named::Foreign(leaf.path.join("::"))));
                    }
                    None => globs.push(leaf.path),
                    _ => {}
                }
            }
        }
        globs
            .iter()
            .find_map(|path| match self.step(module, path, depth + 1) {
                Some(Named::Module(module)) => self.member(&module, name, depth + 1),
                _ => None,
            })
    }

    /// The item that is defined there.
    pub fn item(&self, definition: &Definition) -> &Item {
        let (module, name) = definition;
        let items = &self.modules[module].items;
        let found = items.iter().find(|item| {
            !matches!(item, Item::Impl(_)) && ident(item).is_some_and(|found| found == name)
        });
        found.unwrap_or_else(|| panic!("no {name} in {}", module.join("::")))
    }
}

/// One name that a `use` brings; without a name it brings all of a module.
pub struct Leaf {
    pub path: Vec<String>,
    pub name: Option<String>,
}

/// The names that a `use` brings.
pub fn leaves(tree: &UseTree) -> Vec<Leaf> {
    fn walk(tree: &UseTree, before: &[String], found: &mut Vec<Leaf>) {
        let with = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => walk(&path.tree, &with(&path.ident), found),
            UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| walk(tree, before, found)),
            UseTree::Glob(_) => found.push(Leaf {
                path: before.to_vec(),
                name: None,
            }),
            UseTree::Name(name) if name.ident == "self" => found.push(Leaf {
                path: before.to_vec(),
                name: before.last().cloned(),
            }),
            UseTree::Name(name) => found.push(Leaf {
                path: with(&name.ident),
                name: Some(name.ident.to_string()),
            }),
            UseTree::Rename(rename) => found.push(Leaf {
                path: with(&rename.ident),
                name: Some(rename.rename.to_string()),
            }),
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

/// The name of an item that can be named.
pub fn ident(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

/// The attributes and the visibility of an item.
pub fn head(item: &Item) -> (&[Attribute], &Visibility) {
    match item {
        Item::Const(item) => (&item.attrs, &item.vis),
        Item::Enum(item) => (&item.attrs, &item.vis),
        Item::Fn(item) => (&item.attrs, &item.vis),
        Item::Mod(item) => (&item.attrs, &item.vis),
        Item::Static(item) => (&item.attrs, &item.vis),
        Item::Struct(item) => (&item.attrs, &item.vis),
        Item::Trait(item) => (&item.attrs, &item.vis),
        Item::Type(item) => (&item.attrs, &item.vis),
        Item::Union(item) => (&item.attrs, &item.vis),
        Item::Use(item) => (&item.attrs, &item.vis),
        _ => (&[], &Visibility::Inherited),
    }
}

fn parsed(file: &Path) -> Vec<Item> {
    let text = fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    let file = syn::parse_file(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    file.items
}
