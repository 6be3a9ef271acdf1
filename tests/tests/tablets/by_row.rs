//! Tablets that tell nothing of themselves: the rows of their drivers have the measures.

use std::collections::BTreeSet;

use hidbpf::matching::Verdict;
use hidbpf::recording::judge;
use serde_json::Value;

use super::{drivers, fields, number, recording, rows, run, served, text, value};

const DRIVERS: [&str; 6] = [
    "parblo-tablets",
    "ugee-older-tablets",
    "xppen-gen2-tablets",
    "xencelabs-tablets",
    "veikk-tablets",
    "veikk-pen-tablets",
];

/// Tablets of these families that have no driver, and why.
const LEFT_OUT: [(&str, &str); 5] = [
    ("XP-Pen Artist 12", "needs two reports that no other tablet takes"),
    ("Xencelabs Pen Display 16", "nothing is known but its name"),
    ("VEIKK VK430", "has two sizes, which only its string 23 tells apart"),
    ("VEIKK VK430 V2", "has two sizes, which only its string 23 tells apart"),
    ("VEIKK Voila (VO1060)", "takes two of the three reports"),
];

const PEN: [(u8, u16, u16); 3] = [(2, 1, 0x30), (2, 1, 0x31), (2, 0x0d, 0x30)];

/// Returns the interface with the vendor's reports.
fn descriptor(id: u8, input: usize, output: u8) -> Vec<u8> {
    let mut bytes = vec![0x06, 0x0a, 0xff, 0x09, 1, 0xa1, 1, 0x85, id, 0x09, 2, 0x75, 8, 0x95, input as u8 - 1];
    bytes.extend([
        0x15, 0, 0x26, 0xff, 0, 0x81, 2, 0x09, 3, 0x75, 8, 0x95, output, 0x15, 0, 0x26, 0xff, 0, 0x91, 2, 0xc0,
    ]);
    bytes
}

/// Returns a report of a pen that touches, as the family sends it.
fn pen(family: &str, size: usize, [x, y, pressure]: [u32; 3]) -> Vec<u8> {
    let [x0, x1, x2, _] = x.to_le_bytes();
    let [y0, y1, y2, _] = y.to_le_bytes();
    let [p0, p1, ..] = pressure.to_le_bytes();
    let mut report = match (family, size) {
        ("veikk-v1", _) => vec![9, 0x41, 0xa1, x0, x1, y0, y1, p0, p1],
        ("veikk-v2", _) => vec![9, 0x41, 0xa1, x0, x1, x2, y0, y1, y2, p0, p1],
        // Bit 13 of the pressure is elsewhere, and bit 14 means nothing.
        ("xppen-gen2", _) => vec![2, 0xa1, x0, x1, y0, y1, p0, p1 & 0x1f | 0x40, 0, 0, x2, y2, 0, p1 >> 5 & 1],
        _ => vec![2, 0xa1, x0, x1, y0, y1, p0, p1],
    };
    report.resize(size, 0);
    report
}

/// Returns a report in which a button is down.
fn pad(family: &str, size: usize, button: u32) -> Vec<u8> {
    let [a, b, c, _] = (1_u32 << button).to_le_bytes();
    let mut report = match family {
        "veikk-v1" | "veikk-v2" => vec![9, 0x42, 1, 1, a, b],
        _ => vec![2, 0xf0, a, b, c],
    };
    report.resize(size, 0);
    report
}

fn check(row: &Value) -> String {
    let (name, family) = (text(row, "name"), text(row, "family"));
    let size = number(row, "input_report_length").expect("its reports have a size") as usize;
    let most = [number(row, "max_x"), number(row, "max_y"), number(row, "max_pressure")].map(Option::unwrap);
    let buttons = if family == "xppen-gen2" { 0 } else { number(row, "pad_buttons").unwrap_or_default() };
    let mut reports = vec![pen(family, size, most), pen(family, size, [most[0] / 2, most[1] / 3, 1])];
    reports.extend((0..buttons).map(|button| pad(family, size, button)));
    let is_veikk = family.starts_with("veikk");
    let descriptor = descriptor(if is_veikk { 9 } else { 2 }, size, 7);
    let recording = recording(name, (text(row, "vendor"), text(row, "product")), &descriptor, &[], &reports);
    let device = &recording.devices[0];
    let drivers = drivers(&DRIVERS);
    let mut own = drivers.iter().filter_map(|(driver, manifest)| match judge(manifest, device, &device.properties) {
        Verdict::Matches { rule } => Some((driver, rule)),
        _ => None,
    });
    let (Some((driver, rule)), None) = (own.next(), own.next()) else { panic!("{name}: not one driver is for it") };
    let steps = &driver.manifest.mode_switch.as_ref().expect("it has a mode switch").steps;
    let sent: Vec<String> = steps.iter().map(|step| step.words()).filter(|words| words.starts_with("sends")).collect();
    let expected = row["init"]["output"].as_array().expect("it is switched by reports");
    assert_eq!(sent.len(), expected.len(), "{name} is switched by {sent:?}, expected {expected:?}");
    for (sent, expected) in sent.iter().zip(expected) {
        let sent = sent.rsplit("report ").next().unwrap_or_default().replace(' ', "");
        assert!(expected.as_str().is_some_and(|expected| expected.starts_with(&sent)), "{name}: {sent}, {expected}");
    }
    let (descriptor, fixed) = run(driver, &recording);
    assert_eq!(fixed.len(), reports.len(), "{name}: reports are lost");
    assert_eq!(hidbpf::descriptor::invalid::check(&descriptor), Ok(()), "{name}");
    let fields = fields(&descriptor);
    assert_eq!(PEN.map(|key| fields[&key].1 as u32), most, "{name}");
    for (axis, length) in [(PEN[0], "width_mm"), (PEN[1], "height_mm")] {
        let found = f64::from(fields[&axis].2) * 25.4 / 1000.0;
        let expected = row[length].as_f64().expect("its size is known");
        assert!((found - expected).abs() < 1.5, "{name}: {found} mm, expected {expected} mm");
    }
    assert_eq!(PEN.map(|key| value(&fixed[0], &fields[&key].0)), most, "{name}: {:02x?}", fixed[0]);
    assert_eq!(PEN.map(|key| value(&fixed[1], &fields[&key].0)), [most[0] / 2, most[1] / 3, 1], "{name}");
    let touches = value(&fixed[0], &fields[&(2, 0x0d, 0x42)].0);
    assert_eq!((touches, value(&fixed[0], &fields[&(2, 0x0d, 0x32)].0)), (1, 1), "{name}");
    assert_eq!(fields.range((3, 9, 0)..(3, 10, 0)).count() as u32, buttons.min(10), "{name}");
    for (button, report) in (0..buttons).zip(&fixed[2..]) {
        // Veikk's name one button at a time, and the driver keeps the others.
        let expected = if is_veikk { (2 << button) - 1 } else { 1 << button };
        assert_eq!(value(report, &(32..48)), expected, "{name}: button {button}");
    }
    let is_display = ["Artist", "D161"].iter().any(|word| name.contains(word));
    assert_eq!(descriptor[3], if is_display { 2 } else { 1 }, "{name}: direct, or indirect");
    rule
}

#[test]
fn each_tablet_with_a_row_works_as_the_facts_say() {
    const FAMILIES: [&str; 6] = ["parblo", "ugee-v1", "xppen-gen2", "xencelabs", "veikk-v1", "veikk-v2"];
    let Some(rows) = rows("each_tablet_with_a_row_works_as_the_facts_say") else { return };
    let served = served(&rows);
    let drivers = drivers(&DRIVERS);
    let (mut rules, mut names) = (BTreeSet::new(), BTreeSet::new());
    for row in rows.iter().filter(|row| FAMILIES.contains(&text(row, "family")) && row["bus"] == "usb") {
        let (name, id) = (text(row, "name"), (text(row, "vendor"), text(row, "product")));
        let ids = [id.0, id.1].map(|id| u32::from_str_radix(id, 16).expect("an id is a number"));
        let rule = drivers
            .iter()
            .flat_map(|(_, manifest)| &manifest.matches)
            .find(|rule| [rule.vendor.map(|id| id.0), rule.product.map(|id| id.0)] == ids.map(Some));
        if served.contains(&id) {
            assert!(rule.is_none(), "{name} is served by the kernel, or by another driver");
            continue;
        }
        if LEFT_OUT.iter().any(|(left, _)| *left == name) {
            continue;
        }
        assert!(rule.is_some(), "{name}");
        // Some have a second interface, with reports of another size.
        if number(row, "input_report_length").is_some_and(|size| size <= 14)
            && !row["init"]["output"].as_array().is_none_or(Vec::is_empty)
        {
            let is_declared = number(row, "output_report_length") != Some(0);
            if is_declared {
                rules.insert(check(row));
                names.insert(name);
            }
        }
    }
    let all: usize = drivers.iter().map(|(_, manifest)| manifest.matches.len()).sum();
    assert!(rules.len() == all && names.len() >= 35, "{} of {all} rules, {} tablets", rules.len(), names.len());
}
