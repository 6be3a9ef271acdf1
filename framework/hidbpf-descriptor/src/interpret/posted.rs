//! Descriptors as people post them: hex dumps, and C arrays with comments.

use std::fmt;

/// An invalid hex word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidHex {
    /// The line, counted from 1.
    pub line: usize,
    /// The word.
    pub word: String,
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}` is not a byte in hex", self.line, self.word.escape_debug())
    }
}

impl std::error::Error for InvalidHex {}

/// Parses bytes in hex: `05 01 09 02`, `05010902`, `0x05, 0x01,`. Ignores commas, braces, comments after `//`, `#` or
/// between `/*` and `*/`, and lines that end in a colon.
///
/// # Errors
/// A word isn't hex, or has more than one digit and an odd number of digits.
pub fn parse_hex(text: &str) -> Result<Vec<u8>, InvalidHex> {
    let mut bytes = Vec::new();
    let mut in_comment = false;
    for (index, line) in text.lines().enumerate() {
        let code = code(line, &mut in_comment);
        // Files of hardware probes have a heading such as `Device HID Descriptor:`.
        if code.trim_end().ends_with(':') {
            continue;
        }
        for word in code.split(|c: char| c.is_whitespace() || ",;{}".contains(c)) {
            let digits = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).unwrap_or(word);
            let values: Option<Vec<u8>> = digits.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
            match values.as_deref() {
                Some([]) if word.is_empty() => {}
                Some([digit]) => bytes.push(*digit),
                Some(digits) if !digits.is_empty() && digits.len() % 2 == 0 => {
                    bytes.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
                }
                _ => {
                    const MOST: usize = 40;
                    return Err(InvalidHex { line: index + 1, word: word.chars().take(MOST).collect() });
                }
            }
        }
    }
    Ok(bytes)
}

/// Returns a line without its comments.
fn code(line: &str, in_comment: &mut bool) -> String {
    let mut code = String::new();
    let mut rest = line;
    loop {
        if *in_comment {
            let Some((_, after)) = rest.split_once("*/") else { return code };
            *in_comment = false;
            rest = after;
        }
        let comment = ["//", "#", "/*"].iter().filter_map(|mark| Some((rest.find(mark)?, *mark))).min();
        let Some((start, mark)) = comment else { return code + rest };
        code.push_str(&rest[..start]);
        code.push(' ');
        if mark != "/*" {
            return code;
        }
        *in_comment = true;
        rest = &rest[start + mark.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_people_write_them() {
        for text in [
            "05 01 09 02",
            "05010902",
            "0x05, 0x01,\n0x09, 0x02,",
            "{ 0x5, 0x1, 0X9, 2 };",
            "05 01 // Usage Page (Generic Desktop)\n# a comment of 1 line\n09 02",
            "/* the device's\n05 05 */ 05 01 /* 03 */ 09/**/02",
            "  0501\t0902\r\n",
            "Device HID Descriptor:\n0x05, 0x01, // 000: Usage Page\n0x09, 0x02,",
        ] {
            assert_eq!(parse_hex(text).unwrap(), [5, 1, 9, 2], "{text:?}");
        }
        assert!(parse_hex(" \n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_hex_is_named_with_its_line() {
        for (text, message) in [
            ("05 0g", "line 1: `0g` is not a byte in hex"),
            ("05\n050", "line 2: `050` is not a byte in hex"),
            ("0x", "line 1: `0x` is not a byte in hex"),
            ("05 +1", "line 1: `+1` is not a byte in hex"),
            ("\u{1b}[2J", "line 1: `\\u{1b}[2J` is not a byte in hex"),
        ] {
            assert_eq!(parse_hex(text).unwrap_err().to_string(), message);
        }
    }
}
