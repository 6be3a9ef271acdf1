//! `hidbpf build`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use hidbpf::descriptor::invalid::InvalidDescriptor;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::Manager;
use hidbpf::object::DriverObject;
use hidbpf::recording::{self, Recording};
use hidbpf::replay::{self, Object, ObjectError, Settings};
use hidbpf::verify::{self, Verification};
use hidbpf_build::{BuildError, Checked, Clang, Driver, OUTPUT_FOLDER, Refused, Sdk};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::json;

use super::{Context, PATIENCE, interrupted, load};
use crate::output::{self, Failure, Failures, Outcome};

/// How long to wait without changes before building. Editors save a file in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// The parsed arguments.
pub struct Request {
    pub folder: PathBuf,
    pub output: Option<PathBuf>,
    pub device: Option<String>,
    pub watch: bool,
}

pub fn run(context: &Context, request: &Request) -> Outcome {
    // Errors that prevent every build are reported at once, even when builds repeat.
    let clang = Clang::find().map_err(failed)?;
    let output = request.output.clone().unwrap_or_else(|| request.folder.join(OUTPUT_FOLDER));
    let once = || build(context, &clang, request, &output);
    if !request.watch {
        return once();
    }
    let stop = interrupted()?;
    let (_watcher, changes) = watch(&request.folder)?;
    loop {
        if let Err(Failures(failures)) = once() {
            failures.iter().for_each(|failure| output::complain(failure, context.verbose));
        }
        eprintln!("waiting for a change in {}", request.folder.display());
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match changes.recv_timeout(PATIENCE) {
                Ok(change) => {
                    if concerns(&change?, &output) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let what = format!("failed to watch `{}`: the kernel stopped telling", request.folder.display());
                    return Err(Error::new(ErrorKind::Io, what).into());
                }
            }
        }
        while let Ok(change) = changes.recv_timeout(QUIET) {
            change?;
        }
    }
}

/// Turns a build error into a command error.
pub fn failed(error: BuildError) -> Error {
    Error::new(ErrorKind::Io, error.to_string())
}

type Change = Result<notify::Event, Error>;

/// Watches a folder and sends its changes, for as long as the watcher lives.
fn watch(folder: &Path) -> Result<(RecommendedWatcher, Receiver<Change>), Error> {
    let failed = |error: notify::Error| {
        Error::because(ErrorKind::Io, "failed to watch the driver's folder for changes", error.to_string())
    };
    let (sender, changes) = channel();
    let mut watcher = notify::recommended_watcher(move |change: notify::Result<notify::Event>| {
        // If the receiver is gone, nothing needs the change.
        let _ = sender.send(change.map_err(failed));
    })
    .map_err(failed)?;
    watcher.watch(folder, RecursiveMode::Recursive).map_err(failed)?;
    Ok((watcher, changes))
}

/// Returns whether an event changes an input. Reading files, and changes to build output, don't count.
fn concerns(event: &notify::Event, output: &Path) -> bool {
    let is_made = |path: &PathBuf| path.starts_with(output) || path.ends_with(OUTPUT_FOLDER);
    !matches!(event.kind, EventKind::Access(_)) && !event.paths.iter().all(is_made)
}

fn build(context: &Context, clang: &Clang, request: &Request, output: &Path) -> Outcome {
    let driver = hidbpf_build::compile(clang, &Sdk::Embedded, &request.folder, output).map_err(failed)?;
    for warning in &driver.warnings {
        eprintln!("{warning}");
    }
    let checked = hidbpf_build::check(&driver.object, &request.folder).map_err(failed)?;
    let efforts = hidbpf_build::effort_warnings(&driver.object, &request.folder).map_err(failed)?;
    for warning in &efforts {
        eprintln!("{warning}");
    }
    let verification = verify(context, &driver.object, &request.folder);
    let verified = match &verification {
        Ok(verification) => verification.to_string(),
        Err(_) => "refuses the driver".to_owned(),
    };
    if context.json {
        output::json("build", &as_json(&driver, &efforts, &checked, &verification))?;
    } else {
        output::text(format!("{}kernel: {verified}\n", as_text(request, &driver, &checked)))?;
    }
    verification?;
    if let Some(device) = &request.device {
        let name = Device::find(&context.system, device)?.name;
        let object = DriverObject::read(&driver.object)?;
        load::show(context, &[Manager::new(&context.system).reload(&object, &name)?])?;
    }
    if let Some(refused) = checked.iter().flat_map(|checked| &checked.refused).find(|refused| refused.is_bad()) {
        let what = format!("the kernel refuses the descriptor that the driver `{}` leaves: {refused}", driver.name);
        let hint = "`hidbpf inspect RECORDING --items --diff DRIVER` shows the items before and after the driver";
        return Err(Error::new(ErrorKind::NotFixed, what).with_hint(hint).into());
    }
    if checked.iter().all(|checked| checked.difference.is_empty()) { Ok(()) } else { Err(Failure::Told.into()) }
}

/// Makes the running kernel verify the driver, for the devices of its recordings.
fn verify(context: &Context, object: &Path, folder: &Path) -> Result<Verification, Error> {
    let driver = DriverObject::read(object)?;
    let unreadable = |error: ObjectError| Error::because(ErrorKind::BadObject, "failed to read the driver", error);
    let parsed = Object::parse(driver.bytes()).map_err(unreadable)?;
    let mut devices = Vec::new();
    for (path, _) in hidbpf_build::recordings(folder).map_err(failed)? {
        let recording = Recording::read(&path).map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
        let settings = |device: &recording::Device| replay::for_driver(Settings::of(device), &driver);
        devices.extend(recording.devices.iter().map(|device| (device.into(), settings(device))));
    }
    verify::verify(&context.system, &driver, &parsed, &devices)
}

fn as_json(
    driver: &Driver,
    efforts: &[String],
    checked: &[Checked],
    verification: &Result<Verification, Error>,
) -> serde_json::Value {
    let recordings: Vec<_> = checked
        .iter()
        .map(|checked| {
            json!({
                "recording": checked.recording,
                "generation": checked.generation,
                "as-expected": checked.difference.is_empty(),
                "difference": checked.difference,
                "refused-descriptors": checked.refused.iter().map(refused_as_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    let warnings: Vec<&String> = driver.warnings.iter().chain(efforts).collect();
    let kernel = match verification {
        Ok(Verification::Verified { release, generation }) => {
            json!({ "verified": true, "release": release, "generation": generation })
        }
        Ok(Verification::NotTried(why)) => json!({ "verified": null, "why": why }),
        Err(error) => json!({ "verified": false, "why": error.to_string(), "hint": error.hint() }),
    };
    json!({
        "driver": driver.name,
        "object": driver.object,
        "warnings": warnings,
        "recordings": recordings,
        "kernel": kernel,
    })
}

fn refused_as_json(refused: &Refused) -> serde_json::Value {
    let fault = |fault: &InvalidDescriptor| json!({ "offset": fault.offset, "reason": fault.reason, "kernel": fault.kernel.to_string() });
    json!({
        "device": refused.device,
        "original": refused.original.as_ref().map(fault),
        "fixed": refused.fixed.as_ref().map(fault),
    })
}

/// Writes a line for each recording. If both generations have the same result, as they should, it appears once.
fn as_text(request: &Request, driver: &Driver, checked: &[Checked]) -> String {
    let mut text = format!("{}\n", driver.object.display());
    let shown = |path: &Path| path.strip_prefix(&request.folder).unwrap_or(path).display().to_string();
    let are_same = |one: &Checked, other: &Checked| {
        one.recording == other.recording && one.difference == other.difference && one.refused == other.refused
    };
    for same in checked.chunk_by(are_same) {
        let Checked { recording, difference, refused, .. } = &same[0];
        let generations: Vec<String> = same.iter().map(|checked| checked.generation.to_string()).collect();
        let verdict = if difference.is_empty() { "as expected" } else { "not as expected (- expected, + what came)" };
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}: {verdict}, on {}", shown(recording), generations.join(" and "));
        difference.lines().for_each(|line| _ = writeln!(text, "  {line}"));
        refused.iter().for_each(|refused| _ = writeln!(text, "  {refused}"));
    }
    if checked.is_empty() {
        text += "no recordings: what it does was not tried\n";
    }
    text
}
