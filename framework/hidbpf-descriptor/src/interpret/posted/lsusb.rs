//! The output of `lsusb -v`: report descriptors, decoded item by item.
//!
//! ```text
//! Bus 001 Device 005: ID 1532:0067 Razer USA, Ltd Naga Trinity
//!   ...
//!           Report Descriptor: (length is 94)
//!             Item(Global): Usage Page, data= [ 0x01 ] 1
//!                             Generic Desktop Controls
//! ```

use crate::ids::{Bus, ProductId, VendorId};

use super::Unreadable;
use super::draft::{Draft, Reading};
use super::item_names;
use super::text::{Line, Text};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let is_item = |line: &Line| line.text.trim_start().starts_with("Item(");
    let has_block = |line: &Line| line.text.trim_start().starts_with("Report Descriptor");
    let has_device = |line: &Line| line.text.contains("bInterfaceClass") && line.text.contains("3 Human");
    text.lines.iter().any(|line| is_item(line) || has_block(line) || has_device(line)).then_some(())?;
    // Other programs say "Report Descriptor" as well.
    let is_lsusb = text.lines.iter().any(|line| is_item(line) || line.text.contains("bInterfaceNumber"));
    is_lsusb.then(|| devices(text))
}

/// Bus and address of a device.
type Place = (u32, u32);

/// Vendor, product and name of a device.
type Ids = (u16, u16, String);

/// Returns what a line of `lsusb` says about a device.
pub(super) fn listed(line: &str) -> Option<(Place, Ids)> {
    let (place, rest) = line.trim_start().strip_prefix("Bus ")?.split_once(": ID ")?;
    let (bus, address) = place.split_once(" Device ")?;
    let mut words = rest.splitn(2, ' ');
    let (vendor, product) = words.next()?.split_once(':')?;
    let hex = |text: &str| u16::from_str_radix(text, 16).ok();
    let name = words.next().unwrap_or_default().trim().to_owned();
    Some(((bus.parse().ok()?, address.trim().parse().ok()?), (hex(vendor)?, hex(product)?, name)))
}

/// What is known about the device and interface of the following lines.
#[derive(Default)]
struct Context {
    title: String,
    name: String,
    vendor: Option<u16>,
    product: Option<u16>,
    interface: Option<u32>,
}

impl Context {
    fn line(&mut self, line: &str) {
        if let Some(((bus, address), (vendor, product, name))) = listed(line) {
            let title = format!("device {bus:03}:{address:03}");
            *self = Context { title, name, vendor: Some(vendor), product: Some(product), interface: None };
        }
        let mut words = line.split_whitespace();
        let (Some(key), Some(value)) = (words.next(), words.next()) else { return };
        let id = || u16::from_str_radix(value.trim_start_matches("0x"), 16).ok();
        match key {
            "idVendor" => self.vendor = id(),
            "idProduct" => self.product = id(),
            "bInterfaceNumber" => self.interface = value.parse().ok(),
            "iProduct" => {
                let name = words.collect::<Vec<_>>().join(" ");
                if !name.is_empty() {
                    self.name = name;
                }
            }
            _ => {}
        }
    }

    fn draft(&self, line: &Line) -> Draft {
        let ids = self.vendor.zip(self.product);
        Draft {
            title: self.title.clone(),
            interface: self.interface,
            name: self.name.clone(),
            ids: ids.map(|(vendor, product)| (Bus::USB, VendorId(vendor.into()), ProductId(product.into()))),
            declared: length(&line.text),
            line: line.number,
            ..Draft::default()
        }
    }
}

/// Parses `(length is 94)`.
fn length(line: &str) -> Option<usize> {
    line.split_once("length is ")?.1.trim_end_matches(')').trim().parse().ok()
}

fn devices(text: &Text) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let mut context = Context::default();
    let (mut is_open, mut is_unavailable) = (false, None);
    for line in &text.lines {
        let start = line.text.trim_start();
        if start.starts_with("Report Descriptor:") {
            reading.drafts.push(context.draft(line));
            is_open = true;
        } else if start.starts_with("Item(") {
            // Posts begin in the middle at times.
            if !is_open {
                reading.drafts.push(context.draft(line));
                is_open = true;
            }
            let bytes = item(line)?;
            if let Some(draft) = reading.drafts.last_mut() {
                draft.extend(&bytes, line.number)?;
            }
        } else if start.starts_with("** UNAVAILABLE **") {
            is_unavailable = Some(line.number);
        } else {
            is_open &=
                !["Endpoint", "Interface", "Bus", "Device", "Configuration"].iter().any(|it| start.starts_with(it));
            context.line(&line.text);
        }
    }
    let reading = reading.without_empty();
    match is_unavailable {
        Some(line) if reading.drafts.is_empty() => Err(Unreadable::at(
            line,
            1,
            "lsusb did not get the report descriptor, because a kernel driver has the device: use \"usbhid-dump\"",
        )),
        None if reading.drafts.is_empty() => Err(Unreadable::new(
            "the output of lsusb has no report descriptor: use \"lsusb -v\" as root, or \"usbhid-dump\"",
        )),
        _ => Ok(reading),
    }
}

/// Parses `Item(Global): Usage Page, data= [ 0x01 ] 1`.
fn item(line: &Line) -> Result<Vec<u8>, Unreadable> {
    let fail = |what: &str| Unreadable::at(line.number, line.place(line.indent()), what);
    let (_, rest) = line.text.split_once("):").ok_or_else(|| fail("an item without a name"))?;
    let (name, data) = rest.split_once(", data=").ok_or_else(|| fail("an item without its data"))?;
    let prefix = item_names::prefix(name).ok_or_else(|| {
        let name: String = name.trim().chars().take(40).collect();
        fail(&format!("\"{}\" is not the name of an item: lsusb does not show which byte it is", name.escape_debug()))
    })?;
    let bytes = match data.split_once('[') {
        None => Vec::new(),
        Some((_, data)) => {
            let (data, _) = data.split_once(']').ok_or_else(|| fail("the data of an item is cut off"))?;
            let byte = |word: &str| u8::from_str_radix(word.trim_start_matches("0x"), 16).ok();
            let bytes: Option<Vec<u8>> = data.split_whitespace().map(byte).collect();
            bytes.ok_or_else(|| fail("the data of an item is not bytes in hex"))?
        }
    };
    item_names::item(prefix, &bytes).ok_or_else(|| fail("an item has 0, 1, 2 or 4 bytes of data"))
}
