//! Bytes in words: hex, octal, decimal or binary numbers of one or more bytes, in either byte order.

use crate::hex::HexBytes;

use super::meaning::likeness;

/// How a number is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// `0x05`, `\x05`, `$05`, `&H05`, `#$05`, `05h`, `x'05'`
    Hex,
    /// `0b101`
    Binary,
    /// `5`, `05`, `a1`
    None,
}

/// Returns the digits of a number, and how it is marked.
pub(super) fn digits(word: &str) -> Option<(Mark, &str)> {
    const PREFIXES: [&str; 9] = ["0x", "0X", "\\x", "\\X", "#$", "$", "&h", "&H", "16#"];
    let unsuffixed = |digits: &'_ str| -> usize {
        let suffixes = ["u8", "u16", "u32", "i32", "usize", "UL", "ul", "U", "u", "L"];
        suffixes.iter().find_map(|suffix| digits.strip_suffix(suffix)).map_or(digits.len(), str::len)
    };
    for prefix in PREFIXES {
        if let Some(rest) = word.strip_prefix(prefix) {
            let rest = &rest[..unsuffixed(rest)];
            return is_hex(rest).then_some((Mark::Hex, rest));
        }
    }
    if let Some(rest) = word.strip_prefix("0b").or_else(|| word.strip_prefix("0B"))
        && rest.len() > 2
        && rest.bytes().all(|digit| matches!(digit, b'0' | b'1'))
    {
        return Some((Mark::Binary, rest));
    }
    if let Some(rest) = word.strip_suffix(['h', 'H']) {
        return is_hex(rest).then_some((Mark::Hex, rest));
    }
    // Rust's suffix is not hex: `5u8`.
    let bare = word.strip_suffix("u8").or_else(|| word.strip_suffix(['u', 'U'])).unwrap_or(word);
    is_hex(bare).then_some((Mark::None, bare))
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Parses hex digits in byte order. A digit on its own is a byte.
pub(super) fn hex(digits: &str) -> Option<Vec<u8>> {
    if digits.len() < 2 {
        return digits.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    }
    // Assembler needs a zero before a letter: 0A1h.
    let digits = digits.strip_prefix('0').filter(|rest| rest.len() == 2).unwrap_or(digits);
    digits.parse().ok().filter(|_| is_hex(digits)).map(|HexBytes(bytes)| bytes)
}

/// Parses a number of four hex digits, as ids are written.
pub(super) fn id(digits: &str) -> Option<u16> {
    u16::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 4 && is_hex(digits))
}

/// Parses the numbers of an array, all marked the same way or bare.
pub(super) fn array(words: &[&str]) -> Option<Vec<u8>> {
    let numbers: Vec<(Mark, &str)> = words.iter().map(|word| digits(word)).collect::<Option<_>>()?;
    if numbers.iter().all(|(mark, _)| *mark == Mark::None) {
        let words: Vec<&str> = numbers.iter().map(|(_, digits)| *digits).collect();
        return best(bare(&words));
    }
    // In a language that marks hex numbers, a bare one is decimal.
    let mut bytes = Vec::with_capacity(numbers.len());
    for (mark, digits) in numbers {
        match mark {
            Mark::Hex => bytes.extend(hex(digits)?),
            Mark::Binary => bytes.push(u8::from_str_radix(digits, 2).ok()?),
            Mark::None => bytes.push(digits.parse().ok()?),
        }
    }
    Some(bytes)
}

/// Returns what bare numbers can mean, the most probable first.
pub(super) fn bare(words: &[&str]) -> Vec<Vec<u8>> {
    let mut ways = Vec::new();
    let width = words.first().map_or(0, |word| word.len());
    // The last word of a dump can be shorter.
    let is_even = words.iter().all(|word| word.len() == width);
    let all = |read: &dyn Fn(&str) -> Option<Vec<u8>>| -> Option<Vec<u8>> {
        let parts: Option<Vec<Vec<u8>>> = words.iter().map(|word| read(word)).collect();
        parts.map(|parts| parts.concat())
    };
    let number = |base: u32, size: usize| {
        move |word: &str| {
            let value = u64::from_str_radix(word, base).ok().filter(|value| *value >> (8 * size) == 0)?;
            Some(value.to_le_bytes()[..size].to_vec())
        }
    };
    let has_leading_zero = words.iter().any(|word| word.len() == 2 && word.starts_with('0'));
    let in_order = all(&hex);
    // Nearly all are plain bytes, and need no other guess.
    if let Some(bytes) = in_order.as_ref().filter(|bytes| width == 2 && likeness(bytes) == 3) {
        return vec![bytes.clone()];
    }
    let decimal = all(&number(10, 1));
    match width {
        3 if is_even => ways.extend([all(&number(8, 1)), all(&number(10, 1))].into_iter().flatten()),
        5 if is_even => ways.extend(all(&number(10, 2))),
        6 if is_even => ways.extend(all(&number(8, 2))),
        8 if is_even => ways.extend(all(&number(2, 1)).filter(|_| words.len() > 1)),
        11 if is_even => ways.extend(all(&number(8, 4))),
        _ => {}
    }
    let reversed = |word: &str| hex(word).map(|bytes| bytes.into_iter().rev().collect());
    let swapped = if width > 2 { all(&reversed) } else { None };
    if has_leading_zero || width > 3 {
        ways.extend(in_order.into_iter().chain(swapped).chain(decimal));
    } else {
        ways.extend(decimal.into_iter().chain(in_order).chain(swapped));
    }
    ways
}

/// Returns the one that is most clearly a descriptor, or else the first.
pub(super) fn best(ways: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    // `max_by_key` takes the last of equals.
    ways.into_iter().rev().max_by_key(|bytes| likeness(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_each_language_writes_them() {
        let expected = Some(vec![5, 1, 9, 2, 0xa1, 1]);
        for text in [
            "0x05 0x01 0x09 0x02 0xa1 0x01",
            "0x5 0X1 0x9 2 0xA1 1",
            "$05 $01 $09 $02 $A1 $01",
            "05h 01h 09h 02h 0A1h 01h",
            "5 1 9 2 161 1",
            "05 01 09 02 a1 01",
            "0x05u8 0x01u8 9u8 2u8 0xa1u8 1u8",
            "&H05 &H01 &H09 &H02 &HA1 &H01",
            "0501 0902 a101",
            "0105 0209 01a1",
            "05010902a101",
            "005 001 011 002 241 001",
            "000405 001011 000641",
            "00261 00521 00417",
            "0b00000101 0b00000001 0b00001001 0b00000010 0b10100001 0b00000001",
            "00000101 00000001 00001001 00000010 10100001 00000001",
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(array(&words), expected, "{text}");
        }
        for text in ["0g", "0x", "0x05 256", "05 +1", "\\x"] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(array(&words), None, "{text}");
        }
        for text in ["+1", "+", "05+1", "05 01", "150", "ü"] {
            assert_eq!(hex(text), None, "{text}");
        }
    }
}
