//! The text of usbmon: Documentation/usb/usbmon.rst of the kernel.
//!
//! ```text
//! ffff8f1d 3575914555 S Ci:1:002:0 s 81 06 2200 0000 0034 52 <
//! ffff8f1d 3575914560 C Ci:1:002:0 0 52 = 05010902 a1010901 ...
//! ffff8f1d 3561228404 C Ii:3:002:1 0:8 9 = 00000400 00000000 71
//! ```

use std::time::Duration;

use super::draft::Reading;
use super::text::Text;
use super::usb::{Capture, Place};
use super::{Unreadable, numbers};

/// An event of usbmon.
struct Event<'a> {
    time: Duration,
    is_submission: bool,
    /// `C` for control, `I` for interrupt, and others.
    transfer: char,
    is_in: bool,
    place: Place,
    endpoint: u8,
    /// The words after the address.
    rest: Vec<&'a str>,
}

impl Event<'_> {
    fn of(line: &str) -> Option<Event<'_>> {
        let mut words = line.split_whitespace();
        let tag = words.next().filter(|tag| tag.len() >= 8)?;
        u64::from_str_radix(tag, 16).ok()?;
        let micros = words.next()?.parse().ok()?;
        let is_submission = match words.next()? {
            "S" => true,
            "C" | "E" => false,
            _ => return None,
        };
        let parts: Vec<&str> = words.next()?.split(':').collect();
        // The old format has no bus.
        let (kind, bus, device, endpoint) = match parts[..] {
            [kind, bus, device, endpoint] => (kind, bus.parse().ok()?, device, endpoint),
            [kind, device, endpoint] => (kind, 0, device, endpoint),
            _ => return None,
        };
        let mut kind = kind.chars();
        let transfer = kind.next()?;
        let is_in = kind.next()? == 'i';
        let place = (bus, device.parse().ok()?);
        let time = Duration::from_micros(micros);
        Some(Event {
            time,
            is_submission,
            transfer,
            is_in,
            place,
            endpoint: endpoint.parse().ok()?,
            rest: words.collect(),
        })
    }

    fn setup(&self) -> Option<[u8; 8]> {
        let [mark, request_type, request, value, index, length, ..] = self.rest[..] else { return None };
        if mark != "s" {
            return None;
        }
        let hex = |word: &str| u16::from_str_radix(word, 16).ok();
        let [value, index, length] = [hex(value)?, hex(index)?, hex(length)?].map(u16::to_le_bytes);
        let [request_type, request] = [hex(request_type)? as u8, hex(request)? as u8];
        Some([request_type, request, value[0], value[1], index[0], index[1], length[0], length[1]])
    }

    /// Returns the data and the length of the transfer. usbmon prints 32 bytes at most.
    fn data(&self) -> Option<(Vec<u8>, usize)> {
        let mark = self.rest.iter().position(|word| *word == "=")?;
        let length = self.rest.get(mark.checked_sub(1)?)?.parse().ok()?;
        let parts = self.rest[mark + 1..].iter().map(|word| numbers::hex(word));
        Some((parts.collect::<Option<Vec<_>>>()?.concat(), length))
    }
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let mut capture = Capture::default();
    let mut has_events = None;
    for line in &text.lines {
        let Some(event) = Event::of(&line.text) else { continue };
        has_events.get_or_insert(line.number);
        if let Some(setup) = event.setup().filter(|_| event.is_submission && event.transfer == 'C') {
            capture.setup(event.place, setup);
            continue;
        }
        let Some((data, length)) = event.data().filter(|_| !event.is_submission && event.is_in) else { continue };
        match event.transfer {
            'C' => capture.answer(event.place, &data, length, line.number),
            'I' => capture.interrupt(event.place, event.endpoint | 0x80, event.time, (&data, length), line.number),
            _ => {}
        }
    }
    let first = has_events?;
    let reading = capture.finish();
    if reading.is_empty() {
        let reason = "the capture has no report descriptor and no interrupt transfer with data";
        return Some(Err(Unreadable::at(first, 1, reason)));
    }
    Some(Ok(reading))
}
