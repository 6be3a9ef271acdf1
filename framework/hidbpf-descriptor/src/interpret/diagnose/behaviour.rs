//! What a device does in a recording, beside what it declares: parts that it never uses, and values of another kind.

use std::collections::BTreeSet;

use crate::interpret::descriptor::Anatomy;
use crate::interpret::item::CollectionKind;
use crate::interpret::recording::Event;
use crate::interpret::usage::Usage;

use super::applications::{GAMEPAD, JOYSTICK, is_input_application, without_application};
use super::ranges::MULTI_AXIS;
use super::reports::{MOST_LINES, value};
use super::view::{Seen, View};
use super::{Certainty, Finding, InReport, rules};

/// The fewest reports from which something can be concluded.
const ENOUGH: usize = 30;

/// Returns whether something can be concluded from what is not in a recording.
pub(super) fn is_enough(events: &[&Event]) -> bool {
    events.len() >= ENOUGH
}

/// The shares of its range between which an axis jumps when it wraps.
const LOW: f64 = 0.1;
const HIGH: f64 = 0.9;

pub(super) fn check(anatomy: &Anatomy, view: &View<'_>, events: &[&Event]) -> Vec<Finding> {
    let mut findings = unused(anatomy, view, events);
    findings.extend(ignored(view, events));
    for seen in view.fields.iter().filter(|seen| seen.is_input() && is_data(seen)) {
        let of_it = |event: &&&Event| !seen.report.numbered || event.report.first() == seen.report.id.as_ref();
        let events: Vec<&Event> = events.iter().filter(of_it).copied().collect();
        for index in 0..seen.field.count.min(16) {
            let Some(usage) = seen.field.usages.get(index).filter(|usage| is_axis(*usage)) else { break };
            let values: Vec<i64> = events.iter().filter_map(|event| value(seen.field, &event.report, index)).collect();
            if values.len() < ENOUGH {
                continue;
            }
            findings.extend(match seen.field.flags.is_relative() {
                true => position(seen, usage, &values),
                false => still(view, seen, usage, &values, &events)
                    .or_else(|| wraps(seen, usage, &values))
                    .or_else(|| rests(seen, usage, &values)),
            });
        }
    }
    findings
}

fn is_data(seen: &Seen<'_>) -> bool {
    seen.field.flags.is_variable() && !seen.field.flags.is_constant() && seen.field.size > 2
}

/// Returns whether a usage is an axis of the page Generic Desktop, without hats and wheels.
fn is_axis(usage: Usage) -> bool {
    (0x0001_0030..=0x0001_0036).contains(&usage.0)
}

/// Finds mice, keyboards and game controllers that are declared beside others, and never send a report.
fn unused(anatomy: &Anatomy, view: &View<'_>, events: &[&Event]) -> Vec<Finding> {
    if !is_enough(events) {
        return Vec::new();
    }
    let ids: BTreeSet<Option<u8>> = events.iter().map(|event| event.report.first().copied()).collect();
    let is_used = |seen: &&Seen<'_>| !seen.report.numbered || ids.contains(&seen.report.id);
    // An application can have several reports.
    let application = |seen: &Seen<'_>| {
        let is_application = |(kind, _): &&(CollectionKind, Usage)| *kind == CollectionKind::APPLICATION;
        seen.collections.iter().find(is_application).map(|(_, usage)| *usage)
    };
    let used: Vec<Usage> =
        view.fields.iter().filter(|seen| seen.is_input()).filter(is_used).filter_map(application).collect();
    let mut findings: Vec<(Usage, Finding)> = Vec::new();
    for seen in view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding()) {
        let Some(usage) = application(seen).filter(|usage| is_input_application(*usage)) else { continue };
        if used.contains(&usage) || findings.iter().any(|(known, _)| *known == usage) {
            continue;
        }
        let what = format!(
            "the descriptor declares a {usage}, whose report {} is not among the {} reports of the recording",
            seen.report.id.unwrap_or(0),
            events.len()
        );
        let finding = Finding::in_field(&rules::UNUSED, Certainty::Possible, seen, what);
        findings.push((usage, finding.with(without_application(anatomy, seen))));
    }
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// Finds absolute axes of a game controller that never change, while others do.
fn still(view: &View<'_>, seen: &Seen<'_>, usage: Usage, values: &[i64], events: &[&Event]) -> Option<Finding> {
    let value = *values.first()?;
    if ![JOYSTICK, GAMEPAD, MULTI_AXIS].contains(&seen.application()) || values.iter().any(|other| *other != value) {
        return None;
    }
    let moves =
        view.fields.iter().filter(|other| other.report.id == seen.report.id && other.is_input() && is_data(other));
    let is_moving = |other: &Seen<'_>| {
        (0..other.field.count.min(16)).any(|index| {
            let mut values = events.iter().filter_map(|event| self::value(other.field, &event.report, index));
            let first = values.next();
            values.any(|value| Some(value) != first)
        })
    };
    if !moves.into_iter().any(is_moving) {
        return None;
    }
    let range = seen.field.logical;
    let at_end = value == range.minimum || value == range.maximum;
    let place = if at_end { ", at an end of its range, so games see a stick that is held to a side" } else { "" };
    let what = format!("{usage} is {value} in all {} reports{place}", values.len());
    Some(Finding::in_field(&rules::STILL, Certainty::Possible, seen, what))
}

/// Finds axes of a stick that rest at an end of their range, as pedals and levers do.
fn rests(seen: &Seen<'_>, usage: Usage, values: &[i64]) -> Option<Finding> {
    /// X, Y, Rx and Ry. Triggers have other usages, and games expect them to rest at an end.
    const STICK: [u32; 4] = [0x0001_0030, 0x0001_0031, 0x0001_0033, 0x0001_0034];
    let (range, first) = (seen.field.logical, *values.first()?);
    let is_stick = STICK.contains(&usage.0) && [JOYSTICK, GAMEPAD, MULTI_AXIS].contains(&seen.application());
    if !is_stick || ![range.minimum, range.maximum].contains(&first) || seen.field.size < 6 {
        return None;
    }
    // It is there for a third of the time, less at the other end, and moves to the other half from there.
    let share_of = |place: i64| values.iter().filter(|value| **value == place).count() * 3;
    let other = if first == range.minimum { range.maximum } else { range.minimum };
    let middle = range.minimum + (range.maximum - range.minimum) / 2;
    if share_of(first) < values.len()
        || share_of(other) >= values.len()
        || values.iter().all(|value| (*value > middle) == (first > middle))
    {
        return None;
    }
    let what =
        format!("{usage} rests at {first}, an end of its range {range}: games see a stick that is held to a side");
    Some(Finding::in_field(&rules::RESTS, Certainty::Possible, seen, what))
}

/// Finds reports that have fields of the vendor alone. They may be keys.
fn ignored(view: &View<'_>, events: &[&Event]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for seen in view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding()) {
        let is_own = |other: &&Seen<'_>| other.is_input() && other.report.id == seen.report.id;
        let mut usages = view.fields.iter().filter(is_own).filter_map(|other| other.field.usages.get(0));
        let report = Some(InReport { kind: seen.report.kind, id: seen.report.id });
        if usages.any(|usage| usage.page() < 0xff00) || findings.iter().any(|known| known.report == report) {
            continue;
        }
        let of_it = |event: &&&Event| !seen.report.numbered || event.report.first() == seen.report.id.as_ref();
        let own: Vec<&Event> = events.iter().filter(of_it).copied().collect();
        if own.is_empty() {
            continue;
        }
        let what = format!("the vendor alone knows what the {} reports mean: they may be keys", own.len());
        let finding = Finding::in_field(&rules::IGNORED, Certainty::Possible, seen, what);
        let lines = own.iter().filter_map(|event| event.line).take(MOST_LINES).collect();
        findings.push(Finding { lines, ..finding });
    }
    findings
}

/// Finds absolute axes that jump from one end of their range to the other and go on in the same direction.
fn wraps(seen: &Seen<'_>, usage: Usage, values: &[i64]) -> Option<Finding> {
    let range = seen.field.logical;
    let width = (range.maximum - range.minimum) as f64;
    if width < 16.0 {
        return None;
    }
    let share = |value: i64| (value - range.minimum) as f64 / width;
    let is_wrap = |window: &&[i64]| {
        let [before, from, to, after] = **window else { return false };
        let up = share(from) > HIGH && share(to) < LOW;
        let down = share(from) < LOW && share(to) > HIGH;
        // A stick that is let go moves back. One that wraps goes on before or after the jump.
        let steps = (from - before, after - to);
        steps != (0, 0) && (up && steps.0 >= 0 && steps.1 >= 0 || down && steps.0 <= 0 && steps.1 <= 0)
    };
    let count = values.windows(4).filter(is_wrap).count();
    if count < 2 {
        return None;
    }
    let what = format!("{usage} jumps {count} times from one end of its range {range} to the other, and goes on");
    Some(Finding::in_field(&rules::WRAPS, Certainty::Possible, seen, what))
}

/// Finds positions that are declared as movements: large values that change little, one after the other.
fn position(seen: &Seen<'_>, usage: Usage, values: &[i64]) -> Option<Finding> {
    /// How much larger than its changes a position is on average.
    const RATIO: i64 = 8;
    let range = seen.field.logical;
    let pairs: Vec<(i64, i64)> = values
        .windows(2)
        .filter_map(|pair| Some((*pair.first()?, *pair.get(1)?)))
        .filter(|(a, b)| *a != 0 && *b != 0)
        .collect();
    let largest = values.iter().map(|value| value.abs()).max()?;
    let (sum, changes): (i64, i64) =
        pairs.iter().fold((0, 0), |(sum, changes), (one, other)| (sum + other.abs(), changes + (other - one).abs()));
    // Fast movements of a mouse are short. A wheel always sends 1.
    if pairs.len() < ENOUGH || largest * 4 < range.maximum || sum < changes * RATIO || changes == 0 {
        return None;
    }
    let what = format!(
        "{usage} is declared as a movement, and its values up to {largest} change as slowly as those of a position"
    );
    Some(Finding::in_field(&rules::POSITION, Certainty::Possible, seen, what))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::interpret::diagnose::recording;
    use crate::interpret::recording::Recording;

    /// A joystick with X and Y of 8 bits and a button, and a mouse with X and Y in report 2.
    const DEVICE: &str = "05 01 09 04 a1 01 85 01 09 30 09 31 15 00 26 ff 00 75 08 95 02 81 02 05 09 09 01 25 01 75 01 95 01 81 02 95 07 \
        81 03 c0 05 01 09 02 a1 01 85 02 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0";

    /// Returns the findings of a recording of these reports.
    fn found(reports: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        let mut text = format!("R: {} {DEVICE}\nI: 3 1 2\n", DEVICE.split_whitespace().count());
        for report in reports {
            let hex: Vec<String> = report.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("E: 000000.000000 {} {}\n", report.len(), hex.join(" "));
        }
        let recording_of = Recording::parse(Path::new("x"), text.as_bytes()).unwrap();
        recording(&recording_of, 0).iter().map(|finding| format!("{}: {}", finding.rule.id, finding.what)).collect()
    }

    fn mouse() -> Vec<u8> {
        vec![2, 1, 0xff]
    }

    #[test]
    fn what_is_never_used_is_found_in_a_long_recording() {
        let moving = |count: u8| (0..count).map(|x| vec![1, x * 3, 255 - x * 2, 0]);
        assert_eq!(
            found(moving(40)),
            [
                "application-unused: the descriptor declares a Mouse, whose report 2 is not among the 40 reports of the recording"
            ]
        );
        assert!(found(moving(20)).is_empty());
        assert!(found(moving(40).chain([mouse()])).is_empty());
    }

    #[test]
    fn an_axis_that_never_moves_is_found_if_another_does() {
        let still = |x: u8| (0..40).map(move |y: u8| vec![1, x, y * 3, 0]).chain([mouse()]);
        assert_eq!(
            found(still(0)),
            [
                "axis-still: X is 0 in all 40 reports, at an end of its range, so games see a stick that is held to a side"
            ]
        );
        assert_eq!(found(still(0x80)), ["axis-still: X is 128 in all 40 reports"]);
        assert!(found((0..40).map(|_| vec![1, 0, 0, 0]).chain([mouse()])).is_empty());
    }

    #[test]
    fn an_axis_that_rests_at_an_end_is_found() {
        let pedal = |rest: u8| {
            (0..40_u8).map(move |step| vec![1, if step % 4 < 2 { rest } else { step * 6 }, step, 0]).chain([mouse()])
        };
        assert_eq!(
            found(pedal(0)),
            ["axis-rests-at-end: X rests at 0, an end of its range 0..255: games see a stick that is held to a side"]
        );
        assert!(found(pedal(0x80)).is_empty());
    }

    #[test]
    fn reports_of_the_vendor_alone_are_found() {
        let keyboard = "05 01 09 06 a1 01 85 01 05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02 c0 06 31 ff 09 76 a1 01 85 5a \
                        09 76 26 ff 00 75 08 95 05 81 02 c0";
        let text =
            |reports: &str| format!("R: {} {keyboard}\nI: 3 1 2\n{reports}", keyboard.split_whitespace().count());
        let of = |reports: &str| {
            let recording_of = Recording::parse(Path::new("x"), text(reports).as_bytes()).unwrap();
            let findings = recording(&recording_of, 0);
            findings.iter().map(|finding| (finding.rule.id, finding.lines.clone())).collect::<Vec<_>>()
        };
        let hotkey = "E: 000000.000000 6 5a 6a 00 00 00 00\n";
        assert_eq!(of(hotkey), [("report-of-vendor", vec![3])]);
        assert!(of("E: 000000.000000 2 01 00\n").is_empty());
    }

    #[test]
    fn an_axis_that_goes_on_at_the_other_end_wraps() {
        let turning = (0..100_u32).map(|step| vec![1, (step * 11) as u8, (step * 2) as u8, 0]);
        let found_in = found(turning.chain([mouse()]));
        assert_eq!(
            found_in,
            ["axis-wraps: X jumps 4 times from one end of its range 0..255 to the other, and goes on"]
        );
        // A stick that is thrown from one side to the other comes back.
        let thrown = (0..100_u32).map(|step| vec![1, if step % 10 < 5 { 255 } else { 0 }, step as u8, 0]);
        assert!(found(thrown.chain([mouse()])).is_empty());
    }

    #[test]
    fn positions_that_are_declared_as_movements_change_slowly() {
        let joystick = || (0..40).map(|step: u8| vec![1, step, 255 - step, 0]);
        let position = |step: u8| vec![2, 60 + step % 20, 1];
        let found_in = found(joystick().chain((0..80).map(position)));
        assert_eq!(found_in.len(), 1, "{found_in:?}");
        assert!(found_in[0].starts_with("position-relative: X is declared as a movement"), "{found_in:?}");
        // A mouse that is moved to and fro.
        let moved = |step: u8| vec![2, [1, 30, 90, 40, 2, 0, 0xe0, 0xa0, 0xc0, 0xff][usize::from(step % 10)], 1];
        assert!(found(joystick().chain((0..80).map(moved))).is_empty());
    }
}
