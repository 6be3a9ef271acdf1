//! A HID device as sysfs and udev show it.

pub(crate) mod awake;
pub mod exclusion;
pub(crate) mod sysfs;
pub(crate) mod udev;
pub(crate) mod uevents;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hidbpf_descriptor::{ShortItem, physical_device, short_items};

use crate::device::sysfs::Directory;
use crate::device::udev::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{HidName, Modalias};
use crate::system::System;
use crate::text::Printable;

/// A HID device: one interface of a USB device, one Bluetooth HID device, one I2C device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its name in the kernel.
    pub name: HidName,
    /// Its directory in sysfs, with links resolved.
    pub syspath: PathBuf,
    /// Its ids. The group can change with the descriptor.
    pub modalias: Modalias,
    /// Its own name (`HID_NAME`), which can contain any text.
    pub hid_name: String,
    /// Its physical path (`HID_PHYS`).
    pub phys: String,
    /// Its serial number or address (`HID_UNIQ`).
    pub uniq: String,
    /// The kernel driver that is bound to it.
    pub driver: Option<String>,
    /// The current descriptor: the one that the kernel parsed.
    ///
    /// It is the result of the descriptor hook and the kernel driver's own fixup. Empty if no kernel driver is bound,
    /// as for a descriptor that the kernel refuses.
    pub current: Vec<u8>,
    /// The number of its USB interface.
    pub interface: Option<u8>,
    /// Whether the kernel created an input device for it.
    pub has_input: bool,
    /// The original descriptor, if it is known.
    pub(crate) original: Option<Vec<u8>>,
    directory: Directory,
    /// The directory with the machine's attributes.
    dmi: PathBuf,
    properties: Properties,
    /// The answers of the device's mode switch, by udev property. They come before udev's own.
    answers: BTreeMap<String, String>,
    /// The values of variables of the driver that is being attached, such as its options.
    variables: BTreeMap<String, Vec<u8>>,
    /// The state that the driver shares with drivers of other interfaces, if there is any yet.
    shared: Option<Arc<OwnedFd>>,
}

/// The source of udev properties.
#[derive(Clone, Debug)]
enum Properties {
    /// udev's database, in this directory.
    Udev(PathBuf),
    /// A fixed set.
    Given(BTreeMap<String, String>),
    /// Those that the device has not told yet, so that each rule about them may hold.
    Unknown,
}

impl Device {
    /// Reads the device with this name.
    ///
    /// `path` is its sysfs directory or a path below it, without links, as udev's events give it. For any other path
    /// the device is looked up by name.
    ///
    /// # Errors
    /// The device does not exist, or it vanished while it was read.
    pub fn at(system: &System, name: &HidName, path: &Path) -> Result<Device> {
        let devices = system.sysfs.join("devices");
        let mut directories = path.ancestors().take_while(|path| path.starts_with(&devices));
        match directories.find(|path| file_name(path) == Some(name.as_str())) {
            Some(syspath) => Device::read(system, name.clone(), syspath.to_owned()),
            None => Device::open(system, name),
        }
    }

    /// Reads a device by its name.
    ///
    /// # Errors
    /// The device does not exist, or it vanished while it was read.
    pub fn open(system: &System, name: &HidName) -> Result<Device> {
        let link = system.hid_devices().join(name.as_str());
        let syspath = target(&link).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(ErrorKind::NoDevice, format!("there is no HID device `{name}`")),
            _ => Error::because(ErrorKind::Io, format!("failed to look up the device `{name}`"), error),
        })?;
        Device::read(system, name.clone(), syspath)
    }

    fn read(system: &System, name: HidName, syspath: PathBuf) -> Result<Device> {
        let directory = directory(&name, &syspath)?;
        let current = attribute(&name, &directory, RDESC)?;
        let uevent = attribute(&name, &directory, "uevent")?;
        let uevent = String::from_utf8_lossy(&uevent);
        // The kernel writes it after the device's own strings, which may contain line breaks. So search from the end.
        let modalias = uevent.lines().rev().find_map(|line| line.strip_prefix("MODALIAS="));
        let modalias = modalias.unwrap_or_default().parse().map_err(|error| {
            Error::because(ErrorKind::Io, format!("failed to read the ids of the device `{name}`"), error)
        })?;
        let said = |key: &str| {
            uevent
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(str::to_owned)
                .unwrap_or_default()
        };
        Ok(Device {
            modalias,
            hid_name: said("HID_NAME"),
            phys: said("HID_PHYS"),
            uniq: said("HID_UNIQ"),
            driver: directory.link("driver").ok(),
            interface: usb_interface(&directory, &syspath),
            has_input: directory.has(INPUT),
            dmi: system.sysfs.join("class/dmi/id"),
            properties: Properties::Udev(system.udev_database()),
            answers: BTreeMap::new(),
            variables: BTreeMap::new(),
            shared: None,
            original: None,
            current,
            name,
            syspath,
            directory,
        })
    }

    /// Reads a device that the user named: by the kernel's name, a path in sysfs, or a node in /dev.
    ///
    /// # Errors
    /// The device does not exist. The error names the HID devices that are nearest to the text.
    pub fn find(system: &System, text: &str) -> Result<Device> {
        if let Ok(name) = text.parse::<HidName>() {
            return Device::open(system, &name).map_err(|error| match error.kind() {
                ErrorKind::NoDevice => error.with_hint(nearest(system, text)),
                _ => error,
            });
        }
        let path = Path::new(text);
        let no_device = |what: String| Error::new(ErrorKind::NoDevice, what).with_hint(nearest(system, text));
        let resolved = fs::canonicalize(path).map_err(|error| {
            Error::because(ErrorKind::NoDevice, format!("failed to find the device `{text}`"), error)
                .with_hint(nearest(system, text))
        })?;
        let in_sysfs = match node_in_sysfs(system, &resolved) {
            Some(syspath) => syspath,
            None if resolved.starts_with(&system.sysfs) => resolved,
            None => return Err(no_device(format!("`{text}` is not a device"))),
        };
        let devices = system.hid_devices();
        in_sysfs
            .ancestors()
            .filter_map(|dir| {
                let name: HidName = dir.file_name()?.to_str()?.parse().ok()?;
                let link = fs::canonicalize(devices.join(name.as_str())).ok()?;
                (link == dir).then_some((name, link))
            })
            .next()
            .map(|(name, syspath)| Device::read(system, name, syspath))
            .unwrap_or_else(|| Err(no_device(format!("`{text}` is not a HID device"))))
    }

    /// Reads all HID devices, sorted by name. Omits a device that vanishes meanwhile.
    ///
    /// # Errors
    /// sysfs can't be read. If the HID core is not loaded, the list is empty.
    pub fn all(system: &System) -> Result<Vec<Device>> {
        let mut devices = Vec::new();
        for name in names(system)? {
            match Device::open(system, &name) {
                Ok(device) => devices.push(device),
                Err(error) if matches!(error.kind(), ErrorKind::Gone | ErrorKind::NoDevice) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(devices)
    }

    /// Returns a device that has only these values.
    #[cfg(test)]
    pub(crate) fn example(modalias: Modalias, uniq: &str, phys: &str) -> Device {
        Device {
            name: "0003:0001:0001.0001".parse().unwrap(),
            syspath: PathBuf::new(),
            directory: Directory::open(Path::new("/")).unwrap(),
            modalias,
            hid_name: String::new(),
            phys: phys.to_owned(),
            uniq: uniq.to_owned(),
            driver: None,
            current: Vec::new(),
            original: None,
            interface: None,
            has_input: false,
            dmi: PathBuf::new(),
            properties: Properties::Given(BTreeMap::new()),
            answers: BTreeMap::new(),
            variables: BTreeMap::new(),
            shared: None,
        }
    }

    /// Returns an attribute of the machine that it is connected to: `sys_vendor`, `product_name` or `board_name`.
    ///
    /// It is empty on a machine whose firmware does not say, and on one without DMI.
    pub fn machine(&self, attribute: &str) -> String {
        fs::read_to_string(self.dmi.join(attribute)).unwrap_or_default().trim_end().to_owned()
    }

    /// Returns the original descriptor, which the device sent. Returns `None` if it is not known here.
    pub fn original(&self) -> Option<&[u8]> {
        self.original.as_deref()
    }

    /// Returns the original descriptor, or the current one if the original is not known.
    pub fn original_or_current(&self) -> &[u8] {
        self.original().unwrap_or(&self.current)
    }

    /// Returns the device with this original descriptor.
    #[must_use]
    pub fn with_original(self, original: Vec<u8>) -> Device {
        Device { original: Some(original), ..self }
    }

    /// Returns the device with these udev properties and no others.
    #[must_use]
    pub fn with_properties(self, properties: BTreeMap<String, String>) -> Device {
        Device { properties: Properties::Given(properties), ..self }
    }

    /// Returns the device with these answers of its mode switch.
    #[must_use]
    pub(crate) fn with_answers(self, answers: BTreeMap<String, String>) -> Device {
        Device { answers, ..self }
    }

    /// Returns the device with properties that it has not told yet.
    #[must_use]
    pub(crate) fn with_unknown_properties(self) -> Device {
        Device { properties: Properties::Unknown, ..self }
    }

    /// Returns whether the device's properties are known.
    pub(crate) fn has_properties(&self) -> bool {
        !matches!(self.properties, Properties::Unknown)
    }

    /// Reads these udev properties. From then on the device has only these; later calls have no effect.
    pub(crate) fn keep_properties(&mut self, names: impl IntoIterator<Item = String>) {
        if matches!(self.properties, Properties::Udev(_)) {
            self.properties = Properties::Given(self.properties(names));
        }
    }

    /// Returns the device with values for the variables of a driver.
    #[must_use]
    pub fn with_variables(self, variables: BTreeMap<String, Vec<u8>>) -> Device {
        Device { variables, ..self }
    }

    /// Returns the device with the map of the state that its driver shares, or without one.
    #[must_use]
    pub(crate) fn with_shared(self, map: Option<OwnedFd>) -> Device {
        Device { shared: map.map(Arc::new), ..self }
    }

    /// Returns the map of the state that the driver which is being attached shares with drivers of other interfaces.
    pub fn shared(&self) -> Option<BorrowedFd<'_>> {
        self.shared.as_ref().map(|map| map.as_fd())
    }

    /// Returns a name of the physical device that the device is an interface of. Returns `None` if that is not known.
    ///
    /// This is the USB device. Elsewhere it is the result of [`physical_device`].
    pub fn physical(&self) -> Option<String> {
        if self.interface.is_some() {
            return Some(self.syspath.parent()?.parent()?.display().to_string());
        }
        let ids = &self.modalias;
        physical_device(&self.phys, &self.uniq, (ids.bus, ids.vendor, ids.product))
    }

    /// Returns the values of variables of the driver that is being attached.
    pub fn variables(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.variables
    }

    /// Reads the device again. Keeps its udev properties and its original descriptor.
    pub(crate) fn read_again(&self, system: &System) -> Result<Device> {
        let (properties, original, answers) = (self.properties.clone(), self.original.clone(), self.answers.clone());
        Ok(Device { properties, original, answers, ..Device::open(system, &self.name)? })
    }

    /// Returns those of these udev properties that the device has, with their values.
    ///
    /// A value comes from the device itself, else from its nearest parent that has it, else from its hidraw node.
    ///
    /// Tools that switch tablets between modes set them on any of these.
    pub fn properties(&self, names: impl IntoIterator<Item = impl Into<String>>) -> BTreeMap<String, String> {
        let nodes = std::iter::once_with(|| entries(&self.syspath.join("hidraw"))).flatten();
        self.properties_of(names, nodes.filter_map(|node| Record::of_node(&node)))
    }

    /// Returns one of [`Device::properties`].
    pub fn property(&self, name: &str) -> Option<String> {
        self.properties([name]).remove(name)
    }

    /// Returns those of these udev properties that the device itself or a parent has.
    ///
    /// A value comes from the device itself, else from its nearest parent that has it.
    pub fn inherited_properties<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> BTreeMap<String, String> {
        self.properties_of(names, std::iter::empty())
    }

    /// Returns the properties of the device, of its parents, and of the nodes below it.
    fn properties_of(
        &self,
        names: impl IntoIterator<Item = impl Into<String>>,
        below: impl Iterator<Item = Record>,
    ) -> BTreeMap<String, String> {
        let mut missing: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        let database = match &self.properties {
            Properties::Udev(database) => database,
            Properties::Given(given) => {
                let value = |name: String| given.get(&name).cloned().map(|value| (name, value));
                return missing.into_iter().filter_map(value).collect();
            }
            Properties::Unknown => return BTreeMap::new(),
        };
        let own = std::iter::once(Record::of_hid(&self.syspath));
        let parents = Record::above(&self.directory, &self.syspath);
        let told = self.answers.iter().filter(|(name, _)| missing.contains(*name));
        let mut found: BTreeMap<String, String> = told.map(|(name, value)| (name.clone(), value.clone())).collect();
        missing.retain(|name| !found.contains_key(name));
        for place in own.chain(parents).chain(below) {
            if missing.is_empty() {
                break;
            }
            found.extend(missing.iter().filter_map(|name| Some((name.clone(), place.property(database, name)?))));
            missing.retain(|name| !found.contains_key(name));
        }
        found
    }

    /// Reads the current descriptor and the bound kernel driver again.
    ///
    /// # Errors
    /// The device is gone.
    pub fn refresh(&mut self) -> Result<()> {
        self.current = attribute(&self.name, &self.directory, RDESC)?;
        self.driver = self.directory.link("driver").ok();
        Ok(())
    }

    /// Returns the kernel driver that is bound to it now.
    pub(crate) fn kernel_driver(&self) -> Option<String> {
        self.directory.link("driver").ok()
    }

    /// Returns whether the device still exists.
    pub fn is_present(&self) -> bool {
        self.directory.has(RDESC)
    }

    /// Returns whether the current descriptor declares an input report.
    ///
    /// The kernel sizes the buffer of event hooks by the parsed input reports. If it parsed none, it crashes on the
    /// first report (`__hid_bpf_allocate_data()`, drivers/hid/bpf/hid_bpf_dispatch.c).
    pub fn has_input_report(&self) -> bool {
        has_input_report(&self.current)
    }

    /// Returns whether the device has evdev nodes now.
    pub fn has_nodes(&self) -> bool {
        let Ok(inputs) = self.directory.directory(INPUT.as_ref()) else { return false };
        let is_node = |name: &OsStr| name.as_bytes().starts_with(EVDEV.as_bytes());
        let has_node = |input: &OsStr| inputs.directory(input).is_ok_and(|input| input.any(is_node));
        inputs.any(|name| name.as_bytes().starts_with(INPUT.as_bytes()) && has_node(name))
    }

    /// Returns whether the kernel makes an input device for the current descriptor.
    pub fn is_for_input(&self) -> bool {
        is_for_input(&self.current)
    }

    /// Triggers a `change` event for the device and its input devices, so that udev processes them again.
    ///
    /// With `known`, it skips input devices that udev has not processed yet but will.
    pub(crate) fn trigger(&self, system: &System, known: bool) {
        self.trigger_with(system, known, Vec::new());
    }

    /// Triggers events as [`Device::trigger`] does, and for the hidraw nodes.
    pub(crate) fn trigger_all(&self, system: &System) {
        self.trigger_with(system, true, children(&self.syspath, "hidraw"));
    }

    fn trigger_with(&self, system: &System, known: bool, others: Vec<PathBuf>) {
        let database = system.udev_database();
        let is_wanted = |path: &PathBuf| !known || Record::of(path).is_some_and(|record| record.is_kept(&database));
        let inputs = children(&self.syspath, INPUT).into_iter().flat_map(|input| {
            let nodes = entries(&input).into_iter().filter(|path| path.join("dev").exists());
            nodes.chain([input.clone()]).collect::<Vec<_>>()
        });
        for path in std::iter::once(self.syspath.clone()).chain(inputs.chain(others).filter(is_wanted)) {
            let uevent = fs::File::options().write(true).open(path.join("uevent"));
            match uevent.and_then(|mut uevent| uevent.write_all(b"change")) {
                // Gone meanwhile, so udev has nothing to update.
                Err(error) if error.kind() == io::ErrorKind::NotFound || is_gone(&error) => {}
                Err(error) => tracing::warn!("udev can't be told that `{}` has changed: {error}", path.display()),
                Ok(()) => {}
            }
        }
    }

    /// Returns the directories of the evdev nodes.
    fn evdev(&self) -> Vec<PathBuf> {
        let inputs = children(&self.syspath, INPUT).into_iter();
        let is_evdev = |path: &PathBuf| file_name(path).is_some_and(|name| name.starts_with(EVDEV));
        inputs.flat_map(|input| entries(&input)).filter(is_evdev).collect()
    }

    /// Returns the `/dev` nodes of the device's input and hidraw children, for display.
    pub fn nodes(&self) -> Vec<PathBuf> {
        let mut nodes: Vec<PathBuf> = children(&self.syspath, "hidraw");
        nodes.extend(self.evdev());
        nodes
            .iter()
            .filter_map(|path| fs::read_to_string(path.join("uevent")).ok())
            .filter_map(|uevent| {
                uevent.lines().find_map(|line| line.strip_prefix("DEVNAME=").map(|name| Path::new("/dev").join(name)))
            })
            .collect()
    }
}

/// Returns whether a report descriptor declares an input report with at least one bit.
pub fn has_input_report(rdesc: &[u8]) -> bool {
    const INPUT: u8 = 0x80;
    const REPORT_SIZE: u8 = 0x74;
    const REPORT_COUNT: u8 = 0x94;
    let (mut size, mut count) = (0u64, 0u64);
    short_items(rdesc).any(|ShortItem { item, value, .. }| {
        match item {
            REPORT_SIZE => size = value.into(),
            REPORT_COUNT => count = value.into(),
            INPUT => return size * count > 0,
            _ => {}
        }
        false
    })
}

/// Returns whether the kernel usually makes an input device for a report descriptor.
///
/// It does so for an application collection with certain usage pages (`IS_INPUT_APPLICATION()`, include/linux/hid.h).
fn is_for_input(rdesc: &[u8]) -> bool {
    const USAGE_PAGE: u8 = 0x04;
    const USAGE: u8 = 0x08;
    const COLLECTION: u8 = 0xa0;
    const APPLICATION: u32 = 1;
    /// Generic Desktop, Consumer, Digitizers (HID Usage Tables 1.5, section 3).
    const INPUT_PAGES: [u32; 3] = [0x01, 0x0c, 0x0d];
    let (mut page, mut usage) = (0, 0);
    short_items(rdesc).any(|ShortItem { item, value, .. }| {
        match item {
            USAGE_PAGE => page = value,
            // A four-byte usage holds its page in the upper two bytes.
            USAGE => usage = if value > 0xffff { value >> 16 } else { page },
            COLLECTION => return value == APPLICATION && INPUT_PAGES.contains(&usage),
            _ => {}
        }
        false
    })
}

/// The attribute with the current descriptor.
const RDESC: &str = "report_descriptor";

/// The directory of a device's inputs, and the prefix of their names.
const INPUT: &str = "input";

/// The prefix of evdev nodes' names.
const EVDEV: &str = "event";

fn directory(name: &HidName, syspath: &Path) -> Result<Directory> {
    Directory::open(syspath).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::because(ErrorKind::Gone, format!("the device `{name}` was unplugged"), error),
        _ => Error::because(ErrorKind::Io, format!("failed to look at the device `{name}`"), error),
    })
}

fn attribute(name: &HidName, directory: &Directory, attribute: &str) -> Result<Vec<u8>> {
    directory.read(attribute).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Error::because(ErrorKind::Gone, format!("the device `{name}` has no `{attribute}`"), error)
                .with_hint("it was unplugged, or is not a HID device")
        }
        _ if is_gone(&error) => Error::because(ErrorKind::Gone, format!("the device `{name}` was unplugged"), error),
        _ => Error::because(ErrorKind::Io, format!("failed to read `{attribute}` of the device `{name}`"), error),
    })
}

/// Returns whether this is sysfs's error for a device that is being removed.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// Reads `bInterfaceNumber` of the USB interface above a HID device.
///
/// The names of interfaces contain a colon (`usb_set_configuration()`, drivers/usb/core/message.c).
fn usb_interface(directory: &Directory, syspath: &Path) -> Option<u8> {
    file_name(syspath.parent()?).filter(|name| name.contains(':'))?;
    let text = directory.read("../bInterfaceNumber").ok()?;
    u8::from_str_radix(std::str::from_utf8(&text).ok()?.trim(), 16).ok()
}

/// Returns the target of a sysfs link.
///
/// Such a link leads up some folders, then down to a device, with no other link on the way.
fn target(link: &Path) -> io::Result<PathBuf> {
    let mut path = link.parent().unwrap_or(link).to_owned();
    for component in fs::read_link(link)?.components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    Ok(path)
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<OsString> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    // Sort names, not paths: comparing paths component by component is slow.
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

/// Returns the children of a device in one of its class directories, `input` or `hidraw`.
fn children(syspath: &Path, class: &str) -> Vec<PathBuf> {
    entries(&syspath.join(class)).into_iter().filter(|path| path.join("uevent").exists()).collect()
}

/// Returns the sysfs directory of a character device.
fn node_in_sysfs(system: &System, node: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let metadata = fs::metadata(node).ok()?;
    if !metadata.file_type().is_char_device() {
        return None;
    }
    let number = metadata.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    fs::canonicalize(system.sysfs.join(format!("dev/char/{major}:{minor}"))).ok()
}

fn names(system: &System) -> Result<Vec<HidName>> {
    let dir = system.hid_devices();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::because(ErrorKind::Io, format!("failed to list `{}`", dir.display()), error));
        }
    };
    let mut names: Vec<HidName> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    names.sort();
    Ok(names)
}

/// Names the HID devices that are nearest to the user's text, best first.
fn nearest(system: &System, text: &str) -> String {
    const SHOWN: usize = 3;
    let mut devices = Device::all(system).unwrap_or_default();
    if devices.is_empty() {
        return "this machine has no HID devices".to_owned();
    }
    let text = text.to_lowercase();
    devices.sort_by_cached_key(|device| {
        let mut texts = vec![device.name.as_str().to_lowercase(), device.hid_name.to_lowercase()];
        texts.extend(device.nodes().iter().map(|node| node.display().to_string()));
        texts.iter().map(|candidate| strsim::levenshtein(&text, candidate)).min()
    });
    let shown: Vec<String> =
        devices.iter().take(SHOWN).map(|device| format!("{} ({})", device.name, Printable(&device.hid_name))).collect();
    format!("the nearest HID devices are {}; `hidbpf devices` lists all", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_what_the_kernel_says_wherever_its_path_comes_from() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), sysfs: root.path().join("sys"), ..System::default() };
        let name: HidName = "0003:1234:5678.0001".parse().unwrap();
        let syspath = system.sysfs.join("devices/usb1/1-1/1-1:1.2").join(name.as_str());
        let node = syspath.join("hidraw/hidraw0");
        for folder in [&node, &system.hid_devices(), &system.udev_database()] {
            fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(&syspath, system.hid_devices().join(name.as_str())).unwrap();
        // A name with a line break can imitate other lines of the kernel.
        let uevent = "HID_NAME=x\nMODALIAS=hid:b0003g0001v00000001p00000001\nHID_UNIQ=7\nMODALIAS=hid:b0003g0001v00001234p00005678\n";
        for (path, text) in [
            (syspath.join("report_descriptor"), "\x05\x01"),
            (syspath.join("uevent"), uevent),
            (syspath.join("../bInterfaceNumber"), "02\n"),
            (node.join("dev"), "243:0\n"),
            (system.udev_database().join("c243:0"), "E:HIDBPF_IGNORE=1\nE:HUION_FIRMWARE_ID=x\n"),
        ] {
            fs::write(path, text).unwrap();
        }
        for path in [&node, &syspath, Path::new(""), &system.hid_devices().join(name.as_str())] {
            let device = Device::at(&system, &name, path).unwrap();
            assert_eq!(device.syspath, syspath, "{}", path.display());
            assert_eq!(device.modalias.to_string(), "hid:b0003g0001v00001234p00005678");
            assert_eq!((device.uniq.as_str(), device.interface), ("7", Some(2)));
            assert_eq!(device.property("HUION_FIRMWARE_ID").as_deref(), Some("x"));
            // Properties of nodes below a device are not inherited.
            assert!(device.inherited_properties(["HIDBPF_IGNORE"]).is_empty());
        }
        let device = Device::open(&system, &name).unwrap();
        fs::remove_dir_all(&syspath).unwrap();
        assert!(!device.is_present());
        assert_eq!(Device::at(&system, &name, &syspath).unwrap_err().kind(), ErrorKind::Gone);
    }

    #[test]
    fn input_reports_are_seen_in_a_descriptor() {
        let mouse = [0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x75, 0x08, 0x95, 0x03, 0x81, 0x06, 0xc0];
        assert!(has_input_report(&mouse));
        let output_only = [0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x75, 0x08, 0x95, 0x03, 0x91, 0x02, 0xc0];
        assert!(!has_input_report(&output_only));
        let empty_field = [0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x75, 0x08, 0x95, 0x00, 0x81, 0x06, 0xc0];
        assert!(!has_input_report(&empty_field));
        assert!(!has_input_report(&[]));
        assert!(!has_input_report(&mouse[..mouse.len() - 2]));
        let huge = [0x77, 0xff, 0xff, 0xff, 0xff, 0x97, 0xff, 0xff, 0xff, 0xff, 0x81, 0x02];
        assert!(has_input_report(&huge));
    }

    #[test]
    fn what_the_kernel_makes_input_devices_of_is_told_by_the_application() {
        let mouse = [0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0xc0];
        let vendor = [0x06, 0x00, 0xff, 0x09, 0x02, 0xa1, 0x01, 0xc0];
        let physical = [0x05, 0x01, 0x09, 0x02, 0xa1, 0x00, 0xc0];
        let long_usage = [0x06, 0x00, 0xff, 0x0b, 0x01, 0x00, 0x0d, 0x00, 0xa1, 0x01, 0xc0];
        assert!(is_for_input(&mouse) && is_for_input(&long_usage));
        assert!(is_for_input(&[&vendor[..], &mouse].concat()));
        assert!(!is_for_input(&vendor) && !is_for_input(&physical) && !is_for_input(&mouse[..4]) && !is_for_input(&[]));
    }

    #[test]
    fn links_are_followed_by_their_text() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        for (text, expected) in [
            ("../devices/x", folder.path().parent().unwrap().join("devices/x")),
            ("./x", folder.path().join("x")),
            ("/x/y", "/x/y".into()),
        ] {
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(text, &link).unwrap();
            assert_eq!(target(&link).unwrap(), expected);
        }
        assert!(target(&folder.path().join("nothing")).is_err());
    }
}
