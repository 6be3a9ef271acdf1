//! The paths that hidbpf uses. Tests replace `/` with another tree.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::HidName;
use crate::names::{DriverName, ForeignName, OBJECT_SUFFIX};

/// The places that hidbpf reads and writes.
#[derive(Clone, Debug)]
pub struct System {
    /// The root directory, for files that distributions install.
    pub root: PathBuf,
    /// sysfs.
    pub sysfs: PathBuf,
    /// bpffs.
    pub bpffs: PathBuf,
    /// State that lasts until the next boot.
    pub run: PathBuf,
    /// The directories of drivers. The first one that has a name wins.
    pub driver_dirs: Vec<PathBuf>,
    /// The directory of the configuration: [`crate::config`].
    pub config: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        System {
            root: "/".into(),
            sysfs: "/sys".into(),
            bpffs: "/sys/fs/bpf".into(),
            run: "/run/hidbpf".into(),
            driver_dirs: System::DRIVER_DIRS.iter().map(PathBuf::from).collect(),
            config: System::CONFIG.into(),
        }
    }
}

impl System {
    /// The default directories of drivers: those of the administrator, of local builds, and of the distribution.
    pub const DRIVER_DIRS: [&'static str; 3] =
        ["/etc/hidbpf/drivers", "/usr/local/lib/hidbpf/drivers", "/usr/lib/hidbpf/drivers"];

    /// The default directory of the configuration.
    pub const CONFIG: &'static str = "/etc/hidbpf";

    /// Returns the directory that has a link for each HID device.
    pub fn hid_devices(&self) -> PathBuf {
        self.sysfs.join("bus/hid/devices")
    }

    /// Returns the path of the kernel's own BTF.
    pub fn kernel_btf(&self) -> PathBuf {
        self.sysfs.join("kernel/btf/vmlinux")
    }

    /// Returns the directory of udev's database.
    pub fn udev_database(&self) -> PathBuf {
        self.root.join("run/udev/data")
    }

    /// Returns the directory in bpffs that contains all pins of hidbpf.
    pub fn pins(&self) -> PathBuf {
        self.bpffs.join("hidbpf")
    }

    /// Returns the directory in bpffs that holds a device's pins.
    pub fn device_pins(&self, device: &HidName) -> PathBuf {
        self.pins().join(device.pin_name())
    }

    /// Returns the directory in bpffs that holds the pins of a driver on a device.
    pub fn driver_pins(&self, device: &HidName, driver: &DriverName) -> PathBuf {
        self.device_pins(device).join(driver.as_str())
    }

    /// Returns the file that caches the kernel's ids until the next boot.
    pub fn ids(&self) -> PathBuf {
        self.run.join("ids")
    }

    /// Returns the directory of the state files. The udev rules test for files in it.
    pub fn states(&self) -> PathBuf {
        self.run.join("devices")
    }

    /// Returns a device's state file.
    pub fn state(&self, device: &HidName) -> PathBuf {
        self.states().join(format!("{device}.json"))
    }

    /// Returns the directory with a file for each device that has a driver with a setup.
    ///
    /// The file holds the udev properties that the setup exported. The udev rules import them, and test for the file
    /// when the device is bound again.
    pub fn set_up_marks(&self) -> PathBuf {
        self.run.join("setup")
    }

    /// Returns a device's file in [`System::set_up_marks`].
    pub fn set_up_mark(&self, device: &HidName) -> PathBuf {
        self.set_up_marks().join(device.as_str())
    }

    /// Returns the directory with the records of mode switches.
    pub fn mode_switches(&self) -> PathBuf {
        self.run.join("mode-switch")
    }

    /// Returns the directory with a file for each device whose mode was switched. The udev rules import the files.
    pub fn answers_dir(&self) -> PathBuf {
        self.run.join("answers")
    }

    /// Returns a device's file in [`System::answers_dir`].
    pub fn answers(&self, device: &HidName) -> PathBuf {
        self.answers_dir().join(device.as_str())
    }

    /// Returns the directory of the marks of [`crate::state::settled`].
    pub(crate) fn settled_marks(&self) -> PathBuf {
        self.run.join("settled")
    }

    /// Returns a device's mark that all decisions about it are made.
    pub fn settled_mark(&self, device: &HidName) -> PathBuf {
        self.settled_marks().join(device.as_str())
    }

    /// Returns the number of the last event that the kernel sent to udev, if known.
    pub(crate) fn uevent_seqnum(&self) -> Option<u64> {
        std::fs::read_to_string(self.sysfs.join("kernel/uevent_seqnum")).ok()?.trim().parse().ok()
    }

    /// Returns the file in which a process locks one byte while it works on a device.
    pub fn lock(&self) -> PathBuf {
        self.run.join("devices.lock")
    }

    /// Returns the path of a driver's object, in the first directory that has the name.
    ///
    /// The object may be unreadable, such as a dangling link. Reading it reports the error.
    pub fn find_driver(&self, name: &DriverName) -> Option<PathBuf> {
        self.find_objects(name).into_iter().next()
    }

    /// Returns the paths of a driver's objects, in the first directory that has the name.
    ///
    /// Only a foreign driver has several, one for each of its versions, the newest first: [`crate::driver::foreign`].
    pub fn find_objects(&self, name: &DriverName) -> Vec<PathBuf> {
        let is_missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        for dir in &self.driver_dirs {
            let path = System::object_in(dir, name);
            if !path.symlink_metadata().as_ref().is_err_and(is_missing) {
                return vec![path];
            }
            let versions = versions_in(dir, name);
            if !versions.is_empty() {
                return versions;
            }
        }
        Vec::new()
    }

    /// Returns the path of a driver's object in a directory of drivers.
    pub fn object_in(dir: &Path, name: &DriverName) -> PathBuf {
        dir.join(format!("{name}{OBJECT_SUFFIX}"))
    }
}

/// Returns the foreign objects in a directory whose file names mean this driver, the newest first.
fn versions_in(dir: &Path, name: &DriverName) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let version = |path: PathBuf| {
        let file_name = ForeignName::of(&path)?;
        (file_name.driver()? == *name).then_some((file_name.number, path))
    };
    let mut versions: Vec<_> = entries.filter_map(|entry| version(entry.path())).collect();
    versions.sort_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, path)| path).collect()
}
