//! Which bits of a report, and which item of a descriptor, the words of a manifest mean.

use hidbpf_descriptor::{Anatomy, Field as DeclaredField, Item, ItemKind, Report, ReportType};

use crate::language::ReportKind;
use crate::recorded::Recorded;

/// The prefix of held values.
const HELD: &str = "held.";

/// The prefix of options.
const OPTION: &str = "option.";

/// What a word of a calculation means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Bits of the report.
    Field(Field),
    /// A value that the driver keeps between reports.
    Held(String),
    /// An option of the manifest.
    Option(String),
}

/// Bits of a report. With a count above 1, so many values that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The first bit, counted from the report's first.
    pub bit: u32,
    /// The bits of a value.
    pub bits: u32,
    /// Whether values have a sign.
    pub signed: bool,
    /// The number of values.
    pub count: u32,
}

/// The longest report: `HID_MAX_BUFFER_SIZE` (include/linux/hid.h) is longer, and no report that is repaired is.
const MAX_BYTES: u32 = 4096;

impl Field {
    /// Returns the value at an index.
    pub fn element(&self, index: u32) -> Field {
        Field { bit: self.bit + index * self.bits, count: 1, ..*self }
    }

    /// Returns the byte after its last bit.
    pub fn end(&self) -> u32 {
        (self.bit + self.bits * self.count).div_ceil(8)
    }
}

/// Resolves the words for the fields of reports.
pub(crate) struct Words<'a> {
    pub recorded: &'a [Recorded],
    /// The ID of the reports that a rule is for.
    pub id: Option<u8>,
    /// The indexes of the match rules that a rule is for. `None`: all of them.
    pub rules: Option<&'a [u32]>,
}

impl Words<'_> {
    /// Returns what a word means, or why it means nothing.
    pub fn place(&self, text: &str) -> Result<Place, String> {
        if let Some(name) = text.strip_prefix(HELD) {
            let is_name = |name: &str| {
                !name.is_empty()
                    && name.len() <= 32
                    && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            return match is_name(name) {
                true => Ok(Place::Held(name.to_owned())),
                false => Err(format!(
                    "invalid name \"{}\": expected lower-case letters, digits and hyphens",
                    name.escape_debug()
                )),
            };
        }
        if let Some(name) = text.strip_prefix(OPTION) {
            return Ok(Place::Option(name.to_owned()));
        }
        self.field(text).map(Place::Field)
    }

    fn field(&self, text: &str) -> Result<Field, String> {
        let (signed, rest) = match text.strip_prefix("signed ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if let Some(field) = bits(rest) {
            let field = field.ok_or_else(|| invalid(text))?;
            return match field.bits <= 32 || !signed {
                true => Ok(Field { signed, ..field }),
                false => Err(format!("invalid field \"{}\": a signed number has 32 bits at most", text.escape_debug())),
            };
        }
        let mut found: Option<(Field, &str)> = None;
        let concerns = |device: &&Recorded| self.rules.is_none_or(|rules| rules.contains(&(device.rule as u32)));
        for device in self.recorded.iter().filter(concerns) {
            let anatomy = Anatomy::of(&device.descriptor);
            let Some(place) = self.of_usage(&anatomy, text)? else { continue };
            match found {
                Some((before, first)) if before != place => {
                    return Err(format!(
                        "the field \"{}\" is at bit {} in {first}, and at bit {} in {}: name its bits",
                        text.escape_debug(),
                        before.bit,
                        place.bit,
                        device.recording
                    ));
                }
                _ => found = Some((place, &device.recording)),
            }
        }
        let report = self.id.map(|id| format!(" in report {id}")).unwrap_or_default();
        match found {
            Some((field, _)) => Ok(field),
            None if self.recorded.is_empty() => Err(format!(
                "invalid field \"{}\": a field is found by its usage in the descriptor of a recording, and there is none; name its bits, as in \"bytes 3-4\"",
                text.escape_debug()
            )),
            None => Err(format!(
                "invalid field \"{}\": the recorded devices have no such input field{report}; expected a usage such as \"X\", or bits such as \"bytes 3-4\" or \"bit 1.7\"",
                text.escape_debug()
            )),
        }
    }

    fn of_usage(&self, anatomy: &Anatomy, text: &str) -> Result<Option<Field>, String> {
        let (name, number) = numbered(text)?;
        let mut left = number;
        for report in inputs(anatomy).filter(|report| self.id.is_none() || report.id == self.id) {
            for field in &report.fields {
                let whole = Field {
                    bit: field.first_bit,
                    bits: field.size,
                    signed: field.logical.minimum < 0,
                    count: field.count,
                };
                let here = match is_array(field) {
                    true => (name.eq_ignore_ascii_case("array")).then_some(whole),
                    false => value_of(field, name).map(|index| whole.element(index)),
                };
                if let Some(place) = here {
                    left -= 1;
                    if left == 0 {
                        return match place.bits {
                            1..=32 => Ok(Some(place)),
                            bits => Err(format!(
                                "the field \"{}\" has {bits} bits, and 1 to 32 can be changed",
                                text.escape_debug()
                            )),
                        };
                    }
                }
            }
        }
        Ok(None)
    }
}

fn invalid(text: &str) -> String {
    format!(
        "invalid field \"{}\": expected bits of the report such as \"byte 3\", \"bytes 3-4\", \"bit 1.7\", \"bits 1.4-2.3\" or \"each byte 3-8\"",
        text.escape_debug()
    )
}

/// Parses `byte 3` and its like. `None`: the text is not of this kind. `Some(None)`: it is, and it is invalid.
fn bits(text: &str) -> Option<Option<Field>> {
    let (kind, rest) = match text.strip_prefix("each byte ") {
        Some(rest) => ("each byte", rest),
        None => text.split_once(' ').filter(|(kind, _)| ["byte", "bytes", "bit", "bits"].contains(kind))?,
    };
    let byte = |text: &str| text.trim().parse::<u32>().ok().filter(|byte| *byte < MAX_BYTES);
    let bit = |text: &str| {
        let (byte_text, bit) = text.split_once('.')?;
        let bit = bit.trim().parse::<u32>().ok().filter(|bit| *bit < 8)?;
        Some(byte(byte_text)? * 8 + bit)
    };
    let field = |bit: u32, bits: u32| Field { bit, bits, signed: false, count: 1 };
    let range = || rest.split_once('-');
    Some(match kind {
        "byte" => byte(rest).map(|at| field(at * 8, 8)),
        "bit" => bit(rest).map(|at| field(at, 1)),
        "bytes" => range().and_then(|(first, last)| {
            let (first, last) = (byte(first)?, byte(last)?);
            (first <= last).then(|| field(first * 8, (last - first + 1) * 8))
        }),
        "bits" => range().and_then(|(first, last)| {
            let (first, last) = (bit(first)?, bit(last)?);
            (first <= last).then(|| field(first, last - first + 1))
        }),
        _ => range().and_then(|(first, last)| {
            let (first, last) = (byte(first)?, byte(last)?);
            (first <= last).then(|| Field { bit: first * 8, bits: 8, signed: false, count: last - first + 1 })
        }),
    })
}

/// Splits `X #2` into the name and the number, which is 1 if there is none.
fn numbered(text: &str) -> Result<(&str, u32), String> {
    match text.split_once(" #") {
        None => Ok((text.trim(), 1)),
        Some((name, number)) => match number.parse() {
            Ok(number @ 1..) => Ok((name.trim(), number)),
            _ => Err(format!("invalid number \"#{}\": expected #1, #2 and so on", number.escape_debug())),
        },
    }
}

fn inputs(anatomy: &Anatomy) -> impl Iterator<Item = &Report> {
    anatomy.reports.iter().filter(|report| report.kind == ReportType::Input)
}

/// Returns whether a field's values select from its usages.
fn is_array(field: &DeclaredField) -> bool {
    !field.flags.is_variable() && !field.usages.is_empty()
}

/// Returns which value of a field has a usage with this name, or these numbers: `0001:0030`.
fn value_of(field: &DeclaredField, name: &str) -> Option<u32> {
    let numbers = name.split_once(':').and_then(|(page, id)| {
        let number = |text: &str| (text.len() == 4).then(|| u32::from_str_radix(text, 16).ok()).flatten();
        Some(number(page)? << 16 | number(id)?)
    });
    field.usages.iter().take(field.count.min(4096) as usize).zip(0..).find_map(|(usage, index)| {
        let is_it = match numbers {
            Some(number) => usage.0 == number,
            None => usage.name().eq_ignore_ascii_case(name),
        };
        is_it.then_some(index)
    })
}

/// The items of a descriptor, and which of them a field takes its properties from.
pub(crate) struct Items<'a> {
    anatomy: &'a Anatomy,
}

/// The current global items, by their names.
type Globals<'a> = Vec<&'a Item>;

impl<'a> Items<'a> {
    pub fn of(anatomy: &'a Anatomy) -> Items<'a> {
        Items { anatomy }
    }

    /// Finds the item with a name that a field takes. `of` names the field: a usage, "array", or either with "#2".
    pub fn find(&self, item: &str, of: Option<&str>, kind: ReportKind, report: Option<u8>) -> Result<&'a Item, String> {
        let shown = item.escape_debug();
        let field = self.field(of, kind, report)?;
        let (globals, locals) = self.before(field);
        let main = self.anatomy.items.iter().find(|known| known.offset == field.offset);
        let is_named = |known: &&&Item| known.kind.name().eq_ignore_ascii_case(item);
        if let Some(main) = main.filter(|main| is_named(&main)) {
            return Ok(main);
        }
        if let Some(found) = globals.iter().rev().find(is_named) {
            return Ok(found);
        }
        // Of several usages, the one that the field's name has.
        let (name, _) = of.map_or(Ok(("", 1)), numbered)?;
        let has_name = |known: &&Item| match known.kind {
            ItemKind::Usage(usage) => usage.name().eq_ignore_ascii_case(name),
            _ => false,
        };
        let named: Vec<&Item> = locals.iter().copied().filter(|known| is_named(&known)).collect();
        if let Some(found) = named.iter().find(|known| has_name(known)) {
            return Ok(found);
        }
        match named.as_slice() {
            [one] => Ok(one),
            [] => Err(format!("the field takes no item \"{shown}\"; `hidbpf inspect --items` shows the items")),
            several => Err(format!(
                "the field has {} items \"{shown}\": name one by its usage, or by its offset with `at`",
                several.len()
            )),
        }
    }

    fn field(&self, of: Option<&str>, kind: ReportKind, report: Option<u8>) -> Result<&'a DeclaredField, String> {
        let kind = match kind {
            ReportKind::Input => ReportType::Input,
            ReportKind::Output => ReportType::Output,
            ReportKind::Feature => ReportType::Feature,
        };
        let (name, mut left) = of.map_or(Ok(("", 1)), numbered)?;
        let reports = self.anatomy.reports.iter();
        for found in reports.filter(|found| found.kind == kind && (report.is_none() || found.id == report)) {
            for field in &found.fields {
                let is_it = match name {
                    "" => true,
                    _ if name.eq_ignore_ascii_case("array") => is_array(field),
                    _ if is_array(field) => false,
                    _ => value_of(field, name).is_some(),
                };
                left -= u32::from(is_it);
                if left == 0 {
                    return Ok(field);
                }
            }
        }
        let place = report.map(|id| format!(" in {kind} report {id}")).unwrap_or_default();
        let name = of.map_or_else(|| "any".to_owned(), |of| format!("\"{}\"", of.escape_debug()));
        Err(format!("the descriptor has no field {name}{place}"))
    }

    /// Returns the global items that apply to a field, and its local items.
    fn before(&self, field: &DeclaredField) -> (Globals<'a>, Vec<&'a Item>) {
        let (mut globals, mut pushed, mut locals): (Globals<'a>, Vec<Globals<'a>>, Vec<&'a Item>) = Default::default();
        for item in self.anatomy.items.iter().take_while(|item| item.offset < field.offset) {
            match item.kind {
                ItemKind::Push => pushed.push(globals.clone()),
                ItemKind::Pop => globals = pushed.pop().unwrap_or(globals),
                ItemKind::Main(..) | ItemKind::Collection(_) | ItemKind::EndCollection => locals.clear(),
                ItemKind::Usage(_)
                | ItemKind::UsageMinimum(_)
                | ItemKind::UsageMaximum(_)
                | ItemKind::OtherLocal(..) => {
                    locals.push(item);
                }
                _ => globals.push(item),
            }
        }
        (globals, locals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mouse with three buttons and two axes of 16 bits, in report 1.
    const MOUSE: [u8; 48] = [
        0x05, 1, 0x09, 2, 0xa1, 1, 0x85, 1, 0x05, 9, 0x19, 1, 0x29, 3, 0x15, 0, 0x25, 1, 0x75, 1, 0x95, 8, 0x81, 2,
        0x05, 1, 0x09, 0x30, 0x09, 0x31, 0x16, 1, 0x80, 0x26, 255, 0x7f, 0x75, 16, 0x95, 2, 0x81, 6, 0xc0, 0, 0, 0, 0,
        0,
    ];

    fn recorded() -> Vec<Recorded> {
        vec![Recorded { recording: "mouse.hid".to_owned(), rule: 0, descriptor: MOUSE[..43].to_vec() }]
    }

    #[test]
    fn fields_are_found_by_usage_and_by_bits() {
        let recorded = recorded();
        let words = Words { recorded: &recorded, id: Some(1), rules: None };
        let field = |text: &str| match words.place(text) {
            Ok(Place::Field(field)) => (field.bit, field.bits, field.signed, field.count),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(field("X"), (16, 16, true, 1));
        assert_eq!(field("y"), (32, 16, true, 1));
        assert_eq!(field("0001:0031"), (32, 16, true, 1));
        assert_eq!(field("Button 2"), (9, 1, false, 1));
        assert_eq!(field("byte 3"), (24, 8, false, 1));
        assert_eq!(field("signed bytes 3-4"), (24, 16, true, 1));
        assert_eq!(field("bits 1.4-2.3"), (12, 8, false, 1));
        assert_eq!(field("each byte 3-8"), (24, 8, false, 6));
        for wrong in [
            "Z",
            "byte",
            "byte x",
            "bit 3",
            "bit 1.8",
            "bytes 4-3",
            "X #0",
            "X #2",
            "signed bytes 0-7",
            "held.",
            "byte 5000",
        ] {
            assert!(words.place(wrong).is_err(), "{wrong}");
        }
        let other = Words { recorded: &recorded, id: Some(2), rules: None };
        assert!(other.place("X").is_err_and(|why| why.contains("in report 2")));
    }

    #[test]
    fn items_are_those_that_a_field_takes() {
        let anatomy = Anatomy::of(&MOUSE[..43]);
        let items = Items::of(&anatomy);
        let offset =
            |item: &str, of: &str| items.find(item, Some(of), ReportKind::Input, Some(1)).map(|item| item.offset);
        assert_eq!(offset("Usage Maximum", "Button 1"), Ok(12));
        assert_eq!(offset("Logical Maximum", "Button 1"), Ok(16));
        assert_eq!(offset("logical maximum", "X"), Ok(33));
        assert_eq!(offset("Usage", "Y"), Ok(28));
        assert_eq!(offset("Input", "X"), Ok(40));
        assert!(offset("Usage", "Z").is_err() && offset("Unit", "X").is_err());
    }
}
