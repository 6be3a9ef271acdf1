//! A driver's folder that is being written. It gets its name only when it is complete.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hidbpf::names::DriverName;
use tempfile::TempDir;

use crate::error::BuildError;
use crate::folder::OUTPUT_FOLDER;

/// A folder under a temporary name, which is removed unless it is finished.
pub(super) struct NewFolder {
    scratch: TempDir,
    path: PathBuf,
}

impl NewFolder {
    /// Begins the folder of a driver in `directory`, with the files that every driver has.
    ///
    /// # Errors
    /// It already exists, or can't be created.
    pub(super) fn new(directory: &Path, name: &DriverName) -> Result<NewFolder, BuildError> {
        let path = directory.join(name.as_str());
        if path.symlink_metadata().is_ok() {
            return Err(BuildError::io("create", &path, io::ErrorKind::AlreadyExists.into()));
        }
        let scratch = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .tempdir_in(directory)
            .map_err(|error| BuildError::io("create a folder in", directory, error))?;
        let folder = NewFolder { scratch, path };
        folder.write(".gitignore", &format!("/{OUTPUT_FOLDER}/\n"))?;
        Ok(folder)
    }

    /// Writes a file, by its path in the folder.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn write(&self, file: impl AsRef<Path>, text: &str) -> Result<(), BuildError> {
        let path = self.scratch.path().join(file);
        let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
        parent.and_then(|()| fs::write(&path, text)).map_err(|error| BuildError::io("write", &path, error))
    }

    /// Gives the folder its name, and returns its path.
    ///
    /// # Errors
    /// It can't be renamed.
    pub(super) fn finish(self) -> Result<PathBuf, BuildError> {
        // A temporary directory is only accessible to its owner, but a driver's folder should be like any other.
        let scratch = self.scratch.path();
        fs::set_permissions(scratch, fs::Permissions::from_mode(0o755))
            .map_err(|error| BuildError::io("share", scratch, error))?;
        fs::rename(scratch, &self.path).map_err(|error| BuildError::io("create", &self.path, error))?;
        Ok(self.path)
    }
}
