//! Tools for driver authors: creates a new driver's folder, compiles a driver, and runs it on the folder's recordings.
//! A driver is C, or its manifest declares the repair, which needs no compiler.
//! Also compiles foreign sources, which are written for udev-hid-bpf or for the kernel tree.
//!
//! A driver's object has the programs of both HID-BPF generations, with the manifest and the prelinked programs as
//! sections.
//!
//! Build scripts, `hidbpf new` and `hidbpf build` use this crate. Its results depend only on the folder, the SDK and
//! clang. Objects contain no local directories and no time.

mod clang;
mod declared;
mod driver;
mod effort;
mod error;
mod export;
mod folder;
mod foreign;
mod object;
mod options;
mod place;
mod recordings;
mod refused;
mod rule_values;
mod scaffold;
mod stamp;
mod variables;
mod warnings;

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::files::{self, Durability};
use hidbpf::manifest::{Embedded, Manifest, Requirement};
use hidbpf::names::DriverName;

pub use clang::{Clang, ENVIRONMENT, OLDEST_CLANG};
pub use declared::{compile_declared, declared_source, is_declared};
pub use driver::Driver;
pub use effort::warnings as effort_warnings;
pub use error::BuildError;
pub use export::export;
pub use folder::{MANIFEST_FILE, OUTPUT_FOLDER, SOURCE_FILE, driver_folders};
pub use foreign::{ForeignDriver, SOURCE_SUFFIX, compile_foreign, object_path, write_foreign_headers};
pub use recordings::{Checked, check, recordings, recordings_beside};
pub use refused::Refused;
pub use scaffold::{Chosen, Form, Interface, scaffold, scaffold_c, scaffold_repair};

/// The location of the SDK's headers.
#[derive(Clone, Debug)]
pub enum Sdk {
    /// This directory, which contains `hidbpf/driver.h` and the others. It is for a source tree, where changes to
    /// headers matter.
    Directory(PathBuf),
    /// The headers in this program. They are written to `include` in the output directory.
    Embedded,
}

/// Builds the driver in `folder` to `<name>.bpf.o` in `output`. Finds a clang only if the driver is C.
///
/// # Errors
/// As for [`Clang::find`] and [`compile`], or for [`compile_declared`].
pub fn build(sdk: &Sdk, folder: &Path, output: &Path) -> Result<Driver, BuildError> {
    match is_declared(folder) {
        true => compile_declared(folder, output),
        false => compile(&Clang::find()?, sdk, folder, output),
    }
}

/// Compiles the driver in `folder` to `<name>.bpf.o` in `output`, which is created if necessary.
///
/// Does nothing if the object exists and the same program, clang and file contents produced it.
///
/// # Errors
/// The folder's name or its manifest is invalid, clang fails, or hidbpf could not load the object.
pub fn compile(clang: &Clang, sdk: &Sdk, folder: &Path, output: &Path) -> Result<Driver, BuildError> {
    let folder = fs::canonicalize(folder).map_err(|source| BuildError::io("open", folder, source))?;
    let name = driver_name(&folder)?;
    let manifest_path = folder.join(MANIFEST_FILE);
    let manifest = Manifest::read(&manifest_path)?;
    declared::refuse_beside_source(&manifest, &manifest_path)?;
    let object = output.join(format!("{name}.bpf.o"));
    fs::create_dir_all(output).map_err(|source| BuildError::io("create", output, source))?;
    let include = match sdk {
        Sdk::Directory(directory) => directory.clone(),
        Sdk::Embedded => {
            let include = output.join("include");
            write_headers(&include, hid_bpf_src::HEADERS.iter().copied())?;
            include
        }
    };

    let stamp = stamp::Stamp::new(&object, clang, &include);
    if let Some((inputs, warnings)) = stamp.read() {
        return Ok(Driver { name, object, inputs, warnings });
    }

    let mut options = vec!["-Wextra".into(), clang::with_path("-ffile-prefix-map=", &folder, &format!("={name}"))];
    if manifest.requires.contains(&Requirement::StructOps) {
        options.push("-DHIDBPF_STRUCT_OPS_ONLY".into());
    }
    options.extend(rule_values::definition(&manifest));
    let compiled = clang.compile(&clang::Job { source: &folder.join(SOURCE_FILE), include: &include, options })?;
    let mut warnings = compiled.warnings;
    finish(compiled.object, &name, manifest, &object, &mut warnings)?;

    let mut inputs = compiled.inputs;
    inputs.push(manifest_path);
    inputs.sort();
    inputs.dedup();
    stamp.write(&inputs, &warnings)?;
    Ok(Driver { name, object, inputs, warnings })
}

/// Completes a driver's object: checks it, fills in the options, adds the manifest and the prelinked programs, and
/// writes it. Adds to the warnings if it can't be prelinked.
fn finish(
    mut compiled: Vec<u8>,
    name: &DriverName,
    manifest: Manifest,
    object: &Path,
    warnings: &mut Vec<String>,
) -> Result<(), BuildError> {
    let broken = |problem| BuildError::Object { name: name.clone(), problem };
    object::check(&compiled, &manifest).map_err(broken)?;
    options::fill(&mut compiled, &manifest).map_err(broken)?;
    variables::check(&compiled, &manifest).map_err(broken)?;
    rule_values::check(&compiled, &manifest).map_err(broken)?;
    let section = Embedded::new(name.clone(), manifest)
        .to_section()
        .map_err(|error| broken(format!("its manifest can't be embedded: {error}")))?;
    let prelinked = match hidbpf_prelink::link(&compiled) {
        Ok(prelinked) => Some(prelinked),
        Err(why) => {
            warnings.push(format!("the driver `{name}` is not prelinked, and takes longer to attach: {why}"));
            None
        }
    };
    let mut bytes = object::with_sections(&compiled, &section, prelinked.as_deref()).map_err(broken)?;
    hidbpf::object::write_fingerprint(object, &mut bytes).map_err(|error| broken(error.to_string()))?;
    write_whole(object, &bytes)
}

/// Returns a driver's name, which is its folder's.
fn driver_name(folder: &Path) -> Result<DriverName, BuildError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    DriverName::new(&name).map_err(|source| BuildError::Name { folder: folder.to_owned(), source })
}

/// Writes headers to a directory, except those that are already there.
fn write_headers<'a>(
    directory: &Path,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), BuildError> {
    for (name, text) in headers {
        let path = directory.join(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| BuildError::io("create", parent, source))?;
        }
        write_whole(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Replaces a file that can be built again.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    files::write_whole(path, bytes, 0o666, Durability::Process).map_err(|source| BuildError::io("write", path, source))
}
