//! The generations of the kernel's HID-BPF interface.

use std::fmt;

/// The kernel interface that attaches drivers to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum Generation {
    /// Linux 6.3 to 6.10: FMOD_RET programs that a syscall program attaches to a device.
    FmodRet,
    /// Since Linux 6.11: a struct_ops map, `struct hid_bpf_ops`.
    StructOps,
}

impl Generation {
    /// Returns the first Linux version of this generation: `6.3`.
    pub fn since(self) -> &'static str {
        match self {
            Generation::FmodRet => "6.3",
            Generation::StructOps => "6.11",
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Generation::FmodRet => "FMOD_RET",
            Generation::StructOps => "struct_ops",
        })
    }
}
