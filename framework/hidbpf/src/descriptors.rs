//! The three descriptors of a device: original, fixed and current. `hidbpf_core::attach::original` describes where the kernel
//! keeps them.

use std::fmt;

use serde::Serialize;

use crate::descriptor::{Descriptor, InvalidDescriptor};
use crate::device::Device;
use crate::effect::DescriptorEffect;
use crate::error::{Error, ErrorKind, Result};
use crate::fixup::{Fixup, fixup};
use crate::loader::{Loader, StoredDescriptor};
use crate::manager::{Condition, Manager};
use crate::object::DriverObject;
use crate::replay::{self, Settings};
use crate::system::System;

/// One of a device's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The descriptor that the device sent.
    Original,
    /// The descriptor that the descriptor hook returned.
    Fixed,
    /// The descriptor that the kernel parsed, after the hook and the kernel driver's own fixup.
    Current,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Which::Original => "original",
            Which::Fixed => "fixed",
            Which::Current => "current",
        })
    }
}

/// Reads one of a device's descriptors.
///
/// # Errors
/// The device doesn't have it, or it can't be read.
pub fn read(system: &System, device: &Device, which: Which) -> Result<Vec<u8>> {
    match which {
        Which::Original => original(system, device),
        Which::Fixed => fixed(system, device),
        Which::Current => match NoCurrent::of(system, device)? {
            None => Ok(device.current.clone()),
            Some(why) => {
                let what = format!("the device `{}` has no current descriptor: {why}", device.name);
                let hint = format!("`hidbpf inspect --descriptor original {}` shows what the device sent", device.name);
                Err(Error::new(ErrorKind::NotReady, what).with_hint(hint))
            }
        },
    }
}

/// The reason why a device has no current descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCurrent {
    /// The kernel refuses the original descriptor for this reason.
    Refused(InvalidDescriptor),
    /// The kernel accepts the original descriptor, but no kernel driver is bound.
    Unbound,
    /// No kernel driver is bound, and the original descriptor is unknown.
    Unknown,
    /// The kernel driver with this name has not parsed the descriptor, or not yet.
    NotParsed(String),
}

impl NoCurrent {
    /// Determines why a device has no current descriptor. `None` if it has one.
    ///
    /// # Errors
    /// The device is gone.
    pub fn of(system: &System, device: &Device) -> Result<Option<NoCurrent>> {
        if !device.current.is_empty() {
            return Ok(None);
        }
        if let Some(driver) = &device.driver {
            return Ok(Some(NoCurrent::NotParsed(driver.clone())));
        }
        let read = Manager::new(system).with_original_if_possible(device.clone())?;
        Ok(Some(match read.original().map(Descriptor::parse) {
            Some(Err(fault)) => NoCurrent::Refused(fault),
            Some(Ok(_)) => NoCurrent::Unbound,
            None => NoCurrent::Unknown,
        }))
    }
}

impl fmt::Display for NoCurrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoCurrent::Refused(fault) => {
                write!(f, "the kernel refuses its original descriptor: {fault} ({})", fault.kernel)
            }
            NoCurrent::Unbound => f.write_str("no kernel driver is bound to it"),
            NoCurrent::Unknown => f.write_str(
                "no kernel driver is bound to it, perhaps because the kernel refuses its original descriptor",
            ),
            NoCurrent::NotParsed(driver) => write!(f, "the kernel driver `{driver}` has parsed none"),
        }
    }
}

/// Returns a device with its original descriptor, and with the IDs that it has without drivers.
///
/// # Errors
/// The device is gone, or this process or this kernel can't read the descriptor.
pub fn with_original(system: &System, device: Device) -> Result<Device> {
    Manager::new(system).with_original(device).map_err(|error| match error.kind() {
        ErrorKind::Permission => error.with_hint("run the command as root, for example with sudo"),
        _ => error,
    })
}

fn original(system: &System, device: &Device) -> Result<Vec<u8>> {
    let device = with_original(system, device.clone())?;
    Ok(device.original().unwrap_or_default().to_vec())
}

/// Returns the fixed descriptor. Takes the current one if the kernel driver doesn't change it. Otherwise takes the
/// kernel's copy (since Linux 6.13), or runs the attached driver on the original in user space.
fn fixed(system: &System, device: &Device) -> Result<Vec<u8>> {
    let manager = Manager::new(system);
    let status = manager.status()?.into_iter().find(|status| status.device == device.name);
    let drivers = status.into_iter().flat_map(|status| status.drivers);
    let is_on = |condition| matches!(condition, Condition::Attached | Condition::NotFixed | Condition::Unverified);
    let hooked = drivers.filter(|driver| is_on(driver.condition));
    let Some(attached) = hooked
        .into_iter()
        .find(|driver| matches!(driver.change, Some(DescriptorEffect::Fixed | DescriptorEffect::Unchanged)))
    else {
        let what = format!(
            "the device `{}` has no fixed descriptor: no driver with a descriptor hook is attached",
            device.name
        );
        return Err(Error::new(ErrorKind::NotAttached, what).with_hint("`hidbpf status` shows what is attached"));
    };
    if device.is_taken_as_it_is() {
        return Ok(device.current.clone());
    }
    if let Some(fixed) = manager.loader().descriptor(device.name.id(), StoredDescriptor::Fixed).ok().flatten() {
        return Ok(fixed);
    }
    let unknown = |why: &str| {
        let what = format!("failed to find the fixed descriptor of the device `{}`: {why}", device.name);
        Error::new(ErrorKind::Io, what)
    };
    let object = attached.object.ok_or_else(|| unknown("it is not known which object is attached"))?;
    let driver = DriverObject::read(&object)?;
    let properties = device.properties(driver.all_properties());
    let original = replay::device_of(&manager.with_original(device.clone())?);
    let settings = replay::for_driver(Settings { properties, ..Settings::default() }, &driver, &original);
    match fixup(&driver, &original, &settings)? {
        Fixup::Changed(fixed) => Ok(fixed),
        Fixup::Unchanged | Fixup::NotTaken(_) | Fixup::Failed(_) => Ok(original.descriptor),
    }
}
