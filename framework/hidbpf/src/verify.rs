//! Makes the running kernel verify a driver's programs, without attaching them to a device.
//!
//! The verifier skips code that a driver's constants exclude: its IDs, fields and udev properties. So the programs are
//! loaded once for each set of constants that the given devices produce.

use std::fmt;

use crate::error::Result;
use crate::kernel::{self, Generation};
use crate::loader;
use crate::object::DriverObject;
use crate::replay::{Driver, Object, ReplayDevice, Settings};
use crate::system::System;

/// The result of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The kernel accepts all programs of the generation whose hooks it has.
    Verified {
        /// `uname -r`.
        release: String,
        /// The generation.
        generation: Generation,
    },
    /// The kernel did not verify the driver, for this reason.
    NotTried(String),
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verification::Verified { release, generation } => {
                write!(f, "verified by Linux {release} ({generation})")
            }
            Verification::NotTried(why) => write!(f, "not verified: {why}"),
        }
    }
}

/// Makes the running kernel verify a driver for these devices. If there are none, verifies it without a device.
///
/// # Errors
/// The kernel refuses a program. The error says where and why.
pub fn verify(
    system: &System,
    driver: &DriverObject,
    object: &Object,
    devices: &[(ReplayDevice, Settings)],
) -> Result<Verification> {
    let not_tried = |why: String| Ok(Verification::NotTried(why));
    let kernel = match kernel::detect(system) {
        Ok(kernel) => kernel,
        Err(error) => return not_tried(error.to_string()),
    };
    let generation = match kernel.generation() {
        Ok(generation) => generation,
        Err(error) => return not_tried(error.to_string()),
    };
    if let Err(error) = driver.hooks_for(generation) {
        return not_tried(error.to_string());
    }
    match kernel::missing_capabilities(generation) {
        Ok(missing) if missing.is_empty() => {}
        Ok(missing) => return not_tried(format!("loading a program needs {}", missing.join(", "))),
        Err(error) => return not_tried(error.to_string()),
    }
    let mut tried: Vec<Vec<(String, Vec<u8>)>> = Vec::new();
    for (device, settings) in devices {
        // The driver would not be loaded for a device without one of its fields.
        let Ok(loaded) = Driver::new(object, generation, device, settings) else { continue };
        let data = loaded.data().map(|(section, bytes)| (section.to_owned(), bytes.to_vec())).collect();
        if !tried.contains(&data) {
            loader::verify(driver, generation, &data)?;
            tried.push(data);
        }
    }
    if tried.is_empty() {
        loader::verify(driver, generation, &[])?;
    }
    Ok(Verification::Verified { release: kernel.release, generation })
}
