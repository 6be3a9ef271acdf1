//! Cases on a USB bus, with the kernel's usbhid.

mod faulty;
mod host;
mod many;
mod mode_switch;
mod sleep;
mod special;
mod tablet;

use super::Case;

/// Returns all of them.
pub fn cases() -> Vec<Case> {
    [host::CASES, sleep::CASES, faulty::CASES, many::CASES, mode_switch::CASES, special::CASES].concat()
}
