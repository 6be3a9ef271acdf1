//! Creates a new driver's folder from a device's data. The driver builds and passes its test, but doesn't change
//! anything yet.

mod continued;
mod layout;
mod macros;
mod new_folder;
mod repair;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use hidbpf::descriptor::{Anatomy, MAX_DESCRIPTOR, ReportType};
use hidbpf::ids::Group;
use hidbpf::manifest::{Manifest, Sha256};
use hidbpf::names::DriverName;
use hidbpf::recording::{Event, RecordedDevice, Recording};

use crate::error::BuildError;
use crate::folder::{MANIFEST_FILE, SOURCE_FILE};
use crate::recordings::{EXPECTED_SUFFIX, FOLDER, SUFFIX};

pub use continued::scaffold_c;
pub use repair::{Chosen, Form, scaffold_repair};

use new_folder::NewFolder;

/// clangd's options. It looks for the file in the source's folder and above.
const COMPILE_FLAGS: &str = "--target=bpf\n-std=gnu11\n-Wall\n-Wextra\n-Ibuild/include\n";

/// The input for a new driver: one interface of a device, with its reports.
#[derive(Clone, Debug)]
pub struct Interface {
    /// The name of its recording, without the suffix.
    pub name: String,
    /// Its recording, with one device.
    pub recording: Recording,
    /// The HID group, if read from the device itself. Recordings don't contain it.
    pub group: Option<Group>,
    /// Whether the recording has the IDs in the kernel's name for the device, because a kernel driver changes them.
    pub ids_from_name: bool,
}

impl Interface {
    /// Returns the interfaces of a recording, one per device. `name` is the recording's.
    ///
    /// ```
    /// # use std::path::Path;
    /// use hidbpf::recording::Recording;
    /// use hidbpf_build::Interface;
    ///
    /// let text = b"D: 0\nR: 6 75 08 95 04 81 02\nI: 3 046d c077\nD: 1\nR: 6 75 08 95 07 81 02\nI: 3 046d c077\n";
    /// let recording = Recording::parse(Path::new("mouse.hid"), text).unwrap();
    /// let names: Vec<_> = Interface::all_of("mouse", &recording).into_iter().map(|interface| interface.name).collect();
    /// assert_eq!(names, ["mouse-0", "mouse-1"]);
    /// ```
    pub fn all_of(name: &str, recording: &Recording) -> Vec<Interface> {
        let name = file_name(name);
        let single = recording.devices.len() == 1;
        let interface = |(index, device): (usize, &RecordedDevice)| Interface {
            name: if single { name.clone() } else { format!("{name}-{}", device.number) },
            recording: Recording {
                comments: recording.comments.clone(),
                devices: vec![RecordedDevice { number: 0, ..device.clone() }],
                events: recording.events_of(index).map(|event| Event { device: 0, ..event.clone() }).collect(),
            },
            group: None,
            ids_from_name: false,
        };
        recording.devices.iter().enumerate().map(interface).collect()
    }
}

/// Turns a text into a safe file name.
fn file_name(text: &str) -> String {
    let words: Vec<String> = text
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() { "device".to_owned() } else { words.join("-") }
}

/// An interface with its parsed descriptor.
struct Described<'a> {
    interface: &'a Interface,
    device: &'a RecordedDevice,
    descriptor: Anatomy,
    /// The prefix of its array and its constants.
    prefix: String,
    /// The expected descriptor, if the driver's repair is known.
    fixed: Option<Vec<u8>>,
}

/// Writes a new driver's folder into `directory` and returns its path. On failure nothing is left behind.
///
/// # Errors
/// The file or folder already exists, the kernel calls no driver for a descriptor of this size, two interfaces can't be
/// distinguished, or writing failed.
pub fn scaffold(directory: &Path, name: &DriverName, interfaces: &[Interface]) -> Result<PathBuf, BuildError> {
    let described = describe(name, interfaces)?;
    let manifest = manifest(&described, "The defect, in a sentence.", "Nothing changes yet.");
    write_folder(directory, name, &described, sources(source(&described, STORY)), manifest)
}

/// The comment that an author replaces.
const STORY: &str = "The defect: what the device sends, and why that is wrong. The repair.";

/// Returns the files of a driver in C.
fn sources(source: String) -> Vec<(&'static str, String)> {
    vec![(SOURCE_FILE, source), ("compile_flags.txt", COMPILE_FLAGS.to_owned())]
}

/// Writes a folder with these sources, the manifest and the recordings.
fn write_folder(
    directory: &Path,
    name: &DriverName,
    described: &[Described<'_>],
    sources: Vec<(&str, String)>,
    manifest: String,
) -> Result<PathBuf, BuildError> {
    let folder = NewFolder::new(directory, name)?;
    // An invalid manifest would be an error of this program. Find it now instead of at the first build.
    Manifest::parse(&directory.join(name.as_str()).join(MANIFEST_FILE), &manifest)?;
    folder.write(MANIFEST_FILE, &manifest)?;
    for (file, text) in sources {
        folder.write(file, &text)?;
    }
    for Described { interface, fixed, .. } in described {
        let Recording { devices, events, comments } = &interface.recording;
        let mut expected = Recording { comments: comments.clone(), devices: devices.clone(), events: events.clone() };
        let note = match fixed {
            Some(_) => {
                "Expected result: the descriptor is repaired. Change the lines that the driver should change too."
            }
            None => "Expected result: change the lines that the driver should change.",
        };
        expected.comments.insert(0, note.to_owned());
        for device in &mut expected.devices {
            (device.properties, device.features) = Default::default();
            if let Some(fixed) = fixed {
                device.descriptor.clone_from(fixed);
            }
        }
        for (suffix, recording) in [(SUFFIX, &interface.recording), (EXPECTED_SUFFIX, &expected)] {
            folder.write(format!("{FOLDER}/{}{suffix}", interface.name), &recording.to_string())?;
        }
    }
    folder.finish()
}

fn describe<'a>(name: &DriverName, interfaces: &'a [Interface]) -> Result<Vec<Described<'a>>, BuildError> {
    let refuse = |problem: String| BuildError::Scaffold { name: name.clone(), problem };
    let mut described: Vec<Described<'_>> = Vec::new();
    for interface in interfaces {
        for device in &interface.recording.devices {
            let size = device.descriptor.len();
            if size == 0 || size > MAX_DESCRIPTOR {
                return Err(refuse(format!(
                    "the descriptor of `{}` has {size} bytes, expected 1 to {MAX_DESCRIPTOR}: the kernel calls no descriptor hook for it",
                    interface.name
                )));
            }
            let descriptor = Anatomy::of(&device.descriptor);
            if let Some(twin) = described.iter().find(|other| other.device.descriptor.len() == descriptor.bytes.len()) {
                if twin.device.descriptor == descriptor.bytes {
                    continue;
                }
                return Err(refuse(format!(
                    "`{}` and `{}` have descriptors of the same size, {} bytes, that differ; make a driver for each",
                    twin.interface.name,
                    interface.name,
                    descriptor.bytes.len()
                )));
            }
            let prefix = if interfaces.len() == 1 { String::new() } else { format!("{}-", interface.name) };
            described.push(Described { interface, device, descriptor, prefix: prefix.replace('-', "_"), fixed: None });
        }
    }
    if described.is_empty() {
        return Err(refuse("there is no device to make it for".to_owned()));
    }
    Ok(described)
}

fn manifest(interfaces: &[Described<'_>], before: &str, after: &str) -> String {
    let named = interfaces.iter().map(|described| described.device.name.trim()).find(|name| !name.is_empty());
    let name = toml_string(named.unwrap_or("A device without a name"));
    let mut text = format!(
        "device = {name}\nbefore = {}\nafter = {}\nkind = \"fix\"\nstatus = \"testing\"\n",
        toml_string(before),
        toml_string(after)
    );
    for Described { interface, device, descriptor, .. } in interfaces {
        text += "\n[[match]]\n";
        if interfaces.len() > 1 {
            let _ = writeln!(text, "label = {}", toml_string(&interface.name));
        }
        let _ = writeln!(text, "bus = {}", toml_value(device.bus.name(), device.bus.0));
        // The kernel determines the group while it parses the descriptor (`hid_scan_report()`), so a refused descriptor
        // has no meaningful group.
        if let Some(group) = interface.group.filter(|_| descriptor.fault.is_none()) {
            let _ = writeln!(text, "group = {}", toml_value(group.name(), group.0));
        }
        let _ = writeln!(text, "vendor = {:#06x}\nproduct = {:#06x}", device.vendor.0, device.product.0);
        if interface.ids_from_name {
            text += "# The kernel driver gives the device other ids before udev sees it.\nids-from = \"name\"\n";
        }
        let _ = writeln!(text, "rdesc-size = {}", descriptor.bytes.len());
        let _ = writeln!(text, "rdesc-sha256 = \"{}\"", Sha256::of(&descriptor.bytes));
    }
    text
}

fn toml_value(name: Option<&str>, number: u16) -> String {
    name.map_or_else(|| format!("{number:#x}"), toml_string)
}

/// Quotes a text for TOML. A device's name can contain any character.
fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Returns the source of a driver that replaces the descriptors by fixed ones, or by the same. `story` is its comment.
fn source(interfaces: &[Described<'_>], story: &str) -> String {
    let story = story.replace("*/", "* /").replace('\n', "\n * ");
    let mut text =
        format!("// SPDX-License-Identifier: GPL-2.0-only\n#include <hidbpf/driver.h>\n\n/*\n * {story}\n */\n\n");
    let shown: Vec<(&String, Anatomy)> = interfaces
        .iter()
        .map(|Described { prefix, descriptor, fixed, .. }| {
            (prefix, Anatomy::of(fixed.as_ref().unwrap_or(&descriptor.bytes)))
        })
        .collect();
    for (prefix, descriptor) in &shown {
        text += &layout::constants(&prefix.to_uppercase(), descriptor);
    }
    let which = if interfaces.iter().any(|described| described.fixed.is_some()) { "fixed " } else { "" };
    let _ = writeln!(
        text,
        "/* The device's {which}descriptor: each item with its offset, each field with its place in the report. */"
    );
    for (prefix, descriptor) in &shown {
        if let Some(fault) = &descriptor.fault {
            let _ = writeln!(
                text,
                "/*\n * The kernel refuses it at byte {}: {}.\n * No kernel driver is bound until the hook below returns one that the kernel accepts.\n */",
                fault.offset,
                fault.reason.replace("*/", "*")
            );
        }
        text += &macros::array(&format!("{prefix}descriptor"), descriptor);
        text.push('\n');
    }
    text += "HIDBPF_RDESC_FIXUP(ctx)\n{\n";
    for (Described { prefix, descriptor, .. }, (_, fixed)) in interfaces.iter().zip(&shown) {
        // The condition uses the size of the original, which stays valid if the array is changed.
        let _ = writeln!(text, "\tif (ctx->size == {})", descriptor.bytes.len());
        let replace = format!("hidbpf_replace(ctx, {prefix}descriptor)");
        // The SDK treats the number 1 as a Boolean.
        let size = if fixed.bytes.len() == 1 { format!("hidbpf_size({replace})") } else { replace };
        let _ = writeln!(text, "\t\treturn {size};");
    }
    text += "\treturn 0;\n}\n\n";
    let input = |(prefix, descriptor): &(&String, Anatomy)| {
        let report = descriptor.reports.iter().find(|report| report.kind == ReportType::Input)?;
        Some((layout::report_name(&prefix.to_uppercase(), report), report.id))
    };
    // The positions of its reports are uncertain until the descriptor is repaired.
    let is_refused = shown.iter().any(|(_, descriptor)| descriptor.fault.is_some());
    match shown.iter().find_map(input).filter(|_| !is_refused) {
        Some((name, id)) => {
            let call = match id {
                Some(_) => format!("hidbpf_report_with_id(ctx, {name}, {name}_SIZE)"),
                None => format!("hidbpf_report(ctx, {name}_SIZE)"),
            };
            let _ = write!(
                text,
                "HIDBPF_INPUT_EVENT(ctx)\n{{\n\t__u8 *report = {call};\n\n\tif (!report)\n\t\treturn 0;\n\
                 \t/* Change the report here, as report[{name}_...]. If no report needs a change, delete this hook. */\n\
                 \treturn 0;\n}}\n\nHIDBPF_DRIVER(rdesc_fixup, device_event);\n"
            );
        }
        None => text += "HIDBPF_DRIVER(rdesc_fixup);\n",
    }
    text
}
