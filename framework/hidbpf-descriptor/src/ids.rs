//! The numbers by which Linux identifies HID devices.
//!
//! Each number has its own type, so that a vendor can't be confused with a product. Source: `struct hid_device_id`
//! (include/linux/mod_devicetable.h).

use std::fmt;

use serde::{Deserialize, Serialize};

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

/// The number that the kernel assigned to a HID device: `id` of `struct hid_device` (include/linux/hid.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HidId(pub u32);

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

    /// Returns the bus with this name in manifests.
    pub fn named(name: &str) -> Option<Bus> {
        Bus::NAMES.iter().find(|(known, _)| *known == name).map(|(_, bus)| *bus)
    }

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
