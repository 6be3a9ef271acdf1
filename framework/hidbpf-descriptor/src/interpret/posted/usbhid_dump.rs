//! The output of usbhid-dump: descriptors (`-e descriptor`) and streams of reports (`-e stream`).
//!
//! ```text
//! 001:005:002:DESCRIPTOR         1709695945.563311
//!  05 01 09 06 A1 01 ...
//!
//! 001:005:002:STREAM             1709695946.100000
//!  00 00 04 00 00 00 00 00
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};

use super::draft::{Draft, Reading};
use super::lsusb::listed;
use super::text::{Line, Text};
use super::{Unreadable, comments, numbers};

/// The first line of an entry.
struct Header {
    /// Bus and address of the device.
    device: (u32, u32),
    interface: u32,
    is_stream: bool,
    time: Duration,
}

impl Header {
    fn of(line: &str) -> Option<Header> {
        let mut words = line.split_whitespace();
        let mut parts = words.next()?.split(':');
        let mut number = || parts.next().filter(|part| part.len() <= 3)?.parse::<u32>().ok();
        let (device, interface) = ((number()?, number()?), number()?);
        let is_stream = match parts.next()? {
            "DESCRIPTOR" => false,
            "STREAM" => true,
            _ => return None,
        };
        let time = words.next().and_then(seconds).unwrap_or_default();
        Some(Header { device, interface, is_stream, time })
    }
}

/// Parses seconds with a fraction.
pub(super) fn seconds(word: &str) -> Option<Duration> {
    let (seconds, fraction) = word.split_once('.')?;
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some(Duration::new(seconds.parse().ok()?, micros.parse::<u32>().ok()? * 1000))
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    text.lines.iter().any(|line| Header::of(&line.text).is_some()).then(|| entries(text))
}

fn entries(text: &Text) -> Result<Reading, Unreadable> {
    let known: BTreeMap<(u32, u32), (u16, u16, String)> =
        text.lines.iter().filter_map(|line| listed(&line.text)).collect();
    let mut reading = Reading::default();
    let mut devices = Vec::new();
    // A post can have the bytes as a converter shows them, with a comment behind each item.
    let bare = comments::without(text);
    let mut lines = text.lines.iter().zip(&bare).peekable();
    while let Some((line, _)) = lines.next() {
        let Some(header) = Header::of(&line.text) else { continue };
        // The fence of a code block is blank by now.
        let _ = lines.next_if(|(line, _)| line.text.trim().is_empty());
        if !devices.contains(&header.device) {
            devices.push(header.device);
        }
        let mut bytes = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| is_body(line)) {
            bytes.extend(body(line)?);
            if bytes.len() > super::MAX_BYTES {
                return Err(Unreadable::at(line.number, 1, "an entry of usbhid-dump is too long"));
            }
        }
        let (bus, address) = header.device;
        let key = format!("{bus:03}:{address:03}:{:03}", header.interface);
        let index = reading.draft(&key, || {
            let known = known.get(&header.device);
            Draft {
                interface: Some(header.interface),
                title: format!("device {bus:03}:{address:03}"),
                name: known.map(|(_, _, name)| name.clone()).unwrap_or_default(),
                ids: known
                    .map(|(vendor, product, _)| (Bus::USB, VendorId((*vendor).into()), ProductId((*product).into()))),
                line: line.number,
                ..Draft::default()
            }
        });
        match header.is_stream {
            true => reading.event(index, header.time, bytes, line.number),
            // A descriptor is the same each time that it is dumped.
            false if reading.drafts[index].descriptor.is_empty() => reading.drafts[index].descriptor = bytes,
            false => {}
        }
    }
    if devices.len() == 1 {
        reading.drafts.iter_mut().for_each(|draft| draft.title.clear());
    }
    // It dumps the interfaces from the last to the first.
    Ok(sorted(reading.begun_at_zero()))
}

fn sorted(mut reading: Reading) -> Reading {
    let mut order: Vec<usize> = (0..reading.drafts.len()).collect();
    order.sort_by(|a, b| reading.drafts[*a].key.cmp(&reading.drafts[*b].key));
    for event in &mut reading.events {
        event.device = order.iter().position(|index| *index == event.device).unwrap_or_default();
    }
    reading.drafts.sort_by(|a, b| a.key.cmp(&b.key));
    reading
}

/// Returns whether a line looks like one of bytes. Posts have prose below.
fn is_body(line: &Line) -> bool {
    words(&line.text).next().is_some_and(|word| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns the bytes of a line, bare or as a language writes them: `05 01`, `0x05, 0x01,`.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .map(|word| word.strip_prefix("0x").unwrap_or(word))
}

fn body(line: &Line) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    for word in words(&line.text) {
        match numbers::hex(word).filter(|_| word.len() == 2) {
            Some(byte) => bytes.extend(byte),
            None => return Err(line.invalid_byte(word)),
        }
    }
    Ok(bytes)
}
