//! A driver's recordings, run through its object without a kernel, and compared with what is expected.

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::matching::Verdict;
use hidbpf::object::DriverObject;
use hidbpf::recording::{Device, Recording};
use hidbpf::replay::{self, Generation, Object, Settings};

use crate::{BuildError, Refused};

/// Where a driver's folder has its recordings.
pub const FOLDER: &str = "recordings";

/// What the name of a recording ends in.
pub const SUFFIX: &str = ".hid";

/// The same for the file that says what should come of it.
pub const EXPECTED_SUFFIX: &str = ".expected.hid";

/// What came of a recording.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The recording.
    pub recording: PathBuf,
    /// For which kernels the driver's programs were run.
    pub generation: Generation,
    /// How what came differs from what was expected, line by line; empty where it does not.
    pub difference: String,
    /// The devices with an original or fixed descriptor that the kernel refuses.
    pub refused: Vec<Refused>,
}

/// The recordings of a driver's folder, in the order of their names, each with the file that says what should come of it.
///
/// # Errors
/// The folder can't be listed. That it has no recordings is no error.
pub fn recordings(folder: &Path) -> Result<Vec<(PathBuf, PathBuf)>, BuildError> {
    let directory = folder.join(FOLDER);
    let failed = |source| BuildError::io("list", &directory, source);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut recordings = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(stem) = name.strip_suffix(SUFFIX).filter(|_| !name.ends_with(EXPECTED_SUFFIX)) {
            let expected = path.with_file_name(format!("{stem}{EXPECTED_SUFFIX}"));
            recordings.push((path, expected));
        }
    }
    recordings.sort();
    Ok(recordings)
}

/// Runs an object over every recording of its folder, for each generation of kernels that it has programs for.
///
/// # Errors
/// A recording or what is expected of it can't be read, or a program did what the kernel would not let it do.
pub fn check(object: &Path, folder: &Path) -> Result<Vec<Checked>, BuildError> {
    let bytes = fs::read(object).map_err(|source| BuildError::io("read", object, source))?;
    let failed = |recording: &Path, problem: String| BuildError::Replay {
        object: object.to_owned(),
        recording: recording.to_owned(),
        problem,
    };
    let parsed = Object::parse(&bytes).map_err(|error| failed(folder, error.to_string()))?;
    let driver = DriverObject::parse(object, bytes).map_err(|error| failed(folder, error.to_string()))?;
    let settings = |device: &Device| Settings::of(device).for_driver(&driver);
    let mut checked = Vec::new();
    for (path, expected) in recordings(folder)? {
        let recording = Recording::read(&path)?;
        let expected = Recording::read(&expected)?;
        for generation in parsed.generations() {
            let replayed = replay::replay(&parsed, generation, &recording, settings)
                .map_err(|error| failed(&path, error.to_string()))?;
            let difference = replay::difference(&expected, &replayed.recording);
            let refused = recording.devices.iter().zip(&replayed.recording.devices).filter_map(|(device, fixed)| {
                let verdict = device.judge(&driver.manifest, &settings(device).properties);
                Refused::of(device, fixed, matches!(verdict, Verdict::Matches { .. }))
            });
            let refused = refused.collect();
            checked.push(Checked { recording: path.clone(), generation, difference, refused });
        }
    }
    Ok(checked)
}
