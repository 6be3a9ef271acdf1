//! The first steps of a program that does not use Rust's own startup code.

use std::os::fd::{BorrowedFd, IntoRawFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};

use crate::sys;

/// Ignores SIGPIPE, so that writing to a pipe without a reader fails instead of ending the process half-way.
///
/// Also opens missing standard streams, so that no file opened later becomes standard input or output.
pub fn prepare() {
    sys::ignore_broken_pipes();
    for standard in [stdin(), stdout(), stderr()] {
        fill(standard);
    }
}

fn fill(standard: BorrowedFd<'_>) {
    if fcntl_getfd(standard) == Err(Errno::BADF) {
        // open() returns the lowest free number, which is this one. Without /dev/null, continue without the stream.
        let null = openat(CWD, "/dev/null", OFlags::RDWR, Mode::empty());
        let _ = null.map(IntoRawFd::into_raw_fd);
    }
}
