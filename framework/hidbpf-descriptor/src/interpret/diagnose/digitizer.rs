//! Pens, tablets and touch devices.

use crate::ids::{Bus, VendorId};
use crate::interpret::item::{Item, ItemKind};
use crate::interpret::usage::Usage;

use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

pub(super) const PEN: Usage = Usage(0x000d_0002);
pub(super) const DIGITIZER: Usage = Usage(0x000d_0001);
const TOUCH_SCREEN: Usage = Usage(0x000d_0004);
const STYLUS: Usage = Usage(0x000d_0020);
const IN_RANGE: Usage = Usage(0x000d_0032);
const INVERT: Usage = Usage(0x000d_003c);
const X_TILT: Usage = Usage(0x000d_003d);
const Y_TILT: Usage = Usage(0x000d_003e);
pub(super) const TIP: Usage = Usage(0x000d_0042);
const SECOND_TIP: Usage = Usage(0x000d_0043);
const BARREL: Usage = Usage(0x000d_0044);
const ERASER: Usage = Usage(0x000d_0045);
const SECOND_BARREL: Usage = Usage(0x000d_005a);
const X: Usage = Usage(0x0001_0030);
const Y: Usage = Usage(0x0001_0031);

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut ids: Vec<Option<u8>> = view.fields.iter().filter(|seen| is_pen(seen)).map(|seen| seen.report.id).collect();
    ids.dedup();
    let has_screen = view.fields.iter().any(|seen| seen.is_input() && seen.application() == TOUCH_SCREEN);
    for id in ids {
        let fields: Vec<&Seen<'_>> = view.fields.iter().filter(|seen| is_pen(seen) && seen.report.id == id).collect();
        let tip = second_tip(&fields);
        let eraser = eraser(&fields, has_screen);
        // A pen with two tips has its second button there, and no other.
        findings.extend(eraser.filter(|eraser| tip.is_none() || eraser.repairs.is_empty()));
        findings.extend(tip);
        findings.extend(in_range(&fields));
        findings.extend(tilt(&fields));
    }
    findings.extend(sizes(view));
    findings
}

/// Returns whether a field is data of a pen.
fn is_pen(seen: &Seen<'_>) -> bool {
    let application = seen.application();
    // Some makers have an application Stylus in the application Pen.
    let is_pen = [PEN, STYLUS].contains(&application) || (application == DIGITIZER && seen.physical() == STYLUS);
    seen.is_input() && is_pen && seen.field.flags.is_variable() && !seen.field.flags.is_constant()
}

fn with_usage<'a, 'b>(fields: &'b [&'b Seen<'a>], usage: Usage) -> Option<&'b Seen<'a>> {
    fields.iter().find(|seen| seen.field.usages.iter().any(|it| it == usage)).copied()
}

/// Finds a second tip, which is the second button of most pens.
fn second_tip(fields: &[&Seen<'_>]) -> Option<Finding> {
    let tips = || fields.iter().flat_map(|seen| seen.usages.iter().map(move |item| (*seen, *item)));
    let is_tip = |usage: Usage| move |item: &Item| matches!(item.kind, ItemKind::Usage(it) if it == usage);
    let second = tips()
        .find(|(_, item)| is_tip(SECOND_TIP)(item))
        .or_else(|| tips().filter(|(_, item)| is_tip(TIP)(item)).nth(1));
    let (seen, item) = second?;
    if with_usage(fields, SECOND_BARREL).is_some() {
        return None;
    }
    let what = "the pen has two tips; the second is its second button in all known devices";
    let finding = Finding::in_field(&rules::SECOND_TIP, Certainty::Likely, seen, what).at(item.offset);
    Some(finding.with(Repair::value(item, SECOND_BARREL.id().into())))
}

/// Finds an eraser that is the second button of the pen. Without Invert, nothing says that the pen was turned around.
fn eraser(fields: &[&Seen<'_>], has_screen: bool) -> Option<Finding> {
    let seen = with_usage(fields, ERASER)?;
    with_usage(fields, BARREL)?;
    if with_usage(fields, SECOND_BARREL).is_some() {
        return None;
    }
    let has_invert = with_usage(fields, INVERT).is_some();
    // The pens of such screens follow Microsoft's "Windows Pen Designs", whose eraser is an eraser.
    if has_invert && has_screen {
        return None;
    }
    let certainty = if has_invert { Certainty::Possible } else { Certainty::Likely };
    let what = match has_invert {
        true => "the pen has one button and an eraser; on most pens with two buttons, the eraser is the second",
        false => {
            "the pen has an eraser and no Invert to say that it was turned around: the eraser is the second button"
        }
    };
    let item = seen.item_of(ERASER);
    let finding = Finding::in_field(&rules::ERASER, certainty, seen, what);
    let repair = item.filter(|_| !has_invert).and_then(|item| Repair::value(item, SECOND_BARREL.id().into()));
    Some(finding.at(item.map_or(seen.field.offset, |item| item.offset)).with(repair))
}

/// Decides by the maker of a pen whether its eraser is one, if the descriptor alone does not show it.
pub(super) fn by_maker(findings: &mut Vec<Finding>, bus: Bus, vendor: VendorId) {
    /// Wacom, whose pens have erasers.
    const WITH: [u32; 3] = [0x056a, 0x0531, 0x2d1f];
    /// Huion and Gaomon, XP-Pen, UC-Logic, Waltop. No pen of theirs has an eraser, and most have two buttons.
    const WITHOUT: [u32; 4] = [0x256c, 0x28bd, 0x5543, 0x172f];
    let is_open = |finding: &Finding| finding.rule.id == rules::ERASER.id && finding.certainty == Certainty::Possible;
    // The pens of a computer's screen follow Microsoft's rules.
    if WITH.contains(&vendor.0) || bus == Bus::I2C {
        findings.retain(|finding| !is_open(finding));
    }
    if WITHOUT.contains(&vendor.0) {
        findings
            .iter_mut()
            .filter(|finding| is_open(finding))
            .for_each(|finding| finding.certainty = Certainty::Likely);
    }
}

/// Finds pens that don't say whether they are near.
fn in_range(fields: &[&Seen<'_>]) -> Option<Finding> {
    let (seen, _) = (with_usage(fields, TIP)?, with_usage(fields, X)?);
    if with_usage(fields, IN_RANGE).is_some() {
        return None;
    }
    let what = "the report of the pen has no In Range, so the kernel never reports that the pen is near";
    Some(Finding::in_field(&rules::NO_RANGE_SWITCH, Certainty::Likely, seen, what))
}

fn tilt(fields: &[&Seen<'_>]) -> Option<Finding> {
    let seen = with_usage(fields, X_TILT).or_else(|| with_usage(fields, Y_TILT))?;
    // The kernel takes radians and degrees: HID 1.11, section 6.2.2.7, systems 2 and 4.
    if matches!(seen.field.unit.0, 0x12 | 0x14) {
        return None;
    }
    let what = format!("tilt has the range {} and no unit of angle", seen.field.logical);
    Some(Finding::in_field(&rules::TILT, Certainty::Possible, seen, what))
}

/// Checks the size that X and Y give: as hidinput_calc_abs_res() of drivers/hid/hid-input.c does.
fn sizes(view: &View<'_>) -> Vec<Finding> {
    /// Sizes of touch devices in mm. The smallest are pads on keyboards, the largest are walls.
    const POSSIBLE: std::ops::RangeInclusive<f64> = 10.0..=3000.0;
    let mut findings: Vec<Finding> = Vec::new();
    for seen in view.fields.iter().filter(|seen| seen.is_input() && is_surface(seen)) {
        let field = seen.field;
        let axes = field.usages.iter().take(2).any(|usage| [X, Y].contains(&usage));
        if !axes
            || field.flags.is_relative()
            || field.flags.is_constant()
            || field.logical.minimum >= field.logical.maximum
        {
            continue;
        }
        let finding = match millimetres(seen) {
            None => {
                let unit = if field.unit.is_none() { "no unit".to_owned() } else { format!("the unit {}", field.unit) };
                let what = format!("X and Y have {unit}, and the kernel knows the size in cm and inches only");
                let finding = Finding::in_field(&rules::NO_SIZE, Certainty::Certain, seen, what);
                finding.with(length_unit(view, seen))
            }
            Some(size) if !POSSIBLE.contains(&size) => {
                let what = format!("the surface would be {size:.1} mm long");
                Finding::in_field(&rules::ODD_SIZE, Certainty::Likely, seen, what)
            }
            Some(_) => continue,
        };
        // Each contact repeats the fields.
        let is_known = |known: &Finding| known.rule == finding.rule && known.report == finding.report;
        if !findings.iter().any(is_known) {
            findings.push(finding);
        }
    }
    findings
}

/// Returns the unit without its power, as in inches for cubic inches, if the physical range can be a size.
///
/// Makers who fill in nothing repeat the logical range, or give both axes the same range. No tablet is square.
fn length_unit(view: &View<'_>, seen: &Seen<'_>) -> Option<Repair> {
    let field = seen.field;
    let unit = field.unit.0;
    let is_length = matches!(unit & 0xf, 1 | 3) && unit >> 8 == 0 && unit >> 4 & 0xf > 1;
    let has_size = field.physical.minimum < field.physical.maximum && field.physical != field.logical;
    let is_other = |other: &&Seen<'_>| {
        let is_axis = other.field.usages.get(0).is_some_and(|usage| [X, Y].contains(&usage));
        is_axis && other.report.id == seen.report.id && other.is_input() && other.field.collection == field.collection
    };
    let mut others = view.fields.iter().filter(is_other).filter(|other| other.field.offset != field.offset);
    let has_sides = others.any(|other| other.field.physical != field.physical);
    seen.unit
        .filter(|_| is_length && has_size && has_sides)
        .and_then(|item| Repair::value(item, i64::from(0x10 | unit & 0xf)))
}

/// Returns whether the field is of a device with a surface: pen, touch screen, touch pad.
fn is_surface(seen: &Seen<'_>) -> bool {
    let application = seen.application();
    application.page() == 0x0d && matches!(application.id(), 0x01 | 0x02 | 0x04 | 0x05 | 0x20)
}

/// Returns the length of an axis, or `None` if it has no unit of length.
fn millimetres(seen: &Seen<'_>) -> Option<f64> {
    let field = seen.field;
    let unit = match field.unit.0 {
        0x11 => 10.0,
        0x13 => 25.4,
        _ => return None,
    };
    let physical = if field.physical.minimum == field.physical.maximum { field.logical } else { field.physical };
    if !(-16..=16).contains(&field.unit_exponent) {
        return None;
    }
    Some((physical.maximum - physical.minimum).abs() as f64 * unit * 10_f64.powi(field.unit_exponent))
}
