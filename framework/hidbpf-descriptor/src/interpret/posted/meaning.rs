//! Tells descriptors from other bytes.

use crate::short_item::short_items;

/// Counts of the items in some bytes.
struct Items {
    known: usize,
    unknown: usize,
    main: usize,
    /// Whether the first item exists in the specification.
    begins_known: bool,
    begins_with_page: bool,
}

impl Items {
    fn of(bytes: &[u8]) -> Items {
        let mut items = Items { known: 0, unknown: 0, main: 0, begins_known: false, begins_with_page: false };
        for (index, item) in short_items(bytes).enumerate() {
            let is_known = is_known(item.item);
            if index == 0 {
                items.begins_known = is_known;
                items.begins_with_page = item.item == 0x04 && item.size > 0;
            }
            match is_known {
                true => items.known += 1,
                false => items.unknown += 1,
            }
            items.main += usize::from(is_known && item.item & 0x0c == 0);
        }
        items
    }
}

/// Returns whether HID 1.11 has this item, given as its prefix without the size: sections 6.2.2.4 to 6.2.2.8.
fn is_known(item: u8) -> bool {
    let tag = item >> 4;
    match item & 0x0c {
        0x00 => (8..=12).contains(&tag),
        0x04 => tag <= 11,
        0x08 => tag <= 10 && tag != 6,
        _ => false,
    }
}

/// Returns whether bytes are a report descriptor, or a part of one.
///
/// A part has no main item at times, but then it begins with a Usage Page. Reports look like items by chance, but
/// rarely most of their bytes.
pub(super) fn is_descriptor(bytes: &[u8]) -> bool {
    let items = Items::of(bytes);
    let has_purpose = items.main > 0 || (items.begins_with_page && items.unknown == 0 && items.known > 1);
    items.begins_known && has_purpose && items.unknown * 2 <= items.known
}

/// The likeness of whole items that are all known.
pub(super) const WHOLE: u8 = 3;

/// Returns how similar bytes are to a descriptor: 0 if they are not one, up to [`WHOLE`].
pub(super) fn likeness(bytes: &[u8]) -> u8 {
    match is_descriptor(bytes) {
        true => 1 + u8::from(whole(bytes).is_some()) + u8::from(Items::of(bytes).unknown == 0),
        false => 0,
    }
}

/// Returns the number of top-level collections if the bytes are whole items with every collection ended.
pub(super) fn whole(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut collections, mut length) = (0_usize, 0, 0);
    for item in short_items(bytes) {
        length += 1 + item.size;
        match item.item {
            0xa0 => {
                collections += usize::from(depth == 0);
                depth += 1;
            }
            0xc0 => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (length == bytes.len() && depth == 0).then_some(collections)
}

/// Explains why bytes are not a descriptor.
pub(super) fn why_not(bytes: &[u8]) -> String {
    let mut at = 0;
    for item in short_items(bytes) {
        if !is_known(item.item) {
            return format!(
                "not a report descriptor: byte {at}, {:#04x}, does not begin an item of HID 1.11",
                bytes[at]
            );
        }
        at += 1 + item.size;
    }
    match bytes.len() {
        1 => "not a report descriptor: it is a single byte".to_owned(),
        count => format!("not a report descriptor: its {count} bytes have no Input, Output, Feature or Collection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_and_parts_of_them_are_told_from_reports() {
        for bytes in [
            &[5, 1, 9, 2, 0xa1, 1][..],
            &[5, 1, 9, 2],
            &[0x95, 5, 0x75, 8, 0x15, 0, 0x25, 0x65, 5, 7, 0x19, 1, 0x29, 0x65, 0x81, 0],
        ] {
            assert!(is_descriptor(bytes), "{bytes:x?}");
        }
        for bytes in [
            &[][..],
            &[5],
            &[5, 1],
            &[0x0e, 3, 1, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 4, 0],
            &[0, 0, 4, 0, 0, 0, 0, 0x71],
            &[7, 0xe0, 1, 1, 1, 0, 0, 0],
            &[1, 4, 0, 0, 0, 0],
        ] {
            assert!(!is_descriptor(bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn whole_descriptors_are_told_from_cut_ones() {
        assert_eq!(whole(&[5, 1, 9, 2, 0xa1, 1, 0xc0, 9, 6, 0xa1, 1, 0xc0]), Some(2));
        assert_eq!(whole(&[5, 1, 9, 2, 0xa1, 1]), None);
        assert_eq!(whole(&[0xc0]), None);
        assert_eq!(whole(&[0x26, 0xff]), None);
    }
}
