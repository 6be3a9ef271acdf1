//! `hidbpf diagnose`.

use std::fmt::Write;
use std::io;
use std::path::Path;

use hidbpf::descriptor::diagnose::{self, Finding};
use hidbpf::descriptor::posted::Posted;
use hidbpf::descriptors::{self, Which};
use hidbpf::device::Device;
use hidbpf::error::Error;
use hidbpf::ids::HidName;
use hidbpf::text::Printable;
use serde_json::{Value, json};

use super::{Context, source};
use crate::args::Choice;
use crate::output::{self, Failure, Outcome};

/// A device, and what was found.
struct Diagnosed {
    /// What the user named.
    source: String,
    /// What the device is called in it, empty if it is the only one.
    device: String,
    bytes: usize,
    reports: usize,
    findings: Vec<Finding>,
}

pub fn run(context: &Context, what: &[String], choice: &Choice) -> Outcome {
    let mut diagnosed = Vec::new();
    for source in what {
        diagnosed.extend(of(context, source, choice)?);
    }
    if context.json {
        output::json("diagnose", &diagnosed.iter().map(as_json).collect::<Vec<_>>())?;
    } else {
        output::text(diagnosed.iter().map(as_text).collect::<Vec<_>>().join("\n"))?;
    }
    // Like a difference, a finding is a result that scripts ask for.
    if diagnosed.iter().all(|diagnosed| diagnosed.findings.iter().all(is_harmless)) {
        Ok(())
    } else {
        Err(Failure::Told.into())
    }
}

fn of(context: &Context, source: &str, choice: &Choice) -> Result<Vec<Diagnosed>, Error> {
    let path = Path::new(source);
    if source == "-" {
        let name = "standard input";
        return of_file(name, &source::parse(name, &source::content(name, io::stdin().lock())?, choice)?);
    }
    if source.parse::<HidName>().is_err() && path.is_file() {
        return of_file(source, &source::open(path, choice)?);
    }
    let device = Device::find(&context.system, source)?;
    // A device's own descriptor shows its defects. What the kernel has can be repaired already.
    let descriptor = descriptors::read(&context.system, &device, Which::Original)?;
    Ok(vec![Diagnosed {
        source: device.name.to_string(),
        device: device.hid_name.clone(),
        bytes: descriptor.len(),
        reports: 0,
        findings: diagnose::device(&descriptor, device.modalias.bus, device.modalias.vendor),
    }])
}

fn of_file(name: &str, posted: &Posted) -> Result<Vec<Diagnosed>, Error> {
    let recording = &posted.recording;
    if recording.devices.iter().all(|device| device.descriptor.is_empty()) {
        return Err(source::no_descriptor(name, posted));
    }
    let is_alone = recording.devices.len() == 1;
    let one = |index: usize| Diagnosed {
        source: name.to_owned(),
        device: if is_alone { recording.devices[index].name.clone() } else { source::called(posted, index) },
        bytes: recording.devices[index].descriptor.len(),
        reports: recording.events_of(index).count(),
        findings: diagnose::recording(recording, index),
    };
    let with_descriptor = (0..recording.devices.len()).filter(|index| !recording.devices[*index].descriptor.is_empty());
    Ok(with_descriptor.map(one).collect())
}

fn as_json(diagnosed: &Diagnosed) -> Value {
    json!({
        "source": diagnosed.source,
        "device": diagnosed.device,
        "bytes": diagnosed.bytes,
        "reports": diagnosed.reports,
        "findings": diagnosed.findings,
    })
}

/// Writes the findings of a device. Writing to a string can't fail.
fn as_text(diagnosed: &Diagnosed) -> String {
    let mut text = String::new();
    let device = match diagnosed.device.as_str() {
        "" => String::new(),
        device => format!(" ({})", Printable(device)),
    };
    let what = match diagnosed.reports {
        0 => format!("{} bytes", diagnosed.bytes),
        reports => format!("{} bytes and {reports} reports", diagnosed.bytes),
    };
    let harmless = diagnosed.findings.iter().filter(|finding| is_harmless(finding)).count();
    let more = if harmless > 0 { format!(", {harmless} without effect on Linux") } else { String::new() };
    let found = count(&diagnosed.findings);
    let _ = writeln!(text, "{}{device}: {what}, {found}{more}", Printable(&diagnosed.source));
    for finding in &diagnosed.findings {
        let offset = finding.offset.map(|offset| format!(", byte {offset}")).unwrap_or_default();
        let report = finding.report.map(|report| format!(", {report}")).unwrap_or_default();
        let field = finding.field.as_ref().map(|field| format!(", {field}")).unwrap_or_default();
        let _ = writeln!(text, "  {}, {}{offset}{report}{field}", finding.rule.id, finding.certainty);
        let lines: Vec<String> = finding.lines.iter().map(ToString::to_string).collect();
        let lines = match lines.as_slice() {
            [] => String::new(),
            [line] => format!(" (line {line})"),
            lines => format!(" (lines {})", lines.join(", ")),
        };
        let _ = writeln!(text, "    {}{lines}", finding.what);
        let _ = writeln!(text, "    effect: {}", finding.rule.effect);
        let _ = writeln!(text, "    why: {}", finding.rule.source);
        for repair in &finding.repairs {
            let _ = writeln!(text, "    repair: {repair}");
        }
    }
    text
}

fn is_harmless(finding: &Finding) -> bool {
    finding.rule.harmless
}

/// Returns in words how many findings have an effect on Linux.
pub fn count(findings: &[Finding]) -> String {
    match findings.iter().filter(|finding| !is_harmless(finding)).count() {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    }
}
