//! Every driver over every recording in its folder: the object that the build made, run in user space for both generations of kernels,
//! gives what `<recording>.expected.hid` says. One test for each recording, found by its file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hidbpf::recording::{Device, Recording};
use hidbpf::replay::{Driver, Generation, Object, Settings, Verdict};
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
        let mut replayed = Recording { comments: Vec::new(), devices: Vec::new(), events: Vec::new() };
        for (index, device) in recording.devices.iter().enumerate() {
            let mut driver = Driver::new(&object, generation, &device.into(), &Settings::of(device))?;
            let one = match driver.probe()? {
                // A device that the driver refuses stays as it is.
                Verdict::Refuses(_) => only(&recording, index, device),
                Verdict::NoProbe | Verdict::Takes => driver.replay(&recording, index)?,
            };
            replayed.devices.extend(one.devices);
            replayed
                .events
                .extend(one.events.into_iter().map(|event| hidbpf::recording::Event { device: index, ..event }));
        }
        if replayed.devices.len() > 1 {
            replayed.events.sort_by_key(|event| event.time);
        }
        compare(&expected, &replayed).map_err(|difference| format!("on {generation} kernels:\n{difference}"))?;
    }
    Ok(())
}

fn expected_path(recording: &Path) -> PathBuf {
    let stem = recording.file_stem().unwrap_or_default().to_string_lossy();
    recording.with_file_name(format!("{stem}{EXPECTED}"))
}

/// A recording's part that is about one device, as it is.
fn only(recording: &Recording, index: usize, device: &Device) -> Recording {
    let events = recording.events_of(index).cloned().collect();
    Recording { comments: Vec::new(), devices: vec![device.clone()], events }
}

/// Compares line by line, without comments and properties.
fn compare(expected: &Recording, replayed: &Recording) -> Result<(), String> {
    let lines = |recording: &Recording| -> Vec<String> {
        recording.to_string().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let (expected, replayed) = (lines(expected), lines(replayed));
    if expected == replayed {
        return Ok(());
    }
    let mut difference = String::new();
    for index in 0..expected.len().max(replayed.len()) {
        let (expected, replayed) = (expected.get(index), replayed.get(index));
        if expected != replayed {
            for (sign, line) in [('-', expected), ('+', replayed)] {
                if let Some(line) = line {
                    let _ = writeln!(difference, "{sign} {line}");
                }
            }
        }
    }
    Err(difference)
}
