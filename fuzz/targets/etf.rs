//! `inputs::external_terms` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::external_terms(bytes));
