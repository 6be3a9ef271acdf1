//! Applies the configuration to the connected devices.

use serde::Serialize;

use crate::config::Config;
use crate::device::Device;
use crate::device::exclusion::Exclusion;
use crate::driver::catalog::Catalog;
use crate::driver::object::DriverObject;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::load::loader::Loader;
use crate::manager::set_options::{OptionUpdate, SetReport};
use crate::manager::{LoadReport, Manager, Query, UnloadReport, Wait};
use crate::names::DriverName;
use crate::policy::{Asked, Decision, Reason};

/// The changes that were made to the devices.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Applied {
    /// The drivers that were attached.
    pub attached: Vec<LoadReport>,
    /// The drivers that were detached.
    #[serde(rename = "taken-off")]
    pub detached: Vec<UnloadReport>,
    /// The drivers whose options were set.
    #[serde(rename = "tuned")]
    pub updated: Vec<SetReport>,
    /// The errors.
    #[serde(skip)]
    pub failed: Vec<Error>,
}

impl<L: Loader> Manager<'_, L> {
    /// Applies the configuration to all connected devices.
    ///
    /// Detaches the drivers that it disables, and attaches those that udev would attach if the devices were plugged in
    /// now. Sets the options of attached drivers. With `only`, handles that driver alone, even if the user detached it.
    ///
    /// # Errors
    /// sysfs can't be read. [`Applied::failed`] has the errors of single devices.
    pub fn apply(&self, catalog: &Catalog, config: &Config, only: Option<&DriverName>) -> Result<Applied> {
        let mut applied = Applied::default();
        for device in Device::all(self.system)? {
            match self.apply_to(&device.name, catalog, config, only, &mut applied) {
                Err(error) if !matches!(error.kind(), ErrorKind::Gone | ErrorKind::NoDevice) => {
                    applied.failed.push(error.on(&device.name));
                }
                _ => {}
            }
        }
        Ok(applied)
    }

    fn apply_to(
        &self,
        name: &HidName,
        catalog: &Catalog,
        config: &Config,
        only: Option<&DriverName>,
        applied: &mut Applied,
    ) -> Result<()> {
        let is_meant = |driver: &DriverName| only.is_none_or(|only| only == driver);
        let asked = |driver: &DriverObject| if only == Some(&driver.name) { Asked::Enabled } else { Asked::No };
        let mut locked = self.lock_device(name)?;
        let generation = self.generation();
        let exclusion = Exclusion::of(self.system, &locked.device);
        let query = Query { config, generation: generation.as_ref().copied(), exclusion, just_bound: false };
        let attached = locked.attached();
        let decisions = locked.decide_attached(&query, &attached);
        for (driver, decision) in attached.iter().zip(decisions).filter(|(driver, _)| is_meant(driver)) {
            if matches!(decision, Decision::Leave(Reason::Disabled(_))) {
                match locked.detach(driver, Wait::Shortly) {
                    Ok(report) => applied.detached.push(report),
                    Err(error) => applied.failed.push(error),
                }
                locked.device = locked.device.read_again(self.system)?;
            }
        }
        locked.keep_properties(&catalog.drivers);
        let (decisions, unread) = locked.decide(&query, &catalog.drivers, asked).into_parts();
        applied.failed.extend(unread.map(|error| error.on(name)));
        for (driver, decision) in catalog.drivers.iter().zip(decisions).filter(|(driver, _)| is_meant(&driver.name)) {
            match (decision, &generation) {
                (Decision::Leave(Reason::Attached), Ok(generation)) if !driver.manifest.options.is_empty() => {
                    let updated = locked.set_options(*generation, driver, config);
                    match updated.and_then(|update| locked.write_state().map(|_| update)) {
                        Ok(OptionUpdate::Unchanged) => {}
                        Ok(updated) => {
                            let (device, driver) = (name.clone(), driver.name.clone());
                            applied.updated.push(SetReport { device, driver, updated });
                        }
                        Err(error) => applied.failed.push(error.on(name).of(&driver.name)),
                    }
                }
                (Decision::Attach { rule }, Ok(generation)) => match locked.reattach(*generation, driver, rule) {
                    Ok(report) => applied.attached.push(report),
                    Err(error) if error.kind() == ErrorKind::Gone => return Ok(()),
                    Err(error) => applied.failed.push(error),
                },
                (Decision::Leave(reason), _) if reason.is_failure() => {
                    applied.failed.push(reason.error(&driver.name, name).during(Step::Choose));
                }
                (Decision::Leave(_) | Decision::Attach { .. }, _) => {}
            }
        }
        Ok(())
    }
}
