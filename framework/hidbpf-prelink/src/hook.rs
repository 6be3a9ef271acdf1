//! The table of hooks: where a driver's programs run, and how the kernel and the SDK name these places.
//!
//! The SDK's layouts, the build, both loaders and the replay take what they need from [`HOOKS`]. To add a hook, add a
//! variant to [`Hook`] and a row to [`HOOKS`], and its macro to the SDK's headers. If the replay can cause the hook to
//! run, the machine calls it.

use std::fmt;

use crate::generation::Generation;

/// A place in the HID core where a driver's program runs.
///
/// The order is that of the members of `struct hid_bpf_ops` (include/linux/hid_bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Hook {
    /// Each report from the device.
    DeviceEvent,
    /// The report descriptor, before the kernel parses it.
    RdescFixup,
    /// Requests to the device: GET_REPORT and SET_REPORT.
    HwRequest,
    /// Output reports to the device.
    HwOutputReport,
}

/// Whether a hook's struct_ops programs may sleep (`hid_bpf_ops_check_member()`,
/// drivers/hid/bpf/hid_bpf_struct_ops.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// The kernel refuses programs that sleep.
    Never,
    /// The kernel accepts both kinds, and the SDK has a macro for each.
    Optional,
}

/// An argument of a hook's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// `struct hid_bpf_ctx *`.
    Context,
    /// The report's id.
    ReportId,
    /// `enum hid_report_type`.
    ReportType,
    /// `enum hid_class_request`.
    Request,
    /// The origin of the report or request: 0 for the kernel.
    Source,
    /// The kernel's result so far. Only FMOD_RET programs have it.
    Result,
}

/// A row of the table of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The hook.
    pub hook: Hook,
    /// The name in the SDK's `HIDBPF_DRIVER(...)`.
    pub name: &'static str,
    /// The name in texts.
    pub text: &'static str,
    /// The function of Linux 6.3 to 6.10 that FMOD_RET programs replace the result of. `None` if there is none.
    pub function: Option<&'static str>,
    /// The member of `struct hid_bpf_ops`, since Linux 6.11.
    pub member: &'static str,
    /// Whether its struct_ops programs may sleep.
    pub sleep: Sleep,
    /// Whether its programs run only while the kernel probes the device, and so while a driver is being attached.
    pub runs_at_probe: bool,
    /// The arguments of its struct_ops programs.
    pub arguments: &'static [Argument],
}

/// The hooks, in the order of [`Hook`].
pub const HOOKS: [Row; 4] = {
    use Argument::{Context, ReportId, ReportType, Request, Source};
    [
        Row {
            hook: Hook::DeviceEvent,
            name: "device_event",
            text: "device event",
            function: Some("hid_bpf_device_event"),
            member: "hid_device_event",
            sleep: Sleep::Never,
            runs_at_probe: false,
            arguments: &[Context, ReportType, Source],
        },
        Row {
            hook: Hook::RdescFixup,
            name: "rdesc_fixup",
            text: "descriptor fixup",
            function: Some("hid_bpf_rdesc_fixup"),
            member: "hid_rdesc_fixup",
            sleep: Sleep::Optional,
            runs_at_probe: true,
            arguments: &[Context],
        },
        Row {
            hook: Hook::HwRequest,
            name: "hw_request",
            text: "request",
            function: None,
            member: "hid_hw_request",
            sleep: Sleep::Optional,
            runs_at_probe: false,
            arguments: &[Context, ReportId, ReportType, Request, Source],
        },
        Row {
            hook: Hook::HwOutputReport,
            name: "hw_output_report",
            text: "output report",
            function: None,
            member: "hid_hw_output_report",
            sleep: Sleep::Optional,
            runs_at_probe: false,
            arguments: &[Context, Source],
        },
    ]
};

const _: () = {
    let mut index = 0;
    while index < HOOKS.len() {
        assert!(HOOKS[index].hook as usize == index, "the rows are in the order of the variants");
        index += 1;
    }
};

impl Hook {
    /// The number of hooks.
    pub const COUNT: usize = HOOKS.len();

    /// Returns the hook's place in [`HOOKS`] and in `struct hid_bpf_ops`, counted from 0.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the hook's row in [`HOOKS`].
    pub const fn row(self) -> &'static Row {
        &HOOKS[self.index()]
    }

    /// Returns the arguments of the hook's programs.
    pub const fn arguments(self, generation: Generation) -> &'static [Argument] {
        match generation {
            Generation::FmodRet => &[Argument::Context, Argument::Result],
            Generation::StructOps => self.row().arguments,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.row().text)
    }
}

/// The kernel's struct whose members are the hooks, since Linux 6.11. Linux 6.3 to 6.10 have a different struct of that
/// name.
pub const OPS: &str = "hid_bpf_ops";

/// The value of a struct_ops map of [`OPS`]. Only kernels of the struct_ops generation have this type.
pub const OPS_VALUE: &str = "bpf_struct_ops_hid_bpf_ops";

/// The kfunc that attaches FMOD_RET programs. Only kernels of that generation have it.
pub const ATTACH_KFUNC: &str = "hid_bpf_attach_prog";
