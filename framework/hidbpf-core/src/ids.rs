//! The forms in which the kernel prints the numbers of a HID device.
//!
//! Sources: `hid_uevent()` and the device name format in `hid_add_device()` (drivers/hid/hid-core.c).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::Printable;

pub use hidbpf_descriptor::{Bus, Group, HidId, ProductId, VendorId};

/// The kernel's `MODALIAS` of a HID device: `hid:b0003g0001v000011C0p00005606`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Modalias {
    /// The bus.
    pub bus: Bus,
    /// The group.
    pub group: Group,
    /// The vendor.
    pub vendor: VendorId,
    /// The product.
    pub product: ProductId,
}

impl fmt::Display for Modalias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Modalias { bus, group, vendor, product } = self;
        write!(f, "hid:b{:04X}g{:04X}v{:08X}p{:08X}", bus.0, group.0, vendor.0, product.0)
    }
}

impl FromStr for Modalias {
    type Err = InvalidModalias;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidModalias(text.to_owned());
        let field = |rest: &'_ str, tag: char, digits: usize| -> Option<(u32, usize)> {
            let value = rest.strip_prefix(tag)?.get(..digits)?;
            // from_str_radix would accept a sign.
            if !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            Some((u32::from_str_radix(value, 16).ok()?, 1 + digits))
        };
        let rest = text.trim_end().strip_prefix("hid:").ok_or_else(invalid)?;
        let (bus, used) = field(rest, 'b', 4).ok_or_else(invalid)?;
        let rest = &rest[used..];
        let (group, used) = field(rest, 'g', 4).ok_or_else(invalid)?;
        let rest = &rest[used..];
        let (vendor, used) = field(rest, 'v', 8).ok_or_else(invalid)?;
        let rest = &rest[used..];
        let (product, used) = field(rest, 'p', 8).ok_or_else(invalid)?;
        if !rest[used..].is_empty() {
            return Err(invalid());
        }
        Ok(Modalias {
            bus: Bus(bus as u16),
            group: Group(group as u16),
            vendor: VendorId(vendor),
            product: ProductId(product),
        })
    }
}

/// The error for a text that is not a HID modalias.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a HID modalias (expected `hid:bBBBBgGGGGvVVVVVVVVpPPPPPPPP`)", Printable(.0))]
pub struct InvalidModalias(String);

/// The kernel's name of a HID device, `BBBB:VVVV:PPPP.NNNN`. NNNN is the number by which BPF programs are attached.
///
/// The kernel increments the number for each device, so a name is never reused in one boot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HidName {
    text: String,
    id: HidId,
}

impl HidName {
    /// Returns the name as in `/sys/bus/hid/devices`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the name of the HID device that a sysfs path belongs to.
    ///
    /// # Errors
    /// The path does not belong to a HID device.
    pub fn of_path(path: &Path) -> Result<HidName, NoHidDevice> {
        let name = path.ancestors().find_map(|path| path.file_name()?.to_str()?.parse().ok());
        name.ok_or_else(|| NoHidDevice(path.to_owned()))
    }

    /// Returns the device's number.
    pub fn id(&self) -> HidId {
        self.id
    }

    /// Returns bus, vendor and product, which are part of the name.
    pub fn ids(&self) -> (Bus, VendorId, ProductId) {
        let number = |range| u32::from_str_radix(&self.text[range], 16).unwrap_or(0);
        (Bus(number(0..4) as u16), VendorId(number(5..9)), ProductId(number(10..14)))
    }

    /// Returns the name as one component of a path in bpffs.
    ///
    /// Such a name must not contain a dot (kernel/bpf/inode.c, `bpf_lookup()`).
    pub fn pin_name(&self) -> String {
        self.text.chars().map(|c| if c == ':' || c == '.' { '_' } else { c }).collect()
    }

    /// Returns the name that [`HidName::pin_name`] was made from.
    pub fn from_pin_name(name: &str) -> Option<HidName> {
        let mut parts = name.split('_');
        let (bus, vendor, product, id) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        format!("{bus}:{vendor}:{product}.{id}").parse().ok()
    }
}

impl fmt::Display for HidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for HidName {
    type Err = InvalidHidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidHidName(text.to_owned());
        let digits =
            |part: &str, least: usize| part.len() >= least && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (ids, number) = text.split_once('.').ok_or_else(invalid)?;
        let mut parts = ids.split(':');
        let fits = (0..3).all(|_| parts.next().is_some_and(|part| part.len() == 4 && digits(part, 4)));
        if !fits || parts.next().is_some() || !digits(number, 4) {
            return Err(invalid());
        }
        let id = u32::from_str_radix(number, 16).map_err(|_| invalid())?;
        Ok(HidName { text: text.to_owned(), id: HidId(id) })
    }
}

impl Serialize for HidName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for HidName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The error for a sysfs path that is neither a HID device nor below one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a HID device", .0.display())]
pub struct NoHidDevice(PathBuf);

/// The error for a text that is not a HID device's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a name of a HID device (expected `BBBB:VVVV:PPPP.NNNN`, as in /sys/bus/hid/devices)", Printable(.0))]
pub struct InvalidHidName(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modalias_is_read_and_printed_as_the_kernel_does() {
        let text = "hid:b0003g0001v000011C0p00005606";
        let modalias: Modalias = text.parse().unwrap();
        assert_eq!(modalias.bus, Bus::USB);
        assert_eq!(modalias.group, Group::GENERIC);
        assert_eq!(modalias.vendor, VendorId(0x11c0));
        assert_eq!(modalias.product, ProductId(0x5606));
        assert_eq!(modalias.to_string(), text);
    }

    #[test]
    fn no_part_of_a_modalias_is_one() {
        let text = "hid:b0003g0001v000011C0p00005606";
        for end in 0..text.len() {
            assert!(text[..end].parse::<Modalias>().is_err(), "{}", &text[..end]);
        }
        for wrong in
            ["hid:b+003g0001v000011C0p00005606", "hid:b0003g0001v000011C0p0000560600", "usb:v11C0", "hid:b000éé"]
        {
            assert!(wrong.parse::<Modalias>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn hid_name_and_pin_name_are_each_others_inverse() {
        let name: HidName = "0005:03F0:464A.001F".parse().unwrap();
        assert_eq!(name.id(), HidId(0x1f));
        assert_eq!(name.ids(), (Bus::BLUETOOTH, VendorId(0x3f0), ProductId(0x464a)));
        assert_eq!(name.pin_name(), "0005_03F0_464A_001F");
        assert_eq!(HidName::from_pin_name(&name.pin_name()), Some(name));
        let late: HidName = "0003:11C0:5606.12345".parse().unwrap();
        assert_eq!(late.id(), HidId(0x12345));
        for wrong in [
            "",
            ".",
            "0003:11C0:5606",
            "0003:11C0.0001",
            "0003:11C0:5606.1",
            "../../etc/passwd",
            "0003:11C0:5606.+001",
            "0003:11C0:5606:0000.0001",
        ] {
            assert!(wrong.parse::<HidName>().is_err(), "{wrong}");
        }
    }
}
