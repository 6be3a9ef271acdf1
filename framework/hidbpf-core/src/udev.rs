//! What udev keeps about devices, read from its database: a text file a device, in `/run/udev/data`.
//!
//! libudev reads the same files (systemd's src/libsystemd/sd-device/sd-device.c, `device_read_db_internal()`). It exists only as a
//! shared library, and would be most of what a small program is made of.

use std::fs;
use std::path::Path;

/// What the names of hidbpf's own properties begin with.
const OWN_PREFIX: &str = "HIDBPF";

/// A property of the very device at `syspath`: from udev's database, else from what the kernel says in `uevent`. A line break in a device's
/// name makes lines of its own there, so that hidbpf's own properties count only where a rule has set them.
pub(crate) fn property(database: &Path, syspath: &Path, name: &str) -> Option<String> {
    let known = fs::read(database.join(id(syspath)?)).unwrap_or_default();
    let of_kernel = || fs::read(syspath.join("uevent")).unwrap_or_default();
    let known = value(&known, "E:", name);
    if name.starts_with(OWN_PREFIX) { known } else { known.or_else(|| value(&of_kernel(), "", name)) }
}

/// The value in the line `NAME=VALUE`, which has a prefix.
fn value(text: &[u8], prefix: &str, name: &str) -> Option<String> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(prefix.as_bytes())?.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The name of a device's file: the number of its node, or else subsystem and name.
fn id(syspath: &Path) -> Option<String> {
    let subsystem = fs::read_link(syspath.join("subsystem")).ok()?;
    let subsystem = subsystem.file_name()?.to_str()?;
    Some(match fs::read_to_string(syspath.join("dev")) {
        Ok(number) => format!("{}{}", if subsystem == "block" { 'b' } else { 'c' }, number.trim_end()),
        Err(_) => format!("+{subsystem}:{}", syspath.file_name()?.to_str()?),
    })
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
        fs::write(path("devices/0003:256C:0066.0001/uevent"), "HID_NAME=Tablet\nID=kernel\nHIDBPF_IGNORE=1\n").unwrap();
        fs::write(path("data/+hid:0003:256C:0066.0001"), "I:123\nE:ID=udev\nE:IDS=no\nE:EMPTY=\n").unwrap();
        fs::write(path("data/c243:3"), "E:HUION_FIRMWARE_ID=HUION_T21j\n").unwrap();
        for (device, name, expected) in [
            ("0003:256C:0066.0001", "ID", Some("udev")),
            ("0003:256C:0066.0001", "HID_NAME", Some("Tablet")),
            ("0003:256C:0066.0001", "EMPTY", Some("")),
            ("0003:256C:0066.0001", "HIDBPF_IGNORE", None),
            ("0003:256C:0066.0001", "I", None),
            ("hidraw3", "HUION_FIRMWARE_ID", Some("HUION_T21j")),
            ("hidraw3", "HUION_FIRMWARE", None),
            ("bare", "ID", None),
        ] {
            let found = property(&path("data"), &path("devices").join(device), name);
            assert_eq!(found.as_deref(), expected, "{device} {name}");
        }
    }
}
