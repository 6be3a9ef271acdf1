//! Walks the main items of a descriptor that declare fields, with the items alone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::report_type::ReportType;
use crate::short_item::{ShortItem, short_items};

/// The maximum size of a report, in bytes: `HID_MAX_BUFFER_SIZE` (include/linux/hid.h).
pub(crate) const MAX_BYTES: u64 = 16384;

/// The maximum number of values of a main item: `HID_MAX_USAGES` (include/linux/hid.h).
const MAX_USAGES: u64 = 12288;

/// The number of bits before the first field of a report: byte 0 is the report's ID, or 0.
const ID_BITS: u64 = 8;

/// Global items, which apply until they are set again.
#[derive(Clone, Copy, Default)]
pub(crate) struct Globals {
    page: u16,
    /// The number of bits of a value.
    pub size: u64,
    /// The number of values.
    pub count: u64,
    /// The report's ID, or 0.
    pub id: u8,
    logical_minimum: Extent,
    logical_maximum: Extent,
    physical_minimum: Extent,
    physical_maximum: Extent,
    /// The code of the unit, or 0.
    pub unit: u32,
    /// The exponent of the unit, for a base of 10.
    pub unit_exponent: i8,
}

impl Globals {
    /// Returns the lowest and the highest value.
    pub fn logical(&self) -> (i32, i32) {
        range(self.logical_minimum, self.logical_maximum)
    }

    /// Returns the lowest and the highest value in its unit. Without them, those are the logical ones (HID 1.11,
    /// section 6.2.2.7).
    pub fn physical(&self) -> (i32, i32) {
        match range(self.physical_minimum, self.physical_maximum) {
            (0, 0) => self.logical(),
            range => range,
        }
    }
}

/// The data of an item that is the end of a range. Its sign depends on the other end.
#[derive(Clone, Copy, Default)]
struct Extent {
    value: u32,
    size: usize,
}

impl Extent {
    fn signed(self) -> i32 {
        match self.size {
            1 => i32::from(self.value as u8 as i8),
            2 => i32::from(self.value as u16 as i16),
            _ => self.value as i32,
        }
    }
}

/// Returns a range as the kernel reads it: a maximum is signed only if the minimum is below 0 (`hid_parser_global()`,
/// drivers/hid/hid-core.c).
fn range(minimum: Extent, maximum: Extent) -> (i32, i32) {
    let minimum = minimum.signed();
    (minimum, if minimum < 0 { maximum.signed() } else { maximum.value as i32 })
}

/// Consecutive usages, as the items before a main item declare them.
#[derive(Clone, Copy)]
pub(crate) struct Usages {
    /// The first usage, its page in the upper 16 bits.
    pub first: u32,
    /// How many there are.
    pub count: u64,
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

    /// Gives the usages the page of the main item, backwards, up to the first usage that already has this page. This is
    /// the kernel's interpretation of HID 1.11, section 6.2.2.8.
    fn complete(&mut self, page: u16) {
        for usages in self.usages.iter_mut().rev().filter(|usages| !usages.has_page) {
            if usages.first >> 16 == u32::from(page) {
                break;
            }
            usages.first = u32::from(page) << 16 | usages.first & 0xffff;
        }
    }
}

/// A collection that is open at a main item.
#[derive(Clone, Copy)]
pub(crate) struct Open {
    /// Its type: 0 physical, 1 application, 2 logical (HID 1.11, section 6.2.2.6).
    pub kind: u32,
    /// Its usage, with the page.
    pub usage: u32,
    /// Its number, counted from 0 in the order of the descriptor.
    pub number: usize,
}

/// An Input, Output or Feature item.
pub(crate) struct MainItem<'a> {
    /// The type of its report.
    pub report: ReportType,
    /// Its data.
    pub flags: u32,
    /// The global items that apply.
    pub globals: &'a Globals,
    /// Its usages.
    pub usages: &'a [Usages],
    /// The offset of its first bit in the report. Byte 0 of the report is its ID, or 0.
    pub offset: u64,
    /// The collections around it, the outermost first.
    pub collections: &'a [Open],
}

impl MainItem<'_> {
    /// Returns whether its values each have their own usage.
    pub fn is_variable(&self) -> bool {
        const VARIABLE: u32 = 1 << 1;
        self.flags & VARIABLE != 0
    }

    /// Returns the number of bits of the report up to its end.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.globals.size * self.globals.count)
    }
}

/// Returns the size of a report in bytes, with its id or the 0 in its place. `None` if the descriptor declares no such
/// report.
pub fn report_size(rdesc: &[u8], report: ReportType, id: u8) -> Option<usize> {
    let mut bits = None;
    for_each(rdesc, |item| -> ControlFlow<()> {
        if item.report == report && item.globals.id == id {
            bits = Some(item.end());
        }
        ControlFlow::Continue(())
    });
    usize::try_from(bits?.div_ceil(8)).ok()
}

/// Calls `each` for the main items of a descriptor, in their order, until it breaks.
pub(crate) fn for_each<B>(rdesc: &[u8], mut each: impl FnMut(&MainItem<'_>) -> ControlFlow<B>) -> Option<B> {
    const MAIN_INPUT: u8 = 0x80;
    const MAIN_OUTPUT: u8 = 0x90;
    const MAIN_FEATURE: u8 = 0xb0;
    const COLLECTION: u8 = 0xa0;
    const END_COLLECTION: u8 = 0xc0;
    const USAGE_PAGE: u8 = 0x04;
    const LOGICAL_MINIMUM: u8 = 0x14;
    const LOGICAL_MAXIMUM: u8 = 0x24;
    const PHYSICAL_MINIMUM: u8 = 0x34;
    const PHYSICAL_MAXIMUM: u8 = 0x44;
    const UNIT_EXPONENT: u8 = 0x54;
    const UNIT: u8 = 0x64;
    const REPORT_SIZE: u8 = 0x74;
    const REPORT_ID: u8 = 0x84;
    const REPORT_COUNT: u8 = 0x94;
    const PUSH: u8 = 0xa4;
    const POP: u8 = 0xb4;
    const USAGE: u8 = 0x08;
    const USAGE_MINIMUM: u8 = 0x18;
    const USAGE_MAXIMUM: u8 = 0x28;
    const DELIMITER: u8 = 0xa8;
    let (mut globals, mut pushed, mut locals) = (Globals::default(), Vec::new(), Locals::default());
    let mut bits_of: BTreeMap<(u8, u8), u64> = BTreeMap::new();
    let (mut collections, mut number): (Vec<Open>, usize) = (Vec::new(), 0);
    for item in short_items(rdesc) {
        let ShortItem { item: kind, value, size } = item;
        let extent = Extent { value, size };
        match kind {
            MAIN_INPUT | MAIN_OUTPUT | MAIN_FEATURE => {
                let report = match kind {
                    MAIN_INPUT => ReportType::Input,
                    MAIN_OUTPUT => ReportType::Output,
                    _ => ReportType::Feature,
                };
                locals.complete(globals.page);
                let bits = bits_of.entry((kind, globals.id)).or_insert(ID_BITS);
                let (globals, usages, collections) = (&globals, &*locals.usages, &*collections);
                let main = MainItem { report, flags: value, globals, usages, offset: *bits, collections };
                *bits = main.end();
                if let ControlFlow::Break(found) = each(&main) {
                    return Some(found);
                }
                locals = Locals::default();
            }
            COLLECTION => {
                locals.complete(globals.page);
                let usage = locals.usages.first().map_or(0, |usages| usages.first);
                collections.push(Open { kind: value, usage, number });
                number += 1;
                locals = Locals::default();
            }
            END_COLLECTION => {
                collections.pop();
                locals = Locals::default();
            }
            USAGE_PAGE => globals.page = value as u16,
            LOGICAL_MINIMUM => globals.logical_minimum = extent,
            LOGICAL_MAXIMUM => globals.logical_maximum = extent,
            PHYSICAL_MINIMUM => globals.physical_minimum = extent,
            PHYSICAL_MAXIMUM => globals.physical_maximum = extent,
            // Many devices write the exponent's sign into 4 bits, as the specification says, others into 8.
            UNIT_EXPONENT if value <= 0x0f => globals.unit_exponent = (value as i8) << 4 >> 4,
            UNIT_EXPONENT => globals.unit_exponent = extent.signed().clamp(i8::MIN.into(), i8::MAX.into()) as i8,
            UNIT => globals.unit = value,
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

    /// The interface of a UGEE tablet that takes the report 2, of 8 bytes.
    const UGEE: &[u8] = &[
        0x06, 0x0a, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x85, 0x02, 0x09, 0x02, 0x75, 0x08, 0x95, 0x09, 0x15, 0x00, 0x26,
        0xff, 0x00, 0x81, 0x02, 0x09, 0x03, 0x75, 0x08, 0x95, 0x07, 0x15, 0x00, 0x26, 0xff, 0x00, 0x91, 0x02, 0xc0,
    ];

    #[test]
    fn a_report_has_its_declared_size() {
        assert_eq!(report_size(UGEE, ReportType::Output, 2), Some(8));
        assert_eq!((report_size(UGEE, ReportType::Output, 3), report_size(UGEE, ReportType::Feature, 2)), (None, None));
        assert_eq!(report_size(&UGEE[..20], ReportType::Output, 2), None);
    }
}
