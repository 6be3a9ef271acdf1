//! Writes a recording.

use std::fmt;

use crate::hex::Hex;

use super::request::Feature;
use super::{Event, RecordedDevice, Recording};

/// A text for one line. A device's name can contain any character.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| fmt::Write::write_char(f, if c.is_control() { '\u{fffd}' } else { c }))
    }
}

impl fmt::Display for RecordedDevice {
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
