//! What a machine has of udev-hid-bpf: its objects and its udev rules.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use hidbpf_prelink::match_table;

use crate::names::OBJECT_SUFFIX;
use crate::system::System;
use crate::udev_files;

/// The directories of objects: those of `udev-hid-bpf install` and of the administrator first. Of two files with the
/// same name, the first is used.
///
/// Debian's package has `/usr/lib/<triplet>/bpf`, which other packages use, too. Versions 1 and 2 without a
/// distribution's changes have the directories below `firmware`.
const DIRECTORIES: [&str; 9] = [
    "etc/udev-hid-bpf",
    "etc/firmware/hid/bpf",
    "usr/local/lib/firmware/hid/bpf",
    "usr/local/lib/bpf",
    "usr/lib/firmware/hid/bpf",
    "lib/firmware/hid/bpf",
    "usr/lib/bpf",
    "usr/lib64/bpf",
    "usr/lib/udev-hid-bpf",
];

/// Returns the paths of all objects, each file name once.
pub(super) fn objects(system: &System) -> Vec<PathBuf> {
    let multiarch = entries(&system.root.join("usr/lib")).into_iter().map(|path| path.join("bpf"));
    let directories = DIRECTORIES.iter().map(|directory| system.root.join(directory)).chain(multiarch);
    let mut found: Vec<PathBuf> = Vec::new();
    for path in directories.flat_map(|directory| entries(&directory)) {
        let is_new = !found.iter().any(|other| other.file_name() == path.file_name());
        let is_object = path.to_str().is_some_and(|name| name.ends_with(OBJECT_SUFFIX));
        if is_object && is_new && has_match_table(&path) {
            found.push(path);
        }
    }
    found.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    found
}

/// Returns whether a file may be an object for HID-BPF. Other packages install objects for other subsystems in the same
/// directory.
fn has_match_table(path: &Path) -> bool {
    let wanted = match_table::SECTION.as_bytes();
    fs::read(path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|part| part == wanted))
}

/// Returns the udev rules that start udev-hid-bpf, the file of each name that udev reads.
pub(super) fn rules(system: &System) -> Vec<PathBuf> {
    let files = udev_files::rules_files(system).into_iter();
    let starts = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("udev-hid-bpf"))
    };
    files.filter(starts).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Returns the path that hides a rules file: a link to /dev/null of this name in /etc has precedence (udev(7)).
///
/// Returns `None` for a file in /etc itself, which has to be renamed first.
pub(super) fn mask(system: &System, rules: &Path) -> Option<PathBuf> {
    let mask = system.root.join("etc/udev/rules.d").join(rules.file_name()?);
    (mask != rules).then_some(mask)
}

/// Returns the name under which a rules file in /etc is kept. udev reads only files that end in `.rules`.
pub(super) fn aside(rules: &Path) -> PathBuf {
    let mut name = rules.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(".off");
    rules.with_file_name(name)
}
