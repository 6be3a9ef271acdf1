//! Sets the options of attached drivers.
//!
//! Programs that read an option at each report see the new value at once. For other options the driver is reattached.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::attach::pins::PinnedOptions;
use crate::config::Config;
use crate::config::resolve::{self, Resolved};
use crate::device::Device;
use crate::driver::object::DriverObject;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::HidName;
use crate::kernel::Generation;
use crate::load::loader::Loader;
use crate::manager::{LockedDevice, Manager};
use crate::manifest::options::{Value, Values};
use crate::names::DriverName;
use crate::state::DeviceState;

/// How the options of a driver were set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionUpdate {
    /// They already had these values.
    Unchanged,
    /// The programs see them at the next report.
    AtOnce,
    /// The driver was reattached.
    Reattached,
}

/// A driver whose options were set.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
    /// How they were set.
    #[serde(rename = "tuned")]
    pub updated: OptionUpdate,
}

/// The options of a driver.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OptionStatus<'a> {
    /// The driver.
    pub driver: DriverName,
    /// The device; `None` if the driver is not attached to any.
    pub device: Option<HidName>,
    /// Each option.
    pub options: Vec<Resolved<'a>>,
    /// Invalid values, and values that are not effective yet.
    pub problems: Vec<String>,
}

impl<L: Loader> Manager<'_, L> {
    /// Returns the options of a driver on a device, or in general.
    ///
    /// If the driver is attached and this process may read its pins, returns the values that its programs see.
    ///
    /// # Errors
    /// The device's state or the driver's options can't be read.
    pub fn options<'a>(
        &self,
        driver: &'a DriverObject,
        device: Option<&Device>,
        config: &Config,
    ) -> Result<OptionStatus<'a>> {
        let state = device.and_then(|device| DeviceState::read(self.system, &device.name));
        let by_hand = state.as_ref().map(|state| state.set_by_hand(&driver.name)).unwrap_or_default();
        let (mut options, mut problems) = resolve::options(driver, device, config, &by_hand);
        let known = state.iter().flat_map(|state| &state.drivers).find(|known| known.driver == driver.name);
        let pinned = match device {
            Some(device) => match PinnedOptions::open(self.system, &device.name, &driver.name) {
                Err(error) if error.kind() == ErrorKind::Permission => None,
                pinned => pinned?,
            },
            None => None,
        };
        if let (Some(pinned), Some(known)) = (pinned, known) {
            let bytes = pinned.read()?;
            for set in &mut options {
                let place = known.options.get(&set.option.variable()).copied();
                let found = place.and_then(|(offset, size)| bytes.get(offset..offset + size));
                let found = found.filter(|found| set.option.encode(&set.value).is_ok_and(|wanted| *found != wanted));
                if let Some(found) = found.and_then(|found| set.option.decode(found)) {
                    problems.push(format!(
                        "`{}` is {found} still: `hidbpf config --apply` makes it {}, by {}",
                        set.option.name, set.value, set.origin
                    ));
                    set.value = found;
                }
            }
        }
        let device = device.map(|device| device.name.clone());
        Ok(OptionStatus { driver: driver.name.clone(), device, options, problems })
    }

    /// Sets options of an attached driver by hand, until the device is plugged in again.
    ///
    /// `None` removes the value that was set by hand.
    ///
    /// # Errors
    /// The driver has no such option, or the value is invalid. The driver is not attached, or in another version. Or it
    /// can't be reattached. The options then keep their old values.
    pub fn set(
        &self,
        driver: &DriverObject,
        name: &HidName,
        values: &BTreeMap<String, Option<Value>>,
    ) -> Result<SetReport> {
        let (generation, mut locked) = self.lock_device_for(driver, name)?;
        if !locked.is_pinned(&driver.name) {
            let what = format!("the driver `{}` is not attached to the device `{name}`", driver.name);
            return Err(Error::new(ErrorKind::NotAttached, what)
                .with_hint("`--save` keeps an option for when it is; `hidbpf load` attaches it"));
        }
        let before = locked.state.set_by_hand(&driver.name);
        let mut after = before.clone();
        for (option, value) in values {
            match value {
                Some(value) => after.insert(option.clone(), value.clone()),
                None => after.remove(option),
            };
        }
        locked.set_by_hand(driver, after);
        let rule =
            locked.state.drivers.iter().find(|known| known.driver == driver.name).and_then(|known| known.rule.clone());
        let updated = locked.set_options(generation, driver, &Config::read(self.system));
        if updated.is_err() {
            locked.set_by_hand(driver, before);
            // Do not leave the device without the driver that it had.
            if !locked.is_pinned(&driver.name)
                && let Err(error) = locked.attach(generation, driver, rule)
            {
                tracing::error!("{error}");
            }
        }
        // Write the state even after a failure, so that it matches the present values.
        locked.write_state()?;
        Ok(SetReport { device: name.clone(), driver: driver.name.clone(), updated: updated? })
    }
}

impl<L: Loader> LockedDevice<'_, L> {
    fn set_by_hand(&mut self, driver: &DriverObject, values: Values) {
        if values.is_empty() {
            self.state.set.remove(&driver.name);
        } else {
            self.state.set.insert(driver.name.clone(), values);
        }
    }

    /// Updates the options of an attached driver to their resolved values.
    pub(crate) fn set_options(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        config: &Config,
    ) -> Result<OptionUpdate> {
        let by_hand = self.state.set_by_hand(&driver.name);
        let (resolved, wrong) = resolve::options(driver, Some(&self.device), config, &by_hand);
        if resolved.is_empty() {
            return Ok(OptionUpdate::Unchanged);
        }
        let places = driver.option_places();
        let known = self.state.drivers.iter().find(|known| known.driver == driver.name);
        let rule = known.and_then(|known| known.rule.clone());
        if known.is_some_and(|known| known.options != places) {
            let what = format!(
                "the driver `{}` on the device `{}` is of another version than the installed one",
                driver.name, self.device.name
            );
            let hint = format!("`hidbpf reload {}` attaches the installed one, with these options", driver.name);
            return Err(Error::new(ErrorKind::Conflict, what).with_hint(hint));
        }
        let Some(pinned) = PinnedOptions::open(self.system, &self.device.name, &driver.name)? else {
            let what = format!(
                "the options of the driver `{}` on the device `{}` are out of reach",
                driver.name, self.device.name
            );
            let hint = format!("`hidbpf reload {}` reattaches it, with these options", driver.name);
            return Err(Error::new(ErrorKind::Conflict, what).with_hint(hint));
        };
        let old = pinned.read()?;
        let mut new = old.clone();
        let mut reattaches = false;
        for option in &resolved {
            let place = places.get(&option.option.variable()).copied();
            let bytes = option.option.encode(&option.value);
            let (Some((offset, size)), Ok(bytes)) = (place, bytes) else { continue };
            let Some(to) = new.get_mut(offset..offset + size).filter(|to| to.len() == bytes.len()) else { continue };
            reattaches |= option.option.reattach && *to != *bytes;
            to.copy_from_slice(&bytes);
        }
        let updated = if reattaches {
            self.switch_mode(driver, config);
            self.keep_properties([driver]);
            self.reattach(generation, driver, rule)?;
            OptionUpdate::Reattached
        } else if new != old {
            pinned.write(&new)?;
            OptionUpdate::AtOnce
        } else {
            OptionUpdate::Unchanged
        };
        self.state.resolve(std::slice::from_ref(&driver.name));
        self.note_wrong_options(driver, wrong);
        Ok(updated)
    }
}
