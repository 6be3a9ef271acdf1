//! USB interfaces without a HID device because of the size of their report descriptor.
//!
//! usbhid requests a report descriptor of the size that the HID descriptor declares, and refuses sizes of 0 or more
//! than 4096 bytes (`usbhid_parse()`, drivers/hid/usbhid/hid-core.c). Such an interface is not in /sys/bus/hid/devices,
//! so no driver can repair it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Finding, Grade};
use crate::descriptor::invalid;
use crate::ids::HidName;
use crate::system::System;
use crate::text::Printable;

const CHECK: &str = "USB interface";

/// `bInterfaceClass` of HID (HID 1.11, section 4.1), as in sysfs.
const HID_CLASS: &str = "03";

/// The descriptor types of an interface (USB 2.0, table 9-5), of HID and of reports (HID 1.11, section 7.1).
const INTERFACE: u8 = 4;
const HID: u8 = 0x21;
const REPORT: u8 = 0x22;
const CONFIGURATION: u8 = 2;

/// Checks all USB interfaces of the HID class.
pub(super) fn examine_all(system: &System) -> Vec<Finding> {
    interfaces(&system.sysfs.join("bus/usb/devices")).iter().filter_map(|path| examine(path)).collect()
}

/// Checks a USB device or interface, given by its name in /sys/bus/usb/devices or by a path. `None` if it is neither.
pub fn examine_usb(system: &System, text: &str) -> Option<Vec<Finding>> {
    let devices = system.sysfs.join("bus/usb/devices");
    let is_name = !text.is_empty() && !text.contains('/') && !text.starts_with('.');
    let path = fs::canonicalize(if is_name { devices.join(text) } else { PathBuf::from(text) }).ok()?;
    let is_interface = path.join("bInterfaceClass").exists();
    if !is_interface && !path.join("bDeviceClass").exists() {
        return None;
    }
    let interfaces = if is_interface { vec![path] } else { interfaces(&path) };
    let hid: Vec<PathBuf> = interfaces.into_iter().filter(|path| is_hid(path)).collect();
    let mut findings: Vec<Finding> = hid.iter().filter_map(|path| examine(path)).collect();
    for path in &hid {
        findings.extend(hid_devices(path).into_iter().map(|name| {
            let message = format!("`{}` is the HID device `{name}`: `hidbpf doctor {name}` looks at it", shown(path));
            Finding::good(CHECK, message)
        }));
    }
    if hid.is_empty() {
        findings.push(Finding::good(CHECK, "the USB device has no interface for HID"));
    } else if findings.is_empty() {
        let message = "the kernel has made no HID device of the interfaces for HID";
        let remedy = "load the module `usbhid`; `journalctl -k` says why the kernel has refused them";
        findings.push(Finding::not_good(CHECK, Grade::Bad, message, remedy));
    }
    Some(findings)
}

/// Checks whether the kernel refuses an interface because of the size of its report descriptor.
fn examine(path: &Path) -> Option<Finding> {
    if !is_hid(path) || !hid_devices(path).is_empty() {
        return None;
    }
    let size = declared_size(path)?;
    let invalid = invalid::check_size(size).err()?;
    let message = format!(
        "`{}` ({}) declares a report descriptor that the kernel refuses, and is not a HID device: {} ({})",
        shown(path),
        Printable(&product(path)),
        invalid.reason,
        invalid.kernel
    );
    let remedy = "no driver can repair it: descriptor hooks are for HID devices; the device needs other firmware or a quirk in the kernel";
    Some(Finding::not_good(CHECK, Grade::Bad, message, remedy))
}

/// Returns the interfaces in a directory. Their names contain a colon (`usb_set_configuration()`,
/// drivers/usb/core/message.c).
fn interfaces(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| shown(path).contains(':')).collect();
    paths.sort();
    paths
}

fn is_hid(path: &Path) -> bool {
    attribute(path, "bInterfaceClass").as_deref() == Some(HID_CLASS)
}

/// Returns the HID devices of an interface.
fn hid_devices(path: &Path) -> Vec<HidName> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    Some(fs::read_to_string(path.join(name)).ok()?.trim().to_owned())
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the name and the IDs of an interface's device.
fn product(path: &Path) -> String {
    let device = fs::canonicalize(path).ok().and_then(|path| Some(path.parent()?.to_owned())).unwrap_or_default();
    let text = |name| attribute(&device, name).unwrap_or_default();
    format!("{}:{} {}", text("idVendor"), text("idProduct"), text("product")).trim_end().to_owned()
}

/// Returns the size of the report descriptor that an interface's HID descriptor declares, in bytes. 0 if it declares
/// none.
fn declared_size(path: &Path) -> Option<usize> {
    let hex = |name| u8::from_str_radix(&attribute(path, name)?, 16).ok();
    let (number, alternate) = (hex("bInterfaceNumber")?, attribute(path, "bAlternateSetting")?.parse().ok()?);
    let device = fs::canonicalize(path).ok()?.parent()?.to_owned();
    let configuration = attribute(&device, "bConfigurationValue")?.parse().ok()?;
    size_in(&fs::read(device.join("descriptors")).ok()?, configuration, number, alternate)
}

/// Finds that size in the descriptors of a USB device. They follow each other, each starting with its length and type
/// (USB 2.0, section 9.5). `None` if the interface has no HID descriptor.
fn size_in(descriptors: &[u8], configuration: u8, number: u8, alternate: u8) -> Option<usize> {
    let mut rest = descriptors;
    let (mut is_configuration, mut is_interface) = (false, false);
    while let [length, kind, ..] = *rest {
        let descriptor = rest.get(..usize::from(length).max(2))?;
        rest = &rest[descriptor.len()..];
        match (kind, descriptor) {
            (CONFIGURATION, [_, _, _, _, _, value, ..]) => is_configuration = *value == configuration,
            (INTERFACE, [_, _, of, setting, ..]) => {
                is_interface = is_configuration && (*of, *setting) == (number, alternate);
            }
            (HID, [_, _, _, _, _, _, REPORT, low, high, ..]) if is_interface => {
                return Some(u16::from_le_bytes([*low, *high]).into());
            }
            (HID, _) if is_interface => return Some(0),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::doctor::tests::machine;

    /// Returns descriptors of two configurations with two interfaces each. The sizes are 1, 2, 0 and 4097.
    fn descriptors() -> Vec<u8> {
        let mut bytes = vec![18, 1];
        bytes.resize(18, 0);
        for (configuration, sizes) in [(1, [1u16, 2]), (2, [0, 4097])] {
            bytes.extend([9, CONFIGURATION, 0, 0, 2, configuration, 0, 0, 0]);
            for (number, size) in (0u8..).zip(sizes) {
                let [low, high] = size.to_le_bytes();
                bytes.extend([9, INTERFACE, number, 0, 1, 3, 0, 0, 0]);
                bytes.extend([9, HID, 0x11, 1, 0, 1, REPORT, low, high]);
                bytes.extend([7, 5, 0x81, 3, 8, 0, 10]);
            }
        }
        bytes
    }

    #[test]
    fn the_size_is_that_of_the_interface() {
        let bytes = descriptors();
        for (configuration, number, expected) in
            [(1, 0, Some(1)), (1, 1, Some(2)), (2, 0, Some(0)), (2, 1, Some(4097)), (2, 2, None), (3, 0, None)]
        {
            assert_eq!(size_in(&bytes, configuration, number, 0), expected);
        }
        // Truncated descriptors don't panic.
        for end in 0..bytes.len() {
            size_in(&bytes[..end], 2, 1, 0);
        }
        assert_eq!(size_in(&[0; 9], 1, 0, 0), None);
    }

    #[test]
    fn interfaces_that_the_kernel_refuses_are_named() {
        let (root, system) = machine(&[]);
        let device = root.path().join("sys/devices/usb1/1-1");
        for (file, text) in
            [("bDeviceClass", "00\n"), ("bConfigurationValue", "2\n"), ("idVendor", "1d6b\n"), ("idProduct", "0104\n")]
        {
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join(file), text).unwrap();
        }
        fs::write(device.join("descriptors"), descriptors()).unwrap();
        let bus = root.path().join("sys/bus/usb/devices");
        fs::create_dir_all(&bus).unwrap();
        symlink(&device, bus.join("1-1")).unwrap();
        for number in ["0", "1"] {
            let interface = device.join(format!("1-1:2.{number}"));
            fs::create_dir_all(&interface).unwrap();
            for (file, text) in [
                ("bInterfaceClass", "03\n"),
                ("bInterfaceNumber", &format!("0{number}\n")),
                ("bAlternateSetting", " 0\n"),
            ] {
                fs::write(interface.join(file), text).unwrap();
            }
            symlink(&interface, bus.join(format!("1-1:2.{number}"))).unwrap();
        }
        let said =
            |findings: &[Finding]| findings.iter().map(|found| found.message.clone()).collect::<Vec<_>>().join("\n");
        let all = said(&examine_all(&system));
        for words in
            ["`1-1:2.0` (1d6b:0104)", "it has 0 bytes", "`1-1:2.1`", "it has 4097 bytes; 1 to 4096", "usbhid_parse()"]
        {
            assert!(all.contains(words), "`{words}` is missing in: {all}");
        }
        assert_eq!(said(&examine_usb(&system, "1-1").unwrap()), all);
        assert_eq!(examine_usb(&system, "1-1:2.1").unwrap().len(), 1);
        assert!(examine_usb(&system, "2-1").is_none() && examine_usb(&system, "/nothing").is_none());
        // An interface that the kernel accepted.
        fs::create_dir(device.join("1-1:2.0/0003:1D6B:0104.0001")).unwrap();
        assert_eq!(examine_all(&system).len(), 1);
        let one = examine_usb(&system, device.join("1-1:2.0").to_str().unwrap()).unwrap();
        assert!(one[0].message.contains("hidbpf doctor 0003:1D6B:0104.0001"), "{one:?}");
    }
}
