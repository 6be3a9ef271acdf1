//! Bytes in hex, over several lines and with comments.

use hidbpf_descriptor::HexBytes;
use serde::Deserialize;

/// Bytes in hex. A comment begins with `#` or `//` and ends with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

/// Parses bytes in hex.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default();
        let code = code.split("//").next().unwrap_or_default();
        for word in code.split_ascii_whitespace() {
            let wrong =
                || format!("invalid bytes \"{}\": expected bytes in hex such as \"09 43\"", word.escape_debug());
            let HexBytes(part) = word.parse().map_err(|_| wrong())?;
            bytes.extend(part);
        }
    }
    if bytes.is_empty() { Err("expected bytes in hex such as \"09 43\"".to_owned()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_have_lines_and_comments() {
        assert_eq!(parse("05 01  # Usage Page\n0902 // Usage (Mouse)\n\nA1 01"), Ok(vec![5, 1, 9, 2, 0xa1, 1]));
        for wrong in ["0", "0g", "05 0", "0x05", "", "# only", "é1"] {
            assert!(parse(wrong).is_err_and(|why| why.contains("expected bytes in hex")), "{wrong}");
        }
    }
}
