//! A USB device as a mode switch sees it: its place on the bus, its node, and the HID devices of its interfaces.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hidbpf_descriptor::{ReportType, report_size};

use crate::device::Device;
use crate::device::sysfs;
use crate::ids::{HidName, ProductId, VendorId};
use crate::mode_switch::exchange::{Sent, Wire};
use crate::sys;
use crate::system::System;

/// A USB device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsbDevice {
    /// Its name in sysfs: `3-1.2`.
    pub(crate) name: String,
    /// Its directory in sysfs.
    pub(crate) path: PathBuf,
    /// The number of its bus.
    pub(crate) bus: u16,
    /// Its number on the bus. Each connection has another one.
    pub(crate) number: u16,
    /// `idVendor`.
    pub(crate) vendor: VendorId,
    /// `idProduct`.
    pub(crate) product: ProductId,
}

impl UsbDevice {
    /// Returns the USB device that a HID device is an interface of, or `None` if it is on another bus or gone.
    pub(crate) fn of(device: &Device) -> Option<UsbDevice> {
        device.interface?;
        UsbDevice::at(device.syspath.parent()?.parent()?)
    }

    /// Reads the USB device in a directory of sysfs.
    pub(crate) fn at(path: &Path) -> Option<UsbDevice> {
        let attribute = |name: &str| String::from_utf8(sysfs::read(&path.join(name)).ok()?).ok();
        let decimal = |name: &str| attribute(name)?.trim().parse::<u16>().ok();
        let hex = |name: &str| u32::from_str_radix(attribute(name)?.trim(), 16).ok();
        Some(UsbDevice {
            name: path.file_name()?.to_str()?.to_owned(),
            bus: decimal("busnum")?,
            number: decimal("devnum")?,
            vendor: VendorId(hex("idVendor")?),
            product: ProductId(hex("idProduct")?),
            path: path.to_owned(),
        })
    }

    /// Returns the kernel drivers that are bound to the HID devices of its interfaces.
    pub(crate) fn kernel_drivers(&self) -> Vec<String> {
        let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
        let is_interface = |name: &str| name.starts_with(&self.name) && name.contains(':');
        let interfaces = below(self.path.clone()).filter(|entry| entry.file_name().to_str().is_some_and(is_interface));
        let devices = interfaces.flat_map(|interface| below(interface.path()));
        let is_hid =
            |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.parse::<HidName>().is_ok());
        devices.filter(is_hid).filter_map(|device| sysfs::link(&device.path().join("driver")).ok()).collect()
    }

    /// Opens the device's node, which also wakes the device. `hid` is the HID device that reports are sent to.
    ///
    /// # Errors
    /// The node can't be opened, or belongs to another device by now.
    pub(crate) fn open(&self, system: &System, hid: &Device) -> io::Result<OpenDevice> {
        let path = system.root.join(format!("dev/bus/usb/{:03}/{:03}", self.bus, self.number));
        let mut node = File::options().read(true).write(true).open(path)?;
        let mut descriptor = [0; DEVICE_DESCRIPTOR_SIZE];
        node.read_exact(&mut descriptor)?;
        let ids =
            [u16::from_le_bytes([descriptor[8], descriptor[9]]), u16::from_le_bytes([descriptor[10], descriptor[11]])];
        if ids.map(u32::from) != [self.vendor.0, self.product.0] {
            // The device was unplugged, and another one has its number.
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        let hidraw = hid.syspath.join("hidraw");
        let (dev, descriptor) = (system.root.join("dev"), hid.original_or_current().to_vec());
        Ok(OpenDevice { node, vendor: self.vendor, hidraw, dev, descriptor })
    }
}

/// The size of a device descriptor, with which usbfs begins what can be read from a node (USB 2.0, table 9-8).
const DEVICE_DESCRIPTOR_SIZE: usize = 18;

/// A USB device whose node is open, and one of its HID devices.
#[derive(Debug)]
pub(crate) struct OpenDevice {
    node: File,
    vendor: VendorId,
    /// The directory in sysfs of the HID device's hidraw node.
    hidraw: PathBuf,
    /// `/dev`.
    dev: PathBuf,
    /// The HID device's original descriptor.
    descriptor: Vec<u8>,
}

impl OpenDevice {
    /// Resets the device, after which it is in the mode in which it starts.
    ///
    /// # Errors
    /// The device is gone, or does not come back.
    pub(crate) fn reset(&self) -> io::Result<()> {
        sys::usb_reset(self.node.as_fd())
    }

    /// Opens the hidraw node. The kernel makes it a moment after sysfs shows a kernel driver.
    fn hidraw(&self) -> io::Result<File> {
        const PATIENCE: Duration = Duration::from_secs(1);
        const PAUSE: Duration = Duration::from_millis(10);
        let started = Instant::now();
        loop {
            let node = fs::read_dir(&self.hidraw).and_then(|mut nodes| nodes.next().transpose());
            match node {
                Ok(Some(node)) => return File::options().read(true).write(true).open(self.dev.join(node.file_name())),
                _ if started.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                _ => return Err(io::Error::new(io::ErrorKind::NotFound, "the HID device has no hidraw node")),
            }
        }
    }
}

impl Wire for OpenDevice {
    fn vendor(&self) -> VendorId {
        self.vendor
    }

    fn string(&mut self, index: u8, timeout: Duration) -> io::Result<Vec<u8>> {
        /// The largest descriptor. Some devices refuse requests for another size.
        const MOST: usize = 255;
        let mut answer = vec![0; MOST];
        let size = sys::usb_string(self.node.as_fd(), index, timeout, &mut answer)?;
        answer.truncate(size);
        Ok(answer)
    }

    fn send(&mut self, kind: Sent, report: &[u8]) -> io::Result<()> {
        let id = report.first().copied().unwrap_or_default();
        let declared = match kind {
            Sent::Output => ReportType::Output,
            Sent::Feature => ReportType::Feature,
        };
        let Some(size) = report_size(&self.descriptor, declared, id).filter(|size| report.len() <= *size) else {
            let what = format!("its descriptor declares no such {kind:?} report {id}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        let mut padded = report.to_vec();
        padded.resize(size, 0);
        let mut hidraw = self.hidraw()?;
        match kind {
            Sent::Output => hidraw.write_all(&padded),
            Sent::Feature => sys::set_feature(hidraw.as_fd(), &padded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_device_is_described_by_sysfs_and_checked_by_its_node() {
        let root = tempfile::tempdir().unwrap();
        let usb = root.path().join("sys/devices/usb3/3-1");
        let hid = usb.join("3-1:1.2/0003:28BD:0928.0001");
        fs::create_dir_all(&hid).unwrap();
        fs::create_dir_all(usb.join("power/0003:28BD:0928.0002")).unwrap();
        assert_eq!(UsbDevice::at(&usb), None);
        for (name, value) in [("busnum", "3\n"), ("devnum", "7\n"), ("idVendor", "28bd\n"), ("idProduct", "0928\n")] {
            fs::write(usb.join(name), value).unwrap();
        }
        symlink("/sys/bus/hid/drivers/hid-generic", hid.join("driver")).unwrap();
        let device = UsbDevice::at(&usb).unwrap();
        assert_eq!((&*device.name, device.bus, device.number), ("3-1", 3, 7));
        assert_eq!((device.vendor, device.product), (VendorId(0x28bd), ProductId(0x0928)));
        assert_eq!(device.kernel_drivers(), ["hid-generic"]);

        let system = System { root: root.path().to_owned(), ..System::default() };
        let of_hid = Device::example("hid:b0003g0001v000028BDp00000928".parse().unwrap(), "", "");
        assert_eq!(device.open(&system, &of_hid).unwrap_err().kind(), io::ErrorKind::NotFound);
        let node = root.path().join("dev/bus/usb/003/007");
        fs::create_dir_all(node.parent().unwrap()).unwrap();
        let mut descriptor = [0; DEVICE_DESCRIPTOR_SIZE];
        descriptor[8..12].copy_from_slice(&[0xbd, 0x28, 0x28, 0x09]);
        fs::write(&node, descriptor).unwrap();
        assert_eq!(device.open(&system, &of_hid).unwrap().vendor(), VendorId(0x28bd));
        // Another device has the number by now.
        descriptor[8..10].copy_from_slice(&[0x6c, 0x25]);
        fs::write(&node, descriptor).unwrap();
        assert_eq!(device.open(&system, &of_hid).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }
}
