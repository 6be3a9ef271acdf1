use std::path::Path;

use crate::report_type::ReportType;

use super::*;

const TWO: &str = "\
# SPDX-License-Identifier: CC0-1.0
#
# a mouse and a keyboard
D: 0
R: 6 75 08 95 04 81 02
N: Maker Mouse
P: usb-0000:00:14.0-1/input0
I: 3 046d c077
# property HUION_FIRMWARE_ID=HUION_T21h=1
# feature 5=05 00 01
# asked get feature 05
# asked send output 02 01
# exported HID_DIGITIZER_PAD_TYPE=Clickpad
D: 3
R: 8 85 01 75 08 95 07 81 02
N: Maker Keyboard
I: 5 17ef 6047
E: 000000.000000 8 01 00 00 04 00 00 00 00
D: 0
E: 000000.000040 4 00 01 ff 00
E: 000194.003899 4 00 00 00 00
D: 3
E: 000195.000000 0
";

fn parse(text: &str) -> Result<Recording, RecordingError> {
    Recording::parse(Path::new("x.hid"), text.as_bytes())
}

#[test]
fn what_is_read_is_written_again() {
    let recording = parse(TWO).unwrap();
    assert_eq!(recording.to_string(), TWO);
    assert_eq!(recording.devices.iter().map(|device| device.number).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(recording.devices[0].phys, "usb-0000:00:14.0-1/input0");
    assert_eq!(recording.devices[0].properties["HUION_FIRMWARE_ID"], "HUION_T21h=1");
    assert_eq!(recording.devices[0].features[&5], [5, 0, 1]);
    assert_eq!(recording.devices[0].exported["HID_DIGITIZER_PAD_TYPE"], "Clickpad");
    assert_eq!(recording.devices[1].bus, Bus::BLUETOOTH);
    assert_eq!(recording.events_of(0).map(|event| event.line.unwrap()).collect::<Vec<_>>(), [20, 21]);
    assert_eq!(recording.devices[0].asked[1].report, ReportType::Output);
    assert_eq!(recording.events[1].time, Duration::from_micros(40));
    assert_eq!(recording.events[1].report, [0, 1, 0xff, 0]);
    assert_eq!(parse(&recording.to_string()).unwrap(), recording);
}

#[test]
fn other_writers_habits_are_understood() {
    let text = "R: 3 750895\r\nN: Müller's  \"Pad\" \nI: 0003 046D C077\n\n# Report ID: 2 / X: 1\n# property\nE: 1.000002 3 1 2 ff\n";
    let recording = parse(text).unwrap();
    assert_eq!(recording.devices[0].descriptor, [0x75, 8, 0x95]);
    assert_eq!(recording.devices[0].name, "Müller's  \"Pad\" ");
    assert_eq!(recording.devices[0].vendor, VendorId(0x46d));
    assert_eq!(recording.events[0].report, [1, 2, 0xff]);
    assert_eq!(recording.events[0].time, Duration::from_micros(1_000_002));
    assert_eq!(parse(&recording.to_string()).unwrap(), recording);
    let latin = Recording::parse(Path::new("x.hid"), b"R: 1 00\nN: M\xfcller\nI: 3 1 2\n").unwrap();
    assert_eq!(latin.devices[0].name, "M\u{fffd}ller");
}

#[test]
fn a_name_can_not_make_a_line() {
    let mut recording = parse(TWO).unwrap();
    recording.devices[0].name = "a\nE: 000000.000000 1 00".to_owned();
    let again = parse(&recording.to_string()).unwrap();
    assert_eq!(again.events, recording.events);
    assert_eq!(again.devices[0].name, "a\u{fffd}E: 000000.000000 1 00");
}

#[test]
fn each_fault_has_its_line_and_reason() {
    let head = "R: 1 00\nN: x\nI: 3 1 2\n";
    for (text, expected) in [
        ("", "x.hid: the recording has no `R:` line, the report descriptor"),
        ("# nothing\n", "x.hid: the recording has no `R:` line, the report descriptor"),
        ("E: 000000.000040 1 08\n", "x.hid: device 0 has no `I:` line, its bus, vendor and product"),
        ("N: x\nI: 3 1 2\n", "x.hid: device 0 has no `R:` line, its report descriptor"),
        ("D: 1\nR: 1 00\nN: x\n", "x.hid: device 1 has no `I:` line, its bus, vendor and product"),
        ("R: 4 00 01 02\n", "x.hid:1: the length says 4 bytes, and 3 follow"),
        ("R: 2 00 01 02\n", "x.hid:1: the length says 2 bytes, and 3 follow"),
        ("R: x 00\n", "x.hid:1: `x` is not a length in bytes"),
        ("R: -1\n", "x.hid:1: `-1` is not a length in bytes"),
        ("R: 99999999999999999999 00\n", "x.hid:1: `99999999999999999999` is not a length in bytes"),
        ("R:\n", "x.hid:1: the line ends where the length in bytes should be"),
        ("R: 2 00 0g\n", "x.hid:1: `0g` is not a byte in hex"),
        ("R: 2 000 1\n", "x.hid:1: `000` is not a byte in hex"),
        ("R: 1 +1\n", "x.hid:1: `+1` is not a byte in hex"),
        ("D: -1\n", "x.hid:1: `-1` is not a number of a device"),
        ("I: 3 046d\n", "x.hid:1: the line ends where the product in hex should be"),
        ("I: 10000 1 2\n", "x.hid:1: `10000` is not a bus in hex"),
        ("I: 3 +1 2\n", "x.hid:1: `+1` is not a vendor in hex"),
        ("R: 1 00\nR: 1 00\n", "x.hid:2: device 0 has a second `R:` line"),
        (
            "hello\n",
            "x.hid:1: `hello` is not a line of a recording (expected one that begins with `D:`, `R:`, `N:`, `P:`, `I:`, `E:` or `#`)",
        ),
        ("# asked get\n", "x.hid:1: the line ends where the type of a report should be"),
        ("# asked tell feature 05\n", "x.hid:1: `tell` is not a request"),
        ("# feature 256=00\n", "x.hid:1: `256=00` is not a feature report (expected `ID=HEX`, as in `5=05 00 01`)"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text:?}");
    }
    for (event, expected) in [
        ("E:", "the line ends where the time should be"),
        ("E: 0 1 00", "`0` is not a time (expected seconds, a point and 6 digits of microseconds)"),
        ("E: 0.5 1 00", "`0.5` is not a time (expected seconds, a point and 6 digits of microseconds)"),
        ("E: 0.00000- 1 00", "`00000-` is not a time (expected seconds, a point and 6 digits of microseconds)"),
        ("E: 0.000000", "the line ends where the length in bytes should be"),
        ("E: 0.000000 2 00", "the length says 2 bytes, and 1 follow"),
        ("E: 0.000000 1 zz", "`zz` is not a byte in hex"),
    ] {
        let error = parse(&format!("{head}{event}\n")).unwrap_err().to_string();
        assert_eq!(error, format!("x.hid:4: {expected}"), "{event}");
    }
}

#[test]
fn oddities_are_found_and_do_not_stop() {
    let recording = parse(
        "R: 8 85 01 75 08 95 02 81 02\nI: 3 1 2\nE: 000001.000000 3 01 02 03\nE: 000000.000000 4 01 02 03 04\nE: 000000.000000 1 07\n\
         E: 000000.000000 0\nD: 1\nR: 1 c0\nI: 3 1 2\n",
    )
    .unwrap();
    let findings: Vec<String> = recording.findings().iter().map(ToString::to_string).collect();
    assert_eq!(
        findings,
        [
            "device 1: the report descriptor is invalid at byte 0: End Collection without a collection",
            "line 4: the report is older than the one before it",
            "line 4: the report 1 has 4 bytes, and the descriptor declares 3",
            "line 5: the descriptor declares no input report 7",
            "line 6: the report is empty",
        ]
    );
    let silent = parse("R: 1 00\nI: 3 1 2\n").unwrap().findings();
    assert_eq!(silent, [Finding { line: None, oddity: Oddity::NoReports }]);
}

#[test]
fn no_text_makes_the_reader_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..20_000 {
        let mut text = TWO.as_bytes().to_vec();
        for _ in 0..=round % 8 {
            // Leaves at least one byte to change.
            text.extend(b"\n");
            let at = random.usize(..text.len());
            match random.usize(..4) {
                0 => text[at] = random.u8(..),
                1 => text[at] = b"DRNPIE:# .=\n0f"[random.usize(..14)],
                2 => drop(text.remove(at)),
                _ => text.truncate(at.max(1)),
            }
        }
        if let Ok(recording) = Recording::parse(Path::new("x"), &text) {
            recording.findings();
            let written = recording.to_string();
            let again = Recording::parse(Path::new("x"), written.as_bytes()).unwrap();
            assert_eq!(again.to_string(), written);
        }
    }
}
