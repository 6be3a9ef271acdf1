//! Finds the place of a field by its usage, with the items alone.

use std::collections::BTreeMap;
use std::fmt;

use crate::report_type::ReportType;
use crate::short_item::{ShortItem, short_items};

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

/// Global items, which apply until they are set again.
#[derive(Clone, Copy, Default)]
struct Globals {
    page: u16,
    size: u64,
    count: u64,
    id: u8,
}

/// Consecutive usages, as the items before a main item declare them.
struct Usages {
    first: u32,
    count: u64,
    /// Whether the item included the page. Otherwise the current page applies, at the latest that of the main item.
    has_page: bool,
}

/// Local items, which apply to the next main item.
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
        // The kernel uses only the first set of alternatives.
        if self.sets < 2 {
            self.usages.push(Usages { first, count, has_page });
        }
    }

    /// Returns how many values precede that of a usage.
    fn position(&mut self, page: u16, usage: u32) -> Option<u64> {
        // Backwards, up to the first usage that already has this page. This is the kernel's interpretation of HID 1.11,
        // section 6.2.2.8.
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

/// Finds the first field with a usage. Skips arrays, because their usages are values.
fn find(rdesc: &[u8], report: ReportType, wanted: u32) -> Option<FoundField> {
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
    /// The flag of a main item whose values each have their own usage.
    const VARIABLE: u32 = 1 << 1;
    /// The maximum size of a report, in bytes: `HID_MAX_BUFFER_SIZE` (include/linux/hid.h).
    const MAX_BYTES: u64 = 16384;
    /// The maximum number of values of a field: `HID_MAX_USAGES` (include/linux/hid.h).
    const MAX_USAGES: u64 = 12288;
    let (mut globals, mut pushed, mut locals) = (Globals::default(), Vec::new(), Locals::default());
    let mut bits_of: BTreeMap<u8, u64> = BTreeMap::new();
    for item in short_items(rdesc) {
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
                    // Byte 0 is the report's id, or 0 if it has none.
                    let bits = bits_of.entry(id).or_insert(8);
                    let position =
                        locals.position(page, wanted).filter(|index| value & VARIABLE != 0 && *index < count);
                    let offset = position.map(|index| bits.saturating_add(index * size));
                    *bits = bits.saturating_add(size * count);
                    if let Some(offset) = offset {
                        let fits = (1..=32).contains(&size) && *bits <= MAX_BYTES * 8;
                        return fits.then_some(FoundField { report_id: id, size: size as u16, offset: offset as u32 });
                    }
                }
                locals = Locals::default();
            }
            COLLECTION | END_COLLECTION => locals = Locals::default(),
            USAGE_PAGE => globals.page = value as u16,
            REPORT_SIZE => globals.size = value.into(),
            REPORT_COUNT => globals.count = u64::from(value).min(MAX_USAGES),
            REPORT_ID => globals.id = value as u8,
            // The kernel refuses a descriptor that pushes too often, or pops once too often.
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
