//! Any bytes as external term format: refused or read; what is read is written and read back as the same term.

#![no_main]

use libfuzzer_sys::fuzz_target;
use updo::term::etf;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(term) = etf::decode(bytes) {
        let _ = term.to_string();
        let again = etf::decode(&etf::encode(&term)).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{term:?}"));
    }
});
