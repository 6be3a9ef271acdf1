//! Maps of a driver that other programs may open while it is attached.
//!
//! A driver's own maps are pinned beside its links, where only root can open them. For a map that the manifest names, the
//! pin gets the mode and the group of the manifest. The path is `<pins>/<device>/<driver>/<map>`.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use hidbpf_prelink::KERNEL_NAME_MAX;
use hidbpf_prelink::driver::SETUP_PROGRAM;
use serde::{Deserialize, Serialize};

use crate::system::System;
use crate::text::Printable;

/// A map that other programs may open, as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriverMap {
    /// Its name in the source, and that of its pin.
    pub name: String,
    /// The mode of its pin. Only the bits for reading and writing may be set.
    pub mode: u32,
    /// The group of its pin. Without it, the group is root's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Its purpose, and what its keys and values mean, in a sentence.
    pub description: String,
}

impl DriverMap {
    /// Checks the constraints that the types can't express.
    ///
    /// The first part of an error is a text to search for, to find the line.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let name = Printable(&self.name);
        let is_word = |text: &str, others: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || others.contains(c);
            text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && text.chars().all(fits)
        };
        if !is_word(&self.name, "") || self.name.len() > KERNEL_NAME_MAX || self.name == SETUP_PROGRAM {
            let what = format!(
                "`{name}` can't be a map's name (expected a name of C with up to {KERNEL_NAME_MAX} characters, not `{SETUP_PROGRAM}`)"
            );
            return Err(("[[map]]", what));
        }
        if self.mode & !0o666 != 0 {
            return Err(("mode", format!("the map `{name}` has the mode {:#o}, expected 0o600 to 0o666", self.mode)));
        }
        if let Some(group) = self.group.as_ref().filter(|group| !is_word(group, "-")) {
            return Err(("group", format!("`{}` can't be a group's name", Printable(group))));
        }
        if self.description.trim().is_empty() || self.description.chars().any(char::is_control) {
            return Err(("description", format!("the map `{name}` needs a `description`, one line of text")));
        }
        Ok(())
    }

    /// Gives a pin the mode and the group. A machine without the group keeps root's.
    ///
    /// # Errors
    /// bpffs refuses.
    pub(crate) fn open_to_others(&self, system: &System, pin: &Path) -> io::Result<()> {
        if let Some(group) = &self.group {
            match group_id(system, group) {
                Some(id) => chown(pin, None, Some(id))?,
                None => tracing::warn!("the group `{group}` of the map `{}` does not exist here", self.name),
            }
        }
        fs::set_permissions(pin, fs::Permissions::from_mode(self.mode))
    }
}

/// Returns the number of a group of this machine. The helper has no C library that could ask other databases.
fn group_id(system: &System, group: &str) -> Option<u32> {
    let groups = fs::read_to_string(system.root.join("etc/group")).ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.split(':');
        (parts.next() == Some(group)).then(|| parts.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_a_name_a_mode_and_a_group() {
        let map = |text: &str| {
            let map: DriverMap = toml::from_str(&format!("{text}\ndescription = \"What for.\"")).unwrap();
            map.check().map(|()| map).map_err(|(_, message)| message)
        };
        assert_eq!(map("name = \"buttons\"\nmode = 0o660\ngroup = \"input\"").unwrap().mode, 0o660);
        for (text, words) in [
            ("name = \"a-b\"\nmode = 0o600", "`a-b` can't be a map's name"),
            ("name = \"setup\"\nmode = 0o600", "`setup` can't be a map's name"),
            ("name = \"a234567890123456\"\nmode = 0o600", "can't be a map's name"),
            ("name = \"a\"\nmode = 0o755", "has the mode 0o755, expected 0o600 to 0o666"),
            ("name = \"a\"\nmode = 0o600\ngroup = \"a:b\"", "`a:b` can't be a group's name"),
        ] {
            let error = map(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn groups_are_those_of_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        assert_eq!(group_id(&system, "input"), None);
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\ninputs:x:9:\ninput:x:104:me,you\nbroken\n").unwrap();
        assert_eq!(group_id(&system, "input"), Some(104));
        assert_eq!((group_id(&system, "broken"), group_id(&system, "x")), (None, None));
    }
}
