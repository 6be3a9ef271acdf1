//! One case a driver: every recorded device is plugged in and sends what it sent, and descriptor and reports must come out as the
//! recording's expected half says, byte for byte.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use hidreport::{Report as _, ReportDescriptor};

use crate::guest::bench::{Bench, Plugged, entries};
use crate::nodes::hex;
use crate::recording::{Recording, Report};
use crate::uhid::Spec;

/// Where the drivers' recordings are in the guest.
const RECORDINGS: &str = "/recordings";

/// The drivers that have recordings.
pub const DRIVERS: &[&str] = include!(concat!(env!("OUT_DIR"), "/recorded_drivers.rs"));

/// Plugs in each recorded device of a driver and compares.
pub fn run(driver: &str, bench: &mut Bench) -> Result<()> {
    let recordings = all_of(driver)?;
    ensure!(!recordings.is_empty(), "the driver `{driver}` has no recordings");
    for path in recordings {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        replay(driver, &path, bench).with_context(|| format!("recording `{name}`"))?;
    }
    Ok(())
}

/// The recorded device of `driver` whose descriptor has this size.
pub fn device(driver: &str, descriptor_size: usize) -> Result<Spec> {
    for path in all_of(driver)? {
        let recording = Recording::read(&path)?;
        if recording.descriptor.len() == descriptor_size {
            return Ok(Spec::from(&recording));
        }
    }
    bail!("no recording of `{driver}` has a descriptor of {descriptor_size} bytes")
}

fn all_of(driver: &str) -> Result<Vec<PathBuf>> {
    let mut paths = entries(&Path::new(RECORDINGS).join(driver))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hid"));
    paths.retain(|path| !path.to_string_lossy().ends_with(".expected.hid"));
    Ok(paths)
}

fn replay(driver: &str, path: &Path, bench: &mut Bench) -> Result<()> {
    let recording = Recording::read(path)?;
    let expected = Recording::read(&path.with_extension("expected.hid"))?;
    let properties: Vec<_> = recording.properties.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let device = bench.plug_with(&Spec::from(&recording), &properties)?;
    attach(driver, bench, &device)?;
    let descriptor = device.descriptor()?;
    ensure!(
        descriptor == expected.descriptor,
        "expected the descriptor\n  {}\ngot\n  {}",
        hex(&expected.descriptor),
        hex(&descriptor)
    );
    compare(&recording.reports, &expected, &device)?;
    bench.unplug(device)
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

fn compare(sent: &[Report], expected: &Recording, device: &Plugged) -> Result<()> {
    let descriptor = ReportDescriptor::try_from(expected.descriptor.as_slice())
        .map_err(|error| anyhow!("failed to parse the expected descriptor: {error}"))?;
    let mut hidraw = device.hidraw()?;
    let mut rest = expected.reports.iter().peekable();
    for (number, report) in sent.iter().enumerate() {
        device.device.send(&report.bytes).context("failed to send a report")?;
        let seen: Vec<String> = hidraw.reports()?.iter().map(|bytes| hex(bytes)).collect();
        // A dropped report has no line of its time.
        let wanted = rest.next_if(|next| next.time == report.time).map(|wanted| wanted.bytes.as_slice());
        let passes = match (wanted, wanted.map(|wanted| kernel_takes(&descriptor, wanted))) {
            (Some(wanted), Some(Takes::Always)) => seen == [hex(wanted)],
            (Some(wanted), Some(Takes::Perhaps)) => seen.is_empty() || seen == [hex(wanted)],
            _ => seen.is_empty(),
        };
        ensure!(
            passes,
            "report {} at {:?}: sent\n  {}\nexpected\n  {}\ngot\n  {}",
            number + 1,
            report.time,
            hex(&report.bytes),
            wanted.map_or("nothing".to_owned(), hex),
            if seen.is_empty() { "nothing".to_owned() } else { seen.join("\n  ") }
        );
    }
    ensure!(rest.next().is_none(), "the expected half has reports at times at which nothing was sent");
    Ok(())
}

/// Whether the HID core hands a report that the driver has let pass to hidraw: `hid_report_raw_event()`, drivers/hid/hid-core.c.
enum Takes {
    Always,
    /// A report that is shorter than declared is filled up where the transport's buffer has room for it, or else dropped. That
    /// has changed between kernels, and back.
    Perhaps,
    /// Its number is not declared.
    Never,
}

fn kernel_takes(descriptor: &ReportDescriptor, report: &[u8]) -> Takes {
    match descriptor.find_input_report(report) {
        None => Takes::Never,
        Some(declared) if report.len() < declared.size_in_bytes() => Takes::Perhaps,
        Some(_) => Takes::Always,
    }
}
