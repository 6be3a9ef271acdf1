//! Files that describe a device: a recording, or a bare descriptor in hex or as bytes.

use std::fs;
use std::path::Path;

use hidbpf::descriptor::parse_hex;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::ids::{Bus, ProductId, VendorId};
use hidbpf::recording::{Device, Recording};
use hidbpf::text::Printable;

/// The content of a file.
pub enum Source {
    /// A recording.
    Recording(Recording),
    /// A report descriptor without other data about its device.
    Descriptor(Vec<u8>),
}

impl Source {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Source, Error> {
        let content = fs::read(path).map_err(|error| {
            Error::because(ErrorKind::Io, format!("failed to read `{}`", Printable(&path.to_string_lossy())), error)
        })?;
        Source::read(path, &content)
    }

    /// Parses a file's content. `path` is for messages, and its suffix `.hid` means a recording.
    pub fn read(path: &Path, content: &[u8]) -> Result<Source, Error> {
        let recording = || {
            Recording::parse(path, content)
                .map(Source::Recording)
                .map_err(|error| Error::because(ErrorKind::Io, "failed to read the recording", error))
        };
        let is_recording = path.extension().is_some_and(|extension| extension == "hid");
        let Some(text) = std::str::from_utf8(content).ok().filter(|text| is_text(text)) else {
            return if is_recording { recording() } else { Ok(Source::Descriptor(content.to_vec())) };
        };
        if is_recording || text.lines().any(|line| line.starts_with("R:")) {
            return recording();
        }
        let bytes = parse_hex(text).map_err(|error| {
            let name = path.to_string_lossy();
            let what = format!("`{}` is not a recording, an object or a descriptor in hex", Printable(&name));
            Error::because(ErrorKind::Io, what, error)
        })?;
        Ok(Source::Descriptor(bytes))
    }
}

/// Returns a recording of a device with only a descriptor and these IDs.
pub fn recording_of(descriptor: Vec<u8>, (bus, vendor, product): (Bus, VendorId, ProductId)) -> Recording {
    let device = Device {
        number: 0,
        name: String::new(),
        phys: String::new(),
        bus,
        vendor,
        product,
        descriptor,
        properties: Default::default(),
        features: Default::default(),
        asked: Vec::new(),
        exported: Default::default(),
    };
    Recording { devices: vec![device], ..Recording::default() }
}

/// Returns whether the content is text. Nearly every binary descriptor contains control characters.
fn is_text(content: &str) -> bool {
    !content.is_empty() && content.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}
