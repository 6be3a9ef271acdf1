//! The words of a line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::fault::RecordingFault;

/// Takes the next word of a line and parses it as one of these values.
pub(super) fn one_of<T: fmt::Display, const N: usize>(
    rest: &mut &str,
    all: [T; N],
    what: &'static str,
) -> Result<T, RecordingFault> {
    let found = word(rest, what)?;
    let invalid = || RecordingFault::Invalid { what, found: shorten(found) };
    all.into_iter().find(|one| one.to_string() == found).ok_or_else(invalid)
}

/// Parses bytes with or without spaces between them. A byte on its own may have one digit.
pub(super) fn hex_bytes(text: &str) -> Result<Vec<u8>, RecordingFault> {
    let mut bytes = Vec::new();
    for word in text.split_ascii_whitespace() {
        let invalid = || RecordingFault::Invalid { what: "byte in hex", found: shorten(word) };
        let digits = word.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>().ok_or_else(invalid)?;
        match digits.as_slice() {
            [digit] => bytes.push(*digit as u8),
            _ if digits.len() % 2 == 1 => return Err(invalid()),
            _ => bytes.extend(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8)),
        }
    }
    Ok(bytes)
}

/// Shortens a text so that an error message fits on a line.
pub(super) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Takes the next word of a line.
pub(super) fn word<'a>(rest: &mut &'a str, what: &'static str) -> Result<&'a str, RecordingFault> {
    let text = rest.trim_start();
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    if word.is_empty() { Err(RecordingFault::Missing(what)) } else { Ok(word) }
}

pub(super) fn decimal<T: FromStr>(word: &str, what: &'static str) -> Result<T, RecordingFault> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { word.parse().ok() } else { None };
    number.ok_or_else(|| RecordingFault::Invalid { what, found: shorten(word) })
}

pub(super) fn hex_number(word: &str, most: u32, what: &'static str) -> Result<u32, RecordingFault> {
    let digits = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if digits { u32::from_str_radix(word, 16).ok() } else { None };
    number.filter(|number| *number <= most).ok_or_else(|| RecordingFault::Invalid { what, found: shorten(word) })
}

/// Parses `LENGTH BYTES`.
pub(super) fn counted_bytes(mut rest: &str) -> Result<Vec<u8>, RecordingFault> {
    let length = decimal(word(&mut rest, "length in bytes")?, "length in bytes")?;
    let bytes = hex_bytes(rest)?;
    if bytes.len() != length {
        return Err(RecordingFault::Length { length, found: bytes.len() });
    }
    Ok(bytes)
}

/// Parses `SECONDS.MICROSECONDS`.
pub(super) fn timestamp(word: &str) -> Result<Duration, RecordingFault> {
    let what = "time (expected seconds, a point and 6 digits of microseconds)";
    let invalid = || RecordingFault::Invalid { what, found: shorten(word) };
    let (seconds, micros) = word.split_once('.').ok_or_else(invalid)?;
    if micros.len() != 6 {
        return Err(invalid());
    }
    let (seconds, micros): (u64, u32) = (decimal(seconds, what)?, decimal(micros, what)?);
    Ok(Duration::new(seconds, micros * 1000))
}
