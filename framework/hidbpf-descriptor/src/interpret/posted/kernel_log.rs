//! Lines of the kernel's log: bytes that kernel drivers print, with or without offsets.
//!
//! ```text
//! [   12.345678] hid-generic 0003:046D:C077.0001: rdesc: 05 01 09 02 a1 01
//! Nov 30 10:00:00 host kernel: rdesc 00000000: 05 01 09 02 a1 01 09 01 a1 00  ..........
//! ```

use std::time::Duration;

use super::draft::{Draft, Reading};
use super::meaning::is_descriptor;
use super::text::{Line, Text};
use super::usbhid_dump::seconds;
use super::{Unreadable, numbers, plain};

/// A line of the log.
struct Entry<'a> {
    line: &'a Line,
    time: Option<Duration>,
    message: &'a str,
    /// Bytes on the lines after it, which a mail program has wrapped.
    wrapped: Vec<u8>,
}

impl<'a> Entry<'a> {
    fn of(line: &'a Line) -> Option<Entry<'a>> {
        let mut text = line.text.trim_start();
        if let Some((level, rest)) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            text = if level.bytes().all(|digit| digit.is_ascii_digit()) { rest } else { text };
        }
        let after_kernel = text.split_once(" kernel: ").map(|(_, rest)| rest);
        let rest = after_kernel.unwrap_or(text).trim_start();
        let stamp = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let is_stamp = |stamp: &str| seconds(stamp.trim()).is_some() || stamp.split(':').count() == 3;
        match stamp.filter(|(stamp, _)| is_stamp(stamp)) {
            Some((stamp, message)) => Some((seconds(stamp.trim()), message.trim_start())),
            None => after_kernel.or_else(|| of_driver(rest)).map(|message| (None, message)),
        }
        .map(|(time, message)| Entry { line, time, message, wrapped: Vec::new() })
    }

    /// Returns whether its message ends with bytes.
    fn ends_with_bytes(&self) -> bool {
        self.message.trim_end().rsplit(' ').next().is_some_and(is_byte) && self.bytes().is_some()
    }

    /// Returns the text in front of the bytes, and the bytes.
    fn bytes(&self) -> Option<(&'a str, Vec<u8>)> {
        let mut from = 0;
        loop {
            let rest = &self.message[from..];
            let words: Vec<&str> = rest.split(' ').collect();
            // Two spaces separate the bytes from the characters, except in the middle of a line.
            let mut count = 0;
            for (index, word) in words.iter().enumerate() {
                match is_byte(word) {
                    true => count = index + 1,
                    false
                        if word.is_empty() && count == 8 && words.get(index + 1).is_some_and(|word| is_byte(word)) => {}
                    false => break,
                }
            }
            let bytes: Vec<Vec<u8>> = words[..count].iter().filter_map(|word| numbers::hex(word)).collect();
            let label = &self.message[..from];
            if bytes.len() > 1 || (bytes.len() == 1 && without_offset(label).1.is_some()) {
                return Some((label, [bytes.concat(), self.wrapped.clone()].concat()));
            }
            let next =
                [": ", "= ", "data ", "desc "].iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()?;
            from += next;
        }
    }
}

fn is_byte(word: &str) -> bool {
    word.len() == 2 && word.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Returns the message of a line without a time, if it begins with a HID driver and a device: `i2c_hid_acpi i2c-ELAN06FA:00: ...`.
fn of_driver(line: &str) -> Option<&str> {
    let (driver, rest) = line.split_once(' ')?;
    let (device, _) = rest.split_once(": ")?;
    let is_driver = driver.contains("hid") && driver.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
    let is_device = device.contains(':') && device.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-:.".contains(&c));
    (is_driver && is_device).then_some(line)
}

/// Returns the entries of the log, and the number of lines that they take.
fn entries(text: &Text) -> (Vec<Entry<'_>>, usize) {
    let (mut entries, mut count, mut can_go_on) = (Vec::<Entry<'_>>::new(), 0, false);
    for line in &text.lines {
        let words: Vec<&str> = line.text.split_whitespace().collect();
        let is_wrapped = can_go_on && !words.is_empty() && words.iter().all(|word| is_byte(word));
        match (Entry::of(line), entries.last_mut().filter(|_| is_wrapped)) {
            (Some(entry), _) => {
                can_go_on = entry.ends_with_bytes();
                entries.push(entry);
            }
            (None, Some(entry)) => entry.wrapped.extend(words.iter().filter_map(|word| numbers::hex(word)).flatten()),
            (None, None) => {
                can_go_on = false;
                continue;
            }
        }
        count += 1;
    }
    (entries, count)
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let (entries, count) = entries(text);
    let filled = text.lines.iter().filter(|line| !line.text.trim().is_empty()).count();
    if entries.is_empty() || count * 2 < filled {
        return None;
    }
    let mut reading = Reading::default();
    // The label of the descriptor that grows, without the offset at its end.
    let mut grows: Option<String> = None;
    for entry in &entries {
        let Some((label, bytes)) = entry.bytes() else {
            grows = None;
            continue;
        };
        let (label, offset) = without_offset(label);
        // That of I2C says where the device has its registers.
        if label.ends_with(" HID Descriptor: ") {
            continue;
        }
        let goes_on = grows.as_deref() == Some(label) && offset != Some(0);
        if let Some(draft) = reading.drafts.last_mut().filter(|_| goes_on) {
            let is_next = offset.is_none_or(|offset| offset == draft.descriptor.len());
            // Without offsets, lines after a whole descriptor are reports.
            if is_next && (offset.is_some() || super::whole(&draft.descriptor).is_none()) {
                if let Err(error) = draft.extend(&bytes, entry.line.number) {
                    return Some(Err(error));
                }
                continue;
            }
            if let Some(offset) = offset.filter(|_| !is_next) {
                let reason = format!("offset {offset:#x} after {:#x} bytes: a line is missing", draft.descriptor.len());
                return Some(Err(Unreadable::at(entry.line.number, 1, reason)));
            }
        }
        if is_descriptor(&bytes) && offset.unwrap_or(0) == 0 {
            let title = plain::label(label);
            reading.drafts.push(Draft { title, line: entry.line.number, descriptor: bytes, ..Draft::default() });
            grows = Some(label.to_owned());
            continue;
        }
        grows = None;
        let device = reading.last(entry.line.number);
        reading.event(device, entry.time.unwrap_or_default(), bytes, entry.line.number);
    }
    if reading.drafts.is_empty() {
        let first = entries.first()?.line.number;
        return Some(Err(Unreadable::at(
            first,
            1,
            "the lines of the kernel log have no bytes of a descriptor or report",
        )));
    }
    Some(Ok(reading.begun_at_zero()))
}

/// Parses the offset that `print_hex_dump()` puts in front of the bytes: `rdesc: 00000010: `.
fn without_offset(label: &str) -> (&str, Option<usize>) {
    let trimmed = label.trim_end().trim_end_matches(':');
    let (before, word) = trimmed.rsplit_once([' ', ':']).unwrap_or(("", trimmed));
    let is_offset = word.len() == 8 && word.bytes().all(|c| c.is_ascii_hexdigit());
    match usize::from_str_radix(word, 16).ok().filter(|_| is_offset) {
        Some(offset) => (before, Some(offset)),
        None => (label, None),
    }
}
