//! The output of macOS's ioreg, as text (`ioreg -l`) and as a property list (`ioreg -a`).
//!
//! ```text
//! +-o IOHIDDevice  <class IOHIDUserDevice, ...>
//!   |   "VendorID" = 1133
//!   |   "ReportDescriptor" = <05010906a101...>
//! ```

use crate::ids::{Bus, ProductId, VendorId};

use super::draft::{Draft, Reading};
use super::text::Text;
use super::{Unreadable, base64, numbers};

const KEY: &str = "ReportDescriptor";

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    text.lines.iter().any(|line| line.text.contains(KEY)).then_some(())?;
    let is_list = text.lines.iter().any(|line| line.text.contains("<key>"));
    if is_list {
        return Some(property_list(text));
    }
    let quoted = format!("\"{KEY}\"");
    text.lines.iter().any(|line| line.text.contains(&quoted)).then(|| nodes(text))
}

/// The properties of a node, until the next one begins.
#[derive(Default)]
struct Node {
    vendor: Option<u32>,
    product: Option<u32>,
    name: String,
    bus: Option<Bus>,
    line: usize,
    descriptor: Option<Vec<u8>>,
}

impl Node {
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "VendorID" => self.vendor = value.parse().ok(),
            "ProductID" => self.product = value.parse().ok(),
            "Product" => self.name = value.to_owned(),
            "Transport" => {
                self.bus = match value {
                    "USB" => Some(Bus::USB),
                    "I2C" => Some(Bus::I2C),
                    _ if value.starts_with("Bluetooth") => Some(Bus::BLUETOOTH),
                    _ => None,
                }
            }
            _ => {}
        }
    }

    fn finish(self, reading: &mut Reading) {
        // Services below a device repeat its properties.
        let Some(descriptor) = self.descriptor.filter(|bytes| !bytes.is_empty()) else { return };
        let ids = self.vendor.zip(self.product);
        let ids = ids.map(|(vendor, product)| (self.bus.unwrap_or(Bus::USB), VendorId(vendor), ProductId(product)));
        if reading.drafts.iter().any(|draft| draft.descriptor == descriptor && draft.ids == ids) {
            return;
        }
        let title = self.name.clone();
        reading.drafts.push(Draft { title, name: self.name, ids, descriptor, line: self.line, ..Draft::default() });
    }
}

fn nodes(text: &Text) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let mut node = Node::default();
    let mut lines = text.lines.iter();
    while let Some(line) = lines.next() {
        let start = line.text.trim_start_matches([' ', '|', '\t']);
        if start.starts_with("+-o") {
            std::mem::take(&mut node).finish(&mut reading);
            continue;
        }
        let Some((key, value)) = start.split_once('=') else { continue };
        let (key, value) = (key.trim().trim_matches('"'), value.trim());
        if key != KEY {
            node.set(key, value.trim_matches('"'));
            continue;
        }
        let mut digits = value.to_owned();
        // Terminals and forums wrap the long line.
        while !digits.contains('>') && digits.len() < super::MAX_BYTES {
            match lines.next() {
                Some(line) => digits.push_str(line.text.trim()),
                None => break,
            }
        }
        let digits: String = digits.trim_start_matches('<').chars().take_while(|c| *c != '>').collect();
        let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
        let at = line.text.find('<').unwrap_or_default();
        let invalid = || Unreadable::at(line.number, line.place(at), "the value is not an even number of hex digits");
        if node.descriptor.is_some() {
            std::mem::take(&mut node).finish(&mut reading);
        }
        node.descriptor = Some(numbers::hex(&digits).filter(|_| digits.len().is_multiple_of(2)).ok_or_else(invalid)?);
        node.line = line.number;
    }
    node.finish(&mut reading);
    Ok(reading)
}

fn property_list(text: &Text) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let mut node = Node::default();
    let joined = text.joined();
    for part in joined.split("<key>").skip(1) {
        let Some((key, rest)) = part.split_once("</key>") else { continue };
        let rest = rest.trim_start();
        let Some(value) = rest.split_once('>').and_then(|(_, rest)| Some(rest.split_once("</")?.0)) else { continue };
        if key == KEY {
            if node.descriptor.is_some() {
                std::mem::take(&mut node).finish(&mut reading);
            }
            let before = part.as_ptr() as usize - joined.as_ptr() as usize;
            node.line = joined.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
            let decoded = base64::decode(value);
            node.descriptor =
                Some(decoded.ok_or_else(|| Unreadable::at(node.line, 1, "the data is not valid base64"))?);
        } else {
            node.set(key, value);
        }
        if rest.contains("</dict>") {
            std::mem::take(&mut node).finish(&mut reading);
        }
    }
    node.finish(&mut reading);
    Ok(reading)
}
