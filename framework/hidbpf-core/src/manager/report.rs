//! Reports for the manager's callers about attaching, detaching, and udev's events.

use std::time::Duration;

use serde::Serialize;

use crate::driver::object::Hook;
use crate::error::Error;
use crate::ids::HidName;
use crate::kernel::Generation;
use crate::names::DriverName;
use crate::state::effect::DescriptorEffect;

/// A driver that was attached to a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoadReport {
    /// The device.
    pub device: HidName,
    /// The device's own name.
    pub hid_name: String,
    /// The driver.
    pub driver: DriverName,
    /// The match rule of its manifest that applied; `None` if it was forced.
    pub rule: Option<String>,
    /// The kernel interface that it was attached with.
    pub generation: Generation,
    /// The effect of its descriptor hook.
    pub change: DescriptorEffect,
    /// The hooks that it uses.
    pub hooks: Vec<Hook>,
    /// Whether its setup ran.
    pub set_up: bool,
    /// Whether it was already attached from the same object, so that nothing was done.
    pub already: bool,
}

/// A driver whose setup ran again.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetUpReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
}

impl SetUpReport {
    /// Writes the report to the log, which is the journal if udev started this process.
    pub fn tell(&self) {
        let SetUpReport { device, driver } = self;
        tracing::info!(
            DEVICE = device.as_str(),
            DRIVER = driver.as_str(),
            "the driver `{driver}` has set up the device `{device}` again"
        );
    }
}

/// A driver that was detached from a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnloadReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
    /// Whether the device is back without the driver.
    pub comeback: Comeback,
}

/// The condition of a device after a driver was detached from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comeback {
    /// It works as without the driver, or it was unplugged.
    Done,
    /// The kernel did not bind it again within the time limit. A slow device may take longer.
    NotBound,
    /// The kernel bound it again, but still with the driver's fixed descriptor.
    StillFixed,
    /// Nothing waited for it.
    NotAwaited,
}

impl UnloadReport {
    /// Returns a warning and a hint for the user, if the device is not back.
    pub fn warning(&self) -> Option<(String, &'static str)> {
        let UnloadReport { device, driver, comeback } = self;
        let (what, hint) = match comeback {
            Comeback::Done | Comeback::NotAwaited => return None,
            Comeback::NotBound => (
                format!("the kernel did not bind it again within {} s", COMEBACK_LIMIT.as_secs()),
                "a device that answers late comes back later; if it does not, unplug it and plug it in again",
            ),
            Comeback::StillFixed => {
                ("it still has the driver's descriptor".to_owned(), "unplug the device and plug it in again")
            }
        };
        Some((
            format!("the driver `{driver}` was detached from the device `{device}`, which is not back: {what}"),
            hint,
        ))
    }
}

/// How long `unload` waits for a device.
///
/// For a kernel driver that queries a slow touch screen, the kernel needs up to 11 s. No program should wait that long.
pub(super) const COMEBACK_LIMIT: Duration = Duration::from_secs(5);

/// The result of `udev add` for one device.
#[derive(Debug, Default)]
pub struct AddReport {
    /// Drivers that were attached.
    pub attached: Vec<LoadReport>,
    /// Errors of drivers that were not attached. The device's state records each.
    pub failed: Vec<Error>,
    /// Messages about the other drivers: already attached, detached by the user, not for this interface.
    pub notes: Vec<String>,
    /// Why this loader left the remaining drivers to another loader. The results in this report are final.
    pub not_fast: Option<Error>,
}

impl AddReport {
    /// Writes the attached drivers to the log, which is the journal if udev started this process.
    ///
    /// Writes notes and failures only if no other loader continues.
    pub fn tell(&self) {
        for attached in &self.attached {
            tracing::info!(
                DEVICE = attached.device.as_str(),
                DRIVER = attached.driver.as_str(),
                "the driver `{}` was attached to the device `{}`",
                attached.driver,
                attached.device
            );
        }
        if self.not_fast.is_none() {
            self.notes.iter().for_each(|note| tracing::info!("{note}"));
            self.failed.iter().for_each(tell);
        }
    }
}

/// Writes a failure to the log as one entry, with its hint and the kernel's log.
pub fn tell(error: &Error) {
    let place = error.place();
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let log = error.log().map(|log| format!("\n{log}")).unwrap_or_default();
    tracing::error!(
        DEVICE = place.device.as_ref().map(HidName::as_str),
        DRIVER = place.driver.as_ref().map(DriverName::as_str),
        STEP = place.step.map(tracing::field::display),
        REMEDY = error.hint(),
        "{error}{hint}{log}"
    );
}
