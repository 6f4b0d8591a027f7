//! src/grammar.json (grammar.js, evaluated) becomes a parser in C, and that an object.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=src/grammar.json");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut said = Vec::new();
    tree_sitter_generate::generate_parser_in_directory(
        here.to_owned(),
        Some(&out),
        Some(here.join("src/grammar.json")),
        15,
        None,
        None,
        true,
        tree_sitter_generate::OptLevel::default(),
        &mut said,
    )
    .unwrap_or_else(|error| panic!("{error}"));
    cc::Build::new()
        .include(&out)
        .file(Path::new(&out).join("parser.c"))
        .warnings(false)
        .compile("tree-sitter-updo");
}
