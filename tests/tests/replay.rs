//! Every driver with every recording in its folder.
//!
//! User space runs the built object for both generations of kernels, and the result must equal `<recording>.expected.hid`. There is one
//! test for each recording, found by its file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use hidbpf::object::DriverObject;
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf::replay::{self, Generation, Object, Settings};
use hidbpf_build::BuildError;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("failed to list the recordings: {error}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>, BuildError> {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
    let mut recordings = BTreeMap::new();
    for folder in hidbpf_build::driver_folders(&drivers)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (recording, expected) in hidbpf_build::recordings(&folder)? {
            let title = recording.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            recordings.insert(format!("{name}/{title}"), (name.clone(), recording, expected));
        }
    }
    Ok(recordings
        .into_iter()
        .map(|(title, (driver, recording, expected))| Trial::test(title, move || check(&driver, &recording, &expected)))
        .collect())
}

fn check(driver: &str, recording: &Path, expected: &Path) -> Result<(), Failed> {
    let (recording, expected) = (Recording::read(recording)?, Recording::read(expected)?);
    let path = hidbpf_drivers::objects_dir().join(format!("{driver}.bpf.o"));
    let driver = DriverObject::read(&path)?;
    let object = Object::parse(driver.bytes())?;
    let settings = |device: &RecordedDevice| replay::for_driver(Settings::of(device), &driver, &device.into());
    let generations = object.generations();
    if !generations.contains(&Generation::StructOps) {
        return Err("the driver has no program for struct_ops kernels".into());
    }
    for generation in generations {
        let replayed = replay::replay(&object, generation, &recording, settings)?.recording;
        let difference = replay::difference(&expected, &replayed);
        if !difference.is_empty() {
            return Err(format!("on {generation} kernels:\n{difference}").into());
        }
    }
    Ok(())
}
