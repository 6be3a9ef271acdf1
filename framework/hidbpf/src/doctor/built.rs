//! The build options of this machine's kernels, from the configuration files installed with them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::system::System;

/// The kernel options that HID-BPF drivers need.
const NEEDED: [&str; 2] = ["CONFIG_HID_BPF", "CONFIG_DEBUG_INFO_BTF"];

/// The paths of a release's configuration: the parts before and after the release.
const PLACES: [(&str, &str); 3] = [("boot/config-", ""), ("usr/lib/modules/", "/config"), ("lib/modules/", "/config")];

/// Returns the needed options that a kernel was built without. `None` if its configuration is not installed.
pub(super) fn missing(system: &System, release: &str) -> Option<Vec<&'static str>> {
    let path = |(before, after)| system.root.join(format!("{before}{release}{after}"));
    let text = PLACES.into_iter().find_map(|place| fs::read_to_string(path(place)).ok())?;
    let is_set = |option: &str| text.lines().any(|line| line.strip_prefix(option) == Some("=y"));
    Some(NEEDED.into_iter().filter(|option| !is_set(option)).collect())
}

/// Returns the installed kernels with all needed options, except the running one.
pub(super) fn with_hid_bpf(system: &System, running: &str) -> BTreeSet<String> {
    let names = |directory: PathBuf| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let in_boot = names(system.root.join("boot")).filter_map(|name| name.strip_prefix("config-").map(str::to_owned));
    let in_lib = ["usr/lib/modules", "lib/modules"].into_iter().flat_map(|folder| names(system.root.join(folder)));
    let others: BTreeSet<String> = in_boot.chain(in_lib).filter(|release| release != running).collect();
    others.into_iter().filter(|release| missing(system, release).is_some_and(|missing| missing.is_empty())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    const WITH: &str = "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_HID_BPF=y\n";
    const WITHOUT: &str = "CONFIG_DEBUG_INFO_BTF=y\n# CONFIG_HID_BPF is not set\nCONFIG_HID_BPF_OTHER=y\n";

    #[test]
    fn configurations_are_read_where_distributions_have_them() {
        let (_root, system) = machine(&[
            ("boot/config-1", WITHOUT),
            ("boot/config-2", WITH),
            ("boot/vmlinuz-3", WITH),
            ("usr/lib/modules/4/config", WITH),
            ("usr/lib/modules/5/kernel/x", ""),
            ("lib/modules/6/config", "CONFIG_HID_BPF=m\n"),
        ]);
        assert_eq!(missing(&system, "1"), Some(vec!["CONFIG_HID_BPF"]));
        assert_eq!(missing(&system, "2"), Some(Vec::new()));
        assert_eq!(missing(&system, "6"), Some(NEEDED.to_vec()));
        for unknown in ["3", "5", "7"] {
            assert_eq!(missing(&system, unknown), None, "{unknown}");
        }
        assert_eq!(with_hid_bpf(&system, "4"), ["2"].map(str::to_owned).into());
        assert_eq!(with_hid_bpf(&system, "1"), ["2", "4"].map(str::to_owned).into());
        assert!(with_hid_bpf(&machine(&[]).1, "1").is_empty());
    }
}
