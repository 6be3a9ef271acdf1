//! Descriptors and recordings in the forms in which people post them.
//!
//! [`read`] takes a file's bytes, finds out which form they are in, and returns the devices in it. [`FORMS`] is the list of
//! forms. Each is read by a module of its own. Nothing here needs to know where the file comes from.
//!
//! ```
//! use hidbpf_descriptor::posted;
//!
//! let text = b"001:005:001:DESCRIPTOR         1709695945.570816\n 05 01 09 02 A1 01 C0\n";
//! let read = posted::read(text).unwrap();
//! assert_eq!(read.form, "usbhid-dump");
//! assert_eq!(read.origins[0].interface, Some(1));
//! assert_eq!(read.recording.devices[0].descriptor, [5, 1, 9, 2, 0xa1, 1, 0xc0]);
//! ```

mod array;
mod base64;
mod bluetooth;
mod comments;
mod compliance;
mod debugfs;
mod draft;
mod dump;
mod hid_dump;
mod hid_recorder;
mod hidrd;
mod ioreg;
mod item_names;
mod item_text;
mod kernel_log;
mod libinput;
mod literal;
mod lsusb;
mod meaning;
mod numbers;
mod od_characters;
mod pcap;
mod plain;
mod text;
mod tinyusb;
mod unusable;
mod usb;
mod usbhid_dump;
mod usbmon;

use std::fmt;
use std::path::Path;

use super::recording::Recording;
use draft::{Draft, Reading};
use meaning::{is_descriptor, whole};
use text::Text;

/// The name of hid-recorder's own form, which this library writes too.
const RECORDING: &str = "recording";

/// The largest descriptor that is read from text, in bytes. The kernel takes 4096.
const MAX_BYTES: usize = 1 << 16;

/// The devices in a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Posted {
    /// The name of the form that it was read as, such as `usbhid-dump`.
    pub form: &'static str,
    /// The devices and their reports. A device whose descriptor is not in the file has an empty one.
    pub recording: Recording,
    /// Where each device comes from, in the order of the recording's devices.
    pub origins: Vec<Origin>,
    /// What else is worth knowing: parts that were cut off, or skipped.
    pub notes: Vec<String>,
}

/// Where a device of a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// What the file calls it, empty if it doesn't.
    pub title: String,
    /// The number of its USB interface.
    pub interface: Option<u32>,
    /// Whether the file has its bus, vendor and product. If not, those of the recording are USB, 0 and 0.
    pub has_ids: bool,
    /// The line where it begins, counted from 1, or 0 if the file is not text.
    pub line: usize,
}

/// Why a file was not read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    pub column: Option<usize>,
    /// The cause.
    pub reason: String,
}

impl Unreadable {
    fn new(reason: impl Into<String>) -> Unreadable {
        Unreadable { line: None, column: None, reason: reason.into() }
    }

    fn at(line: usize, column: usize, reason: impl Into<String>) -> Unreadable {
        Unreadable { line: Some(line), column: Some(column), reason: reason.into() }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: {}", self.reason),
            (Some(line), None) => write!(f, "line {line}: {}", self.reason),
            _ => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Unreadable {}

/// A form of text.
struct Form {
    /// Its name in messages and in the documentation.
    name: &'static str,
    /// Reads it. Returns `None` if the text is not in this form.
    read: fn(&Text) -> Option<Result<Reading, Unreadable>>,
    /// Whether a text with its mark is in no other form, so that its error is the answer.
    decides: bool,
}

/// The forms of text, in the order in which they are tried: those with a mark of their own come first.
const TEXT_FORMS: [Form; 20] = [
    Form { name: "hid-recorder", read: hid_recorder::read, decides: true },
    Form { name: "usbhid-dump", read: usbhid_dump::read, decides: true },
    Form { name: "lsusb -v", read: lsusb::read, decides: false },
    Form { name: "libinput record", read: libinput::read, decides: true },
    Form { name: "ioreg", read: ioreg::read, decides: true },
    Form { name: "usbmon", read: usbmon::read, decides: true },
    Form { name: "win-hid-dump or mac-hid-dump", read: hid_dump::read, decides: false },
    Form { name: "Bluetooth attributes", read: bluetooth::read, decides: false },
    Form { name: "debugfs events", read: debugfs::read_events, decides: false },
    Form { name: "debugfs rdesc", read: debugfs::read, decides: false },
    Form { name: "USB-IF compliance log", read: compliance::read, decides: true },
    Form { name: "hidrd XML", read: hidrd::read, decides: true },
    Form { name: "input events", read: unusable::read, decides: true },
    Form { name: "kernel log", read: kernel_log::read, decides: false },
    Form { name: "hex dump", read: dump::read, decides: false },
    Form { name: "TinyUSB macros", read: tinyusb::read, decides: true },
    Form { name: "array", read: array::read, decides: false },
    Form { name: "hex", read: plain::read, decides: false },
    Form { name: "items as text", read: item_text::read, decides: false },
    Form { name: "base64", read: base64::read, decides: false },
];

/// The names of all forms.
pub const FORMS: [&str; TEXT_FORMS.len() + 3] = {
    let mut names = [""; TEXT_FORMS.len() + 3];
    names[0] = RECORDING;
    names[1] = "USB capture";
    names[2] = "binary";
    let mut form = 0;
    while form < TEXT_FORMS.len() {
        names[3 + form] = TEXT_FORMS[form].name;
        form += 1;
    }
    names
};

/// Reads a file in any of the [`FORMS`].
///
/// # Errors
/// The file is not in a known form, or has no descriptor and no report.
pub fn read(content: &[u8]) -> Result<Posted, Unreadable> {
    if content.iter().all(u8::is_ascii_whitespace) {
        return Err(Unreadable::new("the file is empty"));
    }
    let has_descriptor_line = content.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"R:"));
    if has_descriptor_line && let Ok(recording) = Recording::parse(Path::new(""), content) {
        return Ok(Posted::of_recording(recording));
    }
    if let Some(reading) = pcap::read(content) {
        return Posted::new("USB capture", reading?);
    }
    let Some(text) = Text::decode(content) else {
        if !is_descriptor(content) {
            return Err(Unreadable::new(meaning::why_not(content)));
        }
        return Posted::new("binary", Reading::of(vec![Draft { descriptor: content.to_vec(), ..Draft::default() }]));
    };
    let mut fault = None;
    for form in &TEXT_FORMS {
        match (form.read)(&text) {
            None => {}
            Some(Ok(reading)) if reading.is_empty() => {}
            // Any numbers can be reports, also those of a descriptor that is damaged.
            Some(Ok(reading)) if fault.is_some() && !reading.has_descriptor() => {}
            Some(Ok(reading)) => return Posted::new(form.name, reading),
            Some(Err(error)) if form.decides => return Err(error),
            // A later form may read what this one can't. If none does, the first fault explains most.
            Some(Err(error)) => {
                fault.get_or_insert(error);
            }
        }
    }
    Err(fault.unwrap_or_else(|| {
        let line = text.lines.iter().find(|line| !line.text.trim().is_empty());
        let (number, column) = line.map_or((1, 1), |line| (line.number, line.place(line.indent())));
        let start: String = line.map_or("", |line| line.text.trim()).chars().take(40).collect();
        Unreadable::at(
            number,
            column,
            format!("\"{}\" is not in a known form: expected a descriptor or reports", start.escape_debug()),
        )
    }))
}

impl Posted {
    /// Returns whether the file is a recording that needed no reading of another tool's form.
    pub fn is_recording(&self) -> bool {
        self.form == RECORDING
    }

    fn of_recording(recording: Recording) -> Posted {
        let origin = |device: &super::recording::RecordedDevice| Origin {
            title: device.name.clone(),
            interface: draft::interface_of(&device.phys),
            has_ids: true,
            line: 0,
        };
        let origins = recording.devices.iter().map(origin).collect();
        Posted { form: RECORDING, recording, origins, notes: Vec::new() }
    }

    fn new(form: &'static str, reading: Reading) -> Result<Posted, Unreadable> {
        let Reading { drafts, mut notes, events } = reading;
        let mut recording = Recording::default();
        let mut origins = Vec::new();
        for (index, draft) in drafts.into_iter().enumerate() {
            if let Some(declared) = draft.declared.filter(|declared| *declared != draft.descriptor.len()) {
                let (of, length) = (draft.called(), draft.descriptor.len());
                notes.push(format!("the file declares {declared} bytes for the descriptor{of} and has {length}"));
            }
            let (device, origin) = draft.finish(index as u32);
            recording.devices.push(device);
            origins.push(origin);
        }
        recording.events = events;
        // A file can have captured nothing but other devices.
        match recording.devices.is_empty() {
            true => Err(Unreadable::new("the file has no descriptor and no report")),
            false => Ok(Posted { form, recording, origins, notes }),
        }
    }

    /// Keeps only the devices for which `keep` returns true.
    pub fn retain(&mut self, keep: impl Fn(usize, &Origin) -> bool) {
        let kept: Vec<bool> = self.origins.iter().enumerate().map(|(index, origin)| keep(index, origin)).collect();
        draft::keep_events(&mut self.recording.events, &kept);
        draft::keep(&mut self.recording.devices, &kept);
        draft::keep(&mut self.origins, &kept);
    }

    /// Describes what was read, one line for each device: `read 52 bytes: usbhid-dump, interface 1`.
    pub fn explain(&self) -> Vec<String> {
        let line = |index: usize| {
            let (device, origin) = (&self.recording.devices[index], &self.origins[index]);
            let reports = match self.recording.events_of(index).count() {
                0 => None,
                1 => Some("1 report".to_owned()),
                count => Some(format!("{count} reports")),
            };
            let bytes = match device.descriptor.len() {
                0 => None,
                1 => Some("1 byte".to_owned()),
                count => Some(format!("{count} bytes")),
            };
            let what: Vec<String> = bytes.into_iter().chain(reports).collect();
            let interface = origin.interface.map(|number| format!(", interface {number}")).unwrap_or_default();
            let title = match origin.title.as_str() {
                "" => String::new(),
                title => format!(", {title}"),
            };
            format!("read {}: {}{interface}{title}", what.join(" and "), self.form)
        };
        (0..self.origins.len()).map(line).collect()
    }
}
