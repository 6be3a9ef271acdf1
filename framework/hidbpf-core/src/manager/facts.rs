//! Collects the facts on this machine from which [`crate::policy`] decides.

use crate::config::Config;
use crate::device::Device;
use crate::device::exclusion::Exclusion;
use crate::driver::matching::{Lack, Verdict};
use crate::driver::object::{DriverObject, Hook};
use crate::driver::versions;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Generation;
use crate::load::loader::Loader;
use crate::names::DriverName;
use crate::policy::{Asked, Decision, DeviceFacts, DriverFacts, Reason, Standing, decide};
use crate::state::DeviceState;

/// The sources of facts that all devices share, and the occasion of the query.
pub(crate) struct Query<'a> {
    pub(crate) config: &'a Config,
    /// The kernel's generation, or why it has none.
    pub(crate) generation: std::result::Result<Generation, &'a Error>,
    /// The reason why hidbpf leaves the device alone.
    pub(crate) exclusion: Option<Exclusion>,
    /// Whether udev asks because the device was bound just now.
    pub(crate) just_bound: bool,
}

/// The sources of the facts about one device.
pub(crate) struct Facts<'a> {
    pub(crate) query: &'a Query<'a>,
    /// The device as it was before drivers were attached: [`Device::unfixed`].
    pub(crate) device: &'a Device,
    pub(crate) state: &'a DeviceState,
    /// The drivers that are attached.
    pub(crate) attached: &'a [DriverName],
}

impl<'a> Facts<'a> {
    pub(crate) fn of_device(&self) -> DeviceFacts {
        DeviceFacts {
            exclusion: self.query.exclusion.clone(),
            is_bound: self.device.driver.is_some(),
            holder: holder(self.state, self.attached).cloned(),
            just_bound: self.query.just_bound,
        }
    }

    pub(crate) fn of_driver(&self, driver: &'a DriverObject, asked: Asked) -> DriverFacts<'a> {
        let (version, verdict) = versions::for_device(driver, self.query.generation.ok(), self.device);
        let hooks = self.query.generation.map(|generation| version.hooks_for(generation));
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
            verdict,
            is_automatic: driver.manifest.is_automatic(),
            fixes_descriptor: version.fixes_descriptor(),
            // For a device that the kernel refuses, the driver's own descriptor hook lets a kernel driver bind.
            needs_binding: (has_event_hook || version.has_setup || version.manifest.mode_switch.is_some())
                && !(version.fixes_descriptor() && self.device.is_refused()),
            unsupported,
            standing,
            ..self.of_attached(&driver.name)
        }
    }

    /// Returns the facts about an attached driver that may not be installed.
    pub(crate) fn of_attached(&self, name: &'a DriverName) -> DriverFacts<'a> {
        DriverFacts {
            name,
            made_for: "",
            asked: Asked::No,
            verdict: Verdict::No,
            enablement: self.query.config.enablement(name, self.device),
            is_automatic: false,
            fixes_descriptor: false,
            needs_binding: false,
            unsupported: None,
            standing: Standing::Attached,
            unloaded: self.state.unloaded.contains(name),
            failure: self.state.failures.iter().find(|failure| failure.drivers.contains(name)),
        }
    }
}

/// Decisions about drivers, in the order of the drivers.
pub(crate) struct Decided {
    decisions: Vec<Decision>,
    /// The error of reading the original descriptor, if a decision depends on it.
    unread: Option<Error>,
}

impl Decided {
    /// Returns the decisions, or the error if a decision needs the unreadable original descriptor.
    pub(crate) fn into_result(self) -> Result<Vec<Decision>> {
        self.unread.map_or(Ok(self.decisions), Err)
    }

    /// Returns the decisions, and the error of reading the original descriptor that one of them needs.
    pub(crate) fn into_parts(self) -> (Vec<Decision>, Option<Error>) {
        (self.decisions, self.unread)
    }
}

/// Decides which drivers should be on a device now.
///
/// Reads the device's original descriptor from the kernel only if a decision depends on it.
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
    // A device may lack a kernel driver because the kernel refuses its descriptor. The driver may repair that.
    let may_repair = |(driver, decision): (&DriverObject, &Decision)| {
        driver.all_versions().any(|version| version.fixes_descriptor())
            && *decision == Decision::Leave(Reason::NotBound)
    };
    let is_known = device.original().is_some();
    let has_doubts = decisions.iter().any(depends);
    if is_known || !has_doubts && !drivers.iter().zip(&decisions).any(may_repair) {
        return Decided { decisions, unread: None };
    }
    match device.read_original(loader) {
        Ok(_) => Decided { decisions: decide(device), unread: None },
        // Without the descriptor, the driver waits for a kernel driver, as for a device that is not bound yet.
        Err(error) if !has_doubts && !matches!(error.kind(), ErrorKind::Gone | ErrorKind::NotFast) => {
            tracing::debug!("{error}");
            Decided { decisions, unread: None }
        }
        Err(error) => Decided { decisions, unread: Some(error) },
    }
}

/// Returns the attached driver that has the descriptor hook.
///
/// An attached driver without a state entry is assumed to have one, because that is the safe guess.
pub(crate) fn holder<'d>(state: &DeviceState, attached: &'d [DriverName]) -> Option<&'d DriverName> {
    attached.iter().find(|attached| {
        let known = state.drivers.iter().find(|known| known.driver == **attached);
        known.is_none_or(|known| known.hooks.contains(&Hook::RdescFixup))
    })
}

/// Returns whether a udev property that the driver asks for differs from the value it was given.
///
/// A missing property does not count: after the kernel probed the device again, a node's properties are missing for a
/// while.
pub(super) fn news(state: &DeviceState, device: &Device, driver: &DriverObject) -> bool {
    let known = state.drivers.iter().find(|known| known.driver == driver.name);
    known.is_some_and(|known| {
        let attached = known.fingerprint.as_ref().and_then(|fingerprint| driver.version(fingerprint)).unwrap_or(driver);
        let now = device.properties(attached.all_properties());
        now.iter().any(|(name, value)| known.properties.get(name) != Some(value))
    })
}
