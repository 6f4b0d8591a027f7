//! Any text as a term: what can be read is printed, and what is printed is read back as the same term.

#![no_main]

use libfuzzer_sys::fuzz_target;
use updo::syntax::{parse_expression, parse_term, print::to_source};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(term) = parse_term(text) {
        let printed = term.to_string();
        let again = parse_term(&printed).unwrap_or_else(|d| panic!("{printed}: {d:?}"));
        assert_eq!(format!("{again:?}"), format!("{term:?}"), "{printed}");
    }
    if let Ok(expr) = parse_expression(text, 0) {
        let printed = to_source(&expr);
        assert!(parse_expression(&printed, 0).is_ok(), "{printed}");
    }
});
