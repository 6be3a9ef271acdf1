//! The installed drivers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::driver::object::DriverObject;
use crate::error::{Error, ErrorKind, Result};
use crate::names::{DriverName, OBJECT_SUFFIX};
use crate::system::System;
use crate::text::Printable;

/// The installed drivers.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The drivers, sorted by name. If two directories have a driver of the same name, the earlier directory wins.
    pub drivers: Vec<DriverObject>,
    /// The errors of objects that could not be read.
    pub problems: Vec<Error>,
}

impl Catalog {
    /// Reads all drivers in the system's directories. [`Catalog::problems`] has the errors.
    pub fn read(system: &System) -> Catalog {
        Catalog::read_each(system, DriverObject::read)
    }

    /// Reads only objects that only root can have written: [`DriverObject::read_trusted`].
    pub fn read_trusted(system: &System) -> Catalog {
        Catalog::read_each(system, DriverObject::read_trusted)
    }

    fn read_each(system: &System, read: fn(&Path) -> Result<DriverObject>) -> Catalog {
        let mut found: BTreeMap<DriverName, DriverObject> = BTreeMap::new();
        let mut problems = Vec::new();
        for dir in &system.driver_dirs {
            let entries = match fs::read_dir(dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let what = format!("failed to list the drivers in `{}`", dir.display());
                    problems.push(Error::because(ErrorKind::Io, what, error));
                    continue;
                }
            };
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            let mut here: BTreeMap<DriverName, DriverObject> = BTreeMap::new();
            for path in paths {
                match read_named(&path, read) {
                    Some(Ok(driver)) => {
                        let driver = match here.remove(&driver.name) {
                            Some(other) => other.and_version(driver),
                            None => driver,
                        };
                        here.insert(driver.name.clone(), driver);
                    }
                    Some(Err(error)) => problems.push(error),
                    None => {}
                }
            }
            for (name, driver) in here {
                found.entry(name).or_insert(driver);
            }
        }
        Catalog { drivers: found.into_values().collect(), problems }
    }

    /// Reads one driver, if it is installed: [`System::find_driver`].
    ///
    /// # Errors
    /// The object can't be read.
    pub fn find(system: &System, name: &DriverName) -> Option<Result<DriverObject>> {
        Catalog::find_with(system, name, DriverObject::read)
    }

    /// Reads one driver, if it is installed, from objects that only root can have written.
    ///
    /// # Errors
    /// The object can't be read, or others can write it.
    pub fn find_trusted(system: &System, name: &DriverName) -> Option<Result<DriverObject>> {
        Catalog::find_with(system, name, DriverObject::read_trusted)
    }

    fn find_with(
        system: &System,
        name: &DriverName,
        read: fn(&Path) -> Result<DriverObject>,
    ) -> Option<Result<DriverObject>> {
        let paths = system.find_objects(name);
        let mut versions = paths.iter().filter_map(|path| read_named(path, read));
        let newest = versions.next()?;
        Some(newest.and_then(|newest| versions.try_fold(newest, |newest, older| Ok(newest.and_version(older?)))))
    }

    /// Returns the driver with a name.
    ///
    /// # Errors
    /// The driver does not exist. The error lists similar names.
    pub fn get(&self, name: &str) -> Result<&DriverObject> {
        self.drivers.iter().find(|driver| driver.name.as_str() == name).ok_or_else(|| {
            let near: Vec<&str> = self
                .drivers
                .iter()
                .map(|driver| driver.name.as_str())
                .filter(|known| name.split('-').any(|part| part.len() > 2 && known.contains(part)))
                .collect();
            let hint = match (near.as_slice(), self.drivers.is_empty()) {
                (_, true) => "no drivers are installed; `--drivers DIR` names a directory of drivers".to_owned(),
                ([], _) => "`hidbpf drivers` lists the drivers".to_owned(),
                (near, _) => format!("did you mean {}? `hidbpf drivers` lists all", near.join(" or ")),
            };
            Error::new(ErrorKind::NoDriver, format!("there is no driver `{}`", Printable(name))).with_hint(hint)
        })
    }
}

/// Reads the driver in a file of a drivers' directory.
///
/// The file must have the driver's name, so that udev's events find it. A foreign object gets its name from its file.
/// Returns `None` for other files.
fn read_named(path: &Path, read: fn(&Path) -> Result<DriverObject>) -> Option<Result<DriverObject>> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let misnamed = |what: String, name: &str| {
        let hint = format!("rename it: `{name}{OBJECT_SUFFIX}`");
        Error::new(ErrorKind::BadObject, format!("`{}` is passed over: {what}", path.display())).with_hint(hint)
    };
    let Some(stem) = name.strip_suffix(OBJECT_SUFFIX) else {
        let what = || format!("a driver's file has a name that ends with `{OBJECT_SUFFIX}`");
        return name.strip_suffix(".o").map(|stem| Err(misnamed(what(), stem)));
    };
    Some(read(path).and_then(|driver| {
        if driver.name.as_str() == stem || driver.origin.is_foreign() {
            return Ok(driver);
        }
        Err(misnamed(format!("the driver in it is called `{}`", driver.name), driver.name.as_str()))
    }))
}
