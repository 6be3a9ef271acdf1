//! The status of each device that hidbpf manages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::Manager;
use super::facts::{Query, decide_on};
use crate::attach::pins;
use crate::config::Config;
use crate::device::Device;
use crate::device::exclusion::Exclusion;
use crate::driver::catalog::Catalog;
use crate::driver::object::Hook;
use crate::error::{ErrorKind, Result};
use crate::ids::HidName;
use crate::kernel::Generation;
use crate::load::loader::{Loader, LoaderKind, StoredDescriptor};
use crate::names::DriverName;
use crate::policy::{Asked, Decision};
use crate::state::effect::DescriptorEffect;
use crate::state::{DeviceState, DriverState, RecordedFailure, SwitchState};

/// The status of a device that hidbpf manages.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceStatus {
    /// The device.
    pub device: HidName,
    /// The device's own name.
    pub hid_name: String,
    /// Whether the device is connected.
    pub present: bool,
    /// The drivers on it.
    pub drivers: Vec<DriverStatus>,
    /// The mode switches of the USB device that it is an interface of.
    pub mode_switches: Vec<SwitchState>,
    /// The drivers that a user detached.
    #[serde(rename = "taken-off")]
    pub unloaded: Vec<DriverName>,
    /// Drivers that would be attached if there were no [`crate::policy::Reason`] against them.
    pub left_off: Vec<LeftOff>,
    /// Failures that have not been resolved.
    pub failures: Vec<RecordedFailure>,
}

impl DeviceStatus {
    /// Returns an attached driver with an event hook, if there is one.
    ///
    /// The kernel then has its own buffer for the device's reports, and pads short reports with zeros
    /// (`dispatch_hid_bpf_device_event()`, drivers/hid/bpf/hid_bpf_dispatch.c).
    pub fn with_event_hook(&self) -> Option<&DriverStatus> {
        let has_hook = |driver: &&DriverStatus| {
            matches!(driver.condition, Condition::Attached | Condition::Unverified)
                && driver.hooks.contains(&Hook::DeviceEvent)
        };
        self.drivers.iter().find(has_hook)
    }
}

/// A driver that would be attached if there were no reason against it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOff {
    /// The driver.
    pub driver: DriverName,
    /// Why it is not attached.
    pub reason: String,
    /// How to get it attached.
    pub hint: String,
}

/// The status of a driver on a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriverStatus {
    /// The driver.
    pub driver: DriverName,
    /// Whether it works.
    pub condition: Condition,
    /// The object that it was loaded from, if known.
    pub object: Option<PathBuf>,
    /// The kernel interface that it was attached with.
    pub generation: Option<Generation>,
    /// The hooks that it uses.
    pub hooks: Vec<Hook>,
    /// The match rule of its manifest that applied; `None` if it was forced.
    pub rule: Option<String>,
    /// The effect of its descriptor hook.
    pub change: Option<DescriptorEffect>,
    /// How the kernel driver changed the fixed descriptor, in words, if it did.
    pub note: Option<String>,
    /// The loader that brought its programs into the kernel.
    pub loaded: Option<LoaderKind>,
    /// The maps that other programs may open, and where they are pinned.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub maps: BTreeMap<String, PathBuf>,
    /// The udev properties that it sets on the device.
    pub exports: BTreeMap<String, String>,
    /// The names of its pinned links.
    pub links: Vec<String>,
}

/// The note about a foreign object whose descriptor hook has changed nothing.
const UNKNOWN: &str = "its descriptor hook changed nothing, or did not run: a foreign object does not record that";

/// The condition of a driver on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Pinned. If the driver fixes the descriptor, the descriptor is fixed.
    Attached,
    /// Pinned, but the current descriptor is still the original one.
    NotFixed,
    /// In the state file but not pinned: attaching was interrupted, or the pins were removed.
    Interrupted,
    /// In the state file. Only root can read the pins.
    Unverified,
}

impl<L: Loader> Manager<'_, L> {
    /// Returns the status of each device that hidbpf manages.
    ///
    /// # Errors
    /// sysfs can't be read. A bpffs that only root can read is not an error: see [`Condition::Unverified`].
    pub fn status(&self) -> Result<Vec<DeviceStatus>> {
        let (pinned_devices, may_look) = match pins::devices(self.system) {
            Ok(devices) => (devices, true),
            Err(error) if error.kind() == ErrorKind::Permission => (Vec::new(), false),
            Err(error) => return Err(error),
        };
        let mut left_off = self.left_off()?;
        let mut names = DeviceState::devices(self.system);
        names.extend(pinned_devices);
        names.extend(left_off.keys().cloned());
        names.sort();
        names.dedup();
        names.iter().map(|name| self.status_of(name, may_look, left_off.remove(name).unwrap_or_default())).collect()
    }

    /// Decides for each driver of a catalog whether it should be on a device now, as udev's events do.
    ///
    /// The decisions are in the order of the drivers. If only root can read the pins, the state file counts.
    ///
    /// # Errors
    /// The device's state or pins can't be read.
    pub fn decide(&self, catalog: &Catalog, config: &Config, device: &Device) -> Result<Vec<Decision>> {
        let state = DeviceState::read(self.system, &device.name).unwrap_or_else(|| DeviceState::new(device));
        let attached: Vec<DriverName> = match pins::of_device(self.system, &device.name) {
            Ok(pinned) => pinned.into_iter().map(|pinned| pinned.driver).collect(),
            Err(error) if error.kind() == ErrorKind::Permission => {
                state.drivers.iter().map(|known| known.driver.clone()).collect()
            }
            Err(error) => return Err(error),
        };
        let generation = self.generation();
        let exclusion = Exclusion::of(self.system, device);
        let query = Query { config, generation: generation.as_ref().copied(), exclusion, just_bound: false };
        let mut device = self.unfixed(device.clone());
        let known = (&state, &*attached);
        let decided = decide_on(self.loader(), &query, &mut device, known, &catalog.drivers, |_| Asked::No);
        let (decisions, unread) = decided.into_parts();
        if let Some(error) = unread {
            tracing::debug!("{error}");
        }
        Ok(decisions)
    }

    /// Returns the drivers that are not attached although they are wanted, by device, with the reasons.
    fn left_off(&self) -> Result<BTreeMap<HidName, Vec<LeftOff>>> {
        let (catalog, config) = (Catalog::read(self.system), Config::read(self.system));
        let mut all = BTreeMap::new();
        for device in Device::all(self.system)? {
            let decisions = self.decide(&catalog, &config, &device)?;
            let left_off: Vec<LeftOff> = catalog
                .drivers
                .iter()
                .zip(decisions)
                .filter_map(|(driver, decision)| match decision {
                    Decision::Leave(reason) if reason.is_against_wanted() => {
                        let (reason, hint) = (reason.to_string(), reason.hint(&driver.name, &device.name));
                        Some(LeftOff { driver: driver.name.clone(), reason, hint })
                    }
                    _ => None,
                })
                .collect();
            if !left_off.is_empty() {
                all.insert(device.name, left_off);
            }
        }
        Ok(all)
    }

    fn status_of(&self, name: &HidName, may_look: bool, left_off: Vec<LeftOff>) -> Result<DeviceStatus> {
        let device = match Device::open(self.system, name) {
            Ok(device) => Some(device),
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => None,
            Err(error) => return Err(error),
        };
        let state = DeviceState::read(self.system, name);
        let pinned = if may_look { pins::of_device(self.system, name)? } else { Vec::new() };
        let original = state.as_ref().and_then(DeviceState::original);
        let remembered = state.as_ref().map_or(&[][..], |state| &state.drivers);
        let mut drivers: Vec<DriverStatus> = pinned
            .into_iter()
            .map(|pinned| {
                let known = remembered.iter().find(|known| known.driver == pinned.driver);
                let hooked = known.filter(|known| known.change != DescriptorEffect::NotWanted);
                let behind = device.as_ref().zip(hooked);
                let behind = behind.map(|(device, known)| self.behind_hook(device, original.as_deref(), known));
                let condition = match (hooked, &behind) {
                    (
                        Some(DriverState { change: DescriptorEffect::Fixed, .. }),
                        Some(BehindHook { is_original: true, .. }),
                    ) => Condition::NotFixed,
                    _ => Condition::Attached,
                };
                let unknown = hooked.is_some_and(|known| known.foreign && known.change == DescriptorEffect::Unchanged);
                let unknown = unknown.then(|| UNKNOWN.to_owned());
                let note = behind.and_then(|behind| behind.note).or(unknown);
                DriverStatus { links: pinned.links, note, ..driver_status(pinned.driver, known, condition) }
            })
            .collect();
        for known in remembered {
            if !drivers.iter().any(|there| there.driver == known.driver) {
                let condition = if may_look { Condition::Interrupted } else { Condition::Unverified };
                drivers.push(driver_status(known.driver.clone(), Some(known), condition));
            }
        }
        for driver in &mut drivers {
            let maps = remembered.iter().filter(|known| known.driver == driver.driver).flat_map(|known| &known.maps);
            let pins = self.system.driver_pins(name, &driver.driver);
            driver.maps = maps.map(|map| (map.clone(), pins.join(map))).collect();
        }
        let hid_name = match (&device, &state) {
            (Some(device), _) => device.hid_name.clone(),
            (None, Some(state)) => state.hid_name.clone(),
            (None, None) => String::new(),
        };
        let lists = state.map(|state| (state.mode_switches, state.unloaded, state.failures));
        let (mode_switches, unloaded, failures) = lists.unwrap_or_default();
        let (device, present) = (name.clone(), device.is_some());
        Ok(DeviceStatus { device, hid_name, present, drivers, mode_switches, unloaded, left_off, failures })
    }
}

/// The current descriptor compared with the one that a driver's hook returned.
#[derive(Default)]
struct BehindHook {
    /// Whether the kernel driver was given the original descriptor.
    is_original: bool,
    /// How the kernel driver changed the descriptor that it was given.
    note: Option<String>,
}

impl<L: Loader> Manager<'_, L> {
    /// Compares the current descriptor with the one that a driver's hook returned.
    ///
    /// Before Linux 6.13 the kernel does not keep the fixed descriptor, so only its size is known.
    fn behind_hook(&self, device: &Device, original: Option<&[u8]>, known: &DriverState) -> BehindHook {
        let current = &device.current;
        let is_original = original.is_some_and(|original| current == original);
        if current.is_empty() || device.is_taken_as_it_is() {
            return BehindHook { is_original: is_original && !current.is_empty(), note: None };
        }
        let fixed = self.loader.descriptor(device.name.id(), StoredDescriptor::Fixed).ok().flatten();
        let size = fixed.as_ref().map(Vec::len).or(known.fixed_size);
        let is_original = is_original && fixed.as_deref().is_none_or(|fixed| original == Some(fixed));
        let changed = match (fixed, size) {
            (_, Some(size)) if size != current.len() => Some(format!("{size} -> {} bytes", current.len())),
            (Some(fixed), _) if fixed != *current => {
                let count = fixed.iter().zip(current).filter(|(fixed, current)| fixed != current).count();
                Some(format!("{count} of its {} bytes", current.len()))
            }
            _ => None,
        };
        let kernel_driver = device.driver.as_deref().unwrap_or("none");
        let note =
            changed.map(|what| format!("the kernel driver `{kernel_driver}` changed the fixed descriptor: {what}"));
        BehindHook { is_original, note }
    }
}

fn driver_status(driver: DriverName, known: Option<&DriverState>, condition: Condition) -> DriverStatus {
    DriverStatus {
        driver,
        condition,
        object: known.map(|known| known.object.clone()),
        generation: known.map(|known| known.generation),
        hooks: known.map(|known| known.hooks.clone()).unwrap_or_default(),
        rule: known.and_then(|known| known.rule.clone()),
        change: known.filter(|_| condition != Condition::Interrupted).map(|known| known.change),
        note: None,
        loaded: known.and_then(|known| known.loaded.clone()),
        maps: BTreeMap::new(),
        exports: known.map(exported).unwrap_or_default(),
        links: Vec::new(),
    }
}

fn exported(known: &DriverState) -> BTreeMap<String, String> {
    let exports = known.exports.iter();
    exports.filter_map(|exported| Some((exported.export.property.clone(), exported.value.clone()?))).collect()
}
