//! The BPF C that all drivers share: the SDK's headers, and the compiled syscall programs.
//!
//! This crate depends on no device and loads nothing. It gives Rust the bytes, and the layouts that C and Rust must agree on.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The object with [`ATTACH_PROGRAM`]. It loads only on kernels that have the kfunc `hid_bpf_attach_prog`.
pub const ATTACH_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attach.bpf.o"));

/// [`ATTACH_OBJECT`] for loading without libbpf, with `hidbpf_prelink::Prelinked::parse`.
pub const ATTACH_PRELINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attach.prelinked"));

/// The syscall program that attaches an FMOD_RET program to a device. Its context is [`AttachProgArgs`].
pub const ATTACH_PROGRAM: &str = "attach_prog";

/// The object with [`DESCRIPTOR_PROGRAM`], for every kernel with HID-BPF.
pub const DESCRIPTOR_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bpf.o"));

/// [`DESCRIPTOR_OBJECT`] for loading without libbpf, with `hidbpf_prelink::Prelinked::parse`.
pub const DESCRIPTOR_PRELINKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.prelinked"));

/// The syscall program that copies a device's original or fixed descriptor. Its context is [`DescriptorArgs`].
pub const DESCRIPTOR_PROGRAM: &str = "descriptor";

/// The object that passes reports to user space from the place where it is attached: before a device's drivers, or after them.
///
/// Its only map besides those of the globals is [`TAP_MAP`], a ring buffer of [`TapReport`]s. The report follows each of them.
pub const TAP_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tap.bpf.o"));

/// The ring buffer of [`TAP_OBJECT`].
pub const TAP_MAP: &str = "hidbpf_reports";

/// The global of [`TAP_OBJECT`] that counts the reports for which the ring buffer had no room.
pub const TAP_LOST: &str = "hidbpf_lost";

/// `struct hidbpf_tap_report` of tap.bpf.c, without the report's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TapReport {
    /// The time of the report, in nanoseconds of CLOCK_MONOTONIC.
    pub time: u64,
    /// The report's size in bytes. Fewer bytes follow if the report is longer than the kernel's own buffer.
    pub size: u32,
    /// 0 for an input report, otherwise an answer to GET_REPORT: `enum hid_report_type`.
    pub kind: u32,
}

/// The object with [`REQUEST_PROGRAM`], for every kernel with HID-BPF.
///
/// Its `.bss`, 16384 bytes, contains only the report, which begins with its id or 0. The answer overwrites it.
pub const REQUEST_OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/request.bpf.o"));

/// The syscall program that sends one request to a device. Its context is [`RequestArgs`].
pub const REQUEST_PROGRAM: &str = "request";

/// `struct request_args` of request.bpf.c.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestArgs {
    /// The device's number.
    pub hid: u32,
    /// `enum hid_report_type`.
    pub kind: u32,
    /// `enum hid_class_request`, or 0 for a report on the device's output channel. Programs can use that channel since Linux 6.10.
    pub request: u32,
    /// Bytes of the report, including the byte for its id.
    pub size: u32,
    /// Filled by the program: the number of bytes in the answer or in the accepted request, or a negative errno.
    pub retval: i32,
}

/// The text of each header, by the name that drivers include.
pub const HEADERS: &[(&str, &str)] = &[
    ("hidbpf/descriptor.h", include_str!("../include/hidbpf/descriptor.h")),
    ("hidbpf/driver.h", include_str!("../include/hidbpf/driver.h")),
    ("hidbpf/field.h", include_str!("../include/hidbpf/field.h")),
    ("hidbpf/fields.h", include_str!("../include/hidbpf/fields.h")),
    ("hidbpf/huion-keydial.h", include_str!("../include/hidbpf/huion-keydial.h")),
    ("hidbpf/huion.h", include_str!("../include/hidbpf/huion.h")),
    ("hidbpf/identity.h", include_str!("../include/hidbpf/identity.h")),
    ("hidbpf/inject.h", include_str!("../include/hidbpf/inject.h")),
    ("hidbpf/ids.h", include_str!("../include/hidbpf/ids.h")),
    ("hidbpf/items.h", include_str!("../include/hidbpf/items.h")),
    ("hidbpf/kernel.h", include_str!("../include/hidbpf/kernel.h")),
    ("hidbpf/map.h", include_str!("../include/hidbpf/map.h")),
    ("hidbpf/option.h", include_str!("../include/hidbpf/option.h")),
    ("hidbpf/property.h", include_str!("../include/hidbpf/property.h")),
    ("hidbpf/queue.h", include_str!("../include/hidbpf/queue.h")),
    ("hidbpf/report.h", include_str!("../include/hidbpf/report.h")),
    ("hidbpf/setup.h", include_str!("../include/hidbpf/setup.h")),
    ("hidbpf/shared.h", include_str!("../include/hidbpf/shared.h")),
    ("hidbpf/tablet.h", include_str!("../include/hidbpf/tablet.h")),
    ("hidbpf/touchpad.h", include_str!("../include/hidbpf/touchpad.h")),
    ("hidbpf/ugee-raw.h", include_str!("../include/hidbpf/ugee-raw.h")),
    ("hidbpf/ugee.h", include_str!("../include/hidbpf/ugee.h")),
    ("hidbpf/usages.h", include_str!("../include/hidbpf/usages.h")),
    ("hidbpf/values.h", include_str!("../include/hidbpf/values.h")),
    ("hidbpf/veikk.h", include_str!("../include/hidbpf/veikk.h")),
    ("hidbpf/work.h", include_str!("../include/hidbpf/work.h")),
];

/// The text of each header for sources that are written for udev-hid-bpf or for the kernel tree, by the name that such
/// sources include.
pub const FOREIGN_HEADERS: &[(&str, &str)] = &[
    ("hid_bpf.h", include_str!("../foreign/hid_bpf.h")),
    ("hid_bpf_async.h", include_str!("../foreign/hid_bpf_async.h")),
    ("hid_bpf_helpers.h", include_str!("../foreign/hid_bpf_helpers.h")),
    ("hid_report_descriptor_helpers.h", include_str!("../foreign/hid_report_descriptor_helpers.h")),
    ("hid_report_helpers.h", include_str!("../foreign/hid_report_helpers.h")),
    ("hid_report_usages.h", include_str!(concat!(env!("OUT_DIR"), "/hid_report_usages.h"))),
    ("hid_usages.h", include_str!(concat!(env!("OUT_DIR"), "/hid_usages.h"))),
    (FOREIGN_CLANG_HEADER, include_str!("../foreign/hidbpf_clang.h")),
    ("linux/errno.h", include_str!("../foreign/linux/errno.h")),
    ("vmlinux.h", include_str!("../foreign/vmlinux.h")),
];

/// The header of [`FOREIGN_HEADERS`] that makes older versions of clang compile such sources. They don't include it.
pub const FOREIGN_CLANG_HEADER: &str = "hidbpf_clang.h";

/// `struct attach_prog_args` of attach.bpf.c.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AttachProgArgs {
    /// The loaded program.
    pub prog_fd: i32,
    /// The device's number.
    pub hid: u32,
    /// 0 places the program after those of the device, 1 before them.
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
    /// The first byte to copy, a multiple of 8.
    pub offset: u32,
    /// Filled by the program: the size of the whole descriptor in bytes, or a negative errno.
    pub size: i32,
    /// Filled by the program, up to the descriptor's end.
    pub part: [u8; DescriptorArgs::PART],
}

impl DescriptorArgs {
    /// The original descriptor.
    pub const ORIGINAL: u32 = 0;

    /// The fixed descriptor. Kernels before Linux 6.13 do not keep it, and the program returns `EOPNOTSUPP` there.
    pub const FIXED: u32 = 1;

    /// The number of bytes that one run of the program copies at most.
    pub const PART: usize = 64;
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<AttachProgArgs>() == 16);
    assert!(offset_of!(AttachProgArgs, hid) == 4);
    assert!(offset_of!(AttachProgArgs, flags) == 8);
    assert!(offset_of!(AttachProgArgs, retval) == 12);
    assert!(size_of::<DescriptorArgs>() == 80);
    assert!(offset_of!(DescriptorArgs, size) == 12);
    assert!(offset_of!(DescriptorArgs, part) == 16);
    assert!(size_of::<RequestArgs>() == 20);
    assert!(offset_of!(RequestArgs, retval) == 16);
    assert!(size_of::<TapReport>() == 16);
    assert!(offset_of!(TapReport, kind) == 12);
};
