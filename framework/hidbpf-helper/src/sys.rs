//! Defines C's main() instead of Rust's runtime start. The latter finds the end of the stack in order to report its
//! overflow. That takes longer than the kernel takes for a driver's types. [`hidbpf_core::startup`] does the rest of the
//! runtime's work.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

// SAFETY: no other function of the program has this name, and it is declared as C declares it.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    crate::run()
}
