//! Switching the mode of the USB device that a HID device is an interface of.
//!
//! [`LockedDevice::switch_modes`] runs before the match rules about udev properties are judged. It switches a device only
//! for a driver that would be attached if those rules held. So nothing is sent to a device for a driver that the user has
//! disabled, or that another driver is in the way of. For drivers without a mode switch it does nothing.
//!
//! A mode switch that fails keeps no driver from being attached: the device stays in firmware mode, which the driver may
//! repair as well. The failure is in the log and in `hidbpf status`.
//!
//! A device that was switched and then gets no driver would be silent, because nothing understands its vendor mode.
//! [`LockedDevice::switch_back`] resets it, and it stays in firmware mode until it is plugged in again.

use super::facts::{Query, decide_on};
use super::report::tell;
use super::{LockedDevice, Manager};
use crate::attach::setup::meaning;
use crate::config::Config;
use crate::config::resolve;
use crate::device::Device;
use crate::driver::matching::{Verdict, judge};
use crate::driver::object::DriverObject;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::load::loader::Loader;
use crate::manifest::options::Value;
use crate::mode_switch::declaration::ModeSwitch;
use crate::mode_switch::exchange::{self, Failure, Outcome};
use crate::mode_switch::other_tool;
use crate::policy::{Asked, Decision};
use crate::state::{SwitchProblem, SwitchState};
use crate::system::System;
use crate::usb::device::UsbDevice;
use crate::usb::record::{self, Record};

/// Kernel drivers that know nothing of vendor modes. A device that any other one serves is never switched.
const GENERIC: [&str; 2] = ["hid-generic", "hid-multitouch"];

impl<L: Loader> LockedDevice<'_, L> {
    /// Takes the steps of the mode switches of those drivers that would be attached if the rules about properties held.
    pub(crate) fn switch_modes(
        &mut self,
        query: &Query<'_>,
        drivers: &[DriverObject],
        asked: impl Fn(&DriverObject) -> Asked,
    ) {
        if drivers.iter().all(|driver| driver.manifest.mode_switch.is_none()) {
            return;
        }
        let attached = self.attached();
        let mut device = self.device.clone().with_unknown_properties();
        let decided = decide_on(self.loader, query, &mut device, (&self.state, &attached), drivers, asked);
        // If the original descriptor can't be read, the decision that follows reports it.
        let (decisions, _) = decided.into_parts();
        if self.device.original().is_none()
            && let Some(original) = device.original()
        {
            self.device = self.device.clone().with_original(original.to_vec());
        }
        for (driver, decision) in drivers.iter().zip(decisions) {
            if matches!(decision, Decision::Attach { .. }) {
                self.switch_mode(driver, query.config);
            }
        }
    }

    /// Takes the steps of a driver's mode switch, if it is for this device.
    ///
    /// If they were taken for another interface of this connection of the device, takes over the answers.
    pub(crate) fn switch_mode(&mut self, driver: &DriverObject, config: &Config) {
        let Some(switch) = &driver.manifest.mode_switch else { return };
        if let Err(error) = self.try_switch_mode(driver, switch, config) {
            tell(&error.during(Step::SwitchMode).on(&self.device.name).of(&driver.name));
        }
    }

    fn try_switch_mode(&mut self, driver: &DriverObject, switch: &ModeSwitch, config: &Config) -> Result<()> {
        let Some((usb, interface)) = UsbDevice::of(&self.device).zip(self.device.interface) else { return Ok(()) };
        if !self.is_for(driver, &usb) || switch.interface.is_some_and(|only| only != interface) {
            return Ok(());
        }
        if let Some(why) = self.reason_against(driver, switch, &usb, config) {
            tracing::info!(
                DEVICE = self.device.name.as_str(),
                DRIVER = driver.name.as_str(),
                "the mode of the USB device `{}` is not switched: {why}",
                usb.name
            );
            return Ok(());
        }
        let _lock = record::lock(self.system, &usb)?;
        let known = Record::read(self.system, &usb, &driver.name);
        let known = known.filter(|record| record.is_for(&usb, switch, interface, &self.device.name));
        let is_new = known.is_none();
        let mut record = match known {
            Some(record) => record,
            None => {
                let outcome = take_steps(self.system, switch, &usb, &self.device);
                if !self.device.is_present() {
                    // Removing it cleans up. Nothing is recorded after that.
                    return Ok(());
                }
                Record {
                    path: usb.path.clone(),
                    place: (usb.bus, usb.number),
                    driver: driver.name.clone(),
                    switch: switch.clone(),
                    sent_to: self.device.name.clone(),
                    taken: [].into(),
                    answers: outcome.answers,
                    problem: outcome.failure.map(|failure| problem(&usb, &failure)),
                    undone: false,
                }
            }
        };
        let is_taken = record.taken.insert(interface, self.device.name.clone()).is_some();
        if is_new || !is_taken {
            record.write(self.system)?;
        }
        let error = record.problem.as_ref().filter(|_| is_new).map(SwitchProblem::error);
        self.note_record(record)?;
        error.map_or(Ok(()), Err)
    }

    /// Takes over what a record says. If that is new, udev renews the properties.
    fn note_record(&mut self, record: Record) -> Result<()> {
        if self.state.note_mode_switch(SwitchState::of(record)) {
            self.write_state()?;
            self.device = self.device.clone().with_answers(self.state.answers());
            self.device.trigger_all(self.system);
        }
        Ok(())
    }

    /// Puts the USB device back in firmware mode, if it was switched for a driver that is not attached.
    ///
    /// Only the HID device that the switch was started for decides on that.
    pub(crate) fn switch_back(&mut self, driver: &DriverObject) {
        if driver.manifest.mode_switch.is_none() || self.is_pinned(&driver.name) {
            return;
        }
        if let Err(error) = self.try_switch_back(driver) {
            tell(&error.during(Step::SwitchMode).on(&self.device.name).of(&driver.name));
        }
    }

    fn try_switch_back(&mut self, driver: &DriverObject) -> Result<()> {
        let Some(usb) = UsbDevice::of(&self.device) else { return Ok(()) };
        let _lock = record::lock(self.system, &usb)?;
        let known = Record::read(self.system, &usb, &driver.name).filter(|record| {
            record.place == (usb.bus, usb.number) && record.sent_to == self.device.name && record.problem.is_none()
        });
        let Some(record) = known else { return Ok(()) };
        let reset = usb.open(self.system, &self.device).and_then(|device| device.reset());
        let problem = match &reset {
            Ok(()) => SwitchProblem {
                message: format!(
                    "the USB device `{}` was put back in firmware mode, because the driver `{}` was not attached",
                    usb.name, driver.name
                ),
                hint: "resolve what kept the driver from it, then unplug the device and plug it in again".to_owned(),
            },
            Err(error) => SwitchProblem {
                message: format!("failed to put the USB device `{}` back in firmware mode: {error}", usb.name),
                hint: "unplug the device and plug it in again".to_owned(),
            },
        };
        let error = problem.error();
        let record = Record { problem: Some(problem), undone: true, ..record };
        record.write(self.system)?;
        self.note_record(record)?;
        Err(error)
    }

    /// Returns whether a match rule names exactly this model, and holds apart from its rule about properties.
    fn is_for(&self, driver: &DriverObject, usb: &UsbDevice) -> bool {
        let names_it = |rule: &crate::manifest::Match| {
            rule.is_usb_model() && rule.vendor == Some(usb.vendor) && rule.product == Some(usb.product)
        };
        let device = self.device.clone().with_unknown_properties();
        driver.manifest.matches.iter().any(names_it)
            && matches!(judge(&driver.manifest, &device), Verdict::Matches { .. })
    }

    /// Returns why a device is left in its mode.
    fn reason_against(
        &self,
        driver: &DriverObject,
        switch: &ModeSwitch,
        usb: &UsbDevice,
        config: &Config,
    ) -> Option<String> {
        if let Some(name) = &switch.option {
            let by_hand = self.state.set_by_hand(&driver.name);
            let (options, _) = resolve::options(driver, Some(&self.device), config, &by_hand);
            let is_on = |set: &resolve::Resolved<'_>| set.option.name == *name && set.value == Value::Bool(true);
            if !options.iter().any(is_on) {
                return Some(format!("the option `{name}` of the driver `{}` is off", driver.name));
            }
        }
        if self.device.driver.is_none() {
            return Some("no kernel driver is bound to its HID device".to_owned());
        }
        let drivers = usb.kernel_drivers();
        if let Some(other) = drivers.iter().find(|driver| !GENERIC.contains(&driver.as_str())) {
            return Some(format!("the kernel driver `{other}` serves it"));
        }
        let tool = switch.unless_installed.as_ref().filter(|tool| other_tool::is_installed(self.system, tool));
        tool.map(|tool| format!("`{tool}` does it"))
    }
}

impl<L: Loader> Manager<'_, L> {
    /// Takes the steps of all mode switches again.
    ///
    /// The devices may be in firmware mode again, after the machine slept.
    ///
    /// Returns the errors. A device that is gone is no error.
    pub fn switch_modes_again(&self) -> Vec<Error> {
        let lasting = Record::all(self.system).into_iter().filter(|record| !record.undone);
        lasting.filter_map(|record| self.switch_mode_again(record).err()).collect()
    }

    fn switch_mode_again(&self, record: Record) -> Result<()> {
        let during = |error: Error| error.during(Step::SwitchMode).on(&record.sent_to).of(&record.driver);
        let Some(usb) = UsbDevice::at(&record.path).filter(|usb| (usb.bus, usb.number) == record.place) else {
            return Ok(());
        };
        let device = match Device::open(self.system, &record.sent_to) {
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => return Ok(()),
            device => self.unfixed(device.map_err(during)?),
        };
        let renewed = {
            let _lock = record::lock(self.system, &usb).map_err(during)?;
            let Outcome { answers, failure } = take_steps(self.system, &record.switch, &usb, &device);
            if !device.is_present() {
                return Ok(());
            }
            // After a failure the answers from before hold, because the device is the same one.
            let answers = if failure.is_some() { record.answers.clone() } else { answers };
            let problem = failure.map(|failure| problem(&usb, &failure));
            let renewed = Record { answers, problem, ..record.clone() };
            renewed.write(self.system).map_err(during)?;
            renewed
        };
        for hid in record.taken.values() {
            let mut locked = match self.lock_device(hid) {
                Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => continue,
                locked => locked?,
            };
            locked.note_record(renewed.clone())?;
        }
        renewed.problem.map_or(Ok(()), |problem| Err(during(problem.error())))
    }
}

fn take_steps(system: &System, switch: &ModeSwitch, usb: &UsbDevice, device: &Device) -> Outcome {
    match usb.open(system, device) {
        Ok(mut wire) => exchange::run(switch, &mut wire),
        Err(error) => {
            let step = "opens its node in /dev/bus/usb".to_owned();
            let failure = Failure { step, why: error.to_string(), errno: error.raw_os_error() };
            Outcome { failure: Some(failure), ..Outcome::default() }
        }
    }
}

fn problem(usb: &UsbDevice, failure: &Failure) -> SwitchProblem {
    let again = "unplug the device and plug it in again, then run `hidbpf status`";
    let hint = match failure.errno.and_then(meaning) {
        Some(meaning) => format!("{meaning}; it stays in firmware mode: {again}"),
        None => format!("it stays in firmware mode: {again}"),
    };
    SwitchProblem { message: format!("failed to switch the mode of the USB device `{}`: {failure}", usb.name), hint }
}

impl SwitchState {
    /// Returns what a record says about each HID device.
    fn of(Record { driver, answers, problem, undone, .. }: Record) -> SwitchState {
        SwitchState { driver, answers, problem, undone }
    }
}

impl SwitchProblem {
    /// Returns the problem as an error.
    fn error(&self) -> Error {
        Error::new(ErrorKind::NotSetUp, self.message.clone()).with_hint(self.hint.clone())
    }
}
