//! The requests that a driver sends to the device.

use std::time::Duration;

use hidbpf_descriptor::ReportType;
use hidbpf_descriptor::recording::{Asked, RequestKind};

/// A request of a driver to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
