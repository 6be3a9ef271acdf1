//! Reads the lines of a recording.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ids::{Bus, ProductId, VendorId};

use super::fault::{RecordingError, RecordingFault};
use super::request::{Asked, Feature};
use super::words::{counted_bytes, decimal, hex_number, shorten, timestamp, word};
use super::{Event, RecordedDevice, Recording};

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
    fn finish(self) -> Result<RecordedDevice, RecordingFault> {
        let missing = |line, what| RecordingFault::Incomplete { device: Some(self.number), line, what };
        let (bus, vendor, product) = self.ids.ok_or_else(|| missing('I', "its bus, vendor and product"))?;
        Ok(RecordedDevice {
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
