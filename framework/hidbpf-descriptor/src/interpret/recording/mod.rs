//! Reads and writes recordings of HID devices in hid-recorder's text format.
//!
//! Each line is one of these. Lengths are decimal numbers of bytes, everything else is hexadecimal:
//!
//! ```text
//! # a comment
//! D: 0                               the lines that follow are about device 0; optional if there is one device
//! R: 52 05 01 09 02 ...              the report descriptor
//! N: Maker Model                     the name
//! P: usb-0000:00:14.0-1/input0       the physical path
//! I: 3 046d c077                     bus, vendor, product
//! E: 000000.000040 4 00 01 00 00     a report, with the seconds and microseconds since the recording began
//! ```
//!
//! Four kinds of comment hold what the format has no line for. They belong to the same device as the lines around them:
//!
//! ```text
//! # property HUION_FIRMWARE_ID=HUION_T21h_230511      a udev property
//! # feature 5=05 00 01                                the device's answer to a request for a feature report
//! # asked set feature 05 00 02                        a request that a driver's setup sends, one line each, in order
//! # exported HID_DIGITIZER_PAD_TYPE=Clickpad          a udev property that the setup gives the device
//! ```

mod fault;
mod oddity;
mod read;
mod request;
#[cfg(test)]
mod tests;
mod words;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};

pub use fault::{RecordingError, RecordingFault};
pub use oddity::{Finding, Oddity};
pub use request::{Asked, Feature, RequestKind};

/// One or more devices, and the reports that they sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The comments before everything else, without their `#`.
    pub comments: Vec<String>,
    /// The devices.
    pub devices: Vec<RecordedDevice>,
    /// The reports of all devices, in order of arrival.
    pub events: Vec<Event>,
}

/// A device in a recording: one interface of a USB device, for example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedDevice {
    /// Its number in the recording (`D:`).
    pub number: u32,
    /// Its name (`N:`), empty if the recording has none.
    pub name: String,
    /// Its physical path (`P:`), empty if the recording has none.
    pub phys: String,
    /// Its bus (`I:`).
    pub bus: Bus,
    /// Its vendor (`I:`).
    pub vendor: VendorId,
    /// Its product (`I:`).
    pub product: ProductId,
    /// Its report descriptor (`R:`).
    pub descriptor: Vec<u8>,
    /// Its udev properties (`# property`).
    pub properties: BTreeMap<String, String>,
    /// The feature reports that it answers with, by ID (`# feature`).
    pub features: BTreeMap<u8, Vec<u8>>,
    /// The requests that a driver's setup sends to it (`# asked`).
    pub asked: Vec<Asked>,
    /// The udev properties that a driver's setup gives it (`# exported`).
    pub exported: BTreeMap<String, String>,
}

/// A report from a device.
#[derive(Clone, Debug)]
pub struct Event {
    /// The device, as an index of [`Recording::devices`].
    pub device: usize,
    /// The arrival time, in whole microseconds since the recording began.
    pub time: Duration,
    /// The report, with its ID if it has one.
    pub report: Vec<u8>,
    /// The line that it was read from, counted from 1. Ignored when events are compared.
    pub line: Option<usize>,
}

impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        (self.device, self.time, &self.report) == (other.device, other.time, &other.report)
    }
}

impl Eq for Event {}

impl Recording {
    /// Iterates over the reports of one device, an index of [`Recording::devices`].
    pub fn events_of(&self, device: usize) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.device == device)
    }
}
