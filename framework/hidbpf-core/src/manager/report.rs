//! What the manager's callers are told of an attach, a detach, and an event of udev's.

use serde::Serialize;

use crate::attach::Change;
use crate::error::Error;
use crate::ids::HidName;
use crate::kernel::Generation;
use crate::manifest::DriverName;
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
}

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
