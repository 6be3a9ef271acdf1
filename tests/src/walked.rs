//! The descriptor that the fixture bench-walk makes, computed item by item and without a driver.

/// The bytes that it adds to a descriptor of [`LENGTH_WITH_TAIL`] bytes: an empty vendor collection.
const TAIL: [u8; 8] = [0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0xc0];
const LENGTH_WITH_TAIL: usize = 50;

/// Returns the descriptor as the fixture leaves it.
///
/// Input fields become absolute and not linear, and a Logical Maximum of 127 becomes 126. A descriptor that ends in the middle of an item
/// stays as it is.
pub fn walked(descriptor: &[u8]) -> Vec<u8> {
    let mut bytes = descriptor.to_vec();
    let mut at = 0;
    while let Some(prefix) = descriptor.get(at).copied() {
        let data = match prefix {
            0xf0.. => 2 + usize::from(descriptor.get(at + 1).copied().unwrap_or(0)),
            _ => [0, 1, 2, 4][usize::from(prefix & 3)],
        };
        let end = at + 1 + data;
        let Some(data) = bytes.get_mut(at + 1..end) else { return descriptor.to_vec() };
        match (prefix & 0xfc, data) {
            (0x80, [flags, ..]) => *flags = *flags & !4 | 0x10,
            (0x24, [maximum @ 127, rest @ ..]) if rest.iter().all(|byte| *byte == 0) => *maximum = 126,
            _ => {}
        }
        at = end;
    }
    if descriptor.len() == LENGTH_WITH_TAIL {
        bytes.extend(TAIL);
    }
    bytes
}

/// Returns a descriptor of 4096 bytes, the longest possible: reports of one byte, each with its own id, and then pairs of Push and Pop.
pub fn longest() -> Vec<u8> {
    const REPORTS: u8 = 186;
    let report =
        |id: u8| [6, 0, 0xff, 9, 1, 0xa1, 1, 0x85, id, 0x15, 0, 0x25, 127, 0x75, 8, 0x95, 1, 9, 1, 0x81, 6, 0xc0];
    let mut descriptor: Vec<u8> = (1..=REPORTS).flat_map(report).collect();
    descriptor.extend([0xa4, 0xb4].repeat((4096 - descriptor.len()) / 2));
    descriptor
}
