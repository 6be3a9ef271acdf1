//! Recordings of HID devices, and the drivers that match the devices in them.

use std::collections::BTreeMap;

pub use hidbpf_descriptor::recording::*;

use hidbpf_replay::ReplayDevice;

use crate::ids::Bus;
use crate::manifest::Manifest;
use crate::matching::{KernelDriver, Subject, Verdict, judge_subject};

/// Checks whether a driver's match rules match this device with these udev properties. Data that the recording
/// lacks counts as matching: the group, the kernel driver, the machine, and the interface if the physical path doesn't end
/// like a USB device's.
pub fn judge(manifest: &Manifest, device: &RecordedDevice, properties: &BTreeMap<String, String>) -> Verdict {
    judge_replayed(manifest, &device.into(), properties)
}

/// The same for a device as a replay sees it.
pub fn judge_replayed(manifest: &Manifest, device: &ReplayDevice, properties: &BTreeMap<String, String>) -> Verdict {
    let ids = (device.bus, device.vendor, device.product);
    let is_usb = device.bus == Bus::USB && device.phys.starts_with("usb-");
    let interface = device.phys.rsplit_once("/input").filter(|_| is_usb).and_then(|(_, number)| number.parse().ok());
    let subject = Subject {
        ids,
        name_ids: ids,
        group: None,
        hid_name: &device.name,
        interface: interface.map(Some),
        kernel_driver: KernelDriver::Any,
        original: Some(&device.descriptor),
        machine: None,
        property: Some(&|name| properties.get(name).cloned()),
    };
    judge_subject(manifest, &subject)
}
