//! The facts that [`crate::policy`] decides by, as they are on this machine.

use crate::aside::Aside;
use crate::config::Config;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Generation;
use crate::loader::Loader;
use crate::matching::{Lack, Verdict, judge};
use crate::names::DriverName;
use crate::object::{DriverObject, Hook};
use crate::policy::{Asked, Decision, DeviceFacts, DriverFacts, Reason, Standing, decide};
use crate::state::DeviceState;

/// What the facts of all devices are collected from, and what a caller knows of the occasion.
pub(crate) struct Query<'a> {
    pub(crate) config: &'a Config,
    /// What the kernel offers, or why nothing.
    pub(crate) generation: std::result::Result<Generation, &'a Error>,
    /// What keeps hidbpf off the device.
    pub(crate) aside: Option<Aside>,
    /// Whether udev asks because the device was bound just now.
    pub(crate) just_bound: bool,
}

/// What facts are collected from.
pub(crate) struct Facts<'a> {
    pub(crate) query: &'a Query<'a>,
    /// The device, as it was before drivers: [`Device::unfixed`].
    pub(crate) device: &'a Device,
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
            verdict: judge(&driver.manifest, self.device),
            is_automatic: driver.manifest.is_automatic(),
            fixes_descriptor: driver.fixes_descriptor(),
            // Its descriptor hook gives a device that the kernel refuses a kernel driver.
            needs_binding: (has_event_hook || driver.has_setup)
                && !(driver.fixes_descriptor() && self.device.is_refused()),
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
            wish: self.query.config.wish(name, self.device),
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

/// What was decided about drivers, in their order.
pub(crate) struct Decided {
    decisions: Vec<Decision>,
    /// The original descriptor decides, and this is why it could not be read.
    unread: Option<Error>,
}

impl Decided {
    /// The decisions, unless one lacks what could not be read.
    pub(crate) fn into_result(self) -> Result<Vec<Decision>> {
        self.unread.map_or(Ok(self.decisions), Err)
    }

    /// The decisions, and why the original descriptor could not be read that one lacks.
    pub(crate) fn into_parts(self) -> (Vec<Decision>, Option<Error>) {
        (self.decisions, self.unread)
    }
}

/// Decides which drivers should be on a device now. The kernel is asked for the device's original descriptor if that alone decides.
pub(crate) fn decide_on<L: Loader>(
    loader: &L,
    query: &Query<'_>,
    device: &mut Device,
    (state, attached): (&DeviceState, &[DriverName]),
    drivers: &[DriverObject],
    asked: impl Fn(&DriverObject) -> Asked,
) -> Decided {
    let decide = |device: &Device| {
        let facts = Facts { query, device, state, attached };
        let drivers: Vec<_> = drivers.iter().map(|driver| facts.of_driver(driver, asked(driver))).collect();
        decide(&facts.of_device(), &drivers)
    };
    let decisions = decide(device);
    let depends =
        |decision| matches!(decision, &Decision::Leave(Reason::Undecided { lacks: Lack::OriginalDescriptor, .. }));
    // A device may be without a kernel driver because the kernel refuses its descriptor, which the driver may repair.
    let may_repair = |(driver, decision): (&DriverObject, &Decision)| {
        driver.fixes_descriptor() && *decision == Decision::Leave(Reason::NotBound)
    };
    let is_known = device.original().is_some();
    let has_doubts = decisions.iter().any(depends);
    if is_known || !has_doubts && !drivers.iter().zip(&decisions).any(may_repair) {
        return Decided { decisions, unread: None };
    }
    match device.read_original(loader) {
        Ok(_) => Decided { decisions: decide(device), unread: None },
        // Without it a driver waits for a kernel driver, as for a device that the kernel has not bound yet.
        Err(error) if !has_doubts && !matches!(error.kind(), ErrorKind::Gone | ErrorKind::NotFast) => {
            tracing::debug!("{error}");
            Decided { decisions, unread: None }
        }
        Err(error) => Decided { decisions, unread: Some(error) },
    }
}

/// The attached driver that has the descriptor hook. If nothing is known of an attached driver, the safe guess is that it has.
pub(crate) fn holder<'d>(state: &DeviceState, attached: &'d [DriverName]) -> Option<&'d DriverName> {
    attached.iter().find(|attached| {
        let known = state.drivers.iter().find(|known| known.driver == **attached);
        known.is_none_or(|known| known.hooks.contains(&Hook::RdescFixup))
    })
}

/// Whether the device has a udev property that the attached driver asks for and was told otherwise. That a property is missing is no news:
/// those of a node are for a while, when the kernel has probed the device again.
pub(super) fn news(state: &DeviceState, device: &Device, driver: &DriverObject) -> bool {
    let known = state.drivers.iter().find(|known| known.driver == driver.name);
    known.is_some_and(|known| {
        let now = device.properties(driver.all_properties());
        now.iter().any(|(name, value)| known.properties.get(name) != Some(value))
    })
}
