//! Controls whose usages are on the page of other controls.

use crate::interpret::item::ItemKind;
use crate::interpret::usage::Usage;

use super::applications::{CONSUMER_CONTROL, GAMEPAD, JOYSTICK, MOUSE};
use super::usages::{PAGE_BUTTON, PAGE_CONSUMER};
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

const PAGE_LED: u16 = 0x08;
/// Microsoft's page for remote controls. The kernel ignores it.
const PAGE_REMOTE: u16 = 0xffbc;

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let is_data = |seen: &&Seen<'_>| seen.is_input() && !seen.field.is_padding() && !seen.field.flags.is_constant();
    let fields = view.fields.iter().filter(is_data);
    let found = |seen| consumer_keys(view, seen).or_else(|| leds(view, seen)).or_else(|| system_keys(view, seen));
    fields.filter_map(found).collect()
}

/// Finds the keys of a remote control or keyboard on the page of buttons, or on the page of Microsoft's remote controls.
fn consumer_keys<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    /// No device has as many buttons.
    const MANY: u32 = 64;
    /// Play, Pause, Record and those after them.
    const TRANSPORT: u16 = 0xb0;
    let usages = &seen.field.usages;
    let page = usages.get(0)?.page();
    if seen.application() != CONSUMER_CONTROL || ![PAGE_BUTTON, PAGE_REMOTE].contains(&page) {
        return None;
    }
    let what = match (page, seen.field.flags.is_variable()) {
        (PAGE_REMOTE, false) if usages.len() >= MANY => {
            format!("a Consumer Control selects from {} usages of a page that the kernel ignores", usages.len())
        }
        (PAGE_BUTTON, false) if usages.len() >= MANY => {
            format!("a Consumer Control selects from {} buttons, which are the numbers of its keys", usages.len())
        }
        (PAGE_BUTTON, true) if usages.iter().take(32).any(|usage| usage.id() >= TRANSPORT) => {
            "the buttons of a Consumer Control have the numbers of its keys".to_owned()
        }
        _ => return None,
    };
    let rule = if page == PAGE_BUTTON { &rules::BUTTON_PAGE } else { &rules::REMOTE_PAGE };
    let finding = Finding::in_field(rule, Certainty::Likely, seen, what);
    let item = view.unshared(seen.usage_page);
    Some(finding.with(item.and_then(|item| Repair::value(item, i64::from(PAGE_CONSUMER)))))
}

/// Finds lists of system keys that begin with the usages of pointers and axes. The kernel makes an axis of each, whether or not
/// the keyboard ever sends it.
fn system_keys<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    const SYSTEM_CONTROL: Usage = Usage(0x0001_0080);
    const X: Usage = Usage(0x0001_0030);
    /// System Power Down, the first of the keys.
    const FIRST: u16 = 0x81;
    let field = seen.field;
    let [span] = field.usages.spans() else { return None };
    let has_axes = (span.first..=span.last()).contains(&X) && span.last().id() >= FIRST;
    if seen.application() != SYSTEM_CONTROL || field.flags.is_variable() || !has_axes {
        return None;
    }
    let what = format!("the list of system keys begins with {}, and has the axes of a stick", span.first);
    let finding = Finding::in_field(&rules::SYSTEM_AXES, Certainty::Certain, seen, what);
    let is_direct = i64::from(span.first.id()) == field.logical.minimum;
    let usage = seen.usages.first().filter(|item| matches!(item.kind, ItemKind::UsageMinimum(_)) && is_direct);
    let changes = usage.zip(view.unshared(seen.logical_minimum)).and_then(|(usage, logical)| {
        Some(vec![Repair::value(usage, FIRST.into())?, Repair::value(logical, FIRST.into())?])
    });
    Some(Finding { repairs: changes.unwrap_or_default(), ..finding })
}

/// Finds lights that a mouse or a game controller sends: they are its further buttons.
fn leds<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    let field = seen.field;
    let [span] = field.usages.spans() else { return None };
    let is_input = [MOUSE, JOYSTICK, GAMEPAD].contains(&seen.application());
    if !is_input || span.first.page() != PAGE_LED || !field.flags.is_variable() {
        return None;
    }
    let what = format!("the device sends the lights {}, which are buttons", seen.name());
    let finding = Finding::in_field(&rules::LEDS, Certainty::Likely, seen, what);
    Some(Finding { repairs: buttons(view, seen, span.count).unwrap_or_default(), ..finding })
}

/// Returns the repair that makes buttons of a field, after those that there are, with a bit for each.
fn buttons<'a>(view: &View<'a>, seen: &Seen<'a>, count: u32) -> Option<Vec<Repair>> {
    let field = seen.field;
    let [minimum, maximum] = seen.usages.as_slice() else { return None };
    let is_range =
        matches!(minimum.kind, ItemKind::UsageMinimum(_)) && matches!(maximum.kind, ItemKind::UsageMaximum(_));
    let buttons = view.fields.iter().filter(|other| other.is_input() && other.application() == seen.application());
    let last = buttons.filter_map(|other| other.field.usages.last()).filter(|usage| usage.page() == PAGE_BUTTON);
    let first = i64::from(last.map(|usage| usage.id()).max().unwrap_or(0)) + 1;
    let mut repairs = vec![
        Repair::value(view.unshared(seen.usage_page)?, i64::from(PAGE_BUTTON))?,
        Repair::value(minimum, first)?,
        Repair::value(maximum, first + i64::from(count) - 1)?,
    ];
    match (field.size, field.count) {
        (1, _) => {}
        (size, 1) if size == count => {
            let (bits, values) = (view.sole_size(seen)?, view.sole_count(seen)?);
            repairs.extend([Repair::value(bits, 1)?, Repair::value(values, i64::from(count))?]);
        }
        _ => return None,
    }
    is_range.then_some(repairs)
}

#[cfg(test)]
mod tests {
    use crate::interpret::diagnose::tests::{found, repaired};

    #[test]
    fn media_keys_are_on_their_page() {
        let remote =
            |page: &str| format!("05 0c 09 01 a1 01 {page} 19 00 2a 3c 02 15 00 26 3c 02 75 10 95 01 81 00 c0");
        repaired(&remote("05 09"), "consumer-keys-are-buttons likely 22", &remote("05 0c"));
        repaired(&remote("06 bc ff"), "consumer-keys-ignored likely 23", &remote("06 0c 00"));
        // Microsoft's own remote controls.
        assert!(found(&remote("06 bc ff").replacen("05 0c 09 01", "06 bc ff 09 88", 1)).is_empty());
    }

    #[test]
    fn system_keys_are_no_axes() {
        let keyboard = |first: &str| {
            format!("05 01 09 80 a1 01 85 03 1a {first} 00 2a b7 00 16 {first} 00 26 b7 00 95 01 75 10 81 00 c0")
        };
        repaired(&keyboard("01"), "system-keys-are-axes certain 24", &keyboard("81"));
        // Three keys, and a bit for each.
        assert!(found("05 01 09 80 a1 01 19 81 29 83 15 00 25 01 75 01 95 03 81 02 95 05 81 01 c0").is_empty());
    }

    #[test]
    fn a_mouse_sends_no_lights() {
        let mouse = |extra: &str| {
            format!("05 01 09 02 a1 01 05 09 19 01 29 03 15 00 25 01 75 01 95 03 81 02 95 05 81 01 {extra} 81 02 c0")
        };
        repaired(
            &mouse("05 08 19 08 29 0f 15 00 25 01 75 08 95 01"),
            "leds-are-buttons likely 40",
            &mouse("05 09 19 04 29 0b 15 00 25 01 75 01 95 08"),
        );
    }
}
