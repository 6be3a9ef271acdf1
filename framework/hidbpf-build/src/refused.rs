//! Recorded devices whose original or fixed descriptor the kernel refuses.

use std::fmt;

use hidbpf::descriptor::invalid::{self, InvalidDescriptor};
use hidbpf::recording::RecordedDevice;

/// A recorded device with a descriptor that the kernel refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The device's number in the recording.
    pub device: u32,
    /// Whether the driver's match rules match it.
    pub is_matched: bool,
    /// The fault for which the kernel refuses the original descriptor, if it does.
    pub original: Option<InvalidDescriptor>,
    /// The fault for which it refuses the fixed one, if it does.
    pub fixed: Option<InvalidDescriptor>,
}

impl Refused {
    /// Checks a recorded device before and after the driver. `None` if the kernel accepts both descriptors.
    pub(crate) fn of(device: &RecordedDevice, fixed: &RecordedDevice, is_matched: bool) -> Option<Refused> {
        let fault = |device: &RecordedDevice| invalid::check(&device.descriptor).err();
        let refused = Refused { device: device.number, is_matched, original: fault(device), fixed: fault(fixed) };
        (refused.original.is_some() || refused.fixed.is_some()).then_some(refused)
    }

    /// Returns whether the driver fails: it returns a descriptor that the kernel refuses, or doesn't repair a device
    /// that it matches.
    pub fn is_bad(&self) -> bool {
        self.fixed.is_some() && (self.is_matched || self.original.is_none())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |fault: &InvalidDescriptor| format!("at byte {}: {} ({})", fault.offset, fault.reason, fault.kernel);
        let others = if self.is_matched { "" } else { "; the match rules do not take the device" };
        write!(f, "device {}: ", self.device)?;
        match (&self.original, &self.fixed) {
            (Some(original), None) => {
                write!(f, "the kernel refuses the original descriptor {}, and accepts the fixed one", at(original))
            }
            (Some(original), Some(fixed)) if original == fixed => {
                write!(f, "the kernel refuses the original and the fixed descriptor {}{others}", at(fixed))
            }
            (Some(original), Some(fixed)) => write!(
                f,
                "the kernel refuses the original descriptor {}, and the fixed one {}{others}",
                at(original),
                at(fixed)
            ),
            (None, Some(fixed)) => {
                write!(f, "the kernel accepts the original descriptor, and refuses the fixed one {}", at(fixed))
            }
            (None, None) => write!(f, "the kernel accepts both descriptors"),
        }
    }
}
