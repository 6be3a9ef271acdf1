//! A parsed descriptor as the C struct `hid_rdesc_descriptor` (drivers/hid/bpf/progs/hid_report_descriptor_helpers.h).
//!
//! The structs are packed and little-endian. Programs that are written for udev-hid-bpf find such a struct in their
//! variable [`VARIABLE`].

use crate::interpret::descriptor::Descriptor;
use crate::interpret::item::CollectionKind;
use crate::interpret::report::{Collection, Field, Report};
use crate::interpret::usage::Usage;
use crate::report_type::ReportType;

/// The name of the variable.
pub const VARIABLE: &str = "HID_REPORT_DESCRIPTOR";

/// `HID_MAX_COLLECTIONS`, `HID_MAX_FIELDS` and `HID_MAX_REPORTS`.
const MAX_COLLECTIONS: usize = 32;
const MAX_FIELDS: usize = 64;
const MAX_REPORTS: usize = 16;

/// The sizes of the structs, in bytes.
const COLLECTION: usize = 5;
const FIELD: usize = 21 + MAX_COLLECTIONS * COLLECTION;
const REPORT: usize = 4 + MAX_FIELDS * FIELD;
/// The size of the struct, in bytes.
pub const SIZE: usize = 3 + 3 * MAX_REPORTS * REPORT;

/// `enum hid_rdesc_field_type`.
const VARIABLE_FIELD: u8 = 0;
const ARRAY_FIELD: u8 = 1;
const CONSTANT_FIELD: u8 = 2;

/// Returns the struct of a descriptor, [`SIZE`] bytes. All zeros for a descriptor that the kernel refuses.
pub fn bytes(descriptor: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIZE);
    let Ok(descriptor) = Descriptor::parse(descriptor) else { return vec![0; SIZE] };
    let of = |kind| descriptor.reports.iter().filter(move |report| report.kind == kind).take(MAX_REPORTS);
    let kinds = [ReportType::Input, ReportType::Output, ReportType::Feature];
    bytes.extend(kinds.map(|kind| of(kind).count() as u8));
    for (number, kind) in kinds.into_iter().enumerate() {
        of(kind).for_each(|found| report(&mut bytes, &descriptor, found));
        bytes.resize(3 + (number + 1) * MAX_REPORTS * REPORT, 0);
    }
    bytes
}

fn report(bytes: &mut Vec<u8>, descriptor: &Descriptor, report: &Report) {
    let end = bytes.len() + REPORT;
    let entries: Vec<Entry<'_>> = report.fields.iter().flat_map(entries).take(MAX_FIELDS).collect();
    bytes.push(report.id.unwrap_or(0));
    bytes.extend(short(report.bits).to_le_bytes());
    bytes.push(entries.len() as u8);
    entries.iter().for_each(|entry| field(bytes, descriptor, entry));
    bytes.resize(end, 0);
}

/// One control of a variable field, or all values of another field.
struct Entry<'a> {
    field: &'a Field,
    kind: u8,
    first_bit: u32,
    bits: u32,
    /// The first usage, and the last of an array.
    usages: (Usage, Usage),
}

fn entries(field: &Field) -> Vec<Entry<'_>> {
    let entry = |kind, index: u32, count: u32, usages| Entry {
        field,
        kind,
        first_bit: field.first_bit + index * field.size,
        bits: count * field.size,
        usages,
    };
    let none = Usage(0);
    let first = field.usages.get(0).unwrap_or(none);
    if field.flags.is_constant() || field.is_padding() {
        return vec![entry(CONSTANT_FIELD, 0, field.count, (first, first))];
    }
    if !field.flags.is_variable() {
        let last = field.usages.last().unwrap_or(none);
        return vec![entry(ARRAY_FIELD, 0, field.count, (first, last))];
    }
    // If there are more values than usages, the last usage is that of all others (HID 1.11, section 6.2.2.8).
    let usage = |index| field.usages.get(index).or_else(|| field.usages.last()).unwrap_or(none);
    let count = field.count.min(MAX_FIELDS as u32);
    (0..count).map(|index| entry(VARIABLE_FIELD, index, 1, (usage(index), usage(index)))).collect()
}

fn field(bytes: &mut Vec<u8>, descriptor: &Descriptor, entry: &Entry<'_>) {
    let end = bytes.len() + FIELD;
    let Entry { field, kind, first_bit, bits, usages: (first, last) } = entry;
    let mut collections = descriptor.path(field);
    collections.truncate(MAX_COLLECTIONS);
    bytes.extend([*kind, collections.len() as u8]);
    for number in [short(*first_bit), short(first_bit + bits), first.page(), first.id()] {
        bytes.extend(number.to_le_bytes());
    }
    let maximum = if *kind == ARRAY_FIELD { last.id() } else { 0 };
    bytes.extend(maximum.to_le_bytes());
    for value in [field.logical.minimum, field.logical.maximum] {
        bytes.extend((value as i32).to_le_bytes());
    }
    // Bits 2 to 6 of the item are relative, wrap, nonlinear, no preferred state and null state, and bit 8 is buffered
    // bytes (HID 1.11, section 6.2.2.5). Volatile, bit 7, is never set here.
    bytes.push((field.flags.0 >> 2 & 0x1f) as u8 | ((field.flags.0 >> 8 & 1) as u8 * 0x40));
    collections.into_iter().for_each(|outer| collection(bytes, outer));
    bytes.resize(end, 0);
}

fn collection(bytes: &mut Vec<u8>, Collection { kind: CollectionKind(kind), usage, .. }: &Collection) {
    bytes.extend(usage.page().to_le_bytes());
    bytes.extend(usage.id().to_le_bytes());
    bytes.push(*kind);
}

/// Returns a number of bits or a position, up to the largest that fits.
fn short(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A touchpad's feature reports: 5 contacts (Contact Count Maximum), and Pad Type in bits 4 to 7 of the same byte.
    const PAD: &[u8] = &[
        0x05, 0x0d, 0x09, 0x05, 0xa1, 0x01, 0x85, 0x07, 0x09, 0x55, 0x09, 0x59, 0x75, 0x04, 0x95, 0x02, 0x15, 0x00,
        0x25, 0x0f, 0xb1, 0x02, 0xc0,
    ];

    #[test]
    fn a_control_has_its_place_in_the_struct() {
        let bytes = bytes(PAD);
        assert_eq!(bytes.len(), SIZE);
        assert_eq!(bytes[..3], [0, 0, 1]);
        let feature = &bytes[3 + 2 * MAX_REPORTS * REPORT..];
        // id, size in bits, number of fields
        assert_eq!(feature[..4], [7, 16, 0, 2]);
        let pad_type = &feature[4 + FIELD..4 + 2 * FIELD];
        // type, collections, first and last bit, page, usage, maximum usage, logical range, flags, collection
        assert_eq!(
            pad_type[..26],
            [0, 1, 12, 0, 16, 0, 0x0d, 0, 0x59, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0x0d, 0, 0x05, 0, 1]
        );
        assert!(pad_type[26..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        // 20 reports of 100 buttons each. The struct has room for 16 reports of 64 fields.
        let mut descriptor = vec![0x05, 1, 0x09, 2, 0xa1, 1];
        for id in 1..=20 {
            descriptor.extend([0x85, id, 0x05, 9, 0x19, 1, 0x29, 100, 0x15, 0, 0x25, 1, 0x75, 1, 0x95, 100, 0x81, 2]);
        }
        descriptor.push(0xc0);
        let bytes = bytes(&descriptor);
        assert_eq!(bytes.len(), SIZE);
        assert_eq!((bytes[0], bytes[3 + 3]), (16, 64));
        assert!(super::bytes(&[0xc0]).iter().all(|byte| *byte == 0));
    }
}
