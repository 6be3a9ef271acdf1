//! The files of a driver's folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::BuildError;

/// The file that makes a folder a driver's.
pub const MANIFEST_FILE: &str = "driver.toml";

/// The source file of a driver.
pub const SOURCE_FILE: &str = "driver.bpf.c";

/// The output directory of `hidbpf build` in a driver's folder.
pub const OUTPUT_FOLDER: &str = "build";

/// Returns the driver folders in a directory, sorted by name.
///
/// # Errors
/// The directory can't be read.
pub fn driver_folders(directory: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let failed = |source| BuildError::io("list", directory, source);
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.join(MANIFEST_FILE).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}
