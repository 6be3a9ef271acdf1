//! All that the compiler can't check: the bpf() call, of which std and rustix know nothing.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `BPF_OBJ_PIN`, of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const OBJ_PIN: libc::c_int = 6;

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
