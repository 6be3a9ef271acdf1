//! What a driver's author needs: makes a new driver's folder, compiles one into an object with the programs of both HID-BPF generations,
//! with the manifest and the prelinked programs as sections, and runs that over the folder's recordings.
//!
//! Used by build scripts, and by `hidbpf new` and `hidbpf build`. What comes out depends on the folder, the SDK and clang alone: no directory of the
//! machine and no time of day gets into an object.

mod clang;
mod effort;
mod error;
mod object;
mod options;
mod recordings;
mod refused;
mod scaffold;
mod stamp;
mod variables;
mod warnings;

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::manifest::{Embedded, Manifest, Requirement};
use hidbpf::names::DriverName;

pub use clang::{Clang, ENVIRONMENT, OLDEST_CLANG};
pub use effort::warnings as effort_warnings;
pub use error::BuildError;
pub use recordings::{Checked, check, recordings};
pub use refused::Refused;
pub use scaffold::{Interface, scaffold};

/// The file of a folder that makes it a driver's.
pub const MANIFEST_FILE: &str = "driver.toml";

/// The source that a driver is compiled from.
pub const SOURCE_FILE: &str = "driver.bpf.c";

/// Where in a driver's folder `hidbpf build` puts what it makes.
pub const OUTPUT_FOLDER: &str = "build";

/// Where the SDK's headers are.
#[derive(Clone, Debug)]
pub enum Sdk {
    /// In this directory, as `hidbpf/driver.h` and so on: a source tree, where changes to headers are to be noticed.
    Directory(PathBuf),
    /// In this program. They are written into the output directory's `include`.
    Embedded,
}

/// A driver, compiled.
#[derive(Clone, Debug)]
pub struct Driver {
    /// The driver's name, that of its folder.
    pub name: DriverName,
    /// The object, `<name>.bpf.o`.
    pub object: PathBuf,
    /// The files that it was made of: a change to one of them makes the object old.
    pub inputs: Vec<PathBuf>,
    /// What clang said without failing, and why the driver isn't prelinked if it isn't, a line each.
    pub warnings: Vec<String>,
}

/// The folders of a directory that are drivers, in the order of their names.
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

/// Compiles the driver in `folder` to `<name>.bpf.o` in `output`, which is made if need be.
///
/// Nothing is done if the object is there and was made by this program, this clang and files with the same content.
///
/// # Errors
/// The folder's name or its manifest are wrong, clang fails, or the object isn't one that hidbpf could load.
pub fn compile(clang: &Clang, sdk: &Sdk, folder: &Path, output: &Path) -> Result<Driver, BuildError> {
    let folder = fs::canonicalize(folder).map_err(|source| BuildError::io("open", folder, source))?;
    let name = driver_name(&folder)?;
    let manifest_path = folder.join(MANIFEST_FILE);
    let manifest = Manifest::read(&manifest_path)?;
    let object = output.join(format!("{name}.bpf.o"));
    fs::create_dir_all(output).map_err(|source| BuildError::io("create", output, source))?;
    let include = match sdk {
        Sdk::Directory(directory) => directory.clone(),
        Sdk::Embedded => write_headers(&output.join("include"))?,
    };

    let stamp = stamp::Stamp::new(&object, clang, &include);
    if let Some((inputs, warnings)) = stamp.read() {
        return Ok(Driver { name, object, inputs, warnings });
    }

    let mut compiled = clang.compile(&clang::Job {
        source: &folder.join(SOURCE_FILE),
        name: &name,
        include: &include,
        struct_ops_only: manifest.requires.contains(&Requirement::StructOps),
    })?;
    let broken = |problem| BuildError::Object { name: name.clone(), problem };
    object::check(&compiled.object, &manifest).map_err(broken)?;
    options::fill(&mut compiled.object, &manifest).map_err(broken)?;
    variables::check(&compiled.object, &manifest).map_err(broken)?;
    let section = Embedded::new(name.clone(), manifest)
        .to_section()
        .map_err(|error| broken(format!("its manifest can't be embedded: {error}")))?;
    let mut warnings = compiled.warnings;
    let prelinked = match hidbpf_prelink::link(&compiled.object) {
        Ok(prelinked) => Some(prelinked),
        Err(why) => {
            warnings.push(format!("the driver `{name}` is not prelinked, and takes longer to attach: {why}"));
            None
        }
    };
    let mut bytes = object::with_sections(&compiled.object, &section, prelinked.as_deref()).map_err(broken)?;
    hidbpf::object::seal(&object, &mut bytes).map_err(|error| broken(error.to_string()))?;
    write_whole(&object, &bytes)?;

    let mut inputs = compiled.inputs;
    inputs.push(manifest_path);
    inputs.sort();
    inputs.dedup();
    stamp.write(&inputs, &warnings)?;
    Ok(Driver { name, object, inputs, warnings })
}

/// The name of a driver is that of its folder.
fn driver_name(folder: &Path) -> Result<DriverName, BuildError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    DriverName::new(&name).map_err(|source| BuildError::Name { folder: folder.to_owned(), source })
}

/// Puts the SDK's headers into a directory, leaving alone those that are there already.
fn write_headers(directory: &Path) -> Result<PathBuf, BuildError> {
    for (name, text) in hid_bpf_src::HEADERS {
        let path = directory.join(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| BuildError::io("create", parent, source))?;
        }
        write_whole(&path, text.as_bytes())?;
    }
    Ok(directory.to_owned())
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    fs::write(&temporary, bytes).map_err(|source| BuildError::io("write", &temporary, source))?;
    fs::rename(&temporary, path).map_err(|source| BuildError::io("write", path, source))
}
