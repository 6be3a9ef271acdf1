//! Descriptors in the macros of TinyUSB's `class/hid/hid.h`.
//!
//! ```text
//! HID_USAGE_PAGE ( HID_USAGE_PAGE_DESKTOP ),
//! HID_LOGICAL_MAX_N ( 0x7fff, 2 ),
//! HID_INPUT ( HID_DATA | HID_VARIABLE | HID_RELATIVE ),
//! ```
//!
//! `TUD_HID_REPORT_DESC_KEYBOARD()` and the like stand for descriptors that TinyUSB has and the file does not. They are errors.

use super::draft::{Draft, Reading};
use super::item_text::{collection, flag, number, page_of, usage_of};
use super::text::{Line, Text};
use super::{Unreadable, comments, item_names};

/// A macro with its arguments.
struct Macro<'a> {
    line: &'a Line,
    /// The name without `HID_`.
    name: &'a str,
    arguments: &'a str,
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let lines = comments::without(text);
    let macros: Vec<Macro<'_>> = lines.iter().flat_map(macros).collect();
    let template = lines.iter().find(|line| line.text.contains("TUD_HID_REPORT_DESC_"));
    match template {
        // The definition of such a macro has its items.
        Some(line) if !macros.iter().any(|item| item.name.starts_with("COLLECTION")) => {
            let at = line.text.find("TUD_HID_REPORT_DESC_").unwrap_or(0);
            let name: String =
                line.text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect();
            let reason = format!(
                "the macro \"{name}\" is a descriptor of TinyUSB, which this file does not have: expected bytes"
            );
            Some(Err(Unreadable::at(line.number, line.place(at), reason)))
        }
        _ => (macros.len() > 2).then(|| assemble(&macros)),
    }
}

/// Returns the macros of a line that are items.
fn macros(line: &Line) -> Vec<Macro<'_>> {
    let mut found = Vec::new();
    let mut rest = line.text.as_str();
    while let Some(at) = rest.find("HID_") {
        let is_word = !rest[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let after = &rest[at + 4..];
        let length = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (name, behind) = after.split_at(length);
        rest = behind;
        if !is_word {
            continue;
        }
        if matches!(name, "COLLECTION_END" | "PUSH" | "POP") {
            found.push(Macro { line, name, arguments: "" });
        } else if let Some((arguments, after)) = behind.trim_start().strip_prefix('(').and_then(|it| it.split_once(')'))
            && prefix(name).is_some()
        {
            found.push(Macro { line, name, arguments });
            rest = after;
        }
    }
    found
}

/// Returns the prefix of an item without its size. `N` at the end of a name says that a size follows.
fn prefix(name: &str) -> Option<u8> {
    let name = name.strip_suffix("_N").unwrap_or(name);
    if name == "COLLECTION_END" { Some(0xc0) } else { item_names::prefix(name) }
}

fn assemble(macros: &[Macro<'_>]) -> Result<Reading, Unreadable> {
    let first = macros.first().map_or(1, |item| item.line.number);
    let mut draft = Draft { line: first, ..Draft::default() };
    let mut page = 0;
    for item in macros {
        let unknown = || {
            let shown: String = item.arguments.trim().chars().take(40).collect();
            let reason = format!("unknown value \"{}\" of HID_{}", shown.escape_debug(), item.name);
            Unreadable::at(item.line.number, item.line.place_of(item.name), reason)
        };
        let bytes = encode(item, page).ok_or_else(unknown)?;
        if bytes[0] & 0xfc == 0x04 {
            page = bytes[1..].iter().take(2).rev().fold(0, |page, byte| page << 8 | u16::from(*byte));
        }
        draft.extend(&bytes, item.line.number)?;
    }
    Ok(Reading::of(vec![draft]))
}

fn encode(item: &Macro<'_>, page: u16) -> Option<Vec<u8>> {
    let prefix = prefix(item.name)?;
    if matches!(prefix, 0xc0 | 0xa4 | 0xb4) {
        return Some(vec![prefix]);
    }
    let (text, size) = match item.name.ends_with("_N").then(|| item.arguments.rsplit_once(',')) {
        None => (item.arguments.trim(), 1),
        Some(arguments) => {
            let (text, size) = arguments?;
            // TinyUSB calls four bytes 3, as the prefix does.
            (text.trim(), usize::try_from(number(size)?).ok().map(|size| if size == 3 { 4 } else { size })?)
        }
    };
    let value = number(text).or_else(|| named(prefix, text, page))?;
    item_names::item(prefix, value.to_le_bytes().get(..size)?)
}

/// Returns the number of a name: `HID_USAGE_PAGE_DESKTOP`, `HID_USAGE_DESKTOP_MOUSE`, `HID_DATA | HID_VARIABLE`.
fn named(prefix: u8, text: &str, page: u16) -> Option<i64> {
    match prefix {
        0x80 | 0x90 | 0xb0 => {
            let mut flags = text.split('|');
            flags.try_fold(0, |bits, word| Some(bits | flag(&flag_name(word.trim().strip_prefix("HID_")?))?))
        }
        0xa0 => collection(text.strip_prefix("HID_COLLECTION_")?),
        0x04 => match text.strip_prefix("HID_USAGE_PAGE_")? {
            "LED" => Some(0x08),
            "DIGITIZER" => Some(0x0d),
            "VENDOR" => Some(0xff00),
            "FIDO" => Some(0xf1d0),
            name => page_of(name),
        },
        0x08 | 0x18 | 0x28 => {
            let name = text.strip_prefix("HID_USAGE_")?;
            let without_page = name.split_once('_').and_then(|(_, name)| usage_of(page, name));
            without_page.or_else(|| usage_of(page, name))
        }
        _ => None,
    }
}

/// Returns a flag's name as the specification has it: `WRAP_NO` is `NO_WRAP`.
fn flag_name(name: &str) -> String {
    name.strip_suffix("_NO").map_or_else(|| name.to_owned(), |name| format!("NO_{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<u8>, String> {
        let text = Text::decode(text.as_bytes()).unwrap();
        let reading = read(&text).expect("the form is known").map_err(|error| error.to_string())?;
        Ok(reading.drafts[0].descriptor.clone())
    }

    #[test]
    fn items_are_put_together() {
        let mouse = "uint8_t const desc[] = {\n  HID_USAGE_PAGE ( HID_USAGE_PAGE_DESKTOP ), HID_USAGE(HID_USAGE_DESKTOP_MOUSE),\n\
            HID_COLLECTION(HID_COLLECTION_APPLICATION), HID_REPORT_ID(1)\n HID_USAGE_PAGE(HID_USAGE_PAGE_BUTTON), \\\n\
            HID_USAGE_MIN(1), HID_USAGE_MAX(3), HID_LOGICAL_MIN(0), HID_LOGICAL_MAX(1), HID_REPORT_COUNT(8), HID_REPORT_SIZE(1),\n\
            HID_INPUT(HID_DATA | HID_VARIABLE | HID_ABSOLUTE), /* HID_USAGE(9), */\n HID_USAGE_PAGE_N(0xff01, 2), HID_USAGE(0x02),\n\
            HID_LOGICAL_MIN(-127), HID_LOGICAL_MAX_N(0x7fff, 2), HID_PHYSICAL_MAX_N(1, 3), HID_FEATURE(HID_CONSTANT),\n HID_COLLECTION_END };";
        let expected = "05 01 09 02 a1 01 85 01 05 09 19 01 29 03 15 00 25 01 95 08 75 01 81 02 06 01 ff 09 02 15 81 26 ff 7f \
            47 01 00 00 00 b1 01 c0";
        let expected: crate::hex::HexBytes = expected.parse().unwrap();
        assert_eq!(read_text(mouse), Ok(expected.0));
    }

    #[test]
    fn usages_have_the_names_of_their_page() {
        let text = |usage: &str| {
            format!(
                "HID_USAGE_PAGE(HID_USAGE_PAGE_CONSUMER), HID_USAGE({usage}), HID_COLLECTION(HID_COLLECTION_APPLICATION), HID_COLLECTION_END"
            )
        };
        assert_eq!(read_text(&text("HID_USAGE_CONSUMER_CONTROL")), Ok(vec![0x05, 0x0c, 0x09, 0x01, 0xa1, 0x01, 0xc0]));
        let unknown = read_text(&text("HID_USAGE_CONSUMER_NONSENSE"));
        assert_eq!(
            unknown,
            Err("line 1, column 46: unknown value \"HID_USAGE_CONSUMER_NONSENSE\" of HID_USAGE".to_owned())
        );
    }

    #[test]
    fn whole_descriptors_of_tinyusb_are_not_guessed() {
        let text = "uint8_t const desc_hid_report[] = {\n  TUD_HID_REPORT_DESC_KEYBOARD( HID_REPORT_ID(1) ),\n};";
        let expected = "line 2, column 3: the macro \"TUD_HID_REPORT_DESC_KEYBOARD\" is a descriptor of TinyUSB, which this file does not \
            have: expected bytes";
        assert_eq!(read_text(text), Err(expected.to_owned()));
    }
}
