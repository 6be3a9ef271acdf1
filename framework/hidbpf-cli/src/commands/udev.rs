//! `hidbpf udev add|remove`: what the udev rules call. Nobody reads standard output there; the journal has the story.

use std::path::Path;

use hidbpf::error::{Error, ErrorKind};
use hidbpf::hwdb::DRIVER_PROPERTY;
use hidbpf::ids::HidName;
use hidbpf::manager::Manager;
use hidbpf::manifest::DriverName;

use super::Context;
use crate::output::{Failure, Failures, Outcome};

pub fn add(context: &Context, syspath: &Path) -> Outcome {
    let manager = Manager::new(&context.system);
    let added = manager.confine().and_then(|()| manager.add(syspath, &named_by_hwdb()));
    let report = added.map_err(|error| told(vec![error]))?;
    for note in &report.notes {
        tracing::info!("{note}");
    }
    for attached in &report.attached {
        tracing::info!(
            DEVICE = attached.device.as_str(),
            DRIVER = attached.driver.as_str(),
            "the driver `{}` was attached to the device `{}`",
            attached.driver,
            attached.device
        );
    }
    if report.failed.is_empty() { Ok(()) } else { Err(told(report.failed)) }
}

pub fn remove(context: &Context, syspath: &Path) -> Outcome {
    let name: HidName = syspath
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
        .parse()
        .map_err(|error| told(vec![Error::because(ErrorKind::NoDevice, "failed to clean up", error)]))?;
    Manager::new(&context.system).remove(&name).map_err(|error| told(vec![error]))
}

/// The drivers that udev found in its hwdb: it hands a device's properties to what it starts.
fn named_by_hwdb() -> Vec<DriverName> {
    let mut names: Vec<DriverName> = std::env::vars_os()
        .filter(|(key, _)| key.to_string_lossy().starts_with(DRIVER_PROPERTY))
        .filter_map(|(_, value)| DriverName::new(value.to_str()?).ok())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Failures go to the journal too, in one entry each, with the way out and the kernel's words.
fn told(errors: Vec<Error>) -> Failures {
    for error in &errors {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let log = error.log().map(|log| format!("\n{log}")).unwrap_or_default();
        tracing::error!("{error}{hint}{log}");
    }
    if errors.iter().all(|error| error.kind() == ErrorKind::Kernel) {
        return errors.into();
    }
    Failure::Told.into()
}
