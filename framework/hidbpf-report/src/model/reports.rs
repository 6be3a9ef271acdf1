//! The reports in order: the first ones as rows of a table, and all of them as data for the script of the page.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hidbpf_descriptor::recording::Event;
use hidbpf_descriptor::{Content, Decoded, Descriptor, Field, FieldKind, Report, ReportType};
use serde::Serialize;

use crate::subject::{Driven, Subject};

/// The reports of a device.
pub struct Log {
    pub count: usize,
    /// The first reports.
    pub rows: Vec<Row>,
    /// What is left out.
    pub note: Option<String>,
    /// The name of the driver, if there is one whose reports are known.
    pub by: Option<String>,
    /// All reports for the script, as JSON.
    pub data: String,
}

/// A report, and what a driver makes of it.
pub struct Row {
    /// Counted from 1.
    pub number: usize,
    /// In seconds.
    pub time: String,
    pub sent: Side,
    /// `None` if the driver lets the report pass. Empty if it drops the report.
    pub fixed: Option<Vec<Side>>,
}

/// A report, raw and decoded. Whatever differs from the report that it is compared with is marked.
pub struct Side {
    pub bytes: Vec<(u8, bool)>,
    pub values: Vec<(String, bool)>,
}

/// How many reports a page of the table has. `page.js` has the same number.
pub const ROWS: usize = 100;

/// The most reports, and the most bytes of them, that a page holds.
const MOST_REPORTS: usize = 100_000;
const MOST_BYTES: usize = 4 << 20;

impl Log {
    pub fn of(subject: &Subject) -> Log {
        let kept = kept(subject);
        let all = subject.reports.len();
        let note = (kept.len() < all)
            .then(|| format!("The recording has {all} reports. This page has the first {}. Pictures and findings are about all of them.", kept.len()));
        let after = subject.after.as_ref().filter(|after| !after.outcomes.is_empty());
        Log {
            count: kept.len(),
            rows: rows(subject, after),
            note,
            by: after.map(|after| after.by.clone()),
            data: serde_json::to_string(&Data::of(&subject.descriptor, kept, after)).unwrap_or_default(),
        }
    }
}

/// Returns the reports that fit in the page.
fn kept(subject: &Subject) -> &[Event] {
    let mut bytes = 0;
    let fits = |event: &&Event| {
        bytes += event.report.len();
        bytes <= MOST_BYTES
    };
    let count = subject.reports.iter().take(MOST_REPORTS).take_while(fits).count();
    &subject.reports[..count]
}

fn rows(subject: &Subject, after: Option<&Driven>) -> Vec<Row> {
    let (sent, fixed) =
        (Descriptor::parse(&subject.descriptor), after.map(|after| Descriptor::parse(&after.descriptor)));
    let mut before: BTreeMap<u8, (&[u8], Vec<String>)> = BTreeMap::new();
    let mut rows = Vec::new();
    for (index, event) in subject.reports.iter().take(ROWS).enumerate() {
        let report = event.report.as_slice();
        let values = values(sent.as_ref().ok(), report);
        let id = report.first().copied().filter(|_| sent.as_ref().is_ok_and(is_numbered)).unwrap_or(0);
        let previous = before.get(&id);
        let side = Side::compared(report, &values, previous.map(|(bytes, values)| (*bytes, values.as_slice())));
        let outcome = |after: &Driven| -> Option<Vec<Side>> {
            let reports = after.outcomes.get(index).map(Vec::as_slice).unwrap_or_default();
            let of = |bytes: &Vec<u8>| self::values(fixed.as_ref().and_then(|fixed| fixed.as_ref().ok()), bytes);
            // The same bytes can mean something else after the driver.
            let is_same = matches!(reports, [one] if one == report && of(one) == values);
            let side = |bytes: &Vec<u8>| Side::compared(bytes, &of(bytes), Some((report, &values)));
            (!is_same).then(|| reports.iter().map(side).collect())
        };
        let fixed = after.and_then(outcome);
        rows.push(Row { number: index + 1, time: format!("{:.6}", event.time.as_secs_f64()), sent: side, fixed });
        before.insert(id, (report, values));
    }
    rows
}

fn is_numbered(descriptor: &Descriptor) -> bool {
    descriptor.is_numbered(ReportType::Input)
}

/// Returns the values of a report that are not at rest, in words.
fn values(descriptor: Option<&Descriptor>, report: &[u8]) -> Vec<String> {
    let decoded = descriptor.and_then(|descriptor| descriptor.decode(ReportType::Input, report).ok());
    let Some(Decoded { values, .. }) = decoded else { return vec!["not declared".to_owned()] };
    let words: Vec<String> = values.iter().filter(|value| !value.is_idle()).map(ToString::to_string).collect();
    if words.is_empty() { vec!["at rest".to_owned()] } else { words }
}

impl Side {
    fn compared(bytes: &[u8], values: &[String], other: Option<(&[u8], &[String])>) -> Side {
        let differs = |index: usize, byte: u8| other.is_some_and(|(other, _)| other.get(index) != Some(&byte));
        let is_new = |value: &String| other.is_some_and(|(_, other)| !other.contains(value));
        Side {
            bytes: bytes.iter().enumerate().map(|(index, byte)| (*byte, differs(index, *byte))).collect(),
            values: values.iter().map(|value| (value.clone(), is_new(value))).collect(),
        }
    }
}

/// All reports, for the script. Runs of equal numbers are written once, with their length in front.
#[derive(Serialize)]
struct Data {
    /// The microseconds since the report before.
    times: Vec<u64>,
    sent: Stream,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<Fixed>,
}

#[derive(Serialize)]
struct Fixed {
    by: String,
    /// How many reports the driver makes of each report, or [`SAME`].
    outcomes: Vec<(usize, i64)>,
    #[serde(flatten)]
    stream: Stream,
}

/// The report passes unchanged, and its bytes are not written again.
const SAME: i64 = -1;

#[derive(Serialize)]
struct Stream {
    /// Whether reports begin with an ID.
    numbered: bool,
    reports: Vec<Layout>,
    /// The sizes of the reports in bytes.
    sizes: Vec<(usize, i64)>,
    /// The bytes of all reports, in base64.
    bytes: String,
}

/// The layout of a report.
#[derive(Serialize)]
struct Layout {
    id: u8,
    heading: String,
    parts: Vec<Value>,
}

/// The layout of a value.
#[derive(Serialize)]
struct Value {
    name: String,
    kind: FieldKind,
    bit: u32,
    size: u32,
    count: u32,
    signed: bool,
    low: i64,
    high: i64,
    null: bool,
    /// What the numbers of an array select, of those that occur. An empty text if they select nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<BTreeMap<i64, String>>,
}

impl Data {
    fn of(descriptor: &[u8], events: &[Event], after: Option<&Driven>) -> Data {
        let mut last = 0_u64;
        let times = events.iter().map(|event| {
            let now = event.time.as_micros() as u64;
            let delta = now.saturating_sub(last);
            last = last.max(now);
            delta
        });
        let times = times.collect();
        let reports: Vec<&[u8]> = events.iter().map(|event| event.report.as_slice()).collect();
        let fixed = after.map(|after| {
            let (mut outcomes, mut changed) = (Vec::new(), Vec::new());
            let of = events.iter().zip(&after.outcomes);
            for (event, outcome) in of {
                match outcome.as_slice() {
                    [one] if *one == event.report => outcomes.push(SAME),
                    all => {
                        outcomes.push(all.len() as i64);
                        changed.extend(all.iter().map(Vec::as_slice));
                    }
                }
            }
            // The names of an array's numbers are needed for reports that pass, too.
            let passing = of_same(events, &after.outcomes);
            let stream = Stream::of(&after.descriptor, &changed, &passing);
            Fixed { by: after.by.clone(), outcomes: runs(outcomes), stream }
        });
        Data { times, sent: Stream::of(descriptor, &reports, &[]), fixed }
    }
}

fn of_same<'a>(events: &'a [Event], outcomes: &[Vec<Vec<u8>>]) -> Vec<&'a [u8]> {
    let pairs = events.iter().zip(outcomes);
    let passing = pairs.filter(|(event, outcome)| matches!(outcome.as_slice(), [one] if *one == event.report));
    passing.map(|(event, _)| event.report.as_slice()).collect()
}

impl Stream {
    /// `others` are reports that are written elsewhere.
    fn of(descriptor: &[u8], reports: &[&[u8]], others: &[&[u8]]) -> Stream {
        let parsed = Descriptor::parse(descriptor).ok();
        let inputs = parsed.iter().flat_map(|parsed| &parsed.reports).filter(|report| report.kind == ReportType::Input);
        let numbered = parsed.as_ref().is_some_and(is_numbered);
        let layout = |report: &Report| {
            let is_of_it = |bytes: &&&[u8]| !numbered || bytes.first() == report.id.as_ref();
            let seen: Vec<&[u8]> = reports.iter().chain(others).filter(is_of_it).copied().collect();
            let parts = report.fields.iter().flat_map(|field| Value::of(report, field, &seen)).collect();
            Layout { id: report.id.unwrap_or(0), heading: report.heading(), parts }
        };
        Stream {
            numbered,
            reports: inputs.map(layout).collect(),
            sizes: runs(reports.iter().map(|report| report.len() as i64)),
            bytes: STANDARD.encode(reports.concat()),
        }
    }
}

impl Value {
    fn of(report: &Report, field: &Field, seen: &[&[u8]]) -> Vec<Value> {
        let kind = field.kind();
        let parts = field.parts().into_iter().map(|part| {
            let is_choice = kind == FieldKind::Array && field.usages.len() > 1 && part.size <= 32;
            Value {
                names: is_choice.then(|| names(report, part.first_bit, seen)),
                name: part.name,
                kind,
                bit: part.first_bit,
                size: part.size,
                count: part.count,
                signed: field.is_signed() && !field.is_padding(),
                low: field.logical.minimum,
                high: field.logical.maximum,
                null: field.flags.has_null_state(),
            }
        });
        parts.collect()
    }
}

/// Returns what the numbers of the array at a bit select, of those that occur.
fn names(report: &Report, first_bit: u32, seen: &[&[u8]]) -> BTreeMap<i64, String> {
    let mut names = BTreeMap::new();
    for bytes in seen {
        for value in report.decode(bytes).values.iter().filter(|value| value.part.first_bit == first_bit) {
            let Content::Choices(choices) = &value.content else { continue };
            for choice in choices {
                let name = || if choice.is_none() { String::new() } else { choice.to_string() };
                names.entry(choice.number).or_insert_with(name);
            }
        }
    }
    names
}

/// Returns runs of equal numbers, with their lengths.
fn runs(numbers: impl IntoIterator<Item = i64>) -> Vec<(usize, i64)> {
    let mut runs: Vec<(usize, i64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((length, last)) if *last == number => *length += 1,
            _ => runs.push((1, number)),
        }
    }
    runs
}
