//! Usages that don't fit their fields.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::hex::HexBytes;
use crate::interpret::item::{Item, ItemKind};
use crate::interpret::usage::Usage;

use super::applications::{GAMEPAD, JOYSTICK, MOUSE};
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

const PAGE_DESKTOP: u16 = 0x01;
/// The page of keys: HID Usage Tables 1.5, section 10.
pub(super) const PAGE_KEYBOARD: u16 = 0x07;
pub(super) const PAGE_BUTTON: u16 = 0x09;
pub(super) const PAGE_CONSUMER: u16 = 0x0c;
const PAGE_DIGITIZERS: u16 = 0x0d;

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let inputs = || view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding());
    let mut findings: Vec<Finding> = inputs().filter_map(repeat).collect();
    findings.extend(inputs().filter_map(|seen| constant(view, seen)));
    findings.extend(
        view.fields.iter().filter(|seen| seen.is_input()).filter_map(|seen| reversed(seen).or_else(|| exchanged(seen))),
    );
    findings.extend(inputs().filter_map(physical));
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
fn constant(view: &View<'_>, seen: &Seen<'_>) -> Option<Finding> {
    const CONSTANT: u8 = 1;
    const VARIABLE: u8 = 2;
    /// The pages of batteries and power supplies. Programs read their values from reports that they ask for.
    const POWER: RangeInclusive<u16> = 0x84..=0x85;
    let usage = seen.field.usages.get(0)?;
    // Vendors' fields mean nothing to the kernel in any case, and usage 0 of a page has no meaning.
    let is_meaningless = usage.id() == 0 && seen.field.usages.len() == 1;
    if !seen.field.flags.is_constant() || usage.page() >= 0xff00 || is_meaningless || POWER.contains(&usage.page()) {
        return None;
    }
    // Touchpads by ELAN name bytes of padding so.
    if usage.page() == PAGE_BUTTON && seen.field.size > 1 {
        return None;
    }
    // Makers switch the touch of a device off so: no field of the report has a value.
    let has_values = |other: &Seen<'_>| {
        other.is_input() && other.report.id == seen.report.id && is_data(other) && other.field.usages.get(0).is_some()
    };
    if usage.page() == PAGE_DIGITIZERS && !view.fields.iter().any(has_values) {
        return None;
    }
    let what = format!("the field has the usages {} and is declared constant, so the kernel ignores it", seen.name());
    let is_button = usage.page() == PAGE_BUTTON && seen.field.size == 1;
    let is_list = matches!(usage.page(), PAGE_KEYBOARD | PAGE_CONSUMER) && seen.field.usages.len() >= 8;
    let is_keys = is_list && seen.field.size >= 8 && !seen.field.flags.is_variable();
    let is_movement = seen.application() == MOUSE && seen.field.flags.is_relative() && seen.field.flags.is_variable();
    let (certainty, set) = match () {
        () if is_button => (Certainty::Likely, VARIABLE),
        () if is_keys || is_movement => (Certainty::Likely, 0),
        () => (Certainty::Possible, 0),
    };
    let finding = Finding::in_field(&rules::CONSTANT, certainty, seen, what);
    Some(finding.with(Repair::flags(seen.main, CONSTANT, set)))
}

/// Finds a usage range with the numbers of the logical range, beside the usage that the field has. It should be a physical
/// range.
fn physical(seen: &Seen<'_>) -> Option<Finding> {
    const PHYSICAL_MINIMUM: u8 = 0x34;
    const PHYSICAL_MAXIMUM: u8 = 0x44;
    const SIZE: u8 = 3;
    let is_single = |item: &&&Item| matches!(item.kind, ItemKind::Usage(_));
    let of = |limit: Option<&Item>, fits: fn(&ItemKind) -> bool| {
        let range = seen.usages.iter().find(|item| fits(&item.kind))?;
        (range.data() == limit?.data()).then_some(*range)
    };
    let minimum = of(seen.logical_minimum, |kind| matches!(kind, ItemKind::UsageMinimum(_)))?;
    let maximum = of(seen.logical_maximum, |kind| matches!(kind, ItemKind::UsageMaximum(_)))?;
    let is_vendors = seen.field.usages.get(0).is_none_or(|usage| usage.page() >= 0xff00);
    if !is_data(seen) || is_vendors || seen.field.size < 2 || seen.usages.iter().find(is_single).is_none() {
        return None;
    }
    let what = "the field has a usage, and a range of usages with the numbers of its logical range";
    let change = |item: &Item, prefix: u8| {
        let (first, data) = item.bytes.split_first()?;
        let new = HexBytes([&[prefix | first & SIZE], data].concat());
        Some(Repair::Replace { offset: item.offset, old: HexBytes(item.bytes.clone()), new })
    };
    let finding = Finding::in_field(&rules::PHYSICAL, Certainty::Likely, seen, what).at(minimum.offset);
    Some(finding.with(change(minimum, PHYSICAL_MINIMUM)).with(change(maximum, PHYSICAL_MAXIMUM)))
}

/// Finds a Usage Maximum in front of its Usage Minimum. The kernel lets such a range begin at 0.
fn reversed(seen: &Seen<'_>) -> Option<Finding> {
    let is_minimum = |item: &Item| matches!(item.kind, ItemKind::UsageMinimum(_));
    let is_maximum = |item: &Item| matches!(item.kind, ItemKind::UsageMaximum(_));
    let mut open = 0;
    for pair in seen.usages.windows(2) {
        let [first, second] = pair else { continue };
        if open == 0 && is_maximum(first) && is_minimum(second) {
            let what = "Usage Maximum comes before Usage Minimum, so the kernel lets the range begin at 0";
            let finding = Finding::in_field(&rules::REVERSED, Certainty::Certain, seen, what).at(first.offset);
            let (old, new) = ([first.bytes.clone(), second.bytes.clone()], [second.bytes.clone(), first.bytes.clone()]);
            let repair =
                Repair::Replace { offset: first.offset, old: HexBytes(old.concat()), new: HexBytes(new.concat()) };
            let is_next = first.offset + first.bytes.len() == second.offset;
            return Some(finding.with(Some(repair).filter(|_| is_next)));
        }
        open = i32::from(is_minimum(first));
    }
    None
}

/// Finds a Usage Minimum that is above its Usage Maximum. The kernel lets such a range have all usages that there can be.
fn exchanged(seen: &Seen<'_>) -> Option<Finding> {
    let [minimum, maximum] = seen.usages.as_slice() else { return None };
    let is_range =
        matches!(minimum.kind, ItemKind::UsageMinimum(_)) && matches!(maximum.kind, ItemKind::UsageMaximum(_));
    let (first, last) = (minimum.unsigned(), maximum.unsigned());
    // Two items of different sizes can be a usage with its page, and one without.
    if !is_range || first <= last || minimum.data().len() != maximum.data().len() {
        return None;
    }
    let what = format!("Usage Minimum ({first}) is above Usage Maximum ({last})");
    let change = |item: &Item, other: &Item| {
        let new = [item.bytes.get(..1)?, other.data()].concat();
        Some(Repair::Replace { offset: item.offset, old: HexBytes(item.bytes.clone()), new: HexBytes(new) })
    };
    let finding = Finding::in_field(&rules::REVERSED, Certainty::Certain, seen, what).at(minimum.offset);
    Some(finding.with(change(minimum, maximum)).with(change(maximum, minimum)))
}

/// Finds usages that two values of a report have.
fn twice(view: &View<'_>) -> Vec<Finding> {
    let mut places: BTreeMap<(Option<u8>, Usage, Usage), usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for (index, seen) in view.fields.iter().enumerate().filter(|(_, seen)| seen.is_input() && is_data(seen)) {
        let mut twice: Vec<Usage> = Vec::new();
        for usage in seen.field.usages.iter().take(seen.field.count.min(1024) as usize) {
            // Joystick and Gamepad.
            let is_game = [JOYSTICK, GAMEPAD].contains(&seen.application());
            let is_axis = is_game && (0x0001_0030..=0x0001_0035).contains(&usage.0);
            if !(is_axis || matches!(usage.page(), PAGE_BUTTON | PAGE_KEYBOARD)) || usage.id() == 0 {
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
            let finding = Finding::in_field(&rules::USAGE_TWICE, Certainty::Possible, seen, what);
            findings.push(Finding { repairs: other_axes(view, seen).unwrap_or_default(), ..finding });
        }
    }
    findings
}

/// Returns the repair that gives axes of a field that there are already the usages of axes that there are not.
fn other_axes(view: &View<'_>, seen: &Seen<'_>) -> Option<Vec<Repair>> {
    /// Z, Rx, Ry, Rz and Slider of the page Generic Desktop.
    const AXES: [u16; 5] = [0x32, 0x33, 0x34, 0x35, 0x36];
    let is_axis =
        |item: &Item| matches!(item.kind, ItemKind::Usage(usage) if (0x0001_0030..=0x0001_0036).contains(&usage.0));
    if !seen.usages.iter().all(|item| is_axis(item)) {
        return None;
    }
    let same = view.fields.iter().filter(|other| other.is_input() && other.report.id == seen.report.id);
    let mut used: Vec<Usage> = same
        .clone()
        .filter(|other| other.field.offset < seen.field.offset)
        .flat_map(|other| other.field.usages.iter())
        .collect();
    let all: Vec<Usage> = same.flat_map(|other| other.field.usages.iter().take(1024)).collect();
    let mut free = AXES.into_iter().map(|id| Usage::new(PAGE_DESKTOP, id)).filter(|usage| !all.contains(usage));
    let mut repairs = Vec::new();
    for item in &seen.usages {
        let ItemKind::Usage(usage) = item.kind else { return None };
        if used.contains(&usage) {
            repairs.push(Repair::value(item, free.next()?.id().into())?);
        } else {
            used.push(usage);
        }
    }
    Some(repairs)
}

#[cfg(test)]
mod tests {
    use crate::hex::HexBytes;
    use crate::interpret::diagnose::{Repair, descriptor};

    /// Returns the ids of the findings, and those in the repaired descriptor.
    fn found(hex: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let bytes: HexBytes = hex.parse().unwrap();
        let ids = |bytes: &[u8]| descriptor(bytes).iter().map(|finding| finding.rule.id).collect::<Vec<_>>();
        let repairs: Vec<Repair> = descriptor(&bytes.0).into_iter().flat_map(|finding| finding.repairs).collect();
        (ids(&bytes.0), ids(&Repair::apply(&repairs, &bytes.0).unwrap()))
    }

    #[test]
    fn ranges_begin_with_their_minimum() {
        let mouse = "05 01 09 02 a1 01 05 09 29 08 19 01 15 00 25 01 75 01 95 08 81 02 c0";
        assert_eq!(found(mouse), (vec!["usage-range-reversed"], vec![]));
        assert!(found(&mouse.replace("29 08 19 01", "19 01 29 08")).0.is_empty());
        // Two ranges, one after the other.
        assert!(found("05 01 09 06 a1 01 05 07 19 04 29 07 19 0a 29 0d 25 01 75 01 95 08 81 02 c0").0.is_empty());
    }

    #[test]
    fn ranges_go_up() {
        let mouse = "05 01 09 02 a1 01 05 09 19 08 29 01 15 00 25 01 75 01 95 08 81 02 c0";
        assert_eq!(found(mouse), (vec!["usage-range-reversed"], vec![]));
    }

    #[test]
    fn keys_are_bytes() {
        let keys = "05 01 09 06 a1 01 05 07 19 00 29 65 15 00 25 65 75 30 95 01 81 00 c0";
        assert_eq!(found(keys), (vec!["array-value-too-wide"], vec![]));
    }

    #[test]
    fn axes_are_there_once() {
        let pad = "05 01 09 04 a1 01 09 30 09 31 09 32 09 32 15 00 26 ff 00 75 08 95 04 81 02 c0";
        assert_eq!(found(pad), (vec!["usage-twice"], vec![]));
        assert!(found(&pad.replace("09 32 09 32", "09 32 09 35")).0.is_empty());
    }
}
