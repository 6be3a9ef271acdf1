//! The tablets of the families whose facts are at hand beside the tree: each has a driver or a reason for none, and works as the facts say.
//!
//! The facts are a table of published measures. From a row of it, a tablet of the test makes its parameters and reports. Its driver runs in
//! user space, and another crate reads the descriptor and the reports that come out.

mod by_row;
mod huion;
mod ugee;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use hidbpf::manifest::Manifest;
use hidbpf::object::DriverObject;
use hidbpf::recording::{self, Recording};
use hidbpf::replay::{self, Object, Settings};
use hidreport::{Field, Report, ReportDescriptor};
use serde_json::Value;

/// The table: one object for each tablet, id and report length.
const TABLE: &str = "../../shared/tablets/tablets.json";

/// Returns the table's rows, or `None` if it is not there.
fn rows(test: &str) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    match fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
        Err(error) => {
            eprintln!("skipped: {test}: ../shared/tablets/tablets.json can't be read: {error}");
            None
        }
    }
}

fn text<'r>(row: &'r Value, key: &str) -> &'r str {
    row[key].as_str().unwrap_or_default()
}

fn number(row: &Value, key: &str) -> Option<u32> {
    row[key].as_u64().and_then(|number| u32::try_from(number).ok())
}

/// Returns the ids that the kernel or another driver of hidbpf serves.
fn served(rows: &[Value]) -> Vec<(&str, &str)> {
    let is_served = |row: &&Value| !row["kernel"].is_null() || !row["hidbpf"].is_null();
    rows.iter().filter(is_served).map(|row| (text(row, "vendor"), text(row, "product"))).collect()
}

/// Returns a recording of a USB device with one interface that sends these reports.
fn recording(
    name: &str,
    (vendor, product): (&str, &str),
    descriptor: &[u8],
    properties: &[(&str, &str)],
    reports: &[Vec<u8>],
) -> Recording {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    let mut text = format!("D: 0\nR: {} {}\nN: {name}\n", descriptor.len(), hex(descriptor));
    text += &format!("P: usb-0000:00:14.0-1/input0\nI: 3 {vendor} {product}\n");
    for (property, value) in properties {
        text += &format!("# property {property}={value}\n");
    }
    for (index, report) in reports.iter().enumerate() {
        text += &format!("E: 000000.{:06} {} {}\n", index * 1000, report.len(), hex(report));
    }
    Recording::parse(Path::new(name), text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// The variable fields of a descriptor's input reports, by report, page and usage.
type Fields = BTreeMap<(u8, u16, u16), (Range<usize>, i32, i32)>;

fn fields(descriptor: &[u8]) -> Fields {
    let descriptor = ReportDescriptor::try_from(descriptor).unwrap_or_else(|error| panic!("{error}"));
    let mut found = Fields::new();
    for report in descriptor.input_reports() {
        let id = report.report_id().as_ref().map_or(0, |id| u8::from(*id));
        for field in report.fields() {
            let Field::Variable(field) = field else { continue };
            let usage = u32::from(field.usage);
            let physical = field.physical_maximum.map_or(0, i32::from);
            let key = (id, (usage >> 16) as u16, usage as u16);
            found.insert(key, (field.bits.clone(), i32::from(field.logical_maximum), physical));
        }
    }
    found
}

/// Returns the bits of a field in a report, as a number without a sign.
fn value(report: &[u8], bits: &Range<usize>) -> u32 {
    bits.clone().rev().fold(0, |value, bit| value << 1 | u32::from(report[bit / 8] >> (bit % 8) & 1))
}

/// Runs a driver over a recording. Returns the descriptor and the reports.
fn run(driver: &DriverObject, recording: &Recording) -> (Vec<u8>, Vec<Vec<u8>>) {
    let object = Object::parse(driver.bytes()).unwrap_or_else(|error| panic!("{error}"));
    let settings =
        |device: &recording::RecordedDevice| replay::for_driver(Settings::of(device), driver, &device.into());
    let mut results = object.generations().into_iter().map(|generation| {
        let replayed = replay::replay(&object, generation, recording, settings);
        let replayed = replayed.unwrap_or_else(|error| panic!("{error}")).recording;
        let reports = replayed.events.iter().map(|event| event.report.clone()).collect::<Vec<_>>();
        (replayed.devices[0].descriptor.clone(), reports)
    });
    let first = results.next().expect("a driver is for some kernel");
    results.for_each(|other| assert_eq!(other, first, "the generations differ"));
    first
}

/// Returns these drivers with their manifests.
fn drivers(names: &[&str]) -> Vec<(DriverObject, Manifest)> {
    let read = |name: &&str| {
        let object = DriverObject::read(&hidbpf_drivers::objects_dir().join(format!("{name}.bpf.o")));
        let object = object.unwrap_or_else(|error| panic!("{error}"));
        let manifest = object.manifest.clone();
        (object, manifest)
    };
    names.iter().map(read).collect()
}
