//! Runs the kernel functions that drivers call.

use std::time::Duration;

use hidbpf_descriptor::ReportType;
use hidbpf_descriptor::recording::RequestKind;
use hidbpf_prelink::Hook;

use crate::error::{AccessKind, Reason};
use crate::image::Image;
use crate::kfunc::{self, Kfunc};
use crate::memory::{Access, Kind, RegionId};
use crate::request::Request;

use super::problem::{Problem, negative, out_of_memory};
use super::{Call, Context, EventBuffer, MAX_CALLS, MAX_LOOPS, Machine, View};

const EIO: i64 = 5;
const E2BIG: i64 = 7;
const EINVAL: i64 = 22;
const EDEADLOCK: i64 = 35;

/// `enum hid_class_request`: GET_REPORT, SET_REPORT, and all the requests that the kernel accepts.
pub(crate) const GET_REPORT: u64 = 1;
pub(crate) const SET_REPORT: u64 = 9;
const CLASS_REQUESTS: [u64; 6] = [GET_REPORT, 2, 3, SET_REPORT, 10, 11];

/// The maximum size of a request's data, in bytes: `HID_MAX_BUFFER_SIZE`.
const MAX_DATA: u64 = 16384;

impl Machine {
    pub(crate) fn call_kfunc(&mut self, image: &Image, index: usize, arguments: [u64; 5]) -> Result<u64, Problem> {
        let [a, b, c, d, e] = arguments;
        let Some(kfunc) = image.kfuncs.get(index) else { return Err(Reason::BadInstruction.into()) };
        let Some(function) = kfunc.known else { return Err(self.missing(&kfunc.name).into()) };
        if function == Kfunc::GetData {
            return self.get_data(a, b as u32, c);
        }
        if function.sleeps() && !self.sleepable {
            let reason = "it sleeps, and this hook must not; a work item (bpf_wq) may".to_owned();
            return Err(Reason::Kfunc { name: kfunc.name.clone(), reason }.into());
        }
        match function {
            Kfunc::GetData | Kfunc::Nothing => Ok(0),
            Kfunc::AllocateContext if a as u32 != self.device_id => Ok(0),
            Kfunc::AllocateContext => {
                // The work of releasing contexts is proportional to their number.
                self.charge_search(self.contexts.len())?;
                self.new_context(None, 0, false, true).map(|context| context.pointer(0)).map_err(out_of_memory)
            }
            Kfunc::ReleaseContext => {
                let context = self.driver_context("hid_bpf_release_context", a)?;
                if !context.owned {
                    return Err(argument(
                        "hid_bpf_release_context",
                        "a context that hid_bpf_allocate_context() did not give",
                    ));
                }
                self.drop_context(context.region);
                Ok(0)
            }
            Kfunc::HwRequest => self.hw_request(a, b, c, d, e),
            Kfunc::HwOutputReport => self.hw_output_report(a, b, c),
            Kfunc::InputReport => self.input_report("hid_bpf_input_report", a, b, c, d),
            Kfunc::TryInputReport => self.input_report("hid_bpf_try_input_report", a, b, c, d),
            Kfunc::WorkInit => self.deferred_init("bpf_wq_init", a, b, true),
            Kfunc::WorkSetCallback if c != 0 => Ok(negative(EINVAL)),
            Kfunc::WorkSetCallback => self.deferred_set_callback("bpf_wq_set_callback", a, b),
            Kfunc::WorkStart if b != 0 => Ok(negative(EINVAL)),
            Kfunc::WorkStart => Ok(self.deferred_start(a, self.now)),
            Kfunc::NumbersNew => self.numbers_new(a, b as u32 as i32, c as u32 as i32),
            Kfunc::NumbersNext => self.numbers_next(a),
            Kfunc::NumbersDestroy => {
                self.output(a, 8)?.fill(0);
                Ok(0)
            }
        }
    }

    #[cold]
    fn missing(&self, name: &str) -> Reason {
        let reason = match kfunc::is_known(name) {
            true => format!("{} kernels don't have it for drivers; test bpf_ksym_exists() before", self.generation),
            false => "a replay does not know it".to_owned(),
        };
        Reason::Kfunc { name: name.to_owned(), reason }
    }

    fn get_data(&mut self, context: u64, offset: u32, size: u64) -> Result<u64, Problem> {
        self.charge_search(self.views.len() + self.contexts.len())?;
        let Some(context) = self.context(context) else {
            return if context == 0 {
                Ok(0)
            } else {
                Err(argument("hid_bpf_get_data", "something that is not a context"))
            };
        };
        let (Some(whole), Ok(len)) = (context.data, u32::try_from(size)) else { return Ok(0) };
        let known = |view: &&View| view.whole == whole && view.offset == offset && view.len == len;
        if let Some(view) = self.views.iter().find(known) {
            return Ok(view.part.pointer(0));
        }
        let Some(part) = self.memory.view(whole, offset, len).map_err(out_of_memory)? else { return Ok(0) };
        self.views.push(View { whole, offset, len, part });
        Ok(part.pointer(0))
    }

    fn driver_context(&mut self, function: &'static str, address: u64) -> Result<Context, Problem> {
        self.charge_search(self.contexts.len())?;
        self.context(address).ok_or_else(|| argument(function, "something that is not a context"))
    }

    /// Makes the checks of `__hid_bpf_hw_check_params()`: the report's type, its ID, and how much of the data counts.
    fn check_report(&mut self, data: u64, size: u64, kind: u64) -> Result<Option<(ReportType, Vec<u8>)>, Problem> {
        let (Some(kind), 1..=MAX_DATA) = (ReportType::from_number(kind), size) else { return Ok(None) };
        self.charge(size as usize)?;
        let bytes = self.input(data, size as u32)?;
        let Some((_, length)) = self.reports.length_of(kind, bytes) else { return Ok(None) };
        let used = length.min(bytes.len());
        Ok(Some((kind, bytes[..used].to_vec())))
    }

    fn hw_request(&mut self, context: u64, data: u64, size: u64, kind: u64, request: u64) -> Result<u64, Problem> {
        if self.driver_context("hid_bpf_hw_request", context)?.from_driver {
            return Ok(negative(EDEADLOCK));
        }
        if data == 0 || !CLASS_REQUESTS.contains(&request) {
            return Ok(negative(EINVAL));
        }
        let Some((kind, mut bytes)) = self.check_report(data, size, kind)? else { return Ok(negative(EINVAL)) };
        let result = self.raw_request(&mut bytes, kind, request, Some(context))?;
        if result > 0 {
            let used = bytes.len().min(result as usize);
            self.output(data, used as u32)?.copy_from_slice(&bytes[..used]);
        }
        Ok(i64::from(result) as u64)
    }

    /// Sends a request to the hooks and then to the device. `source` is the context of the driver's own request.
    pub(crate) fn raw_request(
        &mut self,
        bytes: &mut [u8],
        kind: ReportType,
        request: u64,
        source: Option<u64>,
    ) -> Result<i32, Problem> {
        let id = bytes.first().copied().unwrap_or(0);
        let call = Call { report_id: id, kind: kind.number(), request, source, ..Call::new(Hook::HwRequest) };
        let answered = self.run_request_hooks(&call, bytes)?;
        if answered != 0 {
            return Ok(answered);
        }
        let time = Duration::from_nanos(self.now);
        match request {
            GET_REPORT => {
                let answer = if kind == ReportType::Feature { self.features.get(&id).cloned() } else { None };
                let answered = answer.is_some();
                self.note(Request { time, kind: RequestKind::Get, report: kind, data: vec![id], answered });
                let Some(answer) = answer else { return Ok(negative(EIO) as i32) };
                let used = answer.len().min(bytes.len());
                bytes[..used].copy_from_slice(&answer[..used]);
                Ok(used as i32)
            }
            SET_REPORT => {
                self.note(Request { time, kind: RequestKind::Set, report: kind, data: bytes.to_vec(), answered: true });
                if kind == ReportType::Feature {
                    self.features.insert(id, bytes.to_vec());
                }
                Ok(bytes.len() as i32)
            }
            // Bus drivers forward no other requests.
            _ => Ok(negative(EIO) as i32),
        }
    }

    /// Runs hooks on a request or an output report until one returns a value other than 0.
    fn run_request_hooks(&mut self, call: &Call, bytes: &mut [u8]) -> Result<i32, Problem> {
        let programs = self.image.hooks().of(call.hook).to_vec();
        if programs.is_empty() {
            return Ok(0);
        }
        let data = self.memory.allocate(bytes.len(), Kind::Data, Access::ReadWrite).map_err(out_of_memory)?;
        self.memory.bytes_mut(data).copy_from_slice(bytes);
        let from_driver = call.source.is_some();
        let context = self.new_context(Some(data), bytes.len(), from_driver, false).map_err(out_of_memory)?;
        let arguments = self.new_arguments(call, context).map_err(out_of_memory)?;
        let mut result = Ok(0);
        for program in programs {
            result = self.nested(|machine| machine.run_program(program, arguments.pointer(0)));
            if !matches!(result, Ok(0)) {
                break;
            }
        }
        bytes.copy_from_slice(self.memory.bytes(data));
        self.drop_views(|view| view.whole == data);
        self.drop_context(context);
        self.memory.release(arguments);
        self.memory.release(data);
        result
    }

    /// Runs a program inside another one, with its own limit of nested calls.
    fn nested<T>(&mut self, run: impl FnOnce(&mut Machine) -> Result<T, Problem>) -> Result<T, Problem> {
        let before = std::mem::replace(&mut self.max_depth, self.depth + MAX_CALLS);
        let result = run(self);
        self.max_depth = before;
        result
    }

    fn hw_output_report(&mut self, context: u64, data: u64, size: u64) -> Result<u64, Problem> {
        if self.driver_context("hid_bpf_hw_output_report", context)?.from_driver {
            return Ok(negative(EDEADLOCK));
        }
        if data == 0 {
            return Ok(negative(EINVAL));
        }
        let Some((_, mut bytes)) = self.check_report(data, size, ReportType::Output.number().into())? else {
            return Ok(negative(EINVAL));
        };
        let result = self.raw_output(&mut bytes, Some(context))?;
        Ok(i64::from(result) as u64)
    }

    /// Sends an output report to the hooks and then to the device.
    pub(crate) fn raw_output(&mut self, bytes: &mut [u8], source: Option<u64>) -> Result<i32, Problem> {
        let answered = self.run_request_hooks(&Call { source, ..Call::new(Hook::HwOutputReport) }, bytes)?;
        if answered != 0 {
            return Ok(answered);
        }
        let time = Duration::from_nanos(self.now);
        let kind = RequestKind::Output;
        self.note(Request { time, kind, report: ReportType::Output, data: bytes.to_vec(), answered: true });
        Ok(bytes.len() as i32)
    }

    /// Injects a report of the driver's own. It passes the driver's hooks like one from the device, in the same buffer.
    /// As in the kernel, a hook that injects a report finds its own data replaced.
    fn input_report(
        &mut self,
        function: &'static str,
        context: u64,
        kind: u64,
        data: u64,
        size: u64,
    ) -> Result<u64, Problem> {
        let from = self.driver_context(function, context)?;
        if from.from_driver {
            return Ok(negative(EDEADLOCK));
        }
        if data == 0 {
            return Ok(negative(EINVAL));
        }
        let Some((kind, mut bytes)) = self.check_report(data, size, kind)? else { return Ok(negative(EINVAL)) };
        let programs = self.image.hooks().of(Hook::DeviceEvent).to_vec();
        let Some(buffer) = self.event.filter(|_| !programs.is_empty()) else {
            self.inject(bytes)?;
            return Ok(0);
        };
        if self.is_within(data, buffer) {
            // The kernel clears its buffer before it copies.
            bytes.fill(0);
        }
        let before = std::mem::replace(&mut self.sleepable, false);
        let result = self.nested(|machine| machine.dispatch_event(buffer, &programs, kind, &bytes, Some(context)));
        self.sleepable = before;
        match result? {
            Ok(size) => {
                let bytes = self.memory.bytes(buffer.data);
                self.inject(bytes[..size.min(bytes.len())].to_vec())?;
                Ok(0)
            }
            Err(errno) => Ok(i64::from(errno) as u64),
        }
    }

    /// Returns whether an address is in the report buffer.
    fn is_within(&self, address: u64, buffer: EventBuffer) -> bool {
        let region = self.memory.locate(address).map(|(region, _, _)| region);
        let part_of = |region: RegionId| self.views.iter().any(|view| view.part == region && view.whole == buffer.data);
        region.is_some_and(part_of)
    }

    /// Writes a `struct bpf_iter_num`: the number returned last, and the end.
    fn numbers_new(&mut self, iterator: u64, start: i32, end: i32) -> Result<u64, Problem> {
        let count = i64::from(end) - i64::from(start);
        let (state, result) = match count {
            ..0 => ([0, 0], negative(EINVAL)),
            count if count as u64 > MAX_LOOPS => ([0, 0], negative(E2BIG)),
            _ => ([start.wrapping_sub(1), end], 0),
        };
        self.set_numbers(iterator, state)?;
        Ok(result)
    }

    fn set_numbers(&mut self, iterator: u64, [current, end]: [i32; 2]) -> Result<(), Problem> {
        let state = self.output(iterator, 8)?;
        state[..4].copy_from_slice(&current.to_le_bytes());
        state[4..].copy_from_slice(&end.to_le_bytes());
        Ok(())
    }

    fn numbers_next(&mut self, iterator: u64) -> Result<u64, Problem> {
        let Some(state) = self.memory.load::<8>(iterator) else {
            return Err(self.bad_access(AccessKind::Read, iterator, 8).into());
        };
        let state = u64::from_le_bytes(state);
        let (current, end) = (state as u32 as i32, (state >> 32) as u32 as i32);
        let next = current.wrapping_add(1);
        if next >= end {
            self.set_numbers(iterator, [0, 0])?;
            return Ok(0);
        }
        self.set_numbers(iterator, [next, end])?;
        Ok(iterator)
    }
}

fn argument(function: &'static str, problem: &str) -> Problem {
    Reason::Argument { function, problem: problem.to_owned() }.into()
}
