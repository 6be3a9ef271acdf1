//! The facts that [`crate::policy`] decides by, as they are on this machine.

use super::held::news;
use crate::aside::Aside;
use crate::catalog::{Verdict, judge};
use crate::config::Config;
use crate::device::Device;
use crate::error::Error;
use crate::kernel::Generation;
use crate::manifest::DriverName;
use crate::object::{DriverObject, Hook};
use crate::policy::{Asked, DeviceFacts, DriverFacts, Standing};
use crate::state::DeviceState;

/// What the facts of all devices are collected from, and what a caller knows of the occasion.
pub(crate) struct Query<'a> {
    pub(crate) config: &'a Config,
    /// What the kernel offers, or why nothing.
    pub(crate) generation: Result<Generation, &'a Error>,
    /// What keeps hidbpf off the device.
    pub(crate) aside: Option<Aside>,
    /// Whether udev asks because the device was bound just now.
    pub(crate) just_bound: bool,
}

/// What facts are collected from.
pub(crate) struct Facts<'a> {
    pub(crate) query: &'a Query<'a>,
    /// The device as it is.
    pub(crate) device: &'a Device,
    /// The device as its rules are judged: with its original descriptor.
    pub(crate) own: &'a Device,
    pub(crate) state: &'a DeviceState,
    /// The drivers that are attached.
    pub(crate) attached: &'a [DriverName],
}

impl<'a> Facts<'a> {
    pub(crate) fn of_device(&self) -> DeviceFacts {
        DeviceFacts {
            aside: self.query.aside.clone(),
            is_bound: self.device.driver.is_some(),
            holder: holder(self.state, self.attached).cloned(),
            just_bound: self.query.just_bound,
        }
    }

    pub(crate) fn of_driver(&self, driver: &'a DriverObject, asked: Asked) -> DriverFacts<'a> {
        let hooks = self.query.generation.map(|generation| driver.hooks_for(generation));
        let words = |error: &Error| (error.to_string(), error.hint().unwrap_or("boot a newer kernel").to_owned());
        let (unsupported, has_event_hook) = match &hooks {
            Ok(Ok(hooks)) => (None, hooks.contains_key(&Hook::DeviceEvent)),
            Ok(Err(error)) => (Some(words(error)), false),
            Err(error) => (Some(words(error)), false),
        };
        let standing = match self.attached.contains(&driver.name) {
            false => Standing::Off,
            true if news(self.state, self.device, driver) => Standing::Outdated,
            true => Standing::Attached,
        };
        DriverFacts {
            made_for: &driver.manifest.device,
            asked,
            verdict: judge(&driver.manifest, self.own),
            is_automatic: driver.manifest.is_automatic(),
            fixes_descriptor: driver.fixes_descriptor(),
            needs_binding: has_event_hook || driver.has_setup,
            unsupported,
            standing,
            ..self.of_attached(&driver.name)
        }
    }

    /// Those of an attached driver that is not installed.
    pub(crate) fn of_attached(&self, name: &'a DriverName) -> DriverFacts<'a> {
        DriverFacts {
            name,
            made_for: "",
            asked: Asked::No,
            verdict: Verdict::No,
            wish: self.query.config.wish(name, self.own),
            is_automatic: false,
            fixes_descriptor: false,
            needs_binding: false,
            unsupported: None,
            standing: Standing::Attached,
            taken_off: self.state.taken_off.contains(name),
            failure: self.state.failures.iter().find(|failure| failure.drivers.contains(name)),
        }
    }
}

/// The attached driver that has the descriptor hook. If nothing is known of an attached driver, the safe guess is that it has.
pub(crate) fn holder<'d>(state: &DeviceState, attached: &'d [DriverName]) -> Option<&'d DriverName> {
    attached.iter().find(|attached| {
        let known = state.drivers.iter().find(|known| known.driver == **attached);
        known.is_none_or(|known| known.hooks.contains(&Hook::RdescFixup))
    })
}
