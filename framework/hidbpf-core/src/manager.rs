//! Operations for users and udev: attach, detach, clean up, report.
//!
//! Each operation holds the device's lock, keeps the state file correct and leaves nothing half done.

mod add;
pub mod apply;
mod detach;
mod facts;
mod locked_device;
mod mode_switch;
mod original;
mod release;
mod report;
mod resume;
pub mod set_options;
mod status;

use std::cell::OnceCell;
use std::path::Path;

use serde::Serialize;

use crate::attach::original::is_hooked;
use crate::attach::pins;
use crate::config::Config;
use crate::device::Device;
use crate::device::exclusion::Exclusion;
use crate::driver::catalog::Catalog;
use crate::driver::matching::Verdict;
use crate::driver::object::DriverObject;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::kernel::{self, Generation};
use crate::load::loader::Loader;
use crate::names::DriverName;
use crate::policy::{Asked, Decision};
use crate::state::{DeviceLock, DeviceState};
use crate::system::System;

pub use add::Event;
pub use detach::Wait;
pub(crate) use facts::Query;
pub(crate) use locked_device::LockedDevice;
pub use report::{AddReport, Comeback, LoadReport, SetUpReport, UnloadReport, tell};
pub use status::{Condition, DeviceStatus, DriverStatus, LeftOff};

/// A driver that matches a device or almost matches it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Candidate {
    /// The driver.
    pub driver: DriverName,
    /// Whether udev attaches it automatically.
    pub automatic: bool,
    /// The result of matching its manifest.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Attaches and detaches drivers, cleans up, and reports status.
pub struct Manager<'a, L> {
    pub(crate) system: &'a System,
    loader: L,
    /// Cached: searching the kernel's BTF costs more than any other step here.
    generation: OnceCell<Generation>,
}

impl<'a, L: Loader + From<&'a System>> Manager<'a, L> {
    /// Creates a manager with a new loader for this system.
    pub fn new(system: &'a System) -> Manager<'a, L> {
        Manager::with(system, L::from(system))
    }
}

impl<'a, L: Loader> Manager<'a, L> {
    /// Creates a manager with this loader.
    pub fn with(system: &'a System, loader: L) -> Manager<'a, L> {
        Manager { system, loader, generation: OnceCell::new() }
    }

    /// Returns the loader.
    pub fn loader(&self) -> &L {
        &self.loader
    }

    pub(crate) fn generation(&self) -> Result<Generation> {
        if let Some(generation) = self.generation.get() {
            return Ok(*generation);
        }
        let generation = self.loader.generation(self.system)?;
        Ok(*self.generation.get_or_init(|| generation))
    }

    pub(crate) fn lock_device(&self, name: &HidName) -> Result<LockedDevice<'_, L>> {
        self.lock_device_at(name, Path::new(""))
    }

    /// Locks a device whose path is known: [`Device::at`].
    fn lock_device_at(&self, name: &HidName, path: &Path) -> Result<LockedDevice<'_, L>> {
        self.try_lock_device(name, path).map_err(|error| error.during(Step::Lock).on(name))
    }

    fn try_lock_device(&self, name: &HidName, path: &Path) -> Result<LockedDevice<'_, L>> {
        let lock = DeviceLock::take(self.system, name)?;
        let device = Device::at(self.system, name, path)?;
        let pinned = pins::of_device(self.system, name)?;
        let remembered = DeviceState::read(self.system, name);
        let is_hooked = is_hooked(self.system, name, &pinned);
        let device = device.unfixed(remembered.as_ref(), is_hooked);
        let state = match remembered {
            Some(state) if !pinned.is_empty() => state,
            // Without pins nothing is attached, even if the state file lists drivers.
            old => {
                let mut state = DeviceState::new(&device);
                if let Some(old) = old {
                    (state.unloaded, state.failures, state.set) = (old.unloaded, old.failures, old.set);
                    (state.marked, state.is_kept, state.mode_switches) = (old.marked, old.is_kept, old.mode_switches);
                }
                state
            }
        };
        Ok(LockedDevice { system: self.system, loader: &self.loader, device, state, pinned, lock })
    }

    /// Attaches a driver to a device.
    ///
    /// Does nothing if it is already attached from the same object: [`LoadReport::already`].
    ///
    /// # Errors
    /// The driver does not match the device and `force` is false. It is attached from another object. Another attached
    /// driver holds the device's descriptor hook. Or a step of the attach sequence failed, and all earlier steps were
    /// undone.
    pub fn load(&self, driver: &DriverObject, name: &HidName, force: bool) -> Result<LoadReport> {
        self.try_load(driver, name, force).map_err(|error| error.on(name).of(&driver.name))
    }

    fn try_load(&self, driver: &DriverObject, name: &HidName, force: bool) -> Result<LoadReport> {
        let (generation, mut locked) = self.lock_device_for(driver, name)?;
        if let Some(attached) = locked.attached_already(driver)? {
            return Ok(attached);
        }
        let asked = if force { Asked::Forced } else { Asked::Loaded };
        let exclusion = Exclusion::of(self.system, &locked.device);
        let query =
            Query { config: &Config::read(self.system), generation: Ok(generation), exclusion, just_bound: false };
        locked.switch_modes(&query, std::slice::from_ref(driver), |_| asked);
        let decided = locked.decide(&query, std::slice::from_ref(driver), |_| asked);
        let rule = match decided.into_result()?.into_iter().next() {
            Some(Decision::Attach { rule }) => rule,
            Some(Decision::Leave(reason)) => return Err(reason.error(&driver.name, name).during(Step::Choose)),
            None => None,
        };
        locked.attach(generation, driver, rule)
    }

    /// Attaches a driver to a device, after detaching its previous version. Ignores whether the driver matches.
    ///
    /// # Errors
    /// The previous version can't be detached, or as for [`Manager::load`]. In both cases the device is left without
    /// the driver.
    pub fn reload(&self, driver: &DriverObject, name: &HidName) -> Result<LoadReport> {
        self.try_reload(driver, name).map_err(|error| error.on(name).of(&driver.name))
    }

    fn try_reload(&self, driver: &DriverObject, name: &HidName) -> Result<LoadReport> {
        let (generation, mut locked) = self.lock_device_for(driver, name)?;
        if driver.manifest.mode_switch.is_some() {
            locked.switch_mode(driver, &Config::read(self.system));
        }
        let rule = match locked.device.judge(driver, Some(generation), &self.loader)? {
            Verdict::Matches { rule } => Some(rule),
            _ => None,
        };
        locked.keep_properties([driver]);
        locked.reattach(generation, driver, rule)
    }

    /// Locks a device, after checking that this kernel and this process can attach the driver.
    pub(crate) fn lock_device_for(
        &self,
        driver: &DriverObject,
        name: &HidName,
    ) -> Result<(Generation, LockedDevice<'_, L>)> {
        let generation = self.generation()?;
        driver.hooks_for(generation)?;
        crate::kernel::check_capabilities(generation)?;
        Ok((generation, self.lock_device(name)?))
    }

    /// Returns the connected devices that a driver matches.
    ///
    /// # Errors
    /// sysfs can't be read. No device matches, and the error lists the near misses. Or the driver is for any device.
    pub fn devices_for(&self, driver: &DriverObject) -> Result<Vec<Device>> {
        if driver.manifest.any_device {
            let what = format!("the driver `{}` is for any device: expected the device to attach it to", driver.name);
            let hint = format!("run `hidbpf load {} DEVICE`; `hidbpf devices` lists them", driver.name);
            return Err(Error::new(ErrorKind::NoMatch, what).with_hint(hint));
        }
        let mut near = Vec::new();
        let mut matching = Vec::new();
        for device in Device::all(self.system)? {
            let mut device = self.unfixed(device);
            match self.judge(driver, &mut device) {
                Verdict::Matches { .. } => matching.push(device),
                Verdict::Undecided { rule, lacks } => near.push(format!("{} ({rule}): {lacks}", device.name)),
                Verdict::NearMiss { rules } => near.extend(
                    rules.iter().map(|miss| format!("{} ({}): {}", device.name, miss.rule, miss.reasons.join("; "))),
                ),
                Verdict::No => {}
            }
        }
        if matching.is_empty() {
            let hint = if near.is_empty() {
                "plug it in, or see `hidbpf devices` for what is there".to_owned()
            } else {
                format!("near misses: {}", near.join(", "))
            };
            return Err(Error::new(
                ErrorKind::NoMatch,
                format!("no device is there that the driver `{}` is for ({})", driver.name, driver.manifest.device),
            )
            .with_hint(hint));
        }
        Ok(matching)
    }

    /// Returns the drivers of a catalog that match a device or almost match it. Omits drivers for any device.
    pub fn candidates(&self, catalog: &Catalog, device: &Device) -> Vec<Candidate> {
        let mut device = self.unfixed(device.clone());
        catalog
            .drivers
            .iter()
            .filter(|driver| !driver.manifest.any_device)
            .map(|driver| Candidate {
                driver: driver.name.clone(),
                automatic: driver.manifest.is_automatic(),
                verdict: self.judge(driver, &mut device),
            })
            .filter(|candidate| candidate.verdict != Verdict::No)
            .collect()
    }

    /// Drops all privileges of this process for good, except those that attaching needs on this kernel.
    ///
    /// # Errors
    /// This kernel has no HID-BPF, or it refused the change.
    pub fn confine(&self) -> Result<()> {
        kernel::confine(self.generation()?)
    }

    /// Returns the devices that have a driver attached, sorted by name.
    ///
    /// # Errors
    /// bpffs can't be read.
    pub fn attached_devices(&self) -> Result<Vec<HidName>> {
        pins::devices(self.system)
    }
}
