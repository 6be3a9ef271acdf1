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

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};
use crate::manifest::Manifest;
use crate::matching::{KernelDriver, Subject, Verdict, judge_subject};
use crate::replay::reports::{ReportType, Reports};
use crate::replay::{Request, RequestKind};
use crate::text::Hex;

/// One or more devices, and the reports that they sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The comments before everything else, without their `#`.
    pub comments: Vec<String>,
    /// The devices.
    pub devices: Vec<Device>,
    /// The reports of all devices, in order of arrival.
    pub events: Vec<Event>,
}

/// A device in a recording: one interface of a USB device, for example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
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

/// A request that a driver's setup sends to a device, written `get feature 05`, `set feature 05 00 02` or
/// `send output 02 01`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The kind of request.
    pub kind: RequestKind,
    /// The type of the report.
    pub report: ReportType,
    /// The report, ID first. For a get request, the ID alone.
    pub data: Vec<u8>,
}

impl From<&Request> for Asked {
    fn from(request: &Request) -> Asked {
        Asked { kind: request.kind, report: request.report, data: request.data.clone() }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.report, Hex(&self.data))
    }
}

impl FromStr for Asked {
    type Err = RecordingFault;

    fn from_str(text: &str) -> Result<Asked, RecordingFault> {
        let mut rest = text;
        let kind = one_of(&mut rest, [RequestKind::Get, RequestKind::Set, RequestKind::Output], "request")?;
        let report =
            one_of(&mut rest, [ReportType::Input, ReportType::Output, ReportType::Feature], "type of a report")?;
        Ok(Asked { kind, report, data: hex_bytes(rest)? })
    }
}

/// Takes the next word of a line and parses it as one of these values.
fn one_of<T: fmt::Display, const N: usize>(
    rest: &mut &str,
    all: [T; N],
    what: &'static str,
) -> Result<T, RecordingFault> {
    let found = word(rest, what)?;
    let invalid = || RecordingFault::Invalid { what, found: shorten(found) };
    all.into_iter().find(|one| one.to_string() == found).ok_or_else(invalid)
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

/// An error in a recording, and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", .path.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct RecordingError {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1, if the error is in one line.
    pub line: Option<usize>,
    /// The cause.
    pub reason: RecordingFault,
}

/// The cause of a recording error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingFault {
    /// The file can't be read.
    #[error("failed to read the recording: {0}")]
    Io(std::io::Error),
    /// A line that the format doesn't have.
    #[error("`{}` is not a line of a recording (expected one that begins with `D:`, `R:`, `N:`, `P:`, `I:`, `E:` or `#`)", .0.escape_debug())]
    UnknownLine(String),
    /// An invalid part of a line.
    #[error("`{}` is not a {what}", .found.escape_debug())]
    Invalid {
        /// The expected part.
        what: &'static str,
        /// The text found.
        found: String,
    },
    /// A line that ends early.
    #[error("the line ends where the {0} should be")]
    Missing(&'static str),
    /// A length that differs from that of the bytes after it.
    #[error("the length says {length} bytes, and {found} follow")]
    Length {
        /// The declared length.
        length: usize,
        /// The actual length.
        found: usize,
    },
    /// A second line of a kind that a device can have only once.
    #[error("device {device} has a second `{line}:` line")]
    Repeated {
        /// The device's number.
        device: u32,
        /// The line's letter.
        line: char,
    },
    /// A device without a required line.
    #[error("{} has no `{line}:` line, {what}", device_or_recording(*.device))]
    Incomplete {
        /// The device's number, or `None` if the recording is empty.
        device: Option<u32>,
        /// The line's letter.
        line: char,
        /// The content of that line.
        what: &'static str,
    },
}

fn device_or_recording(device: Option<u32>) -> String {
    device.map_or_else(|| "the recording".to_owned(), |number| format!("device {number}"))
}

/// An oddity in a recording that can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line, if the recording was read from text.
    pub line: Option<usize>,
    /// The oddity.
    pub oddity: Oddity,
}

/// The kinds of oddities in a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Oddity {
    /// A descriptor that the kernel would refuse.
    #[error("device {device}: {reason}")]
    Descriptor {
        /// The device's number.
        device: u32,
        /// The reason, and the byte.
        reason: crate::replay::reports::InvalidDescriptor,
    },
    /// A report with more bytes than its descriptor declares.
    #[error("the report {id} has {length} bytes, and the descriptor declares {declared}")]
    Longer {
        /// The report's ID, 0 if the device has none.
        id: u8,
        /// The actual length.
        length: usize,
        /// The declared length.
        declared: usize,
    },
    /// A report with an ID that the descriptor doesn't declare.
    #[error("the descriptor declares no input report {0}")]
    Undeclared(u8),
    /// An empty report, which the kernel drops.
    #[error("the report is empty")]
    Empty,
    /// A report with an earlier time than the one before it.
    #[error("the report is older than the one before it")]
    BackInTime,
    /// No device sent a report.
    #[error("the recording has no `E:` line, so there is no report to replay")]
    NoReports,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.oddity),
            None => write!(f, "{}", self.oddity),
        }
    }
}

/// A feature report, written `ID=HEX`: `5=05 00 01`. The ID is decimal, or hexadecimal after `0x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The report's ID, 0 if the device has none.
    pub id: u8,
    /// The device's answer, starting with the ID if it has one.
    pub report: Vec<u8>,
}

impl FromStr for Feature {
    type Err = RecordingFault;

    fn from_str(text: &str) -> Result<Feature, RecordingFault> {
        let invalid = || RecordingFault::Invalid {
            what: "feature report (expected `ID=HEX`, as in `5=05 00 01`)",
            found: text.to_owned(),
        };
        let (id, bytes) = text.split_once('=').ok_or_else(invalid)?;
        let id = id.trim();
        let id = match id.strip_prefix("0x") {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u8::from_str_radix(digits, 16).ok(),
            Some(_) => None,
            None if id.bytes().all(|byte| byte.is_ascii_digit()) => id.parse().ok(),
            None => None,
        };
        Ok(Feature { id: id.ok_or_else(invalid)?, report: hex_bytes(bytes)? })
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.id, Hex(&self.report))
    }
}

/// Parses bytes with or without spaces between them. A byte on its own may have one digit.
fn hex_bytes(text: &str) -> Result<Vec<u8>, RecordingFault> {
    let mut bytes = Vec::new();
    for word in text.split_ascii_whitespace() {
        let invalid = || RecordingFault::Invalid { what: "byte in hex", found: shorten(word) };
        let digits = word.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>().ok_or_else(invalid)?;
        match digits.as_slice() {
            [digit] => bytes.push(*digit as u8),
            _ if digits.len() % 2 == 1 => return Err(invalid()),
            _ => bytes.extend(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8)),
        }
    }
    Ok(bytes)
}

/// Shortens a text so that an error message fits on a line.
fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Takes the next word of a line.
fn word<'a>(rest: &mut &'a str, what: &'static str) -> Result<&'a str, RecordingFault> {
    let text = rest.trim_start();
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    *rest = after;
    if word.is_empty() { Err(RecordingFault::Missing(what)) } else { Ok(word) }
}

fn decimal<T: FromStr>(word: &str, what: &'static str) -> Result<T, RecordingFault> {
    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { word.parse().ok() } else { None };
    number.ok_or_else(|| RecordingFault::Invalid { what, found: shorten(word) })
}

fn hex_number(word: &str, most: u32, what: &'static str) -> Result<u32, RecordingFault> {
    let digits = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = if digits { u32::from_str_radix(word, 16).ok() } else { None };
    number.filter(|number| *number <= most).ok_or_else(|| RecordingFault::Invalid { what, found: shorten(word) })
}

/// Parses `LENGTH BYTES`.
fn counted_bytes(mut rest: &str) -> Result<Vec<u8>, RecordingFault> {
    let length = decimal(word(&mut rest, "length in bytes")?, "length in bytes")?;
    let bytes = hex_bytes(rest)?;
    if bytes.len() != length {
        return Err(RecordingFault::Length { length, found: bytes.len() });
    }
    Ok(bytes)
}

/// Parses `SECONDS.MICROSECONDS`.
fn timestamp(word: &str) -> Result<Duration, RecordingFault> {
    let what = "time (expected seconds, a point and 6 digits of microseconds)";
    let invalid = || RecordingFault::Invalid { what, found: shorten(word) };
    let (seconds, micros) = word.split_once('.').ok_or_else(invalid)?;
    if micros.len() != 6 {
        return Err(invalid());
    }
    let (seconds, micros): (u64, u32) = (decimal(seconds, what)?, decimal(micros, what)?);
    Ok(Duration::new(seconds, micros * 1000))
}

/// A device while its lines are being parsed.
#[derive(Default)]
struct Draft {
    number: u32,
    name: Option<String>,
    phys: Option<String>,
    ids: Option<(Bus, VendorId, ProductId)>,
    descriptor: Option<Vec<u8>>,
    properties: BTreeMap<String, String>,
    features: BTreeMap<u8, Vec<u8>>,
    asked: Vec<Asked>,
    exported: BTreeMap<String, String>,
}

impl Draft {
    fn finish(self) -> Result<Device, RecordingFault> {
        let missing = |line, what| RecordingFault::Incomplete { device: Some(self.number), line, what };
        let (bus, vendor, product) = self.ids.ok_or_else(|| missing('I', "its bus, vendor and product"))?;
        Ok(Device {
            number: self.number,
            bus,
            vendor,
            product,
            descriptor: self.descriptor.ok_or_else(|| missing('R', "its report descriptor"))?,
            name: self.name.unwrap_or_default(),
            phys: self.phys.unwrap_or_default(),
            properties: self.properties,
            features: self.features,
            asked: self.asked,
            exported: self.exported,
        })
    }
}

/// The state of the parser.
#[derive(Default)]
struct Reader {
    comments: Vec<String>,
    drafts: Vec<Draft>,
    /// An index of `drafts`.
    current: usize,
    events: Vec<Event>,
}

impl Reader {
    /// Returns the device that the current lines are about. The first device needs no `D:`.
    fn draft(&mut self) -> &mut Draft {
        if self.drafts.is_empty() {
            self.drafts.push(Draft::default());
        }
        let current = self.current.min(self.drafts.len() - 1);
        &mut self.drafts[current]
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), RecordingFault> {
        if line.trim().is_empty() {
            return Ok(());
        }
        if let Some(comment) = line.strip_prefix('#') {
            return self.comment(comment);
        }
        let (tag, rest) = line.split_once(':').filter(|(tag, _)| tag.len() == 1).unwrap_or(("", line));
        let text = rest.strip_prefix(' ').unwrap_or(rest);
        match tag {
            "D" => {
                let number = decimal(text.trim(), "number of a device")?;
                let known = self.drafts.iter().position(|draft| draft.number == number);
                self.current = known.unwrap_or(self.drafts.len());
                if known.is_none() {
                    self.drafts.push(Draft { number, ..Draft::default() });
                }
                Ok(())
            }
            "R" => {
                let descriptor = counted_bytes(text)?;
                self.once('R', |draft| &mut draft.descriptor, descriptor)
            }
            "N" => self.once('N', |draft| &mut draft.name, text.to_owned()),
            "P" => self.once('P', |draft| &mut draft.phys, text.to_owned()),
            "I" => {
                let mut rest = text;
                let mut id = |what, most| hex_number(word(&mut rest, what)?, most, what);
                let ids = (
                    Bus(id("bus in hex", 0xffff)? as u16),
                    VendorId(id("vendor in hex", u32::MAX)?),
                    ProductId(id("product in hex", u32::MAX)?),
                );
                self.once('I', |draft| &mut draft.ids, ids)
            }
            "E" => {
                let mut rest = text;
                let time = timestamp(word(&mut rest, "time")?)?;
                let report = counted_bytes(rest)?;
                self.draft();
                self.events.push(Event { device: self.current, time, report, line: Some(number) });
                Ok(())
            }
            _ => Err(RecordingFault::UnknownLine(shorten(line))),
        }
    }

    fn once<T>(&mut self, line: char, field: fn(&mut Draft) -> &mut Option<T>, value: T) -> Result<(), RecordingFault> {
        let draft = self.draft();
        let device = draft.number;
        match field(draft).replace(value) {
            None => Ok(()),
            Some(_) => Err(RecordingFault::Repeated { device, line }),
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), RecordingFault> {
        let text = comment.trim();
        if let Some(feature) = text.strip_prefix("feature ").filter(|rest| rest.contains('=')) {
            let Feature { id, report } = feature.parse()?;
            self.draft().features.insert(id, report);
        } else if let Some(asked) = text.strip_prefix("asked ") {
            let asked = asked.parse()?;
            self.draft().asked.push(asked);
        } else if let Some((name, value)) = property(text, "property ") {
            self.draft().properties.insert(name.to_owned(), value.to_owned());
        } else if let Some((name, value)) = property(text, "exported ") {
            self.draft().exported.insert(name.to_owned(), value.to_owned());
        } else if self.drafts.is_empty() {
            self.comments.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
        }
        Ok(())
    }

    fn finish(self) -> Result<Recording, RecordingFault> {
        if self.drafts.is_empty() {
            let what = "the report descriptor";
            return Err(RecordingFault::Incomplete { device: None, line: 'R', what });
        }
        let devices = self.drafts.into_iter().map(Draft::finish).collect::<Result<_, _>>()?;
        Ok(Recording { comments: self.comments, devices, events: self.events })
    }
}

/// Parses a udev property and its value after a keyword.
fn property<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(word)?.split_once('=').filter(|(name, _)| is_property_name(name))
}

fn is_property_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Recording {
    /// Parses the text of a recording. `path` is only used in errors. Names and comments may contain invalid UTF-8.
    ///
    /// # Errors
    /// A line is invalid, or a device has no IDs or no descriptor.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Recording, RecordingError> {
        let fail = |line, reason| RecordingError { path: path.to_owned(), line, reason };
        let mut reader = Reader::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            reader.line(index + 1, &String::from_utf8_lossy(line)).map_err(|reason| fail(Some(index + 1), reason))?;
        }
        reader.finish().map_err(|reason| fail(None, reason))
    }

    /// Reads a recording from a file.
    ///
    /// # Errors
    /// As for [`Recording::parse`], and if the file can't be read.
    pub fn read(path: &Path) -> Result<Recording, RecordingError> {
        let text = std::fs::read(path).map_err(|error| RecordingError {
            path: path.to_owned(),
            line: None,
            reason: RecordingFault::Io(error),
        })?;
        Recording::parse(path, &text)
    }

    /// Iterates over the reports of one device, an index of [`Recording::devices`].
    pub fn events_of(&self, device: usize) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.device == device)
    }

    /// Returns the recording's oddities in line order.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut declared = Vec::new();
        for device in &self.devices {
            declared.push(match Reports::parse(&device.descriptor) {
                Ok(reports) => Some(reports),
                Err(reason) => {
                    findings.push(Finding { line: None, oddity: Oddity::Descriptor { device: device.number, reason } });
                    None
                }
            });
        }
        let mut last = Duration::ZERO;
        for Event { device, time, report, line } in &self.events {
            let mut find = |oddity| findings.push(Finding { line: *line, oddity });
            if *time < last {
                find(Oddity::BackInTime);
            }
            last = *time;
            let Some(Some(reports)) = declared.get(*device) else { continue };
            match (report.first(), reports.length_of(ReportType::Input, report)) {
                (None, _) => find(Oddity::Empty),
                (Some(_), Some((id, declared))) if report.len() > declared => {
                    find(Oddity::Longer { id, length: report.len(), declared });
                }
                (Some(id), None) => {
                    find(Oddity::Undeclared(if reports.is_numbered(ReportType::Input) { *id } else { 0 }))
                }
                _ => {}
            }
        }
        if self.events.is_empty() {
            findings.push(Finding { line: None, oddity: Oddity::NoReports });
        }
        findings
    }
}

impl Device {
    /// Checks whether a driver's match rules match this device with these udev properties. Data that the recording
    /// lacks counts as matching: the group, the kernel driver, and the interface if the physical path doesn't end like
    /// a USB device's.
    pub fn judge(&self, manifest: &Manifest, properties: &BTreeMap<String, String>) -> Verdict {
        let ids = (self.bus, self.vendor, self.product);
        let is_usb = self.bus == Bus::USB && self.phys.starts_with("usb-");
        let interface = self.phys.rsplit_once("/input").filter(|_| is_usb).and_then(|(_, number)| number.parse().ok());
        let subject = Subject {
            ids,
            name_ids: ids,
            group: None,
            hid_name: &self.name,
            interface: interface.map(Some),
            kernel_driver: KernelDriver::Any,
            original: Some(&self.descriptor),
            property: &|name| properties.get(name).cloned(),
        };
        judge_subject(manifest, &subject)
    }
}

/// A text for one line. A device's name can contain any character.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| fmt::Write::write_char(f, if c.is_control() { '\u{fffd}' } else { c }))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "D: {}", self.number)?;
        writeln!(f, "R: {} {}", self.descriptor.len(), Hex(&self.descriptor))?;
        writeln!(f, "N: {}", Line(&self.name))?;
        if !self.phys.is_empty() {
            writeln!(f, "P: {}", Line(&self.phys))?;
        }
        writeln!(f, "I: {:x} {:04x} {:04x}", self.bus.0, self.vendor.0, self.product.0)?;
        for (name, value) in &self.properties {
            writeln!(f, "# property {}={}", Line(name), Line(value))?;
        }
        for (id, report) in &self.features {
            writeln!(f, "# feature {}", Feature { id: *id, report: report.clone() })?;
        }
        self.asked.iter().try_for_each(|asked| writeln!(f, "# asked {asked}"))?;
        self.exported.iter().try_for_each(|(name, value)| writeln!(f, "# exported {name}={value}"))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        write!(f, "E: {seconds:06}.{micros:06} {}", self.report.len())?;
        if self.report.is_empty() { Ok(()) } else { write!(f, " {}", Hex(&self.report)) }
    }
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for comment in &self.comments {
            let space = if comment.is_empty() { "" } else { " " };
            writeln!(f, "#{space}{}", Line(comment))?;
        }
        self.devices.iter().try_for_each(|device| write!(f, "{device}"))?;
        let mut current = self.devices.len().checked_sub(1);
        for event in &self.events {
            if current != Some(event.device) {
                current = Some(event.device);
                let number = self.devices.get(event.device).map_or(event.device as u32, |device| device.number);
                writeln!(f, "D: {number}")?;
            }
            writeln!(f, "{event}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "\
# SPDX-License-Identifier: CC0-1.0
#
# a mouse and a keyboard
D: 0
R: 6 75 08 95 04 81 02
N: Maker Mouse
P: usb-0000:00:14.0-1/input0
I: 3 046d c077
# property HUION_FIRMWARE_ID=HUION_T21h=1
# feature 5=05 00 01
# asked get feature 05
# asked send output 02 01
# exported HID_DIGITIZER_PAD_TYPE=Clickpad
D: 3
R: 8 85 01 75 08 95 07 81 02
N: Maker Keyboard
I: 5 17ef 6047
E: 000000.000000 8 01 00 00 04 00 00 00 00
D: 0
E: 000000.000040 4 00 01 ff 00
E: 000194.003899 4 00 00 00 00
D: 3
E: 000195.000000 0
";

    fn parse(text: &str) -> Result<Recording, RecordingError> {
        Recording::parse(Path::new("x.hid"), text.as_bytes())
    }

    #[test]
    fn what_is_read_is_written_again() {
        let recording = parse(TWO).unwrap();
        assert_eq!(recording.to_string(), TWO);
        assert_eq!(recording.devices.iter().map(|device| device.number).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(recording.devices[0].phys, "usb-0000:00:14.0-1/input0");
        assert_eq!(recording.devices[0].properties["HUION_FIRMWARE_ID"], "HUION_T21h=1");
        assert_eq!(recording.devices[0].features[&5], [5, 0, 1]);
        assert_eq!(recording.devices[0].exported["HID_DIGITIZER_PAD_TYPE"], "Clickpad");
        assert_eq!(recording.devices[1].bus, Bus::BLUETOOTH);
        assert_eq!(recording.events_of(0).map(|event| event.line.unwrap()).collect::<Vec<_>>(), [20, 21]);
        assert_eq!(recording.devices[0].asked[1].report, ReportType::Output);
        assert_eq!(recording.events[1].time, Duration::from_micros(40));
        assert_eq!(recording.events[1].report, [0, 1, 0xff, 0]);
        assert_eq!(parse(&recording.to_string()).unwrap(), recording);
    }

    #[test]
    fn other_writers_habits_are_understood() {
        let text = "R: 3 750895\r\nN: Müller's  \"Pad\" \nI: 0003 046D C077\n\n# Report ID: 2 / X: 1\n# property\nE: 1.000002 3 1 2 ff\n";
        let recording = parse(text).unwrap();
        assert_eq!(recording.devices[0].descriptor, [0x75, 8, 0x95]);
        assert_eq!(recording.devices[0].name, "Müller's  \"Pad\" ");
        assert_eq!(recording.devices[0].vendor, VendorId(0x46d));
        assert_eq!(recording.events[0].report, [1, 2, 0xff]);
        assert_eq!(recording.events[0].time, Duration::from_micros(1_000_002));
        assert_eq!(parse(&recording.to_string()).unwrap(), recording);
        let latin = Recording::parse(Path::new("x.hid"), b"R: 1 00\nN: M\xfcller\nI: 3 1 2\n").unwrap();
        assert_eq!(latin.devices[0].name, "M\u{fffd}ller");
    }

    #[test]
    fn a_name_can_not_make_a_line() {
        let mut recording = parse(TWO).unwrap();
        recording.devices[0].name = "a\nE: 000000.000000 1 00".to_owned();
        let again = parse(&recording.to_string()).unwrap();
        assert_eq!(again.events, recording.events);
        assert_eq!(again.devices[0].name, "a\u{fffd}E: 000000.000000 1 00");
    }

    #[test]
    fn each_fault_has_its_line_and_reason() {
        let head = "R: 1 00\nN: x\nI: 3 1 2\n";
        for (text, expected) in [
            ("", "x.hid: the recording has no `R:` line, the report descriptor"),
            ("# nothing\n", "x.hid: the recording has no `R:` line, the report descriptor"),
            ("E: 000000.000040 1 08\n", "x.hid: device 0 has no `I:` line, its bus, vendor and product"),
            ("N: x\nI: 3 1 2\n", "x.hid: device 0 has no `R:` line, its report descriptor"),
            ("D: 1\nR: 1 00\nN: x\n", "x.hid: device 1 has no `I:` line, its bus, vendor and product"),
            ("R: 4 00 01 02\n", "x.hid:1: the length says 4 bytes, and 3 follow"),
            ("R: 2 00 01 02\n", "x.hid:1: the length says 2 bytes, and 3 follow"),
            ("R: x 00\n", "x.hid:1: `x` is not a length in bytes"),
            ("R: -1\n", "x.hid:1: `-1` is not a length in bytes"),
            ("R: 99999999999999999999 00\n", "x.hid:1: `99999999999999999999` is not a length in bytes"),
            ("R:\n", "x.hid:1: the line ends where the length in bytes should be"),
            ("R: 2 00 0g\n", "x.hid:1: `0g` is not a byte in hex"),
            ("R: 2 000 1\n", "x.hid:1: `000` is not a byte in hex"),
            ("R: 1 +1\n", "x.hid:1: `+1` is not a byte in hex"),
            ("D: -1\n", "x.hid:1: `-1` is not a number of a device"),
            ("I: 3 046d\n", "x.hid:1: the line ends where the product in hex should be"),
            ("I: 10000 1 2\n", "x.hid:1: `10000` is not a bus in hex"),
            ("I: 3 +1 2\n", "x.hid:1: `+1` is not a vendor in hex"),
            ("R: 1 00\nR: 1 00\n", "x.hid:2: device 0 has a second `R:` line"),
            (
                "hello\n",
                "x.hid:1: `hello` is not a line of a recording (expected one that begins with `D:`, `R:`, `N:`, `P:`, `I:`, `E:` or `#`)",
            ),
            ("# asked get\n", "x.hid:1: the line ends where the type of a report should be"),
            ("# asked tell feature 05\n", "x.hid:1: `tell` is not a request"),
            ("# feature 256=00\n", "x.hid:1: `256=00` is not a feature report (expected `ID=HEX`, as in `5=05 00 01`)"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text:?}");
        }
        for (event, expected) in [
            ("E:", "the line ends where the time should be"),
            ("E: 0 1 00", "`0` is not a time (expected seconds, a point and 6 digits of microseconds)"),
            ("E: 0.5 1 00", "`0.5` is not a time (expected seconds, a point and 6 digits of microseconds)"),
            ("E: 0.00000- 1 00", "`00000-` is not a time (expected seconds, a point and 6 digits of microseconds)"),
            ("E: 0.000000", "the line ends where the length in bytes should be"),
            ("E: 0.000000 2 00", "the length says 2 bytes, and 1 follow"),
            ("E: 0.000000 1 zz", "`zz` is not a byte in hex"),
        ] {
            let error = parse(&format!("{head}{event}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("x.hid:4: {expected}"), "{event}");
        }
    }

    #[test]
    fn oddities_are_found_and_do_not_stop() {
        let recording = parse(
            "R: 8 85 01 75 08 95 02 81 02\nI: 3 1 2\nE: 000001.000000 3 01 02 03\nE: 000000.000000 4 01 02 03 04\nE: 000000.000000 1 07\n\
             E: 000000.000000 0\nD: 1\nR: 1 c0\nI: 3 1 2\n",
        )
        .unwrap();
        let findings: Vec<String> = recording.findings().iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "device 1: the report descriptor is invalid at byte 0: End Collection without a collection",
                "line 4: the report is older than the one before it",
                "line 4: the report 1 has 4 bytes, and the descriptor declares 3",
                "line 5: the descriptor declares no input report 7",
                "line 6: the report is empty",
            ]
        );
        let silent = parse("R: 1 00\nI: 3 1 2\n").unwrap().findings();
        assert_eq!(silent, [Finding { line: None, oddity: Oddity::NoReports }]);
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let mut random = crate::replay::random::Random::new(7);
        for round in 0..20_000 {
            let mut text = TWO.as_bytes().to_vec();
            for _ in 0..=round % 8 {
                // Leaves at least one byte to change.
                text.extend(b"\n");
                let at = random.below(text.len());
                match random.below(4) {
                    0 => text[at] = random.next() as u8,
                    1 => text[at] = b"DRNPIE:# .=\n0f"[random.below(14)],
                    2 => drop(text.remove(at)),
                    _ => text.truncate(at.max(1)),
                }
            }
            if let Ok(recording) = Recording::parse(Path::new("x"), &text) {
                recording.findings();
                let written = recording.to_string();
                let again = Recording::parse(Path::new("x"), written.as_bytes()).unwrap();
                assert_eq!(again.to_string(), written);
            }
        }
    }
}
