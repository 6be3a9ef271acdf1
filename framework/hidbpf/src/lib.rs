//! Match HID devices with HID-BPF drivers, and attach, verify and remove the drivers.

pub mod ids;
pub mod manifest;
