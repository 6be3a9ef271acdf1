//! Detaching drivers, by hand and after a device is unplugged.

use std::time::Duration;

use super::report::COMEBACK_LIMIT;
use super::{Comeback, LockedDevice, Manager, UnloadReport};
use crate::attach::pins;
use crate::device::Device;
use crate::device::uevents::{Rebound, Uevents};
use crate::driver::object::Hook;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::load::loader::Loader;
use crate::names::DriverName;
use crate::state::effect::DescriptorEffect;
use crate::state::{DeviceLock, DeviceState};
use crate::usb;

impl<L: Loader> Manager<'_, L> {
    /// Removes the pins and the state of a device. udev requests this when a HID device is unplugged.
    ///
    /// # Errors
    /// A pin or a file exists but can't be removed.
    pub fn remove(&self, name: &HidName) -> Result<()> {
        let remove = || {
            let lock = DeviceLock::take(self.system, name)?;
            pins::unpin_all(self.system, name)?;
            if self.system.answers(name).exists() {
                usb::record::forget(self.system, name)?;
            }
            DeviceState::forget(self.system, &lock)
        };
        remove().map_err(|error| error.during(Step::CleanUp).on(name))
    }

    /// Detaches a driver, or all drivers, at a user's request.
    ///
    /// udev does not attach them again until the device is plugged in again. It is not an error if the device is not
    /// back within the time limit, because the drivers are detached. See [`UnloadReport::warning`].
    ///
    /// # Errors
    /// No such driver is attached to the device, its pins can't be removed, or the state can't be written.
    pub fn unload(&self, name: &HidName, driver: Option<&DriverName>, wait: Wait) -> Result<Vec<UnloadReport>> {
        let mut locked = match self.lock_device(name) {
            Ok(locked) => locked,
            // The device is unplugged: remove the pins that it left behind.
            Err(error) if error.kind() == ErrorKind::NoDevice => {
                let left = pins::of_device(self.system, name)?;
                if left.is_empty() {
                    return Err(error);
                }
                self.remove(name)?;
                let report = |driver| UnloadReport { device: name.clone(), driver, comeback: Comeback::Done };
                return Ok(left.into_iter().map(|pinned| report(pinned.driver)).collect());
            }
            Err(error) => return Err(error),
        };
        let chosen: Vec<DriverName> = locked
            .pinned
            .iter()
            .map(|pinned| pinned.driver.clone())
            .filter(|pinned| driver.is_none_or(|driver| driver == pinned))
            .collect();
        if chosen.is_empty() {
            let what = match driver {
                Some(driver) => format!("the driver `{driver}` is not attached to the device `{name}`"),
                None => format!("no driver is attached to the device `{name}`"),
            };
            return Err(Error::new(ErrorKind::NotAttached, what).with_hint("`hidbpf status` shows what is attached"));
        }
        let mut unloaded = Vec::new();
        for driver in chosen {
            locked.state.unloaded.push(driver.clone());
            unloaded.push(locked.detach(&driver, wait)?);
        }
        Ok(unloaded)
    }

    /// Detaches a driver, which udev may attach again. Returns `None` if it is not attached.
    ///
    /// # Errors
    /// Its pins can't be removed, or the state can't be written.
    pub fn detach_if_attached(&self, device: &HidName, driver: &DriverName) -> Result<Option<UnloadReport>> {
        let mut locked = self.lock_device(device)?;
        if locked.is_pinned(driver) { locked.detach(driver, Wait::Shortly).map(Some) } else { Ok(None) }
    }
}

/// How long to wait for a device after detaching a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Does not wait.
    No,
    /// Waits as long as a user would: 5 s.
    Shortly,
    /// Waits until slow devices are back too: 15 s.
    Long,
}

impl Wait {
    fn limit(self) -> Option<Duration> {
        match self {
            Wait::No => None,
            Wait::Shortly => Some(COMEBACK_LIMIT),
            Wait::Long => Some(Duration::from_secs(15)),
        }
    }
}

impl<L: Loader> LockedDevice<'_, L> {
    /// Removes a driver's pins, and waits for the device.
    pub(crate) fn detach(&mut self, driver: &DriverName, wait: Wait) -> Result<UnloadReport> {
        let device = self.device.name.clone();
        let comeback = self.try_detach(driver, wait);
        let comeback = comeback.map_err(|error| error.during(Step::Detach).on(&device).of(driver))?;
        Ok(UnloadReport { device, driver: driver.clone(), comeback })
    }

    /// Detaches a driver so that another can be attached to the device afterwards.
    ///
    /// # Errors
    /// As for [`LockedDevice::detach`], and also if the device is not back.
    pub(crate) fn detach_fully(&mut self, driver: &DriverName) -> Result<()> {
        let report = self.detach(driver, Wait::Long)?;
        match report.warning() {
            None => Ok(()),
            Some((what, hint)) => {
                let error = Error::new(ErrorKind::NotFixed, what).with_hint(hint);
                Err(error.during(Step::Detach).on(&report.device).of(driver))
            }
        }
    }

    fn try_detach(&mut self, driver: &DriverName, wait: Wait) -> Result<Comeback> {
        let known = self.state.drivers.iter().find(|known| known.driver == *driver);
        // If the driver is not in the state file, the descriptor shows whether its hook changed anything.
        let is_other = known.is_none()
            && (self.device.read_original(self.loader).is_err()
                || self.device.original() != Some(&self.device.current));
        let fixed = known.map_or(is_other, |known| known.change == DescriptorEffect::Fixed);
        let unbound_before = known.is_some_and(|known| known.unbound_before);
        let exports = known.is_some_and(|known| !known.exports.is_empty());
        // When a descriptor hook is removed, the kernel probes the device again, even if the hook changed nothing.
        let has_hook = known.map_or(is_other, |known| known.hooks.contains(&Hook::RdescFixup));
        let probes = has_hook && self.device.driver.is_some();
        let limit = wait.limit().filter(|_| probes);
        let uevents = limit.map(|_| Uevents::listen()).transpose()?;
        pins::unpin(self.system, &self.device.name, driver)?;
        self.pinned.retain(|pinned| pinned.driver != *driver);
        self.state.drivers.retain(|known| known.driver != *driver);
        self.state.resolve(std::slice::from_ref(driver));
        self.write_state()?;
        let comeback = match uevents.zip(limit) {
            Some((uevents, limit)) if unbound_before => self.wait_until_unbound(&uevents, limit)?,
            Some((uevents, limit)) => self.wait_for_own(&uevents, limit, fixed)?,
            None if probes => Comeback::NotAwaited,
            None => Comeback::Done,
        };
        if exports {
            // Trigger all nodes: udev may have processed a new node before the properties were removed.
            self.device.trigger(self.system, false);
        }
        Ok(comeback)
    }

    /// Waits until the kernel driver is unbound from a device that had none before the driver was attached.
    ///
    /// The kernel refuses its original descriptor, so no bind event follows.
    fn wait_until_unbound(&self, uevents: &Uevents, limit: Duration) -> Result<Comeback> {
        let unbound = uevents.wait_for_unbind(self.system, &self.device.syspath, limit)?;
        Ok(if unbound == Rebound::NotYet { Comeback::StillFixed } else { Comeback::Done })
    }

    /// Waits until the kernel has bound the device again without the driver, and checks the result.
    fn wait_for_own(&self, uevents: &Uevents, limit: Duration, fixed: bool) -> Result<Comeback> {
        let rebound = uevents.wait_for_bind(self.system, &self.device.syspath, limit)?;
        let now = match Device::open(self.system, &self.device.name) {
            // The device was unplugged meanwhile: udev removes the rest.
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => return Ok(Comeback::Done),
            now => now?,
        };
        Ok(match self.state.original() {
            _ if rebound == Rebound::NotYet => Comeback::NotBound,
            Some(original) if fixed && now.is_taken_as_it_is() && now.current != original => Comeback::StillFixed,
            _ => Comeback::Done,
        })
    }
}
