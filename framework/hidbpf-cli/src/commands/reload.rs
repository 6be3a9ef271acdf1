//! `hidbpf reload`: replaces the attached drivers with the installed versions.

use hidbpf::catalog::Catalog;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::{DriverStatus, Manager};
use hidbpf::object::DriverObject;

use super::{Context, load};
use crate::output::Outcome;

pub fn run(context: &Context, driver: Option<&str>, device: Option<&str>) -> Outcome {
    let manager = Manager::new(&context.system);
    let named = driver.map(|text| context.driver(text)).transpose()?;
    let device = device.map(|text| Device::find(&context.system, text)).transpose()?;
    let (mut loaded, mut failures) = (Vec::new(), Vec::new());
    for status in manager.status()?.into_iter().filter(|status| status.present) {
        if device.as_ref().is_some_and(|device| device.name != status.device) {
            continue;
        }
        for attached in &status.drivers {
            let result = match &named {
                Some(named) if named.name != attached.driver => continue,
                Some(named) => Ok(named.clone()),
                None => installed(context, attached),
            };
            match result.and_then(|driver| manager.reload(&driver, &status.device)) {
                Ok(report) => loaded.push(report),
                Err(error) => failures.push(error),
            }
        }
    }
    if loaded.is_empty() && failures.is_empty() {
        let what = match (&named, &device) {
            (Some(named), Some(device)) => {
                format!("the driver `{}` is not attached to the device `{}`", named.name, device.name)
            }
            (Some(named), None) => format!("the driver `{}` is attached to no device", named.name),
            (None, Some(device)) => format!("no driver is attached to the device `{}`", device.name),
            (None, None) => "no driver is attached to any device".to_owned(),
        };
        return Err(Error::new(ErrorKind::NoMatch, what).with_hint("`hidbpf load` attaches one").into());
    }
    load::show(context, &loaded)?;
    if failures.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Returns the installed driver, or the attached object if the driver is no longer installed.
fn installed(context: &Context, attached: &DriverStatus) -> Result<DriverObject, Error> {
    if let Some(found) = Catalog::find(&context.system, &attached.driver) {
        return found;
    }
    match &attached.object {
        Some(path) => DriverObject::read(path),
        None => {
            let what = format!("the driver `{}` is installed no more", attached.driver);
            Err(Error::new(ErrorKind::NoDriver, what).with_hint("`hidbpf unload` takes it off"))
        }
    }
}
