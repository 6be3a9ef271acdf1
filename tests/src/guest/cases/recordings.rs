//! One case a driver: every recorded device is plugged in and sends what it sent, and descriptor and reports must come out as the
//! recording's expected half says, byte for byte. What the driver's programs cost the kernel is told beside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use hidbpf::recording::{Device, Recording};
use hidbpf::replay::reports::{ReportType, Reports};
use hidbpf::text::Hex;

use super::identity::{Compared, Replayed};
use crate::guest::bench::{Bench, Plugged, entries};
use crate::guest::costs::{Before, Costs};
use crate::guest::port::Port;
use crate::uhid::Spec;

/// Where the drivers' recordings are in the guest.
const RECORDINGS: &str = "/recordings";

/// The drivers that have recordings, and whether each is for struct_ops kernels only.
pub const DRIVERS: &[(&str, bool)] = include!(concat!(env!("OUT_DIR"), "/recorded_drivers.rs"));

/// Plugs in each recorded device of a driver and compares.
pub fn run(driver: &str, bench: &mut Bench, port: &mut Port) -> Result<()> {
    let paths = all_of(driver)?;
    ensure!(!paths.is_empty(), "the driver `{driver}` has no recordings");
    let mut costs = Costs::default();
    for path in paths {
        let (recording, expected) = (Recording::read(&path)?, Recording::read(&path.with_extension("expected.hid"))?);
        let replayed = Replayed::of(driver, &path, bench)?;
        for number in 0..recording.devices.len() {
            let session = Session { driver, sent: &recording, expected: &expected, number, replayed: &replayed };
            let name = path.file_stem().unwrap_or_default().display();
            session.run(bench, &mut costs).with_context(|| format!("recording `{name}`, device {number}"))?;
        }
    }
    costs.send(driver, port)
}

/// The recorded device of `driver` whose descriptor has this size.
pub fn device(driver: &str, descriptor_size: usize) -> Result<Spec> {
    for path in all_of(driver)? {
        let recording = Recording::read(&path)?;
        if let Some(device) = recording.devices.iter().find(|device| device.descriptor.len() == descriptor_size) {
            return Ok(spec(device));
        }
    }
    bail!("no recording of `{driver}` has a descriptor of {descriptor_size} bytes")
}

/// A recorded device, to be plugged in.
pub fn spec(device: &Device) -> Spec {
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

fn all_of(driver: &str) -> Result<Vec<PathBuf>> {
    let mut paths = entries(&Path::new(RECORDINGS).join(driver))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hid"));
    paths.retain(|path| !path.to_string_lossy().ends_with(".expected.hid"));
    Ok(paths)
}

/// One device of a recording, and what is expected of it.
struct Session<'a> {
    driver: &'a str,
    sent: &'a Recording,
    expected: &'a Recording,
    number: usize,
    replayed: &'a Replayed,
}

impl Session<'_> {
    fn run(&self, bench: &mut Bench, costs: &mut Costs) -> Result<()> {
        let recorded = &self.sent.devices[self.number];
        let expected = self.expected.devices.get(self.number).context("the expected half lacks the device")?;
        let properties: Vec<_> =
            recorded.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let before = Before::now();
        let device = bench.plug_with(&spec(recorded), &properties, recorded.features.clone())?;
        attach(self.driver, bench, &device)?;
        costs.add(&before)?;
        let descriptor = device.descriptor()?;
        ensure!(
            descriptor == expected.descriptor,
            "expected the descriptor\n  {}\ngot\n  {}",
            Hex(&expected.descriptor),
            Hex(&descriptor)
        );
        self.replayed.compare_descriptor(self.number, &descriptor, &mut bench.compared)?;
        self.compare(&device, &mut bench.compared)?;
        bench.unplug(device)
    }

    fn compare(&self, device: &Plugged, compared: &mut Compared) -> Result<()> {
        let declared = Reports::parse(&self.expected.devices[self.number].descriptor)
            .context("failed to parse the expected descriptor")?;
        let mut hidraw = device.hidraw()?;
        let mut rest = self.expected.events.iter().filter(|event| event.device == self.number).peekable();
        for event in self.sent.events.iter().filter(|event| event.device == self.number) {
            device.device.send(&event.report).context("failed to send a report")?;
            let seen: Vec<String> = hidraw.reports()?.iter().map(|bytes| Hex(bytes).to_string()).collect();
            // A dropped report has no line of its time.
            let wanted = rest.next_if(|next| next.time == event.time).map(|wanted| wanted.report.as_slice());
            let passes = match (wanted, wanted.map(|wanted| kernel_takes(&declared, wanted))) {
                (Some(wanted), Some(Takes::Always)) => seen == [Hex(wanted).to_string()],
                (Some(wanted), Some(Takes::Perhaps)) => seen.is_empty() || seen == [Hex(wanted).to_string()],
                _ => seen.is_empty(),
            };
            ensure!(
                passes,
                "line {}: sent\n  {}\nexpected\n  {}\ngot\n  {}",
                event.line.unwrap_or_default(),
                Hex(&event.report),
                wanted.map_or("nothing".to_owned(), |report| Hex(report).to_string()),
                if seen.is_empty() { "nothing".to_owned() } else { seen.join("\n  ") }
            );
            let takes = |report: &[u8]| kernel_takes(&declared, report);
            self.replayed
                .compare_reports(event.line, &seen, takes, compared)
                .with_context(|| format!("line {}", event.line.unwrap_or_default()))?;
        }
        ensure!(rest.next().is_none(), "the expected half has reports at times at which nothing was sent");
        Ok(())
    }
}

/// Attaches a driver that udev leaves alone, such as an example.
fn attach(driver: &str, bench: &mut Bench, device: &Plugged) -> Result<()> {
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

/// Whether the HID core hands a report that the driver has let pass to hidraw: `hid_report_raw_event()`, drivers/hid/hid-core.c.
pub enum Takes {
    /// It does.
    Always,
    /// A report that is shorter than declared is filled up where the transport's buffer has room for it, or else dropped. That
    /// has changed between kernels, and back.
    Perhaps,
    /// Its number is not declared.
    Never,
}

fn kernel_takes(declared: &Reports, report: &[u8]) -> Takes {
    match declared.length_of(ReportType::Input, report) {
        None => Takes::Never,
        Some((_, length)) if report.len() < length => Takes::Perhaps,
        Some(_) => Takes::Always,
    }
}
