//! USB devices on the bench: plugging them in and out with udevd running, and finding the HID devices of their interfaces.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::bench::{Bench, Plugged, entries};
use super::cases::wait_until;
use crate::process::{Run, command};
use crate::sys::reset_usb;
use crate::uhid;
use crate::usb::{self, Behaviour, Device, Interface, InterfaceSpec, PRODUCT, SERIAL, Spec};

/// A HID device that is an interface of a USB device.
pub type UsbInterface = Plugged<Interface>;

/// A USB device that is plugged in.
#[derive(Debug)]
pub struct UsbPlugged {
    /// The device's end of the wire.
    pub device: Device,
    /// The HID devices of its interfaces, in the order of their numbers. An interface that the kernel has refused has none.
    pub interfaces: Vec<UsbInterface>,
}

impl UsbPlugged {
    /// Returns the HID device of an interface.
    ///
    /// # Errors
    /// The kernel has made none.
    pub fn interface(&self, number: u8) -> Result<&UsbInterface> {
        let found = self.interfaces.iter().find(|interface| interface.device.number() == number);
        found.with_context(|| format!("there is no HID device of interface {number} of `{}`", self.path().display()))
    }

    /// Returns the HID device of its only interface.
    ///
    /// # Errors
    /// The kernel has made none, or more than one.
    pub fn only(&self) -> Result<&UsbInterface> {
        let [interface] = &self.interfaces[..] else {
            anyhow::bail!("expected one HID device, found {}", self.interfaces.len())
        };
        Ok(interface)
    }

    /// Returns the device's directory in sysfs.
    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// Finds the HID devices again. A new configuration or authorization replaces them.
    ///
    /// # Errors
    /// sysfs can't be read.
    pub fn look(&mut self) -> Result<()> {
        self.interfaces = hid_devices(&self.device)?;
        Ok(())
    }

    /// Writes an attribute of the device.
    ///
    /// # Errors
    /// The device has no such attribute, or refuses.
    pub fn set(&self, attribute: &str, value: &str) -> Result<()> {
        let path = self.path().join(attribute);
        fs::write(&path, value).with_context(|| format!("failed to write `{value}` to `{}`", path.display()))
    }

    /// Reads an attribute of the device.
    ///
    /// # Errors
    /// The device has no such attribute.
    pub fn get(&self, attribute: &str) -> Result<String> {
        let path = self.path().join(attribute);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

/// Returns the HID devices of a USB device's interfaces.
fn hid_devices(device: &Device) -> Result<Vec<UsbInterface>> {
    let mut found = Vec::new();
    for number in device.numbers() {
        let is_hid = |path: &PathBuf| path.join("report_descriptor").exists();
        for syspath in entries(&device.interface_path(number))?.into_iter().filter(is_hid) {
            found.push(Plugged { device: device.interface(number), syspath });
        }
    }
    Ok(found)
}

/// Resets the USB device at this directory in sysfs, as programs do.
///
/// # Errors
/// The kernel can't reset it.
pub fn reset(device: &Path) -> Result<()> {
    let number = |attribute: &str| -> Result<u32> {
        let path = device.join(attribute);
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        text.trim().parse().with_context(|| format!("`{}` is `{text}`", path.display()))
    };
    let node = format!("/dev/bus/usb/{:03}/{:03}", number("busnum")?, number("devnum")?);
    let file = File::options().write(true).open(&node).with_context(|| format!("failed to open `{node}`"))?;
    reset_usb(&file).with_context(|| format!("failed to reset `{}`", device.display()))
}

/// Converts a device of another bus to a USB device. The number of its interface is the end of its physical path.
pub fn spec_of(other: &uhid::Spec) -> Spec {
    let number = other.phys.rsplit_once("/input").and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
    let interface = InterfaceSpec { number, descriptor: other.descriptor.clone(), ..InterfaceSpec::default() };
    let ids = (u16::try_from(other.vendor), u16::try_from(other.product));
    let (vendor, product) = (ids.0.unwrap_or(u16::MAX), ids.1.unwrap_or(u16::MAX));
    Spec { vendor, product, interfaces: vec![interface], ..Spec::default() }.with_string(PRODUCT, &other.name)
}

impl Bench {
    /// Provides a bus for virtual USB devices.
    ///
    /// # Errors
    /// The kernel has none.
    pub fn usb_bus(&mut self) -> Result<()> {
        if !usb::is_there() {
            Run::of(command("modprobe").arg("vhci-hcd"))?.expect(0)?;
            ensure!(usb::is_there(), "this kernel has no vhci-hcd");
            self.settle()?;
        }
        Ok(())
    }

    /// Plugs in a USB device and returns when udevd has handled it and all events that follow.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn plug_usb(&mut self, spec: &Spec) -> Result<UsbPlugged> {
        self.plug_usb_with(spec, &[], usb::usual())
    }

    /// Plugs in a USB device with additional udev properties on its interfaces and its own behaviour.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn plug_usb_with(
        &mut self,
        spec: &Spec,
        properties: &[(&str, &str)],
        behaviour: Box<Behaviour>,
    ) -> Result<UsbPlugged> {
        self.usb_bus()?;
        self.udev.forget();
        let device = self.plug_usb_unwatched(spec, properties, behaviour)?;
        self.finish_usb(device)
    }

    /// Plugs in a USB device and returns at once, while the kernel examines it.
    ///
    /// # Errors
    /// The kernel has no port for it.
    pub fn plug_usb_unwatched(
        &mut self,
        spec: &Spec,
        properties: &[(&str, &str)],
        behaviour: Box<Behaviour>,
    ) -> Result<Device> {
        let serial = self.next_serial(properties)?;
        Device::plug(spec.clone().with_string(SERIAL, &serial), behaviour)
            .with_context(|| format!("failed to plug in {:04x}:{:04x}", spec.vendor, spec.product))
    }

    /// Waits for a device that was plugged in since [`Bench::usb_bus`] or [`crate::monitor::Monitor::forget`].
    ///
    /// The kernel binds a driver to the device itself when it has handled its interfaces.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn finish_usb(&mut self, device: Device) -> Result<UsbPlugged> {
        let path = device.path().to_owned();
        let what = format!("udev event for the USB device `{}`", path.display());
        self.udev.wait_for(&what, |event| event.action == "bind" && event.syspath == path)?;
        self.settle()?;
        let interfaces = hid_devices(&device)?;
        Ok(UsbPlugged { device, interfaces })
    }

    /// The same while udevd is held: waits only for the kernel.
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub fn finish_usb_unseen(&mut self, device: Device) -> Result<UsbPlugged> {
        let path = device.path().to_owned();
        let what = format!("kernel event for the USB device `{}`", path.display());
        self.kernel.wait_for(&what, |event| event.action == "bind" && event.syspath == path)?;
        let interfaces = hid_devices(&device)?;
        Ok(UsbPlugged { device, interfaces })
    }

    /// Unplugs a USB device and returns when udevd has handled that.
    ///
    /// # Errors
    /// The kernel does not release it, or udevd hangs.
    pub fn unplug_usb(&mut self, plugged: UsbPlugged) -> Result<()> {
        plugged.device.unplug().context("failed to unplug a virtual USB device")?;
        self.set_generic_only(false)?;
        self.settle()
    }

    /// Waits until a USB device sleeps or is awake.
    ///
    /// # Errors
    /// It does not get there.
    pub fn wait_for_sleep(&mut self, plugged: &UsbPlugged, state: &str) -> Result<()> {
        wait_until(|| plugged.get("power/runtime_status").is_ok_and(|now| now == state))
            .with_context(|| format!("`{}` is not {state}", plugged.path().display()))?;
        self.settle()
    }
}
