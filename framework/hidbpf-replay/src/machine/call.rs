//! The call of a hook: the arguments that the kernel passes to its programs.

use hidbpf_prelink::Generation;
use hidbpf_prelink::hook::{Argument, Hook};

use crate::memory::RegionId;

/// The call of a hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) hook: Hook,
    pub(crate) context: RegionId,
    pub(crate) report_id: u8,
    /// `enum hid_report_type`.
    pub(crate) kind: u32,
    /// `enum hid_class_request`.
    pub(crate) request: u64,
    /// The context of a request or report of the driver itself, otherwise 0.
    pub(crate) source: u64,
}

impl Call {
    /// Returns a call of a hook whose arguments besides the context are 0.
    pub(crate) fn new(hook: Hook, context: RegionId) -> Call {
        Call { hook, context, report_id: 0, kind: 0, request: 0, source: 0 }
    }

    /// Returns the programs' arguments: for FMOD_RET those of the kernel's function and its result so far, for
    /// struct_ops those of the member.
    pub(crate) fn arguments(&self, generation: Generation) -> Vec<u64> {
        let value = |argument: &Argument| match argument {
            Argument::Context => self.context.pointer(0),
            Argument::ReportId => self.report_id.into(),
            Argument::ReportType => self.kind.into(),
            Argument::Request => self.request,
            Argument::Source => self.source,
        };
        match generation {
            Generation::FmodRet => vec![value(&Argument::Context), 0],
            Generation::StructOps => self.hook.row().arguments.iter().map(value).collect(),
        }
    }
}
