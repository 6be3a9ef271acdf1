//! Sources of a device's original descriptor.
//!
//! Match rules and fields refer to the original descriptor, which the device sent. sysfs shows the current descriptor,
//! which is the same for most devices. They differ if a descriptor hook or the kernel driver changed it
//! (`KERNEL_DRIVERS`). sysfs shows nothing if the kernel refused the descriptor or no kernel driver is bound.
//!
//! In these cases a syscall program reads the original descriptor ([`Loader::descriptor`]). That costs loading one more
//! program, so it happens only if a match rule depends on it. It does not affect the device, so nothing has to be
//! undone.

use hidbpf_descriptor::invalid;

use crate::attach::pins::Pinned;
use crate::device::Device;
use crate::device::exclusion;
use crate::driver::matching::{Lack, Verdict};
use crate::driver::object::DriverObject;
use crate::driver::versions;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::{HidName, Modalias};
use crate::kernel::Generation;
use crate::load::loader::{Loader, StoredDescriptor};
use crate::state::DeviceState;
use crate::system::System;

/// Kernel drivers that use a descriptor unchanged, each with the devices for which it does not.
///
/// From the sources of Linux 6.3 to 7.3 (drivers/hid): hid-generic and wacom have no `report_fixup()`. That of
/// hid-multitouch acts on the ids below (`mt_report_fixup()`).
///
/// Some 50 other kernel drivers have one. The kernel drivers without one are not worth listing. Few devices that a
/// hidbpf driver is for use them, and kernel drivers change from one kernel version to the next.
const KERNEL_DRIVERS: [(&str, &[(u32, u32)]); 3] =
    [("hid-generic", &[]), ("hid-multitouch", &[(0x27c6, 0x01e8), (0x27c6, 0x01e9), (0x17ef, 0x6161)]), ("wacom", &[])];

/// Returns whether this kernel driver uses the descriptor of a device with these ids unchanged.
pub fn takes_as_it_is(kernel_driver: &str, ids: &Modalias) -> bool {
    let known = KERNEL_DRIVERS.iter().find(|(name, _)| *name == kernel_driver);
    known.is_some_and(|(_, but)| !but.contains(&(ids.vendor.0, ids.product.0)))
}

impl Device {
    /// Returns whether the current descriptor is the one that the kernel driver was given.
    ///
    /// That is the fixed descriptor, or the original if nothing fixed it.
    pub fn is_taken_as_it_is(&self) -> bool {
        let takes = |driver: &String| takes_as_it_is(driver, &self.modalias);
        self.driver.as_ref().is_some_and(takes) && !self.current.is_empty()
    }

    /// Returns whether the original descriptor is known, and invalid for the kernel.
    pub fn has_invalid_original(&self) -> bool {
        self.original().is_some_and(|original| invalid::check(original).is_err())
    }

    /// Returns whether the kernel refuses the original descriptor, and no kernel driver can have repaired it.
    ///
    /// While a kernel driver fails to bind the device, sysfs shows it as bound (`really_probe()`, drivers/base/dd.c).
    pub fn is_refused(&self) -> bool {
        self.has_invalid_original() && self.driver.as_ref().is_none_or(|driver| takes_as_it_is(driver, &self.modalias))
    }

    /// Returns the device as it was before drivers were attached.
    ///
    /// It has its original ids, and its original descriptor if that is known without reading it from the kernel.
    /// `is_hooked` tells whether a descriptor hook may be attached to it.
    #[must_use]
    pub(crate) fn unfixed(mut self, state: Option<&DeviceState>, is_hooked: bool) -> Device {
        if let Some(state) = state {
            self.modalias = state.ids().unwrap_or(self.modalias);
            self = self.with_answers(state.answers());
        }
        match state.and_then(DeviceState::original) {
            // A device name is used once in a boot, so its original descriptor never changes.
            Some(original) => self.with_original(original),
            None if !is_hooked && self.is_taken_as_it_is() => {
                let original = self.current.clone();
                self.with_original(original)
            }
            None => self,
        }
    }

    /// Reads the original descriptor from the kernel, if it is not known.
    ///
    /// # Errors
    /// The device is gone, or this process or this kernel can't read it.
    pub(crate) fn read_original<L: Loader>(&mut self, loader: &L) -> Result<&[u8]> {
        if self.original.is_none() {
            let read = loader.descriptor(self.name.id(), StoredDescriptor::Original);
            self.original = read.map_err(|error| error.during(Step::Choose).on(&self.name))?;
        }
        let none = || Error::new(ErrorKind::Io, "the kernel does not keep the original descriptor").on(&self.name);
        self.original.as_deref().ok_or_else(none)
    }

    /// Matches a driver against the device, which must be as it was before drivers were attached.
    ///
    /// Reads the original descriptor from the kernel only if the result depends on it.
    ///
    /// # Errors
    /// As for [`Device::read_original`].
    pub(crate) fn judge<L: Loader>(
        &mut self,
        driver: &DriverObject,
        generation: Option<Generation>,
        loader: &L,
    ) -> Result<Verdict> {
        let (_, verdict) = versions::for_device(driver, generation, self);
        if !matches!(verdict, Verdict::Undecided { lacks: Lack::OriginalDescriptor, .. }) {
            return Ok(verdict);
        }
        self.read_original(loader)?;
        Ok(versions::for_device(driver, generation, self).1)
    }
}

/// Returns whether a descriptor hook may be attached to a device.
///
/// It can be one of hidbpf, whose pins are `pinned`, or one of udev-hid-bpf.
pub(crate) fn is_hooked(system: &System, device: &HidName, pinned: &[Pinned]) -> bool {
    !pinned.is_empty() || !exclusion::udev_hid_bpf(system, device).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(kernel_driver: &str, ids: &str, current: &[u8]) -> Device {
        let mut device = Device::example(ids.parse().unwrap(), "", "");
        device.driver = Some(kernel_driver.to_owned()).filter(|driver| !driver.is_empty());
        device.current = current.to_vec();
        device
    }

    const MOUSE: &str = "hid:b0003g0001v0000046Dp0000C077";

    #[test]
    fn sysfs_is_believed_of_kernel_drivers_that_change_nothing() {
        for (kernel_driver, ids, current, expected) in [
            ("hid-generic", MOUSE, &[5, 1][..], Some(&[5, 1][..])),
            ("hid-multitouch", "hid:b0018g0004v000027C6p00000D42", &[5, 1], Some(&[5, 1])),
            ("hid-multitouch", "hid:b0018g0004v000027C6p000001E8", &[5, 1], None),
            ("wacom", MOUSE, &[5, 1], Some(&[5, 1])),
            ("maltron", MOUSE, &[5, 1], None),
            ("uclogic", MOUSE, &[], None),
            ("hid-generic", MOUSE, &[], None),
            ("", MOUSE, &[], None),
        ] {
            let device = device(kernel_driver, ids, current);
            assert_eq!(device.clone().unfixed(None, false).original(), expected, "{kernel_driver} {ids}");
            assert_eq!(device.unfixed(None, true).original(), None, "{kernel_driver} {ids}, hooked");
        }
    }

    #[test]
    fn a_device_is_refused_by_its_original_descriptor() {
        const UNENDED: &[u8] = &[5, 1, 0xa1, 1];
        let refused = |kernel_driver: &str, original: Option<&[u8]>| {
            let mut device = device(kernel_driver, MOUSE, &[]);
            device.original = original.map(<[u8]>::to_vec);
            device.is_refused()
        };
        assert!(refused("", Some(UNENDED)));
        assert!(!refused("", Some(&[5, 1])) && !refused("", None) && !refused("kye", Some(UNENDED)));
        // The kernel driver that is about to fail.
        assert!(refused("hid-generic", Some(UNENDED)) && !refused("hid-generic", Some(&[5, 1])));
    }

    #[test]
    fn the_state_file_is_believed_whatever_sysfs_shows() {
        let known = device("hid-generic", MOUSE, &[5, 1]).with_original(vec![5, 9]);
        let mut state = DeviceState::new(&known);
        for hooked in [false, true] {
            for current in [&[][..], &[5, 1], &[5, 9]] {
                let device = device("hid-generic", MOUSE, current).unfixed(Some(&state), hooked);
                assert_eq!(device.original(), Some(&[5, 9][..]));
            }
        }
        // An unreadable descriptor counts as missing.
        state.set_original(&[]);
        assert_eq!(device("hid-generic", MOUSE, &[5, 1]).unfixed(Some(&state), false).original(), Some(&[5, 1][..]));
        assert_eq!(device("hid-generic", MOUSE, &[5, 1]).unfixed(Some(&state), true).original(), None);
    }
}
