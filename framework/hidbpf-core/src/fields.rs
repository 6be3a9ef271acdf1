//! The fields of reports that a driver reads wherever the device has them.
//!
//! A manifest says by type of report and usage which fields these are. When the driver is attached each is looked up in the
//! original descriptor, and its place told to the programs, in a variable that the SDK's macro declares. A device without one of them is
//! none of the driver's.

use std::collections::BTreeMap;
use std::fmt;

use hid_bpf_src::FieldPlace;
use serde::{Deserialize, Serialize};
use zerocopy::IntoBytes;

use crate::items::{ShortItem, items};
use crate::names::is_name;
use crate::text::Printable;

/// What the names of their variables begin with.
pub const PREFIX: &str = "field_";

/// The size of their variables, in bytes.
pub const SIZE: usize = size_of::<FieldPlace>();

/// The way of a report: `enum hid_report_type` (include/linux/hid.h).
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
    /// The number that the kernel has for it.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The type with a number.
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

/// A field, as the manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriverField {
    /// What the source calls it: lower-case letters, digits and single hyphens, a letter first.
    pub name: String,
    /// The type of the report that it is in.
    pub report: ReportType,
    /// The page of its usage.
    pub usage_page: u16,
    /// Its usage on that page.
    pub usage: u16,
}

impl fmt::Display for DriverField {
    /// In words, with page and usage in hex, as tables of usages have them: "a feature field with the usage 000D:0059".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DriverField { report, usage_page, usage, .. } = self;
        let article = if *report == ReportType::Feature { "a" } else { "an" };
        write!(f, "{article} {report} field with the usage {usage_page:04X}:{usage:04X}")
    }
}

impl DriverField {
    /// What of it the types can't say. The first part of the error is a text to look for, to find the line.
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

    /// The name of its variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('-', "_"))
    }

    /// Where a descriptor has it; `None` where it has not.
    pub fn find(&self, rdesc: &[u8]) -> Option<FieldPlace> {
        find(rdesc, self.report, u32::from(self.usage_page) << 16 | u32::from(self.usage))
    }
}

/// The variables of a driver's fields and their bytes, for a device with this original descriptor.
///
/// # Errors
/// The descriptor has no such field; the error is the field.
pub fn variables<'a>(fields: &'a [DriverField], rdesc: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, &'a DriverField> {
    let place = |field: &'a DriverField| match field.find(rdesc) {
        Some(place) => Ok((field.variable(), place.as_bytes().to_vec())),
        None => Err(field),
    };
    fields.iter().map(place).collect()
}

/// What holds until it is said anew.
#[derive(Clone, Copy, Default)]
struct Globals {
    page: u16,
    size: u64,
    count: u64,
    id: u8,
}

/// Usages that follow each other, as the items before a main item have them.
struct Usages {
    first: u32,
    count: u64,
    /// Whether the page came with the item. Else it is the one in force, at the latest at the main item.
    has_page: bool,
}

/// What holds for the next main item.
#[derive(Default)]
struct Locals {
    usages: Vec<Usages>,
    minimum: u32,
    sets: usize,
}

impl Locals {
    fn add(&mut self, page: u16, item: &ShortItem, first: u32, count: u64) {
        let has_page = item.size > 2;
        let first = if has_page { first } else { u32::from(page) << 16 | first & 0xffff };
        // The kernel goes by the first set of alternatives.
        if self.sets < 2 {
            self.usages.push(Usages { first, count, has_page });
        }
    }

    /// How many values come before that of a usage.
    fn position(&mut self, page: u16, usage: u32) -> Option<u64> {
        // Backwards, and not beyond the first that has this page already: the kernel's reading of HID 1.11, section 6.2.2.8.
        for usages in self.usages.iter_mut().rev().filter(|usages| !usages.has_page) {
            if usages.first >> 16 == u32::from(page) {
                break;
            }
            usages.first = u32::from(page) << 16 | usages.first & 0xffff;
        }
        let mut before = 0;
        for Usages { first, count, .. } in &self.usages {
            match usage.checked_sub(*first).map(u64::from) {
                Some(index) if index < *count => return Some(before + index),
                _ => before += count,
            }
        }
        None
    }
}

/// Finds the first field with a usage. Arrays have none: their usages are values.
fn find(rdesc: &[u8], report: ReportType, wanted: u32) -> Option<FieldPlace> {
    const MAIN_INPUT: u8 = 0x80;
    const MAIN_OUTPUT: u8 = 0x90;
    const MAIN_FEATURE: u8 = 0xb0;
    const COLLECTION: u8 = 0xa0;
    const END_COLLECTION: u8 = 0xc0;
    const USAGE_PAGE: u8 = 0x04;
    const REPORT_SIZE: u8 = 0x74;
    const REPORT_ID: u8 = 0x84;
    const REPORT_COUNT: u8 = 0x94;
    const PUSH: u8 = 0xa4;
    const POP: u8 = 0xb4;
    const USAGE: u8 = 0x08;
    const USAGE_MINIMUM: u8 = 0x18;
    const USAGE_MAXIMUM: u8 = 0x28;
    const DELIMITER: u8 = 0xa8;
    /// The flag of a main item that says that each value has a usage of its own.
    const VARIABLE: u32 = 1 << 1;
    /// The most bytes of a report, and the most values of a field: `HID_MAX_BUFFER_SIZE`, `HID_MAX_USAGES` (include/linux/hid.h).
    const MAX_BYTES: u64 = 16384;
    const MAX_USAGES: u64 = 12288;
    let (mut globals, mut pushed, mut locals) = (Globals::default(), Vec::new(), Locals::default());
    let mut bits_of: BTreeMap<u8, u64> = BTreeMap::new();
    for item in items(rdesc) {
        let ShortItem { item: kind, value, .. } = item;
        match kind {
            MAIN_INPUT | MAIN_OUTPUT | MAIN_FEATURE => {
                let is_of_type = match report {
                    ReportType::Input => kind == MAIN_INPUT,
                    ReportType::Output => kind == MAIN_OUTPUT,
                    ReportType::Feature => kind == MAIN_FEATURE,
                };
                if is_of_type {
                    let Globals { page, size, count, id } = globals;
                    // Byte 0 is the report's id, or 0 where it has none.
                    let bits = bits_of.entry(id).or_insert(8);
                    let position =
                        locals.position(page, wanted).filter(|index| value & VARIABLE != 0 && *index < count);
                    let offset = position.map(|index| bits.saturating_add(index * size));
                    *bits = bits.saturating_add(size * count);
                    if let Some(offset) = offset {
                        let fits = (1..=32).contains(&size) && *bits <= MAX_BYTES * 8;
                        return fits.then_some(FieldPlace {
                            report_id: id,
                            kind: report.number() as u8,
                            size: size as u16,
                            offset: offset as u32,
                        });
                    }
                }
                locals = Locals::default();
            }
            COLLECTION | END_COLLECTION => locals = Locals::default(),
            USAGE_PAGE => globals.page = value as u16,
            REPORT_SIZE => globals.size = value.into(),
            REPORT_COUNT => globals.count = u64::from(value).min(MAX_USAGES),
            REPORT_ID => globals.id = value as u8,
            // A descriptor that does this too often, or once too little, is refused by the kernel.
            PUSH => pushed.push(globals),
            POP => globals = pushed.pop().unwrap_or(globals),
            USAGE => locals.add(globals.page, &item, value, 1),
            USAGE_MINIMUM => locals.minimum = value,
            USAGE_MAXIMUM => {
                let (first, count) = (locals.minimum, u64::from(value.saturating_sub(locals.minimum)) + 1);
                if value >= first {
                    locals.add(globals.page, &item, first, count.min(MAX_USAGES));
                }
            }
            DELIMITER => locals.sets += usize::from(value == 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rdesc: &[u8]) -> Option<(u8, u16, u32)> {
        let field =
            DriverField { name: "pad-type".to_owned(), report: ReportType::Feature, usage_page: 0x0d, usage: 0x59 };
        let FieldPlace { report_id, kind, size, offset } = field.find(rdesc)?;
        assert_eq!(kind, 2);
        Some((report_id, size, offset))
    }

    #[test]
    fn a_field_is_found_where_it_is() {
        for (rdesc, expected) in [
            // One usage after the other, in a report with an id.
            (&[0x05, 0x0d, 0x85, 2, 0x75, 4, 0x95, 2, 0x09, 0x55, 0x09, 0x59, 0xb1, 2][..], Some((2, 4, 12))),
            // Without ids byte 0 is there all the same.
            (&[0x05, 0x0d, 0x75, 8, 0x95, 1, 0x09, 0x59, 0xb1, 2], Some((0, 8, 8))),
            // Behind others of this report, padding among them, and not behind those of other reports and types.
            (
                &[
                    0x05, 0x0d, 0x75, 8, 0x95, 1, 0x85, 1, 0x09, 1, 0xb1, 2, 0x85, 2, 0x09, 1, 0x81, 2, 0xb1, 3, 0x09,
                    0x59, 0x75, 3, 0xb1, 2,
                ],
                Some((2, 3, 16)),
            ),
            // The page may come behind the usage, or with it; constants have usages too.
            (&[0x75, 2, 0x95, 1, 0x09, 0x59, 0x05, 0x0d, 0xb1, 3], Some((0, 2, 8))),
            (&[0x75, 2, 0x95, 1, 0x05, 0x01, 0x0b, 0x59, 0, 0x0d, 0, 0xb1, 2], Some((0, 2, 8))),
            (&[0x75, 2, 0x95, 1, 0x05, 0x01, 0x09, 0x59, 0xb1, 2], None),
            // In a range, and where the values end before it.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 9, 0x19, 0x55, 0x29, 0x60, 0xb1, 2], Some((0, 2, 16))),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 4, 0x19, 0x55, 0x29, 0x60, 0xb1, 2], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x19, 0x60, 0x29, 0x55, 0xb1, 2], None),
            // What was pushed comes back.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0xa4, 0x05, 1, 0x75, 9, 0xb4, 0x09, 0x59, 0xb1, 2], Some((0, 2, 8))),
            (&[0xb4, 0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xb1, 2], Some((0, 2, 8))),
            // Alternatives beyond the first set are not gone by.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0xa9, 1, 9, 1, 0xa9, 0, 0xa9, 1, 9, 0x59, 0xa9, 0, 0xb1, 2], None),
            // An array's usages are values, a collection's is what it is for, and an input report is no feature report.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xb1, 0], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xa1, 0, 0xb1, 2, 0xc0], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0x81, 2], None),
            // Neither nothing nor more than a number.
            (&[0x05, 0x0d, 0x75, 0, 0x95, 1, 0x09, 0x59, 0xb1, 2], None),
            (&[0x05, 0x0d, 0x75, 33, 0x95, 1, 0x09, 0x59, 0xb1, 2], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xb1], None),
            (&[], None),
        ] {
            assert_eq!(place(rdesc), expected, "{rdesc:02x?}");
        }
    }

    #[test]
    fn numbers_that_are_too_large_are_no_harm() {
        let huge = [0x77, 255, 255, 255, 255, 0x97, 255, 255, 255, 255];
        let field = [0x05, 0x0d, 0x09, 0x59, 0xb1, 2];
        let range = [0x1b, 0, 0, 0, 0, 0x2b, 255, 255, 255, 255];
        assert_eq!(place(&[&huge[..], &field].concat()), None);
        assert_eq!(place(&[&huge[..], &range, &field[2..4], &range, &field].concat()), None);
        let pushes = vec![0xa4; 4000];
        assert_eq!(place(&[&pushes[..], &[0x75, 2, 0x95, 1], &field].concat()), Some((0, 2, 8)));
        let far = [0x85, 1, 0x75, 32, 0x96, 255, 0x0f, 0x09, 1, 0xb1, 2, 0x95, 1];
        assert_eq!(place(&[&far[..], &field].concat()), None);
    }

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
