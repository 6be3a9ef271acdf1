//! What a report descriptor means: its items in words, the reports that it declares, and what the bytes of a report say.
//!
//! ```
//! use hidbpf::descriptor::Descriptor;
//! use hidbpf::replay::reports::ReportType;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mouse = [0x05, 1, 0x09, 2, 0xa1, 1, 0x09, 0x30, 0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 8, 0x95, 2, 0x81, 6, 0xc0];
//! let descriptor = Descriptor::parse(&mouse)?;
//! let report = descriptor.decode(ReportType::Input, &[5, 0xfe])?;
//! assert_eq!(report.to_string(), "X: 5, Y: -2");
//! # Ok(())
//! # }
//! ```
//!
//! A descriptor is refused where the kernel refuses it, at the same item, and what the kernel takes is taken: the checks are those
//! of `hid_open_report()` (drivers/hid/hid-core.c). [`Anatomy`] has the items of any bytes at all.
//!
//! Items are told apart by the crate `hidreport`, and usages named by `hut`. The reports are put together here, because
//! `hidreport::ReportDescriptor` is stricter than the kernel, reads some descriptors otherwise, and panics on some:
//! docs/descriptors.md says where.

mod decode;
mod diff;
mod fixup;
mod hex;
mod item;
mod parser;
mod report;
mod svg;
mod unit;
mod usage;

pub use decode::{Choice, Content, Decoded, Undecodable, Value};
pub use diff::{
    Change, Difference, ReportDifference, decoded_difference, items_difference, reports_difference, rows_difference,
};
pub use fixup::{Fixup, fixup};
pub use hex::{InvalidHex, parse_hex};
pub use item::{Class, CollectionKind, Flags, Item, ItemKind};
pub use report::{Collection, Extent, Field, FieldKind, Part, Report, Row};
pub use svg::{picture, picture_of_difference};
pub use unit::{Scaled, Unit};
pub use usage::{Span, Usage, Usages, page_name};

use crate::replay::reports::{InvalidDescriptor, ReportType};

/// A descriptor that the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its items.
    pub items: Vec<Item>,
    /// Its collections, in the order in which they begin.
    pub collections: Vec<Collection>,
    /// Its reports, in the order in which they are first named.
    pub reports: Vec<Report>,
    /// What the kernel passes over without a word.
    pub notes: Vec<Note>,
}

/// What there is of any bytes that somebody takes for a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anatomy {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The items. What the kernel would not have come to is there as well.
    pub items: Vec<Item>,
    /// The reports, as if the kernel passed over what it would refuse.
    pub reports: Vec<Report>,
    /// Where and why the kernel would refuse it.
    pub fault: Option<InvalidDescriptor>,
}

/// Something that a descriptor says in vain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// Where the item begins, in bytes from 0.
    pub offset: usize,
    /// What is passed over.
    pub what: String,
}

impl Descriptor {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// The kernel would refuse it, at that byte and for that reason.
    pub fn parse(bytes: &[u8]) -> Result<Descriptor, InvalidDescriptor> {
        let parser::Parsed { items, fault, collections, reports, notes } = parser::parse(bytes);
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Descriptor { bytes: bytes.to_vec(), items, collections, reports, notes }),
        }
    }

    /// The report of a type with an id; id 0 is that of a report without.
    pub fn report(&self, kind: ReportType, id: u8) -> Option<&Report> {
        self.reports.iter().find(|report| report.kind == kind && report.id.unwrap_or(0) == id)
    }

    /// Whether reports of a type begin with an id.
    pub fn is_numbered(&self, kind: ReportType) -> bool {
        self.reports.iter().any(|report| report.kind == kind && report.numbered)
    }

    /// The report of a type that these bytes are.
    ///
    /// # Errors
    /// There are no bytes, or the descriptor declares no such report.
    pub fn report_of(&self, kind: ReportType, bytes: &[u8]) -> Result<&Report, Undecodable> {
        let first = *bytes.first().ok_or(Undecodable::Empty)?;
        let id = if self.is_numbered(kind) { first } else { 0 };
        self.report(kind, id).ok_or(Undecodable::Undeclared { kind, id })
    }

    /// What the bytes of a report say.
    ///
    /// # Errors
    /// There are no bytes, or the descriptor declares no such report.
    pub fn decode(&self, kind: ReportType, bytes: &[u8]) -> Result<Decoded, Undecodable> {
        Ok(self.report_of(kind, bytes)?.decode(bytes))
    }

    /// What is around a field, from the outside in.
    pub fn path(&self, field: &Field) -> Vec<&Collection> {
        let next = |index: usize| self.collections.get(index);
        let innermost = field.collection.and_then(next);
        let mut path: Vec<_> =
            std::iter::successors(innermost, |collection| collection.parent.and_then(next)).collect();
        path.reverse();
        path
    }
}

impl Anatomy {
    /// Takes bytes apart, whatever they are.
    pub fn of(bytes: &[u8]) -> Anatomy {
        let parser::Parsed { items, fault, reports, .. } = parser::parse(bytes);
        Anatomy { bytes: bytes.to_vec(), items, reports, fault }
    }
}
