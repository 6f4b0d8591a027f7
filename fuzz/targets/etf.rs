//! `inputs::external_terms` under libFuzzer.

#![no_main]

#[path = "../inputs.rs"]
#[allow(dead_code, reason = "the other targets")]
mod inputs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::external_terms(bytes));
