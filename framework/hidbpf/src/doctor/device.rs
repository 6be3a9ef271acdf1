//! Checks one device: its drivers, why each is attached or not, and whether the device is fixed.

use super::kernel::kernel;
use super::{Finding, Grade};
use crate::catalog::Catalog;
use crate::config::{Config, Problem};
use crate::descriptors::NoCurrent;
use crate::device::Device;
use crate::effect::DescriptorEffect;
use crate::error::Result;
use crate::exclusion::Exclusion;
use crate::hwdb;
use crate::ids::HidName;
use crate::kernel_log;
use crate::manager::{Condition, DeviceStatus, DriverStatus, Manager};
use crate::names::DriverName;
use crate::object::DriverObject;
use crate::other_programs;
use crate::policy::{Decision, Reason};
use crate::system::System;
use crate::text::Printable;

/// The driver for devices whose reports the kernel drops because they are too short.
const PADDING_DRIVER: &str = "pad-short-reports";

/// Checks one device: its drivers, why each is attached or not, and whether the device is fixed.
///
/// # Errors
/// The attached drivers can't be determined.
pub fn examine_device(system: &System, device: &Device) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    kernel(system, &mut findings);
    findings.push(kernel_driver(system, device)?);
    let exclusion = Exclusion::of(system, device);
    if let Some(exclusion) = &exclusion {
        let message = format!("udev's events attach nothing: {exclusion}");
        findings.push(Finding::not_good("device", Grade::Warning, message, exclusion.remedy(&device.name)));
    }
    let config = Config::read(system);
    for error in config.problems.iter().map(Problem::error) {
        let remedy = error.hint().unwrap_or("correct the file").to_owned();
        findings.push(Finding::not_good("configuration", Grade::Warning, error.to_string(), remedy));
    }
    let manager = Manager::new(system);
    let status = manager.status()?.into_iter().find(|status| status.device == device.name);
    let catalog = Catalog::read(system);
    let decisions = manager.decide(&catalog, &config, device)?;
    let is_listed = |name: &DriverName| catalog.drivers.iter().any(|driver| driver.name == *name);
    let before = findings.len();
    for (driver, decision) in catalog.drivers.iter().zip(decisions) {
        findings.extend(of_driver(driver, &decision, status.as_ref(), device));
    }
    // Drivers that are no longer installed.
    let unlisted = status.iter().flat_map(|status| &status.drivers).filter(|driver| !is_listed(&driver.driver));
    findings.extend(unlisted.map(|driver| condition(driver, device)));
    if findings.len() == before {
        findings.push(Finding::good("drivers", "no installed driver is for it"));
    }
    findings.extend(short_reports(device, status.as_ref(), &catalog));
    findings.extend(others(system, &device.name));
    for failure in status.iter().flat_map(|status| &status.failures) {
        let remedy = failure.hint.as_deref().unwrap_or("unplug the device and plug it in");
        findings.push(Finding::not_good("drivers", Grade::Warning, failure.message.clone(), remedy));
    }
    Ok(findings)
}

/// Checks for reports that the kernel dropped because they were shorter than declared.
fn short_reports(device: &Device, status: Option<&DeviceStatus>, catalog: &Catalog) -> Option<Finding> {
    const CHECK: &str = "reports";
    let dropped = match kernel_log::too_short(&device.name) {
        Ok(dropped) if dropped.is_empty() => return None,
        Ok(dropped) => dropped.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(error) => {
            tracing::debug!("failed to read the kernel's log: {error}");
            return None;
        }
    };
    if let Some(driver) = status.and_then(DeviceStatus::with_event_hook) {
        let message = format!(
            "the kernel dropped short reports: {dropped}; with the event hook of `{}`, it pads them",
            driver.driver
        );
        return Some(Finding::good(CHECK, message));
    }
    let message = format!("the kernel drops reports that are shorter than declared: {dropped}");
    let remedy = match catalog.drivers.iter().find(|driver| driver.name.as_str() == PADDING_DRIVER) {
        Some(driver) => {
            format!("run `hidbpf enable {} {}` as root: the kernel then pads them", driver.name, device.name)
        }
        None => format!("install the driver `{PADDING_DRIVER}`, with which the kernel pads them"),
    };
    Some(Finding::not_good(CHECK, Grade::Warning, message, remedy))
}

/// Checks for programs of others on the device. They change the reports that our drivers receive, or the results of our
/// drivers.
fn others(system: &System, device: &HidName) -> Vec<Finding> {
    const CHECK: &str = "other programs";
    match other_programs::on_device(system, device) {
        Ok(others) => others
            .iter()
            .map(|other| {
                let message = format!(
                    "`{}`, which hidbpf has not attached, is on it too (struct_ops map {}, link {})",
                    Printable(&other.name),
                    other.map_id,
                    other.link_id
                );
                let remedy =
                    format!("`bpftool link show id {}` tells more; who has attached it can take it off", other.link_id);
                Finding::not_good(CHECK, Grade::Warning, message, remedy)
            })
            .collect(),
        Err(error) => vec![Finding::not_good(CHECK, Grade::Warning, error.to_string(), "run hidbpf as root")],
    }
}

fn kernel_driver(system: &System, device: &Device) -> Result<Finding> {
    Ok(match device.driver.as_deref() {
        Some(driver) if ["hid-generic", "hid-multitouch"].contains(&driver) => Finding::good("kernel driver", driver),
        Some(driver) => Finding::good(
            "kernel driver",
            format!(
                "{driver}, a special one: it may deal with the device's reports in its own way, after the drivers here"
            ),
        ),
        None => {
            let why = NoCurrent::of(system, device)?;
            let remedy = match why {
                Some(NoCurrent::Refused(_)) => {
                    "only a driver that fixes the descriptor makes the device work; `hidbpf new` begins one"
                }
                Some(NoCurrent::Unknown) => {
                    "run hidbpf as root, which can read the descriptor; or load the module `hid-generic`"
                }
                _ => "load the module of its kernel driver, or `hid-generic`; `dmesg` says whether one has refused it",
            };
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            Finding::not_good("kernel driver", Grade::Bad, format!("none, so the device can't be used{why}"), remedy)
        }
    })
}

/// Checks a driver that is attached, matches the device, or almost matches it.
fn of_driver(
    driver: &DriverObject,
    decision: &Decision,
    status: Option<&DeviceStatus>,
    device: &Device,
) -> Option<Finding> {
    let name = &driver.name;
    if let Some(known) = status.and_then(|status| status.drivers.iter().find(|known| known.driver == *name)) {
        return Some(condition(known, device));
    }
    match decision {
        // It was attached after the status was read.
        Decision::Leave(Reason::Attached) => None,
        Decision::Leave(Reason::NotForIt { misses, .. }) if misses.is_empty() => None,
        Decision::Leave(reason @ Reason::NotForIt { .. }) => {
            Some(Finding::good("drivers", format!("`{name}`: {reason}")))
        }
        Decision::Leave(Reason::OnRequest) if driver.manifest.any_device => None,
        Decision::Leave(reason @ Reason::OnRequest) => {
            let remedy = Some(reason.hint(name, &device.name));
            Some(Finding { remedy, ..Finding::good("drivers", format!("`{name}` is for it: {reason}")) })
        }
        Decision::Leave(reason) => {
            let message = format!("`{name}` is not attached: {reason}");
            Some(Finding::not_good("drivers", Grade::Warning, message, reason.hint(name, &device.name)))
        }
        // The failures include the reason.
        Decision::Attach { .. }
            if status.is_some_and(|status| status.failures.iter().any(|failed| failed.drivers.contains(name))) =>
        {
            None
        }
        Decision::Attach { rule } => {
            let why = match device.property(hwdb::PROPERTY) {
                Some(_) => "udev has not asked for it",
                None => "udev did not know of it when the device was plugged in: rules and hwdb are newer",
            };
            let rule = rule.as_deref().unwrap_or("force");
            let message = format!("`{name}` is for it, by {rule}, and not attached: {why}");
            let remedy = format!("run `udevadm trigger --action=add /sys/bus/hid/devices/{}` as root", device.name);
            Some(Finding::not_good("drivers", Grade::Warning, message, remedy))
        }
    }
}

/// Describes the condition of a driver that is attached to a device, or should be.
fn condition(driver: &DriverStatus, device: &Device) -> Finding {
    let name = &driver.driver;
    if let Some(wrong) = wrong(driver) {
        let message = format!("`{name}` {wrong}");
        return Finding::not_good("drivers", Grade::Warning, message, reload(driver, &device.name));
    }
    let change = match driver.change {
        Some(DescriptorEffect::Fixed) => "it has fixed the descriptor",
        Some(DescriptorEffect::Unchanged) => "its hook left the descriptor as it is",
        Some(DescriptorEffect::NotWanted) | None => "it does not touch the descriptor",
    };
    let seen = if driver.condition == Condition::Attached { "is attached" } else { "was attached" };
    let note = driver.note.iter().map(|note| format!("; {note}")).collect::<String>();
    Finding::good("drivers", format!("`{name}` {seen}: {change}{note}"))
}

/// Returns the problem of a driver on a device, if any.
fn wrong(driver: &DriverStatus) -> Option<&'static str> {
    match driver.condition {
        Condition::Attached | Condition::Unverified => None,
        Condition::NotFixed => Some("is attached, and the current descriptor is the original one"),
        Condition::Interrupted => Some("was being attached when something interrupted it"),
    }
}

fn reload(driver: &DriverStatus, device: &HidName) -> String {
    format!("run `hidbpf reload {} {device}` as root", driver.driver)
}

pub(super) fn devices(system: &System, findings: &mut Vec<Finding>) {
    let status = match Manager::new(system).status() {
        Ok(status) => status,
        Err(error) => {
            let remedy = error.hint().unwrap_or("run hidbpf as root").to_owned();
            findings.push(Finding::not_good("devices", Grade::Warning, error.to_string(), remedy));
            return;
        }
    };
    let name = |device: &DeviceStatus| format!("{} ({})", device.device, Printable(&device.hid_name));
    for device in &status {
        for failure in &device.failures {
            findings.push(Finding::not_good(
                "devices",
                Grade::Warning,
                format!("{}: {}", name(device), failure.message),
                failure.hint.as_deref().unwrap_or("unplug the device and plug it in"),
            ));
        }
        for driver in &device.drivers {
            let Some(wrong) = wrong(driver) else { continue };
            let message = format!("{}: the driver `{}` {wrong}", name(device), driver.driver);
            findings.push(Finding::not_good("devices", Grade::Warning, message, reload(driver, &device.device)));
        }
    }
    let attached = status.iter().filter(|device| !device.drivers.is_empty()).count();
    findings.push(Finding::good("devices", format!("{attached} with a driver")));
}
