//! Runs a driver's descriptor hook in user space.

use crate::error::{Error, ErrorKind, Result};
use crate::object::DriverObject;
use crate::replay::{Driver, Fixed, Generation, Object, ReplayDevice, Settings, Verdict};

/// The result of a descriptor hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixup {
    /// The hook leaves the descriptor unchanged.
    Unchanged,
    /// The hook returned this descriptor.
    Changed(Vec<u8>),
    /// The driver's probe refuses the device with this errno.
    NotTaken(i32),
    /// The descriptor hook failed with this errno, so the original descriptor stays.
    Failed(i32),
}

/// Runs a driver's descriptor hook on a device's original descriptor, as the newest kernel that the driver supports
/// would. Doesn't check the driver's match rules.
///
/// # Errors
/// The object is damaged, or one of its programs did something that the kernel forbids.
pub fn fixup(driver: &DriverObject, device: &ReplayDevice, settings: &Settings) -> Result<Fixup> {
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
