//! Fields that lack an item: their usages, the end of a range of usages, or an application.

use crate::hex::HexBytes;
use crate::interpret::descriptor::Anatomy;
use crate::interpret::item::{CollectionKind, Item, ItemKind};
use crate::interpret::usage::Usage;

use super::applications::{CONSUMER_CONTROL, KEYBOARD, is_input_application};
use super::usages::{PAGE_CONSUMER, PAGE_KEYBOARD};
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

const KEYPAD: Usage = Usage(0x0001_0007);

pub(super) fn check(anatomy: &Anatomy, view: &View<'_>) -> Vec<Finding> {
    let inputs = || view.fields.iter().filter(|seen| seen.is_input() && !seen.field.flags.is_constant());
    let mut findings: Vec<Finding> = inputs().filter_map(|seen| range_end(seen).or_else(|| usages(seen))).collect();
    findings.extend(application(anatomy, view));
    findings
}

/// Finds a Usage Minimum without a Usage Maximum. The kernel adds the usages of a range at its maximum.
fn range_end(seen: &Seen<'_>) -> Option<Finding> {
    let [Item { kind: ItemKind::UsageMinimum(first), .. }] = seen.usages.as_slice() else { return None };
    let values = match seen.field.flags.is_variable() {
        true => i64::from(seen.field.count),
        false => seen.field.logical.maximum - seen.field.logical.minimum + 1,
    };
    let what = format!("the range of usages begins at {first}, and has no Usage Maximum");
    let finding = Finding::in_field(&rules::RANGE_END, Certainty::Certain, seen, what);
    Some(finding.with(range_item(USAGE_MAXIMUM, i64::from(first.id()) + values - 1).map(|new| before(seen.main, new))))
}

/// Finds lists of pressed keys that don't say which keys there are.
fn usages(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    let page = match seen.usage_page?.kind {
        ItemKind::UsagePage(page) => u16::try_from(page).ok()?,
        _ => return None,
    };
    let is_keys = matches!(
        (seen.application(), page),
        (KEYBOARD | KEYPAD, PAGE_KEYBOARD) | (KEYBOARD | CONSUMER_CONTROL, PAGE_CONSUMER)
    );
    // The byte behind the modifiers is reserved.
    let is_list = !field.flags.is_variable() && field.is_padding() && seen.usages.is_empty() && field.bits() > 8;
    if !is_keys || !is_list || field.size < 8 || field.logical.maximum < 8 {
        return None;
    }
    let what = format!("{} values of {} bits are the numbers of keys, and have no usages", field.count, field.size);
    let finding = Finding::in_field(&rules::ARRAY_EMPTY, Certainty::Likely, seen, what);
    let range = |seen: &Seen<'_>| {
        let minimum = range_item(USAGE_MINIMUM, field.logical.minimum)?;
        Some(before(seen.main, [minimum, range_item(USAGE_MAXIMUM, field.logical.maximum)?].concat()))
    };
    Some(finding.with(range(seen)))
}

const USAGE_MINIMUM: u8 = 0x18;
const USAGE_MAXIMUM: u8 = 0x28;

/// Returns an item with a number of one or two bytes.
fn range_item(prefix: u8, value: i64) -> Option<Vec<u8>> {
    let [low, high] = u16::try_from(value).ok()?.to_le_bytes();
    Some(if high == 0 { vec![prefix | 1, low] } else { vec![prefix | 2, low, high] })
}

fn before(main: &Item, new: Vec<u8>) -> Repair {
    Repair::Insert { offset: main.offset, new: HexBytes(new) }
}

/// Finds devices without any Application collection.
fn application(anatomy: &Anatomy, view: &View<'_>) -> Option<Finding> {
    let is_application = |(kind, _): &(CollectionKind, Usage)| *kind == CollectionKind::APPLICATION;
    // The tail of a descriptor lacks its beginning.
    let has_beginning = anatomy.items.iter().any(|item| matches!(item.kind, ItemKind::Collection(_)));
    let mut fields = view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding());
    // One application is enough for the kernel to take all fields.
    if fields.clone().any(|seen| seen.collections.iter().any(is_application)) {
        return None;
    }
    let seen = fields.next().filter(|_| has_beginning && anatomy.fault.is_none())?;
    let outermost = anatomy.items.iter().rfind(|item| {
        item.offset < seen.main.offset && item.depth == 0 && matches!(item.kind, ItemKind::Collection(_))
    });
    let what = match seen.collections.first() {
        Some((kind, usage)) => format!("the outermost collection, {usage}, is {kind} instead of Application"),
        None => "the field is in no collection".to_owned(),
    };
    // The kernel makes an input device of a Physical collection too, and some of its drivers ask for the application.
    let is_known =
        |(kind, usage): &(CollectionKind, Usage)| *kind == CollectionKind::PHYSICAL && is_input_application(*usage);
    let certainty = match seen.collections.first().is_some_and(is_known) {
        true => Certainty::Possible,
        false => Certainty::Likely,
    };
    let finding = Finding::in_field(&rules::NO_APPLICATION, certainty, seen, what);
    let Some(outermost) = outermost.filter(|_| !seen.collections.is_empty()) else { return Some(finding) };
    Some(finding.at(outermost.offset).with(Repair::value(outermost, i64::from(CollectionKind::APPLICATION.0))))
}

#[cfg(test)]
mod tests {
    use crate::interpret::diagnose::tests::{found, repaired};

    #[test]
    fn ranges_have_an_end() {
        let mouse = |end: &str| format!("05 01 09 02 a1 01 05 09 19 01 15 00 25 01 75 01 95 08 {end}81 02 c0");
        repaired(&mouse(""), "usage-range-without-end certain 18", &mouse("29 08 "));
        assert!(found(&mouse("29 08 ")).is_empty());
    }

    #[test]
    fn lists_of_keys_have_usages() {
        let keyboard = |usages: &str| {
            format!(
                "05 01 09 06 a1 01 05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02 95 01 75 08 81 01 26 ff 00 95 06 {usages}81 00 c0"
            )
        };
        repaired(&keyboard(""), "array-without-usages likely 33", &keyboard("19 00 29 ff "));
        // A reserved byte that is no constant.
        assert!(found(&keyboard("95 01 81 00 95 06 19 00 2a ff 00 ")).is_empty());
    }

    #[test]
    fn controls_are_in_an_application() {
        let mouse = |kind: &str| format!("05 01 09 02 a1 {kind} 05 09 19 01 29 08 15 00 25 01 75 01 95 08 81 02 c0");
        repaired(&mouse("02"), "application-missing likely 4", &mouse("01"));
        repaired(&mouse("00"), "application-missing possible 4", &mouse("01"));
        // A fragment.
        assert!(found("05 09 19 01 29 08 15 00 25 01 75 01 95 08 81 02").is_empty());
    }
}
