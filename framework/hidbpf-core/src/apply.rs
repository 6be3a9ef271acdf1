//! Brings the devices that are there in line with the configuration.

use serde::Serialize;

use crate::aside::Aside;
use crate::catalog::Catalog;
use crate::config::{Config, Wish};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::loader::Loader;
use crate::manager::{LoadReport, Manager, UnloadReport, rule_for};
use crate::manifest::DriverName;
use crate::pins;
use crate::state::DeviceState;
use crate::tune::{TuneReport, Tuned};

/// What was done to the devices.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Applied {
    /// The drivers that were attached.
    pub attached: Vec<LoadReport>,
    /// The drivers that were taken off.
    pub taken_off: Vec<UnloadReport>,
    /// The drivers whose options were set.
    pub tuned: Vec<TuneReport>,
    /// What could not be done.
    #[serde(skip)]
    pub failed: Vec<Error>,
}

impl<L: Loader> Manager<'_, L> {
    /// Takes the drivers off devices that the configuration rules out there, and attaches those that udev would attach if the devices
    /// were plugged in now; sets the options of those that are attached. With `only`, that driver alone, and also where a person took it off.
    ///
    /// # Errors
    /// sysfs can't be read. What fails of single devices is in [`Applied::failed`].
    pub fn apply(&self, catalog: &Catalog, config: &Config, only: Option<&DriverName>) -> Result<Applied> {
        let mut applied = Applied::default();
        for device in Device::all(self.system)? {
            if let Err(error) = self.apply_to(&device, catalog, config, only, &mut applied) {
                applied.failed.push(error);
            }
        }
        Ok(applied)
    }

    fn apply_to(
        &self,
        device: &Device,
        catalog: &Catalog,
        config: &Config,
        only: Option<&DriverName>,
        applied: &mut Applied,
    ) -> Result<()> {
        let own = self.own(device.clone())?;
        let pinned = pins::of_device(self.system, &device.name)?;
        let is_meant = |name: &DriverName| only.is_none_or(|only| only == name);
        for driver in pinned.iter().map(|pinned| &pinned.driver).filter(|name| is_meant(name)) {
            if matches!(config.wish(driver, &own), Wish::Disabled(_)) {
                applied.taken_off.extend(self.take_off(&device.name, driver)?);
            }
        }
        let taken_off = DeviceState::read(self.system, &device.name)?.map(|state| state.taken_off).unwrap_or_default();
        for driver in catalog.drivers.iter().filter(|driver| is_meant(&driver.name)) {
            let wish = config.wish(&driver.name, &own);
            let is_wanted = match wish {
                Wish::Disabled(_) | Wish::InDoubt(_) => false,
                Wish::Enabled(_) | Wish::Bound(_) => true,
                Wish::Unsaid => driver.manifest.is_automatic(),
            };
            let is_there = pinned.iter().any(|pinned| pinned.driver == driver.name);
            if is_there && !driver.manifest.options.is_empty() && wish.against().is_none() {
                let (generation, mut held) = self.hold_for(driver, &device.name)?;
                let tuned = held.tune(generation, driver, config)?;
                held.state.write(self.system)?;
                if tuned != Tuned::Unchanged {
                    let (device, driver) = (device.name.clone(), driver.name.clone());
                    applied.tuned.push(TuneReport { device, driver, tuned });
                }
            }
            let is_kept_off = only.is_none() && taken_off.contains(&driver.name);
            let Ok(rule) = rule_for(driver, &own, &wish) else { continue };
            // One that can't be attached yet is attached when its kernel driver is bound, by the event of that.
            if !is_wanted || is_there || is_kept_off || device.driver.is_none() {
                continue;
            }
            if Aside::of(self.system, &own).is_some() {
                return Ok(());
            }
            let (generation, mut held) = self.hold_for(driver, &device.name)?;
            match held.attach(generation, driver, Some(rule)) {
                Ok(report) => applied.attached.push(report),
                Err(error) if matches!(error.kind(), ErrorKind::Gone | ErrorKind::AlreadyAttached) => {}
                Err(error) => applied.failed.push(error),
            }
        }
        Ok(())
    }
}
