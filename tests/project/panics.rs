//! That no input ends updo with a panic, as far as its text shows: the lints against them are on in the library, each
//! exception is on the page about threats with its reason, and what no lint sees (`assert!`) is in tests only.
//! Whether a place that a lint cannot judge is one all the same is what `tests/fuzz` tries.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ItemFn, ItemMod, Lit, Macro, Meta};

use super::{read, root, sources};

/// The lints whose exceptions are counted: each is about an expression that ends the program when it was wrong.
const LINTS: [&str; 6] = [
    "expect_used",
    "indexing_slicing",
    "panic",
    "string_slice",
    "unreachable",
    "unwrap_used",
];

/// Those that hold in all of the library.
const EVERYWHERE: [&str; 4] = ["expect_used", "panic", "unreachable", "unwrap_used"];

/// What reads the bytes of others, where in addition nothing may be indexed or cut at a place that was computed.
const READERS: [&str; 3] = ["src/node/mod.rs", "src/state/mod.rs", "src/term/etf.rs"];

/// The exceptions of a file and the macros that end a program, outside of its tests.
#[derive(Default)]
struct Found {
    exceptions: Vec<String>,
    endings: Vec<String>,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        Meta::NameValue(_) => false,
    })
}

impl<'a> Visit<'a> for Found {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        let Meta::List(list) = &attribute.meta else {
            return;
        };
        let tokens = list.tokens.to_string().replace(' ', "");
        let is_counted = LINTS
            .iter()
            .any(|lint| tokens.contains(&format!("clippy::{lint},")));
        if !is_counted || !(list.path.is_ident("expect") || list.path.is_ident("allow")) {
            return;
        }
        let mut reason = None;
        let read = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("reason")
                && let Expr::Lit(value) = meta.value()?.parse()?
                && let Lit::Str(text) = value.lit
            {
                reason = Some(text.value());
            }
            Ok(())
        });
        read.expect("lints and a reason");
        self.exceptions.push(reason.expect("a reason"));
    }

    fn visit_macro(&mut self, macro_: &'a Macro) {
        let name = macro_
            .path
            .segments
            .last()
            .expect("a name")
            .ident
            .to_string();
        if name.contains("assert") {
            self.endings.push(name);
        }
        visit::visit_macro(self, macro_);
    }
}

fn found(file: &str) -> Found {
    let text = read(file);
    let mut found = Found::default();
    found.visit_file(&syn::parse_file(&text).unwrap_or_else(|why| panic!("{file}: {why}")));
    found
}

#[test]
fn where_updo_may_panic_is_on_the_page_about_threats() {
    let mut files = BTreeSet::new();
    sources(&root().join("src"), &mut files);
    let (mut exceptions, mut endings) = (Vec::new(), Vec::new());
    for file in files {
        if file.ends_with("/tests.rs") || file.contains("/tests/") {
            continue;
        }
        let found = found(&file);
        let row = |reason| format!("| `{}` | {reason} |", &file["src/".len()..]);
        exceptions.extend(found.exceptions.into_iter().map(row));
        endings.extend(found.endings.iter().map(|name| format!("{file}: {name}!")));
    }
    assert_eq!(endings, [""; 0], "a program ends with these");
    let page = read("docs/threats.md");
    let listed: Vec<&str> = page
        .split_once("\n## Where a panic is left\n")
        .and_then(|(_, rest)| rest.split("\n## ").next())
        .expect("the section")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert_eq!(listed, exceptions, "left: docs/threats.md; right: src");
}

#[test]
fn the_lints_against_panics_are_on() {
    let library = read("src/lib.rs");
    for lint in EVERYWHERE {
        assert!(
            library.contains(&format!("        clippy::{lint}")),
            "{lint}"
        );
    }
    for file in READERS {
        let text = read(file);
        for lint in ["indexing_slicing", "string_slice"] {
            assert!(text.contains(&format!("clippy::{lint}")), "{file}: {lint}");
        }
    }
    // What is in tests does not count, what is beside them does.
    let text = "#[expect(clippy::panic, reason = \"x\")] fn f() { assert!(true); }\n\
        #[test] fn t() { assert!(true); }\n#[cfg(test)] mod tests { fn g() { debug_assert!(true) } }";
    let mut found = Found::default();
    found.visit_file(&syn::parse_file(text).expect("Rust"));
    assert_eq!(
        (found.exceptions, found.endings),
        (vec!["x".to_owned()], vec!["assert".to_owned()])
    );
}
