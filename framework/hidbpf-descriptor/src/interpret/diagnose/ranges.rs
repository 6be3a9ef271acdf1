//! Ranges of values that can't be right.

use crate::interpret::usage::Usage;

use super::applications::{GAMEPAD, JOYSTICK};
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules, signs};

/// Hat switch of the page Generic Desktop.
pub(super) const HAT: Usage = Usage(0x0001_0039);

/// The flag of main items: HID 1.11, section 6.2.2.5.
const RELATIVE: u8 = 4;

pub(super) const MULTI_AXIS: Usage = Usage(0x0001_0008);

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding()) {
        // Fields share their range.
        let is_new = |found: &Finding, known: &[Finding]| known.iter().all(|known| known.offset != found.offset);
        if let Some(finding) = signs::exchanged(seen) {
            findings.extend(Some(finding).filter(|found| is_new(found, &findings)));
            continue;
        }
        let sign = signs::maximum(seen).or_else(|| signs::negative(seen));
        findings.extend(sign.filter(|found| is_new(found, &findings)));
        if seen.field.flags.is_constant() || !seen.field.flags.is_variable() {
            continue;
        }
        findings.extend(hat(view, seen));
        findings.extend(match seen.field.flags.is_relative() {
            true => one_way(view, seen).or_else(|| controller(seen)),
            false => out_of_reach(view, seen).or_else(|| empty(seen)),
        });
    }
    findings
}

/// Returns whether it has an axis: X to Wheel, the controls of simulations and games, or those of pens.
pub(super) fn is_axis(usage: Usage) -> bool {
    match usage.page() {
        0x01 => (0x30..=0x38).contains(&usage.id()),
        0x02 => usage.id() >= 0xb0,
        0x0d => matches!(usage.id(), 0x30 | 0x3d | 0x3e),
        _ => false,
    }
}

/// Finds absolute values whose bits can't hold the ends of their range.
fn out_of_reach<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    let field = seen.field;
    let usage = field.usages.get(0)?;
    if !is_axis(usage) || field.size < 2 || field.size >= 32 {
        return None;
    }
    let (lowest, highest) = match field.is_signed() {
        true => (-(1_i64 << (field.size - 1)), (1_i64 << (field.size - 1)) - 1),
        false => (0, (1_i64 << field.size) - 1),
    };
    if field.logical.minimum >= lowest && field.logical.maximum <= highest {
        return None;
    }
    let what = format!("{} bits hold {lowest} to {highest}, and the logical range is {}", field.size, field.logical);
    let unshared = view.unshared(seen.logical_maximum);
    let repair = unshared.filter(|_| field.logical.maximum > highest).and_then(|item| Repair::value(item, highest));
    Some(Finding::in_field(&rules::OUT_OF_REACH, Certainty::Certain, seen, what).with(repair))
}

fn empty(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    if !is_axis(field.usages.get(0)?) || field.size < 2 || field.logical.minimum < field.logical.maximum {
        return None;
    }
    let what = format!("the logical range is {}", field.logical);
    Some(Finding::in_field(&rules::NO_RANGE, Certainty::Likely, seen, what))
}

/// Finds hats with other than four or eight positions.
fn hat<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    const POSITIONS: i64 = 8;
    let field = seen.field;
    let positions = field.logical.maximum - field.logical.minimum + 1;
    if !field.usages.iter().take(4).any(|usage| usage == HAT) || matches!(positions, 4 | POSITIONS) {
        return None;
    }
    // Steps of a degree or so are possible, and the kernel divides them.
    let certainty = if positions > POSITIONS && positions % 4 != 0 { Certainty::Likely } else { Certainty::Possible };
    let certainty = if positions == 240 { Certainty::Likely } else { certainty };
    let what = format!("the hat has {positions} positions ({}), and Linux knows eight directions", field.logical);
    let finding = Finding::in_field(&rules::HAT, certainty, seen, what);
    let item = view.unshared(seen.logical_maximum);
    let repair = item
        .filter(|_| positions > POSITIONS)
        .and_then(|item| Repair::value(item, field.logical.minimum + POSITIONS - 1));
    Some(finding.with(repair))
}

/// Finds movements in one direction only.
fn one_way<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    let field = seen.field;
    let usage = field.usages.get(0)?;
    let moves = matches!(usage.0, 0x0001_0030 | 0x0001_0031 | 0x0001_0038 | 0x000c_0238);
    if !moves || field.size < 4 || field.logical.minimum < 0 || field.logical.maximum <= field.logical.minimum {
        return None;
    }
    let what = format!("a movement has the range {}, without negative values", field.logical);
    let mut finding = Finding::in_field(&rules::ONE_WAY, Certainty::Likely, seen, what);
    if [JOYSTICK, GAMEPAD].contains(&seen.application()) {
        // The range is that of positions.
        return Some(finding.with(Repair::flags(seen.main, RELATIVE, 0)));
    }
    let highest = (1_i64 << (field.size.min(16) - 1)) - 1;
    let unshared = view.unshared(seen.logical_minimum);
    finding.repairs.extend(unshared.and_then(|item| Repair::value(item, -highest)));
    let unshared = view.unshared(seen.logical_maximum);
    finding
        .repairs
        .extend(unshared.filter(|_| field.logical.maximum != highest).and_then(|item| Repair::value(item, highest)));
    // Without a negative minimum, a maximum repairs nothing.
    if !finding.repairs.iter().any(|repair| seen.logical_minimum.is_some_and(|item| item.offset == repair.offset())) {
        finding.repairs.clear();
    }
    Some(finding)
}

/// Finds relative axes of a controller that holds a position.
fn controller(seen: &Seen<'_>) -> Option<Finding> {
    let usage = seen.field.usages.get(0)?;
    let is_position = usage.page() == 0x01 && (0x30..=0x35).contains(&usage.id());
    if ![MULTI_AXIS, JOYSTICK, GAMEPAD].contains(&seen.application()) || !is_position || seen.field.size < 2 {
        return None;
    }
    let what = "the axes of a controller are declared as movements";
    let finding = Finding::in_field(&rules::CONTROLLER, Certainty::Likely, seen, what);
    Some(finding.with(Repair::flags(seen.main, RELATIVE, 0)))
}
