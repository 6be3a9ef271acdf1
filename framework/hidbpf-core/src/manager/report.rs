//! What the manager's callers are told of an attach, a detach, and an event of udev's.

use std::time::Duration;

use serde::Serialize;

use crate::attach::Change;
use crate::error::Error;
use crate::ids::HidName;
use crate::kernel::Generation;
use crate::names::DriverName;
use crate::object::Hook;

/// A driver that has been attached to a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoadReport {
    /// The device.
    pub device: HidName,
    /// The name that the device gives itself.
    pub hid_name: String,
    /// The driver.
    pub driver: DriverName,
    /// By which rule of its manifest; `None` where it was forced.
    pub rule: Option<String>,
    /// How it was attached.
    pub generation: Generation,
    /// What became of the descriptor.
    pub change: Change,
    /// The hooks that it uses.
    pub hooks: Vec<Hook>,
    /// Whether it has talked to the device.
    pub set_up: bool,
    /// Whether it was attached before, from the same object, so that nothing was done.
    pub already: bool,
}

/// A driver whose device was told again what the driver wants of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetUpReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
}

impl SetUpReport {
    /// Tells the log, which is the journal where udev asked.
    pub fn tell(&self) {
        let SetUpReport { device, driver } = self;
        tracing::info!(
            DEVICE = device.as_str(),
            DRIVER = driver.as_str(),
            "the driver `{driver}` has set up the device `{device}` again"
        );
    }
}

/// A driver that has been taken off a device.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnloadReport {
    /// The device.
    pub device: HidName,
    /// The driver.
    pub driver: DriverName,
    /// Whether the device is back without it.
    pub comeback: Comeback,
}

/// How a device is when a driver was taken off it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comeback {
    /// It is as it is without the driver, or has gone.
    Done,
    /// The kernel has not bound it again within the time limit. A device that answers late may take longer.
    NotBound,
    /// The kernel has bound it again, with the descriptor that the driver has fixed.
    StillFixed,
    /// Nobody has waited for it.
    NotAwaited,
}

impl UnloadReport {
    /// What a person should know, and a hint, if the device is not back.
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

/// How long `unload` waits for a device. With a kernel driver that asks a slow touch screen, the kernel needs up to 11 s, and no program
/// is to wait for that.
pub(super) const COMEBACK_LIMIT: Duration = Duration::from_secs(5);

/// What `udev add` did with one device.
#[derive(Debug, Default)]
pub struct AddReport {
    /// Drivers that were attached.
    pub attached: Vec<LoadReport>,
    /// Drivers that were not, and why; each is noted in the device's state.
    pub failed: Vec<Error>,
    /// What there was to say of the others: attached already, taken off by a person, not for this interface.
    pub notes: Vec<String>,
    /// Why this loader left the rest to another one. What is reported is done all the same.
    pub not_fast: Option<Error>,
}

impl AddReport {
    /// Tells the log, which is the journal where udev asked, what was attached and, unless another loader is to go on, all else.
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

/// Tells the log of a failure, in one entry with the way out and the kernel's words.
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
