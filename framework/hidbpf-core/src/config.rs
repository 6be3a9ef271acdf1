//! The machine owner's configuration: `hidbpf.toml` and the files of `hidbpf.toml.d` in /etc/hidbpf.
//!
//! A file is valid as a whole or not at all. A file is invalid if it is broken, or if users other than root could have
//! written it. Until it is corrected, udev does not attach the drivers that it names. Without its driver a device works
//! as its maker sold it, but a driver that the owner ruled out may do harm. If there are no files, only their directory
//! is read.

mod edit;
mod lock;
pub mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;

use crate::device::Device;
use crate::error::{Error, ErrorKind};
use crate::ids::{Bus, ProductId, VendorId};
use crate::manifest::options::Value;
use crate::manifest::position;
use crate::names::DriverName;
use crate::system::System;
use crate::text::{Printable, fits};
use crate::trusted;

pub use edit::{Edit, Undo, edit};
pub use lock::ChangeLock;

/// The file that is read first.
pub const FILE: &str = "hidbpf.toml";

/// The directory of the files that are read after it, in the order of their names.
pub const DIRECTORY: &str = "hidbpf.toml.d";

/// The file of that directory that the commands write.
pub const OWN_FILE: &str = "90-hidbpf.toml";

/// The largest file that is read, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// The subject of an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Whether udev attaches the driver.
    Enabled,
    /// Whether the driver also applies to a device that its manifest does not match.
    Bind,
    /// An option of the driver.
    Option(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Enabled => f.write_str("enabled"),
            Key::Bind => f.write_str("bind"),
            Key::Option(name) => write!(f, "options.{}", Printable(name)),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The devices that a section is for. All given keys must apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// The bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<Bus>,
    /// The vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorId>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    /// The serial number or address (`HID_UNIQ`), where `*` matches any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniq: Option<String>,
    /// The port (`HID_PHYS`), where `*` matches any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phys: Option<String>,
}

impl DeviceRule {
    /// Returns a rule for this device: by its ids and serial number, or by its ids and its port.
    pub fn of(device: &Device, by_port: bool) -> DeviceRule {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        DeviceRule {
            bus: Some(device.modalias.bus),
            vendor: Some(device.modalias.vendor),
            product: Some(device.modalias.product),
            uniq: if by_port { None } else { given(&device.uniq) },
            phys: if by_port { given(&device.phys) } else { None },
        }
    }

    /// Returns whether the rule applies to a device.
    pub fn holds_for(&self, device: &Device) -> bool {
        let ids = &device.modalias;
        self.bus.is_none_or(|bus| bus == ids.bus)
            && self.vendor.is_none_or(|vendor| vendor == ids.vendor)
            && self.product.is_none_or(|product| product == ids.product)
            && self.uniq.as_ref().is_none_or(|uniq| fits(uniq, &device.uniq))
            && self.phys.as_ref().is_none_or(|phys| fits(phys, &device.phys))
    }
}

impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        words.extend(self.bus.map(|bus| bus.to_string()));
        match (self.vendor, self.product) {
            (Some(vendor), Some(product)) => words.push(format!("{vendor}:{product}")),
            (Some(vendor), None) => words.push(format!("{vendor}:any")),
            (None, Some(product)) => words.push(format!("any:{product}")),
            (None, None) => {}
        }
        words.extend(self.uniq.as_ref().map(|uniq| format!("uniq {}", Printable(uniq))));
        words.extend(self.phys.as_ref().map(|phys| format!("phys {}", Printable(phys))));
        f.write_str(&words.join(" "))
    }
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The column of the value in the line, counted from 1.
    pub column: usize,
}

impl Source {
    /// Returns the place of the value, for errors: file, line and column.
    pub fn place(&self) -> impl fmt::Display {
        format!("{self}:{}", self.column)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One statement of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The driver that it is about.
    pub driver: DriverName,
    /// The devices that it is for; `None` for all.
    pub device: Option<DeviceRule>,
    /// The key that it sets.
    pub key: Key,
    /// The value.
    pub value: Value,
    /// The line that says so.
    pub source: Source,
}

impl Entry {
    /// Returns whether another entry sets the same key for the same driver and devices.
    fn is_about_the_same(&self, other: &Entry) -> bool {
        (&self.driver, &self.device, &self.key) == (&other.driver, &other.device, &other.key)
    }
}

/// An invalid file: it is broken, not to be trusted, or unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The error message, with the place.
    message: String,
    /// A hint, unless it is to correct the file.
    remedy: Option<String>,
    /// The file's text, if readable. It is only searched for names of drivers.
    text: Option<String>,
}

impl Problem {
    /// Returns whether the file may concern this driver: it contains the driver's name, or could not be read.
    pub fn concerns(&self, driver: &DriverName) -> bool {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let Some(text) = &self.text else { return true };
        text.match_indices(driver.as_str()).any(|(at, name)| {
            let before = at.checked_sub(1).and_then(|at| text.as_bytes().get(at));
            let after = text.as_bytes().get(at + name.len());
            [before, after].into_iter().flatten().all(|byte| !is_part(*byte))
        })
    }

    /// Returns the error, with its consequence for drivers and a hint.
    pub fn error(&self) -> Error {
        let which = if self.text.is_some() { "the drivers that the file names" } else { "all drivers" };
        let remedy = self.remedy.as_deref().unwrap_or("correct the file");
        Error::new(ErrorKind::Config, self.to_string())
            .with_hint(format!("{remedy}; until then udev leaves {which} off when a device is plugged in"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The configuration's instruction for a driver on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enablement<'a> {
    /// The configuration does not mention it: the manifest decides.
    Unset,
    /// Attach it wherever its manifest matches.
    Enabled(&'a Source),
    /// Attach it regardless of its manifest.
    Bound(&'a Source),
    /// Do not attach it.
    Disabled(&'a Source),
    /// Do not attach it: an invalid file may concern it.
    Unreadable(&'a Problem),
}

/// The contents of all files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// The files that were read, in this order.
    pub files: Vec<PathBuf>,
    /// Their entries, in the same order.
    pub entries: Vec<Entry>,
    /// The invalid or unreadable files.
    pub problems: Vec<Problem>,
}

type Open = fn(&Path) -> io::Result<File>;

impl Config {
    /// Reads the files.
    ///
    /// [`Config::problems`] lists their errors. udev's events use the system's own directory. There, a file that users
    /// other than root could have written is an error too.
    pub fn read(system: &System) -> Config {
        if system.config == Path::new(System::CONFIG) {
            Config::read_each(system, trusted::open)
        } else {
            Config::read_each(system, |path| File::open(path))
        }
    }

    fn read_each(system: &System, open: Open) -> Config {
        let mut config = Config::default();
        match paths(system) {
            Ok(paths) => paths.into_iter().for_each(|path| config.read_one(path, open)),
            Err(error) => {
                let path = system.config.join(DIRECTORY);
                let message = format!("failed to list `{}`: {error}", path.display());
                config.problems.push(Problem { path, message, remedy: None, text: None });
            }
        }
        config
    }

    /// Parses the text of a single file. `path` is its origin.
    pub fn of_text(path: &Path, text: &str) -> Config {
        let mut config = Config::default();
        config.add(path.to_owned(), text.to_owned());
        config
    }

    /// Returns the text of a single file that contains the effective entries.
    pub fn to_text(&self) -> String {
        edit::to_text(&self.in_force())
    }

    fn add(&mut self, path: PathBuf, text: String) {
        match parse(&path, &text) {
            Ok(entries) => {
                self.entries.extend(entries);
                self.files.push(path);
            }
            Err(message) => self.problems.push(Problem { path, message, remedy: None, text: Some(text) }),
        }
    }

    fn read_one(&mut self, path: PathBuf, open: Open) {
        match open(&path).and_then(read_text) {
            Ok(text) => self.add(path, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
            Err(error) => {
                let message = format!("failed to read `{}`: {error}", path.display());
                let remedy = trusted::hint(&error);
                let text = open_regular(&path).and_then(read_text).ok();
                self.problems.push(Problem { path, message, remedy, text });
            }
        }
    }

    /// Returns the last entry about a driver on a device.
    ///
    /// Entries for the device take precedence over entries for all devices. Without a device, only entries for all
    /// devices count.
    pub fn find(&self, driver: &DriverName, device: Option<&Device>, key: &Key) -> Option<&Entry> {
        let about = |entry: &&Entry| entry.driver == *driver && entry.key == *key;
        let is_for = |entry: &&Entry| match (&entry.device, device) {
            (Some(rule), Some(device)) => rule.holds_for(device),
            _ => false,
        };
        let said = || self.entries.iter().rev().filter(about);
        said().find(is_for).or_else(|| said().find(|entry| entry.device.is_none()))
    }

    /// Returns the configuration's instruction for a driver on a device, which must have its original ids.
    pub fn enablement(&self, driver: &DriverName, device: &Device) -> Enablement<'_> {
        if let Some(problem) = self.problems.iter().find(|problem| problem.concerns(driver)) {
            return Enablement::Unreadable(problem);
        }
        let enabled = self.find(driver, Some(device), &Key::Enabled);
        let bound = self.find(driver, Some(device), &Key::Bind).filter(|entry| entry.value == Value::Bool(true));
        match (enabled, bound) {
            // Disabling a bound driver takes an entry for the device. An entry for all devices does not suffice.
            (Some(entry), None) if entry.value == Value::Bool(false) => Enablement::Disabled(&entry.source),
            (Some(entry), Some(_)) if entry.value == Value::Bool(false) && entry.device.is_some() => {
                Enablement::Disabled(&entry.source)
            }
            (_, Some(entry)) => Enablement::Bound(&entry.source),
            (Some(entry), None) => Enablement::Enabled(&entry.source),
            (None, None) => Enablement::Unset,
        }
    }

    /// Returns the drivers that the configuration enables on a device, whether or not udev's hwdb names them.
    pub fn wanted(&self, device: &Device) -> BTreeSet<&DriverName> {
        let drivers: BTreeSet<&DriverName> = self.entries.iter().map(|entry| &entry.driver).collect();
        drivers
            .into_iter()
            .filter(|driver| matches!(self.enablement(driver, device), Enablement::Enabled(_) | Enablement::Bound(_)))
            .collect()
    }

    /// Returns the configuration without the entry for this driver, these devices and this key.
    #[must_use]
    pub fn without(&self, driver: &DriverName, device: Option<&DeviceRule>, key: &Key) -> Config {
        let mut config = self.clone();
        config.entries.retain(|entry| (&entry.driver, entry.device.as_ref(), &entry.key) != (driver, device, key));
        config
    }

    /// Returns the effective entries: the last of those that set the same key for the same driver and devices.
    pub fn in_force(&self) -> Vec<&Entry> {
        let mut in_force: Vec<&Entry> = Vec::new();
        for entry in &self.entries {
            in_force.retain(|before| !before.is_about_the_same(entry));
            in_force.push(entry);
        }
        in_force
    }
}

fn read_text(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MAX_SIZE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SIZE { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// Opens a regular file that may belong to any user. Does not block on a FIFO without a writer.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Returns the files that may exist, in the order in which they are read.
fn paths(system: &System) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let directory = system.config.join(DIRECTORY);
    match fs::read_dir(&directory) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if path.extension() == Some(OsStr::new("toml")) && !hidden {
                    paths.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.is_symlink() => {}
        Err(error) => return Err(error),
    }
    paths.sort();
    let first = system.config.join(FILE);
    // Walking to a file takes a dozen system calls before it turns out to be missing.
    if !matches!(first.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        paths.insert(0, first);
    }
    Ok(paths)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Layout {
    #[serde(default)]
    driver: BTreeMap<DriverName, Everywhere>,
    #[serde(default)]
    device: Vec<Spanned<Section>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Everywhere {
    enabled: Option<Spanned<bool>>,
    #[serde(default)]
    options: BTreeMap<String, Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    bus: Option<Bus>,
    vendor: Option<VendorId>,
    product: Option<ProductId>,
    uniq: Option<String>,
    phys: Option<String>,
    #[serde(default)]
    driver: BTreeMap<DriverName, OnDevice>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDevice {
    enabled: Option<Spanned<bool>>,
    bind: Option<Spanned<bool>>,
    #[serde(default)]
    options: BTreeMap<String, Spanned<Value>>,
}

/// Parses the text of a file. `path` is its origin. The error names file, line and column.
fn parse(path: &Path, text: &str) -> std::result::Result<Vec<Entry>, String> {
    let wrong = |offset: Option<usize>, message: &str| {
        let place = offset.map(|offset| position(text, offset));
        let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        format!("{}{place}: {}", path.display(), message.replace('\n', " "))
    };
    let layout: Layout =
        toml::from_str(text).map_err(|error| wrong(error.span().map(|span| span.start), error.message()))?;
    let mut entries = Vec::new();
    let mut add = |driver: &DriverName, device: Option<&DeviceRule>, key: Key, at: usize, value: Value| {
        let (line, column) = position(text, at);
        let source = Source { path: path.to_owned(), line, column };
        entries.push(Entry { driver: driver.clone(), device: device.cloned(), key, value, source });
    };
    for (driver, Everywhere { enabled, options }) in layout.driver {
        if let Some(enabled) = enabled {
            add(&driver, None, Key::Enabled, enabled.span().start, Value::Bool(*enabled.get_ref()));
        }
        for (name, value) in options {
            add(&driver, None, Key::Option(name), value.span().start, value.into_inner());
        }
    }
    for section in layout.device {
        let start = section.span().start;
        let Section { bus, vendor, product, uniq, phys, driver: drivers } = section.into_inner();
        let rule = DeviceRule { bus, vendor, product, uniq, phys };
        if rule == DeviceRule::default() {
            let what = "a `[[device]]` needs one of `bus`, `vendor`, `product`, `uniq` and `phys`";
            return Err(wrong(Some(start), what));
        }
        for (driver, OnDevice { enabled, bind, options }) in drivers {
            for (key, value) in [(Key::Enabled, enabled), (Key::Bind, bind)] {
                if let Some(value) = value {
                    add(&driver, Some(&rule), key, value.span().start, Value::Bool(*value.get_ref()));
                }
            }
            for (name, value) in options {
                add(&driver, Some(&rule), Key::Option(name), value.span().start, value.into_inner());
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ids::{Group, Modalias};

    pub(super) const MOUSE: &str = "mouse-invert-y";

    pub(super) fn driver(name: &str) -> DriverName {
        DriverName::new(name).unwrap()
    }

    pub(super) fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        let system = System { config: root.path().to_owned(), ..System::default() };
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (root, system)
    }

    pub(super) fn device(vendor: u32, uniq: &str, phys: &str) -> Device {
        let modalias =
            Modalias { bus: Bus::USB, group: Group::GENERIC, vendor: VendorId(vendor), product: ProductId(0xa09f) };
        Device::example(modalias, uniq, phys)
    }

    pub(super) const MAIN: &str = "
[driver.mouse-invert-y]
enabled = true
options.axis = \"x\"

[[device]]
vendor = 0x04d9
uniq = \"AB*\"
[device.driver.mouse-invert-y]
options = { axis = \"both\", fast = true, steps = 3 }
[device.driver.other-one]
bind = true
";

    #[test]
    fn what_is_said_for_the_device_goes_first_and_then_what_is_said_last() {
        let (_root, system) = system(&[
            (FILE, MAIN),
            ("hidbpf.toml.d/10-a.toml", "[driver.mouse-invert-y]\nenabled = false\n"),
            ("hidbpf.toml.d/.hidden.toml", "nonsense"),
            ("hidbpf.toml.d/20-b.toml~", "nonsense"),
        ]);
        let config = Config::read(&system);
        assert_eq!(config.problems, []);
        assert_eq!(config.files.len(), 2);
        let (plain, special) = (device(0x04d9, "X", ""), device(0x04d9, "AB1", ""));
        let name = driver(MOUSE);
        let Enablement::Disabled(source) = config.enablement(&name, &plain) else { panic!("not disabled") };
        assert_eq!((source.path.file_name().unwrap().to_str().unwrap(), source.line), ("10-a.toml", 2));
        let axis = |device| config.find(&name, device, &Key::Option("axis".to_owned())).map(|entry| &entry.value);
        assert_eq!(axis(Some(&plain)), Some(&Value::Text("x".to_owned())));
        assert_eq!(axis(Some(&special)), Some(&Value::Text("both".to_owned())));
        assert_eq!(axis(None), Some(&Value::Text("x".to_owned())));
        assert!(matches!(config.enablement(&driver("other-one"), &special), Enablement::Bound(_)));
        assert_eq!(config.enablement(&driver("other-one"), &plain), Enablement::Unset);
        assert_eq!(config.wanted(&special), BTreeSet::from([&driver("other-one")]));
    }

    #[test]
    fn a_bound_driver_is_ruled_out_for_the_device_alone() {
        let bound = "[driver.x]\nenabled = false\n[[device]]\nvendor = 1\ndriver.x.bind = true\n";
        let (root, system) = system(&[(FILE, bound)]);
        assert!(matches!(Config::read(&system).enablement(&driver("x"), &device(1, "", "")), Enablement::Bound(_)));
        fs::write(root.path().join(FILE), format!("{bound}driver.x.enabled = false\n")).unwrap();
        assert!(matches!(Config::read(&system).enablement(&driver("x"), &device(1, "", "")), Enablement::Disabled(_)));
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        for (text, words) in [
            ("drivers = 1\n", "hidbpf.toml:1:1: unknown field `drivers`, expected `driver` or `device`"),
            ("[driver.x]\nenable = true\n", "hidbpf.toml:2:1: unknown field `enable`, expected `enabled` or `options`"),
            ("[driver.x]\nbind = true\n", "hidbpf.toml:2:1: unknown field `bind`"),
            ("[driver.x]\nenabled = \"yes\"\n", "hidbpf.toml:2:11: invalid type: string \"yes\", expected a boolean"),
            (
                "[driver.x]\noptions.a = 1.5\n",
                "hidbpf.toml:2:13: expected true, false, a whole number, a text or points",
            ),
            ("[driver.X]\nenabled = true\n", "hidbpf.toml:1:9: `X` can't be a driver's name"),
            ("[[device]]\n[device.driver.x]\nenabled = true\n", "hidbpf.toml:1:1: a `[[device]]` needs one of `bus`"),
            ("[[device]]\nvendor = \"a\"\n", "hidbpf.toml:2:10: invalid value: string \"a\", expected a vendor"),
            ("[[device]]\nserial = \"a\"\n", "hidbpf.toml:2:1: unknown field `serial`, expected one of `bus`"),
            ("x", "hidbpf.toml:1:2:"),
        ] {
            let (_root, system) = system(&[(FILE, text)]);
            let config = Config::read(&system);
            let [problem] = &config.problems[..] else { panic!("{text}: {config:?}") };
            assert!(problem.to_string().contains(words), "{text}: {problem}");
        }
    }

    #[test]
    fn a_broken_file_leaves_off_what_it_names_and_one_that_is_unreadable_everything() {
        let (root, system) = system(&[
            (FILE, "[driver.fine]\nenabled = false\n"),
            ("hidbpf.toml.d/10.toml", "[driver.mouse-invert-y]\nenabled = flase\n"),
        ]);
        let device = device(1, "", "");
        let config = Config::read(&system);
        assert!(matches!(config.enablement(&driver("fine"), &device), Enablement::Disabled(_)));
        assert!(matches!(config.enablement(&driver(MOUSE), &device), Enablement::Unreadable(_)));
        for other in ["mouse", "invert", "mouse-invert-yy", "other"] {
            assert_eq!(config.enablement(&driver(other), &device), Enablement::Unset, "{other}");
        }
        assert!(config.problems[0].error().hint().unwrap().contains("the drivers that the file names"));
        fs::write(root.path().join("hidbpf.toml.d/10.toml"), b"\xff\xfe").unwrap();
        expect_all_in_doubt(&system, "did not contain valid UTF-8");
    }

    /// Expects one problem, which disables all drivers.
    fn expect_all_in_doubt(system: &System, words: &str) {
        let config = Config::read(system);
        let [problem] = &config.problems[..] else { panic!("{words}: {config:?}") };
        assert!(problem.to_string().contains(words), "{words}: {problem}");
        assert!(problem.error().hint().unwrap().contains("leaves all drivers off"), "{words}");
        assert!(
            matches!(config.enablement(&driver("other"), &device(1, "", "")), Enablement::Unreadable(_)),
            "{words}"
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_problems_and_not_missing_files() {
        for (link, target, words) in [
            (FILE, "hidbpf.toml", "symbolic links"),
            (FILE, "hidbpf.toml.d/missing", "No such file"),
            ("hidbpf.toml.d/10.toml", "11.toml", "No such file"),
            (DIRECTORY, DIRECTORY, "symbolic links"),
            (DIRECTORY, "missing", "No such file"),
        ] {
            let (root, system) = system(&[]);
            let path = root.path().join(link);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, &path).unwrap();
            expect_all_in_doubt(&system, words);
        }
    }

    #[test]
    fn what_others_could_have_written_does_not_hold_and_leaves_off_what_it_names() {
        let text = "[driver.fine]\noptions.x = 1\n[driver.mouse-invert-y]\nenabled = true\n";
        let (_root, system) = system(&[(FILE, text)]);
        let device = device(1, "", "");
        // Any user can write to a temporary directory.
        let config = Config::read_each(&system, trusted::open);
        assert_eq!(config.entries, []);
        for named in ["fine", MOUSE] {
            assert!(matches!(config.enablement(&driver(named), &device), Enablement::Unreadable(_)), "{named}");
        }
        assert_eq!(config.enablement(&driver("other"), &device), Enablement::Unset);
        let error = config.problems[0].error();
        assert!(error.to_string().contains("can be written by everybody"), "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("chmod go-w") && hint.contains("leaves the drivers that the file names off"), "{hint}");
        let none = System { config: "/nonexistent/hidbpf".into(), ..System::default() };
        assert_eq!(Config::read_each(&none, trusted::open), Config::default());
    }
}
