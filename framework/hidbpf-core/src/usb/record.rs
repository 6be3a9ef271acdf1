//! What a mode switch of a USB device has brought, for the HID devices of all its interfaces.
//!
//! udev handles the interfaces at the same time. The first one has the device switched, and the others take the
//! answers from the record. It belongs to one connection of the device. An interface that the kernel has made again,
//! for a new configuration for example, has the device switched again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::{Durability, failed_to_write, in_dir, is_incomplete, remove_if_there, write_whole};
use crate::ids::HidName;
use crate::mode_switch::declaration::ModeSwitch;
use crate::names::DriverName;
use crate::state::{ByteLock, SwitchProblem};
use crate::system::System;
use crate::usb::device::UsbDevice;

/// The record of one driver's mode switch of a USB device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Record {
    /// The device's directory in sysfs.
    pub(crate) path: PathBuf,
    /// The number of the bus, and the device's number on it.
    pub(crate) place: (u16, u16),
    /// The driver that declares the switch.
    pub(crate) driver: DriverName,
    /// The switch.
    pub(crate) switch: ModeSwitch,
    /// The HID device that reports were sent to.
    pub(crate) sent_to: HidName,
    /// The HID devices that have taken the answers, by interface.
    pub(crate) taken: BTreeMap<u8, HidName>,
    /// The answers, by udev property.
    pub(crate) answers: BTreeMap<String, String>,
    /// Why the switch failed or was undone, if it was.
    pub(crate) problem: Option<SwitchProblem>,
    /// Whether the device was put back in the mode in which it starts.
    #[serde(default)]
    pub(crate) undone: bool,
}

impl Record {
    /// Returns whether it is about this connection of the device and this switch, and new to the HID device.
    pub(crate) fn is_for(&self, usb: &UsbDevice, switch: &ModeSwitch, interface: u8, hid: &HidName) -> bool {
        self.place == (usb.bus, usb.number)
            && self.switch == *switch
            && self.taken.get(&interface).is_none_or(|taken| taken == hid)
    }

    /// Reads the record of a driver's switch of a device. An unreadable one counts as missing.
    pub(crate) fn read(system: &System, usb: &UsbDevice, driver: &DriverName) -> Option<Record> {
        let text = fs::read(path(system, &usb.name, driver)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Returns all records.
    pub(crate) fn all(system: &System) -> Vec<Record> {
        let files = fs::read_dir(system.mode_switches()).into_iter().flatten().flatten();
        let whole = files.filter(|file| !is_incomplete(&file.file_name()));
        whole.filter_map(|file| serde_json::from_slice(&fs::read(file.path()).ok()?).ok()).collect()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn write(&self, system: &System) -> Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let path = path(system, &name, &self.driver);
        let text = serde_json::to_vec(self).map_err(|error| failed_to_write(&path, error.into()))?;
        let write = || write_whole(&path, &text, 0o600, Durability::Process);
        let written: io::Result<()> = in_dir([&*system.run, &system.mode_switches()], write)?;
        written.map_err(|error| failed_to_write(&path, error))
    }
}

/// Removes the records whose answers a HID device has taken, which is gone.
///
/// # Errors
/// A file can't be removed.
pub(crate) fn forget(system: &System, hid: &HidName) -> Result<()> {
    let of_it = |record: &Record| record.taken.values().any(|taken| taken == hid);
    for record in Record::all(system).into_iter().filter(of_it) {
        let name = record.path.file_name().unwrap_or_default().to_string_lossy();
        remove_if_there(&path(system, &name, &record.driver))?;
    }
    Ok(())
}

/// Waits until no other process switches the device, and keeps others from it.
///
/// # Errors
/// As for [`ByteLock::take`].
pub(crate) fn lock(system: &System, usb: &UsbDevice) -> Result<ByteLock> {
    /// The numbers of HID devices, which have locks of their own, have 32 bits.
    const USB: u64 = 1 << 32;
    let at = USB | u64::from(usb.bus) << 16 | u64::from(usb.number);
    ByteLock::take(system, at, &format_args!("the USB device `{}`", usb.name))
}

fn path(system: &System, usb: &str, driver: &DriverName) -> PathBuf {
    system.mode_switches().join(format!("{usb}:{driver}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_of_one_connection_and_serves_each_interface_once() {
        let root = tempfile::tempdir().unwrap();
        let system = System { run: root.path().join("run"), ..System::default() };
        let usb = root.path().join("3-1");
        fs::create_dir(&usb).unwrap();
        for (name, value) in [("busnum", "3"), ("devnum", "7"), ("idVendor", "256c"), ("idProduct", "0066")] {
            fs::write(usb.join(name), value).unwrap();
        }
        let device = UsbDevice::at(&usb).unwrap();
        let driver = DriverName::new("x").unwrap();
        let [pen, pad, later]: [HidName; 3] =
            ["0003:256C:0066.0001", "0003:256C:0066.0002", "0003:256C:0066.0009"].map(|name| name.parse().unwrap());
        let switch: ModeSwitch = toml::from_str("steps = [{ pause-ms = 1 }]").unwrap();
        let other: ModeSwitch = toml::from_str("steps = [{ pause-ms = 2 }]").unwrap();
        let record = Record {
            path: usb.clone(),
            place: (3, 7),
            driver: driver.clone(),
            switch: switch.clone(),
            sent_to: pen.clone(),
            taken: [(0, pen.clone())].into(),
            answers: BTreeMap::new(),
            problem: None,
            undone: false,
        };
        assert_eq!(Record::read(&system, &device, &driver), None);
        record.write(&system).unwrap();
        assert_eq!(Record::read(&system, &device, &driver), Some(record.clone()));
        assert_eq!(Record::all(&system), std::slice::from_ref(&record));
        assert!(record.is_for(&device, &switch, 0, &pen) && record.is_for(&device, &switch, 1, &pad));
        assert!(!record.is_for(&device, &switch, 0, &later) && !record.is_for(&device, &other, 1, &pad));
        let replugged = UsbDevice { number: 8, ..device.clone() };
        assert!(!record.is_for(&replugged, &switch, 1, &pad));
        forget(&system, &pad).unwrap();
        assert!(Record::read(&system, &device, &driver).is_some());
        forget(&system, &pen).unwrap();
        assert_eq!(Record::read(&system, &device, &driver), None);
        let _lock = lock(&system, &device).unwrap();
        let _other = lock(&system, &replugged).unwrap();
    }
}
