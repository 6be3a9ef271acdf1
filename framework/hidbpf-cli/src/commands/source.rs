//! Files that describe devices: recordings, and everything else that people post.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use hidbpf::descriptor::posted::{self, Origin, Posted, Unreadable};
use hidbpf::error::{Error, ErrorKind};
use hidbpf::recording::Recording;
use hidbpf::text::Printable;

use crate::args::Choice;
use crate::output;

/// The maximum size of a file or of standard input, in bytes.
const MAX_INPUT: u64 = 256 << 20;

/// Reads a file, says what it was taken for, and keeps the devices of this choice.
pub fn open(path: &Path, choice: &Choice) -> Result<Posted, Error> {
    parse(&path.to_string_lossy(), &file(path)?, choice)
}

/// Returns the content of a file: [`content`].
pub fn file(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.to_string_lossy();
    content(&name, fs::File::open(path).map_err(|error| unreadable(&name, error))?)
}

/// Reads at most [`MAX_INPUT`] bytes.
pub fn content(name: &str, file: impl Read) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    file.take(MAX_INPUT + 1).read_to_end(&mut content).map_err(|error| unreadable(name, error))?;
    if content.len() as u64 > MAX_INPUT {
        let what = format!("`{}` is larger than {} MiB", Printable(name), MAX_INPUT >> 20);
        return Err(Error::new(ErrorKind::Io, what));
    }
    Ok(content)
}

/// Parses a file's content, says what it was taken for, and keeps the devices of this choice.
pub fn parse(name: &str, content: &[u8], choice: &Choice) -> Result<Posted, Error> {
    let mut posted = posted::read(content).map_err(|error| match Recording::parse(Path::new(name), content) {
        // The name says what the file should be.
        Err(fault) if name.ends_with(".hid") => Error::because(ErrorKind::Io, "failed to read the recording", fault),
        _ => not_read(name, &error),
    })?;
    choose(name, &mut posted, choice)?;
    // A recording is what it looks like.
    if !posted.is_recording() {
        posted.explain().iter().for_each(|line| output::say(line));
    }
    for note in &posted.notes {
        tracing::warn!("{}: {}", Printable(name), Printable(note));
    }
    Ok(posted)
}

/// Returns whether a file has one descriptor and nothing else about the device.
pub fn is_bare(posted: &Posted) -> bool {
    matches!(posted.origins.as_slice(), [origin] if !origin.has_ids)
        && posted.recording.events.is_empty()
        && posted.recording.devices.iter().all(|device| device.name.is_empty())
}

/// Returns the error for a file without any descriptor.
pub fn no_descriptor(name: &str, posted: &Posted) -> Error {
    let count = posted.recording.events.len();
    let what = format!("`{}` has {count} reports and no report descriptor", Printable(name));
    let hint =
        "post the device's descriptor too: `usbhid-dump -e descriptor`, or the file \"rdesc\" in /sys/kernel/debug/hid";
    Error::new(ErrorKind::Io, what).with_hint(hint)
}

fn not_read(name: &str, error: &Unreadable) -> Error {
    let place = [error.line, error.column].into_iter().flatten().map(|number| format!(":{number}")).collect::<String>();
    let what = format!("{}{place}: {}", Printable(name), Printable(&error.reason));
    Error::new(ErrorKind::Io, what).with_hint("`hidbpf help inspect` lists the forms that hidbpf reads")
}

fn choose(name: &str, posted: &mut Posted, choice: &Choice) -> Result<(), Error> {
    if choice.interface.is_none() && choice.device.is_none() {
        return Ok(());
    }
    let numbers: Vec<u32> = posted.recording.devices.iter().map(|device| device.number).collect();
    let matches = |index: usize, origin: &Origin, posted: &Posted| {
        let device = &posted.recording.devices[index];
        let ids = format!("{}:{}", device.vendor, device.product);
        let is_device = |text: &str| match text.parse::<u32>() {
            Ok(number) => numbers[index] == number,
            Err(_) => {
                let text = text.to_lowercase();
                [&origin.title, &device.name, &ids].iter().any(|name| name.to_lowercase().contains(&text))
            }
        };
        choice.interface.is_none_or(|interface| origin.interface == Some(interface))
            && choice.device.as_deref().is_none_or(is_device)
    };
    let is_chosen: Vec<bool> =
        posted.origins.iter().enumerate().map(|(index, origin)| matches(index, origin, posted)).collect();
    if !is_chosen.contains(&true) {
        let all: Vec<String> = (0..posted.origins.len()).map(|index| called(posted, index)).collect();
        let what = format!("`{}` has no such device or interface", Printable(name));
        return Err(Error::new(ErrorKind::NoDevice, what).with_hint(format!("it has {}", all.join(", "))));
    }
    posted.retain(|index, _| is_chosen[index]);
    Ok(())
}

/// Returns what a device of a file is called: its number, interface and title.
pub fn called(posted: &Posted, index: usize) -> String {
    let (device, origin) = (&posted.recording.devices[index], &posted.origins[index]);
    let interface = origin.interface.map(|number| format!(" interface {number}")).unwrap_or_default();
    let title = if origin.title.is_empty() { String::new() } else { format!(" ({})", Printable(&origin.title)) };
    format!("device {}{interface}{title}", device.number)
}

fn unreadable(name: &str, error: io::Error) -> Error {
    Error::because(ErrorKind::Io, format!("failed to read `{}`", Printable(name)), error)
}
