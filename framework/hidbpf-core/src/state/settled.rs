//! The mark of a device for which all decisions are made, as long as its kernel driver stays bound.
//!
//! Attaching a descriptor hook makes the kernel rebind the device, and udev's bind event must not cost a process. The
//! mark is a symbolic link to the device in the directory of its kernel driver. The udev rules follow the link. It
//! dangles if another kernel driver was bound to the device, and then the helper decides again.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use crate::error::{Error, ErrorKind, Result};
use crate::files::{in_dir, remove_if_there};
use crate::ids::HidName;
use crate::system::System;

/// Marks a device that `kernel_driver` is bound to.
///
/// # Errors
/// The mark can't be created.
pub(crate) fn mark(system: &System, device: &HidName, kernel_driver: &str) -> Result<()> {
    let mark = system.settled_mark(device);
    let target = system.sysfs.join("bus/hid/drivers").join(kernel_driver).join(device.as_str());
    let made = in_dir([&*system.run, &system.settled_marks()], || symlink(&target, &mark))?;
    let made = match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_link(&mark).is_ok_and(|old| old == target) {
                return Ok(());
            }
            fs::remove_file(&mark).and_then(|()| symlink(&target, &mark))
        }
        made => made,
    };
    made.map_err(|error| Error::because(ErrorKind::Io, format!("failed to make the link `{}`", mark.display()), error))
}

/// Removes the mark of a device. It is not an error if there is none.
///
/// # Errors
/// The mark can't be removed.
pub(crate) fn forget(system: &System, device: &HidName) -> Result<()> {
    remove_if_there(&system.settled_mark(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_for_one_kernel_driver() {
        let root = tempfile::tempdir().unwrap();
        let system = System { run: root.path().join("run"), sysfs: root.path().join("sys"), ..System::default() };
        let device: HidName = "0003:0001:0001.0001".parse().unwrap();
        let bind = |driver: &str| {
            let directory = system.sysfs.join("bus/hid/drivers").join(driver).join(device.as_str());
            fs::create_dir_all(&directory).unwrap();
            directory
        };
        let (generic, mark_path) = (bind("hid-generic"), system.settled_mark(&device));
        mark(&system, &device, "hid-generic").unwrap();
        mark(&system, &device, "hid-generic").unwrap();
        assert!(mark_path.exists());
        fs::remove_dir(generic).unwrap();
        bind("hid-multitouch");
        assert!(!mark_path.exists());
        mark(&system, &device, "hid-multitouch").unwrap();
        assert!(mark_path.exists());
        for _ in 0..2 {
            forget(&system, &device).unwrap();
            assert!(mark_path.symlink_metadata().is_err());
        }
    }
}
