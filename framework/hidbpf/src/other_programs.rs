//! Finds BPF programs on HID devices that hidbpf didn't attach: those of other tools, or of users.
//!
//! The kernel lists the links of struct_ops maps, and a map's value contains the device's ID. Up to Linux 6.10, the
//! kernel lists HID-BPF programs but not their devices.

use std::collections::BTreeSet;

use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle};
use serde::Serialize;

use crate::error::Result;
use crate::ids::HidName;
use crate::pins;
use crate::running::{self, ResolvedOps};
use crate::system::System;

/// A struct_ops map that is attached to a device, but not by hidbpf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Other {
    /// The map's name in its source. The kernel keeps 15 bytes of it.
    pub name: String,
    /// The map's ID, for `bpftool map show id`.
    pub map_id: u32,
    /// The link's ID, for `bpftool link show id`.
    pub link_id: u32,
}

/// Returns the maps of others on a device. Empty on a kernel without struct_ops for HID.
///
/// # Errors
/// The kernel's BTF or our pins can't be read, or this process may not open BPF objects by ID.
pub fn on_device(system: &System, device: &HidName) -> Result<Vec<Other>> {
    let mut own = BTreeSet::new();
    for pinned in pins::of_device(system, device)? {
        let directory = system.driver_pins(device, &pinned.driver);
        // Pins that are not links are the driver's maps.
        let links = pinned.links.iter().filter_map(|name| Link::open(directory.join(name)).ok());
        own.extend(links.filter_map(|link| Some(link.info().ok()?.id)));
    }
    let maps = LinkInfoIter::default().filter(|link| !own.contains(&link.id)).filter_map(|link| match link.info {
        LinkTypeInfo::StructOps(info) => Some((link.id, info.map_id)),
        _ => None,
    });
    let maps: Vec<(u32, u32)> = maps.collect();
    // Reading the kernel's BTF takes time, so only do it if necessary.
    let ops = if maps.is_empty() { None } else { running::ops(system)? };
    let Some(ops) = ops else { return Ok(Vec::new()) };
    let mut others = Vec::new();
    for (link_id, map_id) in maps {
        // The map may be gone by now.
        let Ok(map) = MapHandle::from_map_id(map_id) else { continue };
        if device_of(&ops, &map) == Some(device.id().0) {
            others.push(Other { name: map.name().to_string_lossy().into_owned(), map_id, link_id });
        }
    }
    Ok(others)
}

/// Returns the device ID in a map of `struct hid_bpf_ops`. `None` for other maps.
fn device_of(ops: &ResolvedOps, map: &MapHandle) -> Option<u32> {
    if map.info().ok()?.info.btf_vmlinux_value_type_id != ops.value_type {
        return None;
    }
    let value = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok()??;
    let offset = ops.hid_id as usize;
    let bytes = value.get(offset..offset + size_of::<u32>())?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
