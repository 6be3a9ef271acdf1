//! Runs a driver's object in user space: the same bytes that the kernel would load, without a kernel, a device or root.
//!
//! ```text
//! Object::parse(bytes) -> Driver::new(&object, generation, &device, &settings)
//!     -> probe() -> fix_descriptor() -> set_up() -> event(), event(), ...   or all of it at once: replay(&recording)
//! ```
//!
//! The replay binds the object to a kernel of the chosen [`Generation`], as libbpf would. Its interpreter supports all
//! of eBPF. It checks that each access stays in the memory that the pointer belongs to, and limits the length of each
//! run. Faults are reported with the line of the driver's source. The verifier finds such faults before a program runs,
//! a replay only when they happen. So a verifier can refuse a driver that runs here. A driver that the verifier accepts
//! can fail here only if the replay lacks a feature, and then the error says so.
//!
//! Sizes, return values and buffers are those of drivers/hid/bpf/hid_bpf_dispatch.c in 6.6 and in 6.12.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hid_bpf_src::{Ids, PROBE_PROGRAM, ProbeArgs, SETUP_PROGRAM, SetupArgs};
use zerocopy::{FromZeros, IntoBytes};

use crate::descriptor::{MAX_DESCRIPTOR, ReportLengths, ReportType, invalid};
use crate::exports::Export;
use crate::fields::{self, DriverField};
use crate::ids::{Bus, Group, HidId, ProductId, VendorId};
use crate::object::{DriverObject, IDS, PROPERTY_PREFIX};
use crate::recording::{self, Asked, Recording, RequestKind};
use crate::setup::NotSetUp;

pub(crate) mod btf;
mod core_relo;
mod effort;
mod error;
mod format;
mod helpers;
mod image;
mod insn;
mod kfuncs;
mod machine;
mod maps;
mod memory;
mod object;
pub(crate) mod random;
mod vm;
#[cfg(test)]
mod vm_tests;
mod whole;

pub use crate::kernel::Generation;
pub use effort::{Effort, MAX_JUMPS, effort};
pub use error::{AccessKind, Fault, ObjectError, Reason, ReplayError, SourceLine};
pub use object::{Declared, Object};
pub use whole::{Replayed, difference, replay};

use machine::Machine;
use memory::{Access, Full, Kind};
use object::Global;
use vm::Problem;

/// The device that a driver runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub id: HidId,
    /// Its bus.
    pub bus: Bus,
    /// Its group. A recording doesn't contain it. The default is [`Group::GENERIC`].
    pub group: Group,
    /// Its vendor.
    pub vendor: VendorId,
    /// Its product.
    pub product: ProductId,
    /// Its name.
    pub name: String,
    /// Its physical path.
    pub phys: String,
    /// Its serial number or address.
    pub uniq: String,
    /// Its original descriptor.
    pub descriptor: Vec<u8>,
}

impl Device {
    /// Returns a USB device with only an original descriptor.
    pub fn of_descriptor(descriptor: Vec<u8>) -> Device {
        Device {
            id: HidId(1),
            bus: Bus::USB,
            group: Group::GENERIC,
            vendor: VendorId(0),
            product: ProductId(0),
            name: String::new(),
            phys: String::new(),
            uniq: String::new(),
            descriptor,
        }
    }
}

impl From<&recording::Device> for Device {
    fn from(device: &recording::Device) -> Device {
        Device {
            id: HidId(1),
            bus: device.bus,
            group: Group::GENERIC,
            vendor: device.vendor,
            product: device.product,
            name: device.name.clone(),
            phys: device.phys.clone(),
            uniq: String::new(),
            descriptor: device.descriptor.clone(),
        }
    }
}

/// The data for a driver, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The device's udev properties. Ignores those that the driver doesn't ask for.
    pub properties: BTreeMap<String, String>,
    /// The values of the driver's options, which are variables.
    pub options: BTreeMap<String, i64>,
    /// The driver's fields, to look up in the device's descriptor.
    pub fields: Vec<DriverField>,
    /// The udev properties that the driver's setup gives the device.
    pub exports: Vec<Export>,
    /// The device's answers to requests for feature reports, by ID.
    pub features: BTreeMap<u8, Vec<u8>>,
    /// The maximum number of instructions per hook call. The default is 16 million. The verifier refuses programs that
    /// need more than a million without the kernel's own loops.
    pub instruction_limit: u64,
    /// The maximum size of the driver's data and maps, in bytes. The default is 64 MiB.
    pub memory_limit: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            properties: BTreeMap::new(),
            options: BTreeMap::new(),
            fields: Vec::new(),
            exports: Vec::new(),
            features: BTreeMap::new(),
            instruction_limit: 16 << 20,
            memory_limit: 64 << 20,
        }
    }
}

impl Settings {
    /// Returns the properties and feature reports of a device in a recording.
    pub fn of(device: &recording::Device) -> Settings {
        Settings { properties: device.properties.clone(), features: device.features.clone(), ..Settings::default() }
    }

    /// Adds the data from a driver's manifest: fields, exports, and the options that the properties set. Ignores
    /// invalid option values with a warning, as attaching does.
    #[must_use]
    pub fn for_driver(mut self, driver: &DriverObject) -> Settings {
        self.fields.clone_from(&driver.manifest.fields);
        self.exports.clone_from(&driver.manifest.exports);
        for option in &driver.manifest.options {
            let property = option.property(driver.name.as_str());
            let Some(text) = self.properties.get(&property) else { continue };
            match option.parse(text).and_then(|value| option.number(&value)) {
                Ok(number) => drop(self.options.insert(option.variable(), number)),
                Err(why) => tracing::warn!("the udev property {property}: {why}"),
            }
        }
        self
    }
}

/// The result of a driver's probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The driver has no probe. It accepts every device that its manifest matches.
    NoProbe,
    /// The driver accepts the device.
    Takes,
    /// The driver refuses the device with this errno.
    Refuses(i32),
}

/// The result of a descriptor hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// The descriptor is unchanged.
    Unchanged,
    /// The hook returned this descriptor.
    Changed(Vec<u8>),
    /// The hook returned this errno, so the kernel uses the original descriptor.
    Refused(i32),
}

/// The result of an event hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The report is unchanged.
    Unchanged,
    /// The hook returned this report.
    Changed(Vec<u8>),
    /// The driver dropped the report with this errno.
    Dropped(i32),
}

/// All reports that result from a report of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Reports that the driver injected while its hook ran. They arrive before the report itself.
    pub before: Vec<Vec<u8>>,
    /// The result for the report itself.
    pub report: Report,
    /// Reports from the driver's work items and due timers.
    pub after: Vec<Vec<u8>>,
    /// The number of instructions executed for all of these. The kernel's number differs slightly, because it replaces
    /// calls with its own instructions and removes unreachable ones.
    pub instructions: u64,
}

impl Outcome {
    /// Iterates over the reports that reach the kernel's input drivers, in order.
    pub fn reports<'a>(&'a self, original: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let own = match &self.report {
            Report::Unchanged => Some(original),
            Report::Changed(report) => Some(report.as_slice()),
            Report::Dropped(_) => None,
        };
        self.before.iter().map(Vec::as_slice).chain(own).chain(self.after.iter().map(Vec::as_slice))
    }
}

/// A request of a driver to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The time since the recording began.
    pub time: Duration,
    /// The kind of request.
    pub kind: RequestKind,
    /// The type of the report.
    pub report: ReportType,
    /// The bytes sent. For a get request, the ID.
    pub data: Vec<u8>,
    /// Whether there was an answer. If not, the driver received -EIO.
    pub answered: bool,
}

impl From<&Request> for Asked {
    fn from(request: &Request) -> Asked {
        Asked { kind: request.kind, report: request.report, data: request.data.clone() }
    }
}

/// A driver running on a device.
#[derive(Debug)]
pub struct Driver {
    machine: Machine,
    object: Arc<Object>,
    generation: Generation,
    events: Vec<usize>,
    exports: Vec<Export>,
    descriptor: Vec<u8>,
    /// The reports of the fixed descriptor, once known.
    reports: Option<Result<usize, ReplayError>>,
}

/// How long to wait for timers after the last report of a recording.
const PATIENCE: Duration = Duration::from_secs(10);

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
        device: &Device,
        settings: &Settings,
    ) -> Result<Driver, ReplayError> {
        if *object.hooks(generation) == object::Hooks::default() && object.syscalls.is_empty() {
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
            events: object.hooks(generation).device_event.clone(),
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
            driver.set_option(name, *value)?;
        }
        let missing = |field: &DriverField| ReplayError::NoField(field.clone());
        let mut variables = fields::variables(&settings.fields, &device.descriptor).map_err(missing)?;
        let ids = Ids { hid: device.id.0, vendor: device.vendor.0, product: device.product.0 };
        variables.insert(IDS.to_owned(), ids.as_bytes().to_vec());
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

    /// Passes a udev property to the driver, truncated to fit. Returns whether the driver asks for the property.
    pub fn set_property(&mut self, name: &str, value: &str) -> bool {
        let global = self.object.global(&format!("{PROPERTY_PREFIX}{name}"));
        let Some(variable) = global.and_then(|global| self.global_bytes(global)) else { return false };
        variable.fill(0);
        let used = value.len().min(variable.len().saturating_sub(1));
        variable[..used].copy_from_slice(&value.as_bytes()[..used]);
        true
    }

    /// Sets a variable of the driver.
    ///
    /// # Errors
    /// There is no such variable, or the value doesn't fit it.
    pub fn set_option(&mut self, name: &str, value: i64) -> Result<(), ReplayError> {
        let fail = |reason: String| ReplayError::Option { name: name.to_owned(), reason };
        let global = self.object.global(name);
        let Some(variable) = global.and_then(|global| self.global_bytes(global)) else {
            return Err(fail("is not one of the driver's".to_owned()));
        };
        let bits = match variable.len() {
            1 | 2 | 4 | 8 => variable.len() as u32 * 8,
            size => return Err(fail(format!("is not a number, but {size} bytes"))),
        };
        let (least, most) = (i64::MIN >> (64 - bits), if bits == 64 { i64::MAX } else { (1 << bits) - 1 });
        if value < least || value > most {
            return Err(fail(format!("is {value}, which doesn't fit {bits} bits")));
        }
        let size = variable.len();
        variable.copy_from_slice(&value.to_le_bytes()[..size]);
        Ok(())
    }

    /// Returns the current value of a variable.
    pub fn variable(&mut self, name: &str) -> Option<Vec<u8>> {
        let global = self.object.global(name)?;
        self.global_bytes(global).map(|bytes| bytes.to_vec())
    }

    /// Returns the udev properties that the driver gives the device. Call it after the setup.
    pub fn exported(&mut self) -> BTreeMap<String, String> {
        let exports = std::mem::take(&mut self.exports);
        let value = |export: &Export| {
            let bytes = self.variable(&export.variable())?;
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
        let fixed = match self.object.hooks(self.generation).rdesc_fixup.first().copied() {
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
        let arguments = match self.generation {
            Generation::FmodRet => vec![context.pointer(0), 0],
            Generation::StructOps => vec![context.pointer(0)],
        };
        let arguments = machine.new_arguments(&arguments).map_err(full)?;
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
        if self.machine.event.is_none_or(|event| event.size != size) {
            self.machine.make_event_buffer(size).map_err(|full| out_of_memory(&full))?;
        }
        let Some(buffer) = self.machine.event else { return Err(ReplayError::NoReports) };
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

    /// Returns the longest path that a program has taken so far.
    fn effort(&self) -> Effort {
        let way = &self.machine.longest_way;
        let longest = way.rounds.values().max();
        Effort {
            jumps: way.jumps,
            rounds: longest.map_or(0, |(rounds, _)| *rounds),
            source: longest.and_then(|(_, from)| self.machine.image.source_at(*from)),
        }
    }

    /// Returns the size of the report buffer, if the driver has an event hook and the kernel accepts the descriptor.
    fn buffer_size(&self) -> Option<usize> {
        self.reports.as_ref()?.as_ref().ok().copied().filter(|_| self.has_event_hook())
    }

    /// Iterates over the driver's data by section name, with the current values of its variables.
    pub(crate) fn data(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let regions = self.object.data.iter().zip(&self.machine.data.sections);
        regions.map(|(section, region)| (section.name.as_str(), self.machine.memory.bytes(*region)))
    }

    /// Returns whether the driver has an event hook.
    fn has_event_hook(&self) -> bool {
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
            RequestKind::Get => self.machine.raw_request(data, report, kfuncs::GET_REPORT, None),
            RequestKind::Set => self.machine.raw_request(data, report, kfuncs::SET_REPORT, None),
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

    /// Replays one device of a recording, an index of [`Recording::devices`]. Returns the result that the kernel would
    /// produce. The instruction counts are those of the device's own reports.
    ///
    /// # Errors
    /// As for [`Driver::fix_descriptor`] and [`Driver::event`], with the line of the recording.
    pub fn replay(&mut self, recording: &Recording, device_index: usize) -> Result<Replayed, LineError> {
        let at = |line: Option<usize>| move |error: ReplayError| LineError { line, error };
        let Some(original) = recording.devices.get(device_index) else { return Ok(Replayed::default()) };
        let mut fixed = original.clone();
        if let Fixed::Changed(descriptor) = self.fix_descriptor(&original.descriptor).map_err(at(None))? {
            fixed.descriptor = descriptor;
        }
        let not_set_up = self.set_up().map_err(at(None))?;
        fixed.asked = self.take_requests().iter().map(Asked::from).collect();
        if let Some(failure) = not_set_up {
            let device = recording::Device { asked: fixed.asked, ..original.clone() };
            let events = recording.events_of(device_index).map(|event| recording::Event { device: 0, ..event.clone() });
            let instructions = vec![None; recording.events_of(device_index).count()];
            let recording = Recording { comments: Vec::new(), devices: vec![device], events: events.collect() };
            return Ok(Replayed {
                recording,
                instructions,
                not_set_up: vec![(device_index, failure)],
                ..Replayed::default()
            });
        }
        fixed.exported = self.exported();
        let mut events = Vec::new();
        let mut instructions = Vec::new();
        let mut add = |time: Duration, report: &[u8], line| {
            // A recording's clock has a resolution of microseconds.
            let time = Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            events.push(recording::Event { device: 0, time, report: report.to_vec(), line });
        };
        let mut last = Duration::ZERO;
        for event in recording.events_of(device_index) {
            let line = event.line;
            for (time, report) in self.advance(event.time).map_err(at(line))? {
                add(time, &report, None);
            }
            last = event.time;
            let outcome = self.event(&event.report).map_err(at(line))?;
            instructions.push(self.has_event_hook().then_some(outcome.instructions));
            for report in outcome.reports(&event.report) {
                add(event.time, report, line);
            }
        }
        for (time, report) in self.advance(last.saturating_add(PATIENCE)).map_err(at(None))? {
            add(time, &report, None);
        }
        let recording = Recording { comments: Vec::new(), devices: vec![fixed], events };
        Ok(Replayed { recording, instructions, ..Replayed::default() })
    }
}

/// An error, and the line of the recording that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line, if one line caused the error.
    pub line: Option<usize>,
    /// The error.
    pub error: ReplayError,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for LineError {}

fn out_of_memory(full: &Full) -> ReplayError {
    ReplayError::Memory(full.to_string())
}
