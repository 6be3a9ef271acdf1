//! The operation that udev requests when a HID device appears or is bound.

use std::collections::BTreeSet;
use std::path::Path;

use super::{AddReport, Manager, Query};
use crate::config::Config;
use crate::device::exclusion::Exclusion;
use crate::driver::catalog::Catalog;
use crate::driver::object::DriverObject;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::load::loader::Loader;
use crate::names::DriverName;
use crate::policy::{Asked, Decision, Reason};

/// The event of a device, as in udev's `ACTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The device appeared, a program asked udev to process it again, or its properties changed.
    Add,
    /// A kernel driver was bound to it.
    Bind,
}

impl Event {
    /// Returns the event for which udev's rules started this process.
    pub fn of_environment() -> Event {
        if std::env::var_os("ACTION").is_some_and(|action| action == "bind") { Event::Bind } else { Event::Add }
    }
}

impl<L: Loader> Manager<'_, L> {
    /// Attaches the drivers that a device should have now.
    ///
    /// udev requests this when a HID device appears and when a kernel driver is bound to it. It also does so when one
    /// of the device's nodes brings new udev properties. `path` may be the path of such a node. `named` lists the
    /// drivers that the hwdb names. If it is empty, all installed drivers are considered. A driver is reattached if the
    /// properties that it was given have changed.
    ///
    /// # Errors
    /// Nothing was tried: the device's lock or state is not accessible, or this kernel has no HID-BPF.
    pub fn add(&self, path: &Path, named: &[DriverName], event: Event) -> Result<AddReport> {
        let mut report = AddReport::default();
        let name = HidName::of_path(path)?;
        // If nothing can be read, only the driver names from udev's hwdb are known.
        let blame = |error: Error| match named {
            [only] => error.on(&name).of(only),
            _ => error.on(&name),
        };
        let generation = self.generation().map_err(|error| blame(error.during(Step::Prepare)))?;
        let mut locked = match self.lock_device_at(&name, path) {
            Ok(locked) => locked,
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => {
                report.notes.push(format!("the device `{name}` has gone"));
                return Ok(report);
            }
            Err(error) => return Err(blame(error)),
        };
        let exclusion = Exclusion::of(self.system, &locked.device);
        // `crate::policy` checks this again for each driver. Checking it here avoids reading any driver.
        if let Some(exclusion) = exclusion {
            report.notes.push(format!("the device `{name}` is left alone: {exclusion}"));
            return Ok(report);
        }
        let config = Config::read(self.system);
        report.failed.extend(config.problems.iter().map(|problem| problem.error().during(Step::Choose).on(&name)));
        let (drivers, unreadable) = self.automatic(named, &config.wanted(&locked.device));
        for (driver, error) in unreadable {
            let error = error.during(Step::Choose).on(&name);
            let error = driver.iter().fold(error, Error::of);
            if let Some(driver) = driver {
                locked.state.fail(vec![driver], &error);
                locked.write_state()?;
            }
            report.failed.push(error);
        }
        let query = Query { config: &config, generation: Ok(generation), exclusion, just_bound: event == Event::Bind };
        // Before any rule about properties is judged, because the answers are such properties.
        locked.switch_modes(&query, &drivers, |_| Asked::No);
        locked.keep_properties(&drivers);
        let (decisions, unread) = locked.decide(&query, &drivers, |_| Asked::No).into_parts();
        match unread {
            Some(error) if error.kind() == ErrorKind::Gone => {
                report.notes.push(error.to_string());
                return Ok(report);
            }
            Some(error) if error.kind() == ErrorKind::NotFast => {
                report.not_fast = Some(error);
                return Ok(report);
            }
            Some(error) => {
                let lacks_it = |decision: &Decision| matches!(decision, Decision::Leave(Reason::Undecided { .. }));
                let undecided = drivers.iter().zip(&decisions).filter(|(_, decision)| lacks_it(decision));
                locked.state.fail(undecided.map(|(driver, _)| driver.name.clone()).collect(), &error);
                locked.write_state()?;
                report.failed.push(error);
            }
            None => {}
        }
        let (mut wanted, mut waits) = (Vec::new(), false);
        for (driver, decision) in drivers.iter().zip(decisions) {
            match decision {
                Decision::Attach { rule } => wanted.push((driver, rule)),
                Decision::Leave(reason) if reason.is_failure() => {
                    report.failed.push(reason.error(&driver.name, &name).during(Step::Choose));
                }
                Decision::Leave(reason) => {
                    waits |= reason.waits_for_binding();
                    report.notes.push(format!("the driver `{}` is left as it is: {reason}", driver.name));
                }
            }
        }
        for (driver, rule) in wanted {
            match locked.reattach(generation, driver, rule) {
                Ok(attached) => report.attached.push(attached),
                Err(error) if error.kind() == ErrorKind::NotReady && locked.device.driver.is_none() => {
                    waits = true;
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
        if !waits && report.not_fast.is_none() {
            // Those that were switched and have no rule for what the device has told.
            drivers.iter().for_each(|driver| locked.switch_back(driver));
            locked.settle();
        }
        Ok(report)
    }

    /// Reads the drivers that udev attaches automatically, and those that the configuration enables.
    ///
    /// If `named` is not empty, the automatic drivers are only those named. Also returns the errors of unreadable
    /// drivers, with the driver's name if known.
    fn automatic(
        &self,
        named: &[DriverName],
        wanted: &BTreeSet<&DriverName>,
    ) -> (Vec<DriverObject>, Vec<(Option<DriverName>, Error)>) {
        let (mut drivers, mut failed) = (Vec::new(), Vec::new());
        if named.is_empty() {
            let catalog = Catalog::read_trusted(self.system);
            drivers = catalog.drivers;
            failed.extend(catalog.problems.into_iter().map(|error| (None, error)));
        }
        let unnamed = wanted.iter().copied().filter(|name| !named.is_empty() && !named.contains(name));
        for name in named.iter().chain(unnamed) {
            let result = match Catalog::find_trusted(self.system, name) {
                Some(found) => found,
                None if named.contains(name) => Err(Error::new(
                    ErrorKind::NoDriver,
                    format!("udev's hwdb names the driver `{name}`, which is not installed"),
                )
                .with_hint("the hwdb is older than the drivers: run `hidbpf config --apply` as root")),
                // Only the configuration names it, perhaps for another device. `hidbpf doctor` reports that.
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
}
