//! Reads udev's database: one text file for each device, in `/run/udev/data`.
//!
//! libudev reads the same files (systemd's src/libsystemd/sd-device/sd-device.c, `device_read_db_internal()`). It
//! exists only as a shared library, and would make up most of a small program.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::device::sysfs::{self, Directory};

/// Prefixes of the properties that only rules set: those of hidbpf and of udev-hid-bpf.
const SET_BY_RULES: [&str; 2] = ["HIDBPF", "HID_BPF_"];

/// The properties of one device. Each source is read when it is first needed, and only once.
pub(crate) struct Record {
    syspath: PathBuf,
    /// The name of its file.
    id: String,
    by_udev: OnceCell<Vec<u8>>,
    by_kernel: OnceCell<Vec<u8>>,
}

impl Record {
    /// Returns the record of a device, or `None` if the directory is not a device.
    pub(crate) fn of(syspath: &Path) -> Option<Record> {
        let subsystem = sysfs::link(&syspath.join("subsystem")).ok()?;
        let number = sysfs::read(&syspath.join(NUMBER)).ok();
        Record::with(syspath, &subsystem, number)
    }

    /// Returns the records of the devices above one whose directory is open, the nearest first.
    pub(crate) fn above(directory: &Directory, syspath: &Path) -> impl Iterator<Item = Record> {
        // The directories above it are not devices.
        let is_device = |path: &&Path| !path.ends_with("sys/devices");
        let mut up = String::new();
        syspath.ancestors().skip(1).take_while(is_device).filter_map(move |path| {
            up.push_str("../");
            let subsystem = directory.link(&format!("{up}subsystem")).ok()?;
            Record::with(path, &subsystem, directory.read(&format!("{up}{NUMBER}")).ok())
        })
    }

    /// Returns the record of a HID device, which has no node of its own.
    pub(crate) fn of_hid(syspath: &Path) -> Record {
        let name = syspath.file_name().unwrap_or_default().to_string_lossy();
        Record::new(syspath, format!("+hid:{name}"))
    }

    /// Returns the record of a character device, or `None` if the directory is not one.
    pub(crate) fn of_node(syspath: &Path) -> Option<Record> {
        let number = sysfs::read(&syspath.join(NUMBER)).ok()?;
        Some(Record::new(syspath, format!("c{}", number_text(&number))))
    }

    /// Returns whether udev has processed the device.
    pub(crate) fn is_kept(&self, database: &Path) -> bool {
        database.join(&self.id).exists()
    }

    fn with(syspath: &Path, subsystem: &str, number: Option<Vec<u8>>) -> Option<Record> {
        let id = match number {
            Some(number) => format!("{}{}", if subsystem == "block" { 'b' } else { 'c' }, number_text(&number)),
            None => format!("+{subsystem}:{}", syspath.file_name()?.to_str()?),
        };
        Some(Record::new(syspath, id))
    }

    fn new(syspath: &Path, id: String) -> Record {
        Record { syspath: syspath.to_owned(), id, by_udev: OnceCell::new(), by_kernel: OnceCell::new() }
    }

    /// Returns a property of this device alone: from udev's database, else from the kernel's `uevent`.
    ///
    /// A line break in a device's name can forge lines there, so [`SET_BY_RULES`] are read only from udev's database.
    pub(crate) fn property(&self, database: &Path, name: &str) -> Option<String> {
        let by_udev = self.by_udev.get_or_init(|| fs::read(database.join(&self.id)).unwrap_or_default());
        value(by_udev, "E:", name).or_else(|| {
            let by_kernel = || fs::read(self.syspath.join("uevent")).unwrap_or_default();
            let is_rules = SET_BY_RULES.iter().any(|prefix| name.starts_with(prefix));
            let by_kernel = (!is_rules).then(|| self.by_kernel.get_or_init(by_kernel));
            value(by_kernel?, "", name)
        })
    }
}

/// Returns the value in the line `NAME=VALUE` that has a prefix.
fn value(text: &[u8], prefix: &str, name: &str) -> Option<String> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(prefix.as_bytes())?.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The attribute with the number of a device's node: `13:64`.
const NUMBER: &str = "dev";

fn number_text(number: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(number.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn properties_are_those_of_udev_then_of_the_kernel() {
        let root = tempfile::tempdir().unwrap();
        let path = |path: &str| root.path().join(path);
        for dir in ["data", "devices/0003:256C:0066.0001", "devices/hidraw3", "devices/bare"] {
            fs::create_dir_all(path(dir)).unwrap();
        }
        symlink("/sys/bus/hid", path("devices/0003:256C:0066.0001/subsystem")).unwrap();
        symlink("/sys/class/hidraw", path("devices/hidraw3/subsystem")).unwrap();
        fs::write(path("devices/hidraw3/dev"), "243:3\n").unwrap();
        fs::write(
            path("devices/0003:256C:0066.0001/uevent"),
            "HID_NAME=Tablet\nID=kernel\nHIDBPF_IGNORE=1\nHID_BPF_IGNORE_DEVICE=1\n",
        )
        .unwrap();
        fs::write(path("data/+hid:0003:256C:0066.0001"), "I:123\nE:ID=udev\nE:IDS=no\nE:EMPTY=\n").unwrap();
        fs::write(path("data/c243:3"), "E:HUION_FIRMWARE_ID=HUION_T21j\n").unwrap();
        for (device, name, expected) in [
            ("0003:256C:0066.0001", "ID", Some("udev")),
            ("0003:256C:0066.0001", "HID_NAME", Some("Tablet")),
            ("0003:256C:0066.0001", "EMPTY", Some("")),
            ("0003:256C:0066.0001", "HIDBPF_IGNORE", None),
            ("0003:256C:0066.0001", "HID_BPF_IGNORE_DEVICE", None),
            ("0003:256C:0066.0001", "I", None),
            ("hidraw3", "HUION_FIRMWARE_ID", Some("HUION_T21j")),
            ("hidraw3", "HUION_FIRMWARE", None),
            ("bare", "ID", None),
        ] {
            let record = Record::of(&path("devices").join(device));
            let found = record.and_then(|record| record.property(&path("data"), name));
            assert_eq!(found.as_deref(), expected, "{device} {name}");
        }
        let hid = Record::of_hid(&path("devices/0003:256C:0066.0001"));
        assert_eq!(hid.property(&path("data"), "ID").as_deref(), Some("udev"));
        let node = Record::of_node(&path("devices/hidraw3")).unwrap();
        assert_eq!(node.property(&path("data"), "HUION_FIRMWARE_ID").as_deref(), Some("HUION_T21j"));
        assert!(Record::of_node(&path("devices/bare")).is_none());
    }
}
