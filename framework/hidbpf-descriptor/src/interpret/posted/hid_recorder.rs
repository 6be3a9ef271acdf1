//! Recordings in hid-recorder's format as they are copied from a terminal: with the prompt, prose and wrapped lines.

use std::path::Path;

use crate::interpret::recording::{Recording, RecordingError};

use super::Unreadable;
use super::draft::{Draft, Reading, interface_of};
use super::text::{Line, Text};

/// The lines of a recording, with the numbers that they have in the file.
#[derive(Default)]
struct Lines {
    text: Vec<String>,
    numbers: Vec<usize>,
    /// The lines that are not part of the recording.
    skipped: Vec<usize>,
}

impl Lines {
    fn push(&mut self, number: usize, text: String) {
        self.text.push(text);
        self.numbers.push(number);
    }
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let is_descriptor = |line: &Line| tagged(&line.text).is_some_and(|found| found.starts_with("R:"));
    // Recordings of input events have lines with the same letters.
    text.lines.iter().any(|line| is_descriptor(line) || is_report(&line.text)).then(|| recording(text))
}

/// Returns a line from its letter on, without what terminals and mails put in front.
fn tagged(line: &str) -> Option<&str> {
    let line = line.trim();
    let (tag, _) = line.split_once(':')?;
    matches!(tag, "D" | "R" | "N" | "P" | "I" | "E").then_some(line)
}

/// Returns whether a line looks like one of a recording, with a letter that the format does not have.
fn looks_tagged(line: &str) -> bool {
    let mut chars = line.chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase()) && chars.as_str().starts_with(": ")
}

/// Returns whether a line is a report, as in `E: 000000.000040 4 00 01 00 00`.
fn is_report(line: &str) -> bool {
    let Some(rest) = line.trim().strip_prefix("E:") else { return false };
    let mut words = rest.split_whitespace();
    let has_time = words.next().is_some_and(|time| time.contains('.'));
    let length = words.next().and_then(|word| word.parse::<usize>().ok());
    // Input events, `E: 0.000001 0004 0004 589825`, have numbers of four digits.
    has_time && length.is_some_and(|length| length > 0 && length == words.filter(|word| word.len() == 2).count())
}

fn recording(text: &Text) -> Result<Reading, Unreadable> {
    let mut lines = collect(text);
    complete(&mut lines);
    let parsed = Recording::parse(Path::new(""), lines.text.join("\n").as_bytes());
    let recording = parsed.map_err(|RecordingError { line, reason, .. }| {
        // Each line is one of the file's.
        let line = line.and_then(|line| lines.numbers.get(line - 1).copied());
        Unreadable { line, column: None, reason: reason.to_string() }
    })?;
    let mut reading = Reading::default();
    for device in recording.devices {
        let has_ids = device.vendor.0 != 0 || device.product.0 != 0;
        reading.drafts.push(Draft {
            title: device.name.clone(),
            interface: interface_of(&device.phys),
            name: device.name,
            phys: device.phys,
            ids: has_ids.then_some((device.bus, device.vendor, device.product)),
            descriptor: device.descriptor,
            ..Draft::default()
        });
    }
    reading.events = recording.events;
    for event in &mut reading.events {
        event.line = event.line.and_then(|line| lines.numbers.get(line - 1).copied());
    }
    if let Some(first) = lines.skipped.first() {
        let count = lines.skipped.len();
        let what = if count == 1 { "1 line that is".to_owned() } else { format!("{count} lines that are") };
        reading.notes.push(format!("skipped {what} not part of the recording, the first is line {first}"));
    }
    Ok(reading)
}

fn collect(text: &Text) -> Lines {
    let mut lines = Lines::default();
    // How many bytes the line before still lacks.
    let mut lacks = 0_usize;
    for line in &text.lines {
        let start = line.text.trim();
        if let Some(found) = tagged(&line.text) {
            lacks = missing(found).unwrap_or(0);
            lines.push(line.number, found.to_owned());
        } else if lacks > 0 && is_hex(line) {
            lacks = lacks.saturating_sub(bytes(start));
            if let Some(last) = lines.text.last_mut() {
                last.push(' ');
                last.push_str(start);
            }
        } else if start.starts_with('#') || looks_tagged(start) {
            lines.push(line.number, start.to_owned());
        } else if !start.is_empty() {
            lacks = 0;
            lines.skipped.push(line.number);
        }
    }
    lines
}

fn is_hex(line: &Line) -> bool {
    line.text.split_whitespace().all(|word| word.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn bytes(text: &str) -> usize {
    text.split_whitespace().map(|word| word.len().div_ceil(2)).sum()
}

/// Returns how many bytes a line lacks of those that it declares.
fn missing(line: &str) -> Option<usize> {
    let (tag, rest) = line.split_once(':')?;
    let rest = rest.trim_start();
    let rest = if tag == "E" { rest.split_once(' ')?.1 } else { rest };
    let (length, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    matches!(tag, "R" | "E").then_some(())?;
    length.parse::<usize>().ok()?.checked_sub(bytes(rest))
}

/// Adds the lines that each device must have and the post left out.
fn complete(lines: &mut Lines) {
    let starts = |tag: &str, lines: &Lines| lines.text.iter().any(|line| line.starts_with(tag));
    // With several devices, it is not clear whose line is missing: the error says it.
    if lines.text.iter().filter(|line| line.starts_with("D:")).count() > 1 {
        return;
    }
    let last = lines.numbers.last().copied().unwrap_or(1);
    if !starts("I:", lines) {
        lines.push(last, "I: 3 0 0".to_owned());
    }
    if !starts("R:", lines) {
        lines.push(last, "R: 0".to_owned());
    }
}
