//! Files in /etc that commands write for the administrator.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::files::{Durability, remove, write_whole};

/// Writes a file and its missing directories. `None` removes the file; it is not an error if there is none.
pub(crate) fn put(path: &Path, bytes: Option<&[u8]>) -> Result<()> {
    match bytes {
        Some(bytes) => {
            let write = || write_whole(path, bytes, 0o644, Durability::PowerFailure);
            make_directory(path).and_then(|()| write()).map_err(|error| failed("write", path, error))
        }
        None => remove(path).map_err(|error| failed("remove", path, error)),
    }
}

/// Puts a link in the place of whatever file is there. Creates missing directories.
pub(crate) fn link(path: &Path, target: &Path) -> Result<()> {
    let make = || {
        make_directory(path)?;
        remove(path)?;
        symlink(target, path)
    };
    make().map_err(|error| failed("write", path, error))
}

fn make_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => DirBuilder::new().recursive(true).mode(0o755).create(directory),
        None => Ok(()),
    }
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    Error::permission_or(ErrorKind::Io, format!("failed to {verb} `{}`", path.display()), error)
        .with_hint("/etc must be writable, and this must run as root, for example with sudo")
}
