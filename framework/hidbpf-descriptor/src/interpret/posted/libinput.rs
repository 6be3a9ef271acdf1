//! The recordings of `libinput record`: the descriptor under `hid:`, and reports if it ran with `--with-hidraw`.
//!
//! ```text
//!   evdev:
//!     # Name: Maker Mouse
//!     id: [3, 1133, 49271, 273]
//!   hid: [
//!     0x05, 0x01, ...
//!   ]
//!   events:
//!   - hid:
//!       time: [  0,    123]
//!       hidraw0: [
//!         0x01, 0x00
//!       ]
//! ```

use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};

use super::draft::{Draft, Reading};
use super::text::{Line, Text};
use super::{Unreadable, numbers};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let has = |what: &str| text.lines.iter().any(|line| line.text.trim_start().starts_with(what));
    (has("hid: [") || (has("- hid:") && has("hidraw"))).then(|| devices(text))
}

fn devices(text: &Text) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let mut about = Draft::default();
    let mut time = Duration::ZERO;
    let mut lines = text.lines.iter();
    while let Some(line) = lines.next() {
        let start = line.text.trim_start().trim_start_matches("- ");
        if start.starts_with("node:") {
            about = Draft::default();
        } else if let Some(name) = start.strip_prefix("# Name:") {
            about.name = name.trim().to_owned();
        } else if let Some(name) = start.strip_prefix("name:") {
            about.name = name.trim().trim_matches('"').to_owned();
        } else if let Some(list) = start.strip_prefix("id: [") {
            about.ids = ids(list);
        } else if let Some(list) = start.strip_prefix("time: [") {
            time = list_of(list)
                .and_then(|list| match list[..] {
                    [seconds, micros] => {
                        Some(Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into()))
                    }
                    _ => None,
                })
                .unwrap_or(time);
        } else if start.starts_with("hid: [") {
            let descriptor = bytes(line, &mut lines)?;
            // Several event nodes belong to one HID device.
            let draft = Draft { title: about.name.clone(), line: line.number, ..take(&about) };
            if !reading.drafts.iter().any(|known| known.descriptor == descriptor && known.name == draft.name) {
                reading.drafts.push(Draft { descriptor, ..draft });
            }
        } else if start.starts_with("hidraw") && start.contains(": [") {
            let report = bytes(line, &mut lines)?;
            if reading.drafts.is_empty() {
                reading.drafts.push(Draft { line: line.number, ..take(&about) });
            }
            let device = reading.drafts.len() - 1;
            reading.event(device, time, report, line.number);
        }
    }
    Ok(reading)
}

fn take(about: &Draft) -> Draft {
    Draft { name: about.name.clone(), ids: about.ids, ..Draft::default() }
}

fn list_of(list: &str) -> Option<Vec<u32>> {
    list.split(']').next()?.split(',').map(|word| word.trim().parse().ok()).collect()
}

fn ids(list: &str) -> Option<(Bus, VendorId, ProductId)> {
    match list_of(list)?[..] {
        [bus, vendor, product, _] => Some((Bus(bus.try_into().ok()?), VendorId(vendor), ProductId(product))),
        _ => None,
    }
}

/// Reads the numbers between brackets, over several lines.
fn bytes<'a>(first: &'a Line, lines: &mut impl Iterator<Item = &'a Line>) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    let mut line = first;
    let mut part = first.text.split_once('[').map_or("", |(_, rest)| rest);
    loop {
        let (inside, is_end) = part.split_once(']').map_or((part, false), |(inside, _)| (inside, true));
        for word in inside.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
            match numbers::array(&[word]).filter(|bytes| bytes.len() == 1) {
                Some(byte) => bytes.extend(byte),
                None => return Err(line.invalid_byte(word)),
            }
        }
        if bytes.len() > super::MAX_BYTES {
            return Err(Unreadable::at(line.number, 1, "the list of bytes is too long"));
        }
        if is_end {
            return Ok(bytes);
        }
        line = match lines.next() {
            Some(line) => line,
            // A cut file is shown as far as it goes.
            None => return Ok(bytes),
        };
        part = &line.text;
    }
}
