//! Parses descriptors as the kernel does, but continues to the end.
//!
//! [`invalid::check`] reports what the kernel refuses, and where. This parser skips it, and also what the kernel itself
//! ignores. The source is `hid_open_report()` and the functions that it calls: `fetch_item()`, `hid_parser_main()`,
//! `hid_parser_global()`, `hid_parser_local()`, `hid_add_field()`, `hid_add_usage()` (drivers/hid/hid-core.c), and the
//! limits in include/linux/hid.h. They are the same from Linux 6.3 on.

use crate::interpret::item::{self, Class, CollectionKind, Flags, Item, ItemKind, Surroundings};
use crate::interpret::report::{Collection, Extent, Field, Report};
use crate::interpret::unit::Unit;
use crate::interpret::usage::{Span, Usage, Usages};
use crate::invalid::{self, InvalidDescriptor, MAX_REPORT_BITS, MAX_REPORT_SIZE, MAX_USAGES};
use crate::report_type::ReportType;

/// The maximum number of fields in a report: `HID_MAX_FIELDS`. Further fields only occupy bits.
const MAX_FIELDS: usize = 256;

/// A part of a descriptor that has no effect.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Note {
    /// The offset of the item in bytes.
    pub offset: usize,
    /// The ignored part.
    pub what: String,
}

/// Everything that could be parsed.
#[derive(Default)]
pub(crate) struct Parsed {
    /// The items, including those after the fault.
    pub items: Vec<Item>,
    /// Where the kernel would stop.
    pub fault: Option<InvalidDescriptor>,
    pub collections: Vec<Collection>,
    /// The reports. If there is a fault, as if the kernel skipped it.
    pub reports: Vec<Report>,
    pub notes: Vec<Note>,
}

/// The state of the global items, which applies until changed.
#[derive(Clone, Copy, Default)]
struct Globals {
    usage_page: u32,
    logical: Extent,
    physical: Extent,
    unit: Unit,
    unit_exponent: i32,
    report_size: u32,
    report_count: u32,
    report_id: u8,
}

/// Usages as the local items before a main item declare them.
struct LocalUsages {
    span: Span,
    /// Whether the item included the page. Otherwise the usage has the current page, which can still change before
    /// the main item.
    has_page: bool,
    /// The items that declared the usages: one Usage, or a minimum and a maximum.
    items: [Option<usize>; 2],
}

/// The state of the local items, which applies to the next main item.
#[derive(Default)]
struct Locals {
    usages: Vec<LocalUsages>,
    count: u32,
    minimum: u32,
    minimum_item: Option<usize>,
    sets: u32,
}

#[derive(Default)]
struct Parser {
    parsed: Parsed,
    globals: Globals,
    pushed: Vec<Globals>,
    locals: Locals,
    /// The open collections, as indices.
    open: Vec<usize>,
}

/// Parses a descriptor to its end, whether or not it is valid.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut parser = Parser::default();
    let mut offset = 0;
    while let Some((item, size)) = bytes.get(offset..).and_then(item::first) {
        parser.item(offset, item, size);
        offset += item.len();
    }
    parser.parsed.fault = invalid::check(bytes).err();
    parser.finish()
}

impl Parser {
    /// Adds a note about an ignored part of the last item.
    fn note(&mut self, what: String) {
        let offset = self.parsed.items.last().map_or(0, |item| item.offset);
        self.parsed.notes.push(Note { offset, what });
    }

    fn item(&mut self, offset: usize, bytes: &[u8], size: usize) {
        let surroundings = Surroundings {
            usage_page: self.globals.usage_page,
            signed_logical: self.globals.logical.minimum < 0,
            signed_physical: self.globals.physical.minimum < 0,
        };
        let kind = ItemKind::read(bytes, size, &surroundings);
        let depth = self.open.len() - usize::from(kind == ItemKind::EndCollection && !self.open.is_empty());
        self.parsed.items.push(Item { offset, bytes: bytes.to_vec(), depth, kind });
        let data = item::unsigned(bytes.get(1..).unwrap_or_default());
        let globals = &mut self.globals;
        match kind {
            ItemKind::Main(kind, flags) => {
                self.resolve_usages();
                self.field(offset, kind, flags);
                self.locals = Locals::default();
            }
            ItemKind::Collection(kind) => {
                self.resolve_usages();
                self.begin(kind);
            }
            ItemKind::EndCollection => {
                self.resolve_usages();
                self.locals = Locals::default();
                self.open.pop();
            }
            ItemKind::UsagePage(page) => globals.usage_page = page,
            ItemKind::LogicalMinimum(value) => globals.logical.minimum = value,
            ItemKind::LogicalMaximum(value) => globals.logical.maximum = value,
            ItemKind::PhysicalMinimum(value) => globals.physical.minimum = value,
            ItemKind::PhysicalMaximum(value) => globals.physical.maximum = value,
            ItemKind::UnitExponent(power) => globals.unit_exponent = power,
            ItemKind::Unit(unit) => globals.unit = unit,
            ItemKind::ReportSize(size) if size <= MAX_REPORT_SIZE => globals.report_size = size,
            ItemKind::ReportCount(count) if count <= MAX_USAGES => globals.report_count = count,
            ItemKind::ReportSize(_) | ItemKind::ReportCount(_) => {}
            ItemKind::ReportId(id) => globals.report_id = u8::try_from(id).unwrap_or(globals.report_id),
            ItemKind::Push => self.pushed.push(*globals),
            ItemKind::Pop => *globals = self.pushed.pop().unwrap_or(*globals),
            ItemKind::Delimiter(0) => {}
            ItemKind::Delimiter(_) => self.locals.sets += 1,
            ItemKind::Usage(_) | ItemKind::UsageMinimum(_) | ItemKind::UsageMaximum(_) if self.locals.sets > 1 => {
                self.note("an alternative to the first set of usages".to_owned());
            }
            ItemKind::Usage(_) => self.usages(data, 1, size, [Some(self.last()), None]),
            ItemKind::UsageMinimum(_) => {
                self.locals.minimum = data;
                self.locals.minimum_item = Some(self.last());
            }
            ItemKind::UsageMaximum(_) => self.usage_range(data, size),
            ItemKind::OtherLocal(..) => {}
            ItemKind::Reserved(Class::Global, _) => {}
            ItemKind::Reserved(class, _) => {
                if class == Class::Main {
                    self.resolve_usages();
                    self.locals = Locals::default();
                }
                self.note(format!("a {}", kind.name().to_lowercase()));
            }
            ItemKind::Long(_) | ItemKind::Truncated(_) => {}
        }
    }

    /// Returns the index of the last item.
    fn last(&self) -> usize {
        self.parsed.items.len() - 1
    }

    /// Adds consecutive usages. `size` is the number of data bytes in the item, which determines their page.
    fn usages(&mut self, first: u32, count: u32, size: usize, items: [Option<usize>; 2]) {
        let free = MAX_USAGES - self.locals.count;
        let has_page = size > 2;
        let first = if has_page { Usage(first) } else { Usage::new(self.globals.usage_page as u16, first as u16) };
        let span = Span { first, count: count.min(free), crosses_pages: has_page };
        if span.count > 0 {
            self.locals.usages.push(LocalUsages { span, has_page, items });
            self.locals.count += span.count;
        }
    }

    /// Adds the usages from the minimum up to a maximum. Truncates a range that is too long to the room left. A
    /// backward range is also too long, because the kernel counts with unsigned 32-bit numbers.
    fn usage_range(&mut self, maximum: u32, size: usize) {
        let Locals { minimum, count: used, minimum_item, .. } = self.locals;
        let mut maximum = maximum;
        if maximum.wrapping_sub(minimum).wrapping_add(used) >= MAX_USAGES {
            self.note(format!("what of the usage range is beyond {MAX_USAGES} usages"));
            maximum = (MAX_USAGES - used).wrapping_add(minimum).wrapping_sub(1);
        }
        if maximum < minimum || maximum == 0 {
            return;
        }
        let count = (maximum - minimum).saturating_add(1);
        // A range up to the largest number never ends in the kernel, which runs out of room.
        let count = if maximum == u32::MAX { u32::MAX } else { count };
        self.usages(minimum, count, size, [minimum_item, Some(self.last())]);
    }

    /// Gives usages without a page the page that is current at the main item, and updates their items.
    ///
    /// Goes backwards and stops at the first usage that already has this page: the kernel's reading of HID 1.11,
    /// section 6.2.2.8.
    fn resolve_usages(&mut self) {
        let page = self.globals.usage_page;
        for usages in self.locals.usages.iter_mut().rev().filter(|usages| !usages.has_page) {
            if u32::from(usages.span.first.page()) == page {
                break;
            }
            usages.span.first = Usage::new(page as u16, usages.span.first.id());
        }
        for LocalUsages { span, items, .. } in &self.locals.usages {
            for item in items.iter().flatten() {
                let kind = self.parsed.items.get_mut(*item).map(|item| &mut item.kind);
                match kind {
                    Some(ItemKind::Usage(usage) | ItemKind::UsageMinimum(usage)) => *usage = span.first,
                    Some(ItemKind::UsageMaximum(usage)) => *usage = Usage::new(span.last().page(), usage.id()),
                    _ => {}
                }
            }
        }
    }

    fn begin(&mut self, kind: CollectionKind) {
        let usage = self.locals.usages.first().map_or(Usage(0), |usages| usages.span.first);
        self.open.push(self.parsed.collections.len());
        let parent = self.open.iter().rev().nth(1).copied();
        self.parsed.collections.push(Collection { kind, usage, parent });
        self.locals = Locals::default();
    }

    /// Returns the usage of the nearest enclosing application collection.
    fn application(&self) -> Option<Usage> {
        let mut around = self.open.iter().rev().filter_map(|index| self.parsed.collections.get(*index));
        around.find(|collection| collection.kind == CollectionKind::APPLICATION).map(|collection| collection.usage)
    }

    fn field(&mut self, offset: usize, kind: ReportType, flags: Flags) {
        let Globals { logical, physical, unit, unit_exponent, report_size: size, report_count: count, .. } =
            self.globals;
        let id = Some(self.globals.report_id).filter(|id| *id > 0);
        let known = self.parsed.reports.iter().position(|report| (report.kind, report.id) == (kind, id));
        let index = known.unwrap_or(self.parsed.reports.len());
        if known.is_none() {
            let application = self.application();
            let report = Report { kind, id, application, numbered: false, bits: 0, fields: Vec::new() };
            self.parsed.reports.push(report);
        }
        let logical = settled(logical);
        if logical.maximum < logical.minimum {
            return;
        }
        let usages: Vec<Span> = self.locals.usages.iter().map(|usages| usages.span).collect();
        let Some(report) = self.parsed.reports.get_mut(index) else { return };
        let first_bit = report.bits;
        if first_bit.saturating_add(size * count) > MAX_REPORT_BITS {
            return;
        }
        report.bits = first_bit + size * count;
        let registered = report.fields.iter().filter(|field| !field.is_padding()).count();
        let is_one_too_many = registered >= MAX_FIELDS && !usages.is_empty();
        report.fields.push(Field {
            offset,
            first_bit,
            size,
            count,
            usages: Usages(usages),
            logical,
            physical: settled(physical),
            unit,
            unit_exponent,
            flags,
            collection: self.open.last().copied(),
        });
        if is_one_too_many {
            self.note(format!("a field beyond the {MAX_FIELDS} that a report can have"));
        }
    }

    /// Makes room for the IDs. If one report of a type has an ID, all reports of that type do.
    fn finish(mut self) -> Parsed {
        let reports = &mut self.parsed.reports;
        for kind in [ReportType::Input, ReportType::Output, ReportType::Feature] {
            let numbered = reports.iter().any(|report| report.kind == kind && report.id.is_some());
            for report in reports.iter_mut().filter(|report| report.kind == kind && numbered) {
                report.numbered = true;
                report.bits = report.bits.saturating_add(8);
                report.fields.iter_mut().for_each(|field| field.first_bit = field.first_bit.saturating_add(8));
            }
        }
        self.parsed
    }
}

/// Returns a range as the kernel sees it at the main item: 32 bits, signed if the minimum is negative by then.
fn settled(range: Extent) -> Extent {
    let maximum = if range.minimum < 0 { i64::from(range.maximum as i32) } else { i64::from(range.maximum as u32) };
    Extent { maximum, ..range }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::descriptor::{Anatomy, Descriptor};

    fn times(bytes: &[u8], repeat: usize) -> Vec<u8> {
        bytes.repeat(repeat)
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_at_its_byte() {
        let many_usages = [&[0x1a, 0, 0, 0x2a, 0xff, 0x2f][..], &[0x09, 1]].concat();
        let full = [&[0x1a, 0, 0, 0x2a, 0xff, 0x2f][..], &[0x19, 1, 0x29, 1]].concat();
        for (descriptor, offset, reason) in [
            (&[][..], 0, "it has 0 bytes; 1 to 4096 are possible"),
            (&times(&[0x09, 1], 2049), 4096, "it has 4098 bytes; 1 to 4096 are possible"),
            (&[0x05, 0x01, 0xfe, 0x01, 0x10, 0x00], 2, "a long item"),
            (&[0xf1, 0x00, 0x00], 0, "a long item"),
            (&[0xfe, 0x02, 0x10, 0x00], 0, "an item of 4 bytes with 3 left"),
            (&[0x05], 0, "an item of 1 bytes with 0 left"),
            (&[0x05, 0x01, 0x27, 0, 0, 0], 2, "an item of 4 bytes with 3 left"),
            (&[0xc0], 0, "End Collection without a collection"),
            (&[0xa1, 0x01], 2, "the collection that begins at byte 0 is not ended"),
            (&[0xa1, 0x01, 0xa1, 0x00, 0xc0], 5, "the collection that begins at byte 0 is not ended"),
            (&times(&[0xa1, 0x01], 3), 6, "3 collections are not ended, which begin at bytes 0, 2 and 4"),
            (&times(&[0xa1, 0x01], 6), 12, "6 collections are not ended"),
            (&times(&[0xa4], 5), 4, "Push nests more than 4 deep"),
            (&[0xa4, 0xb4, 0xb4], 2, "Pop without Push"),
            (&[0xc4], 0, "an unknown global item, tag 0xc"),
            (&[0x76, 0x01, 0x01], 0, "Report Size (257) is more than 256"),
            (&[0x96, 0x01, 0x30], 0, "Report Count (12289) is more than 12288"),
            (&[0x85, 0x00], 0, "Report ID (0) is not 1 to 255"),
            (&[0x84], 0, "Report ID (0) is not 1 to 255"),
            (&[0x86, 0x00, 0x01], 0, "Report ID (256) is not 1 to 255"),
            (&[0x15, 0x02, 0x25, 0x01, 0x81, 0x03], 4, "Logical Maximum (1) is less than Logical Minimum (2)"),
            (&[0x15, 0xff, 0x25, 0xfe, 0xb1, 0x03], 4, "Logical Maximum (-2) is less than Logical Minimum (-1)"),
            // The maximum was read as unsigned and becomes signed with the minimum: 32 bits of ones.
            (
                &[0x27, 255, 255, 255, 255, 0x15, 0xff, 0x15, 0x80, 0x17, 255, 255, 255, 255, 0x81, 3, 0xc0],
                16,
                "End Coll",
            ),
            (&[0x76, 0, 1, 0x96, 0, 0x30, 0x81, 2], 6, "the input report is longer than the kernel's 131064 bits"),
            (
                &[0x85, 7, 0x76, 0, 1, 0x96, 255, 1, 0xb1, 2, 0xb1, 2],
                10,
                "the feature report 7 is longer than the kernel's 131064 bits",
            ),
            (&[0xa9, 1, 0xa9, 1], 2, "a Delimiter is opened within another"),
            (&[0xa9, 0], 0, "a Delimiter is closed that is not open"),
            (&[0xa9, 1], 2, "a Delimiter is not closed"),
            (&many_usages, 6, "more than 12288 usages for one main item"),
            (&full, 8, "no room for a usage range beside 12288 other usages"),
            (&[0x1b, 0, 255, 255, 255, 0x2b, 255, 255, 255, 255], 5, "more than 12288 usages for one main item"),
        ] {
            let error = Descriptor::parse(descriptor).unwrap_err();
            assert_eq!(error.offset, offset, "{error}");
            assert!(error.reason.starts_with(reason), "{error}");
            let anatomy = Anatomy::of(descriptor);
            assert_eq!(anatomy.items.iter().map(|item| item.bytes.len()).sum::<usize>(), descriptor.len());
            assert_eq!(anatomy.fault, Some(error));
        }
    }

    #[test]
    fn what_the_kernel_takes_is_taken() {
        for (descriptor, notes) in [
            (&[0x00][..], &["a reserved main item"][..]),
            (&[0x10, 0x0c, 0xd8], &["a reserved main item", "a reserved item", "a reserved local item"]),
            (&times(&[0xa4], 4), &[]),
            (&[0xa1, 0x01, 0xc0], &[]),
            // No items set the size, count and range: all are 0.
            (&[0x81, 0x02, 0x80, 0xa0, 0xc0], &[]),
            (&[0x27, 255, 255, 255, 255, 0x81, 0x02], &[]),
            (&[0xa9, 1, 0x09, 1, 0xa9, 0, 0xa9, 1, 0x09, 2, 0xa9, 0], &["an alternative to the first set of usages"]),
            // A main item ends an unfinished set of local items.
            (&[0xa9, 1, 0x81, 0x02], &[]),
            // A backward range never ends in 32 bits.
            (&[0x19, 2, 0x29, 1, 0x81, 0x02], &["what of the usage range is beyond 12288 usages"]),
            (&[0x09, 7, 0x19, 2, 0x29, 1, 0x81, 0x02], &[]),
        ] {
            let descriptor = Descriptor::parse(descriptor).unwrap();
            assert_eq!(descriptor.notes.iter().map(|note| note.what.as_str()).collect::<Vec<_>>(), notes);
        }
    }

    fn usages(descriptor: &[u8]) -> Vec<u32> {
        Descriptor::parse(descriptor).unwrap().reports[0].fields[0].usages.iter().map(|usage| usage.0).collect()
    }

    #[test]
    fn usages_get_the_page_that_the_kernel_gives_them() {
        for (descriptor, expected) in [
            (&[0x05, 1, 0x09, 0x30, 0x09, 0x31, 0x81, 2][..], &[0x1_0030, 0x1_0031][..]),
            (&[0x09, 0x30, 0x81, 2], &[0x30]),
            // The page may come after the usage.
            (&[0x05, 1, 0x09, 0x30, 0x05, 9, 0x81, 2], &[0x9_0030]),
            // But not for a usage before one that already has this page.
            (&[0x05, 1, 0x09, 0x30, 0x05, 9, 0x09, 1, 0x81, 2], &[0x1_0030, 0x9_0001]),
            (&[0x05, 9, 0x09, 1, 0x05, 1, 0x09, 0x30, 0x05, 9, 0x81, 2], &[0x9_0001, 0x9_0030]),
            // A 32-bit usage includes its page.
            (&[0x05, 1, 0x0b, 0x42, 0, 0x0d, 0, 0x09, 0x30, 0x05, 9, 0x81, 2], &[0xd_0042, 0x9_0030]),
            (&[0x05, 9, 0x19, 1, 0x29, 3, 0x81, 2], &[0x9_0001, 0x9_0002, 0x9_0003]),
            (&[0x09, 5, 0x05, 9, 0x19, 1, 0x29, 2, 0x81, 2], &[0x5, 0x9_0001, 0x9_0002]),
            (&[0x1b, 1, 0, 9, 0, 0x2b, 2, 0, 9, 0, 0x81, 2], &[0x9_0001, 0x9_0002]),
            (&[0x1b, 0xff, 0xff, 9, 0, 0x2b, 0, 0, 10, 0, 0x81, 2], &[0x9_ffff, 0xa_0000]),
            (&[0xa9, 1, 0x09, 1, 0xa9, 0, 0xa9, 1, 0x09, 2, 0xa9, 0, 0x81, 2], &[1]),
        ] {
            assert_eq!(usages(descriptor), expected, "{descriptor:02x?}");
        }
        assert_eq!(usages(&[0x19, 2, 0x29, 1, 0x81, 2]).len(), 12288);
    }

    #[test]
    fn items_say_what_their_usages_became() {
        let words = |descriptor: &[u8]| -> Vec<String> {
            Anatomy::of(descriptor).items.iter().filter_map(|item| item.kind.value()).collect()
        };
        assert_eq!(words(&[0x05, 1, 0x09, 1, 0x05, 9, 0x81, 2])[1], "Button 1");
        assert_eq!(words(&[0x19, 1, 0x29, 3, 0x05, 9, 0x81, 2])[..2], ["Button 1", "Button 3"]);
    }

    #[test]
    fn reports_are_put_together_over_the_whole_descriptor() {
        let descriptor = Descriptor::parse(&[
            0x05, 1, 0x09, 2, 0xa1, 1, 0x85, 1, 0x75, 8, 0x95, 2, 0x09, 0x30, 0x81, 6, 0x85, 2, 0x81, 3, 0x91, 2, 0x85,
            1, 0xa4, 0x75, 4, 0x09, 0x31, 0x81, 2, 0xb4, 0x95, 1, 0x09, 0x32, 0x81, 2, 0xc0,
        ])
        .unwrap();
        let found: Vec<_> = descriptor.reports.iter().map(|report| (report.to_string(), report.bits)).collect();
        let expected = [("input report 1", 8 + 16 + 8 + 8), ("input report 2", 24), ("output report 2", 24)];
        assert_eq!(found, expected.map(|(report, bits)| (report.to_owned(), bits)));
        let fields = &descriptor.reports[0].fields;
        assert_eq!(
            fields.iter().map(|field| (field.first_bit, field.size, field.count)).collect::<Vec<_>>(),
            [(8, 8, 2), (24, 4, 2), (32, 8, 1)]
        );
        assert_eq!(fields.iter().map(|field| field.offset).collect::<Vec<_>>(), [14, 29, 36]);
        assert_eq!(descriptor.reports[0].application, Some(Usage(0x1_0002)));
        assert!(descriptor.reports[1].fields[0].is_padding());
    }

    #[test]
    fn a_report_without_id_among_others_has_room_for_one() {
        let descriptor = Descriptor::parse(&[0x75, 8, 0x95, 1, 0x09, 1, 0x81, 2, 0x85, 3, 0x09, 1, 0x81, 2]).unwrap();
        assert_eq!(
            descriptor.reports.iter().map(|report| (report.id, report.bits)).collect::<Vec<_>>(),
            [(None, 16), (Some(3), 16)]
        );
        assert_eq!(descriptor.report_of(ReportType::Input, &[0, 5]).unwrap().id, None);
    }

    #[test]
    fn fields_beyond_the_last_that_the_kernel_keeps_are_noted() {
        let descriptor = [times(&[0x75, 1, 0x95, 1], 1), times(&[0x09, 1, 0x81, 2], 257)].concat();
        let descriptor = Descriptor::parse(&descriptor).unwrap();
        assert_eq!(descriptor.reports[0].bits, 257);
        assert_eq!(descriptor.notes.len(), 1);
        assert_eq!(descriptor.notes[0].offset, 4 + 256 * 4 + 2);
    }
}
