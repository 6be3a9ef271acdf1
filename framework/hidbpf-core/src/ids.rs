//! The four numbers by which Linux identifies HID devices, and the forms in which the kernel prints them.
//!
//! Each number has its own type, so that a vendor can't be confused with a product. Sources: `struct hid_device_id`
//! (include/linux/mod_devicetable.h), `hid_uevent()` and the device name format in `hid_add_device()`
//! (drivers/hid/hid-core.c).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::Printable;

/// The bus that a HID device is connected to: `BUS_*` of include/uapi/linux/input.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bus(pub u16);

/// The group that the HID core assigned to the device: `HID_GROUP_*` of include/linux/hid.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub u16);

/// The vendor number, 16 bits on USB and Bluetooth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VendorId(pub u32);

/// The product number, 16 bits on USB and Bluetooth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductId(pub u32);

impl Bus {
    /// USB.
    pub const USB: Bus = Bus(0x03);
    /// Bluetooth, classic and low energy.
    pub const BLUETOOTH: Bus = Bus(0x05);
    /// A device made by a program, through uhid for example.
    pub const VIRTUAL: Bus = Bus(0x06);
    /// I2C, as in most laptops' touchpads.
    pub const I2C: Bus = Bus(0x18);

    const NAMES: [(&'static str, Bus); 4] =
        [("usb", Bus::USB), ("bluetooth", Bus::BLUETOOTH), ("virtual", Bus::VIRTUAL), ("i2c", Bus::I2C)];

    /// Returns its name in manifests. Most numbers have no name.
    pub fn name(self) -> Option<&'static str> {
        Bus::NAMES.iter().find(|(_, bus)| *bus == self).map(|(name, _)| *name)
    }
}

impl Group {
    /// No special handling. hid-generic binds it, unless a special kernel driver lists its ids.
    pub const GENERIC: Group = Group(0x01);
    /// Touch devices with contact identifiers. hid-multitouch binds them.
    pub const MULTITOUCH: Group = Group(0x02);
    /// Touch devices that follow the rules of Windows 8. hid-multitouch binds them.
    pub const MULTITOUCH_WIN_8: Group = Group(0x04);

    const NAMES: [(&'static str, Group); 3] =
        [("generic", Group::GENERIC), ("multitouch", Group::MULTITOUCH), ("multitouch-win-8", Group::MULTITOUCH_WIN_8)];

    /// Returns its name in manifests. Most numbers have no name.
    pub fn name(self) -> Option<&'static str> {
        Group::NAMES.iter().find(|(_, group)| *group == self).map(|(name, _)| *name)
    }
}

impl fmt::Display for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "bus {:#06x}", self.0),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "group {:#06x}", self.0),
        }
    }
}

impl fmt::Display for VendorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

/// Parses a name from `names`, or a number of at most `max`, as manifests write them.
struct NameOrNumber {
    what: &'static str,
    names: &'static [&'static str],
    max: u32,
}

impl serde::de::Visitor<'_> for NameOrNumber {
    type Value = Result<usize, u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}: ", self.what)?;
        for name in self.names {
            write!(f, "\"{name}\", ")?;
        }
        write!(f, "{}a number up to {:#x}", if self.names.is_empty() { "" } else { "or " }, self.max)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        self.names
            .iter()
            .position(|name| *name == text)
            .map(Ok)
            .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Self::Value, E> {
        match u32::try_from(number) {
            Ok(value) if value <= self.max => Ok(Err(value)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        match u32::try_from(number) {
            Ok(value) if value <= self.max => Ok(Err(value)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(number), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Bus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["usb", "bluetooth", "virtual", "i2c"];
        let visitor = NameOrNumber { what: "bus", names: NAMES, max: 0xffff };
        Ok(match deserializer.deserialize_any(visitor)? {
            Ok(index) => Bus::NAMES[index].1,
            Err(number) => Bus(number as u16),
        })
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["generic", "multitouch", "multitouch-win-8"];
        let visitor = NameOrNumber { what: "group", names: NAMES, max: 0xffff };
        Ok(match deserializer.deserialize_any(visitor)? {
            Ok(index) => Group::NAMES[index].1,
            Err(number) => Group(number as u16),
        })
    }
}

fn number<'de, D: serde::Deserializer<'de>>(what: &'static str, deserializer: D) -> Result<u32, D::Error> {
    let visitor = NameOrNumber { what, names: &[], max: u32::MAX };
    match deserializer.deserialize_any(visitor)? {
        Err(number) => Ok(number),
        Ok(_) => Err(serde::de::Error::custom(format!("{what} has no names"))),
    }
}

impl<'de> Deserialize<'de> for VendorId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number("vendor", deserializer).map(VendorId)
    }
}

impl<'de> Deserialize<'de> for ProductId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number("product", deserializer).map(ProductId)
    }
}

impl Serialize for Bus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Bus::NAMES.iter().find(|(_, bus)| bus == self) {
            Some((name, _)) => serializer.serialize_str(name),
            None => serializer.serialize_u16(self.0),
        }
    }
}

impl Serialize for Group {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Group::NAMES.iter().find(|(_, group)| group == self) {
            Some((name, _)) => serializer.serialize_str(name),
            None => serializer.serialize_u16(self.0),
        }
    }
}

impl Serialize for VendorId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl Serialize for ProductId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

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

/// The number that the kernel assigned to a HID device: `id` of `struct hid_device` (include/linux/hid.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HidId(pub u32);

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
