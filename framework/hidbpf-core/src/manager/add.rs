//! What udev asks for when a HID device appears or is bound.

use std::collections::BTreeSet;
use std::path::Path;

use super::{AddReport, Manager, conflict, rule_for};
use crate::aside::Aside;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidName;
use crate::loader::Loader;
use crate::manifest::DriverName;
use crate::object::DriverObject;

impl<L: Loader> Manager<'_, L> {
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
            failed.extend(catalog.problems.into_iter().map(|error| (None, error)));
        }
        let unnamed = wanted.iter().copied().filter(|name| !named.is_empty() && !named.contains(name));
        for name in named.iter().chain(unnamed) {
            let result = match self.system.find_driver(name) {
                Some(path) => DriverObject::read_trusted(&path),
                None if named.contains(name) => Err(Error::new(
                    ErrorKind::NoDriver,
                    format!("udev's hwdb names the driver `{name}`, which is not installed"),
                )
                .with_hint("the hwdb is older than the drivers: run `hidbpf config --apply` as root")),
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
}
