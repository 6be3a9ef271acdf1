//! Where libc begins, and not Rust's own start: that looks for the end of the stack, so as to have words for its overflow, and takes
//! longer for it than the kernel for a driver's types. What else it does is done by [`hidbpf_core::start`].
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

// SAFETY: no other function of the program has this name, and it is declared as C declares it.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(_: c_int, _: *const *const c_char) -> c_int {
    crate::run()
}
