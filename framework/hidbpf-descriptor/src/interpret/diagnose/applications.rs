//! Controls under the wrong kind of device.

use std::ops::RangeInclusive;

use crate::hex::HexBytes;
use crate::interpret::descriptor::Anatomy;
use crate::interpret::item::{Item, ItemKind};
use crate::interpret::recording::{RecordedDevice, Recording};
use crate::interpret::usage::Usage;

use super::digitizer::{DIGITIZER, PEN};
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

pub(super) const KEYBOARD: Usage = Usage(0x0001_0006);
pub(super) const CONSUMER_CONTROL: Usage = Usage(0x000c_0001);
pub(super) const MOUSE: Usage = Usage(0x0001_0002);
pub(super) const JOYSTICK: Usage = Usage(0x0001_0004);
pub(super) const GAMEPAD: Usage = Usage(0x0001_0005);
/// System Multi-Axis Controller.
const KNOB: Usage = Usage(0x0001_000e);
/// Keyboard A to Keyboard Z.
const LETTERS: RangeInclusive<u32> = 0x0007_0004..=0x0007_001d;
const CONTACT_COUNT: Usage = Usage(0x000d_0054);
const Z: Usage = Usage(0x0001_0032);
const SLIDER: Usage = Usage(0x0001_0036);
const DIAL: Usage = Usage(0x0001_0037);
const WHEEL: Usage = Usage(0x0001_0038);

pub(super) fn check(anatomy: &Anatomy, view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let data = |seen: &&Seen<'_>| seen.is_input() && !seen.field.is_padding() && !seen.field.flags.is_constant();
    for seen in view.fields.iter().filter(data) {
        findings.extend(wheel(view, seen));
        findings.extend(vendor_keys(view, seen));
        findings.extend(vendor_axis(seen));
    }
    findings.extend(two_mice(view));
    findings.extend(controller(anatomy, view));
    findings
}

/// Finds a game controller that a keyboard declares. Few keyboards have one.
fn controller(anatomy: &Anatomy, view: &View<'_>) -> Option<Finding> {
    let input = |seen: &&Seen<'_>| seen.is_input() && !seen.field.is_padding();
    let has_letters = |seen: &Seen<'_>| {
        seen.application() == KEYBOARD && seen.field.usages.iter().take(256).any(|usage| LETTERS.contains(&usage.0))
    };
    view.fields.iter().filter(input).find(|seen| has_letters(seen))?;
    let is_game = |seen: &&Seen<'_>| [JOYSTICK, GAMEPAD].contains(&seen.application());
    let seen = view.fields.iter().filter(input).find(is_game)?;
    let what = format!("a keyboard declares a {}, and few keyboards have one", seen.application());
    Some(Finding::in_field(&rules::UNUSED, Certainty::Possible, seen, what).with(without_application(anatomy, seen)))
}

/// Returns the repair after which the kernel makes no input device of an application: its usage becomes 0.
pub(super) fn without_application(anatomy: &Anatomy, seen: &Seen<'_>) -> Option<Repair> {
    let usage = seen.collections.first()?.1;
    let is_begin = |item: &&Item| item.depth == 0 && matches!(item.kind, ItemKind::Collection(_));
    let begin = anatomy.items.iter().filter(is_begin).rfind(|item| item.offset < seen.main.offset)?;
    let before = anatomy.items.iter().rfind(|item| item.offset < begin.offset)?;
    let is_usage = matches!(before.kind, ItemKind::Usage(it) if it == usage);
    Some(before).filter(|_| is_usage).and_then(|item| Repair::value(item, 0))
}

/// Finds a third axis, a slider or a dial of a mouse that has no wheel.
fn wheel(view: &View<'_>, seen: &Seen<'_>) -> Option<Finding> {
    let is_odd = |usage: &Usage| [SLIDER, DIAL].contains(usage) || (*usage == Z && seen.application() == MOUSE);
    let odd = seen.field.usages.iter().take(8).find(is_odd)?;
    let has_wheel = view.fields.iter().any(|other| {
        other.report.id == seen.report.id && other.is_input() && other.field.usages.iter().take(8).any(|it| it == WHEEL)
    });
    let (certainty, device) = match seen.application() {
        MOUSE => (Certainty::Likely, "mouse"),
        // Its makers mean the dial. Few programs know it.
        KNOB => (Certainty::Possible, "knob"),
        _ => return None,
    };
    if has_wheel || !seen.field.flags.is_relative() {
        return None;
    }
    let what = format!("the {device} has a {odd} that moves, and no Wheel");
    let item = seen.item_of(odd);
    let finding = Finding::in_field(&rules::WHEEL, certainty, seen, what);
    let offset = item.map_or(seen.field.offset, |item| item.offset);
    Some(finding.at(offset).with(item.and_then(|item| Repair::value(item, WHEEL.id().into()))))
}

/// Finds numbers that have the usage of a key on the pages 0xff01 and 0xff7f.
fn vendor_keys<'a>(view: &View<'a>, seen: &Seen<'a>) -> Option<Finding> {
    const PAGES: [u16; 2] = [0xff01, 0xff7f];
    let field = seen.field;
    let keys = field.usages.iter().take(field.count.min(64) as usize);
    let (usage, key) = keys.filter_map(|usage| Some((usage, vendor_key(usage)?))).next()?;
    if !field.flags.is_variable() || field.size < 2 {
        return None;
    }
    // Without an input device, nothing becomes a key. A part of a descriptor does not show that.
    let certainty = if has_input_device(view) { Certainty::Certain } else { Certainty::Possible };
    let what = format!(
        "{} values of {} bits have the usage {usage}, which the kernel takes for {key}",
        field.count, field.size
    );
    let finding = Finding::in_field(&rules::VENDOR_KEYS, certainty, seen, what);
    let page = seen.usage_page.filter(
        |item| matches!(item.kind, ItemKind::UsagePage(page) if PAGES.iter().any(|known| page == u32::from(*known))),
    );
    // The kernel ignores the page 0xff00. All fields that the item gives a page to are the vendor's.
    Some(finding.with(page.and_then(|item| {
        let mut new = item.bytes.clone();
        *new.get_mut(1)? = 0;
        Some(Repair::Replace { offset: item.offset, old: HexBytes(item.bytes.clone()), new: HexBytes(new) })
    })))
}

/// Returns the key that the kernel takes a usage for, on the pages of one maker: `HID_UP_HPVENDOR` and `HID_UP_HPVENDOR2` in
/// hidinput_configure_usage().
fn vendor_key(usage: Usage) -> Option<&'static str> {
    Some(match (usage.page(), usage.id()) {
        (0xff01, 0x01) => "KEY_MICMUTE",
        (0xff01, 0x03) => "KEY_BRIGHTNESSDOWN",
        (0xff01, 0x04) => "KEY_BRIGHTNESSUP",
        (0xff7f, 0x21) => "KEY_PRINT",
        (0xff7f, 0x70) => "KEY_HP",
        (0xff7f, 0x71) => "KEY_CAMERA",
        (0xff7f, 0x72) => "KEY_SOUND",
        (0xff7f, 0x73) => "KEY_QUESTION",
        (0xff7f, 0x80) => "KEY_EMAIL",
        (0xff7f, 0x81) => "KEY_CHAT",
        (0xff7f, 0x82) => "KEY_SEARCH",
        (0xff7f, 0x83) => "KEY_CONNECT",
        (0xff7f, 0x84) => "KEY_FINANCE",
        (0xff7f, 0x85) => "KEY_SPORT",
        (0xff7f, 0x86) => "KEY_SHOP",
        _ => return None,
    })
}

/// Returns whether the kernel makes an input device of the descriptor.
fn has_input_device(view: &View<'_>) -> bool {
    view.fields.iter().any(|seen| seen.collections.iter().any(|(_, usage)| is_input_application(*usage)))
}

/// Returns whether the kernel makes an input device of an application: `IS_INPUT_APPLICATION` of include/linux/hid.h.
pub(super) fn is_input_application(usage: Usage) -> bool {
    match usage.0 {
        0x0001_0000..=0x0001_0008 | 0x000d_0001..=0x000d_0006 => true,
        // System Control, Wireless Radio Controls, Consumer Control.
        usage => matches!(usage, 0x0001_0080 | 0x0001_000c | 0x000c_0001),
    }
}

/// Finds values of a vendor's page that the kernel takes for an axis of a game controller.
fn vendor_axis(seen: &Seen<'_>) -> Option<Finding> {
    const CONSTANT: u8 = 1;
    /// Pages that hidinput_configure_usage() ignores.
    const IGNORED: [u16; 5] = [0xff00, 0xff7f, 0xffbc, 0xff09, 0xff43];
    let usage = seen.field.usages.get(0)?;
    let is_game = [JOYSTICK, GAMEPAD].contains(&seen.application());
    if !is_game || usage.page() < 0xff00 || IGNORED.contains(&usage.page()) {
        return None;
    }
    if !seen.field.flags.is_variable() || seen.field.size < 2 {
        return None;
    }
    let what = format!("{usage} is data of {} bits, which the kernel takes for the axis ABS_MISC", seen.field.size);
    let finding = Finding::in_field(&rules::VENDOR_AXIS, Certainty::Likely, seen, what);
    Some(finding.with(Repair::flags(seen.main, 0, CONSTANT)))
}

/// Finds a keyboard beside a tablet: another interface of the device, or another report.
pub(super) fn check_pads(recording: &Recording, device: usize, view: &View<'_>) -> Option<Finding> {
    let described = recording.devices.get(device)?;
    let is_sibling = |other: &&RecordedDevice| (other.vendor, other.product) == (described.vendor, described.product);
    let has_pen = |other: &RecordedDevice| {
        let anatomy = Anatomy::of(&other.descriptor);
        View::of(&anatomy).fields.iter().any(|seen| seen.is_input() && [PEN, DIGITIZER].contains(&seen.application()))
    };
    // Screens have single keys: the Windows button, and the buttons of a pen's clip, which are F13 to F24.
    let has_letters = |seen: &&Seen<'_>| seen.field.usages.iter().take(256).any(|usage| LETTERS.contains(&usage.0));
    let keys = |seen: &&Seen<'_>| seen.is_input() && seen.application() == KEYBOARD && !seen.field.is_padding();
    view.fields.iter().filter(keys).find(has_letters)?;
    let seen = view.fields.iter().find(keys)?;
    // A touch screen of a computer can have a keyboard that nothing sends.
    let counts = |seen: &Seen<'_>| seen.field.usages.iter().take(8).any(|usage| usage == CONTACT_COUNT);
    let has_fingers = view.fields.iter().any(|seen| seen.is_input() && counts(seen));
    let certainty = if has_fingers { Certainty::Possible } else { Certainty::Likely };
    recording.devices.iter().filter(is_sibling).any(has_pen).then(|| {
        let what = "a tablet with a pen has a keyboard too, which is its pad in most known devices";
        Finding::in_field(&rules::PAD_KEYBOARD, certainty, seen, what)
    })
}

/// Finds two mice in one descriptor.
fn two_mice(view: &View<'_>) -> Option<Finding> {
    let is_mouse = |seen: &&Seen<'_>| seen.is_input() && seen.application() == MOUSE && !seen.field.is_padding();
    let moves =
        |seen: &&Seen<'_>| seen.field.flags.is_relative() && seen.field.usages.iter().take(2).any(|it| it.id() == 0x30);
    let mut mice = view.fields.iter().filter(is_mouse).filter(moves);
    let first = mice.next()?;
    let second = mice.find(|seen| seen.report.id != first.report.id)?;
    let what = format!(
        "report {} has the same controls as report {}, and Linux makes one mouse of both",
        second.report.id.unwrap_or(0),
        first.report.id.unwrap_or(0)
    );
    Some(Finding::in_field(&rules::TWO_MICE, Certainty::Possible, second, what))
}
