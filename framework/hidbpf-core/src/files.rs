//! Writes files atomically, and creates the directories of `/run/hidbpf` on first use.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Runs `open`, and creates these directories only if it fails because they are missing.
///
/// They nearly always exist, and checking that costs more than trying.
pub(crate) fn in_dir<T, const N: usize>(dirs: [&Path; N], open: impl Fn() -> io::Result<T>) -> Result<io::Result<T>> {
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            dirs.into_iter().try_for_each(make_dir)?;
            Ok(open())
        }
        opened => Ok(opened),
    }
}

fn make_dir(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::permission_or(ErrorKind::Io, format!("failed to create `{}`", path.display()), error)
            .with_hint("run the command as root, for example with sudo")),
    }
}

/// What the name of an incomplete file has before the number of the process that writes it.
const INCOMPLETE: &str = ".new-";

/// How long a file must last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After a power failure, the directory has the old file or the new one. The file's mode does not depend on the
    /// umask.
    PowerFailure,
    /// The file is lost in a power failure, or can be made again.
    Process,
}

/// Replaces a file atomically: readers find the old file or the new one. If two processes write at once, one wins.
///
/// # Errors
/// Its directory does not exist, or a step failed. The old file is then unchanged.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let fresh = directory.join(format!(".{name}{INCOMPLETE}{}", std::process::id()));
    // A new file: neither another user's nor a link to one.
    let open = || File::options().write(true).create_new(true).mode(mode).open(&fresh);
    let mut file = match open() {
        // An earlier process with this number was killed while it wrote.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&fresh)?;
            open()?
        }
        opened => opened?,
    };
    let mut write = || -> io::Result<()> {
        file.write_all(bytes)?;
        if durability == Durability::Process {
            return fs::rename(&fresh, path);
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(directory)?.sync_all()
    };
    write().inspect_err(|_| {
        // Remove the incomplete file. An error here adds nothing to the first one.
        let _ = fs::remove_file(&fresh);
    })
}

/// Returns whether a file name is that of a file which [`write_whole`] has not completed.
pub fn is_incomplete(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && name.contains(INCOMPLETE)
}

pub(crate) fn failed_to_write(path: &Path, error: io::Error) -> Error {
    Error::because(ErrorKind::Io, format!("failed to write `{}`", path.display()), error)
        .with_hint("/run must be writable, and this must run as root")
}

/// Removes a file or link. It is not an error if there is none.
///
/// # Errors
/// As for unlink(2).
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    remove(path).map_err(|error| Error::because(ErrorKind::Io, format!("failed to remove `{}`", path.display()), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // What a killed process left: a link that must not be followed.
        let incomplete = folder.path().join(format!(".file.new-{}", std::process::id()));
        let elsewhere = folder.path().join("elsewhere");
        for durability in [Durability::PowerFailure, Durability::Process] {
            symlink(&elsewhere, &incomplete).unwrap();
            assert!(is_incomplete(incomplete.file_name().unwrap()) && !is_incomplete(path.file_name().unwrap()));
            let text = format!("{durability:?}");
            write_whole(&path, text.as_bytes(), 0o640, durability).unwrap();
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_file(&path).unwrap();
            // A directory can't be replaced by a file.
            fs::create_dir(&path).unwrap();
            write_whole(&path, b"new", 0o640, durability).unwrap_err();
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_dir(&path).unwrap();
        }
        let missing = folder.path().join("missing").join("file");
        let error = write_whole(&missing, b"new", 0o640, Durability::Process).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
