//! Bytes in base64 (RFC 4648), as `base64` and property lists write them.

use super::draft::{Draft, Reading};
use super::meaning::{WHOLE, is_descriptor, likeness, whole};
use super::text::Text;
use super::{MAX_BYTES, Unreadable};

/// Decodes base64. White space is ignored.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 2 || end % 4 == 1 || text.len() > 2 * MAX_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    for group in text[..end].chunks(4) {
        let mut value = 0_u32;
        for c in group {
            value = value << 6 | u32::from(digit(*c)?);
        }
        value <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&value.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let filled: Vec<_> = text.lines.iter().filter(|line| !line.text.trim().is_empty()).collect();
    let line = filled.first()?.number;
    let all = filled.iter().map(|line| line.text.trim()).collect::<Vec<_>>().concat();
    // Prose around it has spaces.
    let in_quotes = all.split(['"', '\'', ' ', ',', ':', '{', '}', '(', ')']).filter(|word| word.len() >= 8);
    // A word of prose can be base64 by chance, but hardly that of whole items.
    let is_whole =
        |bytes: &Vec<u8>| likeness(bytes) == WHOLE && whole(bytes).is_some_and(|collections| collections > 0);
    let descriptor = decode(&all).filter(|bytes| is_descriptor(bytes));
    let descriptor = descriptor.or_else(|| in_quotes.filter_map(decode).find(is_whole))?;
    Some(Ok(Reading::of(vec![Draft { descriptor, line, ..Draft::default() }])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_decoded() {
        for (text, expected) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9v\nYmFy", "foobar"), ("Zg", "f")]
        {
            assert_eq!(decode(text).as_deref(), Some(expected.as_bytes()));
        }
        for text in ["Z", "Zg===", "Z!==", "Zm=v"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
