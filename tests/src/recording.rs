//! Recordings of HID devices in hid-recorder's text format.
//!
//! One letter, a colon and a value a line: `N:` name, `P:` physical path, `I:` bus, vendor and product in hex, `R:` length and
//! bytes of the descriptor, `E:` time, length and bytes of a report. `D:` tells several devices in one file apart; a recording
//! here holds one, `D: 0`. Lines that begin with `#` are comments.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::nodes::unhex;
use crate::uhid::Spec;

/// One interface of one device, and what it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The device's name.
    pub name: String,
    /// Its physical path, empty where the recording has none.
    pub phys: String,
    /// Bus number.
    pub bus: u16,
    /// Vendor id.
    pub vendor: u32,
    /// Product id.
    pub product: u32,
    /// The report descriptor.
    pub descriptor: Vec<u8>,
    /// Properties that udev has of the device, from comments `# property NAME=value`.
    pub properties: Vec<(String, String)>,
    /// The reports, oldest first.
    pub reports: Vec<Report>,
}

/// A report and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Time since the recording began.
    pub time: Duration,
    /// The report, with its number first where the device numbers its reports.
    pub bytes: Vec<u8>,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// The file can't be read, or a line isn't in the format; the message has file and line.
    pub fn read(path: &Path) -> Result<Recording> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        Recording::parse(&text).with_context(|| format!("failed to parse `{}`", path.display()))
    }

    /// Reads a recording from text.
    ///
    /// # Errors
    /// A line isn't in the format, or the recording has no `I:` or no `R:` line.
    pub fn parse(text: &str) -> Result<Recording> {
        let mut ids = None;
        let mut recording = Recording {
            name: String::new(),
            phys: String::new(),
            bus: 0,
            vendor: 0,
            product: 0,
            descriptor: Vec::new(),
            properties: Vec::new(),
            reports: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some((key, value)) = line.strip_prefix("# property ").and_then(|property| property.split_once('=')) {
                recording.properties.push((key.trim().to_owned(), value.trim().to_owned()));
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((letter, value)) = line.split_once(':') else {
                bail!("line {}: no `X:` at the start", number + 1)
            };
            let value = value.trim();
            let at = || format!("line {}: `{letter}:`", number + 1);
            match letter {
                "N" => recording.name = value.to_owned(),
                "P" => recording.phys = value.to_owned(),
                "I" => ids = Some(parse_ids(value).with_context(at)?),
                "R" => recording.descriptor = parse_counted(value).with_context(at)?,
                "E" => recording.reports.push(parse_report(value).with_context(at)?),
                "D" => ensure!(value == "0", "line {}: more than one device in a recording", number + 1),
                _ => bail!("line {}: unknown line `{letter}:`", number + 1),
            }
        }
        (recording.bus, recording.vendor, recording.product) = ids.context("no `I:` line")?;
        ensure!(!recording.descriptor.is_empty(), "no `R:` line");
        Ok(recording)
    }
}

impl From<&Recording> for Spec {
    fn from(recording: &Recording) -> Spec {
        Spec {
            bus: recording.bus,
            vendor: recording.vendor,
            product: recording.product,
            name: recording.name.clone(),
            phys: recording.phys.clone(),
            uniq: String::new(),
            descriptor: recording.descriptor.clone(),
        }
    }
}

fn parse_ids(value: &str) -> Result<(u16, u32, u32)> {
    let mut words = value.split_whitespace();
    let mut next = |what| {
        let word = words.next().with_context(|| format!("no {what}"))?;
        u32::from_str_radix(word, 16).with_context(|| format!("`{word}` is no hexadecimal {what}"))
    };
    Ok((u16::try_from(next("bus")?).context("bus above ffff")?, next("vendor")?, next("product")?))
}

fn parse_report(value: &str) -> Result<Report> {
    let (time, rest) = value.split_once(' ').context("no length")?;
    let (seconds, micros) = time.split_once('.').context("the time has no dot")?;
    ensure!(micros.len() == 6, "the time hasn't six digits after its dot");
    let time =
        Duration::from_secs(seconds.parse().context("time")?) + Duration::from_micros(micros.parse().context("time")?);
    Ok(Report { time, bytes: parse_counted(rest)? })
}

fn parse_counted(value: &str) -> Result<Vec<u8>> {
    let (count, bytes) = value.split_once(' ').context("no length")?;
    let count: usize = count.parse().context("length")?;
    let bytes = unhex(bytes)?;
    ensure!(bytes.len() == count, "{count} bytes announced, {} given", bytes.len());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUSE: &str =
        "# a mouse\nD: 0\nR: 3 05 01 09\nN: A Mouse\nP: usb-1/input0\nI: 3 04d9 a09f\nE: 000001.000500 2 01 ff\n";

    #[test]
    fn a_recording_is_read() {
        let recording = Recording::parse(MOUSE).unwrap();
        assert_eq!((recording.bus, recording.vendor, recording.product), (3, 0x04d9, 0xa09f));
        assert_eq!(recording.descriptor, [5, 1, 9]);
        assert_eq!(recording.reports, [Report { time: Duration::from_micros(1_000_500), bytes: vec![1, 0xff] }]);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (bad, said) in [
            ("R: 2 05", "line 1: `R:`: 2 bytes announced, 1 given"),
            ("I: 3 4d9", "line 1: `I:`: no product"),
            ("E: 1.5 1 00", "line 1: `E:`: the time hasn't six digits after its dot"),
            ("X: 1", "line 1: unknown line `X:`"),
            ("R", "line 1: no `X:` at the start"),
            ("I: 3 1 2", "no `R:` line"),
        ] {
            assert_eq!(format!("{:#}", Recording::parse(bad).unwrap_err()), said);
        }
    }
}
