//! hidbpf's state of each device until the next boot: one JSON file for each device in `/run/hidbpf/devices`.
//!
//! The pins in bpffs show which drivers are attached. The file adds the original descriptor, the match rules that
//! applied, the failures, and the drivers that the user detached. If the two disagree, the pins are right. The udev
//! rules also test for the file: a device that has one needs a cleanup when it is unplugged.
//!
//! Packages are upgraded and downgraded while drivers are attached. So unknown fields are ignored. From a file of
//! another version, or a damaged one, every usable field is kept (`state/salvage.rs`).

pub mod effect;
mod salvage;
pub(crate) mod settled;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hidbpf_descriptor::HexBytes;
use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::driver::object::Hook;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::files::{Durability, failed_to_write, in_dir, remove_if_there, write_whole};
use crate::ids::{HidName, Modalias};
use crate::kernel::Generation;
use crate::load::loader::LoaderKind;
use crate::manifest::Fingerprint;
use crate::manifest::exports::Exported;
use crate::manifest::options::Values;
use crate::names::DriverName;
use crate::state::effect::DescriptorEffect;
use crate::sys;
use crate::system::System;
use crate::text::Hex;

/// The version of the state file's layout.
const VERSION: u32 = 1;

/// The state of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceState {
    version: u32,
    /// The device.
    pub device: HidName,
    /// The device's own name.
    pub hid_name: String,
    /// Its ids before a driver was attached, as `MODALIAS`.
    pub modalias: String,
    /// Its original descriptor, in hex. Empty if it is not known.
    #[serde(alias = "rdesc")]
    pub original: String,
    /// The drivers that are attached or being attached.
    pub drivers: Vec<DriverState>,
    /// The drivers that the user detached. udev does not attach them until the device is plugged in again.
    #[serde(rename = "taken-off")]
    pub unloaded: Vec<DriverName>,
    /// The last failure of each driver.
    pub failures: Vec<RecordedFailure>,
    /// The options that the user set until the device is plugged in again, by driver.
    #[serde(default)]
    pub set: BTreeMap<DriverName, Values>,
    /// The mode switches of the USB device that it is an interface of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mode_switches: Vec<SwitchState>,
    /// Whether the device may have a [`System::set_up_mark`].
    #[serde(skip)]
    pub(crate) marked: bool,
    /// Whether the device has a state file.
    #[serde(skip)]
    pub(crate) is_kept: bool,
}

/// What a driver's mode switch has brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SwitchState {
    /// The driver that declares the switch.
    pub driver: DriverName,
    /// The answers, by udev property.
    pub answers: BTreeMap<String, String>,
    /// Why the switch failed or was undone, if it was.
    pub problem: Option<SwitchProblem>,
    /// Whether the device was put back in the mode in which it starts. Then the answers are not udev properties.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

/// Why a mode switch failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SwitchProblem {
    /// The error message.
    pub message: String,
    /// How to resolve it.
    pub hint: String,
}

/// The state of a driver on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriverState {
    /// The driver.
    pub driver: DriverName,
    /// The object that it was loaded from.
    pub object: PathBuf,
    /// The checksum of that object: [`crate::driver::object::DriverObject::fingerprint`].
    #[serde(default, rename = "seal")]
    pub fingerprint: Option<Fingerprint>,
    /// The kernel interface that it was attached with.
    pub generation: Generation,
    /// The hooks that it uses.
    pub hooks: Vec<Hook>,
    /// The match rule of its manifest that applied.
    ///
    /// `None` if it was forced on a device that no rule matches.
    pub rule: Option<String>,
    /// The effect of its descriptor hook. Until it is pinned, the expected effect.
    pub change: DescriptorEffect,
    /// Size of the fixed descriptor in bytes, if the kernel driver may have changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_size: Option<usize>,
    /// Whether no kernel driver was bound to the device before: the kernel refused the original descriptor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbound_before: bool,
    /// Whether it is a foreign object, which does not record whether its descriptor hook ran.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub foreign: bool,
    /// The loader that brought its programs into the kernel.
    #[serde(default)]
    pub loaded: Option<LoaderKind>,
    /// The udev properties that it was given.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// The offset and the size, in bytes, of each option variable.
    #[serde(default)]
    pub options: BTreeMap<String, (usize, usize)>,
    /// The names of its maps that other programs may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<String>,
    /// The offset and the size, in bytes, of each variable that it shares with drivers of other interfaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, (usize, usize)>,
    /// The udev properties that it sets on the device.
    #[serde(default)]
    pub exports: Vec<Exported>,
    /// For a driver with a setup: the kernel's latest uevent number when the setup last ran.
    ///
    /// A later bind event was not caused by hidbpf.
    #[serde(default)]
    pub set_up: Option<u64>,
}

impl DriverState {
    /// Returns whether the device needs a [`System::set_up_mark`].
    fn needs_mark(&self) -> bool {
        self.set_up.is_some() || self.exports.iter().any(|exported| exported.value.is_some())
    }
}

/// A failure that has not been resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecordedFailure {
    /// The affected drivers.
    pub drivers: Vec<DriverName>,
    /// The error message.
    pub message: String,
    /// How to resolve it.
    pub hint: Option<String>,
    /// The step that failed.
    #[serde(default)]
    pub step: Option<Step>,
    /// How often in a row the kernel skipped the driver's descriptor hook: [`ErrorKind::Skipped`].
    #[serde(default)]
    pub skipped: u32,
}

impl RecordedFailure {
    /// How often udev's events try to attach a driver whose descriptor hook the kernel skips.
    ///
    /// After that, they wait until the device is plugged in again. Each attempt can make the kernel bind the device,
    /// and each binding is an event.
    pub(crate) const MAX_TRIES: u32 = 3;

    /// Returns whether a bind event triggers another attempt.
    ///
    /// The kernel skips a descriptor hook when it is about to bind the device for another reason.
    pub fn may_be_tried_again(&self) -> bool {
        (1..RecordedFailure::MAX_TRIES).contains(&self.skipped)
    }
}

impl DeviceState {
    /// Returns the initial state of a device.
    pub fn new(device: &Device) -> DeviceState {
        DeviceState {
            hid_name: device.hid_name.clone(),
            modalias: device.modalias.to_string(),
            original: Hex(device.original().unwrap_or_default()).to_string(),
            ..DeviceState::unknown(&device.name)
        }
    }

    /// Returns the state of a device if only its name is known.
    fn unknown(device: &HidName) -> DeviceState {
        DeviceState {
            version: VERSION,
            device: device.clone(),
            hid_name: String::new(),
            modalias: String::new(),
            original: String::new(),
            drivers: Vec::new(),
            unloaded: Vec::new(),
            failures: Vec::new(),
            set: BTreeMap::new(),
            mode_switches: Vec::new(),
            marked: false,
            is_kept: false,
        }
    }

    /// Reads a device's state.
    ///
    /// Returns `None` if it has no state file. Logs the unusable parts of a file and keeps the rest.
    pub fn read(system: &System, device: &HidName) -> Option<DeviceState> {
        let path = system.state(device);
        let state = match fs::read(&path) {
            Ok(text) => DeviceState::parse(&text, device, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("failed to read the state file `{}`: {error}", path.display());
                DeviceState::unknown(device)
            }
        };
        let marked = state.drivers.iter().any(DriverState::needs_mark);
        Some(DeviceState { marked, is_kept: true, ..state })
    }

    fn parse(text: &[u8], device: &HidName, path: &Path) -> DeviceState {
        if let Ok(state) = serde_json::from_slice::<DeviceState>(text)
            && state.version == VERSION
            && state.device == *device
        {
            return state;
        }
        let mut state = DeviceState::unknown(device);
        let mut unusable = salvage::salvage(text, &mut state);
        if state.device != *device {
            unusable = vec![format!("all of it, which is about the device `{}`", state.device)];
            state = DeviceState::unknown(device);
        }
        let path = path.display();
        match unusable.is_empty() {
            true => tracing::debug!("another version of hidbpf wrote the state file `{path}`"),
            false => tracing::warn!("ignored parts of the state file `{path}`: {}", unusable.join(", ")),
        }
        state
    }

    /// Writes the state of the locked device atomically.
    ///
    /// # Errors
    /// The directory can't be created or the file can't be written.
    pub fn write(&mut self, system: &System, lock: &DeviceLock) -> Result<StateWritten> {
        self.try_write(system, lock).map_err(|error| error.during(Step::Remember))?;
        Ok(StateWritten(()))
    }

    fn try_write(&mut self, system: &System, DeviceLock { device, .. }: &DeviceLock) -> Result<()> {
        /// Large enough for most states, in bytes.
        const MOST: usize = 2048;
        let path = system.state(device);
        let mut text = Vec::with_capacity(MOST);
        serde_json::to_writer(&mut text, self).map_err(|error| failed_to_write(&path, error.into()))?;
        text.push(b'\n');
        let written = in_dir([&system.run, &system.states()], || write(&path, &text))?;
        written.map_err(|error| failed_to_write(&path, error))?;
        self.is_kept = true;
        if !self.mode_switches.is_empty() {
            let (dir, path) = (system.answers_dir(), system.answers(&self.device));
            let lines: String = self.answers().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            let written = in_dir([&*system.run, &dir], || write(&path, lines.as_bytes()))?;
            written.map_err(|error| failed_to_write(&path, error))?;
        }
        let mark = system.set_up_mark(device);
        if self.drivers.iter().any(DriverState::needs_mark) {
            self.marked = true;
            let (marks, exported) = (system.set_up_marks(), self.exported());
            let exported: String = exported.map(|(name, value)| format!("{name}={value}\n")).collect();
            let dirs = [&*system.run, &marks];
            let written = in_dir(dirs, || write(&mark, exported.as_bytes()))?;
            return written.map_err(|error| failed_to_write(&mark, error));
        }
        if self.marked {
            remove_if_there(&mark)?;
            self.marked = false;
        }
        Ok(())
    }

    /// Returns the udev properties that the drivers set on the device, with their values.
    pub fn exported(&self) -> impl Iterator<Item = (&str, &str)> {
        let exported = self.drivers.iter().flat_map(|driver| &driver.exports);
        exported.filter_map(|exported| Some((exported.export.property.as_str(), exported.value.as_deref()?)))
    }

    /// Returns the answers of its mode switches, by udev property.
    pub fn answers(&self) -> BTreeMap<String, String> {
        let lasting = self.mode_switches.iter().filter(|switch| !switch.undone);
        lasting.flat_map(|switch| switch.answers.clone()).collect()
    }

    /// Records what a driver's mode switch has brought. Returns whether that is new.
    pub(crate) fn note_mode_switch(&mut self, switch: SwitchState) -> bool {
        if self.mode_switches.contains(&switch) {
            return false;
        }
        self.mode_switches.retain(|known| known.driver != switch.driver);
        self.mode_switches.push(switch);
        true
    }

    /// Removes the state of the locked device. It is not an error if the device has none.
    ///
    /// # Errors
    /// The file exists but can't be removed.
    pub fn forget(system: &System, DeviceLock { device, .. }: &DeviceLock) -> Result<()> {
        settled::forget(system, device)?;
        for path in [system.set_up_mark(device), system.answers(device), system.state(device)] {
            remove_if_there(&path)?;
        }
        Ok(())
    }

    /// Returns the names of the devices that have a state file.
    pub fn devices(system: &System) -> Vec<HidName> {
        let entries = fs::read_dir(system.states()).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).collect()
    }

    /// Returns the device's original descriptor, if it is known.
    pub fn original(&self) -> Option<Vec<u8>> {
        let HexBytes(bytes) = self.original.parse().ok()?;
        Some(bytes)
    }

    /// Records the device's original descriptor.
    pub(crate) fn set_original(&mut self, original: &[u8]) {
        self.original = Hex(original).to_string();
    }

    /// Returns the device's ids before drivers were attached.
    ///
    /// Returns `None` if no driver is attached, because a kernel driver may have changed the ids since.
    pub(crate) fn ids(&self) -> Option<Modalias> {
        if self.drivers.is_empty() {
            return None;
        }
        self.modalias.parse().ok()
    }

    /// Returns the options of a driver that the user set by hand.
    pub fn set_by_hand(&self, driver: &DriverName) -> Values {
        self.set.get(driver).cloned().unwrap_or_default()
    }

    /// Records a failure, and drops older failures of the same drivers.
    pub fn fail(&mut self, drivers: Vec<DriverName>, error: &Error) {
        let before = self.failures.iter().find(|failure| failure.drivers == drivers);
        let skipped = match error.kind() {
            ErrorKind::Skipped => before.map_or(0, |failure| failure.skipped) + 1,
            _ => 0,
        };
        self.resolve(&drivers);
        let (message, hint, step) = (error.to_string(), error.hint().map(str::to_owned), error.place().step);
        self.failures.push(RecordedFailure { drivers, message, hint, step, skipped });
    }

    /// Drops all failures that affect any of these drivers.
    pub fn resolve(&mut self, drivers: &[DriverName]) {
        self.failures.retain(|failure| !failure.drivers.iter().any(|driver| drivers.contains(driver)));
    }
}

/// A device's lock.
///
/// Only its holder attaches, detaches or writes state for the device. It locks one byte of a shared file, at the offset
/// of the device's number, so that no device needs its own lock file.
#[derive(Debug)]
pub struct DeviceLock {
    device: HidName,
    _lock: ByteLock,
}

/// A byte of the shared lock file that this process holds until the value is dropped.
#[derive(Debug)]
pub(crate) struct ByteLock(#[expect(dead_code, reason = "holds the lock")] File);

/// Proof that the state of a device was written, which has to happen before its pins exist. Otherwise udev would not
/// clean up when the device is unplugged.
#[derive(Debug)]
pub struct StateWritten(());

impl DeviceLock {
    /// Waits for the device's lock and takes it.
    ///
    /// # Errors
    /// The file can't be created, or another process held the lock for too long.
    pub fn take(system: &System, device: &HidName) -> Result<DeviceLock> {
        let lock = ByteLock::take(system, device.id().0.into(), &format_args!("the device `{device}`"))?;
        Ok(DeviceLock { device: device.clone(), _lock: lock })
    }
}

impl ByteLock {
    /// How long to wait for another process. Attaching takes a fraction of a second.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Waits for a byte and locks it. `what` it stands for is for messages.
    ///
    /// # Errors
    /// The file can't be created, or another process held the lock for too long.
    pub(crate) fn take(system: &System, at: u64, what: &dyn fmt::Display) -> Result<ByteLock> {
        let path = system.lock();
        // A process that can open the file could block others.
        let open = || File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = in_dir([&system.run], open)?.map_err(|error| {
            let what = format!("failed to open the lock `{}`", path.display());
            Error::permission_or(ErrorKind::Io, what, error).with_hint("run the command as root, for example with sudo")
        })?;
        let started = Instant::now();
        loop {
            match sys::lock_byte(file.as_fd(), at) {
                Ok(true) => return Ok(ByteLock(file)),
                Ok(false) if started.elapsed() < ByteLock::PATIENCE => std::thread::sleep(Duration::from_millis(5)),
                Ok(false) => {
                    let patience = ByteLock::PATIENCE.as_secs();
                    let what = format!("another process has worked on {what} for {patience} s");
                    return Err(Error::new(ErrorKind::Busy, what)
                        .with_hint(format!("`fuser -v {}` names the process", path.display())));
                }
                Err(error) => {
                    return Err(Error::because(ErrorKind::Io, format!("failed to lock `{}`", path.display()), error));
                }
            }
        }
    }
}

/// Replaces a file of `/run/hidbpf` that everybody can read.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole(path, bytes, 0o644, Durability::Process)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state file with a value in each field.
    pub(super) const FULL: &str = r#"{"version":1,"device":"0003:11C0:5606.0001","hid-name":"Raptor",
        "modalias":"hid:b0003g0001v000011C0p00005606","original":"0501","drivers":[{"driver":"one","object":"/one.bpf.o","seal":null,
        "generation":"struct-ops","hooks":["rdesc-fixup"],"rule":null,"change":"fixed","fixed-size":3,"unbound-before":true,"loaded":{"way":"fast"},
        "properties":{"A":"b"},"options":{"option_a":[0,4]},"exports":[],"set-up":7}],"taken-off":["two"],
        "failures":[{"drivers":["three"],"message":"failed","hint":"try","step":"attach","skipped":1}],"set":{"one":{"a":true}},
        "mode-switches":[{"driver":"one","answers":{"A":"b"},"problem":{"message":"failed","hint":"try"}}]}"#;

    fn device() -> HidName {
        "0003:11C0:5606.0001".parse().unwrap()
    }

    pub(super) fn fresh() -> DeviceState {
        DeviceState::unknown(&device())
    }

    fn parse(text: &str) -> DeviceState {
        DeviceState::parse(text.as_bytes(), &device(), Path::new("/run/hidbpf/devices/it.json"))
    }

    /// Checks the fields that are kept from any version.
    fn expect_kept(state: &DeviceState) {
        let full: DeviceState = serde_json::from_str(FULL).unwrap();
        assert_eq!(state.original(), Some(vec![5, 1]));
        assert_eq!((&state.unloaded, &state.set, &state.failures), (&full.unloaded, &full.set, &full.failures));
        assert_eq!((&state.hid_name, &state.modalias, state.version), (&full.hid_name, &full.modalias, VERSION));
    }

    #[test]
    fn what_this_version_does_not_know_is_ignored() {
        let full: DeviceState = serde_json::from_str(FULL).unwrap();
        let newer = FULL.replacen("\"hid-name\"", "\"new\":[{}],\"hid-name\"", 1);
        assert_eq!(parse(&newer), full);
        let newer = FULL.replace("\"rule\":null", "\"new\":1,\"rule\":null");
        assert_eq!(parse(&newer), full);
        let newer = parse(&FULL.replace("\"struct-ops\"", "\"a-newer-one\""));
        expect_kept(&newer);
        assert_eq!(newer.drivers, []);
    }

    #[test]
    fn of_other_versions_is_kept_what_never_changes() {
        for version in ["0", "2", "4294967295"] {
            let other = parse(&FULL.replacen('1', version, 1));
            expect_kept(&other);
            assert_eq!(other.drivers, [], "{version}");
        }
        for version in ["-1", "null", "\"1\""] {
            expect_kept(&parse(&FULL.replacen('1', version, 1)));
        }
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_anywhere_is_read_up_to_there() {
        let full: DeviceState = serde_json::from_str(FULL).unwrap();
        let end = |text: &str| FULL.find(text).unwrap() + text.len();
        let (original, unloaded) = (end("\"0501\""), end("[\"two\"]"));
        for cut in 0..FULL.len() {
            let state = parse(&FULL[..cut]);
            assert_eq!(state.original(), full.original().filter(|_| cut >= original), "cut at {cut}");
            assert_eq!(state.unloaded.len(), usize::from(cut >= unloaded), "cut at {cut}");
        }
        for place in 0..FULL.len() {
            let mut text = FULL.as_bytes().to_vec();
            text[place] = 0;
            let state = DeviceState::parse(&text, &device(), Path::new("it"));
            assert!(state.original().is_none_or(|original| original == [5, 1]), "damaged at {place}");
        }
        for text in ["", "null", "[]", "{}", "\0", "\"\"", "{\"version\":1}", &"[".repeat(100_000)] {
            assert_eq!(parse(text), fresh());
        }
    }

    #[test]
    fn the_file_of_another_device_counts_as_damaged() {
        assert_eq!(parse(&FULL.replace("5606.0001", "5606.0002")), fresh());
    }

    #[test]
    fn what_can_not_be_read_is_no_reason_to_stop() {
        let run = tempfile::tempdir().unwrap();
        let system = System { run: run.path().to_owned(), ..System::default() };
        assert_eq!(DeviceState::read(&system, &device()), None);
        fs::create_dir_all(system.state(&device())).unwrap();
        let mut state = DeviceState::read(&system, &device()).unwrap();
        assert_eq!(state, DeviceState { is_kept: true, ..fresh() });
        // Writing to it reports the error.
        let lock = DeviceLock::take(&system, &device()).unwrap();
        let error = state.write(&system, &lock).unwrap_err().to_string();
        assert!(error.contains(&*system.state(&device()).to_string_lossy()), "{error}");
    }

    #[test]
    fn a_device_is_locked_by_one_and_others_are_not() {
        let run = tempfile::tempdir().unwrap();
        let system = System { run: run.path().join("hidbpf"), ..System::default() };
        let [one, other] = ["0003:0001:0001.0001", "0003:0001:0001.FFFFFFFF"].map(|name| name.parse().unwrap());
        let locked = DeviceLock::take(&system, &one).unwrap();
        let _other = DeviceLock::take(&system, &other).unwrap();
        let file = File::options().write(true).open(system.lock()).unwrap();
        let is_free = || sys::lock_byte(file.as_fd(), one.id().0.into()).unwrap();
        assert!(!is_free());
        drop(locked);
        assert!(is_free());
    }
}
