//! The names of drivers, options and fields, and of udev properties that hidbpf sets.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::text::Printable;

/// The name of a driver, such as `hp-elite-presenter`: lower-case letters, digits and single hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DriverName(String);

impl DriverName {
    /// The length of the longest name, in bytes. It becomes part of file names.
    pub const MAX: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    /// The name has other characters or misplaced hyphens, or is too long.
    pub fn new(name: &str) -> Result<DriverName, InvalidDriverName> {
        let fits = !name.is_empty()
            && name.len() <= DriverName::MAX
            && name.split('-').all(|part| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            });
        if fits { Ok(DriverName(name.to_owned())) } else { Err(InvalidDriverName(name.to_owned())) }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for DriverName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DriverName::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The error for a text that is not a valid driver name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` can't be a driver's name (expected lower-case letters, digits and single hyphens, at most {} in all)", Printable(.0), DriverName::MAX)]
pub struct InvalidDriverName(String);

/// The suffix of a driver's object.
pub const OBJECT_SUFFIX: &str = ".bpf.o";

/// The end of the name of the map with the descriptor hook, if that hook is attached before the others.
pub(crate) const FIRST_STEP_SUFFIX: &str = "_rdesc";

/// The name of a foreign object's file, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignName<'a> {
    /// The number at its start, or 0.
    pub number: u32,
    /// The rest without the suffix: `Huion__Dial-2`.
    pub stem: &'a str,
}

impl<'a> ForeignName<'a> {
    /// Splits a file name. Returns `None` if it does not end with [`OBJECT_SUFFIX`].
    pub fn of(path: &'a Path) -> Option<ForeignName<'a>> {
        let name = path.file_name().and_then(OsStr::to_str)?.strip_suffix(OBJECT_SUFFIX)?;
        let (number, stem) = match name.split_once('-') {
            Some((digits, stem)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                (digits.parse().unwrap_or(u32::MAX), stem)
            }
            _ => (0, name),
        };
        Some(ForeignName { number, stem })
    }

    /// Returns the name as that of a driver: `huion-dial-2`. Returns `None` if nothing is left of it.
    pub fn driver(&self) -> Option<DriverName> {
        let lower = self.stem.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let mut name = words.collect::<Vec<_>>().join("-");
        name.truncate(DriverName::MAX);
        DriverName::new(name.trim_end_matches('-')).ok()
    }

    /// Returns the device in words: `Huion Dial 2`.
    pub(crate) fn device(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "+.()".contains(c) { c } else { ' ' };
        let text: String = self.stem.chars().map(plain).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Returns whether a text is a valid name of an option, a choice or a field.
///
/// Such names also suit C and udev properties.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

/// The prefix that exports can't use: properties with it control which drivers the udev rules attach.
const RESERVED: &str = "HIDBPF";

/// Checks the name of a udev property that hidbpf sets.
///
/// # Errors
/// The name is invalid, or reserved. The text says why.
pub(crate) fn check_property(property: &str) -> Result<(), String> {
    let name = Printable(property);
    let fits = property.starts_with(|first: char| first.is_ascii_uppercase())
        && property.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !fits {
        return Err(format!(
            "`{name}` can't be the name of an exported property (expected capitals, digits and underscores, a letter first)"
        ));
    }
    if property.starts_with(RESERVED) {
        return Err(format!("`{name}` is among the properties that hidbpf goes by, `{RESERVED}*`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        for wrong in ["", "-", "a-", "-a", "a--b", "A", "../x", "a/b", "a.b", "a_b", "ä"] {
            assert!(DriverName::new(wrong).is_err(), "{wrong}");
        }
        assert!(DriverName::new("rapoo-m50-plus-silent").is_ok());
    }

    #[test]
    fn file_names_become_names_of_drivers() {
        for (file, number, driver, device) in [
            ("0010-Huion__Dial-2.bpf.o", 10, "huion-dial-2", "Huion Dial 2"),
            (
                "/x/0009-TUXEDO__Sirius-16-Gen1-and-Gen2.bpf.o",
                9,
                "tuxedo-sirius-16-gen1-and-gen2",
                "TUXEDO Sirius 16 Gen1 and Gen2",
            ),
            ("mouse_fix.bpf.o", 0, "mouse-fix", "mouse fix"),
            ("8BitDo__Ultimate-2C.bpf.o", 0, "8bitdo-ultimate-2c", "8BitDo Ultimate 2C"),
            ("99999999999-x.bpf.o", u32::MAX, "x", "x"),
            ("-x-.bpf.o", 0, "x", "x"),
        ] {
            let name = ForeignName::of(Path::new(file)).unwrap();
            assert_eq!(name.number, number, "{file}");
            assert_eq!(name.driver().unwrap().as_str(), driver);
            assert_eq!(name.device(), device);
        }
        assert_eq!(ForeignName::of(Path::new("x.o")), None);
        assert_eq!(ForeignName::of(Path::new("__.bpf.o")).unwrap().driver(), None);
        let long = format!("{}.bpf.o", "ab_".repeat(60));
        assert_eq!(ForeignName::of(Path::new(&long)).unwrap().driver().unwrap().as_str().len(), 64);
    }
}
