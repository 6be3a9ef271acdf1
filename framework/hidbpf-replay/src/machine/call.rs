//! The call of a hook: the arguments that the kernel passes to its programs.

use hidbpf_prelink::hook::{Argument, Hook};

use crate::memory::RegionId;

/// The call of a hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) hook: Hook,
    pub(crate) report_id: u8,
    /// `enum hid_report_type`.
    pub(crate) kind: u32,
    /// `enum hid_class_request`.
    pub(crate) request: u64,
    /// The context of a request or report of the driver itself.
    pub(crate) source: Option<u64>,
}

impl Call {
    /// Returns a call by the kernel whose arguments besides the context are 0.
    pub(crate) fn new(hook: Hook) -> Call {
        Call { hook, report_id: 0, kind: 0, request: 0, source: None }
    }

    /// Returns the value of an argument.
    pub(super) fn value(&self, argument: Argument, context: RegionId) -> u64 {
        match argument {
            Argument::Context => context.pointer(0),
            Argument::ReportId => self.report_id.into(),
            Argument::ReportType => self.kind.into(),
            Argument::Request => self.request,
            Argument::Source => self.source.unwrap_or(0),
            Argument::Result => 0,
        }
    }
}
