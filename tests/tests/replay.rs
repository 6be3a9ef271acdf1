//! Every driver over every recording in its folder: the object that the build made, run in user space for both generations of kernels,
//! gives what `<recording>.expected.hid` says. One test for each recording, found by its file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hidbpf::recording::Recording;
use hidbpf::replay::{Generation, Object, Settings};
use libtest_mimic::{Arguments, Failed, Trial};

/// What ends the name of the file that says what should come of a recording.
const EXPECTED: &str = ".expected.hid";

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

fn trials() -> std::io::Result<Vec<Trial>> {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
    let mut recordings = BTreeMap::new();
    for driver in fs::read_dir(drivers)? {
        let driver = driver?;
        let Ok(files) = fs::read_dir(driver.path().join("recordings")) else { continue };
        let name = driver.file_name().to_string_lossy().into_owned();
        for file in files {
            let file = file?.path();
            let title = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(title) = title.strip_suffix(".hid").filter(|_| !title.ends_with(EXPECTED)) {
                recordings.insert(format!("{name}/{title}"), (name.clone(), file));
            }
        }
    }
    Ok(recordings
        .into_iter()
        .map(|(title, (driver, file))| Trial::test(title, move || check(&driver, &file)))
        .collect())
}

fn check(driver: &str, path: &Path) -> Result<(), Failed> {
    let recording = Recording::read(path)?;
    let expected = Recording::read(&expected_path(path))?;
    let object = fs::read(hidbpf_drivers::objects_dir().join(format!("{driver}.bpf.o")))?;
    let object = Object::parse(&object)?;
    let generations = object.generations();
    if !generations.contains(&Generation::StructOps) {
        return Err("the driver has no program for struct_ops kernels".into());
    }
    for generation in generations {
        let replayed = hidbpf::replay::replay(&object, generation, &recording, Settings::of)?.recording;
        let difference = hidbpf::replay::difference(&expected, &replayed);
        if !difference.is_empty() {
            return Err(format!("on {generation} kernels:\n{difference}").into());
        }
    }
    Ok(())
}

fn expected_path(recording: &Path) -> PathBuf {
    let stem = recording.file_stem().unwrap_or_default().to_string_lossy();
    recording.with_file_name(format!("{stem}{EXPECTED}"))
}
