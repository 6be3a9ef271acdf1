//! Whether another tool switches the device's mode. Exactly one of the tools does it.

use std::fs;
use std::path::Path;

use crate::system::System;

/// udev's directories, and below them those of programs and rules. A rules file hides those of later directories.
const DIRECTORIES: [&str; 5] = ["etc/udev", "run/udev", "usr/local/lib/udev", "usr/lib/udev", "lib/udev"];

/// Returns whether a tool is installed: its program in udev's directory, and rules whose file names contain its name.
///
/// Rules that an administrator has disabled, with a link to `/dev/null` or an empty file, don't count.
pub fn is_installed(system: &System, tool: &str) -> bool {
    let directories = || DIRECTORIES.iter().map(|directory| system.root.join(directory));
    if !directories().any(|directory| directory.join(tool).is_file()) {
        return false;
    }
    let mut seen = Vec::new();
    directories().any(|directory| {
        let files = fs::read_dir(directory.join("rules.d")).into_iter().flatten().flatten();
        files.filter(|file| is_rules_of(Path::new(&file.file_name()), tool)).any(|file| {
            if seen.contains(&file.file_name()) {
                return false;
            }
            seen.push(file.file_name());
            fs::metadata(file.path()).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
        })
    })
}

fn is_rules_of(name: &Path, tool: &str) -> bool {
    name.extension().is_some_and(|extension| extension == "rules")
        && name.to_str().is_some_and(|name| name.contains(tool))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tool_is_its_program_and_its_rules() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        let is_installed = || super::is_installed(&system, "huion-switcher");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(!is_installed());
        write("usr/lib/udev/rules.d/80-huion-switcher.rules", "IMPORT");
        assert!(!is_installed());
        write("usr/lib/udev/huion-switcher", "");
        assert!(is_installed());
        fs::create_dir_all(root.path().join("etc/udev/rules.d")).unwrap();
        let mask = root.path().join("etc/udev/rules.d/80-huion-switcher.rules");
        symlink("/dev/null", &mask).unwrap();
        assert!(!is_installed());
        fs::remove_file(mask).unwrap();
        write("etc/udev/rules.d/80-huion-switcher.rules", "");
        assert!(!is_installed());
    }
}
