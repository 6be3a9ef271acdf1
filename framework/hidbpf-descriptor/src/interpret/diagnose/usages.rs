//! Usages that don't fit their fields.

use std::collections::BTreeMap;

use crate::interpret::item::ItemKind;
use crate::interpret::usage::Usage;

use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

const PAGE_DESKTOP: u16 = 0x01;
/// The page of keys: HID Usage Tables 1.5, section 10.
pub(super) const PAGE_KEYBOARD: u16 = 0x07;
const PAGE_BUTTON: u16 = 0x09;
const PAGE_CONSUMER: u16 = 0x0c;

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let inputs = || view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding());
    let mut findings: Vec<Finding> = inputs().filter_map(repeat).collect();
    findings.extend(inputs().filter_map(constant));
    findings.extend(twice(view));
    findings
}

fn is_data(seen: &Seen<'_>) -> bool {
    seen.field.flags.is_variable() && !seen.field.flags.is_constant()
}

/// Finds fields with more values than usages. The kernel gives all further values the last usage.
fn repeat(seen: &Seen<'_>) -> Option<Finding> {
    let (count, usages) = (seen.field.count, seen.field.usages.len());
    let last = seen.field.usages.last()?;
    // Usage 0 of a page has no meaning.
    if !is_data(seen) || usages >= count || last.id() == 0 {
        return None;
    }
    let certainty = match (last.page(), seen.field.size) {
        (PAGE_BUTTON | PAGE_KEYBOARD | PAGE_CONSUMER, 1) => Certainty::Certain,
        // X and Y, and the axes beside them. Touch screens have two of each for a finger: its tip and its middle.
        (PAGE_DESKTOP, 8..) if (0x30..=0x38).contains(&last.id()) && seen.application().page() == PAGE_DESKTOP => {
            Certainty::Likely
        }
        // Vendors declare bytes with one usage on purpose.
        _ => return None,
    };
    let what = format!("{count} values have {usages} usages, so the last {} are all {last}", count - usages + 1);
    let finding = Finding::in_field(&rules::USAGES_REPEAT, certainty, seen, what);
    let maximum = match seen.usages.as_slice() {
        [minimum, maximum] if matches!(minimum.kind, ItemKind::UsageMinimum(_)) => Some(maximum),
        _ => None,
    };
    let first = seen.field.usages.get(0)?;
    let repair = maximum.and_then(|item| Repair::value(item, i64::from(first.id()) + i64::from(count) - 1));
    Some(finding.with(repair))
}

/// Finds fields with usages that the kernel takes for padding.
fn constant(seen: &Seen<'_>) -> Option<Finding> {
    const CONSTANT: u8 = 1;
    const VARIABLE: u8 = 2;
    let usage = seen.field.usages.get(0)?;
    // Vendors' fields mean nothing to the kernel in any case, and usage 0 of a page has no meaning.
    if !seen.field.flags.is_constant() || usage.page() >= 0xff00 || usage.id() == 0 {
        return None;
    }
    let what = format!("the field has the usages {} and is declared constant, so the kernel ignores it", seen.name());
    let is_button = usage.page() == PAGE_BUTTON && seen.field.size == 1;
    let (certainty, set) = if is_button { (Certainty::Likely, VARIABLE) } else { (Certainty::Possible, 0) };
    let finding = Finding::in_field(&rules::CONSTANT, certainty, seen, what);
    Some(finding.with(Repair::flags(seen.main, CONSTANT, set)))
}

/// Finds usages that two values of a report have.
fn twice(view: &View<'_>) -> Vec<Finding> {
    let mut places: BTreeMap<(Option<u8>, Usage, Usage), usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for (index, seen) in view.fields.iter().enumerate().filter(|(_, seen)| seen.is_input() && is_data(seen)) {
        let mut twice: Vec<Usage> = Vec::new();
        for usage in seen.field.usages.iter().take(seen.field.count.min(1024) as usize) {
            if !matches!(usage.page(), PAGE_BUTTON | PAGE_KEYBOARD) || usage.id() == 0 {
                continue;
            }
            let key = (seen.report.id, seen.application(), usage);
            if places.insert(key, index).is_some() {
                twice.push(usage);
            }
        }
        if let Some(first) = twice.first() {
            let more = if twice.len() > 1 { format!(" and {} more", twice.len() - 1) } else { String::new() };
            let what = format!("the report has {first}{more} already");
            findings.push(Finding::in_field(&rules::USAGE_TWICE, Certainty::Possible, seen, what));
        }
    }
    findings
}
