//! The state of a running driver: its code, its memory, and its simulated device and kernel.

mod budget;
mod call;
mod context;
mod deferred;
mod describe;
mod event;
mod helpers;
mod interpreter;
mod kfuncs;
mod output;
mod path;
mod problem;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hidbpf_descriptor::ReportLengths;
use hidbpf_prelink::Generation;

use crate::error::Reason;
use crate::image::{Data, Image};
use crate::memory::{Access, Full, Kind, Memory, RegionId};
use crate::object::Object;
use crate::random::Random;
use crate::request::Request;

use context::{Context, Offsets, View};
use deferred::Deferred;
use path::RunPath;

pub(crate) use call::Call;
pub(crate) use event::EventBuffer;
pub(crate) use helpers::helper_name;
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

/// The driver's time at the start of the recording. It isn't 0 because drivers use 0 for "never".
const CLOCK_BASE: Duration = Duration::from_secs(1000);

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
}

/// The maximum number of buffer parts to keep between runs.
const MAX_VIEWS: usize = 256;
