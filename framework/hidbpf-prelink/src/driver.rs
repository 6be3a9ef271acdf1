//! What a driver's object and its users agree on: the names of programs and variables, and the layouts of data.
//!
//! The SDK's headers (`hid-bpf-src/include/hidbpf/`) declare the same in C.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The syscall program, in a driver's object, that accepts or refuses a device. Its context is [`ProbeArgs`].
pub const PROBE_PROGRAM: &str = "probe";

/// The syscall program, in a driver's object, that sends requests to the device.
///
/// It runs after attaching and when the machine wakes up. Its context is [`SetupArgs`].
pub const SETUP_PROGRAM: &str = "setup";

/// The prefix of source file names in a driver's BTF. It replaces the directory that they were compiled in.
pub const SOURCE_ROOT: &str = "hidbpf:";

/// The prefix of globals that receive udev properties.
pub const PROPERTY_PREFIX: &str = "UDEV_PROP_";

/// The global that identifies the device to the driver: [`Ids`].
pub const IDS: &str = "hidbpf_ids";

/// The global that says which match rule chose the driver: the rule's index in the manifest, a `u32`, or [`NO_RULE`].
pub const RULE: &str = "hidbpf_rule";

/// The value of [`RULE`] if no rule matches: the driver was forced.
pub const NO_RULE: u32 = u32::MAX;

/// The global in which the SDK records that the descriptor hook ran: `struct hidbpf_fixup_record`.
pub const FIXUP_RECORD: &str = "hidbpf_fixup";

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
    /// Filled by the program: 0 accepts the device, a negative errno refuses it.
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
    /// Filled by the program: 0 or more on success, otherwise a negative errno.
    pub retval: i32,
    /// Filled by the program: the last request that failed.
    pub refusal: Refusal,
}

/// `struct hidbpf_refusal` of hidbpf/setup.h: the last request of a setup that failed.
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
    /// Unused.
    pub padding: u8,
}

impl Refusal {
    /// `HIDBPF_OUTPUT`, as the request: a report on the device's output channel.
    pub const OUTPUT: u8 = 0;
}

/// `struct hidbpf_ids` of hidbpf/ids.h: the variable `hidbpf_ids` of a driver that reads for which device it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ids {
    /// The device's number.
    pub hid: u32,
    /// The vendor id.
    pub vendor: u32,
    /// The product id.
    pub product: u32,
}

/// `struct hidbpf_fixup_record` of hidbpf/driver.h: the variable `hidbpf_fixup` of a driver that has a descriptor hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FixupRecord {
    /// Nonzero after the kernel has run the hook.
    pub ran: u32,
    /// The hook's last result: 0, the descriptor's new size, or a negative errno.
    pub result: i32,
}

/// `struct hidbpf_field` of hidbpf/field.h: the place of a device's field. All zeros mean that the device does not have the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FieldPlace {
    /// The report's id, or 0 if the device has none.
    pub report_id: u8,
    /// `enum hid_report_type`.
    pub kind: u8,
    /// The number of bits: 1 to 32.
    pub size: u16,
    /// The offset of the first bit in the report. Byte 0 of the report is its id, or 0.
    pub offset: u32,
}

/// The size in bytes of a udev property that a driver reads with `HIDBPF_UDEV_PROPERTY`, including the terminating zero.
pub const PROPERTY_SIZE: usize = 64;

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<ProbeArgs>() == 4108);
    assert!(offset_of!(ProbeArgs, rdesc_size) == 4);
    assert!(offset_of!(ProbeArgs, rdesc) == 8);
    assert!(offset_of!(ProbeArgs, retval) == 4104);
    assert!(size_of::<SetupArgs>() == 20);
    assert!(offset_of!(SetupArgs, retval) == 8);
    assert!(offset_of!(SetupArgs, refusal) == 12);
    assert!(offset_of!(Refusal, report_id) == 6);
    assert!(size_of::<FieldPlace>() == 8);
    assert!(offset_of!(FieldPlace, size) == 2);
    assert!(offset_of!(FieldPlace, offset) == 4);
    assert!(size_of::<Ids>() == 12);
    assert!(offset_of!(Ids, product) == 8);
    assert!(size_of::<FixupRecord>() == 8);
    assert!(offset_of!(FixupRecord, result) == 4);
};
