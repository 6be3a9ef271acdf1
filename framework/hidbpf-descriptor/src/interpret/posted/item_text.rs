//! Items in words without their bytes, as hidrd-convert's `spec` and programs for Windows write them.
//!
//! ```text
//! Usage Page (Desktop),               ; Generic desktop controls (01h)
//! Usage (Mouse),                      ; Mouse (02h, application collection)
//! Collection (Application),
//! ```
//!
//! The bytes are put together again, each item as short as it can be.

use crate::interpret::usage::{Usage, page_name};

use super::draft::{Draft, Reading};
use super::text::{Line, Text};
use super::{Unreadable, item_names};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let count = text.lines.iter().filter(|line| Item::of(&line.text).is_some()).count();
    let has_main = || text.lines.iter().any(|line| Item::of(&line.text).is_some_and(|item| item.prefix & 0x0f == 0));
    (count > 2 && has_main()).then(|| assemble(text))
}

/// A line with an item.
struct Item<'a> {
    prefix: u8,
    value: &'a str,
    comment: &'a str,
}

impl Item<'_> {
    fn of(line: &str) -> Option<Item<'_>> {
        let line = line.trim();
        let (code, comment) = match line.find([';']).or_else(|| line.find("//")).or_else(|| line.find("/*")) {
            Some(at) => line.split_at(at),
            None => (line, ""),
        };
        let code = code.trim().trim_end_matches(',');
        let (name, value) = match code.split_once('(') {
            Some((name, value)) => (name, value.rsplit_once(')').map_or(value, |(value, _)| value)),
            None => (code, ""),
        };
        let prefix = item_names::prefix(name.trim())?;
        let needs_value = !matches!(prefix, 0xc0 | 0xa4 | 0xb4 | 0x80 | 0x90 | 0xb0);
        (!needs_value || !value.is_empty()).then_some(Item { prefix, value: value.trim(), comment })
    }
}

fn assemble(text: &Text) -> Result<Reading, Unreadable> {
    let mut draft = Draft::default();
    let mut page = 0;
    for line in &text.lines {
        let Some(item) = Item::of(&line.text) else { continue };
        if draft.line == 0 {
            draft.line = line.number;
        }
        let bytes = encode(&item, page).ok_or_else(|| unknown(line, &item))?;
        if item.prefix == 0x04 {
            page = bytes[1..].iter().rev().fold(0, |page, byte| page << 8 | u16::from(*byte));
        }
        draft.extend(&bytes, line.number)?;
    }
    let mut reading = Reading::of(vec![draft]);
    reading.note_words();
    Ok(reading)
}

fn unknown(line: &Line, item: &Item<'_>) -> Unreadable {
    let value: String = item.value.chars().take(40).collect();
    let reason = format!("unknown value \"{}\"", value.escape_debug());
    Unreadable::at(line.number, line.place_of(item.value), reason)
}

fn encode(item: &Item<'_>, page: u16) -> Option<Vec<u8>> {
    let value = match item.prefix {
        0xc0 | 0xa4 | 0xb4 => return Some(vec![item.prefix]),
        0x80 | 0x90 | 0xb0 => number(item.value).or_else(|| flags(item.value))?,
        0xa0 => number(item.value).or_else(|| collection(item.value))?,
        0x04 => number(item.value).or_else(|| in_comment(item.comment)).or_else(|| page_of(item.value))?,
        0x08 | 0x18 | 0x28 => {
            number(item.value).or_else(|| in_comment(item.comment)).or_else(|| usage_of(page, item.value))?
        }
        0x54 => number(item.value)? & 0x0f,
        0x64 => number(item.value).or_else(|| unit(item.value))?,
        _ => number(item.value)?,
    };
    item_names::shortest(item.prefix, value)
}

/// Parses a number: decimal, or hex with `0x` or `h`.
pub(super) fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_suffix(['h', 'H'])) {
        return i64::from_str_radix(digits, 16).ok().filter(|number| *number < 1 << 32);
    }
    text.parse().ok().filter(|number: &i64| number.unsigned_abs() < 1 << 32)
}

/// Parses the number in a comment of hidrd: `Mouse (02h, application collection)`.
pub(super) fn in_comment(comment: &str) -> Option<i64> {
    let (_, inside) = comment.rsplit_once('(')?;
    let digits = inside.split([',', ')']).next()?.trim();
    let digits = digits.strip_suffix('h').unwrap_or(digits);
    i64::from_str_radix(digits, 16).ok().filter(|number| (0..1 << 16).contains(number))
}

fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Returns the bits of an Input, Output or Feature item.
pub(super) fn flags(text: &str) -> Option<i64> {
    let mut words = text.split([',', '|']).filter(|word| !word.trim().is_empty());
    words.try_fold(0, |bits, word| Some(bits | flag(word)?))
}

/// Returns the bit of a flag by its name, or 0 for the name of its absence: HID 1.11, section 6.2.2.5.
pub(super) fn flag(name: &str) -> Option<i64> {
    let name = plain(name);
    // LUFA: `HID_IOF_VARIABLE`.
    Some(match name.strip_prefix("hidiof").unwrap_or(&name) {
        "data" | "array" | "arr" | "ary" | "absolute" | "abs" | "nowrap" | "linear" | "preferred"
        | "preferredstate" | "nonullposition" | "nonull" | "bitfield" | "nonvolatile" => 0,
        "constant" | "const" | "cnst" => 1,
        "variable" | "var" => 2,
        "relative" | "rel" => 4,
        "wrap" => 8,
        "nonlinear" | "nlin" => 0x10,
        "nopreferred" | "nopreferredstate" | "npreferred" => 0x20,
        "nullstate" | "null" | "nullposition" => 0x40,
        "volatile" | "vol" => 0x80,
        "bufferedbytes" | "buff" => 0x100,
        _ => return None,
    })
}

pub(super) fn collection(text: &str) -> Option<i64> {
    const KINDS: [&str; 7] =
        ["physical", "application", "logical", "report", "namedarray", "usageswitch", "usagemodifier"];
    let text = plain(text);
    KINDS.iter().position(|kind| *kind == text).map(|kind| kind as i64)
}

/// Returns the number of a usage page by its name.
pub(super) fn page_of(name: &str) -> Option<i64> {
    let name = plain(name);
    let short = [
        ("desktop", 0x01),
        ("genericdesktopcontrols", 0x01),
        ("genericdesktopctrls", 0x01),
        ("keyboard", 0x07),
        ("kbrdkeypad", 0x07),
        ("leds", 0x08),
    ];
    if let Some((_, page)) = short.iter().find(|(short, _)| *short == name) {
        return Some(*page);
    }
    (1..=0xff).find(|page| plain(&page_name(*page)) == name).map(i64::from)
}

/// Returns the ID of a usage by its name.
pub(super) fn usage_of(page: u16, name: &str) -> Option<i64> {
    let name = plain(name);
    if name.is_empty() {
        return None;
    }
    (0..=0x3ff).find(|id| plain(&Usage(u32::from(page) << 16 | id).to_string()) == name).map(i64::from)
}

fn unit(text: &str) -> Option<i64> {
    match plain(text).as_str() {
        "none" => Some(0),
        "centimeter" | "cm" => Some(0x11),
        "inch" => Some(0x13),
        "radians" => Some(0x12),
        "degrees" => Some(0x14),
        "seconds" => Some(0x1001),
        _ => None,
    }
}
