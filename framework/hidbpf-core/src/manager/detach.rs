//! Taking drivers off devices, by hand and after a device has gone.

use super::{Held, Manager, UnloadReport};
use crate::attach::{Change, RESTORE_LIMIT};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::loader::Loader;
use crate::manifest::DriverName;
use crate::object::Hook;
use crate::pins;
use crate::state::{DeviceLock, DeviceState};
use crate::uevents::{Rebound, Uevents};

impl<L: Loader> Manager<'_, L> {
    /// What udev asks for when a HID device has gone: removes its pins and what was remembered of it.
    ///
    /// # Errors
    /// A pin or a file is there and can't be removed.
    pub fn remove(&self, name: &HidName) -> Result<()> {
        let remove = || {
            let _lock = DeviceLock::take(self.system, name)?;
            pins::unpin_all(self.system, name)?;
            DeviceState::forget(self.system, name)
        };
        remove().map_err(|error| error.during(Step::CleanUp).on(name))
    }

    /// Takes a driver, or all drivers, off a device, and waits until the device has its own descriptor again.
    ///
    /// # Errors
    /// No such driver is attached there, or its pins can't be removed, or the device does not come back.
    pub fn unload(&self, name: &HidName, driver: Option<&DriverName>) -> Result<Vec<UnloadReport>> {
        let mut held = match self.hold(name) {
            Ok(held) => held,
            // What is left of a device that has gone is removed all the same.
            Err(error) if error.kind() == ErrorKind::NoDevice => {
                let left = pins::of_device(self.system, name)?;
                if left.is_empty() {
                    return Err(error);
                }
                self.remove(name)?;
                return Ok(left
                    .into_iter()
                    .map(|pinned| UnloadReport { device: name.clone(), driver: pinned.driver })
                    .collect());
            }
            Err(error) => return Err(error),
        };
        let chosen: Vec<DriverName> = held
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
        for driver in &chosen {
            held.take_off(driver)?;
        }
        Ok(chosen.into_iter().map(|driver| UnloadReport { device: name.clone(), driver }).collect())
    }
}

impl<L: Loader> Held<'_, L> {
    /// Takes a driver off because a person wants so.
    fn take_off(&mut self, driver: &DriverName) -> Result<()> {
        self.state.taken_off.push(driver.clone());
        self.detach(driver)
    }

    /// Removes a driver's pins, and returns when the device is what it is without.
    pub(crate) fn detach(&mut self, driver: &DriverName) -> Result<()> {
        let device = self.device.name.clone();
        self.try_detach(driver).map_err(|error| error.during(Step::Detach).on(&device).of(driver))
    }

    fn try_detach(&mut self, driver: &DriverName) -> Result<()> {
        let known = self.state.drivers.iter().find(|known| known.driver == *driver);
        let fixed = known.is_some_and(|known| known.change == Change::Fixed);
        let exports = known.is_some_and(|known| !known.exports.is_empty());
        // Without its descriptor hook the kernel probes the device again, whatever the hook did.
        let probes = known.is_some_and(|known| known.hooks.contains(&Hook::RdescFixup)) && self.device.driver.is_some();
        let uevents = if probes { Some(Uevents::listen()?) } else { None };
        pins::unpin(self.system, &self.device.name, driver)?;
        self.pinned.retain(|pinned| pinned.driver != *driver);
        self.state.drivers.retain(|known| known.driver != *driver);
        self.state.resolve(std::slice::from_ref(driver));
        self.state.write(self.system)?;
        let result = self.wait_for_own(driver, uevents, fixed);
        if exports {
            // All of them: what the kernel makes anew may have been seen before the properties were taken back.
            self.device.trigger(self.system, false);
        }
        result
    }

    /// Waits until the kernel has probed the device again of which a driver was taken off, if it does, and looks what came of it.
    fn wait_for_own(&self, driver: &DriverName, uevents: Option<Uevents>, fixed: bool) -> Result<()> {
        let Some(uevents) = uevents else { return Ok(()) };
        let rebound = uevents.wait_for_bind(self.system, &self.device.syspath, RESTORE_LIMIT)?;
        let now = match Device::open(self.system, &self.device.name) {
            // Unplugged meanwhile: its removal is udev's.
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => return Ok(()),
            now => now?,
        };
        let why = match self.state.own_rdesc() {
            Some(own) if fixed && now.rdesc != own => "still has the driver's descriptor",
            _ if rebound == Rebound::NotYet => "was not probed again by the kernel",
            _ => return Ok(()),
        };
        let limit = RESTORE_LIMIT.as_secs();
        let what =
            format!("the driver `{driver}` was taken off the device `{}`, which {why} after {limit} s", now.name);
        Err(Error::new(ErrorKind::NotFixed, what).with_hint("unplug the device and plug it in"))
    }
}
