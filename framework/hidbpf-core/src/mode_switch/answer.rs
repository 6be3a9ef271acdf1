//! The answer to a request for a string descriptor: its form, and the text that udev gets of it.
//!
//! A device is not trusted. Of its bytes, udev only gets hex digits, or a short text of letters, digits and a few other
//! characters that fits the manifest's pattern.

use crate::mode_switch::declaration::Expected;
use crate::text::{Hex, Printable, fits};

/// `USB_DT_STRING` (include/uapi/linux/usb/ch9.h).
const STRING: u8 = 3;
/// The size of a descriptor's length and type, in bytes.
const HEADER: usize = 2;
/// The most characters of a text.
const MOST: usize = 64;

/// Checks an answer, and returns the value of its udev property.
///
/// The value of bytes is the whole descriptor in hex, its length and type included, as huion-switcher writes it.
///
/// # Errors
/// The bytes are not a string descriptor, or not the expected one. The text says what is wrong.
pub fn value(answer: &[u8], expected: &Expected) -> Result<String, String> {
    let [length, kind, ..] = *answer else { return Err(format!("it answered with {} bytes", answer.len())) };
    if kind != STRING {
        return Err(format!("it answered with a descriptor of type {kind}, expected a string (type {STRING})"));
    }
    let length = usize::from(length);
    if !(HEADER..=answer.len()).contains(&length) {
        return Err(format!("its answer declares {length} bytes and has {}", answer.len()));
    }
    let answer = &answer[..length];
    match expected {
        Expected::Bytes { min_size } if length < usize::from(*min_size) => {
            Err(format!("its answer has {length} bytes, expected {min_size} at least"))
        }
        Expected::Bytes { .. } => Ok(answer.iter().map(|byte| Hex(&[*byte]).to_string()).collect()),
        Expected::Text { pattern } => {
            let text = text(&answer[HEADER..])?;
            match fits(pattern, &text) {
                true => Ok(text),
                false => Err(format!("its answer is `{}`, expected `{pattern}`", Printable(&text))),
            }
        }
    }
}

/// Decodes the text of a string descriptor, without NULs and spaces at its end.
fn text(bytes: &[u8]) -> Result<String, String> {
    let not_text = || format!("its answer is not text: {}", Hex(bytes));
    if !bytes.len().is_multiple_of(2) {
        return Err(not_text());
    }
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    let text = text.map_err(|_| not_text())?;
    let text = text.trim_end_matches(['\0', ' ']);
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-. ()+".contains(character);
    if text.is_empty() || text.len() > MOST || text.starts_with(' ') || !text.chars().all(is_plain) {
        return Err(format!("its answer `{}` can't be a udev property", Printable(text)));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Vec<u8> {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        [&[units.len() as u8 + 2, STRING], &units[..]].concat()
    }

    #[test]
    fn a_text_fits_the_pattern() {
        let expected = Expected::Text { pattern: "HUION_*".to_owned() };
        assert_eq!(value(&string("HUION_T21j_221221"), &expected).unwrap(), "HUION_T21j_221221");
        // Devices fill the end up.
        assert_eq!(value(&string("HUION_T21j\0\0"), &expected).unwrap(), "HUION_T21j");
        for (answer, why) in [
            (vec![], "answered with 0 bytes"),
            (vec![2], "answered with 1 bytes"),
            (vec![2, 4], "a descriptor of type 4"),
            (vec![1, 3], "declares 1 bytes and has 2"),
            (vec![9, 3, b'H', 0], "declares 9 bytes and has 4"),
            (vec![2, 3], "can't be a udev property"),
            (vec![5, 3, b'H', 0, b'U'], "is not text"),
            (vec![4, 3, 0x00, 0xd8], "is not text"),
            (string("HUION_\nA=1"), "can't be a udev property"),
            (string("HUION_$x"), "can't be a udev property"),
            (string("HUION_\"x"), "can't be a udev property"),
            (string("HUION_ä"), "can't be a udev property"),
            (string(&"HUION_".repeat(11)), "can't be a udev property"),
            (string("GAOMON"), "is `GAOMON`, expected `HUION_*`"),
        ] {
            let error = value(&answer, &expected).unwrap_err();
            assert!(error.contains(why), "{answer:02x?}: {error}");
        }
    }

    #[test]
    fn bytes_are_written_in_hex_with_their_header() {
        let expected = Expected::Bytes { min_size: 4 };
        assert_eq!(value(&[4, 3, 0x00, 0xd8], &expected).unwrap(), "040300d8");
        // Bytes behind the declared end are not part of it.
        assert_eq!(value(&[4, 3, 0x7d, 0, 0xff], &expected).unwrap(), "04037d00");
        assert!(value(&[3, 3, 0], &expected).unwrap_err().contains("3 bytes, expected 4 at least"));
        assert!(value(&[255, 3, 0, 0], &expected).unwrap_err().contains("declares 255 bytes and has 4"));
    }
}
