//! A device whose lock is held: attaching drivers to it, and keeping its state file correct.

use std::collections::BTreeMap;

use hidbpf_descriptor::field_table;

use super::LoadReport;
use super::facts::{Decided, Facts, Query, decide_on, holder};
use crate::attach::pins;
use crate::attach::shared::{self, PhysicalLock};
use crate::attach::{Fixup, Plan};
use crate::config::Config;
use crate::config::resolve;
use crate::device::Device;
use crate::driver::object::{DriverObject, Hook};
use crate::driver::versions;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::kernel::Generation;
use crate::load::loader::Loader;
use crate::manifest::fields;
use crate::names::DriverName;
use crate::policy::{Asked, Decision, Reason, decide};
use crate::state::effect::DescriptorEffect;
use crate::state::settled;
use crate::state::{DeviceLock, DeviceState, DriverState, RecordedFailure, StateWritten};
use crate::system::System;

/// A device whose lock is held, with its state.
pub(crate) struct LockedDevice<'a, L> {
    pub(crate) system: &'a System,
    pub(super) loader: &'a L,
    pub(crate) device: Device,
    pub(crate) state: DeviceState,
    pub(super) pinned: Vec<pins::Pinned>,
    pub(super) lock: DeviceLock,
}

impl<L: Loader> LockedDevice<'_, L> {
    /// Writes the state of the device.
    ///
    /// # Errors
    /// As for [`DeviceState::write`].
    pub(crate) fn write_state(&mut self) -> Result<StateWritten> {
        self.state.write(self.system, &self.lock)
    }

    pub(crate) fn is_pinned(&self, driver: &DriverName) -> bool {
        self.pinned.iter().any(|pinned| pinned.driver == *driver)
    }

    /// Decides which of these drivers should be on the device now.
    ///
    /// `asked` returns who asks for each driver. Reads the original descriptor from the kernel only if a decision
    /// depends on it.
    pub(crate) fn decide(
        &mut self,
        query: &Query<'_>,
        drivers: &[DriverObject],
        asked: impl Fn(&DriverObject) -> Asked,
    ) -> Decided {
        let attached = self.attached();
        decide_on(self.loader, query, &mut self.device, (&self.state, &attached), drivers, asked)
    }

    /// Decides about attached drivers, installed or not.
    pub(crate) fn decide_attached(&self, query: &Query<'_>, attached: &[DriverName]) -> Vec<Decision> {
        let facts = Facts { query, device: &self.device, state: &self.state, attached };
        let drivers: Vec<_> = attached.iter().map(|name| facts.of_attached(name)).collect();
        decide(&facts.of_device(), &drivers)
    }

    /// Marks the device as settled, if it is: then udev's bind events start no process.
    pub(super) fn settle(&self) {
        // The udev rules clean up after an unplugged device only if it has a state file.
        if !self.state.is_kept || self.state.failures.iter().any(RecordedFailure::may_be_tried_again) {
            return;
        }
        let Some(kernel_driver) = self.device.kernel_driver() else { return };
        // Without the mark, the next bind event costs one process. It has no other effect.
        if let Err(error) = settled::mark(self.system, &self.device.name, &kernel_driver) {
            tracing::warn!("{error}");
        }
    }

    /// Returns the names of the attached drivers.
    pub(crate) fn attached(&self) -> Vec<DriverName> {
        self.pinned.iter().map(|pinned| pinned.driver.clone()).collect()
    }

    /// Reads the udev properties that these drivers ask for, once.
    ///
    /// The node that has them disappears when the kernel probes the device again.
    pub(crate) fn keep_properties<'d>(&mut self, drivers: impl IntoIterator<Item = &'d DriverObject>) {
        self.device.keep_properties(drivers.into_iter().flat_map(DriverObject::all_properties));
    }

    /// Attaches a driver.
    ///
    /// Detaches it first if it is attached, because the values it was given can't be changed in place.
    pub(crate) fn reattach(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        rule: Option<String>,
    ) -> Result<LoadReport> {
        if self.is_pinned(&driver.name) {
            if self.loader.has_successor() {
                let what = format!("the driver `{}` has to be reattached", driver.name);
                return Err(Error::new(ErrorKind::NotFast, what));
            }
            self.detach_fully(&driver.name)?;
            self.device = self.device.read_again(self.system)?;
        }
        self.attach(generation, driver, rule)
    }

    /// Attaches a driver and records the result in the state.
    ///
    /// Of several versions of the driver, it takes the newest that is for the device and that this kernel loads.
    pub(crate) fn attach(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        rule: Option<String>,
    ) -> Result<LoadReport> {
        let device = self.device.name.clone();
        let attached = versions::to_attach(driver, generation, &self.device).and_then(|mut versions| {
            let oldest = versions.pop().unwrap_or(driver);
            for version in versions {
                match self.try_attach(generation, version, rule.clone()) {
                    Err(error) if error.kind() == ErrorKind::Load => {
                        tracing::info!("{error}; an older version of the driver is tried");
                    }
                    done => return done,
                }
            }
            self.try_attach(generation, oldest, rule)
        });
        // After these, another loader or a later event tries again, or there is nothing to try.
        let is_final = |error: &Error| {
            use ErrorKind::{AlreadyAttached, Gone, NotFast, NotReady};
            !matches!(error.kind(), AlreadyAttached | Gone | NotFast | NotReady)
        };
        if attached.as_ref().is_err_and(is_final) {
            self.switch_back(driver);
        }
        attached.map_err(|error| error.during(Step::Prepare).on(&device).of(&driver.name))
    }

    fn try_attach(
        &mut self,
        generation: Generation,
        driver: &DriverObject,
        rule: Option<String>,
    ) -> Result<LoadReport> {
        if self.is_pinned(&driver.name) {
            return Err(Error::new(
                ErrorKind::AlreadyAttached,
                format!("the driver `{}` is attached to the device `{}` already", driver.name, self.device.name),
            )
            .with_hint(format!("`hidbpf reload {} {}` reattaches it", driver.name, self.device.name)));
        }
        let hooks: Vec<Hook> = driver.hooks_for(generation)?.keys().copied().collect();
        if driver.fixes_descriptor()
            && let Some(holder) = holder(&self.state, &self.attached())
        {
            return Err(Reason::FixedBy(holder.clone()).error(&driver.name, &self.device.name));
        }
        let (mut variables, mut wrong) = (BTreeMap::new(), Vec::new());
        if !driver.manifest.options.is_empty() {
            let config = Config::read(self.system);
            let (options, problems) =
                resolve::options(driver, Some(&self.device), &config, &self.state.set_by_hand(&driver.name));
            (variables, wrong) = (resolve::variables(&options), problems);
        }
        if !driver.manifest.fields.is_empty() {
            // Fields are placed as in the device's own reports, even if another driver changed the descriptor.
            let original = self.device.read_original(self.loader)?;
            let places = fields::variables(&driver.manifest.fields, original).map_err(|missing| {
                let (driver, device) = (&driver.name, &self.device.name);
                let what = format!("the driver `{driver}` reads {missing}, which the device `{device}` does not have");
                Error::new(ErrorKind::NoMatch, what).with_hint("the driver is not for this device").during(Step::Choose)
            })?;
            variables.extend(places);
        }
        variables.extend(driver.rule_variable(rule.as_deref()));
        if !variables.is_empty() {
            self.device = self.device.clone().with_variables(variables);
        }
        let shared = driver.shared_places();
        // Held until the driver's map is pinned.
        let _physical = match self.device.physical().filter(|_| !shared.is_empty()) {
            Some(physical) => {
                let lock = PhysicalLock::take(self.system, &physical)?;
                let map = shared::find(self.system, &self.device, &physical, &driver.name, &shared)?;
                self.device = self.device.clone().with_shared(map);
                Some(lock)
            }
            None => None,
        };
        // The driver's table of fields is that of the original descriptor. Its probe program and its setup receive the
        // original descriptor or its size. It also decides whether the hooks are attached in one step or two.
        let may_need_two_steps = driver.fixes_descriptor() && hooks.len() > 1;
        let has_table = driver.globals.contains_key(field_table::VARIABLE);
        if has_table || driver.has_probe || driver.has_setup || may_need_two_steps {
            self.device.read_original(self.loader)?;
        }
        // Planned before the state is written, so that a device that is not ready yet gets no state file.
        let plan = match Plan::new(self.loader, self.system, generation, driver, &self.device) {
            Err(error) if error.kind() == ErrorKind::NotReady && self.device.driver.is_none() => return Err(error),
            plan => plan,
        };
        if let Some(original) = self.device.original() {
            self.state.set_original(original);
        }
        self.state.drivers.retain(|known| known.driver != driver.name);
        self.state.drivers.push(DriverState {
            driver: driver.name.clone(),
            object: driver.path.clone(),
            fingerprint: Some(driver.fingerprint.clone()),
            generation,
            hooks: hooks.clone(),
            rule: rule.clone(),
            change: if hooks.contains(&Hook::RdescFixup) {
                DescriptorEffect::Fixed
            } else {
                DescriptorEffect::NotWanted
            },
            fixed_size: None,
            unbound_before: self.device.driver.is_none() || self.device.is_refused(),
            foreign: driver.origin.is_foreign(),
            loaded: Some(self.loader.kind()),
            properties: self.device.properties(driver.all_properties()),
            options: driver.option_places(),
            maps: driver.manifest.maps.iter().map(|map| map.name.clone()).collect(),
            shared,
            exports: driver.exports(),
            set_up: None,
        });
        // Written before the first request to the kernel, so that udev cleans up when the device is unplugged. It
        // records the expected result, and the pins show whether that was reached. It is rewritten only if the result
        // differs.
        // The plan borrows the device, so that `write_state` cannot be called.
        let recorded = self.state.write(self.system, &self.lock)?;
        let written = self.state.clone();
        let result = plan
            .and_then(Plan::probe)
            .and_then(|probed| probed.load())
            .and_then(|loaded| loaded.attach())
            .and_then(|attached| attached.verify())
            .and_then(|verified| verified.set_up())
            .and_then(|ready| ready.pin(&recorded))
            .and_then(|(fixup, pinned)| {
                let mut exports = driver.exports();
                if let Err(error) = pins::read_exports(self.system, &pinned, &mut exports) {
                    pins::unpin(self.system, &self.device.name, &driver.name)?;
                    return Err(error.during(Step::SetUp));
                }
                Ok((fixup, pinned, exports))
            });
        match result {
            Ok((Fixup { change, fixed_size }, pinned, exports)) => {
                let has_news = !exports.is_empty();
                if let Some(known) = self.state.drivers.iter_mut().find(|known| known.driver == driver.name) {
                    (known.change, known.fixed_size) = (change, fixed_size);
                    known.loaded = Some(self.loader.kind());
                    known.exports = exports;
                    known.set_up = driver.has_setup.then(|| self.system.uevent_seqnum().unwrap_or(u64::MAX));
                }
                self.state.resolve(std::slice::from_ref(&driver.name));
                self.state.unloaded.retain(|taken| *taken != driver.name);
                self.note_wrong_options(driver, wrong);
                if self.state != written
                    && let Err(error) = self.state.write(self.system, &self.lock)
                {
                    // Detach: otherwise the state file would contradict what is attached.
                    pins::unpin(self.system, &self.device.name, &driver.name)?;
                    return Err(error);
                }
                self.pinned.push(pinned);
                if has_news {
                    self.device.trigger(self.system, true);
                }
                Ok(LoadReport {
                    device: self.device.name.clone(),
                    hid_name: self.device.hid_name.clone(),
                    driver: driver.name.clone(),
                    rule,
                    generation,
                    change,
                    hooks,
                    set_up: driver.has_setup,
                    already: false,
                })
            }
            Err(error) => {
                pins::discard(self.system, &self.device.name);
                self.state.drivers.retain(|known| known.driver != driver.name);
                if error.kind() == ErrorKind::Gone || !self.device.is_present() {
                    pins::unpin_all(self.system, &self.device.name)?;
                    DeviceState::forget(self.system, &self.lock)?;
                } else if self.loader.has_successor()
                    && matches!(error.kind(), ErrorKind::NotFixed | ErrorKind::Skipped)
                {
                    // libbpf may succeed. If it does not, its error says more.
                    let what =
                        format!("the driver `{}` did not do its work when it was attached the fast way", driver.name);
                    return Err(Error::because(ErrorKind::NotFast, what, error));
                } else if error.kind() != ErrorKind::NotFast {
                    self.state.fail(vec![driver.name.clone()], &error);
                    // Report the first failure, even if writing the state fails too.
                    if let Err(unwritten) = self.state.write(self.system, &self.lock) {
                        tracing::warn!("{unwritten}");
                    }
                }
                Err(error)
            }
        }
    }

    /// Records invalid option values as a failure, so that `hidbpf status` shows them.
    pub(crate) fn note_wrong_options(&mut self, driver: &DriverObject, wrong: Vec<String>) {
        if !wrong.is_empty() {
            let error = Error::new(ErrorKind::Config, wrong.join("; "))
                .with_hint(format!("what is wrong is passed over; `hidbpf get {}` shows what holds", driver.name));
            tracing::error!("{error}");
            self.state.fail(vec![driver.name.clone()], &error);
        }
    }

    /// Returns a report about a driver that is already attached, or `None` if it is not.
    ///
    /// # Errors
    /// It is attached from another object.
    pub(super) fn attached_already(&self, driver: &DriverObject) -> Result<Option<LoadReport>> {
        if !self.is_pinned(&driver.name) {
            return Ok(None);
        }
        let Some(known) = self.state.drivers.iter().find(|known| known.driver == driver.name) else { return Ok(None) };
        let is_same = match &known.fingerprint {
            Some(fingerprint) => driver.version(fingerprint).is_some(),
            None => known.object == driver.path,
        };
        if !is_same {
            let (name, device, path) = (&driver.name, &self.device.name, driver.path.display());
            let what = format!(
                "failed to attach the driver `{name}` to the device `{device}`: another version of it is attached, from `{}`",
                known.object.display()
            );
            let hint = format!("`hidbpf reload {path} {device}` attaches the one of `{path}` in its place");
            return Err(Error::new(ErrorKind::AlreadyAttached, what).with_hint(hint).during(Step::Choose));
        }
        Ok(Some(LoadReport {
            device: self.device.name.clone(),
            hid_name: self.device.hid_name.clone(),
            driver: driver.name.clone(),
            rule: known.rule.clone(),
            generation: known.generation,
            change: known.change,
            hooks: known.hooks.clone(),
            set_up: driver.has_setup,
            already: true,
        }))
    }
}
