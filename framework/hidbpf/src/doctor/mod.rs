//! Finds out why this machine, or one device, isn't fixed. Returns findings, each with a hint.

mod built;
mod device;
mod drivers;
mod kernel;
mod places;
mod udev;
mod usb;

use serde::Serialize;

pub use self::device::examine_device;
pub use self::usb::examine_usb;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::system::System;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The name of the check: `kernel`, `bpffs`, `rules`.
    pub check: &'static str,
    /// Its grade.
    pub grade: Grade,
    /// The result in words.
    pub message: String,
    /// The hint, as a sentence or command.
    pub remedy: Option<String>,
}

/// The grade of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Everything is fine.
    Good,
    /// Something doesn't work, or only for some users or devices.
    Warning,
    /// No device can be fixed.
    Bad,
}

impl Finding {
    fn good(check: &'static str, message: impl Into<String>) -> Finding {
        Finding { check, grade: Grade::Good, message: message.into(), remedy: None }
    }

    fn not_good(check: &'static str, grade: Grade, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, grade, message: message.into(), remedy: Some(remedy.into()) }
    }
}

/// Runs all checks. A check that can't be made is a finding too.
pub fn examine(system: &System) -> Vec<Finding> {
    let mut findings = Vec::new();
    let generation = kernel::kernel(system, &mut findings);
    if let Some(generation) = generation {
        findings.push(kernel::privileges(generation));
        findings.push(kernel::programs(system, generation));
    }
    findings.push(places::bpffs(system));
    findings.push(places::run(system));
    findings.extend(kernel::lockdown(system));
    findings.push(kernel::hid_core(system));
    findings.push(places::own_libbpf());
    let catalog = Catalog::read(system);
    drivers::drivers(system, &catalog, &mut findings);
    findings.extend(drivers::maps(system, &catalog));
    findings.push(udev::rules(system));
    findings.push(udev::udev(system));
    let config = Config::read(system);
    drivers::configuration(&config, &catalog, &mut findings);
    findings.extend(udev::hwdb_files(system, &catalog, &config));
    findings.push(udev::compiled_hwdb(system, &catalog, &config));
    findings.extend(places::udev_hid_bpf(system));
    device::devices(system, &mut findings);
    findings.extend(usb::examine_all(system));
    findings
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    pub(super) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System {
            root: root.path().to_owned(),
            sysfs: root.path().join("sys"),
            run: root.path().join("run/hidbpf"),
            ..System::default()
        };
        (root, system)
    }
}
