//! `hidbpf unload`.

use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::ids::HidName;
use hidbpf::manager::{Manager, UnloadReport, Wait};
use hidbpf::names::DriverName;

use super::Context;
use crate::output::{self, Outcome};

pub fn run(context: &Context, what: Option<&str>, device: Option<&str>, wait: Wait) -> Outcome {
    let manager = Manager::new(&context.system);
    // A device's name contains a colon and a path contains a slash. A driver's name contains neither.
    let (driver, device) = match (what, device) {
        (Some(what), None) if what.contains([':', '/']) => (None, Some(what)),
        (what, device) => (what, device),
    };
    let driver = driver
        .map(DriverName::new)
        .transpose()
        .map_err(|error| Error::because(ErrorKind::NoDriver, "failed to unload", error))?;
    let names = match device {
        Some(text) => vec![named(context, text)?],
        None => manager.attached_devices()?,
    };
    let mut unloaded = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match manager.unload(&name, driver.as_ref(), wait) {
            Ok(reports) => unloaded.extend(reports),
            // If no device is named, devices without the driver don't matter.
            Err(error) if error.kind() == ErrorKind::NotAttached && device.is_none() => {}
            Err(error) => failures.push(error),
        }
    }
    if unloaded.is_empty() && failures.is_empty() {
        let what = match &driver {
            Some(driver) => format!("the driver `{driver}` is attached to no device"),
            None => "no driver is attached to any device".to_owned(),
        };
        return Err(Error::new(ErrorKind::NoMatch, what).into());
    }
    if context.json {
        output::json("unloaded", &unloaded)?;
    } else {
        unloaded.iter().try_for_each(line)?;
    }
    unloaded.iter().for_each(warn);
    if failures.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Prints the detached driver.
pub fn line(report: &UnloadReport) -> Outcome {
    output::text(format_args!("{} detached from {}\n", report.driver, report.device))
}

/// Prints a warning if there is one.
pub fn warn(report: &UnloadReport) {
    if let Some((what, hint)) = report.warning() {
        tracing::warn!("{what} ({hint})");
    }
}

/// Returns the name of a device, even if it is gone.
fn named(context: &Context, text: &str) -> Result<HidName, Error> {
    match Device::find(&context.system, text) {
        Ok(device) => Ok(device.name),
        Err(error) => match text.parse::<HidName>() {
            Ok(name) if hidbpf::pins::of_device(&context.system, &name).is_ok_and(|pins| !pins.is_empty()) => Ok(name),
            _ => Err(error),
        },
    }
}
