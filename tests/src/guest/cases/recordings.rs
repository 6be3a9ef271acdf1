//! One case for each driver: every recorded device is plugged in and sends its recorded reports.
//!
//! Descriptor and reports must equal the recording's expected half, byte for byte. Nodes and events must equal its `.nodes` file. The case
//! also reports the cost of the driver's programs in the kernel.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use hidbpf::descriptor::{ReportLengths, ReportType, invalid};
use hidbpf::ids::Bus;
use hidbpf::matching::Verdict;
use hidbpf::object::DriverObject;
use hidbpf::recording::{self, Asked, Event, RecordedDevice, Recording};
use hidbpf::text::Hex;

use super::identity::{Compared, Replayed};
use crate::expectation::{Expectation, Kernel, Watch};
use crate::guest::bench::{Bench, Plugged, entries, features_of, installed};
use crate::guest::costs::{Before, Costs};
use crate::guest::port::Port;
use crate::guest::usb::spec_of;
use crate::transport::Transport;
use crate::uhid::Spec;
use crate::usb;

/// The folder of the drivers' recordings in the guest.
const RECORDINGS: &str = "/recordings";

/// A driver that has recordings.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// Its name.
    pub driver: &'static str,
    /// Whether it is only for struct_ops kernels.
    pub newer_only: bool,
    /// Whether it has a recording of a device on a USB bus.
    pub on_usb: bool,
    /// The family of drivers with the same kinds of hooks, made from the same parts of the SDK.
    pub family: &'static str,
}

/// All of them.
pub const DRIVERS: &[Recorded] = include!(concat!(env!("OUT_DIR"), "/recorded_drivers.rs"));

/// Plugs in each recorded device of a driver and compares.
pub fn run(driver: &str, bench: &mut Bench, port: &mut Port) -> Result<()> {
    let mut costs = Costs::default();
    for_each(driver, |session| session.run(bench, &mut costs))?;
    costs.send(driver, port)
}

/// Returns the recordings of a driver whose names have this prefix.
///
/// # Errors
/// One can't be read.
pub fn named<'a>(driver: &'a str, prefix: &str) -> Result<Vec<Session<'a>>> {
    let mut sessions = sessions(driver, usize::MAX)?;
    sessions.retain(|session| session.name().starts_with(prefix));
    Ok(sessions)
}

/// Plugs all recorded USB devices of a driver into a virtual bus, and compares.
pub fn run_over_usb(driver: &str, bench: &mut Bench) -> Result<()> {
    let mut sessions = sessions(driver, usize::MAX)?;
    sessions.retain(Session::is_on_usb);
    // All at once, because the kernel takes its time for each.
    bench.usb_bus()?;
    bench.udev.forget();
    let mut devices = Vec::new();
    for session in sessions {
        let recorded = only_device(&session.sent)?;
        bench.set_generic_only(session.avoids_kernel_drivers()?)?;
        let device = bench.plug_usb_unwatched(&session.usb_spec()?, &properties(recorded), usb::usual())?;
        devices.push((session, device));
    }
    for (session, device) in devices {
        let run = || {
            let device = bench.finish_usb(device)?;
            // Attaching makes the kernel look for a kernel driver again.
            bench.set_generic_only(session.avoids_kernel_drivers()?)?;
            attach(driver, bench, device.only()?)?;
            let interface = device.only()?;
            session.check(interface)?;
            session.compare(interface, Some(session.watch(interface)?), None)?;
            bench.unplug_usb(device)
        };
        run().with_context(|| format!("recording `{}`", session.name()))?;
    }
    Ok(())
}

/// Runs the same on two devices of a kind at once, one a report behind the other. The driver's state for one must not affect the other.
pub fn run_on_two(driver: &str, bench: &mut Bench) -> Result<()> {
    for_each(driver, |session| session.run_on_two(bench))
}

/// Calls `run` for each recording of a driver.
///
/// # Errors
/// There are none, one can't be read, or `run` fails.
pub fn for_each(driver: &str, run: impl FnMut(Session<'_>) -> Result<()>) -> Result<()> {
    for_some(driver, usize::MAX, run)
}

/// Calls `run` for the first recording of a driver.
///
/// # Errors
/// As [`for_each`].
pub fn first(driver: &str, run: impl FnMut(Session<'_>) -> Result<()>) -> Result<()> {
    for_some(driver, 1, run)
}

fn for_some(driver: &str, most: usize, mut run: impl FnMut(Session<'_>) -> Result<()>) -> Result<()> {
    for session in sessions(driver, most)? {
        let name = session.name();
        run(session).with_context(|| format!("recording `{name}`"))?;
    }
    Ok(())
}

/// Returns the first recordings of a driver, at most `most`.
fn sessions(driver: &str, most: usize) -> Result<Vec<Session<'_>>> {
    let mut paths = all_of(driver)?;
    ensure!(!paths.is_empty(), "the driver `{driver}` has no recordings");
    paths.truncate(most);
    of_paths(driver, paths)
}

fn of_paths(driver: &str, paths: Vec<PathBuf>) -> Result<Vec<Session<'_>>> {
    let session = |path: PathBuf| {
        Ok(Session {
            driver,
            sent: Recording::read(&path)?,
            expected: Recording::read(&path.with_extension("expected.hid"))?,
            nodes: path.with_extension("nodes"),
            path,
        })
    };
    paths.into_iter().map(session).collect()
}

/// Returns the recorded device of `driver` whose descriptor has this size.
pub fn device(driver: &str, descriptor_size: usize) -> Result<Spec> {
    for path in all_of(driver)? {
        let recording = Recording::read(&path)?;
        if let Some(device) = recording.devices.iter().find(|device| device.descriptor.len() == descriptor_size) {
            return Ok(spec(device));
        }
    }
    bail!("no recording of `{driver}` has a descriptor of {descriptor_size} bytes")
}

/// Returns the first device of a driver's recordings.
///
/// # Errors
/// There is no recording of it.
pub fn any_device(driver: &str) -> Result<Spec> {
    let path = all_of(driver)?.into_iter().next().with_context(|| format!("`{driver}` has no recording"))?;
    let recording = Recording::read(&path)?;
    let device = recording.devices.first().with_context(|| format!("`{}` has no device", path.display()))?;
    Ok(spec(device))
}

/// Makes a device send the reports of the first recording of `driver`.
///
/// # Errors
/// There is no recording of it, or it can't be sent.
pub fn play(driver: &str, device: &Plugged) -> Result<()> {
    let path = all_of(driver)?.into_iter().next().with_context(|| format!("no recording of `{driver}`"))?;
    for event in &Recording::read(&path)?.events {
        device.device.send(&event.report)?;
    }
    Ok(())
}

/// Returns a recorded device, to be plugged in.
pub fn spec(device: &RecordedDevice) -> Spec {
    Spec {
        bus: device.bus.0,
        vendor: device.vendor.0,
        product: device.product.0,
        name: device.name.clone(),
        phys: device.phys.clone(),
        uniq: String::new(),
        descriptor: device.descriptor.clone(),
    }
}

/// Calls `visit` for each recording of each driver.
///
/// # Errors
/// One can't be read, or `visit` fails.
pub fn all(mut visit: impl FnMut(Session<'static>) -> Result<()>) -> Result<()> {
    for recorded in DRIVERS {
        for session in sessions(recorded.driver, usize::MAX)? {
            visit(session)?;
        }
    }
    Ok(())
}

/// Returns the recordings in a folder.
///
/// # Errors
/// One can't be read.
pub fn in_folder(folder: &Path) -> Result<Vec<Session<'static>>> {
    of_paths("", all_in(folder)?)
}

fn all_of(driver: &str) -> Result<Vec<PathBuf>> {
    all_in(&Path::new(RECORDINGS).join(driver))
}

fn all_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hid"));
    paths.retain(|path| !path.to_string_lossy().ends_with(".expected.hid"));
    Ok(paths)
}

/// A recording of one device, and its expected results.
pub struct Session<'a> {
    /// The driver. Empty for a recording of no installed driver.
    pub driver: &'a str,
    sent: Recording,
    expected: Recording,
    /// The file with the expected nodes and events.
    nodes: PathBuf,
    /// The path of the recording.
    path: PathBuf,
}

impl Session<'_> {
    /// Returns the recording's file name without its extension.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().display().to_string()
    }

    fn run(&self, bench: &mut Bench, costs: &mut Costs) -> Result<()> {
        let replayed = Replayed::of(self.driver, &self.path, bench)?;
        let before = Before::now();
        let device = self.plug(bench)?;
        costs.add(&before)?;
        replayed.compare_descriptor(0, &device.descriptor()?, &mut bench.compared)?;
        self.check(&device)?;
        self.compare(&device, Some(self.watch(&device)?), Some((&replayed, &mut bench.compared)))?;
        bench.unplug(device)
    }

    /// Returns the recorded device for a USB bus, with an interface of the recorded number.
    ///
    /// # Errors
    /// The recording has more than one.
    pub fn usb_spec(&self) -> Result<usb::Spec> {
        let recorded = only_device(&self.sent)?;
        let mut spec = spec_of(&spec(recorded));
        let has_output = ReportLengths::parse(&recorded.descriptor)
            .is_ok_and(|reports| reports.iter().any(|(kind, _, _)| kind == ReportType::Output));
        for interface in &mut spec.interfaces {
            interface.features = recorded.features.clone();
            interface.takes_output = has_output;
        }
        Ok(spec)
    }

    /// Returns a udev property of the recorded device.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.sent.devices.iter().find_map(|device| device.properties.get(name)).map(String::as_str)
    }

    /// Sends the recorded reports, and compares the device, its nodes and its reports with the expected ones.
    ///
    /// Events are left out, because a new node has none for earlier reports.
    ///
    /// # Errors
    /// They differ, or the kernel does not take a report.
    pub fn expect_fixed(&self, device: &Plugged<impl Transport>) -> Result<()> {
        self.check(device)?;
        self.watch(device)?;
        self.compare(device, None, None)
    }

    /// Compares a device with the expected result.
    fn check(&self, device: &Plugged<impl Transport>) -> Result<()> {
        let (descriptor, expected) = (device.descriptor()?, &only_device(&self.expected)?.descriptor);
        ensure!(descriptor == *expected, "expected the descriptor\n  {}\ngot\n  {}", Hex(expected), Hex(&descriptor));
        expect_asked(device, &only_device(&self.expected)?.asked)?;
        for (name, value) in &only_device(&self.expected)?.exported {
            device.expect_property(name, Some(value))?;
        }
        Ok(())
    }

    fn is_on_usb(&self) -> bool {
        self.sent.devices.iter().all(|device| device.bus == Bus::USB)
    }

    fn run_on_two(&self, bench: &mut Bench) -> Result<()> {
        let (first, second) = (self.plug(bench)?, self.plug(bench)?);
        let (mut watch, mut watch_behind) = (self.watch(&first)?, self.watch(&second)?);
        let mut behind = None;
        for event in &self.sent.events {
            send(&first, event, &mut watch)?;
            if let Some(event) = behind.replace(event) {
                send(&second, event, &mut watch_behind)?;
            }
        }
        watch.end().context("the first of two")?;
        watch_behind.end().context("the second of two")?;
        bench.unplug(first)?;
        bench.unplug(second)
    }

    /// Plugs the recorded device in, and attaches the driver.
    ///
    /// # Errors
    /// The device is missing, or the driver is not attached.
    pub fn plug(&self, bench: &mut Bench) -> Result<Plugged> {
        let recorded = only_device(&self.sent)?;
        bench.set_generic_only(self.avoids_kernel_drivers()?)?;
        let device = match is_refused(recorded) {
            // No kernel driver is bound to it before the driver is attached.
            true => bench.plug_any_with(&spec(recorded), recorded.features.clone())?,
            false => bench.plug_with(&spec(recorded), &properties(recorded), recorded.features.clone())?,
        };
        attach(self.driver, bench, &device)?;
        Ok(device)
    }

    /// Returns the recorded device.
    ///
    /// # Errors
    /// The recording has more than one.
    pub fn spec(&self) -> Result<Spec> {
        only_device(&self.sent).map(spec)
    }

    /// Returns the recorded device.
    ///
    /// # Errors
    /// The recording has more than one.
    pub fn recorded(&self) -> Result<&RecordedDevice> {
        only_device(&self.sent)
    }

    /// Returns the recorded reports.
    pub fn reports(&self) -> impl Iterator<Item = &[u8]> {
        self.sent.events.iter().map(|event| event.report.as_slice())
    }

    /// Returns whether the rules of a driver match the recorded device, which the kernel accepts as it is.
    ///
    /// # Errors
    /// The recording has more than one device.
    pub fn is_for(&self, driver: &DriverObject) -> Result<bool> {
        let recorded = only_device(&self.sent)?;
        let verdict = recording::judge(&driver.manifest, recorded, &recorded.properties);
        Ok(!is_refused(recorded) && matches!(verdict, Verdict::Matches { .. }))
    }

    /// Sends the recorded reports to a device that has the driver in a file, and compares with `hidbpf replay` of that file.
    ///
    /// # Errors
    /// They differ.
    pub fn compare_with_replay(&self, object: &str, device: &Plugged, bench: &mut Bench) -> Result<()> {
        let replayed = Replayed::of(object, &self.path, bench)?;
        let descriptor = device.descriptor()?;
        replayed.compare_descriptor(0, &descriptor, &mut bench.compared)?;
        let declared = ReportLengths::parse(&descriptor).context("failed to parse the current descriptor")?;
        let mut hidraw = device.hidraw()?;
        for event in &self.sent.events {
            device.device.send(&event.report).context("failed to send a report")?;
            let seen: Vec<String> = hidraw.reports()?.iter().map(|bytes| Hex(bytes).to_string()).collect();
            replayed
                .compare_reports(event.line, &seen, |report| kernel_takes(&declared, report), &mut bench.compared)
                .with_context(|| format!("line {}", event.line.unwrap_or_default()))?;
        }
        Ok(())
    }

    /// Plugs in the recorded device, which hidbpf leaves alone.
    ///
    /// # Errors
    /// The device is missing.
    pub fn plug_ignored(&self, bench: &mut Bench) -> Result<Plugged> {
        let recorded = only_device(&self.sent)?;
        bench.set_generic_only(self.avoids_kernel_drivers()?)?;
        let mut properties = properties(recorded);
        properties.push(("HIDBPF_IGNORE", "1"));
        bench.plug_with(&spec(recorded), &properties, recorded.features.clone())
    }

    /// Plugs in the recorded device, which udevd does not see before [`Bench::release`].
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub fn plug_unseen(&self, bench: &mut Bench) -> Result<Plugged> {
        let recorded = only_device(&self.sent)?;
        bench.set_generic_only(self.avoids_kernel_drivers()?)?;
        bench.plug_unseen_with(&spec(recorded), features_of(recorded.features.clone()))
    }

    /// Returns true if the driver does not match while the kernel driver for the same ids is bound.
    fn avoids_kernel_drivers(&self) -> Result<bool> {
        if self.driver.is_empty() {
            return Ok(false);
        }
        let driver = installed(self.driver)?;
        Ok(driver.manifest.matches.iter().any(|rule| !rule.not_kernel_driver.is_empty()))
    }

    /// Sends the recorded reports, and checks nothing.
    ///
    /// # Errors
    /// The kernel does not take them.
    pub fn send_all(&self, device: &Plugged) -> Result<()> {
        let mut events = self.sent.events.iter();
        events.try_for_each(|event| device.device.send(&event.report).context("failed to send a report"))
    }

    fn watch<D>(&self, device: &Plugged<D>) -> Result<Watch> {
        let expectation = Expectation::read(&self.nodes, &Kernel::running(&device.syspath)?)?;
        expectation.fits(&self.sent)?;
        expectation.watch(device.nodes()?)
    }

    /// Sends the recorded reports to a device with the driver attached, and compares.
    ///
    /// # Errors
    /// The results differ from the expected ones.
    pub fn compare_events(&self, device: &Plugged, bench: &Bench) -> Result<()> {
        let replayed = Replayed::of(self.driver, &self.path, bench)?;
        self.compare(device, Some(self.watch(device)?), Some((&replayed, &mut Compared::default())))
    }

    /// Sends the recorded reports, and compares the results with the expected ones and with those of `hidbpf replay`.
    fn compare<T: Transport>(
        &self,
        device: &Plugged<T>,
        mut watch: Option<Watch>,
        mut replayed: Option<(&Replayed, &mut Compared)>,
    ) -> Result<()> {
        let declared = ReportLengths::parse(&only_device(&self.expected)?.descriptor)
            .context("failed to parse the expected descriptor")?;
        // Reports that were recorded on another bus, or invented, may be longer than a device can send on this one.
        let sent = only_device(&self.sent)?;
        let declaring = if is_refused(sent) { only_device(&self.expected)? } else { sent };
        let bound = if T::BOUNDED { longest(&declaring.descriptor)? } else { usize::MAX };
        let cut = |report: &[u8]| report[..report.len().min(bound)].to_vec();
        let mut hidraw = device.hidraw()?;
        let mut rest = self.expected.events.iter().peekable();
        for event in &self.sent.events {
            let report = cut(&event.report);
            device.device.send(&report).context("failed to send a report")?;
            if let Some(watch) = &mut watch {
                watch.look(event)?;
            }
            let seen: Vec<String> = hidraw.reports()?.iter().map(|bytes| Hex(bytes).to_string()).collect();
            // A dropped report has no line with its time.
            let wanted = rest.next_if(|next| next.time == event.time).map(|wanted| &wanted.report);
            // If the driver makes its own report, it makes all of it.
            let wanted = wanted.map(|of| if of.len() == event.report.len() { cut(of) } else { of.clone() });
            let passes = match (&wanted, wanted.as_ref().map(|wanted| kernel_takes(&declared, wanted))) {
                (Some(wanted), Some(Takes::Always)) => seen == [Hex(wanted).to_string()],
                (Some(wanted), Some(Takes::Perhaps)) => seen.is_empty() || seen == [Hex(wanted).to_string()],
                _ => seen.is_empty(),
            };
            ensure!(
                passes,
                "line {}: sent\n  {}\nexpected\n  {}\ngot\n  {}",
                event.line.unwrap_or_default(),
                Hex(&report),
                wanted.map_or("nothing".to_owned(), |report| Hex(&report).to_string()),
                if seen.is_empty() { "nothing".to_owned() } else { seen.join("\n  ") }
            );
            let takes = |report: &[u8]| kernel_takes(&declared, report);
            if let Some((replayed, compared)) = &mut replayed {
                replayed
                    .compare_reports(event.line, &seen, takes, compared)
                    .with_context(|| format!("line {}", event.line.unwrap_or_default()))?;
            }
        }
        ensure!(rest.next().is_none(), "the expected half has reports at times at which nothing was sent");
        watch.map_or(Ok(()), Watch::end)
    }
}

/// Returns true if the kernel refuses the device's descriptor.
fn is_refused(recorded: &RecordedDevice) -> bool {
    invalid::check(&recorded.descriptor).is_err()
}

/// Returns the bytes of the longest input report that a descriptor declares.
fn longest(descriptor: &[u8]) -> Result<usize> {
    let declared = ReportLengths::parse(descriptor).context("failed to parse the recorded descriptor")?;
    let lengths = declared.iter().filter(|(kind, _, _)| *kind == ReportType::Input).map(|(_, _, length)| length);
    lengths.max().context("the device declares no input report")
}

/// Checks that the device received all these requests, in this order. The kernel's own drivers send requests as well.
fn expect_asked(device: &Plugged<impl Transport>, expected: &[Asked]) -> Result<()> {
    let seen = device.device.asked();
    let mut rest = seen.iter();
    for asked in expected {
        ensure!(rest.any(|one| one == asked), "expected that the device is asked `{asked}`, in turn, among {seen:?}");
    }
    Ok(())
}

fn send(device: &Plugged<impl Transport>, event: &Event, watch: &mut Watch) -> Result<()> {
    device.device.send(&event.report).context("failed to send a report")?;
    watch.look(event)
}

/// Returns the udev properties that a device was recorded with.
fn properties(recorded: &RecordedDevice) -> Vec<(&str, &str)> {
    recorded.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn only_device(recording: &Recording) -> Result<&RecordedDevice> {
    match recording.devices.as_slice() {
        [device] => Ok(device),
        devices => bail!("expected one interface a recording, found {}", devices.len()),
    }
}

/// Attaches a driver that udev leaves alone, such as an example.
fn attach<D>(driver: &str, bench: &mut Bench, device: &Plugged<D>) -> Result<()> {
    if device.pinned_drivers()?.is_empty() {
        bench.hidbpf(&["load", driver, &device.name()])?.expect(0)?;
        bench.settle()?;
    }
    ensure!(
        device.pinned_drivers()? == [driver],
        "expected the driver `{driver}` there, found {:?}",
        device.pinned_drivers()?
    );
    Ok(())
}

/// Whether the HID core passes a report on to hidraw after the driver has passed it: `hid_report_raw_event()`, drivers/hid/hid-core.c.
pub enum Takes {
    /// It does.
    Always,
    /// A report that is shorter than declared is filled up if the transport's buffer has room for it, or else dropped.
    ///
    /// That has changed between kernels, and back.
    Perhaps,
    /// Its id is not declared.
    Never,
}

fn kernel_takes(declared: &ReportLengths, report: &[u8]) -> Takes {
    match declared.length_of(ReportType::Input, report) {
        None => Takes::Never,
        Some((_, length)) if report.len() < length => Takes::Perhaps,
        Some(_) => Takes::Always,
    }
}
