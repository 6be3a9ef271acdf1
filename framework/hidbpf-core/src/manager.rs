//! What people and udev ask for: attach, take off, clean up, tell. Each holds the device's lock, keeps its state file true and
//! leaves nothing half done.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use hid_bpf_src::SETUP_PROGRAM;
use serde::Serialize;

use crate::aside::Aside;
use crate::attach::{Change, Plan, RESTORE_LIMIT, check_ready};
use crate::catalog::{Catalog, Verdict, judge};
use crate::config::{Config, Wish};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::fields;
use crate::ids::HidName;
use crate::kernel::{self, Generation};
use crate::loader::{Loader, Way};
use crate::manifest::DriverName;
use crate::object::{DriverObject, Hook};
use crate::options;
use crate::pins;
use crate::setup;
use crate::state::{DeviceLock, DeviceState, DriverState, Failure};
use crate::system::System;
use crate::uevents::{Rebound, Uevents};

/// A driver that has been attached to a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoadReport {
    /// The device.
    pub device: HidName,
    /// The name that the device gives itself.
    pub hid_name: String,
    /// The driver.
    pub driver: DriverName,
    /// By which rule of its manifest; `None` where it was forced.
    pub rule: Option<String>,
    /// How it was attached.
    pub generation: Generation,
    /// What became of the descriptor.
    pub change: Change,
    /// The hooks that it uses.
    pub hooks: Vec<Hook>,
    /// Whether it has talked to the device.
    pub set_up: bool,
}

/// A driver whose device was told again what the driver wants of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetUpReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
}

impl SetUpReport {
    /// Tells the log, which is the journal where udev asked.
    pub fn tell(&self) {
        let SetUpReport { device, driver } = self;
        tracing::info!(
            DEVICE = device.as_str(),
            DRIVER = driver.as_str(),
            "the driver `{driver}` has set up the device `{device}` again"
        );
    }
}

/// A driver that has been taken off a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnloadReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
}

/// What `udev add` did with one device.
#[derive(Debug, Default)]
pub struct AddReport {
    /// Drivers that were attached.
    pub attached: Vec<LoadReport>,
    /// Drivers that were not, and why; each is noted in the device's state.
    pub failed: Vec<Error>,
    /// What there was to say of the others: attached already, taken off by a person, not for this interface.
    pub notes: Vec<String>,
    /// Why this loader left the rest to another one. What is reported is done all the same.
    pub not_fast: Option<Error>,
}

impl AddReport {
    /// Tells the log, which is the journal where udev asked, what was attached and, unless another loader is to go on, all else.
    pub fn tell(&self) {
        for attached in &self.attached {
            tracing::info!(
                DEVICE = attached.device.as_str(),
                DRIVER = attached.driver.as_str(),
                "the driver `{}` was attached to the device `{}`",
                attached.driver,
                attached.device
            );
        }
        if self.not_fast.is_none() {
            self.notes.iter().for_each(|note| tracing::info!("{note}"));
            self.failed.iter().for_each(tell);
        }
    }
}

/// Tells the log of a failure, in one entry with the way out and the kernel's words.
pub fn tell(error: &Error) {
    let place = error.place();
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let log = error.log().map(|log| format!("\n{log}")).unwrap_or_default();
    tracing::error!(
        DEVICE = place.device.as_ref().map(HidName::as_str),
        DRIVER = place.driver.as_ref().map(DriverName::as_str),
        STEP = place.step.map(tracing::field::display),
        REMEDY = error.hint(),
        "{error}{hint}{log}"
    );
}

/// What is known of a device that hidbpf has to do with.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceStatus {
    /// The device.
    pub device: HidName,
    /// The name that the device gives itself.
    pub hid_name: String,
    /// Whether the device is there.
    pub present: bool,
    /// The drivers on it.
    pub drivers: Vec<DriverStatus>,
    /// Drivers that a person took off.
    pub taken_off: Vec<DriverName>,
    /// Drivers that are for the device, and that the configuration or something else keeps off, with the reason: [`Aside`].
    pub left_off: BTreeMap<DriverName, String>,
    /// Failures that have not been resolved.
    pub failures: Vec<Failure>,
}

/// What is known of a driver on a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriverStatus {
    /// The driver.
    pub driver: DriverName,
    /// How things stand.
    pub condition: Condition,
    /// The object that it was loaded from, as far as is remembered.
    pub object: Option<PathBuf>,
    /// How it was attached.
    pub generation: Option<Generation>,
    /// The hooks that it uses.
    pub hooks: Vec<Hook>,
    /// By which rule of its manifest; `None` where it was forced.
    pub rule: Option<String>,
    /// What became of the descriptor.
    pub change: Option<Change>,
    /// Which way its programs went into the kernel.
    pub loaded: Option<Way>,
    /// The udev properties that it gives the device.
    pub exports: BTreeMap<String, String>,
    /// The names of its pinned links.
    pub links: Vec<String>,
}

/// How things stand with a driver on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Pinned, and where it fixes the descriptor, the one in force is not the device's own.
    Attached,
    /// Pinned, and yet the descriptor in force is the device's own.
    NotInForce,
    /// The state file has it and the pins do not: an attach was interrupted, or somebody removed the pins.
    Interrupted,
    /// Only root can look at the pins; this is what the state file says.
    Unverified,
}

/// The drivers that match a device or nearly do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Candidate {
    /// The driver.
    pub driver: DriverName,
    /// Whether udev attaches it by itself.
    pub automatic: bool,
    /// Whether it matches.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Attaches, takes off, cleans up, tells.
pub struct Manager<'a, L> {
    pub(crate) system: &'a System,
    loader: L,
    /// Read once: looking through the kernel's BTF is the dearest of what is done here.
    generation: OnceCell<Generation>,
}

/// A device whose lock is held, with what is remembered of it.
pub(crate) struct Held<'a, L> {
    pub(crate) system: &'a System,
    loader: &'a L,
    pub(crate) device: Device,
    pub(crate) state: DeviceState,
    pinned: Vec<pins::Pinned>,
    _lock: DeviceLock,
}

impl<'a, L: Loader + Default> Manager<'a, L> {
    /// Works on this system.
    pub fn new(system: &'a System) -> Manager<'a, L> {
        Manager::with(system, L::default())
    }
}

impl<'a, L: Loader> Manager<'a, L> {
    /// Works on this system, with this loader.
    pub fn with(system: &'a System, loader: L) -> Manager<'a, L> {
        Manager { system, loader, generation: OnceCell::new() }
    }

    /// What it loads drivers with.
    pub fn loader(&self) -> &L {
        &self.loader
    }

    fn generation(&self) -> Result<Generation> {
        if let Some(generation) = self.generation.get() {
            return Ok(*generation);
        }
        let generation = self.loader.generation(self.system)?;
        Ok(*self.generation.get_or_init(|| generation))
    }

    pub(crate) fn hold(&self, name: &HidName) -> Result<Held<'_, L>> {
        self.hold_at(name, Path::new(""))
    }

    /// The same, of a device whose path is known: [`Device::at`].
    fn hold_at(&self, name: &HidName, path: &Path) -> Result<Held<'_, L>> {
        self.try_hold(name, path).map_err(|error| error.during(Step::Lock).on(name))
    }

    fn try_hold(&self, name: &HidName, path: &Path) -> Result<Held<'_, L>> {
        let lock = DeviceLock::take(self.system, name)?;
        let device = Device::at(self.system, name, path)?;
        let pinned = pins::of_device(self.system, name)?;
        let remembered = DeviceState::read(self.system, name)?;
        let state = match remembered {
            Some(state) if !pinned.is_empty() => state,
            // Without pins the descriptor in force is the device's own, whatever was remembered.
            old => {
                let mut state = DeviceState::new(&device);
                if let Some(old) = old {
                    (state.taken_off, state.failures, state.set) = (old.taken_off, old.failures, old.set);
                    state.marked = old.marked;
                }
                state
            }
        };
        Ok(Held { system: self.system, loader: &self.loader, device, state, pinned, _lock: lock })
    }

    /// Attaches a driver to a device.
    ///
    /// # Errors
    /// The driver is not for the device and `force` is false; it is attached already; another driver has the device's
    /// descriptor; or a step of the attach failed, and all before it was undone.
    pub fn load(&self, driver: &DriverObject, name: &HidName, force: bool) -> Result<LoadReport> {
        self.try_load(driver, name, force).map_err(|error| error.on(name).of(&driver.name))
    }

    fn try_load(&self, driver: &DriverObject, name: &HidName, force: bool) -> Result<LoadReport> {
        let (generation, mut held) = self.hold_for(driver, name)?;
        let own = held.state.restore(held.device.clone());
        // Newer kernels show no descriptor of a device that no kernel driver has parsed, and then no rule can be asked.
        if own.rdesc.is_empty() {
            check_ready(&own, &format!("the driver `{}`", driver.name)).map_err(|error| error.during(Step::Prepare))?;
        }
        let verdict = judge(&driver.manifest, &own);
        // Who asks by hand knows what the machine's owner wants, and not what another tool has done. The descriptor that a rule asks for may
        // be another for that alone.
        if !force
            && verdict != Verdict::No
            && let Some(aside @ Aside::UdevHidBpf(_)) = Aside::of(self.system, &own)
        {
            let what = format!("the driver `{}` is not attached to the device `{name}`: {aside}", driver.name);
            let remedy = aside.remedy(name);
            let hint = format!("{remedy}; `--force` goes ahead");
            return Err(Error::new(ErrorKind::Conflict, what).with_hint(hint).during(Step::Choose));
        }
        let rule = match verdict {
            Verdict::Matches { rule } => Some(rule),
            _ if force => None,
            verdict => return Err(no_match(driver, &own, &verdict).during(Step::Choose)),
        };
        held.attach(generation, driver, rule)
    }

    /// Attaches a driver to a device in place of what it was before, if it was there; whether or not it is for the device.
    ///
    /// # Errors
    /// The old one can't be taken off, or as for [`Manager::load`]: then the device is left without the driver.
    pub fn reload(&self, driver: &DriverObject, name: &HidName) -> Result<LoadReport> {
        self.try_reload(driver, name).map_err(|error| error.on(name).of(&driver.name))
    }

    fn try_reload(&self, driver: &DriverObject, name: &HidName) -> Result<LoadReport> {
        let (generation, mut held) = self.hold_for(driver, name)?;
        let rule = match judge(&driver.manifest, &held.state.restore(held.device.clone())) {
            Verdict::Matches { rule } => Some(rule),
            _ => None,
        };
        held.keep_properties(driver);
        held.attach_anew(generation, driver, rule)
    }

    /// Takes hold of a device, once it is clear that the driver could be attached on this kernel and by this process.
    pub(crate) fn hold_for(&self, driver: &DriverObject, name: &HidName) -> Result<(Generation, Held<'_, L>)> {
        let generation = self.generation()?;
        driver.hooks_for(generation)?;
        crate::kernel::check_capabilities(generation)?;
        Ok((generation, self.hold(name)?))
    }

    /// The devices that a driver is for.
    ///
    /// # Errors
    /// sysfs can't be read, or there is none; then the error says which devices came near.
    pub fn devices_for(&self, driver: &DriverObject) -> Result<Vec<Device>> {
        let mut near = Vec::new();
        let mut matching = Vec::new();
        for device in Device::all(self.system)? {
            let own = self.own(device)?;
            match judge(&driver.manifest, &own) {
                Verdict::Matches { .. } => matching.push(own),
                Verdict::NearMiss { rules } => near.extend(
                    rules.iter().map(|miss| format!("{} ({}): {}", own.name, miss.rule, miss.reasons.join("; "))),
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

    /// A device as it was before any driver of ours.
    ///
    /// # Errors
    /// Its state can not be read.
    pub fn own(&self, device: Device) -> Result<Device> {
        let state = DeviceState::read(self.system, &device.name)?;
        Ok(match state {
            Some(state) if state.drivers.iter().any(|driver| driver.change == Change::Fixed) => state.restore(device),
            _ => device,
        })
    }

    /// The drivers of a catalogue that match a device or nearly do.
    ///
    /// # Errors
    /// The device's state can't be read.
    pub fn candidates(&self, catalog: &Catalog, device: &Device) -> Result<Vec<Candidate>> {
        let own = self.own(device.clone())?;
        Ok(catalog
            .drivers
            .iter()
            .map(|driver| Candidate {
                driver: driver.name.clone(),
                automatic: driver.manifest.is_automatic(),
                verdict: judge(&driver.manifest, &own),
            })
            .filter(|candidate| candidate.verdict != Verdict::No)
            .collect())
    }

    /// Gives up, for good, all privileges of this process but those that attaching needs on this kernel.
    ///
    /// # Errors
    /// This kernel has no HID-BPF, or would not take them.
    pub fn confine(&self) -> Result<()> {
        kernel::confine(self.generation()?)
    }

    /// What udev asks for when a HID device appears, when a kernel driver is bound to it, or when one of its nodes, whose path
    /// will do, brings udev properties that are news. `named` are the drivers that the hwdb names; where it is empty, all
    /// installed drivers are looked at. A driver that was told other properties is attached anew.
    ///
    /// # Errors
    /// Nothing could be tried: the device's lock or state is out of reach, or this kernel has no HID-BPF.
    pub fn add(&self, path: &Path, named: &[DriverName]) -> Result<AddReport> {
        let mut report = AddReport::default();
        let name = HidName::of_path(path)?;
        // Of what nothing can be looked at there are only the names that udev's hwdb gives.
        let blame = |error: Error| match named {
            [only] => error.on(&name).of(only),
            _ => error.on(&name),
        };
        let generation = self.generation().map_err(|error| blame(error.during(Step::Prepare)))?;
        let mut held = match self.hold_at(&name, path) {
            Ok(held) => held,
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => {
                report.notes.push(format!("the device `{name}` has gone"));
                return Ok(report);
            }
            Err(error) => return Err(blame(error)),
        };
        if let Some(aside) = Aside::of(self.system, &held.device) {
            report.notes.push(format!("the device `{name}` is left alone: {aside}"));
            return Ok(report);
        }
        let config = Config::read(self.system);
        report.failed.extend(config.problems.iter().map(|problem| problem.error().during(Step::Choose).on(&name)));
        let (drivers, unreadable) = self.automatic(named, &config.wanted(&held.device));
        for (driver, error) in unreadable {
            let error = error.during(Step::Choose).on(&name);
            let error = driver.iter().fold(error, Error::of);
            // Of a device that is not bound yet no trace may be left, or the event of its binding is passed over.
            if let Some(driver) = driver.filter(|_| held.device.driver.is_some()) {
                held.state.fail(vec![driver], &error);
                held.state.write(self.system)?;
            }
            report.failed.push(error);
        }
        // Read once: the node that has them goes when the kernel probes the device again.
        let properties = held.device.properties(drivers.iter().flat_map(DriverObject::all_properties));
        held.device = held.device.with_properties(properties);
        let own = held.state.restore(held.device.clone());
        let mut wanted = Vec::new();
        for driver in &drivers {
            let wish = config.wish(&driver.name, &own);
            if let Some(why) = wish.against() {
                report.notes.push(format!("the driver `{}` is left off: {why}", driver.name));
            } else if held.is_pinned(&driver.name) && !held.has_news_for(driver) {
                report.notes.push(format!("the driver `{}` is attached already", driver.name));
            } else if held.state.taken_off.contains(&driver.name) {
                report.notes.push(format!(
                    "the driver `{}` was taken off by hand; `hidbpf load {}` attaches it again",
                    driver.name, driver.name
                ));
            } else {
                match rule_for(driver, &own, &wish) {
                    Ok(rule) => wanted.push((driver, rule)),
                    Err(error) => report.notes.push(error.to_string()),
                }
            }
        }
        let rivals: Vec<DriverName> = wanted
            .iter()
            .filter(|(driver, _)| driver.fixes_descriptor())
            .map(|(driver, _)| driver.name.clone())
            .collect();
        if rivals.len() > 1 {
            wanted.retain(|(driver, _)| !rivals.contains(&driver.name));
            let error = conflict(&held.device, &rivals).during(Step::Choose).on(&name);
            held.state.fail(rivals, &error);
            held.state.write(self.system)?;
            report.failed.push(error);
        }
        for (driver, rule) in wanted {
            match held.attach_anew(generation, driver, Some(rule)) {
                Ok(attached) => report.attached.push(attached),
                Err(error) if error.kind() == ErrorKind::NotReady && held.device.driver.is_none() => {
                    report.notes.push(format!("{error}; the event of its binding will follow"));
                }
                Err(error) if error.kind() == ErrorKind::Gone => {
                    report.notes.push(error.to_string());
                    break;
                }
                Err(error) if error.kind() == ErrorKind::NotFast => {
                    report.not_fast = Some(error);
                    break;
                }
                Err(error) => report.failed.push(error),
            }
        }
        Ok(report)
    }

    /// The drivers that udev attaches by itself, of those named or of all, and those that the configuration has it attach; and what
    /// can't be read, with its name where that is known.
    fn automatic(
        &self,
        named: &[DriverName],
        wanted: &BTreeSet<&DriverName>,
    ) -> (Vec<DriverObject>, Vec<(Option<DriverName>, Error)>) {
        let (mut drivers, mut failed) = (Vec::new(), Vec::new());
        if named.is_empty() {
            let catalog = Catalog::read_trusted(self.system);
            drivers = catalog.drivers;
            failed.extend(catalog.problems.into_iter().map(|error| (None, with_owner(error))));
        }
        let unnamed = wanted.iter().copied().filter(|name| !named.is_empty() && !named.contains(name));
        for name in named.iter().chain(unnamed) {
            let result = match self.system.find_driver(name) {
                Some(path) => DriverObject::read_trusted(&path).map_err(with_owner),
                None if named.contains(name) => Err(Error::new(
                    ErrorKind::NoDriver,
                    format!("udev's hwdb names the driver `{name}`, which is not installed"),
                )
                .with_hint("the hwdb is older than the drivers: make it anew from `hidbpf hwdb`")),
                // The configuration alone names it, maybe for another device: `hidbpf doctor` points it out.
                None => continue,
            };
            match result {
                Ok(driver) => drivers.push(driver),
                Err(error) => failed.push((Some(name.clone()), error)),
            }
        }
        drivers.retain(|driver| driver.manifest.is_automatic() || wanted.contains(&driver.name));
        (drivers, failed)
    }

    /// Has the drivers on a device tell it again what they want of it, which it may have forgotten while the machine slept or when another
    /// kernel driver was bound to it. `event` is the number of udev's event of a binding: one that attaching a driver has brought about
    /// is passed over. A driver that the device refuses stays attached, and the failure is noted in the device's state.
    ///
    /// # Errors
    /// The device's lock, state or pins are out of reach, or the device did not do what it was told by one of the drivers.
    pub fn set_up_again(&self, name: &HidName, event: Option<u64>) -> Result<Vec<SetUpReport>> {
        let mut held = match self.hold(name) {
            Ok(held) => held,
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let rdesc_size = held.state.own_rdesc().map_or(held.device.rdesc.len(), |own| own.len());
        let talks = |pinned: &&pins::Pinned| pinned.links.iter().any(|link| link == SETUP_PROGRAM);
        let (mut done, mut failed, mut has_news) = (Vec::new(), None, false);
        for pinned in held.pinned.iter().filter(talks) {
            let known = held.state.drivers.iter_mut().find(|known| known.driver == pinned.driver);
            let is_news = known.as_ref().is_none_or(|known| event > known.set_up);
            if event.is_some() && !is_news {
                continue;
            }
            let program = pins::open(self.system, pinned, SETUP_PROGRAM)?;
            let mut result = setup::run_patiently(program.as_fd(), &pinned.driver, name, rdesc_size);
            if let Some(known) = known {
                known.set_up = Some(self.system.uevent_seqnum().unwrap_or(u64::MAX));
                if result.is_ok() {
                    let before = known.exports.clone();
                    result = pins::read_exports(self.system, pinned, &mut known.exports);
                    has_news |= before != known.exports;
                }
            }
            match result {
                Ok(()) => {
                    held.state.resolve(std::slice::from_ref(&pinned.driver));
                    done.push(SetUpReport { device: name.clone(), driver: pinned.driver.clone() });
                }
                // Unplugged meanwhile: its removal is udev's.
                Err(_) if !held.device.is_present() => return Ok(done),
                Err(error) => {
                    held.state.fail(vec![pinned.driver.clone()], &error);
                    failed = Some(error);
                }
            }
        }
        if failed.is_some() || !done.is_empty() {
            held.state.write(self.system)?;
        }
        if has_news {
            held.device.trigger(self.system, true);
        }
        failed.map_or(Ok(done), Err)
    }

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

    /// The devices that have a driver attached, in the order of their names.
    ///
    /// # Errors
    /// bpffs can't be read.
    pub fn attached_devices(&self) -> Result<Vec<HidName>> {
        pins::devices(self.system)
    }

    /// What is known of each device that hidbpf has to do with.
    ///
    /// # Errors
    /// sysfs or a state file can't be read. That only root can look into bpffs is no error: see [`Condition::Unverified`].
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

    /// The devices that a driver is kept off which is for them, by the configuration or by what keeps hidbpf off, with the reasons.
    fn left_off(&self) -> Result<BTreeMap<HidName, BTreeMap<DriverName, String>>> {
        let config = Config::read(self.system);
        let mut left_off: BTreeMap<HidName, BTreeMap<DriverName, String>> = BTreeMap::new();
        let mut devices = Vec::new();
        for device in Device::all(self.system)? {
            let aside = Aside::of(self.system, &device);
            if aside.is_some() || config != Config::default() {
                devices.push((self.own(device)?, aside));
            }
        }
        if devices.is_empty() {
            return Ok(left_off);
        }
        for driver in Catalog::read(self.system).drivers {
            for (own, aside) in &devices {
                // Whoever attaches it by hand knows better.
                let is_attached = || {
                    let state = DeviceState::read(self.system, &own.name).ok().flatten();
                    state.is_some_and(|state| state.drivers.iter().any(|attached| attached.driver == driver.name))
                };
                let aside = || aside.as_ref().filter(|_| driver.manifest.is_automatic() && !is_attached());
                let why = config.wish(&driver.name, own).against().or_else(|| aside().map(ToString::to_string));
                let is_for_it = match judge(&driver.manifest, own) {
                    Verdict::Matches { .. } => true,
                    // Whose descriptor another tool has fixed, its own is not to be had.
                    Verdict::NearMiss { .. } => matches!(aside(), Some(Aside::UdevHidBpf(_))),
                    Verdict::No => false,
                };
                if let (Some(why), true) = (why, is_for_it) {
                    left_off.entry(own.name.clone()).or_default().insert(driver.name.clone(), why);
                }
            }
        }
        Ok(left_off)
    }

    fn status_of(
        &self,
        name: &HidName,
        may_look: bool,
        left_off: BTreeMap<DriverName, String>,
    ) -> Result<DeviceStatus> {
        let device = match Device::open(self.system, name) {
            Ok(device) => Some(device),
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => None,
            Err(error) => return Err(error),
        };
        let state = DeviceState::read(self.system, name)?;
        let pinned = if may_look { pins::of_device(self.system, name)? } else { Vec::new() };
        let own = state.as_ref().and_then(DeviceState::own_rdesc);
        let in_force = match (&device, &own) {
            (Some(device), Some(own)) => device.rdesc != *own,
            _ => true,
        };
        let remembered = state.as_ref().map_or(&[][..], |state| &state.drivers);
        let mut drivers: Vec<DriverStatus> = pinned
            .into_iter()
            .map(|pinned| {
                let known = remembered.iter().find(|known| known.driver == pinned.driver);
                let condition = match known.map(|known| known.change) {
                    Some(Change::Fixed) if !in_force => Condition::NotInForce,
                    _ => Condition::Attached,
                };
                DriverStatus { links: pinned.links, ..driver_status(pinned.driver, known, condition) }
            })
            .collect();
        for known in remembered {
            if !drivers.iter().any(|there| there.driver == known.driver) {
                let condition = if may_look { Condition::Interrupted } else { Condition::Unverified };
                drivers.push(driver_status(known.driver.clone(), Some(known), condition));
            }
        }
        let hid_name = match (&device, &state) {
            (Some(device), _) => device.hid_name.clone(),
            (None, Some(state)) => state.hid_name.clone(),
            (None, None) => String::new(),
        };
        let (taken_off, failures) = state.map(|state| (state.taken_off, state.failures)).unwrap_or_default();
        let present = device.is_some();
        Ok(DeviceStatus { device: name.clone(), hid_name, present, drivers, taken_off, left_off, failures })
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
        loaded: known.and_then(|known| known.loaded.clone()),
        exports: known.map(exported).unwrap_or_default(),
        links: Vec::new(),
    }
}

fn exported(known: &DriverState) -> BTreeMap<String, String> {
    let exports = known.exports.iter();
    exports.filter_map(|exported| Some((exported.export.property.clone(), exported.value.clone()?))).collect()
}

/// Says how a driver becomes one that udev's events may load.
fn with_owner(error: Error) -> Error {
    if error.kind() != ErrorKind::Permission {
        return error;
    }
    error.with_hint("udev's events load what is root's alone: see to owner and mode with `chown root` and `chmod go-w`")
}

fn no_match(driver: &DriverObject, device: &Device, verdict: &Verdict) -> Error {
    let reasons = match verdict {
        Verdict::NearMiss { rules } => rules
            .iter()
            .map(|miss| format!("{}: {}", miss.rule, miss.reasons.join("; ")))
            .collect::<Vec<_>>()
            .join(", "),
        _ => format!("it is for {}", driver.manifest.device),
    };
    Error::new(
        ErrorKind::NoMatch,
        format!("the driver `{}` is not for the device `{}`: {reasons}", driver.name, device.name),
    )
    .with_hint("`--force` attaches it all the same")
}

/// By which rule a driver is attached to a device that has its own descriptor: one of its manifest, or a line of the configuration.
pub(crate) fn rule_for(driver: &DriverObject, own: &Device, wish: &Wish<'_>) -> Result<String> {
    match (judge(&driver.manifest, own), wish) {
        (Verdict::Matches { rule }, _) => Ok(rule),
        (_, Wish::Bound(source)) => Ok(source.to_string()),
        (verdict, _) => Err(no_match(driver, own, &verdict)),
    }
}

fn conflict(device: &Device, rivals: &[DriverName]) -> Error {
    let names: Vec<String> = rivals.iter().map(|name| format!("`{name}`")).collect();
    Error::new(
        ErrorKind::Conflict,
        format!(
            "the drivers {} all fix the descriptor of the device `{}`, and the kernel lets only one do so; none was attached",
            names.join(" and "),
            device.name
        ),
    )
    .with_hint(format!("choose one with `hidbpf load <driver> {}`", device.name))
}

impl<L: Loader> Held<'_, L> {
    pub(crate) fn is_pinned(&self, driver: &DriverName) -> bool {
        self.pinned.iter().any(|pinned| pinned.driver == *driver)
    }

    /// Whether the device has a udev property that the attached driver asks for and was told otherwise. That a property is
    /// missing is no news: those of a node are for a while, when the kernel has probed the device again.
    fn has_news_for(&self, driver: &DriverObject) -> bool {
        let known = self.state.drivers.iter().find(|known| known.driver == driver.name);
        known.is_some_and(|known| {
            let now = self.device.properties(driver.all_properties());
            now.iter().any(|(name, value)| known.properties.get(name) != Some(value))
        })
    }

    /// Reads the udev properties that a driver asks for, once: the node that has them goes when the kernel probes the device again.
    pub(crate) fn keep_properties(&mut self, driver: &DriverObject) {
        let properties = self.device.properties(driver.all_properties());
        self.device = self.device.clone().with_properties(properties);
    }

    /// Attaches a driver, and where it is attached takes it off before: what it was told can't be changed in place.
    pub(crate) fn attach_anew(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        rule: Option<String>,
    ) -> Result<LoadReport> {
        if self.is_pinned(&driver.name) {
            // Once it is off, the kernel probes the device again, and the properties of its nodes are gone: too late to change the way.
            if self.loader.way() == Way::Fast {
                let what = format!("the driver `{}` is to be taken off and attached anew", driver.name);
                return Err(Error::new(ErrorKind::NotFast, what));
            }
            self.detach(&driver.name)?;
            self.device = self.device.read_again(self.system)?;
        }
        self.attach(generation, driver, rule)
    }

    /// Attaches a driver and notes how it went.
    pub(crate) fn attach(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        rule: Option<String>,
    ) -> Result<LoadReport> {
        let device = self.device.name.clone();
        let attached = self.try_attach(generation, driver, rule);
        attached.map_err(|error| error.during(Step::Prepare).on(&device).of(&driver.name))
    }

    fn try_attach(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        rule: Option<String>,
    ) -> Result<LoadReport> {
        if self.is_pinned(&driver.name) {
            return Err(Error::new(
                ErrorKind::AlreadyAttached,
                format!("the driver `{}` is attached to the device `{}` already", driver.name, self.device.name),
            )
            .with_hint(format!("`hidbpf unload {}` takes it off", driver.name)));
        }
        let hooks: Vec<Hook> = driver.hooks_for(generation)?.keys().copied().collect();
        if driver.fixes_descriptor()
            && let Some(holder) = self.descriptor_holder()
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "the drivers `{}` and `{holder}` both fix the descriptor of the device `{}`, and the kernel lets only one do so",
                    driver.name, self.device.name
                ),
            )
            .with_hint(format!("`hidbpf unload {holder} {}` takes the attached one off", self.device.name)));
        }
        let (mut variables, mut wrong) = (BTreeMap::new(), Vec::new());
        if !driver.manifest.options.is_empty() {
            let config = Config::read(self.system);
            let (options, problems) =
                options::resolve(driver, Some(&self.device), &config, &self.state.set_by_hand(&driver.name));
            (variables, wrong) = (options::variables(&options), problems);
        }
        if !driver.manifest.fields.is_empty() {
            // Reports are as the device says, whatever another driver makes of its descriptor.
            let own = self.state.restore(self.device.clone());
            let places = fields::variables(&driver.manifest.fields, &own.rdesc).map_err(|missing| {
                let (driver, device) = (&driver.name, &self.device.name);
                let what = format!("the driver `{driver}` reads {missing}, which the device `{device}` does not have");
                Error::new(ErrorKind::NoMatch, what).with_hint("the driver is not for this device").during(Step::Choose)
            })?;
            variables.extend(places);
        }
        if !variables.is_empty() {
            self.device = self.device.clone().with_variables(variables);
        }
        // Planned before the state is written: a device that can't take the driver yet leaves no trace.
        let plan = match Plan::new(self.loader, self.system, generation, driver, &self.device) {
            Err(error) if error.kind() == ErrorKind::NotReady && self.device.driver.is_none() => return Err(error),
            plan => plan,
        };
        self.state.drivers.retain(|known| known.driver != driver.name);
        self.state.drivers.push(DriverState {
            driver: driver.name.clone(),
            object: driver.path.clone(),
            generation,
            hooks: hooks.clone(),
            rule: rule.clone(),
            change: if hooks.contains(&Hook::RdescFixup) { Change::Fixed } else { Change::NotWanted },
            loaded: Some(self.loader.way()),
            properties: self.device.properties(driver.all_properties()),
            options: driver.option_places(),
            exports: driver.exports(),
            set_up: None,
        });
        // Written before the kernel is asked for anything, so that the device's removal is cleaned up after from now on. It says what is
        // expected, and the pins whether it has come to be; so that as a rule this is all that has to be written.
        self.state.write(self.system)?;
        let written = self.state.clone();
        let result = plan
            .and_then(Plan::probe)
            .and_then(|probed| probed.load())
            .and_then(|loaded| loaded.attach())
            .and_then(|attached| attached.verify())
            .and_then(|verified| verified.set_up())
            .and_then(|ready| ready.pin())
            .and_then(|(change, pinned)| {
                let mut exports = driver.exports();
                if let Err(error) = pins::read_exports(self.system, &pinned, &mut exports) {
                    pins::unpin(self.system, &self.device.name, &driver.name)?;
                    return Err(error.during(Step::SetUp));
                }
                Ok((change, pinned, exports))
            });
        match result {
            Ok((change, pinned, exports)) => {
                let has_news = !exports.is_empty();
                if let Some(known) = self.state.drivers.iter_mut().find(|known| known.driver == driver.name) {
                    known.change = change;
                    known.exports = exports;
                    known.set_up = driver.has_setup.then(|| self.system.uevent_seqnum().unwrap_or(u64::MAX));
                }
                self.state.resolve(std::slice::from_ref(&driver.name));
                self.state.taken_off.retain(|taken| *taken != driver.name);
                self.note_wrong_options(driver, wrong);
                if self.state != written
                    && let Err(error) = self.state.write(self.system)
                {
                    // The fixed descriptor would be taken for the device's own from now on.
                    pins::unpin(self.system, &self.device.name, &driver.name)?;
                    return Err(error);
                }
                self.pinned.push(pinned);
                if has_news {
                    self.device.trigger(self.system, true);
                }
                Ok(LoadReport {
                    device: self.device.name.clone(),
                    hid_name: self.device.hid_name.clone(),
                    driver: driver.name.clone(),
                    rule,
                    generation,
                    change,
                    hooks,
                    set_up: driver.has_setup,
                })
            }
            Err(error) => {
                pins::discard(self.system, &self.device.name);
                self.state.drivers.retain(|known| known.driver != driver.name);
                if error.kind() == ErrorKind::Gone || !self.device.is_present() {
                    pins::unpin_all(self.system, &self.device.name)?;
                    DeviceState::forget(self.system, &self.device.name)?;
                } else if self.loader.way() == Way::Fast && error.kind() == ErrorKind::NotFixed {
                    // The other way may do better, and finds more words for it if it does not.
                    let what =
                        format!("the driver `{}` did not do its work when it was attached the fast way", driver.name);
                    return Err(Error::because(ErrorKind::NotFast, what, error));
                } else if error.kind() != ErrorKind::NotFast {
                    self.state.fail(vec![driver.name.clone()], &error);
                    // What failed first is told, whether or not it could be written down.
                    if let Err(unwritten) = self.state.write(self.system) {
                        tracing::warn!("{unwritten}");
                    }
                }
                Err(error)
            }
        }
    }

    /// Has it seen in the status that an option is set to what it can't be.
    pub(crate) fn note_wrong_options(&mut self, driver: &DriverObject, wrong: Vec<String>) {
        if !wrong.is_empty() {
            let error = Error::new(ErrorKind::Config, wrong.join("; "))
                .with_hint(format!("what is wrong is passed over; `hidbpf get {}` shows what holds", driver.name));
            tracing::error!("{error}");
            self.state.fail(vec![driver.name.clone()], &error);
        }
    }

    /// The attached driver that fixes the descriptor.
    fn descriptor_holder(&self) -> Option<&DriverName> {
        self.pinned.iter().map(|pinned| &pinned.driver).find(|pinned| {
            let known = self.state.drivers.iter().find(|known| known.driver == **pinned);
            // Of a driver that nothing is known about the safe guess is that it does.
            known.is_none_or(|known| known.hooks.contains(&Hook::RdescFixup))
        })
    }

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
