//! Replays a driver's recordings without a kernel, and compares the results with the expected ones.

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::matching::Verdict;
use hidbpf::object::DriverObject;
use hidbpf::recording::{self, RecordedDevice, Recording};
use hidbpf::replay::{self, Generation, Object, Settings};

use crate::error::BuildError;
use crate::foreign::SOURCE_SUFFIX;
use crate::refused::Refused;

/// The folder of recordings in a driver's folder.
pub const FOLDER: &str = "recordings";

/// The suffix of a recording.
pub const SUFFIX: &str = ".hid";

/// The suffix of an expected result.
pub const EXPECTED_SUFFIX: &str = ".expected.hid";

/// The result of a recording.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The recording.
    pub recording: PathBuf,
    /// The generation whose programs were run.
    pub generation: Generation,
    /// The difference from the expected result, line by line. Empty if there is none.
    pub difference: String,
    /// The devices whose original or fixed descriptor the kernel refuses.
    pub refused: Vec<Refused>,
}

/// Returns the recordings in a driver's folder, sorted by name, each with the file of its expected result.
///
/// # Errors
/// The folder can't be listed. A folder without recordings isn't an error.
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

/// Returns the recording beside a foreign source, with the file of its expected result: `NAME.hid` and `NAME.expected.hid`
/// beside `NAME.bpf.c`. Empty if there is none.
pub fn recordings_beside(source: &Path) -> Vec<(PathBuf, PathBuf)> {
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.strip_suffix(SOURCE_SUFFIX).unwrap_or(&name);
    let [recording, expected] =
        [SUFFIX, EXPECTED_SUFFIX].map(|suffix| source.with_file_name(format!("{stem}{suffix}")));
    if recording.is_file() { vec![(recording, expected)] } else { Vec::new() }
}

/// Runs an object on recordings, for each generation that it has programs for, and compares with the expected results.
///
/// # Errors
/// A recording or an expected result can't be read, or a program did something that the kernel forbids.
pub fn check(object: &Path, recordings: &[(PathBuf, PathBuf)]) -> Result<Vec<Checked>, BuildError> {
    let (parsed, driver) = read(object)?;
    let failed = |recording: &Path, problem: String| BuildError::Replay {
        object: object.to_owned(),
        recording: recording.to_owned(),
        problem,
    };
    let settings = |device: &RecordedDevice| replay::for_driver(Settings::of(device), &driver, &device.into());
    let mut checked = Vec::new();
    for (path, expected) in recordings {
        let recording = Recording::read(path)?;
        let expected = Recording::read(expected)?;
        for generation in driver.generations() {
            let replayed = replay::replay(&parsed, generation, &recording, settings)
                .map_err(|error| failed(path, error.to_string()))?;
            let difference = replay::difference(&expected, &replayed.recording);
            let refused = recording.devices.iter().zip(&replayed.recording.devices).filter_map(|(device, fixed)| {
                let verdict = recording::judge(&driver.manifest, device, &settings(device).properties);
                Refused::of(device, fixed, matches!(verdict, Verdict::Matches { .. }))
            });
            let refused = refused.collect();
            checked.push(Checked { recording: path.clone(), generation, difference, refused });
        }
    }
    Ok(checked)
}

/// Reads an object for the replay, and as a driver.
pub(crate) fn read(object: &Path) -> Result<(Object, DriverObject), BuildError> {
    let bytes = fs::read(object).map_err(|source| BuildError::io("read", object, source))?;
    let failed = |problem: String| BuildError::Unreadable { object: object.to_owned(), problem };
    let parsed = Object::parse(&bytes).map_err(|error| failed(error.to_string()))?;
    let driver = DriverObject::parse(object, bytes).map_err(|error| failed(error.to_string()))?;
    Ok((parsed, driver))
}
