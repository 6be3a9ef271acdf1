use std::path::Path;

use super::*;
use crate::hex::HexBytes;
use crate::interpret::descriptor::Descriptor;

fn bytes(hex: &str) -> Vec<u8> {
    hex.parse::<HexBytes>().unwrap().0
}

/// Returns the findings as `id certainty offset`.
pub(super) fn found(hex: &str) -> Vec<String> {
    let findings = descriptor(&bytes(hex));
    findings
        .iter()
        .map(|finding| format!("{} {} {}", finding.rule.id, finding.certainty, finding.offset.unwrap_or(0)))
        .collect()
}

/// A defect, what finds it, and the descriptor after its repair, in which it is not found again.
#[track_caller]
pub(super) fn repaired(before: &str, expected: &str, after: &str) {
    let before = bytes(before);
    let findings = descriptor(&before);
    let [id, certainty, offset] = expected.split(' ').collect::<Vec<_>>()[..] else { panic!("{expected}") };
    let finding = findings.iter().find(|finding| finding.rule.id == id).unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(
        (finding.certainty.to_string().as_str(), finding.offset),
        (certainty, offset.parse().ok()),
        "{finding:#?}"
    );
    assert!(!finding.rule.after.is_empty(), "{finding:#?}");
    let repaired = Repair::apply(&finding.repairs, &before).unwrap();
    assert_eq!(HexBytes(repaired.clone()).to_string(), after, "{finding:#?}");
    assert!(Descriptor::parse(&repaired).is_ok());
    assert!(!descriptor(&repaired).iter().any(|finding| finding.rule.id == id));
}

const SOUND_MOUSE: &str = "05 01 09 02 a1 01 09 01 a1 00 05 09 19 01 29 03 15 00 25 01 95 03 75 01 81 02 95 01 75 05 81 01 05 01 \
                           09 30 09 31 09 38 15 81 25 7f 75 08 95 03 81 06 c0 c0";

const SOUND_KEYBOARD: &str = "05 01 09 06 a1 01 05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02 95 01 75 08 81 01 95 06 75 08 15 00 \
                              26 ff 00 19 00 2a ff 00 81 00 c0";

/// Programs that read descriptors give none for devices that the kernel refused.
#[test]
fn no_bytes_are_not_a_descriptor() {
    assert!(descriptor(&[]).is_empty());
}

#[test]
fn sound_descriptors_have_no_findings() {
    for sound in [SOUND_MOUSE, SOUND_KEYBOARD] {
        assert!(found(sound).is_empty(), "{:?}", found(sound));
    }
}

#[test]
fn refused_descriptors_are_repaired() {
    repaired("05 01 09 02 a1 01 a1 00 c0", "collection-not-ended certain 9", "05 01 09 02 a1 01 a1 00 c0 c0");
    repaired("05 01 09 02 a1 01 c0 c0", "collection-ended-twice certain 7", "05 01 09 02 a1 01 c0");
    repaired("05 01 09 02 a1 01 75", "cut-off certain 6", "05 01 09 02 a1 01 c0");
    repaired("05 01 09 02 a1 01 85 00 c0", "refused certain 6", "05 01 09 02 a1 01 c0");
    repaired("05 01 09 02 a1 01 b4 c0", "refused certain 6", "05 01 09 02 a1 01 c0");
    let keys = |last: &str| format!("05 0c 09 01 a1 01 15 00 26 {last} 19 00 2a {last} 75 10 95 01 81 00 c0");
    repaired(&keys("ff 7f"), "passed-over certain 13", &keys("ff 2f"));
}

#[test]
fn arrays_are_repaired() {
    repaired(
        "05 01 09 06 a1 01 05 07 19 04 29 73 15 00 25 01 75 01 95 70 81 00 c0",
        "array-of-bits certain 20",
        "05 01 09 06 a1 01 05 07 19 04 29 73 15 00 25 01 75 01 95 70 81 02 c0",
    );
    repaired(
        "05 0c 09 01 a1 01 15 00 25 01 75 01 95 08 09 e9 81 03 19 00 2a 3c 02 75 10 95 01 81 00 c0",
        "array-range-too-small certain 27",
        "05 0c 09 01 a1 01 15 00 25 01 75 01 95 08 09 e9 81 03 19 00 2a 3c 02 75 10 95 01 26 3c 02 81 00 c0",
    );
    // The items before it may be missing from the post.
    assert_eq!(found("05 0c 09 01 a1 01 19 00 2a 3c 02 75 10 95 01 81 00 c0"), ["array-range-too-small possible 15"]);
    repaired(
        "05 01 09 06 a1 01 95 05 75 08 15 00 25 65 05 07 19 01 29 65 81 00 c0",
        "array-shifted certain 20",
        "05 01 09 06 a1 01 95 05 75 08 15 00 25 65 05 07 19 00 29 65 81 00 c0",
    );
}

#[test]
fn ranges_with_the_wrong_items_are_repaired() {
    let wheel = |range: &str| format!("05 01 09 02 a1 01 09 38 15 81 25 7f {range} 75 08 95 01 81 06 c0");
    let findings = found(&wheel("19 81 29 7f"));
    assert!(findings.contains(&"usages-for-physical-range likely 12".to_owned()), "{findings:?}");
    let repairs = super::descriptor(&bytes(&wheel("19 81 29 7f"))).into_iter().flat_map(|finding| finding.repairs);
    let applied = Repair::apply(&repairs.collect::<Vec<_>>(), &bytes(&wheel("19 81 29 7f")));
    assert_eq!(applied, Some(bytes(&wheel("35 81 45 7f"))));
    let few = |maximum: &str| format!("05 0c 09 01 a1 01 19 00 2a {maximum} 00 15 00 26 f9 00 75 08 95 01 81 00 c0");
    repaired(&few("f5"), "array-usages-too-few possible 20", &few("f9"));
    let stick = |flags: &str| format!("05 01 09 04 a1 01 15 00 26 ff 00 75 08 95 02 09 30 09 31 81 {flags} c0");
    repaired(&stick("06"), "relative-one-way likely 19", &stick("02"));
}

/// A keyboard beside a pen is a pad if it has letters. The button of a screen and the keys of a pen's clip are not.
#[test]
fn a_single_key_beside_a_pen_is_not_a_pad() {
    let pen = "05 0d 09 02 a1 01 85 01 09 20 a1 00 09 42 09 32 15 00 25 01 75 01 95 02 81 02 95 06 81 03 c0 c0";
    let pad = |keys: &str| recorded(&format!("{pen} 05 01 09 06 a1 01 85 02 05 07 {keys} c0"), &[]);
    let array = "19 00 29 65 15 00 25 65 75 08 95 06 81 00";
    assert!(pad(array).contains(&"pad-is-keyboard []".to_owned()), "{:?}", pad(array));
    let button = "09 e3 15 00 25 01 75 01 95 01 81 02 95 07 81 03";
    assert!(!pad(button).contains(&"pad-is-keyboard []".to_owned()), "{:?}", pad(button));
}

#[test]
fn padding_with_a_usage_is_padding() {
    let pad = |constant: &str| {
        format!("05 0d 09 05 a1 01 05 09 09 01 15 00 25 01 75 01 95 01 81 02 95 07 81 03 {constant} c0")
    };
    assert!(found(&pad("09 c5 75 08 95 02 81 03")).is_empty(), "{:?}", found(&pad("09 c5 75 08 95 02 81 03")));
}

#[test]
fn usages_are_repaired() {
    repaired(
        &SOUND_MOUSE.replace("95 03 75 01 81 02 95 01 75 05", "95 05 75 01 81 02 95 01 75 03"),
        "usages-repeat certain 24",
        &SOUND_MOUSE
            .replace("29 03", "29 05")
            .replace("95 03 75 01 81 02 95 01 75 05", "95 05 75 01 81 02 95 01 75 03"),
    );
    repaired(&SOUND_MOUSE.replace("75 01 81 02", "75 01 81 03"), "constant-with-usages likely 24", SOUND_MOUSE);
    assert_eq!(found(&SOUND_KEYBOARD.replace("19 e0 29 e7", "19 e0 29 e6 09 e1")), ["usage-twice possible 22"]);
}

#[test]
fn ranges_are_repaired() {
    let joystick = |hat: &str| format!("05 01 09 04 a1 01 09 39 15 00 {hat} 75 10 95 01 81 42 c0");
    repaired(&joystick("26 ef 00"), "hat-positions likely 17", &joystick("26 07 00"));
    repaired(&joystick("25 08"), "hat-positions likely 16", &joystick("25 07"));
    assert!(found(&joystick("25 07")).is_empty() && found(&joystick("25 03")).is_empty());
    let axis = |maximum: &str| format!("05 01 09 04 a1 01 09 30 15 00 {maximum} 75 08 95 01 81 02 c0");
    repaired(&axis("26 ff 03"), "range-beyond-bits certain 17", &axis("26 ff 00"));
    repaired(&axis("25 ff"), "maximum-sign certain 10", &axis("26 ff 00"));
    repaired(&SOUND_MOUSE.replace("15 81 25 7f", "15 00 25 7f"), "relative-one-way likely 48", SOUND_MOUSE);
    let knob =
        |flags: &str| format!("05 01 09 08 a1 01 a1 00 09 30 09 31 16 a2 fe 26 5e 01 75 10 95 02 81 {flags} c0 c0");
    repaired(&knob("06"), "relative-controller likely 22", &knob("02"));
}

#[test]
fn controls_of_the_wrong_kind_are_repaired() {
    repaired(&SOUND_MOUSE.replace("09 38", "09 36"), "slider-for-wheel likely 38", SOUND_MOUSE);
    let vendor = |page: &str| format!("06 {page} ff 09 01 a1 01 85 10 75 08 95 3b 15 00 26 ff 00 09 01 81 02 c0");
    repaired(&vendor("01"), "vendor-field-is-key possible 20", &vendor("00"));
    let beside = |page: &str| format!("{} {SOUND_MOUSE}", vendor(page)).replace("85 10 ", "");
    repaired(&beside("01"), "vendor-field-is-key certain 18", &beside("00"));
    let axis =
        |flags: &str| format!("05 01 09 04 a1 01 15 00 26 ff 00 75 08 95 01 09 30 81 02 06 10 ff 09 20 81 {flags} c0");
    repaired(&axis("02"), "vendor-field-is-axis likely 24", &axis("03"));
}

#[test]
fn pens_are_repaired() {
    let pen = |switches: &str| {
        format!(
            "05 0d 09 02 a1 01 09 20 a1 00 {switches} 15 00 25 01 75 01 95 04 81 02 95 04 81 03 05 01 09 30 09 31 55 0d 65 13 \
                 26 ff 7f 46 10 27 75 10 95 02 81 02 c0 c0"
        )
    };
    let sound = pen("09 42 09 44 09 5a 09 32");
    assert!(found(&sound).is_empty(), "{:?}", found(&sound));
    repaired(&pen("09 42 09 44 09 43 09 32"), "second-tip likely 14", &sound);
    repaired(&pen("09 42 09 44 09 45 09 32"), "eraser-for-button likely 14", &sound);
    assert_eq!(found(&pen("09 42 09 44 09 5a 09 46")), ["pen-without-in-range likely 26"]);
    assert_eq!(found(&sound.replace("65 13", "65 00")), ["size-missing certain 52"]);
    assert_eq!(found(&sound.replace("46 10 27", "46 05 00")), ["size-absurd likely 52"]);
}

/// A device with a descriptor and reports.
fn recorded(descriptor: &str, reports: &[&str]) -> Vec<String> {
    let mut text = format!("R: {} {descriptor}\nI: 3 1 2\n", bytes(descriptor).len());
    for report in reports {
        text += &format!("E: 000000.000000 {} {report}\n", bytes(report).len());
    }
    let recording = Recording::parse(Path::new("x.hid"), text.as_bytes()).unwrap();
    let findings = super::recording(&recording, 0);
    findings.iter().map(|finding| format!("{} {:?}", finding.rule.id, finding.lines)).collect()
}

#[test]
fn reports_are_compared_with_the_descriptor() {
    let mouse = |reports: &[&str]| recorded(SOUND_MOUSE, reports);
    assert!(mouse(&["00 00 00 00", "07 01 ff 00"]).is_empty());
    assert_eq!(mouse(&["00 00 00 00", "18 00 00 00"]), ["padding-changes [4]"]);
    assert_eq!(mouse(&["00 00 00"]), ["report-short [3]"]);
    assert_eq!(mouse(&["00 00 00 00 00"]), ["report-long [3]"]);
    assert_eq!(mouse(&["00 80 00 00"]), ["value-out-of-range [3]"]);
    let keyboard = SOUND_KEYBOARD.replace("26 ff 00", "25 65").replace("2a ff 00", "29 65");
    assert_eq!(
        recorded(&keyboard, &["00 00 04 00 00 00 00 00", "00 00 68 00 00 00 00 00"]),
        ["array-value-out-of-range [4]"]
    );
    let numbered = "05 01 09 02 a1 01 85 01 09 30 15 81 25 7f 75 08 95 01 81 06 c0";
    assert_eq!(recorded(numbered, &["01 05", "02 05"]), ["report-undeclared [4]"]);
    let wide = "05 01 09 02 a1 01 09 30 16 01 f8 26 ff 07 75 10 95 01 81 06 c0";
    assert_eq!(recorded(wide, &["05 00", "ff 0f"]), ["sign-not-extended [4]"]);
    let hat = "05 01 09 04 a1 01 09 39 15 00 26 ef 00 75 08 95 01 81 42 c0";
    assert_eq!(recorded(hat, &["ff", "02", "07"]), ["hat-positions []", "hat-values [4]"]);
}

/// A mouse with eight buttons declares five, and padding behind them.
#[test]
fn padding_behind_buttons_becomes_buttons() {
    let mouse = |buttons: &str| {
        format!("05 01 09 02 a1 01 05 09 19 01 {buttons} 05 01 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0")
    };
    for (before, report, after) in [
        (
            "29 05 15 00 25 01 75 01 95 05 81 02 75 03 95 01 81 01",
            "80 00 00",
            "29 08 15 00 25 01 75 01 95 08 81 02 75 03 95 01",
        ),
        (
            "29 05 15 00 25 01 75 01 95 05 81 02 75 03 95 01 81 01",
            "40 00 00",
            "29 07 15 00 25 01 75 01 95 07 81 02 75 01 95 01 81 01",
        ),
        (
            "29 03 15 00 25 01 75 01 95 03 81 02 95 05 81 03",
            "08 00 00",
            "29 04 15 00 25 01 75 01 95 04 81 02 95 04 81 03",
        ),
    ] {
        let text = format!("R: {} {0}\nI: 3 1 2\n", mouse(before));
        let text = text.replacen(&mouse(before), &bytes(&mouse(before)).len().to_string(), 1);
        let text = text + &format!("E: 000000.000000 3 00 00 00\nE: 000000.000001 3 {report}\n");
        let recording = Recording::parse(Path::new("x.hid"), text.as_bytes()).unwrap();
        let findings = super::recording(&recording, 0);
        let repaired = Repair::apply(&findings[0].repairs, &recording.devices[0].descriptor).unwrap();
        assert_eq!(findings[0].rule.id, "padding-changes");
        assert_eq!(repaired, bytes(&mouse(after)), "{before}");
    }
}

#[test]
fn ids_are_unique() {
    let mut ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..20_000 {
        let mut descriptor = bytes(SOUND_MOUSE);
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..descriptor.len());
            match random.usize(..3) {
                0 => descriptor[at] = random.u8(..),
                1 => descriptor.insert(at, random.u8(..)),
                _ => drop(descriptor.remove(at)),
            }
        }
        for finding in super::descriptor(&descriptor) {
            let repaired = Repair::apply(&finding.repairs, &descriptor);
            assert!(repaired.is_some(), "{finding:#?}");
            assert!(finding.repairs.is_empty() || !finding.rule.after.is_empty(), "{finding:#?}");
        }
        let report: Vec<u8> = (0..random.usize(..9)).map(|_| random.u8(..)).collect();
        let mut recording = Recording::parse(Path::new("x"), b"R: 1 00\nI: 3 1 2\nE: 000000.000000 1 00\n").unwrap();
        recording.devices[0].descriptor = descriptor;
        recording.events[0].report = report;
        let _ = super::recording(&recording, 0);
    }
}
