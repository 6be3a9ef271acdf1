//! Removes from reports and texts what their owner does not want to publish: the keys that were typed, and serial numbers.
//!
//! ```
//! use hidbpf_descriptor::privacy::{HiddenKeys, HiddenSerials};
//!
//! // A keyboard: eight modifiers, a reserved byte and six keys.
//! let keyboard = [
//!     0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08,
//!     0x81, 0x02, 0x75, 0x08, 0x95, 0x01, 0x81, 0x03, 0x19, 0x00, 0x29, 0x65, 0x25, 0x65, 0x95, 0x06, 0x81, 0x00, 0xc0,
//! ];
//! let mut report = [0x02, 0, 0x0b, 0x08, 0, 0, 0, 0];
//! HiddenKeys::of(&[&keyboard]).unwrap().hide(&keyboard, &mut report);
//! assert_eq!(report, [0; 8]);
//!
//! let hidden = HiddenSerials::new(&["SN-4711"]);
//! assert_eq!(hidden.hide("Pad SN-4711 at 00:1f:20:aa:bb:cc"), "Pad (hidden) at (hidden)");
//! ```

mod keys;
mod serials;

pub use keys::HiddenKeys;
pub use serials::{HIDDEN, HiddenSerials};
