//! What a virtual device does the same way whatever it is plugged into.

use std::io;

use hidbpf::recording::Asked;

use crate::{uhid, usb};

/// Sends reports of a HID device, and knows what the device was asked and told.
pub trait Transport {
    /// Whether the kernel has room for no more bytes of a report than the device declares, and loses what is longer.
    const BOUNDED: bool;

    /// Sends an input report, with its number first where the device numbers its reports.
    ///
    /// The kernel has delivered it to every open event node and hidraw node when this returns.
    ///
    /// # Errors
    /// The kernel does not take it, or the device is gone.
    fn send(&self, report: &[u8]) -> io::Result<()>;

    /// What the device was asked and told so far, oldest first.
    fn asked(&self) -> Vec<Asked>;
}

impl Transport for uhid::Device {
    const BOUNDED: bool = false;

    fn send(&self, report: &[u8]) -> io::Result<()> {
        self.send(report)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked()
    }
}

impl Transport for usb::Interface {
    const BOUNDED: bool = true;

    fn send(&self, report: &[u8]) -> io::Result<()> {
        self.send(report)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked()
    }
}
