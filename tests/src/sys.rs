//! The system calls without a safe function in any crate that the tests use. All `unsafe` of the tests is here.

#![allow(unsafe_code, reason = "see above")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::libc;

/// Makes the kernel stop this process, and the program that it becomes, for its tracer at every system call with these numbers, and only
/// there.
///
/// # Errors
/// The kernel has no CONFIG_SECCOMP_FILTER, or this process lacks CAP_SYS_ADMIN.
pub fn stop_at_calls(numbers: &[libc::c_long]) -> io::Result<()> {
    /// The offset of `nr` in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut steps = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, NUMBER)];
    for number in numbers {
        let number = u32::try_from(*number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        steps.push(step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number));
        steps.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRACE));
    }
    steps.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel reads `program` and the steps that it points to, which both live until the call ends, and writes nothing.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Resets a USB device; `node` is its node below /dev/bus/usb, open for writing.
///
/// # Errors
/// The kernel can't reset it, or it is another device afterwards.
pub fn reset_usb(node: &File) -> io::Result<()> {
    /// `_IO('U', 20)`, include/uapi/linux/usbdevice_fs.h.
    const USBDEVFS_RESET: libc::Ioctl = 0x5514;
    // SAFETY: this request has no argument, so the kernel touches no memory of this process.
    let result = unsafe { libc::ioctl(node.as_raw_fd(), USBDEVFS_RESET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gets or sets a feature report by way of a hidraw node, as programs do. Byte 0 is its id, or 0. Returns the number of bytes.
///
/// # Errors
/// The device or a driver refuses.
pub fn feature_report(node: &File, report: &mut [u8], is_set: bool) -> io::Result<usize> {
    /// `_IOC(_IOC_WRITE | _IOC_READ, 'H', number, size)`, include/uapi/linux/hidraw.h: 6 sets, 7 gets.
    const BOTH_WAYS: usize = 3 << 30;
    const LETTER: usize = (b'H' as usize) << 8;
    let request = BOTH_WAYS | report.len() << 16 | LETTER | if is_set { 6 } else { 7 };
    let request = libc::Ioctl::try_from(request).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the kernel reads and writes as many bytes as the request says, which are those of `report`.
    let result = unsafe { libc::ioctl(node.as_raw_fd(), request, report.as_mut_ptr()) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
