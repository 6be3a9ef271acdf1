//! Devices as they were before drivers were attached.

use super::Manager;
use crate::attach::original::is_hooked;
use crate::attach::pins;
use crate::device::Device;
use crate::driver::matching::Verdict;
use crate::driver::object::DriverObject;
use crate::driver::versions;
use crate::error::{ErrorKind, Result};
use crate::load::loader::Loader;
use crate::state::DeviceState;

impl<L: Loader> Manager<'_, L> {
    /// Returns a device as it was before drivers were attached.
    ///
    /// It has its original ids, and its original descriptor if that is known without reading it from the kernel.
    pub fn unfixed(&self, device: Device) -> Device {
        let state = DeviceState::read(self.system, &device.name);
        // Only root can read the pins. For hidbpf's own drivers the state file holds the same information.
        let pinned = pins::of_device(self.system, &device.name).unwrap_or_default();
        let is_hooked = is_hooked(self.system, &device.name, &pinned);
        device.unfixed(state.as_ref(), is_hooked)
    }

    /// Returns the device as [`Manager::unfixed`] does, with its original descriptor.
    ///
    /// Reads it from the kernel if it is not known.
    ///
    /// # Errors
    /// The device is gone, or this process or this kernel can't read the descriptor.
    pub fn with_original(&self, device: Device) -> Result<Device> {
        let mut device = self.unfixed(device);
        device.read_original(self.loader())?;
        Ok(device)
    }

    /// Returns the device as [`Manager::unfixed`] does, with its original descriptor if possible.
    ///
    /// If it can't be read, the reason is in the log.
    ///
    /// # Errors
    /// The device is gone.
    pub fn with_original_if_possible(&self, device: Device) -> Result<Device> {
        let mut device = self.unfixed(device);
        match device.read_original(self.loader()) {
            Err(error) if error.kind() == ErrorKind::Gone => return Err(error),
            Err(error) => tracing::debug!("{error}"),
            Ok(_) => {}
        }
        Ok(device)
    }

    /// Matches a driver against a device, which must be [`Manager::unfixed`].
    ///
    /// Reads the original descriptor from the kernel only if the result depends on it. Returns [`Verdict::Undecided`]
    /// if this process or this kernel can't read it.
    pub fn judge(&self, driver: &DriverObject, device: &mut Device) -> Verdict {
        // Finding out the generation is expensive, and most drivers have one version.
        let generation = if driver.versions.is_empty() { None } else { self.generation().ok() };
        device.judge(driver, generation, self.loader()).unwrap_or_else(|error| {
            tracing::debug!("{error}");
            versions::for_device(driver, generation, device).1
        })
    }
}
