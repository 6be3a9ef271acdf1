//! Builds drivers without C, whose manifest declares the repair. No compiler runs.

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::manifest::{Manifest, ManifestError};
use hidbpf::matching::Verdict;
use hidbpf::recording::{self, Recording};
use hidbpf::replay::Settings;
use hidbpf_declare::{Declaration, Recorded};

use crate::driver::Driver;
use crate::error::BuildError;
use crate::folder::{MANIFEST_FILE, SOURCE_FILE};
use crate::{finish, recordings};

/// A driver's manifest, and the repair that it declares.
struct Declared {
    path: PathBuf,
    text: String,
    manifest: Manifest,
    declaration: Declaration,
}

impl Declared {
    fn read(folder: &Path) -> Result<Declared, BuildError> {
        let path = folder.join(MANIFEST_FILE);
        let text = fs::read_to_string(&path).map_err(|source| BuildError::io("read", &path, source))?;
        let manifest = Manifest::parse(&path, &text)?;
        let declaration = hidbpf_declare::read(&path, &text)?;
        Ok(Declared { path, text, manifest, declaration })
    }
}

/// Returns whether the driver in a folder has no C, so that only its manifest can say what it does.
pub fn is_declared(folder: &Path) -> bool {
    !folder.join(SOURCE_FILE).is_file()
}

/// Makes the object of the driver in `folder`, whose manifest declares the repair: `<name>.bpf.o` in `output`, which is
/// created if necessary.
///
/// # Errors
/// The folder's name or its manifest is invalid, the repair does not fit the descriptor of one of the driver's
/// recordings, or hidbpf could not load the object.
pub fn compile_declared(folder: &Path, output: &Path) -> Result<Driver, BuildError> {
    let folder = fs::canonicalize(folder).map_err(|source| BuildError::io("open", folder, source))?;
    let name = crate::driver_name(&folder)?;
    let Declared { path, text, manifest, declaration } = Declared::read(&folder)?;
    if declaration.is_empty() {
        let message = format!(
            "the manifest declares no repair, and there is no `{SOURCE_FILE}`: add `[[descriptor]]` or `[[report]]`, or the source"
        );
        return Err(ManifestError { path, position: None, message }.into());
    }
    let object = output.join(format!("{name}.bpf.o"));
    fs::create_dir_all(output).map_err(|source| BuildError::io("create", output, source))?;
    let (mut inputs, recorded) = recorded(&manifest, &folder)?;
    inputs.push(path.clone());
    let file = format!("{name}/{MANIFEST_FILE}");
    let compiled = hidbpf_declare::object(&path, &text, &file, &manifest, &declaration, &recorded)?;
    let mut warnings = Vec::new();
    finish(compiled, &name, manifest, &object, &mut warnings)?;
    Ok(Driver { name, object, inputs, warnings })
}

/// Returns a declared driver as C with the SDK's macros.
///
/// # Errors
/// As for [`compile_declared`]. Or the repair can't be said in C.
pub fn declared_source(folder: &Path) -> Result<String, BuildError> {
    let Declared { path, text, manifest, declaration } = Declared::read(folder)?;
    let (_, recorded) = recorded(&manifest, folder)?;
    Ok(hidbpf_declare::source(&path, &text, &manifest, &declaration, &recorded)?)
}

/// Returns the recordings in a driver's folder, and the devices in them that the driver matches.
fn recorded(manifest: &Manifest, folder: &Path) -> Result<(Vec<PathBuf>, Vec<Recorded>), BuildError> {
    let (mut files, mut recorded) = (Vec::new(), Vec::new());
    for (recording, _) in recordings::recordings(folder)? {
        recorded.extend(devices(manifest, &recording)?);
        files.push(recording);
    }
    Ok((files, recorded))
}

/// Returns the descriptors in the recordings of a driver's folder.
pub(crate) fn descriptors(folder: &Path) -> Result<Vec<Vec<u8>>, BuildError> {
    let mut all = Vec::new();
    for (path, _) in recordings::recordings(folder)? {
        all.extend(Recording::read(&path)?.devices.into_iter().map(|device| device.descriptor));
    }
    Ok(all)
}

/// Returns the devices of a recording that the driver matches.
fn devices(manifest: &Manifest, path: &Path) -> Result<Vec<Recorded>, BuildError> {
    let recording = Recording::read(path)?;
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    let shown = format!("{}/{shown}", recordings::FOLDER);
    let rule = |name: &String| {
        let mut rules = manifest.matches.iter().enumerate();
        rules.position(|(index, rule)| rule.name(index) == *name).unwrap_or(0)
    };
    let devices = recording.devices.iter().filter_map(|device| {
        match recording::judge(manifest, device, &Settings::of(device).properties) {
            Verdict::Matches { rule: name } | Verdict::Undecided { rule: name, .. } => {
                Some(Recorded { recording: shown.clone(), rule: rule(&name), descriptor: device.descriptor.clone() })
            }
            Verdict::NearMiss { .. } | Verdict::No => None,
        }
    });
    Ok(devices.collect())
}

/// Refuses a manifest that declares repairs although the driver is C.
pub(crate) fn refuse_beside_source(manifest: &Manifest, path: &Path) -> Result<(), BuildError> {
    if !manifest.descriptor.0 && !manifest.report.0 {
        return Ok(());
    }
    let message = format!(
        "the manifest declares a repair, and there is `{SOURCE_FILE}` too: a driver has one of them, so remove the other"
    );
    Err(ManifestError { path: path.to_owned(), position: None, message }.into())
}
