//! Reports that don't fit the descriptor of their device.

use std::collections::BTreeSet;

use crate::hex::HexBytes;
use crate::interpret::decode::MAX_NUMBER;
use crate::interpret::descriptor::Anatomy;
use crate::interpret::item::ItemKind;
use crate::interpret::recording::Event;
use crate::interpret::report::{Field, Report};
use crate::interpret::usage::Usage;
use crate::report_type::ReportType;

use super::digitizer::TIP;
use super::ranges::HAT;
use super::usages::PAGE_BUTTON;
use super::view::{Seen, View};
use super::{Certainty, Finding, InReport, Repair, rules};

const TOUCH_SCREEN: Usage = Usage(0x000d_0004);
const TOUCH_PAD: Usage = Usage(0x000d_0005);

/// The most lines that a finding names.
pub(super) const MOST_LINES: usize = 5;

/// Finds reports of a device that don't fit its descriptor.
pub(super) fn check(events: &[&Event], anatomy: &Anatomy, view: &View<'_>) -> Vec<Finding> {
    let mut findings = Found::default();
    for event in events {
        length(&anatomy.reports, event, &mut findings);
    }
    for report in anatomy.reports.iter().filter(|report| report.kind == ReportType::Input) {
        let of = |event: &&&Event| !report.numbered || event.report.first() == report.id.as_ref();
        let events: Vec<&Event> = events.iter().filter(of).copied().collect();
        padding(view, report, &events, &mut findings);
        for seen in view.fields.iter().filter(|seen| std::ptr::eq(seen.report, report) && !seen.field.is_padding()) {
            if seen.field.flags.is_constant() {
                continue;
            }
            match seen.field.flags.is_variable() {
                true => variable(seen, &events, &mut findings),
                false => array(seen, &events, &mut findings),
            }
        }
    }
    findings.0
}

/// The findings, one for each rule and place, with the lines that show it.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, finding: Finding, line: Option<usize>) {
        let known = self.0.iter_mut().find(|known| {
            known.rule.id == finding.rule.id && known.report == finding.report && known.offset == finding.offset
        });
        let finding = match known {
            Some(known) => known,
            None => {
                self.0.push(finding);
                let last = self.0.len() - 1;
                &mut self.0[last]
            }
        };
        finding.lines.extend(line.filter(|_| finding.lines.len() < MOST_LINES));
    }
}

fn length(reports: &[Report], event: &Event, findings: &mut Found) {
    let inputs = || reports.iter().filter(|report| report.kind == ReportType::Input);
    let is_numbered = inputs().any(|report| report.numbered);
    let id = event.report.first().copied().filter(|_| is_numbered);
    let Some(report) = inputs().find(|report| report.id == id) else {
        let what = match id {
            Some(id) => format!("the device sends report {id}, and the descriptor declares no such input report"),
            None => "the device sends reports, and the descriptor declares no input report".to_owned(),
        };
        let finding = Finding::new(&rules::UNDECLARED, Certainty::Certain, what);
        let report = Some(InReport { kind: ReportType::Input, id });
        findings.add(Finding { report, ..finding }, event.line);
        return;
    };
    let declared = report.bytes();
    let length = event.report.len();
    let (rule, certainty) = match length.cmp(&declared) {
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Less => (&rules::SHORT, Certainty::Certain),
        std::cmp::Ordering::Greater => (&rules::LONG, Certainty::Likely),
    };
    let finding =
        Finding::new(rule, certainty, format!("the report has {length} bytes, and the descriptor declares {declared}"));
    let report = Some(InReport { kind: ReportType::Input, id });
    findings.add(Finding { report, ..finding }, event.line);
}

/// Returns the value at an index of a field, with its sign. `None` if the report is too short.
pub(super) fn value(field: &Field, report: &[u8], index: u32) -> Option<i64> {
    let first_bit = field.first_bit.checked_add(field.size.checked_mul(index)?)?;
    let end = first_bit.checked_add(field.size)?;
    let is_there = (1..=MAX_NUMBER).contains(&field.size) && end.div_ceil(8) as usize <= report.len();
    is_there.then(|| field.number(report, first_bit, field.size))
}

/// Returns whether a bit is set. `None` if the report is too short.
fn is_set(report: &[u8], bit: u32) -> Option<bool> {
    Some(report.get(bit as usize / 8)? >> (bit % 8) & 1 == 1)
}

/// Finds bits of padding that change.
fn padding(view: &View<'_>, report: &Report, events: &[&Event], findings: &mut Found) {
    let Some(first) = events.first() else { return };
    for field in report.fields.iter().filter(|field| field.is_padding() || field.flags.is_constant()) {
        // Vendors declare whole reports of theirs without usages.
        let end = field.first_bit.saturating_add(field.bits().min(1 << 12));
        let mut changed = BTreeSet::new();
        let mut line = None;
        for event in &events[1..] {
            for bit in field.first_bit..end {
                let differs = is_set(&first.report, bit).zip(is_set(&event.report, bit)).is_some_and(|(a, b)| a != b);
                if differs && changed.insert(bit) {
                    line = line.or(event.line);
                }
            }
        }
        let (Some(low), Some(high)) = (changed.first(), changed.last()) else { continue };
        let place = |bit: &u32| format!("{}.{}", bit / 8, bit % 8);
        let what = match changed.len() {
            1 => format!("the bit {} is declared as padding, and changes", place(low)),
            count => format!("{count} bits from {} to {} are declared as padding, and change", place(low), place(high)),
        };
        let mut finding = Finding::new(&rules::PADDING_CHANGES, Certainty::Likely, what).at(field.offset);
        finding.report = Some(InReport { kind: report.kind, id: report.id });
        finding.repairs = buttons(view, field, high - field.first_bit + 1).unwrap_or_default();
        findings.add(finding, line);
    }
}

/// Returns the repair that gives the first bits of padding to the buttons right in front of it.
fn buttons(view: &View<'_>, padding: &Field, bits: u32) -> Option<Vec<Repair>> {
    let padding = view.fields.iter().find(|seen| seen.field.offset == padding.offset)?;
    let is_in_front = |seen: &&Seen<'_>| {
        let field = seen.field;
        let same = seen.report.kind == padding.report.kind && seen.report.id == padding.report.id;
        same && field.first_bit + field.bits() == padding.field.first_bit && !field.flags.is_constant()
    };
    let front = view.fields.iter().find(is_in_front)?;
    let last = front.field.usages.last().filter(|usage| usage.page() == PAGE_BUTTON)?;
    let is_full = front.field.flags.is_variable() && front.field.size == 1;
    let maximum = front.usages.last().filter(|item| matches!(item.kind, ItemKind::UsageMaximum(_)))?;
    // The numbers must be those of these fields alone.
    let count = view.sole_count(front)?;
    if !is_full || front.field.usages.len() != front.field.count {
        return None;
    }
    let rest = i64::from(padding.field.bits()) - i64::from(bits);
    let smaller = match (rest, padding.field.size, padding.field.count) {
        (..0, ..) => return None,
        (0, ..) => Repair::Remove { offset: padding.main.offset, old: HexBytes(padding.main.bytes.clone()) },
        (_, 1, _) => Repair::value(view.sole_count(padding)?, rest)?,
        (_, _, 1) => Repair::value(view.sole_size(padding)?, rest)?,
        _ => return None,
    };
    Some(vec![
        Repair::value(maximum, i64::from(last.id()) + i64::from(bits))?,
        Repair::value(count, i64::from(front.field.count) + i64::from(bits))?,
        smaller,
    ])
}

fn variable(seen: &Seen<'_>, events: &[&Event], findings: &mut Found) {
    let field = seen.field;
    let count = field.count.min(256);
    let all = |index: u32| events.iter().filter_map(move |event| Some((*event, value(field, &event.report, index)?)));
    let vendors = field.usages.get(0).is_some_and(|usage| usage.page() >= 0xff00);
    for index in 0..count {
        let outside: Vec<(&Event, i64)> = all(index).filter(|(_, value)| !field.logical.contains(*value)).collect();
        let usage = field.usages.get(index.min(field.usages.len().saturating_sub(1))).unwrap_or_default();
        // One value outside is how a hat or another control says that it has none.
        let has_null = field.flags.has_null_state() || usage == HAT;
        if let Some((event, value)) = outside.first().filter(|_| !vendors && !has_null && field.size > 1) {
            let line = event.line;
            let (rule, what) = match unsigned_range(field, &outside) {
                Some(width) => (
                    &rules::NO_SIGN,
                    format!(
                        "{usage} has negative values of {width} bits, without the sign in the other {}",
                        field.size - width
                    ),
                ),
                None => (
                    &rules::VALUE_RANGE,
                    format!("{usage} has the value {value}, and the logical range is {}", field.logical),
                ),
            };
            findings.add(Finding::in_field(rule, Certainty::Likely, seen, what), line);
        }
        if usage == HAT {
            hat(seen, all(index), findings);
        }
        if usage == TIP && [TOUCH_SCREEN, TOUCH_PAD].contains(&seen.application()) {
            let last = all(index).next_back().filter(|(_, value)| *value == 1);
            if let Some((event, _)) = last {
                let what = "the last report has a contact that still touches";
                findings.add(Finding::in_field(&rules::NOT_LIFTED, Certainty::Possible, seen, what), event.line);
            }
        }
    }
}

/// Returns the width in bits of values outside a range if all of them are negative numbers without their sign.
fn unsigned_range(field: &Field, outside: &[(&Event, i64)]) -> Option<u32> {
    let width = 64 - u64::try_from(field.logical.maximum).ok()?.leading_zeros() + 1;
    let is_negative = |value: i64| value >> (width - 1) == 1;
    (field.is_signed() && width < field.size && outside.iter().all(|(_, value)| is_negative(*value))).then_some(width)
}

/// Finds hats that send numbers of positions where the descriptor has a wider range.
fn hat<'a>(seen: &Seen<'_>, values: impl Iterator<Item = (&'a Event, i64)>, findings: &mut Found) {
    const POSITIONS: i64 = 8;
    let logical = seen.field.logical;
    if logical.maximum - logical.minimum < POSITIONS {
        return;
    }
    let values: Vec<(&Event, i64)> = values.filter(|(_, value)| logical.contains(*value)).collect();
    let highest = values.iter().map(|(_, value)| *value).max().unwrap_or_default();
    let is_moved = values.iter().any(|(_, value)| *value != logical.minimum);
    if is_moved && highest < logical.minimum + POSITIONS {
        let what = format!("the hat sends {} to {highest}, and its logical range is {logical}", logical.minimum);
        let line = values.iter().find(|(_, value)| *value != logical.minimum).and_then(|(event, _)| event.line);
        findings.add(Finding::in_field(&rules::HAT_VALUES, Certainty::Likely, seen, what), line);
    }
}

fn array(seen: &Seen<'_>, events: &[&Event], findings: &mut Found) {
    let field = seen.field;
    if field.size < 4 || field.usages.get(0).is_some_and(|usage| usage.page() >= 0xff00) {
        return;
    }
    for event in events {
        for index in 0..field.count.min(256) {
            let Some(value) = value(field, &event.report, index) else { continue };
            let selects = value - field.logical.minimum;
            let is_key = field.logical.contains(value) && selects >= 0 && selects < i64::from(field.usages.len());
            if value != 0 && !is_key {
                let what = format!("the value {value:#x} is outside the {} usages", field.usages.len());
                findings.add(Finding::in_field(&rules::KEY_RANGE, Certainty::Likely, seen, what), event.line);
            }
        }
    }
}
