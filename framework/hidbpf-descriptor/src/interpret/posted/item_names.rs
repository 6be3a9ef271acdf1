//! The names of items, as tools and headers write them.

/// Name without spaces and case, prefix without the size: HID 1.11, sections 6.2.2.4 to 6.2.2.8.
const NAMES: [(&str, u8); 33] = [
    ("input", 0x80),
    ("output", 0x90),
    ("feature", 0xb0),
    ("collection", 0xa0),
    ("endcollection", 0xc0),
    ("usagepage", 0x04),
    ("logicalminimum", 0x14),
    ("logicalmaximum", 0x24),
    ("physicalminimum", 0x34),
    ("physicalmaximum", 0x44),
    ("unitexponent", 0x54),
    ("unit", 0x64),
    ("reportsize", 0x74),
    ("reportid", 0x84),
    ("reportcount", 0x94),
    ("push", 0xa4),
    ("pop", 0xb4),
    ("usage", 0x08),
    ("usageminimum", 0x18),
    ("usagemaximum", 0x28),
    ("designatorindex", 0x38),
    ("designatorminimum", 0x48),
    ("designatormaximum", 0x58),
    ("stringindex", 0x78),
    ("stringminimum", 0x88),
    ("stringmaximum", 0x98),
    ("delimiter", 0xa8),
    ("logicalmin", 0x14),
    ("logicalmax", 0x24),
    ("physicalmin", 0x34),
    ("physicalmax", 0x44),
    ("usagemin", 0x18),
    ("usagemax", 0x28),
];

/// Returns the prefix without the size of the item with this name: `Usage Page`, `USAGE_PAGE`, `usage_page`.
pub(super) fn prefix(name: &str) -> Option<u8> {
    // No name is longer, and an argument can be.
    if name.len() > 40 {
        return None;
    }
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let plain = plain.strip_prefix("hidri").unwrap_or(&plain);
    NAMES.iter().find(|(name, _)| *name == plain).map(|(_, prefix)| *prefix)
}

/// Returns an item with its data: 0, 1, 2 or 4 bytes.
pub(super) fn item(prefix: u8, data: &[u8]) -> Option<Vec<u8>> {
    let size = match data.len() {
        0..=2 => data.len() as u8,
        4 => 3,
        _ => return None,
    };
    let mut bytes = vec![prefix | size];
    bytes.extend_from_slice(data);
    Some(bytes)
}

/// Returns an item with the shortest data for a number. Numbers of logical and physical ranges have a sign.
pub(super) fn shortest(prefix: u8, value: i64) -> Option<Vec<u8>> {
    let is_signed = matches!(prefix, 0x14 | 0x24 | 0x34 | 0x44);
    let size = (1..=4).filter(|size| *size != 3).find(|size| {
        let bits = 8 * size;
        match is_signed {
            true => (-(1_i64 << (bits - 1))..1_i64 << (bits - 1)).contains(&value),
            false => (0..1_i64 << bits).contains(&value),
        }
    });
    // A unit or usage of 32 bits is unsigned, and some write ranges so.
    let size = size.or_else(|| (0..1_i64 << 32).contains(&value).then_some(4))?;
    item(prefix, &value.to_le_bytes()[..size])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_any_spelling_of_their_name() {
        for (name, expected) in [
            ("Usage Page", 0x04),
            ("USAGE_PAGE", 0x04),
            ("HID_RI_USAGE_PAGE", 0x04),
            ("PHYSICAL_MIN", 0x34),
            ("HID_RI_PHYSICAL_MAX", 0x44),
            ("Physical Minimum", 0x34),
            ("End Collection", 0xc0),
        ] {
            assert_eq!(prefix(name), Some(expected), "{name}");
        }
        assert_eq!(prefix("Report"), None);
        assert_eq!(shortest(0x24, 255), Some(vec![0x26, 0xff, 0]));
        assert_eq!(shortest(0x14, -127), Some(vec![0x15, 0x81]));
        assert_eq!(shortest(0x74, 0), Some(vec![0x75, 0]));
        assert_eq!(shortest(0x08, 0x238), Some(vec![0x0a, 0x38, 2]));
        assert_eq!(shortest(0x24, 65535), Some(vec![0x27, 0xff, 0xff, 0, 0]));
    }
}
