//! The position of a driver's hooks among those of other drivers on the same device.

use serde::{Deserialize, Serialize};

/// The position of a driver's hooks. The kernel calls hooks one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Before the hooks that are attached already.
    First,
    /// After the hooks that are attached already.
    #[default]
    Last,
}

impl Order {
    /// Returns whether it is [`Order::Last`], which a manifest doesn't have to say.
    pub(crate) fn is_last(&self) -> bool {
        *self == Order::Last
    }

    /// Returns the flags of `hid_bpf_attach_prog()`: `HID_BPF_FLAG_INSERT_HEAD` (include/linux/hid_bpf.h, up to 6.10).
    pub fn fmod_ret_flags(self) -> u32 {
        match self {
            Order::First => 1,
            Order::Last => 0,
        }
    }

    /// Returns the flags of `struct hid_bpf_ops`: `BPF_F_BEFORE` (include/uapi/linux/bpf.h).
    pub fn struct_ops_flags(self) -> u32 {
        match self {
            Order::First => 1 << 3,
            Order::Last => 0,
        }
    }
}
