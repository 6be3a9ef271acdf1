//! `hidbpf report`: gathers what is known about devices, and writes a page about them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hidbpf::descriptor::diagnose::{self, Finding};
use hidbpf::descriptor::posted::Posted;
use hidbpf::descriptor::privacy::{HiddenKeys, HiddenSerials};
use hidbpf::descriptor::{Anatomy, Report};
use hidbpf::descriptors::{self, Which};
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::fixup::{Fixup, fixup};
use hidbpf::ids::HidName;
use hidbpf::manager::Manager;
use hidbpf::object::DriverObject;
use hidbpf::recorder;
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf::replay::{self, Settings};
use hidbpf_report::{Driven, Subject};

use super::{Context, replay as replay_command, source};
use crate::args::Choice;
use crate::output::{self, Failures, Outcome};

/// The parsed arguments.
pub struct Request {
    pub what: Vec<String>,
    pub output: PathBuf,
    pub choice: Choice,
    pub driver: Option<String>,
    pub show_keys: bool,
    pub show_serials: bool,
}

pub fn run(context: &Context, request: &Request) -> Outcome {
    let driver = request.driver.as_deref().map(|driver| context.driver(driver)).transpose()?;
    let mut subjects = Vec::new();
    for what in &request.what {
        subjects.extend(subjects_of(context, what, driver.as_ref(), request)?);
    }
    let page = hidbpf_report::page(&subjects, concat!("hidbpf ", env!("CARGO_PKG_VERSION")));
    let path = &request.output;
    fs::write(path, page)
        .map_err(|error| Error::because(ErrorKind::Io, format!("failed to write `{}`", path.display()), error))?;
    if subjects.iter().any(|subject| subject.keys_hidden) {
        output::say("key values are hidden: `--show-keys` shows them");
    }
    Ok(())
}

fn subjects_of(
    context: &Context,
    what: &str,
    driver: Option<&DriverObject>,
    request: &Request,
) -> Result<Vec<Subject>, Failures> {
    let path = Path::new(what);
    if what == "-" {
        let name = "standard input";
        let posted = source::parse(name, &source::content(name, io::stdin().lock())?, &request.choice)?;
        return of_file(name, posted, driver, request);
    }
    if what.parse::<HidName>().is_err() && path.is_file() {
        return of_file(what, source::open(path, &request.choice)?, driver, request);
    }
    Ok(vec![of_device(context, &Device::find(&context.system, what)?, driver, request)?])
}

/// Gathers the devices of a file.
fn of_file(
    name: &str,
    mut posted: Posted,
    driver: Option<&DriverObject>,
    request: &Request,
) -> Result<Vec<Subject>, Failures> {
    if posted.recording.devices.iter().all(|device| device.descriptor.is_empty()) {
        return Err(source::no_descriptor(name, &posted).into());
    }
    let serials = if request.show_serials { None } else { Some(HiddenSerials::default()) };
    let clean = |text: &str| serials.as_ref().map_or_else(|| text.to_owned(), |serials| serials.hide(text));
    // Findings name lines of the file, and are about what the device sent.
    let of_recording = |recording: &Recording| -> Vec<Vec<Finding>> {
        (0..recording.devices.len()).map(|device| diagnose::recording(recording, device)).collect()
    };
    let findings = of_recording(&posted.recording);
    let of_descriptors = of_recording(&Recording { events: Vec::new(), ..posted.recording.clone() });
    let hidden = hide_keys(&mut posted.recording, driver, request)?;
    if let Some(serials) = &serials {
        posted.recording.devices.iter_mut().for_each(|device| serials.hide_in(device));
    }
    // A driver gets the reports without the keys, so that it can't move them to where they would be seen.
    let mut after = match driver {
        Some(driver) => driven(driver, &posted, Path::new(name))?,
        None => Vec::new(),
    };
    let file = Path::new(name).file_name().map_or_else(|| name.to_owned(), |file| file.to_string_lossy().into_owned());
    let mut subjects = Vec::new();
    for (index, (findings, of_descriptors)) in findings.into_iter().zip(&of_descriptors).enumerate() {
        let (device, origin) = (&posted.recording.devices[index], &posted.origins[index]);
        if device.descriptor.is_empty() && posted.recording.events_of(index).next().is_none() {
            continue;
        }
        let title = clean(&origin.title);
        let name = [&device.name, &title].into_iter().find(|name| !name.is_empty()).cloned();
        let mut facts = vec![("file".to_owned(), clean(&file))];
        if origin.has_ids {
            facts.extend(ids(device));
        }
        if let Some(interface) = origin.interface {
            facts.push(("interface".to_owned(), interface.to_string()));
        }
        if !device.phys.is_empty() {
            facts.push(("path".to_owned(), device.phys.clone()));
        }
        facts.push(("descriptor".to_owned(), format!("{} bytes", device.descriptor.len())));
        let reports: Vec<_> = posted.recording.events_of(index).cloned().collect();
        facts.extend(duration(&reports));
        let keys = hidden.get(index).and_then(Option::as_ref);
        subjects.push(Subject {
            name: name.unwrap_or_else(|| format!("Device {}", device.number)),
            facts,
            notes: Vec::new(),
            keys_hidden: keys.is_some(),
            descriptor: device.descriptor.clone(),
            reports,
            findings: match keys {
                Some(keys) => without_keys(findings, of_descriptors, &device.descriptor, keys),
                None => findings,
            },
            after: after.get_mut(index).map(std::mem::take),
        });
    }
    Ok(subjects)
}

/// Gathers a device of this machine. Its reports are in recordings only.
fn of_device(
    context: &Context,
    device: &Device,
    driver: Option<&DriverObject>,
    request: &Request,
) -> Result<Subject, Error> {
    let system = &context.system;
    let original = descriptors::read(system, device, Which::Original)?;
    let mut recorded = recorder::described(device, &context.catalog());
    recorded.descriptor.clone_from(&original);
    let mut facts = vec![("device".to_owned(), device.name.to_string())];
    facts.extend(ids(&recorded));
    facts.push(("kernel driver".to_owned(), device.driver.clone().unwrap_or_else(|| "none".to_owned())));
    facts.extend(device.interface.map(|interface| ("interface".to_owned(), interface.to_string())));
    let serials = HiddenSerials::new(&[&device.uniq]);
    let clean = |text: &str| if request.show_serials { text.to_owned() } else { serials.hide(text) };
    if !device.phys.is_empty() {
        facts.push(("path".to_owned(), clean(&device.phys)));
    }
    if request.show_serials && !device.uniq.is_empty() {
        facts.push(("serial number".to_owned(), device.uniq.clone()));
    }
    let status = Manager::new(system).status()?.into_iter().find(|status| status.device == device.name);
    let attached: Vec<String> =
        status.iter().flat_map(|status| &status.drivers).map(|attached| attached.driver.to_string()).collect();
    if !attached.is_empty() {
        facts.push(("attached drivers".to_owned(), attached.join(", ")));
    }
    facts.push(("descriptor".to_owned(), format!("{} bytes", original.len())));
    let after = match driver {
        Some(driver) => Some(fixed(driver, device, &original)?),
        None if !device.current.is_empty() && device.current != original => {
            let by = if attached.is_empty() { "the kernel driver".to_owned() } else { attached.join(", ") };
            Some(Driven { by, descriptor: device.current.clone(), ..Driven::default() })
        }
        None => None,
    };
    Ok(Subject {
        name: clean(&device.hid_name),
        facts,
        findings: diagnose::device(&original, device.modalias.bus, device.modalias.vendor),
        descriptor: original,
        after,
        ..Subject::default()
    })
}

fn ids(device: &RecordedDevice) -> [(String, String); 2] {
    [
        ("bus".to_owned(), device.bus.to_string()),
        ("vendor and product".to_owned(), format!("{}:{}", device.vendor, device.product)),
    ]
}

fn duration(reports: &[hidbpf::recording::Event]) -> Option<(String, String)> {
    let (first, last) = (reports.first()?, reports.last()?);
    let seconds = last.time.saturating_sub(first.time).as_secs_f64();
    Some(("reports".to_owned(), format!("{} in {seconds:.1} s", reports.len())))
}

/// Hides the keys in all reports, unless they are asked for. Returns what is hidden of each device.
fn hide_keys(
    recording: &mut Recording,
    driver: Option<&DriverObject>,
    request: &Request,
) -> Result<Vec<Option<HiddenKeys>>, Error> {
    let Recording { devices, events, .. } = recording;
    if request.show_keys {
        return Ok(devices.iter().map(|_| None).collect());
    }
    let mut descriptors: Vec<Vec<Vec<u8>>> = Vec::new();
    for device in devices.iter() {
        let mut own = vec![device.descriptor.clone()];
        // A driver's descriptor can show that bits which had no meaning are keys.
        if let Some(driver) = driver.filter(|_| !device.descriptor.is_empty()) {
            let subject = device.into();
            let settings = replay::for_driver(Settings::of(device), driver, &subject);
            if let Fixup::Changed(fixed) = fixup(driver, &subject, &settings)? {
                own.push(fixed);
            }
        }
        descriptors.push(own);
    }
    let ids = |device: &RecordedDevice| (device.bus, device.vendor, device.product);
    let of = |index: usize| descriptors.get(index).into_iter().flatten().map(Vec::as_slice);
    let hidden: Vec<Option<HiddenKeys>> = devices
        .iter()
        .enumerate()
        .map(|(index, device)| {
            let others = devices.iter().enumerate().filter(|(_, other)| ids(other) == ids(device));
            let others: Vec<&[u8]> = others.flat_map(|(other, _)| of(other)).collect();
            HiddenKeys::beside(&of(index).collect::<Vec<_>>(), &others)
        })
        .collect();
    for event in events {
        if let (Some(Some(keys)), Some(device)) = (hidden.get(event.device), devices.get(event.device)) {
            keys.hide(&device.descriptor, &mut event.report);
        }
    }
    Ok(hidden)
}

/// Leaves out the findings that the reports with hidden keys show, since they can tell a key. `of_descriptors` are those that
/// the descriptors show alone.
fn without_keys(
    findings: Vec<Finding>,
    of_descriptors: &[Finding],
    descriptor: &[u8],
    keys: &HiddenKeys,
) -> Vec<Finding> {
    let reports = Anatomy::of(descriptor).reports;
    let is_open = |finding: &Finding| {
        let is_it = |report: &&Report| finding.report.is_some_and(|of| (report.kind, report.id) == (of.kind, of.id));
        reports.iter().find(is_it).is_some_and(|report| !keys.hides(descriptor, report))
    };
    findings.into_iter().filter(|finding| of_descriptors.contains(finding) || is_open(finding)).collect()
}

/// Runs a driver on a device's descriptor.
fn fixed(driver: &DriverObject, device: &Device, original: &[u8]) -> Result<Driven, Error> {
    let properties = device.properties(driver.all_properties());
    let settings = Settings { properties, ..Settings::default() };
    let mut subject = replay::device_of(device);
    subject.descriptor = original.to_vec();
    let by = driver.name.to_string();
    let (descriptor, note) = match fixup(driver, &subject, &replay::for_driver(settings, driver, &subject))? {
        Fixup::Changed(descriptor) => (descriptor, None),
        Fixup::Unchanged => (original.to_vec(), Some(format!("The driver {by} leaves the descriptor as it is."))),
        Fixup::NotTaken(errno) => {
            (original.to_vec(), Some(format!("The driver {by} refuses the device (errno {}).", -errno)))
        }
        Fixup::Failed(errno) => (original.to_vec(), Some(format!("The driver {by} fails (errno {}).", -errno))),
    };
    Ok(Driven { by, descriptor, notes: note.into_iter().collect(), outcomes: Vec::new() })
}

/// Runs a driver over a file. Returns what it makes of each device.
fn driven(driver: &DriverObject, posted: &Posted, path: &Path) -> Result<Vec<Driven>, Failures> {
    let mut recording = posted.recording.clone();
    // The result names the report by its line. Not all forms of files have lines.
    for (index, event) in recording.events.iter_mut().enumerate() {
        event.line = Some(index);
    }
    let has_ids: Vec<bool> = posted.origins.iter().map(|origin| origin.has_ids).collect();
    let replayed = replay_command::replayed(driver, &recording, &has_ids, path, &replay_command::Request::default())?;
    let mut outcomes: Vec<Vec<Vec<u8>>> = vec![Vec::new(); recording.events.len()];
    let mut last = vec![0; recording.devices.len()];
    for event in replayed.recording.events {
        let of_device = last.get_mut(event.device);
        // A report of a timer belongs to no other. It is shown with the one before it.
        let index = match (event.line, of_device) {
            (Some(line), Some(last)) => {
                *last = line;
                line
            }
            (None, Some(last)) => *last,
            (_, None) => continue,
        };
        if let Some(outcome) = outcomes.get_mut(index) {
            outcome.push(event.report);
        }
    }
    let mut driven: Vec<Driven> = Vec::new();
    for (index, device) in replayed.recording.devices.iter().enumerate() {
        let mut notes = Vec::new();
        if let Some((_, errno)) = replayed.refused.iter().find(|(of, _)| *of == index) {
            notes.push(format!("The driver {} refuses this device (errno {errno}).", driver.name));
        }
        if let Some((_, why)) = replayed.not_set_up.iter().find(|(of, _)| *of == index) {
            notes.push(format!("The driver {} can't set up this device: {why}.", driver.name));
        }
        let events = recording.events.iter().zip(&mut outcomes).filter(|(event, _)| event.device == index);
        driven.push(Driven {
            by: driver.name.to_string(),
            notes,
            descriptor: device.descriptor.clone(),
            outcomes: events.map(|(_, outcome)| std::mem::take(outcome)).collect(),
        });
    }
    Ok(driven)
}
