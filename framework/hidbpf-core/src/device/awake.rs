//! Wakes a device that the kernel has suspended to save power.
//!
//! The kernel wakes a device for processes that open its nodes, and for its own drivers. It refuses a program's request
//! to a suspended device. `usb_hcd_link_urb_to_ep()` (drivers/usb/core/hcd.c) returns EHOSTUNREACH if the device
//! sleeps, and ESHUTDOWN if its bus sleeps or is gone.

use std::fs::{self, File};
use std::io;

use crate::ids::HidName;
use crate::system::System;

/// Keeps a device awake while this value lives, as every open hidraw node does (`hidraw_open()`, drivers/hid/hidraw.c).
#[derive(Debug)]
pub(crate) struct Awake {
    _node: File,
}

impl Awake {
    /// Returns whether the kernel may return this error for a device that sleeps. `errno` is positive.
    pub(crate) fn is_wanted(errno: i32) -> bool {
        matches!(errno, libc::EHOSTUNREACH | libc::ESHUTDOWN)
    }

    /// Wakes a device.
    ///
    /// # Errors
    /// The device has no hidraw node, this process may not open it, or the device does not wake up.
    pub(crate) fn wake(system: &System, device: &HidName) -> io::Result<Awake> {
        let nodes = system.hid_devices().join(device.as_str()).join("hidraw");
        let node = fs::read_dir(&nodes)?.next().ok_or(io::ErrorKind::NotFound)??;
        Ok(Awake { _node: File::open(system.root.join("dev").join(node.file_name()))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_sleeps_alone_or_with_its_bus() {
        assert!(Awake::is_wanted(113) && Awake::is_wanted(108));
        assert!(!Awake::is_wanted(0) && !Awake::is_wanted(19) && !Awake::is_wanted(110));
    }

    #[test]
    fn the_hidraw_node_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), sysfs: root.path().join("sys"), ..System::default() };
        let device: HidName = "0003:1234:5678.0001".parse().unwrap();
        assert_eq!(Awake::wake(&system, &device).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir_all(system.hid_devices().join("0003:1234:5678.0001/hidraw/hidraw7")).unwrap();
        assert_eq!(Awake::wake(&system, &device).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/hidraw7"), "").unwrap();
        assert!(Awake::wake(&system, &device).is_ok());
    }
}
