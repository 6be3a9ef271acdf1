//! The reports that a descriptor declares: their fields, and the layout of their bits.
//!
//! Bits count from the first bit of the report as transferred, so bit 8 is the lowest bit of byte 1. If reports of a
//! type have IDs, byte 0 is the ID.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::interpret::item::{CollectionKind, Flags};
use crate::interpret::unit::{Scaled, Unit};
use crate::interpret::usage::{Span, Usage, Usages, page_name};
use crate::report_type::ReportType;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Report {
    /// Its type.
    #[serde(serialize_with = "display")]
    pub kind: ReportType,
    /// Its ID, or `None` if it has none.
    pub id: Option<u8>,
    /// The usage of the outermost collection around its first field: `Mouse`.
    pub application: Option<Usage>,
    /// Whether byte 0 is the ID.
    pub numbered: bool,
    /// Its length in bits, ID included.
    pub bits: u32,
    /// Its fields in order, padding included.
    pub fields: Vec<Field>,
}

/// The values that one Input, Output or Feature item declares, all of the same size and range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Field {
    /// The offset of its item in the descriptor, in bytes.
    pub offset: usize,
    /// Its first bit.
    pub first_bit: u32,
    /// The bits per value.
    pub size: u32,
    /// The number of values.
    pub count: u32,
    /// The usages of the values, or the usages that an array selects from. Empty for padding.
    pub usages: Usages,
    /// The smallest and the largest value.
    pub logical: Extent,
    /// The physical quantities at these values. Both are 0 if they equal the logical values.
    pub physical: Extent,
    /// The unit of the physical values.
    pub unit: Unit,
    /// The unit's power of ten.
    pub unit_exponent: i32,
    /// The item's flags.
    pub flags: Flags,
    /// The enclosing collection, as an index of the descriptor's collections.
    pub collection: Option<usize>,
}

/// A range of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The smallest value.
    pub minimum: i64,
    /// The largest value.
    pub maximum: i64,
}

impl Extent {
    /// Returns whether a value is in the range. An empty range or a single number is no limit, as in hid-input.
    pub fn contains(&self, value: i64) -> bool {
        self.minimum >= self.maximum || (self.minimum..=self.maximum).contains(&value)
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}..{}", self.minimum, self.maximum))
    }
}

/// A collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Collection {
    /// Its type.
    pub kind: CollectionKind,
    /// Its usage.
    pub usage: Usage,
    /// The enclosing collection, as an index of the descriptor's collections.
    pub parent: Option<usize>,
}

/// The kind of a field. A picture gives each kind a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FieldKind {
    /// The ID of the report.
    Id,
    /// Single bits: buttons, switches, lights.
    Switch,
    /// Positions and states.
    Absolute,
    /// Movements.
    Relative,
    /// Selections from the usages.
    Array,
    /// A constant field with a usage.
    Constant,
    /// A field without a usage.
    Padding,
}

impl FieldKind {
    /// All kinds, in the order of the legend.
    pub const ALL: [FieldKind; 7] = [
        FieldKind::Id,
        FieldKind::Switch,
        FieldKind::Absolute,
        FieldKind::Relative,
        FieldKind::Array,
        FieldKind::Constant,
        FieldKind::Padding,
    ];
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            FieldKind::Id => "report id",
            FieldKind::Switch => "switch",
            FieldKind::Absolute => "absolute value",
            FieldKind::Relative => "relative value",
            FieldKind::Array => "array",
            FieldKind::Constant => "constant",
            FieldKind::Padding => "padding",
        })
    }
}

/// Neighbouring bits of a report with one meaning: a control, an array or padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Part {
    /// Its name. Several parts of a report can have the same one.
    pub name: String,
    /// Its usage, if it has exactly one.
    pub usage: Option<Usage>,
    /// Its first bit.
    pub first_bit: u32,
    /// The bits per value.
    pub size: u32,
    /// The number of values. More than 1 for an array, or for a control with several values.
    pub count: u32,
}

impl Part {
    /// Returns bits with this name and without a usage, such as the ID of a report.
    pub fn named(name: &str, first_bit: u32, size: u32) -> Part {
        Part { name: name.to_owned(), usage: None, first_bit, size, count: 1 }
    }

    /// Returns its length in bits.
    pub fn bits(&self) -> u32 {
        self.size * self.count
    }
}

impl Field {
    /// Returns its length in bits.
    pub fn bits(&self) -> u32 {
        self.size * self.count
    }

    /// Returns whether it has no usage. The kernel ignores its bits, whether or not they are declared constant.
    pub fn is_padding(&self) -> bool {
        self.usages.is_empty()
    }

    /// Returns the kind of field.
    pub fn kind(&self) -> FieldKind {
        match (self.is_padding(), self.flags) {
            (true, _) => FieldKind::Padding,
            (_, flags) if flags.is_constant() => FieldKind::Constant,
            (_, flags) if !flags.is_variable() => FieldKind::Array,
            _ if self.size == 1 => FieldKind::Switch,
            (_, flags) if flags.is_relative() => FieldKind::Relative,
            _ => FieldKind::Absolute,
        }
    }

    /// Returns whether values are signed.
    pub fn is_signed(&self) -> bool {
        self.logical.minimum < 0
    }

    /// Returns the unit with its power of ten, empty if it has neither.
    pub fn scaled_unit(&self) -> String {
        Scaled(self.unit, self.unit_exponent).to_string()
    }

    /// Splits the field by meaning: one part per control of a variable field, one part for an array or padding.
    ///
    /// If there are more values than usages, all remaining values belong to the last usage and form one part.
    pub fn parts(&self) -> Vec<Part> {
        let part = |name, usage, index: u32, size, count| {
            (size * count > 0).then_some(Part {
                name,
                usage,
                first_bit: self.first_bit + index * self.size,
                size,
                count,
            })
        };
        if self.is_padding() {
            return part("padding".to_owned(), None, 0, self.bits(), 1).into_iter().collect();
        }
        if !self.flags.is_variable() {
            let (name, usage) = self.array_name();
            return part(name, usage, 0, self.size, self.count).into_iter().collect();
        }
        let usages = self.usages.len().min(self.count);
        (0..usages)
            .zip(self.usages.iter())
            .filter_map(|(index, usage)| {
                let count = if index + 1 == usages { self.count - index } else { 1 };
                part(usage.name(), Some(usage), index, self.size, count)
            })
            .collect()
    }

    /// Returns an array's name: its page, since it can select any of its usages.
    fn array_name(&self) -> (String, Option<Usage>) {
        let spans = self.usages.spans();
        match spans {
            [Span { first, count: 1, .. }] => (first.name(), Some(*first)),
            [first, rest @ ..] if rest.iter().all(|span| span.first.page() == first.first.page()) => {
                (page_name(first.first.page()), None)
            }
            [first, ..] => (format!("{first} and others"), None),
            [] => ("padding".to_owned(), None),
        }
    }

    /// Returns the field as table rows: one for each usage or usage range that the descriptor names.
    pub fn rows(&self) -> Vec<Row> {
        let row = |what: String, first_bit, count| Row {
            first_bit,
            size: self.size,
            count,
            what,
            kind: self.kind(),
            logical: (!self.is_padding()).then_some(self.logical),
            physical: (!self.is_padding() && self.physical != Extent::default()).then_some(self.physical),
            unit: if self.is_padding() { String::new() } else { self.scaled_unit() },
            flags: self.flags,
        };
        if self.bits() == 0 {
            return Vec::new();
        }
        if self.is_padding() {
            return vec![Row { size: self.bits(), ..row("padding".to_owned(), self.first_bit, 1) }];
        }
        if !self.flags.is_variable() {
            let names: Vec<String> = self.usages.spans().iter().map(ToString::to_string).collect();
            return vec![row(names.join(", "), self.first_bit, self.count)];
        }
        let mut rows = Vec::new();
        let mut index = 0;
        for (number, span) in self.usages.spans().iter().enumerate() {
            let left = self.count - index;
            let shown = Span { count: span.count.min(left), ..*span };
            if shown.count == 0 {
                break;
            }
            let is_last = number + 1 == self.usages.spans().len();
            let count = if is_last { left } else { shown.count };
            rows.push(row(shown.to_string(), self.first_bit + index * self.size, count));
            index += shown.count;
        }
        rows
    }
}

/// A row of a field table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Row {
    /// Its first bit.
    pub first_bit: u32,
    /// The bits per value.
    pub size: u32,
    /// The number of values.
    pub count: u32,
    /// Its usages in words.
    pub what: String,
    /// The kind of field.
    pub kind: FieldKind,
    /// The smallest and the largest value. Padding has none.
    pub logical: Option<Extent>,
    /// The physical range, if it differs from the logical one.
    pub physical: Option<Extent>,
    /// The unit with its power of ten.
    pub unit: String,
    /// The item's flags.
    pub flags: Flags,
}

impl Row {
    /// Returns its position as drivers give it: the byte, and the bit in that byte.
    pub fn place(&self) -> (u32, u32) {
        (self.first_bit / 8, self.first_bit % 8)
    }
}

impl Report {
    /// Returns its length in bytes, ID included.
    pub fn bytes(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// Returns its heading: `input report 1 (Mouse), 4 bytes`.
    pub fn heading(&self) -> String {
        let application = self.application.map(|usage| format!(" ({usage})")).unwrap_or_default();
        let bytes = self.bytes();
        format!("{self}{application}, {bytes} {}", if bytes == 1 { "byte" } else { "bytes" })
    }

    /// Returns the rows of its field table, the ID first.
    pub fn rows(&self) -> Vec<Row> {
        let id = self.numbered.then(|| Row {
            first_bit: 0,
            size: 8,
            count: 1,
            what: FieldKind::Id.to_string(),
            kind: FieldKind::Id,
            logical: None,
            physical: None,
            unit: String::new(),
            flags: Flags::default(),
        });
        id.into_iter().chain(self.fields.iter().flat_map(Field::rows)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} report", self.kind)?;
        self.id.map_or(Ok(()), |id| write!(f, " {id}"))
    }
}

fn display<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
