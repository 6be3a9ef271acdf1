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
            Some((stamp, message)) => Some(Entry { line, time: seconds(stamp.trim()), message: message.trim_start() }),
            None => after_kernel.map(|message| Entry { line, time: None, message }),
        }
    }

    /// Returns the text in front of the bytes, and the bytes.
    fn bytes(&self) -> Option<(&'a str, Vec<u8>)> {
        let mut from = 0;
        loop {
            let rest = &self.message[from..];
            let words: Vec<&str> = rest.split(' ').collect();
            let is_byte = |word: &&str| word.len() == 2 && word.bytes().all(|c| c.is_ascii_hexdigit());
            // Two spaces separate the bytes from the characters, except in the middle of a line.
            let mut count = 0;
            for (index, word) in words.iter().enumerate() {
                match is_byte(word) {
                    true => count = index + 1,
                    false if word.is_empty() && count == 8 && words.get(index + 1).is_some_and(is_byte) => {}
                    false => break,
                }
            }
            let bytes: Vec<Vec<u8>> = words[..count].iter().filter_map(|word| numbers::hex(word)).collect();
            let label = &self.message[..from];
            if bytes.len() > 1 || (bytes.len() == 1 && without_offset(label).1.is_some()) {
                return Some((label, bytes.concat()));
            }
            let next =
                [": ", "= ", "data ", "desc "].iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()?;
            from += next;
        }
    }
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let entries: Vec<Entry<'_>> = text.lines.iter().filter_map(Entry::of).collect();
    let filled = text.lines.iter().filter(|line| !line.text.trim().is_empty()).count();
    if entries.is_empty() || entries.len() * 2 < filled {
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
