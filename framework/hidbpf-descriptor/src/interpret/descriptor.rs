//! A report descriptor, taken apart.

use crate::interpret::decode::{Decoded, Undecodable};
use crate::interpret::item::Item;
use crate::interpret::parser::{self, Note};
use crate::interpret::report::{Collection, Field, Report};
use crate::invalid::InvalidDescriptor;
use crate::report_type::ReportType;

/// A descriptor that the kernel accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its items.
    pub items: Vec<Item>,
    /// Its collections, in the order in which they begin.
    pub collections: Vec<Collection>,
    /// Its reports, in the order in which they first appear.
    pub reports: Vec<Report>,
    /// The parts that the kernel silently ignores.
    pub notes: Vec<Note>,
}

/// The items and reports of any bytes, valid or not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anatomy {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The items, including those after the point where the kernel would stop.
    pub items: Vec<Item>,
    /// The reports, as if the kernel skipped the items that it refuses.
    pub reports: Vec<Report>,
    /// The fault for which the kernel would refuse the descriptor.
    pub fault: Option<InvalidDescriptor>,
}

impl Descriptor {
    /// Parses a descriptor.
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

    /// Returns the report of a type with an ID. ID 0 is the report without one.
    pub fn report(&self, kind: ReportType, id: u8) -> Option<&Report> {
        self.reports.iter().find(|report| report.kind == kind && report.id.unwrap_or(0) == id)
    }

    /// Returns whether reports of a type begin with an ID.
    pub fn is_numbered(&self, kind: ReportType) -> bool {
        self.reports.iter().any(|report| report.kind == kind && report.numbered)
    }

    /// Finds the report of a type that these bytes belong to.
    ///
    /// # Errors
    /// There are no bytes, or the descriptor doesn't declare such a report.
    pub fn report_of(&self, kind: ReportType, bytes: &[u8]) -> Result<&Report, Undecodable> {
        let first = *bytes.first().ok_or(Undecodable::Empty)?;
        let id = if self.is_numbered(kind) { first } else { 0 };
        self.report(kind, id).ok_or(Undecodable::Undeclared { kind, id })
    }

    /// Decodes the bytes of a report.
    ///
    /// # Errors
    /// There are no bytes, or the descriptor doesn't declare such a report.
    pub fn decode(&self, kind: ReportType, bytes: &[u8]) -> Result<Decoded, Undecodable> {
        Ok(self.report_of(kind, bytes)?.decode(bytes))
    }

    /// Returns the collections around a field, outermost first.
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
    /// Splits any bytes into items and reports.
    pub fn of(bytes: &[u8]) -> Anatomy {
        let parser::Parsed { items, fault, reports, .. } = parser::parse(bytes);
        Anatomy { bytes: bytes.to_vec(), items, reports, fault }
    }
}
