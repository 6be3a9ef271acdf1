//! The XML of hidrd-convert.
//!
//! ```text
//! <usage_page>desktop<!-- Generic desktop controls (01h) --></usage_page>
//! <COLLECTION type="application">
//!   <input><variable/><relative/></input>
//! </COLLECTION>
//! ```

use super::draft::{Draft, Reading};
use super::item_text::{collection, flag, in_comment, number, usage_of};
use super::text::Text;
use super::{Unreadable, item_names, numbers};

/// A tag, and the text after it.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
    /// The text up to the next tag, without comments.
    text: &'a str,
    comment: &'a str,
    /// Whether it has no content, as in `<unit/>`.
    is_closed: bool,
    line: usize,
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let joined = text.joined();
    (joined.contains("<descriptor") || joined.contains("<usage_page>")).then_some(())?;
    let first = text.lines.first().map_or(1, |line| line.number);
    Some(items(&tags(&joined, first)))
}

fn tags(text: &str, first: usize) -> Vec<Tag<'_>> {
    let mut tags: Vec<Tag<'_>> = Vec::new();
    let (mut rest, mut line) = (text, first);
    while let Some(start) = rest.find('<') {
        line += rest[..start].matches('\n').count();
        let inside = &rest[start + 1..];
        if let Some(comment) = inside.strip_prefix("!--") {
            let end = comment.find("-->").unwrap_or(comment.len());
            if let Some(tag) = tags.last_mut() {
                tag.comment = &comment[..end];
            }
            line += comment[..end].matches('\n').count();
            rest = comment.get(end + 3..).unwrap_or_default();
            continue;
        }
        let end = inside.find('>').unwrap_or(inside.len());
        let (tag, after) = (&inside[..end], inside.get(end + 1..).unwrap_or_default());
        let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        let text = after[..after.find('<').unwrap_or(after.len())].trim();
        let is_closed = tag.ends_with('/');
        tags.push(Tag { name: name.trim_end_matches('/'), attributes, text, comment: "", is_closed, line });
        line += tag.matches('\n').count();
        rest = after;
    }
    tags
}

fn items(tags: &[Tag<'_>]) -> Result<Reading, Unreadable> {
    let mut draft = Draft { line: tags.first().map_or(1, |tag| tag.line), ..Draft::default() };
    let mut tags = tags.iter().peekable();
    let mut page = 0;
    while let Some(tag) = tags.next() {
        let invalid = || {
            let text: String = tag.text.chars().take(40).collect();
            Unreadable::at(
                tag.line,
                1,
                format!("invalid value \"{}\" of the element \"{}\"", text.escape_debug(), tag.name.escape_debug()),
            )
        };
        let bytes = match tag.name {
            "COLLECTION" => {
                let kind = attribute(tag, "type").ok_or_else(invalid)?;
                item_names::shortest(0xa0, number(kind).or_else(|| collection(kind)).ok_or_else(invalid)?)
            }
            "/COLLECTION" => Some(vec![0xc0]),
            "PUSH" | "push" => Some(vec![0xa4]),
            "/PUSH" | "/push" | "POP" | "pop" => Some(vec![0xb4]),
            "SET" => Some(vec![0xa9, 1]),
            "/SET" => Some(vec![0xa8]),
            "input" | "output" | "feature" => {
                let mut bits = 0;
                while let Some(bit) = tags.peek().and_then(|next| flag(next.name)) {
                    bits |= bit;
                    tags.next();
                }
                item_names::shortest(item_names::prefix(tag.name).ok_or_else(invalid)?, bits)
            }
            "unit" => {
                let mut unit = 0_u32;
                let mut value = None;
                while let Some(part) = tags.next_if(|next| !tag.is_closed && next.name != "/unit") {
                    match part.name {
                        "value" => value = numbers::hex(part.text),
                        _ => unit |= unit_of(part),
                    }
                }
                match value {
                    Some(bytes) => item_names::item(0x64, &bytes),
                    None => item_names::shortest(0x64, unit.into()),
                }
            }
            "basic" | "short" | "main" | "global" | "local" => Some(raw(tag).ok_or_else(invalid)?),
            name if name.starts_with('/') => continue,
            name => match item_names::prefix(name) {
                None => continue,
                Some(0x54) => item_names::shortest(0x54, number(tag.text).ok_or_else(invalid)? & 0x0f),
                Some(prefix @ (0x04 | 0x08 | 0x18 | 0x28)) => {
                    let hex = || i64::from_str_radix(tag.text, 16).ok();
                    // Without a comment, only the name is left: `consumer_ac_undo`.
                    let named = || tag.text.split_once('_').and_then(|(_, name)| usage_of(page, name));
                    let value = in_comment(tag.comment).or_else(hex).or_else(named).ok_or_else(invalid)?;
                    if prefix == 0x04 {
                        page = value as u16;
                    }
                    item_names::shortest(prefix, value)
                }
                Some(prefix) => item_names::shortest(prefix, number(tag.text).ok_or_else(invalid)?),
            },
        };
        draft.extend(&bytes.ok_or_else(invalid)?, tag.line)?;
    }
    let mut reading = Reading::of(vec![draft]);
    reading.note_words();
    Ok(reading)
}

fn attribute<'a>(tag: &Tag<'a>, name: &str) -> Option<&'a str> {
    let at = tag.attributes.find(&format!("{name}=\""))? + name.len() + 2;
    tag.attributes[at..].split('"').next()
}

/// Returns an item whose data is in hex: `<short type="global" tag="6">2110</short>`.
fn raw(tag: &Tag<'_>) -> Option<Vec<u8>> {
    let name = attribute(tag, "tag")?;
    let kind = match attribute(tag, "type").unwrap_or(tag.name) {
        "main" | "0" => 0x00,
        "global" | "1" => 0x04,
        "local" | "2" => 0x08,
        _ => return None,
    };
    let prefix = match name.parse::<u8>() {
        Ok(tag) => tag.checked_mul(16)? | kind,
        Err(_) => item_names::prefix(name)?,
    };
    let data = if tag.text.is_empty() { Vec::new() } else { numbers::hex(tag.text)? };
    item_names::item(prefix, &data)
}

/// Returns the four bits of a part of a unit: HID 1.11, section 6.2.2.7.
fn unit_of(tag: &Tag<'_>) -> u32 {
    let system = |name: &str| match name {
        "si_linear" => 1,
        "si_rotation" => 2,
        "english_linear" => 3,
        "english_rotation" => 4,
        _ => 0,
    };
    let exponent = || number(tag.text).unwrap_or(1) as u32 & 0x0f;
    match tag.name {
        "generic" => attribute(tag, "system").map_or(0, system),
        "centimeter" | "inch" | "radians" | "degrees" | "length" => exponent() << 4,
        "gram" | "slug" | "mass" => exponent() << 8,
        "seconds" | "time" => exponent() << 12,
        "kelvin" | "fahrenheit" | "temperature" => exponent() << 16,
        "ampere" | "current" => exponent() << 20,
        "candela" | "luminous_intensity" => exponent() << 24,
        name => system(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(inside: &str) -> Result<Vec<u8>, String> {
        let text = Text::decode(format!("<descriptor>\n{inside}\n</descriptor>").as_bytes()).unwrap();
        let reading = read(&text).expect("the form is known").map_err(|error| error.to_string())?;
        Ok(reading.drafts[0].descriptor.clone())
    }

    #[test]
    fn elements_without_content_and_names_without_comments_are_read() {
        let units = "<unit/><push/><unit><english_linear><inch>3</inch></english_linear></unit><pop/><PUSH></PUSH>";
        assert_eq!(bytes(units), Ok(vec![0x65, 0, 0xa4, 0x65, 0x33, 0xb4, 0xa4, 0xb4]));
        let usage = "<usage_page>0C</usage_page><usage>consumer_ac_undo</usage>";
        assert_eq!(bytes(usage), Ok(vec![0x05, 0x0c, 0x0a, 0x1a, 0x02]));
        let unknown = bytes("<usage_page>0C</usage_page>\n<usage>consumer_nonsense</usage>");
        assert_eq!(
            unknown,
            Err("line 3, column 1: invalid value \"consumer_nonsense\" of the element \"usage\"".to_owned())
        );
    }
}
