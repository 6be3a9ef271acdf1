//! A device while its form is being read.

use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};
use crate::interpret::recording::{Event, RecordedDevice};

use super::{MAX_BYTES, Origin, Unreadable, numbers};

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub drafts: Vec<Draft>,
    /// The reports, in the order of the file. Their devices are indices of `drafts`.
    pub events: Vec<Event>,
    pub notes: Vec<String>,
}

impl Reading {
    pub fn of(drafts: Vec<Draft>) -> Reading {
        Reading { drafts, ..Reading::default() }
    }

    /// Returns whether it has no descriptor and no report.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.has_descriptor()
    }

    pub fn has_descriptor(&self) -> bool {
        self.drafts.iter().any(|draft| !draft.descriptor.is_empty())
    }

    /// Returns the index of the device with this key, and adds it if there is none.
    pub fn draft(&mut self, key: &str, new: impl FnOnce() -> Draft) -> usize {
        match self.drafts.iter().position(|draft| draft.key == key) {
            Some(index) => index,
            None => {
                self.drafts.push(Draft { key: key.to_owned(), ..new() });
                self.drafts.len() - 1
            }
        }
    }

    /// Returns the index of the last device, and adds one that begins at this line if there is none.
    pub fn last(&mut self, line: usize) -> usize {
        if self.drafts.is_empty() {
            self.drafts.push(Draft { line, ..Draft::default() });
        }
        self.drafts.len() - 1
    }

    pub fn event(&mut self, device: usize, time: Duration, report: Vec<u8>, line: usize) {
        self.events.push(Event { device, time, report, line: (line > 0).then_some(line) });
    }

    /// Drops devices without a descriptor and without reports.
    pub fn without_empty(mut self) -> Reading {
        let used: Vec<bool> = (0..self.drafts.len())
            .map(|index| {
                !self.drafts[index].descriptor.is_empty() || self.events.iter().any(|event| event.device == index)
            })
            .collect();
        keep_events(&mut self.events, &used);
        keep(&mut self.drafts, &used);
        self
    }

    /// Notes that the form has no times.
    pub fn note_no_times(&mut self) {
        self.notes.push("the reports have no times: all are at 0".to_owned());
    }

    /// Notes that the form has items in words, so that their bytes had to be put together.
    pub fn note_words(&mut self) {
        self.notes.push("the file has the items in words: the device's own bytes may be longer".to_owned());
    }

    /// Lets the first report be at time 0, as in recordings.
    pub fn begun_at_zero(mut self) -> Reading {
        let first = self.events.iter().map(|event| event.time).min().unwrap_or_default();
        self.events.iter_mut().for_each(|event| event.time -= first);
        self
    }
}

/// Drops the elements that are not kept.
pub(super) fn keep<T>(all: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    all.retain(|_| kept.next() == Some(&true));
}

/// Drops the reports of devices that are not kept, and gives the others the index that their device then has.
pub(super) fn keep_events(events: &mut Vec<Event>, kept: &[bool]) {
    events.retain(|event| kept.get(event.device) == Some(&true));
    for event in events {
        event.device = kept[..event.device].iter().filter(|is_kept| **is_kept).count();
    }
}

/// A device.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What tells it from the other devices of the file.
    pub key: String,
    /// What the file calls it.
    pub title: String,
    pub interface: Option<u32>,
    pub name: String,
    pub phys: String,
    pub ids: Option<(Bus, VendorId, ProductId)>,
    pub descriptor: Vec<u8>,
    /// The length that the file declares.
    pub declared: Option<usize>,
    /// The line where it begins, counted from 1.
    pub line: usize,
}

impl Draft {
    /// Adds bytes to the descriptor.
    pub fn extend(&mut self, bytes: &[u8], line: usize) -> Result<(), Unreadable> {
        if self.descriptor.len() + bytes.len() > MAX_BYTES {
            return Err(Unreadable::at(line, 1, format!("the descriptor is longer than {MAX_BYTES} bytes")));
        }
        self.descriptor.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns ` of interface 1` for messages, or nothing.
    pub fn called(&self) -> String {
        match (self.interface, self.title.as_str()) {
            (Some(number), _) => format!(" of interface {number}"),
            (None, "") => String::new(),
            (None, title) => format!(" of {title}"),
        }
    }

    pub fn finish(self, number: u32) -> (RecordedDevice, Origin) {
        let (bus, vendor, product) = self.ids.unwrap_or((Bus::USB, VendorId(0), ProductId(0)));
        let phys = match self.interface {
            Some(interface) if self.phys.is_empty() => format!("usb-?/input{interface}"),
            _ => self.phys,
        };
        let device = RecordedDevice {
            number,
            name: self.name,
            phys,
            bus,
            vendor,
            product,
            descriptor: self.descriptor,
            properties: Default::default(),
            features: Default::default(),
            asked: Vec::new(),
            exported: Default::default(),
        };
        let origin =
            Origin { title: self.title, interface: self.interface, has_ids: self.ids.is_some(), line: self.line };
        (device, origin)
    }
}

/// Returns the USB interface that a physical path ends with: `usb-0000:00:14.0-1/input0`.
pub(super) fn interface_of(phys: &str) -> Option<u32> {
    phys.strip_prefix("usb-")?.rsplit_once("/input")?.1.parse().ok()
}

/// Parses bus, vendor and product of a HID device's name in sysfs: `0003:046D:C077.0004`.
pub(super) fn ids_of_name(name: &str) -> Option<(Bus, VendorId, ProductId)> {
    let (ids, instance) = name.split_once('.')?;
    numbers::id(instance.get(..4)?)?;
    let mut parts = ids.split(':').map(numbers::id);
    let ids = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some((Bus(ids.0), VendorId(ids.1.into()), ProductId(ids.2.into())))
}
