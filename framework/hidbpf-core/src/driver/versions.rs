//! The versions of one driver: which of them is for a device. Only foreign drivers have several.
//!
//! Each version has match rules and hooks of its own: a newer one may name more devices, or other ones.

use crate::device::Device;
use crate::driver::matching::{Verdict, judge};
use crate::driver::object::DriverObject;
use crate::error::Result;
use crate::kernel::Generation;

/// Returns the newest version that is for a device, with the result of matching it.
///
/// Ignores versions without programs for a kernel of this generation, if it is known and another version has programs.
/// If no version is for the device, returns the one that is closest to it.
pub(crate) fn for_device<'d>(
    driver: &'d DriverObject,
    generation: Option<Generation>,
    device: &Device,
) -> (&'d DriverObject, Verdict) {
    let judged = |version: &'d DriverObject| (version, judge(&version.manifest, device));
    if driver.versions.is_empty() {
        return judged(driver);
    }
    let fitting = generation.and_then(|generation| driver.for_kernel(generation).ok());
    let versions = fitting.unwrap_or_else(|| driver.all_versions().collect());
    let closest = versions.into_iter().map(judged).min_by_key(|(_, verdict)| distance(verdict));
    closest.unwrap_or_else(|| judged(driver))
}

/// Returns the versions to try on a device, the newest first: those that are for it.
///
/// If none is, returns all: the user forces the driver on the device.
///
/// # Errors
/// No version has programs for this kernel.
pub(crate) fn to_attach<'d>(
    driver: &'d DriverObject,
    generation: Generation,
    device: &Device,
) -> Result<Vec<&'d DriverObject>> {
    let all = driver.for_kernel(generation)?;
    if all.len() == 1 {
        return Ok(all);
    }
    let is_for = |version: &&DriverObject| {
        matches!(judge(&version.manifest, device), Verdict::Matches { .. } | Verdict::Undecided { .. })
    };
    let own: Vec<_> = all.iter().copied().filter(is_for).collect();
    Ok(if own.is_empty() { all } else { own })
}

fn distance(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Matches { .. } => 0,
        Verdict::Undecided { .. } => 1,
        Verdict::NearMiss { .. } => 2,
        Verdict::No => 3,
    }
}
