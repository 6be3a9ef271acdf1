//! Runs a driver's programs, one at a time, as the kernel would.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hidbpf_descriptor::recording::RequestKind;
use hidbpf_descriptor::{
    FoundField, MAX_DESCRIPTOR, ReportLengths, ReportType, WantedField, field_table, invalid, packed,
};
use hidbpf_prelink::driver::{
    FieldPlace, IDS, Ids, NO_RULE, PROBE_PROGRAM, PROPERTY_PREFIX, ProbeArgs, RULE, SETUP_PROGRAM, SetupArgs,
};
use hidbpf_prelink::not_set_up::NotSetUp;
use hidbpf_prelink::section::SHARED_DATA;
use hidbpf_prelink::{Generation, Hook};
use zerocopy::{FromZeros, IntoBytes};

use crate::device::ReplayDevice;
use crate::error::{Reason, ReplayError};
use crate::machine::{Call, GET_REPORT, Machine, Problem, SET_REPORT};
use crate::memory::{Access, Full, Kind};
use crate::object::{Global, Hooks, Object};
use crate::outcome::{Fixed, Outcome, Report, Verdict};
use crate::request::Request;
use crate::settings::{ExportedVariable, Settings};

/// A driver running on a device.
#[derive(Debug)]
pub struct Driver {
    pub(crate) machine: Machine,
    object: Arc<Object>,
    generation: Generation,
    events: Vec<usize>,
    exports: Vec<ExportedVariable>,
    descriptor: Vec<u8>,
    /// The reports of the fixed descriptor, once known.
    reports: Option<Result<usize, ReplayError>>,
}

/// The maximum number of timer and work item callbacks at a time, so that callbacks that start each other end.
const MAX_CALLBACKS: usize = 10_000;

impl Driver {
    /// Loads an object's programs for a generation, on a device.
    ///
    /// # Errors
    /// The object has no program for the generation, it doesn't have one of the options, or memory runs out.
    pub fn new(
        object: &Object,
        generation: Generation,
        device: &ReplayDevice,
        settings: &Settings,
    ) -> Result<Driver, ReplayError> {
        if *object.hooks(generation) == Hooks::default() && object.syscalls.is_empty() {
            return Err(ReplayError::NoPrograms(generation));
        }
        let object = Arc::new(object.clone());
        let machine = Machine::new(&object, generation, settings.instruction_limit, settings.memory_limit);
        let mut machine = machine.map_err(|full| out_of_memory(&full))?;
        machine.features = settings.features.clone();
        machine.device_id = device.id.0;
        // The driver's probe runs before its hooks, when the kernel still uses the original descriptor.
        machine.reports = ReportLengths::parse(&device.descriptor).unwrap_or_default();
        for (member, value) in [
            ("id", device.id.0.to_le_bytes().as_slice()),
            ("bus", &device.bus.0.to_le_bytes()),
            ("group", &device.group.0.to_le_bytes()),
            ("vendor", &device.vendor.0.to_le_bytes()),
            ("product", &device.product.0.to_le_bytes()),
        ] {
            machine.set_device_member(member, value, false);
        }
        for (member, text) in [("name", &device.name), ("phys", &device.phys), ("uniq", &device.uniq)] {
            machine.set_device_member(member, text.as_bytes(), true);
        }
        let mut driver = Driver {
            machine,
            events: object.hooks(generation).of(Hook::DeviceEvent).to_vec(),
            exports: settings.exports.clone(),
            object,
            generation,
            descriptor: device.descriptor.clone(),
            reports: None,
        };
        for (name, value) in &settings.properties {
            driver.set_property(name, value);
        }
        for (name, value) in &settings.options {
            driver.set_option(name, value)?;
        }
        let place = |(variable, field): &(String, WantedField)| {
            let found = field.find(&device.descriptor).ok_or(ReplayError::NoField(*field))?;
            let FoundField { report_id, size, offset } = found;
            let place = FieldPlace { report_id, kind: field.report.number() as u8, size, offset };
            Ok((variable.clone(), place.as_bytes().to_vec()))
        };
        let mut variables = settings.fields.iter().map(place).collect::<Result<BTreeMap<_, _>, ReplayError>>()?;
        let ids = Ids { hid: device.id.0, vendor: device.vendor.0, product: device.product.0 };
        variables.insert(IDS.to_owned(), ids.as_bytes().to_vec());
        variables.insert(RULE.to_owned(), settings.rule.unwrap_or(NO_RULE).to_le_bytes().to_vec());
        if driver.object.global(packed::VARIABLE).is_some() {
            variables.insert(packed::VARIABLE.to_owned(), packed::bytes(&device.descriptor));
        }
        if let Some(table) = driver.variable(field_table::VARIABLE) {
            let bytes = field_table::bytes(&device.descriptor, table.len());
            variables.insert(field_table::VARIABLE.to_owned(), bytes);
        }
        for (name, bytes) in variables {
            let global = driver.object.global(&name);
            // A field that no program reads has no variable.
            if let Some(variable) = global.and_then(|global| driver.global_bytes(global)) {
                variable.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            }
        }
        Ok(driver)
    }

    /// Returns the generation that the driver was loaded for.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    fn global_bytes(&mut self, global: Global) -> Option<&mut [u8]> {
        let section = *self.machine.data.sections.get(global.section)?;
        let end = global.offset.checked_add(global.size)?;
        self.machine.memory.bytes_mut(section).get_mut(global.offset as usize..end as usize)
    }

    fn shared_bytes(&mut self) -> Option<&mut [u8]> {
        let index = self.object.data.iter().position(|section| section.name == SHARED_DATA)?;
        let region = *self.machine.data.sections.get(index)?;
        Some(self.machine.memory.bytes_mut(region))
    }

    /// Returns the data that the driver shares with drivers on other interfaces of the device, if it has any.
    pub fn shared(&mut self) -> Option<Vec<u8>> {
        self.shared_bytes().map(|bytes| bytes.to_vec())
    }

    /// Replaces the data that the driver shares, as far as it is as long.
    pub fn set_shared(&mut self, shared: &[u8]) {
        if let Some(bytes) = self.shared_bytes().filter(|bytes| bytes.len() == shared.len()) {
            bytes.copy_from_slice(shared);
        }
    }

    /// Passes a udev property to the driver, truncated to fit. Returns whether the driver asks for the property.
    pub fn set_property(&mut self, name: &str, value: &str) -> bool {
        let global = self.object.global(&format!("{PROPERTY_PREFIX}{name}"));
        let Some(variable) = global.and_then(|global| self.global_bytes(global)) else { return false };
        variable.fill(0);
        let used = value.len().min(variable.len().saturating_sub(1));
        variable[..used].copy_from_slice(&value.as_bytes()[..used]);
        true
    }

    /// Sets all bytes of a variable of the driver.
    ///
    /// # Errors
    /// There is no such variable, or it has another size.
    pub fn set_option(&mut self, name: &str, bytes: &[u8]) -> Result<(), ReplayError> {
        let fail = |reason: String| ReplayError::Option { name: name.to_owned(), reason };
        let global = self.object.global(name);
        let Some(variable) = global.and_then(|global| self.global_bytes(global)) else {
            return Err(fail("is not one of the driver's".to_owned()));
        };
        if variable.len() != bytes.len() {
            return Err(fail(format!("has {} bytes, expected {}", bytes.len(), variable.len())));
        }
        variable.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the current value of a variable.
    pub fn variable(&mut self, name: &str) -> Option<Vec<u8>> {
        let global = self.object.global(name)?;
        self.global_bytes(global).map(|bytes| bytes.to_vec())
    }

    /// Returns the udev properties that the driver gives the device. Call it after the setup.
    pub fn exported(&mut self) -> BTreeMap<String, String> {
        let exports = std::mem::take(&mut self.exports);
        let value = |export: &ExportedVariable| {
            let bytes = self.variable(&export.variable)?;
            Some((export.property.clone(), export.text(u32::from_le_bytes(bytes.try_into().ok()?))))
        };
        let exported = exports.iter().filter_map(value).collect();
        self.exports = exports;
        exported
    }

    /// Returns the messages that the driver printed since the last call.
    pub fn take_messages(&mut self) -> Vec<String> {
        std::mem::take(&mut self.machine.messages)
    }

    /// Returns the requests that the driver sent since the last call.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.machine.requests)
    }

    /// Runs the driver's probe on the device.
    ///
    /// # Errors
    /// The program stopped.
    pub fn probe(&mut self) -> Result<Verdict, ReplayError> {
        if self.object.syscall(PROBE_PROGRAM).is_none() {
            return Ok(Verdict::NoProbe);
        }
        let mut arguments = ProbeArgs::new_zeroed();
        let size = self.descriptor.len().min(MAX_DESCRIPTOR);
        arguments.hid = self.machine.device_id;
        arguments.rdesc_size = size as u32;
        arguments.rdesc[..size].copy_from_slice(&self.descriptor[..size]);
        self.run_syscall(PROBE_PROGRAM, arguments.as_mut_bytes())?;
        Ok(if arguments.retval == 0 { Verdict::Takes } else { Verdict::Refuses(arguments.retval) })
    }

    /// Runs the driver's setup, if it has one, on the fixed descriptor. [`Driver::take_requests`] includes the setup's
    /// requests.
    ///
    /// # Errors
    /// The program stopped.
    pub fn set_up(&mut self) -> Result<Option<NotSetUp>, ReplayError> {
        if self.object.syscall(SETUP_PROGRAM).is_none() {
            return Ok(None);
        }
        let rdesc_size = self.descriptor.len() as u32;
        let mut arguments = SetupArgs { hid: self.machine.device_id, rdesc_size, ..SetupArgs::default() };
        self.run_syscall(SETUP_PROGRAM, arguments.as_mut_bytes())?;
        self.run_due(self.machine.now)?;
        self.machine.injected.clear();
        Ok(NotSetUp::of(&arguments))
    }

    /// Runs a syscall program with an argument, which it can change, and returns its result.
    ///
    /// # Errors
    /// There is no such program, or it stopped.
    pub fn run_syscall(&mut self, name: &str, argument: &mut [u8]) -> Result<i32, ReplayError> {
        let program = self.object.syscall(name).ok_or_else(|| ReplayError::NoSyscallProgram(name.to_owned()))?;
        let memory = &mut self.machine.memory;
        let region = memory
            .allocate(argument.len(), Kind::SyscallArgument, Access::ReadWrite)
            .map_err(|full| out_of_memory(&full))?;
        memory.bytes_mut(region).copy_from_slice(argument);
        self.machine.begin();
        let result = self.machine.run_program(program, region.pointer(0));
        argument.copy_from_slice(self.machine.memory.bytes(region));
        self.machine.memory.release(region);
        self.machine.end();
        result.map_err(|problem| self.stopped(program, problem))
    }

    /// Runs the driver's descriptor hook. Later reports must match the fixed descriptor.
    ///
    /// # Errors
    /// The program stopped, or its result is larger than the buffer.
    pub fn fix_descriptor(&mut self, descriptor: &[u8]) -> Result<Fixed, ReplayError> {
        // The kernel discards the known reports before it calls the descriptor hook.
        self.machine.reports = ReportLengths::default();
        let fixed = match self.object.hooks(self.generation).of(Hook::RdescFixup).first().copied() {
            Some(program) => self.run_fixup(program, descriptor)?,
            None => Fixed::Unchanged,
        };
        let parsed = match &fixed {
            Fixed::Changed(changed) => changed.as_slice(),
            Fixed::Unchanged | Fixed::Refused(_) => descriptor,
        };
        let changed = matches!(fixed, Fixed::Changed(_));
        let reports = ReportLengths::parse(parsed);
        self.machine.reports = reports.as_ref().cloned().unwrap_or_default();
        self.reports = Some(match reports {
            Ok(reports) if reports.buffer_size() == 0 => Err(ReplayError::NoReports),
            Ok(reports) => Ok(reports.buffer_size()),
            Err(invalid) => Err(ReplayError::Descriptor { fixed: changed, invalid }),
        });
        Ok(fixed)
    }

    fn run_fixup(&mut self, program: usize, descriptor: &[u8]) -> Result<Fixed, ReplayError> {
        // The kernel calls no hook for an empty descriptor. The replay runs it on one as on any other.
        if !descriptor.is_empty() {
            invalid::check_size(descriptor.len())
                .map_err(|invalid| ReplayError::Descriptor { fixed: false, invalid })?;
        }
        let machine = &mut self.machine;
        let full = |full| out_of_memory(&full);
        let data = machine.memory.allocate(MAX_DESCRIPTOR, Kind::Data, Access::ReadWrite).map_err(full)?;
        machine.memory.bytes_mut(data)[..descriptor.len()].copy_from_slice(descriptor);
        let context = machine.new_context(Some(data), descriptor.len(), false, false).map_err(full)?;
        let arguments = machine.new_arguments(&Call::new(Hook::RdescFixup), context).map_err(full)?;
        machine.begin();
        let result = machine.run_program(program, arguments.pointer(0));
        let bytes = machine.memory.bytes(data).to_vec();
        machine.drop_views(|view| view.whole == data);
        machine.drop_context(context);
        machine.memory.release(arguments);
        machine.memory.release(data);
        machine.end();
        let returned = result.map_err(|problem| self.stopped(program, problem))?;
        self.run_due(self.machine.now)?;
        self.machine.injected.clear();
        let size = match returned {
            ..0 => return Ok(Fixed::Refused(returned)),
            0 => descriptor.len(),
            1.. => returned as usize,
        };
        match bytes.get(..size) {
            Some(fixed) if fixed == descriptor => Ok(Fixed::Unchanged),
            Some(fixed) => Ok(Fixed::Changed(fixed.to_vec())),
            None => {
                let reason = Reason::ResultTooLong { result: returned.into(), buffer: MAX_DESCRIPTOR };
                Err(self.stopped(program, Problem::Here(reason)))
            }
        }
    }

    /// Runs the driver's event hook on an input report from the device. Runs the descriptor hook first if that hasn't
    /// happened.
    ///
    /// # Errors
    /// The program stopped, or its result is larger than the buffer. Or the kernel would refuse the device or the
    /// report.
    pub fn event(&mut self, report: &[u8]) -> Result<Outcome, ReplayError> {
        self.event_of(ReportType::Input, report)
    }

    /// Runs the driver's event hook on a report of a type. Answers to GET_REPORT pass the same hook.
    ///
    /// # Errors
    /// As for [`Driver::event`].
    pub fn event_of(&mut self, kind: ReportType, report: &[u8]) -> Result<Outcome, ReplayError> {
        let size = match &self.reports {
            Some(Ok(size)) => *size,
            Some(Err(error)) => return Err(error.clone()),
            None => {
                self.fix_descriptor(&self.descriptor.clone())?;
                return self.event_of(kind, report);
            }
        };
        if self.events.is_empty() {
            return Ok(Outcome { before: Vec::new(), report: Report::Unchanged, after: Vec::new(), instructions: 0 });
        }
        if report.len() > size {
            return Err(ReplayError::ReportTooLong { length: report.len(), buffer: size });
        }
        let buffer = self.machine.event_buffer(size).map_err(|full| out_of_memory(&full))?;
        let taken = self.machine.instructions;
        self.machine.begin();
        let result = self.machine.dispatch_event(buffer, &self.events, kind, report, None);
        let before = std::mem::take(&mut self.machine.injected);
        let report = match result {
            Ok(Ok(size)) => match self.machine.memory.bytes(buffer.data).get(..size) {
                Some(bytes) if bytes != report => Report::Changed(bytes.to_vec()),
                _ => Report::Unchanged,
            },
            Ok(Err(errno)) => Report::Dropped(errno),
            Err(problem) => {
                self.machine.end();
                let program = self.events.last().copied().unwrap_or(0);
                return Err(self.stopped(program, problem));
            }
        };
        self.machine.end();
        let mut after = Vec::new();
        if !self.machine.deferred.is_empty() {
            self.run_due(self.machine.now)?;
            after = std::mem::take(&mut self.machine.injected);
        }
        Ok(Outcome { before, report, after, instructions: self.machine.instructions - taken })
    }

    /// Returns the size of the report buffer, if the driver has an event hook and the kernel accepts the descriptor.
    pub(crate) fn buffer_size(&self) -> Option<usize> {
        self.reports.as_ref()?.as_ref().ok().copied().filter(|_| self.has_event_hook())
    }

    /// Iterates over the driver's data by section name, with the current values of its variables.
    pub fn data(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let regions = self.object.data.iter().zip(&self.machine.data.sections);
        regions.map(|(section, region)| (section.name.as_str(), self.machine.memory.bytes(*region)))
    }

    /// Returns whether the driver has an event hook.
    pub(crate) fn has_event_hook(&self) -> bool {
        !self.events.is_empty()
    }

    /// Advances the recording's clock and runs the timers that are due by then. Returns the reports that they send,
    /// with their times.
    ///
    /// # Errors
    /// A callback stopped.
    pub fn advance(&mut self, to: Duration) -> Result<Vec<(Duration, Vec<u8>)>, ReplayError> {
        let until = u64::try_from(to.as_nanos()).unwrap_or(u64::MAX).max(self.machine.now);
        if self.machine.deferred.is_empty() {
            self.machine.now = until;
            return Ok(Vec::new());
        }
        let sent = self.run_due(until)?;
        self.machine.injected.clear();
        self.machine.now = until;
        Ok(sent)
    }

    /// Runs all callbacks due up to a time. The reports that they send also stay in `injected`.
    fn run_due(&mut self, until: u64) -> Result<Vec<(Duration, Vec<u8>)>, ReplayError> {
        let mut sent = Vec::new();
        // All callbacks together have the instruction limit of one hook.
        self.machine.begin();
        let mut callback = 0;
        for _ in 0..MAX_CALLBACKS {
            let Some((time, address)) = self.machine.next_due(until) else { return Ok(sent) };
            callback = self.machine.deferred.get(&address).and_then(|deferred| deferred.callback).unwrap_or(callback);
            self.machine.now = self.machine.now.max(time);
            let known = self.machine.injected.len();
            let result = self.machine.run_deferred(address);
            self.machine.end();
            if let Err(problem) = result {
                return Err(self.stopped_at(callback, problem));
            }
            let now = Duration::from_nanos(self.machine.now);
            sent.extend(self.machine.injected.iter().skip(known).map(|report| (now, report.clone())));
        }
        let reason = Reason::Memory(format!("timers or work items ran {MAX_CALLBACKS} times in a row"));
        Err(self.stopped_at(callback, Problem::Here(reason)))
    }

    /// Sends a request to the device like a program in user space, through the driver's hooks. Byte 0 of the data is
    /// the report's ID. Returns the answer of a hook or the device: a number of bytes or a negative errno.
    ///
    /// # Errors
    /// A program stopped.
    pub fn request(&mut self, kind: RequestKind, report: ReportType, data: &mut Vec<u8>) -> Result<i32, ReplayError> {
        if self.reports.is_none() {
            self.fix_descriptor(&self.descriptor.clone())?;
        }
        self.machine.begin();
        let result = match kind {
            RequestKind::Get => self.machine.raw_request(data, report, GET_REPORT, None),
            RequestKind::Set => self.machine.raw_request(data, report, SET_REPORT, None),
            RequestKind::Output => self.machine.raw_output(data, None),
        };
        self.machine.end();
        let result = result.map_err(|problem| self.stopped(0, problem))?;
        if let (RequestKind::Get, Ok(used)) = (kind, usize::try_from(result)) {
            data.truncate(used);
        }
        self.run_due(self.machine.now)?;
        self.machine.injected.clear();
        Ok(result)
    }

    /// Turns a problem into an error. A problem without a position is reported at the start of a program.
    fn stopped(&self, program: usize, problem: Problem) -> ReplayError {
        self.stopped_at(self.machine.image.functions.get(program).map_or(0, |function| function.start), problem)
    }

    /// Does the same with an index of the code.
    fn stopped_at(&self, start: usize, problem: Problem) -> ReplayError {
        ReplayError::Fault(match problem {
            Problem::Deeper(fault) => fault,
            Problem::Here(reason) => self.machine.image.fault(start, reason),
        })
    }
}

fn out_of_memory(full: &Full) -> ReplayError {
    ReplayError::Memory(full.to_string())
}
