//! What a driver makes of a descriptor, found out by running it in user space.

use crate::device;
use crate::error::{Error, ErrorKind, Result};
use crate::object::DriverObject;
use crate::replay::{Device, Driver, Fixed, Generation, Object, Settings, Verdict};

/// What came of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixup {
    /// It stays as it is.
    Unchanged,
    /// It is another one.
    Changed(Vec<u8>),
    /// The driver's own probe refuses the device, with this errno.
    NotTaken(i32),
    /// The driver's descriptor hook failed, with this errno, and so the original stays.
    Failed(i32),
}

impl From<&device::Device> for Device {
    fn from(device: &device::Device) -> Device {
        let ids = &device.modalias;
        Device {
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
}

/// Runs a driver's descriptor hook on a device's original descriptor, as the newest kernel that the driver has programs for would. Whether the
/// driver's rules match the device is not asked.
///
/// # Errors
/// The object is damaged, or a program of it did what the kernel would not let it do.
pub fn fixup(driver: &DriverObject, device: &Device, settings: &Settings) -> Result<Fixup> {
    let fail = |error: Box<dyn std::error::Error + Send + Sync>| {
        let what = format!("failed to run the descriptor fixup of the driver `{}`", driver.name);
        Error::because(ErrorKind::BadObject, what, error)
    };
    let object = Object::parse(driver.bytes()).map_err(|error| fail(error.into()))?;
    let generation = match driver.hooks.contains_key(&Generation::StructOps) {
        true => Generation::StructOps,
        false => Generation::FmodRet,
    };
    let mut driver = Driver::new(&object, generation, device, settings).map_err(|error| fail(error.into()))?;
    if let Verdict::Refuses(errno) = driver.probe().map_err(|error| fail(error.into()))? {
        return Ok(Fixup::NotTaken(errno));
    }
    let fixed = driver.fix_descriptor(&device.descriptor).map_err(|error| fail(error.into()))?;
    Ok(match fixed {
        Fixed::Unchanged => Fixup::Unchanged,
        Fixed::Changed(descriptor) => Fixup::Changed(descriptor),
        Fixed::Refused(errno) => Fixup::Failed(errno),
    })
}
