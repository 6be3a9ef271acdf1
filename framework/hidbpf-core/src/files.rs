//! Files and directories in `/run/hidbpf`: created on first use, and written atomically.

use std::fs::{self, File};
use std::io::{self, Write};
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

/// Writes a file in the last of these directories atomically.
pub(crate) fn replace(dirs: [&Path; 2], path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.new"));
    let mut file = in_dir(dirs, || File::create(&fresh))?.map_err(|error| failed_to_write(path, error))?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| {
        // Remove the incomplete file. An error here adds nothing to the first one.
        let _ = fs::remove_file(&fresh);
        failed_to_write(path, error)
    })
}

pub(crate) fn failed_to_write(path: &Path, error: io::Error) -> Error {
    Error::because(ErrorKind::Io, format!("failed to write `{}`", path.display()), error)
        .with_hint("/run must be writable, and this must run as root")
}

pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::because(ErrorKind::Io, format!("failed to remove `{}`", path.display()), error)),
    }
}
