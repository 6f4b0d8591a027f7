//! What the crate hands out: from `lib.rs` along `pub mod` and `pub use`, without what is `#[doc(hidden)]`.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, Signature, TraitItem, Type, Visibility};

use crate::source::{Definition, ModulePath, Named, Sources, head, ident, leaves};

/// The public interface.
#[derive(Default)]
pub struct Listing {
    /// One line for each item, method, field and variant, and for each trait that a type has.
    pub lines: BTreeSet<String>,
    /// How many of the lines are items, methods, fields and variants.
    pub items: usize,
    /// Lines whose documentation is missing, or a single word.
    pub undocumented: Vec<String>,
    /// Enums that other crates may match without a wildcard.
    pub exhaustive: Vec<String>,
    /// Types of this crate that a signature names and that are not handed out.
    pub leaks: BTreeSet<String>,
    /// The names at the crate's root.
    pub root: BTreeSet<String>,
}

struct Lister<'s> {
    sources: &'s Sources,
    impls: BTreeMap<Definition, Vec<(&'s ModulePath, &'s ItemImpl)>>,
    /// Handed out, with the name by which it is.
    exported: BTreeMap<Definition, String>,
    /// Types in signatures, with the line in which they are.
    mentioned: BTreeSet<(Definition, String)>,
    out: Listing,
}

/// The listing of these sources.
pub fn listing(sources: &Sources) -> Listing {
    let mut lister = Lister {
        sources,
        impls: impls(sources),
        exported: BTreeMap::new(),
        mentioned: BTreeSet::new(),
        out: Listing::default(),
    };
    lister.module(&[], "updo");
    let exported = std::mem::take(&mut lister.exported);
    let leaks = lister
        .mentioned
        .iter()
        .filter(|(definition, _)| !exported.contains_key(definition));
    lister.out.leaks = leaks
        .map(|((module, name), line)| format!("{}::{name} in {line}", module.join("::")))
        .collect();
    lister.out
}

/// All `impl`s of the crate by the type they are for.
fn impls(sources: &Sources) -> BTreeMap<Definition, Vec<(&ModulePath, &ItemImpl)>> {
    let mut found: BTreeMap<Definition, Vec<_>> = BTreeMap::new();
    for (path, module) in &sources.modules {
        for item in &module.items {
            let Item::Impl(block) = item else { continue };
            let Type::Path(this) = &*block.self_ty else {
                continue;
            };
            if let Some(Named::Item(definition)) = sources.resolve(path, &segments(&this.path)) {
                found.entry(definition).or_default().push((path, block));
            }
        }
    }
    found
}

fn segments(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident(name))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|word| word == "hidden")
    })
}

/// The words of the documentation.
fn documentation(attributes: &[Attribute]) -> usize {
    let docs = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"));
    let text: String = docs.map(|doc| doc.to_token_stream().to_string()).collect();
    let text = text.replace("# [doc =", " ");
    text.split(|c: char| !(c.is_alphanumeric() || "'`_-:/.()".contains(c)))
        .filter(|word| word.chars().any(char::is_alphanumeric) && *word != "r")
        .count()
}

/// Tokens as people write them.
fn text(tokens: impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("& ", "&"),
        (" ,", ","),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" :", ":"),
        ("[ ", "["),
        (" ]", "]"),
        (" ;", ";"),
        (",)", ")"),
        ("-> ", " -> "),
        ("- >", "->"),
        ("=> ", " => "),
        ("  ", " "),
        ("  ", " "),
        (":: <", "::<"),
    ] {
        text = text.replace(from, to);
    }
    text.replace("=(", "= (")
        .replace("->(", "-> (")
        .trim()
        .to_owned()
}

impl<'s> Lister<'s> {
    /// Everything that a module hands out; `name` is how other crates write the module.
    fn module(&mut self, path: &[String], name: &str) {
        let module = &self.sources.modules[path];
        // A macro at a place that hands something out could hand out more.
        assert!(module.unknown.is_empty(), "{name}: {:?}", module.unknown);
        for item in &module.items {
            let (attributes, visibility) = head(item);
            if !is_public(visibility) || is_hidden(attributes) {
                continue;
            }
            match item {
                Item::Mod(inner) => {
                    let below = [path, &[inner.ident.to_string()]].concat();
                    let line = format!("{name}::{}", inner.ident);
                    // Its documentation may be in its file; rustc's `missing_docs` holds that.
                    self.entry(format!("mod {line}"), None);
                    self.at_root(path, &inner.ident.to_string());
                    self.module(&below, &line);
                }
                Item::Use(import) => {
                    for leaf in leaves(&import.tree) {
                        let alias = leaf.name.unwrap_or_else(|| panic!("{name}: a glob"));
                        self.import(path, &leaf.path, name, &alias);
                        self.at_root(path, &alias);
                    }
                }
                item => {
                    let Some(own) = ident(item) else { continue };
                    let definition = (path.to_vec(), own.to_string());
                    self.definition(&definition, &format!("{name}::{own}"));
                    self.at_root(path, &own.to_string());
                }
            }
        }
    }

    fn at_root(&mut self, module: &[String], name: &str) {
        if module.is_empty() {
            self.out.root.insert(name.to_owned());
        }
    }

    fn import(&mut self, from: &[String], path: &[String], name: &str, alias: &str) {
        match self.sources.resolve(from, path) {
            Some(Named::Item(definition)) => {
                self.definition(&definition, &format!("{name}::{alias}"));
            }
            Some(Named::Module(module)) => self.module(&module, &format!("{name}::{alias}")),
            Some(Named::Foreign(path)) => self.entry(format!("use {name}::{alias} = {path}"), None),
            None => panic!("{name}::{alias} names nothing"),
        }
    }

    /// A line, and its documentation where it can have one of its own.
    fn entry(&mut self, line: String, attributes: Option<&[Attribute]>) {
        if attributes.is_some_and(|attributes| documentation(attributes) < 2) {
            self.out.undocumented.push(line.clone());
        }
        if self.out.lines.insert(line) {
            self.out.items += 1;
        }
    }

    fn definition(&mut self, definition: &Definition, name: &str) {
        if self.exported.contains_key(definition) {
            self.out
                .lines
                .insert(format!("use {name} = {}", self.exported[definition]));
            return;
        }
        self.exported.insert(definition.clone(), name.to_owned());
        let (module, _) = definition;
        let item = self.sources.item(definition);
        let (attributes, _) = head(item);
        let mark = match has(attributes, "non_exhaustive") {
            true => " #[non_exhaustive]",
            false => "",
        };
        let docs = Some(attributes);
        match item {
            Item::Struct(item) => {
                self.entry(format!("struct {name}{}{mark}", text(&item.generics)), docs);
                self.fields(module, &item.fields, name, false);
            }
            Item::Enum(item) => {
                if mark.is_empty() {
                    self.out.exhaustive.push(name.to_owned());
                }
                self.entry(format!("enum {name}{}{mark}", text(&item.generics)), docs);
                for variant in &item.variants {
                    let name = format!("{name}::{}", variant.ident);
                    self.entry(format!("variant {name}"), Some(&variant.attrs));
                    self.fields(module, &variant.fields, &name, true);
                }
            }
            Item::Trait(item) => {
                self.entry(format!("trait {name}{}", text(&item.generics)), docs);
                for member in &item.items {
                    if let TraitItem::Fn(function) = member {
                        let provided = function.default.as_ref().map_or("", |_| " (provided)");
                        self.signature(module, &function.sig, name, &function.attrs, provided);
                    }
                }
            }
            Item::Fn(item) => {
                let parent = name.rsplit_once("::").map_or("", |(parent, _)| parent);
                self.signature(module, &item.sig, parent, &item.attrs, "");
            }
            Item::Const(item) => {
                self.mention(module, item.ty.as_ref(), name);
                self.entry(format!("const {name}: {}", text(&item.ty)), docs);
            }
            Item::Type(item) => {
                self.mention(module, item.ty.as_ref(), name);
                let generics = text(&item.generics);
                self.entry(format!("type {name}{generics} = {}", text(&item.ty)), docs);
            }
            _ => panic!("{name} is an item that is not known here"),
        }
        if let Item::Trait(_) = item {
            self.for_any_type(definition);
        }
        for (path, block) in self.impls.get(definition).cloned().unwrap_or_default() {
            self.block(path, block, name);
        }
        self.derived(attributes, name);
    }

    fn fields(&mut self, module: &[String], fields: &Fields, name: &str, variant: bool) {
        for (at, field) in fields.iter().enumerate() {
            if !(variant || is_public(&field.vis)) || is_hidden(&field.attrs) {
                continue;
            }
            let own = field
                .ident
                .as_ref()
                .map_or(at.to_string(), ToString::to_string);
            let line = format!("field {name}::{own}: {}", text(&field.ty));
            self.mention(module, &field.ty, &line);
            // What a tuple's parts are is said with the tuple.
            let docs = field.ident.is_some().then_some(field.attrs.as_slice());
            self.entry(line, docs);
        }
    }

    fn signature(
        &mut self,
        module: &[String],
        signature: &Signature,
        name: &str,
        attributes: &[Attribute],
        end: &str,
    ) {
        let text = text(signature);
        let text = text.strip_prefix("fn ").unwrap_or(&text);
        let line = format!("fn {name}::{text}{end}");
        self.mention(module, signature, &line);
        self.entry(line, Some(attributes));
    }

    fn block(&mut self, module: &[String], block: &ItemImpl, name: &str) {
        if let Some((_, implemented, _)) = &block.trait_ {
            let Some(last) = implemented.segments.last() else {
                return;
            };
            // A trait of the crate itself that is not handed out says nothing to others.
            if let Some(Named::Item((module, own))) =
                self.sources.resolve(module, &segments(implemented))
                && !self.exported.contains_key(&(module, own))
            {
                return;
            }
            self.out
                .lines
                .insert(format!("impl {} for {name}", text(last)));
            return;
        }
        for member in &block.items {
            match member {
                ImplItem::Fn(function)
                    if is_public(&function.vis) && !is_hidden(&function.attrs) =>
                {
                    self.signature(module, &function.sig, name, &function.attrs, "");
                }
                ImplItem::Const(constant)
                    if is_public(&constant.vis) && !is_hidden(&constant.attrs) =>
                {
                    let line = format!("const {name}::{}: {}", constant.ident, text(&constant.ty));
                    self.mention(module, &constant.ty, &line);
                    self.entry(line, Some(&constant.attrs));
                }
                ImplItem::Macro(_) => panic!("a macro in an impl of {name}"),
                _ => {}
            }
        }
    }

    /// The `impl`s of a trait for every type that has other traits.
    fn for_any_type(&mut self, definition: &Definition) {
        for (path, module) in &self.sources.modules {
            for item in &module.items {
                let Item::Impl(block) = item else { continue };
                let (Some((_, implemented, _)), Type::Path(this)) =
                    (&block.trait_, &*block.self_ty)
                else {
                    continue;
                };
                let is_parameter = block
                    .generics
                    .type_params()
                    .any(|parameter| this.path.is_ident(&parameter.ident));
                let is_this = || {
                    let named = self.sources.resolve(path, &segments(implemented));
                    named == Some(Named::Item(definition.clone()))
                };
                if is_parameter && is_this() {
                    let line = format!(
                        "impl {} for {} {}",
                        text(implemented),
                        text(&this.path),
                        text(&block.generics.where_clause)
                    );
                    let line = line.trim_end_matches(',').to_owned();
                    self.out.lines.insert(line);
                }
            }
        }
    }

    fn derived(&mut self, attributes: &[Attribute], name: &str) {
        for attribute in attributes.iter().filter(|a| a.path().is_ident("derive")) {
            let derive = attribute.parse_nested_meta(|meta| {
                let line = format!("impl {} for {name}", text(&meta.path));
                self.out.lines.insert(line);
                Ok(())
            });
            derive.unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }

    /// Notes the types of this crate that are written there.
    fn mention<'t>(&mut self, module: &[String], tokens: impl Into<Tokens<'t>>, line: &str) {
        let mut paths = Paths(Vec::new());
        match tokens.into() {
            Tokens::Type(kind) => paths.visit_type(kind),
            Tokens::Signature(signature) => paths.visit_signature(signature),
        }
        for path in paths.0 {
            if let Some(Named::Item(definition)) = self.sources.resolve(module, &path) {
                self.mentioned.insert((definition, line.to_owned()));
            }
        }
    }
}

enum Tokens<'t> {
    Type(&'t Type),
    Signature(&'t Signature),
}

impl<'t> From<&'t Type> for Tokens<'t> {
    fn from(kind: &'t Type) -> Self {
        Self::Type(kind)
    }
}

impl<'t> From<&'t Signature> for Tokens<'t> {
    fn from(signature: &'t Signature) -> Self {
        Self::Signature(signature)
    }
}

/// The paths of types.
struct Paths(Vec<Vec<String>>);

impl<'t> Visit<'t> for Paths {
    fn visit_path(&mut self, path: &'t syn::Path) {
        self.0.push(segments(path));
        visit::visit_path(self, path);
    }
}
