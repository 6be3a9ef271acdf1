//! Decodes the bytes of a report, field by field.

use std::fmt;

use serde::Serialize;

use crate::hex::HexBytes;
use crate::interpret::report::{Field, FieldKind, Part, Report};
use crate::interpret::usage::Usage;
use crate::report_type::ReportType;

/// The reason why bytes can't be decoded as a report of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Undecodable {
    /// There are no bytes.
    #[error("the report is empty")]
    Empty,
    /// The descriptor doesn't declare the report.
    #[error("the descriptor declares no {kind} report {id}")]
    Undeclared {
        /// The requested type.
        kind: ReportType,
        /// The first byte, or 0 if reports have no IDs.
        id: u8,
    },
}

/// A decoded report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Decoded {
    /// The report's ID, or `None` if it has none.
    pub id: Option<u8>,
    /// Its values in bit order, padding included.
    pub values: Vec<Value>,
    /// How many of the declared bytes are missing.
    pub missing: usize,
    /// The bytes after the declared ones.
    pub excess: HexBytes,
}

/// A decoded value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Value {
    /// The bits and the control or array that they belong to.
    #[serde(flatten)]
    pub part: Part,
    /// The kind of field.
    pub kind: FieldKind,
    /// The decoded content.
    #[serde(flatten)]
    pub content: Content,
}

/// A number in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The number.
    pub number: i64,
    /// The usage that it selects, if any.
    pub usage: Option<Usage>,
}

impl Choice {
    /// Returns whether the number means that no control is active.
    pub fn is_none(&self) -> bool {
        // Usage 0 of every page is undefined. On the keyboard page it means that no key is pressed.
        self.usage.map_or(self.number == 0, |usage| usage.id() == 0)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.usage {
            Some(usage) => write!(f, "{usage}"),
            None => write!(f, "{} (no usage)", self.number),
        }
    }
}

/// The content of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Content {
    /// A number in the logical range.
    Number(i64),
    /// A number outside the logical range of a field with a null state: the control has no value.
    Null(i64),
    /// A number outside the logical range of a field without a null state.
    OutOfRange(i64),
    /// Several numbers of one control.
    Numbers(Vec<i64>),
    /// The usages that an array selects.
    Choices(Vec<Choice>),
    /// A value too wide for a number, lowest byte first.
    Bytes(HexBytes),
    /// The report ends before or inside the value.
    Missing,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |words: Vec<String>, between: &str| words.join(between);
        f.pad(&match self {
            Content::Number(number) => number.to_string(),
            Content::Null(number) => format!("{number} (null)"),
            Content::OutOfRange(number) => format!("{number} (out of range)"),
            Content::Numbers(numbers) => words(numbers.iter().map(ToString::to_string).collect(), " "),
            Content::Choices(choices) if choices.iter().all(Choice::is_none) => "none".to_owned(),
            Content::Choices(choices) => {
                words(choices.iter().filter(|choice| !choice.is_none()).map(ToString::to_string).collect(), " + ")
            }
            Content::Bytes(bytes) => bytes.to_string(),
            Content::Missing => "not sent".to_owned(),
        })
    }
}

impl Value {
    /// Returns whether the value is padding and all its bits are 0, as expected.
    pub fn is_idle_padding(&self) -> bool {
        self.kind == FieldKind::Padding
            && match &self.content {
                Content::Number(number) => *number == 0,
                Content::Bytes(HexBytes(bytes)) => bytes.iter().all(|byte| *byte == 0),
                Content::Missing => true,
                _ => false,
            }
    }
}

impl Value {
    /// Returns whether the control is at rest: a released button, an axis at 0, or idle padding.
    pub fn is_idle(&self) -> bool {
        match &self.content {
            Content::Number(number) => *number == 0,
            Content::Numbers(numbers) => numbers.iter().all(|number| *number == 0),
            Content::Choices(choices) => choices.iter().all(Choice::is_none),
            _ => self.is_idle_padding(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part.name, self.content)
    }
}

/// Writes all values on one line, without idle padding.
impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for value in self.values.iter().filter(|value| !value.is_idle_padding()) {
            write!(f, "{}{value}", if first { "" } else { ", " })?;
            first = false;
        }
        Ok(())
    }
}

impl Report {
    /// Decodes bytes as this report. Doesn't compare the first byte with the report's ID.
    pub fn decode(&self, bytes: &[u8]) -> Decoded {
        let values = self.fields.iter().flat_map(|field| {
            field.parts().into_iter().map(|part| {
                let content = field.content(&part, bytes);
                Value { part, kind: field.kind(), content }
            })
        });
        Decoded {
            id: self.id,
            values: values.collect(),
            missing: self.bytes().saturating_sub(bytes.len()),
            excess: HexBytes(bytes.get(self.bytes()..).unwrap_or_default().to_vec()),
        }
    }
}

/// The widest value that is decoded as a number, in bits. The kernel uses the lowest 32 bits of a wider value.
pub(super) const MAX_NUMBER: u32 = 32;

impl Field {
    fn content(&self, part: &Part, bytes: &[u8]) -> Content {
        let end = part.first_bit + part.bits();
        if end as usize > bytes.len() * 8 {
            return Content::Missing;
        }
        if part.size > MAX_NUMBER {
            let starts = (part.first_bit..end).step_by(8);
            return Content::Bytes(HexBytes(starts.map(|bit| extract(bytes, bit, (end - bit).min(8)) as u8).collect()));
        }
        let numbers = (0..part.count).map(|index| self.number(bytes, part.first_bit + index * part.size, part.size));
        // An array with one usage offers no choice: it holds data.
        if self.kind() == FieldKind::Array && self.usages.len() > 1 {
            return Content::Choices(numbers.map(|number| Choice { number, usage: self.chosen(number) }).collect());
        }
        let numbers: Vec<i64> = numbers.collect();
        match *numbers {
            [number] if self.is_padding() || self.logical.contains(number) => Content::Number(number),
            [number] if self.flags.has_null_state() => Content::Null(number),
            [number] => Content::OutOfRange(number),
            _ => Content::Numbers(numbers),
        }
    }

    /// Returns the number at a bit offset, sign-extended if the logical minimum is negative. Padding is unsigned.
    pub(super) fn number(&self, bytes: &[u8], first_bit: u32, size: u32) -> i64 {
        let bits = i64::from(extract(bytes, first_bit, size));
        let is_negative = self.is_signed() && !self.is_padding() && size > 0 && bits >> (size - 1) & 1 == 1;
        if is_negative { bits - (1 << size) } else { bits }
    }

    /// Returns the usage that a number in an array selects. Numbers count from the logical minimum.
    fn chosen(&self, number: i64) -> Option<Usage> {
        let index = number.checked_sub(self.logical.minimum).filter(|_| number <= self.logical.maximum)?;
        self.usages.get(u32::try_from(index).ok()?)
    }
}

/// Extracts up to 32 bits of a report, lowest first. Missing bits are 0.
pub fn extract(bytes: &[u8], first_bit: u32, size: u32) -> u32 {
    let window = bytes.get((first_bit / 8) as usize..).unwrap_or_default();
    let value = window.iter().take(5).rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) >> (first_bit % 8);
    (value & ((1 << size.min(32)) - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::descriptor::Descriptor;

    /// Report 1: buttons 1 to 3 and padding, X and Y of 12 signed bits, a hat with a null state and a nibble without
    /// one. Report 2: a keyboard's array of 3 keys. Feature 3: 3 vendor bytes and one value of 40 bits.
    const DEVICE: &[u8] = &[
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x25, 0x01, 0x75, 0x01,
        0x95, 0x03, 0x81, 0x02, 0x95, 0x05, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0xf8, 0x26,
        0xff, 0x07, 0x75, 0x0c, 0x95, 0x02, 0x81, 0x02, 0x09, 0x39, 0x15, 0x01, 0x25, 0x08, 0x75, 0x04, 0x95, 0x01,
        0x81, 0x42, 0x09, 0x38, 0x81, 0x02, 0xc0, 0x09, 0x06, 0xa1, 0x01, 0x85, 0x02, 0x05, 0x07, 0x19, 0x00, 0x29,
        0x65, 0x15, 0x00, 0x25, 0x65, 0x75, 0x08, 0x95, 0x03, 0x81, 0x00, 0xc0, 0x06, 0x00, 0xff, 0x09, 0x01, 0xa1,
        0x01, 0x85, 0x03, 0x09, 0x20, 0x26, 0xff, 0x00, 0xb1, 0x02, 0x09, 0x21, 0x75, 0x28, 0x95, 0x01, 0xb1, 0x02,
        0xc0,
    ];

    fn decode(kind: ReportType, bytes: &[u8]) -> String {
        Descriptor::parse(DEVICE)
            .unwrap()
            .decode(kind, bytes)
            .map_or_else(|error| error.to_string(), |it| it.to_string())
    }

    #[test]
    fn values_have_their_names_signs_and_states() {
        use ReportType::{Feature, Input, Output};
        for (kind, bytes, text) in [
            (
                Input,
                &[1, 0x05, 0xff, 0x1f, 0x80, 0x81][..],
                "Button 1: 1, Button 2: 0, Button 3: 1, X: -1, Y: -2047, Hat Switch: 1, Wheel: 8",
            ),
            (
                Input,
                &[1, 0x80, 0xff, 0x07, 0x00, 0x90],
                "Button 1: 0, Button 2: 0, Button 3: 0, padding: 16, X: 2047, Y: 0, Hat Switch: 0 (null), Wheel: 9 (out of range)",
            ),
            (
                Input,
                &[1, 0x01, 0x02, 0x03],
                "Button 1: 1, Button 2: 0, Button 3: 0, X: 770, Y: not sent, Hat Switch: not sent, Wheel: not sent",
            ),
            (Input, &[2, 0x04, 0x00, 0x05], "Keyboard/Keypad: Keyboard A + Keyboard B"),
            (Input, &[2, 0x00, 0x00, 0x00], "Keyboard/Keypad: none"),
            (Input, &[2, 0x01, 0x01, 0xf0], "Keyboard/Keypad: ErrorRollOver + ErrorRollOver + 240 (no usage)"),
            (Feature, &[3, 1, 0xff, 0, 1, 2, 3, 4, 5], "Vendor Usage 0x20: 1 255 0, Vendor Usage 0x21: 01 02 03 04 05"),
            (Input, &[4], "the descriptor declares no input report 4"),
            (Output, &[1], "the descriptor declares no output report 0"),
            (Input, &[], "the report is empty"),
        ] {
            assert_eq!(decode(kind, bytes), text, "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_told() {
        let descriptor = Descriptor::parse(DEVICE).unwrap();
        let short = descriptor.decode(ReportType::Input, &[2, 4]).unwrap();
        assert_eq!((short.missing, short.excess.0.as_slice()), (2, &[][..]));
        let long = descriptor.decode(ReportType::Input, &[2, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!((long.missing, long.excess.0.as_slice()), (0, &[7, 8][..]));
    }

    #[test]
    fn bits_are_cut_out_wherever_they_are() {
        let bytes: Vec<u8> = (0..9u8).map(|index| index.wrapping_mul(37).wrapping_add(11)).collect();
        for first in 0..80 {
            for size in 0..=32 {
                let bit = |at: u32| bytes.get((at / 8) as usize).map_or(0, |byte| u32::from(byte >> (at % 8) & 1));
                let slowly = (0..size).fold(0u32, |value, index| value | bit(first + index) << index);
                assert_eq!(extract(&bytes, first, size), slowly, "{first} {size}");
            }
        }
    }
}
