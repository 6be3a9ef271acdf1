//! The pins in bpffs, which define what hidbpf has attached.
//!
//! A driver's links are pinned in a staging directory, which is renamed when it is complete. So a driver's directory
//! always holds all of its links, even if the process is killed at any point.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::HidName;
use crate::load::loader::{AttachedLink, KEPT_SECTIONS};
use crate::manifest::exports::Exported;
use crate::manifest::maps::DriverMap;
use crate::manifest::options;
use crate::names::DriverName;
use crate::sys;
use crate::system::System;

/// The name of the staging directory. It is not a valid driver name.
const STAGING: &str = "STAGING";

/// A driver that is pinned to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
    /// The names of its links.
    pub links: Vec<String>,
}

/// Checks that bpffs is mounted, before any step that would have to be undone without it.
///
/// # Errors
/// bpffs is not mounted at its place.
pub fn check_bpffs(system: &System) -> Result<()> {
    /// `BPF_FS_MAGIC`, include/uapi/linux/magic.h.
    const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
    let hint = format!("run `mount -t bpf bpf {}` as root, or let systemd do so at boot", system.bpffs.display());
    let stat = rustix::fs::statfs(&system.bpffs).map_err(|error| {
        let error = io::Error::from(error);
        Error::because(ErrorKind::Bpffs, format!("failed to look at `{}`", system.bpffs.display()), error)
            .with_hint(&hint)
    })?;
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between architectures")]
    let found = stat.f_type as i64;
    if found != BPF_FS_MAGIC {
        return Err(Error::new(ErrorKind::Bpffs, format!("bpffs is not mounted on `{}`", system.bpffs.display()))
            .with_hint(hint));
    }
    Ok(())
}

/// Pins a driver's links, all or none, after [`prepare`].
///
/// `maps` are those that other programs may open.
///
/// # Errors
/// bpffs refused a link. All pins of the attempt were removed.
pub(crate) fn pin(
    system: &System,
    device: &HidName,
    driver: &DriverName,
    links: &[AttachedLink],
    maps: &[DriverMap],
) -> Result<Pinned> {
    let staging = staging(system, device);
    let target = system.driver_pins(device, driver);
    let result = links
        .iter()
        .try_for_each(|attached| {
            let path = staging.join(pin_name(&attached.name));
            sys::pin(attached.link.as_fd(), &path)?;
            let map = maps.iter().find(|map| map.name == attached.name);
            map.map_or(Ok(()), |map| map.open_to_others(system, &path))
        })
        .and_then(|()| fs::rename(&staging, &target));
    result.map_err(|error| {
        // Report the first error. The next attempt clears any remaining pins.
        let _ = clear(&staging);
        Error::because(
            ErrorKind::Bpffs,
            format!("failed to pin the driver `{driver}` of the device `{device}` below `{}`", system.pins().display()),
            error,
        )
        .with_hint("bpffs must be writable; `hidbpf doctor` looks at it")
    })?;
    let links = links.iter().map(|attached| pin_name(&attached.name)).filter(|name| !is_data(name)).collect();
    Ok(Pinned { device: device.clone(), driver: driver.clone(), links })
}

fn staging(system: &System, device: &HidName) -> PathBuf {
    system.device_pins(device).join(STAGING)
}

/// Returns whether a pin is that of a data section, which is not a link.
fn is_data(pin: &str) -> bool {
    KEPT_SECTIONS.iter().any(|section| pin == pin_name(section))
}

/// Creates the empty staging directory. This shows that bpffs is writable before anything is attached.
///
/// # Errors
/// bpffs can't be written.
pub(crate) fn prepare(system: &System, device: &HidName) -> Result<()> {
    let staging = staging(system, device);
    // Usually this is the device's first driver: the directory does not exist yet, and one call creates it.
    let made = fs::create_dir_all(system.device_pins(device)).and_then(|()| match fs::create_dir(&staging) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            clear(&staging).and_then(|()| fs::create_dir(&staging))
        }
        made => made,
    });
    made.map_err(|error| {
        let error = Error::permission_or(ErrorKind::Bpffs, format!("failed to create `{}`", staging.display()), error);
        let hint = match error.kind() {
            ErrorKind::Permission => "run the command as root, for example with sudo",
            _ => "bpffs must be mounted and writable; `hidbpf doctor` looks at it",
        };
        error.with_hint(hint)
    })
}

/// Opens one of a driver's pins.
///
/// # Errors
/// The pin does not exist.
pub(crate) fn open(system: &System, pinned: &Pinned, name: &str) -> Result<OwnedFd> {
    let path = system.driver_pins(&pinned.device, &pinned.driver).join(pin_name(name));
    sys::open_pinned(&path).map_err(|error| {
        Error::permission_or(ErrorKind::Bpffs, format!("failed to open the pin `{}`", path.display()), error)
            .with_hint("run the command as root, for example with sudo")
    })
}

/// Removes the result of [`prepare`], and the device's directory if it is empty.
pub(crate) fn discard(system: &System, device: &HidName) {
    // Best effort: the next attempt clears any remains, and so does the cleanup when the device is unplugged.
    let _ = clear(&staging(system, device));
    let _ = fs::remove_dir(system.device_pins(device));
}

/// The options of an attached driver, as its programs see them: the bytes of [`options::SECTION`].
#[derive(Debug)]
pub struct PinnedOptions {
    map: sys::Map,
    path: PathBuf,
}

impl PinnedOptions {
    /// Opens the options. Returns `None` if the driver has none, or is not attached.
    ///
    /// # Errors
    /// The options exist, but this process may not open them.
    pub fn open(system: &System, device: &HidName, driver: &DriverName) -> Result<Option<PinnedOptions>> {
        let path = system.driver_pins(device, driver).join(pin_name(options::SECTION));
        match sys::open_pinned(&path).and_then(sys::Map::of_data) {
            Ok(map) => Ok(Some(PinnedOptions { map, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let what = format!("failed to open the options `{}`", path.display());
                Err(Error::permission_or(ErrorKind::Bpffs, what, error)
                    .with_hint("run the command as root, for example with sudo"))
            }
        }
    }

    /// Returns all bytes of the options.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn read(&self) -> Result<Vec<u8>> {
        self.map.read().map_err(|error| self.failed("read", error))
    }

    /// Replaces all bytes of the options. The programs see them at their next run.
    ///
    /// # Errors
    /// The kernel refuses, or the number of bytes differs.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        self.map.write(bytes).map_err(|error| self.failed("write", error))
    }

    fn failed(&self, verb: &str, error: io::Error) -> Error {
        Error::because(ErrorKind::Bpffs, format!("failed to {verb} the options `{}`", self.path.display()), error)
    }
}

/// Reads the values that a driver exports, as its programs have written them.
///
/// # Errors
/// The pin does not exist, or the kernel refuses.
pub(crate) fn read_exports(system: &System, pinned: &Pinned, exported: &mut [Exported]) -> Result<()> {
    let what =
        || format!("failed to read what the driver `{}` exports of the device `{}`", pinned.driver, pinned.device);
    let mut maps: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for exported in exported {
        if !maps.contains_key(exported.map()) {
            let map = open(system, pinned, exported.map())?;
            let bytes = sys::Map::of_data(map).and_then(|map| map.read());
            let bytes = bytes.map_err(|error| Error::because(ErrorKind::Bpffs, what(), error))?;
            maps.insert(exported.map().to_owned(), bytes);
        }
        if !maps.get(exported.map()).is_some_and(|bytes| exported.take(bytes)) {
            return Err(Error::new(ErrorKind::BadObject, format!("{}: it is not where it was", what()))
                .with_hint("`hidbpf reload` attaches the driver as it is installed now"));
        }
    }
    Ok(())
}

/// Replaces the bytes that bpffs does not accept in a name.
pub(crate) fn pin_name(name: &str) -> String {
    name.replace(['.', '/'], "_")
}

/// Removes a directory of pins, which detaches everything that only the pins kept attached.
///
/// It is not an error if the directory does not exist.
fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes the pins of a driver on a device. Returns whether there were any.
///
/// # Errors
/// A pin exists but can't be removed.
pub(crate) fn unpin(system: &System, device: &HidName, driver: &DriverName) -> Result<bool> {
    let dir = system.driver_pins(device, driver);
    let was_there = dir.exists();
    clear(&dir).map_err(|error| cannot_remove(&dir, error))?;
    let _ = fs::remove_dir(system.device_pins(device));
    Ok(was_there)
}

/// Removes all pins of a device, including incomplete ones.
///
/// # Errors
/// A pin exists but can't be removed.
pub(crate) fn unpin_all(system: &System, device: &HidName) -> Result<()> {
    let dir = system.device_pins(device);
    clear(&dir).map_err(|error| cannot_remove(&dir, error))
}

fn cannot_remove(dir: &Path, error: io::Error) -> Error {
    Error::permission_or(ErrorKind::Bpffs, format!("failed to remove the pins `{}`", dir.display()), error)
        .with_hint("run the command as root, for example with sudo")
}

/// Returns the drivers that are pinned to a device.
///
/// # Errors
/// bpffs can't be read.
pub fn of_device(system: &System, device: &HidName) -> Result<Vec<Pinned>> {
    let dir = system.device_pins(device);
    let mut pinned = Vec::new();
    for path in list(&dir)? {
        let Some(driver) = path.file_name().and_then(|name| name.to_str()).and_then(|name| DriverName::new(name).ok())
        else {
            continue;
        };
        let links = list(&path)?.into_iter().filter_map(|link| link.file_name()?.to_str().map(str::to_owned));
        let links = links.filter(|name| !is_data(name)).collect();
        pinned.push(Pinned { device: device.clone(), driver, links });
    }
    Ok(pinned)
}

/// Returns the devices that have pins, connected or not.
///
/// # Errors
/// bpffs can't be read.
pub fn devices(system: &System) -> Result<Vec<HidName>> {
    let entries = list(&system.pins())?;
    Ok(entries.iter().filter_map(|path| HidName::from_pin_name(path.file_name()?.to_str()?)).collect())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let fail = |error: io::Error| {
        let error = Error::permission_or(ErrorKind::Io, format!("failed to list `{}`", dir.display()), error);
        match error.kind() {
            ErrorKind::Permission => error.with_hint("only root can look into bpffs; use sudo"),
            _ => error,
        }
    };
    match fs::read_dir(dir) {
        Ok(entries) => {
            let mut paths =
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>().map_err(fail)?;
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(fail(error)),
    }
}
