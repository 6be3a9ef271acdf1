//! HID report descriptors as Linux reads them, and recordings of HID devices.
//!
//! A HID device (a mouse, a keyboard, a tablet, a game controller) describes itself with a *report descriptor*: a list
//! of *items*, 1 to 5 bytes each, that declares which bits of its *reports* mean what (HID 1.11, section 6.2.2).
//!
//! | question | answer |
//! |---|---|
//! | Does the kernel accept these bytes? If not, where and why does it stop? | [`invalid::check`] |
//! | Which items are there? What do they mean, in words? | [`Anatomy`], [`Item`] |
//! | Which reports are there? Which field is where? | [`Descriptor`], [`Report`], [`Field`] |
//! | Where is the field with this usage? | [`WantedField`] |
//! | Which fields are there, for a BPF program of hidbpf? | [`field_table::bytes`] |
//! | How long is each report? | [`ReportLengths`] |
//! | Which HID devices are interfaces of one physical device? | [`physical_device`] |
//! | What does this report say? | [`Descriptor::decode`] |
//! | What differs between two descriptors or two reports? | [`items_difference`], [`reports_difference`], [`decoded_difference`] |
//! | What does a report look like, bit by bit? | [`picture`] |
//! | What did a device send? | [`recording`]: the text format of the program hid-recorder |
//! | How are typed keys and serial numbers kept out of what is published? | [`privacy`] |
//! | What is in a file from a bug report or forum: a hex dump, a C array, the output of a program? | [`posted::read`] |
//!
//! # Example
//!
//! ```
//! use hidbpf_descriptor::{Descriptor, ReportType, invalid};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mouse = [
//!     0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, // Usage Page (Generic Desktop), Usage (Mouse), Collection (Application)
//!     0x09, 0x30, 0x09, 0x31, // Usage (X), Usage (Y)
//!     0x15, 0x81, 0x25, 0x7f, // Logical Minimum (-127), Logical Maximum (127)
//!     0x75, 0x08, 0x95, 0x02, 0x81, 0x06, // Report Size (8), Report Count (2), Input (Data, Variable, Relative)
//!     0xc0, // End Collection
//! ];
//! let descriptor = Descriptor::parse(&mouse)?;
//! assert_eq!(descriptor.reports[0].heading(), "input report (Mouse), 2 bytes");
//! assert_eq!(descriptor.decode(ReportType::Input, &[5, 0xfe])?.to_string(), "X: 5, Y: -2");
//!
//! // The kernel refuses the same mouse without its End Collection.
//! let refused = invalid::check(&mouse[..mouse.len() - 1]).unwrap_err();
//! assert_eq!(refused.offset, 20);
//! assert_eq!(refused.reason, "the collection that begins at byte 4 is not ended");
//! # Ok(())
//! # }
//! ```
//!
//! # The kernel decides
//!
//! The specification leaves much open, and real devices violate the rest. So the reference is the kernel: the parser
//! refuses the descriptors that `hid_open_report()` (drivers/hid/hid-core.c) refuses, at the same item, and accepts all
//! others. It reads them as Linux 6.3 and later do. No bytes make it panic.
//!
//! # Features
//!
//! - `interpret` (default): everything except the check, hex, [`short_items`], [`report_size`], [`WantedField`] and
//!   [`field_table`]. It adds the names of the HID Usage Tables, from the crate `hut`. Without it, this crate is small.

mod field_place;
pub mod field_table;
mod hex;
mod ids;
#[cfg(feature = "interpret")]
mod interpret;
pub mod invalid;
mod main_items;
mod physical;
mod report_type;
mod short_item;
mod text;

pub use field_place::{FoundField, WantedField};
pub use hex::{Hex, HexBytes, InvalidHexBytes, hex_digits};
pub use ids::{Bus, Group, HidId, ProductId, VendorId};
pub use invalid::{InvalidDescriptor, MAX_DESCRIPTOR};
pub use main_items::report_size;
pub use physical::physical_device;
pub use report_type::ReportType;
pub use short_item::{ShortItem, short_items};
pub use text::Printable;

#[cfg(feature = "interpret")]
pub use interpret::*;
