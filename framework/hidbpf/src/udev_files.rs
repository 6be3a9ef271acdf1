//! udev's rule and hwdb files: their directories, and which file hides which. See udev(7) and hwdb(7).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::system::System;

/// The directories of udev's files. A file hides those with the same name in later directories.
const DIRECTORIES: [&str; 5] = ["etc/udev", "run/udev", "usr/local/lib/udev", "usr/lib/udev", "lib/udev"];

/// The rules that start the helper.
pub(crate) const RULES: &str = "rules.d/81-hidbpf.rules";

/// The directory of the administrator's hwdb files.
pub(crate) const OWN_HWDB: &str = "etc/udev/hwdb.d";

/// Returns all files with this name in udev's directories. udev reads the first.
pub(crate) fn all(system: &System, name: impl AsRef<Path>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let paths = DIRECTORIES.iter().map(|directory| system.root.join(directory).join(&name));
    // On most systems, /lib is a link to /usr/lib.
    let is_new = |path: &PathBuf| seen.insert(path.parent().and_then(|parent| parent.canonicalize().ok()));
    paths.filter(|path| path.symlink_metadata().is_ok()).filter(is_new).collect()
}

/// Iterates over the directories with hwdb files, of hidbpf or others.
pub(crate) fn hwdb_directories(system: &System) -> impl Iterator<Item = PathBuf> + '_ {
    DIRECTORIES.iter().map(|directory| system.root.join(directory).join("hwdb.d")).filter(|path| path.is_dir())
}

/// Returns udev's rules files: of each name the one that udev reads.
pub(crate) fn rules_files(system: &System) -> Vec<PathBuf> {
    let directories = DIRECTORIES.iter().map(|directory| system.root.join(directory).join("rules.d"));
    let files = directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let names: BTreeSet<_> = files.map(|file| file.file_name()).collect();
    let is_rules = |name: &&OsString| Path::new(name).extension() == Some(OsStr::new("rules"));
    let first = |name| all(system, Path::new("rules.d").join(name)).into_iter().next();
    names.iter().filter(is_rules).filter_map(first).filter(|path| !is_mask(path)).collect()
}

/// Returns the names of hwdb files about drivers. These files contain `hidbpf`.
pub(crate) fn hwdb_names(system: &System) -> BTreeSet<String> {
    let files = hwdb_directories(system).filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("hidbpf") && is_hwdb(Path::new(name))).collect()
}

/// Returns the hwdb files about drivers that udev's hwdb is compiled from.
pub(crate) fn hwdb_sources(system: &System) -> Vec<PathBuf> {
    let first = |name: &String| all(system, Path::new("hwdb.d").join(name)).into_iter().next();
    hwdb_names(system).iter().filter_map(first).filter(|path| !is_mask(path)).collect()
}

/// Returns whether this is the name of an hwdb file.
pub(crate) fn is_hwdb(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("hwdb"))
}

/// Returns whether the administrator has disabled the file with a link to /dev/null.
pub(crate) fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_found_in_udevs_order_and_each_once() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        let place = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        let file = |path: &str| fs::write(place(path), "").unwrap();
        assert!(all(&system, RULES).is_empty());
        for path in ["usr/lib/udev/hwdb.d/81-hidbpf.hwdb", "usr/lib/udev/hwdb.d/81-hidbpf-other.hwdb"] {
            file(path);
        }
        for path in
            ["usr/lib/udev/hwdb.d/20-usb.hwdb", "etc/udev/hwdb.d/README.hidbpf", "run/udev/hwdb.d/1-hidbpf.hwdb"]
        {
            file(path);
        }
        file("etc/udev/hwdb.d/81-hidbpf.hwdb");
        symlink("/dev/null", place("etc/udev/hwdb.d/1-hidbpf.hwdb")).unwrap();
        symlink("usr/lib", place("lib")).unwrap();
        let in_root = |paths: &[&str]| paths.iter().map(|path| root.path().join(path)).collect::<Vec<_>>();
        assert_eq!(
            all(&system, "hwdb.d/81-hidbpf.hwdb"),
            in_root(&["etc/udev/hwdb.d/81-hidbpf.hwdb", "usr/lib/udev/hwdb.d/81-hidbpf.hwdb"])
        );
        assert_eq!(
            hwdb_sources(&system),
            in_root(&["usr/lib/udev/hwdb.d/81-hidbpf-other.hwdb", "etc/udev/hwdb.d/81-hidbpf.hwdb"])
        );
    }
}
