//! What is odd in a recording that can still be read.

use std::fmt;
use std::time::Duration;

use crate::interpret::lengths::ReportLengths;
use crate::invalid::InvalidDescriptor;
use crate::report_type::ReportType;

use super::{Event, Recording};

/// An oddity in a recording that can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The line, if the recording was read from text.
    pub line: Option<usize>,
    /// The oddity.
    pub oddity: Oddity,
}

/// The kinds of oddities in a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Oddity {
    /// A descriptor that the kernel would refuse.
    #[error("device {device}: {reason}")]
    Descriptor {
        /// The device's number.
        device: u32,
        /// The reason, and the byte.
        reason: InvalidDescriptor,
    },
    /// A report with more bytes than its descriptor declares.
    #[error("the report {id} has {length} bytes, and the descriptor declares {declared}")]
    Longer {
        /// The report's ID, 0 if the device has none.
        id: u8,
        /// The actual length.
        length: usize,
        /// The declared length.
        declared: usize,
    },
    /// A report with an ID that the descriptor doesn't declare.
    #[error("the descriptor declares no input report {0}")]
    Undeclared(u8),
    /// An empty report, which the kernel drops.
    #[error("the report is empty")]
    Empty,
    /// A report with an earlier time than the one before it.
    #[error("the report is older than the one before it")]
    BackInTime,
    /// No device sent a report.
    #[error("the recording has no `E:` line, so there is no report to replay")]
    NoReports,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.oddity),
            None => write!(f, "{}", self.oddity),
        }
    }
}

impl Recording {
    /// Returns the recording's oddities in line order.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut declared = Vec::new();
        for device in &self.devices {
            declared.push(match ReportLengths::parse(&device.descriptor) {
                Ok(reports) => Some(reports),
                Err(reason) => {
                    findings.push(Finding { line: None, oddity: Oddity::Descriptor { device: device.number, reason } });
                    None
                }
            });
        }
        let mut last = Duration::ZERO;
        for Event { device, time, report, line } in &self.events {
            let mut find = |oddity| findings.push(Finding { line: *line, oddity });
            if *time < last {
                find(Oddity::BackInTime);
            }
            last = *time;
            let Some(Some(reports)) = declared.get(*device) else { continue };
            match (report.first(), reports.length_of(ReportType::Input, report)) {
                (None, _) => find(Oddity::Empty),
                (Some(_), Some((id, declared))) if report.len() > declared => {
                    find(Oddity::Longer { id, length: report.len(), declared });
                }
                (Some(id), None) => {
                    find(Oddity::Undeclared(if reports.is_numbered(ReportType::Input) { *id } else { 0 }))
                }
                _ => {}
            }
        }
        if self.events.is_empty() {
            findings.push(Finding { line: None, oddity: Oddity::NoReports });
        }
        findings
    }
}
