//! The behaviour of a virtual device that does not depend on its bus.

use std::io;

use hidbpf::recording::Asked;

use crate::{uhid, usb};

/// Sends reports of a HID device, and records the requests that the device received.
pub trait Transport {
    /// Whether the kernel has room only for the declared bytes of a report, and loses a longer one.
    const BOUNDED: bool;

    /// Sends an input report, with its id first if the device numbers its reports.
    ///
    /// The kernel has delivered it to every open event node and hidraw node when this returns.
    ///
    /// # Errors
    /// The kernel does not accept it, or the device is gone.
    fn send(&self, report: &[u8]) -> io::Result<()>;

    /// Returns the requests that the device received so far, oldest first.
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
