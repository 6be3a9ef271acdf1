//! The reports that a descriptor declares: their fields, and what is in which bits.
//!
//! Bits count from the first one of the report as it is transferred, so that bit 8 is the lowest bit of byte 1. Where reports of a
//! type have ids, byte 0 is the id.

use std::fmt;

use serde::{Serialize, Serializer};

use super::item::{CollectionKind, Flags};
use super::unit::{Scaled, Unit};
use super::usage::{Span, Usage, Usages, page_name};
use crate::replay::reports::ReportType;

/// A report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Its type.
    #[serde(serialize_with = "display")]
    pub kind: ReportType,
    /// Its id, or `None` where it has none.
    pub id: Option<u8>,
    /// What the outermost collection around its first field is for: `Mouse`.
    pub application: Option<Usage>,
    /// Whether byte 0 is the id.
    pub numbered: bool,
    /// How many bits it has, its id included.
    pub bits: u32,
    /// Its fields, in order, padding included.
    pub fields: Vec<Field>,
}

/// What one Input, Output or Feature item declares: values of the same size and range, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Field {
    /// Where its item begins in the descriptor, in bytes.
    pub offset: usize,
    /// The first of its bits.
    pub first_bit: u32,
    /// How many bits each value has.
    pub size: u32,
    /// How many values there are.
    pub count: u32,
    /// What the values are of, or, in an array, what they choose among. None for padding.
    pub usages: Usages,
    /// The least and the greatest value.
    pub logical: Extent,
    /// What these two stand for; both 0 where that is the same.
    pub physical: Extent,
    /// The unit of the physical values.
    pub unit: Unit,
    /// The power of ten of the unit.
    pub unit_exponent: i32,
    /// What else there is to say.
    pub flags: Flags,
    /// The collection that it is in, as an index of the descriptor's collections.
    pub collection: Option<usize>,
}

/// A least and a greatest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The least value.
    pub minimum: i64,
    /// The greatest value.
    pub maximum: i64,
}

impl Extent {
    /// Whether a value is in it. One that is empty or a single number is no limit, as hid-input has it.
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
pub struct Collection {
    /// What it holds together.
    pub kind: CollectionKind,
    /// What it is for.
    pub usage: Usage,
    /// The collection that it is in, as an index of the descriptor's collections.
    pub parent: Option<usize>,
}

/// What a field is, roughly: what a picture gives a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldKind {
    /// The id of the report.
    Id,
    /// Single bits: buttons, switches, lights.
    Switch,
    /// Positions and states.
    Absolute,
    /// Movements.
    Relative,
    /// Choices among usages.
    Array,
    /// What never changes, and yet has a usage.
    Constant,
    /// What has no usage.
    Padding,
}

impl FieldKind {
    /// All kinds, in the order in which to explain them.
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

/// Neighbouring bits of a report with one meaning: a control, an array, padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Part {
    /// What it is, in words. Several parts of a report can have the same name.
    pub name: String,
    /// Its usage, where it has exactly one.
    pub usage: Option<Usage>,
    /// The first of its bits.
    pub first_bit: u32,
    /// How many bits each value has.
    pub size: u32,
    /// How many values it has. More than 1 is an array, or a control with several values.
    pub count: u32,
}

impl Part {
    /// How many bits it has.
    pub fn bits(&self) -> u32 {
        self.size * self.count
    }
}

impl Field {
    /// How many bits it has.
    pub fn bits(&self) -> u32 {
        self.size * self.count
    }

    /// Whether it has no usage: the kernel passes over its bits, whether they are declared constant or not.
    pub fn is_padding(&self) -> bool {
        self.usages.is_empty()
    }

    /// What it is, roughly.
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

    /// Whether values have a sign.
    pub fn is_signed(&self) -> bool {
        self.logical.minimum < 0
    }

    /// The unit with its power of ten, empty where there is neither.
    pub fn scaled_unit(&self) -> String {
        Scaled(self.unit, self.unit_exponent).to_string()
    }

    /// The field's bits by what they are for: a part each for the controls of a variable field, one for an array or padding.
    ///
    /// Where there are more values than usages, the last usage is that of all that are left, and they are one part.
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

    /// An array is called by its page, since it can be any of its usages.
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

    /// The field as the lines of a table: a line for each usage or range of usages that the descriptor names.
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

/// A line of a table of fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// The first of its bits.
    pub first_bit: u32,
    /// How many bits each value has.
    pub size: u32,
    /// How many values it has.
    pub count: u32,
    /// Its usages, in words.
    pub what: String,
    /// What it is, roughly.
    pub kind: FieldKind,
    /// The least and the greatest value; padding has none.
    pub logical: Option<Extent>,
    /// What these two stand for, where that is something else.
    pub physical: Option<Extent>,
    /// The unit with its power of ten.
    pub unit: String,
    /// What the descriptor says of its values.
    pub flags: Flags,
}

impl Row {
    /// Where it begins, as drivers have it: the byte, and the bit in that byte.
    pub fn place(&self) -> (u32, u32) {
        (self.first_bit / 8, self.first_bit % 8)
    }
}

impl Report {
    /// How many bytes it has, its id included.
    pub fn bytes(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// What to write above it: `input report 1 (Mouse), 4 bytes`.
    pub fn heading(&self) -> String {
        let application = self.application.map(|usage| format!(" ({usage})")).unwrap_or_default();
        let bytes = self.bytes();
        format!("{self}{application}, {bytes} {}", if bytes == 1 { "byte" } else { "bytes" })
    }

    /// The lines of a table of its fields, the id first.
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
