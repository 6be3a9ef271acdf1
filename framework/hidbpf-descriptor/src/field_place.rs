//! Finds the place of a field by its usage, with the items alone.

use std::fmt;
use std::ops::ControlFlow;

use crate::main_items::{self, Globals, MAX_BYTES, Usages};
use crate::report_type::ReportType;

/// A field to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedField {
    /// The type of the report that contains it.
    pub report: ReportType,
    /// The page of its usage.
    pub usage_page: u16,
    /// Its usage on that page.
    pub usage: u16,
}

/// The place of a field in its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundField {
    /// The report's ID, or 0 if the device has none.
    pub report_id: u8,
    /// The number of bits: 1 to 32.
    pub size: u16,
    /// The offset of the first bit in the report. Byte 0 of the report is its ID, or 0.
    pub offset: u32,
}

impl WantedField {
    /// Returns its place in a descriptor, or `None` if the descriptor lacks it. Skips arrays, because their usages are
    /// values.
    pub fn find(&self, descriptor: &[u8]) -> Option<FoundField> {
        find(descriptor, self.report, u32::from(self.usage_page) << 16 | u32::from(self.usage))
    }
}

impl fmt::Display for WantedField {
    /// Describes the field, with page and usage in hex as in usage tables: "a feature field with the usage 000D:0059".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WantedField { report, usage_page, usage } = self;
        let article = if *report == ReportType::Feature { "a" } else { "an" };
        write!(f, "{article} {report} field with the usage {usage_page:04X}:{usage:04X}")
    }
}

/// Finds the first field with a usage. Skips arrays, because their usages are values.
fn find(rdesc: &[u8], report: ReportType, wanted: u32) -> Option<FoundField> {
    let found = main_items::for_each(rdesc, |main| {
        let Globals { size, count, id, .. } = *main.globals;
        let is_candidate = main.report == report && main.is_variable();
        let position = is_candidate.then(|| position(main.usages, wanted)).flatten().filter(|index| *index < count);
        let Some(index) = position else { return ControlFlow::Continue(()) };
        let fits = (1..=32).contains(&size) && main.end() <= MAX_BYTES * 8;
        let offset = main.offset.saturating_add(index * size) as u32;
        ControlFlow::Break(fits.then_some(FoundField { report_id: id, size: size as u16, offset }))
    });
    found.flatten()
}

/// Returns how many values precede that of a usage.
fn position(usages: &[Usages], usage: u32) -> Option<u64> {
    let mut before = 0;
    for Usages { first, count, .. } in usages {
        match usage.checked_sub(*first).map(u64::from) {
            Some(index) if index < *count => return Some(before + index),
            _ => before += count,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rdesc: &[u8]) -> Option<(u8, u16, u32)> {
        let field = WantedField { report: ReportType::Feature, usage_page: 0x0d, usage: 0x59 };
        let FoundField { report_id, size, offset } = field.find(rdesc)?;
        Some((report_id, size, offset))
    }

    #[test]
    fn a_field_is_found_where_it_is() {
        for (rdesc, expected) in [
            // Consecutive usages, in a report with an id.
            (&[0x05, 0x0d, 0x85, 2, 0x75, 4, 0x95, 2, 0x09, 0x55, 0x09, 0x59, 0xb1, 2][..], Some((2, 4, 12))),
            // Byte 0 exists even without ids.
            (&[0x05, 0x0d, 0x75, 8, 0x95, 1, 0x09, 0x59, 0xb1, 2], Some((0, 8, 8))),
            // After other fields of this report, including padding. Other reports and types do not count.
            (
                &[
                    0x05, 0x0d, 0x75, 8, 0x95, 1, 0x85, 1, 0x09, 1, 0xb1, 2, 0x85, 2, 0x09, 1, 0x81, 2, 0xb1, 3, 0x09,
                    0x59, 0x75, 3, 0xb1, 2,
                ],
                Some((2, 3, 16)),
            ),
            // The usage page may follow the usage, or be part of it. Constants have usages too.
            (&[0x75, 2, 0x95, 1, 0x09, 0x59, 0x05, 0x0d, 0xb1, 3], Some((0, 2, 8))),
            (&[0x75, 2, 0x95, 1, 0x05, 0x01, 0x0b, 0x59, 0, 0x0d, 0, 0xb1, 2], Some((0, 2, 8))),
            (&[0x75, 2, 0x95, 1, 0x05, 0x01, 0x09, 0x59, 0xb1, 2], None),
            // In a range, and if the values end before it.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 9, 0x19, 0x55, 0x29, 0x60, 0xb1, 2], Some((0, 2, 16))),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 4, 0x19, 0x55, 0x29, 0x60, 0xb1, 2], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x19, 0x60, 0x29, 0x55, 0xb1, 2], None),
            // Pop restores the pushed items.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0xa4, 0x05, 1, 0x75, 9, 0xb4, 0x09, 0x59, 0xb1, 2], Some((0, 2, 8))),
            (&[0xb4, 0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xb1, 2], Some((0, 2, 8))),
            // Alternatives after the first set are ignored.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0xa9, 1, 9, 1, 0xa9, 0, 0xa9, 1, 9, 0x59, 0xa9, 0, 0xb1, 2], None),
            // An array's usages are values, and a collection's usage is its purpose. An input report is not a feature
            // report.
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xb1, 0], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0xa1, 0, 0xb1, 2, 0xc0], None),
            (&[0x05, 0x0d, 0x75, 2, 0x95, 1, 0x09, 0x59, 0x81, 2], None),
            // Neither empty nor larger than a number.
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
}
