//! What every driver's folder must have besides its source. What the drivers do is tested elsewhere, with their recordings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::manifest::Manifest;

fn folders() -> Vec<PathBuf> {
    let entries = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("driver.toml").exists()).collect()
}

fn recordings(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("recordings")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| !path.to_string_lossy().ends_with(".expected.hid")).collect()
}

/// The sizes of the descriptors in a recording, after a check that each line has as many bytes as it says.
fn descriptor_sizes(recording: &Path) -> Vec<u32> {
    let text = fs::read_to_string(recording).unwrap();
    let mut sizes = Vec::new();
    for line in text.lines() {
        let (tag, rest) = line.split_at(2);
        let bytes = match tag {
            "R:" => rest,
            "E:" => rest.trim_start().split_once(' ').unwrap().1,
            _ => continue,
        };
        let mut words = bytes.split_whitespace();
        let size: u32 = words.next().unwrap().parse().unwrap();
        assert_eq!(size as usize, words.count(), "{}: {line}", recording.display());
        if tag == "R:" {
            sizes.push(size);
        }
    }
    sizes
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

#[test]
fn every_rule_of_every_driver_has_a_recording_with_what_is_expected() {
    for folder in folders() {
        let mut recorded = BTreeSet::new();
        for recording in recordings(&folder) {
            let sizes = descriptor_sizes(&recording);
            assert_eq!(sizes.len(), 1, "{}: one interface, one descriptor", recording.display());
            recorded.extend(sizes);
            let expected = recording.with_extension("expected.hid");
            assert!(expected.exists(), "{} is missing", expected.display());
            descriptor_sizes(&expected);
        }
        assert!(!recorded.is_empty(), "{} has no recording", folder.display());
        for rule in Manifest::read(&folder.join("driver.toml")).unwrap().matches {
            if let Some(size) = rule.rdesc_size {
                assert!(
                    recorded.contains(&size),
                    "{}: no recording has a descriptor of {size} bytes",
                    folder.display()
                );
            }
        }
    }
}
