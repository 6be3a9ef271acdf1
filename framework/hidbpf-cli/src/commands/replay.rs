//! `hidbpf replay`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use hidbpf::descriptor::posted::Posted;
use hidbpf::descriptor::{Decoded, Descriptor};
use hidbpf::error::{Error, ErrorKind};
use hidbpf::kernel::Generation;
use hidbpf::object::DriverObject;
use hidbpf::recording::{self, Event, Feature, Recording};
use hidbpf::replay::{self, Object, Replayed, Settings};
use serde_json::json;

use super::Context;
use super::mismatch::mismatch;
use super::source;
use super::words::{listed, marked, plain, words};
use crate::args::{Choice, Hooks};
use crate::output::{self, Failure, Failures, Outcome};

/// The result of a request without an answer in the recording.
const EIO: i32 = 5;

/// The parsed arguments.
#[derive(Default)]
pub struct Request {
    pub choice: Choice,
    pub expect: Option<PathBuf>,
    pub decode: bool,
    pub generation: Option<Hooks>,
    pub properties: Vec<(String, String)>,
    pub options: Vec<(String, String)>,
    pub features: Vec<Feature>,
}

pub fn run(context: &Context, driver: &str, path: &Path, request: &Request) -> Outcome {
    let driver = context.driver(driver)?;
    let mut posted = source::open(path, &request.choice)?;
    drop_incomplete(path, &mut posted)?;
    let Posted { recording, origins, .. } = posted;
    for finding in recording.findings() {
        tracing::warn!("{}: {finding}", path.display());
    }
    let has_ids: Vec<bool> = origins.iter().map(|origin| origin.has_ids).collect();
    let Replayed { recording: fixed, instructions, .. } = replayed(&driver, &recording, &has_ids, path, request)?;
    if let Some(expect) = &request.expect {
        let expected = source::open(expect, &Choice::default())?.recording;
        let difference = replay::difference(&expected, &fixed);
        if difference.is_empty() {
            return Ok(());
        }
        output::text(format_args!(
            "--- {}\n+++ {} through {}\n{difference}",
            expect.display(),
            path.display(),
            driver.name
        ))?;
        return Err(Failure::Told.into());
    }
    match (context.json, request.decode) {
        (true, _) => output::json("replay", &as_json(&recording, &fixed, &instructions)),
        (false, true) => output::text(decoded(&recording, &fixed) + &summary(&instructions)),
        (false, false) => output::text(fixed),
    }
}

/// Drops the devices whose descriptor is not in the file. The kernel makes no HID device without one.
fn drop_incomplete(path: &Path, posted: &mut Posted) -> Result<(), Error> {
    let has_descriptor: Vec<bool> =
        posted.recording.devices.iter().map(|device| !device.descriptor.is_empty()).collect();
    // A recording may say that a descriptor has no bytes.
    if has_descriptor.iter().all(|has| *has) || posted.is_recording() {
        return Ok(());
    }
    if !has_descriptor.contains(&true) {
        return Err(source::no_descriptor(&path.to_string_lossy(), posted));
    }
    for index in (0..has_descriptor.len()).filter(|index| !has_descriptor[*index]) {
        let what = source::called(posted, index);
        tracing::warn!("{}: {what} has no report descriptor, and is left out", path.display());
    }
    posted.retain(|index, _| has_descriptor[index]);
    Ok(())
}

/// Runs a driver over a recording, and warns of what it can't do. `has_ids` says which devices have ids to match.
pub(super) fn replayed(
    driver: &DriverObject,
    recording: &Recording,
    has_ids: &[bool],
    path: &Path,
    request: &Request,
) -> Result<Replayed, Failures> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        let what = format!("failed to run the driver `{}` over `{}`", driver.name, path.display());
        Failures::from(Error::because(ErrorKind::BadObject, what, error))
    };
    let generation = match request.generation {
        Some(Hooks::FmodRet) => Generation::FmodRet,
        Some(Hooks::StructOps) => Generation::StructOps,
        None => driver.generations().last().copied().unwrap_or(Generation::StructOps),
    };
    let driver = driver.for_kernel(generation)?.first().copied().unwrap_or(driver);
    let object = Object::parse(driver.bytes()).map_err(|error| failed(error.into()))?;
    let mut options = BTreeMap::new();
    for (name, text) in &request.options {
        let (option, value) = super::set::parse(driver, name, text)?;
        let bytes = option.encode(&value).map_err(|why| Error::new(ErrorKind::Config, why))?;
        options.insert(option.variable(), bytes);
    }
    let settings = |device: &recording::RecordedDevice| {
        let mut settings = Settings::of(device);
        settings.properties.extend(request.properties.iter().cloned());
        settings = replay::for_driver(settings, driver, &device.into());
        settings.options.extend(options.clone());
        settings.features.extend(request.features.iter().map(|feature| (feature.id, feature.report.clone())));
        settings
    };
    let replayed = replay::replay(&object, generation, recording, settings).map_err(|error| failed(error.into()))?;
    let number_of = |index: usize| recording.devices.get(index).map_or(index as u32, |device| device.number);
    // Match rules can't match a device without IDs.
    for (device, _) in recording.devices.iter().zip(has_ids).filter(|(_, has_ids)| **has_ids) {
        let verdict = recording::judge(&driver.manifest, device, &settings(device).properties);
        if let Some(mismatch) = mismatch(driver, &verdict) {
            tracing::warn!("{}: device {}: {mismatch}", path.display(), device.number);
        }
    }
    for (index, errno) in &replayed.refused {
        let number = number_of(*index);
        tracing::warn!(
            "{}: the probe of `{}` refuses device {number} (errno {errno}), which stays as it is",
            path.display(),
            driver.name
        );
    }
    for (index, why) in &replayed.not_set_up {
        let number = number_of(*index);
        let hint = match why.errno {
            EIO => "; `--feature ID=HEX` is what the device answers",
            _ => "",
        };
        tracing::warn!(
            "{}: `{}` can't set up device {number}, which stays as it is: {why}{hint}",
            path.display(),
            driver.name
        );
    }
    let count = recording.events.len();
    if count > 0 && replayed.recording.events.iter().all(|event| event.line.is_none()) {
        tracing::warn!("{}: the driver `{}` dropped all {count} reports", path.display(), driver.name);
    }
    Ok(replayed)
}

/// The results of a replay.
struct Outcomes<'a> {
    /// Those for each recorded report, by its line.
    by_line: HashMap<usize, Vec<&'a Event>>,
    /// The reports that the driver injected later, from a timer or from work.
    later: Vec<&'a Event>,
}

impl<'a> Outcomes<'a> {
    fn of(fixed: &'a Recording) -> Outcomes<'a> {
        let mut outcomes = Outcomes { by_line: HashMap::new(), later: Vec::new() };
        for event in &fixed.events {
            match event.line {
                Some(line) => outcomes.by_line.entry(line).or_default().push(event),
                None => outcomes.later.push(event),
            }
        }
        outcomes
    }

    fn get(&self, event: &Event) -> &[&'a Event] {
        event.line.and_then(|line| self.by_line.get(&line)).map_or(&[], Vec::as_slice)
    }
}

fn as_json(recording: &Recording, fixed: &Recording, instructions: &[Option<u64>]) -> serde_json::Value {
    let hex = |bytes: &[u8]| hidbpf::text::Hex(bytes).to_string();
    let devices: Vec<_> = recording
        .devices
        .iter()
        .zip(&fixed.devices)
        .map(|(before, after)| {
            let asked: Vec<String> = after.asked.iter().map(ToString::to_string).collect();
            json!({
                "name": before.name,
                "before": hex(&before.descriptor),
                "after": hex(&after.descriptor),
                "asked": asked,
            })
        })
        .collect();
    let outcomes = Outcomes::of(fixed);
    let reports: Vec<_> = recording
        .events
        .iter()
        .zip(instructions)
        .map(|(event, instructions)| {
            let after: Vec<String> = outcomes.get(event).iter().map(|after| hex(&after.report)).collect();
            json!({
                "line": event.line,
                "device": event.device,
                "before": hex(&event.report),
                "after": after,
                "instructions": instructions,
            })
        })
        .collect();
    let later: Vec<_> = outcomes
        .later
        .iter()
        .map(|event| json!({ "time": event.time.as_secs_f64(), "device": event.device, "report": hex(&event.report) }))
        .collect();
    json!({ "devices": devices, "reports": reports, "later": later })
}

/// Summarises the instructions per report, if the driver has an event hook.
fn summary(instructions: &[Option<u64>]) -> String {
    let taken: Vec<u64> = instructions.iter().flatten().copied().collect();
    let Some(most) = taken.iter().max() else { return String::new() };
    let mean = taken.iter().sum::<u64>() as f64 / taken.len() as f64;
    format!("instructions a report: {mean:.1} on average, {most} at most\n")
}

/// Decodes each report with the original descriptor, and its results with the fixed one. Changes are marked.
fn decoded(recording: &Recording, fixed: &Recording) -> String {
    let mut text = String::new();
    let descriptors = |recording: &Recording| -> Vec<Result<Descriptor, String>> {
        let parse = |device: &recording::RecordedDevice| {
            Descriptor::parse(&device.descriptor).map_err(|error| error.to_string())
        };
        recording.devices.iter().map(parse).collect()
    };
    let (before, after) = (descriptors(recording), descriptors(fixed));
    let outcomes = Outcomes::of(fixed);
    for (device, asked) in fixed.devices.iter().flat_map(|device| device.asked.iter().map(move |asked| (device, asked)))
    {
        let _ = writeln!(text, "setup of device {}: {asked}", device.number);
    }
    let line = |outcome: &Event, own: Option<&Decoded>| match words(after.get(outcome.device), &outcome.report) {
        Ok(now) => listed(marked(own, &now)),
        Err(error) => error,
    };
    let mut later = outcomes.later.iter().peekable();
    for event in &recording.events {
        while let Some(injected) = later.next_if(|injected| injected.time < event.time) {
            let _ = writeln!(text, "{:11.6} + {}", injected.time.as_secs_f64(), line(injected, None));
        }
        let seconds = event.time.as_secs_f64();
        let own = words(before.get(event.device), &event.report);
        let own_text = own.as_ref().map_or_else(Clone::clone, |own| listed(plain(own)));
        // Writing to a string can't fail.
        let _ = writeln!(text, "{seconds:11.6} - {own_text}");
        let came = outcomes.get(event);
        for outcome in came {
            let _ = writeln!(text, "{:11} + {}", "", line(outcome, own.as_ref().ok()));
        }
        if came.is_empty() {
            let _ = writeln!(text, "{:11} + (dropped)", "");
        }
    }
    for injected in later {
        let _ = writeln!(text, "{:11.6} + {}", injected.time.as_secs_f64(), line(injected, None));
    }
    text
}
