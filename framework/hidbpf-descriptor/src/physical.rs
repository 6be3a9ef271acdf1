//! Physical devices: each interface of one is a HID device of its own.

use crate::ids::{Bus, ProductId, VendorId};

/// Returns a name of the physical device that a HID device is an interface of. Returns `None` if that is not known.
///
/// This is the part of the physical path (`HID_PHYS`) before `/input` and a number, or else the ids with the serial number
/// or address (`HID_UNIQ`).
///
/// ```
/// use hidbpf_descriptor::{Bus, ProductId, VendorId, physical_device};
///
/// let ids = (Bus::USB, VendorId(0x256c), ProductId(0x0066));
/// assert_eq!(physical_device("usb-0000:00:14.0-1/input2", "", ids).as_deref(), Some("usb-0000:00:14.0-1"));
/// assert_eq!(physical_device("", "A1", ids).as_deref(), Some("usb:256C:0066:A1"));
/// assert_eq!(physical_device("00:11:22:33:44:55", "", ids), None);
/// ```
pub fn physical_device(phys: &str, uniq: &str, (bus, vendor, product): (Bus, VendorId, ProductId)) -> Option<String> {
    if let Some((physical, number)) = phys.rsplit_once("/input")
        && !physical.is_empty()
        && !number.is_empty()
        && number.bytes().all(|digit| digit.is_ascii_digit())
    {
        return Some(physical.to_owned());
    }
    (!uniq.is_empty()).then(|| format!("{bus}:{vendor}:{product}:{uniq}"))
}
