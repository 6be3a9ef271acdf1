//! Runs drivers in user space, with the data of their manifests.

pub use hidbpf_replay::*;

use crate::device;
use crate::matching;
use crate::object::DriverObject;
use crate::recording;

/// Adds the data from a driver's manifest to settings: the match rule, fields, exports, and the options that the
/// properties set. Ignores invalid option values with a warning, as attaching does.
#[must_use]
pub fn for_driver(mut settings: Settings, driver: &DriverObject, device: &ReplayDevice) -> Settings {
    let manifest = &driver.manifest;
    settings.rule = match recording::judge_replayed(manifest, device, &settings.properties) {
        matching::Verdict::Matches { rule } | matching::Verdict::Undecided { rule, .. } => {
            manifest.rule_index(Some(&rule))
        }
        matching::Verdict::NearMiss { .. } | matching::Verdict::No => None,
    };
    settings.fields = manifest.fields.iter().map(|field| (field.variable(), field.wanted())).collect();
    let exports = manifest.exports.iter().map(|export| ExportedVariable {
        property: export.property.clone(),
        variable: export.variable(),
        values: export.values.clone(),
        otherwise: export.otherwise.clone(),
    });
    settings.exports = exports.collect();
    for option in &manifest.options {
        let property = option.property(driver.name.as_str());
        let Some(text) = settings.properties.get(&property) else { continue };
        match option.parse(text).and_then(|value| option.encode(&value)) {
            Ok(bytes) => drop(settings.options.insert(option.variable(), bytes)),
            Err(why) => tracing::warn!("the udev property {property}: {why}"),
        }
    }
    settings
}

/// Returns a device of this machine, as a replay sees it.
pub fn device_of(device: &device::Device) -> ReplayDevice {
    let ids = &device.modalias;
    ReplayDevice {
        id: device.name.id(),
        bus: ids.bus,
        group: ids.group,
        vendor: ids.vendor,
        product: ids.product,
        name: device.hid_name.clone(),
        phys: device.phys.clone(),
        uniq: device.uniq.clone(),
        descriptor: device.original_or_current().to_vec(),
    }
}
