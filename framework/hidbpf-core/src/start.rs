//! What a program does first that does without Rust's own start.

use std::os::fd::{BorrowedFd, IntoRawFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};

use crate::sys;

/// Has writing to a pipe that nobody reads fail, instead of ending the process half-way, and sees to it that what is opened later does not
/// become the standard input or output.
pub fn prepare() {
    sys::ignore_broken_pipes();
    for standard in [stdin(), stdout(), stderr()] {
        fill(standard);
    }
}

fn fill(standard: BorrowedFd<'_>) {
    if fcntl_getfd(standard) == Err(Errno::BADF) {
        // The lowest number that is free is this one. Without a /dev/null there is no better than to go on.
        let null = openat(CWD, "/dev/null", OFlags::RDWR, Mode::empty());
        let _ = null.map(IntoRawFd::into_raw_fd);
    }
}
