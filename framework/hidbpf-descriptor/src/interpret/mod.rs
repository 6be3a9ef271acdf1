//! Reads report descriptors, the reports that they declare, and recordings, as the kernel does.
//!
//! Everything here needs the feature `interpret`.

mod decode;
mod descriptor;
pub mod diagnose;
mod diff;
mod item;
mod lengths;
pub mod packed;
mod parser;
pub mod posted;
pub mod privacy;
pub mod recording;
mod report;
mod svg;
mod unit;
mod usage;

pub use decode::{Choice, Content, Decoded, Undecodable, Value, extract};
pub use descriptor::{Anatomy, Descriptor};
pub use diff::{
    DiffKind, Difference, ReportDifference, decoded_difference, items_difference, reports_difference, rows_difference,
};
pub use item::{Class, CollectionKind, Flags, Item, ItemKind};
pub use lengths::ReportLengths;
pub use parser::Note;
pub use report::{Collection, Extent, Field, FieldKind, Part, Report, Row};
pub use svg::{picture, picture_of_difference};
pub use unit::{Scaled, Unit};
pub use usage::{Span, Usage, Usages, page_name};
