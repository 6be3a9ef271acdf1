//! The requests that a driver sends to a device, and the device's answers.

use std::fmt;
use std::str::FromStr;

use crate::hex::Hex;
use crate::report_type::ReportType;

use super::fault::RecordingFault;
use super::words::{hex_bytes, one_of};

/// The kind of a driver's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Reads a report: GET_REPORT.
    Get,
    /// Sends a report on the control channel: SET_REPORT.
    Set,
    /// Sends an output report, on its own channel if the device has one.
    Output,
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RequestKind::Get => "get",
            RequestKind::Set => "set",
            RequestKind::Output => "send",
        })
    }
}

/// A request that a driver's setup sends to a device, written `get feature 05`, `set feature 05 00 02` or
/// `send output 02 01`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The kind of request.
    pub kind: RequestKind,
    /// The type of the report.
    pub report: ReportType,
    /// The report, ID first. For a get request, the ID alone.
    pub data: Vec<u8>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.report, Hex(&self.data))
    }
}

impl FromStr for Asked {
    type Err = RecordingFault;

    fn from_str(text: &str) -> Result<Asked, RecordingFault> {
        let mut rest = text;
        let kind = one_of(&mut rest, [RequestKind::Get, RequestKind::Set, RequestKind::Output], "request")?;
        let report =
            one_of(&mut rest, [ReportType::Input, ReportType::Output, ReportType::Feature], "type of a report")?;
        Ok(Asked { kind, report, data: hex_bytes(rest)? })
    }
}

/// A feature report, written `ID=HEX`: `5=05 00 01`. The ID is decimal, or hexadecimal after `0x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The report's ID, 0 if the device has none.
    pub id: u8,
    /// The device's answer, starting with the ID if it has one.
    pub report: Vec<u8>,
}

impl FromStr for Feature {
    type Err = RecordingFault;

    fn from_str(text: &str) -> Result<Feature, RecordingFault> {
        let invalid = || RecordingFault::Invalid {
            what: "feature report (expected `ID=HEX`, as in `5=05 00 01`)",
            found: text.to_owned(),
        };
        let (id, bytes) = text.split_once('=').ok_or_else(invalid)?;
        let id = id.trim();
        let id = match id.strip_prefix("0x") {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u8::from_str_radix(digits, 16).ok(),
            Some(_) => None,
            None if id.bytes().all(|byte| byte.is_ascii_digit()) => id.parse().ok(),
            None => None,
        };
        Ok(Feature { id: id.ok_or_else(invalid)?, report: hex_bytes(bytes)? })
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.id, Hex(&self.report))
    }
}
