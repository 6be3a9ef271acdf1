//! Checks the installed drivers and their configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Finding, Grade};
use crate::catalog::Catalog;
use crate::config::{Config, Key, Problem};
use crate::object::DriverObject;
use crate::system::System;
use crate::text::Printable;

pub(super) fn drivers(system: &System, catalog: &Catalog, findings: &mut Vec<Finding>) {
    let dirs: Vec<String> = system.driver_dirs.iter().map(|dir| dir.display().to_string()).collect();
    if catalog.drivers.is_empty() {
        findings.push(Finding::not_good(
            "drivers",
            Grade::Warning,
            format!("no drivers are installed in {}", dirs.join(", ")),
            "install a package of drivers, or copy `.bpf.o` files to /etc/hidbpf/drivers",
        ));
    } else {
        findings.push(Finding::good("drivers", format!("{} installed", catalog.drivers.len())));
    }
    // The helper only loads drivers from these directories.
    let places = System::DRIVER_DIRS.map(Path::new);
    let looked_at_by_udev = |path: &&PathBuf| path.parent().is_some_and(|directory| places.contains(&directory));
    for path in catalog.drivers.iter().map(|driver| &driver.path).filter(looked_at_by_udev) {
        if let Err(error) = DriverObject::check_trusted(path) {
            let message = format!("udev does not attach it: {error}");
            findings.push(Finding::not_good("drivers", Grade::Warning, message, error.hint().unwrap_or_default()));
        }
    }
    for problem in &catalog.problems {
        let remedy = problem.hint().unwrap_or("install the driver again");
        findings.push(Finding::not_good("drivers", Grade::Warning, problem.to_string(), remedy));
    }
}

/// Checks that others can reach the maps that drivers open to them. systemd mounts bpffs for root alone.
pub(super) fn maps(system: &System, catalog: &Catalog) -> Option<Finding> {
    let is_open = |driver: &&DriverObject| driver.manifest.maps.iter().any(|map| map.mode & 0o066 != 0);
    let drivers: Vec<String> =
        catalog.drivers.iter().filter(is_open).map(|driver| format!("`{}`", driver.name)).collect();
    let is_closed = fs::metadata(&system.bpffs).ok()?.permissions().mode() & 0o001 == 0;
    let bpffs = system.bpffs.display();
    (is_closed && !drivers.is_empty()).then(|| {
        let message = format!("only root reaches the maps of {}: others may not pass `{bpffs}`", drivers.join(", "));
        let remedy = format!("`chmod o+x {bpffs}` as root, and a file in /etc/tmpfiles.d to keep that");
        Finding::not_good("maps", Grade::Warning, message, remedy)
    })
}

pub(super) fn configuration(config: &Config, catalog: &Catalog, findings: &mut Vec<Finding>) {
    for error in config.problems.iter().map(Problem::error) {
        let remedy = error.hint().unwrap_or("correct the file").to_owned();
        findings.push(Finding::not_good("configuration", Grade::Warning, error.to_string(), remedy));
    }
    for entry in config.in_force() {
        let Some(driver) = catalog.drivers.iter().find(|driver| driver.name == entry.driver) else {
            let message = format!("{} is about the driver `{}`, which is not installed", entry.source, entry.driver);
            let remedy = "`hidbpf drivers` lists the drivers";
            findings.push(Finding::not_good("configuration", Grade::Warning, message, remedy));
            continue;
        };
        let Key::Option(name) = &entry.key else { continue };
        let why = match driver.manifest.option(name) {
            Some(option) => option.encode(&entry.value).err(),
            None => Some("the driver has no such option".to_owned()),
        };
        if let Some(why) = why {
            let (place, name) = (entry.source.place(), Printable(name));
            let message = format!("{place} sets the option `{name}` of `{}`: {why}", driver.name);
            let remedy = format!("`hidbpf get {}` shows the options", driver.name);
            findings.push(Finding::not_good("configuration", Grade::Warning, message, remedy));
        }
    }
    if !config.files.is_empty() && config.problems.is_empty() {
        let files: Vec<String> = config.files.iter().map(|file| file.display().to_string()).collect();
        findings.push(Finding::good("configuration", files.join(", ")));
    }
}
