//! All that the compiler can't check: the bpf() call, of which std and rustix know nothing.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Commands of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const PROG_RUN: libc::c_int = 10;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// The part of `union bpf_attr` that `BPF_OBJ_*` commands use (include/uapi/linux/bpf.h).
#[repr(C)]
struct ObjAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Pins a link in bpffs (`BPF_OBJ_PIN`).
///
/// # Errors
/// As bpf(2): the path exists, is not in bpffs, or holds a NUL.
pub(crate) fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let attr = ObjAttr { pathname: path.as_ptr() as u64, bpf_fd: link.as_raw_fd() as u32, file_flags: 0 };
    // SAFETY: the kernel reads the attributes and the path, both of which outlive the call, and writes neither; the descriptor is
    // open as long as it is borrowed.
    match unsafe { libc::syscall(libc::SYS_bpf, OBJ_PIN, &raw const attr, size_of::<ObjAttr>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Opens what is pinned at a path (`BPF_OBJ_GET`).
///
/// # Errors
/// As bpf(2): nothing is pinned there, or the process may not have it.
pub(crate) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let attr = ObjAttr { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the kernel reads the attributes and the path, both of which outlive the call, and writes neither.
    match unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET, &raw const attr, size_of::<ObjAttr>()) } {
        // SAFETY: the kernel has just put the descriptor into our table, and nobody else was told.
        fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The first part of `struct bpf_map_info`; the kernel fills as much as there is room for.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct InfoAttr {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `BPF_MAP_TYPE_ARRAY`, whose values are as large in user space as they are said to be.
const ARRAY: u32 = 2;

/// How large the one value of a data section's map is, in bytes.
fn value_size(map: BorrowedFd<'_>) -> io::Result<usize> {
    let mut info = MapInfo::default();
    let attr =
        InfoAttr { bpf_fd: map.as_raw_fd() as u32, info_len: size_of::<MapInfo>() as u32, info: &raw mut info as u64 };
    // SAFETY: the kernel reads the attributes and writes no more than `info_len` bytes to `info`; both outlive the call.
    match unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<InfoAttr>()) } {
        0 if (info.kind, info.key_size) == (ARRAY, size_of::<u32>() as u32) => Ok(info.value_size as usize),
        0 => Err(io::Error::other("it is no map of a data section")),
        _ => Err(io::Error::last_os_error()),
    }
}

#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The first key of an array.
static FIRST: u32 = 0;

/// Reads the value of a data section's map.
///
/// # Errors
/// As bpf(2), or it is another map.
pub(crate) fn read_value(map: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut value = vec![0; value_size(map)?];
    let attr = ElementAttr {
        map_fd: map.as_raw_fd() as u32,
        padding: 0,
        key: &raw const FIRST as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads a key of 4 bytes and writes a value that is as large as it has just said; both outlive the call.
    match unsafe { libc::syscall(libc::SYS_bpf, MAP_LOOKUP_ELEM, &raw const attr, size_of::<ElementAttr>()) } {
        0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Writes the value of a data section's map.
///
/// # Errors
/// As bpf(2), or it is another map, or one of another size.
pub(crate) fn write_value(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    if value_size(map)? != value.len() {
        return Err(io::Error::other("it has another size"));
    }
    let attr = ElementAttr {
        map_fd: map.as_raw_fd() as u32,
        padding: 0,
        key: &raw const FIRST as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    // SAFETY: the kernel reads a key of 4 bytes and a value that is as large as it has just said; both outlive the call.
    match unsafe { libc::syscall(libc::SYS_bpf, MAP_UPDATE_ELEM, &raw const attr, size_of::<ElementAttr>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The part of `union bpf_attr` that `BPF_PROG_RUN` uses for syscall programs (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct RunAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

/// Runs a syscall program once, with a context that it may change (`BPF_PROG_RUN`).
///
/// # Errors
/// As bpf(2): it is no syscall program, or its context is another one.
pub(crate) fn run(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<()> {
    let attr = RunAttr {
        prog_fd: program.as_raw_fd() as u32,
        ctx_size_in: u32::try_from(context.len()).map_err(io::Error::other)?,
        ctx_in: context.as_mut_ptr() as u64,
        ..RunAttr::default()
    };
    // SAFETY: the kernel reads the attributes, and reads and writes the context within its size; both outlive the call. The
    // descriptor is open as long as it is borrowed.
    match unsafe { libc::syscall(libc::SYS_bpf, PROG_RUN, &raw const attr, size_of::<RunAttr>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
