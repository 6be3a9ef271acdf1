//! A HID device as user space sees it: its evdev nodes, their capabilities, their events, and its hidraw node.
//!
//! Capabilities and events are compared as text, so that an expectation reads like the output of a tool and a difference shows both sides.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use evdev::raw_stream::RawDevice;
use evdev::{AbsoluteAxisCode, EventType, InputEvent, KeyCode, PropType, RelativeAxisCode};

/// An open evdev node.
#[derive(Debug)]
pub struct Node {
    /// `/dev/input/event3`.
    pub path: PathBuf,
    /// The input device's name.
    pub name: String,
    device: RawDevice,
}

impl Node {
    /// Opens all evdev nodes of the HID device at `syspath`, in the order in which the kernel made them.
    ///
    /// # Errors
    /// A node can't be opened; its path is in the message.
    pub fn all_of(syspath: &Path) -> Result<Vec<Node>> {
        let mut numbers = BTreeSet::new();
        for input in children(&syspath.join("input"), "input")? {
            for (number, _) in children_numbered(&input, "event")? {
                numbers.insert(number);
            }
        }
        numbers.into_iter().map(|number| Node::open(&PathBuf::from(format!("/dev/input/event{number}")))).collect()
    }

    fn open(path: &Path) -> Result<Node> {
        let device = open_nonblocking(path)
            .and_then(|file| RawDevice::from_fd(file.into()))
            .with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Node { path: path.to_owned(), name: device.name().unwrap_or_default().to_owned(), device })
    }

    /// Returns true if it moves a pointer.
    pub fn is_pointer(&self) -> bool {
        self.device.supported_relative_axes().is_some_and(|axes| axes.contains(RelativeAxisCode::REL_X))
    }

    /// Returns the roles that udev gives it, as `TABLET TABLET_PAD`: its properties `ID_INPUT_TABLET` and so on, which libinput reads.
    ///
    /// # Errors
    /// udev does not know the node.
    pub fn roles(&self) -> Result<String> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let device = udev::Device::from_subsystem_sysname("input".to_owned(), name)
            .with_context(|| format!("udev doesn't know `{}`", self.path.display()))?;
        let roles = device
            .properties()
            .filter(|property| property.value() == "1")
            .filter_map(|property| Some(property.name().to_str()?.strip_prefix("ID_INPUT_")?.to_owned()));
        Ok(roles.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" "))
    }

    /// Returns the names of its keys and buttons.
    pub fn keys(&self) -> BTreeSet<String> {
        self.device.supported_keys().into_iter().flat_map(|keys| keys.iter().map(key_name)).collect()
    }

    /// Returns everything that the node can send, as lines.
    ///
    /// # Errors
    /// The range of an axis can't be read.
    pub fn describe(&self) -> Result<String> {
        let device = &self.device;
        let mut text = format!("{}\n", self.name);
        let mut line = |label: &str, words: Vec<String>| {
            if !words.is_empty() {
                text += &format!("  {label}: {}\n", words.join(" "));
            }
        };
        line("prop", device.properties().iter().map(property_name).collect());
        line("key", device.supported_keys().map(|keys| runs(keys.iter().map(|key| key.0))).unwrap_or_default());
        line("rel", device.supported_relative_axes().map(|axes| debug_all(axes.iter())).unwrap_or_default());
        line("switch", device.supported_switches().map(|switches| debug_all(switches.iter())).unwrap_or_default());
        line("led", device.supported_leds().map(|leds| debug_all(leds.iter())).unwrap_or_default());
        for axis in device.supported_absolute_axes().into_iter().flat_map(|axes| axes.iter()) {
            line("abs", vec![self.describe_axis(axis)?]);
        }
        Ok(text)
    }

    fn describe_axis(&self, axis: AbsoluteAxisCode) -> Result<String> {
        let (_, info) = self
            .device
            .get_absinfo()
            .with_context(|| format!("failed to read the axes of `{}`", self.path.display()))?
            .find(|(code, _)| *code == axis)
            .with_context(|| format!("`{}` has no {axis:?} any more", self.path.display()))?;
        let mut text = format!("{axis:?} {}..{}", info.minimum(), info.maximum());
        for (label, value) in [("fuzz", info.fuzz()), ("flat", info.flat()), ("res", info.resolution())] {
            if value != 0 {
                text += &format!(" {label} {value}");
            }
        }
        Ok(text)
    }

    /// Returns the events since the last call, as `ABS_X 5, BTN_LEFT 1 | REL_Y -1`. The bar is a SYN_REPORT between frames.
    ///
    /// Scan codes are left out, because they only repeat the usage. So are time stamps and the repeats of held keys, which depend on a
    /// clock, and the lights, which the console controls.
    ///
    /// # Errors
    /// The node is gone, or events were lost.
    pub fn events(&mut self) -> Result<String> {
        let mut frames: Vec<Vec<String>> = vec![Vec::new()];
        loop {
            let batch = match self.device.fetch_events() {
                Ok(batch) => batch.collect::<Vec<_>>(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).with_context(|| format!("failed to read `{}`", self.path.display())),
            };
            for event in batch {
                match describe_event(event) {
                    Described::Report => frames.push(Vec::new()),
                    Described::Dropped => bail!("`{}` lost events", self.path.display()),
                    Described::Noise => {}
                    Described::Value(value) => {
                        if let Some(frame) = frames.last_mut() {
                            frame.push(value);
                        }
                    }
                }
            }
        }
        ensure!(frames.last().is_some_and(Vec::is_empty), "`{}` sent events without a SYN_REPORT", self.path.display());
        frames.retain(|frame| !frame.is_empty());
        Ok(frames.iter().map(|frame| frame.join(", ")).collect::<Vec<_>>().join(" | "))
    }
}

/// Returns true if events, as [`Node::events`] writes them, are the same.
///
/// Their order within a frame means nothing, except for the slot of a touch device that they belong to.
pub fn same_events(one: &str, other: &str) -> bool {
    let sorted = |frame: &str| -> Vec<(String, String)> {
        let mut slot = String::new();
        let mut events = Vec::new();
        for event in frame.split(',').map(str::trim) {
            if event.starts_with("ABS_MT_SLOT ") {
                slot = event.to_owned();
            }
            let of_slot = event.starts_with("ABS_MT_").then(|| slot.clone());
            events.push((of_slot.unwrap_or_default(), event.to_owned()));
        }
        events.sort();
        events
    };
    one.split('|').map(sorted).eq(other.split('|').map(sorted))
}

/// Fails if the events are not these. Their order within a frame means nothing.
///
/// # Errors
/// They differ.
pub fn expect_events(what: &str, expected: &str, seen: &str) -> Result<()> {
    ensure!(same_events(expected, seen), "{what}: expected the events `{expected}`, got `{seen}`");
    Ok(())
}

enum Described {
    Report,
    Dropped,
    Noise,
    Value(String),
}

fn describe_event(event: InputEvent) -> Described {
    let (kind, code, value) = (event.event_type(), event.code(), event.value());
    const SYN_REPORT: u16 = 0;
    const SYN_DROPPED: u16 = 3;
    const MSC_SCAN: u16 = 4;
    const MSC_TIMESTAMP: u16 = 5;
    const REPEAT: i32 = 2;
    match kind {
        EventType::SYNCHRONIZATION if code == SYN_REPORT => Described::Report,
        EventType::SYNCHRONIZATION if code == SYN_DROPPED => Described::Dropped,
        EventType::MISC if code == MSC_SCAN || code == MSC_TIMESTAMP => Described::Noise,
        EventType::KEY if value == REPEAT => Described::Noise,
        // The console lights the lamps of all keyboards after a lock key was pressed on another one.
        EventType::LED => Described::Noise,
        EventType::KEY => Described::Value(format!("{} {value}", key_name(KeyCode(code)))),
        EventType::RELATIVE => Described::Value(format!("{:?} {value}", RelativeAxisCode(code))),
        EventType::ABSOLUTE => Described::Value(format!("{:?} {value}", AbsoluteAxisCode(code))),
        EventType::MISC => Described::Value(format!("{:?} {value}", evdev::MiscCode(code))),
        _ => Described::Value(format!("{kind:?} {code} {value}")),
    }
}

/// Describes all nodes, sorted by their descriptions, because the order in which the kernel makes them means nothing.
///
/// # Errors
/// The range of an axis can't be read.
pub fn describe_all(nodes: &[Node]) -> Result<String> {
    let mut blocks = nodes.iter().map(Node::describe).collect::<Result<Vec<_>>>()?;
    blocks.sort();
    Ok(blocks.concat())
}

/// An open hidraw node. It shows reports after the drivers.
#[derive(Debug)]
pub struct Hidraw {
    path: PathBuf,
    file: File,
}

impl Hidraw {
    /// Opens the hidraw node of the HID device at `syspath`.
    ///
    /// # Errors
    /// The device has none, or it can't be opened.
    pub fn of(syspath: &Path) -> Result<Hidraw> {
        let (number, _) = children_numbered(&syspath.join("hidraw"), "hidraw")?
            .pop()
            .with_context(|| format!("`{}` has no hidraw node", syspath.display()))?;
        let path = PathBuf::from(format!("/dev/hidraw{number}"));
        let file = open_nonblocking(&path).with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Hidraw { path, file })
    }

    /// `/dev/hidraw3`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the reports since the last call.
    ///
    /// # Errors
    /// The node is gone.
    pub fn reports(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut reports = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.file.read(&mut buffer) {
                Ok(length) => reports.push(buffer[..length].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(reports),
                Err(error) => return Err(error).with_context(|| format!("failed to read `{}`", self.path.display())),
            }
        }
    }
}

/// Parses bytes from `03 00 ff`.
///
/// # Errors
/// A word is not a byte.
pub fn unhex(text: &str) -> Result<Vec<u8>> {
    text.split_whitespace()
        .map(|word| u8::from_str_radix(word, 16).with_context(|| format!("`{word}` is not a hexadecimal byte")))
        .collect()
}

/// Compares two texts line by line, without indentation and empty lines. The error shows both.
///
/// # Errors
/// They differ.
pub fn compare(what: &str, expected: &str, seen: &str) -> Result<()> {
    let lines = |text: &'_ str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let (expected, seen) = (lines(expected), lines(seen));
    if expected == seen {
        return Ok(());
    }
    let mut text = format!("{what} differ (- expected, + seen):");
    for line in &expected {
        text += &format!("\n{} {line}", if seen.contains(line) { ' ' } else { '-' });
    }
    for line in seen.iter().filter(|line| !expected.contains(line)) {
        text += &format!("\n+ {line}");
    }
    bail!(text)
}

fn open_nonblocking(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)
}

fn children(directory: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    Ok(children_numbered(directory, prefix)?.into_iter().map(|(_, path)| path).collect())
}

/// Returns the directories of a HID device's input devices, and of the nodes of each.
///
/// # Errors
/// One can't be listed.
pub fn inputs(syspath: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in children(&syspath.join("input"), "input")? {
        for kind in ["event", "mouse", "js"] {
            found.extend(children(&input, kind)?);
        }
        found.push(input);
    }
    Ok(found)
}

/// Returns the entries of `directory` that are `prefix` and a number. There are none if it does not exist.
fn children_numbered(directory: &Path, prefix: &str) -> Result<Vec<(u32, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("failed to list `{}`", directory.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("failed to list `{}`", directory.display()))?;
        if let Some(number) =
            entry.file_name().to_string_lossy().strip_prefix(prefix).and_then(|rest| rest.parse().ok())
        {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Returns a property's name. `INPUT_PROP_PRESSUREPAD` is newer than the crate.
fn property_name(property: PropType) -> String {
    const PRESSUREPAD: PropType = PropType(7);
    match property {
        PRESSUREPAD => "PRESSUREPAD".to_owned(),
        known => format!("{known:?}"),
    }
}

fn debug_all<T: std::fmt::Debug>(values: impl Iterator<Item = T>) -> Vec<String> {
    values.map(|value| format!("{value:?}")).collect()
}

/// Returns the name of a key or button, or `key-300` if it has none.
fn key_name(key: KeyCode) -> String {
    const BTN_STYLUS3: KeyCode = KeyCode(0x149);
    match key {
        BTN_STYLUS3 => "BTN_STYLUS3".to_owned(),
        _ => format!("{key:?}").replace("unknown key: ", "key-"),
    }
}

/// Returns key codes by name, three and more in a row as `BTN_0..BTN_5`.
///
/// The tools and buttons of pens are listed singly, because their numbers have no order.
fn runs(codes: impl Iterator<Item = u16>) -> Vec<String> {
    const PENS: std::ops::Range<u16> = 0x140..0x150;
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for code in codes {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == code && !PENS.contains(&code) => *end = code,
            _ => runs.push((code, code)),
        }
    }
    let name = |code| key_name(KeyCode(code));
    runs.into_iter()
        .flat_map(|(start, end)| match end - start {
            0 => vec![name(start)],
            1 => vec![name(start), name(end)],
            _ => vec![format!("{}..{}", name(start), name(end))],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_a_row_are_one_word() {
        let codes = [KeyCode::BTN_0, KeyCode::BTN_1, KeyCode::BTN_2, KeyCode::BTN_LEFT, KeyCode::KEY_A];
        assert_eq!(runs(codes.iter().map(|key| key.0)), ["BTN_0..BTN_2", "BTN_LEFT", "KEY_A"]);
        let pen = [0x149, 0x14a, 0x14b, 0x14c, 300];
        assert_eq!(runs(pen.into_iter()), ["BTN_STYLUS3", "BTN_TOUCH", "BTN_STYLUS", "BTN_STYLUS2", "key-300"]);
    }

    #[test]
    fn order_means_the_slot_and_nothing_else() {
        for (one, other, same) in [
            ("BTN_0 1, ABS_X 5 | REL_Y -1", "ABS_X 5, BTN_0 1 | REL_Y -1", true),
            ("BTN_0 1 | ABS_X 5", "ABS_X 5 | BTN_0 1", false),
            ("BTN_0 1, ABS_X 5", "BTN_0 1 | ABS_X 5", false),
            ("", "BTN_0 1", false),
            ("ABS_MT_SLOT 1, ABS_MT_POSITION_X 5, BTN_0 1", "BTN_0 1, ABS_MT_SLOT 1, ABS_MT_POSITION_X 5", true),
            ("ABS_MT_POSITION_X 5, ABS_MT_SLOT 1", "ABS_MT_SLOT 1, ABS_MT_POSITION_X 5", false),
        ] {
            assert_eq!(same_events(one, other), same, "{one} / {other}");
        }
    }

    #[test]
    fn a_difference_shows_both_sides() {
        compare("nodes", "\n    A\n      key: B\n", "A\n  key: B\n").unwrap();
        let error = compare("nodes", "A\n  key: B", "A\n  key: C").unwrap_err().to_string();
        assert_eq!(error, "nodes differ (- expected, + seen):\n  A\n- key: B\n+ key: C");
    }
}
