//! The BPF C that all drivers share: the SDK's headers, and the syscall programs, compiled.
//!
//! This crate knows no device and loads nothing. What it gives to Rust are the bytes, and the layouts that C and Rust must agree on.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The object with [`ATTACH_PROGRAM`]. It is for kernels that have the kfunc `hid_bpf_attach_prog`, and loads on no other.
pub const ATTACH_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attach.bpf.o"));

/// What [`ATTACH_OBJECT`] is loaded from without libbpf, for `hidbpf_prelink::Prelinked::parse`.
pub const ATTACH_PRELINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attach.prelinked"));

/// The syscall program that ties an FMOD_RET program to a device; its context is [`AttachProgArgs`].
pub const ATTACH_PROGRAM: &str = "attach_prog";

/// The object with [`DESCRIPTOR_PROGRAM`], for every kernel with HID-BPF.
pub const DESCRIPTOR_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bpf.o"));

/// What [`DESCRIPTOR_OBJECT`] is loaded from without libbpf, for `hidbpf_prelink::Prelinked::parse`.
pub const DESCRIPTOR_PRELINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.prelinked"));

/// The syscall program that copies a device's original or fixed descriptor; its context is [`DescriptorArgs`].
pub const DESCRIPTOR_PROGRAM: &str = "descriptor";

/// The syscall programs that find the numbers of the running kernel's functions and types, for `hidbpf_prelink::Prelinked::parse`.
pub const RESOLVE_PRELINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/resolve.prelinked"));

/// The program of [`RESOLVE_PRELINKED`] that finds all of [`ResolveArgs`], which is its context. It loads on kernels of the second generation
/// alone.
pub const RESOLVE_OPS_PROGRAM: &str = "resolve_ops";

/// The same for kernels of the first generation, which have no `struct hid_bpf_ops`.
pub const RESOLVE_FMOD_PROGRAM: &str = "resolve_fmod";

/// The program of [`RESOLVE_PRELINKED`] that looks up one of the kernel's functions; its context is [`ResolveFunctionArgs`].
pub const RESOLVE_FUNCTION_PROGRAM: &str = "resolve_func";

/// The object that shows user space the reports that pass where it is attached: before a device's drivers, or behind them. Its only map
/// besides the globals' is [`TAP_MAP`], a ring buffer of [`TapReport`]s, each followed by the report.
pub const TAP_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tap.bpf.o"));

/// The ring buffer of [`TAP_OBJECT`].
pub const TAP_MAP: &str = "hidbpf_reports";

/// The global of [`TAP_OBJECT`] that counts the reports for which the ring buffer had no room.
pub const TAP_LOST: &str = "hidbpf_lost";

/// `struct hidbpf_tap_report` of tap.bpf.c, without the report's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TapReport {
    /// When it came, in nanoseconds of CLOCK_MONOTONIC.
    pub time: u64,
    /// How many bytes it has. Fewer follow where it is longer than the kernel's own buffer.
    pub size: u32,
    /// 0 for an input report, else an answer to GET_REPORT: `enum hid_report_type`.
    pub kind: u32,
}

/// The object with [`REQUEST_PROGRAM`], for every kernel with HID-BPF. The one thing in its `.bss`, 16384 bytes, is the report, its id or
/// 0 first; the answer takes its place.
pub const REQUEST_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/request.bpf.o"));

/// The syscall program that makes one request to a device; its context is [`RequestArgs`].
pub const REQUEST_PROGRAM: &str = "request";

/// `struct request_args` of request.bpf.c.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestArgs {
    /// The device's number.
    pub hid: u32,
    /// `enum hid_report_type`.
    pub kind: u32,
    /// `enum hid_class_request`, or 0 for a report on the device's own channel for output, which programs can use since Linux 6.10.
    pub request: u32,
    /// Bytes of the report, the byte for its id included.
    pub size: u32,
    /// Filled by the program: the bytes that were answered or taken, or a negative errno.
    pub retval: i32,
}

/// The syscall program, in a driver's object, that takes or refuses a device; its context is [`ProbeArgs`].
pub const PROBE_PROGRAM: &str = "probe";

/// The syscall program, in a driver's object, that talks to the device when the driver has been attached and when the machine wakes
/// up; its context is [`SetupArgs`].
pub const SETUP_PROGRAM: &str = "setup";

/// The text of each header, by the name under which drivers include it.
pub const HEADERS: &[(&str, &str)] = &[
    ("hidbpf/descriptor.h", include_str!("../include/hidbpf/descriptor.h")),
    ("hidbpf/driver.h", include_str!("../include/hidbpf/driver.h")),
    ("hidbpf/field.h", include_str!("../include/hidbpf/field.h")),
    ("hidbpf/huion-kamvas.h", include_str!("../include/hidbpf/huion-kamvas.h")),
    ("hidbpf/huion-keydial.h", include_str!("../include/hidbpf/huion-keydial.h")),
    ("hidbpf/huion.h", include_str!("../include/hidbpf/huion.h")),
    ("hidbpf/ids.h", include_str!("../include/hidbpf/ids.h")),
    ("hidbpf/items.h", include_str!("../include/hidbpf/items.h")),
    ("hidbpf/kernel.h", include_str!("../include/hidbpf/kernel.h")),
    ("hidbpf/option.h", include_str!("../include/hidbpf/option.h")),
    ("hidbpf/property.h", include_str!("../include/hidbpf/property.h")),
    ("hidbpf/report.h", include_str!("../include/hidbpf/report.h")),
    ("hidbpf/setup.h", include_str!("../include/hidbpf/setup.h")),
    ("hidbpf/touchpad.h", include_str!("../include/hidbpf/touchpad.h")),
    ("hidbpf/ugee.h", include_str!("../include/hidbpf/ugee.h")),
    ("hidbpf/usages.h", include_str!("../include/hidbpf/usages.h")),
    ("hidbpf/work.h", include_str!("../include/hidbpf/work.h")),
];

/// `struct attach_prog_args` of attach.bpf.c.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AttachProgArgs {
    /// The loaded program.
    pub prog_fd: i32,
    /// The device's number.
    pub hid: u32,
    /// 0 puts the program behind those that the device has, 1 before them.
    pub flags: u32,
    /// Filled by the program: a link's file descriptor, which the caller owns, or a negative errno.
    pub retval: i32,
}

/// `struct descriptor_args` of descriptor.bpf.c.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct DescriptorArgs {
    /// The device's number.
    pub hid: u32,
    /// [`DescriptorArgs::ORIGINAL`] or [`DescriptorArgs::FIXED`].
    pub which: u32,
    /// The first byte that is wanted, a multiple of 8.
    pub offset: u32,
    /// Filled by the program: bytes of the whole descriptor, or a negative errno.
    pub size: i32,
    /// Filled by the program, up to the descriptor's end.
    pub part: [u8; DescriptorArgs::PART],
}

impl DescriptorArgs {
    /// What the device sent.
    pub const ORIGINAL: u32 = 0;

    /// What the descriptor hook made of it. Since Linux 6.13: older kernels do not keep it, which is `EOPNOTSUPP`.
    pub const FIXED: u32 = 1;

    /// Bytes that one run of the program copies at most.
    pub const PART: usize = 512;
}

/// `struct resolve_args` of resolve.bpf.c. All is filled by the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResolveArgs {
    /// What `struct hid_bpf_ops` is like; zeros on kernels of the first generation.
    pub ops: ResolvedOps,
    /// Where the members are that nearly all drivers access, in the order of `hidbpf_prelink::MEMBERS`.
    pub members: [ResolvedMember; 2],
}

/// `struct resolve_member` of resolve.bpf.c: where a member is in its struct. Zeros where a kernel has no such member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResolvedMember {
    /// Its first byte.
    pub offset: u32,
    /// How many bytes it has.
    pub size: u32,
}

/// `struct resolve_ops` of resolve.bpf.c. Offsets are in bytes, in the value of a struct_ops map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResolvedOps {
    /// The number of the type `struct hid_bpf_ops`.
    pub ops_type: u32,
    /// The number of the type of a map's value.
    pub value_type: u32,
    /// Bytes of a map's value.
    pub value_size: u32,
    /// Where the device's number is.
    pub hid_id: u32,
    /// Where the flags are.
    pub flags: u32,
    /// Where the hook for reports is.
    pub device_event: u32,
    /// Where the hook for descriptors is.
    pub rdesc_fixup: u32,
    /// Where the hook for requests is.
    pub hw_request: u32,
    /// Where the hook for output reports is.
    pub hw_output_report: u32,
}

/// `struct resolve_function_args` of resolve.bpf.c.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResolveFunctionArgs {
    /// The function's name; zeros after it, of which there is at least one.
    pub name: [u8; 32],
    /// Filled by the program: the function's number; in the upper half the descriptor of a module's types where it is a module's. Or a
    /// negative errno.
    pub id: i64,
}

/// `struct hid_bpf_probe_args` of hidbpf/driver.h.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProbeArgs {
    /// The device's number.
    pub hid: u32,
    /// Bytes of the original descriptor.
    pub rdesc_size: u32,
    /// The descriptor; zeros after `rdesc_size`.
    pub rdesc: [u8; 4096],
    /// Filled by the program: 0 takes the device, a negative errno refuses it.
    pub retval: i32,
}

/// `struct hidbpf_setup_args` of hidbpf/setup.h.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetupArgs {
    /// The device's number.
    pub hid: u32,
    /// Bytes of the original descriptor.
    pub rdesc_size: u32,
    /// Filled by the program: 0 or more if the device does what it was told, else a negative errno.
    pub retval: i32,
    /// Filled by the program.
    pub refusal: Refusal,
}

/// `struct hidbpf_refusal` of hidbpf/setup.h: the last request of a set-up that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Refusal {
    /// A negative errno, or 0 if no request failed.
    pub error: i32,
    /// `enum hid_class_request`, or [`Refusal::OUTPUT`].
    pub request: u8,
    /// `enum hid_report_type`.
    pub kind: u8,
    /// The report's id.
    pub report_id: u8,
    /// Nothing.
    pub padding: u8,
}

impl Refusal {
    /// `HIDBPF_OUTPUT`, as the request: a report on the device's own channel for output.
    pub const OUTPUT: u8 = 0;
}

/// `struct hidbpf_ids` of hidbpf/ids.h: the variable `hidbpf_ids` of a driver that asks for which device it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ids {
    /// The device's number.
    pub hid: u32,
    /// Its vendor.
    pub vendor: u32,
    /// Its product.
    pub product: u32,
}

/// `struct hidbpf_fixup_record` of hidbpf/driver.h: the variable `hidbpf_fixup` of a driver that has a descriptor hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FixupRecord {
    /// Not 0 once the kernel has run the hook.
    pub ran: u32,
    /// What the hook last answered: 0 or the descriptor's new size, or a negative errno.
    pub result: i32,
}

/// `struct hidbpf_field` of hidbpf/field.h: where a device has a field. All zeros are nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FieldPlace {
    /// The report's id, 0 where the device has none.
    pub report_id: u8,
    /// `enum hid_report_type`.
    pub kind: u8,
    /// How many bits it has: 1 to 32.
    pub size: u16,
    /// The first of them in the report, of which byte 0 is the id, or 0.
    pub offset: u32,
}

/// Bytes of a udev property that a driver asks for with `HIDBPF_UDEV_PROPERTY`, the terminating zero included.
pub const PROPERTY_SIZE: usize = 64;

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<AttachProgArgs>() == 16);
    assert!(offset_of!(AttachProgArgs, hid) == 4);
    assert!(offset_of!(AttachProgArgs, flags) == 8);
    assert!(offset_of!(AttachProgArgs, retval) == 12);
    assert!(size_of::<DescriptorArgs>() == 528);
    assert!(offset_of!(DescriptorArgs, size) == 12);
    assert!(offset_of!(DescriptorArgs, part) == 16);
    assert!(size_of::<ResolveArgs>() == 52);
    assert!(offset_of!(ResolvedOps, hw_output_report) == 32);
    assert!(offset_of!(ResolveArgs, members) == 36);
    assert!(size_of::<ResolveFunctionArgs>() == 40);
    assert!(offset_of!(ResolveFunctionArgs, id) == 32);
    assert!(size_of::<ProbeArgs>() == 4108);
    assert!(offset_of!(ProbeArgs, rdesc_size) == 4);
    assert!(offset_of!(ProbeArgs, rdesc) == 8);
    assert!(offset_of!(ProbeArgs, retval) == 4104);
    assert!(size_of::<RequestArgs>() == 20);
    assert!(offset_of!(RequestArgs, retval) == 16);
    assert!(size_of::<SetupArgs>() == 20);
    assert!(offset_of!(SetupArgs, retval) == 8);
    assert!(offset_of!(SetupArgs, refusal) == 12);
    assert!(offset_of!(Refusal, report_id) == 6);
    assert!(size_of::<TapReport>() == 16);
    assert!(offset_of!(TapReport, kind) == 12);
    assert!(size_of::<FieldPlace>() == 8);
    assert!(offset_of!(FieldPlace, size) == 2);
    assert!(offset_of!(FieldPlace, offset) == 4);
    assert!(size_of::<Ids>() == 12);
    assert!(offset_of!(Ids, product) == 8);
    assert!(size_of::<FixupRecord>() == 8);
    assert!(offset_of!(FixupRecord, result) == 4);
};
