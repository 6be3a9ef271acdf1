//! Taking a device over from udev-hid-bpf, and giving it back.

use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Manager, Wait};
use crate::attach::pins;
use crate::device::exclusion::{udev_hid_bpf, udev_hid_bpf_pins};
use crate::device::uevents::Uevents;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::load::loader::Loader;

impl<L: Loader> Manager<'_, L> {
    /// Detaches what udev-hid-bpf has attached to a device, and waits until the kernel has bound the device again.
    ///
    /// Returns the names of the programs, none if there were none.
    ///
    /// # Errors
    /// A pin can't be removed.
    pub fn release_from_udev_hid_bpf(&self, name: &HidName) -> Result<Vec<String>> {
        /// The kernel does not bind the device again if no program was a descriptor hook.
        const LIMIT: Duration = Duration::from_secs(2);
        let programs = udev_hid_bpf(self.system, name);
        if programs.is_empty() {
            return Ok(programs);
        }
        let locked = self.lock_device(name)?;
        let uevents = Uevents::listen()?;
        for directory in udev_hid_bpf_pins(self.system, name) {
            match fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let what = format!("failed to remove `{}`", directory.display());
                    let error = Error::permission_or(ErrorKind::Io, what, error);
                    return Err(error.during(Step::Detach).on(name));
                }
                _ => {}
            }
        }
        uevents.wait_for_bind(self.system, &locked.device.syspath, LIMIT)?;
        Ok(programs)
    }

    /// Detaches all drivers from a device, and has udev handle the device as if it were plugged in now, so that
    /// udev-hid-bpf attaches its own. Returns whether udev-hid-bpf attached anything within 5 s.
    ///
    /// udev's events for hidbpf leave the device alone until it is plugged in again.
    ///
    /// # Errors
    /// A driver can't be detached, or the event can't be requested.
    pub fn return_to_udev_hid_bpf(&self, name: &HidName) -> Result<bool> {
        const LIMIT: Duration = Duration::from_secs(5);
        const PAUSE: Duration = Duration::from_millis(50);
        if !pins::of_device(self.system, name)?.is_empty() {
            self.unload(name, None, Wait::Shortly)?;
        }
        let uevent = self.system.hid_devices().join(name.as_str()).join("uevent");
        fs::write(&uevent, b"add").map_err(|error| {
            let what = format!("failed to write `{}`", uevent.display());
            Error::permission_or(ErrorKind::Io, what, error).on(name)
        })?;
        let started = Instant::now();
        while udev_hid_bpf(self.system, name).is_empty() {
            if started.elapsed() > LIMIT {
                return Ok(false);
            }
            sleep(PAUSE);
        }
        Ok(true)
    }
}
