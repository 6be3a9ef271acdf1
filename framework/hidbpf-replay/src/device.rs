//! The device that a driver runs on.

use hidbpf_descriptor::recording;
use hidbpf_descriptor::{Bus, Group, HidId, ProductId, VendorId};

/// The device that a driver runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayDevice {
    /// Its number.
    pub id: HidId,
    /// Its bus.
    pub bus: Bus,
    /// Its group. A recording doesn't contain it. The default is [`Group::GENERIC`].
    pub group: Group,
    /// Its vendor.
    pub vendor: VendorId,
    /// Its product.
    pub product: ProductId,
    /// Its name.
    pub name: String,
    /// Its physical path.
    pub phys: String,
    /// Its serial number or address.
    pub uniq: String,
    /// Its original descriptor.
    pub descriptor: Vec<u8>,
}

impl ReplayDevice {
    /// Returns a USB device with only an original descriptor.
    pub fn of_descriptor(descriptor: Vec<u8>) -> ReplayDevice {
        ReplayDevice {
            id: HidId(1),
            bus: Bus::USB,
            group: Group::GENERIC,
            vendor: VendorId(0),
            product: ProductId(0),
            name: String::new(),
            phys: String::new(),
            uniq: String::new(),
            descriptor,
        }
    }
}

impl From<&recording::RecordedDevice> for ReplayDevice {
    fn from(device: &recording::RecordedDevice) -> ReplayDevice {
        ReplayDevice {
            id: HidId(1),
            bus: device.bus,
            group: Group::GENERIC,
            vendor: device.vendor,
            product: device.product,
            name: device.name.clone(),
            phys: device.phys.clone(),
            uniq: String::new(),
            descriptor: device.descriptor.clone(),
        }
    }
}
