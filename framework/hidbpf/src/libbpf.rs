//! The libbpf version of this process. It is the bundled libbpf, or the system's, which may differ from the one at
//! build time.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// A version of libbpf, without the patch level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The version that libbpf-sys is made for. The dynamic linker also accepts older ones. They have all the functions
/// that are called, but don't support everything in objects.
pub const OLDEST: Version = Version { major: 1, minor: 7 };

/// Returns the version of the libbpf that this process uses.
pub fn version() -> Version {
    let (major, minor) = sys::libbpf_version();
    Version { major, minor }
}

/// Checks that this libbpf is new enough.
///
/// # Errors
/// It is too old.
pub fn check() -> Result<()> {
    check_version(version())
}

fn check_version(found: Version) -> Result<()> {
    if found >= OLDEST {
        return Ok(());
    }
    let what = format!("failed to use the system's libbpf: it is {found}, and hidbpf needs {OLDEST} or later");
    Err(Error::new(ErrorKind::Load, what).with_hint(
        "install a newer libbpf.so.1, or a hidbpf that was built without --system-libbpf and has its own copy",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_libbpf_is_refused() {
        let error = check_version(Version { major: 1, minor: 6 }).unwrap_err();
        assert!(error.to_string().contains("it is 1.6, and hidbpf needs 1.7 or later"), "{error}");
        check_version(OLDEST).unwrap();
        check_version(Version { major: 2, minor: 0 }).unwrap();
    }

    #[test]
    fn the_oldest_is_the_one_that_the_bindings_are_made_for() {
        let lock = include_str!("../../../Cargo.lock");
        let (_, after) = lock.split_once("name = \"libbpf-sys\"\nversion = \"").unwrap();
        assert!(after.starts_with(&format!("{OLDEST}.")), "{OLDEST}");
    }
}
