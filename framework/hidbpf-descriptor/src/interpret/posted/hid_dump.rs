//! The output of win-hid-dump, mac-hid-dump, hidraw-dump and hidapi's hidtest.
//!
//! ```text
//! 258A:0049: BY Tech - Gaming Keyboard                    Device Found
//! PATH:\\?\hid#vid_258a&pid_0049&mi_00#...                  type: 046d b010
//! DESCRIPTOR:                                               Report Descriptor: (36 bytes)
//!   05  01  09  06  A1  01  05  07                        0x06, 0x00, 0xff, 0x09,
//!   (50 bytes)
//! ```

use crate::ids::{Bus, ProductId, VendorId};

use super::draft::{Draft, Reading};
use super::plain::bytes_of_line;
use super::text::Text;
use super::{Unreadable, numbers};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let has = |what: &str| text.lines.iter().any(|line| line.text.trim_start().starts_with(what));
    let has_header = || text.lines.iter().any(|line| header(&line.text).is_some());
    (has_header() && (has("DESCRIPTOR:") || has("Report Descriptor:"))).then(|| devices(text))
}

/// Parses `258A:0049: Maker - Product`, `258A 0049: ...` and `type: 046d b010`.
fn header(line: &str) -> Option<(u16, u16, &str)> {
    let line = line.trim_start();
    if let Some(ids) = line.strip_prefix("type:") {
        let (vendor, product) = ids.trim().split_once(' ')?;
        return Some((numbers::id(vendor)?, numbers::id(product)?, ""));
    }
    let (vendor, product) = (line.get(..4)?, line.get(5..9)?);
    let rest = line.get(9..).filter(|_| matches!(line.as_bytes()[4], b':' | b' '))?.strip_prefix(':')?;
    Some((numbers::id(vendor)?, numbers::id(product)?, rest.trim()))
}

fn devices(text: &Text) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let (mut is_body, mut is_windows) = (false, false);
    for line in &text.lines {
        let start = line.text.trim();
        if let Some((vendor, product, name)) = header(&line.text) {
            is_body = false;
            reading.drafts.push(Draft {
                title: format!("{vendor:04X}:{product:04X}"),
                name: name.trim_start_matches('-').trim().to_owned(),
                ids: Some((Bus::USB, VendorId(vendor.into()), ProductId(product.into()))),
                line: line.number,
                ..Draft::default()
            });
            continue;
        }
        let Some(draft) = reading.drafts.last_mut() else { continue };
        let key = start.split_once(':').map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()));
        match key.as_ref().map(|(key, value)| (key.as_str(), *value)) {
            Some(("path", path)) => {
                is_windows |= path.starts_with(r"\\?\");
                locate(draft, path);
            }
            Some(("product", name)) => draft.name = name.to_owned(),
            Some(("interface", number)) => draft.interface = number.parse().ok(),
            Some(("descriptor" | "report descriptor", length)) => {
                is_body = true;
                draft.declared = bracketed_length(length);
            }
            _ if start.starts_with('(') => {
                draft.declared = bracketed_length(start).or(draft.declared);
                is_body = false;
            }
            _ if is_body && !start.is_empty() => match bytes_of_line(line) {
                Some(bytes) => draft.extend(&bytes?, line.number)?,
                None => is_body = false,
            },
            _ => {}
        }
    }
    let mut reading = reading.without_empty();
    if is_windows {
        let note = "Windows does not keep a device's report descriptor: the program rebuilt it, with other items for the same reports";
        reading.notes.push(note.to_owned());
    }
    Ok(reading)
}

/// Parses `(50 bytes)`.
fn bracketed_length(text: &str) -> Option<usize> {
    text.strip_prefix('(')?.split_once(" bytes")?.0.parse().ok()
}

/// Reads interface and collection from a path of Windows: `...&mi_01&col02#...`.
fn locate(draft: &mut Draft, path: &str) {
    let lower = path.to_ascii_lowercase();
    let number = |mark: &str, base| {
        let digits: String = lower.split_once(mark)?.1.chars().take_while(char::is_ascii_hexdigit).take(2).collect();
        u32::from_str_radix(&digits, base).ok()
    };
    if let Some(interface) = number("&mi_", 16) {
        draft.interface = Some(interface);
    }
    if let Some(collection) = number("&col", 16) {
        draft.title += &format!(", collection {collection}");
    }
}
