//! Makes texts from devices and from the command line, and bytes, safe to print.
//!
//! A device's name can contain any character.

use std::fmt::{self, Write};

/// Prints a text, with escapes for control characters and other characters that could mislead a terminal.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || is_format(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Returns the two hex digits of a byte.
pub(crate) fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]
}

/// Prints bytes in hex, separated by spaces: `05 00 01`.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The number of bytes that are written at once.
        const LINE: usize = 32;
        for (index, bytes) in self.0.chunks(LINE).enumerate() {
            let mut text = [b' '; 3 * LINE];
            for (byte, text) in bytes.iter().zip(text.chunks_exact_mut(3)) {
                text[1..].copy_from_slice(&hex_digits(*byte));
            }
            let text = &text[usize::from(index == 0)..3 * bytes.len()];
            f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// Returns whether a text matches a pattern in which `*` stands for any text.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Returns whether a character is invisible but changes how others are shown.
///
/// Those are directional marks, joiners and line separators of Unicode.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_mislead_is_escaped() {
        assert_eq!(Printable("Kensington Slimblade \"Pro\" é 鼠").to_string(), "Kensington Slimblade \"Pro\" é 鼠");
        assert_eq!(Printable("a\u{1b}[2Jb\n").to_string(), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(Printable("\u{202e}esuom").to_string(), "\\u{202e}esuom");
    }

    #[test]
    fn patterns_stand_for_texts() {
        for (pattern, text, expected) in [
            ("HUION_T21j_*", "HUION_T21j_240101", true),
            ("HUION_T21j_*", "HUION_T21k_240101", false),
            ("*", "", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*ly", "exactly", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
