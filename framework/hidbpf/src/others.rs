//! BPF programs on HID devices that are not hidbpf's: other tools' and people's own.
//!
//! The kernel tells of the links of struct_ops maps, and a map's value has the device's id. Of the programs of kernels up to 6.10 it
//! tells only that they are there, and not for which device.

use std::collections::BTreeSet;

use hid_bpf_src::ResolvedOps;
use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle};
use serde::Serialize;

use crate::error::Result;
use crate::ids::HidName;
use crate::pins;
use crate::running;
use crate::system::System;

/// A struct_ops map that is attached to a device, and that hidbpf has not attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Other {
    /// The map's name, as its author gave it; the kernel keeps 15 bytes of it.
    pub name: String,
    /// The map's id, as `bpftool map show id` takes it.
    pub map_id: u32,
    /// The link's id, as `bpftool link show id` takes it.
    pub link_id: u32,
}

/// What others have attached to a device; nothing on a kernel without struct_ops for HID.
///
/// # Errors
/// The kernel's BTF or our pins can't be read, or this process may not ask for BPF objects by their ids.
pub fn on_device(system: &System, device: &HidName) -> Result<Vec<Other>> {
    let mut own = BTreeSet::new();
    for pinned in pins::of_device(system, device)? {
        let directory = system.driver_pins(device, &pinned.driver);
        // What is no link is a map of the driver's.
        let links = pinned.links.iter().filter_map(|name| Link::open(directory.join(name)).ok());
        own.extend(links.filter_map(|link| Some(link.info().ok()?.id)));
    }
    let maps = LinkInfoIter::default().filter(|link| !own.contains(&link.id)).filter_map(|link| match link.info {
        LinkTypeInfo::StructOps(info) => Some((link.id, info.map_id)),
        _ => None,
    });
    let maps: Vec<(u32, u32)> = maps.collect();
    // The kernel's BTF takes a while to read.
    let ops = if maps.is_empty() { None } else { running::ops(system)? };
    let Some(ops) = ops else { return Ok(Vec::new()) };
    let mut others = Vec::new();
    for (link_id, map_id) in maps {
        // It may go between the two questions.
        let Ok(map) = MapHandle::from_map_id(map_id) else { continue };
        if device_of(&ops, &map) == Some(device.id().0) {
            others.push(Other { name: map.name().to_string_lossy().into_owned(), map_id, link_id });
        }
    }
    Ok(others)
}

/// The id of the device that a map of `struct hid_bpf_ops` is for; `None` for a map of another kind.
fn device_of(ops: &ResolvedOps, map: &MapHandle) -> Option<u32> {
    if map.info().ok()?.info.btf_vmlinux_value_type_id != ops.value_type {
        return None;
    }
    let value = map.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok()??;
    let offset = ops.hid_id as usize;
    let bytes = value.get(offset..offset + size_of::<u32>())?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
