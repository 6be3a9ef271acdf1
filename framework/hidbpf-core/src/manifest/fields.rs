//! The report fields that a driver reads, at any place in the device's reports.
//!
//! A manifest names the fields by report type and usage. When the driver is attached, each field is looked up in the
//! original descriptor. Its place is passed to the programs in a variable that the SDK's macro declares. The driver
//! matches only devices that have all of these fields.

use std::collections::BTreeMap;
use std::fmt;

use hidbpf_descriptor::{FoundField, ReportType, WantedField};
use hidbpf_prelink::driver::FieldPlace;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes;

use crate::names::is_name;
use crate::text::Printable;

/// The prefix of their variables' names.
pub const PREFIX: &str = "field_";

/// The size of their variables, in bytes.
pub const SIZE: usize = size_of::<FieldPlace>();

/// A field, as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriverField {
    /// Its name in the source: lower-case letters, digits and single hyphens, beginning with a letter.
    pub name: String,
    /// The type of the report that contains it.
    pub report: ReportType,
    /// The page of its usage.
    pub usage_page: u16,
    /// Its usage on that page.
    pub usage: u16,
}

impl fmt::Display for DriverField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wanted().fmt(f)
    }
}

impl DriverField {
    /// Checks the constraints that the types can't express.
    ///
    /// The first part of an error is a text to search for, to find the line.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if is_name(&self.name) {
            return Ok(());
        }
        let what = format!(
            "`{}` can't be a field's name (expected lower-case letters, digits and single hyphens, a letter first)",
            Printable(&self.name)
        );
        Err(("[[field]]", what))
    }

    /// Returns the name of its variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('-', "_"))
    }

    /// Returns what to look for in a descriptor.
    pub fn wanted(&self) -> WantedField {
        WantedField { report: self.report, usage_page: self.usage_page, usage: self.usage }
    }

    /// Returns its place in a descriptor, or `None` if the descriptor lacks it.
    pub fn find(&self, rdesc: &[u8]) -> Option<FieldPlace> {
        let FoundField { report_id, size, offset } = self.wanted().find(rdesc)?;
        Some(FieldPlace { report_id, kind: self.report.number() as u8, size, offset })
    }
}

/// Returns the variables of a driver's fields and their bytes, for a device with this original descriptor.
///
/// # Errors
/// The descriptor lacks a field, which is the error.
pub fn variables<'a>(fields: &'a [DriverField], rdesc: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, &'a DriverField> {
    let place = |field: &'a DriverField| match field.find(rdesc) {
        Some(place) => Ok((field.variable(), place.as_bytes().to_vec())),
        None => Err(field),
    };
    fields.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_a_field_is_told_which() {
        let field = DriverField { name: "x".to_owned(), report: ReportType::Input, usage_page: 1, usage: 0x30 };
        let fields = [field];
        let rdesc = [0x05, 1, 0x75, 8, 0x95, 1, 0x09, 0x30, 0x81, 2];
        let variables = variables(&fields, &rdesc);
        assert_eq!(variables, Ok([("field_x".to_owned(), vec![0, 0, 8, 0, 8, 0, 0, 0])].into()));
        let missing = super::variables(&fields, &[]).unwrap_err();
        assert_eq!(missing.to_string(), "an input field with the usage 0001:0030");
    }
}
