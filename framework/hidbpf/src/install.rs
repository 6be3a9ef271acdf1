//! Installs local drivers, and removes them: the object in the administrator's directory, and udev's data about it.
//! Each change is atomic.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::config::{ChangeLock, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::etc;
use crate::local_hwdb::Renewal;
use crate::names::DriverName;
use crate::object::DriverObject;
use crate::system::System;

/// A pending change of the installed drivers.
#[derive(Debug)]
pub struct InstallChange<'a> {
    system: &'a System,
    name: DriverName,
    /// The driver to install, or `None` to remove it.
    driver: Option<DriverObject>,
    /// The paths of the driver's objects, now or after the change. Only a foreign driver has several.
    pub targets: Vec<PathBuf>,
    /// The previous objects at these paths, or `None` where there is none.
    old: Vec<Option<Vec<u8>>>,
    /// The installed drivers after the change.
    pub catalog: Catalog,
    /// The change to udev's hwdb, or `None` if udev doesn't use the directory.
    pub renewal: Option<Renewal>,
}

impl<'a> InstallChange<'a> {
    /// Prepares to install a driver. It replaces another version of the driver if there is one.
    ///
    /// # Errors
    /// The installed object can't be read.
    pub fn install(system: &'a System, driver: &DriverObject) -> Result<InstallChange<'a>> {
        let directory = directory(system)?;
        let target = match driver.path.file_name() {
            // Its file name has the number of its version.
            Some(name) if driver.origin.is_foreign() => directory.join(name),
            _ => System::object_in(directory, &driver.name),
        };
        let mut installed = DriverObject { versions: Vec::new(), ..driver.clone() };
        installed.file.path.clone_from(&target);
        let mut catalog = Catalog::read(system);
        let there = catalog.drivers.iter().position(|other| other.name == driver.name);
        if let Some(there) = there.map(|at| catalog.drivers.remove(at)) {
            let is_version = |other: &DriverObject| {
                let is_beside = other.path.starts_with(directory) && other.path != target;
                is_beside && other.origin.is_foreign() && driver.origin.is_foreign()
            };
            for other in there.into_versions().filter(is_version) {
                installed = installed.and_version(other);
            }
        }
        catalog.drivers.push(installed);
        catalog.drivers.sort_by(|one, other| one.name.cmp(&other.name));
        InstallChange::new(system, &driver.name, Some(driver), vec![target], catalog)
    }

    /// Prepares to remove a driver that was installed this way.
    ///
    /// # Errors
    /// It wasn't: no driver has this name, or it belongs to a package.
    pub fn uninstall(system: &'a System, name: &DriverName) -> Result<InstallChange<'a>> {
        let directory = directory(system)?;
        let mut targets = system.find_objects(name);
        targets.retain(|path| path.starts_with(directory) && path.exists());
        if targets.is_empty() {
            return Err(match system.find_driver(name) {
                Some(path) => {
                    let what = format!(
                        "the driver `{name}` was not installed by `hidbpf install`: it is in `{}`",
                        path.display()
                    );
                    Error::new(ErrorKind::NoDriver, what)
                        .with_hint(format!("`hidbpf disable {name}` leaves it off; its package removes it"))
                }
                None => Error::new(ErrorKind::NoDriver, format!("there is no driver `{name}`"))
                    .with_hint("`hidbpf drivers` lists the drivers"),
            });
        }
        // A package's driver with the same name applies again.
        let below = System { driver_dirs: system.driver_dirs.iter().skip(1).cloned().collect(), ..system.clone() };
        let mut catalog = Catalog::read(system);
        catalog.drivers.retain(|driver| driver.name != *name);
        if let Some(driver) = Catalog::find(&below, name) {
            catalog.drivers.push(driver?);
        }
        InstallChange::new(system, name, None, targets, catalog)
    }

    fn new(
        system: &'a System,
        name: &DriverName,
        driver: Option<&DriverObject>,
        targets: Vec<PathBuf>,
        catalog: Catalog,
    ) -> Result<InstallChange<'a>> {
        let read = |target: &PathBuf| match fs::read(target) {
            Ok(old) => Ok(Some(old)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let what = format!("failed to read `{}`", target.display());
                Err(Error::permission_or(ErrorKind::Io, what, error))
            }
        };
        let old = targets.iter().map(read).collect::<Result<_>>()?;
        let renewal = match is_systems(system) {
            true => Some(Renewal::of(system, &catalog, &Config::read(system))?),
            false => None,
        };
        Ok(InstallChange { system, name: name.clone(), driver: driver.cloned(), targets, old, catalog, renewal })
    }

    /// Returns whether the change replaces another version of the driver.
    pub fn replaces(&self) -> bool {
        self.old.iter().any(Option::is_some) && self.driver.is_some()
    }

    /// Makes the change, based on the current drivers and configuration. Another process may have changed these since
    /// the change was prepared.
    ///
    /// # Errors
    /// A step failed. The earlier steps were undone.
    pub fn run(&mut self) -> Result<()> {
        let lock = lock(self.system)?;
        *self = match &self.driver {
            Some(driver) => InstallChange::install(self.system, driver)?,
            None => InstallChange::uninstall(self.system, &self.name)?,
        };
        let rest = || -> Result<()> {
            for target in &self.targets {
                etc::put(target, self.driver.as_ref().map(|driver| driver.bytes()))?;
                // Don't install a driver that the helper would refuse.
                if self.driver.is_some() && is_systems(self.system) {
                    DriverObject::read_trusted(target)?;
                }
            }
            self.renewal.as_ref().map_or(Ok(()), |renewal| renewal.run(self.system, &lock))
        };
        let undo = || self.targets.iter().zip(&self.old).try_for_each(|(target, old)| etc::put(target, old.as_deref()));
        rest().map_err(|error| match undo() {
            Ok(()) => error,
            Err(undo) => error.with_hint(format!("and it could not be undone: {undo}")),
        })
    }
}

/// Returns whether udev uses the directory that drivers are installed to.
pub fn is_systems(system: &System) -> bool {
    system.driver_dirs.first().map(PathBuf::as_path) == Some(Path::new(System::DRIVER_DIRS[0]))
}

/// Locks the target of an installation: the system's configuration, which udev's hwdb depends on too, or only a
/// separate driver directory.
fn lock(system: &System) -> Result<ChangeLock> {
    match system.driver_dirs.first() {
        Some(directory) if !is_systems(system) => ChangeLock::take_of(directory),
        _ => ChangeLock::take(system),
    }
}

pub(crate) fn directory(system: &System) -> Result<&Path> {
    system.driver_dirs.first().map(PathBuf::as_path).ok_or_else(|| {
        Error::new(ErrorKind::Io, "there is no directory for drivers").with_hint("`--drivers DIR` names one")
    })
}
