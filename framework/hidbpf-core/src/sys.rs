//! System calls that std and rustix do not wrap, and the only unsafe code of this crate.
//!
//! These are bpf(2), the locking of a byte of a file, the mapping of a file, and requests to USB devices and to hidraw
//! nodes. Each bpf() call passes only the part of `union bpf_attr` (include/uapi/linux/bpf.h) that it needs. The kernel
//! treats the missing rest as zeros.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::time::Duration;

use hidbpf_prelink::{CoreRelocation, FunctionInfo, Instruction, MapAttributes};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use zerocopy::IntoBytes as _;

/// Commands of `enum bpf_cmd`.
const MAP_CREATE: libc::c_int = 0;
const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const PROG_RUN: libc::c_int = 10;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BTF_LOAD: libc::c_int = 18;
const MAP_FREEZE: libc::c_int = 22;
const LINK_CREATE: libc::c_int = 28;

/// Types of `enum bpf_map_type` whose entries are as large as their values.
pub(crate) const ARRAY: u32 = 2;
const STRUCT_OPS: u32 = 26;

/// The size of a name, including its NUL (`BPF_OBJ_NAME_LEN`).
const NAME_LENGTH: usize = 16;

/// A file of the kernel, mapped into memory for reading.
pub(crate) struct Mapping {
    start: NonNull<libc::c_void>,
    length: usize,
}

impl Mapping {
    /// Maps the first `length` bytes of a file of sysfs, whose contents never change.
    ///
    /// # Errors
    /// As for mmap(2). Most files of sysfs can't be mapped.
    pub(crate) fn of(file: impl AsFd, length: usize) -> io::Result<Mapping> {
        // SAFETY: a new mapping replaces no other one.
        let start = unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }?;
        let start = NonNull::new(start).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Mapping { start, length })
    }

    /// Returns the bytes of the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the bytes are mapped until this is dropped, and never change.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the bytes any more. An error would leave them mapped until the process ends.
        let _ = unsafe { munmap(self.start.as_ptr(), self.length) };
    }
}

/// Locks a byte of a file until this open file description is closed (`F_OFD_SETLK`). Returns whether it was free.
///
/// # Errors
/// As for fcntl(2).
pub(crate) fn lock_byte(file: BorrowedFd<'_>, at: u64) -> io::Result<bool> {
    let start = libc::off_t::try_from(at).map_err(io::Error::other)?;
    // SAFETY: all fields are numbers, which may be zero. Some systems have more fields than are named here.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_whence, lock.l_start, lock.l_len) =
        (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short, start, 1);
    // SAFETY: the kernel reads the struct, which outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
        0.. => Ok(true),
        _ => match io::Error::last_os_error() {
            error if [Some(libc::EAGAIN), Some(libc::EACCES)].contains(&error.raw_os_error()) => Ok(false),
            error => Err(error),
        },
    }
}

/// `struct usbdevfs_ctrltransfer` (include/uapi/linux/usbdevice_fs.h).
#[repr(C)]
struct ControlTransfer {
    kind: u8,
    request: u8,
    value: u16,
    index: u16,
    length: u16,
    /// In milliseconds. 0 means to wait for ever.
    timeout: u32,
    data: *mut libc::c_void,
}

/// Returns the number of a request that the kernel reads from and writes to (`_IOWR()`, include/uapi/asm-generic/ioctl.h).
const fn read_write(kind: u8, number: u8, size: usize) -> u32 {
    3 << 30 | (size as u32) << 16 | (kind as u32) << 8 | number as u32
}

/// Reads a string descriptor in US English from the USB device of a node, into `answer`. Returns its size in bytes.
///
/// It is the only request to USB devices that this crate can make, besides [`usb_reset`].
///
/// # Errors
/// As for USBDEVFS_CONTROL (Documentation/driver-api/usb/usb.rst): EPIPE if the device refuses, ETIMEDOUT, ENODEV.
pub(crate) fn usb_string(node: BorrowedFd<'_>, index: u8, timeout: Duration, answer: &mut [u8]) -> io::Result<usize> {
    const CONTROL: u32 = read_write(b'U', 0, size_of::<ControlTransfer>());
    /// The device sends; a standard request; to the device (USB 2.0, table 9-2).
    const FROM_DEVICE: u8 = 0x80;
    const GET_DESCRIPTOR: u8 = 6;
    const STRING: u16 = 3;
    const US_ENGLISH: u16 = 0x0409;
    let mut transfer = ControlTransfer {
        kind: FROM_DEVICE,
        request: GET_DESCRIPTOR,
        value: STRING << 8 | u16::from(index),
        index: US_ENGLISH,
        length: u16::try_from(answer.len()).map_err(io::Error::other)?,
        timeout: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1),
        data: answer.as_mut_ptr().cast(),
    };
    // SAFETY: the kernel writes at most `length` bytes to `data`, which outlives the call, as the struct does.
    match unsafe { libc::ioctl(node.as_raw_fd(), libc::Ioctl::from(CONTROL), &raw mut transfer) } {
        size @ 0.. => Ok(size as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Resets the USB device of a node. The kernel then configures it as before, and its HID devices stay.
///
/// # Errors
/// As for USBDEVFS_RESET (Documentation/driver-api/usb/usb.rst).
pub(crate) fn usb_reset(node: BorrowedFd<'_>) -> io::Result<()> {
    /// `_IO('U', 20)`
    const RESET: u32 = (b'U' as u32) << 8 | 20;
    // SAFETY: the request has no argument.
    match unsafe { libc::ioctl(node.as_raw_fd(), libc::Ioctl::from(RESET)) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets a feature report, which begins with its id, through a hidraw node (HIDIOCSFEATURE, Documentation/hid/hidraw.rst).
///
/// # Errors
/// As for the transport: EPIPE if a USB device refuses.
pub(crate) fn set_feature(node: BorrowedFd<'_>, report: &[u8]) -> io::Result<()> {
    let request = read_write(b'H', 6, report.len());
    // SAFETY: the kernel reads as many bytes as the request's number says, which outlive the call.
    match unsafe { libc::ioctl(node.as_raw_fd(), libc::Ioctl::from(request), report.as_ptr()) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls bpf().
///
/// # Safety
/// `T` must have the layout of the command's part of `union bpf_attr`. Each pointer in it must be valid for all of the
/// kernel's accesses.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the attributes have the given size, and the kernel may write into them. The caller guarantees the rest.
    match unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls bpf() as [`bpf`] does, for a command that returns a descriptor.
///
/// # Safety
/// As for [`bpf`].
unsafe fn bpf_opens<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: as above.
    match unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) } {
        // SAFETY: the kernel has just created the descriptor, and no other code knows it.
        fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Truncates a name to the length that the kernel keeps.
fn name(text: &str) -> [u8; NAME_LENGTH] {
    let mut name = [0; NAME_LENGTH];
    for (to, from) in name[..NAME_LENGTH - 1].iter_mut().zip(text.bytes()) {
        *to = from;
    }
    name
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

/// Returns the address of a slice. The caller passes its length separately.
fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

#[repr(C)]
struct ObjAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Pins a link in bpffs (`BPF_OBJ_PIN`).
///
/// # Errors
/// As for bpf(2): the path exists, is not in bpffs, or contains a NUL.
pub(crate) fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut attributes = ObjAttr { pathname: path.as_ptr() as u64, bpf_fd: raw(link), file_flags: 0 };
    // SAFETY: the kernel reads the path, a C string that outlives the call.
    unsafe { bpf(OBJ_PIN, &mut attributes) }
}

/// Opens the object that is pinned at a path (`BPF_OBJ_GET`).
///
/// # Errors
/// As for bpf(2): nothing is pinned there, or the process may not open it.
pub(crate) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut attributes = ObjAttr { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    // SAFETY: the kernel reads the path, a C string that outlives the call.
    unsafe { bpf_opens(OBJ_GET, &mut attributes) }
}

#[repr(C)]
#[derive(Default)]
struct BtfAttr {
    btf: u64,
    log_buf: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    log_true_size: u32,
}

/// Loads type information into the kernel (`BPF_BTF_LOAD`).
///
/// # Errors
/// As for bpf(2).
pub(crate) fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attributes = BtfAttr { btf: address(btf), size: btf.len() as u32, ..BtfAttr::default() };
    // SAFETY: the kernel reads the bytes, which outlive the call. There is no log.
    unsafe { bpf_opens(BTF_LOAD, &mut attributes) }
}

/// The smallest type information that the kernel accepts.
///
/// It has the header, an int without a name, and only the empty string (Documentation/bpf/btf.rst).
const SMALLEST_BTF: [u32; 11] = [0x0001_eb9f, 24, 0, 16, 16, 4, 0, 1 << 24, 4, 32, 0];

#[repr(C)]
#[derive(Default)]
struct MapAttr {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; NAME_LENGTH],
    ifindex: u32,
    btf_fd: u32,
    key_type: u32,
    value_type: u32,
    vmlinux_value_type: u32,
}

/// The first part of `struct bpf_map_info`. The kernel fills only as much as fits.
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

#[repr(C)]
#[derive(Default)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkAttr {
    map_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// A map.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    kind: u32,
    value_size: usize,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// Creates a map (`BPF_MAP_CREATE`). `btf` holds its types, and is required if it has any.
    ///
    /// # Errors
    /// As for bpf(2).
    pub(crate) fn create(text: &str, map: &MapAttributes, btf: Option<BorrowedFd<'_>>) -> io::Result<Map> {
        let types = btf.filter(|_| map.is_typed());
        Map::new(MapAttr {
            kind: map.kind.get(),
            key_size: map.key_size.get(),
            value_size: map.value_size.get(),
            max_entries: map.max_entries.get(),
            flags: map.flags.get(),
            name: name(text),
            btf_fd: types.map_or(0, raw),
            key_type: map.key_type.get(),
            value_type: map.value_type.get(),
            ..MapAttr::default()
        })
    }

    /// Creates a struct_ops map, whose value has a type of the kernel.
    ///
    /// The kernel requires type information for a map with a typed value, but does not read it. `btf` is used if given.
    ///
    /// # Errors
    /// As for bpf(2): the type is not for such a map, or has another size.
    pub(crate) fn struct_ops(
        text: &str,
        value_type: u32,
        value_size: u32,
        btf: Option<BorrowedFd<'_>>,
    ) -> io::Result<Map> {
        /// `BPF_F_LINK`.
        const LINK: u32 = 1 << 13;
        let smallest;
        let btf = match btf {
            Some(btf) => btf,
            None => {
                smallest = load_btf(SMALLEST_BTF.as_bytes())?;
                smallest.as_fd()
            }
        };
        Map::new(MapAttr {
            kind: STRUCT_OPS,
            key_size: size_of::<u32>() as u32,
            value_size,
            max_entries: 1,
            flags: LINK,
            name: name(text),
            btf_fd: raw(btf),
            vmlinux_value_type: value_type,
            ..MapAttr::default()
        })
    }

    fn new(mut attributes: MapAttr) -> io::Result<Map> {
        // SAFETY: there are no pointers.
        let fd = unsafe { bpf_opens(MAP_CREATE, &mut attributes) }?;
        Ok(Map { fd, kind: attributes.kind, value_size: attributes.value_size as usize })
    }

    /// Returns the map of an existing data section, as the kernel describes it (`BPF_OBJ_GET_INFO_BY_FD`).
    ///
    /// # Errors
    /// As for bpf(2), or it is another kind of map.
    pub(crate) fn of_data(fd: OwnedFd) -> io::Result<Map> {
        let mut info = MapInfo::default();
        let mut attributes =
            InfoAttr { bpf_fd: raw(fd.as_fd()), info_len: size_of::<MapInfo>() as u32, info: &raw mut info as u64 };
        // SAFETY: the kernel writes no more than `info_len` bytes to `info`, which outlives the call.
        unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
        match (info.kind, info.key_size, info.max_entries) == (ARRAY, size_of::<u32>() as u32, 1) {
            true => Ok(Map { fd, kind: info.kind, value_size: info.value_size as usize }),
            false => Err(io::Error::other("it is not a map of a data section")),
        }
    }

    /// Checks that the kernel reads and writes exactly as many bytes for an entry as the value has.
    fn check(&self, value: &[u8]) -> io::Result<()> {
        match [ARRAY, STRUCT_OPS].contains(&self.kind) && value.len() == self.value_size {
            true => Ok(()),
            false => Err(io::Error::other(format!("{} bytes are not a value of the map", value.len()))),
        }
    }

    /// Writes the first entry (`BPF_MAP_UPDATE_ELEM`).
    ///
    /// # Errors
    /// As for bpf(2).
    pub(crate) fn write(&self, value: &[u8]) -> io::Result<()> {
        self.check(value)?;
        let key = 0u32;
        let mut attributes = ElementAttr {
            map_fd: raw(self.as_fd()),
            key: &raw const key as u64,
            value: address(value),
            ..ElementAttr::default()
        };
        // SAFETY: the kernel reads a key and a value, which are as long as the map's and outlive the call.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut attributes) }
    }

    /// Reads the first entry (`BPF_MAP_LOOKUP_ELEM`).
    ///
    /// # Errors
    /// As for bpf(2).
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut value = vec![0; self.value_size];
        self.check(&value)?;
        let key = 0u32;
        let mut attributes = ElementAttr {
            map_fd: raw(self.as_fd()),
            key: &raw const key as u64,
            value: value.as_mut_ptr() as u64,
            ..ElementAttr::default()
        };
        // SAFETY: the kernel reads a key and writes a value, which are as long as the map's and outlive the call.
        unsafe { bpf(MAP_LOOKUP_ELEM, &mut attributes) }?;
        Ok(value)
    }

    /// Forbids all further writes from user space (`BPF_MAP_FREEZE`).
    ///
    /// From then on, the verifier treats a read-only map as constant.
    ///
    /// # Errors
    /// As for bpf(2).
    pub(crate) fn freeze(&self) -> io::Result<()> {
        let mut attributes = raw(self.as_fd());
        // SAFETY: there are no pointers.
        unsafe { bpf(MAP_FREEZE, &mut attributes) }
    }

    /// Attaches a struct_ops map (`BPF_LINK_CREATE`).
    ///
    /// # Errors
    /// As for the kernel's `hid_bpf_reg()`.
    pub(crate) fn attach(&self) -> io::Result<OwnedFd> {
        /// `BPF_STRUCT_OPS` of `enum bpf_attach_type`.
        const ATTACH_TYPE: u32 = 44;
        let mut attributes = LinkAttr { map_fd: raw(self.as_fd()), attach_type: ATTACH_TYPE, ..LinkAttr::default() };
        // SAFETY: there are no pointers.
        unsafe { bpf_opens(LINK_CREATE, &mut attributes) }
    }
}

/// The purpose of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// User space runs it.
    Syscall,
    /// It hooks the kernel function with this BTF id.
    FmodRet { function: u32 },
    /// It implements a member of the struct with this BTF id. Members are counted from 0.
    StructOps { ty: u32, member: u32 },
}

/// The inputs for loading a program.
pub(crate) struct ProgramSpec<'a> {
    pub name: &'a str,
    pub role: Role,
    pub sleepable: bool,
    pub license: &'a CStr,
    pub instructions: &'a [Instruction],
    /// The type information that functions and relocations refer to. Without it they are not passed to the kernel.
    pub btf: Option<BorrowedFd<'a>>,
    pub functions: &'a [FunctionInfo],
    pub relocations: &'a [CoreRelocation],
}

#[repr(C)]
#[derive(Default)]
struct ProgramAttr {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    flags: u32,
    name: [u8; NAME_LENGTH],
    ifindex: u32,
    expected_attach_type: u32,
    btf_fd: u32,
    function_size: u32,
    functions: u64,
    function_count: u32,
    line_size: u32,
    lines: u64,
    line_count: u32,
    attach_btf_id: u32,
    attach_btf_obj_fd: u32,
    relocation_count: u32,
    fd_array: u64,
    relocations: u64,
    relocation_size: u32,
    log_true_size: u32,
}

/// Loads a program (`BPF_PROG_LOAD`). Requests no log, because a log costs more than the rest.
///
/// # Errors
/// As for bpf(2): the verifier refuses the program, or an id is not valid in this kernel.
pub(crate) fn load_program(program: &ProgramSpec<'_>) -> io::Result<OwnedFd> {
    /// `BPF_F_SLEEPABLE`.
    const SLEEPABLE: u32 = 1 << 4;
    /// `BPF_MODIFY_RETURN` of `enum bpf_attach_type`.
    const MODIFY_RETURN: u32 = 26;
    // The types of `enum bpf_prog_type`: SYSCALL, TRACING, STRUCT_OPS.
    let (kind, expected_attach_type, attach_btf_id) = match program.role {
        Role::Syscall => (31, 0, 0),
        Role::FmodRet { function } => (26, MODIFY_RETURN, function),
        Role::StructOps { ty, member } => (27, member, ty),
    };
    let mut attributes = ProgramAttr {
        kind,
        instruction_count: program.instructions.len() as u32,
        instructions: address(program.instructions),
        license: program.license.as_ptr() as u64,
        flags: if program.sleepable { SLEEPABLE } else { 0 },
        name: name(program.name),
        expected_attach_type,
        attach_btf_id,
        ..ProgramAttr::default()
    };
    if let Some(btf) = program.btf {
        attributes.btf_fd = raw(btf);
        attributes.function_size = size_of::<FunctionInfo>() as u32;
        attributes.functions = address(program.functions);
        attributes.function_count = program.functions.len() as u32;
        attributes.relocation_size = size_of::<CoreRelocation>() as u32;
        attributes.relocations = address(program.relocations);
        attributes.relocation_count = program.relocations.len() as u32;
    }
    // SAFETY: the kernel reads the license, a C string, and the lists, whose lengths are given. All of them outlive the
    // call.
    unsafe { bpf_opens(PROG_LOAD, &mut attributes) }
}

/// The first part of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    jited_length: u32,
}

/// Returns whether the kernel compiled a program (`BPF_OBJ_GET_INFO_BY_FD`). Otherwise it would interpret it.
///
/// # Errors
/// As for bpf(2).
pub(crate) fn is_compiled(program: BorrowedFd<'_>) -> io::Result<bool> {
    let mut info = ProgramInfo::default();
    let info_len = size_of::<ProgramInfo>() as u32;
    let mut attributes = InfoAttr { bpf_fd: raw(program), info_len, info: &raw mut info as u64 };
    // SAFETY: the kernel writes no more than `info_len` bytes to `info`, which outlives the call.
    unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info.jited_length != 0)
}

#[repr(C)]
#[derive(Default)]
struct RunAttr {
    program_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
}

/// Runs a syscall program once, with a context that it may change (`BPF_PROG_RUN`).
///
/// # Errors
/// As for bpf(2): it is not a syscall program, or its context has another size.
pub(crate) fn run(program: BorrowedFd<'_>, context: &mut [u8]) -> io::Result<()> {
    let mut attributes = RunAttr {
        program_fd: raw(program),
        context_size_in: context.len() as u32,
        context_in: context.as_mut_ptr() as u64,
        ..RunAttr::default()
    };
    // SAFETY: the kernel reads and writes the context within its size, and it outlives the call.
    unsafe { bpf(PROG_RUN, &mut attributes) }
}

/// Takes ownership of a descriptor that a syscall program opened in this process and returned as a number.
///
/// It is a link of `hid_bpf_attach_prog()`, or type information of a module.
///
/// # Errors
/// The number is negative: it is the errno.
pub(crate) fn take(answer: i32) -> io::Result<OwnedFd> {
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(-answer));
    }
    // SAFETY: the kernel has just created the descriptor with this number (bpf_link_settle() in kernel/bpf/syscall.c,
    // __btf_new_fd() in kernel/bpf/btf.c), and no other code knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<BtfAttr>() == 32);
    assert!(size_of::<MapAttr>() == 64 && offset_of!(MapAttr, btf_fd) == 48);
    assert!(size_of::<ElementAttr>() == 32);
    assert!(size_of::<ProgramAttr>() == 144 && offset_of!(ProgramAttr, attach_btf_id) == 108);
    assert!(offset_of!(ProgramAttr, relocations) == 128);
    assert!(size_of::<RunAttr>() == 64 && offset_of!(RunAttr, context_in) == 48);
};
