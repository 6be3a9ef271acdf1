//! The names of drivers, options and fields.

use std::fmt;

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

/// Returns whether a text is a valid name of an option, a choice or a field.
///
/// Such names also suit C and udev properties.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
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
}
