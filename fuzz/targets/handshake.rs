//! `inputs::handshake` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inputs::handshake(bytes));
