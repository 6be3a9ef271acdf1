//! The state of a running driver: its code, its memory, and its simulated device and kernel.

mod call;
mod helpers;
mod interpreter;
mod kfuncs;
mod path;
mod problem;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hidbpf_descriptor::{ReportLengths, ReportType};
use hidbpf_prelink::{Generation, Hook};

use crate::core_relo::Layout;
use crate::error::Reason;
use crate::image::{Data, Image};
use crate::memory::{Access, Full, Kind, Memory, RegionId};
use crate::object::Object;
use crate::random::Random;
use crate::request::Request;

use path::RunPath;
use problem::out_of_memory;

pub(crate) use call::Call;
pub(crate) use kfuncs::{GET_REPORT, SET_REPORT};
pub(crate) use problem::Problem;

/// The size of a function's stack frame in bytes: `MAX_BPF_STACK` (include/linux/filter.h).
const FRAME_SIZE: u32 = 512;

/// The maximum depth of calls: `MAX_CALL_FRAMES` (include/linux/bpf_verifier.h).
const MAX_CALLS: usize = 8;

/// The maximum number of iterations of a `may_goto` loop: `BPF_MAX_LOOPS` (include/linux/bpf.h).
const MAX_LOOPS: u64 = 8 << 20;

/// Enough frames for a hook, and for the same hook again on a report that it injected.
const FRAMES: usize = 3 * MAX_CALLS;

/// The maximum number of messages to keep.
const MAX_MESSAGES: usize = 10_000;

/// The maximum length of a message, in bytes: the size of bpf_trace_printk()'s buffer (`MAX_BPRINTF_BUF`,
/// include/linux/bpf.h).
const MAX_MESSAGE: usize = 1023;

/// The maximum number of requests to keep.
const MAX_REQUESTS: usize = 10_000;

/// The maximum number of reports that a driver may inject per device report, including its timers and work items.
const MAX_INJECTED: usize = 10_000;

/// The number of bytes that are copied or searched in the time of one instruction.
const BYTES_PER_INSTRUCTION: usize = 64;

/// Searches among up to this many elements are free. No normal driver needs more. The second number is the approximate
/// size of an element.
const FEW: usize = 256;
const BYTES_PER_THING: usize = 32;

/// The driver's time at the start of the recording. It isn't 0 because drivers use 0 for "never".
const CLOCK_BASE: Duration = Duration::from_secs(1000);

/// A context for hid_bpf_get_data().
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) region: RegionId,
    /// Its data. `None` if the driver allocated the context itself.
    pub(crate) data: Option<RegionId>,
    /// Whether the hook was called for a report or request of the driver itself, which must not send more.
    pub(crate) from_driver: bool,
    /// Whether the driver has to release it.
    pub(crate) owned: bool,
}

/// A part of a buffer that a program has requested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) whole: RegionId,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) part: RegionId,
}

/// A timer or work item.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deferred {
    /// The handle of the map that contains it.
    pub(crate) map: u64,
    /// The callback, as an index of the code.
    pub(crate) callback: Option<usize>,
    /// The due time, and a sequence number for those with the same time.
    pub(crate) due: Option<(u64, u64)>,
    /// Whether it is a work item, which may sleep.
    pub(crate) is_work: bool,
}

/// The offsets of a context's members, in bytes.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    hid: Option<usize>,
    allocated_size: Option<usize>,
    size: Option<usize>,
    /// Only on older kernels.
    report_type: Option<usize>,
}

impl Offsets {
    fn of(layout: &Layout) -> Offsets {
        let offset = |member| layout.bytes(member).map(|(from, _)| from as usize);
        Offsets {
            hid: offset("hid"),
            allocated_size: offset("allocated_size"),
            size: offset("size"),
            report_type: offset("report_type"),
        }
    }
}

/// A running driver.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) image: Arc<Image>,
    offsets: Offsets,
    pub(crate) generation: Generation,
    pub(crate) memory: Memory,
    pub(crate) data: Data,
    pub(crate) frames: Vec<RegionId>,
    /// The number of frames in use.
    pub(crate) depth: usize,
    pub(crate) max_depth: usize,
    pub(crate) instruction_limit: u64,
    pub(crate) instructions_left: u64,
    /// The instructions of all finished runs.
    pub(crate) instructions: u64,
    /// Whether the running program may sleep.
    pub(crate) sleepable: bool,
    /// Regions to release at the end of the run.
    pub(crate) transient: Vec<RegionId>,
    pub(crate) contexts: Vec<Context>,
    pub(crate) views: Vec<View>,
    pub(crate) deferred: BTreeMap<u64, Deferred>,
    pub(crate) sequence: u64,
    /// The time since the recording began, in nanoseconds.
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) messages: Vec<String>,
    pub(crate) requests: Vec<Request>,
    pub(crate) features: BTreeMap<u8, Vec<u8>>,
    /// The `struct hid_device`, and its number.
    pub(crate) device: RegionId,
    pub(crate) device_id: u32,
    /// The reports of the current descriptor. Empty while the kernel has not parsed one, as during a descriptor hook.
    pub(crate) reports: ReportLengths,
    /// The reports that the driver injected, after its own hooks.
    pub(crate) injected: Vec<Vec<u8>>,
    /// The report buffer with its context and arguments.
    pub(crate) event: Option<EventBuffer>,
    /// The path of the current run, and the longest path so far.
    path: RunPath,
    pub(crate) longest_path: RunPath,
}

/// The buffer, context and arguments of an event hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventBuffer {
    pub(crate) data: RegionId,
    pub(crate) size: usize,
    pub(crate) context: RegionId,
    pub(crate) arguments: RegionId,
}

impl Machine {
    pub(crate) fn new(
        object: &Arc<Object>,
        generation: Generation,
        instruction_limit: u64,
        memory_limit: usize,
    ) -> Result<Machine, Full> {
        let mut memory = Memory::new(memory_limit);
        let data = Data::new(object, &mut memory)?;
        let image = Image::link(object, generation, &data, &mut memory)?;
        let frame = |_| memory.allocate(FRAME_SIZE as usize, Kind::Stack, Access::ReadWrite);
        let frames = (0..FRAMES).map(frame).collect::<Result<_, _>>()?;
        let device = memory.allocate(image.device.size as usize, Kind::Device, Access::Listed)?;
        if generation == Generation::StructOps {
            // The device members that a struct_ops program may write: all but the last byte
            // (hid_bpf_ops_btf_struct_access()).
            for name in ["name", "uniq", "phys"] {
                if let Some((from, to)) = image.device.bytes(name) {
                    memory.allow_writes(device, from, to.saturating_sub(1));
                }
            }
        }
        Ok(Machine {
            offsets: Offsets::of(&image.context),
            image: Arc::new(image),
            generation,
            memory,
            data,
            frames,
            depth: 0,
            max_depth: MAX_CALLS,
            instruction_limit,
            instructions_left: instruction_limit,
            instructions: 0,
            sleepable: false,
            transient: Vec::new(),
            contexts: Vec::new(),
            views: Vec::new(),
            deferred: BTreeMap::new(),
            sequence: 0,
            now: 0,
            random: Random::new(0),
            messages: Vec::new(),
            requests: Vec::new(),
            features: BTreeMap::new(),
            device,
            device_id: 0,
            reports: ReportLengths::default(),
            injected: Vec::new(),
            event: None,
            path: RunPath::default(),
            longest_path: RunPath::default(),
        })
    }

    /// Returns the driver's time, in nanoseconds.
    pub(crate) fn clock(&self) -> u64 {
        self.now.saturating_add(CLOCK_BASE.as_nanos() as u64)
    }

    /// Charges a call's work as instructions, so that a run with long calls also ends.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Reason> {
        let cost = (bytes / BYTES_PER_INSTRUCTION) as u64;
        self.instructions_left =
            self.instructions_left.checked_sub(cost).ok_or(Reason::Endless(self.instruction_limit))?;
        Ok(())
    }

    /// Charges a search through a number of elements. A search through few is free.
    pub(crate) fn charge_search(&mut self, things: usize) -> Result<(), Reason> {
        self.charge(things.saturating_sub(FEW) * BYTES_PER_THING)
    }

    /// Passes a report of the driver to the input drivers.
    pub(crate) fn inject(&mut self, report: Vec<u8>) -> Result<(), Reason> {
        if self.injected.len() == MAX_INJECTED {
            return Err(Reason::Memory(format!("it sends more than {MAX_INJECTED} reports for one from the device")));
        }
        self.injected.push(report);
        Ok(())
    }

    pub(crate) fn say(&mut self, mut message: String) {
        let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        if self.messages.len() < MAX_MESSAGES {
            self.messages.push(message);
        }
    }

    pub(crate) fn note(&mut self, request: Request) {
        if self.requests.len() < MAX_REQUESTS {
            self.requests.push(request);
        }
    }

    /// Writes a member of the device, truncated to fit. Text keeps its final zero.
    pub(crate) fn set_device_member(&mut self, name: &str, value: &[u8], is_text: bool) {
        let Some((from, to)) = self.image.device.bytes(name) else { return };
        let room = (to - from) as usize;
        let used = value.len().min(if is_text { room.saturating_sub(1) } else { room });
        let into = self.memory.bytes_mut(self.device).get_mut(from as usize..from as usize + used);
        if let (Some(into), Some(value)) = (into, value.get(..used)) {
            into.copy_from_slice(value);
        }
    }

    /// Creates a context for a hook. `data` is the data that the hook can access.
    pub(crate) fn new_context(
        &mut self,
        data: Option<RegionId>,
        size: usize,
        from_driver: bool,
        owned: bool,
    ) -> Result<RegionId, Full> {
        let region = self.memory.allocate(self.image.context.size as usize, Kind::Context, Access::Listed)?;
        let allocated = data.map_or(0, |data| self.memory.bytes(data).len());
        self.set_context(region, self.offsets.hid, &self.device.pointer(0).to_le_bytes());
        self.set_context(region, self.offsets.allocated_size, &(allocated as u32).to_le_bytes());
        self.set_context(region, self.offsets.size, &(size as u32).to_le_bytes());
        if self.generation == Generation::StructOps
            && let Some((from, to)) = self.image.context.bytes("retval")
        {
            self.memory.allow_writes(region, from, to);
        }
        self.contexts.push(Context { region, data, from_driver, owned });
        Ok(region)
    }

    pub(crate) fn drop_context(&mut self, region: RegionId) {
        self.contexts.retain(|context| context.region != region);
        self.memory.release(region);
    }

    pub(crate) fn context(&self, address: u64) -> Option<Context> {
        let (region, _, 0) = self.memory.locate(address)? else { return None };
        self.contexts.iter().find(|context| context.region == region).copied()
    }

    fn set_context(&mut self, region: RegionId, member: Option<usize>, value: &[u8]) {
        let Some(from) = member else { return };
        if let Some(into) = self.memory.bytes_mut(region).get_mut(from..from + value.len()) {
            into.copy_from_slice(value);
        }
    }

    /// Returns a context's current size. struct_ops programs may change it.
    fn context_size(&self, region: RegionId) -> u32 {
        let bytes = self.offsets.size.and_then(|from| self.memory.bytes(region).get(from..from + 4));
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// Creates the argument array of a hook.
    pub(crate) fn new_arguments(&mut self, arguments: &[u64]) -> Result<RegionId, Full> {
        let region = self.memory.allocate(arguments.len() * 8, Kind::Arguments, Access::ReadOnly)?;
        self.set_arguments(region, arguments);
        Ok(region)
    }

    fn set_arguments(&mut self, region: RegionId, arguments: &[u64]) {
        for (slot, argument) in self.memory.bytes_mut(region).as_chunks_mut::<8>().0.iter_mut().zip(arguments) {
            *slot = argument.to_le_bytes();
        }
    }

    /// Prepares to run a program from outside.
    pub(crate) fn begin(&mut self) {
        self.depth = 0;
        self.max_depth = MAX_CALLS;
        self.instructions_left = self.instruction_limit;
    }

    /// Releases the memory of a run.
    pub(crate) fn end(&mut self) {
        self.instructions += self.instruction_limit - self.instructions_left;
        for region in std::mem::take(&mut self.transient) {
            self.memory.release(region);
        }
        if self.contexts.iter().any(|context| context.owned) {
            let (owned, kept) = self.contexts.iter().partition(|context| context.owned);
            self.contexts = kept;
            let owned: Vec<Context> = owned;
            owned.iter().for_each(|context| self.memory.release(context.region));
        }
        if self.views.len() > MAX_VIEWS {
            self.drop_views(|_| true);
        }
    }

    /// Releases the selected parts of buffers.
    pub(crate) fn drop_views(&mut self, which: impl Fn(&View) -> bool) {
        let views = std::mem::take(&mut self.views);
        for view in views {
            if which(&view) { self.memory.release(view.part) } else { self.views.push(view) }
        }
    }

    /// Runs a program with the address of its arguments, and returns its result.
    pub(crate) fn run_program(&mut self, function: usize, argument: u64) -> Result<i32, Problem> {
        let Some(placed) = self.image.functions.get(function) else {
            return Err(Problem::Here(Reason::BadInstruction));
        };
        let (start, sleepable) = (placed.start, placed.sleepable);
        let before = std::mem::replace(&mut self.sleepable, sleepable);
        let result = self.run(start, [argument, 0, 0, 0, 0]);
        self.sleepable = before;
        // A program's result is an int.
        result.map(|value| value as u32 as i32).map_err(Problem::Deeper)
    }

    /// Creates the report buffer, once the maximum report length is known.
    pub(crate) fn make_event_buffer(&mut self, size: usize) -> Result<(), Full> {
        if self.event.is_some_and(|event| event.size == size) {
            return Ok(());
        }
        if let Some(EventBuffer { data, context, arguments, .. }) = self.event.take() {
            self.drop_views(|view| view.whole == data);
            self.drop_context(context);
            self.memory.release(arguments);
            self.memory.release(data);
        }
        let data = self.memory.allocate(size, Kind::Data, Access::ReadWrite)?;
        let context = self.new_context(Some(data), 0, false, false)?;
        let call = Call { kind: ReportType::Input.number(), ..Call::new(Hook::DeviceEvent, context) };
        let arguments = self.new_arguments(&call.arguments(self.generation))?;
        self.event = Some(EventBuffer { data, size, context, arguments });
        Ok(())
    }

    /// Passes a report to the hooks like `dispatch_hid_bpf_device_event()`. The result is in the buffer:
    /// `Ok(Ok(size))`, or a negative errno for a dropped report.
    pub(crate) fn dispatch_event(
        &mut self,
        buffer: EventBuffer,
        programs: &[usize],
        kind: ReportType,
        report: &[u8],
        source: Option<u64>,
    ) -> Result<Result<usize, i32>, Problem> {
        let from_driver = source.is_some();
        let (mut context, mut arguments) = (buffer.context, buffer.arguments);
        if from_driver {
            context = self.new_context(Some(buffer.data), 0, true, false).map_err(out_of_memory)?;
        }
        let source = source.unwrap_or(0);
        let call = Call { kind: kind.number(), source, ..Call::new(Hook::DeviceEvent, context) };
        let values = call.arguments(self.generation);
        match from_driver {
            true => arguments = self.new_arguments(&values).map_err(out_of_memory)?,
            false => self.set_arguments(arguments, &values),
        }
        let bytes = self.memory.bytes_mut(buffer.data);
        let (head, tail) = bytes.split_at_mut(report.len().min(bytes.len()));
        head.copy_from_slice(&report[..head.len()]);
        tail.fill(0);
        self.set_context(context, self.offsets.size, &(report.len() as u32).to_le_bytes());
        self.set_context(context, self.offsets.report_type, &kind.number().to_le_bytes());
        let mut result = Ok(None);
        for program in programs {
            let returned = match self.run_program(*program, arguments.pointer(0)) {
                Ok(returned) => returned,
                Err(problem) => {
                    result = Err(problem);
                    break;
                }
            };
            if returned < 0 || self.generation == Generation::FmodRet {
                // On older kernels the last program determines the size, even if it doesn't change it.
                result = Ok(Some(returned));
            }
            match returned {
                ..0 => break,
                0 => {}
                1.. => self.set_context(context, self.offsets.size, &returned.to_le_bytes()),
            }
        }
        let size = match self.generation {
            Generation::FmodRet => report.len() as u32,
            Generation::StructOps => self.context_size(context),
        };
        if from_driver {
            self.drop_context(context);
            self.memory.release(arguments);
        }
        match result? {
            Some(errno) if errno < 0 => Ok(Err(errno)),
            returned => {
                let size = match (returned, size) {
                    (Some(returned), _) if returned > 0 => returned as u32,
                    (_, 0) => report.len() as u32,
                    (_, size) => size,
                };
                if size as usize > buffer.size {
                    return Err(Problem::Here(Reason::ResultTooLong {
                        result: i64::from(size as i32),
                        buffer: buffer.size,
                    }));
                }
                Ok(Ok(size as usize))
            }
        }
    }

    /// Returns the next timer or work item that is due up to a time.
    pub(crate) fn next_due(&self, until: u64) -> Option<(u64, u64)> {
        let due = self.deferred.iter().filter_map(|(address, deferred)| deferred.due.map(|due| (due, *address)));
        due.min().filter(|((time, _), _)| *time <= until).map(|((time, _), address)| (time, address))
    }

    /// Runs the callback of a timer or work item.
    pub(crate) fn run_deferred(&mut self, address: u64) -> Result<(), Problem> {
        let Some(deferred) = self.deferred.get_mut(&address) else { return Ok(()) };
        deferred.due = None;
        let Deferred { map: handle, callback, is_work, .. } = *deferred;
        let (Some(callback), Some((value, Kind::Value { map, slot }, _))) = (callback, self.memory.locate(address))
        else {
            return Ok(());
        };
        let key = self.data.maps.get(map as usize).map(|map| map.key_of(slot)).unwrap_or_default();
        let key = self.transient_bytes(&key).map_err(out_of_memory)?;
        let before = std::mem::replace(&mut self.sleepable, is_work);
        let result = self.run(callback, [handle, key, value.pointer(0), 0, 0]);
        self.sleepable = before;
        result.map(drop).map_err(Problem::Deeper)
    }

    /// Allocates bytes for a callback. They are released at the end of the run.
    pub(crate) fn transient_bytes(&mut self, bytes: &[u8]) -> Result<u64, Full> {
        let region = self.memory.allocate(bytes.len(), Kind::Key, Access::ReadOnly)?;
        self.memory.bytes_mut(region).copy_from_slice(bytes);
        self.transient.push(region);
        Ok(region.pointer(0))
    }

    /// Describes a region in a message.
    pub(crate) fn describe(&self, kind: Kind) -> String {
        match kind {
            Kind::Free => "memory that has been given back".to_owned(),
            Kind::Stack => "the function's stack frame".to_owned(),
            Kind::Arguments => "the hook's arguments".to_owned(),
            Kind::Context => "the hook's context (struct hid_bpf_ctx)".to_owned(),
            Kind::Device => "the device (struct hid_device)".to_owned(),
            Kind::Data => "the hook's data".to_owned(),
            Kind::View(0) => "the data that it asked hid_bpf_get_data() for".to_owned(),
            Kind::View(offset) => format!("the data that it asked hid_bpf_get_data() for, from byte {offset} on"),
            Kind::SyscallArgument => "the program's argument".to_owned(),
            Kind::Section(index) => format!("the section `{}`", self.image.section_name(index)),
            Kind::Value { map, .. } => format!("a value of the map `{}`", self.image.map_name(map)),
            Kind::Key => "a callback's argument".to_owned(),
            Kind::Map(map) => {
                format!("the map `{}`, which has to be asked for a value first", self.image.map_name(map))
            }
            Kind::Code => "a function's code".to_owned(),
            Kind::Kfunc(_) => "a function of the kernel".to_owned(),
        }
    }
}

/// The maximum number of buffer parts to keep between runs.
const MAX_VIEWS: usize = 256;
