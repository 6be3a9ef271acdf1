//! Checks the files that every driver's folder must have besides its source. Other tests run the drivers with their recordings.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::kernel::Generation;
use hidbpf::manifest::Manifest;
use hidbpf::object::{DriverObject, Hook, SectionRole, section_role};
use hidreport::{Report, ReportDescriptor};

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("driver.toml").exists()).collect()
}

fn recordings(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("recordings")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "hid"));
    files.filter(|path| !path.to_string_lossy().ends_with(".expected.hid")).collect()
}

/// The contents of a recording for one interface.
struct Recording {
    descriptor: Vec<u8>,
    /// The length of the longest report.
    longest: usize,
}

/// Reads a recording, and checks that each line has as many bytes as it declares.
fn read(recording: &Path) -> Recording {
    let text = fs::read_to_string(recording).unwrap();
    let mut descriptors = Vec::new();
    let mut longest = 0;
    for line in text.lines() {
        let (tag, rest) = line.split_at(2);
        let bytes = match tag {
            "R:" => rest,
            "E:" => rest.trim_start().split_once(' ').unwrap().1,
            _ => continue,
        };
        let (size, bytes) = bytes.trim_start().split_once(' ').unwrap();
        let bytes: Vec<u8> = bytes.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(size, bytes.len().to_string(), "{}: {line}", recording.display());
        if tag == "R:" {
            descriptors.push(bytes);
        } else {
            longest = longest.max(bytes.len());
        }
    }
    assert_eq!(descriptors.len(), 1, "{}: one interface, one descriptor", recording.display());
    Recording { descriptor: descriptors.remove(0), longest }
}

fn longest(reports: &[impl Report]) -> usize {
    reports.iter().map(|report| report.size_in_bytes()).max().unwrap_or(0)
}

#[test]
fn every_folder_has_an_object() {
    let expected: BTreeSet<String> =
        folders().iter().map(|folder| format!("{}.bpf.o", folder.file_name().unwrap().to_string_lossy())).collect();
    let objects = fs::read_dir(hidbpf_drivers::objects_dir()).unwrap();
    let objects: BTreeSet<String> = objects
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".bpf.o"))
        .collect();
    assert_eq!(objects, expected);
}

/// The drivers that only libbpf can load, each with part of the reason. docs/fast-attach.md names them too.
const NOT_PRELINKED: [(&str, &str); 0] = [];

#[test]
fn every_driver_is_prelinked_but_those_that_are_known() {
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let driver = DriverObject::read(&hidbpf_drivers::objects_dir().join(format!("{name}.bpf.o"))).unwrap();
        if let Some((_, why)) = NOT_PRELINKED.iter().find(|(known, _)| *known == name) {
            let error = driver.prelinked().unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
            continue;
        }
        let prelinked = driver.prelinked().unwrap_or_else(|why| panic!("{name}: {why}"));
        let mut hooks: BTreeMap<Generation, BTreeSet<Hook>> = BTreeMap::new();
        for program in &prelinked.programs {
            if let Some(SectionRole::Program(generation, hook)) = section_role(program.section) {
                hooks.entry(generation).or_default().insert(hook);
            }
        }
        // A driver may have a setup and no hooks.
        let with_hooks = driver.hooks.iter().filter(|(_, hooks)| !hooks.is_empty());
        let expected = with_hooks.map(|(of, hooks)| (*of, hooks.keys().copied().collect()));
        assert_eq!(hooks, expected.collect(), "{name}");
        assert_eq!(prelinked.program("probe").is_some(), driver.has_probe, "{name}");
        assert_eq!(prelinked.program("setup").is_some(), driver.has_setup, "{name}");
    }
}

#[test]
fn every_rule_of_every_driver_has_a_recording_with_what_is_expected() {
    for folder in folders() {
        let mut recorded = BTreeSet::new();
        for recording in recordings(&folder) {
            recorded.insert(read(&recording).descriptor.len());
            for extension in ["expected.hid", "nodes"] {
                let expected = recording.with_extension(extension);
                assert!(expected.exists(), "{} is missing", expected.display());
            }
            read(&recording.with_extension("expected.hid"));
        }
        assert!(!recorded.is_empty(), "{} has no recording", folder.display());
        for rule in Manifest::read(&folder.join("driver.toml")).unwrap().matches {
            if let Some(size) = rule.rdesc_size {
                assert!(
                    recorded.contains(&(size as usize)),
                    "{}: no recording has a descriptor of {size} bytes",
                    folder.display()
                );
            }
        }
    }
}

/// The kernel gives event hooks a buffer of the longest report of any type that the current descriptor declares, rounded up to 64.
///
/// It copies reports into that buffer as long as the device sends them.
#[test]
fn a_fixed_descriptor_leaves_room_for_the_reports_of_the_device() {
    for recording in folders().iter().flat_map(|folder| recordings(folder)) {
        let fixed = read(&recording.with_extension("expected.hid"));
        let descriptor = ReportDescriptor::try_from(&fixed.descriptor).unwrap();
        let declared = [
            longest(descriptor.input_reports()),
            longest(descriptor.output_reports()),
            longest(descriptor.feature_reports()),
        ];
        let room = declared.into_iter().max().unwrap_or(0).next_multiple_of(64);
        assert!(read(&recording).longest <= room, "{}: {room} bytes of room", recording.display());
    }
}
