//! HID devices in BlueZ's files and in the output of sdptool, gatttool, bluetoothctl and btmon.
//!
//! Low energy devices have their descriptor in the characteristic Report Map, UUID 0x2a4b (HID over GATT 1.0, section 2.6).
//! Others have it in attribute 0x0206 of their service record (Bluetooth HID profile 1.1, section 5.3.4.7).

use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};

use super::draft::{Draft, Reading};
use super::meaning::is_descriptor;
use super::text::{Line, Text};
use super::{Unreadable, numbers};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    const MARKS: [&str; 13] = [
        "2a4b",
        "2A4B",
        "Characteristic value",
        "Notification handle",
        "Indication   handle",
        "char-read-hnd",
        "[ServiceRecords]",
        "[DeviceID]",
        "ReportMap",
        "Report Map",
        "Attribute /org/bluez",
        "Handle Value Notification",
        "encoding=\"hex\"",
    ];
    text.lines.iter().any(|line| MARKS.iter().any(|mark| line.text.contains(mark))).then(|| attributes(text))
}

#[derive(Default)]
struct State {
    reading: Reading,
    name: String,
    vendor: Option<u32>,
    product: Option<u32>,
    /// The index of the device whose descriptor comes in pieces.
    grows: Option<usize>,
    is_notification: bool,
}

fn attributes(text: &Text) -> Result<Reading, Unreadable> {
    let mut state = State::default();
    let mut lines = text.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let start = line.text.trim();
        if let Some((key, value)) =
            start.split_once('=').filter(|(key, _)| key.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            match key {
                "Name" => state.name = value.to_owned(),
                "Vendor" => state.vendor = value.parse().ok(),
                "Product" => state.product = value.parse().ok(),
                _ => state.stored(value, line)?,
            }
        } else if let Some((_, value)) = start.split_once("encoding=\"hex\" value=\"") {
            state.stored(value.split('"').next().unwrap_or_default(), line)?;
        } else if start.contains("Handle Value Notification") {
            state.is_notification = true;
        } else if start.contains("Read Blob Response") || start.contains("Read Response") {
            state.is_notification = false;
        } else if start.starts_with("Long Value[") {
            // btmon repeats the pieces so far.
        } else if let Some(at) = value_at(&line.text) {
            let is_report =
                state.is_notification || start.starts_with("Notification") || start.starts_with("Indication");
            let mut bytes = values(&line.after(at))?;
            while let Some(more) = lines.next_if(|line| is_hex_row(&line.text)) {
                bytes.extend(row(&more.text));
            }
            // bluetoothctl prints a value twice at times.
            let (half, rest) = bytes.split_at(bytes.len() / 2);
            if half == rest && is_descriptor(half) {
                bytes.truncate(bytes.len() / 2);
            }
            state.value(bytes, is_report, line)?;
            state.is_notification = false;
        }
    }
    state.finish(text)
}

/// Returns where the bytes begin in a line such as `Characteristic value/descriptor: 05 01`.
fn value_at(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    ["value/descriptor:", " value:", " data:", "report map:", "reportmap:", "value[", "data["].iter().find_map(|mark| {
        let found = format!(" {lower}").find(mark)?.saturating_sub(1);
        let end = found + lower[found..].find(':')? + 1;
        Some(end)
    })
}

fn is_hex_row(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !row(line).is_empty()
}

/// Returns the bytes of a row such as `  05 01 09 02                ....`.
fn row(line: &str) -> Vec<u8> {
    const ROW: usize = 16;
    let start = line.trim_start();
    // The characters stand after two spaces at least.
    let bytes = start.split("  ").next().unwrap_or_default();
    let words: Option<Vec<Vec<u8>>> =
        bytes.split_whitespace().map(|word| numbers::hex(word).filter(|_| word.len() == 2)).collect();
    words.filter(|words| words.len() <= ROW).map(|words| words.concat()).unwrap_or_default()
}

fn values(line: &Line) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    for word in line.text.split_whitespace() {
        match numbers::hex(word.trim_start_matches("0x")) {
            Some(part) => bytes.extend(part),
            None if bytes.is_empty() => return Ok(bytes),
            None => return Err(line.invalid_byte(word)),
        }
    }
    Ok(bytes)
}

impl State {
    /// Takes the value of a key in one of BlueZ's files. Colons separate its fields, and one of them has the bytes.
    fn stored(&mut self, value: &str, line: &Line) -> Result<(), Unreadable> {
        for field in value.split(':').filter(|field| field.len() >= 8) {
            let Some(bytes) = numbers::hex(field.trim()) else { continue };
            if let Some(found) = of_service_record(&bytes) {
                self.descriptor(found, line)?;
            } else if is_descriptor(&bytes) {
                self.descriptor(&bytes, line)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, bytes: Vec<u8>, is_report: bool, line: &Line) -> Result<(), Unreadable> {
        if bytes.is_empty() {
            return Ok(());
        }
        if is_report {
            let device = self.reading.last(line.number);
            self.reading.event(device, Duration::ZERO, bytes, line.number);
            return Ok(());
        }
        // A long attribute comes in pieces. The first one begins a descriptor.
        let grows = self.grows.and_then(|index| self.reading.drafts.get_mut(index));
        match grows.filter(|draft| super::whole(&draft.descriptor).is_none()) {
            Some(draft) => draft.extend(&bytes, line.number),
            None if is_descriptor(&bytes) => {
                self.grows = Some(self.descriptor(&bytes, line)?);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns the index of the device with this descriptor, and adds it if there is none.
    fn descriptor(&mut self, bytes: &[u8], line: &Line) -> Result<usize, Unreadable> {
        if let Some(index) = self.reading.drafts.iter().position(|draft| draft.descriptor == bytes) {
            return Ok(index);
        }
        let mut draft = Draft { line: line.number, ..Draft::default() };
        draft.extend(bytes, line.number)?;
        self.reading.drafts.push(draft);
        Ok(self.reading.drafts.len() - 1)
    }

    fn finish(mut self, text: &Text) -> Result<Reading, Unreadable> {
        let ids = self.vendor.zip(self.product);
        for draft in &mut self.reading.drafts {
            draft.name.clone_from(&self.name);
            draft.title.clone_from(&self.name);
            draft.ids = ids.map(|(vendor, product)| (Bus::BLUETOOTH, VendorId(vendor), ProductId(product)));
        }
        let has_section = |name: &str| text.lines.iter().any(|line| line.text.trim() == name);
        if self.reading.is_empty() && (has_section("[General]") || has_section("[Attributes]")) {
            let reason = "the file of BlueZ has no report map and no service record of a HID device: look at the file of the same name in \"cache\"";
            return Err(Unreadable::new(reason));
        }
        if self.reading.events.len() > 1 {
            self.reading.note_no_times();
        }
        Ok(self.reading)
    }
}

/// Returns the descriptor in a service record: the number 0x22 (Report), then a text, in the coding of Bluetooth Core,
/// volume 3, part B, section 3.3.
fn of_service_record(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(3).enumerate().find_map(|(at, window)| {
        let [0x08, 0x22, kind] = window else { return None };
        let rest = &bytes[at + 3..];
        let (size, length) = match (kind, rest) {
            (0x25, [length, ..]) => (1, usize::from(*length)),
            (0x26, [high, low, ..]) => (2, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return None,
        };
        rest.get(size..size + length).filter(|found| is_descriptor(found))
    })
}
