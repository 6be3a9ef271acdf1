//! Runs `hidbpf_tests::fuzz::descriptor` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hidbpf_tests::fuzz::descriptor(bytes));
