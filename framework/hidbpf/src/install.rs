//! Installs drivers from elsewhere on this machine, and removes them again: the object in the administrator's directory, and what udev has
//! to know of it. All of it or nothing.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::catalog::Catalog;
use crate::config::{ChangeLock, Config, write_whole};
use crate::error::{Error, ErrorKind, Result};
use crate::local::Renewal;
use crate::names::DriverName;
use crate::object::DriverObject;
use crate::system::System;

/// A change of the installed drivers that is about to be made.
#[derive(Debug)]
pub struct Change<'a> {
    system: &'a System,
    name: DriverName,
    /// What is installed; `None` if the driver is removed.
    driver: Option<DriverObject>,
    /// The driver's object, where it is or will be.
    pub target: PathBuf,
    /// What it was before; `None` for nothing.
    old: Option<Vec<u8>>,
    /// The drivers that are installed afterwards.
    pub catalog: Catalog,
    /// What happens to udev's hwdb; `None` where udev does not go by the directory.
    pub renewal: Option<Renewal>,
}

impl<'a> Change<'a> {
    /// A driver is installed, in place of another version of it where there is one.
    ///
    /// # Errors
    /// What is there can't be read.
    pub fn install(system: &'a System, driver: &DriverObject) -> Result<Change<'a>> {
        let target = target(system, &driver.name)?;
        let mut installed = driver.clone();
        installed.file.path.clone_from(&target);
        let mut catalog = Catalog::read(system);
        catalog.drivers.retain(|other| other.name != driver.name);
        catalog.drivers.push(installed);
        catalog.drivers.sort_by(|one, other| one.name.cmp(&other.name));
        Change::new(system, &driver.name, Some(driver), target, catalog)
    }

    /// A driver is removed that was installed in this way.
    ///
    /// # Errors
    /// It was not: there is none of the name, or it belongs to a package.
    pub fn uninstall(system: &'a System, name: &DriverName) -> Result<Change<'a>> {
        let target = target(system, name)?;
        if !target.exists() {
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
        // Another one of the name, a package's, is in force again.
        let below = System { driver_dirs: system.driver_dirs.iter().skip(1).cloned().collect(), ..system.clone() };
        let mut catalog = Catalog::read(system);
        catalog.drivers.retain(|driver| driver.name != *name);
        if let Some(path) = below.find_driver(name) {
            catalog.drivers.push(DriverObject::read(&path)?);
        }
        Change::new(system, name, None, target, catalog)
    }

    fn new(
        system: &'a System,
        name: &DriverName,
        driver: Option<&DriverObject>,
        target: PathBuf,
        catalog: Catalog,
    ) -> Result<Change<'a>> {
        let old = match fs::read(&target) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let what = format!("failed to read `{}`", target.display());
                return Err(Error::permission_or(ErrorKind::Io, what, error));
            }
        };
        let renewal = match is_systems(system) {
            true => Some(Renewal::of(system, &catalog, &Config::read(system))?),
            false => None,
        };
        Ok(Change { system, name: name.clone(), driver: driver.cloned(), target, old, catalog, renewal })
    }

    /// Whether there is another version of the driver.
    pub fn replaces(&self) -> bool {
        self.old.is_some() && self.driver.is_some()
    }

    /// Makes the change, by what is installed and configured at this time: another process may have changed that since this was made.
    ///
    /// # Errors
    /// A step fails; all before it was undone.
    pub fn run(&mut self) -> Result<()> {
        let lock = lock(self.system)?;
        *self = match &self.driver {
            Some(driver) => Change::install(self.system, driver)?,
            None => Change::uninstall(self.system, &self.name)?,
        };
        put(&self.target, self.driver.as_ref().map(|driver| driver.bytes()))?;
        let rest = || -> Result<()> {
            // What udev's helper would not take is not installed.
            if self.driver.is_some() && is_systems(self.system) {
                DriverObject::read_trusted(&self.target)?;
            }
            self.renewal.as_ref().map_or(Ok(()), |renewal| renewal.run(self.system, &lock))
        };
        rest().map_err(|error| match put(&self.target, self.old.as_deref()) {
            Ok(()) => error,
            Err(undo) => error.with_hint(format!("and it could not be undone: {undo}")),
        })
    }
}

/// Whether udev goes by the directory that drivers are installed to.
pub fn is_systems(system: &System) -> bool {
    system.driver_dirs.first().map(PathBuf::as_path) == Some(Path::new(System::DRIVER_DIRS[0]))
}

/// Locks what a driver is installed to: the system's configuration, which udev's hwdb is made of too, or another directory of drivers alone.
fn lock(system: &System) -> Result<ChangeLock> {
    match system.driver_dirs.first() {
        Some(directory) if !is_systems(system) => ChangeLock::take_of(directory),
        _ => ChangeLock::take(system),
    }
}

fn target(system: &System, name: &DriverName) -> Result<PathBuf> {
    let directory = system.driver_dirs.first().ok_or_else(|| {
        Error::new(ErrorKind::Io, "there is no directory for drivers").with_hint("`--drivers DIR` names one")
    })?;
    Ok(System::object_in(directory, name))
}

fn put(target: &Path, bytes: Option<&[u8]>) -> Result<()> {
    let write = || match bytes {
        Some(bytes) => {
            if let Some(directory) = target.parent() {
                DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
            }
            write_whole(target, bytes, 0o644)
        }
        None => match fs::remove_file(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    write().map_err(|error| {
        let verb = if bytes.is_some() { "write" } else { "remove" };
        Error::permission_or(ErrorKind::Io, format!("failed to {verb} `{}`", target.display()), error)
            .with_hint("/etc must be writable, and this must run as root, for example with sudo")
    })
}
