//! Mode switches: requests that make a USB device send what it otherwise keeps to itself.
//!
//! A drawing tablet begins in firmware mode, where its pen has wrong sizes and its buttons type keys. It goes to vendor
//! mode when the host reads certain string descriptors or sends certain reports. Its answers describe it. A manifest
//! declares the steps ([`declaration`]), and what the answers must look like ([`answer`]). hidbpf takes the steps
//! ([`exchange`]) through the node of the USB device, before it judges the match rules about udev properties. The answers
//! become udev properties.
//!
//! A mode switch is not a [setup](crate::attach::setup): the setup is a BPF program of the driver, sends reports to one HID
//! device, and runs after the driver is attached. A BPF program can't read string descriptors.

pub mod answer;
pub mod declaration;
pub mod exchange;
pub mod hazards;
pub mod other_tool;
