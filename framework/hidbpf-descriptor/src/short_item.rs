//! The short items of a report descriptor.

/// A short item of a report descriptor.
pub struct ShortItem {
    /// Its prefix without the size: tag and type.
    pub item: u8,
    /// The number of bytes after the prefix: 0, 1, 2 or 4.
    pub size: usize,
    /// These bytes, as an unsigned number.
    pub value: u32,
}

/// Returns the short items of a report descriptor, up to the first that is cut off.
///
/// A full parser would refuse descriptors that the kernel accepts. A prefix has tag, type and size, and 0, 1, 2 or 4
/// bytes follow it (HID 1.11, section 6.2.2.2).
pub fn short_items(rdesc: &[u8]) -> impl Iterator<Item = ShortItem> + '_ {
    let mut rest = rdesc;
    std::iter::from_fn(move || {
        let [prefix, after @ ..] = rest else { return None };
        let size = [0, 1, 2, 4][usize::from(prefix & 0x03)];
        let data = after.get(..size)?;
        rest = &after[size..];
        let value = data.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        Some(ShortItem { item: prefix & 0xfc, size, value })
    })
}
