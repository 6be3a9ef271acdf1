//! Arrays: fields whose values select one of their usages.

use crate::hex::HexBytes;
use crate::interpret::decode::MAX_NUMBER;
use crate::interpret::item::ItemKind;
use crate::interpret::usage::Usage;

use super::usages::PAGE_KEYBOARD;
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let arrays = view.fields.iter().filter(|seen| {
        let field = seen.field;
        seen.is_input() && !field.is_padding() && !field.flags.is_variable() && !field.flags.is_constant()
    });
    let arrays = arrays.filter(|seen| !seen.field.usages.iter().next().is_some_and(is_vendors));
    arrays
        .flat_map(|seen| {
            [
                bits(seen).or_else(|| wide(seen)).or_else(|| range(view, seen)).or_else(|| beyond(seen)),
                shifted(seen),
                few(seen),
            ]
        })
        .flatten()
        .collect()
}

fn is_vendors(usage: Usage) -> bool {
    usage.page() >= 0xff00
}

/// Finds bits that are declared as an array. An array of bits can select two usages at most.
fn bits(seen: &Seen<'_>) -> Option<Finding> {
    const VARIABLE: u8 = 2;
    let field = seen.field;
    let usages = field.usages.len();
    if field.size != 1 || usages < 3 || field.count < 3 {
        return None;
    }
    let what =
        format!("{} bits for {usages} usages are declared as an array, which can select two of them", field.count);
    let finding = Finding::in_field(&rules::BIT_ARRAY, Certainty::Certain, seen, what);
    Some(finding.with(Repair::flags(seen.main, 0, VARIABLE)))
}

/// Finds arrays with a value of many bytes, where each byte is a value of its own.
fn wide(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    let (bytes, usages) = (field.size / 8 * field.count, field.usages.len());
    if field.size <= MAX_NUMBER || usages < 8 {
        return None;
    }
    let what = format!("a value has {} bits, and the kernel reads {MAX_NUMBER} of them", field.size);
    let finding = Finding::in_field(&rules::ARRAY_WIDE, Certainty::Certain, seen, what);
    let is_bytes = field.size.is_multiple_of(8) && field.size < 0x80 && bytes < 0x80 && usages <= 0x100;
    if !is_bytes {
        return Some(finding);
    }
    // Sizes of its own, and those of the fields after it again.
    let own = vec![0x75, 8, 0x95, bytes as u8];
    let others = vec![0x75, field.size as u8, 0x95, field.count as u8];
    let after = seen.main.offset + seen.main.bytes.len();
    let finding = finding.with(Some(Repair::Insert { offset: seen.main.offset, new: HexBytes(own) }));
    Some(finding.with(Some(Repair::Insert { offset: after, new: HexBytes(others) })))
}

/// Finds arrays whose values can't select all their usages.
fn range<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    let field = seen.field;
    let usages = i64::from(field.usages.len());
    let values = field.logical.maximum - field.logical.minimum + 1;
    // A selector of two or three usages may have a spare one.
    if usages < 2 || values >= usages || field.size < 2 {
        return None;
    }
    let maximum = field.logical.minimum + usages - 1;
    let can_have_all = maximum < 1_i64 << field.size.min(32);
    if let Some(finding) = point(seen) {
        return Some(finding);
    }
    // A usage maximum rounded up (0xff) names usages that no device sends. A part of a descriptor can lack the item that
    // sets the range.
    let is_inherited = values <= 2 && seen.logical_maximum.is_some();
    let is_rounded = field.usages.last().is_none_or(|usage| (u32::from(usage.id()) + 1).is_power_of_two());
    let certainty = match (is_inherited, is_rounded) {
        (true, _) => Certainty::Certain,
        (false, true) => Certainty::Possible,
        (false, false) if seen.logical_maximum.is_some() => Certainty::Likely,
        (false, false) => Certainty::Possible,
    };
    let what = format!(
        "the logical range {} selects {values} of {usages} usages{}",
        field.logical,
        if is_inherited { ", and is that of another field" } else { "" }
    );
    let finding = Finding::in_field(&rules::ARRAY_RANGE, certainty, seen, what);
    let repair = match view.unshared(seen.logical_maximum) {
        _ if !can_have_all => None,
        Some(item) => Repair::value(item, maximum),
        // A range of its own, right in front of the field.
        None => {
            let [low, high, ..] = maximum.to_le_bytes();
            let new = if maximum < 0x80 { vec![0x25, low] } else { vec![0x26, low, high] };
            Some(Repair::Insert { offset: seen.main.offset, new: HexBytes(new) }).filter(|_| maximum < 0x8000)
        }
    };
    Some(finding.with(repair))
}

/// Finds a range that begins where it ends, at the number of the last usage.
fn point(seen: &Seen<'_>) -> Option<Finding> {
    let (field, item) = (seen.field, seen.logical_minimum?);
    let [span] = field.usages.spans() else { return None };
    let logical = field.logical;
    if logical.minimum != logical.maximum || logical.maximum != i64::from(span.last().id()) {
        return None;
    }
    let what = format!("the logical range {logical} selects one of {} usages", span.count);
    let finding = Finding::in_field(&rules::ARRAY_RANGE, Certainty::Certain, seen, what).at(item.offset);
    Some(finding.with(Repair::value(item, span.first.id().into())))
}

/// Finds arrays with more usages than their bits can select.
fn beyond(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    let highest = (1_i64 << field.size.min(32)) - 1;
    if field.size < 8 || field.logical.maximum <= highest || i64::from(field.usages.len()) <= highest + 1 {
        return None;
    }
    let what = format!("{} bits hold 0 to {highest}, and the logical range is {}", field.size, field.logical);
    Some(Finding::in_field(&rules::OUT_OF_REACH, Certainty::Possible, seen, what))
}

/// Finds arrays of keys in which each value selects the key after the right one.
fn shifted(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    let [span] = field.usages.spans() else { return None };
    let (first, minimum) = (i64::from(span.first.id()), field.logical.minimum);
    // Keyboards send the number of the key itself.
    if span.first.page() != PAGE_KEYBOARD || first != minimum + 1 || field.size < 8 || span.count < 8 {
        return None;
    }
    let what = format!("value {minimum} selects usage {first:#04x} ({}), so that each key is one too high", span.first);
    let item = seen.usages.iter().find(|item| matches!(item.kind, ItemKind::UsageMinimum(_)));
    let repair = item.and_then(|item| Repair::value(item, minimum));
    // If the range has no spare value, the device may send the keys' numbers less one.
    let certainty = match field.logical.maximum == i64::from(span.last().id()) {
        true => Certainty::Certain,
        false => Certainty::Likely,
    };
    Some(Finding::in_field(&rules::ARRAY_SHIFTED, certainty, seen, what).with(repair))
}

/// Finds arrays whose last usage is a little below their highest value. The kernel drops the values between.
fn few(seen: &Seen<'_>) -> Option<Finding> {
    /// More is a range that was rounded up.
    const FEW: i64 = 16;
    let field = seen.field;
    let [span] = field.usages.spans() else { return None };
    let (last, maximum) = (i64::from(span.last().id()), field.logical.maximum);
    let is_direct = i64::from(span.first.id()) == field.logical.minimum;
    let is_rounded = (maximum as u64 + 1).is_power_of_two();
    if !is_direct || is_rounded || last >= maximum || maximum - last > FEW || field.size < 8 || span.count < 8 {
        return None;
    }
    let what = format!("the values up to {maximum:#04x} have usages up to {last:#04x}, and the kernel drops the rest");
    let item = seen.usages.iter().find(|item| matches!(item.kind, ItemKind::UsageMaximum(_)));
    let repair = item.and_then(|item| Repair::value(item, maximum));
    Some(Finding::in_field(&rules::ARRAY_FEW, Certainty::Possible, seen, what).with(repair))
}
