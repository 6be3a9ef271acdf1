//! Reasons why hidbpf leaves a device alone although a driver matches.
//!
//! The machine's owner forbids it, or another tool uses the device.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::device::Device;
use crate::device::sysfs;
use crate::ids::HidName;
use crate::system::System;
use crate::text::Printable;

/// The word on the kernel's command line that makes hidbpf leave all devices alone.
pub const COMMAND_LINE_WORD: &str = "hidbpf=off";

/// The udev property that, if it is `1`, makes hidbpf leave a device and all devices below it alone.
pub const IGNORE_PROPERTY: &str = "HIDBPF_IGNORE";

/// The udev property that makes udev-hid-bpf ignore a device, with any value.
///
/// The kernel's HID selftests and hid-tools set it on the devices that they create
/// (tools/testing/selftests/hid/tests/base.py), and load drivers by hand.
pub const FOREIGN_IGNORE_PROPERTY: &str = "HID_BPF_IGNORE_DEVICE";

/// Why udev's events attach nothing to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// The kernel's command line contains [`COMMAND_LINE_WORD`].
    CommandLine,
    /// The device has one of [`IGNORE_PROPERTY`] and [`FOREIGN_IGNORE_PROPERTY`], with this value.
    Property(&'static str, String),
    /// udev-hid-bpf has attached these programs to it.
    UdevHidBpf(Vec<String>),
}

impl Exclusion {
    /// Returns the reason why hidbpf leaves a device alone, if there is one.
    pub fn of(system: &System, device: &Device) -> Option<Exclusion> {
        let command_line = sysfs::read(&system.root.join("proc/cmdline")).unwrap_or_default();
        if command_line.split(u8::is_ascii_whitespace).any(|word| word == COMMAND_LINE_WORD.as_bytes()) {
            return Some(Exclusion::CommandLine);
        }
        let mut properties = device.inherited_properties([IGNORE_PROPERTY, FOREIGN_IGNORE_PROPERTY]);
        let ignores = |name: &str, value: &str| name == FOREIGN_IGNORE_PROPERTY || value == "1";
        for name in [IGNORE_PROPERTY, FOREIGN_IGNORE_PROPERTY] {
            if let Some(value) = properties.remove(name).filter(|value| ignores(name, value)) {
                return Some(Exclusion::Property(name, value));
            }
        }
        let others = udev_hid_bpf(system, &device.name);
        (!others.is_empty()).then_some(Exclusion::UdevHidBpf(others))
    }

    /// Returns how to make hidbpf attach drivers to the device again.
    pub fn remedy(&self, device: &HidName) -> String {
        match self {
            Exclusion::CommandLine => format!("boot without `{COMMAND_LINE_WORD}`"),
            Exclusion::Property(name, _) => format!("remove the udev rule that sets {name}"),
            Exclusion::UdevHidBpf(_) => {
                format!(
                    "run `udev-hid-bpf remove /sys/bus/hid/devices/{device}` as root, or let hidbpf take over all \
                     devices: `hidbpf install --from-udev-hid-bpf`"
                )
            }
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exclusion::CommandLine => write!(f, "the kernel's command line says `{COMMAND_LINE_WORD}`"),
            Exclusion::Property(name, value) => write!(f, "its udev property {name} is {}", Printable(value)),
            Exclusion::UdevHidBpf(programs) => write!(f, "udev-hid-bpf has put {} on it", programs.join(" and ")),
        }
    }
}

impl Serialize for Exclusion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The directory in bpffs where udev-hid-bpf pins its programs.
///
/// It has a directory for each device, named after it with `_` for all characters except letters and digits.
const UDEV_HID_BPF: &str = "hid";

fn plain(name: &str) -> String {
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}

/// Returns the programs that udev-hid-bpf has pinned for a device.
///
/// An unreadable directory counts as empty: only root can read it, and only root attaches.
pub(crate) fn udev_hid_bpf(system: &System, device: &HidName) -> Vec<String> {
    let mut found: Vec<String> = udev_hid_bpf_pins(system, device).iter().flat_map(|path| names(path)).collect();
    found.sort();
    found
}

/// Returns the directories in bpffs where udev-hid-bpf pins its programs for a device.
pub(crate) fn udev_hid_bpf_pins(system: &System, device: &HidName) -> Vec<PathBuf> {
    let wanted = plain(device.as_str());
    let directory = system.bpffs.join(UDEV_HID_BPF);
    let names = names(&directory).into_iter().filter(|name| plain(name) == wanted);
    names.map(|name| directory.join(name)).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_of_udev_hid_bpf_are_found_by_the_devices_name() {
        let root = tempfile::tempdir().unwrap();
        let system = System { bpffs: root.path().to_owned(), ..System::default() };
        let device: HidName = "0003:28BD:0094.0001".parse().unwrap();
        assert_eq!(udev_hid_bpf(&system, &device), Vec::<String>::new());
        for path in ["hid/0003_28BD_0094_0001/XPPen__DecoMini4", "hid/0003_28BD_0094_0002/Other"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        assert_eq!(udev_hid_bpf(&system, &device), ["XPPen__DecoMini4"]);
    }
}
