//! The items of a descriptor: HID 1.11, sections 6.2.2.2 to 6.2.2.8.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::hex::HexBytes;
use crate::interpret::unit::{Scaled, Unit};
use crate::interpret::usage::{Usage, page_name};
use crate::report_type::ReportType;

/// An item of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// Its offset in bytes.
    pub offset: usize,
    /// Its bytes: the prefix, then the data if any.
    pub bytes: Vec<u8>,
    /// How many collections enclose it.
    pub depth: usize,
    /// The item's type and value.
    pub kind: ItemKind,
}

impl Item {
    /// Returns its data: the bytes after the prefix.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(1..).unwrap_or_default()
    }

    /// Returns its data as an unsigned number, as the kernel reads it. An item without data is 0.
    pub fn unsigned(&self) -> u32 {
        unsigned(self.data())
    }

    /// Returns its data as a signed number.
    pub fn signed(&self) -> i32 {
        signed(self.data())
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut item = serializer.serialize_struct("Item", 5)?;
        item.serialize_field("offset", &self.offset)?;
        item.serialize_field("bytes", &HexBytes(self.bytes.clone()))?;
        item.serialize_field("depth", &self.depth)?;
        item.serialize_field("name", &self.kind.name())?;
        item.serialize_field("value", &self.kind.value())?;
        item.end()
    }
}

/// An item's type and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemKind {
    /// Declares fields of input, output or feature reports.
    Main(ReportType, Flags),
    /// Begins a collection.
    Collection(CollectionKind),
    /// Ends a collection.
    EndCollection,
    /// The page of usages that don't name one.
    UsagePage(u32),
    /// The smallest value of a field.
    LogicalMinimum(i64),
    /// The largest value of a field.
    LogicalMaximum(i64),
    /// The physical quantity at the smallest value.
    PhysicalMinimum(i64),
    /// The physical quantity at the largest value.
    PhysicalMaximum(i64),
    /// The unit's power of ten.
    UnitExponent(i32),
    /// The unit of the physical values.
    Unit(Unit),
    /// The bits per value.
    ReportSize(u32),
    /// The report of the fields that follow.
    ReportId(u32),
    /// The number of values in a field.
    ReportCount(u32),
    /// Saves the values of the global items.
    Push,
    /// Restores the values that the last Push saved.
    Pop,
    /// A usage.
    Usage(Usage),
    /// The first usage of a range.
    UsageMinimum(Usage),
    /// The last usage of a range.
    UsageMaximum(Usage),
    /// Another local item (a designator or a string), by name.
    OtherLocal(&'static str, u32),
    /// Begins or ends a set of alternative usages.
    Delimiter(u32),
    /// A reserved item. The number is its tag.
    Reserved(Class, u8),
    /// A long item with its tag.
    Long(u8),
    /// The descriptor ends inside the item, which would have this many bytes of data.
    Truncated(usize),
}

/// The four classes of short items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Fields and collections.
    Main,
    /// Applies until changed.
    Global,
    /// Applies to the next main item.
    Local,
    /// Undefined.
    Undefined,
}

impl Class {
    fn of(prefix: u8) -> Class {
        match prefix >> 2 & 3 {
            0 => Class::Main,
            1 => Class::Global,
            2 => Class::Local,
            _ => Class::Undefined,
        }
    }
}

/// The flags of an Input, Output or Feature item, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// The names of bits 0 to 8 if clear and if set. Bit 7 has no meaning in input reports.
    const NAMES: [(&'static str, &'static str); 9] = [
        ("Data", "Constant"),
        ("Array", "Variable"),
        ("Absolute", "Relative"),
        ("", "Wrap"),
        ("", "Nonlinear"),
        ("", "No Preferred State"),
        ("", "Null State"),
        ("", "Volatile"),
        ("", "Buffered Bytes"),
    ];

    fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Returns whether the field never changes. It is then usually padding.
    pub fn is_constant(self) -> bool {
        self.bit(0)
    }

    /// Returns whether each value belongs to one control. Otherwise the values select usages.
    pub fn is_variable(self) -> bool {
        self.bit(1)
    }

    /// Returns whether a value is a change instead of a position.
    pub fn is_relative(self) -> bool {
        self.bit(2)
    }

    /// Returns whether a value outside the logical range means that the control has no value.
    pub fn has_null_state(self) -> bool {
        self.bit(6)
    }

    /// Returns the flags in words.
    pub fn words(self) -> Vec<&'static str> {
        let words = Flags::NAMES.iter().zip(0..).map(|((no, yes), bit)| if self.bit(bit) { *yes } else { *no });
        words.filter(|word| !word.is_empty()).collect()
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.words().join(", "))
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

/// The type of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionKind(pub u8);

impl CollectionKind {
    /// Controls at one place.
    pub const PHYSICAL: CollectionKind = CollectionKind(0);
    /// One device to applications, such as a mouse or a keyboard.
    pub const APPLICATION: CollectionKind = CollectionKind(1);
}

impl fmt::Display for CollectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 7] =
            ["Physical", "Application", "Logical", "Report", "Named Array", "Usage Switch", "Usage Modifier"];
        match (NAMES.get(usize::from(self.0)), self.0) {
            (Some(name), _) => f.pad(name),
            (None, 0x80..) => f.pad(&format!("Vendor Defined {:#04x}", self.0)),
            (None, _) => f.pad(&format!("Reserved {:#04x}", self.0)),
        }
    }
}

impl Serialize for CollectionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Returns an item's data as the kernel reads it. No data is 0.
pub(crate) fn unsigned(data: &[u8]) -> u32 {
    data.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// Returns an item's data as a signed number.
pub(crate) fn signed(data: &[u8]) -> i32 {
    match *data {
        [] => 0,
        [byte] => (byte as i8).into(),
        [low, high] => i16::from_le_bytes([low, high]).into(),
        _ => unsigned(data) as i32,
    }
}

/// Returns the bytes of the first item, and the number of data bytes that its prefix declares.
///
/// A tag of 15 begins a long item regardless of the rest of the prefix, as in `fetch_item()` (drivers/hid/hid-core.c).
pub(crate) fn first(descriptor: &[u8]) -> Option<(&[u8], usize)> {
    let (prefix, rest) = descriptor.split_first()?;
    let size = match (prefix >> 4, rest) {
        (15, [size, _, ..]) => 2 + usize::from(*size),
        (15, _) => 2,
        _ => [0, 1, 2, 4][usize::from(prefix & 3)],
    };
    Some((descriptor.get(..=size).unwrap_or(descriptor), size))
}

/// The context that an item's values depend on.
pub(crate) struct Surroundings {
    /// The current Usage Page.
    pub usage_page: u32,
    /// Whether the current Logical Minimum is negative, which makes the maximum signed too.
    pub signed_logical: bool,
    /// The same for the Physical Minimum.
    pub signed_physical: bool,
}

impl ItemKind {
    /// Parses an item, or a truncated one.
    pub(crate) fn read(bytes: &[u8], size: usize, surroundings: &Surroundings) -> ItemKind {
        let Some((&prefix, data)) = bytes.split_first() else { return ItemKind::Truncated(size) };
        if data.len() < size {
            return ItemKind::Truncated(size);
        }
        if prefix >> 4 == 15 {
            return ItemKind::Long(data.get(1).copied().unwrap_or(0));
        }
        let value = unsigned(data);
        let with_sign = i64::from(signed(data));
        let maximum = |has_sign| if has_sign { with_sign } else { i64::from(value) };
        let page = (surroundings.usage_page & 0xffff) as u16;
        let usage = if size > 2 { Usage(value) } else { Usage::new(page, value as u16) };
        // The tags of HID 1.11: main items in section 6.2.2.4, global items in 6.2.2.7, local items in 6.2.2.8.
        match (Class::of(prefix), prefix >> 4) {
            (Class::Main, 0x8) => ItemKind::Main(ReportType::Input, Flags(value)),
            (Class::Main, 0x9) => ItemKind::Main(ReportType::Output, Flags(value)),
            (Class::Main, 0xa) => ItemKind::Collection(CollectionKind(value as u8)),
            (Class::Main, 0xb) => ItemKind::Main(ReportType::Feature, Flags(value)),
            (Class::Main, 0xc) => ItemKind::EndCollection,
            (Class::Global, 0x0) => ItemKind::UsagePage(value),
            (Class::Global, 0x1) => ItemKind::LogicalMinimum(with_sign),
            (Class::Global, 0x2) => ItemKind::LogicalMaximum(maximum(surroundings.signed_logical)),
            (Class::Global, 0x3) => ItemKind::PhysicalMinimum(with_sign),
            (Class::Global, 0x4) => ItemKind::PhysicalMaximum(maximum(surroundings.signed_physical)),
            (Class::Global, 0x5) => ItemKind::UnitExponent(exponent(signed(data))),
            (Class::Global, 0x6) => ItemKind::Unit(Unit(value)),
            (Class::Global, 0x7) => ItemKind::ReportSize(value),
            (Class::Global, 0x8) => ItemKind::ReportId(value),
            (Class::Global, 0x9) => ItemKind::ReportCount(value),
            (Class::Global, 0xa) => ItemKind::Push,
            (Class::Global, 0xb) => ItemKind::Pop,
            (Class::Local, 0x0) => ItemKind::Usage(usage),
            (Class::Local, 0x1) => ItemKind::UsageMinimum(usage),
            (Class::Local, 0x2) => ItemKind::UsageMaximum(usage),
            (Class::Local, 0x3) => ItemKind::OtherLocal("Designator Index", value),
            (Class::Local, 0x4) => ItemKind::OtherLocal("Designator Minimum", value),
            (Class::Local, 0x5) => ItemKind::OtherLocal("Designator Maximum", value),
            (Class::Local, 0x7) => ItemKind::OtherLocal("String Index", value),
            (Class::Local, 0x8) => ItemKind::OtherLocal("String Minimum", value),
            (Class::Local, 0x9) => ItemKind::OtherLocal("String Maximum", value),
            (Class::Local, 0xa) => ItemKind::Delimiter(value),
            (class, tag) => ItemKind::Reserved(class, tag),
        }
    }

    /// Returns the item's name in the specification.
    pub fn name(&self) -> &'static str {
        match self {
            ItemKind::Main(ReportType::Input, _) => "Input",
            ItemKind::Main(ReportType::Output, _) => "Output",
            ItemKind::Main(ReportType::Feature, _) => "Feature",
            ItemKind::Collection(_) => "Collection",
            ItemKind::EndCollection => "End Collection",
            ItemKind::UsagePage(_) => "Usage Page",
            ItemKind::LogicalMinimum(_) => "Logical Minimum",
            ItemKind::LogicalMaximum(_) => "Logical Maximum",
            ItemKind::PhysicalMinimum(_) => "Physical Minimum",
            ItemKind::PhysicalMaximum(_) => "Physical Maximum",
            ItemKind::UnitExponent(_) => "Unit Exponent",
            ItemKind::Unit(_) => "Unit",
            ItemKind::ReportSize(_) => "Report Size",
            ItemKind::ReportId(_) => "Report ID",
            ItemKind::ReportCount(_) => "Report Count",
            ItemKind::Push => "Push",
            ItemKind::Pop => "Pop",
            ItemKind::Usage(_) => "Usage",
            ItemKind::UsageMinimum(_) => "Usage Minimum",
            ItemKind::UsageMaximum(_) => "Usage Maximum",
            ItemKind::OtherLocal(name, _) => name,
            ItemKind::Delimiter(_) => "Delimiter",
            ItemKind::Reserved(Class::Main, _) => "Reserved Main Item",
            ItemKind::Reserved(Class::Global, _) => "Reserved Global Item",
            ItemKind::Reserved(Class::Local, _) => "Reserved Local Item",
            ItemKind::Reserved(Class::Undefined, _) => "Reserved Item",
            ItemKind::Long(_) => "Long Item",
            ItemKind::Truncated(_) => "Truncated Item",
        }
    }

    /// Returns the item's value in words, if it has one.
    pub fn value(&self) -> Option<String> {
        Some(match self {
            ItemKind::Main(_, flags) => flags.to_string(),
            ItemKind::Collection(kind) => kind.to_string(),
            ItemKind::UsagePage(page) => match u16::try_from(*page) {
                Ok(page) => page_name(page),
                Err(_) => format!("{} ({page:#x})", page_name(*page as u16)),
            },
            ItemKind::LogicalMinimum(value)
            | ItemKind::LogicalMaximum(value)
            | ItemKind::PhysicalMinimum(value)
            | ItemKind::PhysicalMaximum(value) => value.to_string(),
            ItemKind::UnitExponent(power) => match Scaled(Unit(0), *power).to_string() {
                scale if scale.is_empty() => power.to_string(),
                scale => format!("{power} ({scale})"),
            },
            ItemKind::Unit(unit) => unit.to_string(),
            ItemKind::ReportSize(value) | ItemKind::ReportId(value) | ItemKind::ReportCount(value) => value.to_string(),
            ItemKind::Usage(usage) | ItemKind::UsageMinimum(usage) | ItemKind::UsageMaximum(usage) => usage.to_string(),
            ItemKind::OtherLocal(_, value) => value.to_string(),
            ItemKind::Delimiter(0) => "close".to_owned(),
            ItemKind::Delimiter(_) => "open".to_owned(),
            ItemKind::Reserved(_, tag) | ItemKind::Long(tag) => format!("tag {tag:#x}"),
            ItemKind::Truncated(size) => format!("{size} bytes should follow"),
            ItemKind::EndCollection | ItemKind::Push | ItemKind::Pop => return None,
        })
    }
}

/// Decodes a Unit Exponent: a signed four-bit number, or a signed number as many devices send it. `hid_parser_global()`
/// (drivers/hid/hid-core.c) accepts both.
fn exponent(value: i32) -> i32 {
    match value {
        8..=15 => value - 16,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> ItemKind {
        let (item, size) = first(bytes).unwrap();
        ItemKind::read(item, size, &Surroundings { usage_page: 1, signed_logical: true, signed_physical: false })
    }

    #[test]
    fn items_have_names_and_values_in_words() {
        for (bytes, name, value) in [
            (&[0x81, 0x06][..], "Input", "Data, Variable, Relative"),
            (&[0x80], "Input", "Data, Array, Absolute"),
            (&[0x92, 0x83, 0x01], "Output", "Constant, Variable, Absolute, Volatile, Buffered Bytes"),
            (&[0xb1, 0x7a], "Feature", "Data, Variable, Absolute, Wrap, Nonlinear, No Preferred State, Null State"),
            (&[0xa1, 0x01], "Collection", "Application"),
            (&[0xa0], "Collection", "Physical"),
            (&[0xa1, 0x07], "Collection", "Reserved 0x07"),
            (&[0xa1, 0x80], "Collection", "Vendor Defined 0x80"),
            (&[0xc0], "End Collection", ""),
            (&[0x05, 0x0d], "Usage Page", "Digitizers"),
            (&[0x07, 0x0d, 0x00, 0x01, 0x00], "Usage Page", "Digitizers (0x1000d)"),
            (&[0x15, 0x81], "Logical Minimum", "-127"),
            (&[0x25, 0xff], "Logical Maximum", "-1"),
            (&[0x35, 0x81], "Physical Minimum", "-127"),
            (&[0x45, 0xff], "Physical Maximum", "255"),
            (&[0x47, 0xff, 0xff, 0xff, 0xff], "Physical Maximum", "4294967295"),
            (&[0x55, 0x0e], "Unit Exponent", "-2 (10⁻²)"),
            (&[0x55, 0xfe], "Unit Exponent", "-2 (10⁻²)"),
            (&[0x55, 0x00], "Unit Exponent", "0"),
            (&[0x65, 0x33], "Unit", "in³"),
            (&[0x64], "Unit", "none"),
            (&[0x75, 0x08], "Report Size", "8"),
            (&[0x86, 0x00, 0x01], "Report ID", "256"),
            (&[0x94], "Report Count", "0"),
            (&[0xa4], "Push", ""),
            (&[0xb5, 0x00], "Pop", ""),
            (&[0x09, 0x30], "Usage", "X"),
            (&[0x0b, 0x42, 0x00, 0x0d, 0x00], "Usage", "Tip Switch"),
            (&[0x0a, 0x38, 0x00], "Usage", "Wheel"),
            (&[0x19, 0x30], "Usage Minimum", "X"),
            (&[0x29, 0x32], "Usage Maximum", "Z"),
            (&[0x39, 0x04], "Designator Index", "4"),
            (&[0x79, 0x05], "String Index", "5"),
            (&[0xa9, 0x01], "Delimiter", "open"),
            (&[0xa8], "Delimiter", "close"),
            (&[0x10], "Reserved Main Item", "tag 0x1"),
            (&[0xc5, 0x00], "Reserved Global Item", "tag 0xc"),
            (&[0x68], "Reserved Local Item", "tag 0x6"),
            (&[0x0c], "Reserved Item", "tag 0x0"),
            (&[0xfe, 0x02, 0xf0, 0x01, 0x02], "Long Item", "tag 0xf0"),
            (&[0xf0, 0x00, 0x03], "Long Item", "tag 0x3"),
            (&[0xfe, 0x02, 0xf0, 0x01], "Truncated Item", "4 bytes should follow"),
            (&[0xfe, 0x02], "Truncated Item", "2 bytes should follow"),
            (&[0x27, 0x00, 0x00, 0x00], "Truncated Item", "4 bytes should follow"),
        ] {
            let kind = read(bytes);
            assert_eq!((kind.name(), kind.value().unwrap_or_default().as_str()), (name, value), "{bytes:02x?}");
        }
        assert_eq!(first(&[]), None);
        assert_eq!(first(&[0x09, 0x30, 0xc0]), Some((&[0x09, 0x30][..], 1)));
    }

    /// Every prefix, with every size of data that it can have, and with too little data.
    #[test]
    fn every_prefix_is_read() {
        for prefix in 0..=u8::MAX {
            for fill in [0x00, 0x7f, 0xff] {
                for length in 0..=5 {
                    let bytes: Vec<u8> = std::iter::once(prefix).chain(std::iter::repeat_n(fill, length)).collect();
                    let kind = read(&bytes);
                    let _ = (kind.name(), kind.value());
                }
            }
        }
    }

    /// Every prefix except those of long items, with data and without.
    #[test]
    fn hidreport_calls_every_item_the_same() {
        use hidreport::hid::{GlobalItem, ItemType, LocalItem, MainItem};
        let theirs = |bytes: &[u8]| match ItemType::try_from(bytes) {
            Ok(ItemType::Main(item)) => match item {
                MainItem::Input(_) => "Input",
                MainItem::Output(_) => "Output",
                MainItem::Feature(_) => "Feature",
                MainItem::Collection(_) => "Collection",
                MainItem::EndCollection => "End Collection",
            },
            Ok(ItemType::Global(item)) => match item {
                GlobalItem::UsagePage(_) => "Usage Page",
                GlobalItem::LogicalMinimum(_) => "Logical Minimum",
                GlobalItem::LogicalMaximum(_) => "Logical Maximum",
                GlobalItem::PhysicalMinimum(_) => "Physical Minimum",
                GlobalItem::PhysicalMaximum(_) => "Physical Maximum",
                GlobalItem::UnitExponent(_) => "Unit Exponent",
                GlobalItem::Unit(_) => "Unit",
                GlobalItem::ReportSize(_) => "Report Size",
                GlobalItem::ReportId(_) => "Report ID",
                GlobalItem::ReportCount(_) => "Report Count",
                GlobalItem::Push => "Push",
                GlobalItem::Pop => "Pop",
                GlobalItem::Reserved => "Reserved",
            },
            Ok(ItemType::Local(item)) => match item {
                LocalItem::Usage(..) | LocalItem::UsageId(_) => "Usage",
                LocalItem::UsageMinimum(_) => "Usage Minimum",
                LocalItem::UsageMaximum(_) => "Usage Maximum",
                LocalItem::DesignatorIndex(_) => "Designator Index",
                LocalItem::DesignatorMinimum(_) => "Designator Minimum",
                LocalItem::DesignatorMaximum(_) => "Designator Maximum",
                LocalItem::StringIndex(_) => "String Index",
                LocalItem::StringMinimum(_) => "String Minimum",
                LocalItem::StringMaximum(_) => "String Maximum",
                LocalItem::Delimiter(_) => "Delimiter",
                LocalItem::Reserved { .. } => "Reserved",
            },
            Ok(ItemType::Long | ItemType::Reserved) | Err(_) => "Reserved",
        };
        for prefix in 0..0xf0u8 {
            let size = [0, 1, 2, 4][usize::from(prefix & 3)];
            let bytes = [&[prefix][..], &[1, 0, 0, 0][..size]].concat();
            // hidreport requires data where the kernel reads missing data as 0.
            let padded = [prefix | 1, 0];
            let expected = theirs(if size == 0 { &padded } else { &bytes });
            let name = read(&bytes).name();
            let name = if name.starts_with("Reserved") { "Reserved" } else { name };
            assert_eq!(name, expected, "{bytes:02x?}");
        }
    }
}
