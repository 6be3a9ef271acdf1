//! All fields of a descriptor as the C table `hidbpf_fields` (hidbpf/fields.h of hidbpf's SDK).
//!
//! A driver that declares the table with `HIDBPF_FIELDS` finds the fields of the original descriptor in it. Numbers are
//! little-endian. Padding, which has no usage, is left out.

use std::ops::ControlFlow;

use crate::main_items::{self, MAX_BYTES, MainItem};

/// The name of the table's variable.
pub const VARIABLE: &str = "hidbpf_fields";

/// The number of bytes before the first field: the number of fields in the table, and in the descriptor.
pub const HEADER: usize = 8;

/// The number of bytes of a field: `struct hidbpf_descriptor_field`.
pub const ROW: usize = 56;

/// Returns the table of a descriptor, in a variable of `size` bytes. Fields for which there is no room are only counted.
pub fn bytes(descriptor: &[u8], size: usize) -> Vec<u8> {
    let places = size.saturating_sub(HEADER) / ROW;
    let (mut rows, mut total) = (Vec::new(), 0u64);
    let none = main_items::for_each(descriptor, |main| {
        if main.usages.is_empty() || main.globals.size == 0 || main.end() > MAX_BYTES * 8 {
            return ControlFlow::Continue(());
        }
        let values = if main.is_variable() { main.globals.count } else { u64::from(main.globals.count > 0) };
        let room = (places as u64).saturating_sub(total).min(values);
        (0..room).for_each(|index| row(&mut rows, main, index));
        total = total.saturating_add(values);
        ControlFlow::<()>::Continue(())
    });
    debug_assert!(none.is_none());
    let stored = total.min(places as u64) as u32;
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(stored.to_le_bytes());
    bytes.extend((u32::try_from(total).unwrap_or(u32::MAX)).to_le_bytes());
    bytes.append(&mut rows);
    bytes.resize(size, 0);
    bytes
}

/// Adds one value of a variable item, or all values of an array.
fn row(bytes: &mut Vec<u8>, main: &MainItem<'_>, index: u64) {
    let (globals, end) = (main.globals, bytes.len() + ROW);
    let (first, last, count) = if main.is_variable() {
        let usage = usage(main, index);
        (usage, usage, 1)
    } else {
        (usage(main, 0), usage(main, u64::MAX), globals.count as u16)
    };
    let offset = (main.offset + index * globals.size) as u32;
    let (logical, physical) = (globals.logical(), globals.physical());
    let innermost = |kind| main.collections.iter().rev().find(|open| open.kind == kind).map_or(0, |open| open.usage);
    let [physically, applied, logically] = [0, 1, 2].map(innermost);
    let collection = main.collections.last().and_then(|open| u16::try_from(open.number).ok()).unwrap_or(u16::MAX);
    bytes.extend([globals.id, main.report.number() as u8]);
    bytes.extend((globals.size as u16).to_le_bytes());
    for number in [offset, first, last] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [logical.0, logical.1, physical.0, physical.1] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [globals.unit, applied, physically, logically] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [main.flags as u16, count, collection] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(globals.unit_exponent.to_le_bytes());
    bytes.resize(end, 0);
}

/// Returns the usage of a value. If there are more values than usages, the last usage is that of all others (HID 1.11,
/// section 6.2.2.8).
fn usage(main: &MainItem<'_>, index: u64) -> u32 {
    let (mut before, mut last) = (0, 0);
    for usages in main.usages {
        if index - before < usages.count {
            return usages.first.saturating_add((index - before) as u32);
        }
        before += usages.count;
        last = usages.first.saturating_add((usages.count - 1) as u32);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mouse with two reports: buttons, X, Y and a wheel in a physical and a logical collection, and an array.
    const MOUSE: &[u8] = &[
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x85, 0x02, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03,
        0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x03, 0x81, 0x02, 0x95, 0x05, 0x81, 0x01, 0x05, 0x01, 0xa1, 0x02,
        0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x46, 0x68, 0x01, 0x65, 0x14, 0x55, 0x0e, 0x75, 0x08, 0x95,
        0x02, 0x81, 0x06, 0xc0, 0xc0, 0x05, 0x0c, 0x85, 0x03, 0x15, 0x00, 0x26, 0xff, 0x00, 0x35, 0x00, 0x45, 0x00,
        0x19, 0x01, 0x2a, 0x3c, 0x02, 0x75, 0x10, 0x95, 0x02, 0x81, 0x00, 0xc0,
    ];

    fn numbers(row: &[u8]) -> Vec<i32> {
        let places = [8, 12, 16, 20, 24, 28, 32, 36, 40, 44];
        places.map(|at| i32::from_le_bytes(row[at..at + 4].try_into().unwrap())).to_vec()
    }

    #[test]
    fn each_value_has_its_place_its_ranges_and_its_collections() {
        let table = bytes(MOUSE, HEADER + 8 * ROW);
        assert_eq!(table.len(), HEADER + 8 * ROW);
        assert_eq!(table[..HEADER], [6, 0, 0, 0, 6, 0, 0, 0]);
        let rows: Vec<&[u8]> = table[HEADER..].chunks(ROW).collect();
        for (index, offset, size, id) in
            [(0, 8, 1, 2), (1, 9, 1, 2), (2, 10, 1, 2), (3, 16, 8, 2), (4, 24, 8, 2), (5, 8, 16, 3)]
        {
            assert_eq!(rows[index][..8], [id, 0, size, 0, offset, 0, 0, 0], "{index}");
        }
        assert_eq!(numbers(rows[2]), [0x90003, 0x90003, 0, 1, 0, 1, 0, 0x10002, 0x10001, 0]);
        // The second value has the last usage too. The logical collection has no usage.
        for wheel in [3, 4] {
            assert_eq!(numbers(rows[wheel]), [0x10038, 0x10038, -127, 127, 0, 360, 0x14, 0x10002, 0x10001, 0]);
            assert_eq!(rows[wheel][48..], [6, 0, 1, 0, 2, 0, 0xfe, 0]);
        }
        assert_eq!(numbers(rows[5]), [0xc0001, 0xc023c, 0, 255, 0, 255, 0x14, 0x10002, 0, 0]);
        assert_eq!(rows[5][48..], [0, 0, 2, 0, 0, 0, 0xfe, 0]);
        assert!(rows[6..].iter().all(|row| row.iter().all(|byte| *byte == 0)));
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let table = bytes(MOUSE, HEADER + 2 * ROW + 3);
        assert_eq!((&table[..HEADER], table.len()), (&[2, 0, 0, 0, 6, 0, 0, 0][..], HEADER + 2 * ROW + 3));
        assert_eq!(bytes(MOUSE, 4).len(), 4);
        assert_eq!(bytes(&[], HEADER + ROW), vec![0; HEADER + ROW]);
        let huge = [0x77, 255, 255, 255, 255, 0x97, 255, 255, 255, 255, 0x05, 1, 0x09, 1, 0x81, 2];
        assert_eq!(bytes(&huge, HEADER + ROW), vec![0; HEADER + ROW]);
        let many = [0x75, 1, 0x96, 255, 0x2f, 0x05, 1, 0x1b, 0, 0, 0xff, 0xff, 0x2b, 255, 255, 255, 255, 0x81, 2];
        assert_eq!(bytes(&many, HEADER + ROW)[..HEADER], [1, 0, 0, 0, 255, 0x2f, 0, 0]);
    }
}
