//! Where things are on the machine. Tests put another tree in place of `/`.

use std::io;
use std::path::{Path, PathBuf};

use crate::ids::HidName;
use crate::names::DriverName;

/// The suffix of a driver's object.
pub const OBJECT_SUFFIX: &str = ".bpf.o";

/// The places that hidbpf reads and writes.
#[derive(Clone, Debug)]
pub struct System {
    /// The root directory, for what distributions install.
    pub root: PathBuf,
    /// sysfs.
    pub sysfs: PathBuf,
    /// bpffs.
    pub bpffs: PathBuf,
    /// State that lasts until the next boot.
    pub run: PathBuf,
    /// Where drivers are looked for; the first that has a name wins.
    pub driver_dirs: Vec<PathBuf>,
    /// Where the configuration is: [`crate::config`].
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
    /// Where drivers are looked for unless told otherwise: the administrator's, the locally built, the distribution's.
    pub const DRIVER_DIRS: [&'static str; 3] =
        ["/etc/hidbpf/drivers", "/usr/local/lib/hidbpf/drivers", "/usr/lib/hidbpf/drivers"];

    /// Where the configuration is unless told otherwise.
    pub const CONFIG: &'static str = "/etc/hidbpf";

    /// The directory that has a link for each HID device.
    pub fn hid_devices(&self) -> PathBuf {
        self.sysfs.join("bus/hid/devices")
    }

    /// The kernel's own BTF.
    pub fn kernel_btf(&self) -> PathBuf {
        self.sysfs.join("kernel/btf/vmlinux")
    }

    /// The directory in which udev keeps what it knows of devices.
    pub fn udev_database(&self) -> PathBuf {
        self.root.join("run/udev/data")
    }

    /// The directory in bpffs below which all of our pins are.
    pub fn pins(&self) -> PathBuf {
        self.bpffs.join("hidbpf")
    }

    /// The directory in bpffs that holds a device's pins.
    pub fn device_pins(&self, device: &HidName) -> PathBuf {
        self.pins().join(device.pin_name())
    }

    /// The directory in bpffs that holds the pins of a driver on a device.
    pub fn driver_pins(&self, device: &HidName, driver: &DriverName) -> PathBuf {
        self.device_pins(device).join(driver.as_str())
    }

    /// The file in which the kernel's numbers are kept until the next boot.
    pub fn ids(&self) -> PathBuf {
        self.run.join("ids")
    }

    /// The directory of the state files. The udev rules test for files in it.
    pub fn states(&self) -> PathBuf {
        self.run.join("devices")
    }

    /// A device's state file.
    pub fn state(&self, device: &HidName) -> PathBuf {
        self.states().join(format!("{device}.json"))
    }

    /// The directory with a file for each device that a driver talks to, in which are the udev properties that came of it. The udev rules
    /// import them, and test for the files when such a device is bound again.
    pub fn set_up_marks(&self) -> PathBuf {
        self.run.join("setup")
    }

    /// The file of a device there.
    pub fn set_up_mark(&self, device: &HidName) -> PathBuf {
        self.set_up_marks().join(device.as_str())
    }

    /// The directory of the marks of [`crate::settled`].
    pub(crate) fn settled_marks(&self) -> PathBuf {
        self.run.join("settled")
    }

    /// The mark of a device there.
    pub fn settled_mark(&self, device: &HidName) -> PathBuf {
        self.settled_marks().join(device.as_str())
    }

    /// The number of the last event that the kernel has sent to udev, if it tells.
    pub(crate) fn uevent_seqnum(&self) -> Option<u64> {
        std::fs::read_to_string(self.sysfs.join("kernel/uevent_seqnum")).ok()?.trim().parse().ok()
    }

    /// The file of which a process locks one byte while it works on a device.
    pub fn lock(&self) -> PathBuf {
        self.run.join("devices.lock")
    }

    /// Where a driver's object is, in the first directory that has the name. Reading tells what is wrong with it: a link may lead nowhere.
    pub fn find_driver(&self, name: &DriverName) -> Option<PathBuf> {
        let is_missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let paths = self.driver_dirs.iter().map(|dir| System::object_in(dir, name));
        paths.into_iter().find(|path| !path.symlink_metadata().as_ref().is_err_and(is_missing))
    }

    /// Where a driver's object is in a directory of drivers.
    pub fn object_in(dir: &Path, name: &DriverName) -> PathBuf {
        dir.join(format!("{name}{OBJECT_SUFFIX}"))
    }
}
