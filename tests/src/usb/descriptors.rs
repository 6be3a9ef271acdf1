//! The descriptors of a USB device (USB 2.0, section 9.6; USB 3.0, section 9.6.7; HID 1.11, section 6.2.1).

use std::collections::BTreeMap;
use std::mem::size_of;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{Immutable, IntoBytes, Unaligned};

const DEVICE: u8 = 1;
/// The type of the descriptor that contains those of all interfaces.
pub const CONFIGURATION: u8 = 2;
/// The type of strings.
pub const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const BOS: u8 = 15;
const CAPABILITY: u8 = 16;
const HID: u8 = 0x21;
/// The type of report descriptors.
pub const REPORT: u8 = 0x22;
const COMPANION: u8 = 48;

const HID_CLASS: u8 = 3;
const INTERRUPT: u8 = 3;
/// The bit of an endpoint's address for the direction to the host.
pub const IN: u8 = 0x80;
/// US English, the language of all strings.
const ENGLISH: u16 = 0x0409;
/// The only configuration.
pub const THE_CONFIGURATION: u8 = 1;

/// The index of the string with the manufacturer's name.
pub const MANUFACTURER: u8 = 1;
/// The index of the string with the device's name.
pub const PRODUCT: u8 = 2;
/// The index of the string with its serial number.
pub const SERIAL: u8 = 3;

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct DeviceDescriptor {
    length: u8,
    kind: u8,
    usb: U16,
    class: u8,
    subclass: u8,
    protocol: u8,
    max_packet: u8,
    vendor: U16,
    product: U16,
    version: U16,
    manufacturer: u8,
    product_name: u8,
    serial: u8,
    configurations: u8,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct ConfigurationDescriptor {
    length: u8,
    kind: u8,
    total: U16,
    interfaces: u8,
    value: u8,
    name: u8,
    attributes: u8,
    power: u8,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct InterfaceDescriptor {
    length: u8,
    kind: u8,
    number: u8,
    alternate: u8,
    endpoints: u8,
    class: u8,
    subclass: u8,
    protocol: u8,
    name: u8,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct HidDescriptor {
    length: u8,
    kind: u8,
    version: U16,
    country: u8,
    descriptors: u8,
    report: u8,
    report_length: U16,
}

#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct EndpointDescriptor {
    length: u8,
    kind: u8,
    address: u8,
    attributes: u8,
    max_packet: U16,
    interval: u8,
}

/// The descriptor that follows each endpoint of a SuperSpeed device.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct CompanionDescriptor {
    length: u8,
    kind: u8,
    burst: u8,
    attributes: u8,
    interval: U16,
}

/// The capabilities of a SuperSpeed device. It has one capability, that of SuperSpeed devices.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct BosDescriptor {
    length: u8,
    kind: u8,
    total: U16,
    capabilities: u8,
    capability_length: u8,
    capability_kind: u8,
    capability: u8,
    attributes: u8,
    speeds: U16,
    functionality: u8,
    u1_latency: u8,
    u2_latency: U16,
}

const _: () = {
    assert!(size_of::<DeviceDescriptor>() == 18);
    assert!(size_of::<ConfigurationDescriptor>() == 9);
    assert!(size_of::<InterfaceDescriptor>() == 9);
    assert!(size_of::<HidDescriptor>() == 9);
    assert!(size_of::<EndpointDescriptor>() == 7);
    assert!(size_of::<CompanionDescriptor>() == 6);
    assert!(size_of::<BosDescriptor>() == 15);
};

/// The speed of a device. A port is either for devices of USB 2 or for those of USB 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// 480 Mbit/s.
    #[default]
    High,
    /// 5 Gbit/s.
    Super,
}

impl Speed {
    /// Returns `enum usb_device_speed` (include/uapi/linux/usb/ch9.h).
    pub fn number(self) -> u8 {
        match self {
            Speed::High => 3,
            Speed::Super => 5,
        }
    }
}

/// A USB device.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// `bcdDevice`.
    pub version: u16,
    /// Its speed.
    pub speed: Speed,
    /// Whether it can wake the machine up. Without that, the kernel lets no device sleep that is in use.
    pub wakes: bool,
    /// Its string descriptors, without their first two bytes.
    ///
    /// It has a manufacturer, a name and a serial number if there are strings of these indices.
    pub strings: BTreeMap<u8, Vec<u8>>,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceSpec>,
}

/// A HID interface of a USB device.
#[derive(Clone, Debug, Default)]
pub struct InterfaceSpec {
    /// `bInterfaceNumber`.
    pub number: u8,
    /// `bInterfaceSubClass`: 1 for a keyboard or mouse that a BIOS supports.
    pub subclass: u8,
    /// `bInterfaceProtocol`: with that subclass, 1 for a keyboard and 2 for a mouse.
    pub protocol: u8,
    /// The report descriptor.
    pub descriptor: Vec<u8>,
    /// The size that the HID descriptor declares, if it is different.
    pub declared_size: Option<u16>,
    /// Whether it has an endpoint for output reports. Without one they are sent with SET_REPORT.
    pub takes_output: bool,
    /// Its answers to requests for feature reports, by the report's id. An answer begins with the id if that is not 0.
    pub features: BTreeMap<u8, Vec<u8>>,
}

/// Encodes text for string descriptors.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Spec {
    /// Returns the same device with this string.
    #[must_use]
    pub fn with_string(mut self, index: u8, text: &str) -> Spec {
        self.strings.insert(index, utf16(text));
        self
    }

    /// Returns a descriptor of the device, by its type and index, or `None` if it has no such descriptor.
    pub fn descriptor(&self, kind: u8, index: u8) -> Option<Vec<u8>> {
        match kind {
            DEVICE => Some(self.device().as_bytes().to_vec()),
            CONFIGURATION if index == 0 => Some(self.configuration()),
            STRING if index == 0 => Some(string(&ENGLISH.to_le_bytes())),
            STRING => self.strings.get(&index).map(|content| string(content)),
            BOS if self.speed == Speed::Super => Some(BOS_OF_SUPER_SPEED.as_bytes().to_vec()),
            _ => None,
        }
    }

    /// Returns a descriptor of an interface, by its type.
    pub fn interface_descriptor(&self, number: u8, kind: u8) -> Option<Vec<u8>> {
        let interface = self.interface(number)?;
        match kind {
            HID => Some(interface.hid().as_bytes().to_vec()),
            REPORT => Some(interface.descriptor.clone()),
            _ => None,
        }
    }

    /// Returns the interface with this number.
    pub fn interface(&self, number: u8) -> Option<&InterfaceSpec> {
        self.interfaces.iter().find(|interface| interface.number == number)
    }

    /// Returns the interface that has this endpoint. The first interface has endpoint 1, and so on.
    pub fn interface_at(&self, endpoint: u8) -> Option<u8> {
        let place = usize::from(endpoint).checked_sub(1)?;
        self.interfaces.get(place).map(|interface| interface.number)
    }

    /// Returns the number that the endpoints of an interface share.
    pub fn endpoint(&self, number: u8) -> Option<u8> {
        let place = self.interfaces.iter().position(|interface| interface.number == number)?;
        u8::try_from(place + 1).ok()
    }

    fn device(&self) -> DeviceDescriptor {
        let (usb, max_packet) = match self.speed {
            Speed::High => (0x0200, 64),
            // The value is an exponent.
            Speed::Super => (0x0300, 9),
        };
        let string = |index| if self.strings.contains_key(&index) { index } else { 0 };
        DeviceDescriptor {
            length: 18,
            kind: DEVICE,
            usb: U16::new(usb),
            class: 0,
            subclass: 0,
            protocol: 0,
            max_packet,
            vendor: U16::new(self.vendor),
            product: U16::new(self.product),
            version: U16::new(self.version),
            manufacturer: string(MANUFACTURER),
            product_name: string(PRODUCT),
            serial: string(SERIAL),
            configurations: 1,
        }
    }

    fn configuration(&self) -> Vec<u8> {
        const POWERED_BY_BUS: u8 = 0x80;
        const REMOTE_WAKEUP: u8 = 0x20;
        let interfaces: Vec<u8> =
            (1..).zip(&self.interfaces).flat_map(|(endpoint, interface)| interface.all(endpoint, self.speed)).collect();
        let length = size_of::<ConfigurationDescriptor>();
        let configuration = ConfigurationDescriptor {
            length: 9,
            kind: CONFIGURATION,
            total: U16::new(u16::try_from(length + interfaces.len()).unwrap_or(u16::MAX)),
            interfaces: u8::try_from(self.interfaces.len()).unwrap_or(u8::MAX),
            value: THE_CONFIGURATION,
            name: 0,
            attributes: POWERED_BY_BUS | if self.wakes { REMOTE_WAKEUP } else { 0 },
            power: 50,
        };
        [configuration.as_bytes(), &interfaces].concat()
    }
}

impl InterfaceSpec {
    /// Returns the interface's own descriptor and those that belong to it.
    fn all(&self, endpoint: u8, speed: Speed) -> Vec<u8> {
        let addresses: &[u8] = if self.takes_output { &[endpoint | IN, endpoint] } else { &[endpoint | IN] };
        let own = InterfaceDescriptor {
            length: 9,
            kind: INTERFACE,
            number: self.number,
            alternate: 0,
            endpoints: u8::try_from(addresses.len()).unwrap_or(u8::MAX),
            class: HID_CLASS,
            subclass: self.subclass,
            protocol: self.protocol,
            name: 0,
        };
        let endpoints = addresses.iter().flat_map(|address| endpoint_descriptors(*address, speed));
        own.as_bytes().iter().copied().chain(self.hid().as_bytes().iter().copied()).chain(endpoints).collect()
    }

    fn hid(&self) -> HidDescriptor {
        let own = u16::try_from(self.descriptor.len()).unwrap_or(u16::MAX);
        HidDescriptor {
            length: 9,
            kind: HID,
            version: U16::new(0x0111),
            country: 0,
            descriptors: 1,
            report: REPORT,
            report_length: U16::new(self.declared_size.unwrap_or(own)),
        }
    }
}

/// Returns an endpoint for interrupt transfers, polled each millisecond.
fn endpoint_descriptors(address: u8, speed: Speed) -> Vec<u8> {
    /// The most bytes of an interrupt transfer in one packet.
    const MAX_PACKET: u16 = 1024;
    let endpoint = EndpointDescriptor {
        length: 7,
        kind: ENDPOINT,
        address,
        attributes: INTERRUPT,
        max_packet: U16::new(MAX_PACKET),
        interval: 4,
    };
    let companion =
        CompanionDescriptor { length: 6, kind: COMPANION, burst: 0, attributes: 0, interval: U16::new(MAX_PACKET) };
    match speed {
        Speed::High => endpoint.as_bytes().to_vec(),
        Speed::Super => [endpoint.as_bytes(), companion.as_bytes()].concat(),
    }
}

const BOS_OF_SUPER_SPEED: BosDescriptor = BosDescriptor {
    length: 5,
    kind: BOS,
    total: U16::new(15),
    capabilities: 1,
    capability_length: 10,
    capability_kind: CAPABILITY,
    capability: 3,
    attributes: 0,
    speeds: U16::new(1 << 3),
    functionality: 3,
    u1_latency: 0,
    u2_latency: U16::ZERO,
};

fn string(content: &[u8]) -> Vec<u8> {
    const HEADER: usize = 2;
    [&[u8::try_from(HEADER + content.len()).unwrap_or(u8::MAX), STRING], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tablet() -> Spec {
        let interface = |number, size, takes_output| InterfaceSpec {
            number,
            descriptor: vec![0; size],
            takes_output,
            ..InterfaceSpec::default()
        };
        Spec { vendor: 0x256c, interfaces: vec![interface(0, 18, false), interface(2, 65, true)], ..Spec::default() }
            .with_string(PRODUCT, "Täblet")
    }

    #[test]
    fn a_configuration_is_as_long_as_it_says() {
        for (speed, length) in [(Speed::High, 9 + 2 * (9 + 9) + 3 * 7), (Speed::Super, 9 + 2 * (9 + 9) + 3 * (7 + 6))] {
            let configuration = Spec { speed, ..tablet() }.descriptor(CONFIGURATION, 0).unwrap();
            assert_eq!((configuration.len(), usize::from(configuration[2])), (length, length));
            assert_eq!((configuration[4], configuration[7]), (2, 0x80));
            let mut rest = &configuration[..];
            while let [length, _, ..] = rest {
                rest = &rest[usize::from(*length)..];
            }
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn strings_are_there_or_not() {
        let spec = tablet();
        assert_eq!(spec.descriptor(STRING, 0).unwrap(), [4, 3, 9, 4]);
        assert_eq!(spec.descriptor(STRING, PRODUCT).unwrap()[..6], [14, 3, b'T', 0, 0xe4, 0]);
        assert_eq!(spec.descriptor(STRING, SERIAL), None);
        assert_eq!(spec.descriptor(DEVICE, 0).unwrap()[14..17], [0, PRODUCT, 0]);
    }

    #[test]
    fn interfaces_are_known_by_number_and_by_endpoint() {
        let spec = tablet();
        assert_eq!((spec.endpoint(2), spec.interface_at(2), spec.interface_at(0)), (Some(2), Some(2), None));
        assert_eq!(spec.interface_descriptor(2, REPORT).unwrap().len(), 65);
        assert_eq!(spec.interface_descriptor(2, HID).unwrap()[7..], [65, 0]);
        assert_eq!(spec.interface_descriptor(1, REPORT), None);
    }
}
