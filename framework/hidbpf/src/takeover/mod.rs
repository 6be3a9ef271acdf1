//! Takes over what a machine has of udev-hid-bpf, and gives it back.
//!
//! Both tools attach programs to the same devices, so exactly one of them may act on udev's events. A takeover copies the
//! objects of udev-hid-bpf that hidbpf has no driver for, and hides the udev rules of udev-hid-bpf. A record in
//! [`RECORD`] makes it possible to undo this, and nothing else, even if the package was upgraded or removed meanwhile.

mod change;
mod other;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::compiled;
use crate::config::{ChangeLock, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::install::{directory, is_systems};
use crate::local_hwdb::Renewal;
use crate::manifest::Match;
use crate::names::DriverName;
use crate::object::DriverObject;
use crate::system::System;
use change::{Changes, Content};

/// The file in the directory of the configuration that records a takeover.
pub const RECORD: &str = "udev-hid-bpf.json";

/// The target of a link that hides the udev rules of its name.
const NOTHING: &str = "/dev/null";

/// What a takeover did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The file names of the copied objects.
    objects: BTreeSet<String>,
    /// The links that hide udev rules.
    masks: BTreeSet<PathBuf>,
    /// The udev rules in /etc that were renamed, with such a link in their place.
    renamed: BTreeSet<PathBuf>,
}

impl Record {
    fn path(system: &System) -> PathBuf {
        system.config.join(RECORD)
    }

    fn read(system: &System) -> Result<Option<Record>> {
        let path = Record::path(system);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| {
                Error::permission_or(ErrorKind::Io, format!("failed to read `{}`", path.display()), error)
            })?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::because(ErrorKind::Config, format!("failed to read `{}`", path.display()), error)
                .with_hint("restore the file, or remove it and the links to /dev/null in /etc/udev/rules.d by hand")
        })
    }
}

/// Why an object is not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// hidbpf has its own driver of this name.
    OwnDriver(DriverName),
    /// hidbpf has its own driver that fixes the descriptor of the same device.
    SameDevice(DriverName),
    /// `hidbpf install` has installed another file of this name.
    Installed,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::OwnDriver(name) => write!(f, "hidbpf has a driver `{name}` of its own"),
            LeftOut::SameDevice(name) => write!(f, "hidbpf's driver `{name}` fixes the same device"),
            LeftOut::Installed => f.write_str("`hidbpf install` has installed another file of this name"),
        }
    }
}

/// A pending takeover, or its reversal.
#[derive(Debug)]
pub struct Takeover<'a> {
    system: &'a System,
    is_back: bool,
    changes: Changes,
    /// The objects that are taken over, or were.
    pub objects: Vec<PathBuf>,
    /// The objects that are not taken over, with the reason.
    pub left_out: Vec<(PathBuf, LeftOut)>,
    /// The objects that can't be read.
    pub problems: Vec<Error>,
}

impl<'a> Takeover<'a> {
    /// Prepares to take over everything. If that was done before, prepares what has changed since.
    ///
    /// # Errors
    /// There is nothing to take over, or a file can't be read.
    pub fn new(system: &'a System) -> Result<Takeover<'a>> {
        check_directory(system)?;
        let directory = directory(system)?;
        let old = Record::read(system)?.unwrap_or_default();
        let (found, rules) = (other::objects(system), other::rules(system));
        if found.is_empty() && rules.is_empty() && old == Record::default() {
            let what = "failed to take over from udev-hid-bpf: it has neither objects nor udev rules on this machine";
            return Err(Error::new(ErrorKind::NoMatch, what)
                .with_hint("`hidbpf install FILE` installs an object from elsewhere"));
        }
        let own = own_drivers(system);
        let mut takeover = Takeover::empty(system, false);
        let mut record = Record::default();
        for path in found {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let target = directory.join(&name);
            let driver = match DriverObject::read_trusted(&path) {
                Ok(driver) => driver,
                Err(error) => {
                    takeover.problems.push(error);
                    continue;
                }
            };
            let is_others = !old.objects.contains(&name) && target.symlink_metadata().is_ok();
            let reason = if is_others { Some(LeftOut::Installed) } else { conflict(&driver, &own) };
            match reason {
                Some(reason) => takeover.left_out.push((path, reason)),
                None => {
                    takeover.changes.add(target, Content::File(driver.bytes().to_vec()))?;
                    takeover.objects.push(path);
                    record.objects.insert(name);
                }
            }
        }
        for name in old.objects.difference(&record.objects) {
            takeover.changes.add(directory.join(name), Content::Nothing)?;
        }
        record.masks.clone_from(&old.masks);
        record.renamed.clone_from(&old.renamed);
        for rules in rules {
            match other::mask(system, &rules) {
                Some(mask) => {
                    takeover.changes.add(mask.clone(), Content::Link(NOTHING.into()))?;
                    record.masks.insert(mask);
                }
                None => {
                    takeover.changes.add(other::aside(&rules), Content::read(&rules)?)?;
                    // The file may be there in place of the package's file of the same name, which stays hidden.
                    takeover.changes.add(rules.clone(), Content::Link(NOTHING.into()))?;
                    record.renamed.insert(rules);
                }
            }
        }
        let json = serde_json::to_vec_pretty(&record)
            .map_err(|error| Error::because(ErrorKind::Io, "failed to write the record of the takeover", error))?;
        takeover.changes.add(Record::path(system), Content::File(json))?;
        Ok(takeover)
    }

    /// Prepares to undo the takeover.
    ///
    /// # Errors
    /// There was none, or a file can't be read.
    pub fn back(system: &'a System) -> Result<Takeover<'a>> {
        check_directory(system)?;
        let directory = directory(system)?;
        let record = Record::read(system)?.ok_or_else(|| {
            let what = "failed to return devices to udev-hid-bpf: hidbpf has not taken them over";
            Error::new(ErrorKind::NoMatch, what).with_hint("`hidbpf uninstall DRIVER` removes a single driver")
        })?;
        let mut takeover = Takeover::empty(system, true);
        for name in &record.objects {
            takeover.changes.add(directory.join(name), Content::Nothing)?;
            takeover.objects.push(directory.join(name));
        }
        for mask in &record.masks {
            // The administrator may have put another file there.
            if Content::read(mask)? == Content::Link(NOTHING.into()) {
                takeover.changes.add(mask.clone(), Content::Nothing)?;
            }
        }
        for rules in &record.renamed {
            let kept = Content::read(&other::aside(rules))?;
            let is_ours = [Content::Nothing, Content::Link(NOTHING.into())].contains(&Content::read(rules)?);
            if kept != Content::Nothing && is_ours {
                takeover.changes.add(rules.clone(), kept)?;
                takeover.changes.add(other::aside(rules), Content::Nothing)?;
            }
        }
        takeover.changes.add(Record::path(system), Content::Nothing)?;
        Ok(takeover)
    }

    fn empty(system: &'a System, is_back: bool) -> Takeover<'a> {
        let changes = Changes::default();
        Takeover { system, is_back, changes, objects: Vec::new(), left_out: Vec::new(), problems: Vec::new() }
    }

    /// Returns the paths that change, each with whether something will be there.
    pub fn paths(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.changes.paths()
    }

    /// Makes the change, based on the current files, and tells udev. Returns the drivers that are installed then.
    ///
    /// # Errors
    /// A step failed. The earlier steps were undone.
    pub fn run(&mut self) -> Result<Catalog> {
        let system = self.system;
        let lock = ChangeLock::take(system)?;
        *self = if self.is_back { Takeover::back(system)? } else { Takeover::new(system)? };
        self.changes.make(|| {
            let catalog = Catalog::read(system);
            Renewal::of(system, &catalog, &Config::read(system))?.run(system, &lock)?;
            compiled::reload(system)?;
            Ok(catalog)
        })
    }
}

/// The state of a machine on which both tools may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// hidbpf has not taken over.
    Both,
    /// hidbpf has taken over.
    TakenOver,
    /// hidbpf has taken over, and the objects or the rules of udev-hid-bpf have changed since.
    Outdated,
}

/// Returns whether hidbpf has taken over from udev-hid-bpf.
///
/// # Errors
/// A file can't be read.
pub fn standing(system: &System) -> Result<Standing> {
    if Record::read(system)?.is_none() {
        return Ok(Standing::Both);
    }
    Ok(match Takeover::new(system)?.paths().next() {
        None => Standing::TakenOver,
        Some(_) => Standing::Outdated,
    })
}

/// Returns the objects of udev-hid-bpf that can be read.
pub fn objects(system: &System) -> Vec<DriverObject> {
    other::objects(system).iter().filter_map(|path| DriverObject::read_trusted(path).ok()).collect()
}

/// Returns hidbpf's own drivers, including those that a foreign object of the same name replaces.
fn own_drivers(system: &System) -> Vec<DriverObject> {
    let of =
        |directory: &PathBuf| Catalog::read(&System { driver_dirs: vec![directory.clone()], ..system.clone() }).drivers;
    system.driver_dirs.iter().flat_map(of).filter(|driver| !driver.origin.is_foreign()).collect()
}

/// Returns why an object is left out in favour of a driver of hidbpf's own.
fn conflict(object: &DriverObject, own: &[DriverObject]) -> Option<LeftOut> {
    if let Some(driver) = own.iter().find(|driver| driver.name == object.name) {
        return Some(LeftOut::OwnDriver(driver.name.clone()));
    }
    let is_named = |one: &Match| one.vendor.is_some() && one.product.is_some();
    let ids = |one: &Match| (one.bus, one.vendor, one.product);
    let names_same = |driver: &DriverObject| {
        let mut rules = driver.manifest.matches.iter().filter(|rule| is_named(rule));
        rules.any(|rule| object.manifest.matches.iter().any(|other| ids(other) == ids(rule)))
    };
    let is_rival = |driver: &&DriverObject| {
        driver.manifest.is_automatic() && driver.fixes_descriptor() && object.fixes_descriptor() && names_same(driver)
    };
    own.iter().find(is_rival).map(|driver| LeftOut::SameDevice(driver.name.clone()))
}

fn check_directory(system: &System) -> Result<()> {
    if is_systems(system) {
        return Ok(());
    }
    let what = format!("udev uses only the drivers in `{}`", System::DRIVER_DIRS[0]);
    Err(Error::new(ErrorKind::Config, what).with_hint("leave out `--drivers`"))
}
