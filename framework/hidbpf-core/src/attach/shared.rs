//! State that the drivers of one physical device's interfaces share: the section [`SHARED_DATA`] of their data.
//!
//! Each interface is a HID device of its own, with its own copy of a driver's variables. The map of this section is
//! pinned with the links. A driver that is attached to another interface gets that map in place of a new one. So the
//! state lasts as long as a driver is attached to one of the interfaces.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use hidbpf_prelink::section::SHARED_DATA;
use xxhash_rust::xxh3::xxh3_64;

use crate::attach::pins::{self, pin_name};
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::names::DriverName;
use crate::state::{ByteLock, DeviceState};
use crate::sys;
use crate::system::System;

/// The offset and the size, in bytes, of each shared variable.
pub(crate) type Layout = BTreeMap<String, (usize, usize)>;

/// The part of a physical device that is being looked at. Two of its interfaces wait for each other until one has pinned
/// the map.
#[derive(Debug)]
pub(crate) struct PhysicalLock(#[expect(dead_code, reason = "held until it is dropped")] ByteLock);

impl PhysicalLock {
    /// Waits for the lock of a device's physical device. Take the device's own lock first.
    ///
    /// # Errors
    /// As for [`crate::state::DeviceLock::take`].
    pub(crate) fn take(system: &System, physical: &str) -> Result<PhysicalLock> {
        // Beyond the bytes of the devices' numbers, and within a signed 64-bit offset.
        let at = 1 << 62 | xxh3_64(physical.as_bytes()) >> 2;
        ByteLock::take(system, at, &format_args!("the physical device `{physical}`")).map(PhysicalLock)
    }
}

/// Finds the map that a driver on another interface of the same physical device has.
///
/// # Errors
/// It has another layout, or can't be opened.
pub(crate) fn find(
    system: &System,
    device: &Device,
    physical: &str,
    driver: &DriverName,
    layout: &Layout,
) -> Result<Option<OwnedFd>> {
    for name in pins::devices(system)?.into_iter().filter(|name| *name != device.name) {
        // A device that has gone shares nothing any more.
        let Ok(other) = Device::open(system, &name) else { continue };
        if other.physical().as_deref() != Some(physical) {
            continue;
        }
        let Some(state) = DeviceState::read(system, &name) else { continue };
        for known in state.drivers.iter().filter(|known| !known.shared.is_empty()) {
            let path = system.driver_pins(&name, &known.driver).join(pin_name(SHARED_DATA));
            let map = match sys::open_pinned(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                map => map.map_err(|error| {
                    let what = format!("failed to open the shared state `{}`", path.display());
                    Error::permission_or(ErrorKind::Bpffs, what, error)
                })?,
            };
            if known.shared != *layout {
                let what = format!(
                    "the driver `{driver}` shares other variables than the driver `{}` on the device `{name}`",
                    known.driver
                );
                let hint = format!("`hidbpf unload {}` and attach both again, from one version", known.driver);
                return Err(Error::new(ErrorKind::Conflict, what).with_hint(hint).during(Step::Prepare));
            }
            return Ok(Some(map));
        }
    }
    Ok(None)
}
