//! Foreign objects: those that are written for udev-hid-bpf or for the kernel tree (drivers/hid/bpf/progs).
//!
//! Such an object has a match table instead of a manifest ([`hidbpf_prelink::match_table`]). Its file name has its
//! name, and often a number before it. Objects with the same name are versions of one driver for different kernels, and
//! the number orders them: `0010-Huion__Dial-2.bpf.o` is newer than `0009-Huion__Dial-2.bpf.o`.

use std::collections::BTreeSet;

use hidbpf_prelink::btf::{self, Btf};
use hidbpf_prelink::driver::SETUP_PROGRAM;
use hidbpf_prelink::elf::Elf;
use hidbpf_prelink::hook::OPS;
use hidbpf_prelink::match_table::DeviceIds;
use hidbpf_prelink::struct_ops;
use object::{Object as _, ObjectSection as _};

use crate::ids::{Bus, Group, ProductId, VendorId};
use crate::manifest::keymap::Keymap;
use crate::manifest::order::Order;
use crate::manifest::{Declared, Kind, Manifest, Match, Status};
use crate::names::{FIRST_STEP_SUFFIX, ForeignName};

/// The origin of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Built by hidbpf, with a manifest.
    #[default]
    Hidbpf,
    /// A foreign object.
    Foreign {
        /// The number at the start of its file name, or 0. Of two objects with the same name, the higher is newer.
        number: u32,
    },
}

impl Origin {
    /// Returns whether the object is a foreign one.
    pub fn is_foreign(self) -> bool {
        self != Origin::Hidbpf
    }
}

/// Returns a manifest with all that a foreign object says of itself.
pub(crate) fn manifest(name: &ForeignName<'_>, devices: &[DeviceIds]) -> Manifest {
    Manifest {
        device: name.device(),
        // A foreign object does not say.
        before: String::new(),
        after: String::new(),
        kind: Kind::Fix,
        status: Status::Foreign,
        requires: Vec::new(),
        order: Order::Last,
        options: Vec::new(),
        fields: Vec::new(),
        exports: Vec::new(),
        keymap: Keymap::default(),
        maps: Vec::new(),
        descriptor: Declared::default(),
        report: Declared::default(),
        any_device: false,
        mode_switch: None,
        matches: devices.iter().map(rule).collect(),
    }
}

/// The variable that receives the parsed descriptor. Only the libbpf loader fills it.
pub const PARSED_DESCRIPTOR: &str = "HID_REPORT_DESCRIPTOR";

/// Checks that the struct_ops maps of an object are for HID. The kernel would attach a map of another subsystem there.
pub(crate) fn check_ops(elf: &Elf<'_>) -> Result<(), String> {
    let types = elf.section_by_name(btf::SECTION).and_then(|section| section.data().ok()).unwrap_or_default();
    let types = Btf::parse(types).map_err(|error| format!("the section `{}` is damaged: {error}", btf::SECTION))?;
    match struct_ops::maps(elf, &types)?.iter().find(|map| map.of != OPS) {
        None => Ok(()),
        Some(map) if map.of.is_empty() => Err(format!("its struct_ops map `{}` has no type", map.name)),
        Some(map) => {
            Err(format!("its struct_ops map `{}` fills `struct {}`, expected `struct {OPS}`", map.name, map.of))
        }
    }
}

/// Checks that no map is pinned under a name with another meaning in the directory of a driver's pins.
pub(crate) fn check_pins(maps: &BTreeSet<String>) -> Result<(), String> {
    let is_taken = |name: &&String| *name == SETUP_PROGRAM || name.ends_with(FIRST_STEP_SUFFIX);
    match maps.iter().find(is_taken) {
        None => Ok(()),
        Some(name) => Err(format!("its map `{name}` would be pinned under a name that hidbpf uses for something else")),
    }
}

fn rule(ids: &DeviceIds) -> Match {
    // The kernel's numbers for bus and group have 16 bits. Larger ones match no device.
    let short = |id: u32| (id != 0).then_some(u16::try_from(id).unwrap_or(u16::MAX));
    let long = |id: u32| (id != 0).then_some(id);
    Match {
        bus: short(ids.bus).map(Bus),
        group: short(ids.group).map(Group),
        vendor: long(ids.vendor).map(VendorId),
        product: long(ids.product).map(ProductId),
        ..Match::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_any() {
        let ids = DeviceIds { bus: 3, group: 0, vendor: 0x256c, product: 0x66 };
        let any = Match {
            bus: Some(Bus::USB),
            vendor: Some(VendorId(0x256c)),
            product: Some(ProductId(0x66)),
            ..Match::default()
        };
        assert_eq!(rule(&ids), any);
        assert_eq!(rule(&DeviceIds { bus: 0x1_0003, ..DeviceIds::default() }).bus, Some(Bus(u16::MAX)));
    }
}
