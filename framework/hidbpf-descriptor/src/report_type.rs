//! The types of reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The type of a report: `enum hid_report_type` (include/linux/hid.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportType {
    /// From the device.
    Input,
    /// To the device.
    Output,
    /// Read from and written to the device, on the control channel.
    Feature,
}

impl ReportType {
    /// Returns the kernel's number for the type.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Returns the type with this number.
    pub fn from_number(number: u64) -> Option<ReportType> {
        [ReportType::Input, ReportType::Output, ReportType::Feature].get(usize::try_from(number).ok()?).copied()
    }
}

impl fmt::Display for ReportType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReportType::Input => "input",
            ReportType::Output => "output",
            ReportType::Feature => "feature",
        })
    }
}
