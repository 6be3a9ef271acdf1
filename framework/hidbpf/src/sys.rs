//! All unsafe code: file descriptors that the kernel passes as numbers, and bpf() calls that libbpf-rs doesn't wrap for
//! a bare descriptor.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::{AsRawLibbpf, Map, libbpf_sys};
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use rustix::time::ClockId;

/// Returns the version of libbpf that this process is linked with.
pub(crate) fn libbpf_version() -> (u32, u32) {
    // SAFETY: both functions take no arguments and return a constant.
    unsafe { (libbpf_sys::libbpf_major_version(), libbpf_sys::libbpf_minor_version()) }
}

/// Makes the kernel use CLOCK_MONOTONIC for the timestamps of an evdev node, for this file descriptor. The default is
/// the wall clock, which can be set while events are read.
///
/// # Errors
/// The node is not an evdev node, or is gone.
pub(crate) fn stamp_by_monotonic_clock(node: BorrowedFd<'_>) -> io::Result<()> {
    /// include/uapi/linux/input.h
    const EVIOCSCLOCKID: Opcode = opcode::write::<c_int>(b'E', 0xa0);
    // SAFETY: the request reads one int, the number of a clock (evdev_do_ioctl(), drivers/input/evdev.c).
    let request = unsafe { Setter::<EVIOCSCLOCKID, c_int>::new(ClockId::Monotonic as c_int) };
    // SAFETY: as above. The request writes nothing to this process's memory.
    Ok(unsafe { ioctl(node, request) }?)
}

/// Attaches a loaded struct_ops map, and returns the errno that libbpf-rs would hide.
///
/// # Errors
/// As for the kernel's `hid_bpf_reg()`.
pub(crate) fn attach_struct_ops(map: &Map<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the map is a valid `struct bpf_map` of a loaded object, borrowed for the call.
    let link = unsafe { libbpf_sys::bpf_map__attach_struct_ops(map.as_libbpf_object().as_ptr()) };
    // SAFETY: libbpf_get_error() accepts any value that libbpf returned.
    let error = unsafe { libbpf_sys::libbpf_get_error(link.cast_const().cast()) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(-error as i32));
    }
    // SAFETY: there was no error, so the link is valid and its descriptor is open.
    let own = unsafe { BorrowedFd::borrow_raw(libbpf_sys::bpf_link__fd(link)) }.try_clone_to_owned();
    // SAFETY: the link is ours and is not used after this. It closes its descriptor, but `own` keeps the kernel's link.
    unsafe { libbpf_sys::bpf_link__destroy(link) };
    own
}

/// Takes ownership of the link that `hid_bpf_attach_prog()` opened in this process and returned as a number.
///
/// # Errors
/// The number is negative: the errno of the kfunc.
pub(crate) fn take_link(retval: i32) -> io::Result<OwnedFd> {
    if retval < 0 {
        return Err(io::Error::from_raw_os_error(-retval));
    }
    // SAFETY: the kernel has just opened the link under this number in our file descriptor table (bpf_link_settle() in
    // kernel/bpf/syscall.c). Nothing else knows the number.
    Ok(unsafe { OwnedFd::from_raw_fd(retval) })
}
