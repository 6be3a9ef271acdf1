//! Runs `hidbpf_tests::fuzz::foreign` on arbitrary bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hidbpf_tests::fuzz::foreign(bytes));
