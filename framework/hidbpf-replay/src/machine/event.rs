//! The event hook: passes a report through a driver's programs, in one buffer.

use hidbpf_descriptor::ReportType;
use hidbpf_prelink::{Generation, Hook};

use crate::error::Reason;
use crate::memory::{Access, Full, Kind, RegionId};

use super::problem::{Problem, out_of_memory};
use super::{Call, Machine};

/// The buffer, context and arguments of an event hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventBuffer {
    pub(crate) data: RegionId,
    pub(crate) size: usize,
    pub(crate) context: RegionId,
    pub(crate) arguments: RegionId,
}

impl Machine {
    /// Returns the report buffer for reports of up to `size` bytes, and creates it if necessary.
    pub(crate) fn event_buffer(&mut self, size: usize) -> Result<EventBuffer, Full> {
        if let Some(event) = self.event.filter(|event| event.size == size) {
            return Ok(event);
        }
        if let Some(EventBuffer { data, context, arguments, .. }) = self.event.take() {
            self.drop_views(|view| view.whole == data);
            self.drop_context(context);
            self.memory.release(arguments);
            self.memory.release(data);
        }
        let data = self.memory.allocate(size, Kind::Data, Access::ReadWrite)?;
        let context = self.new_context(Some(data), 0, false, false)?;
        let arguments = self.new_arguments(&Call::new(Hook::DeviceEvent), context)?;
        Ok(*self.event.insert(EventBuffer { data, size, context, arguments }))
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
        let call = Call { kind: kind.number(), source, ..Call::new(Hook::DeviceEvent) };
        match from_driver {
            true => arguments = self.new_arguments(&call, context).map_err(out_of_memory)?,
            false => self.set_arguments(arguments, &call, context),
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
}
