//! Bytes in hex.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Returns the two hex digits of a byte.
pub fn hex_digits(byte: u8) -> [u8; 2] {
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

/// Bytes, written in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl FromStr for HexBytes {
    type Err = InvalidHexBytes;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: Option<Vec<u8>> =
            text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| Some(c.to_digit(16)? as u8)).collect();
        match digits {
            Some(digits) if !digits.is_empty() && digits.len() % 2 == 0 => {
                Ok(HexBytes(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
            }
            _ => Err(InvalidHexBytes),
        }
    }
}

/// The error for a text that is not bytes in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected bytes in hex such as \"09 43\"")]
pub struct InvalidHexBytes;

impl fmt::Display for HexBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl Serialize for HexBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|InvalidHexBytes| {
            serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &"bytes in hex such as \"09 43\"")
        })
    }
}
