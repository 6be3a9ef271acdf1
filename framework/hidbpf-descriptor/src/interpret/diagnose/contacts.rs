//! Touches in a recording: contacts that disappear without being lifted.

use std::collections::BTreeSet;

use crate::interpret::recording::Event;
use crate::interpret::usage::Usage;

use super::digitizer::TIP;
use super::reports::value;
use super::view::{Seen, View};
use super::{Certainty, Finding, InReport, rules};

const CONTACT_ID: Usage = Usage(0x000d_0051);
const CONTACT_COUNT: Usage = Usage(0x000d_0054);

/// A touching finger in a report: where its tip and its number are.
struct Slot<'a> {
    tip: &'a Seen<'a>,
    id: &'a Seen<'a>,
}

/// Finds contacts that touch in one frame and are missing in the next.
///
/// A frame has all contacts. It begins with a report that has their count, and can go on in reports with the count 0: Microsoft's
/// "Windows Precision Touchpad Collection", section "Hybrid Mode".
pub(super) fn check(view: &View<'_>, events: &[&Event]) -> Option<Finding> {
    let count = view.fields.iter().find(|seen| seen.is_input() && first_usage(seen) == CONTACT_COUNT)?;
    let in_report = || view.fields.iter().filter(|seen| seen.is_input() && seen.report.id == count.report.id);
    let of_finger = |tip: &&Seen<'_>, usage: Usage| {
        let finger = tip.field.collection;
        in_report().find(move |seen| seen.field.collection == finger && first_usage(seen) == usage)
    };
    let tips =
        in_report().filter(|seen| seen.field.usages.iter().any(|usage| usage == TIP) && seen.field.flags.is_variable());
    let slots: Vec<Slot<'_>> = tips.filter_map(|tip| Some(Slot { tip, id: of_finger(&tip, CONTACT_ID)? })).collect();
    if slots.is_empty() {
        return None;
    }
    let (mut touching, mut frame, mut expected) = (BTreeSet::new(), Vec::new(), 0);
    let is_of_it = |event: &&&Event| !count.report.numbered || event.report.first() == count.report.id.as_ref();
    let mut lost = Vec::new();
    for event in events.iter().filter(is_of_it) {
        let Some(contacts) = value(count.field, &event.report, 0) else { continue };
        if contacts > 0 || expected <= frame.len() {
            frame.clear();
            expected = usize::try_from(contacts).unwrap_or(0);
        }
        for slot in slots.iter().take(expected.saturating_sub(frame.len())) {
            let id = value(slot.id.field, &event.report, 0);
            frame.extend(id.map(|id| (id, tip_of(slot.tip, &event.report))));
        }
        if frame.len() < expected {
            continue;
        }
        let here: BTreeSet<i64> = frame.iter().map(|(id, _)| *id).collect();
        if touching.difference(&here).next().is_some() {
            lost.push(event.line);
        }
        touching = frame.iter().filter(|(_, touches)| *touches).map(|(id, _)| *id).collect();
    }
    let times = match lost.len() {
        0 => return None,
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let what =
        format!("a contact that touches is missing in the next frame, {times}, without a report that it was lifted");
    let mut finding = Finding::new(&rules::CONTACT_LOST, Certainty::Likely, what);
    finding.report = Some(InReport { kind: count.report.kind, id: count.report.id });
    finding.offset = slots.first().map(|slot| slot.tip.field.offset);
    finding.lines = lost.into_iter().flatten().take(super::reports::MOST_LINES).collect();
    Some(finding)
}

fn first_usage(seen: &Seen<'_>) -> Usage {
    seen.field.usages.get(0).unwrap_or_default()
}

/// Returns whether the tip of a finger touches.
fn tip_of(tip: &Seen<'_>, report: &[u8]) -> bool {
    let index = tip.field.usages.iter().take(64).position(|usage| usage == TIP).unwrap_or(0) as u32;
    value(tip.field, report, index) == Some(1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::interpret::diagnose::recording;
    use crate::interpret::recording::Recording;

    /// A touch pad with two fingers in a report, each with a tip, seven bits of padding and a number, and the count of contacts.
    const PAD: &str = "05 0d 09 05 a1 01 09 22 a1 02 09 42 15 00 25 01 75 01 95 01 81 02 95 07 81 03 09 51 25 0f 75 08 95 01 81 02 c0 \
        09 22 a1 02 09 42 25 01 75 01 81 02 95 07 81 03 09 51 25 0f 75 08 95 01 81 02 c0 09 54 25 05 81 02 c0";

    fn found(reports: &[[u8; 5]]) -> Vec<(&'static str, Vec<usize>)> {
        let mut text = format!("R: {} {PAD}\nI: 3 1 2\n", PAD.split_whitespace().count());
        for report in reports {
            let hex: Vec<String> = report.iter().map(|byte| format!("{byte:02x}")).collect();
            text += &format!("E: 000000.000000 5 {}\n", hex.join(" "));
        }
        let recording_of = Recording::parse(Path::new("x"), text.as_bytes()).unwrap();
        recording(&recording_of, 0).into_iter().map(|finding| (finding.rule.id, finding.lines)).collect()
    }

    #[test]
    fn contacts_that_disappear_are_found() {
        // Finger 0 and 1 touch. Finger 0 is missing, then finger 1 is lifted.
        assert_eq!(found(&[[1, 0, 1, 1, 2], [1, 1, 0, 0, 1], [0, 1, 0, 0, 1], [0; 5]]), [("contact-lost", vec![4])]);
        // Both are missing at once, twice.
        assert_eq!(found(&[[1, 0, 1, 1, 2], [0; 5], [1, 0, 0, 0, 1], [0; 5]]), [("contact-lost", vec![4, 6])]);
    }

    #[test]
    fn contacts_that_are_lifted_are_not() {
        assert!(found(&[[1, 0, 1, 1, 2], [0, 0, 1, 1, 2], [0, 1, 0, 0, 1], [0; 5]]).is_empty());
        // Three fingers in two reports: the second one has the count 0.
        let three = [[1, 0, 1, 1, 3], [1, 2, 0, 0, 0]];
        assert!(found(&[three[0], three[1], three[0], three[1], [0, 0, 0, 1, 3], [0, 2, 0, 0, 0]]).is_empty());
    }
}
