//! Any text as a plan: parsing, the line of the REPL, resolving, rendering what is wrong, and the formatter's laws.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use updo::diag::Code;
use updo::diag::render::{Style, render, to_json};
use updo::syntax::fmt::format_plan;
use updo::syntax::{parse_input, parse_plan};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What is included would depend on the machine.
    if text.contains("include") {
        return;
    }
    let loaded = updo::plan::load_text(Path::new("plan.updo"), text, &BTreeMap::new());
    for diagnostic in &loaded.diagnostics {
        assert_ne!(diagnostic.code, Code::E900, "{diagnostic:?}");
        for label in &diagnostic.labels {
            assert!(label.span.start <= label.span.end && label.span.end <= text.len());
        }
        render(diagnostic, &loaded.sources, Style::default());
        to_json(diagnostic, &loaded.sources);
    }
    let _ = parse_input(text, 0);
    let broken = parse_plan(text, 0).diagnostics.iter().any(|d| d.is_error());
    match format_plan(text, 0) {
        Ok(once) => assert_eq!(format_plan(&once, 0).as_deref(), Ok(&*once), "idempotent"),
        Err(told) => assert!(broken, "{told:?}"),
    }
});
