//! `hidbpf build`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use hidbpf::descriptor::invalid::InvalidDescriptor;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::files::is_incomplete;
use hidbpf::kernel;
use hidbpf::manager::Manager;
use hidbpf::names::OBJECT_SUFFIX;
use hidbpf::object::DriverObject;
use hidbpf::recording::{self, Recording};
use hidbpf::replay::{self, Object, ObjectError, Settings};
use hidbpf::verify::{self, Verification};
use hidbpf_build::{BuildError, Checked, Clang, Driver, OUTPUT_FOLDER, Refused, SOURCE_SUFFIX, Sdk, object_path};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::json;

use super::{Context, PATIENCE, interrupted, load};
use crate::output::{self, Failure, Failures, Outcome};

/// How long to wait without changes before building. Editors save a file in several steps.
const QUIET: Duration = Duration::from_millis(50);

/// The parsed arguments.
pub struct Request {
    /// A driver's folder, or a foreign source.
    pub what: PathBuf,
    /// A directory, or the object of a foreign source.
    pub output: Option<PathBuf>,
    pub device: Option<String>,
    pub watch: bool,
}

pub fn run(context: &Context, request: &Request) -> Outcome {
    let input = Input::of(request);
    // Errors that prevent every build are reported at once, even when builds repeat.
    if input.needs_clang() {
        Clang::find().map_err(failed)?;
    }
    let once = || build(context, request, &input);
    if !request.watch {
        return once();
    }
    let stop = interrupted()?;
    let (_watcher, changes) = watch(input.folder())?;
    loop {
        if let Err(Failures(failures)) = once() {
            failures.iter().for_each(|failure| output::complain(failure, context.verbose));
        }
        eprintln!("waiting for a change in {}", input.folder().display());
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match changes.recv_timeout(PATIENCE) {
                Ok(change) => {
                    if input.concerns(&change?) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let what = format!("failed to watch `{}`: the kernel stopped telling", input.folder().display());
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

/// The source of a driver.
enum Input {
    /// A driver's folder, and the directory for the build's output.
    Folder { folder: PathBuf, output: PathBuf },
    /// A foreign source, and its object.
    Foreign { source: PathBuf, object: PathBuf },
}

impl Input {
    fn of(request: &Request) -> Input {
        let what = request.what.clone();
        match what.to_string_lossy().ends_with(SOURCE_SUFFIX) && !what.is_dir() {
            true => Input::Foreign { object: object_path(&what, request.output.as_deref()), source: what },
            false => {
                let output = request.output.clone().unwrap_or_else(|| what.join(OUTPUT_FOLDER));
                Input::Folder { folder: what, output }
            }
        }
    }

    /// Returns the directory with all files that an author writes.
    fn folder(&self) -> &Path {
        match self {
            Input::Folder { folder, .. } => folder,
            Input::Foreign { source, .. } => match source.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            },
        }
    }

    /// Returns whether an event changes an input. Reading files, and changes to build output, don't count.
    fn concerns(&self, event: &notify::Event) -> bool {
        let is_made = |path: &PathBuf| match self {
            Input::Folder { output, .. } => path.starts_with(output) || path.ends_with(OUTPUT_FOLDER),
            Input::Foreign { .. } => {
                path.to_string_lossy().ends_with(OBJECT_SUFFIX) || path.file_name().is_some_and(is_incomplete)
            }
        };
        !matches!(event.kind, EventKind::Access(_)) && !event.paths.iter().all(is_made)
    }

    /// Returns whether it is C. A driver whose manifest declares the repair needs no compiler.
    fn needs_clang(&self) -> bool {
        match self {
            Input::Folder { folder, .. } => !hidbpf_build::is_declared(folder),
            Input::Foreign { .. } => true,
        }
    }

    fn compile(&self) -> Result<Built, Error> {
        Ok(match self {
            Input::Folder { folder, output } => {
                let driver = hidbpf_build::build(&Sdk::Embedded, folder, output);
                let Driver { object, warnings, .. } = driver.map_err(failed)?;
                let recordings = hidbpf_build::recordings(folder).map_err(failed)?;
                Built { driver: DriverObject::read(&object)?, objects: vec![object], warnings, recordings }
            }
            Input::Foreign { source, object } => {
                if let Some(directory) = object.parent() {
                    let what = || format!("failed to create `{}`", directory.display());
                    std::fs::create_dir_all(directory).map_err(|error| Error::because(ErrorKind::Io, what(), error))?;
                }
                let clang = Clang::find().map_err(failed)?;
                let foreign = hidbpf_build::compile_foreign(&clang, source, object).map_err(failed)?;
                let objects = foreign.objects().cloned().collect();
                let recordings = hidbpf_build::recordings_beside(source);
                Built { driver: foreign.read()?, objects, warnings: foreign.warnings, recordings }
            }
        })
    }
}

/// A driver that has been built.
struct Built {
    driver: DriverObject,
    /// Its objects, the newest first. Only a foreign driver has two.
    objects: Vec<PathBuf>,
    /// One line each.
    warnings: Vec<String>,
    /// Its recordings, each with the file of its expected result.
    recordings: Vec<(PathBuf, PathBuf)>,
}

impl Built {
    /// Runs each object on all recordings. Returns the results by recording, the older generation first.
    fn check(&self) -> Result<Vec<Checked>, Error> {
        let mut checked = Vec::new();
        for object in self.objects.iter().rev() {
            checked.extend(hidbpf_build::check(object, &self.recordings).map_err(failed)?);
        }
        checked.sort_by(|one, other| one.recording.cmp(&other.recording));
        Ok(checked)
    }

    fn efforts(&self) -> Result<Vec<String>, Error> {
        let mut efforts = Vec::new();
        for object in &self.objects {
            for warning in hidbpf_build::effort_warnings(object, &self.recordings).map_err(failed)? {
                // Both generations mostly have the same loops.
                if !efforts.contains(&warning) {
                    efforts.push(warning);
                }
            }
        }
        Ok(efforts)
    }
}

fn build(context: &Context, request: &Request, input: &Input) -> Outcome {
    let built = input.compile()?;
    for warning in &built.warnings {
        eprintln!("{warning}");
    }
    let checked = built.check()?;
    let efforts = built.efforts()?;
    for warning in &efforts {
        eprintln!("{warning}");
    }
    let verification = verify(context, &built);
    let verified = match &verification {
        Ok(verification) => verification.to_string(),
        Err(_) => "refuses the driver".to_owned(),
    };
    if context.json {
        output::json("build", &as_json(&built, &efforts, &checked, &verification))?;
    } else {
        output::text(format!("{}kernel: {verified}\n", as_text(input, &built, &checked)))?;
    }
    verification?;
    let is_right = checked.iter().all(|checked| checked.difference.is_empty());
    if is_right && !context.json && !request.watch && request.device.is_none() && !input.needs_clang() {
        let folder = input.folder().display();
        output::text(format_args!(
            "Next: `sudo hidbpf install {folder}` attaches the driver whenever the device is plugged in\n"
        ))?;
    }
    if let Some(device) = &request.device {
        let name = Device::find(&context.system, device)?.name;
        load::show(context, &[Manager::new(&context.system).reload(&built.driver, &name)?])?;
    }
    if let Some(refused) = checked.iter().flat_map(|checked| &checked.refused).find(|refused| refused.is_bad()) {
        let what =
            format!("the kernel refuses the descriptor that the driver `{}` leaves: {refused}", built.driver.name);
        let hint = "`hidbpf inspect RECORDING --items --diff DRIVER` shows the items before and after the driver";
        return Err(Error::new(ErrorKind::NotFixed, what).with_hint(hint).into());
    }
    if is_right { Ok(()) } else { Err(Failure::Told.into()) }
}

/// Makes the running kernel verify the driver, for the devices of its recordings.
fn verify(context: &Context, built: &Built) -> Result<Verification, Error> {
    // The version for the running kernel. Without one, the newest says which kernels it needs.
    let generation = kernel::detect(&context.system).and_then(|kernel| kernel.generation()).ok();
    let versions = generation.and_then(|generation| built.driver.for_kernel(generation).ok());
    let driver = versions.and_then(|versions| versions.first().copied()).unwrap_or(&built.driver);
    let unreadable = |error: ObjectError| Error::because(ErrorKind::BadObject, "failed to read the driver", error);
    let parsed = Object::parse(driver.bytes()).map_err(unreadable)?;
    let mut devices = Vec::new();
    for (path, _) in &built.recordings {
        let recording = Recording::read(path).map_err(|error| Error::new(ErrorKind::Io, error.to_string()))?;
        let settings =
            |device: &recording::RecordedDevice| replay::for_driver(Settings::of(device), driver, &device.into());
        devices.extend(recording.devices.iter().map(|device| (device.into(), settings(device))));
    }
    verify::verify(&context.system, driver, &parsed, &devices)
}

fn as_json(
    built: &Built,
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
    let warnings: Vec<&String> = built.warnings.iter().chain(efforts).collect();
    let kernel = match verification {
        Ok(Verification::Verified { release, generation }) => {
            json!({ "verified": true, "release": release, "generation": generation })
        }
        Ok(Verification::NotTried(why)) => json!({ "verified": null, "why": why }),
        Err(error) => json!({ "verified": false, "why": error.to_string(), "hint": error.hint() }),
    };
    json!({
        "driver": built.driver.name,
        "object": built.objects.first(),
        "older-object": built.objects.get(1),
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
fn as_text(input: &Input, built: &Built, checked: &[Checked]) -> String {
    let mut text: String = built.objects.iter().map(|object| format!("{}\n", object.display())).collect();
    let shown = |path: &Path| path.strip_prefix(input.folder()).unwrap_or(path).display().to_string();
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
