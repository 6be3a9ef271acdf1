//! Sets the options of drivers that are attached: at once where the programs read them at each report, and by attaching the driver anew
//! where not.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::config::Config;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::HidName;
use crate::kernel::Generation;
use crate::loader::Loader;
use crate::manager::{Held, Manager};
use crate::names::DriverName;
use crate::object::DriverObject;
use crate::options::{Value, Values};
use crate::pins::PinnedOptions;
use crate::resolve::{self, Resolved};
use crate::state::DeviceState;

/// What it took to set the options of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tuned {
    /// They were so already.
    Unchanged,
    /// The programs see them at the next report.
    AtOnce,
    /// The driver was attached anew.
    Anew,
}

/// A driver whose options were set.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TuneReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
    /// What it took.
    pub tuned: Tuned,
}

/// What the options of a driver are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OptionStatus<'a> {
    /// The driver.
    pub driver: DriverName,
    /// The device; `None` where the driver is attached nowhere.
    pub device: Option<HidName>,
    /// Each option.
    pub options: Vec<Resolved<'a>>,
    /// What is set wrongly, or not in force.
    pub problems: Vec<String>,
}

impl<L: Loader> Manager<'_, L> {
    /// What the options of a driver are on a device, or in general. Where it is attached and this process may look, what its programs see.
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
                let found = place.and_then(|(offset, size)| set.option.value(bytes.get(offset..offset + size)?));
                if let Some(found) = found.filter(|found| *found != set.value) {
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

    /// Sets options of an attached driver by hand, until the device is plugged in again; `None` takes back what was set by hand.
    ///
    /// # Errors
    /// The driver has no such option or it can't be that; it is not attached, or in another version; or it can't be attached anew. Then
    /// the options are what they were.
    pub fn set(
        &self,
        driver: &DriverObject,
        name: &HidName,
        values: &BTreeMap<String, Option<Value>>,
    ) -> Result<TuneReport> {
        let (generation, mut held) = self.hold_for(driver, name)?;
        if !held.is_pinned(&driver.name) {
            let what = format!("the driver `{}` is not attached to the device `{name}`", driver.name);
            return Err(Error::new(ErrorKind::NotAttached, what)
                .with_hint("`--save` keeps an option for when it is; `hidbpf load` attaches it"));
        }
        let before = held.state.set_by_hand(&driver.name);
        let mut after = before.clone();
        for (option, value) in values {
            match value {
                Some(value) => after.insert(option.clone(), value.clone()),
                None => after.remove(option),
            };
        }
        held.set_by_hand(driver, after);
        let rule =
            held.state.drivers.iter().find(|known| known.driver == driver.name).and_then(|known| known.rule.clone());
        let tuned = held.tune(generation, driver, &Config::read(self.system));
        if tuned.is_err() {
            held.set_by_hand(driver, before);
            // The device is not to be left without the driver that it had.
            if !held.is_pinned(&driver.name)
                && let Err(error) = held.attach(generation, driver, rule)
            {
                tracing::error!("{error}");
            }
        }
        // Whatever went wrong, what is remembered is what is so.
        held.state.write(self.system)?;
        Ok(TuneReport { device: name.clone(), driver: driver.name.clone(), tuned: tuned? })
    }
}

impl<L: Loader> Held<'_, L> {
    fn set_by_hand(&mut self, driver: &DriverObject, values: Values) {
        if values.is_empty() {
            self.state.set.remove(&driver.name);
        } else {
            self.state.set.insert(driver.name.clone(), values);
        }
    }

    /// Brings the options of an attached driver in line with all that sets them.
    pub(crate) fn tune(&mut self, generation: Generation, driver: &DriverObject, config: &Config) -> Result<Tuned> {
        let by_hand = self.state.set_by_hand(&driver.name);
        let (resolved, wrong) = resolve::options(driver, Some(&self.device), config, &by_hand);
        if resolved.is_empty() {
            return Ok(Tuned::Unchanged);
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
        let mut anew = false;
        for option in &resolved {
            let place = places.get(&option.option.variable()).copied();
            let bytes = option.option.number(&option.value).map(|number| option.option.bytes(number));
            let (Some((offset, size)), Ok(bytes)) = (place, bytes) else { continue };
            let Some(to) = new.get_mut(offset..offset + size).filter(|to| to.len() == bytes.len()) else { continue };
            anew |= option.option.reattach && *to != *bytes;
            to.copy_from_slice(&bytes);
        }
        let tuned = if anew {
            self.keep_properties([driver]);
            self.attach_anew(generation, driver, rule)?;
            Tuned::Anew
        } else if new != old {
            pinned.write(&new)?;
            Tuned::AtOnce
        } else {
            Tuned::Unchanged
        };
        self.state.resolve(std::slice::from_ref(&driver.name));
        self.note_wrong_options(driver, wrong);
        Ok(tuned)
    }
}
