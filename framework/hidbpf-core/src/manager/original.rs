//! Devices as they were before drivers were attached.

use super::Manager;
use crate::device::Device;
use crate::error::{ErrorKind, Result};
use crate::loader::Loader;
use crate::manifest::Manifest;
use crate::matching::{Verdict, judge};
use crate::original::is_hooked;
use crate::pins;
use crate::state::DeviceState;

impl<L: Loader> Manager<'_, L> {
    /// A device as it was before drivers were attached: with its ids, and with its original descriptor if that is known without asking the
    /// kernel.
    ///
    /// # Errors
    /// Its state can't be read.
    pub fn unfixed(&self, device: Device) -> Result<Device> {
        let state = DeviceState::read(self.system, &device.name);
        // Only root can look at pins; the state file says the same of our drivers.
        let pinned = pins::of_device(self.system, &device.name).unwrap_or_default();
        let is_hooked = is_hooked(self.system, &device.name, &pinned);
        Ok(device.unfixed(state.as_ref(), is_hooked))
    }

    /// The same with its original descriptor, which the kernel is asked for if it is not known.
    ///
    /// # Errors
    /// The device has gone or its state can't be read, or this process or this kernel can't.
    pub fn with_original(&self, device: Device) -> Result<Device> {
        let mut device = self.unfixed(device)?;
        device.read_original(self.loader())?;
        Ok(device)
    }

    /// The same, for what is better than nothing without it: where it can't be had, the reason is in the log.
    ///
    /// # Errors
    /// The device's state can't be read, or it has gone.
    pub fn with_original_if_possible(&self, device: Device) -> Result<Device> {
        let mut device = self.unfixed(device)?;
        match device.read_original(self.loader()) {
            Err(error) if error.kind() == ErrorKind::Gone => return Err(error),
            Err(error) => tracing::debug!("{error}"),
            Ok(_) => {}
        }
        Ok(device)
    }

    /// Looks whether a driver is for a device, which must be [`Manager::unfixed`]. The kernel is asked for the original descriptor if that
    /// alone decides. Whoever may not, or on a kernel that can't, gets [`Verdict::Undecided`].
    pub fn judge(&self, manifest: &Manifest, device: &mut Device) -> Verdict {
        device.judge(manifest, self.loader()).unwrap_or_else(|error| {
            tracing::debug!("{error}");
            judge(manifest, device)
        })
    }
}
