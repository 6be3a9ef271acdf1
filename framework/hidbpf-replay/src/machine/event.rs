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
}
